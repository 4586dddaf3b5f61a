//! A node whose directory has gone back in time begins anew: see [`crate::lives`].
//!
//! The verdict is one write that ends the log as it was: whatever stands before it is void, and the
//! node is a replacement that has no replicas (see `founding`). Only when that is durable does the
//! process start on the directory again, so that no later try finds what it must not use.

use alloc::vec::Vec;

use types::{DirectoryId, Monotonic, Now};

use super::Node;
use crate::io::{Event, Input, Output, Persisted, WriteId};
use crate::record::Record;

/// How far a node is with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Anew {
    /// Nobody remembers more of this node than its directory holds.
    #[default]
    No,
    /// The verdict is on its way to the disk.
    Writing(WriteId),
    /// It is durable.
    Durable,
    /// The driver has been told.
    Told,
}

impl Node {
    /// Whether all that this node has is void: it takes part in nothing any more.
    pub(super) fn is_void(&self) -> bool {
        self.world.founding.lives.refusal().is_some()
    }

    /// A void node waits for nothing but its disk.
    pub(super) fn note_void(&mut self, input: &Input) {
        let Input::Persisted(Persisted { write, .. }) = input else { return };
        self.storage.end_write(*write);
        if matches!(self.anew, Anew::Writing(verdict) if verdict <= *write) {
            self.anew = Anew::Durable;
        }
    }

    pub(super) fn next_void_deadline(&self) -> Monotonic {
        let due = match self.anew {
            Anew::No => !self.storage.has_write(),
            Anew::Durable => true,
            Anew::Writing(_) | Anew::Told => false,
        };
        if due { Monotonic(0) } else { Monotonic::NEVER }
    }

    /// Writes the verdict, and says when the process is to start again.
    pub(super) fn begin_anew(&mut self, now: Now, out: &mut Vec<Output>) {
        // Nothing that was about to be said or written counts any more.
        self.world.effects.messages.clear();
        self.world.effects.payload.clear();
        let _ = self.world.sessions.take_announced();
        match self.anew {
            Anew::No => self.write_verdict(),
            Anew::Durable => {
                self.anew = Anew::Told;
                out.push(Output::BeginAnew);
            }
            Anew::Writing(_) | Anew::Told => {}
        }
        let bytes = self.world.effects.payload.len();
        if let Some(write) = self.storage.begin_write(now.monotonic, bytes) {
            let parts = self.world.effects.payload.take(usize::MAX, 0);
            self.anew = Anew::Writing(write);
            out.extend(parts.into_iter().map(|payload| Output::Persist { write, payload }));
        }
        for event in core::mem::take(&mut self.world.effects.events) {
            out.push(Output::Observe(event));
        }
    }

    fn write_verdict(&mut self) {
        if self.storage.has_write() {
            return;
        }
        let Some((told_by, remembered)) = self.world.founding.lives.refusal() else { return };
        self.world
            .effects
            .events
            .push(Event::WentBack { told_by, incarnation: remembered.incarnation });
        // Never 0, which stands for the founders' directories.
        let directory = DirectoryId((self.frontend.random() >> 32) as u32 | 1);
        let incarnation = remembered.incarnation.max(self.world.incarnation);
        let payload = self.world.effects.payload.tail();
        Record::Anew { directory, incarnation }.encode(payload);
        let remembered = self.world.founding.anew();
        Record::Origin { remembered }.encode(payload);
        self.world.founding.lives.write_all(payload);
    }
}

//! What was asked of a shard and is to be proposed: the operations of the entries to come.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::proposals::Local;
use super::{Request, Watcher};
use crate::session::Waiter;

/// Longest run of operations in one entry, in bytes; a longer single operation stands alone.
const ENTRY_BYTES: usize = 256 << 10;
/// Room that a shard keeps for its next batch: bytes of operations, and those who wait for them.
const BATCH_ROOM: usize = 16 << 10;
const LOCALS_ROOM: usize = 128;

/// What was asked of the shard since its last entry.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) operations: Vec<u8>,
    locals: Vec<Local>,
    /// What the operations may make the data grow by.
    growth: u64,
    /// Batches that are full, in order.
    full: VecDeque<Sealed>,
}

/// What becomes one entry.
pub(super) struct Sealed {
    pub(super) operations: Bytes,
    pub(super) locals: Vec<Local>,
    /// What it may make the data grow by, in bytes.
    pub(super) growth: u64,
}

impl Sealed {
    /// One operation that stands alone in its entry.
    pub(super) fn alone(waiter: Waiter, watcher: Watcher, operations: Bytes, growth: u64) -> Self {
        let bytes = u32::try_from(operations.len()).expect("requests are bounded");
        let locals = alloc::vec![Local::Apply { waiter, watcher, bytes }];
        Self { operations, locals, growth }
    }
}

impl Batch {
    pub(super) fn push_read(&mut self, request: Request) {
        self.locals.push(Local::Read(request));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.locals.is_empty() && self.full.is_empty()
    }

    /// Whether there is enough for an entry that no other operation should join.
    pub(super) fn is_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// All that somebody waits for.
    pub(super) fn locals(&self) -> impl Iterator<Item = &Local> {
        self.full.iter().flat_map(|sealed| &sealed.locals).chain(&self.locals)
    }

    pub(super) fn push(&mut self, waiter: Waiter, watcher: Watcher, start: usize, growth: u64) {
        self.growth = self.growth.saturating_add(growth);
        let bytes = u32::try_from(self.operations.len() - start).expect("requests are bounded");
        self.locals.push(Local::Apply { waiter, watcher, bytes });
        if self.operations.len() > ENTRY_BYTES {
            self.seal();
        }
    }

    /// Adds a long operation, which stands alone in its entry and is not copied.
    pub(super) fn push_alone(
        &mut self,
        waiter: Waiter,
        watcher: Watcher,
        operation: Bytes,
        growth: u64,
    ) {
        self.seal();
        self.full.push_back(Sealed::alone(waiter, watcher, operation, growth));
    }

    fn seal(&mut self) {
        if !self.locals.is_empty() {
            // The next batch will be about as large as this one: room for it at once saves copying
            // it again and again while it grows.
            let operations = Vec::with_capacity(self.operations.len().min(BATCH_ROOM));
            let operations = core::mem::replace(&mut self.operations, operations);
            let locals = Vec::with_capacity(self.locals.len().min(LOCALS_ROOM));
            let locals = core::mem::replace(&mut self.locals, locals);
            let growth = core::mem::take(&mut self.growth);
            self.full.push_back(Sealed { operations: operations.into(), locals, growth });
        }
    }

    pub(super) fn take(&mut self) -> Option<Sealed> {
        self.seal();
        self.full.pop_front()
    }
}

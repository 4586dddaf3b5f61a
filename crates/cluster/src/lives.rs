//! Who a process is, and whether its directory is the one that the others know.
//!
//! A node's number and its count of starts don't tell one process from another: a directory that is
//! copied back, or a virtual machine that goes back to a snapshot, counts a start again that was
//! there already, and two processes on copies of one directory count the same. So each process
//! draws a number for its *life*, and says it with each beat, promise and forwarded request.
//!
//! A directory that goes back in time has forgotten what it acknowledged and how it voted, so it is
//! as bad as a lost one (see `founding`), and must not pass for the one that it was. The others
//! remember durably, for each node, its newest life and the newest position of its log that it has
//! said is durable. A life is **refused** if its start is not a later one than the remembered, or
//! if its log, in the same directory, began before the remembered end. Whoever is refused hears of
//! it:
//! each beat says what its sender remembers of the receiver. It then writes into its log that all
//! that stands there is void, and begins anew, in a new directory and with a greater incarnation
//! (`node/anew.rs`). What is written first makes the next try no better.
//!
//! A life counts only once it is accepted, and a replica that has just started votes and campaigns
//! only when a majority of its shard's voters, itself counted, has accepted its life: else it could
//! elect a leader before anybody has told it that it has forgotten something.
//!
//! What is remembered is written with what is written anyway, so the power loss of a peer can lose
//! the news of the last moments. A directory that went back by no more than that is noticed only if
//! another peer remembers. And if everybody who has heard of an acknowledgement is gone or has gone
//! back too, nobody can know of it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use types::{DirectoryId, Incarnation, Life, Monotonic, NodeId};

use crate::bytes_codec::{CodecError, Put, Take};
use crate::io::Memory;
use crate::planted::{Planting, Plantings};
use crate::record::Record;

/// What a driver knows of a start that the log doesn't say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Start {
    /// The start's number: one more than the directory has noted before.
    pub incarnation: Incarnation,
    /// The life that begins: a random number, not 0.
    pub life: Life,
    /// The directory.
    pub directory: DirectoryId,
    /// The longest promise of support that a former life may have made.
    pub longest_promise: Duration,
    /// Where the log ends, see [`crate::Input::Persisted`].
    pub log_end: u64,
}

/// What a peer says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    /// Its life, and what of its log is durable.
    pub(crate) itself: Memory,
    /// Where its log ended when the life began.
    pub(crate) began: u64,
    /// What it remembers of this node.
    pub(crate) remembers: Memory,
}

/// What a peer's word about itself comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is the life that is known, or a later one on a directory that has forgotten nothing.
    Accepted,
    /// It is an older life, a directory that went back, or a second process.
    Refused {
        /// Whether that is worth a line.
        news: bool,
    },
}

/// This node's life, and what is known of the others'.
pub(crate) struct Lives {
    own: Memory,
    began: u64,
    peers: BTreeMap<NodeId, Peer>,
    /// By whom this life was refused, and the latest start that anybody remembers.
    refusal: Option<(NodeId, Memory)>,
    planted: Plantings,
}

#[derive(Clone, Copy, Default)]
struct Peer {
    memory: Memory,
    /// What of it stands in the log.
    written: Memory,
    /// When the accepted life was heard last, by this process.
    heard: Option<Monotonic>,
    /// Whether it has said that it accepts this node's life.
    accepts: bool,
    /// The life that was refused last, and when.
    refused: Life,
    refused_at: Option<Monotonic>,
}

impl Lives {
    pub(crate) fn new(
        start: &Start,
        remembered: BTreeMap<NodeId, Memory>,
        planted: Plantings,
    ) -> Self {
        let Start { incarnation, life, directory, longest_promise: _, log_end } = *start;
        let peer = |(node, memory)| (node, Peer { memory, written: memory, ..Peer::default() });
        Self {
            own: Memory { directory, incarnation, life, durable: log_end },
            began: log_end,
            peers: remembered.into_iter().map(peer).collect(),
            refusal: None,
            planted,
        }
    }

    /// This process's life.
    pub(crate) fn own(&self) -> Life {
        self.own.life
    }

    /// The newest durable position of this node's log.
    pub(crate) fn durable(&self) -> u64 {
        self.own.durable
    }

    /// Where the log ended when this life began.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// This node's log is durable up to here.
    pub(crate) fn note_durable(&mut self, log_end: u64) {
        self.own.durable = self.own.durable.max(log_end);
    }

    /// What is remembered of a peer.
    pub(crate) fn memory_of(&self, peer: NodeId) -> Memory {
        self.peers.get(&peer).map(|peer| peer.memory).unwrap_or_default()
    }

    /// Whether this is the accepted life of a peer.
    pub(crate) fn is_accepted(&self, peer: NodeId, life: Life) -> bool {
        life != Life(0) && self.memory_of(peer).life == life
    }

    /// When a life of a peer was last refused.
    pub(crate) fn refused_at(&self, peer: NodeId) -> Option<Monotonic> {
        self.peers.get(&peer)?.refused_at
    }

    /// Whether a peer has said that it accepts this node's life.
    pub(crate) fn accepts_us(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.accepts)
    }

    /// Who remembers of this node what its directory does not hold, and what that is.
    pub(crate) fn refusal(&self) -> Option<(NodeId, Memory)> {
        self.refusal
    }

    /// Forgets who is no member.
    pub(crate) fn retain(&mut self, mut is_member: impl FnMut(NodeId) -> bool) {
        self.peers.retain(|node, _| is_member(*node));
    }

    /// A peer says who it is. Within `silence` of its last word a life counts as running.
    pub(crate) fn hear(
        &mut self,
        now: Monotonic,
        silence: Duration,
        from: NodeId,
        said: &Said,
    ) -> Verdict {
        self.judge_own(from, said.remembers);
        let Said { itself, began, remembers } = *said;
        let lenient = self.planted.contains(Planting::AcceptOlderDirectory);
        let peer = self.peers.entry(from).or_default();
        let known = &mut peer.memory;
        let is_old = if lenient {
            itself.incarnation < known.incarnation
        } else {
            went_back(known, &itself, began)
        };
        if itself.life != known.life && is_old {
            let running = peer.heard.is_some_and(|at| now.since(at) <= silence);
            // What a former life sent late is nothing to speak of.
            let late = running && itself.incarnation < known.incarnation;
            let news = !late && peer.refused != itself.life;
            if news {
                peer.refused = itself.life;
            }
            if !late {
                peer.refused_at = Some(now);
            }
            return Verdict::Refused { news };
        }
        if itself.life == known.life {
            known.durable = known.durable.max(itself.durable);
        } else {
            *known = itself;
        }
        peer.heard = Some(now);
        peer.accepts = remembers.life == self.own.life;
        Verdict::Accepted
    }

    /// What somebody remembers of this node, whoever it is, this node has said once.
    fn judge_own(&mut self, from: NodeId, remembered: Memory) {
        if self.planted.contains(Planting::AcceptOlderDirectory)
            || remembered.life == self.own.life
            || !went_back(&remembered, &self.own, self.began)
        {
            return;
        }
        let latest = self.refusal.map_or(Incarnation(0), |(_, known)| known.incarnation);
        if self.refusal.is_none() || remembered.incarnation > latest {
            self.refusal = Some((from, remembered));
        }
    }

    /// Adds to a write what is new about the peers since the last.
    pub(crate) fn write_news(&mut self, into: &mut Vec<u8>) {
        for (node, peer) in &mut self.peers {
            if peer.memory != peer.written {
                peer.written = peer.memory;
                Record::Peer { node: *node, memory: peer.memory }.encode(into);
            }
        }
    }

    /// Writes down all that is remembered.
    pub(crate) fn write_all(&mut self, into: &mut Vec<u8>) {
        for peer in self.peers.values_mut() {
            peer.written = Memory::default();
        }
        self.write_news(into);
    }
}

/// Whether a life that began with this log can't be a successor of the remembered one.
fn went_back(remembered: &Memory, life: &Memory, began: u64) -> bool {
    remembered.life != Life(0)
        && (life.incarnation <= remembered.incarnation
            || life.directory == remembered.directory && began < remembered.durable)
}

impl Memory {
    pub(crate) fn encode(self, into: &mut Vec<u8>) {
        into.put_u32(self.directory.0);
        into.put_u64(self.incarnation.0);
        into.put_u64(self.life.0);
        into.put_u64(self.durable);
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            directory: DirectoryId(from.u32()?),
            incarnation: Incarnation(from.u64()?),
            life: Life(from.u64()?),
            durable: from.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId(2);
    const SILENCE: Duration = Duration::from_secs(1);

    fn memory(incarnation: u64, life: u64, durable: u64) -> Memory {
        Memory {
            directory: DirectoryId(7),
            incarnation: Incarnation(incarnation),
            life: Life(life),
            durable,
        }
    }

    fn said(itself: Memory, began: u64) -> Said {
        Said { itself, began, remembers: Memory::default() }
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic(0) + Duration::from_secs(seconds)
    }

    fn lives() -> Lives {
        let start = Start {
            incarnation: Incarnation(5),
            life: Life(55),
            directory: DirectoryId(1),
            log_end: 100,
            ..Start::default()
        };
        Lives::new(&start, BTreeMap::new(), Plantings::default())
    }

    fn hear(lives: &mut Lives, seconds: u64, said: Said) -> Verdict {
        lives.hear(at(seconds), SILENCE, PEER, &said)
    }

    const NEWS: Verdict = Verdict::Refused { news: true };
    const NO_NEWS: Verdict = Verdict::Refused { news: false };

    #[test]
    fn a_start_that_has_everything_is_accepted_and_an_older_one_is_not() {
        let mut lives = lives();
        assert_eq!(hear(&mut lives, 1, said(memory(3, 30, 40), 40)), Verdict::Accepted);
        assert_eq!(hear(&mut lives, 2, said(memory(3, 30, 60), 40)), Verdict::Accepted);
        assert_eq!(lives.memory_of(PEER).durable, 60);
        assert_eq!(hear(&mut lives, 9, said(memory(4, 41, 59), 59)), NEWS, "its log is shorter");
        assert_eq!(hear(&mut lives, 9, said(memory(4, 41, 70), 59)), NO_NEWS, "said already");
        assert_eq!(hear(&mut lives, 9, said(memory(3, 31, 60), 60)), NEWS, "the same start");
        assert!(lives.is_accepted(PEER, Life(30)));
        assert_eq!(hear(&mut lives, 9, said(memory(4, 42, 60), 60)), Verdict::Accepted);
        assert!(!lives.is_accepted(PEER, Life(30)));
        assert_eq!(hear(&mut lives, 9, said(memory(3, 30, 60), 40)), NO_NEWS, "a late word");
    }

    #[test]
    fn positions_of_another_directory_say_nothing() {
        let mut lives = lives();
        hear(&mut lives, 1, said(memory(3, 30, 900), 40));
        let other = Memory { directory: DirectoryId(9), ..memory(4, 40, 1) };
        assert_eq!(hear(&mut lives, 2, said(other, 1)), Verdict::Accepted);
    }

    #[test]
    fn who_is_remembered_as_more_than_it_is_begins_anew() {
        let tell = |remembers| {
            let mut lives = lives();
            hear(&mut lives, 1, Said { remembers, ..said(memory(3, 30, 40), 40) });
            (lives.refusal().is_some(), lives.accepts_us(PEER))
        };
        let own = |incarnation, life, durable| Memory {
            directory: DirectoryId(1),
            ..memory(incarnation, life, durable)
        };
        assert_eq!(tell(Memory::default()), (false, false), "it has not heard of this life yet");
        assert_eq!(tell(own(4, 44, 100)), (false, false), "neither has this one");
        assert_eq!(tell(own(5, 55, 100)), (false, true));
        assert_eq!(tell(own(4, 44, 101)), (true, false), "the log was longer once");
        assert_eq!(tell(own(5, 54, 90)), (true, false), "there was such a start before");
    }

    #[test]
    fn memories_are_read_back_from_the_log() {
        let mut lives = lives();
        hear(&mut lives, 1, said(memory(3, 30, 40), 40));
        let mut payload = Vec::new();
        lives.write_news(&mut payload);
        let mut again = Vec::new();
        lives.write_news(&mut again);
        assert!(again.is_empty(), "there is nothing new");
        let mut recovery = crate::Recovery::default();
        recovery.absorb(types::SegmentId(1), &payload).expect("it was just written");
        let recovered = recovery.finish(Start::default()).expect("nothing is missing");
        assert_eq!(recovered.memories.get(&PEER), Some(&memory(3, 30, 40)));
    }
}

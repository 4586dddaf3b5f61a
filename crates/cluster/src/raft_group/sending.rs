//! How much of the log is sent to followers in a turn.

use alloc::vec::Vec;
use core::cell::Cell;

use raft::Raft;

use super::RaftGroup;
use super::storage::LogStorage;

/// How much of the log is sent in a turn. The engine would send all that a follower lacks at once,
/// and nothing else would be done for as long as that takes to encode.
#[derive(Default)]
pub(super) struct Sending {
    left: Cell<u64>,
    sent: Cell<u64>,
    /// Whether something was left for a later turn.
    pub(super) short: Cell<bool>,
}

impl Sending {
    /// Whether more may be sent in this turn.
    pub(super) fn may(&self) -> bool {
        self.left.get() > 0
    }

    /// A turn begins, in which so many bytes may be sent.
    pub(super) fn allow(&self, bytes: u64) {
        self.left.set(bytes);
    }

    pub(super) fn count(&self, bytes: u64) {
        self.left.set(self.left.get().saturating_sub(bytes));
        self.sent.set(self.sent.get().saturating_add(bytes));
    }
}

impl RaftGroup {
    /// A turn begins, in which so many bytes of the log may be sent; a longer entry goes alone.
    pub(crate) fn allow_sending(&mut self, bytes: u64) {
        let sending = &self.engine.store().sending;
        sending.allow(bytes);
        if !sending.short.take() || !self.is_leader() {
            return;
        }
        let raft = &mut self.engine.raft;
        let (own, last) = (raft.id, raft.raft_log.last_index());
        let next = raft.prs().iter().map(|(&id, progress)| (progress.next_idx, id));
        let mut others: Vec<(u64, u64)> = next.filter(|(_, id)| *id != own).collect();
        // Those that lack least come first: what commits entries must not wait for a laggard.
        others.sort_unstable_by(|one, other| other.cmp(one));
        for (_, id) in others {
            let lacks = |raft: &Raft<LogStorage>| {
                raft.prs().get(id).is_some_and(|pr| !pr.is_paused() && pr.next_idx <= last)
            };
            while lacks(raft) {
                let store = raft.raft_log.store();
                if !store.sending.may() {
                    store.sending.short.set(true);
                    return;
                }
                let next = raft.prs().get(id).map(|progress| progress.next_idx);
                raft.send_append(id);
                if raft.prs().get(id).map(|progress| progress.next_idx) == next {
                    // What it lacks must be read first.
                    break;
                }
            }
        }
    }

    /// Whether more of the log is to be sent in another turn.
    pub(crate) fn has_more_to_send(&self) -> bool {
        self.engine.store().sending.short.get()
    }

    /// How many bytes of the log were sent since the last call.
    pub(crate) fn take_sent(&self) -> u64 {
        self.engine.store().sending.sent.take()
    }
}

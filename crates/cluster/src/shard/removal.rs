//! The end of a replica on this node, what of it must stay, and how another one follows it.
//!
//! | state | becomes | when |
//! |---|---|---|
//! | member | removed | the log that it has applied removes it, the holder says so, or a leader
//! | | | writes to a later seat here |
//! | removed | buried: log and data are freed | nothing waits here or is being written |
//! | buried | member, without a log | a leader writes to it that does not know of the removal |
//! | buried | member, in a later seat | a leader writes to that |
//!
//! A replica that is removed or buried still has its vote, see [`RaftGroup::without_log`].

use alloc::vec::Vec;

use keyspace::Keyspace;
use types::{LogIndex, Monotonic, NodeId, SlotRange, Term};

use super::{Effects, Shard};
use crate::io::Event;
use crate::planted::Planting;
use crate::raft_group::{RaftMessage, Replicas, Seat};
use crate::record::{Goal, Lease};

#[derive(Debug)]
pub(super) struct State {
    /// It has given up all but its vote.
    buried: bool,
    /// A leader has written to a replica here that was added later.
    superseded: bool,
    /// The entry that removed it, if it was one of an even number of voters.
    left_even: Option<(Term, LogIndex)>,
    /// Nodes whose replicas were removed, and where the log ended when this replica applied that.
    leavers: Vec<(NodeId, LogIndex)>,
}

impl State {
    pub(super) fn new(buried: bool) -> Self {
        Self { buried, superseded: false, left_even: None, leavers: Vec::new() }
    }
}

/// The data that a replica begins with: those of a buried one have a single slot, as a node may
/// have thousands of them.
pub(super) fn first_data(
    buried: bool,
    (range, hash_seed, long_bytes): (SlotRange, u64, usize),
) -> Keyspace {
    let range = if buried { SlotRange::FIRST } else { range };
    super::empty_data(range, hash_seed, long_bytes)
}

impl Shard {
    pub(crate) fn seat(&self) -> Seat {
        self.group.me().seat
    }

    /// The seat of the replica that was added last, as far as this one has applied the log.
    pub(crate) fn seats(&self) -> Seat {
        self.goal.seats
    }

    /// Term and index of the last entry that this replica has ever had.
    pub(crate) fn last_ever(&self) -> (Term, LogIndex) {
        self.group.last_ever()
    }

    /// Whether a replica that has been part of the shard is so no longer. One whose own addition is
    /// still to come in the log that it is fed is not meant by what stands there before it.
    pub(crate) fn is_removed(&self) -> bool {
        let was_added = !self.seat().is_after(self.goal.seats);
        self.removal.buried || self.has_begun() && was_added && !self.group.is_member()
    }

    /// Whether it has given up all but its vote.
    pub(crate) fn is_buried(&self) -> bool {
        self.removal.buried
    }

    /// Whether a leader that writes to a removed replica may not know of the removal: one that was
    /// elected since, maybe with its vote. What others sent may have been under way, and so may
    /// what the leader sent that has committed the removal or something behind it.
    pub(crate) fn may_come_back(&self, message: &RaftMessage) -> bool {
        let voted = || self.group.voted_for().is_some_and(|id| message.from() == Some(id));
        let (applied_in, _) = self.applied();
        let since = message.term() == self.group.term() && applied_in < message.term();
        message.term() > self.group.term() || since && voted()
    }

    /// A change of the replicas is applied, which stands at `place`.
    pub(super) fn note_leavers(
        &mut self,
        before: &Replicas,
        after: &Replicas,
        place: (Term, LogIndex),
    ) {
        let end = self.group.last_index();
        let left = before.all().filter(|replica| !after.contains(replica.node));
        self.removal.leavers.extend(left.map(|replica| (replica.node, end)));
        let voters = before.voters();
        if voters.contains(&self.me) && !after.contains(self.me) {
            self.removal.left_even = voters.len().is_multiple_of(2).then_some(place);
        }
    }

    /// An entry is applied. One that was proposed when the removal was applied here tells those who
    /// store it that the removal is committed.
    pub(super) fn forget_leavers(&mut self, index: LogIndex) {
        self.removal.leavers.retain(|(_, end)| index <= *end);
    }

    /// Nodes whose replicas were removed, and whose votes may still be needed: a majority of those
    /// that stay does not know of it yet.
    pub(super) fn leavers(&self) -> impl Iterator<Item = NodeId> {
        let told = !self.planted.contains(Planting::GoneAtOnce);
        self.removal.leavers.iter().filter(move |_| told).map(|(node, _)| *node)
    }

    /// What a candidate must have for the vote of this replica once it has given its log up.
    ///
    /// Of an even number of voters, any two majorities share one that stays: with the vote of the
    /// one that leaves a candidate is elected that has the removal, and still has all that is
    /// committed, though it may lack what only this one has acknowledged. Without that vote nobody
    /// is elected, if one more is dead. Of an odd number those that stay elect by themselves.
    fn kept_in_mind(&self) -> (Term, LogIndex) {
        if self.planted.contains(Planting::RemovedKeepsItsTail) {
            return self.last_ever();
        }
        self.removal.left_even.unwrap_or_else(|| self.last_ever())
    }

    /// It goes on with what it has: at least its vote.
    pub(crate) fn come_back(&mut self) {
        if core::mem::take(&mut self.removal.buried) {
            self.begin_data();
        }
    }

    /// A buried replica begins to be fed again.
    fn begin_data(&mut self) {
        let nothing = self.empty_data(self.range);
        self.data.replace(nothing);
        self.places.begin();
    }

    /// A leader has written to a replica here that was added after this one was removed.
    pub(crate) fn supersede(&mut self) {
        self.removal.superseded = true;
    }

    /// A buried replica is followed by one that was added later, and which knows nothing.
    pub(crate) fn take_seat(&mut self, payload: &mut Vec<u8>, seat: Seat) {
        debug_assert!(self.removal.buried, "a replica that has a log takes another one's seat");
        self.group = self.group.reseated(seat);
        self.removal = State::new(false);
        self.begin_data();
        self.write_tombstone(payload);
    }

    /// The replica was removed from this node: its data and its log are of no use to anybody any
    /// more. `dismissed` is how far a holder was that did not count it among the replicas: one that
    /// has more of the log, and does not say itself that it was removed, may be a replica of after
    /// that.
    pub(crate) fn bury(&mut self, effects: &mut Effects, dismissed: (Term, LogIndex)) {
        let persists = self.group.is_persisting();
        let busy = persists || self.group.is_leader() || !self.steps.parting.is_idle();
        let was_fed = self.has_begun() || self.group.has_forgotten();
        let told = was_fed && self.last_ever() <= dismissed;
        let removed = self.is_removed() || self.removal.superseded || told;
        if self.removal.buried
            || busy
            || !removed
            || self.planted.contains(Planting::RemovedKeepsAll)
        {
            return;
        }
        self.group = self.group.without_log(self.kept_in_mind());
        let form = (self.range, self.hash_seed, self.data.long_bytes());
        self.data.replace(first_data(true, form));
        self.imaging = None;
        self.displace_walks(effects);
        self.forget_committed();
        self.removal = State::new(true);
        self.lease = Lease::default();
        self.goal = Goal::default();
        self.floors.clear();
        self.writes.clear();
        if let Some(staging) = self.staging.take() {
            self.discard_staging(staging);
        }
        self.catch_ups.clear();
        self.fortified.clear();
        // A leader that has not applied the removal yet still counts on what this one has promised.
        if self.planted.contains(Planting::RemovedBreaksItsPromise) {
            self.promised = None;
        }
        self.campaign_at = Monotonic::NEVER;
        self.settle_at = Monotonic::NEVER;
        self.places.bury();
        self.write_tombstone(effects.payload.tail());
        effects.events.push(Event::ReplicaFreed { shard: self.id });
    }
}

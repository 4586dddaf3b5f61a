//! One shard's Raft group: the only place that knows the consensus engine (raft-rs 0.7).
//!
//! What the engine's users must do in the right order (persist, then send; apply in order; tell
//! it what is durable) is done here, so that the rest of the core sees four verbs: propose, step,
//! [`collect`](RaftGroup::collect), [`persisted`](RaftGroup::persisted).
//!
//! Deliberately unused parts of the engine: its timers (support decides who campaigns, so a group
//! is never ticked and an idle one costs nothing), its lease reads (unsafe: research measured
//! stale reads with perfect clocks), its check-quorum and its protobuf parser.

mod change;
mod log;
mod message;
mod replicas;
mod sending;
mod shed;
mod storage;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, HardState, MessageType};
use raft::prelude::Message as EngineMessage;
use raft::{Config, ProgressState, RawNode, SnapshotStatus, StateRole};
use types::{DirectoryId, LogIndex, NodeId, Term};

use crate::io::WriteId;
pub(crate) use change::{ReplicaChange, ReplicaChangeEntry};
pub(crate) use log::{HardVote, LogEntry};
pub(crate) use message::Kind;
pub use message::RaftMessage;
pub(crate) use replicas::{ReplicaId, Replicas, Seat};
use storage::LogStorage;

/// Most bytes of entries in one message; a longer single entry travels alone.
const MESSAGE_BYTES: u64 = 256 << 10;
/// Messages in flight to one follower before the leader waits.
const MESSAGES_IN_FLIGHT: usize = 256;

/// A replica's log as it is recovered from disk, or as it is at the birth of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecoveredLog {
    pub(crate) vote: HardVote,
    pub(crate) replicas: Replicas,
    /// Index and term that the slot images and the rest of the state reflect.
    pub(crate) applied: (LogIndex, Term),
    pub(crate) entries: Vec<LogEntry>,
}

/// A committed entry, to be applied.
pub(crate) struct Committed {
    pub(crate) index: LogIndex,
    pub(crate) term: Term,
    pub(crate) context: Bytes,
    pub(crate) data: Bytes,
    /// Set if the entry changes the replicas: hand it back to [`RaftGroup::change_replicas`].
    pub(crate) change: Option<ReplicaChangeEntry>,
}

/// Slot images that replaced the log up to an index.
pub(crate) struct Installed {
    pub(crate) index: LogIndex,
    pub(crate) term: Term,
    pub(crate) replicas: Replicas,
    pub(crate) data: Bytes,
}

/// What one round of the engine asks for.
#[derive(Default)]
pub(crate) struct Collected {
    /// Entries and votes to persist, in this order.
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) vote: Option<HardVote>,
    pub(crate) installed: Option<Installed>,
    /// Whether anything above must be durable before the round counts as persisted.
    pub(crate) must_persist: bool,
    pub(crate) messages: Vec<RaftMessage>,
    pub(crate) committed: Vec<Committed>,
    /// Reads whose index is known: their number, and the index that must be applied.
    pub(crate) reads: Vec<(u64, LogIndex)>,
}

struct Unpersisted {
    write: WriteId,
    ready: u64,
    messages: Vec<EngineMessage>,
}

/// One replica's part in its shard's Raft group.
pub(crate) struct RaftGroup {
    engine: RawNode<LogStorage>,
    unpersisted: VecDeque<Unpersisted>,
    /// See [`HardVote::given_up`].
    given_up: (Term, LogIndex),
}

impl RaftGroup {
    /// The replica in a node's directory that has this log.
    pub(crate) fn new(node: NodeId, directory: DirectoryId, log: RecoveredLog) -> Self {
        let me = ReplicaId { node, directory, seat: log.vote.seat };
        let given_up = log.vote.given_up;
        let mut storage = LogStorage::default();
        storage.reset(log.applied.0.0, log.applied.1.0, log.replicas.into_inner());
        let entries: Vec<Entry> = log.entries.into_iter().map(|entry| entry.0).collect();
        storage.append(&entries);
        // The commit index is not fsynced by itself, so it may lag behind what is applied; and
        // images of a catch-up may be ahead of the log (see `catch_up`).
        let commit = log.vote.commit.0.clamp(storage.before.0, storage.last());
        storage.hard_state = hard_state(HardVote { commit: LogIndex(commit), ..log.vote });
        let config = Config {
            id: me.to_engine(),
            // Never ticked. Equal bounds keep the engine's random numbers out of the picture.
            election_tick: 10,
            heartbeat_tick: 1,
            min_election_tick: 10,
            max_election_tick: 11,
            applied: log.applied.0.0,
            max_size_per_msg: MESSAGE_BYTES,
            max_inflight_msgs: MESSAGES_IN_FLIGHT,
            check_quorum: false,
            pre_vote: true,
            skip_bcast_commit: true,
            // The engine adds entries to a message of its own that holds none without a look at
            // where that message ends, and so sends entries with a gap before them.
            batch_append: false,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let engine =
            RawNode::new(&config, storage, &logger).expect("the engine's settings are constants");
        Self { engine, unpersisted: VecDeque::new(), given_up }
    }

    /// The same replica when it has given its log up. It remembers for whom it voted, and what a
    /// candidate must have: one that does not know yet that the removal is committed may need its
    /// vote.
    pub(crate) fn without_log(&self, given_up: (Term, LogIndex)) -> Self {
        self.emptied(HardVote { commit: LogIndex(0), given_up, ..self.vote() })
    }

    /// The replica that takes the place of this one in another seat: it knows nothing.
    pub(crate) fn reseated(&self, seat: Seat) -> Self {
        self.emptied(HardVote { seat, ..HardVote::default() })
    }

    /// A replica in the same directory that remembers this and has no log.
    fn emptied(&self, vote: HardVote) -> Self {
        let ReplicaId { node, directory, .. } = self.me();
        Self::new(node, directory, RecoveredLog { vote, ..RecoveredLog::default() })
    }

    /// Term and index of the last entry that this replica has or must keep in mind.
    pub(crate) fn last_ever(&self) -> (Term, LogIndex) {
        self.end_of_log().max(self.given_up)
    }

    /// Whether it was removed, gave up its log, and has not been given all of it anew. Its former
    /// log may be what committed an entry, its own removal among them: n1 and n3 do so without n2,
    /// n3 is removed and forgets, n1 starts again and writes to n3 before it knows that the removal
    /// is committed, and dies. With a vote of n3 for whatever log n2 would lead without the entry.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.end_of_log() < self.given_up
    }

    /// Whether this replica is one of those that the applied log names.
    pub(crate) fn is_member(&self) -> bool {
        self.replicas().all().any(|replica| replica == self.me())
    }

    pub(crate) fn term(&self) -> Term {
        Term(self.engine.raft.term)
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.engine.raft.state == StateRole::Leader
    }

    /// Whether this replica may become leader: it is a voter.
    pub(crate) fn is_voter(&self) -> bool {
        self.engine.raft.promotable()
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        ReplicaId::from_engine(self.engine.raft.leader_id).map(|replica| replica.node)
    }

    /// Who this replica is.
    pub(crate) fn me(&self) -> ReplicaId {
        ReplicaId::from_engine(self.engine.raft.id).expect("the engine was given an identity")
    }

    /// The engine's number of the replica on a node: a shard has at most one there.
    fn number_of(&self, node: NodeId) -> u64 {
        let all = self.engine.raft.prs().iter().map(|(&number, _)| number);
        let here = |&number: &u64| ReplicaId::from_engine(number).is_some_and(|it| it.node == node);
        let mut found = all.filter(here);
        match (found.next(), found.next()) {
            (None, _) => raft::INVALID_ID,
            (Some(only), None) => only,
            (Some(_), Some(_)) => {
                self.replicas().on(node).map_or(raft::INVALID_ID, ReplicaId::to_engine)
            }
        }
    }

    pub(crate) fn last_index(&self) -> LogIndex {
        LogIndex(self.engine.raft.raft_log.last_index())
    }

    /// Term and index of the last entry.
    pub(crate) fn end_of_log(&self) -> (Term, LogIndex) {
        let log = &self.engine.raft.raft_log;
        (Term(log.last_term()), LogIndex(log.last_index()))
    }

    pub(crate) fn commit_index(&self) -> LogIndex {
        LogIndex(self.engine.raft.raft_log.committed)
    }

    pub(crate) fn applied_index(&self) -> LogIndex {
        // Not the engine's own figure: that one follows a catch-up only when it is durable, and
        // the data are the new ones at once.
        self.applied().0
    }

    pub(crate) fn applied(&self) -> (LogIndex, Term) {
        let (index, term) = self.engine.store().applied;
        (LogIndex(index), Term(term))
    }

    /// The newest applied entry behind which nothing is needed that is applied: what comes before
    /// may be forgotten, and a replica that catches up begins there.
    pub(crate) fn settled(&self) -> (LogIndex, Term) {
        let (index, term) = self.engine.store().settled();
        (LogIndex(index), Term(term))
    }

    /// From there on entries are needed, though they are applied.
    pub(crate) fn keep_from(&mut self, first: Option<LogIndex>) {
        self.engine.mut_store().keep_from(first.map(|first| first.0));
    }

    pub(crate) fn persisted_index(&self) -> LogIndex {
        LogIndex(self.engine.raft.raft_log.persisted)
    }

    pub(crate) fn vote(&self) -> HardVote {
        self.hard_vote(&self.engine.raft.hard_state())
    }

    fn hard_vote(&self, state: &HardState) -> HardVote {
        HardVote {
            seat: self.me().seat,
            term: Term(state.term),
            vote: state.vote,
            commit: LogIndex(state.commit),
            given_up: self.given_up,
        }
    }

    /// For whom this replica has voted in its term.
    pub(crate) fn voted_for(&self) -> Option<ReplicaId> {
        ReplicaId::from_engine(self.engine.raft.vote)
    }

    /// Bytes and number of the entries that are not applied, or needed all the same.
    pub(crate) fn unsettled(&self) -> (usize, u64) {
        self.engine.store().unsettled()
    }

    /// An entry of the log, if it is in memory.
    pub(crate) fn entry(&self, index: LogIndex) -> Option<LogEntry> {
        self.engine.store().get(index.0).cloned().map(LogEntry)
    }

    /// The first entry of the log.
    pub(crate) fn first_index(&self) -> LogIndex {
        LogIndex(self.engine.store().first())
    }

    /// Bytes of entries in memory.
    pub(crate) fn memory(&self) -> usize {
        self.engine.store().bytes + self.read_bytes()
    }

    pub(crate) fn replicas(&self) -> Replicas {
        self.engine.raft.prs().conf().to_conf_state().into()
    }

    /// Calls `each` with the voters of the current configuration, and while it is joint, also of
    /// the outgoing one.
    pub(crate) fn for_each_voter_set(&self, mut each: impl FnMut(&[u64])) {
        let state = self.engine.raft.prs().conf().to_conf_state();
        each(&state.voters);
        if !state.voters_outgoing.is_empty() {
            each(&state.voters_outgoing);
        }
    }

    /// Proposes an entry. Says where it will stand if it is committed, or `None` if this replica
    /// doesn't lead, or is handing its leadership over.
    pub(crate) fn propose(&mut self, data: Vec<u8>) -> Option<(LogIndex, Term)> {
        self.propose_with(Vec::new(), data.into())
    }

    /// The same, with a context.
    pub(crate) fn propose_with(
        &mut self,
        context: Vec<u8>,
        data: Bytes,
    ) -> Option<(LogIndex, Term)> {
        if !self.is_leader() {
            return None;
        }
        // As the engine's own call does, which would take the data as a vector.
        let mut proposal = EngineMessage::default();
        proposal.set_msg_type(MessageType::MsgPropose);
        proposal.from = self.engine.raft.id;
        let entry = Entry { data, context: context.into(), ..Entry::default() };
        proposal.set_entries(alloc::vec![entry].into());
        self.engine.raft.step(proposal).ok()?;
        Some((self.last_index(), self.term()))
    }

    /// Takes a message from another replica.
    pub(crate) fn step(&mut self, message: RaftMessage) {
        let RaftMessage(mut message) = message;
        // A peer that has forgotten part of its log (its disk was replaced) is told of commits
        // beyond its end; the engine would end the process.
        message.commit = message.commit.min(match Kind::of(message.get_msg_type()) {
            Some(Kind::Heartbeat) => self.engine.raft.raft_log.last_index(),
            _ => u64::MAX,
        });
        // An answer from a replica that was removed is an error that concerns nobody.
        let _ = self.engine.step(message);
    }

    /// An entry that is committed here, and in whose place a leader has another: its index, its
    /// term and the leader's. No history within what the protocol bears leads there.
    pub(crate) fn conflict(&self, message: &RaftMessage) -> Option<(LogIndex, Term, Term)> {
        let message = &message.0;
        // Who was elected late, in a term that is over, has what nobody takes.
        let late = message.term < self.engine.raft.term;
        if late || message.get_msg_type() != MessageType::MsgAppend {
            return None;
        }
        let log = &self.engine.raft.raft_log;
        let entries = message.entries.iter().map(|entry| (entry.index, entry.term));
        let all = core::iter::once((message.index, message.log_term)).chain(entries);
        all.take_while(|(index, _)| *index <= log.committed).find_map(|(index, term)| {
            // 0: the log does not know any more.
            let own = log.term(index).ok().filter(|own| *own != 0 && *own != term)?;
            Some((LogIndex(index), Term(own), Term(term)))
        })
    }

    /// Stands for election, with a pre-vote.
    pub(crate) fn campaign(&mut self) {
        if self.is_persisting() {
            return;
        }
        // Refused while committed changes of the replicas are not applied yet; tried again later.
        let _ = self.engine.campaign();
    }

    /// A leader goes back to being a follower of the same term, which it can't lead again.
    pub(crate) fn step_down(&mut self) {
        let term = self.engine.raft.term;
        self.engine.raft.become_follower(term, raft::INVALID_ID);
    }

    /// Tells `target` to campaign at once. Until a new term begins this leader takes no proposals.
    pub(crate) fn transfer(&mut self, target: NodeId) {
        let number = self.number_of(target);
        self.engine.transfer_leader(number);
    }

    /// Takes proposals again although a target was told to campaign: a rule broken on purpose.
    pub(crate) fn abort_transfer(&mut self) {
        self.engine.raft.abort_leader_transfer();
    }

    /// Asks a quorum whether this replica still leads. `number` must be fresh.
    pub(crate) fn read_index(&mut self, number: u64) {
        self.engine.read_index(number.to_le_bytes().to_vec());
    }

    /// Sends a heartbeat to every follower: it carries the commit index, asks for a new
    /// fortification, and makes a follower that missed something say so.
    pub(crate) fn ping(&mut self) {
        self.engine.ping();
    }

    /// Whatever was sent to `node` and not answered may be lost.
    pub(crate) fn unreachable(&mut self, node: NodeId) {
        let number = self.number_of(node);
        self.engine.report_unreachable(number);
    }

    /// The slot images for `node` arrived, or the attempt was given up.
    pub(crate) fn catch_up_ended(&mut self, node: NodeId, arrived: bool) {
        let status = if arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        let number = self.number_of(node);
        self.engine.report_snapshot(number, status);
    }

    /// How far `node` has the log and how far it knows it to be committed.
    pub(crate) fn progress(&self, node: NodeId) -> Option<(LogIndex, LogIndex)> {
        let progress = self.engine.raft.prs().get(self.number_of(node))?;
        Some((LogIndex(progress.matched), LogIndex(progress.committed_index)))
    }

    /// Whether `node` is fed from the log, not from slot images.
    pub(crate) fn is_fed_from_log(&self, node: NodeId) -> bool {
        let progress = self.engine.raft.prs().get(self.number_of(node));
        progress.is_some_and(|progress| progress.state != ProgressState::Snapshot)
    }

    /// Whether a change of the replicas is proposed and not applied.
    pub(crate) fn change_pending(&self) -> bool {
        self.engine.raft.has_pending_conf()
    }

    /// Forgets entries up to `index` that the caller needs for nobody.
    pub(crate) fn compact(&mut self, index: LogIndex) {
        let settled = self.engine.store().settled().0;
        let index = index.0.min(self.engine.raft.raft_log.applied).min(settled);
        self.engine.mut_store().compact(index);
    }

    pub(crate) fn has_work(&self) -> bool {
        self.engine.has_ready()
    }

    /// Runs the engine for one round. What must be persisted belongs to `write`; the caller
    /// applies `committed` and says so with [`RaftGroup::set_applied`] before the next call.
    pub(crate) fn collect(&mut self, write: WriteId) -> Collected {
        let mut ready = self.engine.ready();
        let mut out = Collected::default();
        let number = ready.number();
        out.must_persist = ready.must_sync();
        out.messages.extend(ready.take_messages().into_iter().filter_map(between_nodes));
        let held = ready.take_persisted_messages();
        for state in ready.take_read_states() {
            if let Ok(number) = <[u8; 8]>::try_from(state.request_ctx.as_slice()) {
                out.reads.push((u64::from_le_bytes(number), LogIndex(state.index)));
            }
        }
        let storage = self.engine.mut_store();
        if !ready.snapshot().is_empty() {
            let snapshot = ready.snapshot();
            let metadata = snapshot.get_metadata();
            let conf_state = metadata.get_conf_state().clone();
            storage.reset(metadata.index, metadata.term, conf_state.clone());
            out.installed = Some(Installed {
                index: LogIndex(metadata.index),
                term: Term(metadata.term),
                replicas: conf_state.into(),
                data: snapshot.data.clone(),
            });
        }
        let state = ready.hs().cloned();
        if let Some(state) = &state {
            storage.hard_state = state.clone();
        }
        storage.append(ready.entries());
        out.vote = state.map(|state| self.hard_vote(&state));
        out.entries.extend(ready.take_entries().into_iter().map(LogEntry));
        out.committed.extend(ready.take_committed_entries().into_iter().map(committed));
        self.engine.advance_append_async(ready);
        if out.must_persist {
            self.unpersisted.push_back(Unpersisted { write, ready: number, messages: held });
        } else if let Some(last) = self.unpersisted.back() {
            // Nothing of its own to persist, but rounds count as persisted in order.
            let write = last.write;
            self.unpersisted.push_back(Unpersisted { write, ready: number, messages: held });
        } else {
            self.engine.on_persist_ready(number);
            out.messages.extend(held.into_iter().filter_map(between_nodes));
        }
        out
    }

    /// Everything up to `write` is durable: gives the messages that waited for it.
    pub(crate) fn persisted(&mut self, write: WriteId, messages: &mut Vec<RaftMessage>) {
        while self.unpersisted.front().is_some_and(|first| first.write <= write) {
            let Some(done) = self.unpersisted.pop_front() else { return };
            self.engine.on_persist_ready(done.ready);
            messages.extend(done.messages.into_iter().filter_map(between_nodes));
        }
        // After a catch-up the engine has to be told that its index is applied, or it looks for
        // entries that no longer exist when it campaigns.
        let (applied, _) = self.engine.store().applied;
        if applied > self.engine.raft.raft_log.applied && self.unpersisted.is_empty() {
            self.engine.advance_apply_to(applied);
        }
    }

    /// Whether something of this group is on its way to the disk.
    pub(crate) fn is_persisting(&self) -> bool {
        !self.unpersisted.is_empty()
    }

    /// Entries up to `index` are applied.
    pub(crate) fn set_applied(&mut self, index: LogIndex, term: Term) {
        self.engine.advance_apply_to(index.0);
        self.engine.mut_store().set_applied(index.0, term.0);
    }
}

impl RaftMessage {
    /// The receiver.
    pub(crate) fn to(&self) -> Option<ReplicaId> {
        ReplicaId::from_engine(self.0.to)
    }

    /// The sender.
    pub(crate) fn from(&self) -> Option<ReplicaId> {
        ReplicaId::from_engine(self.0.from)
    }

    /// On a catch-up's last message: where it began.
    pub(crate) fn snapshot_index(&self) -> LogIndex {
        LogIndex(self.0.get_snapshot().get_metadata().index)
    }

    /// What a catch-up's last message carries beside the slots.
    pub(crate) fn snapshot_data(&self) -> &Bytes {
        &self.0.get_snapshot().data
    }

    pub(crate) fn set_snapshot_data(&mut self, data: Vec<u8>) {
        self.0.mut_snapshot().data = data.into();
    }
}

/// The engine also writes messages that followers pass on to their leader (proposals, read
/// indexes). Requests are forwarded before they reach a group, so those are dropped.
fn between_nodes(message: EngineMessage) -> Option<RaftMessage> {
    Kind::of(message.get_msg_type()).map(|_| RaftMessage(message))
}

fn committed(mut entry: Entry) -> Committed {
    let change = (entry.get_entry_type() != EntryType::EntryNormal).then(|| {
        // The leader's engine wrote the bytes, and checksums have covered them since.
        change::parse(&entry.data).expect("a committed change of replicas is well formed")
    });
    Committed {
        index: LogIndex(entry.index),
        term: Term(entry.term),
        context: core::mem::take(&mut entry.context),
        data: core::mem::take(&mut entry.data),
        change: change.map(ReplicaChangeEntry),
    }
}

fn hard_state(vote: HardVote) -> HardState {
    HardState { term: vote.term.0, vote: vote.vote, commit: vote.commit.0, ..HardState::default() }
}

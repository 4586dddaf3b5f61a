//! Changes of the replicas: proposed, as they stand in an entry, and applied.

use alloc::vec::Vec;

use bytes::Bytes;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use types::{DirectoryId, NodeId};

use super::{LogEntry, RaftGroup, RecoveredLog, ReplicaId, Replicas};
use crate::bytes_codec::{CodecError, Take};

/// A committed entry that changes the replicas.
pub(crate) struct ReplicaChangeEntry(pub(super) ConfChangeV2);

impl ReplicaChangeEntry {
    /// The replica that it adds, if it adds one.
    pub(crate) fn added(&self) -> Option<ReplicaId> {
        let adds =
            |step: &&ConfChangeSingle| step.get_change_type() == ConfChangeType::AddLearnerNode;
        let step = self.0.get_changes().iter().find(adds)?;
        ReplicaId::from_engine(step.node_id)
    }
}

/// One step of a change of the replicas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReplicaChange {
    /// A new replica that receives the log but has no vote, or a voter that loses its vote.
    AddLearner(ReplicaId),
    /// A learner that is caught up gets its vote.
    Promote(NodeId),
    /// A replica leaves.
    Remove(NodeId),
    /// A node has lost its data directory: the replica in the old one is removed, with its vote,
    /// and a learner in the new one takes its place.
    Replace(ReplicaId),
}

impl RaftGroup {
    /// Proposes a change of the replicas.
    ///
    /// # Errors
    /// If this replica doesn't lead, or another change is under way: one at a time (a rule that
    /// systems break when changes and faults coincide).
    pub(crate) fn propose_change(&mut self, change: ReplicaChange) -> Result<(), &'static str> {
        if !self.is_leader() {
            return Err("this node does not lead the shard");
        }
        let raft = &self.engine.raft;
        if raft.has_pending_conf() || !raft.prs().conf().to_conf_state().voters_outgoing.is_empty()
        {
            return Err("another change of this shard's replicas is under way");
        }
        let me = self.me().node;
        let own = match change {
            ReplicaChange::Remove(node) => node == me,
            ReplicaChange::AddLearner(new) => new.node == me,
            ReplicaChange::Promote(_) | ReplicaChange::Replace(_) => false,
        };
        if own {
            return Err(
                "the holder's own vote can't be taken; move the lease to another node first",
            );
        }
        let known = |node: NodeId| self.number_of(node);
        let steps = match change {
            ReplicaChange::AddLearner(new) => {
                alloc::vec![(ConfChangeType::AddLearnerNode, new.to_engine())]
            }
            ReplicaChange::Promote(node) => alloc::vec![(ConfChangeType::AddNode, known(node))],
            ReplicaChange::Remove(node) => alloc::vec![(ConfChangeType::RemoveNode, known(node))],
            ReplicaChange::Replace(new) => alloc::vec![
                (ConfChangeType::RemoveNode, known(new.node)),
                (ConfChangeType::AddLearnerNode, new.to_engine()),
            ],
        };
        let step = |(kind, replica): (ConfChangeType, u64)| {
            let mut single = ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = replica;
            single
        };
        let mut proposal = ConfChangeV2::default();
        proposal.set_transition(ConfChangeTransition::Auto);
        let steps: Vec<ConfChangeSingle> = steps.into_iter().map(step).collect();
        proposal.set_changes(steps.into());
        self.engine
            .propose_conf_change(Vec::new(), proposal)
            .map_err(|_| "the shard's log takes no entries at the moment")
    }

    /// Applies a committed change of the replicas.
    pub(crate) fn change_replicas(&mut self, change: &ReplicaChangeEntry) -> Option<Replicas> {
        let state = self.engine.apply_conf_change(&change.0).ok()?;
        self.engine.mut_store().conf_state = state.clone();
        Some(state.into())
    }
}

impl LogEntry {
    /// The change of the replicas that it is, if it is one.
    pub(crate) fn change(&self) -> Result<Option<ReplicaChangeEntry>, CodecError> {
        let change = self.changes_replicas().then(|| parse(self.data()));
        Ok(change.transpose()?.map(ReplicaChangeEntry))
    }
}

impl Replicas {
    /// The replicas after a change, which the engine knows how to make, for a log that nobody
    /// applies. `None` where a replica that applies it goes on with those it had.
    pub(crate) fn changed(&self, change: &ReplicaChangeEntry) -> Option<Self> {
        let log = RecoveredLog { replicas: self.clone(), ..RecoveredLog::default() };
        let whoever = self.all().next()?;
        RaftGroup::new(whoever.node, DirectoryId::FOUNDING, log).change_replicas(change)
    }
}

/// Reads what the engine writes for a change of the replicas: protobuf, of which only three
/// fields occur. By hand, because the engine's own parser must not see bytes from a network.
pub(super) fn parse(data: &[u8]) -> Result<ConfChangeV2, CodecError> {
    let mut change = ConfChangeV2::default();
    let mut from = Take::new(data);
    let mut singles = Vec::new();
    while !from.is_empty() {
        match from.var()? {
            0x08 => change.set_transition(match from.var()? {
                0 => ConfChangeTransition::Auto,
                1 => ConfChangeTransition::Implicit,
                2 => ConfChangeTransition::Explicit,
                3..=u64::MAX => return Err(CodecError("a known transition")),
            }),
            0x12 => singles.push(parse_single(from.bytes()?)?),
            0x1a => change.context = Bytes::copy_from_slice(from.bytes()?),
            0..=u64::MAX => return Err(CodecError("a known field of a change of replicas")),
        }
    }
    change.set_changes(singles.into());
    Ok(change)
}

fn parse_single(data: &[u8]) -> Result<ConfChangeSingle, CodecError> {
    let mut single = ConfChangeSingle::default();
    let mut from = Take::new(data);
    while !from.is_empty() {
        match from.var()? {
            0x08 => single.set_change_type(match from.var()? {
                0 => ConfChangeType::AddNode,
                1 => ConfChangeType::RemoveNode,
                2 => ConfChangeType::AddLearnerNode,
                3..=u64::MAX => return Err(CodecError("a known kind of change")),
            }),
            0x10 => single.node_id = from.var()?,
            0..=u64::MAX => return Err(CodecError("a known field of a single change")),
        }
    }
    Ok(single)
}

//! Who takes part in a shard's Raft group.
//!
//! To the engine a replica is not a node but a node's *data directory*: a node that has lost its
//! directory comes back as somebody else. It has forgotten which votes it gave and which entries
//! it acknowledged, so it must not be taken for the replica that did; a message to that one does
//! not concern it, and the configuration that counts the old one's vote can't count its own. The
//! leader puts the new replica in the old one's place by a change of the replicas, for which the
//! new one's vote does not count (CockroachDB's replica ids have the same purpose).

use alloc::vec::Vec;

use raft::eraftpb::ConfState;
use types::{DirectoryId, NodeId};

use super::message;
use crate::bytes_codec::{CodecError, Take};

/// One replica of a shard: a node and the data directory it lies in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ReplicaId {
    pub(crate) node: NodeId,
    pub(crate) directory: DirectoryId,
}

/// The voters and learners of a shard, as its log says. At most one replica for each node, but
/// for the moment in which one takes another's place.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Replicas(ConfState);

impl ReplicaId {
    /// The engine's number for it.
    pub(crate) fn to_engine(self) -> u64 {
        u64::from(self.directory.0) << 32 | u64::from(self.node.0)
    }

    /// The replica that the engine means; `None` for its "nobody".
    pub(crate) fn from_engine(number: u64) -> Option<Self> {
        // Both halves fit: that is what the shift and the mask are for.
        let (directory, node) = ((number >> 32) as u32, number as u32);
        (node != 0).then_some(Self { node: NodeId(node), directory: DirectoryId(directory) })
    }
}

impl From<ConfState> for Replicas {
    fn from(state: ConfState) -> Self {
        Self(state)
    }
}

impl Replicas {
    /// The configuration at the birth of a cluster.
    pub(crate) fn of_voters(nodes: &[NodeId]) -> Self {
        let founder = |&node: &NodeId| ReplicaId { node, directory: DirectoryId::FOUNDING };
        let mut voters: Vec<u64> = nodes.iter().map(founder).map(ReplicaId::to_engine).collect();
        voters.sort_unstable();
        Self(ConfState { voters, ..ConfState::default() })
    }

    /// All voters, the outgoing ones of a joint configuration included, in ascending order.
    pub(crate) fn voters(&self) -> Vec<NodeId> {
        nodes(self.0.voters.iter().chain(&self.0.voters_outgoing))
    }

    /// All learners in ascending order.
    pub(crate) fn learners(&self) -> Vec<NodeId> {
        nodes(self.0.learners.iter().chain(&self.0.learners_next))
    }

    /// Whether `node` may vote now and after the change that may be under way.
    pub(crate) fn is_lasting_voter(&self, node: NodeId) -> bool {
        nodes(self.0.voters.iter()).contains(&node)
    }

    /// The replica on a node: the one that stays, while one takes another's place.
    pub(crate) fn on(&self, node: NodeId) -> Option<ReplicaId> {
        self.all().find(|replica| replica.node == node)
    }

    /// All replicas, those that are about to go last.
    pub(crate) fn all(&self) -> impl Iterator<Item = ReplicaId> {
        let ConfState { voters, learners, learners_next, voters_outgoing, .. } = &self.0;
        let all = voters.iter().chain(learners).chain(learners_next).chain(voters_outgoing);
        all.filter_map(|&number| ReplicaId::from_engine(number))
    }

    /// The engine's own form.
    pub(super) fn into_inner(self) -> ConfState {
        self.0
    }

    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.voters().contains(&node) || self.learners().contains(&node)
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        message::encode_conf_state(&self.0, into);
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        message::decode_conf_state(from).map(Self)
    }
}

fn nodes<'a>(numbers: impl Iterator<Item = &'a u64>) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> =
        numbers.filter_map(|&number| ReplicaId::from_engine(number)).map(|it| it.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

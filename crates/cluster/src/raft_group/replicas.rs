//! Who takes part in a shard's Raft group.
//!
//! To the engine a replica is not a node but a node's *data directory*: a node that has lost its
//! directory comes back as somebody else. It has forgotten which votes it gave and which entries
//! it acknowledged, so it must not be taken for the replica that did; a message to that one does
//! not concern it, and the configuration that counts the old one's vote can't count its own. The
//! leader puts the new replica in the old one's place by a change of the replicas, for which the
//! new one's vote does not count (CockroachDB's replica ids have the same purpose).
//!
//! A replica that is removed gives its log up, too, and its directory may be given another one of
//! the same shard later. That one is somebody else again: it has a *seat* of its own. With the old
//! name it would be taken for a replica that has acknowledged what it has given up: by an
//! acknowledgement that is still on its way, or by its own removal, which it finds in the log that
//! it is fed.

use alloc::vec::Vec;

use raft::eraftpb::ConfState;
use types::limits::NODE_ID_MAX;
use types::{DirectoryId, NodeId};

use super::message;
use crate::bytes_codec::{CodecError, Take};

/// Counts the replicas that were added to a shard, modulo 65,536; those that it began with have
/// seat 0. So a replica's name is never that of an earlier one in the same directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Seat(pub(crate) u16);

/// One replica of a shard: a node, the data directory it lies in, and its seat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ReplicaId {
    pub(crate) node: NodeId,
    pub(crate) directory: DirectoryId,
    pub(crate) seat: Seat,
}

/// The voters and learners of a shard, as its log says. At most one replica for each node, but
/// for the moment in which one takes another's place.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Replicas(ConfState);

impl Seat {
    /// The seat of the next replica that is added.
    pub(crate) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether this one was given after `other`, if fewer than 32,768 were given in between.
    pub(crate) fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }
}

impl ReplicaId {
    /// The engine's number for it.
    pub(crate) fn to_engine(self) -> u64 {
        debug_assert!(self.node.0 <= NODE_ID_MAX, "a node's number is longer than 16 bits");
        u64::from(self.directory.0) << 32 | u64::from(self.seat.0) << 16 | u64::from(self.node.0)
    }

    /// The replica that the engine means; `None` for its "nobody".
    pub(crate) fn from_engine(number: u64) -> Option<Self> {
        // All parts fit: that is what the shifts are for.
        let (directory, seat, node) = ((number >> 32) as u32, (number >> 16) as u16, number as u16);
        let id =
            Self { node: NodeId(node.into()), directory: DirectoryId(directory), seat: Seat(seat) };
        (node != 0).then_some(id)
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
        let founder = |&node: &NodeId| ReplicaId {
            node,
            directory: DirectoryId::FOUNDING,
            seat: Seat::default(),
        };
        let mut voters: Vec<u64> = nodes.iter().map(founder).map(ReplicaId::to_engine).collect();
        voters.sort_unstable();
        Self(ConfState { voters, ..ConfState::default() })
    }

    /// All voters, the outgoing ones of a joint configuration included, in ascending order.
    pub(crate) fn voters(&self) -> Vec<NodeId> {
        nodes(self.0.voters.iter().chain(&self.0.voters_outgoing))
    }

    /// The voters; while the configuration is joint, also the outgoing ones, as a second set.
    pub(crate) fn voter_sets(&self) -> impl Iterator<Item = Vec<ReplicaId>> {
        let sets = [&self.0.voters, &self.0.voters_outgoing].into_iter();
        let set = |numbers: &Vec<u64>| {
            numbers.iter().filter_map(|&number| ReplicaId::from_engine(number)).collect()
        };
        sets.filter(|set| !set.is_empty()).map(set)
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

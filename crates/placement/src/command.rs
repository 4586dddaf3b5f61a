//! What operators, and the cluster's own membership, tell the manager. Each command is checked as
//! a whole: a refused one has changed nothing.

use alloc::vec::Vec;
use core::fmt;

use types::limits::{NODES_MAX, REPLICAS_MAX, SHARDS_MAX};
use types::{NodeId, ShardId, SlotRange};

use crate::locality::Locality;

/// Counts versions of a shard's range and replica set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// What is expected of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Duty {
    /// It holds leases and replicas.
    #[default]
    Full,
    /// Its leases leave at once and none comes: it will restart.
    NoLeases,
    /// Its replicas leave too: it will be gone.
    Leaving,
}

/// Where the operator wants a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pin {
    /// On this node.
    Node(NodeId),
    /// On any node of this zone.
    Zone {
        /// The zone's region.
        region: alloc::string::String,
        /// The zone.
        zone: alloc::string::String,
    },
}

impl Pin {
    /// Whether the pin allows this node.
    #[must_use]
    pub fn allows(&self, node: NodeId, locality: &Locality) -> bool {
        match self {
            Self::Node(only) => *only == node,
            Self::Zone { region, zone } => locality.region == *region && locality.zone == *zone,
        }
    }
}

/// A change of what the manager works on.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// A node joins, or its labels change.
    Node {
        /// The node.
        node: NodeId,
        /// Where it stands.
        locality: Locality,
    },
    /// A node is gone for good: it has no replicas any more.
    Forget(NodeId),
    /// What is expected of a node from now on.
    Duty(NodeId, Duty),
    /// A shard and its replicas, as its own log says.
    Shard {
        /// The shard.
        shard: ShardId,
        /// Its slots.
        range: SlotRange,
        /// The nodes of its voters.
        replicas: Vec<NodeId>,
        /// Counts the versions of this: an older one is refused.
        generation: Generation,
    },
    /// A shard is gone: merged into its neighbour.
    DropShard(ShardId),
    /// A shard should stay in a place; `None` ends that.
    Pin(ShardId, Option<Pin>),
    /// Whether only failures and the operator move anything.
    Freeze(bool),
}

/// Why a command was refused. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusedCommand {
    /// The node was not added.
    UnknownNode(NodeId),
    /// The shard was not defined.
    UnknownShard(ShardId),
    /// There are as many nodes as there can be.
    TooManyNodes,
    /// There are as many shards as there can be.
    TooManyShards,
    /// A shard has between one and seven replicas, on different nodes.
    BadReplicas(ShardId),
    /// A newer version of the shard is known.
    OldGeneration {
        /// The shard.
        shard: ShardId,
        /// The newest known.
        known: Generation,
    },
    /// The node still has a replica of this shard.
    StillUsed(NodeId, ShardId),
    /// No other replica of this shard could hold its lease.
    LastReplica(NodeId, ShardId),
    /// No replica of the shard is where the pin wants it.
    PinLeadsNowhere(ShardId),
    /// The shard has a replica where the pin wants it, but leases are to leave that node.
    PinnedToDrained(NodeId, ShardId),
    /// A shard is pinned to the node.
    PinnedThere(NodeId, ShardId),
}

impl fmt::Display for RefusedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNode(node) => write!(f, "{node} is not a node of this cluster"),
            Self::UnknownShard(shard) => write!(f, "{shard} is not a shard of this cluster"),
            Self::TooManyNodes => write!(f, "there can't be more than {NODES_MAX} nodes"),
            Self::TooManyShards => write!(f, "there can't be more than {SHARDS_MAX} shards"),
            Self::BadReplicas(shard) => {
                write!(f, "{shard} must have 1 to {REPLICAS_MAX} replicas, on different nodes")
            }
            Self::OldGeneration { shard, known } => write!(f, "{shard} is at {known} already"),
            Self::StillUsed(node, shard) => {
                write!(f, "{node} still has a replica of {shard}: drain the node first")
            }
            Self::LastReplica(node, shard) => write!(
                f,
                "{node} has the only replica of {shard} that may hold its lease: add one, or end \
                 the drain of another node first"
            ),
            Self::PinLeadsNowhere(shard) => write!(
                f,
                "no replica of {shard} is where the pin wants it: move a replica there first"
            ),
            Self::PinnedToDrained(node, shard) => write!(
                f,
                "{node} has a replica of {shard}, but it is being drained or removed: end that \
                 first"
            ),
            Self::PinnedThere(node, shard) => {
                write!(f, "{shard} is pinned to {node}: end the pin first")
            }
        }
    }
}

impl core::error::Error for RefusedCommand {}

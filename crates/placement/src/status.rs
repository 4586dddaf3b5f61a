//! How nodes and shards stand, as the manager sees them: for people and their tools.

use alloc::vec::Vec;
use core::time::Duration;

use types::{LeaseEpoch, Monotonic, NodeId, ShardId, SlotRange};

use crate::cluster::ShardState;
use crate::command::{Duty, Generation, Pin};
use crate::manager::Manager;
use crate::resources::Resources;
use crate::round::{Class, Round};

/// How a node stands.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// What is expected of it.
    pub duty: Duty,
    /// Whether it reports.
    pub live: bool,
    /// For how long nothing has been heard of it.
    pub silence: Duration,
    /// Its utilisation, moves under way counted; 1 is full.
    pub used: f64,
    /// The same for each resource.
    pub shares: Resources,
    /// The part of its memory that is filled.
    pub memory: f64,
    /// 99th percentile of the time of an fsync.
    pub fsync: Duration,
    /// Its class.
    pub class: Class,
    /// Leases that it holds or is about to hold.
    pub leases: usize,
    /// Replicas that it has.
    pub replicas: usize,
    /// Leases on their way to it.
    pub inbound: u32,
}

/// How a shard stands.
#[derive(Clone, PartialEq, Debug)]
pub struct ShardStatus {
    /// The shard.
    pub shard: ShardId,
    /// Its slots.
    pub range: SlotRange,
    /// Who holds it.
    pub holder: Option<NodeId>,
    /// Its newest lease.
    pub epoch: LeaseEpoch,
    /// The version of its range and replicas.
    pub generation: Generation,
    /// Its voters.
    pub replicas: Vec<NodeId>,
    /// Who campaigns when the holder dies, best first.
    pub heirs: Vec<NodeId>,
    /// What it takes of its holder; 1 is all.
    pub load: f64,
    /// Reads per second.
    pub reads: f64,
    /// Writes per second.
    pub writes: f64,
    /// Where the operator wants it.
    pub pin: Option<Pin>,
    /// Where its lease is on the way to.
    pub moving_to: Option<NodeId>,
    /// How long ago its lease last moved.
    pub moved: Option<Duration>,
}

impl Manager {
    /// The nodes that the manager knows.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.cluster.nodes.keys().copied()
    }

    /// The shards that the manager knows.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.cluster.shards.keys().copied()
    }

    /// The newest known version of a shard's range and replicas.
    #[must_use]
    pub fn generation(&self, shard: ShardId) -> Option<Generation> {
        self.cluster.shards.get(&shard).map(|state| state.generation)
    }

    /// Who holds a shard.
    #[must_use]
    pub fn holder(&self, shard: ShardId) -> Option<NodeId> {
        self.cluster.shards.get(&shard)?.holder.map(|holder| holder.node)
    }

    /// The voters of a shard.
    #[must_use]
    pub fn replicas(&self, shard: ShardId) -> Option<&[NodeId]> {
        self.cluster.shards.get(&shard).map(|state| state.replicas.as_slice())
    }

    /// Whether only failures and orders move anything, and why.
    #[must_use]
    pub fn held_still(&self, now: Monotonic) -> Option<&'static str> {
        if self.cluster.frozen {
            return Some("the operator has frozen the cluster");
        }
        self.cluster
            .many_nodes_lost(now, &self.policy)
            .then_some("many nodes were lost of late, and more might be by moving")
    }

    /// How all nodes and shards stand, and the mean utilisation of the nodes.
    #[must_use]
    pub fn status(&self, now: Monotonic) -> (Vec<NodeStatus>, Vec<ShardStatus>, f64) {
        let round = Round::new(&self.cluster, &self.policy, self.budget, now, self.seed);
        let nodes = self.cluster.nodes.keys().map(|node| self.node_status(&round, *node));
        let shards = self.cluster.shards.iter();
        let shards = shards.map(|(shard, state)| shard_status(&round, *shard, state));
        (nodes.collect(), shards.collect(), round.mean)
    }

    fn node_status(&self, round: &Round<'_>, node: NodeId) -> NodeStatus {
        let (state, view) = (&self.cluster.nodes[&node], &round.nodes[&node]);
        let memory = if state.memory_capacity > 0.0 {
            state.memory_used / state.memory_capacity
        } else {
            0.0
        };
        let is_here = |shard: &&ShardState| shard.replicas.contains(&node);
        NodeStatus {
            node,
            duty: state.duty,
            live: view.live,
            silence: state.silence(round.now),
            used: view.used(),
            shares: view.level.shares_of(view.capacity),
            memory,
            fsync: state.fsync,
            class: round.class_of(node),
            leases: round.seats.values().filter(|seat| **seat == node).count(),
            replicas: self.cluster.shards.values().filter(is_here).count(),
            inbound: view.inbound,
        }
    }
}

fn shard_status(round: &Round<'_>, shard: ShardId, state: &ShardState) -> ShardStatus {
    let holder = state.holder.map(|holder| holder.node);
    ShardStatus {
        shard,
        range: state.range,
        holder,
        epoch: state.epoch,
        generation: state.generation,
        replicas: state.replicas.clone(),
        heirs: state.heirs_now(),
        load: holder.map_or(0.0, |holder| round.share_at(state, holder)),
        reads: state.reads,
        writes: state.writes,
        pin: state.pin.clone(),
        moving_to: state.pending.map(|pending| pending.to),
        moved: state.moved.map(|moved| round.now.since(moved.at)),
    }
}

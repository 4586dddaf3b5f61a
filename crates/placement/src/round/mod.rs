//! One round: a working picture of the cluster, and the phases that choose what to do, in a fixed
//! order.
//!
//! | phase | what | held back by |
//! |---|---|---|
//! | `vacant` | shards that nobody holds | - |
//! | `orders` | drains and pins | - |
//! | `balance` | urgent, overfull and hungry nodes | freeze, budget, cool-downs, hysteresis |
//! | `proximity` | shards whose clients are elsewhere | the same, and its own gates |
//! | `succession` | the order of heirs of each shard | its interval and margin |
//! | `replicas` | repair, leaving, relief, spread | its own throttle; freeze, for the last two |
//!
//! Each choice changes the picture at once, so the next one sees it: ten shards do not all flee to
//! the same idle node. Moves of earlier rounds that are under way are part of the picture from
//! the start, since a shard's seat is where its lease will be.

mod balance;
mod bids;
mod orders;
mod proximity;
mod replicas;
mod succession;
mod vacant;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use types::{Monotonic, NodeId, ShardId, Slot};

use crate::bid::{Band, Bid};
use crate::budget::Budget;
use crate::cluster::{Cluster, ShardState};
use crate::command::Duty;
use crate::decision::{Action, Inputs, Reason};
use crate::policy::Policy;
use crate::resources::Resources;

pub use balance::Class;
pub(crate) use balance::Finding;

/// Something to do.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) shard: ShardId,
    pub(crate) action: Action,
    pub(crate) reason: Reason,
    pub(crate) inputs: Inputs,
    pub(crate) bids: Vec<Bid>,
    pub(crate) gain: f64,
}

/// A node in the working picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeView {
    pub(crate) capacity: Resources,
    /// What it carries, moves under way counted, by the level averages; without what ends by itself
    /// when clients have heard of the latest moves.
    pub(crate) level: Resources,
    /// All that it carries, by the larger of level and fast averages.
    pub(crate) peak: Resources,
    /// Whether it reports.
    pub(crate) live: bool,
    /// Whether leases may come to it.
    pub(crate) accepts: bool,
    /// Whether its last report is about its present leases.
    pub(crate) settled: bool,
    /// Whether its requests wait too long.
    pub(crate) queues: bool,
    /// Leases on their way to it.
    pub(crate) inbound: u32,
    /// What is on its way from it.
    pub(crate) outbound: Resources,
}

impl NodeView {
    /// The share of the capacity that is used, by the level averages.
    pub(crate) fn used(&self) -> f64 {
        self.level.share_of(self.capacity)
    }
}

/// The working picture.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) policy: &'a Policy,
    pub(crate) now: Monotonic,
    pub(crate) seed: u64,
    pub(crate) nodes: BTreeMap<NodeId, NodeView>,
    /// Where each lease is or will be.
    pub(crate) seats: BTreeMap<ShardId, NodeId>,
    /// The shards by their first slot.
    pub(crate) by_slot: BTreeMap<Slot, ShardId>,
    /// Nodes that are full: their shards would take more than was measured.
    pub(crate) full: BTreeSet<NodeId>,
    /// Mean utilisation of the nodes that accept leases, all shards counted.
    pub(crate) mean: f64,
    pub(crate) band: Band,
    /// What a shard is taken for whose load nobody knows.
    pub(crate) assumed: Resources,
    /// What a shard takes on the average.
    pub(crate) mean_shard: f64,
    pub(crate) budget: Budget,
    pub(crate) many_nodes_lost: bool,
    /// Whether nodes stand in more than one zone.
    pub(crate) several_zones: bool,
    pub(crate) findings: BTreeMap<NodeId, Finding>,
    pub(crate) chosen: Vec<Choice>,
}

impl<'a> Round<'a> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        policy: &'a Policy,
        mut budget: Budget,
        now: Monotonic,
        seed: u64,
    ) -> Self {
        budget.begin_round(cluster.shards.len(), policy);
        let mut localities = cluster.nodes.values().map(|node| &node.locality);
        let several_zones =
            localities.next().is_some_and(|first| localities.any(|other| !other.same_zone(first)));
        let mut round = Self {
            cluster,
            policy,
            now,
            seed,
            nodes: BTreeMap::new(),
            seats: BTreeMap::new(),
            full: BTreeSet::new(),
            by_slot: cluster.shards.iter().map(|(id, shard)| (shard.range.first(), *id)).collect(),
            mean: 0.0,
            band: Band::around(0.0, policy.band),
            assumed: Resources::NONE,
            mean_shard: 0.0,
            budget,
            many_nodes_lost: cluster.many_nodes_lost(now, policy),
            several_zones,
            findings: BTreeMap::new(),
            chosen: Vec::new(),
        };
        round.add_nodes();
        round.find_full();
        round.add_shards();
        round
    }

    fn add_nodes(&mut self) {
        for (node, state) in &self.cluster.nodes {
            let live = state.is_live(self.now, self.policy);
            let view = NodeView {
                capacity: state.capacity,
                level: state.background.level(),
                peak: state.background.peak() + state.late,
                live,
                accepts: live && state.duty == Duty::Full && state.fsync <= self.policy.fsync_max,
                settled: live && state.is_settled(),
                queues: false,
                inbound: 0,
                outbound: Resources::NONE,
            };
            self.nodes.insert(*node, view);
        }
    }

    /// Finds the nodes that do all they can and still let requests wait.
    fn find_full(&mut self) {
        // What each node serves, how many shards it holds, and how many of them wait.
        let mut held: BTreeMap<NodeId, (Resources, usize, usize)> = BTreeMap::new();
        for state in self.cluster.shards.values() {
            if let Some(holder) = state.holder {
                let (load, count, waiting) = held.entry(holder.node).or_default();
                *load += state.load.level();
                *count += 1;
                *waiting += usize::from(state.queue > self.policy.queue_time_max);
            }
        }
        for (node, (load, count, waiting)) in held {
            let Some(view) = self.nodes.get_mut(&node) else { continue };
            // Waiting of the whole node shows in most of its shards; what waits in one shard alone
            // would wait elsewhere too.
            view.queues = waiting * 2 > count;
            let used = (view.level + load).share_of(view.capacity);
            if view.queues && used > self.policy.full {
                self.full.insert(node);
            }
        }
    }

    fn add_shards(&mut self) {
        let accepting = || self.nodes.values().filter(|view| view.accepts);
        let capacity = accepting().fold(Resources::NONE, |sum, view| sum + view.capacity);
        let mut total = accepting().fold(Resources::NONE, |sum, view| sum + view.level);
        let known: Vec<Resources> = self
            .cluster
            .shards
            .values()
            .filter(|shard| shard.load.is_known())
            .map(|shard| self.level_of(shard))
            .collect();
        let sum = known.iter().fold(Resources::NONE, |sum, load| sum + *load);
        let shards = self.cluster.shards.len().max(1) as f64;
        self.assumed = if known.is_empty() {
            // Enough to spread by count; no more is known.
            capacity * (self.policy.calm / shards)
        } else {
            sum * (1.0 / known.len() as f64)
        };
        total += sum + self.assumed * (shards - known.len() as f64);
        self.mean = total.share_of(capacity);
        self.mean_shard = self.mean * accepting().count() as f64 / shards;
        self.band = Band::around(self.mean, self.policy.band);
        for (shard, state) in &self.cluster.shards {
            if let Some(pending) = state.pending {
                let load = self.level_of(state);
                if let Some(view) = self.nodes.get_mut(&pending.to) {
                    view.inbound += 1;
                    view.settled = false;
                }
                if let Some(view) = pending.from.and_then(|from| self.nodes.get_mut(&from)) {
                    view.outbound += load;
                    view.settled = false;
                }
            }
            if let Some(seat) = state.seat() {
                self.seats.insert(*shard, seat);
                let (level, peak) = (self.level_of(state), self.peak_of(state));
                if let Some(view) = self.nodes.get_mut(&seat) {
                    view.level += level;
                    view.peak += peak;
                }
            }
        }
    }

    /// What a shard takes; what an unknown one is taken for.
    pub(crate) fn level_of(&self, shard: &ShardState) -> Resources {
        self.estimate(shard, shard.load.level())
    }

    /// The same, by the larger of level and fast averages.
    pub(crate) fn peak_of(&self, shard: &ShardState) -> Resources {
        self.estimate(shard, shard.load.peak())
    }

    fn estimate(&self, shard: &ShardState, measured: Resources) -> Resources {
        if !shard.load.is_known() {
            return self.assumed;
        }
        let full = shard.holder.is_some_and(|holder| self.full.contains(&holder.node));
        if full { measured * self.policy.stretch } else { measured }
    }

    /// Runs all phases.
    pub(crate) fn run(&mut self, succession_due: bool) {
        vacant::run(self);
        orders::run(self);
        balance::run(self);
        proximity::run(self);
        if succession_due {
            succession::run(self);
        }
        replicas::run(self);
    }

    /// Whether nothing may move for the sake of balance.
    pub(crate) fn is_held_still(&self) -> bool {
        self.cluster.frozen || self.many_nodes_lost
    }

    /// The shards whose lease is or will be at the node, with their states.
    pub(crate) fn seated_at(&self, node: NodeId) -> Vec<(ShardId, &'a ShardState)> {
        let cluster = self.cluster;
        self.seats
            .iter()
            .filter(|(_, seat)| **seat == node)
            .filter_map(|(shard, _)| Some((*shard, cluster.shards.get(shard)?)))
            .collect()
    }

    /// Chooses to move a lease and changes the picture accordingly.
    pub(crate) fn move_lease(
        &mut self,
        shard: ShardId,
        to: NodeId,
        reason: Reason,
        bids: Vec<Bid>,
    ) {
        let Some(state) = self.cluster.shards.get(&shard) else { return };
        let from = self.seats.get(&shard).copied();
        let winner = bids.iter().find(|bid| bid.node == to).and_then(|bid| bid.terms.ok());
        let gain = winner.map_or(0.0, |terms| terms.load);
        let inputs = self.inputs(state, from, to);
        let (level, peak) = (self.level_of(state), self.peak_of(state));
        if let Some(view) = from.and_then(|from| self.nodes.get_mut(&from)) {
            view.level = view.level - level;
            view.peak = view.peak - peak;
            view.outbound += level;
        }
        if let Some(view) = self.nodes.get_mut(&to) {
            view.level += level;
            view.peak += peak;
            view.inbound += 1;
        }
        self.seats.insert(shard, to);
        let action = Action::Lease { from, to, epoch: state.epoch };
        self.chosen.push(Choice { shard, action, reason, inputs, bids, gain });
    }

    pub(crate) fn inputs(&self, shard: &ShardState, from: Option<NodeId>, to: NodeId) -> Inputs {
        let used = |node: NodeId| self.nodes.get(&node).map_or(0.0, NodeView::used);
        let capacity = self.nodes.get(&to).map_or(Resources::NONE, |view| view.capacity);
        Inputs {
            mean: self.mean,
            source: from.map_or(0.0, used),
            target: used(to),
            shard: self.level_of(shard).share_of(capacity),
            reads: shard.reads,
            writes: shard.writes,
        }
    }

    /// How much worse two nodes would be if a shard that moved were still at `from`. `None` if it
    /// has moved on, or could not have stayed because a node is gone or drained.
    pub(crate) fn gain_of_staying(&self, shard: ShardId, from: NodeId, to: NodeId) -> Option<f64> {
        if self.seats.get(&shard) != Some(&to) {
            return None;
        }
        let load = self.level_of(self.cluster.shards.get(&shard)?);
        let (left, right) = (self.nodes.get(&from)?, self.nodes.get(&to)?);
        if !left.accepts || !right.accepts {
            return None;
        }
        let penalty =
            |load: Resources, view: &NodeView| self.band.penalty(load.share_of(view.capacity));
        let stayed = penalty(left.level + load, left) + penalty(right.level - load, right);
        Some(stayed - penalty(left.level, left) - penalty(right.level, right))
    }

    /// Whether a node is so far from balance that shards which have just moved may move again.
    pub(crate) fn is_pressing(&self, node: NodeId) -> bool {
        let uneven = self.policy.uneven * self.mean;
        self.class_of(node) == Class::Urgent
            || self.nodes.get(&node).is_some_and(|view| view.used() > uneven)
    }

    /// The class of a node.
    pub(crate) fn class_of(&self, node: NodeId) -> Class {
        balance::classify(self, node)
    }
}

/// A number that depends on the seed and two others only: breaks ties without favouring anybody.
pub(crate) fn tie_break(seed: u64, shard: ShardId, node: NodeId) -> u64 {
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut mixed = seed ^ (u64::from(shard.0) << 32 | u64::from(node.0));
    mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

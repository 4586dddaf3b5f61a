//! A small cluster that reports what it is told to, and carries out what is decided.

use std::collections::BTreeMap;
use std::time::Duration;

use placement::{
    Action, Command, Decision, Follower, Generation, HeldShard, Locality, Manager, Origin, Outcome,
    Percentiles, Policy, Report, Resources, RoundTrip,
};
use types::{Incarnation, LeaseEpoch, Monotonic, NodeId, ShardId, SlotRange};

pub(crate) const CAPACITY: Resources = Resources { cpu: 1e6, network: 1e8, log: 1e6 };

/// A shard: its load as a share of a node, where it is, under which lease.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) load: f64,
    pub(crate) holder: Option<NodeId>,
    pub(crate) epoch: u64,
    pub(crate) replicas: Vec<NodeId>,
    pub(crate) generation: u64,
    pub(crate) origins: Vec<(Origin, f64)>,
}

pub(crate) struct Cluster {
    pub(crate) manager: Manager,
    pub(crate) seconds: u64,
    pub(crate) silent: Vec<NodeId>,
    /// Nodes that only the manager does not hear.
    pub(crate) unheard: Vec<NodeId>,
    pub(crate) clocks_off: Vec<NodeId>,
    /// Nodes whose disks are nearly full.
    pub(crate) disks_full: Vec<NodeId>,
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) shards: BTreeMap<ShardId, Shard>,
    pub(crate) round_trips: BTreeMap<(NodeId, Origin), Duration>,
    /// What node 1 uses beside its shards, and the part of it that it reports as late, as shares.
    pub(crate) background: f64,
    pub(crate) late: f64,
    /// For how long requests wait, in the 99th percentile.
    pub(crate) queue: Duration,
    /// Whether leases are moved as decided.
    pub(crate) obeys: bool,
    /// Whether every lease was handed over.
    pub(crate) handed_over: bool,
}

impl Cluster {
    /// Nodes from 1, without labels; every shard has a replica on each; nobody holds any.
    pub(crate) fn new(policy: Policy, nodes: u32, loads: &[f64]) -> Self {
        let replicas: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
        let mut cluster = Self {
            manager: Manager::new(policy, 7).expect("a valid policy"),
            seconds: 100,
            silent: Vec::new(),
            unheard: Vec::new(),
            clocks_off: Vec::new(),
            disks_full: Vec::new(),
            nodes: Vec::new(),
            shards: BTreeMap::new(),
            round_trips: BTreeMap::new(),
            background: 0.0,
            late: 0.0,
            queue: Duration::ZERO,
            obeys: true,
            handed_over: false,
        };
        for node in &replicas {
            cluster.join(*node, Locality::default());
        }
        for (number, load) in loads.iter().enumerate() {
            let shard = Shard {
                load: *load,
                holder: None,
                epoch: 0,
                replicas: replicas.clone(),
                generation: 0,
                origins: Vec::new(),
            };
            cluster.shards.insert(ShardId(number as u32), shard);
        }
        let ids: Vec<ShardId> = cluster.shards.keys().copied().collect();
        for shard in ids {
            cluster.define(shard, None);
        }
        cluster
    }

    /// The same, with each shard held by the node that `place` says.
    pub(crate) fn placed(nodes: u32, loads: &[f64], place: impl Fn(usize) -> u32) -> Self {
        let mut cluster = Self::new(Policy::default(), nodes, loads);
        for (number, shard) in cluster.shards.values_mut().enumerate() {
            (shard.holder, shard.epoch) = (Some(NodeId(place(number))), 1);
        }
        cluster
    }

    pub(crate) fn now(&self) -> Monotonic {
        Monotonic(0) + Duration::from_secs(self.seconds)
    }

    pub(crate) fn join(&mut self, node: NodeId, locality: Locality) {
        if !self.nodes.contains(&node) {
            self.nodes.push(node);
        }
        self.command(Command::Node { node, locality });
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.manager.command(self.now(), command).expect("an acceptable command");
    }

    /// Tells the manager of a shard, with other replicas if given.
    pub(crate) fn define(&mut self, shard: ShardId, replicas: Option<Vec<NodeId>>) {
        let count = u16::try_from(self.shards.len()).expect("few shards");
        let state = self.shards.get_mut(&shard).expect("a known shard");
        state.replicas = replicas.unwrap_or_else(|| state.replicas.clone());
        state.generation += 1;
        let (replicas, generation) = (state.replicas.clone(), Generation(state.generation));
        let range = SlotRange::even_cut(count)[shard.0 as usize];
        self.command(Command::Shard { shard, range, replicas, generation });
    }

    /// The report that a node would send now.
    /// Whom a node hears.
    fn hears(&self, node: NodeId) -> Vec<NodeId> {
        let others = self.nodes.iter().copied().filter(|other| *other != node);
        others.filter(|other| !self.silent.contains(other)).collect()
    }

    pub(crate) fn report(&self, node: NodeId) -> Report {
        let mut used = Resources::NONE;
        let mut held = Vec::new();
        for (id, shard) in self.shards.iter().filter(|(_, shard)| shard.holder == Some(node)) {
            let load = Resources { cpu: shard.load * CAPACITY.cpu, ..Resources::NONE };
            used += load;
            let others = shard.replicas.iter().filter(|other| **other != node);
            held.push(HeldShard {
                reads: 100.0,
                writes: 10.0,
                load,
                handed_over: self.handed_over,
                queue: Percentiles { p50: Duration::ZERO, p99: self.queue },
                stored: 1e6,
                origins: shard.origins.clone(),
                followers: others
                    .map(|other| Follower {
                        node: *other,
                        lag_entries: 0,
                        lag_time: Duration::ZERO,
                    })
                    .collect(),
                ..HeldShard::idle(*id, LeaseEpoch(shard.epoch), SlotRange::ALL)
            });
        }
        let share = |share: f64| if node == NodeId(1) { share * CAPACITY.cpu } else { 0.0 };
        used.cpu += share(self.background);
        let late = Resources { cpu: share(self.late), ..Resources::NONE };
        let trips = self.round_trips.iter().filter(|((of, _), _)| *of == node);
        Report {
            node,
            incarnation: Incarnation(1),
            uptime: Duration::from_secs(self.seconds),
            covers: Duration::from_secs(1),
            capacity: CAPACITY,
            used,
            late,
            memory_capacity: 1e9,
            memory_used: 1e8,
            fsync: Duration::from_millis(1),
            clock_ahead: 0,
            clock_off: self.clocks_off.contains(&node),
            disk_full: self.disks_full.contains(&node),
            hears: self.hears(node),
            round_trips: trips
                .map(|((_, origin), time)| RoundTrip { origin: *origin, time: *time })
                .collect(),
            origins: Vec::new(),
            held,
        }
    }

    /// A second passes: all report, the manager decides, and leases move.
    pub(crate) fn second(&mut self) -> Vec<Decision> {
        self.seconds += 1;
        for node in self.nodes.clone() {
            if !self.silent.contains(&node) && !self.unheard.contains(&node) {
                let report = self.report(node);
                self.manager.observe(self.now(), report).expect("a sound report");
            }
        }
        let decisions = self.manager.decide(self.now());
        if self.obeys {
            for decision in &decisions {
                self.obey(decision);
            }
        }
        decisions
    }

    pub(crate) fn seconds(&mut self, count: usize) -> Vec<Decision> {
        (0..count).flat_map(|_| self.second()).collect()
    }

    pub(crate) fn obey(&mut self, decision: &Decision) {
        let shard = self.shards.get_mut(&decision.shard).expect("a known shard");
        if let Action::Lease { to, epoch, .. } = &decision.action {
            assert_eq!(epoch.0, shard.epoch, "the decision is about the current lease");
            (shard.holder, shard.epoch) = (Some(*to), shard.epoch + 1);
            let outcome = Outcome::Applied { epoch: LeaseEpoch(shard.epoch) };
            self.manager.outcome(self.now(), decision.id, outcome).expect("a known decision");
        }
    }

    /// What each node carries.
    pub(crate) fn loads(&self) -> BTreeMap<NodeId, f64> {
        let mut loads: BTreeMap<NodeId, f64> = self.nodes.iter().map(|node| (*node, 0.0)).collect();
        for shard in self.shards.values() {
            if let Some(holder) = shard.holder {
                *loads.entry(holder).or_default() += shard.load;
            }
        }
        loads
    }
}

/// The moves of leases among decisions: shard, from, to.
pub(crate) fn moves(decisions: &[Decision]) -> Vec<(ShardId, Option<NodeId>, NodeId)> {
    decisions
        .iter()
        .filter_map(|decision| match decision.action {
            Action::Lease { from, to, .. } => Some((decision.shard, from, to)),
            Action::Succession { .. } | Action::Replica { .. } => None,
        })
        .collect()
}

//! The cluster of the laboratory: nodes with a capacity, shards with replicas and a holder, and
//! the laws by which leases move, nodes die and measurements are taken.
//!
//! It models what matters to placement and no more: a transfer takes a tick, a failover a second, a
//! copy ten; a node that is asked for more than it has serves its shards in proportion, and what
//! it measures is what it served. Orders with an old epoch are refused, as real shards do.

use std::collections::BTreeMap;
use std::time::Duration;

use placement::{
    Follower, Generation, HeldShard, Origin, Percentiles, Report, Resources, RoundTrip,
};
use types::{Incarnation, LeaseEpoch, NodeId, ShardId, SlotRange};

use crate::clients::{self, RoundTrips, Shares, ZONES};
use crate::demand::{CAPACITY, Demand, FOLLOW_COST, Source};
use crate::scenario::Scenario;

/// The world's step.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// From a node's death until its shards have new holders.
const FAILOVER: Duration = Duration::from_millis(1000);
/// How long it takes to copy a replica.
pub(crate) const COPY: Duration = Duration::from_secs(10);
/// How often a node reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The queue of a node that is asked for more than it has.
const QUEUE_FULL: Duration = Duration::from_millis(100);

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) alive: bool,
    pub(crate) zone: u32,
    incarnation: u64,
    started_at: Duration,
    report_at: Duration,
    measured_from: Duration,
    /// What it has used since then.
    used: Resources,
    /// What is asked of it now, without and with noise.
    pub(crate) expected: f64,
    pub(crate) offered: f64,
    /// The part of it that is no shard's: followers' work.
    pub(crate) background: f64,
}

/// A lease on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) to: NodeId,
    done_at: Duration,
    /// Which order this is, of whom.
    pub(crate) order: Option<(usize, placement::DecisionId)>,
    /// Whether nobody forced the move, so that a return is a flip.
    free: bool,
}

/// A shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) replicas: Vec<NodeId>,
    pub(crate) generation: u64,
    pub(crate) holder: Option<NodeId>,
    pub(crate) epoch: u64,
    pub(crate) heirs: Vec<NodeId>,
    vacant_since: Duration,
    pub(crate) transfer: Option<Transfer>,
    /// Copies under way: where from, where to, when done, by whose order.
    pub(crate) copy: Option<Copying>,
    /// Where the lease was before, and when it left.
    before: Option<(NodeId, Duration)>,
    measured: Demand,
    measured_load: Resources,
}

/// A replica being made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copying {
    from: Option<NodeId>,
    to: NodeId,
    done_at: Duration,
    pub(crate) order: (usize, placement::DecisionId),
}

/// What came of a tick that others want to know.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    /// Orders that were carried out.
    pub(crate) done: Vec<(usize, placement::DecisionId, LeaseEpoch)>,
    /// Orders that failed.
    pub(crate) failed: Vec<(usize, placement::DecisionId)>,
    /// Shards whose replicas changed.
    pub(crate) changed: Vec<usize>,
    pub(crate) reports: Vec<Report>,
    pub(crate) moves: u32,
    pub(crate) flips: u32,
    pub(crate) returns: u32,
    pub(crate) failovers: u32,
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) shards: Vec<Shard>,
}

/// A return within this time is a flip.
const FLIP: Duration = Duration::from_secs(60);
/// Within this time it is a return.
const RETURN: Duration = Duration::from_secs(600);

impl World {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut world = Self { now: Duration::ZERO, nodes: BTreeMap::new(), shards: Vec::new() };
        for node in 1..=scenario.nodes {
            world.add_node(NodeId(node), (node - 1) % scenario.zones.max(1));
        }
        let count = scenario.nodes;
        for shard in 0..u32::from(scenario.shards) {
            // Every pair of other nodes follows each node about equally often.
            let (home, turn) = (shard % count, shard / count);
            let others = count - 1;
            let mut replicas = vec![NodeId(home + 1)];
            for place in 0..scenario.replicas.min(count) - 1 {
                let mut step = (turn * (place + 1) + place + turn / others.max(1)) % others.max(1);
                let node = |step| NodeId((home + 1 + step) % count + 1);
                while !world.is_fresh(&replicas, node(step), scenario.zones) {
                    step += 1;
                }
                replicas.push(node(step));
            }
            world.shards.push(Shard {
                holder: Some(replicas[0]),
                heirs: replicas[1..].to_vec(),
                replicas,
                generation: 1,
                epoch: 1,
                vacant_since: Duration::ZERO,
                transfer: None,
                copy: None,
                before: None,
                measured: Demand::default(),
                measured_load: Resources::NONE,
            });
        }
        world
    }

    /// Whether a node can be one more replica: in a zone of its own, as long as there are some.
    fn is_fresh(&self, replicas: &[NodeId], node: NodeId, zones: u32) -> bool {
        let zone = |node: &NodeId| self.nodes.get(node).map(|node| node.zone);
        let spread = replicas.len() < self.nodes.len().min(zones as usize);
        let beside = replicas.iter().any(|other| zone(other) == zone(&node));
        let doubled = replicas.contains(&node) || spread && beside;
        !doubled
    }

    pub(crate) fn add_node(&mut self, node: NodeId, zone: u32) {
        // Nodes don't report in step.
        let offset = TICK * (node.0 % 4);
        self.nodes.insert(
            node,
            Node {
                alive: true,
                zone,
                incarnation: 1,
                started_at: self.now,
                report_at: self.now + REPORT_EVERY + offset,
                measured_from: self.now,
                used: Resources::NONE,
                expected: 0.0,
                offered: 0.0,
                background: 0.0,
            },
        );
    }

    pub(crate) fn is_alive(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.alive)
    }

    pub(crate) fn kill(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.alive = false;
        }
        for shard in &mut self.shards {
            if shard.holder == Some(node) {
                shard.holder = None;
                shard.vacant_since = self.now;
            }
        }
    }

    pub(crate) fn start(&mut self, node: NodeId) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(&node) {
            node.alive = true;
            node.incarnation += 1;
            (node.started_at, node.measured_from) = (now, now);
            node.report_at = now + REPORT_EVERY;
            node.used = Resources::NONE;
        }
    }

    /// Begins to move a lease, freely or because an operator forces it; refused if the order is
    /// about another lease, or can't be carried out.
    pub(crate) fn order(
        &mut self,
        shard: usize,
        to: NodeId,
        epoch: LeaseEpoch,
        order: Option<(usize, placement::DecisionId)>,
        free: bool,
    ) -> bool {
        let (now, alive) = (self.now, self.is_alive(to));
        let shard = &mut self.shards[shard];
        let fits = shard.epoch == epoch.0 && shard.transfer.is_none() && alive;
        if fits && shard.replicas.contains(&to) && shard.holder != Some(to) {
            shard.transfer = Some(Transfer { to, done_at: now + TICK, order, free });
            return true;
        }
        false
    }

    /// Begins to copy a replica.
    pub(crate) fn copy(
        &mut self,
        shard: usize,
        from: Option<NodeId>,
        to: NodeId,
        generation: u64,
        order: (usize, placement::DecisionId),
    ) -> bool {
        let shard = &mut self.shards[shard];
        let fits = shard.generation == generation && shard.copy.is_none();
        // One that is there is not copied: another one just goes.
        let there = shard.replicas.contains(&to);
        let done_at = if there { self.now } else { self.now + COPY };
        if fits && (!there || from.is_some()) {
            shard.copy = Some(Copying { from, to, done_at, order });
            return true;
        }
        false
    }

    /// Moves time on by a tick.
    pub(crate) fn advance(&mut self, source: &Source) -> Happened {
        self.now += TICK;
        let mut happened = Happened::default();
        self.serve(source);
        self.move_leases(&mut happened);
        self.move_replicas(&mut happened);
        self.report(source, &mut happened);
        happened
    }

    /// Computes each node's load, and measures what was served.
    fn serve(&mut self, source: &Source) {
        for node in self.nodes.values_mut() {
            (node.expected, node.offered, node.background) = (0.0, 0.0, 0.0);
        }
        let share = |cpu: f64| cpu / CAPACITY.cpu;
        for (shard, (expected, offered)) in
            self.shards.iter().zip(source.expected.iter().zip(&source.offered))
        {
            let Some(holder) = shard.holder else { continue };
            if let Some(node) = self.nodes.get_mut(&holder) {
                node.expected += share(expected.load().cpu);
                node.offered += share(offered.load().cpu);
            }
            for follower in shard.replicas.iter().filter(|node| **node != holder) {
                if let Some(node) = self.nodes.get_mut(follower).filter(|node| node.alive) {
                    let (quiet, noisy) =
                        (expected.writes * FOLLOW_COST, offered.writes * FOLLOW_COST);
                    node.expected += share(quiet);
                    node.offered += share(noisy);
                    node.background += share(quiet);
                }
            }
        }
        let tick = TICK.as_secs_f64();
        for node in self.nodes.values_mut().filter(|node| node.alive) {
            node.used.cpu += node.offered.min(1.0) * CAPACITY.cpu * tick;
        }
        for (shard, offered) in self.shards.iter_mut().zip(&source.offered) {
            let Some(node) = shard.holder.and_then(|holder| self.nodes.get_mut(&holder)) else {
                continue;
            };
            let served = tick / node.offered.max(1.0);
            let load = offered.load() * served;
            shard.measured.reads += offered.reads * served;
            shard.measured.writes += offered.writes * served;
            shard.measured_load += load;
            node.used += Resources { cpu: 0.0, ..load };
        }
    }

    /// Counts the round trips of a second's requests.
    pub(crate) fn count_round_trips(&self, source: &Source, into: &mut RoundTrips) {
        let zone = |node: &NodeId| self.nodes.get(node).map(|node| node.zone as usize);
        for ((shard, places), demand) in
            self.shards.iter().zip(&source.places).zip(&source.expected)
        {
            if let Some(holder) = shard.holder.as_ref().and_then(zone) {
                let requests = demand.reads + demand.writes;
                into.count(requests, places, holder, shard.replicas.iter().filter_map(zone));
            }
        }
    }

    fn move_leases(&mut self, happened: &mut Happened) {
        let alive: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.alive).map(|(node, _)| *node).collect();
        for shard in &mut self.shards {
            if let Some(transfer) = shard.transfer.filter(|transfer| self.now >= transfer.done_at) {
                shard.transfer = None;
                if !alive.contains(&transfer.to) {
                    happened.failed.extend(transfer.order);
                    continue;
                }
                let left = shard.holder;
                let back = shard.before.filter(|(node, _)| *node == transfer.to && transfer.free);
                let back_within = |time: Duration| back.is_some_and(|(_, at)| self.now - at < time);
                happened.flips += u32::from(back_within(FLIP));
                happened.returns += u32::from(back_within(RETURN));
                shard.take(transfer.to);
                shard.before = left.map(|left| (left, self.now));
                happened.moves += 1;
                let epoch = LeaseEpoch(shard.epoch);
                happened.done.extend(transfer.order.map(|(by, order)| (by, order, epoch)));
            } else if shard.holder.is_none() && self.now >= shard.vacant_since + FAILOVER {
                let heirs = shard.heirs.iter().chain(&shard.replicas);
                if let Some(heir) = heirs.copied().find(|heir| alive.contains(heir)) {
                    shard.take(heir);
                    happened.failovers += 1;
                }
            }
        }
    }

    fn move_replicas(&mut self, happened: &mut Happened) {
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let Some(copy) = shard.copy.filter(|copy| self.now >= copy.done_at) else { continue };
            shard.copy = None;
            let (by, order) = copy.order;
            let removable = copy.from.is_none_or(|from| shard.holder != Some(from));
            if !removable || shard.holder.is_none() {
                happened.failed.push((by, order));
                continue;
            }
            shard.replicas.retain(|node| Some(*node) != copy.from);
            shard.heirs.retain(|node| Some(*node) != copy.from);
            if !shard.replicas.contains(&copy.to) {
                shard.replicas.push(copy.to);
            }
            shard.generation += 1;
            happened.changed.push(number);
            happened.done.push((by, order, LeaseEpoch(shard.epoch)));
        }
    }

    fn report(&mut self, source: &Source, happened: &mut Happened) {
        let now = self.now;
        for (id, node) in &mut self.nodes {
            if !node.alive || now < node.report_at {
                continue;
            }
            let covers = now - node.measured_from;
            let rate = 1.0 / covers.as_secs_f64();
            let queue = queue(node.offered);
            let mut held = Vec::new();
            for (number, shard) in self.shards.iter_mut().enumerate() {
                if shard.holder == Some(*id) {
                    held.push(shard.report(number, rate, queue, source.places.get(number)));
                }
            }
            happened.reports.push(Report {
                node: *id,
                incarnation: Incarnation(node.incarnation),
                uptime: now - node.started_at,
                covers,
                capacity: CAPACITY,
                used: node.used * rate,
                late: Resources::NONE,
                memory_capacity: 8e9,
                memory_used: 2e9,
                fsync: Duration::from_millis(2),
                clock_ahead: 0,
                clock_off: false,
                disk_full: false,
                hears: Vec::new(),
                round_trips: round_trips_from(node.zone, source),
                origins: Vec::new(),
                held,
            });
            node.used = Resources::NONE;
            node.measured_from = now;
            node.report_at = now + REPORT_EVERY;
        }
    }
}

impl Shard {
    fn take(&mut self, node: NodeId) {
        self.holder = Some(node);
        self.epoch += 1;
        // What the old holder measured stays with it.
        self.measured = Demand::default();
        self.measured_load = Resources::NONE;
    }

    fn report(
        &mut self,
        number: usize,
        rate: f64,
        queue: Percentiles,
        places: Option<&Shares>,
    ) -> HeldShard {
        let measured = std::mem::take(&mut self.measured);
        let load = std::mem::take(&mut self.measured_load);
        let followers = self.replicas.iter().filter(|node| Some(**node) != self.holder);
        HeldShard {
            generation: Generation(self.generation),
            voters: self.replicas.clone(),
            reads: measured.reads * rate,
            writes: measured.writes * rate,
            load: load * rate,
            stored: 1e7,
            origins: origins(places, (measured.reads + measured.writes) * rate),
            queue,
            followers: followers
                .map(|node| Follower { node: *node, lag_entries: 0, lag_time: Duration::ZERO })
                .collect(),
            ..HeldShard::idle(shard_id(number), LeaseEpoch(self.epoch), SlotRange::ALL)
        }
    }
}

/// Each zone's part of a shard's requests.
fn origins(places: Option<&Shares>, requests: f64) -> Vec<(Origin, f64)> {
    let shares = places.into_iter().flatten().enumerate();
    shares.map(|(zone, share)| (clients::origin(zone), share * requests)).collect()
}

/// Clients of a cluster know all its nodes, so each node measures how far each zone is.
fn round_trips_from(zone: u32, source: &Source) -> Vec<RoundTrip> {
    let zones = if source.places.is_empty() { 0..0 } else { 0..ZONES };
    let trip = |to| RoundTrip {
        origin: clients::origin(to),
        time: clients::round_trip(zone as usize, to),
    };
    zones.map(trip).collect()
}

/// The shard with this number, counted from 0.
pub(crate) fn shard_id(number: usize) -> ShardId {
    ShardId(u32::try_from(number).expect("there are at most 1024 shards"))
}

/// How long requests wait at a node: as in a queue with one server, up to a full one.
fn queue(offered: f64) -> Percentiles {
    if offered >= 0.99 {
        return Percentiles { p50: QUEUE_FULL / 2, p99: QUEUE_FULL };
    }
    let mean = Duration::from_micros(20).mul_f64(offered / (1.0 - offered));
    Percentiles { p50: mean, p99: mean * 5 }
}

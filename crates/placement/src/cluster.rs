//! The manager's picture of the cluster: what reports and commands have told it so far.
//!
//! Invariants: every replica's node is known; a shard's `epoch` only grows; a shard has at most
//! one lease move and one replica move under way; no number is NaN.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use types::{Incarnation, LeaseEpoch, Monotonic, NodeId, ShardId, SlotRange};

use crate::average::LoadAverage;
use crate::command::{Duty, Generation, Pin};
use crate::decision::{DecisionId, Reason};
use crate::locality::Locality;
use crate::origin::Origin;
use crate::policy::Policy;
use crate::report::Follower;
use crate::resources::Resources;

/// Samples that are kept of each shard.
pub const HISTORY_LEN: usize = 120;
/// The time that one sample of the history stands for.
pub const HISTORY_STEP: Duration = Duration::from_secs(5);

/// One point of a shard's history.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// When it was taken, on the manager's clock.
    pub at: Monotonic,
    /// Who held the shard.
    pub holder: NodeId,
    /// What the shard took, by the level average.
    pub load: Resources,
    /// Reads per second.
    pub reads: f64,
    /// Writes per second.
    pub writes: f64,
}

/// How a node's clock relates to the manager's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockRelation {
    pub(crate) incarnation: Incarnation,
    /// The node's clock at its last report.
    pub(crate) uptime: Duration,
    /// Manager's time less node's uptime, in nanoseconds, by the quickest report.
    pub(crate) offset: i128,
    /// When the last report came.
    pub(crate) heard_at: Monotonic,
}

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct NodeState {
    pub(crate) locality: Locality,
    pub(crate) duty: Duty,
    pub(crate) added_at: Monotonic,
    /// `None` before the first report.
    pub(crate) clock: Option<ClockRelation>,
    /// The beginning of the time that the last report covers.
    pub(crate) covered_from: Monotonic,
    /// When a lease last moved to or from the node.
    pub(crate) moved_at: Option<Monotonic>,
    pub(crate) capacity: Resources,
    /// What the node uses for anything but the shards it holds: followers' work, other programs.
    pub(crate) background: LoadAverage,
    /// What it uses beside that for requests of clients that have yet to hear of a move.
    pub(crate) late: Resources,
    pub(crate) memory_capacity: f64,
    pub(crate) memory_used: f64,
    pub(crate) fsync: Duration,
    pub(crate) clock_off: bool,
    pub(crate) disk_full: bool,
    /// The other nodes that it hears.
    pub(crate) hears: Vec<NodeId>,
    pub(crate) round_trips: BTreeMap<Origin, Duration>,
    /// Whether the present silence of the node has been noticed.
    pub(crate) silence_noted: bool,
    /// Rounds in a row in which the node was overfull, and hungry.
    pub(crate) overfull_rounds: u32,
    pub(crate) hungry_rounds: u32,
    /// Since when the node has been overfull without a lease that could leave it.
    pub(crate) stuck_since: Option<Monotonic>,
}

impl NodeState {
    pub(crate) fn new(now: Monotonic, locality: Locality) -> Self {
        Self {
            locality,
            duty: Duty::Full,
            added_at: now,
            clock: None,
            covered_from: Monotonic(0),
            moved_at: None,
            capacity: Resources::NONE,
            background: LoadAverage::default(),
            late: Resources::NONE,
            memory_capacity: 0.0,
            memory_used: 0.0,
            fsync: Duration::ZERO,
            clock_off: false,
            disk_full: false,
            hears: Vec::new(),
            round_trips: BTreeMap::new(),
            silence_noted: false,
            overfull_rounds: 0,
            hungry_rounds: 0,
            stuck_since: None,
        }
    }

    /// Since when nothing has been heard of the node.
    pub(crate) fn silence(&self, now: Monotonic) -> Duration {
        now.since(self.clock.map_or(self.added_at, |clock| clock.heard_at))
    }

    /// Whether the node reports.
    pub(crate) fn is_live(&self, now: Monotonic, policy: &Policy) -> bool {
        self.clock.is_some() && self.silence(now) < policy.silent_after
    }

    /// Whether the last report covers only time after the last move: before that, nobody knows
    /// what the node has to carry (cockroachdb/cockroach#93540).
    pub(crate) fn is_settled(&self) -> bool {
        self.moved_at.is_none_or(|moved| self.covered_from >= moved)
    }
}

/// Who holds a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) node: NodeId,
    pub(crate) since: Monotonic,
}

/// A decision that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) decision: DecisionId,
    pub(crate) from: Option<NodeId>,
    pub(crate) to: NodeId,
    pub(crate) reason: Reason,
    pub(crate) since: Monotonic,
}

/// The last move of a shard's lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub(crate) at: Monotonic,
    pub(crate) from: Option<NodeId>,
    /// The decision, if it was the manager's.
    pub(crate) by: Option<(DecisionId, Reason)>,
    /// How long the shard rests afterwards.
    pub(crate) cool_down: Duration,
}

/// Where most of a shard's clients are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Majority {
    pub(crate) origin: Origin,
    pub(crate) since: Monotonic,
    /// Requests since then.
    pub(crate) requests: f64,
}

/// A shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardState {
    pub(crate) range: SlotRange,
    pub(crate) replicas: Vec<NodeId>,
    pub(crate) generation: Generation,
    /// The newest lease.
    pub(crate) epoch: LeaseEpoch,
    /// Whether that lease was handed over; else its holder was elected.
    pub(crate) handed_over: bool,
    pub(crate) holder: Option<Holder>,
    /// Since when nobody has held it, if nobody does.
    pub(crate) vacant_since: Monotonic,
    pub(crate) load: LoadAverage,
    pub(crate) reads: f64,
    pub(crate) writes: f64,
    pub(crate) stored: f64,
    pub(crate) queue: Duration,
    pub(crate) origins: Vec<(Origin, f64)>,
    pub(crate) majority: Option<Majority>,
    pub(crate) followers: Vec<Follower>,
    pub(crate) history: VecDeque<Sample>,
    pub(crate) pending: Option<Pending>,
    pub(crate) replica_pending: Option<Pending>,
    pub(crate) moved: Option<Moved>,
    /// When the last move failed, and where it led.
    pub(crate) failed: Option<(Monotonic, NodeId)>,
    pub(crate) pin: Option<Pin>,
    /// The order of heirs that was last decided, and when.
    pub(crate) heirs: Vec<NodeId>,
}

impl ShardState {
    pub(crate) fn new(now: Monotonic, range: SlotRange) -> Self {
        Self {
            range,
            replicas: Vec::new(),
            generation: Generation(0),
            epoch: LeaseEpoch(0),
            handed_over: false,
            holder: None,
            vacant_since: now,
            load: LoadAverage::default(),
            reads: 0.0,
            writes: 0.0,
            stored: 0.0,
            queue: Duration::ZERO,
            origins: Vec::new(),
            majority: None,
            followers: Vec::new(),
            history: VecDeque::new(),
            pending: None,
            replica_pending: None,
            moved: None,
            failed: None,
            pin: None,
            heirs: Vec::new(),
        }
    }

    /// Where the lease is, or will be when the move under way has happened.
    pub(crate) fn seat(&self) -> Option<NodeId> {
        self.pending.map(|pending| pending.to).or(self.holder.map(|holder| holder.node))
    }

    /// Who follows the holder, best first, as the shard's log has it: the order that was decided
    /// last began with the holder of that time.
    pub(crate) fn heirs_now(&self) -> Vec<NodeId> {
        let holder = self.holder.map(|holder| holder.node);
        let is_heir = |node: &NodeId| Some(*node) != holder && self.replicas.contains(node);
        let first = self.replicas.iter().filter(|node| !self.heirs.contains(node));
        first.chain(&self.heirs).copied().filter(is_heir).collect()
    }

    /// When the shard may move again for the sake of balance.
    pub(crate) fn rests_until(&self, policy: &Policy, pressing: bool) -> Monotonic {
        let rest = |moved: Moved| {
            let most = if pressing { policy.cool_down_urgent } else { policy.cool_down_max };
            moved.at + moved.cool_down.min(most)
        };
        let failed = self.failed.map_or(Monotonic(0), |(at, _)| at + policy.failure_back_off);
        self.moved.map_or(Monotonic(0), rest).max(failed)
    }

    /// Records that the lease has moved. Two moves in short order make the shard rest for longer.
    pub(crate) fn has_moved(
        &mut self,
        now: Monotonic,
        from: Option<NodeId>,
        by: Option<(DecisionId, Reason)>,
        policy: &Policy,
    ) {
        let cool_down = match self.moved {
            Some(before) if now.since(before.at) < policy.cool_down_max => {
                (before.cool_down * 2).clamp(policy.cool_down, policy.cool_down_max)
            }
            Some(_) | None => policy.cool_down,
        };
        self.moved = Some(Moved { at: now, from, by, cool_down });
    }

    /// The shares of the shard's requests by origin, and the sum of the requests.
    pub(crate) fn requests(&self) -> f64 {
        self.origins.iter().map(|(_, requests)| requests).sum()
    }
}

/// Everything that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<NodeId, NodeState>,
    pub(crate) shards: BTreeMap<ShardId, ShardState>,
    pub(crate) frozen: bool,
    /// When nodes were lost or started again, oldest first.
    pub(crate) crashes: VecDeque<(Monotonic, NodeId)>,
}

impl Cluster {
    /// Whether so many nodes were lost of late that moving might be what kills them.
    pub(crate) fn many_nodes_lost(&self, now: Monotonic, policy: &Policy) -> bool {
        let recent = self.crashes.iter().filter(|(at, _)| now.since(*at) < policy.crash_window);
        let mut lost: Vec<NodeId> = recent.map(|(_, node)| *node).collect();
        lost.sort_unstable();
        lost.dedup();
        // One node of three is no pattern.
        lost.len() > 1 && lost.len() as f64 > policy.crash_share_max * self.nodes.len() as f64
    }

    /// The nodes that report, and say that they hear another one.
    pub(crate) fn heard_by(
        &self,
        now: Monotonic,
        policy: &Policy,
        node: NodeId,
    ) -> impl Iterator<Item = NodeId> {
        let hears =
            move |state: &NodeState| state.is_live(now, policy) && state.hears.contains(&node);
        self.nodes.iter().filter(move |(_, state)| hears(state)).map(|(other, _)| *other)
    }

    /// Whether so many of the nodes that report hear another one that its silence here shows a bad
    /// link of the manager's and not its death: one is dead to the cluster only if most don't hear
    /// it.
    pub(crate) fn is_vouched_for(&self, now: Monotonic, policy: &Policy, node: NodeId) -> bool {
        let others = self.nodes.iter().filter(|(other, _)| **other != node);
        let live = others.filter(|(_, state)| state.is_live(now, policy)).count();
        let heard = self.heard_by(now, policy, node).count();
        heard > 0 && heard * 2 >= live
    }

    /// Notes that a node was lost or has started again. It counts if a lease had moved there or
    /// away a short time before: a machine that fails by itself, or by order of the operator, is
    /// no reason to stop moving.
    pub(crate) fn has_crashed(&mut self, now: Monotonic, node: NodeId, policy: &Policy) {
        let suspicious = self.nodes.get(&node).is_some_and(|state| {
            let moved = state.moved_at.filter(|at| now.since(*at) < policy.crash_window);
            state.duty == Duty::Full && moved.is_some()
        });
        if !suspicious {
            return;
        }
        while self.crashes.front().is_some_and(|(at, _)| now.since(*at) >= policy.crash_window) {
            self.crashes.pop_front();
        }
        if self.crashes.len() < types::limits::NODES_MAX * 4 {
            self.crashes.push_back((now, node));
        }
    }

    /// Notes that a lease has moved between two nodes.
    pub(crate) fn touch(&mut self, at: Monotonic, nodes: [Option<NodeId>; 2]) {
        for node in nodes.into_iter().flatten() {
            if let Some(state) = self.nodes.get_mut(&node) {
                state.moved_at = Some(state.moved_at.map_or(at, |before| before.max(at)));
            }
        }
    }
}

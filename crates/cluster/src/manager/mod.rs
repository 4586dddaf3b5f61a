//! The Lease Manager: watches every shard and proposes where each lease and each replica serves
//! best. The holder of the system shard's lease is the active manager.
//!
//! It decides nothing about leases by itself. What it wants goes to the shard's holder as an
//! [`Order`](crate::Order) that names the lease epoch or the generation it is about, and the
//! shard's own log decides. So a manager that is late, wrong, doubled or gone costs balance, never
//! safety: leases go on, and heirs help themselves.
//!
//! | part | what |
//! |---|---|
//! | `control` | what must outlive a manager: members, duties, pins, freeze, policy |
//! | this file | the active manager: reports in, rounds of decisions out |
//! | `commands` | what operators ask for |
//! | `status` | what it knows, as JSON |
//! | `node/managing.rs` | its place in a node's turn: beginning, rounds, reports, orders, end |
//!
//! The policy itself is the crate `placement`, a pure function of what is told here.

pub(crate) mod commands;
pub(crate) mod control;
pub(crate) mod json;
mod status;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use placement::{
    Action, Command, Decision, DecisionId, Generation, HeldShard, Manager, Outcome, Policy, Reason,
    Report,
};
use types::{LeaseEpoch, Monotonic, NodeId, Now, ShardId, SlotRange};

use crate::io::Order;
use crate::member::Role;
use crate::node::troubles::Health;
use crate::planted::{Planting, Plantings};
use control::Control;

/// Time between two rounds of decisions.
pub(crate) const ROUND_INTERVAL: Duration = Duration::from_secs(1);
/// Even when something new is to be looked at without waiting, there is so much time between two
/// rounds: a round takes a millisecond or two, and operators' scripts may be fast.
const ROUND_GAP: Duration = Duration::from_millis(20);
/// Time between two reports of a node.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A shard that does nothing about a move of its replicas for so long has another goal: somebody
/// else's order came later.
const MOVE_IDLE_MAX: Duration = Duration::from_secs(10);
/// A node's refused reports are spoken of once in this time.
const REFUSAL_SILENCE: Duration = Duration::from_secs(60);

/// The active manager.
pub(crate) struct LeaseManager {
    /// The lease of the system shard under which it is active.
    pub(crate) epoch: LeaseEpoch,
    pub(crate) since: Now,
    placement: Manager,
    /// What was proposed last; the applied one may be older for a moment.
    control: Control,
    pub(crate) next_round: Monotonic,
    last_round: Monotonic,
    /// The newest report of each node.
    reports: BTreeMap<NodeId, (Monotonic, Report)>,
    /// When a refusal was last spoken of.
    refusals: BTreeMap<NodeId, Monotonic>,
    pub(crate) refused_reports: u64,
    /// Moves of replicas under way.
    moves: BTreeMap<DecisionId, ReplicaMove>,
}

struct ReplicaMove {
    shard: ShardId,
    from: Option<NodeId>,
    to: NodeId,
    /// When the shard was last seen at work on it.
    seen: Monotonic,
}

/// What the shards' own logs say of a shard, as far as a node knows.
pub(crate) struct Known {
    pub(crate) shard: ShardId,
    pub(crate) range: SlotRange,
    pub(crate) replicas: Vec<NodeId>,
}

/// What the manager's node knows itself of nodes and shards, for those who ask.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) nodes: BTreeMap<NodeId, Health>,
    pub(crate) shards: BTreeMap<ShardId, ShardTrouble>,
    pub(crate) planted: Plantings,
}

/// What is wrong with a shard.
#[derive(Default)]
pub(crate) struct ShardTrouble {
    /// For how long nobody could be asked for it.
    pub(crate) unserved: Option<Duration>,
    /// Ends of sentences that begin with the shard.
    pub(crate) troubles: Vec<String>,
}

impl Seen {
    /// Whether anybody remembers that a node has ever run.
    pub(crate) fn counts_as_started(&self, node: NodeId) -> bool {
        self.health(node).has_started || self.planted.contains(Planting::CountUnstarted)
    }

    /// How a node is.
    pub(crate) fn health(&self, node: NodeId) -> Health {
        self.nodes.get(&node).cloned().unwrap_or_default()
    }
}

/// Where a decision goes, and as what.
pub(crate) struct Instruction {
    pub(crate) decision: DecisionId,
    pub(crate) shard: ShardId,
    pub(crate) to: NodeId,
    pub(crate) order: Order,
}

impl LeaseManager {
    /// A manager that knows what its predecessors wrote down, and nothing of loads yet.
    pub(crate) fn new(
        now: Now,
        epoch: LeaseEpoch,
        control: Control,
        shards: impl Iterator<Item = Known>,
        seed: u64,
    ) -> Self {
        let placement = Manager::new(control.policy.clone(), seed);
        // The control state was checked when it was proposed; a later version of the program may
        // be stricter, and manages by its defaults then.
        let placement = placement.or_else(|_| Manager::new(Policy::default(), seed));
        let mut manager = Self {
            epoch,
            since: now,
            placement: placement.expect("the defaults are valid"),
            control,
            next_round: now.monotonic + ROUND_INTERVAL,
            last_round: now.monotonic,
            reports: BTreeMap::new(),
            refusals: BTreeMap::new(),
            refused_reports: 0,
            moves: BTreeMap::new(),
        };
        manager.tell_members(now.monotonic);
        for Known { shard, range, replicas } in shards {
            let (replicas, generation) = (manager.placed(&replicas), Generation(0));
            let command = Command::Shard { shard, range, replicas, generation };
            let _ = manager.placement.command(now.monotonic, command);
        }
        manager.tell_wishes(now.monotonic);
        manager
    }

    /// What must outlive this manager.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Goes on from another state, which has been checked and proposed.
    pub(crate) fn set_control(&mut self, now: Now, control: Control) {
        self.control = control;
        let _ = self.placement.set_policy(self.control.policy.clone());
        self.tell_members(now.monotonic);
        self.tell_wishes(now.monotonic);
    }

    /// The state that was proposed last is the cluster's: what it asks for is done without waiting.
    pub(crate) fn act_on_control(&mut self, now: Monotonic) {
        let soon = now.max(self.last_round + ROUND_GAP);
        self.next_round = self.next_round.min(soon);
    }

    /// Tells the policy which nodes there are. Dedicated managers hold no data, so to the policy
    /// they don't exist. What it refuses it knows better: a shard still counts on the node.
    fn tell_members(&mut self, now: Monotonic) {
        let members = &self.control.membership;
        for member in members.members.iter().filter(|member| member.role == Role::Data) {
            let command = Command::Node { node: member.node, locality: member.locality.clone() };
            let _ = self.placement.command(now, command);
        }
        for node in
            self.placement.nodes().filter(|node| !members.contains(*node)).collect::<Vec<_>>()
        {
            let _ = self.placement.command(now, Command::Forget(node));
        }
    }

    /// Tells the policy what operators want. A wish that can't be met now is told again later.
    fn tell_wishes(&mut self, now: Monotonic) {
        for node in self.control.membership.nodes() {
            let duty = self.control.duty(node);
            let _ = self.placement.command(now, Command::Duty(node, duty));
        }
        for shard in self.placement.shards().collect::<Vec<_>>() {
            let pin = self.control.pins.get(&shard).cloned();
            let _ = self.placement.command(now, Command::Pin(shard, pin));
        }
        let _ = self.placement.command(now, Command::Freeze(self.control.frozen));
    }

    /// Takes a node's report. Says why it was refused, if that is news.
    pub(crate) fn hear(&mut self, now: Now, report: Report) -> Result<(), Option<String>> {
        let node = report.node;
        let Some(member) = self.control.membership.get(node) else {
            return self.refuse(now, node, &"it is no member of the cluster");
        };
        let is_data = member.role == Role::Data;
        if let Err(reason) = report.check() {
            return self.refuse(now, node, &reason);
        }
        if is_data {
            self.learn_shards(now.monotonic, &report);
            if let Err(reason) = self.placement.observe(now.monotonic, report.clone()) {
                return self.refuse(now, node, &reason);
            }
        }
        self.reports.insert(node, (now.monotonic, report));
        Ok(())
    }

    fn refuse(
        &mut self,
        now: Now,
        node: NodeId,
        reason: &dyn core::fmt::Display,
    ) -> Result<(), Option<String>> {
        self.refused_reports += 1;
        let said = self.refusals.get(&node);
        if said.is_some_and(|at| now.monotonic.since(*at) < REFUSAL_SILENCE) {
            return Err(None);
        }
        self.refusals.insert(node, now.monotonic);
        Err(Some(reason.to_string()))
    }

    /// Takes in what the shards' logs say of their ranges and replicas, and ends the moves of
    /// replicas that have come true.
    fn learn_shards(&mut self, now: Monotonic, report: &Report) {
        for held in &report.held {
            let known = self.placement.generation(held.shard);
            if known != Some(held.generation) || !held.learners.is_empty() {
                let moves = self.moves.values_mut().filter(|it| it.shard == held.shard);
                moves.for_each(|it| it.seen = now);
            }
            if known.is_some_and(|known| known >= held.generation) {
                continue;
            }
            let command = Command::Shard {
                shard: held.shard,
                range: held.range,
                replicas: self.placed(&held.voters),
                generation: held.generation,
            };
            if self.placement.command(now, command).is_err() {
                continue;
            }
            let done = self.moves.iter().filter(|(_, it)| {
                it.shard == held.shard
                    && held.voters.contains(&it.to)
                    && it.from.is_none_or(|from| !held.voters.contains(&from))
            });
            for decision in done.map(|(decision, _)| *decision).collect::<Vec<_>>() {
                self.end(now, decision, Outcome::Applied { epoch: held.epoch });
            }
            let pin = self.control.pins.get(&held.shard).cloned();
            let _ = self.placement.command(now, Command::Pin(held.shard, pin));
        }
    }

    /// The replicas that count for the policy: one on a node that is no member is as good as
    /// none, and goes with the next goal.
    fn placed(&self, replicas: &[NodeId]) -> Vec<NodeId> {
        let members = &self.control.membership;
        replicas.iter().copied().filter(|node| members.contains(*node)).collect()
    }

    /// Takes in what became of a decision.
    pub(crate) fn end(&mut self, now: Monotonic, decision: DecisionId, outcome: Outcome) {
        self.moves.remove(&decision);
        // It may have been forgotten in the meantime.
        let _ = self.placement.outcome(now, decision, outcome);
    }

    /// Whether a decision is about a replica: that one is done when a report says so.
    pub(crate) fn moves_replica(&self, decision: DecisionId) -> bool {
        self.moves.contains_key(&decision)
    }

    /// One round: decides, and says who must be told what.
    pub(crate) fn decide(&mut self, now: Now) -> (Vec<Decision>, Vec<Instruction>) {
        self.next_round = now.monotonic + ROUND_INTERVAL;
        self.last_round = now.monotonic;
        self.tell_wishes(now.monotonic);
        let idle = self.moves.iter().filter(|(_, it)| now.monotonic.since(it.seen) > MOVE_IDLE_MAX);
        for decision in idle.map(|(decision, _)| *decision).collect::<Vec<_>>() {
            self.end(now.monotonic, decision, Outcome::Stale);
        }
        let decisions = self.placement.decide(now.monotonic);
        let known =
            |id: &DecisionId| self.placement.record(*id).is_some_and(|it| it.outcome.is_none());
        let lost: Vec<DecisionId> = self.moves.keys().filter(|id| !known(id)).copied().collect();
        for id in lost {
            self.moves.remove(&id);
        }
        let instructions = decisions
            .iter()
            .filter_map(|decision| self.instruct(now.monotonic, decision))
            .collect();
        (decisions, instructions)
    }

    fn instruct(&mut self, now: Monotonic, decision: &Decision) -> Option<Instruction> {
        let (id, shard) = (decision.id, decision.shard);
        let (to, order) = match &decision.action {
            Action::Lease { from: Some(holder), to, epoch } => {
                (*holder, Order::Transfer { target: *to, epoch: Some(*epoch) })
            }
            Action::Lease { from: None, to, epoch } => (*to, Order::Campaign { epoch: *epoch }),
            Action::Succession { heirs, epoch } => {
                let order = Order::Succession { heirs: heirs.clone(), epoch: *epoch };
                (self.placement.holder(shard)?, order)
            }
            Action::Replica { from, to, generation } => {
                let mut goal = self.placement.replicas(shard)?.to_vec();
                goal.retain(|node| Some(*node) != *from);
                if !goal.contains(to) {
                    goal.push(*to);
                }
                self.moves.insert(id, ReplicaMove { shard, from: *from, to: *to, seen: now });
                let dead = from.filter(|_| decision.reason == Reason::Repair);
                let order = Order::Replicas { goal, generation: generation.0, dead };
                (self.placement.holder(shard)?, order)
            }
        };
        Some(Instruction { decision: id, shard, to, order })
    }

    /// Members that are to leave and have nothing left: no replica of any shard, neither now nor
    /// by the goal of the system shard.
    pub(crate) fn emptied(&self, system: &[NodeId]) -> Vec<NodeId> {
        let leaving = self
            .control
            .membership
            .nodes()
            .filter(|node| self.control.duty(*node) == placement::Duty::Leaving);
        // A shard that this manager has not heard of may have a replica anywhere.
        let heard = self.placement.shards().filter(|shard| {
            self.placement.generation(*shard).is_some_and(|version| version > Generation(0))
        });
        if heard.count() < usize::from(self.control.membership.shards) {
            return Vec::new();
        }
        let is_empty = |node: &NodeId| {
            let holds = |shard: ShardId| {
                self.placement.replicas(shard).is_some_and(|nodes| nodes.contains(node))
            };
            // What a dead node reported last is not the newest news of its shards.
            let is_news = |held: &&HeldShard| {
                let known = self.placement.generation(held.shard);
                known.is_none_or(|known| held.generation >= known)
            };
            let is_awaited = self
                .reports
                .values()
                .flat_map(|(_, report)| &report.held)
                .filter(is_news)
                .any(|held| held.voters.contains(node) || held.learners.contains(node));
            !system.contains(node)
                && !is_awaited
                && !self.placement.shards().any(holds)
                && !self.moves.values().any(|it| it.to == *node)
        };
        leaving.filter(is_empty).collect()
    }

    /// The nodes that report, and say that they hear another one.
    pub(crate) fn heard_by(&self, now: Monotonic, node: NodeId) -> Vec<NodeId> {
        let hears = |of: &NodeId| self.hears(now, *of).contains(&node);
        self.reports.keys().copied().filter(hears).collect()
    }

    /// Whom a node hears, if it reports.
    pub(crate) fn hears(&self, now: Monotonic, node: NodeId) -> &[NodeId] {
        let live = self.silence(now, node) < self.control.policy.silent_after;
        let report = self.reports.get(&node).filter(|_| live);
        report.map_or(&[], |(_, report)| report.hears.as_slice())
    }

    /// Members that don't report here although most of the others hear them: the fault is this
    /// node's link to them.
    pub(crate) fn unheard(&self, now: Monotonic) -> Vec<NodeId> {
        let limit = self.control.policy.silent_after;
        let live = |node: &NodeId| self.silence(now, *node) < limit;
        let silent = self.control.membership.nodes().filter(|node| !live(node));
        let others = self.reports.keys().filter(|node| live(node)).count();
        silent
            .filter(|node| {
                let heard = self.heard_by(now, *node).len();
                heard > 0 && heard * 2 >= others
            })
            .collect()
    }

    /// How long nothing has been heard of a node.
    pub(crate) fn silence(&self, now: Monotonic, node: NodeId) -> Duration {
        let heard = self.reports.get(&node).map_or(self.since.monotonic, |(at, _)| *at);
        now.since(heard)
    }
}

/// What metrics say of the active manager.
pub(crate) struct Figures {
    pub(crate) mean: f64,
    pub(crate) used: Vec<(NodeId, f64)>,
    pub(crate) decisions: u64,
    pub(crate) refused: u64,
}

impl LeaseManager {
    /// Its figures now.
    pub(crate) fn figures(&self, now: Now) -> Figures {
        let (used, mean) = self.placement.utilisation(now.monotonic);
        let decisions = self.placement.records().next_back().map_or(0, |record| record.id.0);
        Figures { mean, used, decisions, refused: self.refused_reports }
    }
}

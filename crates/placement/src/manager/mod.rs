//! The manager: what it is told, what it decides, and what it remembers of its decisions.
//!
//! Everything is a function of the inputs and of one seed. Two managers that are told the same
//! decide the same; a manager that starts anew knows enough after one report of each node.

mod commands;
mod observe;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use types::{Monotonic, NodeId, ShardId};

use crate::budget::Budget;
use crate::cluster::{Cluster, Holder, Pending, Sample};
use crate::decision::{Action, Decision, DecisionId, GAIN_MEASURED_AFTER, Outcome, Reason};
use crate::policy::{InvalidPolicy, Policy};
use crate::round::{Choice, Round};
use crate::why::Explanation;

/// The Lease Manager's policy with its memory.
#[derive(Clone, Debug)]
pub struct Manager {
    pub(crate) policy: Policy,
    pub(crate) seed: u64,
    pub(crate) cluster: Cluster,
    pub(crate) budget: Budget,
    /// When the successions were last looked at.
    succession_at: Option<Monotonic>,
    next: DecisionId,
    records: VecDeque<Decision>,
}

/// An outcome was told of a decision that this manager doesn't remember.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownDecision(pub DecisionId);

impl fmt::Display for UnknownDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a decision of this manager, or is forgotten", self.0)
    }
}

impl core::error::Error for UnknownDecision {}

impl Manager {
    /// A manager that knows nothing yet. The seed breaks ties.
    ///
    /// # Errors
    /// If the policy contradicts itself or a setting is out of its range.
    pub fn new(policy: Policy, seed: u64) -> Result<Self, InvalidPolicy> {
        policy.validate()?;
        Ok(Self {
            budget: Budget::new(&policy),
            policy,
            seed,
            cluster: Cluster::default(),
            succession_at: None,
            next: DecisionId(1),
            records: VecDeque::new(),
        })
    }

    /// Changes the settings; averages, pins and records stay.
    ///
    /// # Errors
    /// If the policy is invalid; the old one stays in force then.
    pub fn set_policy(&mut self, policy: Policy) -> Result<(), InvalidPolicy> {
        policy.validate()?;
        self.policy = policy;
        Ok(())
    }

    /// The settings in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides what should be done now. To be called about once a second. What is decided counts
    /// as under way until [`Manager::outcome`] or a report says what became of it, or its time is
    /// over.
    pub fn decide(&mut self, now: Monotonic) -> Vec<Decision> {
        self.expire(now);
        self.measure_gains(now);
        self.budget.refill(now, &self.policy);
        let due = self
            .succession_at
            .is_none_or(|last| now.since(last) >= self.policy.succession_interval);
        let mut round = Round::new(&self.cluster, &self.policy, self.budget, now, self.seed);
        round.run(due);
        let Round { chosen, budget, findings, .. } = round;
        self.budget = budget;
        if due {
            self.succession_at = Some(now);
        }
        for (node, finding) in findings {
            if let Some(state) = self.cluster.nodes.get_mut(&node) {
                state.overfull_rounds = finding.overfull_rounds;
                state.hungry_rounds = finding.hungry_rounds;
                state.stuck_since =
                    if finding.stuck { state.stuck_since.or(Some(now)) } else { None };
            }
        }
        chosen.into_iter().map(|choice| self.commit(now, choice)).collect()
    }

    /// What [`Manager::decide`] would decide now, without deciding it.
    #[must_use]
    pub fn plan(&self, now: Monotonic) -> Vec<Decision> {
        self.clone().decide(now)
    }

    /// Takes in what became of a decision.
    ///
    /// # Errors
    /// If the decision is unknown. An outcome that is already known is no error and changes
    /// nothing.
    pub fn outcome(
        &mut self,
        now: Monotonic,
        id: DecisionId,
        outcome: Outcome,
    ) -> Result<(), UnknownDecision> {
        let Some(record) = self.record(id) else { return Err(UnknownDecision(id)) };
        let shard = record.shard;
        self.settle(now, shard, id, outcome);
        Ok(())
    }

    /// Why a shard is where it is, and why it doesn't move. `None` if there is no such shard.
    #[must_use]
    pub fn why(&self, now: Monotonic, shard: ShardId) -> Option<Explanation> {
        let round = Round::new(&self.cluster, &self.policy, self.budget, now, self.seed);
        Explanation::of(&round, shard)
    }

    /// The decisions that are remembered, oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Decision> {
        self.records.iter()
    }

    /// A decision, if it is remembered.
    #[must_use]
    pub fn record(&self, id: DecisionId) -> Option<&Decision> {
        self.position(id).map(|at| &self.records[at])
    }

    /// What is remembered of a shard's load, oldest first.
    pub fn history(&self, shard: ShardId) -> impl Iterator<Item = &Sample> {
        self.cluster.shards.get(&shard).into_iter().flat_map(|state| state.history.iter())
    }

    /// The utilisation of each live node, as far as known, moves under way counted; and the mean.
    #[must_use]
    pub fn utilisation(&self, now: Monotonic) -> (Vec<(NodeId, f64)>, f64) {
        let round = Round::new(&self.cluster, &self.policy, self.budget, now, self.seed);
        let nodes = round.nodes.iter().filter(|(_, view)| view.live);
        (nodes.map(|(node, view)| (*node, view.used())).collect(), round.mean)
    }

    /// Records are numbered without a gap.
    fn position(&self, id: DecisionId) -> Option<usize> {
        let first = self.records.front()?.id;
        let at = usize::try_from(id.0.checked_sub(first.0)?).ok()?;
        (at < self.records.len()).then_some(at)
    }

    fn commit(&mut self, now: Monotonic, choice: Choice) -> Decision {
        let id = self.next;
        self.next = DecisionId(id.0 + 1);
        let Choice { shard, action, reason, inputs, bids, gain } = choice;
        let state = self.cluster.shards.get_mut(&shard).expect("chosen among the known shards");
        let mut outcome = None;
        match &action {
            Action::Lease { from, to, .. } => {
                let (from, to) = (*from, *to);
                state.pending = Some(Pending { decision: id, from, to, reason, since: now });
            }
            Action::Replica { from, to, .. } => {
                let (from, to) = (*from, *to);
                state.replica_pending =
                    Some(Pending { decision: id, from, to, reason, since: now });
            }
            Action::Succession { heirs, .. } => {
                state.heirs.clone_from(heirs);
                // Nothing waits for it: the next look at the successions repairs what is lost.
                outcome = Some(Outcome::Applied { epoch: state.epoch });
            }
        }
        let decision = Decision {
            id,
            at: now,
            shard,
            action,
            reason,
            inputs,
            bids,
            predicted_gain: gain,
            outcome,
            realised_gain: None,
        };
        while self.records.len() >= self.policy.records_max as usize {
            self.records.pop_front();
        }
        self.records.push_back(decision.clone());
        decision
    }

    /// Ends a decision that is under way; does nothing for one that has ended. Its record may have
    /// been forgotten in the meantime.
    fn settle(&mut self, now: Monotonic, shard: ShardId, id: DecisionId, outcome: Outcome) {
        if let Some(at) = self.position(id) {
            let _ = self.records[at].outcome.get_or_insert(outcome);
        }
        let Some(state) = self.cluster.shards.get_mut(&shard) else { return };
        let is_it = |pending: &mut Pending| pending.decision == id;
        let (pending, lease) = match state.pending.take_if(is_it) {
            Some(pending) => (pending, true),
            None => match state.replica_pending.take_if(is_it) {
                Some(pending) => (pending, false),
                None => return,
            },
        };
        match outcome {
            Outcome::Applied { epoch } if lease => {
                state.failed = None;
                let first = state.epoch.0 == 0;
                state.epoch = state.epoch.max(epoch);
                state.holder = Some(Holder { node: pending.to, since: now });
                if first || pending.reason == Reason::HolderLost {
                    // The shard didn't leave a place where it was well: it may move at once.
                    let by = Some((id, pending.reason));
                    state.moved = Some(crate::cluster::Moved {
                        at: now,
                        from: None,
                        by,
                        cool_down: core::time::Duration::ZERO,
                    });
                } else {
                    state.has_moved(now, pending.from, Some((id, pending.reason)), &self.policy);
                }
                self.cluster.touch(now, [pending.from, Some(pending.to)]);
            }
            Outcome::Applied { .. } | Outcome::Stale => {}
            Outcome::Failed | Outcome::TimedOut => state.failed = Some((now, pending.to)),
        }
    }

    /// Gives up what took too long, and notices nodes that have fallen silent.
    fn expire(&mut self, now: Monotonic) {
        let (lease, replica) = (self.policy.move_timeout, self.policy.replica_timeout);
        let mut late = Vec::new();
        for (shard, state) in &self.cluster.shards {
            for (pending, limit) in [(state.pending, lease), (state.replica_pending, replica)] {
                let is_late = |pending: &Pending| now.since(pending.since) >= limit;
                late.extend(pending.filter(is_late).map(|pending| (*shard, pending.decision)));
            }
        }
        for (shard, id) in late {
            self.settle(now, shard, id, Outcome::TimedOut);
        }
        let mut silent = Vec::new();
        for (node, state) in &self.cluster.nodes {
            let expected = state.clock.is_some();
            let new = expected && !state.silence_noted && !state.is_live(now, &self.policy);
            if new && !self.cluster.is_vouched_for(now, &self.policy, *node) {
                silent.push(*node);
            }
        }
        for node in silent {
            self.cluster.has_crashed(now, node, &self.policy);
            if let Some(state) = self.cluster.nodes.get_mut(&node) {
                state.silence_noted = true;
            }
            for state in self.cluster.shards.values_mut() {
                if state.holder.is_some_and(|holder| holder.node == node) {
                    state.holder = None;
                    state.vacant_since = now;
                }
            }
        }
    }

    /// Measures what the moves of half a minute ago have brought: how much worse the two nodes
    /// would be, under the loads of now, had the shard stayed. The loads of now are the control:
    /// what changed in between counts on both sides.
    fn measure_gains(&mut self, now: Monotonic) {
        let due = |record: &Decision| {
            let applied = matches!(record.outcome, Some(Outcome::Applied { .. }));
            applied
                && record.reason.is_for_gain()
                && record.realised_gain.is_none()
                && now.since(record.at) >= GAIN_MEASURED_AFTER
                && now.since(record.at) < GAIN_MEASURED_AFTER * 2
        };
        if !self.records.iter().rev().any(due) {
            return;
        }
        let round = Round::new(&self.cluster, &self.policy, self.budget, now, self.seed);
        for record in self.records.iter_mut().rev().filter(|record| due(record)) {
            let (Some(from), Some(to)) = (record.source(), record.target()) else { continue };
            record.realised_gain = round.gain_of_staying(record.shard, from, to);
        }
    }
}

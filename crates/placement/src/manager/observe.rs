//! Reports: the border at which they are judged against the cluster, and what they change.

use types::{LeaseEpoch, Monotonic, NodeId};

use super::Manager;
use crate::cluster::{
    ClockRelation, HISTORY_LEN, HISTORY_STEP, Holder, Majority, Sample, ShardState,
};
use crate::decision::Outcome;
use crate::report::{FUTURE_MAX, HeldShard, RefusedReport, Report};
use crate::resources::Resources;

/// How fast the relation of two clocks may worsen: one part in a thousand is more than any drift.
const DRIFT_PARTS: u128 = 1000;

impl Manager {
    /// Takes a node's report.
    ///
    /// # Errors
    /// If the report makes no sense; nothing has changed then.
    pub fn observe(&mut self, now: Monotonic, report: Report) -> Result<(), RefusedReport> {
        report.check()?;
        let clock = self.relate(now, &report)?;
        let taken_at = taken_at(now, &clock);
        let node = &self.cluster.nodes[&report.node];
        if let Some(moved) = node.moved_at.filter(|moved| *moved > taken_at) {
            return Err(RefusedReport::OlderThanMove { by: moved.since(taken_at) });
        }
        for held in &report.held {
            self.check_claim(report.node, held)?;
        }
        self.take_node(now, taken_at, &report, clock);
        self.find_vacant(now, &report);
        for held in report.held {
            self.take_shard(now, taken_at, report.node, report.covers, held);
        }
        Ok(())
    }

    /// How the reporter's clock relates to ours.
    fn relate(&self, now: Monotonic, report: &Report) -> Result<ClockRelation, RefusedReport> {
        let Some(node) = self.cluster.nodes.get(&report.node) else {
            return Err(RefusedReport::UnknownNode(report.node));
        };
        let uptime = report.uptime;
        let offset = i128::from(now.0) - uptime.as_nanos() as i128;
        let fresh =
            ClockRelation { incarnation: report.incarnation, uptime, offset, heard_at: now };
        let Some(known) = node.clock else { return Ok(fresh) };
        if report.incarnation < known.incarnation {
            let reported = report.incarnation;
            return Err(RefusedReport::OldIncarnation { reported, known: known.incarnation });
        }
        if report.incarnation > known.incarnation {
            return Ok(fresh);
        }
        if uptime <= known.uptime {
            return Err(RefusedReport::OutOfOrder { uptime, known: known.uptime });
        }
        // After a silence nobody knows how long the last report was on its way.
        let elapsed = now.since(known.heard_at);
        if elapsed >= self.policy.silent_after {
            return Ok(fresh);
        }
        let ahead = known.offset - offset;
        if ahead > FUTURE_MAX.as_nanos() as i128 {
            let ahead = core::time::Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX));
            return Err(RefusedReport::FromTheFuture { ahead });
        }
        let drift = (elapsed.as_nanos() / DRIFT_PARTS) as i128;
        Ok(ClockRelation { offset: offset.min(known.offset + drift), ..fresh })
    }

    /// A node's claim to hold a shard is believed if no later lease is known.
    fn check_claim(&self, node: NodeId, held: &HeldShard) -> Result<(), RefusedReport> {
        let Some(state) = self.cluster.shards.get(&held.shard) else {
            return Err(RefusedReport::UnknownShard(held.shard));
        };
        let other = state.holder.is_some_and(|holder| holder.node != node);
        if held.epoch < state.epoch || held.epoch == state.epoch && other {
            let (shard, reported, known) = (held.shard, held.epoch, state.epoch);
            return Err(RefusedReport::StaleEpoch { shard, reported, known });
        }
        Ok(())
    }

    fn take_node(
        &mut self,
        now: Monotonic,
        taken_at: Monotonic,
        report: &Report,
        clock: ClockRelation,
    ) {
        let same = self.holds_the_same(report);
        let node = self.cluster.nodes.get_mut(&report.node).expect("checked above");
        node.covered_from = taken_at - report.covers;
        if same && node.is_settled() {
            let held = report.held.iter();
            let attributed = held.fold(Resources::NONE, |sum, held| sum + held.load);
            let background = report.used - attributed - report.late;
            node.background.add(taken_at, report.covers, background, &self.policy);
        }
        node.late = report.late;
        let restarted = node.clock.is_some_and(|known| known.incarnation < clock.incarnation);
        // A silence that was noticed has been counted already.
        let restarted = restarted && !node.silence_noted;
        node.silence_noted = false;
        node.clock = Some(clock);
        node.capacity = report.capacity;
        node.memory_capacity = report.memory_capacity;
        node.memory_used = report.memory_used;
        node.fsync = report.fsync;
        node.clock_off = report.clock_off;
        node.disk_full = report.disk_full;
        node.hears.clone_from(&report.hears);
        node.round_trips = report.round_trips.iter().map(|trip| (trip.origin, trip.time)).collect();
        if restarted {
            self.cluster.has_crashed(now, report.node, &self.policy);
        }
    }

    /// Whether the reporter holds what it was known to hold. Otherwise its use includes work for
    /// shards that it doesn't list any more, which would be taken for background.
    fn holds_the_same(&self, report: &Report) -> bool {
        let there =
            |state: &ShardState| state.holder.is_some_and(|holder| holder.node == report.node);
        let known = self.cluster.shards.values().filter(|state| there(state)).count();
        let listed = |held: &HeldShard| self.cluster.shards.get(&held.shard).is_some_and(there);
        known == report.held.len() && report.held.iter().all(listed)
    }

    /// Shards that the reporter held and doesn't hold any more.
    fn find_vacant(&mut self, now: Monotonic, report: &Report) {
        for (shard, state) in &mut self.cluster.shards {
            let was_there = state.holder.is_some_and(|holder| holder.node == report.node);
            if was_there && !report.held.iter().any(|held| held.shard == *shard) {
                state.holder = None;
                state.vacant_since = now;
            }
        }
    }

    fn take_shard(
        &mut self,
        now: Monotonic,
        taken_at: Monotonic,
        node: NodeId,
        covers: core::time::Duration,
        held: HeldShard,
    ) {
        let state = &self.cluster.shards[&held.shard];
        let new = held.epoch > state.epoch || state.holder.is_none();
        if new {
            self.take_lease(now, taken_at, node, &held);
        }
        let policy = &self.policy;
        let state = self.cluster.shards.get_mut(&held.shard).expect("checked above");
        // A lease that is younger than the report's window was held for a part of it only.
        let whole = state.holder.is_some_and(|holder| taken_at - covers >= holder.since);
        if whole || !state.load.is_known() {
            state.load.add(taken_at, covers, held.load, policy);
            state.reads = held.reads;
            state.writes = held.writes;
            state.queue = held.queue.p99;
        }
        state.stored = held.stored;
        state.handed_over = held.handed_over;
        state.followers = held.followers;
        state.origins = held.origins;
        let requests = state.requests();
        let most = state.origins.iter().copied().max_by(|(_, a), (_, b)| a.total_cmp(b));
        state.majority = most
            .filter(|(_, most)| requests > 0.0 && *most >= policy.proximity_share_min * requests)
            .map(|(origin, _)| {
                let before = state.majority.filter(|before| before.origin == origin);
                let mut majority = before.unwrap_or(Majority { origin, since: now, requests: 0.0 });
                majority.requests += requests * covers.as_secs_f64();
                majority
            });
        let due = state.history.back().is_none_or(|last| now.since(last.at) >= HISTORY_STEP);
        if due {
            if state.history.len() == HISTORY_LEN {
                state.history.pop_front();
            }
            let (load, reads, writes) = (state.load.level(), state.reads, state.writes);
            state.history.push_back(Sample { at: now, holder: node, load, reads, writes });
        }
    }

    /// A node holds a shard that it didn't hold: a decision has come true, or the heirs of a lost
    /// holder have helped themselves.
    fn take_lease(&mut self, now: Monotonic, taken_at: Monotonic, node: NodeId, held: &HeldShard) {
        let state = &self.cluster.shards[&held.shard];
        if let Some(pending) = state.pending.filter(|pending| pending.to == node) {
            let outcome = Outcome::Applied { epoch: held.epoch };
            self.settle(taken_at, held.shard, pending.decision, outcome);
            return;
        }
        let policy = &self.policy;
        let state = self.cluster.shards.get_mut(&held.shard).expect("checked above");
        let from = state.holder.map(|holder| holder.node);
        let first = state.epoch == LeaseEpoch(0);
        let again = state.epoch == held.epoch;
        state.epoch = held.epoch;
        state.holder = Some(Holder { node, since: taken_at });
        if !first && !again {
            state.has_moved(now, from, None, policy);
            self.cluster.touch(taken_at, [from, Some(node)]);
        }
    }
}

/// When a report was taken, on the manager's clock.
fn taken_at(now: Monotonic, clock: &ClockRelation) -> Monotonic {
    let nanos = clock.uptime.as_nanos() as i128 + clock.offset;
    Monotonic(u64::try_from(nanos).unwrap_or(0)).min(now)
}

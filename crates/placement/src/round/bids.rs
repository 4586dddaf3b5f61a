//! How a candidate's bid for a lease is computed.

use alloc::vec::Vec;
use core::time::Duration;

use types::{NodeId, ShardId};

use super::{NodeView, Round, tie_break};
use crate::bid::{Bid, Terms, Unfit};
use crate::cluster::ShardState;
use crate::report::Follower;
use crate::resources::Resources;

/// Score of a place that the operator wants: above everything else.
const PIN_SCORE: f64 = 100.0;

/// Score of a candidate whose clock is off: below everything but what the operator wants. It may
/// still hold leases, where nobody else can.
const CLOCK_SCORE: f64 = -50.0;

/// How long a target is avoided that could not take a lease which must leave its place.
const ORDER_BACK_OFF: Duration = Duration::from_secs(1);

/// What each lease that is on its way to a candidate already counts against it.
const ORDER_CROWD: f64 = 0.0001;

/// How careful a phase is about candidates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// For balance: every rule counts.
    Balance,
    /// By order of the operator: the lease must leave, so a candidate may be unsettled or fuller.
    Order,
    /// Nobody holds the lease: whoever is alive may, and nobody knows who lags.
    Vacant,
}

impl Round<'_> {
    /// All bids for a shard's lease, best first; ties by the seed.
    pub(super) fn lease_bids(&self, shard: ShardId, state: &ShardState, care: Care) -> Vec<Bid> {
        let seat = self.seats.get(&shard).copied();
        let candidates = state.replicas.iter().filter(|node| Some(**node) != seat);
        let bid =
            |node: &NodeId| Bid { node: *node, terms: self.lease_terms(state, seat, *node, care) };
        let mut bids: Vec<Bid> = candidates.map(bid).collect();
        self.rank(shard, &mut bids);
        bids
    }

    /// Sorts bids, best first; ties by the seed.
    pub(super) fn rank(&self, shard: ShardId, bids: &mut [Bid]) {
        let tie = |bid: &Bid| tie_break(self.seed, shard, bid.node);
        bids.sort_by(|a, b| b.total().total_cmp(&a.total()).then(tie(a).cmp(&tie(b))));
    }

    /// The terms of one candidate, or why it is none.
    fn lease_terms(
        &self,
        state: &ShardState,
        seat: Option<NodeId>,
        node: NodeId,
        care: Care,
    ) -> Result<Terms, Unfit> {
        let view = self.nodes.get(&node).ok_or(Unfit::NoReplica)?;
        self.check_candidate(state, node, view, care)?;
        let lag = if care == Care::Vacant { 0.0 } else { self.lag_share(state, node)? };
        let source = seat.and_then(|seat| self.nodes.get(&seat).filter(|view| view.live));
        let level = self.level_of(state);
        let over = self.policy.overestimate;
        let after = (view.level + level * over).share_of(view.capacity);
        if let Some(source) = source.filter(|_| care == Care::Balance) {
            let peak = (view.peak + self.peak_of(state) * over).share_of(view.capacity);
            if peak >= source.peak.share_of(source.capacity) || after >= source.used() {
                return Err(Unfit::WouldBeFuller);
            }
        }
        let penalty = |share| self.band.penalty(share);
        let mut terms = Terms {
            load: penalty(view.used()) - penalty(after),
            room: -self.policy.room_weight * after - self.crowd(view, care),
            proximity: self.proximity_term(state, seat, node),
            lag: -self.policy.lag_weight * lag,
            neighbour: self.neighbour_term(state, node),
            ..Terms::default()
        };
        if self.cluster.nodes.get(&node).is_some_and(|known| known.clock_off) {
            terms.clock = CLOCK_SCORE;
        }
        if let Some(source) = source {
            let left = (source.level - level).share_of(source.capacity);
            terms.load += penalty(source.used()) - penalty(left);
            terms.room += self.policy.room_weight * source.used();
            terms.stability = -self.churn(state, level.share_of(view.capacity));
        }
        if state.pin.is_some() {
            terms.pin = PIN_SCORE;
        }
        Ok(terms)
    }

    /// Where leases must leave, the candidates take them in turn, whatever they carry: loads that
    /// are near to nothing would send all of them to one node.
    fn crowd(&self, view: &NodeView, care: Care) -> f64 {
        match care {
            Care::Balance => 0.0,
            Care::Order | Care::Vacant => ORDER_CROWD * f64::from(view.inbound),
        }
    }

    fn check_candidate(
        &self,
        state: &ShardState,
        node: NodeId,
        view: &NodeView,
        care: Care,
    ) -> Result<(), Unfit> {
        let known = self.cluster.nodes.get(&node).ok_or(Unfit::NoReplica)?;
        if !view.live {
            return Err(Unfit::Silent);
        }
        if known.duty != crate::command::Duty::Full {
            return Err(Unfit::Draining);
        }
        if !view.accepts {
            return Err(Unfit::SlowDisk);
        }
        let holder = state.holder.and_then(|holder| self.cluster.nodes.get(&holder.node));
        if known.disk_full && holder.is_some_and(|holder| !holder.disk_full) {
            return Err(Unfit::FullDisk);
        }
        if state.pin.as_ref().is_some_and(|pin| !pin.allows(node, &known.locality)) {
            return Err(Unfit::PinnedElsewhere);
        }
        let failed_there = state.failed.is_some_and(|(at, target)| {
            let back_off = match care {
                Care::Balance => self.policy.failure_back_off,
                // What the operator wants, or nobody holds, is tried again soon.
                Care::Order | Care::Vacant => self.policy.failure_back_off.min(ORDER_BACK_OFF),
            };
            target == node && self.now.since(at) < back_off
        });
        if failed_there && state.replicas.len() > 1 {
            return Err(Unfit::FailedThere);
        }
        if care != Care::Balance {
            return Ok(());
        }
        let came_from_there = state.moved.is_some_and(|moved| {
            moved.from == Some(node) && self.now.since(moved.at) < self.policy.return_after
        });
        if came_from_there {
            return Err(Unfit::CameFromThere);
        }
        if !view.settled {
            return Err(Unfit::Unsettled);
        }
        if view.inbound >= self.policy.inbound_max {
            return Err(Unfit::Inbound);
        }
        Ok(())
    }

    /// How far a replica is behind, as a part of what is allowed.
    fn lag_share(&self, state: &ShardState, node: NodeId) -> Result<f64, Unfit> {
        let heard = state.followers.iter().find(|follower| follower.node == node);
        let Some(Follower { lag_entries, lag_time, .. }) = heard else {
            return Err(Unfit::Unheard);
        };
        let (entries, time) = (self.policy.lag_entries_max, self.policy.lag_time_max);
        if *lag_entries > u64::from(entries) && *lag_time > time {
            return Err(Unfit::Behind);
        }
        let share = *lag_entries as f64 / f64::from(entries.max(1));
        Ok(share.min(1.0))
    }

    /// What moving the shard costs: more when it has just moved.
    fn churn(&self, state: &ShardState, share: f64) -> f64 {
        let fade = self.policy.churn_fade.as_secs_f64();
        let recent = state.moved.map_or(0.0, |moved| {
            let left = 1.0 - self.now.since(moved.at).as_secs_f64() / fade;
            left.max(0.0)
        });
        self.policy.churn * share * (1.0 + 3.0 * recent)
    }

    fn neighbour_term(&self, state: &ShardState, node: NodeId) -> f64 {
        let (first, last) = (state.range.first(), state.range.last());
        let before = self.by_slot.range(..first).next_back();
        let after = self.by_slot.range(last..).find(|(slot, _)| **slot > last);
        let seats = [before, after].into_iter().flatten().map(|(_, shard)| self.seats.get(shard));
        let beside = seats.flatten().any(|seat| *seat == node);
        if beside { self.policy.neighbour_weight * self.mean_shard } else { 0.0 }
    }

    /// The mean round trip that clients save if the lease moves, and the longest that is known.
    pub(super) fn saving(
        &self,
        state: &ShardState,
        seat: NodeId,
        node: NodeId,
    ) -> Option<(Saving, Duration)> {
        let (from, to) = (self.cluster.nodes.get(&seat)?, self.cluster.nodes.get(&node)?);
        let requests = state.requests();
        let (mut before, mut after, mut longest) = (0.0, 0.0, Duration::ZERO);
        for (origin, rate) in &state.origins {
            let (there, here) = (from.round_trips.get(origin)?, to.round_trips.get(origin)?);
            before += there.as_secs_f64() * rate / requests;
            after += here.as_secs_f64() * rate / requests;
            longest = longest.max(*there).max(*here);
        }
        let saving = Saving { seconds: before - after };
        (requests > 0.0 && !longest.is_zero()).then_some((saving, longest))
    }

    /// Nearness to clients. Counts only if it is switched on, nodes stand in several zones, and
    /// most requests have come from one place for long enough.
    fn proximity_term(&self, state: &ShardState, seat: Option<NodeId>, node: NodeId) -> f64 {
        let Some(seat) = seat.filter(|_| self.proximity_counts(state)) else { return 0.0 };
        let Some((saving, longest)) = self.saving(state, seat, node) else { return 0.0 };
        let share = match self.nodes.get(&node) {
            Some(view) => self.level_of(state).share_of(view.capacity),
            None => 0.0,
        };
        self.policy.proximity_weight * share * saving.seconds / longest.as_secs_f64()
    }

    pub(super) fn proximity_counts(&self, state: &ShardState) -> bool {
        self.policy.proximity_weight > 0.0
            && self.several_zones
            && state.majority.is_some_and(|majority| {
                self.now.since(majority.since) >= self.policy.proximity_hold
                    && majority.requests >= self.policy.proximity_samples_min
            })
    }

    /// The least total that a bid for balance must reach.
    pub(crate) fn gain_needed(&self, source: NodeId) -> f64 {
        let used = self.nodes.get(&source).map_or(0.0, NodeView::used);
        self.policy.gain_min.max(self.policy.gain_share_min * self.band.penalty(used))
    }

    /// A shard's bids as they would count for balance now.
    pub(crate) fn bids_now(&self, shard: ShardId, state: &ShardState) -> Vec<Bid> {
        let care = if self.seats.contains_key(&shard) { Care::Balance } else { Care::Vacant };
        self.lease_bids(shard, state, care)
    }

    /// The part of a node's capacity that a shard takes.
    pub(crate) fn share_at(&self, state: &ShardState, node: NodeId) -> f64 {
        let capacity = self.nodes.get(&node).map_or(Resources::NONE, |view| view.capacity);
        self.level_of(state).share_of(capacity)
    }
}

/// What clients save.
#[derive(Clone, Copy)]
pub(super) struct Saving {
    /// Of the mean round trip; negative if it gets longer.
    pub(super) seconds: f64,
}

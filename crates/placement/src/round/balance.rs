//! Balance: what moves because nodes are too full or too empty.
//!
//! Urgent nodes come first, then overfull ones, then hungry ones are filled. From the node that
//! gives, the shard and target with the best bid move, again and again, until the node is within
//! bounds, nothing more is gained, or the budget is spent. Several conditions keep a steady
//! cluster still: the band that costs nothing, absolute floors, rounds of confirmation, the least
//! gain, the rest of shards that have moved, and nodes that must report after a move first.

use alloc::vec::Vec;
use core::fmt;

use types::{NodeId, ShardId};

use super::bids::Care;
use super::{NodeView, Round};
use crate::bid::Bid;
use crate::cluster::ShardState;
use crate::decision::Reason;

/// A hungry node is filled up to so many times the mean.
const FILLED: f64 = 0.95;

/// How a node stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// It gives nothing away.
    Calm,
    /// It is clearly below the mean, and is filled.
    Hungry,
    /// It is clearly above the mean.
    Overfull,
    /// It is near its limits.
    Urgent,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calm => "calm",
            Self::Hungry => "hungry",
            // It may be far from full.
            Self::Overfull => "above the mean",
            Self::Urgent => "urgent",
        })
    }
}

/// What a round found out about a node; it is remembered for the next one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Finding {
    pub(crate) overfull_rounds: u32,
    pub(crate) hungry_rounds: u32,
    /// The node should give load away, and no lease can leave.
    pub(crate) stuck: bool,
}

/// How a node stands, without regard to how long it has stood so.
pub(super) fn classify(round: &Round<'_>, node: NodeId) -> Class {
    let policy = round.policy;
    let Some(view) = round.nodes.get(&node).filter(|view| view.live) else { return Class::Calm };
    let (used, mean) = (view.used(), round.mean);
    // Where the mean itself is near the limits, being near them, or having requests wait, tells
    // nothing of the node: what is more than the others' is at issue still, and noise must not
    // pass for it.
    let at_limits = used > policy.urgent && used > policy.overfull * mean;
    let above = if mean > policy.urgent { policy.overfull } else { policy.enough };
    let queues = view.queues && used > policy.floor && used > above * mean;
    if at_limits || queues {
        return Class::Urgent;
    }
    let overfull = used > policy.calm && used > policy.overfull * mean;
    let uneven = used > policy.floor && used > policy.uneven * mean;
    if overfull || uneven {
        return Class::Overfull;
    }
    let hungry = view.accepts && mean > policy.floor && used < policy.hungry * mean;
    if hungry { Class::Hungry } else { Class::Calm }
}

pub(super) fn run(round: &mut Round<'_>) {
    let classes: Vec<(NodeId, Class)> =
        round.nodes.keys().map(|node| (*node, classify(round, *node))).collect();
    for (node, class) in &classes {
        let known = round.cluster.nodes.get(node);
        let (overfull, hungry) =
            known.map_or((0, 0), |known| (known.overfull_rounds, known.hungry_rounds));
        let count = |so_far: u32, now: bool| if now { so_far.saturating_add(1) } else { 0 };
        let finding = Finding {
            overfull_rounds: count(overfull, *class >= Class::Overfull),
            hungry_rounds: count(hungry, *class == Class::Hungry),
            stuck: false,
        };
        round.findings.insert(*node, finding);
    }
    if round.is_held_still() {
        return;
    }
    let of =
        |class: Class| classes.iter().filter(move |(_, of)| *of == class).map(|(node, _)| node);
    for node in fullest_first(round, of(Class::Urgent).copied().collect()) {
        shed(round, node, Class::Urgent);
    }
    for node in fullest_first(round, of(Class::Overfull).copied().collect()) {
        let proven = round.findings[&node].overfull_rounds >= round.policy.confirmations;
        if proven || round.is_pressing(node) {
            shed(round, node, Class::Overfull);
        }
    }
    for node in of(Class::Hungry) {
        if round.findings[node].hungry_rounds >= round.policy.confirmations {
            fill(round, *node);
        }
    }
}

fn fullest_first(round: &Round<'_>, mut nodes: Vec<NodeId>) -> Vec<NodeId> {
    let used = |node: &NodeId| round.nodes.get(node).map_or(0.0, NodeView::used);
    nodes.sort_by(|a, b| used(b).total_cmp(&used(a)));
    nodes
}

/// Moves leases away from a node that is too full.
fn shed(round: &mut Round<'_>, node: NodeId, class: Class) {
    let urgent = class == Class::Urgent;
    let reason = if urgent { Reason::Urgent } else { Reason::Overfull };
    let mut moved = false;
    while let Some(view) = round.nodes.get(&node).copied() {
        if !view.settled || view.used() <= round.policy.enough * round.mean {
            return;
        }
        let leaving = view.outbound.share_of(view.capacity);
        if !round.is_pressing(node) && leaving > round.policy.pending_share_max * view.used() {
            return;
        }
        if !round.budget.allows(urgent) {
            return;
        }
        let shards = movable(round, node);
        let Some((shard, bids)) = best(round, &shards, |_| true) else {
            let finding = round.findings.entry(node).or_default();
            finding.stuck = !moved;
            return;
        };
        let to = bids[0].node;
        round.budget.spend();
        round.move_lease(shard, to, reason, bids);
        moved = true;
    }
}

/// Moves leases to a node that is too empty, from those above the mean.
fn fill(round: &mut Round<'_>, node: NodeId) {
    while let Some(view) = round.nodes.get(&node).copied() {
        let full = view.inbound >= round.policy.inbound_max;
        if !view.settled || full || view.used() >= FILLED * round.mean {
            return;
        }
        if !round.budget.allows(false) {
            return;
        }
        let givers: Vec<NodeId> = round
            .nodes
            .iter()
            .filter(|(_, view)| view.settled && view.used() > round.mean)
            .map(|(giver, _)| *giver)
            .collect();
        let shards: Vec<_> = givers
            .into_iter()
            .flat_map(|giver| movable(round, giver))
            .filter(|(_, state)| state.replicas.contains(&node))
            .collect();
        let Some((shard, bids)) = best(round, &shards, |candidate| candidate == node) else {
            return;
        };
        round.budget.spend();
        round.move_lease(shard, node, Reason::Hungry, bids);
    }
}

/// The shards at a node that may move for the sake of balance.
fn movable<'a>(round: &Round<'a>, node: NodeId) -> Vec<(ShardId, &'a ShardState)> {
    let mut shards = round.seated_at(node);
    let pressing = round.is_pressing(node);
    shards.retain(|(_, state)| {
        let here = state.holder.is_some_and(|holder| holder.node == node);
        here && state.pending.is_none()
            && state.load.is_known()
            && state.rests_until(round.policy, pressing) <= round.now
    });
    shards
}

/// The shard with the best bid, and all its bids, those that count first. A bid must be worth it.
fn best(
    round: &Round<'_>,
    shards: &[(ShardId, &ShardState)],
    counts: impl Fn(NodeId) -> bool,
) -> Option<(ShardId, Vec<Bid>)> {
    let mut best: Option<(f64, ShardId, Vec<Bid>)> = None;
    for (shard, state) in shards {
        let mut bids = round.lease_bids(*shard, state, Care::Balance);
        let Some(at) = bids.iter().position(|bid| counts(bid.node)) else { continue };
        bids[..=at].rotate_right(1);
        let (Some(seat), total) = (round.seats.get(shard), bids[0].total()) else { continue };
        let better = best.as_ref().is_none_or(|(most, _, _)| total > *most);
        if better && total >= round.gain_needed(*seat) {
            best = Some((total, *shard, bids));
        }
    }
    best.map(|(_, shard, bids)| (shard, bids))
}

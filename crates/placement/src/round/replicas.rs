//! Replicas: data is copied only where leases can't help.
//!
//! In this order: repair of what is lost, nodes that leave, relief of nodes that have been overfull
//! for long although leases were tried, and spreading over nodes that have joined. A copy costs
//! much, so few run at a time, and one to each target.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use types::{NodeId, ShardId};

use super::{Choice, Class, NodeView, Round};
use crate::bid::{Bid, Terms, Unfit};
use crate::cluster::ShardState;
use crate::command::Duty;
use crate::decision::{Action, Reason};

/// Weight of each label that a candidate shares with another replica: above any load.
const LOCALITY_WEIGHT: f64 = 10.0;

/// What the phase keeps in mind while it chooses.
struct Copies {
    /// Replicas of each node, copies under way counted.
    counts: BTreeMap<NodeId, usize>,
    /// Nodes that a copy is on its way to.
    targets: BTreeSet<NodeId>,
    /// Shards that have been chosen.
    shards: BTreeSet<ShardId>,
    /// Copies that may still begin.
    left: usize,
}

pub(super) fn run(round: &mut Round<'_>) {
    let mut copies = count(round);
    repair(round, &mut copies);
    leave(round, &mut copies);
    if !round.is_held_still() {
        relieve(round, &mut copies);
        spread(round, &mut copies);
    }
}

fn count(round: &Round<'_>) -> Copies {
    let mut counts: BTreeMap<NodeId, usize> = round.nodes.keys().map(|node| (*node, 0)).collect();
    let (mut targets, mut shards) = (BTreeSet::new(), BTreeSet::new());
    for (shard, state) in &round.cluster.shards {
        for node in &state.replicas {
            *counts.entry(*node).or_default() += 1;
        }
        if let Some(pending) = state.replica_pending {
            shards.insert(*shard);
            // One that is there already is not copied.
            if !state.replicas.contains(&pending.to) {
                *counts.entry(pending.to).or_default() += 1;
                targets.insert(pending.to);
            }
        }
    }
    let left = (round.policy.replica_moves_max as usize).saturating_sub(shards.len());
    Copies { counts, targets, shards, left }
}

fn repair(round: &mut Round<'_>, copies: &mut Copies) {
    let cluster = round.cluster;
    let dead: BTreeSet<NodeId> = cluster
        .nodes
        .iter()
        .filter(|(_, state)| state.silence(round.now) >= round.policy.repair_after)
        .map(|(node, _)| *node)
        .filter(|node| !cluster.is_vouched_for(round.now, round.policy, *node))
        .collect();
    for (shard, state) in &cluster.shards {
        let lost = state.replicas.iter().copied().find(|node| dead.contains(node));
        let few = state.replicas.len() < round.policy.replicas as usize;
        // Too few replicas and one lost: the additional one is the safer step.
        if few || lost.is_some() {
            let from = if few { None } else { lost };
            copy(round, copies, *shard, state, from, None, Reason::Repair);
        }
    }
}

fn leave(round: &mut Round<'_>, copies: &mut Copies) {
    let cluster = round.cluster;
    for (node, known) in &cluster.nodes {
        if known.duty != Duty::Leaving {
            continue;
        }
        for (shard, state) in &cluster.shards {
            if state.replicas.contains(node) && round.seats.get(shard) != Some(node) {
                let (from, reason) = (Some(*node), Reason::Leaving);
                // Where enough others stay nothing is copied: there may be no place for it.
                let only = spare_replica(round, state);
                copy(round, copies, *shard, state, from, only, reason);
            }
        }
    }
}

/// A replica that can do what a leaving one did: the shard has enough of those that stay.
fn spare_replica(round: &Round<'_>, state: &ShardState) -> Option<NodeId> {
    let stays = |node: &&NodeId| {
        let known = round.cluster.nodes.get(*node);
        let live = round.nodes.get(*node).is_some_and(|view| view.live);
        live && known.is_some_and(|known| known.duty != Duty::Leaving)
    };
    let staying: Vec<NodeId> = state.replicas.iter().filter(stays).copied().collect();
    let enough = staying.len() >= round.policy.replicas as usize;
    staying.first().copied().filter(|_| enough)
}

/// A node has been overfull for long, and none of its leases could go anywhere: the nodes that
/// have room have no replicas of its shards. The largest shard gets one on the emptiest node.
fn relieve(round: &mut Round<'_>, copies: &mut Copies) {
    let cluster = round.cluster;
    for (node, known) in &cluster.nodes {
        let long = known
            .stuck_since
            .is_some_and(|since| round.now.since(since) >= round.policy.replica_grace);
        if !long || round.class_of(*node) < Class::Overfull {
            continue;
        }
        let used = |node: &NodeId| round.nodes.get(node).map_or(0.0, NodeView::used);
        let mut shards = round.seated_at(*node);
        let size = |state: &ShardState| round.level_of(state).cpu;
        shards.sort_by(|(_, a), (_, b)| size(b).total_cmp(&size(a)));
        let emptiest = round
            .nodes
            .iter()
            .filter(|(_, view)| view.accepts)
            .min_by(|(_, a), (_, b)| a.used().total_cmp(&b.used()));
        let Some((to, view)) = emptiest.map(|(to, view)| (*to, *view)) else { continue };
        let helps = shards.into_iter().find(|(_, state)| {
            let after = view.used() + round.share_at(state, to);
            !state.replicas.contains(&to) && after < used(node)
        });
        if let Some((shard, state)) = helps {
            let others = state.replicas.iter().filter(|other| *other != node);
            let fullest = others.copied().max_by(|a, b| used(a).total_cmp(&used(b)));
            copy(round, copies, shard, state, fullest, Some(to), Reason::Relief);
        }
    }
}

/// A node has many more replicas than another: somebody has joined.
fn spread(round: &mut Round<'_>, copies: &mut Copies) {
    let cluster = round.cluster;
    let accepting = || round.nodes.iter().filter(|(_, view)| view.accepts).map(|(node, _)| *node);
    let count = |node: NodeId| copies.counts.get(&node).copied().unwrap_or(0);
    let nodes = accepting().count();
    let total: usize = accepting().map(count).sum();
    let (Some(most), Some(least)) =
        (accepting().max_by_key(|node| count(*node)), accepting().min_by_key(|node| count(*node)))
    else {
        return;
    };
    let mean = total as f64 / nodes.max(1) as f64;
    // Even counts that can't be more even are even, whatever the ratio.
    let uneven = count(most) as f64 > round.policy.replica_spread * mean
        || (count(least) as f64) * round.policy.replica_spread < mean;
    if !uneven || count(most) < count(least) + 2 {
        return;
    }
    // A replica on a full node helps nobody, and may just have been moved away for relief.
    if round.nodes.get(&least).is_none_or(|view| view.used() > round.mean.max(round.policy.floor)) {
        return;
    }
    let movable = cluster.shards.iter().find(|(shard, state)| {
        let there = state.replicas.contains(&most) && !state.replicas.contains(&least);
        there && round.seats.get(shard) != Some(&most) && !copies.shards.contains(shard)
    });
    if let Some((shard, state)) = movable {
        copy(round, copies, *shard, state, Some(most), Some(least), Reason::Spread);
    }
}

/// Chooses to copy a replica: to `only`, or to the best bidder. One that `only` has already is not
/// copied: the one at `from` just goes.
fn copy(
    round: &mut Round<'_>,
    copies: &mut Copies,
    shard: ShardId,
    state: &ShardState,
    from: Option<NodeId>,
    only: Option<NodeId>,
    reason: Reason,
) {
    // Without a holder there is nobody to copy from, and no change of replicas can be agreed on.
    let held = state.holder.is_some() && state.pending.is_none();
    let chosen = round.chosen.iter().any(|choice| choice.shard == shard);
    if copies.left == 0 || !held || chosen || copies.shards.contains(&shard) {
        return;
    }
    let mut bids = replica_bids(round, copies, shard, state, (from, only));
    bids.retain(|bid| only.is_none_or(|only| only == bid.node));
    let locality = |bid: &Bid| bid.terms.map_or(f64::NEG_INFINITY, |terms| terms.locality);
    let farthest = bids.iter().map(locality).fold(f64::NEG_INFINITY, f64::max);
    let copies_data = |node: NodeId| !state.replicas.contains(&node);
    for bid in &mut bids {
        if copies_data(bid.node) && copies.targets.contains(&bid.node) && bid.terms.is_ok() {
            bid.terms = Err(Unfit::Inbound);
        }
    }
    round.rank(shard, &mut bids);
    let Some(best) = bids.first().filter(|bid| bid.terms.is_ok()) else { return };
    // A place of which less would fail together is worth waiting for.
    if copies_data(best.node) && locality(best) < farthest {
        return;
    }
    let to = best.node;
    copies.left -= 1;
    copies.shards.insert(shard);
    if copies_data(to) {
        copies.targets.insert(to);
        *copies.counts.entry(to).or_default() += 1;
    }
    let inputs = round.inputs(state, from, to);
    let action = Action::Replica { from, to, generation: state.generation };
    round.chosen.push(Choice { shard, action, reason, inputs, bids, gain: 0.0 });
}

/// All nodes' bids for a replica, best first: far from the other replicas, with room.
fn replica_bids(
    round: &Round<'_>,
    copies: &Copies,
    shard: ShardId,
    state: &ShardState,
    (from, only): (Option<NodeId>, Option<NodeId>),
) -> Vec<Bid> {
    let staying: Vec<NodeId> =
        state.replicas.iter().copied().filter(|node| Some(*node) != from).collect();
    let total: usize = copies.counts.values().sum();
    let mean = (total as f64 / round.nodes.len().max(1) as f64).max(1.0);
    let terms = |node: NodeId, view: &NodeView| {
        let known = round.cluster.nodes.get(&node).ok_or(Unfit::Silent)?;
        if state.replicas.contains(&node) {
            // That one goes without a copy; else nothing would be gained.
            return if only == Some(node) { Ok(Terms::default()) } else { Err(Unfit::HasReplica) };
        }
        if !view.live {
            return Err(Unfit::Silent);
        }
        if !view.accepts {
            return Err(Unfit::Draining);
        }
        if known.memory_used + state.stored > round.policy.memory_max * known.memory_capacity {
            return Err(Unfit::MemoryFull);
        }
        let localities = staying.iter().filter_map(|other| round.cluster.nodes.get(other));
        let shared: u32 = localities.map(|other| known.locality.shared(&other.locality)).sum();
        let count = copies.counts.get(&node).copied().unwrap_or(0) as f64;
        Ok(Terms {
            room: -(view.used() + count / mean),
            locality: -LOCALITY_WEIGHT * f64::from(shared),
            ..Terms::default()
        })
    };
    let bid = |(node, view): (&NodeId, &NodeView)| Bid { node: *node, terms: terms(*node, view) };
    let mut bids: Vec<Bid> = round.nodes.iter().map(bid).collect();
    round.rank(shard, &mut bids);
    bids
}

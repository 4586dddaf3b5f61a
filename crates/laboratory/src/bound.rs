//! The bound and the oracle: what somebody who knows the load could reach.
//!
//! The bound: the largest shard first, each to the emptiest node
//! (LPT), as if every node could hold every shard, with no leases split. The oracle has the same
//! knowledge but keeps to the replicas.

use types::NodeId;

use crate::demand::{CAPACITY, Source};
use crate::world::World;

/// The load of the fullest node under the best placement that LPT finds.
pub(crate) fn bound(world: &World, source: &Source) -> f64 {
    let alive = world.nodes.values().filter(|node| node.alive);
    let mut nodes: Vec<f64> = alive.map(|node| node.background).collect();
    let mut loads: Vec<f64> = shares(world, source).map(|(_, share)| share).collect();
    loads.sort_by(|a, b| b.total_cmp(a));
    for load in loads {
        if let Some(least) = nodes.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *least += load;
        }
    }
    nodes.into_iter().fold(0.0, f64::max)
}

/// Each shard that is held, and what it takes of a node.
fn shares<'a>(
    world: &'a World,
    source: &'a Source,
) -> impl Iterator<Item = (usize, f64)> + use<'a> {
    let held = world.shards.iter().enumerate().filter(|(_, shard)| shard.holder.is_some());
    held.map(|(number, _)| (number, source.expected[number].load().cpu / CAPACITY.cpu))
}

/// Where each shard should be, knowing the load: LPT within the replicas, then single moves away
/// from the fullest node while that helps.
pub(crate) fn oracle(world: &World, source: &Source) -> (Vec<(usize, NodeId)>, f64) {
    let mut shards: Vec<(usize, f64)> = shares(world, source).collect();
    shards.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let alive = world.nodes.iter().filter(|(_, node)| node.alive);
    let mut nodes: Vec<(NodeId, f64)> =
        alive.map(|(node, state)| (*node, state.background)).collect();
    let mut places = Vec::new();
    for (shard, share) in &shards {
        let replicas = &world.shards[*shard].replicas;
        let fit = nodes.iter_mut().filter(|(node, _)| replicas.contains(node));
        if let Some((node, load)) = fit.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
            *load += share;
            places.push((*shard, *node, *share));
        }
    }
    for _ in 0..places.len() {
        if !improve(world, &mut nodes, &mut places) {
            break;
        }
    }
    let most = nodes.iter().map(|(_, load)| *load).fold(0.0, f64::max);
    (places.into_iter().map(|(shard, node, _)| (shard, node)).collect(), most)
}

/// Moves one shard from the fullest node to where the fuller of the two is emptiest.
fn improve(
    world: &World,
    nodes: &mut [(NodeId, f64)],
    places: &mut [(usize, NodeId, f64)],
) -> bool {
    let Some((fullest, most)) = nodes.iter().copied().max_by(|(_, a), (_, b)| a.total_cmp(b))
    else {
        return false;
    };
    let mut best: Option<(f64, usize, NodeId)> = None;
    for (at, (shard, place, share)) in places.iter().enumerate() {
        if *place != fullest {
            continue;
        }
        for (node, load) in nodes.iter() {
            let after = (load + share).max(most - share);
            let fits = *node != fullest && world.shards[*shard].replicas.contains(node);
            if fits && after < most - 1e-9 && best.is_none_or(|(least, _, _)| after < least) {
                best = Some((after, at, *node));
            }
        }
    }
    let Some((_, at, to)) = best else { return false };
    let share = places[at].2;
    places[at].1 = to;
    for (node, load) in nodes {
        if *node == fullest {
            *load -= share;
        } else if *node == to {
            *load += share;
        }
    }
    true
}

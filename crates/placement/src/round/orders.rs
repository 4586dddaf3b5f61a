//! What operators have ordered: nodes that are to be empty, and shards that have a fixed place.
//! Neither budget nor cool-down holds this back, so a node with hundreds of leases is empty after
//! one round.

use alloc::vec::Vec;

use types::ShardId;

use super::Round;
use super::bids::Care;
use crate::cluster::ShardState;
use crate::command::Duty;
use crate::decision::Reason;

pub(super) fn run(round: &mut Round<'_>) {
    let mut ordered: Vec<(ShardId, &ShardState, Reason)> = Vec::new();
    for (shard, state) in &round.cluster.shards {
        if state.pending.is_none()
            && let Some(reason) = order(round, *shard, state)
        {
            ordered.push((*shard, state, reason));
        }
    }
    let size = |state: &ShardState| round.level_of(state).cpu;
    ordered.sort_by(|(_, a, _), (_, b, _)| size(b).total_cmp(&size(a)));
    for (shard, state, reason) in ordered {
        let bids = round.lease_bids(shard, state, Care::Order);
        if let Some(best) = bids.first().filter(|bid| bid.terms.is_ok()) {
            round.move_lease(shard, best.node, reason, bids);
        }
    }
}

/// Why a shard must leave its seat, if it must.
fn order(round: &Round<'_>, shard: ShardId, state: &ShardState) -> Option<Reason> {
    let seat = *round.seats.get(&shard)?;
    let node = round.cluster.nodes.get(&seat)?;
    if node.duty != Duty::Full {
        return Some(Reason::Drain);
    }
    let misplaced = state.pin.as_ref().is_some_and(|pin| !pin.allows(seat, &node.locality));
    misplaced.then_some(Reason::Pin)
}

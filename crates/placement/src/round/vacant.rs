//! Shards that nobody holds: the first assignment, and what is left when heirs don't help
//! themselves. Nothing holds this back; a shard without a holder serves nobody.

use alloc::vec::Vec;

use types::{NodeId, ShardId};

use super::Round;
use super::bids::Care;
use crate::cluster::ShardState;
use crate::decision::Reason;

pub(super) fn run(round: &mut Round<'_>) {
    let cluster = round.cluster;
    let mut vacant: Vec<(ShardId, &ShardState)> = cluster
        .shards
        .iter()
        .filter(|(_, state)| state.seat().is_none() && is_due(round, state))
        .map(|(shard, state)| (*shard, state))
        .collect();
    // The largest first: what comes later fits into what is left.
    let size = |state: &ShardState| round.level_of(state).cpu;
    vacant.sort_by(|(_, a), (_, b)| size(b).total_cmp(&size(a)));
    for (shard, state) in vacant {
        let bids = round.lease_bids(shard, state, Care::Vacant);
        let Some(best) = bids.first().filter(|bid| bid.terms.is_ok()) else { continue };
        let first = state.epoch.0 == 0;
        let reason = if first { Reason::FirstAssignment } else { Reason::HolderLost };
        round.move_lease(shard, best.node, reason, bids);
    }
}

/// A shard that had a holder is left to its heirs for a while. One that never had waits only until
/// all its replicas have reported that they don't hold it.
fn is_due(round: &Round<'_>, state: &ShardState) -> bool {
    let reported = |node: &NodeId| round.nodes.get(node).is_some_and(|view| view.live);
    // One that others hear and the manager does not may well hold it.
    let unheard = |node: &NodeId| {
        !reported(node) && round.cluster.is_vouched_for(round.now, round.policy, *node)
    };
    if state.replicas.iter().any(unheard) {
        return false;
    }
    let waited = round.now.since(state.vacant_since) >= round.policy.orphan_after;
    waited || state.epoch.0 == 0 && state.replicas.iter().all(reported)
}

//! Nearness: shards whose clients would have a shorter way to another replica.
//!
//! The best-known implementer of this idea has retired it (cockroachdb/cockroach#169669), and with
//! hash slots the keys of one place share a shard only if they are tagged. So it is a small phase
//! with many gates: several zones, a clear majority of clients in one place for a minute, a saving
//! worth having, a target that stays within the band, and the longest cool-down.

use types::{NodeId, ShardId};

use super::Round;
use super::bids::Care;
use crate::bid::Bid;
use crate::cluster::ShardState;
use crate::decision::Reason;

pub(super) fn run(round: &mut Round<'_>) {
    if round.is_held_still() || !round.several_zones || round.policy.proximity_weight <= 0.0 {
        return;
    }
    let cluster = round.cluster;
    for (shard, state) in &cluster.shards {
        if !round.budget.allows(false) {
            return;
        }
        let rested = state.moved.is_none_or(|moved| {
            moved.from.is_none() || round.now.since(moved.at) >= round.policy.cool_down_max
        });
        // What another phase has chosen to move stands elsewhere already.
        let seat = round.seats.get(shard).copied();
        let here = seat.is_some() && seat == state.holder.map(|holder| holder.node);
        if !here || !rested || state.pending.is_some() || !round.proximity_counts(state) {
            continue;
        }
        if let Some((to, bids)) = seat.and_then(|seat| nearer(round, *shard, state, seat)) {
            round.budget.spend();
            round.move_lease(*shard, to, Reason::Proximity, bids);
        }
    }
}

fn nearer(
    round: &Round<'_>,
    shard: ShardId,
    state: &ShardState,
    seat: NodeId,
) -> Option<(NodeId, alloc::vec::Vec<Bid>)> {
    let settled = |node: NodeId| round.nodes.get(&node).is_some_and(|view| view.settled);
    if !settled(seat) {
        return None;
    }
    // The rule that the target must not become the fuller of the two is about balance.
    let mut bids = round.lease_bids(shard, state, Care::Order);
    let least = round.policy.proximity_saving_min.as_secs_f64();
    let fits = |bid: &Bid| {
        let saving = round.saving(state, seat, bid.node);
        let near = saving.is_some_and(|(saving, _)| saving.seconds >= least);
        let room = round.nodes.get(&bid.node).is_some_and(|view| {
            let after = view.used() + round.share_at(state, bid.node) * round.policy.overestimate;
            let inbound = view.inbound < round.policy.inbound_max;
            inbound && after <= round.band.high().max(round.policy.calm)
        });
        bid.terms.is_ok() && near && room && settled(bid.node)
    };
    let at = bids.iter().position(fits)?;
    bids[..=at].rotate_right(1);
    Some((bids[0].node, bids))
}

//! Succession: who campaigns first when a holder dies, and who next.
//!
//! The order is decided while all is well, so that a failure is answered at once by the best heir
//! without asking anybody. For each node, its death is played through: what its shards' first heirs
//! would inherit is added to what they carry, and each shard, the largest first, goes to the heir
//! that would be emptiest. So the shards of a dead node spread over the others.
//!
//! An order stands until another first heir would be emptier by a margin, or replicas changed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use types::{NodeId, ShardId};

use super::{Choice, Round};
use crate::bid::{Bid, Terms, Unfit};
use crate::cluster::ShardState;
use crate::decision::{Action, Inputs, Reason};
use crate::resources::Resources;

pub(super) fn run(round: &mut Round<'_>) {
    if round.cluster.frozen {
        return;
    }
    let nodes: Vec<NodeId> = round.nodes.keys().copied().collect();
    let mut left = round.policy.succession_round_max;
    for node in nodes {
        let mut inherited: BTreeMap<NodeId, Resources> = BTreeMap::new();
        let mut shards = round.seated_at(node);
        shards.retain(|(_, state)| {
            state.pending.is_none() && state.holder.is_some_and(|holder| holder.node == node)
        });
        for (_, state) in &shards {
            if let Some(first) = state.heirs.first() {
                *inherited.entry(*first).or_default() += round.level_of(state);
            }
        }
        let size = |state: &ShardState| round.level_of(state).cpu;
        shards.sort_by(|(_, a), (_, b)| size(b).total_cmp(&size(a)));
        for (shard, state) in shards {
            let level = round.level_of(state);
            // Its own part doesn't speak against the heir that has it.
            if let Some(sum) = state.heirs.first().and_then(|first| inherited.get_mut(first)) {
                *sum = *sum - level;
            }
            let bids = heirs_bids(round, shard, state, node, &inherited);
            let stands = left == 0 || stands(round, state, &bids);
            let best = bids.first().map(|bid| bid.node);
            let first = if stands { state.heirs.first().copied() } else { best };
            if let Some(first) = first {
                *inherited.entry(first).or_default() += level;
            }
            if !stands {
                left -= 1;
                choose(round, shard, state, bids);
            }
        }
    }
}

/// The heirs' bids for the case that `holder` dies and others have inherited so much already.
fn heirs_bids(
    round: &Round<'_>,
    shard: ShardId,
    state: &ShardState,
    holder: NodeId,
    inherited: &BTreeMap<NodeId, Resources>,
) -> Vec<Bid> {
    let terms = |node: NodeId| {
        let view = round.nodes.get(&node).ok_or(Unfit::NoReplica)?;
        if !view.live {
            return Err(Unfit::Silent);
        }
        if !view.accepts {
            return Err(Unfit::Draining);
        }
        let more = inherited.get(&node).copied().unwrap_or_default() + round.level_of(state);
        let known = round.cluster.nodes.get(&node).ok_or(Unfit::NoReplica)?;
        let allowed = state.pin.as_ref().is_none_or(|pin| pin.allows(node, &known.locality));
        Ok(Terms {
            room: -(view.level + more).share_of(view.capacity),
            pin: if allowed { 0.0 } else { -1.0 },
            ..Terms::default()
        })
    };
    let heirs = state.replicas.iter().copied().filter(|node| *node != holder);
    let mut bids: Vec<Bid> = heirs.map(|node| Bid { node, terms: terms(node) }).collect();
    round.rank(shard, &mut bids);
    bids
}

/// Whether the order that was decided last is still good enough.
fn stands(round: &Round<'_>, state: &ShardState, bids: &[Bid]) -> bool {
    if bids.is_empty() {
        return true;
    }
    let same =
        bids.len() == state.heirs.len() && bids.iter().all(|bid| state.heirs.contains(&bid.node));
    let total = |node: NodeId| {
        let bid = bids.iter().find(|bid| bid.node == node);
        bid.map_or(f64::NEG_INFINITY, Bid::total)
    };
    let (best, first) = (bids[0].total(), state.heirs.first().map(|node| total(*node)));
    same && first
        .is_some_and(|first| first == best || best - first < round.policy.succession_margin)
}

fn choose(round: &mut Round<'_>, shard: ShardId, state: &ShardState, bids: Vec<Bid>) {
    let heirs: Vec<NodeId> = bids.iter().map(|bid| bid.node).collect();
    let inputs = Inputs { reads: state.reads, writes: state.writes, ..Inputs::default() };
    let inputs = Inputs { mean: round.mean, ..inputs };
    let action = Action::Succession { heirs, epoch: state.epoch };
    let reason = Reason::Succession;
    round.chosen.push(Choice { shard, action, reason, inputs, bids, gain: 0.0 });
}

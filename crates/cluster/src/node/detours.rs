//! Ways round a link that is cut: a node that can't reach the holder of a shard sends its clients'
//! requests by way of a node that can.
//!
//! That node runs them if it is the holder itself, parks them if it knows of none, and else passes
//! them on, once. To it they are forwarded requests like any other, with its own numbers, so what
//! holds for those holds on each part of the way: doubles are run once, a refused request is not
//! overtaken, and a request of unknown outcome is said to be one. That the way changes is the same
//! as a holder that changes: what a client has sent one way must be answered before anything of it
//! goes another (`must_not_overtake`).
//!
//! A dead holder looks the same as one behind a cut link. So a way round is tried only when a
//! node that still hears the holder would have noticed its death as well.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use types::{Monotonic, NodeId, Now, ShardId};

use super::Node;
use crate::planted::Planting;
use crate::shard::Request;

/// So many beats must be missing until a node counts as one that others may not hear either.
const BEATS_MISSED: u32 = 2;
/// A shard that nobody has asked for in so long is looked at anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// Shards whose holders can't be reached from here.
#[derive(Default)]
pub(super) struct Detours {
    shards: BTreeMap<ShardId, Detour>,
}

struct Detour {
    /// When a request may be sent a way round.
    next: Monotonic,
    /// When one wanted to be.
    asked: Monotonic,
    /// One waits for that.
    awaited: bool,
    /// How many nodes were asked and could not help.
    tried: usize,
}

impl Detours {
    /// When requests that wait may be sent.
    pub(super) fn next_deadline(&self) -> Monotonic {
        let awaited = self.shards.values().filter(|detour| detour.awaited);
        awaited.map(|detour| detour.next).min().unwrap_or(Monotonic::NEVER)
    }
}

impl Node {
    /// A node that may reach the holder, if it is time to ask one.
    pub(super) fn way_round(
        &mut self,
        now: Now,
        shard: ShardId,
        holder: Option<NodeId>,
    ) -> Option<NodeId> {
        if self.world.settings.breaks(Planting::NoDetours) {
            return None;
        }
        let next = now.monotonic + self.world.settings.beat_interval * BEATS_MISSED;
        let asked = now.monotonic;
        let begin = || Detour { next, asked, awaited: false, tried: 0 };
        let detour = self.detours.shards.entry(shard).or_insert_with(begin);
        if asked.since(detour.asked) > FORGOTTEN_AFTER {
            *detour = begin();
        }
        detour.asked = asked;
        if now.monotonic < detour.next {
            detour.awaited = true;
            self.next_sweep = self.next_sweep.min(detour.next);
            return None;
        }
        let tried = detour.tried;
        let ways = self.ways_round(now, shard, holder);
        ways.get(tried.checked_rem(ways.len())?).copied()
    }

    /// Requests are parked in a shard of which no leader is known: a way round is tried in a
    /// moment, and again and again while they wait.
    pub(super) fn await_detour(&mut self, now: Now, shard: ShardId) {
        let beat = self.world.settings.beat_interval;
        let first = now.monotonic + beat * BEATS_MISSED;
        let asked = now.monotonic;
        let begin = || Detour { next: first, asked, awaited: true, tried: 0 };
        let detour = self.detours.shards.entry(shard).or_insert_with(begin);
        if asked.since(detour.asked) > FORGOTTEN_AFTER {
            *detour = begin();
        }
        if detour.next <= now.monotonic {
            detour.next = now.monotonic + beat;
        }
        detour.awaited = true;
        self.next_sweep = self.next_sweep.min(detour.next);
    }

    /// Nodes that may reach a holder, those first that have a replica of the shard.
    pub(super) fn ways_round(
        &self,
        now: Now,
        shard: ShardId,
        holder: Option<NodeId>,
    ) -> Vec<NodeId> {
        let others = self.world.others();
        let mut ways: Vec<NodeId> =
            others.filter(|node| Some(*node) != holder && self.hears_lately(now, *node)).collect();
        let replicas = self.routes.get(shard).map(|route| route.replicas.as_slice());
        ways.sort_by_key(|node| !replicas.unwrap_or_default().contains(node));
        ways
    }

    /// The node that was asked could not help: another is asked in a moment.
    pub(super) fn end_detour(&mut self, now: Now, shard: ShardId) {
        if let Some(detour) = self.detours.shards.get_mut(&shard) {
            detour.tried += 1;
            detour.next = now.monotonic + self.world.settings.beat_interval;
        }
    }

    /// Whether a request that another node has forwarded is passed on to the holder. One that has
    /// not been heard for some beats may be dead: then the request is better off where it can be
    /// parked.
    pub(super) fn may_pass_on(&self, now: Now, request: &Request, holder: NodeId) -> bool {
        let (home, _) = request.watcher;
        request.passes_on && holder != home && self.hears_lately(now, holder)
    }

    /// Whether a node can be reached, and has been heard within the last beats.
    fn hears_lately(&self, now: Now, node: NodeId) -> bool {
        let patience = self.world.settings.beat_interval * BEATS_MISSED;
        self.reaches(now, node) && self.world.support.silence(now.monotonic, node) <= patience
    }

    /// Places what was parked until a way round may be tried. Without a way it stays: to look at
    /// each request for nothing would cost a turn, again and again.
    pub(super) fn begin_detours(&mut self, now: Now) {
        let beat = self.world.settings.beat_interval;
        let due = |detour: &Detour| detour.awaited && detour.next <= now.monotonic;
        let shards = self.detours.shards.iter().filter(|(_, detour)| due(detour));
        for shard in shards.map(|(shard, _)| *shard).collect::<Vec<ShardId>>() {
            let ways = self.ways_round(now, shard, None);
            let found = self.local(shard).and_then(|at| self.shards.get_mut(at));
            let in_vain = ways.is_empty() && found.as_ref().is_some_and(|it| it.parked() > 0);
            if let Some(detour) = self.detours.shards.get_mut(&shard) {
                detour.awaited = in_vain;
                detour.next = if in_vain { now.monotonic + beat } else { detour.next };
            }
            if in_vain {
                continue;
            }
            let parked = found.map(crate::shard::Shard::take_parked).unwrap_or_default();
            for request in parked {
                self.place(now, shard, request);
            }
        }
    }
}

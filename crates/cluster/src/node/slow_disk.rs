//! A disk that answers, but slowly: each write waits for it, and nothing else costs its node the
//! leases. If another voter's disk is much faster, the lease goes there.
//!
//! How fast a disk is: the fastest of the last few syncs. That of another counts as better only if
//! it is several times as fast, so where all are slow nothing moves, and what has moved has no
//! reason to come back before things have changed a lot.

use alloc::vec::Vec;
use core::time::Duration;

use types::{Monotonic, NodeId, Now};

use super::Node;
use crate::io::{Event, Membership};
use crate::planted::Planting;
use crate::support::Support;

/// A sync that takes less is fast enough, however fast others are.
const SLOW: Duration = Duration::from_millis(200);
/// So many times faster must another disk be.
const BETTER: u32 = 4;
/// So long must a disk have been slow: others that became so at the same time say it by then.
const SLOW_TIME: Duration = Duration::from_secs(5);
/// How often the leases are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a node remembers of the slowness of its disk.
#[derive(Default)]
pub(super) struct SlowDisk {
    next_look: Monotonic,
    /// Since when it has been slow.
    since: Option<Monotonic>,
    /// It has been said.
    told: bool,
}

/// Whether a disk is so much slower than another that a lease is better off there.
fn is_clearly_slower(slow: Duration, other: Duration) -> bool {
    slow >= SLOW && !other.is_zero() && other * BETTER <= slow
}

/// Whether a lease is clearly better off on this node's disk than on that of `peer`.
pub(crate) fn is_slower_there(support: &Support, peer: NodeId) -> bool {
    is_clearly_slower(support.sync_at(peer), support.own_sync())
}

/// How long syncs of a node's disk take at least, if another's is so much faster that leases are
/// better off there.
pub(super) fn slowness(
    now: Monotonic,
    support: &Support,
    me: NodeId,
    members: &Membership,
    node: NodeId,
) -> Option<Duration> {
    let sync = |node: NodeId| {
        if node == me { support.own_sync() } else { support.sync_at(node) }
    };
    let alive = |node: &NodeId| *node == me || support.is_alive(now, *node);
    let own = sync(node);
    let slower = |other: NodeId| other != node && is_clearly_slower(own, sync(other));
    (alive(&node) && members.nodes().filter(alive).any(slower)).then_some(own)
}

impl Node {
    /// Hands leases over to nodes with much faster disks.
    pub(super) fn leave_slow_disk(&mut self, now: Now) {
        let own = self.storage.sync_time();
        self.world.support.note_own_sync(own);
        if own < SLOW {
            (self.slow_disk.told, self.slow_disk.since) = (false, None);
            return;
        }
        let since = *self.slow_disk.since.get_or_insert(now.monotonic);
        let kept = self.world.settings.breaks(Planting::KeepLeasesOnSlowDisk);
        let first = self.slow_disk.next_look.max(since + SLOW_TIME);
        if now.monotonic < first || kept {
            return;
        }
        self.slow_disk.next_look = now.monotonic + LOOK_INTERVAL;
        for at in 0..self.shards.len() {
            let Some(shard) = self.shards.get_mut(at) else { continue };
            let support = &self.world.support;
            let mut heirs: Vec<NodeId> = shard.voters();
            heirs.retain(|heir| is_clearly_slower(own, support.sync_at(*heir)));
            heirs.sort_by_key(|heir| support.sync_at(*heir));
            if heirs.is_empty() || !shard.hand_over_to_any(&mut self.world.env(now), heirs) {
                continue;
            }
            self.touch(at);
            if !core::mem::replace(&mut self.slow_disk.told, true) {
                let millis = u64::try_from(own.as_millis()).unwrap_or(u64::MAX);
                self.world.effects.events.push(Event::DiskSlow { millis });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_much_faster_disk_is_better() {
        let millis = Duration::from_millis;
        assert!(is_clearly_slower(millis(400), millis(2)));
        assert!(is_clearly_slower(millis(400), millis(100)));
        assert!(!is_clearly_slower(millis(400), millis(101)));
        assert!(!is_clearly_slower(millis(199), millis(1)), "fast enough");
        assert!(!is_clearly_slower(millis(400), millis(0)), "not known");
    }
}

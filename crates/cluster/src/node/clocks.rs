//! The node's clocks: what it does when they can't be right.

use core::time::Duration;

use types::{NodeId, Now, UnixMillis};

use super::Node;
use crate::clock::Heard;
use crate::io::Event;
use crate::planted::Planting;

impl Node {
    /// A node whose clocks disagree about the time that has passed was suspended: it can't know
    /// which of its promises still stand.
    pub(crate) fn watch_clock(&mut self, now: Now) {
        let tolerance = self.world.settings.clock_gap;
        let Some(gap) = self.world.clock.gap(now, tolerance) else { return };
        if self.world.settings.breaks(Planting::IgnoreClockGap) {
            return;
        }
        self.doubt_leases(now);
        self.world.effects.events.push(Event::ClockGap { millis: millis(gap) });
    }

    /// A beat says what its sender's wall clock shows. If that has run on while ours stood still,
    /// this machine may have been stopped with all its clocks, and others may hold its shards now.
    pub(super) fn note_wall_clock(&mut self, now: Now, from: NodeId, wall: UnixMillis) {
        if !self.world.members().contains(from) {
            return;
        }
        let tolerance = self.world.settings.clock_gap;
        let heard = self.world.clock.hear(now.monotonic, from, wall, tolerance);
        let Heard::Jumped(ahead) = heard else { return };
        if self.world.settings.breaks(Planting::TrustOwnClocks) {
            return;
        }
        self.doubt_leases(now);
        let event = Event::PeersClockJumped { peer: from, millis: millis(ahead) };
        self.world.effects.events.push(event);
    }

    /// No lease counts until a majority has answered a beat that is sent from now on.
    fn doubt_leases(&mut self, now: Now) {
        self.world.support.drop_received(now.monotonic);
        for at in 0..self.shards.len() {
            if let Some(shard) = self.shards.get_mut(at) {
                shard.recheck_lease();
            }
            self.touch(at);
        }
    }

    /// The clocks' part of a turn.
    pub(super) fn advance_clock(&mut self, now: Now) {
        let skew = self.world.settings.clock_skew;
        let news = self.world.clock.advance(now, skew);
        let millis = self.world.clock.error_millis();
        self.world.effects.events.extend(news.map(|off| match off {
            true => Event::ClockOff { millis },
            false => Event::ClockRight { millis },
        }));
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

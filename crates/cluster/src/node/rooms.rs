//! Memory and disk: what this node has, what it tells the others, and what it does when its disk is
//! nearly full.

use types::{Monotonic, Now};

use super::{Node, World};
use crate::io::Event;
use crate::planted::Planting;
use crate::raft_group::RaftMessage;
use crate::room::{self, Room};
use crate::shard::Shard;

impl Node {
    /// The driver says how far the log's files may grow.
    pub(super) fn note_disk_space(&mut self, now: Now, bytes: u64) {
        let World { room, settings, effects, .. } = &mut self.world;
        let before = room.disk_is_short();
        room.note_disk(settings, bytes);
        if room.disk_is_short() != before {
            effects.events.push(Event::DiskShort { short: !before });
            self.count_room(now);
        }
    }

    /// Counts what there is, once a beat, and tells it to the others and to the shards.
    pub(super) fn keep_room(&mut self, now: Now) {
        if self.world.room.is_due(now.monotonic) {
            self.count_room(now);
        }
    }

    fn count_room(&mut self, now: Now) {
        let World { room, settings, support, .. } = &mut self.world;
        let tables = room.counts_all();
        let limited = settings.memory > 0;
        let count = |shard: &mut Shard| if limited { shard.count_memory(tables) } else { 0 };
        let used: u64 = self.shards.iter_mut().map(count).sum();
        // Before anything could be let in: whatever is proposed then is older.
        let counts = Room::memory_of_growth(settings);
        let late = Monotonic(0) + now.monotonic.since(Monotonic(0)).saturating_sub(counts);
        let waiting = self.shards.iter().map(|shard| shard.waiting_growth(late));
        let waiting = waiting.fold(0, u64::saturating_add);
        room.count(now.monotonic, settings.beat_interval, used, waiting);
        support.set_room(room.memory(settings), room.disk(settings));
        let (memory, disk) = support.least_room(now.monotonic);
        if room.note_least(memory, disk) {
            for shard in &mut self.shards {
                shard.judge_rooms(settings, support, room, now.monotonic);
            }
        }
        if self.world.room.disk_is_short() {
            self.leave_full_disk(now);
        }
    }

    /// A holder with a full disk can take no writes: whoever can gets its leases.
    fn leave_full_disk(&mut self, now: Now) {
        for at in 0..self.shards.len() {
            let Some(shard) = self.shards.get_mut(at) else { continue };
            let heirs = shard.heirs_with_disk();
            if !heirs.is_empty() && shard.hand_over_to_any(&mut self.world.env(now), heirs) {
                self.touch(at);
            }
        }
    }

    /// Whether the disk has no room left for what a leader sends. It is as if it had been lost on
    /// its way: the leader sends it again, and again, until there is room.
    pub(super) fn has_no_room_for(&self, message: &RaftMessage) -> bool {
        let World { room, settings, .. } = &self.world;
        room.disk_is_full(settings)
            && message.entries().any(room::entry_grows)
            && !settings.breaks(Planting::FullDiskAcknowledges)
    }

    /// Throws away what is to be written, and calls it durable, if that rule is broken.
    pub(super) fn forget_writes(&mut self, now: Now) {
        let World { room, settings, effects, .. } = &mut self.world;
        let forgets = settings.breaks(Planting::FullDiskAcknowledges);
        if !forgets || !room.disk_is_full(settings) || effects.payload.is_empty() {
            return;
        }
        effects.payload.clear();
        self.pretend_persisted(now);
    }
}

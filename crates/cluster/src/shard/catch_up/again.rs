//! Staged slots whose segment is to be freed are written again, as pieces of the same catch-up,
//! like everything else that the log must not lose. So a catch-up ends however often the log goes
//! round meanwhile: other shards of the node may be overwritten all the time.
//!
//! The slot whose pieces still arrive is written again as far as it was read; that changes the
//! order of its keys, not what follows. Meanwhile its next pieces wait.

use keyspace::SlotCopy;
use types::{Monotonic, SegmentId, Slot};

use super::{EMPTY_AT_ONCE, STALE_AFTER, Staging};
use crate::planted::Planting;
use crate::record::{ImagePart, Record, empty_slots};
use crate::shard::{Effects, Shard};

/// A slot that is being written again.
pub(super) struct Again {
    slot: Slot,
    /// It is the one whose pieces arrive.
    is_current: bool,
    /// The segment that the log had reached when it was begun.
    segment: SegmentId,
    offset: u64,
    copy: SlotCopy,
}

impl Shard {
    /// Segments up to `target` are to be freed: writes again what a catch-up has there, until the
    /// payload has grown to `budget` bytes. Says whether nothing there is needed any more.
    pub(in crate::shard) fn leave_staging(
        &mut self,
        now: Monotonic,
        target: SegmentId,
        effects: &mut Effects,
        budget: usize,
    ) -> bool {
        self.drop_stale_staging(now);
        if self.planted.contains(Planting::DropStaging) {
            self.drop_staging(|staging| staging.first_segment <= target);
        }
        let newest = self.places.newest();
        if let Some(staging) = self.staging.as_mut().filter(|it| it.first_segment <= target) {
            while effects.payload.len() < budget {
                if staging.again.is_none() && !staging.begin_again(target, newest) {
                    staging.first_segment = staging.oldest();
                    break;
                }
                staging.write_again(self.id, self.piece_bytes, target, effects);
            }
            if staging.first_segment <= target {
                return false;
            }
        }
        // What the engine has accepted in this turn is installed at its end.
        self.accepted.as_ref().is_none_or(|staging| staging.first_segment > target)
    }

    /// Forgets a catch-up of which nothing comes any more.
    pub(super) fn drop_stale_staging(&mut self, now: Monotonic) {
        let term = self.group.term();
        self.drop_staging(|it| it.name.term < term || now.since(it.heard) > STALE_AFTER);
    }

    fn drop_staging(&mut self, which: impl Fn(&Staging) -> bool) {
        if let Some(staging) = self.staging.take_if(|staging| which(staging)) {
            self.dropped = Some(staging.name);
            self.discard_staging(staging);
        }
    }

    /// Whether pieces have arrived that can be logged now.
    pub(in crate::shard) fn has_pieces_waiting(&self) -> bool {
        self.staging.as_ref().is_some_and(|it| !it.is_held_up() && it.ahead.contains_key(&it.next))
    }
}

impl Staging {
    /// Whether the slot whose pieces arrive is being written again.
    pub(super) fn is_held_up(&self) -> bool {
        self.again.as_ref().is_some_and(|again| again.is_current)
    }

    /// The oldest segment that has a piece.
    fn oldest(&self) -> SegmentId {
        let current = self.current.iter().map(|current| current.segment);
        let slots = self.slots.values().map(|staged| staged.segment);
        current.chain(slots).min().unwrap_or(SegmentId(u64::MAX))
    }

    /// Begins with the next slot that has pieces in segments up to `target`. Says whether there is
    /// one.
    fn begin_again(&mut self, target: SegmentId, segment: SegmentId) -> bool {
        let current = self.current.as_ref().filter(|current| current.segment <= target);
        let (slot, is_current, copy) = if let Some(current) = current {
            (current.slot, true, current.builder.begin_copy())
        } else {
            let mut rest = self.slots.range(self.kept_below..);
            let Some((slot, staged)) = rest.find(|(_, staged)| staged.segment <= target) else {
                // From the beginning, next time: slots may have come there meanwhile.
                let all = core::mem::take(&mut self.kept_below) == Slot::default();
                return !all && self.begin_again(target, segment);
            };
            (*slot, false, staged.slot.begin_copy(*slot))
        };
        if !is_current {
            self.kept_below = slot;
        }
        self.again = Some(Again { slot, is_current, segment, offset: 0, copy });
        true
    }

    fn write_again(
        &mut self,
        shard: types::ShardId,
        piece_bytes: usize,
        target: SegmentId,
        effects: &mut Effects,
    ) {
        let Some(mut again) = self.again.take() else { return };
        let Again { slot, is_current, segment, offset, .. } = again;
        let (index, piece) = if is_current {
            let Some(current) = &self.current else { return };
            (current.index, current.builder.next_piece(&mut again.copy, piece_bytes))
        } else {
            let Some(staged) = self.slots.get(&slot) else { return };
            (staged.index, staged.slot.next_piece(&mut again.copy, piece_bytes))
        };
        let is_whole = piece.last && offset == 0 && !is_current;
        let empty_behind = if is_whole { self.pass_empty(slot, target, segment) } else { 0 };
        let last = piece.last && !is_current;
        let part = ImagePart { slot, empty_behind, index, offset, last, image: &piece.bytes };
        let record = Record::StagedPiece { shard, from: self.from, catch_up: self.name, part };
        record.encode(effects.payload.tail());
        effects.payload.cut();
        again.offset += piece.bytes.len() as u64;
        if !piece.last {
            self.again = Some(again);
        } else if let Some(current) = self.current.as_mut().filter(|_| is_current) {
            (current.segment, current.logged) = (segment, again.offset);
        } else if let Some(staged) = self.slots.get_mut(&slot) {
            // Only now: what is installed before it is complete goes by its former pieces.
            staged.segment = segment;
        }
    }

    /// The slots behind this one that are empty and must be written again are, with it: says how
    /// many.
    fn pass_empty(&mut self, slot: Slot, target: SegmentId, segment: SegmentId) -> u16 {
        let index = self.slots.get(&slot).map(|staged| staged.index);
        let mut count = 0;
        for slot in empty_slots(slot, EMPTY_AT_ONCE) {
            let Some(staged) = self.slots.get_mut(&slot) else { break };
            let same = Some(staged.index) == index && staged.segment <= target;
            if !same || !staged.slot.is_empty() {
                break;
            }
            staged.segment = segment;
            count += 1;
        }
        count
    }
}

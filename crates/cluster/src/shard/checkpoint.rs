//! Making old log segments free, without a pause and without a second kind of file.
//!
//! The log holds everything: entries, and slot images. A segment is free once nothing in it is
//! needed: for each shard, every slot whose newest image or first entry after its image lies in
//! it has been written again at the log's end, and the shard's state as it was at the segment's
//! last entry too. Slots are written one by one, each with the index it reflects; recovery skips,
//! slot by slot, the entries that an image already has. Each slot is so written once for each
//! round of the log, however hot it is.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use keyspace::ImageId;
use types::{LogIndex, Monotonic, SegmentId, Slot, SlotRange, Term};

use super::{Effects, Shard};
use crate::io::Gathered;
use crate::planted::Planting;
use crate::raft_group::{Replicas, Seat};
use crate::record::{
    Goal, ImagePart, Lease, Record, ShardState, empty_slots, gather_entry, gather_kept_entry,
};
use crate::recovery::RecoveredShard;

/// Bytes of an entry in the log, or of one piece of a slot's image, beside what it is about, amply.
const RECORD_OVERHEAD: u64 = 128;
/// Empty slots that one piece of an image may stand for: their places are made anew in one turn.
pub(super) const EMPTY_AT_ONCE: u16 = 1024;

/// Where a shard's data stand in the log.
pub(super) struct Places {
    first: Slot,
    slots: Vec<SlotPlace>,
    /// How many slots have an image.
    images: usize,
    /// Whether a slot's place says when it was changed: asked for every operation, so it is kept
    /// where all of it stays in the processor's cache.
    touched: Vec<bool>,
    /// For each segment, the newest entry of the shard in it.
    entries: BTreeMap<SegmentId, LogIndex>,
    /// Each term's first entry, as far back as the state record.
    terms: Vec<(LogIndex, Term)>,
    /// The newest state record: what it reflects and where it lies.
    state: (LogIndex, Term),
    state_segment: SegmentId,
    vote_segment: SegmentId,
    /// The segment of the newest durable write.
    newest: SegmentId,
    /// What was so from an index on; the first is the state record's.
    history: Vec<Stated>,
    /// Entries up to here have been written again, and lie in this segment or behind it.
    kept: (SegmentId, LogIndex),
    /// Entries up to here may be in no segment any more.
    freed: LogIndex,
}

/// A slot image that is being written.
pub(super) struct Imaging {
    id: ImageId,
    slot: Slot,
    index: LogIndex,
    offset: u64,
}

/// The part of a shard's state that entries of its own change.
#[derive(Clone)]
struct Stated {
    from: LogIndex,
    lease: Lease,
    replicas: Replicas,
    goal: Goal,
}

impl Stated {
    fn of(state: &ShardState) -> Self {
        let ShardState { applied, lease, replicas, goal, .. } = state.clone();
        Self { from: applied.0, lease, replicas, goal }
    }
}

#[derive(Clone, Copy, Default)]
struct SlotPlace {
    image: Option<SegmentId>,
    /// The segment of the first entry that the image does not have.
    changed: Option<SegmentId>,
}

impl SlotPlace {
    fn oldest(self) -> Option<SegmentId> {
        [self.image, self.changed].into_iter().flatten().min()
    }
}

impl Places {
    pub(super) fn new(recovered: &RecoveredShard) -> Self {
        let state = &recovered.state;
        // Nothing is kept for each slot of a removed replica: a node may have thousands of those.
        let slots = if recovered.removed { 0 } else { state.range.len() };
        let mut places = Self {
            first: state.range.first(),
            slots: alloc::vec![SlotPlace::default(); slots],
            images: 0,
            touched: alloc::vec![false; slots],
            entries: recovered.segments.clone(),
            terms: alloc::vec![(state.applied.0, state.applied.1)],
            state: state.applied,
            state_segment: recovered.state_segment,
            vote_segment: recovered.vote_segment,
            newest: SegmentId(0),
            history: alloc::vec![Stated::of(state)],
            kept: (SegmentId(0), LogIndex(0)),
            freed: state.applied.0,
        };
        for entry in recovered.entries.values() {
            places.note_term(entry.index(), entry.term());
        }
        let segments = recovered.segments.keys().last().copied().unwrap_or_default();
        places.newest = segments.max(recovered.state_segment).max(recovered.vote_segment);
        places
    }

    /// Begins anew: a catch-up replaced everything.
    pub(super) fn reset(&mut self, state: &ShardState) {
        self.first = state.range.first();
        let place = SlotPlace { image: Some(self.newest), changed: None };
        self.slots = alloc::vec![place; state.range.len()];
        self.images = state.range.len();
        self.touched = alloc::vec![false; state.range.len()];
        self.entries.clear();
        self.freed = state.applied.0;
        self.terms = alloc::vec![state.applied];
        self.state = state.applied;
        self.state_segment = self.newest;
        self.history = alloc::vec![Stated::of(state)];
    }

    /// Begins anew: the replica was removed and has nothing.
    pub(super) fn bury(&mut self) {
        let vote_segment = self.newest;
        let mut nothing = RecoveredShard::empty(SlotRange::ALL, Seat::default());
        nothing.removed = true;
        *self = Self { vote_segment, newest: self.newest, ..Self::new(&nothing) };
    }

    /// A buried replica begins to be fed again: what it is fed may be about any slot.
    pub(super) fn begin(&mut self) {
        self.slots.resize(SlotRange::ALL.len(), SlotPlace::default());
        self.touched.resize(SlotRange::ALL.len(), false);
    }

    /// What the log needs beside keys, values and the data of entries, amply: for images of so many
    /// bytes of keys and values, and for entries.
    pub(super) fn overhead(&self, payload: u64, piece_bytes: usize, entries: u64) -> u64 {
        let further_pieces = payload / piece_bytes as u64;
        (self.images as u64 + further_pieces + entries) * RECORD_OVERHEAD
    }

    /// The segment that the log has reached, or one before it.
    pub(super) fn newest(&self) -> SegmentId {
        self.newest
    }

    fn number(&self, slot: Slot) -> usize {
        usize::from(slot.number().wrapping_sub(self.first.number()))
    }

    pub(super) fn imaged(&mut self, slot: Slot, segment: SegmentId) {
        let at = self.number(slot);
        if let (Some(place), Some(touched)) = (self.slots.get_mut(at), self.touched.get_mut(at)) {
            self.images += usize::from(place.image.is_none());
            *place = SlotPlace { image: Some(segment), changed: None };
            *touched = false;
        }
    }

    /// An entry was handed to the log.
    pub(super) fn note_term(&mut self, index: LogIndex, term: Term) {
        while self.terms.len() > 1 && self.terms.last().is_some_and(|(from, _)| *from >= index) {
            self.terms.pop();
        }
        if self.terms.last().is_none_or(|(_, last)| *last != term) {
            self.terms.push((index, term));
        }
    }

    /// Entries up to `index` are durable, in `segment` or before it.
    pub(super) fn persisted(&mut self, segment: SegmentId, index: LogIndex) {
        // One notice may stand for several writes, the first of them in an older segment: they
        // are counted for every segment they can lie in.
        let since = self.newest.min(segment);
        for number in since.0..=segment.0 {
            // After a conflict the newest entry may be one that was cut off.
            let newest = self.entries.entry(SegmentId(number)).or_default();
            *newest = index.max(*newest);
        }
        self.newest = segment;
    }

    /// Entries up to `index` are written again, in the newest segment or behind it. If behind it,
    /// they are written once more when that is freed.
    fn kept(&mut self, index: LogIndex) {
        let newest = self.entries.entry(self.newest).or_default();
        *newest = index.max(*newest);
    }

    /// Entries up to here may be in no segment any more.
    pub(super) fn freed(&self) -> LogIndex {
        self.freed
    }

    /// The first segment that an entry may lie in, if it is in one. It lies in that or in a later
    /// one.
    pub(super) fn segment_of(&self, index: LogIndex) -> Option<SegmentId> {
        self.noted_in(index).filter(|_| index > self.freed)
    }

    /// The first segment that is noted to have this entry or a later one.
    fn noted_in(&self, index: LogIndex) -> Option<SegmentId> {
        let found = self.entries.iter().find(|(_, newest)| **newest >= index);
        found.map(|(segment, _)| *segment)
    }

    /// The log has moved on to this segment.
    pub(super) fn moved_to(&mut self, segment: SegmentId) {
        self.newest = self.newest.max(segment);
    }

    /// An applied entry changed a slot.
    pub(super) fn changed(&mut self, slot: Slot, index: LogIndex) {
        if self.touched.get(self.number(slot)) == Some(&false) {
            self.touch(slot, self.noted_in(index).unwrap_or(self.newest));
        }
    }

    /// An applied operation changed a slot that stands in parts in the log, from `first` on.
    pub(super) fn changed_from(&mut self, slot: Slot, first: LogIndex) {
        let segment = self.noted_in(first).unwrap_or(self.newest);
        let earlier = self.slots.get(self.number(slot)).and_then(|place| place.changed);
        self.touch(slot, earlier.map_or(segment, |earlier| earlier.min(segment)));
    }

    /// What a slot's image lacks stands in this segment or in later ones.
    fn touch(&mut self, slot: Slot, segment: SegmentId) {
        let at = self.number(slot);
        if let (Some(place), Some(touched)) = (self.slots.get_mut(at), self.touched.get_mut(at)) {
            place.changed = Some(segment);
            *touched = true;
        }
    }

    /// The lease, the replicas or the goal changed at the entry that `state` reflects.
    pub(super) fn note_state(&mut self, state: &ShardState) {
        self.history.push(Stated::of(state));
    }

    pub(super) fn vote_written(&mut self) {
        self.vote_segment = self.newest;
    }

    /// The newest entry in segments up to `target`, but not before the state record's.
    fn bound(&self, target: SegmentId) -> LogIndex {
        let newest = self.entries.range(..=target).map(|(_, index)| *index).max();
        newest.unwrap_or_default().max(self.state.0)
    }

    fn term_at(&self, index: LogIndex) -> Term {
        let found = self.terms.iter().rev().find(|(from, _)| *from <= index);
        found.map_or(self.state.1, |(_, term)| *term)
    }
}

impl Shard {
    /// Writes again what would be lost with the segments up to `target`, until `payload` has
    /// grown to `budget` bytes. Says whether the shard needs nothing of them any more, once the
    /// payload is durable.
    pub(crate) fn leave_segments(
        &mut self,
        now: Monotonic,
        target: SegmentId,
        effects: &mut Effects,
        budget: usize,
    ) -> bool {
        if self.is_buried() {
            if self.places.vote_segment <= target {
                self.write_tombstone(effects.payload.tail());
            }
            return true;
        }
        let bound = self.places.bound(target);
        let applied = self.group.settled().0;
        if applied < bound && self.planted.contains(Planting::ReclaimWaits) {
            return false;
        }
        if self.waits_for_boundary() {
            // The data are those of no index; the rest of the entry is applied in the next turn.
            return false;
        }
        if !self.leave_staging(now, target, effects, budget)
            || !self.write_images(target, effects, budget)
        {
            return false;
        }
        if !self.keep_entries(target, bound, &mut effects.payload, budget) {
            return false;
        }
        let payload = effects.payload.tail();
        if self.places.vote_segment <= target {
            Record::Vote { shard: self.id, vote: self.group.vote() }.encode(payload);
            self.places.vote_written();
        }
        let stated = bound.min(applied);
        if self.places.state_segment <= target || self.places.state.0 < stated {
            self.write_state(stated, payload);
        }
        self.places.entries.retain(|segment, _| *segment > target);
        self.places.freed = self.places.freed.max(stated);
        self.group.forget_shed(stated);
        true
    }

    /// Writes images of the slots that need something of the segments up to `target`. Says whether
    /// that is done.
    fn write_images(&mut self, target: SegmentId, effects: &mut Effects, budget: usize) -> bool {
        let needs = |place: &SlotPlace| place.oldest().is_some_and(|oldest| oldest <= target);
        let mut next = 0;
        loop {
            if effects.payload.len() >= budget {
                return false;
            }
            if self.imaging.is_none() {
                let rest = self.places.slots.get(next..).unwrap_or_default();
                let Some(found) = rest.iter().position(needs) else { return true };
                next += found;
                let Some(slot) = slot_at(self.range, next) else { return true };
                self.begin_imaging(slot);
            }
            self.write_piece(target, effects);
        }
    }

    /// The last entry that the slot's data reflect. After a start or a catch-up that may be one
    /// which is not applied yet: an image of the slot had it, and it is not applied to it again.
    pub(super) fn reflected(&self, slot: Slot) -> LogIndex {
        let floor = self.floors.get(&slot).copied().unwrap_or_default();
        floor.max(self.group.applied_index())
    }

    /// From here on the slot's image reflects this moment, and what changes afterwards counts anew.
    /// What it had before stays until a segment is freed, which waits for the image.
    fn begin_imaging(&mut self, slot: Slot) {
        let index = self.reflected(slot);
        let id = self.data.begin_image(slot);
        self.imaging = Some(Imaging { id, slot, index, offset: 0 });
        self.places.imaged(slot, self.places.newest);
    }

    fn write_piece(&mut self, target: SegmentId, effects: &mut Effects) {
        let Some(Imaging { id, slot, index, offset }) = self.imaging.take() else { return };
        let piece = self.data.next_piece(id, self.piece_bytes);
        let piece = piece.expect("an image that is not complete has a piece");
        let (is_whole, last) = (piece.last && offset == 0, piece.last);
        let empty_behind = if is_whole { self.image_empty(slot, index, target) } else { 0 };
        let part = ImagePart { slot, empty_behind, index, offset, last, image: &piece.bytes };
        Record::ImagePiece { shard: self.id, part }.encode(effects.payload.tail());
        effects.payload.cut();
        if !piece.last {
            let offset = offset + piece.bytes.len() as u64;
            self.imaging = Some(Imaging { id, slot, index, offset });
        }
    }

    /// The slots behind this one that are empty and need an image as well get theirs with its:
    /// says how many.
    fn image_empty(&mut self, slot: Slot, index: LogIndex, target: SegmentId) -> u16 {
        let mut count = 0;
        for slot in empty_slots(slot, EMPTY_AT_ONCE) {
            let place = self.places.slots.get(self.places.number(slot));
            let needs =
                place.and_then(|place| place.oldest()).is_some_and(|oldest| oldest <= target);
            if !needs || self.reflected(slot) != index || self.data.keys_in_slot(slot) > 0 {
                break;
            }
            self.places.imaged(slot, self.places.newest);
            count += 1;
        }
        count
    }

    /// Entries that are not applied can't be replaced by images, and nobody knows whether they
    /// ever will be: a shard may be without a quorum for long. So they are written again. Says
    /// whether that is done.
    fn keep_entries(
        &mut self,
        target: SegmentId,
        bound: LogIndex,
        payload: &mut Gathered,
        budget: usize,
    ) -> bool {
        let mut kept = self.group.settled().0;
        if self.places.kept.0 > target {
            kept = kept.max(self.places.kept.1);
        } else {
            self.places.kept = (self.places.newest, kept);
        }
        while kept < bound {
            if payload.len() >= budget {
                return false;
            }
            kept = kept.next();
            // What is not applied is in memory, but for what a conflict has cut off.
            let Some(entry) = self.group.entry(kept) else { break };
            if self.planted.contains(Planting::KeepEntriesByCutting) {
                gather_entry(self.id, &entry, payload);
            } else {
                gather_kept_entry(self.id, &entry, payload);
            }
            self.places.kept.1 = kept;
            self.places.kept(kept);
        }
        true
    }

    /// All that stands before is void but for the vote, which follows.
    pub(super) fn write_tombstone(&mut self, payload: &mut Vec<u8>) {
        Record::Removed { shard: self.id }.encode(payload);
        Record::Vote { shard: self.id, vote: self.group.vote() }.encode(payload);
        self.places.vote_written();
    }

    /// Writes the shard's state as it was when `index` was applied.
    fn write_state(&mut self, index: LogIndex, payload: &mut Vec<u8>) {
        let applied = (index, self.places.term_at(index));
        let places = &mut self.places;
        let newer = places.history.iter().filter(|stated| stated.from > index).count();
        let keep = (places.history.len() - newer).saturating_sub(1);
        places.history.drain(..keep);
        while places.terms.get(1).is_some_and(|(from, _)| *from <= index) {
            places.terms.remove(0);
        }
        let Some(Stated { lease, replicas, goal, .. }) = places.history.first().cloned() else {
            return;
        };
        let (range, stamp) = (self.range, self.stamp);
        let state = ShardState { range, applied, replicas, lease, goal, stamp };
        Record::State { shard: self.id, state }.encode(payload);
        places.state = applied;
        places.state_segment = places.newest;
    }

    /// The log has moved on to this segment.
    pub(crate) fn log_moved_to(&mut self, segment: SegmentId) {
        self.places.moved_to(segment);
    }
}

fn slot_at(range: SlotRange, at: usize) -> Option<Slot> {
    Slot::new(range.first().number() + u16::try_from(at).ok()?)
}

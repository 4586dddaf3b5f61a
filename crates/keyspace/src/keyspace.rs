//! The slots of one shard.
//!
//! Each slot of the shard's contiguous range has its own table, so that splitting and merging
//! shards moves tables by pointer. Sums over the slots (keys, bytes, the next expiry) are kept up
//! to date with every change, because the node asks for them all the time.
//!
//! Invariant: `slots[i]` is the slot number `range.first() + i`; `due` holds, for each slot with
//! expiring keys, its earliest expiry and its number.

use crate::entry::Entry;
use crate::pieces::Images;
use crate::slot::{Figures, KeyHasher, SlotData};
use crate::table::Probe;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use smallvec::SmallVec;
use types::limits::{LONG_BYTES, SCAN_COUNT_MAX};
use types::{Slot, SlotRange, UnixMillis};

/// Keys that are looked up side by side to warm the cache: about as many as the processor can
/// have outstanding reads.
const WARM_GROUP: usize = 16;

/// How far a walk has come: a slot, and a position in its table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WalkCursor {
    pub(crate) slot: Slot,
    position: u64,
}

impl WalkCursor {
    /// Before the first key of a slot.
    pub(crate) fn at(slot: Slot) -> Self {
        Self { slot, position: 0 }
    }
}

/// Keys that RANDOMKEY looks at in a slot whose first choice has expired.
const RANDOM_TRIES: usize = 64;

/// Keys of a slot that are put in order to list some of them.
const SORTED_KEYS: usize = 1 << 14;

/// The data of one shard.
pub struct Keyspace {
    range: SlotRange,
    hasher: KeyHasher,
    slots: Vec<SlotData>,
    due: BTreeSet<(u64, u16)>,
    /// The slots that have keys. Most may have none, and then looking at each is what walks cost.
    occupied: BTreeSet<u16>,
    keys: u64,
    expiring: u64,
    entry_bytes: u64,
    /// Numbers images that are being written.
    images: u64,
    /// What was removed as a whole and is freed step by step.
    garbage: Vec<SlotData>,
    garbage_bytes: u64,
    /// From so many bytes on values are not copied.
    long_bytes: usize,
}

impl Keyspace {
    /// An empty keyspace. The seed keys the hash tables: it should be random and the same for all
    /// keyspaces of a process, so that parts can be moved between them without hashing again.
    #[must_use]
    pub fn new(range: SlotRange, hash_seed: u64) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(range.len(), SlotData::default);
        Self {
            range,
            hasher: KeyHasher::new(hash_seed),
            slots,
            due: BTreeSet::new(),
            occupied: BTreeSet::new(),
            keys: 0,
            expiring: 0,
            entry_bytes: 0,
            images: 0,
            garbage: Vec::new(),
            garbage_bytes: 0,
            long_bytes: LONG_BYTES,
        }
    }

    /// Has values from so many bytes on not copied, at most [`LONG_BYTES`]: in simulations, where
    /// values are small.
    pub fn set_long_bytes(&mut self, bytes: usize) {
        self.long_bytes = bytes.min(LONG_BYTES);
    }

    /// From so many bytes on values are not copied.
    #[must_use]
    pub fn long_bytes(&self) -> usize {
        self.long_bytes
    }

    /// The slots that the keyspace holds.
    #[must_use]
    pub fn range(&self) -> SlotRange {
        self.range
    }

    /// How many keys there are, those included that are past their expiry and not yet removed.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// The slots that have keys, in order.
    pub fn occupied_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.occupied.iter().filter_map(|number| Slot::new(*number))
    }

    /// How many keys of the slot there are; none in a slot outside the range.
    #[must_use]
    pub fn keys_in_slot(&self, slot: Slot) -> usize {
        if self.range.contains(slot) { self.slot(slot).len() } else { 0 }
    }

    /// Whether a key is there, expired or not.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        let slot = resp::slot_of(key);
        self.range.contains(slot) && self.slot(slot).find(self.hasher.hash(key), key).is_some()
    }

    /// The value of a string in one of the slots, expired or not.
    #[must_use]
    pub fn value(&self, slot: Slot, key: &[u8]) -> Option<&[u8]> {
        let slot = self.range.contains(slot).then(|| self.slot(slot))?;
        let place = slot.find(self.hasher.hash(key), key)?;
        Some(slot.get(place).value())
    }

    /// All keys with their values and their expiries, expired or not, slot by slot.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8], Option<UnixMillis>)> {
        let entries = self.slots.iter().flat_map(SlotData::entries);
        entries.map(|entry| (entry.key(), entry.value(), entry.expiry().map(UnixMillis)))
    }

    /// How long the value of a key is, and by how much it can grow in its place; expired or not.
    #[must_use]
    pub fn value_room(&self, slot: Slot, key: &[u8]) -> Option<(usize, usize)> {
        let slot = self.range.contains(slot).then(|| self.slot(slot))?;
        let place = slot.find(self.hasher.hash(key), key)?;
        let entry = slot.get(place);
        Some((entry.value().len(), entry.spare_bytes()))
    }

    /// Brings what commands on these keys will read into the processor's cache.
    ///
    /// A look-up of a cold key waits for memory five times in a row. Here the look-ups of a group
    /// of keys go step by step together, so that their waits overlap, and the commands then find
    /// everything near. It changes nothing and may be left out.
    pub fn warm(&self, keys: &[(Slot, &[u8])]) {
        let mut seen = 0usize;
        for group in keys.chunks(WARM_GROUP) {
            let known = group.iter().filter(|(slot, _)| self.range.contains(*slot));
            let begin = |(slot, key): &(Slot, &[u8])| self.slot(*slot).probe(self.hasher.hash(key));
            let mut probes: SmallVec<[Probe<'_>; WARM_GROUP]> = known.map(begin).collect();
            probes.iter_mut().for_each(Probe::find_bucket);
            probes.iter_mut().for_each(Probe::find_index);
            probes.iter_mut().for_each(Probe::find_chunk);
            seen ^= probes.iter().map(Probe::address).fold(0, |all, one| all ^ one);
            seen ^= probes.iter().map(|probe| usize::from(probe.first_byte())).sum::<usize>();
        }
        // Without a use of what was read, the reading would be optimised away.
        core::hint::black_box(seen);
    }

    /// How many keys have an expiry.
    #[must_use]
    pub fn expiring_keys(&self) -> u64 {
        self.expiring
    }

    /// Bytes that keys, values and tables take, without the allocator's own overhead. Walks over
    /// the slots: for reports, not for each command.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let tables: usize = self.slots.iter().map(SlotData::table_bytes).sum();
        self.entry_bytes + tables as u64
    }

    /// Bytes that keys and values take, without the tables. Costs nothing to ask.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.entry_bytes
    }

    /// Appends up to `count` keys of the slot, in the order of their bytes. Of a large slot any
    /// keys, and not too many.
    pub fn get_keys_in_slot(&self, slot: Slot, count: usize, keys: &mut Vec<Box<[u8]>>) {
        if !self.range.contains(slot) {
            return;
        }
        let slot = self.slot(slot);
        let all = slot.entries().map(Entry::key);
        if slot.len() > SORTED_KEYS {
            keys.extend(all.take(count.min(SCAN_COUNT_MAX)).map(Box::from));
            return;
        }
        let mut all: Vec<&[u8]> = all.collect();
        all.sort_unstable();
        keys.extend(all.into_iter().take(count).map(Box::from));
    }

    /// A key that `seed` chooses and that has not expired at `now`.
    ///
    /// Slots are chosen evenly, not keys: a slot with few keys is as likely as one with many.
    #[must_use]
    pub fn random_key(&self, seed: u64, now: UnixMillis) -> Option<&[u8]> {
        let slots = self.slots.len();
        let start = self.range.first().number() + u16::try_from(seed % slots as u64).ok()?;
        let order = self.occupied.range(start..).chain(self.occupied.range(..start));
        for slot in order.filter_map(|number| Some(self.slot(Slot::new(*number)?))) {
            let live = |expiry: Option<u64>| expiry.is_none_or(|expiry| expiry > now.0);
            let chosen = slot.random(seed / slots as u64)?;
            if live(chosen.expiry()) {
                return Some(chosen.key());
            }
            // Where all have expired, and the log doesn't know yet, there may be very many.
            let mut near = slot.entries().take(RANDOM_TRIES);
            if let Some(entry) = near.find(|entry| live(entry.expiry())) {
                return Some(entry.key());
            }
        }
        None
    }

    /// Appends up to `limit` keys whose expiry is not after `now`, slot by slot, those slots first
    /// whose earliest expiry is longest ago. Cheap when there are none.
    pub fn expired(&self, now: UnixMillis, limit: usize, keys: &mut Vec<Box<[u8]>>) {
        let enough = keys.len().saturating_add(limit);
        for &(_, number) in self.due.range(..=(now.0, u16::MAX)) {
            let index = usize::from(number - self.range.first().number());
            for entry in self.slots[index].expired(&self.hasher, now.0) {
                if keys.len() >= enough {
                    return;
                }
                keys.push(Box::from(entry.key()));
            }
        }
    }

    /// The earliest expiry of any key.
    #[must_use]
    pub fn next_expiry(&self) -> Option<UnixMillis> {
        self.due.first().map(|&(expiry, _)| UnixMillis(expiry))
    }

    /// Removes every key of the slot, which must lie in the range, however many there are, at
    /// once. Their memory is freed by [`Keyspace::free`].
    pub fn clear_slot(&mut self, slot: Slot) {
        self.replace_slot(slot, SlotData::default());
    }

    /// Other data take the place of these, whose memory is freed by [`Keyspace::free`].
    pub fn replace(&mut self, new: Self) {
        let old = core::mem::replace(self, new);
        self.images = self.images.max(old.images);
        self.garbage_bytes += old.garbage_bytes;
        self.garbage.extend(old.garbage);
        for mut slot in old.slots {
            for kept in core::mem::take(&mut slot.images).end() {
                Arc::into_inner(kept).into_iter().for_each(|kept| self.discard(kept));
            }
            self.discard(slot);
        }
    }

    /// Keeps what nobody looks into any more until it is freed.
    pub(crate) fn discard(&mut self, slot: SlotData) {
        if slot.len() > 0 {
            self.garbage_bytes += slot.entry_bytes() as u64;
            self.garbage.push(slot);
        }
    }

    /// Whether there is something to free.
    #[must_use]
    pub fn has_garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// Bytes of keys and values that were removed and are not freed yet.
    #[must_use]
    pub fn garbage_bytes(&self) -> u64 {
        self.garbage_bytes
    }

    /// Frees what was removed, as far as `budget` goes, in units of `work`: freeing millions of
    /// entries takes a second.
    pub fn free(&mut self, budget: &mut u64) {
        while let Some(slot) = self.garbage.last_mut() {
            let before = slot.entry_bytes();
            let done = slot.free(budget);
            self.garbage_bytes -= (before - slot.entry_bytes()) as u64;
            if !done {
                return;
            }
            self.garbage.pop();
        }
        self.garbage = Vec::new();
    }

    /// Takes the slots from `at` to the end into a keyspace of their own. No key is copied.
    ///
    /// # Panics
    /// If `at` is the first slot or lies outside the range: neither part may be empty.
    #[must_use]
    pub fn split_off(&mut self, at: Slot) -> Self {
        assert!(at > self.range.first() && self.range.contains(at), "split at {at}");
        let end = self.range.last();
        let before = Slot::new(at.number() - 1).expect("a slot before another one");
        let index = usize::from(at.number() - self.range.first().number());
        let slots = self.slots.split_off(index);
        self.range = SlotRange::new(self.range.first(), before).expect("the left part has slots");
        let mut right =
            Self::new(SlotRange::new(at, end).expect("the right part has slots"), self.hasher.seed);
        right.slots = slots;
        right.sum_up();
        self.sum_up();
        right
    }

    /// Adds the slots that follow this keyspace's last slot. No key is copied.
    ///
    /// # Panics
    /// If the other keyspace does not begin where this one ends.
    pub fn append(&mut self, mut next: Self) {
        let adjacent = next.range.first().number() == self.range.last().number() + 1;
        assert!(adjacent, "{} does not follow {}", next.range, self.range);
        if next.hasher.seed != self.hasher.seed {
            for slot in &mut next.slots {
                *slot = core::mem::take(slot).rehashed(&self.hasher);
            }
        }
        self.slots.append(&mut next.slots);
        let range = SlotRange::new(self.range.first(), next.range.last());
        self.range = range.expect("the ranges are in order");
        self.sum_up();
    }

    /// Computes all sums anew, after slots have moved.
    fn sum_up(&mut self) {
        self.due.clear();
        self.occupied.clear();
        (self.keys, self.expiring, self.entry_bytes) = (0, 0, 0);
        for (number, slot) in (self.range.first().number()..).zip(&self.slots) {
            let figures = slot.figures();
            self.keys += figures.keys as u64;
            self.expiring += figures.expiring as u64;
            self.entry_bytes += figures.entry_bytes as u64;
            self.due.extend(figures.first_expiry.map(|expiry| (expiry, number)));
            self.occupied.extend((figures.keys > 0).then_some(number));
        }
    }

    pub(crate) fn next_image(&mut self) -> u64 {
        self.images += 1;
        self.images
    }

    /// A slot, which must lie in the range, for what does not change its data.
    pub(crate) fn slot_mut(&mut self, slot: Slot) -> &mut SlotData {
        let index = self.index(slot);
        &mut self.slots[index]
    }

    pub(crate) fn slot_and_hasher(&mut self, slot: Slot) -> (&mut SlotData, &KeyHasher) {
        let index = self.index(slot);
        (&mut self.slots[index], &self.hasher)
    }

    /// Gives the keys from a place on to `each`, slot by slot, until that answers false. Says where
    /// to go on; `None`: all up to the slot `last` are done. A key that stays is given exactly
    /// once, whatever comes and goes between two calls.
    pub(crate) fn walk(
        &self,
        mut from: WalkCursor,
        last: Slot,
        each: &mut dyn FnMut(&Entry) -> bool,
    ) -> Option<WalkCursor> {
        let last = last.min(self.range.last());
        from = from.max(WalkCursor::at(self.range.first()));
        while from.slot <= last {
            let slot = self.next_occupied(from.slot).filter(|slot| *slot <= last)?;
            from = from.max(WalkCursor::at(slot));
            let mut go_on = true;
            let slot = self.slot(from.slot);
            let next = slot.walk(&self.hasher, from.position, &mut |entry| {
                go_on = each(entry);
                go_on
            });
            from = match next {
                Some(position) => WalkCursor { position, ..from },
                None => WalkCursor::at(Slot::new(from.slot.number() + 1)?),
            };
            if !go_on {
                return (from.slot <= last).then_some(from);
            }
        }
        None
    }

    /// The first slot with keys, from this one on.
    pub(crate) fn next_occupied(&self, slot: Slot) -> Option<Slot> {
        self.occupied.range(slot.number()..).next().and_then(|number| Slot::new(*number))
    }

    pub(crate) fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// The data of a slot, which must lie in the range.
    pub(crate) fn slot(&self, slot: Slot) -> &SlotData {
        &self.slots[self.index(slot)]
    }

    pub(crate) fn replace_slot(&mut self, slot: Slot, data: SlotData) {
        let old = self.change(slot, |slot, _| core::mem::replace(slot, data));
        let (images, old) = Images::detach(old);
        self.slot_mut(slot).images = images;
        old.into_iter().for_each(|old| self.discard(old));
    }

    /// Changes a slot and keeps the sums right.
    pub(crate) fn change<R>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut SlotData, &KeyHasher) -> R,
    ) -> R {
        let index = self.index(slot);
        let data = &mut self.slots[index];
        let before = data.figures();
        let result = change(data, &self.hasher);
        let after = data.figures();
        if before != after {
            self.account(slot, before, after);
        }
        result
    }

    fn account(&mut self, slot: Slot, before: Figures, after: Figures) {
        self.keys = self.keys - before.keys as u64 + after.keys as u64;
        self.expiring = self.expiring - before.expiring as u64 + after.expiring as u64;
        let bytes = self.entry_bytes - before.entry_bytes as u64;
        self.entry_bytes = bytes + after.entry_bytes as u64;
        match (before.keys, after.keys) {
            (0, 1..) => _ = self.occupied.insert(slot.number()),
            (1.., 0) => _ = self.occupied.remove(&slot.number()),
            _ => {}
        }
        if before.first_expiry != after.first_expiry {
            if let Some(expiry) = before.first_expiry {
                self.due.remove(&(expiry, slot.number()));
            }
            self.due.extend(after.first_expiry.map(|expiry| (expiry, slot.number())));
        }
    }

    fn index(&self, slot: Slot) -> usize {
        assert!(self.range.contains(slot), "slot {slot} is not among {}", self.range);
        usize::from(slot.number() - self.range.first().number())
    }
}

//! The keys of one slot: a hash table that grows and shrinks by one bucket at a time.
//!
//! Why not `hashbrown`: it doubles, so the 61 keys of an average slot (a million keys over all
//! slots) sit in 128 places of 17 bytes. Here a slot begins as one bucket, a dense list of
//! entries beside a list of 16-bit tags that is searched many tags at a time. Past
//! [`BUCKET_KEYS`] keys a bucket the table splits one bucket per insertion (linear hashing), so no
//! insertion ever pays for the whole table, and a slot of a million keys costs no pause.
//!
//! Entries lie in chunks of one size: growing lists of them leave blocks of many sizes behind,
//! which an allocator can't use for anything else (measured: 10 bytes a key).
//!
//! Invariants: an entry lies in the bucket that [`Table::bucket_of`] gives for its key's hash; in
//! a bucket, tag `i` is the tag of entry `i`, and entries past the bucket's length are vacant; no
//! two entries have the same key.

use crate::entry::Entry;
use alloc::boxed::Box;
use alloc::vec::Vec;
use smallvec::SmallVec;

/// Keys a bucket at which the table gets one more bucket.
const BUCKET_KEYS: usize = 96;
/// Tags that are compared at once.
const LANES: usize = 16;

/// Where an entry lies, until the table is next changed.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    bucket: usize,
    index: usize,
}

/// Entries that lie in one allocation of 128 bytes.
const CHUNK: usize = 8;

type Chunk = Box<[Entry; CHUNK]>;

#[derive(Default)]
struct Bucket {
    tags: Vec<[u16; LANES]>,
    chunks: Vec<Chunk>,
    len: usize,
}

/// The entries of one slot, found by the hash of their key.
#[derive(Default)]
pub(crate) struct Table {
    buckets: SmallVec<[Bucket; 1]>,
    len: usize,
}

/// The bits of the hash that choose the bucket lie at its other end.
fn tag_of(hash: u64) -> u16 {
    (hash >> 48) as u16
}

/// The bit that stands for each lane.
const LANE_BITS: [u16; LANES] = {
    let mut bits = [0; LANES];
    let mut lane = 0;
    while lane < LANES {
        bits[lane] = 1 << lane;
        lane += 1;
    }
    bits
};

/// The bits of the lanes that hold the tag. Written such that it becomes a few vector
/// instructions: no early exit, no shift, all numbers of one width.
fn same_lanes(lanes: &[u16; LANES], tag: u16) -> u16 {
    let bit = |(&other, &bit): (&u16, &u16)| if other == tag { bit } else { 0 };
    lanes.iter().zip(&LANE_BITS).map(bit).fold(0, |bits, bit| bits | bit)
}

impl Bucket {
    fn get(&self, index: usize) -> &Entry {
        &self.chunks[index / CHUNK][index % CHUNK]
    }

    fn get_mut(&mut self, index: usize) -> &mut Entry {
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }

    fn find(&self, tag: u16, key: &[u8]) -> Option<usize> {
        self.find_by(tag, |entry| entry.key() == key)
    }

    fn find_by(&self, tag: u16, accept: impl Fn(&Entry) -> bool) -> Option<usize> {
        for (number, lanes) in self.tags.iter().enumerate() {
            let mut same = same_lanes(lanes, tag);
            while same != 0 {
                let index = number * LANES + same.trailing_zeros() as usize;
                // Lanes past the end are zero, which is also a tag.
                if index < self.len && accept(self.get(index)) {
                    return Some(index);
                }
                same &= same - 1;
            }
        }
        None
    }

    fn push(&mut self, tag: u16, entry: Entry) {
        // Lists grow in small steps: what a list has too much is paid in each of 16384 slots.
        if self.len == self.tags.len() * LANES {
            self.tags.reserve_exact(1);
            self.tags.push([0; LANES]);
        }
        if self.len == self.chunks.len() * CHUNK {
            if self.chunks.len() == self.chunks.capacity() {
                self.chunks.reserve_exact(2);
            }
            self.chunks.push(Box::new(core::array::from_fn(|_| Entry::vacant())));
        }
        let index = self.len;
        self.len += 1;
        self.tags[index / LANES][index % LANES] = tag;
        *self.get_mut(index) = entry;
    }

    fn swap_remove(&mut self, index: usize) -> Entry {
        let last = self.len - 1;
        self.len = last;
        self.tags[index / LANES][index % LANES] = self.tags[last / LANES][last % LANES];
        let moved = core::mem::replace(self.get_mut(last), Entry::vacant());
        let removed =
            if index == last { moved } else { core::mem::replace(self.get_mut(index), moved) };
        if last.is_multiple_of(CHUNK) {
            self.chunks.pop();
            self.tags.truncate(last.div_ceil(LANES));
            if self.chunks.len() < self.chunks.capacity() / 2 {
                self.chunks.shrink_to_fit();
                self.tags.shrink_to_fit();
            }
        }
        removed
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).take(self.len)
    }

    fn into_pairs(self) -> impl Iterator<Item = (u16, Entry)> {
        let entries = self.chunks.into_iter().flat_map(|chunk| *chunk);
        self.tags.into_iter().flatten().zip(entries).take(self.len)
    }

    fn bytes(&self) -> usize {
        self.tags.capacity() * size_of::<[u16; LANES]>()
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.chunks.len() * size_of::<[Entry; CHUNK]>()
    }
}

/// A look-up that is taken one step at a time, so that the steps of many look-ups can be taken
/// side by side. Each step reads memory that the one before has given the address of.
pub(crate) struct Probe<'a> {
    hash: u64,
    table: &'a Table,
    bucket: Option<&'a Bucket>,
    index: usize,
    chunk: Option<&'a Chunk>,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(table: &'a Table, hash: u64) -> Self {
        Self { hash, table, bucket: None, index: 0, chunk: None }
    }

    /// Reads the table.
    pub(crate) fn find_bucket(&mut self) {
        if self.table.len > 0 {
            self.bucket = self.table.buckets.get(self.table.bucket_of(self.hash));
        }
    }

    /// Reads the bucket's tags; only a likely entry is looked at further.
    pub(crate) fn find_index(&mut self) {
        let tag = tag_of(self.hash);
        let tags = self.bucket.iter().flat_map(|bucket| bucket.tags.iter()).enumerate();
        for (number, lanes) in tags {
            let same = same_lanes(lanes, tag);
            if same != 0 {
                self.index = number * LANES + same.trailing_zeros() as usize;
                return;
            }
        }
        self.bucket = None;
    }

    /// Reads the list of chunks.
    pub(crate) fn find_chunk(&mut self) {
        self.chunk = self.bucket.and_then(|bucket| bucket.chunks.get(self.index / CHUNK));
    }

    /// Reads the chunk: where the entry lies.
    pub(crate) fn address(&self) -> usize {
        self.chunk.map_or(0, |chunk| chunk[self.index % CHUNK].address())
    }

    /// Reads the entry.
    pub(crate) fn first_byte(&self) -> u8 {
        self.chunk.map_or(0, |chunk| chunk[self.index % CHUNK].first_byte())
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Linear hashing: with `n` buckets, a hash is cut to the bits that number them, and a number
    /// that has no bucket yet belongs to the bucket that will be split to make it.
    fn bucket_of(&self, hash: u64) -> usize {
        let mask = self.buckets.len().next_power_of_two() - 1;
        let number = hash as usize & mask;
        if number < self.buckets.len() { number } else { number & (mask >> 1) }
    }

    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        if self.len == 0 {
            return None;
        }
        let bucket = self.bucket_of(hash);
        let index = self.buckets[bucket].find(tag_of(hash), key)?;
        Some(Place { bucket, index })
    }

    /// The first entry with this tag that `accept`s, for finding a key by its hash alone.
    pub(crate) fn find_by(&self, hash: u64, accept: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        if self.len == 0 {
            return None;
        }
        let bucket = &self.buckets[self.bucket_of(hash)];
        bucket.find_by(tag_of(hash), accept).map(|index| bucket.get(index))
    }

    pub(crate) fn get(&self, place: Place) -> &Entry {
        self.buckets[place.bucket].get(place.index)
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> &mut Entry {
        self.buckets[place.bucket].get_mut(place.index)
    }

    /// Adds an entry whose key is not in the table. `rehash` gives the hash of an entry's key.
    pub(crate) fn insert(&mut self, hash: u64, entry: Entry, rehash: impl Fn(&Entry) -> u64) {
        if self.buckets.is_empty() {
            self.buckets.push(Bucket::default());
        } else if self.len >= self.buckets.len() * BUCKET_KEYS {
            self.split(rehash);
        }
        let bucket = self.bucket_of(hash);
        self.buckets[bucket].push(tag_of(hash), entry);
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, place: Place) -> Entry {
        let entry = self.buckets[place.bucket].swap_remove(place.index);
        self.len -= 1;
        if self.len == 0 {
            self.buckets = SmallVec::new();
        } else if self.buckets.len() > 1 && self.len < self.buckets.len() * BUCKET_KEYS / 4 {
            self.merge();
        }
        entry
    }

    /// Adds one bucket, and moves into it what belongs there from the one bucket that had it.
    fn split(&mut self, rehash: impl Fn(&Entry) -> u64) {
        let new = self.buckets.len();
        let old = core::mem::take(&mut self.buckets[parent(new)]);
        self.buckets.push(Bucket::default());
        for (tag, entry) in old.into_pairs() {
            let bucket = self.bucket_of(rehash(&entry));
            self.buckets[bucket].push(tag, entry);
        }
    }

    /// Takes the last split back.
    fn merge(&mut self) {
        let last = self.buckets.pop().expect("a table with two buckets or more");
        let number = self.buckets.len();
        let old = &mut self.buckets[parent(number)];
        for (tag, entry) in last.into_pairs() {
            old.push(tag, entry);
        }
        if self.buckets.len() * 2 < self.buckets.capacity() {
            self.buckets.shrink_to_fit();
        }
    }

    /// All entries, in no particular order: it differs between replicas.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(Bucket::entries)
    }

    /// The bucket that a position belongs to: its entries, and the last position in it.
    ///
    /// A key's position is its hash with the bits reversed. A bucket is a range of positions, and
    /// when buckets are split or put together these ranges are, too: who goes through the
    /// positions in ascending order meets every key that is there all the time exactly once.
    pub(crate) fn bucket_at(&self, position: u64) -> (impl Iterator<Item = &Entry>, u64) {
        let bucket = self.bucket_of(position.reverse_bits());
        let count = self.buckets.len().max(1);
        let half = count.next_power_of_two() / 2;
        let bits = count.next_power_of_two().ilog2();
        // A bucket that is not split yet has the place of its other half, too.
        let whole = bucket < half && bucket + half >= count;
        let bits = if whole { bits - 1 } else { bits };
        let rest = u64::MAX.checked_shr(bits).unwrap_or(0);
        (self.buckets.get(bucket).into_iter().flat_map(Bucket::entries), position | rest)
    }

    /// Gives the entries from a position on to `each`, in the order of their positions, until that
    /// answers false or a bucket is done. Says where to go on; `None`: all are done.
    ///
    /// See [`Table::bucket_at`]: an entry that stays is given exactly once.
    pub(crate) fn walk<'a>(
        &'a self,
        from: u64,
        rehash: impl Fn(&Entry) -> u64,
        each: &mut dyn FnMut(&'a Entry) -> bool,
    ) -> Option<u64> {
        let mut found: SmallVec<[(u64, &Entry); 128]> = SmallVec::new();
        let (entries, end) = self.bucket_at(from);
        found.extend(entries.map(|entry| (rehash(entry).reverse_bits(), entry)));
        found.retain(|(position, _)| *position >= from);
        found.sort_unstable_by_key(|(position, _)| *position);
        let mut stopped = None;
        for (position, entry) in found {
            // What lies at one position goes together.
            if stopped.is_some_and(|at| position > at) {
                return Some(position);
            }
            if !each(entry) {
                stopped = Some(position);
            }
        }
        end.checked_add(1)
    }

    /// Frees one bucket, of which the entries' number and bytes are told. False: there is none
    /// left. For tables whose entries are not looked for any more.
    pub(crate) fn free_bucket(&mut self) -> Option<(usize, usize)> {
        let bucket = self.buckets.pop()?;
        self.len -= bucket.len;
        Some((bucket.len, bucket.entries().map(Entry::bytes).sum()))
    }

    /// The entry at a position that `random` chooses.
    pub(crate) fn random(&self, random: u64) -> Option<&Entry> {
        let nth = usize::try_from(random.checked_rem(self.len as u64)?).ok()?;
        let mut before = 0;
        for bucket in &self.buckets {
            if nth < before + bucket.len {
                return Some(bucket.get(nth - before));
            }
            before += bucket.len;
        }
        None
    }

    /// Takes all entries out.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.buckets.into_iter().flat_map(Bucket::into_pairs).map(|(_, entry)| entry)
    }

    /// Bytes of the table itself, without its entries' allocations.
    pub(crate) fn bytes(&self) -> usize {
        let directory = if self.buckets.spilled() { self.buckets.capacity() } else { 0 };
        self.buckets.iter().map(Bucket::bytes).sum::<usize>() + directory * size_of::<Bucket>()
    }
}

/// The bucket that is split to make the bucket with number `new`: the same number without its
/// highest bit.
fn parent(new: usize) -> usize {
    new & !(1 << new.ilog2())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Content;
    use alloc::collections::BTreeMap;
    use alloc::collections::BTreeSet;

    fn hash(key: &[u8]) -> u64 {
        let number = key.iter().fold(7u64, |sum, &byte| sum * 31 + u64::from(byte));
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
    }

    #[test]
    fn positions_meet_each_key_once_while_the_table_changes() {
        let rehash = |entry: &Entry| hash(entry.key());
        for shrinks in [false, true] {
            let mut table = Table::default();
            let add = |table: &mut Table, number: u32| {
                let key = number.to_le_bytes();
                let content = Content { value: b"v", expiry: None, raw: false };
                table.insert(hash(&key), Entry::new(&key, content), rehash);
            };
            (0..3000).for_each(|number| add(&mut table, number));
            let (mut position, mut seen, mut next) = (0u64, BTreeSet::new(), 3000u32);
            loop {
                let (entries, end) = table.bucket_at(position);
                for entry in entries {
                    let at = hash(entry.key()).reverse_bits();
                    assert!(at <= end, "a bucket holds its range");
                    if at >= position {
                        assert!(seen.insert(entry.key().to_vec()), "a key is met twice");
                    }
                }
                if end == u64::MAX {
                    break;
                }
                position = end + 1;
                for _ in 0..40 {
                    if shrinks {
                        next -= 1;
                        let key = next.to_le_bytes();
                        // The first thousand stay.
                        if let Some(place) = table.find(hash(&key), &key).filter(|_| next >= 1000) {
                            table.remove(place);
                        }
                        next = next.max(1);
                    } else {
                        add(&mut table, next);
                        next += 1;
                    }
                }
            }
            let stayed = if shrinks { 1000u32 } else { 3000 };
            assert!((0..stayed).all(|number| seen.contains(number.to_le_bytes().as_slice())));
        }
    }

    #[test]
    fn a_walk_finds_what_stays_once_whatever_is_split_and_merged() {
        let key = |number: u32| number.to_le_bytes();
        let rehash = |entry: &Entry| hash(entry.key());
        let mut table = Table::default();
        let put = |table: &mut Table, number: u32| {
            let content = Content { value: b"v", expiry: None, raw: false };
            table.insert(hash(&key(number)), Entry::new(&key(number), content), rehash);
        };
        (0..3000).for_each(|number| put(&mut table, number));
        let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let (mut position, mut calls) = (Some(0), 0u32);
        while let Some(from) = position {
            let mut left = 7;
            position = table.walk(from, rehash, &mut |entry| {
                *seen.entry(entry.key().to_vec()).or_default() += 1;
                left -= 1;
                left > 0
            });
            // It grows to three times its size, and shrinks again.
            calls += 1;
            let other = 3000 + calls * 40 % 6000;
            for number in other..other + 40 {
                match table.find(hash(&key(number)), &key(number)) {
                    Some(place) => drop(table.remove(place)),
                    None => put(&mut table, number),
                }
            }
        }
        assert!(calls > 400);
        for number in 0..3000 {
            assert_eq!(seen.get(&key(number)[..]), Some(&1), "{number}");
        }
    }

    #[test]
    fn it_agrees_with_a_map_while_it_grows_and_shrinks() {
        let mut table = Table::default();
        let mut oracle = BTreeMap::new();
        for round in 0..40_000u32 {
            // Grows to about 4000 keys in the first half and shrinks to none in the second.
            let number = round.wrapping_mul(2_654_435_761) % 4000;
            let key = number.to_le_bytes();
            let place = table.find(hash(&key), &key);
            assert_eq!(place.is_some(), oracle.contains_key(&number));
            let adding = round < 20_000;
            match place {
                None if adding => {
                    let content = Content { value: b"v", expiry: None, raw: false };
                    let rehash = |entry: &Entry| hash(entry.key());
                    table.insert(hash(&key), Entry::new(&key, content), rehash);
                    oracle.insert(number, ());
                }
                Some(place) if !adding => {
                    assert_eq!(table.remove(place).key(), key);
                    oracle.remove(&number);
                }
                None | Some(_) => {}
            }
            assert_eq!(table.len(), oracle.len());
        }
        assert_eq!(table.entries().count(), oracle.len());
        assert_eq!(table.len(), 0);
    }
}

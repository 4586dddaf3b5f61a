//! The data of one slot: its keys, and the order in which some of them expire.
//!
//! A slot is the unit that moves between shards, so everything about its keys lies here and goes
//! with it. Slots without expiring keys pay eight bytes for the possibility.

use crate::entry::{Entry, Source};
use crate::pieces::Images;
use crate::table::{Place, Probe, Table};
use crate::work;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use bytes::Bytes;
use core::hash::{BuildHasher, Hasher};
use foldhash::quality::FixedState;

/// The keyed hash of keys. Its seed differs per process, so it must not reach state or replies.
#[derive(Clone)]
pub(crate) struct KeyHasher {
    state: FixedState,
    pub(crate) seed: u64,
}

impl KeyHasher {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: FixedState::with_seed(seed), seed }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

/// What becomes of a key's expiry when its value is written.
#[derive(Clone, Copy)]
pub(crate) enum Lifetime {
    /// The key has no expiry afterwards.
    Forever,
    /// The expiry stays what it is.
    Keep,
    /// The key expires at this time, in milliseconds since 1970.
    Until(u64),
}

/// The keys of one slot.
#[derive(Default)]
pub(crate) struct SlotData {
    table: Table,
    /// Expiry and hash of each key that expires. A key is found again by its hash.
    #[expect(clippy::box_collection, reason = "a slot without expiring keys pays for one word")]
    expiries: Option<Box<BTreeSet<(u64, u64)>>>,
    /// Bytes of all entries' allocations.
    entry_bytes: usize,
    /// Images of the slot that are being written.
    pub(crate) images: Images,
}

/// The figures of a slot that the keyspace sums up.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    pub(crate) keys: usize,
    pub(crate) expiring: usize,
    pub(crate) entry_bytes: usize,
    pub(crate) first_expiry: Option<u64>,
}

impl SlotData {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn figures(&self) -> Figures {
        let expiries = self.expiries.as_ref();
        Figures {
            keys: self.table.len(),
            expiring: expiries.map_or(0, |set| set.len()),
            entry_bytes: self.entry_bytes,
            first_expiry: expiries.and_then(|set| set.first()).map(|&(expiry, _)| expiry),
        }
    }

    /// Bytes of the tables, without the entries.
    pub(crate) fn table_bytes(&self) -> usize {
        // A set's nodes are about two thirds full.
        let expiries = self.expiries.as_ref().map_or(0, |set| set.len() * 24);
        self.table.bytes() + expiries + size_of::<Self>()
    }

    /// Begins a look-up that is taken step by step.
    pub(crate) fn probe(&self, hash: u64) -> Probe<'_> {
        Probe::new(&self.table, hash)
    }

    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        self.table.find(hash, key)
    }

    pub(crate) fn get(&self, place: Place) -> &Entry {
        self.table.get(place)
    }

    /// See [`Table::bucket_at`].
    pub(crate) fn bucket_at(&self, position: u64) -> (impl Iterator<Item = &Entry>, u64) {
        self.table.bucket_at(position)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.table.entries()
    }

    /// See [`Table::walk`].
    pub(crate) fn walk<'a>(
        &'a self,
        hasher: &KeyHasher,
        from: u64,
        each: &mut dyn FnMut(&'a Entry) -> bool,
    ) -> Option<u64> {
        self.table.walk(from, |entry| hasher.hash(entry.key()), each)
    }

    /// Frees what it holds, as far as `budget` goes. Says whether nothing is left. For slots that
    /// nobody looks into any more.
    pub(crate) fn free(&mut self, budget: &mut u64) -> bool {
        while *budget > 0 {
            let freed = match self.table.free_bucket() {
                Some((entries, bytes)) => {
                    self.entry_bytes -= bytes;
                    work::VISIT * entries as u64 + work::freeing(bytes)
                }
                None => match self.expiries.as_mut().and_then(|set| set.pop_first()) {
                    Some(_) => work::VISIT,
                    None => return true,
                },
            };
            *budget = budget.saturating_sub(freed);
        }
        false
    }

    /// Bytes of all entries.
    pub(crate) fn entry_bytes(&self) -> usize {
        self.entry_bytes
    }

    pub(crate) fn random(&self, random: u64) -> Option<&Entry> {
        self.table.random(random)
    }

    /// The keys whose expiry is not after `now`, soonest first.
    pub(crate) fn expired<'a>(
        &'a self,
        hasher: &'a KeyHasher,
        now: u64,
    ) -> impl Iterator<Item = &'a Entry> {
        let due = self.expiries.iter().flat_map(move |set| set.range(..=(now, u64::MAX)));
        due.filter_map(|&(expiry, hash)| {
            let is_it = |entry: &Entry| entry.expiry() == Some(expiry);
            self.table.find_by(hash, |entry| is_it(entry) && hasher.hash(entry.key()) == hash)
        })
    }

    /// Writes a key, which may exist.
    pub(crate) fn put(
        &mut self,
        hasher: &KeyHasher,
        key: &[u8],
        value: Source<'_>,
        lifetime: Lifetime,
        raw: bool,
    ) {
        let hash = hasher.hash(key);
        if let Some(place) = self.table.find(hash, key) {
            self.edit(hash, place, |entry| {
                let expiry = match lifetime {
                    Lifetime::Forever => None,
                    Lifetime::Keep => entry.expiry(),
                    Lifetime::Until(expiry) => Some(expiry),
                };
                entry.replace(value, expiry, raw);
            });
        } else {
            let expiry = match lifetime {
                Lifetime::Forever | Lifetime::Keep => None,
                Lifetime::Until(expiry) => Some(expiry),
            };
            self.insert(hasher, hash, Entry::of(key, value, expiry, raw));
        }
    }

    /// Adds an entry whose key is not in the slot.
    pub(crate) fn insert(&mut self, hasher: &KeyHasher, hash: u64, entry: Entry) {
        self.entry_bytes += entry.bytes();
        self.index_expiry(hash, None, entry.expiry());
        self.images.before_insert(hash, entry.key());
        self.table.insert(hash, entry, |entry| hasher.hash(entry.key()));
    }

    /// Changes an entry, but not its key.
    pub(crate) fn edit<R>(
        &mut self,
        hash: u64,
        place: Place,
        edit: impl FnOnce(&mut Entry) -> R,
    ) -> R {
        self.images.before_change(hash, self.table.get(place));
        let entry = self.table.get_mut(place);
        let (bytes, expiry) = (entry.bytes(), entry.expiry());
        let result = edit(entry);
        let (new_bytes, new_expiry) = (entry.bytes(), entry.expiry());
        self.entry_bytes = self.entry_bytes - bytes + new_bytes;
        self.index_expiry(hash, expiry, new_expiry);
        result
    }

    /// The value of an entry, if it is long, for somebody else to have as well.
    pub(crate) fn share(&mut self, place: Place) -> Option<Bytes> {
        let entry = self.table.get_mut(place);
        let before = entry.bytes();
        let shared = entry.share();
        self.entry_bytes = self.entry_bytes - before + entry.bytes();
        shared
    }

    pub(crate) fn remove(&mut self, hash: u64, place: Place) {
        self.images.before_change(hash, self.table.get(place));
        let entry = self.table.remove(place);
        self.entry_bytes -= entry.bytes();
        self.index_expiry(hash, entry.expiry(), None);
    }

    fn index_expiry(&mut self, hash: u64, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        if let (Some(old), Some(set)) = (old, self.expiries.as_mut()) {
            set.remove(&(old, hash));
        }
        if let Some(new) = new {
            self.expiries.get_or_insert_default().insert((new, hash));
        } else if self.expiries.as_ref().is_some_and(|set| set.is_empty()) {
            self.expiries = None;
        }
    }

    /// The same data under another hash. The entries keep their allocations.
    pub(crate) fn rehashed(self, hasher: &KeyHasher) -> Self {
        let mut slot = Self::default();
        for entry in self.table.into_entries() {
            slot.insert(hasher, hasher.hash(entry.key()), entry);
        }
        slot
    }
}

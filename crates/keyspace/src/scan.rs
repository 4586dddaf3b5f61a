//! KEYS and SCAN.
//!
//! A full SCAN returns every key that is there from its beginning to its end, although between
//! its calls keys come and go and another replica, with other tables, may become the holder. So
//! the cursor can't be a place in a table: it is a slot and a position in the order of the keys'
//! fingerprints, which is the same everywhere and for ever.
//!
//! A call looks at every key of the slots that it visits, because the tables do not have that
//! order. A large slot would be looked at as often as it has multiples of COUNT; to bound that, a
//! call goes at least 1/64 of the way through a slot, and returns more than COUNT keys if it must.

use crate::entry::{Entry, Kind};
use crate::fingerprint::fingerprint;
use crate::keyspace::Keyspace;
use alloc::vec::Vec;
use resp::glob::{self, Case};
use types::{Slot, UnixMillis};

/// The bits of a position within a slot.
const POSITION_BITS: u32 = 32;
/// How far a call goes at least, in a slot that it doesn't finish.
const STRIDE: u64 = 1 << (POSITION_BITS - 6);

/// How far a SCAN has come: a slot, and a position in the order of its keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ScanCursor {
    slot: Slot,
    position: u32,
}

impl ScanCursor {
    /// Before the first key of a slot.
    #[must_use]
    pub fn at(slot: Slot) -> Self {
        Self { slot, position: 0 }
    }

    /// The slot that is scanned next.
    #[must_use]
    pub fn slot(self) -> Slot {
        self.slot
    }

    /// The number that stands for the cursor. Zero stands for the beginning of the first slot,
    /// which is also how Redis names the end. Below 2^53, so that every client can hold it.
    #[must_use]
    pub fn encode(self) -> u64 {
        u64::from(self.slot.number()) << POSITION_BITS | u64::from(self.position)
    }

    /// The cursor that a number stands for, or `None` if there is no such slot.
    #[must_use]
    pub fn decode(number: u64) -> Option<Self> {
        let slot = u16::try_from(number >> POSITION_BITS).ok().and_then(Slot::new)?;
        // The low half of the number.
        Some(Self { slot, position: number as u32 })
    }
}

fn position(entry: &Entry) -> u64 {
    fingerprint(0, entry.key()) >> (64 - POSITION_BITS)
}

impl Keyspace {
    /// Gives every key that has not expired at `now` and matches a glob pattern to `each`.
    pub fn matching_keys(&self, pattern: &[u8], now: UnixMillis, each: &mut dyn FnMut(&[u8])) {
        for slot in self.range().iter() {
            for entry in self.slot(slot).entries().filter(|entry| is_live(entry, now)) {
                // As in Redis, a lone star also stands for the empty key.
                if pattern == b"*" || glob::matches(pattern, entry.key(), Case::Heeded) {
                    each(entry.key());
                }
            }
        }
    }

    /// Gives about `count` keys from the cursor on to `each`, those left out that have expired at
    /// `now`, and returns where to go on; `None` once the last slot of the range is done.
    ///
    /// A cursor before the range begins at its first slot. Keys are returned more than once if the
    /// caller goes back, never within one pass.
    pub fn scan(
        &self,
        cursor: ScanCursor,
        count: usize,
        now: UnixMillis,
        each: &mut dyn FnMut(&[u8], Kind),
    ) -> Option<ScanCursor> {
        let range = self.range();
        let mut cursor = cursor.max(ScanCursor::at(range.first()));
        let mut left = count.max(1);
        while cursor.slot <= range.last() {
            let (seen, next) = self.scan_slot(cursor, left, now, each);
            if let Some(position) = next {
                return Some(ScanCursor { position, ..cursor });
            }
            cursor = ScanCursor::at(Slot::new(cursor.slot.number() + 1)?);
            left = left.saturating_sub(seen);
            if left == 0 {
                return (cursor.slot <= range.last()).then_some(cursor);
            }
        }
        None
    }

    /// Scans one slot: how many keys were seen, and the position to go on from, if any is left.
    fn scan_slot(
        &self,
        cursor: ScanCursor,
        count: usize,
        now: UnixMillis,
        each: &mut dyn FnMut(&[u8], Kind),
    ) -> (usize, Option<u32>) {
        let from = u64::from(cursor.position);
        let entries = self.slot(cursor.slot).entries().map(|entry| (position(entry), entry));
        let mut entries: Vec<_> = entries.filter(|&(position, _)| position >= from).collect();
        let all = entries.len();
        if all > count {
            // All keys at one position go together, or the next call would miss some.
            let (_, &mut (last, _), _) = entries.select_nth_unstable_by_key(count - 1, |e| e.0);
            let end = last.max(from + STRIDE);
            entries.retain(|&(position, _)| position <= end);
            self.emit(&entries, now, each);
            let next = if entries.len() < all { u32::try_from(end + 1).ok() } else { None };
            return (entries.len(), next);
        }
        self.emit(&entries, now, each);
        (all, None)
    }

    fn emit(&self, entries: &[(u64, &Entry)], now: UnixMillis, each: &mut dyn FnMut(&[u8], Kind)) {
        for (_, entry) in entries.iter().filter(|(_, entry)| is_live(entry, now)) {
            each(entry.key(), entry.kind());
        }
    }
}

fn is_live(entry: &Entry, now: UnixMillis) -> bool {
    entry.expiry().is_none_or(|expiry| expiry > now.0)
}

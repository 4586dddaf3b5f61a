//! KEYS and SCAN, in steps.
//!
//! Both may have millions of keys to look at, so they go on from turn to turn. What a step sees is
//! the data of its moment: a key that is there all the time is found exactly once, one that comes
//! or goes meanwhile may be found or not. What fits in one step is one moment.
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
use crate::keyspace::{Keyspace, WalkCursor};
use crate::work;
use alloc::boxed::Box;
use alloc::vec::Vec;
use resp::Reply;
use resp::glob::{Case, Match, Pattern};
use types::limits::{KEYS_BYTES_MAX, SCAN_COUNT_MAX};
use types::{Slot, UnixMillis};

/// The bits of a position within a slot.
const POSITION_BITS: u32 = 32;
/// How far a call goes at least, in a slot that it doesn't finish.
const STRIDE: u64 = 1 << (POSITION_BITS - 6);
/// Keys of a slot whose positions are looked at in one step, to take COUNT of them exactly. In a
/// larger one a call goes as far as COUNT keys lie on average.
const EXACT_KEYS: usize = 4096;
/// Longest key that is matched with a pattern in one step.
const SHORT_KEY: usize = 1024;

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

/// Which keys are wanted, and those that were found.
struct Found {
    pattern: Option<Pattern>,
    strings_only: bool,
    /// A key that is too long to be matched in one step.
    long: Option<(Box<[u8]>, Match)>,
    count: usize,
    /// The keys as they stand in a reply.
    bytes: Vec<u8>,
}

impl Found {
    fn new(pattern: Option<&[u8]>, strings_only: bool) -> Self {
        let pattern = pattern.map(|pattern| Pattern::new(pattern, Case::Heeded));
        // A lone star also stands for the empty key, as in Redis.
        let pattern = pattern.filter(|pattern| !pattern.is_star());
        Self { pattern, strings_only, long: None, count: 0, bytes: Vec::new() }
    }

    fn take(&mut self, key: &[u8]) {
        self.count += 1;
        Reply::new(&mut self.bytes, resp::Protocol::Resp2).bulk(key);
    }

    /// Looks at a key, and says whether there is budget for another one.
    fn consider(&mut self, entry: &Entry, now: UnixMillis, budget: &mut u64) -> bool {
        let wanted = is_live(entry, now) && (!self.strings_only || entry.kind() == Kind::String);
        if !wanted {
            return pay(budget, work::VISIT);
        }
        let key = entry.key();
        let Some(pattern) = &self.pattern else {
            self.take(key);
            return pay(budget, work::VISIT + work::copying(key.len()));
        };
        if key.len() > SHORT_KEY {
            self.long = Some((key.into(), Match::default()));
            pay(budget, work::VISIT + work::copying(key.len()));
            return false;
        }
        let mut steps = usize::MAX;
        let matches = Match::default().go_on(pattern, key, &mut steps) == Some(true);
        if matches {
            self.take(key);
        }
        let steps = (usize::MAX - steps) as u64;
        pay(budget, work::VISIT + work::GLOB_STEP * steps + work::copying(key.len()))
    }

    /// Goes on with a long key; whether that is done.
    fn finish_long(&mut self, budget: &mut u64) -> bool {
        let (Some((key, state)), Some(pattern)) = (&mut self.long, &self.pattern) else {
            return true;
        };
        let allowed = usize::try_from(*budget / work::GLOB_STEP).unwrap_or(usize::MAX).max(1);
        let mut steps = allowed;
        let result = state.go_on(pattern, key, &mut steps);
        pay(budget, work::GLOB_STEP * (allowed - steps) as u64);
        let Some(matches) = result else { return false };
        if let (Some((key, _)), true) = (self.long.take(), matches) {
            self.take(&key);
        }
        true
    }

    /// Whether the reply has become too long.
    fn is_too_long(&self) -> bool {
        self.bytes.len() > KEYS_BYTES_MAX
    }

    fn write(&self, reply: &mut Reply<'_>) {
        reply.array(self.count);
        reply.encoded(&self.bytes);
    }
}

/// Takes from the budget; whether something is left.
fn pay(budget: &mut u64, work: u64) -> bool {
    *budget = budget.saturating_sub(work);
    *budget > 0
}

fn is_live(entry: &Entry, now: UnixMillis) -> bool {
    entry.expiry().is_none_or(|expiry| expiry > now.0)
}

/// KEYS under way.
pub struct KeysWalk {
    found: Found,
    /// Where to go on.
    cursor: Option<WalkCursor>,
}

impl KeysWalk {
    /// All keys that match a pattern.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        let cursor = Slot::new(0).map(WalkCursor::at);
        Self { found: Found::new(Some(pattern), false), cursor }
    }

    /// Goes on as far as `budget` goes, in units of `work`, and takes what it has worked from it.
    /// Says whether it is done.
    pub fn step(&mut self, keyspace: &Keyspace, now: UnixMillis, budget: &mut u64) -> bool {
        loop {
            if !self.found.finish_long(budget) {
                return false;
            }
            let (Some(cursor), false) = (self.cursor, self.found.is_too_long()) else {
                return true;
            };
            if *budget == 0 {
                return false;
            }
            let found = &mut self.found;
            let mut each =
                |entry: &Entry| found.consider(entry, now, budget) && !found.is_too_long();
            self.cursor = keyspace.walk(cursor, keyspace.range().last(), &mut each);
        }
    }

    /// Writes what was found.
    pub fn write(&self, reply: &mut Reply<'_>) {
        if self.found.is_too_long() {
            reply.error(resp::error::TOO_MANY_KEYS);
        } else {
            self.found.write(reply);
        }
    }
}

/// One call of SCAN under way.
pub struct ScanWalk {
    found: Found,
    /// Where to go on; `None`: the last slot of all is done.
    cursor: Option<ScanCursor>,
    /// Keys that are still to be looked at, about.
    left: usize,
    slot: Option<SlotScan>,
}

/// The part of a slot that is looked at.
#[derive(Clone, Copy)]
struct SlotScan {
    /// Keys at positions from this one on ...
    from: u64,
    /// ... up to this one.
    end: u64,
    at: WalkCursor,
    seen: usize,
}

impl ScanWalk {
    /// About `count` keys from the cursor on. A cursor before the range begins at its first slot.
    #[must_use]
    pub fn new(cursor: ScanCursor, count: u64, pattern: Option<&[u8]>, strings_only: bool) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            found: Found::new(pattern, strings_only),
            cursor: Some(cursor),
            // A hint: what a client asks for at once, the others wait for.
            left: count.clamp(1, SCAN_COUNT_MAX),
            slot: None,
        }
    }

    /// As [`KeysWalk::step`].
    pub fn step(&mut self, keyspace: &Keyspace, now: UnixMillis, budget: &mut u64) -> bool {
        loop {
            if !self.found.finish_long(budget) {
                return false;
            }
            let occupied = self.cursor.and_then(|cursor| keyspace.next_occupied(cursor.slot));
            self.cursor =
                self.cursor.max(occupied.map(ScanCursor::at)).filter(|_| occupied.is_some());
            let (Some(cursor), true) = (self.cursor, self.left > 0) else { return true };
            if *budget == 0 {
                return false;
            }
            let slot = match self.slot {
                Some(slot) => slot,
                None => self.begin_slot(cursor, keyspace, budget),
            };
            self.go_on(slot, keyspace, now, budget);
        }
    }

    /// Chooses the part of the slot that is looked at.
    fn begin_slot(&self, cursor: ScanCursor, keyspace: &Keyspace, budget: &mut u64) -> SlotScan {
        let from = u64::from(cursor.position);
        let slot = keyspace.slot(cursor.slot);
        let all = u64::from(u32::MAX);
        let end = if slot.len() <= EXACT_KEYS {
            pay(budget, work::VISIT / 4 * (1 + slot.len() as u64));
            let mut positions: Vec<u64> =
                slot.entries().map(position).filter(|position| *position >= from).collect();
            if positions.len() <= self.left {
                all
            } else {
                // All keys at one position go together, or the next call would miss some.
                let (_, &mut last, _) = positions.select_nth_unstable(self.left - 1);
                let end = last.max(from + STRIDE);
                if positions.iter().all(|position| *position <= end) { all } else { end }
            }
        } else {
            let share = (self.left as u64) << POSITION_BITS;
            from + STRIDE.max(share / slot.len() as u64)
        };
        let at = WalkCursor::at(cursor.slot);
        SlotScan { from, end: end.min(all), at, seen: 0 }
    }

    fn go_on(
        &mut self,
        mut slot: SlotScan,
        keyspace: &Keyspace,
        now: UnixMillis,
        budget: &mut u64,
    ) {
        let found = &mut self.found;
        let mut each = |entry: &Entry| {
            if !(slot.from..=slot.end).contains(&position(entry)) {
                return pay(budget, work::VISIT);
            }
            slot.seen += 1;
            found.consider(entry, now, budget)
        };
        let next = keyspace.walk(slot.at, slot.at.slot, &mut each);
        if let Some(at) = next {
            self.slot = Some(SlotScan { at, ..slot });
            return;
        }
        // So that empty slots count for something.
        pay(budget, work::VISIT / 4);
        self.slot = None;
        self.left = self.left.saturating_sub(slot.seen);
        if let Ok(position) = u32::try_from(slot.end + 1) {
            self.cursor = Some(ScanCursor { slot: slot.at.slot, position });
            self.left = 0;
        } else {
            self.cursor = Slot::new(slot.at.slot.number() + 1).map(ScanCursor::at);
        }
    }

    /// Where the next call goes on; `None` once the last slot of the range is done.
    #[must_use]
    pub fn next(&self) -> Option<ScanCursor> {
        self.cursor
    }

    /// Writes the keys that were found.
    pub fn write(&self, reply: &mut Reply<'_>) {
        self.found.write(reply);
    }
}

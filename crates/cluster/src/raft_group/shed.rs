//! Entries of which only the terms are in memory: a log that a catch-up needs may be as long as
//! its shard is large. What a follower needs of them is read from the log's segments again, some
//! at a time (`shard/log_reads.rs`).

use alloc::collections::VecDeque;
use core::cell::Cell;

use raft::eraftpb::Entry;
use types::{LogIndex, Term};

use super::{LogEntry, RaftGroup};

/// Bytes of shed entries are counted for so many bytes together.
const BLOCK_BYTES: usize = 1 << 20;

/// The first entries of a log: applied, durable, and not in memory.
#[derive(Default)]
pub(super) struct Shed {
    /// How many there are, and the index of the last.
    count: u64,
    last: u64,
    /// Where each term begins among them.
    terms: VecDeque<(u64, u64)>,
    /// How many bytes the data up to an index have, beyond those of the block before.
    blocks: VecDeque<(u64, usize)>,
    bytes: usize,
    /// Some of them in order, read again to be sent.
    read: VecDeque<Entry>,
    read_bytes: usize,
    /// The first that was to be sent and was not in memory.
    wanted: Cell<Option<u64>>,
}

impl Shed {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether an entry is one of them.
    pub(super) fn has(&self, index: u64) -> bool {
        index <= self.last && self.last - index < self.count
    }

    pub(super) fn term_of(&self, index: u64) -> Option<u64> {
        let found = self.terms.iter().rev().find(|(first, _)| *first <= index);
        found.filter(|_| self.has(index)).map(|(_, term)| *term)
    }

    /// The entry behind is no longer in memory.
    pub(super) fn add(&mut self, entry: &Entry) {
        (self.count, self.last) = (self.count + 1, entry.index);
        if self.terms.back().is_none_or(|(_, last)| *last != entry.term) {
            self.terms.push_back((entry.index, entry.term));
        }
        self.bytes += entry.data.len();
        match self.blocks.back_mut() {
            Some((last, bytes)) if *bytes < BLOCK_BYTES => {
                (*last, *bytes) = (entry.index, *bytes + entry.data.len());
            }
            Some(_) | None => self.blocks.push_back((entry.index, entry.data.len())),
        }
    }

    /// Forgets those up to `index`. Gives index and term of the last of them.
    pub(super) fn forget(&mut self, index: u64) -> Option<(u64, u64)> {
        let index = index.min(self.last);
        let last = (index, self.term_of(index)?);
        self.count = self.last - index;
        while let Some((_, bytes)) = self.blocks.pop_front_if(|(last, _)| *last <= index) {
            self.bytes -= bytes;
        }
        while self.terms.get(1).is_some_and(|(first, _)| *first <= index + 1) {
            self.terms.pop_front();
        }
        while let Some(entry) = self.read.pop_front_if(|entry| entry.index <= index) {
            self.read_bytes -= entry.data.len();
        }
        if self.count == 0 {
            *self = Self::default();
        }
        Some(last)
    }

    /// Those from `low` on and below `high` that were read again; if there are none, they are
    /// wanted.
    pub(super) fn read_from(&self, low: u64, high: u64) -> impl Iterator<Item = &Entry> {
        let at = self.read.front().and_then(|first| low.checked_sub(first.index));
        let at = at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < self.read.len());
        if at.is_none() {
            let least = self.wanted.get().map_or(low, |wanted| wanted.min(low));
            self.wanted.set(Some(least));
        }
        let from = at.unwrap_or(self.read.len());
        self.read.range(from..).take_while(move |entry| entry.index < high)
    }
}

impl RaftGroup {
    /// Keeps applied, durable entries on disk only, the oldest first, until those in memory have
    /// `most` bytes.
    pub(crate) fn shed(&mut self, most: usize) {
        let last = self.sheddable();
        self.engine.mut_store().shed(last, most);
    }

    /// Shed entries up to `index` are not in the log's files any more.
    pub(crate) fn forget_shed(&mut self, index: LogIndex) {
        let storage = self.engine.mut_store();
        storage.compact(index.0.min(storage.first_in_memory() - 1));
    }

    /// The last entry that need not be in memory: it is durable and applied, and nothing before it
    /// is needed to apply what follows, or to write it again.
    fn sheddable(&self) -> u64 {
        self.engine.raft.raft_log.persisted.min(self.engine.store().settled().0)
    }

    /// The first entry that is in memory.
    pub(crate) fn first_in_memory(&self) -> LogIndex {
        LogIndex(self.engine.store().first_in_memory())
    }

    /// Bytes of the log from its first entry on, in memory or not.
    pub(crate) fn log_bytes(&self) -> usize {
        let store = self.engine.store();
        store.bytes + store.shed.bytes
    }

    /// Bytes of entries that were read again to be sent.
    pub(crate) fn read_bytes(&self) -> usize {
        self.engine.store().shed.read_bytes
    }

    /// The first shed entry that is to be sent and must be read for that, if there is one. It is
    /// said once for each time that the engine wanted it.
    pub(crate) fn take_wanted(&mut self) -> Option<LogIndex> {
        let shed = &self.engine.store().shed;
        shed.wanted.take().filter(|wanted| shed.has(*wanted)).map(LogIndex)
    }

    /// The term of an entry that is shed.
    pub(crate) fn shed_term(&self, index: LogIndex) -> Option<Term> {
        self.engine.store().shed.term_of(index.0).map(Term)
    }

    /// Shed entries were read, in order: they go to those that need them, in place of those that
    /// were read before.
    pub(crate) fn entries_read(&mut self, entries: VecDeque<LogEntry>) {
        let storage = self.engine.mut_store();
        let first = storage.first();
        let shed = &mut storage.shed;
        shed.read = entries.into_iter().map(|entry| entry.0).collect();
        shed.read.retain(|entry| entry.index >= first);
        shed.read_bytes = shed.read.iter().map(|entry| entry.data.len()).sum();
        storage.sending.short.set(true);
    }

    /// What followers lack is sent in the next turn, as far as it is in memory.
    pub(crate) fn send_again(&mut self) {
        self.engine.store().sending.short.set(true);
    }

    /// Bytes of entries that must stay in memory.
    pub(crate) fn unsheddable_bytes(&self) -> usize {
        let sheddable = self.sheddable();
        let entries = self.engine.store().entries.iter().rev();
        let behind = entries.take_while(|entry| entry.index > sheddable);
        behind.map(|entry| entry.data.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft_group::storage::LogStorage;
    use raft::{GetEntriesContext, Storage};

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index, term, data: alloc::vec![7; 100].into(), ..Entry::default() }
    }

    /// Entries 11 to 30, of which those from 21 on have another term.
    fn log() -> LogStorage {
        let mut log = LogStorage::default();
        log.reset(10, 1, raft::eraftpb::ConfState::default());
        let entries: alloc::vec::Vec<Entry> =
            (11..=30).map(|index| entry(index, if index < 21 { 2 } else { 5 })).collect();
        log.append(&entries);
        log
    }

    #[test]
    fn terms_and_counts_are_those_of_a_log_that_sheds_nothing() {
        let whole = log();
        let mut shed = log();
        shed.shed(25, 600);
        assert_eq!((shed.bytes, shed.first_in_memory(), shed.shed.count()), (600, 25, 14));
        for (forgotten, first) in [(10, 11), (13, 14), (22, 23), (26, 27)] {
            shed.compact(forgotten);
            assert_eq!((shed.first(), shed.last()), (first, 30));
            for index in forgotten..=30 {
                assert_eq!(shed.term_of(index), whole.term_of(index), "{index}");
            }
            assert_eq!(shed.term_of(forgotten.wrapping_sub(1)), None);
        }
        assert_eq!((shed.shed.count(), shed.shed.bytes, shed.bytes), (0, 0, 400));
    }

    #[test]
    fn only_what_is_applied_and_durable_is_shed() {
        let mut log = log();
        log.shed(12, 0);
        assert_eq!((log.first_in_memory(), log.bytes), (13, 1800));
    }

    #[test]
    fn the_least_that_is_wanted_is_asked_for_and_sent_when_it_was_read() {
        let mut log = log();
        log.shed(25, 600);
        let sent = |log: &LogStorage, low| {
            log.sending.allow(1 << 20);
            let found = log.entries(low, 31, 300, GetEntriesContext::empty(true));
            found.map(|found| found.iter().map(|entry| entry.index).collect::<alloc::vec::Vec<_>>())
        };
        assert!(sent(&log, 20).is_err());
        assert!(sent(&log, 12).is_err());
        assert!(sent(&log, 23).is_err());
        assert_eq!(log.shed.wanted.take(), Some(12));
        log.shed.read = (12..=20).map(|index| entry(index, 2)).collect();
        assert_eq!(sent(&log, 12), Ok(alloc::vec![12, 13]));
        assert_eq!(sent(&log, 20), Ok(alloc::vec![20]));
        assert_eq!(log.shed.wanted.get(), None);
        assert!(sent(&log, 21).is_err(), "it was not read");
        assert_eq!(sent(&log, 25), Ok(alloc::vec![25, 26]));
    }
}

//! The engine's view of a shard's log.
//!
//! Entries are handed to the log thread and put here at the same time; the engine is told
//! separately when they are durable. What lies before the first entry here can only be had as
//! slot images.
//!
//! The oldest entries may be *shed*: applied, durable, and on disk only (`shed`). The engine gets
//! them when they were read again, and only to send them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::sending::Sending;
use super::shed::Shed;

/// The log of one replica, in memory.
#[derive(Default)]
pub(super) struct LogStorage {
    pub(super) hard_state: HardState,
    pub(super) conf_state: ConfState,
    /// Index and term of the entry before the first.
    pub(super) before: (u64, u64),
    /// The first entries, of which only this is in memory.
    pub(super) shed: Shed,
    /// Those behind.
    pub(super) entries: VecDeque<Entry>,
    /// Bytes of the data of entries in memory.
    pub(super) bytes: usize,
    /// Bytes of those among them that are not settled.
    unsettled_bytes: usize,
    /// Up to here entries are not among them.
    settled_counted: u64,
    /// Index and term of the newest applied entry.
    pub(super) applied: (u64, u64),
    /// From there on entries are needed, though they are applied.
    kept_from: Option<u64>,
    /// What of the log may be sent in this turn, and what was asked for beyond that.
    pub(super) sending: Sending,
}

impl LogStorage {
    pub(super) fn first(&self) -> u64 {
        self.before.0 + 1
    }

    /// The first entry in memory, or the one to come.
    pub(super) fn first_in_memory(&self) -> u64 {
        self.first() + self.shed.count()
    }

    pub(super) fn last(&self) -> u64 {
        self.before.0 + self.shed.count() + self.entries.len() as u64
    }

    /// An entry that is in memory.
    pub(super) fn get(&self, index: u64) -> Option<&Entry> {
        let at = index.checked_sub(self.first_in_memory())?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    pub(super) fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.before.0 {
            return Some(self.before.1);
        }
        let in_memory = || self.get(index).map(|entry| entry.term);
        self.shed.term_of(index).or_else(in_memory)
    }

    /// Index and term of the newest applied entry behind which none is needed: where a catch-up
    /// begins.
    pub(super) fn settled(&self) -> (u64, u64) {
        let before = self.kept_from.map(|first| first - 1).filter(|index| *index < self.applied.0);
        let known = before.and_then(|index| Some((index, self.term_of(index)?)));
        known.unwrap_or(self.applied)
    }

    /// Appends entries, cutting off what they contradict.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let start = self.first_in_memory();
        assert!(first.index >= start, "an entry below the log's start was rewritten");
        assert!(first.index <= self.last() + 1, "a gap in a shard's log");
        while self.last() >= first.index {
            let dropped = self.entries.pop_back().expect("entries up to the last are here");
            self.bytes -= dropped.data.len();
            self.unsettled_bytes -= dropped.data.len();
        }
        for entry in entries {
            self.bytes += entry.data.len();
            self.unsettled_bytes += entry.data.len();
            self.entries.push_back(entry.clone());
        }
    }

    /// Entries up to `index` are applied.
    pub(super) fn set_applied(&mut self, index: u64, term: u64) {
        self.applied = (index, term);
        self.count_settled();
    }

    /// From there on entries are needed, though they are applied.
    pub(super) fn keep_from(&mut self, first: Option<u64>) {
        self.kept_from = first;
        self.count_settled();
    }

    /// Bytes and number of the entries that are not settled: the log has to hold them.
    pub(super) fn unsettled(&self) -> (usize, u64) {
        (self.unsettled_bytes, self.last() - self.settled_counted)
    }

    /// What is kept now may have been counted as settled before.
    fn count_settled(&mut self) {
        let (settled, _) = self.settled();
        let bytes = |index: u64| self.get(index).map_or(0, |entry| entry.data.len());
        let less: usize = (self.settled_counted + 1..=settled).map(bytes).sum();
        let more: usize = (settled + 1..=self.settled_counted).map(bytes).sum();
        self.unsettled_bytes = self.unsettled_bytes + more - less;
        self.settled_counted = settled;
    }

    /// Forgets the entries up to `index`, which are applied.
    pub(super) fn compact(&mut self, index: u64) {
        if let Some(last) = self.shed.forget(index) {
            self.before = last;
        }
        while self.before.0 < index {
            let Some(dropped) = self.entries.pop_front() else { return };
            self.bytes -= dropped.data.len();
            self.before = (dropped.index, dropped.term);
        }
    }

    /// Keeps the oldest entries up to `index`, which are applied and durable, on disk only, but for
    /// `most` bytes of entries.
    pub(super) fn shed(&mut self, index: u64, most: usize) {
        while self.bytes > most
            && let Some(first) = self.entries.pop_front_if(|first| first.index <= index)
        {
            self.bytes -= first.data.len();
            self.shed.add(&first);
        }
    }

    /// Begins anew after `index`: slot images replaced what came before.
    pub(super) fn reset(&mut self, index: u64, term: u64, conf_state: ConfState) {
        self.shed = Shed::default();
        self.entries.clear();
        self.bytes = 0;
        self.unsettled_bytes = 0;
        self.settled_counted = index;
        self.kept_from = None;
        self.before = (index, term);
        self.applied = (index, term);
        self.conf_state = conf_state;
    }
}

impl Storage for LogStorage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(StorageError::Compacted.into());
        }
        if low >= high {
            return Ok(Vec::new());
        }
        let is_sent = context.can_async();
        if is_sent && !self.sending.may() {
            self.sending.short.set(true);
            return Err(StorageError::LogTemporarilyUnavailable.into());
        }
        let max_size = max_size.into().unwrap_or(u64::MAX);
        let mut found = Vec::new();
        if self.shed.has(low) {
            // Only applied entries are shed, so the engine asks for them only to send them.
            take_some(self.shed.read_from(low, high), max_size, &mut found);
            if found.is_empty() {
                return Err(StorageError::LogTemporarilyUnavailable.into());
            }
        } else {
            let from = usize::try_from(low - self.first_in_memory())
                .map_err(|_| StorageError::Unavailable)?;
            let count = usize::try_from(high - low).map_err(|_| StorageError::Unavailable)?;
            take_some(self.entries.range(from..from + count), max_size, &mut found);
        }
        if is_sent {
            self.sending.count(found.iter().map(|entry| entry.data.len() as u64 + 32).sum());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.before.0 {
            return Err(StorageError::Compacted.into());
        }
        self.term_of(index).ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// Only the place where a catch-up begins: the slots follow out of band.
    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        let (index, term) = self.settled();
        if index == 0 {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = index;
        metadata.term = term;
        metadata.set_conf_state(self.conf_state.clone());
        Ok(snapshot)
    }
}

/// Takes entries until they have so many bytes, one at least.
fn take_some<'a>(entries: impl Iterator<Item = &'a Entry>, most: u64, into: &mut Vec<Entry>) {
    let mut size = 0u64;
    for entry in entries {
        size += entry.data.len() as u64 + 32;
        if !into.is_empty() && size > most {
            return;
        }
        into.push(entry.clone());
    }
}

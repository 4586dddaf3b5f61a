//! How much of a shard's log is in memory, and what is read from the disk again.
//!
//! A replica that is caught up by slot images needs all entries from the beginning of the catch-up
//! on, and those may be as many bytes as the shard has. Applied and durable entries beyond a window
//! are *shed*: their terms stay in memory, their data are in the log's segments alone. A follower
//! that needs them is sent what was read there, a few megabytes at a time. An entry is told by
//! index and term, so wherever it is found, it is the right one: where it was written first, or
//! where it was written again.
//!
//! Segments with entries that a catch-up under way or a live follower needs are not freed, unless
//! the log has become half as long again as it may be (`node/storage.rs`). Whoever needs an entry
//! that is gone, or that can't be read, gets slot images.

use alloc::collections::VecDeque;
use alloc::string::String;

use types::{LogIndex, SegmentId};

use super::{Env, Shard};
use crate::io::{Event, LogPart, LogPlace, LogReadId};
use crate::planted::Planting;
use crate::raft_group::LogEntry;
use crate::record::{Record, Records};

/// Bytes of applied entries that all shards of a node together keep although every replica has
/// them: a follower's, for the day when it leads, a leader's to save compactions.
const LOG_KEPT: usize = 8 << 20;
const LOG_KEPT_MIN: usize = 16 << 10;
const LOG_KEPT_MAX: usize = 1 << 20;
/// Bytes of applied entries kept for a replica that lags; then it needs slot images.
const LOG_KEPT_FOR_LAGGARDS: usize = 16 << 20;

/// As many replicas as may be behind at different places.
const CURSORS_MAX: usize = 8;

/// What a shard reads of its log.
#[derive(Default)]
pub(super) struct LogReads {
    /// Counts what was asked for.
    number: u64,
    under_way: Option<Search>,
    /// Where entries behind those that were found last may be, for each replica that is behind.
    cursors: VecDeque<(LogIndex, LogPlace)>,
    /// The first entry that a catch-up under way or a live follower needs.
    needed: Option<LogIndex>,
}

/// An entry that is looked for.
#[derive(Clone, Copy)]
struct Search {
    index: LogIndex,
    place: LogPlace,
    /// Whether it began where the entry can be at the earliest.
    from_start: bool,
}

impl Shard {
    /// Forgets entries that nobody needs, and keeps on disk only what is needed and long.
    pub(super) fn trim_log(&mut self, env: &mut Env<'_>) {
        self.compact(env);
        if !self.planted.contains(Planting::KeepLogInMemory) {
            self.shed(env.settings.log_window);
        }
        self.read_log(env);
    }

    /// Forgets entries that nobody needs.
    fn compact(&mut self, env: &Env<'_>) {
        let leads = self.group.is_leader();
        let catch_ups = self.catch_ups_need().filter(|_| leads);
        self.log_reads.needed = catch_ups.map(LogIndex::next);
        let (first, bytes) = (self.group.first_index(), self.group.log_bytes());
        let keep = LOG_KEPT / usize::from(env.settings.shards.max(1));
        let is_short = bytes <= keep.clamp(LOG_KEPT_MIN, LOG_KEPT_MAX);
        let all_in_memory = self.group.first_in_memory() == first;
        if is_short && all_in_memory {
            return;
        }
        let mut upto = self.group.applied_index();
        if leads {
            // To begin anew costs as much as the shard is large: one that is on its way to catching
            // up is waited for until the log costs more.
            let most = self.data.payload_bytes().max(LOG_KEPT_FOR_LAGGARDS as u64);
            let (few, many) = (bytes <= LOG_KEPT_FOR_LAGGARDS, bytes as u64 <= most);
            let forgets = self.planted.contains(Planting::CompactOverCatchUps);
            let many = many && !forgets;
            let mut needed = catch_ups.filter(|_| many);
            upto = upto.min(needed.unwrap_or(upto));
            let replicas = self.group.replicas();
            let others = replicas.voters().into_iter().chain(replicas.learners());
            for node in others.filter(|node| *node != self.me) {
                let alive = self.group.is_fed_from_log(node)
                    && env.support.is_alive(env.now.monotonic, node);
                let matched = self.group.progress(node).map_or(upto, |(matched, _)| matched);
                if few || many && alive {
                    upto = upto.min(matched);
                }
                if many && alive {
                    needed = Some(needed.map_or(matched, |needed| needed.min(matched)));
                }
            }
            self.log_reads.needed = needed.map(LogIndex::next);
        }
        if upto >= first && !is_short {
            self.group.compact(upto);
        }
    }

    /// Keeps no more than a window of applied entries in memory.
    fn shed(&mut self, window: usize) {
        if self.group.memory() - self.group.read_bytes() <= window {
            return;
        }
        // What stands in no segment any more can't be read again.
        let freed = self.places.freed().min(self.group.applied_index());
        if self.group.first_in_memory() <= freed {
            self.group.compact(freed);
        }
        self.group.shed(window);
    }

    /// Whether something in segments up to `target` is needed by a catch-up under way or a live
    /// follower.
    pub(crate) fn needs_log_of(&self, target: SegmentId) -> bool {
        let needed = self.log_reads.needed.filter(|_| self.group.is_leader());
        needed.and_then(|index| self.places.segment_of(index)).is_some_and(|it| it <= target)
    }

    /// Bytes of entries in memory, of those among them that can't be shed, and of those that were
    /// read again.
    pub(crate) fn log_in_memory(&self) -> (usize, usize, usize) {
        let read = self.group.read_bytes();
        (self.group.memory() - read, self.group.unsheddable_bytes(), read)
    }

    /// Asks for the first entry that a follower needs and that is not in memory.
    fn read_log(&mut self, env: &mut Env<'_>) {
        let wanted = self.group.take_wanted();
        if self.group.first_in_memory() == self.group.first_index() {
            self.log_reads.cursors.clear();
        }
        if self.log_reads.under_way.is_some() {
            return;
        }
        let Some(index) = wanted else { return };
        let search = self.search_anew(index).map(|anew| self.search_on(anew));
        match search {
            Some(search) => self.search(env, search),
            None => self.give_log_up(env, index, String::from("it is in no segment")),
        }
    }

    /// The search goes on behind what was found last, if that is near.
    fn search_on(&self, anew: Search) -> Search {
        let first = anew.place.segment;
        let near = |(next, place): &&(LogIndex, LogPlace)| {
            // A notice of durability may count entries for the segment before theirs.
            *next <= anew.index && (place.segment == first || place.segment == first.next())
        };
        let nearest = self.log_reads.cursors.iter().filter(near).max_by_key(|(next, _)| *next);
        nearest.map_or(anew, |(_, place)| Search { place: *place, from_start: false, ..anew })
    }

    fn search_anew(&self, index: LogIndex) -> Option<Search> {
        let place = LogPlace { segment: self.places.segment_of(index)?, offset: 0 };
        Some(Search { index, place, from_start: true })
    }

    fn search(&mut self, env: &mut Env<'_>, search: Search) {
        let reads = &mut self.log_reads;
        reads.number += 1;
        reads.under_way = Some(search);
        let id = LogReadId { shard: self.id, number: reads.number };
        env.effects.log_reads.push((id, search.place));
    }

    /// What was asked for has been read.
    pub(crate) fn on_log_read(
        &mut self,
        env: &mut Env<'_>,
        number: u64,
        part: Result<LogPart, String>,
    ) {
        if number != self.log_reads.number {
            return;
        }
        let Some(search) = self.log_reads.under_way.take() else { return };
        let Search { index, place, from_start } = search;
        if self.group.shed_term(index).is_none() {
            // Nobody needs it any more; others may have wanted something meanwhile.
            return self.group.send_again();
        }
        let part = match part {
            Ok(part) => part,
            Err(reason) => return self.give_log_up(env, index, reason),
        };
        let found = self.entries_in(&part, index);
        let next = if part.ends {
            LogPlace { segment: place.segment.next(), offset: 0 }
        } else {
            LogPlace { offset: part.next, ..place }
        };
        if let Some(last) = found.back() {
            let cursors = &mut self.log_reads.cursors;
            cursors.retain(|(next, _)| *next != index);
            cursors.push_back((last.index().next(), next));
            if cursors.len() > CURSORS_MAX {
                cursors.pop_front();
            }
            return self.group.entries_read(found);
        }
        if next.segment <= self.places.newest() {
            return self.search(env, Search { place: next, ..search });
        }
        // It may have been written again before where this search began.
        match self.search_anew(index).filter(|_| !from_start) {
            Some(search) => self.search(env, search),
            None => self.give_log_up(env, index, String::from("it was not found")),
        }
    }

    /// The entries from `index` on, as far as they are there one behind the other.
    fn entries_in(&self, part: &LogPart, index: LogIndex) -> VecDeque<LogEntry> {
        let mut found = VecDeque::new();
        let mut next = index;
        for payload in &part.payloads {
            let mut records = Records::of(payload);
            while let Ok(Some(record)) = records.next() {
                let (Record::Entry { shard, entry } | Record::KeptEntry { shard, entry }) = record
                else {
                    continue;
                };
                let any = self.planted.contains(Planting::SendAnyTerm);
                let term = self.group.shed_term(next).filter(|term| any || *term == entry.term());
                if shard == self.id && entry.index() == next && term.is_some() {
                    next = next.next();
                    found.push_back(entry);
                }
            }
        }
        found
    }

    /// An entry can't be had: whoever needs it, or one before it, gets slot images.
    fn give_log_up(&mut self, env: &mut Env<'_>, index: LogIndex, reason: String) {
        self.group.forget_shed(index);
        self.group.send_again();
        self.log_reads.cursors.clear();
        // The engine's next message tells the follower so.
        self.settle_at = env.now.monotonic;
        env.effects.events.push(Event::LogUnreadable { shard: self.id, index, reason });
    }
}

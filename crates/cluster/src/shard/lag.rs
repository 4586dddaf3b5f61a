//! What a replica lacks beyond what is on its way to it.
//!
//! How many entries a replica has not acknowledged says little: on a line of 100 ms and at 5,000
//! entries a second 500 are always on their way. So the leader remembers where its log ended at a
//! few moments, and asks what of the log of a while ago is missing there. The while is what data
//! and their answers take: twice the longer of the round trip with the replica's sync, and what
//! entries take to be committed here at the moment.

use alloc::collections::VecDeque;
use core::time::Duration;

use types::{LogIndex, Monotonic, NodeId};

use super::Shard;
use super::stand_down::Pace;
use crate::planted::Planting;
use crate::support::Support;

/// Moments that are remembered, and the time between two of them at least.
const MARKS: usize = 128;
const MARK_GAP: Duration = Duration::from_millis(25);
/// What is on its way in any case: gathering, and turns that take their time.
const ON_THE_WAY: Duration = Duration::from_millis(100);
/// What takes longer than this is not on its way but behind.
const ON_THE_WAY_MAX: Duration = Duration::from_secs(3);
/// The rule as it was: so many entries, whatever the rate.
const ENTRIES_MAX: u64 = 256;

/// What a leader knows of the way to its followers.
#[derive(Debug, Default)]
pub(super) struct Line {
    marks: Marks,
    pub(super) pace: Pace,
}

impl Line {
    /// A leader begins with this log.
    pub(super) fn begin(&mut self, last: LogIndex, now: Monotonic) {
        self.marks.begin(last, now);
        self.pace.begin();
    }

    /// The log ends here now, before anything else is done in this turn.
    pub(super) fn note_end(&mut self, last: LogIndex, now: Monotonic) {
        self.marks.note(last, now);
    }
}

/// Where a leader's log ended, and when that was so last.
#[derive(Debug, Default)]
struct Marks(VecDeque<(LogIndex, Monotonic)>);

impl Marks {
    /// A leader begins with this log.
    fn begin(&mut self, last: LogIndex, now: Monotonic) {
        self.0.clear();
        self.0.push_back((last, now));
    }

    /// The log ends here now, before anything else is done in this turn.
    fn note(&mut self, last: LogIndex, now: Monotonic) {
        match self.0.back_mut() {
            Some((index, at)) if *index == last => *at = now,
            Some((_, at)) if now.since(*at) < MARK_GAP => {}
            Some(_) | None => {
                if self.0.len() == MARKS {
                    self.0.pop_front();
                }
                self.0.push_back((last, now));
            }
        }
    }

    /// Where the log ended at some moment, or where it did at the first that is known.
    fn end_at(&self, moment: Monotonic) -> LogIndex {
        let newest = self.0.iter().rev().find(|(_, at)| *at <= moment);
        newest.or(self.0.front()).map_or(LogIndex(0), |(last, _)| *last)
    }

    /// For how long the log has gone beyond `index` at least, as far as that is known.
    fn age_behind(&self, index: LogIndex, now: Monotonic) -> Duration {
        let first = self.0.iter().find(|(last, _)| *last > index);
        first.map_or(Duration::ZERO, |(_, at)| now.since(*at))
    }
}

/// What a replica lacks beyond what is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Lag {
    pub(super) entries: u64,
    /// By how much the oldest of them is late.
    pub(super) time: Duration,
}

impl Shard {
    /// Whether a replica has the log up to its end, but for what is on its way.
    pub(super) fn is_caught_up(&self, node: NodeId, now: Monotonic, support: &Support) -> bool {
        // One that has never answered has nothing, however short the log is.
        let matched = self.matched(node);
        let is_near = if self.planted.contains(Planting::LagByEntries) {
            self.group.last_index().0.saturating_sub(matched.0) <= ENTRIES_MAX
        } else {
            self.lag(node, now, support) == Lag::default()
        };
        matched > LogIndex(0) && self.group.is_fed_from_log(node) && is_near
    }

    /// By how much a replica is behind.
    pub(super) fn lag(&self, node: NodeId, now: Monotonic, support: &Support) -> Lag {
        let matched = self.matched(node);
        let on_the_way = self.on_the_way(node, support);
        let due = self.line.marks.end_at(now - on_the_way);
        let entries = due.0.saturating_sub(matched.0);
        if entries == 0 {
            return Lag::default();
        }
        let time = self.line.marks.age_behind(matched, now).saturating_sub(on_the_way);
        Lag { entries, time }
    }

    /// Whether a replica has acknowledged all that this one has.
    pub(super) fn has_everything(&self, node: NodeId) -> bool {
        self.matched(node) >= self.group.last_index()
    }

    /// How far a replica has acknowledged the log, as far as this leader knows.
    pub(super) fn matched(&self, node: NodeId) -> LogIndex {
        self.group.progress(node).map_or(LogIndex(0), |(matched, _)| matched)
    }

    /// For how long an entry may be on its way to a replica, and the answer back.
    fn on_the_way(&self, node: NodeId, support: &Support) -> Duration {
        let line = support.round_trip(node).unwrap_or_default() + support.sync_at(node);
        (ON_THE_WAY + line.max(self.line.pace.newest()) * 2).min(ON_THE_WAY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Monotonic {
        Monotonic(1_000_000_000 + millis * 1_000_000)
    }

    #[test]
    fn where_the_log_ended_is_known_to_a_mark() {
        let mut marks = Marks::default();
        assert_eq!(marks.end_at(at(0)), LogIndex(0));
        marks.begin(LogIndex(7), at(0));
        assert_eq!(marks.end_at(at(0)), LogIndex(7));
        for turn in 1..=1000 {
            marks.note(LogIndex(7 + turn * 5), at(turn));
        }
        let end = marks.end_at(at(900)).0;
        assert!((4300..=4507).contains(&end), "{end}");
        assert_eq!(marks.end_at(Monotonic(0)), LogIndex(7), "nothing is known of before");
    }

    #[test]
    fn an_idle_time_makes_nothing_old() {
        let mut marks = Marks::default();
        marks.begin(LogIndex(7), at(0));
        marks.note(LogIndex(7), at(60_000));
        marks.note(LogIndex(20), at(60_100));
        assert_eq!(marks.end_at(at(60_050)), LogIndex(7));
        assert_eq!(marks.age_behind(LogIndex(7), at(60_150)), Duration::from_millis(50));
    }

    #[test]
    fn the_oldest_marks_give_way() {
        let mut marks = Marks::default();
        marks.begin(LogIndex(0), at(0));
        for second in 1..=1000 {
            marks.note(LogIndex(second), at(second * 1000));
        }
        assert_eq!(marks.0.len(), MARKS);
        let age = marks.age_behind(LogIndex(0), at(1_000_000));
        assert_eq!(age, Duration::from_secs(MARKS as u64 - 1), "at least");
    }
}

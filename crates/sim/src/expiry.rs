//! Whether keys live as long as they should, and stay away when they have expired.
//!
//! A lifetime is measured by the cluster clock, which no client sees. So the bounds are wide, and
//! where wall clocks jump or stand still only the order counts: a value that was seen to be gone
//! does not come back.

use std::collections::BTreeMap;

use history::Key;
use resp::Value;

use crate::world::{MILLISECOND, SECOND};

/// A value that was set with a lifetime.
struct Write {
    value: Vec<u8>,
    life: u64,
    start: u64,
    /// When it was acknowledged, if it was.
    end: Option<u64>,
}

/// A value that was seen, or that there was none.
struct Read {
    value: Option<Vec<u8>>,
    start: u64,
    end: u64,
}

#[derive(Default)]
struct Timeline {
    writes: Vec<Write>,
    reads: Vec<Read>,
}

/// A request under way.
#[derive(Clone, Debug)]
pub(crate) enum Timed {
    Read { key: Key, start: u64 },
    Write { key: Key, number: usize },
}

/// What was set with a lifetime, and what was seen of it.
#[derive(Default)]
pub(crate) struct Lifetimes {
    keys: BTreeMap<Key, Timeline>,
}

impl Lifetimes {
    /// A value is about to be set; `life` in nanoseconds.
    pub(crate) fn write(&mut self, key: &Key, value: Vec<u8>, life: u64, start: u64) -> Timed {
        let writes = &mut self.keys.entry(key.clone()).or_default().writes;
        writes.push(Write { value, life, start, end: None });
        Timed::Write { key: key.clone(), number: writes.len() - 1 }
    }

    /// The reply to one of the requests.
    pub(crate) fn answered(&mut self, request: Timed, reply: Value, now: u64) {
        match (request, reply) {
            (_, Value::Error(_)) => {}
            (Timed::Write { key, number }, _) => {
                if let Some(timeline) = self.keys.get_mut(&key) {
                    timeline.writes[number].end = Some(now);
                }
            }
            (Timed::Read { key, start }, reply) => {
                let value = if let Value::Bulk(value) = reply { Some(value) } else { None };
                let reads = &mut self.keys.entry(key).or_default().reads;
                reads.push(Read { value, start, end: now });
            }
        }
    }

    /// What is wrong, in words. `clocks_are_right`: lifetimes can be measured.
    pub(crate) fn find_wrong(&self, clocks_are_right: bool) -> Option<String> {
        self.keys.iter().find_map(|(key, timeline)| {
            let wrong = timeline.reads.iter().find_map(|read| {
                timeline.came_back(read).or_else(|| {
                    clocks_are_right
                        .then(|| timeline.late(read).or_else(|| timeline.early(read)))?
                })
            });
            wrong.map(|what| format!("key {}: {what}", key.escape_ascii()))
        })
    }
}

impl Timeline {
    fn write_of(&self, read: &Read) -> Option<(&Write, u64)> {
        let value = read.value.as_ref()?;
        let write = self.writes.iter().find(|write| write.value == *value)?;
        Some((write, write.end?))
    }

    /// It was seen that there is nothing, after the value had been acknowledged.
    fn came_back(&self, read: &Read) -> Option<String> {
        let (write, end) = self.write_of(read)?;
        let gone =
            |other: &&Read| other.value.is_none() && other.start >= end && other.end < read.start;
        let gone = self.reads.iter().find(gone)?;
        Some(format!(
            "{} was gone at {} and is back at {}",
            write.value.escape_ascii(),
            gone.end,
            read.start
        ))
    }

    fn late(&self, read: &Read) -> Option<String> {
        let (write, end) = self.write_of(read)?;
        let lived = read.start.saturating_sub(end);
        (lived > 2 * write.life + SECOND).then(|| {
            let (value, life) = (write.value.escape_ascii(), write.life / MILLISECOND);
            format!("{value} is there {} ms after it was set to live {life}", lived / MILLISECOND)
        })
    }

    /// There is nothing, though the newest value can't have expired.
    fn early(&self, read: &Read) -> Option<String> {
        if read.value.is_some() {
            return None;
        }
        let newest = self.writes.iter().find(|write| {
            let settled = |other: &Write| {
                core::ptr::eq(other, *write)
                    || other.start > read.end
                    || other.end.is_some_and(|end| end < write.start)
            };
            write.end.is_some_and(|end| end <= read.start) && self.writes.iter().all(settled)
        })?;
        let lived = read.end - newest.start;
        (lived + 50 * MILLISECOND < newest.life / 2).then(|| {
            let (value, life) = (newest.value.escape_ascii(), newest.life / MILLISECOND);
            format!("{value} is gone {} ms after it was set to live {life}", lived / MILLISECOND)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        b"e".to_vec().into()
    }

    /// Sets `v`, from 0 to 1 ms, to live for 400 ms, and reads at the times in milliseconds.
    fn lifetimes(reads: &[(u64, bool)]) -> Lifetimes {
        let mut lifetimes = Lifetimes::default();
        let set = lifetimes.write(&key(), b"v".to_vec(), 400 * MILLISECOND, 0);
        lifetimes.answered(set, Value::Simple(String::from("OK")), MILLISECOND);
        for &(at, seen) in reads {
            let reply = if seen { Value::Bulk(b"v".to_vec()) } else { Value::Null };
            let start = at * MILLISECOND;
            lifetimes.answered(Timed::Read { key: key(), start }, reply, start + 1);
        }
        lifetimes
    }

    #[test]
    fn a_life_of_the_right_length_is_fine() {
        assert_eq!(lifetimes(&[(10, true), (399, true), (420, false)]).find_wrong(true), None);
    }

    #[test]
    fn what_came_back_shows() {
        assert!(lifetimes(&[(420, false), (500, true)]).find_wrong(false).is_some());
    }

    #[test]
    fn lives_too_long_or_too_short_show() {
        assert!(lifetimes(&[(2_000, true)]).find_wrong(true).is_some());
        assert!(lifetimes(&[(100, false)]).find_wrong(true).is_some());
        assert!(lifetimes(&[(100, false)]).find_wrong(false).is_none(), "clocks may be wrong");
    }

    #[test]
    fn a_write_without_an_answer_may_be_the_newest() {
        let mut lifetimes = lifetimes(&[(100, false)]);
        lifetimes.write(&key(), b"w".to_vec(), MILLISECOND, 50 * MILLISECOND);
        assert_eq!(lifetimes.find_wrong(true), None);
    }
}

//! Linearizability of a register in O(n log n): zones, after Gibbons and Korach, "Testing shared
//! memories" (1997), section 4.
//!
//! Every written value is unique, so a read names the write that it saw. A write and its reads
//! are a *cluster*: in any valid order they stand together. For each cluster let f be the
//! earliest end and s the latest start in it. If f < s the value must have been there during all
//! of [f, s], a *forward* zone; otherwise [s, f] is a *backward* zone, and one moment in it is
//! enough. The key is linearizable exactly if
//!
//! 1. every value that was read was written (and not by a write that failed),
//! 2. no read ends before its write starts,
//! 3. no two forward zones overlap, and
//! 4. no backward zone lies inside a forward zone.
//!
//! Two operations that touch in one point of time count as concurrent.
//!
//! The absent value is the value of a write before all time, so it may be read until the first
//! write. A write of unknown outcome ends never: if nobody read it, its backward zone reaches
//! into eternity and contradicts nothing; if somebody did, that read's end is the cluster's f.
//! A deletion would bring the absent value back, which is then no longer unique; keys with
//! deletions (or any function but `get` and `set`) are not judged here. A load that wants to
//! delete under this checker sets unique tombstones.

use crate::operation::{Call, Operation, Readable, Reply, Status};
use crate::verdict::{Verdict, Violation};
use std::collections::HashMap;

/// A cluster and its zone. Times are shifted by one, so that the absent value was written at 0.
struct Zone<'a> {
    value: Option<&'a [u8]>,
    write: Option<&'a Operation>,
    write_start: u64,
    /// The earliest end (f), and whose it is if not the write's before all time.
    first_end: u64,
    first: Option<&'a Operation>,
    /// The latest start (s), and whose it is.
    last_start: u64,
    last: Option<&'a Operation>,
}

impl<'a> Zone<'a> {
    fn of_absent() -> Self {
        let (value, write, first, last) = (None, None, None, None);
        Self { value, write, write_start: 0, first_end: 0, first, last_start: 0, last }
    }

    fn of_write(value: &'a [u8], write: &'a Operation) -> Self {
        Self {
            value: Some(value),
            write: Some(write),
            write_start: shifted(write.start),
            first_end: shifted(write.effect_end()),
            first: Some(write),
            last_start: shifted(write.start),
            last: Some(write),
        }
    }

    fn add_read(&mut self, read: &'a Operation) {
        if shifted(read.effect_end()) < self.first_end {
            self.first_end = shifted(read.effect_end());
            self.first = Some(read);
        }
        if shifted(read.start) > self.last_start {
            self.last_start = shifted(read.start);
            self.last = Some(read);
        }
    }

    fn is_forward(&self) -> bool {
        self.first_end < self.last_start
    }

    fn describe(&self) -> String {
        let time = |shifted: u64| match shifted {
            0 => "the beginning".to_owned(),
            u64::MAX => "never".to_owned(),
            time => (time - 1).to_string(),
        };
        let (first_end, last_start) = (time(self.first_end), time(self.last_start));
        let value = match self.value {
            Some(value) => Readable(value).to_string(),
            None => "absent".to_owned(),
        };
        if self.is_forward() {
            format!("{value} was there from {first_end} to {last_start}")
        } else {
            format!("{value} was there at some time from {last_start} to {first_end}")
        }
    }
}

fn shifted(time: u64) -> u64 {
    time.saturating_add(1)
}

/// Judges the operations of one key, in any order. `Unknown` means that zones do not apply:
/// another function than `get` and `set`, or a value written twice.
#[must_use]
pub fn check_key(operations: &[&Operation]) -> Verdict {
    let mut zones = vec![Zone::of_absent()];
    let mut zone_of = HashMap::new();
    for operation in operations.iter().filter(|operation| operation.status != Status::Fail) {
        match &operation.call {
            Call::Get => {}
            Call::Set(value) => {
                if zone_of.insert(value.as_slice(), zones.len()).is_some() {
                    return Verdict::Unknown(format!("{} is written twice", Readable(value)));
                }
                zones.push(Zone::of_write(value, operation));
            }
            Call::Cas { .. }
            | Call::Increment(_)
            | Call::Append(_)
            | Call::Delete
            | Call::Transaction(_) => {
                return Verdict::Unknown(format!("zones do not judge {}", operation.call.name()));
            }
        }
    }
    for read in operations.iter().filter(|operation| operation.status == Status::Ok) {
        let zone = match &read.reply {
            Some(Reply::Absent) => Some(0),
            Some(Reply::Bytes(value)) => zone_of.get(value.as_slice()).copied(),
            Some(Reply::Integer(_) | Reply::Flag(_) | Reply::List(_) | Reply::Error(_)) | None => {
                continue;
            }
        };
        let Some(zone) = zone else { return never_written(read, operations) };
        let zone = &mut zones[zone];
        if shifted(read.effect_end()) < zone.write_start {
            let reason = "a read ended before the write of its value started";
            return violation(reason.to_owned(), &[zone.write, Some(read)]);
        }
        zone.add_read(read);
    }
    match contradiction(&zones) {
        None => Verdict::Linearizable,
        Some((one, other)) => {
            let reason = format!("{}, yet {}", one.describe(), other.describe());
            let involved = [one.write, one.first, one.last, other.write, other.first, other.last];
            violation(reason, &involved)
        }
    }
}

/// The first pair of zones of which each would have to come before the other.
fn contradiction<'z, 'a>(zones: &'z [Zone<'a>]) -> Option<(&'z Zone<'a>, &'z Zone<'a>)> {
    let mut forward: Vec<&Zone<'_>> = zones.iter().filter(|zone| zone.is_forward()).collect();
    forward.sort_by_key(|zone| zone.first_end);
    for pair in forward.windows(2) {
        // While all pairs before were disjoint, only neighbours can overlap.
        if pair[1].first_end < pair[0].last_start {
            return Some((pair[0], pair[1]));
        }
    }
    for backward in zones.iter().filter(|zone| !zone.is_forward()) {
        // Forward zones are disjoint, so only the last that begins before it can contain it.
        let after = forward.partition_point(|zone| zone.first_end < backward.last_start);
        if let Some(container) = after.checked_sub(1).map(|at| forward[at])
            && backward.first_end < container.last_start
        {
            return Some((container, backward));
        }
    }
    None
}

fn never_written(read: &Operation, operations: &[&Operation]) -> Verdict {
    let failed = operations.iter().find(|operation| match (&operation.call, &read.reply) {
        (Call::Set(value), Some(Reply::Bytes(seen))) => value == seen,
        _ => false,
    });
    let reason = match failed {
        Some(_) => "a read saw the value of a write that failed",
        None => "a read saw a value that nobody wrote",
    };
    violation(reason.to_owned(), &[failed.copied(), Some(read)])
}

fn violation(reason: String, involved: &[Option<&Operation>]) -> Verdict {
    let mut operations: Vec<Operation> = Vec::new();
    for operation in involved.iter().flatten() {
        if !operations.contains(operation) {
            operations.push((*operation).clone());
        }
    }
    operations.sort_by_key(|operation| operation.start);
    let key = operations[0].key.clone();
    Verdict::Violation(Box::new(Violation { key, reason, operations }))
}

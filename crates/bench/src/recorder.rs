//! What is noted of a run: latencies, errors, stalls, and the history.
//!
//! Each thread has a recorder. Latencies go into the histogram of the present interval, which is
//! given to the line of progress and added to the total a few times a second, so that noting one
//! costs one increment.

use crate::cpu;
use crate::encode::Encoder;
use crate::reply::Reply as Received;
use crate::workload::{Function, Request};
use hdrhistogram::Histogram;
use history::{Call, Key, Operation, Reply, Status, jsonl};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest latency that is told apart, in nanoseconds.
const LATENCY_NANOS_MAX: u64 = 600_000_000_000;
/// Most kinds of errors that are told apart.
const ERROR_KINDS_MAX: usize = 64;
/// The history is written in pieces of this size, in bytes.
const HISTORY_PIECE_BYTES: usize = 256 << 10;

/// A histogram of latencies in nanoseconds, with three digits.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NANOS_MAX, 3).expect("the bounds are valid")
}

/// When each slot range, and any at all, last had a success; shared by all threads.
#[derive(Debug)]
pub(crate) struct Stalls {
    /// In nanoseconds of the run. The last is that of all ranges together.
    last: Vec<AtomicU64>,
}

impl Stalls {
    pub(crate) fn new(ranges: usize, measure_from: u64) -> Self {
        Self { last: (0..=ranges).map(|_| AtomicU64::new(measure_from)).collect() }
    }

    /// Places of gaps: one for each range, and one for all together.
    pub(crate) fn places(&self) -> usize {
        self.last.len()
    }

    /// The last success at a place, in nanoseconds.
    pub(crate) fn last(&self, place: usize) -> u64 {
        self.last[place].load(Ordering::Relaxed)
    }
}

/// The longest time without a success, in nanoseconds.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct LongestGap {
    pub(crate) nanos: u64,
    pub(crate) from: u64,
    /// Whether anything was asked there at all.
    pub(crate) attempted: bool,
}

impl LongestGap {
    pub(crate) fn extend(&mut self, from: u64, to: u64) {
        let nanos = to.saturating_sub(from);
        if nanos > self.nanos {
            (self.nanos, self.from) = (nanos, from);
        }
    }
}

/// What the line of progress shows, since it was last shown.
#[derive(Debug)]
pub(crate) struct Interval {
    pub(crate) latencies: Histogram<u64>,
    pub(crate) errors: u64,
}

impl Interval {
    pub(crate) fn new() -> Self {
        Self { latencies: latencies(), errors: 0 }
    }
}

/// What one thread measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) latencies: Histogram<u64>,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) moved: u64,
    pub(crate) asked: u64,
    pub(crate) reconnects: u64,
    pub(crate) unsent: u64,
    pub(crate) gaps: Vec<LongestGap>,
    /// When measuring began and ended, in nanoseconds of the run.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// CPU time of the thread while measuring, in nanoseconds.
    pub(crate) cpu: Option<u64>,
}

/// One thread's notes.
#[derive(Debug)]
pub(crate) struct Recorder {
    interval: Interval,
    pub(crate) measured: Measured,
    measuring: bool,
    cpu_before: Option<u64>,
    /// Successes seen by this thread, so that many at one moment are noted once.
    noted: Vec<u64>,
    history: Option<HistoryLog>,
}

impl Recorder {
    pub(crate) fn new(places: usize, history: Option<HistoryLog>) -> Self {
        let measured = Measured {
            latencies: latencies(),
            errors: BTreeMap::new(),
            moved: 0,
            asked: 0,
            reconnects: 0,
            unsent: 0,
            gaps: vec![LongestGap::default(); places],
            from: 0,
            to: 0,
            cpu: None,
        };
        let (measuring, cpu_before, noted) = (false, None, vec![0; places]);
        Self { interval: Interval::new(), measured, measuring, cpu_before, noted, history }
    }

    /// Whether what happens now counts.
    pub(crate) fn is_measuring(&self) -> bool {
        self.measuring
    }

    /// Begins measuring; what was noted so far is forgotten.
    pub(crate) fn begin(&mut self, progress: &Mutex<Interval>, now: u64) {
        self.publish(progress);
        self.measuring = true;
        self.measured.from = now;
        self.cpu_before = cpu::this_thread();
    }

    /// Ends measuring.
    pub(crate) fn end(&mut self, progress: &Mutex<Interval>, now: u64) {
        if self.measuring {
            self.publish(progress);
            self.measuring = false;
            self.measured.to = now;
            self.measured.cpu =
                cpu::this_thread().zip(self.cpu_before).map(|(after, before)| after - before);
        }
    }

    /// Hands the present interval on.
    pub(crate) fn publish(&mut self, progress: &Mutex<Interval>) {
        let add = |sum: &mut Histogram<u64>, part| {
            sum.add(part).expect("all histograms have the same bounds");
        };
        if self.measuring {
            add(&mut self.measured.latencies, &self.interval.latencies);
        }
        let mut shown = progress.lock().expect("no thread panics with the lock");
        add(&mut shown.latencies, &self.interval.latencies);
        shown.errors += self.interval.errors;
        drop(shown);
        self.interval.latencies.reset();
        self.interval.errors = 0;
    }

    pub(crate) fn attempt(&mut self, range: usize) {
        if self.measuring {
            self.measured.gaps[range].attempted = true;
        }
    }

    pub(crate) fn success(&mut self, stalls: &Stalls, range: usize, due: u64, now: u64) {
        self.interval.latencies.saturating_record(now.saturating_sub(due).max(1));
        if !self.measuring {
            return;
        }
        for place in [range, self.noted.len() - 1] {
            if self.noted[place] != now {
                self.noted[place] = now;
                let before = stalls.last[place].fetch_max(now, Ordering::Relaxed);
                self.measured.gaps[place].extend(before, now);
            }
        }
    }

    /// Counts an error by its first word.
    pub(crate) fn error(&mut self, error: &[u8]) {
        self.interval.errors += 1;
        if !self.measuring {
            return;
        }
        let word = error.split(|&byte| byte == b' ').next().unwrap_or_default();
        let kind = if word.len() <= 32 && word.is_ascii() { word } else { b"(other)" };
        let kind = String::from_utf8_lossy(kind).into_owned();
        let errors = &mut self.measured.errors;
        let is_new = !errors.contains_key(&kind);
        let kind = if is_new && errors.len() >= ERROR_KINDS_MAX { "(other)".into() } else { kind };
        *errors.entry(kind).or_insert(0) += 1;
    }

    /// Notes an operation in the history, if there is one.
    pub(crate) fn operation(
        &mut self,
        encoder: &Encoder,
        request: &Request,
        outcome: Outcome<'_>,
        now: u64,
        node: u32,
    ) {
        if let Some(history) = &mut self.history {
            history.note(encoder, request, outcome, now, node);
        }
    }

    /// Writes what is left of the history.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.history.as_mut().map_or(Ok(()), HistoryLog::finish)
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    /// With this answer.
    Answered(&'a Received<'a>),
    /// Without effect, for this reason.
    Refused(&'a [u8]),
    /// Nobody knows, for this reason.
    Unknown(&'a [u8]),
}

/// One thread's end of the history file.
#[derive(Debug)]
pub(crate) struct HistoryLog {
    file: std::sync::Arc<Mutex<File>>,
    buffer: Vec<u8>,
    key: Vec<u8>,
    failed: Option<io::Error>,
}

impl HistoryLog {
    pub(crate) fn new(file: std::sync::Arc<Mutex<File>>) -> Self {
        Self { file, buffer: Vec::new(), key: Vec::new(), failed: None }
    }

    fn note(
        &mut self,
        encoder: &Encoder,
        request: &Request,
        outcome: Outcome<'_>,
        now: u64,
        node: u32,
    ) {
        self.key.clear();
        encoder.write_key(request, &mut self.key);
        let (status, reply) = match outcome {
            Outcome::Answered(reply) => (Status::Ok, Some(reply_of(reply))),
            Outcome::Refused(error) => (Status::Fail, Some(error_of(error))),
            Outcome::Unknown(error) => (Status::Info, Some(error_of(error))),
        };
        let operation = Operation {
            process: request.process,
            key: Key::from(self.key.as_slice()),
            call: match request.function {
                Function::Get | Function::GetCounter => Call::Get,
                Function::Set => Call::Set(encoder.unique_value(request)),
                Function::Increment => Call::Increment(1),
            },
            start: request.start,
            end: Some(now),
            reply,
            status,
            node: Some(node),
            epoch: None,
        };
        jsonl::write(&operation, &mut self.buffer);
        if self.buffer.len() >= HISTORY_PIECE_BYTES {
            self.write();
        }
    }

    fn write(&mut self) {
        let mut file = self.file.lock().expect("no thread panics with the lock");
        if let Err(error) = file.write_all(&self.buffer) {
            self.failed.get_or_insert(error);
        }
        self.buffer.clear();
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write();
        self.failed.take().map_or(Ok(()), Err)
    }
}

fn error_of(error: &[u8]) -> Reply {
    Reply::Error(String::from_utf8_lossy(error).into_owned())
}

fn reply_of(received: &Received<'_>) -> Reply {
    match received {
        Received::Simple(_) => Reply::Flag(true),
        Received::Error(text) => error_of(text),
        Received::Integer(value) => Reply::Integer(*value),
        Received::Bulk(Some(value)) => Reply::Bytes(value.to_vec()),
        Received::Bulk(None) => Reply::Absent,
        Received::Array(elements) => Reply::List(elements.iter().map(reply_of).collect()),
    }
}

//! Recorded loads: one JSON object a line.
//!
//! ```text
//! {"second": 12, "shard": 7, "reads": 1200.5, "writes": 30}
//! ```
//!
//! A row stands for its shard from its second on, until the shard's next row. Shards are counted
//! from 0. Lines must be in the order of their seconds. Empty lines are skipped.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::time::Duration;

use serde_json::Value;
use types::limits::SHARDS_MAX;

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// More requests per second than this are nonsense.
const RATE_MAX: f64 = 1e9;

/// What one shard was asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Row {
    second: f64,
    pub(crate) shard: usize,
    pub(crate) reads: f64,
    pub(crate) writes: f64,
}

/// A recorded load.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Trace {
    rows: Vec<Row>,
}

/// Why a trace can't be read.
#[derive(Debug)]
pub enum TraceError {
    /// The file could not be read.
    Io(io::Error),
    /// A line is not a row.
    Malformed {
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read the trace: {error}"),
            Self::Malformed { line, reason } => write!(f, "line {line} of the trace: {reason}"),
        }
    }
}

impl std::error::Error for TraceError {}

impl From<io::Error> for TraceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Trace {
    /// Most rows: a day of 1024 shards, every five seconds, takes 18 million.
    pub const ROWS_MAX: usize = 32 << 20;
    /// The latest second: a week.
    pub const SECOND_MAX: u64 = 604_800;

    /// Reads a trace.
    ///
    /// # Errors
    /// If reading fails, and for the first line that is not a valid row.
    pub fn read(mut input: impl BufRead) -> Result<Self, TraceError> {
        let mut rows: Vec<Row> = Vec::new();
        let mut text = String::new();
        for line in 1.. {
            text.clear();
            let length = input.by_ref().take(LINE_BYTES_MAX).read_line(&mut text)?;
            if length == 0 {
                break;
            }
            let malformed = |reason| TraceError::Malformed { line, reason };
            if length as u64 == LINE_BYTES_MAX {
                return Err(malformed("is too long"));
            }
            if text.trim().is_empty() {
                continue;
            }
            let row = parse(&text).map_err(malformed)?;
            if rows.last().is_some_and(|last| last.second > row.second) {
                return Err(malformed("is earlier than the line before"));
            }
            if rows.len() == Self::ROWS_MAX {
                return Err(malformed("is one too many"));
            }
            rows.push(row);
        }
        Ok(Self { rows })
    }

    /// How many shards the trace needs.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.rows.iter().map(|row| row.shard + 1).max().unwrap_or(0)
    }

    /// From the beginning to the last row.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.rows.last().map_or(Duration::ZERO, |row| Duration::from_secs_f64(row.second))
    }

    /// The rows after one second, up to and with another.
    pub(crate) fn rows_between(&self, after: f64, until: f64) -> &[Row] {
        let begin = self.rows.partition_point(|row| row.second <= after);
        let end = self.rows.partition_point(|row| row.second <= until);
        &self.rows[begin..end.max(begin)]
    }
}

fn parse(text: &str) -> Result<Row, &'static str> {
    let value: Value = serde_json::from_str(text).map_err(|_| "is not JSON")?;
    let number = |field: &str| value[field].as_f64().filter(|number| *number >= 0.0);
    let second = number("second").filter(|second| *second <= Trace::SECOND_MAX as f64);
    let second = second.ok_or("`second` must be a number: since the trace began, up to a week")?;
    let shard = value["shard"].as_u64().filter(|shard| *shard < SHARDS_MAX as u64);
    let shard = shard.ok_or("`shard` must be a whole number below 1024")? as usize;
    let rate = |field| number(field).filter(|rate| *rate <= RATE_MAX);
    let reads = rate("reads").ok_or("`reads` must be a number from 0 to 1e9")?;
    let writes = rate("writes").ok_or("`writes` must be a number from 0 to 1e9")?;
    Ok(Row { second, shard, reads, writes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_read_and_nonsense_is_refused() {
        let good = "{\"second\":0,\"shard\":1,\"reads\":5,\"writes\":0.5}\n\n\
                    {\"second\":2,\"shard\":0,\"reads\":7,\"writes\":0}\n";
        let trace = Trace::read(good.as_bytes()).expect("a trace");
        assert_eq!((trace.shards(), trace.length()), (2, Duration::from_secs(2)));
        assert_eq!(trace.rows_between(-1.0, 1.0).len(), 1);
        assert_eq!(trace.rows_between(1.0, 2.0).len(), 1);
        for bad in [
            "x",
            "{\"second\":1795000000,\"shard\":1,\"reads\":5,\"writes\":0}",
            "{\"second\":-1,\"shard\":1,\"reads\":5,\"writes\":0}",
            "{\"second\":1,\"shard\":1024,\"reads\":5,\"writes\":0}",
            "{\"second\":1,\"shard\":1,\"reads\":1e10,\"writes\":0}",
            "{\"second\":1,\"shard\":1,\"reads\":5}",
            "{\"second\":1,\"shard\":1,\"reads\":5,\"writes\":0}\n\
             {\"second\":0,\"shard\":1,\"reads\":5,\"writes\":0}",
        ] {
            assert!(Trace::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

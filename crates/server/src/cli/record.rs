//! `leasehold record`: a cluster's load as lines that `leasehold simulate --trace` plays.
//!
//! The lines of a second are written at once, so the file is a whole trace whenever it ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, value_parser};
use laboratory::Trace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use types::Monotonic;
use types::limits::SHARDS_MAX;

use super::connection::{Connection, NodeArguments};
use super::documents::{ShardStatus, Status};
use super::{CommandError, flag_of, print};
use crate::clock;

/// How soon a signal is noticed.
const STEP: Duration = Duration::from_millis(50);
/// For how many questions in a row the manager may be away.
const ATTEMPTS_MAX: u32 = 60;

/// Record the load of a running cluster, for `leasehold simulate --trace`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold record > load.jsonl                   until Ctrl-C
  leasehold record --seconds 3600 > load.jsonl
  leasehold simulate --trace load.jsonl --nodes 9

The Lease Manager is asked once a second for what each shard serves. A line says what one shard has
served since then, up to the shard's next line; the first line of an idle shard says so:
  {\"second\": 12, \"shard\": 7, \"reads\": 1200.5, \"writes\": 30}
Shards are counted from 0 in the order of their slots, so shard s1 of the cluster is 0 here. What
was asked for and could not be served is not known, so a load that was too much is recorded as less
than it was.")]
pub(super) struct RecordArguments {
    /// For how long; until Ctrl-C if it isn't given.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=Trace::SECOND_MAX))]
    seconds: Option<u64>,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn run(arguments: &RecordArguments) -> Result<(), CommandError> {
    let stop = flag_of(&[SIGINT, SIGTERM, SIGHUP])?;
    let length = arguments.seconds.unwrap_or(Trace::SECOND_MAX);
    let begin = clock::monotonic();
    let mut connection = Some(Connection::open(&arguments.node)?);
    let mut recorder = Recorder::default();
    let (mut next, mut failures) = (0, 0);
    while next < length && wait_until(begin + Duration::from_secs(next), &stop) {
        // Later than `next` if the last answer took long.
        let second = clock::monotonic().since(begin).as_secs();
        next = second + 1;
        match ask(&mut connection, &arguments.node) {
            Ok(status) => {
                failures = 0;
                print(recorder.take(second, &status.shards))?;
            }
            // A manager that moves to another node is away for a second or two. Until it is back
            // the shards' last lines stand.
            Err(error) => {
                connection = None;
                failures += 1;
                if recorder.lines == 0 || failures == ATTEMPTS_MAX {
                    return Err(error);
                }
            }
        }
        if recorder.lines + SHARDS_MAX > Trace::ROWS_MAX {
            say(&format!("a trace has no more than {} lines; it ends here", Trace::ROWS_MAX));
            break;
        }
    }
    if recorder.lines == 0 {
        return Err(CommandError::new(
            "nothing was recorded: the Lease Manager has not heard of any shard's holder yet; try \
             again in a moment",
        ));
    }
    say(&format!("recorded {next} s of {} shards", recorder.written.len()));
    Ok(())
}

/// Asks over the connection that there is, or over a new one.
fn ask(connection: &mut Option<Connection>, node: &NodeArguments) -> Result<Status, CommandError> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open(node)?),
    };
    Status::ask(connection)
}

/// Waits until then, and answers whether to go on: nobody has ended it, and somebody reads.
fn wait_until(then: Monotonic, stop: &AtomicBool) -> bool {
    let out = io::stdout();
    loop {
        let left = then.since(clock::monotonic());
        // An idle cluster has no lines, so a reader that is gone would not show by writing.
        let mut reader = [PollFd::new(&out, PollFlags::empty())];
        let step = Timespec::try_from(left.min(STEP)).ok();
        let gone = poll(&mut reader, step.as_ref()) == Ok(1);
        if gone || stop.load(Ordering::Relaxed) {
            return false;
        }
        if left.is_zero() {
            return true;
        }
    }
}

/// A note beside the lines. If nobody reads it, nothing is lost.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "leasehold: {text}");
}

/// What has been written down.
#[derive(Default)]
struct Recorder {
    /// The newest reads and writes of each shard.
    written: BTreeMap<u64, (f64, f64)>,
    lines: usize,
}

impl Recorder {
    /// The lines of a second: one for each shard that is new or serves something else than before.
    fn take(&mut self, second: u64, shards: &[ShardStatus]) -> String {
        let mut out = String::new();
        // Without a holder the figures are old, or the manager is too new to know any. The system
        // shard, number 0, is no client's.
        for shard in shards.iter().filter(|shard| shard.holder.is_some() && shard.shard > 0) {
            let rates = (shard.reads, shard.writes);
            if self.written.insert(shard.shard, rates) == Some(rates) {
                continue;
            }
            let (number, (reads, writes)) = (shard.shard - 1, rates);
            // Writing into a string can't fail.
            let _ = writeln!(
                out,
                "{{\"second\":{second},\"shard\":{number},\"reads\":{reads},\"writes\":{writes}}}"
            );
            self.lines += 1;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status::parse(include_str!("../../testdata/status.json")).expect("is valid")
    }

    #[test]
    fn a_second_has_lines_for_what_has_changed() {
        let (mut status, mut recorder) = (status(), Recorder::default());
        let held = status.shards.iter().filter(|shard| shard.holder.is_some()).count();
        let first = recorder.take(0, &status.shards);
        assert_eq!(first.lines().count(), held, "{first}");
        assert_eq!(recorder.take(1, &status.shards), "");
        let shard = &mut status.shards[2];
        (shard.reads, shard.writes) = (1200.5, 30.0);
        let expected = format!(
            "{{\"second\":7,\"shard\":{},\"reads\":1200.5,\"writes\":30}}\n",
            shard.shard - 1
        );
        assert_eq!(recorder.take(7, &status.shards), expected);
        status.shards[2].holder = None;
        status.shards[2].reads = 0.0;
        assert_eq!(recorder.take(8, &status.shards), "");
        assert_eq!(recorder.lines, held + 1);
    }

    #[test]
    fn what_is_recorded_can_be_played() {
        let text = Recorder::default().take(3, &status().shards);
        let trace = Trace::read(text.as_bytes()).expect("every line is one of a trace");
        let last = status().shards.iter().filter(|it| it.holder.is_some()).map(|it| it.shard).max();
        assert_eq!(Some(trace.shards() as u64), last);
        assert_eq!(trace.length(), Duration::from_secs(3));
    }

    #[test]
    fn a_signal_ends_the_wait() {
        let later = clock::monotonic() + Duration::from_secs(3600);
        assert!(!wait_until(later, &AtomicBool::new(true)));
        assert!(wait_until(clock::monotonic(), &AtomicBool::new(false)));
    }
}

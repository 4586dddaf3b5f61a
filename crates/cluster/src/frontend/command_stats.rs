//! What INFO and SLOWLOG say about commands: how many there were, how long they took, how they
//! failed, and how many keys they found.
//!
//! **A command's time runs from its arrival to its reply**, at the node that its client is
//! connected to: from the clock reading after its bytes were read to that of the turn in which its
//! reply was written. So it holds what the client waits for (the disk, other nodes, a holder that
//! is yet to be found) and not only the execution, as in Redis. No clock is read for it. Within a
//! turn the core adds up, for each command, moments of arrival; the turn's end makes times of
//! them.
//!
//! A command that was refused before it ran (wrong number of arguments, no password, MOVED, no
//! holder, too much under way) is a rejected call and has no time. The commands of a transaction
//! are counted when EXEC is answered, each with EXEC's time. Keys are counted where the shard is
//! held, all else where the client is connected.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use keyspace::Lookups;
use resp::CommandId;
use resp::command::{Command, Flags};
use types::{Monotonic, Now};

use super::slow_log::SlowLog;

/// Numbers of commands are below this.
const COMMANDS: usize = 256;
/// Over at least how long requests per second are averaged.
const RATE_INTERVAL: Duration = Duration::from_secs(1);
/// Codes of errors that are told apart. Ours are few; other nodes may be of another version.
const ERROR_CODES_MAX: usize = 128;
/// Longest code of an error, in bytes.
const ERROR_CODE_BYTES_MAX: usize = 32;
/// Errors with these codes say that the command was not run.
const REFUSALS: [&str; 7] =
    ["CLUSTERDOWN", "CROSSSLOT", "MISCONF", "MOVED", "NOAUTH", "OOM", "TRYAGAIN"];

/// A command that is on its way to its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) command: &'static Command,
    /// When it arrived.
    pub(crate) at: Monotonic,
}

/// The figures of all commands since the start or since CONFIG RESETSTAT.
pub(crate) struct CommandStats {
    /// The newest clock reading.
    now: Now,
    processed: u64,
    errors: u64,
    by_command: Box<[Figures; COMMANDS]>,
    by_code: BTreeMap<Box<str>, u64>,
    /// Commands that were answered in this turn.
    in_turn: Vec<CommandId>,
    hits: u64,
    misses: u64,
    expired: u64,
    rate: Rate,
    pub(crate) slow_log: SlowLog,
}

/// The figures of one command.
#[derive(Clone, Copy, Default)]
struct Figures {
    calls: u64,
    rejected: u64,
    failed: u64,
    /// Their times together. Those of this turn lack the time of its end, and the sum may be
    /// below zero until it comes: it is a number modulo 2^64.
    nanos: u64,
    in_turn: u64,
}

/// Requests per second.
#[derive(Default)]
struct Rate {
    begun: Monotonic,
    before: u64,
    per_second: u64,
}

/// What INFO shows of one command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CommandFigures {
    pub(super) name: &'static str,
    pub(super) calls: u64,
    pub(super) nanos: u64,
    pub(super) rejected: u64,
    pub(super) failed: u64,
}

impl CommandStats {
    pub(crate) fn new() -> Self {
        Self {
            now: Now::default(),
            processed: 0,
            errors: 0,
            by_command: Box::new([Figures::default(); COMMANDS]),
            by_code: BTreeMap::new(),
            in_turn: Vec::new(),
            hits: 0,
            misses: 0,
            expired: 0,
            rate: Rate::default(),
            slow_log: SlowLog::default(),
        }
    }

    /// Notes the time of what is done next.
    pub(crate) fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// The newest clock reading.
    pub(crate) fn now(&self) -> Now {
        self.now
    }

    /// A command was answered. Of the reply only an error matters here.
    pub(crate) fn finish(&mut self, asked: Asked, reply: &[u8]) {
        let failed = reply.first() == Some(&b'-');
        if failed && self.count_error(reply) {
            return self.reject(asked.command);
        }
        self.processed += 1;
        let Some(id) = asked.command.id() else { return };
        let Some(figures) = self.by_command.get_mut(usize::from(id.code())) else { return };
        if figures.in_turn == 0 {
            self.in_turn.push(id);
        }
        figures.in_turn += 1;
        figures.calls += 1;
        figures.failed += u64::from(failed);
        figures.nanos = figures.nanos.wrapping_sub(asked.at.0);
    }

    /// The commands of a transaction were answered together: with an array, unless none was run.
    pub(crate) fn finish_group(&mut self, commands: &[CommandId], at: Monotonic, reply: &[u8]) {
        let Some((_, mut elements)) = crate::node::split_array(reply) else { return };
        for id in commands {
            let (element, rest) = crate::node::split_value(elements);
            self.finish(Asked { command: id.command(), at }, element);
            elements = rest;
        }
    }

    /// A command was not run. The error is counted apart.
    pub(crate) fn reject(&mut self, command: &'static Command) {
        let id = command.id();
        if let Some(figures) = id.and_then(|id| self.by_command.get_mut(usize::from(id.code()))) {
            figures.rejected += 1;
        }
    }

    /// Counts an error; says whether it means that the command was not run.
    pub(crate) fn count_error(&mut self, reply: &[u8]) -> bool {
        self.errors += 1;
        let text = reply.get(1..).unwrap_or_default();
        let code = text.split(|byte| matches!(byte, b' ' | b'\r')).next().unwrap_or_default();
        let is_plain = |byte: &u8| byte.is_ascii_uppercase();
        let fits = code.len() <= ERROR_CODE_BYTES_MAX && code.iter().all(is_plain);
        let code = core::str::from_utf8(code).ok().filter(|code| fits && !code.is_empty());
        let code = code.unwrap_or("ERR");
        if let Some(count) = self.by_code.get_mut(code) {
            *count += 1;
        } else if self.by_code.len() < ERROR_CODES_MAX {
            self.by_code.insert(code.into(), 1);
        }
        REFUSALS.contains(&code)
    }

    /// Counts the keys that a command looked for, at the holder. As in Redis, of the writes only
    /// those count that reply what they find; SET with GET is not among them here.
    pub(crate) fn count_lookups(&mut self, command: CommandId, found: Lookups) {
        self.expired += u64::from(found.expired);
        if !command.command().flags.contains(Flags::WRITE) {
            self.hits += u64::from(found.hits);
            self.misses += u64::from(found.misses);
        } else if matches!(command, CommandId::GetDel | CommandId::GetEx | CommandId::GetSet) {
            self.hits += u64::from(found.hits > 0);
            self.misses += u64::from(found.hits == 0 && found.misses > 0);
        }
    }

    /// The turn ends: its replies leave.
    pub(crate) fn end_turn(&mut self, now: Now) {
        for id in self.in_turn.drain(..) {
            let Some(figures) = self.by_command.get_mut(usize::from(id.code())) else { continue };
            let ends = figures.in_turn.wrapping_mul(now.monotonic.0);
            figures.nanos = figures.nanos.wrapping_add(ends);
            figures.in_turn = 0;
        }
        self.slow_log.end_turn(now);
        self.rate.advance(now.monotonic, self.processed);
    }

    /// Begins all figures anew. The slow log stays.
    pub(super) fn reset(&mut self) {
        let slow_log = core::mem::take(&mut self.slow_log);
        let mut rate = core::mem::take(&mut self.rate);
        rate.before = 0;
        *self = Self { now: self.now, rate, slow_log, ..Self::new() };
    }

    /// How many commands were run.
    pub(super) fn processed(&self) -> u64 {
        self.processed
    }

    /// How many error replies there were, those to requests that name no command included.
    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    /// Commands per second, lately.
    pub(super) fn per_second(&mut self, now: Monotonic) -> u64 {
        self.rate.advance(now, self.processed);
        self.rate.per_second
    }

    /// Keys that were found, that were not found, and that were removed since they had expired.
    pub(super) fn keys(&self) -> (u64, u64, u64) {
        (self.hits, self.misses, self.expired)
    }

    /// Error replies by their codes.
    pub(super) fn by_code(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_code.iter().map(|(code, count)| (&**code, *count))
    }

    /// All commands that were asked for.
    pub(super) fn by_command(&self, now: Monotonic) -> impl Iterator<Item = CommandFigures> {
        let figures = move |id: &CommandId| {
            let of = self.by_command.get(usize::from(id.code()))?;
            let nanos = of.nanos.wrapping_add(of.in_turn.wrapping_mul(now.0));
            let (name, calls) = (id.command().name, of.calls);
            let (rejected, failed) = (of.rejected, of.failed);
            let known = calls > 0 || rejected > 0;
            known.then_some(CommandFigures { name, calls, nanos, rejected, failed })
        };
        CommandId::ALL.iter().filter_map(figures)
    }
}

impl CommandFigures {
    /// The line of INFO's `commandstats`.
    pub(super) fn line(&self) -> String {
        let Self { name, calls, nanos, rejected, failed } = self;
        let hundredths = (nanos / 10).checked_div(*calls).unwrap_or(0);
        let (whole, part) = (hundredths / 100, hundredths % 100);
        alloc::format!(
            "cmdstat_{name}:calls={calls},usec={},usec_per_call={whole}.{part:02},\
             rejected_calls={rejected},failed_calls={failed}",
            nanos / 1000
        )
    }
}

impl Rate {
    fn advance(&mut self, now: Monotonic, processed: u64) {
        let elapsed = now.since(self.begun);
        if elapsed < RATE_INTERVAL {
            return;
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        self.per_second = processed.saturating_sub(self.before).saturating_mul(1000) / millis;
        self.begun = now;
        self.before = processed;
    }
}

#[cfg(test)]
mod tests {
    use types::UnixMillis;

    use super::*;

    fn at(micros: u64) -> Now {
        Now { monotonic: Monotonic(micros * 1000), wall: UnixMillis(micros / 1000) }
    }

    fn asked(id: CommandId, micros: u64) -> Asked {
        Asked { command: id.command(), at: at(micros).monotonic }
    }

    #[test]
    fn the_rate_is_an_average_over_a_second_or_more() {
        let at = |millis: u64| Monotonic(millis * 1_000_000);
        let mut rate = Rate::default();
        rate.advance(at(999), 500);
        assert_eq!(rate.per_second, 0);
        rate.advance(at(2000), 500);
        assert_eq!(rate.per_second, 250);
        rate.advance(at(3000), 500);
        assert_eq!(rate.per_second, 0);
    }

    #[test]
    fn times_add_up_as_if_each_were_taken_alone() {
        let mut stats = CommandStats::new();
        let mut expected = 0;
        for turn in 1..50_u64 {
            let end = turn * 1000;
            for arrival in 0..turn % 7 {
                stats.finish(asked(CommandId::Get, end - arrival * 90), b"$-1\r\n");
                expected += arrival * 90;
            }
            stats.end_turn(at(end));
        }
        let all: Vec<CommandFigures> = stats.by_command(at(0).monotonic).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].calls, all[0].nanos), (147, expected * 1000));
    }

    #[test]
    fn a_turn_that_has_not_ended_is_counted_up_to_now() {
        let mut stats = CommandStats::new();
        stats.finish(asked(CommandId::Set, 100), b"+OK\r\n");
        let line = stats.by_command(at(350).monotonic).next().map(|figures| figures.line());
        let text = "cmdstat_set:calls=1,usec=250,usec_per_call=250.00,rejected_calls=0,\
            failed_calls=0";
        assert_eq!(line.as_deref(), Some(text));
    }

    #[test]
    fn refused_and_failed_are_told_apart() {
        let mut stats = CommandStats::new();
        for reply in
            ["-ERR syntax error\r\n", "-WRONGTYPE x\r\n", "-TRYAGAIN x\r\n", "-MOVED 1\r\n"]
        {
            stats.finish(asked(CommandId::Set, 0), reply.as_bytes());
        }
        stats.finish(asked(CommandId::Set, 0), b"+OK\r\n");
        let set = stats.by_command(at(0).monotonic).next().expect("there were some");
        assert_eq!((set.calls, set.rejected, set.failed), (3, 2, 2));
        assert_eq!((stats.processed(), stats.errors()), (3, 4));
        let codes: Vec<(&str, u64)> = stats.by_code().collect();
        assert_eq!(codes, [("ERR", 1), ("MOVED", 1), ("TRYAGAIN", 1), ("WRONGTYPE", 1)]);
    }

    #[test]
    fn a_transaction_counts_what_it_ran() {
        let mut stats = CommandStats::new();
        let ids = [CommandId::Set, CommandId::Incr, CommandId::Get];
        let reply = b"*3\r\n+OK\r\n-ERR value is not an integer\r\n$2\r\nab\r\n";
        stats.finish_group(&ids, at(0).monotonic, reply);
        stats.finish_group(&ids, at(0).monotonic, b"*-1\r\n");
        stats.finish_group(&ids, at(0).monotonic, b"_\r\n");
        stats.finish_group(&ids, at(0).monotonic, b"-EXECABORT x\r\n");
        let all = stats.by_command(at(0).monotonic);
        let all: Vec<_> = all.map(|it| (it.name, it.calls, it.failed)).collect();
        assert_eq!(all.len(), 3);
        for expected in [("set", 1, 0), ("incr", 1, 1), ("get", 1, 0)] {
            assert!(all.contains(&expected), "{all:?}");
        }
    }

    #[test]
    fn numbers_of_commands_have_a_place() {
        assert!(CommandId::ALL.iter().all(|id| usize::from(id.code()) < COMMANDS));
    }
}

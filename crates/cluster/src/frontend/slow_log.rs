//! SLOWLOG: the newest commands whose time, from arrival to reply, was longer than a limit.
//!
//! What an entry shows of the arguments is taken where they are at hand when the reply is
//! written: from the entry of the log, the request that waited, or the client's own bytes. A
//! command that Redis calls fast and that is answered in the turn in which it arrived can't be the
//! reason for a slow turn. Its arguments are not kept, and it is logged only if the limit is below
//! a millisecond, when somebody wants to see everything.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use resp::CommandId;
use resp::command::{Command, Flags};
use types::limits::SLOW_LOG_ENTRIES_MAX;
use types::{Now, UnixMillis};

use super::command_stats::Asked;
use crate::entry::{Operation, Survey};
use crate::session::Waiter;

/// Arguments of a command that an entry shows, as in Redis.
const ARGUMENTS_SHOWN: usize = 32;
/// Bytes of an argument that an entry shows, as in Redis.
const ARGUMENT_BYTES_SHOWN: usize = 128;
/// Below this limit even fast commands are looked at.
const EVERYTHING_BELOW: Duration = Duration::from_millis(1);

/// Arguments as an entry shows them.
pub(crate) type Shown = Vec<Box<[u8]>>;

/// The slow log of one node.
pub(crate) struct SlowLog {
    /// Longer commands are logged; `None`: none are.
    limit: Option<Duration>,
    length: usize,
    next: u64,
    /// The newest entry last.
    entries: VecDeque<SlowCommand>,
    /// Commands that were answered in this turn: its end says whether they were slow.
    candidates: Vec<(Asked, SlowCommand)>,
    /// Who waited for the newest entry, as long as nobody has told its arguments.
    undescribed: Option<Waiter>,
}

/// A slow command.
#[derive(Clone, Debug, Default)]
pub(super) struct SlowCommand {
    pub(super) id: u64,
    pub(super) at: UnixMillis,
    pub(super) time: Duration,
    pub(super) args: Shown,
    pub(super) address: String,
    pub(super) client_name: Vec<u8>,
}

impl Default for SlowLog {
    /// Empty, with the limits of Redis.
    fn default() -> Self {
        Self {
            limit: Some(Duration::from_millis(10)),
            length: 128,
            next: 0,
            entries: VecDeque::new(),
            candidates: Vec::new(),
            undescribed: None,
        }
    }
}

impl SlowLog {
    /// Whether a command that was answered in the turn of its arrival is to be shown to
    /// [`SlowLog::consider`].
    pub(crate) fn looks_at(&self, command: &Command) -> bool {
        self.limit
            .is_some_and(|limit| !command.flags.contains(Flags::FAST) || limit < EVERYTHING_BELOW)
            && !command.flags.contains(Flags::SKIP_SLOWLOG)
    }

    /// Keeps a command until the end of the turn.
    pub(crate) fn consider(
        &mut self,
        asked: Asked,
        args: Shown,
        address: String,
        client_name: &[u8],
    ) {
        let client_name = client_name.to_vec();
        let command = SlowCommand { args, address, client_name, ..SlowCommand::default() };
        self.candidates.push((asked, command));
    }

    /// Whether a command that is answered now was slow.
    pub(crate) fn is_slow(&self, now: Now, asked: Asked) -> bool {
        self.limit.is_some_and(|limit| now.monotonic.since(asked.at) >= limit)
    }

    /// Adds a command that is answered now. [`SlowLog::describe`] gives its arguments.
    pub(crate) fn add(
        &mut self,
        now: Now,
        asked: Asked,
        waiter: Waiter,
        address: String,
        client_name: &[u8],
    ) {
        let args = asked.command.name.split('|').map(|word| word.as_bytes().into()).collect();
        let client_name = client_name.to_vec();
        let command = SlowCommand { args, address, client_name, ..SlowCommand::default() };
        self.push(now, asked, command);
        self.undescribed = Some(waiter);
    }

    fn push(&mut self, now: Now, asked: Asked, mut command: SlowCommand) {
        command.id = self.next;
        command.at = now.wall;
        command.time = now.monotonic.since(asked.at);
        self.next += 1;
        self.entries.push_back(command);
        while self.entries.len() > self.length.min(SLOW_LOG_ENTRIES_MAX) {
            self.entries.pop_front();
        }
    }

    /// Tells the arguments of the command that was just added, if it is this one.
    pub(crate) fn describe(&mut self, waiter: Waiter, operation: impl FnOnce() -> Shown) {
        if self.undescribed != Some(waiter) {
            return;
        }
        self.undescribed = None;
        if let Some(newest) = self.entries.back_mut() {
            newest.args = operation();
        }
    }

    /// The turn ends: those of its commands that took long are added.
    pub(super) fn end_turn(&mut self, now: Now) {
        self.undescribed = None;
        for (asked, command) in core::mem::take(&mut self.candidates) {
            if self.is_slow(now, asked) {
                self.push(now, asked, command);
            }
        }
    }

    /// The entries, the newest first.
    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = &SlowCommand> {
        self.entries.iter().rev()
    }

    /// Removes all entries. Their numbers are not used again.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// `slowlog-log-slower-than`: in microseconds, -1 for never.
    pub(super) fn limit(&self) -> i64 {
        let micros = |limit: Duration| i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
        self.limit.map_or(-1, micros)
    }

    /// Changes `slowlog-log-slower-than`.
    pub(super) fn set_limit(&mut self, micros: i64) {
        self.limit = u64::try_from(micros).ok().map(Duration::from_micros);
    }

    /// `slowlog-max-len`.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Changes `slowlog-max-len`; what is there stays until the next entry, as in Redis.
    pub(super) fn set_length(&mut self, length: usize) {
        self.length = length;
    }
}

/// What a client sent, as an entry shows it: without the password.
pub(crate) fn show_request(command: &Command, args: &[&[u8]]) -> Shown {
    let mut hidden = false;
    let sets = command.id() == Some(CommandId::ConfigSet);
    let known = args.iter().map(|arg| {
        let shown = if hidden { &b"(redacted)"[..] } else { arg };
        hidden = sets && !hidden && arg.eq_ignore_ascii_case(b"requirepass");
        shown
    });
    if command.flags.contains(Flags::NO_AUTH) {
        // AUTH and HELLO: nothing but the name.
        return show(args.iter().copied().take(1));
    }
    show(known)
}

/// Arguments, as an entry shows them.
fn show<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Shown {
    let count = args.len();
    let whole = if count > ARGUMENTS_SHOWN { ARGUMENTS_SHOWN - 1 } else { count };
    let mut shown: Shown = args.take(whole).map(show_argument).collect();
    if count > whole {
        let rest = alloc::format!("... ({} more arguments)", count - whole);
        shown.push(rest.into_bytes().into());
    }
    shown
}

fn show_argument(arg: &[u8]) -> Box<[u8]> {
    let (head, rest) = arg.split_at(arg.len().min(ARGUMENT_BYTES_SHOWN));
    let mut shown = head.to_vec();
    if !rest.is_empty() {
        let text = alloc::format!("... ({} more bytes)", rest.len());
        shown.extend_from_slice(text.as_bytes());
    }
    shown.into()
}

/// What a client asked for, as an entry shows it.
pub(crate) fn show_operation(operation: &Operation<'_>) -> Shown {
    let number = match operation {
        Operation::Survey(Survey::Scan { cursor, .. }) => alloc::format!("{cursor}"),
        Operation::Survey(Survey::CountInSlot(slot) | Survey::KeysInSlot(slot, _)) => {
            alloc::format!("{slot}")
        }
        Operation::Survey(Survey::Count | Survey::Keys { .. } | Survey::Random)
        | Operation::Single { .. }
        | Operation::Group { .. }
        | Operation::Flush
        | Operation::Watch { .. }
        | Operation::Unwatch
        | Operation::Manage(_) => String::new(),
    };
    let number = number.as_bytes();
    let mut args: Vec<&[u8]> = Vec::new();
    match operation {
        Operation::Single { command, .. } => push_command(command.id, &command.args, &mut args),
        Operation::Group { commands, .. } => {
            args.push(b"exec");
            for command in commands {
                push_command(command.id, &command.args, &mut args);
            }
        }
        Operation::Flush => args.push(b"flushall"),
        Operation::Watch { keys, .. } => {
            args.push(b"watch");
            args.extend(keys.iter().copied());
        }
        Operation::Unwatch => args.push(b"unwatch"),
        Operation::Manage(command) => push_command(command.id, &command.args, &mut args),
        Operation::Survey(survey) => match survey {
            Survey::Count => args.push(b"dbsize"),
            Survey::Keys { pattern } => args.extend([&b"keys"[..], pattern]),
            Survey::Random => args.push(b"randomkey"),
            Survey::Scan { pattern, .. } => {
                args.extend([&b"scan"[..], number]);
                args.extend(pattern.iter().flat_map(|pattern| [&b"match"[..], pattern]));
            }
            Survey::CountInSlot(_) => args.extend([&b"cluster"[..], b"countkeysinslot", number]),
            Survey::KeysInSlot(..) => args.extend([&b"cluster"[..], b"getkeysinslot", number]),
        },
    }
    show(args.into_iter())
}

/// A command of a log entry, which has a number instead of its name.
fn push_command<'a>(id: CommandId, args: &[&'a [u8]], into: &mut Vec<&'a [u8]>) {
    let name = id.command().name;
    into.push(name.split('|').next().unwrap_or(name).as_bytes());
    into.extend(args.iter().skip(1).copied());
}

#[cfg(test)]
mod tests {
    use types::Monotonic;

    use super::*;

    #[test]
    fn long_requests_are_cut_as_in_redis() {
        let long = [b'A'; 130];
        let args: Vec<&[u8]> = core::iter::repeat_n(&b"x"[..], 40).collect();
        let shown = show(args.into_iter());
        assert_eq!(shown.len(), 32);
        assert_eq!(&*shown[31], b"... (9 more arguments)");
        let shown = show([&b"set"[..], &long].into_iter());
        assert_eq!(shown[1][..128], long[..128]);
        assert_eq!(&shown[1][128..], b"... (2 more bytes)");
    }

    #[test]
    fn the_newest_stay() {
        let mut log = SlowLog::default();
        log.set_length(3);
        let now = Now { monotonic: Monotonic(50_000_000), wall: UnixMillis(7000) };
        let asked = Asked { command: CommandId::Get.command(), at: Monotonic(0) };
        for number in 0..10 {
            let waiter = Waiter::Client { session: types::SessionId(number), ticket: number };
            log.add(now, asked, waiter, String::new(), b"");
            let other = Waiter::Client { session: types::SessionId(number), ticket: 99 };
            log.describe(other, || unreachable!("it is about another request"));
            log.describe(waiter, || show([&b"get"[..], b"k"].into_iter()));
        }
        let ids: Vec<u64> = log.entries().map(|entry| entry.id).collect();
        assert_eq!(ids, [9, 8, 7]);
        assert!(log.entries().all(|entry| entry.args.len() == 2));
        log.clear();
        assert_eq!(log.entries().len(), 0);
        log.set_limit(-1);
        assert!(!log.is_slow(now, asked) && log.limit() == -1);
        log.set_limit(50_000);
        assert!(log.is_slow(now, asked));
    }
}

//! The table as a page of the documentation.

use alloc::string::String;
use core::fmt::Write;

use super::{Command, Group, Support, commands};
use crate::error::display_name;

/// What one command may do; the figures are those of `types::limits`.
const LIMITS: &str = "
## Limits of commands

A node serves its clients and keeps its leases in one thread, so no command may hold it up for
long. A command beyond a limit answers an error and changes nothing, on every replica.

| what | limit | beyond it |
|---|---|---|
| a value that a command builds: SETBIT, SETRANGE, APPEND, .. | 64 MiB | an error, as in Redis |
| bytes that one command reads and writes: BITOP, COPY, MGET, .. | 128 MiB | an error |
| LCS | 32 million cells: 5,700 times 5,700 bytes | an error |
| all commands of one MULTI | twice what one may do | the rest of them answer errors |
| KEYS | 64 MiB of keys, in all | an error; use SCAN |
| SCAN | COUNT is a hint: 10,000 keys at most, about | the cursor goes on |

A read of a single value (GET, BITCOUNT, BITPOS) is not limited but by the value's length. KEYS,
SCAN and FLUSHALL may take many turns; other clients are served between. So KEYS of a shard with
more than some 20,000 keys is not one moment: a key that is there all the time is in it, once; one
that comes or goes meanwhile may be. It is given up after `request_time`.
";

/// Renders `docs/commands.md`: every command of Redis 7.0 and our own, implemented or not.
#[must_use]
pub fn commands_markdown() -> String {
    let mut page = String::from(
        "# Commands\n\n\
         This page is generated from the table of commands (`crates/resp/src/command`). It lists\n\
         every command of Redis 7.0 and says whether this version of Leasehold has it.\n\n\
         | Group | Implemented | Planned | Not part of Leasehold |\n|---|---|---|---|\n",
    );
    let mut total = Counts::default();
    for group in Group::ALL {
        let mut counts = Counts::default();
        for command in commands().filter(|command| command.group == group) {
            counts.add(command);
        }
        line(&mut page, format_args!("| {} | {counts} |", title(group)));
        total.join(&counts);
    }
    line(&mut page, format_args!("| **all** | {total} |"));
    page.push_str("\nA command with subcommands counts by its subcommands.\n");
    page.push_str(LIMITS);
    for group in Group::ALL {
        line(&mut page, format_args!("\n## {}\n", title(group)));
        page.push_str("| Command | Supported | Since | What it does |\n|---|---|---|---|\n");
        for command in commands().filter(|command| command.group == group) {
            rows(&mut page, command);
        }
    }
    page
}

fn rows(page: &mut String, command: &Command) {
    let support = match command.support {
        Support::Yes(_) => String::from("yes"),
        Support::Container => String::from("see its subcommands"),
        Support::NotYet(plan) => alloc::format!("not yet: {plan}"),
        Support::Never(reason) => alloc::format!("no: {reason}"),
    };
    let summary = command.summary.trim_end_matches('.').replace('|', "\\|");
    line(
        page,
        format_args!("| `{}` | {support} | {} | {summary} |", display_name(command), command.since),
    );
    for subcommand in command.subcommands {
        rows(page, subcommand);
    }
}

fn line(page: &mut String, text: core::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = writeln!(page, "{text}");
}

fn title(group: Group) -> &'static str {
    match group {
        Group::String => "Strings",
        Group::Bitmap => "Bitmaps",
        Group::Generic => "Keys of any type",
        Group::Hash => "Hashes",
        Group::List => "Lists",
        Group::Set => "Sets",
        Group::SortedSet => "Sorted sets",
        Group::Stream => "Streams",
        Group::Geo => "Geographic indexes",
        Group::HyperLogLog => "HyperLogLogs",
        Group::PubSub => "Publish and subscribe",
        Group::Scripting => "Scripts and functions",
        Group::Transactions => "Transactions",
        Group::Connection => "Connection",
        Group::Server => "Server",
        Group::Cluster => "Cluster",
    }
}

/// How many commands are implemented, planned, and neither.
#[derive(Default)]
struct Counts {
    implemented: usize,
    planned: usize,
    never: usize,
}

impl Counts {
    /// Counts a command, or its subcommands if it does nothing without them.
    fn add(&mut self, command: &Command) {
        match command.support {
            Support::Yes(_) => self.implemented += 1,
            Support::Container => {}
            Support::NotYet(_) if command.subcommands.is_empty() => self.planned += 1,
            Support::Never(_) if command.subcommands.is_empty() => self.never += 1,
            Support::NotYet(_) | Support::Never(_) => {}
        }
        for subcommand in command.subcommands {
            self.add(subcommand);
        }
    }

    fn join(&mut self, other: &Self) {
        self.implemented += other.implemented;
        self.planned += other.planned;
        self.never += other.never;
    }
}

impl core::fmt::Display for Counts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} | {} | {}", self.implemented, self.planned, self.never)
    }
}

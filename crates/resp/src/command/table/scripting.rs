//! Commands that run scripts and functions.

use super::super::{
    Categories as C, Command, CommandId as Id, Flags as F, Group, Handler, KeyFlags as K,
};
use super::row::{counted, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Scripting, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("eval", "2.6.0")
        .about("Execute a Lua script server side", "Depends on the script that is executed.")
        .takes(-3, &[F::NOSCRIPT, F::STALE, F::SKIP_MONITOR, F::NO_MANDATORY_KEYS, F::MOVABLEKEYS],
            &[C::SCRIPTING])
        .keys(&[counted(&[K::RW, K::ACCESS, K::UPDATE], 2)
                .noted("We cannot tell how the keys will be used so we assume the worst, RW and \
                UPDATE")])
        .planned("scripting is planned"),
    command("eval_ro", "7.0.0")
        .about("Execute a read-only Lua script server side",
            "Depends on the script that is executed.")
        .takes(-3, &[F::READONLY, F::NOSCRIPT, F::STALE, F::SKIP_MONITOR, F::NO_MANDATORY_KEYS,
            F::MOVABLEKEYS],
            &[C::SCRIPTING])
        .keys(&[counted(&[K::RO, K::ACCESS], 2)
                .noted("We cannot tell how the keys will be used so we assume the worst, RO and \
                ACCESS")])
        .planned("scripting is planned"),
    command("evalsha", "2.6.0")
        .about("Execute a Lua script server side", "Depends on the script that is executed.")
        .takes(-3, &[F::NOSCRIPT, F::STALE, F::SKIP_MONITOR, F::NO_MANDATORY_KEYS, F::MOVABLEKEYS],
            &[C::SCRIPTING])
        .keys(&[counted(&[K::RW, K::ACCESS, K::UPDATE], 2)])
        .planned("scripting is planned"),
    command("evalsha_ro", "7.0.0")
        .about("Execute a read-only Lua script server side",
            "Depends on the script that is executed.")
        .takes(-3, &[F::READONLY, F::NOSCRIPT, F::STALE, F::SKIP_MONITOR, F::NO_MANDATORY_KEYS,
            F::MOVABLEKEYS],
            &[C::SCRIPTING])
        .keys(&[counted(&[K::RO, K::ACCESS], 2)])
        .planned("scripting is planned"),
    command("fcall", "7.0.0")
        .about("Invoke a function", "Depends on the function that is executed.")
        .takes(-3, &[F::NOSCRIPT, F::STALE, F::SKIP_MONITOR, F::NO_MANDATORY_KEYS, F::MOVABLEKEYS],
            &[C::SCRIPTING])
        .keys(&[counted(&[K::RW, K::ACCESS, K::UPDATE], 2)
                .noted("We cannot tell how the keys will be used so we assume the worst, RW and \
                UPDATE")])
        .planned("scripting is planned"),
    command("fcall_ro", "7.0.0")
        .about("Invoke a read-only function", "Depends on the function that is executed.")
        .takes(-3, &[F::READONLY, F::NOSCRIPT, F::STALE, F::SKIP_MONITOR, F::NO_MANDATORY_KEYS,
            F::MOVABLEKEYS],
            &[C::SCRIPTING])
        .keys(&[counted(&[K::RO, K::ACCESS], 2)
                .noted("We cannot tell how the keys will be used so we assume the worst, RO and \
                ACCESS")])
        .planned("scripting is planned"),
    command("function", "7.0.0")
        .about("A container for function commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .container(&[
            command("function|delete", "7.0.0")
                .about("Delete a function by name", "O(1)")
                .takes(3, &[F::WRITE, F::NOSCRIPT], &[C::SCRIPTING])
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .planned("scripting is planned"),
            command("function|dump", "7.0.0")
                .about("Dump all functions into a serialized binary payload",
                    "O(N) where N is the number of functions")
                .takes(2, &[F::NOSCRIPT], &[C::SCRIPTING])
                .planned("scripting is planned"),
            command("function|flush", "7.0.0")
                .about("Deleting all functions", "O(N) where N is the number of functions deleted")
                .takes(-2, &[F::WRITE, F::NOSCRIPT], &[C::SCRIPTING])
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .runs(Handler::Server, Id::FunctionFlush),
            command("function|help", "7.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[C::SCRIPTING])
                .planned("scripting is planned"),
            command("function|kill", "7.0.0")
                .about("Kill the function currently in execution.", "O(1)")
                .takes(2, &[F::NOSCRIPT, F::ALLOW_BUSY], &[C::SCRIPTING])
                .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
                .planned("scripting is planned"),
            command("function|list", "7.0.0")
                .about("List information about all the functions",
                    "O(N) where N is the number of functions")
                .takes(-2, &[F::NOSCRIPT], &[C::SCRIPTING])
                .tips(&["nondeterministic_output_order"])
                .planned("scripting is planned"),
            command("function|load", "7.0.0")
                .about("Create a function with the given arguments (name, code, description)",
                    "O(1) (considering compilation time is redundant)")
                .takes(-3, &[F::WRITE, F::DENYOOM, F::NOSCRIPT], &[C::SCRIPTING])
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .planned("scripting is planned"),
            command("function|restore", "7.0.0")
                .about("Restore all the functions on the given payload",
                    "O(N) where N is the number of functions on the payload")
                .takes(-3, &[F::WRITE, F::DENYOOM, F::NOSCRIPT], &[C::SCRIPTING])
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .planned("scripting is planned"),
            command("function|stats", "7.0.0")
                .about("Return information about the function currently running (name, \
                    description, duration)",
                    "O(1)")
                .takes(2, &[F::NOSCRIPT, F::ALLOW_BUSY], &[C::SCRIPTING])
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_shards",
                    "response_policy:special",
                ])
                .planned("scripting is planned"),
        ]),
    command("script", "2.6.0")
        .about("A container for Lua scripts management commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .planned("scripting is planned")
        .subcommands(&[
            command("script|debug", "3.2.0")
                .about("Set the debug mode for executed scripts.", "O(1)")
                .takes(3, &[F::NOSCRIPT], &[C::SCRIPTING])
                .never("there is no debugger"),
            command("script|exists", "2.6.0")
                .about("Check existence of scripts in the script cache.",
                    "O(N) with N being the number of scripts to check (so checking a single script \
                    is an O(1) operation).")
                .takes(-3, &[F::NOSCRIPT], &[C::SCRIPTING])
                .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
                .planned("scripting is planned"),
            command("script|flush", "2.6.0")
                .about("Remove all the scripts from the script cache.",
                    "O(N) with N being the number of scripts in cache")
                .takes(-2, &[F::NOSCRIPT], &[C::SCRIPTING])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .planned("scripting is planned"),
            command("script|help", "5.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[C::SCRIPTING])
                .planned("scripting is planned"),
            command("script|kill", "2.6.0")
                .about("Kill the script currently in execution.", "O(1)")
                .takes(2, &[F::NOSCRIPT, F::ALLOW_BUSY], &[C::SCRIPTING])
                .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
                .planned("scripting is planned"),
            command("script|load", "2.6.0")
                .about("Load the specified Lua script into the script cache.",
                    "O(N) with N being the length in bytes of the script body.")
                .takes(3, &[F::NOSCRIPT, F::STALE], &[C::SCRIPTING])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .planned("scripting is planned"),
        ]),
];

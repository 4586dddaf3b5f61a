//! COMMAND: the table of commands as clients read it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use resp::command::{
    Command, Flags, KeyFlags, command_docs, command_info, commands, lookup, lookup_full,
    lookup_subcommand,
};
use resp::glob::{Case, Pattern};
use resp::{CommandId, Reply, error};

use super::{Call, Outcome, client, not_here, version_index};
use crate::node::Node;

impl Node {
    pub(super) fn table_command(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        match call.command.id() {
            Some(CommandId::Command) => self.whole_table(reply),
            Some(CommandId::CommandInfo) if call.rest(2).is_empty() => self.whole_table(reply),
            Some(CommandId::CommandInfo) => info(call.rest(2), reply),
            Some(CommandId::CommandCount) => reply.count(listed().count()),
            Some(CommandId::CommandDocs) => docs(call.rest(2), reply),
            Some(CommandId::CommandGetKeys) => get_keys(call, false, reply)?,
            Some(CommandId::CommandGetKeysAndFlags) => get_keys(call, true, reply)?,
            Some(CommandId::CommandList) => list(call.rest(2), reply)?,
            Some(CommandId::CommandHelp) => client::help(reply, "command"),
            Some(_) | None => return not_here(call),
        }
        Ok(())
    }

    /// All commands. Libraries ask for it whenever they connect, so the reply is kept.
    fn whole_table(&mut self, reply: &mut Reply<'_>) {
        let protocol = reply.protocol();
        let kept = self.frontend.table.get_mut(version_index(protocol));
        let bytes: &[u8] = match kept {
            Some(kept) => kept.get_or_insert_with(|| {
                let mut bytes = Vec::new();
                let mut table = Reply::new(&mut bytes, protocol);
                table.array(listed().count());
                for command in listed() {
                    command_info(&mut table, command);
                }
                Box::from(bytes)
            }),
            None => b"*0\r\n",
        };
        reply.encoded(bytes);
    }
}

fn listed() -> impl Iterator<Item = &'static Command> {
    commands().filter(|command| command.is_supported())
}

fn listed_subcommands(command: &Command) -> impl Iterator<Item = &'static Command> {
    command.subcommands.iter().filter(|subcommand| subcommand.is_supported())
}

fn supported(name: &[u8]) -> Option<&'static Command> {
    lookup_full(name).filter(|command| command.is_supported())
}

fn info(names: &[&[u8]], reply: &mut Reply<'_>) {
    reply.array(names.len());
    for name in names {
        match supported(name) {
            Some(command) => command_info(reply, command),
            None => reply.null(),
        }
    }
}

fn docs(names: &[&[u8]], reply: &mut Reply<'_>) {
    let named: Vec<&Command> = if names.is_empty() {
        listed().collect()
    } else {
        names.iter().filter_map(|name| supported(name)).collect()
    };
    reply.map(named.len());
    for command in named {
        command_docs(reply, command);
    }
}

/// The command of a request, implemented or not: where the keys are is known in any case.
fn command_of(args: &[&[u8]]) -> Option<&'static Command> {
    let command = lookup(args.first()?)?;
    if command.subcommands.is_empty() {
        return Some(command);
    }
    match args.get(1) {
        Some(word) => lookup_subcommand(command, word),
        None => Some(command),
    }
}

/// COMMAND GETKEYS and COMMAND GETKEYSANDFLAGS.
fn get_keys(call: &Call<'_>, with_flags: bool, reply: &mut Reply<'_>) -> Outcome {
    let args = call.rest(2);
    let command = command_of(args).ok_or(error::INVALID_COMMAND)?;
    if command.key_specs.is_empty() {
        return Err(error::NO_KEY_ARGUMENTS.into());
    }
    if !command.accepts(args.len()) {
        return Err(error::INVALID_ARGUMENT_COUNT.into());
    }
    let Ok(positions) = resp::keys(command, args) else {
        if command.flags.contains(Flags::NO_MANDATORY_KEYS) {
            reply.array(0);
            return Ok(());
        }
        return Err(error::INVALID_ARGUMENTS.into());
    };
    let positions: Vec<_> = positions.collect();
    reply.array(positions.len());
    for position in positions {
        let name = args.get(position.index).copied().unwrap_or_default();
        if with_flags {
            reply.array(2);
        }
        reply.bulk(name);
        if with_flags {
            let words = flags_of(command, args, position.flags);
            reply.set(words.len());
            for word in words {
                reply.simple(word);
            }
        }
    }
    Ok(())
}

/// What a request does with its key, where that depends on the other arguments.
fn flags_of(command: &Command, args: &[&[u8]], flags: KeyFlags) -> Vec<&'static str> {
    let has = |word: &[u8]| args.iter().skip(2).any(|arg| arg.eq_ignore_ascii_case(word));
    match command.id() {
        Some(CommandId::Set) if !has(b"get") => alloc::vec!["OW", "update"],
        Some(CommandId::Set) => alloc::vec!["RW", "access", "update"],
        Some(CommandId::BitField) if has(b"set") || has(b"incrby") => {
            alloc::vec!["RW", "access", "update"]
        }
        Some(CommandId::BitField) => alloc::vec!["RO", "access"],
        Some(_) | None => flags.words().collect(),
    }
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern].
fn list(options: &[&[u8]], reply: &mut Reply<'_>) -> Outcome {
    let all = || listed().chain(listed().flat_map(listed_subcommands));
    let names: Vec<&str> = match options {
        [] => all().map(|command| command.name).collect(),
        [word, kind, value] if word.eq_ignore_ascii_case(b"filterby") => {
            if kind.eq_ignore_ascii_case(b"module") {
                Vec::new()
            } else if kind.eq_ignore_ascii_case(b"aclcat") {
                let is_in = |command: &&Command| {
                    command.categories.words().any(|word| is_category(word, value))
                };
                all().filter(is_in).map(|command| command.name).collect()
            } else if kind.eq_ignore_ascii_case(b"pattern") {
                if value.len() > types::limits::PATTERN_BYTES_MAX {
                    return Err(Cow::Borrowed("ERR the pattern is too long"));
                }
                let pattern = Pattern::new(value, Case::Ignored);
                let matches = |name: &&str| pattern.matches(name.as_bytes());
                all().map(|command| command.name).filter(matches).collect()
            } else {
                return Err(error::SYNTAX.into());
            }
        }
        _ => return Err(error::SYNTAX.into()),
    };
    reply.array(names.len());
    for name in names {
        reply.bulk(name.as_bytes());
    }
    Ok(())
}

fn is_category(word: &str, name: &[u8]) -> bool {
    word.strip_prefix('@').is_some_and(|word| word.as_bytes().eq_ignore_ascii_case(name))
}

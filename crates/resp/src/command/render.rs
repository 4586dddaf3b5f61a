//! The table as clients see it: COMMAND INFO, COMMAND DOCS and HELP.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Begin, Command, Find, KeySpec};
use crate::reply::Reply;

/// Writes the element of COMMAND and COMMAND INFO that describes a command: ten fields as in
/// Redis 7. Only subcommands that are implemented are listed.
pub fn command_info(reply: &mut Reply<'_>, command: &Command) {
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(i64::from(command.arity));
    words(reply, command.flags.len(), command.flags.words());
    reply.count(command.keys.first);
    reply.integer(command.keys.last as i64);
    reply.count(command.keys.step);
    words(reply, command.categories.len(), command.categories.words());
    reply.set(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(command.key_specs.len());
    for spec in command.key_specs {
        key_spec(reply, spec);
    }
    let listed: Vec<_> = supported(command).collect();
    if listed.is_empty() {
        // Redis has an empty set here, though it has an array otherwise.
        reply.set(0);
    } else {
        reply.array(listed.len());
    }
    for subcommand in listed {
        command_info(reply, subcommand);
    }
}

/// Writes a pair of the map that COMMAND DOCS replies: a command's name and a map of facts.
pub fn command_docs(reply: &mut Reply<'_>, command: &Command) {
    let listed: Vec<_> = supported(command).collect();
    let deprecated = if command.deprecated.is_some() { 3 } else { 0 };
    reply.bulk(command.name.as_bytes());
    reply.map(4 + deprecated + usize::from(!listed.is_empty()));
    pair(reply, "summary", command.summary);
    pair(reply, "since", command.since);
    pair(reply, "group", command.group.word());
    pair(reply, "complexity", command.complexity);
    if let Some((since, instead)) = command.deprecated {
        reply.bulk(b"doc_flags");
        reply.set(1);
        reply.simple("deprecated");
        pair(reply, "deprecated_since", since);
        pair(reply, "replaced_by", instead);
    }
    if !listed.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(listed.len());
        for subcommand in listed {
            command_docs(reply, subcommand);
        }
    }
}

/// Writes what HELP replies for a command with subcommands: those that are implemented.
pub fn command_help(reply: &mut Reply<'_>, command: &Command) {
    let name = command.name.to_ascii_uppercase();
    let mut lines = Vec::new();
    lines.push(alloc::format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    let is_help = |subcommand: &&Command| subcommand.word() == "help";
    for subcommand in supported(command).filter(|subcommand| !is_help(subcommand)) {
        lines.push(subcommand.word().to_ascii_uppercase());
        lines.push(alloc::format!("    {}.", subcommand.summary.trim_end_matches('.')));
    }
    lines.push(String::from("HELP"));
    lines.push(String::from("    Print this help."));
    reply.array(lines.len());
    for line in lines {
        reply.simple(&line);
    }
}

fn supported(command: &Command) -> impl Iterator<Item = &'static Command> {
    command.subcommands.iter().filter(|subcommand| subcommand.is_supported())
}

fn words(reply: &mut Reply<'_>, len: usize, words: impl Iterator<Item = &'static str>) {
    reply.set(len);
    for word in words {
        reply.simple(word);
    }
}

fn pair(reply: &mut Reply<'_>, key: &str, value: &str) {
    reply.bulk(key.as_bytes());
    reply.bulk(value.as_bytes());
}

fn number(reply: &mut Reply<'_>, key: &str, value: i64) {
    reply.bulk(key.as_bytes());
    reply.integer(value);
}

fn key_spec(reply: &mut Reply<'_>, spec: &KeySpec) {
    reply.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        pair(reply, "notes", spec.notes);
    }
    reply.bulk(b"flags");
    words(reply, spec.flags.len(), spec.flags.words());
    reply.bulk(b"begin_search");
    reply.map(2);
    match spec.begin {
        Begin::Index(index) => {
            kind(reply, "index", 1);
            number(reply, "index", index as i64);
        }
        Begin::Keyword { word, from } => {
            kind(reply, "keyword", 2);
            pair(reply, "keyword", word);
            number(reply, "startfrom", from as i64);
        }
        Begin::Unknown => kind(reply, "unknown", 0),
    }
    reply.bulk(b"find_keys");
    reply.map(2);
    match spec.find {
        Find::Range { last, step, limit } => {
            kind(reply, "range", 3);
            number(reply, "lastkey", last as i64);
            number(reply, "keystep", step as i64);
            number(reply, "limit", limit as i64);
        }
        Find::Count { at, first, step } => {
            kind(reply, "keynum", 3);
            number(reply, "keynumidx", at as i64);
            number(reply, "firstkey", first as i64);
            number(reply, "keystep", step as i64);
        }
        Find::Unknown => kind(reply, "unknown", 0),
    }
}

/// The type of one half of a key specification, and the beginning of its details.
fn kind(reply: &mut Reply<'_>, name: &str, details: usize) {
    pair(reply, "type", name);
    reply.bulk(b"spec");
    reply.map(details);
}

//! The rows of the table, one file per family, and how a row is found by name or by number.

mod bitmap;
mod cluster;
mod connection;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod list;
mod pubsub;
mod row;
mod scripting;
mod server;
mod set;
mod sorted_set;
mod stream;
mod string;
mod transactions;

use super::id::CODES;
use super::{Command, CommandId};

/// The families, in the order of the documentation.
static FAMILIES: [&[Command]; 16] = [
    string::COMMANDS,
    bitmap::COMMANDS,
    generic::COMMANDS,
    hash::COMMANDS,
    list::COMMANDS,
    set::COMMANDS,
    sorted_set::COMMANDS,
    stream::COMMANDS,
    geo::COMMANDS,
    hyperloglog::COMMANDS,
    pubsub::COMMANDS,
    scripting::COMMANDS,
    transactions::COMMANDS,
    connection::COMMANDS,
    server::COMMANDS,
    cluster::COMMANDS,
];

/// All commands that a client may name, family by family, without subcommands.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().copied().flatten()
}

/// The command with this name, in any case. Knows no subcommands and no internal commands.
#[must_use]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let mut place = hash(name);
    loop {
        let command = BY_NAME[place]?;
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
        place = (place + 1) % PLACES;
    }
}

/// The subcommand of `command` with this name (`encoding` of OBJECT), in any case.
#[must_use]
pub fn lookup_subcommand(command: &Command, name: &[u8]) -> Option<&'static Command> {
    let has_name = |row: &&Command| row.word().as_bytes().eq_ignore_ascii_case(name);
    command.subcommands.iter().find(has_name)
}

/// The command or subcommand with this full name (`get`, `config|get`), in any case.
#[must_use]
pub fn lookup_full(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|byte| *byte == b'|') {
        Some(bar) => lookup_subcommand(lookup(&name[..bar])?, &name[bar + 1..]),
        None => lookup(name),
    }
}

/// Places in the hash table: a power of two, about four times the number of commands, so that
/// most names are found, or found missing, at the first place.
const PLACES: usize = 1024;

/// Open addressing with linear probing, filled when the crate is compiled.
static BY_NAME: [Option<&'static Command>; PLACES] = {
    let mut places = [None; PLACES];
    let mut family = 0;
    while family < FAMILIES.len() {
        let rows = FAMILIES[family];
        let mut at = 0;
        while at < rows.len() {
            let mut place = hash(rows[at].name.as_bytes());
            while places[place].is_some() {
                place = (place + 1) % PLACES;
            }
            places[place] = Some(&rows[at]);
            at += 1;
        }
        family += 1;
    }
    places
};

/// Hashes a name's first 16 bytes and its length, regardless of case.
///
/// An adversary gains nothing from collisions: the table is fixed, its longest run is short.
const fn hash(name: &[u8]) -> usize {
    const LOWER: u8 = 0x20;
    let mut sum = name.len() as u64;
    let mut at = 0;
    while at < name.len() && at < 16 {
        sum = sum.rotate_left(11) ^ (name[at] | LOWER) as u64;
        at += 1;
    }
    (sum.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % PLACES
}

/// The rows by number, filled when the crate is compiled.
pub(super) static BY_CODE: [Option<&'static Command>; CODES] = {
    let mut rows = [None; CODES];
    let mut family = 0;
    while family < FAMILIES.len() {
        number(&mut rows, FAMILIES[family]);
        family += 1;
    }
    number(&mut rows, generic::INTERNAL);
    let mut at = 0;
    while at < CommandId::ALL.len() {
        assert!(rows[CommandId::ALL[at].code() as usize].is_some(), "a number without a row");
        at += 1;
    }
    rows
};

const fn number(by_code: &mut [Option<&'static Command>; CODES], rows: &'static [Command]) {
    let mut at = 0;
    while at < rows.len() {
        if let Some(id) = rows[at].id() {
            assert!(by_code[id.code() as usize].is_none(), "two rows of one number");
            by_code[id.code() as usize] = Some(&rows[at]);
        }
        number(by_code, rows[at].subcommands);
        at += 1;
    }
}

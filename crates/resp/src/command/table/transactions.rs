//! Commands of transactions.

use super::super::{
    Categories as C, Command, CommandId as Id, Flags as F, Group, Handler, KeyFlags as K,
};
use super::row::{many, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Transactions, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("discard", "2.0.0")
        .about("Discard all commands issued after MULTI",
            "O(N), when N is the number of queued commands")
        .takes(1, &[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY], &[C::TRANSACTION])
        .runs(Handler::Transaction, Id::Discard),
    command("exec", "1.2.0")
        .about("Execute all commands issued after MULTI", "Depends on commands in the transaction")
        .takes(1, &[F::NOSCRIPT, F::LOADING, F::STALE, F::SKIP_SLOWLOG], &[C::TRANSACTION])
        .runs(Handler::Transaction, Id::Exec),
    command("multi", "1.2.0")
        .about("Mark the start of a transaction block", "O(1)")
        .takes(1, &[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY], &[C::TRANSACTION])
        .runs(Handler::Transaction, Id::Multi),
    command("unwatch", "2.2.0")
        .about("Forget about all watched keys", "O(1)")
        .takes(1, &[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY], &[C::TRANSACTION])
        .runs(Handler::Transaction, Id::Unwatch),
    command("watch", "2.2.0")
        .about("Watch the given keys to determine execution of the MULTI/EXEC block",
            "O(1) for every key.")
        .takes(-2, &[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY], &[C::TRANSACTION])
        .keys(&[many(&[K::RO], 1, (-1, 1))])
        .runs(Handler::Transaction, Id::Watch),
];

//! Commands on HyperLogLogs.

use super::super::{Categories as C, Command, Flags as F, Group, KeyFlags as K};
use super::row::{many, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::HyperLogLog, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("pfadd", "2.8.9")
        .about("Adds the specified elements to the specified HyperLogLog.",
            "O(1) to add every element.")
        .takes(-2, &[F::WRITE, F::DENYOOM, F::FAST], &[C::HYPERLOGLOG])
        .keys(&[one(&[K::RW, K::INSERT], 1)])
        .planned("HyperLogLogs are planned"),
    command("pfcount", "2.8.9")
        .about("Return the approximated cardinality of the set(s) observed by the HyperLogLog at \
            key(s).",
            "O(1) with a very small average constant time when called with a single key. O(N) with \
            N being the number of keys, and much bigger constant times, when called with multiple \
            keys.")
        .takes(-2, &[F::READONLY], &[C::HYPERLOGLOG])
        .keys(&[many(&[K::RW, K::ACCESS], 1, (-1, 1))
                .noted("RW because it may change the internal representation of the key, and \
                propagate to replicas")])
        .planned("HyperLogLogs are planned"),
    command("pfdebug", "2.8.9")
        .about("Internal commands for debugging HyperLogLog values", "N/A")
        .takes(3, &[F::WRITE, F::DENYOOM, F::ADMIN], &[C::HYPERLOGLOG])
        .keys(&[one(&[K::RW, K::ACCESS], 2)])
        .never("it serves Redis' own tests"),
    command("pfmerge", "2.8.9")
        .about("Merge N different HyperLogLogs into a single one.",
            "O(N) to merge N HyperLogLogs, but with high constant times.")
        .takes(-2, &[F::WRITE, F::DENYOOM], &[C::HYPERLOGLOG])
        .keys(&[one(&[K::RW, K::ACCESS, K::INSERT], 1), many(&[K::RO, K::ACCESS], 2, (-1, 1))])
        .planned("HyperLogLogs are planned"),
    command("pfselftest", "2.8.9")
        .about("An internal command for testing HyperLogLog values", "N/A")
        .takes(1, &[F::ADMIN], &[C::HYPERLOGLOG])
        .never("it serves Redis' own tests"),
];

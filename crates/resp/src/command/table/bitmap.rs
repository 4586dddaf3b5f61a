//! Commands on the bits of strings.

use super::super::{
    Categories as C, Command, CommandId as Id, Flags as F, Group, Handler, KeyFlags as K,
};
use super::row::{many, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Bitmap, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("bitcount", "2.6.0")
        .about("Count set bits in a string", "O(N)")
        .takes(-2, &[F::READONLY], &[C::BITMAP])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .runs(Handler::Keyspace, Id::BitCount),
    command("bitfield", "3.2.0")
        .about("Perform arbitrary bitfield integer operations on strings",
            "O(1) for each subcommand specified")
        .takes(-2, &[F::WRITE, F::DENYOOM], &[C::BITMAP])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE, K::VARIABLE], 1)
                .noted("This command allows both access and modification of the key")])
        .runs(Handler::Keyspace, Id::BitField),
    command("bitfield_ro", "6.0.0")
        .about("Perform arbitrary bitfield integer operations on strings. Read-only variant of \
            BITFIELD",
            "O(1) for each subcommand specified")
        .takes(-2, &[F::READONLY, F::FAST], &[C::BITMAP])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .runs(Handler::Keyspace, Id::BitFieldRo),
    command("bitop", "2.6.0")
        .about("Perform bitwise operations between strings", "O(N)")
        .takes(-4, &[F::WRITE, F::DENYOOM], &[C::BITMAP])
        .keys(&[one(&[K::OW, K::UPDATE], 2), many(&[K::RO, K::ACCESS], 3, (-1, 1))])
        .runs(Handler::Keyspace, Id::BitOp),
    command("bitpos", "2.8.7")
        .about("Find first bit set or clear in a string", "O(N)")
        .takes(-3, &[F::READONLY], &[C::BITMAP])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .runs(Handler::Keyspace, Id::BitPos),
    command("getbit", "2.2.0")
        .about("Returns the bit value at offset in the string value stored at key", "O(1)")
        .takes(3, &[F::READONLY, F::FAST], &[C::BITMAP])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .runs(Handler::Keyspace, Id::GetBit),
    command("setbit", "2.2.0")
        .about("Sets or clears the bit at offset in the string value stored at key", "O(1)")
        .takes(4, &[F::WRITE, F::DENYOOM], &[C::BITMAP])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::SetBit),
];

//! Commands on hashes.

use super::super::{Categories as C, Command, Flags as F, Group, KeyFlags as K};
use super::row::{one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Hash, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("hdel", "2.0.0")
        .about("Delete one or more hash fields",
            "O(N) where N is the number of fields to be removed.")
        .takes(-3, &[F::WRITE, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .planned("hashes are planned"),
    command("hexists", "2.0.0")
        .about("Determine if a hash field exists", "O(1)")
        .takes(3, &[F::READONLY, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RO], 1)])
        .planned("hashes are planned"),
    command("hget", "2.0.0")
        .about("Get the value of a hash field", "O(1)")
        .takes(3, &[F::READONLY, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("hashes are planned"),
    command("hgetall", "2.0.0")
        .about("Get all the fields and values in a hash", "O(N) where N is the size of the hash.")
        .takes(2, &[F::READONLY], &[C::HASH])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output_order"])
        .planned("hashes are planned"),
    command("hincrby", "2.0.0")
        .about("Increment the integer value of a hash field by the given number", "O(1)")
        .takes(4, &[F::WRITE, F::DENYOOM, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .planned("hashes are planned"),
    command("hincrbyfloat", "2.6.0")
        .about("Increment the float value of a hash field by the given amount", "O(1)")
        .takes(4, &[F::WRITE, F::DENYOOM, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .planned("hashes are planned"),
    command("hkeys", "2.0.0")
        .about("Get all the fields in a hash", "O(N) where N is the size of the hash.")
        .takes(2, &[F::READONLY], &[C::HASH])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output_order"])
        .planned("hashes are planned"),
    command("hlen", "2.0.0")
        .about("Get the number of fields in a hash", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RO], 1)])
        .planned("hashes are planned"),
    command("hmget", "2.0.0")
        .about("Get the values of all the given hash fields",
            "O(N) where N is the number of fields being requested.")
        .takes(-3, &[F::READONLY, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("hashes are planned"),
    command("hmset", "2.0.0")
        .about("Set multiple hash fields to multiple values",
            "O(N) where N is the number of fields being set.")
        .takes(-4, &[F::WRITE, F::DENYOOM, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs")
        .planned("hashes are planned"),
    command("hrandfield", "6.2.0")
        .about("Get one or multiple random fields from a hash",
            "O(N) where N is the number of fields returned")
        .takes(-2, &[F::READONLY], &[C::HASH])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .planned("hashes are planned"),
    command("hscan", "2.8.0")
        .about("Incrementally iterate hash fields and associated values",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls \
            for the cursor to return back to 0. N is the number of elements inside the \
            collection..")
        .takes(-3, &[F::READONLY], &[C::HASH])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .planned("hashes are planned"),
    command("hset", "2.0.0")
        .about("Set the string value of a hash field",
            "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the \
            command is called with multiple field/value pairs.")
        .takes(-4, &[F::WRITE, F::DENYOOM, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .planned("hashes are planned"),
    command("hsetnx", "2.0.0")
        .about("Set the value of a hash field, only if the field does not exist", "O(1)")
        .takes(4, &[F::WRITE, F::DENYOOM, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RW, K::INSERT], 1)])
        .planned("hashes are planned"),
    command("hstrlen", "3.2.0")
        .about("Get the length of the value of a hash field", "O(1)")
        .takes(3, &[F::READONLY, F::FAST], &[C::HASH])
        .keys(&[one(&[K::RO], 1)])
        .planned("hashes are planned"),
    command("hvals", "2.0.0")
        .about("Get all the values in a hash", "O(N) where N is the size of the hash.")
        .takes(2, &[F::READONLY], &[C::HASH])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output_order"])
        .planned("hashes are planned"),
];

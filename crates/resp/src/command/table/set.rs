//! Commands on sets.

use super::super::{Categories as C, Command, Flags as F, Group, KeyFlags as K};
use super::row::{counted, many, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Set, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("sadd", "1.0.0")
        .about("Add one or more members to a set",
            "O(1) for each element added, so O(N) to add N elements when the command is called \
            with multiple arguments.")
        .takes(-3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::SET])
        .keys(&[one(&[K::RW, K::INSERT], 1)])
        .planned("sets are planned"),
    command("scard", "1.0.0")
        .about("Get the number of members in a set", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::SET])
        .keys(&[one(&[K::RO], 1)])
        .planned("sets are planned"),
    command("sdiff", "1.0.0")
        .about("Subtract multiple sets",
            "O(N) where N is the total number of elements in all given sets.")
        .takes(-2, &[F::READONLY], &[C::SET])
        .keys(&[many(&[K::RO, K::ACCESS], 1, (-1, 1))])
        .tips(&["nondeterministic_output_order"])
        .planned("sets are planned"),
    command("sdiffstore", "1.0.0")
        .about("Subtract multiple sets and store the resulting set in a key",
            "O(N) where N is the total number of elements in all given sets.")
        .takes(-3, &[F::WRITE, F::DENYOOM], &[C::SET])
        .keys(&[one(&[K::OW, K::UPDATE], 1), many(&[K::RO, K::ACCESS], 2, (-1, 1))])
        .planned("sets are planned"),
    command("sinter", "1.0.0")
        .about("Intersect multiple sets",
            "O(N*M) worst case where N is the cardinality of the smallest set and M is the number \
            of sets.")
        .takes(-2, &[F::READONLY], &[C::SET])
        .keys(&[many(&[K::RO, K::ACCESS], 1, (-1, 1))])
        .tips(&["nondeterministic_output_order"])
        .planned("sets are planned"),
    command("sintercard", "7.0.0")
        .about("Intersect multiple sets and return the cardinality of the result",
            "O(N*M) worst case where N is the cardinality of the smallest set and M is the number \
            of sets.")
        .takes(-3, &[F::READONLY, F::MOVABLEKEYS], &[C::SET])
        .keys(&[counted(&[K::RO, K::ACCESS], 1)])
        .planned("sets are planned"),
    command("sinterstore", "1.0.0")
        .about("Intersect multiple sets and store the resulting set in a key",
            "O(N*M) worst case where N is the cardinality of the smallest set and M is the number \
            of sets.")
        .takes(-3, &[F::WRITE, F::DENYOOM], &[C::SET])
        .keys(&[one(&[K::RW, K::UPDATE], 1), many(&[K::RO, K::ACCESS], 2, (-1, 1))])
        .planned("sets are planned"),
    command("sismember", "1.0.0")
        .about("Determine if a given value is a member of a set", "O(1)")
        .takes(3, &[F::READONLY, F::FAST], &[C::SET])
        .keys(&[one(&[K::RO], 1)])
        .planned("sets are planned"),
    command("smembers", "1.0.0")
        .about("Get all the members in a set", "O(N) where N is the set cardinality.")
        .takes(2, &[F::READONLY], &[C::SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output_order"])
        .planned("sets are planned"),
    command("smismember", "6.2.0")
        .about("Returns the membership associated with the given elements for a set",
            "O(N) where N is the number of elements being checked for membership")
        .takes(-3, &[F::READONLY, F::FAST], &[C::SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("sets are planned"),
    command("smove", "1.0.0")
        .about("Move a member from one set to another", "O(1)")
        .takes(4, &[F::WRITE, F::FAST], &[C::SET])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1), one(&[K::RW, K::INSERT], 2)])
        .planned("sets are planned"),
    command("spop", "1.0.0")
        .about("Remove and return one or multiple random members from a set",
            "Without the count argument O(1), otherwise O(N) where N is the value of the passed \
            count.")
        .takes(-2, &[F::WRITE, F::FAST], &[C::SET])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1)])
        .tips(&["nondeterministic_output"])
        .planned("sets are planned"),
    command("srandmember", "1.0.0")
        .about("Get one or multiple random members from a set",
            "Without the count argument O(1), otherwise O(N) where N is the absolute value of the \
            passed count.")
        .takes(-2, &[F::READONLY], &[C::SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .planned("sets are planned"),
    command("srem", "1.0.0")
        .about("Remove one or more members from a set",
            "O(N) where N is the number of members to be removed.")
        .takes(-3, &[F::WRITE, F::FAST], &[C::SET])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .planned("sets are planned"),
    command("sscan", "2.8.0")
        .about("Incrementally iterate Set elements",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls \
            for the cursor to return back to 0. N is the number of elements inside the \
            collection..")
        .takes(-3, &[F::READONLY], &[C::SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .planned("sets are planned"),
    command("sunion", "1.0.0")
        .about("Add multiple sets",
            "O(N) where N is the total number of elements in all given sets.")
        .takes(-2, &[F::READONLY], &[C::SET])
        .keys(&[many(&[K::RO, K::ACCESS], 1, (-1, 1))])
        .tips(&["nondeterministic_output_order"])
        .planned("sets are planned"),
    command("sunionstore", "1.0.0")
        .about("Add multiple sets and store the resulting set in a key",
            "O(N) where N is the total number of elements in all given sets.")
        .takes(-3, &[F::WRITE, F::DENYOOM], &[C::SET])
        .keys(&[one(&[K::OW, K::UPDATE], 1), many(&[K::RO, K::ACCESS], 2, (-1, 1))])
        .planned("sets are planned"),
];

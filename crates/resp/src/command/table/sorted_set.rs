//! Commands on sorted sets.

use super::super::{Categories as C, Command, Flags as F, Group, KeyFlags as K};
use super::row::{counted, many, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::SortedSet, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("bzmpop", "7.0.0")
        .about("Remove and return members with scores in a sorted set or block until one is \
            available",
            "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of \
            elements in the sorted set, and M being the number of elements popped.")
        .takes(-5, &[F::WRITE, F::BLOCKING, F::MOVABLEKEYS], &[C::SORTED_SET])
        .keys(&[counted(&[K::RW, K::ACCESS, K::DELETE], 2)])
        .planned("sorted sets are planned"),
    command("bzpopmax", "5.0.0")
        .about("Remove and return the member with the highest score from one or more sorted sets, \
            or block until one is available",
            "O(log(N)) with N being the number of elements in the sorted set.")
        .takes(-3, &[F::WRITE, F::NOSCRIPT, F::BLOCKING, F::FAST], &[C::SORTED_SET])
        .keys(&[many(&[K::RW, K::ACCESS, K::DELETE], 1, (-2, 1))])
        .planned("sorted sets are planned"),
    command("bzpopmin", "5.0.0")
        .about("Remove and return the member with the lowest score from one or more sorted sets, \
            or block until one is available",
            "O(log(N)) with N being the number of elements in the sorted set.")
        .takes(-3, &[F::WRITE, F::NOSCRIPT, F::BLOCKING, F::FAST], &[C::SORTED_SET])
        .keys(&[many(&[K::RW, K::ACCESS, K::DELETE], 1, (-2, 1))])
        .planned("sorted sets are planned"),
    command("zadd", "1.2.0")
        .about("Add one or more members to a sorted set, or update its score if it already exists",
            "O(log(N)) for each item added, where N is the number of elements in the sorted set.")
        .takes(-4, &[F::WRITE, F::DENYOOM, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .planned("sorted sets are planned"),
    command("zcard", "1.2.0")
        .about("Get the number of members in a sorted set", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RO], 1)])
        .planned("sorted sets are planned"),
    command("zcount", "2.0.0")
        .about("Count the members in a sorted set with scores within the given values",
            "O(log(N)) with N being the number of elements in the sorted set.")
        .takes(4, &[F::READONLY, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zdiff", "6.2.0")
        .about("Subtract multiple sorted sets",
            "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the \
            sets, N is the size of the first set, and K is the size of the result set.")
        .takes(-3, &[F::READONLY, F::MOVABLEKEYS], &[C::SORTED_SET])
        .keys(&[counted(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zdiffstore", "6.2.0")
        .about("Subtract multiple sorted sets and store the resulting sorted set in a new key",
            "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the \
            sets, N is the size of the first set, and K is the size of the result set.")
        .takes(-4, &[F::WRITE, F::DENYOOM, F::MOVABLEKEYS], &[C::SORTED_SET])
        .keys(&[one(&[K::OW, K::UPDATE], 1), counted(&[K::RO, K::ACCESS], 2)])
        .planned("sorted sets are planned"),
    command("zincrby", "1.2.0")
        .about("Increment the score of a member in a sorted set",
            "O(log(N)) where N is the number of elements in the sorted set.")
        .takes(4, &[F::WRITE, F::DENYOOM, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .planned("sorted sets are planned"),
    command("zinter", "6.2.0")
        .about("Intersect multiple sorted sets",
            "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the \
            number of input sorted sets and M being the number of elements in the resulting sorted \
            set.")
        .takes(-3, &[F::READONLY, F::MOVABLEKEYS], &[C::SORTED_SET])
        .keys(&[counted(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zintercard", "7.0.0")
        .about("Intersect multiple sorted sets and return the cardinality of the result",
            "O(N*K) worst case with N being the smallest input sorted set, K being the number of \
            input sorted sets.")
        .takes(-3, &[F::READONLY, F::MOVABLEKEYS], &[C::SORTED_SET])
        .keys(&[counted(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zinterstore", "2.0.0")
        .about("Intersect multiple sorted sets and store the resulting sorted set in a new key",
            "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the \
            number of input sorted sets and M being the number of elements in the resulting sorted \
            set.")
        .takes(-4, &[F::WRITE, F::DENYOOM, F::MOVABLEKEYS], &[C::SORTED_SET])
        .keys(&[one(&[K::OW, K::UPDATE], 1), counted(&[K::RO, K::ACCESS], 2)])
        .planned("sorted sets are planned"),
    command("zlexcount", "2.8.9")
        .about("Count the number of members in a sorted set between a given lexicographical range",
            "O(log(N)) with N being the number of elements in the sorted set.")
        .takes(4, &[F::READONLY, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zmpop", "7.0.0")
        .about("Remove and return members with scores in a sorted set",
            "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of \
            elements in the sorted set, and M being the number of elements popped.")
        .takes(-4, &[F::WRITE, F::MOVABLEKEYS], &[C::SORTED_SET])
        .keys(&[counted(&[K::RW, K::ACCESS, K::DELETE], 1)])
        .planned("sorted sets are planned"),
    command("zmscore", "6.2.0")
        .about("Get the score associated with the given members in a sorted set",
            "O(N) where N is the number of members being requested.")
        .takes(-3, &[F::READONLY, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zpopmax", "5.0.0")
        .about("Remove and return members with the highest scores in a sorted set",
            "O(log(N)*M) with N being the number of elements in the sorted set, and M being the \
            number of elements popped.")
        .takes(-2, &[F::WRITE, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1)])
        .planned("sorted sets are planned"),
    command("zpopmin", "5.0.0")
        .about("Remove and return members with the lowest scores in a sorted set",
            "O(log(N)*M) with N being the number of elements in the sorted set, and M being the \
            number of elements popped.")
        .takes(-2, &[F::WRITE, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1)])
        .planned("sorted sets are planned"),
    command("zrandmember", "6.2.0")
        .about("Get one or multiple random elements from a sorted set",
            "O(N) where N is the number of elements returned")
        .takes(-2, &[F::READONLY], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .planned("sorted sets are planned"),
    command("zrange", "1.2.0")
        .about("Return a range of members in a sorted set",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements returned.")
        .takes(-4, &[F::READONLY], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zrangebylex", "2.8.9")
        .about("Return a range of members in a sorted set, by lexicographical range",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements being returned. If M is constant (e.g. always asking for the first 10 \
            elements with LIMIT), you can consider it O(log(N)).")
        .takes(-4, &[F::READONLY], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument")
        .planned("sorted sets are planned"),
    command("zrangebyscore", "1.0.5")
        .about("Return a range of members in a sorted set, by score",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements being returned. If M is constant (e.g. always asking for the first 10 \
            elements with LIMIT), you can consider it O(log(N)).")
        .takes(-4, &[F::READONLY], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument")
        .planned("sorted sets are planned"),
    command("zrangestore", "6.2.0")
        .about("Store a range of members from sorted set into another key",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements stored into the destination key.")
        .takes(-5, &[F::WRITE, F::DENYOOM], &[C::SORTED_SET])
        .keys(&[one(&[K::OW, K::UPDATE], 1), one(&[K::RO, K::ACCESS], 2)])
        .planned("sorted sets are planned"),
    command("zrank", "2.0.0")
        .about("Determine the index of a member in a sorted set", "O(log(N))")
        .takes(3, &[F::READONLY, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zrem", "1.2.0")
        .about("Remove one or more members from a sorted set",
            "O(M*log(N)) with N being the number of elements in the sorted set and M the number of \
            elements to be removed.")
        .takes(-3, &[F::WRITE, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .planned("sorted sets are planned"),
    command("zremrangebylex", "2.8.9")
        .about("Remove all members in a sorted set between the given lexicographical range",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements removed by the operation.")
        .takes(4, &[F::WRITE], &[C::SORTED_SET])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .planned("sorted sets are planned"),
    command("zremrangebyrank", "2.0.0")
        .about("Remove all members in a sorted set within the given indexes",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements removed by the operation.")
        .takes(4, &[F::WRITE], &[C::SORTED_SET])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .planned("sorted sets are planned"),
    command("zremrangebyscore", "1.2.0")
        .about("Remove all members in a sorted set within the given scores",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements removed by the operation.")
        .takes(4, &[F::WRITE], &[C::SORTED_SET])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .planned("sorted sets are planned"),
    command("zrevrange", "1.2.0")
        .about("Return a range of members in a sorted set, by index, with scores ordered from high \
            to low",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements returned.")
        .takes(-4, &[F::READONLY], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument")
        .planned("sorted sets are planned"),
    command("zrevrangebylex", "2.8.9")
        .about("Return a range of members in a sorted set, by lexicographical range, ordered from \
            higher to lower strings.",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements being returned. If M is constant (e.g. always asking for the first 10 \
            elements with LIMIT), you can consider it O(log(N)).")
        .takes(-4, &[F::READONLY], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")
        .planned("sorted sets are planned"),
    command("zrevrangebyscore", "2.2.0")
        .about("Return a range of members in a sorted set, by score, with scores ordered from high \
            to low",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
            elements being returned. If M is constant (e.g. always asking for the first 10 \
            elements with LIMIT), you can consider it O(log(N)).")
        .takes(-4, &[F::READONLY], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")
        .planned("sorted sets are planned"),
    command("zrevrank", "2.0.0")
        .about("Determine the index of a member in a sorted set, with scores ordered from high to \
            low",
            "O(log(N))")
        .takes(3, &[F::READONLY, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zscan", "2.8.0")
        .about("Incrementally iterate sorted sets elements and associated scores",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls \
            for the cursor to return back to 0. N is the number of elements inside the \
            collection..")
        .takes(-3, &[F::READONLY], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .planned("sorted sets are planned"),
    command("zscore", "1.2.0")
        .about("Get the score associated with the given member in a sorted set", "O(1)")
        .takes(3, &[F::READONLY, F::FAST], &[C::SORTED_SET])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zunion", "6.2.0")
        .about("Add multiple sorted sets",
            "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M \
            being the number of elements in the resulting sorted set.")
        .takes(-3, &[F::READONLY, F::MOVABLEKEYS], &[C::SORTED_SET])
        .keys(&[counted(&[K::RO, K::ACCESS], 1)])
        .planned("sorted sets are planned"),
    command("zunionstore", "2.0.0")
        .about("Add multiple sorted sets and store the resulting sorted set in a new key",
            "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M \
            being the number of elements in the resulting sorted set.")
        .takes(-4, &[F::WRITE, F::DENYOOM, F::MOVABLEKEYS], &[C::SORTED_SET])
        .keys(&[one(&[K::OW, K::UPDATE], 1), counted(&[K::RO, K::ACCESS], 2)])
        .planned("sorted sets are planned"),
];

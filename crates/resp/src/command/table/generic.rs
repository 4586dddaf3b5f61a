//! Commands on keys of any type.

use super::super::{
    Categories as C, Command, CommandId as Id, Flags as F, Group, Handler, KeyFlags as K,
};
use super::row::{hidden, many, many_after, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Generic, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("copy", "6.2.0")
        .about("Copy a key",
            "O(N) worst case for collections, where N is the number of nested items. O(1) for \
            string values.")
        .takes(-3, &[F::WRITE, F::DENYOOM], &[C::KEYSPACE])
        .keys(&[one(&[K::RO, K::ACCESS], 1), one(&[K::OW, K::UPDATE], 2)])
        .runs(Handler::Keyspace, Id::Copy),
    command("del", "1.0.0")
        .about("Delete a key",
            "O(N) where N is the number of keys that will be removed. When a key to remove holds a \
            value other than a string, the individual complexity for this key is O(M) where M is \
            the number of elements in the list, set, sorted set or hash. Removing a single key \
            that holds a string value is O(1).")
        .takes(-2, &[F::WRITE], &[C::KEYSPACE])
        .keys(&[many(&[K::RM, K::DELETE], 1, (-1, 1))])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .runs(Handler::Keyspace, Id::Del),
    command("dump", "2.6.0")
        .about("Return a serialized version of the value stored at the specified key.",
            "O(1) to access the key and additional O(N*M) to serialize it, where N is the number \
            of Redis objects composing the value and M their average size. For small string values \
            the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1).")
        .takes(2, &[F::READONLY], &[C::KEYSPACE])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .runs(Handler::Keyspace, Id::Dump),
    command("exists", "1.0.0")
        .about("Determine if a key exists", "O(N) where N is the number of keys to check.")
        .takes(-2, &[F::READONLY, F::FAST], &[C::KEYSPACE])
        .keys(&[many(&[K::RO], 1, (-1, 1))])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .runs(Handler::Keyspace, Id::Exists),
    command("expire", "1.0.0")
        .about("Set a key's time to live in seconds", "O(1)")
        .takes(-3, &[F::WRITE, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::Expire),
    command("expireat", "1.2.0")
        .about("Set the expiration for a key as a UNIX timestamp", "O(1)")
        .takes(-3, &[F::WRITE, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::ExpireAt),
    command("expiretime", "7.0.0")
        .about("Get the expiration Unix timestamp for a key", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .runs(Handler::Keyspace, Id::ExpireTime),
    command("keys", "1.0.0")
        .about("Find all keys matching the given pattern",
            "O(N) with N being the number of keys in the database, under the assumption that the \
            key names in the database and the given pattern have limited length.")
        .takes(2, &[F::READONLY], &[C::KEYSPACE, C::DANGEROUS])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .runs(Handler::KeyspaceWide, Id::Keys),
    command("migrate", "2.6.0")
        .about("Atomically transfer a key from a Redis instance to another one.",
            "This command actually executes a DUMP+DEL in the source instance, and a RESTORE in \
            the target instance. See the pages of these commands for time complexity. Also an O(N) \
            data transfer between the two instances is performed.")
        .takes(-6, &[F::WRITE, F::MOVABLEKEYS], &[C::KEYSPACE, C::DANGEROUS])
        .keys(&[
            one(&[K::RW, K::ACCESS, K::DELETE], 3),
            many_after(&[K::RW, K::ACCESS, K::DELETE, K::INCOMPLETE], ("KEYS", -2), (-1, 0)),
        ])
        .tips(&["nondeterministic_output"])
        .never("keys move with their slots"),
    command("move", "1.0.0")
        .about("Move a key to another database", "O(1)")
        .takes(3, &[F::WRITE, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::Move),
    command("object", "2.2.3")
        .about("A container for object introspection commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .container(&[
            command("object|encoding", "2.2.3")
                .about("Inspect the internal encoding of a Redis object", "O(1)")
                .takes(3, &[F::READONLY], &[C::KEYSPACE])
                .keys(&[one(&[K::RO], 2)])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Keyspace, Id::ObjectEncoding),
            command("object|freq", "4.0.0")
                .about("Get the logarithmic access frequency counter of a Redis object", "O(1)")
                .takes(3, &[F::READONLY], &[C::KEYSPACE])
                .keys(&[one(&[K::RO], 2)])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Keyspace, Id::ObjectFreq),
            command("object|help", "6.2.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[C::KEYSPACE])
                .runs(Handler::Server, Id::ObjectHelp),
            command("object|idletime", "2.2.3")
                .about("Get the time since a Redis object was last accessed", "O(1)")
                .takes(3, &[F::READONLY], &[C::KEYSPACE])
                .keys(&[one(&[K::RO], 2)])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Keyspace, Id::ObjectIdleTime),
            command("object|refcount", "2.2.3")
                .about("Get the number of references to the value of the key", "O(1)")
                .takes(3, &[F::READONLY], &[C::KEYSPACE])
                .keys(&[one(&[K::RO], 2)])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Keyspace, Id::ObjectRefCount),
        ]),
    command("persist", "2.2.0")
        .about("Remove the expiration from a key", "O(1)")
        .takes(2, &[F::WRITE, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::Persist),
    command("pexpire", "2.6.0")
        .about("Set a key's time to live in milliseconds", "O(1)")
        .takes(-3, &[F::WRITE, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::PExpire),
    command("pexpireat", "2.6.0")
        .about("Set the expiration for a key as a UNIX timestamp specified in milliseconds", "O(1)")
        .takes(-3, &[F::WRITE, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::PExpireAt),
    command("pexpiretime", "7.0.0")
        .about("Get the expiration Unix timestamp for a key in milliseconds", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .runs(Handler::Keyspace, Id::PExpireTime),
    command("pttl", "2.6.0")
        .about("Get the time to live for a key in milliseconds", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .runs(Handler::Keyspace, Id::PTtl),
    command("randomkey", "1.0.0")
        .about("Return a random key from the keyspace", "O(1)")
        .takes(1, &[F::READONLY], &[C::KEYSPACE])
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .runs(Handler::KeyspaceWide, Id::RandomKey),
    command("rename", "1.0.0")
        .about("Rename a key", "O(1)")
        .takes(3, &[F::WRITE], &[C::KEYSPACE])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1), one(&[K::OW, K::UPDATE], 2)])
        .runs(Handler::Keyspace, Id::Rename),
    command("renamenx", "1.0.0")
        .about("Rename a key, only if the new key does not exist", "O(1)")
        .takes(3, &[F::WRITE, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1), one(&[K::OW, K::INSERT], 2)])
        .runs(Handler::Keyspace, Id::RenameNx),
    command("restore", "2.6.0")
        .about("Create a key using the provided serialized value, previously obtained using DUMP.",
            "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, \
            where N is the number of Redis objects composing the value and M their average size. \
            For small string values the time complexity is thus O(1)+O(1*M) where M is small, so \
            simply O(1). However for sorted set values the complexity is O(N*M*log(N)) because \
            inserting values into sorted sets is O(log(N)).")
        .takes(-4, &[F::WRITE, F::DENYOOM], &[C::KEYSPACE, C::DANGEROUS])
        .keys(&[one(&[K::OW, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::Restore),
    command("scan", "2.8.0")
        .about("Incrementally iterate the keys space",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls \
            for the cursor to return back to 0. N is the number of elements inside the collection.")
        .takes(-2, &[F::READONLY], &[C::KEYSPACE])
        .tips(&["nondeterministic_output", "request_policy:special"])
        .runs(Handler::KeyspaceWide, Id::Scan),
    command("sort", "1.0.0")
        .about("Sort the elements in a list, set or sorted set",
            "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the \
            number of returned elements. When the elements are not sorted, complexity is O(N).")
        .takes(-2, &[F::WRITE, F::DENYOOM, F::MOVABLEKEYS],
            &[C::SET, C::SORTED_SET, C::LIST, C::DANGEROUS])
        .keys(&[one(&[K::RO, K::ACCESS], 1), hidden(&[K::RO, K::ACCESS])
                .noted("For the optional BY/GET keyword. It is marked 'unknown' because the key \
                names derive from the content of the key we sort"), hidden(&[K::OW, K::UPDATE])
                .noted("For the optional STORE keyword. It is marked 'unknown' because the keyword \
                can appear anywhere in the argument array")])
        .planned("sorting is planned"),
    command("sort_ro", "7.0.0")
        .about("Sort the elements in a list, set or sorted set. Read-only variant of SORT.",
            "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the \
            number of returned elements. When the elements are not sorted, complexity is O(N).")
        .takes(-2, &[F::READONLY, F::MOVABLEKEYS], &[C::SET, C::SORTED_SET, C::LIST, C::DANGEROUS])
        .keys(&[one(&[K::RO, K::ACCESS], 1), hidden(&[K::RO, K::ACCESS])
                .noted("For the optional BY/GET keyword. It is marked 'unknown' because the key \
                names derive from the content of the key we sort")])
        .planned("sorting is planned"),
    command("touch", "3.2.1")
        .about("Alters the last access time of a key(s). Returns the number of existing keys \
            specified.",
            "O(N) where N is the number of keys that will be touched.")
        .takes(-2, &[F::READONLY, F::FAST], &[C::KEYSPACE])
        .keys(&[many(&[K::RO], 1, (-1, 1))])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .runs(Handler::Keyspace, Id::Touch),
    command("ttl", "1.0.0")
        .about("Get the time to live for a key in seconds", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .runs(Handler::Keyspace, Id::Ttl),
    command("type", "1.0.0")
        .about("Determine the type stored at key", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::KEYSPACE])
        .keys(&[one(&[K::RO], 1)])
        .runs(Handler::Keyspace, Id::Type),
    command("unlink", "4.0.0")
        .about("Delete a key asynchronously in another thread. Otherwise it is just as DEL, but \
            non blocking.",
            "O(1) for each key removed regardless of its size. Then the command does O(N) work in \
            a different thread in order to reclaim memory, where N is the number of allocations \
            the deleted objects where composed of.")
        .takes(-2, &[F::WRITE, F::FAST], &[C::KEYSPACE])
        .keys(&[many(&[K::RM, K::DELETE], 1, (-1, 1))])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .runs(Handler::Keyspace, Id::Unlink),
    command("wait", "3.0.0")
        .about("Wait for the synchronous replication of all the write commands sent in the context \
            of the current connection",
            "O(1)")
        .takes(3, &[F::NOSCRIPT], &[C::CONNECTION])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .runs(Handler::Connection, Id::Wait),
];

/// The commands that only the log holds.
#[rustfmt::skip]
pub(super) static INTERNAL: &[Command] = &[
    command("leasehold.reap", "0.1.0")
        .about("Remove those of the keys whose time to live has passed",
            "O(N) where N is the number of keys")
        .takes(-2, &[F::WRITE], &[C::KEYSPACE])
        .keys(&[many(&[K::RM, K::DELETE], 1, (-1, 1))])
        .runs(Handler::Keyspace, Id::Reap),
];

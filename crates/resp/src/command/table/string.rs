//! Commands on strings.

use super::super::{
    Categories as C, Command, CommandId as Id, Flags as F, Group, Handler, KeyFlags as K,
};
use super::row::{many, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::String, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("append", "2.0.0")
        .about("Append a value to a key",
            "O(1). The amortized time complexity is O(1) assuming the appended value is small and \
            the already present value is of any size, since the dynamic string library used by \
            Redis will double the free space available on every reallocation.")
        .takes(3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RW, K::INSERT], 1)])
        .runs(Handler::Keyspace, Id::Append),
    command("decr", "1.0.0")
        .about("Decrement the integer value of a key by one", "O(1)")
        .takes(2, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::Decr),
    command("decrby", "1.0.0")
        .about("Decrement the integer value of a key by the given number", "O(1)")
        .takes(3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::DecrBy),
    command("get", "1.0.0")
        .about("Get the value of a key", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .runs(Handler::Keyspace, Id::Get),
    command("getdel", "6.2.0")
        .about("Get the value of a key and delete the key", "O(1)")
        .takes(2, &[F::WRITE, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1)])
        .runs(Handler::Keyspace, Id::GetDel),
    command("getex", "6.2.0")
        .about("Get the value of a key and optionally set its expiration", "O(1)")
        .takes(-2, &[F::WRITE, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)
                .noted("RW and UPDATE because it changes the TTL")])
        .runs(Handler::Keyspace, Id::GetEx),
    command("getrange", "2.4.0")
        .about("Get a substring of the string stored at a key",
            "O(N) where N is the length of the returned string. The complexity is ultimately \
            determined by the returned length, but because creating a substring from an existing \
            string is very cheap, it can be considered O(1) for small strings.")
        .takes(4, &[F::READONLY], &[C::STRING])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .runs(Handler::Keyspace, Id::GetRange),
    command("getset", "1.0.0")
        .about("Set the string value of a key and return its old value", "O(1)")
        .takes(3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .deprecated("6.2.0", "`SET` with the `!GET` argument")
        .runs(Handler::Keyspace, Id::GetSet),
    command("incr", "1.0.0")
        .about("Increment the integer value of a key by one", "O(1)")
        .takes(2, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::Incr),
    command("incrby", "1.0.0")
        .about("Increment the integer value of a key by the given amount", "O(1)")
        .takes(3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::IncrBy),
    command("incrbyfloat", "2.6.0")
        .about("Increment the float value of a key by the given amount", "O(1)")
        .takes(3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::IncrByFloat),
    command("lcs", "7.0.0")
        .about("Find longest common substring",
            "O(N*M) where N and M are the lengths of s1 and s2, respectively")
        .takes(-3, &[F::READONLY], &[C::STRING])
        .keys(&[many(&[K::RO, K::ACCESS], 1, (1, 1))])
        .runs(Handler::Keyspace, Id::Lcs),
    command("mget", "1.0.0")
        .about("Get the values of all the given keys",
            "O(N) where N is the number of keys to retrieve.")
        .takes(-2, &[F::READONLY, F::FAST], &[C::STRING])
        .keys(&[many(&[K::RO, K::ACCESS], 1, (-1, 1))])
        .tips(&["request_policy:multi_shard"])
        .runs(Handler::Keyspace, Id::MGet),
    command("mset", "1.0.1")
        .about("Set multiple keys to multiple values", "O(N) where N is the number of keys to set.")
        .takes(-3, &[F::WRITE, F::DENYOOM], &[C::STRING])
        .keys(&[many(&[K::OW, K::UPDATE], 1, (-1, 2))])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .runs(Handler::Keyspace, Id::MSet),
    command("msetnx", "1.0.1")
        .about("Set multiple keys to multiple values, only if none of the keys exist",
            "O(N) where N is the number of keys to set.")
        .takes(-3, &[F::WRITE, F::DENYOOM], &[C::STRING])
        .keys(&[many(&[K::OW, K::INSERT], 1, (-1, 2))])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .runs(Handler::Keyspace, Id::MSetNx),
    command("psetex", "2.6.0")
        .about("Set the value and expiration in milliseconds of a key", "O(1)")
        .takes(4, &[F::WRITE, F::DENYOOM], &[C::STRING])
        .keys(&[one(&[K::OW, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::PSetEx),
    command("set", "1.0.0")
        .about("Set the string value of a key", "O(1)")
        .takes(-3, &[F::WRITE, F::DENYOOM], &[C::STRING])
        .keys(&[one(&[K::RW, K::ACCESS, K::UPDATE, K::VARIABLE], 1)
                .noted("RW and ACCESS due to the optional `GET` argument")])
        .runs(Handler::Keyspace, Id::Set),
    command("setex", "2.0.0")
        .about("Set the value and expiration of a key", "O(1)")
        .takes(4, &[F::WRITE, F::DENYOOM], &[C::STRING])
        .keys(&[one(&[K::OW, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::SetEx),
    command("setnx", "1.0.0")
        .about("Set the value of a key, only if the key does not exist", "O(1)")
        .takes(3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STRING])
        .keys(&[one(&[K::OW, K::INSERT], 1)])
        .runs(Handler::Keyspace, Id::SetNx),
    command("setrange", "2.2.0")
        .about("Overwrite part of a string at key starting at the specified offset",
            "O(1), not counting the time taken to copy the new string in place. Usually, this \
            string is very small so the amortized complexity is O(1). Otherwise, complexity is \
            O(M) with M being the length of the value argument.")
        .takes(4, &[F::WRITE, F::DENYOOM], &[C::STRING])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .runs(Handler::Keyspace, Id::SetRange),
    command("strlen", "2.2.0")
        .about("Get the length of the value stored in a key", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::STRING])
        .keys(&[one(&[K::RO], 1)])
        .runs(Handler::Keyspace, Id::StrLen),
    command("substr", "1.0.0")
        .about("Get a substring of the string stored at a key",
            "O(N) where N is the length of the returned string. The complexity is ultimately \
            determined by the returned length, but because creating a substring from an existing \
            string is very cheap, it can be considered O(1) for small strings.")
        .takes(4, &[F::READONLY], &[C::STRING])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .deprecated("2.0.0", "`GETRANGE`")
        .runs(Handler::Keyspace, Id::SubStr),
];

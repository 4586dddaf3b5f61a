//! Commands on lists.

use super::super::{Categories as C, Command, Flags as F, Group, KeyFlags as K};
use super::row::{counted, many, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::List, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("blmove", "6.2.0")
        .about("Pop an element from a list, push it to another list and return it; or block until \
            one is available",
            "O(1)")
        .takes(6, &[F::WRITE, F::DENYOOM, F::NOSCRIPT, F::BLOCKING], &[C::LIST])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1), one(&[K::RW, K::INSERT], 2)])
        .planned("lists are planned"),
    command("blmpop", "7.0.0")
        .about("Pop elements from a list, or block until one is available",
            "O(N+M) where N is the number of provided keys and M is the number of elements \
            returned.")
        .takes(-5, &[F::WRITE, F::BLOCKING, F::MOVABLEKEYS], &[C::LIST])
        .keys(&[counted(&[K::RW, K::ACCESS, K::DELETE], 2)])
        .planned("lists are planned"),
    command("blpop", "2.0.0")
        .about("Remove and get the first element in a list, or block until one is available",
            "O(N) where N is the number of provided keys.")
        .takes(-3, &[F::WRITE, F::NOSCRIPT, F::BLOCKING], &[C::LIST])
        .keys(&[many(&[K::RW, K::ACCESS, K::DELETE], 1, (-2, 1))])
        .planned("lists are planned"),
    command("brpop", "2.0.0")
        .about("Remove and get the last element in a list, or block until one is available",
            "O(N) where N is the number of provided keys.")
        .takes(-3, &[F::WRITE, F::NOSCRIPT, F::BLOCKING], &[C::LIST])
        .keys(&[many(&[K::RW, K::ACCESS, K::DELETE], 1, (-2, 1))])
        .planned("lists are planned"),
    command("brpoplpush", "2.2.0")
        .about("Pop an element from a list, push it to another list and return it; or block until \
            one is available",
            "O(1)")
        .takes(4, &[F::WRITE, F::DENYOOM, F::NOSCRIPT, F::BLOCKING], &[C::LIST])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1), one(&[K::RW, K::INSERT], 2)])
        .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")
        .planned("lists are planned"),
    command("lindex", "1.0.0")
        .about("Get an element from a list by its index",
            "O(N) where N is the number of elements to traverse to get to the element at index. \
            This makes asking for the first or the last element of the list O(1).")
        .takes(3, &[F::READONLY], &[C::LIST])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("lists are planned"),
    command("linsert", "2.2.0")
        .about("Insert an element before or after another element in a list",
            "O(N) where N is the number of elements to traverse before seeing the value pivot. \
            This means that inserting somewhere on the left end on the list (head) can be \
            considered O(1) and inserting somewhere on the right end (tail) is O(N).")
        .takes(5, &[F::WRITE, F::DENYOOM], &[C::LIST])
        .keys(&[one(&[K::RW, K::INSERT], 1)])
        .planned("lists are planned"),
    command("llen", "1.0.0")
        .about("Get the length of a list", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::LIST])
        .keys(&[one(&[K::RO], 1)])
        .planned("lists are planned"),
    command("lmove", "6.2.0")
        .about("Pop an element from a list, push it to another list and return it", "O(1)")
        .takes(5, &[F::WRITE, F::DENYOOM], &[C::LIST])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1), one(&[K::RW, K::INSERT], 2)])
        .planned("lists are planned"),
    command("lmpop", "7.0.0")
        .about("Pop elements from a list",
            "O(N+M) where N is the number of provided keys and M is the number of elements \
            returned.")
        .takes(-4, &[F::WRITE, F::MOVABLEKEYS], &[C::LIST])
        .keys(&[counted(&[K::RW, K::ACCESS, K::DELETE], 1)])
        .planned("lists are planned"),
    command("lpop", "1.0.0")
        .about("Remove and get the first elements in a list",
            "O(N) where N is the number of elements returned")
        .takes(-2, &[F::WRITE, F::FAST], &[C::LIST])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1)])
        .planned("lists are planned"),
    command("lpos", "6.0.6")
        .about("Return the index of matching elements on a list",
            "O(N) where N is the number of elements in the list, for the average case. When \
            searching for elements near the head or the tail of the list, or when the MAXLEN \
            option is provided, the command may run in constant time.")
        .takes(-3, &[F::READONLY], &[C::LIST])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("lists are planned"),
    command("lpush", "1.0.0")
        .about("Prepend one or multiple elements to a list",
            "O(1) for each element added, so O(N) to add N elements when the command is called \
            with multiple arguments.")
        .takes(-3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::LIST])
        .keys(&[one(&[K::RW, K::INSERT], 1)])
        .planned("lists are planned"),
    command("lpushx", "2.2.0")
        .about("Prepend an element to a list, only if the list exists",
            "O(1) for each element added, so O(N) to add N elements when the command is called \
            with multiple arguments.")
        .takes(-3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::LIST])
        .keys(&[one(&[K::RW, K::INSERT], 1)])
        .planned("lists are planned"),
    command("lrange", "1.0.0")
        .about("Get a range of elements from a list",
            "O(S+N) where S is the distance of start offset from HEAD for small lists, from \
            nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the \
            specified range.")
        .takes(4, &[F::READONLY], &[C::LIST])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("lists are planned"),
    command("lrem", "1.0.0")
        .about("Remove elements from a list",
            "O(N+M) where N is the length of the list and M is the number of elements removed.")
        .takes(4, &[F::WRITE], &[C::LIST])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .planned("lists are planned"),
    command("lset", "1.0.0")
        .about("Set the value of an element in a list by its index",
            "O(N) where N is the length of the list. Setting either the first or the last element \
            of the list is O(1).")
        .takes(4, &[F::WRITE, F::DENYOOM], &[C::LIST])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .planned("lists are planned"),
    command("ltrim", "1.0.0")
        .about("Trim a list to the specified range",
            "O(N) where N is the number of elements to be removed by the operation.")
        .takes(4, &[F::WRITE], &[C::LIST])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .planned("lists are planned"),
    command("rpop", "1.0.0")
        .about("Remove and get the last elements in a list",
            "O(N) where N is the number of elements returned")
        .takes(-2, &[F::WRITE, F::FAST], &[C::LIST])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1)])
        .planned("lists are planned"),
    command("rpoplpush", "1.2.0")
        .about("Remove the last element in a list, prepend it to another list and return it",
            "O(1)")
        .takes(3, &[F::WRITE, F::DENYOOM], &[C::LIST])
        .keys(&[one(&[K::RW, K::ACCESS, K::DELETE], 1), one(&[K::RW, K::INSERT], 2)])
        .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")
        .planned("lists are planned"),
    command("rpush", "1.0.0")
        .about("Append one or multiple elements to a list",
            "O(1) for each element added, so O(N) to add N elements when the command is called \
            with multiple arguments.")
        .takes(-3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::LIST])
        .keys(&[one(&[K::RW, K::INSERT], 1)])
        .planned("lists are planned"),
    command("rpushx", "2.2.0")
        .about("Append an element to a list, only if the list exists",
            "O(1) for each element added, so O(N) to add N elements when the command is called \
            with multiple arguments.")
        .takes(-3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::LIST])
        .keys(&[one(&[K::RW, K::INSERT], 1)])
        .planned("lists are planned"),
];

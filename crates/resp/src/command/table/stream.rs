//! Commands on streams.

use super::super::{Categories as C, Command, Flags as F, Group, KeyFlags as K};
use super::row::{many_after, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Stream, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("xack", "5.0.0")
        .about("Marks a pending message as correctly processed, effectively removing it from the \
            pending entries list of the consumer group. Return value of the command is the number \
            of messages successfully acknowledged, that is, the IDs we were actually able to \
            resolve in the PEL.",
            "O(1) for each message ID processed.")
        .takes(-4, &[F::WRITE, F::FAST], &[C::STREAM])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .planned("streams are planned"),
    command("xadd", "5.0.0")
        .about("Appends a new entry to a stream",
            "O(1) when adding a new entry, O(N) when trimming where N being the number of entries \
            evicted.")
        .takes(-5, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STREAM])
        .keys(&[one(&[K::RW, K::UPDATE], 1)
                .noted("UPDATE instead of INSERT because of the optional trimming feature")])
        .tips(&["nondeterministic_output"])
        .planned("streams are planned"),
    command("xautoclaim", "6.2.0")
        .about("Changes (or acquires) ownership of messages in a consumer group, as if the \
            messages were delivered to the specified consumer.",
            "O(1) if COUNT is small.")
        .takes(-6, &[F::WRITE, F::FAST], &[C::STREAM])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .tips(&["nondeterministic_output"])
        .planned("streams are planned"),
    command("xclaim", "5.0.0")
        .about("Changes (or acquires) ownership of a message in a consumer group, as if the \
            message was delivered to the specified consumer.",
            "O(log N) with N being the number of messages in the PEL of the consumer group.")
        .takes(-6, &[F::WRITE, F::FAST], &[C::STREAM])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .tips(&["nondeterministic_output"])
        .planned("streams are planned"),
    command("xdel", "5.0.0")
        .about("Removes the specified entries from the stream. Returns the number of items \
            actually deleted, that may be different from the number of IDs passed in case certain \
            IDs do not exist.",
            "O(1) for each single item to delete in the stream, regardless of the stream size.")
        .takes(-3, &[F::WRITE, F::FAST], &[C::STREAM])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .planned("streams are planned"),
    command("xgroup", "5.0.0")
        .about("A container for consumer groups commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .planned("streams are planned")
        .subcommands(&[
            command("xgroup|create", "5.0.0")
                .about("Create a consumer group.", "O(1)")
                .takes(-5, &[F::WRITE, F::DENYOOM], &[C::STREAM])
                .keys(&[one(&[K::RW, K::INSERT], 2)])
                .planned("streams are planned"),
            command("xgroup|createconsumer", "6.2.0")
                .about("Create a consumer in a consumer group.", "O(1)")
                .takes(5, &[F::WRITE, F::DENYOOM], &[C::STREAM])
                .keys(&[one(&[K::RW, K::INSERT], 2)])
                .planned("streams are planned"),
            command("xgroup|delconsumer", "5.0.0")
                .about("Delete a consumer from a consumer group.", "O(1)")
                .takes(5, &[F::WRITE], &[C::STREAM])
                .keys(&[one(&[K::RW, K::DELETE], 2)])
                .planned("streams are planned"),
            command("xgroup|destroy", "5.0.0")
                .about("Destroy a consumer group.",
                    "O(N) where N is the number of entries in the group's pending entries list \
                    (PEL).")
                .takes(4, &[F::WRITE], &[C::STREAM])
                .keys(&[one(&[K::RW, K::DELETE], 2)])
                .planned("streams are planned"),
            command("xgroup|help", "5.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[C::STREAM])
                .planned("streams are planned"),
            command("xgroup|setid", "5.0.0")
                .about("Set a consumer group to an arbitrary last delivered ID value.", "O(1)")
                .takes(-5, &[F::WRITE], &[C::STREAM])
                .keys(&[one(&[K::RW, K::UPDATE], 2)])
                .planned("streams are planned"),
        ]),
    command("xinfo", "5.0.0")
        .about("A container for stream introspection commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .planned("streams are planned")
        .subcommands(&[
            command("xinfo|consumers", "5.0.0")
                .about("List the consumers in a consumer group", "O(1)")
                .takes(4, &[F::READONLY], &[C::STREAM])
                .keys(&[one(&[K::RO, K::ACCESS], 2)])
                .tips(&["nondeterministic_output"])
                .planned("streams are planned"),
            command("xinfo|groups", "5.0.0")
                .about("List the consumer groups of a stream", "O(1)")
                .takes(3, &[F::READONLY], &[C::STREAM])
                .keys(&[one(&[K::RO, K::ACCESS], 2)])
                .planned("streams are planned"),
            command("xinfo|help", "5.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[C::STREAM])
                .planned("streams are planned"),
            command("xinfo|stream", "5.0.0")
                .about("Get information about a stream", "O(1)")
                .takes(-3, &[F::READONLY], &[C::STREAM])
                .keys(&[one(&[K::RO, K::ACCESS], 2)])
                .planned("streams are planned"),
        ]),
    command("xlen", "5.0.0")
        .about("Return the number of entries in a stream", "O(1)")
        .takes(2, &[F::READONLY, F::FAST], &[C::STREAM])
        .keys(&[one(&[K::RO], 1)])
        .planned("streams are planned"),
    command("xpending", "5.0.0")
        .about("Return information and entries from a stream consumer group pending entries list, \
            that are messages fetched but never acknowledged.",
            "O(N) with N being the number of elements returned, so asking for a small fixed number \
            of entries per call is O(1). O(M), where M is the total number of entries scanned when \
            used with the IDLE filter. When the command returns just the summary and the list of \
            consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for \
            iterating every consumer.")
        .takes(-3, &[F::READONLY], &[C::STREAM])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .planned("streams are planned"),
    command("xrange", "5.0.0")
        .about("Return a range of elements in a stream, with IDs matching the specified IDs \
            interval",
            "O(N) with N being the number of elements being returned. If N is constant (e.g. \
            always asking for the first 10 elements with COUNT), you can consider it O(1).")
        .takes(-4, &[F::READONLY], &[C::STREAM])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("streams are planned"),
    command("xread", "5.0.0")
        .about("Return never seen elements in multiple streams, with IDs greater than the ones \
            reported by the caller for each stream. Can block.",
            "For each stream mentioned: O(N) with N being the number of elements being returned, \
            it means that XREAD-ing with a fixed COUNT is O(1). Note that when the BLOCK option is \
            used, XADD will pay O(M) time in order to serve the M clients blocked on the stream \
            getting new data.")
        .takes(-4, &[F::READONLY, F::BLOCKING, F::MOVABLEKEYS], &[C::STREAM])
        .keys(&[many_after(&[K::RO, K::ACCESS], ("STREAMS", 1), (-1, 2))])
        .planned("streams are planned"),
    command("xreadgroup", "5.0.0")
        .about("Return new entries from a stream using a consumer group, or access the history of \
            the pending entries for a given consumer. Can block.",
            "For each stream mentioned: O(M) with M being the number of elements returned. If M is \
            constant (e.g. always asking for the first 10 elements with COUNT), you can consider \
            it O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in \
            order to serve the N clients blocked on the stream getting new data.")
        .takes(-7, &[F::WRITE, F::BLOCKING, F::MOVABLEKEYS], &[C::STREAM])
        .keys(&[many_after(&[K::RO, K::ACCESS], ("STREAMS", 4), (-1, 2))])
        .planned("streams are planned"),
    command("xrevrange", "5.0.0")
        .about("Return a range of elements in a stream, with IDs matching the specified IDs \
            interval, in reverse order (from greater to smaller IDs) compared to XRANGE",
            "O(N) with N being the number of elements returned. If N is constant (e.g. always \
            asking for the first 10 elements with COUNT), you can consider it O(1).")
        .takes(-4, &[F::READONLY], &[C::STREAM])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("streams are planned"),
    command("xsetid", "5.0.0")
        .about("An internal command for replicating stream values", "O(1)")
        .takes(-3, &[F::WRITE, F::DENYOOM, F::FAST], &[C::STREAM])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .planned("streams are planned"),
    command("xtrim", "5.0.0")
        .about("Trims the stream to (approximately if '~' is passed) a certain size",
            "O(N), with N being the number of evicted entries. Constant times are very small \
            however, since entries are organized in macro nodes containing multiple entries that \
            can be released with a single deallocation.")
        .takes(-4, &[F::WRITE], &[C::STREAM])
        .keys(&[one(&[K::RW, K::DELETE], 1)])
        .tips(&["nondeterministic_output"])
        .planned("streams are planned"),
];

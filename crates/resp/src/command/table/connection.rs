//! Commands about the connection.

use super::super::{Categories as C, Command, CommandId as Id, Flags as F, Group, Handler};
use super::row::row;

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Connection, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("auth", "1.0.0")
        .about("Authenticate to the server",
            "O(N) where N is the number of passwords defined for the user")
        .takes(-2, &[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::NO_AUTH, F::ALLOW_BUSY],
            &[C::CONNECTION])
        .runs(Handler::Connection, Id::Auth),
    command("client", "2.4.0")
        .about("A container for client connection commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .container(&[
            command("client|caching", "6.0.0")
                .about("Instruct the server about tracking or not keys in the next request", "O(1)")
                .takes(3, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .planned("client-side caching is planned"),
            command("client|getname", "2.6.9")
                .about("Get the current connection name", "O(1)")
                .takes(2, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Connection, Id::ClientGetName),
            command("client|getredir", "6.0.0")
                .about("Get tracking notifications redirection client ID if any", "O(1)")
                .takes(2, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .planned("client-side caching is planned"),
            command("client|help", "5.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Connection, Id::ClientHelp),
            command("client|id", "5.0.0")
                .about("Returns the client ID for the current connection", "O(1)")
                .takes(2, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Connection, Id::ClientId),
            command("client|info", "6.2.0")
                .about("Returns information about the current client connection.", "O(1)")
                .takes(2, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Connection, Id::ClientInfo),
            command("client|kill", "2.4.0")
                .about("Kill the connection of a client",
                    "O(N) where N is the number of client connections")
                .takes(-3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Connection, Id::ClientKill),
            command("client|list", "2.4.0")
                .about("Get the list of client connections",
                    "O(N) where N is the number of client connections")
                .takes(-2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Connection, Id::ClientList),
            command("client|no-evict", "7.0.0")
                .about("Set client eviction mode for the current connection", "O(1)")
                .takes(3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Connection, Id::ClientNoEvict),
            command("client|no-touch", "7.2.0")
                .about("Control whether commands sent by this client affect the idle time of the \
                    keys they access",
                    "O(1)")
                .takes(3, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Connection, Id::ClientNoTouch),
            command("client|pause", "2.9.50")
                .about("Stop processing commands from clients for some time", "O(1)")
                .takes(-3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .planned("pausing clients is planned"),
            command("client|reply", "3.2.0")
                .about("Instruct the server whether to reply to commands", "O(1)")
                .takes(3, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Connection, Id::ClientReply),
            command("client|setinfo", "7.2.0")
                .about("Set information about the client library of the current connection", "O(1)")
                .takes(4, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .runs(Handler::Connection, Id::ClientSetInfo),
            command("client|setname", "2.6.9")
                .about("Set the current connection name", "O(1)")
                .takes(3, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Connection, Id::ClientSetName),
            command("client|tracking", "6.0.0")
                .about("Enable or disable server assisted client side caching support",
                    "O(1). Some options may introduce additional complexity.")
                .takes(-3, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .planned("client-side caching is planned"),
            command("client|trackinginfo", "6.2.0")
                .about("Return information about server assisted client side caching for the \
                    current connection",
                    "O(1)")
                .takes(2, &[F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .planned("client-side caching is planned"),
            command("client|unblock", "5.0.0")
                .about("Unblock a client blocked in a blocking command from a different connection",
                    "O(log N) where N is the number of client connections")
                .takes(-3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .planned("blocking commands are planned"),
            command("client|unpause", "6.2.0")
                .about("Resume processing of clients that were paused",
                    "O(N) Where N is the number of paused clients")
                .takes(2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[C::CONNECTION])
                .planned("pausing clients is planned"),
        ]),
    command("echo", "1.0.0")
        .about("Echo the given string", "O(1)")
        .takes(2, &[F::LOADING, F::STALE, F::FAST], &[C::CONNECTION])
        .runs(Handler::Connection, Id::Echo),
    command("hello", "6.0.0")
        .about("Handshake with Redis", "O(1)")
        .takes(-1, &[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::NO_AUTH, F::ALLOW_BUSY],
            &[C::CONNECTION])
        .runs(Handler::Connection, Id::Hello),
    command("ping", "1.0.0")
        .about("Ping the server", "O(1)")
        .takes(-1, &[F::FAST], &[C::CONNECTION])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .runs(Handler::Connection, Id::Ping),
    command("quit", "1.0.0")
        .about("Close the connection", "O(1)")
        .takes(-1, &[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::NO_AUTH, F::ALLOW_BUSY],
            &[C::CONNECTION])
        .runs(Handler::Connection, Id::Quit),
    command("reset", "6.2.0")
        .about("Reset the connection", "O(1)")
        .takes(1, &[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::NO_AUTH, F::ALLOW_BUSY],
            &[C::CONNECTION])
        .runs(Handler::Connection, Id::Reset),
    command("select", "1.0.0")
        .about("Change the selected database for the current connection", "O(1)")
        .takes(2, &[F::LOADING, F::STALE, F::FAST], &[C::CONNECTION])
        .runs(Handler::Connection, Id::Select),
];

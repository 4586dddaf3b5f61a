//! Commands to publish and to subscribe.

use super::super::{Command, Flags as F, Group, KeyFlags as K};
use super::row::{many, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::PubSub, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("psubscribe", "2.0.0")
        .about("Listen for messages published to channels matching the given patterns",
            "O(N) where N is the number of patterns the client is already subscribed to.")
        .takes(-2, &[F::PUBSUB, F::NOSCRIPT, F::LOADING, F::STALE], &[])
        .planned("publish and subscribe are planned"),
    command("publish", "2.0.0")
        .about("Post a message to a channel",
            "O(N+M) where N is the number of clients subscribed to the receiving channel and M is \
            the total number of subscribed patterns (by any client).")
        .takes(3, &[F::PUBSUB, F::LOADING, F::STALE, F::FAST], &[])
        .planned("publish and subscribe are planned"),
    command("pubsub", "2.8.0")
        .about("A container for Pub/Sub commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .planned("publish and subscribe are planned")
        .subcommands(&[
            command("pubsub|channels", "2.8.0")
                .about("List active channels",
                    "O(N) where N is the number of active channels, and assuming constant time \
                    pattern matching (relatively short channels and patterns)")
                .takes(-2, &[F::PUBSUB, F::LOADING, F::STALE], &[])
                .planned("publish and subscribe are planned"),
            command("pubsub|help", "6.2.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[])
                .planned("publish and subscribe are planned"),
            command("pubsub|numpat", "2.8.0")
                .about("Get the count of unique patterns pattern subscriptions", "O(1)")
                .takes(2, &[F::PUBSUB, F::LOADING, F::STALE], &[])
                .planned("publish and subscribe are planned"),
            command("pubsub|numsub", "2.8.0")
                .about("Get the count of subscribers for channels",
                    "O(N) for the NUMSUB subcommand, where N is the number of requested channels")
                .takes(-2, &[F::PUBSUB, F::LOADING, F::STALE], &[])
                .planned("publish and subscribe are planned"),
            command("pubsub|shardchannels", "7.0.0")
                .about("List active shard channels",
                    "O(N) where N is the number of active shard channels, and assuming constant \
                    time pattern matching (relatively short shard channels).")
                .takes(-2, &[F::PUBSUB, F::LOADING, F::STALE], &[])
                .planned("publish and subscribe are planned"),
            command("pubsub|shardnumsub", "7.0.0")
                .about("Get the count of subscribers for shard channels",
                    "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard \
                    channels")
                .takes(-2, &[F::PUBSUB, F::LOADING, F::STALE], &[])
                .planned("publish and subscribe are planned"),
        ]),
    command("punsubscribe", "2.0.0")
        .about("Stop listening for messages posted to channels matching the given patterns",
            "O(N+M) where N is the number of patterns the client is already subscribed and M is \
            the number of total patterns subscribed in the system (by any client).")
        .takes(-1, &[F::PUBSUB, F::NOSCRIPT, F::LOADING, F::STALE], &[])
        .planned("publish and subscribe are planned"),
    command("spublish", "7.0.0")
        .about("Post a message to a shard channel",
            "O(N) where N is the number of clients subscribed to the receiving shard channel.")
        .takes(3, &[F::PUBSUB, F::LOADING, F::STALE, F::FAST], &[])
        .keys(&[one(&[K::NOT_KEY], 1)])
        .planned("publish and subscribe are planned"),
    command("ssubscribe", "7.0.0")
        .about("Listen for messages published to the given shard channels",
            "O(N) where N is the number of shard channels to subscribe to.")
        .takes(-2, &[F::PUBSUB, F::NOSCRIPT, F::LOADING, F::STALE], &[])
        .keys(&[many(&[K::NOT_KEY], 1, (-1, 1))])
        .planned("publish and subscribe are planned"),
    command("subscribe", "2.0.0")
        .about("Listen for messages published to the given channels",
            "O(N) where N is the number of channels to subscribe to.")
        .takes(-2, &[F::PUBSUB, F::NOSCRIPT, F::LOADING, F::STALE], &[])
        .planned("publish and subscribe are planned"),
    command("sunsubscribe", "7.0.0")
        .about("Stop listening for messages posted to the given shard channels",
            "O(N) where N is the number of clients already subscribed to a shard channel.")
        .takes(-1, &[F::PUBSUB, F::NOSCRIPT, F::LOADING, F::STALE], &[])
        .keys(&[many(&[K::NOT_KEY], 1, (-1, 1))])
        .planned("publish and subscribe are planned"),
    command("unsubscribe", "2.0.0")
        .about("Stop listening for messages posted to the given channels",
            "O(N) where N is the number of clients already subscribed to a channel.")
        .takes(-1, &[F::PUBSUB, F::NOSCRIPT, F::LOADING, F::STALE], &[])
        .planned("publish and subscribe are planned"),
];

//! Commands about the node.

use super::super::{
    Categories as C, Command, CommandId as Id, Flags as F, Group, Handler, KeyFlags as K,
};
use super::row::{one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Server, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("acl", "6.0.0")
        .about("A container for Access List Control commands ", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .planned("access control lists are planned")
        .subcommands(&[
            command("acl|cat", "6.0.0")
                .about("List the ACL categories or the commands inside a category",
                    "O(1) since the categories and commands are a fixed set.")
                .takes(-2, &[F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|deluser", "6.0.0")
                .about("Remove the specified ACL users and the associated rules",
                    "O(1) amortized time considering the typical user.")
                .takes(-3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|dryrun", "7.0.0")
                .about("Returns whether the user can execute the given command without executing \
                    the command.",
                    "O(1).")
                .takes(-4, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|genpass", "6.0.0")
                .about("Generate a pseudorandom secure password to use for ACL users", "O(1)")
                .takes(-2, &[F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|getuser", "6.0.0")
                .about("Get the rules for a specific ACL user",
                    "O(N). Where N is the number of password, command and pattern rules that the \
                    user has.")
                .takes(3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|help", "6.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|list", "6.0.0")
                .about("List the current ACL rules in ACL config file format",
                    "O(N). Where N is the number of configured users.")
                .takes(2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|load", "6.0.0")
                .about("Reload the ACLs from the configured ACL file",
                    "O(N). Where N is the number of configured users.")
                .takes(2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|log", "6.0.0")
                .about("List latest events denied because of ACLs in place",
                    "O(N) with N being the number of entries shown.")
                .takes(-2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|save", "6.0.0")
                .about("Save the current ACL rules in the configured ACL file",
                    "O(N). Where N is the number of configured users.")
                .takes(2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|setuser", "6.0.0")
                .about("Modify or create the rules for a specific ACL user",
                    "O(N). Where N is the number of rules provided.")
                .takes(-3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|users", "6.0.0")
                .about("List the username of all the configured ACL rules",
                    "O(N). Where N is the number of configured users.")
                .takes(2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
            command("acl|whoami", "6.0.0")
                .about("Return the name of the user associated to the current connection", "O(1)")
                .takes(2, &[F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .planned("access control lists are planned"),
        ]),
    command("bgrewriteaof", "1.0.0")
        .about("Asynchronously rewrite the append-only file", "O(1)")
        .takes(1, &[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING], &[])
        .never("every acknowledged write is on disk already"),
    command("bgsave", "1.0.0")
        .about("Asynchronously save the dataset to disk", "O(1)")
        .takes(-1, &[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING], &[])
        .never("every acknowledged write is on disk already"),
    command("command", "2.8.13")
        .about("Get array of Redis command details",
            "O(N) where N is the total number of Redis commands")
        .takes(-1, &[F::LOADING, F::STALE], &[C::CONNECTION])
        .tips(&["nondeterministic_output_order"])
        .runs(Handler::Server, Id::Command)
        .subcommands(&[
            command("command|count", "2.8.13")
                .about("Get total number of Redis commands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Server, Id::CommandCount),
            command("command|docs", "7.0.0")
                .about("Get array of specific Redis command documentation",
                    "O(N) where N is the number of commands to look up")
                .takes(-2, &[F::LOADING, F::STALE], &[C::CONNECTION])
                .tips(&["nondeterministic_output_order"])
                .runs(Handler::Server, Id::CommandDocs),
            command("command|getkeys", "2.8.13")
                .about("Extract keys given a full Redis command",
                    "O(N) where N is the number of arguments to the command")
                .takes(-4, &[F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Server, Id::CommandGetKeys),
            command("command|getkeysandflags", "7.0.0")
                .about("Extract keys and access flags given a full Redis command",
                    "O(N) where N is the number of arguments to the command")
                .takes(-4, &[F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Server, Id::CommandGetKeysAndFlags),
            command("command|help", "5.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[C::CONNECTION])
                .runs(Handler::Server, Id::CommandHelp),
            command("command|info", "2.8.13")
                .about("Get array of specific Redis command details, or all when no argument is \
                    given.",
                    "O(N) where N is the number of commands to look up")
                .takes(-2, &[F::LOADING, F::STALE], &[C::CONNECTION])
                .tips(&["nondeterministic_output_order"])
                .runs(Handler::Server, Id::CommandInfo),
            command("command|list", "7.0.0")
                .about("Get an array of Redis command names",
                    "O(N) where N is the total number of Redis commands")
                .takes(-2, &[F::LOADING, F::STALE], &[C::CONNECTION])
                .tips(&["nondeterministic_output_order"])
                .runs(Handler::Server, Id::CommandList),
        ]),
    command("config", "2.0.0")
        .about("A container for server configuration commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .container(&[
            command("config|get", "2.0.0")
                .about("Get the values of configuration parameters",
                    "O(N) when N is the number of configuration parameters provided")
                .takes(-3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .runs(Handler::Server, Id::ConfigGet),
            command("config|help", "5.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[])
                .runs(Handler::Server, Id::ConfigHelp),
            command("config|resetstat", "2.0.0")
                .about("Reset the stats returned by INFO", "O(1)")
                .takes(2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .runs(Handler::Server, Id::ConfigResetStat),
            command("config|rewrite", "2.8.0")
                .about("Rewrite the configuration file with the in memory configuration", "O(1)")
                .takes(2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .runs(Handler::Server, Id::ConfigRewrite),
            command("config|set", "2.0.0")
                .about("Set configuration parameters to the given values",
                    "O(N) when N is the number of configuration parameters provided")
                .takes(-4, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .runs(Handler::Server, Id::ConfigSet),
        ]),
    command("dbsize", "1.0.0")
        .about("Return the number of keys in the selected database", "O(1)")
        .takes(1, &[F::READONLY, F::FAST], &[C::KEYSPACE])
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .runs(Handler::KeyspaceWide, Id::DbSize),
    command("debug", "1.0.0")
        .about("A container for debugging commands", "Depends on subcommand.")
        .takes(-2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
        .planned("aids for debugging are planned"),
    command("failover", "6.2.0")
        .about("Start a coordinated failover between this server and one of its replicas.", "O(1)")
        .takes(-1, &[F::ADMIN, F::NOSCRIPT, F::STALE], &[])
        .never("slots, replicas and leases are managed by the lease manager"),
    command("flushall", "1.0.0")
        .about("Remove all keys from all databases",
            "O(N) where N is the total number of keys in all databases")
        .takes(-1, &[F::WRITE], &[C::KEYSPACE, C::DANGEROUS])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .runs(Handler::KeyspaceWide, Id::FlushAll),
    command("flushdb", "1.0.0")
        .about("Remove all keys from the current database",
            "O(N) where N is the number of keys in the selected database")
        .takes(-1, &[F::WRITE], &[C::KEYSPACE, C::DANGEROUS])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .runs(Handler::KeyspaceWide, Id::FlushDb),
    command("info", "1.0.0")
        .about("Get information and statistics about the server", "O(1)")
        .takes(-1, &[F::LOADING, F::STALE], &[C::DANGEROUS])
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .runs(Handler::Server, Id::Info),
    command("lastsave", "1.0.0")
        .about("Get the UNIX time stamp of the last successful save to disk", "O(1)")
        .takes(1, &[F::LOADING, F::STALE, F::FAST], &[C::ADMIN, C::DANGEROUS])
        .tips(&["nondeterministic_output"])
        .runs(Handler::Server, Id::LastSave),
    command("latency", "2.8.13")
        .about("A container for latency diagnostics commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .planned("latency monitoring is planned")
        .subcommands(&[
            command("latency|doctor", "2.8.13")
                .about("Return a human readable latency analysis report.", "O(1)")
                .takes(2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_nodes",
                    "response_policy:special",
                ])
                .planned("latency monitoring is planned"),
            command("latency|graph", "2.8.13")
                .about("Return a latency graph for the event.", "O(1)")
                .takes(3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_nodes",
                    "response_policy:special",
                ])
                .planned("latency monitoring is planned"),
            command("latency|help", "2.8.13")
                .about("Show helpful text about the different subcommands.", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[])
                .planned("latency monitoring is planned"),
            command("latency|histogram", "7.0.0")
                .about("Return the cumulative distribution of latencies of a subset of commands or \
                    all.",
                    "O(N) where N is the number of commands with latency information being \
                    retrieved.")
                .takes(-2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_nodes",
                    "response_policy:special",
                ])
                .planned("latency monitoring is planned"),
            command("latency|history", "2.8.13")
                .about("Return timestamp-latency samples for the event.", "O(1)")
                .takes(3, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_nodes",
                    "response_policy:special",
                ])
                .planned("latency monitoring is planned"),
            command("latency|latest", "2.8.13")
                .about("Return the latest latency samples for all events.", "O(1)")
                .takes(2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_nodes",
                    "response_policy:special",
                ])
                .planned("latency monitoring is planned"),
            command("latency|reset", "2.8.13")
                .about("Reset latency data for one or more events.", "O(1)")
                .takes(-2, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .planned("latency monitoring is planned"),
        ]),
    command("lolwut", "5.0.0")
        .about("Display some computer art and the Redis version", "")
        .takes(-1, &[F::READONLY, F::FAST], &[])
        .runs(Handler::Server, Id::Lolwut),
    command("memory", "4.0.0")
        .about("A container for memory diagnostics commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .container(&[
            command("memory|doctor", "4.0.0")
                .about("Outputs memory problems report", "O(1)")
                .takes(2, &[], &[])
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_shards",
                    "response_policy:special",
                ])
                .planned("memory reports are planned"),
            command("memory|help", "4.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[])
                .runs(Handler::Server, Id::MemoryHelp),
            command("memory|malloc-stats", "4.0.0")
                .about("Show allocator internal stats",
                    "Depends on how much memory is allocated, could be slow")
                .takes(2, &[], &[])
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_shards",
                    "response_policy:special",
                ])
                .planned("memory reports are planned"),
            command("memory|purge", "4.0.0")
                .about("Ask the allocator to release memory",
                    "Depends on how much memory is allocated, could be slow")
                .takes(2, &[], &[])
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .planned("memory reports are planned"),
            command("memory|stats", "4.0.0")
                .about("Show memory usage details", "O(1)")
                .takes(2, &[], &[])
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_shards",
                    "response_policy:special",
                ])
                .planned("memory reports are planned"),
            command("memory|usage", "4.0.0")
                .about("Estimate the memory usage of a key",
                    "O(N) where N is the number of samples.")
                .takes(-3, &[F::READONLY], &[])
                .keys(&[one(&[K::RO], 2)])
                .runs(Handler::Keyspace, Id::MemoryUsage),
        ]),
    command("module", "4.0.0")
        .about("A container for module commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .never("there are no modules")
        .subcommands(&[
            command("module|help", "5.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[])
                .never("there are no modules"),
            command("module|list", "4.0.0")
                .about("List all modules loaded by the server",
                    "O(N) where N is the number of loaded modules.")
                .takes(2, &[F::ADMIN, F::NOSCRIPT], &[])
                .tips(&["nondeterministic_output_order"])
                .never("there are no modules"),
            command("module|load", "4.0.0")
                .about("Load a module", "O(1)")
                .takes(-3, &[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING], &[])
                .never("there are no modules"),
            command("module|loadex", "7.0.0")
                .about("Load a module with extended parameters", "O(1)")
                .takes(-3, &[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING], &[])
                .never("there are no modules"),
            command("module|unload", "4.0.0")
                .about("Unload a module", "O(1)")
                .takes(3, &[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING], &[])
                .never("there are no modules"),
        ]),
    command("monitor", "1.0.0")
        .about("Listen for all requests received by the server in real time", "")
        .takes(1, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE], &[])
        .planned("monitoring is planned"),
    command("psync", "2.8.0")
        .about("Internal command used for replication", "")
        .takes(-3, &[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING, F::NO_MULTI], &[])
        .never("nodes replicate by a protocol of their own"),
    command("replconf", "3.0.0")
        .about("An internal command for configuring the replication stream", "O(1)")
        .takes(-1, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE, F::ALLOW_BUSY], &[])
        .never("nodes replicate by a protocol of their own"),
    command("replicaof", "5.0.0")
        .about("Make the server a replica of another instance, or promote it as master.", "O(1)")
        .takes(3, &[F::ADMIN, F::NOSCRIPT, F::STALE, F::NO_ASYNC_LOADING], &[])
        .never("slots, replicas and leases are managed by the lease manager"),
    command("restore-asking", "3.0.0")
        .about("An internal command for migrating keys in a cluster",
            "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, \
            where N is the number of Redis objects composing the value and M their average size. \
            For small string values the time complexity is thus O(1)+O(1*M) where M is small, so \
            simply O(1). However for sorted set values the complexity is O(N*M*log(N)) because \
            inserting values into sorted sets is O(log(N)).")
        .takes(-4, &[F::WRITE, F::DENYOOM, F::ASKING], &[C::KEYSPACE, C::DANGEROUS])
        .keys(&[one(&[K::OW, K::UPDATE], 1)])
        .never("keys move with their slots"),
    command("role", "2.8.12")
        .about("Return the role of the instance in the context of replication", "O(1)")
        .takes(1, &[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST], &[C::ADMIN, C::DANGEROUS])
        .runs(Handler::Server, Id::Role),
    command("save", "1.0.0")
        .about("Synchronously save the dataset to disk",
            "O(N) where N is the total number of keys in all databases")
        .takes(1, &[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING, F::NO_MULTI], &[])
        .never("every acknowledged write is on disk already"),
    command("shutdown", "1.0.0")
        .about("Synchronously save the dataset to disk and then shut down the server",
            "O(N) when saving, where N is the total number of keys in all databases when saving \
            data, otherwise O(1)")
        .takes(-1, &[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE, F::NO_MULTI, F::ALLOW_BUSY], &[])
        .never("the operator stops a node by a signal"),
    command("slaveof", "1.0.0")
        .about("Make the server a replica of another instance, or promote it as master.", "O(1)")
        .takes(3, &[F::ADMIN, F::NOSCRIPT, F::STALE, F::NO_ASYNC_LOADING], &[])
        .deprecated("5.0.0", "`REPLICAOF`")
        .never("slots, replicas and leases are managed by the lease manager"),
    command("slowlog", "2.2.12")
        .about("A container for slow log commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .container(&[
            command("slowlog|get", "2.2.12")
                .about("Get the slow log's entries",
                    "O(N) where N is the number of entries returned")
                .takes(-2, &[F::ADMIN, F::LOADING, F::STALE], &[])
                .tips(&["request_policy:all_nodes", "nondeterministic_output"])
                .runs(Handler::Server, Id::SlowLogGet),
            command("slowlog|help", "6.2.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[])
                .runs(Handler::Server, Id::SlowLogHelp),
            command("slowlog|len", "2.2.12")
                .about("Get the slow log's length", "O(1)")
                .takes(2, &[F::ADMIN, F::LOADING, F::STALE], &[])
                .tips(&[
                    "request_policy:all_nodes",
                    "response_policy:agg_sum",
                    "nondeterministic_output",
                ])
                .runs(Handler::Server, Id::SlowLogLen),
            command("slowlog|reset", "2.2.12")
                .about("Clear all entries from the slow log",
                    "O(N) where N is the number of entries in the slowlog")
                .takes(2, &[F::ADMIN, F::LOADING, F::STALE], &[])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .runs(Handler::Server, Id::SlowLogReset),
        ]),
    command("swapdb", "4.0.0")
        .about("Swaps two Redis databases",
            "O(N) where N is the count of clients watching or blocking on keys from both \
            databases.")
        .takes(3, &[F::WRITE, F::FAST], &[C::KEYSPACE, C::DANGEROUS])
        .never("a cluster has one database"),
    command("sync", "1.0.0")
        .about("Internal command used for replication", "")
        .takes(1, &[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING, F::NO_MULTI], &[])
        .never("nodes replicate by a protocol of their own"),
    command("time", "2.6.0")
        .about("Return the current server time", "O(1)")
        .takes(1, &[F::LOADING, F::STALE, F::FAST], &[])
        .tips(&["nondeterministic_output"])
        .runs(Handler::Server, Id::Time),
];

//! Commands about the cluster.

use super::super::{Categories as C, Command, CommandId as Id, Flags as F, Group, Handler};
use super::row::row;

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Cluster, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("asking", "3.0.0")
        .about("Sent by cluster clients after an -ASK redirect", "O(1)")
        .takes(1, &[F::FAST], &[C::CONNECTION])
        .runs(Handler::Connection, Id::Asking),
    command("cluster", "3.0.0")
        .about("A container for cluster commands", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .container(&[
            command("cluster|addslots", "3.0.0")
                .about("Assign new hash slots to receiving node",
                    "O(N) where N is the total number of hash slot arguments")
                .takes(-3, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|addslotsrange", "7.0.0")
                .about("Assign new hash slots to receiving node",
                    "O(N) where N is the total number of the slots between the start slot and end \
                    slot arguments.")
                .takes(-4, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|bumpepoch", "3.0.0")
                .about("Advance the cluster config epoch", "O(1)")
                .takes(2, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .tips(&["nondeterministic_output"])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|count-failure-reports", "3.0.0")
                .about("Return the number of failure reports active for a given node",
                    "O(N) where N is the number of failure reports")
                .takes(3, &[F::ADMIN, F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::ClusterCountFailureReports),
            command("cluster|countkeysinslot", "3.0.0")
                .about("Return the number of local keys in the specified hash slot", "O(1)")
                .takes(3, &[F::STALE], &[])
                .runs(Handler::Cluster, Id::ClusterCountKeysInSlot),
            command("cluster|delslots", "3.0.0")
                .about("Set hash slots as unbound in receiving node",
                    "O(N) where N is the total number of hash slot arguments")
                .takes(-3, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|delslotsrange", "7.0.0")
                .about("Set hash slots as unbound in receiving node",
                    "O(N) where N is the total number of the slots between the start slot and end \
                    slot arguments.")
                .takes(-4, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|failover", "3.0.0")
                .about("Forces a replica to perform a manual failover of its master.", "O(1)")
                .takes(-2, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|flushslots", "3.0.0")
                .about("Delete a node's own slots information", "O(1)")
                .takes(2, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|forget", "3.0.0")
                .about("Remove a node from the nodes table", "O(1)")
                .takes(3, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|getkeysinslot", "3.0.0")
                .about("Return local key names in the specified hash slot",
                    "O(log(N)) where N is the number of requested keys")
                .takes(4, &[F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::ClusterGetKeysInSlot),
            command("cluster|help", "5.0.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[])
                .runs(Handler::Cluster, Id::ClusterHelp),
            command("cluster|info", "3.0.0")
                .about("Provides info about Redis Cluster node state", "O(1)")
                .takes(2, &[F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::ClusterInfo),
            command("cluster|keyslot", "3.0.0")
                .about("Returns the hash slot of the specified key",
                    "O(N) where N is the number of bytes in the key")
                .takes(3, &[F::STALE], &[])
                .runs(Handler::Cluster, Id::ClusterKeySlot),
            command("cluster|links", "7.0.0")
                .about("Returns a list of all TCP links to and from peer nodes in cluster",
                    "O(N) where N is the total number of Cluster nodes")
                .takes(2, &[F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::ClusterLinks),
            command("cluster|meet", "3.0.0")
                .about("Force a node cluster to handshake with another node", "O(1)")
                .takes(-4, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|myid", "3.0.0")
                .about("Return the node id", "O(1)")
                .takes(2, &[F::STALE], &[])
                .runs(Handler::Cluster, Id::ClusterMyId),
            command("cluster|myshardid", "7.2.0")
                .about("Return the id of the shard that the node serves", "O(1)")
                .takes(2, &[F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::ClusterMyShardId),
            command("cluster|nodes", "3.0.0")
                .about("Get Cluster config for the node",
                    "O(N) where N is the total number of Cluster nodes")
                .takes(2, &[F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::ClusterNodes),
            command("cluster|replicas", "5.0.0")
                .about("List replica nodes of the specified master node", "O(1)")
                .takes(3, &[F::ADMIN, F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::ClusterReplicas),
            command("cluster|replicate", "3.0.0")
                .about("Reconfigure a node as a replica of the specified master node", "O(1)")
                .takes(3, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|reset", "3.0.0")
                .about("Reset a Redis Cluster node",
                    "O(N) where N is the number of known nodes. The command may execute a FLUSHALL \
                    as a side effect.")
                .takes(-2, &[F::ADMIN, F::NOSCRIPT, F::STALE], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|saveconfig", "3.0.0")
                .about("Forces the node to save cluster state on disk", "O(1)")
                .takes(2, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|set-config-epoch", "3.0.0")
                .about("Set the configuration epoch in a new node", "O(1)")
                .takes(3, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|setslot", "3.0.0")
                .about("Bind a hash slot to a specific node", "O(1)")
                .takes(-4, &[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING], &[])
                .never("slots, replicas and leases are managed by the lease manager"),
            command("cluster|shards", "7.0.0")
                .about("Get array of cluster slots to node mappings",
                    "O(N) where N is the total number of cluster nodes")
                .takes(2, &[F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::ClusterShards),
            command("cluster|slaves", "3.0.0")
                .about("List replica nodes of the specified master node", "O(1)")
                .takes(3, &[F::ADMIN, F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .deprecated("5.0.0", "`CLUSTER REPLICAS`")
                .runs(Handler::Cluster, Id::ClusterSlaves),
            command("cluster|slots", "3.0.0")
                .about("Get array of Cluster slot to node mappings",
                    "O(N) where N is the total number of Cluster nodes")
                .takes(2, &[F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .deprecated("7.0.0", "`CLUSTER SHARDS`")
                .runs(Handler::Cluster, Id::ClusterSlots),
        ]),
    command("leasehold", "0.1.0")
        .about("A container for commands about shards and leases", "Depends on subcommand.")
        .takes(-2, &[], &[])
        .container(&[
            command("leasehold|decisions", "0.1.0")
                .about("List what the Lease Manager decided, why, and what became of it",
                    "O(N) where N is the number of decisions")
                .takes(-2, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::LeaseholdDecisions),
            command("leasehold|drain", "0.1.0")
                .about("Let all leases leave a node, or let them come again",
                    "O(N) where N is the number of shards")
                .takes(-3, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .runs(Handler::Cluster, Id::LeaseholdDrain),
            command("leasehold|freeze", "0.1.0")
                .about("Let only failures and orders move leases, or end that", "O(1)")
                .takes(3, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .runs(Handler::Cluster, Id::LeaseholdFreeze),
            command("leasehold|help", "0.1.0")
                .about("Show helpful text about the different subcommands", "O(1)")
                .takes(2, &[F::LOADING, F::STALE], &[])
                .runs(Handler::Cluster, Id::LeaseholdHelp),
            command("leasehold|info", "0.1.0")
                .about("Report the state of this node", "O(1)")
                .takes(-2, &[F::ADMIN, F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::LeaseholdInfo),
            command("leasehold|join", "0.1.0")
                .about("Add a node to the cluster", "O(N) where N is the number of nodes")
                .takes(-3, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .runs(Handler::Cluster, Id::LeaseholdJoin),
            command("leasehold|metrics", "0.1.0")
                .about("Report the figures of this node in the text format of Prometheus",
                    "O(N) where N is the number of shards")
                .takes(2, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::LeaseholdMetrics),
            command("leasehold|nodes", "0.1.0")
                .about("List the nodes: their addresses, support and leases",
                    "O(N) where N is the number of nodes")
                .takes(2, &[F::ADMIN, F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::LeaseholdNodes),
            command("leasehold|pin", "0.1.0")
                .about("Keep the lease of a shard on a node or in a zone", "O(1)")
                .takes(5, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .runs(Handler::Cluster, Id::LeaseholdPin),
            command("leasehold|plan", "0.1.0")
                .about("Show what the Lease Manager would do now",
                    "O(N) where N is the number of shards")
                .takes(2, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::LeaseholdPlan),
            command("leasehold|policy", "0.1.0")
                .about("Show or change the settings of the Lease Manager", "O(1)")
                .takes(-2, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::LeaseholdPolicy),
            command("leasehold|remove", "0.1.0")
                .about("Let leases and replicas leave a node, and then the node the cluster",
                    "O(N) where N is the number of shards")
                .takes(3, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .runs(Handler::Cluster, Id::LeaseholdRemove),
            command("leasehold|shards", "0.1.0")
                .about("List the shards: their slots, replicas, holders, readers and lease epochs",
                    "O(N) where N is the number of shards")
                .takes(-2, &[F::ADMIN, F::STALE], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::LeaseholdShards),
            command("leasehold|status", "0.1.0")
                .about("Report nodes and shards as the Lease Manager sees them",
                    "O(N) where N is the number of shards")
                .takes(2, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::LeaseholdStatus),
            command("leasehold|transfer", "0.1.0")
                .about("Transfer the lease of a shard to another of its replicas", "O(1)")
                .takes(-4, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .runs(Handler::Cluster, Id::LeaseholdTransfer),
            command("leasehold|unpin", "0.1.0")
                .about("Let the lease of a shard move again", "O(1)")
                .takes(3, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .runs(Handler::Cluster, Id::LeaseholdUnpin),
            command("leasehold|why", "0.1.0")
                .about("Explain why the lease of a shard is where it is", "O(1)")
                .takes(3, &[F::ADMIN, F::STALE, F::NOSCRIPT, F::NO_MULTI], &[])
                .tips(&["nondeterministic_output"])
                .runs(Handler::Cluster, Id::LeaseholdWhy),
        ]),
    command("readonly", "3.0.0")
        .about("Enables read queries for a connection to a cluster replica node", "O(1)")
        .takes(1, &[F::LOADING, F::STALE, F::FAST], &[C::CONNECTION])
        .runs(Handler::Connection, Id::ReadOnly),
    command("readwrite", "3.0.0")
        .about("Disables read queries for a connection to a cluster replica node", "O(1)")
        .takes(1, &[F::LOADING, F::STALE, F::FAST], &[C::CONNECTION])
        .runs(Handler::Connection, Id::ReadWrite),
];

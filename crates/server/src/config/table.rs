//! The table of settings: the one place that knows their names, ranges and meanings. Parsing,
//! help texts and `docs/configuration.md` all derive from it.

use std::time::Duration;

use types::limits::{ARGUMENT_BYTES_MAX, NODE_ID_MAX, REPLICAS_MAX, SHARDS_MAX};

use super::Config;
use super::value::{Field, REDIRECTS, ROLES};

/// What a setting is about; the order of the documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Topic {
    /// Who the node is and who the others are.
    Cluster,
    /// Who may connect.
    Network,
    /// How fast failures are noticed and how long clients wait.
    Leases,
    /// What a client may use up.
    Clients,
    /// What lies on disk.
    Storage,
    /// What the node can do.
    Capacity,
    /// What the process says about itself.
    Process,
}

impl Topic {
    /// All topics, in the order of the documentation.
    pub(crate) const ALL: [Self; 7] = [
        Self::Cluster,
        Self::Network,
        Self::Leases,
        Self::Clients,
        Self::Storage,
        Self::Capacity,
        Self::Process,
    ];

    /// The topic's heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Network => "Network and access",
            Self::Leases => "Leases and waiting",
            Self::Clients => "Limits for clients and peers",
            Self::Storage => "Storage",
            Self::Capacity => "Capacity, for the Lease Manager",
            Self::Process => "Process and log lines",
        }
    }
}

/// One setting.
pub(crate) struct Setting {
    /// Its name in files and on the command line; the environment's is derived from it.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) topic: Topic,
    /// What it means, when to change it, and what else follows from it.
    pub(crate) doc: &'static str,
    /// Its place in the configuration.
    pub(crate) field: fn(&mut Config) -> Field<'_>,
}

impl Setting {
    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("LEASEHOLD_{}", self.name.to_ascii_uppercase())
    }
}

const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Every setting, by topic.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "node",
        topic: Topic::Cluster,
        doc: "The number of this node; one of `members`. A node keeps its number and its data \
              directory for life: a number that was once used with other data must not come back.",
        field: |config| Field::Count(&mut config.node, 1..=u64::from(NODE_ID_MAX)),
    },
    Setting {
        name: "cluster",
        topic: Topic::Cluster,
        doc: "The name of the cluster. Nodes of another cluster are refused, so a wrong address \
              can't mix two clusters. Fixed once a node has data.",
        field: |config| Field::Name(&mut config.cluster),
    },
    Setting {
        name: "members",
        topic: Topic::Cluster,
        doc: "All nodes of a new cluster, this one included, the same list on every node. Each as \
              `NODE=HOST:PORT` or `NODE=HOST:PORT:PEERPORT`; in a file a list of such strings, \
              elsewhere separated by commas. HOST and PORT are what clients use, PEERPORT (by \
              default PORT + 10000) is for the other nodes. Behind that may stand `;name=NAME` (a \
              word for people), `;role=manager` (a node that keeps the Lease Manager's memory and \
              no data; at most 5, and `;role=data` is what all others are) and \
              `;locality=REGION/ZONE/RACK` (where the node stands: the \
              replicas of a shard are put where they would not fail together; labels at the end \
              may be left out). A node that joins a cluster later lists itself and at least one \
              member; from then on the cluster itself knows its members.",
        field: |config| Field::Members(&mut config.members),
    },
    Setting {
        name: "role",
        topic: Topic::Cluster,
        doc: "What this node is for. It only confirms what `members` says of this node, so that a \
              start with the wrong list is refused: a role counts on every node of a new cluster, \
              and in LEASEHOLD JOIN for one that joins, and must be the same everywhere.",
        field: |config| Field::Choice(&mut config.role, &ROLES),
    },
    Setting {
        name: "shards",
        topic: Topic::Cluster,
        doc: "How many shards a new cluster is cut into. Each has its own lease, so this is how \
              finely load can be spread. Only read when a node starts without data; the same on \
              every node.",
        field: |config| Field::Count(&mut config.shards, 1..=SHARDS_MAX as u64),
    },
    Setting {
        name: "replicas",
        topic: Topic::Cluster,
        doc: "How many nodes hold a copy of each shard of a new cluster: 3 survive the loss of \
              one node, 5 of two. Never more than there are data nodes. Only read when a node \
              starts without data; the same on every node.",
        field: |config| Field::Count(&mut config.replicas, 1..=REPLICAS_MAX as u64),
    },
    Setting {
        name: "found",
        topic: Topic::Cluster,
        doc: "Whether this node founds a new, empty cluster with the others if it has no data and \
              no node knows of an existing one. Needed for the first start. Turned off afterwards, \
              nodes that have all lost their directories (volumes that were not mounted) wait \
              instead and say so; while one that knows the cluster is left, an empty directory is \
              filled anyway.",
        field: |config| Field::Flag(&mut config.found),
    },
    Setting {
        name: "managed",
        topic: Topic::Cluster,
        doc: "Whether this node may be the Lease Manager. Off on every node of a new cluster, \
              there is none, and nobody reports: leases move by failures and operators alone. \
              While a node with it off holds the system shard, nobody manages. The same on every \
              node.",
        field: |config| Field::Flag(&mut config.managed),
    },
    Setting {
        name: "listen",
        topic: Topic::Network,
        doc: "The address at which clients are served, on this node's port in `members`. The \
              default serves this machine alone; `0.0.0.0` serves every network.",
        field: |config| Field::Address(&mut config.listen),
    },
    Setting {
        name: "peer_listen",
        topic: Topic::Network,
        doc: "The address at which the other nodes are served, on this node's peer port in \
              `members`. Traffic between nodes is neither encrypted nor authenticated: keep it \
              in a network that only the nodes can reach.",
        field: |config| Field::Address(&mut config.peer_listen),
    },
    Setting {
        name: "password",
        topic: Topic::Network,
        doc: "What clients must give with AUTH before anything else. Empty: no password.",
        field: |config| Field::Secret(&mut config.password, 512),
    },
    Setting {
        name: "protected_mode",
        topic: Topic::Network,
        doc: "While there is no password, refuse clients from other machines. Turn it off only \
              where the network itself keeps strangers out.",
        field: |config| Field::Flag(&mut config.protected_mode),
    },
    Setting {
        name: "http_listen",
        topic: Topic::Network,
        doc: "The address and port of the HTTP API and its web page (docs/http-api.md). Empty: \
              none. It has the cluster's password and `protected_mode`, and no encryption: beyond \
              this machine, put a proxy with TLS before it.",
        field: |config| Field::Socket(&mut config.http_listen),
    },
    Setting {
        name: "redirect",
        topic: Topic::Network,
        doc: "What a node does with a request for a shard that another node holds. `never`: \
              forward it. `rationed`: forward it, and now and then send MOVED to clients that are \
              known to follow it. `always`: always send MOVED, as Redis Cluster does.",
        field: |config| Field::Choice(&mut config.redirect, &REDIRECTS),
    },
    Setting {
        name: "beat_interval",
        topic: Topic::Leases,
        doc: "Time between two heartbeats to each peer. One carries the promise for all shards.",
        field: |config| Field::Duration(&mut config.beat_interval, millis(10)..=seconds(10)),
    },
    Setting {
        name: "support_duration",
        topic: Topic::Leases,
        doc: "How long a promise of support lasts from the moment the supporter receives the \
              heartbeat: a dead node's shards get new holders after about this time. At least 3 \
              beat intervals. Shorter is faster and more easily fooled by a pause of the machine.",
        field: |config| Field::Duration(&mut config.support_duration, millis(100)..=seconds(60)),
    },
    Setting {
        name: "clock_drift_permille",
        topic: Topic::Leases,
        doc: "How far the clocks of two nodes may drift apart over one promise, in thousandths. \
              Clocks need not be synchronised; only their speed matters. Leases end earlier by \
              this margin.",
        field: |config| Field::Count(&mut config.clock_drift_permille, 1..=500),
    },
    Setting {
        name: "clock_gap",
        topic: Topic::Leases,
        doc: "A jump between the monotonic and the wall clock larger than this means that the \
              machine was suspended or its clock was set; the node then has its leases confirmed \
              anew before it goes by them. The same if another node's wall clock runs further \
              than this node's clocks: they may have stood still with the machine.",
        field: |config| Field::Duration(&mut config.clock_gap, millis(50)..=seconds(60)),
    },
    Setting {
        name: "clock_skew",
        topic: Topic::Leases,
        doc: "How far a node's wall clock may be from the cluster clock, the median of all nodes' \
              wall clocks, before the node says so and gets leases last. Keys expire by the \
              cluster clock, so one wrong clock does no harm.",
        field: |config| Field::Duration(&mut config.clock_skew, millis(50)..=seconds(60)),
    },
    Setting {
        name: "park_time",
        topic: Topic::Leases,
        doc: "How long a request waits for a lease that is on its way, or for a new holder, \
              before the client gets an error. Longer than `support_duration`, a failover is only \
              a delay for clients.",
        field: |config| Field::Duration(&mut config.park_time, millis(0)..=seconds(60)),
    },
    Setting {
        name: "request_time",
        topic: Topic::Leases,
        doc: "How long a request that is on its way may take before the client is told that its \
              outcome is unknown.",
        field: |config| Field::Duration(&mut config.request_time, millis(100)..=seconds(600)),
    },
    Setting {
        name: "transfer_time",
        topic: Topic::Leases,
        doc: "How long handing a lease over may take before the old holder takes it back.",
        field: |config| Field::Duration(&mut config.transfer_time, millis(50)..=seconds(60)),
    },
    Setting {
        name: "campaign_step",
        topic: Topic::Leases,
        doc: "How long each heir of a dead holder waits for the one ranked before it.",
        field: |config| Field::Duration(&mut config.campaign_step, millis(10)..=seconds(10)),
    },
    Setting {
        name: "clients",
        topic: Topic::Clients,
        doc: "Most client connections. Beyond it a new one gets an error and is closed.",
        field: |config| Field::Count(&mut config.clients, 1..=1_000_000),
    },
    Setting {
        name: "argument_bytes",
        topic: Topic::Clients,
        doc: "Longest argument (key or value) a client may send.",
        field: |config| Field::Bytes(&mut config.argument_bytes, KIB..=ARGUMENT_BYTES_MAX as u64),
    },
    Setting {
        name: "request_bytes",
        topic: Topic::Clients,
        doc: "Longest request, all its arguments together. At least `argument_bytes` + 1MiB.",
        field: |config| Field::Bytes(&mut config.request_bytes, MIB..=GIB),
    },
    Setting {
        name: "session_output_bytes",
        topic: Topic::Clients,
        doc: "Most bytes of replies that may wait for one client; beyond it the client is \
              disconnected, and the log says so. When 4MiB wait for it, or half of this, no more \
              are made before it reads: up to 16MiB of its further requests wait meanwhile.",
        field: |config| Field::Bytes(&mut config.session_output_bytes, MIB..=64 * GIB),
    },
    Setting {
        name: "shard_queue_bytes",
        topic: Topic::Clients,
        doc: "Most bytes of requests that may be under way in one shard; beyond it clients get \
              an error at once. A connection waits when its own requests take a quarter of this.",
        field: |config| Field::Bytes(&mut config.shard_queue_bytes, MIB..=16 * GIB),
    },
    Setting {
        name: "memory",
        topic: Topic::Clients,
        doc: "Memory that the data of all replicas on this node may take, log entries in memory \
              included. 0: three quarters of the machine's, or of its control group's; what is \
              left is for connections, for what the allocator wastes and for catching up. A write \
              that could grow a shard beyond what any of its replicas' nodes has left is refused \
              with OOM before it is proposed; reads, deletes and expiry go on. CONFIG SET \
              maxmemory changes it, and there 0 means no limit.",
        field: |config| Field::Bytes(&mut config.memory, 0..=1024 * GIB),
    },
    Setting {
        name: "client_idle_time",
        topic: Topic::Clients,
        doc: "Disconnect clients that have sent nothing for this long, and taken none of the \
              replies that wait for them. 0: never.",
        field: |config| Field::Duration(&mut config.client_idle_time, millis(0)..=seconds(86_400)),
    },
    Setting {
        name: "password_time",
        topic: Topic::Clients,
        doc: "Disconnect clients that have not given the password after this long. 0: never.",
        field: |config| Field::Duration(&mut config.password_time, millis(0)..=seconds(86_400)),
    },
    Setting {
        name: "peer_output_bytes",
        topic: Topic::Clients,
        doc: "Most bytes that may wait for one other node; beyond it the connection is broken \
              and made anew, and what is missing is sent again from the log.",
        field: |config| Field::Bytes(&mut config.peer_output_bytes, 16 * MIB..=64 * GIB),
    },
    Setting {
        name: "dir",
        topic: Topic::Storage,
        doc: "The data directory. It belongs to this node alone; it is made if it is missing.",
        field: |config| Field::Path(&mut config.dir),
    },
    Setting {
        name: "segment_bytes",
        topic: Topic::Storage,
        doc: "Size of one log segment, the piece in which log space is freed.",
        field: |config| Field::Bytes(&mut config.segment_bytes, MIB..=GIB),
    },
    Setting {
        name: "log_bytes",
        topic: Topic::Storage,
        doc: "How much log may stand before its oldest segments are reclaimed. More means fewer \
              rewrites and a longer start. At least 4 segments. While the disk is nearly full the \
              log is kept at twice what the data take.",
        field: |config| Field::Bytes(&mut config.log_bytes, 4 * MIB..=1024 * GIB),
    },
    Setting {
        name: "disk_reserve",
        topic: Topic::Storage,
        doc: "Disk space (free, and in the log's hands) below which this node takes no writes that \
              make data grow: other nodes hold its leases, and when too few nodes have space for \
              a majority, such writes are refused. Reads, deletes and expiry go on. As a follower \
              it still takes what is on its way, down to half of this; the rest is for votes, \
              deletes and for freeing log. Writes are taken again when there is a quarter more. \
              At least two segments are sensible. CONFIG SET leasehold-disk-reserve changes it.",
        field: |config| Field::Bytes(&mut config.disk_reserve, 0..=1024 * GIB),
    },
    Setting {
        name: "capacity_cpu",
        topic: Topic::Capacity,
        doc: "CPU that the node may take, in thousandths of a core. 0: one core, which is what its \
              event loop can use. Lower it where nodes share processors; the Lease Manager takes \
              leases from a node that comes near it.",
        field: |config| Field::Count(&mut config.capacity_cpu, 0..=1_000_000),
    },
    Setting {
        name: "capacity_memory",
        topic: Topic::Capacity,
        doc: "Memory that the node may fill. 0: as `memory` says.",
        field: |config| Field::Bytes(&mut config.capacity_memory, 0..=1024 * GIB),
    },
    Setting {
        name: "capacity_network",
        topic: Topic::Capacity,
        doc: "What the network carries to and from the node, in bytes per second.",
        field: |config| Field::Bytes(&mut config.capacity_network, MIB..=1024 * GIB),
    },
    Setting {
        name: "capacity_log",
        topic: Topic::Capacity,
        doc: "What the disk takes of the node's log, in bytes per second.",
        field: |config| Field::Bytes(&mut config.capacity_log, MIB..=1024 * GIB),
    },
    Setting {
        name: "stop_time",
        topic: Topic::Process,
        doc: "How long a node that was asked to stop (SIGTERM, SIGINT) may take to hand its \
              leases over before it stops anyway.",
        field: |config| Field::Duration(&mut config.stop_time, millis(0)..=seconds(600)),
    },
    Setting {
        name: "log_format",
        topic: Topic::Process,
        doc: "Form of the log lines on standard error: `text` for people, `json` for machines.",
        field: |config| Field::Choice(&mut config.log_format, &["text", "json"]),
    },
    Setting {
        name: "log_level",
        topic: Topic::Process,
        doc: "Which log lines are written: those of this weight and heavier.",
        field: |config| {
            Field::Choice(&mut config.log_level, &["error", "warn", "info", "debug", "trace"])
        },
    },
];

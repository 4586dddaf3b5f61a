//! The rows of the table: what is loaded, beside what, and the goal.

use super::driver::Load;
use super::report::Goal;
use super::store::Target;

/// One row, or several figures that are found together.
pub(super) struct Row {
    /// What `--only` knows it by.
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) measure: Measure,
}

pub(super) enum Measure {
    /// A ratio of two loads in turns.
    Pair(Pair),
    /// Memory for each key, ours and the peer's.
    Memory,
    /// Kills of holders under load.
    Failover,
    /// Moves of leases under load.
    Transfer,
    /// Syncs for each acknowledged write.
    Syncs,
    /// Drains of nodes under load.
    Drain,
    /// Restarts of all nodes under load, one after the other.
    Restart,
    /// Costly requests beside others.
    Costly,
    /// Two nodes of five that die at once.
    TwoDeaths,
}

/// Two loads that take turns.
pub(super) struct Pair {
    pub(super) ours: (Target, Load),
    pub(super) theirs: (Target, Load),
    /// The peer, for the reader.
    pub(super) against: &'static str,
    pub(super) figure: Figure,
    pub(super) goal: Goal,
    /// Of the servers' CPU for a request, ours to theirs.
    pub(super) cpu_goal: Option<Goal>,
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Figure {
    /// Requests a second.
    Rate,
    /// Median latency.
    Latency,
}

const SET: Load = Load::set(50, 1);
const SET_PIPELINED: Load = Load::set(50, 16);
const GET: Load = Load::get(50, 1);
const GET_PIPELINED: Load = Load::get(50, 16);

const MIXED_PIPELINED: Load = Load { reads: 0.8, ..SET_PIPELINED };
const UNMANAGED: Target = Target::Leasehold { nodes: 3, shards: 16, managed: false };

const fn rate(
    ours: (Target, Load),
    theirs: (Target, Load),
    against: &'static str,
    goal: Goal,
) -> Measure {
    Measure::Pair(Pair { ours, theirs, against, figure: Figure::Rate, goal, cpu_goal: None })
}

pub(super) const ROWS: [Row; 18] = [
    Row {
        name: "control",
        what: "SET, pipelines of 16, against itself",
        measure: rate(
            (Target::OURS, SET_PIPELINED),
            (Target::OURS, SET_PIPELINED),
            "the same cluster",
            Goal::Holds(1.0),
        ),
    },
    Row {
        name: "syncs",
        what: "syncs of all logs for each acknowledged write, pipelines of 16",
        measure: Measure::Syncs,
    },
    Row {
        name: "set",
        what: "SET, no pipeline",
        measure: rate(
            (Target::OURS, SET),
            (Target::RedisCluster, SET.waiting(1)),
            "Redis Cluster 3+3, AOF always, WAIT 1",
            Goal::AtLeast(3.0),
        ),
    },
    Row {
        name: "set-pipelined",
        what: "SET, pipelines of 16",
        measure: rate(
            (Target::OURS, SET_PIPELINED),
            (Target::RedisCluster, SET_PIPELINED.waiting(1)),
            "Redis Cluster 3+3, AOF always, WAIT 1 each",
            Goal::AtLeast(5.0),
        ),
    },
    Row {
        name: "set-memory",
        what: "SET, pipelines of 16",
        measure: rate(
            (Target::OURS, SET_PIPELINED),
            (Target::Redis, SET_PIPELINED),
            "one in-memory redis-server",
            Goal::AtLeast(0.5),
        ),
    },
    Row {
        name: "get",
        what: "GET at the holder, no pipeline",
        measure: rate(
            (Target::OURS, GET),
            (Target::Redis, GET),
            "one in-memory redis-server",
            Goal::AtLeast(0.9),
        ),
    },
    Row {
        name: "get-pipelined",
        what: "GET at the holder, pipelines of 16",
        measure: Measure::Pair(Pair {
            ours: (Target::OURS, GET_PIPELINED),
            theirs: (Target::Redis, GET_PIPELINED),
            against: "one in-memory redis-server",
            figure: Figure::Rate,
            goal: Goal::AtLeast(1.0),
            cpu_goal: Some(Goal::AtMost(1.0 / 1.2)),
        }),
    },
    Row {
        name: "set-etcd",
        what: "SET, no pipeline",
        measure: rate(
            (Target::OURS, SET),
            (Target::Etcd, SET),
            "etcd, 3 members, put at the leader",
            Goal::AtLeast(8.0),
        ),
    },
    Row {
        name: "set-floor",
        what: "SET of one client, median latency",
        measure: Measure::Pair(Pair {
            ours: (Target::OURS, Load::set(1, 1)),
            theirs: (Target::Floor, Load::set(1, 1)),
            against: "the floor: three threads that append, sync and answer",
            figure: Figure::Latency,
            goal: Goal::AtMost(2.0),
            cpu_goal: None,
        }),
    },
    Row {
        name: "shards",
        what: "SET, pipelines of 16, 1024 active shards",
        measure: rate(
            (Target::cut(1024), SET_PIPELINED),
            (Target::cut(1), SET_PIPELINED),
            "1 shard, also ours",
            Goal::AtLeast(0.8),
        ),
    },
    Row {
        name: "manager",
        what: "SET and GET, pipelines of 16, with the Lease Manager",
        measure: Measure::Pair(Pair {
            ours: (Target::OURS, MIXED_PIPELINED),
            theirs: (UNMANAGED, MIXED_PIPELINED),
            against: "the same without manager and reports",
            figure: Figure::Rate,
            goal: Goal::AtLeast(0.98),
            cpu_goal: Some(Goal::AtMost(1.02)),
        }),
    },
    Row {
        name: "memory",
        what: "bytes a key (16 B + 100 B), resident, each replica",
        measure: Measure::Memory,
    },
    Row { name: "costly", what: "others' longest wait", measure: Measure::Costly },
    Row { name: "transfer", what: "moves of leases under load", measure: Measure::Transfer },
    Row {
        name: "failover",
        what: "kill -9 of a holder under full pipelined load",
        measure: Measure::Failover,
    },
    Row {
        name: "two-deaths",
        what: "kill -9 of two nodes of five at once",
        measure: Measure::TwoDeaths,
    },
    Row {
        name: "drain",
        what: "drain of a node with 300 leases under load",
        measure: Measure::Drain,
    },
    Row {
        name: "restart",
        what: "restart of all nodes under load, one after the other",
        measure: Measure::Restart,
    },
];

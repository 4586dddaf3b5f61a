//! What a node tells the manager every second, and what is wrong with a report that is refused.
//!
//! A report carries durations, never times of day: `uptime` says when it was taken, on the node's
//! own clock, and the manager relates that clock to its own by the quickest report it has seen.
//! So a report that lay about in a queue is known to be old, whatever the clocks say.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use types::limits::{NODES_MAX, REPLICAS_MAX, SHARDS_MAX};
use types::{Incarnation, LeaseEpoch, NodeId, ShardId, Slot, SlotRange};

use crate::command::Generation;
use crate::origin::{ORIGIN_TEXT_MAX, Origin};
use crate::resources::Resources;

/// Most origins in one report, and for one shard.
pub const ORIGINS_MAX: usize = 64;
/// Most hot slots, and most hot keys, of one shard in a report.
pub const HOT_MAX: usize = 8;
/// Longest beginning of a hot key in a report, in bytes, the mark of a cut included.
pub const HOT_KEY_BYTES_MAX: usize = 64;
/// Larger amounts than this are nonsense: no machine has 10^15 bytes per second, or of memory.
pub const AMOUNT_MAX: f64 = 1e15;
/// A node that has less of anything per second is nonsense, and dividing by it would be, too: with
/// 10^-300 a share of the node is infinite, and the difference of two such is no number.
pub const CAPACITY_MIN: f64 = 1.0;
/// Longer durations than this, of a measurement, are nonsense.
pub const MEASURED_MAX: Duration = Duration::from_secs(3600);
/// How far a node's clock may run ahead of the manager's between two reports before the report
/// counts as one from the future: jitter of the network, with a margin.
pub const FUTURE_MAX: Duration = Duration::from_secs(2);

/// The state of one node, and the load of the shards whose lease it holds.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Who reports.
    pub node: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// When the report was taken: time since that start, on the node's monotonic clock.
    pub uptime: Duration,
    /// The time up to `uptime` in which the rates were measured.
    pub covers: Duration,
    /// What the node has, per second.
    pub capacity: Resources,
    /// What the whole process used, per second: shards held, followers' work, all else.
    pub used: Resources,
    /// Of that, what it took to pass requests on whose clients have yet to hear that a lease has
    /// left this node a short time ago: it ends by itself, and to move more leases does not end
    /// it. Only its CPU is told apart.
    pub late: Resources,
    /// Memory that the node may fill, in bytes.
    pub memory_capacity: f64,
    /// Memory that is filled, in bytes.
    pub memory_used: f64,
    /// 99th percentile of the time of an fsync.
    pub fsync: Duration,
    /// How far its wall clock is ahead of the cluster's time, in milliseconds; negative: behind.
    pub clock_ahead: i64,
    /// Whether that is more than it may be.
    pub clock_off: bool,
    /// Whether its disk is nearly full: it takes no leases, unless from one that is full, too.
    pub disk_full: bool,
    /// The other nodes whose beats reach it.
    pub hears: Vec<NodeId>,
    /// Round trips from this node to its clients, by origin.
    pub round_trips: Vec<RoundTrip>,
    /// Where the clients that are connected to this node come from, with a text for people.
    pub origins: Vec<(Origin, String)>,
    /// The shards whose lease the node holds.
    pub held: Vec<HeldShard>,
}

/// How far a node's clients are away.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RoundTrip {
    /// Where they are.
    pub origin: Origin,
    /// The median round trip.
    pub time: Duration,
}

/// A shard as its holder sees it. Rates are per second.
#[derive(Clone, PartialEq, Debug)]
pub struct HeldShard {
    /// The shard.
    pub shard: ShardId,
    /// The lease.
    pub epoch: LeaseEpoch,
    /// Whether the holder before handed the lease over; else this one was elected.
    pub handed_over: bool,
    /// Its slots.
    pub range: SlotRange,
    /// The version of its range and replicas.
    pub generation: Generation,
    /// The nodes with a replica that votes, the holder among them.
    pub voters: Vec<NodeId>,
    /// The nodes with a replica that only receives the log, and those that should have one.
    pub learners: Vec<NodeId>,
    /// Reads.
    pub reads: f64,
    /// Writes.
    pub writes: f64,
    /// Bytes of requests.
    pub bytes_in: f64,
    /// Bytes of replies.
    pub bytes_out: f64,
    /// What serving them took, by attribution.
    pub load: Resources,
    /// Bytes of data stored.
    pub stored: f64,
    /// How long requests took.
    pub service: Percentiles,
    /// How long requests waited before.
    pub queue: Percentiles,
    /// Requests by origin of their clients.
    pub origins: Vec<(Origin, f64)>,
    /// The slots that are asked for most, each with the share of the shard's requests that
    /// concern it at least; 1 is all of them.
    pub hot_slots: Vec<(Slot, f64)>,
    /// The same for keys. Of a long key only the beginning is here, and `...` at its end; all keys
    /// that begin so count as one.
    pub hot_keys: Vec<(Box<[u8]>, f64)>,
    /// How far the other replicas are behind.
    pub followers: Vec<Follower>,
}

/// Two percentiles of a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Percentiles {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

/// A replica that is not the holder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Follower {
    /// Where it is.
    pub node: NodeId,
    /// Entries that it should have confirmed by now: those that are on their way don't count.
    pub lag_entries: u64,
    /// By how much the oldest of them is late.
    pub lag_time: Duration,
}

/// Why a report was refused. Nothing has changed.
#[derive(Clone, PartialEq, Debug)]
pub enum RefusedReport {
    /// The node was not added to the cluster.
    UnknownNode(NodeId),
    /// The node has started again since.
    OldIncarnation {
        /// The report's.
        reported: Incarnation,
        /// The newest known.
        known: Incarnation,
    },
    /// A report of the same start that was taken later is already here.
    OutOfOrder {
        /// When this one was taken.
        uptime: Duration,
        /// When the newest was.
        known: Duration,
    },
    /// The node's clock has run further than time has passed here.
    FromTheFuture {
        /// How far it is ahead.
        ahead: Duration,
    },
    /// A lease has moved to or from the node since the report was taken.
    OlderThanMove {
        /// By how much.
        by: Duration,
    },
    /// A number is negative, no number, or larger than anything real; or a capacity is none.
    NotSane {
        /// Which number.
        field: &'static str,
    },
    /// A list is longer than it can be.
    TooMany {
        /// Which list.
        field: &'static str,
    },
    /// A shard, origin or replica is listed twice.
    Twice {
        /// In which list.
        field: &'static str,
    },
    /// The shard was not defined.
    UnknownShard(ShardId),
    /// Another node holds the shard under this epoch, or a later one.
    StaleEpoch {
        /// The shard.
        shard: ShardId,
        /// The report's.
        reported: LeaseEpoch,
        /// The newest known.
        known: LeaseEpoch,
    },
}

impl fmt::Display for RefusedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNode(node) => write!(f, "{node} is not a node of this cluster"),
            Self::OldIncarnation { reported, known } => {
                write!(f, "the report is of {reported}, but the node has started as {known}")
            }
            Self::OutOfOrder { uptime, known } => {
                write!(f, "taken at uptime {uptime:?}, but one taken at {known:?} is already here")
            }
            Self::FromTheFuture { ahead } => {
                write!(f, "the node's clock is {ahead:?} further than it can be")
            }
            Self::OlderThanMove { by } => {
                write!(f, "taken {by:?} before the last move of a lease to or from the node")
            }
            Self::NotSane { field } => {
                write!(f, "`{field}` is negative, not a number, or absurdly large")
            }
            Self::TooMany { field } => write!(f, "`{field}` has more elements than there can be"),
            Self::Twice { field } => write!(f, "`{field}` names something twice"),
            Self::UnknownShard(shard) => write!(f, "{shard} is not a shard of this cluster"),
            Self::StaleEpoch { shard, reported, known } => {
                write!(f, "claims {shard} under {reported}, but the newest lease is {known}")
            }
        }
    }
}

impl core::error::Error for RefusedReport {}

impl Report {
    /// Checks everything that can be judged without knowing the cluster.
    ///
    /// # Errors
    /// For the first number or list that makes no sense.
    pub fn check(&self) -> Result<(), RefusedReport> {
        let not_sane = |field| Err(RefusedReport::NotSane { field });
        if self.covers.is_zero() || self.covers > MEASURED_MAX || self.covers > self.uptime {
            return not_sane("covers");
        }
        let Resources { cpu, network, log } = self.capacity;
        let least = cpu.min(network).min(log);
        if !self.capacity.is_sane(AMOUNT_MAX) || least < CAPACITY_MIN {
            return not_sane("capacity");
        }
        if !self.used.is_sane(AMOUNT_MAX) {
            return not_sane("used");
        }
        if !self.late.is_sane(AMOUNT_MAX) {
            return not_sane("late");
        }
        if !is_amount(self.memory_capacity) || !is_amount(self.memory_used) {
            return not_sane("memory");
        }
        if self.fsync > MEASURED_MAX {
            return not_sane("fsync");
        }
        check_list("hears", NODES_MAX, self.hears.iter())?;
        if self.round_trips.iter().any(|trip| trip.time > MEASURED_MAX) {
            return not_sane("round_trips");
        }
        check_list("round_trips", ORIGINS_MAX, self.round_trips.iter().map(|trip| trip.origin))?;
        if self.origins.iter().any(|(_, text)| text.len() > ORIGIN_TEXT_MAX) {
            return Err(RefusedReport::TooMany { field: "text of an origin" });
        }
        check_list("origins", ORIGINS_MAX, self.origins.iter().map(|(origin, _)| *origin))?;
        check_list("held", SHARDS_MAX, self.held.iter().map(|held| held.shard))?;
        self.held.iter().try_for_each(HeldShard::check)
    }
}

impl HeldShard {
    /// A shard of which nothing is asked.
    #[must_use]
    pub fn idle(shard: ShardId, epoch: LeaseEpoch, range: SlotRange) -> Self {
        Self {
            shard,
            epoch,
            handed_over: false,
            range,
            generation: Generation(0),
            voters: Vec::new(),
            learners: Vec::new(),
            reads: 0.0,
            writes: 0.0,
            bytes_in: 0.0,
            bytes_out: 0.0,
            load: Resources::NONE,
            stored: 0.0,
            service: Percentiles::default(),
            queue: Percentiles::default(),
            origins: Vec::new(),
            hot_slots: Vec::new(),
            hot_keys: Vec::new(),
            followers: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), RefusedReport> {
        let amounts = [
            ("reads", self.reads),
            ("writes", self.writes),
            ("bytes_in", self.bytes_in),
            ("bytes_out", self.bytes_out),
            ("stored", self.stored),
        ];
        if let Some((field, _)) = amounts.iter().find(|(_, amount)| !is_amount(*amount)) {
            return Err(RefusedReport::NotSane { field });
        }
        if !self.load.is_sane(AMOUNT_MAX) {
            return Err(RefusedReport::NotSane { field: "load" });
        }
        let times = [self.service.p50, self.service.p99, self.queue.p50, self.queue.p99];
        if times.iter().any(|time| *time > MEASURED_MAX) {
            return Err(RefusedReport::NotSane { field: "service and queue" });
        }
        if self.origins.iter().any(|(_, requests)| !is_amount(*requests)) {
            return Err(RefusedReport::NotSane { field: "origins" });
        }
        check_list("origins", ORIGINS_MAX, self.origins.iter().map(|(origin, _)| *origin))?;
        let replicas = self.voters.iter().chain(&self.learners).copied().collect::<Vec<_>>();
        check_list("voters and learners", REPLICAS_MAX, replicas.into_iter())?;
        self.check_hot()?;
        check_list("followers", REPLICAS_MAX, self.followers.iter().map(|other| other.node))
    }

    fn check_hot(&self) -> Result<(), RefusedReport> {
        let slots = self.hot_slots.iter().map(|(_, share)| *share);
        let keys = self.hot_keys.iter().map(|(_, share)| *share);
        if slots.chain(keys).any(|share| !(0.0..=1.0).contains(&share)) {
            return Err(RefusedReport::NotSane { field: "hot slots and keys" });
        }
        if self.hot_slots.iter().any(|(slot, _)| !self.range.contains(*slot)) {
            return Err(RefusedReport::NotSane { field: "hot slots" });
        }
        if self.hot_keys.iter().any(|(key, _)| key.len() > HOT_KEY_BYTES_MAX) {
            return Err(RefusedReport::TooMany { field: "bytes of a hot key" });
        }
        check_list("hot slots", HOT_MAX, self.hot_slots.iter().map(|(slot, _)| *slot))?;
        check_list("hot keys", HOT_MAX, self.hot_keys.iter().map(|(key, _)| key))
    }
}

fn is_amount(amount: f64) -> bool {
    (0.0..=AMOUNT_MAX).contains(&amount)
}

/// Neither too long nor with anything in it twice.
fn check_list<T: Ord>(
    field: &'static str,
    most: usize,
    list: impl ExactSizeIterator<Item = T>,
) -> Result<(), RefusedReport> {
    if list.len() > most {
        return Err(RefusedReport::TooMany { field });
    }
    let mut sorted: Vec<T> = list.collect();
    sorted.sort_unstable();
    let twice = sorted.windows(2).any(|pair| pair[0] == pair[1]);
    if twice { Err(RefusedReport::Twice { field }) } else { Ok(()) }
}

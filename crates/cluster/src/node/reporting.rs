//! What a node tells the active Lease Manager once a second: what it has and uses, and how the
//! shards are used whose lease it holds.
//!
//! The CPU time of a shard can't be measured; it is attributed. The time of the whole process, less
//! nothing, is shared out by weighted counts of what was done: reads, writes as holder, operations
//! applied as follower. The followers' part and that of empty windows stays the node's background.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use placement::{
    Follower, Generation, HOT_MAX, HeldShard, ORIGINS_MAX, Origin, Percentiles, Report, Resources,
    RoundTrip,
};
use types::{Monotonic, Now, ShardId};

use super::Node;
use crate::frontend::ProcessStats;
use crate::shard::Shard;
use crate::shard::load::Window;

/// What a write costs its holder beside a read.
const WRITE_WEIGHT: f64 = 3.0;
/// What it costs a follower.
const FOLLOWED_WEIGHT: f64 = 2.0;
/// What a read is taken to cost where nobody measures the process: in the simulator.
const ASSUMED_READ_MICROS: f64 = 10.0;
/// Time that a report must cover at least.
const COVERED_MIN: Duration = Duration::from_millis(100);
/// Where the shell does not know better: one core, a gigabit and a log that is always at work.
const CAPACITY_DEFAULT: Resources =
    Resources { cpu: 1_000_000.0, network: 125_000_000.0, log: 1_000_000.0 };
const MEMORY_DEFAULT: f64 = (1u64 << 30) as f64;

/// What the last report reached to.
#[derive(Default)]
pub(super) struct Reporting {
    at: Monotonic,
    process: ProcessStats,
}

/// What was done since the last report.
struct Done {
    covers: f64,
    cpu_per_weight: f64,
    used: Resources,
    log_per_write: f64,
    waited: Duration,
}

impl Window {
    fn weight(&self) -> f64 {
        self.reads as f64
            + self.writes as f64 * WRITE_WEIGHT
            + self.followed as f64 * FOLLOWED_WEIGHT
    }
}

impl Node {
    /// The report on the time since the last one; `None` if that is too short to tell anything.
    pub(super) fn take_report(&mut self, now: Now) -> Option<Report> {
        let since = self.reporting.at.max(self.started);
        let covers = now.monotonic.since(since);
        if covers < COVERED_MIN {
            return None;
        }
        self.reporting.at = now.monotonic;
        let windows: Vec<Window> =
            self.shards.iter_mut().map(|shard| shard.load.take_window()).collect();
        let (log_busy, fsync) = self.storage.take_window();
        let done = self.sum_up(covers, &windows, log_busy);
        let support = &self.world.support;
        let mut held = Vec::new();
        for (shard, window) in self.shards.iter_mut().zip(&windows) {
            let is_held = shard.id != ShardId::SYSTEM && shard.view(now, support).holds;
            if is_held {
                held.push(shard.report(window, &done));
            }
        }
        let process = self.frontend.process;
        let memory = process.resident_bytes.max(held_bytes(&self.shards)) as f64;
        let capacity = process.capacity();
        Some(Report {
            node: self.world.settings.node,
            incarnation: self.world.incarnation,
            uptime: now.monotonic.since(self.started),
            covers,
            capacity,
            used: done.used,
            memory_capacity: if process.memory_capacity_bytes == 0 {
                MEMORY_DEFAULT
            } else {
                process.memory_capacity_bytes as f64
            },
            memory_used: memory,
            fsync,
            round_trips: self.take_round_trips(),
            held,
        })
    }

    fn sum_up(&mut self, covers: Duration, windows: &[Window], log_busy: Duration) -> Done {
        let seconds = covers.as_secs_f64();
        let process = self.frontend.process;
        let before = core::mem::replace(&mut self.reporting.process, process);
        let since = |now: u64, before: u64| now.saturating_sub(before) as f64;
        let measured = since(process.user_micros, before.user_micros)
            + since(process.system_micros, before.system_micros);
        let weight = windows.iter().map(Window::weight).fold(0.0, |sum, it| sum + it);
        let assumed = weight * ASSUMED_READ_MICROS;
        let cpu = if process.process_id == 0 { assumed } else { measured };
        let bytes = since(process.input_bytes, before.input_bytes)
            + since(process.output_bytes, before.output_bytes);
        let entries: u64 = windows.iter().map(|it| it.writes + it.followed).sum();
        let log = log_busy.as_secs_f64() * 1e6;
        Done {
            covers: seconds,
            cpu_per_weight: if weight > 0.0 { cpu / weight } else { 0.0 },
            used: Resources { cpu: cpu / seconds, network: bytes / seconds, log: log / seconds },
            log_per_write: if entries > 0 { log / entries as f64 } else { 0.0 },
            waited: Duration::from_micros(process.turn_micros),
        }
    }

    /// For each origin the median over its clients of the shortest time between a reply and the
    /// next request: the round trip, and at most what the fastest client does in between.
    fn take_round_trips(&mut self) -> Vec<RoundTrip> {
        let mut trips: BTreeMap<Origin, Vec<Duration>> = BTreeMap::new();
        self.world.sessions.for_each(|session| {
            if let Some(trip) = session.round_trip.take()
                && (trips.len() < ORIGINS_MAX || trips.contains_key(&session.origin))
            {
                trips.entry(session.origin).or_default().push(trip);
            }
        });
        let median = |(origin, mut times): (Origin, Vec<Duration>)| {
            times.sort_unstable();
            RoundTrip { origin, time: times[times.len() / 2] }
        };
        trips.into_iter().map(median).collect()
    }
}

impl ProcessStats {
    /// What the node has per second.
    fn capacity(&self) -> Resources {
        let or = |given: u64, default: f64| if given == 0 { default } else { given as f64 };
        Resources {
            cpu: or(self.cpu_capacity_micros, CAPACITY_DEFAULT.cpu),
            network: or(self.network_capacity_bytes, CAPACITY_DEFAULT.network),
            log: CAPACITY_DEFAULT.log,
        }
    }
}

fn held_bytes(shards: &[Shard]) -> u64 {
    shards.iter().map(|shard| shard.data().memory_bytes()).sum()
}

impl Shard {
    fn report(&mut self, window: &Window, done: &Done) -> HeldShard {
        let (hot_slots, hot_keys, origins) = self.load.take_hottest(HOT_MAX);
        let rate = |count: u64| count as f64 / done.covers;
        let (reads, writes) = (rate(window.reads), rate(window.writes));
        let copies = self.voters().len() as f64;
        let (bytes_in, bytes_out) = (rate(window.bytes_in), rate(window.bytes_out));
        let own = window.reads as f64 + window.writes as f64 * WRITE_WEIGHT;
        // Requests wait in their sockets while the loop is busy with those before them.
        let used = window.reads + window.writes > 0;
        let waited = if used { done.waited } else { Duration::ZERO };
        let queue = window.queue.percentiles();
        HeldShard {
            shard: self.id,
            epoch: self.lease().epoch,
            reads,
            writes,
            bytes_in,
            bytes_out,
            load: Resources {
                cpu: own * done.cpu_per_weight / done.covers,
                network: bytes_in * copies + bytes_out,
                log: writes * done.log_per_write,
            },
            stored: self.data().memory_bytes() as f64,
            service: window.service.percentiles(),
            queue: Percentiles { p50: queue.p50, p99: queue.p99.max(waited) },
            origins: origins
                .into_iter()
                .map(|(it, share)| (it, share * (reads + writes)))
                .collect(),
            followers: self.followers(),
            hot_slots: hot_slots.into_iter().map(|(slot, share)| (slot, share.min(1.0))).collect(),
            hot_keys: distinct(hot_keys),
            range: self.range(),
            voters: self.voters(),
            generation: Generation(self.generation()),
        }
    }

    /// How far the other voters are behind. One that is fed slot images lacks everything.
    fn followers(&self) -> Vec<Follower> {
        let me = self.me();
        let others = self.voters().into_iter().filter(|node| *node != me);
        let follower = |node| {
            let lag_entries = self.entries_behind(node);
            // The age of what is missing is not kept; what is missing for longer than a window is
            // many entries in a shard that is used.
            let lag_time = if lag_entries == 0 { Duration::ZERO } else { COVERED_MIN };
            Follower { node, lag_entries, lag_time }
        };
        others.map(follower).collect()
    }
}

/// Keys that were cut may be the same.
fn distinct(keys: Vec<(Vec<u8>, f64)>) -> Vec<(Vec<u8>, f64)> {
    let mut sums: Vec<(Vec<u8>, f64)> = Vec::new();
    for (key, share) in keys {
        match sums.iter_mut().find(|(known, _)| *known == key) {
            Some((_, sum)) => *sum = (*sum + share).min(1.0),
            None => sums.push((key, share.min(1.0))),
        }
    }
    sums
}

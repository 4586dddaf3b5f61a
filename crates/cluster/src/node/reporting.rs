//! What the node tells the Lease Manager about itself and the shards it holds.
//!
//! **CPU by attribution.** The system knows what the event loop takes, but not for which shard.
//! Each shard's requests are counted and weighed by what such requests take (`shard/load`), and
//! what the event loop took, less what it takes when nothing is asked of it, is shared in
//! proportion. Work for shards that others hold, and requests that are only passed on, are weighed
//! too: their part is nobody's, so it is the background. The shares of all shards together never
//! exceed what was measured.
//!
//! Where there is no process to measure, as in the simulator, the weights themselves are taken for
//! the truth, and the node has one core.

use alloc::vec::Vec;
use core::time::Duration;

use placement::{CAPACITY_MIN, HeldShard, MEASURED_MAX, Report, Resources};
use types::{Monotonic, NodeId, Now, SessionId, ShardId};

use super::Node;
use super::troubles::Troubles;
use crate::frontend::ProcessStats;
use crate::shard::load::costs;

/// Less time than this is no measurement: the rates would be noise.
const WINDOW_MIN: Duration = Duration::from_millis(100);
/// What an event loop takes for beats and housekeeping alone, in microseconds of CPU per second.
const BASE_CPU: f64 = 5_000.0;
/// A request is never charged more than so many times its weight: what a nearly idle node takes is
/// not its few requests' doing.
const CHARGE_MAX: f64 = 50.0;
/// What a node has without a process to ask: one core, ten gigabits, a good disk.
const CAPACITY: Resources = Resources { cpu: 1e6, network: 1.25e9, log: 2e8 };
/// Memory of such a node, in bytes.
const MEMORY: f64 = 8e9;

/// What is remembered from one report to the next.
pub(crate) struct Reporting {
    since: Monotonic,
    /// What is wrong with shards, and has been said of it.
    pub(super) troubles: Troubles,
    /// The newest measurements of the process, if there is one.
    process: Option<ProcessStats>,
    /// What the process took between the last two measurements, per second.
    rates: Resources,
    /// Requests that were forwarded since the last report because their clients have yet to hear
    /// where the lease is now.
    late: u64,
    /// Requests that had been forwarded, and bytes appended to the log, at the last report.
    forwarded: u64,
    appended: u64,
}

impl Reporting {
    pub(super) fn new(now: Monotonic) -> Self {
        let (late, forwarded, appended) = (0, 0, 0);
        let (troubles, rates) = (Troubles::default(), Resources::NONE);
        Self { since: now, troubles, process: None, rates, late, forwarded, appended }
    }

    /// A request is forwarded whose client has yet to hear that the lease has moved from here.
    pub(super) fn note_late(&mut self) {
        self.late += 1;
    }

    /// Takes new measurements. Counters that ran backwards have begun anew: they tell nothing yet.
    pub(crate) fn note_process(&mut self, stats: &ProcessStats) {
        let before = self.process.replace(*stats);
        let Some(before) = before else { return };
        let seconds = stats.measured_at.since(before.measured_at).as_secs_f64();
        if seconds < WINDOW_MIN.as_secs_f64() {
            return;
        }
        let micros = stats.loop_micros.saturating_sub(before.loop_micros);
        let bytes = traffic(stats).saturating_sub(traffic(&before));
        let (cpu, network) = (micros as f64 / seconds, bytes as f64 / seconds);
        self.rates = Resources { cpu, network, log: 0.0 };
    }

    /// Whether there is a process that was measured.
    fn measured(&self) -> Option<&ProcessStats> {
        self.process.as_ref().filter(|process| process.loop_micros > 0)
    }

    fn capacity(&self) -> Resources {
        let Some(process) = self.measured() else { return CAPACITY };
        let or = |amount: f64, default: f64| if amount >= CAPACITY_MIN { amount } else { default };
        Resources {
            cpu: or(process.capacity_cpu as f64 * 1000.0, CAPACITY.cpu),
            network: or(process.capacity_network as f64, CAPACITY.network),
            log: or(process.capacity_log as f64, CAPACITY.log),
        }
    }
}

/// Bytes from and to everybody.
fn traffic(process: &ProcessStats) -> u64 {
    [process.input_bytes, process.output_bytes, process.peer_input_bytes, process.peer_output_bytes]
        .into_iter()
        .fold(0, u64::saturating_add)
}

/// The part of `amount` that `of` is in `whole`.
fn share(amount: f64, whole: f64) -> f64 {
    if whole > 0.0 { amount / whole } else { 0.0 }
}

/// Turns weights into what was taken: `held` have theirs in `load`, `background` is that of all
/// else, of which `late` is a part, and `used` is what was measured.
fn attribute(held: &mut [HeldShard], late: &mut Resources, background: Resources, used: Resources) {
    let sum = held.iter().fold(Resources::NONE, |sum, held| sum + held.load);
    let available = (used.cpu - BASE_CPU).max(0.0);
    let cpu = share(available, sum.cpu + background.cpu).min(CHARGE_MAX);
    // Bytes are counted, not weighed: they are only kept from being more than there were.
    let network = share(used.network, sum.network).min(1.0);
    let log = share(used.log, sum.log).min(1.0);
    late.cpu *= cpu;
    for held in held {
        let load = held.load;
        held.load =
            Resources { cpu: load.cpu * cpu, network: load.network * network, log: load.log * log };
    }
}

impl Node {
    /// The driver has measured a round trip to a client.
    pub fn note_round_trip(&mut self, now: Now, session: SessionId, time: Duration) {
        let sessions = &mut self.world.sessions;
        let Some(origin) = sessions.get(session).map(|session| session.origin) else { return };
        sessions.origins.note_round_trip(now.monotonic, origin, time);
    }

    /// The report about the time since the last one, or nothing if that was just now.
    pub(crate) fn take_report(&mut self, now: Now) -> Option<Report> {
        let covers = now.monotonic.since(self.reporting.since);
        if covers < WINDOW_MIN {
            return None;
        }
        self.reporting.since = now.monotonic;
        let seconds = covers.as_secs_f64();
        let (mut held, mut background) = self.measure_shards(now, seconds);
        background.cpu += self.take_forwarded() as f64 * costs::PASSED_ON / seconds;
        let late = core::mem::take(&mut self.reporting.late) as f64 * costs::PASSED_ON / seconds;
        let mut late = Resources { cpu: late, ..Resources::NONE };
        let sum = held.iter().fold(background, |sum, held| sum + held.load);
        let appended = self.storage.appended();
        let log = appended - core::mem::replace(&mut self.reporting.appended, appended);
        let mut used = Resources { log: log as f64 / seconds, ..sum };
        let stored: u64 = self.shards.iter().map(|shard| shard.data().payload_bytes()).sum();
        let (mut memory_capacity, mut memory_used) = (MEMORY, stored as f64);
        if let Some(process) = self.reporting.measured() {
            used = Resources { log: used.log, ..self.reporting.rates };
            attribute(&mut held, &mut late, background, used);
            memory_used = process.resident_bytes as f64;
            if process.capacity_memory > 0 {
                memory_capacity = process.capacity_memory as f64;
            }
            let turn = process.turn_p99.min(MEASURED_MAX);
            for held in held.iter_mut().filter(|held| held.reads + held.writes > 0.0) {
                held.queue.p99 = held.queue.p99.saturating_add(turn).min(MEASURED_MAX);
            }
        }
        Some(Report {
            node: self.world.settings.node,
            incarnation: self.world.incarnation,
            uptime: self.uptime(now),
            covers: covers.min(MEASURED_MAX),
            capacity: self.reporting.capacity(),
            used,
            late,
            memory_capacity,
            memory_used,
            fsync: self.storage.take_fsync_p99().min(MEASURED_MAX),
            clock_ahead: self.world.clock.error_millis(),
            clock_off: self.world.clock.is_off(),
            disk_full: self.world.room.disk_is_short(),
            hears: self.hears(now),
            round_trips: self.world.sessions.origins.round_trips(now.monotonic),
            origins: self.world.sessions.origins.texts(),
            held,
        })
    }

    /// The members whose beats reach this node.
    fn hears(&self, now: Now) -> Vec<NodeId> {
        let alive = |node: &NodeId| self.world.support.is_alive(now.monotonic, *node);
        self.world.others().filter(alive).collect()
    }

    /// The shards that are held, with the weights of their requests as load; and the weight of what
    /// was done for others.
    fn measure_shards(&mut self, now: Now, seconds: f64) -> (Vec<HeldShard>, Resources) {
        let (mut held, mut background) = (Vec::new(), Resources::NONE);
        let support = &self.world.support;
        for (at, shard) in self.shards.iter_mut().enumerate() {
            let (load, report) = shard.take_report(now, support, seconds);
            let is_here = self.routes.get(shard.id).is_some_and(|route| route.local == Some(at));
            match report.filter(|_| is_here && shard.id != ShardId::SYSTEM) {
                Some(report) => held.push(report),
                None => background += load,
            }
        }
        (held, background)
    }

    /// Requests that were passed on to other nodes since this was asked last.
    fn take_forwarded(&mut self) -> u64 {
        let forwarded = self.forwards.count(self.world.founding.lives.own());
        forwarded - core::mem::replace(&mut self.reporting.forwarded, forwarded)
    }
}

#[cfg(test)]
mod tests {
    use types::{LeaseEpoch, SlotRange};

    use super::*;

    fn held(cpu: f64, network: f64, log: f64) -> HeldShard {
        let load = Resources { cpu, network, log };
        let idle = HeldShard::idle(ShardId(1), LeaseEpoch(1), SlotRange::ALL);
        HeldShard { load, ..idle }
    }

    #[test]
    fn shards_never_take_more_than_the_process() {
        let amounts = [0.0, 1e-300, 1.0, 5_000.0, 5_001.0, 1e6, 1e15];
        for weight in amounts {
            for background in amounts {
                for used in amounts {
                    let mut shards = [held(weight, weight, weight), held(7.0, 0.0, 0.0)];
                    let of = |cpu| Resources { cpu, network: cpu, log: cpu };
                    let mut late = Resources { cpu: background / 2.0, ..Resources::NONE };
                    attribute(&mut shards, &mut late, of(background), of(used));
                    let sum = shards.iter().fold(late, |sum, it| sum + it.load);
                    for amount in sum.amounts() {
                        assert!((0.0..=used * (1.0 + 1e-9)).contains(&amount), "{sum:?} of {used}");
                    }
                }
            }
        }
    }

    #[test]
    fn cpu_is_shared_by_weight_and_the_background_has_its_part() {
        let mut shards = [held(10_000.0, 100.0, 10.0), held(30_000.0, 300.0, 0.0)];
        let background = Resources { cpu: 40_000.0, network: 1e9, log: 1e9 };
        let used = Resources { cpu: 165_000.0, network: 200.0, log: 1e9 };
        let mut late = Resources { cpu: 4_000.0, ..Resources::NONE };
        attribute(&mut shards, &mut late, background, used);
        assert_eq!(late.cpu, 8_000.0);
        assert_eq!(shards[0].load, Resources { cpu: 20_000.0, network: 50.0, log: 10.0 });
        assert_eq!(shards[1].load.cpu, 60_000.0);
    }

    #[test]
    fn rates_are_those_between_two_measurements() {
        let mut reporting = Reporting::new(Monotonic(0));
        assert_eq!(reporting.capacity(), CAPACITY);
        let mut stats = ProcessStats { loop_micros: 100, ..ProcessStats::default() };
        stats.measured_at = Monotonic(1_000_000_000);
        reporting.note_process(&stats);
        assert_eq!(reporting.rates, Resources::NONE);
        stats.measured_at = Monotonic(3_000_000_000);
        stats.loop_micros += 500_000;
        stats.peer_input_bytes += 2000;
        stats.capacity_cpu = 500;
        reporting.note_process(&stats);
        assert_eq!(reporting.rates, Resources { cpu: 250_000.0, network: 1000.0, log: 0.0 });
        assert_eq!(reporting.capacity(), Resources { cpu: 5e5, ..CAPACITY });
        // What ran backwards tells nothing, and two measurements at one moment don't either.
        stats.loop_micros = 1;
        reporting.note_process(&stats);
        assert_eq!(reporting.rates.cpu, 250_000.0);
        stats.measured_at = Monotonic(4_000_000_000);
        stats.loop_micros = 0;
        reporting.note_process(&stats);
        assert_eq!(reporting.rates.cpu, 0.0);
    }
}

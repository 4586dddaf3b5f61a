//! What clients ask of each shard, second by second.

use std::time::Duration;

use placement::Resources;
use types::SLOT_COUNT;

use crate::clients::{self, Shares};
use crate::random::{Random, mix};
use crate::scenario::{Scenario, Workload};

/// CPU time of a read, in microseconds.
pub(crate) const READ_COST: f64 = 8.0;
/// CPU time of a write at the holder.
pub(crate) const WRITE_COST: f64 = 30.0;
/// CPU time of a write at each follower.
pub(crate) const FOLLOW_COST: f64 = 6.0;
/// Time of the log thread for a write.
const LOG_COST: f64 = 10.0;
/// Bytes on the network for a request.
const REQUEST_BYTES: f64 = 300.0;
/// What a node of the laboratory has: one core, a gigabit, one log.
pub(crate) const CAPACITY: Resources = Resources { cpu: 1e6, network: 1.25e8, log: 1e6 };

/// Keys that are placed one by one. The rest of a zipf distribution is spread evenly.
const PLACED_KEYS: u32 = 20_000;
/// How a flash crowd comes, stays and goes.
const FLASH_RAMP: f64 = 10.0;
const FLASH_LENGTH: f64 = 180.0;

/// What is asked of one shard, per second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    pub(crate) reads: f64,
    pub(crate) writes: f64,
}

impl Demand {
    pub(crate) fn load(self) -> Resources {
        Resources {
            cpu: self.reads * READ_COST + self.writes * WRITE_COST,
            network: (self.reads + self.writes) * REQUEST_BYTES,
            log: self.writes * LOG_COST,
        }
    }

    fn times(self, factor: f64) -> Self {
        Self { reads: self.reads * factor, writes: self.writes * factor }
    }
}

/// The source of the load.
#[derive(Debug)]
pub(crate) struct Source {
    workload: Workload,
    /// Shares of the load by shard; they sum to 1.
    weights: Vec<f64>,
    /// How often the popular keys have changed places.
    shifts: u64,
    seed: u64,
    /// CPU microseconds per second in the whole.
    total: f64,
    random: Random,
    /// The flash crowd: when it began, its shard, its height in CPU microseconds per second.
    flash: Option<(f64, usize, f64)>,
    /// The second up to which the trace has been played.
    traced_until: f64,
    /// Where each shard's requests come from; nothing if clients are in no place.
    pub(crate) places: Vec<Shares>,
    /// Without noise.
    pub(crate) expected: Vec<Demand>,
    /// With noise.
    pub(crate) offered: Vec<Demand>,
}

impl Source {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let shards = usize::from(scenario.shards);
        let nodes = f64::from(scenario.nodes);
        let mut source = Self {
            workload: scenario.workload.clone(),
            weights: vec![0.0; shards],
            shifts: 0,
            seed: scenario.seed,
            total: scenario.workload.utilisation * nodes * CAPACITY.cpu,
            random: Random::new(scenario.seed),
            flash: None,
            traced_until: -1.0,
            places: Vec::new(),
            expected: vec![Demand::default(); shards],
            offered: vec![Demand::default(); shards],
        };
        source.weigh();
        source
    }

    /// Puts each key into a slot and each slot into a shard.
    fn weigh(&mut self) {
        let shards = self.weights.len();
        let alpha = self.workload.alpha;
        let placed = self.workload.keys.min(PLACED_KEYS);
        self.weights.fill(0.0);
        let mut sum = 0.0;
        for rank in 1..=placed {
            let weight = f64::from(rank).powf(-alpha);
            let key = mix(self.seed ^ mix(self.shifts << 32 | u64::from(rank)));
            let slot = (key % u64::from(SLOT_COUNT)) as usize;
            self.weights[slot * shards / usize::from(SLOT_COUNT)] += weight;
            sum += weight;
        }
        let tail = tail(alpha, f64::from(placed), f64::from(self.workload.keys));
        for weight in &mut self.weights {
            *weight = (*weight + tail / shards as f64) / (sum + tail);
        }
    }

    pub(crate) fn shift(&mut self) {
        self.shifts += 1;
        self.weigh();
    }

    /// A crowd comes to the shard that has the least to do.
    pub(crate) fn flash(&mut self, at: Duration, height: u32) {
        let order = |a: &usize, b: &usize| self.weights[*a].total_cmp(&self.weights[*b]);
        if let Some(shard) = (0..self.weights.len()).min_by(order) {
            let mean = self.total / self.weights.len() as f64;
            self.flash = Some((at.as_secs_f64(), shard, mean * f64::from(height) / 100.0));
        }
    }

    /// Computes the load of the second that begins.
    pub(crate) fn advance(&mut self, at: Duration) {
        let seconds = at.as_secs_f64();
        if let Some(trace) = &self.workload.trace {
            for row in trace.rows_between(self.traced_until, seconds) {
                if let Some(demand) = self.expected.get_mut(row.shard) {
                    *demand = Demand { reads: row.reads, writes: row.writes };
                }
            }
            self.traced_until = seconds;
        } else {
            self.generate(seconds);
        }
        let noise = self.workload.noise;
        for (expected, offered) in self.expected.iter().zip(&mut self.offered) {
            let factor = (noise * self.random.normal() - noise * noise / 2.0).exp();
            *offered = expected.times(factor);
        }
    }

    fn generate(&mut self, seconds: f64) {
        let Workload { reads, swing, day, clients, .. } = self.workload;
        let cost = reads * READ_COST + (1.0 - reads) * WRITE_COST;
        let turns = seconds / day.as_secs_f64();
        if let Some(clients) = clients {
            let shards = 0..self.expected.len();
            self.places = shards.map(|shard| clients.shares(shard, turns, swing)).collect();
        }
        for (shard, demand) in self.expected.iter_mut().enumerate() {
            let wave = clients::wave(clients, shard, turns, swing);
            let mut cpu = self.total * self.weights[shard] * wave;
            if let Some((begin, _, height)) = self.flash.filter(|(_, crowd, _)| *crowd == shard) {
                let age = seconds - begin;
                let rise = (age / FLASH_RAMP).min((FLASH_LENGTH - age) / FLASH_RAMP);
                cpu += height * rise.clamp(0.0, 1.0);
            }
            let requests = cpu / cost;
            *demand = Demand { reads: requests * reads, writes: requests * (1.0 - reads) };
        }
    }
}

/// The weight of the ranks above `from` up to `to`, by the integral.
fn tail(alpha: f64, from: f64, to: f64) -> f64 {
    if to <= from {
        return 0.0;
    }
    let exponent = 1.0 - alpha;
    if exponent.abs() < 1e-9 {
        return (to / from).ln();
    }
    (to.powf(exponent) - from.powf(exponent)) / exponent
}

//! Averages of a load over time: a fast one, a slow one, and a slow one that notices changes.
//!
//! Only the four operations are used, so every machine computes the same: the weight of a sample
//! that covers `dt` is `dt / (tau + dt)`, the implicit form of exponential smoothing, which is
//! stable for any `dt`.

use core::time::Duration;

use types::Monotonic;

use crate::policy::Policy;
use crate::resources::Resources;

/// A difference of less than this part of the load is never taken for a change.
const CHANGE_SHARE_MIN: f64 = 0.1;

/// The averages of one number.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Average {
    fast: f64,
    level: f64,
    /// Mean distance of the samples from the level: what noise is.
    deviation: f64,
    /// The last sample.
    last: f64,
    /// For how many seconds the level has been what it is.
    age: f64,
}

impl Average {
    /// Adds a sample that covers `since` seconds.
    fn add(&mut self, sample: f64, since: f64, by: &Policy) {
        // An average can't be slower than it is old, or the first sample would count for ever.
        let weight = |tau: Duration| {
            let tau = tau.as_secs_f64().min(self.age);
            if tau + since > 0.0 { since / (tau + since) } else { 1.0 }
        };
        let (fast, slow) = (weight(by.fast), weight(by.slow));
        let before = core::mem::replace(&mut self.last, sample);
        self.fast += fast * (sample - self.fast);
        self.age += since;
        // Noise moves the fast average by a fraction of the mean deviation. More than that is a
        // new level, and waiting for the slow average to learn of it would cost half a minute.
        let difference = self.fast - self.level;
        let noise = (by.change * self.deviation).max(CHANGE_SHARE_MIN * self.level);
        let (first, second) = (before - self.level, sample - self.level);
        // The fast average needs three seconds and more to learn of a load that has halved. Two
        // samples that agree are proof before that. Noise of loads has its long tail upwards, so
        // twice the distance is asked for there.
        let needed = if second < 0.0 { noise } else { 2.0 * noise };
        let twice = first * second > 0.0 && first.abs().min(second.abs()) > needed;
        if self.age > since && (difference.abs() > noise || twice) {
            let both = first * difference > 0.0 && first.abs() > noise;
            // The first of two may be from a time in which the load changed.
            self.fast = if both { (before + 3.0 * sample) / 4.0 } else { self.fast };
            self.level = self.fast;
            self.age = since;
            return;
        }
        self.deviation += slow * ((sample - self.level).abs() - self.deviation);
        self.level += slow * (sample - self.level);
    }
}

/// The averages of what a shard takes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct LoadAverage {
    cpu: Average,
    network: Average,
    log: Average,
    /// When the last sample ended; `None` before the first.
    at: Option<Monotonic>,
}

impl LoadAverage {
    /// Adds what was measured in the time `covers` that ended at `at`.
    pub(crate) fn add(&mut self, at: Monotonic, covers: Duration, load: Resources, by: &Policy) {
        let since = self.at.map_or(covers, |before| at.since(before)).as_secs_f64();
        self.cpu.add(load.cpu, since, by);
        self.network.add(load.network, since, by);
        self.log.add(load.log, since, by);
        self.at = Some(at);
    }

    /// Whether there has been a sample.
    pub(crate) fn is_known(&self) -> bool {
        self.at.is_some()
    }

    /// What the shard takes: the answer to "is a move worth it".
    pub(crate) fn level(&self) -> Resources {
        let Self { cpu, network, log, .. } = self;
        Resources { cpu: cpu.level, network: network.level, log: log.level }
    }

    /// The larger of what the shard takes and took of late: the answer to "can a node take it".
    pub(crate) fn peak(&self) -> Resources {
        let Self { cpu, network, log, .. } = self;
        self.level().or_more(Resources { cpu: cpu.fast, network: network.fast, log: log.fast })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: u64) -> Monotonic {
        Monotonic(number * 1_000_000_000)
    }

    fn feed(average: &mut LoadAverage, seconds: core::ops::Range<u64>, cpu: impl Fn(u64) -> f64) {
        for number in seconds {
            let load = Resources { cpu: cpu(number), ..Resources::NONE };
            average.add(second(number), Duration::from_secs(1), load, &Policy::default());
        }
    }

    #[test]
    fn noise_leaves_the_level_alone_and_a_step_moves_it_at_once() {
        let mut average = LoadAverage::default();
        // A fixed pattern of +-20 %.
        let noisy = |number: u64| [80.0, 120.0, 100.0, 90.0, 110.0][(number * 7 % 5) as usize];
        feed(&mut average, 1..300, noisy);
        let level = average.level().cpu;
        assert!((95.0..105.0).contains(&level), "{level}");
        feed(&mut average, 300..306, |_| 1000.0);
        let level = average.level().cpu;
        assert!(level > 800.0, "{level}");
        feed(&mut average, 306..312, |_| 50.0);
        let level = average.level().cpu;
        assert!(level < 250.0, "{level}");
    }

    #[test]
    fn two_samples_are_enough_for_a_load_that_falls_or_multiplies() {
        let noisy = |number: u64| [80.0, 120.0, 100.0, 90.0, 110.0][(number * 7 % 5) as usize];
        for (after, least, most) in [(40.0, 30.0, 50.0), (400.0, 350.0, 450.0)] {
            let mut average = LoadAverage::default();
            feed(&mut average, 1..300, noisy);
            feed(&mut average, 300..302, |_| after);
            let level = average.level().cpu;
            assert!((least..most).contains(&level), "{after}: {level}");
        }
        // One alone is none.
        let mut average = LoadAverage::default();
        feed(&mut average, 1..300, noisy);
        feed(&mut average, 300..301, |_| 40.0);
        assert!(average.level().cpu > 90.0);
    }

    #[test]
    fn a_gap_between_samples_counts() {
        let mut average = LoadAverage::default();
        feed(&mut average, 1..100, |_| 10.0);
        let mut gap = average;
        let load = Resources { cpu: 11.0, ..Resources::NONE };
        average.add(second(100), Duration::from_secs(1), load, &Policy::default());
        gap.add(second(110), Duration::from_secs(1), load, &Policy::default());
        assert!(gap.level().cpu > average.level().cpu);
    }
}

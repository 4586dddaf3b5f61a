//! How long things take: a histogram of durations in fixed room.
//!
//! Buckets grow with the duration, four for each doubling, so a percentile is right to an eighth
//! of itself whatever its size. Durations below a microsecond count as none. The same idea as in
//! HdrHistogram (Tene), with so few digits that a shard's histograms fit in a kilobyte.

use core::time::Duration;

/// Buckets of one microsecond each, before they begin to grow.
const LINEAR: u32 = 8;
/// The linear ones, and four for each doubling from 8 us to 134 s.
const BUCKETS: usize = LINEAR as usize + 4 * 24;
/// Nanoseconds are counted in units of so many bits: about a microsecond.
const UNIT_BITS: u32 = 10;

/// How often each duration occurred, in buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, time: Duration) {
        self.record_many(time, 1);
    }

    /// Counts a duration that occurred `times` times.
    pub fn record_many(&mut self, time: Duration, times: u32) {
        if let Some(count) = self.counts.get_mut(bucket_of(time)) {
            let before = *count;
            *count = before.saturating_add(times);
            self.total += u64::from(*count - before);
        }
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration that so many thousandths of all do not exceed: 500 is the median. Zero if
    /// there are none. What is answered is the middle of a bucket.
    #[must_use]
    pub fn percentile(&self, thousandths: u32) -> Duration {
        let rank = (self.total * u64::from(thousandths.min(1000))).div_ceil(1000).max(1);
        let mut below = 0u64;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return middle_of(bucket);
            }
        }
        Duration::ZERO
    }

    /// Halves what was counted, so that what comes weighs more.
    pub(crate) fn age(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2);
        self.total = self.counts.iter().map(|count| u64::from(*count)).sum();
    }
}

fn bucket_of(time: Duration) -> usize {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let units = u32::try_from(nanos >> UNIT_BITS).unwrap_or(u32::MAX);
    if units < LINEAR {
        return units as usize;
    }
    let power = 31 - units.leading_zeros();
    let quarter = (units >> (power - 2)) & 3;
    ((LINEAR + (power - 3) * 4 + quarter) as usize).min(BUCKETS - 1)
}

fn middle_of(bucket: usize) -> Duration {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let linear = u64::from(LINEAR);
    if bucket == 0 {
        return Duration::ZERO;
    }
    if bucket < linear {
        return Duration::from_nanos((bucket << UNIT_BITS) + (1 << (UNIT_BITS - 1)));
    }
    let (power, quarter) = ((bucket - linear) / 4 + 3, (bucket - linear) % 4);
    let width = 1u64 << (power - 2);
    let start = (4 + quarter) * width;
    Duration::from_nanos((start << UNIT_BITS) + (width << UNIT_BITS) / 2)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// The oracle: the same percentile of a sorted list.
    fn exact(sorted: &[u64], thousandths: u64) -> u64 {
        let rank = (sorted.len() as u64 * thousandths).div_ceil(1000).max(1);
        sorted[rank as usize - 1]
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list_to_an_eighth() {
        let mut state = 1u64;
        for spread in [10u32, 20, 30, 36] {
            let mut histogram = Histogram::default();
            let mut all: Vec<u64> = Vec::new();
            for _ in 0..5000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Spread evenly over the orders of magnitude.
                let bits = (state >> 8 & 0xff) % u64::from(spread);
                let nanos = (state >> 20) & ((1u64 << bits) - 1);
                histogram.record(Duration::from_nanos(nanos));
                all.push(nanos);
            }
            all.sort_unstable();
            for thousandths in [1, 100, 500, 900, 990, 999, 1000] {
                let wanted = exact(&all, thousandths);
                let found = histogram.percentile(thousandths as u32).as_nanos() as u64;
                let most = (wanted / 8).max(1 << UNIT_BITS);
                assert!(found.abs_diff(wanted) <= most, "{thousandths}: {found}, not {wanted}");
            }
        }
    }

    #[test]
    fn nothing_and_everything() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(990), Duration::ZERO);
        histogram.record(Duration::ZERO);
        assert_eq!(histogram.percentile(1000), Duration::ZERO);
        histogram.record(Duration::MAX);
        assert!(histogram.percentile(1000) > Duration::from_secs(100));
        histogram.record_many(Duration::from_millis(1), u32::MAX);
        histogram.record_many(Duration::from_millis(1), u32::MAX);
        assert_eq!(histogram.count(), u64::from(u32::MAX) + 2);
        histogram.age();
        assert_eq!(histogram.count(), u64::from(u32::MAX / 2));
        assert!(histogram.percentile(500).as_micros().abs_diff(1000) < 125);
    }

    #[test]
    fn every_bucket_holds_its_middle() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(middle_of(bucket)), bucket);
        }
    }
}

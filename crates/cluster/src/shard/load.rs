//! What a holder measures of its shard: how often it is used, for how long requests took and
//! waited, which slots and keys are hottest, and where the clients are.
//!
//! Counters are exact. Keys, slots and origins are sampled, one request in sixteen, so that the
//! fast path pays a few additions; a bounded sketch (Space-Saving: Metwally, Agrawal, El Abbadi
//! 2005) keeps the hottest of them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use placement::{HOT_KEY_BYTES_MAX, Origin, Percentiles};
use types::Slot;

/// One request in so many is looked at closely.
const SAMPLED: u32 = 16;
/// What a sketch tells apart: an item with more than this part of all samples is in it for certain.
const SKETCH_LEN: usize = 16;

/// A histogram of times: two buckets for each power of two of microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    buckets: [u32; Self::BUCKETS],
    count: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { buckets: [0; Self::BUCKETS], count: 0 }
    }
}

impl Times {
    /// Up to 2^24 microseconds, which is more than any request may take.
    const BUCKETS: usize = 48;

    /// Adds a time that so many requests took.
    pub(crate) fn add(&mut self, time: Duration, count: u64) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = Self::bucket(micros);
        self.buckets[at] =
            self.buckets[at].saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.count = self.count.saturating_add(count);
    }

    fn bucket(micros: u64) -> usize {
        if micros < 2 {
            return micros as usize;
        }
        let power = micros.ilog2() as usize;
        let half = (micros >> (power - 1) & 1) as usize;
        (power * 2 + half).min(Self::BUCKETS - 1)
    }

    /// The largest time of a bucket, in microseconds.
    fn most(bucket: usize) -> u64 {
        match bucket {
            0 | 1 => bucket as u64,
            _ => {
                let (power, half) = (bucket / 2, bucket as u64 % 2);
                (1 << power) + (half + 1) * (1 << (power - 1)) - 1
            }
        }
    }

    /// The time within which this part of all stayed, rounded up to a bucket's end.
    pub(crate) fn within(&self, part: f64) -> Duration {
        let wanted = self.count as f64 * part;
        let mut seen = 0u64;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen > 0 && seen as f64 >= wanted {
                return Duration::from_micros(Self::most(bucket));
            }
        }
        Duration::ZERO
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        Percentiles { p50: self.within(0.5), p99: self.within(0.99) }
    }
}

/// The most frequent of many items.
#[derive(Clone, Debug)]
struct Sketch<T> {
    counters: Vec<(T, u64)>,
    total: u64,
}

impl<T> Default for Sketch<T> {
    fn default() -> Self {
        Self { counters: Vec::new(), total: 0 }
    }
}

impl<T> Sketch<T> {
    fn add<Q: ?Sized>(&mut self, item: &Q, make: impl FnOnce(&Q) -> T)
    where
        T: core::borrow::Borrow<Q>,
        Q: PartialEq,
    {
        self.total += 1;
        if let Some((_, count)) = self.counters.iter_mut().find(|(it, _)| it.borrow() == item) {
            *count += 1;
        } else if self.counters.len() < SKETCH_LEN {
            self.counters.push((make(item), 1));
        } else if let Some(least) = self.counters.iter_mut().min_by_key(|(_, count)| *count) {
            *least = (make(item), least.1 + 1);
        }
    }

    /// The hottest items with the parts of all samples that they have at most.
    fn hottest(&self, count: usize) -> Vec<(&T, f64)> {
        let mut sorted: Vec<&(T, u64)> = self.counters.iter().collect();
        sorted.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
        let total = self.total.max(1) as f64;
        sorted.into_iter().take(count).map(|(item, it)| (item, *it as f64 / total)).collect()
    }

    /// Lets what was seen before count for half.
    fn fade(&mut self) {
        self.total /= 2;
        for (_, count) in &mut self.counters {
            *count /= 2;
        }
        self.counters.retain(|(_, count)| *count > 0);
    }
}

/// The measurements of one shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    /// Reads served since the process began.
    pub(crate) reads: u64,
    /// Operations applied from the log since then, the holder's and followers' alike.
    pub(crate) writes: u64,
    window: Window,
    requests: u32,
    slots: Sketch<Slot>,
    keys: Sketch<Box<[u8]>>,
    origins: Sketch<Origin>,
}

/// What is counted from one report to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    /// Operations applied for another holder.
    pub(crate) followed: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// From being proposed to being applied; reads under the lease take no time that the core
    /// could measure.
    pub(crate) service: Times,
    /// From the request's arrival to its being proposed or read.
    pub(crate) queue: Times,
}

/// Items with the part of the requests that they have.
pub(crate) type Shares<T> = Vec<(T, f64)>;

impl Load {
    /// A request for a key is served here.
    pub(crate) fn note_request(&mut self, slot: Slot, key: &[u8], origin: Origin, bytes: usize) {
        self.window.bytes_in += bytes as u64;
        self.requests = self.requests.wrapping_add(1);
        if self.requests.is_multiple_of(SAMPLED) {
            self.sample(slot, key, origin);
        }
    }

    #[cold]
    fn sample(&mut self, slot: Slot, key: &[u8], origin: Origin) {
        let key = &key[..key.len().min(HOT_KEY_BYTES_MAX)];
        self.slots.add(&slot, |slot| *slot);
        self.keys.add(key, |key: &[u8]| key.into());
        self.origins.add(&origin, |origin| *origin);
    }

    /// Whether the next request is one of those that are looked at closely.
    pub(crate) fn samples_next(&self) -> bool {
        self.requests.wrapping_add(1).is_multiple_of(SAMPLED)
    }

    /// A request whose key need not be looked at.
    pub(crate) fn note_unsampled(&mut self, bytes: usize) {
        self.window.bytes_in += bytes as u64;
        self.requests = self.requests.wrapping_add(1);
    }

    /// A read is answered.
    pub(crate) fn note_read(&mut self, reply_bytes: usize) {
        self.reads += 1;
        self.window.reads += 1;
        self.window.bytes_out += reply_bytes as u64;
    }

    /// An operation of the log is applied.
    pub(crate) fn note_applied(&mut self, ours: bool) {
        self.writes += 1;
        if ours {
            self.window.writes += 1;
        } else {
            self.window.followed += 1;
        }
    }

    /// So many requests waited for so long before anything was done for them.
    pub(crate) fn note_waited(&mut self, time: Duration, count: u64) {
        self.window.queue.add(time, count);
    }

    /// So many writes of one entry took so long from being proposed to being applied.
    pub(crate) fn note_served(&mut self, time: Duration, count: u64) {
        self.window.service.add(time, count);
    }

    /// What was counted since the last call.
    pub(crate) fn take_window(&mut self) -> Window {
        let mut window = core::mem::take(&mut self.window);
        // Reads under the lease: served in the turn they came in.
        window.service.add(Duration::ZERO, window.reads);
        let waited = window.queue.count;
        window.queue.add(Duration::ZERO, (window.reads + window.writes).saturating_sub(waited));
        window
    }

    /// The hottest slots, keys, and origins of clients, by the samples of the last windows.
    pub(crate) fn take_hottest(
        &mut self,
        count: usize,
    ) -> (Shares<Slot>, Shares<Vec<u8>>, Shares<Origin>) {
        let slots = self.slots.hottest(count).into_iter().map(|(slot, it)| (*slot, it)).collect();
        let keys = self.keys.hottest(count).into_iter().map(|(key, it)| (key.to_vec(), it));
        let keys = keys.collect();
        let origins = self.origins.hottest(SKETCH_LEN).into_iter();
        let origins = origins.map(|(origin, it)| (*origin, it)).collect();
        self.slots.fade();
        self.keys.fade();
        self.origins.fade();
        (slots, keys, origins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence that depends on nothing.
    fn numbers() -> impl Iterator<Item = u64> {
        let mut state = 1u64;
        core::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 40
        })
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times_rounded_up() {
        let mut times = Times::default();
        let mut sorted: Vec<u64> = numbers().take(5000).map(|it| it % 100_000).collect();
        sorted.iter().for_each(|micros| times.add(Duration::from_micros(*micros), 1));
        sorted.sort_unstable();
        for part in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let exact = sorted[((sorted.len() as f64 * part).ceil() as usize).max(1) - 1];
            let found = times.within(part).as_micros() as u64;
            assert!(found >= exact && found <= exact * 3 / 2 + 1, "{part}: {exact} {found}");
        }
        assert_eq!(Times::default().within(0.99), Duration::ZERO);
    }

    #[test]
    fn every_time_falls_into_the_bucket_that_ends_at_or_after_it() {
        for micros in (0..5000).chain([1 << 20, (1 << 23) + 5]) {
            let bucket = Times::bucket(micros);
            assert!(Times::most(bucket) >= micros, "{micros}");
            assert!(bucket == 0 || Times::most(bucket - 1) < micros, "{micros}");
        }
        assert_eq!(Times::bucket(u64::MAX), Times::BUCKETS - 1);
    }

    #[test]
    fn the_hottest_are_found_among_many() {
        let mut sketch: Sketch<u64> = Sketch::default();
        let mut exact = alloc::collections::BTreeMap::new();
        for (at, number) in numbers().take(20_000).enumerate() {
            // A third of all are 7, a fifth 8, the others scattered.
            let item = if at % 3 == 0 {
                7
            } else if at % 5 == 0 {
                8
            } else {
                100 + number % 5000
            };
            sketch.add(&item, |item| *item);
            *exact.entry(item).or_insert(0u64) += 1;
        }
        let hottest = sketch.hottest(2);
        assert_eq!([*hottest[0].0, *hottest[1].0], [7, 8]);
        for (item, share) in hottest {
            let true_share = exact[item] as f64 / 20_000.0;
            // Space-Saving never counts too little, and too much by at most total / counters.
            assert!(share >= true_share && share <= true_share + 1.0 / SKETCH_LEN as f64);
        }
        for _ in 0..64 {
            sketch.fade();
        }
        assert!(sketch.hottest(2).is_empty());
    }
}

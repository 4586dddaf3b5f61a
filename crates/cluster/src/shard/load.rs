//! What a shard's requests take, as its holder measures it: how many, how large, how long, from
//! where, and what is asked for most.
//!
//! Everything here is on the way of each request, so each is a few additions. What would cost more
//! is sampled: which slots and keys are hot is judged by one request in [`SAMPLE_GAP`], chosen by
//! a counter with a bit of scatter, since clients ask in patterns.
//!
//! *Queue* is the time in which nothing is done for a request: gathering while the disk is busy,
//! held, parked, or waiting for a read round. *Service* is the rest: of a write, from being
//! proposed to being applied; of a read, nothing that this clock could measure.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::mem;
use core::time::Duration;

use foldhash::fast::FixedState;
use placement::{
    Follower, Generation, HOT_KEY_BYTES_MAX, HOT_MAX, HeldShard, ORIGINS_MAX, Origin, Percentiles,
    Resources,
};
use types::limits::REPLICAS_MAX;
use types::{Monotonic, NodeId, Now, Slot};

use super::Shard;
use super::lag::Lag;
use crate::frequent::Frequent;
use crate::histogram::Histogram;
use crate::support::Support;

/// What requests weigh against each other when CPU time is shared out among shards: about what
/// they take, sockets included, on a machine of 2024, in microseconds. Only their ratios matter
/// where a process is measured.
pub(crate) mod costs {
    /// A read at the holder.
    pub(crate) const READ: f64 = 10.0;
    /// A write at the holder.
    pub(crate) const WRITE: f64 = 25.0;
    /// A write at another replica.
    pub(crate) const FOLLOWED: f64 = 8.0;
    /// A client's request that is passed on to the holder, and its reply, at the node that does so.
    pub(crate) const PASSED_ON: f64 = 12.0;
    /// A byte that comes, goes, or is written to the log: copies and checksums.
    pub(crate) const BYTE: f64 = 0.002;
}

/// About one request in so many is looked at for its slot and key.
const SAMPLE_GAP: u32 = 16;
/// Requests that arrive within so many nanoseconds count as having arrived together: a turn of the
/// event loop takes a few dozen requests in, each with a reading of the clock of its own.
const TOGETHER_NANOS: u64 = 16_000;
/// A slot or key with less of the shard's requests than this is not hot.
const HOT_SHARE_MIN: f64 = 0.01;
/// What a cut key ends with.
const CUT: &[u8] = b"...";

/// Counters of what a shard has done since the process began, on this replica.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Totals {
    /// Reads served.
    pub(crate) reads: u64,
    /// Operations applied.
    pub(crate) writes: u64,
}

/// What a shard has done on this replica, since the process began and since the last report.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) totals: Totals,
    window: Window,
    /// Writes that are not proposed yet, by their time of arrival.
    gathered: Vec<(Monotonic, u32)>,
    until_sample: u32,
    scatter: u32,
    /// Allocated when the first request is looked at.
    hot: Option<Box<Hot>>,
    /// Whether the newest lease was handed over by the holder before.
    pub(super) handed_over: bool,
}

/// What was done since the last report.
#[derive(Debug, Default)]
struct Window {
    /// Reads that were served here.
    reads: u64,
    /// Writes that were proposed and applied here.
    writes: u64,
    /// Operations that were proposed elsewhere and applied here.
    followed: u64,
    /// Bytes of requests.
    bytes_in: u64,
    /// Bytes of replies.
    bytes_out: u64,
    /// Bytes of entries that were proposed here.
    log_bytes: u64,
    /// Bytes of entries that were proposed elsewhere.
    followed_bytes: u64,
    /// Reads that had nothing to wait for.
    direct_reads: u32,
    service: Histogram,
    queue: Histogram,
    origins: Origins,
}

/// Requests by origin. The last one found is looked at first: requests come in runs.
#[derive(Debug, Default)]
struct Origins {
    requests: Vec<(Origin, u64)>,
    last: usize,
}

/// What is asked for most.
#[derive(Debug, Default)]
struct Hot {
    slots: Frequent<Slot>,
    keys: Frequent<HotKey>,
}

/// The slots and keys that are asked for most, with their shares of the requests.
#[derive(Debug, Default)]
struct Hottest {
    slots: Vec<(Slot, f64)>,
    keys: Vec<(Box<[u8]>, f64)>,
}

/// A key, or as much of it as is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct HotKey {
    bytes: [u8; HOT_KEY_BYTES_MAX],
    len: u8,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            totals: Totals::default(),
            window: Window::default(),
            gathered: Vec::new(),
            until_sample: 1,
            scatter: 1,
            hot: None,
            handed_over: false,
        }
    }
}

impl Load {
    /// A read was served at once.
    #[inline]
    pub(crate) fn note_direct_read(&mut self, origin: Origin, bytes_in: usize, bytes_out: usize) {
        self.window.direct_reads = self.window.direct_reads.saturating_add(1);
        self.note_read(origin, bytes_in, bytes_out);
    }

    /// A read was served after having waited.
    pub(crate) fn note_late_read(
        &mut self,
        origin: Origin,
        waited: Duration,
        bytes_in: usize,
        bytes_out: usize,
    ) {
        self.window.queue.record(waited);
        self.window.service.record(Duration::ZERO);
        self.note_read(origin, bytes_in, bytes_out);
    }

    #[inline]
    fn note_read(&mut self, origin: Origin, bytes_in: usize, bytes_out: usize) {
        self.totals.reads += 1;
        self.window.reads += 1;
        self.window.bytes_in += bytes_in as u64;
        self.window.bytes_out += bytes_out as u64;
        self.window.origins.note(origin);
    }

    /// A client's write joins the batch.
    #[inline]
    pub(crate) fn note_write(&mut self, arrived: Monotonic, origin: Origin, bytes: usize) {
        self.window.bytes_in += bytes as u64;
        self.window.origins.note(origin);
        match self.gathered.last_mut() {
            Some((at, count)) if arrived.0.abs_diff(at.0) < TOGETHER_NANOS => *count += 1,
            Some(_) | None => self.gathered.push((arrived, 1)),
        }
    }

    /// Looks at the slot and key of a request, if it is the turn of one.
    #[inline]
    pub(crate) fn sample<'a>(
        &mut self,
        slot_and_key: impl FnOnce() -> Option<(Slot, Option<&'a [u8]>)>,
    ) {
        self.until_sample -= 1;
        if self.until_sample == 0 {
            // A generator of 32 bits with a full period; its upper bits scatter best.
            self.scatter = self.scatter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            self.until_sample = SAMPLE_GAP / 2 + 1 + (self.scatter >> 16) % SAMPLE_GAP;
            if let Some((slot, key)) = slot_and_key() {
                self.look_at(slot, key);
            }
        }
    }

    #[cold]
    fn look_at(&mut self, slot: Slot, key: Option<&[u8]>) {
        let hot = self.hot.get_or_insert_with(Box::default);
        let hash = u64::from(slot.number());
        hot.slots.add(hash, |known| *known == slot, || slot);
        if let Some(key) = key {
            let key = HotKey::new(key);
            let hash = FixedState::with_seed(0).hash_one(key.bytes());
            hot.keys.add(hash, |known| *known == key, || key);
        }
    }

    /// The batch becomes an entry: whatever it gathered waits no longer.
    pub(crate) fn note_proposed(&mut self, now: Monotonic, entry_bytes: usize) {
        for (arrived, count) in self.gathered.drain(..) {
            self.window.queue.record_many(now.since(arrived), count);
        }
        self.window.log_bytes += entry_bytes as u64;
    }

    /// A client's write was applied.
    #[inline]
    pub(crate) fn note_applied(&mut self, bytes_out: usize) {
        self.window.writes += 1;
        self.window.bytes_out += bytes_out as u64;
    }

    /// An entry of this replica's own was applied, so long after it was proposed. `before` is what
    /// [`Load::writes`] was before it; one that took several turns may have begun in another
    /// window.
    pub(crate) fn note_served(&mut self, time: Duration, before: u64) {
        let writes = self.window.writes.saturating_sub(before);
        let writes = u32::try_from(writes).unwrap_or(u32::MAX);
        self.window.service.record_many(time, writes);
    }

    /// Clients' writes that were applied in this window.
    pub(crate) fn writes(&self) -> u64 {
        self.window.writes
    }

    /// An operation of another replica was applied.
    pub(crate) fn note_followed(&mut self) {
        self.window.followed += 1;
    }

    /// An entry of another replica was applied.
    pub(crate) fn note_followed_entry(&mut self, bytes: usize) {
        self.window.followed_bytes += bytes as u64;
    }

    /// What was measured since this was asked last.
    fn take_window(&mut self) -> Window {
        let mut window = mem::take(&mut self.window);
        let reads = window.direct_reads;
        window.queue.record_many(Duration::ZERO, reads);
        window.service.record_many(Duration::ZERO, reads);
        window
    }

    /// The slots and keys that are asked for most, with their shares of the requests. Older ones
    /// count less, by half with each call.
    fn take_hot(&mut self) -> Hottest {
        let Some(hot) = &mut self.hot else { return Hottest::default() };
        let slots = hot.slots.certain(HOT_SHARE_MIN);
        let slots = slots.into_iter().take(HOT_MAX).map(|(slot, share)| (*slot, share)).collect();
        let keys = hot.keys.certain(HOT_SHARE_MIN);
        let keys = keys.into_iter().take(HOT_MAX);
        let keys = keys.map(|(key, share)| (Box::from(key.bytes()), share)).collect();
        hot.slots.age();
        hot.keys.age();
        Hottest { slots, keys }
    }
}

impl Window {
    /// What was taken by `costs`, with so many other replicas.
    fn load(&self, others: f64) -> Resources {
        let (log, followed) = (self.log_bytes as f64, self.followed_bytes as f64);
        let network = (self.bytes_in + self.bytes_out) as f64 + log * others + followed;
        let cpu = self.reads as f64 * costs::READ
            + self.writes as f64 * costs::WRITE
            + self.followed as f64 * costs::FOLLOWED
            + (network + log + followed) * costs::BYTE;
        Resources { cpu, network, log: log + followed }
    }

    /// Requests by origin.
    fn origins(&self) -> &[(Origin, u64)] {
        &self.origins.requests
    }
}

impl Shard {
    /// What this replica did in the last `seconds`, and, if it holds the lease, what there is to
    /// report of it; in both the load is that of `costs`, per second.
    pub(crate) fn take_report(
        &mut self,
        now: Now,
        support: &Support,
        seconds: f64,
    ) -> (Resources, Option<HeldShard>) {
        let window = self.load.take_window();
        let hot = self.load.take_hot();
        let replicas = self.group.replicas();
        let (voters, learners) = (replicas.voters(), replicas.learners());
        // Who has no vote but a replica, or should have one, or was removed a moment ago.
        let passing = self.goal().iter().copied().chain(self.leavers());
        let passing = passing.filter(|node| !voters.contains(node));
        let mut awaited: Vec<NodeId> = learners.iter().copied().chain(passing).collect();
        awaited.sort_unstable();
        awaited.dedup();
        awaited.truncate(REPLICAS_MAX);
        let others = voters.len() + learners.len();
        let load = window.load(others.saturating_sub(1) as f64) * (1.0 / seconds);
        if !self.lease_is_valid(now.monotonic, support) {
            return (load, None);
        }
        let others = voters.iter().chain(&learners).filter(|node| **node != self.me);
        let followers = others.map(|node| self.follower(*node, now.monotonic, support)).collect();
        let rate = |count: u64| count as f64 / seconds;
        let origins = window.origins().iter().map(|(origin, count)| (*origin, rate(*count)));
        let held = HeldShard {
            shard: self.id,
            epoch: self.lease.epoch,
            handed_over: self.load.handed_over,
            range: self.range,
            generation: Generation(self.generation()),
            reads: rate(window.reads),
            writes: rate(window.writes),
            bytes_in: rate(window.bytes_in),
            bytes_out: rate(window.bytes_out),
            load,
            stored: self.data.payload_bytes() as f64,
            service: percentiles(&window.service),
            queue: percentiles(&window.queue),
            origins: origins.collect(),
            // A range that was cut may have left some behind.
            hot_slots: hot.slots.into_iter().filter(|it| self.range.contains(it.0)).collect(),
            hot_keys: hot.keys,
            followers,
            voters,
            learners: awaited,
        };
        (load, Some(held))
    }

    fn follower(&self, node: NodeId, now: Monotonic, support: &Support) -> Follower {
        let Lag { entries, time } = self.lag(node, now, support);
        Follower { node, lag_entries: entries, lag_time: time }
    }
}

fn percentiles(times: &Histogram) -> Percentiles {
    Percentiles { p50: times.percentile(500), p99: times.percentile(990) }
}

impl Origins {
    #[inline]
    fn note(&mut self, origin: Origin) {
        match self.requests.get_mut(self.last) {
            Some((known, count)) if *known == origin => *count += 1,
            Some(_) | None => self.look_up(origin),
        }
    }

    fn look_up(&mut self, origin: Origin) {
        let at = self.requests.iter().position(|(known, _)| *known == origin);
        self.last = match at {
            Some(at) => at,
            // One place is kept for all that find none.
            None if self.requests.len() + 1 >= ORIGINS_MAX && origin != Origin::OTHERS => {
                return self.look_up(Origin::OTHERS);
            }
            None => {
                self.requests.push((origin, 0));
                self.requests.len() - 1
            }
        };
        self.requests[self.last].1 += 1;
    }
}

impl HotKey {
    fn new(key: &[u8]) -> Self {
        let mut bytes = [0; HOT_KEY_BYTES_MAX];
        let len = key.len().min(HOT_KEY_BYTES_MAX);
        bytes[..len].copy_from_slice(&key[..len]);
        if key.len() > HOT_KEY_BYTES_MAX {
            bytes[HOT_KEY_BYTES_MAX - CUT.len()..].copy_from_slice(CUT);
        }
        Self { bytes, len: len as u8 }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const fn at(micros: u64) -> Monotonic {
        Monotonic(1_000_000_000 + micros * 1000)
    }

    #[test]
    fn a_write_waits_until_it_is_proposed_and_is_served_until_it_is_applied() {
        let mut load = Load::default();
        for arrived in [0, 1, 2, 1000] {
            load.note_write(at(arrived), Origin(5), 10);
        }
        load.note_proposed(at(2000), 100);
        let before = load.writes();
        for _ in 0..4 {
            load.note_applied(5);
        }
        load.note_served(Duration::from_millis(4), before);
        let window = load.take_window();
        assert_eq!((window.writes, window.reads), (4, 0));
        assert_eq!((window.bytes_in, window.bytes_out, window.log_bytes), (40, 20, 100));
        let is = |time: Duration, millis: u128| time.as_micros().abs_diff(millis * 1000) < 500;
        let (queue, service) = (percentiles(&window.queue), percentiles(&window.service));
        assert!(is(queue.p50, 2) && is(queue.p99, 2), "{queue:?}");
        assert!(is(service.p50, 4), "{service:?}");
        assert_eq!(window.origins(), [(Origin(5), 4)]);
        assert_eq!(load.take_window().writes, 0, "a new window has begun");
    }

    #[test]
    fn reads_that_wait_are_told_from_those_that_do_not() {
        let mut load = Load::default();
        for _ in 0..98 {
            load.note_direct_read(Origin(1), 20, 30);
        }
        for _ in 0..2 {
            load.note_late_read(Origin(2), Duration::from_millis(100), 20, 30);
        }
        let window = load.take_window();
        let queue = percentiles(&window.queue);
        assert_eq!(queue.p50, Duration::ZERO);
        assert!(queue.p99 > Duration::from_millis(80));
        assert_eq!(percentiles(&window.service).p99, Duration::ZERO);
        assert_eq!(load.totals.reads, 100);
    }

    #[test]
    fn origins_beyond_the_limit_are_lumped_together() {
        let mut load = Load::default();
        for round in 0..3 {
            for origin in 0..100 {
                load.note_direct_read(Origin(100 + (origin * 7 + round) % 100), 0, 0);
            }
        }
        let window = load.take_window();
        assert_eq!(window.origins().len(), ORIGINS_MAX);
        let sum: u64 = window.origins().iter().map(|(_, count)| count).sum();
        assert_eq!(sum, 300);
        let others = window.origins().iter().find(|(origin, _)| *origin == Origin::OTHERS);
        assert_eq!(others.map(|(_, count)| *count), Some(300 - 3 * (ORIGINS_MAX as u64 - 1)));
    }

    #[test]
    fn a_hot_key_is_found_by_sampling_and_a_long_one_is_cut() {
        let mut load = Load::default();
        let long = [b'k'; 100];
        let slot = |number| Slot::new(number).expect("a slot");
        for n in 0..10_000u32 {
            let cold = [b'c', n as u8, (n >> 8) as u8];
            let (at, key) = match n % 4 {
                0 => (slot(7), &long[..]),
                1 => (slot(8), &b"hot"[..]),
                _ => (slot((n % 500) as u16), &cold[..]),
            };
            load.sample(|| Some((at, Some(key))));
        }
        let Hottest { slots, keys } = load.take_hot();
        assert!(slots.len() <= HOT_MAX && keys.len() <= HOT_MAX);
        let mut cut = vec![b'k'; HOT_KEY_BYTES_MAX - 3];
        cut.extend_from_slice(CUT);
        for wanted in [&cut[..], b"hot"] {
            let found = keys.iter().find(|(key, _)| &key[..] == wanted).expect("it is hot");
            assert!((0.15..0.35).contains(&found.1), "{}", found.1);
        }
        let found = slots.iter().take(2).map(|(slot, _)| slot.number()).collect::<Vec<_>>();
        assert!(found.contains(&7) && found.contains(&8), "{slots:?}");
    }
}

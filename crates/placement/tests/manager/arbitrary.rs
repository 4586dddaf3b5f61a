//! Whatever a report says, the manager doesn't panic; what it refuses leaves no trace; and what it
//! takes never becomes a number that isn't one.

use std::time::Duration;

use crate::support::Cluster;
use placement::{
    Follower, Generation, HeldShard, Origin, Percentiles, Report, Resources, RoundTrip,
};
use types::{Incarnation, LeaseEpoch, NodeId, ShardId, Slot, SlotRange};

/// SplitMix64: a seed is all there is to a case.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn amount(&mut self) -> f64 {
        let bits = f64::from_bits(self.next());
        self.of(&[
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -1.0,
            -0.0,
            0.0,
            f64::MIN_POSITIVE,
            1.0,
            1e6,
            1e15,
            1.1e15,
            f64::MAX,
            bits,
        ])
    }

    fn share(&mut self) -> f64 {
        let any = self.amount();
        self.of(&[0.0, 0.5, 1.0, any])
    }

    fn duration(&mut self) -> Duration {
        let any = Duration::from_nanos(self.next());
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        self.of(&[Duration::ZERO, Duration::from_nanos(1), second, hour, Duration::MAX, any])
    }

    fn resources(&mut self) -> Resources {
        Resources { cpu: self.amount(), network: self.amount(), log: self.amount() }
    }

    fn node(&mut self) -> NodeId {
        NodeId(self.of(&[0, 1, 2, 3, 4, u32::MAX]))
    }

    fn shard(&mut self) -> ShardId {
        ShardId(self.of(&[0, 1, 2, 3, 5, 6, u32::MAX]))
    }

    fn epoch(&mut self) -> LeaseEpoch {
        LeaseEpoch(self.of(&[0, 1, 2, 3, u64::MAX]))
    }

    /// So many elements that lists are too long now and then.
    fn count(&mut self) -> u64 {
        self.of(&[0, 1, 2, 5, 7, 8, 64, 65])
    }

    fn follower(&mut self) -> Follower {
        let lag_entries = self.of(&[0, 1, 64, u64::MAX]);
        Follower { node: self.node(), lag_entries, lag_time: self.duration() }
    }

    fn held(&mut self) -> HeldShard {
        let hot = |number| u16::try_from(number).ok().and_then(Slot::new).unwrap_or_default();
        HeldShard {
            shard: self.shard(),
            epoch: self.epoch(),
            handed_over: self.below(2) == 0,
            range: SlotRange::ALL,
            generation: Generation(self.below(3)),
            voters: (0..self.below(3)).map(|_| self.node()).collect(),
            learners: (0..self.below(2)).map(|_| self.node()).collect(),
            reads: self.amount(),
            writes: self.amount(),
            bytes_in: self.amount(),
            bytes_out: self.amount(),
            load: self.resources(),
            stored: self.amount(),
            service: Percentiles { p50: self.duration(), p99: self.duration() },
            queue: Percentiles { p50: self.duration(), p99: self.duration() },
            origins: (0..self.count()).map(|n| (Origin(n as u32), self.amount())).collect(),
            hot_slots: (0..self.count()).map(|n| (hot(n), self.share())).collect(),
            hot_keys: (0..self.count()).map(|n| (Box::from([n as u8]), self.share())).collect(),
            followers: (0..self.count()).map(|_| self.follower()).collect(),
        }
    }

    /// Spoils one thing about a shard.
    fn spoil_held(&mut self, held: &mut HeldShard) {
        match self.below(16) {
            0 => held.shard = self.shard(),
            1 => held.epoch = self.epoch(),
            2 => held.reads = self.amount(),
            3 => held.writes = self.amount(),
            4 => held.load = self.resources(),
            5 => held.load.cpu = self.amount(),
            6 => held.stored = self.amount(),
            7 => held.queue.p99 = self.duration(),
            8 => held.origins.push((Origin(self.below(2) as u32), self.amount())),
            9 => held.followers.push(self.follower()),
            10 => held.bytes_in = self.amount(),
            11 => held.bytes_out = self.amount(),
            12 => held.voters.push(self.node()),
            13 => held.hot_slots.push((Slot::default(), self.share())),
            14 => held.hot_keys.push((vec![1; self.count() as usize].into(), self.share())),
            _ => *held = self.held(),
        }
    }

    /// Spoils one thing about a report.
    fn spoil(&mut self, report: &mut Report) {
        match self.below(14) {
            0 => report.node = self.node(),
            1 => report.incarnation = Incarnation(self.of(&[0, 1, 2, u64::MAX])),
            2 => report.uptime = self.duration(),
            3 => report.uptime = report.uptime.saturating_sub(Duration::from_secs(self.below(9))),
            4 => report.uptime = report.uptime.saturating_add(Duration::from_secs(self.below(9))),
            5 => report.covers = self.duration(),
            6 => report.capacity = self.resources(),
            7 => report.used = self.resources(),
            8 => (report.memory_capacity, report.memory_used) = (self.amount(), self.amount()),
            9 => report.fsync = self.duration(),
            10 => {
                let trip =
                    |n| RoundTrip { origin: Origin(n as u32 % 70), time: Duration::from_secs(n) };
                report.round_trips = (0..self.count()).map(trip).collect();
            }
            11 => {
                let held = self.held();
                report.held.push(held);
            }
            12 => report.held.clear(),
            _ => {
                let place = self.below(report.held.len().max(1) as u64) as usize;
                if let Some(held) = report.held.get_mut(place) {
                    self.spoil_held(held);
                }
            }
        }
    }
}

/// Tells the manager a report, however wrong. Whether it was taken.
fn tell(cluster: &mut Cluster, report: Report) -> bool {
    let before = format!("{:?}", cluster.manager);
    let now = cluster.now();
    let told = cluster.manager.observe(now, report);
    if let Err(refused) = &told {
        assert_eq!(format!("{:?}", cluster.manager), before, "{refused}");
    }
    told.is_ok()
}

/// Lets the manager say all it can say.
fn ask(cluster: &mut Cluster) {
    let now = cluster.now();
    for decision in cluster.manager.decide(now) {
        let json = decision.to_json();
        assert!(!json.contains("NaN") && !json.contains("inf"), "{json}");
    }
    for shard in 0..6 {
        let why = cluster.manager.why(now, ShardId(shard)).expect("a known shard");
        let why = format!("{why:?}");
        assert!(!why.contains("NaN"), "{why}");
    }
    let state = format!("{:?}", cluster.manager);
    assert!(!state.contains("NaN"), "{state}");
}

#[test]
fn arbitrary_reports_do_no_harm() {
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut cluster = Cluster::placed(3, &[0.1; 6], |number| number as u32 % 3 + 1);
        cluster.seconds(3);
        for _ in 0..40 {
            cluster.seconds += random.of(&[0, 1, 1, 1, 2, 5, 400]);
            for node in 1..=3 {
                let mut report = cluster.report(NodeId(node));
                for _ in 0..random.below(3) {
                    random.spoil(&mut report);
                }
                let was_taken = tell(&mut cluster, report);
                taken += u32::from(was_taken);
                refused += u32::from(!was_taken);
            }
            ask(&mut cluster);
        }
    }
    // Both sides of the border are visited often.
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}

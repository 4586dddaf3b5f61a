//! The cluster clock: what time of day it is, as the nodes together have it.
//!
//! The stamp of an entry decides which keys have expired, on every replica and for good, so it must
//! not be one machine's word. Each beat carries its sender's wall clock. A node keeps, for each
//! other node, how far that clock was from its own monotonic clock, and takes the median of all of
//! them, its own included: while most of the clocks are right, the median lies between two right
//! ones. Between beats it is carried on by the monotonic clock.
//!
//! - It is slewed: it runs at half again its speed, or at half of it, until it agrees. It is never
//!   set back, so no time to live ever stands still.
//! - A median that is suddenly far away is believed only after a while: a clock that was wrong for
//!   a moment, the only one of a cluster of one node too, changes nothing. One that is then still
//!   ahead is jumped to; one that is behind is slewed to.
//! - Of an even number of clocks the middle two may disagree, and nobody knows which of them is
//!   right: the one nearer to what the cluster clock says already is taken.
//! - What a beat says is older than its arrival by the time it took. Delays only make a clock look
//!   slow, so the largest distance of the last second is taken.
//!
//! This is about the time of day only. Leases go by monotonic clocks and by durations.
//!
//! **A machine that stood still.** A virtual machine can be stopped with all its clocks and go on
//! as if nothing had been: nothing that it can read of its own tells. To it, the clocks of all
//! others
//! have jumped ahead at once, so the first beat that was sent after the stop betrays it: then all
//! promises of support count as over until they are renewed by the answer to a later beat
//! ([`Heard::Jumped`]). A single peer whose wall clock is set looks the same; that costs a round
//! trip without a lease, and is not believed of the same peer again for a while.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use types::{Monotonic, NodeId, Now, UnixMillis};

/// The time over which the quickest beat of a peer is looked for.
const WINDOW: Duration = Duration::from_millis(500);
/// How long the median of the clocks must stay far away before it is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(10);
/// After a jump of a peer's clock, further jumps of the same one are taken for its own doing.
const JUMPS_IGNORED: Duration = Duration::from_secs(10);
/// The slewing clock gains, or loses, one part in so many.
const SLEW_PARTS: u32 = 2;
/// How long a clock that is in doubt is set to the median at once.
const DOUBTED_FOR: Duration = Duration::from_secs(1);
/// The clock is looked at so often.
const STEP: Duration = Duration::from_millis(10);
/// Later times of day than this, in the year 9999, are nonsense.
const WALL_MAX: u64 = 253_402_300_799_999;

/// A time of day less a reading of this node's monotonic clock, in microseconds.
type Offset = i64;

/// What a peer's wall clock tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// Nothing unusual.
    Nothing,
    /// It has run further than our own clocks by more than can be explained: perhaps this machine
    /// stood still.
    Jumped(Duration),
}

/// The cluster clock as one node has it.
pub(crate) struct ClusterClock {
    offset: Offset,
    advanced: Monotonic,
    own: Offset,
    /// What the last reading of both clocks came to.
    last: Option<Offset>,
    /// How many other members there are; what is known of the clocks of those that have been heard.
    others: usize,
    peers: BTreeMap<NodeId, PeerClock>,
    doubt: Option<Doubt>,
    /// Since when the median has been far away.
    far_since: Option<Monotonic>,
    /// Whether this node's own wall clock was off when last looked at.
    off: bool,
}

/// The cluster clock may be wrong, and is set to the median at once while that is so.
#[derive(Clone, Copy)]
struct Doubt {
    since: Monotonic,
    why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The node has just started: it has no lease, and its clock has shown nobody anything. It may
    /// be set back.
    Start,
    /// The machine may have stood still.
    Stop,
}

/// A peer's wall clock.
struct PeerClock {
    /// The largest offsets of this window and of the one before.
    current: Offset,
    previous: Offset,
    window: Monotonic,
    heard: Monotonic,
    /// What a jump is measured from; none: the next beat says.
    reference: Option<Offset>,
    jumped: Option<Monotonic>,
}

impl ClusterClock {
    pub(crate) fn new(now: Now) -> Self {
        let own = offset(now.monotonic, now.wall);
        Self {
            offset: own,
            advanced: now.monotonic,
            own,
            last: None,
            others: 0,
            peers: BTreeMap::new(),
            doubt: Some(Doubt { since: now.monotonic, why: Why::Start }),
            far_since: None,
            off: false,
        }
    }

    /// The other members are these from now on.
    pub(crate) fn set_peers(&mut self, others: &[NodeId]) {
        self.others = others.len();
        self.peers.retain(|node, _| others.contains(node));
    }

    /// What time it is.
    pub(crate) fn read(&self, now: Monotonic) -> UnixMillis {
        let micros = micros(now).saturating_add(self.offset);
        UnixMillis(u64::try_from(micros / 1000).unwrap_or(0))
    }

    /// How far this node's own wall clock is ahead (or behind: negative), in milliseconds.
    pub(crate) fn error_millis(&self) -> i64 {
        (self.own - self.offset) / 1000
    }

    /// Whether this node's own wall clock is off.
    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    /// Notices that the machine was suspended or its clock was set: its two clocks then disagree
    /// about how much time has passed since the last call. Answers by how much, if that is more
    /// than `tolerance` (rules R1 and T39).
    pub(crate) fn gap(&mut self, now: Now, tolerance: Duration) -> Option<Duration> {
        let read = offset(now.monotonic, now.wall);
        let last = self.last.replace(read)?;
        let gap = Duration::from_micros(read.abs_diff(last));
        if gap <= tolerance {
            return None;
        }
        self.doubt(now.monotonic);
        Some(gap)
    }

    /// Nobody knows how long it is since the last reading.
    fn doubt(&mut self, now: Monotonic) {
        // A lonely clock has nobody to ask: it must stay where it is for a while to be believed.
        if self.others > 0 && self.doubt.is_none_or(|doubt| doubt.why == Why::Stop) {
            self.doubt = Some(Doubt { since: now, why: Why::Stop });
        }
        for peer in self.peers.values_mut() {
            peer.reference = None;
        }
    }

    /// A beat brought the reading of a peer's wall clock.
    pub(crate) fn hear(
        &mut self,
        now: Monotonic,
        from: NodeId,
        wall: UnixMillis,
        tolerance: Duration,
    ) -> Heard {
        let sample = offset(now, wall);
        let Some(peer) = self.peers.get_mut(&from) else {
            let peer = PeerClock {
                current: sample,
                previous: sample,
                window: now,
                heard: now,
                reference: Some(sample),
                jumped: None,
            };
            self.peers.insert(from, peer);
            return Heard::Nothing;
        };
        peer.heard = now;
        if now.since(peer.window) >= WINDOW {
            peer.previous = peer.current;
            peer.current = sample;
            peer.window = now;
            peer.reference = peer.reference.map(|_| peer.previous);
        }
        peer.current = peer.current.max(sample);
        // Measured from before, not from the last beat: what gathered in a socket while this
        // machine stood still arrives in small steps.
        let reference = *peer.reference.get_or_insert(sample);
        let ahead = Duration::from_micros(u64::try_from(sample - reference).unwrap_or(0));
        let muted = peer.jumped.is_some_and(|at| now.since(at) < JUMPS_IGNORED);
        if ahead <= tolerance || muted {
            return Heard::Nothing;
        }
        peer.jumped = Some(now);
        self.doubt(now);
        Heard::Jumped(ahead)
    }

    /// Brings the clock nearer to the median, once a turn. Says when this node's own wall clock has
    /// come to be off by more than `skew`, or is no longer.
    pub(crate) fn advance(&mut self, now: Now, skew: Duration) -> Option<bool> {
        let elapsed = now.monotonic.since(self.advanced);
        if elapsed < STEP && self.doubt.is_none() {
            return None;
        }
        self.advanced = now.monotonic;
        self.own = offset(now.monotonic, now.wall);
        let far = i64::try_from(skew.as_micros()).unwrap_or(i64::MAX);
        self.resolve_doubt(now.monotonic);
        let error = self.median() - self.offset;
        let room = i64::try_from((elapsed / SLEW_PARTS).as_micros()).unwrap_or(i64::MAX);
        if error.abs() <= far {
            self.far_since = None;
            self.offset += error.clamp(-room, room);
        } else {
            let since = *self.far_since.get_or_insert(now.monotonic);
            if now.monotonic.since(since) >= BELIEVED_AFTER {
                self.offset += error.max(-room);
            }
        }
        let error = (self.own - self.offset).abs();
        // It must be well again to count as right, or one at the limit would be news all the time.
        let off = error > if self.off { far / 2 } else { far };
        (core::mem::replace(&mut self.off, off) != off).then_some(off)
    }

    /// A clock in doubt goes by whatever a majority says now.
    fn resolve_doubt(&mut self, now: Monotonic) {
        let Some(Doubt { since, why }) = self.doubt else { return };
        let heard = self.peers.values().filter(|peer| peer.heard >= since).count();
        let majority = (heard + 1) * 2 > self.others + 1;
        match why {
            Why::Start if !majority => self.offset = self.own,
            Why::Start => self.offset = self.median(),
            Why::Stop if majority => self.offset = self.offset.max(self.median()),
            Why::Stop => {}
        }
        if majority && now.since(since) >= DOUBTED_FOR {
            self.doubt = None;
        }
    }

    /// The median of all known clocks; of the middle two the one nearer to the present time.
    fn median(&self) -> Offset {
        let peers = self.peers.values().map(|peer| peer.current.max(peer.previous));
        let mut all: Vec<Offset> = peers.chain([self.own]).collect();
        all.sort_unstable();
        let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
        let starts = self.doubt.is_some_and(|doubt| doubt.why == Why::Start);
        // A clock that is behind keeps keys for too long, one that is ahead loses them.
        if starts || self.offset - low <= high - self.offset { low } else { high }
    }
}

fn micros(now: Monotonic) -> i64 {
    i64::try_from(now.0 / 1000).unwrap_or(i64::MAX)
}

fn offset(now: Monotonic, wall: UnixMillis) -> Offset {
    let wall = i64::try_from(wall.0.min(WALL_MAX)).unwrap_or(i64::MAX);
    wall * 1000 - micros(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEW: Duration = Duration::from_secs(1);
    const GAP: Duration = Duration::from_millis(500);
    const DAY: i64 = 86_400_000;
    const HOUR: i64 = 3_600_000;

    /// One node, and the others' clocks: milliseconds by which each is ahead of the truth.
    struct Rig {
        clock: ClusterClock,
        at: u64,
        own: i64,
        others: Vec<i64>,
    }

    impl Rig {
        fn new(own: i64, others: &[i64]) -> Self {
            let mut rig =
                Self { clock: ClusterClock::new(now(0, own)), at: 0, own, others: others.into() };
            let nodes: Vec<NodeId> = (2..).take(others.len()).map(NodeId).collect();
            rig.clock.set_peers(&nodes);
            rig.run(3_000);
            rig
        }

        /// Lets time pass, with a beat of each other node ten times a second. Says by how much the
        /// cluster clock is ahead of the truth.
        fn run(&mut self, millis: u64) -> i64 {
            for _ in 0..millis / 10 {
                self.at += 10;
                let now = now(self.at, self.own);
                let _: Option<Duration> = self.clock.gap(now, GAP);
                if self.at.is_multiple_of(100) {
                    for (at, ahead) in self.others.iter().enumerate() {
                        let node = NodeId(u32::try_from(at).unwrap() + 2);
                        self.clock.hear(now.monotonic, node, wall(self.at, *ahead), GAP);
                    }
                }
                self.clock.advance(now, SKEW);
            }
            self.error()
        }

        fn error(&self) -> i64 {
            let read = self.clock.read(now(self.at, 0).monotonic);
            read.0.cast_signed() - wall(self.at, 0).0.cast_signed()
        }
    }

    fn wall(at: u64, ahead: i64) -> UnixMillis {
        UnixMillis((1_700_000_000_000 + at).saturating_add_signed(ahead))
    }

    fn now(at: u64, ahead: i64) -> Now {
        Now { monotonic: Monotonic((5_000 + at) * 1_000_000), wall: wall(at, ahead) }
    }

    #[test]
    fn one_wrong_clock_changes_nothing() {
        for wrong in [DAY, -DAY, HOUR, 3_000] {
            let mut rig = Rig::new(0, &[0, 0]);
            rig.own = wrong;
            assert!(rig.run(60_000).abs() <= 1);
            assert!(rig.clock.is_off());
            assert_eq!(rig.clock.error_millis(), wrong);
            rig.own = 0;
            rig.others[0] = wrong;
            assert!(rig.run(60_000).abs() <= 1);
            assert!(!rig.clock.is_off());
        }
    }

    #[test]
    fn a_node_that_starts_with_a_wrong_clock_goes_by_the_others() {
        assert!(Rig::new(DAY, &[0, 0]).error().abs() <= 1);
        assert!(Rig::new(-DAY, &[0, 0]).error().abs() <= 1);
        assert!(Rig::new(0, &[-DAY, 0]).error().abs() <= 1, "whoever is heard first");
    }

    #[test]
    fn of_two_clocks_the_one_that_agrees_with_before_is_believed() {
        for wrong in [DAY, -DAY] {
            let mut rig = Rig::new(0, &[0]);
            rig.own = wrong;
            assert!(rig.run(60_000).abs() <= 1);
            rig.own = 0;
            rig.others[0] = wrong;
            assert!(rig.run(60_000).abs() <= 1);
        }
    }

    #[test]
    fn a_lonely_clock_is_believed_after_a_while_and_never_stands_still() {
        let mut rig = Rig::new(0, &[]);
        rig.own = DAY;
        assert_eq!(rig.run(9_000), 0);
        rig.own = 0;
        assert_eq!(rig.run(60_000), 0);
        rig.own = HOUR;
        assert_eq!(rig.run(11_000), HOUR);
        // It was wrong after all. The time goes on, at half the speed.
        rig.own = 0;
        let before = rig.run(20_000);
        let after = rig.run(10_000);
        assert_eq!((after - before).abs() / 100, 50);
        assert_eq!(rig.run(7_200_000), 0);
    }

    #[test]
    fn the_time_is_never_set_back() {
        let mut rig = Rig::new(0, &[0, 0, 0]);
        let mut last = 0;
        for step in 0..200u64 {
            let wrong = [DAY, 0, -DAY, 700, -700][step as usize % 5];
            match step % 4 {
                0 => rig.own = wrong,
                at => rig.others[at as usize - 1] = wrong,
            }
            for _ in 0..70 {
                rig.run(10);
                let read = rig.clock.read(now(rig.at, 0).monotonic).0;
                assert!(read >= last + 4, "in step {step}: {read} after {last}");
                last = read;
            }
        }
    }

    #[test]
    fn a_machine_that_stood_still_hears_it_from_one_beat() {
        let mut rig = Rig::new(0, &[0, 0]);
        // All others have run on for two seconds, in beats that gathered meanwhile.
        let at = now(rig.at, 0).monotonic;
        let mut heard = Heard::Nothing;
        for millis in (100..=2_000).step_by(100) {
            let one = rig.clock.hear(at, NodeId(2), wall(rig.at, millis), GAP);
            heard = if heard == Heard::Nothing { one } else { heard };
        }
        assert_eq!(heard, Heard::Jumped(Duration::from_millis(600)));
        // The time goes on from where the others are, although its own clock stays behind.
        rig.others = [2_000, 2_000].into();
        assert!((rig.run(1_000) - 2_000).abs() <= 1);
    }

    #[test]
    fn late_beats_are_no_jumps() {
        let mut rig = Rig::new(0, &[0, 0]);
        for late in [0, 300, 900, 100, 2_000, 0] {
            rig.run(100);
            let at = now(rig.at, 0).monotonic;
            assert_eq!(rig.clock.hear(at, NodeId(3), wall(rig.at, -late), GAP), Heard::Nothing);
            assert!(rig.error().abs() <= 1);
        }
    }
}

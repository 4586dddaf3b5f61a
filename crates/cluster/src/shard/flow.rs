//! How much of a catch-up is on its way at a time, and when it counts as lost.
//!
//! Pieces share their connection with everything else that the replica needs, and the line may be
//! thin. So a window follows what is acknowledged: as long as a round trip takes hardly longer than
//! the shortest one, it grows; else it becomes what arrives in such a time, so that the queue in
//! front of other data stays short.
//!
//! A connection loses nothing until it breaks. What is on its way is late, not lost, while anything
//! is acknowledged, however long it takes; to send it again would only make the queue longer. Only
//! after a silence is the first piece sent again, and after twice as long again. When that is
//! answered the others follow, as far as they are missing there.

use core::time::Duration;

use types::Monotonic;

/// Bytes on their way at a time: at least, beyond the first piece, and at most.
const WINDOW_MIN: usize = 64 << 10;
pub(super) const WINDOW_MAX: usize = 4 << 20;
/// How much longer than twice the shortest round trip one may take.
const QUEUE_TIME: Duration = Duration::from_millis(100);
/// How long nothing is acknowledged before a piece is sent again, at least.
pub(super) const RESEND_AFTER: Duration = Duration::from_millis(500);
/// How many times as large the window becomes: before the line was full, and afterwards.
const FIRST_GROWTH: usize = 4;
const GROWTH: usize = 2;
/// So many round trips are a silence.
const SILENT_ROUNDS: u32 = 2;
/// How long a receiver may be silent before the catch-up is given up: at least, and in round trips.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);
const GIVE_UP_ROUNDS: u32 = 8;

pub(super) struct Flow {
    window: usize,
    growth: usize,
    /// The shortest round trip, and the last one.
    shortest: Duration,
    last: Duration,
    round: Option<Round>,
    /// Since when nothing was acknowledged that is awaited.
    quiet_since: Monotonic,
    /// How often something was sent again since.
    silences: u32,
}

/// From the sending of a piece until it is acknowledged.
struct Round {
    began: Monotonic,
    /// The piece behind that one.
    end: u64,
    acknowledged: usize,
}

impl Flow {
    pub(super) fn new(now: Monotonic) -> Self {
        Self {
            window: WINDOW_MIN,
            growth: FIRST_GROWTH,
            shortest: Duration::MAX,
            last: Duration::ZERO,
            round: None,
            quiet_since: now,
            silences: 0,
        }
    }

    /// Bytes that may be on their way, beyond the first piece.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Pieces up to `end` are on their way. `alone`: nothing else was.
    pub(super) fn sent(&mut self, now: Monotonic, end: u64, alone: bool) {
        if alone {
            self.quiet_since = now;
        }
        self.round.get_or_insert(Round { began: now, end, acknowledged: 0 });
    }

    /// Everything below a piece has arrived, `bytes` of it now.
    pub(super) fn acknowledged(&mut self, now: Monotonic, below: u64, bytes: usize) {
        self.stirs(now);
        self.silences = 0;
        let Some(round) = &mut self.round else { return };
        round.acknowledged += bytes;
        if below < round.end {
            return;
        }
        let (time, bytes) = (now.since(round.began), round.acknowledged);
        self.round = None;
        self.last = time;
        self.adapt(time, bytes);
    }

    /// A round trip has taken this time, and brought so many bytes.
    fn adapt(&mut self, time: Duration, bytes: usize) {
        // What the smallest window takes is no queue of its own making.
        let smallest = self.window <= WINDOW_MIN;
        self.shortest = if smallest { time } else { self.shortest.min(time) };
        let wanted = self.shortest.saturating_mul(2).saturating_add(QUEUE_TIME);
        let window = if time > wanted {
            self.growth = GROWTH;
            let share = bytes as u128 * wanted.as_nanos() / time.as_nanos().max(1);
            usize::try_from(share).unwrap_or(usize::MAX)
        } else if bytes >= self.window / 2 {
            self.window.max(bytes).saturating_mul(self.growth)
        } else {
            // It was not used.
            self.window
        };
        self.window = window.clamp(WINDOW_MIN, WINDOW_MAX);
    }

    /// The receiver gets something, if not yet a whole piece.
    pub(super) fn stirs(&mut self, now: Monotonic) {
        self.quiet_since = now;
    }

    /// Whether what is on its way must be taken for lost.
    pub(super) fn is_silent(&self, now: Monotonic) -> bool {
        let patience = RESEND_AFTER.max(self.last.saturating_mul(SILENT_ROUNDS));
        now.since(self.quiet_since) >= patience.saturating_mul(1 << self.silences.min(5))
    }

    /// What is on its way is taken for lost.
    pub(super) fn silent(&mut self, now: Monotonic) {
        self.lost(now);
        self.silences += 1;
    }

    /// What was on its way is lost: one piece goes first.
    pub(super) fn lost(&mut self, now: Monotonic) {
        self.window = 0;
        self.round = None;
        self.quiet_since = now;
    }

    /// How long the receiver may be silent.
    pub(super) fn give_up_after(&self) -> Duration {
        GIVE_UP_AFTER.max(self.last.saturating_mul(GIVE_UP_ROUNDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic(1_000_000_000_000);

    /// A line with this delay that carries so many bytes in a second: the window after `rounds`.
    fn window_after(rounds: u64, delay: Duration, rate: u128) -> usize {
        let (mut flow, mut now) = (Flow::new(START), START);
        for round in 1..=rounds {
            let bytes = flow.window();
            flow.sent(now, round, true);
            let time = bytes as u128 * 1_000_000_000 / rate;
            now = now + delay + Duration::from_nanos(u64::try_from(time).expect("short"));
            flow.acknowledged(now, round, bytes);
        }
        flow.window()
    }

    #[test]
    fn the_window_is_what_the_line_carries_in_a_short_time() {
        let fast = window_after(20, Duration::from_millis(1), 1_000_000_000);
        assert_eq!(fast, WINDOW_MAX);
        let far = window_after(20, Duration::from_millis(200), 1_000_000_000);
        assert_eq!(far, WINDOW_MAX, "a long way is no queue");
        for rounds in 10..20 {
            let thin = window_after(rounds, Duration::from_millis(1), 1_500_000);
            assert!((WINDOW_MIN..1 << 20).contains(&thin), "{thin} bytes after {rounds} rounds");
        }
    }

    #[test]
    fn a_slow_disk_is_no_queue() {
        let (mut flow, mut now) = (Flow::new(START), START);
        for round in 1..100 {
            let time = if round < 10 { 1 } else { 300 };
            let bytes = flow.window();
            flow.sent(now, round, true);
            now = now + Duration::from_millis(time);
            flow.acknowledged(now, round, bytes);
        }
        assert_eq!(flow.window(), WINDOW_MAX);
    }

    #[test]
    fn nothing_is_lost_while_anything_is_acknowledged() {
        let (mut flow, mut now) = (Flow::new(START), START);
        flow.sent(now, 100, true);
        for below in 0..50 {
            now = now + RESEND_AFTER / 2;
            assert!(!flow.is_silent(now));
            flow.acknowledged(now, below, 1000);
        }
        now = now + RESEND_AFTER;
        assert!(flow.is_silent(now));
    }

    #[test]
    fn silences_become_longer_until_something_is_acknowledged() {
        let (mut flow, mut now) = (Flow::new(START), START);
        flow.sent(now, 1, true);
        for doubled in 0..4 {
            let patience = RESEND_AFTER * (1 << doubled);
            assert!(!flow.is_silent(now + patience / 2));
            now = now + patience;
            assert!(flow.is_silent(now));
            flow.silent(now);
            assert_eq!(flow.window(), 0, "one piece goes first");
            flow.sent(now, 1, true);
        }
        flow.acknowledged(now, 1, 1000);
        assert!(flow.window() >= WINDOW_MIN);
        assert!(flow.is_silent(now + RESEND_AFTER));
    }
}

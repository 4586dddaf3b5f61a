//! One machine's clocks: a monotonic one that drifts, and a wall clock that also jumps.
//!
//! True time is the simulator's, in nanoseconds. A machine never sees it. Both clocks run at the
//! machine's rate, and stand still while a virtual machine is stopped.

use types::{Monotonic, Now, UnixMillis};

/// Where the wall clocks begin: some day in 2023, in nanoseconds.
const WALL_START: u64 = 1_700_000_000_000_000_000;
const MILLION: u64 = 1_000_000;

/// The clocks of one machine.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// True time of the newest change of rate.
    since: u64,
    monotonic: u64,
    wall: u64,
    /// Parts per million by which the clocks run fast.
    rate: i64,
    stopped: bool,
    /// What the wall clock missed while it was stopped.
    missed: u64,
    /// Nobody will set it right.
    stays_behind: bool,
}

impl Clock {
    pub(crate) fn new(offset: u64, rate: i64) -> Self {
        let (wall, stopped, stays_behind) = (WALL_START, false, false);
        Self { since: 0, monotonic: offset, wall, rate, stopped, missed: 0, stays_behind }
    }

    /// What the machine reads.
    pub(crate) fn read(&self, at: u64) -> Now {
        let passed = self.passed(at);
        Now {
            monotonic: Monotonic(self.monotonic + passed),
            wall: UnixMillis((self.wall + passed) / 1_000_000),
        }
    }

    fn passed(&self, at: u64) -> u64 {
        if self.stopped {
            return 0;
        }
        let passed = at.saturating_sub(self.since);
        // Whole millions apart: what is left fits into a number that a processor divides at once.
        let (millions, rest) = (passed / MILLION, passed % MILLION);
        let pace = MILLION.saturating_add_signed(self.rate);
        millions * pace + rest * pace / MILLION
    }

    /// The true time at which the monotonic clock shows `deadline`, not before `at`.
    pub(crate) fn when(&self, at: u64, deadline: Monotonic) -> u64 {
        if self.stopped || deadline == Monotonic::NEVER {
            return u64::MAX;
        }
        let left = deadline.0.saturating_sub(self.monotonic + self.passed(at));
        if left == 0 {
            return at;
        }
        let pace = MILLION.saturating_add_signed(self.rate);
        let exact = |left: u128| {
            u64::try_from(left * u128::from(MILLION) / u128::from(pace)).unwrap_or(u64::MAX)
        };
        let left = left
            .checked_mul(MILLION)
            .map_or_else(|| exact(u128::from(left)), |scaled| scaled / pace);
        at.saturating_add(left.saturating_add(1))
    }

    fn settle(&mut self, at: u64) {
        let passed = self.passed(at);
        if self.stopped {
            self.missed += at.saturating_sub(self.since);
        }
        self.monotonic += passed;
        self.wall += passed;
        self.since = at;
    }

    /// The clocks run at another rate from now on.
    pub(crate) fn set_rate(&mut self, at: u64, rate: i64) {
        self.settle(at);
        self.rate = rate;
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump_wall(&mut self, at: u64, nanos: i64) {
        self.settle(at);
        self.wall = self.wall.saturating_add_signed(nanos);
    }

    /// The virtual machine is stopped.
    pub(crate) fn stop(&mut self, at: u64) {
        self.settle(at);
        self.stopped = true;
        self.missed = 0;
    }

    /// The virtual machine is stopped, and no clock of it will ever tell.
    pub(crate) fn stop_unnoticed(&mut self, at: u64) {
        self.stop(at);
        self.stays_behind = true;
    }

    /// The virtual machine goes on; most often the host sets its wall clock right.
    pub(crate) fn go_on_if_stopped(&mut self, at: u64) {
        if !self.stopped {
            return;
        }
        self.settle(at);
        self.stopped = false;
        let missed = core::mem::take(&mut self.missed);
        self.wall += if core::mem::take(&mut self.stays_behind) { 0 } else { missed };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_when_the_clock_says_so() {
        for rate in [-24_000, 0, 24_000] {
            let clock = Clock::new(5, rate);
            let deadline = Monotonic(1_000_000_005);
            let at = clock.when(0, deadline);
            assert!(clock.read(at).monotonic >= deadline);
            assert!(clock.read(at - 2_000).monotonic < deadline);
        }
    }

    #[test]
    fn a_stopped_machine_loses_monotonic_time_only() {
        let mut clock = Clock::new(0, 0);
        let wall = clock.read(0).wall.0;
        clock.stop(1_000_000_000);
        assert_eq!(clock.when(2_000_000_000, Monotonic(1_500_000_000)), u64::MAX);
        clock.go_on_if_stopped(5_000_000_000);
        let now = clock.read(6_000_000_000);
        assert_eq!(now.monotonic, Monotonic(2_000_000_000));
        assert_eq!(now.wall.0, wall + 6_000);
    }
}

//! What is counted for INFO.

use alloc::boxed::Box;
use core::time::Duration;

use resp::command::Command;
use types::Monotonic;

/// Over at least how long requests per second are averaged.
const RATE_INTERVAL: Duration = Duration::from_secs(1);

/// What is counted for INFO since the start or since CONFIG RESETSTAT.
pub(crate) struct Counters {
    pub(super) commands: u64,
    pub(super) calls: Box<[u64; 256]>,
    pub(super) rejected_connections: u64,
    /// Connections at the time of the reset.
    pub(super) connections_before: u64,
    pub(super) memory_peak: u64,
    pub(super) rate: Rate,
}

/// Requests per second.
#[derive(Default)]
pub(super) struct Rate {
    begun: Monotonic,
    count: u64,
    pub(super) per_second: u64,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            commands: 0,
            calls: Box::new([0; 256]),
            rejected_connections: 0,
            connections_before: 0,
            memory_peak: 0,
            rate: Rate::default(),
        }
    }

    pub(super) fn count(&mut self, now: Monotonic, command: &'static Command) {
        self.commands += 1;
        if let Some(id) = command.id()
            && let Some(calls) = self.calls.get_mut(usize::from(id.code()))
        {
            *calls += 1;
        }
        self.rate.advance(now);
        self.rate.count += 1;
    }

    /// A client was turned away because there are too many.
    pub(crate) fn count_rejected(&mut self) {
        self.rejected_connections += 1;
    }

    pub(super) fn reset(&mut self) {
        let rate = core::mem::take(&mut self.rate);
        *self = Self { rate, connections_before: self.connections_before, ..Self::new() };
    }
}

impl Rate {
    pub(super) fn advance(&mut self, now: Monotonic) {
        let elapsed = now.since(self.begun);
        if elapsed < RATE_INTERVAL {
            return;
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        self.per_second = self.count.saturating_mul(1000) / millis;
        self.begun = now;
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_an_average_over_a_second_or_more() {
        let at = |millis: u64| Monotonic(millis * 1_000_000);
        let mut rate = Rate { begun: at(0), count: 500, per_second: 0 };
        rate.advance(at(999));
        assert_eq!(rate.per_second, 0);
        rate.advance(at(2000));
        assert_eq!(rate.per_second, 250);
        rate.advance(at(3000));
        assert_eq!(rate.per_second, 0);
    }
}

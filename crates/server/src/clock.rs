//! The only place that reads clocks.
//!
//! The monotonic clock is the one that goes on while the machine is suspended (`CLOCK_BOOTTIME`):
//! a lease must be over after a night in a closed lid. Both readings go through libc, so tests
//! can interpose them. A reading costs some tens of nanoseconds (no system call).

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use types::{Monotonic, Now, UnixMillis};

/// Reads both clocks.
pub(crate) fn now() -> Now {
    Now { monotonic: monotonic(), wall: wall() }
}

/// Reads the clock of leases and time-outs.
pub(crate) fn monotonic() -> Monotonic {
    let time = clock_gettime(ClockId::Boottime);
    // Time since boot: neither part is ever negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Monotonic(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The CPU time that the calling thread has taken. A system call, unlike the other readings.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Reads the wall clock. A clock set before 1970 reads as 1970.
fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let first = monotonic();
        assert!(first.0 > 0);
        assert!(monotonic() >= first);
    }
}

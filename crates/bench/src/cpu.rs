//! CPU time of threads and processes, from /proc. Absent where there is no /proc.

use std::fs;

/// CPU time of the calling thread, in nanoseconds.
pub(crate) fn this_thread() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// CPU time of the processes so far, user and system, in nanoseconds; those that are gone
/// count nothing.
pub(crate) fn processes(pids: &[u32]) -> u64 {
    pids.iter().filter_map(|&pid| process(pid)).sum()
}

fn process(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from its end.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

//! What the system knows about this process: memory and processor time, for INFO and for the
//! Lease Manager.

use std::fs;
use std::thread;

use cluster::ProcessStats;

use crate::clock;
use crate::config::Config;

/// Event loops in a process. More processors than that are of no use to it: a node whose only
/// event loop is busy all the time is full, however many processors idle beside it.
const EVENT_LOOPS: u64 = 1;

/// What the node can do, for the fields of [`ProcessStats`] of the same names.
pub(crate) fn capacity(config: &Config) -> ProcessStats {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let or = |setting: u64, detected: u64| if setting > 0 { setting } else { detected };
    ProcessStats {
        capacity_cpu: or(config.capacity_cpu, cores.min(EVENT_LOOPS) * 1000),
        capacity_memory: or(config.capacity_memory, memory_bytes()),
        capacity_network: config.capacity_network,
        capacity_log: config.capacity_log,
        ..ProcessStats::default()
    }
}

/// The machine's memory, or what the process's control group may have of it. 0: unknown.
fn memory_bytes() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let machine = kib.unwrap_or(0).saturating_mul(1024);
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    let limit = limit.trim().parse::<u64>().unwrap_or(u64::MAX);
    machine.min(limit)
}

/// The process's figures now, read on the event loop's thread; 0 for what the system does not say,
/// and for what is not its to say.
pub(crate) fn read() -> ProcessStats {
    let (user_micros, system_micros) = processor_micros();
    let loop_micros = u64::try_from(clock::thread_cpu().as_micros()).unwrap_or(u64::MAX);
    ProcessStats {
        measured_at: clock::monotonic(),
        loop_micros,
        resident_bytes: resident_bytes(),
        user_micros,
        system_micros,
        process_id: std::process::id(),
        ..ProcessStats::default()
    }
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}

/// Time in user mode and in the kernel, of all threads.
fn processor_micros() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let tick_micros = 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
    // The second field is the program's name in brackets and may hold anything.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut ticks = after_name.split_ascii_whitespace().skip(11).map(|it| it.parse().unwrap_or(0));
    let mut next = || ticks.next().unwrap_or(0u64).saturating_mul(tick_micros);
    (next(), next())
}

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
        capacity_memory: or(config.capacity_memory, memory_limit(config.settings().memory)),
        capacity_network: config.capacity_network,
        capacity_log: config.capacity_log,
        ..ProcessStats::default()
    }
}

/// Of a hundred parts of the memory, how many the data may take if no setting says so.
const DATA_PERCENT: u64 = 75;

/// What the data may take: as set, or a share of what the machine or the control group has.
pub(crate) fn memory_limit(setting: u64) -> u64 {
    if setting > 0 { setting } else { memory_bytes() / 100 * DATA_PERCENT }
}

/// The machine's memory, or what the process's control group may have of it. 0: unknown.
fn memory_bytes() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let machine = kib.unwrap_or(0).saturating_mul(1024);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = group_limit(&groups, |file| fs::read_to_string(file).ok());
    // The group's limit may be all there is to know, and of version 1 it may be absurdly large.
    if machine == 0 { limit.unwrap_or(0) } else { machine.min(limit.unwrap_or(machine)) }
}

/// The least limit on memory of a process's control groups, of either version, and of all groups
/// around them. `groups` is `/proc/self/cgroup`.
fn group_limit(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (root, files): (&str, &[&str]) = if controllers.is_empty() {
            ("/sys/fs/cgroup", &["memory.max", "memory.high"])
        } else if controllers.split(',').any(|name| name == "memory") {
            ("/sys/fs/cgroup/memory", &["memory.limit_in_bytes"])
        } else {
            continue;
        };
        // In a container the path may be the host's: the group's own files are at the root then.
        let mut group = path.trim_end_matches('/');
        loop {
            for file in files {
                let text = read(&format!("{root}{group}/{file}"));
                let limit = text.and_then(|text| text.trim().parse::<u64>().ok());
                least = least.into_iter().chain(limit).min();
            }
            let Some((parent, _)) = group.rsplit_once('/') else { break };
            group = parent;
        }
    }
    least
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_group_counts() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "3000\n"),
            ("/sys/fs/cgroup/a/b/memory.high", "2000\n"),
            ("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1500\n"),
        ];
        let read = |file: &str| {
            files.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(group_limit("0::/a/b\n", read), Some(2000));
        assert_eq!(group_limit("5:cpu,memory:/c\n1:cpu:/d\n", read), Some(1500));
        assert_eq!(group_limit("0::/\n", read), None);
        assert_eq!(group_limit("0::/elsewhere\n", read), None);
        assert_eq!(group_limit("nonsense\n", read), None);
    }
}

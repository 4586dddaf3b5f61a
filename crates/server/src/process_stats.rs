//! What the system knows about this process: memory and processor time, for INFO.

use std::fs;

use cluster::ProcessStats;

/// The process's figures now; 0 for what the system does not say, and for what is not its to say.
pub(crate) fn read() -> ProcessStats {
    let (user_micros, system_micros) = processor_micros();
    ProcessStats {
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

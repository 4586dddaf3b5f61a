//! What the processors did, from /proc: the CPU time of processes, of this process' children and
//! of the whole machine, and the memory of a process.

use std::fs;
use std::time::Instant;

/// Length of a clock tick in /proc, in seconds: 1/100 on every architecture that Linux has kept.
const TICK: f64 = 0.01;

/// The CPU time that was used up to a moment, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Usage {
    at: Instant,
    servers: f64,
    clients: f64,
    machine: f64,
}

impl Usage {
    /// Up to now. Clients are the children of this process that have ended.
    pub(super) fn now(servers: &[u32]) -> Self {
        Self {
            at: Instant::now(),
            servers: servers.iter().map(|pid| process(&pid.to_string(), [11, 12])).sum(),
            clients: process("self", [13, 14]),
            machine: machine(),
        }
    }

    /// How many processors did something else since then, on average.
    pub(super) fn others_since(&self, before: &Self) -> f64 {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(TICK);
        let ours = self.servers - before.servers + self.clients - before.clients;
        ((self.machine - before.machine - ours) / seconds).max(0.0)
    }
}

/// The sum of two fields of a process' `stat`, counted from behind its name, in seconds.
fn process(pid: &str, fields: [usize; 2]) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind_name = text.rfind(')').map_or("", |end| &text[end + 1..]);
    let words: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks = |field: usize| words.get(field).and_then(|word| word.parse::<f64>().ok());
    fields.into_iter().filter_map(ticks).sum::<f64>() * TICK
}

/// The time that all processors were busy, in seconds: user, nice, system and interrupts.
fn machine() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> =
        first.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().filter_map(|&field| ticks.get(field)).sum::<f64>() * TICK
}

/// The resident memory of a process, in bytes.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Whether a process is there.
pub(super) fn is_running(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = state.rfind(')').and_then(|end| state[end + 1..].split_whitespace().next());
    state.is_some_and(|state| state != "Z")
}

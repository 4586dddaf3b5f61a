//! A run from start to end: set-up, the load threads, and the watch over them.

use crate::cpu;
use crate::encode::Encoder;
use crate::keys::{Chooser, Names, SLOT_COUNT, slot};
use crate::options::{Error, Limit, Options, Pin};
use crate::recorder::{HistoryLog, Interval, Measured, Recorder, Stalls};
use crate::report::{Latency, Report};
use crate::topology::{Topology, fetch};
use crate::worker::{Assignment, Worker};
use crate::workload::{Function, KeyLists, Workload};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// How often the threads are looked after.
const WATCH: Duration = Duration::from_millis(10);
/// The topology is asked for at most this often.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);
/// How long one server may take to tell the topology in mid-run.
const REFRESH_TIMEOUT: Duration = Duration::from_millis(500);
/// Most keys that pinned clients can choose from, since they are listed.
const LISTED_KEYS_MAX: u64 = u32::MAX as u64;

/// What all threads of a run share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    started: Instant,
    /// When to begin and to end measuring, in nanoseconds of the run.
    pub(crate) measure_from: u64,
    pub(crate) measure_to: u64,
    /// The latest picture of the cluster, if one is wanted, and how often it changed.
    pub(crate) topology: Mutex<Option<Topology>>,
    pub(crate) topology_version: AtomicU64,
    /// Whether a thread found the picture wrong.
    pub(crate) refresh_wanted: AtomicBool,
    /// The stall range of each slot; empty if there is one range only.
    pub(crate) range_of_slot: Vec<u16>,
    pub(crate) stalls: Stalls,
    pub(crate) progress: Mutex<Interval>,
    next_process: AtomicU64,
    /// Whether a thread failed, so that the others need not go on.
    pub(crate) stopped: AtomicBool,
}

impl Shared {
    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// A process that was never used before.
    pub(crate) fn new_process(&self) -> u64 {
        self.next_process.fetch_add(1, Ordering::Relaxed)
    }
}

/// Runs the load and returns what was found. Blocks until the run is over.
///
/// # Errors
/// When the options make no sense, when no server tells the topology, when the password is
/// wrong, when a connection breaks and `keep_going` is not set, and on local I/O errors.
pub fn run(options: Options) -> Result<Report, Error> {
    options.validate()?;
    let topology = if options.cluster { Some(first_topology(&options)?) } else { None };
    let ranges = stall_ranges(&options, topology.as_ref());
    let file = match &options.history {
        Some(path) => Some(Arc::new(Mutex::new(File::create_new(path)?))),
        None => None,
    };
    let names = names(&options);
    let lists = match &topology {
        Some(topology) => lists(&options, &names[0], topology)?,
        None => None,
    };
    let warm_up = options.warm_up.as_nanos() as u64;
    let measure_to = match options.limit {
        Limit::Duration(duration) => warm_up + duration.as_nanos() as u64,
        Limit::Requests(_) => u64::MAX / 2,
    };
    let shared = Arc::new(Shared {
        started: Instant::now(),
        measure_from: warm_up,
        measure_to,
        topology: Mutex::new(topology),
        topology_version: AtomicU64::new(1),
        refresh_wanted: AtomicBool::new(false),
        range_of_slot: range_of_slot(&ranges),
        stalls: Stalls::new(ranges.len(), warm_up),
        progress: Mutex::new(Interval::new()),
        next_process: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
        options,
    });
    let threads = spawn(&shared, &names, lists.as_ref(), file.as_ref())?;
    let server_cpu = watch(&shared, &threads);
    let mut measured = Vec::new();
    for thread in threads {
        let result = thread.join().map_err(|_| Error::Server("a load thread panicked".into()))?;
        measured.push(result?);
    }
    let last: Vec<u64> =
        (0..shared.stalls.places()).map(|place| shared.stalls.last(place)).collect();
    Ok(Report::of(&measured, &last, &ranges, server_cpu))
}

fn first_topology(options: &Options) -> Result<Topology, Error> {
    let mut failure = Error::Refused("no address is given".to_owned());
    for &address in &options.addresses {
        match fetch(options, address, options.timeout) {
            Ok(topology) => return Ok(topology),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn stall_ranges(options: &Options, topology: Option<&Topology>) -> Vec<(u16, u16)> {
    match (options.stall_ranges, topology) {
        (0, Some(topology)) => topology.ranges.clone(),
        (0 | 1, _) => vec![(0, 16383)],
        (count, _) => {
            let bound = |part: u32| (part * SLOT_COUNT as u32 / u32::from(count)) as u16;
            (0..u32::from(count)).map(|part| (bound(part), bound(part + 1) - 1)).collect()
        }
    }
}

/// Slots outside all ranges count for the first.
fn range_of_slot(ranges: &[(u16, u16)]) -> Vec<u16> {
    if ranges.len() <= 1 {
        return Vec::new();
    }
    let mut range_of_slot = vec![0; SLOT_COUNT];
    for (range, &(first, last)) in ranges.iter().enumerate() {
        range_of_slot[usize::from(first)..=usize::from(last)].fill(range as u16);
    }
    range_of_slot
}

/// Names of registers and of counters. A history's keys must be new, so they carry the time.
fn names(options: &Options) -> [Names; 2] {
    let run = match options.history {
        Some(_) => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            format!("{}:", since.unwrap_or_default().as_millis())
        }
        None => String::new(),
    };
    ["key:", "ctr:"]
        .map(|kind| Names::new(&format!("{kind}{run}"), options.key_count, options.key_bytes))
}

/// The keys of each slot range or node, for clients that keep to one.
fn lists(options: &Options, names: &Names, topology: &Topology) -> Result<Option<KeyLists>, Error> {
    let (group_of_slot, groups) = match options.pin {
        Pin::Nothing => return Ok(None),
        Pin::Range => (range_of_slot(&topology.ranges), topology.ranges.len()),
        Pin::Node => (topology.slots.clone(), topology.nodes.len()),
    };
    if options.key_count > LISTED_KEYS_MAX {
        return Err(Error::Refused("pinned clients can have at most 2^32 - 1 keys".into()));
    }
    let mut lists = vec![Vec::new(); groups];
    let mut name = Vec::new();
    for key in 0..options.key_count {
        name.clear();
        names.write(key, &mut name);
        let group = group_of_slot.get(slot(&name)).map_or(0, |&group| usize::from(group));
        // A slot that nobody holds is in no group.
        if let Some(list) = lists.get_mut(group) {
            list.push(key as u32);
        }
    }
    lists.retain(|list| !list.is_empty());
    if lists.is_empty() {
        return Err(Error::Server("no node holds any key's slot".into()));
    }
    Ok(Some(Arc::new(lists)))
}

type LoadThread = JoinHandle<Result<Measured, Error>>;

fn spawn(
    shared: &Arc<Shared>,
    names: &[Names; 2],
    lists: Option<&KeyLists>,
    file: Option<&Arc<Mutex<File>>>,
) -> Result<Vec<LoadThread>, Error> {
    let options = &shared.options;
    let [registers, counters] = names;
    let chooser = Chooser::new(options.keys, options.key_count, options.threads);
    let encoder = Encoder::new(
        registers.clone(),
        counters.clone(),
        options.value_bytes,
        file.is_some(),
        options.wait,
        options.seed,
    );
    let loaded = Arc::new(Barrier::new(options.threads));
    let mut workers = Vec::new();
    for thread in 0..options.threads {
        // Neighbouring seeds give unrelated streams after fastrand's own mixing.
        let seed = options.seed.wrapping_mul(THREADS_SEEDED).wrapping_add(thread as u64);
        let assignment = Assignment {
            thread,
            workload: Workload::new(options, chooser.of_thread(thread), lists.cloned(), seed),
            encoder: encoder.clone(),
            recorder: Recorder::new(shared.stalls.places(), file.cloned().map(HistoryLog::new)),
            final_reads: if file.is_some() { final_reads(options, thread) } else { Vec::new() },
        };
        workers.push(Worker::new(shared.clone(), assignment)?);
    }
    let mut threads = Vec::new();
    for mut worker in workers {
        let loaded = loaded.clone();
        threads.push(thread::spawn(move || {
            let load = worker.load();
            // The reads at the end must begin when no write is under way any more.
            loaded.wait();
            load?;
            worker.read_finally()?;
            Ok(worker.recorder.measured)
        }));
    }
    Ok(threads)
}

/// Seeds of runs lie this far apart, so that no two threads of two runs share one.
const THREADS_SEEDED: u64 = 1 << 16;

fn final_reads(options: &Options, thread: usize) -> Vec<(Function, u64)> {
    let keys = (thread as u64..options.key_count).step_by(options.threads);
    let [_, sets, increments] = options.weights;
    let registers = keys.clone().filter(|_| sets > 0).map(|key| (Function::Get, key));
    let counters = keys.filter(|_| increments > 0).map(|key| (Function::GetCounter, key));
    registers.chain(counters).collect()
}

/// Looks after the topology and the line of progress until the threads are done. The CPU time
/// that the servers took while measuring, in nanoseconds.
fn watch(shared: &Shared, threads: &[LoadThread]) -> Option<u64> {
    let pids = &shared.options.pids;
    let (mut before, mut after) = (None, None);
    let mut next_line = Duration::from_secs(1);
    let mut next_refresh = Instant::now();
    while threads.iter().any(|thread| !thread.is_finished()) {
        thread::sleep(WATCH);
        let now = shared.now();
        if before.is_none() && now >= shared.measure_from {
            before = Some(cpu::processes(pids));
        }
        if after.is_none() && now >= shared.measure_to {
            after = Some(cpu::processes(pids));
        }
        if shared.options.progress && Duration::from_nanos(now) >= next_line {
            progress(shared, now);
            next_line = Duration::from_nanos(now) + Duration::from_secs(1);
        }
        if shared.options.cluster
            && Instant::now() >= next_refresh
            && shared.refresh_wanted.swap(false, Ordering::Relaxed)
        {
            refresh(shared);
            next_refresh = Instant::now() + REFRESH_PAUSE;
        }
    }
    let after = after.unwrap_or_else(|| cpu::processes(pids));
    before.filter(|_| !pids.is_empty()).map(|before| after.saturating_sub(before))
}

/// Asks one server after the other for the topology, and publishes the first answer.
fn refresh(shared: &Shared) {
    let lock = || shared.topology.lock().expect("no thread panics with the lock");
    let known = lock().as_ref().map(|topology| topology.nodes.clone()).unwrap_or_default();
    let given = shared.options.addresses.iter().copied();
    let mut asked: Vec<SocketAddr> = Vec::new();
    for address in known.into_iter().chain(given) {
        if asked.contains(&address) {
            continue;
        }
        asked.push(address);
        if let Ok(topology) = fetch(&shared.options, address, REFRESH_TIMEOUT) {
            *lock() = Some(topology);
            shared.topology_version.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
    // Nobody answered; ask again.
    shared.refresh_wanted.store(true, Ordering::Relaxed);
}

fn progress(shared: &Shared, now: u64) {
    let mut interval = shared.progress.lock().expect("no thread panics with the lock");
    let latency = Latency::of(&interval.latencies);
    let (count, errors) = (interval.latencies.len(), interval.errors);
    interval.latencies.reset();
    interval.errors = 0;
    drop(interval);
    let phase = if now < shared.measure_from { "warm-up" } else { "" };
    // Nobody may be reading; that is no reason to stop.
    let _ = writeln!(
        std::io::stderr(),
        "{:6.1} s {count:9} requests/s  p50 {:.0} us  p99 {:.0} us  errors {errors} {phase}",
        now as f64 / 1e9,
        latency.p50,
        latency.p99,
    );
}

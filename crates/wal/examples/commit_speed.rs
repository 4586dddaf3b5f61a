//! Measures the log against the disk: commit latency and CPU time beside raw `pwrite` and
//! `fdatasync` of the same bytes into a file that was written before, interleaved in one run.
//!
//! `cargo run --release -p wal --example commit_speed -- DIRECTORY [ROUNDS]`
//!
//! The directory should lie on the disk that a node would use. Files made in it are removed. On
//! a busy machine trust the ratios, not the figures.
#![allow(clippy::print_stdout, reason = "a measurement tells its result")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use types::NodeId;
use wal::{Log, Options, OsDisk, Preparation};

/// Records a batch, bytes a record.
const BATCHES: [(usize, usize); 6] =
    [(1, 128), (16, 128), (256, 128), (16, 1024), (256, 1024), (16, 4096)];
const RAW_BYTES: u64 = 64 << 20;

type Failure = Box<dyn std::error::Error>;

/// A file written in advance, overwritten from front to back and again.
struct Raw {
    file: File,
    offset: u64,
    buffer: Vec<u8>,
}

impl Raw {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create_new(path)?;
        for offset in (0..RAW_BYTES).step_by(64 << 10) {
            file.write_all_at(&[0; 64 << 10], offset)?;
        }
        file.sync_all()?;
        Ok(Self { file, offset: 0, buffer: Vec::new() })
    }

    /// The least that a commit can cost: gather the bytes, write them, sync.
    fn commit(&mut self, records: usize, payload: &[u8]) -> Result<(), Failure> {
        self.buffer.clear();
        for _ in 0..records {
            self.buffer.extend_from_slice(payload);
        }
        let blocks = (self.buffer.len() + records * 4 + 56).next_multiple_of(4096);
        self.buffer.resize(blocks, 0);
        if self.offset + blocks as u64 > RAW_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(&self.buffer, self.offset)?;
        self.offset += blocks as u64;
        self.file.sync_data()?;
        Ok(())
    }
}

fn log_commit(log: &mut Log<OsDisk>, records: usize, payload: &[u8]) -> Result<(), Failure> {
    for _ in 0..records {
        log.append(payload)?;
    }
    log.commit()?;
    Ok(())
}

/// Releases all but the current segment and readies the next, as a node does between commits.
fn housekeeping(log: &mut Log<OsDisk>) -> Result<(), Failure> {
    log.release(log.current_segment())?;
    while log.prepare_spare(1 << 20)? == Preparation::Working {}
    Ok(())
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// CPU of appending and checksumming alone, nanoseconds a record, on a disk in memory.
fn framing_cost(records: usize, payload: &[u8], rounds: usize) -> f64 {
    let options = Options::new(1, NodeId(1), 1);
    let disk = wal::MemoryDisk::new(1);
    let Ok((mut log, _)) = Log::open(disk, options, &mut |_, _| Ok(())) else { return f64::NAN };
    let mut total = Duration::ZERO;
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..records {
            if log.append(payload).is_err() {
                return f64::NAN;
            }
        }
        total += start.elapsed();
        if log.commit().is_err() || log.release(log.current_segment()).is_err() {
            return f64::NAN;
        }
    }
    total.as_nanos() as f64 / (rounds * records) as f64
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: commit_speed DIRECTORY [ROUNDS]")?;
    let rounds: usize = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let path = Path::new(&directory).join(format!("commit-speed-{}", std::process::id()));
    let result = measure(&path, rounds.max(1));
    std::fs::remove_dir_all(&path)?;
    result
}

fn measure(path: &Path, rounds: usize) -> Result<(), Failure> {
    let disk = OsDisk::open(path)?;
    let (mut log, _) = Log::open(disk, Options::new(1, NodeId(1), 1), &mut |_, _| Ok(()))?;
    let mut raw = Raw::create(&path.join("raw"))?;
    println!(
        "records x bytes | raw p50 us | log p50 us | ratio | CPU us a record: raw, log, extra"
    );
    println!("                |            |            |       | append alone (ns)");
    for (records, bytes) in BATCHES {
        let payload: Vec<u8> = (0..bytes).map(|at| (at * 31 % 251) as u8).collect();
        let (mut raw_times, mut log_times) = (Vec::new(), Vec::new());
        let (mut raw_cpu, mut log_cpu) = (Duration::ZERO, Duration::ZERO);
        for round in 0..rounds {
            housekeeping(&mut log)?;
            // Who goes first alternates, so that neither always finds the disk as the other
            // left it.
            for turn in [round % 2 == 0, round % 2 != 0] {
                let (cpu, start) = (cpu_time(), Instant::now());
                if turn {
                    raw.commit(records, &payload)?;
                    raw_times.push(start.elapsed());
                    raw_cpu += cpu_time() - cpu;
                } else {
                    log_commit(&mut log, records, &payload)?;
                    log_times.push(start.elapsed());
                    log_cpu += cpu_time() - cpu;
                }
            }
        }
        let (raw_p50, log_p50) = (median(&mut raw_times), median(&mut log_times));
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / (rounds * records) as f64;
        println!(
            "{records:>7} x {bytes:<5} | {:>10.0} | {:>10.0} | {:>5.2} \
             | {:.3}, {:.3}, {:+.3}; {:.0}",
            raw_p50.as_secs_f64() * 1e6,
            log_p50.as_secs_f64() * 1e6,
            log_p50.as_secs_f64() / raw_p50.as_secs_f64(),
            each(raw_cpu),
            each(log_cpu),
            each(log_cpu) - each(raw_cpu),
            framing_cost(records, &payload, rounds.min(500)),
        );
    }
    Ok(())
}

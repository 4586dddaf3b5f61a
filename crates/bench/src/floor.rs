//! The floor under a write that a majority has on disk: what no code can go below.
//!
//! A client, a leader and two followers are threads that talk over loopback TCP. The leader sends
//! each entry to both followers at once; all three write it over a part of a file that was written
//! before, and sync it; the leader answers when it and one follower have. One entry is in flight.
//! There is no store in it: no parsing, no data, no log format, no recovery.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::cpu;
use crate::options::Error;
use crate::recorder::latencies;
use crate::report::{Latency, common_json};

/// Length of each file, in bytes.
const FILE_BYTES: u64 = 32 << 20;
/// Files are filled in pieces of this many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Longest entry, in bytes.
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// How to measure the floor.
#[derive(Clone, Debug)]
pub struct FloorOptions {
    /// Where the files are, on the disk in question. They are removed at once.
    pub dir: PathBuf,
    /// Length of an entry in bytes, 1 to 1 MiB.
    pub entry_bytes: usize,
    /// How long to run before measuring.
    pub warm_up: Duration,
    /// How long to measure.
    pub duration: Duration,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FloorReport {
    /// Entries a second.
    pub operations_per_second: f64,
    /// From the client's sending to its receiving.
    pub latency: Latency,
    /// CPU time of all four threads for an entry, in microseconds.
    pub cpu_micros: f64,
}

impl FloorReport {
    /// One line of JSON, with the names of [`crate::Report::to_json`].
    #[must_use]
    pub fn to_json(&self) -> String {
        common_json(self.operations_per_second, &self.latency, 0, (0.0, self.cpu_micros))
    }
}

/// Measures the floor. Blocks until it is over.
///
/// # Errors
/// When the entry's length makes no sense, and on local I/O errors.
pub fn floor(options: &FloorOptions) -> Result<FloorReport, Error> {
    if !(1..=ENTRY_BYTES_MAX).contains(&options.entry_bytes) {
        return Err(Error::Refused("an entry has 1 byte to 1 MiB".into()));
    }
    let size = options.entry_bytes;
    let mut threads = Vec::new();
    let mut followers = Vec::new();
    for number in 0..2 {
        let (near, far) = link()?;
        let log = Log::create(&options.dir, number)?;
        threads.push(thread::spawn(move || follow(far, log, size)));
        followers.push(near);
    }
    let [one, other] = <[TcpStream; 2]>::try_from(followers).expect("two were made");
    let (client, far) = link()?;
    let log = Log::create(&options.dir, 2)?;
    threads.push(thread::spawn(move || lead(far, [one, other], log, size)));
    let report = ask(client, options);
    // The client's end is closed by now, so the leader ends, and then the followers.
    threads.into_iter().try_for_each(joined)?;
    Ok(report?)
}

fn joined(thread: JoinHandle<io::Result<()>>) -> Result<(), Error> {
    let result = thread.join().map_err(|_| Error::Server("a thread panicked".into()))?;
    Ok(result?)
}

fn ask(mut leader: TcpStream, options: &FloorOptions) -> io::Result<FloorReport> {
    let me = [std::process::id()];
    let entry = vec![b'e'; options.entry_bytes];
    let mut histogram = latencies();
    let measure_from = Instant::now() + options.warm_up;
    let measure_to = measure_from + options.duration;
    let mut cpu_before = None;
    loop {
        let sent = Instant::now();
        if sent >= measure_to {
            break;
        }
        if sent >= measure_from && cpu_before.is_none() {
            cpu_before = Some(cpu::processes(&me));
        }
        leader.write_all(&entry)?;
        leader.read_exact(&mut [0])?;
        if sent >= measure_from {
            histogram.saturating_record(sent.elapsed().as_nanos() as u64);
        }
    }
    let cpu = cpu::processes(&me).saturating_sub(cpu_before.unwrap_or_default());
    Ok(FloorReport {
        operations_per_second: histogram.len() as f64 / options.duration.as_secs_f64(),
        latency: Latency::of(&histogram),
        cpu_micros: cpu as f64 / 1e3 / histogram.len().max(1) as f64,
    })
}

fn lead(
    mut client: TcpStream,
    mut followers: [TcpStream; 2],
    mut log: Log,
    size: usize,
) -> io::Result<()> {
    let mut entry = vec![0; size];
    let mut number = 0;
    let mut stored = [0; 2];
    while is_more(client.read_exact(&mut entry))? {
        number += 1;
        for follower in &mut followers {
            follower.write_all(&entry)?;
        }
        log.append(&entry)?;
        while stored.iter().all(|&stored| stored < number) {
            let ready = {
                let [one, other] = &followers;
                let mut files = [one, other].map(|it| PollFd::new(it, PollFlags::IN));
                poll(&mut files, None)?;
                files.map(|file| !file.revents().is_empty())
            };
            for ((follower, stored), ready) in followers.iter_mut().zip(&mut stored).zip(ready) {
                if ready {
                    *stored += follower.read(&mut [0; 64])?;
                }
            }
        }
        client.write_all(&[1])?;
    }
    Ok(())
}

fn follow(mut leader: TcpStream, mut log: Log, size: usize) -> io::Result<()> {
    let mut entry = vec![0; size];
    while is_more(leader.read_exact(&mut entry))? {
        log.append(&entry)?;
        if leader.write_all(&[1]).is_err() {
            // The leader has ended, and with it the measurement.
            break;
        }
    }
    Ok(())
}

/// The end of a stream is no error.
fn is_more(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) => {
            let kind = error.kind();
            let is_end =
                matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
            if is_end { Ok(false) } else { Err(error) }
        }
    }
}

fn link() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let far = listener.accept()?.0;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

/// A file whose blocks were all written once, so that a sync has no other work.
struct Log {
    file: File,
    at: u64,
}

impl Log {
    fn create(dir: &Path, number: u32) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join(format!("floor-{}-{number}", std::process::id()));
        let file = File::create_new(&path)?;
        // It stays as long as it is open.
        fs::remove_file(&path)?;
        let piece = vec![0; PIECE_BYTES];
        for at in (0..FILE_BYTES).step_by(PIECE_BYTES) {
            file.write_all_at(&piece, at)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    fn append(&mut self, entry: &[u8]) -> io::Result<()> {
        if self.at + entry.len() as u64 > FILE_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(entry, self.at)?;
        self.at += entry.len() as u64;
        self.file.sync_data()
    }
}

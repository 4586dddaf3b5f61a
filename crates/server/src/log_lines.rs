//! Log lines, on their way to standard error.
//!
//! Whoever reads them may be slow, gone, or a full disk. A thread of its own writes them; nobody
//! else ever waits for standard error. What does not fit in between is dropped and counted, and
//! that is said once lines are taken again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait at most.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// How long the end of the process waits for the last lines to be written.
const LAST_WORDS_TIME: Duration = Duration::from_millis(500);

static WAITING: Waiting = Waiting {
    lines: Mutex::new(Lines { queue: VecDeque::new(), bytes: 0, writing: false }),
    changed: Condvar::new(),
};
static DROPPED: AtomicU64 = AtomicU64::new(0);

struct Waiting {
    lines: Mutex<Lines>,
    changed: Condvar,
}

struct Lines {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    /// One has been taken out and is not written.
    writing: bool,
}

/// Where the lines go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLines;

/// Takes one line.
#[derive(Debug)]
pub(crate) struct LineWriter;

impl LogLines {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(crate) fn start() -> io::Result<Self> {
        thread::Builder::new().name("log-lines".into()).spawn(write_lines)?;
        Ok(Self)
    }
}

impl MakeWriter<'_> for LogLines {
    type Writer = LineWriter;

    fn make_writer(&self) -> LineWriter {
        LineWriter
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = lock();
        if lines.bytes + line.len() > WAITING_BYTES_MAX {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        } else {
            lines.bytes += line.len();
            lines.queue.push_back(line.to_vec());
            WAITING.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many lines have been dropped.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits a moment for the lines that are on their way: the process is about to end.
pub(crate) fn finish() {
    let busy = |lines: &mut Lines| lines.writing || !lines.queue.is_empty();
    // Whoever does not read them by then does not read them.
    drop(WAITING.changed.wait_timeout_while(lock(), LAST_WORDS_TIME, busy));
}

fn write_lines() {
    let mut told = 0;
    loop {
        let mut lines = lock();
        while lines.queue.is_empty() {
            lines.writing = false;
            WAITING.changed.notify_all();
            lines = WAITING.changed.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        let Some(line) = lines.queue.pop_front() else { continue };
        lines.bytes -= line.len();
        lines.writing = true;
        drop(lines);
        // Closed, or the file's disk is full: the next one may fare better.
        if io::stderr().write_all(&line).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let dropped = dropped();
        if dropped > told {
            let lines = dropped - told;
            told = dropped;
            tracing::warn!(lines, "log lines were dropped: standard error was not read, or full");
        }
    }
}

/// Nothing panics while it holds the lock, so what is behind it is whole.
fn lock() -> MutexGuard<'static, Lines> {
    WAITING.lines.lock().unwrap_or_else(PoisonError::into_inner)
}

//! One non-blocking connection: its buffers, and what it waits for.

use crate::workload::Request;
use mio::net::TcpStream;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

/// First and longest pause before a broken connection is tried again.
const BACK_OFF_FIRST: Duration = Duration::from_millis(5);
const BACK_OFF_MAX: Duration = Duration::from_millis(250);
/// Longest unfinished reply, in bytes.
const UNFINISHED_BYTES_MAX: usize = 520 << 20;

/// How far a connection is. Times in nanoseconds of the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Closed { retry_at: u64 },
    Connecting { since: u64 },
    Open,
}

/// What a reply will answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InFlight {
    Authentication {
        since: u64,
    },
    /// A command whose answer doesn't matter.
    Aside {
        since: u64,
    },
    /// A write whose `WAIT` follows. What it answers is kept, since the request ends with the
    /// answer to the `WAIT`.
    Write {
        since: u64,
    },
    Request(Request),
}

impl InFlight {
    fn since(&self) -> u64 {
        match self {
            Self::Authentication { since } | Self::Aside { since } | Self::Write { since } => {
                *since
            }
            Self::Request(request) => request.start,
        }
    }
}

/// A connection of one client to one node.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: u32,
    pub(crate) node: usize,
    pub(crate) stream: Option<TcpStream>,
    pub(crate) phase: Phase,
    /// Bytes to send, of which `sent` are gone.
    pub(crate) out: Vec<u8>,
    sent: usize,
    /// The beginning of a reply that is not whole yet.
    unfinished: Vec<u8>,
    pub(crate) in_flight: VecDeque<InFlight>,
    /// The error that a write was answered with whose `WAIT` is not answered yet.
    pub(crate) refused_write: Option<Vec<u8>>,
    /// Requests that wait for the connection. They were never sent.
    pub(crate) waiting: VecDeque<Request>,
    back_off: Duration,
    pub(crate) was_open: bool,
    /// Whether there is something new to send.
    pub(crate) is_dirty: bool,
}

/// What a read brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Filled {
    /// How many bytes of the buffer are valid.
    pub(crate) bytes: usize,
    /// Whether there may be more.
    pub(crate) more: bool,
    /// Whether the other side has closed.
    pub(crate) closed: bool,
}

impl Connection {
    pub(crate) fn new(client: u32, node: usize) -> Self {
        Self {
            client,
            node,
            stream: None,
            phase: Phase::Closed { retry_at: 0 },
            out: Vec::new(),
            sent: 0,
            unfinished: Vec::new(),
            in_flight: VecDeque::new(),
            refused_write: None,
            waiting: VecDeque::new(),
            back_off: BACK_OFF_FIRST,
            was_open: false,
            is_dirty: false,
        }
    }

    /// Notes that the connection is there. Whether it was there before.
    pub(crate) fn opened(&mut self) -> bool {
        self.phase = Phase::Open;
        std::mem::replace(&mut self.was_open, true)
    }

    /// Notes that the other side answers, so the next failure is a first one.
    pub(crate) fn proved_alive(&mut self) {
        self.back_off = BACK_OFF_FIRST;
    }

    /// Drops the stream and its buffers; a new attempt may be made after a pause.
    pub(crate) fn close(&mut self, now: u64) {
        self.stream = None;
        self.phase = Phase::Closed { retry_at: now + self.back_off.as_nanos() as u64 };
        self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
        self.out.clear();
        self.sent = 0;
        self.unfinished.clear();
        self.refused_write = None;
        self.is_dirty = false;
    }

    /// Since when the oldest of what is in flight waits.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.in_flight.front().map(InFlight::since)
    }

    /// Sends as much as the socket takes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.is_dirty = false;
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while self.sent < self.out.len() {
            match stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads once into `buffer`, behind what was left of the last time.
    pub(crate) fn fill(&mut self, buffer: &mut Vec<u8>) -> io::Result<Filled> {
        let nothing = Filled { bytes: 0, more: false, closed: false };
        let Some(stream) = &mut self.stream else { return Ok(nothing) };
        let kept = self.unfinished.len();
        if kept > UNFINISHED_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if buffer.len() < kept * 2 {
            buffer.resize(kept * 2, 0);
        }
        loop {
            match stream.read(&mut buffer[kept..]) {
                Ok(count) => {
                    buffer[..kept].copy_from_slice(&self.unfinished);
                    self.unfinished.clear();
                    let bytes = kept + count;
                    return Ok(Filled { bytes, more: bytes == buffer.len(), closed: count == 0 });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(nothing),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps the beginning of a reply for the next read.
    pub(crate) fn keep(&mut self, unfinished: &[u8]) {
        self.unfinished.extend_from_slice(unfinished);
    }
}

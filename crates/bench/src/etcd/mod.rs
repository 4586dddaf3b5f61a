//! A load on etcd, to stand beside ours: writes over gRPC, as its own clients send them.
//!
//! etcd's HTTP gateway would be simpler to talk to, but it is a proxy inside the server and
//! costs it CPU; `etcdctl check perf` sends at a fixed rate. So this speaks gRPC, with one thread,
//! like the rest of this crate.
//!
//! Invariant: an answer counts once, and the revisions in the answers must have grown by at least
//! the number of answers, so that nothing counts which etcd has not committed.

mod http2;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fastrand::Rng;
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::cpu;
use crate::keys::Names;
use crate::options::Error;
use crate::recorder::latencies;
use crate::report::{Latency, common_json};
use http2::{Frame, Parsed};

/// What writes call.
const PATH: &str = "/etcdserverpb.KV/Put";
/// Longest value, in bytes: a request fits in what may be sent before the first answer.
const VALUE_BYTES_MAX: usize = 1_024;
/// Most writes in flight of one connection, for the same reason.
const IN_FLIGHT_MAX: usize = 32;
/// Received bytes after which the peer is told that it may send as many again.
const WINDOW_STEP: usize = 16_384;
/// Longest silence, and longest wait for the answers at the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most events taken at once.
const EVENTS_MAX: usize = 64;

/// A load of writes.
#[derive(Clone, Debug)]
pub struct EtcdLoad {
    /// Members to talk to; connections are spread over them. For the best figures, the leader.
    pub addresses: Vec<SocketAddr>,
    /// How many writes are in flight, at most 32 for each connection.
    pub clients: usize,
    /// How many connections carry them.
    pub connections: usize,
    /// How many keys of 16 bytes.
    pub key_count: u64,
    /// Length of a value in bytes, at most 1024.
    pub value_bytes: usize,
    /// How long to run before measuring.
    pub warm_up: Duration,
    /// How long to measure.
    pub duration: Duration,
    /// Processes whose CPU time is measured.
    pub pids: Vec<u32>,
}

/// What was found.
#[derive(Clone, PartialEq, Debug)]
pub struct EtcdReport {
    /// Answered writes a second.
    pub operations_per_second: f64,
    /// Their latency.
    pub latency: Latency,
    /// Calls that failed.
    pub errors: u64,
    /// CPU time of the client for each answered write, in microseconds.
    pub client_cpu_micros: f64,
    /// CPU time of the given processes for each answered write, in microseconds.
    pub server_cpu_micros: f64,
}

impl EtcdReport {
    /// One line of JSON, with the names of [`crate::Report::to_json`].
    #[must_use]
    pub fn to_json(&self) -> String {
        common_json(
            self.operations_per_second,
            &self.latency,
            self.errors,
            (self.client_cpu_micros, self.server_cpu_micros),
        )
    }
}

/// Runs the load. Blocks until it is over.
///
/// # Errors
/// When the numbers make no sense or an address is not loopback, when a member can't be reached
/// or doesn't speak the protocol, and when it answered writes that it can't have committed.
pub fn etcd(load: &EtcdLoad) -> Result<EtcdReport, Error> {
    let refuse = |reason: &str| Err(Error::Refused(reason.to_owned()));
    if load.addresses.is_empty() || load.addresses.iter().any(|it| !it.ip().is_loopback()) {
        return refuse("give loopback addresses of members");
    }
    let bounds = 1..=load.connections.saturating_mul(IN_FLIGHT_MAX);
    if !bounds.contains(&load.clients) || load.connections > load.clients {
        return refuse("each connection carries 1 to 32 writes");
    }
    if load.value_bytes > VALUE_BYTES_MAX || load.key_count == 0 {
        return refuse("values may have 1 KiB, and there must be a key");
    }
    Run::start(load)?.drive()
}

/// A connection and its writes in flight.
struct Connection {
    stream: TcpStream,
    authority: String,
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    /// When each write was sent, and the revision in its answer, by stream.
    in_flight: BTreeMap<u32, (Instant, Option<u64>)>,
    next_stream: u32,
    /// How many bytes of data may still be sent.
    window: usize,
    /// How many were received since the peer was last told.
    received: usize,
    /// How many writes it shall have in flight.
    share: usize,
}

struct Run<'a> {
    load: &'a EtcdLoad,
    poll: Poll,
    connections: Vec<Connection>,
    random: Rng,
    names: Names,
    value: Vec<u8>,
    measure_from: Instant,
    measure_to: Instant,
    latencies: Histogram<u64>,
    errors: u64,
    answers: u64,
    /// Smallest and largest revision that was answered.
    revisions: Option<(u64, u64)>,
}

impl<'a> Run<'a> {
    fn start(load: &'a EtcdLoad) -> Result<Self, Error> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for number in 0..load.connections {
            let address = load.addresses[number % load.addresses.len()];
            let spread = load.clients / load.connections;
            let share = spread + usize::from(number < load.clients % load.connections);
            let mut connection = Connection::open(address, share)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut connection.stream, Token(number), interest)?;
            connections.push(connection);
        }
        let mut random = Rng::with_seed(1);
        let value = (0..load.value_bytes).map(|_| random.u8(b'a'..=b'z')).collect();
        let measure_from = Instant::now() + load.warm_up;
        Ok(Self {
            load,
            poll,
            connections,
            random,
            names: Names::new("key:", load.key_count, 16),
            value,
            measure_from,
            measure_to: measure_from + load.duration,
            latencies: latencies(),
            errors: 0,
            answers: 0,
            revisions: None,
        })
    }

    fn drive(mut self) -> Result<EtcdReport, Error> {
        let me = [std::process::id()];
        let cpu = |load: &EtcdLoad| (cpu::processes(&me), cpu::processes(&load.pids));
        let (mut before, mut after) = (None, None);
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut heard = Instant::now();
        for id in 0..self.connections.len() {
            self.issue(id)?;
        }
        loop {
            self.poll.poll(&mut events, Some(Duration::from_millis(5))).or_else(|error| {
                if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error) }
            })?;
            let now = Instant::now();
            if before.is_none() && now >= self.measure_from {
                before = Some(cpu(self.load));
            }
            if after.is_none() && now >= self.measure_to {
                after = Some(cpu(self.load));
            }
            for event in &events {
                heard = now;
                let id = event.token().0;
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.receive(id)?;
                }
                self.issue(id)?;
            }
            let idle = self.connections.iter().all(|connection| connection.in_flight.is_empty());
            if now >= self.measure_to && idle {
                break;
            }
            if now.duration_since(heard) > PATIENCE {
                return Err(Error::Server("etcd does not answer".into()));
            }
        }
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        self.report(after.0.saturating_sub(before.0), after.1.saturating_sub(before.1))
    }

    fn report(&self, client_cpu: u64, server_cpu: u64) -> Result<EtcdReport, Error> {
        let committed = self.revisions.map_or(0, |(first, last)| last - first + 1);
        if committed < self.answers {
            return Err(Error::Server(format!(
                "{} writes were answered, but only {committed} committed",
                self.answers
            )));
        }
        let micros = |nanos: u64| nanos as f64 / 1e3 / self.latencies.len().max(1) as f64;
        Ok(EtcdReport {
            operations_per_second: self.latencies.len() as f64 / self.load.duration.as_secs_f64(),
            latency: Latency::of(&self.latencies),
            errors: self.errors,
            client_cpu_micros: micros(client_cpu),
            server_cpu_micros: micros(server_cpu),
        })
    }

    /// Fills the connection with writes, as long as there is time, and sends what can be sent.
    fn issue(&mut self, id: usize) -> Result<(), Error> {
        let connection = &mut self.connections[id];
        let now = Instant::now();
        // Twice: a message's own bytes are few beside the value and the key.
        let needed = 2 * (self.value.len() + self.names.len());
        while now < self.measure_to
            && connection.in_flight.len() < connection.share
            && connection.window > needed
        {
            let (mut key, mut message) = (Vec::new(), Vec::new());
            self.names.write(self.random.u64(..self.load.key_count), &mut key);
            http2::write_field(1, &key, &mut message);
            http2::write_field(2, &self.value, &mut message);
            connection.call(&message, now);
        }
        Ok(connection.flush()?)
    }

    /// Reads all that has come.
    fn receive(&mut self, id: usize) -> Result<(), Error> {
        let connection = &mut self.connections[id];
        let open = connection.fill()?;
        let now = Instant::now();
        let input = std::mem::take(&mut connection.input);
        let mut rest = input.as_slice();
        loop {
            match http2::parse(rest) {
                Parsed::Frame(frame, after) => {
                    rest = after;
                    self.frame(id, frame, now)?;
                }
                Parsed::Incomplete => break,
                Parsed::Invalid => return Err(Error::Server("etcd sent an odd frame".into())),
            }
        }
        self.connections[id].input = rest.to_vec();
        if open { Ok(()) } else { Err(Error::Server("etcd closed the connection".into())) }
    }

    fn frame(&mut self, id: usize, frame: Frame<'_>, now: Instant) -> Result<(), Error> {
        let connection = &mut self.connections[id];
        let is_last = frame.flags & http2::END_STREAM != 0;
        match frame.kind {
            http2::DATA => {
                connection.received(frame.payload.len());
                if let Some((_, revision)) = connection.in_flight.get_mut(&frame.stream) {
                    *revision = http2::revision(frame.payload);
                }
            }
            http2::HEADERS if is_last => self.finish(id, frame.stream, now),
            http2::RST_STREAM => self.finish(id, frame.stream, now),
            http2::SETTINGS if frame.flags & http2::ACK == 0 => {
                connection.say(Frame { flags: http2::ACK, payload: &[], ..frame });
            }
            http2::PING if frame.flags & http2::ACK == 0 => {
                connection.say(Frame { flags: http2::ACK, ..frame });
            }
            http2::WINDOW_UPDATE if frame.stream == 0 => {
                let more = frame.payload.try_into().map_or(0, u32::from_be_bytes) & 0x7fff_ffff;
                connection.window = connection.window.saturating_add(more as usize);
            }
            http2::GOAWAY => return Err(Error::Server("etcd ends the connection".into())),
            // Others concern what is not used here.
            _ => {}
        }
        Ok(())
    }

    /// A call has ended.
    fn finish(&mut self, id: usize, stream: u32, now: Instant) {
        let Some((sent, revision)) = self.connections[id].in_flight.remove(&stream) else { return };
        let measuring = (self.measure_from..self.measure_to).contains(&now);
        let Some(revision) = revision else {
            self.errors += u64::from(measuring);
            return;
        };
        self.answers += 1;
        let (first, last) = self.revisions.unwrap_or((revision, revision));
        self.revisions = Some((first.min(revision), last.max(revision)));
        if measuring {
            self.latencies.saturating_record(now.duration_since(sent).as_nanos() as u64);
        }
    }
}

impl Connection {
    fn open(address: SocketAddr, share: usize) -> Result<Self, Error> {
        let stream = std::net::TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|error| Error::Server(format!("{address}: {error}")))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut connection = Self {
            stream: TcpStream::from_std(stream),
            authority: address.to_string(),
            out: http2::PREFACE.to_vec(),
            sent: 0,
            input: Vec::new(),
            in_flight: BTreeMap::new(),
            next_stream: 1,
            window: http2::WINDOW_BYTES,
            received: 0,
            share,
        };
        connection.say(Frame { kind: http2::SETTINGS, flags: 0, stream: 0, payload: &[] });
        Ok(connection)
    }

    fn say(&mut self, frame: Frame<'_>) {
        http2::write(frame, &mut self.out);
    }

    fn call(&mut self, message: &[u8], now: Instant) {
        let (stream, before) = (self.next_stream, self.out.len());
        http2::write_call(PATH, &self.authority, stream, stream == 1, message, &mut self.out);
        // Headers are counted too, which only errs on the safe side.
        self.window = self.window.saturating_sub(self.out.len() - before);
        self.next_stream += 2;
        self.in_flight.insert(stream, (now, None));
    }

    /// Notes data, and lets the peer send as much again.
    fn received(&mut self, bytes: usize) {
        self.received += bytes;
        if self.received >= WINDOW_STEP {
            let more = (self.received as u32).to_be_bytes();
            self.say(Frame { kind: http2::WINDOW_UPDATE, flags: 0, stream: 0, payload: &more });
            self.received = 0;
        }
    }

    /// Sends as much as the socket takes.
    fn flush(&mut self) -> std::io::Result<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads until nothing is left. Whether the connection is still open.
    fn fill(&mut self) -> std::io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

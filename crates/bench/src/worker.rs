//! One load thread: an event loop over its clients and their connections.
//!
//! Every client owns `pipeline` tokens. A token is *ready*, or *outstanding* as exactly one
//! request (in flight on a connection, or waiting for one), or *paused* after an error. The
//! outcome of a request, whatever it is, makes its token ready again, so no load is ever lost.

use crate::connection::{Connection, InFlight, Phase};
use crate::encode::Encoder;
use crate::keys::slot;
use crate::options::{Error, Limit};
use crate::outcome::Readable;
use crate::recorder::Recorder;
use crate::run::Shared;
use crate::topology::{NOBODY, allowed, introduce};
use crate::workload::{Function, Request, Workload};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use resp::encode_request;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often time-outs, pauses and the topology are looked at.
const TICK: Duration = Duration::from_millis(5);
/// How often latencies are handed to the line of progress.
const PUBLISH_NANOS: u64 = 200_000_000;
/// How long after the end what is in flight may still take, beyond its time-out.
const GRACE: Duration = Duration::from_secs(1);
/// How long the reads at the end of a history may take.
const FINAL_READS_MAX: Duration = Duration::from_secs(60);
/// Size of the read buffer, in bytes.
const READ_BYTES: usize = 256 << 10;
/// Most events taken at once.
const EVENTS_MAX: usize = 256;
/// Waits below this are timed by the system's fine clock.
const FINE_WAIT: Duration = Duration::from_millis(3);

/// A client of this thread.
#[derive(Debug)]
pub(crate) struct Client {
    /// The client's number over all threads.
    number: usize,
    /// The node it talks to without a topology.
    pub(crate) home: usize,
    /// Its connection to each node, if it has one.
    connections: Vec<Option<usize>>,
    /// Processes of the history that are free: one for each ready token.
    pub(crate) processes: Vec<u64>,
    sequence: u64,
    /// Tokens that wait until the whole batch is answered.
    held: usize,
}

/// Where requests come from.
#[derive(Debug)]
enum Source {
    /// The workload.
    Load,
    /// The reads at the end of a history that are still to be done.
    FinalReads(Vec<(Function, u64)>),
}

/// One load thread.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    poll: Poll,
    pub(crate) connections: Vec<Connection>,
    pub(crate) clients: Vec<Client>,
    pub(crate) ready: VecDeque<u32>,
    /// Tokens that come back at a time. The times ascend, all pauses being of one length.
    pub(crate) paused: VecDeque<(u64, u32)>,
    pub(crate) outstanding: usize,
    pub(crate) nodes: Vec<SocketAddr>,
    pub(crate) slots: Vec<u16>,
    topology_version: u64,
    workload: Workload,
    pub(crate) encoder: Encoder,
    pub(crate) recorder: Recorder,
    source: Source,
    final_reads: Vec<(Function, u64)>,
    /// Open loop: when the next request is due, and how far apart they are, in nanoseconds.
    next_due: f64,
    step: Option<f64>,
    /// How many requests may still be begun.
    budget: u64,
    pub(crate) dirty: Vec<usize>,
    pub(crate) fatal: Option<Error>,
    pub(crate) buffer: Vec<u8>,
    key: Vec<u8>,
}

/// What a thread is given.
pub(crate) struct Assignment {
    pub(crate) thread: usize,
    pub(crate) workload: Workload,
    pub(crate) encoder: Encoder,
    pub(crate) recorder: Recorder,
    pub(crate) final_reads: Vec<(Function, u64)>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, assignment: Assignment) -> Result<Self, Error> {
        let options = &shared.options;
        let (thread, threads) = (assignment.thread, options.threads);
        let numbers = (thread..options.clients).step_by(threads);
        let clients: Vec<Client> = numbers
            .map(|number| Client {
                number,
                home: number % options.addresses.len(),
                connections: Vec::new(),
                processes: (0..options.pipeline).map(|_| shared.new_process()).collect(),
                sequence: 0,
                held: 0,
            })
            .collect();
        let tokens = (0..clients.len() * options.pipeline)
            .map(|token| (token % clients.len()) as u32)
            .collect();
        let share = threads as f64;
        let budget = match options.limit {
            Limit::Duration(_) => u64::MAX,
            Limit::Requests(requests) => {
                let (threads, thread) = (threads as u64, thread as u64);
                requests / threads + u64::from(thread < requests % threads)
            }
        };
        let step = options.rate.map(|rate| 1e9 * share / rate);
        let mut worker = Self {
            poll: Poll::new()?,
            connections: Vec::new(),
            clients,
            ready: tokens,
            paused: VecDeque::new(),
            outstanding: 0,
            nodes: options.addresses.clone(),
            slots: Vec::new(),
            topology_version: 0,
            workload: assignment.workload,
            encoder: assignment.encoder,
            recorder: assignment.recorder,
            source: Source::Load,
            final_reads: assignment.final_reads,
            next_due: step.unwrap_or(0.0) * thread as f64 / share,
            step,
            budget,
            dirty: Vec::new(),
            fatal: None,
            buffer: vec![0; READ_BYTES],
            key: Vec::new(),
            shared,
        };
        worker.adopt_topology();
        Ok(worker)
    }

    /// Puts the load on, and waits for what is outstanding at the end.
    pub(crate) fn load(&mut self) -> Result<(), Error> {
        let (from, to) = (self.shared.measure_from, self.shared.measure_to);
        self.drive(to)?;
        let now = self.shared.now();
        if !self.recorder.is_measuring() && self.recorder.measured.to == 0 {
            self.recorder.begin(&self.shared.progress, from);
        }
        self.recorder.end(&self.shared.progress, now.min(to));
        self.recorder.publish(&self.shared.progress);
        Ok(())
    }

    /// Reads every key of this thread once more.
    pub(crate) fn read_finally(&mut self) -> Result<(), Error> {
        let reads = std::mem::take(&mut self.final_reads);
        if !reads.is_empty() {
            self.source = Source::FinalReads(reads);
            self.budget = u64::MAX;
            self.drive(self.shared.now() + FINAL_READS_MAX.as_nanos() as u64)?;
        }
        Ok(self.recorder.finish()?)
    }

    /// Issues requests until `stop_at` or until there are none left, then waits for the rest.
    fn drive(&mut self, stop_at: u64) -> Result<(), Error> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let patience = (self.shared.options.timeout + GRACE).as_nanos() as u64;
        let mut give_up_at = stop_at.saturating_add(patience);
        let (mut next_tick, mut next_publish) = (0, 0);
        let mut more = true;
        loop {
            let now = self.shared.now();
            if now >= next_tick {
                next_tick = now + TICK.as_nanos() as u64;
                self.maintain(now);
                if now >= next_publish {
                    next_publish = now + PUBLISH_NANOS;
                    self.recorder.publish(&self.shared.progress);
                }
            }
            if more {
                more = self.issue(now, stop_at);
                if !more {
                    give_up_at = now.saturating_add(patience);
                }
            }
            self.flush_dirty(now);
            if let Some(error) = self.fatal.take() {
                self.shared.stopped.store(true, Ordering::Relaxed);
                return Err(error);
            }
            if self.shared.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            if !more && (self.outstanding == 0 || now > give_up_at) {
                self.abandon(now);
                return Ok(());
            }
            let wait = Duration::from_nanos(next_tick - now.min(next_tick));
            self.wait(&mut events, if more { self.until_due(wait, now) } else { wait })?;
            for event in &events {
                let readable = match () {
                    () if event.is_read_closed() || event.is_error() => Readable::ToTheEnd,
                    () if event.is_readable() => Readable::Yes,
                    () => Readable::No,
                };
                let now = self.handle(event.token().0, readable, event.is_writable());
                more = more && self.issue(now, stop_at);
                self.flush_dirty(now);
            }
        }
    }

    /// Waits for events. Fractions of a millisecond count, since requests are due at them.
    fn wait(&mut self, events: &mut Events, wait: Duration) -> Result<(), Error> {
        let mut rest = Some(wait);
        if self.step.is_some() && !wait.is_zero() && wait < FINE_WAIT {
            let mut files =
                [rustix::event::PollFd::new(self.poll.registry(), rustix::event::PollFlags::IN)];
            let wait =
                rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
            // An interruption only makes the wait shorter.
            let _ = rustix::event::poll(&mut files, Some(&wait));
            rest = Some(Duration::ZERO);
        }
        match self.poll.poll(events, rest) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn until_due(&self, wait: Duration, now: u64) -> Duration {
        match self.step {
            Some(_) if !self.ready.is_empty() && matches!(self.source, Source::Load) => {
                wait.min(Duration::from_nanos((self.next_due as u64).saturating_sub(now)))
            }
            Some(_) | None => wait,
        }
    }

    /// Begins as many requests as are due and have a token. Whether there may be more later.
    fn issue(&mut self, now: u64, stop_at: u64) -> bool {
        if now >= self.shared.measure_from
            && now < stop_at
            && self.recorder.measured.from == 0
            && !self.recorder.is_measuring()
            && matches!(self.source, Source::Load)
        {
            self.recorder.begin(&self.shared.progress, now.max(1));
        }
        if now >= stop_at {
            if let (Some(step), Source::Load) = (self.step, &self.source) {
                let missed = ((stop_at as f64 - self.next_due) / step).floor();
                self.recorder.measured.unsent = missed.max(0.0) as u64;
            }
            self.recorder.end(&self.shared.progress, now);
            return false;
        }
        while self.budget > 0 {
            let due = match (&self.source, self.step) {
                (Source::Load, Some(_)) if self.next_due as u64 > now => return true,
                (Source::Load, Some(_)) => self.next_due as u64,
                (Source::Load, None) => now,
                (Source::FinalReads(reads), _) if reads.is_empty() => return self.outstanding > 0,
                (Source::FinalReads(_), _) => now,
            };
            let Some(client) = self.ready.pop_front() else { return true };
            let number = self.clients[client as usize].number;
            let (function, key) = match &mut self.source {
                Source::Load => self.workload.next(number),
                Source::FinalReads(reads) => reads.pop().expect("looked at above"),
            };
            self.next_due += self.step.unwrap_or(0.0);
            self.budget -= 1;
            self.outstanding += 1;
            let entry = &mut self.clients[client as usize];
            entry.sequence += 1;
            let request = Request {
                function,
                key,
                client,
                redirections: 0,
                process: entry.processes.pop().expect("every ready token has a process"),
                sequence: entry.sequence,
                due,
                start: now,
            };
            self.dispatch(request, now);
        }
        false
    }

    /// The outcome of a request is noted; its token is ready again, or at `rest_until`. With
    /// batches, all tokens of the client are when the last of them is.
    pub(crate) fn settle(&mut self, request: &Request, process: u64, rest_until: Option<u64>) {
        self.outstanding -= 1;
        let client = &mut self.clients[request.client as usize];
        client.processes.push(process);
        let mut tokens = 1;
        if self.shared.options.batch {
            client.held += 1;
            if client.held < self.shared.options.pipeline {
                return;
            }
            tokens = std::mem::take(&mut client.held);
        }
        for _ in 0..tokens {
            match rest_until {
                Some(until) => self.paused.push_back((until, request.client)),
                None => self.ready.push_back(request.client),
            }
        }
    }

    /// A read at the end that failed is to be done again.
    pub(crate) fn read_again(&mut self, request: &Request) {
        if let Source::FinalReads(reads) = &mut self.source {
            reads.push((request.function, request.key));
        }
    }

    /// The node that is thought to hold the request's key, and the stall range.
    pub(crate) fn route(&mut self, request: &Request) -> (usize, usize) {
        let home = self.clients[request.client as usize].home;
        if self.slots.is_empty() && self.shared.range_of_slot.is_empty() {
            return (home, 0);
        }
        self.key.clear();
        self.encoder.write_key(request, &mut self.key);
        let slot = slot(&self.key);
        let range = self.shared.range_of_slot.get(slot).map_or(0, |&range| usize::from(range));
        let node = match self.slots.get(slot) {
            Some(&NOBODY) => home % self.nodes.len(),
            Some(&node) => usize::from(node),
            None => home,
        };
        (node, range)
    }

    /// Sends a request to the node that is thought to hold its key.
    pub(crate) fn dispatch(&mut self, request: Request, now: u64) {
        let (node, range) = self.route(&request);
        self.recorder.attempt(range);
        let id = self.connection(request.client, node);
        let connection = &mut self.connections[id];
        match connection.phase {
            Phase::Open => self.send(id, request),
            Phase::Connecting { .. } => connection.waiting.push_back(request),
            Phase::Closed { retry_at } => {
                connection.waiting.push_back(request);
                if retry_at <= now {
                    self.connect(id, now);
                }
            }
        }
    }

    /// Sends a request on an open connection.
    pub(crate) fn send(&mut self, id: usize, request: Request) {
        let connection = &mut self.connections[id];
        self.encoder.write(&request, &mut connection.out);
        if self.encoder.waits(&request) {
            self.encoder.write_wait(&mut connection.out);
            connection.in_flight.push_back(InFlight::Write { since: request.start });
        }
        connection.in_flight.push_back(InFlight::Request(request));
        self.mark_dirty(id);
    }

    pub(crate) fn mark_dirty(&mut self, id: usize) {
        if !std::mem::replace(&mut self.connections[id].is_dirty, true) {
            self.dirty.push(id);
        }
    }

    /// The client's connection to the node, made if there is none.
    pub(crate) fn connection(&mut self, client: u32, node: usize) -> usize {
        let known = &mut self.clients[client as usize].connections;
        if node >= known.len() {
            known.resize(node + 1, None);
        }
        let next = self.connections.len();
        let id = *known[node].get_or_insert(next);
        if id == next {
            self.connections.push(Connection::new(client, node));
        }
        id
    }

    pub(crate) fn connect(&mut self, id: usize, now: u64) {
        let address = self.nodes[self.connections[id].node];
        let stream = TcpStream::connect(address).and_then(|mut stream| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(id), interest)?;
            Ok(stream)
        });
        match stream {
            Ok(stream) => {
                self.connections[id].stream = Some(stream);
                self.connections[id].phase = Phase::Connecting { since: now };
            }
            Err(error) => self.lose(id, &error.to_string(), now),
        }
    }

    /// Gives the password, says who this is, and sends what waits.
    pub(crate) fn greet(&mut self, id: usize, now: u64) {
        let reconnected = self.connections[id].opened();
        if reconnected && self.recorder.is_measuring() {
            self.recorder.measured.reconnects += 1;
        }
        if let Some(password) = &self.shared.options.password {
            let connection = &mut self.connections[id];
            encode_request(&["AUTH".as_bytes(), password.as_bytes()], &mut connection.out);
            connection.in_flight.push_back(InFlight::Authentication { since: now });
            self.mark_dirty(id);
        }
        if self.shared.options.cluster {
            let connection = &mut self.connections[id];
            introduce(&mut connection.out);
            connection.in_flight.push_back(InFlight::Aside { since: now });
            self.mark_dirty(id);
        }
        for request in std::mem::take(&mut self.connections[id].waiting) {
            self.dispatch(request, now);
        }
    }

    fn flush_dirty(&mut self, now: u64) {
        while let Some(id) = self.dirty.pop() {
            if let Err(error) = self.connections[id].flush() {
                self.lose(id, &error.to_string(), now);
            }
        }
    }

    /// Looks after time-outs, pauses, connections to be tried again, and the topology.
    fn maintain(&mut self, now: u64) {
        while let Some(&(until, client)) = self.paused.front()
            && until <= now
        {
            self.paused.pop_front();
            self.ready.push_back(client);
        }
        let news = self.shared.topology_version.load(Ordering::Relaxed) != self.topology_version;
        if news {
            self.adopt_topology();
        }
        let timeout = self.shared.options.timeout.as_nanos() as u64;
        for id in 0..self.connections.len() {
            self.expire_waiting(id, now, timeout);
            let connection = &self.connections[id];
            match connection.phase {
                Phase::Closed { retry_at } => {
                    if connection.waiting.is_empty() {
                        continue;
                    }
                    // Whoever waits for a dead node wants to know who holds its slots now.
                    self.shared.refresh_wanted.store(true, Ordering::Relaxed);
                    if retry_at <= now || news {
                        // The holder may have changed meanwhile.
                        for request in std::mem::take(&mut self.connections[id].waiting) {
                            self.dispatch(request, now);
                        }
                    }
                }
                Phase::Connecting { since } => {
                    if since + timeout < now {
                        self.lose(id, "TIMEOUT of a connection attempt", now);
                    }
                }
                Phase::Open => {
                    if connection.oldest().is_some_and(|since| since + timeout < now) {
                        self.lose(id, "TIMEOUT", now);
                    }
                }
            }
        }
    }

    /// Takes over the latest picture of the cluster.
    fn adopt_topology(&mut self) {
        let shared = self.shared.clone();
        let Some(latest) = &*shared.topology.lock().expect("no thread panics with the lock") else {
            return;
        };
        self.topology_version = shared.topology_version.load(Ordering::Relaxed);
        let nodes: Vec<u16> = latest
            .nodes
            .iter()
            .map(|&address| self.node(address).map_or(NOBODY, |node| node as u16))
            .collect();
        let local = |&node: &u16| nodes.get(usize::from(node)).copied().unwrap_or(NOBODY);
        self.slots = latest.slots.iter().map(local).collect();
    }

    /// The number of the node with this address, if it may be talked to.
    pub(crate) fn node(&mut self, address: SocketAddr) -> Option<usize> {
        if let Some(known) = self.nodes.iter().position(|&node| node == address) {
            return Some(known);
        }
        if !allowed(&self.shared.options, address) || self.nodes.len() >= crate::topology::NODES_MAX
        {
            return None;
        }
        self.nodes.push(address);
        Some(self.nodes.len() - 1)
    }
}

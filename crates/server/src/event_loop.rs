//! The event loop: one thread that moves bytes between sockets, the log thread and the core.
//!
//! A turn: wait; take what has arrived, by urgency (beats, the log's news, other nodes, clients);
//! let the core settle once; perform its outputs; write to each socket once. Everything that
//! arrives together thus costs one log write, one write to each node and one to each client. See
//! `docs/adr/0004-event-loop.md`.
//!
//! Nothing here decides anything about leases, and nothing here waits but for the poller.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::Node;
use cluster::{Event, Histogram, Input, Output, ProcessStats};
use mio::{Events, Poll, Token, Waker};
use types::{Incarnation, Life, Monotonic};

use crate::clients::Clients;
use crate::config::Config;
use crate::core::Core;
use crate::log_reader::LogReader;
use crate::log_thread::{LogFigures, LogThread, News};
use crate::peer_frame::Purpose;
use crate::peer_transport::{INTAKES_MAX, LINKS_MAX, PeerTokens, PeerTransport};
use crate::round_trips::RoundTrips;
use crate::signals::Signals;
use crate::{allocator, clock, events, exit, http, log_lines, process_stats};

const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const CLIENT_ACCEPTOR: Token = Token(2);
const PEER_ACCEPTOR: Token = Token(3);
const LINKS: usize = 16;
const INTAKES: usize = LINKS + LINKS_MAX;
const CLIENTS: usize = INTAKES + INTAKES_MAX;

/// Events that the poller reports at once.
const EVENTS_MAX: usize = 1024;
/// The buffer that all sockets are read into.
const READ_BYTES: usize = 64 << 10;
/// How often the rare things are done: idle connections, process figures.
const HOUSEKEEPING_TIME: Duration = Duration::from_secs(1);
/// How long a node without leases still passes on what is sent to it, before the other nodes and
/// the clients have heard who holds its shards now. Of what it left unread, nobody would know the
/// outcome.
const FAREWELL_TIME: Duration = Duration::from_millis(200);
/// How long clients that are owed something may hold the end of the process up.
const PART_TIME: Duration = Duration::from_secs(2);

/// How far the process is from its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Running,
    /// Leases are being handed over. Clients come and are served: as long as a shard is here, or
    /// was a moment ago, they are sent here.
    Stopping {
        until: Monotonic,
    },
    /// There are no leases left; what still arrives is passed on, and clients that know the other
    /// nodes are sent there.
    Leaving {
        until: Monotonic,
    },
    /// The other nodes need this one no more; clients get their replies and are parted with.
    Parting {
        until: Monotonic,
    },
    Ended,
    /// What the node knew is void: it starts anew on its directory.
    Void,
}

/// What is to be done when an event loop has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// The process ends.
    Stopped,
    /// The node is to be started again in this process: its directory had gone back in time, and
    /// says so by now.
    BeginAnew,
}

/// The pieces that an event loop is made of before it has sockets.
pub(crate) struct Parts {
    /// The state machine.
    pub(crate) node: Node,
    /// This start's number, and its life.
    pub(crate) life: (Incarnation, Life),
    /// The thread that owns the log.
    pub(crate) log: LogThread,
    /// The thread that reads it again.
    pub(crate) reader: LogReader,
    /// The poller that `waker` wakes.
    pub(crate) poll: Poll,
    /// Wakes the event loop from other threads.
    pub(crate) waker: Arc<Waker>,
}

/// A poller, and what other threads wake it with.
///
/// # Errors
/// If the system has no file descriptors left.
pub(crate) fn poller() -> io::Result<(Poll, Arc<Waker>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    Ok((poll, waker))
}

/// One node's sockets, log and core.
pub(crate) struct EventLoop {
    poll: Poll,
    core: Core,
    log: LogThread,
    reader: LogReader,
    peers: PeerTransport,
    clients: Clients,
    signals: Signals,
    buffer: Box<[u8]>,
    stage: Stage,
    stop_time: Duration,
    next_housekeeping: Monotonic,
    /// How long turns with something to do have taken since the last housekeeping.
    turns: Histogram,
    round_trips: RoundTrips,
    /// What the node can do.
    capacity: ProcessStats,
}

impl EventLoop {
    /// Opens all sockets.
    ///
    /// # Errors
    /// If an address can't be listened at; says which one.
    pub(crate) fn new(config: &Config, parts: Parts) -> io::Result<Self> {
        let Parts { node, life, log, reader, poll, waker } = parts;
        let settings = config.settings();
        let own = settings.members.iter().find(|member| member.node == settings.node);
        let own = own.ok_or_else(|| io::Error::other("this node is not a member"))?;
        let registry = poll.registry();
        let client_address = SocketAddr::new(config.listen, own.port);
        let peer_address = SocketAddr::new(config.peer_listen, own.peer_port);
        let clients = Clients::bind(config, client_address, registry, CLIENT_ACCEPTOR, CLIENTS)
            .map_err(|error| cannot_listen("clients", client_address, &error))?;
        let tokens = PeerTokens { acceptor: PEER_ACCEPTOR, links: LINKS, intakes: INTAKES };
        let peers = PeerTransport::bind(config, life, peer_address, registry, waker, tokens)
            .map_err(|error| cannot_listen("the other nodes", peer_address, &error))?;
        let signals = Signals::catch(registry, SIGNALS)?;
        tracing::info!(clients = %client_address, peers = %peer_address, "listening");
        Ok(Self {
            poll,
            core: Core::new(node),
            log,
            reader,
            peers,
            clients,
            signals,
            buffer: vec![0; READ_BYTES].into(),
            stage: Stage::Running,
            stop_time: config.stop_time,
            next_housekeeping: Monotonic::default(),
            turns: Histogram::default(),
            round_trips: RoundTrips::open(),
            capacity: process_stats::capacity(config),
        })
    }

    /// Serves until the process is asked to end.
    ///
    /// # Errors
    /// If the poller fails, which no program survives.
    pub(crate) fn run(mut self) -> io::Result<Ending> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !matches!(self.stage, Stage::Ended | Stage::Void) {
            self.wait(&mut events)?;
            self.turn(&events);
        }
        self.log.stop();
        self.reader.stop();
        if self.stage == Stage::Void {
            return Ok(Ending::BeginAnew);
        }
        tracing::info!("stopped");
        Ok(Ending::Stopped)
    }

    /// Waits for events, but no longer than until something is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let stage = match self.stage {
            Stage::Running => Monotonic::NEVER,
            Stage::Stopping { until } | Stage::Leaving { until } | Stage::Parting { until } => {
                until
            }
            Stage::Ended | Stage::Void => Monotonic::default(),
        };
        let deadline = (self.core.next_deadline())
            .min(self.peers.next_deadline())
            .min(self.clients.next_deadline())
            .min(self.next_housekeeping)
            .min(stage);
        let timeout = deadline.since(clock::monotonic());
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    /// One turn: inputs by urgency, one settling, outputs, writes.
    fn turn(&mut self, events: &Events) {
        let begun = clock::monotonic();
        self.note(events);
        self.peers.receive(Purpose::Priority, &mut self.core, &mut self.buffer);
        self.take_news();
        self.peers.receive(Purpose::Data, &mut self.core, &mut self.buffer);
        self.clients.accept(&mut self.core);
        self.clients.serve(&mut self.core, &mut self.buffer);
        let now = clock::monotonic();
        self.peers.maintain(now);
        self.keep_house(now);
        self.core.settle();
        self.perform();
        self.peers.flush(&mut self.core);
        self.clients.flush(&mut self.core);
        let now = clock::monotonic();
        self.advance_stage(now);
        if !events.is_empty() {
            self.turns.record(now.since(begun));
        }
    }

    /// Notes which sockets are ready. Nothing is closed meanwhile, so every event still belongs
    /// to the socket that it was reported for.
    fn note(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                // Whatever the waker announces is looked at in every turn.
                WAKER => {}
                SIGNALS => self.take_signals(),
                CLIENT_ACCEPTOR => self.clients.wake_acceptor(),
                PEER_ACCEPTOR => self.peers.wake_acceptor(),
                token if token.0 >= CLIENTS => self.clients.note(event),
                token if token.0 >= INTAKES => self.peers.note_intake(event),
                token => self.peers.proceed(token, &mut self.core),
            }
        }
        self.peers.accept();
    }

    fn take_news(&mut self) {
        let News { durable, space } = self.log.take_news();
        if let Some(durable) = durable {
            self.core.step(Input::Persisted(durable));
        }
        if let Some(space) = space {
            self.core.step(Input::DiskSpace(space));
        }
        for (id, part) in self.reader.take() {
            self.core.step(Input::LogRead { id, part });
        }
    }

    fn take_signals(&mut self) {
        for _ in 0..self.signals.count() {
            if self.stage != Stage::Running {
                tracing::warn!("asked twice to stop: stopping at once");
                exit::now(exit::INTERRUPTED);
            }
            tracing::info!(at_most = ?self.stop_time, "asked to stop: handing all leases over");
            self.stage = Stage::Stopping { until: clock::monotonic() + self.stop_time };
            self.core.step(Input::Stop);
        }
    }

    fn keep_house(&mut self, now: Monotonic) {
        if now < self.next_housekeeping {
            return;
        }
        self.next_housekeeping = now + HOUSEKEEPING_TIME;
        allocator::give_back();
        self.clients.sweep(&mut self.core);
        self.peers.sweep(now);
        http::note_readiness(match self.stage {
            Stage::Running => self.core.node.readiness(),
            Stage::Stopping { .. }
            | Stage::Leaving { .. }
            | Stage::Parting { .. }
            | Stage::Ended
            | Stage::Void => Err(String::from("stopping: its leases go to other nodes")),
        });
        let LogFigures { log_bytes, disk_free_bytes } = self.log.figures();
        self.clients.measure_round_trips(&mut self.round_trips, &mut self.core);
        let (input_bytes, output_bytes) = self.clients.traffic();
        let (peer_input_bytes, peer_output_bytes) = self.peers.traffic();
        let capacity = self.capacity;
        self.core.node.update_process_stats(ProcessStats {
            input_bytes,
            output_bytes,
            peer_input_bytes,
            peer_output_bytes,
            log_bytes,
            disk_free_bytes,
            log_lines_dropped: log_lines::dropped(),
            turn_p99: std::mem::take(&mut self.turns).percentile(990),
            capacity_cpu: capacity.capacity_cpu,
            capacity_memory: capacity.capacity_memory,
            capacity_network: capacity.capacity_network,
            capacity_log: capacity.capacity_log,
            ..process_stats::read()
        });
    }

    /// Performs what the core wants done.
    fn perform(&mut self) {
        let mut outputs = std::mem::take(&mut self.core.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Persist { write, payload } => self.log.append(write, payload),
                Output::Send { to, message } => self.peers.send(to, &message),
                Output::Replies { session } => self.clients.take_replies(session, &mut self.core),
                Output::Resume { session } => self.clients.resume(session),
                Output::Close { session } => self.clients.close(session, &mut self.core),
                Output::Release { segment } => self.log.release(segment),
                Output::ReadLog { id, place, bytes } => self.reader.read(id, place, bytes),
                Output::Members(members) => self.peers.set_members(&members, &mut self.core),
                Output::Observe(event) => {
                    if event == Event::Removed {
                        http::note_removed();
                        self.peers.hush();
                    }
                    events::log(&event);
                }
                Output::BeginAnew => self.stage = Stage::Void,
                // If time has run out meanwhile, it is too late for that.
                Output::Stopped if matches!(self.stage, Stage::Parting { .. }) => {}
                Output::Stopped => {
                    let until = clock::monotonic() + FAREWELL_TIME;
                    self.stage = Stage::Leaving { until };
                    self.clients.close_door(&mut self.core);
                }
            }
        }
        // The room is kept for the next turn.
        self.core.outputs = outputs;
    }

    fn advance_stage(&mut self, now: Monotonic) {
        match self.stage {
            Stage::Running | Stage::Ended | Stage::Void => {}
            Stage::Stopping { until } => {
                if now >= until {
                    tracing::warn!("could not hand all leases over in time (setting stop_time)");
                    self.clients.close_door(&mut self.core);
                    self.stage = Stage::Parting { until: now + PART_TIME };
                }
            }
            Stage::Leaving { until } => {
                if now >= until {
                    self.stage = Stage::Parting { until: now + PART_TIME };
                }
            }
            Stage::Parting { until } => {
                self.clients.part(&mut self.core);
                if self.clients.have_parted() {
                    self.stage = Stage::Ended;
                } else if now >= until {
                    tracing::warn!("some clients were owed replies when the node ended");
                    self.stage = Stage::Ended;
                }
            }
        }
    }
}

fn cannot_listen(whom: &str, address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "cannot listen for {whom} at {address}: {error}.\n\
             To fix it: end the process that uses the port (`ss -ltnp` shows it), or give this \
             node another port in `members`, on every node."
        ),
    )
}

//! All clients' connections: accepting, serving in turn, writing, ending.
//!
//! Fairness: a turn serves each connection at most once, and stops when it has done enough;
//! whoever was not served comes first in the next turn. So no client can delay the heartbeats,
//! which have a turn's first place.
//!
//! A client that does not read its replies is answered no more when a few megabytes wait for it:
//! its further requests are kept as they are, which takes less room than what they ask for.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use cluster::{ClientAddress, Input};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use resp::{Protocol, Reply, RequestLimits, Sink};
use slab::Slab;
use smallvec::SmallVec;
use types::limits::{ARGUMENT_BYTES_MAX, REQUEST_BYTES_MAX, UNREAD_BYTES_MAX};
use types::{Monotonic, SessionId};

use crate::client_connection::{ClientConnection, Phase, Work};
use crate::clock;
use crate::config::Config;
use crate::core::Core;
use crate::descriptors;
use crate::round_trips::RoundTrips;
use crate::socket::{Acceptor, prepare};

/// Connections whose round trips are asked for at once, and how many places are searched for them:
/// one costs some microseconds.
const ROUND_TRIPS_MAX: usize = 32;
const ROUND_TRIP_PLACES: usize = 1024;
/// How long a client may take to read its last replies.
const FINISH_TIME: Duration = Duration::from_secs(30);
/// How long a client may take to close its side after the last reply.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Room in a request for what is beside its longest argument, in bytes.
const REQUEST_OVERHEAD: usize = 1 << 20;

const DENIED: &str = "DENIED Leasehold is running in protected mode: no password is set, so only \
    clients on the same machine are served. Either set a password (setting `password`, then AUTH \
    it), or turn protected mode off (setting `protected_mode`) if the network keeps strangers out.";

/// What the configuration says about clients.
#[derive(Debug)]
struct Rules {
    /// As configured; arguments may be longer or shorter by now, see [`limits_now`].
    limits: RequestLimits,
    protected_mode: bool,
    password_time: Duration,
    idle_time: Duration,
}

/// The clients' side of the server.
pub(crate) struct Clients {
    /// None once new clients are turned away.
    acceptor: Option<Acceptor>,
    local: String,
    registry: Registry,
    first_token: usize,
    rules: Rules,
    /// Connections that may be on their way out beside those that are served.
    leaving_max: usize,
    connections: Slab<ClientConnection>,
    sessions: HashMap<SessionId, usize, RandomState>,
    /// Connections that may have something to do, each at most once.
    queue: VecDeque<usize>,
    /// Connections with something to write, each at most once.
    unwritten: Vec<usize>,
    input_bytes: u64,
    output_bytes: u64,
    /// The connection whose round trip is asked for next.
    next_round_trip: usize,
}

impl Clients {
    /// Listens for clients. Events of connections carry tokens from `first_token` on.
    ///
    /// # Errors
    /// If the address can't be listened at.
    pub(crate) fn bind(
        config: &Config,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
        first_token: usize,
    ) -> io::Result<Self> {
        let settings = config.settings();
        let limits = RequestLimits {
            argument_bytes: settings.argument_bytes,
            request_bytes: usize::try_from(config.request_bytes).unwrap_or(usize::MAX),
            ..RequestLimits::LARGEST
        };
        let shares = descriptors::share_out(descriptors::raise(), settings.members.len() as u64);
        let rules = Rules {
            limits,
            protected_mode: config.protected_mode,
            password_time: config.password_time,
            idle_time: config.client_idle_time,
        };
        Ok(Self {
            acceptor: Some(Acceptor::bind(address, registry, token)?),
            local: address.to_string(),
            registry: registry.try_clone()?,
            first_token,
            rules,
            leaving_max: usize::try_from(shares.leaving).unwrap_or(usize::MAX),
            connections: Slab::new(),
            sessions: HashMap::default(),
            queue: VecDeque::new(),
            unwritten: Vec::new(),
            input_bytes: 0,
            output_bytes: 0,
            next_round_trip: 0,
        })
    }

    /// Says that clients wait to be accepted.
    pub(crate) fn wake_acceptor(&mut self) {
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.wake();
        }
    }

    /// Turns new clients away from now on: the system refuses them, so that they know at once that
    /// nothing was executed. Those that wait are taken in.
    pub(crate) fn close_door(&mut self, core: &mut Core) {
        self.wake_acceptor();
        self.accept(core);
        self.acceptor = None;
    }

    /// Parts with the clients that are owed nothing. Whoever has asked for something is answered
    /// first; a client that is told between two requests that the connection is over knows that
    /// nothing of it is lost.
    pub(crate) fn part(&mut self, core: &mut Core) {
        let mut idle: SmallVec<[usize; 64]> = SmallVec::new();
        for (index, connection) in &mut self.connections {
            let owed = connection.session.map_or(0, |session| core.node.outstanding(session));
            if owed == 0 && connection.is_between_requests() {
                idle.push(index);
            }
        }
        for index in idle {
            self.finish(index, core);
        }
        self.flush(core);
    }

    /// Whether all clients that are owed something have it.
    pub(crate) fn have_parted(&self) -> bool {
        self.connections.iter().all(|(_, connection)| match connection.phase {
            Phase::Open | Phase::HalfClosed => false,
            Phase::Finishing | Phase::Lingering | Phase::Ended => connection.output.is_empty(),
        })
    }

    /// When this side has something to do, at the latest.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        let acceptor = self.acceptor.as_ref().map_or(Monotonic::NEVER, Acceptor::next_deadline);
        let works = !self.queue.is_empty() || !self.unwritten.is_empty();
        if works { Monotonic::default() } else { acceptor }
    }

    /// Notes what the poller says about a connection.
    pub(crate) fn note(&mut self, event: &Event) {
        let index = event.token().0 - self.first_token;
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.readable |= event.is_readable() || event.is_read_closed();
        connection.read_closed |= event.is_read_closed();
        let broken = event.is_error();
        if broken {
            connection.phase = Phase::Ended;
        }
        if broken || event.is_writable() && !connection.output.is_empty() {
            self.enlist(index);
        }
        self.enqueue(index);
    }

    /// Puts a connection at the end of the queue if it has something to do.
    fn enqueue(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.has_work() && !connection.queued {
            connection.queued = true;
            self.queue.push_back(index);
        }
    }

    /// Puts a connection on the list of those to write to, or to end.
    fn enlist(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if !connection.unwritten {
            connection.unwritten = true;
            self.unwritten.push(index);
        }
    }

    /// Accepts clients that wait.
    pub(crate) fn accept(&mut self, core: &mut Core) {
        let mut accepted: SmallVec<[(TcpStream, SocketAddr); 8]> = SmallVec::new();
        let Some(acceptor) = &mut self.acceptor else { return };
        acceptor.accept(|stream, address| accepted.push((stream, address)));
        for (stream, address) in accepted {
            self.add(stream, address, core);
        }
    }

    fn add(&mut self, mut stream: TcpStream, address: SocketAddr, core: &mut Core) {
        let full = self.connections.len() >= core.node.clients_max() + self.leaving_max;
        if full || prepare(&stream).is_err() {
            return;
        }
        let now = clock::now();
        let protected = self.rules.protected_mode && !core.node.has_password();
        let admitted = if protected && !is_local(&address) {
            Err(DENIED)
        } else {
            let host = address.ip().to_canonical().to_string();
            let client = ClientAddress { host, port: address.port(), local: self.local.clone() };
            core.node.connect(now, client)
        };
        let entry = self.connections.vacant_entry();
        let index = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(self.first_token + index);
        if let Err(error) = self.registry.register(&mut stream, token, interest) {
            tracing::warn!(%error, client = %address, "cannot watch a connection; closing it");
            if let Ok(session) = admitted {
                core.step(Input::Disconnected { session });
            }
            return;
        }
        let mut connection = ClientConnection::new(stream, admitted.ok(), now.monotonic);
        if let Err(text) = admitted {
            tracing::debug!(client = %address, text, "refused a client");
            Reply::new(connection.output.tail(), Protocol::Resp2).error(text);
        }
        entry.insert(connection);
        if let Ok(session) = admitted {
            self.sessions.insert(session, index);
        } else {
            self.enlist(index);
        }
    }

    /// Serves connections until the turn has done enough.
    pub(crate) fn serve(&mut self, core: &mut Core, buffer: &mut [u8]) {
        let mut work = Work::new(clock::monotonic());
        let limits = limits_now(self.rules.limits, core.node.argument_bytes());
        for _ in 0..self.queue.len() {
            if work.is_enough() {
                break;
            }
            let Some(index) = self.queue.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(index) else { continue };
            connection.queued = false;
            connection.serve(core, buffer, &limits, &mut work);
            match connection.phase {
                Phase::Open | Phase::Finishing | Phase::Lingering => self.enqueue(index),
                Phase::HalfClosed => self.finish_if_answered(index, core),
                Phase::Ended => self.enlist(index),
            }
        }
        self.input_bytes += work.bytes as u64;
    }

    /// Bytes that were read from clients and written to them since the start.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.input_bytes, self.output_bytes)
    }

    /// Takes a session's replies, to be written at the end of the turn.
    pub(crate) fn take_replies(&mut self, session: SessionId, core: &mut Core) {
        let Some(&index) = self.sessions.get(&session) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        core.node.take_replies(session, &mut connection.output);
        self.enlist(index);
        if self.connections[index].phase == Phase::HalfClosed {
            self.finish_if_answered(index, core);
        }
    }

    /// Takes requests of a session again.
    pub(crate) fn resume(&mut self, session: SessionId) {
        let Some(&index) = self.sessions.get(&session) else { return };
        if let Some(connection) = self.connections.get_mut(index) {
            connection.paused = false;
        }
        self.enqueue(index);
    }

    /// Ends a session after the replies that are there.
    pub(crate) fn close(&mut self, session: SessionId, core: &mut Core) {
        let Some(&index) = self.sessions.get(&session) else { return };
        self.finish(index, core);
    }

    /// A client that has closed its sending side gets the replies that it still waits for.
    fn finish_if_answered(&mut self, index: usize, core: &mut Core) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let owed = connection.session.map_or(0, |session| core.node.outstanding(session));
        if owed == 0 {
            self.finish(index, core);
        }
    }

    /// Parts a connection from its session; what is there is still written.
    fn finish(&mut self, index: usize, core: &mut Core) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if let Some(session) = connection.session.take() {
            core.node.take_replies(session, &mut connection.output);
            core.step(Input::Disconnected { session });
            self.sessions.remove(&session);
        }
        connection.phase = Phase::Finishing;
        connection.since = clock::monotonic();
        self.enlist(index);
        self.enqueue(index);
    }

    /// Writes what there is to write, and drops the connections that have ended.
    pub(crate) fn flush(&mut self, core: &mut Core) {
        let output_bytes = core.node.session_output_bytes();
        let unread_max = UNREAD_BYTES_MAX.min(output_bytes / 2);
        for index in std::mem::take(&mut self.unwritten) {
            let Some(connection) = self.connections.get_mut(index) else { continue };
            connection.unwritten = false;
            self.output_bytes += connection.write() as u64;
            let has_more = connection.output.has_more();
            if connection.output.len() > output_bytes && !has_more {
                let waiting = connection.output.len();
                tracing::warn!(
                    client = ?connection.stream.peer_addr().ok(),
                    waiting,
                    "disconnected a client that does not read its replies (session_output_bytes)"
                );
                connection.phase = Phase::Ended;
            }
            connection.note_unread(unread_max);
            match connection.phase {
                Phase::Ended => self.drop_connection(index, core),
                Phase::Lingering => self.enqueue(index),
                Phase::Open | Phase::HalfClosed | Phase::Finishing => {
                    if has_more {
                        self.enlist(index);
                    }
                    self.enqueue(index);
                }
            }
        }
    }

    fn drop_connection(&mut self, index: usize, core: &mut Core) {
        let mut connection = self.connections.remove(index);
        // Closing the socket would do; this only keeps the poller's books.
        let _ = self.registry.deregister(&mut connection.stream);
        if let Some(session) = connection.session {
            self.sessions.remove(&session);
            core.step(Input::Disconnected { session });
        }
    }

    /// Ends connections whose time is over. Called about once a second.
    pub(crate) fn sweep(&mut self, core: &mut Core) {
        let now = clock::monotonic();
        let over = |time: Duration, since| !time.is_zero() && now.since(since) > time;
        let mut late: SmallVec<[usize; 16]> = SmallVec::new();
        for (index, connection) in &mut self.connections {
            let end = match connection.phase {
                Phase::Open => {
                    over(self.rules.idle_time, connection.heard) && !connection.paused
                        || !connection.is_authenticated()
                            && over(self.rules.password_time, connection.since)
                            && connection.session.is_some_and(|it| !core.node.is_authenticated(it))
                }
                Phase::Finishing => over(FINISH_TIME, connection.since),
                Phase::Lingering => over(LINGER_TIME, connection.since),
                Phase::HalfClosed | Phase::Ended => false,
            };
            if end {
                late.push(index);
            }
        }
        for index in late {
            self.connections[index].phase = Phase::Ended;
            self.enlist(index);
        }
    }

    /// Tells the core round trips to some clients, the next ones at each call.
    pub(crate) fn measure_round_trips(&mut self, round_trips: &mut RoundTrips, core: &mut Core) {
        let now = clock::now();
        let places = self.connections.capacity();
        let mut measured = 0;
        for _ in 0..places.min(ROUND_TRIP_PLACES) {
            self.next_round_trip = (self.next_round_trip + 1) % places;
            let connection = self.connections.get(self.next_round_trip);
            let session = connection.and_then(|it| Some((it, it.session?)));
            let Some((connection, session)) = session else { continue };
            if let Some(time) = round_trips.of(&connection.stream) {
                core.node.note_round_trip(now, session, time);
            }
            measured += 1;
            if measured == ROUND_TRIPS_MAX {
                return;
            }
        }
    }
}

/// What a request may be now: the configured limits, but for the length of an argument, which
/// CONFIG SET can change. A request always has room for one argument of that length, and always
/// fits in a message to another node.
fn limits_now(configured: RequestLimits, argument_bytes: usize) -> RequestLimits {
    let argument_bytes = argument_bytes.min(ARGUMENT_BYTES_MAX);
    let request_bytes = configured.request_bytes.max(argument_bytes + REQUEST_OVERHEAD);
    let request_bytes = request_bytes.min(REQUEST_BYTES_MAX);
    RequestLimits { argument_bytes, request_bytes, ..configured }
}

fn is_local(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_argument_widens_the_request_but_never_beyond_a_message() {
        let configured = RequestLimits {
            argument_bytes: 64 << 20,
            request_bytes: 128 << 20,
            ..RequestLimits::LARGEST
        };
        assert_eq!(limits_now(configured, 64 << 20), configured);
        let shorter = limits_now(configured, 1 << 20);
        assert_eq!((shorter.argument_bytes, shorter.request_bytes), (1 << 20, 128 << 20));
        let longer = limits_now(configured, 200 << 20);
        assert_eq!((longer.argument_bytes, longer.request_bytes), (200 << 20, 201 << 20));
        let largest = limits_now(configured, ARGUMENT_BYTES_MAX);
        assert_eq!(largest.request_bytes, ARGUMENT_BYTES_MAX + REQUEST_OVERHEAD);
        let wide = RequestLimits { request_bytes: 1 << 30, ..configured };
        assert_eq!(limits_now(wide, 1 << 20).request_bytes, REQUEST_BYTES_MAX);
    }
}

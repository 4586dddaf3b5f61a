//! A connection that this node dials, to send messages to another node.
//!
//! A link dials, greets, and is up once the other side has welcomed it; until then messages for
//! it are dropped, since the core asks again for whatever matters. A link that fails is dialled
//! again after a pause that grows up to a second, or at once when the other node dials us.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;

use cluster::Message;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use resp::Sink;
use types::{Monotonic, NodeId};

use crate::output_buffer::OutputBuffer;
use crate::peer_frame::{self, FrameError, Greeting, Purpose};
use crate::resolver::Question;
use crate::socket;

/// The first pause before dialling again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long dialling and greeting may take each.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// A failure that goes on is told again after this time.
const REMINDER_TIME: Duration = Duration::from_secs(60);
/// A node that can't be reached may be about to start: it is told when that goes on for so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// A connection that stalls so soon after it came up, and after another had stalled, is dialled
/// anew with small segments: it may be that large packets vanish on the way and small ones pass.
const STALL_TIME: Duration = Duration::from_secs(30);
const SMALL_SEGMENT: u32 = 512;
/// Longest answer to a greeting, in bytes; more than that is no answer.
const ANSWER_BYTES_MAX: usize = 1024;

/// Another node, as the links to it need to know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PeerAddress {
    pub(crate) node: NodeId,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Where the settings say that it is, if they differ from the list of members.
    pub(crate) hint: Option<(String, u16)>,
}

#[derive(Debug)]
enum State {
    /// Nothing is under way until then.
    Waiting { until: Monotonic },
    /// The host's name is being resolved.
    Resolving(Question),
    /// The system is connecting.
    Connecting { stream: TcpStream, until: Monotonic },
    /// The greeting is sent, the answer is on its way.
    Greeting { stream: TcpStream, answer: Vec<u8>, until: Monotonic },
    /// Messages flow.
    Up { stream: TcpStream },
}

/// What a call changed, for the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// Nothing that matters outside.
    None,
    /// The link is up.
    Up,
    /// The link was up and is no more.
    Down,
}

/// What all links of a node have in common.
#[derive(Debug)]
pub(crate) struct LinkRules {
    /// Most bytes that may wait on one link.
    pub(crate) output_bytes: usize,
    /// How long sent bytes may stay unacknowledged.
    pub(crate) unacknowledged_time: Duration,
}

/// One outgoing connection.
#[derive(Debug)]
pub(crate) struct PeerLink {
    pub(crate) peer: PeerAddress,
    pub(crate) purpose: Purpose,
    greeting: Vec<u8>,
    state: State,
    output: OutputBuffer,
    /// Bytes written since the start.
    written: u64,
    /// A message was left out since there was no room.
    overflown: bool,
    pause: Duration,
    /// When it came up last, and when it stalled last.
    up_since: Monotonic,
    stalled: Option<Monotonic>,
    /// It is dialled with small segments.
    small: bool,
    /// The failure that was last logged, and when: one that goes on is not told at every try.
    reported: Option<(String, Monotonic)>,
    /// Since when it is not up although it was tried.
    failing: Option<Monotonic>,
    /// What fails is no news: this node has been removed from the cluster.
    quiet: bool,
}

impl PeerLink {
    /// A link that dials as soon as it is asked for its next step.
    pub(crate) fn new(peer: PeerAddress, greeting: &Greeting) -> Self {
        let mut bytes = Vec::new();
        peer_frame::write_greeting(greeting, &mut bytes);
        Self {
            peer,
            purpose: greeting.purpose,
            greeting: bytes,
            state: State::Waiting { until: Monotonic::default() },
            output: OutputBuffer::default(),
            written: 0,
            overflown: false,
            pause: PAUSE_MIN,
            up_since: Monotonic::default(),
            stalled: None,
            small: false,
            reported: None,
            failing: None,
            quiet: false,
        }
    }

    /// Nothing that fails from here on is worth a warning.
    pub(crate) fn hush(&mut self) {
        self.quiet = true;
    }

    /// When the link has something to do by itself.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        match &self.state {
            State::Waiting { until }
            | State::Connecting { until, .. }
            | State::Greeting { until, .. } => *until,
            State::Resolving(_) | State::Up { .. } => Monotonic::NEVER,
        }
    }

    /// Whether the link should be dialled: then call [`PeerLink::dial`] with an address, or
    /// [`PeerLink::resolving`]. Ends attempts that take too long.
    pub(crate) fn wants_dial(&mut self, now: Monotonic) -> bool {
        match &self.state {
            State::Waiting { until } => now >= *until,
            State::Connecting { until, .. } | State::Greeting { until, .. } if now >= *until => {
                self.fail(now, "no answer in time");
                false
            }
            State::Connecting { .. }
            | State::Greeting { .. }
            | State::Resolving(_)
            | State::Up { .. } => false,
        }
    }

    /// The host's name is being looked up.
    pub(crate) fn resolving(&mut self, question: Question) {
        self.state = State::Resolving(question);
    }

    /// Whether this is the link's question.
    pub(crate) fn has_asked(&self, question: Question) -> bool {
        matches!(self.state, State::Resolving(asked) if asked == question)
    }

    /// Whether messages flow.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Takes the address that the host's name stands for.
    pub(crate) fn resolved(
        &mut self,
        result: io::Result<SocketAddr>,
        registry: &Registry,
        token: Token,
        now: Monotonic,
    ) {
        match result {
            Ok(address) => self.dial(address, registry, token, now),
            Err(error) => {
                let reason = format!("cannot resolve `{}`: {error}", self.peer.host);
                self.fail(now, &reason);
            }
        }
    }

    /// Begins to connect.
    pub(crate) fn dial(
        &mut self,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
        now: Monotonic,
    ) {
        let connect = || {
            let segment = self.small.then_some(SMALL_SEGMENT);
            let mut stream = socket::connect(address, segment)?;
            registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok::<_, io::Error>(stream)
        };
        match connect() {
            Ok(stream) => self.state = State::Connecting { stream, until: now + ANSWER_TIME },
            Err(error) => {
                self.fail(now, &error.to_string());
            }
        }
    }

    /// The other node is alive: don't wait any longer before dialling it.
    pub(crate) fn hurry(&mut self) {
        self.pause = PAUSE_MIN;
        if let State::Waiting { until } = &mut self.state {
            *until = Monotonic::default();
        }
    }

    /// Goes on after the poller has said that the socket is ready.
    pub(crate) fn proceed(&mut self, rules: &LinkRules, now: Monotonic) -> Change {
        if let State::Connecting { stream, .. } = &mut self.state {
            match finish_connecting(stream, rules) {
                Ok(false) => return Change::None,
                Ok(true) => {}
                Err(error) => return self.fail(now, &error.to_string()),
            }
            let State::Connecting { stream, .. } = self.take_state() else { return Change::None };
            self.output.clear();
            self.output.tail().extend_from_slice(&self.greeting);
            self.state = State::Greeting { stream, answer: Vec::new(), until: now + ANSWER_TIME };
        }
        let change = self.read(now);
        if change == Change::Down { change } else { self.write(now).unwrap_or(change) }
    }

    /// Reads the answer to the greeting. After it the other side says nothing until the end.
    fn read(&mut self, now: Monotonic) -> Change {
        loop {
            let mut bytes = [0; 512];
            let (stream, answer) = match &mut self.state {
                State::Greeting { stream, answer, .. } => (stream, Some(answer)),
                State::Up { stream } => (stream, None),
                State::Waiting { .. } | State::Resolving(_) | State::Connecting { .. } => {
                    return Change::None;
                }
            };
            let count = match stream.read(&mut bytes) {
                Ok(0) => return self.fail(now, "the other side closed the connection"),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Change::None,
                Err(error) if socket::is_temporary(&error) => continue,
                Err(error) => return self.break_off(now, &error),
            };
            let Some(answer) = answer else {
                return self.fail(now, "the other side sent something unexpected");
            };
            answer.extend_from_slice(&bytes[..count]);
            let result = if answer.len() > ANSWER_BYTES_MAX {
                Err(FrameError::Malformed)
            } else {
                peer_frame::read_answer(answer)
            };
            match result {
                Ok(None) => {}
                Ok(Some(())) => return self.come_up(now),
                Err(error) => return self.fail(now, &error.to_string()),
            }
        }
    }

    fn come_up(&mut self, now: Monotonic) -> Change {
        let State::Greeting { stream, .. } = self.take_state() else { return Change::None };
        self.state = State::Up { stream };
        self.pause = PAUSE_MIN;
        self.up_since = now;
        self.reported = None;
        self.failing = None;
        match self.purpose {
            Purpose::Data => tracing::info!(peer = %self.peer.node, "connected to a node"),
            Purpose::Priority => {
                tracing::debug!(peer = %self.peer.node, "connected to a node for what is urgent");
            }
        }
        Change::Up
    }

    /// Adds a message to what is to be written, if the link is up. A link that holds too much
    /// already takes no more, and [`PeerLink::flush`] gives it up.
    pub(crate) fn send(&mut self, message: &Message, rules: &LinkRules) {
        if !self.is_up() {
            return;
        }
        if self.output.len() > rules.output_bytes {
            self.overflown = true;
        } else {
            if let Some(rest) = peer_frame::write_message(message, self.output.tail()) {
                self.output.push(rest);
            }
        }
    }

    /// Bytes that were written since the start, but for those before a connection broke.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.output.len()
    }

    /// Whether there is something to flush.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether the socket may take more than was written.
    pub(crate) fn has_more(&self) -> bool {
        self.output.has_more()
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self, now: Monotonic) -> Change {
        let change = self.write(now).unwrap_or(Change::None);
        // A message that was left out would be missed for good on a connection that goes on. One
        // that is longer than all that may wait is none: it is alone.
        if self.overflown {
            return self.fail(now, "it does not take its messages (peer_output_bytes)");
        }
        change
    }

    fn write(&mut self, now: Monotonic) -> Option<Change> {
        let (State::Greeting { stream, .. } | State::Up { stream }) = &mut self.state else {
            return None;
        };
        match self.output.write_to(stream) {
            Ok(count) => {
                self.written += count as u64;
                None
            }
            Err(error) => Some(self.break_off(now, &error)),
        }
    }

    /// The system has given the connection up.
    fn break_off(&mut self, now: Monotonic, error: &io::Error) -> Change {
        if error.kind() == io::ErrorKind::TimedOut && self.is_up() {
            let again = self.stalled.is_some_and(|before| before < self.up_since);
            self.small = again && now.since(self.up_since) < STALL_TIME;
            self.stalled = Some(now);
            if self.small {
                tracing::warn!(peer = %self.peer.node, purpose = %self.purpose, SMALL_SEGMENT,
                    "a connection stalls each time it is made: large packets may vanish on the \
                     way, so the next one uses small ones (is the MTU right everywhere?)");
            }
        }
        self.fail(now, &error.to_string())
    }

    /// Gives the connection up, to dial again later.
    fn fail(&mut self, now: Monotonic, reason: &str) -> Change {
        let was_up = self.is_up();
        // Of two addresses, each fails for a reason of its own.
        let told = self.reported.as_ref().is_some_and(|(before, at)| {
            (before == reason || self.peer.hint.is_some()) && now.since(*at) < REMINDER_TIME
        });
        let since = *self.failing.get_or_insert(now);
        let lasts = was_up || now.since(since) >= PATIENCE;
        // Whatever keeps one of the two links to a node from coming up is told by the other.
        if !told && !self.quiet && lasts && (was_up || self.purpose == Purpose::Data) {
            let PeerAddress { node, host, port, hint: _ } = &self.peer;
            let doing = if was_up { "lost the connection to" } else { "cannot connect to" };
            tracing::warn!(peer = %node, host, port, purpose = %self.purpose, reason,
                "{doing} a node; trying again until it answers");
            self.reported = Some((reason.to_owned(), now));
        }
        if !was_up && let Some((host, port)) = &mut self.peer.hint {
            // The node proves by its greeting's answer that it is there: try the other address.
            std::mem::swap(host, &mut self.peer.host);
            std::mem::swap(port, &mut self.peer.port);
        }
        self.output.clear();
        self.overflown = false;
        self.state = State::Waiting { until: now + self.pause };
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        if was_up { Change::Down } else { Change::None }
    }

    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Waiting { until: Monotonic::NEVER })
    }
}

/// Whether the system has connected the socket; `false`: not yet.
fn finish_connecting(stream: &mut TcpStream, rules: &LinkRules) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
        Err(error) => return Err(error),
    }
    socket::prepare(stream)?;
    socket::give_up_after(stream, rules.unacknowledged_time)?;
    Ok(true)
}

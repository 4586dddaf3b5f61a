//! One client's connection: its bytes in, its bytes out, and when it ends.
//!
//! A request is parsed where it was received, in a buffer that all connections share. Only what
//! is incomplete, or what the core has no room for yet, is kept by the connection, so an idle
//! connection costs no buffer.
//!
//! A connection is closed gently: after the last reply its sending side is shut down and what
//! still arrives is thrown away for a moment. Closing a socket with unread bytes would make the
//! system reset the connection, and the client might never see the reply.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use cluster::Admission;
use mio::net::TcpStream;
use resp::{Parsed, Parser, RequestLimits};
use smallvec::SmallVec;
use types::limits::{LONG_BYTES, READ_AHEAD_BYTES_MAX};
use types::{Monotonic, SessionId};

use crate::core::Core;
use crate::output_buffer::OutputBuffer;
use crate::socket::is_temporary;
use crate::{buffers, clock};

/// Most reads of one connection in one turn, when a single request is larger than the buffer.
const READS_MAX: usize = 16;
/// Room for unparsed bytes that an idle connection may keep.
const INPUT_KEPT_BYTES: usize = 4 << 10;

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Requests are taken.
    Open,
    /// The client will send no more, but replies are still to come.
    HalfClosed,
    /// Only replies that are already there are written.
    Finishing,
    /// Everything is written; what arrives is thrown away until the client closes its side.
    Lingering,
    /// To be dropped.
    Ended,
}

/// Requests of all clients in one turn: a few milliseconds' worth.
const TURN_REQUESTS_MAX: usize = 4096;
/// Bytes of all clients in one turn.
const TURN_BYTES_MAX: usize = 4 << 20;
/// Time of all clients in one turn. The core counts the work of requests and says when it is
/// enough; this is for a machine that is slower than that counts with.
const TURN_TIME_MAX: Duration = Duration::from_millis(8);
/// Requests between two looks at the clock.
const REQUESTS_TIMED: usize = 16;

/// What was done in this turn.
#[derive(Debug)]
pub(crate) struct Work {
    /// Requests that were handed over.
    requests: usize,
    /// Bytes that were read.
    pub(crate) bytes: usize,
    /// When clients began to be served.
    begun: Monotonic,
    /// Time or work is used up.
    is_over: bool,
}

impl Work {
    /// Nothing is done yet.
    pub(crate) fn new(now: Monotonic) -> Self {
        Self { requests: 0, bytes: 0, begun: now, is_over: false }
    }

    /// Whether the turn has done enough. What clients still wait for is done in the next turn,
    /// which comes at once, but after the beats.
    pub(crate) fn is_enough(&self) -> bool {
        self.takes_no_more() || self.bytes >= TURN_BYTES_MAX
    }

    /// Whether not even a request that was read may be handed over.
    fn takes_no_more(&self) -> bool {
        self.is_over || self.requests >= TURN_REQUESTS_MAX
    }

    /// A request was handed over.
    fn note_request(&mut self, core: &Core) {
        self.requests += 1;
        if !core.node.takes_requests() {
            self.is_over = true;
        } else if self.requests.is_multiple_of(REQUESTS_TIMED) {
            self.note_time();
        }
    }

    /// Looks at the clock.
    fn note_time(&mut self) {
        self.is_over |= clock::monotonic().since(self.begun) >= TURN_TIME_MAX;
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    pub(crate) stream: TcpStream,
    pub(crate) phase: Phase,
    /// Its session, as long as the core knows it.
    pub(crate) session: Option<SessionId>,
    parser: Parser,
    /// Bytes that are not parsed, or not completely, behind `parsed` ones that are done with.
    input: Vec<u8>,
    parsed: usize,
    /// How many bytes the request that they begin with will have, as far as is known.
    expected: usize,
    pub(crate) output: OutputBuffer,
    /// The socket may have bytes.
    pub(crate) readable: bool,
    /// The client has closed its sending side; the bytes before that may be unread.
    pub(crate) read_closed: bool,
    /// The core takes no requests for now.
    pub(crate) paused: bool,
    /// So many bytes wait for the client to read them that no more are made for it. Its requests
    /// are read all the same: it may have to write them all before it reads.
    full: bool,
    /// The end of its requests was read while it was full.
    ended: bool,
    /// `input` may hold whole requests.
    backlog: bool,
    authenticated: bool,
    /// The connection stands in the queue of those to serve.
    pub(crate) queued: bool,
    /// The connection stands in the list of those to write to.
    pub(crate) unwritten: bool,
    /// When it began, or when its phase began.
    pub(crate) since: Monotonic,
    /// When bytes last arrived, or when the client last took some of many that waited.
    pub(crate) heard: Monotonic,
}

impl ClientConnection {
    /// A connection of this session; or of none, if it is refused.
    pub(crate) fn new(stream: TcpStream, session: Option<SessionId>, now: Monotonic) -> Self {
        Self {
            stream,
            phase: if session.is_some() { Phase::Open } else { Phase::Finishing },
            session,
            parser: Parser::new(),
            input: Vec::new(),
            parsed: 0,
            expected: 0,
            output: OutputBuffer::default(),
            readable: false,
            read_closed: false,
            paused: false,
            full: false,
            ended: false,
            backlog: false,
            authenticated: false,
            queued: false,
            unwritten: false,
            since: now,
            heard: now,
        }
    }

    /// Whether a turn has something to do here.
    pub(crate) fn has_work(&self) -> bool {
        match self.phase {
            Phase::Open if self.full => !self.paused && self.readable && !self.ended,
            Phase::Open => !self.paused && (self.backlog || self.readable),
            Phase::Finishing | Phase::Lingering => self.readable,
            Phase::HalfClosed | Phase::Ended => false,
        }
    }

    /// Whether the client has neither sent a part of a request nor anything that is unread, and has
    /// been written everything that there was.
    pub(crate) fn is_between_requests(&self) -> bool {
        let known = self.phase == Phase::Open
            && self.input.is_empty()
            && self.output.is_empty()
            && !self.has_work();
        // What has arrived since the poller was asked is not known yet.
        let unread = || !matches!(self.stream.peek(&mut [0]), Err(error) if is_temporary(&error));
        known && !unread()
    }

    /// Whether the client has given the password, if there is one.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Reads and hands over requests.
    pub(crate) fn serve(
        &mut self,
        core: &mut Core,
        buffer: &mut [u8],
        limits: &RequestLimits,
        work: &mut Work,
    ) {
        let (Phase::Open, Some(session)) = (self.phase, self.session) else {
            return self.discard(buffer);
        };
        if self.full {
            return self.read_ahead(buffer, work);
        }
        if self.backlog {
            self.parse_input(session, core, limits, work);
        }
        for _ in 0..READS_MAX {
            if self.paused || self.backlog || !self.readable || work.is_enough() {
                return;
            }
            let count = match self.read(buffer) {
                Some(0) => return self.end_of_input(),
                Some(count) => count,
                None => return,
            };
            work.bytes += count;
            work.note_time();
            if self.input.is_empty() {
                let received = &buffer[..count];
                let consumed = self.parse(session, received, core, limits, work);
                self.input.extend_from_slice(&received[consumed..]);
            } else {
                self.keep(&buffer[..count]);
                self.parse_input(session, core, limits, work);
            }
            // One request that needs many reads may have them; others have had their turn.
            if self.unparsed() < buffer.len() {
                return;
            }
        }
    }

    /// Reads requests that wait until the client has read more.
    fn read_ahead(&mut self, buffer: &mut [u8], work: &mut Work) {
        for _ in 0..READS_MAX {
            if self.paused || !self.full || !self.readable || self.ended || work.is_enough() {
                return;
            }
            match self.read(buffer) {
                Some(0) if self.backlog => {
                    // What is there is taken first; then the end is read again.
                    self.ended = true;
                    self.read_closed = true;
                    self.readable = true;
                }
                Some(0) => return self.end_of_input(),
                Some(count) => {
                    work.bytes += count;
                    self.keep(&buffer[..count]);
                    self.backlog = true;
                    self.full = self.unparsed() < READ_AHEAD_BYTES_MAX;
                }
                None => return,
            }
        }
    }

    /// Looks at how much waits for the client to read it.
    pub(crate) fn note_unread(&mut self, most: usize) {
        self.full = self.output.len() > most && self.unparsed() < READ_AHEAD_BYTES_MAX;
        self.ended &= self.full;
    }

    fn unparsed(&self) -> usize {
        self.input.len() - self.parsed
    }

    fn keep(&mut self, received: &[u8]) {
        let expected = (self.parsed + self.expected).max(self.input.len() + received.len());
        buffers::make_room(&mut self.input, received.len(), expected);
        self.input.extend_from_slice(received);
    }

    /// Reads once. `None`: nothing to read for now, or the connection has ended.
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        match self.stream.read(buffer) {
            Ok(count) => {
                // A short read means that the socket is empty: the poller will say when that
                // changes. The end of the input is told only once, so it must be read to.
                if count < buffer.len() && !self.read_closed {
                    self.readable = false;
                }
                Some(count)
            }
            Err(error) if is_temporary(&error) => {
                self.readable = error.kind() == std::io::ErrorKind::Interrupted;
                None
            }
            Err(_) => {
                self.readable = false;
                self.phase = Phase::Ended;
                None
            }
        }
    }

    /// The client sends no more. A request that is incomplete will never be complete.
    fn end_of_input(&mut self) {
        self.readable = false;
        self.read_closed = true;
        (self.input, self.parsed) = (Vec::new(), 0);
        self.phase = Phase::HalfClosed;
    }

    /// Parses what was kept. That may be much: what is left is not moved each time.
    fn parse_input(
        &mut self,
        session: SessionId,
        core: &mut Core,
        limits: &RequestLimits,
        work: &mut Work,
    ) {
        if self.unparsed() >= LONG_BYTES && !work.takes_no_more() {
            self.take_long(session, core, limits, work);
            if self.paused || self.input.is_empty() {
                self.backlog = !self.input.is_empty();
                return;
            }
        }
        let mut input = std::mem::take(&mut self.input);
        let rest = &input[self.parsed..];
        self.parsed += self.parse(session, rest, core, limits, work);
        if self.parsed == input.len() {
            self.parsed = 0;
            if input.capacity() > INPUT_KEPT_BYTES {
                return;
            }
            input.clear();
        } else if self.parsed > input.len() / 2 {
            input.drain(..std::mem::take(&mut self.parsed));
        }
        self.input = input;
    }

    /// Hands over the request that what was kept begins with, if it is long, in the bytes that it
    /// came in: they need not be copied.
    fn take_long(
        &mut self,
        session: SessionId,
        core: &mut Core,
        limits: &RequestLimits,
        work: &mut Work,
    ) {
        // Who has yet to give the password sends nothing long.
        let next = self.parser.next(&self.input[self.parsed..], limits);
        let Ok(Parsed::Request { consumed }) = next else { return };
        let Some(args) = self.parser.ranges().filter(|_| consumed >= LONG_BYTES) else { return };
        let rest = self.input.split_off(self.parsed + consumed);
        let mut request = std::mem::replace(&mut self.input, rest);
        request.drain(..std::mem::take(&mut self.parsed));
        let now = clock::now();
        self.heard = now.monotonic;
        self.paused = core.request_long(now, session, request, args) == Admission::Pause;
        work.note_request(core);
    }

    /// Hands over the requests that `bytes` begin with; answers how many bytes they took.
    fn parse(
        &mut self,
        session: SessionId,
        bytes: &[u8],
        core: &mut Core,
        limits: &RequestLimits,
        work: &mut Work,
    ) -> usize {
        let now = clock::now();
        self.heard = now.monotonic;
        self.backlog = false;
        self.authenticated = core.node.is_authenticated(session);
        let mut consumed = 0;
        while consumed < bytes.len() {
            if work.takes_no_more() {
                self.backlog = true;
                break;
            }
            let rest = &bytes[consumed..];
            let limits = if self.authenticated { limits } else { &RequestLimits::UNAUTHENTICATED };
            match self.parser.next(rest, limits) {
                Ok(Parsed::Incomplete { needed }) => {
                    self.expected = rest.len() + needed;
                    break;
                }
                Ok(Parsed::Empty { consumed: count }) => consumed += count,
                Ok(Parsed::Request { consumed: count }) => {
                    let args: SmallVec<[&[u8]; 16]> = self.parser.arguments(rest).iter().collect();
                    let admission = core.request(now, session, &args);
                    work.note_request(core);
                    consumed += count;
                    self.authenticated = self.authenticated || core.node.is_authenticated(session);
                    if admission == Admission::Pause {
                        self.paused = true;
                        self.backlog = consumed < bytes.len();
                        break;
                    }
                }
                Err(error) => {
                    core.protocol_error(session, &error.to_string());
                    // The core closes the session after the replies that come before.
                    self.paused = true;
                    return bytes.len();
                }
            }
        }
        consumed
    }

    /// Throws away what arrives after the last reply.
    fn discard(&mut self, buffer: &mut [u8]) {
        if self.readable && self.read(buffer) == Some(0) {
            self.readable = false;
            self.read_closed = true;
            if self.phase == Phase::Lingering {
                self.phase = Phase::Ended;
            }
        }
    }

    /// Writes what the socket takes and answers how many bytes that were. Once a finishing
    /// connection has written everything, says so to the client.
    pub(crate) fn write(&mut self) -> usize {
        if self.phase == Phase::Ended {
            return 0;
        }
        let Ok(count) = self.output.write_to(&mut self.stream) else {
            self.phase = Phase::Ended;
            return 0;
        };
        if self.full && count > 0 {
            self.heard = clock::monotonic();
        }
        if self.phase == Phase::Finishing && self.output.is_empty() {
            let closed_by_client = self.read_closed && !self.readable;
            let over = closed_by_client || self.stream.shutdown(Shutdown::Write).is_err();
            self.phase = if over { Phase::Ended } else { Phase::Lingering };
            self.since = clock::monotonic();
        }
        count
    }
}

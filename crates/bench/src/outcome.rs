//! The other half of a load thread: what comes back, and what does not.

use crate::connection::{InFlight, Phase};
use crate::options::Error;
use crate::recorder::Outcome;
use crate::reply::{Parsed, Reply, parse, promises_nothing_applied};
use crate::topology::{NOBODY, redirection};
use crate::worker::Worker;
use crate::workload::{Function, Request};
use resp::encode_request;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a client rests after an error, so that a store in trouble is not hammered.
const PAUSE: Duration = Duration::from_millis(5);
/// How often one request follows redirections.
const REDIRECTIONS_MAX: u8 = 16;
/// Why a write fails that too few replicas had in time.
const SHORT_WAIT: &[u8] = b"WAIT came up short";
/// Why a request fails that was redirected too often.
const TOO_MANY_REDIRECTIONS: &[u8] = b"REDIRECTIONS without end";

/// What an event says of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readable {
    No,
    /// There are bytes.
    Yes,
    /// The other side has ended it, perhaps behind some bytes.
    ToTheEnd,
}

impl Worker {
    /// Handles an event of a connection. The time after reading, which is when replies ended.
    pub(crate) fn handle(&mut self, id: usize, readable: Readable, writable: bool) -> u64 {
        let mut now = self.shared.now();
        if matches!(self.connections[id].phase, Phase::Connecting { .. }) {
            self.finish_connecting(id, now);
        }
        if self.connections[id].phase != Phase::Open {
            return now;
        }
        if writable {
            self.mark_dirty(id);
        }
        while readable != Readable::No && self.connections[id].phase == Phase::Open {
            let mut buffer = std::mem::take(&mut self.buffer);
            let filled = self.connections[id].fill(&mut buffer);
            now = self.shared.now();
            let more = match filled {
                Ok(filled) => {
                    self.answers(id, &buffer[..filled.bytes], now);
                    if filled.closed {
                        self.lose(id, "CLOSED by the server", now);
                    }
                    // The end comes without another event if its own came with the last bytes.
                    filled.more || readable == Readable::ToTheEnd && filled.bytes > 0
                }
                Err(error) => {
                    self.lose(id, &error.to_string(), now);
                    false
                }
            };
            self.buffer = buffer;
            if !more {
                break;
            }
        }
        now
    }

    fn finish_connecting(&mut self, id: usize, now: u64) {
        let Some(stream) = &self.connections[id].stream else { return };
        let error = stream.take_error();
        if let Ok(Some(error)) | Err(error) = error {
            self.lose(id, &error.to_string(), now);
        } else if stream.peer_addr().is_ok() {
            // Without it small requests would wait for acknowledgements of the last ones.
            match stream.set_nodelay(true) {
                Ok(()) => self.greet(id, now),
                Err(error) => self.lose(id, &error.to_string(), now),
            }
        }
    }

    fn answers(&mut self, id: usize, bytes: &[u8], now: u64) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match parse(rest) {
                Parsed::Reply(reply, after) => {
                    self.answer(id, &reply, now);
                    rest = after;
                }
                Parsed::Incomplete => break,
                Parsed::Invalid => self.lose(id, "PROTOCOL error", now),
            }
            if self.connections[id].phase != Phase::Open {
                return;
            }
        }
        self.connections[id].keep(rest);
    }

    fn answer(&mut self, id: usize, reply: &Reply<'_>, now: u64) {
        let connection = &mut self.connections[id];
        connection.proved_alive();
        match (connection.in_flight.pop_front(), reply) {
            (None, _) => self.lose(id, "PROTOCOL error: an answer without a question", now),
            (Some(InFlight::Aside { .. }), _) => {}
            (Some(InFlight::Authentication { .. }), Reply::Error(text)) => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.fatal = Some(Error::Server(text));
            }
            (Some(InFlight::Authentication { .. }), _) => {}
            (Some(InFlight::Write { .. }), Reply::Error(text)) => {
                connection.refused_write = Some(text.to_vec());
            }
            (Some(InFlight::Write { .. }), _) => {}
            (Some(InFlight::Request(request)), reply) => {
                match (connection.refused_write.take(), reply) {
                    (Some(text), _) => self.refused(id, request, &text, now),
                    // The write itself was answered well.
                    (None, Reply::Error(text)) if self.encoder.waits(&request) => {
                        self.failed(id, &request, Outcome::Unknown(text), now);
                    }
                    (None, Reply::Error(text)) => self.refused(id, request, text, now),
                    (None, reply) => self.answered(id, &request, reply, now),
                }
            }
        }
    }

    fn answered(&mut self, id: usize, request: &Request, reply: &Reply<'_>, now: u64) {
        if self.encoder.waits(request) {
            let enough = i64::from(self.shared.options.wait);
            return if matches!(reply, Reply::Integer(count) if *count >= enough) {
                self.succeeded(id, request, &Reply::Simple(b"OK"), now);
            } else {
                self.failed(id, request, Outcome::Unknown(SHORT_WAIT), now);
            };
        }
        let fits = match request.function {
            Function::Get | Function::GetCounter => matches!(reply, Reply::Bulk(_)),
            Function::Set => matches!(reply, Reply::Simple(_)),
            Function::Increment => matches!(reply, Reply::Integer(_)),
        };
        if !fits {
            return self.failed(id, request, Outcome::Unknown(b"PROTOCOL error"), now);
        }
        self.succeeded(id, request, reply, now);
    }

    fn succeeded(&mut self, id: usize, request: &Request, reply: &Reply<'_>, now: u64) {
        let range = if self.shared.range_of_slot.is_empty() { 0 } else { self.route(request).1 };
        self.recorder.success(&self.shared.stalls, range, request.due, now);
        let node = self.node_name(id);
        self.recorder.operation(&self.encoder, request, Outcome::Answered(reply), now, node);
        self.settle(request, request.process, None);
    }

    /// An error came back.
    fn refused(&mut self, id: usize, request: Request, text: &[u8], now: u64) {
        let is_moved = text.starts_with(b"MOVED ");
        if !is_moved && !text.starts_with(b"ASK ") {
            let outcome = if promises_nothing_applied(text) {
                Outcome::Refused(text)
            } else {
                Outcome::Unknown(text)
            };
            if text.starts_with(b"CLUSTERDOWN") {
                self.shared.refresh_wanted.store(true, Ordering::Relaxed);
            }
            return self.failed(id, &request, outcome, now);
        }
        if self.recorder.is_measuring() {
            let measured = &mut self.recorder.measured;
            *(if is_moved { &mut measured.moved } else { &mut measured.asked }) += 1;
        }
        let asked = self.nodes[self.connections[id].node];
        let target =
            redirection(text, asked).and_then(|(slot, address)| Some((slot, self.node(address)?)));
        let Some((slot, node)) = target.filter(|_| request.redirections < REDIRECTIONS_MAX) else {
            return self.failed(id, &request, Outcome::Refused(TOO_MANY_REDIRECTIONS), now);
        };
        if is_moved && let Some(holder) = self.slots.get_mut(slot) {
            *holder = u16::try_from(node).unwrap_or(NOBODY);
            self.shared.refresh_wanted.store(true, Ordering::Relaxed);
        }
        // The attempt had no effect, and the next one is an operation of its own.
        let name = self.node_name(id);
        self.recorder.operation(&self.encoder, &request, Outcome::Refused(text), now, name);
        let redirections = request.redirections + 1;
        self.redirect(Request { redirections, start: now, ..request }, node, !is_moved, now);
    }

    /// Sends a request to the node that another one named.
    fn redirect(&mut self, request: Request, node: usize, asking: bool, now: u64) {
        let id = self.connection(request.client, node);
        if self.connections[id].phase == Phase::Open {
            if asking {
                let connection = &mut self.connections[id];
                encode_request(&["ASKING"], &mut connection.out);
                connection.in_flight.push_back(InFlight::Aside { since: now });
            }
            self.send(id, request);
            return;
        }
        // Once it is open, the request goes by the table again, and is redirected once more if
        // the table still does not know better. Without a table the client moves there.
        if self.slots.is_empty() {
            self.clients[request.client as usize].home = node;
        }
        self.connections[id].waiting.push_back(request);
        if matches!(self.connections[id].phase, Phase::Closed { retry_at } if retry_at <= now) {
            self.connect(id, now);
        }
    }

    /// A request came to nothing: noted, counted, and the client rests. After an unknown outcome
    /// the process of the history has ended, and the client goes on as another.
    fn failed(&mut self, id: usize, request: &Request, outcome: Outcome<'_>, now: u64) {
        let (reason, process) = match outcome {
            Outcome::Answered(_) => (b"".as_slice(), request.process),
            Outcome::Refused(reason) => (reason, request.process),
            Outcome::Unknown(reason) => (reason, self.shared.new_process()),
        };
        self.recorder.error(reason);
        let node = self.node_name(id);
        self.recorder.operation(&self.encoder, request, outcome, now, node);
        self.settle(request, process, Some(now + PAUSE.as_nanos() as u64));
        self.read_again(request);
    }

    /// A connection broke or was given up. What is in flight has an unknown outcome; what waited
    /// was never sent and goes elsewhere, or waits for the next attempt.
    pub(crate) fn lose(&mut self, id: usize, reason: &str, now: u64) {
        let connection = &mut self.connections[id];
        let was_open = connection.phase == Phase::Open;
        let (client, node) = (connection.client as usize, connection.node);
        connection.close(now);
        let in_flight = std::mem::take(&mut connection.in_flight);
        let waiting = std::mem::take(&mut connection.waiting);
        if !self.shared.options.keep_going {
            let address = self.nodes[node];
            self.fatal.get_or_insert(Error::Server(format!("{address}: {reason}")));
        }
        self.shared.refresh_wanted.store(true, Ordering::Relaxed);
        let kind = match () {
            () if reason.starts_with("TIMEOUT") => "TIMEOUT",
            () if was_open => "DISCONNECTED",
            () => "CONNECT",
        };
        if !was_open {
            self.recorder.error(kind.as_bytes());
        }
        for entry in in_flight {
            if let InFlight::Request(request) = entry {
                self.failed(id, &request, Outcome::Unknown(kind.as_bytes()), now);
            }
        }
        // Without a topology the client tries its luck with the next server.
        if self.slots.is_empty() && self.clients[client].home == node {
            self.clients[client].home = (node + 1) % self.nodes.len();
        }
        for request in waiting {
            self.dispatch(request, now);
        }
    }

    /// Gives up what waited for a connection too long. It was never sent.
    pub(crate) fn expire_waiting(&mut self, id: usize, now: u64, timeout: u64) {
        while let Some(request) = self.connections[id].waiting.front()
            && request.start + timeout < now
        {
            let request = *request;
            self.connections[id].waiting.pop_front();
            self.failed(id, &request, Outcome::Refused(b"UNREACHABLE"), now);
        }
    }

    /// Ends everything that is outstanding.
    pub(crate) fn abandon(&mut self, now: u64) {
        for id in 0..self.connections.len() {
            let in_flight = std::mem::take(&mut self.connections[id].in_flight);
            if !in_flight.is_empty() {
                // Late answers must not be taken for those of later requests.
                self.connections[id].close(now);
            }
            for entry in in_flight {
                if let InFlight::Request(request) = entry {
                    self.failed(id, &request, Outcome::Unknown(b"ABANDONED"), now);
                }
            }
            for request in std::mem::take(&mut self.connections[id].waiting) {
                self.failed(id, &request, Outcome::Refused(b"UNREACHABLE"), now);
            }
        }
        self.dirty.clear();
    }

    /// A node's name in the history: its port.
    fn node_name(&self, id: usize) -> u32 {
        u32::from(self.nodes[self.connections[id].node].port())
    }
}

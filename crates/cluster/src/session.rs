//! Client connections as the core sees them, and the order of their replies.
//!
//! Replies leave in the order of the requests. A request that can be answered at once while
//! nothing is outstanding writes straight into the session's output; otherwise it takes a
//! *ticket*, and replies wait until all earlier ones are there.
//!
//! Within one shard a session's requests take effect in the order they were sent; across shards
//! pipelined requests are concurrent, as they are across the nodes of a Redis Cluster.

mod answers;
mod slotted;
mod transaction;
mod unsettled;
mod waiter;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use placement::Origin;
use resp::command::Command;
use resp::{CommandId, Protocol, Replies, Reply, Sink};
use types::{Monotonic, NodeId, SessionId, ShardId, Slot};

use crate::frontend::{Asked, CommandStats, Shown, address_of, slow_log};
use crate::io::{ClientAddress, ForwardOutcome, Message};
use crate::node::redirects::Redirects;
use crate::origins::Origins;
use answers::{Answers, Outbound};
use slotted::Slotted;
pub(crate) use transaction::{QueuedCommand, Transaction};
use unsettled::Unsettled;
pub(crate) use waiter::Waiter;

/// One client connection.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) address: ClientAddress,
    /// Where it comes from, for the Lease Manager.
    pub(crate) origin: Origin,
    pub(crate) connected: Monotonic,
    pub(crate) last_request: Monotonic,
    pub(crate) last_command: &'static str,
    /// The request that is being handled now, until it has a ticket.
    pub(crate) asked: Option<Asked>,
    /// The command that is refused now, if the request names one.
    pub(crate) rejected: Option<&'static Command>,
    /// The beginning of the error that was replied to the request that is being handled now.
    error: Option<Box<[u8]>>,
    /// The commands of the transaction that EXEC runs now, and of those on their way.
    group: Option<Box<[CommandId]>>,
    groups: Vec<(u64, Box<[CommandId]>)>,
    pub(crate) protocol: Protocol,
    pub(crate) authenticated: bool,
    pub(crate) name: Vec<u8>,
    pub(crate) library: (String, String),
    pub(crate) transaction: Option<Transaction>,
    /// The slot and shard of the keys it watches.
    pub(crate) watching: Option<(Slot, ShardId)>,
    /// Where it has watched something last. A transaction that was refused on its way there leaves
    /// its watch behind.
    pub(crate) watched: Option<ShardId>,
    /// Counts its watches: each ends with a transaction, UNWATCH or DISCARD.
    pub(crate) watch: u32,
    pub(crate) reply_mode: ReplyMode,
    pub(crate) redirects: Redirects,
    pub(crate) no_evict: bool,
    pub(crate) no_touch: bool,
    pub(crate) closing: bool,
    pub(crate) paused: bool,
    /// Whether the driver has been told of output.
    announced: bool,
    output: Replies,
    queue: VecDeque<Slotted>,
    queued_bytes: usize,
    /// Bytes of the requests that are not answered.
    asked_bytes: usize,
    answers: Answers,
    first_ticket: u64,
    /// One bit for each shard (by its number modulo 64) with outstanding requests. A collision
    /// only makes a read wait that need not.
    outstanding_shards: u64,
    unsettled: Unsettled,
}

/// What CLIENT REPLY has set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ReplyMode {
    #[default]
    On,
    Off,
    /// The next reply is not sent, then `On`.
    SkipNext,
    /// The reply to CLIENT REPLY SKIP itself is not sent either.
    Skip,
}

impl Session {
    fn new(
        id: SessionId,
        address: ClientAddress,
        origin: Origin,
        now: Monotonic,
        authenticated: bool,
    ) -> Self {
        Self {
            id,
            address,
            origin,
            connected: now,
            last_request: now,
            last_command: "",
            asked: None,
            rejected: None,
            error: None,
            group: None,
            groups: Vec::new(),
            protocol: Protocol::default(),
            authenticated,
            name: Vec::new(),
            library: (String::new(), String::new()),
            transaction: None,
            watching: None,
            watched: None,
            watch: 0,
            reply_mode: ReplyMode::default(),
            redirects: Redirects::default(),
            no_evict: false,
            no_touch: false,
            closing: false,
            paused: false,
            announced: false,
            output: Replies::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            asked_bytes: 0,
            answers: Answers::default(),
            first_ticket: 0,
            outstanding_shards: 0,
            unsettled: Unsettled::default(),
        }
    }

    /// The number by which clients know the connection: it grows with every new one.
    pub(crate) fn number(&self) -> i64 {
        i64::from((self.id.0 >> 32) as u32)
    }

    /// Takes a place in the order of replies for a request to `shard`.
    pub(crate) fn take_ticket(&mut self, shard: Option<ShardId>) -> u64 {
        if let Some(shard) = shard {
            self.mark_outstanding(shard);
        }
        let silent = self.reply_mode != ReplyMode::On;
        let asked = self.asked.take();
        let long = asked.is_some_and(|asked| Answers::may_be_long(asked.command));
        if long {
            self.answers.begin();
        }
        self.queue.push_back(Slotted::Waiting { silent, asked, bytes: 0, long, shard });
        let ticket = self.first_ticket + self.queue.len() as u64 - 1;
        if let Some(group) = self.group.take() {
            self.groups.push((ticket, group));
        }
        ticket
    }

    /// Notes which commands the EXEC that is being handled now runs.
    pub(crate) fn note_group(&mut self, commands: &[QueuedCommand]) {
        self.group = Some(commands.iter().map(|command| command.id).collect());
    }

    /// Notes that a request to `shard` is outstanding.
    pub(crate) fn mark_outstanding(&mut self, shard: ShardId) {
        self.outstanding_shards |= 1 << (shard.0 % 64);
    }

    /// Whether an earlier request to `shard` may still be outstanding: not answered, or answered
    /// with UNCERTAIN and perhaps still under way.
    pub(crate) fn has_outstanding(&self, shard: ShardId) -> bool {
        self.outstanding_shards & 1 << (shard.0 % 64) != 0 || self.unsettled.has(shard)
    }

    /// Notes that a request to `shard` was answered with UNCERTAIN.
    pub(crate) fn note_uncertain(&mut self, shard: ShardId) {
        self.unsettled.add(shard, self.first_ticket + self.queue.len() as u64);
    }

    /// Notes how many bytes the request with this ticket has.
    pub(crate) fn note_bytes(&mut self, ticket: u64, of_request: usize) {
        let at = ticket.checked_sub(self.first_ticket).and_then(|at| usize::try_from(at).ok());
        if let Some(Slotted::Waiting { bytes, .. }) = at.and_then(|at| self.queue.get_mut(at)) {
            *bytes += of_request;
            self.asked_bytes += of_request;
        }
    }

    /// Bytes of requests that are not answered.
    pub(crate) fn asked_bytes(&self) -> usize {
        self.asked_bytes
    }

    /// Whether the answers under way may be as many bytes as are allowed, or at most half of them.
    pub(crate) fn answers_under_way(&self, allowed: usize) -> (bool, bool) {
        (self.answers.are_enough(allowed), self.answers.are_few(allowed))
    }

    /// How many requests are outstanding.
    pub(crate) fn outstanding(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of replies that have not been taken.
    pub(crate) fn output_bytes(&self) -> usize {
        self.output.len() + self.queued_bytes
    }

    /// Writes the reply to the request that is being handled now.
    pub(crate) fn reply<T>(&mut self, write: impl FnOnce(&mut Reply<'_>) -> T) -> T {
        if self.queue.is_empty() {
            let start = self.output.len();
            let result = write(&mut self.output.writer(self.protocol));
            let reply = self.output.after(start);
            if reply.first() == Some(&b'-') {
                self.error = Some(head(reply));
            }
            if self.reply_mode != ReplyMode::On {
                self.output.truncate(start);
            }
            return result;
        }
        let mut replies = Replies::default();
        let result = write(&mut replies.writer(self.protocol));
        if replies.after(0).first() == Some(&b'-') {
            self.error = Some(head(replies.after(0)));
        }
        if self.reply_mode != ReplyMode::On {
            replies.clear();
        }
        self.queued_bytes += replies.len();
        self.queue.push_back(Slotted::done(replies));
        result
    }

    /// Writes the reply that `ticket` waits for.
    fn settle<T>(
        &mut self,
        ticket: u64,
        stats: &mut CommandStats,
        write: impl FnOnce(&mut Reply<'_>) -> T,
    ) -> Option<T> {
        let at = usize::try_from(ticket.checked_sub(self.first_ticket)?).ok()?;
        let sent = self.first_ticket + self.queue.len() as u64;
        match self.queue.get_mut(at)? {
            Slotted::Done(_) | Slotted::Long(_) => None,
            &mut Slotted::Waiting { silent, asked, bytes: done, long, shard } if at == 0 => {
                self.asked_bytes -= done;
                let start = self.output.len();
                let result = write(&mut self.output.writer(self.protocol));
                if long {
                    self.answers.end(self.output.len() - start);
                }
                let reply = self.output.after(start);
                self.unsettled.note_reply(shard, ticket, sent, reply);
                let slow = count(asked, ticket, &mut self.groups, stats, reply);
                if silent {
                    self.output.truncate(start);
                }
                self.queue.pop_front();
                self.first_ticket += 1;
                self.release_front();
                self.log_slow(slow, ticket, stats);
                Some(result)
            }
            waiting @ &mut Slotted::Waiting { silent, asked, bytes: done, long, shard } => {
                self.asked_bytes -= done;
                let mut replies = Replies::default();
                let result = write(&mut replies.writer(self.protocol));
                if long {
                    self.answers.end(replies.len());
                }
                self.unsettled.note_reply(shard, ticket, sent, replies.after(0));
                let slow = count(asked, ticket, &mut self.groups, stats, replies.after(0));
                if silent {
                    replies.clear();
                }
                self.queued_bytes += replies.len();
                *waiting = Slotted::done(replies);
                self.log_slow(slow, ticket, stats);
                Some(result)
            }
        }
    }

    fn release_front(&mut self) {
        loop {
            match self.queue.front_mut() {
                Some(Slotted::Done(bytes)) => {
                    self.output.tail().extend_from_slice(bytes);
                    self.queued_bytes -= bytes.len();
                }
                Some(Slotted::Long(replies)) => {
                    self.queued_bytes -= replies.len();
                    replies.move_to(&mut self.output);
                }
                Some(Slotted::Waiting { .. }) | None => break,
            }
            self.queue.pop_front();
            self.first_ticket += 1;
        }
        if self.queue.is_empty() {
            self.outstanding_shards = 0;
        }
    }

    /// Adds a request that was answered now to the slow log, if it is slow.
    fn log_slow(&self, slow: Option<Asked>, ticket: u64, stats: &mut CommandStats) {
        let Some(asked) = slow else { return };
        let waiter = Waiter::Client { session: self.id, ticket };
        stats.slow_log.add(stats.now(), asked, waiter, address_of(self), &self.name);
    }

    /// Forgets a transaction that was begun.
    pub(crate) fn discard(&mut self) {
        self.transaction = None;
    }
}

/// Counts a request that is answered now. Returns it if it was slow.
fn count(
    asked: Option<Asked>,
    ticket: u64,
    groups: &mut Vec<(u64, Box<[CommandId]>)>,
    stats: &mut CommandStats,
    reply: &[u8],
) -> Option<Asked> {
    let asked = asked?;
    stats.finish(asked, reply);
    if let Some(at) = groups.iter().position(|(of, _)| *of == ticket) {
        let (_, commands) = groups.swap_remove(at);
        stats.finish_group(&commands, asked.at, reply);
    }
    stats.slow_log.is_slow(stats.now(), asked).then_some(asked)
}

/// The beginning of a reply: enough to tell an error's code.
fn head(reply: &[u8]) -> Box<[u8]> {
    reply.get(..64).unwrap_or(reply).into()
}

/// All sessions of a node, and the answers for requests that other nodes forwarded.
pub(crate) struct Sessions {
    slots: Vec<Option<Box<Session>>>,
    free: Vec<u32>,
    generation: u32,
    opened: u64,
    count: usize,
    /// Sessions with something for the driver, each once.
    announced: Vec<SessionId>,
    /// Answers to other nodes.
    pub(crate) messages: Vec<(NodeId, Message)>,
    /// Answers for requests that are put together from several.
    pub(crate) gathered: Vec<(u64, usize, Vec<u8>)>,
    /// What waits to be written to other nodes.
    pub(crate) outbound: Outbound,
    pub(crate) stats: CommandStats,
    scratch: Replies,
    /// Where the clients come from.
    pub(crate) origins: Origins,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            generation: 0,
            opened: 0,
            count: 0,
            announced: Vec::new(),
            messages: Vec::new(),
            gathered: Vec::new(),
            outbound: Outbound::default(),
            stats: CommandStats::new(),
            scratch: Replies::default(),
            origins: Origins::default(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// How many sessions there have been.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// There is no password any more: nobody need give it.
    pub(crate) fn authenticate_all(&mut self) {
        for session in self.slots.iter_mut().flatten() {
            session.authenticated = true;
        }
    }

    pub(crate) fn open(
        &mut self,
        address: ClientAddress,
        now: Monotonic,
        authenticated: bool,
    ) -> SessionId {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("connections are bounded by a setting")
        });
        self.generation = self.generation.wrapping_add(1);
        let id = SessionId(u64::from(self.generation) << 32 | u64::from(at));
        let origin = self.origins.arrive(&address.host);
        let session = Session::new(id, address, origin, now, authenticated);
        self.slots[at as usize] = Some(Box::new(session));
        self.count += 1;
        self.opened += 1;
        id
    }

    pub(crate) fn close(&mut self, id: SessionId) {
        let at = id.0 as u32;
        if let Some(session) = self.get(id) {
            let origin = session.origin;
            self.origins.leave(origin);
            self.slots[at as usize] = None;
            self.free.push(at);
            self.count -= 1;
        }
    }

    pub(crate) fn get(&mut self, id: SessionId) -> Option<&mut Session> {
        find(&mut self.slots, id)
    }

    /// Where the waiting client comes from, as far as it is connected to this node.
    pub(crate) fn origin_of(&mut self, waiter: Waiter) -> Origin {
        match waiter {
            Waiter::Client { session, .. } => {
                self.get(session).map_or(Origin::UNKNOWN, |session| session.origin)
            }
            Waiter::Peer { .. } | Waiter::Gather { .. } | Waiter::Nobody => Origin::UNKNOWN,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.slots.iter().filter_map(Option::as_deref)
    }

    /// The protocol that the waiting client speaks.
    pub(crate) fn protocol(&mut self, waiter: Waiter) -> Protocol {
        match waiter {
            Waiter::Client { session, .. } => {
                self.get(session).map_or(Protocol::Resp2, |session| session.protocol)
            }
            Waiter::Peer { resp3: true, .. } => Protocol::Resp3,
            Waiter::Peer { .. } | Waiter::Gather { .. } | Waiter::Nobody => Protocol::Resp2,
        }
    }

    /// Writes the reply that `waiter` waits for. `write` runs in any case: applying an entry is
    /// more than answering.
    pub(crate) fn answer<T>(
        &mut self,
        waiter: Waiter,
        write: impl FnOnce(&mut Reply<'_>) -> T,
    ) -> T {
        match waiter {
            Waiter::Client { session, ticket } => {
                let mut write = Some(write);
                let mut run = |reply: &mut Reply<'_>| write.take().map(|write| write(reply));
                let Self { slots, stats, .. } = self;
                let found = find(slots, session);
                let written = found.and_then(|s| s.settle(ticket, stats, &mut run)).flatten();
                if let Some(written) = written {
                    self.announce(session);
                    return written;
                }
                let write = write.expect("a reply that found no session was not written");
                self.discard_reply(write)
            }
            Waiter::Peer { node, request, resp3, .. } => {
                let protocol = if resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
                let mut replies = Replies::default();
                let result = write(&mut replies.writer(protocol));
                let takes = self.outbound.takes(node, replies.len());
                let (outcome, bytes) = ForwardOutcome::of(replies, takes);
                self.outbound.add(node, bytes);
                self.messages.push((node, Message::ForwardReply { request, outcome }));
                result
            }
            Waiter::Gather { gather, part, .. } => {
                let mut replies = Replies::default();
                let result = write(&mut replies.writer(Protocol::Resp2));
                self.gathered.push((gather, part, replies.into_bytes()));
                result
            }
            Waiter::Nobody => self.discard_reply(write),
        }
    }

    fn discard_reply<T>(&mut self, write: impl FnOnce(&mut Reply<'_>) -> T) -> T {
        let result = write(&mut self.scratch.writer(Protocol::Resp2));
        self.scratch.clear();
        result
    }

    /// The request that is being handled now is handled: counts it, unless it waits with a ticket.
    pub(crate) fn end_request(&mut self, id: SessionId, args: &[&[u8]]) {
        let Self { slots, stats, .. } = self;
        let Some(session) = find(slots, id) else { return };
        let error = session.error.take();
        let error = error.as_deref().unwrap_or_default();
        let Some(asked) = session.asked.take() else {
            if !error.is_empty() {
                stats.count_error(error);
                if let Some(command) = session.rejected.take() {
                    stats.reject(command);
                }
            }
            return;
        };
        stats.finish(asked, error);
        for id in session.group.take().iter().flatten() {
            stats.finish(Asked { command: id.command(), at: asked.at }, b"");
        }
        if stats.slow_log.looks_at(asked.command) {
            let shown = slow_log::show_request(asked.command, args);
            stats.slow_log.consider(asked, shown, address_of(session), &session.name);
        }
    }

    /// Tells the slow log what was asked for by the request that was answered last.
    pub(crate) fn describe_slow(&mut self, waiter: Waiter, operation: impl FnOnce() -> Shown) {
        self.stats.slow_log.describe(waiter, operation);
    }

    /// Answers with an error.
    pub(crate) fn answer_error(&mut self, waiter: Waiter, text: &str) {
        self.answer(waiter, |reply| reply.error(text));
    }

    /// Notes that the driver must look at a session.
    pub(crate) fn announce(&mut self, id: SessionId) {
        let Some(session) = self.get(id) else { return };
        if !session.announced {
            session.announced = true;
            self.announced.push(id);
        }
    }

    /// The sessions to look at.
    pub(crate) fn take_announced(&mut self) -> Vec<SessionId> {
        let announced = core::mem::take(&mut self.announced);
        for &id in &announced {
            if let Some(session) = self.get(id) {
                session.announced = false;
            }
        }
        announced
    }

    /// Moves a session's finished replies to the end of `into`.
    pub(crate) fn take_output(&mut self, id: SessionId, into: &mut impl Sink) {
        if let Some(session) = self.get(id) {
            session.output.move_to(into);
        }
    }

    /// Bytes of replies that were not taken from a session.
    pub(crate) fn output_bytes(&mut self, id: SessionId) -> usize {
        self.get(id).map_or(0, |session| session.output_bytes())
    }

    pub(crate) fn has_output(&mut self, id: SessionId) -> bool {
        self.get(id).is_some_and(|session| !session.output.is_empty())
    }
}

fn find(slots: &mut [Option<Box<Session>>], id: SessionId) -> Option<&mut Session> {
    let session = slots.get_mut(id.0 as u32 as usize)?.as_deref_mut()?;
    (session.id == id).then_some(session)
}

//! From a client's arguments to a shard, a transaction or the frontend.

use alloc::vec::Vec;

use bytes::Bytes;
use keyspace::{Changes, Outcome};
use resp::command::{Command as CommandEntry, Flags, Handler, Rejection};
use resp::{CommandId, Replies, error};
use types::limits::SESSION_PIPELINE_MAX;
use types::{Now, SessionId, ShardId, Slot};

use super::{Node, World};
use crate::entry::{self, Command, Operation};
use crate::frontend::Asked;
use crate::io::Admission;
use crate::session::{ReplyMode, Session, Waiter};
use crate::shard::{Request, Said, Standing};
use crate::work::Kind;

/// Bytes of replies after which a session's further requests wait until the driver has taken
/// them: small requests for large values must not fill the memory within one turn.
const OUTPUT_BYTES: usize = 1 << 20;

/// Whether a paused session may go on.
pub(super) fn has_room(session: &Session, pipeline_bytes: usize, answers_bytes: usize) -> bool {
    session.outstanding() <= SESSION_PIPELINE_MAX / 2
        && session.answers_under_way(answers_bytes).1
        && session.output_bytes() <= OUTPUT_BYTES
        && session.asked_bytes() <= pipeline_bytes / 2
}

impl Node {
    /// Handles one request of a client. `args[0]` is the command's name.
    pub fn request(&mut self, now: Now, id: SessionId, args: &[&[u8]]) -> Admission {
        self.take_request(now, id, args, None)
    }

    /// The same, for a long request, which is given in the bytes that it came in: they may be kept
    /// instead of being copied. `args` are the places of its arguments, in order.
    pub fn request_long(
        &mut self,
        now: Now,
        id: SessionId,
        bytes: Vec<u8>,
        args: &[(usize, usize)],
    ) -> Admission {
        let found = slices(&bytes, args);
        let name = found.first().map(|name| name.to_vec()).unwrap_or_default();
        let operation = match self.only_command(id, &found) {
            Some((slot, number)) => entry::single_in_place(slot, number, bytes, args),
            None => Err(bytes),
        };
        let operation = match operation {
            Ok(operation) => operation,
            Err(bytes) => return self.take_request(now, id, &slices(&bytes, args), None),
        };
        let parsed = entry::only_operation(&operation);
        let Ok(Operation::Single { command: Command { mut args, .. }, .. }) = parsed else {
            unreachable!("an operation that was just made can be read");
        };
        if let Some(first) = args.first_mut() {
            *first = &name;
        }
        self.take_request(now, id, &args, Some(&operation))
    }

    /// The slot and number of a command on keys of one slot that is to be run by itself.
    fn only_command(&mut self, id: SessionId, args: &[&[u8]]) -> Option<(Slot, CommandId)> {
        let session = self.world.sessions.get(id)?;
        let runs = session.authenticated && session.transaction.is_none() && !session.closing;
        let command = resp::resolve(args).ok().filter(|_| runs)?;
        let is_alone = matches!(command.handler, Handler::Keyspace);
        Some((slot_of_keys(command, args).ok()?, command.id()?)).filter(|_| is_alone)
    }

    /// `operation` is the request as it goes to a shard, if that is known.
    fn take_request(
        &mut self,
        now: Now,
        id: SessionId,
        args: &[&[u8]],
        operation: Option<&Bytes>,
    ) -> Admission {
        // A request may be the first thing that a machine sees after it was suspended.
        self.watch_clock(now);
        let replied = self.world.sessions.output_bytes(id);
        self.handle(now, id, args, operation);
        let replied = self.world.sessions.output_bytes(id).saturating_sub(replied);
        let bytes = args.iter().map(|arg| arg.len()).sum();
        self.world.work.count_request(bytes, replied);
        self.world.sessions.end_request(id, args);
        self.world.sessions.announce(id);
        let pipeline_bytes = self.pipeline_bytes();
        let answers_bytes = self.world.settings.answers_bytes;
        let Some(session) = self.world.sessions.get(id) else { return Admission::Pause };
        match session.reply_mode {
            ReplyMode::SkipNext => session.reply_mode = ReplyMode::On,
            ReplyMode::Skip => session.reply_mode = ReplyMode::SkipNext,
            ReplyMode::On | ReplyMode::Off => {}
        }
        session.paused = session.closing
            || session.outstanding() >= SESSION_PIPELINE_MAX
            || session.answers_under_way(answers_bytes).0
            || session.output_bytes() > OUTPUT_BYTES
            || session.asked_bytes() > pipeline_bytes;
        if session.paused { Admission::Pause } else { Admission::More }
    }

    /// Bytes of requests that one session may have under way before it must wait for answers: its
    /// own pipeline is never what it is refused for, and never all that others may use.
    pub(super) fn pipeline_bytes(&self) -> usize {
        self.world.settings.shard_queue_bytes.min(self.forward_bytes()) / 4
    }

    fn handle(&mut self, now: Now, id: SessionId, args: &[&[u8]], operation: Option<&Bytes>) {
        let Some(session) = self.world.sessions.get(id) else { return };
        if session.closing {
            return;
        }
        let command = match resp::resolve(args) {
            Ok(command) => command,
            Err((rejection, text)) => return reject(session, rejection, &text, args),
        };
        session.asked = Some(Asked { command, at: now.monotonic });
        session.last_request = now.monotonic;
        session.last_command = command.name;
        if !session.authenticated && !command.flags.contains(Flags::NO_AUTH) {
            return fail(session, error::NO_AUTH);
        }
        if session.transaction.is_some() && !runs_inside_multi(command) {
            // It is counted when it runs, or as rejected now.
            session.asked = None;
            session.rejected = Some(command);
            return self.queue_command(id, command, args);
        }
        match command.handler {
            Handler::Keyspace => self.keyspace_request(now, id, command, args, operation),
            Handler::KeyspaceWide => self.wide_request(now, id, command, args),
            Handler::Transaction => self.transaction_request(now, id, command, args),
            Handler::Connection | Handler::Server | Handler::Cluster => {
                self.frontend_request(now, id, command, args);
            }
        }
    }

    /// A command on the keys of one slot.
    fn keyspace_request(
        &mut self,
        now: Now,
        id: SessionId,
        command: &'static CommandEntry,
        args: &[&[u8]],
        operation: Option<&Bytes>,
    ) {
        let slot = match slot_of_keys(command, args) {
            Ok(slot) => slot,
            Err(text) => return self.reply_error(id, text),
        };
        let Some(number) = command.id() else { return };
        let Some(route) = self.routes.of_slot(slot) else { return };
        let (shard, local) = (route.shard, route.local);
        let writes = command.flags.contains(Flags::WRITE);
        let standing = local
            .and_then(|at| self.shards.get_mut(at))
            .map(|found| found.standing(now.monotonic, &self.world.support));
        let standing = match local.and_then(|at| self.shards.get(at)) {
            Some(found) if !writes && found.reads_on() => Some(Standing::Holder),
            Some(_) | None => standing,
        };
        if standing == Some(Standing::Holder) {
            let done = if operation.is_some() {
                // It takes its own way, on which it is not copied.
                false
            } else if writes {
                self.write_here(now, id, shard, slot, number, args)
            } else {
                self.read_here(now, id, shard, slot, number, args)
            };
            if done {
                return;
            }
        } else if self.redirect(now, id, shard, slot) {
            return;
        }
        let operation = operation.cloned().unwrap_or_else(|| {
            let mut operation = Vec::new();
            entry::put_single(slot, number, args, &mut operation);
            operation.into()
        });
        self.enqueue(now, id, shard, operation, writes);
    }

    /// The fast path of a write: straight into the turn's batch.
    fn write_here(
        &mut self,
        now: Now,
        id: SessionId,
        shard: ShardId,
        slot: Slot,
        number: CommandId,
        args: &[&[u8]],
    ) -> bool {
        let Some(at) = self.local(shard) else { return false };
        let World { settings, sessions, room, .. } = &mut self.world;
        let me = settings.node;
        let (Some(found), Some(session)) = (self.shards.get_mut(at), sessions.get(id)) else {
            return false;
        };
        // An earlier request of the client may be on its way to a former holder.
        if self.routes.others_hold_half() {
            session.redirects.at_home.note(shard);
        }
        let alone = !session.has_outstanding(shard)
            || self.homeless.is_empty() && !self.forwards.goes_elsewhere(shard, me);
        let bytes = args.iter().map(|arg| arg.len()).sum();
        if !alone || !found.admits_directly(settings, bytes) {
            return false;
        }
        let Some(growth) = found.admits_single(settings, room, (slot, number, args)) else {
            return false;
        };
        let ticket = session.take_ticket(Some(shard));
        let waiter = Waiter::Client { session: id, ticket };
        let origin = session.origin;
        let bytes = found.propose_single(waiter, (me, id), slot, number, args, growth);
        session.note_bytes(ticket, bytes);
        found.load.note_write(now.monotonic, origin, bytes);
        found.load.sample(|| Some((slot, first_key(number, args))));
        self.touch(at);
        true
    }

    /// The fast path of a read: nothing of this client is outstanding in the shard, so it can run
    /// now and the reply takes its place among the others.
    fn read_here(
        &mut self,
        now: Now,
        id: SessionId,
        shard: ShardId,
        slot: Slot,
        number: CommandId,
        args: &[&[u8]],
    ) -> bool {
        let Some(at) = self.local(shard) else { return false };
        let Some(found) = self.shards.get_mut(at) else { return false };
        let env = &mut self.world.env(now);
        let Some(session) = env.sessions.get(id) else { return false };
        if self.routes.others_hold_half() {
            session.redirects.at_home.note(shard);
        }
        if session.has_outstanding(shard) || !found.reads_directly() {
            return false;
        }
        let context = found.context_for_read(env);
        let Some(session) = env.sessions.get(id) else { return false };
        let mut changes = Changes::off();
        let data = found.data_mut();
        let (origin, before) = (session.origin, session.output_bytes());
        let outcome = if session.outstanding() == 0 {
            session.reply(|reply| data.execute(number, slot, args, &context, &mut changes, reply))
        } else {
            let mut replies = Replies::default();
            let mut reply = replies.writer(session.protocol);
            let outcome = data.execute(number, slot, args, &context, &mut changes, &mut reply);
            if outcome == Outcome::Done {
                session.reply(|reply| reply.replies(replies));
            }
            outcome
        };
        env.work.count(Kind::Requests, changes.take_work());
        if outcome == Outcome::Done {
            let bytes_out = session.output_bytes() - before;
            let bytes_in = args.iter().map(|arg| arg.len()).sum();
            found.load.note_direct_read(origin, bytes_in, bytes_out);
            found.load.sample(|| Some((slot, first_key(number, args))));
            env.sessions.stats.count_lookups(number, changes.take_lookups());
            if env.trace_reads {
                found.trace_read(env);
            }
        }
        // A key that has expired is absent only once the log says so: the slow path sees to that.
        outcome == Outcome::Done
    }

    /// Gives a request its place in the client's order of replies and sends it on its way.
    pub(crate) fn enqueue(
        &mut self,
        now: Now,
        id: SessionId,
        shard: ShardId,
        operation: Bytes,
        writes: bool,
    ) {
        let Some(session) = self.world.sessions.get(id) else { return };
        let ordered = session.has_outstanding(shard);
        let watch = session.watch;
        let ticket = session.take_ticket(Some(shard));
        session.note_bytes(ticket, operation.len());
        let request = Request {
            waiter: Waiter::Client { session: id, ticket },
            operation,
            writes,
            ordered,
            watcher: (self.world.settings.node, id),
            watch,
            said: Said::default(),
            passes_on: false,
            origin: session.origin,
            arrived: now.monotonic,
            deadline: now.monotonic + self.world.settings.park_time,
            losses: 0,
            placed: 0,
        };
        self.place(now, shard, request);
    }

    /// Replies with an error, and lets a transaction that was begun fail.
    pub(crate) fn reply_error(&mut self, id: SessionId, text: &str) {
        if let Some(session) = self.world.sessions.get(id) {
            fail(session, text);
        }
    }
}

/// The slot of a command's keys.
pub(super) fn slot_of_keys(
    command: &'static CommandEntry,
    args: &[&[u8]],
) -> Result<Slot, &'static str> {
    let first = command.keys.first;
    if first > 0 && command.keys.last == first.cast_signed() {
        let key = args.get(first).ok_or(error::INVALID_ARGUMENTS)?;
        return Ok(resp::slot_of(key));
    }
    let keys = resp::command::keys(command, args).map_err(|_| error::SYNTAX)?;
    let mut slots = keys.filter_map(|key| args.get(key.index)).map(|key| resp::slot_of(key));
    let first = slots.next().ok_or(error::SYNTAX)?;
    if slots.all(|slot| slot == first) { Ok(first) } else { Err(error::CROSS_SLOT) }
}

/// The arguments of a request, by their places in it.
fn slices<'a>(bytes: &'a [u8], args: &[(usize, usize)]) -> Vec<&'a [u8]> {
    args.iter().map(|(begin, end)| bytes.get(*begin..*end).unwrap_or_default()).collect()
}

/// The first of a command's keys, if it has one in a fixed place.
fn first_key<'a>(id: CommandId, args: &[&'a [u8]]) -> Option<&'a [u8]> {
    let first = id.command().keys.first;
    args.get(first).copied().filter(|_| first > 0)
}

fn runs_inside_multi(command: &CommandEntry) -> bool {
    matches!(
        command.id(),
        Some(
            CommandId::Exec
                | CommandId::Discard
                | CommandId::Multi
                | CommandId::Watch
                | CommandId::Quit
                | CommandId::Reset
        )
    )
}

/// Refuses a request that names no command that can be run. As in Redis, a client that has yet to
/// give the password learns that a command does not exist or that the number of arguments is
/// wrong, but not that the command is one of those that only exist in Redis.
fn reject(session: &mut Session, rejection: Rejection, text: &str, args: &[&[u8]]) {
    if is_http(args) {
        session.closing = true;
        return session.reply(|reply| reply.error(HTTP));
    }
    session.rejected = named(args);
    match rejection {
        Rejection::Unsupported if !session.authenticated => fail(session, error::NO_AUTH),
        Rejection::UnknownCommand
        | Rejection::UnknownSubcommand
        | Rejection::Unsupported
        | Rejection::WrongArity => fail(session, text),
    }
}

/// What is answered to HTTP, before the connection ends.
const HTTP: &str = "ERR this port speaks the Redis protocol, not HTTP: the connection ends here; \
    operators' pages are at the address of the setting `http_listen`";

/// Whether what can't be run is a line of HTTP. A web page that is made to send one to this port
/// must not have the lines behind it run as commands, as in Redis.
fn is_http(args: &[&[u8]]) -> bool {
    let is = |word: &[u8]| args.first().is_some_and(|name| name.eq_ignore_ascii_case(word));
    let names_version = args.len() == 3 && args.get(2).is_some_and(|it| it.starts_with(b"HTTP/"));
    is(b"post") || is(b"host:") || names_version
}

/// The command that a request names, whatever its arguments.
fn named(args: &[&[u8]]) -> Option<&'static CommandEntry> {
    let command = resp::lookup(args.first()?)?;
    let word = args.get(1).filter(|_| !command.subcommands.is_empty());
    word.map_or(Some(command), |word| resp::command::lookup_subcommand(command, word))
}

fn fail(session: &mut Session, text: &str) {
    if let Some(transaction) = &mut session.transaction {
        transaction.failed = true;
    }
    session.reply(|reply| reply.error(text));
}

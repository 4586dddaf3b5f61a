//! Requests to all slots: DBSIZE, KEYS, SCAN, RANDOMKEY, FLUSHALL.
//!
//! They are put together from answers of the shards, each served by its holder like any other
//! request, so each part is linearizable; the whole is not one moment in time, as it isn't in a
//! Redis Cluster. A client that has shown that it knows the topology asks each node for its own
//! part, as such clients do; any other client is shown the whole.
//!
//! Each part of a write is done as a whole or not at all, but one part may be done and another not.
//! Then the reply begins with UNCERTAIN and says which; any other error means that nothing was
//! done.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use bytes::Bytes;
use resp::command::Command;
use resp::{CommandId, Reply, error, number};
use types::limits::KEYS_BYTES_MAX;
use types::{Now, SessionId, ShardId};

use super::Node;
use crate::entry::{self, Survey};
use crate::planted::Planting;
use crate::refusals::is_uncertain;
use crate::session::{QueuedCommand, Waiter};
use crate::shard::{Request, Said};

/// Requests that wait for answers of several shards.
#[derive(Default)]
pub(super) struct Gathers {
    next: u64,
    under_way: BTreeMap<u64, Gather>,
}

struct Gather {
    waiter: Waiter,
    /// What the shards are asked, for the slow log.
    operation: Bytes,
    kind: Kind,
    shards: Vec<ShardId>,
    parts: Vec<Option<Vec<u8>>>,
    missing: usize,
}

/// How many shards of a kind are named in the reply to a write that was done in part.
const SHARDS_NAMED: usize = 16;

/// What a client is told by a node that does not know all shards.
const CUT_UNKNOWN: &str = "CLUSTERDOWN this node has not learnt yet into which shards the \
    cluster's data are cut: it waits for other nodes; the request was not executed, try again";

enum Kind {
    Count,
    Keys,
    Random {
        seed: u64,
    },
    Flush,
    /// A transaction with commands that are not about data between those that are.
    Exec {
        session: SessionId,
        commands: Vec<QueuedCommand>,
    },
}

impl Node {
    pub(super) fn wide_request(
        &mut self,
        now: Now,
        id: SessionId,
        command: &'static Command,
        args: &[&[u8]],
    ) {
        if !self.knows_all_shards() {
            return self.reply_error(id, CUT_UNKNOWN);
        }
        let mut operation = Vec::new();
        let kind = match command.id() {
            Some(CommandId::DbSize) => {
                entry::put_survey(Survey::Count, &mut operation);
                Kind::Count
            }
            Some(CommandId::Keys) => {
                let pattern = args.get(1).copied().unwrap_or_default();
                if pattern.len() > types::limits::PATTERN_BYTES_MAX {
                    return self.reply_error(id, "ERR the pattern is too long");
                }
                entry::put_survey(Survey::Keys { pattern }, &mut operation);
                Kind::Keys
            }
            Some(CommandId::RandomKey) => {
                entry::put_survey(Survey::Random, &mut operation);
                Kind::Random { seed: self.frontend.random() }
            }
            Some(CommandId::FlushAll | CommandId::FlushDb) => {
                let known = |arg: &&[u8]| {
                    arg.eq_ignore_ascii_case(b"sync") || arg.eq_ignore_ascii_case(b"async")
                };
                if args.len() > 2 || !args.iter().skip(1).all(known) {
                    return self.reply_error(id, error::SYNTAX);
                }
                entry::put_flush(&mut operation);
                Kind::Flush
            }
            Some(CommandId::Scan) => return self.scan(now, id, args),
            Some(_) | None => return,
        };
        let everywhere = matches!(kind, Kind::Flush) || self.sees_the_whole(now, id);
        let me = self.world.settings.node;
        let shards: Vec<ShardId> = self
            .routes
            .iter()
            .filter(|route| everywhere || route.holder == Some(me))
            .map(|route| route.shard)
            .collect();
        let writes = matches!(kind, Kind::Flush);
        self.gather(now, id, kind, &shards, operation, writes);
    }

    /// Whether this node can name all shards. One that has yet to learn into how many the data are
    /// cut goes by its settings: it would ask some of them, and call that all.
    fn knows_all_shards(&self) -> bool {
        self.world.founding.knows_cut() || self.world.settings.breaks(Planting::AskAssumedShards)
    }

    /// Whether a client is shown the whole cluster's data by this node, or only this node's part.
    fn sees_the_whole(&mut self, now: Now, id: SessionId) -> bool {
        let Some(session) = self.world.sessions.get(id) else { return true };
        !session.redirects.follows && !self.frontend.is_topology_client(now.monotonic, session)
    }

    fn gather(
        &mut self,
        now: Now,
        id: SessionId,
        kind: Kind,
        shards: &[ShardId],
        operation: Vec<u8>,
        writes: bool,
    ) {
        let Some(session) = self.world.sessions.get(id) else { return };
        let mut ordered = false;
        for shard in shards {
            ordered |= session.has_outstanding(*shard);
        }
        let (origin, watch) = (session.origin, session.watch);
        let ticket = session.take_ticket(None);
        let waiter = Waiter::Client { session: id, ticket };
        for shard in shards {
            session.mark_outstanding(*shard);
        }
        session.note_bytes(ticket, operation.len());
        let gather = self.gathers.next;
        self.gathers.next += 1;
        let parts = alloc::vec![None; shards.len()];
        let missing = shards.len();
        let operation = Bytes::from(operation);
        let begun = Gather {
            waiter,
            operation: operation.clone(),
            kind,
            shards: shards.to_vec(),
            parts,
            missing,
        };
        self.gathers.under_way.insert(gather, begun);
        for (part, &shard) in shards.iter().enumerate() {
            let request = Request {
                waiter: Waiter::Gather { gather, part, ticket },
                operation: operation.clone(),
                writes,
                ordered,
                watcher: (self.world.settings.node, id),
                watch,
                said: Said::default(),
                passes_on: false,
                origin,
                arrived: now.monotonic,
                deadline: now.monotonic + self.world.settings.park_time,
                losses: 0,
                placed: 0,
            };
            self.place(now, shard, request);
        }
        if shards.is_empty() {
            self.finish(now, gather);
        }
    }

    /// A transaction whose data commands go to the shard while the others are answered here.
    pub(super) fn exec_mixed(
        &mut self,
        now: Now,
        id: SessionId,
        shard: ShardId,
        operation: Vec<u8>,
        commands: Vec<QueuedCommand>,
    ) {
        let kind = Kind::Exec { session: id, commands };
        self.gather(now, id, kind, &[shard], operation, true);
    }

    /// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]: one shard at a time.
    fn scan(&mut self, now: Now, id: SessionId, args: &[&[u8]]) {
        let parsed = match parse_scan(args) {
            Ok(parsed) => parsed,
            Err(text) => return self.reply_error(id, text),
        };
        let whole = self.sees_the_whole(now, id);
        let me = self.world.settings.node;
        let from = keyspace::ScanCursor::decode(parsed.cursor).map(keyspace::ScanCursor::slot);
        let Some(from) = from else { return self.reply_error(id, error::INVALID_CURSOR) };
        let mut rest = self
            .routes
            .iter()
            .filter(|route| route.range.last() >= from)
            .filter(|route| whole || route.holder == Some(me));
        let shard = rest.next().map(|route| route.shard);
        let after = rest.next().map(|next| keyspace::ScanCursor::at(next.range.first()).encode());
        drop(rest);
        let Some(shard) = shard.filter(|_| !parsed.nothing) else {
            return self.reply_empty_scan(id);
        };
        let mut operation = Vec::new();
        let survey = Survey::Scan {
            cursor: parsed.cursor,
            after: after.unwrap_or(0),
            count: parsed.count,
            pattern: parsed.pattern,
            strings_only: parsed.strings_only,
        };
        entry::put_survey(survey, &mut operation);
        self.enqueue(now, id, shard, operation.into(), false);
    }

    fn reply_empty_scan(&mut self, id: SessionId) {
        if let Some(session) = self.world.sessions.get(id) {
            session.reply(|reply| {
                reply.array(2);
                reply.bulk(b"0");
                reply.array(0);
            });
        }
    }

    /// Puts together what is complete.
    pub(super) fn finish_gathers(&mut self, now: Now) {
        for (number, part, bytes) in core::mem::take(&mut self.world.sessions.gathered) {
            let Some(gather) = self.gathers.under_way.get_mut(&number) else { continue };
            let Some(place) = gather.parts.get_mut(part) else { continue };
            if place.replace(bytes).is_none() {
                gather.missing -= 1;
            }
            if gather.missing == 0 {
                let (waiter, operation) = (gather.waiter, gather.operation.clone());
                self.finish(now, number);
                self.describe_slow(waiter, &operation);
            }
        }
    }

    fn finish(&mut self, now: Now, number: u64) {
        let Some(gather) = self.gathers.under_way.remove(&number) else { return };
        let parts: Vec<Vec<u8>> = gather.parts.into_iter().flatten().collect();
        self.note_uncertain(gather.waiter, &gather.shards, &parts);
        if let Some(refused) = parts.iter().find(|part| is_error(part)) {
            let hides = self.world.settings.breaks(Planting::HideDoneParts);
            let partly = matches!(gather.kind, Kind::Flush) && !hides;
            let text = partly.then(|| done_in_part(&gather.shards, &parts)).flatten();
            return self.world.sessions.answer(gather.waiter, |reply| match text {
                Some(text) => reply.error(&text),
                None => reply.encoded(refused),
            });
        }
        match gather.kind {
            Kind::Count => {
                let sum: i64 = parts.iter().filter_map(|part| integer(part)).sum();
                self.world.sessions.answer(gather.waiter, |reply| reply.integer(sum));
            }
            Kind::Keys if parts.iter().map(Vec::len).sum::<usize>() > KEYS_BYTES_MAX => {
                self.world.sessions.answer_error(gather.waiter, error::TOO_MANY_KEYS);
            }
            Kind::Keys => self.world.sessions.answer(gather.waiter, |reply| join(&parts, reply)),
            Kind::Random { seed } => {
                let found: Vec<&Vec<u8>> =
                    parts.iter().filter(|part| !part.starts_with(b"$-1")).collect();
                let pick = seed.checked_rem(found.len() as u64).unwrap_or(0);
                let pick = usize::try_from(pick).ok().and_then(|at| found.get(at)).copied();
                self.world.sessions.answer(gather.waiter, |reply| match pick {
                    Some(bytes) => reply.encoded(bytes),
                    None => reply.null(),
                });
            }
            Kind::Flush => self.world.sessions.answer(gather.waiter, |reply| reply.ok()),
            Kind::Exec { session, commands } => {
                let part = parts.first().map(Vec::as_slice).unwrap_or_default();
                self.finish_exec(now, gather.waiter, session, &commands, part);
            }
        }
    }

    /// What the client asks next of shards whose parts may be under way comes behind them.
    fn note_uncertain(&mut self, waiter: Waiter, shards: &[ShardId], parts: &[Vec<u8>]) {
        let Waiter::Client { session, .. } = waiter else { return };
        let Some(session) = self.world.sessions.get(session) else { return };
        let answered = shards.iter().zip(parts);
        for (shard, _) in answered.filter(|(_, part)| is_uncertain(part)) {
            session.note_uncertain(*shard);
        }
    }

    /// Interleaves the replies of a transaction's data commands with those of the others.
    fn finish_exec(
        &mut self,
        now: Now,
        waiter: Waiter,
        session: SessionId,
        commands: &[QueuedCommand],
        data: &[u8],
    ) {
        let Some((_, mut elements)) = split_array(data) else {
            return self.world.sessions.answer(waiter, |reply| reply.null_array());
        };
        let mut replies: Vec<Vec<u8>> = Vec::new();
        for command in commands {
            if command.id.command().handler == resp::Handler::Keyspace {
                let (element, rest) = split_value(elements);
                replies.push(element.to_vec());
                elements = rest;
            } else {
                replies.push(self.reply_of(now, session, command));
            }
        }
        self.world.sessions.answer(waiter, |reply| {
            reply.array(replies.len());
            for bytes in &replies {
                reply.encoded(bytes);
            }
        });
    }
}

fn is_error(reply: &[u8]) -> bool {
    reply.first() == Some(&b'-')
}

/// What a client is told whose write some shards may have done and others have not; `None` if none
/// has done it, or may have.
fn done_in_part(shards: &[ShardId], parts: &[Vec<u8>]) -> Option<String> {
    let (mut done, mut not_done, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    let mut reason = None;
    for (&shard, part) in shards.iter().zip(parts) {
        if !is_error(part) {
            done.push(shard);
        } else if is_uncertain(part) {
            unknown.push(shard);
        } else {
            reason.get_or_insert(part);
            not_done.push(shard);
        }
    }
    if done.is_empty() && unknown.is_empty() {
        return None;
    }
    let mut text = String::from("UNCERTAIN the request was executed in part: ");
    name_shards(&mut text, "done in", &done, "");
    let reason =
        reason.map_or(b"".as_slice(), |it| it.strip_prefix(b"-").unwrap_or(it).trim_ascii());
    let why = alloc::format!(" ({})", String::from_utf8_lossy(reason));
    name_shards(&mut text, "not done in", &not_done, &why);
    name_shards(&mut text, "unknown in", &unknown, "");
    text.push_str("try again to have it done everywhere");
    Some(text)
}

/// Names shards, if there are any.
fn name_shards(text: &mut String, what: &str, shards: &[ShardId], why: &str) {
    if shards.is_empty() {
        return;
    }
    text.push_str(what);
    for (at, shard) in shards.iter().take(SHARDS_NAMED).enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a string can't fail.
        let _ = write!(text, "{comma} {shard}");
    }
    if shards.len() > SHARDS_NAMED {
        let _ = write!(text, " and {} more", shards.len() - SHARDS_NAMED);
    }
    let _ = write!(text, "{why}; ");
}

/// The options of SCAN.
struct Scan<'a> {
    cursor: u64,
    count: u64,
    pattern: Option<&'a [u8]>,
    strings_only: bool,
    /// No value can have the type that was asked for.
    nothing: bool,
}

fn parse_scan<'a>(args: &[&'a [u8]]) -> Result<Scan<'a>, &'static str> {
    let cursor = args.get(1).and_then(|arg| number::parse_u64(arg));
    let mut scan = Scan {
        cursor: cursor.ok_or(error::INVALID_CURSOR)?,
        count: 10,
        pattern: None,
        strings_only: false,
        nothing: false,
    };
    let mut rest = args.get(2..).unwrap_or_default();
    while let [option, value, more @ ..] = rest {
        if option.eq_ignore_ascii_case(b"count") {
            let count = number::parse_i64(value).ok_or(error::NOT_AN_INTEGER)?;
            scan.count = u64::try_from(count).ok().filter(|&c| c > 0).ok_or(error::SYNTAX)?;
        } else if option.eq_ignore_ascii_case(b"match") {
            if value.len() > types::limits::PATTERN_BYTES_MAX {
                return Err("ERR the pattern is too long");
            }
            scan.pattern = Some(value);
        } else if option.eq_ignore_ascii_case(b"type") {
            scan.strings_only = true;
            scan.nothing = !value.eq_ignore_ascii_case(b"string");
        } else {
            return Err(error::SYNTAX);
        }
        rest = more;
    }
    if rest.is_empty() { Ok(scan) } else { Err(error::SYNTAX) }
}

/// The value of an integer reply.
fn integer(reply: &[u8]) -> Option<i64> {
    number::parse_i64(reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?)
}

/// An array's length and its elements, as bytes.
pub(crate) fn split_array(reply: &[u8]) -> Option<(usize, &[u8])> {
    let end = reply.iter().position(|&byte| byte == b'\n')?;
    let (line, elements) = reply.split_at(end + 1);
    let len = number::parse_i64(line.strip_prefix(b"*")?.strip_suffix(b"\r\n")?)?;
    Some((usize::try_from(len).ok()?, elements))
}

/// Joins arrays into one.
fn join(parts: &[Vec<u8>], reply: &mut Reply<'_>) {
    let arrays: Vec<(usize, &[u8])> = parts.iter().filter_map(|part| split_array(part)).collect();
    reply.array(arrays.iter().map(|(len, _)| len).sum());
    for (_, elements) in arrays {
        reply.encoded(elements);
    }
}

/// Splits the first value off a sequence of replies, which this program has written itself.
pub(crate) fn split_value(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(value_len(bytes).min(bytes.len()))
}

fn value_len(bytes: &[u8]) -> usize {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return bytes.len() };
    let line = bytes.get(1..end.saturating_sub(1)).unwrap_or_default();
    let count = number::parse_i64(line).and_then(|len| usize::try_from(len).ok());
    let mut at = end + 1;
    match (bytes.first(), count) {
        (Some(b'$' | b'='), Some(len)) => at + len + 2,
        (Some(b'*' | b'~' | b'%'), Some(len)) => {
            let elements = if bytes.first() == Some(&b'%') { len * 2 } else { len };
            for _ in 0..elements {
                at += value_len(bytes.get(at..).unwrap_or_default());
            }
            at
        }
        _ => at,
    }
}

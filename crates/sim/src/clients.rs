//! Clients in closed loops, and the history of what they saw.
//!
//! A client sends one or several actions at once and waits for all replies. If they do not come
//! in time or the connection breaks, it does not know what became of what it asked for; it goes
//! to another node and calls itself by another name in the history.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use history::{Call, Key, Operation, Reply, Status};
use resp::{Decoder, Value};

use crate::aside::{Aside, Awaited, Walk, deletion, judge, unjudged};
use crate::expiry::{Lifetimes, Timed};
use crate::order::Sequences;
use crate::random::Random;
use crate::situations::ERRORS;
use crate::workload::{Action, Class, Expected, What, Workload, commands, watch};
use crate::world::{ConnectionId, MILLISECOND, SECOND, World};

/// Timers of clients: the token's high half is this, the low half the client.
pub(crate) const ACT: u64 = 1;
/// The token's middle counts the waits of a client.
pub(crate) const PATIENCE: u64 = 2;

/// What clients are to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Work,
    /// Finish, and begin nothing.
    Drain,
    /// Read every key once.
    Audit,
}

struct Client {
    /// Its names in the history, one for each place in its pipeline.
    names: Vec<u64>,
    connection: Option<ConnectionId>,
    home: usize,
    decoder: Decoder,
    buffer: Vec<u8>,
    outstanding: VecDeque<Expected>,
    /// The operations under way, and the actions that they came from.
    under_way: Vec<(usize, Action)>,
    /// A compare-and-set whose first half is done.
    exchange: Option<Action>,
    /// A walk through all keys that goes on.
    walk: Option<Walk>,
    /// The connection watches what nobody wants to exchange any more.
    tainted: bool,
    /// Where a redirection sends it.
    redirected: Option<usize>,
    waits: u64,
    since: u64,
}

/// All clients of a run.
pub(crate) struct Clients {
    workload: Workload,
    clients: Vec<Client>,
    by_connection: BTreeMap<ConnectionId, usize>,
    pub(crate) history: Vec<Operation>,
    pub(crate) phase: Phase,
    audit: VecDeque<Action>,
    random: Random,
    names: u64,
    unique: u64,
    pub(crate) sequences: Sequences,
    pub(crate) lifetimes: Lifetimes,
    /// Keys that were written and are never removed.
    lasting: BTreeSet<Key>,
    /// What was reached since the last time it was asked for.
    pub(crate) reached: Vec<&'static str>,
    /// Replies that no command may give.
    pub(crate) oddity: Option<String>,
    /// Requests that were answered, whatever the answer.
    pub(crate) answered: u64,
}

impl Clients {
    pub(crate) fn new(workload: Workload, random: Random) -> Self {
        let client = |_| Client {
            names: Vec::new(),
            connection: None,
            home: 0,
            decoder: Decoder::default(),
            buffer: Vec::new(),
            outstanding: VecDeque::new(),
            under_way: Vec::new(),
            exchange: None,
            walk: None,
            tainted: false,
            redirected: None,
            waits: 0,
            since: 0,
        };
        Self {
            clients: (0..workload.clients).map(client).collect(),
            workload,
            by_connection: BTreeMap::new(),
            history: Vec::new(),
            phase: Phase::Work,
            audit: VecDeque::new(),
            random,
            names: 0,
            unique: 0,
            sequences: Sequences::default(),
            lifetimes: Lifetimes::default(),
            lasting: BTreeSet::new(),
            reached: Vec::new(),
            oddity: None,
            answered: 0,
        }
    }

    /// Sets all clients going.
    pub(crate) fn start(&mut self, world: &mut World) {
        for at in 0..self.clients.len() {
            let delay = self.random.between(0, 50 * MILLISECOND);
            world.set_timer(world.now() + delay, ACT << 56 | at as u64);
        }
    }

    /// Lets the clients read every key once.
    pub(crate) fn begin_audit(&mut self, world: &mut World) {
        self.phase = Phase::Audit;
        self.audit = self.workload.audit().into();
        for client in &mut self.clients {
            client.tainted |= client.exchange.take().is_some();
        }
        self.start(world);
    }

    /// The slots that the clients touch.
    pub(crate) fn slots(&self) -> Vec<types::Slot> {
        self.workload.slots()
    }

    /// Whether lifetimes can be measured by true time.
    pub(crate) fn clocks_are_right(&self) -> bool {
        self.workload.variety.clocks_are_right
    }

    /// Whether nobody waits for anything, and nothing is left to be read.
    pub(crate) fn are_idle(&self) -> bool {
        self.audit.is_empty() && self.clients.iter().all(|client| client.outstanding.is_empty())
    }

    /// How long the longest wait has lasted, in nanoseconds.
    pub(crate) fn longest_wait(&self, now: u64) -> u64 {
        let waits = self.clients.iter().filter(|client| !client.outstanding.is_empty());
        waits.map(|client| now - client.since).max().unwrap_or(0)
    }

    /// A timer of one of the clients rang.
    pub(crate) fn on_timer(&mut self, world: &mut World, token: u64) {
        let at = (token & 0xffff) as usize;
        match token >> 56 {
            ACT => self.act(world, at),
            PATIENCE => {
                let client = &self.clients[at];
                let waits = token >> 16 & 0xff_ffff_ffff;
                if client.waits == waits && !client.outstanding.is_empty() {
                    self.give_up(world, at);
                }
            }
            _ => {}
        }
    }

    fn act_soon(&mut self, world: &mut World, at: usize) {
        let delay = 1 + self.random.between(0, self.workload.think);
        world.set_timer(world.now() + delay, ACT << 56 | at as u64);
    }

    fn act(&mut self, world: &mut World, at: usize) {
        if !self.clients[at].outstanding.is_empty() {
            return;
        }
        let mut actions = Vec::new();
        match self.phase {
            Phase::Drain => return,
            Phase::Audit => match self.audit.pop_front() {
                Some(action) => actions.push(action),
                None => return,
            },
            Phase::Work => {
                if let Some(action) = self.clients[at].exchange.take() {
                    actions.push(action);
                } else if self.clients[at].walk.is_some() {
                    let what = What::Aside(Aside::Scan);
                    actions.push(Action { class: Class::Register, key: 0, what });
                } else {
                    for _ in 0..self.random.between(1, self.workload.pipeline) {
                        actions.push(self.workload.draw(&mut self.random));
                    }
                    // All that is watched together must lie in one slot: one at a time.
                    if let Some(at) = actions.iter().position(Action::watches) {
                        actions.swap(0, at);
                        actions.truncate(1);
                    }
                }
            }
        }
        // A connection is left now and then, so that every node has clients after a fault.
        if core::mem::take(&mut self.clients[at].tainted) || self.random.permille(20) {
            self.leave(world, at);
        }
        if self.clients[at].connection.is_none() {
            let redirected = self.clients[at].redirected.take();
            let home = redirected.unwrap_or_else(|| world.any_home(&mut self.random));
            let connection = world.connect(home);
            let client = &mut self.clients[at];
            client.connection = Some(connection);
            client.home = home;
            client.exchange = None;
            client.decoder = Decoder::default();
            client.buffer.clear();
            self.by_connection.insert(connection, at);
            if self.workload.variety.resp3 && at % 2 == 1 {
                self.clients[at].outstanding.push_back(Expected::Aside(Awaited::Anything));
                world.send(connection, vec![b"HELLO".to_vec(), b"3".to_vec()]);
            }
            // What was watched on the old connection is not watched on this one.
            actions.retain(|action| !matches!(action.what, What::Exchange(_)));
        }
        for (place, action) in actions.into_iter().enumerate() {
            self.send(world, at, place, action);
        }
        let client = &mut self.clients[at];
        if client.outstanding.is_empty() {
            return self.act_soon(world, at);
        }
        client.waits += 1;
        client.since = world.now();
        let token = PATIENCE << 56 | client.waits << 16 | at as u64;
        let patience = match self.phase {
            Phase::Work => self.workload.patience,
            Phase::Drain | Phase::Audit => 20 * SECOND,
        };
        world.set_timer(world.now() + patience, token);
    }

    fn send(&mut self, world: &mut World, at: usize, place: usize, action: Action) {
        if let What::Aside(aside) = action.what {
            return self.send_aside(world, at, aside);
        }
        self.unique += 1;
        let key: Key = self.workload.key(&action).into();
        let begins_exchange = action.watches();
        let call =
            if begins_exchange { Call::Get } else { self.workload.call(&action, self.unique) };
        let client = &mut self.clients[at];
        while client.names.len() <= place {
            self.names += 1;
            client.names.push(self.names);
        }
        let operation = self.history.len();
        let variety = self.workload.variety;
        let life = self.random.between(20, 400) * if variety.expires { 5 } else { 1 };
        let mut commands = if begins_exchange {
            watch(&key, operation, action.key)
        } else {
            commands(&action, &key, &call, operation, life, variety.composed)
        };
        if let (Class::Text, Some(connection)) = (action.class, client.connection) {
            self.sequences.add(connection, key.clone(), operation);
        }
        if action.class == Class::Expiring && variety.expires && !variety.flushes {
            let start = world.now();
            let timed = if let Call::Set(value) = &call {
                self.lifetimes.write(&key, value.clone(), life * MILLISECOND, start)
            } else {
                Timed::Read { key: key.clone(), start }
            };
            commands[0].1 = Expected::Expiring(Some(timed));
        }
        if action.class != Class::Expiring {
            self.history.push(Operation {
                process: client.names[place],
                key,
                call,
                start: world.now(),
                end: None,
                reply: None,
                status: Status::Info,
                node: Some(client.home as u32 + 1),
                epoch: None,
            });
            client.under_way.push((operation, action));
        }
        let Some(connection) = client.connection else { return };
        for (args, expected) in commands {
            client.outstanding.push_back(expected);
            world.send(connection, args);
        }
    }

    /// Asks for something beside the usual.
    fn send_aside(&mut self, world: &mut World, at: usize, aside: Aside) {
        let Some(connection) = self.clients[at].connection else { return };
        let known = || self.lasting.iter().cloned().collect::<Vec<Key>>();
        let word = |word: &str| word.as_bytes().to_vec();
        let (args, awaited) = match aside {
            Aside::Keys => (vec![word("KEYS"), word("*")], Awaited::Keys(known())),
            Aside::Size => (vec![word("DBSIZE")], Awaited::Size(self.lasting.len())),
            Aside::Scan => {
                let walk = self.clients[at].walk.take().unwrap_or_else(|| Walk::new(known()));
                (walk.words(&mut self.random), Awaited::Scan(walk))
            }
            Aside::Flush => {
                let start = world.now();
                let mut operations = Vec::new();
                for action in self.workload.audit() {
                    self.names += 1;
                    let key = self.workload.key(&action).into();
                    operations.push(self.history.len());
                    self.history.push(deletion(self.names, key, start, self.clients[at].home));
                }
                (vec![word("FLUSHALL")], Awaited::Flush(operations))
            }
            Aside::Costly | Aside::Tune => (unjudged(aside, &mut self.random), Awaited::Anything),
        };
        self.clients[at].outstanding.push_back(Expected::Aside(awaited));
        world.send(connection, args);
    }

    /// A client waits no longer.
    fn give_up(&mut self, world: &mut World, at: usize) {
        self.reached.push("client gives up");
        self.leave(world, at);
        self.act_soon(world, at);
    }

    /// A client closes its connection. What it did not hear of is of unknown outcome.
    fn leave(&mut self, world: &mut World, at: usize) {
        let client = &mut self.clients[at];
        if let Some(connection) = client.connection.take() {
            self.by_connection.remove(&connection);
            world.disconnect(connection);
        }
        self.forget(at);
    }

    fn forget(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.outstanding.clear();
        client.exchange = None;
        client.walk = None;
        if !client.under_way.is_empty() {
            client.names.clear();
        }
        for (_, action) in client.under_way.drain(..) {
            if self.phase == Phase::Audit {
                self.audit.push_back(action);
            }
        }
    }

    /// A client's connection broke.
    pub(crate) fn on_closed(&mut self, world: &mut World, connection: ConnectionId) {
        let Some(at) = self.by_connection.remove(&connection) else { return };
        self.clients[at].connection = None;
        self.forget(at);
        let delay = self.random.between(MILLISECOND, 20 * MILLISECOND);
        world.set_timer(world.now() + delay, ACT << 56 | at as u64);
    }

    /// Bytes arrived at a client.
    pub(crate) fn on_reply(&mut self, world: &mut World, connection: ConnectionId, bytes: &[u8]) {
        let Some(&at) = self.by_connection.get(&connection) else { return };
        self.clients[at].buffer.extend_from_slice(bytes);
        loop {
            let client = &mut self.clients[at];
            let decoded = match client.decoder.next(&client.buffer) {
                Ok(decoded) => decoded,
                Err(error) => {
                    self.oddity = Some(format!("a client got {error}"));
                    return;
                }
            };
            client.buffer.drain(..decoded.consumed);
            let Some(value) = decoded.value else { break };
            match client.outstanding.pop_front() {
                Some(expected) => self.finish(world.now(), at, expected, value),
                None => self.oddity = Some(format!("a reply to nothing: {value:?}")),
            }
        }
        self.reached.drain(..).for_each(|name| world.checker.reached.count(name));
        if self.clients[at].outstanding.is_empty() {
            self.act_soon(world, at);
        }
    }

    /// The operation that a reply belongs to, with the value that counts; what belongs to none is
    /// dealt with here.
    fn operation_of(
        &mut self,
        now: u64,
        at: usize,
        expected: Expected,
        value: Value,
    ) -> Option<(usize, Value)> {
        Some(match expected {
            Expected::Nothing => {
                self.check_prelude(&value);
                return None;
            }
            Expected::Expiring(None) => return None,
            Expected::Expiring(Some(timed)) => {
                if value == Value::Null {
                    self.reached.push("value expired");
                }
                self.lifetimes.answered(timed, value, now);
                return None;
            }
            Expected::Aside(awaited) => {
                match judge(awaited, &value, &mut self.history, now) {
                    Ok(walk) => self.clients[at].walk = walk.or(self.clients[at].walk.take()),
                    Err(text) => self.oddity = Some(text),
                }
                return None;
            }
            Expected::Composed(operation) => (operation, self.composed(value)),
            Expected::Pair(operation) => (operation, self.unite(value)),
            Expected::Operation(operation) => (operation, value),
            Expected::Exchange(operation) => (operation, value),
            Expected::Watched(operation, key) => {
                let seen = if let Value::Bulk(bytes) = &value {
                    Some(Some(bytes.clone()))
                } else {
                    (value == Value::Null).then_some(None)
                };
                self.clients[at].tainted = seen.is_none();
                self.clients[at].exchange = seen.map(|seen| {
                    let what = What::Exchange(seen);
                    Action { class: Class::Watched, key, what }
                });
                (operation, value)
            }
        })
    }

    fn finish(&mut self, now: u64, at: usize, expected: Expected, value: Value) {
        self.answered += 1;
        if let Value::Error(text) = &value {
            self.reached.extend(name_of_error(text));
        }
        let Some((operation, value)) = self.operation_of(now, at, expected, value) else { return };
        if let Some(home) = redirection(&value) {
            self.clients[at].redirected = Some(home);
            self.clients[at].tainted = true;
        }
        let client = &mut self.clients[at];
        let place = client.under_way.iter().position(|(number, _)| *number == operation);
        let action = place.map(|place| client.under_way.remove(place).1);
        let entry = &mut self.history[operation];
        let (status, reply) = outcome(&entry.call, &value);
        if let (Value::Error(text), true) = (&value, status == Status::Ok) {
            self.oddity = Some(format!("{} was answered by {text}", entry.call));
        }
        entry.end = Some(now.max(entry.start + 1));
        entry.status = status;
        entry.reply = reply;
        let lasts = |action: &Action| {
            matches!(action.class, Class::Register | Class::Counter | Class::Text)
                && action.what == What::Write
        };
        if status == Status::Ok && self.workload.variety.lists && action.as_ref().is_some_and(lasts)
        {
            self.lasting.insert(entry.key.clone());
        }
        if matches!(entry.call, Call::Cas { .. }) && value == Value::Null {
            self.reached.push("transaction called off");
        }
        if status == Status::Info {
            // The name stays with the operation for ever.
            let name = entry.process;
            self.names += 1;
            let fresh = self.names;
            for known in client.names.iter_mut().filter(|known| **known == name) {
                *known = fresh;
            }
        }
        if status != Status::Ok && self.phase == Phase::Audit {
            self.audit.extend(action);
        }
    }

    /// `OK`, `QUEUED`, or an error that a transaction will report again.
    fn check_prelude(&mut self, value: &Value) {
        if let Value::Error(text) = value
            && refusal(text).is_none()
        {
            self.oddity = Some(format!("a transaction was answered by {text}"));
        }
    }

    /// Writes that made a pair: each must have been done.
    fn composed(&mut self, value: Value) -> Value {
        if let Value::Array(replies) = &value
            && replies.iter().any(|reply| matches!(reply, Value::Error(_)))
        {
            self.oddity = Some(format!("a transaction was answered by {replies:?}"));
        }
        value
    }

    /// Both halves of a pair were written by the same transactions.
    fn unite(&mut self, value: Value) -> Value {
        let Value::Array(mut halves) = value else { return value };
        if halves.len() != 2 || halves[0] != halves[1] {
            self.oddity = Some(format!("a transaction was seen in part: {halves:?}"));
        }
        halves.pop().unwrap_or(Value::Null)
    }
}

/// What an error says of its request: `Fail` if it was not executed, `Info` if nobody knows.
pub(crate) fn refusal(text: &str) -> Option<Status> {
    let code = text.split(' ').next().unwrap_or_default();
    match code {
        "CLUSTERDOWN" | "TRYAGAIN" | "MISCONF" | "MOVED" | "EXECABORT" => Some(Status::Fail),
        "UNCERTAIN" => Some(Status::Info),
        _ => None,
    }
}

/// The situation that an error stands for.
fn name_of_error(text: &str) -> Option<&'static str> {
    let code = text.split(' ').next().unwrap_or_default();
    ERRORS.iter().find(|name| name.strip_prefix("reply ") == Some(code)).copied()
}

/// The node that a client is sent to.
fn redirection(value: &Value) -> Option<usize> {
    let Value::Error(text) = value else { return None };
    let address = text.strip_prefix("MOVED ")?.split(' ').nth(1)?;
    let number: usize = address.strip_prefix("10.0.0.")?.split(':').next()?.parse().ok()?;
    number.checked_sub(1)
}

/// How an operation ended, by its reply. An error that is no refusal is `Ok` without a reply.
fn outcome(call: &Call, value: &Value) -> (Status, Option<Reply>) {
    if let Value::Error(text) = value {
        return (refusal(text).unwrap_or(Status::Ok), None);
    }
    let reply = match (call, value) {
        (Call::Get, Value::Bulk(bytes)) => Reply::Bytes(bytes.clone()),
        (Call::Get, _) => Reply::Absent,
        // A transaction that was called off says nothing about the value.
        (Call::Cas { .. }, Value::Null) => return (Status::Fail, None),
        (Call::Set(_) | Call::Cas { .. }, _) => Reply::Flag(true),
        (Call::Delete, Value::Integer(count)) => Reply::Flag(*count == 1),
        (_, Value::Integer(number)) => Reply::Integer(*number),
        (Call::Delete | Call::Increment(_) | Call::Append(_) | Call::Transaction(_), other) => {
            Reply::Error(format!("{other:?}"))
        }
    };
    (Status::Ok, Some(reply))
}

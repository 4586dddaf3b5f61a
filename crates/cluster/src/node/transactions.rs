//! MULTI, EXEC, DISCARD, WATCH and UNWATCH.
//!
//! A transaction's commands are queued here, on the node the client is connected to, and travel
//! to the holder as one operation: one log entry, all or nothing. Commands that are not about data
//! (PING, TIME and the like) take their place in EXEC's reply but not in the log. Watched keys are
//! kept by the holder.

use alloc::vec::Vec;

use bytes::Bytes;
use resp::command::{Command, Flags, Handler};
use resp::{CommandId, error};
use types::limits::{REQUEST_BYTES_MAX, TRANSACTION_COMMANDS_MAX};
use types::{Now, SessionId, ShardId};

use super::Node;
use super::requests::slot_of_keys;
use crate::entry;
use crate::planted::Planting;
use crate::session::{QueuedCommand, Transaction, Waiter};
use crate::shard::{Request, Said};

/// Bytes that an argument takes beside its own, in a message or an entry.
const ARGUMENT_OVERHEAD: usize = 8;

impl Node {
    /// Adds a command to the transaction that the client has begun.
    pub(super) fn queue_command(
        &mut self,
        id: SessionId,
        command: &'static Command,
        args: &[&[u8]],
    ) {
        if let Err(text) = self.check_queued(id, command, args) {
            return self.reply_error(id, text);
        }
        let limit = self.world.settings.shard_queue_bytes.min(REQUEST_BYTES_MAX);
        let Some(session) = self.world.sessions.get(id) else { return };
        let Some(transaction) = &mut session.transaction else { return };
        transaction.bytes += args.iter().map(|arg| arg.len() + ARGUMENT_OVERHEAD).sum::<usize>();
        let full = transaction.commands.len() >= TRANSACTION_COMMANDS_MAX;
        if full || transaction.bytes > limit {
            transaction.commands.clear();
            return self.reply_error(id, "ERR the transaction is too large");
        }
        let Some(number) = command.id() else { return };
        transaction.writes |= command.flags.contains(Flags::WRITE);
        transaction.commands.push(QueuedCommand {
            id: number,
            args: args.iter().map(|arg| (*arg).into()).collect(),
        });
        session.reply(|reply| reply.simple("QUEUED"));
    }

    fn check_queued(
        &mut self,
        id: SessionId,
        command: &'static Command,
        args: &[&[u8]],
    ) -> Result<(), &'static str> {
        if command.flags.contains(Flags::NO_MULTI) {
            return Err("ERR Command not allowed inside a transaction");
        }
        match command.handler {
            Handler::Keyspace => {}
            Handler::KeyspaceWide => {
                return Err("ERR commands on all slots are not supported inside a transaction, \
                    which is atomic within one slot");
            }
            Handler::Connection | Handler::Server | Handler::Cluster | Handler::Transaction => {
                return Ok(());
            }
        }
        let slot = slot_of_keys(command, args)?;
        let session = self.world.sessions.get(id);
        let Some(transaction) = session.and_then(|session| session.transaction.as_mut()) else {
            return Ok(());
        };
        if *transaction.slot.get_or_insert(slot) != slot {
            return Err(error::CROSS_SLOT);
        }
        Ok(())
    }

    pub(super) fn transaction_request(
        &mut self,
        now: Now,
        id: SessionId,
        command: &'static Command,
        args: &[&[u8]],
    ) {
        let Some(session) = self.world.sessions.get(id) else { return };
        let inside = session.transaction.is_some();
        match command.id() {
            // As in Redis, the transaction that was begun goes on.
            Some(CommandId::Multi) if inside => {
                session.reply(|reply| reply.error(error::NESTED_MULTI));
            }
            Some(CommandId::Multi) => {
                session.transaction = Some(Transaction::default());
                session.reply(|reply| reply.ok());
            }
            Some(CommandId::Exec) if !inside => self.reply_error(id, error::EXEC_WITHOUT_MULTI),
            Some(CommandId::Exec) => self.exec(now, id),
            Some(CommandId::Discard) if !inside => {
                self.reply_error(id, error::DISCARD_WITHOUT_MULTI);
            }
            Some(CommandId::Discard) => {
                session.discard();
                self.end_watch(now, id);
                if let Some(session) = self.world.sessions.get(id) {
                    session.reply(|reply| reply.ok());
                }
            }
            Some(CommandId::Watch) if inside => {
                session.reply(|reply| reply.error(error::WATCH_IN_MULTI));
            }
            Some(CommandId::Watch) => self.watch(now, id, args.get(1..).unwrap_or_default()),
            Some(CommandId::Unwatch) => {
                self.end_watch(now, id);
                if let Some(session) = self.world.sessions.get(id) {
                    session.reply(|reply| reply.ok());
                }
            }
            Some(_) | None => {}
        }
    }

    fn exec(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.world.sessions.get(id) else { return };
        let Some(transaction) = session.transaction.take() else { return };
        let watching = session.watching;
        if transaction.failed {
            self.end_watch(now, id);
            return self.reply_error(id, error::EXEC_ABORTED);
        }
        let slot = transaction.slot.or(watching.map(|(slot, _)| slot));
        let Some(slot) = slot else {
            return self.exec_locally(now, id, &transaction.commands);
        };
        if watching.is_some_and(|(watched, _)| watched != slot) {
            self.end_watch(now, id);
            return self.reply_error(id, error::CROSS_SLOT);
        }
        let Some(route) = self.routes.of_slot(slot) else { return };
        let shard = route.shard;
        let data = |command: &&QueuedCommand| command.id.command().handler == Handler::Keyspace;
        let commands: Vec<&QueuedCommand> = transaction.commands.iter().filter(data).collect();
        let mut operation = Vec::new();
        entry::put_group(slot, watching.is_some(), commands.len(), &mut operation);
        for command in &commands {
            let args: Vec<&[u8]> = command.args.iter().map(AsRef::as_ref).collect();
            entry::put_command(command.id, &args, &mut operation);
        }
        if let Some(session) = self.world.sessions.get(id) {
            session.watching = None;
            session.note_group(&transaction.commands);
        }
        if commands.len() == transaction.commands.len() {
            self.enqueue(now, id, shard, operation.into(), true);
        } else {
            self.exec_mixed(now, id, shard, operation, transaction.commands);
        }
        self.begin_other_watch(id);
    }

    /// What the client watches from now on has nothing to do with what it watched before, even if
    /// that begins only after this: behind a write under way, or on its way to another node.
    fn begin_other_watch(&mut self, id: SessionId) {
        let kept = self.world.settings.breaks(Planting::KeepEndedWatches);
        if let Some(session) = self.world.sessions.get(id).filter(|_| !kept) {
            session.watch = session.watch.wrapping_add(1);
        }
    }

    /// A transaction without keys.
    fn exec_locally(&mut self, now: Now, id: SessionId, commands: &[QueuedCommand]) {
        let replies: Vec<Vec<u8>> =
            commands.iter().map(|command| self.reply_of(now, id, command)).collect();
        let Some(session) = self.world.sessions.get(id) else { return };
        session.note_group(commands);
        session.reply(|reply| {
            reply.array(replies.len());
            for bytes in &replies {
                reply.encoded(bytes);
            }
        });
    }

    /// The reply of a command that is not about data, in a transaction.
    pub(super) fn reply_of(&mut self, now: Now, id: SessionId, command: &QueuedCommand) -> Vec<u8> {
        let args: Vec<&[u8]> = command.args.iter().map(AsRef::as_ref).collect();
        self.frontend_reply(now, id, command.id.command(), &args)
    }

    fn watch(&mut self, now: Now, id: SessionId, keys: &[&[u8]]) {
        let mut slots = keys.iter().map(|key| resp::slot_of(key));
        let Some(slot) = slots.next() else { return };
        let Some(session) = self.world.sessions.get(id) else { return };
        let elsewhere = session.watching.is_some_and(|(watched, _)| watched != slot);
        if elsewhere || slots.any(|other| other != slot) {
            return self.reply_error(id, error::CROSS_SLOT);
        }
        let Some(shard) = self.routes.of_slot(slot).map(|route| route.shard) else { return };
        if let Some(session) = self.world.sessions.get(id) {
            session.watching = Some((slot, shard));
            session.watched = Some(shard);
        }
        let mut operation = Vec::new();
        entry::put_watch(slot, keys, &mut operation);
        self.enqueue(now, id, shard, operation.into(), false);
    }

    /// Ends what a client watches, if anything.
    pub(crate) fn end_watch(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.world.sessions.get(id) else { return };
        if let Some((_, shard)) = session.watching.take() {
            self.unwatch(now, id, shard);
            self.begin_other_watch(id);
        }
    }

    pub(super) fn unwatch(&mut self, now: Now, id: SessionId, shard: ShardId) {
        let watch = self.world.sessions.get(id).map_or(0, |session| session.watch);
        let mut operation = Vec::new();
        entry::put_unwatch(&mut operation);
        let request = Request {
            waiter: Waiter::Nobody,
            operation: Bytes::from(operation),
            writes: false,
            ordered: true,
            watcher: (self.world.settings.node, id),
            watch,
            said: Said::default(),
            passes_on: false,
            origin: placement::Origin::UNKNOWN,
            arrived: now.monotonic,
            deadline: now.monotonic + self.world.settings.park_time,
            losses: 0,
            placed: 0,
        };
        self.place(now, shard, request);
    }
}

//! From a committed entry to data and replies.
//!
//! Applying is a pure function of the entry and the data, the same on every replica. On the
//! replica that proposed the entry, somebody waits for each operation's reply, and reads that were
//! sent behind a write run between the operations, exactly where the client put them. What an
//! operation does to the data stands in `execution`.

use alloc::vec::Vec;

use bytes::Bytes;
use keyspace::{Changes, Context, Mode, Outcome, Supplies};
use resp::{CommandId, Replies, Reply};
use smallvec::SmallVec;
use types::limits::COMMAND_WORK_MAX;
use types::{LogIndex, Slot, Term};

use super::execution::{apply_command, apply_group, context_of, run};
use super::proposals::{Local, Pending};
use super::steps::Progress;
use super::{Env, MALFORMED, Request, Shard};
use crate::entry::{
    self, BatchHeader, Command, Entry, Operation, OperationKind, Operations, Survey,
};
use crate::frontend::slow_log::show_operation;
use crate::io::Event;
use crate::planted::Planting;
use crate::raft_group::Committed;
use crate::record::{Goal, put_vote};
use crate::session::Waiter;
use crate::work::Kind;

/// What a client is told whose entry is not its holder's any more.
const NOT_FENCED: &str = "TRYAGAIN the lease or the replicas changed meanwhile; nothing was done";
/// What emptying one slot costs.
const FLUSH_SLOT: u64 = 100;

impl Shard {
    /// Applies one committed entry, from where it was left on. Says whether that is done; else the
    /// turn has no room for more.
    pub(super) fn apply(
        &mut self,
        env: &mut Env<'_>,
        committed: &Committed,
        progress: &mut Progress,
    ) -> bool {
        let (index, term) = (committed.index, committed.term);
        let pending = self.pending_at(env, index, term);
        if *progress == Progress::default() {
            self.note_pace(env, pending.as_ref().map(|pending| pending.proposed));
        }
        let done = if let Some(change) = &committed.change {
            self.cut_parts();
            self.apply_change(env, change, (term, index));
            self.note_state(index);
            true
        } else {
            self.apply_entry(env, committed, pending.as_ref(), progress)
        };
        if !done {
            // Who waits for the rest still waits here.
            if let Some(pending) = pending {
                self.pending.push_front(pending);
            }
            return false;
        }
        if let Some(pending) = pending {
            self.admission.queue.remove(pending.operations.len());
            self.admission.queue.remove_growth(pending.growth);
        }
        self.admission.queue.settle(index);
        self.group.set_applied(index, term);
        self.floors.retain(|_, floor| *floor > index);
        self.forget_leavers(index);
        true
    }

    /// The same, but for who waits for it.
    fn apply_entry(
        &mut self,
        env: &mut Env<'_>,
        committed: &Committed,
        pending: Option<&Pending>,
        progress: &mut Progress,
    ) -> bool {
        let (index, term) = (committed.index, committed.term);
        let begins = *progress == Progress::default();
        let decoded = entry::decode(&committed.context, &committed.data).unwrap_or_else(|error| {
            // All replicas have the same bytes, and checksums have covered them: skipping on one
            // would silently split the replicas.
            panic!("{} entry {index} cannot be applied: {error}", self.id)
        });
        if entry::voids_parts(decoded.as_ref()) {
            self.cut_parts();
        }
        match decoded {
            None => {}
            Some(Entry::Lease(record)) => {
                self.apply_lease(env, &record, term);
                self.note_state(index);
            }
            Some(Entry::Succession(order)) => {
                self.lease.succession = order;
                self.note_state(index);
            }
            Some(Entry::Goal(nodes)) => {
                let generation = self.goal.generation + 1;
                self.goal = Goal { nodes, generation, ..self.goal };
                // Whoever leads takes the first step at once.
                self.greet(env);
                self.note_state(index);
            }
            Some(Entry::Batch { header, operations }) => {
                if pending.is_none() && begins {
                    self.load.note_followed_entry(committed.data.len());
                }
                // Only the leader of a term writes entries in it, after its own lease record, so
                // this holds by construction; checked all the same, below consensus (rule R28).
                let fenced = header.epoch == self.lease.epoch;
                let batch = (header, operations, &committed.data);
                return self.apply_batch(env, index, batch, fenced, pending, progress);
            }
            Some(Entry::Part { header, part }) => {
                if !self.group.is_leader() && begins {
                    self.load.note_followed_entry(committed.data.len());
                }
                return self.apply_part(env, index, (header, part), pending, progress);
            }
        }
        true
    }

    fn note_state(&mut self, index: LogIndex) {
        let mut state = self.state();
        state.applied.0 = index;
        self.places.note_state(&state);
    }

    /// Finds who waits for the entry, and sends those away whose entry has lost its place.
    fn pending_at(&mut self, env: &mut Env<'_>, index: LogIndex, term: Term) -> Option<Pending> {
        while let Some(first) = self.pending.front() {
            if first.index > index {
                return None;
            }
            let first = self.pending.pop_front()?;
            if first.index == index && first.term == term {
                return Some(first);
            }
            // Another leader's entry stands where this one should: it was never executed.
            self.admission.queue.remove_growth(first.growth);
            self.displace(env, &first.locals, &first.operations);
        }
        None
    }

    fn apply_lease(&mut self, env: &mut Env<'_>, record: &entry::LeaseRecord, term: Term) {
        self.lease.epoch = self.lease.epoch.next();
        self.lease.holder = Some(record.holder);
        self.lease.term = term;
        self.load.handed_over = record.reason == entry::LeaseReason::Transfer;
        self.recheck_lease();
        env.effects.rerouted.push(self.id);
        env.effects.events.push(Event::LeaseChanged {
            shard: self.id,
            epoch: self.lease.epoch,
            holder: record.holder,
        });
        if record.holder == self.me && self.group.is_leader() && self.group.term() == term {
            self.note_pace(env, Some(self.led_since));
            // Everybody should know at once that the record is committed: where to forward to,
            // and that an ordered transfer is done.
            self.greet(env);
            env.effects.events.push(Event::LeaseAcquired {
                shard: self.id,
                epoch: self.lease.epoch,
                term,
            });
        }
    }

    fn apply_change(
        &mut self,
        env: &mut Env<'_>,
        change: &crate::raft_group::ReplicaChangeEntry,
        place: (Term, LogIndex),
    ) {
        let before = self.group.replicas();
        let Some(replicas) = self.group.change_replicas(change) else { return };
        self.note_leavers(&before, &replicas, place);
        self.goal.generation += 1;
        if let Some(added) = change.added() {
            self.goal.seats = added.seat;
        }
        // The quorum is another one now (rule R23).
        self.recheck_lease();
        self.fortified.retain(|known| replicas.contains(known.replica.node));
        self.succession_due = true;
        self.keep_change(env);
        env.effects.rerouted.push(self.id);
        env.effects.events.push(Event::ReplicasChanged {
            shard: self.id,
            voters: replicas.voters(),
            learners: replicas.learners(),
        });
    }

    /// Writes down that a change of the replicas is committed. Without that a replica that starts
    /// again goes by the old voters, and asks more of them what they remember than it needs.
    fn keep_change(&mut self, env: &mut Env<'_>) {
        let rules = [Planting::ForgetChanges, Planting::ChangeNotDurable];
        if !rules.into_iter().any(|rule| self.planted.contains(rule)) {
            put_vote(self.id, self.group.vote(), env.effects.payload.tail());
            self.places.vote_written();
        }
    }

    /// Runs the operations of an entry, unless it is not `fenced`: its lease is not the shard's.
    /// Says whether the turn has room for all of them.
    pub(super) fn apply_batch(
        &mut self,
        env: &mut Env<'_>,
        index: LogIndex,
        (header, operations, owner): (BatchHeader, Operations<'_>, &Bytes),
        fenced: bool,
        pending: Option<&Pending>,
        progress: &mut Progress,
    ) -> bool {
        let broken = |error| panic!("{} entry {index} cannot be applied: {error}", self.id);
        let mut operations = operations.skip(progress.bytes).unwrap_or_else(broken);
        self.stamp = self.stamp.max(header.stamp);
        self.warm(operations);
        if *progress == Progress::default() {
            progress.writes_before = self.load.writes();
        }
        loop {
            let before = progress.locals;
            let Some(waiter) = self.next_waiter(env, pending, progress) else { return false };
            let left = operations.remaining();
            let next = operations.next().unwrap_or_else(|error| {
                panic!("{} entry {index} cannot be applied: {error}", self.id)
            });
            let Some(operation) = next else {
                // What was last were the reads behind the last operation.
                debug_assert_eq!(waiter, Waiter::Nobody, "somebody waits for no operation");
                break;
            };
            let context = context_of(&header, progress.step + 1);
            if fenced && !self.build(env, &operation, &context) {
                // Whoever waits for it, waits; the reads before it are answered.
                let loses = env.settings.breaks(Planting::BuilderLosesPlace);
                if progress.locals > before && waiter != Waiter::Nobody && !loses {
                    progress.locals -= 1;
                }
                return false;
            }
            progress.bytes += left - operations.remaining();
            progress.step += 1;
            let refused = env.settings.breaks(Planting::MemoryJudgedAtApply)
                && env.room.memory(env.settings) == 0
                && self.growth_of(&operation) > 0;
            if refused {
                env.sessions.answer_error(waiter, "OOM nothing was done");
            } else if fenced {
                let place = (index, pending.is_some());
                self.apply_operation(env, place, (&operation, owner), waiter, &context);
            } else {
                env.sessions.answer_error(waiter, NOT_FENCED);
            }
            // It is for this operation alone, even if that came to nothing.
            self.take_built();
            if !env.work.may(Kind::Entries) {
                return false;
            }
        }
        if let Some(pending) = pending {
            let before = progress.writes_before;
            self.load.note_served(env.now.monotonic.since(pending.proposed), before);
        }
        true
    }

    /// Brings what the operations will touch into the processor's cache, all at once.
    fn warm(&self, mut operations: Operations<'_>) {
        let mut keys: SmallVec<[(Slot, &[u8]); 32]> = SmallVec::new();
        while let Ok(Some(operation)) = operations.next() {
            if let Operation::Single { slot, command } = &operation {
                keys.extend(command.args.get(1).map(|key| (*slot, *key)));
            }
        }
        if keys.len() > 1 {
            self.data.warm(&keys);
        }
    }

    /// Runs the reads before the next operation and says who waits for it; `None`: the turn has no
    /// room for all of them.
    fn next_waiter(
        &mut self,
        env: &mut Env<'_>,
        pending: Option<&Pending>,
        progress: &mut Progress,
    ) -> Option<Waiter> {
        loop {
            let locals = pending.map(|pending| pending.locals.as_slice()).unwrap_or_default();
            let Some(local) = locals.get(progress.locals) else { return Some(Waiter::Nobody) };
            progress.locals += 1;
            match local {
                Local::Apply { waiter, .. } => return Some(*waiter),
                Local::Read(request) => self.read_in_entry(env, request, true),
                Local::Late(request) => self.read_in_entry(env, request, false),
            }
            if !env.work.may(Kind::Entries) {
                return None;
            }
        }
    }

    /// A read that came before its entry was proposed (`at_place`), and so before that was
    /// committed: here, at its place in the log, it is linearizable whatever has become of the
    /// lease. Behind the next entry it would see what its client asked for later.
    ///
    /// A watch begins here in any case: what its client reads next may be answered in the next
    /// entry, and a change between the two must not go unnoticed. That it begins early can only
    /// abort a transaction. On a replica that leads no more it need not begin at all: the
    /// transaction finds no watch where it is checked, and is aborted.
    fn read_in_entry(&mut self, env: &mut Env<'_>, request: &Request, at_place: bool) {
        let operation = entry::only_operation(&request.operation);
        match operation.map(|operation| operation.kind()) {
            Ok(OperationKind::Read) if at_place => {
                let context = Context {
                    now: self.stamp,
                    seed: self.seed,
                    mode: Mode::ReadInEntry,
                    budget: COMMAND_WORK_MAX,
                };
                self.read_at(env, request, &context, Kind::Entries);
            }
            Ok(OperationKind::Watch) if !self.group.is_leader() => {
                env.sessions.answer(request.waiter, |reply| reply.ok());
            }
            Ok(OperationKind::Watch | OperationKind::Unwatch) => self.read_applied(env, request),
            Ok(
                OperationKind::Read
                | OperationKind::Write
                | OperationKind::WatchedGroup
                | OperationKind::Manage,
            )
            | Err(_) => self.read_now(env, request.clone()),
        }
    }

    /// `ours` says whether this replica proposed the entry: then it counts what commands find.
    fn apply_operation(
        &mut self,
        env: &mut Env<'_>,
        (index, ours): (LogIndex, bool),
        (operation, owner): (&Operation<'_>, &Bytes),
        waiter: Waiter,
        context: &Context,
    ) {
        self.load.totals.writes += 1;
        let mut changes =
            if self.watches.is_empty() { Changes::off() } else { Changes::recording() };
        let bytes_out = match operation {
            Operation::Single { slot, command } => {
                if !self.reflects(*slot, index) {
                    return;
                }
                if command.id == CommandId::Reap {
                    self.reaping = false;
                }
                let built = self.take_built();
                let supplies = Supplies { owner: Some(owner), built };
                let data = &mut self.data;
                let bytes_out = env.sessions.answer(waiter, |reply| {
                    let before = reply.len();
                    apply_command(data, *slot, (command, supplies), context, &mut changes, reply);
                    reply.len() - before
                });
                if ours {
                    env.sessions.stats.count_lookups(command.id, changes.take_lookups());
                }
                self.places.changed(*slot, index);
                bytes_out
            }
            Operation::Group { slot, commands, .. } => {
                if !self.reflects(*slot, index) {
                    return;
                }
                let group = (*slot, commands.as_slice());
                let bytes_out = self.apply_group(env, ours, group, waiter, context, &mut changes);
                if !self.planted.contains(Planting::TransactionNotNoted) {
                    self.places.changed(*slot, index);
                }
                bytes_out
            }
            Operation::Flush => {
                let slots = self.flush(index);
                env.work.count(Kind::Entries, FLUSH_SLOT * slots as u64);
                env.sessions.answer(waiter, put_ok)
            }
            Operation::Watch { .. }
            | Operation::Unwatch
            | Operation::Survey(_)
            | Operation::Manage(_) => {
                unreachable!("watches and questions are never proposed")
            }
        };
        env.work.count(Kind::Entries, changes.take_work());
        if !ours {
            self.load.note_followed();
        } else if waiter != Waiter::Nobody {
            self.load.note_applied(bytes_out);
        }
        env.sessions.describe_slow(waiter, || show_operation(operation));
        if !self.watches.is_empty() {
            self.watches.touch(changes.keys());
        }
    }

    /// Runs the commands of a transaction. Says how long the reply is.
    fn apply_group(
        &mut self,
        env: &mut Env<'_>,
        ours: bool,
        (slot, commands): (Slot, &[Command<'_>]),
        waiter: Waiter,
        context: &Context,
        changes: &mut Changes,
    ) -> usize {
        let data = &mut self.data;
        let mut found = Vec::new();
        let mut work = 0;
        let bytes_out = env.sessions.answer(waiter, |reply| {
            let before = reply.len();
            work = apply_group(data, slot, commands, context, changes, reply, |id, changes| {
                found.push((id, changes.take_lookups()));
            });
            reply.len() - before
        });
        env.work.count(Kind::Entries, work);
        for (id, lookups) in found.into_iter().filter(|_| ours) {
            env.sessions.stats.count_lookups(id, lookups);
        }
        bytes_out
    }

    /// Removes all keys. Says in how many slots there were some.
    fn flush(&mut self, index: LogIndex) -> usize {
        let data = &self.data;
        self.watches.touch_present(|key| data.contains(key));
        // What is empty stays as its image has it.
        let occupied: Vec<Slot> = self.data.occupied_slots().collect();
        for slot in &occupied {
            if self.reflects(*slot, index) {
                self.data.clear_slot(*slot);
                self.places.changed(*slot, index);
            }
        }
        occupied.len()
    }

    /// Whether the entry must still be applied to the slot; a slot image may be ahead of it.
    fn reflects(&self, slot: Slot, index: LogIndex) -> bool {
        self.floors.is_empty() || self.floors.get(&slot).is_none_or(|floor| *floor < index)
    }

    /// Runs a read on the applied state. The caller has made sure that this is the newest
    /// acknowledged one.
    pub(super) fn read_applied(&mut self, env: &mut Env<'_>, request: &Request) {
        let context = self.read_context(env);
        self.read_at(env, request, &context, Kind::Reads);
    }

    fn read_at(&mut self, env: &mut Env<'_>, request: &Request, context: &Context, kind: Kind) {
        let Ok(operation) = entry::only_operation(&request.operation) else {
            return env.sessions.answer_error(request.waiter, MALFORMED);
        };
        let bytes_out = match operation {
            Operation::Single { slot, command } => {
                let waiter = request.waiter;
                let mut changes = Changes::off();
                // A read that meets an expired key is answered only after the log has said so,
                // so the outcome is needed before anything is answered.
                let protocol = env.sessions.protocol(waiter);
                let mut replies = Replies::default();
                let mut reply = replies.writer(protocol);
                let outcome =
                    run(&mut self.data, slot, &command, context, &mut changes, &mut reply);
                env.work.count(kind, changes.take_work());
                match outcome {
                    Outcome::Done => {
                        let bytes_out = replies.len();
                        env.sessions.answer(waiter, |reply| reply.replies(replies));
                        env.sessions.stats.count_lookups(command.id, changes.take_lookups());
                        let operation = Operation::Single { slot, command };
                        env.sessions.describe_slow(waiter, || show_operation(&operation));
                        bytes_out
                    }
                    Outcome::Expired => {
                        let args = command.args.clone();
                        return self.read_after_reaping(&args, command.id, request.clone());
                    }
                }
            }
            Operation::Watch { keys, .. } => {
                self.watches.add(request.watcher, request.watch, &keys);
                env.sessions.answer(request.waiter, put_ok)
            }
            Operation::Unwatch => {
                self.watches.end(request.watcher);
                env.sessions.answer(request.waiter, put_ok);
                return;
            }
            Operation::Survey(survey) => {
                if context.mode == Mode::Read && self.is_due(context.now) {
                    if self.holds_back(request) {
                        return self.hold_in_order(Request { ordered: true, ..request.clone() });
                    }
                    if self.propose_reaping_of_expired(context.now) {
                        return self.read_behind(request.clone());
                    }
                }
                if matches!(survey, Survey::Keys { .. } | Survey::Scan { .. }) {
                    return self.begin_walk(env, request, context.now);
                }
                self.survey(env, survey, request.waiter, context.now)
            }
            Operation::Group { .. } | Operation::Flush | Operation::Manage(_) => {
                return env.sessions.answer_error(request.waiter, MALFORMED);
            }
        };
        let waited = env.now.monotonic.since(request.arrived);
        self.load.note_late_read(request.origin, waited, request.operation.len(), bytes_out);
        self.load.sample(|| request.slot_and_key());
    }

    pub(super) fn read_context(&self, env: &Env<'_>) -> Context {
        let now = self.next_stamp(env);
        Context { now, seed: self.seed, mode: Mode::Read, budget: COMMAND_WORK_MAX }
    }

    /// Lets the log remove the expired ones of a command's keys, and reads behind that.
    pub(super) fn read_after_reaping(
        &mut self,
        args: &[&[u8]],
        id: CommandId,
        mut request: Request,
    ) {
        if self.holds_back(&request) {
            request.ordered = true;
            return self.hold_in_order(request);
        }
        let keys = entry::keys_of(id, args);
        self.propose_reaping(&keys);
        self.read_behind(request);
    }
}

/// Acknowledges, and says in how many bytes.
fn put_ok(reply: &mut Reply<'_>) -> usize {
    let before = reply.len();
    reply.ok();
    reply.len() - before
}

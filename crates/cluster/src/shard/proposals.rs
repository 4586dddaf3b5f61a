//! From a request to a log entry.
//!
//! All that clients ask of a shard in one turn becomes one entry. Beside the encoded operations
//! the holder keeps, in the same order, who waits for which of them; reads that must come after
//! a write of the same client stand between them and run when the entry is applied.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;
use resp::CommandId;
use types::{LogIndex, Monotonic, Slot, Term, UnixMillis};

use super::batch::Sealed;
use super::parting::{NOT_RETRIED, is_retried};
use super::{Env, MALFORMED, Request, Said, Shard, Watcher};
use crate::entry::{self, BatchHeader, Operation, OperationKind};
use crate::planted::Planting;
use crate::refusals::OVERTAKEN;
use crate::session::Waiter;
use crate::settings::Settings;
use crate::work::Kind;

/// What a client is told whose request waited for an entry that was not applied in time.
const HELD_TOO_LONG: &str = "TRYAGAIN what was asked of this shard before is not done in time; the \
                             request was not executed, try again";

/// Keys that one entry reaps at most.
const REAPED_KEYS: usize = 256;

/// What the holder does, beside applying, when an operation of an entry is applied.
pub(super) enum Local {
    /// The next operation of the entry: somebody waits for its reply. Its length in bytes lets it
    /// be found again should the entry be lost.
    Apply { waiter: Waiter, watcher: Watcher, bytes: u32 },
    /// Not in the entry: a read that comes after what stands before it.
    Read(Request),
    /// The same, but it came when the entry had been proposed already.
    Late(Request),
}

/// What the requests of a batch may change: keys, and what their clients watch.
#[derive(Default)]
struct Touched {
    keys: BTreeSet<Vec<u8>>,
    everything: bool,
    watchers: BTreeSet<Watcher>,
}

impl Touched {
    fn add(&mut self, request: &Request) {
        let commands = match entry::only_operation(&request.operation) {
            Ok(Operation::Single { command, .. }) => alloc::vec![command],
            Ok(Operation::Group { commands, .. }) => commands,
            // A question about all keys may remove those that have expired.
            Ok(Operation::Flush | Operation::Survey(_)) | Err(_) => {
                self.everything = true;
                return;
            }
            Ok(Operation::Watch { .. } | Operation::Unwatch) => {
                self.watchers.insert(request.watcher);
                return;
            }
            Ok(Operation::Manage(_)) => return,
        };
        for command in &commands {
            let keys = entry::keys_of(command.id, &command.args);
            self.keys.extend(keys.into_iter().map(<[u8]>::to_vec));
        }
    }

    /// Whether what this client watches, which are these keys as far as is known, is among it.
    fn any(&self, watcher: Watcher, keys: &[Box<[u8]>]) -> bool {
        self.everything
            || self.watchers.contains(&watcher)
            || keys.iter().any(|key| self.keys.contains(&**key))
    }
}

/// A proposed entry.
pub(super) struct Pending {
    pub(super) index: LogIndex,
    pub(super) term: Term,
    pub(super) proposed: Monotonic,
    pub(super) deadline: Monotonic,
    pub(super) locals: Vec<Local>,
    /// The encoded operations, to run them elsewhere should the entry be lost.
    pub(super) operations: Bytes,
    /// What they may make the data grow by.
    pub(super) growth: u64,
}

impl Shard {
    /// Adds a write to the turn's batch: the fast path of a client at the holder. Answers how many
    /// bytes it takes there.
    pub(crate) fn propose_single(
        &mut self,
        waiter: Waiter,
        watcher: Watcher,
        slot: Slot,
        id: CommandId,
        args: &[&[u8]],
        growth: u64,
    ) -> usize {
        let start = self.batch.operations.len();
        entry::put_single(slot, id, args, &mut self.batch.operations);
        let bytes = self.batch.operations.len() - start;
        self.admission.queue.add(bytes);
        self.batch.push(waiter, watcher, start, growth);
        bytes
    }

    /// Whether a client's write can go straight into the batch.
    pub(crate) fn admits_directly(&self, settings: &Settings, bytes: usize) -> bool {
        self.held.is_empty()
            && self.parked.is_empty()
            && self.reads.is_idle()
            && self.check_queue(settings, bytes).is_ok()
            && self.steps.is_idle()
            && self.steps.parting.is_idle()
            && !self.is_parted_at(bytes)
    }

    /// Whether a client's read need not wait for anybody here.
    pub(crate) fn reads_directly(&self) -> bool {
        self.parked.is_empty() || self.reads_on()
    }

    /// Serves a request here: this replica was found to hold the lease, or to lead and the
    /// request only reads.
    pub(crate) fn serve(&mut self, env: &mut Env<'_>, request: Request) {
        if self.is_serving(env) {
            self.admit(env, request);
        } else {
            self.read_now(env, request);
        }
    }

    /// Adds a request that this holder serves, or keeps it until the turn has room for it. Nothing
    /// overtakes what is kept: a client's requests stay in their order.
    fn admit(&mut self, env: &mut Env<'_>, request: Request) {
        if (request.writes || !self.held.is_empty() || self.steps.has_due())
            && let Err(text) = self.check_queue(env.settings, request.operation.len())
        {
            return self.refuse(env, &request, &text);
        }
        if self.holds_up(&request) {
            self.hold(request);
        } else if self.steps.has_due() || !env.work.may(Kind::Reads) {
            self.defer(request);
        } else {
            self.admit_now(env, request);
        }
    }

    pub(super) fn admit_now(&mut self, env: &mut Env<'_>, request: Request) {
        if self.holds_up(&request) {
            self.hold_in_order(request);
            return;
        }
        let Some(request) = self.keep_behind(request) else { return };
        let Ok(kind) = entry::only_operation(&request.operation).map(|op| op.kind()) else {
            return env.sessions.answer_error(request.waiter, MALFORMED);
        };
        let idle = self.batch.is_empty() && self.pending.is_empty();
        match kind {
            OperationKind::WatchedGroup => self.hold_in_order(request),
            OperationKind::Write => self.propose(env, &request),
            OperationKind::Read if request.ordered && !idle => self.batch.push_read(request),
            OperationKind::Read if request.ordered && self.has_unapplied() => {
                self.hold_in_order(request);
            }
            // What is proposed and not applied must not slip in behind the watcher's back.
            OperationKind::Watch if !idle => self.batch.push_read(request),
            // The watch that it ends may stand there.
            OperationKind::Unwatch if !idle && !env.settings.breaks(Planting::KeepEndedWatches) => {
                self.batch.push_read(request);
            }
            OperationKind::Read | OperationKind::Watch | OperationKind::Unwatch => {
                self.read_now(env, request);
            }
            OperationKind::Manage => env.effects.managed.push(request),
        }
    }

    fn propose(&mut self, env: &mut Env<'_>, request: &Request) {
        let Some(growth) = self.admits_write(env, request) else { return };
        self.admission.queue.add(request.operation.len());
        if self.is_parted(request) {
            self.begin_parting(request.clone(), growth);
        } else if request.operation.len() >= self.data.long_bytes() {
            let operation = request.operation.clone();
            self.batch.push_alone(request.waiter, request.watcher, operation, growth);
        } else {
            let start = self.batch.operations.len();
            self.batch.operations.extend_from_slice(&request.operation);
            self.batch.push(request.waiter, request.watcher, start, growth);
        }
        self.load.note_write(request.arrived, request.origin, request.operation.len());
        self.load.sample(|| request.slot_and_key());
    }

    /// Whether a request has to wait behind those that are held. A read of a client that has asked
    /// for nothing else does not: on a slow disk others' transactions take their time.
    fn holds_up(&self, request: &Request) -> bool {
        let kind = || entry::only_operation(&request.operation).map(|op| op.kind());
        let waits = request.ordered || self.planted.contains(Planting::HoldEverything);
        !self.held.is_empty() && (waits || kind() != Ok(OperationKind::Read))
    }

    /// Keeps a request until everything before it is applied.
    fn hold(&mut self, request: Request) {
        self.admission.queue.add(request.operation.len());
        self.held.push_back(request);
    }

    /// The same for one that has waited elsewhere: what its client asked for later may be held.
    pub(super) fn hold_in_order(&mut self, request: Request) {
        self.admission.queue.add(request.operation.len());
        let later = self.held.iter().position(|other| request.is_before(other));
        self.held.insert(later.unwrap_or(self.held.len()), request);
    }

    /// Whether a read that would first have to remove what has expired waits behind what is held.
    /// If each such read wrote an entry, there might always be one under way.
    pub(super) fn holds_back(&self, request: &Request) -> bool {
        !request.ordered && !self.held.is_empty()
    }

    /// Whether held requests can go on now. An entry whose clients were told that nobody knows what
    /// becomes of it is pending no more, and may yet be applied: what a transaction watches could
    /// change behind its check.
    pub(super) fn releases_held(&self) -> bool {
        let all_applied =
            self.pending.is_empty() && self.applied_index() >= self.group.last_index();
        let in_order = self.held.front().is_some_and(|first| !self.steps.has_earlier(first));
        in_order && self.batch.is_empty() && all_applied
    }

    /// Lets held requests go on: a transaction with watched keys runs when nothing is under way
    /// that could touch them, so that its check and its place in the log agree.
    pub(super) fn release_held(&mut self, env: &mut Env<'_>) {
        if !self.held.is_empty() && !self.is_serving(env) {
            // All of them, or a client's write would be proposed here while the read before it
            // looks for another holder.
            for request in core::mem::take(&mut self.held) {
                self.admission.queue.remove(request.operation.len());
                env.effects.displaced.push((self.id, request));
            }
        }
        if !self.releases_held() {
            return;
        }
        let mut touched = Touched::default();
        let held = core::mem::take(&mut self.held);
        let mut held = held.into_iter();
        for request in held.by_ref() {
            let kind = entry::only_operation(&request.operation).map(|op| op.kind());
            let watched = kind == Ok(OperationKind::WatchedGroup);
            let watches = self.watches.keys(request.watcher);
            let disturbed = touched.any(request.watcher, watches);
            if watched && (disturbed || self.steps.has_earlier(&request)) {
                self.held.push_back(request);
                break;
            }
            touched.add(&request);
            if self.planted.contains(Planting::HoldEverything) {
                touched.everything = true;
            }
            self.admission.queue.remove(request.operation.len());
            let Some(request) = self.keep_behind(request) else { continue };
            if watched {
                if self.watches.take(request.watcher, request.watch) {
                    self.propose(env, &request);
                } else {
                    env.sessions.answer(request.waiter, |reply| reply.null_array());
                }
            } else {
                self.admit(env, request);
            }
        }
        self.held.extend(held);
    }

    /// Whether the batch is still open although the turn ends: the disk is busy, and an entry
    /// proposed now would wait for it. What is asked for until then joins the same entry, the same
    /// messages and the same sync.
    pub(crate) fn gathers(&self, env: &Env<'_>) -> bool {
        env.effects.gathering
            && !self.batch.is_empty()
            && !self.batch.is_full()
            && self.group.is_leader()
    }

    /// Proposes what was asked for, as entries.
    pub(super) fn flush_batch(&mut self, env: &mut Env<'_>) {
        if self.gathers(env) {
            return;
        }
        while let Some(Sealed { operations, locals, growth }) = self.batch.take() {
            if operations.is_empty() {
                self.attach_reads(env, locals);
                continue;
            }
            let header = self.next_header(env);
            let is_long = operations.len() >= self.data.long_bytes();
            let (context, data) = entry::encode_batch(header, &operations, is_long);
            let Some(place) = self.propose_operations(env, context, data) else {
                self.admission.queue.remove_growth(growth);
                self.displace(env, &locals, &operations);
                continue;
            };
            self.await_entry(env, place, Sealed { operations, locals, growth });
            self.unsettle(env);
        }
    }

    /// The header of the next entry.
    pub(super) fn next_header(&mut self, env: &Env<'_>) -> BatchHeader {
        self.proposed_stamp = self.next_stamp(env);
        let (epoch, stamp) = (self.lease.epoch, self.proposed_stamp);
        BatchHeader { epoch, stamp, seed: self.random(), bounded: true }
    }

    /// Proposes an entry of operations. Says where it will stand, unless the lease is being handed
    /// over.
    pub(super) fn propose_operations(
        &mut self,
        env: &Env<'_>,
        context: Vec<u8>,
        data: Bytes,
    ) -> Option<(LogIndex, Term)> {
        self.load.note_proposed(env.now.monotonic, context.len() + data.len());
        self.group.propose_with(context, data)
    }

    /// Notes who waits for an entry that was proposed.
    pub(super) fn await_entry(
        &mut self,
        env: &Env<'_>,
        (index, term): (LogIndex, Term),
        Sealed { operations, locals, growth }: Sealed,
    ) {
        let proposed = env.now.monotonic;
        let deadline = proposed + env.settings.request_time;
        let pending = Pending { index, term, proposed, deadline, locals, operations, growth };
        self.pending.push_back(pending);
    }

    /// Reads that follow nothing of their own batch wait for the newest entry, or run now.
    fn attach_reads(&mut self, env: &mut Env<'_>, locals: Vec<Local>) {
        if let Some(last) = self.pending.back_mut() {
            last.locals.extend(locals.into_iter().map(|local| match local {
                Local::Read(request) if !self.planted.contains(Planting::LateReadsAtPlace) => {
                    Local::Late(request)
                }
                Local::Read(_) | Local::Apply { .. } | Local::Late(_) => local,
            }));
            return;
        }
        let mut reads = locals.into_iter().filter_map(|local| match local {
            Local::Read(request) | Local::Late(request) => Some(request),
            Local::Apply { .. } => None,
        });
        while env.work.may(Kind::Reads) {
            let Some(request) = reads.next() else { return };
            self.read_now(env, request);
        }
        // They came before whatever waits for its share of a turn.
        let rest: Vec<Request> = reads.collect();
        rest.into_iter().rev().for_each(|request| self.defer_first(request));
    }

    /// The stamp of a batch proposed now: the cluster clock, but never backwards.
    ///
    /// A log can be ahead of the cluster clock: most clocks were ahead when it was written. Stamps
    /// then go on at half the speed until the time has caught up, so that keys still expire.
    pub(super) fn next_stamp(&self, env: &Env<'_>) -> UnixMillis {
        let newest = self.stamp.max(self.proposed_stamp);
        let clock = self.clock(env);
        if clock >= newest { clock } else { self.paced(env).max(newest) }
    }

    fn clock(&self, env: &Env<'_>) -> UnixMillis {
        if self.planted.contains(Planting::StampByOwnClock) {
            return env.now.wall;
        }
        env.clock.read(env.now.monotonic)
    }

    /// Half the time that has passed since the log was found to be ahead.
    fn paced(&self, env: &Env<'_>) -> UnixMillis {
        let (since, stamp) = self.ahead;
        if self.planted.contains(Planting::StampsStandStill) {
            return stamp;
        }
        let passed = env.now.monotonic.since(since).as_millis() / 2;
        UnixMillis(stamp.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }

    /// Notes from when on a log that is ahead is waited for. A count that has begun goes on: only
    /// one that is over itself is behind what the log has.
    pub(super) fn note_if_ahead(&mut self, env: &Env<'_>) {
        let newest = self.stamp.max(self.proposed_stamp);
        if self.clock(env) < newest && self.paced(env) < newest {
            self.ahead = (env.now.monotonic, newest);
        }
    }

    /// Requests whose entry is certainly not in the log go to whoever holds the lease now.
    pub(super) fn displace(&mut self, env: &mut Env<'_>, locals: &[Local], operations: &[u8]) {
        let deadline = env.now.monotonic + env.settings.park_time;
        let mut at = 0usize;
        for local in locals {
            match local {
                Local::Apply { waiter, watcher, bytes } => {
                    let end = at + *bytes as usize;
                    let operation = operations.get(at..end).unwrap_or_default();
                    at = end;
                    self.admission.queue.remove(operation.len());
                    if *waiter == Waiter::Nobody {
                        continue;
                    }
                    if !is_retried(operation.len(), env.settings) {
                        env.sessions.answer_error(*waiter, NOT_RETRIED);
                        continue;
                    }
                    let request = Request {
                        waiter: *waiter,
                        operation: Bytes::copy_from_slice(operation),
                        writes: true,
                        ordered: true,
                        watcher: *watcher,
                        // A transaction that has been proposed has had its watch checked.
                        watch: 0,
                        // What was proposed under another lease is refused, if it was forwarded.
                        said: Said::default(),
                        passes_on: false,
                        origin: env.sessions.origin_of(*waiter),
                        arrived: env.now.monotonic,
                        deadline,
                        losses: 0,
                        placed: 0,
                    };
                    env.effects.displaced.push((self.id, request));
                }
                Local::Read(request) | Local::Late(request) => {
                    env.effects.displaced.push((self.id, request.clone()));
                }
            }
        }
    }

    /// The outcome of a proposed entry can't be learned here any more.
    pub(super) fn abandon(&mut self, env: &mut Env<'_>, pending: Pending) {
        self.admission.queue.abandon(pending.index, pending.operations.len(), pending.growth);
        // From the last to the first: what of each client may yet be executed.
        let mut uncertain = BTreeSet::new();
        let mut end = pending.operations.len();
        // What a turn has applied of the entry is answered.
        let done = self.locals_done(pending.index);
        for local in pending.locals.into_iter().skip(done).rev() {
            match local {
                Local::Apply { waiter, watcher, bytes } => {
                    let start = end.saturating_sub(bytes as usize);
                    let operation = pending.operations.get(start..end).unwrap_or_default();
                    end = start;
                    uncertain.insert(watcher);
                    env.sessions.answer_unknown(env.settings, waiter, operation);
                }
                Local::Read(request) | Local::Late(request) => {
                    if uncertain.contains(&request.watcher) {
                        env.sessions.answer_error(request.waiter, OVERTAKEN);
                    } else {
                        env.effects.displaced.push((self.id, request));
                    }
                }
            }
        }
    }

    /// Gives up on entries that have waited too long.
    pub(super) fn expire_pending(&mut self, env: &mut Env<'_>) {
        // Without a lease, which its holder would have renewed by then, hope is given up sooner.
        // One that is about to be handed over is still there.
        let (now, patience) = (env.now.monotonic, env.settings.park_time);
        let holds = self.lease_is_valid(now, env.support);
        let late =
            |first: &Pending| first.deadline <= now || !holds && first.proposed + patience <= now;
        while self.pending.front().is_some_and(late) {
            let Some(pending) = self.pending.pop_front() else { return };
            self.abandon(env, pending);
        }
        while self.held_expires(env.settings) <= env.now.monotonic {
            let Some(request) = self.held.pop_front() else { return };
            self.admission.queue.remove(request.operation.len());
            self.refuse(env, &request, HELD_TOO_LONG);
        }
    }

    /// Refuses a request. A watch that was to end with it ends.
    pub(super) fn refuse(&mut self, env: &mut Env<'_>, request: &Request, text: &str) {
        let kind = entry::only_operation(&request.operation).map(|op| op.kind());
        if matches!(kind, Ok(OperationKind::Unwatch | OperationKind::WatchedGroup)) {
            self.watches.end(request.watcher);
        }
        env.sessions.answer_error(request.waiter, text);
    }

    /// When the first held request has waited too long.
    pub(super) fn held_expires(&self, settings: &Settings) -> Monotonic {
        let first = self.held.front();
        first.map_or(Monotonic::NEVER, |request| request.arrived + settings.request_time)
    }

    /// The holder lets the log decide that keys have expired.
    pub(super) fn reap(&mut self, env: &mut Env<'_>) {
        if self.reaping || !self.is_serving(env) {
            return;
        }
        self.reaping = self.propose_reaping_of_expired(self.next_stamp(env));
    }

    /// Proposes to remove keys that have expired at `now`, not too many at once; says whether there
    /// are any.
    pub(super) fn propose_reaping_of_expired(&mut self, now: UnixMillis) -> bool {
        let mut keys = Vec::new();
        self.data.expired(now, REAPED_KEYS, &mut keys);
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        self.propose_reaping(&keys);
        !keys.is_empty()
    }

    /// Proposes to remove those of the keys that have expired.
    pub(super) fn propose_reaping(&mut self, keys: &[&[u8]]) {
        let nobody = (self.me, types::SessionId(0));
        for key in keys {
            let slot = resp::slot_of(key);
            self.propose_single(Waiter::Nobody, nobody, slot, CommandId::Reap, &[b"", key], 0);
        }
    }

    /// Whether this replica holds a valid lease now.
    pub(crate) fn is_serving(&mut self, env: &Env<'_>) -> bool {
        self.standing(env.now.monotonic, env.support) == super::Standing::Holder
    }
}

//! Long writes in parts, so that nobody waits behind them: see `parts`.
//!
//! The holder proposes the parts of one write at a time, a few ahead of what is applied, and what
//! others ask for in between. The write takes its place among theirs with its last part. What its
//! own client asks for behind it waits here.

use alloc::collections::VecDeque;

use bytes::Bytes;
use types::limits::RETRIED_BYTES_MAX;
use types::{LogIndex, Monotonic, Term};

use super::batch::Sealed;
use super::proposals::Pending;
use super::steps::Progress;
use super::{Effects, Env, Request, Shard};
use crate::entry::{self, BatchHeader, Operation, Operations};
use crate::parts::{Assembly, Part};
use crate::planted::Planting;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::work::Kind;

/// A write is cut into parts that are as long as what just counts as long, if it has more than so
/// many of these.
const PARTS_MIN: usize = 4;
/// So many of them are on their way at a time: others wait for these at most.
const PARTS_UNDER_WAY: usize = 4;
/// What a client is told whose write is too large to be tried again.
pub(super) const NOT_RETRIED: &str = "TRYAGAIN the lease of this shard was lost before the write \
    was committed: it was not executed. It is so large that writing it may have been the reason, \
    so it was not tried at the next holder; try again when the cluster is quiet, in smaller pieces";
/// What a client is told whose write was still being taken in when its time was up.
const TOO_SLOW: &str = "TRYAGAIN the write is so large that its replicas have not stored it in \
    time; it was not executed, try again when the cluster is quiet, or in smaller pieces";

/// Whether a write of so many bytes that is not in the log is tried at the next holder.
pub(super) fn is_retried(bytes: usize, settings: &Settings) -> bool {
    bytes <= RETRIED_BYTES_MAX || settings.breaks(Planting::RetryEverything)
}

/// Long writes that are not in the log as a whole.
#[derive(Default)]
pub(super) struct Parting {
    writes: VecDeque<Parted>,
    /// What is applied of the write whose parts are in the log, at every replica.
    pub(super) assembly: Assembly,
}

struct Parted {
    request: Request,
    /// What it may make the data grow by.
    growth: u64,
    /// How much of it is proposed, and in which term.
    sent: usize,
    term: Term,
    /// The places of the parts that are not known to be applied.
    under_way: VecDeque<LogIndex>,
    /// What the same client asked for later.
    behind: VecDeque<Request>,
}

impl Parting {
    /// Whether no write waits here.
    pub(super) fn is_idle(&self) -> bool {
        self.writes.is_empty()
    }

    /// All requests that wait here, in the order of sending.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Request> {
        let writes = self.writes.iter();
        writes.flat_map(|write| core::iter::once(&write.request).chain(&write.behind))
    }

    /// What writes that came before `time` may make the data grow by.
    pub(super) fn growth_since(&self, time: Monotonic) -> u64 {
        let late = self.writes.iter().filter(|write| write.request.arrived < time);
        late.map(|write| write.growth).fold(0, u64::saturating_add)
    }

    /// When the first write has waited too long.
    pub(super) fn expires(&self, settings: &Settings) -> Monotonic {
        let ends = self.writes.iter().map(|write| write.request.arrived + settings.request_time);
        ends.min().unwrap_or(Monotonic::NEVER)
    }

    /// Keeps a request behind a write of the same client, or gives it back if there is none.
    pub(super) fn keep_behind(&mut self, request: Request) -> Option<Request> {
        let before = |write: &&mut Parted| request.ordered && write.request.is_before(&request);
        let Some(write) = self.writes.iter_mut().rfind(before) else { return Some(request) };
        write.behind.push_back(request);
        None
    }
}

impl Shard {
    /// Whether a write is to be proposed in parts.
    pub(super) fn is_parted(&self, request: &Request) -> bool {
        // What it watches must not change between the check and its place in the log.
        self.is_parted_at(request.operation.len())
            && !matches!(
                entry::only_operation(&request.operation),
                Ok(Operation::Group { watched: true, .. }) | Err(_)
            )
    }

    /// Whether a write of so many bytes is too long for one entry.
    pub(super) fn is_parted_at(&self, bytes: usize) -> bool {
        bytes > PARTS_MIN * self.data.long_bytes()
    }

    /// Takes a write that is to be proposed in parts. It counts in the queue already.
    pub(super) fn begin_parting(&mut self, request: Request, growth: u64) {
        self.steps.parting.writes.push_back(Parted {
            request,
            growth,
            sent: 0,
            term: Term(0),
            under_way: VecDeque::new(),
            behind: VecDeque::new(),
        });
    }

    /// Proposes parts, as far as those before them have come.
    pub(super) fn propose_parts(&mut self, env: &mut Env<'_>) {
        if self.steps.parting.is_idle() {
            return;
        }
        if !self.group.is_leader() {
            return self.displace_parted(env.sessions, env.effects, env.settings);
        }
        self.expire_parted(env);
        // A transaction that watches keys waits until nothing is under way.
        while self.held.is_empty()
            && let Some(mut write) = self.steps.parting.writes.pop_front()
        {
            if !self.propose_parts_of(env, &mut write) {
                self.steps.parting.writes.push_front(write);
                return;
            }
            self.release_behind(write.behind);
        }
    }

    /// Proposes parts of one write. Says whether all are proposed.
    fn propose_parts_of(&mut self, env: &mut Env<'_>, write: &mut Parted) -> bool {
        let (applied, term) = (self.group.applied_index(), self.group.term());
        while write.under_way.pop_front_if(|index| *index <= applied).is_some() {}
        if write.term != term {
            // The record of the lease between them has voided those of before.
            (write.sent, write.term) = (0, term);
            write.under_way.clear();
        }
        let (total, size) = (write.request.operation.len(), self.data.long_bytes());
        while write.under_way.len() < PARTS_UNDER_WAY {
            let end = total.min(write.sent + size);
            let bytes = write.request.operation.slice(write.sent..end);
            let part = Part { total, at: write.sent, grows: write.growth > 0, bytes: &bytes };
            let Some(place) = self.propose_part(env, &part, bytes.clone()) else {
                // It is being handed over; what is to become of the write is clear when that is.
                return false;
            };
            write.sent = end;
            write.under_way.push_back(place.0);
            if end == total {
                let Request { waiter, watcher, ref operation, .. } = write.request;
                let sealed = Sealed::alone(waiter, watcher, operation.clone(), write.growth);
                self.await_entry(env, place, sealed);
                return true;
            }
        }
        false
    }

    fn propose_part(
        &mut self,
        env: &mut Env<'_>,
        part: &Part<'_>,
        bytes: Bytes,
    ) -> Option<(LogIndex, Term)> {
        let context = entry::encode_part(self.next_header(env), part);
        let place = self.propose_operations(env, context, bytes);
        self.unsettle(env);
        place
    }

    /// What waited behind a write goes on, before all that waits for a turn: it came earlier.
    fn release_behind(&mut self, behind: VecDeque<Request>) {
        for request in behind.into_iter().rev() {
            // It counts in the queue again when it is deferred.
            self.admission.queue.remove(request.operation.len());
            self.defer_first(request);
        }
    }

    /// Refuses writes that are not in the log in time.
    fn expire_parted(&mut self, env: &mut Env<'_>) {
        let (now, time) = (env.now.monotonic, env.settings.request_time);
        let late = |write: &Parted| write.request.arrived + time <= now;
        while let Some(at) = self.steps.parting.writes.iter().position(late) {
            let Some(write) = self.steps.parting.writes.remove(at) else { return };
            self.admission.queue.remove(write.request.operation.len());
            self.admission.queue.remove_growth(write.growth);
            self.refuse(env, &write.request, TOO_SLOW);
            self.release_behind(write.behind);
            if write.sent > 0 {
                // Nobody need keep its parts any longer.
                let part = Part { total: 0, at: 0, grows: false, bytes: &[] };
                self.propose_part(env, &part, Bytes::from_static(b"-"));
            }
        }
    }

    /// Writes that are not in the log as a whole were not executed: another holder may take them,
    /// and what came behind them.
    pub(super) fn displace_parted(
        &mut self,
        sessions: &mut Sessions,
        effects: &mut Effects,
        settings: &Settings,
    ) {
        for Parted { request, growth, behind, .. } in
            core::mem::take(&mut self.steps.parting.writes)
        {
            self.admission.queue.remove(request.operation.len());
            self.admission.queue.remove_growth(growth);
            if is_retried(request.operation.len(), settings) {
                effects.displaced.push((self.id, request));
            } else {
                sessions.answer_error(request.waiter, NOT_RETRIED);
            }
            for request in behind {
                self.admission.queue.remove(request.operation.len());
                effects.displaced.push((self.id, request));
            }
        }
    }

    /// Takes a part that is committed, and executes its operation if that is whole. Says whether
    /// the turn has room for all of that.
    pub(super) fn apply_part(
        &mut self,
        env: &mut Env<'_>,
        index: LogIndex,
        (header, part): (BatchHeader, Part<'_>),
        pending: Option<&Pending>,
        progress: &mut Progress,
    ) -> bool {
        let assembly = &mut self.steps.parting.assembly;
        if assembly.whole().is_none() {
            self.stamp = self.stamp.max(header.stamp);
            assembly.take(index, &part, header.epoch == self.lease.epoch);
            env.work.count(Kind::Entries, part.bytes.len() as u64 / 2);
            self.keep_parts();
        }
        if !part.is_last() {
            return true;
        }
        let whole = self.steps.parting.assembly.whole();
        let fenced = whole.is_some();
        let asked = pending.map(|pending| pending.operations.clone());
        let Some(operation) = whole.or(asked) else { return true };
        let batch = (header, Operations::new(&operation), &operation);
        if !self.apply_batch(env, index, batch, fenced, pending, progress) {
            return false;
        }
        if let (Some(first), Ok(operation)) =
            (self.steps.parting.assembly.first(), entry::only_operation(&operation))
            && let Some(slot) = operation.slot().filter(|_| fenced)
        {
            self.places.changed_from(slot, first);
        }
        self.void_parts();
        true
    }

    /// Nothing will come of the parts that are applied, or something has.
    pub(super) fn void_parts(&mut self) {
        if self.steps.parting.assembly.first().is_some() {
            self.steps.parting.assembly.close();
            self.keep_parts();
        }
    }

    /// An entry that is no operation of a client voids the parts before it: those that were
    /// proposed before it was known are proposed again.
    pub(super) fn cut_parts(&mut self) {
        self.void_parts();
        if let Some(write) = self.steps.parting.writes.front_mut() {
            write.sent = 0;
        }
    }

    /// What is not whole is needed, in memory, on the disk and by whoever catches up.
    fn keep_parts(&mut self) {
        let first = self.steps.parting.assembly.first();
        self.group.keep_from(first.filter(|_| !self.planted.contains(Planting::PartsNotKept)));
    }
}

//! Reads: under the lease at once; without one, by asking a quorum whether this replica still
//! leads (a read index), which is slower but always right.
//!
//! A round has a number of its own that is never used again, so answers to an earlier round can't
//! confirm a later one (rules R14 and R15, etcd#20418). Reads that arrive while a round is under
//! way wait for the next one, whose index is taken after they arrived.

use alloc::vec::Vec;
use core::time::Duration;

use types::{LogIndex, Monotonic};

use super::parking::is_before;
use super::{Env, Request, Shard, Standing};
use crate::io::Event;
use crate::planted::Planting;
use crate::refusals::OVERTAKEN;
use crate::work::Kind;

/// How long the answers to a round are awaited before it is tried anew.
const ROUND_TIME: Duration = Duration::from_millis(200);

/// Reads that wait for a quorum's word.
#[derive(Default)]
pub(super) struct ReadRounds {
    next: u64,
    waiting: Vec<Request>,
    under_way: Option<Round>,
    /// The index of these reads is known; it may not be applied yet.
    confirmed: Vec<(LogIndex, Vec<Request>)>,
}

impl ReadRounds {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none() && self.confirmed.is_empty()
    }

    /// All reads that wait.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        let under_way = self.under_way.iter().flat_map(|round| &round.reads);
        let confirmed = self.confirmed.iter().flat_map(|(_, reads)| reads);
        confirmed.chain(under_way).chain(&self.waiting)
    }
}

struct Round {
    number: u64,
    until: Monotonic,
    reads: Vec<Request>,
}

impl Shard {
    /// Serves a read that this replica was found fit to serve a moment ago.
    pub(super) fn read_now(&mut self, env: &mut Env<'_>, request: Request) {
        match self.standing(env.now.monotonic, env.support) {
            Standing::Holder => {
                self.trace_read(env);
                self.read_applied(env, &request);
            }
            // A watch that begins early can only abort a transaction; one that begins after a read
            // of its client misses changes.
            Standing::Leader
                if request.is_watch() || self.planted.contains(Planting::ReadWithoutRound) =>
            {
                self.read_applied(env, &request);
            }
            Standing::Leader => self.reads.waiting.push(request),
            Standing::Changing | Standing::Follower(_) | Standing::Leaderless => {
                env.effects.displaced.push((self.id, request));
            }
        }
    }

    pub(crate) fn trace_read(&mut self, env: &mut Env<'_>) {
        if env.trace_reads {
            env.effects.events.push(Event::ReadServed {
                shard: self.id,
                epoch: self.lease.epoch,
                at: env.now.monotonic,
            });
        }
    }

    /// Runs a read after everything that is proposed now.
    pub(super) fn read_behind(&mut self, mut request: Request) {
        request.ordered = true;
        self.batch.push_read(request);
    }

    /// Begins a round if reads wait for one, or begins anew what was not answered.
    pub(super) fn begin_round(&mut self, env: &Env<'_>) {
        let now = env.now.monotonic;
        if let Some(round) = &mut self.reads.under_way
            && round.until <= now
        {
            let mut reads = core::mem::take(&mut round.reads);
            reads.append(&mut self.reads.waiting);
            self.reads.waiting = reads;
            self.reads.under_way = None;
        }
        if let Some(round) = &mut self.reads.under_way
            && self.planted.contains(Planting::JoinRoundUnderWay)
        {
            round.reads.append(&mut self.reads.waiting);
        }
        let idle = self.reads.under_way.is_none() && !self.reads.waiting.is_empty();
        if !idle || !self.group.is_leader() {
            return;
        }
        self.reads.next += 1;
        let number = self.reads.next;
        self.reads.under_way = Some(Round {
            number,
            until: now + ROUND_TIME,
            reads: core::mem::take(&mut self.reads.waiting),
        });
        self.group.read_index(number);
    }

    /// A quorum has confirmed a round: its reads may be served once `index` is applied.
    pub(super) fn round_confirmed(&mut self, number: u64, index: LogIndex) {
        if let Some(round) = self.reads.under_way.take_if(|round| round.number == number) {
            self.reads.confirmed.push((index, round.reads));
        }
    }

    /// Serves the reads whose index is applied.
    pub(super) fn serve_confirmed(&mut self, env: &mut Env<'_>) {
        let applied = self.group.applied_index();
        let (ready, rest) = core::mem::take(&mut self.reads.confirmed)
            .into_iter()
            .partition(|(index, _)| *index <= applied);
        self.reads.confirmed = rest;
        let ready: Vec<(LogIndex, Vec<Request>)> = ready;
        let mut ready = ready.into_iter().flat_map(|(_, reads)| reads);
        while env.work.may(Kind::Reads) {
            let Some(request) = ready.next() else { return };
            self.read_applied(env, &request);
        }
        let rest: Vec<Request> = ready.collect();
        if !rest.is_empty() {
            self.reads.confirmed.insert(0, (applied, rest));
        }
    }

    /// Whether reads wait for nothing but their share of a turn.
    pub(super) fn has_ready_reads(&self) -> bool {
        let applied = self.group.applied_index();
        self.reads.confirmed.iter().any(|(index, _)| *index <= applied)
    }

    /// Sends reads away that no quorum has confirmed in time: they are refused, unless somebody can
    /// serve them by now.
    pub(super) fn expire_reads(&mut self, env: &mut Env<'_>) {
        let now = env.now.monotonic;
        if self.reads.is_idle() || env.settings.breaks(Planting::WaitingReads) {
            return;
        }
        let displaced = &mut env.effects.displaced;
        let confirmed = self.reads.confirmed.iter_mut().map(|(_, reads)| reads);
        let under_way = self.reads.under_way.iter_mut().map(|round| &mut round.reads);
        for reads in confirmed.chain(under_way).chain([&mut self.reads.waiting]) {
            let late = reads.extract_if(.., |request| request.deadline <= now);
            displaced.extend(late.map(|request| (self.id, request)));
        }
    }

    /// Sends waiting reads elsewhere: this replica no longer leads. Not those whose clients have
    /// asked for writes behind them that are in the log and will be executed: the next holder may
    /// execute these first.
    pub(super) fn displace_reads(&mut self, env: &mut Env<'_>) {
        if self.reads.is_idle() {
            return;
        }
        let written = self.newest_written();
        let reads = core::mem::take(&mut self.reads);
        self.reads.next = reads.next;
        let under_way = reads.under_way.into_iter().flat_map(|round| round.reads);
        let confirmed = reads.confirmed.into_iter().flat_map(|(_, reads)| reads);
        for request in confirmed.chain(under_way).chain(reads.waiting) {
            if is_before(&request, &written) {
                env.sessions.answer_error(request.waiter, OVERTAKEN);
            } else {
                env.effects.displaced.push((self.id, request));
            }
        }
    }

    /// When a round must be tried anew.
    pub(super) fn next_round_deadline(&self) -> Monotonic {
        self.reads.under_way.as_ref().map_or(Monotonic::NEVER, |round| round.until)
    }

    /// A read for the data itself, which the caller executes: the fast path of a client at the
    /// holder.
    pub(crate) fn context_for_read(&mut self, env: &Env<'_>) -> keyspace::Context {
        self.read_context(env)
    }

    /// The data, for the fast path.
    pub(crate) fn data_mut(&mut self) -> &mut keyspace::Keyspace {
        &mut self.data
    }
}

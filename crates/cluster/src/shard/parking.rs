//! Requests that wait for a holder, and the order in which a client's requests take effect.
//!
//! What a client asks of one shard takes effect in the order of sending, whatever becomes of the
//! lease meanwhile. A request must therefore not be served, and not go to another node, while an
//! earlier one of the same client still waits here: parked, in an entry that may yet be lost, or
//! for a read round. Such a request is parked behind it. Where nothing waits that costs nothing.

use alloc::collections::{BTreeMap, VecDeque};

use types::{Monotonic, ShardId, Slot};

use super::proposals::Local;
use super::{Env, Request, Sent, Shard, Standing, Watcher};
use crate::entry::{self, Command, Operation, OperationKind};
use crate::settings::Settings;

impl Request {
    /// Its place among the requests of its client; `None` if no client waits for it.
    pub(crate) fn sent(&self) -> Option<Sent> {
        Some(Sent { client: self.watcher, number: self.waiter.number()? })
    }

    /// The slot that it concerns and the first of its keys, if it has one.
    pub(super) fn slot_and_key(&self) -> Option<(Slot, Option<&[u8]>)> {
        match entry::only_operation(&self.operation).ok()? {
            Operation::Single { slot, command } => Some((slot, command.first_key())),
            Operation::Group { slot, commands, .. } => {
                Some((slot, commands.first().and_then(Command::first_key)))
            }
            Operation::Watch { slot, .. } => Some((slot, None)),
            Operation::Flush | Operation::Unwatch | Operation::Survey(_) | Operation::Manage(_) => {
                None
            }
        }
    }

    /// Whether running it may change anything that others see.
    pub(crate) fn changes(&self) -> bool {
        entry::only_operation(&self.operation).is_ok_and(|operation| operation.changes())
    }

    /// Whether it begins a watch.
    pub(super) fn is_watch(&self) -> bool {
        let operation = entry::only_operation(&self.operation);
        operation.is_ok_and(|operation| operation.kind() == OperationKind::Watch)
    }

    /// Whether both are of one client, and this one was sent first.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.watcher == other.watcher
            && self.waiter.number().zip(other.waiter.number()).is_some_and(|(a, b)| a < b)
    }
}

impl Local {
    fn sent(&self) -> Option<Sent> {
        match self {
            Self::Apply { waiter, watcher, .. } => {
                Some(Sent { client: *watcher, number: waiter.number()? })
            }
            Self::Read(request) | Self::Late(request) => request.sent(),
        }
    }
}

impl Sent {
    /// The first place among the requests of the same client.
    pub(crate) fn first(self) -> Self {
        Self { number: 0, ..self }
    }

    /// The last one.
    pub(crate) fn last(self) -> Self {
        Self { number: u64::MAX, ..self }
    }
}

/// For each client that waits, the number of the first request that it waits for.
type Waiting = BTreeMap<Watcher, u64>;

fn note(waiting: &mut Waiting, sent: Sent) {
    let first = waiting.entry(sent.client).or_insert(sent.number);
    *first = sent.number.min(*first);
}

fn follows(waiting: &Waiting, request: &Request) -> bool {
    let (true, Some(sent)) = (request.ordered, request.sent()) else { return false };
    waiting.get(&sent.client).is_some_and(|first| *first < sent.number)
}

impl Shard {
    /// Parks a request until a holder is known; refuses it when too much waits already. Requests
    /// of one client are parked in its order of sending, whenever each comes.
    pub(crate) fn park(&mut self, env: &mut Env<'_>, request: Request) {
        if let Err(text) = self.check_queue(env.settings, request.operation.len()) {
            return self.refuse(env, &request, &text);
        }
        self.admission.queue.add(request.operation.len());
        let later = |other: &Request| request.ordered && request.is_before(other);
        match self.parked.iter().position(later) {
            Some(at) => self.parked.insert(at, request),
            None => self.parked.push_back(request),
        }
    }

    /// Whether no request waits here for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.parked.is_empty()
            && self.held.is_empty()
            && self.batch.is_empty()
            && self.pending.is_empty()
            && self.reads.is_idle()
            && self.steps.is_idle()
    }

    /// Whether an earlier request of the same client waits here, so that this one must wait, too.
    pub(crate) fn must_wait(&self, request: &Request, standing: Standing) -> bool {
        request.ordered
            && (self.parked.iter().any(|earlier| earlier.is_before(request))
                || follows(&self.unfinished(standing, request.writes), request))
    }

    /// What waits here, but not parked, and would be overtaken by a request that is placed now.
    fn unfinished(&self, standing: Standing, writes: bool) -> Waiting {
        let mut waiting = Waiting::new();
        if writes || standing == Standing::Holder {
            // The reads of a round run on the data as it is then; other reads join the next one.
            self.reads.iter().filter_map(Request::sent).for_each(|sent| note(&mut waiting, sent));
        }
        if standing == Standing::Holder {
            // What is admitted comes behind them.
            return waiting;
        }
        self.steps.requests().filter_map(Request::sent).for_each(|sent| note(&mut waiting, sent));
        let pending = self.pending.iter().flat_map(|pending| &pending.locals);
        let proposed = self.batch.locals().chain(pending).filter_map(Local::sent);
        let held = self.held.iter().filter_map(Request::sent);
        proposed.chain(held).for_each(|sent| note(&mut waiting, sent));
        waiting
    }

    /// Parked requests go on when there is somewhere to go, and end when their time is up.
    pub(super) fn place_parked(&mut self, env: &mut Env<'_>) {
        if self.parked.is_empty() {
            return;
        }
        let now = env.now.monotonic;
        let standing = self.standing(now, env.support);
        let is_system = self.id == ShardId::SYSTEM;
        let waits = |writes: bool| match standing {
            Standing::Changing | Standing::Leaderless => true,
            // As in `Node::place`: the manager is active under a valid lease only. What was let go
            // here and parked there would keep the turn from ever ending.
            Standing::Leader => writes || is_system,
            Standing::Holder | Standing::Follower(_) => false,
        };
        let before_reads = self.unfinished(standing, false);
        let before_writes = self.unfinished(standing, true);
        let mut kept = Waiting::new();
        for request in self.take_parked() {
            let unfinished = if request.writes { &before_writes } else { &before_reads };
            let behind = follows(unfinished, &request) || follows(&kept, &request);
            if (behind || waits(request.writes)) && now < request.deadline {
                if let Some(sent) = request.sent() {
                    note(&mut kept, sent);
                }
                self.admission.queue.add(request.operation.len());
                self.parked.push_back(request);
            } else {
                env.effects.displaced.push((self.id, request));
            }
        }
    }

    /// All parked requests, to be placed anew.
    pub(crate) fn take_parked(&mut self) -> VecDeque<Request> {
        let parked = core::mem::take(&mut self.parked);
        self.admission.queue.remove(parked.iter().map(|request| request.operation.len()).sum());
        parked
    }

    /// The first end of a wait among parked and held requests and proposed entries.
    pub(super) fn next_expiry_of_waits(&self, now: Monotonic, settings: &Settings) -> Monotonic {
        let parked = self.parked.iter().chain(self.reads.iter()).map(|request| request.deadline);
        let parked = parked.min();
        let pending = self.pending.front().map(|pending| {
            // By then the lease may be lost.
            let sooner = (pending.proposed + settings.park_time).max(now + settings.park_time / 4);
            pending.deadline.min(sooner)
        });
        let parked = parked.unwrap_or(Monotonic::NEVER);
        parked.min(pending.unwrap_or(Monotonic::NEVER)).min(self.held_expires(settings))
    }
}

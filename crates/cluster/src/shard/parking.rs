//! Requests that wait for a holder, and the order in which a client's requests take effect.
//!
//! What a client asks of one shard takes effect in the order of sending, whatever becomes of the
//! lease meanwhile. A request must therefore not be served, and not go to another node, while an
//! earlier one of the same client still waits here: parked, in an entry that may yet be lost, or
//! for a read round. Such a request is parked behind it. Where nothing waits that costs nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use types::{Monotonic, ShardId, Slot};

use super::proposals::Local;
use super::{Env, Request, Sent, Shard, Standing, Watcher};
use crate::entry::{self, Command, Operation, OperationKind};
use crate::planted::Planting;
use crate::session::Waiter;
use crate::settings::Settings;

impl Request {
    /// Its place among the requests of its client; `None` if no client waits for it.
    pub(crate) fn sent(&self) -> Option<Sent> {
        Sent::of(self.waiter, self.watcher)
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
        let both = self.sent().zip(other.sent());
        both.is_some_and(|(this, other)| this.client == other.client && this.number < other.number)
    }
}

impl Local {
    fn sent(&self) -> Option<Sent> {
        match self {
            Self::Apply { waiter, watcher, .. } => Sent::of(*waiter, *watcher),
            Self::Read(request) | Self::Late(request) => request.sent(),
        }
    }
}

impl Sent {
    fn of(waiter: Waiter, client: Watcher) -> Option<Self> {
        Some(Self { client, number: waiter.number()? })
    }

    /// The first place among the requests of the same client.
    pub(crate) fn first(self) -> Self {
        Self { number: 0, ..self }
    }

    /// Its number at the client's own node.
    pub(crate) fn number(self) -> u64 {
        self.number
    }

    /// The last one.
    pub(crate) fn last(self) -> Self {
        Self { number: u64::MAX, ..self }
    }
}

/// For each client, the number of the first request that waits.
type Waiting = BTreeMap<Watcher, u64>;

fn note(waiting: &mut Waiting, sent: Sent) {
    let first = waiting.entry(sent.client).or_insert(sent.number);
    *first = sent.number.min(*first);
}

fn follows(waiting: &Waiting, request: &Request) -> bool {
    let (true, Some(sent)) = (request.ordered, request.sent()) else { return false };
    waiting.get(&sent.client).is_some_and(|first| *first < sent.number)
}

/// For each client, the number of its newest request.
pub(super) type Newest = BTreeMap<Watcher, u64>;

/// Whether its client has sent one of these later.
pub(super) fn is_before(request: &Request, newest: &Newest) -> bool {
    request
        .sent()
        .is_some_and(|it| newest.get(&it.client).is_some_and(|newest| it.number < *newest))
}

/// A request in the park: whose it is, if a client waits for it, its number, and its arrival.
type Place = (Option<Watcher>, u64, u64);

/// Parked requests, each behind those that its client sent before.
#[derive(Default)]
pub(super) struct Park {
    requests: BTreeMap<Place, Request>,
    deadlines: BTreeSet<(Monotonic, Place)>,
    arrivals: u64,
    reads: usize,
    /// Some could go on, but have been placed in this turn already.
    waits_for_turn: bool,
}

impl Park {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether some wait for nothing but the next turn.
    pub(super) fn waits_for_turn(&self) -> bool {
        self.waits_for_turn
    }

    fn add(&mut self, request: Request, unordered_last: bool) {
        self.arrivals += 1;
        let sent = request.sent();
        let number = match sent {
            // Behind what its client sent later.
            Some(_) if unordered_last && !request.ordered => u64::MAX,
            Some(sent) => sent.number,
            None => 0,
        };
        let place = (sent.map(|sent| sent.client), number, self.arrivals);
        self.deadlines.insert((request.deadline, place));
        self.reads += usize::from(!request.writes);
        self.requests.insert(place, request);
    }

    fn remove(&mut self, place: Place) -> Option<Request> {
        let request = self.requests.remove(&place)?;
        self.deadlines.remove(&(request.deadline, place));
        self.reads -= usize::from(!request.writes);
        Some(request)
    }

    fn has_before(&self, sent: Sent) -> bool {
        let client = Some(sent.client);
        self.requests.range((client, 0, 0)..(client, sent.number, 0)).next().is_some()
    }

    /// Takes of each client all up to the first that does not go. What it took comes in the order
    /// of arrival, but that of each client in the order of sending.
    fn take(&mut self, mut goes: impl FnMut(&Request) -> bool) -> Vec<Request> {
        let mut taken: Vec<(u64, Place)> = Vec::new();
        let mut rest = Bound::Unbounded;
        while let Some((&(client, ..), _)) = self.requests.range((rest, Bound::Unbounded)).next() {
            let end = (client, u64::MAX, u64::MAX);
            let its = self.requests.range((client, 0, 0)..=end);
            let places: Vec<Place> =
                its.take_while(|(_, request)| goes(request)).map(|(place, _)| *place).collect();
            let mut arrivals: Vec<u64> = places.iter().map(|(.., arrival)| *arrival).collect();
            arrivals.sort_unstable();
            taken.extend(arrivals.into_iter().zip(places));
            rest = Bound::Excluded(end);
        }
        taken.sort_unstable();
        taken.into_iter().filter_map(|(_, place)| self.remove(place)).collect()
    }

    /// Takes those whose time is up, each client's in the order of sending. With a forwarded one
    /// goes all that its client sent behind it: its sender tries it again, and what is served
    /// meanwhile would have overtaken it.
    fn take_late(
        &mut self,
        now: Monotonic,
        mut goes: impl FnMut(&Request) -> bool,
    ) -> Vec<Request> {
        let late = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        let mut late: BTreeSet<Place> = late
            .map(|(_, place)| *place)
            .filter(|place| self.requests.get(place).is_some_and(&mut goes))
            .collect();
        let forwarded = |place: &&Place| {
            let waiter = self.requests.get(*place).map(|request| request.waiter);
            matches!(waiter, Some(Waiter::Peer { .. }))
        };
        let behind = late.iter().filter(forwarded).flat_map(|&(client, number, arrival)| {
            let end = (client, u64::MAX, u64::MAX);
            self.requests.range((client, number, arrival)..=end).map(|(place, _)| *place)
        });
        let behind: Vec<Place> = behind.collect();
        late.extend(behind);
        let mut taken: Vec<Request> =
            late.into_iter().filter_map(|place| self.remove(place)).collect();
        for request in &mut taken {
            request.deadline = request.deadline.min(now);
        }
        taken
    }

    fn next_deadline(&self) -> Monotonic {
        self.deadlines.first().map_or(Monotonic::NEVER, |(deadline, _)| *deadline)
    }
}

impl Shard {
    /// Parks a request until a holder is known; refuses it when too much waits already. Requests
    /// of one client are parked in its order of sending, whenever each comes.
    pub(crate) fn park(&mut self, env: &mut Env<'_>, request: Request) {
        if let Err(text) = self.check_queue(env.settings, request.operation.len()) {
            return self.refuse(env, &request, &text);
        }
        self.admission.queue.add(request.operation.len());
        self.parked.add(request, env.settings.breaks(Planting::ParkUnorderedLast));
    }

    /// Whether no request waits here for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.parked.is_empty()
            && self.held.is_empty()
            && self.batch.is_empty()
            && self.pending.is_empty()
            && self.reads.is_idle()
            && self.steps.is_idle()
            && self.steps.parting.is_idle()
    }

    /// Whether an earlier request of the same client waits here, so that this one must wait, too.
    pub(crate) fn must_wait(&self, request: &Request, standing: Standing) -> bool {
        request.ordered
            && (request.sent().is_some_and(|sent| self.parked.has_before(sent))
                || standing == Standing::Leader && self.has_unapplied()
                || follows(&self.unfinished(standing, request.writes), request))
    }

    /// Whether the log has what is not applied. A client that was told that nobody knows what
    /// becomes of its write waits for that with what it asks next: such a write is pending no more,
    /// but stays in the log, and will be applied if this replica goes on leading.
    pub(super) fn has_unapplied(&self) -> bool {
        let applied_all = self.group.applied_index() >= self.group.last_index();
        !applied_all && !self.planted.contains(Planting::ReadBeforeGivenUp)
    }

    /// The newest write of each client that is in the log and not applied.
    pub(super) fn newest_written(&self) -> Newest {
        let mut newest = Newest::new();
        for local in self.pending.iter().flat_map(|pending| &pending.locals) {
            if let (Local::Apply { .. }, Some(sent)) = (local, local.sent()) {
                let number = newest.entry(sent.client).or_insert(sent.number);
                *number = sent.number.max(*number);
            }
        }
        newest
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
        let steps = self.steps.requests().chain(self.steps.parting.requests());
        steps.filter_map(Request::sent).for_each(|sent| note(&mut waiting, sent));
        let pending = self.pending.iter().flat_map(|pending| &pending.locals);
        let proposed = self.batch.locals().chain(pending).filter_map(Local::sent);
        let held = self.held.iter().filter_map(Request::sent);
        proposed.chain(held).for_each(|sent| note(&mut waiting, sent));
        waiting
    }

    /// Parked requests go on when there is somewhere to go, and end when their time is up. One that
    /// was let go in this turn already waits for the next, so that each turn ends.
    pub(super) fn place_parked(&mut self, env: &mut Env<'_>) {
        self.parked.waits_for_turn = false;
        if self.parked.is_empty() {
            return;
        }
        let (now, turn) = (env.now.monotonic, env.work.turn());
        let standing = self.standing(now, env.support);
        let is_system = self.id == ShardId::SYSTEM;
        let waits = |writes: bool| match standing {
            Standing::Changing | Standing::Leaderless => true,
            // As in `Node::place`: the manager is active under a valid lease only.
            Standing::Leader => writes || is_system,
            Standing::Holder | Standing::Follower(_) => false,
        };
        let mut waits_for_turn = false;
        let mut going = Vec::new();
        // All that waits is not looked at each turn.
        if !waits(true) || !waits(false) && self.parked.reads > 0 {
            let before_reads = self.unfinished(standing, false);
            let before_writes = self.unfinished(standing, true);
            let given_up_may_be_applied = standing == Standing::Leader && self.has_unapplied();
            going = self.parked.take(|request| {
                let unfinished = if request.writes { &before_writes } else { &before_reads };
                let waits = follows(unfinished, request)
                    || waits(request.writes)
                    || request.ordered && given_up_may_be_applied;
                let goes = !waits || request.deadline <= now;
                waits_for_turn |= goes && request.placed == turn;
                goes && request.placed != turn
            });
        }
        // Those that are left wait, or come behind one that does.
        let goes = |request: &Request| {
            waits_for_turn |= request.placed == turn;
            request.placed != turn
        };
        going.extend(self.parked.take_late(now, goes));
        self.parked.waits_for_turn = waits_for_turn;
        for request in going {
            self.admission.queue.remove(request.operation.len());
            env.effects.displaced.push((self.id, request));
        }
    }

    /// All parked requests, to be placed anew.
    pub(crate) fn take_parked(&mut self) -> Vec<Request> {
        let parked = self.parked.take(|_| true);
        self.admission.queue.remove(parked.iter().map(|request| request.operation.len()).sum());
        parked
    }

    /// The first end of a wait among parked and held requests and proposed entries.
    pub(super) fn next_expiry_of_waits(&self, now: Monotonic, settings: &Settings) -> Monotonic {
        let reads = self.reads.iter().map(|request| request.deadline).min();
        let parked = self.parked.next_deadline().min(reads.unwrap_or(Monotonic::NEVER));
        let pending = self.pending.front().map(|pending| {
            // By then the lease may be lost.
            let sooner = (pending.proposed + settings.park_time).max(now + settings.park_time / 4);
            pending.deadline.min(sooner)
        });
        let first = parked.min(pending.unwrap_or(Monotonic::NEVER));
        first.min(self.held_expires(settings)).min(self.steps.parting.expires(settings))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use types::{NodeId, SessionId};

    use super::*;
    use crate::shard::Said;

    const CLIENT: Watcher = (NodeId(3), SessionId(1));
    const DEADLINE: Monotonic = Monotonic(1000);

    fn request(forwarder: u32, number: u64, ordered: bool, writes: bool) -> Request {
        Request {
            waiter: Waiter::Peer {
                node: NodeId(forwarder),
                request: number,
                at_home: number,
                resp3: false,
            },
            operation: Bytes::new(),
            writes,
            ordered,
            watcher: CLIENT,
            watch: 0,
            said: Said::default(),
            passes_on: false,
            origin: placement::Origin::default(),
            arrived: Monotonic(0),
            deadline: DEADLINE,
            losses: 0,
            placed: 0,
        }
    }

    fn names(requests: &[Request]) -> Vec<(u32, u64)> {
        let name = |request: &Request| match request.waiter {
            Waiter::Peer { node, at_home, .. } => Some((node.0, at_home)),
            Waiter::Client { .. } | Waiter::Gather { .. } | Waiter::Nobody => None,
        };
        requests.iter().filter_map(name).collect()
    }

    #[test]
    fn a_clients_order_is_that_of_sending_whichever_way_they_came() {
        let mut park = Park::default();
        for (forwarder, number) in [(5, 12), (4, 11), (4, 14), (5, 13)] {
            park.add(request(forwarder, number, true, true), false);
        }
        let first = request(4, 11, true, true).sent().expect("somebody waits for it");
        assert!(!park.has_before(first));
        let second = request(5, 12, true, true).sent().expect("somebody waits for it");
        assert!(park.has_before(second));
        assert_eq!(names(&park.take(|_| true)), [(4, 11), (5, 12), (5, 13), (4, 14)]);
    }

    #[test]
    fn what_comes_back_comes_before_what_was_sent_later() {
        let mut park = Park::default();
        park.add(request(5, 12, true, false), false);
        park.add(request(5, 13, true, false), false);
        park.add(request(5, 11, false, true), false);
        let read = |request: &Request| !request.writes;
        assert!(park.take(read).is_empty(), "the reads are behind a write that does not go");
        assert_eq!(names(&park.take(|_| true)), [(5, 11), (5, 12), (5, 13)]);
        assert!(park.is_empty() && park.deadlines.is_empty() && park.reads == 0);
    }

    #[test]
    fn those_whose_time_is_up_leave_the_others() {
        let mut park = Park::default();
        let late = Request { deadline: Monotonic(10), ..request(5, 12, true, true) };
        park.add(request(5, 11, false, true), false);
        park.add(late, false);
        let another = (NodeId(3), SessionId(2));
        park.add(Request { watcher: another, ..request(6, 13, true, true) }, false);
        assert_eq!(park.next_deadline(), Monotonic(10));
        assert!(park.take_late(Monotonic(9), |_| true).is_empty());
        assert!(park.take_late(Monotonic(10), |_| false).is_empty());
        assert_eq!(names(&park.take_late(Monotonic(10), |_| true)), [(5, 12)]);
        assert_eq!((park.len(), park.next_deadline()), (2, DEADLINE));
    }

    #[test]
    fn what_was_sent_behind_one_whose_time_is_up_goes_with_it() {
        let mut park = Park::default();
        park.add(Request { deadline: Monotonic(10), ..request(5, 12, true, false) }, false);
        park.add(request(5, 13, true, false), false);
        park.add(request(6, 14, true, false), false);
        let taken = park.take_late(Monotonic(10), |_| true);
        assert_eq!(names(&taken), [(5, 12), (5, 13), (6, 14)], "whichever way they came");
        assert!(
            taken.iter().all(|request| request.deadline <= Monotonic(10)),
            "none is parked again"
        );
        assert!(park.is_empty());
    }
}

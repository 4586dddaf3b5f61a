//! Requests that this node runs for another node's clients, and those that others run for ours.
//!
//! A request is numbered by its sender. The receiver remembers the numbers it has seen, so a
//! message that arrives twice is executed once; a receiver that has begun a new life, and so has
//! forgotten them, does not run what was sent to its former one. When the connection breaks or the
//! holder dies before it has answered, a read is tried elsewhere; a write's outcome can't be known.
//!
//! A refused request comes back and is sent again. Whatever its client sent behind it to the same
//! node must not be run meanwhile: refusals have numbers, each request says which one its sender
//! has heard of, and a node that has refused since refuses it as well. That has no number of its
//! own, or those under way would refuse each other without end. So what is sent behind requests
//! that are under way says what they said, and is refused if one of them was; and what has
//! come back is sent again when all that its client sent behind it has come back, too.

mod held;
mod late;
mod seen;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use types::limits::{FORWARD_BYTES_MAX, FORWARD_BYTES_MIN, READ_RETRIES_MAX};
use types::{Life, Monotonic, NodeId, Now, ShardId};

use super::redirects::CLIENTS_LEARN;
use super::{Node, World};
use crate::frontend::slow_log::show_operation;
use crate::io::{ForwardOutcome, ForwardedRequest, Message};
use crate::planted::Planting;
use crate::refusals::OVERTAKEN;
use crate::room;
use crate::session::Waiter;
use crate::shard::{MALFORMED, Request, Said, Sent, Watcher};
use held::Held;
use late::GivenUp;
use seen::{Arrival, SeenOf};

/// What a client is told whose read was lost with each node that ran it.
const LOST_TOO_OFTEN: &str = "TRYAGAIN the nodes that were to run this read were lost one after \
    the other before they had answered; it may be the reason, so it is not tried again";

/// Requests that other nodes are to answer.
#[derive(Default)]
pub(super) struct Forwards {
    first: u64,
    next: u64,
    under_way: BTreeMap<u64, Forward>,
    /// For each shard, whose requests are at which node.
    at: BTreeMap<(ShardId, NodeId), BTreeMap<Sent, Heard>>,
    /// Those behind which a later one of the same client has been answered.
    overtaken: BTreeSet<(ShardId, Sent)>,
    /// Bytes of requests at each node.
    bytes: BTreeMap<NodeId, usize>,
    seen: BTreeMap<NodeId, SeenOf>,
    /// The newest refusal by each node, in its present life, of a request to the shard, that we
    /// have heard of.
    heard: BTreeMap<(NodeId, ShardId), Heard>,
    /// The newest refusal of ours of each node's requests to the shard.
    refused: BTreeMap<(NodeId, ShardId), u64>,
    refusals: u64,
    given_up: GivenUp,
    held: Held,
}

/// The newest refusal by a node, in one of its lives, that a request's sender had heard of.
type Heard = (Life, u64);

struct Forward {
    request: Request,
    shard: ShardId,
    to: NodeId,
    /// The receiver does not hold the shard, but may reach who does.
    by_way: bool,
    /// A later request of the same client to the shard has been answered.
    overtaken: bool,
    deadline: Monotonic,
}

/// The number before the first of a life. A peer may answer late, when the node has begun a new
/// life: that answer must not find a request of the same number.
pub(super) fn first_number(life: Life) -> u64 {
    life.0 >> 41 << 40
}

impl Forwards {
    pub(super) fn new(life: Life) -> Self {
        Self { first: first_number(life), next: first_number(life), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// How many requests have been forwarded since the start.
    pub(super) fn count(&self, life: Life) -> u64 {
        self.next - first_number(life)
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether requests for the shard are under way to another node than this one.
    pub(super) fn goes_elsewhere(&self, shard: ShardId, holder: NodeId) -> bool {
        self.elsewhere(shard, Some(holder)).next().is_some()
    }

    /// Whether a later request of the same client to the shard is at the node.
    pub(super) fn has_behind(&self, shard: ShardId, sent: Sent, node: NodeId) -> bool {
        let behind = (Bound::Excluded(sent), Bound::Included(sent.last()));
        let requests = self.at.get(&(shard, node));
        requests.is_some_and(|requests| requests.range(behind).next().is_some())
    }

    /// Which refusal a request says its sender has heard of: behind others of its client, what
    /// they said.
    fn heard_of(&self, shard: ShardId, node: NodeId, life: Life, sent: Option<Sent>) -> u64 {
        let requests = self.at.get(&(shard, node)).zip(sent);
        let before = requests.and_then(|(at, sent)| at.range(sent.first()..sent).next_back());
        let said = before.map(|(_, said)| said).filter(|(of, _)| *of == life);
        let newest = self.heard.get(&(node, shard)).filter(|(of, _)| *of == life);
        said.or(newest).map_or(0, |(_, refusal)| *refusal)
    }

    /// Whether an earlier request of the same client to the shard is at another node than this.
    pub(super) fn has_before(&self, shard: ShardId, sent: Sent, holder: Option<NodeId>) -> bool {
        self.elsewhere(shard, holder)
            .any(|requests| requests.range(sent.first()..sent).next().is_some())
    }

    fn elsewhere(
        &self,
        shard: ShardId,
        holder: Option<NodeId>,
    ) -> impl Iterator<Item = &BTreeMap<Sent, Heard>> {
        let range = (shard, NodeId(0))..=(shard, NodeId(u32::MAX));
        let others = self.at.range(range).filter(move |((_, node), _)| Some(*node) != holder);
        others.map(|(_, requests)| requests)
    }

    /// Bytes of requests under way to a node.
    fn bytes_at(&self, node: NodeId) -> usize {
        self.bytes.get(&node).copied().unwrap_or(0)
    }

    fn add(&mut self, forward: Forward, said: Heard) -> u64 {
        self.next += 1;
        *self.bytes.entry(forward.to).or_default() += forward.request.operation.len();
        if let Some(sent) = forward.request.sent() {
            self.at.entry((forward.shard, forward.to)).or_default().insert(sent, said);
        }
        self.under_way.insert(self.next, forward);
        self.next
    }

    /// A request was answered: those that its client sent before it are not to be tried again.
    fn note_answered(&mut self, shard: ShardId, sent: Sent) {
        let range = (shard, NodeId(0))..=(shard, NodeId(u32::MAX));
        let earlier = self.at.range(range).flat_map(|(_, it)| it.range(sent.first()..sent));
        self.overtaken.extend(earlier.map(|(earlier, _)| (shard, *earlier)));
    }

    fn remove(&mut self, number: u64) -> Option<Forward> {
        let mut forward = self.under_way.remove(&number)?;
        let sent = forward.request.sent();
        forward.overtaken = sent.is_some_and(|it| self.overtaken.remove(&(forward.shard, it)));
        let place = (forward.shard, forward.to);
        if let Some(bytes) = self.bytes.get_mut(&forward.to) {
            *bytes -= forward.request.operation.len();
            if *bytes == 0 {
                self.bytes.remove(&forward.to);
            }
        }
        if let (Some(sent), Some(requests)) = (forward.request.sent(), self.at.get_mut(&place)) {
            requests.remove(&sent);
            if requests.is_empty() {
                self.at.remove(&place);
            }
        }
        Some(forward)
    }
}

impl Node {
    /// Sends a request to the node that holds its shard, or by way of one that reaches that.
    pub(super) fn forward(
        &mut self,
        now: Now,
        shard: ShardId,
        request: Request,
        to: NodeId,
        by_way: bool,
    ) {
        let waiting = self.forwards.bytes_at(to);
        let length = request.operation.len();
        if !room::joins(waiting, length, self.forward_bytes()) {
            return self.refuse(&request, to, waiting);
        }
        let (home, session) = request.watcher;
        let said = self.to_say(shard, &request);
        let at_home = request.sent().map(Sent::number);
        let resp3 = self.world.sessions.protocol(request.waiter) == resp::Protocol::Resp3;
        let deadline = now.monotonic + self.world.settings.request_time;
        let operation = request.operation.clone();
        let (ordered, watch, origin) = (request.ordered, request.watch, request.origin);
        let wait = request.deadline.since(now.monotonic);
        let left = self.routes.get(shard).and_then(|route| route.left);
        if left.is_some_and(|at| now.monotonic.since(at) < CLIENTS_LEARN) {
            self.reporting.note_late();
        }
        let receiver = self.world.support.life_of(to);
        let refusal = self.forwards.heard_of(shard, to, receiver, request.sent());
        let forward = Forward { request, shard, to, by_way, overtaken: false, deadline };
        let number = self.forwards.add(forward, (receiver, refusal));
        let message = Message::Forward(Box::new(ForwardedRequest {
            request: number,
            life: self.world.founding.lives.own(),
            receiver,
            shard,
            ordered,
            refusal,
            resp3,
            passes_on: by_way,
            home,
            home_life: said.home_life,
            at_home: at_home.filter(|_| home != self.world.settings.node).unwrap_or(number),
            given_up: self.forwards.given_up.by(home, said.home_life),
            lease: said.lease,
            session,
            watch,
            wait_micros: u64::try_from(wait.as_micros()).unwrap_or(u64::MAX),
            origin,
            operation,
        }));
        self.world.effects.messages.push((to, message));
        self.schedule_sweep(now);
    }

    /// A request from another node's client arrives.
    pub(super) fn on_forward(&mut self, now: Now, from: NodeId, forwarded: ForwardedRequest) {
        let ForwardedRequest { request, life, shard, resp3, operation, .. } = forwarded;
        let waiter = Waiter::Peer { node: from, request, at_home: forwarded.at_home, resp3 };
        if forwarded.receiver != self.world.founding.lives.own() {
            // A former life may have run it.
            return self.world.sessions.answer_uncertain(waiter);
        }
        let founding = &self.world.founding;
        let accepted = founding.is_acquainted(from) && founding.lives.is_accepted(from, life);
        match self.forwards.seen.entry(from).or_default().arrival(life, request, accepted) {
            Arrival::New => {}
            Arrival::Early => {
                return self.refuse_forward(shard, from, request, None, String::new());
            }
            Arrival::Again if self.world.settings.breaks(Planting::ForwardTwice) => {}
            Arrival::Again => return,
        }
        let parsed = crate::entry::only_operation(&operation);
        let Ok(writes) = parsed.map(|parsed| parsed.writes()) else {
            return self.world.sessions.answer_error(waiter, MALFORMED);
        };
        let ForwardedRequest { home, home_life, given_up, lease, refusal, .. } = forwarded;
        self.forwards.given_up.note(home, home_life, given_up);
        // The sender cuts the slots otherwise, as a node does that has yet to learn the cut.
        if !self.has_slots_of(shard, &operation) {
            return self.refuse_forward(shard, from, request, None, String::new());
        }
        let wait = Duration::from_micros(forwarded.wait_micros).min(self.world.settings.park_time);
        let request = Request {
            waiter,
            operation,
            writes,
            ordered: forwarded.ordered,
            watcher: (home, forwarded.session),
            watch: forwarded.watch,
            said: Said { home_life, lease, refusal },
            passes_on: forwarded.passes_on,
            origin: forwarded.origin,
            arrived: now.monotonic,
            deadline: now.monotonic + wait,
            losses: 0,
            placed: 0,
        };
        self.run_or_hold(now, from, shard, request);
    }

    /// Says that another node's request was not executed and may be tried elsewhere. What that
    /// node sent behind it, before it hears of this, is refused as well.
    pub(super) fn refuse_forward(
        &mut self,
        shard: ShardId,
        to: NodeId,
        request: u64,
        hint: Option<NodeId>,
        why: String,
    ) {
        self.forwards.refusals += 1;
        let refusal = self.forwards.refusals;
        self.forwards.refused.insert((to, shard), refusal);
        self.say_not_holder(shard, to, request, hint, refusal, why);
    }

    /// Whether the slot that an operation is about is the shard's.
    fn has_slots_of(&self, shard: ShardId, operation: &[u8]) -> bool {
        let slot = crate::entry::only_operation(operation).ok().and_then(|it| it.slot());
        let range = self.routes.get(shard).map(|route| route.range);
        slot.is_none_or(|slot| range.is_some_and(|range| range.contains(slot)))
    }

    /// The answer to a request that was forwarded.
    pub(super) fn on_forward_reply(
        &mut self,
        now: Now,
        from: NodeId,
        number: u64,
        outcome: ForwardOutcome,
    ) {
        let known = self.forwards.under_way.get(&number);
        if known.is_none_or(|forward| forward.to != from) {
            return;
        }
        let Some(forward) = self.forwards.remove(number) else { return };
        match outcome {
            reply @ (ForwardOutcome::Reply(_) | ForwardOutcome::LongReply { .. }) => {
                let waiter = forward.request.waiter;
                self.forget_reason(forward.shard);
                if let Some(sent) = forward.request.sent() {
                    self.forwards.note_answered(forward.shard, sent);
                }
                self.world.sessions.answer(waiter, |written| reply.write(written));
                self.describe_slow(waiter, &forward.request.operation);
            }
            // Not executed there. Our picture was old or theirs is; look again in a moment.
            ForwardOutcome::NotHolder { refusal, lease, why, .. } => {
                self.forwards.given_up.note_lease(forward.shard, lease);
                self.note_reason(now, from, forward.shard, &why);
                let newest = (self.world.support.life_of(from), refusal);
                let heard = self.forwards.heard.entry((from, forward.shard)).or_default();
                *heard = if heard.0 == newest.0 { newest.max(*heard) } else { newest };
                if forward.by_way {
                    self.end_detour(now, forward.shard);
                }
                // It has let the read go with its lease, and may have executed a later write.
                if forward.overtaken && !forward.request.writes {
                    let waiter = forward.request.waiter;
                    return self.world.sessions.answer_error(waiter, OVERTAKEN);
                }
                self.wait_for_route(now, forward.shard, forward.request);
            }
            ForwardOutcome::Uncertain => self.fail_forward(now, number, forward),
        }
    }

    /// The driver says how many bytes it has yet to write to another node. What waits bounds the
    /// requests that are run for that node's clients.
    pub fn note_backlog(&mut self, peer: NodeId, bytes: usize) {
        self.world.sessions.outbound.note_backlog(peer, bytes);
    }

    /// The driver says how much of a message that is not complete has arrived from another node.
    pub fn note_arriving(&mut self, peer: NodeId, bytes: usize) {
        self.world.support.note_arriving(peer, bytes as u64);
    }

    /// Bytes of requests that may be under way to a node, and of answers that may wait for one.
    pub(super) fn forward_bytes(&self) -> usize {
        self.world.settings.argument_bytes.clamp(FORWARD_BYTES_MIN, FORWARD_BYTES_MAX)
    }

    /// Refuses a request before it is sent: too much is under way.
    fn refuse(&mut self, request: &Request, node: NodeId, bytes: usize) {
        let text = alloc::format!(
            "TRYAGAIN {bytes} bytes are on their way to node {node}, which is too much: the \
             request was not executed; try again later, or connect to the node that holds the shard"
        );
        self.world.sessions.answer_error(request.waiter, &text);
    }

    /// Tells the slow log what was asked for by the request that was answered last.
    pub(super) fn describe_slow(&mut self, waiter: Waiter, operation: &[u8]) {
        self.world.sessions.describe_slow(waiter, || {
            crate::entry::only_operation(operation)
                .map_or_else(|_| Vec::new(), |operation| show_operation(&operation))
        });
    }

    /// Requests at a node that died or that may have lost them.
    pub(super) fn fail_forwards_to(&mut self, now: Now, peer: NodeId) {
        self.take_back_unsent(now, peer);
        self.fail_forwards(now, peer, u64::MAX);
    }

    /// A node has lost its answers to the requests up to a number, or can't send any.
    pub(super) fn note_lost_answers(&mut self, now: Now, peer: NodeId, upto: u64) {
        // Numbers of a former life of this node mean nothing.
        let known = self.forwards.first < upto && upto <= self.forwards.next;
        if known && !self.world.settings.breaks(Planting::LostAnswersAwaited) {
            self.fail_forwards(now, peer, upto);
        }
    }

    /// Up to which number of a node's requests our answers may be lost. While no connection takes
    /// them, that is all of them.
    pub(super) fn lost_answers_to(&self, peer: NodeId, cut_off: bool) -> u64 {
        let seen = self.forwards.seen.get(&peer);
        let seen = seen.map(|seen| &seen.accepted);
        seen.map_or(0, |seen| if cut_off { seen.largest } else { seen.lost })
    }

    /// The connection on which a node is answered broke, or is another one.
    pub(super) fn lose_answers_to(&mut self, peer: NodeId) {
        self.forwards.held.forget(peer);
        if let Some(seen) = self.forwards.seen.get_mut(&peer) {
            seen.accepted.lost = seen.accepted.largest;
        }
    }

    /// What this very turn would have sent has certainly not been executed.
    fn take_back_unsent(&mut self, now: Now, peer: NodeId) {
        let mut unsent = Vec::new();
        self.world.effects.messages.retain(|(to, message)| {
            if let Message::Forward(forwarded) = message
                && *to == peer
            {
                unsent.push(forwarded.request);
                return false;
            }
            true
        });
        for number in unsent {
            if let Some(forward) = self.forwards.remove(number) {
                self.wait_for_route(now, forward.shard, forward.request);
            }
        }
    }

    fn fail_forwards(&mut self, now: Now, peer: NodeId, upto: u64) {
        let lost: Vec<u64> = self
            .forwards
            .under_way
            .range(..=upto)
            .filter(|(_, forward)| forward.to == peer)
            .map(|(number, _)| *number)
            .collect();
        // From the last to the first: what of each client may have been executed there.
        let mut uncertain: BTreeSet<(ShardId, Watcher)> = BTreeSet::new();
        for number in lost.into_iter().rev() {
            let Some(forward) = self.forwards.remove(number) else { continue };
            let client = (forward.shard, forward.request.watcher);
            let sent = forward.request.sent();
            let behind = sent.is_some_and(|sent| self.forwards.has_behind(client.0, sent, peer));
            if forward.request.writes {
                uncertain.insert(client);
            } else if behind || uncertain.contains(&client) {
                self.world.sessions.answer_error(forward.request.waiter, OVERTAKEN);
                continue;
            }
            self.fail_forward(now, number, forward);
        }
    }

    pub(super) fn expire_forwards(&mut self, now: Now) {
        let late: Vec<u64> = self
            .forwards
            .under_way
            .iter()
            .filter(|(_, forward)| forward.deadline <= now.monotonic)
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            if let Some(Forward { request, .. }) = self.forwards.remove(number) {
                self.give_up_number(number);
                let World { sessions, settings, .. } = &mut self.world;
                sessions.answer_unknown(settings, request.waiter, &request.operation);
                self.describe_slow(request.waiter, &request.operation);
            }
        }
    }

    fn fail_forward(&mut self, now: Now, number: u64, forward: Forward) {
        let Forward { mut request, shard, overtaken, .. } = forward;
        let tried_again = !request.writes && !request.changes();
        if tried_again && overtaken {
            // The later one may have changed what this one would see.
            self.world.sessions.answer_error(request.waiter, OVERTAKEN);
        } else if tried_again {
            request.losses += 1;
            if request.losses > READ_RETRIES_MAX {
                return self.world.sessions.answer_error(request.waiter, LOST_TOO_OFTEN);
            }
            let World { settings, .. } = &self.world;
            let end = request.arrived + settings.request_time;
            request.deadline = end.min(now.monotonic + settings.park_time);
            self.wait_for_route(now, shard, request);
        } else {
            self.give_up_number(number);
            let World { sessions, settings, .. } = &mut self.world;
            sessions.answer_unknown(settings, request.waiter, &request.operation);
        }
    }
}

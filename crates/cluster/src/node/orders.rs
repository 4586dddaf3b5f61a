//! Moving leases by hand: the order goes to the holder, and the answer waits until the lease has
//! moved.

use alloc::string::String;
use alloc::vec::Vec;

use types::{Incarnation, LeaseEpoch, Monotonic, NodeId, Now, SessionId, ShardId, Term};

use super::Node;
use super::forwarding::first_number;
use crate::io::Message;
use crate::session::Waiter;

/// Orders under way that clients of this node gave.
#[derive(Default)]
pub(super) struct Orders {
    next: u64,
    under_way: Vec<Order>,
}

struct Order {
    number: u64,
    waiter: Waiter,
    shard: ShardId,
    target: NodeId,
    given: Given,
    deadline: Monotonic,
}

/// What was known of the lease when an order was given, to tell later leases from it.
#[derive(Clone, Copy)]
enum Given {
    /// A replica here knew the leader of this term, though perhaps not that leader's lease yet.
    InTerm(Term),
    /// Without a replica, by what the holder had announced.
    AtEpoch(LeaseEpoch),
}

/// Stands for no epoch in an order: no lease has this one. An operator who names none means
/// whichever lease there is when the order arrives; the epoch that this node knows may be older.
const ANY_EPOCH: LeaseEpoch = LeaseEpoch(0);

impl Orders {
    pub(super) fn new(incarnation: Incarnation) -> Self {
        Self { next: first_number(incarnation), under_way: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}

impl Node {
    /// A client orders a lease to be moved.
    pub(crate) fn order_transfer(
        &mut self,
        now: Now,
        id: SessionId,
        shard: ShardId,
        target: NodeId,
    ) {
        let known = self.world.settings.members.iter().any(|member| member.node == target);
        let Some(route) = self.routes.get(shard) else {
            let text = alloc::format!("ERR there is no shard {shard}; LEASEHOLD SHARDS lists them");
            return self.reply_error(id, &text);
        };
        if !known {
            let text = alloc::format!("ERR there is no node {target}; LEASEHOLD NODES lists them");
            return self.reply_error(id, &text);
        }
        let given = match self.local(shard).and_then(|at| self.shards.get(at)) {
            Some(local) => Given::InTerm(local.term()),
            None => Given::AtEpoch(route.epoch),
        };
        let Some(holder) = self.holder_of(shard) else {
            let text = alloc::format!("CLUSTERDOWN shard {shard} has no holder; try again");
            return self.reply_error(id, &text);
        };
        let Some(session) = self.world.sessions.get(id) else { return };
        let waiter = Waiter::Client { session: id, ticket: session.take_ticket(None) };
        if holder == target {
            return self.world.sessions.answer(waiter, |reply| reply.ok());
        }
        self.orders.next += 1;
        let number = self.orders.next;
        let deadline = now.monotonic + self.world.settings.request_time;
        let order = Order { number, waiter, shard, target, given, deadline };
        self.orders.under_way.push(order);
        self.schedule_sweep(now);
        let message = Message::Transfer { request: number, shard, target, epoch: ANY_EPOCH };
        if holder == self.world.settings.node {
            self.on_transfer_order(now, (holder, number), shard, target, ANY_EPOCH);
        } else {
            self.world.effects.messages.push((holder, message));
        }
    }

    /// The node that holds a shard, as far as is known here.
    pub(crate) fn holder_of(&self, shard: ShardId) -> Option<NodeId> {
        let route = self.routes.get(shard)?;
        match route.local.and_then(|at| self.shards.get(at)) {
            Some(local) => local.known_holder(),
            None => route.holder,
        }
    }

    /// An order for a shard that this node may hold.
    pub(super) fn on_transfer_order(
        &mut self,
        now: Now,
        (from, number): (NodeId, u64),
        shard: ShardId,
        target: NodeId,
        epoch: LeaseEpoch,
    ) {
        let mut result = Err(alloc::format!("ERR this node has no replica of shard {shard}"));
        self.with_shard(now, shard, |found, env| {
            let epoch = (epoch != ANY_EPOCH).then_some(epoch);
            result = found.begin_transfer(env, target, epoch);
        });
        let error = result.err().unwrap_or_default();
        if from == self.world.settings.node {
            self.on_transfer_reply(number, &error);
        } else {
            let message = Message::TransferReply { request: number, error };
            self.world.effects.messages.push((from, message));
        }
    }

    /// The holder has begun, or refused.
    pub(super) fn on_transfer_reply(&mut self, number: u64, error: &str) {
        if error.is_empty() {
            return;
        }
        let text = String::from(error);
        self.end_orders(|order| (order.number == number).then(|| text.clone()));
    }

    /// A lease has moved.
    pub(super) fn note_lease_moved(&mut self, shard: ShardId) {
        let Some(route) = self.routes.get(shard) else { return };
        let (epoch, holder) = (route.epoch, route.holder);
        let local = route.local.and_then(|at| self.shards.get(at));
        let term = local.map(|local| local.lease().term);
        let is_new = |given: Given| match given {
            Given::InTerm(before) => term.is_some_and(|term| term > before),
            Given::AtEpoch(before) => epoch > before,
        };
        self.end_orders(|order| {
            if order.shard != shard || !is_new(order.given) {
                return None;
            }
            if holder == Some(order.target) {
                return Some(String::new());
            }
            let holder = holder.unwrap_or_default();
            Some(alloc::format!(
                "ERR the lease of shard {shard} went to node {holder} instead, by an election"
            ))
        });
    }

    pub(super) fn expire_orders(&mut self, now: Now) {
        self.end_orders(|order| {
            (order.deadline <= now.monotonic).then(|| {
                alloc::format!(
                    "ERR the lease of shard {} did not reach node {} in time; it stays where \
                     LEASEHOLD SHARDS shows it",
                    order.shard,
                    order.target
                )
            })
        });
    }

    /// Ends the orders for which `outcome` has one: an empty text is a success.
    fn end_orders(&mut self, outcome: impl Fn(&Order) -> Option<String>) {
        let sessions = &mut self.world.sessions;
        self.orders.under_way.retain(|order| {
            let Some(text) = outcome(order) else { return true };
            if text.is_empty() {
                sessions.answer(order.waiter, |reply| reply.ok());
            } else {
                sessions.answer_error(order.waiter, &text);
            }
            false
        });
    }
}

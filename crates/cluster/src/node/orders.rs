//! Orders: what operators and the Lease Manager want a shard to do. An order goes to the node that
//! can carry it out, which judges it; the answer waits until the lease has moved.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use placement::DecisionId;
use types::{LeaseEpoch, Life, Monotonic, NodeId, Now, SessionId, ShardId, Term};

use super::Node;
use super::forwarding::first_number;
use crate::io::{Message, Order, OrderOutcome};
use crate::session::Waiter;

/// Orders under way that this node gave.
#[derive(Default)]
pub(super) struct Orders {
    next: u64,
    under_way: Vec<UnderWay>,
}

struct UnderWay {
    number: u64,
    by: OrderedBy,
    shard: ShardId,
    /// Who is to carry it out: nobody else's answer counts.
    to: NodeId,
    /// The new holder, if the order is about the lease.
    target: Option<NodeId>,
    given: Given,
    deadline: Monotonic,
}

/// Who waits for what becomes of an order.
#[derive(Clone, Copy)]
enum OrderedBy {
    Client(Waiter),
    Manager(DecisionId),
}

/// What became of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum OrderEnd {
    /// The lease is where it should be, under this epoch.
    Done(LeaseEpoch),
    /// It was about something that is over.
    Stale(String),
    /// It was refused, or came to nothing.
    Failed(String),
}

/// What was known of the lease when an order was given, to tell later leases from it.
#[derive(Clone, Copy)]
enum Given {
    /// A replica here knew the leader of this term, though perhaps not that leader's lease yet.
    InTerm(Term),
    /// Without a replica, by what the holder had announced.
    AtEpoch(LeaseEpoch),
}

impl Orders {
    pub(super) fn new(life: Life) -> Self {
        Self { next: first_number(life), under_way: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Forgets what a manager ordered that is one no longer.
    pub(super) fn forget_managers(&mut self) {
        self.under_way.retain(|order| matches!(order.by, OrderedBy::Client(_)));
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
        if self.routes.get(shard).is_none() {
            let text = alloc::format!("ERR there is no shard {shard}; LEASEHOLD SHARDS lists them");
            return self.reply_error(id, &text);
        }
        if !self.world.members().contains(target) {
            let text = alloc::format!("ERR there is no node {target}; LEASEHOLD NODES lists them");
            return self.reply_error(id, &text);
        }
        // Without a majority nobody can carry it out, though this node may remember a holder.
        let served = self.outage(now, shard).is_none();
        let Some(holder) = self.holder_of(shard).filter(|_| served) else {
            let text = self.refusal_of(now, shard);
            return self.reply_error(id, &text);
        };
        let Some(session) = self.world.sessions.get(id) else { return };
        let waiter = Waiter::Client { session: id, ticket: session.take_ticket(None) };
        if holder == target {
            return self.world.sessions.answer(waiter, |reply| reply.ok());
        }
        // An operator who names no lease means whichever there is when the order arrives.
        let order = Order::Transfer { target, epoch: None };
        self.give_order(now, OrderedBy::Client(waiter), shard, holder, order);
    }

    /// The manager orders something of a node.
    pub(super) fn give_managers_order(
        &mut self,
        now: Now,
        decision: DecisionId,
        shard: ShardId,
        to: NodeId,
        order: Order,
    ) {
        self.give_order(now, OrderedBy::Manager(decision), shard, to, order);
    }

    fn give_order(&mut self, now: Now, by: OrderedBy, shard: ShardId, to: NodeId, order: Order) {
        let given = match self.local(shard).and_then(|at| self.shards.get(at)) {
            Some(local) => Given::InTerm(local.term()),
            None => {
                Given::AtEpoch(self.routes.get(shard).map_or(LeaseEpoch(0), |route| route.epoch))
            }
        };
        let target = match &order {
            Order::Transfer { target, .. } => Some(*target),
            Order::Campaign { .. } => Some(to),
            Order::Succession { .. } | Order::Replicas { .. } => None,
        };
        self.orders.next += 1;
        let number = self.orders.next;
        let deadline = now.monotonic + self.world.settings.request_time;
        self.orders.under_way.push(UnderWay { number, by, shard, to, target, given, deadline });
        self.schedule_sweep(now);
        if to == self.world.settings.node {
            self.on_order(now, (to, number), shard, &order);
        } else {
            self.world.effects.messages.push((to, Message::Order { number, shard, order }));
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

    /// An order for a shard that has a replica here.
    pub(super) fn on_order(
        &mut self,
        now: Now,
        (from, number): (NodeId, u64),
        shard: ShardId,
        order: &Order,
    ) {
        let text = alloc::format!("this node has no replica of shard {shard}");
        let mut outcome = OrderOutcome::Refused(text);
        self.with_shard(now, shard, |found, env| outcome = found.obey(env, order));
        if from == self.world.settings.node {
            self.on_order_reply(now, from, number, outcome);
        } else {
            self.world.effects.messages.push((from, Message::OrderReply { number, outcome }));
        }
    }

    /// Whoever was ordered has begun, or refused.
    pub(super) fn on_order_reply(
        &mut self,
        now: Now,
        from: NodeId,
        number: u64,
        outcome: OrderOutcome,
    ) {
        let end = match outcome {
            OrderOutcome::Begun => None,
            OrderOutcome::Stale(text) => Some(OrderEnd::Stale(text)),
            OrderOutcome::Refused(text) => Some(OrderEnd::Failed(text)),
        };
        self.end_orders(now, |order| {
            if order.number != number || order.to != from {
                return None;
            }
            // Nobody announces that the log has a succession or a goal: reports will show it.
            end.clone().or_else(|| order.target.is_none().then_some(OrderEnd::Done(LeaseEpoch(0))))
        });
    }

    /// A lease has moved.
    pub(super) fn note_lease_moved(&mut self, now: Now, shard: ShardId) {
        let Some(route) = self.routes.get(shard) else { return };
        let (epoch, holder) = (route.epoch, route.holder);
        let local = route.local.and_then(|at| self.shards.get(at));
        let term = local.map(|local| local.lease().term);
        let is_new = |given: Given| match given {
            Given::InTerm(before) => term.is_some_and(|term| term > before),
            Given::AtEpoch(before) => epoch > before,
        };
        self.end_orders(now, |order| {
            let target = order.target.filter(|_| order.shard == shard && is_new(order.given))?;
            if holder == Some(target) {
                return Some(OrderEnd::Done(epoch));
            }
            let holder = holder.unwrap_or_default();
            Some(OrderEnd::Failed(alloc::format!(
                "the lease of shard {shard} went to node {holder} instead, by an election"
            )))
        });
    }

    pub(super) fn expire_orders(&mut self, now: Now) {
        let late = self.orders.under_way.iter().filter(|order| order.deadline <= now.monotonic);
        let why = |shard| (shard, self.why_not(now, shard));
        let why: BTreeMap<ShardId, String> = late.map(|order| why(order.shard)).collect();
        self.end_orders(now, |order| {
            (order.deadline <= now.monotonic).then(|| {
                OrderEnd::Failed(alloc::format!(
                    "the lease of shard {} did not reach node {} in time{}",
                    order.shard,
                    order.target.unwrap_or_default(),
                    why.get(&order.shard).map_or("", String::as_str)
                ))
            })
        });
    }

    /// What keeps an order for a shard from being carried out, as far as is known here: the end of
    /// a sentence.
    fn why_not(&self, now: Now, shard: ShardId) -> String {
        match self.outage(now, shard) {
            Some(outage) => alloc::format!(": the shard {outage}"),
            None => String::from("; it stays where LEASEHOLD SHARDS shows it"),
        }
    }

    /// Ends the orders for which `end` has an end.
    fn end_orders(&mut self, now: Now, end: impl Fn(&UnderWay) -> Option<OrderEnd>) {
        let sessions = &mut self.world.sessions;
        let mut decided = Vec::new();
        self.orders.under_way.retain(|order| {
            let Some(end) = end(order) else { return true };
            match (order.by, end) {
                (OrderedBy::Manager(decision), end) => decided.push((decision, end)),
                (OrderedBy::Client(waiter), OrderEnd::Done(_)) => {
                    sessions.answer(waiter, |reply| reply.ok());
                }
                (OrderedBy::Client(waiter), OrderEnd::Stale(text) | OrderEnd::Failed(text)) => {
                    sessions.answer_error(waiter, &alloc::format!("ERR {text}"));
                }
            }
            false
        });
        for (decision, end) in decided {
            self.on_decision_end(now, decision, &end);
        }
    }
}

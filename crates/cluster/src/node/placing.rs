//! Where a request goes: to the shard's replica here, to the node that holds the shard, or into
//! the shard's park until one of them is known.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use types::{NodeId, Now, ShardId};

use super::Node;
use crate::io::{ForwardOutcome, Message};
use crate::session::Waiter;
use crate::shard::{Request, Sent, Standing};

/// Requests for shards without a local replica to park in, requests that were just refused by the
/// node they were sent to, and those that must not overtake them.
#[derive(Default)]
pub(super) struct Homeless {
    /// What clients wait for, so that each client's requests come out in its order of sending.
    awaited: BTreeMap<(ShardId, Sent), Request>,
    /// What nobody waits for.
    others: Vec<(ShardId, Request)>,
    /// Bytes of all of them.
    bytes: usize,
}

impl Homeless {
    pub(super) fn is_empty(&self) -> bool {
        self.awaited.is_empty() && self.others.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.awaited.len() + self.others.len()
    }

    /// Takes all of them, to be placed anew.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (ShardId, Request)> + use<> {
        let Self { awaited, others, bytes: _ } = core::mem::take(self);
        let awaited = awaited.into_iter().map(|((shard, _), request)| (shard, request));
        others.into_iter().chain(awaited)
    }

    fn add(&mut self, shard: ShardId, request: Request) {
        self.bytes += request.operation.len();
        match request.sent() {
            Some(sent) => {
                self.awaited.insert((shard, sent), request);
            }
            None => self.others.push((shard, request)),
        }
    }

    /// Whether an earlier request of the same client to the shard is among them.
    fn has_before(&self, shard: ShardId, sent: Sent) -> bool {
        self.awaited.range((shard, sent.first())..(shard, sent)).next().is_some()
    }
}

impl Node {
    /// Sends a request on its way, again and again until it is served or its time is up.
    pub(crate) fn place(&mut self, now: Now, shard: ShardId, request: Request) {
        let Some(route) = self.routes.get(shard) else { return };
        let (known, local) = (route.holder, route.local);
        if self.must_not_overtake(shard, &request) {
            if request.deadline <= now.monotonic {
                return self.give_up(shard, &request, known);
            }
            return self.wait_for_route(now, shard, request);
        }
        let Some(at) = local else {
            if request.deadline <= now.monotonic {
                return self.give_up(shard, &request, known);
            }
            return match known.filter(|node| self.is_alive(now, *node)) {
                Some(holder) => self.pass_on(now, shard, request, holder),
                None => self.wait_for_route(now, shard, request),
            };
        };
        let Some(found) = self.shards.get_mut(at) else { return };
        let standing = found.standing(now.monotonic, &self.world.support);
        let goes_on = match standing {
            Standing::Holder | Standing::Follower(_) => true,
            // The manager is active under a valid lease only.
            Standing::Leader => !request.writes && shard != ShardId::SYSTEM,
            Standing::Changing | Standing::Leaderless => false,
        };
        let goes_on = goes_on && !found.must_wait(&request, standing);
        if goes_on && matches!(standing, Standing::Holder | Standing::Leader) {
            found.serve(&mut self.world.env(now), request);
        } else if request.deadline <= now.monotonic {
            let hint = found.known_holder().filter(|node| *node != self.world.settings.node);
            self.give_up(shard, &request, hint);
        } else if let (Standing::Follower(holder), true) = (standing, goes_on) {
            return self.pass_on(now, shard, request, holder);
        } else {
            found.park(&mut self.world.env(now), request);
        }
        self.touch(at);
    }

    fn is_alive(&self, now: Now, node: NodeId) -> bool {
        self.world.support.is_alive(now.monotonic, node)
    }

    /// Hands a request to the holder, or says to the node that forwarded it where that is: a
    /// request is forwarded once only, so it can't run in circles.
    fn pass_on(&mut self, now: Now, shard: ShardId, request: Request, holder: NodeId) {
        if let Waiter::Peer { node, request, .. } = request.waiter {
            let outcome = ForwardOutcome::NotHolder(Some(holder));
            let message = Message::ForwardReply { request, outcome };
            self.world.effects.messages.push((node, message));
            return;
        }
        self.forward(now, shard, request, holder);
    }

    /// Whether an earlier request of the same client to the shard may be at another node than the
    /// shard's holder, or waits to be sent.
    fn must_not_overtake(&self, shard: ShardId, request: &Request) -> bool {
        if !request.ordered || self.homeless.is_empty() && self.forwards.is_empty() {
            return false;
        }
        let Some(sent) = request.sent() else { return false };
        self.homeless.has_before(shard, sent)
            || self.forwards.has_before(shard, sent, self.holder_of(shard))
    }

    /// Keeps a request for a moment because there is nowhere to send it.
    pub(super) fn wait_for_route(&mut self, now: Now, shard: ShardId, request: Request) {
        let waiting = self.homeless.bytes;
        if waiting > 0 && waiting + request.operation.len() > self.world.settings.shard_queue_bytes
        {
            let text = alloc::format!(
                "TRYAGAIN {waiting} bytes of requests wait to learn who holds their shards, which \
                 is too much: the request was not executed; try again later"
            );
            return self.world.sessions.answer_error(request.waiter, &text);
        }
        self.homeless.add(shard, request);
        self.schedule_sweep(now);
    }

    /// Nobody served the request in time. It was not executed.
    fn give_up(&mut self, shard: ShardId, request: &Request, hint: Option<NodeId>) {
        if let Waiter::Peer { node, request, .. } = request.waiter {
            let outcome = ForwardOutcome::NotHolder(hint);
            let message = Message::ForwardReply { request, outcome };
            self.world.effects.messages.push((node, message));
            return;
        }
        let text = alloc::format!(
            "CLUSTERDOWN shard {shard} has no holder at the moment: too few of its replicas can be \
             reached; the request was not executed, try again"
        );
        self.world.sessions.answer_error(request.waiter, &text);
        self.describe_slow(request.waiter, &request.operation);
    }
}

//! Where a request goes: to the shard's replica here, to the node that holds the shard, or into
//! the shard's park until one of them is known.

use types::{NodeId, Now, ShardId};

use super::Node;
use crate::io::{ForwardOutcome, Message};
use crate::session::Waiter;
use crate::shard::{Request, Standing};

impl Node {
    /// Sends a request on its way, again and again until it is served or its time is up.
    pub(crate) fn place(&mut self, now: Now, shard: ShardId, request: Request) {
        let Some(route) = self.routes.get(shard) else { return };
        let known = route.holder;
        let Some(at) = route.local else {
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
        let serves = match standing {
            Standing::Holder => true,
            Standing::Leader => !request.writes,
            Standing::Changing | Standing::Follower(_) | Standing::Leaderless => false,
        };
        if serves {
            found.serve(&mut self.world.env(now), request);
        } else if request.deadline <= now.monotonic {
            let hint = found.known_holder().filter(|node| *node != self.world.settings.node);
            self.give_up(shard, &request, hint);
        } else if let Standing::Follower(holder) = standing {
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
        if request.ordered && self.forwards.goes_elsewhere(shard, holder) {
            // An earlier request of the same client may be at the former holder still; this one
            // must not overtake it.
            return self.wait_for_route(now, shard, request);
        }
        self.forward(now, shard, request, holder);
    }

    /// Keeps a request for a moment because there is nowhere to send it.
    pub(super) fn wait_for_route(&mut self, now: Now, shard: ShardId, request: Request) {
        self.homeless.push_back((shard, request));
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
    }
}

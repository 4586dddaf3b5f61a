//! Where a request goes: to the shard's replica here, to the node that holds the shard, or into
//! the shard's park until one of them is known.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use types::{NodeId, Now, ShardId};

use super::Node;
use crate::planted::Planting;
use crate::room;
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

/// Where a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// To the replica here.
    Here,
    /// To the node that holds the shard.
    To(NodeId),
    /// To a node that reaches the holder, which this one does not.
    Round(NodeId),
    /// It must wait.
    Nowhere,
}

impl Node {
    /// Sends a request on its way, again and again until it is served or its time is up.
    pub(crate) fn place(&mut self, now: Now, shard: ShardId, request: Request) {
        if self.is_removed() && !matches!(request.waiter, Waiter::Peer { .. }) {
            return self.refuse_removed(&request);
        }
        let Some(route) = self.routes.get(shard) else { return };
        let (known, local) = (route.holder, route.local);
        let found = local.and_then(|at| self.shards.get_mut(at));
        let standing = found.map(|found| found.standing(now.monotonic, &self.world.support));
        if self.refuses_late(shard, &request, standing) {
            return;
        }
        let late = request.deadline <= now.monotonic;
        let way = match standing {
            Some(Standing::Holder) => Way::Here,
            // The manager is active under a valid lease only. A read that no quorum has confirmed
            // in time is not asked for again.
            Some(Standing::Leader) if !request.writes && shard != ShardId::SYSTEM && !late => {
                Way::Here
            }
            Some(Standing::Leader | Standing::Changing) => Way::Nowhere,
            Some(Standing::Follower(holder)) => self.way_to(now, shard, Some(holder), &request),
            Some(Standing::Leaderless) => self.way_to(now, shard, None, &request),
            None => self.way_to(now, shard, known, &request),
        };
        let here = local.and_then(|at| self.shards.get_mut(at));
        let waits = here.zip(standing).is_some_and(|(here, it)| here.must_wait(&request, it));
        let overtakes = self.must_not_overtake(shard, &request, way);
        let way = if waits || overtakes { Way::Nowhere } else { way };
        match way {
            Way::Here => self.with_shard(now, shard, |found, env| found.serve(env, request)),
            Way::Nowhere | Way::To(_) | Way::Round(_) if late => {
                let me = self.world.settings.node;
                let hint = self.holder_of(shard).filter(|node| *node != me);
                self.give_up(now, shard, &request, hint);
            }
            Way::To(node) => self.pass_on(now, shard, request, node),
            Way::Round(node) => self.forward(now, shard, request, node, true),
            // What waits at the replica is looked at when that learns more; a node that is known to
            // hold the shard and can't be reached makes no such news.
            Way::Nowhere if overtakes => self.wait_for_route(now, shard, request),
            Way::Nowhere => match standing {
                Some(Standing::Follower(_)) if !waits => self.wait_for_route(now, shard, request),
                Some(_) => self.with_shard(now, shard, |found, env| found.park(env, request)),
                None => self.wait_for_route(now, shard, request),
            },
        }
    }

    /// What shards have let go, in each client's order of sending. They let it go queue by queue: a
    /// read from a round, one from an entry that is given up, what was parked behind them.
    pub(super) fn in_order_of_sending(
        &self,
        displaced: Vec<(ShardId, Request)>,
    ) -> Vec<(ShardId, Request)> {
        let as_it_comes = self.world.settings.breaks(Planting::ParkUnorderedLast);
        if as_it_comes { displaced } else { in_order_of_sending(displaced) }
    }

    /// Places what a shard has let go. What is let go twice in a turn waits in the shard for the
    /// next one: a turn ends, whatever the rules of shard and node make of a request.
    pub(super) fn place_displaced(&mut self, now: Now, shard: ShardId, mut request: Request) {
        let turn = self.world.work.turn();
        if request.placed == turn && self.local(shard).is_some() {
            return self.with_shard(now, shard, |found, env| found.park(env, request));
        }
        request.placed = turn;
        self.place(now, shard, request);
    }

    /// The way of a request to a holder that is another node, or not known.
    fn way_to(
        &mut self,
        now: Now,
        shard: ShardId,
        holder: Option<NodeId>,
        request: &Request,
    ) -> Way {
        if let Waiter::Peer { .. } = request.waiter {
            let alive = holder.filter(|node| self.is_alive(now, *node));
            return alive.map_or(Way::Nowhere, Way::To);
        }
        match holder.filter(|node| self.reaches(now, *node)) {
            Some(holder) => Way::To(holder),
            None => self.way_round(now, shard, holder).map_or(Way::Nowhere, Way::Round),
        }
    }

    fn is_alive(&self, now: Now, node: NodeId) -> bool {
        self.world.support.is_alive(now.monotonic, node)
    }

    /// Whether requests can be sent to a node, and answered by it, as far as is known.
    pub(super) fn reaches(&self, now: Now, node: NodeId) -> bool {
        self.is_alive(now, node) && self.world.support.is_reachable(node)
    }

    /// Hands a request to the holder, or says to the node that forwarded it where that is: a
    /// request is forwarded once only, so it can't run in circles; or twice, if the node that
    /// forwarded it can't reach the holder, and then the holder is the end of its way.
    fn pass_on(&mut self, now: Now, shard: ShardId, request: Request, holder: NodeId) {
        if let Waiter::Peer { node, request: number, .. } = request.waiter
            && !self.may_pass_on(now, &request, holder)
        {
            return self.refuse_forward(shard, node, number, Some(holder), String::new());
        }
        self.forward(now, shard, request, holder, false);
    }

    /// Whether an earlier request of the same client to the shard may be at another node than this
    /// one is to go to, or waits to be sent; or this one has come back from the node that it is to
    /// go to, and later ones have not: they will be refused, and must not find that all is well.
    fn must_not_overtake(&self, shard: ShardId, request: &Request, way: Way) -> bool {
        if self.homeless.is_empty() && self.forwards.is_empty() {
            return false;
        }
        let Some(sent) = request.sent() else { return false };
        if let Way::To(node) | Way::Round(node) = way
            && self.forwards.has_behind(shard, sent, node)
            && !self.world.settings.breaks(Planting::SendAgainAtOnce)
        {
            return true;
        }
        if !request.ordered {
            return false;
        }
        let end = match way {
            Way::Here => Some(self.world.settings.node),
            Way::To(node) | Way::Round(node) => Some(node),
            Way::Nowhere => None,
        };
        self.homeless.has_before(shard, sent) || self.forwards.has_before(shard, sent, end)
    }

    /// Keeps a request for a moment because there is nowhere to send it.
    pub(super) fn wait_for_route(&mut self, now: Now, shard: ShardId, request: Request) {
        let (waiting, bytes) = (self.homeless.bytes, request.operation.len());
        let limit = self.world.settings.shard_queue_bytes;
        if !room::joins(waiting, bytes, limit) {
            let text = alloc::format!(
                "TRYAGAIN {waiting} bytes of requests wait to learn who holds their shards, and \
                 {bytes} more would be too many for the setting `shard_queue_bytes`, {limit}: the \
                 request was not executed; try again later"
            );
            return self.world.sessions.answer_error(request.waiter, &text);
        }
        self.homeless.add(shard, request);
        self.schedule_sweep(now);
    }

    /// Nothing will ever be served here again, so nobody need wait to hear it.
    fn refuse_removed(&mut self, request: &Request) {
        let text = alloc::format!(
            "CLUSTERDOWN node {} was removed from the cluster and serves nothing any more: connect \
             to another node; the request was not executed",
            self.world.settings.node.0
        );
        self.world.sessions.answer_error(request.waiter, &text);
    }

    /// Nobody served the request in time. It was not executed.
    fn give_up(&mut self, now: Now, shard: ShardId, request: &Request, hint: Option<NodeId>) {
        if let Waiter::Peer { node, request, .. } = request.waiter {
            let why = self.reason_to_send(now, shard);
            return self.refuse_forward(shard, node, request, hint, why);
        }
        let text = self.refusal_of(now, shard);
        self.world.sessions.answer_error(request.waiter, &text);
        self.describe_slow(request.waiter, &request.operation);
    }
}

/// Puts each client's requests into its order of sending, in the places that they have together.
fn in_order_of_sending(displaced: Vec<(ShardId, Request)>) -> Vec<(ShardId, Request)> {
    let mut of_client: BTreeMap<(ShardId, Sent), Vec<usize>> = BTreeMap::new();
    for (at, (shard, request)) in displaced.iter().enumerate() {
        if let Some(sent) = request.sent() {
            of_client.entry((*shard, sent.first())).or_default().push(at);
        }
    }
    let mut displaced: Vec<Option<(ShardId, Request)>> = displaced.into_iter().map(Some).collect();
    for places in of_client.into_values().filter(|places| places.len() > 1) {
        let mut requests: Vec<_> = places.iter().map(|at| displaced[*at].take()).collect();
        requests.sort_by_key(|request| request.as_ref().and_then(|(_, request)| request.sent()));
        for (at, request) in places.into_iter().zip(requests) {
            displaced[at] = request;
        }
    }
    displaced.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;
    use types::{Monotonic, SessionId};

    use super::*;
    use crate::shard::Said;

    fn request(session: u64, ticket: u64) -> (ShardId, Request) {
        let request = Request {
            waiter: Waiter::Client { session: SessionId(session), ticket },
            operation: Bytes::new(),
            writes: false,
            ordered: false,
            watcher: (NodeId(1), SessionId(session)),
            watch: 0,
            said: Said::default(),
            passes_on: false,
            origin: placement::Origin::default(),
            arrived: Monotonic(0),
            deadline: Monotonic(0),
            losses: 0,
            placed: 0,
        };
        (ShardId(1), request)
    }

    #[test]
    fn what_shards_let_go_is_placed_in_each_clients_order() {
        let displaced = vec![request(2, 9), request(1, 5), request(2, 7), request(1, 4)];
        let placed = in_order_of_sending(displaced);
        let names =
            placed.iter().map(|(_, request)| (request.watcher.1.0, request.waiter.number()));
        let names: Vec<_> = names.collect();
        assert_eq!(names, [(2, Some(7)), (1, Some(4)), (2, Some(9)), (1, Some(5))]);
    }
}

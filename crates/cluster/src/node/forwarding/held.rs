//! Forwarded requests that wait until their node has taken the answers that it has coming.
//!
//! All that a node is sent goes one way, so others' answers, and the log, stand behind those that
//! wait there. So requests of a node's clients are run only while little waits for it: the others
//! are held here, each client's in its order, and clients take turns. Whoever asks for much waits
//! for itself. Nothing is held for long by a node that lives: it always takes its answers.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use core::ops::Bound;

use types::{Monotonic, NodeId, Now, ShardId};

use crate::node::Node;
use crate::planted::Planting;
use crate::session::Waiter;
use crate::shard::{Request, Watcher};
use crate::work::Kind;

/// What is held, by the node that is to be answered.
#[derive(Default)]
pub(super) struct Held {
    nodes: BTreeMap<NodeId, Turns>,
}

/// Requests of one node's clients.
#[derive(Default)]
struct Turns {
    of: BTreeMap<Watcher, VecDeque<(ShardId, Request)>>,
    /// Whose turn was the last.
    last: Option<Watcher>,
}

impl Turns {
    fn next(&mut self) -> Option<(ShardId, Request)> {
        let behind = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let client = self.of.range((behind, Bound::Unbounded)).next().or(self.of.iter().next());
        let client = *client?.0;
        self.last = Some(client);
        let its = self.of.get_mut(&client)?;
        let next = its.pop_front();
        if its.is_empty() {
            self.of.remove(&client);
        }
        next
    }
}

impl Held {
    /// Forgets a node's requests: its answers are lost, and it knows that.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    fn has_of(&self, node: NodeId, client: Watcher) -> bool {
        self.nodes.get(&node).is_some_and(|turns| turns.of.contains_key(&client))
    }
}

impl Node {
    /// Runs another node's request, or passes it on, when that node has room for the answer.
    pub(super) fn run_or_hold(&mut self, now: Now, from: NodeId, shard: ShardId, request: Request) {
        let client = request.watcher;
        let in_order = self.world.settings.breaks(Planting::HeldOvertaken)
            || !self.forwards.held.has_of(from, client);
        if self.takes_answers(from) && in_order {
            return self.run_forwarded(now, shard, request);
        }
        let turns = self.forwards.held.nodes.entry(from).or_default();
        turns.of.entry(client).or_default().push_back((shard, request));
    }

    /// Goes on with what was held, as far as there is room for answers.
    pub(in crate::node) fn release_held_forwards(&mut self, now: Now) {
        let nodes: alloc::vec::Vec<NodeId> = self.forwards.held.nodes.keys().copied().collect();
        for node in nodes {
            while self.takes_answers(node) {
                let next = self.forwards.held.nodes.get_mut(&node).and_then(Turns::next);
                let Some((shard, request)) = next else {
                    self.forwards.held.forget(node);
                    break;
                };
                self.run_forwarded(now, shard, request);
            }
        }
    }

    /// When what is held can go on: at once, or when the driver has written more.
    pub(in crate::node) fn next_release_of_forwards(&self) -> Monotonic {
        let now = self.forwards.held.nodes.keys().any(|node| self.has_room_for_answers(*node));
        if now { Monotonic(0) } else { Monotonic::NEVER }
    }

    fn has_room_for_answers(&self, node: NodeId) -> bool {
        self.world.sessions.outbound.waiting_for(node) < self.world.settings.answers_bytes
    }

    /// Whether requests of a node's clients may be run in this turn.
    fn takes_answers(&self, node: NodeId) -> bool {
        self.has_room_for_answers(node) && self.world.work.may(Kind::Reads)
    }

    fn run_forwarded(&mut self, now: Now, shard: ShardId, request: Request) {
        let Waiter::Peer { node, request: number, .. } = request.waiter else { return };
        let waited = now.monotonic.since(request.arrived);
        let late = waited >= self.world.settings.request_time;
        if !late && (self.local(shard).is_some() || request.passes_on) {
            return self.place(now, shard, request);
        }
        let hint = self.routes.get(shard).and_then(|route| route.holder);
        self.refuse_forward(shard, node, number, hint, String::new());
    }
}

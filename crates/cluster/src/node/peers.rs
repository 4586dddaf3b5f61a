//! The other nodes: support, connections that come and go, and who holds what.

use alloc::vec::Vec;

use types::{LeaseEpoch, LogIndex, NodeId, Now, ShardId, Term};

use super::Node;
use crate::io::{Event, Message};
use crate::planted::Planting;
use crate::raft_group::Seat;
use crate::shard::{Env, Shard};
use crate::support::SupportChange;

impl Node {
    /// A non-replica learns who holds a shard.
    pub(super) fn on_route(
        &mut self,
        now: Now,
        shard: ShardId,
        (epoch, applied, seats): (LeaseEpoch, (Term, LogIndex), Seat),
        holder: NodeId,
        replicas: &[NodeId],
    ) {
        // The removal of a replica may have passed it by: it was cut off, or its node was down.
        // One that is told so by mistake is taken back with the next message to it. Somebody who
        // knows of older leases only has nothing to say: his list of replicas is old as well.
        let me = self.world.settings.node;
        // One that knows of its removal, but was taken back by a leader that did not know yet,
        // hears of it once more.
        let at = self.local(shard);
        let behind = at.and_then(|at| self.shards.get(at)).is_some_and(|found| {
            let known = found.lease().epoch;
            // Its leader has applied what this one has not, and counts it no more: what told it so
            // was lost, and nothing else would tell it, for it has no reason to ask.
            let leads = found.known_holder() == Some(holder) && applied > found.last_ever();
            let deaf = self.world.settings.breaks(Planting::LeadersWordUnheeded);
            let ended = found.known_holder().is_none() || found.is_removed() || leads && !deaf;
            // What was said before this replica was added is about an earlier one.
            let meant = !found.seat().is_after(seats);
            meant && (known < epoch || known == epoch && ended)
        });
        if behind && !replicas.contains(&me) {
            // It may not have noticed that it leads no more: nothing has been asked of it since.
            if !self.world.settings.breaks(Planting::DismissedLeadOn) {
                self.with_shard(now, shard, Shard::leave);
            }
            self.routes.dismiss(shard, applied);
            // It gives up what it has at once, not when it next has something to do.
            at.into_iter().for_each(|at| self.touch(at));
        }
        if self.local(shard).is_none() {
            if !replicas.contains(&me) {
                self.dismiss_further(shard, epoch, applied, seats);
            }
            self.routes.update(shard, epoch, Some(holder), replicas, now.monotonic);
            self.routes.note_directories(shard, &self.world.founding);
        }
    }

    /// A replica that was dismissed may have had more of the log than its holder had applied by
    /// then: it keeps it until it hears of a holder that has applied as much.
    fn dismiss_further(
        &mut self,
        shard: ShardId,
        epoch: LeaseEpoch,
        applied: (Term, LogIndex),
        seats: Seat,
    ) {
        let at = self.shards.iter().position(|found| {
            let meant = !found.seat().is_after(seats) && found.lease().epoch <= epoch;
            found.id == shard && !found.is_buried() && meant
        });
        if let Some(at) = at {
            self.routes.dismiss(shard, applied);
            self.touch(at);
        }
    }

    /// A candidate that this holder knows to have no vote is told so: it missed its removal.
    pub(super) fn enlighten(&mut self, shard: ShardId, candidate: NodeId) {
        let me = Some(self.world.settings.node);
        let route = self.routes.get(shard).filter(|route| route.holder == me);
        if route.is_some_and(|route| !route.replicas.contains(&candidate)) {
            self.announce_route(shard, candidate);
        }
    }

    /// A follower asks whether this node still leads the shard in this term.
    pub(super) fn on_ask_release(&mut self, from: NodeId, shard: ShardId, term: Term) {
        let found = self.local(shard).and_then(|at| self.shards.get(at));
        if !found.is_some_and(|found| found.leads(term)) {
            self.world
                .effects
                .messages
                .push((from, Message::Release { shard, term, stands_back: None }));
        }
    }

    pub(super) fn on_peer_up(&mut self, now: Now, peer: NodeId) {
        self.world.support.note_link(peer, true);
        self.lose_answers_to(peer);
        self.each_shard_with(now, peer, |shard, env| shard.connection_lost(env, peer));
        self.announce_routes_to(peer);
    }

    pub(super) fn on_peer_down(&mut self, now: Now, peer: NodeId) {
        self.world.support.note_link(peer, false);
        self.lose_answers_to(peer);
        self.fail_forwards_to(now, peer);
    }

    pub(super) fn each_shard_with(
        &mut self,
        now: Now,
        peer: NodeId,
        mut run: impl FnMut(&mut Shard, &mut Env<'_>),
    ) {
        for at in 0..self.shards.len() {
            let Some(shard) = self.shards.get_mut(at) else { continue };
            if shard.concerns(peer) {
                run(shard, &mut self.world.env(now));
                self.touch(at);
            }
        }
    }

    /// Sends the beats that are due and reacts to what has changed between the nodes.
    pub(super) fn exchange_support(&mut self, now: Now) {
        let healthy = self.check_disk(now);
        self.keep_room(now);
        self.leave_slow_disk(now);
        self.watch_outages(now);
        let removed = self.is_removed();
        let world = &mut self.world;
        world.support.expire(now.monotonic, &mut world.effects.events);
        // That a node is silent that has been removed is no news, nor to it that the others are.
        let members = world.founding.members();
        world.effects.events.retain(|event| {
            let Event::SupportWithdrawn { peer, .. } = event else { return true };
            members.contains(*peer) && !removed
        });
        let messages = &mut world.effects.messages;
        let begin = messages.len();
        world.support.beat(now.monotonic, now.wall, healthy, &world.founding, messages);
        self.complete_beats(begin);
        for change in self.world.support.take_changes() {
            match change {
                SupportChange::Withdrawn(peer) => {
                    self.each_shard_with(now, peer, |shard, env| shard.on_withdrawn(env, peer));
                    self.fail_forwards_to(now, peer);
                }
                SupportChange::Reborn(peer) => self.fail_forwards_to(now, peer),
                SupportChange::Renewed(peer) => {
                    self.each_shard_with(now, peer, |shard, env| shard.greet(env));
                }
                SupportChange::Appeared(peer) => {
                    self.each_shard_with(now, peer, |shard, env| {
                        shard.greet(env);
                        shard.on_appeared(env);
                    });
                }
            }
        }
    }

    /// Adds to new beats what their receivers must know of their forwarded requests.
    fn complete_beats(&mut self, begin: usize) {
        let mut messages = core::mem::take(&mut self.world.effects.messages);
        for (to, message) in messages.iter_mut().skip(begin) {
            if let Message::Beat { condition, .. } = message {
                condition.cut_off = self.world.support.is_link_down(*to);
                condition.lost_answers = self.lost_answers_to(*to, condition.cut_off);
            }
        }
        self.world.effects.messages = messages;
    }

    /// Tells those who can't know it from the shard's log who holds it now.
    pub(super) fn note_reroutes(&mut self, now: Now) {
        let mut rerouted = core::mem::take(&mut self.world.effects.rerouted);
        rerouted.sort_unstable();
        rerouted.dedup();
        for id in rerouted {
            self.update_route(now, id);
            self.note_lease_moved(now, id);
            self.forget_removed(now, id);
        }
    }

    fn update_route(&mut self, now: Now, id: ShardId) {
        let Some(shard) = self.local(id).and_then(|at| self.shards.get(at)) else { return };
        let replicas = shard.voters();
        let lease = shard.lease();
        let (epoch, holder) = (lease.epoch, lease.holder);
        let changed = self.routes.update(id, epoch, holder, &replicas, now.monotonic);
        if changed && holder == Some(self.world.settings.node) {
            let me = self.world.settings.node;
            let others: Vec<NodeId> = self.world.members().nodes().collect();
            for node in others.into_iter().filter(|node| *node != me) {
                if !replicas.contains(&node) {
                    self.announce_route(id, node);
                }
            }
        }
    }

    pub(super) fn announce_routes_to(&mut self, peer: NodeId) {
        let held: Vec<ShardId> = self
            .routes
            .all()
            .filter(|route| route.holder == Some(self.world.settings.node))
            .filter(|route| !route.replicas.contains(&peer))
            .map(|route| route.shard)
            .collect();
        for shard in held {
            self.announce_route(shard, peer);
        }
    }

    fn announce_route(&mut self, shard: ShardId, to: NodeId) {
        // A learner is no replica to clients, but must not take itself for removed: it would give
        // up what it has acknowledged.
        let local = self.local(shard).and_then(|at| self.shards.get(at));
        if local.is_some_and(|found| found.has_replica_on(to)) {
            return;
        }
        let Some(route) = self.routes.get(shard) else { return };
        let message = Message::Route {
            shard,
            range: route.range,
            epoch: route.epoch,
            applied: local.map_or((Term(0), LogIndex(0)), Shard::applied),
            seats: local.map_or(0, |found| found.seats().0),
            holder: self.world.settings.node,
            replicas: route.replicas.clone(),
        };
        self.world.effects.messages.push((to, message));
    }
}

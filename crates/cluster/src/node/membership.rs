//! The nodes of the cluster, and the replicas that come to this node and leave it.
//!
//! A node that is to have a new replica makes an empty one when the shard's leader first writes to
//! it; the leader then feeds it slot images. What replicas there should be is decided in the
//! shard's own log, see `shard/repair.rs`.

use alloc::vec::Vec;

use types::{DirectoryId, Incarnation, NodeId, Now, ShardId};

use super::Node;
use crate::io::{
    Condition, Event, Introduction, Membership, Memory, Message, OrderOutcome, Origin, WriteId,
};
use crate::lives::{Said, Verdict};
use crate::planted::Planting;
use crate::raft_group::{RaftMessage, Seat};
use crate::record::Record;
use crate::recovery::{RecoveredShard, first_replicas};
use crate::shard::Shard;

impl Node {
    /// Orders which nodes should have a shard's replicas, at its holder. It is done when the log
    /// has it, see [`Event::ReplicasChanged`]; the holder works towards it step by step.
    pub fn order_replicas(&mut self, now: Now, shard: ShardId, goal: &[NodeId]) -> OrderOutcome {
        let text = alloc::format!("this node has no replica of shard {shard}");
        let mut outcome = OrderOutcome::Refused(text);
        self.with_shard(now, shard, |found, env| outcome = found.order_replicas(env, goal, None));
        outcome
    }

    /// Sees to it that the replica is there that a message is for, if its sender may mean one in
    /// this very directory. For a leader an empty one is made, or one that was removed is seated
    /// anew. A candidate that counts its vote gets it, if the replica does not know of its removal:
    /// without it there may be no leader ever.
    pub(super) fn seat_receiver(&mut self, now: Now, shard: ShardId, message: &RaftMessage) {
        let local = self.local(shard);
        let at = local.or_else(|| self.shards.iter().position(|found| found.id == shard));
        let seat = at.and_then(|at| self.shards.get(at)).map(Shard::seat);
        let to = message.to();
        if local.is_some() && to.map(|to| to.seat) == seat {
            return;
        }
        let Some(directory) = self.world.founding.own_directory() else { return };
        let node = self.world.settings.node;
        let Some(to) = to.filter(|to| to.node == node && to.directory == directory) else { return };
        match (at, seat) {
            (Some(at), Some(seat)) if seat == to.seat => self.wake(at, message),
            (Some(at), Some(seat)) if message.is_from_leader() && to.seat.is_after(seat) => {
                self.reseat(now, at, to.seat);
            }
            // The shards' cut can't be learned any more once there is one: the list comes first.
            (None, _) if message.is_from_leader() => {
                let awaits = self.shards.is_empty() && self.world.founding.awaits_members();
                if let Some(route) = self.routes.get(shard).filter(|_| !awaits) {
                    let empty = RecoveredShard::empty(route.range, to.seat);
                    self.add_replica(now, shard, empty, directory);
                }
            }
            _ => {}
        }
    }

    /// A replica that does not take part at the moment is written to.
    fn wake(&mut self, at: usize, message: &RaftMessage) {
        let Some(found) = self.shards.get(at) else { return };
        let shard = found.id;
        let dismissed = self.routes.get(shard).map(|route| route.dismissed).unwrap_or_default();
        // A candidate whose log ends earlier than the one of which this node was told that it
        // has no replica can't win, and may itself have missed its removal: two of those would
        // wake each other for ever.
        let comes_back = if message.is_from_leader() {
            !found.is_removed() || found.may_come_back(message)
        } else {
            let lacks = message.asks_for_vote() && message.end_of_log() < dismissed;
            !found.is_removed()
                && (!lacks || self.world.settings.breaks(Planting::AnyCandidateWakes))
        };
        if comes_back {
            self.take_back(shard);
        }
    }

    /// The leader has added a replica here after the one in this place was removed. What that one
    /// has is given up first; the leader writes again.
    fn reseat(&mut self, now: Now, at: usize, seat: Seat) {
        let Some(found) = self.shards.get_mut(at) else { return };
        let shard = found.id;
        if found.is_buried() {
            found.take_seat(self.world.effects.payload.tail(), seat);
            self.routes.reseat(shard);
            self.routes.set_local(shard, Some(at));
        } else {
            found.supersede();
            self.with_shard(now, shard, Shard::leave);
            self.routes.set_local(shard, None);
        }
        self.touch(at);
    }

    /// A replica that was removed has a vote as long as there are candidates that do not know that
    /// the removal is committed: n1 removes n4 with the votes of n2 and n4, and dies before n2
    /// hears so. Without n4 neither n2 nor n3 could be elected ever. Who has all that the removed
    /// one has acknowledged may have its vote.
    pub(super) fn vote_as_removed(
        &mut self,
        now: Now,
        from: NodeId,
        shard: ShardId,
        message: RaftMessage,
    ) {
        let Some(at) = self.shards.iter().position(|found| found.id == shard) else { return };
        let dismissed = self.routes.get(shard).map(|route| route.dismissed).unwrap_or_default();
        let Some(found) = self.shards.get_mut(at) else { return };
        let due = found.last_ever().max(dismissed);
        if message.end_of_log() >= due && !self.world.settings.breaks(Planting::RemovedHasNoVote) {
            found.on_message(&mut self.world.env(now), from, message, None);
            self.touch(at);
        }
    }

    fn add_replica(
        &mut self,
        now: Now,
        shard: ShardId,
        recovered: RecoveredShard,
        directory: DirectoryId,
    ) {
        let settings = &self.world.settings;
        let seed = self.frontend.random();
        let Ok(replica) = Shard::new(shard, recovered, settings, directory, seed, now) else {
            return;
        };
        self.shards.push(replica);
        let at = self.shards.len() - 1;
        self.routes.set_local(shard, Some(at));
        self.touch(at);
    }

    /// A peer says who it is. Says whether it may be listened to: it is of this cluster.
    pub(super) fn on_introduction(
        &mut self,
        now: Now,
        from: NodeId,
        incarnation: Incarnation,
        condition: &Condition,
        introduction: Introduction,
    ) -> bool {
        let founding = &mut self.world.founding;
        if !founding.members().contains(from) {
            return false;
        }
        let before = founding.directory_of(from);
        let acquainted = founding.is_acquainted(from);
        let had_told = founding.lives.accepts_us(from);
        if founding.is_ours(introduction.cluster)
            && !self.accept_life(now, from, incarnation, condition, &introduction)
        {
            return false;
        }
        let founding = &mut self.world.founding;
        founding.hear(from, incarnation, introduction);
        if !founding.is_ours(introduction.cluster) {
            if acquainted || before.is_none() {
                let event = Event::ForeignCluster { peer: from, cluster: introduction.cluster };
                self.world.effects.events.push(event);
            }
            return false;
        }
        let told = self.world.founding.lives.accepts_us(from);
        if !acquainted {
            // What either said before is lost: nobody listens to strangers. Whoever is the last to
            // get to know the other is heard.
            self.announce_routes_to(from);
            self.world.effects.messages.push((from, Message::AskRoutes));
        }
        let known = self.world.founding.members();
        if introduction.members < known.version {
            let message = Message::Members(known.clone());
            self.world.effects.messages.push((from, message));
        }
        if told && !had_told {
            // With it a majority may have told what it remembers of this node.
            self.each_shard_with(now, from, |shard, env| shard.on_appeared(env));
        }
        if self.world.founding.directory_of(from) != before {
            self.each_shard_with(now, from, |shard, env| shard.greet(env));
        }
        true
    }

    /// A peer says which process of its node it is, and what it remembers of this one. Says whether
    /// it counts: see `lives`.
    fn accept_life(
        &mut self,
        now: Now,
        from: NodeId,
        incarnation: Incarnation,
        condition: &Condition,
        introduction: &Introduction,
    ) -> bool {
        let Introduction { directory, began, remembered: remembers, .. } = *introduction;
        let Condition { life, durable, .. } = *condition;
        let itself = Memory { directory, incarnation, life, durable };
        let said = Said { itself, began, remembers };
        let silence = self.world.settings.support_duration;
        let verdict = self.world.founding.lives.hear(now.monotonic, silence, from, &said);
        if verdict == (Verdict::Refused { news: true }) {
            self.world.effects.events.push(Event::LifeRefused { peer: from, incarnation });
        }
        verdict == Verdict::Accepted
    }

    /// Whether the cluster has removed this node: nobody talks to it any more.
    pub(crate) fn is_removed(&self) -> bool {
        let members = self.world.members();
        members.version > 0 && !members.contains(self.world.settings.node)
    }

    /// Somebody tells a list of the cluster's nodes.
    pub(crate) fn on_members(&mut self, now: Now, membership: Membership) {
        let known = self.world.members();
        let ours = membership.cluster != types::ClusterId(0)
            && self.world.founding.is_ours(membership.cluster);
        let cut = membership.shards == self.world.settings.shards || self.shards.is_empty();
        // Bytes of a peer: what no manager writes is not taken.
        let sound = ours && cut && membership.shards > 0 && !membership.members.is_empty();
        if membership.version <= known.version || !sound {
            return;
        }
        let removed = known.contains(self.world.settings.node)
            && !membership.contains(self.world.settings.node);
        let gone: Vec<NodeId> = known.nodes().filter(|node| !membership.contains(*node)).collect();
        let event = Event::MembersChanged {
            version: membership.version,
            members: membership.nodes().collect(),
        };
        self.world.effects.events.push(event);
        if removed {
            self.world.effects.events.push(Event::Removed);
        }
        self.learn_cut(now, membership.shards);
        self.world.founding.set_members(membership);
        self.meet_members();
        self.members_news = true;
        self.managing.begin_reporting(now.monotonic);
        self.remember();
        for node in gone {
            // The last word to it: nobody will talk to it any more.
            let list = Message::Members(self.world.members().clone());
            self.world.effects.messages.push((node, list));
            self.fail_forwards_to(now, node);
        }
    }

    /// A node that joins learns into how many shards the cluster is cut: its settings need not say
    /// so. One that has replicas has known it from the beginning.
    fn learn_cut(&mut self, now: Now, shards: u16) {
        if shards == self.world.settings.shards || shards == 0 || !self.shards.is_empty() {
            return;
        }
        self.world.settings.shards = shards;
        let version = self.routes.version + 1;
        self.routes = super::Routes::unknown(self.world.settings.node, shards, now);
        self.routes.version = version;
        // Who told too early who holds what is asked again, by a greeting of all.
        for peer in self.world.others().collect::<Vec<_>>() {
            self.world.effects.messages.push((peer, Message::AskRoutes));
        }
    }

    /// Exchanges support with the members, and with nobody else.
    pub(super) fn meet_members(&mut self) {
        let others: Vec<NodeId> = self.world.others().collect();
        self.world.clock.set_peers(&others);
        self.world.support.set_peers(others.into_iter());
    }

    /// Writes down what the node itself must remember.
    pub(super) fn remember(&mut self) {
        let decided = self.decided.as_ref().map(|(_, remembered)| remembered);
        let mut remembered = decided.unwrap_or(self.world.founding.remembered()).clone();
        remembered.membership = self.world.members().clone();
        Record::Origin { remembered }.encode(self.world.effects.payload.tail());
        self.world.founding.lives.write_all(self.world.effects.payload.tail());
    }

    /// A node with an empty directory writes down what it is, as soon as it knows.
    pub(super) fn begin_taking_part(&mut self) {
        if self.decided.is_some() {
            return;
        }
        let Some(remembered) = self.world.founding.decide() else {
            return self.note_disagreement();
        };
        let founds = remembered.origin == Origin::Founder;
        if founds && !self.world.settings.found && !self.world.founding.follows_founders() {
            if self.world.founding.declines() {
                self.world.effects.events.push(Event::FoundsNothing);
            }
            return;
        }
        if founds {
            // With the same write: what the shards began with must not depend on what the settings
            // say at a later start.
            for (shard, state) in first_replicas(&self.world.settings) {
                Record::State { shard, state }.encode(self.world.effects.payload.tail());
            }
        }
        self.decided = Some((self.storage.next_write(), remembered));
        self.remember();
    }

    /// Says with whom a new cluster can't begin, whenever that changes.
    fn note_disagreement(&mut self) {
        if self.world.founding.origin() != Origin::Blank {
            return;
        }
        let peers = self.world.founding.disagreeing();
        if peers != self.disagreeing {
            self.disagreeing.clone_from(&peers);
            self.world.effects.events.push(Event::FoundersDisagree { peers });
        }
    }

    /// What the node has found out about its beginning is durable: it takes part from now on.
    pub(super) fn take_part(&mut self, now: Now, durable: WriteId) {
        let Some((_, remembered)) = self.decided.take_if(|(write, _)| *write <= durable) else {
            return;
        };
        let origin = remembered.origin;
        self.world.founding.settle(remembered);
        let event = match origin {
            Origin::Blank => return,
            Origin::Replacement => Event::DirectoryLost,
            Origin::Founder => {
                for (shard, state) in first_replicas(&self.world.settings) {
                    let first = RecoveredShard::first(state);
                    self.add_replica(now, shard, first, DirectoryId::FOUNDING);
                }
                Event::Founded
            }
        };
        self.world.effects.events.push(event);
    }

    /// A replica that was removed from this node and is to come back goes on where it was, with
    /// what it remembers: at least its vote. Says whether there is one.
    pub(super) fn take_back(&mut self, shard: ShardId) -> bool {
        let Some(at) = self.shards.iter().position(|found| found.id == shard) else { return false };
        if let Some(found) = self.shards.get_mut(at) {
            found.come_back();
        }
        self.routes.set_local(shard, Some(at));
        self.touch(at);
        true
    }

    /// Whether a replica of a shard was removed from this node.
    pub(super) fn has_removed(&self, shard: ShardId) -> bool {
        self.shards.iter().any(|found| found.id == shard && found.is_removed())
    }

    /// Whether the replica in this place of the list is one that was removed: once no request waits
    /// there any more it does nothing.
    pub(super) fn is_forgotten(&self, at: usize) -> bool {
        let shard = self.shards.get(at).map(|found| found.id);
        shard.is_some_and(|shard| self.local(shard) != Some(at))
    }

    /// Requests for a shard whose replica was removed from this node go to its holder.
    pub(super) fn forget_removed(&mut self, now: Now, shard: ShardId) {
        let removed = self
            .local(shard)
            .and_then(|at| self.shards.get(at))
            .is_some_and(|found| found.is_removed());
        if removed {
            self.with_shard(now, shard, Shard::leave);
            self.routes.set_local(shard, None);
        }
    }
}

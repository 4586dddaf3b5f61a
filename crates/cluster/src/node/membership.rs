//! Changing the replicas of a shard: learners, votes, removals.
//!
//! One change at a time, through the shard's own log; the engine uses joint configurations where a
//! simple step would not be safe. A node that is to have a new replica makes an empty one when
//! the shard's leader first writes to it; the leader then feeds it slot images.

use alloc::string::String;
use alloc::vec::Vec;

use types::{DirectoryId, Incarnation, NodeId, Now, ShardId};

use super::Node;
use crate::io::{Event, Introduction, Origin, WriteId};
use crate::raft_group::{RaftMessage, ReplicaChange, ReplicaId};
use crate::record::Record;
use crate::recovery::{RecoveredShard, first_replicas};
use crate::shard::Shard;

impl Node {
    /// Begins a change of a shard's replicas. It is done when the log has it, see
    /// [`Event::ReplicasChanged`](crate::Event::ReplicasChanged).
    ///
    /// # Errors
    /// Why the change is refused: this node doesn't hold the shard, another change is under way,
    /// or the change would leave the shard worse off than it may be.
    pub fn change_replicas(
        &mut self,
        now: Now,
        shard: ShardId,
        change: ReplicaChange,
    ) -> Result<(), String> {
        let node = match change {
            ReplicaChange::AddLearner(node)
            | ReplicaChange::Promote(node)
            | ReplicaChange::Remove(node)
            | ReplicaChange::Replace(node) => node,
        };
        if !self.world.settings.members.iter().any(|member| member.node == node) {
            return Err(alloc::format!("ERR there is no node {node}"));
        }
        let mut result = Err(alloc::format!("ERR this node has no replica of shard {shard}"));
        self.with_shard(now, shard, |found, env| {
            result = found.change_replicas(env, change);
        });
        result
    }

    /// Somebody writes to a replica in this very directory that does not take part at the moment.
    /// For its leader an empty one is made if there is none. A candidate that counts its vote gets
    /// it, if the replica does not know of its removal: without it there may be no leader ever.
    pub(super) fn take_back_or_make(&mut self, now: Now, shard: ShardId, message: &RaftMessage) {
        let Some(route) = self.routes.get(shard) else { return };
        let Some(directory) = self.world.founding.own_directory() else { return };
        let node = self.world.settings.node;
        if message.to() != Some(ReplicaId { node, directory }) {
            return;
        }
        let range = route.range;
        let is_member = |found: &&Shard| found.id == shard && !found.is_removed(node);
        if message.is_from_leader() {
            if !self.take_back(shard) {
                self.add_replica(now, shard, RecoveredShard::empty(range), directory);
            }
        } else if self.shards.iter().any(|found| is_member(&found)) {
            self.take_back(shard);
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

    /// A peer says who it is.
    pub(super) fn on_introduction(
        &mut self,
        now: Now,
        from: NodeId,
        incarnation: Incarnation,
        introduction: Introduction,
    ) {
        let before = self.world.founding.directory_of(from);
        self.world.founding.hear(from, incarnation, introduction);
        if self.world.founding.directory_of(from) != before {
            self.each_shard_with(now, from, |shard, env| shard.greet(env));
        }
    }

    /// A node with an empty directory writes down what it is, as soon as it knows.
    pub(super) fn begin_taking_part(&mut self) {
        if self.decided.is_some() {
            return;
        }
        let Some(remembered) = self.world.founding.decide() else { return };
        let record = Record::Origin { remembered: remembered.clone() };
        record.encode(&mut self.world.effects.payload);
        self.decided = Some((self.storage.next_write(), remembered));
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

    /// A replica that was removed from this node and is to come back goes on where it was: its
    /// log and its votes are those of this replica still. Says whether there is one.
    pub(super) fn take_back(&mut self, shard: ShardId) -> bool {
        let Some(at) = self.shards.iter().position(|found| found.id == shard) else { return false };
        self.routes.set_local(shard, Some(at));
        self.touch(at);
        true
    }

    /// Whether the replica in this place of the list is one that was removed: once no request waits
    /// there any more it does nothing.
    pub(super) fn is_forgotten(&self, at: usize) -> bool {
        let shard = self.shards.get(at).map(|found| found.id);
        shard.is_some_and(|shard| self.local(shard) != Some(at))
    }

    /// Requests for a shard whose replica was removed from this node go to its holder.
    pub(super) fn forget_removed(&mut self, now: Now, shard: ShardId) {
        let me = self.world.settings.node;
        let removed = self
            .local(shard)
            .and_then(|at| self.shards.get(at))
            .is_some_and(|found| found.is_removed(me));
        if removed {
            self.with_shard(now, shard, Shard::leave);
            self.routes.set_local(shard, None);
        }
    }
}

impl Shard {
    /// Checks a change and proposes it.
    fn change_replicas(
        &mut self,
        env: &crate::shard::Env<'_>,
        change: ReplicaChange,
    ) -> Result<(), String> {
        let id = self.id;
        if !self.is_serving(env) {
            return Err(alloc::format!("ERR this node does not hold shard {id} at the moment"));
        }
        let voters = self.voters();
        let has = |node: NodeId| self.has_replica_on(node);
        match change {
            ReplicaChange::AddLearner(node) if has(node) => {
                return Err(alloc::format!("ERR node {node} already has a replica of shard {id}"));
            }
            ReplicaChange::Promote(node) if voters.contains(&node) => {
                return Err(alloc::format!("ERR node {node} already votes in shard {id}"));
            }
            ReplicaChange::Promote(node) if !self.is_caught_up(node) => {
                return Err(alloc::format!(
                    "ERR node {node} has not caught up with shard {id}; try again later"
                ));
            }
            ReplicaChange::Remove(node) if !has(node) => {
                return Err(alloc::format!("ERR node {node} has no replica of shard {id}"));
            }
            ReplicaChange::Remove(node) if voters.contains(&node) => {
                let rest: Vec<NodeId> = voters.into_iter().filter(|v| *v != node).collect();
                let now = env.now.monotonic;
                let me = env.settings.node;
                // One that is alive but has nothing yet can't help to decide anything for a while.
                let counts = |voter: &&NodeId| {
                    **voter == me
                        || env.support.is_alive(now, **voter) && self.is_caught_up(**voter)
                };
                if rest.iter().filter(counts).count() <= rest.len() / 2 {
                    return Err(alloc::format!(
                        "ERR without node {node} too few voters of shard {id} would be left that \
                         are alive and caught up"
                    ));
                }
            }
            ReplicaChange::Replace(_) => {
                return Err(String::from("ERR lost replicas are replaced without being asked"));
            }
            ReplicaChange::AddLearner(_) | ReplicaChange::Promote(_) | ReplicaChange::Remove(_) => {
            }
        }
        self.propose_change(env, change).map_err(|text| alloc::format!("ERR {text}"))
    }
}

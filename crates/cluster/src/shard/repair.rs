//! Replicas whose node has lost its data directory, and shards with too few voters.
//!
//! The leader learns from a node's beats that its directory is another than the configuration
//! names. The replica in the lost one is dead for ever: nobody can speak for it. One change of the
//! replicas removes it, vote and all, and adds a learner in the new directory; the majority that
//! decides about that change is one of the old configuration, in which the new directory has no
//! vote, so what it has forgotten can't matter. The learner is fed slot images, and gets a vote
//! when it has caught up.

use types::{DirectoryId, NodeId};

use super::{Env, Shard};
use crate::io::Event;
use crate::raft_group::{ReplicaChange, ReplicaId};

impl Shard {
    /// Begins the next step towards as many voters as the shard should have, if there is one.
    pub(super) fn repair(&mut self, env: &mut Env<'_>) {
        if !self.is_serving(env) || self.group.change_pending() {
            return;
        }
        let Some(change) = self.next_repair(env) else { return };
        // Refused while a change before it is not done; looked at again in a moment.
        if self.propose_change(env, change).is_ok()
            && let ReplicaChange::Replace(node) = change
        {
            env.effects.events.push(Event::ReplicaLost { shard: self.id, node });
        }
    }

    fn next_repair(&self, env: &Env<'_>) -> Option<ReplicaChange> {
        let replicas = self.group.replicas();
        let is_lost = |replica: &ReplicaId| {
            // A founder's directory is never a new one: who names it for a replica that lies in
            // another has old news of the node.
            let now = env.founding.directory_of(replica.node);
            let now = now.filter(|directory| *directory != DirectoryId::FOUNDING);
            replica.node != self.me && now.is_some_and(|directory| directory != replica.directory)
        };
        if let Some(lost) = replicas.all().find(is_lost) {
            return Some(ReplicaChange::Replace(lost.node));
        }
        if replicas.voters().len() >= env.settings.replicas {
            return None;
        }
        let now = env.now.monotonic;
        let is_ready = |node: &NodeId| env.support.is_alive(now, *node) && self.is_caught_up(*node);
        let ready = replicas.learners().into_iter().find(is_ready)?;
        Some(ReplicaChange::Promote(ready))
    }
}

//! Working towards the replicas that a shard should have: its *goal*.
//!
//! The goal stands in the shard's log, so whoever leads goes on where the last leader stopped, and
//! a move of a replica can be cut off at any step and is still finished. One step at a time: a
//! learner is made and fed, gets its vote, and then what is too much leaves. So a shard has at
//! most one replica more than it should have; and while one that it should have is still to come,
//! it keeps three votes if it has them, even on the way to fewer.
//!
//! A node that has lost its data directory is a case of its own. The leader learns from its beats
//! that its directory is another than the configuration names. The replica in the lost one is dead
//! for ever: nobody can speak for it. One change of the replicas removes it, vote and all, and adds
//! a learner in the new directory; the majority that decides about that change is one of the old
//! configuration, in which the new directory has no vote, so what it has forgotten can't matter.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use types::limits::REPLICAS_MAX;
use types::{DirectoryId, NodeId};

use super::{Env, Shard};
use crate::entry;
use crate::io::{Event, OrderOutcome};
use crate::outage::{Missing, Outage};
use crate::planted::Planting;
use crate::raft_group::{ReplicaChange, ReplicaId};

/// So many voters stay until all that should come have come: with two, one more loss would stop
/// the shard.
const VOTERS_ON_THE_WAY: usize = 3;

/// What brings the replicas nearer to the goal.
enum Step {
    Change(ReplicaChange),
    /// The holder itself must leave: its lease goes first, to one of these.
    HandOver(Vec<NodeId>),
    /// The goal can't be reached any more: this one can.
    Goal(Vec<NodeId>),
}

impl Shard {
    /// Why too few voters are there to decide anything, or just who is missing. `missing` says why
    /// another replica can't help one that leads, or one that doesn't.
    pub(crate) fn outage(&self, missing: impl Fn(ReplicaId, bool) -> Option<Missing>) -> Outage {
        let leads = self.group.is_leader();
        let (mut absent, mut blocked, mut for_good) = (Vec::new(), false, false);
        self.group.for_each_voter_set(|set| {
            let voters = set.iter().filter_map(|voter| ReplicaId::from_engine(*voter));
            let others = voters.filter(|voter| *voter != self.group.me());
            let here = others.filter_map(|it| missing(it, leads).map(|why| (why, it.node)));
            let here: Vec<(Missing, NodeId)> = here.collect();
            let lost = here.iter().filter(|(why, _)| *why == Missing::Lost).count();
            let decides = |gone: usize| set.len() - gone > set.len() / 2;
            blocked |= !decides(here.len());
            for_good |= !decides(lost);
            absent.extend(here);
        });
        absent.sort_unstable();
        absent.dedup();
        if !blocked {
            return Outage::Election { missing: absent, has_copy: true };
        }
        Outage::NoQuorum { missing: absent, voters: self.voters().len(), for_good }
    }

    /// The nodes that should have the replicas.
    pub(crate) fn goal(&self) -> &[NodeId] {
        &self.goal.nodes
    }

    /// Counts goals and changes of the replicas.
    pub(crate) fn generation(&self) -> u64 {
        self.goal.generation
    }

    /// Whether a node has a replica or should have one.
    pub(crate) fn concerns(&self, node: NodeId) -> bool {
        self.has_replica_on(node) || self.goal.nodes.contains(&node)
    }

    /// Writes a new goal into the log. `generation` is the one that the order is about; none for
    /// an operator who means whatever there is.
    pub(crate) fn order_replicas(
        &mut self,
        env: &mut Env<'_>,
        goal: &[NodeId],
        generation: Option<u64>,
    ) -> OrderOutcome {
        let (id, current) = (self.id, self.goal.generation);
        if let Some(asked) = generation.filter(|asked| *asked != current) {
            return OrderOutcome::Stale(format!(
                "the order is about version {asked} of shard {id}, which is at {current}: look at \
                 the shard again"
            ));
        }
        if generation.is_some() && self.is_generation_ending() {
            return OrderOutcome::Stale(format!(
                "version {current} of shard {id} is about to be over, since another change of its \
                 replicas is on its way into the log: look at the shard again"
            ));
        }
        if let Err(reason) = self.judge_goal(env, goal) {
            return OrderOutcome::Refused(reason);
        }
        match self.propose_entry(env, entry::encode_goal(goal)) {
            Ok(place) => self.goal_proposed = place,
            Err(reason) => return OrderOutcome::Refused(reason),
        }
        OrderOutcome::Begun
    }

    /// Whether entries that are not applied yet count the generation on: of two orders about the
    /// same one only the first may pass.
    fn is_generation_ending(&self) -> bool {
        let (index, term) = self.goal_proposed;
        let goal_pending = term == self.group.term() && index > self.applied_index();
        goal_pending || self.group.change_pending()
    }

    /// Whether a replica is in good health, whatever others say of its node.
    pub(super) fn knows_alive(&self, env: &Env<'_>, node: NodeId) -> bool {
        !env.settings.breaks(Planting::BuryTheLiving)
            && self.group.is_leader()
            && self.is_ready(env, node)
    }

    fn judge_goal(&mut self, env: &Env<'_>, goal: &[NodeId]) -> Result<(), String> {
        let (id, me) = (self.id, self.me);
        if !self.is_serving(env) {
            return Err(format!("node {me} does not hold shard {id} at the moment; try again"));
        }
        if goal.is_empty() || goal.len() > REPLICAS_MAX {
            return Err(format!("a shard has 1 to {REPLICAS_MAX} replicas, not {}", goal.len()));
        }
        for (at, node) in goal.iter().enumerate() {
            if goal[..at].contains(node) {
                return Err(format!("node {node} is named twice"));
            }
            if self.has_replica_on(*node) {
                continue;
            }
            if !can_be_given(env, *node) {
                return Err(format!(
                    "node {node} can't be given a replica of shard {id}: it does not take part in \
                     the cluster, or does not answer"
                ));
            }
            if let Some(veteran) = self.veteran() {
                return Err(format!(
                    "shard {id} can't be given another replica as long as that of node {veteran} \
                     stays where it is: 32767 were added since, and a number would mean two of \
                     them; take that one away first, then it can come back"
                ));
            }
        }
        Ok(())
    }

    /// Takes the next step towards the goal, if there is one.
    pub(super) fn repair(&mut self, env: &mut Env<'_>) {
        if !self.is_serving(env) || self.group.change_pending() {
            return;
        }
        match self.next_step(env) {
            // Refused while a change before it is not done; looked at again in a moment.
            Some(Step::Change(change)) => {
                if self.propose_change(env, change).is_ok()
                    && let ReplicaChange::Replace(new) = change
                {
                    let lost = Event::ReplicaLost { shard: self.id, node: new.node };
                    env.effects.events.push(lost);
                }
            }
            // A transfer that fails is tried again; it takes another heir then.
            Some(Step::HandOver(heirs)) => {
                self.hand_over_to_any(env, heirs);
            }
            Some(Step::Goal(nodes)) => {
                if let Ok(place) = self.propose_entry(env, entry::encode_goal(&nodes)) {
                    self.goal_proposed = place;
                }
            }
            None => {}
        }
    }

    /// Whether there is something that this leader can do for the goal.
    pub(super) fn has_step(&self, env: &Env<'_>) -> bool {
        self.next_step(env).is_some()
    }

    fn next_step(&self, env: &Env<'_>) -> Option<Step> {
        let replicas = self.group.replicas();
        if let Some(nodes) = self.goal_without_strangers(env, &replicas.voters()) {
            return (!self.is_generation_ending()).then_some(Step::Goal(nodes));
        }
        let wanted = |node: &NodeId| self.goal.nodes.contains(node);
        if let Some(lost) = replicas.all().find(|replica| self.is_lost(env, replica)) {
            let node = lost.node;
            let stays = wanted(&node);
            return Some(Step::Change(match self.newcomer(env, node).filter(|_| stays) {
                Some(new) => ReplicaChange::Replace(new),
                None => ReplicaChange::Remove(node),
            }));
        }
        let (voters, learners) = (replicas.voters(), replicas.learners());
        if let Some(stray) = learners.iter().find(|node| !wanted(node)) {
            return Some(Step::Change(ReplicaChange::Remove(*stray)));
        }
        if let Some(ready) = learners.iter().find(|node| self.is_ready(env, **node)) {
            return Some(Step::Change(ReplicaChange::Promote(*ready)));
        }
        let absent = |node: &&NodeId| !self.has_replica_on(**node) && can_be_given(env, **node);
        let missing = self.goal.nodes.iter().find(absent);
        let on_the_way = missing.is_some() || !learners.is_empty();
        let floor = if on_the_way { VOTERS_ON_THE_WAY } else { 0 };
        if voters.len() > self.goal.nodes.len().max(floor) {
            return self.next_leaver(env, &voters);
        }
        let missing = missing.filter(|_| learners.is_empty());
        let new = missing.and_then(|node| self.newcomer(env, *node));
        new.map(|new| Step::Change(ReplicaChange::AddLearner(new)))
    }

    /// The goal that can be reached where a node of it is no member: the order to give it a replica
    /// came when it was being removed. As many voters stay in its place.
    fn goal_without_strangers(&self, env: &Env<'_>, voters: &[NodeId]) -> Option<Vec<NodeId>> {
        let is_member = |node: &NodeId| env.founding.members().contains(*node);
        let goal = &self.goal.nodes;
        let mut nodes: Vec<NodeId> = goal.iter().copied().filter(is_member).collect();
        if nodes.len() == goal.len() {
            return None;
        }
        let others = voters.iter().filter(|node| is_member(node) && !goal.contains(node));
        nodes.extend(others.take(goal.len() - nodes.len()));
        (!nodes.is_empty()).then_some(nodes)
    }

    /// A replica that has stayed for so many additions that the next one would count as earlier.
    fn veteran(&self) -> Option<NodeId> {
        let next = self.goal.seats.next();
        let replicas = self.group.replicas();
        let found = replicas.all().find(|replica| !next.is_after(replica.seat));
        found.map(|replica| replica.node)
    }

    /// The replica that would be added on a node, in the directory that the node has now.
    fn newcomer(&self, env: &Env<'_>, node: NodeId) -> Option<ReplicaId> {
        let directory = env.founding.directory_of(node)?;
        let seat = if self.planted.contains(Planting::SeatUsedAgain) {
            self.goal.seats
        } else if self.veteran().is_some() {
            return None;
        } else {
            self.goal.seats.next()
        };
        Some(ReplicaId { node, directory, seat })
    }

    /// A replica in a directory that its node has lost.
    fn is_lost(&self, env: &Env<'_>, replica: &ReplicaId) -> bool {
        // A founder's directory is never a new one: who names it for a replica that lies in
        // another has old news of the node.
        let now = env.founding.directory_of(replica.node);
        let now = now.filter(|directory| *directory != DirectoryId::FOUNDING);
        replica.node != self.me && now.is_some_and(|directory| directory != replica.directory)
    }

    /// Whether a replica can help to decide: its node is alive, and it lacks little.
    fn is_ready(&self, env: &Env<'_>, node: NodeId) -> bool {
        let now = env.now.monotonic;
        node == self.me
            || env.support.is_alive(now, node) && self.is_caught_up(node, now, env.support)
    }

    /// The voter that is one too many, the dead first; it leaves only if those that stay can
    /// decide without it.
    fn next_leaver(&self, env: &Env<'_>, voters: &[NodeId]) -> Option<Step> {
        let mut extra: Vec<NodeId> =
            voters.iter().copied().filter(|node| !self.goal.nodes.contains(node)).collect();
        extra.sort_by_key(|node| (*node == self.me, self.is_ready(env, *node)));
        let leaver = *extra.first()?;
        let stay: Vec<NodeId> = voters.iter().copied().filter(|node| *node != leaver).collect();
        let ready = stay.iter().filter(|node| self.is_ready(env, **node)).count();
        if ready <= stay.len() / 2 {
            return None;
        }
        if leaver != self.me {
            return Some(Step::Change(ReplicaChange::Remove(leaver)));
        }
        let heirs = self.lease.succession.iter().chain(&self.goal.nodes).copied();
        let fit = |heir: &NodeId| stay.contains(heir) && self.is_ready(env, *heir);
        let heirs: Vec<NodeId> = heirs.filter(fit).collect();
        (!heirs.is_empty()).then_some(Step::HandOver(heirs))
    }
}

/// Whether a node can be given a new replica now.
fn can_be_given(env: &Env<'_>, node: NodeId) -> bool {
    env.support.is_alive(env.now.monotonic, node) && env.founding.directory_of(node).is_some()
}

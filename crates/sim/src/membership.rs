//! Changes of replicas in the middle of a run: a node with a spare place gets a learner, learners
//! get their votes, voters leave. What is asked for need not be sensible: the core must refuse
//! what would harm, and bear the rest in the middle of any fault.

use cluster::{ReplicaChange, ReplicaView};
use types::{NodeId, ShardId};

use crate::random::Random;
use crate::world::{World, node_id};

/// Most voters that random changes leave a shard.
const VOTERS_MAX: usize = 5;

/// Changes the replicas of some shard, or tries to. `fewest`: voters that must stay, by what may
/// happen to their disks.
pub(crate) fn change_replicas(world: &mut World, random: &mut Random, shards: u64, fewest: usize) {
    let shard = ShardId(random.between(1, shards) as u32);
    let Some((holder, view)) = find_holder(world, shard) else { return };
    let Some(change) = draw(random, world.len(), fewest, holder, &view) else { return };
    world.change_replicas(holder, shard, change);
}

/// The node that holds a shard, and what it knows of it.
fn find_holder(world: &mut World, shard: ShardId) -> Option<(usize, ReplicaView)> {
    (0..world.len()).find_map(|node| {
        let views = world.replicas(node)?;
        let held = views.into_iter().find(|view| view.shard == shard && view.holds)?;
        Some((node, held))
    })
}

fn draw(
    random: &mut Random,
    nodes: usize,
    fewest: usize,
    holder: usize,
    view: &ReplicaView,
) -> Option<ReplicaChange> {
    if random.permille(100) {
        // Whatever comes to an operator's mind.
        let node = node_id(random.index(nodes));
        let mut changes = vec![ReplicaChange::AddLearner(node), ReplicaChange::Promote(node)];
        if view.voters.len() > fewest {
            changes.push(ReplicaChange::Remove(node));
        }
        return Some(random.pick(&changes));
    }
    let has = |node: &NodeId| view.voters.contains(node) || view.learners.contains(node);
    let spare: Vec<NodeId> = (0..nodes).map(node_id).filter(|node| !has(node)).collect();
    let leavers: Vec<NodeId> =
        view.voters.iter().copied().filter(|node| *node != node_id(holder)).collect();
    let mut changes = Vec::new();
    if !spare.is_empty() {
        changes.push(ReplicaChange::AddLearner(random.pick(&spare)));
    }
    if !view.learners.is_empty() {
        let learner = random.pick(&view.learners);
        let promote = ReplicaChange::Promote(learner);
        if view.voters.len() < VOTERS_MAX {
            changes.extend([promote, promote, promote]);
        }
        changes.push(ReplicaChange::Remove(learner));
    }
    if view.voters.len() > fewest && !leavers.is_empty() {
        changes.push(ReplicaChange::Remove(random.pick(&leavers)));
    }
    (!changes.is_empty()).then(|| random.pick(&changes))
}

impl World {
    /// An operator at the holder's machine changes a shard's replicas.
    pub(crate) fn change_replicas(
        &mut self,
        node: usize,
        shard: ShardId,
        change: ReplicaChange,
    ) -> Option<String> {
        let now = self.clock(node);
        let machine = &mut self.machines[node];
        if machine.paused {
            return None;
        }
        let result = machine.process.as_mut()?.node.change_replicas(now, shard, change);
        self.make_turn_due(node);
        let outcome = result.as_ref().err().map_or("begun", String::as_str);
        self.note(format_args!("n{} {shard} {change:?}: {outcome}", node + 1));
        result.err()
    }
}

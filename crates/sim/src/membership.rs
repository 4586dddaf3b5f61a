//! Changes of replicas in the middle of a run: the holder is told on which nodes they should be,
//! and works towards that. What is asked for need not be sensible: the core must refuse what would
//! harm, and bear the rest in the middle of any fault.

use cluster::{OrderOutcome, ReplicaView};
use types::{NodeId, ShardId};

use crate::random::Random;
use crate::world::World;

/// Most replicas that random changes give a shard.
const REPLICAS_MAX: u64 = 5;

/// Changes the replicas of some shard, or tries to. `fewest`: replicas that it must keep, by what
/// may happen to their disks. `staying`: nodes that new replicas may go to.
pub(crate) fn change_replicas(
    world: &mut World,
    random: &mut Random,
    shards: u64,
    (fewest, staying): (usize, &[NodeId]),
) {
    // The system shard's replicas move like any other's.
    let shard = ShardId(random.between(0, shards) as u32);
    let Some((holder, view)) = find_holder(world, shard) else { return };
    let goal = draw(random, staying, fewest, &view);
    world.order_replicas(holder, shard, &goal);
}

/// The node that holds a shard, and what it knows of it.
pub(crate) fn find_holder(world: &mut World, shard: ShardId) -> Option<(usize, ReplicaView)> {
    (0..world.len()).find_map(|node| {
        let views = world.replicas(node)?;
        let held = views.into_iter().find(|view| view.shard == shard && view.holds)?;
        Some((node, held))
    })
}

fn draw(random: &mut Random, nodes: &[NodeId], fewest: usize, view: &ReplicaView) -> Vec<NodeId> {
    let mut goal = view.voters.clone();
    let spare: Vec<NodeId> = nodes.iter().copied().filter(|node| !goal.contains(node)).collect();
    if !spare.is_empty() && random.permille(700) {
        goal.push(random.pick(&spare));
    }
    let most = random.between(fewest as u64, REPLICAS_MAX.max(fewest as u64)) as usize;
    while goal.len() > fewest && (goal.len() > most || random.permille(300)) {
        let leaver = random.index(goal.len());
        goal.remove(leaver);
    }
    goal
}

impl World {
    /// An operator at the holder's machine says where a shard's replicas should be.
    pub(crate) fn order_replicas(
        &mut self,
        node: usize,
        shard: ShardId,
        goal: &[NodeId],
    ) -> Option<OrderOutcome> {
        let now = self.clock(node);
        let machine = &mut self.machines[node];
        if machine.paused {
            return None;
        }
        let outcome = machine.process.as_mut()?.node.order_replicas(now, shard, goal);
        self.make_turn_due(node);
        self.note(format_args!("n{} {shard} replicas on {goal:?}: {outcome:?}", node + 1));
        Some(outcome)
    }
}

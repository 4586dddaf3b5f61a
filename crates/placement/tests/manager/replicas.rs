//! Where replicas go: repair, leaving, joining.

use crate::support::{Cluster, Shard};
use placement::{Action, Command, Decision, Duty, Locality, Outcome, Policy, Reason};
use types::{LeaseEpoch, NodeId, ShardId};

/// Six nodes in three zones; shards on nodes 1 to 3, one in each zone.
fn zones() -> Cluster {
    let mut cluster = Cluster::new(Policy::default(), 6, &[0.02; 12]);
    for node in 1..=6 {
        let zone = format!("zone-{}", node % 3);
        cluster.join(NodeId(node), Locality { zone, ..Locality::default() });
    }
    for shard in 0..12 {
        let home = [NodeId(1), NodeId(2), NodeId(3)];
        cluster.define(ShardId(shard), Some(home.to_vec()));
        let state = cluster.shards.get_mut(&ShardId(shard)).expect("a known shard");
        (state.holder, state.epoch) = (Some(home[shard as usize % 3]), 1);
    }
    cluster
}

fn copies(decisions: &[Decision]) -> Vec<&Decision> {
    let copy = |decision: &&Decision| matches!(decision.action, Action::Replica { .. });
    decisions.iter().filter(copy).collect()
}

/// Makes the replica that was decided on.
fn make(cluster: &mut Cluster, decision: &Decision) {
    let Action::Replica { from, to, .. } = decision.action else { return };
    let mut replicas = cluster.shards[&decision.shard].replicas.clone();
    replicas.retain(|node| Some(*node) != from);
    if !replicas.contains(&to) {
        replicas.push(to);
    }
    cluster.define(decision.shard, Some(replicas));
    let (now, epoch) = (cluster.now(), LeaseEpoch(cluster.shards[&decision.shard].epoch));
    let outcome = Outcome::Applied { epoch };
    cluster.manager.outcome(now, decision.id, outcome).expect("a known decision");
}

#[test]
fn the_replicas_of_a_dead_node_are_rebuilt_in_its_zone_a_few_at_a_time() {
    let mut cluster = zones();
    cluster.command(Command::Freeze(true));
    cluster.seconds(5);
    cluster.silent.push(NodeId(1));
    for shard in cluster.shards.values_mut().filter(|shard| shard.holder == Some(NodeId(1))) {
        (shard.holder, shard.epoch) = (Some(NodeId(2)), 2);
    }
    assert!(copies(&cluster.seconds(290)).is_empty());
    let mut repaired = 0;
    for _ in 0..60 {
        let decisions = cluster.second();
        let copies = copies(&decisions);
        assert!(copies.len() <= 2);
        for decision in copies {
            assert_eq!(decision.reason, Reason::Repair);
            // Node 4 is the other one in the zone of node 1.
            assert_eq!((decision.source(), decision.target()), (Some(NodeId(1)), Some(NodeId(4))));
            make(&mut cluster, decision);
            repaired += 1;
        }
    }
    assert_eq!(repaired, 12);
}

#[test]
fn a_leaving_node_ends_without_leases_and_replicas() {
    let mut cluster = zones();
    // So that nothing is copied just to spread it.
    cluster.command(Command::Freeze(true));
    cluster.seconds(5);
    cluster.command(Command::Duty(NodeId(3), Duty::Leaving));
    let refused = cluster.manager.command(cluster.now(), Command::Forget(NodeId(3)));
    assert!(refused.expect_err("it is used").to_string().contains("still has a replica"));
    for _ in 0..60 {
        for decision in copies(&cluster.second()) {
            make(&mut cluster, decision);
        }
    }
    assert!(cluster.shards.values().all(|shard| !shard.replicas.contains(&NodeId(3))));
    assert!(cluster.shards.values().all(|shard| shard.holder != Some(NodeId(3))));
    cluster.command(Command::Forget(NodeId(3)));
}

#[test]
fn a_replica_too_many_leaves_without_a_copy() {
    let mut cluster = Cluster::new(Policy::default(), 4, &[0.02; 2]);
    let all = [NodeId(1), NodeId(2), NodeId(3), NodeId(4)];
    for shard in 0..2 {
        cluster.define(ShardId(shard), Some(all.to_vec()));
        let state = cluster.shards.get_mut(&ShardId(shard)).expect("a known shard");
        (state.holder, state.epoch) = (Some(all[shard as usize]), 1);
    }
    cluster.seconds(5);
    // There is no node left that a copy could go to.
    cluster.command(Command::Duty(NodeId(4), Duty::Leaving));
    for _ in 0..60 {
        for decision in copies(&cluster.second()) {
            assert_eq!(decision.source(), Some(NodeId(4)));
            make(&mut cluster, decision);
        }
    }
    assert!(cluster.shards.values().all(|shard| shard.replicas == all[..3]));
}

#[test]
fn nodes_that_joined_get_replicas_and_then_leases() {
    let mut cluster = zones();
    // Nodes 4 to 6 have nothing yet.
    for _ in 0..120 {
        for decision in copies(&cluster.second()) {
            assert_eq!(decision.reason, Reason::Spread);
            make(&mut cluster, decision);
        }
    }
    for node in 1..=6 {
        let count = |shard: &&Shard| shard.replicas.contains(&NodeId(node));
        let count = cluster.shards.values().filter(count).count();
        assert!((5..=8).contains(&count), "n{node} has {count} replicas");
    }
}

#[test]
fn an_overfull_node_whose_leases_cannot_leave_gets_replicas_elsewhere() {
    // All three homes are full; the other three have as many replicas, but nothing to do.
    let loads: Vec<f64> = (0..48).map(|shard| if shard < 24 { 0.1 } else { 0.001 }).collect();
    let mut cluster = Cluster::new(Policy::default(), 6, &loads);
    for shard in 0..48 {
        let first = if shard < 24 { 1 } else { 4 };
        let home = [NodeId(first), NodeId(first + 1), NodeId(first + 2)];
        cluster.define(ShardId(shard), Some(home.to_vec()));
        let state = cluster.shards.get_mut(&ShardId(shard)).expect("a known shard");
        (state.holder, state.epoch) = (Some(home[shard as usize % 3]), 1);
    }
    // Leases first, data second: nothing is copied before the grace is over.
    assert!(copies(&cluster.seconds(100)).is_empty());
    let mut relieved = 0;
    for _ in 0..200 {
        for decision in copies(&cluster.second()) {
            assert_eq!(decision.reason, Reason::Relief);
            make(&mut cluster, decision);
            relieved += 1;
        }
    }
    assert!(relieved > 0);
    assert!(cluster.loads()[&NodeId(1)] < 0.75, "{:?}", cluster.loads());
}

#[test]
fn a_node_that_only_the_manager_does_not_hear_is_left_alone() {
    let mut cluster = zones();
    cluster.command(Command::Freeze(true));
    cluster.seconds(5);
    cluster.unheard.push(NodeId(1));
    assert_eq!(cluster.seconds(1_000), []);
    // Then it dies.
    cluster.silent.push(NodeId(1));
    for shard in cluster.shards.values_mut().filter(|shard| shard.holder == Some(NodeId(1))) {
        shard.holder = None;
    }
    let decisions = cluster.seconds(10);
    assert!(decisions.iter().any(|decision| decision.reason == Reason::HolderLost));
    assert!(decisions.iter().any(|decision| decision.reason == Reason::Repair));
}

//! Replicas that come and go: a learner is fed slot images, gets its vote, takes over the lease,
//! and an old voter leaves. Nothing written is lost, and the placement ends as ordered.
#![allow(missing_docs)]

mod support;

use cluster::ReplicaChange;
use support::World;
use types::{NodeId, ShardId};

const SHARD: ShardId = ShardId(1);

fn voters(world: &mut World, node: NodeId) -> Vec<NodeId> {
    let now = world.now;
    let replicas = world.node(node).replicas(now);
    replicas.into_iter().find(|replica| replica.shard == SHARD).expect("a replica").voters
}

fn change(world: &mut World, holder: NodeId, change: ReplicaChange) -> Result<(), String> {
    let now = world.now;
    let result = world.node(holder).change_replicas(now, SHARD, change);
    world.advance(500);
    result
}

#[test]
fn a_replica_moves_to_another_node_and_takes_the_lease() {
    let mut world = World::new(4, 4);
    world.advance(2000);
    let (holder, newcomer, leaver) = (NodeId(1), NodeId(4), NodeId(2));
    assert_eq!(voters(&mut world, holder), [NodeId(1), NodeId(2), NodeId(3)]);
    let client = world.connect(holder);
    // Keys of the shard's slots: with four shards, the first has slots 0 to 4095.
    let keys: Vec<String> = (0..400)
        .map(|n| format!("key:{n}"))
        .filter(|key| resp::slot_of(key.as_bytes()).number() < 4096)
        .collect();
    for key in &keys {
        assert_eq!(world.ask(holder, client, &format!("SET {key} before")), "+OK\r\n");
    }

    let early = change(&mut world, holder, ReplicaChange::Promote(newcomer));
    assert!(early.expect_err("nothing to promote").contains("not caught up"));
    assert_eq!(change(&mut world, holder, ReplicaChange::AddLearner(newcomer)), Ok(()));
    assert_eq!(voters(&mut world, holder), [NodeId(1), NodeId(2), NodeId(3)]);
    assert_eq!(change(&mut world, holder, ReplicaChange::Promote(newcomer)), Ok(()));
    assert_eq!(change(&mut world, holder, ReplicaChange::Remove(leaver)), Ok(()));
    assert_eq!(voters(&mut world, holder), [NodeId(1), NodeId(3), NodeId(4)]);
    for slot in types::SlotRange::ALL.iter().take(4096) {
        let (old, new) = (world.node(holder).digest(slot), world.node(newcomer).digest(slot));
        assert_eq!(old, new, "slot {slot}");
    }

    let own = change(&mut world, holder, ReplicaChange::Remove(holder));
    assert!(own.expect_err("the holder stays").contains("move the lease"));
    assert_eq!(world.ask(holder, client, "LEASEHOLD TRANSFER 1 4"), "+OK\r\n");
    world.advance(200);
    let now = world.now;
    assert!(world.node(newcomer).replicas(now).iter().any(|r| r.shard == SHARD && r.holds));
    for key in &keys {
        let reply = world.ask(holder, client, &format!("GET {key}"));
        assert_eq!(reply, "$6\r\nbefore\r\n", "{key}");
    }
    // The node that left serves by forwarding.
    let other = world.connect(leaver);
    assert_eq!(world.ask(leaver, other, &format!("GET {}", keys[0])), "$6\r\nbefore\r\n");
}

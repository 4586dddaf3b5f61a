//! Replicas that come and go: a learner is fed slot images, gets its vote, takes over the lease,
//! and an old voter leaves. Nothing written is lost, and the placement ends as ordered.
#![allow(missing_docs)]

mod support;

use cluster::{Input, OrderOutcome};
use support::World;
use types::{NodeId, ShardId};

const SHARD: ShardId = ShardId(1);

fn voters(world: &mut World, node: NodeId) -> Vec<NodeId> {
    let now = world.now;
    let replicas = world.node(node).replicas(now);
    replicas.into_iter().find(|replica| replica.shard == SHARD).expect("a replica").voters
}

fn holder(world: &mut World, shard: ShardId) -> Option<NodeId> {
    let now = world.now;
    let holds = |node: &mut cluster::Node| {
        let replicas = node.replicas(now);
        replicas.iter().any(|replica| replica.shard == shard && replica.holds)
    };
    let at = world.nodes.iter_mut().position(holds)?;
    Some(NodeId(at as u32 + 1))
}

fn place(world: &mut World, holder: NodeId, goal: &[u32]) -> OrderOutcome {
    let now = world.now;
    let goal: Vec<NodeId> = goal.iter().copied().map(NodeId).collect();
    let outcome = world.node(holder).order_replicas(now, SHARD, &goal);
    world.advance(2000);
    outcome
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

    // The Lease Manager would find it unfair and even the replicas out again.
    assert_eq!(world.ask(holder, client, "LEASEHOLD FREEZE ON"), "+OK\r\n");
    assert_eq!(place(&mut world, holder, &[1, 3, 4]), OrderOutcome::Begun);
    assert_eq!(voters(&mut world, holder), [NodeId(1), NodeId(3), NodeId(4)]);
    for slot in types::SlotRange::ALL.iter().take(4096) {
        let (old, new) = (world.node(holder).digest(slot), world.node(newcomer).digest(slot));
        assert_eq!(old, new, "slot {slot}");
    }

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

#[test]
fn a_holder_that_must_leave_hands_its_lease_over_first() {
    let mut world = World::new(4, 4);
    world.advance(2000);
    let client = world.connect(NodeId(1));
    assert_eq!(world.ask(NodeId(1), client, "LEASEHOLD FREEZE ON"), "+OK\r\n");
    assert_eq!(place(&mut world, NodeId(1), &[2, 3, 4]), OrderOutcome::Begun);
    assert_eq!(voters(&mut world, NodeId(2)), [NodeId(2), NodeId(3), NodeId(4)]);
    let now = world.now;
    let holders = (2..=4).filter(|node| {
        let replicas = world.node(NodeId(*node)).replicas(now);
        replicas.iter().any(|replica| replica.shard == SHARD && replica.holds)
    });
    assert_eq!(holders.count(), 1);
}

#[test]
fn goals_that_make_no_sense_are_refused() {
    let mut world = World::new(3, 4);
    world.advance(2000);
    for (goal, reason) in [
        (&[][..], "1 to 7 replicas"),
        (&[1, 1], "named twice"),
        (&[1, 2, 9], "can't be given"),
        (&[1, 2, 3, 4, 5, 6, 7, 8], "1 to 7 replicas"),
    ] {
        match place(&mut world, NodeId(1), goal) {
            OrderOutcome::Refused(text) => assert!(text.contains(reason), "{goal:?}: {text}"),
            OrderOutcome::Begun | OrderOutcome::Stale(_) => panic!("{goal:?} was accepted"),
        }
    }
    assert!(matches!(place(&mut world, NodeId(2), &[2, 3]), OrderOutcome::Refused(_)));
    assert_eq!(voters(&mut world, NodeId(1)), [NodeId(1), NodeId(2), NodeId(3)]);
}

#[test]
fn a_shard_on_its_way_to_fewer_replicas_elsewhere_keeps_three_votes() {
    let mut world = World::new(5, 5);
    world.advance(2000);
    let client = world.connect(NodeId(1));
    assert_eq!(world.ask(NodeId(1), client, "LEASEHOLD FREEZE ON"), "+OK\r\n");
    assert_eq!(world.ask(NodeId(1), client, "LEASEHOLD POLICY SET replicas 2"), "+OK\r\n");
    let now = world.now;
    let goal = [NodeId(4), NodeId(5)];
    let outcome = world.node(NodeId(1)).order_replicas(now, SHARD, &goal);
    assert_eq!(outcome, OrderOutcome::Begun);
    let mut last = Vec::new();
    for _ in 0..500 {
        world.advance(10);
        let now = world.now;
        let mut replicas = (1..=5).flat_map(|node| world.node(NodeId(node)).replicas(now));
        let holders = replicas.find(|replica| replica.shard == SHARD && replica.holds);
        let Some(holder) = holders else { continue };
        last = holder.voters;
        let all_are_there = goal.iter().all(|node| last.contains(node));
        assert!(last.len() >= 3 || all_are_there, "{last:?}");
    }
    assert_eq!(last, goal);
}

#[test]
fn the_managers_own_node_is_drained_and_whoever_asked_is_answered_first() {
    let mut world = World::new(3, 4);
    world.advance(2000);
    let first = holder(&mut world, ShardId::SYSTEM).expect("a manager");
    let client = world.connect(first);
    assert_eq!(world.ask(first, client, &format!("LEASEHOLD DRAIN {first}")), "+OK\r\n");
    world.advance(1000);
    let next = holder(&mut world, ShardId::SYSTEM).expect("another manager");
    assert_ne!(next, first);
    let now = world.now;
    assert!(world.node(first).replicas(now).iter().all(|replica| !replica.holds));
}

#[test]
fn a_node_that_stops_offers_its_leases_to_nodes_that_it_can_reach() {
    let mut world = World::new(3, 1);
    world.advance(2000);
    assert_eq!(holder(&mut world, SHARD), Some(NodeId(1)));
    let now = world.now;
    world.node(NodeId(1)).step(now, Input::Stop);
    world.advance(10);
    // The first heir's process has ended a moment ago: its promises still count, and so it does.
    let now = world.now;
    world.node(NodeId(1)).step(now, Input::PeerDown { peer: NodeId(2) });
    world.node(NodeId(1)).step(now, Input::PeerUp { peer: NodeId(2) });
    world.advance(10);
    assert_eq!(holder(&mut world, SHARD), Some(NodeId(3)));
}

//! Who is sent MOVED, and when: clients that know the topology, seldom, so that a moving lease costs
//! them little; and before a node ends, so that they leave it in time.
#![allow(missing_docs)]

mod support;

use cluster::Input;
use support::World;
use types::{NodeId, SessionId};

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const KEYS: usize = 64;

/// Three nodes, and a client at the first that asks for keys all over the slots.
fn world() -> (World, SessionId) {
    let mut world = World::new(3, 16);
    world.advance(2000);
    let client = world.connect(NODES[0]);
    (world, client)
}

/// How many of the keys' reads `node` answers with MOVED.
fn moved(world: &mut World, node: NodeId, client: SessionId) -> usize {
    let keys = 0..KEYS;
    let replies: Vec<String> =
        keys.map(|key| world.ask(node, client, &format!("GET key:{key}"))).collect();
    let is_moved = |reply: &&String| reply.starts_with("-MOVED ");
    let (moved, others) = (replies.iter().filter(is_moved).count(), replies.iter());
    assert!(others.filter(|it| !is_moved(it)).all(|reply| reply == "$-1\r\n"), "{replies:?}");
    moved
}

fn holds_something(world: &mut World, node: NodeId) -> bool {
    let now = world.now;
    world.node(node).replicas(now).iter().any(|replica| replica.holds)
}

#[test]
fn a_client_that_knows_the_topology_is_sent_moved_once_a_minute_and_others_never() {
    let (mut world, client) = world();
    let other = world.connect(NODES[0]);
    world.ask(NODES[0], client, "CLUSTER SLOTS");
    assert_eq!(moved(&mut world, NODES[0], client), 0, "leases are too new");
    world.advance(30_000);
    assert_eq!(moved(&mut world, NODES[0], client), 1);
    world.advance(30_000);
    assert_eq!(moved(&mut world, NODES[0], client), 0);
    world.advance(30_000);
    assert_eq!(moved(&mut world, NODES[0], client), 1);
    assert_eq!(moved(&mut world, NODES[0], other), 0);
}

#[test]
fn a_node_that_ends_sends_clients_away_that_know_where_to_go() {
    let (mut world, plain) = world();
    let [asker, sibling] = [0; 2].map(|_| world.connect(NODES[0]));
    for session in [asker, sibling] {
        let introduction = "CLIENT SETINFO LIB-NAME some-library";
        assert_eq!(world.ask(NODES[0], session, introduction), "+OK\r\n");
    }
    world.ask(NODES[0], asker, "CLUSTER SLOTS");
    assert!(holds_something(&mut world, NODES[0]));
    let now = world.now;
    world.node(NODES[0]).step(now, Input::Stop);
    world.advance(100);
    assert!(!holds_something(&mut world, NODES[0]));

    assert_eq!(moved(&mut world, NODES[0], asker), KEYS);
    assert_eq!(moved(&mut world, NODES[0], sibling), KEYS, "another connection of such a client");
    assert_eq!(moved(&mut world, NODES[0], plain), 0);
}

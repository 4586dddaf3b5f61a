//! Who is sent MOVED, and when: clients that know the topology, seldom, so that a moving lease costs
//! them little; and before a node ends, so that they leave it in time.
#![allow(missing_docs)]

mod support;

use cluster::Input;
use support::World;
use types::{NodeId, SessionId, ShardId};

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

/// Libraries learn the topology on one connection and ask on many: what such a connection asks of a
/// node is what the node holds.
#[test]
fn another_connection_of_such_a_client_is_sent_moved_if_it_knows_its_way() {
    let (mut world, operator) = world();
    let node = NODES[0];
    let [asker, sibling, stranger] = [0; 3].map(|_| world.connect(node));
    for session in [asker, sibling] {
        let introduction = "CLIENT SETINFO LIB-NAME some-library";
        assert_eq!(world.ask(node, session, introduction), "+OK\r\n");
    }
    world.ask(node, asker, "CLUSTER SLOTS");
    world.advance(60_000);
    let now = world.now;
    let mut held = world.node(node).replicas(now);
    held.retain(|it| it.holds && it.shard != ShardId::SYSTEM);
    let of = |key: &str| {
        let slot = resp::slot_of(key.as_bytes());
        held.iter().find(|it| it.range.contains(slot)).map(|it| it.shard)
    };
    let keys = || (0..).map(|number| format!("key:{number}"));
    let get = |world: &mut World, session, key: &str| {
        let reply = world.ask(node, session, &format!("GET {key}"));
        assert!(reply == "$-1\r\n" || reply.starts_with("-MOVED "), "{reply}");
        reply != "$-1\r\n"
    };
    for session in [sibling, stranger] {
        for key in keys().filter(|key| of(key).is_some()).take(100) {
            assert!(!get(&mut world, session, &key));
        }
    }
    let elsewhere = keys().find(|key| of(key).is_none()).expect("there is one");
    assert!(get(&mut world, sibling, &elsewhere), "it can only be an old picture");
    world.advance(60_000);

    let key = keys().find(|key| of(key).is_some()).expect("there is one");
    let shard = of(&key).expect("it is held").0;
    assert_eq!(world.ask(node, operator, &format!("LEASEHOLD TRANSFER {shard} 2")), "+OK\r\n");
    world.advance(29_000);
    assert!(!get(&mut world, sibling, &key), "too soon");
    world.advance(2_000);
    assert!(get(&mut world, sibling, &key));
    assert!(!get(&mut world, sibling, &key), "once a minute");
    assert!(!get(&mut world, stranger, &key), "a client without a topology");
}

/// A connection that asks for keys of all nodes is a plain client's, whoever else is on its host.
#[test]
fn a_plain_client_beside_such_a_client_is_never_sent_moved() {
    let (mut world, asker) = world();
    let plain = world.connect(NODES[0]);
    for session in [asker, plain] {
        let introduction = "CLIENT SETINFO LIB-NAME some-library";
        assert_eq!(world.ask(NODES[0], session, introduction), "+OK\r\n");
    }
    world.ask(NODES[0], asker, "CLUSTER SLOTS");
    world.advance(60_000);
    for _ in 0..10 {
        assert_eq!(moved(&mut world, NODES[0], plain), 0);
        world.advance(60_000);
    }
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

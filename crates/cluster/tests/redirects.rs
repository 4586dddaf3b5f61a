//! Who is sent MOVED, and when: clients that know the topology, seldom, so that a moving lease
//! costs them little; and before a node ends, so that they leave it in time.
#![allow(missing_docs)]

mod support;

use cluster::Input;
use support::World;
use types::{NodeId, SessionId, ShardId};

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const HERE: NodeId = NODES[0];
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
    let mut ask = |key| {
        // Each has heard the answer before it asks again.
        world.advance(200);
        world.ask(node, client, &format!("GET key:{key}"))
    };
    let replies: Vec<String> = (0..KEYS).map(&mut ask).collect();
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

/// A connection of a client whose library, on this host, has asked for the topology on another one.
fn sibling(world: &mut World) -> SessionId {
    let [asker, sibling] = [0; 2].map(|_| world.connect(HERE));
    for session in [asker, sibling] {
        let introduction = "CLIENT SETINFO LIB-NAME some-library";
        assert_eq!(world.ask(HERE, session, introduction), "+OK\r\n");
    }
    world.ask(HERE, asker, "CLUSTER SLOTS");
    sibling
}

/// The keys of the shards that the first node holds now, and those of the others.
fn keys(world: &mut World) -> (Vec<String>, Vec<String>) {
    let now = world.now;
    let mut held = world.node(HERE).replicas(now);
    held.retain(|it| it.holds && it.shard != ShardId::SYSTEM);
    let keys = (0..400).map(|number| format!("key:{number}"));
    keys.partition(|key| held.iter().any(|it| it.range.contains(resp::slot_of(key.as_bytes()))))
}

/// Whether a read is answered with MOVED.
fn is_sent_away(world: &mut World, session: SessionId, key: &str) -> bool {
    let reply = world.ask(HERE, session, &format!("GET {key}"));
    assert!(reply == "$-1\r\n" || reply.starts_with("-MOVED "), "{reply}");
    reply != "$-1\r\n"
}

fn transfer(world: &mut World, key: &str, to: u32) {
    let operator = world.connect(HERE);
    let now = world.now;
    let slot = resp::slot_of(key.as_bytes());
    let all = world.node(HERE).replicas(now);
    let of = all.iter().find(|it| it.shard != ShardId::SYSTEM && it.range.contains(slot));
    let request = format!("LEASEHOLD TRANSFER {} {to}", of.expect("a replica").shard.0);
    assert_eq!(world.ask(HERE, operator, &request), "+OK\r\n");
    world.advance(100);
}

/// Libraries learn the topology on one connection and ask on many: what such a connection asks of a
/// node is what the node holds.
#[test]
fn another_connection_of_such_a_client_is_sent_moved_if_it_knows_its_way() {
    let (mut world, _) = world();
    let (sibling, stranger) = (sibling(&mut world), world.connect(HERE));
    let (here, _) = keys(&mut world);
    for session in [sibling, stranger] {
        here.iter().for_each(|key| assert!(!is_sent_away(&mut world, session, key)));
    }
    // It asks for the topology only when something moves, however long that takes.
    world.advance(700_000);
    transfer(&mut world, &here[0], 2);
    world.advance(29_000);
    assert!(!is_sent_away(&mut world, sibling, &here[0]), "too soon");
    world.advance(1_000);
    assert!(is_sent_away(&mut world, sibling, &here[0]));
    world.advance(5_000);
    assert!(!is_sent_away(&mut world, sibling, &here[0]), "once a minute");
    assert!(!is_sent_away(&mut world, stranger, &here[0]), "a client without a topology");
    // Asked again, it does not follow, whatever it is.
    world.advance(60_000);
    assert!(!is_sent_away(&mut world, sibling, &here[0]));
}

/// A connection that asks for keys of all nodes is a plain client's, whoever else is on its host.
#[test]
fn a_plain_client_beside_such_a_client_is_never_sent_moved() {
    let (mut world, _) = world();
    // From the beginning, when all leases are young.
    let plain = sibling(&mut world);
    for _ in 0..10 {
        assert_eq!(moved(&mut world, HERE, plain), 0);
        world.advance(20_000);
    }
}

/// Where one node holds all, a client that knows nothing asks for nothing else.
#[test]
fn a_plain_client_of_a_node_that_has_held_everything_is_never_sent_moved() {
    let (mut world, _) = world();
    let (_, elsewhere) = keys(&mut world);
    for key in &elsewhere {
        let (here, _) = keys(&mut world);
        if !here.contains(key) {
            transfer(&mut world, key, 1);
        }
    }
    let plain = sibling(&mut world);
    let (here, elsewhere) = keys(&mut world);
    assert_eq!(elsewhere, Vec::<String>::new());
    here.iter().for_each(|key| assert!(!is_sent_away(&mut world, plain, key)));
    transfer(&mut world, &here[0], 2);
    world.advance(40_000);
    assert!(!is_sent_away(&mut world, plain, &here[0]));
}

/// What a client has sent behind a request that is sent away is sent away as well: it must not take
/// effect before that does.
#[test]
fn moved_does_not_change_the_order_of_a_pipeline() {
    let (mut world, client) = world();
    world.ask(HERE, client, "CLUSTER SLOTS");
    world.advance(30_000);
    let (_, elsewhere) = keys(&mut world);
    let now = world.now;
    let (key, other) = (&elsewhere[0], &elsewhere[1]);
    for request in [["SET", key, "1"], ["SET", other, "1"], ["SET", key, "2"]] {
        let args: Vec<&[u8]> = request.iter().map(|word| word.as_bytes()).collect();
        world.node(HERE).request(now, client, &args);
    }
    world.run();
    let mut replies = Vec::new();
    world.node(HERE).take_replies(client, &mut replies);
    let replies = String::from_utf8(replies).expect("text");
    let begin: Vec<&str> = replies.lines().map(|line| &line[..3]).collect();
    assert_eq!(begin, ["-MO", "+OK", "-MO"], "{replies}");
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

/// What a node passes on for shards that have just left it is told apart in its report, until its
/// clients must have heard.
#[test]
fn what_is_passed_on_after_a_move_is_reported_as_late_for_a_while() {
    let (mut world, plain) = world();
    let (here, elsewhere) = keys(&mut world);
    let late = |world: &mut World, key: &str| {
        for _ in 0..1000 {
            world.ask(HERE, plain, &format!("GET {key}"));
        }
        world.advance(1_000);
        let status = world.ask(HERE, plain, "LEASEHOLD STATUS");
        let (_, rest) = status.split_once("\"late\":").expect("node 1 is the first");
        let number = rest.split(',').next().expect("more follows");
        number.trim().parse::<f64>().expect("a number")
    };
    assert_eq!(late(&mut world, &elsewhere[0]), 0.0, "it was never here");
    transfer(&mut world, &here[0], 2);
    let is_late = |share: f64| (0.003..0.02).contains(&share);
    assert!(is_late(late(&mut world, &here[0])));
    world.advance(90_000);
    assert_eq!(late(&mut world, &here[0]), 0.0, "who has not heard by now will not");
}

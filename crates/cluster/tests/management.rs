//! What operators tell the Lease Manager: all of a command or nothing, and nothing is written that
//! changes nothing.

mod support;

use support::World;
use types::{NodeId, SessionId, ShardId};

const NODE: NodeId = NodeId(1);

fn world() -> (World, SessionId) {
    let mut world = World::new(3, 4);
    world.advance(3000);
    let client = world.connect(NODE);
    (world, client)
}

/// Entries of the system shard, where the manager writes what it must remember.
fn entries(world: &mut World) -> u64 {
    let now = world.now;
    let replicas = world.node(NODE).replicas(now);
    let system = replicas.iter().find(|replica| replica.shard == ShardId::SYSTEM);
    system.expect("every one of three nodes has it").last_index.0
}

/// The value of a setting.
fn setting(world: &mut World, client: SessionId, name: &str) -> String {
    let text = world.ask(NODE, client, "LEASEHOLD POLICY");
    let at = text.find(&format!("\"name\":\"{name}\"")).expect("a setting");
    let (_, rest) = text[at..].split_once("\"value\":").expect("it has a value");
    rest.chars().take_while(|sign| !matches!(sign, ',' | '}')).collect()
}

#[test]
fn orders_that_change_nothing_write_nothing() {
    let (mut world, client) = world();
    for (order, again) in [
        ("LEASEHOLD FREEZE ON", true),
        ("LEASEHOLD FREEZE OFF", true),
        ("LEASEHOLD PIN 2 NODE 3", true),
        ("LEASEHOLD PIN 2 NODE 1", true),
        ("LEASEHOLD UNPIN 2", true),
        ("LEASEHOLD DRAIN 2 ON", true),
        ("LEASEHOLD DRAIN 2 OFF", true),
        ("LEASEHOLD POLICY SET band 0.07", true),
        ("LEASEHOLD POLICY SET band 0.05 cool_down 60", true),
        ("LEASEHOLD JOIN 1=127.0.0.1:7000:17000", false),
    ] {
        let before = entries(&mut world);
        assert_eq!(world.ask(NODE, client, order), "+OK\r\n", "{order}");
        assert_eq!(entries(&mut world), before + u64::from(again), "{order}");
        let before = entries(&mut world);
        assert_eq!(world.ask(NODE, client, order), "+OK\r\n", "{order}, again");
        assert_eq!(entries(&mut world), before, "{order}, again");
    }
}

/// The same order comes again while the first is on its way: it may still be lost, so both wait.
#[test]
fn an_order_that_is_on_its_way_is_waited_for() {
    let (mut world, first) = world();
    let second = world.connect(NODE);
    let now = world.now;
    let before = entries(&mut world);
    for client in [first, second] {
        world.node(NODE).request(now, client, &[b"LEASEHOLD", b"FREEZE", b"ON"]);
        let mut reply = Vec::new();
        world.node(NODE).take_replies(client, &mut reply);
        assert!(reply.is_empty(), "answered before it is on disk");
    }
    world.run();
    for client in [first, second] {
        let mut reply = Vec::new();
        world.node(NODE).take_replies(client, &mut reply);
        assert_eq!(reply, b"+OK\r\n");
    }
    assert_eq!(entries(&mut world), before + 1);
}

#[test]
fn settings_are_changed_together_or_not_at_all() {
    let (mut world, client) = world();
    // Either of them alone would contradict the other's default.
    let both = "LEASEHOLD POLICY SET fast 60 slow 90";
    assert!(world.ask(NODE, client, "LEASEHOLD POLICY SET fast 60").starts_with("-ERR"));
    assert_eq!(world.ask(NODE, client, both), "+OK\r\n");
    assert_eq!(setting(&mut world, client, "slow"), "90");
    let before = entries(&mut world);
    for (wrong, reason) in [
        ("band 0.1 bnad 0.1", "there is no setting `bnad`"),
        ("band 0.1 calm 7", "between 0 and 1"),
        ("band 0.1 confirmations 2.5", "whole number"),
        ("band 0.1 calm", "'calm' is given no value"),
        ("band 0.1 calm x", "'x' is no number"),
        ("band 0.1 band 0.2", "'band' is given twice"),
        ("band 0.1 slow 59", "`fast` must not be longer than `slow`"),
        ("band 0.1 calm NaN", "between 0 and 1"),
    ] {
        let reply = world.ask(NODE, client, &format!("LEASEHOLD POLICY SET {wrong}"));
        assert!(reply.starts_with("-ERR") && reply.contains(reason), "{wrong}: {reply}");
    }
    assert!(world.ask(NODE, client, "LEASEHOLD POLICY SET").starts_with("-ERR"));
    assert_eq!(entries(&mut world), before);
    assert_eq!(setting(&mut world, client, "band"), "0.05");
}

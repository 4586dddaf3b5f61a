//! Faults while clients read and write. Every history must be linearizable and must have lost
//! nothing that was acknowledged; what clients saw of the fault is printed.

use std::time::{Duration, Instant};

use resp::Value;

use crate::support::{
    Client, Cluster, Judged, Load, PATIENCE, Plan, bulk, let_pass, ok, wait_until,
};

/// Longer than a promise of support, so that a node that stood still has lost its leases.
const LONGER_THAN_A_LEASE: Duration = Duration::from_millis(2500);

/// Load at all nodes that gives up on a silent connection soon, as impatient clients do.
fn load(cluster: &Cluster, seconds: u64) -> Load {
    let time = Duration::from_secs(seconds);
    Load::start(cluster.addresses(), cluster.directory(), time, |options| {
        options.timeout = Duration::from_secs(3);
    })
}

fn report(fault: &str, judged: &Judged) {
    println!("{fault}: {judged}");
}

#[test]
fn a_killed_holder_is_replaced_and_comes_back() {
    let mut cluster = Plan::of(3).start();
    let load = load(&cluster, 8);
    let_pass(Duration::from_secs(1));
    cluster[1].kill();
    cluster.wait_for_holders();
    let_pass(Duration::from_secs(1));
    cluster.start_all();
    cluster[2].kill();
    cluster.wait_for_holders();
    cluster.start_all();
    report("kill -9 of one node, then of another", &load.finish());
}

#[test]
fn writes_are_acknowledged_again_soon_after_a_holder_is_killed() {
    let mut cluster = Plan::of(3).with("shards", "3").with("park_time", "30s").start();
    let mut gaps = Vec::new();
    for victim in [1, 2, 3] {
        let shard = cluster.holders().into_iter().find(|(_, holder)| *holder == Some(victim));
        let (shard, _) = shard.unwrap_or_else(|| panic!("node {victim} holds nothing"));
        // Three shards cut the slots into three equal ranges; these keys lie one in each.
        let key = ["{b}1", "{c}1", "{foo}1"]
            .into_iter()
            .find(|key| shard_of(&cluster, key) == shard)
            .expect("one of the keys lies in the shard");
        let mut client = cluster.client(victim % 3 + 1);
        assert_eq!(client.ask(&format!("SET {key} before")), ok());
        cluster[victim].kill();
        let killed = Instant::now();
        write(&mut client, &format!("SET {key} after"));
        gaps.push(killed.elapsed());
        cluster.start_all();
        // The victim must have something to lose the next time, too.
        transfer(&mut client, shard, victim);
        assert_eq!(client.ask(&format!("GET {key}")), bulk("after"));
    }
    println!("kill -9 to the next acknowledged write of the shard: {gaps:?}");
}

/// Writes until it is acknowledged. What was forwarded to a node that then fell silent may or may
/// not have been done, and the client is told so.
fn write(client: &mut Client, request: &str) {
    wait_until("the write is acknowledged", || {
        let reply = client.ask(request);
        let uncertain = matches!(&reply, Value::Error(text) if text.starts_with("UNCERTAIN "));
        assert!(uncertain || reply == ok(), "{request}: {reply:?}");
        !uncertain
    });
}

/// Moves a lease to a node that has just come back: its peers must have noticed first.
fn transfer(client: &mut Client, shard: u32, target: u32) {
    wait_until("the lease can be moved", || {
        client.ask(&format!("LEASEHOLD TRANSFER {shard} {target}")) == ok()
    });
}

/// The shard of a key, by its slot.
fn shard_of(cluster: &Cluster, key: &str) -> u32 {
    let Value::Integer(slot) = cluster.client(1).ask(&format!("CLUSTER KEYSLOT {key}")) else {
        // The node may be the one that is down; then another one knows.
        panic!("no slot of {key}")
    };
    u32::try_from(slot * 3 / 16384 + 1).expect("slots are small")
}

#[test]
fn a_holder_that_stood_still_serves_nothing_old() {
    let mut cluster = Plan::of(3).with("park_time", "30s").start();
    for round in 0..2 {
        let mut writer = cluster.client(2);
        let mut early = cluster.client(1);
        let mut late = cluster.client(1);
        for key in 0..60 {
            assert_eq!(writer.ask(&format!("SET key:{key} old{round}")), ok());
            assert_eq!(early.ask(&format!("GET key:{key}")), bulk(&format!("old{round}")));
        }
        cluster[1].pause();
        for key in 0..60 {
            write(&mut writer, &format!("SET key:{key} new{round}"));
        }
        // These wait in the sockets of a node that believes itself to hold its shards.
        for key in 0..60 {
            early.send(&format!("GET key:{key}"));
        }
        cluster[1].resume();
        for key in 0..60 {
            late.send(&format!("GET key:{key}"));
        }
        for key in 0..60 {
            let new = bulk(&format!("new{round}"));
            assert_eq!(early.receive(), new, "key:{key} was read before the node went on");
            assert_eq!(late.receive(), new, "key:{key} was read after the node went on");
        }
        cluster.wait_for_holders();
        for shard in 1..=16 {
            transfer(&mut writer, shard, 1);
        }
    }
}

#[test]
fn nodes_that_stand_still_in_turn_lose_nothing() {
    let mut cluster = Plan::of(3).start();
    let load = load(&cluster, 9);
    for number in 1..=2 {
        cluster[number].pause();
        let_pass(LONGER_THAN_A_LEASE);
        cluster[number].resume();
        cluster.wait_for_holders();
    }
    report("SIGSTOP of two nodes in turn, each longer than a lease", &load.finish());
}

#[test]
fn two_of_three_nodes_killed_stop_the_cluster_and_lose_nothing() {
    let mut cluster = Plan::of(3).start();
    let load = load(&cluster, 8);
    let_pass(Duration::from_secs(1));
    cluster[1].kill();
    cluster[3].kill();
    let mut client = cluster.client(2);
    wait_until("writes are refused without a majority", || {
        matches!(client.ask("SET anything x"), Value::Error(_))
    });
    cluster.start_all();
    report("kill -9 of two nodes of three, then restart", &load.finish());
}

#[test]
fn nodes_stopped_in_turn_fail_no_request_at_the_others() {
    let mut cluster = Plan::of(3).steady().start();
    for number in 1..=3 {
        let others = cluster.addresses_without(number);
        let time = Duration::from_secs(4);
        let load = Load::start(others, cluster.directory(), time, |options| {
            options.timeout = PATIENCE;
        });
        let_pass(Duration::from_millis(500));
        let status = cluster[number].stop();
        assert!(status.success(), "node {number}: {status}");
        cluster.wait_until_without_leases(number);
        cluster.start_all();
        let judged = load.finish();
        report(&format!("SIGTERM of node {number}, then restart"), &judged);
        judged.assert_no_error();
    }
}

#[test]
fn clients_of_a_node_that_stops_get_every_answer_they_were_owed() {
    let mut cluster = Plan::of(3).patient().start();
    let mut client = cluster.client(1);
    for number in 0..2000 {
        client.send(&format!("SET owed:{number} {number}"));
    }
    let status = cluster[1].stop();
    assert!(status.success(), "{status}");
    let replies = client.replies_until_closed();
    let mut other = cluster.client(2);
    for (number, reply) in replies.iter().enumerate() {
        assert_eq!(*reply, ok(), "request {number}");
        assert_eq!(other.ask(&format!("GET owed:{number}")), bulk(&number.to_string()));
    }
    println!("a stopping node answered {} of 2000 requests that were in its socket", replies.len());
}

//! The Lease Manager in clusters of real processes: what operators order, what it does by itself,
//! and what clients notice of it, which is nothing. Histories and states are judged.

use std::fs::{self, File};
use std::time::Duration;

use crate::support::{
    Cluster, Judged, Load, PATIENCE, Plan, Status, bulk, let_pass, ok, wait_until,
};

/// Load at these nodes that waits as long as it must.
fn load(cluster: &Cluster, without: u32, seconds: u64) -> Load {
    let addresses = cluster.addresses_without(without);
    let time = Duration::from_secs(seconds);
    Load::start(addresses, cluster.directory(), time, |options| options.timeout = PATIENCE)
}

fn report(what: &str, judged: &Judged) {
    println!("{what}: {judged}");
}

/// So that a test need not wait for what is a matter of minutes in real clusters.
fn set_policy(cluster: &Cluster, settings: &[(&str, &str)]) {
    for (name, value) in settings {
        cluster.order(1, &format!("LEASEHOLD POLICY SET {name} {value}"));
    }
}

/// Writes a key for each of many slots; [`read_all`] must find them.
fn write_all(cluster: &Cluster, number: u32, value: &str) {
    let mut client = cluster.client(number);
    for key in 0..200 {
        assert_eq!(client.ask(&format!("SET kept:{key} {value}")), ok());
    }
}

fn read_all(cluster: &Cluster, number: u32, value: &str) {
    let mut client = cluster.client(number);
    for key in 0..200 {
        assert_eq!(client.ask(&format!("GET kept:{key}")), bulk(value), "kept:{key}");
    }
}

#[test]
fn a_drained_node_gives_all_its_leases_away_and_no_client_notices() {
    let cluster = Plan::of(3).steady().with("shards", "60").start();
    let load = load(&cluster, 0, 6);
    // A third of them, or another part if a node was late for the first elections.
    let leases = |status: &Status| (1..=3).map(|node| status.count(node, "leases")).sum::<u32>();
    let status = cluster.wait_for_status("all are held", |status| leases(status) == 60);
    // One of them may have been so late that it has none.
    let with_most = (2..=3).max_by_key(|node| status.count(*node, "leases"));
    let node = with_most.expect("there are two");
    let held = status.count(node, "leases");
    assert!(held > 0);
    cluster.order(1, &format!("LEASEHOLD DRAIN {node}"));
    cluster.wait_for_status("it is drained", |status| {
        status.duty(node) == "drained" && status.count(node, "leases") == 0
    });
    cluster.wait_until_without_leases(node);
    println!("the load outlives the drain: {}", load.is_running());
    // It stays without leases for as long as it is drained.
    let_pass(Duration::from_millis(1500));
    cluster.wait_until_without_leases(node);
    cluster.order(5 - node, &format!("LEASEHOLD DRAIN {node} OFF"));
    cluster.wait_for_status("it is as the others", |status| status.duty(node) == "full");
    let decisions = cluster.decisions();
    let drains = decisions.iter().filter(|it| it["from"] == node && it["outcome"] == "applied");
    assert_eq!(drains.count(), held as usize, "a decision for each lease: {decisions:#?}");
    let judged = load.finish();
    report("drain of a node", &judged);
    judged.assert_no_error();
}

#[test]
fn a_fourth_node_joins_and_another_one_is_removed() {
    let mut cluster = Plan::of(3).steady().with("shards", "12").start();
    write_all(&cluster, 1, "before");
    set_policy(&cluster, &[("replica_spread", "1"), ("replica_moves_max", "8")]);
    let load = load(&cluster, 2, 10);
    let member = cluster.add_node();
    cluster[4].start();
    cluster.order(1, &format!("LEASEHOLD JOIN {member}"));
    let grown = cluster.wait_for_status("node 4 has replicas", |status| {
        status.is_live(4) && status.count(4, "replicas") >= 3
    });
    println!("replicas of node 4 before the removal: {}", grown.count(4, "replicas"));
    serves(&cluster, 4, &grown);
    cluster.order(4, "LEASEHOLD REMOVE 2");
    let left = cluster.wait_for_status("node 2 is gone", |status| status.members() == [1, 3, 4]);
    for (shard, _, replicas) in left.shards() {
        let mut nodes = replicas;
        nodes.sort_unstable();
        assert_eq!(nodes, [1, 3, 4], "shard {shard}");
    }
    wait_until("node 2 is told that it is no member", || {
        cluster[2].log().contains("this node has been removed from the cluster")
    });
    let judged = load.finish();
    report("a node joins, another one is removed", &judged);
    judged.assert_no_error();
    cluster[2].kill();
    // That the others refuse it is no news from then on, there and here.
    assert!(!cluster[2].log().contains("cannot connect to a node"), "{}", cluster[2].log());
    assert!(!cluster[4].log().contains("refused a node"), "{}", cluster[4].log());
    read_all(&cluster, 4, "before");
    let reused = format!("LEASEHOLD JOIN 2={}", cluster[2].setting("members").replace("1=", ""));
    let reused = reused.split(',').next().expect("the first member").to_owned();
    let reason = cluster.refusal(1, &reused);
    assert!(reason.contains("never used again"), "{reason}");
}

/// Makes a node hold one of its shards: it must have its data.
fn serves(cluster: &Cluster, number: u32, status: &Status) {
    let shards = status.shards();
    let (shard, ..) = shards
        .iter()
        .find(|(_, _, replicas)| replicas.contains(&number))
        .expect("the node has replicas");
    let order = format!("LEASEHOLD PIN {shard} NODE {number}");
    cluster.order(1, &order);
    cluster.wait_for_status("the new node holds a lease", |status| {
        status.shards().iter().any(|(it, holder, _)| it == shard && *holder == Some(number))
    });
    cluster.order(1, &format!("LEASEHOLD UNPIN {shard}"));
    read_all(cluster, number, "before");
}

#[test]
fn an_overfull_node_loses_leases_by_itself() {
    let mut plan = Plan::of(3).steady();
    // Nodes that are used up by what this machine can do beside other tests.
    plan = plan.with("capacity_cpu", "150");
    let cluster = plan.start();
    let mut client = cluster.client(1);
    for shard in cluster.holders().keys() {
        assert_eq!(client.ask(&format!("LEASEHOLD TRANSFER {shard} 1")), ok());
    }
    set_policy(&cluster, &[("floor", "0.05"), ("calm", "0.1"), ("move_rate", "20")]);
    let time = Duration::from_secs(8);
    let load = Load::start(cluster.addresses(), cluster.directory(), time, |options| {
        options.timeout = PATIENCE;
        // A few hot keys, all of them on one node.
        options.key_count = 20;
    });
    cluster.wait_for_status("others hold something", |status| {
        status.count(1, "leases") < 16 && status.count(2, "leases") + status.count(3, "leases") > 0
    });
    let judged = load.finish();
    report("all load on one node, which the manager relieves", &judged);
    judged.assert_no_error();
    let decisions = cluster.decisions();
    let balanced = decisions
        .iter()
        .filter(|it| it["action"] == "lease" && it["from"] == 1 && it["outcome"] == "applied");
    let balanced: Vec<_> = balanced.collect();
    assert!(!balanced.is_empty(), "{decisions:#?}");
    for decision in balanced {
        assert!(decision["reason"].as_str().is_some_and(|it| !it.is_empty()), "{decision}");
        let bids = decision["bids"].as_array().expect("a list of bids");
        let target = bids.iter().find(|bid| bid["node"] == decision["to"]);
        assert!(target.is_some_and(|bid| bid["total"].is_number()), "{decision}");
        assert!(decision["inputs"]["source"].is_number(), "{decision}");
    }
}

#[test]
fn two_of_five_nodes_killed_at_once_stop_no_shard_that_keeps_a_quorum() {
    let mut cluster = Plan::of(5).patient().with("shards", "20").start();
    write_all(&cluster, 3, "before");
    let before = cluster.wait_for_status("there is a manager", |status| status.is_live(5));
    let load = load(&cluster, 0, 6);
    let_pass(Duration::from_millis(500));
    cluster[1].kill();
    cluster[2].kill();
    let keeps = |replicas: &[u32]| replicas.iter().filter(|node| **node > 2).count() >= 2;
    let expected: Vec<u32> = before
        .shards()
        .into_iter()
        .filter(|(_, _, replicas)| keeps(replicas))
        .map(|(shard, ..)| shard)
        .collect();
    assert!(expected.len() > 10, "{expected:?}");
    wait_until("every shard with a quorum is held again", || {
        let holders = cluster.holders();
        expected.iter().all(|shard| holders.get(shard).is_some_and(Option::is_some))
    });
    cluster.wait_for_status("there is a manager", |status| status.manager() > 2);
    cluster.start_all();
    report("kill -9 of two nodes of five", &load.finish());
    read_all(&cluster, 1, "before");
}

#[test]
fn a_killed_manager_is_replaced_by_one_that_knows_what_was_ordered() {
    let mut cluster = Plan::of(3).patient().start();
    cluster.wait_for_status("all report", |status| (1..=3).all(|node| status.is_live(node)));
    cluster.order(2, "LEASEHOLD PIN 5 NODE 3");
    cluster.order(2, "LEASEHOLD FREEZE ON");
    set_policy(&cluster, &[("calm", "0.3")]);
    let load = load(&cluster, 0, 6);
    let mut last = cluster.status().expect("there is a manager");
    for _ in 0..2 {
        let victim = last.manager();
        cluster[victim].kill();
        let next = cluster.wait_for_status("another manager", |status| {
            status.manager() != victim && status.manager_epoch() > last.manager_epoch()
        });
        assert!(next.is_frozen());
        assert_eq!(next.orders(), last.orders());
        cluster.start_all();
        last = cluster.wait_for_status("all report again", |status| status.is_live(victim));
    }
    report("kill -9 of the active manager, twice", &load.finish());
    assert_eq!(cluster.policy("calm"), Some(0.3));
}

#[test]
fn a_node_with_another_clusters_directory_is_kept_out() {
    let mut other = Plan::of(4).patient().with("shards", "4").start();
    write_all(&other, 1, "other");
    other.wait_for_status("it has a manager", |status| status.is_live(4));
    let mut cluster = Plan::of(3).patient().with("shards", "4").start();
    write_all(&cluster, 1, "ours");
    cluster.wait_for_status("it has a manager", |status| status.is_live(3));
    for node in other.nodes_mut() {
        node.kill();
    }
    let member = cluster.add_node();
    cluster.order(1, &format!("LEASEHOLD JOIN {member}"));
    let log = cluster.directory().join("stranger.log");
    let mut command = cluster[4].command();
    command.arg("--set").arg(format!("dir={}", other[4].data.display()));
    command.arg("--end-with-parent").arg(std::process::id().to_string());
    command.stderr(File::create(&log).expect("it can be written"));
    let mut stranger = command.spawn().expect("the program under test can be started");
    wait_until("the stranger is recognised", || {
        fs::read_to_string(&log).unwrap_or_default().contains("a node of another cluster")
    });
    write_all(&cluster, 2, "ours-still");
    let status = cluster.status().expect("there is a manager");
    assert!(!status.is_live(4) && status.count(4, "replicas") == 0, "{status:#?}");
    stranger.kill().expect("our own child can be killed");
    stranger.wait().expect("our own child can be waited for");
    // With a directory of its own it is welcome, and the other cluster has lost nothing.
    cluster[4].start();
    cluster.wait_for_status("node 4 takes part", |status| status.is_live(4));
    read_all(&cluster, 4, "ours-still");
    other.start_all();
    read_all(&other, 4, "other");
}

#[test]
fn orders_that_make_no_sense_are_refused_with_reasons() {
    let cluster = Plan::of(3).patient().start();
    cluster.wait_for_status("all report", |status| (1..=3).all(|node| status.is_live(node)));
    let address = cluster[1].address;
    cluster.order(1, "LEASEHOLD PIN 7 NODE 2");
    cluster.order(1, "LEASEHOLD DRAIN 3");
    let before = cluster.status().expect("there is a manager").orders();
    let cases = [
        ("DRAIN 9", "there is no node '9'"),
        ("DRAIN nobody", "there is no node 'nobody'"),
        ("DRAIN 1 MAYBE", "neither ON nor OFF"),
        ("DRAIN 2", "is pinned to"),
        ("REMOVE 9", "there is no node '9'"),
        ("REMOVE 1", "join another node first"),
        ("PIN 99 NODE 1", "there is no shard '99'"),
        ("PIN 0 NODE 1", "there is no shard '0'"),
        ("PIN 1 NODE 9", "there is no node '9'"),
        ("PIN 1 NODE 3", "is being drained or removed"),
        ("PIN 1 ZONE mars/x", "where the pin wants it"),
        ("PIN 1 ZONE mars", "is no zone"),
        ("PIN 1 RACK 1", "neither NODE nor ZONE"),
        ("UNPIN 99", "there is no shard '99'"),
        ("WHY 99", "there is no shard '99'"),
        ("FREEZE PERHAPS", "neither ON nor OFF"),
        ("POLICY SET nothing 1", "there is no setting `nothing`"),
        ("POLICY SET calm much", "'much' is no number"),
        ("POLICY SET calm 7", "must be between"),
        ("POLICY SET calm NaN", "must be between"),
        ("POLICY SET calm 0.01", "must not be more than"),
        ("POLICY SET replicas 2.5", "must be a whole number"),
        ("JOIN nonsense", "is no member"),
        ("DECISIONS COUNT many", "takes SINCE id and COUNT n"),
    ];
    for (order, reason) in cases {
        let refusal = cluster.refusal(2, &format!("LEASEHOLD {order}"));
        assert!(refusal.starts_with("ERR ") && refusal.contains(reason), "{order}: {refusal}");
    }
    let taken = cluster.refusal(2, &format!("LEASEHOLD JOIN 8={address}:5"));
    assert!(taken.contains("is at this address already"), "{taken}");
    let now = cluster.status().expect("there is a manager").orders();
    assert_eq!(now, before);
}

#[test]
fn the_last_node_that_may_hold_leases_is_not_drained() {
    let cluster = Plan::of(2).patient().with("shards", "4").start();
    cluster.wait_for_status("all report", |status| (1..=2).all(|node| status.is_live(node)));
    cluster.order(1, "LEASEHOLD DRAIN 1");
    let reason = cluster.refusal(1, "LEASEHOLD DRAIN 2");
    assert!(reason.contains("the only replica of"), "{reason}");
    let status = cluster.wait_for_status("node 1 is empty", |it| it.count(1, "leases") == 0);
    assert_eq!(status.duty(2), "full");
    assert_eq!(cluster.client(1).ask("SET a 1"), ok());
}

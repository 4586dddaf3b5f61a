//! The Lease Manager as an operator sees it: commands and HTTP API against real clusters.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use crate::http_api::http;
use crate::support::{Cluster, Plan, Program, bulk, leasehold, ok, wait_until};

/// Runs a command against a node.
fn run(cluster: &Cluster, node: u32, words: &str) -> String {
    let url = cluster[node].address.to_string();
    let mut command = leasehold();
    command.args(words.split(' ')).args(["--url", &url]);
    Program::run(&mut command).success()
}

/// The same, for one that is to be refused; its words.
fn refused(cluster: &Cluster, node: u32, words: &str) -> String {
    let url = cluster[node].address.to_string();
    let mut command = leasehold();
    let finished = Program::run(command.args(words.split(' ')).args(["--url", &url]));
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
    finished.errors
}

fn get(cluster: &Cluster, node: u32, path: &str) -> Json {
    let (status, text) = http(cluster[node].http, &format!("GET {path}"), "", "");
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error} in {text}"))
}

/// A patient cluster whose manager has heard of every node.
fn managed(nodes: u32, shards: &str) -> Cluster {
    known_to_manager(Plan::of(nodes).steady().with("shards", shards), nodes)
}

/// A cluster whose manager has heard of every node.
fn known_to_manager(plan: Plan, nodes: u32) -> Cluster {
    let cluster = plan.start();
    wait_until("the manager knows all nodes", || {
        let (_, text) = http(cluster[1].http, "GET /v1/status", "", "");
        let known: Json = serde_json::from_str(&text).unwrap_or_default();
        let live = |node: &&Json| node["live"] == true;
        let count = known["nodes"].as_array().map(|list| list.iter().filter(live).count());
        known["manager"].is_object() && count == Some(nodes as usize)
    });
    cluster
}

#[test]
fn any_node_answers_every_question() {
    let cluster = managed(3, "4");
    for node in 1..=3 {
        let status = get(&cluster, node, "/v1/status");
        assert_eq!(status["shards"].as_array().map(Vec::len), Some(4), "{status}");
        assert_eq!(get(&cluster, node, "/v1/shards/2/why")["shard"], 2);
        assert!(get(&cluster, node, "/v1/policy").as_array().is_some_and(|it| it.len() > 20));
        assert!(get(&cluster, node, "/v1/plan").is_array());
        assert!(get(&cluster, node, "/v1/decisions?count=5").is_array());
        let (code, metrics) = http(cluster[node].http, "GET /metrics", "", "");
        assert!(code == 200 && metrics.contains("# TYPE "), "{metrics}");
        for (words, expected) in [
            ("nodes", "Lease Manager: n"),
            ("shards", "reads/s"),
            ("why 2", "Shard 2: held by n"),
            ("policy band", "band = 0.05"),
            ("top --once", "Hottest shards"),
        ] {
            let text = run(&cluster, node, words);
            assert!(text.contains(expected), "{words}: no {expected:?} in {text}");
        }
        run(&cluster, node, "plan");
        run(&cluster, node, "decisions --json");
    }
    assert_eq!(http(cluster[1].http, "GET /v1/shards/99/why", "", "").0, 404);
    assert!(refused(&cluster, 2, "why 99").contains("99"));
}

#[test]
fn a_pinned_shard_goes_where_it_is_pinned_and_stays() {
    let cluster = managed(3, "4");
    for target in [3, 1] {
        run(&cluster, 2, &format!("pin 2 --node {target}"));
        wait_until("the shard is where it was pinned", || cluster.holders()[&2] == Some(target));
        assert_eq!(get(&cluster, 2, "/v1/shards/2")["pin"], format!("node {target}"));
    }
    run(&cluster, 2, "unpin 2");
    assert!(get(&cluster, 1, "/v1/shards/2")["pin"].is_null());
    let decisions = run(&cluster, 3, "decisions --count 100");
    assert!(decisions.contains("pinned the shard"), "{decisions}");
    assert!(refused(&cluster, 1, "pin 2 --node 77").contains("77"));
    assert!(refused(&cluster, 1, "pin 99 --node 1").contains("99"));
}

#[test]
fn a_drained_node_has_no_lease_until_the_drain_ends() {
    let cluster = managed(3, "6");
    let text = run(&cluster, 1, "drain 2 --wait");
    assert!(text.contains("Node 2 holds no lease"), "{text}");
    assert!(cluster.holders().values().all(|holder| holder.is_some_and(|it| it != 2)));
    assert!(run(&cluster, 3, "nodes").contains("drained"));
    run(&cluster, 3, "drain 2 --off");
    wait_until("the node is itself again", || !run(&cluster, 1, "nodes").contains("drained"));
}

#[test]
fn the_policy_and_the_freeze_are_the_clusters_and_survive_restarts() {
    let mut cluster = managed(3, "2");
    run(&cluster, 1, "policy cool_down 77");
    run(&cluster, 2, "freeze");
    let (status, text) =
        http(cluster[3].http, "PATCH /v1/policy", "", "{\"band\":0.07,\"confirmations\":4}");
    assert_eq!(status, 200, "{text}");
    for node in cluster.nodes_mut() {
        node.kill();
    }
    cluster.start_all();
    wait_until("a manager answers", || http(cluster[1].http, "GET /v1/policy", "", "").0 == 200);
    for (name, value) in [("cool_down", 77.0), ("band", 0.07), ("confirmations", 4.0)] {
        let policy = get(&cluster, 2, "/v1/policy");
        let setting = policy.as_array().and_then(|it| it.iter().find(|it| it["name"] == name));
        assert_eq!(setting.and_then(|it| it["value"].as_f64()), Some(value), "{name}");
    }
    assert_eq!(get(&cluster, 1, "/v1/status")["frozen"], true);
    assert_eq!(http(cluster[2].http, "DELETE /v1/freeze", "", "").0, 200);
    assert_eq!(get(&cluster, 1, "/v1/status")["frozen"], false);
    assert!(refused(&cluster, 1, "policy band 7").contains("0.4"));
    assert!(refused(&cluster, 1, "policy bnad 0.1").contains("bnad"));
    // All of them or none: these two need each other.
    run(&cluster, 3, "policy set fast=50 slow=60");
    let text = refused(&cluster, 3, "policy set band=0.08 slow=40");
    assert!(text.contains("`fast` must not be longer"), "{text}");
    assert!(run(&cluster, 1, "policy band").contains("band = 0.07"));
    // Alone it is fine, beside the others it isn't: the manager says so.
    let (status, text) =
        http(cluster[1].http, "PATCH /v1/policy", "", "{\"band\":0.08,\"slow\":40}");
    assert_eq!(status, 409, "{text}");
    assert!(run(&cluster, 2, "policy band").contains("band = 0.07"));
}

/// What a cluster serves is recorded and played by the laboratory; the recording ends with its time
/// or with Ctrl-C.
#[test]
fn a_recorded_load_is_played() {
    let cluster = managed(3, "5");
    let url = cluster[2].address.to_string();
    let mut client = cluster.client(1);
    let record = |more: &[&str]| {
        let mut command = leasehold();
        command.args(["record", "--url", &url]).args(more);
        Program::start(&mut command, "")
    };
    let (program, over) = (record(&[]), AtomicBool::new(false));
    let timed = thread::scope(|scope| {
        scope.spawn(|| {
            // One hash tag is one shard: the load is all its own.
            while !over.load(Ordering::Relaxed) {
                assert_eq!(client.ask("SET {tag}key value"), ok());
                assert_eq!(client.ask("GET {tag}key"), bulk("value"));
            }
        });
        wait_until("the manager has heard of the load", || {
            let shards = get(&cluster, 1, "/v1/shards");
            let writes = |shard: &Json| shard["writes"].as_f64() > Some(0.0);
            shards.as_array().is_some_and(|shards| shards.iter().any(writes))
        });
        let timed = record(&["--seconds", "2"]).wait();
        over.store(true, Ordering::Relaxed);
        timed
    });
    assert!(timed.status.success(), "{timed:#?}");
    assert!(timed.errors.contains("recorded 2 s of 5 shards"), "{timed:#?}");
    let pid = Pid::from_raw(i32::try_from(program.pid()).expect("it is small"));
    kill_process(pid.expect("it is a number"), Signal::INT).expect("our own child");
    let finished = program.wait();
    assert!(finished.status.success(), "{finished:#?}");
    for (name, lines) in [("long", finished.output), ("timed", timed.output)] {
        let rows: Vec<Json> =
            lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
        assert!((0..5).all(|shard| rows.iter().any(|row| row["shard"] == shard)), "{lines}");
        assert!(rows.iter().any(|row| row["writes"].as_f64() > Some(0.0)), "{lines}");
        let trace = cluster.directory().join(name);
        fs::write(&trace, &lines).expect("it can be written");
        let mut simulate = leasehold();
        simulate.args(["simulate", "--nodes", "3", "--policy", "reactive-1s", "--trace"]);
        let report = Program::run(simulate.arg(&trace)).success();
        assert!(report.contains("3 nodes, 5 shards"), "{report}");
    }
}

#[test]
fn without_a_manager_a_node_tells_what_it_knows_itself() {
    // What is asked of a manager that isn't there waits for so long.
    let plan = Plan::of(3).steady().with("shards", "2").with("park_time", "2s");
    let mut cluster = known_to_manager(plan, 3);
    cluster[2].kill();
    cluster[3].kill();
    wait_until("the system shard has no quorum", || {
        get(&cluster, 1, "/v1/status")["manager"].is_null()
    });
    wait_until("nothing can be served through it", || {
        http(cluster[1].http, "GET /readyz", "", "").0 == 503
    });
    assert_eq!(http(cluster[1].http, "GET /healthz", "", "").0, 200);
    let shard = get(&cluster, 1, "/v1/shards/2");
    let trouble = shard["troubles"][0].as_str().unwrap_or_default();
    assert!(trouble.contains("n2 and n3 are not heard") && shard["holder"].is_null(), "{shard}");
    assert_eq!(get(&cluster, 1, "/v1/shards/2/why")["troubles"][0], trouble);
    assert_eq!(get(&cluster, 1, "/v1/nodes")[1]["state"], "not heard");
    assert_eq!(http(cluster[1].http, "GET /v1/shards/9", "", "").0, 404);
    assert_eq!(http(cluster[1].http, "GET /v1/plan", "", "").0, 503);
    assert!(refused(&cluster, 1, "transfer 2 3").contains("n2 and n3 are not heard"));
    assert!(refused(&cluster, 1, "nodes").contains("CLUSTERDOWN"));
    assert!(refused(&cluster, 1, "record").contains("CLUSTERDOWN"));
    assert!(!run(&cluster, 1, "shards").contains("reads/s"));
}

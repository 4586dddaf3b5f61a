//! Starts that must fail: each with a message that says what to do, and a code that says that
//! starting again will not help.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Cluster, Finished, Plan, Program, leasehold, ok, wait_until};

/// The exit code for what an operator must change (sysexits.h).
const CONFIGURATION: i32 = 78;

fn run(command: &mut Command) -> Finished {
    Program::run(command)
}

/// Checks how a start ended, and that each of these words is in the message.
fn assert_refused(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.status.code(), Some(code), "{finished:#?}");
    assert!(!finished.errors.contains("panicked"), "{finished:#?}");
    for word in words {
        assert!(finished.errors.contains(word), "no {word:?} in {finished:#?}");
    }
}

#[test]
fn what_the_command_line_does_not_know_is_refused() {
    for (arguments, words) in [
        (&["start", "--confg", "x"][..], &["--confg", "--config"][..]),
        (&["strat"], &["strat", "start"]),
        (&["dev", "--nodes", "0"], &["--nodes", "1..="]),
        (&["transfer", "3"], &["TARGET", "Usage"]),
    ] {
        assert_refused(&run(leasehold().args(arguments)), 2, words);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for (setting, words) in [
        ("beat_intervall=1s", &["beat_intervall", "Did you mean `beat_interval`?"][..]),
        ("beat_interval=1", &["beat_interval", "from the command line", "units"]),
        ("beat_interval=1h", &["beat_interval", "10s"]),
        ("node=9", &["node", "members"]),
        ("members=nonsense", &["members", "NODE=HOST:PORT"]),
        ("support_duration=200ms", &["support_duration", "beat_interval"]),
        ("log_bytes=4MiB", &["log_bytes", "segment_bytes"]),
        ("listen=nowhere", &["listen", "IP address"]),
        ("role=manager", &["`role`", "is a data node", "1=127.0.0.1:7001:17001;role=manager"]),
        ("members=1=127.0.0.1:7001;role=manager", &["managers hold no data", "To fix it"]),
        ("members=1=127.0.0.1:7001;role=king", &["the role is not data or manager"]),
        ("shards", &["shards"]),
    ] {
        assert_refused(&run(leasehold().args(["start", "--set", setting])), CONFIGURATION, words);
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let cluster = Plan::of(1).prepare();
    let missing = cluster.directory().join("missing.toml");
    let missing = missing.to_str().expect("it is plain");
    let finished = run(leasehold().args(["start", "--config", missing]));
    assert_refused(&finished, CONFIGURATION, &["missing.toml", "cannot read"]);
    let broken = cluster.directory().join("broken.toml");
    fs::write(&broken, "node = [").expect("the directory can be written to");
    let finished = run(leasehold().arg("start").arg("--config").arg(&broken));
    assert_refused(&finished, CONFIGURATION, &["broken.toml"]);
    let file = format!("dir={}", broken.display());
    let finished = run(leasehold().args(["start", "--set", &file]));
    assert_refused(&finished, CONFIGURATION, &["broken.toml"]);
}

/// A node that has run and was killed, with some data.
fn used_node() -> Cluster {
    let small = Plan::of(1).patient().with("segment_bytes", "1MiB").with("log_bytes", "8MiB");
    let mut cluster = small.start();
    let mut client = cluster.client(1);
    let value = vec![b'v'; 8 << 10];
    for number in 0..300 {
        let key = format!("key:{number}");
        assert_eq!(client.ask_args(&[b"SET", key.as_bytes(), &value]), ok());
    }
    cluster[1].kill();
    cluster
}

#[test]
fn a_directory_of_another_node_or_cluster_or_in_use_is_left_alone() {
    let mut cluster = used_node();
    let other = run(cluster[1].command().args(["--set", "cluster=other"]));
    assert_refused(&other, CONFIGURATION, &["belongs to", "cluster `leasehold`", "To fix it"]);
    let members = "members=1=127.0.0.1:1:2,2=127.0.0.1:3:4";
    let other = run(cluster[1].command().args(["--set", "node=2", "--set", members]));
    assert_refused(&other, CONFIGURATION, &["belongs to node 1", "To fix it"]);
    cluster.start_all();
    let second = run(&mut cluster[1].command());
    let pid = format!("process {}", cluster[1].pid());
    assert_refused(&second, CONFIGURATION, &["in use", &pid]);
    assert_eq!(cluster.client(1).ask("DBSIZE"), crate::support::integer(300));
}

#[test]
fn a_port_in_use_is_named() {
    let mut cluster = Plan::of(1).prepare();
    let _other = std::net::TcpListener::bind(cluster[1].address).expect("the port is free");
    let finished = run(&mut cluster[1].command());
    let address = cluster[1].address.to_string();
    let code = finished.status.code().unwrap_or_default();
    assert_ne!(code, 0);
    assert_refused(&finished, code, &[&address, "in use", "To fix it"]);
    cluster.nodes_mut().iter().for_each(|node| assert!(!node.is_running()));
}

/// Starts a process that the nodes of the cluster must refuse, until its log lines have all these
/// words; answers with the lines. It has a directory of its own.
fn refused_by_peers(cluster: &Cluster, name: &str, settings: &[String], words: &[&str]) -> String {
    let path = cluster.directory().join(&format!("{name}.log"));
    let log = File::create(&path).expect("the test's directory can be written to");
    let mut command = cluster[1].command();
    for setting in settings {
        command.arg("--set").arg(setting);
    }
    let dir = cluster.directory().join(name);
    // The HTTP port of the settings is node 1's own.
    command.args(["--set", "http_listen="]);
    command.arg("--set").arg(format!("dir={}", dir.display())).stderr(log);
    command.arg("--end-with-parent").arg(std::process::id().to_string());
    let mut child = command.spawn().expect("the program under test can be started");
    let lines = || fs::read_to_string(&path).unwrap_or_default();
    wait_until(&format!("{name} is told {words:?}"), || {
        words.iter().all(|word| lines().contains(word))
    });
    child.kill().expect("our own child can be killed");
    child.wait().expect("our own child can be waited for");
    lines()
}

#[test]
fn a_process_that_the_other_nodes_refuse_is_told_why() {
    let mut cluster = Plan::of(3).patient().start();
    let members = cluster[1].setting("members");
    let peers: Vec<&str> = members.split(',').skip(1).collect();
    let (host, two) = (cluster[1].address.ip(), cluster[2].address.ip());
    assert_eq!(host, two);
    // Nobody uses these ports: the address is the cluster's own.
    let elsewhere = |number: u32, peers: &str| {
        [format!("node={number}"), format!("members={number}={host}:7:17,{peers}")]
    };
    let peers = peers.join(",");
    let stranger = refused_by_peers(
        &cluster,
        "stranger",
        &elsewhere(9, &peers),
        &["node 2 does not know node 9", "LEASEHOLD JOIN"],
    );
    let told = stranger.matches("node 2 does not know node 9").count();
    assert_eq!(told, 1, "it is told once in a while, not at each try:\n{stranger}");
    let mut other = elsewhere(1, &peers).to_vec();
    other.push(String::from("cluster=other"));
    let words = ["belongs to cluster `leasehold`, not to `other`", "the same `cluster`"];
    refused_by_peers(&cluster, "other-cluster", &other, &words);
    let words = ["another process of node 1", "two processes must not share a number"];
    refused_by_peers(&cluster, "second", &elsewhere(1, &peers), &words);
    let swapped = peers.replace("2=", "5=");
    let words = ["this is node 2, not node 5", "correct the address of node 5"];
    refused_by_peers(&cluster, "misled", &elsewhere(1, &swapped), &words);
    // The cluster has taken no notice, and the true node 1 may come back.
    assert_eq!(cluster.client(1).ask("SET a 1"), ok());
    cluster[1].kill();
    cluster.start_all();
    assert_eq!(cluster.client(1).ask("SET a 2"), ok());
    let log = cluster[2].log();
    assert!(log.contains("refused a node"), "{log}");
}

/// The log segments that hold something, oldest first.
fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).expect("the node has a data directory");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("it can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    paths.sort();
    paths
}

#[test]
fn a_damaged_log_is_never_read_over() {
    let cluster = used_node();
    let node = &cluster[1];
    let victim = segments(&node.data)[1].clone();
    let sound = fs::read(&victim).expect("it can be read");
    for (how, at) in [("a bit in the middle", sound.len() / 2), ("a bit of the header", 9)] {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        fs::write(&victim, bytes).expect("it can be written to");
        let finished = run(&mut node.command());
        let words =
            ["damaged in segment", "nothing was deleted", "start the node with an empty one"];
        assert_refused(&finished, CONFIGURATION, &words);
        let finished = run(leasehold().arg("inspect").arg(&node.data));
        assert_eq!(finished.status.code(), Some(1), "{how}: {finished:#?}");
        assert!(finished.output.contains("DAMAGE"), "{how}: {finished:#?}");
    }
    fs::write(&victim, &sound[..sound.len() / 2]).expect("it can be written to");
    assert_refused(&run(&mut node.command()), CONFIGURATION, &["damaged", "shorter"]);
    fs::remove_file(&victim).expect("it is there");
    assert_refused(&run(&mut node.command()), CONFIGURATION, &["damaged", "missing"]);
    fs::write(&victim, &sound).expect("it can be written to");
    let mut cluster = cluster;
    cluster.start_all();
    assert_eq!(cluster.client(1).ask("DBSIZE"), crate::support::integer(300));
}

#[test]
fn a_torn_end_of_the_log_is_what_a_crash_leaves() {
    let mut cluster = used_node();
    let newest = segments(&cluster[1].data).pop().expect("there is a log");
    let bytes = fs::read(&newest).expect("it can be read");
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default() + 1;
    let mut torn = bytes.clone();
    // Half a sector of garbage where the next commit would have stood.
    let start = end.next_multiple_of(4096).min(torn.len());
    let stop = (start + 256).min(torn.len());
    torn[start..stop].fill(0xa5);
    fs::write(&newest, torn).expect("it can be written to");
    cluster.start_all();
    assert_eq!(cluster.client(1).ask("DBSIZE"), crate::support::integer(300));
}

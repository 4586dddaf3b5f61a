//! A rolling restart as an operator does it: SIGTERM, wait, start again, wait until all is well,
//! then the next node. Clients are connected to all nodes, the one that stops among them. A
//! cluster client sees no error; and unlike after `kill -9`, no answer says `UNCERTAIN`.
//!
//! The blocking cluster client of redis-rs 1.8 is not among them: it dials a node that it knows as
//! often as it may, at once, and never asks the others for the shards' new places.

use std::process::Command;
use std::time::Duration;

use crate::support::{Cluster, Load, PATIENCE, Plan, Program, let_pass, python};

/// Restarts every node in turn, under whatever load there is.
fn restart_all(cluster: &mut Cluster) {
    for number in 1..=3 {
        // So that every node has clients at work when it stops.
        let_pass(Duration::from_millis(500));
        let status = cluster[number].stop();
        assert!(status.success(), "node {number}: {status}");
        let log = cluster[number].log();
        assert!(!log.contains("could not hand all leases over"), "node {number}:\n{log}");
        assert!(!log.contains("owed replies when the node ended"), "node {number}:\n{log}");
        cluster.start_all();
    }
}

/// The script that counts what redis-py raises, with so many threads.
fn script(cluster: &Cluster, threads: u32) -> Command {
    let addresses = cluster.addresses();
    let ports: Vec<String> = addresses.iter().map(|it| it.port().to_string()).collect();
    let mut command = python("rolling.py");
    command.args([addresses[0].ip().to_string(), ports.join(","), threads.to_string()]);
    command.arg(cluster.directory().join("rolling.stop"));
    command
}

#[test]
fn redis_py_sees_no_error_in_a_rolling_restart() {
    let mut cluster = Plan::of(3).steady().start();
    let program = Program::start(&mut script(&cluster, 4), "");
    restart_all(&mut cluster);
    std::fs::write(cluster.directory().join("rolling.stop"), "").expect("it can be written");
    let output = program.wait().success();
    println!("redis-py: {output}");
    assert!(output.contains("0 errors in "), "{output}");
    assert!(!output.contains("0 errors in 0 rounds"), "{output}");
}

#[test]
fn a_rolling_restart_loses_nothing_and_leaves_nothing_uncertain() {
    let mut cluster = Plan::of(3).steady().start();
    // This load does not try again: it sees each connection that a stopping node closes.
    let time = Duration::from_secs(14);
    let load = Load::start(cluster.addresses(), cluster.directory(), time, |options| {
        options.timeout = PATIENCE;
    });
    restart_all(&mut cluster);
    let judged = load.finish();
    println!("rolling restart: {judged}");
    for (error, count) in &judged.report.errors {
        let error = format!("{error:?}");
        for word in ["UNCERTAIN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF"] {
            assert!(!error.contains(word), "{count} times {error}\n{}", judged.report);
        }
    }
}

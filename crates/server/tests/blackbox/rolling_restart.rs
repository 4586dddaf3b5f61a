//! A rolling restart as an operator does it: SIGTERM, wait, start again, wait until all is well,
//! then the next node. Clients that other people have written are connected to all nodes, the one
//! that stops among them, and none of them may see an error. Unlike after `kill -9`, no request
//! is of unknown outcome.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use redis::Commands;
use redis::cluster::{ClusterClient, ClusterConnection};

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
fn redis_rs_sees_no_error_in_a_rolling_restart() {
    let mut cluster = Plan::of(3).steady().start();
    let seeds: Vec<String> =
        cluster.addresses().iter().map(|address| format!("redis://{address}")).collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let client = ClusterClient::new(seeds.clone()).expect("the addresses are proper");
                let over = &over;
                scope.spawn(move || {
                    let mut connection = client.get_connection().expect("the cluster serves");
                    let mut rounds = 0;
                    while !over.load(Ordering::Relaxed) {
                        use_library(&mut connection, worker, rounds)
                            .unwrap_or_else(|error| panic!("round {rounds}: {error}"));
                        rounds += 1;
                    }
                    rounds
                })
            })
            .collect();
        restart_all(&mut cluster);
        over.store(true, Ordering::Relaxed);
        for worker in workers {
            let rounds = worker.join().expect("no request fails");
            println!("redis-rs: {rounds} rounds without an error");
            assert!(rounds > 0);
        }
    });
}

/// Writes, reads back and counts, with keys of this worker's own.
fn use_library(
    connection: &mut ClusterConnection,
    worker: usize,
    round: usize,
) -> redis::RedisResult<()> {
    for number in 0..10 {
        let key = format!("rs:{worker}:{number}");
        let () = connection.set(&key, round)?;
        let value: usize = connection.get(&key)?;
        assert_eq!(value, round, "{key}");
        // The library sends again what a lost connection hides from it.
        let count: usize = connection.incr(format!("count:{worker}:{number}"), 1)?;
        assert!(count > round, "count:{worker}:{number} is {count} in round {round}");
    }
    Ok(())
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

//! Clients that other people have written: redis-cli, redis-benchmark, redis-py, redis-rs.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use redis::Commands;
use redis::cluster::ClusterClient;

use crate::support::{Cluster, Plan, Program, ok, python};

/// A tool of Redis, told where the first node is.
fn tool(name: &str, cluster: &Cluster) -> Command {
    let mut command = Command::new(name);
    let address = cluster[1].address;
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    command
}

#[test]
fn redis_cli_works_plain_and_as_a_cluster_client() {
    let cluster = Plan::of(3).patient().start();
    for mode in [&[][..], &["-c"]] {
        let mut script = String::from("FLUSHALL\n");
        let mut expected = String::from("OK\n");
        for number in 0..100 {
            script.push_str(&format!("SET key:{number} {number}\nGET key:{number}\n"));
            expected.push_str(&format!("OK\n{number}\n"));
        }
        script.push_str("MULTI\nINCR key:1\nGET key:1\nEXEC\nDBSIZE\n");
        expected.push_str("OK\nQUEUED\nQUEUED\n2\n2\n100\n");
        let finished = Program::start(tool("redis-cli", &cluster).args(mode), &script).wait();
        // With -c it may say that it was redirected.
        let output = finished.success();
        let lines = output.lines().filter(|line| !line.starts_with("-> Redirected"));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        assert_eq!(lines, expected, "{mode:?}");
    }
    let info = Program::run(
        tool("redis-cli", &cluster)
            .args(["--cluster", "check"])
            .arg(cluster[1].address.to_string()),
    );
    let text = info.success();
    assert!(text.contains("All 16384 slots covered"), "{text}");
    let keys = Program::run(tool("redis-cli", &cluster).arg("--scan")).success();
    assert_eq!(keys.lines().count(), 100);
}

#[test]
fn redis_benchmark_works_plain_and_as_a_cluster_client() {
    let cluster = Plan::of(3).patient().start();
    for mode in [&[][..], &["--cluster"]] {
        let mut benchmark = tool("redis-benchmark", &cluster);
        benchmark.args(["-t", "ping,set,get,incr", "-n", "2000", "-c", "10", "-P", "4"]);
        benchmark.args(["-r", "1000", "-q"]).args(mode);
        let finished = Program::run(&mut benchmark);
        let text = format!("{}{}", finished.output, finished.errors);
        assert!(finished.status.success(), "{mode:?}: {text}");
        assert!(!text.to_lowercase().contains("error"), "{mode:?}: {text}");
        for test in ["SET", "GET", "INCR"] {
            assert!(text.contains(&format!("{test}: ")), "{mode:?}: {text}");
        }
    }
}

#[test]
fn redis_py_works_plain_and_as_a_cluster_client() {
    let cluster = Plan::of(3).steady().start();
    let address = cluster[1].address;
    for script in ["plain.py", "cluster.py"] {
        let mut command = python(script);
        command.args([address.ip().to_string(), address.port().to_string()]);
        let output = Program::run(&mut command).success();
        assert!(output.ends_with("done\n"), "{script}: {output}");
    }
}

#[test]
fn redis_rs_works_while_leases_move() {
    let cluster = Plan::of(3).steady().start();
    let nodes = cluster.addresses().into_iter().map(|address| format!("redis://{address}"));
    let client = ClusterClient::new(nodes).expect("the addresses are proper");
    let mut connection = client.get_connection().expect("the cluster serves");
    let moving = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut orders = cluster.client(3);
            for round in 0..3 {
                for shard in 1..=16 {
                    let target = (shard + round) % 3 + 1;
                    let reply = orders.ask(&format!("LEASEHOLD TRANSFER {shard} {target}"));
                    assert_eq!(reply, ok());
                }
            }
            moving.store(false, Ordering::Relaxed);
        });
        let mut rounds = 0;
        while moving.load(Ordering::Relaxed) || rounds < 20 {
            use_library(&mut connection, rounds).expect("no request fails");
            rounds += 1;
        }
        println!("redis-rs: {rounds} rounds of requests during 48 transfers");
    });
}

fn use_library(
    connection: &mut redis::cluster::ClusterConnection,
    round: usize,
) -> redis::RedisResult<()> {
    for number in 0..20 {
        let key = format!("rs:{number}");
        let () = connection.set(&key, round)?;
        let value: usize = connection.get(&key)?;
        assert_eq!(value, round);
        let count: usize = connection.incr(format!("count:{number}"), 1)?;
        assert_eq!(count, round + 1);
    }
    let mut pipeline = redis::cluster::cluster_pipe();
    for number in 0..20 {
        pipeline.cmd("GET").arg(format!("rs:{number}"));
    }
    let values: Vec<usize> = pipeline.query(connection)?;
    assert_eq!(values, vec![round; 20]);
    Ok(())
}

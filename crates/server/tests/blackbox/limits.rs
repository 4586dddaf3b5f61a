//! What runs out: descriptors, and whoever reads the log lines.

use resp::Value;

use crate::support::{Client, Cluster, Plan, error, ok, wait_until};

/// A figure of INFO.
fn figure(client: &mut Client, name: &str) -> u64 {
    let Value::Bulk(text) = client.ask("INFO everything") else { return 0 };
    let text = String::from_utf8_lossy(&text).into_owned();
    let prefix = format!("{name}:");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn write_everywhere(cluster: &Cluster, node: u32, round: u32) {
    let mut client = cluster.client(node);
    for key in 0..64 {
        assert_eq!(client.ask(&format!("SET key:{key} {round}")), ok());
    }
}

#[test]
fn clients_that_use_up_all_descriptors_cost_nobody_else_any() {
    let mut cluster = Plan::of(3).steady().with("segment_bytes", "1MiB").prepare();
    cluster[1].start_after("ulimit -n 300");
    cluster.start_all();
    let mut operator = cluster.client(1);
    let most = figure(&mut operator, "maxclients");
    assert!((10..200).contains(&most), "{most} clients of 300 descriptors");
    let Value::Array(shown) = operator.ask("CONFIG GET maxclients") else { panic!("no array") };
    assert_eq!(shown[1], Value::Bulk(most.to_string().into_bytes()));
    let refused = operator.ask("CONFIG SET maxclients 5000");
    assert!(matches!(&refused, Value::Error(text) if text.contains("operating system")));
    // More than there are descriptors at all. Those that are too many are told so, or closed.
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..400 {
        clients.extend(Client::try_connect(cluster[1].address));
    }
    let full = error("ERR max number of clients reached");
    let told = |client: &mut Client| client.try_ask("PING").is_ok_and(|reply| reply == full);
    assert!(clients.iter_mut().any(told), "nobody is told");
    assert_eq!(operator.ask("PING"), Value::Simple(String::from("PONG")));
    // The log begins new files meanwhile, and a node that was away connects anew.
    let value = "v".repeat(64 << 10);
    for key in 0..100 {
        assert_eq!(operator.ask(&format!("SET large:{key} {value}")), ok());
    }
    cluster[2].kill();
    cluster[2].start();
    wait_until("node 2 serves", || Client::try_connect(cluster[2].address).is_ok());
    wait_until("node 1 hears node 2", || {
        let Value::Bulk(text) = operator.ask("INFO leasehold") else { return false };
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().any(|line| line.starts_with("peer_2:") && line.contains("supports_us=1"))
    });
    write_everywhere(&cluster, 2, 1);
    drop(clients);
}

#[test]
fn nobody_who_reads_the_log_lines_is_nobody_to_wait_for() {
    let mut cluster = Plan::of(1).steady().with("log_level", "trace").prepare();
    // A pipe takes 64 KiB; every event is a line here.
    cluster[1].start_after("true");
    cluster.start_all();
    let mut client = cluster.client(1);
    let long = "k".repeat(4 << 10);
    let mut asked = 0;
    while figure(&mut client, "log_lines_dropped") == 0 {
        // Whatever makes lines: each refused connection and each lease does.
        assert_eq!(client.ask(&format!("SET {long} {asked}")), ok());
        drop(Client::try_connect(cluster[1].http));
        asked += 1;
        if asked == 200 {
            break;
        }
    }
    write_everywhere(&cluster, 1, 2);
    assert!(cluster[1].stop().success());
}

#[test]
fn a_closed_standard_error_ends_no_node() {
    for script in ["exec 2>&-", "exec 2>/dev/full"] {
        let mut cluster = Plan::of(1).steady().prepare();
        cluster[1].start_after(script);
        cluster.start_all();
        write_everywhere(&cluster, 1, 1);
        assert!(cluster[1].stop().success(), "{script}");
    }
}

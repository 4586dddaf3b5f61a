//! Restarts: what was acknowledged is there, whatever was killed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use resp::Value;

use crate::support::{
    Client, Cluster, Node, Plan, bulk, integer, leasehold, let_pass, ok, wait_until,
};

fn kill_all(cluster: &mut Cluster) {
    for node in cluster.nodes_mut() {
        node.kill();
    }
}

#[test]
fn a_cluster_killed_all_at_once_has_kept_every_acknowledged_write() {
    let mut cluster = Plan::of(3).patient().start();
    for round in 0..3 {
        let mut client = cluster.client(round % 3 + 1);
        for key in 0..300 {
            client.send(&format!("SET key:{key} {round}"));
            client.send("INCR counter");
        }
        for _ in 0..300 {
            assert_eq!(client.receive(), ok());
            assert!(matches!(client.receive(), Value::Integer(_)));
        }
        kill_all(&mut cluster);
        cluster.start_all();
        for node in 1..=3 {
            let mut client = cluster.client(node);
            for key in 0..300 {
                let reply = client.ask(&format!("GET key:{key}"));
                assert_eq!(reply, bulk(&round.to_string()), "key:{key} at node {node}");
            }
            assert_eq!(client.ask("GET counter"), bulk(&(300 * (round + 1)).to_string()));
            assert_eq!(client.ask("DBSIZE"), integer(301));
        }
    }
}

#[test]
fn a_node_that_lost_its_directory_helps_nobody_to_forget_and_gets_its_data_back() {
    let mut cluster = Plan::of(3).patient().with("park_time", "2s").start();
    cluster[3].kill();
    cluster.wait_until_without_leases(3);
    let mut client = cluster.client(1);
    for key in 0..200 {
        assert_eq!(client.ask(&format!("SET key:{key} new")), ok());
    }
    // Only these two have the writes, and one of them loses them.
    cluster[1].kill();
    cluster[2].kill();
    fs::remove_dir_all(&cluster[2].data).expect("the directory can be removed");
    cluster[2].start();
    cluster[3].start();
    wait_until("node 3 listens", || Client::try_connect(cluster[3].address).is_ok());
    let mut client = cluster.client(3);
    let refused = client.ask("SET key:0 lost");
    assert!(matches!(&refused, Value::Error(_)), "a majority without memory took {refused:?}");
    cluster[1].start();
    cluster.wait_for_holders();
    let mut client = cluster.client(2);
    for key in 0..200 {
        assert_eq!(client.ask(&format!("GET key:{key}")), bulk("new"), "key:{key}");
    }
    // Node 2 counts again: with it and without node 1 everything is there.
    cluster.wait_until_voters(2, 3);
    cluster[1].kill();
    cluster.wait_until_without_leases(1);
    let mut client = cluster.client(2);
    for key in 0..200 {
        assert_eq!(client.ask(&format!("GET key:{key}")), bulk("new"), "key:{key}");
        assert_eq!(client.ask(&format!("SET key:{key} newer")), ok());
    }
}

/// Copies a node's data directory as it is, which a snapshot of its machine would do.
fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the test's directory can be written to");
    for file in fs::read_dir(from).expect("the node has a data directory") {
        let file = file.expect("it can be read");
        fs::copy(file.path(), to.join(file.file_name())).expect("it can be copied");
    }
}

#[test]
fn a_directory_that_is_copied_back_counts_as_lost_every_time() {
    let mut cluster = Plan::of(3).patient().start();
    let mut client = cluster.client(1);
    for key in 0..100 {
        assert_eq!(client.ask(&format!("SET key:{key} old")), ok());
    }
    let copy = cluster.directory().join("copy-of-node-2");
    copy_directory(&cluster[2].data, &copy);
    for key in 0..100 {
        assert_eq!(client.ask(&format!("SET key:{key} new")), ok());
    }
    for times in 1..=2 {
        let begun = cluster[2].log().matches("counts as lost").count();
        let known = cluster.client(2).ask("INCR rounds");
        assert_eq!(known, integer(times));
        cluster.wait_until_voters(2, 3);
        // Several beats, which tell the others how far node 2 has come. What it did after its last
        // beat nobody would miss.
        let_pass(Duration::from_millis(500));
        cluster[2].kill();
        fs::remove_dir_all(&cluster[2].data).expect("the directory can be removed");
        copy_directory(&copy, &cluster[2].data);
        cluster[2].start();
        wait_until("node 2 knows that it went back", || {
            cluster[2].log().matches("counts as lost").count() > begun
        });
        cluster.wait_for_holders();
        cluster.wait_until_voters(2, 3);
        let mut client = cluster.client(2);
        for key in 0..100 {
            assert_eq!(client.ask(&format!("GET key:{key}")), bulk("new"), "key:{key}");
        }
    }
}

#[test]
fn a_cluster_comes_back_when_all_its_addresses_have_changed() {
    let mut cluster = Plan::of(3).patient().start();
    assert_eq!(cluster.client(1).ask("SET key value"), ok());
    kill_all(&mut cluster);
    let members = cluster.move_all();
    cluster.start_all();
    assert_eq!(cluster.client(2).ask("GET key"), bulk("value"));
    assert!(cluster[1].log().contains("name different addresses"), "{}", cluster[1].log());
    // A node that runs can't join again, but it may be said where it is now: it is asked first.
    let refused = cluster.client(1).ask(&format!("LEASEHOLD JOIN {}", members[1]));
    assert!(format!("{refused:?}").contains("leasehold move"), "{refused:?}");
    let url = cluster[1].address.to_string();
    for (member, at) in members.iter().zip([2, 3, 1]) {
        let (number, address) = member.split_once('=').expect("a member has a number");
        let wrong = format!("{number}={}:9", cluster[at].address);
        let refused = leasehold().args(["move", &wrong, "--url", &url]).output();
        assert!(!refused.expect("it runs").status.success(), "node {at} is not node {number}");
        let right = format!("{number}={address}");
        let moved = leasehold().args(["move", &right, "--url", &url]).output();
        let moved = moved.expect("it runs");
        assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    }
    wait_until("all nodes name the new addresses", || {
        (1..=3).all(|asked| {
            let Value::Bulk(known) = cluster.client(asked).ask("CLUSTER NODES") else {
                return false;
            };
            let known = String::from_utf8_lossy(&known).into_owned();
            (1..=3).all(|node| known.contains(&cluster[node].address.to_string()))
        })
    });
}

/// The numbers of a node's log segments, spares included.
fn segments(node: &Node) -> Vec<String> {
    let files = fs::read_dir(&node.data).expect("the node has a data directory");
    let names = files.map(|file| file.expect("it can be read").file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.ends_with(".segment"));
    names.sort();
    names
}

#[test]
fn data_survive_many_rotations_of_the_log() {
    let small = Plan::of(3).patient().with("segment_bytes", "1MiB").with("log_bytes", "4MiB");
    let mut cluster = small.start();
    let mut client = cluster.client(1);
    let first_segment = segments(&cluster[1])[0].clone();
    // Keys that are written once must be carried along by checkpoints; the rest is turnover.
    for key in 0..200 {
        assert_eq!(client.ask(&format!("SET once:{key} {key}")), ok());
        assert_eq!(client.ask(&format!("SET mortal:{key} {key} EX 10000")), ok());
    }
    let value = "v".repeat(8 << 10);
    let write_much = |client: &mut Client, round: usize| {
        for _ in 0..6 {
            for key in 0..250 {
                client.send(&format!("SET turn:{key} {round}:{key}:{value}"));
            }
            for _ in 0..250 {
                assert_eq!(client.receive(), ok());
            }
        }
    };
    for round in 0..2 {
        let mut client = cluster.client(2);
        write_much(&mut client, round);
        kill_all(&mut cluster);
        cluster.start_all();
        let mut client = cluster.client(3);
        for key in 0..200 {
            assert_eq!(client.ask(&format!("GET once:{key}")), bulk(&key.to_string()));
            assert!(matches!(client.ask(&format!("TTL mortal:{key}")), Value::Integer(9000..)));
        }
        for key in 0..250 {
            let expected = format!("{round}:{key}:{value}");
            assert!(client.ask(&format!("GET turn:{key}")) == bulk(&expected), "turn:{key}");
        }
        assert_eq!(client.ask("DBSIZE"), integer(650));
    }
    for node in cluster.nodes() {
        let left = segments(node);
        println!("node {}: log segments {:?}", node.number, left);
        assert!(!left.contains(&first_segment), "the oldest segment was never reclaimed");
        assert!(left.len() < 30, "the log grows without bound: {left:?}");
    }
}

#[test]
fn a_node_that_missed_much_catches_up_and_can_serve_alone_with_another() {
    let small = Plan::of(3).patient().with("segment_bytes", "1MiB").with("log_bytes", "4MiB");
    let mut cluster = small.start();
    cluster[3].kill();
    cluster.wait_for_holders();
    let value = "v".repeat(8 << 10);
    let mut client = cluster.client(1);
    for number in 0..1500 {
        client.send(&format!("SET key:{} {number}:{value}", number % 300));
        assert_eq!(client.receive(), ok());
    }
    cluster.start_all();
    // Leases go only to nodes that have everything, so this is how to wait for the catch-up.
    let shards: Vec<u32> = cluster.holders().into_keys().collect();
    for shard in shards {
        wait_until("the node that was away can hold the shard", || {
            client.ask(&format!("LEASEHOLD TRANSFER {shard} 3")) == ok()
        });
    }
    cluster[1].kill();
    let mut client = cluster.client(3);
    for key in 0..300 {
        let expected = format!("{}:{value}", 1200 + key);
        assert!(client.ask(&format!("GET key:{key}")) == bulk(&expected), "key:{key}");
    }
}

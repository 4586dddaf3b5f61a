//! What the core alone costs: three nodes in one thread, a network and disks that take no time.
//!
//! `cargo run --release -p cluster --example throughput -- [pipeline] [connections] [shards]
//! [requests]` prints nanoseconds of one core for each SET and each GET, all three replicas
//! together. With few requests, under `valgrind --tool=callgrind`, it counts instructions, which
//! other work on the machine doesn't disturb.
#![allow(clippy::print_stdout, missing_docs)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use support::World;
use types::{NodeId, SessionId};

fn argument(at: usize, default: u64) -> u64 {
    std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let (pipeline, connections) = (argument(1, 1), argument(2, 50));
    let mut world = World::new(3, argument(3, 16) as u16);
    world.advance(2000);
    for replica in world.nodes[0].replicas(world.now) {
        if !replica.holds && replica.holder == Some(NodeId(1)) {
            println!("no lease: {replica:?}");
        }
    }
    let sessions: Vec<(usize, SessionId)> = (0..connections)
        .map(|n| {
            let node = (n % 3) as usize;
            (node, world.connect(NodeId(node as u32 + 1)))
        })
        .collect();
    let value = [b'x'; 100];
    let mut replies = Vec::new();
    for command in ["SET", "GET"] {
        let rounds = argument(4, 1_000_000) / (pipeline * connections);
        let begun = Instant::now();
        let mut keys = 0u64;
        let mut answered = 0usize;
        for _ in 0..rounds {
            for &(node, session) in &sessions {
                for _ in 0..pipeline {
                    keys = keys.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let key = format!("key:{:012}", (keys >> 33) % 100_000);
                    let node = &mut world.nodes[node];
                    if command == "SET" {
                        node.request(world.now, session, &[b"SET", key.as_bytes(), &value]);
                    } else {
                        node.request(world.now, session, &[b"GET", key.as_bytes()]);
                    }
                }
            }
            world.run();
            for &(node, session) in &sessions {
                replies.clear();
                world.nodes[node].take_replies(session, &mut replies);
                answered += replies.iter().filter(|byte| **byte == b'\n').count();
                if replies.first() == Some(&b'-') {
                    println!("{}", String::from_utf8_lossy(&replies));
                    return;
                }
            }
        }
        let requests = rounds * pipeline * connections;
        let nanos = begun.elapsed().as_nanos() as u64 / requests;
        println!("{command}: {requests} requests, {answered} lines, {nanos} ns each");
    }
}

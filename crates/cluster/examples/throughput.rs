//! What the core alone costs: three nodes in one thread, a network and disks that take no time.
//!
//! `cargo run --release -p cluster --example throughput -- [pipeline] [connections] [shards]`
//! prints nanoseconds of one core for each SET and each GET, all three replicas together.
#![allow(clippy::print_stdout, missing_docs)]

use std::time::Instant;

use cluster::{ClientAddress, Input, Member, Node, Output, Recovery, Settings};
use types::{Incarnation, Monotonic, NodeId, Now, SegmentId, SessionId, UnixMillis};

struct World {
    nodes: Vec<Node>,
    now: Now,
    out: Vec<Output>,
    wire: Vec<u8>,
}

impl World {
    fn new(shards: u16) -> Self {
        let member = |n: u32| Member {
            node: NodeId(n),
            host: "127.0.0.1".into(),
            port: 7000,
            peer_port: 17000,
        };
        let now = Now { monotonic: Monotonic(1_000_000_000), wall: UnixMillis(1_700_000_000_000) };
        let nodes = (1..=3)
            .map(|n| {
                let mut settings = Settings::new(NodeId(n), (1..=3).map(member).collect());
                settings.shards = shards;
                let recovered = Recovery::new(&settings)
                    .finish(Incarnation(1), std::time::Duration::ZERO)
                    .expect("an empty log");
                Node::new(settings, recovered, 7, now).expect("an empty log")
            })
            .collect();
        Self { nodes, now, out: Vec::new(), wire: Vec::new() }
    }

    /// Lets all nodes work until nothing happens any more.
    fn run(&mut self) {
        loop {
            let mut worked = false;
            for at in 0..self.nodes.len() {
                self.nodes[at].settle(self.now, &mut self.out);
                let from = NodeId(at as u32 + 1);
                for output in std::mem::take(&mut self.out) {
                    match output {
                        Output::Persist { write, .. } => {
                            let segment = SegmentId(1);
                            let done = Input::Persisted { write, segment, oldest: segment };
                            self.nodes[at].step(self.now, done);
                            worked = true;
                        }
                        Output::Send { to, message } => {
                            self.wire.clear();
                            cluster::codec::encode(&message, &mut self.wire);
                            let message = cluster::codec::decode(&self.wire).expect("own message");
                            let to = to.0 as usize - 1;
                            self.nodes[to].step(self.now, Input::Peer { from, message });
                            worked = true;
                        }
                        Output::Observe(event) => {
                            if std::env::var_os("EVENTS").is_some() {
                                println!("{from} {event:?}");
                            }
                        }
                        Output::Replies { .. }
                        | Output::Resume { .. }
                        | Output::Close { .. }
                        | Output::Release { .. }
                        | Output::Stopped => {}
                    }
                }
            }
            if !worked {
                return;
            }
        }
    }

    fn advance(&mut self, millis: u64) {
        for _ in 0..millis / 10 {
            self.now.monotonic.0 += 10_000_000;
            self.now.wall.0 += 10;
            self.run();
        }
    }
}

fn argument(at: usize, default: u64) -> u64 {
    std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let (pipeline, connections) = (argument(1, 1), argument(2, 50));
    let mut world = World::new(argument(3, 16) as u16);
    world.advance(2000);
    for replica in world.nodes[0].replicas(world.now) {
        if !replica.holds && replica.holder == Some(NodeId(1)) {
            println!("no lease: {replica:?}");
        }
    }
    let sessions: Vec<(usize, SessionId)> = (0..connections)
        .map(|n| {
            let node = (n % 3) as usize;
            let session = world.nodes[node].connect(world.now, ClientAddress::default());
            (node, session.expect("few clients"))
        })
        .collect();
    let value = [b'x'; 100];
    let mut replies = Vec::new();
    for command in ["SET", "GET"] {
        let rounds = 1_000_000 / (pipeline * connections);
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

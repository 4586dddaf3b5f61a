//! A cluster without time: messages and disks are instant, clocks move when a test says so.
//!
//! For what needs no faults; the simulator has those.
#![allow(dead_code, missing_docs, unreachable_pub)]

use cluster::{
    ClientAddress, Event, Input, Member, Node, Output, Persisted, Recovery, Settings, Start,
};
use types::{
    DirectoryId, Incarnation, Life, Monotonic, NodeId, Now, SegmentId, SessionId, UnixMillis,
};

pub struct World {
    pub nodes: Vec<Node>,
    pub now: Now,
    pub events: Vec<(NodeId, Event)>,
    pub keep_events: bool,
    out: Vec<Output>,
    wire: Vec<u8>,
}

impl World {
    pub fn new(nodes: u32, shards: u16) -> Self {
        let member = |n: u32| Member::new(NodeId(n), "127.0.0.1", 7000, 17000);
        let now = Now { monotonic: Monotonic(1_000_000_000), wall: UnixMillis(1_700_000_000_000) };
        let node = |n: u32| {
            let mut settings = Settings::new(NodeId(n), (1..=nodes).map(member).collect());
            settings.shards = shards;
            let start = Start {
                incarnation: Incarnation(1),
                life: Life(u64::from(n)),
                directory: DirectoryId(n),
                ..Start::default()
            };
            let recovered = Recovery::default().finish(start).expect("an empty log");
            Node::new(settings, recovered, 7, now).expect("an empty log")
        };
        Self {
            nodes: (1..=nodes).map(node).collect(),
            now,
            events: Vec::new(),
            keep_events: false,
            out: Vec::new(),
            wire: Vec::new(),
        }
    }

    pub fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node.0 as usize - 1]
    }

    /// Lets all nodes work until nothing happens any more.
    pub fn run(&mut self) {
        let mut worked = true;
        while worked {
            worked = false;
            for at in 0..self.nodes.len() {
                worked |= self.turn(at);
            }
        }
    }

    fn turn(&mut self, at: usize) -> bool {
        let mut worked = false;
        self.nodes[at].settle(self.now, &mut self.out);
        let from = NodeId(at as u32 + 1);
        for output in std::mem::take(&mut self.out) {
            match output {
                Output::Persist { write, .. } => {
                    let segment = SegmentId(1);
                    let done = Input::Persisted(Persisted {
                        write,
                        segment,
                        oldest: segment,
                        log_bytes: 0,
                        log_end: write.0,
                    });
                    self.nodes[at].step(self.now, done);
                    worked = true;
                }
                Output::Send { to, message } => {
                    self.wire.clear();
                    cluster::codec::encode(&message, &mut self.wire);
                    let message = cluster::codec::decode(&self.wire).expect("own message");
                    self.nodes[to.0 as usize - 1].step(self.now, Input::Peer { from, message });
                    worked = true;
                }
                Output::Observe(event) => {
                    if self.keep_events {
                        self.events.push((from, event));
                    }
                }
                Output::ReadLog { .. } => panic!("nobody here keeps the log"),
                Output::Replies { .. }
                | Output::Resume { .. }
                | Output::Close { .. }
                | Output::Release { .. }
                | Output::Members(_)
                | Output::BeginAnew
                | Output::Stopped => {}
            }
        }
        worked
    }

    /// Lets time pass, in steps of 10 ms.
    pub fn advance(&mut self, millis: u64) {
        for _ in 0..millis / 10 {
            self.now.monotonic.0 += 10_000_000;
            self.now.wall.0 += 10;
            self.run();
        }
    }

    pub fn connect(&mut self, node: NodeId) -> SessionId {
        let now = self.now;
        self.node(node).connect(now, ClientAddress::default()).expect("few clients")
    }

    /// Sends one request and gives its reply.
    pub fn ask(&mut self, node: NodeId, session: SessionId, request: &str) -> String {
        let args: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        let now = self.now;
        self.node(node).request(now, session, &args);
        self.run();
        let mut reply = Vec::new();
        self.node(node).take_replies(session, &mut reply);
        String::from_utf8(reply).expect("replies of tests are text")
    }
}

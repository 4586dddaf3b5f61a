//! A cluster of real processes on this machine.
//!
//! Every cluster has a loopback address of its own (all of 127.0.0.0/8 leads to this machine), so
//! no other test and no outgoing connection can take its ports while a node is down.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::ops::{Index, IndexMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use resp::Value;

use super::{Client, Directory, Node, wait_until};

/// Lines of each node's log that are shown when a test fails.
const LINES_SHOWN: usize = 60;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// What a cluster shall be like.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    nodes: u32,
    settings: Vec<String>,
}

impl Plan {
    /// So many nodes, everything else as it is by default.
    pub(crate) fn of(nodes: u32) -> Self {
        Self { nodes, settings: Vec::new() }
    }

    /// Waits long for leases instead of answering errors, so that a busy machine fails no test
    /// that is about something else.
    pub(crate) fn patient(self) -> Self {
        self.with("park_time", "30s").with("request_time", "50s")
    }

    /// One more setting, for all nodes.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// Prepares the cluster without starting any node.
    pub(crate) fn prepare(self) -> Cluster {
        let directory = Directory::new();
        let host = own_loopback_address();
        // All are held at once, so that no two are the same.
        let listeners: Vec<TcpListener> = (0..self.nodes * 2)
            .map(|_| TcpListener::bind((host, 0)).expect("a loopback address has free ports"))
            .collect();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("it is bound").port())
            .collect();
        let members: Vec<String> = (ports.chunks_exact(2).zip(1..))
            .map(|(ports, number)| format!("{number}={host}:{}:{}", ports[0], ports[1]))
            .collect();
        let node = |(ports, number): (&[u16], u32)| {
            let mut settings = vec![
                format!("node={number}"),
                format!("members={}", members.join(",")),
                format!("listen={host}"),
                format!("peer_listen={host}"),
                format!("dir={}", directory.join(&format!("node-{number}")).display()),
                // The test's disk may be nearly full; that is not what is tested.
                String::from("disk_reserve=0"),
            ];
            settings.extend(self.settings.iter().cloned());
            Node::new(number, SocketAddr::new(host, ports[0]), directory.path(), settings)
        };
        let nodes = ports.chunks_exact(2).zip(1..).map(node).collect();
        Cluster { nodes, directory }
    }

    /// Starts a cluster; answers when every shard has a holder.
    pub(crate) fn start(self) -> Cluster {
        let mut cluster = self.prepare();
        cluster.start_all();
        cluster
    }
}

/// An address that only this cluster uses, of this process and of all that run now.
fn own_loopback_address() -> IpAddr {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let last = u8::try_from(number % 250).expect("it is small") + 2;
    // Numbers of processes have 22 bits; 127.0.x.y is what everybody else uses.
    IpAddr::V4(Ipv4Addr::new(127, 64 | (high & 63), middle.wrapping_add(low), last.max(low / 2)))
}

/// The nodes, by their numbers.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    // After the nodes, so that it is removed when they have ended.
    directory: Directory,
}

impl Cluster {
    /// Starts every node that is not running; answers when every shard has a holder.
    pub(crate) fn start_all(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| !node.is_running()) {
            node.start();
        }
        self.wait_for_holders();
    }

    /// A place for other files of the test.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All nodes.
    pub(crate) fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Where clients reach all nodes but one.
    pub(crate) fn addresses_without(&self, number: u32) -> Vec<SocketAddr> {
        let others = self.nodes.iter().filter(|node| node.number != number);
        others.map(|node| node.address).collect()
    }

    /// Where clients reach all nodes.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// A new connection to a node.
    pub(crate) fn client(&self, number: u32) -> Client {
        Client::connect(self[number].address)
    }

    /// Waits until every shard has a holder among the nodes that run.
    pub(crate) fn wait_for_holders(&self) {
        let running: Vec<u32> =
            self.nodes.iter().filter(|node| node.is_running()).map(|node| node.number).collect();
        self.wait_for("every shard has a holder that runs", &running, |holders| {
            holders.values().all(|holder| running.contains(holder))
        });
    }

    /// Waits until the nodes asked agree that a node holds nothing.
    pub(crate) fn wait_until_without_leases(&self, number: u32) {
        let others: Vec<u32> = self
            .nodes
            .iter()
            .filter(|node| node.is_running() && node.number != number)
            .map(|node| node.number)
            .collect();
        self.wait_for("others hold its shards", &others, |holders| {
            holders.values().all(|holder| others.contains(holder))
        });
    }

    fn wait_for(&self, what: &str, asked: &[u32], is_true: impl Fn(&Holders) -> bool) {
        for &number in asked {
            wait_until(&format!("as node {number} sees it, {what}"), || {
                self.try_holders(number).is_some_and(|holders| is_true(&holders))
            });
        }
    }

    /// Who holds which shard, as a node sees it; 0 stands for nobody.
    pub(crate) fn holders(&self, asked: u32) -> Holders {
        self.try_holders(asked).expect("the node answers LEASEHOLD SHARDS")
    }

    fn try_holders(&self, asked: u32) -> Option<Holders> {
        let mut client = Client::try_connect(self[asked].address).ok()?;
        let reply = client.try_ask("LEASEHOLD SHARDS").ok()?;
        let Value::Array(shards) = reply else { return None };
        let holders = shards.iter().map(|shard| Some((field(shard, "shard")?, field(shard, "holder").unwrap_or(0))));
        holders.collect::<Option<Holders>>().filter(|holders| !holders.is_empty())
    }
}

/// Holders by shard.
pub(crate) type Holders = BTreeMap<u32, u32>;

/// A number in a list of names and values.
fn field(shard: &Value, name: &str) -> Option<u32> {
    let Value::Array(items) = shard else { return None };
    let pair = items.chunks_exact(2).find(|pair| pair[0] == Value::Bulk(name.into()))?;
    match &pair[1] {
        Value::Integer(number) => u32::try_from(*number).ok(),
        _ => None,
    }
}

impl Index<u32> for Cluster {
    type Output = Node;

    /// A node by its number.
    fn index(&self, number: u32) -> &Node {
        self.nodes.iter().find(|node| node.number == number).expect("the node exists")
    }
}

impl IndexMut<u32> for Cluster {
    fn index_mut(&mut self, number: u32) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.number == number).expect("the node exists")
    }
}

impl Drop for Cluster {
    /// No node may ever have panicked, whatever the test was about.
    fn drop(&mut self) {
        let failed = thread::panicking();
        for node in &self.nodes {
            let log = node.log();
            if failed {
                let lines: Vec<&str> = log.lines().collect();
                let from = lines.len().saturating_sub(LINES_SHOWN);
                eprintln!("the end of node {}'s log:\n{}", node.number, lines[from..].join("\n"));
            } else {
                assert!(!log.contains("panicked"), "node {} panicked:\n{log}", node.number);
            }
        }
    }
}

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
    /// So many nodes; but for the log's size everything is as it is by default.
    pub(crate) fn of(nodes: u32) -> Self {
        // Segments are written full of zeros before they are used: small ones keep the disk free
        // for what is tested, on machines where many tests share it.
        Self { nodes, settings: Vec::new() }
            .with("segment_bytes", "4MiB")
            .with("log_bytes", "64MiB")
    }

    /// Waits long for leases instead of answering errors, so that a busy machine fails no test
    /// that is about something else.
    pub(crate) fn patient(self) -> Self {
        self.with("park_time", "30s").with("request_time", "50s")
    }

    /// Believes in its leases longer than the machine's disk is likely to stand still.
    pub(crate) fn steady(self) -> Self {
        self.patient().with("support_duration", "3s").with("transfer_time", "10s")
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
        let listeners: Vec<TcpListener> = (0..self.nodes * 3)
            .map(|_| TcpListener::bind((host, 0)).expect("a loopback address has free ports"))
            .collect();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("it is bound").port())
            .collect();
        let members: Vec<String> = (ports.chunks_exact(3).zip(1..))
            .map(|(ports, number)| format!("{number}={host}:{}:{}", ports[0], ports[1]))
            .collect();
        let node = |(ports, number): (&[u16], u32)| {
            let http = SocketAddr::new(host, ports[2]);
            let mut settings = vec![
                format!("node={number}"),
                format!("http_listen={http}"),
                format!("members={}", members.join(",")),
                format!("listen={host}"),
                format!("peer_listen={host}"),
                format!("dir={}", directory.join(&format!("node-{number}")).display()),
                // The test's disk may be nearly full; that is not what is tested.
                String::from("disk_reserve=0"),
            ];
            settings.extend(self.settings.iter().cloned());
            let addresses = [SocketAddr::new(host, ports[0]), http];
            Node::new(number, addresses, directory.path(), settings)
        };
        let nodes = ports.chunks_exact(3).zip(1..).map(node).collect();
        Cluster { nodes, settings: self.settings, directory }
    }

    /// Starts a cluster; answers when every shard has a holder.
    pub(crate) fn start(self) -> Cluster {
        let mut cluster = self.prepare();
        cluster.start_all();
        cluster
    }
}

/// An address that only this cluster uses: no other of this process, and none of processes that
/// run at the same time, whose numbers differ in their lowest 15 bits.
fn own_loopback_address() -> IpAddr {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let last = u8::try_from(number).ok().filter(|last| *last < 250).expect("so many clusters");
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // 127.0.x.y is what everybody else uses.
    IpAddr::V4(Ipv4Addr::new(127, 64 + (high & 127), low, last + 2))
}

/// The nodes, by their numbers.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    settings: Vec<String>,
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

    /// One more node, which does not run yet and is no member yet; answers as what it may join.
    pub(crate) fn add_node(&mut self) -> String {
        let host = self.nodes[0].address.ip();
        let number = self.nodes.len() as u32 + 1;
        let listeners = [(); 3].map(|()| TcpListener::bind((host, 0)).expect("free ports"));
        let ports = listeners.map(|it| it.local_addr().expect("it is bound").port());
        let member = format!("{number}={host}:{}:{}", ports[0], ports[1]);
        let members = self.nodes[0].setting("members");
        let first = members.split(',').next().expect("there are members");
        let mut settings = vec![
            format!("node={number}"),
            format!("http_listen={host}:{}", ports[2]),
            format!("members={first},{member}"),
            format!("listen={host}"),
            format!("peer_listen={host}"),
            format!("dir={}", self.directory.join(&format!("node-{number}")).display()),
            String::from("disk_reserve=0"),
        ];
        settings.extend(self.settings.iter().cloned());
        let addresses = [ports[0], ports[2]].map(|port| SocketAddr::new(host, port));
        self.nodes.push(Node::new(number, addresses, self.directory.path(), settings));
        member
    }

    /// Gives all nodes, none of which runs, other addresses; answers as what members they go.
    pub(crate) fn move_all(&mut self) -> Vec<String> {
        let host = own_loopback_address();
        let listeners: Vec<TcpListener> = (0..self.nodes.len() * 3)
            .map(|_| TcpListener::bind((host, 0)).expect("a loopback address has free ports"))
            .collect();
        let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
        let ports: Vec<u16> = listeners.iter().map(port).collect();
        let members: Vec<String> = (ports.chunks_exact(3).zip(1..))
            .map(|(ports, number)| format!("{number}={host}:{}:{}", ports[0], ports[1]))
            .collect();
        for (node, ports) in self.nodes.iter_mut().zip(ports.chunks_exact(3)) {
            node.address = SocketAddr::new(host, ports[0]);
            node.http = SocketAddr::new(host, ports[2]);
            let http = node.http.to_string();
            node.set("members", &members.join(","));
            node.set("http_listen", &http);
            node.set("listen", &host.to_string());
            node.set("peer_listen", &host.to_string());
        }
        members
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

    /// Waits until every shard has a holder and every node that serves knows it.
    pub(crate) fn wait_for_holders(&self) {
        self.wait_for("every shard has a holder", |holders| !holders.values().any(Option::is_none));
        wait_until("every node knows the holders", || {
            let views = self.nodes.iter().filter(|node| node.is_serving()).map(views_of);
            let views: Vec<_> = views.collect();
            views.windows(2).all(|pair| pair[0] == pair[1])
        });
    }

    /// Waits until every shard has a holder, and never this one.
    pub(crate) fn wait_until_without_leases(&self, number: u32) {
        self.wait_for(&format!("nodes other than {number} hold everything"), |holders| {
            holders.values().all(|holder| holder.is_some_and(|holder| holder != number))
        });
    }

    /// Waits until a node itself knows of this many votes in every shard, its own among them.
    pub(crate) fn wait_until_voters(&self, number: u32, count: usize) {
        wait_until(&format!("node {number} is one of {count} voters of every shard"), || {
            let shards = shards_of(&self[number]);
            let votes = |shard: &Value| {
                field(shard, "replica_here") == Some(1)
                    && length(shard, "voters") == count
                    && length(shard, "learners") == 0
            };
            !shards.is_empty() && shards.iter().all(votes)
        });
    }

    fn wait_for(&self, what: &str, is_true: impl Fn(&Holders) -> bool) {
        wait_until(what, || {
            let holders = self.holders();
            !holders.is_empty() && is_true(&holders)
        });
    }

    /// Who holds which shard, asked of those who should know: the nodes themselves.
    pub(crate) fn holders(&self) -> Holders {
        let mut holders = Holders::new();
        for node in self.nodes.iter().filter(|node| node.is_serving()) {
            for shard in shards_of(node) {
                let name = field(&shard, "shard").expect("a shard has a number");
                let holder = holders.entry(name).or_insert(None);
                if field(&shard, "lease_valid") == Some(1) {
                    *holder = Some(node.number);
                }
            }
        }
        holders
    }
}

/// Holders by shard.
pub(crate) type Holders = BTreeMap<u32, Option<u32>>;

/// What a node says of each shard. Nothing, if it has just been started and does not listen yet.
fn shards_of(node: &Node) -> Vec<Value> {
    let client = Client::try_connect(node.address);
    let reply = client.and_then(|mut client| client.try_ask("LEASEHOLD SHARDS"));
    if let Ok(Value::Array(shards)) = reply { shards } else { Vec::new() }
}

/// Holder and epoch of each shard, as a node knows them.
fn views_of(node: &Node) -> Vec<(Option<u32>, Option<u32>)> {
    let view = |shard: &Value| (field(shard, "holder"), field(shard, "epoch"));
    shards_of(node).iter().map(view).collect()
}

/// A number in a list of names and values.
fn field(shard: &Value, name: &str) -> Option<u32> {
    let Value::Array(items) = shard else { return None };
    let mut pairs = items.chunks_exact(2);
    let pair = pairs.find(|pair| pair[0] == Value::Bulk(name.into()))?;
    if let Value::Integer(number) = pair[1] { u32::try_from(number).ok() } else { None }
}

/// How many items a list in a list of names and values has.
fn length(shard: &Value, name: &str) -> usize {
    let Value::Array(items) = shard else { return 0 };
    let mut pairs = items.chunks_exact(2);
    let pair = pairs.find(|pair| pair[0] == Value::Bulk(name.into()));
    match pair.map(|pair| &pair[1]) {
        Some(Value::Array(items)) => items.len(),
        Some(_) | None => 0,
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

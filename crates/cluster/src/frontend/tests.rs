//! Requests and replies of a node of a cluster of one, and of one that has yet to hear of others.
//!
//! `testdata/redis.txt` holds what a real Redis 7.0.15 in cluster mode answers, byte for byte;
//! `testdata/own.txt` what we answer where we differ on purpose.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use resp::Handler;
use resp::command::{Command, commands};
use types::{
    DirectoryId, Incarnation, Life, Monotonic, NodeId, Now, SegmentId, SessionId, UnixMillis,
};

use crate::{
    ClientAddress, Input, Member, Message, Node, Output, Persisted, Recovery, Settings, Start,
};

/// The life of the node itself.
pub(super) const OWN_LIFE: Life = Life(1);
/// The life of the node that tests speak for.
pub(super) const PEER_LIFE: Life = Life(2);

/// A node, its clock, and what it wanted done.
pub(super) struct Driver {
    pub(super) node: Node,
    pub(super) now: Now,
    pub(super) messages: Vec<(NodeId, Message)>,
    closed: Vec<SessionId>,
}

pub(super) fn settings(nodes: u32) -> Settings {
    let member = |node| Member::new(NodeId(node), &alloc::format!("10.0.0.{node}"), 7000, 17000);
    let mut settings = Settings::new(NodeId(1), (1..=nodes).map(member).collect());
    settings.shards = 4;
    settings
}

impl Driver {
    pub(super) fn new(settings: Settings) -> Self {
        let now = Now { monotonic: Monotonic(1_000_000_000), wall: UnixMillis(1_700_000_000_123) };
        let recovery = Recovery::default();
        let start = Start {
            incarnation: Incarnation(1),
            life: OWN_LIFE,
            directory: DirectoryId(1),
            ..Start::default()
        };
        let recovered = recovery.finish(start).expect("an empty log");
        let node = Node::new(settings, recovered, 7, now).expect("a fresh node");
        let mut driver = Self { node, now, messages: Vec::new(), closed: Vec::new() };
        driver.wait(2000);
        driver
    }

    /// Lets time pass, turn by turn.
    pub(super) fn wait(&mut self, millis: u64) {
        for _ in 0..millis.div_ceil(50) {
            self.now.monotonic = self.now.monotonic + Duration::from_millis(50);
            self.now.wall = UnixMillis(self.now.wall.0 + 50);
            self.node.step(self.now, Input::Tick);
            self.settle();
        }
    }

    /// Ends turns until nothing is left to do; the disk is instantaneous.
    pub(super) fn settle(&mut self) {
        loop {
            let mut outputs = Vec::new();
            self.node.settle(self.now, &mut outputs);
            let mut persisted = None;
            for output in outputs {
                match output {
                    Output::Persist { write, .. } => persisted = Some(write),
                    Output::Send { to, message } => self.messages.push((to, message)),
                    Output::Close { session } => self.closed.push(session),
                    Output::Replies { .. }
                    | Output::Resume { .. }
                    | Output::Release { .. }
                    | Output::ReadLog { .. }
                    | Output::Members(_)
                    | Output::Observe(_)
                    | Output::BeginAnew
                    | Output::Stopped => {}
                }
            }
            let Some(write) = persisted else { return };
            let segment = SegmentId(1);
            let log_end = write.0;
            let done = Input::Persisted(Persisted {
                write,
                segment,
                oldest: segment,
                log_bytes: 0,
                log_end,
            });
            self.node.step(self.now, done);
        }
    }

    pub(super) fn connect(&mut self) -> SessionId {
        let address = ClientAddress {
            host: String::from("127.0.0.1"),
            port: 50_000,
            local: String::from("10.0.0.1:7000"),
        };
        self.node.connect(self.now, address).expect("there is room")
    }

    pub(super) fn ask(&mut self, session: SessionId, line: &str) -> String {
        let args = words(line);
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        self.node.request(self.now, session, &args);
        self.settle();
        let mut bytes = Vec::new();
        self.node.take_replies(session, &mut bytes);
        String::from_utf8(bytes).expect("replies of these tests are text").replace("\r\n", "\n")
    }
}

/// Splits a line as a shell does, as far as these tests need it.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_ascii_whitespace().map(String::from));
        }
    }
    words
}

/// The requests of a file and their replies.
fn script(text: &str) -> Vec<(&str, String)> {
    let mut script: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        if let Some(request) = line.strip_prefix("> ") {
            script.push((request, String::new()));
        } else if let Some((_, reply)) = script.last_mut() {
            reply.push_str(line);
            reply.push('\n');
        }
    }
    script
}

fn is_as_expected(reply: &str, expected: &str) -> bool {
    let (mut lines, mut wanted) = (reply.split('\n'), expected.split('\n'));
    loop {
        match (lines.next(), wanted.next()) {
            (None, None) => return true,
            (Some(line), Some(want)) if line == want || want == "<any>" => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

fn replay(text: &str) {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    let mut wrong = String::new();
    for (request, expected) in script(text) {
        let reply = driver.ask(session, request);
        if !is_as_expected(&reply, &expected) {
            wrong += &alloc::format!("> {request}\n{reply}instead of\n{expected}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn replies_are_those_of_redis() {
    replay(include_str!("testdata/redis.txt"));
}

#[test]
fn replies_of_our_own() {
    replay(include_str!("testdata/own.txt"));
}

#[test]
fn every_command_of_the_table_has_a_handler() {
    let mut driver = Driver::new(settings(1));
    let ours = |command: &&Command| {
        matches!(command.handler, Handler::Connection | Handler::Server | Handler::Cluster)
            && command.id().is_some()
    };
    let all = commands().chain(commands().flat_map(|command| command.subcommands.iter()));
    let mut count = 0;
    for command in all.filter(ours) {
        let session = driver.connect();
        let mut line = command.name.replace('|', " ");
        while !command.accepts(words(&line).len()) {
            line += " 1";
        }
        let reply = driver.ask(session, &line);
        assert!(!reply.contains("has no handler"), "{line}: {reply}");
        let silent = command.name == "client|reply";
        assert!(silent || !reply.is_empty(), "{line} has no reply");
        count += 1;
    }
    assert!(count > 60, "only {count} commands were asked for");
}

#[test]
fn a_password_can_be_set_and_taken_back() {
    let mut driver = Driver::new(settings(1));
    let first = driver.connect();
    assert_eq!(driver.ask(first, "CONFIG SET requirepass sekret"), "+OK\n");
    assert_eq!(driver.ask(first, "PING"), "+PONG\n", "who was there stays");
    let session = driver.connect();
    assert_eq!(driver.ask(session, "PING"), "-NOAUTH Authentication required.\n");
    let hello = driver.ask(session, "HELLO 3");
    assert!(hello.starts_with("-NOAUTH HELLO must be called"), "{hello}");
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\n";
    assert_eq!(driver.ask(session, "AUTH wrong"), wrong);
    assert_eq!(driver.ask(session, "AUTH bob sekret"), wrong);
    assert_eq!(driver.ask(session, "HELLO 3 AUTH default wrong"), wrong);
    assert_eq!(driver.ask(session, "PING"), "-NOAUTH Authentication required.\n");
    let hello = driver.ask(session, "HELLO 3 AUTH default sekret SETNAME me");
    assert!(hello.starts_with("%7\n$6\nserver\n$5\nredis\n"), "{hello}");
    assert_eq!(driver.ask(session, "CLIENT GETNAME"), "$2\nme\n");
    assert_eq!(driver.ask(session, "RESET"), "+RESET\n");
    assert_eq!(driver.ask(session, "PING"), "-NOAUTH Authentication required.\n");
    assert_eq!(driver.ask(session, "AUTH default sekret"), "+OK\n");
    let other = driver.connect();
    assert_eq!(driver.ask(session, "CONFIG SET requirepass \"\""), "+OK\n");
    assert_eq!(driver.ask(other, "PING"), "+PONG\n");
}

#[test]
fn clients_are_closed_by_number_and_by_address() {
    let mut driver = Driver::new(settings(1));
    let (first, second, third) = (driver.connect(), driver.connect(), driver.connect());
    assert_eq!(driver.ask(first, "CLIENT ID"), ":1\n");
    assert_eq!(driver.ask(first, "CLIENT KILL ID 2"), ":1\n");
    assert_eq!(driver.closed, [second]);
    assert_eq!(driver.ask(second, "PING"), "", "a closing connection is not served");
    assert_eq!(driver.ask(first, "CLIENT KILL ID 1"), ":0\n", "SKIPME is the default");
    driver.node.step(driver.now, Input::Disconnected { session: second });
    assert_eq!(driver.ask(first, "CLIENT KILL 127.0.0.1:50000"), "+OK\n");
    assert!(driver.closed.contains(&third) && driver.closed.contains(&first));
}

#[test]
fn a_connection_is_described_in_one_line() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    driver.ask(session, "CLIENT SETINFO LIB-NAME redis-py");
    driver.ask(session, "CLIENT SETNAME me");
    driver.connect();
    driver.wait(3000);
    let info = driver.ask(session, "CLIENT INFO");
    for part in [
        "id=1 addr=127.0.0.1:50000 laddr=10.0.0.1:7000 fd=0 name=me age=3 idle=0 flags=N db=0 ",
        " multi=-1 ",
        " cmd=client|info user=default redir=-1 resp=2 lib-name=redis-py lib-ver=\n",
    ] {
        assert!(info.contains(part), "{part} in {info}");
    }
    let list = driver.ask(session, "CLIENT LIST");
    assert!(list.contains("\nid=1 ") && list.contains("\nid=2 "), "{list}");
    let list = driver.ask(session, "CLIENT LIST ID 2");
    assert!(!list.contains("id=1 ") && list.contains("\nid=2 "), "{list}");
    driver.ask(session, "MULTI");
    let other = driver.connect();
    let list = driver.ask(other, "CLIENT LIST");
    assert!(list.contains(" flags=x ") && list.contains(" multi=0 "), "{list}");
}

#[test]
fn replies_can_be_turned_off_for_requests_that_take_time() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    let mut pipeline = |lines: &[&str]| {
        for line in lines {
            let args = words(line);
            let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
            driver.node.request(driver.now, session, &args);
        }
        driver.settle();
        let mut bytes = Vec::new();
        driver.node.take_replies(session, &mut bytes);
        String::from_utf8(bytes).expect("text").replace("\r\n", "\n")
    };
    let skipped = pipeline(&["SET k 1", "CLIENT REPLY SKIP", "INCR k", "INCR k"]);
    assert_eq!(skipped, "+OK\n:3\n");
    let off = pipeline(&["INCR k", "CLIENT REPLY OFF", "INCR k", "CLIENT REPLY ON", "INCR k"]);
    assert_eq!(off, ":4\n+OK\n:6\n", "what was sent before is answered");
}

#[test]
fn whoever_asks_for_the_topology_is_made_known_to_the_other_nodes() {
    let mut driver = Driver::new(settings(3));
    let session = driver.connect();
    let told = |driver: &mut Driver| {
        let messages = core::mem::take(&mut driver.messages);
        let is_news =
            |(_, message): &&(NodeId, Message)| matches!(message, Message::TopologyClient { .. });
        messages.iter().filter(is_news).map(|(to, _)| to.0).collect::<Vec<_>>()
    };
    driver.ask(session, "CLUSTER SLOTS");
    assert_eq!(told(&mut driver), Vec::<u32>::new(), "without a library's name");
    driver.ask(session, "CLIENT SETINFO LIB-NAME redis-py");
    driver.ask(session, "CLUSTER SLOTS");
    driver.ask(session, "CLUSTER NODES");
    assert_eq!(told(&mut driver), vec![2, 3]);
    driver.wait(60_000);
    driver.ask(session, "CLUSTER SHARDS");
    assert_eq!(told(&mut driver), vec![2, 3]);
}

#[test]
fn slots_that_nobody_is_known_to_hold_are_not_listed() {
    let mut driver = Driver::new(settings(3));
    let session = driver.connect();
    assert_eq!(driver.ask(session, "CLUSTER SLOTS"), "*0\n");
    let info = driver.ask(session, "CLUSTER INFO");
    assert!(info.contains("cluster_state:fail\n"), "nobody can be elected: {info}");
    let nodes = driver.ask(session, "CLUSTER NODES");
    assert!(nodes.contains(" 10.0.0.1:7000@17000 myself,master - 0 0 0 connected\n"), "{nodes}");
    assert!(nodes.contains(" 10.0.0.2:7000@17000 master,fail? - 0 0 0 disconnected"));
}

#[test]
fn info_has_the_fields_that_tools_read() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    driver.ask(session, "SET a 1");
    driver.ask(session, "SET b 1 EX 100");
    let info = driver.ask(session, "INFO everything");
    for field in [
        "redis_version:7.0.15",
        "redis_mode:cluster",
        "tcp_port:7000",
        "connected_clients:1",
        "loading:0",
        "role:master",
        "connected_slaves:0",
        "cluster_enabled:1",
        "db0:keys=2,expires=1",
        "total_commands_processed:2",
        "shards_held:4",
        "leases_valid:4",
        "disk_writes_under_way:0",
    ] {
        assert!(info.lines().any(|line| line == field), "{field} in {info}");
    }
    for field in ["used_memory", "instantaneous_ops_per_sec", "master_repl_offset", "process_id"] {
        let prefix = alloc::format!("{field}:");
        assert!(info.lines().any(|line| line.starts_with(&prefix)), "{field} in {info}");
    }
    assert!(info.contains("cmdstat_set:calls=2,usec="));
    for line in info.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(line.contains(':'), "{line}");
    }
    driver.ask(session, "CONFIG RESETSTAT");
    let stats = driver.ask(session, "INFO stats");
    assert!(stats.contains("total_commands_processed:1\n"), "{stats}");
    assert!(!stats.contains("# Server"));
}

#[test]
fn settings_change_while_the_node_runs() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    assert_eq!(driver.ask(session, "CONFIG SET proto-max-bulk-len 2mb maxclients 1"), "+OK\n");
    assert_eq!(driver.node.argument_bytes(), 2 << 20);
    assert!(driver.node.connect(driver.now, ClientAddress::default()).is_err());
    let stats = driver.ask(session, "INFO stats");
    assert!(stats.contains("rejected_connections:1\n"), "{stats}");
    // All or nothing.
    let refused = driver.ask(session, "CONFIG SET leasehold-park-time 5 leasehold-redirect maybe");
    assert!(refused.starts_with("-ERR CONFIG SET failed (possibly related"), "{refused}");
    let kept = driver.ask(session, "CONFIG GET leasehold-park-time");
    assert_eq!(kept, "*2\n$19\nleasehold-park-time\n$4\n1500\n");
}

#[test]
fn every_parameter_takes_the_value_that_it_shows() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    let all = driver.ask(session, "CONFIG GET *");
    let lines: Vec<&str> = all.lines().skip(1).collect();
    // Length, name, length, value.
    let (pairs, rest) = lines.as_chunks::<4>();
    assert!(rest.is_empty() && pairs.len() > 100, "{all}");
    for [_, name, _, value] in pairs {
        let reply = driver.ask(session, &alloc::format!("CONFIG SET {name} \"{value}\""));
        assert_eq!(reply, "+OK\n", "{name}");
    }
    assert_eq!(driver.ask(session, "CONFIG GET *"), all);
}

#[test]
fn a_lease_is_not_moved_to_where_it_cannot_go() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    assert_eq!(driver.ask(session, "LEASEHOLD TRANSFER s1 n1"), "+OK\n");
    for (line, text) in [
        ("LEASEHOLD TRANSFER x 1", "'x' is not a shard"),
        ("LEASEHOLD TRANSFER 1 x", "'x' is not a node"),
        ("LEASEHOLD TRANSFER 9 1", "there is no shard s9"),
        ("LEASEHOLD TRANSFER 1 9", "there is no node n9"),
        ("LEASEHOLD TRANSFER 1 1 1", "takes a shard and the node"),
        ("LEASEHOLD SHARDS 9", "there is no shard '9'"),
    ] {
        let reply = driver.ask(session, line);
        assert!(reply.starts_with("-ERR ") && reply.contains(text), "{line}: {reply}");
    }
}

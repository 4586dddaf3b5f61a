//! What INFO and SLOWLOG say about commands, and what is refused because too much is under way.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use types::{Incarnation, LeaseEpoch, NodeId, SessionId, ShardId, Slot, SlotRange, SupportEpoch};

use super::tests::{Driver, OWN_LIFE, PEER_LIFE, settings, words};
use crate::entry;
use crate::io::{Admission, Condition, ForwardOutcome, ForwardedRequest, Introduction};
use crate::{Input, Membership, Message, Settings};

impl Driver {
    /// Sends a request and lets this much time pass before the turn ends.
    fn ask_slowly(&mut self, session: SessionId, line: &str, millis: u64) -> String {
        let args = words(line);
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        self.node.request(self.now, session, &args);
        self.now.monotonic = self.now.monotonic + Duration::from_millis(millis);
        self.now.wall.0 += millis;
        self.settle();
        self.replies(session)
    }

    fn replies(&mut self, session: SessionId) -> String {
        let mut bytes = Vec::new();
        self.node.take_replies(session, &mut bytes);
        String::from_utf8(bytes).expect("replies of these tests are text").replace("\r\n", "\n")
    }

    /// A line of INFO.
    fn info(&mut self, session: SessionId, section: &str, field: &str) -> Option<String> {
        let info = self.ask(session, &alloc::format!("INFO {section}"));
        let prefix = alloc::format!("{field}:");
        info.lines().find_map(|line| line.strip_prefix(&prefix)).map(String::from)
    }
}

#[test]
fn slow_commands_are_logged_with_what_was_asked() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    driver.ask(session, "CLIENT SETNAME me");
    for line in ["SET k v", "GETRANGE k 0 1", "GET k", "PING", "DBSIZE"] {
        driver.ask_slowly(session, line, 20);
    }
    driver.ask_slowly(session, "SET fast enough", 9);
    assert_eq!(driver.ask(session, "SLOWLOG LEN"), ":3\n", "fast commands aren't the reason");
    let seconds = driver.now.wall.0 / 1000;
    let log = driver.ask(session, "SLOWLOG GET -1");
    let who = "$15\n127.0.0.1:50000\n$2\nme\n";
    let expected = alloc::format!(
        "*3\n\
         *6\n:2\n:{seconds}\n:20000\n*1\n$6\ndbsize\n{who}\
         *6\n:1\n:{seconds}\n:20000\n*4\n$8\nGETRANGE\n$1\nk\n$1\n0\n$1\n1\n{who}\
         *6\n:0\n:{seconds}\n:20000\n*3\n$3\nset\n$1\nk\n$1\nv\n{who}"
    );
    assert_eq!(log, expected);
    assert!(driver.ask(session, "SLOWLOG GET 1").starts_with("*1\n*6\n:2\n"));
    assert_eq!(driver.ask(session, "SLOWLOG RESET"), "+OK\n");
    assert_eq!(driver.ask(session, "SLOWLOG GET"), "*0\n");
    driver.ask_slowly(session, "SET k v", 20);
    assert!(driver.ask(session, "SLOWLOG GET").starts_with("*1\n*6\n:3\n"), "numbers go on");
}

#[test]
fn the_slow_log_obeys_its_settings() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    assert_eq!(driver.ask(session, "CONFIG SET slowlog-log-slower-than -1"), "+OK\n");
    driver.ask_slowly(session, "SET k v", 1000);
    assert_eq!(driver.ask(session, "SLOWLOG LEN"), ":0\n");
    driver.ask(session, "CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 2");
    for line in ["GET k", "PING", "EXISTS k"] {
        driver.ask(session, line);
    }
    let log = driver.ask(session, "SLOWLOG GET");
    assert!(log.starts_with("*2\n") && log.contains("EXISTS") && log.contains("PING"), "{log}");
    driver.ask(session, "CONFIG SET slowlog-max-len 100 requirepass sekret");
    driver.ask(session, "AUTH sekret");
    let log = driver.ask(session, "SLOWLOG GET");
    assert!(!log.contains("sekret") && log.contains("(redacted)"), "{log}");
    let shown = driver.ask(session, "CONFIG GET slowlog-*");
    let expected = "*4\n$23\nslowlog-log-slower-than\n$1\n0\n$15\nslowlog-max-len\n$3\n100\n";
    assert_eq!(shown, expected);
}

#[test]
fn calls_failures_and_refusals_are_counted_with_their_times() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    driver.ask_slowly(session, "SET k text", 3);
    driver.ask_slowly(session, "SET k text", 1);
    driver.ask_slowly(session, "GET k", 2);
    driver.ask(session, "INCR k");
    driver.ask(session, "GET");
    driver.ask(session, "MGET a b");
    driver.ask(session, "NOSUCH");
    let mut stat = |name: &str| {
        driver.info(session, "commandstats", &alloc::format!("cmdstat_{name}")).unwrap_or_default()
    };
    let text = "calls=2,usec=4000,usec_per_call=2000.00,rejected_calls=0,failed_calls=0";
    assert_eq!(stat("set"), text);
    let text = "calls=1,usec=2000,usec_per_call=2000.00,rejected_calls=1,failed_calls=0";
    assert_eq!(stat("get"), text);
    assert!(stat("incr").ends_with("rejected_calls=0,failed_calls=1"), "{}", stat("incr"));
    assert!(stat("mget").starts_with("calls=0,") && stat("mget").contains("rejected_calls=1"));
    assert_eq!(driver.info(session, "errorstats", "errorstat_ERR").as_deref(), Some("count=3"));
    let crossed = driver.info(session, "errorstats", "errorstat_CROSSSLOT");
    assert_eq!(crossed.as_deref(), Some("count=1"));
    assert_eq!(driver.info(session, "stats", "total_error_replies").as_deref(), Some("4"));
    driver.ask(session, "CONFIG RESETSTAT");
    assert_eq!(driver.info(session, "commandstats", "cmdstat_set"), None);
    assert_eq!(driver.info(session, "stats", "total_error_replies").as_deref(), Some("0"));
}

#[test]
fn transactions_count_what_they_run() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    for line in ["MULTI", "SET k text", "INCR k", "PING", "EXEC"] {
        driver.ask_slowly(session, line, 5);
    }
    driver.ask(session, "MULTI");
    driver.ask(session, "DEL k");
    driver.ask(session, "DISCARD");
    let info = driver.ask(session, "INFO commandstats");
    for line in [
        "cmdstat_set:calls=1,usec=5000,usec_per_call=5000.00,rejected_calls=0,failed_calls=0",
        "cmdstat_incr:calls=1,usec=5000,usec_per_call=5000.00,rejected_calls=0,failed_calls=1",
        "cmdstat_ping:calls=1,usec=5000,usec_per_call=5000.00,rejected_calls=0,failed_calls=0",
        "cmdstat_exec:calls=1,usec=5000,usec_per_call=5000.00,rejected_calls=0,failed_calls=0",
    ] {
        assert!(info.lines().any(|other| other == line), "{line} in {info}");
    }
    assert!(!info.contains("cmdstat_del"), "{info}");
}

#[test]
fn keys_that_are_found_missed_and_expired_are_counted() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    for line in [
        "SET k v",
        "GET k",
        "GET nothing",
        "EXISTS {k}1 k k",
        "GETDEL k",
        "GETDEL k",
        "INCR counter",
        "SET brief v PX 40",
    ] {
        driver.ask(session, line);
    }
    driver.wait(100);
    assert_eq!(driver.ask(session, "GET brief"), "$-1\n");
    let mut stat = |name: &str| driver.info(session, "stats", name).expect("it is there");
    assert_eq!(stat("keyspace_hits"), "4");
    assert_eq!(stat("keyspace_misses"), "4");
    assert_eq!(stat("expired_keys"), "1");
}

#[test]
fn no_figure_is_shown_that_is_not_measured() {
    let mut driver = Driver::new(settings(1));
    let session = driver.connect();
    let info = driver.ask(session, "INFO everything");
    for field in ["evicted_keys", "avg_ttl", "latest_fork_usec", "used_cpu_sys_children"] {
        assert!(!info.contains(field), "{field} in {info}");
    }
}

#[test]
fn strangers_are_told_as_redis_does_what_no_command_is() {
    let mut settings = settings(1);
    settings.password = String::from("sekret");
    let mut driver = Driver::new(settings);
    let session = driver.connect();
    let reply = driver.ask(session, "NOSUCH a");
    assert_eq!(reply, "-ERR unknown command 'NOSUCH', with args beginning with: 'a' \n");
    let reply = driver.ask(session, "GET");
    assert_eq!(reply, "-ERR wrong number of arguments for 'get' command\n");
    for line in ["GET k", "LPUSH k v", "SUBSCRIBE c", "MULTI"] {
        assert_eq!(driver.ask(session, line), "-NOAUTH Authentication required.\n", "{line}");
    }
    assert!(driver.ask(session, "CLIENT NOSUCH").starts_with("-ERR unknown subcommand"));
    assert_eq!(driver.ask(session, "RESET"), "+RESET\n");
    assert_eq!(driver.ask(session, "AUTH sekret"), "+OK\n");
}

/// A key in one of these slots.
fn key_of(slots: core::ops::Range<u16>) -> String {
    let mut keys = (0..).map(|number| alloc::format!("k{number}"));
    let found = keys.find(|key| slots.contains(&resp::slot_of(key.as_bytes()).number()));
    found.expect("there are many keys")
}

fn forward(number: u64, operation: Vec<u8>) -> Input {
    let message = Message::Forward(Box::new(ForwardedRequest {
        request: number,
        life: PEER_LIFE,
        receiver: OWN_LIFE,
        shard: ShardId(1),
        ordered: false,
        refusal: 0,
        resp3: false,
        passes_on: false,
        home: NodeId(2),
        home_life: PEER_LIFE,
        at_home: number,
        given_up: 0,
        lease: LeaseEpoch(u64::MAX),
        session: SessionId(1),
        watch: 0,
        wait_micros: 1_000_000,
        origin: placement::Origin(9),
        operation: Bytes::from(operation),
    }));
    Input::Peer { from: NodeId(2), message }
}

fn get(key: &[u8]) -> Vec<u8> {
    let mut operation = Vec::new();
    entry::put_single(resp::slot_of(key), resp::CommandId::Get, &[b"get", key], &mut operation);
    operation
}

impl Driver {
    /// The only node with data of a cluster that node 2 has joined.
    pub(super) fn acquainted(alone: Settings) -> Self {
        let mut driver = Self::new(alone);
        driver.get_acquainted();
        driver
    }

    fn get_acquainted(&mut self) {
        let members = settings(2).members;
        let cluster = types::ClusterId(self.node.world.members().cluster.0.max(1));
        let known = Membership { cluster, version: 9, ..Membership::of_settings(&members, 4) };
        self.node.on_members(self.now, known);
        self.node.step(
            self.now,
            Input::Peer {
                from: NodeId(2),
                message: Message::Beat {
                    epoch: SupportEpoch::first_of(Incarnation(1)),
                    incarnation: Incarnation(1),
                    sequence: 1,
                    condition: Condition { life: PEER_LIFE, ..Condition::default() },
                    introduction: Introduction::default(),
                },
            },
        );
    }

    fn outcomes(&mut self) -> Vec<ForwardOutcome> {
        let messages = core::mem::take(&mut self.messages).into_iter();
        let outcomes = messages.filter_map(|(_, message)| {
            let Message::ForwardReply { outcome, .. } = message else { return None };
            Some(outcome)
        });
        outcomes.collect()
    }

    /// Another node holds the second shard.
    fn learn_holder(&mut self, from: NodeId) {
        let shard = ShardId(2);
        let (first, last) = (Slot::new(4096), Slot::new(8191));
        let range = first.zip(last).and_then(|(first, last)| SlotRange::new(first, last));
        for message in [
            Message::Beat {
                epoch: SupportEpoch::first_of(Incarnation(1)),
                incarnation: Incarnation(1),
                sequence: 1,
                condition: Condition { life: PEER_LIFE, ..Condition::default() },
                introduction: Introduction::default(),
            },
            Message::Route {
                shard,
                range: range.expect("in order"),
                epoch: LeaseEpoch(1),
                applied: (types::Term(1), types::LogIndex(1)),
                seats: 0,
                holder: from,
                replicas: alloc::vec![from],
            },
        ] {
            self.node.step(self.now, Input::Peer { from, message });
        }
        self.settle();
        self.messages.clear();
    }

    /// Which requests were answered since the last call.
    fn answered(&mut self) -> Vec<u64> {
        let messages = core::mem::take(&mut self.messages).into_iter();
        let numbers = messages.filter_map(|(_, message)| {
            let Message::ForwardReply { request, .. } = message else { return None };
            Some(request)
        });
        numbers.collect()
    }

    /// The answer to a forwarded request.
    fn forwarded(&mut self, number: u64, operation: Vec<u8>) -> String {
        self.node.step(self.now, forward(number, operation));
        self.settle();
        let answers = core::mem::take(&mut self.messages).into_iter();
        let answer = answers.filter_map(|(_, message)| {
            let Message::ForwardReply { outcome, .. } = message else { return None };
            let ForwardOutcome::Reply(bytes) = outcome else { return None };
            Some(bytes)
        });
        let bytes: Vec<u8> = answer.flatten().collect();
        String::from_utf8(bytes).expect("text")
    }
}

#[test]
fn what_was_sent_to_a_former_life_is_not_run() {
    let mut driver = Driver::acquainted(settings(1));
    let key = key_of(0..4096);
    let Input::Peer { from, message: Message::Forward(mut forwarded) } =
        forward(1, get(key.as_bytes()))
    else {
        panic!("a forwarded request");
    };
    forwarded.receiver = PEER_LIFE;
    driver.node.step(driver.now, Input::Peer { from, message: Message::Forward(forwarded) });
    driver.settle();
    let outcomes = driver.messages.iter().filter_map(|(_, message)| {
        let Message::ForwardReply { outcome, .. } = message else { return None };
        Some(outcome)
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), [&ForwardOutcome::Uncertain]);
    driver.messages.clear();
    assert_eq!(driver.forwarded(1, get(key.as_bytes())), "$-1\r\n", "its number is free");
}

#[test]
fn what_comes_before_its_sender_has_introduced_itself_is_refused_at_once() {
    let mut driver = Driver::new(settings(1));
    let key = key_of(0..4096);
    driver.node.step(driver.now, forward(1, get(key.as_bytes())));
    driver.settle();
    assert!(matches!(driver.outcomes()[..], [ForwardOutcome::NotHolder { .. }]));
    driver.get_acquainted();
    driver.node.step(driver.now, forward(1, get(key.as_bytes())));
    driver.settle();
    assert!(driver.outcomes().is_empty(), "a copy of what was refused is not run");
    assert_eq!(driver.forwarded(2, get(key.as_bytes())), "$-1\r\n");
}

#[test]
fn a_node_that_does_not_take_its_answers_gets_no_more() {
    let mut driver = Driver::acquainted(settings(1));
    let key = key_of(0..4096).into_bytes();
    assert_eq!(driver.forwarded(1, get(&key)), "$-1\r\n");
    driver.node.note_backlog(NodeId(2), types::limits::ANSWERS_BYTES);
    assert_eq!(driver.forwarded(2, get(&key)), "", "it waits");
    assert!(driver.node.next_deadline() > driver.now.monotonic, "for that node, not in circles");
    driver.node.note_backlog(NodeId(2), 0);
    assert_eq!(driver.node.next_deadline(), types::Monotonic(0));
    assert_eq!(driver.forwarded(3, get(&key)), "$-1\r\n$-1\r\n");
}

#[test]
fn clients_of_a_node_with_many_answers_coming_take_turns() {
    let mut driver = Driver::acquainted(settings(1));
    let key = key_of(0..4096).into_bytes();
    driver.node.note_backlog(NodeId(2), types::limits::ANSWERS_BYTES);
    for number in 1..=5 {
        let mut input = forward(number, get(&key));
        if let Input::Peer { message: Message::Forward(forwarded), .. } = &mut input {
            forwarded.session = SessionId(if number < 4 { 1 } else { 2 });
        }
        driver.node.step(driver.now, input);
    }
    driver.settle();
    assert_eq!(driver.answered(), [], "all of them wait");
    driver.node.note_backlog(NodeId(2), 0);
    driver.node.step(driver.now, forward(6, get(&key)));
    driver.settle();
    assert_eq!(driver.answered(), [1, 4, 2, 5, 3, 6], "and each client's come in its order");
}

#[test]
fn what_waits_for_a_connection_that_breaks_is_not_run() {
    let mut driver = Driver::acquainted(settings(1));
    let key = key_of(0..4096).into_bytes();
    driver.node.note_backlog(NodeId(2), types::limits::ANSWERS_BYTES);
    assert_eq!(driver.forwarded(1, get(&key)), "");
    driver.node.note_backlog(NodeId(2), 0);
    driver.node.step(driver.now, Input::PeerDown { peer: NodeId(2) });
    driver.settle();
    assert_eq!(driver.answered(), [], "its sender knows that the answer is lost");
}

#[test]
fn answers_of_one_turn_are_bounded_and_none_is_missing() {
    let mut settings = settings(1);
    settings.argument_bytes = 8 << 20;
    let mut driver = Driver::acquainted(settings);
    let session = driver.connect();
    let key = key_of(0..4096);
    driver.ask(session, &alloc::format!("SETRANGE {key} 3145727 x"));
    for number in 0..10 {
        driver.node.step(driver.now, forward(number + 1, get(key.as_bytes())));
    }
    let mut answered = Vec::new();
    while answered.len() < 10 {
        driver.settle();
        let of_turn = driver.answered();
        assert!((1..=2).contains(&of_turn.len()), "4 MiB and what exceeds it");
        answered.extend(of_turn);
    }
    assert_eq!(answered, (1..=10).collect::<Vec<u64>>());
}

#[test]
fn a_long_answer_that_would_break_the_connection_is_not_sent() {
    let mut driver = Driver::acquainted(settings(1));
    let session = driver.connect();
    let key = key_of(0..4096);
    driver.ask(session, &alloc::format!("SETRANGE {key} 2000 x"));
    let mut getdel = Vec::new();
    let args = [&b"getdel"[..], key.as_bytes()];
    entry::put_single(resp::slot_of(args[1]), resp::CommandId::GetDel, &args, &mut getdel);
    driver.node.step(driver.now, forward(1, getdel));
    driver.node.step(driver.now, forward(2, get(alloc::format!("{{{key}}}").as_bytes())));
    driver.node.note_backlog(NodeId(2), types::limits::FORWARD_BYTES_MAX);
    driver.settle();
    let outcomes = driver.outcomes();
    let replies = outcomes.iter().map(|outcome| {
        let ForwardOutcome::Reply(bytes) = outcome else { panic!("{outcome:?}") };
        core::str::from_utf8(bytes).expect("text")
    });
    let text = replies.filter(|text| text.starts_with("-ERR")).collect::<String>();
    assert!(text.contains("was executed") && text.contains("2010 bytes"), "{text}");
    assert_eq!(driver.ask(session, &alloc::format!("EXISTS {key}")), ":0\n");
}

#[test]
fn requests_on_their_way_to_one_node_are_bounded() {
    let mut settings = settings(3);
    settings.replicas = 1;
    settings.argument_bytes = 8 << 20;
    let mut driver = Driver::new(settings);
    let from = NodeId(2);
    driver.learn_holder(from);
    let key = key_of(4096..8192);
    let session = driver.connect();
    let value = "v".repeat(5 << 20);
    assert_eq!(driver.ask(session, &alloc::format!("SET {key} {value}")), "");
    assert_eq!(driver.ask(session, &alloc::format!("SET {key} {value}")), "");
    assert_eq!(driver.ask(session, &alloc::format!("GET {key}")), "");
    let sent = core::mem::take(&mut driver.messages);
    let numbers: Vec<u64> = sent
        .into_iter()
        .filter_map(|(_, message)| {
            let Message::Forward(forwarded) = message else { return None };
            let request = forwarded.request;
            Some(request)
        })
        .collect();
    assert_eq!(numbers.len(), 2, "the first and the short one");
    for request in numbers {
        let outcome = ForwardOutcome::Reply(Bytes::from_static(b"+OK\r\n"));
        let message = Message::ForwardReply { request, outcome };
        driver.node.step(driver.now, Input::Peer { from, message });
    }
    driver.settle();
    let replies = driver.replies(session);
    let lines: Vec<&str> = replies.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (3, "+OK", "+OK"), "{replies}");
    assert!(lines[1].starts_with("-TRYAGAIN ") && lines[1].contains("not executed"), "{replies}");
    assert_eq!(
        driver.ask(session, &alloc::format!("SET {key} {value}")),
        "",
        "there is room again"
    );
    assert_eq!(driver.messages.len(), 1);
}

#[test]
fn a_client_has_fewer_requests_under_way_when_their_answers_are_long() {
    let mut settings = settings(3);
    settings.replicas = 1;
    let mut driver = Driver::new(settings);
    let from = NodeId(2);
    driver.learn_holder(from);
    let session = driver.connect();
    let key = key_of(4096..8192);
    let mut under_way = |reply: &[u8]| {
        let mut count = 0;
        loop {
            count += 1;
            let admission = driver.node.request(driver.now, session, &[b"GET", key.as_bytes()]);
            if admission == Admission::Pause {
                break;
            }
        }
        driver.settle();
        for (_, message) in core::mem::take(&mut driver.messages) {
            let Message::Forward(forwarded) = message else { continue };
            let outcome = ForwardOutcome::Reply(Bytes::copy_from_slice(reply));
            let message = Message::ForwardReply { request: forwarded.request, outcome };
            driver.node.step(driver.now, Input::Peer { from, message });
        }
        driver.settle();
        driver.replies(session);
        driver.settle();
        count
    };
    let long = alloc::format!("$1000000\r\n{}\r\n", "v".repeat(1_000_000));
    assert_eq!(under_way(b"$-1\r\n"), types::limits::ANSWERS_UNDER_WAY_MAX);
    assert_eq!(under_way(long.as_bytes()), types::limits::ANSWERS_UNDER_WAY_MAX);
    assert_eq!(under_way(b"$-1\r\n"), 4, "4 MiB");
    assert!((5..10).contains(&under_way(b"$-1\r\n")), "a few more when they are short again");
}

//! Commands over a plain connection that knows nothing of shards.

use resp::Value;

use crate::support::{Client, Cluster, Plan, bulk, error, integer, ok};

/// As many keys as it takes to meet every shard many times.
const KEYS: usize = 1000;

fn three_nodes() -> Cluster {
    Plan::of(3).patient().start()
}

#[test]
fn one_plain_connection_reaches_every_shard() {
    let cluster = three_nodes();
    let mut client = cluster.client(2);
    for key in 0..KEYS {
        assert_eq!(client.ask(&format!("SET key:{key} {key}")), ok());
    }
    let mut others = [cluster.client(1), cluster.client(3)];
    for key in 0..KEYS {
        for client in &mut others {
            assert_eq!(client.ask(&format!("GET key:{key}")), bulk(&key.to_string()));
        }
    }
    let holders = cluster.holders();
    assert_eq!(holders.len(), 16);
    for node in 1..=3 {
        assert!(holders.values().any(|holder| *holder == Some(node)), "{node} holds nothing");
    }
}

#[test]
fn a_pipeline_of_mixed_commands_is_answered_in_order() {
    let cluster = three_nodes();
    let mut client = cluster.client(1);
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for number in 0..KEYS {
        let (request, reply) = match number % 8 {
            0 => (format!("SET k{number} {number}"), ok()),
            1 => (format!("GET k{}", number - 1), bulk(&(number - 1).to_string())),
            2 => (format!("INCR k{}", number - 2), integer(number as i64 - 1)),
            3 => (format!("ECHO {number}"), bulk(&number.to_string())),
            4 => (
                format!("APPEND k{} x", number - 4),
                integer((number - 3).to_string().len() as i64 + 1),
            ),
            5 => (format!("NOSUCH {number}"), Value::Null),
            6 => (format!("DEL k{} k{}", number - 6, number - 6), integer(1)),
            _ => (format!("EXISTS k{}", number - 7), integer(0)),
        };
        requests.push(request);
        expected.push(reply);
    }
    for request in &requests {
        client.send(request);
    }
    for (request, expected) in requests.iter().zip(expected) {
        let reply = client.receive();
        if let Value::Error(text) = &reply {
            assert!(request.starts_with("NOSUCH"), "{request}: {text}");
            assert!(text.starts_with("ERR unknown command 'NOSUCH'"), "{text}");
        } else {
            assert_eq!(reply, expected, "{request}");
        }
    }
}

#[test]
fn requests_that_come_in_pieces_or_in_one_packet_are_the_same() {
    let cluster = Plan::of(1).patient().start();
    let mut client = cluster.client(1);
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\n";
    for piece in request.chunks(1) {
        client.send_bytes(piece);
    }
    assert_eq!(client.receive(), ok());
    client.send_bytes(b"GET a\r\n*2\r\n$6\r\nSTRLEN\r\n$1\r\na\r\nPING\r\n\r\nPING two\r\n");
    assert_eq!(client.receive(), bulk("\r\n"));
    assert_eq!(client.receive(), integer(2));
    assert_eq!(client.receive(), Value::Simple("PONG".into()));
    assert_eq!(client.receive(), bulk("two"));
    client.send_bytes(b"GET a\r\n");
    client.finish();
    assert_eq!(client.replies_until_closed(), [bulk("\r\n")], "half-closed is not gone");
}

#[test]
fn transactions_are_whole_and_watch_sees_writes_at_any_node() {
    let cluster = three_nodes();
    let (mut first, mut second) = (cluster.client(1), cluster.client(2));
    let queued = Value::Simple("QUEUED".into());
    for key in 0..32 {
        // Every few keys another shard, so that some are local and some are forwarded.
        let (a, b) = (format!("{{t{key}}}a"), format!("{{t{key}}}b"));
        assert_eq!(first.ask(&format!("WATCH {a}")), ok());
        assert_eq!(first.ask("MULTI"), ok());
        assert_eq!(first.ask(&format!("SET {a} 1")), queued);
        assert_eq!(first.ask(&format!("INCRBY {b} 5")), queued);
        assert_eq!(first.ask(&format!("GET {a}")), queued);
        let whole = Value::Array(vec![ok(), integer(5), bulk("1")]);
        assert_eq!(first.ask("EXEC"), whole, "no conflict");

        assert_eq!(first.ask(&format!("WATCH {a} {b}")), ok());
        assert_eq!(second.ask(&format!("SET {b} 9")), ok());
        assert_eq!(first.ask("MULTI"), ok());
        assert_eq!(first.ask(&format!("SET {a} 2")), queued);
        assert_eq!(first.ask("EXEC"), Value::Null, "a conflict by way of another node");
        assert_eq!(second.ask(&format!("GET {a}")), bulk("1"));
    }
    assert_eq!(first.ask("EXEC"), error("ERR EXEC without MULTI"));
    assert_eq!(first.ask("MULTI"), ok());
    let Value::Error(_) = first.ask("SET onlykey") else { panic!("the arity is wrong") };
    let Value::Error(text) = first.ask("EXEC") else { panic!("a request was wrong") };
    assert!(text.starts_with("EXECABORT"), "{text}");
    assert_eq!(first.ask("MULTI"), ok());
    assert_eq!(first.ask("SET a 1"), queued);
    assert_eq!(first.ask("DISCARD"), ok());
    assert_eq!(first.ask("GET a"), Value::Null);
}

#[test]
fn keys_expire_wherever_they_are_asked_for() {
    let cluster = three_nodes();
    let mut client = cluster.client(1);
    for key in 0..30 {
        assert_eq!(client.ask(&format!("SET e{key} x PX 1")), ok());
        assert_eq!(client.ask(&format!("SET k{key} x EX 1000")), ok());
    }
    let mut other = cluster.client(3);
    for key in 0..30 {
        crate::support::wait_until("the key expires", || {
            other.ask(&format!("GET e{key}")) == Value::Null
        });
        let Value::Integer(left) = other.ask(&format!("TTL k{key}")) else { panic!("no TTL") };
        assert!((900..=1000).contains(&left), "{left}");
        assert_eq!(other.ask(&format!("PERSIST k{key}")), integer(1));
        assert_eq!(client.ask(&format!("TTL k{key}")), integer(-1));
    }
    assert_eq!(client.ask("DBSIZE"), integer(30));
}

#[test]
fn a_scan_by_a_plain_client_sees_every_key_and_flushall_removes_them() {
    let cluster = three_nodes();
    let mut client = cluster.client(3);
    for key in 0..KEYS {
        client.send(&format!("SET key:{key} x"));
    }
    for _ in 0..KEYS {
        assert_eq!(client.receive(), ok());
    }
    assert_eq!(client.ask("DBSIZE"), integer(KEYS as i64));
    assert_eq!(scan(&mut client, "COUNT 100"), expected_keys());
    assert_eq!(scan(&mut client, "MATCH key:99* COUNT 50").len(), 11);
    assert_eq!(cluster.client(1).ask("FLUSHALL"), ok());
    for node in 1..=3 {
        assert_eq!(cluster.client(node).ask("DBSIZE"), integer(0));
    }
    assert_eq!(scan(&mut client, "COUNT 100").len(), 0);
}

fn expected_keys() -> Vec<String> {
    let mut keys: Vec<String> = (0..KEYS).map(|key| format!("key:{key}")).collect();
    keys.sort();
    keys
}

/// All keys, sorted and without duplicates.
fn scan(client: &mut Client, options: &str) -> Vec<String> {
    let (mut keys, mut cursor) = (Vec::new(), String::from("0"));
    loop {
        let reply = client.ask(&format!("SCAN {cursor} {options}"));
        let Value::Array(parts) = &reply else { panic!("{reply:?}") };
        let [Value::Bulk(next), Value::Array(found)] = &parts[..] else { panic!("{reply:?}") };
        for key in found {
            let Value::Bulk(key) = key else { panic!("{key:?}") };
            keys.push(String::from_utf8_lossy(key).into_owned());
        }
        cursor = String::from_utf8_lossy(next).into_owned();
        if cursor == "0" {
            keys.sort();
            keys.dedup();
            return keys;
        }
    }
}

#[test]
fn refusals_have_the_texts_that_clients_know() {
    let cluster = three_nodes();
    let mut client = cluster.client(1);
    for (request, text) in [
        ("MGET a b", "CROSSSLOT Keys in request don't hash to the same slot"),
        ("MSET {a}1 x {b}2 y", "CROSSSLOT Keys in request don't hash to the same slot"),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("NOSUCH a b", "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "),
        ("SELECT 1", "ERR SELECT is not allowed in cluster mode"),
        ("INCR s", "ERR value is not an integer or out of range"),
        ("SET a b EX 0", "ERR invalid expire time in 'set' command"),
        ("SET a b NX XX", "ERR syntax error"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
    ] {
        assert_eq!(client.ask("SET s text"), ok());
        assert_eq!(client.ask(request), error(text), "{request}");
    }
    for request in ["LPUSH l 1", "HSET h f v", "SADD s 1", "EVAL return 0", "SUBSCRIBE c"] {
        let reply = client.ask(request);
        let Value::Error(text) = reply else { panic!("{request}: {reply:?}") };
        assert!(text.contains("not supported") || text.contains("wrong number"), "{text}");
    }
    assert_eq!(client.ask("PING"), Value::Simple("PONG".into()));
}

#[test]
fn both_versions_of_the_protocol_are_spoken() {
    let cluster = Plan::of(1).patient().start();
    let mut client = cluster.client(1);
    let Value::Map(greeting) = client.ask("HELLO 3") else { panic!("RESP3 greets with a map") };
    let told = |name: &str| {
        let pair = greeting.iter().find(|(key, _)| *key == bulk(name));
        pair.map(|(_, value)| value.clone())
    };
    assert_eq!(told("proto"), Some(integer(3)));
    assert_eq!(told("mode"), Some(bulk("cluster")));
    assert_eq!(client.ask("GET nothing"), Value::Null);
    let Value::Map(_) = client.ask("CONFIG GET save") else { panic!("a map in RESP3") };
    let Value::Array(_) = client.ask("HELLO 2") else { panic!("RESP2 greets with a list") };
    let Value::Array(_) = client.ask("CONFIG GET save") else { panic!("a list in RESP2") };
}

#[test]
fn a_password_is_asked_for_and_checked() {
    let cluster = Plan::of(1).patient().with("password", "open-sesame").prepare();
    let mut cluster = cluster;
    cluster[1].start();
    crate::support::wait_until("the node listens", || {
        Client::try_connect(cluster[1].address).is_ok()
    });
    let mut client = cluster.client(1);
    for request in ["GET a", "CLUSTER SLOTS", "LEASEHOLD SHARDS", "MULTI"] {
        assert_eq!(client.ask(request), error("NOAUTH Authentication required."), "{request}");
    }
    let Value::Error(text) = client.ask("AUTH wrong") else { panic!("the password is wrong") };
    assert!(text.starts_with("WRONGPASS"), "{text}");
    assert_eq!(client.ask("AUTH open-sesame"), ok());
    assert_eq!(client.ask("SET a 1"), ok());
    let mut other = cluster.client(1);
    let Value::Map(_) = other.ask("HELLO 3 AUTH default open-sesame") else {
        panic!("HELLO takes the password")
    };
    assert_eq!(other.ask("GET a"), bulk("1"));
}

#[test]
fn values_of_all_sizes_survive_the_way_through_other_nodes() {
    let cluster = three_nodes();
    let mut clients = [cluster.client(1), cluster.client(2), cluster.client(3)];
    for (number, size) in [0, 1, 100, 16 << 10, (64 << 10) + 1, 1 << 20, 8 << 20].iter().enumerate()
    {
        let value: Vec<u8> = (0..*size).map(|at: usize| (at % 251) as u8).collect();
        let key = format!("value:{size}");
        let writer = &mut clients[number % 3];
        assert_eq!(writer.ask_args(&[b"SET", key.as_bytes(), &value]), ok());
        for client in &mut clients {
            let reply = client.ask_args(&[b"GET", key.as_bytes()]);
            assert!(reply == Value::Bulk(value.clone()), "{size} bytes came back changed");
        }
    }
}

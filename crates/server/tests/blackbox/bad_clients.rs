//! Clients that send what no client should. They get an error that says why; nobody else notices.

use std::io::ErrorKind;

use resp::Value;

use crate::support::{Client, Cluster, Plan, bulk, ok, wait_until};

/// Asks for a value that was there before: other clients are undisturbed, the node lives.
fn assert_undisturbed(cluster: &Cluster, witness: &mut Client) {
    assert_eq!(witness.ask("GET witness"), bulk("here"));
    assert_eq!(cluster.client(1).ask("PING"), Value::Simple("PONG".into()));
}

/// The only reply to these bytes, which must be an error, before the node closes.
fn refusal(cluster: &Cluster, bytes: &[u8]) -> String {
    let mut client = cluster.client(1);
    // The node may close before it has everything, which is its right.
    let _ = client.try_send_bytes(bytes);
    let replies = client.replies_until_closed();
    match &replies[..] {
        [Value::Error(text)] => text.clone(),
        other => panic!("{:?} was answered by {other:?}", bytes.escape_ascii().to_string()),
    }
}

#[test]
fn malformed_requests_are_refused_one_by_one() {
    let cluster = Plan::of(1).patient().start();
    let mut witness = cluster.client(1);
    assert_eq!(witness.ask("SET witness here"), ok());
    for (bytes, reason) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n:5\r\n", "expected '$', got ':'"),
        (b"*1\r\nGET\r\n", "expected '$', got 'G'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$9999999999\r\n", "invalid bulk length"),
        (b"*2\r\n$3\r\nGET\r\n$67108865\r\n", "invalid bulk length"),
        (b"SET \"unbalanced\r\n", "unbalanced quotes"),
    ] {
        let text = refusal(&cluster, bytes);
        assert!(text.contains("Protocol error") && text.contains(reason), "{text}");
        assert_undisturbed(&cluster, &mut witness);
    }
    let text = refusal(&cluster, &[b'x'; 70 << 10]);
    assert!(text.contains("too big inline request"), "{text}");
    assert_undisturbed(&cluster, &mut witness);
}

#[test]
fn arbitrary_bytes_never_hurt_a_node() {
    let cluster = Plan::of(1).patient().start();
    let mut witness = cluster.client(1);
    assert_eq!(witness.ask("SET witness here"), ok());
    let mut state = 1_u64;
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..200)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Mostly the signs that mean something.
                let sign = (state >> 33) as usize;
                if sign.is_multiple_of(3) {
                    (state >> 40) as u8
                } else {
                    b"*$\r\n123-0GETs+:"[sign % 15]
                }
            })
            .collect();
        let mut client = cluster.client(1);
        let _ = client.try_send_bytes(&bytes);
        // Dropped in the middle of whatever it was.
    }
    assert_undisturbed(&cluster, &mut witness);
}

#[test]
fn announced_lengths_cost_nothing_before_the_bytes_are_there() {
    let cluster = Plan::of(1).patient().start();
    let mut witness = cluster.client(1);
    assert_eq!(witness.ask("SET witness here"), ok());
    let mut liars = Vec::new();
    for _ in 0..100 {
        let mut client = cluster.client(1);
        client.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000000\r\nonly this");
        liars.push(client);
    }
    assert_undisturbed(&cluster, &mut witness);
    let resident = resident_bytes(cluster[1].pid());
    println!("100 announced values of 60 MB: {} MB resident", resident >> 20);
    assert!(resident < 1 << 30, "{resident} bytes are resident");
}

/// Memory that a process has.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    let kibibytes = line.trim().trim_end_matches(" kB").parse::<u64>();
    kibibytes.expect("it is a number") << 10
}

#[test]
fn strangers_without_the_password_get_little() {
    let cluster = Plan::of(1).patient().with("password", "secret").prepare();
    let mut cluster = cluster;
    cluster[1].start();
    wait_until("the node listens", || Client::try_connect(cluster[1].address).is_ok());
    for bytes in [
        &b"*1000\r\n"[..],
        b"*2\r\n$4\r\nAUTH\r\n$1000000\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000000\r\n",
    ] {
        let text = refusal(&cluster, bytes);
        assert!(text.contains("unauthenticated"), "{text}");
    }
    let mut stranger = cluster.client(1);
    for _ in 0..5000 {
        if stranger.try_send_bytes(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n").is_err() {
            break;
        }
    }
    for _ in 0..5000 {
        match stranger.try_receive() {
            Ok(Some(reply)) => {
                assert_eq!(reply, Value::Error("NOAUTH Authentication required.".into()));
            }
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    let mut friend = cluster.client(1);
    assert_eq!(friend.ask("AUTH secret"), ok());
    assert!(matches!(friend.ask("DBSIZE"), Value::Integer(_)));
}

#[test]
fn one_client_too_many_is_told_so() {
    let cluster = Plan::of(1).patient().with("clients", "20").start();
    let mut clients: Vec<Client> = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let mut client = cluster.client(1);
        match client.try_ask("PING") {
            Ok(Value::Simple(_)) => clients.push(client),
            Ok(Value::Error(text)) => {
                assert!(text.contains("max number of clients reached"), "{text}");
                refused += 1;
            }
            // The node closed the connection when the request was still on its way.
            Err(_) => refused += 1,
            Ok(other) => panic!("{other:?}"),
        }
    }
    assert!((15..=20).contains(&clients.len()), "{} were served", clients.len());
    assert!(refused >= 20);
    for client in &mut clients {
        assert_eq!(client.ask("PING"), Value::Simple("PONG".into()));
    }
}

#[test]
fn a_client_that_reads_late_gets_everything_and_memory_stays_bounded() {
    let cluster = Plan::of(1).patient().start();
    let mut witness = cluster.client(1);
    assert_eq!(witness.ask("SET witness here"), ok());
    let value = vec![b'v'; 1_000_000];
    assert_eq!(witness.ask_args(&[b"SET", b"large", &value]), ok());
    let before = resident_bytes(cluster[1].pid());
    let mut glutton = cluster.client(1);
    let mut requests = Vec::new();
    for _ in 0..1000 {
        resp::encode_request(&["GET", "large"], &mut requests);
    }
    glutton.try_send_bytes(&requests).expect("requests of a few bytes");
    assert_undisturbed(&cluster, &mut witness);
    let resident = resident_bytes(cluster[1].pid());
    println!("1000 replies of 1 MB unread: {} MB, {} before", resident >> 20, before >> 20);
    assert!(resident < before + (100 << 20), "{resident} bytes are resident");
    for _ in 0..1000 {
        assert_eq!(glutton.try_receive().expect("a reply"), Some(Value::Bulk(value.clone())));
    }
}

#[test]
fn config_set_changes_what_a_request_may_be_at_once() {
    let cluster = Plan::of(1).patient().start();
    let mut client = cluster.client(1);
    let value = vec![b'v'; 2 << 20];
    assert_eq!(client.ask_args(&[b"SET", b"k", &value]), ok());
    assert_eq!(client.ask("CONFIG SET proto-max-bulk-len 1mb"), ok());
    let text = refusal(&cluster, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2097152\r\n");
    assert!(text.contains("invalid bulk length"), "{text}");
    assert_eq!(client.ask("CONFIG SET proto-max-bulk-len 66mb"), ok());
    let value = vec![b'v'; 65 << 20];
    assert_eq!(client.ask_args(&[b"SET", b"k", &value]), ok());
    assert_eq!(client.ask("STRLEN k"), Value::Integer(65 << 20));
}

#[test]
fn config_set_changes_what_a_client_may_leave_unread_at_once() {
    let cluster = Plan::of(1).patient().start();
    let mut witness = cluster.client(1);
    let value = vec![b'v'; 4 << 20];
    assert_eq!(witness.ask_args(&[b"SET", b"large", &value]), ok());
    let args = [&b"CONFIG"[..], b"SET", b"client-output-buffer-limit", b"normal 1mb 0 0"];
    assert_eq!(witness.ask_args(&args), ok());
    let mut glutton = cluster.client(1);
    assert_eq!(glutton.ask("PING"), Value::Simple("PONG".into()));
    let mut request = Vec::new();
    for _ in 0..20 {
        resp::encode_request(&["GET", "large"], &mut request);
    }
    // The node may close before it has everything, which is its right.
    let _ = glutton.try_send_bytes(&request);
    // Who reads at once may leave nothing unread.
    wait_until("the client that does not read is gone", || {
        let Value::Bulk(list) = witness.ask("CLIENT LIST") else { panic!("no list") };
        list.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"id=")).count() == 1
    });
    let received = std::iter::from_fn(|| glutton.try_receive().ok().flatten()).count();
    assert!(received < 20, "all {received} replies arrived");
}

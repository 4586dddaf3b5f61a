//! The API against a node that is played here, with requests good and bad.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};

use resp::{Decoder, ReplyLimits};
use serde_json::Value;

use super::document::openapi;
use super::exchange::BODY_BYTES_MAX;
use super::routes::{Access, Body, ROUTES, find};
use super::*;

const STATUS: &str = include_str!("../../testdata/status.json");
const DECISIONS: &str = include_str!("../../testdata/decisions.jsonl");
const WHY: &str = include_str!("../../testdata/why.json");

/// A node that is played: answers with what was recorded, and tells what it was asked.
struct FakeNode {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeNode {
    fn start(password: Option<&'static str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let log = Arc::clone(&log);
                thread::spawn(move || play(stream, password, &log));
            }
        });
        Self { address, asked }
    }

    /// What was asked since the last time, without the checks of the password.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().expect("no thread has panicked");
        let asked = std::mem::take(&mut *asked);
        asked.into_iter().filter(|it| it != "PING" && !it.starts_with("AUTH")).collect()
    }
}

fn play(mut stream: TcpStream, password: Option<&str>, log: &Mutex<Vec<String>>) {
    // A request is an array of strings, as some replies are.
    let mut decoder = Decoder::new(ReplyLimits::default());
    let (mut received, mut chunk) = (Vec::new(), [0; 4096]);
    let mut known = password.is_none();
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        received.extend_from_slice(&chunk[..count]);
        loop {
            let decoded = decoder.next(&received).expect("our client is right");
            received.drain(..decoded.consumed);
            let Some(resp::Value::Array(words)) = decoded.value else { break };
            let words = words.iter().map(|word| {
                let resp::Value::Bulk(bytes) = word else { panic!("{word:?}") };
                String::from_utf8_lossy(bytes).into_owned()
            });
            let words: Vec<String> = words.collect();
            let line = words.join(" ");
            log.lock().expect("no thread has panicked").push(line.clone());
            let reply = match (line.as_str(), password) {
                (line, None) if line.starts_with("AUTH") => {
                    "-ERR AUTH <password> called without any password configured\r\n".into()
                }
                (line, Some(password)) if line == format!("AUTH {password}") => {
                    known = true;
                    "+OK\r\n".into()
                }
                (line, Some(_)) if line.starts_with("AUTH") => "-WRONGPASS no\r\n".into(),
                _ if !known => "-NOAUTH Authentication required.\r\n".into(),
                (line, _) => reply_to(line),
            };
            if stream.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn reply_to(line: &str) -> String {
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    match line {
        "PING" => "+PONG\r\n".into(),
        "LEASEHOLD STATUS" => bulk(STATUS),
        "LEASEHOLD WHY 1" => bulk(WHY),
        "LEASEHOLD PLAN" => bulk(DECISIONS),
        "LEASEHOLD POLICY" => bulk("[{\"name\":\"band\",\"value\":0.05}]"),
        "LEASEHOLD METRICS" => bulk("leasehold_leases 5\n"),
        "LEASEHOLD FREEZE OFF" => "-CLUSTERDOWN the system shard has no quorum\r\n".into(),
        "LEASEHOLD REMOVE 2" => "-ERR node 2 holds the last replica of shard 1\r\n".into(),
        line if line.starts_with("LEASEHOLD DECISIONS") => bulk(DECISIONS),
        line if line.contains(" 99") => "-ERR there is no shard 99\r\n".into(),
        _ => "+OK\r\n".into(),
    }
}

struct Api {
    address: SocketAddr,
    node: FakeNode,
}

impl Api {
    fn start(password: Option<&'static str>) -> Self {
        note_readiness(Ok(String::from("ready")));
        let node = FakeNode::start(password);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let site = Site { node: node.address, host: "db1".into(), protected_mode: true };
        serve(listener, site).expect("a thread can be started");
        Self { address, node }
    }

    /// Sends bytes as they are; the status, the head and the body of the answer.
    fn raw(&self, request: &[u8]) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        // The server may have answered, and closed, before the end of a bad request.
        let _ = stream.write_all(request).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).expect("answers are text");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.get(9..12).and_then(|it| it.parse().ok()).unwrap_or(0);
        (status, head.into(), body.into())
    }

    fn send(&self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let text = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let (status, _, body) = self.raw(text.as_bytes());
        (status, body)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path}"), "", "")
    }

    fn order(&self, line: &str, body: &str) -> u16 {
        self.send(line, "Content-Type: application/json\r\n", body).0
    }
}

#[test]
fn every_route_is_documented_and_every_documented_route_dispatches() {
    let document = openapi();
    let paths = document["paths"].as_object().expect("there are paths");
    let mut documented = 0;
    for (path, operations) in paths {
        for method in operations.as_object().expect("there are methods").keys() {
            let method = method.to_ascii_uppercase();
            let (route, ids) = find(&method, &path.replace("{id}", "7")).expect("it dispatches");
            assert_eq!((route.method, route.path), (method.as_str(), path.as_str()));
            assert_eq!(ids.len(), path.matches("{id}").count());
            documented += 1;
        }
    }
    assert_eq!(documented, ROUTES.len());
    let page = markdown();
    for route in ROUTES {
        assert!(page.contains(&format!("\n## `{} {}`\n", route.method, route.path)));
        assert!(route.summary.ends_with('.'), "{}", route.path);
    }
}

#[test]
fn the_page_of_documentation_is_that_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/http-api.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let advice = "run: cargo run -p leasehold -- settings --http-api > docs/http-api.md";
    assert!(written == markdown(), "docs/http-api.md is out of date; {advice}");
}

#[test]
fn every_route_answers_as_its_table_says() {
    let api = Api::start(None);
    for route in ROUTES {
        let path = route.path.replace("{id}", "1");
        let body = match route.body {
            Body::None => "",
            Body::Numbers => "{\"band\":0.1}",
            Body::OneOf(_) if path == "/v1/nodes" => "{\"member\":\"4=127.0.0.2:7001\"}",
            Body::OneOf(_) => "{\"node\":2}",
        };
        let (line, kind) = (format!("{} {path}", route.method), "Content-Type: application/json");
        let length = body.len();
        let request =
            format!("{line} HTTP/1.1\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}");
        let (status, head, answer) = api.raw(request.as_bytes());
        // The node that is played has no manager for this one.
        let refused = (route.method, route.path) == ("DELETE", "/v1/freeze");
        let expected = if refused { 503 } else { route.success.0 };
        assert_eq!(status, expected, "{line}: {answer}");
        if !refused {
            assert!(head.contains(&format!("Content-Type: {}\r\n", route.success.1)), "{head}");
        }
        if route.success.1 == "application/json" {
            let parsed: Result<Value, _> = serde_json::from_str(&answer);
            assert!(parsed.is_ok(), "{line}: {answer}");
        }
        assert!(head.contains("Content-Security-Policy: default-src 'none'"), "{head}");
    }
}

#[test]
fn orders_reach_the_node_in_its_words() {
    let api = Api::start(None);
    for (line, body, command) in [
        ("PUT /v1/shards/7/pin", "{\"node\":2}", "LEASEHOLD PIN 7 NODE 2"),
        ("PUT /v1/shards/7/pin", "{\"zone\":\"eu/a\"}", "LEASEHOLD PIN 7 ZONE eu/a"),
        ("DELETE /v1/shards/7/pin", "", "LEASEHOLD UNPIN 7"),
        ("POST /v1/shards/7/transfer", "{\"node\":2}", "LEASEHOLD TRANSFER 7 2"),
        ("PUT /v1/freeze", "", "LEASEHOLD FREEZE ON"),
        ("PUT /v1/nodes/3/drain", "", "LEASEHOLD DRAIN 3 ON"),
        ("DELETE /v1/nodes/3/drain", "", "LEASEHOLD DRAIN 3 OFF"),
        ("DELETE /v1/nodes/3", "", "LEASEHOLD REMOVE 3"),
        (
            "POST /v1/nodes",
            "{\"member\":\"4=127.0.0.2:7001\"}",
            "LEASEHOLD JOIN 4=127.0.0.2:7001:17001",
        ),
        ("PATCH /v1/policy", "{\"cool_down\":60}", "LEASEHOLD POLICY SET cool_down 60"),
        (
            "PATCH /v1/policy",
            "{\"cool_down\":60,\"cool_down_max\":90.5}",
            "LEASEHOLD POLICY SET cool_down 60 cool_down_max 90.5",
        ),
        ("GET /v1/decisions", "", "LEASEHOLD DECISIONS COUNT 100"),
        ("GET /v1/decisions?since=4&count=2", "", "LEASEHOLD DECISIONS SINCE 4 COUNT 2"),
    ] {
        let kind = "Content-Type: application/json; charset=utf-8\r\n";
        let (status, answer) = api.send(line, kind, body);
        assert!((200..300).contains(&status), "{line}: {status} {answer}");
        assert_eq!(api.node.asked()[0], command, "{line}");
    }
}

#[test]
fn answers_are_what_the_node_says() {
    let api = Api::start(None);
    let json = |path: &str| -> Value {
        serde_json::from_str(&api.get(path).1).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    assert_eq!(json("/v1/nodes").as_array().map(Vec::len), Some(4));
    assert_eq!(json("/v1/shards").as_array().map(Vec::len), Some(16));
    assert_eq!(json("/v1/shards/5")["holder"], 2);
    assert_eq!(json("/v1/decisions").as_array().map(Vec::len), Some(5));
    assert_eq!(api.get("/v1/decisions?format=jsonl"), (200, DECISIONS.into()));
    assert_eq!(api.get("/metrics"), (200, "leasehold_leases 5\n".into()));
    let (status, head, body) = api.raw(b"HEAD /v1/status HTTP/1.0\r\n\r\n");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains(&format!("Content-Length: {}", STATUS.len())), "{head}");
}

#[test]
fn wrong_requests_get_the_right_status_and_do_nothing() {
    let api = Api::start(None);
    for (status, line, body) in [
        (404, "GET /v2", ""),
        (404, "GET /v1/shards/", ""),
        (404, "GET /v1/shards/1/2", ""),
        (404, "GET /v1/shards/x", ""),
        (404, "GET /v1/shards/-1/why", ""),
        (404, "GET /v1/shards/99999999999", ""),
        (404, "GET /../etc/passwd", ""),
        (405, "POST /v1/status", ""),
        (405, "OPTIONS /v1/freeze", ""),
        (405, "PUT /", ""),
        (400, "GET /v1/status?x=1", ""),
        (400, "GET /v1/decisions?count=0", ""),
        (400, "GET /v1/decisions?count=5000", ""),
        (400, "GET /v1/decisions?count=2&count=3", ""),
        (400, "GET /v1/decisions?since=-1", ""),
        (400, "GET /v1/decisions?format=xml", ""),
        (400, "GET /v1/decisions?since=%31", ""),
        (400, "GET /v1/status", "{}"),
        (400, "PUT /v1/freeze", "{}"),
        (400, "PUT /v1/shards/1/pin", ""),
        (400, "PUT /v1/shards/1/pin", "{"),
        (400, "PUT /v1/shards/1/pin", "[]"),
        (400, "PUT /v1/shards/1/pin", "{}"),
        (400, "PUT /v1/shards/1/pin", "{\"node\":0}"),
        (400, "PUT /v1/shards/1/pin", "{\"node\":1.5}"),
        (400, "PUT /v1/shards/1/pin", "{\"node\":\"2\"}"),
        (400, "PUT /v1/shards/1/pin", "{\"node\":2,\"zone\":\"eu/a\"}"),
        (400, "PUT /v1/shards/1/pin", "{\"zone\":\"eu\"}"),
        (400, "PUT /v1/shards/1/pin", "{\"zone\":\"eu/a\\r\\nx\"}"),
        (400, "PUT /v1/shards/1/pin", "{\"knot\":2}"),
        (400, "POST /v1/shards/1/transfer", "{\"node\":4294967296}"),
        (400, "POST /v1/nodes", "{\"member\":\"nonsense\"}"),
        (400, "POST /v1/nodes", "{\"member\":4}"),
        (400, "PATCH /v1/policy", "{}"),
        (400, "PATCH /v1/policy", "{\"band\":\"0.1\"}"),
        (400, "PATCH /v1/policy", "{\"band\":7}"),
        (400, "PATCH /v1/policy", "{\"bnad\":0.1}"),
        (400, "PATCH /v1/policy", "{\"band\":0.1,\"confirmations\":2.5}"),
    ] {
        let (got, answer) = api.send(line, "Content-Type: application/json\r\n", body);
        assert_eq!(got, status, "{line} {body}: {answer}");
        let answer: Value = serde_json::from_str(&answer).expect("errors are JSON");
        assert!(answer["error"].as_str().is_some_and(|it| !it.is_empty()), "{line}");
    }
    let deep = "[".repeat(60_000);
    assert_eq!(api.order("PUT /v1/shards/1/pin", &deep), 400);
    assert_eq!(api.send("PUT /v1/shards/1/pin", "", "{\"node\":2}").0, 415);
    let text = "Content-Type: text/plain\r\n";
    assert_eq!(api.send("POST /v1/shards/1/transfer", text, "{\"node\":2}").0, 415);
    let asked: Vec<String> = api.node.asked();
    assert!(asked.iter().all(|it| it == "LEASEHOLD STATUS"), "{asked:?}");
}

#[test]
fn a_node_whose_name_has_no_address_is_not_let_in() {
    let api = Api::start(None);
    let kind = "Content-Type: application/json\r\n";
    let (status, answer) =
        api.send("POST /v1/nodes", kind, "{\"member\":\"4=nosuch.invalid:7001\"}");
    assert!(status == 400 && answer.contains("nosuch.invalid"), "{status} {answer}");
    assert!(api.node.asked().iter().all(|it| !it.contains("JOIN")), "{:?}", api.node.asked());
}

#[test]
fn what_the_manager_says_is_told_with_its_status() {
    let api = Api::start(None);
    for (status, line, words) in [
        (409, "DELETE /v1/nodes/2", "last replica"),
        (404, "GET /v1/shards/99/why", "no shard 99"),
        (404, "GET /v1/shards/98", "no shard 98"),
        (404, "DELETE /v1/shards/99/pin", "no shard 99"),
        (503, "DELETE /v1/freeze", "no quorum"),
    ] {
        let (got, answer) = api.send(line, "", "");
        assert!(got == status && answer.contains(words), "{line}: {got} {answer}");
    }
}

#[test]
fn bytes_that_are_no_request_are_refused() {
    let api = Api::start(None);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
    let large =
        format!("PUT /v1/freeze HTTP/1.1\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
    let bodied = large.clone() + &"x".repeat(BODY_BYTES_MAX + 1);
    for (status, request) in [
        (400, "hello\r\n\r\n"),
        (400, "\u{0}\u{1}\u{2}"),
        (400, "GET / HTTP/1.1\r\n"),
        (400, "GET / HTTP/3.1\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nContent-Length: \r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        (400, "PUT /v1/freeze HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}"),
        (411, "PUT /v1/freeze HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (401, "GET /v1/status HTTP/1.1\r\nAuthorization: Basic eDp5\r\n\r\n"),
        (413, "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        (413, large.as_str()),
        (413, bodied.as_str()),
        (431, long.as_str()),
        (431, many.as_str()),
    ] {
        let (got, _, answer) = api.raw(request.as_bytes());
        assert_eq!(got, status, "{:?}: {answer}", &request[..request.len().min(80)]);
    }
    assert_eq!(api.raw(b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n").0, 400);
    assert_eq!(api.raw(b"").0, 0);
    assert_eq!(api.get("/healthz"), (200, "ok\n".into()));
    assert!(api.node.asked().is_empty());
}

#[test]
fn a_password_is_the_nodes_to_judge() {
    let api = Api::start(Some("se cret"));
    let with = |password: &str, path: &str| {
        api.send(&format!("GET {path}"), &format!("Authorization: Bearer {password}\r\n"), "").0
    };
    assert_eq!(with("se cret", "/v1/status"), 200);
    assert_eq!(with("wrong", "/v1/status"), 401);
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        let expected = if route.access == Access::Cluster { 401 } else { 200 };
        assert_eq!(api.get(&route.path.replace("{id}", "1")).0, expected, "{}", route.path);
    }
    assert!(api.raw(b"GET /metrics HTTP/1.1\r\n\r\n").1.contains("WWW-Authenticate: Bearer"));
    assert_eq!(api.node.asked().iter().collect::<Vec<_>>(), ["LEASEHOLD STATUS"]);
    // One that isn't needed does no harm.
    let open = Api::start(None);
    assert_eq!(open.send("GET /v1/status", "Authorization: Bearer x\r\n", "").0, 200);
}

#[test]
fn strangers_pages_and_names_get_nothing() {
    let api = Api::start(None);
    let rebound = b"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(api.raw(rebound).0, 403);
    let page = "Origin: http://evil.example\r\n";
    assert_eq!(api.send("PUT /v1/freeze", page, "").0, 403);
    assert_eq!(api.send("PUT /v1/freeze", "Origin: http://localhost\r\n", "").0, 200);
    assert_eq!(api.node.asked(), ["LEASEHOLD FREEZE ON"]);
}

#[test]
fn other_machines_are_refused_while_there_is_no_password() {
    let request = Request { method: "GET".into(), ..Request::default() };
    let peer: SocketAddr = "192.0.2.1:5000".parse().expect("it is an address");
    for (password, protected_mode, path, expected) in [
        (None, true, "/v1/status", Some(403)),
        (None, true, "/", Some(403)),
        (None, true, "/healthz", Some(403)),
        (None, false, "/v1/status", None),
        (None, false, "/", None),
        (Some("secret"), true, "/v1/status", Some(401)),
        (Some("secret"), true, "/", None),
    ] {
        let node = FakeNode::start(password).address;
        let site = Site { node, host: "db1".into(), protected_mode };
        let (route, _) = find("GET", path).expect("there is such a path");
        let refused = admission::admit(&site, route, &request, peer).err();
        assert_eq!(refused.map(|it| it.status), expected, "{password:?} {protected_mode} {path}");
    }
}

#[test]
fn a_node_that_is_gone_is_told() {
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let node = gone.local_addr().expect("it is bound");
    drop(gone);
    let site = Site { node, host: "db1".into(), protected_mode: true };
    for path in ["/healthz", "/v1/status"] {
        let request = Request { method: "GET".into(), path: path.into(), ..Request::default() };
        let refused = answer(&site, &request, node).expect_err("nobody answers");
        assert_eq!(refused.status, 503);
    }
}

#[test]
fn no_more_requests_at_a_time_than_there_is_room_for() {
    let slots = Arc::new(Slots::default());
    let held: Vec<Slot> = (0..CONNECTIONS_MAX).map(|_| Slots::take(&slots)).collect();
    assert_eq!(*slots.taken.lock().expect("no thread has panicked"), CONNECTIONS_MAX);
    let waiting = Arc::clone(&slots);
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || sender.send(Slots::take(&waiting)));
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
    drop(held);
    assert!(receiver.recv().is_ok());
}

//! The HTTP API of real nodes, as far as it needs no Lease Manager.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Plan, Program};

/// One request; the status and the body of the answer.
pub(crate) fn http(address: SocketAddr, line: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the API is served");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it is no zero");
    let length = body.len();
    let kind = "Content-Type: application/json\r\n";
    let request =
        format!("{line} HTTP/1.1\r\nContent-Length: {length}\r\n{kind}{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).expect("the node reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the node answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("there is a head");
    (head[9..12].parse().expect("there is a status"), body.to_owned())
}

#[test]
fn every_node_serves_the_page_and_says_that_it_lives() {
    let mut cluster = Plan::of(3).patient().start();
    for node in cluster.nodes() {
        let (status, page) = http(node.http, "GET /", "", "");
        assert!(status == 200 && page.contains("<title>Leasehold</title>"), "{page}");
        assert_eq!(http(node.http, "GET /healthz", "", ""), (200, "ok\n".into()));
        // It is looked at once a second.
        crate::support::wait_until("the node is ready", || {
            http(node.http, "GET /readyz", "", "") == (200, "ready\n".into())
        });
        assert_eq!(http(node.http, "GET /nothing", "", "").0, 404);
    }
    // A node without a quorum still answers, and a stopped one serves nothing.
    cluster[2].kill();
    assert!(cluster[3].stop().success());
    assert_eq!(http(cluster[1].http, "GET /healthz", "", "").0, 200);
    assert!(TcpStream::connect(cluster[3].http).is_err());
}

#[test]
fn the_password_is_the_clusters() {
    let cluster = Plan::of(1).patient().with("password", "sekret").prepare();
    let mut cluster = cluster;
    cluster[1].start();
    crate::support::wait_until("the API is served", || {
        TcpStream::connect(cluster[1].http).is_ok()
            && http(cluster[1].http, "GET /healthz", "", "").0 == 200
    });
    let api = cluster[1].http;
    assert_eq!(http(api, "GET /v1/status", "", "").0, 401);
    assert_eq!(http(api, "GET /v1/status", "Authorization: Bearer wrong\r\n", "").0, 401);
    let (status, text) = http(api, "GET /v1/status", "Authorization: Bearer sekret\r\n", "");
    assert_ne!(status, 401, "{text}");
    assert_eq!(http(api, "GET /", "", "").0, 200);
}

#[test]
fn an_address_in_use_is_named() {
    let cluster = Plan::of(1).prepare();
    let _taken = TcpListener::bind(cluster[1].http).expect("it was free a moment ago");
    let finished = Program::run(&mut cluster[1].command());
    assert_eq!(finished.status.code(), Some(78), "{finished:#?}");
    let address = cluster[1].http.to_string();
    assert!(finished.errors.contains(&address) && finished.errors.contains("http_listen"));
}

//! Whole runs against tiny servers on loopback. The runs end by their number of requests, so
//! that nothing depends on how fast the machine is.

use crate::fake::{self, Behaviour, Data};
use crate::options::{Error, Keys, Limit, Options, Pin};
use crate::{Report, check, run};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

fn options(address: SocketAddr, requests: u64) -> Options {
    let mut options = Options::new(vec![address]);
    (options.clients, options.key_count) = (8, 100);
    (options.limit, options.warm_up) = (Limit::Requests(requests), Duration::ZERO);
    options.timeout = Duration::from_millis(200);
    options
}

fn good(options: Options) -> Report {
    run(options).expect("the run has a report")
}

/// A file of its own for each test; removed before, since histories are only written to new ones.
fn history_file(test: &str) -> PathBuf {
    let name = format!("leasehold-bench-{test}-{}.jsonl", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    path
}

/// Runs with a history and judges it.
fn judged(test: &str, mut options: Options) -> (Report, history::Report) {
    let path = history_file(test);
    (options.history, options.keep_going, options.value_bytes) = (Some(path.clone()), true, 0);
    let report = good(options);
    let checked = check(&path).expect("the history can be read");
    std::fs::remove_file(&path).expect("the history is there");
    (report, checked)
}

#[test]
fn a_closed_loop_does_exactly_the_requests_it_is_told() {
    let data = Data::default();
    let address = fake::start(Behaviour::default(), &data);
    let mut options = options(address, 5_001);
    (options.pipeline, options.threads, options.weights) = (7, 2, [1, 1, 1]);
    let report = good(options);
    assert_eq!((report.operations, report.error_count(), report.moved), (5_001, 0, 0));
    assert!(report.latency.p50 > 0.0 && report.latency.p50 <= report.latency.p99);
    assert!(report.operations_per_second > 0.0 && report.range_gaps.len() == 1);
    let data = data.lock().expect("no thread panics with the lock");
    assert_eq!(data.len(), 200);
    assert!(data.iter().all(|(key, value)| key.len() == 16
        && if key.starts_with(b"key:") { value.len() == 100 } else { value.len() < 10 }));
}

#[test]
fn an_open_loop_counts_latency_from_the_due_time() {
    let data = Data::default();
    let address = fake::start(Behaviour { silent_at: 50, ..Behaviour::default() }, &data);
    let mut options = options(address, 1_000);
    (options.clients, options.keep_going) = (1, true);
    // One client, one request at a time: what is due while the 50th hangs has to wait, and that
    // wait counts although nothing was sent in it.
    options.rate = Some(2_000.0);
    let report = good(options);
    assert_eq!((report.operations, report.errors.get("TIMEOUT")), (999, Some(&1)));
    assert!(report.latency.p90 > 100_000.0, "{report}");
    assert!(report.longest_gap.millis >= 200.0, "{report}");
}

#[test]
fn moved_is_followed_and_counted_once_for_each_slot_until_the_table_is_right() {
    let data = Data::default();
    let upper = fake::start(Behaviour::default(), &data);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let lower = listener.local_addr().expect("it is bound");
    let behaviour = Behaviour {
        moved: Some((8192, upper)),
        slots: fake::slots(&[lower]),
        ..Behaviour::default()
    };
    fake::serve(listener, behaviour, &data);
    let mut options = options(lower, 3_000);
    options.cluster = true;
    let (report, checked) = judged("moved", options);
    assert_eq!(report.operations, 3_000, "{report}");
    assert!(report.moved > 0 && report.error_count() == 0, "{report}");
    assert!(checked.is_clean() && checked.undecided.is_empty(), "{checked}");
    assert!(checked.failed as u64 >= report.moved && checked.unknown_outcomes == 0, "{checked}");
}

#[test]
fn ask_is_followed_for_one_request_at_a_time() {
    let data = Data::default();
    let upper = Behaviour { moved: Some((8192, here(1))), ..Behaviour::default() };
    let upper = fake::start(upper, &data);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let lower = listener.local_addr().expect("it is bound");
    let slots = fake::slots(&[lower]);
    let moved = Some((8192, upper));
    fake::serve(listener, Behaviour { moved, asks: true, slots, ..Behaviour::default() }, &data);
    let mut options = options(lower, 1_000);
    (options.cluster, options.clients) = (true, 1);
    let report = good(options);
    assert_eq!((report.operations, report.error_count()), (1_000, 0), "{report}");
    assert!((300..=700).contains(&report.asked), "{report}");
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn a_right_store_that_breaks_connections_is_judged_right() {
    let data = Data::default();
    let behaviour = Behaviour {
        breaks_every: 40,
        refuses_every: Some((50, "UNCERTAIN the holder changed")),
        ..Behaviour::default()
    };
    let mut options = options(fake::start(behaviour, &data), 3_000);
    (options.weights, options.pipeline, options.key_count) = ([2, 2, 1], 2, 40);
    let (report, checked) = judged("breaks", options);
    assert!(report.errors["DISCONNECTED"] > 0 && report.errors["UNCERTAIN"] > 0, "{report}");
    assert!(report.reconnects > 0, "{report}");
    assert!(checked.unknown_outcomes > 0 && checked.failed == 0, "{checked}");
    assert!(checked.is_clean() && checked.undecided.is_empty(), "{checked}");
    assert!(checked.durability.checked > 0, "{checked}");
}

#[test]
fn a_store_that_loses_writes_is_found_out() {
    let data = Data::default();
    let behaviour = Behaviour { loses_every: 50, ..Behaviour::default() };
    let (report, checked) = judged("loses", options(fake::start(behaviour, &data), 3_000));
    assert_eq!(report.error_count(), 0, "{report}");
    assert!(!checked.is_clean() && !checked.violations.is_empty(), "{checked}");
}

#[test]
fn refusals_are_failures_that_were_not_applied() {
    let data = Data::default();
    let behaviour =
        Behaviour { refuses_every: Some((10, "CLUSTERDOWN no quorum")), ..Behaviour::default() };
    let (report, checked) = judged("refuses", options(fake::start(behaviour, &data), 1_000));
    assert!(report.errors["CLUSTERDOWN"] >= 90, "{report}");
    assert!(checked.failed >= 90 && checked.unknown_outcomes == 0, "{checked}");
    assert!(checked.is_clean(), "{checked}");
}

#[test]
fn a_write_with_wait_succeeds_only_if_enough_replicas_have_it() {
    let data = Data::default();
    for (replicas, wanted, succeed) in [(1, 1, 300), (2, 1, 300), (1, 2, 0)] {
        let behaviour = Behaviour { replicas, ..Behaviour::default() };
        let mut options = options(fake::start(behaviour, &data), 300);
        (options.weights, options.wait, options.pipeline) = ([0, 1, 0], wanted, 4);
        let report = good(options);
        assert_eq!((report.operations, report.error_count()), (succeed, 300 - succeed));
    }
    // A write that was refused is not saved by its WAIT, and one that moved is followed.
    let behaviour = Behaviour {
        replicas: 1,
        refuses_every: Some((10, "CLUSTERDOWN no quorum")),
        ..Behaviour::default()
    };
    let moved = Some((8192, fake::start(behaviour.clone(), &data)));
    let mut options = options(fake::start(Behaviour { moved, ..behaviour }, &data), 300);
    (options.weights, options.wait) = ([0, 1, 0], 1);
    let report = good(options);
    assert!(report.operations < 300 && report.moved > 0, "{report}");
    assert_eq!(report.operations + report.errors["CLUSTERDOWN"], 300, "{report}");
}

#[test]
fn batches_in_order_write_each_key_once_whatever_fails() {
    let data = Data::default();
    let mut options = options(fake::start(Behaviour::default(), &data), 1_000);
    (options.weights, options.keys, options.key_count) = ([0, 1, 0], Keys::InOrder, 1_000);
    (options.batch, options.pipeline, options.threads) = (true, 7, 2);
    assert_eq!(good(options).operations, 1_000);
    assert_eq!(data.lock().expect("no thread panics with the lock").len(), 1_000);

    let refuses_every = Some((9, "TRYAGAIN"));
    let behaviour = Behaviour { refuses_every, ..Behaviour::default() };
    let mut options = self::options(fake::start(behaviour, &data), 1_000);
    (options.batch, options.pipeline) = (true, 7);
    let report = good(options);
    assert_eq!(report.operations + report.error_count(), 1_000, "{report}");
}

#[test]
fn clients_pinned_to_nodes_have_one_connection_each() {
    let data = Data::default();
    let listeners: Vec<TcpListener> =
        (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
    let holders: Vec<SocketAddr> =
        listeners.iter().map(|each| each.local_addr().expect("it is bound")).collect();
    let upper = Behaviour { slots: fake::slots(&holders), ..Behaviour::default() };
    // The lower server would redirect a key that isn't its own.
    let lower = Behaviour { moved: Some((8192, holders[1])), ..upper.clone() };
    for (listener, behaviour) in listeners.into_iter().zip([lower, upper]) {
        fake::serve(listener, behaviour, &data);
    }
    let mut options = options(holders[0], 1_000);
    (options.cluster, options.pin) = (true, Pin::Node);
    let report = good(options);
    assert_eq!((report.operations, report.moved, report.range_gaps.len()), (1_000, 0, 2));
}

#[test]
fn pinned_clients_keep_every_range_busy() {
    let data = Data::default();
    let listeners: Vec<TcpListener> =
        (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
    let holders: Vec<SocketAddr> =
        listeners.iter().map(|each| each.local_addr().expect("it is bound")).collect();
    for listener in listeners {
        let slots = fake::slots(&holders);
        fake::serve(listener, Behaviour { slots, ..Behaviour::default() }, &data);
    }
    let mut options = options(holders[0], 1_000);
    (options.cluster, options.pin, options.keys) = (true, Pin::Range, Keys::Zipfian(0.9));
    let report = good(options);
    assert_eq!((report.operations, report.moved), (1_000, 0));
    let slots: Vec<(u16, u16)> = report.range_gaps.iter().map(|gap| gap.slots).collect();
    assert_eq!(slots, [(0, 8191), (8192, 16383)]);
}

#[test]
fn the_password_is_given_and_a_wrong_one_ends_the_run() {
    let data = Data::default();
    let password = Some("sesame".to_owned());
    let behaviour = Behaviour { password: password.clone(), ..Behaviour::default() };
    let address = fake::start(behaviour, &data);
    let mut right = options(address, 100);
    right.password = password;
    let mut wrong = right.clone();
    wrong.password = Some("open".to_owned());
    assert_eq!(good(right).operations, 100);
    let error = run(wrong).expect_err("the password is wrong").to_string();
    assert!(error.contains("WRONGPASS"), "{error}");
}

#[test]
fn without_keep_going_a_broken_connection_ends_the_run() {
    let data = Data::default();
    let address = fake::start(Behaviour { breaks_every: 10, ..Behaviour::default() }, &data);
    let mut options = options(address, 1_000);
    (options.clients, options.threads) = (4, 2);
    let error = run(options).expect_err("the connection broke");
    assert!(matches!(error, Error::Server(_)), "{error}");
}

#[test]
fn clients_go_to_the_next_server_when_one_is_down() {
    let data = Data::default();
    let address = fake::start(Behaviour::default(), &data);
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let down = free.local_addr().expect("it is bound");
    drop(free);
    let mut options = options(down, 500);
    options.addresses.push(address);
    options.keep_going = true;
    let report = good(options);
    assert_eq!(report.operations, 500, "{report}");
    assert!(report.errors.contains_key("CONNECT"), "{report}");
}

#[test]
fn remote_addresses_are_refused() {
    let error = run(Options::new(vec![SocketAddr::from(([192, 0, 2, 1], 6379))]));
    assert!(matches!(error, Err(Error::Refused(_))));
}

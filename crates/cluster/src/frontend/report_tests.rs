//! What a node that serves requests reports to the Lease Manager.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use placement::{HeldShard, Origin, Report};
use types::{Monotonic, NodeId, SegmentId, ShardId};

use super::tests::{Driver, settings};
use crate::{
    ClientAddress, ForwardedRequest, Input, Message, Output, Persisted, ProcessStats, report_codec,
};

impl Driver {
    /// The report after another second.
    fn report(&mut self) -> Report {
        self.wait(1000);
        let report = self.node.take_report(self.now).expect("a second has passed");
        assert_eq!(report.check(), Ok(()));
        let mut bytes = Vec::new();
        report_codec::encode(&report, &mut bytes);
        assert_eq!(report_codec::decode(&bytes).as_ref(), Ok(&report));
        report
    }
}

fn shard_of<'a>(report: &'a Report, key: &str) -> &'a HeldShard {
    let slot = resp::slot_of(key.as_bytes());
    report.held.iter().find(|held| held.range.contains(slot)).expect("it is held")
}

#[test]
fn a_report_tells_what_was_asked_of_each_shard() {
    let mut driver = Driver::new(settings(1));
    let idle = driver.report();
    assert_eq!(idle.held.len(), 4, "all shards of the only node");
    assert!(idle.held.iter().all(|held| held.reads + held.writes + held.load.cpu == 0.0));
    assert!(idle.held.iter().all(|held| held.voters == [NodeId(1)] && held.followers.is_empty()));
    assert_eq!((idle.used.cpu, idle.capacity.cpu), (0.0, 1e6));
    assert!(driver.node.take_report(driver.now).is_none(), "no time has passed");

    let session = driver.connect();
    for _ in 0..30 {
        driver.ask(session, "SET key 0123456789");
    }
    for _ in 0..90 {
        driver.ask(session, "GET key");
    }
    driver.ask(session, "MULTI");
    driver.ask(session, "INCR {key}n");
    driver.ask(session, "EXEC");
    let report = driver.report();
    let held = shard_of(&report, "key");
    assert_eq!((held.reads, held.writes), (90.0, 31.0));
    assert!(held.bytes_in > 1000.0 && held.bytes_out > 90.0 * 17.0, "{held:?}");
    assert_eq!(held.origins, [(Origin::of_host("127.0.0.1"), 121.0)]);
    assert_eq!(report.origins.len(), 1);
    assert_eq!(report.origins[0].1, "127.0.0.0/24");
    let slot = resp::slot_of(b"key");
    assert_eq!(held.hot_slots, [(slot, 1.0)]);
    assert!(&*held.hot_keys[0].0 == b"key" && held.hot_keys[0].1 > 0.8, "{held:?}");
    assert!(held.load.cpu > 90.0 * 10.0 && held.load.log > 0.0 && held.stored > 0.0);
    let others = report.held.iter().filter(|other| other.shard != held.shard);
    assert_eq!(others.map(|other| other.reads + other.writes).sum::<f64>(), 0.0);
    assert_eq!(report.used.cpu, held.load.cpu);
    assert!(report.held.iter().all(|held| held.shard != ShardId::SYSTEM));

    let after = driver.report();
    assert_eq!(shard_of(&after, "key").reads, 0.0, "each window is a new one");
    let shards = driver.ask(session, "LEASEHOLD SHARDS");
    assert!(shards.contains("reads\n:90\n$6\nwrites\n:31\n"), "{shards}");
}

#[test]
fn writes_that_gather_while_the_disk_is_busy_queue() {
    let mut driver = Driver::new(settings(1));
    driver.report();
    let session = driver.connect();
    // The first write occupies the disk; the second gathers until the disk is done.
    let mut outputs = Vec::new();
    driver.node.request(driver.now, session, &[b"SET", b"key", b"a"]);
    driver.node.settle(driver.now, &mut outputs);
    driver.node.request(driver.now, session, &[b"SET", b"key", b"b"]);
    driver.node.settle(driver.now, &mut outputs);
    driver.now.monotonic = driver.now.monotonic + Duration::from_millis(30);
    driver.now.wall.0 += 30;
    let writes = outputs.iter().filter_map(|output| {
        let Output::Persist { write, .. } = output else { return None };
        Some(*write)
    });
    let (write, segment) = (writes.last().expect("it was written"), SegmentId(1));
    driver.node.step(
        driver.now,
        Input::Persisted(Persisted { write, segment, oldest: segment, log_bytes: 0, log_end: 1 }),
    );
    driver.settle();
    let report = driver.report();
    let held = shard_of(&report, "key");
    assert!((held.writes * report.covers.as_secs_f64() - 2.0).abs() < 1e-9, "{held:?}");
    let is = |time: Duration| time.as_millis().abs_diff(30) <= 4;
    assert!(is(held.queue.p99) && is(held.service.p99), "{held:?}");
    assert!(is(report.fsync), "{:?}", report.fsync);
}

#[test]
fn a_process_is_shared_out_and_its_turns_are_queues() {
    let mut driver = Driver::new(settings(1));
    driver.report();
    let session = driver.connect();
    let mut stats = ProcessStats {
        measured_at: driver.now.monotonic,
        loop_micros: 1000,
        capacity_cpu: 2000,
        capacity_memory: 1 << 30,
        resident_bytes: 1 << 20,
        turn_p99: Duration::from_millis(3),
        ..ProcessStats::default()
    };
    driver.node.update_process_stats(stats);
    for _ in 0..1000 {
        driver.ask(session, "GET key");
    }
    stats.measured_at = driver.now.monotonic + Duration::from_secs(1);
    stats.loop_micros += 400_000;
    stats.input_bytes = 50_000;
    driver.node.update_process_stats(stats);
    let trip = Duration::from_millis(20);
    driver.node.note_round_trip(driver.now, session, trip);
    let report = driver.report();
    assert_eq!((report.capacity.cpu, report.used.cpu), (2e6, 4e5));
    assert_eq!((report.used.network, report.memory_capacity), (5e4, f64::from(1 << 30)));
    let held = shard_of(&report, "key");
    assert!(held.load.cpu > 3.8e5 && held.load.cpu <= 4e5, "{held:?}");
    assert_eq!(held.queue.p99, Duration::from_millis(3));
    let idle = report.held.iter().filter(|other| other.shard != held.shard);
    assert!(idle.map(|idle| idle.queue.p99).all(|time| time == Duration::ZERO));
    assert_eq!(report.round_trips.len(), 1);
    let found = report.round_trips[0];
    assert_eq!(found.origin, Origin::of_host("127.0.0.1"));
    assert!(found.time.abs_diff(trip) < trip / 8, "{found:?}");
}

#[test]
fn a_forwarded_request_tells_where_its_client_comes_from() {
    // Node 1 hears of nobody, so what its clients ask waits; the address goes along with it.
    let mut driver = Driver::acquainted(settings(1));
    let address = ClientAddress { host: "10.1.2.3".into(), ..ClientAddress::default() };
    let session = driver.node.connect(driver.now, address).expect("there is room");
    driver.ask(session, "SET key value");
    driver.report();
    let mut operation = Vec::new();
    let key = b"key".as_slice();
    let (slot, id) = (resp::slot_of(key), resp::CommandId::Get);
    crate::entry::put_single(slot, id, &[b"get", key], &mut operation);
    let shard = shard_of(&driver.report(), "key").shard;
    let message = Message::Forward(Box::new(ForwardedRequest {
        request: 1,
        life: super::tests::PEER_LIFE,
        receiver: super::tests::OWN_LIFE,
        shard,
        ordered: false,
        refusal: 0,
        resp3: false,
        passes_on: false,
        home: NodeId(2),
        home_life: super::tests::PEER_LIFE,
        at_home: 1,
        given_up: 0,
        lease: types::LeaseEpoch(u64::MAX),
        session: types::SessionId(1),
        watch: 0,
        wait_micros: 1_000_000,
        origin: Origin::of_host("192.168.7.1"),
        operation: operation.into(),
    }));
    driver.node.step(driver.now, Input::Peer { from: NodeId(2), message });
    let report = driver.report();
    let held = shard_of(&report, "key");
    assert_eq!(held.origins, [(Origin::of_host("192.168.7.9"), 1.0)]);
    assert_eq!(held.reads, 1.0);
    assert_eq!(report.origins[0].1, "10.1.2.0/24", "only own clients have texts");
}

#[test]
fn time_alone_makes_no_numbers_that_are_none() {
    let mut driver = Driver::new(settings(3));
    driver.now.monotonic = driver.now.monotonic + Duration::from_secs(100_000);
    let report = driver.node.take_report(driver.now).expect("time has passed");
    assert_eq!(report.check(), Ok(()));
    assert!(report.held.is_empty(), "nobody supports it");
    assert!(driver.now.monotonic > Monotonic(0));
}

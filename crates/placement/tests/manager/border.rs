//! What makes no sense is refused with a reason, and nothing changes.

use std::time::Duration;

use crate::support::Cluster;
use placement::{
    Command, Duty, Follower, Generation, HeldShard, Origin, Pin, RefusedCommand, RefusedReport,
    Report, Resources,
};
use types::{Incarnation, LeaseEpoch, NodeId, ShardId, Slot, SlotRange};

fn cluster() -> Cluster {
    let mut cluster = Cluster::placed(3, &[0.1; 6], |number| number as u32 % 3 + 1);
    cluster.seconds(10);
    cluster.seconds += 1;
    cluster
}

/// The refusal of a report that is sound but for one change.
fn refusal(change: impl Fn(&mut Report)) -> RefusedReport {
    let mut cluster = cluster();
    let mut report = cluster.report(NodeId(1));
    change(&mut report);
    let before = format!("{:?}", cluster.manager);
    let refused = cluster.manager.observe(cluster.now(), report).expect_err("must be refused");
    assert_eq!(format!("{:?}", cluster.manager), before, "{refused}");
    refused
}

fn held(report: &mut Report) -> &mut HeldShard {
    &mut report.held[0]
}

#[test]
fn a_sound_report_is_taken() {
    let mut cluster = cluster();
    let report = cluster.report(NodeId(1));
    assert_eq!(cluster.manager.observe(cluster.now(), report), Ok(()));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let changes: [fn(&mut Report, f64); 12] = [
        |report, bad| report.capacity.cpu = bad,
        |report, bad| report.used.network = bad,
        |report, bad| report.memory_capacity = bad,
        |report, bad| report.memory_used = bad,
        |report, bad| held(report).reads = bad,
        |report, bad| held(report).load.log = bad,
        |report, bad| held(report).stored = bad,
        |report, bad| held(report).bytes_in = bad,
        |report, bad| held(report).bytes_out = bad,
        |report, bad| held(report).hot_slots = vec![(Slot::default(), bad)],
        |report, bad| held(report).hot_keys = vec![(Box::from(*b"key"), bad)],
        |report, bad| held(report).origins = vec![(Origin(1), bad)],
    ];
    for change in changes {
        for bad in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            let refused = refusal(|report| change(report, bad));
            assert!(matches!(refused, RefusedReport::NotSane { .. }), "{refused}");
        }
    }
    let refused = refusal(|report| report.capacity = Resources::NONE);
    assert_eq!(refused.to_string(), "`capacity` is negative, not a number, or absurdly large");
    // A share of such a node would be infinite.
    let refused = refusal(|report| report.capacity.log = f64::MIN_POSITIVE);
    assert_eq!(refused, RefusedReport::NotSane { field: "capacity" });
    for covers in [Duration::ZERO, Duration::from_secs(4000)] {
        let refused = refusal(|report| report.covers = covers);
        assert_eq!(refused, RefusedReport::NotSane { field: "covers" });
    }
}

#[test]
fn reports_out_of_time_are_refused() {
    let refused = refusal(|report| report.uptime -= Duration::from_secs(1));
    assert!(matches!(refused, RefusedReport::OutOfOrder { .. }), "{refused}");
    let refused = refusal(|report| report.uptime += Duration::from_secs(5));
    assert!(matches!(refused, RefusedReport::FromTheFuture { .. }), "{refused}");
    let refused = refusal(|report| report.incarnation = Incarnation(0));
    assert!(matches!(refused, RefusedReport::OldIncarnation { .. }), "{refused}");
}

#[test]
fn reports_about_the_unknown_are_refused() {
    let refused = refusal(|report| report.node = NodeId(9));
    assert_eq!(refused.to_string(), "n9 is not a node of this cluster");
    let refused = refusal(|report| held(report).shard = ShardId(99));
    assert_eq!(refused, RefusedReport::UnknownShard(ShardId(99)));
    let refused = refusal(|report| held(report).epoch = LeaseEpoch(0));
    assert_eq!(refused.to_string(), "claims s0 under e0, but the newest lease is e1");
    // Another node holds shard 1 under the same epoch.
    let refused = refusal(|report| held(report).shard = ShardId(1));
    assert!(matches!(refused, RefusedReport::StaleEpoch { .. }), "{refused}");
    let refused = refusal(|report| {
        let again = report.held[0].clone();
        report.held.push(again);
    });
    assert_eq!(refused, RefusedReport::Twice { field: "held" });
    let follower = Follower { node: NodeId(2), lag_entries: 0, lag_time: Duration::ZERO };
    let refused = refusal(|report| {
        held(report).followers = (0..8).map(|n| Follower { node: NodeId(n), ..follower }).collect();
    });
    assert_eq!(refused, RefusedReport::TooMany { field: "followers" });
}

#[test]
fn hot_things_replicas_and_texts_have_limits_and_are_named_once() {
    let slot = |number| Slot::new(number).expect("a slot");
    let refused = refusal(|report| held(report).hot_slots = vec![(slot(1), 0.1); 2]);
    assert_eq!(refused, RefusedReport::Twice { field: "hot slots" });
    let refused = refusal(|report| {
        held(report).hot_slots = (0..9).map(|number| (slot(number), 0.1)).collect();
    });
    assert_eq!(refused, RefusedReport::TooMany { field: "hot slots" });
    let refused = refusal(|report| {
        held(report).range = SlotRange::new(slot(0), slot(9)).expect("a range");
        held(report).hot_slots = vec![(slot(10), 0.1)];
    });
    assert_eq!(refused, RefusedReport::NotSane { field: "hot slots" });
    let refused = refusal(|report| held(report).hot_keys = vec![(Box::from([0; 65]), 0.1)]);
    assert_eq!(refused, RefusedReport::TooMany { field: "bytes of a hot key" });
    let refused = refusal(|report| held(report).hot_keys = vec![(Box::from([0; 64]), 0.1); 2]);
    assert_eq!(refused, RefusedReport::Twice { field: "hot keys" });
    let refused = refusal(|report| {
        held(report).voters = vec![NodeId(1), NodeId(2)];
        held(report).learners = vec![NodeId(2)];
    });
    assert_eq!(refused, RefusedReport::Twice { field: "voters and learners" });
    let refused = refusal(|report| held(report).voters = (0..8).map(NodeId).collect());
    assert_eq!(refused, RefusedReport::TooMany { field: "voters and learners" });
    let refused = refusal(|report| report.origins = vec![(Origin(1), "a".repeat(65))]);
    assert_eq!(refused, RefusedReport::TooMany { field: "text of an origin" });
    let refused = refusal(|report| report.origins = vec![(Origin(1), String::new()); 2]);
    assert_eq!(refused, RefusedReport::Twice { field: "origins" });
}

#[test]
fn a_node_whose_clock_has_jumped_is_heard_again_after_a_silence() {
    let mut cluster = cluster();
    let mut report = cluster.report(NodeId(1));
    report.uptime += Duration::from_secs(60);
    assert!(cluster.manager.observe(cluster.now(), report.clone()).is_err());
    cluster.seconds += 5;
    assert_eq!(cluster.manager.observe(cluster.now(), report), Ok(()));
}

#[test]
fn commands_that_make_no_sense_are_refused() {
    let shard = |shard, replicas: &[u32], generation| Command::Shard {
        shard: ShardId(shard),
        range: SlotRange::ALL,
        replicas: replicas.iter().map(|node| NodeId(*node)).collect(),
        generation: Generation(generation),
    };
    let (n1, n9, s0, s9) = (NodeId(1), NodeId(9), ShardId(0), ShardId(9));
    let cases = [
        (Command::Duty(n9, Duty::NoLeases), RefusedCommand::UnknownNode(n9)),
        (Command::Forget(n9), RefusedCommand::UnknownNode(n9)),
        (Command::Forget(n1), RefusedCommand::StillUsed(n1, s0)),
        (Command::DropShard(s9), RefusedCommand::UnknownShard(s9)),
        (Command::Pin(s9, None), RefusedCommand::UnknownShard(s9)),
        (Command::Pin(s0, Some(Pin::Node(n9))), RefusedCommand::PinLeadsNowhere(s0)),
        (shard(9, &[], 1), RefusedCommand::BadReplicas(s9)),
        (shard(9, &[1, 1], 1), RefusedCommand::BadReplicas(s9)),
        (shard(9, &[1, 9], 1), RefusedCommand::UnknownNode(n9)),
        (shard(0, &[1, 2], 1), RefusedCommand::OldGeneration { shard: s0, known: Generation(1) }),
    ];
    let mut cluster = cluster();
    for (command, refusal) in cases {
        let before = format!("{:?}", cluster.manager);
        assert_eq!(cluster.manager.command(cluster.now(), command), Err(refusal));
        assert_eq!(format!("{:?}", cluster.manager), before);
    }
}

#[test]
fn the_last_replica_is_not_drained_and_pins_do_not_contradict_drains() {
    let mut cluster = cluster();
    cluster.command(Command::Pin(ShardId(0), Some(Pin::Node(NodeId(1)))));
    let drain = |node| Command::Duty(NodeId(node), Duty::NoLeases);
    let refused = cluster.manager.command(cluster.now(), drain(1));
    assert_eq!(refused, Err(RefusedCommand::PinnedThere(NodeId(1), ShardId(0))));
    cluster.command(drain(2));
    cluster.command(drain(3));
    cluster.command(Command::Pin(ShardId(0), None));
    let refused = cluster.manager.command(cluster.now(), drain(1));
    assert_eq!(refused, Err(RefusedCommand::LastReplica(NodeId(1), ShardId(0))));
    let pin = Command::Pin(ShardId(0), Some(Pin::Node(NodeId(2))));
    let refused = cluster.manager.command(cluster.now(), pin);
    assert_eq!(refused, Err(RefusedCommand::PinnedToDrained(NodeId(2), ShardId(0))));
}

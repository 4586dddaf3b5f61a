//! Where leases go: first assignment, balance, drain, pins, failures.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::{Cluster, moves};
use placement::{Action, Command, Duty, Locality, Origin, Outcome, Pin, Policy, Reason, Verdict};
use types::{NodeId, ShardId};

const BIG: [f64; 10] = [0.09; 10];

#[test]
fn first_assignment_spreads_over_all_nodes() {
    let mut cluster = Cluster::new(Policy::default(), 3, &[0.01; 30]);
    let decisions = cluster.second();
    assert_eq!(moves(&decisions).len(), 30);
    assert!(decisions.iter().all(|decision| decision.reason == Reason::FirstAssignment));
    for (node, load) in cluster.loads() {
        assert!((load - 0.1).abs() < 0.011, "{node} has {load}");
    }
}

#[test]
fn shards_do_not_all_flee_to_the_same_idle_node() {
    let mut cluster = Cluster::placed(4, &BIG, |_| 1);
    cluster.seconds(15);
    for (node, load) in cluster.loads() {
        assert!(load < 0.3, "{node} has {load}");
    }
    // And then there is peace.
    assert_eq!(moves(&cluster.seconds(600)), []);
}

/// Two nodes have all the load. What one gives away counts when the other does, whether it has
/// arrived or not.
#[test]
fn two_overfull_nodes_do_not_fill_the_same_idle_one() {
    for (nodes, obeys) in [(3, true), (4, true), (3, false), (4, false)] {
        let mut cluster = Cluster::placed(nodes, &[0.1; 16], |number| number as u32 % 2 + 1);
        cluster.obeys = obeys;
        let fair = 1.6 / f64::from(nodes);
        for second in 0..20 {
            let mut inbound = cluster.loads();
            for (shard, _, to) in moves(&cluster.second()) {
                *inbound.entry(to).or_default() += cluster.shards[&shard].load;
            }
            let idle = inbound.iter().filter(|(node, _)| node.0 > 2);
            for (node, load) in idle {
                assert!(*load <= fair + 0.05, "{node} gets {load} in second {second} of {nodes}");
            }
        }
    }
}

/// The worst load that there is: it runs after every lease that moves. A shard rests all the same,
/// does not go straight back, and moves ten times a minute at most.
#[test]
fn a_load_that_runs_after_the_leases_does_not_make_them_run() {
    let mut cluster = Cluster::placed(5, &[0.02; 25], |number| number as u32 % 5 + 1);
    let mut history: BTreeMap<ShardId, Vec<(u64, NodeId, NodeId)>> = BTreeMap::new();
    let mut victim = NodeId(1);
    for _ in 0..1200 {
        for (shard, from, to) in moves(&cluster.second()) {
            let moved = (cluster.seconds, from.expect("held"), to);
            history.entry(shard).or_default().push(moved);
            victim = to;
        }
        for shard in cluster.shards.values_mut() {
            shard.load = if shard.holder == Some(victim) { 0.16 } else { 0.01 };
        }
    }
    assert!(!history.is_empty());
    for (shard, moved) in &history {
        for pair in moved.windows(2) {
            let [(before, from, _), (now, _, to)] = pair else { continue };
            assert!(now - before >= 60 || to != from, "{shard} went back: {pair:?}");
            assert!(now - before >= 5, "{shard} had no rest: {pair:?}");
        }
        for many in moved.windows(11) {
            assert!(many[10].0 - many[0].0 >= 60, "{shard} moved on and on: {many:?}");
        }
    }
}

#[test]
fn nobody_moves_when_nobody_is_near_overload() {
    let mut cluster = Cluster::placed(3, &[0.02; 10], |_| 1);
    assert_eq!(moves(&cluster.seconds(60)), []);
    let why = cluster.manager.why(cluster.now(), ShardId(3)).expect("a known shard");
    assert!(matches!(why.verdict, Verdict::HolderCalm { .. }), "{why}");
}

/// Clients hear of a move late, and until then their requests come to the node that has given the
/// lease away: passing them on takes as much as serving them did. The node must not give away more
/// and more for that.
#[test]
fn clients_that_hear_late_of_a_move_cause_no_more_moves() {
    let loads = [0.05; 30];
    let home = |number: usize| if number < 14 { 1 } else { number as u32 % 2 + 2 };
    let play = |heeds: bool| {
        let mut cluster = Cluster::placed(3, &loads, home);
        let mut moved: Vec<u64> = Vec::new();
        for _ in 0..180 {
            let of_late = moved.iter().filter(|at| cluster.seconds - **at < 90).count();
            cluster.late = if heeds { of_late as f64 * 0.05 } else { 0.0 };
            cluster.background = of_late as f64 * 0.05;
            let all = moves(&cluster.second());
            let leave = all.iter().filter(|(_, from, _)| *from == Some(NodeId(1)));
            moved.extend(leave.map(|_| cluster.seconds));
        }
        moved.len()
    };
    assert_eq!(play(true), 3, "until it is within a tenth of the others");
    assert!(play(false) > 6, "what the report doesn't say is taken for what stays");
}

/// All nodes have more to do than they can, and what each is measured to take wavers by a few per
/// cent: to move leases from one to the other helps nobody.
#[test]
fn nobody_moves_where_all_are_overloaded_alike() {
    let mut cluster = Cluster::placed(3, &[0.07; 60], |number| number as u32 % 3 + 1);
    cluster.queue = Duration::from_millis(50);
    let mut moved = 0;
    for second in 0..600 {
        for shard in cluster.shards.values_mut() {
            let phase = f64::from(shard.holder.expect("held").0) * 2.1 + f64::from(second) / 9.0;
            shard.load = 0.07 * (1.0 + 0.07 * phase.sin());
        }
        moved += moves(&cluster.second()).len();
    }
    assert_eq!(moved, 0);
}

#[test]
fn a_node_is_left_alone_until_it_has_reported_after_a_move() {
    let mut cluster = Cluster::placed(2, &BIG, |_| 1);
    cluster.obeys = false;
    let first = (0..5).map(|_| cluster.second()).find(|all| !moves(all).is_empty());
    // While the moves are under way nothing else is decided for the two nodes.
    assert_eq!(moves(&cluster.second()), []);
    let mut late = cluster.report(NodeId(2));
    late.uptime += Duration::from_millis(500);
    cluster.seconds += 1;
    for decision in &first.expect("something moves") {
        cluster.obey(decision);
    }
    // The report was taken before the moves.
    let refused = cluster.manager.observe(cluster.now(), late).expect_err("too old");
    assert!(refused.to_string().contains("before the last move"), "{refused}");
    assert_eq!(moves(&cluster.manager.decide(cluster.now())), []);
    cluster.obeys = true;
    assert_ne!(moves(&cluster.seconds(3)), []);
}

#[test]
fn a_shard_larger_than_a_fair_share_stays_and_the_rest_leaves() {
    let mut loads = vec![0.02; 20];
    loads[0] = 0.7;
    let mut cluster = Cluster::placed(3, &loads, |number| number as u32 % 3 + 1);
    cluster.seconds(30);
    let home = cluster.shards[&ShardId(0)].holder.expect("held");
    assert_eq!(home, NodeId(1));
    assert!((cluster.loads()[&home] - 0.7).abs() < 1e-9, "{:?}", cluster.loads());
    let why = cluster.manager.why(cluster.now(), ShardId(0)).expect("a known shard");
    assert!(matches!(why.verdict, Verdict::TooLarge { .. }), "{why}");
}

#[test]
fn a_drained_node_is_empty_after_one_round_and_its_leases_spread() {
    let mut cluster = Cluster::placed(4, &[0.002; 900], |number| number as u32 % 3 + 1);
    cluster.command(Command::Freeze(true));
    cluster.seconds(2);
    cluster.command(Command::Duty(NodeId(1), Duty::NoLeases));
    let decisions = cluster.second();
    assert_eq!(moves(&decisions).len(), 300);
    assert!(decisions.iter().all(|decision| decision.reason == Reason::Drain));
    let loads = cluster.loads();
    assert_eq!(loads[&NodeId(1)], 0.0);
    assert!(loads.values().all(|load| *load < 0.7), "{loads:?}");
    // Nothing comes back while the drain lasts.
    let later = cluster.seconds(100);
    assert!(moves(&later).iter().all(|(_, _, to)| *to != NodeId(1)));
}

#[test]
fn pins_and_freeze_are_obeyed() {
    let mut cluster = Cluster::placed(3, &BIG, |_| 1);
    cluster.command(Command::Freeze(true));
    assert_eq!(moves(&cluster.seconds(20)), []);
    let why = cluster.manager.why(cluster.now(), ShardId(0)).expect("a known shard");
    assert_eq!(why.verdict, Verdict::Frozen);
    // The operator's own orders count all the same.
    cluster.command(Command::Pin(ShardId(4), Some(Pin::Node(NodeId(3)))));
    assert_eq!(moves(&cluster.second()), [(ShardId(4), Some(NodeId(1)), NodeId(3))]);
    cluster.command(Command::Freeze(false));
    let decisions = cluster.seconds(60);
    assert!(moves(&decisions).iter().all(|(shard, _, _)| *shard != ShardId(4)));
    assert_eq!(cluster.shards[&ShardId(4)].holder, Some(NodeId(3)));
}

#[test]
fn the_heirs_of_a_node_share_its_load() {
    let mut cluster = Cluster::placed(5, &[0.02; 100], |number| number as u32 % 5 + 1);
    let decisions = cluster.seconds(10);
    let mut heirs: BTreeMap<NodeId, usize> = BTreeMap::new();
    for decision in &decisions {
        if let Action::Succession { heirs: order, .. } = &decision.action {
            assert_eq!(order.len(), 4);
            if cluster.shards[&decision.shard].holder == Some(NodeId(1)) {
                *heirs.entry(order[0]).or_default() += 1;
            }
        }
    }
    assert_eq!(heirs.values().copied().collect::<Vec<_>>(), [5, 5, 5, 5]);
    // The orders stand as long as nothing changes.
    let later = cluster.seconds(600);
    assert_eq!(later, []);
}

#[test]
fn what_heirs_leave_is_assigned() {
    let mut cluster = Cluster::placed(3, &[0.05; 9], |number| number as u32 % 3 + 1);
    cluster.seconds(5);
    cluster.silent.push(NodeId(2));
    for shard in cluster.shards.values_mut().filter(|shard| shard.holder == Some(NodeId(2))) {
        shard.holder = None;
    }
    let decisions: Vec<_> = cluster.seconds(10);
    let lost: Vec<_> =
        decisions.iter().filter(|decision| decision.reason == Reason::HolderLost).collect();
    assert_eq!(lost.len(), 3);
    assert!(cluster.shards.values().all(|shard| shard.holder.is_some()));
    assert!(lost.iter().any(|decision| decision.target() == Some(NodeId(1))));
    assert!(lost.iter().any(|decision| decision.target() == Some(NodeId(3))));
}

#[test]
fn a_failed_move_is_not_repeated_at_once() {
    let mut cluster = Cluster::placed(2, &[0.3, 0.3, 0.3], |_| 1);
    cluster.obeys = false;
    let decisions = cluster.seconds(5);
    let failed = decisions.iter().find(|decision| !moves(&[(*decision).clone()]).is_empty());
    let failed = failed.expect("a move").clone();
    let now = cluster.now();
    cluster.manager.outcome(now, failed.id, Outcome::Failed).expect("a known decision");
    // Telling it twice changes nothing.
    cluster.manager.outcome(now, failed.id, Outcome::Stale).expect("a known decision");
    let record = cluster.manager.record(failed.id).expect("remembered");
    assert_eq!(record.outcome, Some(Outcome::Failed));
    let later = cluster.seconds(50);
    assert!(moves(&later).iter().all(|(shard, _, _)| *shard != failed.shard));
    assert!(cluster.manager.outcome(now, placement::DecisionId(999), Outcome::Failed).is_err());
}

fn two_zones(policy: Policy) -> Cluster {
    let mut cluster = Cluster::new(policy, 2, &[0.01; 4]);
    for (node, zone) in [(1, "a"), (2, "b")] {
        let locality = Locality { zone: zone.into(), ..Locality::default() };
        cluster.join(NodeId(node), locality);
        for origin in 1..=2 {
            let millis = if node == origin { 1 } else { 40 };
            let time = Duration::from_millis(millis);
            cluster.round_trips.insert((NodeId(node), Origin(origin)), time);
        }
    }
    for shard in cluster.shards.values_mut() {
        (shard.holder, shard.epoch) = (Some(NodeId(1)), 1);
        shard.origins = vec![(Origin(1), 10.0), (Origin(2), 90.0)];
    }
    cluster
}

#[test]
fn leases_follow_their_clients_after_a_while() {
    let mut cluster = two_zones(Policy::default());
    assert_eq!(moves(&cluster.seconds(55)), []);
    let decisions = cluster.seconds(30);
    assert_eq!(moves(&decisions).len(), 4);
    let near = |reason| matches!(reason, Reason::Proximity | Reason::Succession);
    assert!(decisions.iter().all(|decision| near(decision.reason)));
    assert_eq!(moves(&cluster.seconds(700)), []);
}

#[test]
fn proximity_can_be_switched_off_and_is_off_in_one_zone() {
    let mut cluster = two_zones(Policy { proximity_weight: 0.0, ..Policy::default() });
    assert_eq!(moves(&cluster.seconds(200)), []);
    let mut cluster = two_zones(Policy::default());
    cluster.join(NodeId(2), Locality { zone: "a".into(), ..Locality::default() });
    assert_eq!(moves(&cluster.seconds(200)), []);
}

#[test]
fn a_plan_is_what_would_be_decided_and_changes_nothing() {
    let mut cluster = Cluster::placed(4, &BIG, |_| 1);
    cluster.obeys = false;
    for _ in 0..5 {
        let before = format!("{:?}", cluster.manager);
        let plan = cluster.manager.plan(cluster.now());
        assert_eq!(format!("{:?}", cluster.manager), before);
        assert_eq!(plan, cluster.manager.decide(cluster.now()));
        cluster.second();
    }
}

#[test]
fn an_explanation_is_readable() {
    let mut cluster = Cluster::placed(3, &BIG, |_| 1);
    cluster.seconds(20);
    let why = cluster.manager.why(cluster.now(), ShardId(0)).expect("a known shard");
    let text = why.to_string();
    assert!(text.contains("s0 is held by n"), "{text}");
    assert!(text.contains("Move: "), "{text}");
    assert!(text.contains("Heirs: n"), "{text}");
    assert!(why.sentences().iter().all(|line| !line.contains("Move: ")), "{text}");
    let moved = cluster.manager.records().find(|record| record.reason.is_for_gain());
    let text = moved.expect("something moved").to_string();
    assert!(text.contains(": the holder is near its limits; applied at e2"), "{text}");
}

#[test]
fn an_explanation_of_what_no_decision_has_moved_is_true() {
    let mut cluster = Cluster::placed(3, &[0.1, 0.1, 0.1], |at| at as u32 + 1);
    cluster.obeys = false;
    let explain = |cluster: &mut Cluster| {
        // Longer than `silent_after`.
        cluster.seconds(6);
        cluster.manager.why(cluster.now(), ShardId(0)).expect("a known shard").to_string()
    };
    let text = explain(&mut cluster);
    assert!(text.contains("; it was elected there."), "{text}");
    // The operator's order, or a node that stops.
    cluster.handed_over = true;
    let text = explain(&mut cluster);
    assert!(text.contains("the last holder handed it over"), "{text}");
    // An heir that has died is no heir at the moment.
    cluster.silent.push(NodeId(2));
    let text = explain(&mut cluster);
    assert!(text.contains("n2 (not reporting)") && !text.contains("n3 (not"), "{text}");
    // Others hear the holder and the manager doesn't: what it knows is old.
    cluster.silent.clear();
    cluster.unheard.push(NodeId(1));
    let text = explain(&mut cluster);
    assert!(text.contains("s0 was held by n1 under e1 when that node last reported"), "{text}");
    assert!(text.contains("Move: its holder has not reported for a while"), "{text}");
    assert!(!text.contains("Its holder is "), "{text}");
    // The holder is dead, and no heir has the lease yet.
    cluster.unheard.clear();
    cluster.silent = vec![NodeId(1)];
    let text = explain(&mut cluster);
    assert!(text.contains("s0 is held by nobody; its last lease was e1."), "{text}");
}

#[test]
fn nothing_goes_to_a_full_disk_but_from_another() {
    let mut cluster = Cluster::placed(2, &BIG, |_| 1);
    cluster.disks_full = vec![NodeId(2)];
    assert_eq!(moves(&cluster.seconds(60)), []);
    let why = cluster.manager.why(cluster.now(), ShardId(0)).expect("a known shard").to_string();
    assert!(why.contains("n2 has a disk that is nearly full"), "{why}");
    cluster.disks_full = vec![NodeId(1), NodeId(2)];
    assert!(!moves(&cluster.seconds(60)).is_empty());
}

#[test]
fn what_a_move_has_gained_is_measured() {
    let mut cluster = Cluster::placed(3, &BIG, |_| 1);
    cluster.seconds(60);
    let moved: Vec<_> =
        cluster.manager.records().filter(|record| record.reason.is_for_gain()).collect();
    assert!(!moved.is_empty());
    assert!(moved.iter().all(|record| record.realised_gain.is_some_and(|gain| gain > 0.0)));
}

/// Random clusters against something dumb: the largest shard first, each to the emptiest node.
#[test]
fn random_clusters_come_near_the_best_placement() {
    let mut state = 1_u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1_u64 << 24) as f64
    };
    for case in 0..40 {
        let nodes = 2 + case % 5;
        let mut loads: Vec<f64> = (0..60).map(|_| random() * random() * random()).collect();
        let sum: f64 = loads.iter().sum();
        loads.iter_mut().for_each(|load| *load *= 0.6 * f64::from(nodes) / sum);
        let mut cluster =
            Cluster::placed(nodes, &loads, |number| (number as u32 * 7 / 3 + case) % nodes + 1);
        let decisions = cluster.seconds(90);
        for decision in decisions.iter().filter(|decision| decision.reason.is_for_gain()) {
            let inputs = decision.inputs;
            assert!(inputs.target + inputs.shard < inputs.source, "case {case}: {decision}");
            assert!(decision.bids[0].total() > 0.0, "case {case}: {decision}");
        }
        loads.sort_by(|a, b| b.total_cmp(a));
        let mut best = vec![0.0_f64; nodes as usize];
        for load in &loads {
            let least = best.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("a node");
            *least += load;
        }
        let (best, most) = (
            best.iter().copied().fold(0.0, f64::max),
            cluster.loads().into_values().fold(0.0, f64::max),
        );
        assert!(most <= best * 1.12, "case {case}: {most} against {best}");
    }
}

#[test]
fn a_record_that_is_forgotten_leaves_nothing_behind() {
    let policy = Policy { records_max: 16, ..Policy::default() };
    let mut cluster = Cluster::new(policy, 3, &[0.01; 60]);
    cluster.obeys = false;
    assert_eq!(moves(&cluster.second()).len(), 60);
    assert_eq!(cluster.manager.records().count(), 16);
    // All of them time out, the forgotten ones too, and are decided anew.
    assert_eq!(moves(&cluster.seconds(4)), []);
    assert_eq!(moves(&cluster.second()).len(), 60);
}

#[test]
fn a_node_whose_clock_is_off_comes_last() {
    let mut cluster = Cluster::placed(3, &[0.05; 9], |number| number as u32 % 3 + 1);
    cluster.seconds(5);
    cluster.clocks_off.push(NodeId(1));
    cluster.seconds(1);
    cluster.silent.push(NodeId(2));
    for shard in cluster.shards.values_mut().filter(|shard| shard.holder == Some(NodeId(2))) {
        shard.holder = None;
    }
    let decisions = cluster.seconds(10);
    let lost = decisions.iter().filter(|decision| decision.reason == Reason::HolderLost);
    assert!(lost.clone().count() >= 3);
    assert!(lost.clone().all(|decision| decision.target() == Some(NodeId(3))));
    // It is not forbidden to hold: where there is nobody else, it does.
    cluster.silent.push(NodeId(3));
    for shard in cluster.shards.values_mut().filter(|shard| shard.holder == Some(NodeId(3))) {
        shard.holder = None;
    }
    cluster.seconds(10);
    assert!(cluster.shards.values().all(|shard| shard.holder == Some(NodeId(1))));
}

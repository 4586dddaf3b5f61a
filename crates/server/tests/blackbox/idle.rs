//! What a cluster costs that has nothing to do.

use std::time::{Duration, Instant};

use crate::support::{Plan, let_pass};

/// How long the CPU time is watched.
const WATCHED: Duration = Duration::from_secs(5);

#[test]
fn a_thousand_idle_shards_cost_next_to_nothing() {
    let cluster = Plan::of(3).with("shards", "1024").start();
    assert_eq!(cluster.holders().len(), 1024);
    // The elections' last messages and disk writes are not idleness.
    let_pass(Duration::from_secs(2));
    let cpu = || -> f64 { cluster.nodes().iter().map(crate::support::Node::cpu_seconds).sum() };
    let (before, began) = (cpu(), Instant::now());
    let_pass(WATCHED);
    let share = (cpu() - before) / began.elapsed().as_secs_f64();
    println!("1024 idle shards on 3 nodes: {:.2} % of one core for all nodes", share * 100.0);
    assert!(share < 0.3, "idle nodes take {:.1} % of one core", share * 100.0);
}

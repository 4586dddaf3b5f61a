//! Random runs: that they are the same every time, that no rule is broken, and that every rule
//! that is broken on purpose is noticed.

use sim::{Plan, Planting, TraceMode, run};

/// Runs in a test: enough to notice what is plainly wrong. `cargo xtask sim` does many.
const SEEDS: u64 = 40;

#[test]
fn a_seed_gives_the_same_run_every_time() {
    for seed in [3, 11, 16] {
        let plan = Plan::draw(seed);
        let first = run(&plan, TraceMode::Hash);
        let again = run(&plan, TraceMode::Last(5));
        assert_eq!(first.hash, again.hash, "seed {seed}: what is recorded changes nothing");
        assert_eq!(first.counters, again.counters);
        let other = run(&Plan::draw(seed + 100), TraceMode::Hash);
        assert_ne!(first.hash, other.hash);
    }
}

#[test]
fn no_rule_is_broken() {
    for seed in 0..SEEDS {
        let outcome = run(&Plan::draw(seed), TraceMode::Hash);
        assert!(outcome.violation.is_none(), "seed {seed}: {:?}", outcome.violation);
    }
}

#[test]
fn a_run_without_faults_loses_nothing() {
    for seed in 0..4 {
        let outcome = run(&Plan::draw(seed).without_faults(), TraceMode::Hash);
        assert!(outcome.violation.is_none(), "seed {seed}: {:?}", outcome.violation);
    }
}

/// The first seed at which a broken rule shows.
fn caught(planting: Planting, most: u64) -> Option<u64> {
    (0..most).find(|&seed| {
        let plan = Plan::draw(seed).with_planting(planting);
        run(&plan, TraceMode::Hash).violation.is_some()
    })
}

#[test]
fn reads_without_a_lease_are_noticed() {
    assert!(caught(Planting::AnswerWithoutLease, 100).is_some());
}

#[test]
fn a_lease_that_survives_its_transfer_is_noticed() {
    assert!(caught(Planting::KeepLeaseOverTransfer, 100).is_some());
}

#[test]
fn forgotten_promises_are_noticed() {
    assert!(caught(Planting::ForgetPromises, 300).is_some());
}

#[test]
fn writes_acknowledged_before_they_are_durable_are_noticed() {
    assert!(caught(Planting::EarlyPersisted, 100).is_some());
}

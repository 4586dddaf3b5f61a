//! Random runs: that they are the same every time, that no rule is broken, and that every rule
//! that is broken on purpose is noticed.

use sim::{Lasting, Plan, Planting, TraceMode, run, runs_until_caught};

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
fn clients_are_served_while_a_fault_lasts() {
    for (at, kind) in Lasting::BORNE.iter().enumerate() {
        let plan = Plan::draw(at as u64).with_lasting(*kind);
        let outcome = run(&plan, TraceMode::Hash);
        assert!(outcome.violation.is_none(), "{kind:?}, seed {at}: {:?}", outcome.violation);
    }
}

#[test]
fn a_run_without_faults_loses_nothing() {
    for seed in 0..4 {
        let outcome = run(&Plan::draw(seed).without_faults(), TraceMode::Hash);
        assert!(outcome.violation.is_none(), "seed {seed}: {:?}", outcome.violation);
    }
}

/// Breaks a rule on purpose: it must show within `most` seeds, and the same runs must be clean
/// without it.
fn must_show(planting: Planting, most: u64) {
    let plan = |seed| Plan::draw(seed).aimed_at(planting);
    let seed = runs_until_caught(planting, 0, most).map(|runs| runs - 1);
    let Some(seed) = seed else { panic!("{planting:?} does not show within {most} seeds") };
    let outcome = run(&plan(seed), TraceMode::Hash);
    assert!(outcome.violation.is_none(), "seed {seed}: {:?}", outcome.violation);
}

#[test]
fn reads_without_a_lease_show() {
    must_show(Planting::AnswerWithoutLease, 20);
}

#[test]
fn a_lease_kept_over_its_transfer_shows() {
    must_show(Planting::KeepLeaseOverTransfer, 40);
}

#[test]
fn forgotten_promises_show() {
    must_show(Planting::ForgetPromises, 40);
}

#[test]
fn requests_that_are_run_twice_show() {
    must_show(Planting::ForwardTwice, 10);
}

#[test]
fn transactions_that_segments_take_along_show() {
    must_show(Planting::TransactionNotNoted, 30);
}

#[test]
fn writes_that_a_full_disk_did_not_take_show() {
    must_show(Planting::FullDiskAcknowledges, 30);
}

#[test]
fn writes_acknowledged_before_they_are_durable_show() {
    must_show(Planting::EarlyPersisted, 20);
}

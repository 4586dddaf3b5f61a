//! The unbroken protocol holds in every state of every configuration, and not vacuously.

use model::{
    CHANGED, DELAY, DISPUTE, DRAIN, DRIFT, ELECTIONS, EXPIRED, EXPIRY, FAILOVER, FRESH, GROW, HELD,
    JOINT, MOVE, PART, QUARTER, REMOVED, RENEWED, RESTART, RETIRE, RETURN, RIVALS, SHED, SWAP,
    Settings, TRANSFER, TRANSFERRED, UNEQUAL, VOTED, check,
};

/// Every state is searched; no invariant is broken; the situations are reached.
fn holds_and_reaches(settings: Settings, situations: &[&str]) {
    let report = check(settings);
    if let Some(invariant) = report.broken().next() {
        let trace = report.trace(invariant.name());
        panic!("{}: {}\n{}", settings.name, invariant.name(), trace.expect("it was found"));
    }
    for situation in situations {
        assert!(report.found.contains(situation), "{}: never {situation}", settings.name);
    }
}

#[test]
fn promises_that_run_out() {
    holds_and_reaches(EXPIRY, &[HELD, EXPIRED, RENEWED, FAILOVER]);
}

#[test]
fn messages_delayed_reordered_repeated_and_lost() {
    holds_and_reaches(DELAY, &[HELD, EXPIRED, FAILOVER]);
}

#[test]
fn clocks_that_drift() {
    holds_and_reaches(DRIFT, &[HELD, EXPIRED, FAILOVER]);
}

#[test]
fn windows_that_differ() {
    holds_and_reaches(UNEQUAL, &[HELD, EXPIRED, FAILOVER]);
}

#[test]
fn restarts() {
    holds_and_reaches(RESTART, &[HELD, EXPIRED, FAILOVER, VOTED]);
}

#[test]
fn transfers() {
    holds_and_reaches(TRANSFER, &[HELD, EXPIRED, FAILOVER, TRANSFERRED]);
}

#[test]
fn transfers_with_restarts() {
    holds_and_reaches(DRAIN, &[HELD, FAILOVER, TRANSFERRED, VOTED]);
}

#[test]
fn elections_with_rumours() {
    holds_and_reaches(ELECTIONS, &[HELD, EXPIRED, FAILOVER]);
}

#[test]
fn first_election() {
    holds_and_reaches(FRESH, &[HELD, EXPIRED, FAILOVER]);
}

#[test]
fn rival_candidates_with_restarts() {
    holds_and_reaches(RIVALS, &[HELD, FAILOVER, VOTED]);
}

#[test]
fn voter_exchanged_in_two_changes() {
    holds_and_reaches(SWAP, &[HELD, CHANGED, FAILOVER]);
}

#[test]
fn leader_exchanged_in_two_changes() {
    holds_and_reaches(RETIRE, &[HELD, FAILOVER, REMOVED]);
}

#[test]
fn voter_exchanged_through_a_joint_configuration() {
    holds_and_reaches(JOINT, &[HELD, CHANGED, FAILOVER]);
}

#[test]
fn voters_that_leave_together_with_a_restart() {
    holds_and_reaches(SHED, &[HELD, CHANGED, EXPIRED, FAILOVER, VOTED, REMOVED]);
}

#[test]
fn voters_that_come_together() {
    holds_and_reaches(GROW, &[HELD, CHANGED, FAILOVER]);
}

#[test]
fn transfers_while_voters_leave() {
    holds_and_reaches(MOVE, &[HELD, CHANGED, FAILOVER, TRANSFERRED]);
}

#[test]
fn replicas_that_give_up_their_logs() {
    holds_and_reaches(PART, &[HELD, CHANGED, EXPIRED, FAILOVER, REMOVED]);
}

#[test]
fn replicas_that_give_up_their_logs_and_rivals() {
    holds_and_reaches(DISPUTE, &[HELD, CHANGED, FAILOVER, REMOVED]);
}

#[test]
fn one_of_four_gives_up_what_stands_behind_its_removal() {
    holds_and_reaches(QUARTER, &[HELD, CHANGED, FAILOVER, REMOVED]);
}

#[test]
fn replicas_that_are_added_again() {
    holds_and_reaches(RETURN, &[HELD, CHANGED, FAILOVER, REMOVED]);
}

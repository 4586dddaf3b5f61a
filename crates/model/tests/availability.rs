//! While a fault lasts that leaves a quorum, no state is without a way to a holder that commits;
//! and each rule that this takes is needed.

use model::availability::{Breach, Fault, search};

#[test]
fn every_state_has_a_way_back() {
    assert!(Fault::all().len() > 30);
    let found = search(Breach::Nothing);
    assert_eq!(found.lost, 0, "{found:?}");
    assert!(found.states > 1000, "{found:?}");
}

fn expect_loss(breach: Breach) {
    let found = search(breach);
    assert!(found.lost > 0, "{breach:?}: {found:?}");
}

#[test]
fn support_is_two_way() {
    expect_loss(Breach::SupportTheDeaf);
}

#[test]
fn a_leader_that_gets_nowhere_steps_down() {
    expect_loss(Breach::LeadWithoutProgress);
}

/// A release saves time, no more: whoever stands again frees those that vote for it.
#[test]
fn a_release_is_not_needed_for_a_way_back() {
    let found = search(Breach::LeaveWithoutRelease);
    assert_eq!(found.lost, 0, "{found:?}");
}

#[test]
fn who_stands_last_stands_when_nobody_leads() {
    expect_loss(Breach::NeverStandAgain);
}

#[test]
fn a_bond_ends_with_the_support_for_its_leader() {
    expect_loss(Breach::BondOutlivesSupport);
}

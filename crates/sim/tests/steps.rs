//! A death at every single step of a hand-over.

use sim::{Move, Victim, disturb};

fn at_every_step(what: Move) {
    let calm = disturb(what, None);
    assert_eq!(calm.wrong, None, "{what:?} without a death");
    assert!(calm.steps > 20, "{what:?} has {} steps", calm.steps);
    for victim in [Victim::OldHolder, Victim::Target, Victim::Manager] {
        for step in 0..calm.steps {
            let outcome = disturb(what, Some((victim, step)));
            assert_eq!(outcome.wrong, None, "{what:?}, {victim:?} dies before step {step}");
        }
    }
}

#[test]
#[ignore = "takes minutes, and has not been run to its end yet"]
fn a_lease_that_moves_survives_every_death() {
    at_every_step(Move::Lease);
}

#[test]
#[ignore = "takes minutes, and has not been run to its end yet"]
fn a_replica_that_moves_survives_every_death() {
    at_every_step(Move::Replica);
}

#[test]
#[ignore = "takes minutes, and has not been run to its end yet"]
fn a_holder_that_leaves_survives_every_death() {
    at_every_step(Move::Holder);
}

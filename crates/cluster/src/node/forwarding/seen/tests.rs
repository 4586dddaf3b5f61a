//! Which requests of a sender count as new.

use super::*;

#[test]
fn a_number_counts_once_whatever_the_order() {
    let mut seen = Seen::default();
    let life = Life(1);
    assert!(seen.is_new(life, 1));
    assert!(seen.is_new(life, 5));
    assert!(seen.is_new(life, 3));
    assert!(!seen.is_new(life, 5));
    assert!(!seen.is_new(life, 3));
    assert!(seen.is_new(life, 5 + NUMBERS_REMEMBERED));
    assert!(!seen.is_new(life, 5), "too old to tell");
    assert!(seen.is_new(life, 6));
    assert!(seen.is_new(Life(2), 5), "another life counts anew");
    assert!(!seen.is_new(Life(2), 5));
}

#[test]
fn a_request_that_was_refused_before_its_life_was_known_is_not_run_later() {
    let mut seen = SeenOf::default();
    assert_eq!(seen.arrival(Life(1), 7, true), Arrival::New);
    assert_eq!(seen.arrival(Life(2), 1, false), Arrival::Early);
    assert_eq!(seen.arrival(Life(2), 1, false), Arrival::Again);
    assert_eq!(seen.arrival(Life(1), 8, false), Arrival::Again, "its life is over");
    assert_eq!(seen.arrival(Life(2), 1, true), Arrival::Again, "its sender tries elsewhere");
    assert_eq!(seen.arrival(Life(2), 2, true), Arrival::New);
}

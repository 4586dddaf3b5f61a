//! Rules that are broken on purpose: the scenario about each must show it.

use std::fs;
use std::path::Path;

/// Plays a scenario with a rule broken at every node: something else must be shown than without.
fn must_fail(scenario: &str, rule: &str) {
    let file = format!("testdata/{scenario}.txt");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let text = text.expect("the scenario is there");
    let broken = text.replacen("\ncluster ", &format!("\ncluster planted={rule} "), 1);
    assert_ne!(broken, text, "{scenario} begins a cluster");
    match sim::scenario::play(&broken) {
        Ok(shown) => assert_ne!(shown, broken, "{scenario} does not show that {rule} is broken"),
        Err(error) => println!("{scenario}: {}", error.0),
    }
}

#[test]
fn a_catch_up_installs_its_own_slots() {
    must_fail("catch_up_overtaken", "install-newest-staging");
}

//! Plays the golden scenarios and compares their reports with what stands in `testdata`.
//! `UPDATE_GOLDEN=1` writes the files anew; read the difference before you keep it: it is a change
//! of the manager's behaviour.

use std::fs;
use std::path::Path;
use std::time::Duration;

use laboratory::{Clients, PolicyKind, Report, Scenario, run};

/// One scenario under all policies: a table, then the report and curves of the manager at its
/// usual pace.
fn play(scenario: &Scenario) -> String {
    play_under(scenario, PolicyKind::all())
}

fn play_under(scenario: &Scenario, kinds: Vec<PolicyKind>) -> String {
    let mut table = format!("{}\n{}\n", scenario.name, Report::heading(scenario));
    let mut detail = String::new();
    let usual = PolicyKind::reactive(Duration::from_secs(1));
    for kind in kinds {
        let report = run(scenario, kind.clone()).expect("the defaults are valid");
        table.push_str(&format!("{}\n", report.line()));
        if kind == usual {
            detail = format!("{report}\n{}", report.curves(80, 10));
        }
    }
    format!("{table}\n{detail}")
}

fn check(file: &str, scenarios: &[Scenario]) {
    compare(file, &scenarios.iter().map(play).collect::<Vec<_>>().join("\n"));
}

fn compare(file: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, shown).expect("the file can be written");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(shown == expected, "{}:\n{shown}", path.display());
}

#[test]
fn s1_skew() {
    check("s01_skew.txt", &[0.99, 1.2, 1.5].map(Scenario::skewed));
}

#[test]
fn s2_hot_spot_shift() {
    check("s02_hot_spot_shift.txt", &[Scenario::one_shift(1), Scenario::hot_spot_shift(60)]);
}

#[test]
fn s3_flash_crowd() {
    check("s03_flash_crowd.txt", &[Scenario::flash_crowd()]);
}

#[test]
fn s5_node_loss() {
    check("s05_node_loss.txt", &[Scenario::node_loss()]);
}

#[test]
fn s6_rolling_restart() {
    check("s06_rolling_restart.txt", &[Scenario::rolling_restart()]);
}

#[test]
fn s7_move_storm() {
    check("s07_move_storm.txt", &[Scenario::move_storm()]);
}

#[test]
fn s9_follow_the_sun() {
    let all = [Clients::Untagged, Clients::Tagged, Clients::HandedOn];
    // An hour under each of the others would take most of this file's time and show nothing more.
    let usual = Duration::from_secs(1);
    let kinds =
        [PolicyKind::Static, PolicyKind::reactive(usual), PolicyKind::without_proximity(usual)];
    let shown = all.map(|clients| play_under(&Scenario::follow_the_sun(clients), kinds.to_vec()));
    compare("s09_follow_the_sun.txt", &shown.join("\n"));
}

#[test]
fn s10_manager_loss() {
    check("s10_manager_loss.txt", &[Scenario::manager_loss()]);
}

#[test]
fn nodes_join_and_leave() {
    check("join_and_remove.txt", &[Scenario::join_and_remove()]);
}

//! Rules that are broken on purpose: the scenario about each must show it.

use std::fs;
use std::path::Path;

/// Scenarios, and rules of `cluster::Planting` that they are about.
const TABLE: &[(&str, &str)] = &[
    ("catch_up_under_load", "compact-over-catch-ups"),
    ("catch_up_reads_log", "keep-log-in-memory"),
    ("catch_up_reads_log", "free-needed-log"),
    ("log_read_after_a_conflict", "send-any-term"),
    ("catch_up_thin_line", "resend-all-pieces"),
    ("catch_up_while_log_turns", "drop-staging"),
    ("catch_up_overtaken", "install-newest-staging"),
    ("catch_up_overtaken_and_killed", "stage-before-install"),
    ("shards_of_the_settings", "ask-assumed-shards"),
    ("log_of_large_writes", "log-by-segments"),
    ("late_read_of_an_expired_key", "late-reads-at-place"),
    ("transfer_over_a_long_line", "lag-by-entries"),
    ("transfer_to_a_laggard", "give-up-early"),
    ("second_stuck_holder", "patience-for-all"),
    ("transactions_on_a_slow_disk", "hold-everything"),
    ("large_slot", "whole-images"),
    ("reclaim_removed", "removed-keeps-all"),
    ("reclaim_without_quorum", "keep-entries-by-cutting"),
    ("reclaim_without_quorum", "reclaim-waits"),
    ("removed_and_not_told", "any-candidate-wakes"),
    ("removed_replica_votes", "removed-has-no-vote"),
    ("removed_replica_had_more", "removed-keeps-its-tail"),
    ("removed_replica_promised", "removed-breaks-its-promise"),
    ("removed_replica_is_fed_again", "forgetful-campaigns"),
    ("removed_node_is_needed", "gone-at-once"),
    ("replica_added_again", "seat-used-again"),
    ("copied_back", "accept-older-directory"),
    ("zeroed_tail", "ignore-witness"),
    ("copied_back_votes", "vote-untold"),
    ("copied_back_promises", "count-former-life"),
    ("answers_lost", "lost-answers-awaited"),
    ("detour", "no-detours"),
    ("holder_named", "holder-by-log"),
    ("asked_on_and_on", "count-own-log"),
    ("data_late_everywhere", "patience-of-ones-own"),
    ("followers_lack_entries", "refusals-say-nothing"),
    ("change_remembered", "forget-changes"),
    ("change_durable_with_the_next", "change-not-durable"),
    ("lease_of_both_configurations", "lease-of-one-configuration"),
    ("leaders_word", "leaders-word-unheeded"),
    ("removed_while_it_led", "dismissed-lead-on"),
    ("told_copies_lost", "hide-causes"),
    ("told_members", "count-unstarted"),
    ("told_peer_port", "hide-causes"),
    ("told_quorum", "hide-causes"),
    ("flush_in_part", "hide-done-parts"),
    ("no_quorum", "waiting-reads"),
    ("order_over_refusal", "serve-behind-refusals"),
    ("given_up_is_not_run", "run-given-up"),
    ("answers_taken_in_turns", "held-overtaken"),
    ("read_behind_given_up", "read-before-given-up"),
    ("alone_and_stuck", "count-time-alone"),
    ("disk_short_frees_log", "long-log-on-short-disk"),
    ("parked_in_order", "park-unordered-last"),
    ("refused_pipeline", "send-again-at-once"),
    ("unanswered", "uncertain-reads"),
    ("watch_ended", "keep-ended-watches"),
    ("costly_pipeline", "endless-turn"),
    ("entry_in_steps", "image-mid-entry"),
    ("value_in_steps", "builder-loses-place"),
    ("write_in_parts", "parts-overtaken"),
    ("parts_kept", "parts-not-kept"),
    ("large_write_displaced", "retry-everything"),
    ("t04_transfer_cut_off", "keep-lease-over-transfer"),
    ("t04_transfer_cut_off", "resume-after-transfer"),
    ("t07_reads_without_lease", "answer-without-lease"),
    ("t07_reads_without_lease", "read-without-round"),
    ("t08_old_answers", "join-round-under-way"),
    ("t18_restart_inside_grant", "forget-promises"),
    ("t18_restart_inside_grant", "short-ban"),
    ("t20_late_answers", "answer-of-any-term"),
    ("t20_late_words", "release-of-any-term"),
    ("t39_clock_jumps", "ignore-clock-gap"),
    ("t39_clock_jumps", "no-drift-margin"),
    ("disk_full_follower", "full-disk-acknowledges"),
    ("disk_full_quorum", "full-disks-unheeded"),
    ("memory_limit", "memory-judged-at-apply"),
    ("queue_limit", "queue-without-limit"),
    ("salvage", "salvage-claims-all"),
    ("salvage", "salvage-counts-void"),
    ("salvage", "salvage-leaves-tail"),
    ("salvage_of_overruled", "salvage-longest"),
    ("salvage_while_joint", "salvage-by-one-set"),
    ("salvage_while_joint", "salvage-counts-namesakes"),
];

/// Plays a scenario with a rule broken at every node: something else must be shown than without.
fn must_fail(scenario: &str, rule: &str) {
    assert!(fails(scenario, rule), "{scenario} does not show that {rule} is broken");
}

fn fails(scenario: &str, rule: &str) -> bool {
    let file = format!("testdata/{scenario}.txt");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let text = text.expect("the scenario is there");
    let broken = text.replacen("\ncluster ", &format!("\ncluster planted={rule} "), 1);
    assert_ne!(broken, text, "{scenario} begins a cluster");
    match sim::scenario::play(&broken) {
        Ok(shown) => shown != broken,
        Err(error) => panic!("{scenario}: {}", error.0),
    }
}

#[test]
fn scenarios_notice_the_rules_that_they_are_about() {
    let unnoticed: Vec<_> =
        TABLE.iter().filter(|(scenario, rule)| !fails(scenario, rule)).collect();
    assert!(unnoticed.is_empty(), "not shown to be broken: {unnoticed:?}");
}

#[test]
fn a_lapsed_promise_is_not_renewed() {
    must_fail("lapsed_promise", "renew-lapsed");
}

#[test]
fn the_deaf_are_not_supported() {
    must_fail("holder_hears_nothing", "support-the-deaf");
}

#[test]
fn a_leader_that_gets_nowhere_steps_down() {
    must_fail("large_messages_vanish", "lead-without-progress");
    must_fail("data_of_the_holder_cut", "lead-without-progress");
}

#[test]
fn a_leader_that_has_stepped_down_stands_last() {
    must_fail("large_messages_vanish", "stand-at-once");
}

#[test]
fn messages_alone_keep_no_leader_in_office() {
    must_fail("leader_without_lease_is_read_from", "lead-by-messages");
}

#[test]
fn leases_leave_a_slow_disk() {
    must_fail("slow_disk", "keep-leases-on-slow-disk");
}

#[test]
fn stamps_are_the_cluster_clock() {
    must_fail("clock_ahead", "stamp-by-own-clock");
    must_fail("log_ahead", "stamps-stand-still");
}

#[test]
fn what_has_expired_is_what_the_log_says() {
    must_fail("keys_of_an_expired_key", "list-by-holders-clock");
}

#[test]
fn a_machine_that_stood_still_does_not_go_by_its_clocks() {
    must_fail("machine_stood_still", "trust-own-clocks");
}

#[test]
fn whoever_is_heard_by_most_is_not_dead() {
    must_fail("manager_does_not_hear", "bury-the-living");
}

//! Each broken rule is noticed: the checker finds the harm that it does. Three rules are redundant
//! for safety, and that is shown too.

use model::{
    CASES, CONFIGURATIONS, DRAIN, GROW, Invariant, RIVALS, SHED, Settings, Violation, check, find,
};

/// Searches for the invariant that breaking `violation` (a breach of `rule`) must break.
fn expect_harm(violation: Violation, rule: &str) {
    let case = CASES.iter().find(|case| case.violation == violation).expect("every rule is listed");
    assert_eq!(case.rule, rule);
    let invariant = case.breaks.expect("this rule is not redundant");
    let report = find(case.settings.breaking(violation), invariant.name());
    let trace = report.trace(invariant.name());
    let trace = trace.unwrap_or_else(|| panic!("{violation:?} was not noticed: {report}"));
    assert!(trace.steps() > 0);
}

macro_rules! harmful {
    ($($name:ident: $violation:ident, $rule:literal;)*) => {
        $(
            #[test]
            fn $name() {
                expect_harm(Violation::$violation, $rule);
            }
        )*
        const TESTED: &[Violation] = &[$(Violation::$violation),*];
    };
}

harmful! {
    r14_read_without_a_lease: ReadWithoutLease, "R14";
    r13_read_before_the_lease_record_is_applied: ReadBeforeRecord, "R13";
    r7_lease_counts_at_its_very_end: InclusiveEnd, "R7";
    r2_no_margin_for_drift: NoDriftMargin, "R2";
    r3_promise_counted_from_receipt: CountFromReceipt, "R3";
    r27_promise_counted_with_the_receivers_window: OwnWindow, "R27";
    r10_withdrawn_support_given_again: RegrantWithdrawn, "R10";
    r10_lapsed_promise_renewed: RenewLapsed, "R10";
    r10_bond_of_an_older_epoch_counts: IgnoreEpoch, "R10";
    r12_bond_of_an_older_incarnation_counts: IgnoreIncarnation, "R12";
    r3_answers_counted_instead_of_voters: CountAnswersNotVoters, "R3";
    r6_fortified_follower_votes: VoteDespiteBond, "R6";
    r6_fortified_follower_campaigns: CampaignDespiteBond, "R6";
    r6_word_of_a_higher_term_ends_a_bond: TermEndsBond, "R6";
    r6_late_request_of_the_leader_ends_the_bond: LateVoteEndsBond, "R6";
    r19_serving_after_the_order_to_campaign: ServeAfterTransfer, "R19";
    r21_lease_taken_back_after_a_failed_transfer: ResumeAfterTransfer, "R21";
    r19_order_to_campaign_obeyed_in_a_later_term: MarkAtAnyTerm, "R19";
    r12_vote_at_once_after_a_restart: VoteAtRestart, "R12";
    r12_campaign_at_once_after_a_restart: CampaignAtRestart, "R12";
    r12_ban_one_tick_too_short: ShortBan, "R12";
    r11_lease_used_across_a_restart: LeaseAcrossRestart, "R11";
    entry_acknowledged_before_it_is_durable: AnswerBeforePersisted, "3";
    vote_answered_before_it_is_durable: VoteBeforePersisted, "3";
    r23_lease_of_the_old_voters_while_joint: OldQuorumWhileJoint, "R23";
    r23_lease_of_the_new_voters_while_joint: NewQuorumWhileJoint, "R23";
    r23_elected_by_the_old_voters_while_joint: ElectedByOldWhileJoint, "R23";
    r23_elected_by_the_new_voters_while_joint: ElectedByNewWhileJoint, "R23";
    r23_committed_by_the_old_voters_while_joint: CommittedByOldWhileJoint, "R23";
    r23_committed_by_the_new_voters_while_joint: CommittedByNewWhileJoint, "R23";
    r23_cached_end_of_the_lease_outlives_a_change: LeaseEndNotRechecked, "R23";
    r24_promise_of_a_learner_counts: LearnerGrants, "R24";
    r24_removed_leader_counts_itself: RemovedLeaderCounts, "R24";
    r24_vote_of_a_removed_voter_counts: VoteCountedOfRemoved, "R24";
    r23_two_changes_at_once: TwoChangesAtOnce, "R23";
    committed_change_forgotten_at_a_restart: ChangeForgottenAtRestart, "3";
    adr_18_seat_of_the_removed_replica_not_compared: SeatNotCompared, "ADR 18";
    adr_18_removed_replica_votes_for_anybody: RemovedVotesForAnybody, "ADR 18";
    adr_18_removed_replica_of_three_forgets_its_tail: RemovedForgetsItsTail, "ADR 18";
    adr_18_replica_that_gave_up_its_log_campaigns: ForgetfulCampaigns, "ADR 18";
    adr_18_removed_replica_breaks_its_promise: RemovedBreaksItsPromise, "ADR 18";
}

/// Searches everything with a rule broken that another rule covers.
fn expect_no_harm(violation: Violation) {
    let case = CASES.iter().find(|case| case.violation == violation).expect("every rule is listed");
    assert_eq!(case.breaks, None);
    let report = check(case.settings.breaking(violation));
    assert_eq!(report.broken().next(), None, "{report}");
}

/// The voter's comparison of terms adds nothing to the target's: the order of term t is obeyed in
/// term t alone, and whoever could give it was elected against every lease of an earlier term.
#[test]
fn r19_voters_comparison_of_the_mark_is_redundant() {
    expect_no_harm(Violation::MarkNotCompared);
}

/// A learner does not campaign, whoever tells it to.
#[test]
fn r24_transfer_to_a_learner_does_no_harm() {
    expect_no_harm(Violation::TransferToLearner);
}

/// The target may go by the configuration before the holder's; a quorum of the one has a node of
/// every quorum of the other.
#[test]
fn r20_transfer_during_a_change_does_no_harm() {
    expect_no_harm(Violation::TransferDuringChange);
}

const HARMLESS: [Violation; 3] =
    [Violation::MarkNotCompared, Violation::TransferToLearner, Violation::TransferDuringChange];

#[test]
fn every_rule_has_a_test() {
    for case in CASES {
        let tests = if case.breaks.is_some() { TESTED } else { &HARMLESS };
        assert!(tests.contains(&case.violation), "{:?}", case.violation);
    }
    assert_eq!(TESTED.len() + HARMLESS.len(), CASES.len());
}

/// Taking alike states for one hides nothing: the same invariants break and the same situations
/// are reached without it.
#[test]
fn reductions_hide_nothing() {
    let small = Settings { ticks: 1, ..RIVALS };
    let drain = Settings { restarts: 0, ticks: 1, ..DRAIN };
    let late = drain.breaking(Violation::ServeAfterTransfer);
    let lost = small.breaking(Violation::VoteBeforePersisted);
    let shed = Settings { restarts: 0, ticks: 0, ..SHED };
    let grow = Settings { campaigns: 1, terms: 2, ..GROW };
    let one = grow.breaking(Violation::OldQuorumWhileJoint);
    for settings in [small, drain, late, lost, shed, grow, one] {
        let reduced = check(settings);
        let full = check(Settings { reduce: false, ..settings });
        assert_eq!(reduced.found, full.found, "{}", settings.name);
        assert!(reduced.states < full.states);
    }
}

#[test]
fn configurations_are_within_the_arrays_of_a_state() {
    for settings in CONFIGURATIONS {
        assert!(settings.terms <= 3 && settings.log <= 5 && settings.flight <= 3);
        assert!(settings.nodes <= 4 && settings.releases <= (settings.plan.len() > 1));
        assert!(!Invariant::ALL.is_empty() && settings.violation.is_none() && settings.reduce);
    }
}

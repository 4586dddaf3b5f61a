//! The rules that can be broken on purpose, so that the checker shows that it would notice.

use crate::properties::Invariant;
use crate::settings::{
    DELAY, DEPOSE, DISPUTE, DRAIN, DRIFT, ELECTIONS, EXPIRY, FRESH, GROW, JOINT, MOVE, PART,
    RESTART, RETURN, RIVALS, SHED, SWAP, Settings, TRANSFER, UNEQUAL,
};
use crate::state::NODES;

/// One rule of the protocol, broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// A leader answers reads from its own state without a lease.
    ReadWithoutLease,
    /// A lease is used before its own lease record is applied.
    ReadBeforeRecord,
    /// The lease lasts through the clock reading at which it ends.
    InclusiveEnd,
    /// Nothing is subtracted for drift.
    NoDriftMargin,
    /// A promise is counted from the receipt of the answer.
    CountFromReceipt,
    /// A promise is counted with the receiver's own window.
    OwnWindow,
    /// Withdrawn support is given again at the same epoch.
    RegrantWithdrawn,
    /// A promise that has lapsed is renewed as long as nobody has withdrawn it.
    RenewLapsed,
    /// A bond made at an older epoch counts at the present one.
    IgnoreEpoch,
    /// A bond made with an earlier incarnation of the supporter counts.
    IgnoreIncarnation,
    /// The leader's own answer, delivered twice, counts as two voters.
    CountAnswersNotVoters,
    /// A fortified follower votes for anyone.
    VoteDespiteBond,
    /// A fortified follower campaigns.
    CampaignDespiteBond,
    /// Word of a higher term ends a bond.
    TermEndsBond,
    /// A late copy of the request that made the leader a leader ends the bond with it.
    LateVoteEndsBond,
    /// The holder keeps serving after it told another node to campaign.
    ServeAfterTransfer,
    /// A holder that gave its lease up takes it back in the same term.
    ResumeAfterTransfer,
    /// The order to campaign is obeyed in a later term than the one it was given in.
    MarkAtAnyTerm,
    /// A fortified follower lets a marked campaign pass whatever its term.
    MarkNotCompared,
    /// A node votes at once after a restart.
    VoteAtRestart,
    /// A node keeps the ban on votes after a restart, but campaigns, which is a vote for itself.
    CampaignAtRestart,
    /// The ban on votes after a restart is one tick shorter than the longest promise.
    ShortBan,
    /// A holder goes on after a restart with the lease that it remembers.
    LeaseAcrossRestart,
    /// A follower answers before the entry is durable; a restart loses the last one.
    AnswerBeforePersisted,
    /// A voter answers before its vote is durable; a restart loses it.
    VoteBeforePersisted,
    /// While the configuration is joint the lease is counted on the outgoing voters alone.
    OldQuorumWhileJoint,
    /// While the configuration is joint the lease is counted on the incoming voters alone.
    NewQuorumWhileJoint,
    /// While the configuration is joint a majority of the outgoing voters elects.
    ElectedByOldWhileJoint,
    /// While the configuration is joint a majority of the incoming voters elects.
    ElectedByNewWhileJoint,
    /// While the configuration is joint a majority of the outgoing voters commits.
    CommittedByOldWhileJoint,
    /// While the configuration is joint a majority of the incoming voters commits.
    CommittedByNewWhileJoint,
    /// The cached end of the lease is kept over a change.
    LeaseEndNotRechecked,
    /// Who has no vote counts for the lease like a voter.
    LearnerGrants,
    /// A leader that was removed counts itself for the lease.
    RemovedLeaderCounts,
    /// A candidate asks, and counts the votes of, nodes that are no voters.
    VoteCountedOfRemoved,
    /// A change is appended before the one before it is in force.
    TwoChangesAtOnce,
    /// A node forgets at a restart that the changes in its log were committed.
    ChangeForgottenAtRestart,
    /// The lease is handed to a node that is no voter.
    TransferToLearner,
    /// The lease is handed over while a change is under way.
    TransferDuringChange,
    /// A replica that was added again votes when the one is asked that was removed.
    SeatNotCompared,
    /// A removed replica that has given up its log votes for anybody.
    RemovedVotesForAnybody,
    /// A removed replica that has given up its log votes for whoever has its removal, also of an
    /// odd number of voters.
    RemovedForgetsItsTail,
    /// A replica that has given up its log, and was sent a part of one, campaigns with that.
    ForgetfulCampaigns,
    /// A removed replica forgets what it has promised.
    RemovedBreaksItsPromise,
}

/// What is known of one violation.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The broken rule.
    pub violation: Violation,
    /// Its number in the list of rules that the design is built on, or the design's section.
    pub rule: &'static str,
    /// The invariant whose counterexample shows the harm; `None` where another rule covers it.
    pub breaks: Option<Invariant>,
    /// The search that shows it.
    pub settings: Settings,
}

const fn case(
    violation: Violation,
    rule: &'static str,
    breaks: Invariant,
    settings: Settings,
) -> Case {
    Case { violation, rule, breaks: Some(breaks), settings }
}

/// Where the harm is done sooner with the shortest windows.
const SHORT_RESTART: Settings = Settings { ticks: 2, windows: [1; NODES], ..RESTART };

/// Every violation.
pub const CASES: [Case; 44] = {
    use Invariant::{CommittedKept, LeaseExcludesLeaders, NoStaleRead, OneHolder, OneLeader};
    use Violation as V;
    [
        case(V::ReadWithoutLease, "R14", NoStaleRead, EXPIRY),
        case(V::ReadBeforeRecord, "R13", NoStaleRead, EXPIRY),
        case(V::InclusiveEnd, "R7", OneHolder, EXPIRY),
        case(V::NoDriftMargin, "R2", OneHolder, DRIFT),
        case(V::CountFromReceipt, "R3", OneHolder, DELAY),
        case(V::OwnWindow, "R27", OneHolder, UNEQUAL),
        case(V::RegrantWithdrawn, "R10", OneHolder, EXPIRY),
        case(V::RenewLapsed, "R10", OneHolder, EXPIRY),
        case(V::IgnoreEpoch, "R10", OneHolder, EXPIRY),
        case(V::IgnoreIncarnation, "R12", OneHolder, SHORT_RESTART),
        case(V::CountAnswersNotVoters, "R3", OneHolder, EXPIRY),
        case(V::VoteDespiteBond, "R6", OneHolder, EXPIRY),
        case(V::CampaignDespiteBond, "R6", OneHolder, EXPIRY),
        case(V::TermEndsBond, "R6", OneHolder, ELECTIONS),
        case(V::LateVoteEndsBond, "R6", OneHolder, FRESH),
        case(V::ServeAfterTransfer, "R19", OneHolder, TRANSFER),
        case(V::ResumeAfterTransfer, "R21", OneHolder, TRANSFER),
        case(V::MarkAtAnyTerm, "R19", OneHolder, TRANSFER),
        Case { violation: V::MarkNotCompared, rule: "R19", breaks: None, settings: TRANSFER },
        case(V::VoteAtRestart, "R12", OneHolder, RESTART),
        case(V::CampaignAtRestart, "R12", OneHolder, RESTART),
        case(V::ShortBan, "R12", OneHolder, RESTART),
        case(V::LeaseAcrossRestart, "R11", OneHolder, DRAIN),
        case(V::AnswerBeforePersisted, "3", CommittedKept, RESTART),
        case(V::VoteBeforePersisted, "3", OneLeader, RIVALS),
        case(V::OldQuorumWhileJoint, "R23", LeaseExcludesLeaders, GROW),
        case(V::NewQuorumWhileJoint, "R23", LeaseExcludesLeaders, JOINT),
        case(V::ElectedByOldWhileJoint, "R23", LeaseExcludesLeaders, JOINT),
        case(V::ElectedByNewWhileJoint, "R23", LeaseExcludesLeaders, JOINT),
        case(V::CommittedByOldWhileJoint, "R23", CommittedKept, GROW),
        case(V::CommittedByNewWhileJoint, "R23", CommittedKept, JOINT),
        case(V::LeaseEndNotRechecked, "R23", LeaseExcludesLeaders, SWAP),
        case(V::LearnerGrants, "R24", LeaseExcludesLeaders, SWAP),
        case(V::RemovedLeaderCounts, "R24", LeaseExcludesLeaders, DEPOSE),
        case(V::VoteCountedOfRemoved, "R24", LeaseExcludesLeaders, SWAP),
        case(V::TwoChangesAtOnce, "R23", LeaseExcludesLeaders, SWAP),
        case(V::ChangeForgottenAtRestart, "3", LeaseExcludesLeaders, SHED),
        Case { violation: V::TransferToLearner, rule: "R24", breaks: None, settings: MOVE },
        Case { violation: V::TransferDuringChange, rule: "R20", breaks: None, settings: MOVE },
        case(V::SeatNotCompared, "ADR 18", CommittedKept, RETURN),
        case(V::RemovedVotesForAnybody, "ADR 18", CommittedKept, PART),
        case(V::RemovedForgetsItsTail, "ADR 18", CommittedKept, PART),
        case(V::ForgetfulCampaigns, "ADR 18", CommittedKept, DISPUTE),
        case(V::RemovedBreaksItsPromise, "ADR 18", LeaseExcludesLeaders, PART),
    ]
};

//! The support, shard lease, transfer, restart and change of voters as an exhaustively checked
//! model.
//!
//! Three or four nodes, one shard, every order of events within some bounds: the checker visits all
//! states and looks for one in which two nodes believe they hold the lease, a read would be stale,
//! a term has two leaders, or a committed entry is missing. The unbroken protocol must have none
//! ([`CONFIGURATIONS`]); with one rule broken there must be one ([`CASES`]). `docs/model.md` says
//! what is modelled, what is left out and what was found.
//!
//! Rule numbers `R..` are those of the design's list of rules; `3` is the design's section 3, what
//! is answered is durable. The last column names
//! an [`Invariant`].
//!
//! | [`Violation`] | rule | breaks |
//! |---|---|---|
//! | `ReadWithoutLease` | R14 | no stale read |
//! | `ReadBeforeRecord` | R13 | no stale read |
//! | `InclusiveEnd` | R7 | one holder |
//! | `NoDriftMargin` | R2 | one holder |
//! | `CountFromReceipt` | R3 | one holder |
//! | `OwnWindow` | R27 | one holder |
//! | `RegrantWithdrawn` | R10 | one holder |
//! | `RenewLapsed` | R10 | one holder at a time |
//! | `IgnoreEpoch` | R10 | one holder |
//! | `IgnoreIncarnation` | R12 | one holder |
//! | `CountAnswersNotVoters` | R3 | one holder |
//! | `VoteDespiteBond` | R6 | one holder |
//! | `CampaignDespiteBond` | R6 | one holder |
//! | `TermEndsBond` | R6 | one holder |
//! | `LateVoteEndsBond` | R6 | one holder |
//! | `ServeAfterTransfer` | R19 | one holder |
//! | `ResumeAfterTransfer` | R21 | one holder |
//! | `MarkAtAnyTerm` | R19 | one holder |
//! | `MarkNotCompared` | R19 | nothing: the target's own comparison suffices |
//! | `VoteAtRestart` | R12 | one holder |
//! | `CampaignAtRestart` | R12 | one holder |
//! | `ShortBan` | R12 | one holder |
//! | `LeaseAcrossRestart` | R11 | one holder |
//! | `AnswerBeforePersisted` | 3 | committed entries are kept |
//! | `VoteBeforePersisted` | 3 | one leader per term |
//! | `OldQuorumWhileJoint` | R23 | a lease excludes later leaders |
//! | `NewQuorumWhileJoint` | R23 | a lease excludes later leaders |
//! | `ElectedByOldWhileJoint` | R23 | a lease excludes later leaders |
//! | `ElectedByNewWhileJoint` | R23 | a lease excludes later leaders |
//! | `CommittedByOldWhileJoint` | R23 | committed entries are kept |
//! | `CommittedByNewWhileJoint` | R23 | committed entries are kept |
//! | `LeaseEndNotRechecked` | R23 | a lease excludes later leaders |
//! | `LearnerGrants` | R24 | a lease excludes later leaders |
//! | `RemovedLeaderCounts` | R24 | a lease excludes later leaders |
//! | `VoteCountedOfRemoved` | R24 | a lease excludes later leaders |
//! | `TwoChangesAtOnce` | R23 | a lease excludes later leaders |
//! | `ChangeForgottenAtRestart` | 3 | a lease excludes later leaders |
//! | `TransferToLearner` | R24 | nothing: it does not campaign |
//! | `TransferDuringChange` | R20 | nothing: neighbouring configurations overlap |

pub mod availability;
mod check;
mod digest;
mod machine;
mod membership;
mod properties;
mod rules;
mod settings;
mod state;
mod steps;
mod symmetry;
mod violation;

pub use check::{Report, Trace, check, find};
pub use machine::{Action, Machine};
pub use membership::{Nodes, Voters};
pub use properties::{
    CHANGED, EXPIRED, FAILOVER, HELD, Invariant, REMOVED, RENEWED, TRANSFERRED, VOTED,
};
pub use settings::{
    BY_HAND, CONFIGURATIONS, DELAY, DEPOSE, DISPUTE, DRAIN, DRIFT, ELECTIONS, EXPIRY, FRESH, GROW,
    JOINT, MOVE, PART, QUARTER, RESTART, RETIRE, RETURN, RIVALS, SHED, SWAP, Settings, TRANSFER,
    UNEQUAL,
};
pub use state::{
    Answer, FLIGHT, Fortified, Given, LOG, Leadership, Log, Message, NODES, Node, NodeId, Received,
    Request, Role, State, TERMS, TermRecord, Time,
};
pub use violation::{CASES, Case, Violation};

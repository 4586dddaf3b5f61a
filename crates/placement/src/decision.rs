//! Decisions: what should be done, why, and what became of it. A decision is a proposal; the
//! shard's own consensus group accepts or refuses it by the epoch and generation it names.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use types::{LeaseEpoch, Monotonic, NodeId, ShardId};

use crate::bid::Bid;
use crate::command::Generation;

/// Counts the decisions of one manager.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DecisionId(pub u64);

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// What should be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// The lease should be at `to`: by a cooperative transfer from the holder, or, if there is
    /// none, by an election that `to` stands for.
    Lease {
        /// The holder now, if there is one.
        from: Option<NodeId>,
        /// The holder to be.
        to: NodeId,
        /// The newest lease that the manager knows of; another one makes the decision void.
        epoch: LeaseEpoch,
    },
    /// This is the order in which the heirs of the holder should campaign.
    Succession {
        /// Best first; all replicas but the holder.
        heirs: Vec<NodeId>,
        /// The lease during which this order is meant.
        epoch: LeaseEpoch,
    },
    /// A replica should be made at `to`, and then the one at `from` removed.
    Replica {
        /// The replica to be replaced; `None` adds one.
        from: Option<NodeId>,
        /// The node of the new replica. If it has one already, that one is enough, and the one
        /// at `from` goes without a copy.
        to: NodeId,
        /// The version of the replica set that is meant.
        generation: Generation,
    },
}

/// Why something should be done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// The shard has never had a holder.
    FirstAssignment,
    /// Nobody holds the shard any more, and its heirs did not help themselves.
    HolderLost,
    /// The operator drains the holder.
    Drain,
    /// The operator has pinned the shard there.
    Pin,
    /// The holder is near its limits.
    Urgent,
    /// The holder is clearly above the mean.
    Overfull,
    /// The target is clearly below the mean.
    Hungry,
    /// The clients are nearer to the target.
    Proximity,
    /// Another order of heirs spreads the load of a dead holder better.
    Succession,
    /// A replica's node has been silent for long, or the shard has too few replicas.
    Repair,
    /// The operator removes the node.
    Leaving,
    /// The node is overfull, and no lease can leave: its replicas stand in the wrong places.
    Relief,
    /// The node has many more replicas than others: somebody has joined.
    Spread,
}

impl Reason {
    /// Whether the move is the manager's own wish, for the sake of load or nearness. Only such a
    /// move can be judged by what it gains.
    #[must_use]
    pub fn is_for_gain(self) -> bool {
        match self {
            Self::Urgent | Self::Overfull | Self::Hungry | Self::Proximity => true,
            Self::FirstAssignment
            | Self::HolderLost
            | Self::Drain
            | Self::Pin
            | Self::Succession
            | Self::Repair
            | Self::Leaving
            | Self::Relief
            | Self::Spread => false,
        }
    }

    /// The reason in one word, for tables and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstAssignment => "first-assignment",
            Self::HolderLost => "holder-lost",
            Self::Drain => "drain",
            Self::Pin => "pin",
            Self::Urgent => "urgent",
            Self::Overfull => "overfull",
            Self::Hungry => "hungry",
            Self::Proximity => "proximity",
            Self::Succession => "succession",
            Self::Repair => "repair",
            Self::Leaving => "leaving",
            Self::Relief => "relief",
            Self::Spread => "spread",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstAssignment => "the shard has never had a holder",
            Self::HolderLost => "nobody holds the shard any more",
            Self::Drain => "the holder is being drained",
            Self::Pin => "the operator pinned the shard there",
            Self::Urgent => "the holder is near its limits",
            Self::Overfull => "the holder is clearly above the mean",
            Self::Hungry => "the target is clearly below the mean",
            Self::Proximity => "the clients are nearer to the target",
            Self::Succession => "another order of heirs spreads the load better",
            Self::Repair => "the shard has too few living replicas",
            Self::Leaving => "the node is leaving the cluster",
            Self::Relief => "the node is above the mean and no lease can leave it",
            Self::Spread => "the node has many more replicas than others",
        })
    }
}

/// What the manager saw when it decided.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Inputs {
    /// Mean utilisation of the nodes that can hold leases; 1 is full.
    pub mean: f64,
    /// Utilisation of the node that gives, moves under way counted; 0 if there is none.
    pub source: f64,
    /// Utilisation of the node that takes, moves under way counted.
    pub target: f64,
    /// What the shard takes of the target.
    pub shard: f64,
    /// The shard's reads per second.
    pub reads: f64,
    /// The shard's writes per second.
    pub writes: f64,
}

/// What became of a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is done. For a lease: under this epoch.
    Applied {
        /// The new lease; for other actions, the shard's lease at that time.
        epoch: LeaseEpoch,
    },
    /// The shard refused it: the epoch or generation was not the current one.
    Stale,
    /// It was tried and did not work: the target was not fit, or did not win.
    Failed,
    /// Nothing was heard of it in time.
    TimedOut,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied { epoch } => write!(f, "applied at {epoch}"),
            Self::Stale => f.write_str("refused as stale"),
            Self::Failed => f.write_str("failed"),
            Self::TimedOut => f.write_str("timed out"),
        }
    }
}

/// A decision with everything that led to it, and what became of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// Its number.
    pub id: DecisionId,
    /// When it was made, on the manager's clock.
    pub at: Monotonic,
    /// The shard that it is about.
    pub shard: ShardId,
    /// What should be done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// What the manager saw.
    pub inputs: Inputs,
    /// All candidates, best first. Empty where there was no choice.
    pub bids: Vec<Bid>,
    /// The relief that the manager expects: the load term of the winner.
    pub predicted_gain: f64,
    /// What became of it; `None` while it is under way.
    pub outcome: Option<Outcome>,
    /// The relief measured [`GAIN_MEASURED_AFTER`] it was applied, with the loads of that time:
    /// how much worse things would be had it not been done.
    pub realised_gain: Option<f64>,
}

/// When a decision's gain is measured.
pub const GAIN_MEASURED_AFTER: Duration = Duration::from_secs(30);

impl Decision {
    /// Where the lease or replica should go; `None` for an order of succession.
    #[must_use]
    pub fn target(&self) -> Option<NodeId> {
        match self.action {
            Action::Lease { to, .. } | Action::Replica { to, .. } => Some(to),
            Action::Succession { .. } => None,
        }
    }

    /// Where it should come from, if it comes from a node.
    #[must_use]
    pub fn source(&self) -> Option<NodeId> {
        match self.action {
            Action::Lease { from, .. } | Action::Replica { from, .. } => from,
            Action::Succession { .. } => None,
        }
    }
}

/// A node, or a dash.
struct Maybe(Option<NodeId>);

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(node) => node.fmt(f),
            None => f.write_str("-"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.id, self.shard)?;
        match &self.action {
            Action::Lease { from, to, epoch } => {
                write!(f, "lease {} -> {to} (after {epoch})", Maybe(*from))?;
            }
            Action::Succession { heirs, epoch } => {
                write!(f, "succession of {epoch}:")?;
                heirs.iter().try_for_each(|heir| write!(f, " {heir}"))?;
            }
            Action::Replica { from, to, generation } => {
                write!(f, "replica {} -> {to} (of {generation})", Maybe(*from))?;
            }
        }
        write!(f, ": {}", self.reason)?;
        if let Some(outcome) = self.outcome {
            write!(f, "; {outcome}")?;
        }
        if let Some(gain) = self.realised_gain {
            write!(f, "; gained {gain:+.3} of {:+.3}", self.predicted_gain)?;
        }
        Ok(())
    }
}

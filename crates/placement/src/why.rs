//! Why a shard is where it is, and why it doesn't move: computed from the same bids and rules as
//! the decisions themselves.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use types::{LeaseEpoch, NodeId, ShardId};

use crate::bid::Bid;
use crate::command::Duty;
use crate::decision::{DecisionId, Reason};
use crate::round::{Class, Round};

/// Why a shard doesn't move now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Verdict {
    /// Nobody holds it; it will be assigned.
    Vacant,
    /// Nobody holds it, and no replica could.
    NoCandidate,
    /// It is on its way.
    Moving {
        /// The decision.
        decision: DecisionId,
        /// Where to.
        to: NodeId,
        /// Why.
        reason: Reason,
    },
    /// The operator wants it gone from here; it moves as soon as somebody can take it.
    Ordered,
    /// The operator has pinned it here.
    Pinned,
    /// The operator has frozen the cluster.
    Frozen,
    /// Many nodes were lost of late: nothing moves for a while.
    ManyNodesLost,
    /// It has moved, or a move has failed, a short time ago.
    Resting {
        /// For how long it still rests.
        left: Duration,
    },
    /// Its holder doesn't report: what is known of it is old.
    HolderSilent,
    /// The holder doesn't have too much to carry.
    HolderCalm {
        /// The holder's utilisation.
        used: f64,
        /// The mean.
        mean: f64,
    },
    /// The holder has not been overfull for long enough.
    NotConfirmed {
        /// Rounds so far.
        rounds: u32,
        /// Rounds needed.
        needed: u32,
    },
    /// A lease has moved to or from the holder since its last report.
    AwaitingReport,
    /// The shard alone takes more than a fair share of a node: no place is better. Splitting it,
    /// or more readers, would help.
    TooLarge {
        /// What it takes of a node.
        share: f64,
    },
    /// No replica could take it.
    NobodyFit,
    /// The best bid is not worth a move.
    NotWorthIt {
        /// The best bid's total.
        best: f64,
        /// What is needed.
        needed: f64,
    },
    /// As many moves as may be have begun.
    NoBudget,
    /// It would move in the next round, if no other shard of the holder bids more.
    WillMove,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vacant => f.write_str(
                "nobody holds it: one of its heirs does as soon as a majority of its replicas \
                 agrees, and the manager names one if none stands for election",
            ),
            Self::NoCandidate => f.write_str("nobody holds it, and none of its replicas could"),
            Self::Moving { decision, to, reason } => {
                write!(f, "it is on its way to {to} ({decision}: {reason})")
            }
            Self::Ordered => {
                f.write_str("the operator wants it elsewhere; it moves when somebody can take it")
            }
            Self::Pinned => f.write_str("the operator has pinned it here"),
            Self::Frozen => f.write_str("the operator has frozen the cluster"),
            Self::ManyNodesLost => {
                f.write_str("many nodes were lost of late, and more might be by moving")
            }
            Self::Resting { left } => write!(f, "it moved of late and rests for {left:.0?}"),
            Self::HolderSilent => f.write_str(
                "its holder has not reported for a while; when it is dead, an heir takes the lease \
                 without being told",
            ),
            Self::HolderCalm { used, mean } => {
                write!(f, "its holder is at {used:.2} of its capacity, the mean is {mean:.2}")
            }
            Self::NotConfirmed { rounds, needed } => {
                write!(f, "its holder has been too full for {rounds} of {needed} rounds only")
            }
            Self::AwaitingReport => {
                f.write_str("its holder has not reported since a lease moved to or from it")
            }
            Self::TooLarge { share } => write!(
                f,
                "it alone takes {share:.2} of a node, so no place is better; split it, or add \
                 readers"
            ),
            Self::NobodyFit => f.write_str("no other replica could take it"),
            Self::NotWorthIt { best, needed } => {
                write!(f, "the best bid is {best:+.3}, and {needed:+.3} is needed")
            }
            Self::NoBudget => f.write_str("as many moves as may be have begun"),
            Self::WillMove => f.write_str("it moves next, unless another shard of the holder does"),
        }
    }
}

/// The whole answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The shard.
    pub shard: ShardId,
    /// Its newest lease.
    pub epoch: LeaseEpoch,
    /// Who holds it.
    pub holder: Option<NodeId>,
    /// For how long, at least.
    pub held_for: Duration,
    /// The decision that put it here; `None` if it came without one.
    pub because: Option<(DecisionId, Reason)>,
    /// Whether its last holder handed it over; else this one was elected.
    pub handed_over: bool,
    /// Whether its holder reports.
    pub holder_reports: bool,
    /// How its holder stands.
    pub class: Option<Class>,
    /// What the shard takes of its holder.
    pub share: f64,
    /// The bids as they are now, best first.
    pub bids: Vec<Bid>,
    /// Who campaigns when the holder dies, best first; and whether each reports.
    pub heirs: Vec<(NodeId, bool)>,
    /// Why it doesn't move.
    pub verdict: Verdict,
}

impl Explanation {
    pub(crate) fn of(round: &Round<'_>, shard: ShardId) -> Option<Self> {
        let state = round.cluster.shards.get(&shard)?;
        let holder = state.holder.map(|holder| holder.node);
        let bids = round.bids_now(shard, state);
        let reports = |node: NodeId| round.nodes.get(&node).is_some_and(|view| view.live);
        let verdict = verdict(round, shard, &bids)?;
        Some(Self {
            shard,
            epoch: state.epoch,
            holder,
            held_for: state.holder.map_or(Duration::ZERO, |holder| round.now.since(holder.since)),
            because: state.moved.and_then(|moved| moved.by),
            handed_over: state.handed_over,
            holder_reports: holder.is_some_and(reports),
            class: holder.filter(|holder| reports(*holder)).map(|holder| round.class_of(holder)),
            share: holder.map_or(0.0, |holder| round.share_at(state, holder)),
            bids,
            heirs: state.heirs_now().into_iter().map(|heir| (heir, reports(heir))).collect(),
            verdict,
        })
    }
}

/// The first reason that keeps a shard where it is, in the order in which the phases ask.
fn verdict(round: &Round<'_>, shard: ShardId, bids: &[Bid]) -> Option<Verdict> {
    let state = round.cluster.shards.get(&shard)?;
    if let Some(pending) = state.pending {
        let (decision, to, reason) = (pending.decision, pending.to, pending.reason);
        return Some(Verdict::Moving { decision, to, reason });
    }
    let fit = bids.first().is_some_and(|bid| bid.terms.is_ok());
    let Some(holder) = state.holder.map(|holder| holder.node) else {
        return Some(if fit { Verdict::Vacant } else { Verdict::NoCandidate });
    };
    let node = round.cluster.nodes.get(&holder)?;
    let view = round.nodes.get(&holder)?;
    if !view.live {
        return Some(Verdict::HolderSilent);
    }
    let pinned = state.pin.as_ref().map(|pin| pin.allows(holder, &node.locality));
    if node.duty != Duty::Full || pinned == Some(false) {
        return Some(Verdict::Ordered);
    }
    if pinned == Some(true) && !fit {
        return Some(Verdict::Pinned);
    }
    if round.cluster.frozen {
        return Some(Verdict::Frozen);
    }
    if round.many_nodes_lost {
        return Some(Verdict::ManyNodesLost);
    }
    let class = round.class_of(holder);
    let left = state.rests_until(round.policy, round.is_pressing(holder)).since(round.now);
    if !left.is_zero() {
        return Some(Verdict::Resting { left });
    }
    let (used, mean) = (view.used(), round.mean);
    if class < Class::Overfull {
        return Some(Verdict::HolderCalm { used, mean });
    }
    let (rounds, needed) = (node.overfull_rounds, round.policy.confirmations);
    if class == Class::Overfull && rounds < needed {
        return Some(Verdict::NotConfirmed { rounds, needed });
    }
    if !view.settled {
        return Some(Verdict::AwaitingReport);
    }
    let share = round.share_at(state, holder);
    if share > mean && share > used / 2.0 {
        return Some(Verdict::TooLarge { share });
    }
    if !fit {
        return Some(Verdict::NobodyFit);
    }
    let (best, needed) = (bids.first().map_or(0.0, Bid::total), round.gain_needed(holder));
    if best < needed {
        return Some(Verdict::NotWorthIt { best, needed });
    }
    let urgent = class == Class::Urgent;
    Some(if round.budget.allows(urgent) { Verdict::WillMove } else { Verdict::NoBudget })
}

impl Explanation {
    /// What there is to say beside the bids and the verdict, a sentence each.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let Self { shard, epoch, .. } = self;
        let mut all = Vec::new();
        all.push(match self.holder {
            Some(holder) if self.holder_reports => format!(
                "{shard} is held by {holder} under {epoch} for {:.0?}{}.",
                self.held_for,
                self.origin()
            ),
            Some(holder) => format!(
                "{shard} was held by {holder} under {epoch} when that node last reported, which is \
                 a while ago."
            ),
            None => format!("{shard} is held by nobody; its last lease was {epoch}."),
        });
        if let Some(class) = self.class {
            all.push(format!("Its holder is {class}; the shard takes {:.3} of it.", self.share));
        }
        if !self.heirs.is_empty() {
            let heir = |(node, reports): &(NodeId, bool)| {
                format!("{node}{}", if *reports { "" } else { " (not reporting)" })
            };
            let heirs: Vec<String> = self.heirs.iter().map(heir).collect();
            all.push(format!("Heirs: {}.", heirs.join(", ")));
        }
        all
    }

    /// How the lease has come to its holder.
    fn origin(&self) -> String {
        match self.because {
            Some((decision, reason)) => format!(", because {reason} ({decision})"),
            None if self.handed_over => String::from(
                "; the last holder handed it over, by an operator's order or for its own reasons \
                 (it was stopping, or its disk slow or full)",
            ),
            None => String::from("; it was elected there"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentences().iter().try_for_each(|sentence| writeln!(f, "{sentence}"))?;
        writeln!(f, "Move: {}.", self.verdict)?;
        self.bids.iter().try_for_each(|bid| writeln!(f, "  {bid}"))
    }
}

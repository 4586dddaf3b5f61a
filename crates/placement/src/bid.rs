//! Bids: a candidate's offer for a shard's lease, or for a replica, as a sum of named terms.
//!
//! A node says only what it alone can know: its capacity, its use, its clients' round trips. The
//! arithmetic is the manager's, the same for all, so no node can win everything by computing
//! differently.
//!
//! The load term is the relief of penalties on utilisation, after Dicer's placement phase:
//! `P(u) = 16 (u/hi)^2 (u-hi)+ + 4 (1+(lo-u)/lo)^2 (lo-u)+` with `lo` and `hi` around the mean.

use core::fmt;

use types::NodeId;

/// Weight of a utilisation above the band.
const OVERSHOOT_WEIGHT: f64 = 16.0;
/// Weight of a utilisation below the band.
const UNDERSHOOT_WEIGHT: f64 = 4.0;

/// The band of utilisations that cost nothing.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Band {
    low: f64,
    high: f64,
}

impl Band {
    /// The band of half width `half` around `mean`.
    #[must_use]
    pub fn around(mean: f64, half: f64) -> Self {
        Self { low: (mean - half).max(0.0), high: mean + half }
    }

    /// The upper end.
    #[must_use]
    pub fn high(self) -> f64 {
        self.high
    }

    /// What it costs that a node is used by the share `use_share` of its capacity.
    #[must_use]
    pub fn penalty(self, use_share: f64) -> f64 {
        let over = (use_share - self.high).max(0.0);
        let under = (self.low - use_share).max(0.0);
        let mut penalty = 0.0;
        if over > 0.0 {
            let ratio = use_share / self.high;
            penalty += OVERSHOOT_WEIGHT * ratio * ratio * over;
        }
        if under > 0.0 {
            let ratio = 1.0 + under / self.low;
            penalty += UNDERSHOOT_WEIGHT * ratio * ratio * under;
        }
        penalty
    }
}

/// The terms of a bid. Each is a score; positive speaks for the candidate.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Terms {
    /// Relief of both nodes' penalties on utilisation.
    pub load: f64,
    /// How much more room the candidate has than the holder.
    pub room: f64,
    /// Round trips that clients save.
    pub proximity: f64,
    /// How far the candidate is behind.
    pub lag: f64,
    /// The candidate holds a neighbouring range.
    pub neighbour: f64,
    /// Replicas only: how much would fail together with the candidate.
    pub locality: f64,
    /// What the move itself costs; more for a shard that has just moved.
    pub stability: f64,
    /// The candidate's wall clock is off: it comes last.
    pub clock: f64,
    /// The operator wants the shard there.
    pub pin: f64,
}

impl Terms {
    /// The terms with their names.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 9] {
        [
            ("load", self.load),
            ("room", self.room),
            ("proximity", self.proximity),
            ("lag", self.lag),
            ("neighbour", self.neighbour),
            ("locality", self.locality),
            ("stability", self.stability),
            ("clock", self.clock),
            ("pin", self.pin),
        ]
    }

    /// The sum of all terms.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.named().iter().map(|(_, score)| score).sum()
    }
}

/// The total, then the terms that aren't zero: `+0.412 (load +0.431, stability -0.019)`.
impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.3}", self.total())?;
        let mut separator = " (";
        for (name, score) in self.named() {
            if score != 0.0 {
                write!(f, "{separator}{name} {score:+.3}")?;
                separator = ", ";
            }
        }
        f.write_str(if separator == ", " { ")" } else { "" })
    }
}

/// Why a node is no candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// It has no replica of the shard.
    NoReplica,
    /// It already has a replica of the shard (bids for replicas).
    HasReplica,
    /// It doesn't report.
    Silent,
    /// It is being drained.
    Draining,
    /// Its replica is too far behind.
    Behind,
    /// The holder doesn't list it, so nobody knows how far it is behind.
    Unheard,
    /// Its disk is too slow.
    SlowDisk,
    /// Its disk is nearly full, and the holder's is not: the holder would refuse.
    FullDisk,
    /// A lease has moved there, or away, since its last report.
    Unsettled,
    /// As many leases are on their way to it as may be.
    Inbound,
    /// The shard came from there a short time ago.
    CameFromThere,
    /// The last attempt to move the shard there failed a short time ago.
    FailedThere,
    /// It would be fuller than the fuller of the two is now.
    WouldBeFuller,
    /// The operator has pinned the shard elsewhere.
    PinnedElsewhere,
    /// Its memory is full.
    MemoryFull,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoReplica => "has no replica",
            Self::HasReplica => "has a replica already",
            Self::Silent => "does not report",
            Self::Draining => "is being drained",
            Self::Behind => "is too far behind",
            Self::Unheard => "has not been heard by the holder",
            Self::SlowDisk => "has a slow disk",
            Self::FullDisk => "has a disk that is nearly full",
            Self::Unsettled => "has not reported since a lease moved to or from it",
            Self::Inbound => "has enough leases on their way to it",
            Self::CameFromThere => "is where the shard came from a moment ago",
            Self::FailedThere => "is where the last move failed",
            Self::WouldBeFuller => "would be fuller than the holder is now",
            Self::PinnedElsewhere => "is not where the operator pinned the shard",
            Self::MemoryFull => "has its memory full",
        })
    }
}

/// What became of one candidate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bid {
    /// The candidate.
    pub node: NodeId,
    /// Its terms, or why it isn't fit.
    pub terms: Result<Terms, Unfit>,
}

impl Bid {
    /// The total; below everything if the candidate is not fit.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.terms.as_ref().map_or(f64::NEG_INFINITY, Terms::total)
    }
}

impl fmt::Display for Bid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.terms {
            Ok(terms) => write!(f, "{} bids {terms}", self.node),
            Err(unfit) => write!(f, "{} {unfit}", self.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_costs_nothing_and_the_penalty_only_grows_outside() {
        let band = Band::around(0.6, 0.1);
        assert_eq!(band.penalty(0.6), 0.0);
        assert_eq!(band.penalty(0.55), 0.0);
        let mut last = 0.0;
        for step in 1..100 {
            let penalty = band.penalty(0.7 + f64::from(step) / 100.0);
            assert!(penalty > last);
            last = penalty;
        }
        assert!(band.penalty(0.3) > band.penalty(0.4));
        // A band that touches zero has no lower side to divide by.
        assert_eq!(Band::around(0.05, 0.1).penalty(0.0), 0.0);
    }

    #[test]
    fn bids_are_readable() {
        let terms = Terms { load: 0.5, stability: -0.25, ..Terms::default() };
        let bid = Bid { node: NodeId(3), terms: Ok(terms) };
        assert_eq!(alloc::format!("{bid}"), "n3 bids +0.250 (load +0.500, stability -0.250)");
        let bid = Bid { node: NodeId(3), terms: Err(Unfit::Behind) };
        assert_eq!(alloc::format!("{bid}"), "n3 is too far behind");
    }
}

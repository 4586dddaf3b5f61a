//! How many runs it takes until a rule that is broken on purpose shows.

use cluster::Planting;

use crate::plan::Plan;
use crate::run::run;
use crate::trace::TraceMode;

/// The rules whose breach random runs must notice, not only a scenario.
pub const RANDOM_PLANTINGS: &[Planting] = &[
    Planting::AnswerWithoutLease,
    Planting::KeepLeaseOverTransfer,
    Planting::ForgetPromises,
    Planting::EarlyPersisted,
    Planting::AcceptOlderDirectory,
    Planting::ForwardTwice,
    Planting::TransactionNotNoted,
    Planting::ReadWithoutRound,
    Planting::ResumeAfterTransfer,
    Planting::IgnoreClockGap,
    Planting::RemovedKeepsAll,
    Planting::FullDiskAcknowledges,
];

/// Breaks a rule in run after run from `first` on, and says how many runs it took until that
/// showed; `None` if it did not within `most`.
#[must_use]
pub fn runs_until_caught(planting: Planting, first: u64, most: u64) -> Option<u64> {
    let shows = |seed: &u64| {
        let plan = Plan::draw(*seed).aimed_at(planting).with_planting(planting);
        run(&plan, TraceMode::Hash).violation.is_some()
    };
    let seed = (first..first + most).find(shows)?;
    Some(seed - first + 1)
}

/// What [`runs_until_caught`] says from many starts.
#[derive(Clone, Debug)]
pub struct Catches {
    /// Runs until it showed, in ascending order; starts from which it did not are not among them.
    pub runs: Vec<u64>,
    /// From how many starts it did not show.
    pub missed: u64,
}

impl Catches {
    /// Breaks a rule from `starts` starts, each with `most` seeds of its own.
    #[must_use]
    pub fn count(planting: Planting, starts: u64, most: u64) -> Self {
        let each = (0..starts).map(|start| runs_until_caught(planting, start * most, most));
        let each: Vec<Option<u64>> = each.collect();
        let mut runs: Vec<u64> = each.iter().copied().flatten().collect();
        runs.sort_unstable();
        Self { missed: starts - runs.len() as u64, runs }
    }

    /// The run by which half of the starts had caught it; `None` if fewer did.
    #[must_use]
    pub fn median(&self) -> Option<u64> {
        let starts = self.runs.len() + self.missed as usize;
        self.runs.get(starts.saturating_sub(1) / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts_starts_that_missed() {
        let median = |runs: &[u64], missed| Catches { runs: runs.to_vec(), missed }.median();
        assert_eq!(median(&[1, 2, 9], 0), Some(2));
        assert_eq!(median(&[1, 2], 1), Some(2));
        assert_eq!(median(&[1], 2), None);
        assert_eq!(median(&[], 0), None);
    }
}

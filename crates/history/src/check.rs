//! Judges a whole history, key by key, with the checker that fits.

use crate::durability::{self, Durability};
use crate::model::{AppendLog, Counter, Register};
use crate::operation::{Call, Operation, Readable, Status, by_key};
use crate::verdict::{Verdict, Violation};
use crate::{wgl, zones};
use std::collections::BTreeSet;
use std::fmt;

/// What the checkers say of a whole history.
#[derive(Debug)]
pub struct Report {
    /// How many operations were judged.
    pub operations: usize,
    /// How many of them failed, and how many have an unknown outcome.
    pub failed: usize,
    /// How many have an unknown outcome.
    pub unknown_outcomes: usize,
    /// How many keys are linearizable.
    pub linearizable: usize,
    /// The violations, in the order of the keys.
    pub violations: Vec<Violation>,
    /// The keys that could not be judged, and why.
    pub undecided: Vec<(Vec<u8>, String)>,
    /// Whether acknowledged writes are there at the end.
    pub durability: Durability,
}

impl Report {
    /// Whether nothing was found that a correct store could not have answered.
    /// Undecided keys do not count as faults.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.durability.lost.is_empty()
    }
}

/// Judges every key: registers with unique values by zones, all else by search, for at most
/// `steps_max` steps a key. Keys that transactions touch are not judged.
#[must_use]
pub fn check(history: &[Operation], steps_max: u64) -> Report {
    let count = |status| history.iter().filter(|operation| operation.status == status).count();
    let mut report = Report {
        operations: history.len(),
        failed: count(Status::Fail),
        unknown_outcomes: count(Status::Info),
        linearizable: 0,
        violations: Vec::new(),
        undecided: Vec::new(),
        durability: durability::check(history),
    };
    let in_transactions = keys_of_transactions(history);
    for (key, operations) in by_key(history) {
        let verdict = if in_transactions.contains(key) {
            Verdict::Unknown("transactions are not judged".to_owned())
        } else {
            check_key(&operations, steps_max)
        };
        match verdict {
            Verdict::Linearizable => report.linearizable += 1,
            Verdict::Violation(violation) => report.violations.push(*violation),
            Verdict::Unknown(reason) => report.undecided.push((key.to_vec(), reason)),
        }
    }
    report
}

fn check_key(operations: &[&Operation], steps_max: u64) -> Verdict {
    let verdict = zones::check_key(operations);
    if !matches!(verdict, Verdict::Unknown(_)) {
        return verdict;
    }
    let has = |wanted: fn(&Call) -> bool| operations.iter().any(|each| wanted(&each.call));
    if has(|call| matches!(call, Call::Increment(_))) {
        wgl::check_key(&mut Counter, operations, steps_max)
    } else if has(|call| matches!(call, Call::Append(_))) {
        wgl::check_key(&mut AppendLog, operations, steps_max)
    } else {
        wgl::check_key(&mut Register::default(), operations, steps_max)
    }
}

fn keys_of_transactions(history: &[Operation]) -> BTreeSet<&[u8]> {
    let mut keys = BTreeSet::new();
    for operation in history {
        if let Call::Transaction(steps) = &operation.call {
            keys.insert(&*operation.key);
            keys.extend(steps.iter().map(|step| &*step.key));
        }
    }
    keys
}

/// Most findings of one kind that the text lists.
const SHOWN_MAX: usize = 10;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (violations, undecided) = (self.violations.len(), self.undecided.len());
        writeln!(
            f,
            "operations      {} ({} failed, {} of unknown outcome)",
            self.operations, self.failed, self.unknown_outcomes
        )?;
        let keys = self.linearizable + violations + undecided;
        writeln!(f, "keys            {keys} ({} linearizable)", self.linearizable)?;
        writeln!(f, "violations      {violations}")?;
        for violation in self.violations.iter().take(SHOWN_MAX) {
            writeln!(f, "  {violation}")?;
        }
        writeln!(f, "undecided keys  {undecided}")?;
        for (key, reason) in self.undecided.iter().take(SHOWN_MAX) {
            writeln!(f, "  key {}: {reason}", Readable(key))?;
        }
        write!(f, "{}", self.durability)?;
        writeln!(f, "verdict         {}", if self.is_clean() { "ok" } else { "VIOLATION" })
    }
}

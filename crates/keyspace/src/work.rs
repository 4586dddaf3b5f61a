//! How much a command works, and how much it may.
//!
//! Nothing may hold the event loop for long, so each command's work is bounded, and counted so
//! that a turn can end when clients have had their share. It is counted in units of what is asked
//! for, never in time: the same on every replica, so that all of them refuse the same commands of
//! an entry. One unit is about a nanosecond on a machine of today.
//!
//! A read of a single value is never refused: it works as long as it takes to read that.

use crate::execution::{Data, Stop};

/// What every command costs.
pub(crate) const COMMAND: u64 = 400;
/// What looking at one key of a slot costs, in a walk over all of them.
pub(crate) const VISIT: u64 = 100;
/// What one step of a glob pattern costs.
pub(crate) const GLOB_STEP: u64 = 4;
/// What one cell of the table of LCS costs.
const LCS_CELL: u64 = 2;

/// Bytes that are only looked at.
pub(crate) fn reading(bytes: usize) -> u64 {
    bytes as u64 / 4
}

/// Bytes that are written, or copied.
pub(crate) fn copying(bytes: usize) -> u64 {
    bytes as u64 / 2
}

/// Bytes that are given back to the system.
pub(crate) fn freeing(bytes: usize) -> u64 {
    bytes as u64 / 16
}

/// A table of LCS.
pub(crate) fn cells(one: usize, other: usize) -> u64 {
    let cells = (one as u64 + 1).saturating_mul(other as u64 + 1);
    cells.saturating_mul(LCS_CELL)
}

/// A value that grows in place. It has room to spare, so only some of many small steps copy it:
/// which ones differs between replicas, so each pays its share.
pub(crate) fn growing(old: usize, new: usize) -> u64 {
    let grown = new.saturating_sub(old) as u64;
    let copies = 1 + (new >> 20) as u64;
    grown.saturating_mul(copies).min(grown + new as u64) / 2
}

/// What a command may still do.
#[derive(Clone, Copy)]
pub(crate) struct Allowance(u64);

impl Allowance {
    /// # Errors
    /// If the work is more than that.
    pub(crate) fn covers(self, work: u64) -> Result<(), Stop> {
        if work > self.0 { Err(Stop::TOO_MUCH_WORK) } else { Ok(()) }
    }
}

impl Data<'_> {
    /// Counts work that is done in any case.
    pub(crate) fn count(&mut self, work: u64) {
        self.changes.work += work;
        self.left = self.left.saturating_sub(work);
    }

    /// Counts work that was done, and counted for the turn, before the command was executed.
    pub(crate) fn count_done(&mut self, work: u64) {
        self.left = self.left.saturating_sub(work);
    }

    /// What the command may still do, to be held against work that is about to be done.
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance(self.left)
    }

    /// Counts work that is about to be done, before anything is changed.
    ///
    /// # Errors
    /// If the command would work more than it may.
    pub(crate) fn spend(&mut self, work: u64) -> Result<(), Stop> {
        self.allowance().covers(work)?;
        self.count(work);
        Ok(())
    }
}

//! Histories of client operations, and the checkers that judge them.
//!
//! A history is what clients saw: who called what on which key, when the call began, when and how
//! it ended. The load driver and the simulator write histories in one format ([`jsonl`]); the
//! checkers decide whether a correct store could have answered like that:
//!
//! - [`zones`]: registers whose written values are unique, in O(n log n), without a budget;
//! - [`wgl`]: any deterministic [`model`], by search with a memo and a budget of steps;
//! - [`durability`]: whether acknowledged writes are there in the reads at the end;
//! - [`check`]: picks the right one of them for every key.
//!
//! Rules that every writer of histories must keep, or the verdicts mean nothing:
//! - All times come from one monotonic clock.
//! - A time-out or a lost connection is [`Status::Info`], never [`Status::Fail`].
//! - [`Status::Fail`] is only for errors by which the store promises that nothing was applied.
//! - A process has one operation at a time, and none after one that ended in `Info`.
//! - Clients never retry silently: each attempt is an operation of its own.
//! - Keys do not exist before the history begins.

mod check;
pub mod durability;
pub mod jsonl;
pub mod model;
mod operation;
mod verdict;
pub mod wgl;
pub mod zones;

pub use check::{Report, check};
pub use operation::{Call, FUNCTION_NAMES, Key, Operation, Reply, Status, Step, by_key};
pub use verdict::{Verdict, Violation};

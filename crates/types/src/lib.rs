//! The words of the system as types: identifiers, counters, times, slot ranges and limits.
//!
//! No logic lives here beyond what a value of the type needs to be well formed. Every other crate
//! builds on this one, so a mixed-up term and lease epoch is a compile error everywhere.
#![no_std]

extern crate alloc;

mod fingerprint;
mod id;
pub mod limits;
mod slot;
mod time;

pub use fingerprint::fingerprint;
pub use id::{
    ClusterId, DirectoryId, Incarnation, LeaseEpoch, Life, LogIndex, NodeId, SegmentId, SessionId,
    ShardId, SupportEpoch, Term,
};
pub use slot::{SLOT_COUNT, Slot, SlotRange};
pub use time::{Monotonic, Now, UnixMillis};

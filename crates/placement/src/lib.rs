//! The Lease Manager's policy: which node should hold each shard's lease, and why.
//!
//! A pure function of statistics. [`Manager`] is told what nodes report and what operators
//! command, and decides; the shards' own consensus groups accept or refuse. No clock, no message,
//! no randomness but from a seed: the server, the simulator and the policy laboratory run the same
//! code.
//!
//! In reading order:
//!
//! - [`Policy`]: every threshold with unit, range, default and where it is from;
//! - [`Report`]: what a node tells every second, and why a report is refused;
//! - [`Command`]: nodes, shards, pins, drains, freeze;
//! - `cluster`: what is remembered of all that;
//! - `round`: the working picture of one round and its phases, in order;
//! - [`Bid`]: the terms of an offer;
//! - [`Decision`]: what should be done, why, and what became of it;
//! - [`Explanation`]: why a shard is where it is.
//!
//! ```
//! use core::time::Duration;
//! use placement::{Command, Generation, Locality, Manager, Policy};
//! use types::{Monotonic, NodeId, ShardId, SlotRange};
//!
//! let mut manager = Manager::new(Policy::default(), 1).expect("the defaults are valid");
//! let now = Monotonic(0);
//! let add = Command::Node { node: NodeId(1), locality: Locality::default() };
//! manager.command(now, add).expect("there is room");
//! let shard = Command::Shard {
//!     shard: ShardId(1),
//!     range: SlotRange::ALL,
//!     replicas: vec![NodeId(1)],
//!     generation: Generation(1),
//! };
//! manager.command(now, shard).expect("the node is known");
//! // Nobody has reported yet, so nothing is decided.
//! assert!(manager.decide(now + Duration::from_secs(1)).is_empty());
//! ```
#![no_std]

extern crate alloc;

mod average;
mod bid;
mod budget;
mod cluster;
mod command;
mod decision;
mod json;
mod locality;
mod manager;
mod origin;
mod policy;
mod report;
mod resources;
mod round;
mod status;
mod why;

pub use bid::{Band, Bid, Terms, Unfit};
pub use cluster::{HISTORY_LEN, HISTORY_STEP, Sample};
pub use command::{Command, Duty, Generation, Pin, RefusedCommand};
pub use decision::{Action, Decision, DecisionId, GAIN_MEASURED_AFTER, Inputs, Outcome, Reason};
pub use locality::Locality;
pub use manager::{Manager, UnknownDecision};
pub use origin::{ORIGIN_TEXT_MAX, Origin};
pub use policy::{InvalidPolicy, Policy, Setting};
pub use report::{
    AMOUNT_MAX, CAPACITY_MIN, FUTURE_MAX, Follower, HOT_KEY_BYTES_MAX, HOT_MAX, HeldShard,
    MEASURED_MAX, ORIGINS_MAX, Percentiles, RefusedReport, Report, RoundTrip,
};
pub use resources::Resources;
pub use round::Class;
pub use status::{NodeStatus, ShardStatus};
pub use why::{Explanation, Verdict};

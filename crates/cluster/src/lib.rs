//! One node of the cluster as a pure, deterministic state machine.
//!
//! Nothing here reads a clock, opens a file or a socket, spawns a thread or draws a random number
//! that was not seeded: time, messages and completed writes are inputs, and everything else is an
//! output (`io`). The server and the simulator are two drivers of the same [`Node`].
//!
//! Modules in reading order:
//! - `io`: the contract with the drivers; `settings`: what an operator may choose.
//! - `founding`, `lives`: how a node came to its cluster, and whether it is who it was.
//! - `support`: the promises that nodes exchange; `shard/lease`: the lease that rests on them.
//! - `shard`: one replica of one shard; `raft_group`: its consensus engine, wrapped.
//! - `session`: clients and the order of their replies; `node`: routing requests to shards,
//!   forwarding, and what happens once a turn; `frontend`: commands that are not about data.
//! - `shard/load`, `node/reporting`: what shards and nodes measure of themselves, and what of it
//!   the Lease Manager is told; `histogram`, `frequent`: how it is kept in little room.
//! - `entry`, `record`, `recovery`, `codec`: what stands in the shards' logs, in the node's log,
//!   and what travels between nodes.
#![no_std]

extern crate alloc;

mod bytes_codec;
mod clock;
pub mod codec;
mod entry;
mod forwarded;
mod founding;
mod frequent;
mod frontend;
mod histogram;
mod io;
mod lives;
mod manager;
mod member;
mod membership;
mod node;
mod origins;
mod outage;
mod parts;
mod planted;
mod raft_group;
pub mod record;
mod recovery;
mod refusals;
pub mod report_codec;
mod room;
pub mod salvage;
mod session;
mod settings;
mod shard;
mod support;
mod work;

pub use frontend::ProcessStats;
pub use histogram::Histogram;
pub use io::{
    Admission, ClientAddress, Condition, Event, Fortification, ForwardOutcome, ForwardedRequest,
    Input, Introduction, LogPart, LogPlace, LogReadId, Membership, Memory, Message, Order,
    OrderOutcome, Origin, Output, Payload, Persisted, StandDownReason, StandsBack, WriteId,
};
pub use lives::Start;
pub use member::{InvalidMember, Member, PEER_PORT_STEP, Role};
pub use node::{Node, ReplicaView, StoredView, fold_digests};
pub use outage::list_shards;
pub use placement::Policy;
pub use planted::{Planting, Plantings};
pub use raft_group::RaftMessage;
pub use recovery::{RecordError, Recovered, Recovery};
pub use settings::{MANAGERS_MAX, Redirect, Settings};

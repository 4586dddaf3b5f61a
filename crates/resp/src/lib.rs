//! The Redis protocol: requests, replies, the table of commands, and the hash slot of a key.
//!
//! Knows nothing of clusters, leases or data. Pure: bytes in, values out.
//!
//! In reading order: [`Parser`] finds the arguments of a request, [`resolve`] the command that
//! they name, [`keys`] the keys among them, [`slot_of`] the slot of each; [`Reply`] writes the
//! answer. [`Decoder`] and [`encode_request`] are the client's side.
#![no_std]

extern crate alloc;

pub mod command;
pub mod error;
pub mod glob;
pub mod number;
mod reply;
mod request;
mod slot;
mod value;

pub use command::{Command, CommandId, Flags, Handler, Support, keys, lookup, resolve};
pub use reply::{Protocol, Replies, Reply, Sink};
pub use request::{Arguments, Parsed, Parser, ProtocolError, RequestLimits};
pub use slot::{checksum, hash_tag, slot_of};
pub use value::{DecodeError, Decoded, Decoder, ReplyLimits, Value, encode_request};

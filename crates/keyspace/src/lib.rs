//! The data of one shard, and the execution of data commands on it.
//!
//! A [`Keyspace`] is deterministic: the same calls leave the same data and give the same replies
//! on every replica, whatever the hash seed and the layout of the tables. It reads no clock; the
//! time and the random seed of a log entry are arguments ([`Context`]).
//!
//! **Expiry is decided by the log.** A key's expiry is an absolute wall-clock time. A command that
//! is applied from the log ([`Mode::Apply`]) sees a key as absent, and removes it, once the
//! expiry is not after the entry's stamp; every replica does the same at the same entry. A read
//! outside the log ([`Mode::Read`]) changes nothing: if a key that it looks at should have expired
//! by now, it replies nothing and returns [`Outcome::Expired`]. The caller then lets `REAP key..`
//! go through the log and reads again. So a key that was once seen absent by expiry stays absent,
//! even if the next holder's clock is behind.
//!
//! **Nothing takes long.** The work of a command is bounded and counted (`work`); what may have
//! millions of keys to look at or to free goes on in steps ([`KeysWalk`], [`ScanWalk`],
//! [`Keyspace::free`]).
//!
//! Modules in reading order: `keyspace` (the slots of a shard), `slot`, `table` and `entry` (how
//! keys lie in memory), `execution` (what commands share), then one module for each family of
//! commands, and `image`, `scan` for whole slots.
#![no_std]

extern crate alloc;

mod arguments;
mod bitfield;
mod bitop;
mod bits;
mod building;
mod counter;
mod crc64;
mod dump;
mod entry;
mod execution;
mod expiry;
mod fingerprint;
mod float;
mod generic;
mod image;
mod keyspace;
mod lcs;
mod lzf;
mod natural;
mod pieces;
mod scan;
mod slot;
mod string;
mod table;
mod work;

pub use bitfield::bitfield_bytes;
pub use building::Building;
pub use dump::restored_bytes_max;
pub use entry::Kind;
pub use execution::{Changes, Context, Lookups, Mode, Outcome, Supplies};
pub use image::ImageError;
pub use keyspace::Keyspace;
pub use pieces::{BuiltSlot, ImageId, Piece, SlotBuilder, SlotCopy};
pub use scan::{KeysWalk, ScanCursor, ScanWalk};

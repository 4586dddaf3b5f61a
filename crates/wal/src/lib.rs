//! The write-ahead log of one node: group-committed, shared by all its shards, made of segments.
//!
//! The log stores payloads and does not know what they mean. Entries, hard states and slot images
//! all go through it, so there is one format, one recovery path and one order of syncs. It is a
//! log-structured store: once everything live in the oldest segment has been written again at the
//! tail, the owner [releases](Log::release) that segment and its file is used again.
//!
//! # What is promised
//! - A commit is one frame, one write and one `fdatasync`. After a crash it is there as a whole
//!   or not at all, and every commit whose [`Log::commit`] returned is there.
//! - Damage is never skipped. A damaged commit that is *proven* to have been durable (by a later
//!   commit, which is only ever written after the sync of the one before) makes [`Log::open`]
//!   fail with [`OpenError::Corrupt`].
//! - The end of the log has no such proof in it, so the number of each durable commit is noted in
//!   a file beside it (`witness`): a tail that was cut or zeroed, or newest files that are gone,
//!   make [`Log::open`] fail too. Only the commit that was under way may be missing without a word.
//!   The note is a write without a sync: it survives the end of the process, and a power loss
//!   unless that comes before the system has written it or the owner has had an idle moment
//!   ([`Log::sync_witness`], [`Log::seal`]). What is lost with both is told by who heard of it: the
//!   owner's peers.
//! - What recovery has shown to the owner is durable, even if the process before it died of a
//!   failed sync and the bytes were only in the page cache.
//! - Any failed write or sync ends the log: every later call returns the same error.
//!
//! # Format
//! A segment is a file `<number, 20 digits>.segment`, written with zeroes in advance. Its first
//! block holds the segment header, frames follow, each on a block boundary, so that a write never
//! touches a block that holds an earlier commit and never needs to read a block first. Frames
//! carry the log's random number, the segment's number and their own: what a recycled file still
//! holds of its former life never validates. Files that follow the last begun segment are spares;
//! they bear the number that they will have, so beginning a segment changes no directory entry.
//!
//! Read `format` first, then `log`, `recovery` and `scan`.

mod disk;
mod error;
mod format;
mod inspect;
mod log;
mod memory;
mod meta;
mod os;
mod recovery;
mod reread;
mod scan;
mod spare;
mod witness;
mod writing;

pub use disk::{Disk, DiskFile};
pub use error::{Damage, LogError, MetaError, OpenError, Operation, VisitError};
pub use format::{BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, FORMAT_VERSION, SegmentHeader, segment_name};
pub use inspect::{Finding, inspect};
pub use log::{Log, Options, SegmentInfo};
pub use memory::{Fault, MemoryDisk, MemoryFile};
pub use meta::{META_BYTES_MAX, MetaFile};
pub use os::{OsDisk, OsFile};
pub use recovery::{Reading, Recovery, TornTail, read};
pub use reread::{Commits, read_commits};
pub use spare::Preparation;

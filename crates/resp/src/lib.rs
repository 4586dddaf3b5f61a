//! The Redis protocol: requests, replies, the table of commands, and the hash slot of a key.
//!
//! Knows nothing of clusters, leases or data. Pure: bytes in, values out.
#![no_std]

extern crate alloc;

mod reply;

pub use reply::{Protocol, Reply};

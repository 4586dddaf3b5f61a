//! Tests of the log through its public interface, on a disk in memory that can crash and on the
//! real file system.

mod corruption;
mod crash;
mod faults;
mod harness;
mod identity;
mod meta;
mod os;
mod reread;
mod space;

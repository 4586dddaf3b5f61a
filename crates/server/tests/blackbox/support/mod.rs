//! What the tests share: clusters of real processes, a small client, judged load, other programs.

mod client;
mod cluster;
mod directory;
mod load;
mod manager;
mod node;
mod program;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use client::{Client, bulk, error, integer, ok};
pub(crate) use cluster::{Cluster, Plan};
pub(crate) use directory::Directory;
pub(crate) use load::{Judged, Load};
pub(crate) use manager::Status;
pub(crate) use node::{Node, leasehold};
pub(crate) use program::{Finished, Program, python};

/// How long anything may take that is expected to happen. It only catches hangs: the machine may
/// be busy with other tests and builds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until something is true.
pub(crate) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "in vain for {PATIENCE:?}: {what}");
        thread::sleep(LOOK);
    }
}

/// Lets time pass where time itself is the fault: a pause, or a stretch of load.
pub(crate) fn let_pass(time: Duration) {
    thread::sleep(time);
}

//! What the allocator does with memory that is free.
//!
//! By default it keeps such memory and gives it back to the system in passing, when more is freed
//! nearby later on. After a start that may be never: the entries that a start reads and applies
//! again lie between the data, and a node stayed 1.6 times as large as its data. Asked to give back
//! at once it is 1.0 times; loads of small values cost the same CPU either way.
//!
//! The allocator looks for that in its environment before `main` begins, so a process that finds
//! nothing there starts itself again, in its place and under its number.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How long free memory is kept, in milliseconds. Whoever sets it knows better.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

/// Has this process give free memory back at once. It begins anew for that, at most once; where
/// that is not possible it goes on as it is.
pub(crate) fn give_back_at_once() {
    if env::var_os(PURGE_DELAY).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    // It only ever comes back with an error.
    let error = Command::new(&program).arg0(name).args(arguments).env(PURGE_DELAY, "0").exec();
    tracing::debug!(%error, program = %program.display(), "free memory is kept for a while");
}

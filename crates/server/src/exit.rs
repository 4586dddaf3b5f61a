//! What the process tells its parent when it ends. The numbers follow sysexits.h.

use crate::log_lines;

/// Ends the process at once, but for the lines that say why.
pub(crate) fn now(code: i32) -> ! {
    log_lines::finish();
    std::process::exit(code)
}

/// A command did not do what was asked.
pub(crate) const FAILED: u8 = 1;
/// The configuration or the data directory is not usable; starting again will not help.
pub(crate) const CONFIGURATION: u8 = 78;
/// The disk failed. Whatever was not acknowledged may be lost; the other replicas go on.
pub(crate) const DISK: i32 = 74;
/// A second signal arrived before the leases were handed over.
pub(crate) const INTERRUPTED: i32 = 130;

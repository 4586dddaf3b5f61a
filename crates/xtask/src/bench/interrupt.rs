//! Ctrl-C: servers, folders and clients end with the values that own them, so a signal only asks
//! everything that waits to give up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::Failure;

/// How often a wait looks around.
pub(super) const STEP: Duration = Duration::from_millis(10);

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on signals are noted instead of ending the process.
pub(super) fn watch() -> Result<(), Failure> {
    let asked = ASKED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let registered = signal_hook::flag::register(signal, Arc::clone(asked));
        registered.map_err(|error| format!("signals can't be watched: {error}"))?;
    }
    Ok(())
}

/// Whether somebody asked to stop.
pub(super) fn asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
}

/// Fails if somebody asked to stop.
pub(super) fn check() -> Result<(), Failure> {
    if asked() { Err("interrupted".into()) } else { Ok(()) }
}

/// Waits, unless somebody asks to stop.
pub(super) fn pause(duration: Duration) -> Result<(), Failure> {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        check()?;
        thread::sleep(STEP.min(until.saturating_duration_since(Instant::now())));
    }
    check()
}

/// Waits until something is true; `what` names it for the failure.
pub(super) fn until(
    what: &str,
    limit: Duration,
    is_true: &mut dyn FnMut() -> bool,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    while !is_true() {
        if Instant::now() >= deadline {
            return Err(format!("{what}: not within {} s", limit.as_secs()));
        }
        pause(5 * STEP)?;
    }
    Ok(())
}

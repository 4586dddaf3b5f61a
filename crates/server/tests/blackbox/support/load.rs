//! Load on a cluster while a test does something to it, and the verdict on what the load has seen.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bench::{Checked, Limit, Options, Report};

use super::{Directory, PATIENCE};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A run of the load driver in the background.
pub(crate) struct Load {
    thread: JoinHandle<Result<Report, bench::Error>>,
    history: PathBuf,
}

impl Load {
    /// Starts clients that read, write and count a few keys, so that they meet often, and note
    /// every operation. They go on for so long whatever breaks, and read everything at the end.
    pub(crate) fn start(
        addresses: Vec<SocketAddr>,
        directory: &Directory,
        duration: Duration,
        adjust: impl FnOnce(&mut Options),
    ) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let history = directory.join(&format!("history-{number}.jsonl"));
        let mut options = Options {
            clients: 12,
            key_count: 150,
            weights: [5, 4, 1],
            value_bytes: 0,
            limit: Limit::Duration(duration),
            warm_up: Duration::ZERO,
            timeout: PATIENCE,
            keep_going: true,
            stall_ranges: 16,
            history: Some(history.clone()),
            ..Options::new(addresses)
        };
        adjust(&mut options);
        Self { thread: thread::spawn(move || bench::run(options)), history }
    }

    /// Whether it still goes on.
    pub(crate) fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits for the end and judges the history: linearizable, nothing acknowledged lost.
    pub(crate) fn finish(self) -> Judged {
        let report = self.thread.join().expect("the load driver does not panic");
        let report = report.unwrap_or_else(|error| panic!("the load ended: {error}"));
        let verdict = bench::check(&self.history).expect("the driver writes a proper history");
        assert!(verdict.is_clean(), "{verdict}\n{report}");
        assert!(verdict.undecided.is_empty(), "{verdict}");
        assert!(verdict.durability.checked > 0, "nothing was judged:\n{verdict}\n{report}");
        Judged { report, verdict }
    }
}

/// What a run has found; its history is clean.
pub(crate) struct Judged {
    /// What the clients saw.
    pub(crate) report: Report,
    /// What the checkers say.
    pub(crate) verdict: Checked,
}

impl Judged {
    /// Fails unless every single request was answered as it should be.
    pub(crate) fn assert_no_error(&self) {
        assert_eq!(self.report.error_count(), 0, "{}", self.report);
        assert_eq!(self.verdict.unknown_outcomes, 0, "{}", self.verdict);
    }

    /// The longest time in which a sixteenth of the slots had no success.
    pub(crate) fn longest_stall_millis(&self) -> f64 {
        self.report.range_gaps.iter().map(|gap| gap.millis).fold(0.0, f64::max)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} errors {:?}, {} of unknown outcome, longest stall {:.0} ms",
            self.report.operations,
            self.report.error_count(),
            self.report.errors,
            self.verdict.unknown_outcomes,
            self.longest_stall_millis()
        )
    }
}

//! Reading what the suite prints: one line a test, with its outcome in brackets.

use std::fmt;

use crate::tally::Tally;

/// Lines of a failure that are worth showing; the rest is the interpreter's stack.
const DETAIL_LINES_MAX: usize = 8;

/// What became of the tests of a unit.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Report {
    pub(super) ok: u64,
    /// Names of failed tests with what the suite says, and whatever else went wrong.
    pub(super) failures: Vec<String>,
    /// Names of tests that our list leaves out.
    pub(super) skipped: Vec<String>,
    /// Tests that the suite itself leaves out, by tags or for clusters.
    pub(super) ignored: u64,
}

impl Report {
    pub(super) fn read(output: &str) -> Self {
        let mut report = Self::default();
        let plain = without_colours(output);
        let mut lines = plain.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((outcome, text)) = line.strip_prefix('[').and_then(|l| l.split_once("]: "))
            else {
                continue;
            };
            match outcome {
                "ok" => report.ok += 1,
                "skip" => report.skipped.push(text.into()),
                "ignore" => report.ignored += 1,
                "err" | "exception" => {
                    // What was expected and what came is on the lines that follow.
                    let mut failure = String::from(text);
                    let mut shown = 0;
                    while let Some(more) = lines.next_if(|line| !line.starts_with('[')) {
                        if shown < DETAIL_LINES_MAX && !more.trim().is_empty() {
                            failure = failure + "\n    " + more;
                            shown += 1;
                        }
                    }
                    report.failures.push(failure);
                }
                _ => {}
            }
        }
        report
    }

    pub(super) fn tally(&self) -> Tally {
        let (failed, skipped) = (self.failures.len() as u64, self.skipped.len() as u64);
        Tally { passed: self.ok, failed, skipped: skipped + self.ignored }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ok, failed, skipped) = (self.ok, self.failures.len(), self.skipped.len());
        write!(f, "{ok:>4} ok {failed:>3} err {skipped:>3} skipped {:>3} ignored", self.ignored)
    }
}

/// The end of an output.
pub(super) fn tail(output: &str) -> String {
    let plain = without_colours(output);
    let lines: Vec<&str> = plain.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The text without the sequences that colour it.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (number, part) in text.split("\u{1b}[").enumerate() {
        let coloured = number > 0;
        plain += part.split_once('m').filter(|_| coloured).map_or(part, |(_, rest)| rest);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_and_failures_kept() {
        let output = "Starting\n\u{1b}[1;37;49mTesting unit/x\u{1b}[0m\n\
            [\u{1b}[0;32;49mok\u{1b}[0m]: SET and GET (1 ms)\n\
            [\u{1b}[0;31;49merr\u{1b}[0m]: GET: is [odd]\nExpected 'a'\n\
            [\u{1b}[0;35;49mskip\u{1b}[0m]: LPUSH on it\n[ignore]: DEBUG: Tag: x denied\n\
            [1/1 done]: unit/x (1 seconds)\n";
        let report = Report::read(output);
        assert_eq!((report.ok, report.ignored), (1, 1));
        assert_eq!(report.failures, ["GET: is [odd]\n    Expected 'a'"]);
        assert_eq!(report.skipped, ["LPUSH on it"]);
        assert_eq!(report.tally(), Tally { passed: 1, failed: 1, skipped: 2 });
    }
}

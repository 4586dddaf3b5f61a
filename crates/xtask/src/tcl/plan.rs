//! The folder `tests/redis-suite`: what runs, what must come out, and what is left out and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::report::Report;
use crate::{Failure, workspace};

const UNITS: &str = "tests/redis-suite/units.txt";
const SKIPPED: &str = "tests/redis-suite/skipped.txt";

/// What must come out of a unit.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Expected {
    ok: u64,
    skipped: u64,
    ignored: u64,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.ok, self.skipped, self.ignored)
    }
}

/// Both files, read.
pub(super) struct Plan {
    /// By name; the name is the file's under `tests/unit`.
    pub(super) units: BTreeMap<String, Expected>,
    /// Names of tests to leave out.
    skip: BTreeSet<String>,
}

impl Plan {
    pub(super) fn read() -> Result<Self, Failure> {
        let units = parse_units(&workspace::read(UNITS)?)?;
        Ok(Self { units, skip: parse_skipped(&workspace::read(SKIPPED)?)? })
    }

    /// The list of tests to leave out, as the suite wants it.
    pub(super) fn skip_file(&self) -> String {
        self.skip.iter().fold(String::new(), |list, name| list + name + "\n")
    }

    /// What differs from the numbers that must come out.
    pub(super) fn compare(&self, unit: &str, report: &Report) -> Option<String> {
        let found = Expected {
            ok: report.ok,
            skipped: report.skipped.len() as u64,
            ignored: report.ignored,
        };
        let expected = self.units.get(unit)?;
        (found != *expected)
            .then(|| format!("{UNITS}: expected `{unit} {expected}`, found `{unit} {found}`"))
    }

    /// Tests of the list that no unit has met.
    pub(super) fn needless(&self, met: &[String]) -> Vec<String> {
        let met: BTreeSet<&str> = met.iter().map(String::as_str).collect();
        let unmet = self.skip.iter().filter(|name| !met.contains(name.as_str()));
        unmet.map(|name| format!("{SKIPPED}: no unit has a test `{name}`")).collect()
    }
}

/// Lines `UNIT OK SKIPPED IGNORED`; `#` begins a comment.
fn parse_units(text: &str) -> Result<BTreeMap<String, Expected>, Failure> {
    let mut units = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<u64> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
        let [ok, skipped, ignored] = numbers[..] else {
            return Err(format!("{UNITS}: expected `UNIT OK SKIPPED IGNORED`, found `{line}`"));
        };
        units.insert(words[0].into(), Expected { ok, skipped, ignored });
    }
    Ok(units)
}

/// Names of tests, one a line, after a line `reason: ..` each group; `#` begins a comment.
fn parse_skipped(text: &str) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    let mut reason = None;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(words) = line.strip_prefix("reason: ") {
            reason = Some(words);
        } else if reason.is_none() {
            return Err(format!("{SKIPPED}: `{line}` is left out without a reason"));
        } else if !names.insert(line.into()) {
            return Err(format!("{SKIPPED}: `{line}` stands there twice"));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_checked() {
        let units = parse_units("# x\n\ntype/string 74 1 0\n").expect("units");
        assert_eq!(units["type/string"], Expected { ok: 74, skipped: 1, ignored: 0 });
        assert!(parse_units("type/string 74 1\n").is_err());
        let names = parse_skipped("# x\nreason: lists\na b\n#1 c\n").expect("names");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["#1 c", "a b"]);
        assert!(parse_skipped("a b\n").is_err());
        assert!(parse_skipped("reason: x\na\na\n").is_err());
    }

    #[test]
    fn differences_are_reported() {
        let plan = Plan {
            units: parse_units("x 1 1 0\n").expect("units"),
            skip: parse_skipped("reason: r\na\nb\n").expect("names"),
        };
        assert_eq!(plan.skip_file(), "a\nb\n");
        let report = Report { ok: 1, skipped: vec!["a".into()], ..Report::default() };
        assert_eq!(plan.compare("x", &report), None);
        assert_eq!(plan.needless(&report.skipped).len(), 1);
        assert!(plan.compare("x", &Report::default()).is_some());
    }
}

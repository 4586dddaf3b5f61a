//! Limits on the length of files and functions, and the list of those that are still too long.
//!
//! The list may only shrink: an entry says how long its file or function is, so that it can't
//! grow, and an entry that isn't needed any more is an error.

use std::collections::BTreeMap;

use super::{File, functions};
use crate::{Failure, workspace};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LIST: &str = "crates/xtask/tidy-exceptions.txt";

/// Exceptions: `path` or `path function`, and so many lines.
type Exceptions = BTreeMap<String, usize>;

pub(super) fn check(files: &[File]) -> Result<Vec<String>, Failure> {
    let mut exceptions = parse(&workspace::read(LIST)?)?;
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        findings.extend(check_file(file, &mut exceptions));
    }
    findings.extend(
        exceptions.keys().map(|left| format!("{LIST}: `{left}` needs no exception any more")),
    );
    Ok(findings)
}

fn check_file(file: &File, exceptions: &mut Exceptions) -> Vec<String> {
    let path = &file.path;
    let mut findings = Vec::new();
    let mut check = |name: String, at: String, lines: usize, usual: usize| {
        if lines <= usual {
            return;
        }
        let most = exceptions.remove(&name).unwrap_or(usual);
        if lines > most {
            findings.push(format!("{at}: {lines} lines; at most {most} are allowed"));
        } else if lines < most {
            let advice = "write the smaller number down";
            findings.push(format!("{LIST}: `{name}` has only {lines} lines now; {advice}"));
        }
    };
    check(path.clone(), path.clone(), file.text.lines().count(), FILE_LINES_MAX);
    for function in functions::functions(&file.text) {
        let name = format!("{path} {}", function.name);
        let at = format!("{path}:{}: function `{}`", function.line, function.name);
        check(name, at, function.lines, FUNCTION_LINES_MAX);
    }
    findings
}

/// Lines `path [function]: LINES: reason`; `#` begins a comment.
fn parse(list: &str) -> Result<Exceptions, Failure> {
    let mut exceptions = Exceptions::new();
    for (number, line) in (1..).zip(list.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.splitn(3, ": ");
        let (name, lines, reason) = (parts.next(), parts.next(), parts.next());
        let (Some(name), Some(Ok(lines)), Some(_)) = (name, lines.map(str::parse), reason) else {
            return Err(format!("{LIST}:{number}: expected `PATH [FUNCTION]: LINES: REASON`"));
        };
        exceptions.insert(name.into(), lines);
    }
    Ok(exceptions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(lines: usize, list: &str) -> (usize, usize) {
        let mut exceptions = parse(list).expect("a list");
        let text = format!("fn f() {{\n{}}}\n", "\n".repeat(lines - 2));
        let found = check_file(&File { path: "a.rs".into(), text }, &mut exceptions);
        (found.len(), exceptions.len())
    }

    #[test]
    fn an_exception_fits_exactly_or_is_reported() {
        assert_eq!(findings(70, ""), (0, 0));
        assert_eq!(findings(71, ""), (1, 0));
        assert_eq!(findings(71, "a.rs f: 71: a table\n"), (0, 0));
        assert_eq!(findings(71, "a.rs f: 80: a table\n"), (1, 0));
        assert_eq!(findings(81, "# comment\n\na.rs f: 80: a table\n"), (1, 0));
        assert_eq!(findings(70, "a.rs f: 80: a table\n"), (0, 1));
        assert_eq!(findings(601, "a.rs f: 601: a table\n"), (1, 0));
        assert!(parse("a.rs f: many: because\n").is_err());
        assert!(parse("a.rs f: 80\n").is_err());
    }
}

//! `cargo xtask tidy`: the form of the sources, where neither the compiler nor clippy looks.
//!
//! Each rule is a function from the files to a list of findings; a finding says where, what, and
//! what to do.

mod documents;
mod exceptions;
mod functions;
mod graph;
mod sources;

use crate::arguments::Arguments;
use crate::{Failure, docs, workspace};

pub(crate) use graph::licences;

pub(crate) const USAGE: &str = "\
Usage: cargo xtask tidy [--pages]

Checks, for all files of the project:
  - every .rs file begins with a `//!` header and is ASCII, with lines of at most 100 columns;
  - files of at most 600 lines and functions of at most 70, but for crates/xtask/tidy-exceptions.txt
    (an exception that is not needed any more is an error);
  - crates depend on each other, and on others, only as the table in crates/xtask/src/tidy/graph.rs
    says; the pure crates are no_std; clocks, sleeping and the environment stay in their places;
  - nothing unfinished and no paths of one machine are left;
  - links of pages, and pages that sources name, exist.

  --pages   also check that generated pages are up to date, which may build the server";

/// A file of the project and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_page(&self) -> bool {
        self.path.ends_with(".md")
    }
}

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    let pages = arguments.flag("--pages");
    arguments.end()?;
    check()?;
    if pages { docs::check() } else { Ok(()) }
}

/// Fails with all findings.
pub(crate) fn check() -> Result<(), Failure> {
    let files = files()?;
    let mut findings = sources::check(&files);
    findings.extend(exceptions::check(&files)?);
    findings.extend(graph::check(workspace::metadata()?, &files));
    findings.extend(documents::check(&files, &workspace::files()?));
    if findings.is_empty() {
        println!("{} files are tidy", files.len());
        return Ok(());
    }
    findings.sort_unstable();
    let count = findings.len();
    Err(format!("{count} findings\n{}", findings.join("\n")))
}

/// The files that rules look at.
fn files() -> Result<Vec<File>, Failure> {
    let ends = [".rs", ".toml", ".md"];
    let mut files = Vec::new();
    for path in workspace::files()? {
        if ends.iter().any(|end| path.ends_with(end)) {
            let text = workspace::read(&path)?;
            files.push(File { path, text });
        }
    }
    Ok(files)
}

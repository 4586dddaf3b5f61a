//! Generated pages: programs of the workspace print them, here they are written or compared.

use crate::arguments::Arguments;
use crate::process::{capture, cargo};
use crate::{Failure, workspace};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask docs [--check]

  --check   change nothing; fail if a page is out of date";

/// A page and the words for Cargo that print it.
struct Page {
    path: &'static str,
    printed_by: &'static [&'static str],
}

const PAGES: [Page; 3] = [
    Page {
        path: "docs/commands.md",
        printed_by: &["run", "--quiet", "-p", "resp", "--example", "commands_markdown"],
    },
    Page {
        path: "docs/configuration.md",
        // Released, because CI and whoever measures have that one built.
        printed_by: &[
            "run",
            "--quiet",
            "--release",
            "-p",
            "leasehold",
            "--",
            "settings",
            "--markdown",
        ],
    },
    Page {
        path: "docs/http-api.md",
        printed_by: &[
            "run",
            "--quiet",
            "--release",
            "-p",
            "leasehold",
            "--",
            "settings",
            "--http-api",
        ],
    },
];

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    let only_check = arguments.flag("--check");
    arguments.end()?;
    if only_check {
        return check();
    }
    for page in &PAGES {
        workspace::write(page.path, &capture(&mut cargo(page.printed_by))?)?;
        println!("wrote {}", page.path);
    }
    Ok(())
}

/// Fails if a page is not what the code says.
pub(crate) fn check() -> Result<(), Failure> {
    let mut stale = Vec::new();
    for page in &PAGES {
        let printed = capture(&mut cargo(page.printed_by))?;
        if workspace::read(page.path).ok().as_ref() != Some(&printed) {
            stale.push(page.path);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("out of date: {}; run `cargo xtask docs`", stale.join(", ")))
}

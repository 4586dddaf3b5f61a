//! Golden scripts: scenarios as text, with the output that they must have.

use crate::Failure;
use crate::arguments::Arguments;
use crate::process::{cargo, run as run_command};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask golden [--update]

Runs the integration tests called `golden` and `scenarios` of all crates.

  --update   rewrite the scripts with the output of this build. Only commit such a change if you
             understand what caused it: it is a change of behaviour.";

/// The variable that the tests heed.
const UPDATE: &str = "UPDATE_GOLDEN";

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    let update = arguments.flag("--update");
    arguments.end()?;
    let mut command = cargo(&["test", "--workspace", "--test", "golden", "--test", "scenarios"]);
    if update {
        command.env(UPDATE, "1");
    }
    run_command(&mut command)?;
    if update {
        println!("rewritten; read the change with `git diff` before you commit it");
    }
    Ok(())
}

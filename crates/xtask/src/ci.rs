//! `cargo xtask ci`: every check there is, one after the other, and a summary at the end.
//!
//! Nothing is checked only elsewhere, and every step can be run alone with `--only`. A failed
//! step doesn't keep the others from running: one run should tell everything.

use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::process::{cargo, run as run_command};
use crate::tally::Tally;
use crate::tools::{self, Tool};
use crate::{Failure, docs, fuzz, process, sim, tcl, tidy, workspace};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask ci [--only NAME].. [--skip NAME].. [--list]

  --only NAME   run this step; may be given several times
  --skip NAME   leave this step out; may be given several times
  --list        say what the steps are

What is missing on the machine (Tcl, a C++ compiler, parts of the Rust toolchain) is installed if
that is possible, which for packages of the system means: as root.";

/// Seeds that every run simulates. `sim-fleet` is for new ones.
const SEEDS: (u64, u64) = (0, 300);
/// How long every fuzz target runs.
const FUZZ_SECONDS: u64 = 10;

/// One check.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<Tally, Failure>,
}

/// All checks, those first that fail fastest.
const STEPS: [Step; 10] = [
    Step { name: "format", what: "rustfmt has nothing to change", run: format },
    Step { name: "licences", what: "every dependency may be used", run: || none(tidy::licences()) },
    Step { name: "clippy", what: "no warning, tests and examples included", run: clippy },
    Step {
        name: "tidy",
        what: "headers, lengths, crate graph, links",
        run: || none(tidy::check()),
    },
    Step { name: "test", what: "unit and integration tests", run: test },
    Step { name: "build", what: "the released program", run: build },
    Step { name: "docs", what: "generated pages and rustdoc", run: documentation },
    Step { name: "sim", what: "simulated clusters with faults", run: simulate },
    Step { name: "fuzz", what: "arbitrary bytes, some seconds each", run: fuzzing },
    Step { name: "tcl", what: "the test-suite of Redis 7.0", run: || tcl::all_units(tcl::PORT) },
];

/// How a step ended.
struct Ended {
    name: &'static str,
    took: Duration,
    result: Result<Tally, Failure>,
}

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    if arguments.flag("--list") {
        for step in &STEPS {
            println!("{:<10} {}", step.name, step.what);
        }
        return Ok(());
    }
    let (only, skip) = (arguments.values("--only")?, arguments.values("--skip")?);
    arguments.end()?;
    if let Some(name) =
        only.iter().chain(&skip).find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        return Err(format!("there is no step `{name}`; see --list"));
    }
    let chosen = |step: &&Step| {
        let listed = |names: &[String]| names.iter().any(|name| name == step.name);
        (only.is_empty() || listed(&only)) && !listed(&skip)
    };
    let steps: Vec<&Step> = STEPS.iter().filter(chosen).collect();
    let began = Instant::now();
    println!("Checking {} in {} steps.", workspace::commit(), steps.len());
    let mut ended = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        println!("\n==> [{}/{}] {}: {}", number + 1, steps.len(), step.name, step.what);
        let start = Instant::now();
        let result = (step.run)();
        let took = start.elapsed();
        match &result {
            Ok(_) => println!("<== {} passed in {}", step.name, seconds(took)),
            Err(failure) => {
                println!("{failure}\n<== {} FAILED after {}", step.name, seconds(took));
            }
        }
        ended.push(Ended { name: step.name, took, result });
    }
    summary(&ended, began.elapsed())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The durations, the failures in short, and a line as test runners end with. A step counts as
/// one test beside those that it ran.
fn summary(ended: &[Ended], took: Duration) -> Result<(), Failure> {
    println!("\n==> Summary");
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    for Ended { name, took, result } in ended {
        let note = match result {
            Ok(counts) => {
                tally += *counts;
                tally.passed += 1;
                if *counts == Tally::default() { "ok".into() } else { format!("ok, {counts}") }
            }
            Err(failure) => {
                tally.failed += 1;
                failed.push(*name);
                format!("FAILED: {}", failure.lines().next().unwrap_or_default())
            }
        };
        println!("  {name:<10} {:>9}  {note}", seconds(*took));
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    let took = took.as_secs_f64();
    println!("\ntest result: {word}. {tally}; 0 measured; 0 filtered out; finished in {took:.2}s");
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn none(result: Result<(), Failure>) -> Result<Tally, Failure> {
    result.map(|()| Tally::default())
}

fn format() -> Result<Tally, Failure> {
    tools::ensure(&[Tool::RUSTFMT])?;
    run_command(&mut cargo(&["fmt", "--all", "--check"]))?;
    let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    none(run_command(&mut cargo(&fuzz)))
}

fn clippy() -> Result<Tally, Failure> {
    tools::ensure(&[Tool::CLIPPY])?;
    let words = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    none(run_command(&mut cargo(&words)))
}

fn test() -> Result<Tally, Failure> {
    // Before all tests: some would install these while others look for them.
    tools::ensure(&[Tool::REDIS_CLI, Tool::VENV])?;
    let mut tally = Tally::default();
    let mut command = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    let success = process::lines(&mut command, &mut |line| {
        tally.add_line(line);
        println!("{line}");
    })?;
    if success { Ok(tally) } else { Err(format!("cargo test failed: {tally}")) }
}

fn documentation() -> Result<Tally, Failure> {
    docs::check()?;
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    none(run_command(command.env("RUSTDOCFLAGS", "-D warnings")))
}

fn build() -> Result<Tally, Failure> {
    none(workspace::build_server().map(|path| println!("built {}", path.display())))
}

fn simulate() -> Result<Tally, Failure> {
    sim::kills()?;
    sim::seeds(SEEDS.0, SEEDS.1)
}

fn fuzzing() -> Result<Tally, Failure> {
    fuzz::targets(&fuzz::names()?, FUZZ_SECONDS)
}

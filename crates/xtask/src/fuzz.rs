//! Fuzzing with the engine of LLVM, on the stable compiler: the instrumentation is switched on
//! with flags, so neither a nightly toolchain nor another program is needed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::process::{self, cargo, run as run_command};
use crate::tally::Tally;
use crate::tools::{self, Tool};
use crate::{Failure, workspace};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask fuzz [--seconds N] [--list] [TARGET]..

Runs the targets (all of them by default), as many at a time as there are cores. What they learn
is kept under target/fuzz/corpus, and an input that makes one crash under target/fuzz/crashes.

  --seconds N   how long each target runs; 60 by default
  --list        say which targets there are";

/// Counters in every block of code, and a table of where the blocks are.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing";
/// Most bytes of an input. What is longer finds little more and takes its time.
const INPUT_BYTES_MAX: usize = 2048;
/// An input that takes so many seconds hangs.
const INPUT_SECONDS_MAX: u64 = 5;

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    let all = names()?;
    if arguments.flag("--list") {
        all.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let seconds = arguments.value("--seconds", 60)?;
    let chosen = arguments.rest()?;
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(name)) {
        return Err(format!("there is no target `{unknown}`; see --list"));
    }
    targets(if chosen.is_empty() { &all } else { &chosen }, seconds)
        .map(|tally| println!("{tally}"))
}

/// All targets: the files of `fuzz/targets`.
pub(crate) fn names() -> Result<Vec<String>, Failure> {
    let files = workspace::files()?;
    let name =
        |path: &String| path.strip_prefix("fuzz/targets/")?.strip_suffix(".rs").map(String::from);
    Ok(files.iter().filter_map(name).collect())
}

/// Runs the targets for so many seconds each. A target counts as a test.
pub(crate) fn targets(names: &[String], seconds: u64) -> Result<Tally, Failure> {
    tools::ensure(&[Tool::CPP])?;
    let programs = build()?;
    let queue: Mutex<VecDeque<&String>> = Mutex::new(names.iter().collect());
    let next = || queue.lock().ok()?.pop_front();
    let work = || {
        let mut crashed = Vec::new();
        while let Some(name) = next() {
            if let Err(failure) = fuzz(&programs, name, seconds) {
                println!("{failure}");
                crashed.push(name.clone());
            }
        }
        crashed
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let crashed: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    if !crashed.is_empty() {
        return Err(format!("failed: {}", crashed.join(", ")));
    }
    Ok(Tally { passed: names.len() as u64, ..Tally::default() })
}

/// Builds all targets and says where they are.
fn build() -> Result<PathBuf, Failure> {
    let host = host()?;
    let folder = workspace::target()?.join("fuzz");
    let mut command = cargo(&["build", "--release", "--locked", "--bins", "--target", &host]);
    command.args(["--manifest-path", "fuzz/Cargo.toml", "--target-dir"]).arg(&folder);
    run_command(command.env("RUSTFLAGS", FLAGS))?;
    Ok(folder.join(host).join("release"))
}

/// The platform's name. Naming it as the target keeps the flags away from build scripts.
fn host() -> Result<String, Failure> {
    let version = process::capture(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(String::from).ok_or_else(|| "rustc doesn't name its host".into())
}

fn fuzz(programs: &std::path::Path, name: &str, seconds: u64) -> Result<(), Failure> {
    let folder = workspace::target()?.join("fuzz");
    let (corpus, crashes) = (folder.join("corpus").join(name), folder.join("crashes").join(name));
    for folder in [&corpus, &crashes] {
        std::fs::create_dir_all(folder).map_err(|error| format!("{name}: {error}"))?;
    }
    let root = workspace::root().join("fuzz");
    let (seeds, dictionary) =
        (root.join("seeds").join(name), root.join("dictionaries").join(format!("{name}.txt")));
    let mut command = Command::new(programs.join(name));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-max_len={INPUT_BYTES_MAX}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    command.arg("-print_final_stats=1").arg(format!("-artifact_prefix={}/", crashes.display()));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    // What is found goes to the first folder.
    command.arg(&corpus);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    let finished = process::within(&mut command, Duration::from_secs(seconds * 2 + 60))?;
    let statistic = |key: &str| {
        let line = finished.output.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    if finished.success {
        let executions = statistic("stat::number_of_executed_units:");
        println!("{name:<18} {executions:>10} inputs, {:>8} a second", executions / seconds.max(1));
        return Ok(());
    }
    let lines: Vec<&str> = finished.output.lines().collect();
    let tail = lines[lines.len().saturating_sub(60)..].join("\n    ");
    let path = programs.join(name);
    Err(format!("{name} crashed. Try again with: {} FILE\n    {tail}", path.display()))
}

//! The simulator: a range of seeds, or fresh seeds on all cores for a time.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::arguments::Arguments;
use crate::process::{self, cargo, run as run_command};
use crate::tally::Tally;
use crate::{Failure, workspace};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask sim [-- WORDS..]

Builds the simulator with optimisation and hands it the words behind `--`, for example:
  cargo xtask sim -- --seeds 0..100
  cargo xtask sim -- --help";

pub(crate) const FLEET_USAGE: &str = "\
Usage: cargo xtask sim-fleet [--minutes M] [--from SEED] [-- WORDS..]

Simulates one seed after the other on all cores, and prints each seed that fails with the commit
and with what the simulator said. The words behind `--` go to the simulator.

  --minutes M   how long; 10 by default
  --from SEED   the first seed; by default one that nobody has tried, from the clock";

/// Longest time that one seed may take before it counts as failed.
const SEED_TIME: Duration = Duration::from_secs(300);
/// Seeds of one process of the fleet, so that starting processes costs little.
const BATCH: u64 = 16;

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    let words = arguments.behind();
    arguments.end()?;
    run_command(simulator()?.args(words))
}

/// The simulator, built.
fn simulator() -> Result<Command, Failure> {
    run_command(&mut cargo(&["build", "--release", "--locked", "-p", "sim"]))?;
    let mut command = Command::new(workspace::target()?.join("release").join("sim"));
    command.current_dir(workspace::root());
    Ok(command)
}

/// Lets nodes die at every step of short stories.
pub(crate) fn kills() -> Result<(), Failure> {
    run_command(simulator()?.arg("--kill-everywhere"))
}

/// Simulates the seeds from `first` to before `end`, on all cores.
pub(crate) fn seeds(first: u64, end: u64) -> Result<Tally, Failure> {
    let fleet = Fleet::new(first, Some(end), None, Vec::new())?;
    fleet.sail()
}

pub(crate) fn fleet(arguments: &mut Arguments) -> Result<(), Failure> {
    let minutes: u64 = arguments.value("--minutes", 10)?;
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first: u64 = arguments.value("--from", clock.as_secs() << 16)?;
    let words = arguments.behind();
    arguments.end()?;
    let deadline = Instant::now() + Duration::from_secs(minutes * 60);
    println!("simulating from seed {first} at {} for {minutes} min", workspace::commit());
    Fleet::new(first, None, Some(deadline), words)?.sail().map(|tally| println!("{tally}"))
}

/// Simulators side by side that share a range of seeds.
struct Fleet {
    program: std::ffi::OsString,
    words: Vec<String>,
    next: AtomicU64,
    end: Option<u64>,
    deadline: Option<Instant>,
    tally: Mutex<Tally>,
}

impl Fleet {
    fn new(
        first: u64,
        end: Option<u64>,
        deadline: Option<Instant>,
        words: Vec<String>,
    ) -> Result<Self, Failure> {
        let program = simulator()?.get_program().to_owned();
        let (next, tally) = (AtomicU64::new(first), Mutex::default());
        Ok(Self { program, words, next, end, deadline, tally })
    }

    fn sail(self) -> Result<Tally, Failure> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let result = thread::scope(|scope| {
            let ships: Vec<_> = (0..cores).map(|_| scope.spawn(|| self.batches())).collect();
            ships.into_iter().try_for_each(|ship| {
                ship.join().unwrap_or_else(|_| Err("a simulating thread has panicked".into()))
            })
        });
        let tally = self.tally.into_inner().unwrap_or_default();
        result?;
        if tally.failed > 0 { Err(format!("{tally} seeds")) } else { Ok(tally) }
    }

    /// Takes batches until there are none left, or no time.
    fn batches(&self) -> Result<(), Failure> {
        loop {
            let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
            let end = self.end.map_or(first + BATCH, |end| end.min(first + BATCH));
            if late || first >= end {
                return Ok(());
            }
            let mut tally = Tally::default();
            if self.simulate(first, end)?.success {
                tally.passed = end - first;
            } else {
                // One by one, to name those that fail.
                for seed in first..end {
                    let finished = self.simulate(seed, seed + 1)?;
                    tally.passed += u64::from(finished.success);
                    tally.failed += u64::from(!finished.success);
                    if !finished.success {
                        report(seed, &finished);
                    }
                }
            }
            if let Ok(mut sum) = self.tally.lock() {
                *sum += tally;
            }
        }
    }

    fn simulate(&self, first: u64, end: u64) -> Result<process::Finished, Failure> {
        let mut command = Command::new(&self.program);
        command.args(["--seeds", &format!("{first}..{end}")]).args(&self.words);
        let batch = u32::try_from(end - first).unwrap_or(u32::MAX);
        process::within(command.current_dir(workspace::root()), SEED_TIME * batch)
    }
}

/// What to do about a seed that failed.
fn report(seed: u64, finished: &process::Finished) {
    let why = if finished.late { "took too long" } else { "failed" };
    let commit = workspace::commit();
    println!("seed {seed} {why} at {commit}: cargo xtask sim -- --seed {seed} --trace");
    // The end of the output says what was violated; what led there is long.
    let lines: Vec<&str> = finished.output.lines().collect();
    for line in &lines[lines.len().saturating_sub(40)..] {
        println!("    {line}");
    }
}

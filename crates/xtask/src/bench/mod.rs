//! `cargo xtask bench`: the whole table of performance, from nothing. It starts our cluster and
//! the peers on loopback, loads them in turns with one client, and prints Markdown.
//!
//! Reading order: `rows` (what is measured), `pair` (how a ratio is found), `store` (what runs),
//! `driver` (who puts on the load), `figures`, `faults` and `upkeep` (rows of other kinds),
//! `report`.
//!
//! Invariants: a ratio is only ever made of two runs of one round; nothing is dropped by its
//! result; whatever was started ends, and its folder goes, however the task ends.

mod costly;
mod driver;
mod etcd;
mod faults;
mod figures;
mod interrupt;
mod leasehold;
mod machine;
mod pair;
mod process;
mod redis;
mod report;
mod resp;
mod rows;
mod statistics;
mod store;
mod upkeep;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::arguments::Arguments;
use crate::{Failure, workspace};
use driver::Driver;
use report::Finding;
use rows::{Measure, ROWS, Row};
use store::Stores;

pub(crate) const USAGE: &str = "\
Usage: cargo xtask bench [--only ROW].. [--rounds N] [--secs S] [--kills N] [--out FILE]

Measures every row of the table in docs/performance.md beside its peer and prints the table as
Markdown. Progress goes to standard error. Needs redis-server and redis-cli, and etcd; rows whose
peer is missing are left out with a word on how to get it. All of it stays on loopback.

  --only ROW      only this row; may be given several times, --list shows the names
  --list          print the rows' names and end
  --rounds N      pairs of runs of a row; 15 by default, which resolves about 10 %
  --secs S        length of a run; 1.5 by default
  --kills N       how many holders are killed; 20 by default
  --out FILE      add every run and every result to this file, one JSON object a line
  --server FILE   the server to measure; built from this workspace by default
  --etcd PROGRAM  etcd's program; `etcd` by default
  --dir DIR       where data is kept meanwhile; the target folder by default, because a folder for
                  temporary files is often in memory, where syncs cost nothing
  --kit DIR       take the load clients `load`, `limits` and `etcdload` from this folder, as far
                  as they are there, instead of the project's own driver";

/// What was asked for.
struct Settings {
    rounds: u32,
    seconds: f64,
    kills: u32,
    server: PathBuf,
    etcd: String,
    dir: PathBuf,
    out: Option<PathBuf>,
}

/// Why a row has no result.
enum Trouble {
    /// A peer is not there; the text says how to get it.
    Missing(String),
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Settings {
    /// A line of progress.
    fn say(&self, line: &str) {
        // Nobody may be reading; that is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// Adds a line to the file of results, if there is one.
    fn record(&self, value: &Value) -> Result<(), Failure> {
        let Some(path) = &self.out else { return Ok(()) };
        let opened = File::options().create(true).append(true).open(path);
        let written = opened.and_then(|mut file| writeln!(file, "{value}"));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }
}

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    if arguments.flag("--list") {
        arguments.end()?;
        ROWS.iter().for_each(|row| println!("{:<14} {}", row.name, row.what));
        return Ok(());
    }
    let rows = chosen(&arguments.values("--only")?)?;
    let path = |text: String| (!text.is_empty()).then(|| PathBuf::from(text));
    let rounds: u32 = arguments.value("--rounds", 15)?;
    let seconds: f64 = arguments.value("--secs", 1.5)?;
    let kills: u32 = arguments.value("--kills", 20)?;
    let server = path(arguments.value("--server", String::new())?);
    let etcd = arguments.value("--etcd", String::from("etcd"))?;
    let dir = path(arguments.value("--dir", String::new())?);
    let out = path(arguments.value("--out", String::new())?);
    let kit = path(arguments.value("--kit", String::new())?);
    arguments.end()?;
    if rounds == 0 || kills == 0 || !(0.1..=600.0).contains(&seconds) {
        return Err("there must be a round and a kill, and a run takes 0.1 to 600 s".into());
    }
    let driver = Driver::build(kit)?;
    let server = server.map_or_else(workspace::build_server, Ok)?;
    let dir = dir.map_or_else(|| workspace::target().map(|it| it.join("bench-data")), Ok)?;
    let settings = Settings { rounds, seconds, kills, server, etcd, dir, out };
    interrupt::watch()?;
    table(&rows, &settings, &driver)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Row>, Failure> {
    if let Some(unknown) = names.iter().find(|name| ROWS.iter().all(|row| row.name != **name)) {
        return Err(format!("there is no row `{unknown}`; see --list"));
    }
    let is_chosen = |row: &&Row| names.is_empty() || names.iter().any(|name| name == row.name);
    Ok(ROWS.iter().filter(is_chosen).collect())
}

fn table(rows: &[&Row], settings: &Settings, driver: &Driver) -> Result<(), Failure> {
    let mut stores = Stores::new();
    let (mut findings, mut absent, mut failures) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        settings.say(&format!("== {}: {}", row.name, row.what));
        match measure(row, settings, driver, &mut stores) {
            Ok(found) => {
                for finding in &found {
                    settings.record(&finding.to_json())?;
                }
                findings.extend(found);
            }
            Err(_) if interrupt::asked() => break,
            Err(Trouble::Missing(advice)) => {
                absent.push(format!("`{}` left out: {advice}", row.name));
            }
            Err(Trouble::Failed(failure)) => {
                settings.say(&format!("{} failed: {failure}", row.name));
                // What runs may be in any state.
                stores.clear();
                failures += 1;
                absent.push(format!("`{}` failed: {}", row.name, failure.replace('\n', " ")));
            }
        }
    }
    stores.clear();
    println!("{}", report::markdown(&findings, &absent));
    interrupt::check()?;
    if failures == 0 { Ok(()) } else { Err(format!("{failures} rows failed")) }
}

fn measure(
    row: &Row,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    interrupt::check()?;
    match &row.measure {
        Measure::Pair(pair) => pair::measure(row, pair, settings, driver, stores),
        Measure::Memory => figures::memory(row, settings, driver, stores),
        Measure::Syncs => figures::syncs(row, settings, driver, stores),
        Measure::Failover => faults::failover(row, settings, driver, stores),
        Measure::Transfer => faults::transfer(row, settings, driver, stores),
        Measure::Drain => upkeep::drain(row, settings, driver, stores),
        Measure::Restart => upkeep::restart(row, settings, driver, stores),
        Measure::Costly => costly::others_wait(row, settings, driver, stores),
        Measure::TwoDeaths => upkeep::two_deaths(row, settings, driver, stores),
    }
}

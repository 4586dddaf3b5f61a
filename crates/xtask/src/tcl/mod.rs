//! `cargo xtask tcl`: the test-suite of Redis 7.0 against one node of a Leasehold cluster.
//!
//! The suite is an exam that others have written: it is fetched from the Debian archive, never
//! kept here. `tests/redis-suite` says which units run, what must come out, and which tests are
//! left out for which reason.

mod node;
mod plan;
mod report;
mod suite;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::process;
use crate::tally::Tally;
use crate::tools::{self, Tool};
use crate::{Failure, workspace};
use node::Cluster;
use plan::Plan;
use report::Report;

pub(crate) const USAGE: &str = "\
Usage: cargo xtask tcl [--unit UNIT].. [--port PORT] [--running] [--all-tests] [--verbose]

Fetches the suite into target/redis-suite, builds the server, starts a cluster of three nodes for
each unit, and runs the unit against the first one. Fails if a test fails, or if the numbers are
not those of tests/redis-suite/units.txt.

  --unit UNIT   only this unit, such as type/string; may be given several times
  --port PORT   port of the first node; 7901 by default
  --running     start nothing: a server (ours or another) already listens at PORT
  --all-tests   leave out no test, to see which ones still need it
  --verbose     show the output of the suite";

/// Port of the first node. The others follow, and nodes talk at the ports 10000 above.
pub(crate) const PORT: u16 = 7901;
/// Longest time for one unit.
const UNIT_TIME: Duration = Duration::from_secs(300);
/// The suite asks servers for abilities by tags; these are not claimed.
const TAGS: &str = "-slow -needs:debug -needs:repl -needs:save -needs:config-maxmemory \
    -needs:pfdebug -needs:config-resetstat";

/// How to run units.
struct Way {
    port: u16,
    running: bool,
    all_tests: bool,
    verbose: bool,
}

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    let way = Way {
        port: arguments.value("--port", PORT)?,
        running: arguments.flag("--running"),
        all_tests: arguments.flag("--all-tests"),
        verbose: arguments.flag("--verbose"),
    };
    let units = arguments.values("--unit")?;
    arguments.end()?;
    units_in(&way, &units).map(|tally| println!("{tally}"))
}

/// Runs all units that the plan names. A test that is left out counts as skipped.
pub(crate) fn all_units(port: u16) -> Result<Tally, Failure> {
    units_in(&Way { port, running: false, all_tests: false, verbose: false }, &[])
}

fn units_in(way: &Way, chosen: &[String]) -> Result<Tally, Failure> {
    tools::ensure(&[Tool::TCL])?;
    let suite = suite::fetch()?;
    let plan = Plan::read()?;
    let names: Vec<&str> = plan.units.keys().map(String::as_str).collect();
    if let Some(unknown) = chosen.iter().find(|unit| !plan.units.contains_key(*unit)) {
        return Err(format!("there is no unit `{unknown}`; the units are {}", names.join(", ")));
    }
    let program = if way.running { None } else { Some(workspace::build_server()?) };
    let mut tally = Tally::default();
    let mut findings = Vec::new();
    let mut left_out = Vec::new();
    for unit in names {
        if !chosen.is_empty() && !chosen.iter().any(|name| name == unit) {
            continue;
        }
        let start = Instant::now();
        let report = one_unit(&suite, way, &plan, unit, program.as_deref())?;
        let took = start.elapsed().as_secs_f64();
        println!("{unit:<16} {report} in {took:.1} s");
        tally += report.tally();
        findings.extend(report.failures.iter().map(|failure| format!("{unit}: {failure}")));
        // After a failure the numbers differ anyway.
        if !way.all_tests && report.failures.is_empty() {
            findings.extend(plan.compare(unit, &report));
        }
        left_out.extend(report.skipped);
    }
    if chosen.is_empty() && !way.all_tests && findings.is_empty() {
        findings.extend(plan.needless(&left_out));
    }
    if findings.is_empty() { Ok(tally) } else { Err(format!("{tally}\n{}", findings.join("\n"))) }
}

fn one_unit(
    suite: &Path,
    way: &Way,
    plan: &Plan,
    unit: &str,
    program: Option<&Path>,
) -> Result<Report, Failure> {
    let cluster = program.map(|program| Cluster::start(program, way.port)).transpose()?;
    let mut command = Command::new("tclsh");
    command.current_dir(suite).arg("tests/test_helper.tcl");
    command.args(["--host", "127.0.0.1", "--port", &way.port.to_string()]);
    command.args(["--verbose", "--durable", "--cluster-mode", "--singledb"]);
    command.args(["--ignore-encoding", "--ignore-digest", "--single", &format!("unit/{unit}")]);
    command.args(["--tags", TAGS]);
    if !way.all_tests {
        let skip = suite.join("leasehold-skip.txt");
        std::fs::write(&skip, plan.skip_file())
            .map_err(|error| format!("{}: {error}", skip.display()))?;
        command.arg("--skipfile").arg(skip);
    }
    let finished = process::within(&mut command, UNIT_TIME)?;
    if way.verbose {
        println!("{}", finished.output);
    }
    let mut report = Report::read(&finished.output);
    if finished.late {
        report.failures.push(format!("not finished after {} s", UNIT_TIME.as_secs()));
    } else if !finished.success && report.failures.is_empty() {
        report.failures.push(format!("the suite failed:\n{}", report::tail(&finished.output)));
    }
    if let Some(cluster) = cluster {
        report.failures.extend(cluster.stop().err());
    }
    Ok(report)
}

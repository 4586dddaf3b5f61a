//! `leasehold simulate`: the Lease Manager's policy against generated or recorded loads.
//!
//! It plays the policy's own crate in virtual time, beside what it is compared with. Nothing here
//! decides anything: scenarios, policies and reports are the laboratory's.

use std::fmt::Write;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;
use laboratory::{PolicyKind, Report, Scenario, Trace, run as play};
use placement::{Policy, Setting};

use super::{CommandError, print};

/// Columns and lines of a curve; with its axis it fits a terminal of 80 columns.
const CURVE_COLUMNS: usize = 72;
const CURVE_LINES: usize = 10;

/// Try the placement policy on many nodes and shards in virtual time, without a cluster.
///
/// The manager's own code is played against a load and against what happens to the nodes, beside
/// other policies. Ten minutes of six nodes and 256 shards take less than a second. The same
/// scenario, policy, settings and seed give the same report.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = GUIDE)]
pub(super) struct SimulateArguments {
    /// The scenario's name, or some words of it in a row (`s2`, `hot-spot`); `all` plays every
    /// one. `--list` shows them.
    scenario: Option<String>,
    /// Show the scenarios and what they are about.
    #[arg(long, exclusive = true)]
    list: bool,
    /// Show the settings of the policy, for --set.
    #[arg(long, exclusive = true)]
    settings: bool,
    /// Who decides: `static`, `random`, `reactive-1s`, `reactive-5s` (or any `reactive-Ns`),
    /// `no-proximity-1s`, `oracle`, or `all`. Separated by commas.
    #[arg(long, value_name = "POLICY", value_delimiter = ',', default_value = "all")]
    policy: Vec<String>,
    /// Change a setting of the reactive policies, e.g. `band=0.1`; durations in seconds. May be
    /// repeated. `--settings` shows them.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Play a recorded load instead of a scenario: JSON lines, one row for each change of a
    /// shard's load.
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    trace: Option<PathBuf>,
    /// How many nodes carry the recorded load.
    #[arg(long, value_name = "N", default_value_t = 6, requires = "trace",
          conflicts_with = "scenario",
          value_parser = clap::value_parser!(u32).range(1..=types::limits::NODES_MAX as i64))]
    nodes: u32,
    /// What everything random comes from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write each report as one line of JSON, with a row for every second.
    #[arg(long)]
    json: bool,
}

/// The examples, as a literal that both help texts begin with.
macro_rules! examples {
    () => {
        "\
Examples:
  leasehold simulate --list
  leasehold simulate one-hot-spot                          all policies, and curves
  leasehold simulate s5 --policy reactive-1s --seed 7
  leasehold simulate s2 --policy reactive-1s --set band=0.1 --set confirmations=5
  leasehold record > load.jsonl                            a running cluster's load, until Ctrl-C
  leasehold simulate --trace load.jsonl --nodes 9
  leasehold simulate all --json > reports.jsonl

"
    };
}

const EXAMPLES: &str = concat!(examples!(), "--help says what the columns and curves mean.");

const GUIDE: &str = concat!(
    examples!(),
    "\
Policies:
  static       leases stay where they are; only failover moves them
  random       every five seconds four leases go to a random replica
  reactive-1s  the manager, deciding every second: the usual pace
  reactive-5s  the manager, deciding every five seconds
  no-proximity-1s  the same as reactive-1s, wherever clients are: only where it makes a difference
  oracle       knows the load of the moment and moves leases at once; replicas stay

Columns:
  overload     sum over nodes of the time in which they were asked for more than they have
  max/mean     the fullest node against the mean node, averaged over the run
  max/bound    the fullest node against the best placement there is
  moves        leases that moved by order; flips: back again within a minute
  failovers    leases that heirs of a dead node took over
  vacant       sum over shards of the time without a holder
  rtt          the clients' round trips, where these are in zones that are apart

Curves: # is the fullest node (1.00 is all it has), - the best placement there is; the line below
counts the moves. They are shown for the reactive policies, or for the only one that is played,
unless every scenario is.

A recorded load has one JSON object a line, in the order of the seconds since it began. A row
stands for its shard, counted from 0, until the shard's next row; rates are requests per second:
  {\"second\": 12, \"shard\": 7, \"reads\": 1200.5, \"writes\": 30}"
);

pub(super) fn run(arguments: &SimulateArguments) -> Result<(), CommandError> {
    if arguments.list {
        return print(list());
    }
    if arguments.settings {
        return print(settings());
    }
    let mut scenarios = scenarios(arguments)?;
    let curves = arguments.scenario.as_deref() != Some("all");
    for scenario in &mut scenarios {
        scenario.seed = arguments.seed;
        let kinds = policies(&arguments.policy, &arguments.set, scenario)?;
        if arguments.json {
            compare_for_programs(scenario, &kinds)?;
        } else {
            compare_for_people(scenario, &kinds, curves)?;
        }
    }
    Ok(())
}

fn compare_for_programs(scenario: &Scenario, kinds: &[PolicyKind]) -> Result<(), CommandError> {
    for kind in kinds {
        print(format_args!("{}\n", report(scenario, kind)?.to_json()))?;
    }
    Ok(())
}

/// A table with a line as soon as each policy has been played, then the curves.
fn compare_for_people(
    scenario: &Scenario,
    kinds: &[PolicyKind],
    curves: bool,
) -> Result<(), CommandError> {
    print(format_args!("{}: {}\n{}\n", scenario.id(), scenario.about, Report::heading(scenario)))?;
    let mut details = Vec::new();
    for kind in kinds {
        let report = report(scenario, kind)?;
        print(format_args!("{}\n", report.line()))?;
        if curves && (matches!(kind, PolicyKind::Reactive { .. }) || kinds.len() == 1) {
            details.push(report);
        }
    }
    for report in details {
        print(format_args!("\n{report}\n{}", report.curves(CURVE_COLUMNS, CURVE_LINES)))?;
    }
    print("\n")
}

fn report(scenario: &Scenario, kind: &PolicyKind) -> Result<Report, CommandError> {
    play(scenario, kind.clone()).map_err(|error| CommandError::new(error.to_string()))
}

/// What shall be played.
fn scenarios(arguments: &SimulateArguments) -> Result<Vec<Scenario>, CommandError> {
    if let Some(path) = &arguments.trace {
        return Ok(vec![Scenario::recorded(trace(path)?, arguments.nodes)]);
    }
    let Some(words) = &arguments.scenario else {
        return Err(CommandError::new(
            "which scenario? `leasehold simulate --list` shows them, `leasehold simulate all` \
             plays every one, and --trace FILE plays a recorded load",
        ));
    };
    let mut scenarios = Scenario::all();
    if words != "all" {
        scenarios.retain(|scenario| scenario.is_called(words));
    }
    if scenarios.is_empty() {
        return Err(CommandError::new(format!(
            "there is no scenario `{words}`; `leasehold simulate --list` shows what there is"
        )));
    }
    Ok(scenarios)
}

fn trace(path: &Path) -> Result<Trace, CommandError> {
    let name = path.display();
    let file = File::open(path)
        .map_err(|error| CommandError::new(format!("cannot open the trace {name}: {error}")))?;
    let trace = Trace::read(BufReader::new(file)).map_err(|error| {
        CommandError::new(format!(
            "{name}: {error}; `leasehold simulate --help` shows what a line looks like"
        ))
    })?;
    if trace.shards() == 0 {
        return Err(CommandError::new(format!("{name} is empty; there is nothing to play")));
    }
    Ok(trace)
}

/// The policies of these names, the manager with these settings.
fn policies(
    names: &[String],
    settings: &[String],
    scenario: &Scenario,
) -> Result<Vec<PolicyKind>, CommandError> {
    let mut kinds = Vec::new();
    for name in names {
        let named = match name.as_str() {
            "all" => PolicyKind::all_for(scenario),
            name => PolicyKind::named(name).into_iter().collect(),
        };
        if named.is_empty() {
            let known: Vec<String> = PolicyKind::all().iter().map(PolicyKind::name).collect();
            return Err(CommandError::new(format!(
                "there is no policy `{name}`; there are {} and `all` (reactive-Ns for any N from \
                 1 to 60, and no-proximity-Ns)",
                known.join(", ")
            )));
        }
        kinds.extend(named);
    }
    let changed = changed_policy(settings)?;
    let mut used = settings.is_empty();
    for kind in &mut kinds {
        if let PolicyKind::Reactive { policy, .. } = kind {
            let proximity = policy.proximity_weight > 0.0;
            policy.clone_from(&changed);
            if !proximity {
                policy.proximity_weight = 0.0;
            }
            used = true;
        }
    }
    if !used {
        return Err(CommandError::new(
            "--set changes the reactive policies, and none of them is played; add one, for \
             example --policy reactive-1s",
        ));
    }
    Ok(kinds)
}

/// The defaults with these changes.
fn changed_policy(settings: &[String]) -> Result<Box<Policy>, CommandError> {
    let wrong = |text: &str, why: &str| {
        CommandError::new(format!(
            "--set {text}: {why}; `leasehold simulate --settings` shows names and ranges"
        ))
    };
    let mut policy = Box::<Policy>::default();
    for text in settings {
        let pair = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let (name, value) = pair.ok_or_else(|| wrong(text, "write NAME=VALUE"))?;
        let number = value.parse().map_err(|_| {
            wrong(text, "the value must be a number, without a unit (durations in seconds)")
        })?;
        policy.set(name, number).map_err(|error| wrong(text, &error.to_string()))?;
    }
    policy.validate().map_err(|error| wrong(&settings.join(" --set "), &error.to_string()))?;
    Ok(policy)
}

fn list() -> String {
    let all = Scenario::all();
    let width = all.iter().map(|scenario| scenario.id().len()).max().unwrap_or_default();
    let mut text = String::new();
    for scenario in &all {
        let seconds = scenario.length.as_secs();
        // Writing into a string can't fail.
        let _ = writeln!(text, "{:<width$} {seconds:>5} s  {}", scenario.id(), scenario.about);
    }
    text
}

fn settings() -> String {
    let mut text = String::new();
    let defaults = Policy::default();
    for (setting, default) in Policy::SETTINGS.iter().zip(defaults.numbers()) {
        let Setting { name, unit, least, most, text: what } = setting;
        let what = what.trim();
        let _ = write!(
            text,
            "{name}\n    {what}\n    default: {default}; accepts: {least} to {most} {unit}\n\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct CommandLine {
        #[command(flatten)]
        simulate: SimulateArguments,
    }

    fn parse(words: &[&str]) -> Result<SimulateArguments, clap::Error> {
        let words = ["simulate"].iter().chain(words);
        CommandLine::try_parse_from(words).map(|line| line.simulate)
    }

    fn names(words: &[&str]) -> Result<Vec<String>, String> {
        let arguments = parse(words).expect("well formed");
        let kinds = policies(&arguments.policy, &arguments.set, &Scenario::skewed(1.0))
            .map_err(|error| error.text)?;
        Ok(kinds.iter().map(PolicyKind::name).collect())
    }

    #[test]
    fn policies_are_named() {
        let all = ["static", "random", "reactive-1s", "reactive-5s", "oracle"].map(String::from);
        assert_eq!(names(&[]), Ok(all.to_vec()));
        let some = names(&["--policy", "static,reactive-30s", "--policy", "oracle"]);
        assert_eq!(some, Ok(["static", "reactive-30s", "oracle"].map(String::from).to_vec()));
        let far = names(&["--policy", "no-proximity-1s", "--set", "band=0.1"]);
        assert_eq!(far, Ok(vec![String::from("no-proximity-1s")]));
        for bad in ["adaptive", "reactive-0s", "reactive-61s", "reactive-s", "reactive--1s", ""] {
            let error = names(&["--policy", bad]).expect_err("must be refused");
            assert!(error.contains(bad) && error.contains("reactive-1s"), "{error}");
        }
    }

    #[test]
    fn settings_change_the_reactive_policies() {
        let arguments = parse(&["--set", "band=0.1", "--set", "cool_down = 7.5"]);
        let arguments = arguments.expect("well formed");
        let kinds = policies(&arguments.policy, &arguments.set, &Scenario::skewed(1.0))
            .expect("good settings");
        let changed = kinds.iter().filter_map(|kind| match kind {
            PolicyKind::Reactive { policy, .. } => Some(policy),
            PolicyKind::Static | PolicyKind::Random | PolicyKind::Oracle => None,
        });
        let changed: Vec<_> = changed.map(|policy| (policy.band, policy.cool_down)).collect();
        assert_eq!(changed, [(0.1, std::time::Duration::from_millis(7500)); 2]);
        for (words, expected) in [
            (&["--set", "band"][..], "NAME=VALUE"),
            (&["--set", "band=wide"], "number"),
            (&["--set", "cool_down=30s"], "without a unit"),
            (&["--set", "bnad=0.1"], "no setting `bnad`"),
            (&["--set", "band=7"], "between 0.01 and 0.4"),
            (&["--set", "band=NaN"], "between 0.01 and 0.4"),
            (&["--set", "enough=1.2"], "`enough` must not be more than `overfull`"),
            (&["--set", "band=0.1", "--policy", "static,oracle"], "--policy reactive-1s"),
        ] {
            let error = names(words).expect_err("must be refused");
            assert!(error.contains(expected), "no {expected:?} in {error}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for words in [
            &["--list", "s1"][..],
            &["--settings", "--json"],
            &["s1", "--trace", "x"],
            &["s1", "--nodes", "3"],
            &["--trace", "x", "--nodes", "0"],
            &["--trace", "x", "--nodes", "65"],
            &["--seed", "-1"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        assert!(scenarios(&parse(&[]).expect("well formed")).is_err());
        let all = scenarios(&parse(&["all"]).expect("well formed")).expect("they are there");
        assert_eq!(all.len(), Scenario::all().len());
    }

    #[test]
    fn every_scenario_and_every_setting_is_listed() {
        assert_eq!(list().lines().count(), Scenario::all().len());
        let text = settings();
        assert!(text.contains("band\n    Half the width"), "{text}");
        assert_eq!(text.matches("default: ").count(), Policy::SETTINGS.len());
    }
}

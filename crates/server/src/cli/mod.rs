//! The command line: what it accepts, and the errors it ends with.

mod bench;
mod connection;
mod decisions;
mod dev;
mod dev_cluster;
mod dev_members;
mod documents;
mod inspect;
mod load;
mod nodes;
mod orders;
mod record;
mod salvage;
mod shards;
mod simulate;
mod start;
mod table;
mod top;
mod why;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Parser, Subcommand};

use crate::{config, exit, http};

/// A replicated, durable, linearizable key-value store that speaks the Redis Cluster protocol.
///
/// The right to serve a shard is a lease that moves between nodes, within milliseconds if planned
/// and within about a second if a node dies. Every acknowledged write is on disk on a majority.
#[derive(Parser, Debug)]
#[command(name = "leasehold", version, arg_required_else_help = true, after_help = EXAMPLES)]
#[command(help_template = HELP, subcommand_help_heading = "Commands")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// The commands by what they are for; clap can't group them, a test holds this against the list.
const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

Run a cluster:
  dev        a cluster of several nodes on this machine, for development
  start      one node of a cluster
  inspect    read a node's data directory
  settings   explain the settings of a node

Look at it:
  top        a live view: nodes, hottest shards, decisions
  nodes      each node: state, use, leases
  shards     each shard: slots, holder, lease, load
  why        why a shard is where it is, and why it doesn't move
  decisions  what the Lease Manager decided, why, and what became of it
  plan       what it would do now

Steer it:
  transfer   give a shard's lease to another node
  pin        keep a shard's lease at a node or in a zone
  unpin      let it move again
  drain      move all leases off a node
  freeze     move nothing for balance
  policy     the Lease Manager's thresholds, weights and budgets
  join       take a node into the cluster
  move       say that a node has other addresses now
  remove     take a node out of the cluster

After a loss:
  salvage    save what data directories still hold, when too many copies are gone
  load       put it into a new cluster

Try it:
  bench      load a cluster, and judge its answers
  record     record a cluster's load, for simulate
  simulate   play a policy against generated or recorded load

Options:
{options}{after-help}";

const EXAMPLES: &str = "\
Examples:
  leasehold dev                          three nodes on this machine, to try things out
  redis-cli -p 7001 set greeting hello   any Redis client, at any node
  leasehold top                          what is going on
  leasehold why 3                        why shard 3 is where it is
  leasehold transfer 3 2                 give the lease of shard 3 to node 2
  leasehold start --config node1.toml    one node of a real cluster
  leasehold bench --hosts 127.0.0.1:7001 -c 50 -P 16";

#[derive(Subcommand, Debug)]
enum Command {
    Dev(dev::DevArguments),
    Start(start::StartArguments),
    Inspect(inspect::InspectArguments),
    Settings(SettingsArguments),
    Top(top::TopArguments),
    Nodes(nodes::NodesArguments),
    Shards(shards::ShardsArguments),
    Why(why::WhyArguments),
    Decisions(decisions::DecisionsArguments),
    Plan(decisions::PlanArguments),
    Transfer(shards::TransferArguments),
    Pin(orders::PinArguments),
    Unpin(orders::UnpinArguments),
    Drain(nodes::DrainArguments),
    Freeze(orders::FreezeArguments),
    Policy(orders::PolicyArguments),
    Join(nodes::JoinArguments),
    Move(nodes::MoveArguments),
    Remove(nodes::RemoveArguments),
    Salvage(salvage::SalvageArguments),
    Load(load::LoadArguments),
    Bench(bench::BenchArguments),
    Record(record::RecordArguments),
    Simulate(simulate::SimulateArguments),
}

/// Explain the settings of a node.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  leasehold settings\n  leasehold settings support_duration")]
struct SettingsArguments {
    /// Only this setting.
    name: Option<String>,
    /// Write docs/configuration.md instead.
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
    /// Write docs/http-api.md instead.
    #[arg(long, conflicts_with_all = ["name", "markdown"])]
    http_api: bool,
}

/// Why a command failed: what happened, what it means, what to do.
#[derive(Debug)]
pub(crate) struct CommandError {
    text: String,
    code: u8,
}

impl CommandError {
    /// What was asked for was not done.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: exit::FAILED }
    }

    /// The configuration or the data directory must be changed first.
    pub(crate) fn configuration(error: &impl fmt::Display) -> Self {
        Self { text: error.to_string(), code: exit::CONFIGURATION }
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// Runs the command that the process was started with.
pub(crate) fn run() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Start(arguments) => start::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Nodes(arguments) => nodes::list(&arguments),
        Command::Shards(arguments) => shards::list(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Decisions(arguments) => decisions::run(&arguments),
        Command::Plan(arguments) => decisions::plan(&arguments),
        Command::Transfer(arguments) => shards::transfer(&arguments),
        Command::Pin(arguments) => orders::pin(&arguments),
        Command::Unpin(arguments) => orders::unpin(&arguments),
        Command::Drain(arguments) => nodes::drain(&arguments),
        Command::Freeze(arguments) => orders::freeze(&arguments),
        Command::Policy(arguments) => orders::policy(&arguments),
        Command::Join(arguments) => nodes::join(&arguments),
        Command::Move(arguments) => nodes::change_address(&arguments),
        Command::Remove(arguments) => nodes::remove(&arguments),
        Command::Salvage(arguments) => salvage::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Record(arguments) => record::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Settings(arguments) => settings(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is gone, the exit code must do.
            let _ = writeln!(io::stderr(), "leasehold: {}", error.text);
            ExitCode::from(error.code)
        }
    }
}

fn settings(arguments: &SettingsArguments) -> Result<(), CommandError> {
    if arguments.markdown {
        return print(config::markdown());
    }
    if arguments.http_api {
        return print(http::markdown());
    }
    let name = arguments.name.as_deref();
    let text = config::explain(name).ok_or_else(|| {
        let name = name.unwrap_or_default();
        CommandError::new(format!("there is no setting `{name}`; leave the name out to see all"))
    })?;
    print(text)
}

/// A shard's number as text; `7` or `s7`.
fn shard_number(text: &str) -> Result<String, CommandError> {
    numbered(text, 's', "shard", "leasehold shards")
}

/// A node's number as text; `2` or `n2`.
fn node_number(text: &str) -> Result<String, CommandError> {
    numbered(text, 'n', "node", "leasehold nodes")
}

fn numbered(text: &str, prefix: char, what: &str, list: &str) -> Result<String, CommandError> {
    let digits = text.strip_prefix(prefix).unwrap_or(text);
    digits.parse::<u32>().map(|number| number.to_string()).map_err(|_| {
        CommandError::new(format!(
            "`{text}` is not a number of a {what}; write 2 or {prefix}2, `{list}` lists them"
        ))
    })
}

/// A flag that rises when one of these signals comes, instead of the end of the process.
fn flag_of(signals: &[i32]) -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in signals {
        signal_hook::flag::register(*signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// Writes to standard output. That nobody reads on is the end of the command, not an error.
pub(crate) fn print(text: impl fmt::Display) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn the_help_lists_every_command_in_its_group() {
        let mut shown = CommandLine::command().render_help().to_string();
        shown.truncate(shown.find("Options:").expect("there are options"));
        for command in CommandLine::command().get_subcommands() {
            let line = format!("\n  {:<10} ", command.get_name());
            assert_eq!(shown.matches(&line).count(), 1, "{}", command.get_name());
        }
        let known: Vec<String> =
            CommandLine::command().get_subcommands().map(|it| it.get_name().into()).collect();
        let listed = shown.lines().filter_map(|line| line.strip_prefix("  "));
        for name in listed.filter_map(|line| line.split(' ').next()) {
            assert!(known.iter().any(|it| it == name), "{name}");
        }
    }

    #[test]
    fn numbers_may_have_their_letter() {
        assert_eq!(shard_number("s7").ok().as_deref(), Some("7"));
        assert_eq!(node_number("2").ok().as_deref(), Some("2"));
        for wrong in ["", "n", "nn2", "-1", "2 3", "99999999999", "x"] {
            assert!(node_number(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_subcommand_says_what_it_does() {
        for command in CommandLine::command().get_subcommands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{}", command.get_name());
        }
    }
}

//! The command line: what it accepts, and the errors it ends with.

mod bench;
mod connection;
mod dev;
mod dev_cluster;
mod inspect;
mod shards;
mod simulate;
mod start;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{config, exit};

/// A replicated, durable, linearizable key-value store that speaks the Redis Cluster protocol.
///
/// The right to serve a shard is a lease that moves between nodes, within milliseconds if planned
/// and within about a second if a node dies. Every acknowledged write is on disk on a majority.
#[derive(Parser, Debug)]
#[command(name = "leasehold", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  leasehold dev                          three nodes on this machine, to try things out
  redis-cli -p 7001 set greeting hello   any Redis client, at any node
  leasehold shards                       who holds what
  leasehold transfer 3 2                 give the lease of shard 3 to node 2
  leasehold start --config node1.toml    one node of a real cluster
  leasehold bench --hosts 127.0.0.1:7001 -c 50 -P 16";

#[derive(Subcommand, Debug)]
enum Command {
    Dev(dev::DevArguments),
    Start(start::StartArguments),
    Shards(shards::ShardsArguments),
    Transfer(shards::TransferArguments),
    Bench(bench::BenchArguments),
    Inspect(inspect::InspectArguments),
    Simulate(simulate::SimulateArguments),
    Settings(SettingsArguments),
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
        Command::Shards(arguments) => shards::list(&arguments),
        Command::Transfer(arguments) => shards::transfer(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
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
    let name = arguments.name.as_deref();
    let text = config::explain(name).ok_or_else(|| {
        let name = name.unwrap_or_default();
        CommandError::new(format!("there is no setting `{name}`; leave the name out to see all"))
    })?;
    print(text)
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
    fn every_subcommand_says_what_it_does() {
        for command in CommandLine::command().get_subcommands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{}", command.get_name());
        }
    }
}

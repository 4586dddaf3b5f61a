//! `leasehold bench`: the load driver, and the checker of what it has recorded.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CommandError, print};

/// Load a server or cluster that speaks the Redis protocol, and report what its users would see.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  leasehold bench --hosts 127.0.0.1:7001 -c 50 -P 16 --reads 0.9
  leasehold bench --hosts 127.0.0.1:7001 --cluster --pin --history run.jsonl
  leasehold bench check run.jsonl"
)]
pub(super) struct BenchArguments {
    #[command(flatten)]
    load: bench::Arguments,
    #[command(subcommand)]
    command: Option<BenchCommand>,
}

#[derive(Subcommand, Debug)]
enum BenchCommand {
    /// Judge a history that was recorded with --history.
    Check {
        /// The file.
        history: PathBuf,
    },
}

pub(super) fn run(arguments: &BenchArguments) -> Result<(), CommandError> {
    if let Some(BenchCommand::Check { history }) = &arguments.command {
        let report = bench::check(history).map_err(|error| failed(&error))?;
        print(format_args!("{report}\n"))?;
        return if report.is_clean() {
            Ok(())
        } else {
            Err(CommandError::new("the history shows what no correct store could have answered"))
        };
    }
    let options = arguments.load.options().map_err(|error| failed(&error))?;
    let report = bench::run(options).map_err(|error| failed(&error))?;
    if arguments.load.json {
        print(format_args!("{}\n", report.to_json()))
    } else {
        print(format_args!("{report}\n"))
    }
}

fn failed(error: &bench::Error) -> CommandError {
    CommandError::new(error.to_string())
}

//! The load driver on its own, without a server around it.
//!
//! `cargo run --release -p bench --example load -- --help`, or `load check FILE`.

use bench::{Arguments, Error, check, run};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a history.
    Check {
        /// The history's file.
        file: PathBuf,
    },
}

fn text(line: &CommandLine) -> Result<(String, bool), Error> {
    if let Some(Command::Check { file }) = &line.command {
        let checked = check(file)?;
        return Ok((checked.to_string(), checked.is_clean()));
    }
    let report = run(line.arguments.options()?)?;
    let text = if line.arguments.json { report.to_json() + "\n" } else { report.to_string() };
    Ok((text, true))
}

fn main() -> ExitCode {
    let (text, is_good) = match text(&CommandLine::parse()) {
        Ok(result) => result,
        Err(error) => (format!("error: {error}\n"), false),
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

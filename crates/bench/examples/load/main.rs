//! The load driver on its own, without a server around it, and the yardsticks beside it.
//!
//! `cargo run --release -p bench --example load -- --help`, or `load check FILE`.

use bench::{Arguments, Checked, Error, EtcdLoad, FloorOptions, check, etcd, floor, run};
use clap::{Args, Parser, Subcommand};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true, args_override_self = true)]
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
        /// Report as one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Load etcd with writes.
    Etcd {
        /// Members, separated by commas; best the leader alone.
        #[arg(long, value_delimiter = ',', required = true)]
        hosts: Vec<SocketAddr>,
        /// Writes in flight.
        #[arg(short = 'c', long, default_value_t = 50)]
        clients: usize,
        /// Connections that carry them, as the streams of a gRPC client share few.
        #[arg(long, default_value_t = 10)]
        connections: usize,
        /// Number of keys.
        #[arg(long, default_value_t = 100_000)]
        keys: u64,
        /// Length of a value in bytes.
        #[arg(short = 'd', long, default_value_t = 100)]
        value_size: usize,
        /// Process ids of the members, separated by commas.
        #[arg(long, value_delimiter = ',')]
        pids: Vec<u32>,
        #[command(flatten)]
        times: Times,
    },
    /// Measure the floor under a write that a majority has on disk.
    Floor {
        /// A folder on the disk in question.
        #[arg(long)]
        dir: PathBuf,
        /// Length of an entry in bytes.
        #[arg(long, default_value_t = 128)]
        size: usize,
        #[command(flatten)]
        times: Times,
    },
}

#[derive(Args)]
struct Times {
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How long to run before measuring, in seconds.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
}

impl Times {
    /// Warm-up and measurement.
    fn durations(&self) -> Result<(Duration, Duration), Error> {
        let duration = |value: f64| {
            let duration = Duration::try_from_secs_f64(value);
            duration.map_err(|_| Error::Refused(format!("{value} is no time in seconds")))
        };
        Ok((duration(self.warm_up)?, duration(self.seconds)?))
    }
}

fn in_json(checked: &Checked) -> String {
    let numbers = json!({
        "operations": checked.operations,
        "acknowledged": checked.durability.checked + checked.durability.unchecked,
        "checked": checked.durability.checked,
        "lost": checked.durability.lost.len(),
        "violations": checked.violations.len(),
        "undecided": checked.undecided.len(),
    });
    format!("{numbers}\n")
}

fn text(line: CommandLine) -> Result<(String, bool), Error> {
    match line.command {
        Some(Command::Check { file, json }) => {
            let checked = check(&file)?;
            let text = if json { in_json(&checked) } else { checked.to_string() };
            Ok((text, checked.is_clean()))
        }
        Some(Command::Etcd { hosts, clients, connections, keys, value_size, pids, times }) => {
            let (warm_up, duration) = times.durations()?;
            let report = etcd(&EtcdLoad {
                addresses: hosts,
                clients,
                connections: connections.min(clients),
                key_count: keys,
                value_bytes: value_size,
                warm_up,
                duration,
                pids,
            })?;
            Ok((report.to_json() + "\n", true))
        }
        Some(Command::Floor { dir, size, times }) => {
            let (warm_up, duration) = times.durations()?;
            let report = floor(&FloorOptions { dir, entry_bytes: size, warm_up, duration })?;
            Ok((report.to_json() + "\n", true))
        }
        None => {
            let report = run(line.arguments.options()?)?;
            let json = line.arguments.json;
            Ok((if json { report.to_json() + "\n" } else { report.to_string() }, true))
        }
    }
}

fn main() -> ExitCode {
    let (text, is_good) = match text(CommandLine::parse()) {
        Ok(result) => result,
        Err(error) => (format!("error: {error}\n"), false),
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

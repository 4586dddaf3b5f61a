//! `leasehold start`: one node.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IsTerminal};
use std::panic;
use std::path::PathBuf;

use clap::Args;
use cluster::{Node, Settings};
use rustix::process::{Pid, Signal, getppid};
use tracing::level_filters::LevelFilter;
use wal::OsDisk;

use super::CommandError;
use crate::config::{Config, Sources};
use crate::event_loop::{self, Ending, EventLoop, Parts};
use crate::log_lines::LogLines;
use crate::log_reader::LogReader;
use crate::log_thread::LogThread;
use crate::{clock, data_directory, descriptors, http, log_lines, process_stats};

/// Run one node of a cluster.
///
/// Settings come from a file, from LEASEHOLD_... variables and from --set; later ones win.
/// `leasehold settings` explains them all. Without any, this is a cluster of one node that
/// serves this machine at port 7001, with its data in ./leasehold-data.
///
/// SIGTERM or Ctrl-C hands the node's leases over before it stops; a second one stops at once.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold start
  leasehold start --config node1.toml
  leasehold start --config node1.toml --set log_level=debug
  leasehold start --node 2 --members 1=10.0.0.1:7001,2=10.0.0.2:7001,3=10.0.0.3:7001 \\
      --dir /var/lib/leasehold --set listen=10.0.0.2 --set peer_listen=10.0.0.2
  LEASEHOLD_NODE=2 leasehold start --config cluster.toml")]
pub(super) struct StartArguments {
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// This node's number: short for --set node=N, and so for the following.
    #[arg(long, value_name = "N")]
    node: Option<String>,
    /// The nodes of the cluster.
    #[arg(long, value_name = "LIST")]
    members: Option<String>,
    /// What the node is for, data or manager, as `members` has it.
    #[arg(long)]
    role: Option<String>,
    /// The data directory.
    #[arg(long)]
    dir: Option<String>,
    /// Stop when the process with this number, which must be the parent, ends.
    #[arg(long, value_name = "PID", hide = true)]
    end_with_parent: Option<u32>,
}

impl StartArguments {
    /// All settings of the command line as `NAME=VALUE`.
    fn settings(&self) -> Vec<String> {
        let short = [
            ("node", &self.node),
            ("members", &self.members),
            ("role", &self.role),
            ("dir", &self.dir),
        ];
        let short = short
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")));
        self.set.iter().cloned().chain(short).collect()
    }
}

pub(super) fn run(arguments: &StartArguments) -> Result<(), CommandError> {
    if let Some(parent) = arguments.end_with_parent {
        end_with_parent(parent)?;
    }
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let sources =
        Sources { file: arguments.config.as_deref(), environment, flags: arguments.settings() };
    let config = Config::load(&sources).map_err(|error| CommandError::configuration(&error))?;
    write_log_lines(&config)?;
    log_panics();
    let served = serve(&config);
    log_lines::finish();
    served
}

fn serve(config: &Config) -> Result<(), CommandError> {
    let mut settings = config.settings();
    settings.memory = process_stats::memory_limit(settings.memory);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = settings.node.0,
        cluster = settings.cluster,
        dir = %config.dir.display(),
        memory = settings.memory,
        "Leasehold is starting"
    );
    limit_clients(&mut settings);
    // First the directory: a second process on it is told so, and not that its ports are in use.
    let mut disk = claim(config)?;
    http::start(config).map_err(|error| CommandError::configuration(&error))?;
    while run_node(config, settings.clone(), disk)? == Ending::BeginAnew {
        tracing::info!("starting anew on the same directory");
        disk = claim(config)?;
    }
    Ok(())
}

fn claim(config: &Config) -> Result<OsDisk, CommandError> {
    data_directory::claim(&config.dir).map_err(|error| CommandError::configuration(&error))
}

/// Runs one life of the node.
fn run_node(config: &Config, settings: Settings, disk: OsDisk) -> Result<Ending, CommandError> {
    let opened = data_directory::open(disk.clone(), &config.dir, &settings, random())
        .map_err(|error| CommandError::configuration(&error))?;
    let start = opened.recovered.start();
    let life = (start.incarnation, start.life);
    let (poll, waker) = event_loop::poller()?;
    let log = LogThread::start(opened.log, waker.clone())?;
    let reader = LogReader::start(disk, waker.clone())?;
    let node = Node::new(settings, opened.recovered, random(), clock::now()).map_err(|error| {
        CommandError::configuration(&format_args!("the log can't be used: {error:?}"))
    })?;
    let event_loop = EventLoop::new(config, Parts { node, life, log, reader, poll, waker })
        .map_err(|error| CommandError::configuration(&error))?;
    Ok(event_loop.run()?)
}

/// Log lines go to standard error, as text or as JSON.
fn write_log_lines(config: &Config) -> io::Result<()> {
    let level = config.log_level.parse().unwrap_or(LevelFilter::INFO);
    let lines = tracing_subscriber::fmt()
        .with_writer(LogLines::start()?)
        .with_max_level(level)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    if config.log_format == "json" {
        lines.json().flatten_event(true).init();
    } else {
        lines.init();
    }
    Ok(())
}

/// Stops the process along with its parent, however that ends.
fn end_with_parent(parent: u32) -> Result<(), CommandError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(io::Error::from)?;
    // The parent may have ended before the line above.
    let expected = i32::try_from(parent).ok().and_then(Pid::from_raw);
    if getppid() == expected {
        Ok(())
    } else {
        Err(CommandError::new(format!("process {parent}, which started this node, has ended")))
    }
}

/// Allows as many open files as the system does, and no more clients than that is enough for.
fn limit_clients(settings: &mut Settings) {
    let granted = descriptors::raise();
    let shares = descriptors::share_out(granted, settings.members.len() as u64);
    let most = usize::try_from(shares.clients).unwrap_or(usize::MAX);
    if settings.clients > most {
        tracing::warn!(
            clients = settings.clients,
            taken = most,
            granted,
            "the system allows fewer open files than `clients` needs beside the log and the other \
             nodes: raise it (ulimit -n, LimitNOFILE) or lower the setting"
        );
    }
    settings.clients_most = most;
    settings.clients = settings.clients.min(most);
}

/// A panic is a log line like any other, and the last one.
fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            tracing::error!("{info}\n{backtrace}");
        } else {
            tracing::error!("{info}");
        }
        log_lines::finish();
    }));
}

/// A number that nobody outside can guess. The standard library takes its keys from the system.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

//! The processes of a development cluster, and the files that they leave.
//!
//! Each node is started with a settings file that `leasehold start` can be given by hand, too.
//! Nodes end when this process does, however it ends: the system sends them SIGTERM.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use cluster::{Member, Role};
use rustix::process::{Pid, Signal, kill_process};
use types::{Monotonic, NodeId};
use wal::OsDisk;

use super::dev::DevArguments;
use super::{CommandError, dev_members};
use crate::clock;
use crate::config::{Config, Sources};

/// How long nodes may take to stop before they are killed.
const STOP_TIME: Duration = Duration::from_secs(8);
/// A node that ends sooner after its start than this would only end again.
const LIFE_MIN: Duration = Duration::from_secs(1);
/// What is added to a node's port to get that of its HTTP API.
pub(super) const HTTP_PORT_STEP: u16 = 1000;
/// Lines of a node's log that are repeated when it ends.
const LINES_SHOWN: usize = 4;

/// One node's process and files.
pub(super) struct DevNode {
    /// The node's number, from 1.
    pub(super) number: u32,
    port: u16,
    dir: PathBuf,
    child: Option<Child>,
    started: Monotonic,
}

/// A node's process that has ended without being asked to.
pub(super) struct Ended {
    /// The node's place in [`DevCluster::nodes`].
    pub(super) node: usize,
    /// Whether it ran long enough for another start to make sense.
    pub(super) may_restart: bool,
    number: u32,
    status: ExitStatus,
    config: PathBuf,
    last_lines: String,
}

/// All nodes.
pub(super) struct DevCluster {
    /// Those that are started here, in the order of their numbers.
    pub(super) nodes: Vec<DevNode>,
    /// All that belong to the cluster, as it said last.
    members: Vec<Member>,
    /// The numbers of those that were begun here, and have been removed from the cluster since.
    pub(super) removed: Vec<u32>,
    arguments: DevArguments,
    dir: PathBuf,
    /// Keeps a second `leasehold dev` out of the directory.
    _lock: File,
}

impl DevCluster {
    /// Writes the nodes' settings.
    ///
    /// # Errors
    /// If the directory holds a cluster of another size, or can't be written to.
    pub(super) fn prepare(arguments: &DevArguments) -> Result<Self, CommandError> {
        fs::create_dir_all(&arguments.dir)?;
        let dir = arguments.dir.canonicalize()?;
        let lock = lock(&dir)?;
        let found = existing_nodes(&dir)?;
        if arguments.fresh {
            remove_nodes(&dir, &found)?;
            remove_joined(&dir)?;
            dev_members::forget(&dir)?;
        } else if !found.is_empty() && found.len() != arguments.all_nodes() as usize {
            return Err(CommandError::new(format!(
                "{} holds a cluster of {} nodes, not of {}.\n\
                 To go on with it: --nodes {}, less those of --managers. To begin anew: \
                 --fresh. To keep it and have \
                 another: --dir OTHER.",
                dir.display(),
                found.len(),
                arguments.all_nodes(),
                found.len()
            )));
        }
        let node = |number: u32| DevNode {
            number,
            // The number of nodes is bounded far below the ports above the first.
            port: arguments.port + (number - 1) as u16,
            dir: dir.clone(),
            child: None,
            started: Monotonic::default(),
        };
        let first = arguments.first_members();
        let members = dev_members::read(&dir)?.map_or_else(
            || first.clone(),
            // The ports of those that are started here are what the arguments say now.
            |known| {
                let ours = |it: &Member| first.iter().find(|first| first.node == it.node).cloned();
                known.iter().map(|it| ours(it).unwrap_or_else(|| it.clone())).collect()
            },
        );
        let is_member = |number: &u32| members.iter().any(|it| it.node.0 == *number);
        let (there, removed): (Vec<u32>, Vec<u32>) =
            (1..=arguments.all_nodes()).partition(is_member);
        let nodes: Vec<DevNode> = there.into_iter().map(node).collect();
        let arguments = arguments.clone();
        let cluster = Self { nodes, members, removed, arguments, dir, _lock: lock };
        cluster.write_settings()?;
        Ok(cluster)
    }

    /// Writes the settings of all nodes that are started here.
    fn write_settings(&self) -> Result<(), CommandError> {
        for node in &self.nodes {
            fs::write(node.config_path(), settings_file(&self.arguments, &self.members, node)?)?;
            let sources = Sources { file: Some(&node.config_path()), ..Sources::default() };
            Config::load(&sources).map_err(|error| CommandError::configuration(&error))?;
        }
        Ok(())
    }

    /// Asks a node who belongs to the cluster, and writes it down if that has changed: nodes come
    /// and go while it runs.
    ///
    /// # Errors
    /// If the files can't be written.
    pub(super) fn note_members(&mut self) -> Result<(), CommandError> {
        let running = self.nodes.iter().find(|node| node.child.is_some());
        let said = running.and_then(|node| dev_members::ask(&node.address()));
        let Some(members) = said.filter(|said| *said != self.members) else { return Ok(()) };
        dev_members::write(&self.dir, &members)?;
        self.members = members;
        for node in &self.nodes {
            // What was removed keeps its file as it is: without itself it would be none.
            if self.members.iter().any(|it| it.node.0 == node.number) {
                let text = settings_file(&self.arguments, &self.members, node)?;
                fs::write(node.config_path(), text)?;
            }
        }
        Ok(())
    }

    /// The members that were started by hand, and where `leasehold dev` would say to put them.
    pub(super) fn joined(&self) -> impl Iterator<Item = (&Member, PathBuf)> {
        let by_hand = |it: &&Member| it.node.0 > self.arguments.all_nodes();
        let dir = |it: &Member| self.dir.join(format!("joined-{}", it.node.0));
        self.members.iter().filter(by_hand).map(move |it| (it, dir(it)))
    }

    /// How to start a member by hand.
    pub(super) fn start_command(&self, member: &Member, dir: &Path) -> String {
        let seeds: Vec<String> = self.members.iter().take(2).map(ToString::to_string).collect();
        format!(
            "leasehold start --node {} --dir {} --set cluster=leasehold-dev --members {member},{}",
            member.node.0,
            dir.display(),
            seeds.join(",")
        )
    }

    /// Starts every node.
    pub(super) fn start_all(&mut self) -> Result<(), CommandError> {
        (0..self.nodes.len()).try_for_each(|node| self.start(node))
    }

    /// Starts a node's process.
    pub(super) fn start(&mut self, node: usize) -> Result<(), CommandError> {
        let node = &mut self.nodes[node];
        let log = File::options().create(true).append(true).open(node.log_path())?;
        let child = Command::new(std::env::current_exe()?)
            .arg("start")
            .arg("--config")
            .arg(node.config_path())
            .arg("--end-with-parent")
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for this process alone; it asks the nodes to stop, once.
            .process_group(0)
            .spawn()?;
        node.child = Some(child);
        node.started = clock::monotonic();
        Ok(())
    }

    /// How many nodes are running.
    pub(super) fn running(&self) -> usize {
        self.nodes.iter().filter(|node| node.child.is_some()).count()
    }

    /// The nodes whose processes have ended since the last call.
    pub(super) fn take_ended(&mut self) -> Result<Vec<Ended>, CommandError> {
        let mut ended = Vec::new();
        for (place, node) in self.nodes.iter_mut().enumerate() {
            let Some(child) = &mut node.child else { continue };
            let Some(status) = child.try_wait()? else { continue };
            node.child = None;
            ended.push(Ended {
                node: place,
                may_restart: clock::monotonic().since(node.started) >= LIFE_MIN,
                number: node.number,
                status,
                config: node.config_path(),
                last_lines: last_lines(&node.log_path()),
            });
        }
        Ok(ended)
    }

    /// Asks all nodes to stop, and ends those that don't.
    pub(super) fn stop_all(&mut self) {
        for node in &self.nodes {
            node.signal(Signal::TERM);
        }
        let deadline = clock::monotonic() + STOP_TIME;
        while self.running() > 0 && clock::monotonic() < deadline {
            for node in &mut self.nodes {
                let ended =
                    node.child.as_mut().map(|child| child.try_wait().is_ok_and(|it| it.is_some()));
                if ended == Some(true) {
                    node.child = None;
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // Both fail only if the process has just ended by itself.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl DevNode {
    /// Where clients reach it.
    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process, if it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where its log lines are.
    pub(super) fn log_path(&self) -> PathBuf {
        self.dir.join(format!("node-{}.log", self.number))
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join(format!("node-{}.toml", self.number))
    }

    fn data_path(&self) -> PathBuf {
        self.dir.join(format!("node-{}", self.number))
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It fails only if the process has just ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

impl DevArguments {
    /// Nodes with data and managers, which come behind them.
    fn all_nodes(&self) -> u32 {
        self.nodes + self.managers
    }

    /// The nodes that a new cluster has.
    fn first_members(&self) -> Vec<Member> {
        let member = |number: u32| {
            // The number of nodes is bounded far below the ports above the first.
            let port = self.port + (number - 1) as u16;
            let peer_port = port + cluster::PEER_PORT_STEP;
            let member = Member::new(NodeId(number), "127.0.0.1", port, peer_port);
            if number <= self.nodes {
                return member;
            }
            Member { name: format!("m{number}"), role: Role::Manager, ..member }
        };
        (1..=self.all_nodes()).map(member).collect()
    }
}

/// Takes the directory for this process. The system lets go of it when the process ends.
fn lock(dir: &Path) -> Result<File, CommandError> {
    let path = dir.join("dev.lock");
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            file.read_to_string(&mut process)?;
            return Err(CommandError::new(format!(
                "another `leasehold dev` runs in {} (process {}).\n\
                 To look at its cluster: leasehold nodes. To have a second one: --dir OTHER and \
                 --port OTHER. Or end the first one with Ctrl-C, and try again.",
                dir.display(),
                process.trim()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

impl Ended {
    /// What has happened, for the user.
    pub(super) fn describe(&self, restart: bool) -> String {
        let Self { number, status, config, last_lines, .. } = self;
        let how = match (status.signal(), status.code()) {
            (Some(signal), _) => format!("was ended by signal {signal}"),
            (None, Some(code)) => format!("ended with code {code}"),
            (None, None) => String::from("ended"),
        };
        let next = if restart && self.may_restart {
            String::from("Starting it again.")
        } else {
            format!(
                "Its shards get holders on the other nodes, if these are a majority. To start \
                 it again:\n  leasehold start --config {} &",
                config.display()
            )
        };
        format!("\nNode {number} {how}. Its last log lines:\n{last_lines}{next}\n")
    }
}

/// The numbers of the nodes that earlier runs have left in `dir`.
fn existing_nodes(dir: &Path) -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| {
            // A node that lost its directory, or was removed, still has its settings.
            let digits = name.strip_prefix("node-")?;
            let digits = digits.strip_suffix(".toml").unwrap_or(digits);
            digits.parse::<u32>().ok().filter(|number| number.to_string() == digits)
        });
        found.extend(number);
    }
    Ok(found)
}

/// Removes what earlier runs have left, and nothing else.
fn remove_nodes(dir: &Path, found: &BTreeSet<u32>) -> io::Result<()> {
    for number in found {
        let data = dir.join(format!("node-{number}"));
        if data.exists() {
            fs::remove_dir_all(data)?;
        }
        for ending in ["toml", "log"] {
            let path = dir.join(format!("node-{number}.{ending}"));
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}

/// Removes the directories of nodes that have joined by hand, as `leasehold dev --help` says it.
fn remove_joined(dir: &Path) -> Result<(), CommandError> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("joined-"));
        if number.and_then(|number| number.parse::<u32>().ok()).is_none() {
            continue;
        }
        // A process that still runs there would go on in what is no directory any more.
        let disk =
            OsDisk::open(&entry.path()).map_err(|error| CommandError::new(error.to_string()));
        drop(disk?);
        fs::remove_dir_all(entry.path())?;
    }
    Ok(())
}

/// A node's settings as `leasehold start --config` reads them.
fn settings_file(
    arguments: &DevArguments,
    members: &[Member],
    node: &DevNode,
) -> Result<String, CommandError> {
    let dir = node.data_path();
    let dir = dir.to_str().filter(|dir| !dir.contains(|it: char| it == '\'' || it.is_control()));
    let dir = dir.ok_or_else(|| {
        CommandError::new("the path of --dir has quotes or characters that are not text")
    })?;
    let mut lines = vec![
        String::from("# Written by `leasehold dev`. Run this node alone with:"),
        String::from("# leasehold start --config THIS-FILE"),
        format!("node = {}", node.number),
        String::from("cluster = 'leasehold-dev'"),
        format!("dir = '{dir}'"),
        format!("shards = {}", arguments.shards),
        String::from("members = ["),
    ];
    lines.extend(members.iter().map(|member| format!("    '{member}',")));
    lines.push(String::from("]"));
    if !arguments.set.iter().any(|setting| setting.starts_with("http_listen=")) {
        lines.push(format!("http_listen = '127.0.0.1:{}'", node.port + HTTP_PORT_STEP));
    }
    for setting in &arguments.set {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        if value.contains(|it: char| it == '\'' || it.is_control()) {
            return Err(CommandError::new(format!("the value of `{name}` has quotes in it")));
        }
        lines.push(format!("{name} = '{value}'"));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

fn last_lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].iter();
    shown.map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        dev: DevArguments,
    }

    fn arguments(words: &[&str]) -> Result<DevArguments, clap::Error> {
        let line = std::iter::once("dev").chain(words.iter().copied());
        Line::try_parse_from(line).map(|line| line.dev)
    }

    fn nodes(arguments: &DevArguments) -> Vec<DevNode> {
        let node = |number: u32| DevNode {
            number,
            port: arguments.port + (number - 1) as u16,
            dir: PathBuf::from("/data"),
            child: None,
            started: Monotonic::default(),
        };
        (1..=arguments.all_nodes()).map(node).collect()
    }

    #[test]
    fn the_settings_of_every_node_are_valid_and_list_all_nodes() {
        let arguments = arguments(&["--nodes", "5", "--port", "7100", "--set", "log_level=debug"])
            .expect("the arguments are valid");
        let nodes = nodes(&arguments);
        for node in &nodes {
            let text = settings_file(&arguments, &arguments.first_members(), node)
                .expect("the path is plain");
            let table: toml::Table = text.parse().expect("the file is TOML");
            assert_eq!(table["node"].as_integer(), Some(i64::from(node.number)));
            assert_eq!(table["members"].as_array().map(Vec::len), Some(5));
            assert_eq!(table["log_level"].as_str(), Some("debug"));
            let http = format!("127.0.0.1:{}", node.port + 1000);
            assert_eq!(table["http_listen"].as_str(), Some(http.as_str()));
        }
        assert_eq!(nodes[4].address(), "127.0.0.1:7104");
    }

    #[test]
    fn managers_come_behind_the_nodes_with_data() {
        let arguments = arguments(&["--managers", "2"]).expect("the arguments are valid");
        let nodes = nodes(&arguments);
        let text = settings_file(&arguments, &arguments.first_members(), &nodes[4])
            .expect("the path is plain");
        let table: toml::Table = text.parse().expect("the file is TOML");
        let members = table["members"].as_array().expect("it is a list");
        let roles: Vec<bool> =
            members.iter().map(|it| it.as_str().unwrap_or("").contains("role=manager")).collect();
        assert_eq!(roles, [false, false, false, true, true]);
    }

    #[test]
    fn arguments_out_of_range_are_refused() {
        for words in [
            ["--nodes", "0"],
            ["--nodes", "65"],
            ["--managers", "6"],
            ["--port", "0"],
            ["--port", "60000"],
            ["--shards", "0"],
            ["--shards", "1025"],
        ] {
            assert!(arguments(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_value_with_quotes_cannot_smuggle_in_another_setting() {
        let arguments = arguments(&["--set", "cluster=a'\nnode='2"]).expect("the words are valid");
        let nodes = nodes(&arguments);
        assert!(settings_file(&arguments, &arguments.first_members(), &nodes[0]).is_err());
    }
}

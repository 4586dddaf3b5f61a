//! The configuration of one node: from a file, the environment and the command line, in this
//! order; later ones win. Every value is checked before anything is touched, and an error says
//! which setting, where it was set, and what it must be.

mod document;
mod table;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::{Member, Role, Settings};
use types::NodeId;

pub(crate) use document::{explain, markdown};
use table::SETTINGS;

/// Most managers of a cluster: the replicas of one shard, and more of them only make it slower.
const MANAGERS_MAX: usize = 5;

/// Everything an operator may choose about one node, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    node: u64,
    cluster: String,
    members: Vec<Member>,
    role: &'static str,
    shards: u64,
    replicas: u64,
    found: bool,
    managed: bool,
    /// Where clients connect to.
    pub(crate) listen: IpAddr,
    /// Where the other nodes connect to.
    pub(crate) peer_listen: IpAddr,
    password: String,
    /// Whether clients of other machines are refused while there is no password.
    pub(crate) protected_mode: bool,
    /// Where the HTTP API is served.
    pub(crate) http_listen: Option<SocketAddr>,
    redirect: &'static str,
    beat_interval: Duration,
    support_duration: Duration,
    clock_drift_permille: u64,
    clock_gap: Duration,
    clock_skew: Duration,
    park_time: Duration,
    request_time: Duration,
    transfer_time: Duration,
    campaign_step: Duration,
    clients: u64,
    argument_bytes: u64,
    /// Longest request.
    pub(crate) request_bytes: u64,
    session_output_bytes: u64,
    shard_queue_bytes: u64,
    /// After how much silence a client is disconnected; zero: never.
    pub(crate) client_idle_time: Duration,
    /// After how long without password a client is disconnected; zero: never.
    pub(crate) password_time: Duration,
    /// Most bytes that wait for one peer.
    pub(crate) peer_output_bytes: u64,
    /// The data directory.
    pub(crate) dir: PathBuf,
    segment_bytes: u64,
    log_bytes: u64,
    /// Free disk space below which writes are refused.
    disk_reserve: u64,
    memory: u64,
    /// CPU that the node may take, in thousandths of a core; 0: what there is.
    pub(crate) capacity_cpu: u64,
    /// Memory that the node may fill, in bytes; 0: what there is.
    pub(crate) capacity_memory: u64,
    /// What the network carries, in bytes per second.
    pub(crate) capacity_network: u64,
    /// What the log takes, in bytes per second.
    pub(crate) capacity_log: u64,
    /// Bound on an orderly stop.
    pub(crate) stop_time: Duration,
    /// `text` or `json`.
    pub(crate) log_format: &'static str,
    /// The lightest log line that is written.
    pub(crate) log_level: &'static str,
}

impl Default for Config {
    /// A cluster of one node that serves this machine.
    fn default() -> Self {
        let member = Member::new(NodeId(1), "127.0.0.1", 7001, 17001);
        let core = Settings::new(NodeId(1), vec![member]);
        Self {
            node: 1,
            cluster: core.cluster,
            members: core.members,
            role: value::ROLES[0],
            shards: u64::from(core.shards),
            replicas: core.replicas as u64,
            found: core.found,
            managed: core.managed,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            peer_listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            password: core.password,
            protected_mode: true,
            http_listen: None,
            redirect: value::REDIRECTS[core.redirect as usize],
            beat_interval: core.beat_interval,
            support_duration: core.support_duration,
            clock_drift_permille: u64::from(core.clock_drift_permille),
            clock_gap: core.clock_gap,
            clock_skew: core.clock_skew,
            park_time: core.park_time,
            request_time: core.request_time,
            transfer_time: core.transfer_time,
            campaign_step: core.campaign_step,
            clients: core.clients as u64,
            argument_bytes: core.argument_bytes as u64,
            request_bytes: 128 << 20,
            session_output_bytes: core.session_output_bytes as u64,
            shard_queue_bytes: core.shard_queue_bytes as u64,
            client_idle_time: Duration::ZERO,
            password_time: Duration::from_secs(10),
            peer_output_bytes: 256 << 20,
            dir: PathBuf::from("leasehold-data"),
            segment_bytes: core.segment_bytes,
            log_bytes: core.log_bytes,
            disk_reserve: core.disk_reserve,
            memory: core.memory,
            capacity_cpu: 0,
            capacity_memory: 0,
            capacity_network: 1_250_000_000,
            capacity_log: 200_000_000,
            stop_time: Duration::from_secs(5),
            log_format: "text",
            log_level: "info",
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where settings come from.
#[derive(Debug, Default)]
pub(crate) struct Sources<'a> {
    /// A TOML file.
    pub(crate) file: Option<&'a Path>,
    /// The environment's variables.
    pub(crate) environment: BTreeMap<String, String>,
    /// `NAME=VALUE` from the command line, in order.
    pub(crate) flags: Vec<String>,
}

impl Config {
    /// Reads all sources and checks the whole.
    ///
    /// # Errors
    /// The first thing that is wrong, in words for the operator.
    pub(crate) fn load(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some(path) = sources.file {
            let text = fs::read_to_string(path).map_err(|error| {
                ConfigError(format!("cannot read the configuration {}: {error}", path.display()))
            })?;
            config.apply_file(&text, &path.display().to_string())?;
        }
        for setting in SETTINGS {
            let variable = setting.variable();
            if let Some(text) = sources.environment.get(&variable) {
                config.set(setting.name, text, &format!("the variable {variable}"))?;
            }
        }
        for flag in &sources.flags {
            let (name, text) = flag.split_once('=').ok_or_else(|| {
                ConfigError(format!("`--set {flag}` has no `=`; write --set NAME=VALUE"))
            })?;
            config.set(name.trim(), text, "the command line")?;
        }
        config.check()?;
        Ok(config)
    }

    fn apply_file(&mut self, text: &str, origin: &str) -> Result<(), ConfigError> {
        let table: toml::Table = text
            .parse()
            .map_err(|error| ConfigError(format!("{origin} is not valid TOML:\n{error}")))?;
        for (name, value) in &table {
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Array(items) => join_strings(items).ok_or_else(|| {
                    ConfigError(format!(
                        "the setting `{name}` in {origin} is not a list of strings"
                    ))
                })?,
                toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
                    let known = find(name, origin).map(|setting| setting.name)?;
                    return Err(ConfigError(format!(
                        "the setting `{known}` in {origin} must be a string, a whole number, \
                         true or false, or a list of strings"
                    )));
                }
            };
            self.set(name, &text, origin)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
        let setting = find(name, origin)?;
        (setting.field)(self).set(text).map_err(|expected| {
            let shown = if name == "password" { "(hidden)" } else { text };
            ConfigError(format!(
                "the setting `{name}` is `{shown}` (from {origin}), but it must be {expected}.\n\
                 What it does: {}",
                setting.doc
            ))
        })
    }

    /// What must hold between settings.
    fn check(&self) -> Result<(), ConfigError> {
        let own = self.members.iter().find(|member| u64::from(member.node.0) == self.node);
        let Some(own) = own else {
            let known = self.members.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(ConfigError(format!(
                "the setting `node` is {}, but `members` has no such node: {known}.\n\
                 To fix it: give this node a number of the list, or add it to `members` on every \
                 node.",
                self.node
            )));
        };
        self.check_roles(own)?;
        let reachable = own.host.parse::<IpAddr>().is_ok_and(|host| !host.is_loopback());
        for (name, address) in [("listen", self.listen), ("peer_listen", self.peer_listen)] {
            if reachable && address.is_loopback() {
                return Err(ConfigError(format!(
                    "the setting `{name}` is {address}, which only this machine can reach, but \
                     `members` says that this node is at {}.\n\
                     To fix it: set {name} to {} or to 0.0.0.0.",
                    own.host, own.host
                )));
            }
        }
        if self.support_duration < self.beat_interval * 3 {
            return Err(ConfigError(format!(
                "the setting `support_duration` is {}, less than 3 times `beat_interval` ({}): \
                 a single late heartbeat would cost all leases.\n\
                 To fix it: raise support_duration or lower beat_interval.",
                value::show_duration(self.support_duration),
                value::show_duration(self.beat_interval)
            )));
        }
        if self.request_bytes < self.argument_bytes + (1 << 20) {
            return Err(ConfigError(format!(
                "the setting `request_bytes` is {}, but it must be at least `argument_bytes` \
                 ({}) + 1MiB.",
                value::show_bytes(self.request_bytes),
                value::show_bytes(self.argument_bytes)
            )));
        }
        if self.peer_output_bytes < 2 * self.argument_bytes {
            return Err(ConfigError(format!(
                "the setting `peer_output_bytes` is {}, but it must be at least twice \
                 `argument_bytes` ({}).",
                value::show_bytes(self.peer_output_bytes),
                value::show_bytes(self.argument_bytes)
            )));
        }
        if self.log_bytes < 4 * self.segment_bytes {
            return Err(ConfigError(format!(
                "the setting `log_bytes` is {}, but it must be at least 4 times `segment_bytes` \
                 ({}).",
                value::show_bytes(self.log_bytes),
                value::show_bytes(self.segment_bytes)
            )));
        }
        Ok(())
    }

    /// What the nodes are for. All nodes of a new cluster must agree about it, or they would give
    /// its shards different first replicas; so a role is written in `members` or nowhere.
    fn check_roles(&self, own: &Member) -> Result<(), ConfigError> {
        if let Some(role) = value::role(self.role).filter(|role| *role != own.role) {
            let stated = Member { role, ..own.clone() };
            return Err(ConfigError(format!(
                "the setting `role` is {}, but by `members` this node is a {} node.\n\
                 To fix it: write this node as `{stated}` in `members`, on every node if the \
                 cluster is new, and in its LEASEHOLD JOIN if it is to join one; or leave `role` \
                 out.",
                self.role,
                own.role.name()
            )));
        }
        let managers = self.managers();
        if managers == self.members.len() {
            return Err(ConfigError(String::from(
                "every node in `members` has ;role=manager, and managers hold no data: there \
                 would be nowhere to keep it.\n\
                 To fix it: take ;role=manager away from at least one of them, on every node.",
            )));
        }
        if managers > MANAGERS_MAX {
            return Err(ConfigError(format!(
                "{managers} nodes in `members` have ;role=manager, but at most {MANAGERS_MAX} can \
                 share the manager's memory: 3 survive the loss of one, 5 of two.\n\
                 To fix it: take ;role=manager away from the others, on every node."
            )));
        }
        Ok(())
    }

    fn managers(&self) -> usize {
        self.members.iter().filter(|member| member.role == Role::Manager).count()
    }

    /// The core's part of the settings.
    pub(crate) fn settings(&self) -> Settings {
        // The table's ranges guarantee that every conversion fits.
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let node = NodeId(u32::try_from(self.node).unwrap_or(u32::MAX));
        Settings {
            cluster: self.cluster.clone(),
            shards: u16::try_from(self.shards).unwrap_or(u16::MAX),
            replicas: count(self.replicas).min(self.members.len() - self.managers()),
            beat_interval: self.beat_interval,
            support_duration: self.support_duration,
            clock_drift_permille: u32::try_from(self.clock_drift_permille).unwrap_or(u32::MAX),
            clock_gap: self.clock_gap,
            clock_skew: self.clock_skew,
            park_time: self.park_time,
            request_time: self.request_time,
            transfer_time: self.transfer_time,
            campaign_step: self.campaign_step,
            password: self.password.clone(),
            redirect: value::redirect(self.redirect),
            argument_bytes: count(self.argument_bytes),
            shard_queue_bytes: count(self.shard_queue_bytes),
            session_output_bytes: count(self.session_output_bytes),
            clients: count(self.clients),
            found: self.found,
            managed: self.managed,
            segment_bytes: self.segment_bytes,
            log_bytes: self.log_bytes,
            memory: self.memory,
            disk_reserve: self.disk_reserve,
            ..Settings::new(node, self.members.clone())
        }
    }
}

fn join_strings(items: &[toml::Value]) -> Option<String> {
    let texts = items.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>()?;
    Some(texts.join(","))
}

fn find(name: &str, origin: &str) -> Result<&'static table::Setting, ConfigError> {
    SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        let nearest = SETTINGS.iter().min_by_key(|setting| distance(setting.name, name));
        let nearest = nearest.filter(|setting| distance(setting.name, name) <= 3);
        let hint = nearest.map_or_else(String::new, |it| format!(" Did you mean `{}`?", it.name));
        ConfigError(format!(
            "there is no setting `{name}` (from {origin}).{hint}\n\
             `leasehold settings` lists them all."
        ))
    })
}

/// How many letters must be changed, added or dropped to turn one word into the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests;

//! Commands that are not about data: the connection's state, the node's figures and settings, the
//! table of commands, and what the node knows of the cluster.
//!
//! Every such command is answered from this node's memory at once; only questions about the keys
//! of a slot and orders to move a lease go on to a shard. Replies have the shapes and texts of
//! Redis 7.0.15, which is also the version that is reported to clients.
//!
//! Reading order: this file (who answers what), `connection`, `client`, `commands` (COMMAND),
//! `config`, `server`, `command_stats` and `slow_log` (what is counted), `info`, `cluster` with
//! `topology` (CLUSTER), `leasehold` (LEASEHOLD).

mod client;
mod cluster;
mod command_stats;
mod commands;
mod config;
mod connection;
mod counters;
#[cfg(test)]
mod figures_tests;
mod info;
mod leasehold;
mod metrics;
#[cfg(test)]
mod report_tests;
mod server;
pub(crate) mod slow_log;
#[cfg(test)]
mod tests;
mod topology;
mod topology_clients;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use resp::command::Command;
use resp::{CommandId, Handler, Protocol, Reply};
use types::{Monotonic, Now, SessionId};

use crate::node::Node;
use crate::session::Session;
use crate::settings::Settings;
pub(crate) use client::address_of;
pub(crate) use command_stats::{Asked, CommandStats};
use config::Remembered;
use counters::Counters;
pub(crate) use leasehold::labelled;
pub(crate) use slow_log::Shown;
use topology::SlotsCache;
use topology_clients::TopologyClients;

/// The version of Redis whose protocol, commands and texts this node speaks.
pub(crate) const REDIS_VERSION: &str = "7.0.15";
/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How many bytes of an argument an error repeats.
const QUOTED_BYTES_MAX: usize = 128;
/// A buffer for replies that is larger than this is given back after use.
const SCRATCH_BYTES_KEPT: usize = 64 << 10;

/// What the process shell measures, for INFO and for reports to the Lease Manager. Counters count
/// from the process's start.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessStats {
    /// When this was measured.
    pub measured_at: Monotonic,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// CPU time spent in user mode, in microseconds.
    pub user_micros: u64,
    /// CPU time spent in the kernel, in microseconds.
    pub system_micros: u64,
    /// The process's number.
    pub process_id: u32,
    /// Bytes read from clients.
    pub input_bytes: u64,
    /// Bytes written to clients.
    pub output_bytes: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Free bytes of the disk.
    pub disk_free_bytes: u64,
    /// Log lines that nobody could be given.
    pub log_lines_dropped: u64,
    /// CPU time of the event loop, in microseconds. 0: there is none to measure.
    pub loop_micros: u64,
    /// Bytes read from other nodes.
    pub peer_input_bytes: u64,
    /// Bytes written to other nodes.
    pub peer_output_bytes: u64,
    /// The time that 99 % of the event loop's turns did not exceed, since it was measured last: so
    /// long requests wait in their sockets.
    pub turn_p99: Duration,
    /// CPU that the event loop may take, in thousandths of a core.
    pub capacity_cpu: u64,
    /// Memory that the process may fill, in bytes.
    pub capacity_memory: u64,
    /// What the network carries, in and out, in bytes per second.
    pub capacity_network: u64,
    /// What the log takes, in bytes per second.
    pub capacity_log: u64,
}

/// State of the commands that are not about data.
pub(crate) struct Frontend {
    seed: u64,
    pub(crate) counters: Counters,
    pub(crate) process: ProcessStats,
    topology_clients: TopologyClients,
    remembered: Remembered,
    /// COMMAND's reply for each version of the protocol, once somebody has asked.
    table: [Option<Box<[u8]>>; 2],
    slots: SlotsCache,
    scratch: Vec<u8>,
}

/// A request to this part of the node.
#[derive(Clone, Copy)]
struct Call<'a> {
    now: Now,
    session: SessionId,
    command: &'static Command,
    args: &'a [&'a [u8]],
}

/// What a command that may refuse comes to: a reply was written, or the text of the error.
type Outcome = Result<(), Cow<'static, str>>;

impl Call<'_> {
    /// An argument, or nothing if there are fewer.
    fn arg(&self, at: usize) -> &[u8] {
        self.args.get(at).copied().unwrap_or_default()
    }

    /// The arguments from `at` on.
    fn rest(&self, at: usize) -> &[&[u8]] {
        self.args.get(at..).unwrap_or_default()
    }
}

impl Frontend {
    pub(crate) fn new(_settings: &Settings, seed: u64) -> Self {
        Self {
            seed,
            counters: Counters::default(),
            process: ProcessStats::default(),
            topology_clients: TopologyClients::default(),
            remembered: Remembered::default(),
            table: [None, None],
            slots: SlotsCache::default(),
            scratch: Vec::new(),
        }
    }

    /// The next of a sequence of numbers that depends on the node's seed only.
    pub(crate) fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.seed >> 16
    }

    /// Another node says that clients with this address and library ask for the topology.
    pub(crate) fn note_topology_client(&mut self, now: Monotonic, host: String, library: String) {
        self.topology_clients.note(now, host, library);
    }

    /// Whether a session's address and library have ever been those of such clients.
    pub(crate) fn may_be_topology_client(&self, session: &Session) -> bool {
        self.topology_clients.has_seen(&session.address.host, &session.library.0)
    }

    /// Whether a session belongs to such clients.
    pub(crate) fn is_topology_client(&self, now: Monotonic, session: &Session) -> bool {
        self.topology_clients.contains(now, &session.address.host, &session.library.0)
    }
}

impl Node {
    /// Takes the process shell's measurements.
    pub fn update_process_stats(&mut self, stats: ProcessStats) {
        self.reporting.note_process(&stats);
        self.frontend.process = stats;
    }

    /// The longest argument that a client may send now, in bytes. CONFIG SET can change it.
    #[must_use]
    pub fn argument_bytes(&self) -> usize {
        self.world.settings.argument_bytes
    }

    /// Most bytes of replies that may wait for one client now. CONFIG SET can change it.
    #[must_use]
    pub fn session_output_bytes(&self) -> usize {
        self.world.settings.session_output_bytes
    }

    /// Most client connections now. CONFIG SET can change it.
    #[must_use]
    pub fn clients_max(&self) -> usize {
        self.world.settings.clients
    }

    /// Whether clients must give a password now. CONFIG SET can change it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        !self.world.settings.password.is_empty()
    }

    /// Runs one of these commands for a client.
    pub(crate) fn frontend_request(
        &mut self,
        now: Now,
        id: SessionId,
        command: &'static Command,
        args: &[&[u8]],
    ) {
        let call = Call { now, session: id, command, args };
        let asked = match command.id() {
            // The most frequent request of this kind: monitors and pools send it all the time.
            Some(CommandId::Ping) if args.len() == 1 => {
                if let Some(session) = self.world.sessions.get(id) {
                    session.reply(|reply| reply.simple("PONG"));
                }
                return;
            }
            Some(CommandId::LeaseholdTransfer) => self.leasehold_transfer(&call),
            Some(
                CommandId::LeaseholdDecisions
                | CommandId::LeaseholdDrain
                | CommandId::LeaseholdFreeze
                | CommandId::LeaseholdJoin
                | CommandId::LeaseholdPin
                | CommandId::LeaseholdPlan
                | CommandId::LeaseholdPolicy
                | CommandId::LeaseholdRemove
                | CommandId::LeaseholdStatus
                | CommandId::LeaseholdUnpin
                | CommandId::LeaseholdWhy,
            ) => self.ask_manager(&call),
            Some(CommandId::ClusterCountKeysInSlot | CommandId::ClusterGetKeysInSlot) => {
                self.ask_slot(&call)
            }
            Some(_) | None => return self.reply_from_here(&call),
        };
        if let Err(text) = asked {
            self.reply_error(id, &text);
        }
    }

    fn reply_from_here(&mut self, call: &Call<'_>) {
        let mut bytes = core::mem::take(&mut self.frontend.scratch);
        self.write_reply(call, &mut bytes);
        if let Some(session) = self.world.sessions.get(call.session) {
            session.reply(|reply| reply.encoded(&bytes));
        }
        bytes.clear();
        if bytes.capacity() <= SCRATCH_BYTES_KEPT {
            self.frontend.scratch = bytes;
        }
    }

    /// The reply of one of these commands, for a transaction.
    pub(crate) fn frontend_reply(
        &mut self,
        now: Now,
        id: SessionId,
        command: &'static Command,
        args: &[&[u8]],
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        if command.id() == Some(CommandId::ClientReply) {
            // Redis leaves the reply out and the array of EXEC one element short.
            Reply::new(&mut bytes, Protocol::Resp2)
                .error("ERR CLIENT REPLY is not supported inside a transaction");
            return bytes;
        }
        self.write_reply(&Call { now, session: id, command, args }, &mut bytes);
        bytes
    }

    fn write_reply(&mut self, call: &Call<'_>, into: &mut Vec<u8>) {
        let Some(session) = self.world.sessions.get(call.session) else { return };
        let protocol = session.protocol;
        let start = into.len();
        // HELLO answers in the version that it has just chosen.
        if call.command.id() == Some(CommandId::Hello) {
            return self.hello(call, into);
        }
        let mut reply = Reply::new(into, protocol);
        let outcome = match call.command.handler {
            Handler::Connection => self.connection_command(call, &mut reply),
            Handler::Server => self.server_command(call, &mut reply),
            Handler::Cluster => self.cluster_command(call, &mut reply),
            Handler::Keyspace | Handler::KeyspaceWide | Handler::Transaction => not_here(call),
        };
        if let Err(text) = outcome {
            reply.truncate(start);
            reply.error(&text);
        }
    }
}

/// The error for a command that this part of the node does not run. No client ever sees it: a
/// test asks for every command of the table.
fn not_here(call: &Call<'_>) -> Outcome {
    Err(Cow::Owned(alloc::format!("ERR '{}' has no handler", call.command.name)))
}

/// The part of a client's argument that an error repeats, safe for terminals and logs.
pub(crate) fn quoted(arg: &[u8]) -> String {
    let end = arg.len().min(QUOTED_BYTES_MAX);
    let mut text = String::new();
    for character in String::from_utf8_lossy(&arg[..end]).chars() {
        if character.is_control() {
            // Writing to a string can't fail.
            let _ = write!(text, "\\x{:02x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// Which of two cached replies a version of the protocol uses.
fn version_index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Resp2 => 0,
        Protocol::Resp3 => 1,
    }
}

/// Begins a pair of a map.
fn key(reply: &mut Reply<'_>, name: &str) {
    reply.bulk(name.as_bytes());
}

/// Writes a pair of a map.
fn pair(reply: &mut Reply<'_>, name: &str, value: &str) {
    key(reply, name);
    reply.bulk(value.as_bytes());
}

/// Writes a pair of a map.
fn number(reply: &mut Reply<'_>, name: &str, value: u64) {
    key(reply, name);
    reply.integer(i64::try_from(value).unwrap_or(i64::MAX));
}

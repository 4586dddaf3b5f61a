//! Commands that are not about data: the connection's state, the node's figures and settings, the
//! table of commands, and what the node knows of the cluster.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use resp::Reply;
use resp::command::Command;
use types::{Monotonic, NodeId, Now, SessionId, ShardId};

use crate::node::Node;
use crate::session::Session;
use crate::settings::Settings;

/// How long clients with an address and library count as such that know the topology.
const TOPOLOGY_CLIENT_TIME: Duration = Duration::from_secs(600);
/// Most such pairs that are remembered.
const TOPOLOGY_CLIENTS_MAX: usize = 4096;

/// What the process shell measures, for INFO.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessStats {
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
}

/// State of the commands that are not about data.
pub(crate) struct Frontend {
    seed: u64,
    pub(crate) commands: u64,
    pub(crate) process: ProcessStats,
    topology_clients: BTreeMap<(String, String), Monotonic>,
}

impl Frontend {
    pub(crate) fn new(_settings: &Settings, seed: u64) -> Self {
        Self {
            seed,
            commands: 0,
            process: ProcessStats::default(),
            topology_clients: BTreeMap::new(),
        }
    }

    pub(crate) fn count_command(&mut self, _command: &'static Command) {
        self.commands += 1;
    }

    /// The next of a sequence of numbers that depends on the node's seed only.
    pub(crate) fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.seed >> 16
    }

    /// Clients with this address and library ask for the topology.
    pub(crate) fn note_topology_client(&mut self, now: Monotonic, host: String, library: String) {
        if self.topology_clients.len() >= TOPOLOGY_CLIENTS_MAX {
            self.topology_clients.retain(|_, seen| now.since(*seen) < TOPOLOGY_CLIENT_TIME);
        }
        if self.topology_clients.len() < TOPOLOGY_CLIENTS_MAX {
            self.topology_clients.insert((host, library), now);
        }
    }

    /// Whether a session belongs to such clients.
    pub(crate) fn is_topology_client(&self, now: Monotonic, session: &Session) -> bool {
        let key = (session.address.host.clone(), session.library.0.clone());
        !key.1.is_empty()
            && self
                .topology_clients
                .get(&key)
                .is_some_and(|seen| now.since(*seen) < TOPOLOGY_CLIENT_TIME)
    }
}

impl Node {
    /// Takes the process shell's measurements.
    pub fn update_process_stats(&mut self, stats: ProcessStats) {
        self.frontend.process = stats;
    }

    /// Runs one of these commands for a client.
    pub(crate) fn frontend_request(
        &mut self,
        now: Now,
        id: SessionId,
        command: &'static Command,
        args: &[&[u8]],
    ) {
        if command.id() == Some(resp::CommandId::LeaseholdTransfer) {
            let shard = args.get(2).and_then(|arg| resp::number::parse_u64(arg));
            let target = args.get(3).and_then(|arg| resp::number::parse_u64(arg));
            let (Some(shard), Some(target)) = (shard, target) else {
                return self.reply_error(id, "ERR LEASEHOLD TRANSFER takes a shard and a node");
            };
            let shard = ShardId(u32::try_from(shard).unwrap_or(0));
            let target = NodeId(u32::try_from(target).unwrap_or(0));
            return self.order_transfer(now, id, shard, target);
        }
        let bytes = self.frontend_reply(now, id, command, args);
        if let Some(session) = self.world.sessions.get(id) {
            session.reply(|reply| reply.encoded(&bytes));
        }
    }

    /// The reply of one of these commands.
    pub(crate) fn frontend_reply(
        &mut self,
        _now: Now,
        id: SessionId,
        command: &'static Command,
        args: &[&[u8]],
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(session) = self.world.sessions.get(id) else { return bytes };
        let mut reply = Reply::new(&mut bytes, session.protocol);
        match command.id() {
            Some(resp::CommandId::Ping) => match args.get(1) {
                Some(text) => reply.bulk(text),
                None => reply.simple("PONG"),
            },
            Some(_) | None => reply.error("ERR not yet"),
        }
        bytes
    }
}

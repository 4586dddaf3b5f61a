//! INFO: the node's figures in Redis' words, and a section of our own.
//!
//! Only facts that are known are shown: what Redis measures and this node does not is left out, so
//! that a zero is a zero. What `commandstats` means by the time of a command stands in
//! `command_stats`. Figures about data concern the shards that this node holds, figures about
//! memory all its replicas.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Arguments, Write};

use types::{LeaseEpoch, Now, ShardId};

use super::counters::Before;
use super::{ProcessStats, REDIS_VERSION, VERSION, topology};
use crate::node::Node;

/// A section of INFO.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Server,
    Clients,
    Memory,
    Persistence,
    Stats,
    Replication,
    Cpu,
    Modules,
    CommandStats,
    ErrorStats,
    Cluster,
    Keyspace,
    Leasehold,
}

impl Section {
    const ALL: [Self; 13] = [
        Self::Server,
        Self::Clients,
        Self::Memory,
        Self::Persistence,
        Self::Stats,
        Self::Replication,
        Self::Cpu,
        Self::Modules,
        Self::CommandStats,
        Self::ErrorStats,
        Self::Cluster,
        Self::Keyspace,
        Self::Leasehold,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Clients => "Clients",
            Self::Memory => "Memory",
            Self::Persistence => "Persistence",
            Self::Stats => "Stats",
            Self::Replication => "Replication",
            Self::Cpu => "CPU",
            Self::Modules => "Modules",
            Self::CommandStats => "Commandstats",
            Self::ErrorStats => "Errorstats",
            Self::Cluster => "Cluster",
            Self::Keyspace => "Keyspace",
            Self::Leasehold => "Leasehold",
        }
    }

    /// Whether a word of the request asks for the section.
    fn is_named(self, word: &[u8]) -> bool {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        is(self.title())
            || is("all")
            || is("everything")
            || is("default") && self != Self::CommandStats
    }
}

/// Sums over the node's replicas.
#[derive(Default)]
pub(super) struct Totals {
    shards_held: u64,
    leases_valid: u64,
    newest_epoch: LeaseEpoch,
    keys: u64,
    expiring_keys: u64,
    data_bytes: u64,
    log_bytes: u64,
    last_index: u64,
    commit_index: u64,
    applied_index: u64,
    persisted_index: u64,
    reads: u64,
    writes: u64,
}

/// Adds a line to a section; writing to a string can't fail.
fn line(into: &mut String, field: Arguments<'_>) {
    let _ = into.write_fmt(field);
    into.push_str("\r\n");
}

impl Node {
    /// A client was turned away because there are too many.
    pub(crate) fn count_rejected_connection(&mut self) {
        self.frontend.counters.count_rejected();
    }

    /// CONFIG RESETSTAT.
    pub(super) fn reset_counters(&mut self) {
        let ProcessStats { input_bytes, output_bytes, .. } = self.frontend.process;
        let connections = self.world.sessions.opened();
        let before = Before { connections, input_bytes, output_bytes };
        self.frontend.counters.reset(before);
        self.world.sessions.stats.reset();
    }

    /// The text of INFO for these sections; for the usual ones if none is named.
    pub(super) fn info(&mut self, now: Now, names: &[&[u8]]) -> String {
        let usual: &[&[u8]] = &[b"default"];
        let names = if names.is_empty() { usual } else { names };
        let totals = self.totals(now);
        let peak = &mut self.frontend.counters.memory_peak;
        *peak = (*peak).max(totals.memory());
        let mut text = String::new();
        for section in Section::ALL {
            if !names.iter().any(|name| section.is_named(name)) {
                continue;
            }
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            line(&mut text, format_args!("# {}", section.title()));
            self.info_section(now, section, &totals, &mut text);
        }
        text
    }

    fn info_section(&mut self, now: Now, section: Section, totals: &Totals, into: &mut String) {
        match section {
            Section::Server => self.info_server(now, into),
            Section::Clients => self.info_clients(now, into),
            Section::Memory => self.info_memory(totals, into),
            Section::Persistence => info_persistence(now, into),
            Section::Stats => self.info_stats(now, into),
            Section::Replication => self.info_replication(into),
            Section::Cpu => self.info_cpu(into),
            Section::CommandStats => {
                for figures in self.world.sessions.stats.by_command(now.monotonic) {
                    line(into, format_args!("{}", figures.line()));
                }
            }
            Section::ErrorStats => {
                for (code, count) in self.world.sessions.stats.by_code() {
                    line(into, format_args!("errorstat_{code}:count={count}"));
                }
            }
            Section::Cluster => line(into, format_args!("cluster_enabled:1")),
            Section::Keyspace if totals.keys > 0 => {
                let (keys, expires) = (totals.keys, totals.expiring_keys);
                line(into, format_args!("db0:keys={keys},expires={expires}"));
            }
            Section::Keyspace | Section::Modules => {}
            Section::Leasehold => self.info_leasehold(now, totals, into),
        }
    }

    fn totals(&mut self, now: Now) -> Totals {
        let me = self.world.settings.node;
        let mut totals = Totals::default();
        for status in self.shard_statuses(now) {
            if status.shard == ShardId::SYSTEM {
                continue;
            }
            if status.holder == Some(me) {
                totals.shards_held += 1;
                totals.keys += status.keys;
                totals.expiring_keys += status.expiring_keys;
            }
            totals.leases_valid += u64::from(status.lease_valid);
            totals.newest_epoch = totals.newest_epoch.max(status.lease.epoch);
            totals.data_bytes += status.data_bytes;
            totals.log_bytes += status.log_bytes as u64;
            totals.last_index += status.last_index.0;
            totals.commit_index += status.commit_index.0;
            totals.applied_index += status.applied_index.0;
            totals.persisted_index += status.persisted_index.0;
            totals.reads += status.load.reads;
            totals.writes += status.load.writes;
        }
        totals
    }

    fn info_server(&self, now: Now, into: &mut String) {
        let settings = &self.world.settings;
        let own = self.world.members().get(settings.node);
        let port = own.map_or(0, |member| member.port);
        let uptime = self.uptime(now).as_secs();
        let run = topology::run_id(settings, self.world.incarnation);
        line(into, format_args!("redis_version:{REDIS_VERSION}"));
        line(into, format_args!("redis_git_sha1:00000000"));
        line(into, format_args!("redis_git_dirty:0"));
        line(into, format_args!("redis_build_id:0"));
        line(into, format_args!("redis_mode:cluster"));
        line(into, format_args!("leasehold_version:{VERSION}"));
        line(into, format_args!("arch_bits:{}", usize::BITS));
        line(into, format_args!("process_id:{}", self.frontend.process.process_id));
        line(into, format_args!("process_supervised:no"));
        line(into, format_args!("run_id:{run}"));
        line(into, format_args!("tcp_port:{port}"));
        line(into, format_args!("server_time_usec:{}", now.wall.0.saturating_mul(1000)));
        line(into, format_args!("uptime_in_seconds:{uptime}"));
        line(into, format_args!("uptime_in_days:{}", uptime / 86_400));
        line(into, format_args!("hz:10"));
        line(into, format_args!("configured_hz:10"));
        line(into, format_args!("executable:"));
        line(into, format_args!("config_file:"));
    }

    fn info_clients(&self, now: Now, into: &mut String) {
        let alive =
            self.world.others().filter(|node| self.world.support.is_alive(now.monotonic, *node));
        line(into, format_args!("connected_clients:{}", self.world.sessions.count()));
        line(into, format_args!("cluster_connections:{}", alive.count()));
        line(into, format_args!("maxclients:{}", self.world.settings.clients));
        // No command blocks.
        line(into, format_args!("blocked_clients:0"));
    }

    fn info_memory(&self, totals: &Totals, into: &mut String) {
        let used = totals.memory();
        let resident = self.frontend.process.resident_bytes;
        let peak = self.frontend.counters.memory_peak;
        let amount = |into: &mut String, name: &str, bytes: u64| {
            line(into, format_args!("{name}:{bytes}"));
            line(into, format_args!("{name}_human:{}", human(bytes)));
        };
        amount(into, "used_memory", used);
        amount(into, "used_memory_rss", resident);
        amount(into, "used_memory_peak", peak);
        line(into, format_args!("used_memory_overhead:{}", totals.log_bytes));
        line(into, format_args!("used_memory_dataset:{}", totals.data_bytes));
        amount(into, "maxmemory", self.world.settings.memory);
        line(into, format_args!("maxmemory_policy:noeviction"));
        let hundredths = resident.saturating_mul(100).checked_div(used).unwrap_or(0);
        let (whole, part) = (hundredths / 100, hundredths % 100);
        line(into, format_args!("mem_fragmentation_ratio:{whole}.{part:02}"));
        line(into, format_args!("mem_fragmentation_bytes:{}", resident.saturating_sub(used)));
    }

    fn info_stats(&mut self, now: Now, into: &mut String) {
        let opened = self.world.sessions.opened();
        let counters = &self.frontend.counters;
        let stats = &mut self.world.sessions.stats;
        let before = counters.before;
        let process = &self.frontend.process;
        let connections = opened.saturating_sub(before.connections);
        let input = process.input_bytes.saturating_sub(before.input_bytes);
        let output = process.output_bytes.saturating_sub(before.output_bytes);
        let (hits, misses, expired) = stats.keys();
        line(into, format_args!("total_connections_received:{connections}"));
        line(into, format_args!("total_commands_processed:{}", stats.processed()));
        let per_second = stats.per_second(now.monotonic);
        line(into, format_args!("instantaneous_ops_per_sec:{per_second}"));
        line(into, format_args!("total_net_input_bytes:{input}"));
        line(into, format_args!("total_net_output_bytes:{output}"));
        line(into, format_args!("rejected_connections:{}", counters.rejected_connections));
        line(into, format_args!("expired_keys:{expired}"));
        line(into, format_args!("keyspace_hits:{hits}"));
        line(into, format_args!("keyspace_misses:{misses}"));
        line(into, format_args!("total_error_replies:{}", stats.errors()));
    }

    /// Shards replicate by their own logs, so in Redis' words every node is a master without
    /// slaves. lettuce compares offsets.
    fn info_replication(&self, into: &mut String) {
        let settings = &self.world.settings;
        let run = topology::run_id(settings, self.world.incarnation);
        let offset = self.offset();
        line(into, format_args!("role:master"));
        line(into, format_args!("connected_slaves:0"));
        line(into, format_args!("master_failover_state:no-failover"));
        line(into, format_args!("master_replid:{run}"));
        line(into, format_args!("master_replid2:{:040}", 0));
        line(into, format_args!("master_repl_offset:{offset}"));
        line(into, format_args!("slave_repl_offset:{offset}"));
        line(into, format_args!("second_repl_offset:-1"));
        line(into, format_args!("repl_backlog_active:0"));
    }

    fn info_cpu(&self, into: &mut String) {
        let process = &self.frontend.process;
        for (name, micros) in
            [("used_cpu_sys", process.system_micros), ("used_cpu_user", process.user_micros)]
        {
            let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
            line(into, format_args!("{name}:{seconds}.{rest:06}"));
        }
    }

    /// The section of our own.
    fn info_leasehold(&self, now: Now, totals: &Totals, into: &mut String) {
        let world = &self.world;
        let figures = self.figures();
        let process = &self.frontend.process;
        line(into, format_args!("leasehold_version:{VERSION}"));
        line(into, format_args!("cluster_name:{}", world.settings.cluster));
        line(into, format_args!("node:{}", world.settings.node.0));
        line(into, format_args!("incarnation:{}", world.incarnation.0));
        line(into, format_args!("nodes_known:{}", world.members().members.len()));
        line(into, format_args!("shards_known:{}", self.routes.iter().count()));
        line(into, format_args!("shards_local:{}", self.shards.len()));
        line(into, format_args!("shards_held:{}", totals.shards_held));
        let unserved = self.routes.iter().filter(|it| self.outage(now, it.shard).is_some());
        line(into, format_args!("shards_unserved:{}", unserved.count()));
        let [disk, memory] = self.refusing(now);
        line(into, format_args!("shards_refusing_writes_disk:{disk}"));
        line(into, format_args!("shards_refusing_writes_memory:{memory}"));
        line(into, format_args!("leases_valid:{}", totals.leases_valid));
        line(into, format_args!("lease_epoch_newest:{}", totals.newest_epoch.0));
        line(into, format_args!("routes_version:{}", self.routes.version));
        line(into, format_args!("requests_parked:{}", figures.parked));
        line(into, format_args!("requests_forwarded:{}", figures.forwarded));
        line(into, format_args!("shard_reads:{}", totals.reads));
        line(into, format_args!("shard_writes:{}", totals.writes));
        line(into, format_args!("log_last_index_sum:{}", totals.last_index));
        line(into, format_args!("log_persisted_index_sum:{}", totals.persisted_index));
        line(into, format_args!("log_commit_index_sum:{}", totals.commit_index));
        line(into, format_args!("log_applied_index_sum:{}", totals.applied_index));
        line(into, format_args!("log_memory_bytes:{}", totals.log_bytes));
        line(into, format_args!("log_disk_bytes:{}", process.log_bytes));
        line(into, format_args!("disk_free_bytes:{}", process.disk_free_bytes));
        line(into, format_args!("disk_full:{}", u8::from(world.room.disk_is_short())));
        line(into, format_args!("log_lines_dropped:{}", process.log_lines_dropped));
        line(into, format_args!("disk_stalled:{}", u8::from(figures.disk_stalled)));
        line(into, format_args!("disk_writes:{}", figures.disk_writes));
        line(into, format_args!("disk_writes_under_way:{}", figures.disk_writes_under_way));
        line(into, format_args!("disk_write_last_us:{}", figures.disk_write_last.as_micros()));
        line(into, format_args!("disk_write_mean_us:{}", figures.disk_write_mean.as_micros()));
        let me = world.settings.node;
        for member in world.members().members.iter().filter(|member| member.node != me) {
            let peer = member.node;
            let alive = u8::from(world.support.is_alive(now.monotonic, peer));
            let supports = u8::from(world.support.is_supported_by(now.monotonic, peer));
            let trip = world.support.round_trip(peer).map_or(0, |trip| trip.as_micros());
            let incarnation = world.support.incarnation_of(peer).0;
            line(
                into,
                format_args!(
                    "peer_{}:host={},port={},alive={alive},supports_us={supports},\
                     round_trip_us={trip},incarnation={incarnation}",
                    peer.0, member.host, member.peer_port
                ),
            );
        }
    }
}

impl Totals {
    fn memory(&self) -> u64 {
        self.data_bytes + self.log_bytes
    }
}

/// There is nothing to load, save or rewrite: every acknowledged write is in the log.
fn info_persistence(now: Now, into: &mut String) {
    line(into, format_args!("loading:0"));
    line(into, format_args!("async_loading:0"));
    line(into, format_args!("rdb_changes_since_last_save:0"));
    line(into, format_args!("rdb_bgsave_in_progress:0"));
    line(into, format_args!("rdb_last_save_time:{}", now.wall.0 / 1000));
    line(into, format_args!("rdb_last_bgsave_status:ok"));
    line(into, format_args!("rdb_last_bgsave_time_sec:-1"));
    line(into, format_args!("rdb_current_bgsave_time_sec:-1"));
    line(into, format_args!("aof_enabled:1"));
    line(into, format_args!("aof_rewrite_in_progress:0"));
    line(into, format_args!("aof_rewrite_scheduled:0"));
    line(into, format_args!("aof_last_rewrite_time_sec:-1"));
    line(into, format_args!("aof_current_rewrite_time_sec:-1"));
    line(into, format_args!("aof_last_bgrewrite_status:ok"));
    line(into, format_args!("aof_last_write_status:ok"));
}

/// Bytes as Redis writes them for people: `1.50M`.
fn human(bytes: u64) -> String {
    let units: Vec<(u64, char)> =
        alloc::vec![(1 << 50, 'P'), (1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
    let Some((unit, letter)) = units.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return alloc::format!("{bytes}B");
    };
    let hundredths = (u128::from(bytes) * 100 + u128::from(unit) / 2) / u128::from(unit);
    alloc::format!("{}.{:02}{letter}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_665_520, "1.59M"),
            (25_276_502_016, "23.54G"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}

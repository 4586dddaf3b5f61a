//! The node's figures in the text format of Prometheus, for `LEASEHOLD METRICS` and `/metrics`.
//!
//! Names follow Prometheus' rules: a prefix, base units, `_total` on counters. The format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Display, Write};

use types::{NodeId, Now, ShardId};

use crate::node::Node;
use crate::node::troubles::Health;
use crate::outage::CAUSES;

/// Collects families: each has its help and its kind once, then its samples.
#[derive(Default)]
struct Families {
    text: String,
}

impl Families {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: impl Display, value: impl Display) {
        let _ = writeln!(self.text, "{name}{{{labels}}} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.begin(name, kind, help);
        let _ = writeln!(self.text, "{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.one(name, "gauge", help, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.one(name, "counter", help, value);
    }
}

impl Node {
    /// The text of LEASEHOLD METRICS.
    pub(super) fn metrics(&mut self, now: Now) -> String {
        let mut families = Families::default();
        self.node_metrics(now, &mut families);
        self.shard_metrics(now, &mut families);
        self.outage_metrics(now, &mut families);
        self.peer_metrics(now, &mut families);
        self.manager_metrics(now, &mut families);
        families.text
    }

    fn node_metrics(&mut self, now: Now, into: &mut Families) {
        let figures = self.figures();
        let process = self.frontend.process;
        let uptime = self.uptime(now).as_secs_f64();
        let cpu = (process.user_micros + process.system_micros) as f64 / 1e6;
        into.gauge("leasehold_uptime_seconds", "Time since the process began.", uptime);
        into.counter("leasehold_cpu_seconds_total", "CPU time of all threads.", cpu);
        into.gauge("leasehold_resident_bytes", "Resident memory.", process.resident_bytes);
        into.gauge("leasehold_clients", "Connections of clients.", self.world.sessions.count());
        into.counter("leasehold_input_bytes_total", "Bytes from clients.", process.input_bytes);
        into.counter("leasehold_output_bytes_total", "Bytes to clients.", process.output_bytes);
        into.gauge("leasehold_requests_parked", "Requests that wait for a holder.", figures.parked);
        into.gauge(
            "leasehold_requests_forwarded",
            "Requests of own clients that are at other nodes.",
            figures.forwarded,
        );
        into.counter(
            "leasehold_log_syncs_total",
            "Durable writes of the log.",
            figures.disk_writes,
        );
        into.gauge(
            "leasehold_log_sync_seconds",
            "Mean time of a durable write since the start.",
            figures.disk_write_mean.as_secs_f64(),
        );
        into.gauge("leasehold_log_bytes", "Bytes of the log on disk.", process.log_bytes);
        into.gauge("leasehold_disk_free_bytes", "Free bytes of the disk.", process.disk_free_bytes);
        self.write_room(into);
        into.gauge(
            "leasehold_clock_ahead_seconds",
            "How far the wall clock is ahead of the cluster clock; negative: behind.",
            self.world.clock.error_millis() as f64 / 1e3,
        );
        into.gauge(
            "leasehold_clock_off",
            "1 if the wall clock is off by more than the setting clock_skew.",
            u8::from(self.world.clock.is_off()),
        );
        into.gauge(
            "leasehold_disk_stalled",
            "1 if the disk does not answer, so that leases are given up.",
            u8::from(figures.disk_stalled),
        );
    }

    /// What the node can still take.
    fn write_room(&self, into: &mut Families) {
        let (room, settings) = (&self.world.room, &self.world.settings);
        into.gauge(
            "leasehold_disk_short",
            "1 if the disk is nearly full, so that this node takes no writes that grow.",
            u8::from(room.disk_is_short()),
        );
        into.gauge(
            "leasehold_memory_limit_bytes",
            "What data and log entries may take in memory; 0: no limit.",
            settings.memory,
        );
        let left = room.memory(settings);
        if left != u64::MAX {
            into.gauge("leasehold_memory_room_bytes", "What is left of that.", left);
        }
        into.counter(
            "leasehold_log_lines_dropped_total",
            "Log lines that standard error did not take.",
            self.frontend.process.log_lines_dropped,
        );
    }

    /// Only shards with a replica here: each node is asked for its own.
    fn shard_metrics(&mut self, now: Now, into: &mut Families) {
        let statuses = self.shard_statuses(now);
        let me = self.world.settings.node;
        let here = || statuses.iter().filter(|status| status.shard != ShardId::SYSTEM);
        let held = here().filter(|status| status.lease_valid).count();
        into.gauge("leasehold_leases_held", "Leases that this node holds.", held);
        into.gauge("leasehold_replicas", "Replicas on this node.", here().count());
        let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(usize) -> u64| {
            into.begin(name, kind, help);
            for (at, status) in statuses.iter().enumerate() {
                if status.shard != ShardId::SYSTEM {
                    let labels = format_args!("shard=\"{}\"", status.shard.0);
                    into.sample(name, labels, value(at));
                }
            }
        };
        let at = |at: usize| &statuses[at];
        let holds = |status: usize| u64::from(at(status).holder == Some(me));
        family("leasehold_shard_held", "gauge", "1 if this node holds the lease.", &holds);
        let epoch = |status: usize| at(status).lease.epoch.0;
        family("leasehold_shard_lease_epoch", "counter", "Leases of the shard so far.", &epoch);
        let reads = |status: usize| at(status).load.reads;
        family("leasehold_shard_reads_total", "counter", "Reads served here.", &reads);
        let writes = |status: usize| at(status).load.writes;
        family("leasehold_shard_writes_total", "counter", "Writes applied here.", &writes);
        let keys = |status: usize| at(status).keys;
        family("leasehold_shard_keys", "gauge", "Keys.", &keys);
        let bytes = |status: usize| at(status).data_bytes;
        family("leasehold_shard_bytes", "gauge", "Bytes of data in memory.", &bytes);
        let parked = |status: usize| at(status).parked as u64;
        family("leasehold_shard_parked", "gauge", "Requests that wait for a holder.", &parked);
        let conflicts = |status: usize| at(status).conflicts;
        family(
            "leasehold_shard_conflicts_total",
            "counter",
            "Messages of a leader that has something else in the place of a committed entry.",
            &conflicts,
        );
        let behind =
            |status: usize| at(status).commit_index.0.saturating_sub(at(status).applied_index.0);
        family("leasehold_shard_unapplied", "gauge", "Committed entries not applied.", &behind);
    }

    /// How many shards that are held here refuse writes that grow for lack of disk, and of memory.
    pub(super) fn refusing(&self, now: Now) -> [u64; 2] {
        let me = self.world.settings.node;
        let held = self.routes.iter().filter(|route| self.named_holder(now, route) == Some(me));
        let short = held.filter_map(|route| self.shortage(now, route.shard));
        short.fold([0, 0], |[disk, memory], short| {
            [disk + u64::from(short.refuses), memory + u64::from(short.memory.is_some())]
        })
    }

    /// Shards that can't be served through this node, by the cause.
    fn outage_metrics(&self, now: Now, into: &mut Families) {
        let mut causes = [0_u64; CAUSES.len()];
        for route in self.routes.iter() {
            if let Some(outage) = self.outage(now, route.shard) {
                causes[outage.cause()] += 1;
            }
        }
        into.begin(
            "leasehold_shards_unserved",
            "gauge",
            "Shards without a holder that this node can ask, by the cause.",
        );
        for (cause, shards) in CAUSES.iter().zip(causes) {
            into.sample("leasehold_shards_unserved", format_args!("cause=\"{cause}\""), shards);
        }
        let [disk, memory] = self.refusing(now);
        into.begin(
            "leasehold_shards_refusing_writes",
            "gauge",
            "Shards held here that refuse writes that grow, by what is short at their nodes.",
        );
        for (cause, shards) in [("disk", disk), ("memory", memory)] {
            let labels = format_args!("cause=\"{cause}\"");
            into.sample("leasehold_shards_refusing_writes", labels, shards);
        }
        let removed = u8::from(self.is_removed());
        into.gauge("leasehold_removed", "1 if the cluster has removed this node.", removed);
    }

    /// One family for a yes or no about each peer.
    fn peer_flags(&self, now: Now, into: &mut Families) {
        type Flag = (&'static str, &'static str, fn(&Health) -> bool);
        let flags: [Flag; 5] = [
            (
                "leasehold_peer_unreached",
                "1 if the peer is heard, but can't be reached at its peer port by some node.",
                |health| !health.unreached_by.is_empty(),
            ),
            (
                "leasehold_peer_refused",
                "1 if a process with the peer's number is refused: a second one, or an old copy.",
                |health| health.refused,
            ),
            (
                "leasehold_peer_memory_full",
                "1 if the peer has hardly anything left of its memory limit.",
                |health| health.memory_full,
            ),
            ("leasehold_peer_disk_full", "1 if the peer's disk is nearly full.", |health| {
                health.disk_full
            }),
            (
                "leasehold_peer_disk_slow",
                "1 if the peer's disk is much slower than another's.",
                |health| health.slow_disk.is_some(),
            ),
        ];
        let others = self.world.others();
        let others = others.map(|peer| (peer, self.world.health(now.monotonic, peer)));
        let others: Vec<(NodeId, Health)> = others.collect();
        for (name, help, holds) in flags {
            into.begin(name, "gauge", help);
            for (peer, health) in &others {
                into.sample(name, format_args!("peer=\"{}\"", peer.0), u8::from(holds(health)));
            }
        }
    }

    fn peer_metrics(&self, now: Now, into: &mut Families) {
        let support = &self.world.support;
        into.begin("leasehold_peer_alive", "gauge", "1 if the peer's heartbeats arrive.");
        for peer in self.world.others() {
            let alive = u8::from(support.is_alive(now.monotonic, peer));
            into.sample("leasehold_peer_alive", format_args!("peer=\"{}\"", peer.0), alive);
        }
        self.peer_flags(now, into);
        into.begin(
            "leasehold_peer_round_trip_seconds",
            "gauge",
            "Newest round trip of a heartbeat.",
        );
        for peer in self.world.others() {
            if let Some(trip) = support.round_trip(peer) {
                let labels = format_args!("peer=\"{}\"", peer.0);
                into.sample("leasehold_peer_round_trip_seconds", labels, trip.as_secs_f64());
            }
        }
    }

    fn manager_metrics(&self, now: Now, into: &mut Families) {
        let active = u8::from(self.manager().is_some());
        into.gauge("leasehold_manager_active", "1 if this node is the active manager.", active);
        let Some(manager) = self.manager() else { return };
        let figures = manager.figures(now);
        into.gauge("leasehold_manager_mean_used", "Mean utilisation of the nodes.", figures.mean);
        into.begin("leasehold_manager_node_used", "gauge", "Utilisation of a node; 1 is full.");
        for (node, used) in &figures.used {
            let labels = format_args!("node=\"{}\"", node.0);
            into.sample("leasehold_manager_node_used", labels, used);
        }
        into.counter(
            "leasehold_manager_decisions_total",
            "Decisions since this manager began.",
            figures.decisions,
        );
        into.counter(
            "leasehold_manager_reports_refused_total",
            "Reports that made no sense.",
            figures.refused,
        );
    }
}

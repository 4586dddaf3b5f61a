//! The parameters of CONFIG.

use types::limits;

use super::live::Live;
use super::value::Kind;
use super::{Parameter, Source};

/// Redis' largest `int` and `long long`.
const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;
/// Longest text that is remembered.
const TEXT_BYTES_MAX: usize = 1024;
/// Longest password: what fits in a request of a connection that has yet to give it.
const PASSWORD_BYTES_MAX: usize = 512;

const EVICTION: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
];

const LOGGED: &str = "every acknowledged write is in the log, fsynced on a majority";
const NO_EVICTION: &str =
    "clients' memory is bounded by session_output_bytes and shard_queue_bytes";
const OWN_REPLICATION: &str = "shards are replicated by their own logs; see LEASEHOLD SHARDS";
const NO_TLS: &str = "TLS is not supported by this version";
const NO_DEBUG: &str = "this command does not exist here";

const fn flag(name: &'static [&'static str], default: &'static str) -> Parameter {
    Parameter { names: name, kind: Kind::Flag, source: Source::Remembered(default) }
}

const fn integer(
    names: &'static [&'static str],
    default: &'static str,
    (min, max): (i64, i64),
) -> Parameter {
    Parameter { names, kind: Kind::Integer { min, max }, source: Source::Remembered(default) }
}

const fn bytes(names: &'static [&'static str], default: &'static str) -> Parameter {
    let kind = Kind::Bytes { min: 0, max: LONG_MAX as u64 };
    Parameter { names, kind, source: Source::Remembered(default) }
}

const fn text(names: &'static [&'static str], default: &'static str) -> Parameter {
    let kind = Kind::Text { longest: TEXT_BYTES_MAX };
    Parameter { names, kind, source: Source::Remembered(default) }
}

const fn kind(names: &'static [&'static str], default: &'static str, kind: Kind) -> Parameter {
    Parameter { names, kind, source: Source::Remembered(default) }
}

const fn pinned(
    names: &'static [&'static str],
    value: &'static str,
    reason: &'static str,
) -> Parameter {
    let kind = Kind::Text { longest: TEXT_BYTES_MAX };
    Parameter { names, kind, source: Source::Pinned(value, reason) }
}

const fn live(names: &'static [&'static str], live: Live, kind: Kind) -> Parameter {
    Parameter { names, kind, source: Source::Live(live) }
}

const fn read_only(names: &'static [&'static str], live: Live) -> Parameter {
    let kind = Kind::Text { longest: TEXT_BYTES_MAX };
    Parameter { names, kind, source: Source::ReadOnly(live) }
}

const fn between(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const fn size(min: usize, max: usize) -> Kind {
    Kind::Bytes { min: min as u64, max: max as u64 }
}

/// Every parameter, ours last.
#[rustfmt::skip]
pub(super) static PARAMETERS: &[Parameter] = &[
    // Live.
    live(&["requirepass"], Live::Password, Kind::Text { longest: PASSWORD_BYTES_MAX }),
    live(&["maxclients"], Live::Clients, between(1, u32::MAX as i64)),
    live(&["maxmemory"], Live::Memory, size(0, usize::MAX)),
    live(&["proto-max-bulk-len"], Live::ArgumentBytes, size(1 << 20, limits::ARGUMENT_BYTES_MAX)),
    live(&["client-output-buffer-limit"], Live::OutputLimits, Kind::BufferLimits),
    Parameter { names: &["slowlog-log-slower-than"], kind: between(-1, LONG_MAX),
        source: Source::SlowLogLimit },
    Parameter { names: &["slowlog-max-len"], kind: between(0, LONG_MAX),
        source: Source::SlowLogLength },
    read_only(&["port"], Live::Port),
    read_only(&["bind"], Live::Bind),
    read_only(&["cluster-node-timeout"], Live::NodeTimeout),
    // The one true value.
    pinned(&["appendonly"], "yes", LOGGED),
    pinned(&["appendfsync"], "always", LOGGED),
    pinned(&["no-appendfsync-on-rewrite"], "no", LOGGED),
    pinned(&["cluster-enabled"], "yes", "there is no other mode"),
    pinned(&["databases"], "1", "a cluster has one database"),
    pinned(&["maxmemory-clients"], "0", NO_EVICTION),
    pinned(&["replicaof", "slaveof"], "", OWN_REPLICATION),
    pinned(&["tls-port"], "0", NO_TLS),
    pinned(&["tls-cluster"], "no", NO_TLS),
    pinned(&["tls-replication"], "no", NO_TLS),
    pinned(&["enable-debug-command"], "no", NO_DEBUG),
    pinned(&["enable-module-command"], "no", NO_DEBUG),
    pinned(&["enable-protected-configs"], "no", "no parameter needs it"),
    pinned(&["cluster-require-full-coverage"], "no", "a shard without holder affects no other"),
    pinned(&["unixsocket"], "", "a node listens on TCP"),
    // Accepted and remembered, without effect.
    kind(&["save"], "", Kind::SavePoints),
    kind(&["notify-keyspace-events"], "", Kind::Events),
    kind(&["maxmemory-policy"], "noeviction", Kind::Word(EVICTION)),
    kind(&["latency-tracking-info-percentiles"], "50 99 99.9", Kind::Percentiles),
    kind(&["loglevel"], "notice", Kind::Word(&["debug", "verbose", "notice", "warning"])),
    kind(&["cluster-preferred-endpoint-type"], "ip",
        Kind::Word(&["ip", "hostname", "unknown-endpoint"])),
    kind(&["sanitize-dump-payload"], "no", Kind::Word(&["no", "yes", "clients"])),
    kind(&["repl-diskless-load"], "disabled",
        Kind::Word(&["disabled", "on-empty-db", "swapdb"])),
    kind(&["propagation-error-behavior"], "ignore",
        Kind::Word(&["ignore", "panic", "panic-on-replicas"])),
    kind(&["acl-pubsub-default"], "resetchannels", Kind::Word(&["allchannels", "resetchannels"])),
    integer(&["timeout"], "0", (0, INT_MAX)),
    integer(&["tcp-keepalive"], "300", (0, INT_MAX)),
    integer(&["tcp-backlog"], "511", (0, INT_MAX)),
    bytes(&["client-query-buffer-limit"], "1073741824"),
    integer(&["list-max-listpack-size", "list-max-ziplist-size"], "-2", (-(1 << 31), INT_MAX)),
    integer(&["list-compress-depth"], "0", (0, INT_MAX)),
    integer(&["hash-max-listpack-entries", "hash-max-ziplist-entries"], "512", (0, LONG_MAX)),
    bytes(&["hash-max-listpack-value", "hash-max-ziplist-value"], "64"),
    integer(&["set-max-intset-entries"], "512", (0, LONG_MAX)),
    integer(&["set-max-listpack-entries"], "128", (0, LONG_MAX)),
    bytes(&["set-max-listpack-value"], "64"),
    integer(&["zset-max-listpack-entries", "zset-max-ziplist-entries"], "128", (0, LONG_MAX)),
    bytes(&["zset-max-listpack-value", "zset-max-ziplist-value"], "64"),
    bytes(&["hll-sparse-max-bytes"], "3000"),
    bytes(&["stream-node-max-bytes"], "4096"),
    integer(&["stream-node-max-entries"], "100", (0, LONG_MAX)),
    integer(&["latency-monitor-threshold"], "0", (0, LONG_MAX)),
    flag(&["latency-tracking"], "yes"),
    integer(&["lua-time-limit", "busy-reply-threshold"], "5000", (0, LONG_MAX)),
    integer(&["acllog-max-len"], "128", (0, LONG_MAX)),
    integer(&["tracking-table-max-keys"], "1000000", (0, LONG_MAX)),
    integer(&["maxmemory-samples"], "5", (1, INT_MAX)),
    integer(&["maxmemory-eviction-tenacity"], "10", (0, 100)),
    integer(&["lfu-log-factor"], "10", (0, INT_MAX)),
    integer(&["lfu-decay-time"], "1", (0, INT_MAX)),
    integer(&["active-expire-effort"], "1", (1, 10)),
    flag(&["lazyfree-lazy-eviction"], "no"),
    flag(&["lazyfree-lazy-expire"], "no"),
    flag(&["lazyfree-lazy-server-del"], "no"),
    flag(&["lazyfree-lazy-user-del"], "no"),
    flag(&["lazyfree-lazy-user-flush"], "no"),
    flag(&["replica-lazy-flush", "slave-lazy-flush"], "no"),
    flag(&["activedefrag"], "no"),
    bytes(&["active-defrag-ignore-bytes"], "104857600"),
    integer(&["active-defrag-threshold-lower"], "10", (0, 1000)),
    integer(&["active-defrag-threshold-upper"], "100", (0, 1000)),
    integer(&["active-defrag-cycle-min"], "1", (1, 99)),
    integer(&["active-defrag-cycle-max"], "25", (1, 99)),
    integer(&["active-defrag-max-scan-fields"], "1000", (1, LONG_MAX)),
    flag(&["activerehashing"], "yes"),
    integer(&["hz"], "10", (0, INT_MAX)),
    flag(&["dynamic-hz"], "yes"),
    integer(&["io-threads"], "1", (1, 128)),
    flag(&["protected-mode"], "no"),
    flag(&["rdbcompression"], "yes"),
    flag(&["rdbchecksum"], "yes"),
    flag(&["stop-writes-on-bgsave-error"], "yes"),
    flag(&["rdb-save-incremental-fsync"], "yes"),
    flag(&["aof-use-rdb-preamble"], "yes"),
    flag(&["aof-load-truncated"], "yes"),
    flag(&["aof-rewrite-incremental-fsync"], "yes"),
    integer(&["auto-aof-rewrite-percentage"], "100", (0, INT_MAX)),
    bytes(&["auto-aof-rewrite-min-size"], "67108864"),
    text(&["dbfilename"], "dump.rdb"),
    text(&["appendfilename"], "appendonly.aof"),
    text(&["dir"], ""),
    text(&["logfile"], ""),
    text(&["pidfile"], ""),
    text(&["aclfile"], ""),
    text(&["cluster-config-file"], ""),
    flag(&["replica-read-only", "slave-read-only"], "yes"),
    flag(&["replica-serve-stale-data", "slave-serve-stale-data"], "no"),
    integer(&["replica-priority", "slave-priority"], "100", (0, INT_MAX)),
    integer(&["min-replicas-to-write", "min-slaves-to-write"], "0", (0, INT_MAX)),
    integer(&["min-replicas-max-lag", "min-slaves-max-lag"], "10", (0, INT_MAX)),
    bytes(&["repl-backlog-size"], "1048576"),
    integer(&["repl-backlog-ttl"], "3600", (0, LONG_MAX)),
    integer(&["repl-timeout"], "60", (1, INT_MAX)),
    integer(&["repl-ping-replica-period", "repl-ping-slave-period"], "10", (1, INT_MAX)),
    flag(&["repl-diskless-sync"], "yes"),
    integer(&["repl-diskless-sync-delay"], "5", (0, INT_MAX)),
    flag(&["repl-disable-tcp-nodelay"], "no"),
    integer(&["cluster-migration-barrier"], "1", (0, INT_MAX)),
    flag(&["cluster-allow-replica-migration"], "yes"),
    flag(&["cluster-allow-reads-when-down"], "no"),
    flag(&["cluster-allow-pubsubshard-when-down"], "yes"),
    integer(&["cluster-replica-validity-factor", "cluster-slave-validity-factor"], "10",
        (0, INT_MAX)),
    flag(&["cluster-replica-no-failover", "cluster-slave-no-failover"], "no"),
    text(&["cluster-announce-hostname"], ""),
    text(&["cluster-announce-ip"], ""),
    integer(&["cluster-announce-port"], "0", (0, 65535)),
    integer(&["cluster-announce-bus-port"], "0", (0, 65535)),
    flag(&["crash-log-enabled"], "yes"),
    flag(&["crash-memcheck-enabled"], "yes"),
    flag(&["disable-thp"], "yes"),
    flag(&["daemonize"], "no"),
    flag(&["always-show-logo"], "no"),
    integer(&["shutdown-timeout"], "10", (0, INT_MAX)),
    // Ours. Times in milliseconds.
    live(&["leasehold-park-time"], Live::ParkTime, between(0, 60_000)),
    live(&["leasehold-request-time"], Live::RequestTime, between(100, 600_000)),
    live(&["leasehold-transfer-time"], Live::TransferTime, between(50, 60_000)),
    live(&["leasehold-redirect"], Live::Redirect,
        Kind::Word(&["never", "rationed", "always"])),
    live(&["leasehold-shard-queue-bytes"], Live::ShardQueueBytes, size(1 << 20, 1 << 40)),
    live(&["leasehold-clock-skew"], Live::ClockSkew, between(50, 60_000)),
    live(&["leasehold-log-bytes"], Live::LogBytes, size(1 << 20, 1 << 50)),
    live(&["leasehold-disk-reserve"], Live::DiskReserve, size(0, 1 << 50)),
    read_only(&["leasehold-segment-bytes"], Live::SegmentBytes),
    read_only(&["leasehold-node"], Live::Node),
    read_only(&["leasehold-cluster"], Live::Cluster),
    read_only(&["leasehold-shards"], Live::Shards),
    read_only(&["leasehold-replicas"], Live::Replicas),
    read_only(&["leasehold-beat-interval"], Live::BeatInterval),
    read_only(&["leasehold-support-duration"], Live::SupportDuration),
    read_only(&["leasehold-clock-drift-permille"], Live::ClockDrift),
    read_only(&["leasehold-clock-gap"], Live::ClockGap),
    read_only(&["leasehold-campaign-step"], Live::CampaignStep),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_every_default_is_valid() {
        let mut names: alloc::vec::Vec<&str> = alloc::vec::Vec::new();
        for parameter in PARAMETERS {
            for name in parameter.names {
                assert!(!names.contains(name), "{name}");
                names.push(name);
            }
            let default = match parameter.source {
                Source::Remembered(default) | Source::Pinned(default, _) => default,
                Source::Live(_)
                | Source::ReadOnly(_)
                | Source::SlowLogLimit
                | Source::SlowLogLength => continue,
            };
            let parsed = parameter.kind.parse(default.as_bytes(), "");
            assert_eq!(parsed.as_deref(), Ok(default), "{}", parameter.names[0]);
        }
    }
}

//! What an operator may choose about one node. Plain values: parsing and documentation of them is
//! the shell's business.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::time::Duration;

use placement::Locality;
use types::{NodeId, ShardId, SlotRange};

use crate::member::{Member, Role};
use crate::planted::{Planting, Plantings};

/// The settings of one node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's number; one of `members`.
    pub node: NodeId,
    /// The cluster's name: nodes of another cluster are refused.
    pub cluster: String,
    /// All nodes, in ascending order of their numbers.
    pub members: Vec<Member>,
    /// How many shards a new cluster is cut into, 1 to [`types::limits::SHARDS_MAX`].
    pub shards: u16,
    /// How many replicas a shard of a new cluster has, at most one on each node.
    pub replicas: usize,
    /// Whether the node founds a new cluster if it and all the others know of none.
    pub found: bool,
    /// Time between two beats to a peer.
    pub beat_interval: Duration,
    /// How long a promise of support lasts from the moment the supporter receives the beat.
    pub support_duration: Duration,
    /// Bound on the drift between two nodes' clocks over one promise, in thousandths.
    pub clock_drift_permille: u32,
    /// A jump between the monotonic and the wall clock larger than this means that the machine
    /// was suspended or its clock was set: the node then gives up all its leases.
    pub clock_gap: Duration,
    /// How far the wall clock may be from the cluster clock before the node says that it is off,
    /// and ranks last for leases.
    pub clock_skew: Duration,
    /// How long a client's request waits for a lease that is on its way or for a new holder.
    pub park_time: Duration,
    /// How long a request that was proposed or forwarded may take before its outcome is reported
    /// as uncertain.
    pub request_time: Duration,
    /// How long a cooperative transfer may take before the old holder campaigns again.
    pub transfer_time: Duration,
    /// Step by which the heirs of a dead holder wait for those ranked before them.
    pub campaign_step: Duration,
    /// Password that clients must give; empty means none.
    pub password: String,
    /// Whether clients that follow redirections are sent MOVED at all.
    pub redirect: Redirect,
    /// Longest argument a client may send, in bytes.
    pub argument_bytes: usize,
    /// Most bytes of requests that may be parked or in flight in one shard.
    pub shard_queue_bytes: usize,
    /// Most bytes of replies that may wait for one client before it is disconnected.
    pub session_output_bytes: usize,
    /// Most client connections.
    pub clients: usize,
    /// What the system grants: CONFIG SET allows no more.
    pub clients_most: usize,
    /// Whether this node manages while it holds the system shard. Off on every node of a new
    /// cluster, leases move by failures and operators alone, and nobody reports.
    pub managed: bool,
    /// The Lease Manager's policy in a new cluster; from then on LEASEHOLD POLICY changes it.
    pub policy: placement::Policy,
    /// Bytes of one log segment: what the checkpointer frees at a time.
    pub segment_bytes: u64,
    /// Log bytes that are always allowed to stand before segments are reclaimed.
    pub log_bytes: u64,
    /// Bytes that the data of all shards may take, with the log in memory; 0: no limit.
    pub memory: u64,
    /// Disk below which nothing is taken that makes data grow.
    pub disk_reserve: u64,
    /// Bytes of one piece of a slot image. A constant but in tests.
    pub piece_bytes: usize,
    /// Bytes of one commit of the log, if it can be parted. A constant but in tests.
    pub persist_bytes: usize,
    /// Bytes of a shard's applied entries that stay in memory, whatever a catch-up needs. A
    /// constant but in tests.
    pub log_window: usize,
    /// From so many bytes on values are not copied. A constant but in tests.
    pub long_bytes: usize,
    /// Bytes of answers that may be on their way to a client, as far as they can be foreseen, and
    /// to another node. A constant but in tests.
    pub answers_bytes: usize,
    /// Divides the work that a turn may do, so that in a simulation, where there is little to do,
    /// some of it is left over. Not a setting of servers.
    pub turn_divisor: u64,
    /// Rules that this node breaks on purpose, so that tests can show that they are needed.
    pub planted: Plantings,
}

/// How a node that does not hold a shard answers a client for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// Always forward; never send MOVED.
    Never,
    /// Forward, and now and then send MOVED to connections known to follow it.
    Rationed,
    /// Always send MOVED, as Redis Cluster does.
    Always,
}

impl Settings {
    /// Settings with every default, for a cluster of these members.
    #[must_use]
    pub fn new(node: NodeId, members: Vec<Member>) -> Self {
        Self {
            node,
            cluster: String::from("leasehold"),
            members,
            shards: 16,
            replicas: 3,
            found: true,
            beat_interval: Duration::from_millis(100),
            support_duration: Duration::from_millis(750),
            clock_drift_permille: 50,
            clock_gap: Duration::from_millis(500),
            clock_skew: Duration::from_secs(1),
            park_time: Duration::from_millis(1500),
            request_time: Duration::from_secs(5),
            transfer_time: Duration::from_millis(500),
            campaign_step: Duration::from_millis(150),
            password: String::new(),
            redirect: Redirect::Rationed,
            argument_bytes: 64 << 20,
            shard_queue_bytes: 64 << 20,
            session_output_bytes: 256 << 20,
            clients: 10_000,
            clients_most: usize::MAX,
            managed: true,
            policy: placement::Policy::default(),
            segment_bytes: 64 << 20,
            log_bytes: 512 << 20,
            memory: 0,
            disk_reserve: 256 << 20,
            piece_bytes: types::limits::PIECE_BYTES,
            persist_bytes: types::limits::PERSIST_BYTES,
            answers_bytes: types::limits::ANSWERS_BYTES,
            log_window: types::limits::LOG_WINDOW,
            long_bytes: types::limits::LONG_BYTES,
            turn_divisor: 1,
            planted: Plantings::default(),
        }
    }

    /// Whether this node breaks a rule, because a test wants it to.
    #[must_use]
    pub fn breaks(&self, planting: Planting) -> bool {
        self.planted.contains(planting)
    }

    /// Bytes that are read of the log at a time: half of a window, but not so little that a segment
    /// is searched without an end.
    #[must_use]
    pub fn log_read_bytes(&self) -> usize {
        let part = usize::try_from(self.segment_bytes / 16).unwrap_or(usize::MAX);
        part.max(self.log_window / 2)
    }

    /// The shards of a new cluster: each one's slots and its replicas, the preferred holder first.
    /// Holders are spread evenly, and so are the heirs of each holder. The system shard is first.
    #[must_use]
    pub fn first_shards(&self) -> Vec<(ShardId, SlotRange, Vec<NodeId>)> {
        let managers = system_replicas(&self.members, |_| true);
        let system = (ShardId::SYSTEM, SYSTEM_RANGE, managers);
        let number = |(at, (range, replicas))| (ShardId(at as u32 + 1), range, replicas);
        // Shards are few: a setting bounds them by `limits::SHARDS_MAX`.
        let data = self.first_data_shards().into_iter().enumerate().map(number);
        core::iter::once(system).chain(data).collect()
    }

    /// One number for what a new cluster with these settings is: its members, their roles, and
    /// every shard's slots and replicas.
    #[must_use]
    pub fn plan(&self) -> u64 {
        let mut text = String::new();
        for member in &self.members {
            let _ = write!(text, "{} {};", member.node, member.role.name());
        }
        for (shard, range, replicas) in self.first_shards() {
            let _ = write!(text, "{shard} {range} {replicas:?};");
        }
        types::fingerprint(text.bytes())
    }

    fn first_data_shards(&self) -> Vec<(SlotRange, Vec<NodeId>)> {
        let members: Vec<&Member> = members_for(&self.members, Role::Data).collect();
        let nodes = members.len();
        let replicas = self.replicas.min(nodes);
        let labelled = members.iter().any(|member| member.locality != Locality::default());
        let mut counts: BTreeMap<NodeId, usize> = BTreeMap::new();
        let place = |(shard, range): (usize, SlotRange)| {
            let first = shard % nodes;
            // Shards with the same first holder rotate their heirs, so that the shards of a dead
            // node spread over all the others.
            let turn = (shard / nodes) % (nodes - 1).max(1);
            let heirs =
                (0..nodes - 1).map(|step| (first + 1 + (step + turn) % (nodes - 1)) % nodes);
            let order = core::iter::once(first).chain(heirs);
            let order = order.map(|at| members[at]).collect();
            // The rotation alone makes even counts, but for where labels cut into it.
            let count = |node| counts.get(&node).copied().filter(|_| labelled).unwrap_or(0);
            let replicas = apart(order, replicas, count);
            replicas.iter().for_each(|node| *counts.entry(*node).or_default() += 1);
            (range, replicas)
        };
        SlotRange::even_cut(self.shards).into_iter().enumerate().map(place).collect()
    }
}

/// The slots that the system shard's own keyspace has. No client's key is ever routed there.
pub(crate) const SYSTEM_RANGE: SlotRange = SlotRange::FIRST;

/// Dedicated managers take the system shard if there are so many of them: fewer would not bear
/// the loss of one.
const MANAGERS_MIN: usize = 3;

/// Most replicas of the system shard, and most dedicated managers of a cluster.
pub const MANAGERS_MAX: usize = 5;

/// The system shard is not cut back below so many replicas.
pub(crate) const SYSTEM_REPLICAS_MIN: usize = 3;

/// The members of a role.
pub(crate) fn members_for(members: &[Member], role: Role) -> impl Iterator<Item = &Member> {
    members.iter().filter(move |member| member.role == role)
}

/// So many of the members as would not fail together, by the labels of their places: the first, and
/// each time the next that shares least with those before, and of several such the one with the
/// least `load`. Without labels, and at equal load, the first ones.
fn apart(mut members: Vec<&Member>, count: usize, load: impl Fn(NodeId) -> usize) -> Vec<NodeId> {
    let mut chosen: Vec<&Member> = Vec::new();
    while chosen.len() < count && !members.is_empty() {
        let cost = |at: &usize| {
            let member = members[*at];
            let shared = chosen.iter().map(|other| member.locality.shared(&other.locality));
            (!chosen.is_empty()).then(|| (shared.sum::<u32>(), load(member.node)))
        };
        let next = (0..members.len()).min_by_key(cost).unwrap_or(0);
        chosen.push(members.remove(next));
    }
    chosen.into_iter().map(|member| member.node).collect()
}

/// Where the system shard should have its replicas: on the dedicated managers if there are three
/// at least, else on five data nodes, or three if there are fewer than five; apart from each other,
/// as far as their labels say. Only nodes for which `is_fit` holds are taken.
pub(crate) fn system_replicas(members: &[Member], is_fit: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
    let fit = |role| members_for(members, role).filter(|member| is_fit(member.node));
    let dedicated = fit(Role::Manager).count() >= MANAGERS_MIN;
    let role = if dedicated { Role::Manager } else { Role::Data };
    let nodes: Vec<&Member> = fit(role).collect();
    let most = if dedicated || nodes.len() >= MANAGERS_MAX { MANAGERS_MAX } else { 3 };
    apart(nodes, most, |_| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(nodes: u32, shards: u16) -> Settings {
        let member = |node| Member::new(NodeId(node), "127.0.0.1", 7000, 17000);
        let mut settings = Settings::new(NodeId(1), (1..=nodes).map(member).collect());
        settings.shards = shards;
        settings
    }

    /// Nine nodes in three zones: whatever zone is lost, each shard keeps two of its three
    /// replicas, and the system shard three of its five.
    #[test]
    fn a_zone_may_be_lost() {
        for order in [[0, 1, 2, 0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1, 2, 2, 2]] {
            let mut settings = settings(9, 72);
            for (member, zone) in settings.members.iter_mut().zip(order) {
                member.locality.region = "eu".into();
                member.locality.zone = ["a", "b", "c"][zone].into();
            }
            let zone = |node: &NodeId| order[node.0 as usize - 1];
            let mut counts = [0; 9];
            for (shard, _, replicas) in settings.first_shards() {
                let most = if shard == ShardId::SYSTEM { 2 } else { 1 };
                for lost in 0..3 {
                    let gone = replicas.iter().filter(|node| zone(node) == lost).count();
                    assert!(gone <= most, "{shard}: {replicas:?}");
                }
                replicas.iter().for_each(|node| counts[node.0 as usize - 1] += 1);
            }
            // 24 for each node, and five of the system shard.
            assert!(counts.iter().all(|count| (20..=30).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn holders_and_heirs_are_spread_evenly() {
        for (nodes, shards) in [(1, 4), (2, 16), (3, 16), (5, 60)] {
            let placement = settings(nodes, shards).first_data_shards();
            let mut held = alloc::vec![0; nodes as usize + 1];
            for (_, replicas) in &placement {
                held[replicas[0].0 as usize] += 1;
                let mut distinct = replicas.clone();
                distinct.sort();
                distinct.dedup();
                assert_eq!(distinct.len(), 3.min(nodes as usize));
            }
            let most = held[1..].iter().max().unwrap();
            let least = held[1..].iter().min().unwrap();
            assert!(most - least <= 1, "{held:?}");
        }
    }
}

//! What must hold at every instant, looked at from outside with true time.
//!
//! The checker sees all nodes at once, which no node can. It knows nothing of how the core keeps
//! its promises; clients' histories are judged apart from it (crate `history`).

use std::collections::BTreeMap;
use std::fmt;

use cluster::{Event, ReplicaView, Settings};
use types::{LeaseEpoch, LogIndex, ShardId, Term};

use crate::machine::UNPARTED_BYTES;
use crate::situations::{Reached, name_of};
use crate::world::node_id;

/// Bytes beyond the limit that a node itself may ask a shard for: keys that have expired.
const QUEUE_SLACK: usize = 32 << 10;

/// How many times its window and what must stay in memory the entries in memory may be.
const LOG_MEMORY_FACTOR: usize = 2;

/// What a node writes in one commit to free a segment, at most.
const FREED_AT_ONCE: u64 = 256 << 10;
/// Commits that it may take to free a segment, beside those that write its slots again.
const COMMITS_TO_FREE: u64 = 8;

/// A node's log as it is, and what it may be.
#[derive(Clone, Copy)]
pub(crate) struct LogView {
    pub(crate) bytes: u64,
    /// The most for what there is to be kept now.
    pub(crate) most: u64,
    /// How long a segment is.
    pub(crate) segment: u64,
    /// How many commits there were, ever.
    pub(crate) commits: u64,
}

/// A rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// When, in nanoseconds of true time.
    pub at: u64,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.6} s: {}", self.rule, self.at as f64 / 1e9, self.text)
    }
}

/// What a node was last seen at in a shard, in its present life.
#[derive(Clone, Copy, Default)]
struct Seen {
    life: u64,
    term: Term,
    epoch: LeaseEpoch,
    commit: LogIndex,
}

/// Watches a cluster.
pub(crate) struct Checker {
    violation: Option<Violation>,
    /// Who acquired each lease, under which term.
    leases: BTreeMap<(ShardId, LeaseEpoch), (Term, usize)>,
    leaders: BTreeMap<(ShardId, Term), usize>,
    seen: BTreeMap<(usize, ShardId), Seen>,
    /// Holders at the instant that is being looked at.
    holders: BTreeMap<ShardId, usize>,
    /// The newest entry of a shard that any node has known to be committed.
    committed: BTreeMap<ShardId, LogIndex>,
    /// Digests of a shard's data at an index.
    digests: BTreeMap<(ShardId, LogIndex), (usize, u64)>,
    /// The most that each node's log may be, and as of which of its commits.
    allowed: BTreeMap<usize, (u64, u64)>,
    /// How often each situation was reached.
    pub(crate) reached: Reached,
    /// Whether the rules of leases are looked at; else only clients can notice a broken one.
    pub(crate) watches_leases: bool,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self {
            violation: None,
            leases: BTreeMap::new(),
            leaders: BTreeMap::new(),
            seen: BTreeMap::new(),
            holders: BTreeMap::new(),
            committed: BTreeMap::new(),
            digests: BTreeMap::new(),
            allowed: BTreeMap::new(),
            reached: Reached::default(),
            watches_leases: true,
        }
    }

    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// All nodes have gone back in time: what was seen is no measure for what comes.
    pub(crate) fn forget(&mut self) {
        let former = core::mem::replace(self, Self::new());
        let Self { violation, allowed, reached, watches_leases, .. } = former;
        (self.violation, self.allowed, self.reached) = (violation, allowed, reached);
        self.watches_leases = watches_leases;
    }

    /// The newest entry of a shard that any node has known to be committed.
    pub(crate) fn committed(&self, shard: ShardId) -> LogIndex {
        self.committed.get(&shard).copied().unwrap_or_default()
    }

    /// The digest of a shard's data at an index, if a replica was seen there.
    pub(crate) fn digest(&self, shard: ShardId, index: LogIndex) -> Option<u64> {
        self.digests.get(&(shard, index)).map(|(_, digest)| *digest)
    }

    /// Something has happened that no node's event tells of.
    pub(crate) fn saw(&mut self, name: &'static str) {
        self.reached.count(name);
    }

    /// How often something was observed.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.reached.times(name)
    }

    /// Notes a broken rule; the first one counts.
    pub(crate) fn report(&mut self, at: u64, rule: &'static str, text: String) {
        self.violation.get_or_insert(Violation { rule, at, text });
    }

    /// Takes a node's event. If it acquired a lease, says which.
    pub(crate) fn observe(
        &mut self,
        at: u64,
        node: usize,
        event: &Event,
    ) -> Option<(ShardId, LeaseEpoch)> {
        self.reached.count(name_of(event));
        match event {
            Event::LeaseAcquired { shard, epoch, term } => {
                self.acquired(at, node, *shard, *epoch, *term);
                return Some((*shard, *epoch));
            }
            Event::ReadServed { shard, epoch, .. } if self.watches_leases => {
                self.read_served(at, node, *shard, *epoch);
            }
            Event::ReplicaFreed { shard } => {
                // Should it come back, it begins anew, but for its vote.
                if let Some(seen) = self.seen.get_mut(&(node, *shard)) {
                    *seen = Seen { life: seen.life, term: seen.term, ..Seen::default() };
                }
            }
            Event::ReadServed { .. }
            | Event::Started { .. }
            | Event::Blank { .. }
            | Event::FoundersDisagree { .. }
            | Event::FoundsNothing
            | Event::Founded
            | Event::DirectoryLost
            | Event::WentBack { .. }
            | Event::LifeRefused { .. }
            | Event::ReplicaLost { .. }
            | Event::SupportGiven { .. }
            | Event::SupportWithdrawn { .. }
            | Event::Unheard { .. }
            | Event::Heard { .. }
            | Event::DiskStalled
            | Event::DiskShort { .. }
            | Event::DiskSlow { .. }
            | Event::ClockGap { .. }
            | Event::PeersClockJumped { .. }
            | Event::ClockOff { .. }
            | Event::ClockRight { .. }
            | Event::Campaigning { .. }
            | Event::LeaseLost { .. }
            | Event::LeaseChanged { .. }
            | Event::TransferBegun { .. }
            | Event::LeaseGivenUp { .. }
            | Event::SteppedDown { .. }
            | Event::Unserved { .. }
            | Event::ServedAgain { .. }
            | Event::TransferFailed { .. }
            | Event::CatchUpBegun { .. }
            | Event::CatchUpInstalled { .. }
            | Event::ReplicasChanged { .. }
            | Event::CommittedEntryConflicts { .. }
            | Event::MembersChanged { .. }
            | Event::Removed
            | Event::ForeignCluster { .. }
            | Event::ManagerBegun { .. }
            | Event::ManagerEnded
            | Event::Decided(_)
            | Event::Arranged(_)
            | Event::ReportRefused { .. }
            | Event::LogUnreadable { .. }
            | Event::SegmentReleased { .. } => {}
        }
        None
    }

    fn read_served(&mut self, at: u64, node: usize, shard: ShardId, epoch: LeaseEpoch) {
        let newest = self.leases.range((shard, epoch)..=(shard, LeaseEpoch(u64::MAX)));
        if let Some(((_, newer), _)) = newest.last().filter(|((_, newer), _)| *newer > epoch) {
            let text = format!(
                "{} served a read of {shard} under lease {epoch}, but {newer} is acquired",
                node_id(node)
            );
            self.report(at, "no read outside a lease", text);
        }
    }

    fn acquired(&mut self, at: u64, node: usize, shard: ShardId, epoch: LeaseEpoch, term: Term) {
        let known = self.leases.insert((shard, epoch), (term, node));
        if known.is_some_and(|known| known != (term, node)) {
            let text = format!("lease {epoch} of {shard} was acquired twice");
            self.report(at, "one lease for each epoch", text);
        }
        let before = self.leases.range((shard, LeaseEpoch(0))..(shard, epoch)).next_back();
        if let Some(((_, older), (older_term, _))) = before
            && *older_term >= term
        {
            let text = format!("lease {epoch} of {shard} has term {term}, but {older} a later");
            self.report(at, "epochs grow with terms", text);
        }
    }

    /// Begins to look at all nodes at one instant.
    pub(crate) fn begin_look(&mut self) {
        self.holders.clear();
    }

    /// Looks at the replicas of one node.
    pub(crate) fn look(&mut self, at: u64, node: usize, life: u64, views: &[ReplicaView]) {
        for view in views {
            let shard = view.shard;
            self.reached.look(node_id(node), view);
            if view.holds
                && self.watches_leases
                && let Some(other) = self.holders.insert(shard, node)
            {
                let text = format!(
                    "{} and {} both hold the lease of {shard}",
                    node_id(other),
                    node_id(node)
                );
                self.report(at, "one holder", text);
            }
            if view.leader == Some(node_id(node)) {
                let leader = *self.leaders.entry((shard, view.term)).or_insert(node);
                if leader != node {
                    let text = format!("{shard} has two leaders in {}", view.term);
                    self.report(at, "one leader for each term", text);
                }
            }
            let committed = self.committed.entry(shard).or_default();
            *committed = view.commit_index.max(*committed);
            let now = Seen { life, term: view.term, epoch: view.epoch, commit: view.commit_index };
            let seen = self.seen.insert((node, shard), now).filter(|seen| seen.life == life);
            let seen = seen.unwrap_or_default();
            if now.term < seen.term || now.epoch < seen.epoch || now.commit < seen.commit {
                let text = format!("{} of {shard} went back: {view:?}", node_id(node));
                self.report(at, "terms, epochs and commits never go back", text);
            }
            if view.applied_index > view.commit_index || view.commit_index > view.last_index {
                let text = format!("{} of {shard}: {view:?}", node_id(node));
                self.report(at, "applied is committed is in the log", text);
            }
        }
    }

    /// The most that a node's log may be. What it had to keep may be gone all at once, a large
    /// replica that was removed or a catch-up that was given up; the log follows segment by
    /// segment, each within so many commits.
    fn most_of_log(&mut self, node: usize, log: LogView) -> u64 {
        let (most, since) = self.allowed.get(&node).copied().unwrap_or((0, log.commits));
        let each = 2 * log.segment.div_ceil(FREED_AT_ONCE) + COMMITS_TO_FREE;
        let freed = log.commits.saturating_sub(since) / each;
        let left = most.saturating_sub(freed * log.segment);
        let now =
            if left <= log.most { (log.most, log.commits) } else { (left, since + freed * each) };
        self.allowed.insert(node, now);
        now.0
    }

    /// Looks at what a node keeps: its log, and what is left of removed replicas.
    pub(crate) fn look_at_storage(&mut self, at: u64, node: usize, log: LogView, removed: u64) {
        let most = self.most_of_log(node, log);
        if log.bytes > most {
            let text = format!("{}: {} bytes, at most {most}", node_id(node), log.bytes);
            self.report(at, "the log is bounded", text);
        }
        if removed > 0 {
            let text = format!("{}: {removed} bytes", node_id(node));
            self.report(at, "removed replicas hold nothing", text);
        }
    }

    /// Looks at the bytes of requests that are under way.
    pub(crate) fn look_at_queues(
        &mut self,
        at: u64,
        node: usize,
        limit: usize,
        views: &[ReplicaView],
    ) {
        let over = |view: &&ReplicaView| view.queued_bytes > limit.saturating_add(QUEUE_SLACK);
        if let Some(view) = views.iter().find(over) {
            let (node, shard, bytes) = (node_id(node), view.shard, view.queued_bytes);
            let text = format!("{bytes} bytes of requests are under way in {shard} at {node}");
            self.report(at, "queues are bounded", text);
        }
    }

    /// Looks at the entries that are in memory: what is applied and durable has a window, and what
    /// is read from the disk again comes in commits.
    pub(crate) fn look_at_logs(
        &mut self,
        at: u64,
        node: usize,
        settings: &Settings,
        views: &[ReplicaView],
    ) {
        let window = settings.log_window;
        for view in views {
            let (bytes, kept, read) = view.log_in_memory;
            let most = LOG_MEMORY_FACTOR * (window + kept);
            let most_read = settings.log_read_bytes() + settings.persist_bytes + UNPARTED_BYTES;
            if bytes > most || read > most_read {
                let (node, shard) = (node_id(node), view.shard);
                let text = format!(
                    "{bytes} bytes of entries of {shard} are in memory at {node}, at most {most}, \
                     and {read} that were read again, at most {most_read}"
                );
                self.report(at, "the log in memory is bounded", text);
            }
        }
    }

    /// Compares a replica's data with those of the other replicas at the same index.
    pub(crate) fn compare(
        &mut self,
        at: u64,
        node: usize,
        (shard, index): (ShardId, LogIndex),
        digest: u64,
    ) {
        let (other, known) = *self.digests.entry((shard, index)).or_insert((node, digest));
        if known != digest {
            let text = format!(
                "{shard} at {index} differs between {} and {}",
                node_id(other),
                node_id(node)
            );
            self.report(at, "replicas are equal", text);
        }
    }
}

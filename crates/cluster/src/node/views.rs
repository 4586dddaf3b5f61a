//! What operators, tests and checkers can see of a node.

use alloc::vec::Vec;

use types::{LeaseEpoch, LogIndex, NodeId, Now, SessionId, ShardId, Slot, SlotRange, Term};

use super::routes::Route;
use super::{Node, World};
use crate::shard::{Shard, ShardStatus};

/// One replica as the simulator's checkers see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaView {
    /// The shard.
    pub shard: ShardId,
    /// Its slots.
    pub range: SlotRange,
    /// Raft's term.
    pub term: Term,
    /// Who leads, as far as this replica knows.
    pub leader: Option<NodeId>,
    /// The lease's epoch as this replica's log has it.
    pub epoch: LeaseEpoch,
    /// Its holder as this replica's log has it.
    pub holder: Option<NodeId>,
    /// Whether this node considers itself the holder of a valid lease now.
    pub holds: bool,
    /// The newest entry in the log.
    pub last_index: LogIndex,
    /// The newest entry known to be committed.
    pub commit_index: LogIndex,
    /// The newest entry that is applied.
    pub applied_index: LogIndex,
    /// Whether slot images are ahead of the applied log, or an entry is applied in part: the data
    /// are of no single index then.
    pub mixed: bool,
    /// The voters.
    pub voters: Vec<NodeId>,
    /// The learners.
    pub learners: Vec<NodeId>,
    /// The nodes that should have the replicas.
    pub goal: Vec<NodeId>,
    /// How many keys it has.
    pub keys: u64,
    /// Bytes of requests that are under way in it.
    pub queued_bytes: usize,
    /// Bytes of entries in memory, of those among them that are not applied or not durable, and of
    /// those that were read from the log again.
    pub log_in_memory: (usize, usize, usize),
}

/// What a node keeps, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoredView {
    /// What the log has to hold at least.
    pub live: u64,
    /// Keys, values and entries in memory of replicas that were removed from this node.
    pub removed: u64,
}

/// One number for the digests of several slots, in their order.
pub fn fold_digests(digests: impl Iterator<Item = u64>) -> u64 {
    digests.fold(0, |all: u64, it| all.rotate_left(5).wrapping_mul(31) ^ it)
}

impl Node {
    /// What is kept here.
    #[must_use]
    pub fn stored(&self) -> StoredView {
        let mut view = StoredView::default();
        for (at, shard) in self.shards.iter().enumerate() {
            view.live += shard.live_bytes();
            if self.is_forgotten(at) && shard.is_idle() {
                view.removed += shard.data().payload_bytes() + shard.log_memory();
            }
        }
        view
    }

    /// All replicas on this node.
    pub fn replicas(&mut self, now: Now) -> Vec<ReplicaView> {
        let support = &self.world.support;
        let routes = &self.routes;
        let is_here =
            |at: usize, shard: &Shard| routes.get(shard.id).is_some_and(|it| it.local == Some(at));
        let here = self.shards.iter_mut().enumerate().filter(|(at, shard)| is_here(*at, shard));
        here.map(|(_, shard)| shard.view(now, support)).collect()
    }

    /// A digest of one slot's data, equal on replicas with equal data; `None` without a replica.
    #[must_use]
    pub fn digest(&self, slot: Slot) -> Option<u64> {
        let route = self.routes.of_slot(slot)?;
        Some(self.shards.get(route.local?)?.data().digest_slot(slot))
    }

    /// How many requests of a client wait for their outcome: what a driver must wait for before it
    /// lets go of a client that has closed only its sending side.
    pub fn outstanding(&mut self, session: SessionId) -> usize {
        self.world.sessions.get(session).map_or(0, |session| session.outstanding())
    }

    pub(crate) fn shard_statuses(&mut self, now: Now) -> Vec<ShardStatus> {
        let World { settings, support, .. } = &self.world;
        self.shards.iter_mut().map(|shard| shard.status(now, settings, support)).collect()
    }

    /// The node that is known to hold a shard now. Unlike `holder_of`, which says where requests
    /// may be tried, it names nobody who was not heard lately.
    pub(crate) fn named_holder(&self, now: Now, route: &Route) -> Option<NodeId> {
        let World { settings, support, .. } = &self.world;
        match route.local.and_then(|at| self.shards.get(at)) {
            Some(shard) => shard.named_holder(now.monotonic, settings, support),
            None => {
                let holds = |node: &NodeId| {
                    support.is_alive(now.monotonic, *node) && !self.began_anew(route, *node)
                };
                route.holder.filter(holds)
            }
        }
    }
}

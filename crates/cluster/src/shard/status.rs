//! What checkers and operators want to know of a replica.

use super::*;

/// What an operator wants to know about a replica.
#[derive(Clone, Debug)]
pub(crate) struct ShardStatus {
    pub(crate) shard: ShardId,
    pub(crate) range: SlotRange,
    pub(crate) lease: Lease,
    /// Who is known to hold it now; `lease` has the holder that the log names.
    pub(crate) holder: Option<NodeId>,
    pub(crate) lease_valid: bool,
    /// `None`: without end, since no other replica has a vote.
    pub(crate) lease_remaining_millis: Option<u64>,
    pub(crate) term: Term,
    pub(crate) leader: Option<NodeId>,
    pub(crate) voters: Vec<NodeId>,
    pub(crate) learners: Vec<NodeId>,
    pub(crate) first_index: LogIndex,
    pub(crate) last_index: LogIndex,
    pub(crate) commit_index: LogIndex,
    pub(crate) applied_index: LogIndex,
    pub(crate) persisted_index: LogIndex,
    pub(crate) progress: Vec<(NodeId, LogIndex)>,
    pub(crate) keys: u64,
    pub(crate) expiring_keys: u64,
    pub(crate) data_bytes: u64,
    pub(crate) log_bytes: usize,
    pub(crate) parked: usize,
    pub(crate) conflicts: u64,
    pub(crate) load: load::Totals,
    /// Which replica stands last, and why.
    pub(crate) stands_last: Option<String>,
}

impl Shard {
    /// What a checker wants to know, many times a second: unlike a status it costs next to nothing.
    pub(crate) fn view(&mut self, now: Now, support: &Support) -> ReplicaView {
        let replicas = self.group.replicas();
        ReplicaView {
            shard: self.id,
            range: self.range,
            term: self.group.term(),
            leader: self.group.leader(),
            epoch: self.lease.epoch,
            holder: self.known_holder(),
            holds: self.lease_is_valid(now.monotonic, support),
            last_index: self.group.last_index(),
            commit_index: self.group.commit_index(),
            applied_index: self.group.applied_index(),
            mixed: !self.floors.is_empty() || self.has_part_of_entry(),
            voters: replicas.voters(),
            learners: replicas.learners(),
            goal: self.goal.nodes.clone(),
            keys: self.data.keys(),
            queued_bytes: self.queued_bytes(),
            log_in_memory: self.log_in_memory(),
        }
    }

    pub(crate) fn status(
        &mut self,
        now: Now,
        settings: &Settings,
        support: &Support,
    ) -> ShardStatus {
        let lease_valid = self.lease_is_valid(now.monotonic, support);
        let replicas = self.group.replicas();
        let others = replicas.voters().into_iter().chain(replicas.learners());
        let progress = others
            .filter(|_| self.group.is_leader())
            .filter_map(|node| Some((node, self.group.progress(node)?.0)))
            .collect();
        let (first_index, log_bytes) = (self.group.first_index(), self.group.memory());
        let remaining = self.lease_until.since(now.monotonic).as_millis();
        ShardStatus {
            shard: self.id,
            range: self.range,
            lease: self.lease.clone(),
            holder: self.named_holder(now.monotonic, settings, support),
            lease_valid,
            lease_remaining_millis: (self.lease_until != Monotonic::NEVER)
                .then(|| u64::try_from(remaining).unwrap_or(0)),
            term: self.group.term(),
            leader: self.group.leader(),
            voters: replicas.voters(),
            learners: replicas.learners(),
            first_index,
            last_index: self.group.last_index(),
            commit_index: self.group.commit_index(),
            applied_index: self.group.applied_index(),
            persisted_index: self.group.persisted_index(),
            progress,
            keys: self.data.keys(),
            expiring_keys: self.data.expiring_keys(),
            data_bytes: self.data.memory_bytes(),
            log_bytes,
            parked: self.parked.len(),
            conflicts: self.conflicts,
            load: self.load.totals,
            stands_last: self.standing_last(now.monotonic),
        }
    }
}

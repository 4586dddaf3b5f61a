//! What is left of a cluster that has lost too many copies of a shard: read from the data
//! directories of stopped nodes, to be put into a new cluster.
//!
//! Nothing here takes part in the protocol, and nothing is written into a directory: no lost copy
//! that is found again can ever meet what was made of the others
//! ([ADR 19](../../../docs/adr/0019-salvage.md)).
//!
//! **Which copy is taken.** The one that an election among all of them would choose: the last
//! entry of the highest term, and of the highest index in that. Its whole log is applied. Behind
//! what is committed may stand what a majority had, and so what may have been acknowledged; the
//! rest was answered with UNCERTAIN.
//!
//! **Whether anything acknowledged is missing.** Not if the copies here are a majority of the
//! voters: what was acknowledged is on one of them, and the copy that is taken has all that any of
//! them has committed (Raft's election restriction; it needs no election). Of the voters of which
//! configuration? At any moment a leader counts those before or those after the newest change in
//! its log, never older ones: a change is proposed when the one before it is applied. So a
//! majority is needed of the voters as of the newest change that the copy knows to be committed,
//! and of those after each later one; in a joint configuration of both sets.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use keyspace::{Changes, Keyspace, Supplies};
use placement::{Pin, Policy};
use resp::{Protocol, Reply};
use types::{ClusterId, LeaseEpoch, LogIndex, NodeId, ShardId, Slot, SlotRange, Term, UnixMillis};

use crate::bytes_codec::CodecError;
use crate::entry::{self, BatchHeader, Entry, Operation, Operations};
use crate::founding::in_replicas;
use crate::io::Memory;
use crate::lives::Start;
use crate::manager::control::{self, Control};
use crate::parts::Assembly;
use crate::planted::{Planting, Plantings};
use crate::raft_group::{LogEntry, ReplicaId};
use crate::recovery::{RecordError, Recovered, RecoveredShard};
use crate::shard::execution::{apply_command, apply_group, context_of};

/// What lies in one data directory.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Whose directory it is.
    pub node: NodeId,
    /// The cluster that the node belongs to; 0: it never heard.
    pub cluster: ClusterId,
    /// The shards of which it has a copy that can be used.
    pub copies: Vec<Copy>,
    /// The shards of which it has one that can't: it was removed, or not all of it has arrived.
    pub unusable: Vec<ShardId>,
    /// The shards of which it has one that can't be read, though its checksums are right.
    pub unreadable: Vec<ShardId>,
    /// Whether it has lost its newest part: what it once had counts for no majority.
    pub is_cut: bool,
    start: Start,
    memories: BTreeMap<NodeId, Memory>,
    planted: Plantings,
}

/// One node's copy of a shard.
#[derive(Clone, Debug)]
pub struct Copy {
    /// The shard.
    pub shard: ShardId,
    /// Its slots.
    pub range: SlotRange,
    /// Term and index of its last entry.
    pub last: (Term, LogIndex),
    replica: ReplicaId,
    /// Sets of voters: a majority of each has all that was acknowledged.
    voters: Vec<Vec<ReplicaId>>,
}

/// The copy of a shard that is taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The shard.
    pub shard: ShardId,
    /// Its slots.
    pub range: SlotRange,
    /// The copy: in which of the directories it lies.
    pub from: usize,
    /// Term and index of its last entry.
    pub last: (Term, LogIndex),
    /// The nodes with a vote, as this copy has it.
    pub voters: Vec<NodeId>,
    /// Those of them whose copies are here.
    pub present: Vec<NodeId>,
    /// Whether they are a majority: then nothing that was acknowledged is missing.
    pub is_complete: bool,
}

/// A shard's data as its copy has them at its end.
pub struct Salvaged {
    data: Keyspace,
    stamp: UnixMillis,
}

impl Recovered {
    /// What the directory of a node holds.
    #[must_use]
    pub fn survey(&self, node: NodeId) -> Survey {
        let start = self.start();
        let mut survey = Survey {
            node,
            cluster: self.remembered.membership.cluster,
            copies: Vec::new(),
            unusable: Vec::new(),
            unreadable: Vec::new(),
            is_cut: false,
            start,
            memories: self.memories.clone(),
            planted: self.planted,
        };
        let directory = in_replicas(self.remembered.origin, start.directory);
        for (&shard, found) in &self.shards {
            let usable = found.stated && !found.removed;
            match directory.filter(|_| usable) {
                Some(directory) => {
                    let replica = ReplicaId { node, directory, seat: found.vote.seat };
                    match Copy::of(shard, replica, found) {
                        Ok(copy) => survey.copies.push(copy),
                        Err(_) => survey.unreadable.push(shard),
                    }
                }
                None => survey.unusable.push(shard),
            }
        }
        survey
    }

    /// The data of one of its shards, which it gives away; `None` if there is no usable copy.
    ///
    /// # Errors
    /// If an entry can't be applied: another version of the program has written it, or a bug.
    pub fn salvage(&mut self, shard: ShardId) -> Option<Result<Salvaged, RecordError>> {
        let mut found = self.shards.remove(&shard).filter(|it| it.stated && !it.removed)?;
        if self.planted.contains(Planting::SalvageLeavesTail) {
            let committed = found.committed();
            found.entries.retain(|index, _| *index <= committed);
        }
        Some(Salvaged::replay(found))
    }
}

impl Survey {
    /// Whether the other one is of the very same directory, as it is now or was once.
    #[must_use]
    pub fn is_same_directory(&self, other: &Self) -> bool {
        (self.node, self.start.directory) == (other.node, other.start.directory)
    }

    /// Whether the other node remembers more of this directory than it holds: then it is a copy
    /// that was made earlier, or has lost what its disk called durable.
    #[must_use]
    pub fn is_older_than_remembered(&self, by: &Self) -> bool {
        let Some(memory) = by.memories.get(&self.node) else { return false };
        let Start { directory, incarnation, log_end, .. } = self.start;
        memory.directory == directory
            && (memory.incarnation > incarnation || memory.durable > log_end)
    }
}

impl Copy {
    fn of(shard: ShardId, replica: ReplicaId, found: &RecoveredShard) -> Result<Self, RecordError> {
        let (index, term) = found.state.applied;
        let last = found.entries.values().next_back().map(|last| (last.term(), last.index()));
        let mut replicas = found.state.replicas.clone();
        let mut voters: Vec<Vec<ReplicaId>> = replicas.voter_sets().collect();
        for entry in found.entries.values() {
            let Some(change) = entry.change()? else { continue };
            replicas = replicas.changed(&change).unwrap_or(replicas);
            if entry.index() <= found.committed() {
                voters.clear();
            }
            voters.extend(replicas.voter_sets());
        }
        let range = found.state.range;
        Ok(Self { shard, range, last: last.unwrap_or((term, index)), replica, voters })
    }
}

/// Which copy of each shard is taken from these directories.
#[must_use]
pub fn choose(directories: &[Survey]) -> Vec<Choice> {
    let breaks = |rule| directories.iter().any(|it| it.planted.contains(rule));
    let mut chosen: BTreeMap<ShardId, (usize, &Copy)> = BTreeMap::new();
    for (from, directory) in directories.iter().enumerate() {
        for copy in &directory.copies {
            let best = chosen.entry(copy.shard).or_insert((from, copy));
            let is_better = match breaks(Planting::SalvageLongest) {
                false => copy.last > best.1.last,
                true => copy.last.1 > best.1.last.1,
            };
            if is_better {
                *best = (from, copy);
            }
        }
    }
    let whole = |directory: &&Survey| {
        let older = |other: &Survey| directory.is_older_than_remembered(other);
        let is_void = directory.is_cut || directories.iter().any(older);
        !is_void || breaks(Planting::SalvageCountsVoid)
    };
    let counted: Vec<&Survey> = directories.iter().filter(whole).collect();
    let choice = |(from, copy): &(usize, &Copy)| {
        let is_here = |voter: &&ReplicaId| {
            let mut copies = counted.iter().flat_map(|directory| &directory.copies);
            copies.any(|other| {
                let is_same = if breaks(Planting::SalvageCountsNamesakes) {
                    other.replica.node == voter.node
                } else {
                    other.replica == **voter
                };
                other.shard == copy.shard && is_same
            })
        };
        let has_majority = |set: &Vec<ReplicaId>| {
            let here = set.iter().filter(is_here).count();
            here * 2 > set.len() || (breaks(Planting::SalvageClaimsAll) && here > 0)
        };
        // Where a change is under way there are several sets.
        let judged = if breaks(Planting::SalvageByOneSet) { 1 } else { copy.voters.len() };
        let judged = copy.voters.get(..judged).unwrap_or_default();
        let all = || copy.voters.iter().flatten();
        Choice {
            shard: copy.shard,
            range: copy.range,
            from: *from,
            last: copy.last,
            voters: nodes(all()),
            present: nodes(all().filter(is_here)),
            is_complete: !judged.is_empty() && judged.iter().all(has_majority),
        }
    };
    chosen.values().map(choice).collect()
}

fn nodes<'a>(replicas: impl Iterator<Item = &'a ReplicaId>) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = replicas.map(|replica| replica.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The slots of clients' keys of which there is no copy.
#[must_use]
pub fn missing_slots(choices: &[Choice]) -> Vec<SlotRange> {
    let data = choices.iter().filter(|choice| choice.shard != ShardId::SYSTEM);
    let mut there: Vec<SlotRange> = data.map(|choice| choice.range).collect();
    there.sort_unstable_by_key(|range| range.first());
    let mut missing = Vec::new();
    let mut next = Some(SlotRange::ALL.first());
    for range in there {
        let before = range.first().number().checked_sub(1).and_then(Slot::new);
        missing.extend(next.zip(before).and_then(|(first, last)| SlotRange::new(first, last)));
        next = Slot::new(range.last().number() + 1);
    }
    missing.extend(next.and_then(|first| SlotRange::new(first, SlotRange::ALL.last())));
    missing
}

impl Salvaged {
    /// Applies the whole log of a copy.
    fn replay(found: RecoveredShard) -> Result<Self, RecordError> {
        let RecoveredShard { state, images, entries, hash_seed, .. } = found;
        let data = Keyspace::new(state.range, hash_seed.unwrap_or_default());
        let mut replay = Replay {
            data,
            floors: BTreeMap::new(),
            epoch: state.lease.epoch,
            stamp: state.stamp,
            assembly: Assembly::default(),
            reply: Vec::new(),
        };
        for (slot, image) in images {
            if state.range.contains(slot) {
                replay.data.put_slot(slot, image.slot);
                replay.floors.insert(slot, image.index);
            }
        }
        for entry in entries.into_values() {
            if entry.changes_replicas() {
                replay.assembly.close();
            } else {
                replay.apply(&entry)?;
            }
        }
        Ok(Self { data: replay.data, stamp: replay.stamp })
    }

    /// The keys with their values and expiries. Those that had expired by the shard's own time are
    /// not among them; whatever has expired since, the new cluster removes.
    pub fn keys(&self) -> impl Iterator<Item = (&[u8], &[u8], Option<UnixMillis>)> {
        let live = |expiry: Option<UnixMillis>| expiry.is_none_or(|expiry| expiry > self.stamp);
        self.data.entries().filter(move |(_, _, expiry)| live(*expiry))
    }

    /// One number for the data of these of its slots, as a checker compares replicas by.
    #[must_use]
    pub fn digest(&self, slots: &[Slot]) -> u64 {
        let range = self.data.range();
        let own = slots.iter().filter(|slot| range.contains(**slot));
        crate::node::fold_digests(own.map(|slot| self.data.digest_slot(*slot)))
    }

    /// If this is the system shard: what operators have ordered, as commands for a new cluster.
    ///
    /// # Errors
    /// If the Lease Manager's state can't be read.
    pub fn orders(&self) -> Result<Vec<String>, RecordError> {
        let slot = resp::slot_of(control::KEY);
        let control = self.data.value(slot, control::KEY).map(Control::decode).transpose()?;
        Ok(control.map(|control| orders(&control)).unwrap_or_default())
    }
}

fn orders(control: &Control) -> Vec<String> {
    let mut commands = Vec::new();
    let defaults = Policy::default();
    let values = control.policy.numbers().zip(defaults.numbers());
    for (setting, (value, default)) in Policy::SETTINGS.iter().zip(values) {
        if value.to_bits() != default.to_bits() {
            commands.push(format!("policy {} {value}", setting.name));
        }
    }
    for (shard, pin) in &control.pins {
        let place = match pin {
            Pin::Node(node) => format!("--node {}", node.0),
            Pin::Zone { region, zone } => format!("--zone {region}/{zone}"),
        };
        commands.push(format!("pin {} {place}", shard.0));
    }
    if control.frozen {
        commands.push("freeze".to_string());
    }
    commands
}

/// A log that is applied by nobody's replica.
struct Replay {
    data: Keyspace,
    /// What the slots' images have already.
    floors: BTreeMap<Slot, LogIndex>,
    epoch: LeaseEpoch,
    stamp: UnixMillis,
    /// The parts of a long write.
    assembly: Assembly,
    /// Nobody waits for replies.
    reply: Vec<u8>,
}

impl Replay {
    fn apply(&mut self, entry: &LogEntry) -> Result<(), RecordError> {
        let decoded = entry::decode(entry.context(), entry.data())?;
        if entry::voids_parts(decoded.as_ref()) {
            self.assembly.close();
        }
        match decoded {
            Some(Entry::Lease(_)) => self.epoch = self.epoch.next(),
            Some(Entry::Part { header, part }) => {
                self.stamp = self.stamp.max(header.stamp);
                self.assembly.take(entry.index(), &part, header.epoch == self.epoch);
                if let Some(operation) = self.assembly.whole() {
                    self.assembly.close();
                    self.apply_batch(entry.index(), &header, Operations::new(&operation))?;
                }
            }
            Some(Entry::Batch { header, operations }) => {
                self.stamp = self.stamp.max(header.stamp);
                // As a replica does, see `Shard::apply_batch`.
                if header.epoch == self.epoch {
                    self.apply_batch(entry.index(), &header, operations)?;
                }
            }
            Some(Entry::Succession(_) | Entry::Goal(_)) | None => {}
        }
        Ok(())
    }

    fn apply_batch(
        &mut self,
        index: LogIndex,
        header: &BatchHeader,
        mut operations: Operations<'_>,
    ) -> Result<(), RecordError> {
        let mut step = 0;
        while let Some(operation) = operations.next()? {
            step += 1;
            self.reply.clear();
            let mut reply = Reply::new(&mut self.reply, Protocol::Resp2);
            let (data, floors) = (&mut self.data, &self.floors);
            let reflects = |slot: Slot| floors.get(&slot).is_none_or(|floor| *floor < index);
            let context = context_of(header, step);
            let mut changes = Changes::off();
            match &operation {
                Operation::Single { slot, command } if reflects(*slot) => {
                    let command = (command, Supplies::default());
                    apply_command(data, *slot, command, &context, &mut changes, &mut reply);
                }
                Operation::Group { slot, commands, .. } if reflects(*slot) => {
                    let ignore = |_, _: &mut Changes| ();
                    let changes = &mut changes;
                    apply_group(data, *slot, commands, &context, changes, &mut reply, ignore);
                }
                Operation::Single { .. } | Operation::Group { .. } => {}
                Operation::Flush => {
                    let occupied: Vec<Slot> = data.occupied_slots().collect();
                    occupied.into_iter().filter(|slot| reflects(*slot)).for_each(|slot| {
                        data.clear_slot(slot);
                    });
                    data.free(&mut { u64::MAX });
                }
                Operation::Watch { .. }
                | Operation::Unwatch
                | Operation::Survey(_)
                | Operation::Manage(_) => return Err(CodecError("a write in an entry")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

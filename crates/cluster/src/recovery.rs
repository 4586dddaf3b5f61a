//! Rebuilding a node's shards from its log.
//!
//! The log is read from its oldest segment to its end. For each shard the newest state record
//! says where its log begins; images say what each slot was at an index; entries follow. The
//! entries up to the commit index are applied again by the shard itself, which skips for each
//! slot what its image has already.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use keyspace::{BuiltSlot, SlotBuilder};
use types::{
    DirectoryId, Incarnation, LogIndex, NodeId, SegmentId, ShardId, Slot, Term, UnixMillis,
};

use crate::bytes_codec::CodecError;
use crate::founding::Remembered;
use crate::io::{CatchUpName, Memory};
use crate::lives::Start;
use crate::planted::Plantings;
use crate::raft_group::{HardVote, LogEntry, RecoveredLog, Replicas, Seat};
use crate::record::{Goal, ImagePart, Lease, Record, Records, ShardState};
use crate::settings::Settings;

/// Why a log can't be used.
pub type RecordError = CodecError;

/// A shard as the log has it.
pub(crate) struct RecoveredShard {
    pub(crate) state: ShardState,
    pub(crate) vote: HardVote,
    pub(crate) entries: BTreeMap<LogIndex, LogEntry>,
    pub(crate) images: BTreeMap<Slot, RecoveredImage>,
    staged: BTreeMap<Slot, RecoveredImage>,
    /// The catch-up that the staged images are of.
    source: Option<(NodeId, CatchUpName)>,
    /// The images that are not complete: of the checkpoint, of the catch-up.
    partial: BTreeMap<(bool, Slot), PartialImage>,
    /// Slots whose images must follow.
    awaited: Vec<Slot>,
    pub(crate) hash_seed: Option<u64>,
    /// Whether the log holds a state of it.
    pub(crate) stated: bool,
    /// Whether it was removed from this node: only its vote counts.
    pub(crate) removed: bool,
    /// For each segment, the newest entry of the shard that begins in it.
    pub(crate) segments: BTreeMap<SegmentId, LogIndex>,
    /// The segment of the newest state and vote records.
    pub(crate) state_segment: SegmentId,
    pub(crate) vote_segment: SegmentId,
}

/// A slot as the log has it.
pub(crate) struct RecoveredImage {
    pub(crate) index: LogIndex,
    /// The oldest segment that it lies in.
    pub(crate) segment: SegmentId,
    pub(crate) slot: BuiltSlot,
}

/// A slot image of which not all pieces were read.
struct PartialImage {
    index: LogIndex,
    segment: SegmentId,
    offset: u64,
    builder: SlotBuilder,
}

/// What [`Recovery`] found; makes a [`Node`](crate::Node).
pub struct Recovered {
    pub(crate) shards: BTreeMap<ShardId, RecoveredShard>,
    pub(crate) start: Start,
    pub(crate) remembered: Remembered,
    /// What the node remembers of the others.
    pub(crate) memories: BTreeMap<NodeId, Memory>,
    /// Rules that [`salvage`](crate::salvage) breaks.
    pub(crate) planted: Plantings,
}

impl Recovered {
    /// Lets [`salvage`](crate::salvage) break these rules, because a test wants it to.
    pub fn break_rules(&mut self, planted: Plantings) {
        self.planted = planted;
    }

    /// The term of an entry of a shard, if it still stands in the log.
    #[must_use]
    pub fn term_of(&self, shard: ShardId, index: LogIndex) -> Option<Term> {
        self.shards.get(&shard)?.entries.get(&index).map(LogEntry::term)
    }

    /// The start as it is after what the log says: where the directory was found to have gone back
    /// in time, it is another directory now and a later start. The driver writes that down before
    /// the node says its first word.
    #[must_use]
    pub fn start(&self) -> Start {
        self.start
    }
}

/// Collects the log's payloads. All that a node knows of its shards stands there, what a founder
/// began with included: the settings may have changed since.
#[derive(Default)]
pub struct Recovery {
    /// Keys the hash tables of the slots.
    hash_seed: u64,
    shards: BTreeMap<ShardId, RecoveredShard>,
    remembered: Remembered,
    memories: BTreeMap<NodeId, Memory>,
    /// The directory that the node has begun anew in, and the start that it must come after.
    anew: Option<(DirectoryId, Incarnation)>,
    /// The only shards that are wanted, if not all are.
    only: Option<BTreeSet<ShardId>>,
}

impl Recovery {
    /// Nothing was read yet. Slots are built while the log is read; `hash_seed` keys their hash
    /// tables, so a server draws it from the system.
    #[must_use]
    pub fn new(hash_seed: u64) -> Self {
        Self { hash_seed, ..Self::default() }
    }

    /// The same for a reader who wants some shards only: the others take no memory.
    #[must_use]
    pub fn of_shards(hash_seed: u64, shards: impl IntoIterator<Item = ShardId>) -> Self {
        Self { only: Some(shards.into_iter().collect()), ..Self::new(hash_seed) }
    }

    /// Takes the next payload of the log.
    ///
    /// # Errors
    /// If it is not what this version writes. Checksums have passed, so another version or a bug
    /// has written it; the node must not start on a guess.
    pub fn absorb(&mut self, segment: SegmentId, payload: &[u8]) -> Result<(), RecordError> {
        let mut records = Records::new(payload);
        while let Some(record) = records.next()? {
            let wanted = |shard| self.only.as_ref().is_none_or(|only| only.contains(&shard));
            if record.shard().is_none_or(wanted) {
                self.absorb_record(segment, record)?;
            }
        }
        Ok(())
    }

    fn absorb_record(&mut self, segment: SegmentId, record: Record<'_>) -> Result<(), RecordError> {
        match record {
            Record::Probe => {}
            Record::Origin { remembered } => self.remembered = remembered,
            Record::Peer { node, memory } => {
                self.memories.insert(node, memory);
            }
            Record::Anew { directory, incarnation } => {
                self.shards.clear();
                self.anew = Some((directory, incarnation));
            }
            Record::Removed { shard } => {
                let tombstone = RecoveredShard::new(ShardState::unknown(), segment);
                self.shards.insert(shard, RecoveredShard { removed: true, ..tombstone });
            }
            Record::Entry { shard, entry } => {
                let found = self.shard(shard, segment);
                drop(found.entries.split_off(&entry.index()));
                found.removed = false;
                found.absorb_entry(entry, segment);
            }
            Record::KeptEntry { shard, entry } => {
                self.shard(shard, segment).absorb_entry(entry, segment);
            }
            Record::Vote { shard, vote } => {
                let shard = self.shard(shard, segment);
                shard.vote = vote;
                shard.vote_segment = segment;
                // One that has given nothing up is not removed: it has taken the seat behind one
                // that was, and has not been fed yet.
                shard.removed &= vote.given_up != HardVote::default().given_up;
            }
            Record::Image { shard, slot, index, image } => {
                let part = whole_image(slot, index, image);
                self.absorb_part(shard, segment, false, part)?;
            }
            Record::ImagePiece { shard, part } => self.absorb_part(shard, segment, false, part)?,
            Record::StagedImage { shard, slot, index, image } => {
                let part = whole_image(slot, index, image);
                self.absorb_part(shard, segment, true, part)?;
            }
            Record::StagedPiece { shard, from, catch_up, part } => {
                let found = self.shard(shard, segment);
                if found.source != Some((from, catch_up)) {
                    found.forget_staged();
                    found.source = Some((from, catch_up));
                }
                self.absorb_part(shard, segment, true, part)?;
            }
            Record::InstallPieces { shard, from, catch_up, state } => {
                let found = self.shard_with(shard, &state, segment);
                if found.source.is_some_and(|source| source != (from, catch_up)) {
                    return Err(CodecError("the slots of an installed catch-up"));
                }
                found.install(state, segment);
            }
            Record::State { shard, state } => {
                let found = self.shard_with(shard, &state, segment);
                found.state = state;
                found.stated = true;
                found.removed = false;
                found.state_segment = segment;
                found.forget_applied();
            }
            Record::Install { shard, state } => {
                self.shard_with(shard, &state, segment).install(state, segment);
            }
        }
        Ok(())
    }

    /// Takes a part of a slot image, of a catch-up that is not installed yet if it is `staged`.
    fn absorb_part(
        &mut self,
        shard: ShardId,
        segment: SegmentId,
        staged: bool,
        part: ImagePart<'_>,
    ) -> Result<(), RecordError> {
        const MALFORMED: CodecError = CodecError("a slot image");
        let hash_seed = self.hash_seed;
        let shard = self.shard(shard, segment);
        shard.hash_seed = Some(hash_seed);
        let empty: Vec<Slot> = part.empty_slots().collect();
        let ImagePart { slot, index, offset, last, image, .. } = part;
        let begun = shard.partial.remove(&(staged, slot)).filter(|_| offset > 0);
        let mut partial = match begun {
            Some(begun) => begun,
            None if offset == 0 => {
                let builder = SlotBuilder::new(slot, hash_seed);
                PartialImage { index, segment, offset, builder }
            }
            // Its beginning stood in a segment that was freed: it was given up.
            None => return Ok(()),
        };
        if (partial.index, partial.offset) != (index, offset) {
            return Err(MALFORMED);
        }
        partial.builder.push(image).map_err(|_| MALFORMED)?;
        partial.offset += image.len() as u64;
        if last {
            let PartialImage { index, segment, builder, .. } = partial;
            let built = builder.finish().map_err(|_| MALFORMED)?;
            let images = if staged { &mut shard.staged } else { &mut shard.images };
            images.insert(slot, RecoveredImage { index, segment, slot: built });
            for slot in empty {
                shard.partial.remove(&(staged, slot));
                let built = BuiltSlot::empty(hash_seed);
                images.insert(slot, RecoveredImage { index, segment, slot: built });
            }
        } else {
            shard.partial.insert((staged, slot), partial);
        }
        Ok(())
    }

    /// A shard that the log speaks of. Its state record may stand in a later segment than some of
    /// its entries once the segment with the older state has been released, so entries may come
    /// first; until then the shard is unknown.
    fn shard(&mut self, id: ShardId, segment: SegmentId) -> &mut RecoveredShard {
        let unknown = || RecoveredShard::new(ShardState::unknown(), segment);
        self.shards.entry(id).or_insert_with(unknown)
    }

    fn shard_with(
        &mut self,
        id: ShardId,
        state: &ShardState,
        segment: SegmentId,
    ) -> &mut RecoveredShard {
        self.shards.entry(id).or_insert_with(|| RecoveredShard::new(state.clone(), segment))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If a shard's log has a gap.
    pub fn finish(mut self, mut start: Start) -> Result<Recovered, RecordError> {
        if let Some((directory, incarnation)) = self.anew {
            start.directory = directory;
            start.incarnation = start.incarnation.max(incarnation.next());
        }
        // The first configuration is not this directory's: without a state of its own a replica
        // here knows nothing.
        for shard in self.shards.values_mut().filter(|shard| !shard.stated) {
            shard.forget_state();
        }
        for shard in self.shards.values_mut() {
            shard.trim()?;
        }
        let Self { shards, remembered, memories, anew: _, hash_seed: _, only: _ } = self;
        let planted = Plantings::default();
        Ok(Recovered { shards, start, remembered, memories, planted })
    }
}

/// The replicas that a founder has in a new cluster with these settings.
pub(crate) fn first_replicas(settings: &Settings) -> Vec<(ShardId, ShardState)> {
    let mut fresh = Vec::new();
    for (shard, range, replicas) in settings.first_shards() {
        if !replicas.contains(&settings.node) {
            continue;
        }
        let state = ShardState {
            range,
            // A place before the first entry that a replica which joins later doesn't have,
            // so that it is given the configuration by a catch-up.
            applied: (LogIndex(1), Term(1)),
            replicas: Replicas::of_voters(&replicas),
            goal: Goal { nodes: replicas.clone(), generation: 1, seats: Seat::default() },
            lease: Lease { succession: replicas, ..Lease::default() },
            stamp: UnixMillis(0),
        };
        fresh.push((shard, state));
    }
    fresh
}

/// The only part of an image as versions wrote it that knew no pieces.
fn whole_image(slot: Slot, index: LogIndex, image: &[u8]) -> ImagePart<'_> {
    ImagePart { slot, empty_behind: 0, index, offset: 0, last: true, image }
}

impl RecoveredShard {
    /// A replica that has nothing yet, of a shard with these slots.
    pub(crate) fn empty(range: types::SlotRange, seat: Seat) -> Self {
        let mut empty = Self::new(ShardState { range, ..ShardState::unknown() }, SegmentId(0));
        empty.vote.seat = seat;
        empty
    }

    /// A founder's replica as it is when the cluster begins.
    pub(crate) fn first(state: ShardState) -> Self {
        Self::new(state, SegmentId(0))
    }

    fn forget_staged(&mut self) {
        self.staged.clear();
        self.partial.retain(|(staged, _), _| !staged);
    }

    /// The staged images replace everything.
    fn install(&mut self, state: ShardState, segment: SegmentId) {
        self.state = state;
        self.stated = true;
        self.removed = false;
        self.state_segment = segment;
        self.images = core::mem::take(&mut self.staged);
        // Those whose pieces stood in segments that were freed have been written again.
        let images = &self.images;
        self.awaited = self.state.range.iter().filter(|slot| !images.contains_key(slot)).collect();
        self.source = None;
        self.partial.clear();
        self.entries.clear();
        self.segments.clear();
    }

    /// The state was assumed, not read.
    fn forget_state(&mut self) {
        let range = self.state.range;
        self.state = ShardState { range, ..ShardState::unknown() };
    }

    fn new(state: ShardState, segment: SegmentId) -> Self {
        let (commit, term) = state.applied;
        let vote = HardVote { term, commit, ..HardVote::default() };
        Self {
            state,
            vote,
            entries: BTreeMap::new(),
            images: BTreeMap::new(),
            staged: BTreeMap::new(),
            source: None,
            partial: BTreeMap::new(),
            awaited: Vec::new(),
            hash_seed: None,
            stated: false,
            removed: false,
            segments: BTreeMap::new(),
            state_segment: segment,
            vote_segment: segment,
        }
    }

    /// Forgets the entries before the log's beginning: all of a long log would fill the memory.
    fn forget_applied(&mut self) {
        let first = LogIndex(self.state.applied.0.0.saturating_add(1));
        self.entries = self.entries.split_off(&first);
    }

    fn absorb_entry(&mut self, entry: LogEntry, segment: SegmentId) {
        let index = entry.index();
        self.entries.insert(index, entry);
        let newest = self.segments.entry(segment).or_insert(index);
        *newest = index.max(*newest);
    }

    /// Drops entries that the state covers, and checks that the rest follow without a gap.
    fn trim(&mut self) -> Result<(), RecordError> {
        if self.awaited.iter().any(|slot| !self.images.contains_key(slot)) {
            return Err(CodecError("an image of each slot of a catch-up"));
        }
        self.forget_applied();
        let mut last = self.state.applied.0;
        for entry in self.entries.values() {
            // Not `last.next()`: a damaged record may say the largest number there is.
            if last.0.checked_add(1) != Some(entry.index().0) {
                return Err(CodecError("a shard's entries without a gap"));
            }
            last = entry.index();
        }
        Ok(())
    }

    /// Up to where the log is known to be committed; it may end before that. What images reflect
    /// is.
    pub(crate) fn committed(&self) -> LogIndex {
        let imaged = self.images.values().map(|image| image.index).max().unwrap_or_default();
        self.vote.commit.max(imaged).max(self.state.applied.0)
    }

    /// The log for the consensus engine.
    pub(crate) fn log(&mut self) -> RecoveredLog {
        let vote = HardVote { commit: self.committed(), ..self.vote };
        RecoveredLog {
            vote,
            replicas: self.state.replicas.clone(),
            applied: self.state.applied,
            entries: core::mem::take(&mut self.entries).into_values().collect(),
        }
    }
}

impl ShardState {
    /// A shard of which only entries were read so far.
    fn unknown() -> Self {
        Self {
            range: types::SlotRange::ALL,
            applied: (LogIndex(0), Term(0)),
            replicas: Replicas::default(),
            lease: Lease::default(),
            goal: Goal::default(),
            stamp: UnixMillis(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Origin;
    use crate::member::Member;

    fn settings(nodes: u32) -> Settings {
        let member = |node| Member::new(NodeId(node), "h", 1, 2);
        Settings::new(NodeId(1), (1..=nodes).map(member).collect())
    }

    #[test]
    fn a_founders_shards_begin_as_they_began_whatever_the_settings_say_later() {
        let began = first_replicas(&settings(3));
        let later = first_replicas(&settings(5));
        assert_ne!(began, later, "the settings of another size place the shards otherwise");
        let mut payload = Vec::new();
        for (shard, state) in &began {
            Record::State { shard: *shard, state: state.clone() }.encode(&mut payload);
        }
        let remembered = Remembered { origin: Origin::Founder, ..Remembered::default() };
        Record::Origin { remembered }.encode(&mut payload);
        let mut recovery = Recovery::default();
        recovery.absorb(SegmentId(1), &payload).expect("it was just written");
        let recovered = recovery.finish(Start::default());
        let recovered = recovered.expect("nothing is missing");
        let states: Vec<_> =
            recovered.shards.into_iter().map(|(shard, it)| (shard, it.state)).collect();
        assert_eq!(states, began);
    }
}

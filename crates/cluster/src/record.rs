//! What the log thread writes: a payload is a sequence of these records, durable all or none.
//!
//! Everything a node must remember stands in one log: entries and votes of all its shards, slot
//! images, and what a shard's state was where its log now begins. See `checkpoint` for how old
//! segments become free.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use types::{
    DirectoryId, Incarnation, LeaseEpoch, LogIndex, NodeId, ShardId, Slot, SlotRange, Term,
    UnixMillis,
};

use crate::bytes_codec::{CodecError, Last, Put, Take};
use crate::entry::{put_nodes, take_nodes};
use crate::founding::Remembered;
use crate::io::Memory;
use crate::io::{CatchUpName, Gathered, SlotPiece};
use crate::raft_group::{HardVote, LogEntry, ReplicaId, Replicas, Seat};

const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const IMAGE: u8 = 3;
const STATE: u8 = 4;
const STAGED_IMAGE: u8 = 5;
const INSTALL: u8 = 6;
const PROBE: u8 = 7;
const REMOVED: u8 = 8;
const ORIGIN: u8 = 9;
const KEPT_ENTRY: u8 = 10;
const PEER: u8 = 20;
const ANEW: u8 = 21;
const IMAGE_PIECE: u8 = 11;
const STAGED_PIECE: u8 = 12;
const INSTALL_PIECES: u8 = 13;
const SEATED_VOTE: u8 = 14;
const SEATED_STATE: u8 = 15;

/// One record of the log.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Record<'a> {
    /// An entry of a shard's log. Cuts off entries from its index on that stand before it.
    Entry { shard: ShardId, entry: LogEntry },
    /// An entry that stood in a segment which became free, again. It cuts off nothing: those
    /// behind it may stand before it.
    KeptEntry { shard: ShardId, entry: LogEntry },
    /// A shard's term, vote and commit index.
    Vote { shard: ShardId, vote: HardVote },
    /// A slot as it was when the shard's log was applied up to `index`. Written by versions that
    /// knew no pieces.
    Image { shard: ShardId, slot: Slot, index: LogIndex, image: &'a [u8] },
    /// A shard's state but for its slots, where its log begins: entries up to `state.applied` are
    /// not needed any more.
    State { shard: ShardId, state: ShardState },
    /// A part of a slot as it was at an index. The slot's older image counts until all are there.
    ImagePiece { shard: ShardId, part: ImagePart<'a> },
    /// A part of a slot image of a catch-up that is not complete yet.
    StagedPiece { shard: ShardId, from: NodeId, catch_up: CatchUpName, part: ImagePart<'a> },
    /// The staged images of a catch-up replace the shard's slots and its log; this is its state.
    InstallPieces { shard: ShardId, from: NodeId, catch_up: CatchUpName, state: ShardState },
    /// A slot image of a catch-up that is not complete yet. Of versions that knew no pieces, as
    /// `Install` is.
    StagedImage { shard: ShardId, slot: Slot, index: LogIndex, image: &'a [u8] },
    /// The staged images replace the shard's slots and its log; this is its state.
    Install { shard: ShardId, state: ShardState },
    /// Nothing: proves that the disk still answers.
    Probe,
    /// The replica was removed from this node: of what stands before, nothing counts. A vote
    /// follows, which it must remember should it come back.
    Removed { shard: ShardId },
    /// How the node came to be part of its cluster.
    Origin { remembered: Remembered },
    /// What is remembered of another node.
    Peer { node: NodeId, memory: Memory },
    /// All that stands before is void: it went back in time. The node goes on in this directory,
    /// with a later start than this one.
    Anew { directory: DirectoryId, incarnation: Incarnation },
}

/// A part of a slot image.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct ImagePart<'a> {
    pub(crate) slot: Slot,
    /// So many slots behind it are empty at the same index.
    pub(crate) empty_behind: u16,
    pub(crate) index: LogIndex,
    /// Where in the image it begins.
    pub(crate) offset: u64,
    pub(crate) last: bool,
    pub(crate) image: &'a [u8],
}

/// A shard's replicated state but for its slots.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ShardState {
    pub(crate) range: SlotRange,
    pub(crate) applied: (LogIndex, Term),
    pub(crate) replicas: Replicas,
    pub(crate) lease: Lease,
    pub(crate) goal: Goal,
    /// Stamp of the newest applied batch: time never runs backwards in a shard.
    pub(crate) stamp: UnixMillis,
}

/// Which nodes should have the replicas, as the shard's log says. Whoever leads works towards it
/// step by step (`shard/repair.rs`), so a move of a replica survives any change of the leader.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Goal {
    pub(crate) nodes: Vec<NodeId>,
    /// Counts goals and changes of the replicas: an order that names another number is about a
    /// shard that is no more (rule R28).
    pub(crate) generation: u64,
    /// The seat of the replica that was added last.
    pub(crate) seats: Seat,
}

/// A shard's lease as its log says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lease {
    pub(crate) epoch: LeaseEpoch,
    pub(crate) holder: Option<NodeId>,
    /// The term whose leader holds it.
    pub(crate) term: Term,
    /// Who campaigns first when the holder dies.
    pub(crate) succession: Vec<NodeId>,
}

impl Record<'_> {
    /// The shard that it is about, if it is about one.
    pub(crate) fn shard(&self) -> Option<ShardId> {
        match self {
            Record::Entry { shard, .. }
            | Record::KeptEntry { shard, .. }
            | Record::Vote { shard, .. }
            | Record::Image { shard, .. }
            | Record::State { shard, .. }
            | Record::ImagePiece { shard, .. }
            | Record::StagedPiece { shard, .. }
            | Record::InstallPieces { shard, .. }
            | Record::StagedImage { shard, .. }
            | Record::Install { shard, .. }
            | Record::Removed { shard } => Some(*shard),
            Record::Probe | Record::Origin { .. } | Record::Peer { .. } | Record::Anew { .. } => {
                None
            }
        }
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Record::Entry { shard, entry } => {
                put_entry_as(ENTRY, *shard, entry, Last::Here, into);
            }
            Record::KeptEntry { shard, entry } => {
                put_entry_as(KEPT_ENTRY, *shard, entry, Last::Here, into);
            }
            Record::Vote { shard, vote } => put_vote(*shard, *vote, into),
            Record::Image { shard, slot, index, image } => {
                put_image(IMAGE, *shard, *slot, *index, image, into);
            }
            Record::StagedImage { shard, slot, index, image } => {
                put_image(STAGED_IMAGE, *shard, *slot, *index, image, into);
            }
            Record::ImagePiece { shard, part } => {
                into.put_u8(IMAGE_PIECE);
                into.put_u32(shard.0);
                part.encode(into);
            }
            Record::StagedPiece { shard, from, catch_up, part } => {
                into.put_u8(STAGED_PIECE);
                into.put_u32(shard.0);
                put_source(*from, *catch_up, into);
                part.encode(into);
            }
            Record::InstallPieces { shard, from, catch_up, state } => {
                into.put_u8(INSTALL_PIECES);
                into.put_u32(shard.0);
                put_source(*from, *catch_up, into);
                state.encode(into);
            }
            Record::State { shard, state } => {
                into.put_u8(SEATED_STATE);
                into.put_u32(shard.0);
                state.encode(into);
            }
            Record::Install { shard, state } => {
                into.put_u8(INSTALL);
                into.put_u32(shard.0);
                state.encode_unseated(into);
            }
            Record::Probe => into.put_u8(PROBE),
            Record::Removed { shard } => {
                into.put_u8(REMOVED);
                into.put_u32(shard.0);
            }
            Record::Origin { remembered } => {
                into.put_u8(ORIGIN);
                remembered.encode(into);
            }
            Record::Peer { node, memory } => {
                into.put_u8(PEER);
                into.put_u32(node.0);
                memory.encode(into);
            }
            Record::Anew { directory, incarnation } => {
                into.put_u8(ANEW);
                into.put_u32(directory.0);
                into.put_u64(incarnation.0);
            }
        }
    }
}

fn put_entry_as(kind: u8, shard: ShardId, entry: &LogEntry, last: Last, into: &mut Vec<u8>) {
    into.put_u8(kind);
    into.put_u32(shard.0);
    entry.encode(last, into);
}

/// Adds an entry to what is gathered for the log. Long data are not copied.
pub(crate) fn gather_entry(shard: ShardId, entry: &LogEntry, into: &mut Gathered) {
    gather_entry_as(ENTRY, shard, entry, into);
}

/// The same, of one that was there before.
pub(crate) fn gather_kept_entry(shard: ShardId, entry: &LogEntry, into: &mut Gathered) {
    gather_entry_as(KEPT_ENTRY, shard, entry, into);
}

fn gather_entry_as(kind: u8, shard: ShardId, entry: &LogEntry, into: &mut Gathered) {
    // Only long operations have a context.
    if !entry.context().is_empty() {
        put_entry_as(kind, shard, entry, Last::Apart, into.tail());
        into.push(entry.data().clone());
    } else {
        put_entry_as(kind, shard, entry, Last::Here, into.tail());
    }
}

pub(crate) fn put_vote(shard: ShardId, vote: HardVote, into: &mut Vec<u8>) {
    into.put_u8(SEATED_VOTE);
    into.put_u32(shard.0);
    vote.encode(into);
}

fn put_image(
    kind: u8,
    shard: ShardId,
    slot: Slot,
    index: LogIndex,
    image: &[u8],
    into: &mut Vec<u8>,
) {
    into.put_u8(kind);
    into.put_u32(shard.0);
    into.put_u16(slot.number());
    into.put_u64(index.0);
    into.put_bytes(image);
}

fn put_source(from: NodeId, catch_up: CatchUpName, into: &mut Vec<u8>) {
    into.put_u32(from.0);
    into.put_u64(catch_up.term.0);
    into.put_u64(catch_up.number);
}

fn take_source(from: &mut Take<'_>) -> Result<(NodeId, CatchUpName), CodecError> {
    let sender = NodeId(from.u32()?);
    Ok((sender, CatchUpName { term: Term(from.u64()?), number: from.u64()? }))
}

impl<'a> ImagePart<'a> {
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.put_u16(self.slot.number());
        into.put_u16(self.empty_behind);
        into.put_u64(self.index.0);
        into.put_u64(self.offset);
        into.put_u8(u8::from(self.last));
        into.put_bytes(self.image);
    }

    pub(crate) fn decode(from: &mut Take<'a>) -> Result<Self, CodecError> {
        Ok(Self {
            slot: slot(from)?,
            empty_behind: from.u16()?,
            index: LogIndex(from.u64()?),
            offset: from.u64()?,
            last: from.u8()? != 0,
            image: from.bytes()?,
        })
    }

    /// The slots behind its own that are empty at its index.
    pub(crate) fn empty_slots(&self) -> impl Iterator<Item = Slot> + use<> {
        empty_slots(self.slot, self.empty_behind)
    }
}

/// So many slots behind this one, as far as there are so many.
pub(crate) fn empty_slots(slot: Slot, behind: u16) -> impl Iterator<Item = Slot> {
    (1..=behind).map_while(move |step| Slot::new(slot.number().checked_add(step)?))
}

impl<'a> From<&'a SlotPiece> for ImagePart<'a> {
    fn from(piece: &'a SlotPiece) -> Self {
        let SlotPiece { slot, empty_behind, index, offset, last, ref image, .. } = *piece;
        Self { slot, empty_behind, index, offset, last, image }
    }
}

impl ShardState {
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        self.encode_unseated(into);
        into.put_u16(self.goal.seats.0);
    }

    fn encode_unseated(&self, into: &mut Vec<u8>) {
        into.put_u16(self.range.first().number());
        into.put_u16(self.range.last().number());
        into.put_u64(self.applied.0.0);
        into.put_u64(self.applied.1.0);
        self.replicas.encode(into);
        into.put_u64(self.lease.epoch.0);
        into.put_u32(self.lease.holder.map_or(0, |node| node.0));
        into.put_u64(self.lease.term.0);
        put_nodes(&self.lease.succession, into);
        put_nodes(&self.goal.nodes, into);
        into.put_u64(self.goal.generation);
        into.put_u64(self.stamp.0);
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        let mut state = Self::decode_unseated(from)?;
        state.goal.seats = Seat(from.u16()?);
        Ok(state)
    }

    /// A state as versions wrote it that knew no seats.
    fn decode_unseated(from: &mut Take<'_>) -> Result<Self, CodecError> {
        let range = SlotRange::new(slot(from)?, slot(from)?);
        let applied = (LogIndex(from.u64()?), Term(from.u64()?));
        let replicas = Replicas::decode(from)?;
        let epoch = LeaseEpoch(from.u64()?);
        let holder = from.u32()?;
        let term = Term(from.u64()?);
        let succession = take_nodes(from)?;
        let goal =
            Goal { nodes: take_nodes(from)?, generation: from.u64()?, seats: Seat::default() };
        Ok(Self {
            range: range.ok_or(CodecError("a range of slots"))?,
            applied,
            replicas,
            lease: Lease {
                epoch,
                holder: (holder != 0).then_some(NodeId(holder)),
                term,
                succession,
            },
            goal,
            stamp: UnixMillis(from.u64()?),
        })
    }
}

/// The records of one payload.
pub(crate) struct Records<'a> {
    rest: Take<'a>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { rest: Take::new(payload) }
    }

    /// The same; long data stay where they are.
    pub(crate) fn of(payload: &'a bytes::Bytes) -> Self {
        Self { rest: Take::of_shared(payload) }
    }

    /// The next record; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'a>>, CodecError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let from = &mut self.rest;
        let kind = from.u8()?;
        if kind == PROBE {
            return Ok(Some(Record::Probe));
        }
        if kind == ORIGIN {
            return Ok(Some(Record::Origin { remembered: Remembered::decode(from)? }));
        }
        if kind == PEER {
            let node = NodeId(from.u32()?);
            return Ok(Some(Record::Peer { node, memory: Memory::decode(from)? }));
        }
        if kind == ANEW {
            let directory = DirectoryId(from.u32()?);
            let incarnation = Incarnation(from.u64()?);
            if incarnation == Incarnation(u64::MAX) {
                return Err(CodecError("a start that others can follow"));
            }
            return Ok(Some(Record::Anew { directory, incarnation }));
        }
        let shard = ShardId(from.u32()?);
        Ok(Some(match kind {
            ENTRY => Record::Entry { shard, entry: LogEntry::decode(from)? },
            KEPT_ENTRY => Record::KeptEntry { shard, entry: LogEntry::decode(from)? },
            // Of versions that knew no seats: each replica of theirs has the first one.
            VOTE => Record::Vote { shard, vote: HardVote::decode_unseated(from)? },
            SEATED_VOTE => Record::Vote { shard, vote: HardVote::decode(from)? },
            IMAGE | STAGED_IMAGE => {
                let slot = slot(from)?;
                let index = LogIndex(from.u64()?);
                let image = from.bytes()?;
                if kind == IMAGE {
                    Record::Image { shard, slot, index, image }
                } else {
                    Record::StagedImage { shard, slot, index, image }
                }
            }
            IMAGE_PIECE => Record::ImagePiece { shard, part: ImagePart::decode(from)? },
            STAGED_PIECE => {
                let (sender, catch_up) = take_source(from)?;
                let part = ImagePart::decode(from)?;
                Record::StagedPiece { shard, from: sender, catch_up, part }
            }
            INSTALL_PIECES => {
                let (sender, catch_up) = take_source(from)?;
                let state = ShardState::decode(from)?;
                Record::InstallPieces { shard, from: sender, catch_up, state }
            }
            STATE => Record::State { shard, state: ShardState::decode_unseated(from)? },
            SEATED_STATE => Record::State { shard, state: ShardState::decode(from)? },
            INSTALL => Record::Install { shard, state: ShardState::decode_unseated(from)? },
            REMOVED => Record::Removed { shard },
            _ => return Err(CodecError("a known kind of record")),
        }))
    }
}

fn slot(from: &mut Take<'_>) -> Result<Slot, CodecError> {
    Slot::new(from.u16()?).ok_or(CodecError("a slot below 16384"))
}

/// A payload that says nothing, for a log that must not be empty.
#[must_use]
pub fn probe() -> Vec<u8> {
    let mut payload = Vec::new();
    Record::Probe.encode(&mut payload);
    payload
}

/// The records of a payload in readable lines, for `leasehold inspect`.
///
/// # Errors
/// If the payload is malformed; the lines before that are lost with it.
pub fn describe(payload: &[u8]) -> Result<Vec<String>, CodecError> {
    let mut records = Records::new(payload);
    let mut lines = Vec::new();
    while let Some(record) = records.next()? {
        let mut line = String::new();
        // Writing to a string can't fail.
        let _ = write!(line, "{record}");
        lines.push(line);
    }
    Ok(lines)
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Entry { shard, entry } => {
                let what = describe_entry(entry);
                write!(f, "{shard} entry {} {} {what}", entry.index(), entry.term())
            }
            Record::KeptEntry { shard, entry } => {
                let what = describe_entry(entry);
                write!(f, "{shard} kept entry {} {} {what}", entry.index(), entry.term())
            }
            Record::Vote { shard, vote } => {
                let whom = ReplicaId::from_engine(vote.vote).map(|it| it.node).unwrap_or_default();
                let (seat, commit) = (vote.seat.0, vote.commit);
                write!(f, "{shard} seat {seat} vote {} for {whom} commit {commit}", vote.term)
            }
            Record::Image { shard, slot, index, image } => {
                write!(f, "{shard} image slot {slot} at {index}, {} bytes", image.len())
            }
            Record::StagedImage { shard, slot, index, image } => {
                write!(f, "{shard} staged image slot {slot} at {index}, {} bytes", image.len())
            }
            Record::ImagePiece { shard, part } => write!(f, "{shard} image {part}"),
            Record::StagedPiece { shard, from, catch_up, part } => {
                let CatchUpName { term, number } = catch_up;
                write!(f, "{shard} staged from {from} {term} {number} {part}")
            }
            Record::InstallPieces { shard, from, catch_up, state } => {
                let CatchUpName { term, number } = catch_up;
                write!(f, "{shard} install from {from} {term} {number} {state}")
            }
            Record::State { shard, state } => write!(f, "{shard} state {state}"),
            Record::Install { shard, state } => write!(f, "{shard} install {state}"),
            Record::Probe => write!(f, "probe"),
            Record::Removed { shard } => write!(f, "{shard} removed"),
            Record::Origin { remembered } => write!(f, "origin {:?}", remembered.origin),
            Record::Peer { node, memory } => write!(f, "{node} was {memory:?}"),
            Record::Anew { directory, incarnation } => {
                write!(f, "all before is void: anew as {directory} after {incarnation}")
            }
        }
    }
}

impl fmt::Display for ImagePart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slot, empty_behind, index, offset, last, image } = self;
        let (bytes, end) = (image.len(), if *last { ", the last" } else { "" });
        write!(f, "slot {slot} at {index}, {bytes} bytes from {offset}{end}")?;
        if *empty_behind > 0 { write!(f, ", {empty_behind} empty slots behind") } else { Ok(()) }
    }
}

impl fmt::Display for ShardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = self.lease.holder.unwrap_or_default();
        write!(f, "slots {} applied {} {}", self.range, self.applied.0, self.applied.1)?;
        write!(f, " lease {} holder {holder}", self.lease.epoch)?;
        write!(f, " voters {:?} learners {:?}", self.replicas.voters(), self.replicas.learners())
    }
}

fn describe_entry(entry: &LogEntry) -> String {
    if entry.changes_replicas() {
        return String::from("change of replicas");
    }
    match crate::entry::decode(entry.context(), entry.data()) {
        Ok(None) => String::from("empty"),
        Ok(Some(crate::entry::Entry::Lease(record))) => {
            alloc::format!("lease of {} by {:?}", record.holder, record.reason)
        }
        Ok(Some(crate::entry::Entry::Succession(order))) => {
            alloc::format!("succession {order:?}")
        }
        Ok(Some(crate::entry::Entry::Goal(goal))) => alloc::format!("goal {goal:?}"),
        Ok(Some(crate::entry::Entry::Batch { header, mut operations })) => {
            let mut count = 0;
            while let Ok(Some(_)) = operations.next() {
                count += 1;
            }
            alloc::format!("batch {} of {count}, {} bytes", header.epoch, entry.data().len())
        }
        Ok(Some(crate::entry::Entry::Part { header, part })) => {
            let (at, total, bytes) = (part.at, part.total, part.bytes.len());
            alloc::format!("part {} of {total} bytes: {bytes} from {at}", header.epoch)
        }
        Err(error) => alloc::format!("{error}"),
    }
}

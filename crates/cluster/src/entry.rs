//! What stands in a shard's log, and the form in which requests wait, park and travel.
//!
//! An entry is a *batch*: the operations that clients proposed to the shard during one turn of
//! the event loop, with what makes them deterministic (the holder's wall time and a random
//! seed), fenced by the lease epoch (rule R28). Or it is a *lease record*, the first entry that a
//! new holder proposes, a new succession order, or a new goal for the replicas, or a part of an
//! operation that is too long for one entry. Engine entries without data are skipped.

use alloc::vec::Vec;

use bytes::Bytes;
use resp::{CommandId, Flags};
use smallvec::SmallVec;
use types::{LeaseEpoch, NodeId, Slot, UnixMillis};

use crate::bytes_codec::{CodecError, Put, Take};
use crate::parts::Part;

/// Arguments of one command; the first one is the command's name and empty here.
pub(crate) type Args<'a> = SmallVec<[&'a [u8]; 8]>;

/// Most bytes around the longest argument of a request that is not copied.
const SURROUNDINGS_BYTES: usize = 64 << 10;

/// A batch from before the work of commands was bounded.
const UNBOUNDED_BATCH: u8 = 1;
const LEASE_RECORD: u8 = 2;
const SUCCESSION: u8 = 3;
const GOAL: u8 = 4;
const BATCH: u8 = 5;
const PART: u8 = 6;

const SINGLE: u8 = 0;
const GROUP: u8 = 1;
const FLUSH: u8 = 2;
const WATCH: u8 = 3;
const UNWATCH: u8 = 4;
const WATCHED_GROUP: u8 = 5;
const COUNT: u8 = 6;
const KEYS: u8 = 7;
const RANDOM: u8 = 8;
const SCAN: u8 = 9;
const COUNT_IN_SLOT: u8 = 10;
const KEYS_IN_SLOT: u8 = 11;
const MANAGE: u8 = 12;

/// An entry of a shard's log.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Entry<'a> {
    Batch {
        header: BatchHeader,
        operations: Operations<'a>,
    },
    /// A part of an operation: the last one's header is the operation's.
    Part {
        header: BatchHeader,
        part: Part<'a>,
    },
    Lease(LeaseRecord),
    Succession(Vec<NodeId>),
    Goal(Vec<NodeId>),
}

/// Whether an entry voids the parts that stand before it: what is no operation of a client does.
pub(crate) fn voids_parts(decoded: Option<&Entry<'_>>) -> bool {
    !matches!(decoded, Some(Entry::Batch { .. } | Entry::Part { .. }))
}

/// What makes a batch deterministic, and fences it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    pub(crate) epoch: LeaseEpoch,
    pub(crate) stamp: UnixMillis,
    pub(crate) seed: u64,
    /// Whether the work of its commands is bounded.
    pub(crate) bounded: bool,
}

/// "I hold the lease of this term." Its epoch is the number of such records before it, plus one,
/// so the order of the log decides it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LeaseRecord {
    pub(crate) holder: NodeId,
    pub(crate) reason: LeaseReason,
}

/// Why a lease changed hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeaseReason {
    /// The shard had no holder: a new cluster, or the holder died.
    Election,
    /// The former holder asked for it.
    Transfer,
}

/// The operations of a batch, to be read one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operations<'a> {
    rest: Take<'a>,
}

impl PartialEq for Operations<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rest.clone().slice(self.rest.remaining())
            == other.rest.clone().slice(other.rest.remaining())
    }
}

/// One command with its arguments.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Command<'a> {
    pub(crate) id: CommandId,
    pub(crate) args: Args<'a>,
}

impl<'a> Command<'a> {
    /// The first of its keys, if it has one in a fixed place.
    pub(crate) fn first_key(&self) -> Option<&'a [u8]> {
        let first = self.id.command().keys.first;
        self.args.get(first).copied().filter(|_| first > 0)
    }
}

/// The keys of a command, whose name is not among its arguments here.
pub(crate) fn keys_of<'a>(id: CommandId, args: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let Ok(positions) = resp::command::keys(id.command(), args) else { return Vec::new() };
    positions.filter_map(|position| args.get(position.index)).copied().collect()
}

/// What a client asks of one shard.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Operation<'a> {
    /// One command on one slot.
    Single { slot: Slot, command: Command<'a> },
    /// A transaction on one slot: all commands or none. `watched` asks for a check of the
    /// session's watched keys first and never stands in a log.
    Group { slot: Slot, watched: bool, commands: Vec<Command<'a>> },
    /// Remove all keys of the shard.
    Flush,
    /// Watch keys for a session. Never in a log.
    Watch { slot: Slot, keys: Args<'a> },
    /// Forget what a session watches. Never in a log.
    Unwatch,
    /// A question about the whole shard. Never in a log.
    Survey(Survey<'a>),
    /// A command for the Lease Manager, at the system shard. Never in a log.
    Manage(Command<'a>),
}

/// A question about a whole shard, from which answers about all data are put together.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Survey<'a> {
    /// How many keys.
    Count,
    /// All keys that match.
    Keys { pattern: &'a [u8] },
    /// Any key.
    Random,
    /// Some keys from a cursor on; the answer is that of SCAN.
    Scan {
        cursor: u64,
        /// The cursor to answer when the shard is done.
        after: u64,
        count: u64,
        pattern: Option<&'a [u8]>,
        strings_only: bool,
    },
    /// How many keys in one slot.
    CountInSlot(Slot),
    /// Up to so many keys of one slot.
    KeysInSlot(Slot, u64),
}

impl Operation<'_> {
    /// How the holder must treat the operation.
    pub(crate) fn kind(&self) -> OperationKind {
        match self {
            Operation::Single { command, .. } => {
                if command.id.command().flags.contains(Flags::WRITE) {
                    OperationKind::Write
                } else {
                    OperationKind::Read
                }
            }
            Operation::Group { watched: true, .. } => OperationKind::WatchedGroup,
            Operation::Group { watched: false, .. } | Operation::Flush => OperationKind::Write,
            Operation::Watch { .. } => OperationKind::Watch,
            Operation::Unwatch => OperationKind::Unwatch,
            Operation::Survey(_) => OperationKind::Read,
            Operation::Manage(_) => OperationKind::Manage,
        }
    }

    /// The only slot that the operation is about, if there is one.
    pub(crate) fn slot(&self) -> Option<Slot> {
        match self {
            Operation::Single { slot, .. }
            | Operation::Group { slot, .. }
            | Operation::Watch { slot, .. }
            | Operation::Survey(Survey::CountInSlot(slot) | Survey::KeysInSlot(slot, _)) => {
                Some(*slot)
            }
            Operation::Flush
            | Operation::Unwatch
            | Operation::Manage(_)
            | Operation::Survey(
                Survey::Count | Survey::Keys { .. } | Survey::Random | Survey::Scan { .. },
            ) => None,
        }
    }

    /// Whether running it may change anything that others see.
    pub(crate) fn changes(&self) -> bool {
        let writes = |command: &Command<'_>| command.id.command().flags.contains(Flags::WRITE);
        match self {
            Operation::Single { command, .. } => writes(command),
            Operation::Group { commands, .. } => commands.iter().any(writes),
            Operation::Flush => true,
            Operation::Manage(command) => {
                let asks = matches!(
                    command.id,
                    CommandId::LeaseholdDecisions
                        | CommandId::LeaseholdPlan
                        | CommandId::LeaseholdStatus
                        | CommandId::LeaseholdWhy
                );
                let asks_policy =
                    command.id == CommandId::LeaseholdPolicy && command.args.len() <= 1;
                !asks && !asks_policy
            }
            Operation::Watch { .. } | Operation::Unwatch | Operation::Survey(_) => false,
        }
    }

    /// Whether the operation goes through the log.
    pub(crate) fn writes(&self) -> bool {
        matches!(self.kind(), OperationKind::Write | OperationKind::WatchedGroup)
    }
}

/// How the holder must treat an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OperationKind {
    /// Needs the lease only.
    Read,
    /// Goes through the log.
    Write,
    /// Goes through the log if the watched keys are untouched.
    WatchedGroup,
    /// Begins to watch, after everything proposed before.
    Watch,
    /// Ends a watch.
    Unwatch,
    /// Goes to the Lease Manager.
    Manage,
}

/// Encodes a batch around operations that were encoded before: an entry's context and its data.
/// What precedes long operations is the context, so that they need not be copied.
pub(crate) fn encode_batch(
    header: BatchHeader,
    operations: &Bytes,
    is_long: bool,
) -> (Vec<u8>, Bytes) {
    let room = if is_long { 0 } else { operations.len() };
    let mut bytes = Vec::with_capacity(room + 25);
    put_batch_header(if header.bounded { BATCH } else { UNBOUNDED_BATCH }, header, &mut bytes);
    if is_long {
        return (bytes, operations.clone());
    }
    bytes.extend_from_slice(operations);
    (Vec::new(), bytes.into())
}

fn put_batch_header(kind: u8, header: BatchHeader, bytes: &mut Vec<u8>) {
    bytes.put_u8(kind);
    bytes.put_u64(header.epoch.0);
    bytes.put_u64(header.stamp.0);
    bytes.put_u64(header.seed);
}

/// What precedes a part of an operation: the entry's context. Its data are the part's bytes.
pub(crate) fn encode_part(header: BatchHeader, part: &Part<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_batch_header(PART, header, &mut bytes);
    part.put_place(&mut bytes);
    bytes
}

pub(crate) fn encode_lease(record: &LeaseRecord) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u8(LEASE_RECORD);
    bytes.put_u32(record.holder.0);
    bytes.put_u8(match record.reason {
        LeaseReason::Election => 0,
        LeaseReason::Transfer => 1,
    });
    bytes
}

pub(crate) fn encode_succession(order: &[NodeId]) -> Vec<u8> {
    encode_nodes(SUCCESSION, order)
}

pub(crate) fn encode_goal(goal: &[NodeId]) -> Vec<u8> {
    encode_nodes(GOAL, goal)
}

fn encode_nodes(kind: u8, nodes: &[NodeId]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u8(kind);
    put_nodes(nodes, &mut bytes);
    bytes
}

/// Reads an entry's context and data; `None` for the engine's own empty entries.
pub(crate) fn decode<'a>(context: &[u8], data: &'a [u8]) -> Result<Option<Entry<'a>>, CodecError> {
    if data.is_empty() {
        return Ok(None);
    }
    if !context.is_empty() {
        let mut from = Take::new(context);
        let kind = from.u8()?;
        let (BATCH | UNBOUNDED_BATCH | PART) = kind else { return Err(CodecError("a batch")) };
        let header = batch_header(kind, &mut from)?;
        if kind == PART {
            let part = Part::decode(&mut from, data)?;
            from.end()?;
            return Ok(Some(Entry::Part { header, part }));
        }
        from.end()?;
        return Ok(Some(Entry::Batch { header, operations: Operations::new(data) }));
    }
    let mut from = Take::new(data);
    let kind = from.u8()?;
    let entry = match kind {
        BATCH | UNBOUNDED_BATCH => Entry::Batch {
            header: batch_header(kind, &mut from)?,
            operations: Operations { rest: from },
        },
        LEASE_RECORD => Entry::Lease(LeaseRecord {
            holder: NodeId(from.u32()?),
            reason: match from.u8()? {
                0 => LeaseReason::Election,
                1 => LeaseReason::Transfer,
                2..=u8::MAX => return Err(CodecError("a known reason of a lease")),
            },
        }),
        SUCCESSION => Entry::Succession(take_nodes(&mut from)?),
        GOAL => Entry::Goal(take_nodes(&mut from)?),
        _ => return Err(CodecError("a known kind of entry")),
    };
    Ok(Some(entry))
}

fn batch_header(kind: u8, from: &mut Take<'_>) -> Result<BatchHeader, CodecError> {
    Ok(BatchHeader {
        epoch: LeaseEpoch(from.u64()?),
        stamp: UnixMillis(from.u64()?),
        seed: from.u64()?,
        bounded: kind != UNBOUNDED_BATCH,
    })
}

pub(crate) fn put_nodes(nodes: &[NodeId], into: &mut Vec<u8>) {
    into.put_len(nodes.len());
    for node in nodes {
        into.put_u32(node.0);
    }
}

pub(crate) fn take_nodes(from: &mut Take<'_>) -> Result<Vec<NodeId>, CodecError> {
    let count = from.len(types::limits::NODES_MAX)?;
    (0..count).map(|_| from.u32().map(NodeId)).collect()
}

/// Appends one command on one slot.
pub(crate) fn put_single(slot: Slot, id: CommandId, args: &[&[u8]], into: &mut Vec<u8>) {
    into.put_u8(SINGLE);
    into.put_u16(slot.number());
    put_command(id, args, into);
}

/// Makes one command on one slot of the bytes of a request, whose arguments lie at these places,
/// without copying its longest one: what is to stand before and behind it has room there, since a
/// request's own form takes more of it.
///
/// # Errors
/// The bytes as they were, if that is not possible or the other arguments are long as well.
pub(crate) fn single_in_place(
    slot: Slot,
    id: CommandId,
    mut bytes: Vec<u8>,
    args: &[(usize, usize)],
) -> Result<Bytes, Vec<u8>> {
    let length = |&(begin, end): &(usize, usize)| end - begin;
    let longest = (1..args.len()).max_by_key(|&at| args.get(at).map(length));
    let Some((at, &(begin, end))) = longest.and_then(|at| Some((at, args.get(at)?))) else {
        return Err(bytes);
    };
    if bytes.len() - (end - begin) > SURROUNDINGS_BYTES {
        return Err(bytes);
    }
    let slice = |&(begin, end): &(usize, usize)| bytes.get(begin..end).unwrap_or_default();
    let mut before = Vec::new();
    before.put_u8(SINGLE);
    before.put_u16(slot.number());
    before.put_u16(id.code());
    before.put_len(args.len() - 1);
    args.iter().take(at).skip(1).for_each(|arg| before.put_bytes(slice(arg)));
    before.put_len(end - begin);
    let mut behind = Vec::new();
    args.iter().skip(at + 1).for_each(|arg| behind.put_bytes(slice(arg)));
    let room = bytes.capacity() - end;
    let Some(start) = begin.checked_sub(before.len()).filter(|_| behind.len() <= room) else {
        return Err(bytes);
    };
    if let Some(place) = bytes.get_mut(start..begin) {
        place.copy_from_slice(&before);
    }
    bytes.truncate(end);
    bytes.extend_from_slice(&behind);
    Ok(Bytes::from(bytes).slice(start..))
}

/// Begins a transaction of `count` commands, which follow by [`put_command`].
pub(crate) fn put_group(slot: Slot, watched: bool, count: usize, into: &mut Vec<u8>) {
    into.put_u8(if watched { WATCHED_GROUP } else { GROUP });
    into.put_u16(slot.number());
    into.put_len(count);
}

pub(crate) fn put_flush(into: &mut Vec<u8>) {
    into.put_u8(FLUSH);
}

pub(crate) fn put_watch(slot: Slot, keys: &[&[u8]], into: &mut Vec<u8>) {
    into.put_u8(WATCH);
    into.put_u16(slot.number());
    into.put_len(keys.len());
    for key in keys {
        into.put_bytes(key);
    }
}

pub(crate) fn put_unwatch(into: &mut Vec<u8>) {
    into.put_u8(UNWATCH);
}

/// Appends a command for the Lease Manager.
pub(crate) fn put_manage(id: CommandId, args: &[&[u8]], into: &mut Vec<u8>) {
    into.put_u8(MANAGE);
    put_command(id, args, into);
}

pub(crate) fn put_survey(survey: Survey<'_>, into: &mut Vec<u8>) {
    match survey {
        Survey::Count => into.put_u8(COUNT),
        Survey::Keys { pattern } => {
            into.put_u8(KEYS);
            into.put_bytes(pattern);
        }
        Survey::Random => into.put_u8(RANDOM),
        Survey::Scan { cursor, after, count, pattern, strings_only } => {
            into.put_u8(SCAN);
            into.put_u64(cursor);
            into.put_u64(after);
            into.put_u64(count);
            into.put_u8(u8::from(pattern.is_some()) | u8::from(strings_only) << 1);
            into.put_bytes(pattern.unwrap_or_default());
        }
        Survey::CountInSlot(slot) => {
            into.put_u8(COUNT_IN_SLOT);
            into.put_u16(slot.number());
        }
        Survey::KeysInSlot(slot, count) => {
            into.put_u8(KEYS_IN_SLOT);
            into.put_u16(slot.number());
            into.put_u64(count);
        }
    }
}

/// Appends a command without its name, which its number stands for.
pub(crate) fn put_command(id: CommandId, args: &[&[u8]], into: &mut Vec<u8>) {
    into.put_u16(id.code());
    let args = args.get(1..).unwrap_or_default();
    into.put_len(args.len());
    for arg in args {
        into.put_bytes(arg);
    }
}

impl<'a> Operations<'a> {
    /// All operations of an encoded sequence of them.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: Take::new(bytes) }
    }

    /// What is left behind the first `bytes` bytes.
    pub(crate) fn skip(mut self, bytes: usize) -> Result<Self, CodecError> {
        self.rest.slice(bytes)?;
        Ok(self)
    }

    /// Bytes that are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.remaining()
    }

    /// The next operation; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Operation<'a>>, CodecError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let kind = self.rest.u8()?;
        let operation = match kind {
            SINGLE => Operation::Single { slot: self.slot()?, command: self.command()? },
            GROUP | WATCHED_GROUP => {
                let slot = self.slot()?;
                let count = self.rest.len(types::limits::TRANSACTION_COMMANDS_MAX)?;
                let commands = (0..count).map(|_| self.command()).collect::<Result<_, _>>()?;
                Operation::Group { slot, watched: kind == WATCHED_GROUP, commands }
            }
            FLUSH => Operation::Flush,
            WATCH => Operation::Watch { slot: self.slot()?, keys: self.args()? },
            UNWATCH => Operation::Unwatch,
            COUNT => Operation::Survey(Survey::Count),
            KEYS => Operation::Survey(Survey::Keys { pattern: self.rest.bytes()? }),
            RANDOM => Operation::Survey(Survey::Random),
            SCAN => Operation::Survey(self.scan()?),
            COUNT_IN_SLOT => Operation::Survey(Survey::CountInSlot(self.slot()?)),
            KEYS_IN_SLOT => Operation::Survey(Survey::KeysInSlot(self.slot()?, self.rest.u64()?)),
            MANAGE => Operation::Manage(self.command()?),
            _ => return Err(CodecError("a known kind of operation")),
        };
        Ok(Some(operation))
    }

    fn scan(&mut self) -> Result<Survey<'a>, CodecError> {
        let cursor = self.rest.u64()?;
        let after = self.rest.u64()?;
        let count = self.rest.u64()?;
        let flags = self.rest.u8()?;
        let pattern = self.rest.bytes()?;
        Ok(Survey::Scan {
            cursor,
            after,
            count,
            pattern: (flags & 1 != 0).then_some(pattern),
            strings_only: flags & 2 != 0,
        })
    }

    fn slot(&mut self) -> Result<Slot, CodecError> {
        Slot::new(self.rest.u16()?).ok_or(CodecError("a slot below 16384"))
    }

    fn command(&mut self) -> Result<Command<'a>, CodecError> {
        let id = CommandId::from_code(self.rest.u16()?).ok_or(CodecError("a known command"))?;
        let mut args = Args::new();
        args.push(b"");
        self.args_into(&mut args)?;
        Ok(Command { id, args })
    }

    fn args(&mut self) -> Result<Args<'a>, CodecError> {
        let mut args = Args::new();
        self.args_into(&mut args)?;
        Ok(args)
    }

    fn args_into(&mut self, args: &mut Args<'a>) -> Result<(), CodecError> {
        let count = self.rest.len(self.rest.remaining())?;
        for _ in 0..count {
            args.push(self.rest.bytes()?);
        }
        Ok(())
    }
}

/// The only operation of a request that waits, parks or travels.
pub(crate) fn only_operation(bytes: &[u8]) -> Result<Operation<'_>, CodecError> {
    let mut operations = Operations::new(bytes);
    let operation = operations.next()?.ok_or(CodecError("an operation"))?;
    match operations.next()? {
        None => Ok(operation),
        Some(_) => Err(CodecError("one operation")),
    }
}

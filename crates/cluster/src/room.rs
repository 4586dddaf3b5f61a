//! What this node may still take: memory for data, and disk for its log.
//!
//! Each node says with its beats how much room it has. The holder of a shard judges by the least
//! that any live voter says, before it proposes a write and never when the entry is applied: all
//! replicas apply the same entries, whatever their limits. What it has let in since those words
//! were said, at the most that each write may take, counts as gone.

use core::time::Duration;

use keyspace::Keyspace;
use resp::command::{Command, Flags};
use resp::{CommandId, command};
use types::limits::STRING_BYTES_MAX;
use types::{Monotonic, Slot};

use crate::entry::{self, Operation, Operations};
use crate::settings::Settings;

/// Into how many parts the time is cut for which the growth that was let in counts: it takes up to
/// one beat until a voter counts again, one until it says so, and one until that is looked at.
const WINDOWS: usize = 4;
/// A request is short if it takes at most so small a part of what may be under way.
const SHORT: usize = 1024;
/// More than is let in between two counts.
const AMPLE: u64 = 4 << 30;
/// One count of so many is of the tables, too: that takes a look at every slot.
const COUNTS_ALL: u32 = 10;
/// What a key takes beside its own bytes and its value's: header, table, the allocator's rounding.
const KEY_OVERHEAD: u64 = 96;
/// Most bytes that a value is given beyond its own when it is edited in place.
const SPARE_BYTES: u64 = 1 << 20;

/// The room of this node.
#[derive(Debug)]
pub(crate) struct Room {
    /// Bytes of data, and of the log in memory, as counted last.
    used: u64,
    /// Bytes that the log's files may still take, as the driver said last.
    disk: u64,
    /// There is less of it than the reserve: nothing that grows should come.
    short: bool,
    /// What was let in during each part of the time that counts, the newest first.
    growth: [u64; WINDOWS],
    /// What was let in before that and is not applied.
    waiting: u64,
    due: Monotonic,
    counts: u32,
    /// What the data of every live node may grow by at least, if that is ample everywhere and no
    /// disk is short: then no shard need look at its own nodes.
    ample: Option<u64>,
}

impl Room {
    pub(crate) fn new(now: Monotonic) -> Self {
        Self {
            used: 0,
            disk: u64::MAX,
            short: false,
            growth: [0; WINDOWS],
            waiting: 0,
            due: now,
            counts: 0,
            ample: None,
        }
    }

    /// Whether it is time to count again, and to look at what the others have said.
    pub(crate) fn is_due(&self, now: Monotonic) -> bool {
        self.due <= now
    }

    /// Whether everything is counted this time, or only what costs nothing to count.
    pub(crate) fn counts_all(&self) -> bool {
        self.counts.is_multiple_of(COUNTS_ALL)
    }

    /// Notes the least room of any live node, this one included; says whether shards must look at
    /// their own nodes.
    pub(crate) fn note_least(&mut self, memory: u64, disk: u64) -> bool {
        let before = self.ample;
        self.ample = (memory >= AMPLE && disk > 0).then_some(memory);
        self.ample.is_none() || before.is_none()
    }

    /// What the data may grow by wherever they are, if that is ample.
    pub(crate) fn ample(&self) -> Option<u64> {
        self.ample
    }

    /// Takes a new count. `waiting`: what entries that are older than the time that counts may yet
    /// make the data grow by.
    pub(crate) fn count(&mut self, now: Monotonic, interval: Duration, used: u64, waiting: u64) {
        self.due = now + interval;
        self.counts = self.counts.wrapping_add(1);
        self.used = used;
        self.waiting = waiting;
        self.growth.rotate_right(1);
        if let Some(newest) = self.growth.first_mut() {
            *newest = 0;
        }
    }

    /// For how long what was let in counts.
    pub(crate) fn memory_of_growth(settings: &Settings) -> Duration {
        settings.beat_interval * WINDOWS as u32
    }

    /// The driver says how much disk there is.
    pub(crate) fn note_disk(&mut self, settings: &Settings, bytes: u64) {
        let reserve = settings.disk_reserve;
        // Short and well again at different marks, or it would go back and forth.
        let enough = if self.short { reserve + reserve / 4 } else { reserve };
        self.disk = bytes;
        self.short = bytes < enough;
    }

    /// Bytes that the data may still grow by.
    pub(crate) fn memory(&self, settings: &Settings) -> u64 {
        match settings.memory {
            0 => u64::MAX,
            limit => limit.saturating_sub(self.used),
        }
    }

    /// Bytes that the log may still grow by before it touches the reserve.
    pub(crate) fn disk(&self, settings: &Settings) -> u64 {
        if self.short { 0 } else { self.disk.saturating_sub(settings.disk_reserve) }
    }

    /// Whether the reserve is touched: this node should lead nothing that somebody else can.
    pub(crate) fn disk_is_short(&self) -> bool {
        self.short
    }

    /// Whether half of the reserve is gone. The rest is for votes, for what shrinks the data, and
    /// for the images without which no log can be freed: other entries are not taken any more.
    pub(crate) fn disk_is_full(&self, settings: &Settings) -> bool {
        self.short && self.disk < settings.disk_reserve / 2
    }

    /// What was let in and may not be counted yet.
    pub(crate) fn reserved(&self) -> u64 {
        self.growth.iter().fold(self.waiting, |sum, growth| sum.saturating_add(*growth))
    }

    /// Lets a write in that takes so much at most.
    pub(crate) fn reserve(&mut self, growth: u64) {
        if let Some(newest) = self.growth.first_mut() {
            *newest = newest.saturating_add(growth);
        }
    }
}

/// What is known of the values that an operation is about.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Values {
    /// How long the longest may be when the operation is applied.
    pub(crate) longest: u64,
    /// How long the first one is, and by how much it can grow in its place.
    pub(crate) first: (u64, u64),
    /// Nothing is under way in the shard: what is there now is what the operation will find.
    pub(crate) settled: bool,
}

/// The most that an operation can make the data grow by.
pub(crate) fn growth_of(operation: &Operation<'_>, values: Values) -> u64 {
    let mut values = values;
    match operation {
        Operation::Single { command, .. } => growth(command.id, &command.args, &mut values),
        Operation::Group { commands, .. } => {
            // Each command may find what those before it have made.
            values.settled = false;
            values.first = (0, 0);
            let each = commands.iter().map(|it| growth(it.id, &it.args, &mut values));
            each.fold(0, u64::saturating_add)
        }
        Operation::Flush
        | Operation::Watch { .. }
        | Operation::Unwatch
        | Operation::Survey(_)
        | Operation::Manage(_) => 0,
    }
}

/// Whether a command can make the data grow: Redis' own mark.
pub(crate) fn grows(command: &Command) -> bool {
    command.flags.contains(Flags::WRITE) && command.flags.contains(Flags::DENYOOM)
}

/// Whether what a command takes depends on the values that are there.
fn looks_at_values(id: CommandId) -> bool {
    matches!(
        id,
        CommandId::Append
            | CommandId::BitField
            | CommandId::BitOp
            | CommandId::Copy
            | CommandId::SetBit
            | CommandId::SetRange
    )
}

impl Values {
    /// Looks at the values of a command's keys. `settled`: nothing is under way in the shard;
    /// else any of them may yet become longer by what is under way, `waiting`.
    pub(crate) fn look(
        data: &Keyspace,
        (slot, id, args): (Slot, CommandId, &[&[u8]]),
        settled: bool,
        waiting: u64,
    ) -> Self {
        let mut values = Self { settled, ..Self::default() };
        if !looks_at_values(id) {
            return values;
        }
        let keys = command::keys(id.command(), args).into_iter().flatten();
        for (at, key) in keys.filter_map(|key| args.get(key.index)).enumerate() {
            let (len, spare) = data.value_room(slot, key).unwrap_or((0, 0));
            let (len, spare) = (len as u64, spare as u64);
            if at == 0 {
                values.first = (len, spare);
            }
            values.longest = values.longest.max(len);
        }
        if !settled {
            values.longest = values.longest.saturating_add(waiting);
        }
        values
    }
}

/// The most that one command can make the data grow by; notes how long values may be afterwards.
#[expect(clippy::wildcard_enum_match_arm, reason = "others write no more than they are given")]
pub(crate) fn growth(id: CommandId, args: &[&[u8]], values: &mut Values) -> u64 {
    if !grows(id.command()) {
        return 0;
    }
    let given: u64 = args.iter().map(|arg| arg.len() as u64).sum();
    let keys = KEY_OVERHEAD * (args.len() as u64).div_ceil(2);
    let (len, spare) = values.first;
    let longest = values.longest;
    // A value that is edited in place becomes so long; one that would be too long isn't edited.
    let reaches = |needed: u64| {
        let needed = if needed > STRING_BYTES_MAX as u64 { 0 } else { needed };
        let there = if values.settled { len + spare } else { 0 };
        let grown = needed.saturating_sub(there);
        (needed, if grown > 0 { grown + SPARE_BYTES.min(needed) } else { 0 })
    };
    let (value, grown) = match id {
        CommandId::Copy | CommandId::BitOp => (longest, longest),
        CommandId::Append if given <= spare => (longest.saturating_add(given), 0),
        CommandId::Append => {
            let whole = longest.saturating_add(given);
            (whole, SPARE_BYTES.min(whole))
        }
        CommandId::SetRange => {
            let part = args.get(3).map_or(0, |part| part.len() as u64);
            reaches(number_at(args, 2).saturating_add(part))
        }
        CommandId::SetBit => reaches(number_at(args, 2) / 8 + 1),
        CommandId::BitField => reaches(keyspace::bitfield_bytes(args)),
        CommandId::Restore => {
            let payload = args.get(3).copied().unwrap_or_default();
            let whole = keyspace::restored_bytes_max(payload) as u64;
            (whole, whole)
        }
        _ => (given, 0),
    };
    values.longest = value.max(longest).min(STRING_BYTES_MAX as u64);
    grown.saturating_add(keys).saturating_add(given)
}

fn number_at(args: &[&[u8]], at: usize) -> u64 {
    args.get(at).map_or(0, |arg| number(arg))
}

/// A number as a client writes it; 0 for what is none, since such a command changes nothing.
fn number(text: &[u8]) -> u64 {
    core::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether an entry of a shard's log can make the data grow.
pub(crate) fn entry_grows((context, data): (&[u8], &[u8])) -> bool {
    match entry::decode(context, data) {
        Ok(Some(entry::Entry::Batch { operations, .. })) => operations_grow(operations),
        Ok(Some(entry::Entry::Part { part, .. })) => part.grows,
        Ok(_) => false,
        Err(_) => true,
    }
}

fn operations_grow(mut operations: Operations<'_>) -> bool {
    loop {
        match operations.next() {
            Ok(Some(Operation::Single { command, .. })) if grows(command.id.command()) => {
                return true;
            }
            Ok(Some(Operation::Group { commands, .. }))
                if commands.iter().any(|it| grows(it.id.command())) =>
            {
                return true;
            }
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// Whether a request may join what is under way. A long one and the short ones of all others must
/// not keep each other out: for these there is a quarter more, and one that is longer than the
/// limit comes beside so much, but beside no other that is long.
pub(crate) fn joins(waiting: usize, bytes: usize, limit: usize) -> bool {
    let all = waiting.saturating_add(bytes);
    let few = limit / 4;
    waiting <= few || all <= limit || bytes <= limit / SHORT && all <= limit + few
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_request_and_short_ones_keep_each_other_not_out() {
        let limit = 1 << 20;
        assert!(joins(0, 9 * limit, limit), "alone");
        assert!(joins(limit / 4, limit, limit), "beside short ones");
        assert!(!joins(limit / 4 + 1, limit, limit), "beside another");
        assert!(joins(limit, 1024, limit) && !joins(limit, 1025, limit));
        assert!(!joins(limit + limit / 4, 1, limit), "all that there is");
    }
}

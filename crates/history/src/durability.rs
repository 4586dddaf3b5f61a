//! Whether what the store acknowledged is there at the end.
//!
//! The last read of a key is *final* if it began after every known write of the key had ended.
//! An acknowledged write is lost if the final read cannot have come after it:
//!
//! - `set`, `del` (unique values): the value read was overwritten before this write began, was
//!   never written, or is absent although nothing deleted it since;
//! - `append`: the text read does not hold the appended piece;
//! - `incr`: the count read is below the sum of what was acknowledged; then every acknowledged
//!   increment of the key is listed, since which one is missing cannot be told.
//!
//! This says less than linearizability and says it more plainly. Writes of unknown outcome are
//! never lost; as the writer of the final value they excuse everything before.

use crate::operation::{Call, Operation, Readable, Reply, Status, by_key};
use std::fmt;

/// What became of acknowledged writes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Durability {
    /// Acknowledged writes on keys that have a final read.
    pub checked: usize,
    /// Acknowledged writes on keys without a final read, or with functions that do not mix.
    pub unchecked: usize,
    /// The lost ones, each with the final read that lacks it.
    pub lost: Vec<Lost>,
}

/// An acknowledged write that is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// The write.
    pub write: Operation,
    /// The read that should have shown it, or something later.
    pub read: Operation,
}

/// Looks for acknowledged writes that the final reads lack.
#[must_use]
pub fn check(history: &[Operation]) -> Durability {
    let mut result = Durability::default();
    for operations in by_key(history).values() {
        let acknowledged: Vec<&Operation> = operations
            .iter()
            .copied()
            .filter(|each| each.status == Status::Ok && changes(each))
            .collect();
        match final_read(operations).and_then(|read| Some((read, lost(operations, read)?))) {
            Some((read, lost)) => {
                result.checked += acknowledged.len();
                let entry = |write: &Operation| Lost { write: write.clone(), read: read.clone() };
                result.lost.extend(lost.into_iter().map(entry));
            }
            None => result.unchecked += acknowledged.len(),
        }
    }
    result
}

/// Whether an acknowledged operation changed the key.
fn changes(operation: &Operation) -> bool {
    match &operation.call {
        Call::Get => false,
        Call::Cas { .. } | Call::Delete => operation.reply != Some(Reply::Flag(false)),
        Call::Set(_) | Call::Increment(_) | Call::Append(_) | Call::Transaction(_) => true,
    }
}

fn final_read<'a>(operations: &[&'a Operation]) -> Option<&'a Operation> {
    let known_writes = operations.iter().filter(|each| each.status == Status::Ok && changes(each));
    let quiet_from = known_writes.map(|write| write.effect_end()).max().unwrap_or(0);
    let is_read = |each: &&&Operation| {
        each.status == Status::Ok && each.call == Call::Get && each.start > quiet_from
    };
    operations.iter().rev().find(is_read).copied()
}

/// The lost writes of one key, or `None` if the key's functions do not go together.
fn lost<'a>(operations: &[&'a Operation], read: &Operation) -> Option<Vec<&'a Operation>> {
    let seen = match &read.reply {
        Some(Reply::Bytes(value)) => Some(value.as_slice()),
        Some(Reply::Absent) => None,
        Some(Reply::Integer(_) | Reply::Flag(_) | Reply::List(_) | Reply::Error(_)) | None => {
            return None;
        }
    };
    let all = |wanted: fn(&Call) -> bool| {
        operations.iter().all(|each| each.call == Call::Get || wanted(&each.call))
    };
    if all(|call| matches!(call, Call::Set(_) | Call::Delete)) {
        Some(lost_versions(operations, seen))
    } else if all(|call| matches!(call, Call::Append(_))) {
        Some(lost_pieces(operations, seen))
    } else if all(|call| matches!(call, Call::Increment(_))) {
        Some(lost_increments(operations, seen))
    } else {
        None
    }
}

fn lost_versions<'a>(operations: &[&'a Operation], seen: Option<&[u8]>) -> Vec<&'a Operation> {
    let wrote_it = |each: &&&Operation| match &each.call {
        Call::Set(value) => each.status != Status::Fail && Some(value.as_slice()) == seen,
        Call::Delete => each.status != Status::Fail && seen.is_none(),
        Call::Get
        | Call::Cas { .. }
        | Call::Increment(_)
        | Call::Append(_)
        | Call::Transaction(_) => false,
    };
    // The latest that the value may have been written. Without a writer, before all.
    let written = operations.iter().filter(wrote_it).map(|each| each.effect_end()).max();
    let is_lost = |each: &&Operation| {
        each.status == Status::Ok && changes(each) && written.is_none_or(|end| end < each.start)
    };
    operations.iter().copied().filter(is_lost).collect()
}

fn lost_pieces<'a>(operations: &[&'a Operation], seen: Option<&[u8]>) -> Vec<&'a Operation> {
    let text = seen.unwrap_or_default();
    let holds =
        |piece: &[u8]| piece.is_empty() || text.windows(piece.len()).any(|window| window == piece);
    let is_lost = |each: &&Operation| match &each.call {
        Call::Append(piece) => each.status == Status::Ok && !holds(piece),
        Call::Get
        | Call::Set(_)
        | Call::Cas { .. }
        | Call::Increment(_)
        | Call::Delete
        | Call::Transaction(_) => false,
    };
    operations.iter().copied().filter(is_lost).collect()
}

fn lost_increments<'a>(operations: &[&'a Operation], seen: Option<&[u8]>) -> Vec<&'a Operation> {
    let count: i128 = match seen.map(|text| str::from_utf8(text).ok()?.parse().ok()) {
        None => 0,
        Some(Some(count)) => count,
        Some(None) => i128::MIN,
    };
    let (mut least, mut acknowledged) = (0i128, Vec::new());
    for operation in operations {
        let Call::Increment(by) = operation.call else { continue };
        match operation.status {
            Status::Ok => {
                least += i128::from(by);
                acknowledged.push(*operation);
            }
            // It may have taken something away.
            Status::Info => least += i128::from(by.min(0)),
            Status::Fail => {}
        }
    }
    if count < least { acknowledged } else { Vec::new() }
}

/// Most lost writes that the text lists.
const SHOWN_MAX: usize = 10;

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "durability      {} acknowledged writes checked, {} without a final read",
            self.checked, self.unchecked
        )?;
        writeln!(f, "lost writes     {}", self.lost.len())?;
        for lost in self.lost.iter().take(SHOWN_MAX) {
            writeln!(f, "  key {}:", Readable(&lost.write.key))?;
            writeln!(f, "    {}\n    {}", lost.write, lost.read)?;
        }
        Ok(())
    }
}

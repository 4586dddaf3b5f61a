//! What of a replica's log stands on disk: entries, and what it must remember besides.

use alloc::vec::Vec;

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType};
use types::{LogIndex, Term};

use super::message;
use super::replicas::Seat;
use crate::bytes_codec::{CodecError, Last, Put, Take};

/// What a replica must remember across a restart besides its entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct HardVote {
    pub(crate) seat: Seat,
    pub(crate) term: Term,
    pub(crate) vote: u64,
    pub(crate) commit: LogIndex,
    /// Term and index of the last entry that counts of the log that it has given up, if it was
    /// removed.
    pub(crate) given_up: (Term, LogIndex),
}

/// A log entry in our encoding, as it stands in log records.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct LogEntry(pub(super) Entry);

impl LogEntry {
    pub(crate) fn index(&self) -> LogIndex {
        LogIndex(self.0.index)
    }

    pub(crate) fn term(&self) -> Term {
        Term(self.0.term)
    }

    pub(crate) fn data(&self) -> &Bytes {
        &self.0.data
    }

    pub(crate) fn context(&self) -> &Bytes {
        &self.0.context
    }

    pub(crate) fn changes_replicas(&self) -> bool {
        self.0.get_entry_type() != EntryType::EntryNormal
    }

    /// Appends it; of its data only the length, if they come apart.
    pub(crate) fn encode(&self, last: Last, into: &mut Vec<u8>) {
        message::put_entry(&self.0, last, into);
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        message::decode_entry(from).map(Self)
    }
}

impl HardVote {
    pub(crate) fn encode(self, into: &mut Vec<u8>) {
        into.put_var(self.term.0);
        into.put_var(self.vote);
        into.put_var(self.commit.0);
        into.put_u16(self.seat.0);
        into.put_var(self.given_up.0.0);
        into.put_var(self.given_up.1.0);
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        let unseated = Self::decode_unseated(from)?;
        Ok(Self {
            seat: Seat(from.u16()?),
            given_up: (Term(from.var()?), LogIndex(from.var()?)),
            ..unseated
        })
    }

    /// A vote as versions wrote it that knew no seats.
    pub(crate) fn decode_unseated(from: &mut Take<'_>) -> Result<Self, CodecError> {
        let (term, vote, commit) = (Term(from.var()?), from.var()?, LogIndex(from.var()?));
        Ok(Self { term, vote, commit, ..Self::default() })
    }
}

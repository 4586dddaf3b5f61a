//! Long writes in parts: an entry each, between which there are entries of others.
//!
//! A value of 64 MB in one entry holds up whatever comes behind it: in the log of every replica, on
//! the connections between them, and in its shard. So what its client asks for is cut into pieces,
//! each of which is proposed as an entry of its own when those before it have come far enough. The
//! write is executed when the last of them is applied, with its place in the log, and until then it
//! has not been executed anywhere: without the last part nothing comes of the others.
//!
//! Putting parts together is a function of the log alone, the same on every replica. There is one
//! write at a time. Whatever else than operations of clients stands between its parts voids them: a
//! new leader begins with its own record, so no write is made of two leaders' parts.
//!
//! Until a write is whole its parts are needed, though they are applied: what the log keeps, in
//! memory and on the disk, and where a catch-up begins, is told by [`Assembly::first`].

use alloc::vec::Vec;

use bytes::Bytes;
use types::LogIndex;
use types::limits::REQUEST_BYTES_MAX;

use crate::bytes_codec::{CodecError, Put, Take};

/// A part of an operation that is too long for one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part<'a> {
    /// The length of the operation.
    pub(crate) total: usize,
    /// Where in it this part begins.
    pub(crate) at: usize,
    /// Whether the operation can make the data grow.
    pub(crate) grows: bool,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Part<'a> {
    /// Appends all but the bytes.
    pub(crate) fn put_place(&self, into: &mut Vec<u8>) {
        into.put_len(self.total);
        into.put_len(self.at);
        into.put_u8(u8::from(self.grows));
    }

    /// Reads what [`Part::put_place`] has written.
    ///
    /// # Errors
    /// If the bytes don't lie in the operation.
    pub(crate) fn decode(from: &mut Take<'_>, bytes: &'a [u8]) -> Result<Self, CodecError> {
        let total = from.len(REQUEST_BYTES_MAX)?;
        let at = from.len(REQUEST_BYTES_MAX)?;
        let grows = from.u8()? != 0;
        let part = Self { total, at, grows, bytes };
        let lies_in_it = total == 0 || at + bytes.len() <= total;
        if lies_in_it { Ok(part) } else { Err(CodecError("a part that lies in its operation")) }
    }

    /// Whether the operation is whole with it.
    pub(crate) fn is_last(&self) -> bool {
        self.at + self.bytes.len() == self.total
    }
}

/// The parts of an operation that are applied.
#[derive(Default)]
pub(crate) struct Assembly {
    open: Option<Open>,
}

struct Open {
    first: LogIndex,
    total: usize,
    bytes: Vec<u8>,
    /// All of it, as soon as the last part is there.
    whole: Option<Bytes>,
}

impl Assembly {
    /// Takes the next part. One that is not `fenced`, whose lease is not the shard's, voids those
    /// before it.
    pub(crate) fn take(&mut self, index: LogIndex, part: &Part<'_>, fenced: bool) {
        if !fenced {
            return self.close();
        }
        if part.at == 0 && part.total > 0 {
            let bytes = Vec::with_capacity(part.total);
            self.open = Some(Open { first: index, total: part.total, bytes, whole: None });
        }
        let Some(open) = &mut self.open else { return };
        if part.total != open.total || part.at != open.bytes.len() || open.whole.is_some() {
            return self.close();
        }
        open.bytes.extend_from_slice(part.bytes);
        if part.is_last() {
            open.whole = Some(core::mem::take(&mut open.bytes).into());
        }
    }

    /// The operation, if its last part is there and it is not executed.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        self.open.as_ref()?.whole.clone()
    }

    /// Where the first part of an operation stands that is not executed.
    pub(crate) fn first(&self) -> Option<LogIndex> {
        self.open.as_ref().map(|open| open.first)
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.bytes.len() as u64)
    }

    /// Nothing will come of the parts, or the operation is executed.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(total: usize, at: usize, bytes: &[u8]) -> Part<'_> {
        Part { total, at, grows: true, bytes }
    }

    #[test]
    fn parts_become_a_whole_only_in_their_order() {
        let mut assembly = Assembly::default();
        assembly.take(LogIndex(4), &part(5, 0, b"ab"), true);
        assert_eq!((assembly.first(), assembly.whole()), (Some(LogIndex(4)), None));
        assembly.take(LogIndex(6), &part(5, 2, b"cd"), true);
        assembly.take(LogIndex(9), &part(5, 4, b"e"), true);
        assert_eq!(assembly.whole().as_deref(), Some(&b"abcde"[..]));
        assert_eq!(assembly.first(), Some(LogIndex(4)), "it is not executed yet");
        assembly.close();
        assert_eq!((assembly.first(), assembly.whole()), (None, None));

        // A part that is missing, that comes twice, or that is another's.
        for second in [part(5, 3, b"de"), part(5, 0, b"ab"), part(6, 2, b"cdef")] {
            assembly.take(LogIndex(1), &part(5, 0, b"ab"), true);
            assembly.take(LogIndex(2), &second, true);
            assembly.take(LogIndex(3), &part(5, 4, b"e"), true);
            assert_eq!(assembly.whole(), None);
        }

        // One that begins anew, and one that is given up.
        assembly.take(LogIndex(1), &part(5, 0, b"ab"), true);
        assembly.take(LogIndex(2), &part(3, 0, b"abc"), true);
        assert_eq!((assembly.first(), assembly.whole().is_some()), (Some(LogIndex(2)), true));
        assembly.take(LogIndex(3), &part(5, 0, b"ab"), true);
        assembly.take(LogIndex(4), &part(0, 0, b"-"), true);
        assert_eq!((assembly.first(), assembly.whole()), (None, None));

        // One that is fenced off.
        assembly.take(LogIndex(1), &part(5, 0, b"ab"), true);
        assembly.take(LogIndex(2), &part(5, 2, b"cde"), false);
        assert_eq!((assembly.first(), assembly.whole()), (None, None));
    }

    #[test]
    fn a_part_is_read_as_it_was_written_and_lies_in_its_operation() {
        let written = part(70_000, 300, b"xyz");
        let mut place = Vec::new();
        written.put_place(&mut place);
        let mut from = Take::new(&place);
        assert_eq!(Part::decode(&mut from, b"xyz"), Ok(written));
        assert!(from.end().is_ok());
        let mut place = Vec::new();
        part(10, 8, b"").put_place(&mut place);
        assert!(Part::decode(&mut Take::new(&place), b"xyz").is_err());
    }
}

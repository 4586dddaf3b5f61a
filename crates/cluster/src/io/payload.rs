//! What the log thread is asked to append.

use alloc::vec::Vec;

use bytes::Bytes;

/// Bytes for the log. Long ones lie apart, where others have them, too: what is copied of a value
/// of 64 MB holds everybody up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payload {
    bytes: Vec<u8>,
    /// Long parts, each with its place in `bytes`, in order.
    long: Vec<(usize, Bytes)>,
}

impl Payload {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.long.iter().map(|(_, long)| long.len()).sum::<usize>()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.long.is_empty()
    }

    /// The bytes that do not lie apart.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The long parts, each with its place in those.
    #[must_use]
    pub fn long(&self) -> &[(usize, Bytes)] {
        &self.long
    }

    /// Its parts, one behind the other.
    #[must_use]
    pub fn parts(&self) -> Vec<&[u8]> {
        let mut parts = Vec::with_capacity(2 * self.long.len() + 1);
        let mut at = 0;
        for (place, long) in &self.long {
            parts.push(self.bytes.get(at..*place).unwrap_or_default());
            parts.push(long);
            at = *place;
        }
        parts.push(self.bytes.get(at..).unwrap_or_default());
        parts
    }

    /// All bytes, in one piece.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        if self.long.is_empty() { self.bytes } else { self.parts().concat() }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, long: Vec::new() }
    }
}

/// Records that gather until they are written.
#[derive(Default)]
pub(crate) struct Gathered {
    payload: Payload,
    /// Where the records may be parted, by the place in the bytes that do not lie apart: what lies
    /// between two of these belongs together.
    cuts: Vec<usize>,
}

/// Bytes of records between which a payload may be parted.
const CUT_BYTES: usize = 4 << 10;

impl Gathered {
    /// Where to append a record of which no part is long.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.payload.bytes
    }

    /// Appends a long part.
    pub(crate) fn push(&mut self, long: Bytes) {
        self.payload.long.push((self.payload.bytes.len(), long));
    }

    pub(crate) fn len(&self) -> usize {
        self.payload.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// The records so far may become durable without those that follow.
    pub(crate) fn cut(&mut self) {
        let last = self.cuts.last().copied().unwrap_or(0);
        let is_long = self.payload.long.last().is_some_and(|(place, _)| *place > last);
        if self.payload.bytes.len() >= last + CUT_BYTES || is_long {
            self.cuts.push(self.payload.bytes.len());
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// All of it, in parts of about `most` bytes where it can be parted. Room is kept for as much
    /// again, but for no more than `room` bytes.
    pub(crate) fn take(&mut self, most: usize, room: usize) -> Vec<Payload> {
        // Room for as much again, or it is copied over and over while it grows.
        let next = Vec::with_capacity(self.payload.bytes.len().min(room));
        let bytes = core::mem::replace(&mut self.payload.bytes, next);
        let mut long = core::mem::take(&mut self.payload.long).into_iter().peekable();
        let mut parts = Vec::new();
        let (mut begin, mut end) = (0, 0);
        // Of the part that begins there: bytes and long ones up to `end`, and behind it.
        let (mut taken, mut size): (Vec<(usize, Bytes)>, usize) = (Vec::new(), 0);
        let ends = self.cuts.drain(..).collect::<Vec<_>>().into_iter().chain([bytes.len()]);
        for cut in ends {
            let mut piece = cut - end;
            let mut found = Vec::new();
            while let Some((place, long)) = long.next_if(|(place, _)| *place <= cut) {
                piece += long.len();
                found.push((place, long));
            }
            if piece > 0 && size > 0 && size + piece > most {
                let long = taken.drain(..).map(|(place, long)| (place - begin, long)).collect();
                let bytes = bytes.get(begin..end).unwrap_or_default().to_vec();
                parts.push(Payload { bytes, long });
                (begin, size) = (end, 0);
            }
            taken.append(&mut found);
            (end, size) = (cut, size + piece);
        }
        let long = taken.into_iter().map(|(place, long)| (place - begin, long)).collect();
        let bytes =
            if begin == 0 { bytes } else { bytes.get(begin..).unwrap_or_default().to_vec() };
        parts.push(Payload { bytes, long });
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_where_they_may_be_and_long_ones_stay_in_their_places() {
        let mut gathered = Gathered::default();
        let mut expected = Vec::new();
        for step in 0..40u8 {
            let record = alloc::vec![step; usize::from(step) * 300];
            gathered.tail().extend_from_slice(&record);
            expected.extend_from_slice(&record);
            if step % 7 == 3 {
                let long = alloc::vec![100 + step; 50_000];
                expected.extend_from_slice(&long);
                gathered.push(long.into());
            }
            gathered.cut();
        }
        assert_eq!(gathered.len(), expected.len());
        let parts = gathered.take(60_000, 16);
        assert!(gathered.is_empty());
        assert!(parts.len() > 5);
        assert!(parts.iter().all(|part| !part.is_empty() && part.len() < 75_000));
        let sum: usize = parts.iter().map(Payload::len).sum();
        assert_eq!(sum, expected.len());
        assert!(parts.iter().flat_map(Payload::parts).collect::<Vec<_>>().concat() == expected);
        let bytes: Vec<u8> = parts.into_iter().flat_map(Payload::into_bytes).collect();
        assert!(bytes == expected);
    }
}

//! Reading and writing the fields of messages, log entries and log records.
//!
//! Little-endian fixed-width integers where a value is usually large, variable-length ones
//! (LEB128, as protobuf has them) for lengths and counts. Reading checks every length against the
//! bytes that are there, so nothing is allocated on a peer's or a disk's word.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

/// Bytes that do not have the form they should have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodecError(
    /// What was expected.
    pub &'static str,
);

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed bytes: {}", self.0)
    }
}

impl core::error::Error for CodecError {}

/// From so many bytes on, a field gets room in the buffer for what follows, too.
const LARGE_BYTES: usize = 256 << 10;
/// Room for what usually follows a large field.
const BEHIND_BYTES: usize = 16 << 10;

/// Where the last field of a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Last {
    /// In its place.
    Here,
    /// Only its length is; the bytes follow by another way.
    Apart,
}

/// Appends fields to a buffer.
pub(crate) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    fn put_var(&mut self, value: u64);
    fn put_len(&mut self, value: usize);
    fn put_bytes(&mut self, bytes: &[u8]);
    fn put_last(&mut self, bytes: &[u8], last: Last);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_var(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }
    fn put_len(&mut self, value: usize) {
        self.put_var(value as u64);
    }
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_len(bytes.len());
        if bytes.len() >= LARGE_BYTES {
            // Or what little follows would double the buffer, and copy all of it.
            self.reserve(bytes.len() + BEHIND_BYTES);
        }
        self.extend_from_slice(bytes);
    }
    fn put_last(&mut self, bytes: &[u8], last: Last) {
        match last {
            Last::Here => self.put_bytes(bytes),
            Last::Apart => self.put_len(bytes.len()),
        }
    }
}

/// Takes fields from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take<'a> {
    rest: &'a [u8],
    /// What all of it lies in, if it may be kept.
    owner: Option<&'a Bytes>,
}

impl<'a> Take<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, owner: None }
    }

    /// The same, of bytes of which a part may be kept instead of copied.
    pub(crate) fn of_shared(bytes: &'a Bytes) -> Self {
        Self { rest: bytes, owner: Some(bytes) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (front, rest) = self.rest.split_at_checked(len).ok_or(CodecError("more bytes"))?;
        self.rest = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (front, rest) = self.rest.split_first_chunk().ok_or(CodecError("more bytes"))?;
        self.rest = rest;
        Ok(*front)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn var(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(CodecError("a number of at most 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CodecError("a number of at most 64 bits"))
    }

    /// A length or count; at most `max`.
    pub(crate) fn len(&mut self, max: usize) -> Result<usize, CodecError> {
        let value = self.var()?;
        usize::try_from(value)
            .ok()
            .filter(|&len| len <= max)
            .ok_or(CodecError("a length within its limit"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let len = self.len(self.rest.len())?;
        self.slice(len)
    }

    /// Bytes to keep: a part of what they lie in, if they are most of that, else a copy.
    pub(crate) fn kept_bytes(&mut self) -> Result<Bytes, CodecError> {
        let bytes = self.bytes()?;
        let owner = self.owner.filter(|owner| bytes.len() >= LARGE_BYTES.max(owner.len() / 2));
        Ok(owner.map_or_else(|| Bytes::copy_from_slice(bytes), |owner| owner.slice_ref(bytes)))
    }

    pub(crate) fn text(&mut self, max: usize) -> Result<&'a str, CodecError> {
        let bytes = self.bytes()?;
        if bytes.len() > max {
            return Err(CodecError("a text within its limit"));
        }
        core::str::from_utf8(bytes).map_err(|_| CodecError("text in UTF-8"))
    }

    pub(crate) fn end(&self) -> Result<(), CodecError> {
        if self.is_empty() { Ok(()) } else { Err(CodecError("no more bytes")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_fields_are_kept_where_they_lie_and_small_ones_are_copied() {
        let mut bytes = Vec::new();
        bytes.put_bytes(b"small");
        bytes.put_bytes(&[7; LARGE_BYTES]);
        let bytes = Bytes::from(bytes);
        let lies_inside = |field: &Bytes| bytes.as_ptr_range().contains(&field.as_ptr());
        for shared in [true, false] {
            let mut from = if shared { Take::of_shared(&bytes) } else { Take::new(&bytes) };
            let small = from.kept_bytes().expect("it was written");
            let large = from.kept_bytes().expect("it was written");
            assert_eq!((&small[..], &large[..]), (&b"small"[..], &[7; LARGE_BYTES][..]));
            assert_eq!((lies_inside(&small), lies_inside(&large)), (false, shared));
        }
    }

    #[test]
    fn variable_numbers_round_trip_and_reject_overflow() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut buffer = Vec::new();
            buffer.put_var(value);
            assert_eq!(Take::new(&buffer).var(), Ok(value));
        }
        assert!(Take::new(&[0xff; 10]).var().is_err());
        assert!(Take::new(&[0x80]).var().is_err());
    }
}

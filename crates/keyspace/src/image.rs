//! Slot images: one slot as bytes, for checkpoints and for replicas that lag behind.
//!
//! ```text
//! version 1 | slot 2 | count 8 | entries
//! entry: type 1 | flags 1 | key length | value length | expiry 8, if any | key | value
//! ```
//!
//! Numbers are little-endian, the lengths in an entry varints. Entries come in any order, each key
//! once. The carrier cuts the bytes into pieces (`pieces.rs`) and adds checksums; whatever the
//! bytes are, installing them either takes the whole image or changes nothing, and allocates no
//! more than
//! a small multiple of them.

use crate::entry::{Content, Entry, Kind};
use crate::fingerprint::fingerprint;
use crate::keyspace::Keyspace;
use crate::pieces::SlotBuilder;
use alloc::vec::Vec;
use core::fmt;
use types::Slot;
use types::limits::{ARGUMENT_BYTES_MAX, STRING_BYTES_MAX};

const VERSION: u8 = 1;
const FLAG_EXPIRES: u8 = 1;
const FLAG_RAW: u8 = 2;

/// Why a slot image was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// The image was written in a version of the format that is not known here.
    Version(u8),
    /// The image is of another slot.
    Slot,
    /// The image ends in the middle, goes on after its end, or says something impossible.
    Malformed,
    /// A key comes twice, or is of another slot.
    Keys,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "slot image of unknown version {version}"),
            Self::Slot => f.write_str("slot image of another slot"),
            Self::Malformed => f.write_str("malformed slot image"),
            Self::Keys => f.write_str("slot image with wrong or repeated keys"),
        }
    }
}

impl core::error::Error for ImageError {}

/// What stands at the beginning of an image.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    /// How many entries follow.
    pub(crate) count: u64,
}

impl Keyspace {
    /// Appends the image of a slot, which must lie in the range, with its keys in order.
    pub fn encode_slot(&self, slot: Slot, out: &mut Vec<u8>) {
        let data = self.slot(slot);
        let mut entries: Vec<&Entry> = data.entries().collect();
        entries.sort_unstable_by_key(|entry| entry.key());
        encode_header(slot, entries.len(), out);
        for entry in entries {
            encode_entry(entry, out);
        }
    }

    /// Replaces the data of a slot, which must lie in the range, by that of an image.
    ///
    /// # Errors
    /// If the bytes are not a valid image of this slot. The data is then as it was.
    pub fn install_slot(&mut self, slot: Slot, image: &[u8]) -> Result<(), ImageError> {
        let mut builder = SlotBuilder::new(slot, self.hasher().seed);
        builder.push(image)?;
        self.put_slot(slot, builder.finish()?);
        Ok(())
    }

    /// A digest of a slot's data, which must lie in the range: equal on all replicas that hold
    /// the same keys, values and expiries, whatever their tables look like.
    #[must_use]
    pub fn digest_slot(&self, slot: Slot) -> u64 {
        let digest = |entry: &Entry| {
            let content = entry.content();
            let flags = u64::from(flags_of(content)) << 8 | u64::from(entry.kind().code());
            let expiry = content.expiry.unwrap_or(0).to_le_bytes();
            let state = fingerprint(fingerprint(flags, &expiry), entry.key());
            fingerprint(state, content.value)
        };
        // A sum does not depend on the order, and unlike exclusive or it counts repetitions.
        self.slot(slot).entries().map(digest).fold(0, u64::wrapping_add)
    }
}

fn flags_of(content: Content<'_>) -> u8 {
    let expires = if content.expiry.is_some() { FLAG_EXPIRES } else { 0 };
    expires | if content.raw { FLAG_RAW } else { 0 }
}

pub(crate) fn encode_header(slot: Slot, count: usize, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&slot.number().to_le_bytes());
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

pub(crate) fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let content = entry.content();
    out.push(entry.kind().code());
    out.push(flags_of(content));
    push_varint(out, entry.key().len());
    push_varint(out, content.value.len());
    if let Some(expiry) = content.expiry {
        out.extend_from_slice(&expiry.to_le_bytes());
    }
    out.extend_from_slice(entry.key());
    out.extend_from_slice(content.value);
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads the entries of an image, as far as the bytes reach.
pub(crate) struct EntryReader<'a>(&'a [u8]);

impl<'a> EntryReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes that are not read.
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    /// The header; `None` if it is not all there.
    pub(crate) fn header(&mut self, slot: Slot) -> Result<Option<Header>, ImageError> {
        let Some((&version, rest)) = self.0.split_first() else { return Ok(None) };
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        let Some((number, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
        if u16::from_le_bytes(*number) != slot.number() {
            return Err(ImageError::Slot);
        }
        let Some((count, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
        self.0 = rest;
        Ok(Some(Header { count: u64::from_le_bytes(*count) }))
    }

    /// The next entry; `None` if it is not all there.
    pub(crate) fn next(&mut self) -> Result<Option<(&'a [u8], Content<'a>)>, ImageError> {
        let mut reader = Reader(self.0);
        match reader.entry() {
            Ok(entry) => {
                self.0 = reader.0;
                Ok(Some(entry))
            }
            Err(Trouble::Ends) => Ok(None),
            Err(Trouble::Error(error)) => Err(error),
        }
    }
}

/// Why there is no entry.
enum Trouble {
    /// The bytes end before it does.
    Ends,
    Error(ImageError),
}

const MALFORMED: Trouble = Trouble::Error(ImageError::Malformed);

/// The bytes of an image that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Trouble> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Trouble::Ends)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(Trouble::Ends)?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, Trouble> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A length in its shortest form.
    fn varint(&mut self) -> Result<usize, Trouble> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let shortest = byte != 0 || shift == 0;
                let value = usize::try_from(value).ok().filter(|_| shortest);
                return value.ok_or(MALFORMED);
            }
        }
        Err(MALFORMED)
    }

    fn entry(&mut self) -> Result<(&'a [u8], Content<'a>), Trouble> {
        let Kind::String = Kind::of_code(self.byte()?).ok_or(MALFORMED)?;
        let flags = self.byte()?;
        if flags & !(FLAG_EXPIRES | FLAG_RAW) != 0 {
            return Err(MALFORMED);
        }
        let (key_len, value_len) = (self.varint()?, self.varint()?);
        if key_len > ARGUMENT_BYTES_MAX || value_len > STRING_BYTES_MAX {
            return Err(MALFORMED);
        }
        let expires = flags & FLAG_EXPIRES != 0;
        let expiry = if expires { Some(u64::from_le_bytes(self.array()?)) } else { None };
        let key = self.bytes(key_len)?;
        let value = self.bytes(value_len)?;
        Ok((key, Content { value, expiry, raw: flags & FLAG_RAW != 0 }))
    }
}

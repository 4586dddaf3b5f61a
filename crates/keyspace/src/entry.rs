//! One key with its value, in one allocation.
//!
//! A million small keys are mostly overhead: a key and a value of their own would cost two
//! allocations and two pointers each. An entry is one boxed slice:
//!
//! ```text
//! flags 1 | key length 1..5 | expiry 8, if EXPIRES | spare 4, if SPARE | key | value | spare bytes
//! ```
//!
//! The low bits of the flags name the type of the value. Strings are the only type so far; a type
//! that needs more than bytes becomes a second variant beside the boxed slice, which the pointer's
//! niche holds without another byte.
//!
//! Invariant: an entry that isn't vacant is only made by [`Entry::new`], so that its header always
//! fits its length.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// The value's type, in the low bits of the flags and in slot images.
const KIND_STRING: u8 = 0;
/// Eight bytes of expiry follow the key's length.
const EXPIRES: u8 = 1 << 4;
/// The value was edited in place: `OBJECT ENCODING` says `raw`, whatever the value looks like.
const RAW: u8 = 1 << 5;
/// The value is followed by unused bytes, which make repeated appending cheap.
const SPARE: u8 = 1 << 6;

/// Values shorter than this are never given spare bytes: their copy costs next to nothing.
const SPARE_FROM: usize = 1 << 10;
/// Most spare bytes. Redis' own figure.
const SPARE_MAX: usize = 1 << 20;

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A string of bytes.
    String,
}

impl Kind {
    /// The name that `TYPE` replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
        }
    }

    /// The byte that stands for the type in a slot image.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::String => KIND_STRING,
        }
    }

    /// The type that a byte stands for.
    pub(crate) fn of_code(code: u8) -> Option<Self> {
        (code == KIND_STRING).then_some(Self::String)
    }
}

/// What an entry is made of, beside its key.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) value: &'a [u8],
    /// Milliseconds since 1970, or `None` for a key that stays.
    pub(crate) expiry: Option<u64>,
    pub(crate) raw: bool,
}

/// One key with its value, its expiry and its flags.
pub(crate) struct Entry(Box<[u8]>);

/// Where the parts of an entry lie.
struct Layout {
    key: usize,
    value: usize,
    end: usize,
}

impl Entry {
    /// What fills a place in a table that holds no entry. It has no parts and no allocation.
    pub(crate) fn vacant() -> Self {
        Self(Box::default())
    }

    pub(crate) fn new(key: &[u8], content: Content<'_>) -> Self {
        Self::build(key, content, content.value.len(), 0)
    }

    /// An entry whose value is cut or filled with zeros to `len` bytes, followed by `spare` bytes.
    fn build(key: &[u8], content: Content<'_>, len: usize, spare: usize) -> Self {
        let key_len = u32::try_from(key.len()).expect("keys are bounded by the request");
        let mut flags = KIND_STRING;
        flags |= if content.expiry.is_some() { EXPIRES } else { 0 };
        flags |= if content.raw { RAW } else { 0 };
        flags |= if spare > 0 { SPARE } else { 0 };
        let header = 1 + varint_len(key_len) + content.expiry.map_or(0, |_| 8);
        let header = header + if spare > 0 { 4 } else { 0 };
        let mut bytes = Vec::with_capacity(header + key.len() + len + spare);
        bytes.push(flags);
        push_varint(&mut bytes, key_len);
        if let Some(expiry) = content.expiry {
            bytes.extend_from_slice(&expiry.to_le_bytes());
        }
        if spare > 0 {
            let spare = u32::try_from(spare).expect("spare bytes are bounded");
            bytes.extend_from_slice(&spare.to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&content.value[..content.value.len().min(len)]);
        bytes.resize(header + key.len() + len + spare, 0);
        Self(bytes.into_boxed_slice())
    }

    /// Where the entry's bytes lie.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// The entry's first byte; 0 in a vacant place.
    pub(crate) fn first_byte(&self) -> u8 {
        self.0.first().copied().unwrap_or_default()
    }

    fn flags(&self) -> u8 {
        self.0[0]
    }

    /// The key's length, and where the header goes on after it.
    fn key_len(&self) -> (usize, usize) {
        let first = self.0[1];
        if first < 0x80 {
            return (usize::from(first), 2);
        }
        let mut len = usize::from(first & 0x7f);
        let mut at = 2;
        loop {
            let byte = self.0[at];
            len |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte < 0x80 {
                return (len, at);
            }
        }
    }

    fn layout(&self) -> Layout {
        let (key_len, after_len) = self.key_len();
        let flags = self.flags();
        let mut key = after_len + if flags & EXPIRES != 0 { 8 } else { 0 };
        let mut end = self.0.len();
        if flags & SPARE != 0 {
            end -= self.spare(key);
            key += 4;
        }
        Layout { key, value: key + key_len, end }
    }

    fn spare(&self, at: usize) -> usize {
        let bytes: [u8; 4] = self.0[at..at + 4].try_into().expect("a slice of four bytes");
        u32::from_le_bytes(bytes) as usize
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::String
    }

    pub(crate) fn key(&self) -> &[u8] {
        let layout = self.layout();
        &self.0[layout.key..layout.value]
    }

    pub(crate) fn value(&self) -> &[u8] {
        let layout = self.layout();
        &self.0[layout.value..layout.end]
    }

    pub(crate) fn value_mut(&mut self) -> &mut [u8] {
        let layout = self.layout();
        &mut self.0[layout.value..layout.end]
    }

    pub(crate) fn expiry(&self) -> Option<u64> {
        if self.flags() & EXPIRES == 0 {
            return None;
        }
        let (_, at) = self.key_len();
        let bytes: [u8; 8] = self.0[at..at + 8].try_into().expect("a slice of eight bytes");
        Some(u64::from_le_bytes(bytes))
    }

    pub(crate) fn is_raw(&self) -> bool {
        self.flags() & RAW != 0
    }

    pub(crate) fn content(&self) -> Content<'_> {
        Content { value: self.value(), expiry: self.expiry(), raw: self.is_raw() }
    }

    /// Unused bytes behind the value.
    pub(crate) fn spare_bytes(&self) -> usize {
        self.0.len() - self.layout().end
    }

    /// Bytes that the entry's allocation holds.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Gives the entry another content, in the same allocation where that fits exactly.
    pub(crate) fn replace(&mut self, content: Content<'_>) {
        let layout = self.layout();
        let flags = self.flags();
        let fits = flags & SPARE == 0
            && layout.end - layout.value == content.value.len()
            && (flags & EXPIRES != 0) == content.expiry.is_some();
        if !fits {
            let entry = Self::new(&self.0[layout.key..layout.value], content);
            *self = entry;
            return;
        }
        if let Some(expiry) = content.expiry {
            self.0[layout.key - 8..layout.key].copy_from_slice(&expiry.to_le_bytes());
        }
        self.0[0] = if content.raw { flags | RAW } else { flags & !RAW };
        self.0[layout.value..layout.end].copy_from_slice(content.value);
    }

    pub(crate) fn set_expiry(&mut self, expiry: Option<u64>) {
        if expiry == self.expiry() {
            return;
        }
        match expiry {
            Some(expiry) if self.flags() & EXPIRES != 0 => {
                let (_, at) = self.key_len();
                self.0[at..at + 8].copy_from_slice(&expiry.to_le_bytes());
            }
            Some(_) | None => {
                let layout = self.layout();
                let content = Content { expiry, ..self.content() };
                let spare = self.0.len() - layout.end;
                *self = Self::build(self.key(), content, content.value.len(), spare);
            }
        }
    }

    /// Makes the value at least `len` bytes long, with zeros at the end, and marks it as edited.
    pub(crate) fn grow(&mut self, len: usize) {
        self.0[0] |= RAW;
        let layout = self.layout();
        let old = layout.end - layout.value;
        if len <= old {
            return;
        }
        let more = len - old;
        let spare = self.0.len() - layout.end;
        if more <= spare {
            // The spare bytes are zero: they were filled when the entry was built, and a value
            // never shrinks within its entry.
            let left = u32::try_from(spare - more).expect("spare bytes are bounded");
            self.0[layout.key - 4..layout.key].copy_from_slice(&left.to_le_bytes());
            return;
        }
        let spare = if len < SPARE_FROM { 0 } else { len.min(SPARE_MAX) };
        *self = Self::build(self.key(), self.content(), len, spare);
    }
}

fn varint_len(value: u32) -> usize {
    let bits = 32 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(value: &[u8], expiry: Option<u64>) -> Content<'_> {
        Content { value, expiry, raw: false }
    }

    #[test]
    fn keys_of_every_header_length_come_back() {
        for len in [0, 1, 127, 128, 16383, 16384, 3_000_000] {
            let key = alloc::vec![7; len];
            for expiry in [None, Some(5)] {
                let entry = Entry::new(&key, content(b"value", expiry));
                assert!(entry.key() == key);
                assert_eq!(entry.value(), b"value");
                assert_eq!(entry.expiry(), expiry);
            }
        }
    }

    #[test]
    fn an_overwrite_of_the_same_length_stays_in_place() {
        let mut entry = Entry::new(b"key", content(b"one", None));
        let before = entry.0.as_ptr();
        entry.replace(content(b"two", None));
        assert_eq!(entry.0.as_ptr(), before);
        assert_eq!(entry.value(), b"two");
        entry.replace(content(b"longer", Some(9)));
        assert_eq!((entry.key(), entry.value()), (&b"key"[..], &b"longer"[..]));
        assert_eq!(entry.expiry(), Some(9));
    }

    #[test]
    fn growing_uses_the_spare_bytes_and_keeps_the_rest() {
        let mut entry = Entry::new(b"key", content(b"abc", Some(1)));
        let mut oracle = b"abc".to_vec();
        for len in [2, 4, 1023, 1024, 1025, 2000, 2048, 2049, 9000] {
            entry.grow(len);
            oracle.resize(oracle.len().max(len), 0);
            entry.value_mut()[len - 1] = 1;
            oracle[len - 1] = 1;
            assert!(entry.value() == oracle);
            assert!(entry.is_raw());
        }
        entry.set_expiry(None);
        assert!(entry.value() == oracle);
        assert_eq!((entry.key(), entry.expiry()), (&b"key"[..], None));
        entry.replace(content(b"abc", None));
        assert_eq!(entry.value(), b"abc");
    }
}

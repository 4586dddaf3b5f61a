//! One key with its value, in one allocation.
//!
//! A million small keys are mostly overhead: a key and a value of their own would cost two
//! allocations and two pointers each. An entry is one boxed slice:
//!
//! ```text
//! flags 1 | key length 1..5 | expiry 8, if EXPIRES | spare 4, if SPARE | key | value | spare bytes
//! ```
//!
//! The low bits of the flags name the type of the value. Strings are the only type so far.
//!
//! A *long* value has an allocation of its own, which others may have, too: the log's entry that
//! brought it, a copy, a reply on its way. Copying it would take tens of milliseconds, most of them
//! for memory that must be cleared first. The pointer's niche holds the second variant without
//! another byte.
//!
//! Invariants: an entry that isn't vacant is only made by [`Entry::new`] and [`Entry::of`], so that
//! its header always fits its length; values from [`LONG_BYTES`] on are long.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use types::limits::LONG_BYTES;

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

/// A value that is to be written, with what it lies in, if that may be kept.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Copied(&'a [u8]),
    /// A long value that others have, too.
    Shared(&'a Bytes),
}

impl Source<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// One key with its value, its expiry and its flags.
pub(crate) struct Entry(Repr);

enum Repr {
    Short(Box<[u8]>),
    Long(Box<Long>),
}

/// An entry whose value lies elsewhere.
struct Long {
    /// As a short one's, without the value.
    head: Box<[u8]>,
    value: LongValue,
}

enum LongValue {
    Own(BytesMut),
    /// Others may have it, too.
    Shared(Bytes),
}

const _: () = assert!(size_of::<Entry>() == size_of::<Box<[u8]>>());

impl LongValue {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// The value, to be edited: a copy, if others have it.
    fn own(&mut self) -> &mut BytesMut {
        if let Self::Shared(bytes) = self {
            let bytes = core::mem::take(bytes);
            *self = Self::Own(bytes.try_into_mut().unwrap_or_else(|it| BytesMut::from(&it[..])));
        }
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(_) => unreachable!("it was made its own"),
        }
    }
}

/// Where the parts of an entry lie.
struct Layout {
    key: usize,
    value: usize,
    end: usize,
}

impl Entry {
    /// What fills a place in a table that holds no entry. It has no parts and no allocation.
    pub(crate) fn vacant() -> Self {
        Self(Repr::Short(Box::default()))
    }

    pub(crate) fn new(key: &[u8], content: Content<'_>) -> Self {
        Self::build(key, content, content.value.len(), 0)
    }

    /// The same, whose value may be kept where it is.
    pub(crate) fn of(key: &[u8], value: Source<'_>, expiry: Option<u64>, raw: bool) -> Self {
        match value {
            Source::Shared(bytes) => {
                let head = Self::head_of(key, Content { value: &[], expiry, raw }, 0);
                let value = LongValue::Shared(bytes.clone());
                let head = head.into_boxed_slice();
                Self(Repr::Long(Box::new(Long { head, value })))
            }
            Source::Copied(value) => Self::new(key, Content { value, expiry, raw }),
        }
    }

    /// An entry whose value is cut or filled with zeros to `len` bytes, followed by `spare` bytes.
    fn build(key: &[u8], content: Content<'_>, len: usize, spare: usize) -> Self {
        let kept = &content.value[..content.value.len().min(len)];
        if len >= LONG_BYTES {
            // Zeros that are asked for at once take no memory before they are written to.
            let mut value = BytesMut::zeroed(len + spare);
            value[..kept.len()].copy_from_slice(kept);
            value.truncate(len);
            let head = Self::head_of(key, content, 0).into_boxed_slice();
            return Self(Repr::Long(Box::new(Long { head, value: LongValue::Own(value) })));
        }
        let mut bytes = Self::head_of(key, content, len + spare);
        if spare > 0 {
            let key = bytes.len() - key.len();
            let spare = u32::try_from(spare).expect("spare bytes are bounded");
            bytes.splice(key..key, spare.to_le_bytes());
            bytes[0] |= SPARE;
        }
        let end = bytes.len() + len + spare;
        bytes.extend_from_slice(kept);
        bytes.resize(end, 0);
        Self(Repr::Short(bytes.into_boxed_slice()))
    }

    /// What comes before a value, with room for `room` bytes more.
    fn head_of(key: &[u8], content: Content<'_>, room: usize) -> Vec<u8> {
        let key_len = u32::try_from(key.len()).expect("keys are bounded by the request");
        let mut flags = KIND_STRING;
        flags |= if content.expiry.is_some() { EXPIRES } else { 0 };
        flags |= if content.raw { RAW } else { 0 };
        let header = 1 + varint_len(key_len) + content.expiry.map_or(0, |_| 8);
        let mut bytes = Vec::with_capacity(header + key.len() + room);
        bytes.push(flags);
        push_varint(&mut bytes, key_len);
        if let Some(expiry) = content.expiry {
            bytes.extend_from_slice(&expiry.to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes
    }

    /// Everything but a long value.
    fn head(&self) -> &[u8] {
        match &self.0 {
            Repr::Short(bytes) => bytes,
            Repr::Long(long) => &long.head,
        }
    }

    fn head_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Repr::Short(bytes) => bytes,
            Repr::Long(long) => &mut long.head,
        }
    }

    /// Where the entry's bytes lie.
    pub(crate) fn address(&self) -> usize {
        self.head().as_ptr().addr()
    }

    /// The entry's first byte; 0 in a vacant place.
    pub(crate) fn first_byte(&self) -> u8 {
        self.head().first().copied().unwrap_or_default()
    }

    fn flags(&self) -> u8 {
        self.head()[0]
    }

    fn layout(&self) -> Layout {
        layout(self.head())
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::String
    }

    pub(crate) fn key(&self) -> &[u8] {
        let head = self.head();
        let layout = layout(head);
        &head[layout.key..layout.value]
    }

    pub(crate) fn value(&self) -> &[u8] {
        match &self.0 {
            Repr::Short(bytes) => {
                let layout = layout(bytes);
                &bytes[layout.value..layout.end]
            }
            Repr::Long(long) => long.value.bytes(),
        }
    }

    /// Whether the value is long: then it can be [shared](Self::share).
    pub(crate) fn is_long(&self) -> bool {
        matches!(self.0, Repr::Long(_))
    }

    /// A long value, which the entry has as well from here on.
    pub(crate) fn share(&mut self) -> Option<Bytes> {
        let Repr::Long(long) = &mut self.0 else { return None };
        if let LongValue::Own(bytes) = &mut long.value {
            long.value = LongValue::Shared(core::mem::take(bytes).freeze());
        }
        match &long.value {
            LongValue::Shared(bytes) => Some(bytes.clone()),
            LongValue::Own(_) => None,
        }
    }

    /// The value, to be edited. Only after [`Self::grow`].
    pub(crate) fn value_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Repr::Short(bytes) => {
                let layout = layout(bytes);
                &mut bytes[layout.value..layout.end]
            }
            Repr::Long(long) => long.value.own(),
        }
    }

    pub(crate) fn expiry(&self) -> Option<u64> {
        let head = self.head();
        if head[0] & EXPIRES == 0 {
            return None;
        }
        let (_, at) = key_len(head);
        let bytes: [u8; 8] = head[at..at + 8].try_into().expect("a slice of eight bytes");
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
        match &self.0 {
            Repr::Short(bytes) => bytes.len() - layout(bytes).end,
            Repr::Long(long) => match &long.value {
                LongValue::Own(bytes) => bytes.capacity() - bytes.len(),
                LongValue::Shared(_) => 0,
            },
        }
    }

    /// Bytes that the entry's allocations hold. Bytes that others have, too, count as well: that
    /// is not known here, and may change any time.
    pub(crate) fn bytes(&self) -> usize {
        match &self.0 {
            Repr::Short(bytes) => bytes.len(),
            Repr::Long(long) => long.head.len() + long.value.bytes().len() + self.spare_bytes(),
        }
    }

    /// Gives the entry another value, in the same allocation where that fits exactly.
    pub(crate) fn replace(&mut self, value: Source<'_>, expiry: Option<u64>, raw: bool) {
        let new = value.bytes();
        let fits = match &self.0 {
            Repr::Long(_) => false,
            Repr::Short(bytes) => {
                let (layout, flags) = (layout(bytes), bytes[0]);
                flags & SPARE == 0
                    && layout.end - layout.value == new.len()
                    && (flags & EXPIRES != 0) == expiry.is_some()
            }
        };
        if !fits {
            let entry = Self::of(self.key(), value, expiry, raw);
            *self = entry;
            return;
        }
        let layout = self.layout();
        let bytes = self.head_mut();
        if let Some(expiry) = expiry {
            bytes[layout.key - 8..layout.key].copy_from_slice(&expiry.to_le_bytes());
        }
        bytes[0] = if raw { bytes[0] | RAW } else { bytes[0] & !RAW };
        bytes[layout.value..layout.end].copy_from_slice(new);
    }

    pub(crate) fn set_expiry(&mut self, expiry: Option<u64>) {
        if expiry == self.expiry() {
            return;
        }
        if let Some(expiry) = expiry
            && self.flags() & EXPIRES != 0
        {
            let (_, at) = key_len(self.head());
            self.head_mut()[at..at + 8].copy_from_slice(&expiry.to_le_bytes());
            return;
        }
        let raw = self.is_raw();
        if let Repr::Long(long) = &mut self.0 {
            let layout = layout(&long.head);
            let content = Content { value: &[], expiry, raw };
            let head = Self::head_of(&long.head[layout.key..layout.value], content, 0);
            long.head = head.into_boxed_slice();
            return;
        }
        let content = Content { expiry, ..self.content() };
        *self = Self::build(self.key(), content, content.value.len(), self.spare_bytes());
    }

    /// Gives the entry a longer value, which begins as the old one, and marks it as edited.
    pub(crate) fn grow_into(&mut self, value: Vec<u8>) {
        let content = Content { value: &[], expiry: self.expiry(), raw: true };
        let head = Self::head_of(self.key(), content, 0).into_boxed_slice();
        // In its place: nobody else has it.
        let mut value = LongValue::Shared(Bytes::from(value));
        value.own();
        self.0 = Repr::Long(Box::new(Long { head, value }));
    }

    /// Makes the value at least `len` bytes long, with zeros at the end, and marks it as edited.
    pub(crate) fn grow(&mut self, len: usize) {
        self.head_mut()[0] |= RAW;
        let old = self.value().len();
        if len <= old {
            return;
        }
        let (more, spare) = (len - old, self.spare_bytes());
        let becomes_long = len >= LONG_BYTES && !self.is_long();
        if more <= spare && !becomes_long {
            match &mut self.0 {
                Repr::Short(bytes) => {
                    // The spare bytes are zero: they were filled when the entry was built, and a
                    // value never shrinks within its entry.
                    let layout = layout(bytes);
                    let left = u32::try_from(spare - more).expect("spare bytes are bounded");
                    bytes[layout.key - 4..layout.key].copy_from_slice(&left.to_le_bytes());
                }
                Repr::Long(long) => long.value.own().resize(len, 0),
            }
            return;
        }
        let spare = if len < SPARE_FROM { 0 } else { len.min(SPARE_MAX) };
        *self = Self::build(self.key(), self.content(), len, spare);
    }
}

/// The key's length, and where the header goes on after it.
fn key_len(head: &[u8]) -> (usize, usize) {
    let first = head[1];
    if first < 0x80 {
        return (usize::from(first), 2);
    }
    let mut len = usize::from(first & 0x7f);
    let mut at = 2;
    loop {
        let byte = head[at];
        len |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte < 0x80 {
            return (len, at);
        }
    }
}

fn layout(head: &[u8]) -> Layout {
    let (key_len, after_len) = key_len(head);
    let flags = head[0];
    let mut key = after_len + if flags & EXPIRES != 0 { 8 } else { 0 };
    let mut end = head.len();
    if flags & SPARE != 0 {
        let bytes: [u8; 4] = head[key..key + 4].try_into().expect("a slice of four bytes");
        end -= u32::from_le_bytes(bytes) as usize;
        key += 4;
    }
    Layout { key, value: key + key_len, end }
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
        let before = entry.address();
        entry.replace(Source::Copied(b"two"), None, false);
        assert_eq!(entry.address(), before);
        assert_eq!(entry.value(), b"two");
        entry.replace(Source::Copied(b"longer"), Some(9), false);
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
        entry.replace(Source::Copied(b"abc"), None, false);
        assert_eq!(entry.value(), b"abc");
    }

    #[test]
    fn a_long_value_is_kept_where_it_lies_until_it_is_edited() {
        let bytes = Bytes::from(alloc::vec![7; LONG_BYTES]);
        let mut entry = Entry::of(b"key", Source::Shared(&bytes), Some(1), false);
        let mut copy =
            Entry::of(b"copy", Source::Shared(&entry.share().expect("long")), None, true);
        for found in [entry.value(), copy.value()] {
            assert_eq!(found.as_ptr(), bytes.as_ptr());
        }
        copy.grow(3);
        copy.value_mut()[1] = 8;
        assert_eq!((entry.value()[1], copy.value()[1], bytes[1]), (7, 8, 7));
        let own = copy.value().as_ptr();
        assert_eq!(copy.share().expect("long").as_ptr(), own);
        copy.grow(LONG_BYTES);
        copy.value_mut()[2] = 9;
        assert_eq!((copy.value().as_ptr(), copy.value()[2]), (own, 9), "nobody else has it");
        entry.set_expiry(None);
        assert_eq!((entry.key(), entry.expiry(), entry.is_raw()), (&b"key"[..], None, false));
        assert_eq!(entry.value().as_ptr(), bytes.as_ptr());
        entry.replace(Source::Copied(b"short"), Some(2), true);
        assert_eq!((entry.key(), entry.value()), (&b"key"[..], &b"short"[..]));
        assert_eq!((entry.expiry(), entry.is_raw(), entry.is_long()), (Some(2), true, false));
    }

    #[test]
    fn values_become_long_and_grow_on() {
        let mut entry = Entry::new(b"key", content(b"abc", Some(1)));
        let mut oracle = b"abc".to_vec();
        for len in [LONG_BYTES - 1, LONG_BYTES, LONG_BYTES + 5, 2 * LONG_BYTES, 9 * LONG_BYTES / 2]
        {
            entry.grow(len);
            oracle.resize(len, 0);
            assert!(entry.value() == oracle);
            assert_eq!(entry.is_long(), len >= LONG_BYTES);
            entry.value_mut()[len - 1] = 1;
            oracle[len - 1] = 1;
            if len.is_multiple_of(2) {
                let _ = entry.share();
            }
            assert!(entry.bytes() >= len + 5);
        }
        assert_eq!((entry.key(), entry.expiry()), (&b"key"[..], Some(1)));
    }
}

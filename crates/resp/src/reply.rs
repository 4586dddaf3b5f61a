//! Writing replies, in the version of the protocol that the connection speaks.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::number::Decimal;

/// The version of the protocol that a connection speaks. Every connection begins with RESP2.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// Version 2: no types for maps, sets, booleans, doubles or null.
    #[default]
    Resp2,
    /// Version 3, chosen by `HELLO 3`.
    Resp3,
}

/// Replies that are written, of which long parts lie elsewhere: values are not copied for being
/// sent.
#[derive(Debug, Default)]
pub struct Replies {
    bytes: Vec<u8>,
    /// Long parts, each with its place in `bytes`, in order.
    long: Vec<(usize, Bytes)>,
}

/// Where replies go: bytes, and long ones that stand between them.
pub trait Sink {
    /// Where to append bytes.
    fn tail(&mut self) -> &mut Vec<u8>;
    /// Appends long bytes.
    fn push(&mut self, long: Bytes);
}

impl Sink for Vec<u8> {
    fn tail(&mut self) -> &mut Vec<u8> {
        self
    }

    fn push(&mut self, long: Bytes) {
        self.extend_from_slice(&long);
    }
}

impl Sink for Replies {
    fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn push(&mut self, long: Bytes) {
        self.long.push((self.bytes.len(), long));
    }
}

impl Replies {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        length(&self.bytes, &self.long)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.long.is_empty()
    }

    /// What stands behind the first `from` bytes, as far as it is not long.
    #[must_use]
    pub fn after(&self, from: usize) -> &[u8] {
        let mut before = 0;
        for (place, long) in &self.long {
            if place + before >= from {
                break;
            }
            before += long.len();
        }
        self.bytes.get(from.saturating_sub(before)..).unwrap_or_default()
    }

    /// Drops what stands behind the first `len` bytes, where a reply begins.
    pub fn truncate(&mut self, len: usize) {
        truncate(&mut self.bytes, &mut self.long, len);
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.long.clear();
    }

    /// A writer that appends to these.
    pub fn writer(&mut self, protocol: Protocol) -> Reply<'_> {
        Reply { buffer: &mut self.bytes, long: Some(&mut self.long), protocol }
    }

    /// Moves all to the end of `into`.
    pub fn move_to(&mut self, into: &mut impl Sink) {
        let mut at = 0;
        for (place, long) in core::mem::take(&mut self.long) {
            into.tail().extend_from_slice(self.bytes.get(at..place).unwrap_or_default());
            into.push(long);
            at = place;
        }
        let tail = into.tail();
        if at == 0 && tail.is_empty() {
            core::mem::swap(tail, &mut self.bytes);
        } else {
            tail.extend_from_slice(self.bytes.get(at..).unwrap_or_default());
            self.bytes.clear();
        }
    }

    /// All bytes, in one piece.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        if self.long.is_empty() {
            return self.bytes;
        }
        let mut bytes = Vec::with_capacity(self.len());
        self.move_to(&mut bytes);
        bytes
    }

    /// All bytes, if no part is long.
    ///
    /// # Errors
    /// All as it is, if one is.
    pub fn into_short(self) -> Result<Vec<u8>, Self> {
        if self.long.is_empty() { Ok(self.bytes) } else { Err(self) }
    }

    /// What stands before the only long part, that part, and what stands behind it.
    ///
    /// # Errors
    /// All bytes in one piece, if there is no such part.
    pub fn into_parts(self) -> Result<(Vec<u8>, Bytes, Vec<u8>), Vec<u8>> {
        if self.long.len() != 1 {
            return Err(self.into_bytes());
        }
        let Self { mut bytes, mut long } = self;
        let Some((place, long)) = long.pop() else { return Err(bytes) };
        let behind = bytes.split_off(place);
        Ok((bytes, long, behind))
    }
}

fn length(bytes: &[u8], long: &[(usize, Bytes)]) -> usize {
    bytes.len() + long.iter().map(|(_, long)| long.len()).sum::<usize>()
}

fn truncate(bytes: &mut Vec<u8>, long: &mut Vec<(usize, Bytes)>, len: usize) {
    let mut before: usize = long.iter().map(|(_, long)| long.len()).sum();
    while let Some((_, last)) = long.pop_if(|(place, last)| *place + before - last.len() >= len) {
        before -= last.len();
    }
    bytes.truncate(len.saturating_sub(before));
}

/// Appends replies to a buffer.
///
/// Aggregates are announced by their length and then written element by element; the writer does
/// not check that the announced number of elements follows.
#[derive(Debug)]
pub struct Reply<'a> {
    buffer: &'a mut Vec<u8>,
    /// Where long parts are kept apart, if they are: with their places in the buffer.
    long: Option<&'a mut Vec<(usize, Bytes)>>,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// A writer that appends to `buffer`.
    pub fn new(buffer: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { buffer, long: None, protocol }
    }

    /// The version of the protocol that is written.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How many bytes there are. With [`Reply::truncate`] it takes a started reply back.
    #[must_use]
    pub fn len(&self) -> usize {
        length(self.buffer, self.long.as_deref().map_or(&[], Vec::as_slice))
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes back everything that was written after there were `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.long {
            Some(long) => truncate(self.buffer, long, len),
            None => self.buffer.truncate(len),
        }
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.buffer.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string. Line breaks in it would break the protocol, so they become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error; `text` begins with its code, as in `ERR no such key`.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.as_bytes());
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.buffer.push(b':');
        self.decimal(value);
        self.end_line();
    }

    /// A length or count as an integer.
    pub fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.buffer.extend_from_slice(bytes);
        self.end_line();
    }

    /// A long bulk string, which is not copied if that can be helped.
    pub fn long_bulk(&mut self, bytes: Bytes) {
        self.header(b'$', bytes.len());
        self.long_part(bytes);
        self.end_line();
    }

    /// A part of a reply that was encoded elsewhere, which is not copied if that can be helped.
    pub fn long_part(&mut self, bytes: Bytes) {
        match &mut self.long {
            Some(long) => long.push((self.buffer.len(), bytes)),
            None => self.buffer.extend_from_slice(&bytes),
        }
    }

    /// Replies that were encoded elsewhere for the same version of the protocol.
    pub fn replies(&mut self, mut replies: Replies) {
        match &mut self.long {
            None => replies.move_to(self.buffer),
            Some(long) => {
                let begin = self.buffer.len();
                let moved = replies.long.drain(..);
                long.extend(moved.map(|(place, bytes)| (begin + place, bytes)));
                self.buffer.append(&mut replies.bytes);
            }
        }
    }

    /// The absent value: `$-1`, or `_` in RESP3.
    pub fn null(&mut self) {
        self.buffer.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The absent array: `*-1`, or `_` in RESP3.
    pub fn null_array(&mut self) {
        self.buffer.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// A boolean: an integer 1 or 0, or `#t` and `#f` in RESP3.
    pub fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp2 => self.integer(i64::from(value)),
            Protocol::Resp3 => {
                self.buffer.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" });
            }
        }
    }

    /// Begins an array of `len` elements.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Begins a map of `len` pairs: an array of twice the length in RESP2.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len * 2),
            Protocol::Resp3 => self.header(b'%', len),
        }
    }

    /// Begins a set of `len` elements: an array in RESP2.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'~', len),
        }
    }

    /// Text that is meant for people: a bulk string, or a verbatim string in RESP3.
    pub fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.buffer.extend_from_slice(b"txt:");
                self.buffer.extend_from_slice(text.as_bytes());
                self.end_line();
            }
        }
    }

    /// A reply that was encoded elsewhere for the same version of the protocol.
    pub fn encoded(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn header(&mut self, kind: u8, len: usize) {
        self.buffer.push(kind);
        self.decimal(i64::try_from(len).unwrap_or(i64::MAX));
        self.end_line();
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buffer.push(kind);
        let clean = |&byte: &u8| if byte == b'\r' || byte == b'\n' { b' ' } else { byte };
        self.buffer.extend(text.iter().map(clean));
        self.end_line();
    }

    fn end_line(&mut self) {
        self.buffer.extend_from_slice(b"\r\n");
    }

    fn decimal(&mut self, value: i64) {
        self.buffer.extend_from_slice(Decimal::new(value).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> alloc::string::String {
        let mut buffer = Vec::new();
        write(&mut Reply::new(&mut buffer, protocol));
        alloc::string::String::from_utf8(buffer).expect("replies of this test are text")
    }

    #[test]
    fn integers_at_the_ends_of_their_range() {
        let both = written(Protocol::Resp2, |reply| {
            reply.integer(i64::MIN);
            reply.integer(i64::MAX);
            reply.integer(0);
        });
        assert_eq!(both, ":-9223372036854775808\r\n:9223372036854775807\r\n:0\r\n");
    }

    #[test]
    fn long_parts_stand_in_their_places_and_are_taken_back() {
        let long = Bytes::from_static(b"long");
        let mut replies = Replies::default();
        let mut reply = replies.writer(Protocol::Resp2);
        reply.integer(1);
        reply.long_bulk(long.clone());
        let between = reply.len();
        reply.long_bulk(long.clone());
        reply.ok();
        let end = reply.len();
        assert_eq!(end, b":1\r\n$4\r\nlong\r\n$4\r\nlong\r\n+OK\r\n".len());
        reply.null();
        reply.truncate(end);
        reply.truncate(between);
        reply.long_bulk(long);
        let mut inner = Replies::default();
        inner.writer(Protocol::Resp2).long_bulk(Bytes::from_static(b"more"));
        reply.replies(inner);
        assert_eq!(replies.after(between), b"$4\r\n\r\n$4\r\n\r\n");
        let mut bytes = b"before ".to_vec();
        let length = replies.len();
        replies.move_to(&mut bytes);
        assert_eq!(bytes, b"before :1\r\n$4\r\nlong\r\n$4\r\nlong\r\n$4\r\nmore\r\n");
        assert_eq!((bytes.len(), replies.is_empty()), (7 + length, true));
    }

    #[test]
    fn a_line_break_in_an_error_cannot_forge_a_second_reply() {
        let text = written(Protocol::Resp2, |reply| reply.error("ERR a\r\n+OK"));
        assert_eq!(text, "-ERR a  +OK\r\n");
    }

    #[test]
    fn null_and_maps_differ_between_the_versions() {
        let write = |reply: &mut Reply<'_>| {
            reply.map(1);
            reply.bulk(b"a");
            reply.null();
        };
        assert_eq!(written(Protocol::Resp2, write), "*2\r\n$1\r\na\r\n$-1\r\n");
        assert_eq!(written(Protocol::Resp3, write), "%1\r\n$1\r\na\r\n_\r\n");
    }
}

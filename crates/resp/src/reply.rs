//! Writing replies, in the version of the protocol that the connection speaks.

use alloc::vec::Vec;

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

/// Appends replies to a buffer.
///
/// Aggregates are announced by their length and then written element by element; the writer does
/// not check that the announced number of elements follows.
#[derive(Debug)]
pub struct Reply<'a> {
    buffer: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// A writer that appends to `buffer`.
    pub fn new(buffer: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { buffer, protocol }
    }

    /// The version of the protocol that is written.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How many bytes the buffer holds. With [`Reply::truncate`] it takes a started reply back.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the buffer holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes back everything that was written after the buffer had `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.buffer.truncate(len);
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

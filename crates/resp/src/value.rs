//! The client's side: writing requests and reading replies of both versions of the protocol.
//!
//! The decoder is incremental. What it has read it hands back to the caller to drop, and what it
//! has of an unfinished reply it keeps. A server is trusted no more than a client: lengths,
//! counts and depth have limits, and nothing is allocated from a number that was merely announced.

use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, str};

use crate::number::{Decimal, parse_i64};

/// A reply.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A short text, such as `OK`.
    Simple(String),
    /// An error; its first word is its code.
    Error(String),
    /// An integer.
    Integer(i64),
    /// A string of bytes. The texts of verbatim strings come without their format.
    Bulk(Vec<u8>),
    /// Nothing.
    Null,
    /// A truth value of RESP3.
    Boolean(bool),
    /// A floating-point number of RESP3.
    Double(f64),
    /// An integer of any size of RESP3, in decimal.
    BigNumber(String),
    /// A list of values.
    Array(Vec<Value>),
    /// A map of RESP3: pairs in the order of the reply.
    Map(Vec<(Value, Value)>),
    /// A set of RESP3, in the order of the reply.
    Set(Vec<Value>),
    /// A message of RESP3 that answers no request.
    Push(Vec<Value>),
}

/// What a reply may be at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyLimits {
    /// Bytes of one string.
    pub bulk_bytes: usize,
    /// Bytes of a line: a simple string, an error or a number.
    pub line_bytes: usize,
    /// Values of a whole reply.
    pub values: usize,
    /// Aggregates within aggregates.
    pub depth: usize,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        Self {
            bulk_bytes: types::limits::ARGUMENT_BYTES_MAX,
            line_bytes: types::limits::INLINE_BYTES_MAX,
            values: 1 << 24,
            depth: 32,
        }
    }
}

/// Bytes that are no reply. Close the connection: nobody can tell where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// No reply begins with this byte.
    UnknownType(u8),
    /// A number, length or count isn't one, or a text isn't UTF-8.
    Malformed,
    /// Something is over its limit.
    TooLarge,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(byte) => write!(f, "no reply begins with '{}'", byte.escape_ascii()),
            Self::Malformed => f.write_str("malformed reply"),
            Self::TooLarge => f.write_str("reply too large"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// How far a call of the decoder came.
#[derive(Clone, PartialEq, Debug)]
pub struct Decoded {
    /// How many bytes to take from the buffer.
    pub consumed: usize,
    /// The reply that ends there; `None` if more bytes are needed.
    pub value: Option<Value>,
}

/// The kinds of values that contain others.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Array,
    Map,
    Set,
    Push,
    /// Attributes precede the value that they are about; they are dropped.
    Attribute,
}

/// An aggregate whose elements aren't all here yet.
#[derive(Debug)]
struct Frame {
    kind: Aggregate,
    missing: usize,
    elements: Vec<Value>,
}

/// Reads the replies of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: ReplyLimits,
    /// The unfinished aggregates, outermost first.
    frames: Vec<Frame>,
    /// Values of the unfinished reply.
    values: usize,
    /// So many bytes of the buffer hold no end of line.
    scanned: usize,
    /// The string that has been announced: its length and what it becomes.
    bulk: Option<(usize, u8)>,
}

/// What the bytes at one place are.
enum Item {
    Value(Value),
    Open(Aggregate, usize),
    Bulk(usize),
}

impl Decoder {
    /// A decoder before its first reply.
    #[must_use]
    pub fn new(limits: ReplyLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Reads on in the bytes that follow those that earlier calls consumed.
    ///
    /// # Errors
    /// If the bytes are no reply; close the connection.
    pub fn next(&mut self, buffer: &[u8]) -> Result<Decoded, DecodeError> {
        let mut consumed = 0;
        loop {
            let rest = &buffer[consumed..];
            let (value, len) = if let Some((len, kind)) = self.bulk {
                let Some(bytes) = rest.get(..len + 2) else {
                    return Ok(Decoded { consumed, value: None });
                };
                self.bulk = None;
                (string(kind, bytes)?, len + 2)
            } else {
                let Some(len) = self.line_end(rest)? else {
                    return Ok(Decoded { consumed, value: None });
                };
                self.scanned = 0;
                consumed += len;
                self.values += 1;
                if self.values > self.limits.values {
                    return Err(DecodeError::TooLarge);
                }
                let (kind, line) = (rest[0], &rest[1..len - 2]);
                match self.item(kind, line)? {
                    Item::Value(value) => (value, 0),
                    Item::Bulk(len) => {
                        self.bulk = Some((len, kind));
                        continue;
                    }
                    Item::Open(kind, missing) => {
                        let frame = Frame { kind, missing, elements: Vec::new() };
                        self.frames.push(frame);
                        match self.close() {
                            Some(value) => (value, 0),
                            None => continue,
                        }
                    }
                }
            };
            consumed += len;
            if let Some(value) = self.place(value) {
                self.values = 0;
                return Ok(Decoded { consumed, value: Some(value) });
            }
        }
    }

    /// How many bytes the first line of `rest` has, its end included; `None` if it has no end.
    fn line_end(&mut self, rest: &[u8]) -> Result<Option<usize>, DecodeError> {
        let unseen = rest.get(self.scanned..).unwrap_or_default();
        let found = unseen.iter().position(|byte| *byte == b'\n');
        let len = found.map_or(rest.len(), |at| self.scanned + at + 1);
        if len > self.limits.line_bytes {
            return Err(DecodeError::TooLarge);
        }
        if found.is_none() {
            self.scanned = len;
            return Ok(None);
        }
        // A kind, and a carriage return before the line feed.
        if len < 3 || rest[len - 2] != b'\r' {
            return Err(DecodeError::Malformed);
        }
        Ok(Some(len))
    }

    fn item(&self, kind: u8, line: &[u8]) -> Result<Item, DecodeError> {
        let value = match kind {
            b'+' => Value::Simple(text(line)?),
            b'-' => Value::Error(String::from_utf8_lossy(line).into_owned()),
            b':' => Value::Integer(parse_i64(line).ok_or(DecodeError::Malformed)?),
            b'_' if line.is_empty() => Value::Null,
            b'#' => match line {
                b"t" => Value::Boolean(true),
                b"f" => Value::Boolean(false),
                _ => return Err(DecodeError::Malformed),
            },
            b',' => {
                let number = str::from_utf8(line).ok().and_then(|text| text.parse().ok());
                Value::Double(number.ok_or(DecodeError::Malformed)?)
            }
            b'(' => {
                let digits = line.strip_prefix(b"-").unwrap_or(line);
                if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                    return Err(DecodeError::Malformed);
                }
                Value::BigNumber(text(line)?)
            }
            b'$' | b'*' if line == b"-1" => Value::Null,
            b'$' | b'=' | b'!' => return self.length(line, self.limits.bulk_bytes).map(Item::Bulk),
            b'*' => return self.open(Aggregate::Array, line, 1),
            b'%' => return self.open(Aggregate::Map, line, 2),
            b'~' => return self.open(Aggregate::Set, line, 1),
            b'>' => return self.open(Aggregate::Push, line, 1),
            b'|' => return self.open(Aggregate::Attribute, line, 2),
            other => return Err(DecodeError::UnknownType(other)),
        };
        Ok(Item::Value(value))
    }

    fn length(&self, line: &[u8], most: usize) -> Result<usize, DecodeError> {
        let length = parse_i64(line).and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or(DecodeError::Malformed)?;
        if length <= most { Ok(length) } else { Err(DecodeError::TooLarge) }
    }

    fn open(&self, kind: Aggregate, line: &[u8], each: usize) -> Result<Item, DecodeError> {
        let count = self.length(line, self.limits.values)?;
        if self.frames.len() >= self.limits.depth {
            return Err(DecodeError::TooLarge);
        }
        Ok(Item::Open(kind, count * each))
    }

    /// Puts a value where it belongs; returns the reply if that completes it.
    fn place(&mut self, value: Value) -> Option<Value> {
        let mut value = value;
        loop {
            let Some(frame) = self.frames.last_mut() else { return Some(value) };
            frame.elements.push(value);
            frame.missing -= 1;
            value = self.close()?;
        }
    }

    /// Takes the innermost aggregate if all its elements are here.
    fn close(&mut self) -> Option<Value> {
        if self.frames.last()?.missing > 0 {
            return None;
        }
        let frame = self.frames.pop()?;
        Some(match frame.kind {
            Aggregate::Array => Value::Array(frame.elements),
            Aggregate::Set => Value::Set(frame.elements),
            Aggregate::Push => Value::Push(frame.elements),
            Aggregate::Map => Value::Map(pairs(frame.elements)),
            // The value that the attributes are about is still to come.
            Aggregate::Attribute => return None,
        })
    }
}

fn pairs(elements: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(elements.len() / 2);
    let mut elements = elements.into_iter();
    while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
        pairs.push((key, value));
    }
    pairs
}

/// The value of an announced string, given its bytes and the end of its line.
fn string(kind: u8, bytes: &[u8]) -> Result<Value, DecodeError> {
    let bytes = bytes.strip_suffix(b"\r\n").ok_or(DecodeError::Malformed)?;
    Ok(match (kind, bytes) {
        (b'!', _) => Value::Error(String::from_utf8_lossy(bytes).into_owned()),
        (b'=', [_, _, _, b':', text @ ..]) => Value::Bulk(text.to_vec()),
        (b'=', _) => return Err(DecodeError::Malformed),
        (_, _) => Value::Bulk(bytes.to_vec()),
    })
}

fn text(line: &[u8]) -> Result<String, DecodeError> {
    str::from_utf8(line).map(String::from).map_err(|_| DecodeError::Malformed)
}

/// Appends a request: an array of bulk strings.
pub fn encode_request(args: &[impl AsRef<[u8]>], out: &mut Vec<u8>) {
    header(b'*', args.len(), out);
    for arg in args {
        let arg = arg.as_ref();
        header(b'$', arg.len(), out);
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

fn header(kind: u8, len: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(Decimal::unsigned(len as u64).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;

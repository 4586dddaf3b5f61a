//! Reading requests: arrays of bulk strings, and inline commands as typed into a terminal.
//!
//! The parser is incremental. A call is given all bytes that arrived since the last complete
//! request and goes on where the call before it stopped, so a long request that arrives in small
//! pieces is looked at once. It keeps ranges, not copies; nothing is allocated from a length that
//! a client merely announced; after an error or a complete request no state is left.
//!
//! The rules and the texts of errors are those of Redis 7.0, with one exception: a zero byte in
//! an inline request is an error at once, where Redis waits for an end that can't come.

use alloc::vec::Vec;
use core::fmt;

use types::limits;

use crate::number::parse_i64;

/// What a request may be at most. The settings of a node must respect `types::limits`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestLimits {
    /// Arguments of a request, the command's name included.
    pub arguments: usize,
    /// Bytes of one argument.
    pub argument_bytes: usize,
    /// Bytes of an inline request and of the line that announces a length.
    pub inline_bytes: usize,
    /// Bytes of a whole request.
    pub request_bytes: usize,
    /// Whether the connection has yet to authenticate, which only chooses the errors' words.
    pub unauthenticated: bool,
}

impl RequestLimits {
    /// The largest limits that a setting may choose.
    pub const LARGEST: Self = Self {
        arguments: limits::ARGUMENTS_MAX,
        argument_bytes: limits::ARGUMENT_BYTES_MAX,
        inline_bytes: limits::INLINE_BYTES_MAX,
        request_bytes: limits::PEER_MESSAGE_BYTES_MAX,
        unauthenticated: false,
    };

    /// What a connection may send before it has authenticated.
    pub const UNAUTHENTICATED: Self = Self {
        arguments: limits::UNAUTHENTICATED_ARGUMENTS_MAX,
        argument_bytes: limits::UNAUTHENTICATED_ARGUMENT_BYTES_MAX,
        inline_bytes: limits::INLINE_BYTES_MAX,
        request_bytes: limits::UNAUTHENTICATED_ARGUMENTS_MAX
            * (limits::UNAUTHENTICATED_ARGUMENT_BYTES_MAX + limits::INLINE_BYTES_MAX),
        unauthenticated: true,
    };
}

/// What a call of the parser came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// The request isn't complete yet.
    Incomplete {
        /// At least so many bytes are missing. A client chose the number: it is a hint for
        /// reading, not for reserving memory.
        needed: usize,
    },
    /// An empty line or an empty array, to which Redis doesn't reply. It ends after `consumed`
    /// bytes of the buffer.
    Empty {
        /// How many bytes to take from the buffer.
        consumed: usize,
    },
    /// A request. Its arguments are [`Parser::arguments`] until the next call.
    Request {
        /// How many bytes to take from the buffer.
        consumed: usize,
    },
}

/// Bytes that are no request. The reply is `ERR Protocol error: ` and the text of the error, and
/// then the connection must be closed, since nobody can tell where the next request begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolError {
    /// The number of arguments isn't one, or is over the limit.
    InvalidArgumentCount,
    /// The number of arguments is over the limit for a connection that isn't authenticated.
    UnauthenticatedArgumentCount,
    /// The line with the number of arguments does not end.
    CountLineTooLong,
    /// An argument does not begin with a dollar sign but with this byte.
    ExpectedDollar(u8),
    /// The length of an argument isn't one, or is over the limit.
    InvalidLength,
    /// The length of an argument is over the limit for a connection that isn't authenticated.
    UnauthenticatedLength,
    /// The line with the length of an argument does not end.
    LengthLineTooLong,
    /// An inline request is too long.
    InlineTooLong,
    /// An inline request has a zero byte.
    InlineZeroByte,
    /// An inline request has a quote that isn't closed, or not before a space.
    UnbalancedQuotes,
    /// The arguments together are too long.
    RequestTooLong,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        f.write_str(match self {
            Self::InvalidArgumentCount => "invalid multibulk length",
            Self::UnauthenticatedArgumentCount => "unauthenticated multibulk length",
            Self::CountLineTooLong => "too big mbulk count string",
            Self::ExpectedDollar(byte) => {
                return match byte {
                    b'\r' | b'\n' => f.write_str("expected '$', got ' '"),
                    b' '..=b'~' => write!(f, "expected '$', got '{}'", char::from(*byte)),
                    // No control byte may reach a terminal or a log as is.
                    control => write!(f, "expected '$', got '{}'", control.escape_ascii()),
                };
            }
            Self::InvalidLength => "invalid bulk length",
            Self::UnauthenticatedLength => "unauthenticated bulk length",
            Self::LengthLineTooLong => "too big bulk count string",
            Self::InlineTooLong => "too big inline request",
            Self::InlineZeroByte => "zero byte in inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::RequestTooLong => "too big request",
        })
    }
}

impl core::error::Error for ProtocolError {}

/// What the bytes at `Parser::at` are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    /// The beginning of a request.
    #[default]
    Start,
    /// The line with the number of arguments.
    Count,
    /// The line with the length of the next argument.
    Length,
    /// The next argument, which has this length.
    Bytes(usize),
    /// An inline request.
    Inline,
    /// Behind a complete request.
    Done,
}

/// More arguments than most requests have. A larger list is given back after its request.
const ARGUMENTS_KEPT: usize = 1024;
/// More bytes than most inline requests have. A larger buffer is given back after its request.
const INLINE_BYTES_KEPT: usize = 1024;

/// Finds the arguments of a connection's requests.
#[derive(Debug, Default)]
pub struct Parser {
    phase: Phase,
    /// Where the next element of the request begins.
    at: usize,
    /// Up to here there is no end of the line that begins at `at`.
    scanned: usize,
    /// Arguments that are still to come.
    remaining: usize,
    /// Where the arguments are: in the caller's buffer, or in `unquoted` of an inline request.
    ranges: Vec<(usize, usize)>,
    /// The arguments of an inline request, end to end.
    unquoted: Vec<u8>,
    inline: bool,
}

/// Numbers with no more digits than this cannot overflow.
const SHORT_DIGITS: usize = 9;

/// The result of looking for a line with a number.
enum Line {
    /// The line isn't complete.
    Open,
    /// The line is longer than the limit.
    TooLong,
    /// What the line says, if it is a number, and where the next one begins.
    Complete(Option<i64>, usize),
}

impl Parser {
    /// A parser before its first request.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with the request at the beginning of `buffer`.
    ///
    /// Until the answer is other than `Incomplete`, the buffer may only grow at its end. After
    /// `Empty` and `Request` the next call expects the buffer without the consumed bytes.
    ///
    /// # Errors
    /// If the bytes are no request; close the connection.
    pub fn next(&mut self, buffer: &[u8], limits: &RequestLimits) -> Result<Parsed, ProtocolError> {
        if self.phase == Phase::Done {
            self.reset();
        }
        let parsed = self.go_on(buffer, limits);
        match parsed {
            Ok(Parsed::Incomplete { .. }) => {}
            Ok(Parsed::Empty { .. }) | Err(_) => self.reset(),
            Ok(Parsed::Request { .. }) => self.phase = Phase::Done,
        }
        parsed
    }

    /// The arguments of the request that [`Parser::next`] has just found in this buffer.
    #[must_use]
    pub fn arguments<'a>(&'a self, buffer: &'a [u8]) -> Arguments<'a> {
        let complete = self.phase == Phase::Done;
        Arguments {
            ranges: if complete { &self.ranges } else { &[] },
            bytes: if self.inline { &self.unquoted } else { buffer },
        }
    }

    /// Where the arguments lie in the buffer; `None` for an inline request, of which they are made.
    #[must_use]
    pub fn ranges(&self) -> Option<&[(usize, usize)]> {
        (self.phase == Phase::Done && !self.inline).then_some(&self.ranges)
    }

    fn reset(&mut self) {
        self.phase = Phase::Start;
        self.at = 0;
        self.scanned = 0;
        self.remaining = 0;
        self.inline = false;
        self.ranges.clear();
        if self.ranges.capacity() > ARGUMENTS_KEPT {
            self.ranges.shrink_to(ARGUMENTS_KEPT);
        }
        self.unquoted.clear();
        if self.unquoted.capacity() > INLINE_BYTES_KEPT {
            self.unquoted.shrink_to(INLINE_BYTES_KEPT);
        }
    }

    fn go_on(&mut self, buffer: &[u8], limits: &RequestLimits) -> Result<Parsed, ProtocolError> {
        loop {
            match self.phase {
                Phase::Start => match buffer.first() {
                    None => return Ok(Parsed::Incomplete { needed: 1 }),
                    Some(b'*') => self.phase = Phase::Count,
                    Some(_) => self.phase = Phase::Inline,
                },
                Phase::Inline => return self.inline(buffer, limits),
                Phase::Count => match self.line(buffer, limits) {
                    Line::Open => return Ok(Parsed::Incomplete { needed: 1 }),
                    Line::TooLong => return Err(ProtocolError::CountLineTooLong),
                    Line::Complete(count, next) => {
                        self.remaining = argument_count(count, limits)?;
                        if self.remaining == 0 {
                            return Ok(Parsed::Empty { consumed: next });
                        }
                        self.step(Phase::Length, next);
                    }
                },
                Phase::Length => {
                    match buffer.get(self.at) {
                        None | Some(b'$') => {}
                        Some(other) => return Err(ProtocolError::ExpectedDollar(*other)),
                    }
                    match self.line(buffer, limits) {
                        Line::Open => return Ok(Parsed::Incomplete { needed: 1 }),
                        Line::TooLong => return Err(ProtocolError::LengthLineTooLong),
                        Line::Complete(length, next) => {
                            let length = argument_length(length, limits)?;
                            // The sum can't overflow: both are within limits.
                            if next + length > limits.request_bytes {
                                return Err(ProtocolError::RequestTooLong);
                            }
                            self.step(Phase::Bytes(length), next);
                        }
                    }
                }
                Phase::Bytes(length) => {
                    let end = self.at + length;
                    // As in Redis the two bytes after an argument may be any.
                    if buffer.len() < end + 2 {
                        return Ok(Parsed::Incomplete { needed: end + 2 - buffer.len() });
                    }
                    self.ranges.push((self.at, end));
                    self.remaining -= 1;
                    if self.remaining == 0 {
                        return Ok(Parsed::Request { consumed: end + 2 });
                    }
                    self.step(Phase::Length, end + 2);
                }
                // `next` has begun a new request.
                Phase::Done => return Ok(Parsed::Incomplete { needed: 1 }),
            }
        }
    }

    fn step(&mut self, phase: Phase, at: usize) {
        self.phase = phase;
        self.at = at;
        self.scanned = at;
    }

    /// Reads the number after the first byte of the line at `self.at`.
    #[inline]
    fn line(&mut self, buffer: &[u8], limits: &RequestLimits) -> Line {
        // Nearly all lines are short and are here completely.
        let mut value = 0;
        let text = buffer.get(self.at + 1..).unwrap_or_default();
        for (digits, byte) in text.iter().take(SHORT_DIGITS + 1).enumerate() {
            match byte {
                b'0'..=b'9' if digits < SHORT_DIGITS && (digits == 0 || value != 0) => {
                    value = value * 10 + i64::from(byte - b'0');
                }
                b'\r' if digits > 0 && text.len() > digits + 1 => {
                    return Line::Complete(Some(value), self.at + digits + 3);
                }
                _ => break,
            }
        }
        self.any_line(buffer, limits)
    }

    fn any_line(&mut self, buffer: &[u8], limits: &RequestLimits) -> Line {
        let unseen = buffer.get(self.scanned..).unwrap_or_default();
        let Some(end) = unseen.iter().position(|byte| *byte == b'\r') else {
            self.scanned = buffer.len().max(self.at);
            let long = self.scanned - self.at > limits.inline_bytes;
            return if long { Line::TooLong } else { Line::Open };
        };
        let end = self.scanned + end;
        if end - self.at > limits.inline_bytes {
            return Line::TooLong;
        }
        // As in Redis the byte after the carriage return may be any, but it must be there.
        if buffer.len() < end + 2 {
            self.scanned = end;
            return Line::Open;
        }
        Line::Complete(buffer.get(self.at + 1..end).and_then(parse_i64), end + 2)
    }

    fn inline(&mut self, buffer: &[u8], limits: &RequestLimits) -> Result<Parsed, ProtocolError> {
        let unseen = buffer.get(self.scanned..).unwrap_or_default();
        let stop = unseen.iter().position(|byte| matches!(byte, b'\n' | 0));
        let end = self.scanned + stop.unwrap_or(unseen.len());
        if end > limits.inline_bytes {
            return Err(ProtocolError::InlineTooLong);
        }
        if stop.is_none() {
            self.scanned = end;
            return Ok(Parsed::Incomplete { needed: 1 });
        }
        if buffer[end] == 0 {
            return Err(ProtocolError::InlineZeroByte);
        }
        let line = &buffer[..end];
        self.split(line.strip_suffix(b"\r").unwrap_or(line))?;
        if self.ranges.len() > limits.arguments {
            return Err(if limits.unauthenticated {
                ProtocolError::UnauthenticatedArgumentCount
            } else {
                ProtocolError::InvalidArgumentCount
            });
        }
        self.inline = true;
        let consumed = end + 1;
        let empty = self.ranges.is_empty();
        Ok(if empty { Parsed::Empty { consumed } } else { Parsed::Request { consumed } })
    }

    /// Splits a line into arguments by the rules of Redis' command line.
    fn split(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        let mut rest = line;
        loop {
            let blank = rest.iter().take_while(|byte| is_space(**byte)).count();
            rest = &rest[blank..];
            if rest.is_empty() {
                return Ok(());
            }
            let start = self.unquoted.len();
            rest = unquote(rest, &mut self.unquoted)?;
            self.ranges.push((start, self.unquoted.len()));
        }
    }
}

fn argument_count(count: Option<i64>, limits: &RequestLimits) -> Result<usize, ProtocolError> {
    let count = count.ok_or(ProtocolError::InvalidArgumentCount)?;
    // A negative number is an empty request, as in Redis.
    let count = usize::try_from(count.max(0)).map_err(|_| ProtocolError::InvalidArgumentCount)?;
    if count <= limits.arguments {
        Ok(count)
    } else if limits.unauthenticated {
        Err(ProtocolError::UnauthenticatedArgumentCount)
    } else {
        Err(ProtocolError::InvalidArgumentCount)
    }
}

fn argument_length(length: Option<i64>, limits: &RequestLimits) -> Result<usize, ProtocolError> {
    let length = length.and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or(ProtocolError::InvalidLength)?;
    if length <= limits.argument_bytes {
        Ok(length)
    } else if limits.unauthenticated {
        Err(ProtocolError::UnauthenticatedLength)
    } else {
        Err(ProtocolError::InvalidLength)
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Appends the first argument of the line to `out` and returns what follows it.
fn unquote<'a>(line: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut rest = line;
    loop {
        match rest {
            // Other white space only separates arguments next to one of these.
            [] | [b' ' | b'\t' | b'\r' | b'\n', ..] => return Ok(rest),
            [b'"', quoted @ ..] => return after_quote(double_quoted(quoted, out)?),
            [b'\'', quoted @ ..] => return after_quote(single_quoted(quoted, out)?),
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

/// A closing quote ends the argument, so a space or nothing must follow.
fn after_quote(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(byte) if !is_space(*byte) => Err(ProtocolError::UnbalancedQuotes),
        Some(_) | None => Ok(rest),
    }
}

fn double_quoted<'a>(line: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut rest = line;
    loop {
        let (byte, tail) = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
                (digit(*high) << 4 | digit(*low), tail)
            }
            [b'\\', escaped, tail @ ..] => (unescape(*escaped), tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        out.push(byte);
        rest = tail;
    }
}

fn single_quoted<'a>(line: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut rest = line;
    loop {
        let (byte, tail) = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => (b'\'', tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        out.push(byte);
        rest = tail;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The arguments of one request; the first is the command's name.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    ranges: &'a [(usize, usize)],
    bytes: &'a [u8],
}

impl<'a> Arguments<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none, which only happens where no request was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The argument of this index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let (start, end) = *self.ranges.get(index)?;
        self.bytes.get(start..end)
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |(start, end)| bytes.get(*start..*end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;

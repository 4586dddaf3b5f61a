//! Reading replies (RESP2) from bytes that a server sent: nothing is trusted, nothing panics, and
//! the common kinds borrow from the buffer instead of allocating. That is why it is not `resp`'s
//! decoder, whose values own their bytes: the driver's CPU time must stay below the server's.

/// Longest line of a reply, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Longest value that is accepted, in bytes.
const BULK_BYTES_MAX: usize = 512 << 20;
/// Most elements of one array.
const ELEMENTS_MAX: i64 = 1 << 20;
/// Deepest nesting of arrays.
const DEPTH_MAX: u32 = 8;

/// A reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply<'a> {
    Simple(&'a [u8]),
    Error(&'a [u8]),
    Integer(i64),
    Bulk(Option<&'a [u8]>),
    Array(Vec<Reply<'a>>),
}

/// What the bytes so far amount to.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Parsed<'a> {
    /// A reply, and the bytes after it.
    Reply(Reply<'a>, &'a [u8]),
    /// The reply is not whole yet.
    Incomplete,
    /// This is not the protocol.
    Invalid,
}

/// Reads the first reply of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    parse_nested(bytes, 0)
}

fn parse_nested(bytes: &[u8], depth: u32) -> Parsed<'_> {
    let Some((&kind, after_kind)) = bytes.split_first() else { return Parsed::Incomplete };
    let searched = &after_kind[..after_kind.len().min(LINE_BYTES_MAX)];
    let Some(end) = searched.iter().position(|&byte| byte == b'\n') else {
        let too_long = after_kind.len() >= LINE_BYTES_MAX;
        return if too_long { Parsed::Invalid } else { Parsed::Incomplete };
    };
    let Some(line) = after_kind[..end].strip_suffix(b"\r") else { return Parsed::Invalid };
    let rest = &after_kind[end + 1..];
    match kind {
        b'+' => Parsed::Reply(Reply::Simple(line), rest),
        b'-' => Parsed::Reply(Reply::Error(line), rest),
        b':' | b'$' | b'*' => match (kind, integer(line)) {
            (_, None) => Parsed::Invalid,
            (b':', Some(value)) => Parsed::Reply(Reply::Integer(value), rest),
            (b'$', Some(length)) => bulk(length, rest),
            (_, Some(length)) => array(length, rest, depth),
        },
        _ => Parsed::Invalid,
    }
}

fn bulk(length: i64, rest: &[u8]) -> Parsed<'_> {
    if length == -1 {
        return Parsed::Reply(Reply::Bulk(None), rest);
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > BULK_BYTES_MAX {
        return Parsed::Invalid;
    }
    match rest.get(length..length + 2) {
        Some(b"\r\n") => Parsed::Reply(Reply::Bulk(Some(&rest[..length])), &rest[length + 2..]),
        Some(_) => Parsed::Invalid,
        None => Parsed::Incomplete,
    }
}

fn array(length: i64, mut rest: &[u8], depth: u32) -> Parsed<'_> {
    if !(-1..=ELEMENTS_MAX).contains(&length) || depth >= DEPTH_MAX {
        return Parsed::Invalid;
    }
    // Grows with what has arrived, not with what was announced.
    let mut elements = Vec::new();
    for _ in 0..length {
        match parse_nested(rest, depth + 1) {
            Parsed::Reply(element, after) => {
                elements.push(element);
                rest = after;
            }
            Parsed::Incomplete => return Parsed::Incomplete,
            Parsed::Invalid => return Parsed::Invalid,
        }
    }
    Parsed::Reply(Reply::Array(elements), rest)
}

fn integer(line: &[u8]) -> Option<i64> {
    let (negative, digits) = match line.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, line),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?;
        value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
    }
    Some(value)
}

/// Whether the store promises by this error that it applied nothing. Everything else, a
/// time-out on the server's side above all, leaves the outcome unknown.
pub(crate) fn promises_nothing_applied(error: &[u8]) -> bool {
    let code = error.split(|&byte| byte == b' ').next().unwrap_or_default();
    match code {
        b"MOVED" | b"ASK" | b"CLUSTERDOWN" | b"TRYAGAIN" | b"CROSSSLOT" | b"READONLY"
        | b"LOADING" | b"MASTERDOWN" | b"NOAUTH" | b"WRONGPASS" | b"NOPERM" | b"OOM"
        | b"MISCONF" | b"WRONGTYPE" => true,
        b"ERR" => REFUSALS.iter().any(|refusal| error[4.min(error.len())..].starts_with(refusal)),
        _ => false,
    }
}

/// Texts after `ERR` by which a command is refused before it runs.
const REFUSALS: [&[u8]; 6] = [
    b"syntax error",
    b"unknown command",
    b"wrong number of arguments",
    b"value is not an integer",
    b"increment or decrement would overflow",
    b"max number of clients",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_reply_is_incomplete_and_the_whole_is_read() {
        let bytes = b"*4\r\n+OK\r\n:-9223372036854775808\r\n$2\r\n\r\n\r\n*1\r\n$-1\r\nrest";
        let whole = bytes.len() - b"rest".len();
        for cut in 0..whole {
            assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete, "cut at {cut}");
        }
        let elements = vec![
            Reply::Simple(b"OK"),
            Reply::Integer(i64::MIN),
            Reply::Bulk(Some(b"\r\n")),
            Reply::Array(vec![Reply::Bulk(None)]),
        ];
        assert_eq!(parse(bytes), Parsed::Reply(Reply::Array(elements), b"rest"));
    }

    #[test]
    fn what_is_not_the_protocol_is_invalid() {
        for bytes in [
            b"hello\r\n".as_slice(),
            b":\r\n",
            b":1x\r\n",
            b":9223372036854775808\r\n",
            b"$3\r\nabcd\r\n",
            b"$-2\r\n",
            b"$99999999999\r\n",
            b"*99999999\r\n",
            b"+no carriage return\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        ] {
            assert_eq!(parse(bytes), Parsed::Invalid, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn only_promises_count_as_failures() {
        for error in ["MOVED 1 127.0.0.1:1", "ERR syntax error", "OOM no memory", "TRYAGAIN"] {
            assert!(promises_nothing_applied(error.as_bytes()), "{error}");
        }
        for error in ["UNCERTAIN it may be applied", "ERR timed out", "ERR", "MOVEDX", ""] {
            assert!(!promises_nothing_applied(error.as_bytes()), "{error}");
        }
    }
}

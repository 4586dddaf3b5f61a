//! Requests are found wherever the stream is cut, and nothing that is sent can do harm.

use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

const LIMITS: RequestLimits = RequestLimits::LARGEST;

type Request = Vec<Vec<u8>>;

/// Feeds a stream in pieces, as a connection would, and collects the requests.
fn requests(pieces: &[&[u8]], limits: &RequestLimits) -> (Vec<Request>, Option<ProtocolError>) {
    let mut parser = Parser::new();
    let mut buffer = Vec::new();
    let mut found = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match parser.next(&buffer, limits) {
                Ok(Parsed::Incomplete { needed }) => {
                    assert!(needed > 0);
                    break;
                }
                Ok(Parsed::Empty { consumed }) => {
                    assert!(parser.arguments(&buffer).is_empty());
                    buffer.drain(..consumed);
                }
                Ok(Parsed::Request { consumed }) => {
                    let arguments = parser.arguments(&buffer);
                    assert!(!arguments.is_empty());
                    assert_eq!(arguments.get(arguments.len()), None);
                    found.push(arguments.iter().map(<[u8]>::to_vec).collect());
                    buffer.drain(..consumed);
                }
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fn one(stream: &[u8]) -> Result<Request, ProtocolError> {
    let (mut found, error) = requests(&[stream], &LIMITS);
    match error {
        Some(error) => Err(error),
        None => Ok(found.pop().unwrap_or_default()),
    }
}

fn error(stream: &[u8]) -> String {
    one(stream).expect_err("this is no request").to_string()
}

const SAMPLES: [&[u8]; 7] = [
    b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n*1\r\n$4\r\nPING\r\n",
    b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*0\r\n*-1\r\n*1\r\n$4\r\nQUIT\r\n",
    b"PING\r\n\r\n\n  \r\nset \"a b\" 'c d'\nget \"\\x41\\n\\\"\"\r\n",
    b"*2\r\n$4\r\nECHO\r\n$12\r\n\r\n*1\r\n$4\r\nAB\r\nset a b\r\n",
    b"*2\r\n$4\r\nECHO\r\n$3\r\n\x00\r\n\r\n*12\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n\
      $1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n$2\r\n10\r\n$2\r\n11\r\n$2\r\n12\r\n",
    b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n:1\r\n",
    b"set 'unbalanced\r\n",
];

#[test]
fn a_stream_cut_anywhere_has_the_same_requests() {
    for sample in SAMPLES {
        let whole = requests(&[sample], &LIMITS);
        for cut in 0..=sample.len() {
            let (left, right) = sample.split_at(cut);
            assert_eq!(requests(&[left, right], &LIMITS), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = sample.chunks(1).collect();
        assert_eq!(requests(&bytes, &LIMITS), whole, "byte by byte");
    }
}

#[test]
fn arguments_are_what_was_sent() {
    let request = one(b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$2\r\n\r\n\r\n").expect("a request");
    assert_eq!(request, [&b"SET"[..], b"", b"\r\n"]);
    let long = format!("*2\r\n$4\r\nECHO\r\n$1000\r\n{}\r\n", "x".repeat(1000));
    assert_eq!(one(long.as_bytes()).expect("a request")[1], vec![b'x'; 1000]);
}

#[test]
fn inline_requests_follow_the_rules_of_the_command_line() {
    let good: [(&[u8], &[&[u8]]); 8] = [
        (b"  get \t key \n", &[b"get", b"key"]),
        (b"set k \"\\x4a\\n\\r\\t\\b\\a\\\\\\q\"\r\n", &[b"set", b"k", b"\x4a\n\r\t\x08\x07\\q"]),
        (b"set k '\\n \\' \"'\r\n", &[b"set", b"k", b"\\n ' \""]),
        (b"a\"b c\" d\r\n", &[b"ab c", b"d"]),
        (b"a'b'\x0bc\r\n", &[b"ab", b"c"]),
        (b"a\x0bb \x0cc\r\n", &[b"a\x0bb", b"c"]),
        (b"echo \"\" ''\n", &[b"echo", b"", b""]),
        (b"echo \"\\xzz\"\n", &[b"echo", b"xzz"]),
    ];
    for (line, arguments) in good {
        assert_eq!(one(line).expect("a request"), arguments, "{}", line.escape_ascii());
    }
    for line in ["a \"b\n", "a 'b\n", "a \"b\"c\n", "a 'b'c\n", "a \"b\\\"\n", "a \"\\\n"] {
        let text = error(line.as_bytes());
        assert_eq!(text, "ERR Protocol error: unbalanced quotes in request");
    }
}

#[test]
fn errors_are_worded_as_in_redis() {
    let prefix = "ERR Protocol error: ";
    for (stream, text) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*\r\n", "invalid multibulk length"),
        ("*+1\r\n", "invalid multibulk length"),
        ("*01\r\n", "invalid multibulk length"),
        ("*3000000000\r\n", "invalid multibulk length"),
        ("*99999999999999999999\r\n", "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n\x01", "expected '$', got '\\x01'"),
        ("*1\r\n$x\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$999999999999\r\n", "invalid bulk length"),
        ("get \0\r\n", "zero byte in inline request"),
    ] {
        assert_eq!(error(stream.as_bytes()), format!("{prefix}{text}"), "{stream:?}");
    }
    let endless = "1".repeat(70_000);
    assert_eq!(error(endless.as_bytes()), format!("{prefix}too big inline request"));
    let count = format!("*{endless}");
    assert_eq!(error(count.as_bytes()), format!("{prefix}too big mbulk count string"));
    let length = format!("*1\r\n${endless}");
    assert_eq!(error(length.as_bytes()), format!("{prefix}too big bulk count string"));
}

#[test]
fn before_authentication_the_limits_are_small() {
    let limits = RequestLimits::UNAUTHENTICATED;
    for (stream, text) in [
        ("*11\r\n", "ERR Protocol error: unauthenticated multibulk length"),
        ("*1\r\n$16385\r\n", "ERR Protocol error: unauthenticated bulk length"),
        ("a b c d e f g h i j k\n", "ERR Protocol error: unauthenticated multibulk length"),
    ] {
        let (_, error) = requests(&[stream.as_bytes()], &limits);
        assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(text));
    }
    let (found, error) = requests(&[b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"], &limits);
    assert_eq!((found.len(), error), (1, None));
}

#[test]
fn a_request_may_not_be_too_long_as_a_whole() {
    let limits = RequestLimits { request_bytes: 40, ..LIMITS };
    let stream = b"*3\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n";
    assert_eq!(requests(&[stream], &limits).1, Some(ProtocolError::RequestTooLong));
}

#[test]
fn the_hint_is_what_is_missing_of_an_argument() {
    let mut parser = Parser::new();
    let stream = b"*2\r\n$3\r\nGET\r\n$100\r\nab";
    let parsed = parser.next(stream, &LIMITS);
    assert_eq!(parsed, Ok(Parsed::Incomplete { needed: 100 }));
    assert!(parser.arguments(stream).is_empty());
}

/// A request of 100000 arguments in pieces of ten bytes takes minutes if it is looked at anew
/// each time.
#[test]
fn a_long_request_in_small_pieces_is_looked_at_once() {
    let mut stream = b"*100000\r\n".to_vec();
    for _ in 0..100_000 {
        stream.extend_from_slice(b"$4\r\nabcd\r\n");
    }
    let mut parser = Parser::new();
    for end in (10..stream.len()).step_by(10) {
        let parsed = parser.next(&stream[..end], &LIMITS);
        assert!(matches!(parsed, Ok(Parsed::Incomplete { .. })));
    }
    let parsed = parser.next(&stream, &LIMITS);
    assert_eq!(parsed, Ok(Parsed::Request { consumed: stream.len() }));
    assert_eq!(parser.arguments(&stream).len(), 100_000);
}

#[test]
fn garbage_does_no_harm() {
    let mut state = 1u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % bound
    };
    let tokens: [&[u8]; 14] = [
        b"*", b"$", b"\r\n", b"\r", b"\n", b"1", b"2", b"3", b"-1", b"\"", b"'", b"\\", b"\0",
        b"a b",
    ];
    for _ in 0..20_000 {
        let mut stream = Vec::new();
        for _ in 0..random(30) {
            stream.extend_from_slice(tokens[random(tokens.len())]);
        }
        if random(4) == 0 && !stream.is_empty() {
            let at = random(stream.len());
            stream[at] = random(256) as u8;
        }
        let whole = requests(&[&stream], &LIMITS);
        let cut = random(stream.len() + 1);
        let (left, right) = stream.split_at(cut);
        assert_eq!(requests(&[left, right], &LIMITS), whole, "{}", stream.escape_ascii());
    }
}

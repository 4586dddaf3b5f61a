//! Replies are read wherever the stream is cut, and hostile ones are refused.

use super::*;
use alloc::string::ToString;
use alloc::vec;

fn decode(pieces: &[&[u8]]) -> Result<Vec<Value>, DecodeError> {
    let mut decoder = Decoder::new(ReplyLimits { depth: 4, values: 1000, ..Default::default() });
    let mut buffer = Vec::new();
    let mut values = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let decoded = decoder.next(&buffer)?;
            buffer.drain(..decoded.consumed);
            match decoded.value {
                Some(value) => values.push(value),
                None => break,
            }
        }
    }
    Ok(values)
}

const SAMPLE: &[u8] =
    b"+OK\r\n-ERR no\r\n:-12\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n_\r\n#t\r\n\
    ,1.5\r\n,-inf\r\n(12345678901234567890\r\n*0\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n%1\r\n+a\r\n%0\r\n\
    ~1\r\n:2\r\n>1\r\n+push\r\n=6\r\ntxt:hi\r\n!5\r\nERR x\r\n|1\r\n+ttl\r\n:3\r\n+value\r\n\
    *2\r\n|1\r\n+a\r\n:1\r\n:7\r\n:8\r\n";

fn expected() -> Vec<Value> {
    let simple = |text: &str| Value::Simple(text.to_string());
    vec![
        simple("OK"),
        Value::Error("ERR no".to_string()),
        Value::Integer(-12),
        Value::Bulk(b"a\r\nbc".to_vec()),
        Value::Bulk(vec![]),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Boolean(true),
        Value::Double(1.5),
        Value::Double(f64::NEG_INFINITY),
        Value::BigNumber("12345678901234567890".to_string()),
        Value::Array(vec![]),
        Value::Array(vec![Value::Integer(1), Value::Array(vec![Value::Bulk(b"x".to_vec())])]),
        Value::Map(vec![(simple("a"), Value::Map(vec![]))]),
        Value::Set(vec![Value::Integer(2)]),
        Value::Push(vec![simple("push")]),
        Value::Bulk(b"hi".to_vec()),
        Value::Error("ERR x".to_string()),
        simple("value"),
        Value::Array(vec![Value::Integer(7), Value::Integer(8)]),
    ]
}

#[test]
fn a_stream_cut_anywhere_has_the_same_replies() {
    assert_eq!(decode(&[SAMPLE]).as_deref(), Ok(&expected()[..]));
    for cut in 0..SAMPLE.len() {
        let (left, right) = SAMPLE.split_at(cut);
        assert_eq!(decode(&[left, right]), Ok(expected()), "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = SAMPLE.chunks(1).collect();
    assert_eq!(decode(&bytes), Ok(expected()));
}

#[test]
fn hostile_replies_are_refused() {
    for (stream, error) in [
        ("?\r\n", DecodeError::UnknownType(b'?')),
        ("\r\n", DecodeError::Malformed),
        (":x\r\n", DecodeError::Malformed),
        ("$-2\r\n", DecodeError::Malformed),
        ("$1\r\nabc", DecodeError::Malformed),
        ("+a\n", DecodeError::Malformed),
        ("=2\r\nab\r\n", DecodeError::Malformed),
        ("$99999999999\r\n", DecodeError::TooLarge),
        ("*1001\r\n", DecodeError::TooLarge),
        ("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", DecodeError::TooLarge),
    ] {
        assert_eq!(decode(&[stream.as_bytes()]), Err(error), "{stream:?}");
    }
    assert_eq!(decode(&[&[b'+'; 70_000]]), Err(DecodeError::TooLarge));
    // Each element is small, but together they are too many.
    let wide = [b"*1000\r\n".to_vec(), b":1\r\n".repeat(1000)].concat();
    assert_eq!(decode(&[&wide]), Err(DecodeError::TooLarge));
}

#[test]
fn garbage_does_no_harm() {
    let mut state = 1u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % bound
    };
    for _ in 0..20_000 {
        let mut stream = SAMPLE.to_vec();
        for _ in 0..1 + random(3) {
            let at = random(stream.len());
            stream[at] = b"*$%~>|:+-_#\r\n0123456789ab"[random(25)];
        }
        let (left, right) = stream.split_at(random(stream.len()));
        let (whole, cut) = (decode(&[&stream]), decode(&[left, right]));
        assert_eq!(alloc::format!("{whole:?}"), alloc::format!("{cut:?}"));
    }
}

#[test]
fn requests_are_arrays_of_bulk_strings() {
    let mut out = Vec::new();
    encode_request(&["SET", "a", ""], &mut out);
    assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n");
}

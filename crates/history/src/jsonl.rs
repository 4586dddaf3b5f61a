//! The file format of histories: one JSON object a line.
//!
//! ```text
//! {"p":7,"k":"a","f":"set","a":"7-1","t0":100,"t1":180,"r":true,"s":"ok","node":2,"epoch":9}
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `p` | process |
//! | `k` | key |
//! | `f` | function: `get`, `set`, `cas`, `incr`, `append`, `del`, `txn` |
//! | `a` | argument, see below |
//! | `t0` | start, nanoseconds |
//! | `t1` | end, nanoseconds, or null if there was none |
//! | `r` | reply, see below; an error is `{"error": text}`; null if there was none |
//! | `s` | `ok`, `fail`, `info` |
//! | `node`, `epoch` | who answered, under which lease epoch; may be null or missing |
//!
//! | function | argument | reply |
//! |---|---|---|
//! | `get` | null | text, or null if the key is absent |
//! | `set` | text | true |
//! | `cas` | `[expected text or null, text]` | whether it was written |
//! | `incr` | number | the count after it |
//! | `append` | text | the length after it |
//! | `del` | null | whether there was a key |
//! | `txn` | `[[key, function, argument], ..]` | list of replies |
//!
//! Keys and values are bytes, JSON knows text: the character U+00XX stands for the byte XX, so
//! ASCII is readable as it is and every byte survives. Lines may come in any order. Empty lines
//! and unknown fields are skipped.

use crate::operation::{Call, Key, Operation, Reply, Status, Step};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

/// Longest line that is read, in bytes.
pub const LINE_BYTES_MAX: u64 = 64 << 20;

/// Why a history could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The file could not be read.
    Io(io::Error),
    /// A line is not an operation.
    Malformed {
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read the history: {error}"),
            Self::Malformed { line, reason } => write!(f, "line {line}: {reason}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a whole history and checks each process for operations that overlap or follow an `info`.
///
/// # Errors
/// When reading fails, and for the first line that is not a valid operation.
pub fn read(mut input: impl BufRead) -> Result<Vec<Operation>, ReadError> {
    let mut history = Vec::new();
    let mut keys = HashSet::new();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if text.len() as u64 == LINE_BYTES_MAX {
            let reason = format!("longer than {LINE_BYTES_MAX} bytes");
            return Err(ReadError::Malformed { line, reason });
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let operation = parse(&text, &mut keys)
            .map_err(|Malformed(reason)| ReadError::Malformed { line, reason })?;
        history.push((line, operation));
    }
    check_processes(&history)?;
    Ok(history.into_iter().map(|(_, operation)| operation).collect())
}

/// A process that works on two things at once, or after an unknown outcome, makes verdicts wrong.
fn check_processes(history: &[(u64, Operation)]) -> Result<(), ReadError> {
    let mut order: Vec<&(u64, Operation)> = history.iter().collect();
    order.sort_by_key(|(_, operation)| (operation.process, operation.start));
    for pair in order.windows(2) {
        let ((_, before), (line, after)) = (pair[0], pair[1]);
        if before.process != after.process {
            continue;
        }
        let process = before.process;
        let reason = if before.status == Status::Info {
            format!("process {process} goes on after an operation of unknown outcome")
        } else if before.end.is_none_or(|end| end > after.start) {
            format!("process {process} has two operations at once")
        } else {
            continue;
        };
        return Err(ReadError::Malformed { line: *line, reason });
    }
    Ok(())
}

/// What is wrong with a line.
struct Malformed(String);

fn malformed<T>(reason: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(reason.into()))
}

fn parse(text: &[u8], keys: &mut HashSet<Key>) -> Result<Operation, Malformed> {
    let line: Value = serde_json::from_slice(text).map_err(|error| Malformed(error.to_string()))?;
    if !line.is_object() {
        return malformed("not a JSON object");
    }
    let key = intern(bytes(&line["k"], "k")?, keys);
    let call = call(&line["f"], &line["a"], keys)?;
    let status = match line["s"].as_str() {
        Some("ok") => Status::Ok,
        Some("fail") => Status::Fail,
        Some("info") => Status::Info,
        Some(_) | None => return malformed("s is neither ok, fail nor info"),
    };
    let operation = Operation {
        process: number(&line["p"], "p")?,
        key,
        start: number(&line["t0"], "t0")?,
        end: optional(&line["t1"], "t1")?,
        reply: reply(&line["r"], &call, status)?,
        node: match optional(&line["node"], "node")?.map(u32::try_from) {
            None => None,
            Some(Ok(node)) => Some(node),
            Some(Err(_)) => return malformed("node is too large"),
        },
        epoch: optional(&line["epoch"], "epoch")?,
        call,
        status,
    };
    if operation.end.is_some_and(|end| end < operation.start) {
        return malformed("t1 lies before t0");
    }
    if operation.end.is_none() && status == Status::Ok {
        return malformed("an operation that is ok has no t1");
    }
    Ok(operation)
}

fn intern(bytes: Vec<u8>, keys: &mut HashSet<Key>) -> Key {
    if let Some(key) = keys.get(bytes.as_slice()) {
        return key.clone();
    }
    let key: Key = Arc::from(bytes);
    keys.insert(key.clone());
    key
}

fn number(value: &Value, field: &str) -> Result<u64, Malformed> {
    value.as_u64().ok_or_else(|| Malformed(format!("{field} is not a number from 0")))
}

fn optional(value: &Value, field: &str) -> Result<Option<u64>, Malformed> {
    if value.is_null() { Ok(None) } else { number(value, field).map(Some) }
}

fn bytes(value: &Value, field: &str) -> Result<Vec<u8>, Malformed> {
    let Some(text) = value.as_str() else { return malformed(format!("{field} is not a text")) };
    let byte = |character| u8::try_from(u32::from(character));
    match text.chars().map(byte).collect() {
        Ok(bytes) => Ok(bytes),
        Err(_) => malformed(format!("{field} holds a character above U+00FF")),
    }
}

fn call(function: &Value, argument: &Value, keys: &mut HashSet<Key>) -> Result<Call, Malformed> {
    match function.as_str() {
        Some("txn") => {}
        Some(name) => return plain_call(name, argument),
        None => return malformed("f is not a text"),
    }
    let Some(steps) = argument.as_array() else { return malformed("a of txn is not a list") };
    let mut calls = Vec::with_capacity(steps.len());
    for step in steps {
        let Some([key, name, argument]) = step.as_array().map(Vec::as_slice) else {
            return malformed("a step of txn is not [key, f, a]");
        };
        let Some(name) = name.as_str() else { return malformed("f in txn is not a text") };
        let key = intern(bytes(key, "key in txn")?, keys);
        calls.push(Step { key, call: plain_call(name, argument)? });
    }
    Ok(Call::Transaction(calls))
}

fn plain_call(name: &str, argument: &Value) -> Result<Call, Malformed> {
    match name {
        "get" => Ok(Call::Get),
        "del" => Ok(Call::Delete),
        "set" => Ok(Call::Set(bytes(argument, "a")?)),
        "append" => Ok(Call::Append(bytes(argument, "a")?)),
        "incr" => match argument.as_i64() {
            Some(by) => Ok(Call::Increment(by)),
            None => malformed("a of incr is not a number"),
        },
        "cas" => {
            let Some([expected, value]) = argument.as_array().map(Vec::as_slice) else {
                return malformed("a of cas is not [expected, value]");
            };
            let expected =
                if expected.is_null() { None } else { Some(bytes(expected, "expected")?) };
            Ok(Call::Cas { expected, value: bytes(value, "value")? })
        }
        unknown => malformed(format!("unknown function {unknown:?}")),
    }
}

fn reply(value: &Value, call: &Call, status: Status) -> Result<Option<Reply>, Malformed> {
    if let Some(text) = value.get("error") {
        let text = String::from_utf8_lossy(&bytes(text, "error")?).into_owned();
        return match status {
            Status::Ok => malformed("an operation that is ok has an error as its reply"),
            Status::Fail | Status::Info => Ok(Some(Reply::Error(text))),
        };
    }
    if value.is_null() && status != Status::Ok {
        return Ok(None);
    }
    let reply = match call {
        Call::Transaction(steps) => {
            let replies = value.as_array().filter(|replies| replies.len() == steps.len());
            let Some(replies) = replies else { return malformed("r is not a list like a") };
            let pairs = steps.iter().zip(replies);
            Reply::List(
                pairs
                    .map(|(step, value)| plain_reply(value, &step.call))
                    .collect::<Result<_, _>>()?,
            )
        }
        Call::Get
        | Call::Set(_)
        | Call::Cas { .. }
        | Call::Increment(_)
        | Call::Append(_)
        | Call::Delete => plain_reply(value, call)?,
    };
    Ok(Some(reply))
}

fn plain_reply(value: &Value, call: &Call) -> Result<Reply, Malformed> {
    match call {
        Call::Get if value.is_null() => Ok(Reply::Absent),
        Call::Get => Ok(Reply::Bytes(bytes(value, "r")?)),
        Call::Set(_) | Call::Cas { .. } | Call::Delete => match value.as_bool() {
            Some(flag) => Ok(Reply::Flag(flag)),
            None => malformed("r is not a boolean"),
        },
        Call::Increment(_) | Call::Append(_) => match value.as_i64() {
            Some(integer) => Ok(Reply::Integer(integer)),
            None => malformed("r is not a number"),
        },
        Call::Transaction(_) => malformed("a transaction in a transaction"),
    }
}

/// Appends one operation as a line. Allocates nothing beyond what `out` has to grow by.
pub fn write(operation: &Operation, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"p\":");
    write_number(operation.process, out);
    out.extend_from_slice(b",\"k\":");
    write_text(&operation.key, out);
    out.extend_from_slice(b",\"f\":\"");
    out.extend_from_slice(operation.call.name().as_bytes());
    out.extend_from_slice(b"\",\"a\":");
    write_argument(&operation.call, out);
    out.extend_from_slice(b",\"t0\":");
    write_number(operation.start, out);
    out.extend_from_slice(b",\"t1\":");
    write_optional(operation.end, out);
    out.extend_from_slice(b",\"r\":");
    match &operation.reply {
        Some(reply) => write_reply(reply, out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(match operation.status {
        Status::Ok => b",\"s\":\"ok\"".as_slice(),
        Status::Fail => b",\"s\":\"fail\"",
        Status::Info => b",\"s\":\"info\"",
    });
    if let Some(node) = operation.node {
        out.extend_from_slice(b",\"node\":");
        write_number(u64::from(node), out);
    }
    if let Some(epoch) = operation.epoch {
        out.extend_from_slice(b",\"epoch\":");
        write_number(epoch, out);
    }
    out.extend_from_slice(b"}\n");
}

fn write_argument(call: &Call, out: &mut Vec<u8>) {
    match call {
        Call::Get | Call::Delete => out.extend_from_slice(b"null"),
        Call::Set(value) | Call::Append(value) => write_text(value, out),
        Call::Increment(by) => write_integer(*by, out),
        Call::Cas { expected, value } => {
            out.push(b'[');
            match expected {
                Some(expected) => write_text(expected, out),
                None => out.extend_from_slice(b"null"),
            }
            out.push(b',');
            write_text(value, out);
            out.push(b']');
        }
        Call::Transaction(steps) => write_list(steps, out, |step, out| {
            out.push(b'[');
            write_text(&step.key, out);
            out.extend_from_slice(b",\"");
            out.extend_from_slice(step.call.name().as_bytes());
            out.extend_from_slice(b"\",");
            write_argument(&step.call, out);
            out.push(b']');
        }),
    }
}

fn write_reply(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Absent => out.extend_from_slice(b"null"),
        Reply::Bytes(value) => write_text(value, out),
        Reply::Integer(value) => write_integer(*value, out),
        Reply::Flag(true) => out.extend_from_slice(b"true"),
        Reply::Flag(false) => out.extend_from_slice(b"false"),
        Reply::List(replies) => write_list(replies, out, write_reply),
        Reply::Error(text) => {
            out.extend_from_slice(b"{\"error\":");
            write_text(text.as_bytes(), out);
            out.push(b'}');
        }
    }
}

fn write_list<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn write_text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        if matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\' {
            out.push(byte);
        } else {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
            out.extend_from_slice(b"\\u00");
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
    }
    out.push(b'"');
}

fn write_optional(value: Option<u64>, out: &mut Vec<u8>) {
    match value {
        Some(value) => write_number(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn write_integer(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_number(value.unsigned_abs(), out);
}

fn write_number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        // A remainder of ten fits in a byte.
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(call: Call, reply: Option<Reply>, status: Status) -> Operation {
        let key: Key = Arc::from(b"k\"\\\n\xff".as_slice());
        let (process, start, end) = (7, 10, (status == Status::Ok).then_some(20));
        Operation { process, key, call, start, end, reply, status, node: Some(3), epoch: None }
    }

    #[test]
    fn every_kind_of_operation_survives_the_file() {
        let key: Key = Arc::from(b"x".as_slice());
        let steps = vec![
            Step { key: key.clone(), call: Call::Get },
            Step { key, call: Call::Append(b"y".to_vec()) },
        ];
        let replies = vec![Reply::Absent, Reply::Integer(1)];
        let error = Reply::Error("ERR no".into());
        let cas = |expected| Call::Cas { expected, value: vec![0, 255] };
        let mut history = vec![
            operation(Call::Get, Some(Reply::Absent), Status::Ok),
            operation(Call::Get, Some(Reply::Bytes(vec![0, 200])), Status::Ok),
            operation(Call::Set(b"v".to_vec()), Some(Reply::Flag(true)), Status::Ok),
            operation(Call::Set(vec![]), None, Status::Info),
            operation(cas(None), Some(Reply::Flag(false)), Status::Ok),
            operation(cas(Some(vec![1])), Some(error), Status::Fail),
            operation(Call::Increment(i64::MIN), Some(Reply::Integer(i64::MIN)), Status::Ok),
            operation(Call::Append(b"z".to_vec()), Some(Reply::Integer(1)), Status::Ok),
            operation(Call::Delete, Some(Reply::Flag(true)), Status::Ok),
            operation(Call::Transaction(steps), Some(Reply::List(replies)), Status::Ok),
        ];
        let mut text = Vec::new();
        for (process, operation) in history.iter_mut().enumerate() {
            operation.process = process as u64;
            write(operation, &mut text);
        }
        assert_eq!(read(text.as_slice()).expect("what was written can be read"), history);
    }

    #[test]
    fn a_malformed_line_is_named_by_its_number() {
        let good = r#"{"p":1,"k":"a","f":"get","a":null,"t0":1,"t1":2,"r":null,"s":"ok"}"#;
        let bad = [
            ("nonsense", "expected"),
            ("[]", "not a JSON object"),
            (r#"{"k":"a","f":"get","t0":1,"t1":2,"s":"ok"}"#, "p is not a number"),
            (r#"{"p":2,"k":"a","f":"get","t0":5,"t1":2,"s":"ok"}"#, "t1 lies before t0"),
            (r#"{"p":2,"k":"a","f":"get","t0":5,"s":"ok"}"#, "no t1"),
            (r#"{"p":2,"k":"a","f":"push","t0":1,"t1":2,"s":"ok"}"#, "unknown function"),
            (r#"{"p":2,"k":"a","f":"get","t0":1,"t1":2,"s":"yes"}"#, "neither ok"),
            (r#"{"p":2,"k":"a","f":"set","a":"1","t0":1,"t1":2,"s":"ok"}"#, "not a boolean"),
            (r#"{"p":2,"k":"\u0100","f":"get","t0":1,"t1":2,"s":"ok"}"#, "above U+00FF"),
            (r#"{"p":1,"k":"a","f":"get","t0":1,"t1":2,"s":"ok"}"#, "two operations at once"),
        ];
        for (line, reason) in bad {
            let text = format!("{good}\n\n{line}\n");
            let error = read(text.as_bytes()).expect_err(line).to_string();
            assert!(error.starts_with("line 3: ") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_process_ends_with_an_unknown_outcome() {
        let text = r#"{"p":1,"k":"a","f":"set","a":"1","t0":1,"t1":2,"r":null,"s":"info"}
{"p":1,"k":"a","f":"get","a":null,"t0":3,"t1":4,"r":null,"s":"ok"}"#;
        let error = read(text.as_bytes()).expect_err("the process goes on").to_string();
        assert!(error.starts_with("line 2: process 1 goes on after"), "{error}");
    }
}

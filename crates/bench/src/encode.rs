//! Requests as bytes, with all that never changes prepared once.

use crate::keys::Names;
use crate::workload::{Function, Request};
use fastrand::Rng;
use resp::encode_request;
use std::io::Write;

/// Writes requests of one run.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    /// `*2 $3 GET $n`, for keys of registers and of counters.
    get: [Vec<u8>; 2],
    set: Vec<u8>,
    increment: Vec<u8>,
    registers: Names,
    counters: Names,
    /// The end of the key's line, the value's length line, the value: the same for every `SET`
    /// of a run that keeps no history.
    value: Vec<u8>,
    value_bytes: usize,
    unique_values: bool,
    /// The `WAIT` behind each `SET`, if there is one.
    wait: Vec<u8>,
}

/// How long a `WAIT` waits, in milliseconds.
const WAIT_MILLIS: &str = "1000";

impl Encoder {
    pub(crate) fn new(
        registers: Names,
        counters: Names,
        value_bytes: usize,
        unique_values: bool,
        wait: u32,
        seed: u64,
    ) -> Self {
        let head = |command: &str, arguments: usize, names: &Names| {
            let length = command.len();
            format!("*{arguments}\r\n${length}\r\n{command}\r\n${}\r\n", names.len()).into_bytes()
        };
        let mut random = Rng::with_seed(seed);
        let mut value = format!("\r\n${value_bytes}\r\n").into_bytes();
        value.extend((0..value_bytes).map(|_| random.u8(b'a'..=b'z')));
        value.extend_from_slice(b"\r\n");
        let mut waits = Vec::new();
        if wait > 0 {
            encode_request(&["WAIT", &wait.to_string(), WAIT_MILLIS], &mut waits);
        }
        Self {
            get: [head("GET", 2, &registers), head("GET", 2, &counters)],
            set: head("SET", 3, &registers),
            increment: head("INCR", 2, &counters),
            registers,
            counters,
            value,
            value_bytes,
            unique_values,
            wait: waits,
        }
    }

    /// Whether a request is followed by a `WAIT`, whose answer is the one that counts.
    pub(crate) fn waits(&self, request: &Request) -> bool {
        match request.function {
            Function::Set => !self.wait.is_empty(),
            Function::Get | Function::GetCounter | Function::Increment => false,
        }
    }

    /// Appends the request.
    pub(crate) fn write(&self, request: &Request, out: &mut Vec<u8>) {
        let names = self.names(request.function);
        out.extend_from_slice(match request.function {
            Function::Get => &self.get[0],
            Function::GetCounter => &self.get[1],
            Function::Set => &self.set,
            Function::Increment => &self.increment,
        });
        names.write(request.key, out);
        match request.function {
            Function::Set if self.unique_values => {
                let value = self.unique_value(request);
                // Writing to a vector cannot fail.
                let _ = write!(out, "\r\n${}\r\n", value.len());
                out.extend_from_slice(&value);
                out.extend_from_slice(b"\r\n");
            }
            Function::Set => out.extend_from_slice(&self.value),
            Function::Get | Function::GetCounter | Function::Increment => {
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Appends the `WAIT` that stands behind each `SET`.
    pub(crate) fn write_wait(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.wait);
    }

    /// Appends the key of a request.
    pub(crate) fn write_key(&self, request: &Request, out: &mut Vec<u8>) {
        self.names(request.function).write(request.key, out);
    }

    /// The value that a `SET` writes in a run with a history: who wrote it, and which of its
    /// writes it is, filled up to the wanted length.
    pub(crate) fn unique_value(&self, request: &Request) -> Vec<u8> {
        let mut value = format!("{}-{}", request.process, request.sequence).into_bytes();
        if value.len() < self.value_bytes {
            value.push(b' ');
            value.resize(self.value_bytes, b'.');
        }
        value
    }

    fn names(&self, function: Function) -> &Names {
        match function {
            Function::Get | Function::Set => &self.registers,
            Function::GetCounter | Function::Increment => &self.counters,
        }
    }
}

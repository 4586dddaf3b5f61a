//! How long the checkers take on large synthetic histories, with and without a planted fault.
//!
//! `cargo run --release -p history --example timings`

use history::model::{Counter, Register};
use history::{Call, Key, Operation, Reply, Status, Verdict, by_key, jsonl, wgl, zones};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

#[derive(Clone, Copy)]
enum Load {
    Register,
    Counter,
}

/// A right history: each client works in a closed loop; calls take effect inside their interval.
fn synthetic(
    load: Load,
    count: usize,
    keys: u64,
    clients: u64,
    info_percent: u64,
) -> Vec<Operation> {
    let mut random = Random(count as u64 * 31 + keys * 7 + clients);
    let names: Vec<Key> = (0..keys).map(|key| Arc::from(format!("k{key}").into_bytes())).collect();
    let mut history = Vec::with_capacity(count);
    let mut free_at: Vec<(u64, u64)> = (0..clients).map(|client| (client, client)).collect();
    let mut next_process = clients;
    let mut effects = Vec::with_capacity(count);
    for number in 0..count {
        let client = number % clients as usize;
        let (process, start) = free_at[client];
        let end = start + 1 + random.below(200);
        let is_read = random.below(2) == 0;
        let call = match load {
            _ if is_read => Call::Get,
            Load::Register => Call::Set(format!("{process}-{number}").into_bytes()),
            Load::Counter => Call::Increment(1),
        };
        let is_info = random.below(100) < info_percent;
        let (status, end_seen) =
            if is_info { (Status::Info, None) } else { (Status::Ok, Some(end)) };
        if is_info {
            free_at[client] = (next_process, end + 1);
            next_process += 1;
        } else {
            free_at[client] = (process, end + random.below(20));
        }
        effects.push((start + random.below(end - start + 1), number));
        let key = names[random.below(keys) as usize].clone();
        let (reply, node, epoch, end) = (None, None, None, end_seen);
        history.push(Operation { process, key, call, start, end, reply, status, node, epoch });
    }
    effects.sort_unstable();
    let mut values = std::collections::HashMap::new();
    for (_, number) in effects {
        let operation = &mut history[number];
        let value: &mut Option<Vec<u8>> = values.entry(operation.key.clone()).or_default();
        let reply = match &operation.call {
            Call::Set(new) => {
                *value = Some(new.clone());
                Reply::Flag(true)
            }
            Call::Increment(by) => {
                let text = value.take().unwrap_or_else(|| b"0".to_vec());
                let sum = by + str::from_utf8(&text).map_or(0, |text| text.parse().unwrap_or(0));
                *value = Some(sum.to_string().into_bytes());
                Reply::Integer(sum)
            }
            Call::Get
            | Call::Cas { .. }
            | Call::Append(_)
            | Call::Delete
            | Call::Transaction(_) => value.clone().map_or(Reply::Absent, Reply::Bytes),
        };
        operation.reply = (operation.status == Status::Ok).then_some(reply);
    }
    history
}

/// Makes one read near the end return what an early read of the same key saw.
fn plant_stale_read(history: &mut [Operation]) {
    let is_read = |each: &Operation| each.call == Call::Get && each.status == Status::Ok;
    let late = history.iter().rposition(is_read).expect("there are reads");
    let key = history[late].key.clone();
    let early = history[..late / 2]
        .iter()
        .position(|each| is_read(each) && each.key == key && each.reply != Some(Reply::Absent));
    let early = early.expect("the key was read early");
    history[late].reply = history[early].reply.clone();
}

fn timed(name: &str, history: &[Operation], check: impl Fn(&[&Operation]) -> Verdict) {
    let began = Instant::now();
    let (mut violations, mut unknown) = (0, 0);
    for operations in by_key(history).values() {
        match check(operations) {
            Verdict::Linearizable => {}
            Verdict::Violation(_) => violations += 1,
            Verdict::Unknown(_) => unknown += 1,
        }
    }
    let took = began.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{name:44} {took:8.3} s  violations {violations}, undecided {unknown}");
}

const STEPS_MAX: u64 = 20_000_000;

fn main() {
    let register =
        |operations: &[&Operation]| wgl::check_key(&mut Register::default(), operations, STEPS_MAX);
    let counter = |operations: &[&Operation]| wgl::check_key(&mut Counter, operations, STEPS_MAX);
    for (count, keys, clients, info) in [
        (100_000, 100, 20, 0),
        (99_000, 100, 50, 2),
        (100_000, 1, 20, 0),
        (990_000, 100, 50, 2),
        (990_000, 1, 50, 2),
    ] {
        let mut history = synthetic(Load::Register, count, keys, clients, info);
        let name = format!("zones {count} ops {keys} keys {clients} clients {info}% info");
        timed(&name, &history, zones::check_key);
        plant_stale_read(&mut history);
        timed("  with a stale read", &history, zones::check_key);
    }
    for (count, keys, clients, info) in [
        (100_000, 100, 20, 0),
        (99_000, 100, 50, 2),
        (10_000, 1, 4, 0),
        (10_000, 1, 8, 0),
        (5_000, 1, 10, 0),
    ] {
        let mut history = synthetic(Load::Register, count, keys, clients, info);
        let name = format!("wgl   {count} ops {keys} keys {clients} clients {info}% info");
        timed(&name, &history, register);
        plant_stale_read(&mut history);
        timed("  with a stale read", &history, register);
    }
    let history = synthetic(Load::Counter, 20_000, 20, 30, 1);
    timed("wgl   20000 incr+get 20 keys 30 clients 1% info", &history, counter);

    let history = synthetic(Load::Register, 1_000_000, 100, 50, 2);
    let began = Instant::now();
    let mut text = Vec::new();
    history.iter().for_each(|operation| jsonl::write(operation, &mut text));
    let wrote = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let read = jsonl::read(text.as_slice()).expect("what was written can be read");
    assert_eq!(read.len(), history.len());
    let took = began.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(
        out,
        "1M lines, {} bytes: written in {wrote:.3} s, read in {took:.3} s",
        text.len()
    );
}

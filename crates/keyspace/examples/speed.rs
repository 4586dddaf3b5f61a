//! How long commands take: one thread, a million keys of 16 bytes with values of 100 bytes.
//!
//! Run with `cargo run --release -p keyspace --example speed`. `hot` touches 64 keys over and
//! over, `random` all of them in random order. A plain map of the standard library, without slots,
//! expiry, arguments and replies, is measured beside it: on a busy machine only ratios mean much.
#![expect(clippy::print_stdout, reason = "it reports to a person")]

use keyspace::{Changes, Context, Keyspace, Mode};
use resp::{CommandId, Protocol, Reply};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;
use types::{Slot, SlotRange, UnixMillis};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u32 = 1_000_000;
const OPERATIONS: u32 = 2_000_000;

struct Bench {
    keyspace: Keyspace,
    keys: Vec<([u8; 16], Slot)>,
    buffer: Vec<u8>,
}

fn key_of(number: u32, tag: bool) -> ([u8; 16], Slot) {
    let text = if tag { format!("{{tag}}{number:011}") } else { format!("key:{number:012}") };
    let key = text.as_bytes().try_into().expect("keys of 16 bytes");
    (key, resp::slot_of(&key))
}

fn measure(name: &str, operations: u32, operation: impl FnMut(u32)) {
    let start = Instant::now();
    (0..operations).for_each(operation);
    let nanos = start.elapsed().as_nanos() as f64 / f64::from(operations);
    println!("  {name:28} {nanos:7.1} ns");
}

fn random(number: u32) -> usize {
    let mixed = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed % u64::from(KEYS)) as usize
}

fn hot(number: u32) -> usize {
    (number % 64) as usize * 1013
}

fn plain_map() {
    println!("a plain map");
    let keys: Vec<_> = (0..KEYS).map(|number| key_of(number, false).0).collect();
    let mut map: HashMap<Box<[u8]>, Box<[u8]>> = HashMap::new();
    measure("insert, new keys", KEYS, |number| {
        map.insert(Box::from(&keys[number as usize][..]), Box::from([b'x'; 100]));
    });
    let mut copy = Vec::new();
    for (name, choose) in [("get, hot", hot as fn(u32) -> usize), ("get, random", random)] {
        measure(name, OPERATIONS, |number| {
            copy.clear();
            copy.extend_from_slice(&map[&keys[choose(number)][..]]);
            black_box(&copy);
        });
    }
}

impl Bench {
    fn new(tag: bool) -> Self {
        let keys = (0..KEYS).map(|number| key_of(number, tag)).collect();
        let keyspace = Keyspace::new(SlotRange::ALL, 42);
        Self { keyspace, keys, buffer: Vec::with_capacity(256) }
    }

    fn execute(&mut self, command: CommandId, index: usize, rest: &[&[u8]], mode: Mode) {
        let (key, slot) = self.keys[index];
        let mut args: [&[u8]; 3] = [b"name", &key, b""];
        args[2..2 + rest.len()].copy_from_slice(rest);
        let context =
            Context { now: UnixMillis(1), seed: 0, mode, budget: types::limits::COMMAND_WORK_MAX };
        self.buffer.clear();
        let mut reply = Reply::new(&mut self.buffer, Protocol::Resp2);
        let changes = &mut Changes::off();
        let args = &args[..2 + rest.len()];
        let _ = self.keyspace.execute(command, slot, args, &context, changes, &mut reply);
    }

    fn measure(&mut self, name: &str, operations: u32, mut operation: impl FnMut(&mut Self, u32)) {
        measure(name, operations, |number| operation(self, number));
    }

    fn run(&mut self, name: &str) {
        println!("{name}");
        let value = [b'x'; 100];
        let other = [b'y'; 90];
        let (get, set) = (CommandId::Get, CommandId::Set);
        self.measure("set, new keys", KEYS, |bench, number| {
            bench.execute(set, number as usize, &[&value], Mode::Apply);
        });
        self.measure("get, hot", OPERATIONS, |bench, number| {
            bench.execute(get, hot(number), &[], Mode::Read);
        });
        self.measure("get, random", OPERATIONS, |bench, number| {
            bench.execute(get, random(number), &[], Mode::Read);
        });
        self.measure("set, hot, same length", OPERATIONS, |bench, number| {
            bench.execute(set, hot(number), &[&value], Mode::Apply);
        });
        self.measure("set, random, same length", OPERATIONS, |bench, number| {
            bench.execute(set, random(number), &[&value], Mode::Apply);
        });
        self.measure("set, hot, other length", OPERATIONS, |bench, number| {
            let value = if number & 64 == 0 { &other[..] } else { &value };
            bench.execute(set, hot(number), &[value], Mode::Apply);
        });
        self.measure("incr, hot", OPERATIONS, |bench, number| {
            if number < 64 {
                bench.execute(set, hot(number), &[b"0"], Mode::Apply);
            }
            bench.execute(CommandId::Incr, hot(number), &[], Mode::Apply);
        });
        self.measure("del, random", KEYS, |bench, number| {
            bench.execute(CommandId::Del, random(number), &[], Mode::Apply);
        });
    }
}

fn main() {
    plain_map();
    Bench::new(false).run("keys over all slots");
    Bench::new(true).run("all keys in one slot");
}

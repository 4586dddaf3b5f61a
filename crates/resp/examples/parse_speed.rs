//! Measures what a request costs before it is run: parsing, finding the command, its keys and
//! their slot. Run with `cargo run --release --example parse_speed`.
#![allow(clippy::print_stdout, reason = "the figures are the purpose")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use resp::{Parsed, Parser, RequestLimits, encode_request, glob, keys, lookup, resolve, slot_of};

const ROUNDS: u32 = 2_000_000;

/// The best of several runs: others use the machine, too, and can only add to the time.
fn measure(name: &str, mut once: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            once();
        }
        best = best.min(start.elapsed());
    }
    println!("{name:40} {:7.1} ns", best.as_secs_f64() * 1e9 / f64::from(ROUNDS));
}

fn main() {
    let limits = RequestLimits::LARGEST;
    let mut set = Vec::new();
    encode_request(&["SET", "key:000000012345", "a value of some 32 bytes, roughly"], &mut set);
    let mut get = Vec::new();
    encode_request(&["GET", "key:000000012345"], &mut get);
    let mut parser = Parser::new();
    for (name, request) in [("parse SET", &set), ("parse GET", &get)] {
        measure(name, || {
            let parsed = parser.next(black_box(request), &limits);
            assert!(matches!(parsed, Ok(Parsed::Request { .. })));
            black_box(&parser);
        });
    }
    measure("parse inline GET", || {
        black_box(parser.next(black_box(b"GET key:000000012345\r\n"), &limits).is_ok());
    });
    for name in ["GET", "set", "PEXPIREAT", "georadiusbymember_ro", "nosuchcommand"] {
        measure(&format!("lookup {name}"), || {
            black_box(lookup(black_box(name.as_bytes())));
        });
    }
    for args in [&["SET", "key:000000012345", "value"][..], &["OBJECT", "ENCODING", "a"]] {
        measure(&format!("resolve {} and its keys", args[0]), || {
            let command = resolve(black_box(args)).expect("a command");
            black_box(keys(command, args).expect("keys").map(|key| key.index).sum::<usize>());
        });
    }
    for key in ["foo", "key:000000012345", "{user1000}.following:list:00001"] {
        measure(&format!("slot of {} bytes", key.len()), || {
            black_box(slot_of(black_box(key.as_bytes())));
        });
    }
    measure("glob key:*1*5", || {
        let text = black_box(b"key:000000012345");
        black_box(glob::matches(b"key:*1*5", text, glob::Case::Heeded));
    });
    measure("parse SET, resolve, keys, slot", || {
        let request = black_box(&set[..]);
        assert!(matches!(parser.next(request, &limits), Ok(Parsed::Request { .. })));
        let found = parser.arguments(request);
        let args = [0, 1, 2].map(|index| found.get(index).unwrap_or_default());
        let command = resolve(&args).expect("a command");
        for key in keys(command, &args).expect("keys") {
            black_box(slot_of(args[key.index]));
        }
    });
}

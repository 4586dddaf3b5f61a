//! No command works more than it may, and what it is refused for changes nothing.

use keyspace::{Changes, Context, KeysWalk, Keyspace, Mode, Outcome, ScanCursor, ScanWalk};
use resp::{Protocol, Reply};
use types::limits::{BUILT_BYTES_MAX, COMMAND_WORK_MAX};
use types::{Slot, SlotRange, UnixMillis};

fn run_with(keyspace: &mut Keyspace, budget: u64, args: &[&[u8]]) -> (String, u64) {
    let command = resp::resolve(args).expect("a command").id().expect("a command on keys");
    let context = Context { now: UnixMillis(1), seed: 0, mode: Mode::Apply, budget };
    let mut bytes = Vec::new();
    let mut reply = Reply::new(&mut bytes, Protocol::Resp2);
    let mut changes = Changes::off();
    let slot = resp::slot_of(b"{k}");
    let outcome = keyspace.execute(command, slot, args, &context, &mut changes, &mut reply);
    assert_eq!(outcome, Outcome::Done);
    bytes.truncate(60);
    (String::from_utf8_lossy(&bytes).into_owned(), changes.take_work())
}

fn run(keyspace: &mut Keyspace, args: &[&[u8]]) -> String {
    let (reply, work) = run_with(keyspace, COMMAND_WORK_MAX, args);
    // One more value than it may build, at most.
    assert!(work <= 2 * COMMAND_WORK_MAX + BUILT_BYTES_MAX as u64, "{work}");
    reply
}

const REFUSED: &str = "-ERR this would hold up everybody else";

#[test]
fn what_would_take_long_is_refused_and_changes_nothing() {
    let mut keyspace = Keyspace::new(SlotRange::ALL, 1);
    let keyspace = &mut keyspace;
    assert!(run(keyspace, &[b"SETBIT", b"{k}", b"4294967295", b"1"]).starts_with("-ERR string"));
    assert!(run(keyspace, &[b"SETRANGE", b"{k}", b"67108864", b"x"]).starts_with("-ERR string"));
    let bitfield: [&[u8]; 6] = [b"BITFIELD", b"{k}", b"SET", b"u8", b"4294967288", b"1"];
    assert!(run(keyspace, &bitfield).starts_with("-ERR string"));
    assert_eq!(run(keyspace, &[b"EXISTS", b"{k}"]), ":0\r\n");
    // The longest that may be built, and what may be done with it.
    assert_eq!(run(keyspace, &[b"SETBIT", b"{k}a", b"536870911", b"1"]), ":0\r\n");
    assert_eq!(run(keyspace, &[b"BITCOUNT", b"{k}a"]), ":1\r\n");
    assert_eq!(run(keyspace, &[b"COPY", b"{k}a", b"{k}b"]), ":1\r\n");
    assert!(run(keyspace, &[b"APPEND", b"{k}a", b"x"]).starts_with("-ERR string"));
    let bitop: [&[u8]; 5] = [b"BITOP", b"OR", b"{k}c", b"{k}a", b"{k}b"];
    assert!(run(keyspace, &bitop).starts_with(REFUSED));
    assert!(run(keyspace, &[b"MGET", b"{k}a", b"{k}b", b"{k}a"]).starts_with(REFUSED));
    assert!(run(keyspace, &[b"LCS", b"{k}a", b"{k}b", b"LEN"]).starts_with("-ERR Insufficient"));
    assert_eq!(run(keyspace, &[b"DEL", b"{k}a", b"{k}b", b"{k}c"]), ":2\r\n");
    let text = vec![b'x'; 11_500];
    run(keyspace, &[b"MSET", b"{k}a", &text, b"{k}b", &text]);
    assert!(run(keyspace, &[b"LCS", b"{k}a", b"{k}b", b"LEN"]).starts_with(REFUSED));
    run(keyspace, &[b"MSET", b"{k}a", &text[..5000], b"{k}b", &text[..5000]]);
    assert_eq!(run(keyspace, &[b"LCS", b"{k}a", b"{k}b", b"LEN"]), ":5000\r\n");
}

#[test]
fn an_entry_from_before_there_were_bounds_is_applied_as_it_was_then() {
    let mut keyspace = Keyspace::new(SlotRange::ALL, 1);
    let args: [&[u8]; 4] = [b"SETBIT", b"{k}", b"600000000", b"1"];
    assert_eq!(run_with(&mut keyspace, Context::UNBOUNDED, &args).0, ":0\r\n");
    let (length, _) = run_with(&mut keyspace, COMMAND_WORK_MAX, &[b"STRLEN", b"{k}"]);
    assert_eq!(length, ":75000001\r\n");
}

#[test]
fn a_long_class_and_a_long_key_are_looked_at_in_steps() {
    let mut keyspace = Keyspace::new(SlotRange::ALL, 1);
    let long = [b"{k}".to_vec(), vec![b'a'; 20_000]].concat();
    run(&mut keyspace, &[b"SET", &long, b"v"]);
    for number in 0..5000u32 {
        run(&mut keyspace, &[b"SET", format!("{{k}}{number}").as_bytes(), b"v"]);
    }
    let class = [b"*[".to_vec(), vec![b'b'; 60_000], b"]*".to_vec()].concat();
    let stars = [b"*".to_vec(), vec![b'a'; 10_000], b"b".to_vec()].concat();
    for (pattern, found) in [(class, 0), (stars, 0), (b"*a".to_vec(), 1), (b"*7".to_vec(), 500)] {
        let mut walk = KeysWalk::new(&pattern);
        let mut steps = 0;
        loop {
            let mut budget = 1_000_000;
            steps += 1;
            if walk.step(&keyspace, UnixMillis(1), &mut budget) {
                break;
            }
            assert_eq!(budget, 0);
        }
        assert!(steps < 1000, "{steps}");
        let mut bytes = Vec::new();
        walk.write(&mut Reply::new(&mut bytes, Protocol::Resp2));
        assert!(bytes.starts_with(format!("*{found}\r\n").as_bytes()));
    }
}

#[test]
fn a_scan_of_a_large_slot_takes_about_what_it_is_asked_for() {
    let mut keyspace = Keyspace::new(SlotRange::ALL, 1);
    for number in 0..20_000u32 {
        run(&mut keyspace, &[b"SET", format!("{{k}}{number}").as_bytes(), b"v"]);
    }
    let (mut cursor, mut seen, mut calls) = (ScanCursor::at(Slot::new(0).unwrap()), 0, 0);
    loop {
        // A count beyond all measure is a wish.
        let count = if calls % 2 == 0 { u64::MAX } else { 1000 };
        let mut walk = ScanWalk::new(cursor, count, None, false);
        let mut steps = 1;
        while !walk.step(&keyspace, UnixMillis(1), &mut 200_000) {
            steps += 1;
        }
        assert!(steps > 3);
        let mut bytes = Vec::new();
        walk.write(&mut Reply::new(&mut bytes, Protocol::Resp2));
        let keys = bytes.iter().filter(|byte| **byte == b'$').count();
        assert!(keys < 11_000, "{keys}");
        seen += keys;
        calls += 1;
        let Some(next) = walk.next() else { break };
        cursor = next;
    }
    assert_eq!(seen, 20_000);
    assert!(calls < 10, "{calls}");
}

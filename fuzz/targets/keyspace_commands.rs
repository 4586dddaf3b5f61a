//! Arbitrary commands with arbitrary arguments: one well-formed reply each, no panic, the same on
//! two replicas whose tables lie differently in memory; reads outside the log change nothing.
#![no_main]

use keyspace::{Keyspace, Mode, Outcome};
use leasehold_fuzz::{Input, assert_one_reply, execute};
use libfuzzer_sys::fuzz_target;
use resp::{CommandId, Flags};
use types::SlotRange;

/// Arguments that the fuzzer need not find.
const WORDS: [&[u8]; 32] = [
    b"{a}",
    b"{a}1",
    b"{a}2",
    b"",
    b"0",
    b"1",
    b"-1",
    b"7",
    b"100",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"1.5",
    b"-inf",
    b"1e400",
    b"EX",
    b"PX",
    b"EXAT",
    b"PXAT",
    b"KEEPTTL",
    b"PERSIST",
    b"NX",
    b"XX",
    b"GET",
    b"SET",
    b"INCRBY",
    b"OVERFLOW",
    b"SAT",
    b"u63",
    b"i64",
    b"#3",
    b"REPLACE",
    b"ABSTTL",
];

fuzz_target!(|data: &[u8]| {
    let slot = resp::slot_of(b"{a}");
    let range = SlotRange::new(slot, slot).expect("a range of one slot");
    let mut one = Keyspace::new(range, 1);
    let mut other = Keyspace::new(range, 99);
    let mut input = Input(data);
    let mut now = 1_000_000;
    while !input.is_empty() {
        let header = input.byte();
        let command = CommandId::ALL[usize::from(input.byte()) % CommandId::ALL.len()];
        let name = command.command().name.as_bytes();
        let mut args = vec![name];
        args.extend((0..header & 7).map(|_| match input.byte() {
            word @ 0..=191 => WORDS[usize::from(word) % WORDS.len()],
            len @ 192..=255 => input.bytes(usize::from(len) - 192),
        }));
        now += u64::from(header >> 3);
        let read = header & 0x80 != 0 && command.command().flags.contains(Flags::READONLY);
        let mode = if read { Mode::Read } else { Mode::Apply };
        let before = one.digest_slot(slot);
        let result = execute(&mut one, command, &args, mode, now);
        assert_eq!(result, execute(&mut other, command, &args, mode, now), "{command:?} {args:?}");
        match result {
            (Outcome::Done, reply) => assert_one_reply(&reply),
            (Outcome::Expired, reply) => assert!(mode == Mode::Read && reply.is_empty()),
        }
        assert!(mode == Mode::Apply || one.digest_slot(slot) == before);
        assert_eq!(one.digest_slot(slot), other.digest_slot(slot));
    }
    assert_eq!(one.keys(), one.keys_in_slot(slot) as u64);
    assert_eq!((one.keys(), one.next_expiry()), (other.keys(), other.next_expiry()));
});

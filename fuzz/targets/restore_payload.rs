//! Payloads of RESTORE with a valid checksum: refused, or a value that DUMP writes again.
#![no_main]

use keyspace::{Keyspace, Mode};
use leasehold_fuzz::{assert_one_reply, execute};
use libfuzzer_sys::fuzz_target;
use resp::CommandId;
use types::SlotRange;

fuzz_target!(|data: &[u8]| {
    let slot = resp::slot_of(b"{a}");
    let range = SlotRange::new(slot, slot).expect("a range of one slot");
    let mut keyspace = Keyspace::new(range, 1);
    let mut payload = data.to_vec();
    payload.extend_from_slice(&10u16.to_le_bytes());
    let checksum = crc64(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    let mut run = |command, args: &[&[u8]]| {
        let (_, reply) = execute(&mut keyspace, command, args, Mode::Apply, 1);
        assert_one_reply(&reply);
        reply
    };
    if run(CommandId::Restore, &[b"RESTORE", b"{a}", b"0", &payload]) != b"+OK\r\n" {
        return;
    }
    let dumped = run(CommandId::Dump, &[b"DUMP", b"{a}"]);
    let start = dumped.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    let canonical = &dumped[start..dumped.len() - 2];
    assert_eq!(run(CommandId::Restore, &[b"RESTORE", b"{a}1", b"0", canonical]), b"+OK\r\n");
    let value = run(CommandId::Get, &[b"GET", b"{a}"]);
    assert_eq!(value, run(CommandId::Get, &[b"GET", b"{a}1"]));
});

/// The checksum of snapshot files, bit by bit (the polynomial of Jones, reflected).
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc: u64, _| {
            (crc >> 1) ^ (0x95ac_9329_ac4b_c9b5 & (crc & 1).wrapping_neg())
        })
    })
}

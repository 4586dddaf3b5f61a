//! Slot images: taken as a whole and reproduced, or refused with nothing changed.
#![no_main]

use keyspace::{Keyspace, Mode};
use leasehold_fuzz::execute;
use libfuzzer_sys::fuzz_target;
use resp::CommandId;
use types::SlotRange;

fuzz_target!(|data: &[u8]| {
    let slot = resp::slot_of(b"{a}");
    let range = SlotRange::new(slot, slot).expect("a range of one slot");
    let mut keyspace = Keyspace::new(range, 1);
    let set: [&[u8]; 5] = [b"SET", b"{a}old", b"value", b"PX", b"100"];
    let _ = execute(&mut keyspace, CommandId::Set, &set, Mode::Apply, 1);
    let figures = |keyspace: &Keyspace| {
        let sums = (keyspace.keys(), keyspace.expiring_keys(), keyspace.payload_bytes());
        (keyspace.digest_slot(slot), sums, keyspace.next_expiry())
    };
    let before = figures(&keyspace);
    // The fuzzer need not find the number of the slot.
    let mut image = data.to_vec();
    if let Some(number) = image.get_mut(1..3) {
        number.copy_from_slice(&slot.number().to_le_bytes());
    }
    if keyspace.install_slot(slot, &image).is_err() {
        assert_eq!(figures(&keyspace), before);
        return;
    }
    let mut again = Vec::new();
    keyspace.encode_slot(slot, &mut again);
    // In order of the keys, which the image need not be.
    assert_eq!(image.len(), again.len());
    let digest = keyspace.digest_slot(slot);
    keyspace.install_slot(slot, &again).expect("it was just written");
    assert_eq!(keyspace.digest_slot(slot), digest);
    assert_eq!(keyspace.keys(), keyspace.keys_in_slot(slot) as u64);
});

//! Messages of other nodes: what decodes can be encoded and decoded to the same.
#![no_main]

use cluster::codec::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = decode(data) else { return };
    let mut bytes = Vec::new();
    encode(&message, &mut bytes);
    assert_eq!(decode(&bytes).as_ref(), Ok(&message));
});

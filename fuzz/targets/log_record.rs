//! Payloads of the log: describing and recovering agree on what is readable, and never panic.
#![no_main]

use std::time::Duration;

use cluster::Recovery;
use leasehold_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use types::{DirectoryId, Incarnation, SegmentId};

fuzz_target!(|data: &[u8]| {
    let mut recovery = Recovery::default();
    let mut input = Input(data);
    let mut segment = SegmentId(1);
    while !input.is_empty() {
        let header = input.short();
        let payload = input.bytes(usize::from(header & 0x7fff));
        if header & 0x8000 != 0 {
            segment = segment.next();
        }
        let described = cluster::record::describe(payload).is_ok();
        let absorbed = recovery.absorb(segment, payload).is_ok();
        assert_eq!(described, absorbed);
        if !absorbed {
            return;
        }
    }
    let _ = recovery.finish(Incarnation(1), DirectoryId(1), Duration::from_secs(1));
});

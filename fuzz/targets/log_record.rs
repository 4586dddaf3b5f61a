//! Payloads of the log: what can be recovered can be described, and neither ever panics.
//! Recovering also looks inside images, so it may refuse what can be described.
#![no_main]

use std::time::Duration;

use cluster::{Recovery, Start};
use leasehold_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use types::{DirectoryId, Incarnation, Life, SegmentId};

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
        assert!(described || !absorbed);
        if !absorbed {
            return;
        }
    }
    let _ = recovery.finish(Start {
        incarnation: Incarnation(1),
        life: Life(1),
        directory: DirectoryId(1),
        longest_promise: Duration::from_secs(1),
        log_end: data.len() as u64,
    });
});

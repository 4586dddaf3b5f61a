//! Payloads of the log: describing and recovering agree on what is readable, and never panic.
#![no_main]

use std::time::Duration;

use cluster::{Member, Recovery, Settings};
use leasehold_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use types::{DirectoryId, Incarnation, NodeId, SegmentId};

fuzz_target!(|data: &[u8]| {
    let member = |node| Member::new(NodeId(node), "h", 1, 2);
    let settings = Settings::new(NodeId(1), vec![member(1), member(2), member(3)]);
    let mut recovery = Recovery::new(&settings);
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

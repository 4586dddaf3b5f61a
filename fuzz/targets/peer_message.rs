//! Messages of other nodes, and the reports that they carry: what decodes can be encoded and
//! decoded to the same.
#![no_main]

use cluster::{codec, report_codec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = codec::decode(data) {
        let mut bytes = Vec::new();
        codec::encode(&message, &mut bytes);
        // Compared as bytes: numbers that are none, in reports, are not equal to themselves.
        let again = codec::decode(&bytes).expect("it was just encoded");
        let mut same = Vec::new();
        codec::encode(&again, &mut same);
        assert_eq!(bytes, same);
    }
    if let Ok(report) = report_codec::decode(data) {
        let mut bytes = Vec::new();
        report_codec::encode(&report, &mut bytes);
        let again = report_codec::decode(&bytes).expect("it was just encoded");
        let mut same = Vec::new();
        report_codec::encode(&again, &mut same);
        assert_eq!(bytes, same);
        let _ = report.check();
    }
});

//! Requests of clients: pieces of any size give the same requests, or the same error, as the
//! whole; what was parsed can be written and parsed again; looking up keys never panics.
#![no_main]

use leasehold_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use resp::{Parsed, Parser, ProtocolError, RequestLimits};

type Requests = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>, usize);

/// Limits that a small input can reach.
const TIGHT: RequestLimits = RequestLimits {
    arguments: 6,
    argument_bytes: 40,
    inline_bytes: 24,
    request_bytes: 90,
    unauthenticated: false,
};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flags = input.byte();
    let limits = if flags & 1 == 0 { TIGHT } else { RequestLimits::LARGEST };
    let limits = RequestLimits { unauthenticated: flags & 2 != 0, ..limits };
    let mut sizes = Input(input.bytes(usize::from(flags >> 4)));
    let text = input.0;
    let whole = parse(text, &limits, &mut || usize::MAX);
    let pieces = parse(text, &limits, &mut || usize::from(sizes.byte() % 16).max(1));
    assert_eq!(whole, pieces);
    for request in whole.0 {
        if let Ok(command) = resp::resolve(&request) {
            let _ = resp::keys(command, &request);
        }
        let mut written = Vec::new();
        resp::encode_request(&request, &mut written);
        let again = parse(&written, &RequestLimits::LARGEST, &mut || usize::MAX);
        assert_eq!(again, (vec![request], None, written.len()));
    }
});

/// All requests of the text, the error at its end, and how far it was consumed, if the text
/// arrives in pieces of the given sizes.
fn parse(text: &[u8], limits: &RequestLimits, size: &mut dyn FnMut() -> usize) -> Requests {
    let mut parser = Parser::new();
    let (mut requests, mut consumed, mut arrived) = (Vec::new(), 0, 0);
    loop {
        arrived = text.len().min(usize::saturating_add(arrived, size()));
        loop {
            let buffer = &text[consumed..arrived];
            match parser.next(buffer, limits) {
                Err(error) => return (requests, Some(error), consumed),
                Ok(Parsed::Incomplete { needed }) => {
                    assert!(needed > 0);
                    break;
                }
                Ok(Parsed::Empty { consumed: bytes }) => consumed += bytes,
                Ok(Parsed::Request { consumed: bytes }) => {
                    let arguments = parser.arguments(buffer);
                    requests.push(arguments.iter().map(<[u8]>::to_vec).collect());
                    consumed += bytes;
                }
            }
            assert!(consumed <= arrived);
        }
        if arrived == text.len() {
            return (requests, None, consumed);
        }
    }
}

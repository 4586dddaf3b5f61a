//! Replies as the client's side reads them: pieces of any size give the same values, or the same
//! error, as the whole.
#![no_main]

use leasehold_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use resp::{Decoder, ReplyLimits};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flags = input.byte();
    let tight = ReplyLimits { bulk_bytes: 30, line_bytes: 20, values: 12, depth: 3 };
    let limits = if flags & 1 == 0 { tight } else { ReplyLimits::default() };
    let mut sizes = Input(input.bytes(usize::from(flags >> 4)));
    let text = input.0;
    let whole = decode(text, limits, &mut || usize::MAX);
    let pieces = decode(text, limits, &mut || usize::from(sizes.byte() % 16).max(1));
    assert_eq!(whole, pieces);
});

/// All values of the text and the error at its end, in words: a number may be NaN.
fn decode(text: &[u8], limits: ReplyLimits, size: &mut dyn FnMut() -> usize) -> Vec<String> {
    let mut decoder = Decoder::new(limits);
    let (mut values, mut consumed, mut arrived) = (Vec::new(), 0, 0);
    loop {
        arrived = text.len().min(usize::saturating_add(arrived, size()));
        loop {
            match decoder.next(&text[consumed..arrived]) {
                Err(error) => {
                    values.push(format!("{error:?}"));
                    return values;
                }
                Ok(decoded) => {
                    consumed += decoded.consumed;
                    assert!(consumed <= arrived);
                    match decoded.value {
                        Some(value) => values.push(format!("{value:?}")),
                        None => break,
                    }
                }
            }
        }
        if arrived == text.len() {
            return values;
        }
    }
}

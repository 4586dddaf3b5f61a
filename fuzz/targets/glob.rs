//! Glob patterns against Redis' own algorithm, which tries every way to divide the text.
#![no_main]

use leasehold_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use resp::glob::{Case, matches};

/// Beyond this the oracle takes exponential time.
const STARS_MAX: usize = 5;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let case = if input.byte() & 1 == 0 { Case::Heeded } else { Case::Ignored };
    let pattern = input.counted();
    let text = input.0;
    let found = matches(pattern, text, case);
    let stars = pattern.iter().filter(|byte| **byte == b'*').count();
    if stars <= STARS_MAX && text.len() <= 40 {
        assert_eq!(found, redis(pattern, text, case == Case::Ignored));
    }
});

/// Redis 7.0's rules, one element of the pattern after the other.
fn redis(mut pattern: &[u8], mut text: &[u8], ignore_case: bool) -> bool {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    while !pattern.is_empty() && !text.is_empty() {
        match pattern[0] {
            b'*' => {
                while pattern.get(1) == Some(&b'*') {
                    pattern = &pattern[1..];
                }
                if pattern.len() == 1 {
                    return true;
                }
                return (0..text.len())
                    .any(|skip| redis(&pattern[1..], &text[skip..], ignore_case));
            }
            b'?' => pattern = &pattern[1..],
            b'[' => match class(&pattern[1..], text[0], ignore_case) {
                Some(rest) => pattern = rest,
                None => return false,
            },
            first => {
                let escaped = first == b'\\' && pattern.len() >= 2;
                pattern = &pattern[usize::from(escaped)..];
                if fold(pattern[0]) != fold(text[0]) {
                    return false;
                }
                pattern = &pattern[1..];
            }
        }
        text = &text[1..];
        if text.is_empty() {
            while pattern.first() == Some(&b'*') {
                pattern = &pattern[1..];
            }
        }
    }
    pattern.is_empty() && text.is_empty()
}

/// What follows the class, if it has the byte.
fn class(mut pattern: &[u8], byte: u8, ignore_case: bool) -> Option<&[u8]> {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    let negated = pattern.first() == Some(&b'^');
    pattern = &pattern[usize::from(negated)..];
    let mut found = false;
    loop {
        if pattern.first() == Some(&b'\\') && pattern.len() >= 2 {
            pattern = &pattern[1..];
            found |= pattern[0] == byte;
        } else if pattern.first() == Some(&b']') {
            pattern = &pattern[1..];
            break;
        } else if pattern.is_empty() {
            break;
        } else if pattern.len() >= 3 && pattern[1] == b'-' {
            let (from, to) = (fold(pattern[0]), fold(pattern[2]));
            pattern = &pattern[2..];
            found |= (from.min(to)..=from.max(to)).contains(&fold(byte));
        } else {
            found |= fold(pattern[0]) == fold(byte);
        }
        pattern = &pattern[1..];
    }
    (found != negated).then_some(pattern)
}

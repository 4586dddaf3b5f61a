//! Numbers as text, by Redis' rules: what a client may send is exactly what a server would print.
//!
//! No plus sign, no leading zero, no space, no overflow. So a number has one spelling, and a
//! string that holds a number can be stored as one.

/// Longest decimal spelling of a 64-bit integer, in bytes: `-9223372036854775808`.
pub const INTEGER_BYTES_MAX: usize = 20;

/// The number that this text spells, or `None` if it isn't the one spelling of an `i64`.
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', magnitude @ ..] => {
            let magnitude = parse_u64(magnitude).filter(|magnitude| *magnitude != 0)?;
            0i64.checked_sub_unsigned(magnitude)
        }
        _ => i64::try_from(parse_u64(text)?).ok(),
    }
}

/// The number that this text spells, or `None` if it isn't the one spelling of a `u64`.
#[must_use]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => return Some(0),
        [] | [b'0', ..] => return None,
        _ if text.len() > INTEGER_BYTES_MAX => return None,
        _ => {}
    }
    let mut value = 0u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// A 64-bit integer's decimal spelling, without allocation.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; INTEGER_BYTES_MAX],
    start: usize,
}

impl Decimal {
    /// Spells the number.
    #[must_use]
    pub fn new(value: i64) -> Self {
        let mut spelling = Self::unsigned(value.unsigned_abs());
        if value < 0 {
            // The magnitude of an i64 has 19 digits at most, so one place is left.
            spelling.start -= 1;
            spelling.digits[spelling.start] = b'-';
        }
        spelling
    }

    /// Spells the number.
    #[must_use]
    pub fn unsigned(value: u64) -> Self {
        let mut digits = [0; INTEGER_BYTES_MAX];
        let mut start = digits.len();
        let mut rest = value;
        loop {
            start -= 1;
            // A remainder of ten fits in a byte.
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return Self { digits, start };
            }
        }
    }

    /// The spelling.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn only_the_one_spelling_is_accepted() {
        for wrong in ["", "-", "+1", " 1", "1 ", "01", "-01", "-0", "00", "1.0", "0x1", "--1"] {
            assert_eq!(parse_i64(wrong.as_bytes()), None, "{wrong:?}");
        }
        for wrong in ["9223372036854775808", "-9223372036854775809", "100000000000000000000"] {
            assert_eq!(parse_i64(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn spelling_and_parsing_are_inverse() {
        let mut value = 1i64;
        for step in 0..2000i64 {
            for sample in [value, value.wrapping_neg(), step, i64::MIN + step, i64::MAX - step] {
                let spelling = Decimal::new(sample);
                assert_eq!(spelling.as_bytes(), sample.to_string().as_bytes());
                assert_eq!(parse_i64(spelling.as_bytes()), Some(sample));
                let unsigned = sample.cast_unsigned();
                assert_eq!(parse_u64(Decimal::unsigned(unsigned).as_bytes()), Some(unsigned));
            }
            value = value.wrapping_mul(6_364_136_223_846_793_005) >> (step % 63);
            value |= 1;
        }
    }
}

//! The floating point of INCRBYFLOAT: the 80-bit extended format of the x87, in integers.
//!
//! Redis adds with the C compiler's `long double` and prints with `%.17Lf`, so that `3 + 1.1` is
//! `4.1`. A replica must get the same bytes on every machine, and 64-bit floats give others
//! (`1.1 + 2.2`). So the format is computed here exactly: parsing, addition and printing round
//! once, to nearest and ties to even, as the C library and the processor do.
//!
//! Not accepted, though C's `strtold` is: hexadecimal notation.

use crate::natural::Natural;
use alloc::format;
use alloc::string::String;

/// Bits of a mantissa.
const MANTISSA_BITS: i32 = 64;
/// The exponent of the smallest numbers: the mantissa is an integer that counts multiples of 2 to
/// this power.
const EXPONENT_MIN: i32 = -16445;
/// The exponent of the largest numbers.
const EXPONENT_MAX: i32 = 16320;
/// Longest text that is read as a number. Redis' own figure.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
/// Digits after the point when printing.
const FRACTION_DIGITS: u32 = 17;
/// Decimal exponents outside this are out of range whatever the digits are.
const DECIMAL_EXPONENT_MAX: i64 = 4940;
const DECIMAL_EXPONENT_MIN: i64 = -4970;

/// A number that may be infinite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extended {
    Finite(Finite),
    Infinite,
}

/// `mantissa * 2^exponent`. The mantissa is zero, or it has its highest bit set, or the exponent
/// is the smallest one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Finite {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

impl Extended {
    /// Reads a decimal number, as `strtold` does but for spaces and hexadecimal notation. `None`
    /// if it is none, or so large or small that it would become infinite or zero.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite);
        }
        let decimal = Decimal::parse(rest)?;
        let (mantissa, exponent) = decimal.round()?;
        Some(Self::Finite(Finite { negative, mantissa, exponent }))
    }

    /// The sum, or `None` if it is infinite or not a number.
    pub(crate) fn add(&self, other: &Self) -> Option<Finite> {
        match (self, other) {
            (Self::Finite(one), Self::Finite(other)) => one.add(*other),
            (Self::Infinite, _) | (_, Self::Infinite) => None,
        }
    }
}

impl Finite {
    fn add(self, other: Self) -> Option<Self> {
        if self.mantissa == 0 || other.mantissa == 0 {
            return Some(if self.mantissa == 0 { other } else { self });
        }
        let (high, low) =
            if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        // With 62 more bits than the mantissa, whatever lies below can only break a tie.
        let shift = (high.exponent - low.exponent).min(62);
        let exponent = high.exponent - shift;
        let below = exponent - low.exponent;
        let low_mantissa = if below >= MANTISSA_BITS { 0 } else { low.mantissa >> below };
        let exact = below < MANTISSA_BITS && low_mantissa << below == low.mantissa;
        let (mut larger, mut smaller) =
            (u128::from(high.mantissa) << shift, u128::from(low_mantissa));
        let mut negative = high.negative;
        let sum = if high.negative == low.negative {
            larger + smaller
        } else {
            if larger < smaller {
                (larger, smaller) = (smaller, larger);
                negative = low.negative;
            }
            // What was cut off is subtracted too: one less, and something above it.
            larger - smaller - u128::from(!exact)
        };
        let (mantissa, exponent) = round(sum, !exact, exponent)?;
        Some(Self { negative, mantissa, exponent })
    }

    /// The number with at most 17 digits after the point, without an exponent and without zeros
    /// at the end.
    pub(crate) fn to_text(self) -> String {
        let digits = if self.exponent >= 0 {
            Natural::from_u64(self.mantissa).shift_left(self.exponent as usize).to_decimal()
        } else {
            self.fraction_to_text()
        };
        if self.negative && digits != "0" { format!("-{digits}") } else { digits }
    }

    fn fraction_to_text(self) -> String {
        let one = 10u128.pow(FRACTION_DIGITS);
        // Below 2^(64 + 57).
        let scaled = u128::from(self.mantissa) * one;
        let shift = self.exponent.unsigned_abs();
        let rounded = if shift > 122 { 0 } else { shift_right_to_even(scaled, shift, false) };
        let (whole, fraction) = (rounded / one, rounded % one);
        if fraction == 0 {
            return format!("{whole}");
        }
        let text = format!("{whole}.{fraction:017}");
        String::from(text.trim_end_matches('0'))
    }
}

/// Shifts right and rounds to the nearest integer, ties to even. `more` says that the value lies
/// a little above `value`.
fn shift_right_to_even(value: u128, shift: u32, more: bool) -> u128 {
    if shift == 0 {
        return value;
    }
    let kept = value >> shift;
    let half = 1u128 << (shift - 1);
    let rest = value & (half | (half - 1));
    let up = rest > half || (rest == half && (more || kept & 1 == 1));
    kept + u128::from(up)
}

/// The mantissa and exponent nearest to `value * 2^exponent`, where `value` is exact or, if `more`
/// is set, has at least 66 bits and lies below the true value by less than 1. `None` if it is out
/// of range.
fn round(value: u128, more: bool, exponent: i32) -> Option<(u64, i32)> {
    if value == 0 {
        return Some((0, 0));
    }
    let bits = 128 - value.leading_zeros() as i32;
    let drop = (bits - MANTISSA_BITS).max(EXPONENT_MIN - exponent);
    let mut exponent = exponent + drop;
    let mut mantissa = match u32::try_from(drop) {
        Ok(drop) if drop >= 127 => 0,
        Ok(drop) => shift_right_to_even(value, drop, more),
        Err(_) => value << drop.unsigned_abs(),
    };
    if mantissa == 1 << MANTISSA_BITS {
        mantissa >>= 1;
        exponent += 1;
    }
    let mantissa = u64::try_from(mantissa).ok()?;
    (exponent <= EXPONENT_MAX).then_some((mantissa, exponent))
}

/// A decimal number: digits, and the power of ten of the last one.
struct Decimal {
    digits: Natural,
    exponent: i64,
    /// How many digits there are, without zeros at the front.
    len: i64,
}

impl Decimal {
    fn parse(text: &[u8]) -> Option<Self> {
        let digits_of = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (whole, rest) = text.split_at(digits_of(text));
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => rest.split_at(digits_of(rest)),
            rest => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => Self::parse_exponent(rest)?,
            _ => return None,
        };
        let all = whole.iter().chain(fraction).map(|byte| byte - b'0');
        let len = all.clone().skip_while(|&digit| digit == 0).count();
        Some(Self {
            digits: Natural::from_digits(all),
            exponent: exponent - fraction.len() as i64,
            len: len as i64,
        })
    }

    /// The exponent, cut to a range that no number can come back from.
    fn parse_exponent(text: &[u8]) -> Option<i64> {
        let (negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let add = |sum: i64, &digit: &u8| (sum * 10 + i64::from(digit - b'0')).min(1_000_000);
        let value = digits.iter().fold(0, add);
        Some(if negative { -value } else { value })
    }

    /// The nearest mantissa and exponent. `None` if the number would become infinite, or zero
    /// without being it.
    fn round(self) -> Option<(u64, i32)> {
        if self.digits.is_zero() {
            return Some((0, 0));
        }
        let magnitude = self.len + self.exponent;
        if !(DECIMAL_EXPONENT_MIN..=DECIMAL_EXPONENT_MAX).contains(&magnitude) {
            return None;
        }
        let power = u32::try_from(self.exponent.unsigned_abs()).ok()?;
        let one = Natural::from_u64(1);
        let (numerator, divisor) = if self.exponent >= 0 {
            (self.digits.times_power_of_ten(power), one)
        } else {
            (self.digits, one.times_power_of_ten(power))
        };
        // Shifted such that the quotient has 66 or 67 bits: enough to round it once.
        let shift = 66 - (numerator.bits() as i64 - divisor.bits() as i64);
        let by = usize::try_from(shift.unsigned_abs()).ok()?;
        let (numerator, divisor) = if shift >= 0 {
            (numerator.shift_left(by), divisor)
        } else {
            (numerator, divisor.shift_left(by))
        };
        let (quotient, more) = numerator.divide(&divisor, 67);
        let rounded = round(quotient, more, i32::try_from(-shift).ok()?)?;
        (rounded.0 != 0).then_some(rounded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(one: &str, other: &str) -> Option<String> {
        let (one, other) = (Extended::parse(one.as_bytes())?, Extended::parse(other.as_bytes())?);
        one.add(&other).map(Finite::to_text)
    }

    #[test]
    fn sums_are_those_of_redis() {
        let cases = [
            ("3", "1.1", "4.1"),
            ("1", "-1.1", "-0.1"),
            ("1.1", "2.2", "3.3"),
            ("17179869184", "1.5", "17179869185.5"),
            ("5.0e3", "2.0e2", "5200"),
            ("10.50", "0.1", "10.6"),
            ("0", "-0.0", "0"),
            ("1.5", "-1.5", "0"),
            ("0.1", "0.2", "0.3"),
            ("1e20", "1", "100000000000000000000"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "0.5", "18446744073709551616"),
            ("1e-17", "0", "0.00000000000000001"),
            ("4e-18", "0", "0"),
            ("-4e-18", "0", "0"),
            (".5", "5.", "5.5"),
        ];
        for (one, other, expected) in cases {
            assert_eq!(sum(one, other).as_deref(), Some(expected), "{one} + {other}");
        }
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        let bad = ["", " 1", "1 ", "a", "1e", "1e+", ".", "-", "nan", "1e5000", "1e-5000", "0x10"];
        for text in bad.into_iter().chain(["1.2.3", "--1", "1e99999999999999999999"]) {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("inf", "-inf"), None);
        let largest = "1.18973149535723176502e4932";
        assert!(sum(largest, "0").is_some());
        assert_eq!(sum(largest, largest), None);
    }

    #[test]
    fn the_smallest_number_is_not_zero_and_half_of_it_is_out_of_range() {
        let smallest = Extended::parse(b"3.6451995318824746025e-4951");
        let finite = Finite { negative: false, mantissa: 1, exponent: EXPONENT_MIN };
        assert_eq!(smallest, Some(Extended::Finite(finite)));
        assert_eq!(Extended::parse(b"1.8e-4951"), None);
    }

    #[test]
    fn doubles_are_a_subset() {
        // The sum of two integers below 2^52, scaled by a power of two, is exact in both formats.
        let mut state = 1u64;
        for _ in 0..2000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let one = (state >> 12) as f64 / 1024.0;
            let other = -((state << 20 >> 14) as f64 / 256.0);
            let text = sum(&format!("{one:.10}"), &format!("{other:.8}"));
            let exact = one + other;
            let expected = format!("{exact:.17}");
            let expected = expected.trim_end_matches('0').trim_end_matches('.');
            assert_eq!(text.as_deref(), Some(expected), "{one} + {other}");
        }
    }
}

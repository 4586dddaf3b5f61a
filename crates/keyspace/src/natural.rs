//! Natural numbers of any size, with the few operations that exact conversion between decimal and
//! binary floating point needs.
//!
//! Invariant: the limbs are in ascending order of weight and the last one is not zero.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::Write;

const LIMB_BITS: usize = 32;

/// A natural number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Natural(Vec<u32>);

impl Natural {
    pub(crate) fn from_u64(value: u64) -> Self {
        let mut number = Self(alloc::vec![value as u32, (value >> LIMB_BITS) as u32]);
        number.trim();
        number
    }

    /// The number that decimal digits, given as their values, stand for.
    pub(crate) fn from_digits(digits: impl Iterator<Item = u8>) -> Self {
        let mut number = Self(Vec::new());
        let (mut chunk, mut scale) = (0u32, 1u32);
        for digit in digits {
            chunk = chunk * 10 + u32::from(digit);
            scale *= 10;
            if scale == 1_000_000_000 {
                number.multiply_add(scale, chunk);
                (chunk, scale) = (0, 1);
            }
        }
        number.multiply_add(scale, chunk);
        number
    }

    pub(crate) fn times_power_of_ten(mut self, mut exponent: u32) -> Self {
        while exponent > 0 {
            let step = exponent.min(9);
            self.multiply_add(10u32.pow(step), 0);
            exponent -= step;
        }
        self
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The position of the highest bit, counted from 1; 0 for zero.
    pub(crate) fn bits(&self) -> usize {
        let high = |limb: &u32| limb.leading_zeros() as usize;
        self.0.len() * LIMB_BITS - self.0.last().map_or(0, high)
    }

    pub(crate) fn shift_left(&self, bits: usize) -> Self {
        let mut limbs = alloc::vec![0; bits / LIMB_BITS];
        let shift = bits % LIMB_BITS;
        let mut carry = 0u64;
        for &limb in &self.0 {
            carry |= u64::from(limb) << shift;
            limbs.push(carry as u32);
            carry >>= LIMB_BITS;
        }
        limbs.push(carry as u32);
        let mut number = Self(limbs);
        number.trim();
        number
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.0.iter_mut().rev() {
            let low = *limb & 1;
            *limb = *limb >> 1 | carry << (LIMB_BITS - 1);
            carry = low;
        }
        self.trim();
    }

    /// The quotient of a division, which must be below 2^`bits` with `bits` at most 127, and
    /// whether a remainder is left.
    pub(crate) fn divide(mut self, divisor: &Self, bits: usize) -> (u128, bool) {
        let mut shifted = divisor.shift_left(bits);
        let mut quotient = 0;
        for _ in 0..=bits {
            quotient <<= 1;
            if self.compare(&shifted) != Ordering::Less {
                self.subtract(&shifted);
                quotient |= 1;
            }
            shifted.halve();
        }
        (quotient, !self.is_zero())
    }

    pub(crate) fn to_decimal(&self) -> String {
        let mut rest = self.clone();
        let mut chunks = Vec::new();
        while !rest.is_zero() {
            chunks.push(rest.divide_small(1_000_000_000));
        }
        let mut text = String::new();
        for (position, chunk) in chunks.iter().rev().enumerate() {
            let written = match position {
                0 => write!(text, "{chunk}"),
                _ => write!(text, "{chunk:09}"),
            };
            written.expect("writing to a string does not fail");
        }
        if text.is_empty() { String::from("0") } else { text }
    }

    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= LIMB_BITS;
        }
        self.0.push(carry as u32);
        self.trim();
    }

    /// Divides in place and returns the remainder.
    fn divide_small(&mut self, divisor: u32) -> u32 {
        let mut rest = 0u64;
        for limb in self.0.iter_mut().rev() {
            rest = rest << LIMB_BITS | u64::from(*limb);
            *limb = (rest / u64::from(divisor)) as u32;
            rest %= u64::from(divisor);
        }
        self.trim();
        rest as u32
    }

    fn compare(&self, other: &Self) -> Ordering {
        let lengths = self.0.len().cmp(&other.0.len());
        lengths.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let (less, first) = limb.overflowing_sub(other.0.get(index).copied().unwrap_or(0));
            let (less, second) = less.overflowing_sub(u32::from(borrow));
            *limb = less;
            borrow = first | second;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

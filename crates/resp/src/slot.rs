//! From a key to its hash slot.
//!
//! The slot is the CRC-16/XMODEM of the key, modulo the number of slots. If the key has a part in
//! braces that isn't empty, only that part counts, so that related keys can share a slot.

use types::Slot;

/// How many bytes one step of the checksum takes.
const SLICE: usize = 8;

/// `TABLES[n][byte]`: what a byte adds to the checksum if `n` bytes follow it.
static TABLES: [[u16; 256]; SLICE] = {
    const POLYNOMIAL: u16 = 0x1021;
    let mut tables = [[0u16; 256]; SLICE];
    let mut byte = 0;
    while byte < 256 {
        let mut checksum = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = checksum & 0x8000 != 0;
            checksum <<= 1;
            if carry {
                checksum ^= POLYNOMIAL;
            }
            bit += 1;
        }
        tables[0][byte] = checksum;
        byte += 1;
    }
    let mut follow = 1;
    while follow < SLICE {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[follow - 1][byte];
            tables[follow][byte] = (before << 8) ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        follow += 1;
    }
    tables
};

/// The CRC-16/XMODEM of the bytes.
///
/// Eight lookups per step do not depend on each other, which is faster than eight steps.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u16;
    let (slices, rest) = bytes.as_chunks::<SLICE>();
    for slice in slices {
        let [high, low] = sum.to_be_bytes();
        sum = TABLES[7][usize::from(slice[0] ^ high)]
            ^ TABLES[6][usize::from(slice[1] ^ low)]
            ^ TABLES[5][usize::from(slice[2])]
            ^ TABLES[4][usize::from(slice[3])]
            ^ TABLES[3][usize::from(slice[4])]
            ^ TABLES[2][usize::from(slice[5])]
            ^ TABLES[1][usize::from(slice[6])]
            ^ TABLES[0][usize::from(slice[7])];
    }
    for byte in rest {
        let [high, low] = sum.to_be_bytes();
        sum = u16::from_be_bytes([low, 0]) ^ TABLES[0][usize::from(byte ^ high)];
    }
    sum
}

/// The part of a key that decides its slot: what is between the first opening brace and the next
/// closing one, or the whole key if there is no such part or it is empty.
#[must_use]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let inside = &key[open + 1..];
        let close = inside.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &inside[..close])
    };
    tag().unwrap_or(key)
}

/// The key's slot.
#[must_use]
pub fn slot_of(key: &[u8]) -> Slot {
    Slot::of_checksum(checksum(hash_tag(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// The definition, bit by bit.
    fn slow_checksum(bytes: &[u8]) -> u16 {
        let mut sum = 0u16;
        for byte in bytes {
            sum ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                sum = if sum & 0x8000 == 0 { sum << 1 } else { (sum << 1) ^ 0x1021 };
            }
        }
        sum
    }

    #[test]
    fn known_checksums_and_slots() {
        assert_eq!(checksum(b"123456789"), 0x31c3);
        for (key, slot) in [("foo", 12182), ("bar", 5061), ("", 0), ("{}foo", 9500)] {
            assert_eq!(slot_of(key.as_bytes()).number(), slot, "{key}");
        }
    }

    #[test]
    fn every_length_agrees_with_the_definition() {
        let bytes: Vec<u8> = (0..100u8).map(|byte| byte.wrapping_mul(167) ^ 0x5a).collect();
        for start in 0..8 {
            for end in start..bytes.len() {
                assert_eq!(checksum(&bytes[start..end]), slow_checksum(&bytes[start..end]));
            }
        }
    }

    #[test]
    fn only_the_first_tag_that_is_not_empty_counts() {
        let same = |left: &str, right: &str| {
            assert_eq!(slot_of(left.as_bytes()), slot_of(right.as_bytes()), "{left} {right}");
        };
        same("{user1000}.following", "{user1000}.followers");
        same("{user1000}.following", "user1000");
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hash_tag(b"foo}{bar"), b"foo}{bar");
    }
}

//! Hashing a state quickly: its many small fields are gathered into one run of bytes first.
//!
//! The checker spends most of its time on hashes, and a hash function that is fed one byte at a
//! time is slow.

use std::hash::{Hash, Hasher};

/// More than a state has fields.
const ROOM: usize = 768;

/// A hasher that only gathers what it is fed.
struct Bytes {
    gathered: [u8; ROOM],
    length: usize,
}

impl Bytes {
    fn push(&mut self, byte: u8) {
        self.gathered[self.length] = byte;
        self.length += 1;
    }
}

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.gathered[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn write_u8(&mut self, byte: u8) {
        self.push(byte);
    }

    /// The length of an array.
    fn write_usize(&mut self, number: usize) {
        self.push(number as u8);
    }

    /// The number of a variant.
    fn write_isize(&mut self, number: isize) {
        self.push(number as u8);
    }

    fn finish(&self) -> u64 {
        unreachable!("what is gathered is hashed by another")
    }
}

/// Hashes all fields of `value` as one run of bytes.
pub(crate) fn hash_at_once(value: &impl Hash, state: &mut impl Hasher) {
    let mut bytes = Bytes { gathered: [0; ROOM], length: 0 };
    value.hash(&mut bytes);
    state.write(&bytes.gathered[..bytes.length]);
}

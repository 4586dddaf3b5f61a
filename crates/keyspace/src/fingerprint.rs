//! A hash without a seed, the same in every process and in every version.
//!
//! For what must agree between replicas: the order of SCAN and the digest of a slot. Not for hash
//! tables: whoever knows it can make keys collide. The function is part of the meaning of SCAN's
//! cursors, so it is never changed.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(state: u64, word: u64) -> u64 {
    let product = (state ^ word).wrapping_mul(MULTIPLIER);
    product ^ product >> 32
}

/// The fingerprint of some bytes, beginning with the fingerprint of what comes before.
pub(crate) fn fingerprint(before: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let start = mix(before, bytes.len() as u64);
    let state = words.iter().fold(start, |state, word| mix(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(state, u64::from_le_bytes(last)), MULTIPLIER)
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn the_function_is_never_changed() {
        assert_eq!(fingerprint(0, b""), 0xdf44_2d22_110c_749b);
        assert_eq!(fingerprint(0, b"key"), 0x6053_44a8_3f08_b71c);
        assert_eq!(fingerprint(7, b"a longer text than eight bytes"), 0x9a42_a4c8_7076_a07b);
    }
}

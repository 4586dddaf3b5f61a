//! Decompression of LZF, which Redis uses for longer strings in DUMP's format.

use alloc::vec::Vec;

/// A back reference of three bytes stands for so many bytes at most.
pub(crate) const EXPANSION_MAX: usize = 264;

/// The original bytes, or `None` if they are not exactly `len`, or not LZF.
pub(crate) fn decompress(mut input: &[u8], len: usize) -> Option<Vec<u8>> {
    // A declared length that the input can't fill must not be allocated.
    if len > input.len().saturating_mul(EXPANSION_MAX) {
        return None;
    }
    let mut output = Vec::new();
    while let [control, rest @ ..] = input {
        let control = usize::from(*control);
        input = if control < 32 {
            let (literal, rest) = rest.split_at_checked(control + 1)?;
            output.extend_from_slice(literal);
            rest
        } else {
            let (length, rest) = match (control >> 5, rest) {
                (7, [more, rest @ ..]) => (7 + usize::from(*more), rest),
                (7, []) => return None,
                (length, rest) => (length, rest),
            };
            let (low, rest) = rest.split_first()?;
            let distance = ((control & 31) << 8 | usize::from(*low)) + 1;
            let start = output.len().checked_sub(distance)?;
            // The reference may overlap what it produces.
            for index in start..start + length + 2 {
                output.push(output[index]);
            }
            rest
        };
        if output.len() > len {
            return None;
        }
    }
    (output.len() == len).then_some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_literals() {
        // "aaaaaaaaaaaaaaaaaaaaaaaaa" as Redis 7.0 compresses it.
        let packed = [1, b'a', b'a', 0xe0, 13, 0, 1, b'a', b'a'];
        assert_eq!(decompress(&packed, 26), Some(alloc::vec![b'a'; 26]));
        assert_eq!(decompress(&packed, 25), None);
        assert_eq!(decompress(&[0x20, 0], 3), None);
        assert_eq!(decompress(&[5, b'a'], 6), None);
        assert_eq!(decompress(&[0, b'a'], usize::MAX), None);
    }
}

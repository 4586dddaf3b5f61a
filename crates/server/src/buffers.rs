//! Room for what arrives piece by piece.

/// From so many bytes on, a buffer grows in larger steps.
const LARGE_BYTES: usize = 1 << 20;
/// By how many times its content it grows then. What is not written to takes no memory.
const GROWTH: usize = 3;
/// The same, of a buffer with so many bytes: to copy those takes longer than what is expected is
/// worth. Whoever has sent that much may announce much.
const LARGER_BYTES: usize = 4 << 20;
const LARGER_GROWTH: usize = 127;

/// Makes room for `count` more bytes. Where the content is large, room for several times as much,
/// but for no more than is expected: a buffer that is only doubled is copied as often as it is
/// filled, and each copy takes memory that must be cleared first.
pub(crate) fn make_room(buffer: &mut Vec<u8>, count: usize, expected: usize) {
    if buffer.capacity() - buffer.len() >= count || buffer.len() < LARGE_BYTES {
        return;
    }
    let growth = if buffer.len() < LARGER_BYTES { GROWTH } else { LARGER_GROWTH };
    let more = (buffer.len() * growth).min(expected.saturating_sub(buffer.len()));
    buffer.reserve_exact(more.max(count));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_grow_in_few_steps_and_no_further_than_expected() {
        let grow = |expected: usize| {
            let mut buffer: Vec<u8> = Vec::new();
            let mut steps = 0;
            while buffer.len() < 64 << 20 {
                let before = buffer.capacity();
                make_room(&mut buffer, 64 << 10, expected);
                buffer.resize(buffer.len() + (64 << 10), 1);
                steps += usize::from(before >= LARGE_BYTES && buffer.capacity() != before);
            }
            (steps, buffer.capacity())
        };
        assert_eq!(grow(64 << 20), (2, 64 << 20));
        assert_eq!(grow(usize::MAX), (2, 512 << 20));
    }
}

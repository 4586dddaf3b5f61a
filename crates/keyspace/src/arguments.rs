//! Reading arguments as Redis reads them.

use crate::execution::Stop;
use core::ops::Range;
use types::limits::STRING_BYTES_MAX;

/// An integer, or the usual error.
pub(crate) fn integer(argument: &[u8]) -> Result<i64, Stop> {
    resp::number::parse_i64(argument).ok_or(Stop::NOT_AN_INTEGER)
}

/// Whether an argument is this word, in upper or lower case.
pub(crate) fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// The sum of two lengths, if a string may be so long.
pub(crate) fn string_len(offset: u64, len: usize) -> Result<usize, Stop> {
    let total = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(len));
    total.filter(|&total| total <= STRING_BYTES_MAX).ok_or(Stop::TOO_LONG)
}

/// Cuts an inclusive range of indexes, which count from the end if they are negative, to a value
/// of `len` units. Empty if nothing is left, or if it runs backwards before the start.
pub(crate) fn index_range(start: i64, end: i64, len: usize) -> Range<usize> {
    if start < 0 && end < 0 && start > end { 0..0 } else { clamped_range(start, end, len) }
}

/// As [`index_range`], but a range that runs backwards before the start is moved to the start, as
/// BITPOS has it.
pub(crate) fn clamped_range(start: i64, end: i64, len: usize) -> Range<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from_end = |index: i64| if index < 0 { (len + index).max(0) } else { index };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if start > end {
        return 0..0;
    }
    // Both lie between 0 and the length.
    start as usize..end as usize + 1
}

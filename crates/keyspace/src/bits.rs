//! Commands on the bits of strings. Bit 0 is the highest bit of the first byte.

use crate::arguments::{clamped_range, index_range, integer, is};
use crate::execution::{Data, Stop};
use crate::work;
use core::ops::Range;
use resp::Reply;
use types::limits::STRING_BYTES_MAX;

type Done = Result<(), Stop>;

pub(crate) const BAD_OFFSET: Stop = Stop::error("ERR bit offset is not an integer or out of range");
const BAD_BIT: Stop = Stop::error("ERR bit is not an integer or out of range");

/// The offset of a bit that a string may have.
pub(crate) fn bit_offset(argument: &[u8]) -> Result<u64, Stop> {
    let offset = resp::number::parse_i64(argument).and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| offset >> 3 < STRING_BYTES_MAX as u64).ok_or(BAD_OFFSET)
}

fn mask_of(offset: u64) -> u8 {
    0x80 >> (offset & 7)
}

pub(crate) fn setbit(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, offset, bit] = args else { return Err(data.wrong_number()) };
    let offset = bit_offset(offset)?;
    let on = match resp::number::parse_i64(bit) {
        Some(0) => false,
        Some(1) => true,
        Some(_) | None => return Err(BAD_BIT),
    };
    let byte = (offset >> 3) as usize;
    let old = data.edit(key, byte + 1, |value| {
        let old = value[byte] & mask_of(offset) != 0;
        value[byte] = value[byte] & !mask_of(offset) | if on { mask_of(offset) } else { 0 };
        (old, old != on)
    })?;
    reply.integer(i64::from(old));
    Ok(())
}

pub(crate) fn getbit(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, offset] = args else { return Err(data.wrong_number()) };
    let offset = bit_offset(offset)?;
    let byte = data.value(key)?.and_then(|value| value.get((offset >> 3) as usize));
    reply.integer(i64::from(byte.is_some_and(|byte| byte & mask_of(offset) != 0)));
    Ok(())
}

/// Whether a range counts bits rather than bytes.
fn counts_bits(unit: &[u8]) -> Result<bool, Stop> {
    if is(unit, "BIT") {
        Ok(true)
    } else if is(unit, "BYTE") {
        Ok(false)
    } else {
        Err(Stop::SYNTAX)
    }
}

pub(crate) fn bitcount(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, range @ ..] = args else { return Err(data.wrong_number()) };
    // An absent key is 0 before the other arguments are looked at, as in Redis.
    let Some(value) = data.value(key)? else {
        reply.integer(0);
        return Ok(());
    };
    let bits = match range {
        [] => 0..value.len() * 8,
        [start, end] | [start, end, _] => {
            let (start, end) = (integer(start)?, integer(end)?);
            if start < 0 && end < 0 && start > end {
                0..0
            } else if range.get(2).map_or(Ok(false), |unit| counts_bits(unit))? {
                index_range(start, end, value.len() * 8)
            } else {
                let bytes = index_range(start, end, value.len());
                bytes.start * 8..bytes.end * 8
            }
        }
        _ => return Err(Stop::SYNTAX),
    };
    let bytes = bits.len() / 8;
    reply.count(count_ones(value, bits));
    data.count(work::reading(bytes));
    Ok(())
}

/// How many bits of the range are set.
fn count_ones(value: &[u8], bits: Range<usize>) -> usize {
    if bits.is_empty() {
        return 0;
    }
    let bytes = &value[bits.start / 8..bits.end.div_ceil(8)];
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words: usize = words.iter().map(|word| ones(u64::from_ne_bytes(*word))).sum();
    let in_rest: usize = rest.iter().map(|&byte| ones(u64::from(byte))).sum();
    // The first and the last byte may lie in the range only in part.
    let before = value[bits.start / 8] & !(0xff >> (bits.start % 8));
    let after = match bits.end % 8 {
        0 => 0,
        some => value[bits.end / 8] & (0xff >> some),
    };
    in_words + in_rest - ones(u64::from(before)) - ones(u64::from(after))
}

fn ones(word: u64) -> usize {
    word.count_ones() as usize
}

pub(crate) fn bitpos(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, bit, range @ ..] = args else { return Err(data.wrong_number()) };
    let wanted = match integer(bit)? {
        0 => false,
        1 => true,
        _ => return Err(Stop::error("ERR The bit argument must be 1 or 0.")),
    };
    // An absent key is an endless row of zeros, whatever the other arguments are.
    let Some(value) = data.value(key)? else {
        reply.integer(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let (bits, end_given) = match range {
        [] => (0..value.len() * 8, false),
        [start] => {
            let bytes = clamped_range(integer(start)?, i64::MAX, value.len());
            (bytes.start * 8..bytes.end * 8, false)
        }
        [start, end] => {
            let bytes = clamped_range(integer(start)?, integer(end)?, value.len());
            (bytes.start * 8..bytes.end * 8, true)
        }
        [start, end, unit] => {
            let start = integer(start)?;
            let in_bits = counts_bits(unit)?;
            let end = integer(end)?;
            if in_bits {
                (clamped_range(start, end, value.len() * 8), true)
            } else {
                let bytes = clamped_range(start, end, value.len());
                (bytes.start * 8..bytes.end * 8, true)
            }
        }
        _ => return Err(Stop::SYNTAX),
    };
    let found = find_bit(value, bits.clone(), wanted);
    let seen = found.unwrap_or(bits.end).saturating_sub(bits.start) / 8;
    data.count(work::reading(seen));
    let position = match found {
        Some(position) => i64::try_from(position).unwrap_or(i64::MAX),
        // A string without an end given goes on with zeros.
        None if !wanted && !end_given && !bits.is_empty() => {
            i64::try_from(bits.end).unwrap_or(i64::MAX)
        }
        None => -1,
    };
    reply.integer(position);
    Ok(())
}

/// The first bit of the range that is `wanted`.
fn find_bit(value: &[u8], bits: Range<usize>, wanted: bool) -> Option<usize> {
    let flip = if wanted { 0 } else { 0xff };
    let first = bits.start / 8;
    let bytes = value.get(first..bits.end.div_ceil(8))?;
    for (index, byte) in bytes.iter().enumerate() {
        let mut found = byte ^ flip;
        if index == 0 {
            found &= 0xff >> (bits.start % 8);
        }
        if found != 0 {
            let position = (first + index) * 8 + found.leading_zeros() as usize;
            return (position < bits.end).then_some(position);
        }
    }
    None
}

//! BITFIELD: integers of any width at any bit of a string.

use crate::arguments::{integer, is};
use crate::bits::{BAD_OFFSET, bit_offset};
use crate::execution::{Data, Stop};
use alloc::vec::Vec;
use resp::Reply;
use types::limits::STRING_BYTES_MAX;

type Done = Result<(), Stop>;

/// What becomes of a value that doesn't fit.
#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    IncrBy(i64, Overflow),
}

/// Where an integer lies and how wide it is.
#[derive(Clone, Copy)]
struct Field {
    signed: bool,
    /// 1 to 64, or to 63 if it is unsigned.
    bits: u32,
    offset: u64,
}

pub(crate) fn bitfield(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, operations @ ..] = args else { return Err(data.wrong_number()) };
    let operations = parse(operations)?;
    match highest_written_bit(&operations) {
        None => read_only(data, key, &operations, reply),
        Some(bit) => {
            let len = usize::try_from(bit >> 3).map_err(|_| BAD_OFFSET)? + 1;
            if len > STRING_BYTES_MAX {
                return Err(BAD_OFFSET);
            }
            reply.array(operations.len());
            data.edit(key, len, |value| {
                let mut changed = false;
                for &(field, action) in &operations {
                    changed |= perform(value, field, action, reply);
                }
                ((), changed)
            })
        }
    }
}

pub(crate) fn bitfield_ro(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, operations @ ..] = args else { return Err(data.wrong_number()) };
    let operations = parse(operations)?;
    if highest_written_bit(&operations).is_some() {
        return Err(Stop::error("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read_only(data, key, &operations, reply)
}

fn read_only(
    data: &mut Data<'_>,
    key: &[u8],
    operations: &[(Field, Action)],
    reply: &mut Reply<'_>,
) -> Done {
    let value = data.value(key)?.unwrap_or_default();
    reply.array(operations.len());
    for (field, _) in operations {
        reply.integer(field.get(value));
    }
    Ok(())
}

/// How many bytes a string must have for every field that a BITFIELD writes. 0 if it writes none,
/// or is refused. `args`: the whole command, its name first.
#[must_use]
pub fn bitfield_bytes(args: &[&[u8]]) -> u64 {
    let operations = parse(args.get(2..).unwrap_or_default()).unwrap_or_default();
    highest_written_bit(&operations).map_or(0, |bit| (bit >> 3) + 1)
}

fn highest_written_bit(operations: &[(Field, Action)]) -> Option<u64> {
    let written = |(field, action): &(Field, Action)| match action {
        Action::Get => None,
        Action::Set(..) | Action::IncrBy(..) => Some(field.offset + u64::from(field.bits) - 1),
    };
    operations.iter().filter_map(written).max()
}

fn parse(mut rest: &[&[u8]]) -> Result<Vec<(Field, Action)>, Stop> {
    let mut overflow = Overflow::Wrap;
    let mut operations = Vec::new();
    loop {
        rest = match rest {
            [] => return Ok(operations),
            [word, kind, offset, rest @ ..] if is(word, "GET") => {
                operations.push((Field::parse(kind, offset)?, Action::Get));
                rest
            }
            [word, kind, offset, value, rest @ ..] if is(word, "SET") => {
                let field = Field::parse(kind, offset)?;
                operations.push((field, Action::Set(integer(value)?, overflow)));
                rest
            }
            [word, kind, offset, value, rest @ ..] if is(word, "INCRBY") => {
                let field = Field::parse(kind, offset)?;
                operations.push((field, Action::IncrBy(integer(value)?, overflow)));
                rest
            }
            [word, name, rest @ ..] if is(word, "OVERFLOW") => {
                overflow = Overflow::parse(name)?;
                rest
            }
            _ => return Err(Stop::SYNTAX),
        };
    }
}

/// Performs one operation on a value that is long enough for what is written; whether it changed
/// the value.
fn perform(value: &mut [u8], field: Field, action: Action, reply: &mut Reply<'_>) -> bool {
    let old = field.get(value);
    let (wanted, overflow, reply_old) = match action {
        Action::Get => {
            reply.integer(old);
            return false;
        }
        Action::Set(new, overflow) => (field.as_given(new), overflow, true),
        Action::IncrBy(by, overflow) => (i128::from(old) + i128::from(by), overflow, false),
    };
    let Some(new) = field.fit(wanted, overflow) else {
        reply.null();
        return false;
    };
    reply.integer(if reply_old { old } else { new });
    field.set(value, new);
    old != new
}

impl Overflow {
    fn parse(name: &[u8]) -> Result<Self, Stop> {
        match () {
            () if is(name, "WRAP") => Ok(Self::Wrap),
            () if is(name, "SAT") => Ok(Self::Saturate),
            () if is(name, "FAIL") => Ok(Self::Fail),
            () => Err(Stop::error("ERR Invalid OVERFLOW type specified")),
        }
    }
}

impl Field {
    fn parse(kind: &[u8], offset: &[u8]) -> Result<Self, Stop> {
        let bad_kind = Stop::error(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not \
             supported but i64 is.",
        );
        let (signed, bits) = match kind {
            [b'i', bits @ ..] => (true, bits),
            [b'u', bits @ ..] => (false, bits),
            _ => return Err(bad_kind),
        };
        let widest = if signed { 64 } else { 63 };
        let bits = resp::number::parse_i64(bits).filter(|bits| (1..=widest).contains(bits));
        let bits = bits.and_then(|bits| u32::try_from(bits).ok()).ok_or(bad_kind)?;
        let offset = match offset {
            [b'#', number @ ..] => {
                // Checked after the multiplication, as a number of bits.
                let number = resp::number::parse_i64(number).ok_or(BAD_OFFSET)?;
                let offset = u64::try_from(number).ok().and_then(|n| n.checked_mul(bits.into()));
                offset.filter(|bit| bit >> 3 < STRING_BYTES_MAX as u64).ok_or(BAD_OFFSET)?
            }
            offset => bit_offset(offset)?,
        };
        Ok(Self { signed, bits, offset })
    }

    /// The nine bytes that the field lies in, as a number; bytes past the end are zero.
    fn window(self, value: &[u8]) -> u128 {
        let first = (self.offset >> 3) as usize;
        (first..first + 9).fold(0, |window, index| {
            window << 8 | u128::from(value.get(index).copied().unwrap_or(0))
        })
    }

    /// How far the field lies from the low end of its window.
    fn shift(self) -> u32 {
        72 - (self.offset & 7) as u32 - self.bits
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    fn get(self, value: &[u8]) -> i64 {
        let raw = (self.window(value) >> self.shift()) as u64 & self.mask();
        self.as_field(raw)
    }

    /// What the low bits mean in this field.
    fn as_field(self, raw: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { (raw << unused).cast_signed() >> unused } else { raw.cast_signed() }
    }

    fn set(self, value: &mut [u8], new: i64) {
        let bits = u128::from(new.cast_unsigned() & self.mask()) << self.shift();
        let others = !(u128::from(self.mask()) << self.shift());
        let window = self.window(value) & others | bits;
        let first = (self.offset >> 3) as usize;
        for (byte, new) in value[first..].iter_mut().zip(&window.to_be_bytes()[7..]) {
            *byte = *new;
        }
    }

    /// The value of SET: for an unsigned field a negative one is a very large one.
    fn as_given(self, value: i64) -> i128 {
        if self.signed { i128::from(value) } else { i128::from(value.cast_unsigned()) }
    }

    /// The value that is stored for one that may not fit, or `None` if nothing is.
    fn fit(self, wanted: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = if self.signed {
            (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1)
        } else {
            (0, i128::from(self.mask()))
        };
        let fitting = match overflow {
            _ if (least..=most).contains(&wanted) => wanted,
            Overflow::Wrap => return Some(self.as_field(wanted as u64 & self.mask())),
            Overflow::Saturate => wanted.clamp(least, most),
            Overflow::Fail => return None,
        };
        i64::try_from(fitting).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Vec, bitfield_bytes};

    #[test]
    fn bytes_are_counted_by_what_is_written() {
        let bytes = |text: &str| {
            let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
            bitfield_bytes(&args)
        };
        assert_eq!(bytes("BITFIELD k SET u8 0 1"), 1);
        assert_eq!(bytes("BITFIELD k SET u8 1 1"), 2);
        assert_eq!(bytes("BITFIELD k SET i16 #3 1"), 8);
        assert_eq!(bytes("BITFIELD k INCRBY u8 0 4303359255"), 1, "the number is no place");
        assert_eq!(bytes("BITFIELD k GET u8 800 SET u4 12 1 OVERFLOW FAIL"), 2);
        assert_eq!(bytes("BITFIELD k GET u8 800"), 0);
        assert_eq!(bytes("BITFIELD k SET u8 4294967296 1"), 0, "this is refused");
        assert_eq!(bytes("BITFIELD k"), 0);
    }
}

//! DUMP and RESTORE: one value in the format of Redis' snapshot files, version 10.
//!
//! ```text
//! type 1 | string | format version 2 | CRC-64 of all before 8
//! ```
//!
//! Strings are written plainly or as integers; compressed ones are read too.

use crate::arguments::{integer, is};
use crate::crc64::crc64;
use crate::execution::{Data, Stop};
use crate::lzf;
use crate::slot::Lifetime;
use crate::work;
use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;
use resp::{Reply, error};
use types::limits::STRING_BYTES_MAX;

type Done = Result<(), Stop>;

const VERSION: u16 = 10;
const TYPE_STRING: u8 = 0;
/// Version and checksum.
const FOOTER_BYTES: usize = 10;
/// Longest string that may be an integer of 32 bits.
const INTEGER_BYTES_MAX: usize = 11;

pub(crate) fn dump(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key] = args else { return Err(data.wrong_number()) };
    let allowance = data.allowance();
    let Some(value) = data.value(key)? else {
        reply.null();
        return Ok(());
    };
    let work = work::copying(value.len());
    allowance.covers(work)?;
    reply.bulk(&dump_string(value));
    data.count(work);
    Ok(())
}

fn dump_string(value: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(value.len() + 16);
    payload.push(TYPE_STRING);
    let short = (value.len() <= INTEGER_BYTES_MAX).then_some(value);
    let number = short.and_then(resp::number::parse_i64);
    if let Some(number) = number.and_then(|number| i32::try_from(number).ok()) {
        push_integer(&mut payload, number);
    } else {
        push_len(&mut payload, value.len());
        payload.extend_from_slice(value);
    }
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

fn push_integer(payload: &mut Vec<u8>, number: i32) {
    let bytes = number.to_le_bytes();
    if i8::try_from(number).is_ok() {
        payload.push(0xc0);
        payload.extend_from_slice(&bytes[..1]);
    } else if i16::try_from(number).is_ok() {
        payload.push(0xc1);
        payload.extend_from_slice(&bytes[..2]);
    } else {
        payload.push(0xc2);
        payload.extend_from_slice(&bytes);
    }
}

fn push_len(payload: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("strings are shorter than 4 GiB");
    match len {
        0..=0x3f => payload.push(len as u8),
        0x40..=0x3fff => payload.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes()),
        _ => {
            payload.push(0x80);
            payload.extend_from_slice(&len.to_be_bytes());
        }
    }
}

#[derive(Default)]
struct RestoreOptions {
    replace: bool,
    absolute: bool,
}

impl RestoreOptions {
    /// IDLETIME and FREQ are checked and have no effect: accesses are not tracked.
    fn parse(mut rest: &[&[u8]]) -> Result<Self, Stop> {
        let mut options = Self::default();
        let (mut idle, mut frequency) = (false, false);
        loop {
            rest = match rest {
                [] => return Ok(options),
                [word, rest @ ..] if is(word, "REPLACE") => {
                    options.replace = true;
                    rest
                }
                [word, rest @ ..] if is(word, "ABSTTL") => {
                    options.absolute = true;
                    rest
                }
                [word, time, rest @ ..] if is(word, "IDLETIME") && !frequency => {
                    if integer(time)? < 0 {
                        return Err(Stop::error("ERR Invalid IDLETIME value, must be >= 0"));
                    }
                    idle = true;
                    rest
                }
                [word, value, rest @ ..] if is(word, "FREQ") && !idle => {
                    if !(0..=255).contains(&integer(value)?) {
                        return Err(Stop::error("ERR Invalid FREQ value, must be >= 0 and <= 255"));
                    }
                    frequency = true;
                    rest
                }
                _ => return Err(Stop::SYNTAX),
            };
        }
    }
}

pub(crate) fn restore(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, ttl, payload, options @ ..] = args else { return Err(data.wrong_number()) };
    let options = RestoreOptions::parse(options)?;
    if !options.replace && data.exists(key)? {
        return Err(Stop::error(error::BUSY_KEY));
    }
    let ttl = u64::try_from(integer(ttl)?).map_err(|_| Stop::error(error::INVALID_TTL))?;
    let value = load(payload, data.built_bytes_max())?;
    data.spend(work::copying(value.len()))?;
    let expiry = if options.absolute { Some(ttl) } else { ttl.checked_add(data.now()) };
    let expiry = expiry.filter(|&expiry| i64::try_from(expiry).is_ok());
    let expiry = expiry.ok_or_else(|| data.invalid_expire())?;
    if ttl == 0 {
        data.put(key, &value, Lifetime::Forever);
    } else if expiry <= data.now() {
        data.remove(key)?;
    } else {
        data.put(key, &value, Lifetime::Until(expiry));
    }
    reply.ok();
    Ok(())
}

/// The string that a payload holds.
///
/// # Errors
/// If it is damaged, or would become longer than `len_max`.
fn load(payload: &[u8], len_max: usize) -> Result<Cow<'_, [u8]>, Stop> {
    let bad_footer = Stop::error(error::BAD_DUMP);
    let body = payload.len().checked_sub(FOOTER_BYTES);
    let Some((body, footer)) = body.and_then(|len| payload.split_at_checked(len)) else {
        return Err(bad_footer);
    };
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let checked = &payload[..payload.len() - 8];
    if version > VERSION || footer[2..] != crc64(checked).to_le_bytes() {
        return Err(bad_footer);
    }
    match body.split_first() {
        Some((&TYPE_STRING, string)) => {
            load_string(string, len_max).ok_or(Stop::error("ERR Bad data format"))
        }
        Some(_) => Err(Stop::error("ERR RESTORE of this type of value is not supported")),
        None => Err(Stop::error("ERR Bad data format")),
    }
}

/// The most bytes that RESTORE makes of a payload: a packed string says how long it is, and can't
/// be longer than packing allows.
#[must_use]
pub fn restored_bytes_max(payload: &[u8]) -> usize {
    let packed = payload.get(1) == Some(&0xc3);
    let most = if packed { lzf::EXPANSION_MAX } else { 1 };
    payload.len().saturating_mul(most).min(STRING_BYTES_MAX).max(payload.len())
}

fn load_string(bytes: &[u8], len_max: usize) -> Option<Cow<'_, [u8]>> {
    let number = |number: i64| Some(Cow::Owned(number.to_string().into_bytes()));
    match *bytes {
        [0xc0, byte] => number(i8::from_le_bytes([byte]).into()),
        [0xc1, low, high] => number(i16::from_le_bytes([low, high]).into()),
        [0xc2, a, b, c, d] => number(i32::from_le_bytes([a, b, c, d]).into()),
        [0xc3, ref rest @ ..] => {
            let (packed_len, rest) = load_len(rest)?;
            let (len, packed) = load_len(rest)?;
            let fits = packed.len() == packed_len && len <= len_max;
            fits.then(|| lzf::decompress(packed, len))?.map(Cow::Owned)
        }
        _ => {
            let (len, string) = load_len(bytes)?;
            let fits = string.len() == len && len <= STRING_BYTES_MAX;
            fits.then_some(Cow::Borrowed(string))
        }
    }
}

/// A length, and the bytes after it.
fn load_len(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match *bytes {
        [first @ 0..=0x3f, ref rest @ ..] => Some((usize::from(first), rest)),
        [first @ 0x40..=0x7f, second, ref rest @ ..] => {
            Some((usize::from(first & 0x3f) << 8 | usize::from(second), rest))
        }
        [0x80, a, b, c, d, ref rest @ ..] => {
            Some((u32::from_be_bytes([a, b, c, d]) as usize, rest))
        }
        [0x81, ref rest @ ..] => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            Some((usize::try_from(u64::from_be_bytes(*len)).ok()?, rest))
        }
        _ => None,
    }
}

//! Commands on strings: GET, SET and their relatives.

use crate::arguments::{index_range, integer, is, string_len};
use crate::execution::{Data, Stop};
use crate::slot::Lifetime;
use crate::work;
use resp::Reply;
use types::limits::LONG_BYTES;

type Done = Result<(), Stop>;

pub(crate) fn get(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key] = args else { return Err(data.wrong_number()) };
    data.reply_value_or_null(key, reply)?;
    Ok(())
}

pub(crate) fn strlen(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key] = args else { return Err(data.wrong_number()) };
    reply.count(data.value(key)?.map_or(0, <[u8]>::len));
    Ok(())
}

pub(crate) fn getdel(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key] = args else { return Err(data.wrong_number()) };
    data.reply_value_or_null(key, reply)?;
    data.remove(key)?;
    Ok(())
}

pub(crate) fn getset(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, value] = args else { return Err(data.wrong_number()) };
    data.reply_value_or_null(key, reply)?;
    data.put(key, value, Lifetime::Forever);
    Ok(())
}

pub(crate) fn mget(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, keys @ ..] = args else { return Err(data.wrong_number()) };
    reply.array(keys.len());
    let (allowance, begin) = (data.allowance(), reply.len());
    for (at, key) in keys.iter().enumerate() {
        data.reply_value_or_null(key, reply)?;
        // The same long value may be asked for a million times at once.
        if at > 0 {
            allowance.covers(work::copying(reply.len() - begin))?;
        }
    }
    Ok(())
}

pub(crate) fn mset(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let pairs = pairs(data, args)?;
    for [key, value] in pairs {
        data.put(key, value, Lifetime::Forever);
    }
    reply.ok();
    Ok(())
}

pub(crate) fn msetnx(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let pairs = pairs(data, args)?;
    for [key, _] in pairs {
        if data.exists(key)? {
            reply.integer(0);
            return Ok(());
        }
    }
    for [key, value] in pairs {
        data.put(key, value, Lifetime::Forever);
    }
    reply.integer(1);
    Ok(())
}

fn pairs<'a, 'b>(data: &Data<'_>, args: &'b [&'a [u8]]) -> Result<&'b [[&'a [u8]; 2]], Stop> {
    let [_, rest @ ..] = args else { return Err(data.wrong_number()) };
    let (pairs, odd) = rest.as_chunks::<2>();
    if odd.is_empty() { Ok(pairs) } else { Err(data.wrong_number()) }
}

pub(crate) fn append(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, suffix] = args else { return Err(data.wrong_number()) };
    let Some(old) = data.value(key)?.map(<[u8]>::len) else {
        data.put(key, suffix, Lifetime::Forever);
        reply.count(suffix.len());
        return Ok(());
    };
    let len = string_len(old as u64, suffix.len())?;
    data.edit(key, len, |value| (value[old..].copy_from_slice(suffix), true))?;
    reply.count(len);
    Ok(())
}

pub(crate) fn setrange(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, offset, part] = args else { return Err(data.wrong_number()) };
    let offset = u64::try_from(integer(offset)?);
    let offset = offset.map_err(|_| Stop::error(resp::error::OFFSET_OUT_OF_RANGE))?;
    let old = data.value(key)?.map_or(0, <[u8]>::len);
    if part.is_empty() {
        reply.count(old);
        return Ok(());
    }
    let end = string_len(offset, part.len())?;
    let start = end - part.len();
    data.edit(key, end, |value| (value[start..end].copy_from_slice(part), true))?;
    reply.count(old.max(end));
    Ok(())
}

pub(crate) fn getrange(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, start, end] = args else { return Err(data.wrong_number()) };
    let (start, end) = (integer(start)?, integer(end)?);
    let value = data.value(key)?.unwrap_or_default();
    let range = index_range(start, end, value.len());
    if range.len() < LONG_BYTES {
        reply.bulk(&value[range]);
        return Ok(());
    }
    // So is the value.
    if let Some(long) = data.long_value(key) {
        reply.long_bulk(long.slice(range));
    }
    Ok(())
}

pub(crate) fn setnx(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, value] = args else { return Err(data.wrong_number()) };
    let absent = !data.exists(key)?;
    if absent {
        data.put(key, value, Lifetime::Forever);
    }
    reply.integer(i64::from(absent));
    Ok(())
}

pub(crate) fn setex(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    set_expiring(data, args, reply, Unit::Seconds)
}

pub(crate) fn psetex(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    set_expiring(data, args, reply, Unit::Millis)
}

fn set_expiring(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>, unit: Unit) -> Done {
    let [_, key, time, value] = args else { return Err(data.wrong_number()) };
    let time = ExpiryTime { time, unit, relative: true };
    let expiry = time.resolve(data)?;
    data.put(key, value, Lifetime::Until(expiry));
    reply.ok();
    Ok(())
}

/// The unit of a time to live or of an expiry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Millis,
}

/// An expiry as the options of SET and GETEX give it.
#[derive(Clone, Copy)]
struct ExpiryTime<'a> {
    time: &'a [u8],
    unit: Unit,
    relative: bool,
}

impl ExpiryTime<'_> {
    /// The absolute time in milliseconds since 1970.
    fn resolve(self, data: &Data<'_>) -> Result<u64, Stop> {
        let invalid = || data.invalid_expire();
        let time = u64::try_from(integer(self.time)?).map_err(|_| invalid())?;
        let millis = match self.unit {
            Unit::Seconds => time.checked_mul(1000).ok_or_else(invalid)?,
            Unit::Millis => time,
        };
        let base = if self.relative { data.now() } else { 0 };
        let expiry = millis.checked_add(base).ok_or_else(invalid)?;
        // Redis counts in signed numbers.
        if time == 0 || i64::try_from(expiry).is_err() { Err(invalid()) } else { Ok(expiry) }
    }
}

/// What SET's and GETEX's options say about the expiry.
#[derive(Clone, Copy)]
enum ExpiryOption<'a> {
    None,
    KeepTtl,
    Persist,
    At(ExpiryTime<'a>),
}

impl<'a> ExpiryOption<'a> {
    /// Adds the option that begins `options` to what earlier ones said; `None` if it is not one
    /// of these, or does not go with the earlier ones. Also how many arguments it took. The same
    /// option may be given again, as in Redis: the last one counts.
    fn and(self, options: &[&'a [u8]]) -> Option<(Self, usize)> {
        let (&word, rest) = options.split_first()?;
        let (unit, relative) = match () {
            () if is(word, "EX") => (Unit::Seconds, true),
            () if is(word, "PX") => (Unit::Millis, true),
            () if is(word, "EXAT") => (Unit::Seconds, false),
            () if is(word, "PXAT") => (Unit::Millis, false),
            () => return None,
        };
        let fits = match self {
            Self::None => true,
            Self::At(old) => old.unit == unit && old.relative == relative,
            Self::KeepTtl | Self::Persist => false,
        };
        let time = rest.first().filter(|_| fits)?;
        Some((Self::At(ExpiryTime { time, unit, relative }), 2))
    }
}

/// On which condition SET writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    Absent,
    Present,
}

struct SetOptions<'a> {
    condition: Condition,
    get: bool,
    expiry: ExpiryOption<'a>,
}

fn set_options<'a>(mut rest: &[&'a [u8]]) -> Result<SetOptions<'a>, Stop> {
    let mut options =
        SetOptions { condition: Condition::Always, get: false, expiry: ExpiryOption::None };
    while let Some(word) = rest.first() {
        let mut used = 1;
        if is(word, "NX") && options.condition != Condition::Present {
            options.condition = Condition::Absent;
        } else if is(word, "XX") && options.condition != Condition::Absent {
            options.condition = Condition::Present;
        } else if is(word, "GET") {
            options.get = true;
        } else if is(word, "KEEPTTL")
            && matches!(options.expiry, ExpiryOption::None | ExpiryOption::KeepTtl)
        {
            options.expiry = ExpiryOption::KeepTtl;
        } else {
            (options.expiry, used) = options.expiry.and(rest).ok_or(Stop::SYNTAX)?;
        }
        rest = &rest[used..];
    }
    Ok(options)
}

pub(crate) fn set(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, value, options @ ..] = args else { return Err(data.wrong_number()) };
    if options.is_empty() {
        data.put(key, value, Lifetime::Forever);
        reply.ok();
        return Ok(());
    }
    let options = set_options(options)?;
    let lifetime = match options.expiry {
        ExpiryOption::None | ExpiryOption::Persist => Lifetime::Forever,
        ExpiryOption::KeepTtl => Lifetime::Keep,
        ExpiryOption::At(time) => Lifetime::Until(time.resolve(data)?),
    };
    let found = if options.get { data.reply_value_or_null(key, reply)? } else { data.exists(key)? };
    let writes = match options.condition {
        Condition::Always => true,
        Condition::Absent => !found,
        Condition::Present => found,
    };
    if writes {
        data.put(key, value, lifetime);
    }
    match (options.get, writes) {
        (true, _) => {}
        (false, true) => reply.ok(),
        (false, false) => reply.null(),
    }
    Ok(())
}

pub(crate) fn getex(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, rest @ ..] = args else { return Err(data.wrong_number()) };
    let mut rest = rest;
    let mut option = ExpiryOption::None;
    while let Some(word) = rest.first() {
        let mut used = 1;
        let fits = matches!(option, ExpiryOption::None | ExpiryOption::Persist);
        if is(word, "PERSIST") && fits {
            option = ExpiryOption::Persist;
        } else {
            (option, used) = option.and(rest).ok_or(Stop::SYNTAX)?;
        }
        rest = &rest[used..];
    }
    let now = data.now();
    let Some(entry) = data.entry(key)? else {
        reply.null();
        return Ok(());
    };
    let expires = entry.expiry().is_some();
    if !entry.is_long() {
        reply.bulk(entry.value());
    } else if let Some(long) = data.long_value(key) {
        reply.long_bulk(long);
    }
    match option {
        ExpiryOption::At(time) => {
            let expiry = time.resolve(data)?;
            if expiry <= now {
                data.remove(key)?;
            } else {
                data.set_expiry(key, Some(expiry))?;
            }
        }
        ExpiryOption::Persist if expires => data.set_expiry(key, None)?,
        ExpiryOption::Persist | ExpiryOption::KeepTtl | ExpiryOption::None => {}
    }
    Ok(())
}

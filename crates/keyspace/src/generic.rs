//! Commands on keys of any type.

use crate::arguments::{integer, is};
use crate::entry::{Entry, Source};
use crate::execution::{Data, Stop};
use crate::slot::Lifetime;
use crate::work;
use alloc::vec::Vec;
use bytes::Bytes;
use resp::{Reply, error};

type Done = Result<(), Stop>;

/// Numbers of databases that Redis would have; only 0 is there.
const DATABASES: i64 = 16;
/// Longest string that Redis stores in the same allocation as its header.
const EMBEDDED_BYTES_MAX: usize = 44;
/// What a key takes in its slot's table, beside its entry: a pointer with its length and a tag.
const TABLE_BYTES: usize = 18;

pub(crate) fn del(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, keys @ ..] = args else { return Err(data.wrong_number()) };
    let mut removed = 0;
    for key in keys {
        removed += usize::from(data.remove(key)?);
    }
    reply.count(removed);
    Ok(())
}

pub(crate) fn exists(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, keys @ ..] = args else { return Err(data.wrong_number()) };
    let mut found = 0;
    for key in keys {
        found += usize::from(data.exists(key)?);
    }
    reply.count(found);
    Ok(())
}

pub(crate) fn type_of(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key] = args else { return Err(data.wrong_number()) };
    reply.simple(data.entry(key)?.map_or("none", |entry| entry.kind().name()));
    Ok(())
}

pub(crate) fn move_key() -> Done {
    Err(Stop::error(error::MOVE_IN_CLUSTER))
}

/// What a key holds: a copy, or a long value that it shares.
struct Held {
    value: Result<Bytes, Vec<u8>>,
    lifetime: Lifetime,
    raw: bool,
}

impl Held {
    /// What the key holds, if it is there.
    ///
    /// # Errors
    /// If it is too much to be copied and written again.
    fn by(data: &mut Data<'_>, key: &[u8]) -> Result<Option<Self>, Stop> {
        let allowance = data.allowance();
        let Some(entry) = data.entry(key)? else { return Ok(None) };
        let work = 2 * work::copying(entry.value().len());
        allowance.covers(work)?;
        let lifetime = entry.expiry().map_or(Lifetime::Forever, Lifetime::Until);
        let raw = entry.is_raw();
        let copied = if entry.is_long() { Vec::new() } else { entry.value().to_vec() };
        data.count(work);
        let value = data.long_value(key).ok_or(copied);
        Ok(Some(Self { value, lifetime, raw }))
    }

    fn write(&self, data: &mut Data<'_>, key: &[u8]) {
        let value = match &self.value {
            Ok(shared) => Source::Shared(shared),
            Err(copied) => Source::Copied(copied),
        };
        data.write(key, value, self.lifetime, self.raw);
    }
}

pub(crate) fn rename(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, source, target] = args else { return Err(data.wrong_number()) };
    let held = Held::by(data, source)?.ok_or(Stop::error(error::NO_SUCH_KEY))?;
    if source != target {
        data.remove(source)?;
        held.write(data, target);
    }
    reply.ok();
    Ok(())
}

pub(crate) fn renamenx(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, source, target] = args else { return Err(data.wrong_number()) };
    let held = Held::by(data, source)?.ok_or(Stop::error(error::NO_SUCH_KEY))?;
    let free = source != target && !data.exists(target)?;
    if free {
        data.remove(source)?;
        held.write(data, target);
    }
    reply.integer(i64::from(free));
    Ok(())
}

pub(crate) fn copy(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, source, target, options @ ..] = args else { return Err(data.wrong_number()) };
    let (mut replace, mut database) = (false, 0);
    let mut options = options;
    loop {
        options = match options {
            [] => break,
            [word, rest @ ..] if is(word, "REPLACE") => {
                replace = true;
                rest
            }
            [word, number, rest @ ..] if is(word, "DB") => {
                database = integer(number)?;
                let exists = (0..DATABASES).contains(&database);
                exists.then_some(rest).ok_or(Stop::error(error::DB_OUT_OF_RANGE))?
            }
            _ => return Err(Stop::SYNTAX),
        };
    }
    if database != 0 {
        return Err(Stop::error(error::COPY_IN_CLUSTER));
    }
    if source == target {
        return Err(Stop::error(error::SAME_OBJECT));
    }
    let held = Held::by(data, source)?;
    let occupied = data.exists(target)?;
    let copied = held.filter(|_| replace || !occupied);
    if let Some(held) = &copied {
        held.write(data, target);
    }
    reply.integer(i64::from(copied.is_some()));
    Ok(())
}

/// The entry of an OBJECT subcommand, which has its key at the third place.
fn object<'a>(data: &'a mut Data<'_>, args: &[&[u8]]) -> Result<Option<&'a Entry>, Stop> {
    let [_, _, key] = args else { return Err(data.wrong_number()) };
    data.entry(key)
}

pub(crate) fn object_encoding(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    match object(data, args)? {
        Some(entry) => reply.bulk(encoding(entry).as_bytes()),
        None => reply.null(),
    }
    Ok(())
}

/// The name of the form in which Redis would keep the value.
fn encoding(entry: &Entry) -> &'static str {
    let value = entry.value();
    if entry.is_raw() {
        "raw"
    } else if resp::number::parse_i64(value).is_some() {
        "int"
    } else if value.len() <= EMBEDDED_BYTES_MAX {
        "embstr"
    } else {
        "raw"
    }
}

pub(crate) fn object_freq(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    if object(data, args)?.is_some() {
        return Err(Stop::error(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take \
             some time to adjust.",
        ));
    }
    reply.null();
    Ok(())
}

/// Accesses are not tracked: nothing is evicted. Every key is as if it had just been used.
pub(crate) fn object_idletime(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    match object(data, args)? {
        Some(_) => reply.integer(0),
        None => reply.null(),
    }
    Ok(())
}

pub(crate) fn object_refcount(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    match object(data, args)? {
        Some(_) => reply.integer(1),
        None => reply.null(),
    }
    Ok(())
}

pub(crate) fn memory_usage(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, _, key, options @ ..] = args else { return Err(data.wrong_number()) };
    let (pairs, odd) = options.as_chunks::<2>();
    for [word, samples] in pairs {
        if !is(word, "SAMPLES") || integer(samples)? < 0 {
            return Err(Stop::SYNTAX);
        }
    }
    if !odd.is_empty() {
        return Err(Stop::SYNTAX);
    }
    match data.entry(key)? {
        Some(entry) => reply.count(entry.bytes() + TABLE_BYTES),
        None => reply.null(),
    }
    Ok(())
}

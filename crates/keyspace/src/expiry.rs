//! Commands on the expiry of keys.

use crate::arguments::{integer, is};
use crate::entry::Entry;
use crate::execution::{Data, Stop};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use resp::Reply;

type Done = Result<(), Stop>;

const MILLIS_PER_SECOND: i64 = 1000;

pub(crate) fn expire(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let now = signed(data.now());
    set_expiry(data, args, MILLIS_PER_SECOND, now, reply)
}

pub(crate) fn pexpire(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let now = signed(data.now());
    set_expiry(data, args, 1, now, reply)
}

pub(crate) fn expireat(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    set_expiry(data, args, MILLIS_PER_SECOND, 0, reply)
}

pub(crate) fn pexpireat(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    set_expiry(data, args, 1, 0, reply)
}

/// Redis counts time in signed numbers.
fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// On which conditions an expiry is set.
#[derive(Clone, Copy, Default)]
struct Conditions {
    /// NX: only if the key has none.
    absent: bool,
    /// XX: only if the key has one.
    present: bool,
    /// GT: only if it is later than the present one.
    later: bool,
    /// LT: only if it is sooner than the present one.
    sooner: bool,
}

impl Conditions {
    fn parse(options: &[&[u8]]) -> Result<Self, Stop> {
        let mut conditions = Self::default();
        for option in options {
            match () {
                () if is(option, "NX") => conditions.absent = true,
                () if is(option, "XX") => conditions.present = true,
                () if is(option, "GT") => conditions.later = true,
                () if is(option, "LT") => conditions.sooner = true,
                () => {
                    let option = String::from_utf8_lossy(option);
                    return Err(Stop::Error(Cow::Owned(format!(
                        "ERR Unsupported option {option}"
                    ))));
                }
            }
        }
        let Self { absent, present, later, sooner } = conditions;
        if absent && (present || later || sooner) {
            return Err(Stop::error(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if later && sooner {
            return Err(Stop::error("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether an expiry may take the place of the present one. None is later than any.
    fn allow(self, present: Option<i64>, new: i64) -> bool {
        match present {
            None => !self.present && !self.later,
            Some(old) => !self.absent && (!self.later || new > old) && (!self.sooner || new < old),
        }
    }
}

fn set_expiry(
    data: &mut Data<'_>,
    args: &[&[u8]],
    millis: i64,
    base: i64,
    reply: &mut Reply<'_>,
) -> Done {
    let [_, key, time, options @ ..] = args else { return Err(data.wrong_number()) };
    let conditions = Conditions::parse(options)?;
    let time = integer(time)?.checked_mul(millis).and_then(|time| time.checked_add(base));
    let expiry = time.ok_or_else(|| data.invalid_expire())?;
    let Some(present) = data.entry(key)?.map(|entry| entry.expiry().map(signed)) else {
        reply.integer(0);
        return Ok(());
    };
    let allowed = conditions.allow(present, expiry);
    reply.integer(i64::from(allowed));
    match u64::try_from(expiry) {
        _ if !allowed => Ok(()),
        Ok(expiry) if expiry > data.now() => data.set_expiry(key, Some(expiry)),
        // A time in the past, or before 1970.
        Ok(_) | Err(_) => data.remove(key).map(drop),
    }
}

pub(crate) fn persist(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key] = args else { return Err(data.wrong_number()) };
    let expires = data.entry(key)?.is_some_and(|entry| entry.expiry().is_some());
    if expires {
        data.set_expiry(key, None)?;
    }
    reply.integer(i64::from(expires));
    Ok(())
}

pub(crate) fn ttl(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    reply_time(data, args, |expiry, now| (expiry - now + 500) / 1000, reply)
}

pub(crate) fn pttl(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    reply_time(data, args, |expiry, now| expiry - now, reply)
}

pub(crate) fn expiretime(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    reply_time(data, args, |expiry, _| expiry.saturating_add(500) / 1000, reply)
}

pub(crate) fn pexpiretime(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    reply_time(data, args, |expiry, _| expiry, reply)
}

/// Replies what `of` makes of the expiry and the present time; -1 without expiry, -2 without key.
fn reply_time(
    data: &mut Data<'_>,
    args: &[&[u8]],
    of: impl Fn(i64, i64) -> i64,
    reply: &mut Reply<'_>,
) -> Done {
    let [_, key] = args else { return Err(data.wrong_number()) };
    let now = signed(data.now());
    reply.integer(match data.entry(key)?.map(Entry::expiry) {
        None => -2,
        Some(None) => -1,
        Some(Some(expiry)) => of(signed(expiry), now),
    });
    Ok(())
}

/// `REAP key..` removes those of the keys that have expired, and replies how many. The holder
/// writes it into the log; clients can't send it.
pub(crate) fn reap(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, keys @ ..] = args else { return Err(data.wrong_number()) };
    let mut removed = 0;
    for key in keys {
        removed += usize::from(data.reap(key)?);
    }
    reply.count(removed);
    Ok(())
}

//! Numbers in strings: INCR and its relatives.

use crate::arguments::integer;
use crate::execution::{Data, Stop};
use crate::float::Extended;
use crate::slot::Lifetime;
use resp::Reply;
use resp::number::Decimal;

type Done = Result<(), Stop>;

pub(crate) fn incr(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key] = args else { return Err(data.wrong_number()) };
    add(data, key, 1, reply)
}

pub(crate) fn decr(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key] = args else { return Err(data.wrong_number()) };
    add(data, key, -1, reply)
}

pub(crate) fn incrby(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, increment] = args else { return Err(data.wrong_number()) };
    add(data, key, integer(increment)?, reply)
}

pub(crate) fn decrby(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, decrement] = args else { return Err(data.wrong_number()) };
    let increment = integer(decrement)?.checked_neg();
    add(data, key, increment.ok_or(Stop::error("ERR decrement would overflow"))?, reply)
}

fn add(data: &mut Data<'_>, key: &[u8], increment: i64, reply: &mut Reply<'_>) -> Done {
    let old = data.value(key)?.map_or(Ok(0), integer)?;
    let overflow = Stop::error(resp::error::OVERFLOW);
    let new = old.checked_add(increment).ok_or(overflow)?;
    data.put(key, Decimal::new(new).as_bytes(), Lifetime::Keep);
    reply.integer(new);
    Ok(())
}

pub(crate) fn incrbyfloat(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    let [_, key, increment] = args else { return Err(data.wrong_number()) };
    let float = |text: &[u8]| Extended::parse(text).ok_or(Stop::error(resp::error::NOT_A_FLOAT));
    let old = data.value(key)?.map_or_else(|| float(b"0"), float)?;
    let sum = old.add(&float(increment)?);
    let sum = sum.ok_or(Stop::error(resp::error::NAN_OR_INFINITY))?;
    let text = sum.to_text();
    data.put(key, text.as_bytes(), Lifetime::Keep);
    reply.bulk(text.as_bytes());
    Ok(())
}

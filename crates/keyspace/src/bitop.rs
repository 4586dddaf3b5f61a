//! BITOP, at once or in steps (see `building`).

use crate::arguments::is;
use crate::execution::{Context, Data, Stop};
use crate::keyspace::Keyspace;
use crate::slot::Lifetime;
use crate::work;
use alloc::vec::Vec;
use resp::Reply;
use types::Slot;

type Done = Result<(), Stop>;

#[derive(Clone, Copy)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

struct Arguments<'a> {
    operation: Operation,
    target: &'a [u8],
    sources: &'a [&'a [u8]],
}

fn arguments<'a>(args: &'a [&'a [u8]]) -> Result<Arguments<'a>, Stop> {
    let [_, name, target, sources @ ..] = args else { return Err(Stop::SYNTAX) };
    let operation = match () {
        () if is(name, "AND") => Operation::And,
        () if is(name, "OR") => Operation::Or,
        () if is(name, "XOR") => Operation::Xor,
        () if is(name, "NOT") => Operation::Not,
        () => return Err(Stop::SYNTAX),
    };
    if matches!(operation, Operation::Not) && sources.len() != 1 {
        return Err(Stop::error("ERR BITOP NOT must be called with a single source key."));
    }
    Ok(Arguments { operation, target, sources })
}

/// What an operation on these values is to make, and the work that it is.
fn plan(values: &[Option<&[u8]>]) -> (usize, u64) {
    let lengths = values.iter().map(|value| value.unwrap_or_default().len());
    let len = lengths.clone().max().unwrap_or(0);
    (len, lengths.map(work::copying).sum::<u64>() + work::copying(len))
}

pub(crate) fn bitop(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Done {
    if args.len() < 3 {
        return Err(data.wrong_number());
    }
    let Arguments { operation, target, sources } = arguments(args)?;
    let (allowance, built_bytes_max) = (data.allowance(), data.built_bytes_max());
    let built = data.take_built();
    let values = data.values(sources)?;
    let (len, work) = plan(&values);
    if len > built_bytes_max {
        return Err(Stop::TOO_LONG);
    }
    allowance.covers(work)?;
    let result = if let Some(built) = built.and_then(|built| built.whole(len)) {
        data.count_done(work);
        built
    } else {
        let mut result = Vec::with_capacity(len);
        extend(operation, &values, &mut result, len);
        data.count(work);
        result
    };
    if result.is_empty() {
        data.remove(target)?;
    } else {
        data.put_raw(target, result, Lifetime::Forever);
    }
    reply.count(len);
    Ok(())
}

/// Makes the next part of a result, up to `end`.
fn extend(operation: Operation, values: &[Option<&[u8]>], result: &mut Vec<u8>, end: usize) {
    let begin = result.len();
    let part = |value: &[u8]| begin.min(value.len())..end.min(value.len());
    let Some((first, others)) = values.split_first() else { return };
    let first = first.unwrap_or_default();
    result.extend_from_slice(&first[part(first)]);
    result.resize(end, 0);
    let result = &mut result[begin..];
    for value in others {
        let value = value.unwrap_or_default();
        combine(operation, result, &value[part(value)]);
    }
    if matches!(operation, Operation::Not) {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// A BITOP whose result is built in steps.
pub(crate) struct Steps(Operation);

/// How long the result of BITOP will be, if that is to be built in steps.
pub(crate) fn steps(
    data: &Keyspace,
    slot: Slot,
    args: &[&[u8]],
    context: &Context,
) -> Option<(usize, Steps)> {
    // What is wrong is found out when it is executed.
    let Arguments { operation, sources, .. } = arguments(args).ok()?;
    let (len, work) = plan(&data.present(slot, sources, context));
    let fits = len <= context.built_bytes_max() && work <= context.budget;
    fits.then_some((len, Steps(operation)))
}

impl Steps {
    /// Makes the next part of the result, up to `end`, and answers how much it has looked at.
    pub(crate) fn extend(
        &self,
        (data, slot): (&Keyspace, Slot),
        args: &[&[u8]],
        context: &Context,
        (result, end): (&mut Vec<u8>, usize),
    ) -> usize {
        let Ok(Arguments { sources, .. }) = arguments(args) else { return 0 };
        let values = data.present(slot, sources, context);
        let bytes = (end - result.len()) * (values.len() + 1);
        extend(self.0, &values, result, end);
        bytes
    }
}

/// Combines with a value that is as long or shorter; the bytes it lacks count as zero.
fn combine(operation: Operation, result: &mut [u8], value: &[u8]) {
    let (common, rest) = result.split_at_mut(value.len());
    let pairs = common.iter_mut().zip(value);
    match operation {
        Operation::And => {
            pairs.for_each(|(byte, other)| *byte &= other);
            rest.fill(0);
        }
        Operation::Or => pairs.for_each(|(byte, other)| *byte |= other),
        Operation::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
        Operation::Not => {}
    }
}

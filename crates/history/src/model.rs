//! What a correct store does: the sequential models that [`crate::wgl`] searches with.
//!
//! A model turns each operation into a step of its own once, so that the search compares small
//! copies instead of bytes.

use crate::operation::{Call, Operation, Readable, Reply};
use std::collections::HashMap;
use std::hash::Hash;

/// A deterministic sequential object on one key.
pub trait Model {
    /// The object's value.
    type State: Clone + Eq + Hash;
    /// An operation as the model wants it, with its reply if that is known.
    type Step;

    /// The value of a key that does not exist yet.
    fn initial(&self) -> Self::State;

    /// Prepares an operation. A reply that the function can never give makes a step that
    /// [`Model::apply`] always refuses.
    ///
    /// # Errors
    /// When the model does not know the function; the text says so.
    fn prepare(&mut self, operation: &Operation) -> Result<Self::Step, String>;

    /// The value after the step, or `None` if the step's reply is wrong in this state.
    fn apply(&self, state: &Self::State, step: &Self::Step) -> Option<Self::State>;

    /// The value in words.
    fn describe(&self, state: &Self::State) -> String;
}

fn unsupported<T>(model: &str, call: &Call) -> Result<T, String> {
    Err(format!("the model of a {model} does not know {}", call.name()))
}

/// The flag that was answered: `None` if no answer is known, an error if it is no flag.
fn flag(reply: Option<&Reply>) -> Result<Option<bool>, ()> {
    match reply {
        None | Some(Reply::Error(_)) => Ok(None),
        Some(Reply::Flag(flag)) => Ok(Some(*flag)),
        Some(Reply::Absent | Reply::Bytes(_) | Reply::Integer(_) | Reply::List(_)) => Err(()),
    }
}

/// The integer that was answered: `None` if no answer is known, an error if it is no integer.
fn integer(reply: Option<&Reply>) -> Result<Option<i64>, ()> {
    match reply {
        None | Some(Reply::Error(_)) => Ok(None),
        Some(Reply::Integer(integer)) => Ok(Some(*integer)),
        Some(Reply::Absent | Reply::Bytes(_) | Reply::Flag(_) | Reply::List(_)) => Err(()),
    }
}

/// The value that was read: an error if none is known, since such a read says nothing.
fn value(reply: Option<&Reply>) -> Result<Option<&[u8]>, ()> {
    match reply {
        Some(Reply::Absent) => Ok(None),
        Some(Reply::Bytes(value)) => Ok(Some(value)),
        Some(Reply::Integer(_) | Reply::Flag(_) | Reply::List(_) | Reply::Error(_)) | None => {
            Err(())
        }
    }
}

/// A register with `get`, `set`, `cas` and `del`. Values need not be unique.
#[derive(Default, Debug)]
pub struct Register {
    numbers: HashMap<Vec<u8>, u32>,
    values: Vec<Vec<u8>>,
}

/// A step of [`Register`]; values are numbered.
#[derive(Debug)]
pub enum RegisterStep {
    /// Saw this value.
    Get(Option<u32>),
    /// Wrote this value.
    Set(u32),
    /// Wrote `value` if it found `expected`.
    Cas {
        /// What had to be there.
        expected: Option<u32>,
        /// What was to be written.
        value: u32,
        /// Whether it was, if that is known.
        written: Option<bool>,
    },
    /// Removed the value; whether there was one, if that is known.
    Delete(Option<bool>),
    /// A reply that a register cannot give.
    Impossible,
}

impl Register {
    fn number(&mut self, value: &[u8]) -> u32 {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        let number = u32::try_from(self.values.len()).expect("a history has under 2^32 values");
        self.values.push(value.to_vec());
        self.numbers.insert(value.to_vec(), number);
        number
    }
}

impl Model for Register {
    type State = Option<u32>;
    type Step = RegisterStep;

    fn initial(&self) -> Self::State {
        None
    }

    fn prepare(&mut self, operation: &Operation) -> Result<RegisterStep, String> {
        let reply = operation.reply.as_ref();
        let step = match &operation.call {
            Call::Get => {
                value(reply).map(|seen| RegisterStep::Get(seen.map(|value| self.number(value))))
            }
            Call::Set(value) => match flag(reply) {
                Ok(Some(true) | None) => Ok(RegisterStep::Set(self.number(value))),
                Ok(Some(false)) | Err(()) => Err(()),
            },
            Call::Cas { expected, value } => flag(reply).map(|written| RegisterStep::Cas {
                expected: expected.as_ref().map(|value| self.number(value)),
                value: self.number(value),
                written,
            }),
            Call::Delete => flag(reply).map(RegisterStep::Delete),
            Call::Increment(_) | Call::Append(_) | Call::Transaction(_) => {
                return unsupported("register", &operation.call);
            }
        };
        Ok(step.unwrap_or(RegisterStep::Impossible))
    }

    fn apply(&self, state: &Self::State, step: &RegisterStep) -> Option<Self::State> {
        match *step {
            RegisterStep::Get(seen) => (seen == *state).then_some(*state),
            RegisterStep::Set(value) => Some(Some(value)),
            RegisterStep::Cas { expected, value, written } => {
                let writes = expected == *state;
                let after = if writes { Some(value) } else { *state };
                written.is_none_or(|written| written == writes).then_some(after)
            }
            RegisterStep::Delete(removed) => {
                removed.is_none_or(|removed| removed == state.is_some()).then_some(None)
            }
            RegisterStep::Impossible => None,
        }
    }

    fn describe(&self, state: &Self::State) -> String {
        match state {
            Some(number) => Readable(&self.values[*number as usize]).to_string(),
            None => "absent".to_owned(),
        }
    }
}

/// A counter with `incr` and `get`; a read sees its decimal text.
#[derive(Default, Debug)]
pub struct Counter;

/// A step of [`Counter`].
#[derive(Debug)]
pub enum CounterStep {
    /// Saw this count.
    Get(Option<i64>),
    /// Added `by`; the count after it, if that is known.
    Add(i64, Option<i64>),
    /// A reply that a counter cannot give.
    Impossible,
}

impl Model for Counter {
    type State = Option<i64>;
    type Step = CounterStep;

    fn initial(&self) -> Self::State {
        None
    }

    fn prepare(&mut self, operation: &Operation) -> Result<CounterStep, String> {
        let reply = operation.reply.as_ref();
        let step = match &operation.call {
            Call::Get => value(reply).and_then(|seen| match seen {
                None => Ok(CounterStep::Get(None)),
                Some(text) => {
                    let count = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                    count.map(|count| CounterStep::Get(Some(count))).ok_or(())
                }
            }),
            Call::Increment(by) => integer(reply).map(|after| CounterStep::Add(*by, after)),
            Call::Set(_)
            | Call::Cas { .. }
            | Call::Append(_)
            | Call::Delete
            | Call::Transaction(_) => return unsupported("counter", &operation.call),
        };
        Ok(step.unwrap_or(CounterStep::Impossible))
    }

    fn apply(&self, state: &Self::State, step: &CounterStep) -> Option<Self::State> {
        match *step {
            CounterStep::Get(seen) => (seen == *state).then_some(*state),
            CounterStep::Add(by, after) => {
                let sum = state.unwrap_or(0).checked_add(by)?;
                after.is_none_or(|after| after == sum).then_some(Some(sum))
            }
            CounterStep::Impossible => None,
        }
    }

    fn describe(&self, state: &Self::State) -> String {
        state.map_or_else(|| "absent".to_owned(), |count| count.to_string())
    }
}

/// A text that only grows, with `append` and `get` of the whole.
///
/// The state is the text's length and a fingerprint of 128 bits, so that states stay small
/// however long the text gets.
#[derive(Default, Debug)]
pub struct AppendLog;

/// A piece of text: its length, and its fingerprint: the polynomial of its bytes modulo 2^128.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Text {
    length: u64,
    fingerprint: u128,
}

/// The polynomial's argument: odd, with bits all over.
const BASE: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Text {
    const EMPTY: Self = Self { length: 0, fingerprint: 0 };

    fn of(bytes: &[u8]) -> Self {
        let fingerprint = bytes
            .iter()
            .fold(0u128, |sum, &byte| sum.wrapping_mul(BASE).wrapping_add(u128::from(byte) + 1));
        Self { length: bytes.len() as u64, fingerprint }
    }

    fn then(self, tail: Self) -> Self {
        let (mut power, mut square, mut exponent) = (1u128, BASE, tail.length);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = power.wrapping_mul(square);
            }
            square = square.wrapping_mul(square);
            exponent >>= 1;
        }
        let fingerprint = self.fingerprint.wrapping_mul(power).wrapping_add(tail.fingerprint);
        Self { length: self.length + tail.length, fingerprint }
    }
}

/// A step of [`AppendLog`].
#[derive(Debug)]
pub enum AppendLogStep {
    /// Saw this text.
    Get(Option<Text>),
    /// Appended a text; the whole length after it, if that is known.
    Append(Text, Option<i64>),
    /// A reply that a text cannot give.
    Impossible,
}

impl Model for AppendLog {
    type State = Option<Text>;
    type Step = AppendLogStep;

    fn initial(&self) -> Self::State {
        None
    }

    fn prepare(&mut self, operation: &Operation) -> Result<AppendLogStep, String> {
        let reply = operation.reply.as_ref();
        let step = match &operation.call {
            Call::Get => value(reply).map(|seen| AppendLogStep::Get(seen.map(Text::of))),
            Call::Append(text) => {
                integer(reply).map(|length| AppendLogStep::Append(Text::of(text), length))
            }
            Call::Set(_)
            | Call::Cas { .. }
            | Call::Increment(_)
            | Call::Delete
            | Call::Transaction(_) => return unsupported("text", &operation.call),
        };
        Ok(step.unwrap_or(AppendLogStep::Impossible))
    }

    fn apply(&self, state: &Self::State, step: &AppendLogStep) -> Option<Self::State> {
        match *step {
            AppendLogStep::Get(seen) => (seen == *state).then_some(*state),
            AppendLogStep::Append(tail, length) => {
                let after = state.unwrap_or(Text::EMPTY).then(tail);
                let agrees = |length| u64::try_from(length) == Ok(after.length);
                length.is_none_or(agrees).then_some(Some(after))
            }
            AppendLogStep::Impossible => None,
        }
    }

    fn describe(&self, state: &Self::State) -> String {
        match state {
            Some(text) => format!("a text of {} bytes", text.length),
            None => "absent".to_owned(),
        }
    }
}

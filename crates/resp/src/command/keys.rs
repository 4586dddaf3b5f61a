//! Where a command's keys are among its arguments.
//!
//! A command has key specifications as in Redis 7: where to begin, and how to go on from there.
//! From them follow the short form (first, last, step) of older clients, routing, and
//! COMMAND GETKEYS.

use super::{Command, KeyFlags};
use crate::number::parse_i64;

/// Where a specification's first key, or the number of its keys, is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// At this argument; the command's name is argument 0.
    Index(usize),
    /// After this word, looked for from argument `from` on; counted from the end if negative.
    Keyword {
        /// The word, in any case.
        word: &'static str,
        /// The argument where the search begins.
        from: isize,
    },
    /// Only the command itself knows.
    Unknown,
}

/// Which arguments are keys, given where they begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Find {
    /// Every `step`th argument up to the last one.
    Range {
        /// The last key: relative to the first, or to the end if negative (-1: last argument).
        last: isize,
        /// The distance between two keys.
        step: usize,
        /// If `last` is -1 and this is 2 or more: the keys are the first 1/limit of the rest.
        limit: usize,
    },
    /// An argument holds the number of keys.
    Count {
        /// Where the number is, relative to the beginning.
        at: usize,
        /// Where the first key is, relative to the beginning.
        first: usize,
        /// The distance between two keys.
        step: usize,
    },
    /// Only the command itself knows.
    Unknown,
}

/// A specification of some of a command's keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeySpec {
    /// What they are used for.
    pub flags: KeyFlags,
    /// Where they begin.
    pub begin: Begin,
    /// How they go on.
    pub find: Find,
    /// A remark for the reader, or nothing.
    pub notes: &'static str,
}

/// The short form of a command's keys: the first key's argument, the last one's (relative to the
/// end if negative), and the distance between two. All 0 if there are none to be told this way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyRange {
    /// The argument of the first key.
    pub first: usize,
    /// The argument of the last key.
    pub last: isize,
    /// The distance between two keys.
    pub step: usize,
}

/// The keys cannot be found: a syntax error, or a command whose keys only itself knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidKeys;

/// One key of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyPosition {
    /// Which argument it is.
    pub index: usize,
    /// What it is used for.
    pub flags: KeyFlags,
}

impl KeyRange {
    /// What the specifications say if it can be said in the short form, as Redis derives it.
    pub(super) const fn of(specs: &[KeySpec]) -> Self {
        let none = Self { first: 0, last: 0, step: 0 };
        if let [KeySpec { begin: Begin::Index(first), find, .. }] = specs
            && let Find::Range { last, step, .. } = *find
        {
            return Self { first: *first, last: absolute(last, *first), step };
        }
        // Several neighbouring ranges of step 1 are one range.
        let mut whole = none;
        let mut at = 0;
        while at < specs.len() {
            if let Begin::Index(first) = specs[at].begin
                && let Find::Range { last, step, .. } = specs[at].find
            {
                if step != 1 || (whole.last != 0 && whole.last != first as isize - 1) {
                    return none;
                }
                if whole.first == 0 {
                    whole.first = first;
                }
                whole.last = absolute(last, first);
                whole.step = 1;
            }
            at += 1;
        }
        whole
    }
}

const fn absolute(last: isize, first: usize) -> isize {
    if last >= 0 { last + first as isize } else { last }
}

impl KeySpec {
    /// The arguments (first, last, step) that this specification names, if any.
    fn arguments(&self, args: &[impl AsRef<[u8]>]) -> Result<Option<Span>, InvalidKeys> {
        let first = match self.begin {
            Begin::Index(index) => index,
            Begin::Keyword { word, from } => match find_word(args, word, from) {
                Some(at) => at + 1,
                None => return Ok(None),
            },
            Begin::Unknown => return Err(InvalidKeys),
        };
        let span = match self.find {
            Find::Range { last, step, limit } => {
                let last = if last >= 0 {
                    first.checked_add_signed(last)
                } else if limit < 2 {
                    args.len().checked_add_signed(last)
                } else {
                    let rest = args.len().checked_sub(first).ok_or(InvalidKeys)?;
                    (first + rest / limit).checked_add_signed(last)
                };
                Span { next: first, last: last.ok_or(InvalidKeys)?, step, flags: self.flags }
            }
            Find::Count { at, first: skip, step } => {
                let count = args.get(first + at).and_then(|count| parse_i64(count.as_ref()));
                let count = count.and_then(|count| usize::try_from(count).ok());
                let steps = count.and_then(|count| count.checked_sub(1)).ok_or(InvalidKeys)?;
                let first = first + skip;
                let last = steps.checked_mul(step).and_then(|far| far.checked_add(first));
                Span { next: first, last: last.ok_or(InvalidKeys)?, step, flags: self.flags }
            }
            Find::Unknown => return Err(InvalidKeys),
        };
        if span.next <= span.last && span.last < args.len() {
            Ok(Some(span))
        } else {
            Err(InvalidKeys)
        }
    }
}

/// Finds a word among the arguments, forwards from `from`, or backwards if it is negative. The
/// command's name is not looked at, and the last argument can't be followed by a key.
fn find_word(args: &[impl AsRef<[u8]>], word: &str, from: isize) -> Option<usize> {
    let is_word = |at: &usize| args[*at].as_ref().eq_ignore_ascii_case(word.as_bytes());
    let end = args.len().saturating_sub(1);
    match usize::try_from(from) {
        Ok(from) => (from..end).find(is_word),
        Err(_) => {
            let from = args.len().checked_add_signed(from)?;
            (2..=from).rev().find(is_word)
        }
    }
}

/// A range of arguments that are keys; empty once `next` has passed `last`.
#[derive(Clone, Copy, Debug)]
struct Span {
    next: usize,
    last: usize,
    step: usize,
    flags: KeyFlags,
}

/// The keys of one request, in the order of the command's specifications.
#[derive(Clone, Debug)]
pub struct KeyPositions<'a, A> {
    specs: core::slice::Iter<'static, KeySpec>,
    args: &'a [A],
    span: Option<Span>,
}

impl<A: AsRef<[u8]>> Iterator for KeyPositions<'_, A> {
    type Item = KeyPosition;

    fn next(&mut self) -> Option<KeyPosition> {
        loop {
            if let Some(span) = &mut self.span
                && span.next <= span.last
            {
                let index = span.next;
                span.next += span.step;
                return Some(KeyPosition { index, flags: span.flags });
            }
            let spec = self.specs.next()?;
            if !spec.flags.contains(KeyFlags::NOT_KEY) {
                // `keys` has found that every specification is valid.
                self.span = spec.arguments(self.args).ok().flatten();
            }
        }
    }
}

/// Finds the keys among the arguments, the command's name included.
///
/// # Errors
/// If the arguments contradict the command's key specifications, or these are incomplete.
pub fn keys<'a, A: AsRef<[u8]>>(
    command: &'static Command,
    args: &'a [A],
) -> Result<KeyPositions<'a, A>, InvalidKeys> {
    for spec in command.key_specs {
        if spec.flags.contains(KeyFlags::NOT_KEY) {
            continue;
        }
        spec.arguments(args)?;
        if spec.flags.contains(KeyFlags::INCOMPLETE) {
            return Err(InvalidKeys);
        }
    }
    Ok(KeyPositions { specs: command.key_specs.iter(), args, span: None })
}

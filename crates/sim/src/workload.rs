//! What clients ask for, and what they remember of it.
//!
//! Each key belongs to a class, so that its history can be judged by one of the checkers:
//! registers with unique values, counters, texts, registers with deletes, registers that are
//! compared and set by WATCH, and pairs of keys that are written and read in transactions.

use history::{Call, Key};
use types::Slot;

use crate::aside::{Aside, Awaited, Variety};
use crate::expiry::Timed;
use crate::random::Random;

/// The classes of keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// SET and GET of unique values.
    Register,
    /// INCR and GET.
    Counter,
    /// APPEND and GET.
    Text,
    /// SET, GET and DEL.
    Deleted,
    /// WATCH, GET, then MULTI, SET, EXEC.
    Watched,
    /// MULTI, SET, SET, EXEC and MULTI, GET, GET, EXEC.
    Pair,
    /// SET with a short time to live, and GET.
    Expiring,
}

/// All of them.
pub const CLASSES: [Class; 7] = [
    Class::Register,
    Class::Counter,
    Class::Text,
    Class::Deleted,
    Class::Watched,
    Class::Pair,
    Class::Expiring,
];

/// What the clients of a run do.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How many clients there are.
    pub clients: usize,
    /// The classes of keys that are used, registers always among them.
    pub classes: Vec<Class>,
    /// How many keys each class has.
    pub keys: u64,
    /// Most actions that a client sends at once.
    pub pipeline: u64,
    /// Actions in a thousand that read.
    pub reads_permille: u64,
    /// Longest pause between actions of a client, in nanoseconds.
    pub think: u64,
    /// How long a client waits for a reply, in nanoseconds.
    pub patience: u64,
    /// Bytes that values are filled up to.
    pub value_bytes: usize,
    /// Bring all keys into one slot.
    pub one_slot: bool,
    /// What they do beside the usual.
    pub variety: Variety,
}

/// One thing that a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) class: Class,
    pub(crate) key: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Read,
    Write,
    Delete,
    /// The second half of compare-and-set: what was read while watching.
    Exchange(Option<Vec<u8>>),
    /// Something beside the usual.
    Aside(Aside),
}

impl Action {
    /// Whether it is the first half of a compare-and-set.
    pub(crate) fn watches(&self) -> bool {
        self.class == Class::Watched && self.what == What::Write
    }
}

/// What the reply to one command means.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// `OK` or `QUEUED`: an error here shows again in EXEC's reply.
    Nothing,
    /// The reply of an operation of the history.
    Operation(usize),
    /// The reply of a read that was sent after WATCH of this key.
    Watched(usize, u64),
    /// EXEC of two writes or two reads.
    Pair(usize),
    /// EXEC of a compare-and-set.
    Exchange(usize),
    /// A value that may have expired, judged or not.
    Expiring(Option<Timed>),
    /// EXEC of writes that end with both halves of a pair equal.
    Composed(usize),
    /// Of something beside the usual.
    Aside(Awaited),
}

impl Workload {
    /// Draws the next action.
    pub(crate) fn draw(&self, random: &mut Random) -> Action {
        if let Some(aside) = self.variety.pick(random) {
            return Action { class: Class::Register, key: 0, what: What::Aside(aside) };
        }
        let class = random.pick(&self.classes);
        let key = random.between(0, self.keys - 1);
        let read = random.permille(self.reads_permille);
        let what = match class {
            _ if read => What::Read,
            Class::Deleted if random.permille(400) => What::Delete,
            Class::Register
            | Class::Counter
            | Class::Text
            | Class::Deleted
            | Class::Watched
            | Class::Pair
            | Class::Expiring => What::Write,
        };
        Action { class, key, what }
    }

    /// Every key once, to be read at the end.
    pub(crate) fn audit(&self) -> Vec<Action> {
        let keys =
            |&class: &Class| (0..self.keys).map(move |key| Action { class, key, what: What::Read });
        self.classes.iter().flat_map(keys).collect()
    }

    /// The key of an action. Pairs have two, which differ in their last byte; this is what both
    /// begin with.
    pub(crate) fn key(&self, action: &Action) -> Vec<u8> {
        let letter = match action.class {
            Class::Register => 'r',
            Class::Counter => 'c',
            Class::Text => 't',
            Class::Deleted => 'd',
            Class::Watched => 'w',
            Class::Pair => 'p',
            Class::Expiring => 'e',
        };
        let key = action.key;
        if self.one_slot {
            format!("{{one}}{letter}{key}").into_bytes()
        } else {
            format!("{{{letter}{key}}}").into_bytes()
        }
    }

    /// The slots that the workload touches.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> =
            self.audit().iter().map(|action| resp::slot_of(&self.key(action))).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// The history's call for an action, with a value that no other write has.
    pub(crate) fn call(&self, action: &Action, unique: u64) -> Call {
        let value = || {
            let mut value = format!("v{unique}").into_bytes();
            if value.len() < self.value_bytes {
                value.push(b'.');
                value.resize(self.value_bytes, b'x');
            }
            value
        };
        match (&action.what, action.class) {
            (What::Read | What::Aside(_), _) => Call::Get,
            (What::Delete, _) => Call::Delete,
            (What::Exchange(expected), _) => {
                Call::Cas { expected: expected.clone(), value: value() }
            }
            (What::Write, Class::Counter) => Call::Increment(1),
            (What::Write, Class::Text) => Call::Append(format!("[{unique}]").into_bytes()),
            (
                What::Write,
                Class::Register | Class::Deleted | Class::Watched | Class::Pair | Class::Expiring,
            ) => Call::Set(value()),
        }
    }
}

/// The commands that make a call, each with what its reply means.
pub(crate) fn commands(
    action: &Action,
    key: &Key,
    call: &Call,
    operation: usize,
    time_to_live: u64,
    composed: bool,
) -> Vec<(Vec<Vec<u8>>, Expected)> {
    let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
    let sub = |suffix: u8| [key, &[suffix][..]].concat();
    let (x, y) = (sub(b'x'), sub(b'y'));
    let done = Expected::Operation(operation);
    let nothing = || Expected::Nothing;
    match (action.class, call) {
        (Class::Pair, Call::Set(value)) if composed => compose(key, value, operation, time_to_live),
        (Class::Pair, Call::Set(value)) => vec![
            (words(&[b"MULTI"]), nothing()),
            (words(&[b"SET", &x, value]), nothing()),
            (words(&[b"SET", &y, value]), nothing()),
            (words(&[b"EXEC"]), Expected::Pair(operation)),
        ],
        (Class::Pair, _) => vec![
            (words(&[b"MULTI"]), nothing()),
            (words(&[b"GET", &x]), nothing()),
            (words(&[b"GET", &y]), nothing()),
            (words(&[b"EXEC"]), Expected::Pair(operation)),
        ],
        (Class::Expiring, Call::Set(value)) => {
            let life = time_to_live.to_string();
            vec![(words(&[b"SET", key, value, b"PX", life.as_bytes()]), Expected::Expiring(None))]
        }
        (Class::Expiring, _) => vec![(words(&[b"GET", key]), Expected::Expiring(None))],
        (_, Call::Get) => vec![(words(&[b"GET", key]), done)],
        (_, Call::Set(value)) => vec![(words(&[b"SET", key, value]), done)],
        (_, Call::Increment(_)) => vec![(words(&[b"INCR", key]), done)],
        (_, Call::Append(text)) => vec![(words(&[b"APPEND", key, text]), done)],
        (_, Call::Delete) => vec![(words(&[b"DEL", key]), done)],
        (_, Call::Cas { value, .. }) => vec![
            (words(&[b"MULTI"]), nothing()),
            (words(&[b"SET", key, value]), nothing()),
            (words(&[b"EXEC"]), Expected::Exchange(operation)),
        ],
        (_, Call::Transaction(_)) => Vec::new(),
    }
}

/// Writes both halves of a pair in one of several ways.
fn compose(
    key: &Key,
    value: &[u8],
    operation: usize,
    chance: u64,
) -> Vec<(Vec<Vec<u8>>, Expected)> {
    let sub = |suffix: u8| [key, &[suffix][..]].concat();
    let (x, y, z) = (sub(b'x'), sub(b'y'), sub(b'z'));
    let ways: [&[&[&[u8]]]; 3] = [
        &[&[b"SET", &x, value], &[b"COPY", &x, &y, b"REPLACE"]],
        &[&[b"SET", &z, value], &[b"RENAME", &z, &x], &[b"BITOP", b"OR", &y, &x, &x]],
        &[&[b"DEL", &x], &[b"SETRANGE", &x, b"0", value], &[b"COPY", &x, &y, b"REPLACE"]],
    ];
    let mut commands = vec![(vec![b"MULTI".to_vec()], Expected::Nothing)];
    for command in ways[chance as usize % ways.len()] {
        commands.push((command.iter().map(|word| word.to_vec()).collect(), Expected::Nothing));
    }
    commands.push((vec![b"EXEC".to_vec()], Expected::Composed(operation)));
    commands
}

/// The commands that begin a compare-and-set.
pub(crate) fn watch(key: &Key, operation: usize, number: u64) -> Vec<(Vec<Vec<u8>>, Expected)> {
    vec![
        (vec![b"WATCH".to_vec(), key.to_vec()], Expected::Nothing),
        (vec![b"GET".to_vec(), key.to_vec()], Expected::Watched(operation, number)),
    ]
}

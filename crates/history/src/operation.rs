//! One operation of a client, as the client saw it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A key. Shared, because a history names few keys in many operations.
pub type Key = Arc<[u8]>;

/// What was asked of the store, with the arguments.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// Read the value. Answered by [`Reply::Bytes`] or [`Reply::Absent`].
    Get,
    /// Write a value. Answered by [`Reply::Flag`] `true`.
    Set(Vec<u8>),
    /// Write `value` if the present value is `expected` (`None`: if the key is absent).
    /// Answered by [`Reply::Flag`]: whether it was written.
    Cas {
        /// The value that must be present, or `None` for an absent key.
        expected: Option<Vec<u8>>,
        /// The value to write.
        value: Vec<u8>,
    },
    /// Add to a counter that begins at 0. Answered by [`Reply::Integer`], the new value.
    Increment(i64),
    /// Append to a text that begins empty. Answered by [`Reply::Integer`], its new length.
    Append(Vec<u8>),
    /// Remove the key. Answered by [`Reply::Flag`]: whether there was one.
    Delete,
    /// Several calls in one atomic step. Answered by [`Reply::List`], a reply for each.
    Transaction(Vec<Step>),
}

/// One call of a transaction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Step {
    /// The key that the call is about.
    pub key: Key,
    /// The call; not a transaction.
    pub call: Call,
}

/// The functions' names in the file format.
pub const FUNCTION_NAMES: [&str; 7] = ["get", "set", "cas", "incr", "append", "del", "txn"];

impl Call {
    /// The function's name in the file format, one of [`FUNCTION_NAMES`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set(_) => "set",
            Self::Cas { .. } => "cas",
            Self::Increment(_) => "incr",
            Self::Append(_) => "append",
            Self::Delete => "del",
            Self::Transaction(_) => "txn",
        }
    }
}

/// What the store answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Reply {
    /// There is no such key.
    Absent,
    /// A value.
    Bytes(Vec<u8>),
    /// A count or a length.
    Integer(i64),
    /// Done (`set`), or whether something was done (`cas`, `del`).
    Flag(bool),
    /// The replies of a transaction's calls.
    List(Vec<Reply>),
    /// An error's text.
    Error(String),
}

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// The store answered; [`Operation::reply`] holds the answer.
    Ok,
    /// The store promised that it applied nothing.
    Fail,
    /// Nobody knows: it may have been applied, may be applied later, or never.
    Info,
}

/// One operation of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Who called. A process has one operation at a time and none after an `Info`.
    pub process: u64,
    /// The key; for a transaction a name for the set of keys.
    pub key: Key,
    /// What was asked.
    pub call: Call,
    /// When the call began, in nanoseconds on the history's clock.
    pub start: u64,
    /// When the call ended, in nanoseconds, not before `start`. Always there when `status` is
    /// `Ok`. What it says of an `Info` operation bounds nothing: its effect may come later.
    pub end: Option<u64>,
    /// The answer. Always there when `status` is `Ok`.
    pub reply: Option<Reply>,
    /// How it ended.
    pub status: Status,
    /// The node that was asked, where known.
    pub node: Option<u32>,
    /// The lease epoch under which it was answered, where known.
    pub epoch: Option<u64>,
}

impl Operation {
    /// When the operation's effect is over for certain: `u64::MAX` unless it is `Ok`.
    #[must_use]
    pub fn effect_end(&self) -> u64 {
        match (self.status, self.end) {
            (Status::Ok, Some(end)) => end,
            (Status::Ok | Status::Fail | Status::Info, _) => u64::MAX,
        }
    }
}

/// The operations of each key, in the order of their start. Transactions go by their own name.
#[must_use]
pub fn by_key(history: &[Operation]) -> BTreeMap<&[u8], Vec<&Operation>> {
    let mut keys: BTreeMap<&[u8], Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        keys.entry(&operation.key).or_default().push(operation);
    }
    for operations in keys.values_mut() {
        operations.sort_by_key(|operation| operation.start);
    }
    keys
}

/// Bytes as a person reads them: text stays text, the rest is escaped, long values are cut.
pub(crate) struct Readable<'a>(pub(crate) &'a [u8]);

/// How much of a value a message shows, in bytes.
const SHOWN_BYTES_MAX: usize = 64;

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES_MAX)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, "... and {more} bytes"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get => write!(f, "get"),
            Self::Set(value) => write!(f, "set {}", Readable(value)),
            Self::Cas { expected: Some(expected), value } => {
                write!(f, "cas {} -> {}", Readable(expected), Readable(value))
            }
            Self::Cas { expected: None, value } => {
                write!(f, "cas absent -> {}", Readable(value))
            }
            Self::Increment(by) => write!(f, "incr {by}"),
            Self::Append(text) => write!(f, "append {}", Readable(text)),
            Self::Delete => write!(f, "del"),
            Self::Transaction(steps) => {
                write!(f, "txn")?;
                for step in steps {
                    write!(f, " [{} {}]", Readable(&step.key), step.call)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "absent"),
            Self::Bytes(value) => write!(f, "{}", Readable(value)),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(replies) => {
                write!(f, "[")?;
                for (at, reply) in replies.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{reply}")?;
                }
                write!(f, "]")
            }
            Self::Error(text) => write!(f, "error {text}"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} {} -> ", self.process, self.call)?;
        match (&self.reply, self.status) {
            (Some(reply), Status::Ok) => write!(f, "{reply}")?,
            (_, Status::Ok) => write!(f, "ok")?,
            (_, Status::Fail) => write!(f, "failed")?,
            (_, Status::Info) => write!(f, "unknown outcome")?,
        }
        match self.end {
            Some(end) => write!(f, " at [{}, {}]", self.start, end)?,
            None => write!(f, " at [{}, never]", self.start)?,
        }
        if let Some(node) = self.node {
            write!(f, " node {node}")?;
        }
        if let Some(epoch) = self.epoch {
            write!(f, " epoch {epoch}")?;
        }
        Ok(())
    }
}

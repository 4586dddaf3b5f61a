//! What a checker says of one key.

use crate::operation::{Key, Operation, Readable};
use std::fmt;

/// A checker's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There is an order of the operations that explains every answer.
    Linearizable,
    /// There is no such order.
    Violation(Box<Violation>),
    /// The checker cannot tell, and why.
    Unknown(String),
}

/// Why a history is not linearizable, for a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The key it happened on.
    pub key: Key,
    /// What contradicts what.
    pub reason: String,
    /// The operations that take part in the contradiction.
    pub operations: Vec<Operation>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}: {}", Readable(&self.key), self.reason)?;
        for operation in &self.operations {
            write!(f, "\n    {operation}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable => write!(f, "linearizable"),
            Self::Violation(violation) => write!(f, "VIOLATION: {violation}"),
            Self::Unknown(reason) => write!(f, "unknown: {reason}"),
        }
    }
}

//! A transaction that its client has begun.

use alloc::boxed::Box;
use alloc::vec::Vec;

use resp::CommandId;
use types::Slot;

/// Commands queued between MULTI and EXEC.
#[derive(Default)]
pub(crate) struct Transaction {
    pub(crate) commands: Vec<QueuedCommand>,
    pub(crate) bytes: usize,
    /// A command was refused: EXEC will discard the transaction.
    pub(crate) failed: bool,
    pub(crate) slot: Option<Slot>,
    pub(crate) writes: bool,
}

/// A command in a transaction.
pub(crate) struct QueuedCommand {
    pub(crate) id: CommandId,
    pub(crate) args: Vec<Box<[u8]>>,
}

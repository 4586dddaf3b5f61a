//! How much the answers to requests under way may be: to a client, and to other nodes.
//!
//! A few bytes of requests may ask for gigabytes, and what was asked for can't be taken back. So a
//! client may have only so many requests under way whose answers may be long, and fewer when its
//! last ones were long. Those that are sent to another node are the ones that matter: what is
//! answered at once is taken before the next request is.

use alloc::collections::BTreeMap;

use resp::CommandId;
use resp::command::{Command, Flags, Handler};
use types::NodeId;
use types::limits::{ANSWERS_UNDER_WAY_MAX, FORWARD_BYTES_MAX};

/// What is shorter than this is answered whatever waits.
const SHORT_BYTES: usize = 1 << 10;

/// Of one client.
#[derive(Default)]
pub(super) struct Answers {
    under_way: usize,
    /// Bytes of one, about, as the last ones were.
    expected: usize,
}

impl Answers {
    /// Whether the answer to a command may be more than a few bytes.
    pub(super) fn may_be_long(command: &Command) -> bool {
        let returns =
            matches!(command.id(), Some(CommandId::GetDel | CommandId::GetEx | CommandId::GetSet));
        let runs_others = matches!(command.handler, Handler::Transaction);
        returns || runs_others || !command.flags.contains(Flags::WRITE)
    }

    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    pub(super) fn end(&mut self, bytes: usize) {
        self.under_way -= 1;
        self.expected = bytes.max(self.expected - self.expected / 8);
    }

    /// How many requests the client may have under way, if so many bytes may be.
    fn most(&self, bytes: usize) -> usize {
        (bytes / self.expected.max(1)).clamp(1, ANSWERS_UNDER_WAY_MAX)
    }

    pub(super) fn are_enough(&self, bytes: usize) -> bool {
        self.under_way >= self.most(bytes)
    }

    /// Whether so few are left that the client may go on.
    pub(super) fn are_few(&self, bytes: usize) -> bool {
        self.under_way <= self.most(bytes) / 2
    }
}

/// What waits to be written to other nodes.
pub(crate) struct Outbound {
    /// Bytes that the driver has yet to write to each node, if any.
    backlogs: BTreeMap<NodeId, usize>,
    /// Bytes of this turn's answers.
    answered: BTreeMap<NodeId, usize>,
    /// Most bytes that may wait for a node when a long answer joins them.
    pub(crate) most: usize,
}

impl Default for Outbound {
    fn default() -> Self {
        let (backlogs, answered) = Default::default();
        Self { backlogs, answered, most: FORWARD_BYTES_MAX }
    }
}

impl Outbound {
    pub(crate) fn note_backlog(&mut self, node: NodeId, bytes: usize) {
        if bytes == 0 {
            self.backlogs.remove(&node);
        } else {
            self.backlogs.insert(node, bytes);
        }
    }

    /// Bytes that wait for a node, this turn's answers included.
    pub(crate) fn waiting_for(&self, node: NodeId) -> usize {
        let bytes = |of: &BTreeMap<NodeId, usize>| of.get(&node).copied().unwrap_or(0);
        bytes(&self.backlogs) + bytes(&self.answered)
    }

    /// Whether an answer of so many bytes may join them. What was asked for before it was known
    /// how much waits must not break the connection, on which the log goes as well.
    pub(super) fn takes(&self, node: NodeId, bytes: usize) -> bool {
        bytes < SHORT_BYTES || self.waiting_for(node) < self.most
    }

    pub(super) fn add(&mut self, node: NodeId, bytes: usize) {
        *self.answered.entry(node).or_default() += bytes;
    }

    /// The turn's answers are the driver's by now.
    pub(crate) fn end_turn(&mut self) {
        self.answered.clear();
    }
}

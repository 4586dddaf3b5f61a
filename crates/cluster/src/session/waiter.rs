//! Who waits for the outcome of a request.

use types::{NodeId, SessionId};

/// Who waits for the outcome of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waiter {
    /// A client of this node, at this place in its pipeline.
    Client { session: SessionId, ticket: u64 },
    /// Another node, on behalf of one of its clients, or of one that is connected to a third. That
    /// client's own node has numbered the request, too: with `at_home`.
    Peer { node: NodeId, request: u64, at_home: u64, resp3: bool },
    /// A part of a request to several shards, and the place of the whole in its pipeline.
    Gather { gather: u64, part: usize, ticket: u64 },
    /// Nobody: the node itself asked.
    Nobody,
}

impl Waiter {
    /// The request's number among those of the same client, which grows in the order of sending;
    /// for one that another node forwarded, that of the client's own node.
    pub(crate) fn number(self) -> Option<u64> {
        match self {
            Self::Client { ticket, .. } | Self::Gather { ticket, .. } => Some(ticket),
            Self::Peer { at_home, .. } => Some(at_home),
            Self::Nobody => None,
        }
    }
}

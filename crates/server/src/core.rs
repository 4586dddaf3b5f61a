//! The pure core with the outputs of the turn that is under way.
//!
//! Every call reads the clock itself, after the input's bytes were read: that is rule R4, and no
//! caller can break it by keeping an old reading.

use cluster::Node;
use cluster::{Admission, Input, Output};
use types::{Monotonic, Now, SessionId};

use crate::clock;

/// The node's state machine and what it wants done.
pub(crate) struct Core {
    /// The state machine.
    pub(crate) node: Node,
    /// Outputs of this turn, not yet performed.
    pub(crate) outputs: Vec<Output>,
    /// Something was handed over since the last settling.
    unsettled: bool,
}

impl Core {
    /// Wraps a node. It settles at once, to begin whatever it has to do.
    pub(crate) fn new(node: Node) -> Self {
        Self { node, outputs: Vec::new(), unsettled: true }
    }

    /// Hands an input over.
    pub(crate) fn step(&mut self, input: Input) {
        self.unsettled = true;
        self.node.step(clock::now(), input);
    }

    /// Hands a request over. `now` was read after the request's bytes.
    pub(crate) fn request(&mut self, now: Now, session: SessionId, args: &[&[u8]]) -> Admission {
        self.unsettled = true;
        self.node.request(now, session, args)
    }

    /// Hands a long request over, with the bytes that it arrived in.
    pub(crate) fn request_long(
        &mut self,
        now: Now,
        session: SessionId,
        bytes: Vec<u8>,
        args: &[(usize, usize)],
    ) -> Admission {
        self.unsettled = true;
        self.node.request_long(now, session, bytes, args)
    }

    /// Ends a session after a protocol error, in order with its replies.
    pub(crate) fn protocol_error(&mut self, session: SessionId, text: &str) {
        self.unsettled = true;
        self.node.protocol_error(session, text);
    }

    /// Ends the turn.
    pub(crate) fn settle(&mut self) {
        self.unsettled = false;
        self.node.settle(clock::now(), &mut self.outputs);
    }

    /// When the core must settle again, at the latest.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        if self.unsettled { Monotonic::default() } else { self.node.next_deadline() }
    }
}

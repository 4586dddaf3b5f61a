//! What clients are told whose requests were not answered by those who should have.
//!
//! One word says that a request may have been executed: UNCERTAIN. It is for writes only. With any
//! other error word nothing was changed.

use alloc::vec::Vec;

use resp::{Protocol, Reply};

use crate::entry;
use crate::io::{ForwardOutcome, Message};
use crate::planted::Planting;
use crate::session::{Sessions, Waiter};
use crate::settings::Settings;

/// Whether an encoded reply says that a request's outcome can't be known.
pub(crate) fn is_uncertain(reply: &[u8]) -> bool {
    reply.starts_with(b"-UNCERTAIN ")
}

/// The reply when a write's outcome can't be known.
pub(crate) const UNCERTAIN: &str = "UNCERTAIN the node that served this request failed, or lost \
    its lease or its majority, before it could answer: the request may or may not have been \
    executed";

/// The reply to a read that would see what the same client asked for later.
pub(crate) const OVERTAKEN: &str = "TRYAGAIN the node that served this read failed, or lost its \
    lease, before it could answer, and later requests of this connection may have been executed; \
    the read was not";

/// The reply to a request that changes nothing and was not answered in time.
pub(crate) const UNANSWERED: &str = "TRYAGAIN the node that serves this shard has not answered in \
    time; the request has changed nothing, try again";

/// What is answered instead of a reply that fits in no message between nodes.
pub(crate) fn too_long_to_pass_on(len: usize) -> Vec<u8> {
    error(&alloc::format!(
        "ERR the request was executed, but its reply of {len} bytes is too long to be passed on by \
         another node; connect to the node that holds the shard"
    ))
}

/// The reply to a request whose answer finds too many others before it.
pub(crate) fn too_much_to_pass_on(len: usize) -> Vec<u8> {
    error(&alloc::format!(
        "ERR the request was executed, but too many bytes wait to be passed on before its reply of \
         {len} bytes; ask for less at a time, or connect to the node that holds the shard"
    ))
}

fn error(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Reply::new(&mut bytes, Protocol::Resp2).error(text);
    bytes
}

impl Sessions {
    /// Answers a request of unknown outcome. One that changes nothing might as well not have been
    /// executed.
    pub(crate) fn answer_unknown(&mut self, settings: &Settings, waiter: Waiter, operation: &[u8]) {
        let changes =
            entry::only_operation(operation).map_or(true, |operation| operation.changes());
        if changes || settings.breaks(Planting::UncertainReads) {
            self.answer_uncertain(waiter);
        } else {
            self.answer_error(waiter, UNANSWERED);
        }
    }

    /// Says that nobody knows whether the request was executed.
    pub(crate) fn answer_uncertain(&mut self, waiter: Waiter) {
        if let Waiter::Peer { node, request, .. } = waiter {
            let outcome = ForwardOutcome::Uncertain;
            self.messages.push((node, Message::ForwardReply { request, outcome }));
        } else {
            self.answer_error(waiter, UNCERTAIN);
        }
    }
}

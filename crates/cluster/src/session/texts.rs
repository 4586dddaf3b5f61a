//! What clients are told when something else than the reply has become of their request.

use alloc::vec::Vec;

use resp::{Protocol, Reply};

/// What is answered instead of a reply that fits in no message between nodes.
pub(super) fn too_long_to_pass_on(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let text = alloc::format!(
        "ERR the request was executed, but its reply of {len} bytes is too long to be passed on by \
         another node; connect to the node that holds the shard"
    );
    Reply::new(&mut bytes, Protocol::Resp2).error(&text);
    bytes
}

/// The reply when a request's outcome can't be known.
pub(crate) const UNCERTAIN: &str = "UNCERTAIN the node that served this request failed before it \
    could answer: the request may or may not have been executed";

/// The reply to a read that would see what the same client asked for later.
pub(crate) const OVERTAKEN: &str = "TRYAGAIN the node that served this read failed before it could \
    answer, and later requests of this connection may have been executed; the read was not";

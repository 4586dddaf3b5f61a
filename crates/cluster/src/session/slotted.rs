//! Requests and their replies in the order of a session.

use alloc::boxed::Box;

use resp::Replies;
use types::ShardId;

use crate::frontend::Asked;

pub(super) enum Slotted {
    Waiting {
        /// What CLIENT REPLY said when the request came.
        silent: bool,
        asked: Option<Asked>,
        /// Bytes of the request.
        bytes: usize,
        /// The reply may have many.
        long: bool,
        /// The shard that was asked, if it is one.
        shard: Option<ShardId>,
    },
    Done(Box<[u8]>),
    /// A reply of which a part lies elsewhere.
    Long(Box<Replies>),
}

impl Slotted {
    pub(super) fn done(replies: Replies) -> Self {
        match replies.into_short() {
            Ok(bytes) => Self::Done(bytes.into()),
            Err(long) => Self::Long(Box::new(long)),
        }
    }
}

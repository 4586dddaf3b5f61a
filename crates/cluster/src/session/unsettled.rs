//! Shards in which a write of a client may still be under way though it was answered: with
//! UNCERTAIN.
//!
//! What the client asks next of such a shard must come behind that write: whoever reads after
//! UNCERTAIN wants to know what became of it. It does until one of those later requests has been
//! executed. From then on the write has taken effect, or never will.

use alloc::vec::Vec;

use types::ShardId;

use crate::refusals::is_uncertain;

/// The shards of one client, and from which of its requests on a reply settles what is open there.
#[derive(Default)]
pub(super) struct Unsettled {
    shards: Vec<(ShardId, u64)>,
}

impl Unsettled {
    pub(super) fn has(&self, shard: ShardId) -> bool {
        self.shards.iter().any(|(open, _)| *open == shard)
    }

    /// A write to the shard has an unknown outcome. `next` is the number of the client's next
    /// request.
    pub(super) fn add(&mut self, shard: ShardId, next: u64) {
        self.shards.retain(|(open, _)| *open != shard);
        self.shards.push((shard, next));
    }

    /// A request to a shard was answered.
    pub(super) fn note_reply(
        &mut self,
        shard: Option<ShardId>,
        number: u64,
        next: u64,
        reply: &[u8],
    ) {
        let Some(shard) = shard else { return };
        if is_uncertain(reply) {
            self.add(shard, next);
        } else if reply.first() != Some(&b'-') {
            self.shards.retain(|(open, from)| *open != shard || number < *from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_after_the_answer_and_executed_settles() {
        let (one, two) = (Some(ShardId(1)), Some(ShardId(2)));
        let mut open = Unsettled::default();
        open.note_reply(one, 4, 6, b"-UNCERTAIN nobody knows");
        open.note_reply(one, 5, 6, b"+OK");
        assert!(open.has(ShardId(1)), "it was on its way when the answer came");
        open.note_reply(two, 6, 8, b"+OK");
        open.note_reply(one, 7, 8, b"-TRYAGAIN not executed");
        assert!(open.has(ShardId(1)) && !open.has(ShardId(2)));
        open.note_reply(one, 8, 9, b"+OK");
        assert!(!open.has(ShardId(1)));
    }
}

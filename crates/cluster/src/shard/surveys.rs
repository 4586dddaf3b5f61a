//! Questions about a whole shard.

use alloc::vec::Vec;

use keyspace::Keyspace;
use resp::Reply;
use types::UnixMillis;

use super::{Env, Shard};
use crate::entry::Survey;
use crate::planted::Planting;
use crate::session::Waiter;
use crate::work::Kind;

/// What a question about the whole shard costs.
const SURVEY: u64 = 20_000;

impl Shard {
    /// Whether keys have expired at `now`. A question about the whole shard is answered behind what
    /// makes the log say which: a key that is left out must be so for every later holder.
    pub(super) fn is_due(&self, now: UnixMillis) -> bool {
        self.data.next_expiry().is_some_and(|expiry| expiry <= now)
            && !self.planted.contains(Planting::ListByHoldersClock)
    }

    /// Answers a question about the whole shard, and says in how many bytes. What has expired at
    /// `now` is left out, and the log says so already.
    pub(super) fn survey(
        &mut self,
        env: &mut Env<'_>,
        survey: Survey<'_>,
        waiter: Waiter,
        now: UnixMillis,
    ) -> usize {
        env.work.count(Kind::Reads, SURVEY);
        let seed = self.random();
        let data = &self.data;
        env.sessions.answer(waiter, |reply| {
            let before = reply.len();
            answer_survey(data, survey, now, seed, reply);
            reply.len() - before
        })
    }
}

fn answer_survey(
    data: &Keyspace,
    survey: Survey<'_>,
    now: UnixMillis,
    seed: u64,
    reply: &mut Reply<'_>,
) {
    match survey {
        Survey::Count => reply.integer(i64::try_from(data.keys()).unwrap_or(i64::MAX)),
        Survey::CountInSlot(slot) => reply.count(data.keys_in_slot(slot)),
        Survey::KeysInSlot(slot, count) => {
            let mut keys = Vec::new();
            data.get_keys_in_slot(slot, usize::try_from(count).unwrap_or(usize::MAX), &mut keys);
            reply.array(keys.len());
            for key in &keys {
                reply.bulk(key);
            }
        }
        Survey::Random => match data.random_key(seed, now) {
            Some(key) => reply.bulk(key),
            None => reply.null(),
        },
        Survey::Keys { .. } | Survey::Scan { .. } => {
            unreachable!("KEYS and SCAN go on in steps")
        }
    }
}

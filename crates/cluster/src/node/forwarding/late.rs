//! Requests that arrive, or could be run, later than their client was told.
//!
//! A node that gets no answer to a forwarded write says UNCERTAIN, and the message may still be in
//! a buffer, or wait at the node that it was to go by way of. If it were run then, it would undo
//! what the same connection has asked for since, and whoever has read what became of it was
//! deceived.
//!
//! So a write of unknown outcome takes effect before what its connection asks of the shard next, or
//! never. Three rules see to that:
//! - Each forwarded request says up to which of its home's numbers requests were given up. Whoever
//!   has heard that runs none of them any more. That is for what is asked next under one lease.
//! - It says the newest lease that its home knew of, and is not run under a later one. That is for
//!   what was asked under a lease between, of a node that could not tell this one.
//! - What the same client asks next says that it comes behind (`session::unsettled`), so that it
//!   waits for a write that has come further than this.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use types::{LeaseEpoch, Life, NodeId, ShardId};

use crate::io::{ForwardOutcome, Message};
use crate::node::Node;
use crate::planted::Planting;
use crate::session::Waiter;
use crate::shard::{Request, Said, Standing};

/// Of how many lives of a node it is known what they gave up: what is late for longer than that
/// finds its connection closed.
const LIVES_REMEMBERED: usize = 4;

/// What nodes have given up, and the newest leases that were heard of in refusals.
#[derive(Default)]
pub(super) struct GivenUp {
    /// Requests of nodes' lives, the newest life first.
    lives: BTreeMap<NodeId, VecDeque<(Life, u64)>>,
    leases: BTreeMap<ShardId, LeaseEpoch>,
}

impl GivenUp {
    /// The largest number that a node has given up in a life, as far as it is known.
    pub(super) fn by(&self, home: NodeId, life: Life) -> u64 {
        let known = self.lives.get(&home).and_then(|lives| lives.iter().find(|it| it.0 == life));
        known.map_or(0, |(_, upto)| *upto)
    }

    /// A node has given up its requests up to a number.
    pub(super) fn note(&mut self, home: NodeId, life: Life, upto: u64) {
        if upto == 0 {
            return;
        }
        let lives = self.lives.entry(home).or_default();
        match lives.iter_mut().find(|(known, _)| *known == life) {
            Some((_, known)) => *known = upto.max(*known),
            None => lives.push_front((life, upto)),
        }
        lives.truncate(LIVES_REMEMBERED);
    }

    pub(super) fn note_lease(&mut self, shard: ShardId, lease: LeaseEpoch) {
        let known = self.leases.entry(shard).or_default();
        *known = lease.max(*known);
    }
}

impl Node {
    /// An own request that was forwarded has an unknown outcome.
    pub(super) fn give_up_number(&mut self, number: u64) {
        let (me, life) = (self.world.settings.node, self.world.founding.lives.own());
        self.forwards.given_up.note(me, life, number);
    }

    /// What is said with a request that is forwarded: what its client's own node has said, if that
    /// is another one.
    pub(super) fn to_say(&self, shard: ShardId, request: &Request) -> Said {
        let home_life = self.world.founding.lives.own();
        match request.waiter {
            Waiter::Peer { .. } => request.said,
            Waiter::Client { .. } | Waiter::Gather { .. } | Waiter::Nobody => {
                Said { home_life, lease: self.newest_lease(shard), refusal: 0 }
            }
        }
    }

    /// The newest lease on a shard that this node knows of.
    fn newest_lease(&self, shard: ShardId) -> LeaseEpoch {
        let route = self.routes.get(shard).map(|route| route.epoch);
        let replica = self.local(shard).and_then(|at| self.shards.get(at));
        let applied = replica.map(|replica| replica.lease().epoch);
        let heard = self.forwards.given_up.leases.get(&shard).copied();
        route.max(applied).max(heard).unwrap_or_default()
    }

    /// Refuses a forwarded request that must not be run or passed on any more, and one behind it
    /// whose sender has not heard that. Says whether it did.
    pub(in crate::node) fn refuses_late(
        &mut self,
        shard: ShardId,
        request: &Request,
        standing: Option<Standing>,
    ) -> bool {
        let Waiter::Peer { node, request: number, at_home, .. } = request.waiter else {
            return false;
        };
        let settings = &self.world.settings;
        let newest = self.forwards.refused.get(&(node, shard)).copied().unwrap_or(0);
        let behind = request.ordered && newest > request.said.refusal;
        if behind && !settings.breaks(Planting::ServeBehindRefusals) {
            self.say_not_holder(shard, node, number, None, newest, String::new());
            return true;
        }
        let (home, _) = request.watcher;
        let given_up = at_home <= self.forwards.given_up.by(home, request.said.home_life);
        let changes = request.writes || request.changes();
        let goes_on = matches!(standing, None | Some(Standing::Holder | Standing::Follower(_)));
        let of_another = changes && goes_on && request.said.lease < self.newest_lease(shard);
        let late = given_up || of_another;
        if late && !settings.breaks(Planting::RunGivenUp) {
            let me = settings.node;
            let holds = standing == Some(Standing::Holder);
            let hint = self.holder_of(shard).or(Some(me).filter(|_| holds));
            self.refuse_forward(shard, node, number, hint, String::new());
            return true;
        }
        false
    }

    pub(super) fn say_not_holder(
        &mut self,
        shard: ShardId,
        to: NodeId,
        request: u64,
        hint: Option<NodeId>,
        refusal: u64,
        why: String,
    ) {
        let lease = self.newest_lease(shard);
        let outcome = ForwardOutcome::NotHolder { hint, refusal, lease, why };
        self.world.effects.messages.push((to, Message::ForwardReply { request, outcome }));
    }
}

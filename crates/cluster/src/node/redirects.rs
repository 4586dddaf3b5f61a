//! Who is sent MOVED, and when.
//!
//! A node passes on what it is asked for others' shards, so no client needs to know where anything
//! is. That takes both nodes more than if the client asked the holder, and a client that can do so
//! is told now and then: once a minute on each connection, for shards that stay where they are. A
//! plain client can't handle MOVED and must never see it. See `docs/adr/0009-clients.md`.

use core::time::Duration;

use types::{Monotonic, Now, SessionId, ShardId, Slot};

use super::Node;
use crate::settings::Redirect;

/// A connection is sent MOVED at most this often.
const REDIRECT_INTERVAL: Duration = Duration::from_secs(60);
/// Only for a shard whose holder has been the same for this long.
const REDIRECT_STABLE: Duration = Duration::from_secs(30);
/// For so long after MOVED, requests come that the client has sent before it knew.
const REDIRECT_FLIGHT: Duration = Duration::from_millis(100);
/// A client that goes on to ask here after that does not follow.
const REDIRECT_IGNORED: Duration = Duration::from_secs(10);
/// So long after a lease has left, clients that know the topology have been sent MOVED.
pub(super) const CLIENTS_LEARN: Duration = Duration::from_secs(90);

/// What a connection's requests say about its client: one that knows the topology asks each node
/// for what that node holds, and nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtHome {
    /// How many in a row found their shard here.
    in_a_row: u32,
    /// One bit for each of their shards, by its number modulo 64.
    shards: u64,
    needed: u32,
}

impl AtHome {
    /// So many requests in a row, for so many shards, are no chance where others hold half of all
    /// shards at least.
    const FIRST: u32 = 64;
    const SHARDS: u32 = 4;
    /// A client that was wrong once is trusted again after so many: perhaps its picture was old.
    const AGAIN: u32 = 2048;

    /// A request found its shard here.
    #[inline]
    pub(super) fn note(&mut self, shard: ShardId) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.shards |= 1 << (shard.0 % 64);
    }

    /// A request was for a shard that has been elsewhere for long.
    fn stray(&mut self) {
        *self = Self { in_a_row: 0, shards: 0, needed: Self::AGAIN };
    }

    /// Whether the client cannot but know the topology.
    fn is_proof(self) -> bool {
        self.in_a_row >= self.needed && self.shards.count_ones() >= Self::SHARDS
    }
}

impl Default for AtHome {
    fn default() -> Self {
        Self { in_a_row: 0, shards: 0, needed: Self::FIRST }
    }
}

/// What is known of a connection's client and MOVED.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Redirects {
    /// It has shown that it follows redirections: it asked for the topology.
    pub(crate) follows: bool,
    pub(super) at_home: AtHome,
    last: Option<Redirected>,
}

/// When a connection was last sent MOVED, and for which shard.
#[derive(Clone, Copy, Debug)]
struct Redirected {
    at: Monotonic,
    shard: ShardId,
}

impl Node {
    /// Sends MOVED, if the client is known to follow it and it is worth it.
    pub(super) fn redirect(&mut self, now: Now, id: SessionId, shard: ShardId, slot: Slot) -> bool {
        let settings = &self.world.settings;
        let (Some(session), Some(route)) = (self.world.sessions.get(id), self.routes.get(shard))
        else {
            return false;
        };
        let Some(holder) = route.holder.filter(|holder| *holder != settings.node) else {
            return false;
        };
        let since = |at: Monotonic| now.monotonic.since(at);
        let last = session.redirects.last;
        let of_this = last.filter(|it| it.shard == shard && it.at >= route.since);
        // What the client sends behind a request before it knows of its MOVED must not be done
        // before that is sent again.
        let in_flight = of_this.is_some_and(|it| since(it.at) < REDIRECT_FLIGHT);
        let was_here = route.left.is_some_and(|at| since(at) < CLIENTS_LEARN);
        let ignores = of_this.is_some_and(|it| since(it.at) >= REDIRECT_IGNORED);
        if !was_here || ignores {
            session.redirects.at_home.stray();
        }
        let wanted = match settings.redirect {
            Redirect::Never => false,
            Redirect::Always => true,
            Redirect::Rationed if in_flight => true,
            // The connection is about to end: a client that knows its way is asked to leave it
            // before that, so that nothing of it is under way when it does.
            Redirect::Rationed if self.stopped => {
                session.redirects.follows
                    || self.frontend.is_topology_client(now.monotonic, session)
            }
            Redirect::Rationed => {
                last.is_none_or(|it| since(it.at) >= REDIRECT_INTERVAL)
                    && since(route.since) >= REDIRECT_STABLE
                    && (session.redirects.follows
                        || session.redirects.at_home.is_proof()
                            && self.frontend.may_be_topology_client(session))
            }
        };
        if !wanted || session.outstanding() > 0 && !in_flight {
            return false;
        }
        // Nobody is sent to a node that is only remembered as the holder: it may be dead, or back
        // without its data.
        let named = self.routes.get(shard).and_then(|route| self.named_holder(now, route));
        let named = named.filter(|named| *named == holder);
        let Some(member) = named.and_then(|holder| self.world.founding.members().get(holder))
        else {
            return false;
        };
        let text = alloc::format!("MOVED {slot} {}:{}", member.host, member.port);
        let Some(session) = self.world.sessions.get(id) else { return false };
        if !in_flight {
            session.redirects.last = Some(Redirected { at: now.monotonic, shard });
        }
        session.reply(|reply| reply.error(&text));
        true
    }
}

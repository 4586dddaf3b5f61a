//! Who may serve, who may vote, who campaigns: the rules of the lease, and the argument why two
//! nodes can't hold it at once.
//!
//! Node B holds the shard's lease at time x iff B leads term t, B has applied its own lease record
//! of t, B has not given the lease up in t, and for a quorum of voters (of both configurations
//! while joint), B included, B's view of what each has promised ends after x. Another candidate
//! needs votes from a majority; that majority shares a voter X with B's quorum; X votes only after
//! its promise to B is over, and B considers that promise over before X does. The same argument is
//! checked by machine in `crates/model`.

use core::time::Duration;

use smallvec::SmallVec;
use types::{LeaseEpoch, LogIndex, Monotonic, NodeId};

use super::{Env, Fortified, Promised, Shard};
use crate::io::{Event, Fortification, Message, StandsBack};
use crate::planted::Planting;
use crate::raft_group::{Kind, RaftMessage, ReplicaId};
use crate::settings::Settings;
use crate::support::Support;

/// How many times longer than later ones the heirs of a new cluster's first holders wait.
const BIRTH_PATIENCE: u32 = 10;

/// What this replica can do for a request at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It holds a valid lease: reads and writes.
    Holder,
    /// It leads and its lease record is applied, but the lease is not valid: reads by asking a
    /// quorum.
    Leader,
    /// The lease is on its way, to here or away from here: wait.
    Changing,
    /// Another node holds the lease, as far as is known here.
    Follower(NodeId),
    /// Nobody is known to hold it.
    Leaderless,
}

impl Shard {
    /// Says what this replica can do now. The reading of the clock must be younger than the
    /// arrival of the request (rule R4).
    pub(crate) fn standing(&mut self, now: Monotonic, support: &Support) -> Standing {
        if now < self.lease_until && self.transfer.is_none() {
            return Standing::Holder;
        }
        if self.breaks_rules() {
            return Standing::Holder;
        }
        if self.group.is_leader() {
            if self.transfer.is_some() || self.given_up == self.group.term() {
                return Standing::Changing;
            }
            if !self.record_applied() {
                return Standing::Changing;
            }
            if self.lease_is_valid(now, support) {
                return Standing::Holder;
            }
            return Standing::Leader;
        }
        match self.group.leader() {
            Some(leader) if support.is_alive(now, leader) => Standing::Follower(leader),
            Some(_) | None => Standing::Leaderless,
        }
    }

    /// Whether this replica serves although it must not, because a test wants it to.
    fn breaks_rules(&self) -> bool {
        self.planted.contains(Planting::AnswerWithoutLease)
            && self.group.is_leader()
            && self.record_applied()
            && self.transfer.is_none()
    }

    /// Whether this replica answers reads although it has given its lease up, because a test wants
    /// it to. Reads only: the engine takes no proposals then.
    pub(crate) fn reads_on(&self) -> bool {
        self.planted.contains(Planting::KeepLeaseOverTransfer)
            && self.group.is_leader()
            && self.transfer.as_ref().is_some_and(super::transfer::Transfer::has_given_up)
    }

    /// The node that holds or is about to hold the lease, as far as is known here.
    pub(crate) fn known_holder(&self) -> Option<NodeId> {
        if self.group.is_leader() { Some(self.me) } else { self.group.leader() }
    }

    /// The node that is known to hold the lease now, or to be about to: this one, with a lease that
    /// is valid, on its way elsewhere or just won; or the leader that this replica hears. Nobody is
    /// named whom the replica only remembers.
    pub(crate) fn named_holder(
        &self,
        now: Monotonic,
        settings: &Settings,
        support: &Support,
    ) -> Option<NodeId> {
        if self.planted.contains(Planting::HolderByLog) {
            return self.lease.holder;
        }
        if !self.group.is_leader() {
            return self.group.leader().filter(|leader| support.is_alive(now, *leader));
        }
        let just_won = !self.record_applied() && now < self.led_since + settings.support_duration;
        let holds = now < self.lease_until || now < self.lease_end(support);
        (holds || just_won || self.transfer.is_some()).then_some(self.me)
    }

    /// Whether the lease is valid at `now`. The end is cached: a promise, once given, stands
    /// until its end, so the cached value can be too short but not too long; whatever ends a lease
    /// early resets it.
    pub(super) fn lease_is_valid(&mut self, now: Monotonic, support: &Support) -> bool {
        if now < self.lease_until {
            return true;
        }
        self.lease_until = self.lease_end(support);
        now < self.lease_until
    }

    fn lease_end(&self, support: &Support) -> Monotonic {
        let term = self.group.term();
        let serves = self.group.is_leader()
            && self.record_applied()
            && self.given_up != term
            && self.transfer.as_ref().is_none_or(|transfer| !transfer.has_given_up());
        if !serves {
            return Monotonic(0);
        }
        let mut until = Monotonic::NEVER;
        let mut sets = if self.planted.contains(Planting::LeaseOfOneConfiguration) { 1 } else { 2 };
        self.group.for_each_voter_set(|voters| {
            if sets == 0 {
                return;
            }
            sets -= 1;
            let mut ends: SmallVec<[Monotonic; 8]> =
                voters.iter().map(|&voter| self.promise_end(voter, support)).collect();
            ends.sort_unstable_by(|a, b| b.cmp(a));
            let quorum = voters.len() / 2 + 1;
            until = until.min(ends.get(quorum - 1).copied().unwrap_or(Monotonic(0)));
        });
        until
    }

    /// Until when a voter keeps from electing another leader, as this leader knows.
    fn promise_end(&self, voter: u64, support: &Support) -> Monotonic {
        let voter = ReplicaId::from_engine(voter);
        if voter == Some(self.group.me()) {
            // Granting a vote ends this replica's leadership before the vote leaves the node.
            return Monotonic::NEVER;
        }
        let promise = self.fortified.iter().find(|promise| Some(promise.replica) == voter);
        promise
            .filter(|promise| promise.term == self.group.term())
            .map_or(Monotonic(0), |p| support.kept_until(p.replica.node, p.fortification))
    }

    /// Whether this leader has applied its own lease record of the current term (rule R13): it
    /// then has applied everything that was acknowledged before.
    pub(super) fn record_applied(&self) -> bool {
        self.lease.term == self.group.term() && self.lease.holder == Some(self.me)
    }

    /// Forgets the cached end of the lease; the conditions are looked at anew.
    pub(crate) fn recheck_lease(&mut self) {
        self.lease_until = Monotonic(0);
    }

    /// Takes a message of the shard's Raft group.
    pub(crate) fn on_message(
        &mut self,
        env: &mut Env<'_>,
        from: NodeId,
        message: RaftMessage,
        fortified: Option<Fortification>,
    ) {
        // A message to the replica in a lost directory does not concern the one in the new.
        let Some(sender) = message.from().filter(|sender| sender.node == from) else { return };
        if message.to() != Some(self.group.me()) {
            return;
        }
        let kind = message.kind();
        let term = message.term();
        let allowed = match kind {
            Kind::Vote | Kind::PreVote => self.may_vote(env, from, &message),
            Kind::TimeoutNow => {
                self.group.leader() == Some(from)
                    && self.group.term() == term
                    && env.now.monotonic >= env.support.may_vote_at()
                    && self.has_been_told(env)
            }
            Kind::Snapshot => return self.on_catch_up_complete(env, from, message),
            Kind::Append
            | Kind::AppendResponse
            | Kind::VoteResponse
            | Kind::Heartbeat
            | Kind::HeartbeatResponse
            | Kind::PreVoteResponse => true,
        };
        if !allowed {
            return;
        }
        if let Some(conflict) = self.group.conflict(&message) {
            return self.note_conflict(env, from, conflict);
        }
        if message.is_refusal() && term == self.group.term() {
            self.progress.note_refusal();
        }
        self.group.step(message);
        match kind {
            Kind::Append | Kind::Heartbeat => self.promise(env, from, term),
            Kind::AppendResponse | Kind::HeartbeatResponse => {
                self.note_fortification(sender, term, fortified);
            }
            Kind::Vote
            | Kind::VoteResponse
            | Kind::PreVote
            | Kind::PreVoteResponse
            | Kind::TimeoutNow
            | Kind::Snapshot => {}
        }
    }

    /// A leader's log lacks what is committed here. Nothing is overwritten; an operator must know.
    fn note_conflict(
        &mut self,
        env: &mut Env<'_>,
        leader: NodeId,
        (index, own, other): (LogIndex, types::Term, types::Term),
    ) {
        if self.conflicts == 0 {
            let shard = self.id;
            let event = Event::CommittedEntryConflicts { shard, leader, index, own, other };
            env.effects.events.push(event);
        }
        self.conflicts += 1;
    }

    /// Fortifies a leader whose message was accepted.
    pub(super) fn promise(&mut self, env: &Env<'_>, leader: NodeId, term: types::Term) {
        if self.group.term() != term || self.group.leader() != Some(leader) {
            return;
        }
        let given = env.support.fortification_for(env.now.monotonic, leader);
        self.promised = given.map(|fortification| Promised { leader, term, fortification });
        if given.is_some() {
            self.note_leader();
            self.campaign_at = Monotonic::NEVER;
            self.campaigns = 0;
        } else if self.patient_with != term
            || self.campaign_at == Monotonic::NEVER
            || self.planted.contains(Planting::LeadByMessages)
        {
            // A new leader may be heard before its beats are. One that does not beat, or does not
            // hear, must not keep the shard by messages alone, however many come.
            self.patient_with = term;
            let patience = env.settings.support_duration + self.campaign_delay(env.settings);
            self.campaign_at = env.now.monotonic + patience;
        }
    }

    /// Notes what a follower has promised. An older epoch that arrives late says nothing new.
    fn note_fortification(
        &mut self,
        replica: ReplicaId,
        term: types::Term,
        fortified: Option<Fortification>,
    ) {
        let Some(fortification) = fortified else { return };
        let any_term = self.planted.contains(Planting::AnswerOfAnyTerm);
        let term = if any_term { self.group.term() } else { term };
        if term != self.group.term() || !self.group.is_leader() {
            return;
        }
        let found = self.fortified.iter_mut().find(|known| known.replica == replica);
        match found {
            Some(known)
                if known.term == term
                    && (known.fortification.incarnation, known.fortification.epoch)
                        > (fortification.incarnation, fortification.epoch) => {}
            Some(known) => *known = Fortified { replica, term, fortification },
            None => self.fortified.push(Fortified { replica, term, fortification }),
        }
    }

    /// Whether this replica may hear a candidate at all. While it has promised itself to a
    /// leader, it does not, unless that leader itself asked for the election (rule R19).
    fn may_vote(&mut self, env: &mut Env<'_>, candidate: NodeId, message: &RaftMessage) -> bool {
        let now = env.now.monotonic;
        let lacks = message.end_of_log() < self.group.last_ever();
        let forgets = lacks && self.group.has_forgotten();
        if now < env.support.may_vote_at() || forgets || !self.has_been_told(env) {
            return false;
        }
        // The mark lets exactly the next term pass: the old holder gave its lease up for good
        // before it asked, but only in the term it led.
        let asked_for =
            |term: types::Term| message.has_transfer_mark() && message.term() == term.next();
        if self.group.is_leader() {
            let term = self.group.term();
            return asked_for(term) || !self.lease_is_valid(now, env.support);
        }
        match self.kept_promise(now, env.support) {
            Some(promised)
                if promised.leader == candidate && !env.support.supports_former_life(candidate) =>
            {
                if message.term() > promised.term {
                    // It does not lead any more. It may be unable to win, so the others must be
                    // free to stand, too.
                    self.on_release(env, candidate, promised.term, None);
                }
                true
            }
            Some(promised) if asked_for(promised.term) => true,
            Some(promised) => {
                self.ask_release(env, promised);
                false
            }
            None => true,
        }
    }

    /// Whether a majority of the voters, this replica counted, has told what it remembers of this
    /// node. Before that it may have forgotten entries that it has acknowledged and votes that it
    /// has given, without knowing: its directory may be an old copy (see [`crate::lives`]). One
    /// that knows no voters, since it was removed or has not begun, asks that of the cluster's
    /// nodes.
    fn has_been_told(&self, env: &Env<'_>) -> bool {
        let me = self.group.me();
        let tells = |voter: u64| {
            let voter = ReplicaId::from_engine(voter);
            voter.is_some_and(|voter| voter == me || env.founding.has_told(voter))
        };
        let (mut told, mut knows_voters) = (true, false);
        self.group.for_each_voter_set(|voters| {
            let count = voters.iter().filter(|voter| tells(**voter)).count();
            knows_voters |= !voters.is_empty();
            told &= voters.is_empty() || count > voters.len() / 2;
        });
        told &= knows_voters || env.founding.most_have_told();
        told || env.settings.breaks(Planting::VoteUntold)
    }

    /// Asks the leader that this replica has promised itself to whether it still leads. A node
    /// that lives on but no longer leads the shard would otherwise keep it from ever electing
    /// another: the model found five replicas where that happens.
    fn ask_release(&self, env: &mut Env<'_>, promised: Promised) {
        let message = Message::AskRelease { shard: self.id, term: promised.term };
        env.effects.messages.push((promised.leader, message));
    }

    /// Whether this replica leads the shard in this term, or has yet to hear of a later one.
    pub(crate) fn leads(&self, term: types::Term) -> bool {
        self.group.is_leader() && self.group.term() == term
    }

    /// A leader says that it no longer leads a term. It can't lead it again, so the promise has
    /// nothing left to protect.
    pub(crate) fn on_release(
        &mut self,
        env: &Env<'_>,
        from: NodeId,
        term: types::Term,
        stands_back: Option<StandsBack>,
    ) {
        // A process on a copy of the leader's directory can't speak for it.
        if env.support.supports_former_life(from) {
            return;
        }
        if let Some(stands_back) = stands_back {
            self.note_last(env.now.monotonic, from, stands_back);
        }
        let any_term = self.planted.contains(Planting::ReleaseOfAnyTerm);
        let ended = |promised: &mut Promised| {
            promised.leader == from && (promised.term == term || any_term)
        };
        if self.promised.take_if(ended).is_some() && self.group.leader() == Some(from) {
            self.campaign_at = env.now.monotonic + self.campaign_delay(env.settings);
        }
    }

    /// The promise that binds this replica now.
    fn kept_promise(&self, now: Monotonic, support: &Support) -> Option<Promised> {
        self.promised
            .filter(|promised| support.supports(now, promised.leader, promised.fortification.epoch))
    }

    /// What a message to `to` says of this replica's promise.
    fn fortification_to(&self, env: &Env<'_>, message: &RaftMessage) -> Option<Fortification> {
        match message.kind() {
            Kind::AppendResponse | Kind::HeartbeatResponse => {}
            Kind::Append
            | Kind::Vote
            | Kind::VoteResponse
            | Kind::Snapshot
            | Kind::Heartbeat
            | Kind::TimeoutNow
            | Kind::PreVote
            | Kind::PreVoteResponse => return None,
        }
        let promised = self.kept_promise(env.now.monotonic, env.support)?;
        let fits = promised.term == message.term()
            && message.to().is_some_and(|to| to.node == promised.leader);
        fits.then_some(promised.fortification)
    }

    /// Sends a message of the group.
    pub(super) fn send(&mut self, env: &mut Env<'_>, message: RaftMessage) {
        let Some(to) = message.to().map(|to| to.node) else { return };
        if message.kind() == Kind::Snapshot {
            return self.begin_catch_up(env, to, message);
        }
        let fortified = self.fortification_to(env, &message);
        let message = Message::Raft { shard: self.id, message, fortified };
        env.effects.messages.push((to, message));
    }

    /// This node no longer supports `peer`: if it led the shard, the heirs campaign, the first of
    /// the succession order at once.
    pub(crate) fn on_withdrawn(&mut self, env: &Env<'_>, peer: NodeId) {
        let led = self.group.leader() == Some(peer)
            || self.promised.is_some_and(|promised| promised.leader == peer);
        if led && !self.group.is_leader() && self.group.is_voter() {
            self.campaigns = 0;
            self.campaign_at = env.now.monotonic + self.campaign_delay(env.settings);
        }
    }

    /// How long this replica lets those ranked before it go first: the holder that the log names,
    /// then the succession order, without the leader that is known to be gone.
    pub(super) fn campaign_delay(&self, settings: &Settings) -> Duration {
        let mut heirs: SmallVec<[NodeId; 8]> = SmallVec::new();
        let named = self.lease.holder.into_iter().chain(self.lease.succession.iter().copied());
        for heir in named.chain(self.voters()) {
            if !heirs.contains(&heir) && self.group.leader() != Some(heir) {
                heirs.push(heir);
            }
        }
        let rank = heirs.iter().position(|heir| *heir == self.me).unwrap_or(heirs.len());
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        // The nodes of a new cluster start one after the other: each first holder gets its time,
        // so that the leases begin evenly spread.
        let new = self.lease.epoch == LeaseEpoch(0);
        settings.campaign_step * rank * if new { BIRTH_PATIENCE } else { 1 }
    }

    /// A peer is there (again): with its vote an election may succeed that failed before.
    pub(crate) fn on_appeared(&mut self, env: &Env<'_>) {
        if self.group.leader().is_none() && !self.group.is_leader() && self.group.is_voter() {
            self.campaigns = 0;
            let soon = env.now.monotonic + self.campaign_delay(env.settings);
            self.campaign_at = self.campaign_at.min(soon);
        }
    }

    /// A voter that knows of no leader campaigns some time: an election that came to nothing, its
    /// votes lost, must not be the last.
    pub(super) fn stand_by(&mut self, env: &Env<'_>) {
        let waits = self.group.leader().is_none() && self.group.is_voter();
        if waits && self.campaign_at == Monotonic::NEVER {
            let patience = env.settings.campaign_step + self.campaign_delay(env.settings);
            self.campaign_at = env.now.monotonic + patience;
        }
    }

    /// How long votes may take: a campaign voids those of the one before.
    fn vote_time(&self, env: &Env<'_>) -> Duration {
        let trips = self.voters().into_iter().filter_map(|voter| env.support.round_trip(voter));
        trips.max().unwrap_or_default() * 2
    }

    /// Campaigns if it is time to.
    pub(super) fn maybe_campaign(&mut self, env: &mut Env<'_>) {
        let now = env.now.monotonic;
        if now < self.campaign_at {
            return;
        }
        if self.group.is_leader() || !self.group.is_voter() {
            self.campaign_at = Monotonic::NEVER;
            return;
        }
        if now < env.support.may_vote_at() {
            let delay = self.campaign_delay(env.settings);
            self.campaign_at = env.support.may_vote_at() + delay;
            return;
        }
        // A campaign is a vote for oneself: a replica that has given its log up, and was sent a
        // part of one since, lacks what it asks of any other candidate.
        let forgets =
            self.group.has_forgotten() && !self.planted.contains(Planting::ForgetfulCampaigns);
        if forgets || !self.has_been_told(env) {
            // Whoever tells wakes it, see `on_appeared`.
            self.campaign_at = now + env.settings.campaign_step;
            return;
        }
        if self.stands_back(env) {
            return;
        }
        // A vote may be lost, split or refused by one who still waits for the old holder: try
        // again soon, and more slowly the longer it takes. Ranks keep the heirs apart.
        let tries = self.campaigns.min(6);
        let pause = env.settings.campaign_step / 4 * (1 << tries);
        self.campaign_at =
            now + pause.max(self.vote_time(env)) + self.campaign_delay(env.settings) / 2;
        if let Some(promised) = self.kept_promise(now, env.support) {
            return self.ask_release(env, promised);
        }
        self.campaigns += 1;
        let event = Event::Campaigning { shard: self.id, term: self.group.term() };
        env.effects.events.push(event);
        self.group.campaign();
    }
}

//! What happens to a shard once a turn, after all inputs: proposals become entries, the engine
//! runs, what is committed is applied, and whatever time demands is done.

use core::time::Duration;

use types::{Monotonic, UnixMillis};

use super::{Env, Shard};
use crate::entry::{self, LeaseReason, LeaseRecord};
use crate::io::Event;
use crate::planted::Planting;
use crate::raft_group::LogEntry;
use crate::record::{gather_entry, put_vote};
use crate::work::Kind;

/// How long a leader waits for followers to have everything before it asks them.
const SETTLE_AFTER: Duration = Duration::from_millis(100);
impl Shard {
    /// Does everything there is to do now.
    pub(crate) fn advance(&mut self, env: &mut Env<'_>) {
        self.group.allow_sending(env.work.left_for_each(Kind::Appends));
        if self.group.is_leader() {
            self.line.note_end(self.group.last_index(), env.now.monotonic);
        }
        self.expire_pending(env);
        self.expire_reads(env);
        self.maybe_campaign(env);
        self.settle_followers(env);
        self.note_if_ahead(env);
        self.advance_staging(env);
        self.reap(env);
        self.apply_committed(env);
        self.go_on_walks(env);
        loop {
            self.serve_due(env);
            self.release_held(env);
            self.flush_batch(env);
            self.propose_parts(env);
            self.renew_succession(env);
            self.begin_round(env);
            self.advance_transfer(env);
            let mut worked = false;
            while self.group.has_work() {
                worked = true;
                self.run_engine(env);
                self.note_leadership(env);
            }
            self.serve_confirmed(env);
            if !worked && (self.batch.is_empty() || self.gathers(env)) && !self.releases_held() {
                break;
            }
        }
        env.work.count(Kind::Appends, self.group.take_sent());
        self.discard_accepted();
        self.stand_by(env);
        self.repeat_release(env);
        self.advance_catch_ups(env);
        self.place_parked(env);
        self.free_garbage(env);
        self.trim_log(env);
    }

    /// After a change of the replicas the holder commits a new order of heirs: those that stay,
    /// as they were ranked, then the new ones.
    fn renew_succession(&mut self, env: &Env<'_>) {
        if !self.succession_due || !self.group.is_leader() || !self.record_applied() {
            return;
        }
        let voters = self.voters();
        let mut order = self.lease.succession.clone();
        order.retain(|heir| voters.contains(heir));
        for voter in voters {
            if !order.contains(&voter) {
                order.push(voter);
            }
        }
        let changed = order != self.lease.succession;
        if !changed || self.propose_entry(env, entry::encode_succession(&order)).is_ok() {
            self.succession_due = false;
        }
    }

    fn run_engine(&mut self, env: &mut Env<'_>) {
        let collected = self.group.collect(env.effects.write);
        if let Some(installed) = &collected.installed {
            self.install(env, installed);
        }
        // That a change of the replicas is committed must be as durable as the next change: a
        // replica that starts again with the next one in its log goes by the configuration that it
        // knows to be committed, and with an older one could elect a second leader (docs/model.md,
        // `ChangeForgottenAtRestart`). The engine does not ask for commit indexes to be durable.
        let changes = collected.entries.iter().any(LogEntry::changes_replicas)
            && !self.planted.contains(Planting::ChangeNotDurable);
        let vote = if changes {
            Some(self.group.vote())
        } else {
            collected.vote.filter(|_| collected.must_persist)
        };
        if let Some(vote) = vote {
            put_vote(self.id, vote, env.effects.payload.tail());
            self.places.vote_written();
        }
        // The vote stands first: a long payload becomes durable in parts, and no entry may be there
        // without the term that it was accepted in.
        for entry in &collected.entries {
            gather_entry(self.id, entry, &mut env.effects.payload);
            env.effects.payload.cut();
            self.places.note_term(entry.index(), entry.term());
        }
        if let Some(last) = collected.entries.last() {
            self.writes.push_back((env.effects.write, last.index()));
        }
        for message in collected.messages {
            self.send(env, message);
        }
        for (number, index) in collected.reads {
            self.round_confirmed(number, index);
        }
        self.note_committed(collected.committed);
        self.apply_committed(env);
    }

    /// Whether its Raft group has something to say or to write.
    pub(crate) fn has_raft_work(&self) -> bool {
        self.group.has_work()
    }

    /// Reacts when this replica has begun or ceased to lead.
    fn note_leadership(&mut self, env: &mut Env<'_>) {
        let leads = self.group.is_leader().then(|| self.group.term());
        if leads == self.led {
            return;
        }
        self.recheck_lease();
        if self.led.is_some() {
            self.watches.clear();
            self.transfer = None;
            self.reaping = false;
            self.displace_reads(env);
            let event = Event::LeaseLost { shard: self.id, epoch: self.lease.epoch };
            env.effects.events.push(event);
        }
        self.led = leads;
        self.led_since = env.now.monotonic;
        env.effects.rerouted.push(self.id);
        if leads.is_some() {
            self.campaign_at = Monotonic::NEVER;
            self.campaigns = 0;
            self.fortified.clear();
            self.begin_progress(env.now.monotonic);
            self.line.begin(self.group.last_index(), env.now.monotonic);
            let elected_alone = self.promised.is_none_or(|promised| {
                !env.support.supports(
                    env.now.monotonic,
                    promised.leader,
                    promised.fortification.epoch,
                )
            });
            let reason = if elected_alone { LeaseReason::Election } else { LeaseReason::Transfer };
            self.promised = None;
            let record = LeaseRecord { holder: self.me, reason };
            let proposed = self.group.propose(entry::encode_lease(&record));
            assert!(proposed.is_some(), "a new leader could not propose its lease record");
            self.unsettle(env);
        }
    }

    /// Something is under way that followers must get to know.
    pub(super) fn unsettle(&mut self, env: &Env<'_>) {
        if self.settle_at == Monotonic::NEVER {
            self.begin_progress(env.now.monotonic);
            self.settle_at = env.now.monotonic + SETTLE_AFTER;
        }
    }

    /// A replica has (re)appeared or its promise is new: ask it for its state at once.
    pub(crate) fn greet(&mut self, env: &Env<'_>) {
        if self.group.is_leader() {
            self.settle_at = env.now.monotonic;
        }
    }

    /// What was sent to `peer` may be lost.
    pub(crate) fn connection_lost(&mut self, env: &Env<'_>, peer: types::NodeId) {
        if self.group.is_leader() && self.group.progress(peer).is_some() {
            self.group.unreachable(peer);
            self.pieces_lost(env, peer);
            self.greet(env);
        }
    }

    /// Asks the followers, if any live one may lack something: the engine sends each answer's
    /// author what it lacks. When all have everything the shard falls silent.
    fn settle_followers(&mut self, env: &mut Env<'_>) {
        let now = env.now.monotonic;
        if now < self.settle_at {
            return;
        }
        self.settle_at = Monotonic::NEVER;
        if !self.group.is_leader() {
            return;
        }
        self.watch_progress(env);
        if !self.group.is_leader() {
            return;
        }
        self.repair(env);
        self.group.ping();
        let (last, commit) = (self.group.last_index(), self.group.commit_index());
        let replicas = self.group.replicas();
        let others = replicas.voters().into_iter().chain(replicas.learners());
        let unsettled = others.filter(|node| *node != self.me).any(|node| {
            let behind = self
                .group
                .progress(node)
                .is_none_or(|(matched, committed)| matched < last || committed < commit);
            let promised = self.fortified.iter().any(|known| {
                known.replica.node == node
                    && known.term == self.group.term()
                    && env.support.kept_until(node, known.fortification) > now
            });
            // What is not committed yet they will have to hear of when it is.
            (behind || commit < last || !promised) && env.support.is_alive(now, node)
        });
        if unsettled || self.has_step(env) {
            self.settle_at = now + SETTLE_AFTER;
        }
    }

    /// When the shard must be looked at next, if nothing happens before.
    pub(crate) fn next_deadline(&self, env: &Env<'_>) -> Monotonic {
        let now = env.now.monotonic;
        self.campaign_at
            .min(self.settle_at)
            .min(self.release_deadline())
            .min(self.next_expiry_of_waits(now, env.settings))
            .min(self.next_round_deadline())
            .min(self.transfer_deadline())
            .min(self.catch_up_deadline(now))
            .min(self.next_reaping(env))
    }

    /// When the holder must look for expired keys.
    fn next_reaping(&self, env: &Env<'_>) -> Monotonic {
        if !self.group.is_leader() || self.reaping {
            return Monotonic::NEVER;
        }
        let Some(UnixMillis(expiry)) = self.data.next_expiry() else { return Monotonic::NEVER };
        // At most a hundred times a second, however many keys expire.
        let wait = expiry.saturating_sub(self.next_stamp(env).0).max(10);
        env.now.monotonic + Duration::from_millis(wait)
    }
}

//! When a leader gives its place up: a lease must make progress (rule R29, extended).
//!
//! A node whose beats arrive keeps its leases, but what it leads may come to nothing all the same:
//! large messages vanish on their way, or the connection for data is stuck. So a leader steps down
//!
//! - when for 3 D neither its commit index nor anything that its followers acknowledge has
//!   advanced while something waits, or when it has had no valid lease for 2 D;
//! - and if another voter could lead, as far as is known here: one that beats, which it does only
//!   while its disk answers, whose promise is fresh, and whose log wins it a quorum. Where this
//!   replica is the only one that could win, stepping down would help nobody, and how long it got
//!   nowhere says nothing: a follower that comes back may be all that it lacks.
//!
//! How long a write waits says nothing: with overload, large values on a thin line or a follower
//! that catches up, something is acknowledged all the time, if only a part of one message. Nor does
//! what the leader's own disk takes.
//!
//! Whoever leads next waits twice as long, and again twice if it gets nowhere either: where all
//! data are so slow, nobody fares better, and a lease that goes round would never be of use. Such a
//! row of leaders ends with the first that has an entry committed within D, or when nobody has
//! stepped down for twice as long as the last one can have waited: what happens then is another
//! fault. A leader that gets somewhere, but slowly, waits for twice as long as its entries take.
//!
//! The order is: the lease is given up for the rest of the term, its cached end dropped; then the
//! replica follows, and its followers are free. What it had proposed is uncertain, and not tried
//! again: it may be what got stuck. It stands last for a while, longer each time, unless nobody
//! leads.

use core::time::Duration;

use smallvec::SmallVec;
use types::{LogIndex, Monotonic, NodeId, Term};

use super::{Env, Shard};
use crate::io::{Event, Message, StandDownReason, StandsBack};
use crate::planted::Planting;
use crate::raft_group::ReplicaId;

/// How many promises long a leader may make no progress, and be without a lease.
const STUCK_PROMISES: u32 = 3;
const LEASELESS_PROMISES: u32 = 2;
/// How many promises long nobody leads before a replica that stands last does stand.
const ALONE_PROMISES: u32 = 2;
/// For how long a replica stands last; it doubles with each time.
const LAST_TIME: Duration = Duration::from_secs(10);
const LAST_TIME_MAX: Duration = Duration::from_secs(300);
/// Who has led for so long since is as good as any.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// With each leader of a row that has stepped down the next one waits twice as long, up to so many
/// times: where all are slow the lease must not go round.
const PATIENCE_DOUBLINGS_MAX: u32 = 3;
/// So many times the longest patience without a further one end a row.
const ROW_GAP: u32 = 2;

/// What a leader knows of its progress.
#[derive(Default)]
pub(super) struct Progress {
    /// The commit index, and what the voters have acknowledged together.
    seen: (LogIndex, u64),
    /// A follower has said since that its log differs: data get there, and it is fed from there on.
    refused: bool,
    /// The most that had arrived of a message which was on its way.
    arriving: u64,
    /// When any of that advanced, or nothing waited.
    advanced: Monotonic,
    /// Since when there has been no valid lease although its record is applied.
    leaseless: Option<Monotonic>,
    /// When it was last looked at.
    looked: Monotonic,
}

impl Progress {
    pub(super) fn note_refusal(&mut self) {
        self.refused = true;
    }
}

/// How long this leader's entries have taken to be committed.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The newest of them.
    newest: Duration,
    /// The longest since one was quick.
    slowest: Duration,
    /// When one was quick last, in any term.
    quick_at: Option<Monotonic>,
}

impl Pace {
    /// A leader begins.
    pub(super) fn begin(&mut self) {
        (self.newest, self.slowest) = (Duration::ZERO, Duration::ZERO);
    }

    pub(super) fn newest(&self) -> Duration {
        self.newest
    }

    /// An entry was committed, so long after it was proposed.
    fn note(&mut self, now: Monotonic, time: Duration, quick: Duration) {
        self.newest = time;
        if time <= quick {
            (self.slowest, self.quick_at) = (Duration::ZERO, Some(now));
        } else {
            self.slowest = self.slowest.max(time);
        }
    }
}

/// A replica that has stepped down.
pub(super) struct SteppedDown {
    term: Term,
    at: Monotonic,
    /// How often it has, lately.
    times: u32,
    /// How many leaders in a row have, with this one.
    row: u8,
    /// Until when it stands last.
    until: Monotonic,
    /// Since when it knows of no leader.
    alone_since: Option<Monotonic>,
    /// When it tells the others again.
    next_release: Monotonic,
    reason: StandDownReason,
}

/// Another replica that has stepped down.
#[derive(Clone)]
pub(super) struct Last {
    pub(super) node: NodeId,
    /// When it said so.
    pub(super) at: Monotonic,
    /// How many leaders in a row have stepped down, with that one.
    pub(super) row: u8,
    /// Until when it stands last.
    pub(super) until: Monotonic,
    pub(super) reason: StandDownReason,
}

impl Shard {
    /// Looks whether this leader's lease makes progress, and steps down if it must.
    pub(super) fn watch_progress(&mut self, env: &mut Env<'_>) {
        let now = env.now.monotonic;
        let promise = env.settings.support_duration;
        let valid = self.lease_is_valid(now, env.support) || !self.record_applied();
        let waits = self.group.last_index() > self.group.commit_index();
        let seen = (self.group.commit_index(), self.acknowledged());
        let heard = self.heard_of_catch_ups();
        let arriving = self.arriving(env);
        let progress = &mut self.progress;
        // While this node itself did nothing, nothing could advance.
        let unwatched = now.since(progress.looked);
        let absent = unwatched > promise;
        progress.looked = now;
        let refused = core::mem::take(&mut progress.refused)
            && !self.planted.contains(Planting::RefusalsSayNothing);
        let advances = refused || seen != progress.seen || heard > progress.advanced;
        if advances || absent || !waits {
            (progress.seen, progress.arriving, progress.advanced) = (seen, 0, now);
        } else if arriving > progress.arriving {
            (progress.arriving, progress.advanced) = (arriving, now);
        }
        let counts_all = self.planted.contains(Planting::CountTimeAlone);
        let long = !counts_all && now.since(self.progress.advanced) > promise;
        if long && !self.another_could_lead(env) {
            self.progress.advanced = self.progress.advanced + unwatched;
        }
        let progress = &mut self.progress;
        progress.leaseless = if valid || absent { None } else { progress.leaseless.or(Some(now)) };
        let stuck = waits && now.since(self.progress.advanced) >= self.patience(now, promise);
        let leaseless = self
            .progress
            .leaseless
            .is_some_and(|since| now.since(since) >= promise * LEASELESS_PROMISES);
        let reason = match (stuck, leaseless) {
            (true, _) => StandDownReason::Stuck,
            (false, true) => StandDownReason::NoLease,
            (false, false) => return,
        };
        let kept = self.planted.contains(Planting::LeadWithoutProgress);
        if self.transfer.is_none() && self.another_could_lead(env) && !kept {
            self.step_down(env, reason);
        }
    }

    /// For how long nothing may advance.
    fn patience(&self, now: Monotonic, promise: Duration) -> Duration {
        let least = promise * STUCK_PROMISES;
        let doublings = u32::from(self.row(now, promise)).min(PATIENCE_DOUBLINGS_MAX);
        let most = least * (1 << PATIENCE_DOUBLINGS_MAX);
        (least * (1 << doublings)).max(self.line.pace.slowest * 2).min(most)
    }

    /// How many leaders of this shard in a row have stepped down without getting anywhere, as far
    /// as is known here.
    fn row(&self, now: Monotonic, promise: Duration) -> u8 {
        let gap = promise * STUCK_PROMISES * (1 << PATIENCE_DOUBLINGS_MAX) * ROW_GAP;
        let own = self.stepped_down.iter().map(|it| (it.at, it.row));
        let alone = self.planted.contains(Planting::PatienceOfOnesOwn);
        let others = self.last.iter().filter(|_| !alone).map(|last| (last.at, last.row));
        let (gap, quick_at) = if self.planted.contains(Planting::PatienceForAll) {
            (FORGET_AFTER, None)
        } else {
            (gap, self.line.pace.quick_at)
        };
        let counts = |at: Monotonic| now.since(at) < gap && quick_at.is_none_or(|quick| quick < at);
        let newest = own.chain(others).filter(|(at, _)| counts(*at)).max_by_key(|(at, _)| *at);
        newest.map_or(0, |(_, row)| row)
    }

    /// An entry is committed and applied; if this leader has proposed it, then at this moment.
    pub(super) fn note_pace(&mut self, env: &Env<'_>, proposed: Option<Monotonic>) {
        let Some(proposed) = proposed else { return };
        let now = env.now.monotonic;
        self.line.pace.note(now, now.since(proposed), env.settings.support_duration);
    }

    /// What the other voters have acknowledged together, in entries. The own disk says nothing: it
    /// takes whatever clients go on to ask for.
    fn acknowledged(&self) -> u64 {
        let own = self.planted.contains(Planting::CountOwnLog);
        let voters = self.voters().into_iter().filter(|voter| own || *voter != self.me);
        let matched = voters.filter_map(|voter| self.group.progress(voter));
        matched.map(|(matched, _)| matched.0).sum()
    }

    /// How much has arrived of messages that voters are receiving.
    fn arriving(&self, env: &Env<'_>) -> u64 {
        self.voters().into_iter().map(|voter| env.support.arriving_at(voter)).sum()
    }

    /// Whether another voter could win an election now, if this replica allowed it.
    fn another_could_lead(&self, env: &Env<'_>) -> bool {
        let now = env.now.monotonic;
        let fit = |node: NodeId| {
            env.support.is_alive(now, node)
                && env.support.is_supported_by(now, node)
                && !env.support.is_stopping(node)
                && !env.support.has_just_started(now, node)
        };
        let mut logs: SmallVec<[(NodeId, LogIndex); 8]> = SmallVec::new();
        for voter in self.voters() {
            if voter == self.me {
                logs.push((voter, self.group.last_index()));
            } else if fit(voter) {
                logs.push((voter, self.matched(voter)));
            }
        }
        let replicas = self.group.replicas();
        let heirs =
            logs.iter().filter(|(heir, _)| *heir != self.me && replicas.is_lasting_voter(*heir));
        let wins = |log: LogIndex| {
            let mut wins = true;
            self.group.for_each_voter_set(|voters| {
                let votes = |voter: &&u64| {
                    let voter = ReplicaId::from_engine(**voter).map(|replica| replica.node);
                    logs.iter().any(|(node, its)| Some(*node) == voter && *its <= log)
                };
                wins &= voters.iter().filter(votes).count() > voters.len() / 2;
            });
            wins
        };
        heirs.into_iter().any(|(_, log)| wins(*log))
    }

    /// Gives the place up.
    fn step_down(&mut self, env: &mut Env<'_>, reason: StandDownReason) {
        let now = env.now.monotonic;
        let term = self.group.term();
        self.given_up = term;
        self.recheck_lease();
        let times = self.times_stepped_down(now);
        let row = self.row(now, env.settings.support_duration).saturating_add(1);
        let last = (LAST_TIME * (1 << times.min(5))).min(LAST_TIME_MAX);
        let millis = u64::try_from(last.as_millis()).unwrap_or(u64::MAX);
        let event = Event::SteppedDown { shard: self.id, term, reason, last_millis: millis };
        env.effects.events.push(Event::LeaseGivenUp { shard: self.id, term });
        env.effects.events.push(event);
        if reason == StandDownReason::Stuck {
            while let Some(pending) = self.pending.pop_front() {
                self.abandon(env, pending);
            }
        }
        self.group.step_down();
        self.stepped_down = Some(SteppedDown {
            term,
            at: now,
            times: times + 1,
            row,
            until: now + last,
            alone_since: Some(now),
            next_release: now,
            reason,
        });
        let at_once = self.planted.contains(Planting::StandAtOnce);
        let alone_time = env.settings.support_duration * ALONE_PROMISES;
        self.campaign_at = if at_once { now } else { now + alone_time };
        self.repeat_release(env);
    }

    /// Tells the others that this replica leads no more, until it hears that another does: the word
    /// may be lost, and they would wait for as long as this node lives.
    pub(super) fn repeat_release(&mut self, env: &mut Env<'_>) {
        let now = env.now.monotonic;
        if self.release_deadline() > now {
            return;
        }
        let voters = self.voters();
        let Some(stepped_down) = &mut self.stepped_down else { return };
        stepped_down.next_release = now + env.settings.beat_interval;
        let micros = stepped_down.until.since(now).as_micros();
        let stands_back = StandsBack {
            micros: u64::try_from(micros).unwrap_or(u64::MAX),
            row: stepped_down.row,
            reason: stepped_down.reason,
        };
        let term = stepped_down.term;
        for voter in voters.into_iter().filter(|voter| *voter != self.me) {
            let message = Message::Release { shard: self.id, term, stands_back: Some(stands_back) };
            env.effects.messages.push((voter, message));
        }
    }

    /// When the others are to be told again.
    pub(super) fn release_deadline(&self) -> Monotonic {
        let alone = self.group.leader().is_none();
        let stepped_down = self.stepped_down.as_ref();
        let open = stepped_down.filter(|it| alone && it.term == self.group.term());
        open.map_or(Monotonic::NEVER, |it| it.next_release)
    }

    fn times_stepped_down(&self, now: Monotonic) -> u32 {
        let stepped_down = self.stepped_down.as_ref();
        stepped_down.filter(|it| now.since(it.at) < FORGET_AFTER).map_or(0, |it| it.times)
    }

    /// A leader is known: who stands last may go on doing so.
    pub(super) fn note_leader(&mut self) {
        if let Some(stepped_down) = &mut self.stepped_down {
            stepped_down.alone_since = None;
        }
    }

    /// Whether this replica lets others go first now, though it would campaign: it has stepped down
    /// lately, and somebody may lead, or no quorum has answered since.
    pub(super) fn stands_back(&mut self, env: &Env<'_>) -> bool {
        let now = env.now.monotonic;
        let alone_time = env.settings.support_duration * ALONE_PROMISES;
        let voters = self.voters();
        let Some(stepped_down) = &mut self.stepped_down else { return false };
        if now >= stepped_down.until || self.planted.contains(Planting::StandAtOnce) {
            return false;
        }
        let alone_since = *stepped_down.alone_since.get_or_insert(now);
        let first = stepped_down.until.min(alone_since + alone_time);
        if now < first {
            self.campaign_at = first;
            return true;
        }
        let at = stepped_down.at;
        let answers =
            |voter: &&NodeId| **voter == self.me || env.support.has_answered_since(**voter, at);
        if voters.iter().filter(answers).count() <= voters.len() / 2 {
            self.campaign_at = now + env.settings.beat_interval;
            return true;
        }
        false
    }

    /// Another replica says that it stands last.
    pub(super) fn note_last(&mut self, now: Monotonic, node: NodeId, stands_back: StandsBack) {
        let known = self.last.iter().find(|last| last.node == node && now < last.until).cloned();
        self.last.retain(|last| last.node != node && now.since(last.at) < FORGET_AFTER);
        let until = now + Duration::from_micros(stands_back.micros).min(LAST_TIME_MAX);
        let StandsBack { row, reason, .. } = stands_back;
        // It says so again and again; what counts is when it did.
        let at = known.filter(|known| known.row == row).map_or(now, |known| known.at);
        self.last.push(Last { node, at, row, until, reason });
    }

    /// Why a replica should not be given the lease, as long as another can have it: it stands last.
    pub(super) fn judge_last(
        &self,
        now: Monotonic,
        node: NodeId,
    ) -> Result<(), alloc::string::String> {
        let last = self.last.iter().find(|last| last.node == node && now < last.until);
        last.map_or(Ok(()), |last| Err(self.describe_last(now, last)))
    }

    fn describe_last(&self, now: Monotonic, last: &Last) -> alloc::string::String {
        let Last { node, until, reason, .. } = last;
        let seconds = until.since(now).as_secs() + 1;
        alloc::format!(
            "node {node} stands last in shard {} for another {seconds} s: it gave the lease up, {}",
            self.id,
            reason.describe()
        )
    }

    /// What is to be said of replicas that stand last, this one or another.
    pub(super) fn standing_last(&self, now: Monotonic) -> Option<alloc::string::String> {
        self.last_one(now).map(|last| self.describe_last(now, &last))
    }

    /// The same, as the end of a sentence that begins with the shard.
    pub(crate) fn given_up(&self, now: Monotonic) -> Option<alloc::string::String> {
        let Last { node, until, reason, .. } = self.last_one(now)?;
        let seconds = until.since(now).as_secs() + 1;
        let why = reason.describe();
        Some(alloc::format!(
            "was given up by {node}, {why}: that one stands last for another {seconds} s"
        ))
    }

    fn last_one(&self, now: Monotonic) -> Option<Last> {
        let own = self.stepped_down.as_ref().filter(|it| now < it.until).map(|it| Last {
            node: self.me,
            at: it.at,
            row: it.row,
            until: it.until,
            reason: it.reason,
        });
        let other = self.last.iter().find(|last| now < last.until);
        own.or(other.cloned())
    }

    /// Something begins to wait: nothing is known of its progress yet.
    pub(super) fn begin_progress(&mut self, now: Monotonic) {
        let leaseless = self.progress.leaseless;
        self.progress = Progress { advanced: now, looked: now, leaseless, ..Progress::default() };
    }
}

//! Support: the time-bounded promises that nodes exchange, and the only periodic traffic.
//!
//! Node B sends each other node A a small beat that asks for support at B's epoch towards A. A
//! answers with a promise: "I support you at this epoch for D from the moment I got your beat".
//! While A supports B at epoch e, A keeps what it promised B in each shard under e (a
//! *fortification*: neither to campaign nor to vote for another).
//!
//! - Durations travel, never times (rule R1). A's promise ends at A's receipt of the beat + D. B
//!   counts it from the moment it *sent* that beat, less a margin for drift (R2, R3), so B is
//!   always the first to consider it over.
//! - A promise that runs out unrenewed is withdrawn for good: A will support B only at a later
//!   epoch (R10). B raises its epoch when it learns that. To lapse and to be withdrawn are one: a
//!   promise that has lapsed is no promise to whoever reads it, and a beat that comes later, be it
//!   in the same turn, finds it withdrawn. In between A may have voted.
//! - A beat proves that B can be heard. What B leads depends on whether B hears as well, so a beat
//!   says how long ago B sent the first one that waits for an answer, since the one that A's newest
//!   answer answered. So it says nothing of how seldom B beats, which may be seldom for A's
//!   patience. When it is too long ago A renews nothing (it keeps what it has promised until that
//!   runs out), but it answers: as soon as an answer reaches B, B's next beat says so.
//! - Epochs are kept per direction and pair: when one peer withdraws, what the others have
//!   promised stands.
//! - A restarted B has a later incarnation, so later epochs: what was promised to its former life
//!   is void, because a lease is never used across a restart (R11).
//! - A restarted A has forgotten its promises, so it votes for nobody until the longest of them
//!   must be over (R12, [`Support::may_vote_at`]). B drops what a former incarnation of A promised
//!   as soon as it hears of the new one.
//!
//! Cost: N x (N-1) small messages for each beat, whatever the number of shards.

mod rooms;

mod known;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use smallvec::SmallVec;
use types::{Incarnation, Life, Monotonic, NodeId, SupportEpoch, UnixMillis};

use crate::founding::Founding;
use crate::io::{Condition, Event, Fortification, Message};
use crate::lives::Start;
use crate::planted::{Planting, Plantings};
use crate::settings::Settings;

/// Beats whose answers are still awaited; older ones no longer count.
const BEATS_REMEMBERED: usize = 64;

/// No epoch of a real cluster comes near this; larger ones are damage.
const EPOCH_MAX: SupportEpoch = SupportEpoch(1 << 62);

/// A node's part in the exchange of support.
pub(crate) struct Support {
    incarnation: Incarnation,
    life: Life,
    beat_interval: Duration,
    duration: Duration,
    drift_permille: u32,
    may_vote_at: Monotonic,
    next_beat: Monotonic,
    peers: BTreeMap<NodeId, Pair>,
    /// Whether this node has been asked to stop.
    stopping: bool,
    /// Grows whenever something changed that shards derive lease ends from in a way that is not
    /// a mere extension.
    /// By how many bytes this node's data, and its log, may grow.
    room: (u64, u64),
    changes: Vec<SupportChange>,
    /// How long syncs of the own disk take at least.
    own_sync: Duration,
    /// What happened since [`Support::expire`] told it last.
    events: Vec<Event>,
    planted: Plantings,
}

/// What a node and one of its peers have promised each other.
struct Pair {
    /// Whether the peer is a member. What was withdrawn from one that was removed stays so.
    member: bool,
    /// The epoch we ask the peer to support us at.
    own_epoch: SupportEpoch,
    sequence: u64,
    sent: VecDeque<(u64, Monotonic)>,
    received: Option<Received>,
    given: Option<Given>,
    /// We support the peer at this epoch or later ones only.
    smallest_given: SupportEpoch,
    /// The newest incarnation of the peer we have heard of, and its life.
    incarnation: Incarnation,
    life: Life,
    /// When we first heard of it, if we knew a former one.
    reborn_at: Option<Monotonic>,
    round_trip: Option<Duration>,
    last_heard: Option<Monotonic>,
    /// When we sent the beat that its newest answer, of its present life, answered.
    answered: Option<Monotonic>,
    /// Since when its present life is known to beat, without a silence.
    beats_since: Monotonic,
    /// Bytes of an unfinished message on its way from it to us, and of one from us to it.
    arriving: u64,
    arriving_there: u64,
    /// Which members do not hear it, as its beats say.
    deaf_there: u64,
    /// How long syncs of its disk take at least; zero if that is not known.
    sync: Duration,
    /// It says with its beats that our answers don't reach it.
    deaf: bool,
    link: Link,
    /// The peer can't answer what we forward to it.
    cut_off: bool,
    /// Whether it has been asked to stop, in the life that is known here.
    stopping: bool,
    /// Bytes that its data, and its log, may grow by, as it said last.
    room: Option<(u64, u64)>,
}

/// What is known of the connection to a peer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Nothing else is known.
    Up,
    Down,
    /// There is a new one, and the peer, which may have been started anew, has not beaten since.
    Silent,
}

/// A promise we hold.
#[derive(Clone, Copy)]
struct Received {
    fortification: Fortification,
    until: Monotonic,
}

/// A promise we gave.
#[derive(Clone, Copy)]
struct Given {
    epoch: SupportEpoch,
    until: Monotonic,
}

/// What shards must react to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SupportChange {
    /// We no longer support the peer under the epoch we did: its shards need a new holder.
    Withdrawn(NodeId),
    /// The peer supports us under a new epoch or in a new life: shards we lead must ask it for a
    /// new fortification.
    Renewed(NodeId),
    /// A peer that had not been heard of for a while is there (again).
    Appeared(NodeId),
    /// Another process of the peer is there: what the former was asked for, it does not answer.
    Reborn(NodeId),
}

impl Support {
    /// Starts the exchange. `fenced` says whether this node may have made promises in a former
    /// life: then it votes for nobody for `longest_promise`.
    pub(crate) fn new(settings: &Settings, start: &Start, now: Monotonic) -> Self {
        let longest_promise = start.longest_promise;
        Self {
            incarnation: start.incarnation,
            life: start.life,
            beat_interval: settings.beat_interval,
            duration: settings.support_duration,
            drift_permille: if settings.breaks(Planting::NoDriftMargin) {
                0
            } else {
                settings.clock_drift_permille
            },
            may_vote_at: now
                + longest_promise / if settings.breaks(Planting::ShortBan) { 2 } else { 1 }
                + drift_of(longest_promise, settings.clock_drift_permille),
            next_beat: now,
            peers: BTreeMap::new(),
            stopping: false,
            room: (u64::MAX, u64::MAX),
            changes: Vec::new(),
            own_sync: Duration::ZERO,
            events: Vec::new(),
            planted: settings.planted,
        }
    }

    /// The other members are these from now on.
    pub(crate) fn set_peers(&mut self, others: impl Iterator<Item = NodeId>) {
        for pair in self.peers.values_mut() {
            pair.member = false;
        }
        let first = SupportEpoch::first_of(self.incarnation);
        for node in others {
            self.peers.entry(node).or_insert_with(|| Pair::new(first)).member = true;
        }
    }

    /// From when on this node may vote: promises of its former life are over by then.
    pub(crate) fn may_vote_at(&self) -> Monotonic {
        self.may_vote_at
    }

    /// The beats that are due, if any. `healthy` says that the node's log has completed a write
    /// recently: a node that can't make progress must not keep its leases (rule R29).
    pub(crate) fn beat(
        &mut self,
        now: Monotonic,
        wall: UnixMillis,
        healthy: bool,
        founding: &Founding,
        out: &mut Vec<(NodeId, Message)>,
    ) {
        if now < self.next_beat {
            return;
        }
        self.next_beat = now + self.beat_interval;
        if !healthy {
            return;
        }
        let members = founding.members().nodes().take(u64::BITS as usize).enumerate();
        let deaf = members.filter(|(_, node)| self.is_deaf(now, *node));
        let deaf = deaf.fold(0, |bits, (at, _)| bits | 1 << at);
        for (&node, pair) in self.peers.iter_mut().filter(|(_, pair)| pair.member) {
            pair.sequence += 1;
            if pair.sent.len() == BEATS_REMEMBERED {
                pair.sent.pop_front();
            }
            pair.sent.push_back((pair.sequence, now));
            let message = Message::Beat {
                epoch: pair.own_epoch,
                incarnation: self.incarnation,
                sequence: pair.sequence,
                condition: Condition {
                    life: self.life,
                    stopping: self.stopping,
                    heard_micros: pair.heard_micros(now),
                    durable: founding.lives.durable(),
                    wall,
                    memory_room: self.room.0,
                    disk_room: self.room.1,
                    arriving: pair.arriving,
                    deaf,
                    sync_micros: u64::try_from(self.own_sync.as_micros()).unwrap_or(u64::MAX),
                    ..Condition::default()
                },
                introduction: founding.introduction(node),
            };
            out.push((node, message));
        }
    }

    /// A beat of an accepted life arrived: promises support, or says from which epoch on it would.
    pub(crate) fn on_beat(
        &mut self,
        now: Monotonic,
        from: NodeId,
        epoch: SupportEpoch,
        (incarnation, life): (Incarnation, Life),
        sequence: u64,
        heard_micros: u64,
    ) -> Option<Message> {
        if epoch > EPOCH_MAX {
            return None;
        }
        let pair = self.peers.get(&from).filter(|pair| pair.member)?;
        if incarnation < pair.incarnation {
            return None;
        }
        if !self.planted.contains(Planting::RenewLapsed) {
            self.withdraw_lapsed(now, from);
        }
        self.note_life(now, from, incarnation, life);
        let (own, own_life) = (self.incarnation, self.life);
        let duration = self.duration;
        let patience = self.duration / 2;
        let pair = self.peers.get_mut(&from)?;
        let mut appeared = pair.hear(now, duration);
        if pair.link == Link::Silent {
            pair.link = Link::Up;
        }
        // Nobody says that the former process has ended: this one may run on a copy of its
        // directory. What was promised to the former stands until it lapses.
        let smallest = SupportEpoch::first_of(incarnation);
        let former = pair.given.is_some_and(|given| given.epoch < smallest);
        let deaf = pair.deaf_for(now, heard_micros) > patience;
        if deaf != pair.deaf {
            pair.deaf = deaf;
            let event =
                if deaf { Event::Unheard { peer: from } } else { Event::Heard { peer: from } };
            self.events.push(event);
        }
        let renews = !deaf || self.planted.contains(Planting::SupportTheDeaf);
        // A late beat of an epoch that is over renews nothing.
        let (epoch, duration) = if epoch < pair.smallest_given || former {
            (epoch.max(pair.smallest_given), Duration::ZERO)
        } else if renews {
            // A promise of the peer may have been heard before this beat, when it did not count as
            // alive yet: what waits for it to be alive must hear of it now.
            appeared |= pair.given.is_none();
            let until = match pair.given {
                Some(given) if given.epoch == epoch => given.until.max(now + duration),
                Some(_) | None => now + duration,
            };
            pair.given = Some(Given { epoch, until });
            pair.smallest_given = epoch;
            (epoch, duration)
        } else {
            // What was promised stands to its end, and no longer.
            let given = pair.given.filter(|given| given.epoch == epoch);
            (epoch, given.map_or(Duration::ZERO, |given| given.until.since(now)))
        };
        if appeared {
            self.changes.push(SupportChange::Appeared(from));
        }
        Some(Message::Promise {
            sequence,
            epoch,
            incarnation: own,
            life: own_life,
            duration_micros: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// Notes in which life a peer is. What was promised to a former one stands until it lapses.
    fn note_life(&mut self, now: Monotonic, peer: NodeId, incarnation: Incarnation, life: Life) {
        let Some(pair) = self.peers.get_mut(&peer).filter(|pair| pair.life != life) else { return };
        if pair.begin_life(now, incarnation, life) {
            self.changes.push(SupportChange::Reborn(peer));
        }
    }

    /// An answer to one of our beats arrived.
    pub(crate) fn on_promise(
        &mut self,
        now: Monotonic,
        from: NodeId,
        sequence: u64,
        fortification: Fortification,
        duration: Duration,
    ) {
        if fortification.epoch > EPOCH_MAX {
            return;
        }
        let drift = self.drift_permille;
        let Some(pair) = self.peers.get_mut(&from) else { return };
        // Of another life than the one that is accepted nothing counts. A new one beats soon.
        if fortification.life != pair.life {
            return;
        }
        if pair.hear(now, self.duration) {
            self.changes.push(SupportChange::Appeared(from));
        }
        // Each beat counts once, and only the answer to the very beat says when it was sent.
        let beat = pair.sent.iter().position(|(number, _)| *number == sequence);
        let beat = beat.and_then(|at| pair.sent.remove(at)).map(|(_, sent)| sent);
        if let Some(sent) = beat {
            pair.round_trip = Some(now.since(sent));
            // Whoever stopped renewing, since nothing reached us, need not wait to hear that
            // something does.
            if pair.answered.is_some_and(|last| now.since(last) > self.duration / 2) {
                self.next_beat = self.next_beat.min(now);
            }
            pair.answered = pair.answered.max(Some(sent));
        }
        if duration.is_zero() {
            if fortification.epoch > pair.own_epoch {
                pair.own_epoch = fortification.epoch;
                pair.received = None;
            }
            return;
        }
        let Some(sent) = beat else { return };
        if fortification.epoch != pair.own_epoch {
            return;
        }
        let until = sent + less_drift(duration, drift);
        match &mut pair.received {
            Some(received) if received.fortification == fortification => {
                // Shards whose lease had run out may have requests that wait for it.
                let lapsed = received.until <= now;
                received.until = received.until.max(until);
                if lapsed {
                    self.changes.push(SupportChange::Renewed(from));
                }
            }
            Some(_) | None => {
                pair.received = Some(Received { fortification, until });
                self.changes.push(SupportChange::Renewed(from));
            }
        }
    }

    /// Withdraws what has run out, and tells what has happened.
    pub(crate) fn expire(&mut self, now: Monotonic, events: &mut Vec<Event>) {
        let ended = |pair: &Pair| pair.given.is_some_and(|given| given.until <= now);
        let lapsed = self.peers.iter().filter(|(_, pair)| ended(pair)).map(|(&peer, _)| peer);
        let lapsed: SmallVec<[NodeId; 8]> = lapsed.collect();
        for peer in lapsed {
            self.withdraw_lapsed(now, peer);
        }
        events.append(&mut self.events);
    }

    /// Withdraws for good what was promised to a peer, if it has run out (rule R10). At the very
    /// instant of the end the promise no longer stands (rule R7).
    fn withdraw_lapsed(&mut self, now: Monotonic, peer: NodeId) {
        let Some(pair) = self.peers.get_mut(&peer) else { return };
        let Some(given) = pair.given.take_if(|given| given.until <= now) else { return };
        pair.smallest_given = pair.smallest_given.max(given.epoch.next());
        pair.last_heard = None;
        self.changes.push(SupportChange::Withdrawn(peer));
        self.events.push(Event::SupportWithdrawn { peer, epoch: given.epoch });
    }

    /// Every promise held counts as over, since the clock may not have counted the time: until a
    /// beat that is sent from now on is answered. Epochs may stay. A peer that promises the same
    /// one again has never withdrawn it, so what it keeps in the shards under it stands, too.
    pub(crate) fn drop_received(&mut self, now: Monotonic) {
        for pair in self.peers.values_mut() {
            if let Some(received) = &mut pair.received {
                received.until = Monotonic(0);
            }
            pair.sent.clear();
        }
        self.next_beat = self.next_beat.min(now);
    }
}

impl Pair {
    fn new(own_epoch: SupportEpoch) -> Self {
        Self {
            member: true,
            own_epoch,
            sequence: 0,
            sent: VecDeque::new(),
            received: None,
            given: None,
            smallest_given: SupportEpoch(0),
            incarnation: Incarnation(0),
            life: Life(0),
            reborn_at: None,
            round_trip: None,
            last_heard: None,
            answered: None,
            beats_since: Monotonic(0),
            arriving: 0,
            arriving_there: 0,
            deaf_there: 0,
            sync: Duration::ZERO,
            deaf: false,
            link: Link::Up,
            cut_off: false,
            stopping: false,
            room: None,
        }
    }

    /// Notes the accepted life of the peer. Says whether there was another before it.
    fn begin_life(&mut self, now: Monotonic, incarnation: Incarnation, life: Life) -> bool {
        let reborn = self.incarnation != Incarnation(0);
        if reborn {
            self.reborn_at = Some(now);
        }
        self.incarnation = incarnation;
        self.life = life;
        self.stopping = false;
        self.cut_off = false;
        self.answered = None;
        self.beats_since = now;
        // It has forgotten what it had promised.
        self.received = None;
        self.smallest_given = self.smallest_given.max(SupportEpoch::first_of(incarnation));
        reborn
    }

    /// How long ago we sent the first beat that waits for an answer, since the one that its newest
    /// answer answered, as a beat says it. Those that wait from before are lost.
    fn heard_micros(&self, now: Monotonic) -> u64 {
        let Some(answered) = self.answered else { return u64::MAX };
        let waiting = self.sent.iter().map(|(_, sent)| *sent).find(|sent| *sent > answered);
        let age = waiting.map_or(0, |sent| now.since(sent).as_micros());
        u64::try_from(age).unwrap_or(u64::MAX)
    }

    /// For how long nothing of ours has reached the peer, as its beat says. One that has only just
    /// begun can't have heard of us. And one that is heard since a moment ago speaks of the time
    /// before: of a former life of ours, or of a cut of both directions that is over.
    fn deaf_for(&self, now: Monotonic, heard_micros: u64) -> Duration {
        Duration::from_micros(heard_micros).min(now.since(self.beats_since))
    }

    /// Notes a sign of life; says whether it is the first for a while.
    fn hear(&mut self, now: Monotonic, silence: Duration) -> bool {
        let last = self.last_heard.replace(now);
        // One that paused so long, for its disk perhaps, says how old the last answer is that it
        // had before: that proves nothing about what reaches it.
        if last.is_none_or(|last| now.since(last) > silence / 2) {
            self.beats_since = now;
        }
        last.is_none_or(|last| now.since(last) > silence)
    }
}

/// A promise as its holder counts it: shorter by the most that the clocks may drift apart.
fn less_drift(duration: Duration, permille: u32) -> Duration {
    duration.saturating_sub(drift_of(duration, permille))
}

/// The most that two clocks may drift apart over `duration`.
fn drift_of(duration: Duration, permille: u32) -> Duration {
    duration / 1000 * permille
}

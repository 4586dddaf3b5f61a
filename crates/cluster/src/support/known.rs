//! What is known of the other nodes by the beats that were exchanged.

use super::*;

impl Support {
    /// What has changed since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<SupportChange> {
        core::mem::take(&mut self.changes)
    }

    /// What we have promised `peer`, to be sent along in the shards it leads.
    pub(crate) fn fortification_for(&self, now: Monotonic, peer: NodeId) -> Option<Fortification> {
        let given = self.peers.get(&peer)?.given.filter(|given| now < given.until)?;
        let (incarnation, life) = (self.incarnation, self.life);
        Some(Fortification { epoch: given.epoch, incarnation, life })
    }

    /// Whether what we support `peer` at was asked for by a former life of it, which may run still.
    pub(crate) fn supports_former_life(&self, peer: NodeId) -> bool {
        let pair = self.peers.get(&peer);
        pair.is_some_and(|pair| {
            let first = SupportEpoch::first_of(pair.incarnation);
            pair.given.is_some_and(|given| given.epoch < first)
        })
    }

    /// Whether we support `peer` at exactly this epoch.
    pub(crate) fn supports(&self, now: Monotonic, peer: NodeId, epoch: SupportEpoch) -> bool {
        self.fortification_for(now, peer).is_some_and(|given| given.epoch == epoch)
    }

    /// Until when `peer` keeps what it has promised us in this fortification; the distant past if
    /// it does not stand.
    pub(crate) fn kept_until(&self, peer: NodeId, fortification: Fortification) -> Monotonic {
        let received = self.peers.get(&peer).and_then(|pair| pair.received);
        let careless = self.planted.contains(Planting::CountFormerLife);
        received
            .filter(|received| {
                let life = if careless { fortification.life } else { received.fortification.life };
                Fortification { life, ..received.fortification } == fortification
            })
            .map_or(Monotonic(0), |received| received.until)
    }

    /// Whether `peer` is known to be alive: it beats and we support it.
    pub(crate) fn is_alive(&self, now: Monotonic, peer: NodeId) -> bool {
        self.fortification_for(now, peer).is_some()
    }

    /// The connection to a peer is there, or is lost.
    pub(crate) fn note_link(&mut self, peer: NodeId, up: bool) {
        if let Some(pair) = self.peers.get_mut(&peer) {
            pair.link = match (up, pair.link) {
                (false, _) => Link::Down,
                (true, Link::Down) => Link::Silent,
                (true, link) => link,
            };
        }
    }

    /// Whether what is sent to `peer` can be expected to reach it, in the life that is known here.
    /// A process that ends counts as alive until its promises run out; its connections end at once.
    pub(crate) fn is_reachable(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|pair| pair.link == Link::Up && !pair.cut_off)
    }

    /// Whether nothing but beats can be sent to `peer`.
    pub(crate) fn is_link_down(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|pair| pair.link == Link::Down)
    }

    /// The life of `peer` that is known here.
    pub(crate) fn life_of(&self, peer: NodeId) -> Life {
        self.peers.get(&peer).map_or(Life(0), |pair| pair.life)
    }

    /// How long `peer` has not been heard.
    pub(crate) fn silence(&self, now: Monotonic, peer: NodeId) -> Duration {
        let heard = self.peers.get(&peer).and_then(|pair| pair.last_heard);
        heard.map_or(Duration::MAX, |heard| now.since(heard))
    }

    /// This node has been asked to stop: the others are told at once, lest they hand leases to it.
    pub(crate) fn begin_stopping(&mut self, now: Monotonic) {
        self.stopping = true;
        self.next_beat = self.next_beat.min(now);
    }

    /// What a beat said of its sender.
    pub(crate) fn note_condition(
        &mut self,
        peer: NodeId,
        incarnation: Incarnation,
        condition: Condition,
    ) {
        let pair = self.peers.get_mut(&peer);
        if let Some(pair) = pair.filter(|pair| pair.incarnation == incarnation) {
            pair.stopping |= condition.stopping;
            pair.room = Some((condition.memory_room, condition.disk_room));
            pair.arriving_there = condition.arriving;
            pair.sync = Duration::from_micros(condition.sync_micros);
            pair.deaf_there = condition.deaf;
            pair.cut_off = condition.cut_off;
        }
    }

    /// Whether `peer` has been asked to stop.
    pub(crate) fn is_stopping(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|pair| pair.stopping)
    }

    /// Whether `peer` has been restarted so lately that it may have to wait still before it votes
    /// or campaigns (rule R12). If its promises are longer than ours, it may wait even longer.
    pub(crate) fn has_just_started(&self, now: Monotonic, peer: NodeId) -> bool {
        let waits = self.duration + drift_of(self.duration, self.drift_permille);
        let reborn = self.peers.get(&peer).and_then(|pair| pair.reborn_at);
        reborn.is_some_and(|at| now < at + waits)
    }

    /// Syncs of the own disk take so long at least.
    pub(crate) fn note_own_sync(&mut self, time: Duration) {
        self.own_sync = time;
    }

    /// How long syncs of the own disk take at least.
    pub(crate) fn own_sync(&self) -> Duration {
        self.own_sync
    }

    /// How long syncs of a peer's disk take at least, as it said last; zero: not known.
    pub(crate) fn sync_at(&self, peer: NodeId) -> Duration {
        self.peers.get(&peer).map_or(Duration::ZERO, |pair| pair.sync)
    }

    /// So many bytes have arrived of a message from `peer` that is not complete.
    pub(crate) fn note_arriving(&mut self, peer: NodeId, bytes: u64) {
        if let Some(pair) = self.peers.get_mut(&peer) {
            pair.arriving = bytes;
        }
    }

    /// How much of an unfinished message of ours has arrived at `peer`, as it said last.
    pub(crate) fn arriving_at(&self, peer: NodeId) -> u64 {
        self.peers.get(&peer).map_or(0, |pair| pair.arriving_there)
    }

    /// Which members beat, but do not hear `peer`, as that one says: one bit for each place in its
    /// list of members.
    pub(crate) fn deaf_to(&self, now: Monotonic, peer: NodeId) -> u64 {
        let pair = self.peers.get(&peer).filter(|_| self.is_alive(now, peer));
        pair.map_or(0, |pair| pair.deaf_there)
    }

    /// Whether `peer` beats, but says that nothing of ours reaches it.
    pub(crate) fn is_deaf(&self, now: Monotonic, peer: NodeId) -> bool {
        let pair = self.peers.get(&peer);
        pair.is_some_and(|pair| {
            pair.deaf && pair.last_heard.is_some_and(|last| now.since(last) <= self.duration)
        })
    }

    /// Whether `peer` has answered a beat that was sent at `since` or later.
    pub(crate) fn has_answered_since(&self, peer: NodeId, since: Monotonic) -> bool {
        self.peers.get(&peer).is_some_and(|pair| pair.answered >= Some(since))
    }

    /// Whether `peer` supports us now, as we count it.
    pub(crate) fn is_supported_by(&self, now: Monotonic, peer: NodeId) -> bool {
        let received = self.peers.get(&peer).and_then(|pair| pair.received);
        received.is_some_and(|received| now < received.until)
    }

    /// The newest incarnation of `peer` that we have heard of.
    pub(crate) fn incarnation_of(&self, peer: NodeId) -> Incarnation {
        self.peers.get(&peer).map_or(Incarnation(0), |pair| pair.incarnation)
    }

    /// The newest measured round trip to `peer`.
    pub(crate) fn round_trip(&self, peer: NodeId) -> Option<Duration> {
        self.peers.get(&peer)?.round_trip
    }

    /// When [`Support::beat`] or [`Support::expire`] must be called next.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        let ends = self.peers.values().filter_map(|pair| pair.given).map(|given| given.until);
        ends.fold(self.next_beat, Monotonic::min)
    }
}

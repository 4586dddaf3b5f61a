//! Replicas that the log can't help any more: the leader sends them the slots one by one, in
//! pieces.
//!
//! The engine asks for a snapshot at index S. Each slot is written when its turn comes, so its
//! image reflects some index at or after S, one for all its pieces; nothing is paused or copied as
//! a whole (`keyspace::pieces`). The receiver logs the pieces as they come and acknowledges what is
//! durable, so its disk sets the pace, and builds the slots beside its data. When all are there a
//! record that only names the catch-up puts them in place of the data. It goes on from entry
//! S + 1, skipping for each slot what its image already has. Until it has applied the newest of
//! those indexes its state is a mixture, but it can't lead before that: a leader's log holds every
//! committed entry.
//!
//! A catch-up is named by its leader's term and a number. Whoever has lost its beginning says so,
//! and the leader begins another one. While one is under way the leader keeps its log from S on.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use keyspace::{BuiltSlot, ImageId, Keyspace, SlotBuilder};
use types::{Incarnation, LogIndex, Monotonic, NodeId, SegmentId, Slot};

use super::checkpoint::EMPTY_AT_ONCE;
use super::{Env, Shard};
use crate::bytes_codec::{CodecError, Put, Take};
use crate::io::{CatchUpName, Event, Message, SlotPiece, WriteId};
use crate::planted::Planting;
use crate::raft_group::{Installed, RaftMessage};
use crate::record::{ImagePart, Record, ShardState, empty_slots};

/// Pieces on their way to one replica at a time.
const PIECES_IN_FLIGHT: usize = 512;
/// Bytes of images on their way to one replica at a time, beyond the first piece.
const BYTES_IN_FLIGHT: usize = 4 << 20;
/// Bytes of images that are written for one replica in a turn.
const BYTES_PER_TURN: usize = 1 << 20;
/// What the log needs for a piece beside its bytes, amply.
const PIECE_OVERHEAD: u64 = 128;
/// How long an answer is awaited before a piece is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(500);
/// How long a receiver may be silent before the catch-up is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);

/// Slots on their way to a replica.
pub(super) struct Sending {
    to: NodeId,
    /// The process that it began with: another one has forgotten what arrived.
    incarnation: Incarnation,
    name: CatchUpName,
    transfer: LogIndex,
    /// What tells the receiver that it has all slots, and the state but for them.
    last: RaftMessage,
    state: Vec<u8>,
    /// The image that is being written, and the slot after it.
    image: Option<Imaging>,
    next: Option<Slot>,
    /// How many pieces there are so far.
    pieces: u64,
    in_flight: VecDeque<InFlight>,
    /// There is more to send in the next turn.
    more: bool,
    last_sent: Monotonic,
    heard: Monotonic,
}

struct Imaging {
    id: ImageId,
    slot: Slot,
    index: LogIndex,
    offset: u64,
}

struct InFlight {
    number: u64,
    sent: Monotonic,
    piece: SlotPiece,
}

/// Slots that have arrived.
pub(super) struct Staging {
    from: NodeId,
    name: CatchUpName,
    slots: BTreeMap<Slot, Staged>,
    /// The slot whose pieces arrive.
    current: Option<Current>,
    /// Pieces that came before those that are to come first.
    ahead: BTreeMap<u64, SlotPiece>,
    /// The piece that is expected next, and the first that is not durable.
    next: u64,
    durable: u64,
    /// What becomes durable with which write.
    written: VecDeque<(WriteId, u64)>,
    /// Whether the sender should be told.
    answers: bool,
    /// The oldest segment that may hold a piece.
    first_segment: SegmentId,
    bytes: u64,
}

struct Staged {
    index: LogIndex,
    segment: SegmentId,
    slot: BuiltSlot,
}

struct Current {
    slot: Slot,
    index: LogIndex,
    segment: SegmentId,
    offset: u64,
    builder: SlotBuilder,
}

impl Sending {
    fn bytes(&self) -> usize {
        self.in_flight.iter().map(|flight| flight.piece.image.len()).sum()
    }
}

impl Shard {
    /// The engine wants a replica to catch up by slots.
    pub(super) fn begin_catch_up(&mut self, env: &mut Env<'_>, to: NodeId, last: RaftMessage) {
        if !self.may_copy_to(env, to) {
            // The engine asks again.
            return self.group.catch_up_ended(to, false);
        }
        let now = env.now.monotonic;
        let transfer = last.snapshot_index();
        let mut state = Vec::new();
        // The state at `transfer`: messages are sent before further entries are applied.
        self.state().encode(&mut state);
        self.end_catch_ups(|sending| sending.to == to);
        self.catch_ups_begun += 1;
        self.catch_ups.push(Sending {
            to,
            incarnation: env.support.incarnation_of(to),
            name: CatchUpName { term: self.group.term(), number: self.catch_ups_begun },
            transfer,
            last,
            state,
            image: None,
            next: Some(self.range.first()),
            pieces: 0,
            in_flight: VecDeque::new(),
            more: false,
            last_sent: Monotonic(0),
            heard: now,
        });
        let event = Event::CatchUpBegun { shard: self.id, to, index: transfer };
        env.effects.events.push(event);
    }

    /// When a voter last acknowledged a part of its catch-up.
    pub(super) fn heard_of_catch_ups(&self) -> Monotonic {
        let voters = self.voters();
        let to_voters = self.catch_ups.iter().filter(|sending| voters.contains(&sending.to));
        to_voters.map(|sending| sending.heard).max().unwrap_or(Monotonic(0))
    }

    /// Forgets catch-ups, and the images that are being written for them.
    fn end_catch_ups(&mut self, which: impl Fn(&Sending) -> bool) {
        let data = &mut self.data;
        self.catch_ups.retain(|sending| {
            let ends = which(sending);
            if let Some(image) = sending.image.as_ref().filter(|_| ends) {
                data.drop_image(image.id);
            }
            !ends
        });
    }

    /// Sends what may be sent, and gives up on receivers that are silent.
    pub(super) fn advance_catch_ups(&mut self, env: &mut Env<'_>) {
        if self.catch_ups.is_empty() {
            return;
        }
        if !self.group.is_leader() {
            return self.end_catch_ups(|_| true);
        }
        let now = env.now.monotonic;
        let mut done = Vec::new();
        for sending in &self.catch_ups {
            let matched = self.group.progress(sending.to).map(|(matched, _)| matched);
            if matched.is_none_or(|matched| matched >= sending.transfer) {
                done.push(sending.name);
            } else if now.since(sending.heard) > GIVE_UP_AFTER
                || env.support.incarnation_of(sending.to) != sending.incarnation
            {
                self.group.catch_up_ended(sending.to, false);
                done.push(sending.name);
                // Its answer lets the engine ask for the next one.
                self.settle_at = now;
            }
        }
        self.end_catch_ups(|sending| done.contains(&sending.name));
        let mut catch_ups = core::mem::take(&mut self.catch_ups);
        for sending in &mut catch_ups {
            self.pump(env, sending);
        }
        self.catch_ups = catch_ups;
    }

    fn pump(&mut self, env: &mut Env<'_>, sending: &mut Sending) {
        let now = env.now.monotonic;
        for flight in &mut sending.in_flight {
            if now.since(flight.sent) > RESEND_AFTER {
                flight.sent = now;
                let piece = flight.piece.clone();
                let (shard, catch_up) = (self.id, sending.name);
                let message = Message::SlotImage { shard, catch_up, piece };
                env.effects.messages.push((sending.to, message));
            }
        }
        let all_sent = sending.image.is_none() && sending.next.is_none();
        if !all_sent && self.waits_for_boundary() {
            // The data are those of no index; the rest of the entry is applied in the next turn.
            return;
        }
        let (mut written, mut bytes) = (0, sending.bytes());
        sending.more = false;
        while sending.in_flight.len() < PIECES_IN_FLIGHT && bytes < BYTES_IN_FLIGHT {
            if written >= BYTES_PER_TURN {
                sending.more = true;
                return;
            }
            let Some(piece) = self.next_piece(sending) else { break };
            written += piece.image.len();
            bytes += piece.image.len();
            let flight = InFlight { number: piece.number, sent: now, piece: piece.clone() };
            sending.in_flight.push_back(flight);
            let message = Message::SlotImage { shard: self.id, catch_up: sending.name, piece };
            env.effects.messages.push((sending.to, message));
        }
        let all_sent = sending.image.is_none() && sending.next.is_none();
        if all_sent && sending.in_flight.is_empty() && now.since(sending.last_sent) > RESEND_AFTER {
            sending.last_sent = now;
            let mut last = sending.last.clone();
            let mut data = sending.state.clone();
            data.put_u64(sending.name.number);
            data.put_u64(sending.pieces);
            last.set_snapshot_data(data);
            let message = Message::Raft { shard: self.id, message: last, fortified: None };
            env.effects.messages.push((sending.to, message));
        }
    }

    /// Writes the next piece; `None` after the last.
    fn next_piece(&mut self, sending: &mut Sending) -> Option<SlotPiece> {
        if sending.image.is_none() {
            let slot = sending.next?;
            sending.next = self.slot_behind(slot);
            let (id, index) = (self.data.begin_image(slot), self.group.applied_index());
            sending.image = Some(Imaging { id, slot, index, offset: 0 });
        }
        let image = sending.image.as_mut()?;
        let piece = self.data.next_piece(image.id, self.piece_bytes);
        let piece = piece.expect("an image that is not complete has a piece");
        let (number, slot, index, offset) = (sending.pieces, image.slot, image.index, image.offset);
        sending.pieces += 1;
        image.offset += piece.bytes.len() as u64;
        // What was written before may be older than the slots behind are now.
        let is_whole = piece.last && offset == 0;
        if piece.last {
            sending.image = None;
        }
        let empty_behind = if is_whole { self.pass_empty(sending) } else { 0 };
        let image = Bytes::from(piece.bytes);
        Some(SlotPiece { number, slot, empty_behind, index, offset, last: piece.last, image })
    }

    /// Goes on behind slots that are empty now; says how many. Most slots of a small shard are.
    fn pass_empty(&self, sending: &mut Sending) -> u16 {
        let mut passed = 0;
        while let Some(slot) = sending.next
            && passed < EMPTY_AT_ONCE
            && self.data.keys_in_slot(slot) == 0
        {
            passed += 1;
            sending.next = self.slot_behind(slot);
        }
        passed
    }

    fn slot_behind(&self, slot: Slot) -> Option<Slot> {
        Slot::new(slot.number() + 1).filter(|next| self.range.contains(*next))
    }

    /// The receiver says how far the pieces are durable there, or that it has lost some.
    pub(crate) fn on_slot_received(
        &mut self,
        env: &Env<'_>,
        from: NodeId,
        catch_up: CatchUpName,
        (below, lost): (u64, bool),
    ) {
        let found = self.catch_ups.iter_mut().find(|sending| sending.to == from);
        let Some(sending) = found.filter(|sending| sending.name == catch_up) else { return };
        if lost {
            self.group.catch_up_ended(from, false);
            self.end_catch_ups(|sending| sending.to == from);
            self.settle_at = env.now.monotonic;
            return;
        }
        sending.heard = env.now.monotonic;
        while sending.in_flight.front().is_some_and(|first| first.number < below) {
            sending.in_flight.pop_front();
        }
    }

    /// A piece arrives.
    pub(crate) fn on_slot_image(
        &mut self,
        env: &mut Env<'_>,
        from: NodeId,
        catch_up: CatchUpName,
        piece: SlotPiece,
    ) {
        if self.group.is_leader() || catch_up.term < self.group.term() {
            return;
        }
        let newest = self.staging.as_ref().map(|staging| staging.name);
        if newest.is_some_and(|newest| newest > catch_up) {
            return;
        }
        if newest != Some(catch_up) {
            if piece.number >= PIECES_IN_FLIGHT as u64 || self.dropped == Some(catch_up) {
                return self.answer_pieces(env, from, catch_up, (0, true));
            }
            if let Some(former) = self.staging.replace(Staging::new(from, catch_up)) {
                self.discard_staging(former);
            }
        }
        let Some(staging) = &mut self.staging else { return };
        if piece.number < staging.next {
            staging.answers = true;
        } else if piece.number - staging.next < PIECES_IN_FLIGHT as u64 {
            staging.ahead.insert(piece.number, piece);
        }
    }

    fn answer_pieces(
        &self,
        env: &mut Env<'_>,
        to: NodeId,
        catch_up: CatchUpName,
        (below, lost): (u64, bool),
    ) {
        let message = Message::SlotImageReceived { shard: self.id, catch_up, below, lost };
        env.effects.messages.push((to, message));
    }

    /// Logs the pieces that have arrived, and builds their slots.
    pub(super) fn advance_staging(&mut self, env: &mut Env<'_>) {
        let Some(mut staging) = self.staging.take() else { return };
        let (from, name) = (staging.from, staging.name);
        let before = staging.next;
        while let Some(piece) = staging.ahead.remove(&staging.next) {
            staging.first_segment = staging.first_segment.min(self.places.newest());
            let (shard, part) = (self.id, ImagePart::from(&piece));
            let record = Record::StagedPiece { shard, from, catch_up: name, part };
            record.encode(&mut env.effects.payload);
            env.effects.cut();
            if staging.take(&piece, self.hash_seed, self.places.newest()).is_err() {
                self.dropped = Some(name);
                self.discard_staging(staging);
                return self.answer_pieces(env, from, name, (0, true));
            }
        }
        if staging.next > before {
            staging.written.push_back((env.effects.write, staging.next));
        }
        if core::mem::take(&mut staging.answers) {
            self.answer_pieces(env, from, name, (staging.durable, false));
        }
        self.staging = Some(staging);
    }

    /// Pieces have become durable.
    pub(super) fn staging_persisted(&mut self, env: &mut Env<'_>, write: WriteId) {
        let Some(staging) = &mut self.staging else { return };
        let before = staging.durable;
        while let Some((_, below)) = staging.written.pop_front_if(|(first, _)| *first <= write) {
            staging.durable = below;
        }
        if staging.durable > before {
            let (from, name, durable) = (staging.from, staging.name, staging.durable);
            self.answer_pieces(env, from, name, (durable, false));
        }
    }

    /// A segment up to `target` is to be freed: a catch-up that has pieces there begins anew. Says
    /// whether nothing there is needed; what is about to be installed is.
    pub(super) fn leave_staging(&mut self, target: SegmentId) -> bool {
        if let Some(staging) = self.staging.take_if(|staging| staging.first_segment <= target) {
            self.dropped = Some(staging.name);
            self.discard_staging(staging);
        }
        self.accepted.as_ref().is_none_or(|staging| staging.first_segment > target)
    }

    /// What the engine did not want after all.
    pub(super) fn discard_accepted(&mut self) {
        if let Some(staging) = self.accepted.take() {
            self.discard_staging(staging);
        }
    }

    /// What has arrived is of no use any more. It may be a whole shard, so it is freed in steps.
    pub(super) fn discard_staging(&mut self, staging: Staging) {
        let current = staging.current.map(|current| current.builder.give_up());
        for built in staging.slots.into_values().map(|staged| staged.slot).chain(current) {
            self.data.discard_slot(built);
        }
    }

    /// Bytes of the catch-up that is being received.
    pub(super) fn staged_bytes(&self) -> u64 {
        self.staging.as_ref().map_or(0, |staging| staging.bytes)
    }

    /// From where on entries are needed for catch-ups under way.
    pub(super) fn catch_ups_need(&self) -> Option<LogIndex> {
        self.catch_ups.iter().map(|sending| sending.transfer).min()
    }

    /// The leader has sent everything.
    pub(super) fn on_catch_up_complete(
        &mut self,
        env: &mut Env<'_>,
        from: NodeId,
        message: RaftMessage,
    ) {
        let Ok((state, number, pieces)) = decode_closing(message.snapshot_data()) else { return };
        let (transfer, term) = (message.snapshot_index(), message.term());
        let name = CatchUpName { term, number };
        let known = self.staging.as_ref().filter(|it| (it.from, it.name) == (from, name));
        let complete = known.is_some_and(|staging| {
            staging.next == pieces
                && state.range.iter().all(|slot| staging.slots.contains_key(&slot))
        });
        // An incomplete one is sent again; one that the log has overtaken needs no slots.
        if !complete && transfer > self.group.commit_index() {
            if known.is_none() {
                self.answer_pieces(env, from, name, (0, true));
            }
            return;
        }
        if complete && !self.planted.contains(Planting::InstallNewestStaging) {
            // From here on these are the slots of this catch-up, whatever arrives in this turn.
            self.discard_accepted();
            self.accepted = self.staging.take();
        }
        self.group.step(message);
        self.promise(env, from, term);
    }

    /// The engine has accepted the catch-up: the staged slots replace the data.
    pub(super) fn install(&mut self, env: &mut Env<'_>, installed: &Installed) {
        let (mut state, number, _) =
            decode_closing(&installed.data).expect("the state was read when the catch-up arrived");
        state.applied = (installed.index, installed.term);
        state.replicas = installed.replicas.clone();
        let staged = if self.planted.contains(Planting::InstallNewestStaging) {
            self.staging.take()
        } else {
            self.accepted.take().filter(|staging| staging.name.number == number)
        };
        let staging = staged.expect("a catch-up is accepted only with its own slots");
        let (from, catch_up) = (staging.from, staging.name);
        let record = Record::InstallPieces { shard: self.id, from, catch_up, state: state.clone() };
        record.encode(&mut env.effects.payload);
        env.effects.cut();
        let mut data = Keyspace::new(state.range, self.hash_seed);
        self.floors.clear();
        self.places.reset(&state);
        for (slot, staged) in staging.slots {
            if !state.range.contains(slot) {
                data.discard_slot(staged.slot);
                continue;
            }
            data.put_slot(slot, staged.slot);
            self.places.imaged(slot, staged.segment);
            if staged.index > installed.index {
                self.floors.insert(slot, staged.index);
            }
        }
        self.data.replace(data);
        self.imaging = None;
        self.range = state.range;
        self.lease = state.lease.clone();
        self.goal = state.goal.clone();
        self.stamp = self.stamp.max(state.stamp);
        self.writes.clear();
        while let Some(pending) = self.pending.pop_front() {
            self.abandon(env, pending);
        }
        self.forget_committed();
        env.effects.rerouted.push(self.id);
        env.effects.events.push(Event::CatchUpInstalled { shard: self.id, index: installed.index });
    }

    /// When a catch-up must be looked at next.
    pub(super) fn catch_up_deadline(&self, now: Monotonic) -> Monotonic {
        if self.catch_ups.iter().any(|sending| sending.more) {
            now
        } else if self.catch_ups.is_empty() {
            Monotonic::NEVER
        } else {
            now + RESEND_AFTER
        }
    }
}

impl Staging {
    fn new(from: NodeId, name: CatchUpName) -> Self {
        Self {
            from,
            name,
            slots: BTreeMap::new(),
            current: None,
            ahead: BTreeMap::new(),
            next: 0,
            durable: 0,
            written: VecDeque::new(),
            answers: false,
            first_segment: SegmentId(u64::MAX),
            bytes: 0,
        }
    }

    /// Takes the next piece.
    fn take(
        &mut self,
        piece: &SlotPiece,
        hash_seed: u64,
        segment: SegmentId,
    ) -> Result<(), CodecError> {
        const MALFORMED: CodecError = CodecError("a piece of a slot image");
        let (slot, index) = (piece.slot, piece.index);
        let mut current = self.current.take().unwrap_or_else(|| {
            let builder = SlotBuilder::new(slot, hash_seed);
            Current { slot, index, segment, offset: 0, builder }
        });
        if (current.slot, current.index, current.offset) != (slot, index, piece.offset) {
            return Err(MALFORMED);
        }
        current.builder.push(&piece.image).map_err(|_| MALFORMED)?;
        current.offset += piece.image.len() as u64;
        self.next = piece.number + 1;
        self.bytes += piece.image.len() as u64 + PIECE_OVERHEAD;
        if piece.last {
            let Current { index, segment, builder, .. } = current;
            let built = builder.finish().map_err(|_| MALFORMED)?;
            self.slots.insert(slot, Staged { index, segment, slot: built });
            for slot in empty_slots(slot, piece.empty_behind) {
                let built = BuiltSlot::empty(hash_seed);
                self.slots.insert(slot, Staged { index, segment, slot: built });
            }
        } else {
            self.current = Some(current);
        }
        Ok(())
    }
}

/// What closes a catch-up: the state but for the slots, the catch-up's number, and its pieces.
fn decode_closing(bytes: &[u8]) -> Result<(ShardState, u64, u64), CodecError> {
    let from = &mut Take::new(bytes);
    Ok((ShardState::decode(from)?, from.u64()?, from.u64()?))
}

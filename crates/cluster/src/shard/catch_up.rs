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

mod again;
mod receiving;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use keyspace::{BuiltSlot, ImageId, SlotBuilder};
use types::{Incarnation, LogIndex, Monotonic, NodeId, SegmentId, Slot};

use super::checkpoint::EMPTY_AT_ONCE;
use super::flow::{Flow, RESEND_AFTER, WINDOW_MAX};
use super::{Env, Shard};
use crate::bytes_codec::Put;
use crate::io::{CatchUpName, Event, Message, SlotPiece, WriteId};
use crate::planted::Planting;
use crate::raft_group::RaftMessage;

/// Pieces on their way to one replica at a time.
const PIECES_IN_FLIGHT: usize = 512;
/// Bytes of images that are written for one replica in a turn.
const BYTES_PER_TURN: usize = 1 << 20;
/// How long nothing arrives before what has arrived is of no use: the sender has given up.
const STALE_AFTER: Duration = Duration::from_secs(30);
/// What the log and a message need for a piece beside its bytes, amply.
const PIECE_OVERHEAD: u64 = 128;

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
    /// What is not acknowledged; the first `under_way` of it are, those behind are lost.
    in_flight: VecDeque<SlotPiece>,
    under_way: usize,
    flow: Flow,
    /// There is more to send in the next turn.
    more: bool,
    /// The message that closes it is on its way.
    closed: bool,
    heard: Monotonic,
    /// How much of an unfinished message had arrived there, and when that was last another number.
    arriving: u64,
    stirred: Monotonic,
}

struct Imaging {
    id: ImageId,
    slot: Slot,
    index: LogIndex,
    offset: u64,
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
    /// The slot that is being written again, and how far those have been looked at.
    again: Option<again::Again>,
    kept_below: Slot,
    bytes: u64,
    /// When the last piece came.
    heard: Monotonic,
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
    /// How much of it has arrived, and how much of it the log has, where it was last begun.
    offset: u64,
    logged: u64,
    builder: SlotBuilder,
}

impl Sending {
    /// Bytes under way.
    fn bytes(&self) -> usize {
        self.in_flight.iter().take(self.under_way).map(weight).sum()
    }

    /// What was sent is lost.
    fn lose(&mut self) {
        (self.under_way, self.closed) = (0, false);
    }

    fn is_silent_for(&self, now: Monotonic) -> bool {
        now.since(self.heard.max(self.stirred)) > self.flow.give_up_after()
    }
}

/// What a piece costs on its way.
fn weight(piece: &SlotPiece) -> usize {
    piece.image.len() + PIECE_OVERHEAD as usize
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
            under_way: 0,
            flow: Flow::new(now),
            more: false,
            closed: false,
            heard: now,
            arriving: env.support.arriving_at(to),
            stirred: now,
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
        for sending in &mut self.catch_ups {
            let arriving = env.support.arriving_at(sending.to);
            if core::mem::replace(&mut sending.arriving, arriving) != arriving && arriving > 0 {
                sending.stirred = now;
                sending.flow.stirs(now);
            }
            let matched = self.group.progress(sending.to).map(|(matched, _)| matched);
            if matched.is_none_or(|matched| matched >= sending.transfer) {
                // The engine notices only if what the follower has grows while it waits. It may
                // have had all of it before, and the answer to what came behind may be lost.
                self.group.catch_up_ended(sending.to, true);
                done.push(sending.name);
            } else if sending.is_silent_for(now)
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
        let all = self.planted.contains(Planting::ResendAllPieces);
        let awaits = sending.under_way > 0 || sending.closed;
        if awaits && sending.flow.is_silent(now) {
            if all {
                sending.flow.lost(now);
            } else {
                sending.flow.silent(now);
            }
            sending.lose();
        }
        let window = if all { WINDOW_MAX } else { sending.flow.window() };
        let all_sent = sending.image.is_none() && sending.next.is_none();
        if !all_sent && self.waits_for_boundary() {
            // The data are those of no index; the rest of the entry is applied in the next turn.
            return;
        }
        let (mut written, mut bytes) = (0, sending.bytes());
        let (before, alone) = (sending.under_way, sending.under_way == 0);
        sending.more = false;
        while sending.under_way < PIECES_IN_FLIGHT && (bytes < window || sending.under_way == 0) {
            if written >= BYTES_PER_TURN {
                sending.more = true;
                break;
            }
            let lost = sending.in_flight.get(sending.under_way).cloned();
            let Some(piece) = lost.or_else(|| self.next_piece(sending)) else { break };
            if sending.under_way == sending.in_flight.len() {
                sending.in_flight.push_back(piece.clone());
            }
            sending.under_way += 1;
            written += piece.image.len();
            bytes += weight(&piece);
            let message = Message::SlotImage { shard: self.id, catch_up: sending.name, piece };
            env.effects.messages.push((sending.to, message));
        }
        let newest = sending.in_flight.get(sending.under_way.wrapping_sub(1));
        if let Some(newest) = newest.filter(|_| sending.under_way > before) {
            sending.flow.sent(now, newest.number + 1, alone);
        }
        let all_sent = sending.image.is_none() && sending.next.is_none();
        if all_sent && sending.in_flight.is_empty() && !sending.closed {
            self.close(env, sending);
        }
    }

    /// Tells the receiver that it has all slots.
    fn close(&self, env: &mut Env<'_>, sending: &mut Sending) {
        sending.flow.stirs(env.now.monotonic);
        sending.closed = true;
        let mut last = sending.last.clone();
        let mut data = sending.state.clone();
        data.put_u64(sending.name.number);
        data.put_u64(sending.pieces);
        last.set_snapshot_data(data);
        let message = Message::Raft { shard: self.id, message: last, fortified: None };
        env.effects.messages.push((sending.to, message));
    }

    /// What was sent to `peer` is lost.
    pub(super) fn pieces_lost(&mut self, env: &Env<'_>, peer: NodeId) {
        for sending in self.catch_ups.iter_mut().filter(|sending| sending.to == peer) {
            sending.flow.lost(env.now.monotonic);
            sending.lose();
        }
    }

    /// Writes the next piece; `None` after the last.
    fn next_piece(&mut self, sending: &mut Sending) -> Option<SlotPiece> {
        if sending.image.is_none() {
            let slot = sending.next?;
            sending.next = self.slot_behind(slot);
            let (id, index) = (self.data.begin_image(slot), self.reflected(slot));
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
        let empty_behind = if is_whole { self.pass_empty(sending, index) } else { 0 };
        let image = Bytes::from(piece.bytes);
        Some(SlotPiece { number, slot, empty_behind, index, offset, last: piece.last, image })
    }

    /// Goes on behind slots that are empty now, and reflect the same entry; says how many. Most
    /// slots of a small shard are.
    fn pass_empty(&self, sending: &mut Sending, index: LogIndex) -> u16 {
        let mut passed = 0;
        while let Some(slot) = sending.next
            && passed < EMPTY_AT_ONCE
            && self.data.keys_in_slot(slot) == 0
            && self.reflected(slot) == index
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
        let now = env.now.monotonic;
        sending.heard = now;
        if self.planted.contains(Planting::ResendAllPieces) {
            // As if nothing were heard until there is nothing left to send.
            sending.in_flight.retain(|piece| piece.number >= below);
            sending.under_way = sending.under_way.min(sending.in_flight.len());
            return;
        }
        let (mut advances, mut bytes) = (false, 0);
        while let Some(piece) = sending.in_flight.pop_front_if(|first| first.number < below) {
            advances = true;
            if sending.under_way > 0 {
                sending.under_way -= 1;
                bytes += weight(&piece);
            }
        }
        if advances {
            sending.flow.acknowledged(now, below, bytes);
        } else {
            sending.flow.stirs(now);
        }
    }

    /// From where on entries are needed for catch-ups under way.
    pub(super) fn catch_ups_need(&self) -> Option<LogIndex> {
        self.catch_ups.iter().map(|sending| sending.transfer).min()
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

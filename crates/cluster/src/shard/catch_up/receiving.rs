//! The receiver's side: what arrives is logged and built, and at last put in place of the data.

use alloc::collections::{BTreeMap, VecDeque};

use keyspace::{BuiltSlot, SlotBuilder};
use types::{Monotonic, NodeId, SegmentId, Slot};

use super::{Current, PIECE_OVERHEAD, PIECES_IN_FLIGHT, Staged, Staging};
use crate::bytes_codec::{CodecError, Take};
use crate::io::{CatchUpName, Event, Message, SlotPiece, WriteId};
use crate::planted::Planting;
use crate::raft_group::{Installed, RaftMessage};
use crate::record::{ImagePart, Record, ShardState, empty_slots};
use crate::shard::{Env, Shard};

impl Shard {
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
            if let Some(former) =
                self.staging.replace(Staging::new(from, catch_up, env.now.monotonic))
            {
                self.discard_staging(former);
            }
        }
        let Some(staging) = &mut self.staging else { return };
        staging.heard = env.now.monotonic;
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
    pub(in crate::shard) fn advance_staging(&mut self, env: &mut Env<'_>) {
        self.drop_stale_staging(env.now.monotonic);
        // The record that installs those is written at the end of this turn. In the log it must
        // stand behind all their pieces and before those of the next catch-up: a start goes by
        // the newest.
        if self.accepted.is_some() && !self.planted.contains(Planting::StageBeforeInstall) {
            return;
        }
        let Some(mut staging) = self.staging.take() else { return };
        let (from, name) = (staging.from, staging.name);
        let before = staging.next;
        while !staging.is_held_up()
            && let Some(piece) = staging.ahead.remove(&staging.next)
        {
            staging.first_segment = staging.first_segment.min(self.places.newest());
            let offset = staging.current.as_ref().map_or(0, |current| current.logged);
            if staging.take(&piece, self.hash_seed, self.places.newest()).is_err() {
                self.dropped = Some(name);
                self.discard_staging(staging);
                return self.answer_pieces(env, from, name, (0, true));
            }
            let (shard, part) = (self.id, ImagePart { offset, ..ImagePart::from(&piece) });
            let record = Record::StagedPiece { shard, from, catch_up: name, part };
            record.encode(env.effects.payload.tail());
            env.effects.payload.cut();
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
    pub(in crate::shard) fn staging_persisted(&mut self, env: &mut Env<'_>, write: WriteId) {
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

    /// What the engine did not want after all.
    pub(in crate::shard) fn discard_accepted(&mut self) {
        if let Some(staging) = self.accepted.take() {
            self.discard_staging(staging);
        }
    }

    /// What has arrived is of no use any more. It may be a whole shard, so it is freed in steps.
    pub(in crate::shard) fn discard_staging(&mut self, staging: Staging) {
        let current = staging.current.map(|current| current.builder.give_up());
        for built in staging.slots.into_values().map(|staged| staged.slot).chain(current) {
            self.data.discard_slot(built);
        }
    }

    /// Bytes of the catch-up that is being received.
    pub(in crate::shard) fn staged_bytes(&self) -> u64 {
        self.staging.as_ref().map_or(0, |staging| staging.bytes)
    }

    /// The leader has sent everything.
    pub(in crate::shard) fn on_catch_up_complete(
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
    pub(in crate::shard) fn install(&mut self, env: &mut Env<'_>, installed: &Installed) {
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
        record.encode(env.effects.payload.tail());
        env.effects.payload.cut();
        let mut data = self.empty_data(state.range);
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
}

impl Staging {
    fn new(from: NodeId, name: CatchUpName, now: Monotonic) -> Self {
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
            again: None,
            kept_below: Slot::default(),
            bytes: 0,
            heard: now,
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
            Current { slot, index, segment, offset: 0, logged: 0, builder }
        });
        if (current.slot, current.index, current.offset) != (slot, index, piece.offset) {
            return Err(MALFORMED);
        }
        current.builder.push(&piece.image).map_err(|_| MALFORMED)?;
        current.offset += piece.image.len() as u64;
        current.logged += piece.image.len() as u64;
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

//! Replicas that the log can't help any more: the leader sends them the slots one by one.
//!
//! The engine asks for a snapshot at index S. Each slot is encoded when its turn comes, so it
//! reflects some index at or after S; nothing is paused or copied as a whole. The receiver stages
//! the slots, and when all are there installs them and goes on from entry S + 1, skipping for each
//! slot what its image already has. Until it has applied the newest of those indexes its state
//! is a mixture, but it can't lead before that: a leader's log holds every committed entry.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use keyspace::Keyspace;
use types::{LogIndex, Monotonic, NodeId, Slot};

use super::{Env, Shard};
use crate::bytes_codec::Take;
use crate::io::{Event, Message};
use crate::planted::Planting;
use crate::raft_group::{Installed, RaftMessage};
use crate::record::{Record, ShardState};

/// Slots on their way to one replica at a time.
const SLOTS_IN_FLIGHT: usize = 64;
/// Bytes of images on their way to one replica at a time, beyond the first.
const BYTES_IN_FLIGHT: usize = 4 << 20;
/// How long an answer is awaited before a slot is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(500);
/// How long a receiver may be silent before the catch-up is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);

/// Slots on their way to a replica.
pub(super) struct Sending {
    to: NodeId,
    transfer: LogIndex,
    /// What tells the receiver that it has all slots.
    last: RaftMessage,
    next: Option<Slot>,
    in_flight: BTreeMap<Slot, InFlight>,
    last_sent: Monotonic,
    heard: Monotonic,
}

struct InFlight {
    sent: Monotonic,
    bytes: usize,
}

/// Slots that have arrived.
pub(super) struct Staging {
    from: NodeId,
    transfer: LogIndex,
    slots: BTreeMap<Slot, (LogIndex, Bytes)>,
}

impl Shard {
    /// The engine wants a replica to catch up by slots.
    pub(super) fn begin_catch_up(&mut self, env: &mut Env<'_>, to: NodeId, mut last: RaftMessage) {
        if !self.may_copy_to(env, to) {
            // The engine asks again.
            return self.group.catch_up_ended(to, false);
        }
        let now = env.now.monotonic;
        let transfer = last.snapshot_index();
        let mut data = Vec::new();
        // The state at `transfer`: messages are sent before further entries are applied.
        self.state().encode(&mut data);
        last.set_snapshot_data(data);
        self.catch_ups.retain(|sending| sending.to != to);
        self.catch_ups.push(Sending {
            to,
            transfer,
            last,
            next: Some(self.range.first()),
            in_flight: BTreeMap::new(),
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

    /// Sends what may be sent, and gives up on receivers that are silent.
    pub(super) fn advance_catch_ups(&mut self, env: &mut Env<'_>) {
        if self.catch_ups.is_empty() {
            return;
        }
        let now = env.now.monotonic;
        let mut catch_ups = core::mem::take(&mut self.catch_ups);
        if !self.group.is_leader() {
            return;
        }
        catch_ups.retain_mut(|sending| {
            let matched = self.group.progress(sending.to).map(|(matched, _)| matched);
            if matched.is_none_or(|matched| matched >= sending.transfer) {
                return false;
            }
            if now.since(sending.heard) > GIVE_UP_AFTER {
                self.group.catch_up_ended(sending.to, false);
                return false;
            }
            self.pump(env, sending);
            true
        });
        self.catch_ups = catch_ups;
    }

    fn pump(&mut self, env: &mut Env<'_>, sending: &mut Sending) {
        let now = env.now.monotonic;
        let late: Vec<Slot> = sending
            .in_flight
            .iter()
            .filter(|(_, flight)| now.since(flight.sent) > RESEND_AFTER)
            .map(|(slot, _)| *slot)
            .collect();
        for slot in late {
            self.send_slot(env, sending, slot);
        }
        while let Some(slot) = sending.next {
            let bytes: usize = sending.in_flight.values().map(|flight| flight.bytes).sum();
            if sending.in_flight.len() >= SLOTS_IN_FLIGHT || bytes >= BYTES_IN_FLIGHT {
                return;
            }
            self.send_slot(env, sending, slot);
            let next = Slot::new(slot.number() + 1);
            sending.next = next.filter(|next| self.range.contains(*next));
        }
        if sending.in_flight.is_empty() && now.since(sending.last_sent) > RESEND_AFTER {
            sending.last_sent = now;
            let message =
                Message::Raft { shard: self.id, message: sending.last.clone(), fortified: None };
            env.effects.messages.push((sending.to, message));
        }
    }

    fn send_slot(&mut self, env: &mut Env<'_>, sending: &mut Sending, slot: Slot) {
        let mut image = Vec::new();
        self.data.encode_slot(slot, &mut image);
        let flight = InFlight { sent: env.now.monotonic, bytes: image.len() };
        sending.in_flight.insert(slot, flight);
        let message = Message::SlotImage {
            shard: self.id,
            transfer: sending.transfer,
            slot,
            index: self.group.applied_index(),
            image: Bytes::from(image),
        };
        env.effects.messages.push((sending.to, message));
    }

    /// The receiver has a slot.
    pub(crate) fn on_slot_received(
        &mut self,
        env: &Env<'_>,
        from: NodeId,
        transfer: LogIndex,
        slot: Slot,
    ) {
        let found = self.catch_ups.iter_mut().find(|sending| sending.to == from);
        if let Some(sending) = found.filter(|sending| sending.transfer == transfer) {
            sending.heard = env.now.monotonic;
            sending.in_flight.remove(&slot);
        }
    }

    /// A slot arrives.
    pub(crate) fn on_slot_image(
        &mut self,
        env: &mut Env<'_>,
        from: NodeId,
        transfer: LogIndex,
        slot: Slot,
        (index, image): (LogIndex, Bytes),
    ) {
        if self.group.is_leader() || index < transfer {
            return;
        }
        let known = self.staging.as_ref().filter(|staging| staging.from == from);
        if known.is_some_and(|staging| staging.transfer > transfer) {
            return;
        }
        if known.is_none_or(|staging| staging.transfer < transfer) {
            self.staging = Some(Staging { from, transfer, slots: BTreeMap::new() });
        }
        if let Some(staging) = &mut self.staging {
            staging.slots.insert(slot, (index, image));
        }
        let message = Message::SlotImageReceived { shard: self.id, transfer, slot };
        env.effects.messages.push((from, message));
    }

    /// The leader has sent everything.
    pub(super) fn on_catch_up_complete(
        &mut self,
        env: &mut Env<'_>,
        from: NodeId,
        message: RaftMessage,
    ) {
        let transfer = message.snapshot_index();
        let Ok(state) = ShardState::decode(&mut Take::new(message.snapshot_data())) else { return };
        let complete = self.staging.as_ref().is_some_and(|staging| {
            staging.from == from
                && staging.transfer == transfer
                && state.range.iter().all(|slot| staging.slots.contains_key(&slot))
        });
        // An incomplete one is sent again; one that the log has overtaken needs no slots.
        if !complete && transfer > self.group.commit_index() {
            return;
        }
        if complete && !self.planted.contains(Planting::InstallNewestStaging) {
            // From here on these are the slots of this catch-up, whatever arrives in this turn.
            self.accepted = self.staging.take();
        }
        let term = message.term();
        self.group.step(message);
        self.promise(env, from, term);
    }

    /// The engine has accepted the catch-up: the staged slots replace the data.
    pub(super) fn install(&mut self, env: &mut Env<'_>, installed: &Installed) {
        let mut state = ShardState::decode(&mut Take::new(&installed.data))
            .expect("the state was read when the catch-up arrived");
        state.applied = (installed.index, installed.term);
        state.replicas = installed.replicas.clone();
        let staged = if self.planted.contains(Planting::InstallNewestStaging) {
            self.staging.take()
        } else {
            self.accepted.take().filter(|staging| staging.transfer == installed.index)
        };
        let staging = staged.expect("a catch-up is accepted only with its own slots");
        let mut data = Keyspace::new(state.range, self.seed);
        self.floors.clear();
        for (slot, (index, image)) in &staging.slots {
            if !state.range.contains(*slot) {
                continue;
            }
            data.install_slot(*slot, image).unwrap_or_else(|error| {
                panic!(
                    "{} slot {slot}: an image from {} is malformed: {error}",
                    self.id, staging.from
                )
            });
            let record = Record::StagedImage { shard: self.id, slot: *slot, index: *index, image };
            record.encode(&mut env.effects.payload);
            if *index > installed.index {
                self.floors.insert(*slot, *index);
            }
        }
        let record = Record::Install { shard: self.id, state: state.clone() };
        record.encode(&mut env.effects.payload);
        self.data = data;
        self.range = state.range;
        self.lease = state.lease.clone();
        self.goal = state.goal.clone();
        self.stamp = self.stamp.max(state.stamp);
        self.places.reset(&state);
        self.writes.clear();
        while let Some(pending) = self.pending.pop_front() {
            self.abandon(env, pending);
        }
        env.effects.rerouted.push(self.id);
        env.effects.events.push(Event::CatchUpInstalled { shard: self.id, index: installed.index });
    }

    /// When a catch-up must be looked at next.
    pub(super) fn catch_up_deadline(&self, now: Monotonic) -> Monotonic {
        if self.catch_ups.is_empty() { Monotonic::NEVER } else { now + RESEND_AFTER }
    }
}

//! From a message of another node to whom it concerns.

use types::SupportEpoch;

use super::*;
use crate::io::Condition;
use crate::raft_group::Seat;

impl Node {
    pub(super) fn on_message(&mut self, now: Now, from: NodeId, message: Message) {
        // Somebody waits for what was forwarded: it is refused, and can go elsewhere at once.
        let heeded = matches!(message, Message::Beat { .. } | Message::Forward(_));
        if !heeded && !self.world.founding.is_acquainted(from) {
            return;
        }
        match message {
            Message::Beat { epoch, incarnation, sequence, condition, introduction } => {
                if self.on_introduction(now, from, incarnation, &condition, introduction) {
                    self.on_beat(now, from, (epoch, incarnation, sequence), condition);
                }
            }
            Message::Promise { sequence, epoch, incarnation, life, duration_micros } => {
                let fortification = Fortification { epoch, incarnation, life };
                let duration = Duration::from_micros(duration_micros);
                let support = &mut self.world.support;
                support.on_promise(now.monotonic, from, sequence, fortification, duration);
            }
            Message::Raft { message, .. } if self.has_no_room_for(&message) => {}
            Message::Raft { shard, message, fortified } => {
                self.on_raft(now, from, shard, message, fortified);
            }
            Message::AskRelease { shard, term } => self.on_ask_release(from, shard, term),
            Message::Release { shard, term, stands_back } => {
                self.with_shard(now, shard, |shard, env| {
                    shard.on_release(env, from, term, stands_back);
                });
            }
            Message::SlotImage { shard, catch_up, piece } => {
                if self.local(shard).is_none() && !self.has_removed(shard) {
                    self.take_back(shard);
                }
                self.with_shard(now, shard, |shard, env| {
                    shard.on_slot_image(env, from, catch_up, piece);
                });
            }
            Message::SlotImageReceived { shard, catch_up, below, lost } => {
                self.with_shard(now, shard, |shard, env| {
                    shard.on_slot_received(env, from, catch_up, (below, lost));
                });
            }
            Message::Forward(forwarded) => self.on_forward(now, from, *forwarded),
            Message::ForwardReply { request, outcome } => {
                self.on_forward_reply(now, from, request, outcome);
            }
            Message::Route { shard, range, epoch, applied, seats, holder, replicas } => {
                // A node that joins may not know yet how the slots are cut: to it, what others
                // call by this number is another shard.
                if self.routes.get(shard).is_some_and(|known| known.range == range) {
                    self.on_route(now, shard, (epoch, applied, Seat(seats)), holder, &replicas);
                }
            }
            Message::Order { number, shard, order } => {
                self.on_order(now, (from, number), shard, &order);
            }
            Message::OrderReply { number, outcome } => {
                self.on_order_reply(now, from, number, outcome);
            }
            Message::Members(membership) => self.on_members(now, membership),
            Message::AskRoutes => self.announce_routes_to(from),
            Message::Report(report) => self.on_report(now, from, *report),
            Message::TopologyClient { host, library } => {
                self.frontend.note_topology_client(now.monotonic, host, library);
            }
        }
    }

    fn on_beat(
        &mut self,
        now: Now,
        from: NodeId,
        (epoch, incarnation, sequence): (SupportEpoch, Incarnation, u64),
        condition: Condition,
    ) {
        let support = &mut self.world.support;
        let heard = condition.heard_micros;
        let life = (incarnation, condition.life);
        let answer = support.on_beat(now.monotonic, from, epoch, life, sequence, heard);
        support.note_condition(from, incarnation, condition);
        self.note_lost_answers(now, from, condition.lost_answers);
        self.world.effects.messages.extend(answer.map(|answer| (from, answer)));
        self.note_wall_clock(now, from, condition.wall);
    }

    /// A message of a shard's Raft group.
    fn on_raft(
        &mut self,
        now: Now,
        from: NodeId,
        shard: ShardId,
        message: RaftMessage,
        fortified: Option<Fortification>,
    ) {
        self.seat_receiver(now, shard, &message);
        if message.asks_for_vote() {
            self.enlighten(shard, from);
            if self.local(shard).is_none() {
                return self.vote_as_removed(now, from, shard, message);
            }
        }
        self.with_shard(now, shard, |shard, env| {
            shard.on_message(env, from, message, fortified);
        });
    }

    /// Runs something on a shard that has a replica here.
    pub(crate) fn with_shard(
        &mut self,
        now: Now,
        shard: ShardId,
        run: impl FnOnce(&mut Shard, &mut Env<'_>),
    ) {
        let Some(at) = self.local(shard) else { return };
        if let Some(found) = self.shards.get_mut(at) {
            run(found, &mut self.world.env(now));
            self.touch(at);
        }
    }
}

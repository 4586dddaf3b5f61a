//! One node: its shards, its clients, and what it knows of the others.
//!
//! Reading order: this file (inputs, and what happens once a turn), `peers` (the other nodes),
//! `clocks`, `routes` (who holds what), `requests` (from a client's arguments to a shard),
//! `transactions`, `placing` (here, there, or wait), `forwarding`, `detours` (past a link that is
//! cut), `gather` (requests to all shards), `orders` (moving leases by hand), `membership`,
//! `storage` (the node's log), `reporting` (what it took).

mod anew;
mod clocks;
mod detours;
mod forwarding;
mod gather;
mod managing;
mod membership;
mod messages;
mod orders;
mod peers;
mod placing;
pub(crate) mod redirects;
mod reporting;
mod requests;
mod rooms;
pub(crate) mod routes;
mod slow_disk;
mod stopping;
mod storage;
mod transactions;
pub(crate) mod troubles;
mod views;

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use types::{Incarnation, Monotonic, NodeId, Now, SessionId, ShardId};

use crate::clock::ClusterClock;
use crate::founding::{Founding, Remembered};
use crate::frontend::Frontend;
use crate::io::{
    ClientAddress, Event, Fortification, Input, Membership, Message, Origin, Output, WriteId,
};
use crate::lives::Lives;
use crate::planted::Planting;
use crate::raft_group::RaftMessage;
use crate::recovery::{RecordError, Recovered};
use crate::room::Room;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::shard::{Effects, Env, Shard, Standing};
use crate::support::Support;
use crate::work::{Kind, TurnWork};
use anew::Anew;
use detours::Detours;
use forwarding::Forwards;
use gather::Gathers;
pub(crate) use gather::{split_array, split_value};
use managing::Managing;
use orders::Orders;
use placing::Homeless;
use reporting::Reporting;
use routes::Routes;
pub(crate) use slow_disk::is_slower_there;
use storage::Storage;
pub use views::{ReplicaView, StoredView, fold_digests};

/// How often requests without a home and time-outs of forwarded ones are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_millis(10);
/// How long a stopping node waits for its leases to be taken over.
const STOP_TIME: Duration = Duration::from_secs(5);
/// How long it waits before it hands them over: others that stop at the same moment say so
/// meanwhile, and get none.
const STOP_NOTICE: Duration = Duration::from_millis(20);

/// Room that is kept for the next write to the log, in bytes.
const PAYLOAD_ROOM: usize = 1 << 20;

/// One node of the cluster. See `io` for how it is driven.
pub struct Node {
    pub(crate) world: World,
    pub(crate) shards: Vec<Shard>,
    pub(crate) routes: Routes,
    pub(crate) frontend: Frontend,
    forwards: Forwards,
    detours: Detours,
    gathers: Gathers,
    orders: Orders,
    managing: Managing,
    storage: Storage,
    pub(crate) reporting: Reporting,
    homeless: Homeless,
    slow_disk: slow_disk::SlowDisk,
    next_sweep: Monotonic,
    /// What this node has found out about its beginning, and the write that makes it durable.
    decided: Option<(WriteId, Remembered)>,
    /// How far it is with beginning anew.
    anew: Anew,
    /// With whom it was last said to disagree about a new cluster.
    disagreeing: Vec<NodeId>,
    /// The list of the nodes is news to the driver.
    members_news: bool,
    dirty: Vec<usize>,
    /// Shards with something left over from this turn, those first that have had the least.
    unfinished: Vec<usize>,
    timers: BinaryHeap<Reverse<(Monotonic, usize)>>,
    /// Since when the node has been asked to stop.
    stopping: Option<Monotonic>,
    stopped: bool,
    started: Monotonic,
}

/// The parts of a node that its shards share.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) incarnation: Incarnation,
    pub(crate) support: Support,
    pub(crate) clock: ClusterClock,
    pub(crate) founding: Founding,
    pub(crate) room: Room,
    pub(crate) sessions: Sessions,
    pub(crate) effects: Effects,
    pub(crate) work: TurnWork,
    pub(crate) trace_reads: bool,
}

impl World {
    /// The nodes of the cluster.
    pub(crate) fn members(&self) -> &Membership {
        self.founding.members()
    }

    /// The other nodes of the cluster.
    pub(crate) fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members().nodes().filter(|node| *node != self.settings.node)
    }

    pub(crate) fn env(&mut self, now: Now) -> Env<'_> {
        Env {
            now,
            settings: &self.settings,
            support: &self.support,
            clock: &self.clock,
            founding: &self.founding,
            room: &mut self.room,
            sessions: &mut self.sessions,
            effects: &mut self.effects,
            work: &mut self.work,
            trace_reads: self.trace_reads,
        }
    }
}

impl Node {
    /// A node as its log has it. `seed` decides every random choice the node makes; hash tables
    /// are keyed with it, so a server draws it from the system.
    ///
    /// # Errors
    /// If the log holds what this version can't have written.
    pub fn new(
        mut settings: Settings,
        recovered: Recovered,
        seed: u64,
        now: Now,
    ) -> Result<Self, RecordError> {
        let start = recovered.start;
        let incarnation = start.incarnation;
        let support = Support::new(&settings, &start, now.monotonic);
        let remembered = reconcile(recovered.remembered, &mut settings);
        let lives = Lives::new(&start, recovered.memories, settings.planted);
        let founding = Founding::new(settings.node, start.directory, remembered, lives);
        let directory = founding.own_directory().unwrap_or_default();
        let mut shards = Vec::new();
        for (id, shard) in recovered.shards {
            shards.push(Shard::new(id, shard, &settings, directory, seed, now)?);
        }
        let routes = Routes::initial(&settings, &founding, &shards, now);
        let event = Event::Started { incarnation, shards: shards.len() };
        let mut effects = Effects::default();
        effects.events.push(event);
        if founding.origin() == Origin::Blank {
            effects.events.push(Event::Blank { awaited: founding.awaited() });
        }
        let frontend = Frontend::new(&settings, seed);
        let reports = settings.managed || founding.members().version > 0;
        let work = TurnWork::new(settings.turn_divisor, settings.breaks(Planting::EndlessTurn));
        let mut node = Self {
            world: World {
                work,
                settings,
                incarnation,
                support,
                clock: ClusterClock::new(now),
                founding,
                room: Room::new(now.monotonic),
                sessions: Sessions::new(),
                effects,
                trace_reads: false,
            },
            shards,
            routes,
            frontend,
            forwards: Forwards::new(start.life),
            detours: Detours::default(),
            gathers: Gathers::default(),
            orders: Orders::new(start.life),
            managing: Managing::new(reports, now.monotonic),
            storage: Storage::new(now.monotonic),
            reporting: Reporting::new(now.monotonic),
            decided: None,
            anew: Anew::default(),
            disagreeing: Vec::new(),
            members_news: true,
            homeless: Homeless::default(),
            slow_disk: slow_disk::SlowDisk::default(),
            next_sweep: Monotonic::NEVER,
            dirty: Vec::new(),
            unfinished: Vec::new(),
            timers: BinaryHeap::new(),
            stopping: None,
            stopped: false,
            started: now.monotonic,
        };
        for at in 0..node.shards.len() {
            node.touch(at);
        }
        node.meet_members();
        if node.is_removed() {
            node.world.effects.events.push(Event::Removed);
        }
        Ok(node)
    }

    /// Reports every read served under a lease as an event, for checkers.
    pub fn trace_reads(&mut self, on: bool) {
        self.world.trace_reads = on;
    }

    /// A client connects.
    ///
    /// # Errors
    /// The text of the error to send before closing, if there are too many clients.
    pub fn connect(&mut self, now: Now, address: ClientAddress) -> Result<SessionId, &'static str> {
        if self.world.sessions.count() >= self.world.settings.clients {
            self.count_rejected_connection();
            return Err("ERR max number of clients reached");
        }
        let authenticated = self.world.settings.password.is_empty();
        Ok(self.world.sessions.open(address, now.monotonic, authenticated))
    }

    /// Whether a client has given the password, or need not.
    pub fn is_authenticated(&mut self, session: SessionId) -> bool {
        self.world.sessions.get(session).is_some_and(|session| session.authenticated)
    }

    /// A client sent what is not a request: it gets an error after its other replies, and the
    /// connection is closed.
    pub fn protocol_error(&mut self, session: SessionId, text: &str) {
        if let Some(found) = self.world.sessions.get(session) {
            found.reply(|reply| reply.error(text));
            found.closing = true;
        }
        self.world.sessions.announce(session);
    }

    /// Moves the finished replies of a session to the end of `into`.
    pub fn take_replies(&mut self, session: SessionId, into: &mut impl resp::Sink) {
        self.world.sessions.take_output(session, into);
        if self.world.sessions.get(session).is_some_and(|session| session.paused) {
            // It may go on with the next turn, which must come at once.
            self.world.sessions.announce(session);
            self.next_sweep = Monotonic(0);
        }
    }

    /// Handles one input. Its outputs come with the next [`Node::settle`].
    pub fn step(&mut self, now: Now, input: Input) {
        if self.is_void() {
            return self.note_void(&input);
        }
        self.watch_clock(now);
        self.world.sessions.stats.set_now(now);
        match input {
            Input::Peer { from, message } => self.on_message(now, from, message),
            Input::PeerUp { peer } => self.on_peer_up(now, peer),
            Input::PeerDown { peer } => self.on_peer_down(now, peer),
            Input::Persisted(persisted) => {
                self.world.founding.lives.note_durable(persisted.log_end);
                self.storage.note_length(persisted.oldest, persisted.log_bytes);
                self.on_persisted(now, persisted.write, persisted.segment);
            }
            Input::LogRead { id, part } => self.on_log_read(now, id, part),
            Input::Disconnected { session } => self.on_disconnected(now, session),
            Input::DiskSpace(bytes) => self.note_disk_space(now, bytes),
            Input::Stop => {
                self.stopping.get_or_insert(now.monotonic);
                self.world.support.begin_stopping(now.monotonic);
            }
            Input::Tick => {}
        }
    }

    /// Ends a turn: everything that became possible is done, and what the driver must do is
    /// added to `out`.
    pub fn settle(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.is_void() {
            return self.begin_anew(now, out);
        }
        self.watch_clock(now);
        self.advance_clock(now);
        self.world.sessions.stats.set_now(now);
        self.exchange_support(now);
        self.take_up_unfinished();
        self.begin_taking_part();
        self.run_timers(now);
        self.sweep(now);
        self.release_held_forwards(now);
        self.continue_stopping(now, out);
        self.continue_reclaiming(now);
        loop {
            while !self.dirty.is_empty() || !self.world.effects.displaced.is_empty() {
                self.advance_shards(now);
                let displaced = core::mem::take(&mut self.world.effects.displaced);
                for (shard, request) in self.in_order_of_sending(displaced) {
                    self.place_displaced(now, shard, request);
                }
            }
            self.manage(now);
            if self.dirty.is_empty() {
                break;
            }
        }
        self.finish_gathers(now);
        self.note_reroutes(now);
        self.forget_writes(now);
        self.world.sessions.stats.end_turn(now);
        self.note_unfinished();
        self.emit(now, out);
        self.world.work.begin_turn();
    }

    /// Whether this turn has room for another request of a client. A driver that hands over more
    /// all the same only makes the turn longer.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        self.world.work.may(Kind::Requests)
    }

    /// The work that was done since the last call, in units of about a nanosecond.
    pub fn take_work(&mut self) -> u64 {
        self.world.work.take_done()
    }

    /// When [`Node::settle`] must be called next, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Monotonic {
        if self.is_void() {
            return self.next_void_deadline();
        }
        let shards = self.timers.peek().map_or(Monotonic::NEVER, |Reverse((at, _))| *at);
        let stop = if self.stopping.is_some() && !self.stopped {
            self.next_sweep.min(self.world.support.next_deadline())
        } else {
            Monotonic::NEVER
        };
        shards
            .min(self.world.support.next_deadline())
            .min(self.next_sweep)
            .min(self.managing.next_deadline())
            .min(stop)
            .min(self.next_release_of_forwards())
            .min(if self.unfinished.is_empty() { Monotonic::NEVER } else { Monotonic(0) })
    }

    /// What was left over comes first, before what has arrived since.
    fn take_up_unfinished(&mut self) {
        let mut arrived = core::mem::take(&mut self.dirty);
        for &at in &arrived {
            if let Some(shard) = self.shards.get_mut(at) {
                shard.dirty = false;
            }
        }
        arrived.splice(0..0, core::mem::take(&mut self.unfinished));
        arrived.into_iter().for_each(|at| self.touch(at));
    }

    /// Shards with something left over, in an order in which each gets its share: those that had
    /// something of this turn's come behind those that had nothing.
    fn note_unfinished(&mut self) {
        if self.unfinished.is_empty() {
            return;
        }
        let shards = &self.shards;
        self.unfinished.retain(|at| shards.get(*at).is_some_and(Shard::is_unfinished));
        self.unfinished.sort_unstable();
        self.unfinished.dedup();
        self.unfinished.sort_by_key(|at| shards.get(*at).map(Shard::last_share));
    }

    /// Puts a shard on the list of this turn.
    pub(crate) fn touch(&mut self, at: usize) {
        if let Some(shard) = self.shards.get_mut(at)
            && !shard.dirty
        {
            shard.dirty = true;
            self.dirty.push(at);
        }
    }

    pub(crate) fn local(&self, shard: ShardId) -> Option<usize> {
        self.routes.get(shard)?.local
    }

    fn advance_shards(&mut self, now: Now) {
        let dirty = core::mem::take(&mut self.dirty);
        self.world.effects.write = self.storage.next_write();
        self.world.effects.gathering = self.storage.is_writing();
        let mut stranded = Vec::new();
        for &at in &dirty {
            let forgotten = self.is_forgotten(at);
            let Some(shard) = self.shards.get_mut(at) else { continue };
            shard.dirty = false;
            if forgotten && shard.is_idle() {
                self.advance_forgotten(now, at);
                continue;
            }
            if shard.id == ShardId::SYSTEM {
                self.managing.stir();
            }
            let env = &mut self.world.env(now);
            shard.advance(env);
            if shard.gathers(env) {
                self.storage.note_gathering(at);
            }
            if shard.parked() > 0
                && shard.standing(now.monotonic, env.support) == Standing::Leaderless
            {
                stranded.push(shard.id);
            }
            let deadline = shard.next_deadline(env);
            if deadline != shard.scheduled {
                shard.scheduled = deadline;
                if deadline != Monotonic::NEVER {
                    self.timers.push(Reverse((deadline, at)));
                }
            }
            if shard.is_unfinished() {
                self.unfinished.push(at);
            }
            let is_idle = shard.is_idle();
            self.storage.note_shard(at);
            if forgotten && is_idle {
                // The last that waited there has gone, and nothing else may ever come.
                self.advance_forgotten(now, at);
            }
        }
        for shard in stranded {
            self.await_detour(now, shard);
        }
    }

    /// A replica that was removed may have a vote to give; then it gives up all that it has. One
    /// that can't tell yet that it was removed goes on like any other.
    fn advance_forgotten(&mut self, now: Now, at: usize) {
        let Some(shard) = self.shards.get_mut(at) else { return };
        if shard.has_raft_work() || shard.is_unfinished() {
            shard.advance(&mut self.world.env(now));
            self.storage.note_shard(at);
        }
        let dismissed = self.routes.get(shard.id).map(|route| route.dismissed);
        shard.bury(&mut self.world.effects, dismissed.unwrap_or_default());
        shard.free_garbage(&mut self.world.env(now));
        if shard.is_unfinished() {
            self.unfinished.push(at);
        }
    }

    fn run_timers(&mut self, now: Now) {
        while let Some(&Reverse((deadline, at))) = self.timers.peek() {
            if deadline > now.monotonic {
                return;
            }
            self.timers.pop();
            if let Some(shard) = self.shards.get_mut(at) {
                // Later entries of the same shard in the heap replaced this one.
                if shard.scheduled == deadline {
                    shard.scheduled = Monotonic::NEVER;
                    self.touch(at);
                }
            }
        }
    }

    fn on_disconnected(&mut self, now: Now, session: SessionId) {
        let watched = self.world.sessions.get(session).and_then(|session| session.watched);
        if let Some(shard) = watched {
            self.unwatch(now, session, shard);
        }
        self.world.sessions.close(session);
    }

    /// Looks at what waits without a shard of its own to wake it.
    fn sweep(&mut self, now: Now) {
        if now.monotonic < self.next_sweep {
            return;
        }
        self.next_sweep = Monotonic::NEVER;
        for (shard, request) in self.homeless.take() {
            self.place(now, shard, request);
        }
        self.begin_detours(now);
        self.expire_forwards(now);
        self.expire_orders(now);
        self.schedule_sweep(now);
    }

    pub(crate) fn schedule_sweep(&mut self, now: Now) {
        self.next_sweep = self.next_sweep.min(self.detours.next_deadline());
        if !self.homeless.is_empty() || !self.orders.is_empty() {
            self.next_sweep = self.next_sweep.min(now.monotonic + SWEEP_INTERVAL);
        } else if !self.forwards.is_empty() {
            self.next_sweep = self.next_sweep.min(now.monotonic + SWEEP_INTERVAL * 10);
        }
    }

    fn emit(&mut self, now: Now, out: &mut Vec<Output>) {
        if !self.world.effects.payload.is_empty() && !self.storage.has_write() {
            self.world.founding.lives.write_news(self.world.effects.payload.tail());
        }
        let bytes = self.world.effects.payload.len();
        if let Some(write) = self.storage.begin_write(now.monotonic, bytes) {
            self.persist(write, out);
        }
        out.extend(self.storage.take_release());
        out.extend(self.take_log_reads());
        let answers = core::mem::take(&mut self.world.sessions.messages);
        self.world.sessions.outbound.end_turn();
        self.world.sessions.outbound.most = self.forward_bytes();
        let messages = core::mem::take(&mut self.world.effects.messages);
        for (to, message) in messages.into_iter().chain(answers) {
            out.push(Output::Send { to, message });
        }
        let pipeline_bytes = self.pipeline_bytes();
        let answers_bytes = self.world.settings.answers_bytes;
        for id in self.world.sessions.take_announced() {
            if self.world.sessions.has_output(id) {
                out.push(Output::Replies { session: id });
            }
            let Some(session) = self.world.sessions.get(id) else { continue };
            if session.closing && session.outstanding() == 0 {
                out.push(Output::Close { session: id });
            } else if session.paused
                && !session.closing
                && requests::has_room(session, pipeline_bytes, answers_bytes)
            {
                session.paused = false;
                out.push(Output::Resume { session: id });
            }
        }
        if core::mem::take(&mut self.members_news) {
            out.push(Output::Members(self.world.members().members.clone()));
        }
        for event in core::mem::take(&mut self.world.effects.events) {
            out.push(Output::Observe(event));
        }
    }

    /// Asks for what was gathered to become durable, in parts if it is long: a stalled disk and a
    /// catch-up let it grow. The write has become durable with its last part.
    fn persist(&mut self, write: WriteId, out: &mut Vec<Output>) {
        let most = self.world.settings.persist_bytes;
        let parts = self.world.effects.payload.take(most, PAYLOAD_ROOM);
        let last = parts.len() - 1;
        for (at, payload) in parts.into_iter().enumerate() {
            let write = if at == last { write } else { WriteId(write.0 - 1) };
            out.push(Output::Persist { write, payload });
        }
    }

    pub(crate) fn uptime(&self, now: Now) -> Duration {
        now.monotonic.since(self.started)
    }
}

/// What the node remembers and what its settings say, each where it knows better.
fn reconcile(mut remembered: Remembered, settings: &mut Settings) -> Remembered {
    if remembered.membership.version == 0 {
        remembered.membership = Membership::of_settings(&settings.members, settings.shards);
    } else {
        settings.shards = remembered.membership.shards;
    }
    if remembered.origin == Origin::Blank {
        remembered.plan = settings.plan();
    }
    remembered
}

//! A cluster in virtual time: machines, the network between them, and what is to happen when.
//!
//! A world knows nothing of workloads and faults. Whoever drives it (random runs, scenarios)
//! connects clients, sets timers, breaks things, and is told what happened, one
//! [`Happening`] at a time. Everything is in one queue, ordered by time and then by the order in
//! which it was put there, so a run depends on its seed only.

use std::collections::BTreeMap;

use cluster::{Event as CoreEvent, LogPlace, LogReadId, Output, ReplicaView, Settings};
use types::{LeaseEpoch, LogIndex, NodeId, Now, ShardId, Slot};

use crate::checks::{Checker, LogView, Violation};
use crate::clock::Clock;
use crate::losses::Losses;
use crate::machine::{Arrival, Commit, DiskProfile, Machine};
use crate::network::{Network, NetworkProfile, Path};
use crate::queue::Queue;
use crate::random::Random;
use crate::situations::LOG_READ_AGAIN;
use crate::trace::{Trace, TraceMode};

/// A millisecond of virtual time, in nanoseconds.
pub const MILLISECOND: u64 = 1_000_000;
/// A second of virtual time, in nanoseconds.
pub const SECOND: u64 = 1_000 * MILLISECOND;
/// How many times its budget a log may be long.
const LOG_FACTOR: u64 = 3;
/// How long a commit waits that has found the disk full, before it is tried again.
const FULL_DISK_WAIT: u64 = 100 * MILLISECOND;
/// Turns without an input in a row, each due at once, beyond which a process only spins.
pub(crate) const IDLE_TURNS_MAX: u32 = 1_000;

/// A client's connection to a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConnectionId(pub u64);

/// What the driver of a world is told.
#[derive(Debug)]
pub enum Happening {
    /// Bytes arrived at a client.
    Reply(ConnectionId, Vec<u8>),
    /// A client learned that its connection is broken.
    Closed(ConnectionId),
    /// A timer rang.
    Timer(u64),
    /// Nothing that concerns the driver.
    Nothing,
}

/// What is to happen.
#[derive(Debug)]
pub(crate) enum Event {
    Message { from: usize, to: usize, generation: u64, urgent: bool, bytes: Vec<u8> },
    Turn { node: usize, life: u64 },
    TurnEnd { node: usize, life: u64, outputs: Vec<Output> },
    Wake { node: usize, life: u64, wake: u64 },
    Committed { node: usize, life: u64 },
    LogRead { node: usize, life: u64, id: LogReadId, place: LogPlace, bytes: usize },
    Connect { a: usize, b: usize },
    Notice { node: usize, life: u64, peer: usize, up: bool },
    Client { node: usize, life: u64, arrival: Arrival },
    Reply { connection: ConnectionId, bytes: Vec<u8> },
    Closed { connection: ConnectionId },
    Timer { token: u64 },
    Start { node: usize },
}

/// A connection as the client's end knows it.
#[derive(Debug)]
struct ClientEnd {
    node: usize,
    life: u64,
    /// Arrival of the newest bytes in either direction: they keep their order.
    last: [u64; 2],
}

/// How one machine is to be.
pub struct MachineProfile {
    /// The node's settings.
    pub settings: Settings,
    /// What the monotonic clock shows at the beginning, in nanoseconds.
    pub clock_offset: u64,
    /// Parts per million by which its clocks run fast.
    pub clock_rate: i64,
    /// Its disk.
    pub disk: DiskProfile,
}

/// A simulated cluster.
pub struct World {
    pub(crate) now: u64,
    queue: Queue,
    pub(crate) machines: Vec<Machine>,
    pub(crate) network: Network,
    clients: BTreeMap<ConnectionId, ClientEnd>,
    next_connection: u64,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) checker: Checker,
    /// Messages that are lost or kept back on purpose.
    pub(crate) losses: Losses,
    pub(crate) counters: Counters,
}

/// Figures of a run.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Events of the queue.
    pub events: u64,
    /// Messages between nodes that arrived.
    pub messages: u64,
    /// Turns of processes.
    pub turns: u64,
    /// Commits of logs.
    pub commits: u64,
    /// Starts of processes.
    pub starts: u64,
}

impl World {
    /// A world with these machines, all of them off.
    #[must_use]
    pub fn new(
        seed: u64,
        profiles: Vec<MachineProfile>,
        network: NetworkProfile,
        mode: TraceMode,
    ) -> Self {
        let mut random = Random::new(seed);
        let network = Network::new(profiles.len(), network, random.split());
        let machine = |profile: MachineProfile| {
            let clock = Clock::new(profile.clock_offset, profile.clock_rate);
            Machine::new(profile.settings, clock, profile.disk, random.split())
        };
        let machines: Vec<Machine> = profiles.into_iter().map(machine).collect();
        Self {
            now: 0,
            queue: Queue::default(),
            checker: Checker::new(),
            machines,
            network,
            clients: BTreeMap::new(),
            next_connection: 0,
            random,
            trace: Trace::new(mode),
            losses: Losses::default(),
            counters: Counters::default(),
        }
    }

    /// True time, in nanoseconds since the beginning.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// What the run has come to so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The first rule that was seen broken.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.checker.violation()
    }

    /// The run's trace.
    #[must_use]
    pub fn into_trace(self) -> Trace {
        self.trace
    }

    /// How many machines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    /// Lets a timer ring.
    pub fn set_timer(&mut self, at: u64, token: u64) {
        self.schedule(at, Event::Timer { token });
    }

    /// When the next thing happens.
    #[must_use]
    pub fn next_time(&self) -> u64 {
        self.queue.next_time()
    }

    /// The node whose death just before the next thing differs from its death just after: one that
    /// has a turn, whose commit ends, or whose message arrives. What arrives at a node means
    /// nothing before its turn; what others do, its death does not undo. Beats are left out.
    pub(crate) fn next_actor(&self) -> Option<usize> {
        match self.queue.peek()? {
            Event::Message { from, urgent: false, .. } => Some(*from),
            Event::Turn { node, life } | Event::Committed { node, life } => {
                self.is_current(*node, *life).then_some(*node)
            }
            Event::Message { .. }
            | Event::LogRead { .. }
            | Event::Wake { .. }
            | Event::TurnEnd { .. }
            | Event::Connect { .. }
            | Event::Notice { .. }
            | Event::Client { .. }
            | Event::Reply { .. }
            | Event::Closed { .. }
            | Event::Timer { .. }
            | Event::Start { .. } => None,
        }
    }

    /// Lets the next thing happen.
    pub fn step(&mut self) -> Happening {
        let Some((at, event)) = self.queue.pop() else { return Happening::Nothing };
        self.now = at;
        self.counters.events += 1;
        self.trace.mix(at);
        match event {
            Event::Message { from, to, generation, urgent, bytes } => {
                self.deliver(from, to, generation, urgent, bytes);
            }
            Event::Turn { node, life } => {
                if self.is_current(node, life) {
                    self.turn(node);
                }
            }
            Event::TurnEnd { node, life, outputs } => self.turn_ended(node, life, outputs),
            Event::Wake { node, life, wake } => self.wake(node, life, wake),
            Event::Committed { node, life } => self.committed(node, life),
            Event::LogRead { node, life, id, place, bytes } => {
                if self.is_current(node, life) {
                    let part = self.machines[node].read_log(place, bytes);
                    self.checker.saw(LOG_READ_AGAIN);
                    self.arrive(node, life, Arrival::LogRead { id, part });
                }
            }
            Event::Connect { a, b } => self.try_connect(a, b),
            Event::Notice { node, life, peer, up } => {
                let peer = node_id(peer);
                let arrival = if up { Arrival::PeerUp(peer) } else { Arrival::PeerDown(peer) };
                self.arrive(node, life, arrival);
            }
            Event::Client { node, life, arrival } => self.arrive(node, life, arrival),
            Event::Reply { connection, bytes } => {
                if self.clients.contains_key(&connection) {
                    self.trace.mix_bytes(&bytes);
                    return Happening::Reply(connection, bytes);
                }
            }
            Event::Closed { connection } => {
                if self.clients.remove(&connection).is_some() {
                    return Happening::Closed(connection);
                }
            }
            Event::Timer { token } => return Happening::Timer(token),
            Event::Start { node } => self.start(node),
        }
        Happening::Nothing
    }

    pub(crate) fn is_current(&self, node: usize, life: u64) -> bool {
        self.machines[node].life == life && self.machines[node].process.is_some()
    }

    /// A node's clocks.
    #[must_use]
    pub fn clock(&self, node: usize) -> Now {
        self.machines[node].clock.read(self.now)
    }

    fn deliver(&mut self, from: usize, to: usize, generation: u64, urgent: bool, bytes: Vec<u8>) {
        let path = if urgent { Path::Urgent } else { Path::Data };
        if !self.network.delivers(from, to, path, generation) {
            return;
        }
        self.counters.messages += 1;
        self.trace.mix((from as u64) << 8 | to as u64);
        self.trace.mix_bytes(&bytes);
        let life = self.machines[to].life;
        self.arrive(to, life, Arrival::Message { from: node_id(from), bytes, urgent });
    }

    /// Puts something into a process's inbox.
    pub(crate) fn arrive(&mut self, node: usize, life: u64, arrival: Arrival) {
        if !self.is_current(node, life) {
            return;
        }
        if let Some(process) = &mut self.machines[node].process {
            process.inbox.push_back(arrival);
        }
        self.make_turn_due(node);
    }

    /// Schedules a turn of a process, unless there is one.
    pub(crate) fn make_turn_due(&mut self, node: usize) {
        let mut wait = self.random.between(1_000, 30_000);
        let machine = &mut self.machines[node];
        if machine.turn_wait.1 > 0 {
            wait += self.random.between(machine.turn_wait.0, machine.turn_wait.1);
        }
        let life = machine.life;
        let Some(process) = &mut machine.process else { return };
        if !process.turn_due && !machine.paused {
            process.turn_due = true;
            self.schedule(self.now + wait, Event::Turn { node, life });
        }
    }

    fn wake(&mut self, node: usize, life: u64, wake: u64) {
        if !self.is_current(node, life) {
            return;
        }
        let valid = self.machines[node].process.as_ref().is_some_and(|it| it.wake == wake);
        if valid {
            self.make_turn_due(node);
        }
    }

    fn committed(&mut self, node: usize, life: u64) {
        if !self.is_current(node, life) {
            return;
        }
        let machine = &mut self.machines[node];
        if machine.stalled_until > self.now {
            // A stall may be over earlier than was said.
            let at = machine.stalled_until.min(self.now + 20 * MILLISECOND);
            return self.schedule(at, Event::Committed { node, life });
        }
        if machine.paused {
            if let Some(process) = &mut machine.process {
                process.commit_due = true;
            }
            return;
        }
        self.finish_commit(node);
    }

    pub(crate) fn finish_commit(&mut self, node: usize) {
        let life = self.machines[node].life;
        let early = self.machines[node].early_persisted;
        if self.machines[node].process.as_ref().is_none_or(|it| it.committing.is_none()) {
            return;
        }
        match self.machines[node].finish_commit() {
            Commit::Durable(arrival) => {
                self.counters.commits += 1;
                self.trace.mix(0x00c0_0000 | node as u64);
                if !early {
                    self.arrive(node, life, arrival);
                }
                self.tell_space(node);
                self.begin_commit(node);
            }
            Commit::Waits => {
                self.checker.reached.count("commit waits for a full disk");
                self.tell_space(node);
                self.schedule(self.now + FULL_DISK_WAIT, Event::Committed { node, life });
            }
            Commit::Failed => {
                self.checker.reached.count("process dies of its disk");
                self.note(format_args!("n{} dies of its disk", node + 1));
                self.kill(node, false);
            }
        }
    }

    /// Says how far a node's log may grow, if its disk has an end.
    pub(crate) fn tell_space(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if !machine.disk_is_bounded {
            return;
        }
        let life = machine.life;
        if let Some(news) = machine.news_of_space() {
            self.arrive(node, life, news);
        }
    }

    /// Gives a node's disk so many bytes more than what is on it, or no end.
    pub(crate) fn bound_disk(&mut self, node: usize, free: Option<u64>) {
        let machine = &mut self.machines[node];
        machine.disk_is_bounded = true;
        machine.disk.set_full(free.is_some());
        if let Some(free) = free {
            machine.disk.add_capacity(free);
        }
        self.tell_space(node);
    }

    pub(crate) fn begin_commit(&mut self, node: usize) {
        let life = self.machines[node].life;
        let begun = match self.machines[node].begin_commit() {
            Ok(begun) => begun,
            Err(error) => {
                let text = format!("{} can't write: {error}", node_id(node));
                return self.checker.report(self.now, "the log takes every payload", text);
            }
        };
        if let Some((time, early)) = begun {
            self.schedule(self.now + time, Event::Committed { node, life });
            if let Some(early) = early {
                self.arrive(node, life, early);
            }
        }
    }

    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.line(self.now, what);
    }

    pub(crate) fn observe(&mut self, node: usize, event: &CoreEvent) {
        if *event == CoreEvent::Removed {
            self.machines[node].serves = false;
        }
        if *event == CoreEvent::Founded {
            self.machines[node].founded = true;
        }
        if matches!(event, CoreEvent::WentBack { .. }) {
            self.machines[node].went_back = false;
        }
        if matches!(event, CoreEvent::LeaseAcquired { .. }) && self.machines[node].went_back {
            let text = format!("n{} took a lease on an old copy of its directory", node + 1);
            self.checker.report(self.now, "an old directory is a lost one", text);
        }
        if !matches!(event, CoreEvent::ReadServed { .. }) && self.trace.is_on() {
            self.note(format_args!("n{} {event:?}", node + 1));
        }
        let acquired = self.checker.observe(self.now, node, event);
        if let Some((shard, epoch)) = acquired {
            self.check_others(node, shard, epoch);
            self.trace.mix(epoch.0 ^ u64::from(shard.0) << 32);
        }
    }

    /// Nobody else may hold a lease that somebody has just acquired.
    /// Nobody may hold an older lease when a new one is acquired.
    fn check_others(&mut self, holder: usize, shard: ShardId, epoch: LeaseEpoch) {
        if !self.checker.watches_leases {
            return;
        }
        for other in (0..self.machines.len()).filter(|other| *other != holder) {
            let now = self.clock(other);
            if self.machines[other].asleep {
                continue;
            }
            let Some(process) = &mut self.machines[other].process else { continue };
            let views = process.node.replicas(now);
            if views.iter().any(|it| it.shard == shard && it.holds && it.epoch < epoch) {
                let (holder, other) = (node_id(holder), node_id(other));
                let text = format!("{holder} acquired {shard} while {other} still holds it");
                self.checker.report(self.now, "one holder", text);
            }
        }
    }

    /// Looks at all replicas at once. `slots`: compare these slots' data as well.
    pub fn inspect(&mut self, slots: &[Slot]) {
        self.checker.begin_look();
        for node in 0..self.machines.len() {
            let now = self.clock(node);
            let machine = &mut self.machines[node];
            if machine.asleep {
                continue;
            }
            let Some(process) = &mut machine.process else { continue };
            let views = process.node.replicas(now);
            self.checker.look(self.now, node, machine.life, &views);
            self.checker.look_at_queues(self.now, node, machine.settings.shard_queue_bytes, &views);
            self.checker.look_at_logs(self.now, node, &machine.settings, &views);
            // A replica that has not begun knows nothing, not even its range.
            let has_data = |view: &&ReplicaView| !view.mixed && view.applied_index > LogIndex(0);
            for view in views.iter().filter(has_data).filter(|_| !slots.is_empty()) {
                let digests = slots
                    .iter()
                    .filter(|slot| view.range.contains(**slot))
                    .map(|slot| process.node.digest(*slot).unwrap_or(0));
                let digest = cluster::fold_digests(digests);
                let place = (view.shard, view.applied_index);
                self.checker.compare(self.now, node, place, digest);
            }
        }
    }

    /// Looks at the log of every node that runs. `settled`: also at what it keeps of replicas that
    /// were removed.
    pub(crate) fn inspect_storage(&mut self, settled: bool) {
        for node in 0..self.machines.len() {
            let machine = &self.machines[node];
            let Some(process) = machine.process.as_ref().filter(|_| !machine.paused) else {
                continue;
            };
            let settings = &machine.settings;
            let stored = process.node.stored();
            let budget = settings.log_bytes.max(stored.live * 2);
            // The newest segment is being written, and what empties the one before may be under
            // way. One that was begun with a large write is as long as that.
            let mut segments: Vec<u64> = process.log.segments().map(|it| it.file_bytes).collect();
            let newest: u64 = segments.drain(segments.len().saturating_sub(2)..).sum();
            let log = LogView {
                bytes: process.log.bytes(),
                most: LOG_FACTOR * budget + newest,
                segment: settings.segment_bytes,
                commits: machine.commits,
            };
            let removed = if settled { stored.removed } else { 0 };
            self.checker.look_at_storage(self.now, node, log, removed);
        }
    }

    /// What a node knows of its replicas; `None` if it does not run.
    pub fn replicas(&mut self, node: usize) -> Option<Vec<ReplicaView>> {
        let now = self.clock(node);
        Some(self.machines[node].process.as_mut()?.node.replicas(now))
    }

    // What clients do.

    /// A machine that a client may go to.
    pub(crate) fn any_home(&self, random: &mut Random) -> usize {
        let serving = (0..self.len()).filter(|node| self.machines[*node].serves);
        random.pick(&serving.collect::<Vec<_>>())
    }

    /// A client connects to a node; if the node does not run, it learns so soon.
    pub fn connect(&mut self, node: usize) -> ConnectionId {
        self.next_connection += 1;
        let connection = ConnectionId(self.next_connection);
        let life = self.machines[node].life;
        self.clients.insert(connection, ClientEnd { node, life, last: [0, 0] });
        if self.machines[node].process.is_none() {
            self.schedule(self.now + MILLISECOND, Event::Closed { connection });
        } else {
            self.deliver_to_node(connection, Arrival::Connect { connection: connection.0 });
        }
        connection
    }

    /// A client sends a request.
    pub fn send(&mut self, connection: ConnectionId, args: Vec<Vec<u8>>) {
        self.deliver_to_node(connection, Arrival::Request { connection: connection.0, args });
    }

    /// A client goes away. It hears nothing more.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        self.deliver_to_node(connection, Arrival::Hangup { connection: connection.0 });
        self.clients.remove(&connection);
    }

    fn deliver_to_node(&mut self, connection: ConnectionId, arrival: Arrival) {
        let delay = self.random.between(30_000, 150_000);
        let Some(end) = self.clients.get_mut(&connection) else { return };
        let at = (self.now + delay).max(end.last[0] + 1);
        end.last[0] = at;
        let (node, life) = (end.node, end.life);
        self.schedule(at, Event::Client { node, life, arrival });
    }

    pub(crate) fn deliver_to_client(&mut self, connection: ConnectionId, bytes: Option<Vec<u8>>) {
        let delay = self.random.between(30_000, 150_000);
        let Some(end) = self.clients.get_mut(&connection) else { return };
        let at = (self.now + delay).max(end.last[1] + 1);
        end.last[1] = at;
        let event = match bytes {
            Some(bytes) => Event::Reply { connection, bytes },
            None => Event::Closed { connection },
        };
        self.schedule(at, event);
    }

    /// All connections to a node, for when it dies.
    pub(crate) fn connections_to(&self, node: usize) -> Vec<ConnectionId> {
        self.clients.iter().filter(|(_, end)| end.node == node).map(|(id, _)| *id).collect()
    }
}

/// The number of the node on a machine.
pub(crate) fn node_id(at: usize) -> NodeId {
    NodeId(at as u32 + 1)
}

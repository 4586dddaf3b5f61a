//! One turn of a process: inputs from the inbox, one settling, outputs.

use cluster::{Admission, ClientAddress, Input, Message, Output, codec};
use types::Now;

use crate::losses::Way;
use crate::machine::{Arrival, ClientLink, Process};
use crate::network::{Fate, Path, Purpose};
use crate::situations::DAMAGE_REFUSED;
use crate::world::{ConnectionId, Event, IDLE_TURNS_MAX, MILLISECOND, World, node_id};

impl World {
    /// Runs one turn.
    pub(crate) fn turn(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let paused = machine.paused;
        let Some(process) = &mut machine.process else { return };
        process.turn_due = false;
        if paused || self.is_busy(node) {
            return;
        }
        self.counters.turns += 1;
        let now = self.clock(node);
        if let Some(process) = &mut self.machines[node].process {
            process.take_up_held(now);
        }
        let mut arrivals = self.take_arrivals(node);
        let idle = arrivals.is_empty();
        let mut outputs = Vec::new();
        let mut urgent_first = Vec::new();
        if self.random.permille(500) {
            // The server's loop looks at what is urgent first.
            let (beats, rest) = arrivals
                .into_iter()
                .partition(|arrival| matches!(arrival, Arrival::Message { urgent: true, .. }));
            (urgent_first, arrivals) = (beats, rest);
        }
        for arrival in urgent_first.into_iter().chain(arrivals) {
            self.take(node, arrival);
        }
        let now = self.clock(node);
        let mut work = 0;
        if let Some(process) = &mut self.machines[node].process {
            process.node.settle(now, &mut outputs);
            // Whoever has a log to apply works for many turns, though nothing arrives.
            work = process.node.take_work();
            let spins = idle && work == 0 && process.node.next_deadline() <= now.monotonic;
            process.idle_turns = if spins { process.idle_turns + 1 } else { 0 };
            if process.idle_turns == IDLE_TURNS_MAX {
                let text = format!("n{} does nothing but spin", node + 1);
                self.checker.report(self.now, "progress", text);
            }
        }
        self.machines[node].asleep = false;
        self.end_turn(node, work, outputs);
    }

    /// Does what a process wants done.
    pub(crate) fn perform_all(&mut self, node: usize, outputs: Vec<Output>) {
        for output in outputs {
            self.perform(node, output);
        }
        self.begin_commit(node);
        self.set_wake(node);
        let process = self.machines[node].process.as_ref();
        if process.is_some_and(|it| !it.inbox.is_empty() || it.has_held()) {
            self.make_turn_due(node);
        }
    }

    /// Most often everything that has arrived, sometimes only a part.
    fn take_arrivals(&mut self, node: usize) -> Vec<Arrival> {
        let partly = self.random.permille(50);
        let Some(process) = &mut self.machines[node].process else { return Vec::new() };
        let waiting = process.inbox.len();
        let count = if partly { self.random.between(0, waiting as u64) as usize } else { waiting };
        process.inbox.drain(..count).collect()
    }

    /// Makes sure that the process has a turn when the core wants one.
    pub(crate) fn set_wake(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let life = machine.life;
        let Some(process) = &mut machine.process else { return };
        let at = machine.clock.when(self.now, process.node.next_deadline());
        if at == process.wake_at && at > self.now {
            return;
        }
        process.wake += 1;
        process.wake_at = at;
        let wake = process.wake;
        if at != u64::MAX {
            self.schedule(at, Event::Wake { node, life, wake });
        }
    }

    fn take(&mut self, node: usize, arrival: Arrival) {
        let now = self.clock(node);
        if self.trace.is_on() {
            self.trace_arrival(node, &arrival);
        }
        let Some(process) = &mut self.machines[node].process else { return };
        match arrival {
            Arrival::Message { from, bytes, .. } => match codec::decode(&bytes) {
                Ok(message) => process.node.step(now, Input::Peer { from, message }),
                Err(error) => {
                    let text = format!("a message from {from} can't be read: {error:?}");
                    self.checker.report(self.now, "codec", text);
                }
            },
            Arrival::PeerUp(peer) => process.node.step(now, Input::PeerUp { peer }),
            Arrival::PeerDown(peer) => process.node.step(now, Input::PeerDown { peer }),
            Arrival::Persisted(persisted) => process.node.step(now, Input::Persisted(persisted)),
            Arrival::DiskSpace(bytes) => process.node.step(now, Input::DiskSpace(bytes)),
            Arrival::LogRead { id, part } => process.node.step(now, Input::LogRead { id, part }),
            Arrival::Connect { connection } => process.connect(now, connection),
            Arrival::Request { connection, args } => process.request(now, connection, args),
            Arrival::Hangup { connection } => process.hang_up(now, connection),
            Arrival::Stop => process.node.step(now, Input::Stop),
        }
    }

    fn trace_arrival(&mut self, node: usize, arrival: &Arrival) {
        let at = node + 1;
        match arrival {
            Arrival::Message { from, bytes, .. } => match codec::decode(bytes) {
                Ok(Message::Beat { .. } | Message::Promise { .. }) | Err(_) => {}
                Ok(message) => {
                    let text: String = format!("{message:?}").chars().take(400).collect();
                    self.note(format_args!("n{at} <- {from} {text}"));
                }
            },
            Arrival::Request { connection, args } => {
                let words: Vec<String> =
                    args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
                self.note(format_args!("n{at} <- c{connection} {}", words.join(" ")));
            }
            Arrival::Persisted(_) | Arrival::DiskSpace(_) => {}
            Arrival::LogRead { id, part } => {
                let what = part.as_ref().map(|part| part.payloads.len());
                self.note(format_args!("n{at} has read {id:?}: {what:?} payloads"));
            }
            Arrival::PeerUp(_)
            | Arrival::PeerDown(_)
            | Arrival::Connect { .. }
            | Arrival::Hangup { .. }
            | Arrival::Stop => self.note(format_args!("n{at} <- {arrival:?}")),
        }
    }

    pub(crate) fn perform(&mut self, node: usize, output: Output) {
        match output {
            Output::Persist { write, payload } => {
                payload.parts().iter().for_each(|part| self.trace.mix_bytes(part));
                if let Some(process) = &mut self.machines[node].process {
                    process.gathered.push((write, payload));
                }
            }
            Output::Send { to, message } => self.send_message(node, to.0 as usize - 1, &message),
            Output::Replies { session } => {
                let Some(process) = &mut self.machines[node].process else { return };
                let mut bytes = Vec::new();
                process.node.take_replies(session, &mut bytes);
                if let Some(&connection) = process.connections.get(&session) {
                    if self.trace.is_on() {
                        let (at, text) = (node + 1, bytes.escape_ascii());
                        self.note(format_args!("n{at} -> c{connection} {text}"));
                    }
                    self.deliver_to_client(ConnectionId(connection), Some(bytes));
                }
            }
            Output::Resume { session } => {
                let now = self.clock(node);
                let Some(process) = &mut self.machines[node].process else { return };
                process.resume(now, session);
                if process.links.values().any(|link| !link.paused) {
                    self.make_turn_due(node);
                }
            }
            Output::Close { session } => {
                let now = self.clock(node);
                let Some(process) = &mut self.machines[node].process else { return };
                if let Some(&connection) = process.connections.get(&session) {
                    process.hang_up(now, connection);
                    self.deliver_to_client(ConnectionId(connection), None);
                }
                self.make_turn_due(node);
            }
            Output::Release { segment } => {
                if let Some(process) = &mut self.machines[node].process {
                    // A log that has failed says so again at its next commit.
                    let _ = process.log.release(segment);
                }
            }
            Output::ReadLog { id, place, bytes } => {
                let machine = &mut self.machines[node];
                let (life, time) = (machine.life, machine.commit_time());
                let at = machine.stalled_until.max(self.now + time);
                self.schedule(at, Event::LogRead { node, life, id, place, bytes });
            }
            Output::Members(members) => {
                let members = members.iter().map(|member| member.node).collect();
                self.machines[node].members = members;
            }
            Output::Observe(event) => self.observe(node, &event),
            Output::BeginAnew => {
                self.note(format_args!("n{} begins anew", node + 1));
                self.end(node);
                self.schedule(self.now, Event::Start { node });
            }
            Output::Stopped => {
                self.note(format_args!("n{} has stopped", node + 1));
                self.end(node);
            }
        }
    }

    pub(crate) fn send_message(&mut self, from: usize, to: usize, message: &Message) {
        match self.losses.way_of(from, to, message) {
            Way::Free => {}
            Way::Lost => {
                return self.note(format_args!("lost on its way to n{}: {message:?}", to + 1));
            }
            Way::Held => return self.losses.hold(from, to, message.clone()),
        }
        let path = path_of(message);
        let mut bytes = Vec::with_capacity(64);
        codec::encode(message, &mut bytes);
        let fate = self.network.send(self.now, (from, to), path, bytes.len() as u64);
        let (first, second) = match fate {
            Fate::Lost => return,
            Fate::Broken => return self.break_one(from, to, Purpose::Data),
            Fate::Arrives(first, second) => (first, second),
        };
        if self.losses.is_too_large(from, bytes.len()) {
            return;
        }
        let urgent = path == Path::Urgent;
        let generation = self.network.generation(from, to, path);
        // A connection doubles nothing. Requests are guarded against it all the same, for senders
        // that repeat what may be lost.
        let may_double = path != Path::Stream || matches!(message, Message::Forward { .. });
        if let Some(at) = second.filter(|_| may_double) {
            let bytes = bytes.clone();
            self.schedule(at, Event::Message { from, to, generation, urgent, bytes });
        }
        self.schedule(first, Event::Message { from, to, generation, urgent, bytes });
    }
}

fn path_of(message: &Message) -> Path {
    match message {
        _ if message.is_urgent() => Path::Urgent,
        Message::Beat { .. }
        | Message::Promise { .. }
        | Message::Raft { .. }
        | Message::SlotImage { .. }
        | Message::SlotImageReceived { .. }
        | Message::AskRelease { .. }
        | Message::Release { .. } => Path::Data,
        Message::Forward(_)
        | Message::ForwardReply { .. }
        | Message::Route { .. }
        | Message::Order { .. }
        | Message::OrderReply { .. }
        | Message::Members(_)
        | Message::AskRoutes
        | Message::Report(_)
        | Message::TopologyClient { .. } => Path::Stream,
    }
}

impl Process {
    fn connect(&mut self, now: Now, connection: u64) {
        let address = ClientAddress {
            host: String::from("10.0.0.1"),
            port: (connection % 60_000) as u16,
            local: String::from("10.0.0.2:7000"),
        };
        if let Ok(session) = self.node.connect(now, address) {
            self.connections.insert(session, connection);
            let held = std::collections::VecDeque::new();
            self.links.insert(connection, ClientLink { session, paused: false, held });
        }
    }

    fn request(&mut self, now: Now, connection: u64, args: Vec<Vec<u8>>) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        link.held.push_back(args);
        self.serve(now, connection);
    }

    /// Hands on what the core takes.
    pub(crate) fn serve(&mut self, now: Now, connection: u64) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        while !link.paused && self.node.takes_requests() {
            let Some(args) = link.held.pop_front() else { return };
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            let admission = if args.iter().map(|arg| arg.len()).sum::<usize>() < self.long_bytes {
                self.node.request(now, link.session, &args)
            } else {
                let (bytes, places) = as_sent(&args);
                self.node.request_long(now, link.session, bytes, &places)
            };
            link.paused = admission == Admission::Pause;
        }
    }

    fn resume(&mut self, now: Now, session: types::SessionId) {
        let Some(&connection) = self.connections.get(&session) else { return };
        if let Some(link) = self.links.get_mut(&connection) {
            link.paused = false;
        }
        self.serve(now, connection);
    }

    fn hang_up(&mut self, now: Now, connection: u64) {
        let Some(link) = self.links.remove(&connection) else { return };
        self.connections.remove(&link.session);
        self.node.step(now, Input::Disconnected { session: link.session });
    }
}

/// A request as a client sends it, and where its arguments lie.
fn as_sent(args: &[&[u8]]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    let mut places = Vec::new();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        places.push((bytes.len(), bytes.len() + arg.len()));
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    (bytes, places)
}

/// What happens to whole machines and to the network.
impl World {
    /// Starts a node's process.
    pub(crate) fn start(&mut self, node: usize) {
        if self.machines[node].process.is_some() || self.machines[node].is_kept_off {
            return;
        }
        let now = self.clock(node);
        self.counters.starts += 1;
        if let Err(error) = self.machines[node].start(now) {
            if self.machines[node].rotten {
                // An operator reads why, and gives it an empty directory.
                self.note(format_args!("n{} refuses its directory: {}", node + 1, error.0));
                self.checker.saw(DAMAGE_REFUSED);
                self.machines[node].wipe();
                return self.schedule(self.now + 50 * MILLISECOND, Event::Start { node });
            }
            let text = format!("n{} can't start: {}", node + 1, error.0);
            return self.checker.report(self.now, "restart", text);
        }
        self.note(format_args!("n{} starts", node + 1));
        self.tell_space(node);
        self.make_turn_due(node);
        for peer in (0..self.machines.len()).filter(|peer| *peer != node) {
            let delay = self.random.between(100_000, 5_000_000);
            self.schedule(self.now + delay, Event::Connect { a: node, b: peer });
        }
    }

    pub(crate) fn try_connect(&mut self, a: usize, b: usize) {
        let alive = |at: usize| self.machines[at].process.is_some();
        if !alive(a) || !alive(b) || !self.network.is_open(a, b) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            if self.network.bring_up(from, to) {
                self.tell(from, to, true);
            }
        }
    }

    pub(crate) fn tell(&mut self, node: usize, peer: usize, up: bool) {
        let life = self.machines[node].life;
        let delay = self.random.between(10_000, 500_000);
        self.schedule(self.now + delay, Event::Notice { node, life, peer, up });
    }

    /// One of the connections from a node to another breaks, and is made again if possible.
    pub(crate) fn break_one(&mut self, from: usize, to: usize, purpose: Purpose) {
        let was_up = self.network.take_one_down(from, to, purpose);
        if was_up && purpose == Purpose::Data {
            self.tell(from, to, false);
        }
        self.connect_later(from, to);
    }

    /// All connections between two nodes break, and are made again if that is possible.
    pub(crate) fn reset(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            if self.network.take_down(from, to) {
                self.tell(from, to, false);
            }
        }
        self.connect_later(a, b);
    }

    fn connect_later(&mut self, a: usize, b: usize) {
        let delay = self.random.between(1_000_000, 30_000_000);
        self.schedule(self.now + delay, Event::Connect { a, b });
    }

    /// A process dies, and all it was connected to may notice.
    pub(crate) fn kill(&mut self, node: usize, power: bool) {
        if self.machines[node].process.is_none() {
            return;
        }
        self.note(format_args!(
            "n{} dies{}",
            node + 1,
            if power { " with its machine" } else { "" }
        ));
        self.machines[node].kill(power);
        self.machines[node].clock.go_on_if_stopped(self.now);
        self.part(node);
    }

    /// A machine dies, and its disk with it: it comes back with an empty one.
    pub(crate) fn lose_disk(&mut self, node: usize) {
        self.kill(node, true);
        self.note(format_args!("n{} has an empty disk", node + 1));
        self.machines[node].wipe();
    }

    /// A snapshot of a machine's disk is taken, whether its process runs or not: what a power loss
    /// at this moment would leave.
    pub(crate) fn copy_disk(&mut self, node: usize) {
        self.note(format_args!("n{}'s disk is copied", node + 1));
        self.machines[node].copy_disk();
    }

    /// The copy of a machine's disk is put in its place; its process, if it runs, has ended before.
    pub(crate) fn put_disk_back(&mut self, node: usize) {
        self.kill(node, true);
        self.note(format_args!("n{} has its old disk", node + 1));
        self.machines[node].put_disk_back();
    }

    /// A process ends in good order.
    pub(crate) fn end(&mut self, node: usize) {
        self.machines[node].end();
        self.part(node);
    }

    fn part(&mut self, node: usize) {
        for peer in (0..self.machines.len()).filter(|peer| *peer != node) {
            self.network.take_down(node, peer);
            if self.network.take_down(peer, node) {
                self.tell(peer, node, false);
            }
        }
        for connection in self.connections_to(node) {
            self.deliver_to_client(connection, None);
        }
    }

    /// A process is stopped; the world goes on. `clocks`: with its whole virtual machine.
    pub(crate) fn pause(&mut self, node: usize, clocks: bool) {
        let now = self.now;
        let machine = &mut self.machines[node];
        if machine.paused || machine.process.is_none() {
            return;
        }
        machine.paused = true;
        if clocks {
            machine.clock.stop(now);
            machine.asleep = true;
        }
        let how = if clocks { " with its clocks" } else { "" };
        self.note(format_args!("n{} is paused{how}", node + 1));
    }

    /// A paused process goes on.
    pub(crate) fn resume(&mut self, node: usize) {
        let now = self.now;
        let machine = &mut self.machines[node];
        machine.clock.go_on_if_stopped(now);
        if !machine.paused {
            return;
        }
        machine.paused = false;
        self.note(format_args!("n{} goes on", node + 1));
        let due = machine_commit_due(&mut self.machines[node].process);
        if due {
            self.finish_commit(node);
        }
        self.make_turn_due(node);
    }

    /// Opens or blocks one direction.
    pub(crate) fn block(&mut self, from: usize, to: usize, blocked: bool) {
        if self.network.is_blocked(from, to) == blocked {
            return;
        }
        self.network.block(from, to, blocked);
        let what = if blocked { "blocked" } else { "open" };
        self.note(format_args!("n{} -> n{} is {what}", from + 1, to + 1));
        if !blocked {
            // What was lost meanwhile shows as a broken connection.
            self.reset(from, to);
        }
    }

    /// Tells a process to end in good order.
    pub(crate) fn stop(&mut self, node: usize) {
        let life = self.machines[node].life;
        self.arrive(node, life, Arrival::Stop);
    }

    /// Whether a node that runs keeps something of a replica that was removed.
    pub(crate) fn keeps_removed(&self) -> bool {
        let keeps = |process: &Process| process.node.stored().removed > 0;
        self.machines.iter().any(|it| !it.paused && it.process.as_ref().is_some_and(keeps))
    }

    /// The number of a node as the core knows it.
    #[must_use]
    pub fn node_id(&self, node: usize) -> types::NodeId {
        node_id(node)
    }
}

fn machine_commit_due(process: &mut Option<Process>) -> bool {
    process.as_mut().is_some_and(|process| core::mem::take(&mut process.commit_due))
}

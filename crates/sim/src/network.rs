//! The network between the nodes: delay, loss, duplication, reordering, partitions, and
//! connections that break.
//!
//! Each node dials each other one twice: a connection for what is urgent, and one for everything
//! else. It writes on those that it dialled, reads on those that the other dialled, and only who
//! dialled is told that one is there or lost. Each of the four can fail alone. While one direction
//! between two nodes is blocked messages in it vanish, but connections stand until somebody
//! notices; one can be made only while both directions are open. Messages of a connection that
//! broke never arrive. Requests and their answers keep
//! their order as long as the connection stands, as the core expects; all else may be lost,
//! doubled and overtaken one by one, which is worse than what a real connection does.

use crate::random::Random;

/// How the network of a run behaves.
#[derive(Clone, Debug)]
pub struct NetworkProfile {
    /// Shortest delay, in nanoseconds.
    pub delay: u64,
    /// What is added at random, in nanoseconds.
    pub jitter: u64,
    /// By how much longer all but beats and promises takes, in nanoseconds.
    pub data_delay: u64,
    /// Messages in a thousand that take ten times as long.
    pub slow_permille: u64,
    /// Messages in a thousand that vanish.
    pub loss_permille: u64,
    /// Messages in a thousand that arrive twice.
    pub duplicate_permille: u64,
    /// Whether messages keep their order, as in a stream.
    pub ordered: bool,
    /// Bytes that a connection carries in a second; 0: any number. What is more waits.
    pub bandwidth: u64,
}

impl NetworkProfile {
    /// A network without chance, for runs that are told step by step.
    pub(crate) fn without_chance() -> Self {
        Self {
            delay: 200_000,
            jitter: 0,
            data_delay: 0,
            slow_permille: 0,
            loss_permille: 0,
            duplicate_permille: 0,
            ordered: true,
            bandwidth: 0,
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Lost,
    /// It is lost because the connection breaks here and now.
    Broken,
    /// When it arrives, and when a copy of it does.
    Arrives(u64, Option<u64>),
}

/// What a message is, as far as the network is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Path {
    /// What leases and elections depend on.
    Urgent = 0,
    /// The consensus engine's messages and slot images, which bear anything.
    Data = 1,
    /// Requests and their answers: in order as long as the connection stands.
    Stream = 2,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Priority = 0,
    Data = 1,
}

impl Path {
    fn purpose(self) -> Purpose {
        match self {
            Self::Urgent => Purpose::Priority,
            Self::Data | Self::Stream => Purpose::Data,
        }
    }
}

/// How a connection does, whatever becomes of the others between the two nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Condition {
    #[default]
    Fine,
    /// It can be made, and what is written on it vanishes.
    Stalled,
    /// It can't be made.
    Cut,
}

#[derive(Clone, Debug, Default)]
struct Link {
    blocked: bool,
    /// Arrival of the newest message, for each path.
    last: [u64; 3],
    /// When all that waits for the bandwidth is on its way.
    drained: u64,
}

/// One of the connections from a node to another.
#[derive(Clone, Debug, Default)]
struct Connection {
    up: bool,
    generation: u64,
    condition: Condition,
}

#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    pub(crate) profile: NetworkProfile,
    links: Vec<Link>,
    connections: Vec<[Connection; 2]>,
    random: Random,
}

impl Network {
    pub(crate) fn new(nodes: usize, profile: NetworkProfile, random: Random) -> Self {
        Self {
            nodes,
            profile,
            links: vec![Link::default(); nodes * nodes],
            connections: vec![<[Connection; 2]>::default(); nodes * nodes],
            random,
        }
    }

    fn connection(&self, from: usize, to: usize, path: Path) -> &Connection {
        &self.connections[from * self.nodes + to][path.purpose() as usize]
    }

    /// A message of so many bytes is sent: what becomes of it.
    pub(crate) fn send(
        &mut self,
        now: u64,
        (from, to): (usize, usize),
        path: Path,
        bytes: u64,
    ) -> Fate {
        let connection = self.connection(from, to, path);
        let works = connection.up && connection.condition == Condition::Fine;
        if !works || self.is_blocked(from, to) {
            return Fate::Lost;
        }
        let profile = self.profile.clone();
        if self.random.permille(profile.loss_permille) {
            return if path == Path::Stream { Fate::Broken } else { Fate::Lost };
        }
        let mut now = now;
        if path.purpose() == Purpose::Data {
            let drained = &mut self.links[from * self.nodes + to].drained;
            if let Some(time) = (bytes * 1_000_000_000).checked_div(profile.bandwidth) {
                *drained = now.max(*drained) + time;
                now = *drained;
            }
            now += profile.data_delay;
        }
        let first = now + self.delay(&profile);
        let link = &mut self.links[from * self.nodes + to];
        let last = &mut link.last[path as usize];
        let ordered = profile.ordered || path == Path::Stream;
        let first = if ordered { first.max(*last + 1) } else { first };
        *last = first;
        let twice = self.random.permille(profile.duplicate_permille);
        // What is in order has no double before itself: it would overtake what was sent before it.
        let after = if ordered { first } else { now };
        let second = if twice { Some(after + self.delay(&profile) * 3) } else { None };
        Fate::Arrives(first, second)
    }

    fn delay(&mut self, profile: &NetworkProfile) -> u64 {
        let delay = profile.delay + self.random.between(0, profile.jitter);
        if self.random.permille(profile.slow_permille) { delay * 10 } else { delay }
    }

    /// Whether a message that was sent over this generation of a connection may arrive now.
    pub(crate) fn delivers(&self, from: usize, to: usize, path: Path, generation: u64) -> bool {
        let connection = self.connection(from, to, path);
        connection.up
            && connection.generation == generation
            && connection.condition == Condition::Fine
            && !self.is_blocked(from, to)
    }

    pub(crate) fn generation(&self, from: usize, to: usize, path: Path) -> u64 {
        self.connection(from, to, path).generation
    }

    /// Whether a connection could be made.
    pub(crate) fn is_open(&self, a: usize, b: usize) -> bool {
        !self.is_blocked(a, b) && !self.is_blocked(b, a)
    }

    pub(crate) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.links[from * self.nodes + to].blocked
    }

    pub(crate) fn block(&mut self, from: usize, to: usize, blocked: bool) {
        self.links[from * self.nodes + to].blocked = blocked;
    }

    /// Says how one of the connections from a node to another does from now on.
    pub(crate) fn set_condition(
        &mut self,
        (from, to): (usize, usize),
        purpose: Purpose,
        condition: Condition,
    ) {
        self.connections[from * self.nodes + to][purpose as usize].condition = condition;
    }

    /// The connections from a node to another break. Says whether there was one for data.
    pub(crate) fn take_down(&mut self, from: usize, to: usize) -> bool {
        let connections = &mut self.connections[from * self.nodes + to];
        connections[Purpose::Priority as usize].up = false;
        core::mem::take(&mut connections[Purpose::Data as usize].up)
    }

    /// One of them breaks. Says whether there was one.
    pub(crate) fn take_one_down(&mut self, from: usize, to: usize, purpose: Purpose) -> bool {
        core::mem::take(&mut self.connections[from * self.nodes + to][purpose as usize].up)
    }

    /// A node dials another one. Says whether there is a connection for data that was not before.
    pub(crate) fn bring_up(&mut self, from: usize, to: usize) -> bool {
        let at = from * self.nodes + to;
        let mut made = [false; 2];
        for (connection, made) in self.connections[at].iter_mut().zip(&mut made) {
            if !connection.up && connection.condition != Condition::Cut {
                connection.up = true;
                connection.generation += 1;
                *made = true;
            }
        }
        let link = &mut self.links[at];
        if made[Purpose::Priority as usize] {
            link.last[Path::Urgent as usize] = 0;
        }
        if made[Purpose::Data as usize] {
            link.last[Path::Data as usize] = 0;
            link.last[Path::Stream as usize] = 0;
            link.drained = 0;
        }
        made[Purpose::Data as usize]
    }
}

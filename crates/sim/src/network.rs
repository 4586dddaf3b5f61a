//! The network between the nodes: delay, loss, duplication, reordering, partitions, and
//! connections that break.
//!
//! A connection belongs to a pair of nodes. While one direction is blocked messages in it vanish,
//! but the connection stands until somebody notices; it can be made only while both directions
//! are open. Messages of a connection that broke never arrive. Requests and their answers keep
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

#[derive(Clone, Debug, Default)]
struct Link {
    blocked: bool,
    /// Arrival of the newest message, for each path.
    last: [u64; 3],
}

#[derive(Clone, Debug, Default)]
struct Connection {
    up: bool,
    generation: u64,
}

#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    pub(crate) profile: NetworkProfile,
    links: Vec<Link>,
    connections: Vec<Connection>,
    random: Random,
}

impl Network {
    pub(crate) fn new(nodes: usize, profile: NetworkProfile, random: Random) -> Self {
        Self {
            nodes,
            profile,
            links: vec![Link::default(); nodes * nodes],
            connections: vec![Connection::default(); nodes * nodes],
            random,
        }
    }

    fn pair(&self, a: usize, b: usize) -> usize {
        a.min(b) * self.nodes + a.max(b)
    }

    /// A message is sent: what becomes of it.
    pub(crate) fn send(&mut self, now: u64, from: usize, to: usize, path: Path) -> Fate {
        if !self.is_up(from, to) || self.links[from * self.nodes + to].blocked {
            return Fate::Lost;
        }
        let profile = self.profile.clone();
        if self.random.permille(profile.loss_permille) {
            return if path == Path::Stream { Fate::Broken } else { Fate::Lost };
        }
        let behind = if path == Path::Urgent { 0 } else { profile.data_delay };
        let now = now + behind;
        let first = now + self.delay(&profile);
        let link = &mut self.links[from * self.nodes + to];
        let last = &mut link.last[path as usize];
        let ordered = profile.ordered || path == Path::Stream;
        let first = if ordered { first.max(*last + 1) } else { first };
        *last = first;
        let twice = path != Path::Stream && self.random.permille(profile.duplicate_permille);
        let second = if twice { Some(now + self.delay(&profile) * 3) } else { None };
        Fate::Arrives(first, second)
    }

    fn delay(&mut self, profile: &NetworkProfile) -> u64 {
        let delay = profile.delay + self.random.between(0, profile.jitter);
        if self.random.permille(profile.slow_permille) { delay * 10 } else { delay }
    }

    /// Whether a message that was sent over this generation of a connection may arrive now.
    pub(crate) fn delivers(&self, from: usize, to: usize, generation: u64) -> bool {
        let connection = &self.connections[self.pair(from, to)];
        connection.up
            && connection.generation == generation
            && !self.links[from * self.nodes + to].blocked
    }

    pub(crate) fn is_up(&self, a: usize, b: usize) -> bool {
        self.connections[self.pair(a, b)].up
    }

    pub(crate) fn generation(&self, a: usize, b: usize) -> u64 {
        self.connections[self.pair(a, b)].generation
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

    /// The connection breaks, if there is one. Says whether there was.
    pub(crate) fn take_down(&mut self, a: usize, b: usize) -> bool {
        let pair = self.pair(a, b);
        core::mem::take(&mut self.connections[pair].up)
    }

    /// A connection is made.
    pub(crate) fn bring_up(&mut self, a: usize, b: usize) {
        let pair = self.pair(a, b);
        let connection = &mut self.connections[pair];
        connection.up = true;
        connection.generation += 1;
        for link in [a * self.nodes + b, b * self.nodes + a] {
            self.links[link].last = [0; 3];
        }
    }
}

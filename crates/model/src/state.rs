//! What the world of the model consists of: three or four nodes, one shard, a network, and a few
//! facts that only the checker knows.
//!
//! Everything is a small integer in a fixed array, so that a state is copied, compared and hashed
//! without an allocation: the checker does that millions of times. A value that can't matter any
//! more (a promise that ran out) is cleared, so that states that behave alike are alike.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::digest::hash_at_once;
use crate::membership::Nodes;

/// Nodes that a state has room for; a search uses the first three or all.
pub const NODES: usize = 4;
/// Slots for terms; term 0 is never led, so the greatest term is one less.
pub const TERMS: usize = 4;
/// Entries that a log can hold.
pub const LOG: usize = 5;
/// Messages of the support protocol that can be under way at once.
pub const FLIGHT: usize = 3;

/// A node: an index below [`NODES`].
pub type NodeId = u8;
/// A reading of one node's clock, or the true time; in ticks.
pub type Time = u8;

/// Marks an entry that changes the configuration.
const CHANGE: u8 = 0x80;

/// A replica's log: the term of each entry, oldest first.
///
/// The first entry of a term is that term's lease record; each further one is a write, or the next
/// change of the configuration. What a change says is the same in all runs of a search, so their
/// number in a log tells the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Log {
    length: u8,
    terms: [u8; LOG],
}

impl Log {
    /// Number of entries.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.length
    }

    fn entries(&self) -> &[u8] {
        &self.terms[..usize::from(self.length)]
    }

    /// The term of the last entry, or 0 for an empty log.
    #[must_use]
    pub fn last_term(&self) -> u8 {
        self.entries().last().map_or(0, |entry| entry & !CHANGE)
    }

    /// The first `length` entries.
    #[must_use]
    pub fn prefix(&self, length: u8) -> Self {
        let mut log = Self::default();
        for &term in &self.entries()[..usize::from(length)] {
            log.push(term);
        }
        log
    }

    /// Appends one entry. The caller has checked that there is room.
    pub fn push(&mut self, term: u8) {
        self.terms[usize::from(self.length)] = term;
        self.length += 1;
    }

    /// Appends a change of the configuration. The caller has checked that there is room.
    pub fn push_change(&mut self, term: u8) {
        self.push(term | CHANGE);
    }

    /// How many of the first `length` entries change the configuration.
    #[must_use]
    pub fn changes(&self, length: u8) -> u8 {
        let entries = &self.entries()[..usize::from(length)];
        entries.iter().map(|entry| entry / CHANGE).sum()
    }

    /// The term of the entry that is the change of this number, from 1, and the length up to it.
    #[must_use]
    pub fn change_at(&self, number: u8) -> Option<(u8, u8)> {
        let length = (1..=self.length).find(|&length| self.changes(length) == number)?;
        Some((self.prefix(length).last_term(), length))
    }

    /// Whether this log begins with all of `other`.
    #[must_use]
    pub fn begins_with(&self, other: &Self) -> bool {
        self.entries().starts_with(other.entries())
    }

    /// How many entries the two have in common from the start.
    #[must_use]
    pub fn common(&self, other: &Self) -> u8 {
        let pairs = self.entries().iter().zip(other.entries());
        pairs.take_while(|(a, b)| a == b).map(|_| 1).sum()
    }

    /// How many of the first `length` entries are writes, that is, neither the first of their term
    /// nor a change.
    #[must_use]
    pub fn writes(&self, length: u8) -> usize {
        let entries = &self.entries()[..usize::from(length)];
        entries.windows(2).filter(|pair| pair[0] & !CHANGE == pair[1]).count()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.entries().iter().map(|&entry| match entry & CHANGE {
            0 => format!("{entry}"),
            _ => format!("{} (change)", entry & !CHANGE),
        });
        write!(f, "{}", words.collect::<Vec<_>>().join(", "))
    }
}

/// The support that a node gives to another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Given {
    /// The epoch that is, or last was, supported; 0 if none ever was.
    pub epoch: u8,
    /// When the promise ends, on the giver's clock; 0 once it has ended: withdrawn for good.
    pub ends: Time,
    /// It has ended, and the giver has not looked since: it is yet to be withdrawn.
    pub lapsed: bool,
}

/// A promise as the node that received it counts it. It is always for its current epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Received {
    /// The supporter's incarnation when it promised.
    pub incarnation: u8,
    /// The first instant at which it no longer counts, on the receiver's clock.
    pub ends: Time,
}

/// A follower's bond with the leader of a term, alive while the support named in it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fortified {
    /// The term whose leader sent the accepted message.
    pub term: u8,
    /// That leader.
    pub leader: NodeId,
    /// The epoch at which the follower supported the leader then.
    pub epoch: u8,
}

/// What a leader knows of one follower, from its answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Answer {
    /// Entries of the leader's log that the follower has.
    pub matched: u8,
    /// The epoch for which it is fortified; 0 if it is not.
    pub epoch: u8,
    /// Its incarnation when it was fortified.
    pub incarnation: u8,
}

/// What a leader knows and forgets with its leadership.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Leadership {
    /// The lease was given up for the rest of the term.
    pub given_up: bool,
    /// The cached end of the lease. Only where it outlives a change of the configuration.
    pub cached: Time,
    /// Entries known to be committed, hence applied, except that a change of the configuration
    /// takes effect with a step of its own.
    pub applied: u8,
    /// What each follower answered last.
    pub answers: [Answer; NODES],
}

/// A replica's part in the current term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Neither leads nor wants to.
    Follower,
    /// Campaigns; has the votes of these. Once they are enough, of all.
    Candidate(Nodes),
    /// Leads the term.
    Leader(Leadership),
}

/// One node with its replica of the shard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node {
    /// Persisted: the newest term seen.
    pub term: u8,
    /// Persisted: this node has voted in that term. Its vote is with the candidate that got it;
    /// here it only matters that there is none left.
    pub voted: bool,
    /// Persisted: the log.
    pub log: Log,
    /// Changes of the configuration that it knows to be committed, and that are in force here.
    pub config: u8,
    /// Persisted: how often the node has been restarted.
    pub incarnation: u8,
    /// Persisted and raised at restart: the epoch at which it asks for support.
    pub epoch: u8,
    /// Ticks that its clock has missed.
    pub slow: u8,
    /// No vote before the clock reads this; 0 if there is no such ban.
    pub banned: Time,
    /// Persisted: the replica was removed, and has given up its log.
    pub buried: bool,
    /// Persisted: term and length of the log that a candidate must have for the vote of a replica
    /// that has given up its own.
    pub kept: (u8, u8),
    /// Persisted: the seat of its replica: how often one was removed here before.
    pub seat: u8,
    /// Whom it has voted for in `term`, plus one. Only where replicas give up their logs.
    pub vote: u8,
    /// The part in `term`.
    pub role: Role,
    /// The bond with a leader, if any.
    pub fortified: Option<Fortified>,
    /// Support given to each node.
    pub given: [Given; NODES],
    /// Support received from each node.
    pub received: [Option<Received>; NODES],
}

impl Node {
    /// A node that starts for the first time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            term: 0,
            voted: false,
            log: Log::default(),
            config: 0,
            incarnation: 0,
            epoch: 1,
            slow: 0,
            banned: 0,
            buried: false,
            kept: (0, 0),
            seat: 0,
            vote: 0,
            role: Role::Follower,
            fortified: None,
            given: [Given::default(); NODES],
            received: [None; NODES],
        }
    }
}

impl Node {
    /// Term and length that a log must have to be as new as what this replica has, or has given up.
    #[must_use]
    pub fn end(&self) -> (u8, u8) {
        self.kept.max((self.log.last_term(), self.log.length()))
    }

    /// Whether it has given up what it has not been sent again.
    #[must_use]
    pub fn has_forgotten(&self) -> bool {
        (self.log.last_term(), self.log.length()) < self.kept
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

/// A message of the support protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Message {
    /// "Support me at `epoch`", sent when the sender's clock read `sent`.
    Beat {
        /// Who asks.
        from: NodeId,
        /// Who is asked.
        to: NodeId,
        /// The sender's epoch.
        epoch: u8,
        /// The sender's clock.
        sent: Time,
    },
    /// "I support you at `epoch` for my window", in answer to the beat sent at `sent`.
    Promise {
        /// Who promises.
        from: NodeId,
        /// To whom.
        to: NodeId,
        /// The epoch that is supported.
        epoch: u8,
        /// The promiser's incarnation.
        incarnation: u8,
        /// Echo of the beat's `sent`.
        sent: Time,
    },
}

/// What a candidate's request for votes says. It can reach a voter at any later time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Request {
    /// Term of the candidate's last entry.
    pub last_term: u8,
    /// Length of the candidate's log.
    pub length: u8,
    /// The candidate was told to campaign by the holder: fortified followers let it pass.
    pub marked: bool,
    /// The configuration in force at the candidate: it asks the voters of that one.
    pub config: u8,
}

/// All that was ever sent in one term; deliverable for ever, any number of times, or never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TermRecord {
    /// The campaign of each node.
    pub requests: [Option<Request>; NODES],
    /// Who leads, or led, the term.
    pub leader: Option<NodeId>,
    /// The longest log that this leader had in this term: each prefix may have been sent.
    pub log: Log,
    /// Changes that this leader knew to be committed when it was elected.
    pub knew: u8,
    /// Changes that it knew, or knows, to be committed at last.
    pub knows: u8,
    /// Changes that are in force at this leader: it writes to the replicas' seats of those.
    pub in_force: u8,
    /// Whom the leader told to campaign for the next term.
    pub campaign_now: Option<NodeId>,
}

/// A state of the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct State {
    /// The true time, which nobody can read.
    pub now: Time,
    /// The nodes.
    pub nodes: [Node; NODES],
    /// Beats and promises under way: sorted, free places last.
    pub flight: [Option<Message>; FLIGHT],
    /// The messages of each term.
    pub terms: [TermRecord; TERMS],
    /// The longest log known to be committed. Its writes are acknowledged.
    pub committed: Log,
    /// Campaigns so far.
    pub campaigns: u8,
    /// Writes so far.
    pub writes: u8,
    /// Two nodes have led one term.
    pub two_leaders: bool,
    /// Two leaders have committed logs that contradict each other.
    pub forked: bool,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Listed, so that a new field is not forgotten. Nodes and terms as they were at the very
        // beginning are told by one byte.
        let Self { now, nodes, flight, terms, committed, campaigns, writes, .. } = self;
        let Self { two_leaders, forked, .. } = self;
        let nodes = nodes.each_ref().map(|node| (*node != Node::new()).then_some(node));
        let terms = terms.each_ref().map(|term| (*term != TermRecord::default()).then_some(term));
        let counts = (now, campaigns, writes, two_leaders, forked);
        hash_at_once(&(counts, nodes, flight, terms, committed), state);
    }
}

impl State {
    /// The node with this id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::from(id)]
    }

    /// The node with this id, to change it.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[usize::from(id)]
    }

    /// What this node's clock reads.
    #[must_use]
    pub fn clock(&self, id: NodeId) -> Time {
        self.now - self.node(id).slow
    }

    /// The messages of a term.
    #[must_use]
    pub fn term(&self, term: u8) -> &TermRecord {
        &self.terms[usize::from(term)]
    }

    /// Restarts so far.
    #[must_use]
    pub fn restarts(&self) -> u8 {
        self.nodes.iter().map(|node| node.incarnation).sum()
    }

    /// Ticks missed by clocks so far.
    #[must_use]
    pub fn missed_ticks(&self) -> u8 {
        self.nodes.iter().map(|node| node.slow).sum()
    }

    /// Puts a message on its way. Returns whether there was room.
    pub fn send(&mut self, message: Message) -> bool {
        let Some(free) = self.flight.iter().position(Option::is_none) else { return false };
        self.flight[free] = Some(message);
        self.sort_flight();
        true
    }

    /// Takes a message off its way.
    pub fn remove(&mut self, message: Message) {
        if let Some(found) = self.flight.iter().position(|&other| other == Some(message)) {
            self.flight[found] = None;
            self.sort_flight();
        }
    }

    /// Sorts the messages: their order must not tell states apart.
    pub fn sort_flight(&mut self) {
        self.flight.sort_unstable_by_key(|message| (message.is_none(), *message));
    }
}

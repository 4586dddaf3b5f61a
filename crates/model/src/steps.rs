//! What the steps do to the world.

use crate::machine::{Action, Machine};
use crate::membership::{Nodes, bit};
use crate::rules::{
    Promise, changes_remembered, commits, elects, may_promise, promise_ends, up_to_date,
};
use crate::settings::Settings;
use crate::state::{
    Answer, Fortified, Given, Leadership, Log, Message, NODES, Node, NodeId, Received, Request,
    Role, State,
};
use crate::violation::Violation;

/// The votes of a candidate that has enough.
const ENOUGH: Nodes = 0b1111;

impl Machine {
    /// Takes one step.
    pub(crate) fn apply(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick { missed } => {
                state.now += 1;
                for id in self.settings.ids() {
                    state.node_mut(id).slow += missed >> id & 1;
                }
            }
            Action::Beat { from, to } => self.beat(state, from, to),
            Action::Deliver { message, again } => {
                if !again {
                    state.remove(message);
                }
                if let Some(promise) = self.deliver(state, message) {
                    state.send(promise);
                }
            }
            Action::Lose(message) => state.remove(message),
            Action::Withdraw { from, to } => {
                state.node_mut(from).given[usize::from(to)].lapsed = false;
            }
            Action::RaiseEpoch(id) => {
                let node = state.node_mut(id);
                node.epoch += 1;
                node.received = [None; NODES];
            }
            Action::Campaign(id) => campaign(&self.settings, state, id, false),
            Action::CampaignNow { term: _, target } => {
                campaign(&self.settings, state, target, true);
            }
            Action::Vote { term, candidate, voter } => {
                vote(&self.settings, state, (term, candidate), voter);
            }
            Action::Bury(id) => bury(&self.settings, state, id),
            Action::Win(id) => win(state, id),
            Action::Append { term, to, length, knows, seat } => {
                take_seat(state.node_mut(to), seat);
                append(&self.settings, state, (term, to), (length, knows));
            }
            Action::Write(id) => {
                let node = state.node_mut(id);
                let term = node.term;
                node.log.push(term);
                state.writes += 1;
                state.terms[usize::from(term)].log = state.node(id).log;
            }
            Action::Change(id) => {
                let node = state.node_mut(id);
                let term = node.term;
                node.log.push_change(term);
                state.terms[usize::from(term)].log = state.node(id).log;
            }
            Action::Adopt(id) => adopt(&self.settings, state, id),
            Action::Leave(id) => state.node_mut(id).role = Role::Follower,
            Action::Release { from: _, to } => state.node_mut(to).fortified = None,
            Action::Transfer { from, to } => self.transfer(state, from, to),
            Action::Hear { node, from } => {
                let term = state.node(from).term;
                follow(state.node_mut(node), term);
                if self.settings.breaks(Violation::TermEndsBond) {
                    state.node_mut(node).fortified = None;
                }
            }
            Action::Restart(id) => self.restart(state, id),
            Action::Resume(id) => resume(state.node_mut(id)),
        }
    }

    /// A leader asks for support; where that takes no time, it is answered at once.
    fn beat(&self, state: &mut State, from: NodeId, to: NodeId) {
        let (epoch, sent) = (state.node(from).epoch, state.clock(from));
        let beat = Message::Beat { from, to, epoch, sent };
        if self.settings.flight > 0 {
            state.send(beat);
        } else if let Some(promise) = self.deliver(state, beat) {
            self.deliver(state, promise);
        }
    }

    /// The receiver's part; returns its answer.
    fn deliver(&self, state: &mut State, message: Message) -> Option<Message> {
        match message {
            Message::Beat { from, to, epoch, sent } => {
                let given = state.node(to).given[usize::from(from)];
                if !may_promise(&self.settings, given, epoch) {
                    return None;
                }
                let ends = state.clock(to) + self.settings.windows[usize::from(to)];
                let ends = if epoch == given.epoch { ends.max(given.ends) } else { ends };
                state.node_mut(to).given[usize::from(from)] = Given { epoch, ends, lapsed: false };
                let incarnation = state.node(to).incarnation;
                Some(Message::Promise { from: to, to: from, epoch, incarnation, sent })
            }
            Message::Promise { from, to, epoch, incarnation, sent } => {
                if epoch != state.node(to).epoch {
                    return None;
                }
                let ends = promise_ends(&self.settings, state, Promise { from, to, sent });
                let place = &mut state.node_mut(to).received[usize::from(from)];
                // An older incarnation's promise is void; of one incarnation, the longest counts.
                let promise = Received { incarnation, ends };
                *place = Some(place.map_or(promise, |known| known.max(promise)));
                None
            }
        }
    }

    fn transfer(&self, state: &mut State, from: NodeId, to: NodeId) {
        let node = state.node_mut(from);
        let term = node.term;
        if let Role::Leader(leadership) = &mut node.role {
            leadership.given_up = !self.settings.breaks(Violation::ServeAfterTransfer);
        }
        state.terms[usize::from(term)].campaign_now = Some(to);
    }

    fn restart(&self, state: &mut State, id: NodeId) {
        let settings = &self.settings;
        let clock = state.clock(id);
        let node = state.node_mut(id);
        let before = *node;
        *node = Node {
            term: before.term,
            voted: before.voted,
            log: before.log,
            config: before.config,
            incarnation: before.incarnation + 1,
            epoch: before.epoch + 1,
            slow: before.slow,
            buried: before.buried,
            kept: before.kept,
            seat: before.seat,
            vote: before.vote,
            banned: clock + settings.windows[usize::from(id)],
            ..Node::new()
        };
        if settings.breaks(Violation::VoteAtRestart) {
            node.banned = 0;
        }
        if settings.breaks(Violation::ShortBan) {
            node.banned -= 1;
        }
        if settings.breaks(Violation::AnswerBeforePersisted) {
            node.log = before.log.prefix(before.log.length().saturating_sub(1));
        }
        if !node.buried {
            node.config = changes_remembered(settings, node);
        }
        if settings.breaks(Violation::VoteBeforePersisted) {
            node.voted = false;
        }
        if let (Role::Leader(leadership), true) =
            (before.role, settings.breaks(Violation::LeaseAcrossRestart))
        {
            // What is remembered is the right to serve, not that it was given up since.
            node.role = Role::Leader(Leadership { given_up: false, ..leadership });
            node.epoch = before.epoch;
            node.received = before.received;
        }
    }
}

/// A change takes effect at a leader.
fn adopt(settings: &Settings, state: &mut State, id: NodeId) {
    let node = state.node_mut(id);
    node.config += 1;
    let (term, config) = (usize::from(node.term), node.config);
    forget_former_replicas(settings, node);
    state.terms[term].in_force = config;
    commit(settings, state, id);
}

/// A leader takes back the lease that it gave up.
fn resume(node: &mut Node) {
    if let Role::Leader(leadership) = &mut node.role {
        leadership.given_up = false;
    }
}

/// Enters a higher term as a follower, with whatever bond there is.
fn follow(node: &mut Node, term: u8) {
    if term > node.term {
        node.term = term;
        node.voted = false;
        node.vote = 0;
    }
    node.role = Role::Follower;
}

/// A removed replica keeps nothing but its vote and its bond.
///
/// Of an even number of voters, any two majorities share one that stays: a candidate that has the
/// removal has all that is committed, even if this one had more.
fn bury(settings: &Settings, state: &mut State, id: NodeId) {
    let node = state.node_mut(id);
    let Some(removal) = settings.removal(node.config, id) else { return };
    let voters = settings.voters(removal - 1).incoming.count_ones();
    let left_even = (voters.is_multiple_of(2) || settings.breaks(Violation::RemovedForgetsItsTail))
        .then(|| node.log.change_at(removal));
    node.kept = left_even.flatten().unwrap_or_else(|| node.end());
    if settings.breaks(Violation::RemovedVotesForAnybody) {
        node.kept = (0, 0);
    }
    if settings.breaks(Violation::RemovedBreaksItsPromise) {
        node.fortified = None;
    }
    node.log = Log::default();
    node.buried = true;
}

/// A message of a leader for a replica of this seat: a removed one begins anew in its own, or is
/// followed by one that knows nothing.
fn take_seat(node: &mut Node, seat: u8) {
    if seat > node.seat {
        (node.seat, node.kept, node.log) = (seat, (0, 0), Log::default());
        (node.buried, node.config) = (false, 0);
    }
    if node.buried {
        (node.buried, node.config) = (false, 0);
    }
}

/// A leader knows nothing of the replica that may follow one that is removed.
fn forget_former_replicas(settings: &Settings, leader: &mut Node) {
    let (before, now) = (leader.config - 1, leader.config);
    let Role::Leader(leadership) = &mut leader.role else { return };
    for (id, answer) in (0..settings.nodes).zip(&mut leadership.answers) {
        if settings.seat(now, id) != settings.seat(before, id) {
            *answer = Answer::default();
        }
    }
}

fn campaign(settings: &Settings, state: &mut State, id: NodeId, marked: bool) {
    let node = state.node_mut(id);
    node.term += 1;
    node.voted = true;
    node.role = Role::Candidate(with_vote(settings, node.config, 0, id));
    node.fortified = None;
    if settings.buries {
        node.vote = id + 1;
    }
    let (term, log, config) = (usize::from(node.term), node.log, node.config);
    let request = Request { last_term: log.last_term(), length: log.length(), marked, config };
    state.terms[term].requests[usize::from(id)] = Some(request);
    state.campaigns += 1;
}

/// A candidate's votes with one more.
fn with_vote(settings: &Settings, config: u8, votes: Nodes, voter: NodeId) -> Nodes {
    let votes = votes | bit(voter);
    if elects(settings, settings.voters(config), votes) { ENOUGH } else { votes }
}

fn vote(settings: &Settings, state: &mut State, (term, candidate): (u8, NodeId), voter: NodeId) {
    let same_term_ends_bond = settings.breaks(Violation::LateVoteEndsBond);
    let Some(request) = state.term(term).requests[usize::from(candidate)] else { return };
    let node = state.node_mut(voter);
    if term > node.term {
        follow(node, term);
    }
    if !up_to_date(request, node) {
        return;
    }
    node.voted = true;
    if settings.buries {
        node.vote = candidate + 1;
    }
    // Whoever may vote in a later term has proof that the lease behind its bond, if any, is over.
    // In the same term it is the leader's own campaign that arrives late and proves nothing.
    if node.fortified.is_some_and(|bond| bond.term < term || same_term_ends_bond) {
        node.fortified = None;
    }
    let candidate = state.node_mut(candidate);
    if let (Role::Candidate(votes), true) = (&mut candidate.role, candidate.term == term) {
        *votes = with_vote(settings, candidate.config, *votes, voter);
    }
}

fn win(state: &mut State, id: NodeId) {
    let node = state.node_mut(id);
    let term = node.term;
    node.log.push(term);
    node.role = Role::Leader(Leadership::default());
    let (log, config) = (node.log, node.config);
    let record = &mut state.terms[usize::from(term)];
    state.two_leaders |= record.leader.is_some_and(|leader| leader != id);
    record.leader = Some(id);
    record.log = log;
    (record.knew, record.knows, record.in_force) = (config, config, config);
}

/// A follower accepts a message of the leader of `term`; the leader gets the answer.
fn append(
    settings: &Settings,
    state: &mut State,
    (term, to): (u8, NodeId),
    (length, knows): (u8, u8),
) {
    let Some(leader) = state.term(term).leader else { return };
    let sent = state.term(term).log;
    let node = state.node_mut(to);
    follow(node, term);
    if length > node.log.common(&sent) {
        node.log = sent.prefix(length);
    }
    node.config = node.config.max(knows);
    let clock = state.clock(to);
    let node = state.node_mut(to);
    let given = node.given[usize::from(leader)];
    let supported = given.ends > clock;
    if supported {
        node.fortified = Some(Fortified { term, leader, epoch: given.epoch });
    } else if node.fortified.is_some_and(|bond| bond.term < term) {
        // A leader of a later term is proof that the lease behind the bond is over.
        node.fortified = None;
    }
    let (incarnation, seat) = (node.incarnation, node.seat);
    let sender = state.node(leader);
    // What was said by a replica that was removed says nothing of the one that followed it.
    if sender.term != term || settings.seat(sender.config, to) != seat {
        return;
    }
    if let Role::Leader(leadership) = &mut state.node_mut(leader).role {
        let answer = &mut leadership.answers[usize::from(to)];
        answer.matched = answer.matched.max(length);
        if supported {
            *answer = Answer { epoch: given.epoch, incarnation, ..*answer };
        }
        commit(settings, state, leader);
    }
}

/// Commits what a quorum of the configuration in force has, if its last entry is of the leader's
/// own term.
fn commit(settings: &Settings, state: &mut State, leader: NodeId) {
    let node = state.node_mut(leader);
    let (log, term, voters) = (node.log, node.term, settings.voters(node.config));
    let Role::Leader(leadership) = &mut node.role else { return };
    let has = |length: u8| {
        let answers = (0..).zip(&leadership.answers).filter(|(_, it)| it.matched >= length);
        let nodes = answers.fold(bit(leader), |nodes, (id, _)| nodes | bit(id));
        commits(settings, voters, nodes)
    };
    let committed = (leadership.applied + 1..=log.length())
        .filter(|&length| log.prefix(length).last_term() == term && has(length))
        .max();
    let Some(length) = committed else { return };
    leadership.applied = length;
    let record = &mut state.terms[usize::from(term)];
    record.knows = record.knows.max(log.changes(length));
    let log = log.prefix(length);
    if log.begins_with(&state.committed) {
        state.committed = log;
    } else {
        state.forked |= !state.committed.begins_with(&log);
    }
}

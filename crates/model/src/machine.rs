//! The steps that nodes, clocks, clients and the network can take.
//!
//! Raft's messages are not counted: whatever was sent in a term can reach anyone at any later
//! time, again and again, or never (`TermRecord`). Answers to a leader or candidate arrive with
//! the step that causes them. That loses nothing: a leader that learns later, or never, believes
//! and acknowledges less, and nothing it may do depends on not knowing. Promises do travel, since
//! the time that they take is what matters.

use stateright::{Model, Property};

use crate::properties;
use crate::rules::{
    Promise, forget, may_campaign, may_promise, may_vote, promise_ends, settled, up_to_date,
};
use crate::settings::Settings;
use crate::state::{
    Answer, Fortified, Given, Leadership, MAJORITY, Message, NODES, Node, NodeId, Received,
    Request, Role, State, TERMS, TermRecord, node_ids, others,
};
use crate::violation::Violation;

/// The protocol under some bounds, for the checker.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The bounds, and the broken rule if any.
    pub settings: Settings,
}

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A tick of true time passes; the clocks of the nodes with a bit in `missed` don't notice.
    Tick {
        /// One bit per node.
        missed: u8,
    },
    /// A leader asks for support.
    Beat {
        /// The leader.
        from: NodeId,
        /// Who is asked.
        to: NodeId,
    },
    /// A beat or promise arrives.
    Deliver {
        /// What arrives.
        message: Message,
        /// It will arrive once more.
        again: bool,
    },
    /// A beat or promise is lost: it makes room for another.
    Lose(Message),
    /// A leader learns that its support was withdrawn, and raises its epoch.
    RaiseEpoch(NodeId),
    /// A node campaigns for its next term.
    Campaign(NodeId),
    /// The order to campaign, given in `term`, reaches its target.
    CampaignNow {
        /// The term of the leader that gave it.
        term: u8,
        /// The target.
        target: NodeId,
    },
    /// A request for votes reaches a voter.
    Vote {
        /// The campaign's term.
        term: u8,
        /// The candidate.
        candidate: NodeId,
        /// The voter.
        voter: NodeId,
    },
    /// A candidate learns that it has a majority; it appends its lease record.
    Win(NodeId),
    /// A message of the leader of `term`, with its log up to `length`, reaches a follower.
    Append {
        /// The leader's term.
        term: u8,
        /// The follower.
        to: NodeId,
        /// Entries of the leader's log that the follower then has.
        length: u8,
    },
    /// A leader appends a client's write.
    Write(NodeId),
    /// A leader gives its lease up and tells another node to campaign.
    Transfer {
        /// The leader.
        from: NodeId,
        /// The target.
        to: NodeId,
    },
    /// Some message tells `node` of the term of `from`.
    Hear {
        /// Who hears.
        node: NodeId,
        /// Whose term it is.
        from: NodeId,
    },
    /// A node stops and starts again.
    Restart(NodeId),
    /// A leader takes back the lease it gave up. Only where that rule is broken.
    Resume(NodeId),
}

impl Model for Machine {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            now: 0,
            nodes: [Node::new(); NODES],
            flight: Default::default(),
            terms: [TermRecord::default(); TERMS],
            committed: Default::default(),
            campaigns: 0,
            writes: 0,
            two_leaders: false,
            forked: false,
        };
        if self.settings.begin_with_leader {
            begin_with_leader(&mut state);
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if settled(&self.settings, state) {
            return;
        }
        self.time_actions(state, actions);
        self.support_actions(state, actions);
        for id in node_ids() {
            self.node_actions(state, id, actions);
        }
        self.message_actions(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        self.apply(&mut state, action);
        forget(&self.settings, &mut state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::properties()
    }
}

/// Node 0 leads term 1, elected by all; its lease record is on every log and applied.
fn begin_with_leader(state: &mut State) {
    let leader = 0;
    for node in &mut state.nodes {
        node.term = 1;
        node.voted = true;
        node.log.push(1);
    }
    let mut leadership = Leadership { applied: 1, ..Leadership::default() };
    for id in others(leader) {
        leadership.answers[usize::from(id)].matched = 1;
    }
    let log = state.node(leader).log;
    state.node_mut(leader).role = Role::Leader(leadership);
    state.committed = log;
    state.terms[1].leader = Some(leader);
    state.terms[1].log = log;
}

// What can happen next.
impl Machine {
    fn time_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now >= self.settings.ticks {
            return;
        }
        let room = u32::from(self.settings.missed_ticks - state.missed_ticks());
        for missed in 0_u8..1 << NODES {
            let once = |id: NodeId| missed & (1 << id) == 0 || state.node(id).slow == 0;
            if missed.count_ones() <= room && node_ids().all(once) {
                actions.push(Action::Tick { missed });
            }
        }
    }

    fn support_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let instant = self.settings.flight == 0;
        let full = !instant && state.flight.iter().flatten().count() >= self.settings.flight;
        for from in node_ids() {
            let node = state.node(from);
            if !matches!(node.role, Role::Leader(_)) {
                continue;
            }
            for to in others(from) {
                if !full && self.beat_is_news(state, from, to) {
                    actions.push(Action::Beat { from, to });
                }
            }
            let withdrawn = |id: NodeId| {
                let given = state.node(id).given[usize::from(from)];
                given.epoch == node.epoch && given.ends == 0
            };
            if node.epoch < self.settings.epochs && others(from).any(withdrawn) {
                actions.push(Action::RaiseEpoch(from));
            }
        }
        for message in state.flight.into_iter().flatten() {
            actions.push(Action::Deliver { message, again: false });
            let makes_promise = matches!(message, Message::Beat { .. });
            if self.settings.duplicates && !(full && makes_promise) {
                actions.push(Action::Deliver { message, again: true });
            }
            if full {
                actions.push(Action::Lose(message));
            }
        }
    }

    /// Whether a beat sent now differs from those under way and from those answered.
    fn beat_is_news(&self, state: &State, from: NodeId, to: NodeId) -> bool {
        let node = state.node(from);
        let sent = state.clock(from);
        let beat = Message::Beat { from, to, epoch: node.epoch, sent };
        let ends = promise_ends(&self.settings, state, Promise { from: to, to: from, sent });
        let answered = node.received[usize::from(to)].is_some_and(|promise| {
            promise.ends == ends && promise.incarnation == state.node(to).incarnation
        });
        !answered && !state.flight.contains(&Some(beat))
    }

    fn node_actions(&self, state: &State, id: NodeId, actions: &mut Vec<Action>) {
        let node = state.node(id);
        let settings = &self.settings;
        if state.campaigns < settings.campaigns
            && node.term < settings.terms
            && may_campaign(settings, state, id, false)
        {
            actions.push(Action::Campaign(id));
        }
        if state.restarts() < settings.restarts {
            actions.push(Action::Restart(id));
        }
        for from in others(id) {
            if settings.hearsay && state.node(from).term > node.term {
                actions.push(Action::Hear { node: id, from });
            }
        }
        match node.role {
            Role::Follower => {}
            Role::Candidate(votes) => {
                if usize::from(votes) >= MAJORITY && node.log.length() < settings.log {
                    actions.push(Action::Win(id));
                }
            }
            Role::Leader(leadership) => self.leader_actions(state, id, leadership, actions),
        }
    }

    fn leader_actions(
        &self,
        state: &State,
        id: NodeId,
        leadership: Leadership,
        actions: &mut Vec<Action>,
    ) {
        let node = state.node(id);
        if state.writes < self.settings.writes && node.log.length() < self.settings.log {
            actions.push(Action::Write(id));
        }
        if leadership.given_up && self.settings.breaks(Violation::ResumeAfterTransfer) {
            actions.push(Action::Resume(id));
        }
        let ordered = state.term(node.term).campaign_now.is_some();
        if !self.settings.transfers || leadership.given_up || ordered {
            return;
        }
        for to in others(id) {
            if leadership.answers[usize::from(to)].matched == node.log.length() {
                actions.push(Action::Transfer { from: id, to });
            }
        }
    }

    fn message_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for term in 1..=self.settings.terms {
            let record = state.term(term);
            for candidate in node_ids() {
                let Some(request) = record.requests[usize::from(candidate)] else { continue };
                for voter in others(candidate) {
                    let node = state.node(voter);
                    let open = term > node.term || (term == node.term && !node.voted);
                    if open && may_vote(&self.settings, state, voter, (candidate, term, request)) {
                        actions.push(Action::Vote { term, candidate, voter });
                    }
                }
            }
            if let Some(leader) = record.leader {
                for to in others(leader).filter(|&to| state.node(to).term <= term) {
                    let common = state.node(to).log.common(&record.log);
                    for length in common..=record.log.length() {
                        actions.push(Action::Append { term, to, length });
                    }
                }
            }
            if let Some(target) = record.campaign_now {
                let node = state.node(target);
                let in_time = node.term == term || self.settings.breaks(Violation::MarkAtAnyTerm);
                if in_time
                    && node.term >= term
                    && node.term < self.settings.terms
                    && state.campaigns < self.settings.campaigns
                    && may_campaign(&self.settings, state, target, true)
                {
                    actions.push(Action::CampaignNow { term, target });
                }
            }
        }
    }
}

// What it does.
impl Machine {
    fn apply(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick { missed } => {
                state.now += 1;
                for id in node_ids() {
                    state.node_mut(id).slow += missed >> id & 1;
                }
            }
            Action::Beat { from, to } => {
                let (epoch, sent) = (state.node(from).epoch, state.clock(from));
                let beat = Message::Beat { from, to, epoch, sent };
                if self.settings.flight > 0 {
                    state.send(beat);
                } else if let Some(promise) = self.deliver(state, beat) {
                    self.deliver(state, promise);
                }
            }
            Action::Deliver { message, again } => {
                if !again {
                    state.remove(message);
                }
                if let Some(promise) = self.deliver(state, message) {
                    state.send(promise);
                }
            }
            Action::Lose(message) => state.remove(message),
            Action::RaiseEpoch(id) => {
                let node = state.node_mut(id);
                node.epoch += 1;
                node.received = [None; NODES];
            }
            Action::Campaign(id) => campaign(state, id, false),
            Action::CampaignNow { term: _, target } => campaign(state, target, true),
            Action::Vote { term, candidate, voter } => {
                vote(&self.settings, state, (term, candidate), voter);
            }
            Action::Win(id) => win(state, id),
            Action::Append { term, to, length } => append(state, term, to, length),
            Action::Write(id) => {
                let node = state.node_mut(id);
                let term = node.term;
                node.log.push(term);
                state.writes += 1;
                state.terms[usize::from(term)].log = state.node(id).log;
            }
            Action::Transfer { from, to } => self.transfer(state, from, to),
            Action::Hear { node, from } => {
                let term = state.node(from).term;
                follow(state.node_mut(node), term);
                if self.settings.breaks(Violation::TermEndsBond) {
                    state.node_mut(node).fortified = None;
                }
            }
            Action::Restart(id) => self.restart(state, id),
            Action::Resume(id) => {
                if let Role::Leader(leadership) = &mut state.node_mut(id).role {
                    leadership.given_up = false;
                }
            }
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
                state.node_mut(to).given[usize::from(from)] = Given { epoch, ends };
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
            incarnation: before.incarnation + 1,
            epoch: before.epoch + 1,
            slow: before.slow,
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

/// Enters a higher term as a follower, with whatever bond there is.
fn follow(node: &mut Node, term: u8) {
    if term > node.term {
        node.term = term;
        node.voted = false;
    }
    node.role = Role::Follower;
}

fn campaign(state: &mut State, id: NodeId, marked: bool) {
    let node = state.node_mut(id);
    node.term += 1;
    node.voted = true;
    node.role = Role::Candidate(1);
    node.fortified = None;
    let (term, log) = (usize::from(node.term), node.log);
    let request = Request { last_term: log.last_term(), length: log.length(), marked };
    state.terms[term].requests[usize::from(id)] = Some(request);
    state.campaigns += 1;
}

fn vote(settings: &Settings, state: &mut State, (term, candidate): (u8, NodeId), voter: NodeId) {
    let same_term_ends_bond = settings.breaks(Violation::LateVoteEndsBond);
    let Some(request) = state.term(term).requests[usize::from(candidate)] else { return };
    let node = state.node_mut(voter);
    if term > node.term {
        follow(node, term);
    }
    if !up_to_date(request, &node.log) {
        return;
    }
    node.voted = true;
    // Whoever may vote in a later term has proof that the lease behind its bond, if any, is over.
    // In the same term it is the leader's own campaign that arrives late and proves nothing.
    if node.fortified.is_some_and(|bond| bond.term < term || same_term_ends_bond) {
        node.fortified = None;
    }
    let candidate = state.node_mut(candidate);
    if let (Role::Candidate(votes), true) = (&mut candidate.role, candidate.term == term) {
        *votes = (*votes + 1).min(MAJORITY as u8);
    }
}

fn win(state: &mut State, id: NodeId) {
    let node = state.node_mut(id);
    let term = node.term;
    node.log.push(term);
    node.role = Role::Leader(Leadership::default());
    let log = node.log;
    let record = &mut state.terms[usize::from(term)];
    state.two_leaders |= record.leader.is_some_and(|leader| leader != id);
    record.leader = Some(id);
    record.log = log;
}

/// A follower accepts a message of the leader of `term`; the leader gets the answer.
fn append(state: &mut State, term: u8, to: NodeId, length: u8) {
    let Some(leader) = state.term(term).leader else { return };
    let sent = state.term(term).log;
    let node = state.node_mut(to);
    follow(node, term);
    if length > node.log.common(&sent) {
        node.log = sent.prefix(length);
    }
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
    let incarnation = node.incarnation;
    if state.node(leader).term != term {
        return;
    }
    if let Role::Leader(leadership) = &mut state.node_mut(leader).role {
        let answer = &mut leadership.answers[usize::from(to)];
        answer.matched = answer.matched.max(length);
        if supported {
            *answer = Answer { epoch: given.epoch, incarnation, ..*answer };
        }
        commit(state, leader);
    }
}

/// Commits what a majority has, if its last entry is of the leader's own term.
fn commit(state: &mut State, leader: NodeId) {
    let node = state.node_mut(leader);
    let (log, term) = (node.log, node.term);
    let Role::Leader(leadership) = &mut node.role else { return };
    let has = |length: u8| {
        1 + leadership.answers.iter().filter(|answer| answer.matched >= length).count() >= MAJORITY
    };
    let committed = (leadership.applied + 1..=log.length())
        .filter(|&length| log.prefix(length).last_term() == term && has(length))
        .max();
    let Some(length) = committed else { return };
    leadership.applied = length;
    let log = log.prefix(length);
    if log.begins_with(&state.committed) {
        state.committed = log;
    } else {
        state.forked |= !state.committed.begins_with(&log);
    }
}

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
    Promise, asked, bond, elects, forget, least_known, may_bury, may_campaign, may_change,
    may_hand_over, may_vote, promise_ends, seats_written_to, settled, takes,
};
use crate::settings::Settings;
use crate::state::{Leadership, Message, NODES, Node, NodeId, Role, State, TERMS, TermRecord};
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
    /// A node finds that a promise it gave has lapsed, and withdraws it.
    Withdraw {
        /// Whose promise it was.
        from: NodeId,
        /// To whom.
        to: NodeId,
    },
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
        /// Changes of the configuration among them that it learns are committed.
        knows: u8,
        /// The seat of the replica that it is for.
        seat: u8,
    },
    /// A leader appends a client's write.
    Write(NodeId),
    /// A leader appends the next change of the configuration.
    Change(NodeId),
    /// A change that a leader knows to be committed takes effect there.
    Adopt(NodeId),
    /// A leader that is no voter any more leads no longer.
    Leave(NodeId),
    /// A leader that no longer leads releases a follower from its bond.
    Release {
        /// The leader.
        from: NodeId,
        /// The follower.
        to: NodeId,
    },
    /// A replica that was removed gives up its log, and remembers what its vote depends on.
    Bury(NodeId),
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
            begin_with_leader(&self.settings, &mut state);
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if settled(&self.settings, state) {
            return;
        }
        self.time_actions(state, actions);
        self.support_actions(state, actions);
        for id in self.settings.ids() {
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
fn begin_with_leader(settings: &Settings, state: &mut State) {
    let leader = 0;
    for node in &mut state.nodes[..usize::from(settings.nodes)] {
        node.term = 1;
        node.voted = true;
        node.log.push(1);
    }
    let mut leadership = Leadership { applied: 1, ..Leadership::default() };
    for id in settings.others(leader) {
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
        for missed in 0_u8..1 << self.settings.nodes {
            let once = |id: NodeId| missed & (1 << id) == 0 || state.node(id).slow == 0;
            if missed.count_ones() <= room && self.settings.ids().all(once) {
                actions.push(Action::Tick { missed });
            }
        }
    }

    fn support_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let instant = self.settings.flight == 0;
        let full = !instant && state.flight.iter().flatten().count() >= self.settings.flight;
        for from in self.settings.ids() {
            let node = state.node(from);
            let lapsed = |to: &NodeId| node.given[usize::from(*to)].lapsed;
            let lapsed = self.settings.others(from).filter(lapsed);
            actions.extend(lapsed.map(|to| Action::Withdraw { from, to }));
            if !matches!(node.role, Role::Leader(_)) {
                continue;
            }
            for to in self.settings.others(from) {
                if !full && self.beat_is_news(state, from, to) {
                    actions.push(Action::Beat { from, to });
                }
            }
            let withdrawn = |id: NodeId| {
                let given = state.node(id).given[usize::from(from)];
                given.epoch == node.epoch && given.ends == 0
            };
            if node.epoch < self.settings.epochs && self.settings.others(from).any(withdrawn) {
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
        if let (true, Some(bond)) = (settings.releases, bond(state, id)) {
            let leader = state.node(bond.leader);
            let leads = matches!(leader.role, Role::Leader(_)) && leader.term == bond.term;
            if !leads && leader.term >= bond.term {
                actions.push(Action::Release { from: bond.leader, to: id });
            }
        }
        if may_bury(settings, node, id) {
            actions.push(Action::Bury(id));
        }
        if state.restarts() < settings.restarts {
            actions.push(Action::Restart(id));
        }
        for from in settings.others(id) {
            if settings.hearsay && state.node(from).term > node.term {
                actions.push(Action::Hear { node: id, from });
            }
        }
        match node.role {
            Role::Follower => {}
            Role::Candidate(votes) => {
                if elects(settings, settings.voters(node.config), votes)
                    && node.log.length() < settings.log
                {
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
        if node.log.length() < self.settings.log && may_change(&self.settings, node) {
            actions.push(Action::Change(id));
        }
        if node.config < node.log.changes(leadership.applied) {
            actions.push(Action::Adopt(id));
        }
        if !self.settings.voters(node.config).contains(id) {
            actions.push(Action::Leave(id));
        }
        let ordered = state.term(node.term).campaign_now.is_some();
        if !self.settings.transfers || leadership.given_up || ordered {
            return;
        }
        for to in self.settings.others(id) {
            let matched = leadership.answers[usize::from(to)].matched;
            if matched == node.log.length() && may_hand_over(&self.settings, node, to) {
                actions.push(Action::Transfer { from: id, to });
            }
        }
    }

    fn append_actions(
        &self,
        state: &State,
        (term, leader): (u8, NodeId),
        actions: &mut Vec<Action>,
    ) {
        let record = state.term(term);
        for to in self.settings.others(leader).filter(|&to| state.node(to).term <= term) {
            // Longer messages have the effect of several that each bring one more entry.
            let node = state.node(to);
            let common = node.log.common(&record.log);
            for length in common..=record.log.length().min(common + 1) {
                let changes = record.log.changes(length);
                let least = least_known(&self.settings, record, changes);
                for knows in least..=record.knows.min(changes) {
                    let seats = seats_written_to(&self.settings, record, to);
                    for seat in seats.filter(|&seat| takes(node, seat, term, leader)) {
                        actions.push(Action::Append { term, to, length, knows, seat });
                    }
                }
            }
        }
    }

    fn message_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for term in 1..=self.settings.terms {
            let record = state.term(term);
            for candidate in self.settings.ids() {
                let Some(request) = record.requests[usize::from(candidate)] else { continue };
                for voter in asked(&self.settings, candidate, request) {
                    let node = state.node(voter);
                    let open = term > node.term || (term == node.term && !node.voted);
                    if open && may_vote(&self.settings, state, voter, (candidate, term, request)) {
                        actions.push(Action::Vote { term, candidate, voter });
                    }
                }
            }
            if let Some(leader) = record.leader {
                self.append_actions(state, (term, leader), actions);
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

//! The rules of the protocol as functions of a state: who may vote, what a promise is worth, who
//! holds the lease. Each broken rule is a branch at the place where the rule is applied.

use crate::membership::{Nodes, Voters, bit, is_majority};
use crate::settings::Settings;
use crate::state::{
    Fortified, Given, Log, Message, NODES, Node, NodeId, Received, Request, Role, State,
    TermRecord, Time,
};
use crate::violation::Violation;

/// The follower's bond, if the support that it depends on lasts.
///
/// A newer epoch of the leader ends it: the leader itself has discarded all bonds of the old one.
#[must_use]
pub(crate) fn bond(state: &State, id: NodeId) -> Option<Fortified> {
    let node = state.node(id);
    node.fortified.filter(|bond| {
        let given = node.given[usize::from(bond.leader)];
        given.epoch == bond.epoch && given.ends > state.clock(id)
    })
}

/// Whether this node's bond allows that the candidate is elected in `term`.
///
/// The bond's own leader may campaign, since that ends its lease; and the campaign that it ordered
/// may pass, which is the one for the very next term.
#[must_use]
pub(crate) fn bond_allows(
    state: &State,
    id: NodeId,
    candidate: NodeId,
    term: u8,
    marked: bool,
) -> bool {
    bond(state, id).is_none_or(|bond| bond.leader == candidate || (marked && term == bond.term + 1))
}

/// Whom a candidate asks: the others that vote in the configuration in force there.
pub(crate) fn asked(
    settings: &Settings,
    candidate: NodeId,
    request: Request,
) -> impl Iterator<Item = NodeId> + use<> {
    let voters = settings.voters(request.config);
    let all = settings.breaks(Violation::VoteCountedOfRemoved);
    settings.others(candidate).filter(move |&id| all || voters.contains(id))
}

/// Whether `voter` lets this campaign pass, now, as far as promises are concerned.
#[must_use]
pub(crate) fn may_vote(
    settings: &Settings,
    state: &State,
    voter: NodeId,
    (candidate, term, request): (NodeId, u8, Request),
) -> bool {
    let banned = state.node(voter).banned > state.clock(voter);
    let pass = settings.breaks(Violation::VoteDespiteBond)
        || (request.marked && settings.breaks(Violation::MarkNotCompared))
        || bond_allows(state, voter, candidate, term, request.marked);
    // A request is for the replica in one seat.
    let seat = settings.seat(request.config, voter) == state.node(voter).seat
        || settings.breaks(Violation::SeatNotCompared);
    !banned && pass && seat
}

/// Whether this node may campaign for its next term, as far as promises are concerned.
#[must_use]
pub(crate) fn may_campaign(settings: &Settings, state: &State, id: NodeId, marked: bool) -> bool {
    let node = state.node(id);
    // A campaign is a vote for oneself, so the ban after a restart covers it too.
    let banned = node.banned > state.clock(id) && !settings.breaks(Violation::CampaignAtRestart);
    let pass = settings.breaks(Violation::CampaignDespiteBond)
        || (marked && settings.breaks(Violation::MarkNotCompared))
        || bond_allows(state, id, id, node.term + 1, marked);
    let leads = match node.role {
        Role::Follower | Role::Candidate(_) => false,
        Role::Leader(leadership) => !leadership.given_up,
    };
    let votes = settings.voters(node.config).contains(id);
    let own_seat = settings.seat(node.config, id) == node.seat;
    // A campaign is a vote for oneself, so it needs what any other candidate would.
    let forgets = node.has_forgotten() && !settings.breaks(Violation::ForgetfulCampaigns);
    !banned && pass && !leads && votes && own_seat && !node.buried && !forgets
}

/// Whether this replica may give up its log: it was removed, and knows.
#[must_use]
pub(crate) fn may_bury(settings: &Settings, node: &Node, id: NodeId) -> bool {
    settings.buries
        && !node.buried
        && node.role == Role::Follower
        && settings.seat(node.config, id) == node.seat + 1
        && settings.removal(node.config, id).is_some()
}

/// The seats of this node that the leader of a term has written to, or does.
pub(crate) fn seats_written_to(
    settings: &Settings,
    record: &TermRecord,
    to: NodeId,
) -> impl Iterator<Item = u8> + use<> {
    settings.seat(record.knew, to)..=settings.seat(record.in_force, to)
}

/// Whether a leader's message for a replica in this seat is heeded here. A removed one that has
/// given up its log heeds leaders that may not know of the removal.
#[must_use]
pub(crate) fn takes(node: &Node, seat: u8, term: u8, leader: NodeId) -> bool {
    let elected_since = term > node.term || node.vote == leader + 1;
    seat > node.seat || (seat == node.seat && (!node.buried || elected_since))
}

/// Whether the leader may append a change of the configuration: the one before is in force here.
#[must_use]
pub(crate) fn may_change(settings: &Settings, node: &Node) -> bool {
    let appended = node.log.changes(node.log.length());
    let settled = node.config == appended || settings.breaks(Violation::TwoChangesAtOnce);
    settled && usize::from(appended) + 1 < settings.plan.len()
}

/// Whether the lease may be handed to this node, as far as the configuration is concerned.
#[must_use]
pub(crate) fn may_hand_over(settings: &Settings, leader: &Node, to: NodeId) -> bool {
    let settled = leader.config == leader.log.changes(leader.log.length());
    let lasting = settings.voters(leader.config).keeps(to);
    (settled || settings.breaks(Violation::TransferDuringChange))
        && (lasting || settings.breaks(Violation::TransferToLearner))
}

/// Changes of the configuration that a node still knows to be in force after a restart: the one
/// before the last in its log was known to be committed when the last arrived, and was made
/// durable with it.
#[must_use]
pub(crate) fn changes_remembered(settings: &Settings, node: &Node) -> u8 {
    let durable = node.log.changes(node.log.length()).saturating_sub(1);
    if settings.breaks(Violation::ChangeForgottenAtRestart) { 0 } else { node.config.min(durable) }
}

/// The fewest changes that a message of this leader's term can say are committed, if the log up to
/// its last entry has `changes`: a change is appended only when the one before is committed.
#[must_use]
pub(crate) fn least_known(settings: &Settings, record: &TermRecord, changes: u8) -> u8 {
    let known = record.knew.min(changes);
    let one_at_a_time = !settings.breaks(Violation::TwoChangesAtOnce);
    if one_at_a_time { known.max(changes.saturating_sub(1)) } else { known }
}

/// Whether the votes of these nodes make a leader.
#[must_use]
pub(crate) fn elects(settings: &Settings, voters: Voters, nodes: Nodes) -> bool {
    match settings.violation {
        Some(Violation::ElectedByOldWhileJoint) if voters.is_joint() => {
            is_majority(voters.outgoing, nodes)
        }
        Some(Violation::ElectedByNewWhileJoint) => is_majority(voters.incoming, nodes),
        Some(Violation::VoteCountedOfRemoved) => {
            nodes.count_ones() > voters.incoming.count_ones() / 2
        }
        _ => voters.has_quorum(nodes),
    }
}

/// Whether an entry that these nodes have is committed.
#[must_use]
pub(crate) fn commits(settings: &Settings, voters: Voters, nodes: Nodes) -> bool {
    match settings.violation {
        Some(Violation::CommittedByOldWhileJoint) if voters.is_joint() => {
            is_majority(voters.outgoing, nodes)
        }
        Some(Violation::CommittedByNewWhileJoint) => is_majority(voters.incoming, nodes),
        _ => voters.has_quorum(nodes),
    }
}

/// Whether the promises of these nodes, the leader among them, make a lease.
fn supports(settings: &Settings, voters: Voters, leader: NodeId, nodes: Nodes) -> bool {
    let majority = voters.incoming.count_ones() / 2;
    match settings.violation {
        Some(Violation::OldQuorumWhileJoint) if voters.is_joint() => {
            is_majority(voters.outgoing, nodes)
        }
        Some(Violation::NewQuorumWhileJoint) => is_majority(voters.incoming, nodes),
        Some(Violation::LearnerGrants) => nodes.count_ones() > majority,
        Some(Violation::RemovedLeaderCounts) => {
            (voters.incoming & nodes | bit(leader)).count_ones() > majority
        }
        Some(Violation::CountAnswersNotVoters) => nodes.count_ones() + 1 > majority,
        _ => voters.has_quorum(nodes),
    }
}

/// Whether a beat at `epoch` is answered with a promise.
#[must_use]
pub(crate) fn may_promise(settings: &Settings, given: Given, epoch: u8) -> bool {
    // To lapse and to be withdrawn are one to whoever reads a promise.
    let renewed = given.lapsed && settings.breaks(Violation::RenewLapsed);
    let withdrawn = given.ends == 0 && !renewed && !settings.breaks(Violation::RegrantWithdrawn);
    epoch > given.epoch || (epoch == given.epoch && !withdrawn)
}

/// Whether a promise that lapses is withdrawn with a step of its own. Unless that rule is broken
/// the two states behave alike.
#[must_use]
fn lapses_first(settings: &Settings) -> bool {
    !settings.reduce || settings.breaks(Violation::RenewLapsed)
}

/// When a promise ends for the node that receives it, on its clock.
#[must_use]
pub(crate) fn promise_ends(settings: &Settings, state: &State, promise: Promise) -> Time {
    let start = if settings.breaks(Violation::CountFromReceipt) {
        state.clock(promise.to)
    } else {
        promise.sent
    };
    let window = if settings.breaks(Violation::OwnWindow) {
        settings.windows[usize::from(promise.to)]
    } else {
        settings.windows[usize::from(promise.from)]
    };
    let margin = if settings.breaks(Violation::NoDriftMargin) { 0 } else { settings.margin };
    (start + window).saturating_sub(margin)
}

/// The part of a promise that its worth depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Who promised.
    pub(crate) from: NodeId,
    /// Who received it.
    pub(crate) to: NodeId,
    /// When the receiver asked, on its clock.
    pub(crate) sent: Time,
}

/// Whether the leader counts this promise as still running.
fn counts(settings: &Settings, state: &State, leader: NodeId, promise: Received) -> bool {
    let clock = state.clock(leader);
    clock < promise.ends || (clock == promise.ends && settings.breaks(Violation::InclusiveEnd))
}

/// Whether the leader knows that this follower is fortified for its term and present epoch, by a
/// supporter that has not been restarted since, whose promise is running.
fn fortified_for(settings: &Settings, state: &State, leader: NodeId, follower: NodeId) -> bool {
    let node = state.node(leader);
    let Role::Leader(leadership) = node.role else { return false };
    let Some(promise) = node.received[usize::from(follower)] else { return false };
    let answer = leadership.answers[usize::from(follower)];
    let epoch = answer.epoch == node.epoch || settings.breaks(Violation::IgnoreEpoch);
    let incarnation =
        answer.incarnation == promise.incarnation || settings.breaks(Violation::IgnoreIncarnation);
    answer.epoch > 0 && epoch && incarnation && counts(settings, state, leader, promise)
}

/// Whether this node leads, and has applied its own lease record or need not.
fn leads_with_record(settings: &Settings, state: &State, id: NodeId) -> bool {
    let node = state.node(id);
    let Role::Leader(leadership) = node.role else { return false };
    let applied = node.log.prefix(leadership.applied).last_term() == node.term;
    !leadership.given_up && (applied || settings.breaks(Violation::ReadBeforeRecord))
}

/// Whether this node believes that it holds the shard's lease.
#[must_use]
pub(crate) fn holds(settings: &Settings, state: &State, id: NodeId) -> bool {
    leads_with_record(settings, state, id)
        && (is_supported(settings, state, id) || counts_cached_end(settings, state, id))
}

/// Whether a quorum of the voters, in the configuration that is in force at this leader, is
/// fortified for it.
fn is_supported(settings: &Settings, state: &State, id: NodeId) -> bool {
    let fortified = settings.others(id).filter(|&other| fortified_for(settings, state, id, other));
    let nodes = fortified.fold(bit(id), |nodes, other| nodes | bit(other));
    supports(settings, settings.voters(state.node(id).config), id, nodes)
}

/// Whether this leader counts on an end of its lease that it found in an earlier configuration.
fn counts_cached_end(settings: &Settings, state: &State, id: NodeId) -> bool {
    let Role::Leader(leadership) = state.node(id).role else { return false };
    settings.breaks(Violation::LeaseEndNotRechecked) && state.clock(id) < leadership.cached
}

/// Lets each leader cache the end of its lease, where the end can outlive the configuration.
fn cache_ends(settings: &Settings, state: &mut State) {
    if !settings.breaks(Violation::LeaseEndNotRechecked) {
        return;
    }
    for id in settings.ids() {
        let (view, clock) = (*state, state.clock(id));
        let ends = view.node(id).received.iter().flatten().map(|promise| promise.ends).min();
        let supported = is_supported(settings, &view, id);
        let Role::Leader(leadership) = &mut state.node_mut(id).role else { continue };
        if leadership.cached <= clock {
            leadership.cached = 0;
        }
        // The earliest end of all is no later than that of any quorum.
        if let (true, Some(end)) = (supported, ends) {
            leadership.cached = leadership.cached.max(end);
        }
    }
}

/// Whether this node would answer a read from its own state.
#[must_use]
pub(crate) fn serves(settings: &Settings, state: &State, id: NodeId) -> bool {
    if settings.breaks(Violation::ReadWithoutLease) {
        return leads_with_record(settings, state, id);
    }
    holds(settings, state, id)
}

/// Whether a candidate's log, as its request describes it, is at least as new as the voter's, or as
/// what the voter remembers of it.
#[must_use]
pub(crate) fn up_to_date(request: Request, voter: &Node) -> bool {
    (request.last_term, request.length) >= voter.end()
}

/// Clears what can't matter any more, so that states that behave alike are alike: promises and
/// bonds that ran out, bans that are over, messages that nobody would heed.
pub(crate) fn forget(settings: &Settings, state: &mut State) {
    forget_promises(settings, state);
    cache_ends(settings, state);
    if settings.reduce {
        forget_messages(settings, state);
        forget_terms(settings, state);
        forget_elections(settings, state);
    }
}

/// What runs out does so here: a promise that ended has lapsed.
fn forget_promises(settings: &Settings, state: &mut State) {
    for id in settings.ids() {
        let clock = state.clock(id);
        let view = *state;
        let node = state.node_mut(id);
        for given in &mut node.given {
            if given.ends > 0 && given.ends <= clock {
                (given.ends, given.lapsed) = (0, lapses_first(settings));
            }
        }
        for received in &mut node.received {
            *received = received.filter(|&promise| counts(settings, &view, id, promise));
        }
        if node.banned <= clock {
            node.banned = 0;
        }
        let bond = bond(state, id);
        state.node_mut(id).fortified = bond;
    }
}

/// Clears beats and promises that would change nothing when they arrive.
fn forget_messages(settings: &Settings, state: &mut State) {
    let view = *state;
    for place in &mut state.flight {
        *place = place.filter(|&message| heeded(settings, &view, message));
    }
    state.sort_flight();
}

/// Clears requests for votes and logs that nobody could accept any more.
fn forget_terms(settings: &Settings, state: &mut State) {
    if settings.breaks(Violation::VoteBeforePersisted) {
        return;
    }
    let nodes = state.nodes;
    for (term, record) in (0..).zip(&mut state.terms) {
        let open = |node: &Node| node.term < term || (node.term == term && !node.voted);
        for (candidate, request) in (0..).zip(&mut record.requests) {
            *request = request.filter(|request| {
                let mut voters = asked(settings, candidate, *request);
                voters.any(|id| open(&nodes[usize::from(id)]))
            });
        }
        if settings.ids().all(|id| nodes[usize::from(id)].term > term) {
            record.leader = None;
            record.log = Log::default();
            (record.knew, record.knows, record.in_force) = (0, 0, 0);
        }
    }
    for node in &mut state.nodes {
        let epoch = node.epoch;
        let Role::Leader(leadership) = &mut node.role else { continue };
        for answer in &mut leadership.answers {
            if answer.epoch < epoch && !settings.breaks(Violation::IgnoreEpoch) {
                (answer.epoch, answer.incarnation) = (0, 0);
            }
            if answer.matched < leadership.applied {
                answer.matched = 0;
            }
        }
    }
}

/// Once no campaign can begin, clears what only matters to campaigns and to future leaders.
fn forget_elections(settings: &Settings, state: &mut State) {
    if state.campaigns < settings.campaigns {
        return;
    }
    let voting = state.terms.iter().any(|term| term.requests.iter().any(Option::is_some));
    let hopeless = state.nodes.map(|node| node.role == Role::Follower);
    for (node, hopeless) in state.nodes.iter_mut().zip(hopeless) {
        if hopeless {
            node.received = [None; NODES];
            node.config = 0;
        }
    }
    if voting {
        return;
    }
    for node in &mut state.nodes {
        node.fortified = None;
        node.banned = 0;
        node.voted = true;
        for (given, hopeless) in node.given.iter_mut().zip(hopeless) {
            if hopeless {
                *given = Given::default();
            }
        }
    }
}

/// Whether nothing can go wrong any more: no campaign is under way or can begin, and the only
/// leader, if any, holds the lease. All that can follow is that it serves, and loses the lease.
#[must_use]
pub(crate) fn settled(settings: &Settings, state: &State) -> bool {
    let voting = state.terms.iter().any(|term| term.requests.iter().any(Option::is_some));
    let candidate = state.nodes.iter().any(|node| matches!(node.role, Role::Candidate(_)));
    let leads = |id: &NodeId| matches!(state.node(*id).role, Role::Leader(_));
    let mut leaders = settings.ids().filter(leads);
    let (first, second) = (leaders.next(), leaders.next());
    settings.reduce
        && state.campaigns == settings.campaigns
        && !voting
        && !candidate
        && second.is_none()
        && first.is_none_or(|id| holds(settings, state, id))
}

/// Whether a message could still change its receiver.
fn heeded(settings: &Settings, state: &State, message: Message) -> bool {
    match message {
        Message::Beat { from, to, epoch, sent: _ } => {
            may_promise(settings, state.node(to).given[usize::from(from)], epoch)
        }
        Message::Promise { from, to, epoch, incarnation: _, sent } => {
            let ends = promise_ends(settings, state, Promise { from, to, sent });
            let late = Received { incarnation: 0, ends };
            epoch == state.node(to).epoch && counts(settings, state, to, late)
        }
    }
}

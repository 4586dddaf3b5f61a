//! What must hold in every state, and what must be reachable so that it does not hold vacuously.
//!
//! A read is one instant of the model: clock, check and reading happen together. That loses
//! nothing, because all three happen after the request arrived (R4): a pause between them only
//! makes more writes concurrent with the read. So "no stale read" is a statement about states: in
//! none of them would a node answer a read from less than all the acknowledged writes.

use stateright::Property;

use crate::machine::Machine;
use crate::rules::{holds, serves};
use crate::state::{NodeId, Role, State};

/// What must hold in every state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invariant {
    /// At most one node believes, at any instant of true time, that it holds the lease.
    OneHolder,
    /// No read is answered from a state older than a write acknowledged before it began.
    NoStaleRead,
    /// At most one leader per term.
    OneLeader,
    /// A leader has all entries committed in earlier terms, and commits never contradict.
    CommittedKept,
    /// While a node holds the lease of a term, nobody leads a later term.
    LeaseExcludesLeaders,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::OneHolder,
        Self::NoStaleRead,
        Self::OneLeader,
        Self::CommittedKept,
        Self::LeaseExcludesLeaders,
    ];

    /// The name under which the checker reports it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneHolder => "one holder at a time",
            Self::NoStaleRead => "no stale read",
            Self::OneLeader => "one leader per term",
            Self::CommittedKept => "committed entries are kept",
            Self::LeaseExcludesLeaders => "a lease excludes later leaders",
        }
    }
}

/// A lease is held.
pub const HELD: &str = "a lease is held";
/// A node holds the lease of a later term without having been told to campaign.
pub const FAILOVER: &str = "a failover happened";
/// The node that was told to campaign holds the lease of the next term.
pub const TRANSFERRED: &str = "a transfer succeeded";
/// A leader has fortified followers and no lease, because the promises ran out.
pub const EXPIRED: &str = "a lease was lost by expiry";
/// A leader holds a lease at a raised epoch.
pub const RENEWED: &str = "a lease was regained at a higher epoch";
/// A node that was restarted casts a vote: for itself, as a candidate.
pub const VOTED: &str = "a restarted node voted again";
/// A lease is held in the last configuration.
pub const CHANGED: &str = "a lease is held after all changes";
/// A node leads whose vote was taken.
pub const REMOVED: &str = "a leader was removed";

fn leader_term(state: &State, id: NodeId) -> Option<u8> {
    let node = state.node(id);
    matches!(node.role, Role::Leader(_)).then_some(node.term)
}

fn one_holder(machine: &Machine, state: &State) -> bool {
    machine.settings.ids().filter(|&id| holds(&machine.settings, state, id)).count() <= 1
}

fn no_stale_read(machine: &Machine, state: &State) -> bool {
    let acknowledged = state.committed.writes(state.committed.length());
    machine.settings.ids().all(|id| {
        let node = state.node(id);
        let Role::Leader(leadership) = node.role else { return true };
        !serves(&machine.settings, state, id) || node.log.writes(leadership.applied) >= acknowledged
    })
}

fn committed_kept(machine: &Machine, state: &State) -> bool {
    !state.forked
        && machine.settings.ids().all(|id| {
            leader_term(state, id).is_none_or(|term| {
                term <= state.committed.last_term()
                    || state.node(id).log.begins_with(&state.committed)
            })
        })
}

fn lease_excludes_leaders(machine: &Machine, state: &State) -> bool {
    let newest = machine.settings.ids().filter_map(|id| leader_term(state, id)).max();
    machine
        .settings
        .ids()
        .all(|id| Some(state.node(id).term) >= newest || !holds(&machine.settings, state, id))
}

fn held_in_later_term(machine: &Machine, state: &State, told: bool) -> bool {
    machine.settings.ids().any(|id| {
        let term = state.node(id).term;
        term > 1
            && holds(&machine.settings, state, id)
            && (state.term(term - 1).campaign_now == Some(id)) == told
    })
}

fn lost_by_expiry(_: &Machine, state: &State) -> bool {
    state.nodes.iter().any(|node| {
        let Role::Leader(leadership) = node.role else { return false };
        let had = leadership.answers.iter().any(|answer| answer.epoch == node.epoch);
        let record_applied = node.log.prefix(leadership.applied).last_term() == node.term;
        had && record_applied && !leadership.given_up && node.received.iter().all(Option::is_none)
    })
}

fn regained(machine: &Machine, state: &State) -> bool {
    machine.settings.ids().any(|id| {
        let node = state.node(id);
        node.incarnation == 0 && node.epoch > 1 && holds(&machine.settings, state, id)
    })
}

fn voted_again(_: &Machine, state: &State) -> bool {
    let candidate = |role: Role| matches!(role, Role::Candidate(_));
    state.nodes.iter().any(|node| node.incarnation > 0 && candidate(node.role))
}

fn held_after_changes(machine: &Machine, state: &State) -> bool {
    let settings = &machine.settings;
    let last = |id: NodeId| usize::from(state.node(id).config) + 1 == settings.plan.len();
    settings.ids().any(|id| last(id) && holds(settings, state, id))
}

fn leader_removed(machine: &Machine, state: &State) -> bool {
    let settings = &machine.settings;
    let votes = |id: NodeId| settings.voters(state.node(id).config).contains(id);
    settings.ids().any(|id| leader_term(state, id).is_some() && !votes(id))
}

/// The invariants and the reachable situations, as the checker takes them.
pub(crate) fn properties() -> Vec<Property<Machine>> {
    let invariants = Invariant::ALL.map(|invariant| {
        let condition = match invariant {
            Invariant::OneHolder => one_holder,
            Invariant::NoStaleRead => no_stale_read,
            Invariant::OneLeader => |_: &Machine, state: &State| !state.two_leaders,
            Invariant::CommittedKept => committed_kept,
            Invariant::LeaseExcludesLeaders => lease_excludes_leaders,
        };
        Property::always(invariant.name(), condition)
    });
    let mut all = Vec::from(invariants);
    all.extend([
        Property::sometimes(HELD, |machine: &Machine, state: &State| {
            machine.settings.ids().any(|id| holds(&machine.settings, state, id))
        }),
        Property::sometimes(FAILOVER, |machine, state| held_in_later_term(machine, state, false)),
        Property::sometimes(TRANSFERRED, |machine, state| held_in_later_term(machine, state, true)),
        Property::sometimes(EXPIRED, lost_by_expiry),
        Property::sometimes(RENEWED, regained),
        Property::sometimes(VOTED, voted_again),
        Property::sometimes(CHANGED, held_after_changes),
        Property::sometimes(REMOVED, leader_removed),
    ]);
    all
}

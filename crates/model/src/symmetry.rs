//! States that differ only in the names of interchangeable nodes are one state.
//!
//! [`representative`] renames nodes 1 and 2, or keeps them, whichever gives the smaller state.
//! Node 0 keeps its name: most configurations begin with it as the leader.

use crate::membership::swap;
use crate::state::{Fortified, Message, Node, NodeId, Role, State, TermRecord};

fn rename(id: NodeId) -> NodeId {
    match id {
        1 => 2,
        2 => 1,
        other => other,
    }
}

fn rename_message(message: Message) -> Message {
    match message {
        Message::Beat { from, to, epoch, sent } => {
            Message::Beat { from: rename(from), to: rename(to), epoch, sent }
        }
        Message::Promise { from, to, epoch, incarnation, sent } => {
            Message::Promise { from: rename(from), to: rename(to), epoch, incarnation, sent }
        }
    }
}

fn rename_node(node: &mut Node) {
    node.vote = node.vote.checked_sub(1).map_or(0, |id| rename(id) + 1);
    node.given.swap(1, 2);
    node.received.swap(1, 2);
    node.fortified = node.fortified.map(|bond| Fortified { leader: rename(bond.leader), ..bond });
    match &mut node.role {
        Role::Follower => {}
        Role::Candidate(votes) => *votes = swap(*votes),
        Role::Leader(leadership) => leadership.answers.swap(1, 2),
    }
}

fn rename_term(term: &mut TermRecord) {
    term.requests.swap(1, 2);
    term.leader = term.leader.map(rename);
    term.campaign_now = term.campaign_now.map(rename);
}

/// The one state that stands for `state` and for its mirror image.
#[must_use]
pub(crate) fn representative(state: &State) -> State {
    let mut mirror = *state;
    mirror.nodes.swap(1, 2);
    mirror.nodes.iter_mut().for_each(rename_node);
    mirror.terms.iter_mut().for_each(rename_term);
    for message in mirror.flight.iter_mut().flatten() {
        *message = rename_message(*message);
    }
    mirror.sort_flight();
    mirror.min(*state)
}

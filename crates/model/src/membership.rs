//! Sets of nodes, configurations of the shard's voters, and what is a quorum of one.

use std::fmt;

use crate::state::NodeId;

/// A set of nodes: one bit each.
pub type Nodes = u8;

/// A configuration: who votes. While it is joint there is an outgoing set beside the incoming one,
/// and nothing is decided without a majority of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Voters {
    /// The voters, or while the configuration is joint, the voters to be.
    pub incoming: Nodes,
    /// The voters that were, while the configuration is joint; else nobody.
    pub outgoing: Nodes,
}

impl Voters {
    /// A configuration that is not joint.
    #[must_use]
    pub const fn of(nodes: Nodes) -> Self {
        Self { incoming: nodes, outgoing: 0 }
    }

    /// A joint configuration, from one set to another.
    #[must_use]
    pub const fn joint(outgoing: Nodes, incoming: Nodes) -> Self {
        Self { incoming, outgoing }
    }

    /// Whether there are two sets.
    #[must_use]
    pub fn is_joint(self) -> bool {
        self.outgoing != 0
    }

    /// Whether the node votes.
    #[must_use]
    pub fn contains(self, id: NodeId) -> bool {
        (self.incoming | self.outgoing) & bit(id) != 0
    }

    /// Whether the node still votes when the configuration is joint no more.
    #[must_use]
    pub fn keeps(self, id: NodeId) -> bool {
        self.incoming & bit(id) != 0
    }

    /// Whether these nodes are a quorum: a majority of each set.
    #[must_use]
    pub fn has_quorum(self, nodes: Nodes) -> bool {
        is_majority(self.incoming, nodes) && (!self.is_joint() || is_majority(self.outgoing, nodes))
    }

    /// Whether exchanging nodes 1 and 2 changes nothing.
    pub(crate) fn is_symmetric(self) -> bool {
        swap(self.incoming) == self.incoming && swap(self.outgoing) == self.outgoing
    }
}

impl fmt::Display for Voters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |set: Nodes| {
            let members = (0..Nodes::BITS).filter(|id| set >> id & 1 == 1);
            members.map(|id| format!("n{id}")).collect::<Vec<_>>().join(" ")
        };
        match self.is_joint() {
            true => write!(f, "({}) and ({})", names(self.outgoing), names(self.incoming)),
            false => write!(f, "({})", names(self.incoming)),
        }
    }
}

/// The set of this one node.
#[must_use]
pub(crate) fn bit(id: NodeId) -> Nodes {
    1 << id
}

/// Whether more than half of the set are among the nodes.
#[must_use]
pub(crate) fn is_majority(set: Nodes, nodes: Nodes) -> bool {
    (set & nodes).count_ones() > set.count_ones() / 2
}

/// The set with nodes 1 and 2 exchanged.
#[must_use]
pub(crate) fn swap(nodes: Nodes) -> Nodes {
    (nodes & 0b1001) | (nodes & 0b0010) << 1 | (nodes & 0b0100) >> 1
}

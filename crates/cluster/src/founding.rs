//! Founding a cluster, and coming back to it without one's memory.
//!
//! A node that starts with an empty data directory can't tell by itself whether the cluster is
//! new, or whether the directory was lost. It must not guess: one that votes as if it had never
//! voted can elect a leader that lacks acknowledged writes. (n1 and n2 acknowledge a write while n3
//! is down; both are killed, n2's disk is replaced, n2 and n3 start: a majority that has never
//! heard of the write.) So a blank node takes part in nothing until it has heard from *every*
//! other member, with each beat:
//!
//! - **Founder.** All the others answer to this very directory, and none of them is a founder that
//!   remembers another directory here: the cluster is new, nobody has voted without this node
//!   knowing. It writes down which directories it has seen, and has the replicas that the settings
//!   give it. The settings of all founders must give every shard the same replicas, or two of them
//!   would count different majorities of it: each says what its settings come to, as one number
//!   (the *plan*), and where two differ nobody founds anything until an operator has made them
//!   agree.
//! - **Replacement.** A founder remembers another directory of this node: whatever the node was,
//!   it is so no longer. It has no replicas until the leaders of the shards give it new ones in
//!   the places of the old (see [`crate::raft_group::ReplicaId`] and `shard/repair.rs`). The same
//!   if all the others are replacements: with the last founder its memory is lost.
//!
//! Why a founder is safe: had its node voted in a former directory, the vote would have counted
//! with those of a majority, each of them a founder by then that remembers the former directory;
//! one of them that has lost its memory as well makes two lost disks, and with three replicas
//! that is what no protocol survives. What a blank peer says counts only if it names the directory
//! it says it to, so that nothing old that arrives late can pass for an answer.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use types::{ClusterId, DirectoryId, Incarnation, Life, NodeId};

use crate::bytes_codec::{CodecError, Put, Take};
use crate::io::{Introduction, Membership, Memory, Origin};
use crate::lives::Lives;
use crate::raft_group::ReplicaId;

/// What a node knows about its own beginning and that of its peers.
pub(crate) struct Founding {
    me: NodeId,
    directory: DirectoryId,
    remembered: Remembered,
    peers: BTreeMap<NodeId, Peer>,
    /// Who all of them are, as processes.
    pub(crate) lives: Lives,
    /// Whether it was said that this node founds nothing, although it could.
    declined: bool,
}

#[derive(Clone, Copy)]
struct Peer {
    incarnation: Incarnation,
    introduction: Introduction,
}

/// The part that must outlive a restart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Remembered {
    pub(crate) origin: Origin,
    /// The directories that a founder saw when it became one.
    pub(crate) directories: BTreeMap<NodeId, DirectoryId>,
    /// The newest list of the cluster's nodes that the node has been told.
    pub(crate) membership: Membership,
    /// What a founder has founded, or would found; see [`Settings::plan`].
    pub(crate) plan: u64,
}

impl Founding {
    /// A node that runs on this directory, and what its log says.
    pub(crate) fn new(
        me: NodeId,
        directory: DirectoryId,
        remembered: Remembered,
        lives: Lives,
    ) -> Self {
        let mut founding =
            Self { me, directory, remembered, peers: BTreeMap::new(), lives, declined: false };
        founding.meet_members();
        founding
    }

    /// Forgets who is no member, and expects to hear of those who are.
    fn meet_members(&mut self) {
        let (me, members) = (self.me, &self.remembered.membership);
        self.peers.retain(|node, _| members.contains(*node));
        self.lives.retain(|node| members.contains(node));
        let blank = Peer { incarnation: Incarnation(0), introduction: Introduction::default() };
        for node in members.nodes().filter(|node| *node != me) {
            self.peers.entry(node).or_insert(blank);
        }
    }

    /// The nodes of the cluster, this one among them unless it was removed.
    pub(crate) fn members(&self) -> &Membership {
        &self.remembered.membership
    }

    /// Takes a newer list of the nodes.
    pub(crate) fn set_members(&mut self, membership: Membership) {
        self.remembered.membership = membership;
        self.meet_members();
    }

    /// Whether a peer has said who it is, and is not of another cluster.
    pub(crate) fn is_acquainted(&self, peer: NodeId) -> bool {
        let said = self.peers.get(&peer).filter(|peer| peer.incarnation > Incarnation(0));
        said.is_some_and(|peer| self.is_ours(peer.introduction.cluster))
    }

    /// Whether a node that names this cluster belongs to ours, as far as either knows.
    pub(crate) fn is_ours(&self, cluster: ClusterId) -> bool {
        let own = self.remembered.membership.cluster;
        own == cluster || own == ClusterId(0) || cluster == ClusterId(0)
    }

    pub(crate) fn origin(&self) -> Origin {
        self.remembered.origin
    }

    /// What to tell a peer about this node.
    pub(crate) fn introduction(&self, to: NodeId) -> Introduction {
        let heard = self.peers.get(&to).map(|peer| peer.introduction.directory);
        let known = match self.origin() {
            Origin::Founder => self.remembered.directories.get(&to).copied(),
            Origin::Blank | Origin::Replacement => heard,
        };
        Introduction {
            directory: self.directory,
            origin: self.origin(),
            known: known.unwrap_or_default(),
            cluster: self.remembered.membership.cluster,
            members: self.remembered.membership.version,
            plan: self.remembered.plan,
            began: self.lives.began(),
            remembered: self.lives.memory_of(to),
        }
    }

    /// What a node that has gone back in time is when it begins anew: it has no replicas, and if
    /// the cluster has begun, it founds none.
    pub(crate) fn anew(&self) -> Remembered {
        let origin = match self.origin() {
            Origin::Blank => Origin::Blank,
            Origin::Founder | Origin::Replacement => Origin::Replacement,
        };
        Remembered { origin, directories: BTreeMap::new(), ..self.remembered.clone() }
    }

    /// Whether the node of a replica has told this node what it remembers of it, and accepts its
    /// life.
    pub(crate) fn has_told(&self, replica: ReplicaId) -> bool {
        self.lives.accepts_us(replica.node)
            && self.directory_of(replica.node) == Some(replica.directory)
    }

    /// Whether most nodes of the cluster, this one counted, accept this node's life.
    pub(crate) fn most_have_told(&self) -> bool {
        let tells = |node: &NodeId| *node == self.me || self.lives.accepts_us(*node);
        let nodes = self.members().nodes();
        let (told, all) =
            nodes.fold((0, 0), |(told, all), node| (told + usize::from(tells(&node)), all + 1));
        told > all / 2
    }

    /// A peer has introduced itself.
    pub(crate) fn hear(&mut self, from: NodeId, incarnation: Incarnation, said: Introduction) {
        if let Some(peer) = self.peers.get_mut(&from)
            && incarnation >= peer.incarnation
        {
            *peer = Peer { incarnation, introduction: said };
        }
    }

    /// What a blank node is, once that is certain. It counts when it is durable, see
    /// [`Founding::settle`].
    pub(crate) fn decide(&self) -> Option<Remembered> {
        if self.origin() != Origin::Blank {
            return None;
        }
        let decided = |origin, directories| {
            Some(Remembered { origin, directories, ..self.remembered.clone() })
        };
        let replacement = || decided(Origin::Replacement, BTreeMap::new());
        let said = || self.peers.values().map(|peer| peer.introduction);
        let founders = || said().filter(|it| it.origin == Origin::Founder);
        if founders().any(|it| it.known != self.directory) {
            return replacement();
        }
        let began =
            |it: &Introduction| it.origin == Origin::Replacement && it.cluster != ClusterId(0);
        if founders().next().is_none() && said().any(|it| began(&it)) {
            // The cluster has begun, and whoever founded it is away or gone: this node joins.
            return replacement();
        }
        // A list of a cluster that has begun, without anybody else on it, founds nothing.
        let alone = self.peers.is_empty() && self.remembered.membership.cluster != ClusterId(0);
        if alone || !said().all(|it| it.known == self.directory) {
            return None;
        }
        let replacements = said().filter(|it| it.origin == Origin::Replacement).count();
        if replacements > 0 && founders().next().is_none() {
            // With the last founder's directory its memory is lost; but where all the others have
            // come back to a cluster there is one. A blank peer may be about to found it with us.
            return if replacements == self.peers.len() { replacement() } else { None };
        }
        if !self.disagreeing().is_empty() {
            return None;
        }
        let seen = self.peers.iter().map(|(node, peer)| (*node, peer.introduction.directory));
        decided(Origin::Founder, seen.collect())
    }

    /// Whether another node has founded the cluster already, so that this one only goes along.
    pub(crate) fn follows_founders(&self) -> bool {
        self.peers.values().any(|peer| peer.introduction.origin == Origin::Founder)
    }

    /// This node could found a cluster and is not to. Says whether that is news.
    pub(crate) fn declines(&mut self) -> bool {
        !core::mem::replace(&mut self.declined, true)
    }

    /// The nodes with which this one can't found a cluster: their settings place the shards'
    /// replicas otherwise.
    pub(crate) fn disagreeing(&self) -> Vec<NodeId> {
        let plan = self.remembered.plan;
        let differs = |it: &Introduction| {
            it.origin != Origin::Replacement && it.known == self.directory && it.plan != plan
        };
        let peers = self.peers.iter().filter(|(_, peer)| differs(&peer.introduction));
        peers.map(|(node, _)| *node).collect()
    }

    /// What [`Founding::decide`] said is durable.
    pub(crate) fn settle(&mut self, decided: Remembered) {
        let Remembered { origin, directories, membership: _, plan: _ } = decided;
        self.remembered.origin = origin;
        self.remembered.directories = directories;
    }

    /// What must outlive a restart.
    pub(crate) fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// The directory by which this node's replicas go; `None` while it is blank.
    pub(crate) fn own_directory(&self) -> Option<DirectoryId> {
        in_replicas(self.origin(), self.directory)
    }

    /// The directory by which a peer's replicas go now, as far as it has said.
    pub(crate) fn directory_of(&self, peer: NodeId) -> Option<DirectoryId> {
        let said = self.peers.get(&peer)?.introduction;
        in_replicas(said.origin, said.directory)
    }

    /// The same of a peer that has not said so since this node started, by what is remembered of
    /// it. Only founders know which directories the founders had.
    pub(crate) fn remembered_directory_of(&self, peer: NodeId) -> Option<DirectoryId> {
        let memory = self.lives.memory_of(peer);
        let founders = &self.remembered.directories;
        if memory.life == Life(0) || founders.is_empty() {
            return None;
        }
        let is_founders = founders.get(&peer) == Some(&memory.directory);
        Some(if is_founders { DirectoryId::FOUNDING } else { memory.directory })
    }

    /// Whether a peer knows a newer list of the nodes: it will tell.
    pub(crate) fn awaits_members(&self) -> bool {
        let own = self.remembered.membership.version;
        self.peers.values().any(|peer| peer.introduction.members > own)
    }

    /// Whether this node knows into which shards the data are cut. Its settings say so to a founder
    /// only.
    pub(crate) fn knows_cut(&self) -> bool {
        match self.origin() {
            Origin::Blank => false,
            Origin::Founder => true,
            Origin::Replacement => self.remembered.membership.cluster != ClusterId(0),
        }
    }

    /// The members that a blank node waits for.
    pub(crate) fn awaited(&self) -> Vec<NodeId> {
        let silent = |(_, peer): &(&NodeId, &Peer)| peer.introduction.known != self.directory;
        self.peers.iter().filter(silent).map(|(node, _)| *node).collect()
    }
}

/// Founders go by one and the same number, so that the first configuration is the same everywhere.
pub(crate) fn in_replicas(origin: Origin, directory: DirectoryId) -> Option<DirectoryId> {
    match origin {
        Origin::Blank => None,
        Origin::Founder => Some(DirectoryId::FOUNDING),
        Origin::Replacement => Some(directory),
    }
}

impl Remembered {
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        self.origin.encode(into);
        into.put_len(self.directories.len());
        for (node, directory) in &self.directories {
            into.put_u32(node.0);
            into.put_u32(directory.0);
        }
        self.membership.encode(into);
        into.put_u64(self.plan);
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        let origin = Origin::decode(from)?;
        let count = from.len(types::limits::NODES_MAX)?;
        let mut directories = BTreeMap::new();
        for _ in 0..count {
            directories.insert(NodeId(from.u32()?), DirectoryId(from.u32()?));
        }
        let (membership, plan) = (Membership::decode(from)?, from.u64()?);
        Ok(Self { origin, directories, membership, plan })
    }
}

impl Introduction {
    pub(crate) fn encode(self, into: &mut Vec<u8>) {
        into.put_u32(self.directory.0);
        self.origin.encode(into);
        into.put_u32(self.known.0);
        into.put_u64(self.cluster.0);
        into.put_u64(self.members);
        into.put_u64(self.plan);
        into.put_u64(self.began);
        self.remembered.encode(into);
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            directory: DirectoryId(from.u32()?),
            origin: Origin::decode(from)?,
            known: DirectoryId(from.u32()?),
            cluster: ClusterId(from.u64()?),
            members: from.u64()?,
            plan: from.u64()?,
            began: from.u64()?,
            remembered: Memory::decode(from)?,
        })
    }
}

impl Origin {
    pub(crate) fn encode(self, into: &mut Vec<u8>) {
        into.put_u8(match self {
            Self::Blank => 0,
            Self::Founder => 1,
            Self::Replacement => 2,
        });
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        Ok(match from.u8()? {
            0 => Self::Blank,
            1 => Self::Founder,
            2 => Self::Replacement,
            3..=u8::MAX => return Err(CodecError("a known origin of a node")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lives::Start;
    use crate::member::Member;
    use crate::planted::Plantings;

    const OLD: Incarnation = Incarnation(1);
    const NEW: Incarnation = Incarnation(9);

    fn blank(node: u32, directory: u32) -> Founding {
        let members: Vec<Member> =
            (1..=3).map(|node| Member::new(NodeId(node), "h", 1, 2)).collect();
        let membership = Membership::of_settings(&members, 16);
        let remembered = Remembered { membership, ..Remembered::default() };
        let start = Start { directory: DirectoryId(directory), ..Start::default() };
        let lives = Lives::new(&start, BTreeMap::new(), Plantings::default());
        Founding::new(NodeId(node), start.directory, remembered, lives)
    }

    fn tell(from: (u32, &Founding), (to, hearer): (u32, &mut Founding)) {
        hearer.hear(NodeId(from.0), OLD, from.1.introduction(NodeId(to)));
    }

    fn settle(node: &mut Founding) -> Origin {
        if let Some(decided) = node.decide() {
            node.settle(decided);
        }
        node.origin()
    }

    /// Everybody hears everybody, twice: the second time with an answer.
    fn meet(nodes: &mut [Founding; 3], incarnations: [Incarnation; 3]) {
        for _ in 0..2 {
            for from in 0..3 {
                for to in 0..3 {
                    if from != to {
                        let node = NodeId(from as u32 + 1);
                        let said = nodes[from].introduction(NodeId(to as u32 + 1));
                        nodes[to].hear(node, incarnations[from], said);
                    }
                }
            }
        }
    }

    #[test]
    fn blank_nodes_found_a_cluster_once_all_have_met() {
        let mut nodes = [blank(1, 11), blank(2, 12), blank(3, 13)];
        assert_eq!(settle(&mut nodes[0]), Origin::Blank, "nobody has answered");
        meet(&mut nodes, [OLD; 3]);
        for node in &mut nodes {
            assert_eq!(settle(node), Origin::Founder);
            assert_eq!(node.own_directory(), Some(DirectoryId::FOUNDING));
        }
    }

    #[test]
    fn one_missing_member_is_waited_for() {
        let (mut one, mut two) = (blank(1, 11), blank(2, 12));
        for _ in 0..2 {
            tell((1, &one), (2, &mut two));
            tell((2, &two), (1, &mut one));
        }
        assert_eq!(settle(&mut one), Origin::Blank);
        assert_eq!(one.awaited(), [NodeId(3)]);
    }

    #[test]
    fn a_node_that_lost_its_directory_is_a_replacement() {
        let mut nodes = [blank(1, 11), blank(2, 12), blank(3, 13)];
        meet(&mut nodes, [OLD; 3]);
        nodes.iter_mut().for_each(|node| assert_eq!(settle(node), Origin::Founder));
        nodes[1] = blank(2, 22);
        meet(&mut nodes, [OLD, NEW, OLD]);
        assert_eq!(settle(&mut nodes[1]), Origin::Replacement);
        assert_eq!(nodes[0].directory_of(NodeId(2)), None, "it has not said so yet");
        meet(&mut nodes, [OLD, NEW, OLD]);
        assert_eq!(nodes[0].directory_of(NodeId(2)), Some(DirectoryId(22)));
    }

    #[test]
    fn nodes_whose_settings_come_to_something_else_found_nothing_together() {
        let mut nodes = [blank(1, 11), blank(2, 12), blank(3, 13)];
        nodes[2].remembered.plan = 7;
        meet(&mut nodes, [OLD; 3]);
        for node in &mut nodes {
            assert_eq!(settle(node), Origin::Blank);
        }
        assert_eq!(nodes[0].disagreeing(), [NodeId(3)]);
        assert_eq!(nodes[2].disagreeing(), [NodeId(1), NodeId(2)]);
        nodes[2].remembered.plan = 0;
        meet(&mut nodes, [OLD; 3]);
        assert_eq!(settle(&mut nodes[0]), Origin::Founder);
        nodes[1].remembered.plan = 7;
        meet(&mut nodes, [OLD; 3]);
        assert_eq!(settle(&mut nodes[1]), Origin::Blank, "it was changed after the first founded");
    }

    #[test]
    fn a_node_that_joins_needs_no_equal_settings() {
        let mut nodes = [blank(1, 11), blank(2, 12), blank(3, 13)];
        meet(&mut nodes, [OLD; 3]);
        nodes.iter_mut().for_each(|node| assert_eq!(settle(node), Origin::Founder));
        nodes[1] = blank(2, 22);
        nodes[1].remembered.plan = 7;
        meet(&mut nodes, [OLD, NEW, OLD]);
        assert_eq!(settle(&mut nodes[1]), Origin::Replacement);
    }

    #[test]
    fn what_was_said_to_a_former_directory_founds_nothing() {
        let mut nodes = [blank(1, 11), blank(2, 12), blank(3, 13)];
        meet(&mut nodes, [OLD; 3]);
        let late = [0, 2].map(|from: usize| nodes[from].introduction(NodeId(2)));
        let mut again = blank(2, 22);
        again.hear(NodeId(1), OLD, late[0]);
        again.hear(NodeId(3), OLD, late[1]);
        assert_eq!(settle(&mut again), Origin::Blank);
    }

    #[test]
    fn a_directory_lost_before_its_node_was_a_founder_counts_as_lost() {
        let mut nodes = [blank(1, 11), blank(2, 12), blank(3, 13)];
        meet(&mut nodes, [OLD; 3]);
        assert_eq!(settle(&mut nodes[0]), Origin::Founder);
        nodes[1] = blank(2, 22);
        meet(&mut nodes, [OLD, NEW, OLD]);
        assert_eq!(settle(&mut nodes[1]), Origin::Replacement);
        meet(&mut nodes, [OLD, NEW, OLD]);
        assert_eq!(settle(&mut nodes[2]), Origin::Founder, "the first founder remembers it");
    }

    #[test]
    fn disks_replaced_one_after_the_other_leave_no_node_blank() {
        let mut nodes = [blank(1, 11), blank(2, 12), blank(3, 13)];
        meet(&mut nodes, [OLD; 3]);
        nodes.iter_mut().for_each(|node| assert_eq!(settle(node), Origin::Founder));
        let mut incarnations = [OLD; 3];
        for at in 0..3 {
            nodes[at] = blank(at as u32 + 1, at as u32 + 21);
            incarnations[at] = NEW;
            meet(&mut nodes, incarnations);
            assert_eq!(settle(&mut nodes[at]), Origin::Replacement);
            meet(&mut nodes, incarnations);
        }
    }

    #[test]
    fn it_is_remembered_over_a_restart() {
        let mut nodes = [blank(1, 11), blank(2, 12), blank(3, 13)];
        meet(&mut nodes, [OLD; 3]);
        settle(&mut nodes[0]);
        let mut bytes = Vec::new();
        nodes[0].remembered().encode(&mut bytes);
        let again = Remembered::decode(&mut Take::new(&bytes)).expect("it was just encoded");
        assert_eq!(&again, nodes[0].remembered());
        assert_eq!(again.directories[&NodeId(3)], DirectoryId(13));
    }
}

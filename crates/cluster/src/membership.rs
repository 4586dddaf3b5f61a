//! The list of the cluster's nodes: its form, and how it spreads.
//!
//! The list is decided in the system shard's log (see `manager`). From there it spreads from node
//! to node: each beat says which version its sender knows, and whoever knows a newer one tells it.
//! A node writes it down, so that it finds its cluster again after a restart even if nobody of
//! those is left whom its settings name.

use alloc::string::ToString;
use alloc::vec::Vec;

use types::limits::{NODES_MAX, SHARDS_MAX};
use types::{ClusterId, NodeId};

use crate::bytes_codec::{CodecError, Put, Take};
use crate::io::Membership;
use crate::member::Member;

/// Longest text of one member.
const MEMBER_BYTES_MAX: usize = 1024;

impl Membership {
    /// The list that the settings name, before anybody has told another.
    #[must_use]
    pub fn of_settings(members: &[Member], shards: u16) -> Self {
        Self { cluster: ClusterId(0), version: 0, shards, members: members.to_vec() }
    }

    /// A member by its number.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<&Member> {
        let at = self.members.binary_search_by_key(&node, |member| member.node).ok()?;
        self.members.get(at)
    }

    /// Whether the node is a member.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.get(node).is_some()
    }

    /// The members' numbers in ascending order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.members.iter().map(|member| member.node)
    }

    /// Adds a member, or puts it in the place of the one of the same number.
    pub(crate) fn put(&mut self, member: Member) {
        match self.members.binary_search_by_key(&member.node, |known| known.node) {
            Ok(at) => self.members[at] = member,
            Err(at) => self.members.insert(at, member),
        }
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.put_u64(self.cluster.0);
        into.put_u64(self.version);
        into.put_u16(self.shards);
        into.put_len(self.members.len());
        for member in &self.members {
            into.put_bytes(member.to_string().as_bytes());
        }
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        let (cluster, version) = (ClusterId(from.u64()?), from.u64()?);
        let shards = from.u16()?;
        if usize::from(shards) > SHARDS_MAX {
            return Err(CodecError("a number of shards within its limit"));
        }
        let count = from.len(NODES_MAX)?;
        let mut members: Vec<Member> = Vec::new();
        for _ in 0..count {
            let text = from.text(MEMBER_BYTES_MAX)?;
            let member: Member = text.parse().map_err(|_| CodecError("a member of a cluster"))?;
            if members.last().is_some_and(|last| last.node >= member.node) {
                return Err(CodecError("members in ascending order"));
            }
            members.push(member);
        }
        Ok(Self { cluster, version, shards, members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_as_it_was_written() {
        let member = |text: &str| text.parse().expect("a member");
        let members = alloc::vec![member("1=h:1:2"), member("7=h:1:2;role=manager;name=x")];
        let list = Membership { cluster: ClusterId(9), version: 3, shards: 16, members };
        let mut bytes = Vec::new();
        list.encode(&mut bytes);
        assert_eq!(Membership::decode(&mut Take::new(&bytes)), Ok(list.clone()));
        assert!(list.contains(NodeId(7)) && !list.contains(NodeId(2)));
        for cut in 0..bytes.len() {
            assert!(Membership::decode(&mut Take::new(&bytes[..cut])).is_err());
        }
    }

    #[test]
    fn a_member_takes_its_place() {
        let mut list = Membership::default();
        for text in ["3=h:1:2", "1=h:1:2", "2=h:1:2", "1=other:1:2"] {
            list.put(text.parse().expect("a member"));
        }
        assert_eq!(list.nodes().collect::<Vec<_>>(), [NodeId(1), NodeId(2), NodeId(3)]);
        assert_eq!(list.get(NodeId(1)).map(|it| it.host.as_str()), Some("other"));
    }
}

//! What the Lease Manager must remember: the cluster's members, what is expected of them, and what
//! operators have ordered. It is one value in the system shard's data, so the shard's log decides
//! about every change, and catch-ups, checkpoints and recovery are those of any shard.
//!
//! Only the active manager proposes changes, each a whole new state made from the last one; a
//! manager that has lost its lease can't propose, so two can't overwrite each other.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use placement::{Duty, Pin, Policy};
use types::limits::{NAME_BYTES_MAX, SHARDS_MAX};
use types::{NodeId, ShardId};

use crate::bytes_codec::{CodecError, Put, Take};
use crate::io::Membership;

/// The key under which the state lies in the system shard. Its tag is one that belongs to the first
/// slot, the only one that the system shard has.
pub(crate) const KEY: &[u8] = b"{06S}control";
/// The version of the form.
const VERSION: u8 = 1;
/// Most numbers of removed nodes that are remembered; no node is removed beyond that.
pub(crate) const REMOVED_MAX: usize = 4096;

/// The replicated state of the Lease Manager.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Control {
    /// Counts the states.
    pub(crate) revision: u64,
    pub(crate) membership: Membership,
    /// Nodes of which something else than full duty is expected.
    pub(crate) duties: BTreeMap<NodeId, Duty>,
    pub(crate) pins: BTreeMap<ShardId, Pin>,
    pub(crate) frozen: bool,
    pub(crate) policy: Policy,
    /// Numbers that are never given again: what such a node promised may still be on its way.
    pub(crate) removed: BTreeSet<NodeId>,
}

impl Control {
    /// What is expected of a node.
    pub(crate) fn duty(&self, node: NodeId) -> Duty {
        self.duties.get(&node).copied().unwrap_or_default()
    }

    /// Takes a node from the list for good.
    pub(crate) fn remove(&mut self, node: NodeId) {
        self.membership.members.retain(|member| member.node != node);
        self.membership.version += 1;
        self.duties.remove(&node);
        self.removed.insert(node);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut into = Vec::new();
        into.put_u8(VERSION);
        into.put_u64(self.revision);
        self.membership.encode(&mut into);
        into.put_len(self.duties.len());
        for (node, duty) in &self.duties {
            into.put_u32(node.0);
            into.put_u8(match duty {
                Duty::Full => 0,
                Duty::NoLeases => 1,
                Duty::Leaving => 2,
            });
        }
        into.put_len(self.pins.len());
        for (shard, pin) in &self.pins {
            into.put_u32(shard.0);
            put_pin(pin, &mut into);
        }
        into.put_u8(u8::from(self.frozen));
        put_policy(&self.policy, &mut into);
        into.put_len(self.removed.len());
        for node in &self.removed {
            into.put_u32(node.0);
        }
        into
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let from = &mut Take::new(bytes);
        if from.u8()? != VERSION {
            return Err(CodecError("a known version of the manager's state"));
        }
        let revision = from.u64()?;
        let membership = Membership::decode(from)?;
        let mut control = Self { revision, membership, ..Self::default() };
        for _ in 0..from.len(types::limits::NODES_MAX)? {
            let node = NodeId(from.u32()?);
            let duty = match from.u8()? {
                0 => Duty::Full,
                1 => Duty::NoLeases,
                2 => Duty::Leaving,
                3..=u8::MAX => return Err(CodecError("a known duty of a node")),
            };
            control.duties.insert(node, duty);
        }
        for _ in 0..from.len(SHARDS_MAX)? {
            let shard = ShardId(from.u32()?);
            control.pins.insert(shard, take_pin(from)?);
        }
        control.frozen = from.u8()? != 0;
        take_policy(&mut control.policy, from)?;
        for _ in 0..from.len(REMOVED_MAX)? {
            control.removed.insert(NodeId(from.u32()?));
        }
        from.end()?;
        Ok(control)
    }
}

fn put_pin(pin: &Pin, into: &mut Vec<u8>) {
    match pin {
        Pin::Node(node) => {
            into.put_u8(0);
            into.put_u32(node.0);
        }
        Pin::Zone { region, zone } => {
            into.put_u8(1);
            into.put_bytes(region.as_bytes());
            into.put_bytes(zone.as_bytes());
        }
    }
}

fn take_pin(from: &mut Take<'_>) -> Result<Pin, CodecError> {
    Ok(match from.u8()? {
        0 => Pin::Node(NodeId(from.u32()?)),
        1 => Pin::Zone {
            region: String::from(from.text(NAME_BYTES_MAX)?),
            zone: String::from(from.text(NAME_BYTES_MAX)?),
        },
        2..=u8::MAX => return Err(CodecError("a known kind of pin")),
    })
}

/// The settings by name, so that another version of the program can have more or fewer.
fn put_policy(policy: &Policy, into: &mut Vec<u8>) {
    into.put_len(Policy::SETTINGS.len());
    for (setting, value) in Policy::SETTINGS.iter().zip(policy.numbers()) {
        into.put_bytes(setting.name.as_bytes());
        into.put_u64(value.to_bits());
    }
}

fn take_policy(policy: &mut Policy, from: &mut Take<'_>) -> Result<(), CodecError> {
    for _ in 0..from.len(4 * Policy::SETTINGS.len())? {
        let name = from.text(NAME_BYTES_MAX)?;
        let value = f64::from_bits(from.u64()?);
        // A setting that is gone, or whose range is another one now, has its default.
        let _ = policy.set(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Member;

    fn example() -> Control {
        let members = [Member::new(NodeId(1), "a", 1, 2), Member::new(NodeId(2), "b", 1, 2)];
        let zone = Pin::Zone { region: "eu".into(), zone: "a".into() };
        let mut policy = Policy::default();
        policy.set("calm", 0.25).expect("a setting");
        Control {
            revision: 7,
            membership: Membership { version: 4, ..Membership::of_settings(&members, 16) },
            duties: [(NodeId(2), Duty::Leaving), (NodeId(1), Duty::NoLeases)].into(),
            pins: [(ShardId(3), Pin::Node(NodeId(1))), (ShardId(4), zone)].into(),
            frozen: true,
            policy,
            removed: [NodeId(9)].into(),
        }
    }

    #[test]
    fn the_key_lies_in_the_system_shards_slot() {
        assert_eq!(resp::slot_of(KEY), crate::settings::SYSTEM_RANGE.first());
    }

    #[test]
    fn it_is_read_back_as_it_was_written() {
        let bytes = example().encode();
        assert_eq!(Control::decode(&bytes), Ok(example()));
        for cut in 0..bytes.len() {
            assert!(Control::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}

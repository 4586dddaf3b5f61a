//! A change of the replicas as it stands in an entry.

use alloc::vec::Vec;

use bytes::Bytes;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};

use crate::bytes_codec::{CodecError, Take};

/// Reads what the engine writes for a change of the replicas: protobuf, of which only three
/// fields occur. By hand, because the engine's own parser must not see bytes from a network.
pub(super) fn parse(data: &[u8]) -> Result<ConfChangeV2, CodecError> {
    let mut change = ConfChangeV2::default();
    let mut from = Take::new(data);
    let mut singles = Vec::new();
    while !from.is_empty() {
        match from.var()? {
            0x08 => change.set_transition(match from.var()? {
                0 => ConfChangeTransition::Auto,
                1 => ConfChangeTransition::Implicit,
                2 => ConfChangeTransition::Explicit,
                3..=u64::MAX => return Err(CodecError("a known transition")),
            }),
            0x12 => singles.push(parse_single(from.bytes()?)?),
            0x1a => change.context = Bytes::copy_from_slice(from.bytes()?),
            0..=u64::MAX => return Err(CodecError("a known field of a change of replicas")),
        }
    }
    change.set_changes(singles.into());
    Ok(change)
}

fn parse_single(data: &[u8]) -> Result<ConfChangeSingle, CodecError> {
    let mut single = ConfChangeSingle::default();
    let mut from = Take::new(data);
    while !from.is_empty() {
        match from.var()? {
            0x08 => single.set_change_type(match from.var()? {
                0 => ConfChangeType::AddNode,
                1 => ConfChangeType::RemoveNode,
                2 => ConfChangeType::AddLearnerNode,
                3..=u64::MAX => return Err(CodecError("a known kind of change")),
            }),
            0x10 => single.node_id = from.var()?,
            0..=u64::MAX => return Err(CodecError("a known field of a single change")),
        }
    }
    Ok(single)
}

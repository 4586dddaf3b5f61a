//! The cluster as clients of Redis Cluster see it: nodes with names, and who serves which slots.
//!
//! A node here is a holder of some shards and a replica of others at once, which Redis' clients
//! don't expect. Many keep the first role that they see for a node, so in the lists each holder
//! comes first as the primary of some range without replicas, and then everything else.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use resp::{Protocol, Reply};
use types::{Incarnation, NodeId, Now, SlotRange};

use super::version_index;
use crate::node::{Node, World};
use crate::settings::Settings;

/// Numbers of the hash FNV-1a.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Neighbouring shards with the same holder and the same replicas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) range: SlotRange,
    pub(super) holder: NodeId,
    /// The replicas that are alive, without the holder.
    pub(super) replicas: Vec<NodeId>,
}

/// What the kept replies are for.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Picture {
    /// The version of the routes, plus one so that none has zero.
    version: u64,
    /// The version of the list of nodes.
    members: u64,
    /// One bit for each member that is alive, by its place in the list.
    alive: u64,
    /// A sum over who is known to hold what.
    holders: u64,
}

/// The parts of the reply to CLUSTER SLOTS, so that each connection can be given another order
/// without encoding anything.
#[derive(Default)]
pub(super) struct SlotsCache {
    picture: Picture,
    encoded: [Option<Encoded>; 2],
}

/// Encoded ranges: where each ends in the bytes. The first `holders` are those without replicas.
#[derive(Default)]
struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    holders: usize,
}

impl Encoded {
    fn new(spans: &[Span], world: &World, protocol: Protocol) -> Self {
        let mut encoded = Self::default();
        let (first, rest) = split_by_role(spans);
        encoded.holders = first.len();
        let primaries: Vec<NodeId> = first.iter().map(|span| span.holder).collect();
        for (at, span) in first.into_iter().chain(rest).enumerate() {
            // A node that holds nothing is a replica and nothing else, so it is always listed.
            let listed = |node: &NodeId| at >= encoded.holders || !primaries.contains(node);
            let replicas: Vec<NodeId> = span.replicas.iter().copied().filter(listed).collect();
            let mut reply = Reply::new(&mut encoded.bytes, protocol);
            reply.array(3 + replicas.len());
            reply.integer(i64::from(span.range.first().number()));
            reply.integer(i64::from(span.range.last().number()));
            for node in core::iter::once(&span.holder).chain(&replicas) {
                write_endpoint(world, *node, &mut reply);
            }
            encoded.ends.push(encoded.bytes.len());
        }
        encoded
    }

    /// Writes the reply, beginning with another holder and another range for each `turn`.
    fn write(&self, turn: u64, reply: &mut Reply<'_>) {
        reply.array(self.ends.len());
        let (holders, rest) = (0..self.holders, self.holders..self.ends.len());
        for part in [holders, rest] {
            let len = part.len();
            let skip = turn.checked_rem(len as u64).and_then(|skip| usize::try_from(skip).ok());
            for step in 0..len {
                let at = part.start + (step + skip.unwrap_or(0)) % len;
                let begin = at.checked_sub(1).and_then(|before| self.ends.get(before));
                let range = begin.copied().unwrap_or(0)..self.ends.get(at).copied().unwrap_or(0);
                reply.encoded(self.bytes.get(range).unwrap_or_default());
            }
        }
    }
}

/// The first range of each holder, which stand for their primaries, and the other ranges.
pub(super) fn split_by_role(spans: &[Span]) -> (Vec<&Span>, Vec<&Span>) {
    let mut seen: Vec<NodeId> = Vec::new();
    spans.iter().partition(|span| {
        let new = !seen.contains(&span.holder);
        if new {
            seen.push(span.holder);
        }
        new
    })
}

fn write_endpoint(world: &World, node: NodeId, reply: &mut Reply<'_>) {
    let Some(member) = world.members().get(node) else { return reply.array(0) };
    reply.array(4);
    reply.bulk(member.host.as_bytes());
    reply.integer(i64::from(member.port));
    reply.bulk(node_name(&world.settings, node).as_bytes());
    // No further facts about the node.
    reply.map(0);
}

impl Node {
    /// CLUSTER SLOTS.
    pub(super) fn write_slots(&mut self, now: Now, turn: u64, reply: &mut Reply<'_>) {
        let picture = Picture {
            version: self.routes.version + 1,
            members: self.world.members().version,
            alive: self.alive_members(now),
            holders: self.holders_sum(now),
        };
        let protocol = reply.protocol();
        let mut cache = core::mem::take(&mut self.frontend.slots);
        if cache.picture != picture {
            cache = SlotsCache { picture, encoded: [None, None] };
        }
        if let Some(kept) = cache.encoded.get_mut(version_index(protocol)) {
            let world = &self.world;
            kept.get_or_insert_with(|| Encoded::new(&self.spans(now), world, protocol))
                .write(turn, reply);
        }
        self.frontend.slots = cache;
    }

    /// Who serves which slots, by ascending slots. Slots that nobody is known to hold are left out:
    /// a client that finds no node for them asks any, which knows better where to send it than a
    /// list that names a dead one.
    pub(super) fn spans(&self, now: Now) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for route in self.routes.iter() {
            let Some(holder) = self.named_holder(now, route) else { continue };
            let others = route.replicas.iter().copied().filter(|node| *node != holder);
            let replicas: Vec<NodeId> =
                others.filter(|node| self.is_member_alive(now, *node)).collect();
            let range = route.range;
            let joined = spans.last_mut().filter(|last| {
                last.holder == holder
                    && last.replicas == replicas
                    && last.range.last().number().checked_add(1) == Some(range.first().number())
            });
            match joined {
                Some(last) => {
                    let whole = SlotRange::new(last.range.first(), range.last());
                    last.range = whole.unwrap_or(last.range);
                }
                None => spans.push(Span { range, holder, replicas }),
            }
        }
        spans
    }

    /// A sum over who is known to hold what, to notice changes.
    fn holders_sum(&self, now: Now) -> u64 {
        let holders = self.routes.iter().map(|route| self.named_holder(now, route));
        holders.fold(FNV_BASIS, |sum, holder| {
            (sum ^ u64::from(holder.map_or(0, |node| node.0))).wrapping_mul(FNV_PRIME)
        })
    }

    /// Whether a node beats, as far as this one can see; this one does.
    pub(super) fn is_member_alive(&self, now: Now, node: NodeId) -> bool {
        node == self.world.settings.node || self.world.support.is_alive(now.monotonic, node)
    }

    /// One bit for each member that is alive. There are no more members than bits, see
    /// `limits::NODES_MAX`.
    fn alive_members(&self, now: Now) -> u64 {
        let members = self.world.members().nodes().take(64).enumerate();
        let alive = members.filter(|(_, node)| self.is_member_alive(now, *node));
        alive.fold(0, |bits, (at, _)| bits | 1 << at)
    }
}

/// A node's name in Redis' form, 40 hexadecimal digits: the same on every node and for ever,
/// since it follows from the cluster's name and the node's number. The number itself is its end,
/// so two nodes of a cluster never share a name.
pub(super) fn node_name(settings: &Settings, node: NodeId) -> String {
    name(&settings.cluster, "node", node.0)
}

/// The name of the "shard" in Redis' sense that a node serves: all that it holds.
pub(super) fn shard_name(settings: &Settings, node: NodeId) -> String {
    name(&settings.cluster, "shard", node.0)
}

/// The name of one life of this node.
pub(super) fn run_id(settings: &Settings, incarnation: Incarnation) -> String {
    let purpose = alloc::format!("run {incarnation}");
    name(&settings.cluster, &purpose, settings.node.0)
}

fn name(cluster: &str, purpose: &str, number: u32) -> String {
    let mut text = String::with_capacity(40);
    for half in 0..2u8 {
        // FNV-1a: names need be neither secret nor spread well, only stable.
        let mut sum = FNV_BASIS;
        let bytes = cluster.bytes().chain([0]).chain(purpose.bytes()).chain([half]);
        for byte in bytes.chain(number.to_le_bytes()) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        // Writing to a string can't fail.
        let _ = write!(text, "{sum:016x}");
    }
    let _ = write!(text, "{number:08x}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Slot;

    fn span(first: u16, last: u16, holder: u32, replicas: &[u32]) -> Span {
        let slot = |number| Slot::new(number).expect("a slot of the test");
        Span {
            range: SlotRange::new(slot(first), slot(last)).expect("a range of the test"),
            holder: NodeId(holder),
            replicas: replicas.iter().copied().map(NodeId).collect(),
        }
    }

    #[test]
    fn each_holder_comes_first_without_replicas() {
        let spans = [span(0, 9, 1, &[2]), span(10, 19, 2, &[1]), span(20, 29, 1, &[2])];
        let (first, rest) = split_by_role(&spans);
        assert_eq!(first, [&spans[0], &spans[1]]);
        assert_eq!(rest, [&spans[2]]);
    }

    #[test]
    fn names_are_stable_and_differ() {
        let one = name("leasehold", "node", 1);
        assert_eq!(one.len(), 40);
        assert!(one.ends_with("00000001"));
        assert_eq!(one, name("leasehold", "node", 1));
        assert_ne!(one, name("leasehold", "node", 2));
        assert_ne!(one, name("other", "node", 1));
        assert_ne!(one, name("leasehold", "shard", 1));
    }
}

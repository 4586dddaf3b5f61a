//! CLUSTER: what clients of Redis Cluster ask.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use resp::{CommandId, Reply, error, number};
use types::{LeaseEpoch, NodeId, Now, SLOT_COUNT, SessionId, Slot};

use super::topology::{Span, node_name, shard_name};
use super::{Call, Outcome, client, key, number as number_pair, pair, quoted};
use crate::entry::{self, Survey};
use crate::io::Message;
use crate::member::{Member, Role};
use crate::node::Node;

/// Stands for times of pings and connections, which the core does not keep.
const NO_TIME: u64 = 0;

impl Node {
    pub(super) fn cluster_command(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        let settings = &self.world.settings;
        match call.command.id() {
            Some(CommandId::ClusterSlots) => {
                self.note_topology_asker(call.now, call.session);
                // Not all clients should turn to the same node first (redis-py#4049).
                let turn = call.session.0 >> 32;
                self.write_slots(call.now, turn, reply);
            }
            Some(CommandId::ClusterShards) => {
                self.note_topology_asker(call.now, call.session);
                self.cluster_shards(call.now, reply);
            }
            Some(CommandId::ClusterNodes) => {
                self.note_topology_asker(call.now, call.session);
                reply.verbatim(&self.cluster_nodes(call.now));
            }
            Some(CommandId::ClusterInfo) => reply.verbatim(&self.cluster_info(call.now)),
            Some(CommandId::ClusterMyId) => {
                reply.bulk(node_name(settings, settings.node).as_bytes());
            }
            Some(CommandId::ClusterMyShardId) => {
                reply.bulk(shard_name(settings, settings.node).as_bytes());
            }
            Some(CommandId::ClusterKeySlot) => {
                reply.integer(i64::from(resp::slot_of(call.arg(2)).number()));
            }
            // Every node is shown as a master of its own.
            Some(CommandId::ClusterReplicas | CommandId::ClusterSlaves) => {
                self.find_node(call.arg(2))?;
                reply.array(0);
            }
            Some(CommandId::ClusterCountFailureReports) => {
                self.find_node(call.arg(2))?;
                reply.integer(0);
            }
            Some(CommandId::ClusterLinks) => self.cluster_links(call.now, reply),
            Some(CommandId::ClusterHelp) => client::help(reply, "cluster"),
            Some(CommandId::ClusterCountKeysInSlot | CommandId::ClusterGetKeysInSlot) => {
                return Err("ERR the keys of a slot can't be listed inside a transaction".into());
            }
            Some(_) | None => return self.leasehold_command(call, reply),
        }
        Ok(())
    }

    /// CLUSTER COUNTKEYSINSLOT and GETKEYSINSLOT: the slot's holder answers, whichever node it is.
    pub(super) fn ask_slot(&mut self, call: &Call<'_>) -> Outcome {
        let slot = number::parse_i64(call.arg(2)).ok_or(error::NOT_AN_INTEGER)?;
        let slot = u16::try_from(slot).ok().and_then(Slot::new);
        let mut operation = Vec::new();
        let slot = if call.command.id() == Some(CommandId::ClusterCountKeysInSlot) {
            let slot = slot.ok_or("ERR Invalid slot")?;
            entry::put_survey(Survey::CountInSlot(slot), &mut operation);
            slot
        } else {
            const INVALID: &str = "ERR Invalid slot or number of keys";
            let count = number::parse_i64(call.arg(3)).ok_or(error::NOT_AN_INTEGER)?;
            let count = u64::try_from(count).map_err(|_| INVALID)?;
            let slot = slot.ok_or(INVALID)?;
            entry::put_survey(Survey::KeysInSlot(slot, count), &mut operation);
            slot
        };
        let shard = self.routes.of_slot(slot).map(|route| route.shard);
        let shard = shard.ok_or(error::CLUSTER_DOWN)?;
        self.enqueue(call.now, call.session, shard, operation.into(), false);
        Ok(())
    }

    /// A client has asked for the topology: it can follow MOVED on this connection, and others
    /// like it know all nodes.
    fn note_topology_asker(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.world.sessions.get(id) else { return };
        session.redirects.follows = true;
        let (host, library) = (&session.address.host, &session.library.0);
        if !self.frontend.topology_clients.note_own(now.monotonic, host, library) {
            return;
        }
        let (host, library) = (host.clone(), library.clone());
        let others: Vec<NodeId> = self.world.others().collect();
        for node in others {
            let message = Message::TopologyClient { host: host.clone(), library: library.clone() };
            self.world.effects.messages.push((node, message));
        }
    }

    /// The member with this name.
    fn find_node(&self, name: &[u8]) -> Result<NodeId, Cow<'static, str>> {
        let settings = &self.world.settings;
        let has_name = |node: &NodeId| node_name(settings, *node).as_bytes() == name;
        let found = self.world.members().nodes().find(has_name);
        found.ok_or_else(|| Cow::Owned(alloc::format!("ERR Unknown node {}", quoted(name))))
    }

    /// One "shard" in Redis' sense for each holder and set of replicas, with all its ranges.
    fn cluster_shards(&self, now: Now, reply: &mut Reply<'_>) {
        let mut groups: Vec<Vec<Span>> = Vec::new();
        for span in self.spans(now) {
            let same = |group: &&mut Vec<Span>| {
                group.first().is_some_and(|first| {
                    first.holder == span.holder && first.replicas == span.replicas
                })
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(span),
                None => groups.push(alloc::vec![span]),
            }
        }
        reply.array(groups.len());
        for group in &groups {
            let Some(first) = group.first() else { continue };
            reply.map(2);
            key(reply, "slots");
            reply.array(group.len() * 2);
            for span in group {
                reply.integer(i64::from(span.range.first().number()));
                reply.integer(i64::from(span.range.last().number()));
            }
            key(reply, "nodes");
            reply.array(1 + first.replicas.len());
            self.write_shard_node(now, first.holder, "master", reply);
            for replica in &first.replicas {
                self.write_shard_node(now, *replica, "replica", reply);
            }
        }
    }

    fn write_shard_node(&self, now: Now, node: NodeId, role: &str, reply: &mut Reply<'_>) {
        let settings = &self.world.settings;
        let member = self.world.members().get(node);
        let host = member.map_or("", |member| &member.host);
        let offset = if node == settings.node { self.offset() } else { 0 };
        reply.map(7);
        pair(reply, "id", &node_name(settings, node));
        number_pair(reply, "port", member.map_or(0, |member| u64::from(member.port)));
        pair(reply, "ip", host);
        pair(reply, "endpoint", host);
        pair(reply, "role", role);
        number_pair(reply, "replication-offset", offset);
        pair(reply, "health", if self.is_member_alive(now, node) { "online" } else { "failed" });
    }

    /// A line for each node. All are masters: a client then reads from the holder alone, unless
    /// it asks CLUSTER SLOTS for more.
    fn cluster_nodes(&self, now: Now) -> String {
        let settings = &self.world.settings;
        let spans = self.spans(now);
        let mut text = String::new();
        let is_shown = |member: &&Member| {
            // A dedicated manager serves no slots; clients need not know it.
            member.role == Role::Data || member.node == settings.node
        };
        for member in self.world.members().members.iter().filter(is_shown) {
            let alive = self.is_member_alive(now, member.node);
            let myself = if member.node == settings.node { "myself," } else { "" };
            let flags = if alive { "master" } else { "master,fail?" };
            let link = if alive { "connected" } else { "disconnected" };
            // Writing to a string can't fail.
            let _ = write!(
                text,
                "{} {}:{}@{} {myself}{flags} - {NO_TIME} {NO_TIME} {} {link}",
                node_name(settings, member.node),
                member.host,
                member.port,
                member.peer_port,
                self.newest_epoch(Some(member.node)).0,
            );
            for (first, last) in joined_ranges(&spans, member.node) {
                let _ = write!(text, " {first}");
                if first != last {
                    let _ = write!(text, "-{last}");
                }
            }
            text.push('\n');
        }
        text
    }

    /// The newest lease epoch among the shards that a node holds, or among all.
    fn newest_epoch(&self, holder: Option<NodeId>) -> LeaseEpoch {
        let held = self.routes.iter().filter(|route| holder.is_none() || route.holder == holder);
        held.map(|route| route.epoch).max().unwrap_or_default()
    }

    fn cluster_info(&self, now: Now) -> String {
        let settings = &self.world.settings;
        let (mut good, mut suspect, mut lost) = (0, 0, 0);
        let mut holders: Vec<NodeId> = Vec::new();
        for route in self.routes.iter() {
            let slots = route.range.len();
            match self.named_holder(now, route) {
                Some(holder) => {
                    good += slots;
                    if !holders.contains(&holder) {
                        holders.push(holder);
                    }
                }
                None if self.holder_of(route.shard).is_some() => suspect += slots,
                None => lost += slots,
            }
        }
        let state = if good == usize::from(SLOT_COUNT) { "ok" } else { "fail" };
        let nodes = self.world.members().members.len();
        let size = holders.len();
        let epoch = self.newest_epoch(None).0;
        let own_epoch = self.newest_epoch(Some(settings.node)).0;
        alloc::format!(
            "cluster_state:{state}\r\n\
             cluster_slots_assigned:{SLOT_COUNT}\r\n\
             cluster_slots_ok:{good}\r\n\
             cluster_slots_pfail:{suspect}\r\n\
             cluster_slots_fail:{lost}\r\n\
             cluster_known_nodes:{nodes}\r\n\
             cluster_size:{size}\r\n\
             cluster_current_epoch:{epoch}\r\n\
             cluster_my_epoch:{own_epoch}\r\n\
             cluster_stats_messages_sent:0\r\n\
             cluster_stats_messages_received:0\r\n\
             total_cluster_links_buffer_limit_exceeded:0\r\n"
        )
    }

    /// A link in each direction for every peer that beats. The core does not know the sockets.
    fn cluster_links(&self, now: Now, reply: &mut Reply<'_>) {
        let settings = &self.world.settings;
        let peers = self.world.others();
        let alive: Vec<_> = peers.filter(|node| self.is_member_alive(now, *node)).collect();
        reply.array(alive.len() * 2);
        for node in alive {
            for direction in ["to", "from"] {
                reply.map(6);
                pair(reply, "direction", direction);
                pair(reply, "node", &node_name(settings, node));
                number_pair(reply, "create-time", NO_TIME);
                pair(reply, "events", "rw");
                number_pair(reply, "send-buffer-allocated", 0);
                number_pair(reply, "send-buffer-used", 0);
            }
        }
    }
}

/// The ranges that a node holds, neighbours joined whatever their replicas.
fn joined_ranges(spans: &[Span], holder: NodeId) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for span in spans.iter().filter(|span| span.holder == holder) {
        let (first, last) = (span.range.first().number(), span.range.last().number());
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            Some(_) | None => ranges.push((first, last)),
        }
    }
    ranges
}

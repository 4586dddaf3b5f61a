//! LEASEHOLD: shards, leases and nodes as an operator sees them.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use resp::{CommandId, Reply, error, number};
use types::{NodeId, Now, ShardId};

use super::topology::node_name;
use super::{Call, Outcome, client, key, not_here, number as number_pair, pair, quoted};
use crate::entry;
use crate::node::Node;
use crate::node::routes::Route;
use crate::shard::ShardStatus;

impl Node {
    pub(super) fn leasehold_command(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        match call.command.id() {
            Some(CommandId::LeaseholdShards) => self.leasehold_shards(call, reply)?,
            Some(CommandId::LeaseholdNodes) => self.leasehold_nodes(call.now, reply),
            Some(CommandId::LeaseholdInfo) if call.rest(2).is_empty() => {
                reply.verbatim(&self.info(call.now, &[b"leasehold"]));
            }
            Some(CommandId::LeaseholdInfo) => return Err(error::SYNTAX.into()),
            Some(CommandId::LeaseholdMetrics) => reply.bulk(self.metrics(call.now).as_bytes()),
            Some(CommandId::LeaseholdHelp) => client::help(reply, "leasehold"),
            Some(_) | None => return not_here(call),
        }
        Ok(())
    }

    /// A command for the Lease Manager, wherever it is.
    pub(super) fn ask_manager(&mut self, call: &Call<'_>) -> Outcome {
        let Some(id) = call.command.id() else { return not_here(call) };
        let mut operation = Vec::new();
        // The name of the subcommand is what the number stands for.
        entry::put_manage(id, call.rest(1), &mut operation);
        self.enqueue(call.now, call.session, ShardId::SYSTEM, operation.into(), false);
        Ok(())
    }

    /// LEASEHOLD TRANSFER shard node. The reply comes when the lease has moved.
    pub(super) fn leasehold_transfer(&mut self, call: &Call<'_>) -> Outcome {
        let [shard, node] = call.rest(2) else {
            return Err(
                "ERR LEASEHOLD TRANSFER takes a shard and the node that shall hold it, as in \
                LEASEHOLD TRANSFER 7 2"
                    .into(),
            );
        };
        let shard = ShardId(labelled(shard, b's').ok_or_else(|| {
            Cow::Owned(alloc::format!(
                "ERR '{}' is not a shard; write 7 or s7, as LEASEHOLD SHARDS lists them",
                quoted(shard)
            ))
        })?);
        let node = NodeId(labelled(node, b'n').ok_or_else(|| {
            Cow::Owned(alloc::format!(
                "ERR '{}' is not a node; write 2 or n2, as LEASEHOLD NODES lists them",
                quoted(node)
            ))
        })?);
        let replicas = self.routes.get(shard).map(|route| &route.replicas);
        if self.world.members().contains(node)
            && replicas.is_some_and(|replicas| !replicas.contains(&node))
        {
            return Err(Cow::Owned(alloc::format!(
                "ERR node {node} has no replica of shard {shard} that may hold its lease; \
                 LEASEHOLD SHARDS {shard} lists the nodes that have one as its voters"
            )));
        }
        self.order_transfer(call.now, call.session, shard, node);
        Ok(())
    }

    /// LEASEHOLD SHARDS [shard ...].
    fn leasehold_shards(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        let mut wanted: Vec<ShardId> = Vec::new();
        for name in call.rest(2) {
            let shard = labelled(name, b's').map(ShardId);
            let shard = shard.filter(|shard| self.routes.get(*shard).is_some());
            wanted.push(shard.ok_or_else(|| {
                Cow::Owned(alloc::format!(
                    "ERR there is no shard '{}'; LEASEHOLD SHARDS lists all",
                    quoted(name)
                ))
            })?);
        }
        let statuses = self.shard_statuses(call.now);
        let routes: Vec<&Route> = self
            .routes
            .all()
            .filter(|route| match wanted.as_slice() {
                [] => route.shard != ShardId::SYSTEM,
                wanted => wanted.contains(&route.shard),
            })
            .collect();
        reply.array(routes.len());
        for route in routes {
            let status = route.local.and_then(|at| statuses.get(at));
            reply.map(if status.is_some() { REPLICA_FIELDS + 2 } else { ROUTE_FIELDS + 2 });
            match status {
                Some(status) => write_replica(status, reply),
                None => write_route(route, self.named_holder(call.now, route), reply),
            }
            self.write_troubles(call.now, route.shard, reply);
        }
        Ok(())
    }

    /// For how long nobody can be asked for a shard, and what is wrong with it.
    fn write_troubles(&self, now: Now, shard: ShardId, reply: &mut Reply<'_>) {
        key(reply, "unserved_ms");
        match self.unserved_for(now, shard) {
            Some(time) => reply.integer(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
            None => reply.null(),
        }
        texts_pair(reply, "troubles", &self.troubles_of(now, shard));
    }

    fn leasehold_nodes(&mut self, now: Now, reply: &mut Reply<'_>) {
        let world = &self.world;
        let me = world.settings.node;
        reply.array(world.members().members.len());
        for member in &world.members().members {
            let node = member.node;
            let myself = node == me;
            let named = |route: &&Route| self.named_holder(now, route) == Some(node);
            let held = self.routes.iter().filter(named).count();
            let replicas = self.routes.iter().filter(|route| route.replicas.contains(&node));
            let incarnation =
                if myself { world.incarnation } else { world.support.incarnation_of(node) };
            let health = world.health(now.monotonic, node);
            reply.map(19);
            number_pair(reply, "node", u64::from(node.0));
            pair(reply, "id", &node_name(&world.settings, node));
            pair(reply, "name", &member.name);
            pair(reply, "role", member.role.name());
            pair(reply, "host", &member.host);
            number_pair(reply, "port", u64::from(member.port));
            number_pair(reply, "peer_port", u64::from(member.peer_port));
            key(reply, "myself");
            reply.boolean(myself);
            key(reply, "alive");
            reply.boolean(self.is_member_alive(now, node));
            key(reply, "supports_us");
            reply.boolean(myself || world.support.is_supported_by(now.monotonic, node));
            // It beats, and nothing of these reaches it: is its peer port open to them?
            nodes_pair(reply, "unreached_by", &health.unreached_by);
            number_pair(reply, "incarnation", incarnation.0);
            let sync = if myself { world.support.own_sync() } else { world.support.sync_at(node) };
            let sync = u64::try_from(sync.as_micros()).unwrap_or(u64::MAX);
            number_pair(reply, "sync_us", sync);
            key(reply, "round_trip_us");
            match world.support.round_trip(node) {
                Some(trip) => reply.integer(i64::try_from(trip.as_micros()).unwrap_or(i64::MAX)),
                None => reply.null(),
            }
            number_pair(reply, "shards_held", held as u64);
            number_pair(reply, "replicas", replicas.count() as u64);
            key(reply, "refused");
            reply.boolean(health.refused);
            key(reply, "disk_full");
            reply.boolean(health.disk_full);
            texts_pair(reply, "troubles", &health.sentences(node));
        }
    }
}

/// A number that may have its letter before it: `7` or `s7`.
pub(crate) fn labelled(text: &[u8], letter: u8) -> Option<u32> {
    let digits = match text {
        [first, digits @ ..] if first.eq_ignore_ascii_case(&letter) => digits,
        digits => digits,
    };
    u32::try_from(number::parse_u64(digits)?).ok()
}

/// How many fields [`write_route`] and [`write_replica`] write.
const ROUTE_FIELDS: usize = 7;
const REPLICA_FIELDS: usize = 28;

/// What is known of a shard that has no replica here.
fn write_route(route: &Route, holder: Option<NodeId>, reply: &mut Reply<'_>) {
    number_pair(reply, "shard", u64::from(route.shard.0));
    number_pair(reply, "first_slot", u64::from(route.range.first().number()));
    number_pair(reply, "last_slot", u64::from(route.range.last().number()));
    key(reply, "replica_here");
    reply.boolean(false);
    node_pair(reply, "holder", holder);
    number_pair(reply, "epoch", route.epoch.0);
    nodes_pair(reply, "voters", &route.replicas);
}

fn write_replica(status: &ShardStatus, reply: &mut Reply<'_>) {
    number_pair(reply, "shard", u64::from(status.shard.0));
    number_pair(reply, "first_slot", u64::from(status.range.first().number()));
    number_pair(reply, "last_slot", u64::from(status.range.last().number()));
    key(reply, "replica_here");
    reply.boolean(true);
    // Nobody, unless it is known to hold the lease now; and whom the shard's log names.
    node_pair(reply, "holder", status.holder);
    node_pair(reply, "last_holder", status.lease.holder);
    number_pair(reply, "epoch", status.lease.epoch.0);
    number_pair(reply, "term", status.term.0);
    node_pair(reply, "leader", status.leader);
    nodes_pair(reply, "voters", &status.voters);
    nodes_pair(reply, "learners", &status.learners);
    nodes_pair(reply, "succession", &status.lease.succession);
    key(reply, "lease_valid");
    reply.boolean(status.lease_valid);
    key(reply, "lease_remaining_ms");
    match status.lease_remaining_millis {
        Some(millis) => reply.integer(i64::try_from(millis).unwrap_or(i64::MAX)),
        None => reply.null(),
    }
    number_pair(reply, "first_index", status.first_index.0);
    number_pair(reply, "last_index", status.last_index.0);
    number_pair(reply, "commit_index", status.commit_index.0);
    number_pair(reply, "applied_index", status.applied_index.0);
    number_pair(reply, "persisted_index", status.persisted_index.0);
    key(reply, "matched_index");
    reply.map(status.progress.len());
    for (node, index) in &status.progress {
        number_pair(reply, &alloc::format!("{}", node.0), index.0);
    }
    number_pair(reply, "keys", status.keys);
    number_pair(reply, "expires", status.expiring_keys);
    number_pair(reply, "data_bytes", status.data_bytes);
    number_pair(reply, "log_bytes", status.log_bytes as u64);
    number_pair(reply, "parked", status.parked as u64);
    number_pair(reply, "reads", status.load.reads);
    number_pair(reply, "writes", status.load.writes);
    // Which replica gave the lease up because it got nowhere, and lets others lead.
    key(reply, "stands_last");
    match &status.stands_last {
        Some(text) => reply.bulk(text.as_bytes()),
        None => reply.null(),
    }
}

fn node_pair(reply: &mut Reply<'_>, name: &str, node: Option<NodeId>) {
    key(reply, name);
    match node {
        Some(node) => reply.integer(i64::from(node.0)),
        None => reply.null(),
    }
}

fn nodes_pair(reply: &mut Reply<'_>, name: &str, nodes: &[NodeId]) {
    key(reply, name);
    reply.array(nodes.len());
    for node in nodes {
        reply.integer(i64::from(node.0));
    }
}

fn texts_pair(reply: &mut Reply<'_>, name: &str, texts: &[String]) {
    key(reply, name);
    reply.array(texts.len());
    for text in texts {
        reply.bulk(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_its_letter() {
        for (text, number) in [
            ("7", Some(7)),
            ("s7", Some(7)),
            ("S7", Some(7)),
            ("n7", None),
            ("", None),
            ("s", None),
        ] {
            assert_eq!(labelled(text.as_bytes(), b's'), number, "{text}");
        }
        assert_eq!(labelled(b"4294967296", b's'), None);
    }
}

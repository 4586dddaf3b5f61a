//! What is wrong with shards and nodes, as far as this node knows: found out here, said in the
//! words of `outage`, and told by errors, LEASEHOLD SHARDS, NODES, STATUS and WHY, metrics and log.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use types::limits::REASON_BYTES_MAX;
use types::{DirectoryId, Monotonic, NodeId, Now, ShardId};

use super::routes::Route;
use super::{Node, World, slow_disk};
use crate::io::Event;
use crate::outage::{Missing, Nodes, Outage, Shortage, list_shards};
use crate::planted::Planting;
use crate::raft_group::ReplicaId;
use crate::shard::MEMORY_SCARCE;

/// How often shards without a holder are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A shard that has had no holder for so long is worth a line in the log: no election takes longer.
const WORTH_A_LINE: Duration = Duration::from_secs(5);
/// What another node has said of a shard counts for so long.
const REASON_TIME: Duration = Duration::from_secs(3);

/// What is remembered of shards without a holder.
#[derive(Default)]
pub(crate) struct Troubles {
    next_look: Monotonic,
    /// Since when a shard has had none.
    since: BTreeMap<ShardId, Monotonic>,
    /// What has been said of it in the log.
    told: BTreeMap<ShardId, String>,
    /// Why others refused requests for a shard: when, who, and what it said.
    reasons: BTreeMap<ShardId, (Monotonic, NodeId, String)>,
}

/// How a member is, as this node sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// Whether it is heard, or is this node.
    pub(crate) alive: bool,
    /// Whether anybody remembers that it has ever run.
    pub(crate) has_started: bool,
    /// The nodes of which nothing reaches it, although it beats.
    pub(crate) unreached_by: Vec<NodeId>,
    pub(crate) peer_port: u16,
    /// A process with its number, whose word does not count, is heard: a second one, or one on a
    /// directory that is older than what is remembered of it.
    pub(crate) refused: bool,
    /// It takes no writes that grow.
    pub(crate) disk_full: bool,
    /// Nothing is left of the memory that it may use for data.
    pub(crate) memory_full: bool,
    /// How long syncs of its disk take at least, if that is so long that leases leave it.
    pub(crate) slow_disk: Option<Duration>,
}

impl Health {
    /// What is to be said of the node, a sentence each.
    pub(crate) fn sentences(&self, node: NodeId) -> Vec<String> {
        let mut all = Vec::new();
        if self.refused && self.alive {
            all.push(format!(
                "A second process with the number of {node} is refused: two run on copies of one \
                 directory, or with one number. Stop one of them."
            ));
        } else if self.refused {
            all.push(format!(
                "What {node} says does not count: its data directory is older than what the others \
                 remember of it. It begins anew by itself."
            ));
        }
        if !self.unreached_by.is_empty() {
            all.push(format!(
                "{node} can't be reached at its peer port {} by {}, although it is heard: look at \
                 packet filters, and at what listens there.",
                self.peer_port,
                Nodes(&self.unreached_by)
            ));
        }
        if self.disk_full {
            all.push(format!(
                "The disk of {node} is nearly full: it takes no writes that grow, and no leases. \
                 Free some space there (setting disk_reserve)."
            ));
        }
        if self.memory_full {
            all.push(format!(
                "{node} has hardly anything left of what its setting `memory` allows: writes that \
                 grow are refused with OOM in shards that have a copy there. Delete something, or \
                 give it more."
            ));
        }
        if let Some(time) = self.slow_disk {
            all.push(format!(
                "Each sync of the disk of {node} takes {} ms or more: leases leave it.",
                time.as_millis()
            ));
        }
        if !self.alive && !self.has_started {
            all.push(format!("{node} has joined, but has never been heard: start it."));
        }
        all
    }
}

impl World {
    /// Why a replica in this directory of another node can't help to decide; `None` if it can. To a
    /// leader (`leads`) it must also confirm the lease.
    fn missing(&self, now: Monotonic, replica: ReplicaId, leads: bool) -> Option<Missing> {
        let ReplicaId { node, directory, .. } = replica;
        // A founder's directory is never a new one: who names it for a replica that lies in another
        // has old news of the node.
        let current = self.founding.directory_of(node);
        // Or else nodes that were restarted would tell another story.
        let current = current.or_else(|| self.founding.remembered_directory_of(node));
        let current = current.filter(|current| *current != DirectoryId::FOUNDING);
        if current.is_some_and(|current| current != directory) {
            return Some(Missing::Lost);
        }
        self.unheard(now, node, leads)
    }

    /// The same, where the directory doesn't matter.
    fn unheard(&self, now: Monotonic, node: NodeId, leads: bool) -> Option<Missing> {
        if node == self.settings.node {
            return None;
        }
        let support = &self.support;
        let alive = support.is_alive(now, node);
        let unreached = support.is_deaf(now, node) || alive && support.is_link_down(node);
        if unreached {
            let peer_port = self.members().get(node).map_or(0, |member| member.peer_port);
            return Some(Missing::Unreached { peer_port });
        }
        if !alive && self.refuses(now, node) {
            return Some(Missing::Refused);
        }
        let helps = alive && (!leads || support.is_supported_by(now, node));
        let full = support.last_had_no_disk(node);
        (!helps).then_some(if full { Missing::SilentSinceFull } else { Missing::Silent })
    }

    /// Whether a process with this number has been refused lately.
    fn refuses(&self, now: Monotonic, node: NodeId) -> bool {
        let last = self.founding.lives.refused_at(node);
        last.is_some_and(|at| now.since(at) <= self.settings.support_duration)
    }

    /// The nodes of which nothing reaches a member, although it beats.
    fn unreached_by(&self, now: Monotonic, member: NodeId) -> Vec<NodeId> {
        let (me, support) = (self.settings.node, &self.support);
        let place = self.members().nodes().position(|node| node == member);
        // There are no more members than bits, see `limits::NODES_MAX`.
        let bit = place.and_then(|at| 1_u64.checked_shl(at as u32)).unwrap_or(0);
        let is_cut_off = |node: &NodeId| {
            if *node == me {
                return support.is_deaf(now, member);
            }
            support.deaf_to(now, *node) & bit != 0
        };
        self.members().nodes().filter(|node| *node != member).filter(is_cut_off).collect()
    }

    /// By how many bytes a node's data and its log may grow, if it is heard.
    fn room_of(&self, now: Monotonic, node: NodeId) -> Option<(u64, u64)> {
        let Self { settings, support, room, .. } = self;
        if node == settings.node {
            return Some((room.memory(settings), room.disk(settings)));
        }
        support.room_of(now, node)
    }

    /// How a member is.
    pub(crate) fn health(&self, now: Monotonic, node: NodeId) -> Health {
        let Self { settings, support, founding, .. } = self;
        let myself = node == settings.node;
        let room = self.room_of(now, node);
        let alive = myself || support.is_alive(now, node);
        let known = founding.lives.memory_of(node).incarnation.0 > 0;
        Health {
            alive,
            has_started: myself || known || support.incarnation_of(node).0 > 0,
            unreached_by: self.unreached_by(now, node),
            peer_port: self.members().get(node).map_or(0, |member| member.peer_port),
            refused: self.refuses(now, node),
            disk_full: room.is_some_and(|(_, disk)| disk == 0),
            memory_full: room.is_some_and(|(memory, _)| memory < MEMORY_SCARCE),
            slow_disk: slow_disk::slowness(now, support, settings.node, self.members(), node),
        }
    }
}

impl Node {
    /// Why a shard can't be served through this node, if it can't.
    pub(crate) fn outage(&self, now: Now, shard: ShardId) -> Option<Outage> {
        let route = self.routes.get(shard)?;
        if let Some(holder) = self.named_holder(now, route) {
            return self.out_of_reach(now, shard, holder);
        }
        if self.world.settings.breaks(Planting::HideCauses) {
            return Some(Outage::Election { missing: Vec::new(), has_copy: true });
        }
        let Some(found) = route.local.and_then(|at| self.shards.get(at)) else {
            return Some(self.outage_elsewhere(now, route));
        };
        Some(found.outage(|replica, leads| self.world.missing(now.monotonic, replica, leads)))
    }

    /// A holder that is heard, but can't be sent anything, not even by way of others.
    fn out_of_reach(&self, now: Now, shard: ShardId, holder: NodeId) -> Option<Outage> {
        let me = self.world.settings.node;
        let reached = holder == me || self.reaches(now, holder);
        if reached || !self.ways_round(now, shard, Some(holder)).is_empty() {
            return None;
        }
        let peer_port = self.world.members().get(holder).map_or(0, |member| member.peer_port);
        Some(Outage::OutOfReach { holder, peer_port })
    }

    /// Whether a node has lost the directory in which its copy of a shard was when this node heard
    /// of it; of a shard that has no replica here.
    pub(super) fn began_anew(&self, route: &Route, node: NodeId) -> bool {
        let World { founding, settings, .. } = &self.world;
        let own = node == settings.node;
        let directory = if own { founding.own_directory() } else { founding.directory_of(node) };
        // Before anybody has said that it holds the shard, those who founded the cluster have it.
        let founders = Some(DirectoryId::FOUNDING).filter(|_| route.holder.is_none());
        let then = route.directories.get(&node).copied().or(founders);
        directory.zip(then).is_some_and(|(now, then)| now != then)
    }

    /// The same of a shard that has no replica here.
    fn outage_elsewhere(&self, now: Now, route: &Route) -> Outage {
        let settings = &self.world.settings;
        let began_anew = |node: &NodeId| self.began_anew(route, *node);
        let voters = route.replicas.len();
        let absent = |node: &NodeId| {
            let why = if began_anew(node) {
                Some(Missing::Lost)
            } else {
                self.world.unheard(now.monotonic, *node, false)
            };
            why.map(|why| (why, *node))
        };
        let mut missing: Vec<(Missing, NodeId)> =
            route.replicas.iter().filter_map(absent).collect();
        missing.sort_unstable();
        let lost = missing.iter().filter(|(why, _)| *why == Missing::Lost).count();
        if voters > 0 && (voters - missing.len()) * 2 <= voters {
            let for_good = (voters - lost) * 2 <= voters;
            return Outage::NoQuorum { missing, voters, for_good };
        }
        match route.holder.filter(|holder| *holder != settings.node) {
            _ if voters > 0 => Outage::Election { missing, has_copy: false },
            Some(holder) => Outage::HolderSilent { holder },
            None => Outage::Unknown,
        }
    }

    /// What is wrong with a shard, a sentence each, without its subject: who reads it knows which
    /// shard is meant.
    pub(crate) fn troubles_of(&self, now: Now, shard: ShardId) -> Vec<String> {
        let mut all = Vec::new();
        if self.is_removed() {
            all.push(String::from("is not served here: this node was removed from the cluster"));
            return all;
        }
        let outage = self.outage(now, shard);
        let hearsay = self.hearsay(now, shard, outage.as_ref());
        all.extend(hearsay.or_else(|| outage.map(|outage| outage.to_string())));
        let found = self.local(shard).and_then(|at| self.shards.get(at));
        if let Some(found) = found {
            let short = self.shortage(now, shard);
            all.extend(short.map(|short| short.sentences()).unwrap_or_default());
            all.extend(found.given_up(now.monotonic));
        }
        all
    }

    /// What a shard that has a replica here, and a holder, lacks room for. Without a holder there
    /// is worse to say of it.
    pub(crate) fn shortage(&self, now: Now, shard: ShardId) -> Option<Shortage> {
        let holder = self.routes.get(shard).and_then(|route| self.named_holder(now, route))?;
        let found = self.local(shard).and_then(|at| self.shards.get(at))?;
        let room = |node: NodeId| self.world.room_of(now.monotonic, node);
        Some(found.shortage(now.monotonic, holder, room))
    }

    /// Another node has refused a request for a shard. It may know more than this one.
    pub(super) fn note_reason(&mut self, now: Now, from: NodeId, shard: ShardId, why: &str) {
        if !why.is_empty() {
            // It goes into a line of a reply.
            let why = why.replace(char::is_control, " ");
            self.reporting.troubles.reasons.insert(shard, (now.monotonic, from, why));
        }
    }

    /// A request for a shard has been answered: what was wrong is over.
    pub(super) fn forget_reason(&mut self, shard: ShardId) {
        self.reporting.troubles.reasons.remove(&shard);
    }

    /// Why a request of another node is refused.
    pub(super) fn reason_to_send(&self, now: Now, shard: ShardId) -> String {
        let why = self.outage(now, shard).map(|outage| outage.to_string()).unwrap_or_default();
        if why.len() <= REASON_BYTES_MAX { why } else { String::new() }
    }

    /// What another node has said lately of a shard of which nothing better is known here.
    fn hearsay(&self, now: Now, shard: ShardId, known: Option<&Outage>) -> Option<String> {
        let has_copy = self.local(shard).is_some();
        match known {
            Some(Outage::NoQuorum { .. }) if has_copy => return None,
            Some(Outage::OutOfReach { .. }) => return None,
            Some(
                Outage::NoQuorum { .. }
                | Outage::Election { .. }
                | Outage::HolderSilent { .. }
                | Outage::Unknown,
            )
            | None => {}
        }
        let (at, node, why) = self.reporting.troubles.reasons.get(&shard)?;
        let recent = now.monotonic.since(*at) <= REASON_TIME;
        let is_news = known.is_none_or(|known| known.to_string() != *why);
        (recent && is_news).then(|| format!("{why} (as {node} says)"))
    }

    /// What a client is told whose request could not be served.
    pub(super) fn refusal_of(&self, now: Now, shard: ShardId) -> String {
        let outage = self.outage(now, shard);
        if let Some(why) = self.hearsay(now, shard, outage.as_ref()) {
            return format!("CLUSTERDOWN shard {shard} {why}; the request was not executed");
        }
        let Some(outage) = outage else {
            return format!(
                "CLUSTERDOWN shard {shard} could not be served in time: its lease was on its way \
                 to another node, or was not confirmed; the request was not executed, try again"
            );
        };
        let again = if outage.may_pass() { ", try again" } else { "" };
        format!("CLUSTERDOWN shard {shard} {outage}; the request was not executed{again}")
    }

    /// For how long a shard has had no holder that can be asked, if it has none.
    pub(crate) fn unserved_for(&self, now: Now, shard: ShardId) -> Option<Duration> {
        self.reporting.troubles.since.get(&shard).map(|since| now.monotonic.since(*since))
    }

    /// Whether requests can be served through this node, as of the last second: at least those for
    /// one shard, since its clients may have no other way. What there is to say of it, either way.
    ///
    /// # Errors
    /// If nothing can be served through it; says why.
    pub fn readiness(&self) -> Result<String, String> {
        if self.is_removed() {
            return Err(String::from("removed: the cluster has removed this node; stop it"));
        }
        if self.world.founding.own_directory().is_none() {
            return Err(String::from("starting: this node has not met its cluster yet"));
        }
        let unserved = self.reporting.troubles.since.keys().copied();
        let unserved: Vec<ShardId> = unserved.filter(|it| *it != ShardId::SYSTEM).collect();
        let all = self.routes.iter().count();
        if unserved.is_empty() && all > 0 {
            return Ok(String::from("ready"));
        }
        let text = format!(
            "{} of {all} shards can't be served through this node ({}); `leasehold shards` says \
             why",
            unserved.len(),
            list_shards(&unserved)
        );
        if unserved.len() < all { Ok(format!("ready, but {text}")) } else { Err(text) }
    }

    /// Looks for shards without a holder, and says in the log why they have none.
    pub(super) fn watch_outages(&mut self, now: Now) {
        if now.monotonic < self.reporting.troubles.next_look {
            return;
        }
        self.reporting.troubles.next_look = now.monotonic + LOOK_INTERVAL;
        if self.is_removed() || self.world.founding.own_directory().is_none() {
            self.reporting.troubles.since.clear();
            return;
        }
        let mut news: BTreeMap<String, Vec<ShardId>> = BTreeMap::new();
        let mut over = Vec::new();
        let all: Vec<ShardId> = self.routes.all().map(|route| route.shard).collect();
        for shard in all {
            let Some(outage) = self.outage(now, shard) else {
                self.reporting.troubles.since.remove(&shard);
                over.extend(self.reporting.troubles.told.remove(&shard).map(|_| shard));
                continue;
            };
            let since = *self.reporting.troubles.since.entry(shard).or_insert(now.monotonic);
            if now.monotonic.since(since) < WORTH_A_LINE {
                continue;
            }
            let known = self.reporting.troubles.told.get(&shard);
            // What was wrong is over, and an election takes a moment: nothing to speak of.
            if known.is_some() && matches!(outage, Outage::Election { .. }) {
                continue;
            }
            let text = outage.to_string();
            if known != Some(&text) {
                news.entry(text.clone()).or_default().push(shard);
                self.reporting.troubles.told.insert(shard, text);
            }
        }
        let events = &mut self.world.effects.events;
        events.extend(news.into_iter().map(|(why, shards)| Event::Unserved { shards, why }));
        if !over.is_empty() {
            events.push(Event::ServedAgain { shards: over });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_of_a_node_has_its_sentence() {
        let said = |health: Health| health.sentences(NodeId(3)).join(" ");
        let well = Health { alive: true, has_started: true, ..Health::default() };
        assert_eq!(said(well.clone()), "");
        let twice = said(Health { refused: true, ..well.clone() });
        assert!(twice.contains("A second process with the number of n3 is refused"), "{twice}");
        let old = said(Health { refused: true, alive: false, ..well.clone() });
        assert!(old.contains("What n3 says does not count"), "{old}");
        let unreached_by = alloc::vec![NodeId(1), NodeId(2)];
        let cut = said(Health { unreached_by, peer_port: 17003, ..well.clone() });
        assert!(cut.contains("can't be reached at its peer port 17003 by n1 and n2"), "{cut}");
        let slow = said(Health { slow_disk: Some(Duration::from_millis(600)), ..well.clone() });
        assert!(slow.contains("takes 600 ms"), "{slow}");
        let used_up = said(Health { memory_full: true, ..well.clone() });
        assert!(
            used_up.contains("n3 has hardly anything left of what its setting `memory`"),
            "{used_up}"
        );
        let full = said(Health { disk_full: true, ..well });
        assert!(full.contains("The disk of n3 is nearly full"), "{full}");
        assert!(said(Health::default()).contains("has joined, but has never been heard"));
    }
}

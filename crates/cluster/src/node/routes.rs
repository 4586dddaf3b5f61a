//! Which shard a slot belongs to, and which node holds it, as far as this node knows.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use types::{
    DirectoryId, LeaseEpoch, LogIndex, Monotonic, NodeId, Now, SLOT_COUNT, ShardId, Slot,
    SlotRange, Term,
};

use crate::founding::Founding;
use crate::settings::{SYSTEM_RANGE, Settings};
use crate::shard::Shard;

/// What a node knows of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) shard: ShardId,
    pub(crate) range: SlotRange,
    pub(crate) holder: Option<NodeId>,
    pub(crate) epoch: LeaseEpoch,
    pub(crate) replicas: Vec<NodeId>,
    /// The directories that their nodes had when this became known, as far as they had said.
    pub(crate) directories: BTreeMap<NodeId, DirectoryId>,
    /// Since when the holder is this one.
    pub(crate) since: Monotonic,
    /// When this node has ceased to hold it, if it ever did.
    pub(crate) left: Option<Monotonic>,
    /// Where the shard's replica stands in the node's list, if there is one here.
    pub(crate) local: Option<usize>,
    /// How far the holder's log was applied that said that this node has no replica: a candidate
    /// whose log ends earlier may have missed the same change.
    pub(crate) dismissed: (Term, LogIndex),
}

/// All routes. The version grows with every change, for cached topology replies.
pub(crate) struct Routes {
    me: NodeId,
    /// The system shard's, which no client sees.
    system: Route,
    routes: Vec<Route>,
    by_shard: BTreeMap<ShardId, usize>,
    by_slot: Box<[u16]>,
    /// How many of the clients' shards this node holds.
    held: usize,
    pub(crate) version: u64,
}

impl Routes {
    /// The routes of the system shard and of all others.
    fn new(me: NodeId, system: Route, mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| route.range.first());
        let mut by_slot = alloc::vec![u16::MAX; usize::from(SLOT_COUNT)].into_boxed_slice();
        let mut by_shard = BTreeMap::new();
        for (at, route) in routes.iter().enumerate() {
            by_shard.insert(route.shard, at);
            for slot in route.range.iter() {
                // Shards are at most 1024, see `limits::SHARDS_MAX`.
                by_slot[usize::from(slot.number())] = at as u16;
            }
        }
        Self { me, system, routes, by_shard, by_slot, held: 0, version: 0 }
    }

    /// The routes of a node that has just heard into how many shards the cluster is cut.
    pub(super) fn unknown(me: NodeId, shards: u16, now: Now) -> Self {
        let route = |shard, range| Route {
            shard,
            range,
            holder: None,
            epoch: LeaseEpoch(0),
            replicas: Vec::new(),
            directories: BTreeMap::new(),
            since: now.monotonic,
            left: None,
            local: None,
            dismissed: (Term(0), LogIndex(0)),
        };
        let ranges = SlotRange::even_cut(shards).into_iter().enumerate();
        let data = ranges.map(|(at, range)| route(ShardId(at as u32 + 1), range));
        Self::new(me, route(ShardId::SYSTEM, SYSTEM_RANGE), data.collect())
    }

    /// The routes as the configuration has them; leases are learned later, and in a cluster that
    /// has begun also who has replicas of shards that this node has none of.
    pub(super) fn initial(
        settings: &Settings,
        founding: &Founding,
        shards: &[Shard],
        now: Now,
    ) -> Self {
        let has_begun = founding.members().version > 0;
        let mut routes = Vec::new();
        for (id, range, replicas) in settings.first_shards() {
            let known = shards.iter().find(|shard| shard.id == id);
            let stays = |shard: &Shard| shard.id == id && !shard.is_removed();
            let local = shards.iter().position(stays);
            let replicas = if has_begun { Vec::new() } else { replicas };
            routes.push(Route {
                shard: id,
                range: known.filter(|shard| shard.has_begun()).map_or(range, Shard::range),
                holder: None,
                epoch: known.map_or(LeaseEpoch(0), |shard| shard.lease().epoch),
                replicas: known.map_or(replicas, Shard::voters),
                directories: BTreeMap::new(),
                since: now.monotonic,
                left: None,
                local,
                dismissed: (Term(0), LogIndex(0)),
            });
        }
        let system = routes.remove(0);
        Self::new(settings.node, system, routes)
    }

    /// The shard that a slot belongs to.
    pub(crate) fn of_slot(&self, slot: Slot) -> Option<&Route> {
        self.routes.get(usize::from(self.by_slot[usize::from(slot.number())]))
    }

    pub(crate) fn get(&self, shard: ShardId) -> Option<&Route> {
        if shard == ShardId::SYSTEM {
            return Some(&self.system);
        }
        self.routes.get(*self.by_shard.get(&shard)?)
    }

    fn get_mut(&mut self, shard: ShardId) -> Option<&mut Route> {
        if shard == ShardId::SYSTEM {
            return Some(&mut self.system);
        }
        self.routes.get_mut(*self.by_shard.get(&shard)?)
    }

    /// All shards with clients' data by ascending slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// All shards, the system shard first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Route> {
        core::iter::once(&self.system).chain(&self.routes)
    }

    /// Whether other nodes hold half of the shards, or more.
    pub(crate) fn others_hold_half(&self) -> bool {
        self.held * 2 <= self.routes.len()
    }

    /// Notes where the shard's replica on this node stands, if there is one.
    pub(crate) fn set_local(&mut self, shard: ShardId, local: Option<usize>) {
        if let Some(route) = self.get_mut(shard) {
            route.local = local;
        }
    }

    /// Notes that this node has no replica of a shard, as its holder says, who has `applied` that
    /// much.
    pub(crate) fn dismiss(&mut self, shard: ShardId, applied: (Term, LogIndex)) {
        if let Some(route) = self.get_mut(shard) {
            route.local = None;
            route.dismissed = route.dismissed.max(applied);
        }
    }

    /// A replica begins here in a new seat: what was said of those before it does not concern it.
    pub(crate) fn reseat(&mut self, shard: ShardId) {
        if let Some(route) = self.get_mut(shard) {
            route.dismissed = (Term(0), LogIndex(0));
        }
    }

    /// Notes in which directories the replicas of a shard lie.
    pub(crate) fn note_directories(&mut self, shard: ShardId, founding: &Founding) {
        let Some(route) = self.get_mut(shard) else { return };
        let replicas = route.replicas.iter();
        let said = replicas.filter_map(|node| Some((*node, founding.directory_of(*node)?)));
        route.directories = said.collect();
    }

    /// Notes who holds a shard. News of an older lease are ignored; says whether anything changed.
    pub(crate) fn update(
        &mut self,
        shard: ShardId,
        epoch: LeaseEpoch,
        holder: Option<NodeId>,
        replicas: &[NodeId],
        now: Monotonic,
    ) -> bool {
        let me = self.me;
        let Some(route) = self.get_mut(shard) else { return false };
        if epoch < route.epoch {
            return false;
        }
        let same = route.holder == holder && route.epoch == epoch && route.replicas == replicas;
        if same {
            return false;
        }
        let (was_here, is_here) = (route.holder == Some(me), holder == Some(me));
        if route.holder != holder {
            route.since = now;
        }
        if was_here && !is_here {
            route.left = Some(now);
        }
        route.epoch = epoch;
        route.holder = holder;
        route.replicas = replicas.to_vec();
        if shard != ShardId::SYSTEM {
            self.held = self.held + usize::from(is_here) - usize::from(was_here);
        }
        self.version += 1;
        true
    }
}

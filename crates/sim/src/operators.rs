//! What operators ask of the Lease Manager in the middle of a run, and what must have come of it
//! when all is over.
//!
//! Most of what they ask for is asked once: whoever happens to be down or cut off does not hear it.
//! What the end of a run depends on is asked for again and again until it is granted: that a
//! machine joins or goes for good, and at the end that drains, pins and freezes are over.

use std::collections::{BTreeMap, BTreeSet};

use types::{NodeId, ShardId};

use crate::membership::find_holder;
use crate::plan::{Plan, members};
use crate::random::Random;
use crate::world::{ConnectionId, Event, SECOND, World, node_id};

/// After this time without an answer somebody else is asked.
const ANSWER_MAX: u64 = 3 * SECOND;

/// For so long at most a machine runs on that is no member any more.
const OFF_MAX: u64 = 8 * SECOND;

/// Something that is asked for until it is granted, or refused for good.
struct Wish {
    words: Vec<String>,
    under_way: Option<(ConnectionId, u64)>,
    end: Option<Granted>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Granted {
    Yes,
    Refused,
}

/// The operators of a run.
pub(crate) struct Operators {
    random: Random,
    shards: u64,
    /// Machines that are no members at first.
    spares: Vec<usize>,
    /// The one member that they know: it is not sent away.
    contact: usize,
    wishes: Vec<Wish>,
    /// Connections on which something was asked once.
    once: Vec<ConnectionId>,
    /// From this wish on they call off what was asked once.
    calls_off: usize,
    drained: BTreeSet<usize>,
    pinned: BTreeSet<u64>,
    frozen: bool,
    /// The drain that is not undone at the end, and the wish that asked for it.
    kept: Option<(usize, usize)>,
    /// What was joined and removed: the wish that asked for it.
    joined: BTreeMap<usize, usize>,
    removed: Option<(usize, usize)>,
    /// When the machine that went is switched off: some time after it has ceased to be a member.
    off_at: Option<u64>,
    is_off: bool,
}

impl Operators {
    pub(crate) fn new(plan: &Plan, random: Random) -> Self {
        let nodes = plan.settings.len();
        Self {
            random,
            shards: u64::from(plan.settings[0].shards),
            spares: (nodes - plan.spares..nodes).collect(),
            contact: plan.contact,
            wishes: Vec::new(),
            once: Vec::new(),
            calls_off: usize::MAX,
            drained: BTreeSet::new(),
            pinned: BTreeSet::new(),
            frozen: false,
            kept: None,
            joined: BTreeMap::new(),
            removed: None,
            off_at: None,
            is_off: false,
        }
    }

    /// Whether a machine should run: it is a member, or was told to become one.
    pub(crate) fn wants_running(&self, node: usize) -> bool {
        let is_off = self.is_off && self.removed.is_some_and(|(removed, _)| removed == node);
        !is_off && (!self.spares.contains(&node) || self.joined.contains_key(&node))
    }

    /// Machines that nobody sends away.
    pub(crate) fn staying(&self, world: &World) -> Vec<NodeId> {
        let goes = self.removed.map(|(node, _)| node);
        let nodes = (0..world.len()).filter(|node| self.wants_running(*node));
        nodes.filter(|node| Some(*node) != goes).map(node_id).collect()
    }

    pub(crate) fn drain(&mut self, world: &mut World, node: usize) {
        self.drained.insert(node);
        self.ask_once(world, &["DRAIN", &label('n', node as u64 + 1)]);
    }

    pub(crate) fn undrain(&mut self, world: &mut World) {
        // Whoever calls off a drain calls off a removal.
        let goes = self.removed.map(|(node, _)| node);
        let drained = self.drained.iter().copied().filter(|node| Some(*node) != goes);
        let drained: Vec<usize> = drained.collect();
        if !drained.is_empty() {
            let node = self.random.pick(&drained);
            self.ask_once(world, &["DRAIN", &label('n', node as u64 + 1), "OFF"]);
        }
    }

    pub(crate) fn pin(&mut self, world: &mut World, node: usize) {
        let shard = self.random.between(1, self.shards);
        self.pinned.insert(shard);
        self.ask_once(world, &["PIN", &label('s', shard), "NODE", &label('n', node as u64 + 1)]);
    }

    pub(crate) fn unpin(&mut self, world: &mut World) {
        let pinned: Vec<u64> = self.pinned.iter().copied().collect();
        if !pinned.is_empty() {
            let shard = self.random.pick(&pinned);
            self.ask_once(world, &["UNPIN", &label('s', shard)]);
        }
    }

    pub(crate) fn freeze(&mut self, world: &mut World) {
        let on = self.random.permille(500);
        self.frozen |= on;
        self.ask_once(world, &["FREEZE", if on { "ON" } else { "OFF" }]);
    }

    /// The next spare machine joins; it starts before or after the others know of it.
    pub(crate) fn join(&mut self, world: &mut World) {
        let next = self.spares.iter().copied().find(|it| !self.joined.contains_key(it));
        let Some(node) = next else { return };
        let member = members(node + 1)[node].to_string();
        self.joined.insert(node, self.wishes.len());
        self.wish(vec![String::from("JOIN"), member]);
        let start = world.now() + self.random.between(0, 3 * SECOND);
        world.schedule(start, Event::Start { node });
        world.machines[node].serves = true;
    }

    /// A member goes for good: at most one in a run.
    pub(crate) fn remove(&mut self, world: &World, node: usize) {
        let is_needed = !self.spares.is_empty() && node == self.contact;
        let data = world.len() - self.spares.len() + self.joined.len();
        if self.removed.is_some() || is_needed || !self.wants_running(node) || data < 3 {
            return;
        }
        self.removed = Some((node, self.wishes.len()));
        self.wish(vec![String::from("REMOVE"), label('n', node as u64 + 1)]);
    }

    /// What was ordered for a while is called off. `keeps`: one drain is not, if there is one and
    /// nobody leaves: a drained node is given no replicas, and the leaving one's may have no other
    /// place.
    pub(crate) fn end(&mut self, keeps: bool) {
        let keeps = keeps && self.removed.is_none();
        self.calls_off = self.wishes.len();
        let removed = self.removed.map(|(node, _)| node);
        for node in core::mem::take(&mut self.drained) {
            // Whoever calls off a drain calls off a removal.
            if Some(node) == removed || !self.wants_running(node) {
                continue;
            }
            if keeps && self.kept.is_none() {
                self.kept = Some((node, self.wishes.len()));
                self.wish(vec![String::from("DRAIN"), label('n', node as u64 + 1)]);
            } else {
                let off = String::from("OFF");
                self.wish(vec![String::from("DRAIN"), label('n', node as u64 + 1), off]);
            }
        }
        for shard in core::mem::take(&mut self.pinned) {
            self.wish(vec![String::from("UNPIN"), label('s', shard)]);
        }
        if self.frozen {
            self.wish(vec![String::from("FREEZE"), String::from("OFF")]);
        }
    }

    fn wish(&mut self, words: Vec<String>) {
        self.wishes.push(Wish { words, under_way: None, end: None });
    }

    /// A machine that is no member any more runs on for a while, and may not even know; then it
    /// is switched off.
    pub(crate) fn switch_off(&mut self, world: &mut World) {
        let Some((node, wish)) = self.removed else { return };
        if self.off_at.is_none() && self.wishes[wish].end == Some(Granted::Yes) {
            let manager = holder_of(world, ShardId::SYSTEM);
            let went = |manager: usize| !world.machines[manager].members.contains(&node_id(node));
            if manager.is_some_and(went) {
                self.off_at = Some(world.now() + self.random.skewed(SECOND / 10, OFF_MAX));
            }
        }
        if self.off_at.is_some_and(|at| at <= world.now()) {
            self.is_off = true;
            world.machines[node].serves = false;
            world.kill(node, false);
        }
    }

    /// Asks for what was not granted yet.
    pub(crate) fn insist(&mut self, world: &mut World) {
        for at in 0..self.wishes.len() {
            let wish = &self.wishes[at];
            let waits = wish.under_way.filter(|(_, since)| world.now() < since + ANSWER_MAX);
            // One thing after the other: a drain that is kept comes after one that is called off.
            if wish.end.is_some() || waits.is_some() || self.is_early(at) {
                continue;
            }
            if let Some((old, _)) = wish.under_way {
                world.disconnect(old);
            }
            let words = wish.words.clone();
            let connection = self.ask(world, &words);
            self.wishes[at].under_way = Some((connection, world.now()));
        }
    }

    /// Nobody is sent away before it has come, and nothing is called off before there is an answer
    /// to who asked for it: it may still wait at some node.
    fn is_early(&self, wish: usize) -> bool {
        if wish >= self.calls_off && !self.once.is_empty() {
            return true;
        }
        let removed = self.removed.filter(|(_, at)| *at == wish).map(|(node, _)| node);
        let joined = removed.and_then(|node| self.joined.get(&node));
        joined.is_some_and(|at| self.wishes[*at].end.is_none())
    }

    fn ask_once(&mut self, world: &mut World, words: &[&str]) {
        let words: Vec<String> = words.iter().map(|word| String::from(*word)).collect();
        let connection = self.ask(world, &words);
        self.once.push(connection);
    }

    fn ask(&mut self, world: &mut World, words: &[String]) -> ConnectionId {
        let connection = world.connect(self.random.index(world.len()));
        let words = core::iter::once("LEASEHOLD").chain(words.iter().map(String::as_str));
        world.send(connection, words.map(|word| word.as_bytes().to_vec()).collect());
        connection
    }

    /// Whether the connection is an operator's. `reply`: what came on it; none if it broke.
    pub(crate) fn owns(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        reply: Option<&[u8]>,
    ) -> bool {
        if let Some(at) = self.once.iter().position(|it| *it == connection) {
            self.once.swap_remove(at);
            world.disconnect(connection);
            return true;
        }
        let asked = |wish: &Wish| wish.under_way.is_some_and(|(it, _)| it == connection);
        let Some(wish) = self.wishes.iter_mut().find(|wish| asked(wish)) else { return false };
        world.disconnect(connection);
        wish.under_way = None;
        wish.end = match reply {
            Some(b"+OK\r\n") => Some(Granted::Yes),
            // Removed already.
            Some(text) if contains(text, b"there is no node") => Some(Granted::Yes),
            Some(text) if text.starts_with(b"-ERR") => Some(Granted::Refused),
            Some(_) | None => None,
        };
        true
    }

    /// What was asked for and is not so, though all have had the time.
    pub(crate) fn is_missing(&self, world: &mut World) -> Option<String> {
        if let Some(wish) = self.wishes.iter().find(|wish| wish.end.is_none()) {
            return Some(format!("{:?} is not granted", wish.words));
        }
        let granted = |at: usize| self.wishes[at].end == Some(Granted::Yes);
        let system = holder_of(world, ShardId::SYSTEM);
        let Some(list) = system.map(|node| world.machines[node].members.clone()) else {
            return Some(String::from("there is no manager"));
        };
        for (node, wish) in &self.joined {
            let went = self.removed.is_some_and(|(removed, _)| removed == *node);
            if granted(*wish) && !list.contains(&node_id(*node)) && !went {
                return Some(format!("{} has not joined", node_id(*node)));
            }
        }
        if let Some((node, wish)) = self.removed
            && granted(wish)
            && list.contains(&node_id(node))
        {
            return Some(format!("{} is not removed", node_id(node)));
        }
        for node in &list {
            let at = node.0 as usize - 1;
            if world.machines[at].members != list {
                let known = &world.machines[at].members;
                return Some(format!("{node} knows {known:?} instead of {list:?}"));
            }
        }
        for shard in (0..=self.shards).map(|shard| ShardId(shard as u32)) {
            let holder = holder_of(world, shard);
            // The only replica can go nowhere.
            let alone = holder.is_some_and(|node| {
                let views = world.replicas(node).unwrap_or_default();
                views.iter().any(|view| view.shard == shard && view.voters.len() == 1)
            });
            let drained = self.kept.filter(|(_, wish)| granted(*wish)).map(|(node, _)| node);
            if holder.is_some() && holder == drained && !alone {
                return Some(format!("{shard} is held by a drained node"));
            }
        }
        None
    }
}

/// The members, as the manager's node knows them; everybody if there is no manager.
pub(crate) fn known_members(world: &mut World) -> Vec<NodeId> {
    match holder_of(world, ShardId::SYSTEM) {
        Some(manager) => world.machines[manager].members.clone(),
        None => (0..world.len()).map(node_id).collect(),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn label(letter: char, number: u64) -> String {
    format!("{letter}{number}")
}

/// The machine that holds a shard.
pub(crate) fn holder_of(world: &mut World, shard: ShardId) -> Option<usize> {
    find_holder(world, shard).map(|(node, _)| node)
}

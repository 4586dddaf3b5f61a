//! Commands about the Lease Manager:
//!
//! - `managers`: the nodes that take themselves for the active manager.
//! - `leases`: who holds what, s0 being the system shard.
//! - `members`: the cluster's nodes, as each node that runs knows them.
//! - `voters s1`: the replicas of a shard, as its leader knows them.
//! - `decisions`: which leases and replicas managers wanted to move since it was last asked.
//! - `order n1 n2 s1 transfer n3 e4`: n1 sends n2 an order that no manager gave, about lease e4 of
//!   s1; others are `campaign e4`, `heirs n3 n1 e4`, and `replicas n1 n2 n4 v2` of generation 2.
//! - `load 200 10s a b`: for ten seconds clients read each of the keys 200 times a second, at the
//!   nodes that hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cluster::{Message, Order, ReplicaView};
use types::{LeaseEpoch, NodeId, ShardId};

use super::{Result, Stage, fail, node, number, time};
use crate::world::{ConnectionId, SECOND, World, node_id};

/// How long a node has to answer an order.
const ANSWER_TIME: u64 = SECOND / 2;

/// The numbers of orders made by hand begin here: no node's own order has such a one.
const FIRST_ORDER: u64 = 1 << 60;

impl Stage {
    /// Carries out one of these commands; `None` if it is another one.
    pub(super) fn manage(&mut self, verb: &str, rest: &[&str]) -> Result<Option<String>> {
        let shown = match (verb, rest) {
            ("managers", []) => managers(self.world()?),
            ("leases", []) => leases(self.world()?),
            ("members", []) => members(self.world()?),
            ("voters", [shard]) => voters(self.world()?, ShardId(number(shard, 's')?)),
            ("decisions", []) => self.decisions()?,
            ("order", [from, to, shard, order @ ..]) => {
                let shard = ShardId(number(shard, 's')?);
                self.order(node(from)?, node(to)?, shard, parse_order(order)?)?
            }
            ("load", [rate, how_long, keys @ ..]) => {
                let rate = rate.parse().ok().filter(|rate| (1..=SECOND).contains(rate));
                let Some(rate) = rate else { return fail("a load has a rate") };
                self.load(rate, time(how_long)?, keys)?
            }
            _ => return Ok(None),
        };
        Ok(Some(shown))
    }

    fn decisions(&mut self) -> Result<String> {
        let seen = self.seen_decisions;
        let decisions = events(self.world()?).filter_map(|(name, event)| {
            let text = event.strip_prefix("Decided(\"")?.strip_suffix("\")")?;
            // Its number counts the orders of heirs, too, which are left out.
            let (_, text) = text.split_once(' ')?;
            Some(format!("{name}: {text}"))
        });
        let decisions: Vec<String> = decisions.collect();
        self.seen_decisions = decisions.len();
        let new = decisions.get(seen..).unwrap_or_default();
        let mut text = String::new();
        for (at, decision) in new.iter().enumerate().filter(|(at, it)| !new[..*at].contains(it)) {
            let again = new[at + 1..].iter().filter(|other| *other == decision).count();
            let times = if again > 0 { format!(" ({} times)", again + 1) } else { String::new() };
            let _ = writeln!(text, "{decision}{times}");
        }
        Ok(if text.is_empty() { String::from("nothing\n") } else { text })
    }

    /// Sends an order as a manager would, and shows the answer.
    fn order(&mut self, from: usize, to: usize, shard: ShardId, order: Order) -> Result<String> {
        let number = FIRST_ORDER + self.orders;
        self.orders += 1;
        self.world()?.send_message(from, to, &Message::Order { number, shard, order });
        let begin =
            format!("n{} <- n{} OrderReply {{ number: {number}, outcome: ", from + 1, to + 1);
        let end = self.world()?.now() + ANSWER_TIME;
        let answer = |stage: &mut Self| {
            let lines = stage.world.as_ref()?.trace.lines();
            let found = lines.filter_map(|line| line.split_once(&begin));
            found.last().map(|(_, outcome)| outcome.trim_end_matches(" }").to_owned())
        };
        self.until(end, |stage| answer(stage).is_some())?;
        Ok(answer(self).unwrap_or_else(|| String::from("no answer")) + "\n")
    }

    /// The homes of the keys are looked up anew ten times a second.
    fn load(&mut self, rate: u64, how_long: u64, keys: &[&str]) -> Result<String> {
        let (begin, step) = (self.world()?.now(), SECOND / rate);
        let mut connections: BTreeMap<usize, ConnectionId> = BTreeMap::new();
        let mut homes = Vec::new();
        for at in 0..how_long / step {
            self.until(begin + at * step, |_| false)?;
            let world = self.world()?;
            if at % rate.div_ceil(10) == 0 {
                homes = keys.iter().map(|key| holder_of(world, key.as_bytes())).collect();
            }
            for (key, home) in keys.iter().zip(&homes) {
                let Some(home) = *home else { continue };
                let connection = *connections.entry(home).or_insert_with(|| world.connect(home));
                world.send(connection, vec![b"get".to_vec(), key.as_bytes().to_vec()]);
            }
        }
        self.until(begin + how_long, |_| false)?;
        for connection in connections.into_values() {
            self.world()?.disconnect(connection);
        }
        Ok(String::new())
    }
}

/// The machine that holds a key's shard.
fn holder_of(world: &mut World, key: &[u8]) -> Option<usize> {
    let slot = resp::slot_of(key);
    (0..world.len()).find(|at| {
        let views = world.replicas(*at).unwrap_or_default();
        let is_it = |view: &ReplicaView| view.shard != ShardId::SYSTEM && view.range.contains(slot);
        views.iter().any(|view| view.holds && is_it(view))
    })
}

/// What nodes have observed: their names, and what.
fn events(world: &World) -> impl Iterator<Item = (&str, &str)> {
    world.trace.lines().filter_map(|line| line.trim_start().split_once(' ')?.1.split_once(' '))
}

fn managers(world: &World) -> String {
    let mut managers = BTreeSet::new();
    for (name, event) in events(world) {
        if event.starts_with("ManagerBegun") {
            managers.insert(name);
        } else if ["ManagerEnded", "dies", "has stopped"].iter().any(|it| event.starts_with(it)) {
            managers.remove(name);
        }
    }
    listed(managers.into_iter().map(str::to_owned), "nobody") + "\n"
}

fn leases(world: &mut World) -> String {
    let mut text = String::new();
    for at in 0..world.len() {
        let Some(mut views) = world.replicas(at) else { continue };
        views.sort_by_key(|view| view.shard);
        let held = views.iter().filter(|view| view.holds);
        let held = held.map(|view| format!("{} {}", view.shard, view.epoch));
        let _ = writeln!(text, "n{}: {}", at + 1, listed(held, "nothing"));
    }
    text
}

fn members(world: &World) -> String {
    let mut known: BTreeMap<&[NodeId], Vec<NodeId>> = BTreeMap::new();
    for at in 0..world.len() {
        let machine = &world.machines[at];
        if machine.process.is_some() {
            known.entry(&machine.members).or_default().push(node_id(at));
        }
    }
    let mut text = String::new();
    for (members, nodes) in known {
        let (nodes, members) = (nodes.iter().map(NodeId::to_string), members.iter());
        let members = listed(members.map(NodeId::to_string), "nobody");
        let _ = writeln!(text, "{} know {members}", listed(nodes, "nobody"));
    }
    text
}

fn voters(world: &mut World, shard: ShardId) -> String {
    let mut text = String::new();
    for at in 0..world.len() {
        let views = world.replicas(at).unwrap_or_default();
        let leads = |view: &&ReplicaView| view.shard == shard && view.leader == Some(node_id(at));
        let Some(view) = views.iter().find(leads) else { continue };
        let names = |nodes: &[NodeId]| {
            let mut nodes = nodes.to_vec();
            nodes.sort_unstable();
            listed(nodes.iter().map(NodeId::to_string), "nobody")
        };
        let _ = write!(text, "{}: voters {}", node_id(at), names(&view.voters));
        if !view.learners.is_empty() {
            let _ = write!(text, "; learners {}", names(&view.learners));
        }
        if names(&view.goal) != names(&view.voters) {
            let _ = write!(text, "; wanted {}", names(&view.goal));
        }
        text.push('\n');
    }
    if text.is_empty() { String::from("no leader\n") } else { text }
}

fn listed(names: impl Iterator<Item = String>, none: &str) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

fn parse_order(words: &[&str]) -> Result<Order> {
    let nodes = |names: &[&str]| -> Result<Vec<NodeId>> {
        names.iter().map(|name| number(name, 'n').map(NodeId)).collect()
    };
    let epoch = |text| number(text, 'e').map(|epoch| LeaseEpoch(u64::from(epoch)));
    match words {
        ["transfer", target, about] => {
            let target = NodeId(number(target, 'n')?);
            Ok(Order::Transfer { target, epoch: Some(epoch(about)?) })
        }
        ["campaign", about] => Ok(Order::Campaign { epoch: epoch(about)? }),
        ["heirs", heirs @ .., about] => {
            Ok(Order::Succession { heirs: nodes(heirs)?, epoch: epoch(about)? })
        }
        ["replicas", goal @ .., about] => {
            let generation = u64::from(number(about, 'v')?);
            Ok(Order::Replicas { goal: nodes(goal)?, generation, dead: None })
        }
        _ => fail(format!("there is no order `{}`", words.join(" "))),
    }
}

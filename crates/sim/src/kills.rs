//! A short story, told again and again: each time one of its nodes dies at another step.
//!
//! A story begins with a cluster at rest and an order, and is over when that is carried out. Told
//! once without a death, it shows its steps. Then it is told once for every step, every node and
//! both ways to die (the process, or the power of its machine); the node starts again a moment
//! later. Whatever the step, no rule may be broken, clients must have seen what a correct store
//! shows, in the end every shard has one holder and its replicas agree, and an order that was
//! acknowledged, or stands in the shard's own log, is carried out.

use std::time::Duration;

use cluster::{ReplicaView, Settings};
use types::{NodeId, ShardId};

use crate::clients::{Clients, Phase};
use crate::machine::DiskProfile;
use crate::network::NetworkProfile;
use crate::operators::holder_of;
use crate::plan::members;
use crate::random::Random;
use crate::run::state_of_shards;
use crate::trace::TraceMode;
use crate::workload::{Class, Workload};
use crate::world::{
    ConnectionId, Event, Happening, MILLISECOND, MachineProfile, SECOND, World, node_id,
};

/// How long anything may take that a story waits for.
const PATIENCE: u64 = 20 * SECOND;
/// How long an order may take that a death has interrupted: the shard of a move that failed rests
/// for the policy's `failure_back_off`.
const OBEDIENCE: u64 = 90 * SECOND;
/// How long a dead node stays so.
const DEAD: u64 = 150 * MILLISECOND;
/// How often all replicas are looked at.
const LOOK_INTERVAL: u64 = 10 * MILLISECOND;
const SEARCH_STEPS: u64 = 20_000;

/// The shard that the stories are about.
const SHARD: ShardId = ShardId(1);
/// Who holds it at first, and who holds the system shard: the manager.
const SOURCE: usize = 0;
const MANAGER: usize = 1;
/// Who is to have the lease.
const TARGET: usize = 2;
/// Where the replicas are to be; one of them is new there, and the one on the third node goes.
const GOAL: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(4)];

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Story {
    /// The lease goes from one node to another, by order of the manager on a third one.
    HandOver,
    /// A replica goes from one node to another: a learner is fed and gets its vote, then the old
    /// one leaves. The holder is told so as by the manager.
    Move,
}

/// All stories.
pub const STORIES: [Story; 2] = [Story::HandOver, Story::Move];

/// At which steps nodes die.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Each node before its first own step after each change of what the replicas show: logs,
    /// terms, leases, who is a replica. A node's own steps are its turns, the ends of its commits,
    /// and the arrivals of its messages, other than beats.
    Changes,
    /// The same, and one of so many of its other own steps besides. With 1, any moment that is left
    /// out is like one that is not.
    Steps(usize),
    /// Each node before anything happens anywhere.
    Everything,
}

/// What became of all tellings of a story.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Events from the order to its completion.
    pub events: usize,
    /// How often the story was told.
    pub told: usize,
    /// What was wrong, and with which death.
    pub broken: Vec<String>,
}

/// A death: before which event, whose, and whether the power fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Death {
    event: usize,
    node: usize,
    power: bool,
}

/// Tells a story with a death at every step.
#[must_use]
pub fn kill_everywhere(story: Story, extent: Extent) -> Tally {
    let mut first = Telling::begin(story, None);
    first.tell();
    let steps = core::mem::take(&mut first.steps);
    let mut tally = Tally { events: steps.len(), told: 1, broken: Vec::new() };
    tally.broken.extend(first.end().map(|text| format!("without a death: {text}")));
    let (mut told_at, mut seen) = (vec![usize::MAX; story.nodes()], 0usize);
    for (event, step) in steps.iter().enumerate() {
        for (node, told_at) in told_at.iter_mut().enumerate() {
            let acts = step.actor == Some(node);
            seen += usize::from(acts);
            let is_new = acts && *told_at != step.changes;
            let dies = match extent {
                Extent::Changes => is_new,
                Extent::Steps(share) => is_new || acts && seen % share == 0,
                Extent::Everything => true,
            };
            if is_new {
                *told_at = step.changes;
            }
            for power in [false, true].into_iter().filter(|_| dies) {
                let death = Death { event, node, power };
                let mut telling = Telling::begin(story, Some(death));
                telling.tell();
                tally.told += 1;
                let broken = telling.end();
                tally.broken.extend(broken.map(|text| format!("{story:?}, {death:?}: {text}")));
            }
        }
    }
    tally
}

impl Story {
    fn nodes(self) -> usize {
        match self {
            Self::HandOver => 3,
            Self::Move => 4,
        }
    }

    /// The fewer slots a shard has, the fewer images feed a new replica.
    fn shards(self) -> u16 {
        match self {
            Self::HandOver => 1,
            Self::Move => 16,
        }
    }

    fn is_over(self, world: &mut World) -> bool {
        let holder = holder_of(world, SHARD);
        match self {
            Self::HandOver => holder == Some(TARGET),
            Self::Move => {
                let views = holder.and_then(|node| world.replicas(node)).unwrap_or_default();
                let is_there = |view: &ReplicaView| view.voters == GOAL && view.learners.is_empty();
                views.iter().any(|view| view.shard == SHARD && is_there(view))
            }
        }
    }
}

/// An event on the way from the order to its completion.
#[derive(Clone, Copy)]
struct Step {
    /// Whose step it is.
    actor: Option<usize>,
    /// How often what the replicas show had changed before.
    changes: usize,
}

struct Telling {
    story: Story,
    death: Option<Death>,
    world: World,
    clients: Clients,
    /// Since the order.
    steps: Vec<Step>,
    /// What the replicas of the shard showed last, and how often that has changed.
    shown: (Vec<ReplicaView>, usize),
    /// Nobody dies.
    is_first: bool,
    is_ordered: bool,
    /// On which connection the order was given, if on one.
    order: Option<ConnectionId>,
    is_acknowledged: bool,
    wrong: Option<String>,
}

impl Telling {
    fn begin(story: Story, death: Option<Death>) -> Self {
        let nodes = story.nodes();
        let mut world =
            World::new(7, machines(story), NetworkProfile::without_chance(), TraceMode::Hash);
        for node in 0..nodes {
            world.schedule(0, Event::Start { node });
        }
        let workload = Workload {
            clients: 3,
            classes: vec![Class::Register, Class::Counter],
            variety: crate::aside::Variety::default(),
            keys: 1,
            pipeline: 1,
            reads_permille: 400,
            think: 5 * MILLISECOND,
            patience: SECOND,
            value_bytes: 0,
            one_slot: false,
        };
        let clients = Clients::new(workload, Random::new(7));
        let (steps, shown, is_ordered, wrong) = (Vec::new(), (Vec::new(), 0), false, None);
        let is_first = death.is_none();
        Self {
            story,
            death,
            world,
            clients,
            steps,
            shown,
            is_first,
            is_ordered,
            order: None,
            is_acknowledged: false,
            wrong,
        }
    }

    fn tell(&mut self) {
        self.until("holders", |it| {
            holder_of(&mut it.world, SHARD).is_some()
                && holder_of(&mut it.world, ShardId::SYSTEM).is_some()
        });
        self.seat(ShardId::SYSTEM, MANAGER);
        self.seat(SHARD, SOURCE);
        // The manager knows where everything is.
        let known = if self.story == Story::HandOver { 2500 * MILLISECOND } else { 0 };
        let reported = self.world.now() + known;
        self.until("rest", |it| it.world.now() >= reported);
        self.clients.start(&mut self.world);
        let acquainted = self.world.now() + 60 * MILLISECOND;
        self.until("clients", |it| it.world.now() >= acquainted);
        self.is_ordered = true;
        match self.story {
            Story::HandOver => {
                self.order = Some(self.ask(MANAGER, &["LEASEHOLD", "PIN", "s1", "NODE", "n3"]));
            }
            Story::Move => {
                self.world.order_replicas(SOURCE, SHARD, &GOAL);
            }
        }
        if self.is_first {
            self.until("the story's end", |it| it.story.is_over(&mut it.world));
        } else {
            self.until("the death", |it| it.death.is_none());
            let after = self.world.now() + DEAD + 50 * MILLISECOND;
            self.until("the return", |it| it.world.now() >= after);
        }
        self.is_ordered = false;
        self.clients.phase = Phase::Drain;
        self.until("recovery", |it| {
            let shards = state_of_shards(&mut it.world);
            let is_well = shards.len() == usize::from(it.story.shards()) + 1
                && shards.iter().all(|(_, state)| state.is_well());
            is_well && it.clients.are_idle()
        });
        if self.is_acknowledged {
            self.until_late("obedience", OBEDIENCE, |it| it.story.is_over(&mut it.world));
        }
        self.clients.begin_audit(&mut self.world);
        self.until("the last reads", |it| it.clients.are_idle());
    }

    /// Says what was wrong, if anything was.
    fn end(mut self) -> Option<String> {
        self.world.inspect(&self.clients.slots());
        let broken = self.world.violation().map(ToString::to_string);
        let report = history::check(&self.clients.history, SEARCH_STEPS);
        let unclean = (!report.is_clean()).then(|| report.to_string());
        broken.or(self.wrong).or(unclean)
    }

    fn ask(&mut self, node: usize, words: &[&str]) -> ConnectionId {
        let connection = self.world.connect(node);
        self.world.send(connection, words.iter().map(|word| word.as_bytes().to_vec()).collect());
        connection
    }

    /// Brings a lease to a node.
    fn seat(&mut self, shard: ShardId, node: usize) {
        while self.wrong.is_none() && holder_of(&mut self.world, shard) != Some(node) {
            let (number, target) = (shard.0.to_string(), (node + 1).to_string());
            self.ask(node, &["LEASEHOLD", "TRANSFER", &number, &target]);
            let later = self.world.now() + 200 * MILLISECOND;
            self.until("a seat", |it| it.world.now() >= later);
        }
    }

    /// Goes on until something is so.
    fn until(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) {
        self.until_late(what, PATIENCE, done);
    }

    fn until_late(&mut self, what: &str, patience: u64, done: impl Fn(&mut Self) -> bool) {
        let end = self.world.now() + patience;
        let mut next_look = 0;
        while self.wrong.is_none() && self.world.violation().is_none() {
            // To look at every event would cost more than the events.
            if self.world.now() >= next_look {
                next_look =
                    self.world.now() + if self.is_ordered { MILLISECOND } else { LOOK_INTERVAL };
                if done(self) {
                    return;
                }
            }
            if self.world.now() > end {
                let shards = state_of_shards(&mut self.world);
                self.wrong = Some(format!("{what} did not come: {shards:?}"));
            }
            self.step();
        }
    }

    fn note_changes(&mut self) {
        let nodes = 0..self.world.len();
        let views = nodes.filter_map(|node| self.world.replicas(node)).flatten();
        let views: Vec<ReplicaView> = views.filter(|view| view.shard == SHARD).collect();
        if views != self.shown.0 {
            self.shown = (views, self.shown.1 + 1);
        }
    }

    fn step(&mut self) {
        if self.is_ordered {
            if let Some(death) = self.death.filter(|death| death.event == self.steps.len()) {
                self.death = None;
                self.world.kill(death.node, death.power);
                let back = self.world.now() + DEAD;
                self.world.schedule(back, Event::Start { node: death.node });
            }
            let actor = self.world.next_actor();
            if actor.is_some() && self.is_first {
                self.note_changes();
            }
            self.steps.push(Step { actor, changes: self.shown.1 });
        }
        let before = self.world.now();
        match self.world.step() {
            Happening::Reply(connection, bytes) if Some(connection) == self.order => {
                self.is_acknowledged = bytes.starts_with(b"+OK");
            }
            Happening::Reply(connection, bytes) => {
                self.clients.on_reply(&mut self.world, connection, &bytes);
            }
            Happening::Closed(connection) => self.clients.on_closed(&mut self.world, connection),
            Happening::Timer(token) => self.clients.on_timer(&mut self.world, token),
            Happening::Nothing => {}
        }
        if self.world.now() / LOOK_INTERVAL > before / LOOK_INTERVAL {
            self.world.inspect(&[]);
        }
        if let Some(text) = self.clients.oddity.take() {
            self.wrong = Some(text);
        }
    }
}

fn machines(story: Story) -> Vec<MachineProfile> {
    let nodes = story.nodes();
    let mut base = Settings::new(NodeId(1), members(nodes));
    base.shards = story.shards();
    // Nothing but what is told moves.
    base.policy.replica_spread = 100.0;
    base.replicas = 3;
    base.beat_interval = Duration::from_millis(50);
    base.support_duration = Duration::from_millis(300);
    base.campaign_step = Duration::from_millis(50);
    base.transfer_time = Duration::from_millis(300);
    base.redirect = cluster::Redirect::Never;
    // Every telling writes its segments anew.
    base.segment_bytes = 128 << 10;
    base.log_bytes = 4 * base.segment_bytes;
    let machine = |at: usize| MachineProfile {
        settings: Settings { node: node_id(at), ..base.clone() },
        clock_offset: (at as u64 + 1) * 1000 * SECOND,
        clock_rate: 0,
        disk: DiskProfile::without_chance(),
    };
    (0..nodes).map(machine).collect()
}

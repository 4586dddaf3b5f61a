//! Who decides: the manager under test, or what it is compared with.

use std::time::Duration;

use placement::{Action, Command, Decision, Duty, Generation, Locality, Manager, Outcome, Policy};
use types::{LeaseEpoch, Monotonic, NodeId, SlotRange};

use crate::bound;
use crate::demand::Source;
use crate::random::Random;
use crate::scenario::Scenario;
use crate::world::{Happened, World, shard_id};

/// A way to place leases.
#[derive(Clone, PartialEq, Debug)]
pub enum PolicyKind {
    /// Leases stay where they are; only failover moves them.
    Static,
    /// Every five seconds four leases go to a random replica.
    Random,
    /// The manager, deciding once in this time.
    Reactive {
        /// The time between two rounds.
        every: Duration,
        /// Its settings.
        policy: Box<Policy>,
    },
    /// Somebody who knows the load of this second and moves leases at once.
    Oracle,
}

impl PolicyKind {
    /// The manager with its defaults.
    #[must_use]
    pub fn reactive(every: Duration) -> Self {
        Self::Reactive { every, policy: Box::default() }
    }

    /// The same, wherever clients are.
    #[must_use]
    pub fn without_proximity(every: Duration) -> Self {
        let policy = Policy { proximity_weight: 0.0, ..Policy::default() };
        Self::Reactive { every, policy: Box::new(policy) }
    }

    /// All that are compared in a scenario: where clients are in places, the manager without
    /// regard to them as well.
    #[must_use]
    pub fn all_for(scenario: &Scenario) -> Vec<Self> {
        let mut all = Self::all();
        if scenario.workload.clients.is_some() {
            all.push(Self::without_proximity(Duration::from_secs(1)));
        }
        all
    }

    /// All that are compared anywhere.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let second = Duration::from_secs(1);
        let reactive = [Self::reactive(second), Self::reactive(second * 5)];
        [Self::Static, Self::Random].into_iter().chain(reactive).chain([Self::Oracle]).collect()
    }

    /// The policy of this name, as [`PolicyKind::name`] gives it; `reactive-Ns` for any N from 1
    /// to 60 is the manager with its defaults, and `no-proximity-Ns` the same without regard to
    /// where clients are.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let every = |prefix: &str| {
            let seconds = name.strip_prefix(prefix)?.strip_suffix('s')?.parse().ok()?;
            (1..=ROUND_SECONDS_MAX).contains(&seconds).then(|| Duration::from_secs(seconds))
        };
        let known = Self::all().into_iter().find(|kind| kind.name() == name);
        known
            .or_else(|| every("reactive-").map(Self::reactive))
            .or_else(|| every("no-proximity-").map(Self::without_proximity))
    }

    /// Its name in reports.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Static => "static".into(),
            Self::Random => "random".into(),
            Self::Reactive { every, policy } if policy.proximity_weight > 0.0 => {
                format!("reactive-{}s", every.as_secs())
            }
            Self::Reactive { every, .. } => format!("no-proximity-{}s", every.as_secs()),
            Self::Oracle => "oracle".into(),
        }
    }
}

/// Most seconds between two rounds of a manager that is called by name.
const ROUND_SECONDS_MAX: u64 = 60;
/// Moves of the random policy in one round.
const RANDOM_MOVES: usize = 4;
/// Seconds between them.
const RANDOM_EVERY: u64 = 5;
/// The oracle moves only if the fullest node becomes emptier by this.
const ORACLE_GAIN: f64 = 0.98;

/// A manager and when it decides next.
struct Seat {
    manager: Manager,
    decide_at: Duration,
    number: usize,
}

/// Whoever decides.
pub(crate) struct Control {
    kind: PolicyKind,
    seats: Vec<Seat>,
    /// Managers so far: outcomes of one that is gone reach nobody.
    numbered: usize,
    random: Random,
    duties: Vec<(NodeId, Duty)>,
    /// Decisions of the managers that are gone.
    archive: Vec<Decision>,
    pub(crate) refused_orders: u32,
    pub(crate) refused_reports: u32,
}

/// Virtual time on the manager's clock. It begins late, so that nodes may be older than it.
fn clock(now: Duration) -> Monotonic {
    Monotonic(0) + Duration::from_secs(1000) + now
}

impl Control {
    pub(crate) fn new(kind: PolicyKind, seed: u64) -> Self {
        Self {
            kind,
            seats: Vec::new(),
            numbered: 0,
            random: Random::new(seed ^ 0x7261_6e64),
            duties: Vec::new(),
            archive: Vec::new(),
            refused_orders: 0,
            refused_reports: 0,
        }
    }

    /// Begins a manager, if there is one in this policy. It is told the facts and no load.
    pub(crate) fn begin(&mut self, world: &World) {
        let PolicyKind::Reactive { every, policy } = &self.kind else { return };
        let manager = Manager::new((**policy).clone(), self.numbered as u64);
        let manager = manager.expect("the caller gave a valid policy");
        let decide_at = world.now + *every;
        self.seats.push(Seat { manager, decide_at, number: self.numbered });
        self.numbered += 1;
        for node in world.nodes.keys() {
            self.tell_node(world, *node);
        }
        for shard in 0..world.shards.len() {
            self.tell_shard(world, shard);
        }
        for (node, duty) in self.duties.clone() {
            self.tell(world, &Command::Duty(node, duty));
        }
    }

    /// Ends the first manager, or the last one.
    pub(crate) fn end(&mut self, first: bool) {
        if !self.seats.is_empty() {
            let seat = self.seats.remove(if first { 0 } else { self.seats.len() - 1 });
            self.archive.extend(seat.manager.records().cloned());
        }
    }

    fn tell(&mut self, world: &World, command: &Command) {
        for seat in &mut self.seats {
            // A manager that is told again what it knows refuses, and that is fine.
            let _ = seat.manager.command(clock(world.now), command.clone());
        }
    }

    pub(crate) fn tell_node(&mut self, world: &World, node: NodeId) {
        let zone = world.nodes.get(&node).map_or(0, |node| node.zone);
        let zone = format!("zone-{zone}");
        let locality = Locality { zone, ..Locality::default() };
        self.tell(world, &Command::Node { node, locality });
    }

    pub(crate) fn tell_shard(&mut self, world: &World, number: usize) {
        let count = u16::try_from(world.shards.len()).expect("there are at most 1024 shards");
        let range = SlotRange::even_cut(count)[number];
        let shard = &world.shards[number];
        let (replicas, generation) = (shard.replicas.clone(), Generation(shard.generation));
        let command = Command::Shard { shard: shard_id(number), range, replicas, generation };
        self.tell(world, &command);
    }

    pub(crate) fn set_duty(&mut self, world: &World, node: NodeId, duty: Duty) {
        self.duties.push((node, duty));
        self.tell(world, &Command::Duty(node, duty));
    }

    /// Passes on what has happened.
    pub(crate) fn hear(&mut self, world: &World, happened: &Happened) {
        let now = clock(world.now);
        for number in &happened.changed {
            self.tell_shard(world, *number);
        }
        for seat in &mut self.seats {
            let mine = |by: &usize| *by == seat.number;
            for (_, order, epoch) in happened.done.iter().filter(|(by, _, _)| mine(by)) {
                let _ = seat.manager.outcome(now, *order, Outcome::Applied { epoch: *epoch });
            }
            for (_, order) in happened.failed.iter().filter(|(by, _)| mine(by)) {
                let _ = seat.manager.outcome(now, *order, Outcome::Failed);
            }
            for report in &happened.reports {
                let refused = seat.manager.observe(now, report.clone()).is_err();
                self.refused_reports += u32::from(refused);
            }
        }
    }

    /// Lets whoever decides decide.
    pub(crate) fn act(&mut self, world: &mut World, source: &Source) {
        match self.kind {
            PolicyKind::Static => {}
            PolicyKind::Random => {
                if is_whole(world.now, RANDOM_EVERY) {
                    self.scatter(world, RANDOM_MOVES);
                }
            }
            PolicyKind::Reactive { every, .. } => self.decide(world, every),
            PolicyKind::Oracle => {
                if is_whole(world.now, 1) {
                    follow_oracle(world, source);
                }
            }
        }
    }

    /// Moves leases at random: the random policy, and storms.
    pub(crate) fn scatter(&mut self, world: &mut World, count: usize) {
        for _ in 0..count {
            let shard = self.random.below(world.shards.len());
            let replicas = &world.shards[shard].replicas;
            let to = replicas[self.random.below(replicas.len())];
            world.order(shard, to, LeaseEpoch(world.shards[shard].epoch), None, true);
        }
    }

    fn decide(&mut self, world: &mut World, every: Duration) {
        let now = clock(world.now);
        for seat in &mut self.seats {
            if world.now < seat.decide_at {
                continue;
            }
            seat.decide_at += every;
            for decision in seat.manager.decide(now) {
                if !carry_out(world, &decision, seat.number) {
                    self.refused_orders += 1;
                    let _ = seat.manager.outcome(now, decision.id, Outcome::Stale);
                }
            }
        }
    }

    /// All decisions that are remembered.
    pub(crate) fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.archive.iter().chain(self.seats.iter().flat_map(|seat| seat.manager.records()))
    }
}

/// Whether a second divisible by `seconds` begins.
fn is_whole(now: Duration, seconds: u64) -> bool {
    now.subsec_nanos() == 0 && now.as_secs().is_multiple_of(seconds)
}

fn carry_out(world: &mut World, decision: &Decision, by: usize) -> bool {
    let shard = decision.shard.0 as usize;
    match &decision.action {
        Action::Lease { to, epoch, .. } => {
            let free = decision.reason.is_for_gain();
            world.order(shard, *to, *epoch, Some((by, decision.id)), free)
        }
        Action::Succession { heirs, epoch } => {
            let shard = &mut world.shards[shard];
            let current = shard.epoch == epoch.0;
            if current {
                shard.heirs.clone_from(heirs);
            }
            current
        }
        Action::Replica { from, to, generation } => {
            world.copy(shard, *from, *to, generation.0, (by, decision.id))
        }
    }
}

fn follow_oracle(world: &mut World, source: &Source) {
    let fullest = world.nodes.values().map(|node| node.expected).fold(0.0, f64::max);
    let (places, most) = bound::oracle(world, source);
    if most >= fullest * ORACLE_GAIN {
        return;
    }
    for (shard, to) in places {
        world.order(shard, to, LeaseEpoch(world.shards[shard].epoch), None, true);
    }
}

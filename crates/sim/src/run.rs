//! One run: faults (is it safe?), healing (does it recover?), audit (is everything there?).

use std::collections::BTreeMap;
use std::fmt;

use crate::checks::Violation;
use crate::clients::{Clients, Phase};
use crate::faults::Injector;
use crate::lasting::Ordeal;
use crate::operators::known_members;
use crate::plan::Plan;
use crate::random::Random;
use crate::salvage;
use crate::trace::TraceMode;
use crate::world::{ConnectionId, Counters, Event, Happening, MILLISECOND, SECOND, World};

/// How often all replicas are looked at.
const LOOK_INTERVAL: u64 = 20 * MILLISECOND;
/// Every so many looks the data are compared, too.
const LOOKS_PER_COMPARISON: u64 = 10;
/// Salvage is judged in one of so many runs, since it reads all disks: at the end of the faults and
/// of the run.
const SEEDS_PER_SALVAGE: u64 = 8;
/// How long the cluster may take to recover after everything was put right.
const RECOVERY_MAX: u64 = 30 * SECOND;
/// The same where nodes come and go: an empty replica is fed slot by slot, and on a slow disk that
/// takes its time.
const MOVING_MAX: u64 = 120 * SECOND;
/// Most steps of the search for an order of one key's operations.
const SEARCH_STEPS: u64 = 20_000;
const LOOK: u64 = 16;

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// One number for everything that happened.
    pub hash: u64,
    /// How long it lasted, in nanoseconds of virtual time.
    pub duration: u64,
    /// How long it took until all was well again, in nanoseconds of virtual time.
    pub recovery: u64,
    /// The longest time between two acknowledgements of a shard while a fault lasted.
    pub longest_gap: u64,
    /// Figures.
    pub counters: Counters,
    /// Operations in the history, and how many of them were acknowledged.
    pub operations: usize,
    /// How many of them were acknowledged.
    pub acknowledged: usize,
    /// Keys that the search could not decide.
    pub undecided: usize,
    /// How many faults there were.
    pub faults: u64,
    /// The first broken rule.
    pub violation: Option<Violation>,
    /// What the checker of histories says, if it found fault.
    pub report: String,
    /// The trace's last lines, if they were asked for.
    pub lines: Vec<String>,
    /// How often each situation was reached.
    pub coverage: BTreeMap<String, u64>,
}

struct Run {
    world: World,
    clients: Clients,
    injector: Injector,
    /// The fault that lasts, in a run about one.
    ordeal: Option<Ordeal>,
    /// All nodes went back in time, so clients may see what was before.
    forgets: bool,
    slots: Vec<types::Slot>,
    looks: u64,
    /// Whether salvage is judged.
    salvages: bool,
    /// The first broken rule ends the run.
    ended: Option<Violation>,
}

/// Does what the plan says.
#[must_use]
pub fn run(plan: &Plan, mode: TraceMode) -> Outcome {
    let mut random = Random::new(plan.seed ^ 0x5eed);
    let mut world = World::new(random.draw(), plan.machines(), plan.network.clone(), mode);
    let spares = plan.settings.len() - plan.spares..;
    for machine in &mut world.machines[spares] {
        machine.serves = false;
    }
    let injector = Injector::new(plan, &world, random.split());
    let clients = Clients::new(plan.workload.clone(), random.split());
    let slots = plan.workload.slots();
    let ordeal = plan.lasting.map(|kind| Ordeal::new(kind, &world, random.split()));
    let salvages = plan.seed.is_multiple_of(SEEDS_PER_SALVAGE);
    let (forgets, looks, ended) = (false, 0, None);
    let mut run = Run { world, clients, injector, ordeal, forgets, slots, looks, salvages, ended };
    let times = run.play(plan);
    run.conclude(plan.seed, times)
}

impl Run {
    fn play(&mut self, plan: &Plan) -> (u64, u64) {
        for node in 0..self.world.len() - plan.spares {
            self.world.schedule(0, Event::Start { node });
        }
        self.clients.start(&mut self.world);
        self.injector.start(&mut self.world);
        self.world.set_timer(LOOK_INTERVAL, LOOK << 56);
        self.until(plan.duration, |_| false);
        self.judge_salvage();
        self.clients.phase = Phase::Drain;
        let ordeal = self.ordeal.take();
        let longest_gap = ordeal.as_ref().map_or(0, |ordeal| ordeal.longest);
        if let Some(mut ordeal) = ordeal {
            ordeal.end(&mut self.world);
            self.forgets = ordeal.forgets;
        }
        self.injector.end(&mut self.world);
        let healed = self.world.now();
        let longest = if plan.moves_nodes() { MOVING_MAX } else { RECOVERY_MAX };
        let recovered = self.until(healed + longest, Self::is_well);
        let recovery = self.world.now() - healed;
        if self.ended.is_none() && !recovered {
            let text = self.what_is_wrong();
            self.fail("recovery", text);
        }
        self.clients.begin_audit(&mut self.world);
        let audited = self.until(self.world.now() + RECOVERY_MAX, |run| run.clients.are_idle());
        if self.ended.is_none() && !audited {
            self.fail("recovery", String::from("the final reads did not end"));
        }
        let well = self.until(self.world.now() + longest, Self::is_well);
        if self.ended.is_none() && !well {
            let text = self.what_is_wrong();
            self.fail("recovery", text);
        }
        // That a replica was removed may have been told at this very moment.
        self.until(self.world.now() + RECOVERY_MAX, |run| !run.world.keeps_removed());
        self.world.inspect(&self.slots);
        self.world.inspect_storage(true);
        self.judge_salvage();
        (recovery, longest_gap)
    }

    /// Looks at what could be saved if nothing but some of the disks were left.
    fn judge_salvage(&mut self) {
        if self.salvages && self.ended.is_none() && self.world.checker.watches_leases {
            salvage::judge(&mut self.world, &self.slots);
        }
    }

    /// Whether a connection is no client's.
    fn owns(&mut self, connection: ConnectionId, reply: Option<&[u8]>) -> bool {
        let world = &mut self.world;
        self.ordeal.as_mut().is_some_and(|ordeal| ordeal.owns(world, connection, reply))
            || self.injector.owns(world, connection, reply)
    }

    fn fail(&mut self, rule: &'static str, text: String) {
        let at = self.world.now();
        self.ended.get_or_insert(Violation { rule, at, text });
    }

    /// Goes on to a time, or until something is so at a look. Says whether it is.
    fn until(&mut self, end: u64, done: impl Fn(&mut Self) -> bool) -> bool {
        while self.ended.is_none() && self.world.next_time() <= end {
            match self.world.step() {
                Happening::Reply(connection, bytes) => {
                    if !self.owns(connection, Some(&bytes)) {
                        self.clients.on_reply(&mut self.world, connection, &bytes);
                    }
                }
                Happening::Closed(connection) => {
                    if !self.owns(connection, None) {
                        self.clients.on_closed(&mut self.world, connection);
                    }
                }
                Happening::Timer(token) if token >> 56 == LOOK => {
                    self.look();
                    if let Some(ordeal) = &mut self.ordeal {
                        ordeal.tick(&mut self.world);
                        if let Some(text) = ordeal.take_wrong() {
                            self.fail("served while a fault lasts", text);
                        }
                    }
                    if done(self) {
                        return true;
                    }
                }
                Happening::Timer(token) => {
                    self.clients.on_timer(&mut self.world, token);
                    self.injector.on_timer(&mut self.world, token);
                }
                Happening::Nothing => {}
            }
            if let Some(text) = self.clients.oddity.take() {
                self.fail("replies", text);
            }
            if let Some(violation) = self.world.violation() {
                self.ended = Some(violation.clone());
            }
        }
        false
    }

    fn look(&mut self) {
        self.looks += 1;
        let compares = self.looks.is_multiple_of(LOOKS_PER_COMPARISON);
        let slots: &[types::Slot] = if compares { &self.slots } else { &[] };
        self.world.inspect(slots);
        if compares {
            self.world.inspect_storage(false);
        }
        self.world.set_timer(self.world.now() + LOOK_INTERVAL, LOOK << 56);
    }

    /// Whether every shard has one holder, replicas agree, operators have what they asked for and
    /// no client waits.
    fn is_well(&mut self) -> bool {
        self.clients.are_idle()
            && state_of_shards(&mut self.world).iter().all(|(_, state)| state.is_well())
            && self.injector.operators.is_missing(&mut self.world).is_none()
    }

    fn what_is_wrong(&mut self) -> String {
        use fmt::Write as _;
        let mut text = String::new();
        let wait = self.clients.longest_wait(self.world.now());
        if !self.clients.are_idle() {
            let _ = write!(text, "a client waits since {} ms; ", wait / MILLISECOND);
        }
        if let Some(missing) = self.injector.operators.is_missing(&mut self.world) {
            let _ = write!(text, "{missing}; ");
        }
        for (shard, state) in state_of_shards(&mut self.world) {
            if !state.is_well() {
                let _ = write!(text, "{shard}: {state:?}; ");
            }
        }
        text
    }

    fn conclude(self, seed: u64, (recovery, longest_gap): (u64, u64)) -> Outcome {
        let Self { world, clients, mut ended, forgets, .. } = self;
        let report = history::check(&clients.history, SEARCH_STEPS);
        let mut text = String::new();
        if !report.is_clean() && !forgets {
            text = report.to_string();
            let at = world.now();
            let why = String::from("clients saw what a correct store does not show");
            ended.get_or_insert(Violation { rule: "linearizability", at, text: why });
        }
        if let Some(text) = clients.sequences.find_disorder(&clients.history)
            && !forgets
        {
            ended.get_or_insert(Violation { rule: "order of a client", at: world.now(), text });
        }
        let right = clients.clocks_are_right();
        if let Some(text) = clients.lifetimes.find_wrong(right) {
            ended.get_or_insert(Violation { rule: "lifetimes", at: world.now(), text });
        }
        let acknowledged =
            clients.history.iter().filter(|it| it.status == history::Status::Ok).count();
        Outcome {
            seed,
            hash: world.trace.hash(),
            duration: world.now(),
            recovery,
            longest_gap,
            counters: world.counters(),
            operations: clients.history.len(),
            acknowledged,
            undecided: report.undecided.len(),
            faults: self.injector.count,
            violation: ended.or_else(|| world.violation().cloned()),
            report: text,
            coverage: world.checker.reached.clone().into_counts(&self.injector.struck),
            lines: world.into_trace().into_lines(),
        }
    }
}

/// All shards, as all nodes together show them.
pub(crate) fn state_of_shards(world: &mut World) -> Vec<(types::ShardId, ShardState)> {
    let mut shards: BTreeMap<types::ShardId, ShardState> = BTreeMap::new();
    let mut views = Vec::new();
    let known = known_members(world);
    for node in 0..world.len() {
        for view in world.replicas(node).unwrap_or_default() {
            let state = shards.entry(view.shard).or_default();
            if view.holds {
                state.holders += 1;
                state.members = view.voters.iter().chain(&view.learners).copied().collect();
                let mut goal = view.goal.clone();
                goal.sort_unstable();
                state.placed = view.voters == goal && view.learners.is_empty();
                state.placed &= goal.iter().all(|node| known.contains(node));
            }
            views.push((world.node_id(node), view));
        }
    }
    for (node, view) in views {
        // A replica that was removed may lie around.
        let state = shards.entry(view.shard).or_default();
        if state.members.contains(&node) {
            state.places.push((view.last_index.0, view.applied_index.0));
        }
    }
    shards.into_iter().collect()
}

/// A shard as all nodes together show it.
#[derive(Debug, Default)]
pub(crate) struct ShardState {
    holders: usize,
    /// Nodes with a replica, as the holder knows them.
    members: Vec<types::NodeId>,
    /// Whether the replicas are where they should be.
    placed: bool,
    /// Newest and newest applied entry of each replica.
    places: Vec<(u64, u64)>,
}

impl ShardState {
    pub(crate) fn is_well(&self) -> bool {
        let first = self.places.first();
        self.holders == 1
            && self.placed
            && self.places.len() == self.members.len()
            && self.places.iter().all(|it| it.0 == it.1 && Some(it) == first)
    }
}

//! Plays a scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use placement::{Action, Duty, Outcome, Policy};
use types::NodeId;

use crate::bound;
use crate::control::{Control, PolicyKind};
use crate::demand::Source;
use crate::measure::Measures;
use crate::report::Report;
use crate::scenario::{Event, Scenario};
use crate::world::World;

/// Ticks of a second.
const TICKS: u32 = 4;
/// How long a storm lasts.
const STORM: Duration = Duration::from_secs(60);

/// A run under way.
struct Run<'a> {
    scenario: &'a Scenario,
    world: World,
    source: Source,
    control: Control,
    measures: Measures,
    /// Moves per second of the storm, and when it ends.
    storm: Option<(u32, Duration)>,
    next_event: usize,
}

/// Plays a scenario under a policy, faster than real time. The same scenario and policy give the
/// same report.
///
/// # Errors
/// If the policy's settings are invalid.
pub fn run(scenario: &Scenario, kind: PolicyKind) -> Result<Report, placement::InvalidPolicy> {
    if let PolicyKind::Reactive { policy, .. } = &kind {
        Policy::validate(policy)?;
    }
    let name = kind.name();
    let mut scenario = scenario.clone();
    scenario.events.sort_by_key(|(at, _)| *at);
    let world = World::new(&scenario);
    let mut control = Control::new(kind, scenario.seed);
    control.begin(&world);
    let mut run = Run {
        source: Source::new(&scenario),
        scenario: &scenario,
        world,
        control,
        measures: Measures::default(),
        storm: None,
        next_event: 0,
    };
    while run.world.now < scenario.length {
        run.second();
    }
    Ok(run.report(name))
}

impl Run<'_> {
    fn second(&mut self) {
        while let Some((at, event)) = self.scenario.events.get(self.next_event).copied() {
            if at > self.world.now {
                break;
            }
            self.next_event += 1;
            self.happen(event);
        }
        self.source.advance(self.world.now);
        if let Some((count, _)) = self.storm.filter(|(_, end)| self.world.now < *end) {
            self.control.scatter(&mut self.world, count as usize);
        }
        for _ in 0..TICKS {
            let happened = self.world.advance(&self.source);
            self.measures.tick(&self.world, &happened);
            self.control.hear(&self.world, &happened);
            self.control.act(&mut self.world, &self.source);
        }
        let bound = bound::bound(&self.world, &self.source);
        self.measures.second(&self.world, &self.source, bound);
    }

    fn happen(&mut self, event: Event) {
        let Self { world, control, source, .. } = self;
        match event {
            Event::Shift => source.shift(),
            Event::Flash { height } => source.flash(world.now, height),
            Event::Kill(node) => world.kill(node),
            Event::Start(node) => world.start(node),
            Event::Drain(node) => control.set_duty(world, node, Duty::NoLeases),
            Event::EndDrain(node) => control.set_duty(world, node, Duty::Full),
            Event::Remove(node) => control.set_duty(world, node, Duty::Leaving),
            Event::Join(node) => {
                let zone = (node.0 - 1) % self.scenario.zones.max(1);
                world.add_node(node, zone);
                control.tell_node(world, node);
            }
            Event::ManagerDown => control.end(true),
            Event::ManagerUp | Event::SecondManager => control.begin(world),
            Event::EndSecondManager => control.end(false),
            Event::Storm(count) => self.storm = Some((count, world.now + STORM)),
        }
    }

    fn report(self, policy: String) -> Report {
        let mut reasons = BTreeMap::new();
        let (mut measured, mut positive, mut negative) = (0, 0, 0);
        for decision in self.control.decisions() {
            let applied = matches!(decision.outcome, Some(Outcome::Applied { .. }));
            let lease = matches!(decision.action, Action::Lease { .. });
            if applied || !lease {
                *reasons.entry(decision.reason.name()).or_insert(0) += 1;
            }
            if let Some(gain) = decision.realised_gain {
                measured += 1;
                positive += u32::from(gain > 0.0);
                negative += u32::from(gain < 0.0);
            }
        }
        Report {
            scenario: self.scenario.name.clone(),
            policy,
            size: (self.scenario.nodes, self.scenario.shards),
            recoveries: self.measures.recoveries(&self.scenario.events),
            totals: self.measures.totals,
            round_trips: self.measures.round_trips,
            reasons,
            refused_orders: self.control.refused_orders,
            refused_reports: self.control.refused_reports,
            gains: (measured, positive, negative),
            worst_inheritance: worst_inheritance(&self.world, &self.source),
            rows: self.measures.rows,
        }
    }
}

/// The largest share of any node's load that falls to one heir if the node dies.
fn worst_inheritance(world: &World, source: &Source) -> f64 {
    let mut worst: f64 = 0.0;
    for node in world.nodes.keys() {
        let mut heirs: BTreeMap<NodeId, f64> = BTreeMap::new();
        let mut total = 0.0;
        for (number, shard) in world.shards.iter().enumerate() {
            if shard.holder == Some(*node) {
                let share = source.expected[number].load().cpu;
                total += share;
                let heir = shard.heirs.iter().find(|heir| world.is_alive(**heir));
                *heir.map(|heir| heirs.entry(*heir).or_default()).unwrap_or(&mut 0.0) += share;
            }
        }
        if total > 0.0 {
            worst = worst.max(heirs.values().copied().fold(0.0, f64::max) / total);
        }
    }
    worst
}

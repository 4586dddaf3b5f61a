//! What is measured while a scenario is played.

use std::time::Duration;

use crate::clients::RoundTrips;
use crate::demand::Source;
use crate::scenario::Event;
use crate::world::{Happened, TICK, World};

/// One second of a run.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Row {
    /// The second.
    pub second: u64,
    /// Utilisation of the fullest node, without noise; above 1 it is asked for more than it has.
    pub most: f64,
    /// Mean utilisation of the living nodes.
    pub mean: f64,
    /// Utilisation of the fullest node under the best placement.
    pub bound: f64,
    /// Leases that moved in this second.
    pub moves: u32,
    /// Shards that nobody holds.
    pub vacant: u32,
}

impl Row {
    /// The fullest node against the bound.
    #[must_use]
    pub fn excess(&self) -> f64 {
        if self.bound > 0.0 { self.most / self.bound } else { 1.0 }
    }
}

/// How long it took until the fullest node was near the bound again, and stayed there for three
/// seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Recovery {
    /// When the disturbance came.
    pub at: u64,
    /// What it was.
    pub event: Event,
    /// How far the fullest node was above the bound at the worst, as a factor.
    pub worst: f64,
    /// Seconds until within 1.25 times the bound; `None` if not before the next disturbance.
    pub within_125: Option<u64>,
    /// Seconds until within 1.10 times the bound.
    pub within_110: Option<u64>,
}

/// Counts over a whole run.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Totals {
    /// Sum over nodes of the seconds in which they were asked for more than they have.
    pub overload_seconds: f64,
    /// Sum over shards of the seconds without a holder.
    pub vacant_seconds: f64,
    /// Leases that moved by somebody's order.
    pub moves: u32,
    /// Moves back to where the lease had been, within a minute.
    pub flips: u32,
    /// The same, within ten minutes; flips are among them.
    pub returns: u32,
    /// Leases that heirs took over.
    pub failovers: u32,
}

/// The measurements so far.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    pub(crate) totals: Totals,
    pub(crate) rows: Vec<Row>,
    /// Of clients that are in some place.
    pub(crate) round_trips: Option<RoundTrips>,
    moves: u32,
}

impl Measures {
    pub(crate) fn tick(&mut self, world: &World, happened: &Happened) {
        let tick = TICK.as_secs_f64();
        let alive = world.nodes.values().filter(|node| node.alive);
        let overloaded = alive.filter(|node| node.offered > 1.0).count();
        let vacant = world.shards.iter().filter(|shard| shard.holder.is_none()).count();
        let totals = &mut self.totals;
        totals.overload_seconds += overloaded as f64 * tick;
        totals.vacant_seconds += vacant as f64 * tick;
        totals.moves += happened.moves;
        totals.flips += happened.flips;
        totals.returns += happened.returns;
        totals.failovers += happened.failovers;
        self.moves += happened.moves;
    }

    /// Ends a second. The bound is for the load that was measured.
    pub(crate) fn second(&mut self, world: &World, source: &Source, bound: f64) {
        if !source.places.is_empty() {
            let trips = self.round_trips.get_or_insert_default();
            world.count_round_trips(source, trips);
        }
        let alive = || world.nodes.values().filter(|node| node.alive);
        let sum: f64 = alive().map(|node| node.expected).sum();
        let vacant = world.shards.iter().filter(|shard| shard.holder.is_none()).count();
        self.rows.push(Row {
            second: world.now.as_secs(),
            most: alive().map(|node| node.expected).fold(0.0, f64::max),
            mean: sum / alive().count().max(1) as f64,
            bound,
            moves: std::mem::take(&mut self.moves),
            vacant: u32::try_from(vacant).unwrap_or(u32::MAX),
        });
    }

    /// The recoveries from everything that disturbs the balance.
    pub(crate) fn recoveries(&self, events: &[(Duration, Event)]) -> Vec<Recovery> {
        let mut disturbances: Vec<(u64, Event)> = events
            .iter()
            .filter(|(_, event)| disturbs(event))
            .map(|(at, event)| (at.as_secs(), *event))
            .collect();
        disturbances.dedup_by_key(|(at, _)| *at);
        let ends = disturbances.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
        let spans = disturbances.iter().zip(ends);
        spans.map(|((at, event), end)| self.recovery(*at, end, *event)).collect()
    }

    fn recovery(&self, at: u64, end: u64, event: Event) -> Recovery {
        let span: Vec<&Row> =
            self.rows.iter().filter(|row| row.second > at && row.second <= end).collect();
        let within = |factor: f64| {
            let near = |row: &&Row| row.excess() <= factor && row.vacant == 0;
            let begin = span.windows(3).position(|rows| rows.iter().all(near));
            begin.map(|begin| span[begin].second - at)
        };
        Recovery {
            at,
            event,
            worst: span.iter().map(|row| row.excess()).fold(0.0, f64::max),
            within_125: within(1.25),
            within_110: within(1.10),
        }
    }
}

fn disturbs(event: &Event) -> bool {
    match event {
        Event::Shift | Event::Flash { .. } | Event::Kill(_) | Event::Start(_) | Event::Join(_) => {
            true
        }
        Event::Drain(_)
        | Event::EndDrain(_)
        | Event::Remove(_)
        | Event::ManagerDown
        | Event::ManagerUp
        | Event::SecondManager
        | Event::EndSecondManager
        | Event::Storm(_) => false,
    }
}

//! What a run has shown: a report and curves in plain text for people, JSON for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::json;

use crate::clients::RoundTrips;
use crate::measure::{Recovery, Row, Totals};
use crate::scenario::Scenario;

/// The result of one scenario under one policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// The policy.
    pub policy: String,
    /// Nodes at the beginning, and shards.
    pub size: (u32, u16),
    /// One row for each second.
    pub rows: Vec<Row>,
    /// Counts.
    pub totals: Totals,
    /// The way of the requests, if clients are in some place.
    pub round_trips: Option<RoundTrips>,
    /// How fast the cluster recovered from each disturbance.
    pub recoveries: Vec<Recovery>,
    /// Decisions by reason.
    pub reasons: BTreeMap<&'static str, u32>,
    /// Orders that shards refused as stale.
    pub refused_orders: u32,
    /// Reports that managers refused.
    pub refused_reports: u32,
    /// Moves whose gain was measured half a minute later; those among them without which the two
    /// nodes would be worse, and those without which they would be better. For the rest both nodes
    /// are within the band either way.
    pub gains: (u32, u32, u32),
    /// If a node died at the end: the share of its load that would fall to one heir, for the node
    /// where this is largest. With five heirs, 0.2 is the best.
    pub worst_inheritance: f64,
}

impl Report {
    /// The mean over all seconds of the fullest node against the mean.
    #[must_use]
    pub fn mean_imbalance(&self) -> f64 {
        self.average(|row| if row.mean > 0.0 { row.most / row.mean } else { 1.0 })
    }

    /// The mean over all seconds of the fullest node against the bound.
    #[must_use]
    pub fn mean_excess(&self) -> f64 {
        self.average(Row::excess)
    }

    fn average(&self, value: impl Fn(&Row) -> f64) -> f64 {
        self.rows.iter().map(value).sum::<f64>() / self.rows.len().max(1) as f64
    }

    /// Moves in the seconds after `from`, up to and with `to`.
    #[must_use]
    pub fn moves_between(&self, from: u64, to: u64) -> u32 {
        let span = self.rows.iter().filter(|row| row.second > from && row.second <= to);
        span.map(|row| row.moves).sum()
    }

    /// The title line of the reports' lines.
    #[must_use]
    pub fn heading(scenario: &Scenario) -> String {
        Self::title(scenario.workload.clients.is_some())
    }

    fn title(places: bool) -> String {
        let line = format!(
            "{:<15}{:>9} {:>8} {:>9} {:>6} {:>5} {:>9} {:>8}",
            "policy", "overload", "max/mean", "max/bound", "moves", "flips", "failovers", "vacant"
        );
        line + if places { "  rtt: mean    p50" } else { "" }
    }

    /// The totals in one line, to compare policies.
    #[must_use]
    pub fn line(&self) -> String {
        let Totals { overload_seconds, vacant_seconds, moves, flips, failovers, .. } = self.totals;
        let line = format!(
            "{:<15}{:>7.0} s {:>8.2} {:>9.2} {:>6} {:>5} {:>9} {:>6.0} s",
            self.policy,
            overload_seconds,
            self.mean_imbalance(),
            self.mean_excess(),
            moves,
            flips,
            failovers,
            vacant_seconds
        );
        let trips = self.round_trips;
        let trips = trips.map(|trips| format!("{:>8.1} ms {:>3} ms", trips.mean(), trips.median()));
        line + &trips.unwrap_or_default()
    }

    /// The curve of the fullest node (`#`), the bound (`-`) and the moves below it, in plain text.
    #[must_use]
    pub fn curves(&self, width: usize, height: usize) -> String {
        let columns: Vec<&[Row]> =
            self.rows.chunks(self.rows.len().div_ceil(width.max(1)).max(1)).collect();
        let most = |rows: &[Row]| rows.iter().map(|row| row.most).fold(0.0, f64::max);
        let bound =
            |rows: &[Row]| rows.iter().map(|row| row.bound).sum::<f64>() / rows.len().max(1) as f64;
        let top = self.rows.iter().map(|row| row.most).fold(0.1, f64::max);
        let level = |value: f64| ((value / top * height as f64).round() as usize).max(1);
        let mut text = String::new();
        for line in (1..=height).rev() {
            text.push_str(&format!("{:>5.2} |", top * line as f64 / height as f64));
            for rows in &columns {
                let (most, bound) = (level(most(rows)), level(bound(rows)));
                text.push(match (line == bound, line <= most) {
                    (true, _) => '-',
                    (false, true) => '#',
                    (false, false) => ' ',
                });
            }
            trim(&mut text);
        }
        text.push_str("moves |");
        for rows in &columns {
            let moves: u32 = rows.iter().map(|row| row.moves).sum();
            text.push(match moves {
                0 => '.',
                1..=9 => char::from_digit(moves, 10).unwrap_or('+'),
                _ => '+',
            });
        }
        trim(&mut text);
        text
    }

    /// Everything in the report as one line of JSON, without the line's end. Utilisations are
    /// shares of a node; `rows` has one object for each second.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Totals { overload_seconds, vacant_seconds, moves, flips, returns, failovers } =
            self.totals;
        let recovery = |recovery: &Recovery| {
            let Recovery { at, event, worst, within_125, within_110 } = recovery;
            json!({
                "at": at, "event": format!("{event:?}"), "worst": worst,
                "within_125": within_125, "within_110": within_110,
            })
        };
        let row = |row: &Row| {
            let Row { second, most, mean, bound, moves, vacant } = row;
            json!({
                "second": second, "most": most, "mean": mean, "bound": bound, "moves": moves,
                "vacant": vacant,
            })
        };
        let object = json!({
            "scenario": self.scenario,
            "policy": self.policy,
            "nodes": self.size.0,
            "shards": self.size.1,
            "overload_seconds": overload_seconds,
            "vacant_seconds": vacant_seconds,
            "max_to_mean": self.mean_imbalance(),
            "max_to_bound": self.mean_excess(),
            "moves": moves,
            "flips": flips,
            "returns": returns,
            "failovers": failovers,
            "round_trips": self.round_trips.map(|trips| json!({
                "mean_ms": trips.mean(), "p50_ms": trips.median(), "nearest_ms": trips.nearest(),
            })),
            "recoveries": self.recoveries.iter().map(recovery).collect::<Vec<_>>(),
            "decisions": self.reasons,
            "gains": {
                "measured": self.gains.0, "positive": self.gains.1, "negative": self.gains.2,
            },
            "refused_orders": self.refused_orders,
            "refused_reports": self.refused_reports,
            "worst_inheritance": self.worst_inheritance,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        });
        object.to_string()
    }
}

/// Ends a line without blanks.
fn trim(text: &mut String) {
    text.truncate(text.trim_end().len());
    text.push('\n');
}

fn seconds(after: Option<u64>) -> String {
    after.map_or("not at all".into(), |after| format!("{after} s"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, shards) = self.size;
        let length = self.rows.last().map_or(0, |row| row.second);
        writeln!(f, "{} under {}", self.scenario, self.policy)?;
        writeln!(f, "{nodes} nodes, {shards} shards, {length} s")?;
        writeln!(f, "{}\n{}", Self::title(self.round_trips.is_some()), self.line())?;
        if let Some(trips) = &self.round_trips {
            writeln!(
                f,
                "clients' round trips: mean {:.1} ms, p50 {} ms; {:.1} ms if each lease were where \
                 its clients are",
                trips.mean(),
                trips.median(),
                trips.nearest()
            )?;
            writeln!(f, "leases back within ten minutes: {}", self.totals.returns)?;
        }
        for Recovery { at, event, worst, within_125, within_110 } in &self.recoveries {
            let (near, nearer) = (seconds(*within_125), seconds(*within_110));
            writeln!(
                f,
                "{at:>5} s {event:?}: at worst {worst:.2} x bound; within 1.25 after {near}, \
                 within 1.10 after {nearer}"
            )?;
        }
        if !self.reasons.is_empty() {
            let reasons: Vec<String> =
                self.reasons.iter().map(|(name, count)| format!("{name} {count}")).collect();
            writeln!(f, "decisions: {}", reasons.join(", "))?;
            let (measured, positive, negative) = self.gains;
            writeln!(f, "gains measured: {measured}, positive {positive}, negative {negative}")?;
            writeln!(
                f,
                "refused: {} orders, {} reports",
                self.refused_orders, self.refused_reports
            )?;
        }
        writeln!(f, "fullest heir of a node inherits: {:.2} of its load", self.worst_inheritance)
    }
}

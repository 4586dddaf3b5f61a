//! What was found, for people (Markdown) and for programs (lines of JSON).

use std::fmt::Write;

use serde_json::{Value, json};

use super::statistics::{Estimate, VALUES_MIN};

/// What a figure should be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// The interval holds this value: nothing else differs, so nothing else may be found.
    Holds(f64),
}

impl Goal {
    /// Claims only what the whole interval supports.
    fn verdict(self, estimate: &Estimate) -> &'static str {
        let Estimate { low, high, .. } = *estimate;
        let (is_reached, is_missed) = match self {
            Self::AtLeast(goal) => (low >= goal, high < goal),
            Self::AtMost(goal) => (high <= goal, low > goal),
            Self::Holds(goal) if low.is_finite() && high.is_finite() => {
                ((low..=high).contains(&goal), !(low..=high).contains(&goal))
            }
            Self::Holds(_) => (false, false),
        };
        match (is_reached, is_missed) {
            (true, _) => "reached",
            (false, true) => "missed",
            (false, false) => "open",
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(goal) => format!("at least {}", short(goal)),
            Self::AtMost(goal) => format!("at most {}", short(goal)),
            Self::Holds(goal) => format!("holds {}", short(goal)),
        }
    }
}

/// One line of a table.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// The row that found it.
    pub(super) row: &'static str,
    pub(super) what: String,
    /// The ratio or the figure.
    pub(super) estimate: Estimate,
    pub(super) goal: Goal,
    pub(super) kind: Kind,
    /// How many rounds, kills or moves it is made of.
    pub(super) rounds: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A ratio, ours to theirs.
    Ratio {
        against: &'static str,
        /// Medians of both sides, with their unit.
        sides: [f64; 2],
        unit: &'static str,
        /// The servers' CPU for a request, medians in microseconds.
        cpu: Option<[f64; 2]>,
        /// How many processors did something else, the median.
        others: f64,
    },
    /// A figure of ours alone, in a unit, with a remark.
    Figure { unit: &'static str, remark: String },
}

impl Finding {
    pub(super) fn to_json(&self) -> Value {
        let Estimate { median, low, high } = self.estimate;
        let mut value = json!({
            "row": self.row, "what": self.what, "value": median, "low": low, "high": high,
            "rounds": self.rounds, "goal": self.goal.text(),
            "verdict": self.goal.verdict(&self.estimate),
        });
        match &self.kind {
            Kind::Ratio { against, sides, unit, cpu, others } => {
                value["against"] = json!(against);
                value["ours"] = json!(sides[0]);
                value["theirs"] = json!(sides[1]);
                value["unit"] = json!(unit);
                value["cpu_us"] = json!(cpu);
                value["other_cores"] = json!(others);
            }
            Kind::Figure { unit, remark } => {
                value["unit"] = json!(unit);
                value["remark"] = json!(remark);
            }
        }
        value
    }
}

/// The tables, and why rows are missing in them.
pub(super) fn markdown(findings: &[Finding], absent: &[String]) -> String {
    let mut ratios = String::from(
        "| work | against | ratio | 95 % interval | ours : theirs | CPU us, ours : theirs \
         | other cores | rounds | goal | verdict |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut figures = String::from(
        "| figure | measured | interval | remark | rounds | goal | verdict |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let (mut has_ratios, mut has_figures) = (false, false);
    for Finding { what, estimate, goal, kind, rounds, .. } in findings {
        let Estimate { median, low, high } = *estimate;
        let value = short(median);
        let interval = match (low == high, low.is_finite() && high.is_finite()) {
            (true, _) => String::new(),
            (false, true) => format!("{} - {}", short(low), short(high)),
            (false, false) => format!("takes {VALUES_MIN} rounds"),
        };
        let (goal, verdict) = (goal.text(), goal.verdict(estimate));
        // Writing to a string can't fail.
        let _ = match kind {
            Kind::Ratio { against, sides: [ours, theirs], unit, cpu, others } => {
                has_ratios = true;
                let pair = format!("{} : {} {unit}", short(*ours), short(*theirs));
                let cpu = cpu.map(|[ours, theirs]| format!("{} : {}", short(ours), short(theirs)));
                let cpu = cpu.unwrap_or_default();
                writeln!(
                    ratios,
                    "| {what} | {against} | {value} | {interval} | {pair} | {cpu} \
                     | {others:.1} | {rounds} | {goal} | {verdict} |"
                )
            }
            Kind::Figure { unit, remark } => {
                has_figures = true;
                writeln!(
                    figures,
                    "| {what} | {value} {unit} | {interval} | {remark} | {rounds} | {goal} \
                     | {verdict} |"
                )
            }
        };
    }
    let mut parts: Vec<String> = Vec::new();
    parts.extend(has_ratios.then_some(ratios));
    parts.extend(has_figures.then_some(figures));
    if !absent.is_empty() {
        parts.push(absent.iter().map(|reason| format!("- {reason}\n")).collect());
    }
    parts.join("\n")
}

/// Three digits, or all before the point, with thin groups left out: tables are read, not parsed.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 {
        format!("{:.2}M", value / 1e6)
    } else if size >= 1e4 {
        format!("{:.1}k", value / 1e3)
    } else if size >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(low: f64, high: f64) -> Estimate {
        Estimate { median: f64::midpoint(low, high), low, high }
    }

    #[test]
    fn a_verdict_needs_the_whole_interval() {
        for (goal, low, high, verdict) in [
            (Goal::AtLeast(3.0), 3.0, 4.0, "reached"),
            (Goal::AtLeast(3.0), 2.9, 4.0, "open"),
            (Goal::AtLeast(3.0), 2.0, 2.9, "missed"),
            (Goal::AtMost(2.0), 1.0, 2.0, "reached"),
            (Goal::AtMost(2.0), 1.0, 2.1, "open"),
            (Goal::AtMost(2.0), 2.1, 3.0, "missed"),
            (Goal::Holds(1.0), 0.9, 1.1, "reached"),
            (Goal::Holds(1.0), 1.1, 1.2, "missed"),
            (Goal::AtLeast(3.0), f64::NEG_INFINITY, f64::INFINITY, "open"),
        ] {
            assert_eq!(goal.verdict(&estimate(low, high)), verdict, "{goal:?} {low} {high}");
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.0123"),
            (0.567, "0.57"),
            (3.0, "3"),
            (12.34, "12.3"),
            (1234.5, "1234"),
            (123_456.0, "123.5k"),
            (1_234_567.0, "1.23M"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn tables_have_as_many_cells_as_their_heads() {
        let ratio = Kind::Ratio {
            against: "redis",
            sides: [2e5, 1e5],
            unit: "/s",
            cpu: Some([1.0, 2.0]),
            others: 0.5,
        };
        let figure = Kind::Figure { unit: "ms", remark: "median 3".into() };
        let finding = |kind: Kind| Finding {
            row: "set",
            what: "SET".into(),
            estimate: estimate(1.0, 2.0),
            goal: Goal::AtLeast(1.0),
            kind,
            rounds: 3,
        };
        let findings = [finding(ratio), finding(figure)];
        let text = markdown(&findings, &["etcd is missing".into()]);
        let tables: Vec<&str> = text.split("\n\n").collect();
        for table in &tables[..2] {
            let cells: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
            assert!(cells.len() == 3 && cells.iter().all(|&count| count == cells[0]), "{table}");
        }
        assert_eq!(tables[2], "- etcd is missing\n");
        assert_eq!(findings[0].to_json()["verdict"], "reached");
    }
}

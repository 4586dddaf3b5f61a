//! A ratio: two loads in turns, A B, B A, A B, so that whatever else the machine does hits both
//! and neither is always the second. One ratio a round; the median of them, and its interval.

use serde_json::json;

use super::driver::{Driver, Load, Run};
use super::report::{Finding, Goal, Kind, short};
use super::rows::{Figure, Pair, Row};
use super::statistics::{Estimate, median};
use super::store::{Store, Stores, Target};
use super::{Settings, Trouble};

/// How long both sides are loaded before the first round, in seconds.
const FIRST_SECONDS: f64 = 0.5;

pub(super) fn measure(
    row: &Row,
    pair: &Pair,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    let targets = [pair.ours.0, pair.theirs.0];
    for target in stores.need(&targets, settings)? {
        driver.prepare(stores.get(target)?, settings)?;
    }
    let sides = [side(stores, pair.ours)?, side(stores, pair.theirs)?];
    for (store, load) in sides {
        driver.measure(store, &load, FIRST_SECONDS)?;
    }
    let mut rounds: Vec<[Run; 2]> = Vec::new();
    for number in 1..=settings.rounds {
        let run = |place: usize| {
            let (store, load) = sides[place];
            let run = driver.measure(store, &load, settings.seconds)?;
            let name = if place == 0 { "ours" } else { "theirs" };
            settings.record(&json!({
                "row": row.name, "round": number, "side": name, "target": store.target.name(),
                "srv_us_op": run.server_cpu, "other_cores": run.others, "said": run.said,
            }))?;
            Ok::<Run, Trouble>(run)
        };
        let runs = if number % 2 == 1 {
            let ours = run(0)?;
            [ours, run(1)?]
        } else {
            let theirs = run(1)?;
            [run(0)?, theirs]
        };
        settings.say(&progress(row, pair, number, settings.rounds, &runs));
        rounds.push(runs);
    }
    Ok(findings(row, pair, &rounds))
}

fn side(stores: &Stores, (target, load): (Target, Load)) -> Result<(&Store, Load), Trouble> {
    Ok((stores.get(target)?, load))
}

fn progress(row: &Row, pair: &Pair, number: u32, rounds: u32, runs: &[Run; 2]) -> String {
    let [ours, theirs] = runs;
    let [a, b] = [value(pair.figure, ours), value(pair.figure, theirs)];
    let errors = ours.errors + theirs.errors;
    let errors = if errors > 0 { format!(", {errors} errors") } else { String::new() };
    let others = ours.others.max(theirs.others);
    format!(
        "{} {number}/{rounds}: {} : {} {}, ratio {:.2}, CPU {:.2} : {:.2} us, \
         others {others:.1}{errors}",
        row.name,
        short(a),
        short(b),
        unit(pair.figure),
        a / b,
        ours.server_cpu,
        theirs.server_cpu,
    )
}

fn value(figure: Figure, run: &Run) -> f64 {
    match figure {
        Figure::Rate => run.rate,
        Figure::Latency => run.p50,
    }
}

fn unit(figure: Figure) -> &'static str {
    match figure {
        Figure::Rate => "/s",
        Figure::Latency => "us",
    }
}

fn findings(row: &Row, pair: &Pair, rounds: &[[Run; 2]]) -> Vec<Finding> {
    let each = |of: &dyn Fn(&[Run; 2]) -> f64| rounds.iter().map(of).collect::<Vec<f64>>();
    let middle = |of: &dyn Fn(&[Run; 2]) -> f64| median(&each(of)).unwrap_or(0.0);
    let side = |place: usize| middle(&|round| value(pair.figure, &round[place]));
    let cpu = [0, 1].map(|place| middle(&|round| round[place].server_cpu));
    // Tools of others don't always tell it.
    let cpu = cpu.iter().all(|&micros| micros > 0.0).then_some(cpu);
    let others = middle(&|round| round[0].others.max(round[1].others));
    let finding = |what: String, ratios: &[f64], goal: Goal, sides: [f64; 2], unit| {
        Estimate::of(ratios).map(|estimate| Finding {
            row: row.name,
            what,
            estimate,
            goal,
            kind: Kind::Ratio { against: pair.against, sides, unit, cpu, others },
            rounds: rounds.len(),
        })
    };
    let ratios = each(&|[ours, theirs]| value(pair.figure, ours) / value(pair.figure, theirs));
    let sides = [side(0), side(1)];
    let mut findings = Vec::new();
    findings.extend(finding(row.what.into(), &ratios, pair.goal, sides, unit(pair.figure)));
    if let (Some(goal), Some(cpu)) = (pair.cpu_goal, cpu) {
        let ratios = each(&|[ours, theirs]| ours.server_cpu / theirs.server_cpu.max(f64::EPSILON));
        let what = format!("{}: CPU of the servers a request", row.what);
        findings.extend(finding(what, &ratios, goal, cpu, "us"));
    }
    findings
}

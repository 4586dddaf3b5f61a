//! Searches the model by hand, with any bounds, and prints counterexamples as readable steps.
//!
//! ```text
//! explore                            what there is
//! explore clean [CONFIGURATION]      the unbroken protocol, exhaustively; without a name, in all
//!                                    configurations of the tests
//! explore RULE [CONFIGURATION]       the shortest harm that breaking this rule does
//! ```
//!
//! Either may be followed by `bound=number`, for example `ticks=5`. The bounds are the fields of
//! `Settings`; a flag is 0 or 1.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use model::{BY_HAND, CASES, CONFIGURATIONS, Case, Report, Settings, check, find};

/// The settings with one bound replaced, or what is wrong with the argument.
fn with_bound(mut settings: Settings, argument: &str) -> Result<Settings, String> {
    let (bound, value) = argument.split_once('=').ok_or(format!("{argument}: bound=number"))?;
    let value: u8 = value.parse().map_err(|error| format!("{argument}: {error}"))?;
    match bound {
        "ticks" => settings.ticks = value,
        "windows" => settings.windows = settings.windows.map(|_| value),
        "margin" => settings.margin = value,
        "missed_ticks" => settings.missed_ticks = value,
        "flight" if value <= 3 => settings.flight = usize::from(value),
        "duplicates" => settings.duplicates = value > 0,
        "terms" if value <= 3 => settings.terms = value,
        "campaigns" => settings.campaigns = value,
        "log" if value <= 5 => settings.log = value,
        "restarts" => settings.restarts = value,
        "epochs" => settings.epochs = value,
        "releases" => settings.releases = value > 0,
        "transfers" => settings.transfers = value > 0,
        "writes" => settings.writes = value,
        "hearsay" => settings.hearsay = value > 0,
        "reduce" => settings.reduce = value > 0,
        _ => return Err(format!("{argument}: no such bound, or too large")),
    }
    Ok(settings)
}

fn print_broken(report: &Report) {
    let mut sound = true;
    for invariant in report.broken() {
        sound = false;
        println!("BROKEN: {}", invariant.name());
        if let Some(trace) = report.trace(invariant.name()) {
            println!("{trace}");
        }
    }
    if sound {
        println!("           no invariant is broken");
    }
}

fn run_clean(name: Option<&str>, bounds: &[String]) -> Result<(), String> {
    for settings in CONFIGURATIONS.into_iter().chain(BY_HAND) {
        let regular = CONFIGURATIONS.contains(&settings);
        if name.map_or(regular, |name| name == settings.name) {
            let settings = bounds.iter().try_fold(settings, |s, bound| with_bound(s, bound))?;
            let report = check(settings);
            println!("{report}");
            print_broken(&report);
            for (found, trace) in &report.traces {
                println!("           {found}: after {} steps", trace.steps());
            }
        }
    }
    Ok(())
}

fn run_broken(case: &Case, name: Option<&str>, bounds: &[String]) -> Result<(), String> {
    let mut all = CONFIGURATIONS.into_iter().chain(BY_HAND);
    let named = name.and_then(|name| all.find(|settings| settings.name == name));
    let settings = named.unwrap_or(case.settings).breaking(case.violation);
    let settings = bounds.iter().try_fold(settings, |s, bound| with_bound(s, bound))?;
    let report = match case.breaks {
        Some(invariant) => find(settings, invariant.name()),
        None => check(settings),
    };
    println!("{:?} ({}): {report}", case.violation, case.rule);
    print_broken(&report);
    Ok(())
}

fn main() -> Result<(), String> {
    let (bounds, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.contains('='));
    let mut words = words.iter().map(String::as_str);
    match words.next() {
        None => {
            println!("configurations of `clean`:");
            let all = CONFIGURATIONS.iter().chain(&BY_HAND);
            all.for_each(|settings| println!("  {}", settings.name));
            println!("rules:");
            CASES.iter().for_each(|case| println!("  {:?} ({})", case.violation, case.rule));
            Ok(())
        }
        Some("clean") => run_clean(words.next(), &bounds),
        Some(name) => {
            let named = |case: &&Case| format!("{:?}", case.violation) == name;
            let case = CASES.iter().find(named).ok_or(format!("{name}: no such rule"))?;
            run_broken(case, words.next(), &bounds)
        }
    }
}

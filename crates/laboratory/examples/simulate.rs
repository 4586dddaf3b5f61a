//! Plays all scenarios, or those whose names contain a word, under all policies.

use laboratory::{PolicyKind, Report, Scenario, run};

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let only = std::env::args().nth(2).unwrap_or_default();
    for scenario in Scenario::all().iter().filter(|scenario| scenario.name.contains(&word)) {
        println!("== {}\n{}", scenario.name, Report::heading());
        for kind in PolicyKind::all().into_iter().filter(|kind| kind.name().contains(&only)) {
            let manager = matches!(kind, PolicyKind::Reactive { .. });
            let begin = std::time::Instant::now();
            let report = run(scenario, kind).expect("the defaults are valid");
            println!("{}  ({:.1?})", report.line(), begin.elapsed());
            if manager && !word.is_empty() {
                println!("{report}{}", report.curves(100, 10));
            }
        }
    }
}

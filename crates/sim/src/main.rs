//! The simulator's command line.
//!
//! `sim --seed N [--trace]` does one run; `sim --seeds A..B` does many and ends with a summary.
//! `sim --planted-report` breaks each rule that can be broken on purpose and says how many runs it
//! takes to notice. `sim --kill-everywhere` lets each node die at each event of a hand-over, and
//! at steps of its own of a replica's move. `sim --lasting` gives each run a fault that lasts for
//! a minute (one of all kinds, in turn), and judges what clients are told meanwhile. `sim --play
//! FILE` plays a scenario and writes what it shows. The exit code is 1 if a rule was broken, or if
//! a broken one went unnoticed.

use std::process::ExitCode;
use std::time::Instant;

use sim::{
    Catches, Extent, Lasting, Outcome, Plan, Planting, RANDOM_PLANTINGS, SECOND, STORIES, Story,
    TraceMode, kill_everywhere, never_reached, run,
};

/// Simulations make and drop small values most of all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str =
    "usage: sim --seed N | --seeds A..B  [--trace] [--hashes] [--no-faults] [--plan]
           [--planted RULE] [--aimed-at RULE] [--lasting | --lasting-kind KIND]
       sim --planted-report
       sim --kill-everywhere
       sim --play FILE [--trace]
    RULE: a name of `cluster::Planting::ALL`; KIND: one of `sim::Lasting::ALL`";
/// Lines of the trace that are shown with a broken rule.
const LINES_SHOWN: usize = 60;
/// From how many starts the report lets each broken rule be caught, and within how many runs.
const STARTS: u64 = 20;
const RUNS_PER_START: u64 = 100;

struct Arguments {
    seeds: std::ops::Range<u64>,
    trace: bool,
    /// Say the number that stands for each run.
    hashes: bool,
    faults: bool,
    plan: bool,
    /// Choose faults for this broken rule, without breaking it.
    aim: Planting,
    planting: Planting,
    /// A fault that lasts in each run: this one, or each of them in turn.
    lasting: Option<Option<Lasting>>,
}

fn parse(words: &[String]) -> Option<Arguments> {
    let mut arguments = Arguments {
        seeds: 0..0,
        trace: false,
        hashes: false,
        faults: true,
        plan: false,
        aim: Planting::Nothing,
        planting: Planting::Nothing,
        lasting: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => {
                let seed = words.next()?.parse().ok()?;
                arguments.seeds = seed..seed + 1;
            }
            "--seeds" => {
                let (first, end) = words.next()?.split_once("..")?;
                arguments.seeds = first.parse().ok()?..end.parse().ok()?;
            }
            "--trace" => arguments.trace = true,
            "--hashes" => arguments.hashes = true,
            "--no-faults" => arguments.faults = false,
            "--plan" => arguments.plan = true,
            "--planted" => {
                arguments.planting = Planting::named(words.next()?)?;
                arguments.aim = arguments.planting;
            }
            "--lasting" => arguments.lasting = Some(None),
            "--lasting-kind" => arguments.lasting = Some(Some(Lasting::named(words.next()?)?)),
            "--aimed-at" => arguments.aim = Planting::named(words.next()?)?,
            _ => return None,
        }
    }
    (!arguments.seeds.is_empty()).then_some(arguments)
}

/// Whoever reads the output has seen enough (`sim --seeds .. | head`): that is no failure of a run,
/// and ends this one without a word.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>();
        let printing = |text: &String| text.starts_with("failed printing to stdout");
        if text.is_some_and(|text| printing(text) && text.contains("Broken pipe")) {
            std::process::exit(0);
        }
        usual(info);
    }));
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command-line program")]
fn main() -> ExitCode {
    end_with_the_reader();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["--planted-report"] {
        return report_plantings();
    }
    if words == ["--kill-everywhere"] {
        return kill_at_every_event();
    }
    if let [word, path, rest @ ..] = words.as_slice()
        && word == "--play"
    {
        return play(path, rest == ["--trace"]);
    }
    let Some(arguments) = parse(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let mut sum = Sum::default();
    for seed in arguments.seeds.clone() {
        let mut plan = Plan::draw(seed).aimed_at(arguments.aim).with_planting(arguments.planting);
        if let Some(kind) = arguments.lasting {
            let kinds = Lasting::ALL.len() as u64;
            plan = plan.with_lasting(kind.unwrap_or(Lasting::ALL[(seed % kinds) as usize].1));
        }
        if !arguments.faults {
            plan = plan.without_faults();
        }
        if arguments.plan {
            println!("{plan:#?}");
        }
        let mode = if arguments.trace { TraceMode::Print } else { TraceMode::Hash };
        let outcome = run(&plan, mode);
        if arguments.hashes {
            println!("seed {seed} {:016x} {}", outcome.hash, outcome.violation.is_none());
        }
        sum.add(&outcome);
        if let Some(violation) = &outcome.violation {
            println!("seed {seed}: {violation}");
            print!("{}", outcome.report);
            if !arguments.trace {
                // The same run again, this time with its last lines.
                for line in run(&plan, TraceMode::Last(LINES_SHOWN)).lines {
                    println!("{line}");
                }
                println!("replay: sim --seed {seed} --trace");
            }
        } else if arguments.seeds.end - arguments.seeds.start == 1 {
            println!("{outcome:#?}");
        }
        if (seed + 1) % 50 == 0 {
            sum.print(began);
        }
    }
    sum.print(began);
    if sum.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("seeds with broken rules: {:?}", sum.violations);
        ExitCode::FAILURE
    }
}

/// Tells each story once for every death that makes a difference.
#[expect(clippy::print_stdout, reason = "this is a command-line program")]
fn kill_at_every_event() -> ExitCode {
    let began = Instant::now();
    let mut broken = 0;
    for story in STORIES {
        let extent = match story {
            Story::HandOver => Extent::Everything,
            // Every slot's image is a step, and one like the other.
            Story::Move => Extent::Steps(8),
        };
        let tally = kill_everywhere(story, extent);
        let (events, told) = (tally.events, tally.told);
        println!("{story:?}: {events} events, told {told} times, {} broken", tally.broken.len());
        tally.broken.iter().for_each(|text| println!("{text}"));
        broken += tally.broken.len();
    }
    println!("{:.1} s", began.elapsed().as_secs_f64());
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command-line program")]
fn play(path: &str, traced: bool) -> ExitCode {
    let shown = std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| sim::scenario::play_traced(&text, traced).map_err(|error| error.0));
    match shown {
        Ok(shown) => {
            print!("{shown}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says for each rule how many runs it takes until its breach is noticed.
#[expect(clippy::print_stdout, reason = "this is a command-line program")]
fn report_plantings() -> ExitCode {
    println!("runs until it was noticed, from {STARTS} starts of {RUNS_PER_START} seeds each");
    println!("{:<26} {:>6} {:>6} {:>6} {:>6}", "rule", "least", "median", "most", "missed");
    let mut missed = 0;
    for &(name, planting) in Planting::ALL.iter().filter(|it| RANDOM_PLANTINGS.contains(&it.1)) {
        let catches = Catches::count(planting, STARTS, RUNS_PER_START);
        let shown = |runs: Option<u64>| runs.map_or(String::from("-"), |runs| runs.to_string());
        println!(
            "{name:<26} {:>6} {:>6} {:>6} {:>6}",
            shown(catches.runs.first().copied()),
            shown(catches.median()),
            shown(catches.runs.last().copied()),
            catches.missed
        );
        missed += catches.missed;
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Figures of many runs.
#[derive(Default)]
struct Sum {
    runs: u64,
    events: u64,
    operations: usize,
    acknowledged: usize,
    undecided: usize,
    faults: u64,
    virtual_nanos: u64,
    recovery_max: (u64, u64),
    gap_max: (u64, u64),
    violations: Vec<u64>,
    coverage: std::collections::BTreeMap<String, u64>,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.events += outcome.counters.events;
        self.operations += outcome.operations;
        self.acknowledged += outcome.acknowledged;
        self.undecided += outcome.undecided;
        self.faults += outcome.faults;
        self.virtual_nanos += outcome.duration;
        self.recovery_max = self.recovery_max.max((outcome.recovery, outcome.seed));
        self.gap_max = self.gap_max.max((outcome.longest_gap, outcome.seed));
        if outcome.violation.is_some() {
            self.violations.push(outcome.seed);
        }
        for (name, count) in &outcome.coverage {
            *self.coverage.entry(name.clone()).or_default() += count;
        }
    }

    #[expect(clippy::print_stdout, reason = "this is a command-line program")]
    fn print(&self, began: Instant) {
        let real = began.elapsed().as_secs_f64();
        let virtual_seconds = self.virtual_nanos as f64 / SECOND as f64;
        println!(
            "{} runs, {} violations; {:.2} virtual hours, {:.0}x real time; {} operations \
             ({} acknowledged), {} faults, {} undecided keys; {:.2} M events/s; slowest recovery \
             {:.2} s (seed {})",
            self.runs,
            self.violations.len(),
            virtual_seconds / 3600.0,
            virtual_seconds / real,
            self.operations,
            self.acknowledged,
            self.faults,
            self.undecided,
            self.events as f64 / real / 1e6,
            self.recovery_max.0 as f64 / SECOND as f64,
            self.recovery_max.1,
        );
        if self.gap_max.0 > 0 {
            let seconds = self.gap_max.0 as f64 / SECOND as f64;
            println!(
                "  longest without an acknowledgement: {seconds:.2} s (seed {})",
                self.gap_max.1
            );
        }
        println!("  {:?}", self.coverage);
        if self.runs > 1 {
            println!("  never reached: {:?}", never_reached(&self.coverage));
        }
    }
}

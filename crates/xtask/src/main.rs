//! The project's own tasks: `cargo xtask TASK`. One command tells the truth (`ci`), and every
//! part of it can be run alone.
//!
//! Depends on no crate of the workspace, so that it builds in seconds and works while they don't.
//! What needs one of them (generated pages, the simulator, the server) is run as a program.
#![expect(clippy::print_stdout, reason = "a task reports to whoever runs it")]

mod arguments;
mod bench;
mod ci;
mod docs;
mod fuzz;
mod golden;
mod process;
mod sim;
mod tally;
mod tcl;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use arguments::Arguments;

/// Why a task failed, for whoever runs it. One or more lines.
type Failure = String;

/// A task by name.
struct Task {
    name: &'static str,
    /// Arguments and what they mean, for `--help`.
    usage: &'static str,
    summary: &'static str,
    run: fn(&mut Arguments) -> Result<(), Failure>,
}

const TASKS: [Task; 10] = [
    Task { name: "ci", usage: ci::USAGE, summary: "check everything, as CI does", run: ci::run },
    Task {
        name: "tidy",
        usage: tidy::USAGE,
        summary: "check the form of the sources: headers, lengths, crate graph, pages, links",
        run: tidy::run,
    },
    Task {
        name: "docs",
        usage: docs::USAGE,
        summary: "write the generated pages of docs/ again",
        run: docs::run,
    },
    Task {
        name: "golden",
        usage: golden::USAGE,
        summary: "run the golden scripts, or rewrite them",
        run: golden::run,
    },
    Task { name: "sim", usage: sim::USAGE, summary: "simulate clusters", run: sim::run },
    Task {
        name: "sim-fleet",
        usage: sim::FLEET_USAGE,
        summary: "simulate fresh seeds on all cores for a time",
        run: sim::fleet,
    },
    Task {
        name: "fuzz",
        usage: fuzz::USAGE,
        summary: "feed arbitrary bytes to everything that parses bytes",
        run: fuzz::run,
    },
    Task {
        name: "tcl",
        usage: tcl::USAGE,
        summary: "run the test-suite of Redis 7.0 against a cluster",
        run: tcl::run,
    },
    Task {
        name: "bench",
        usage: bench::USAGE,
        summary: "measure speed as ratios beside a peer",
        run: bench::run,
    },
    Task {
        name: "tools",
        usage: tools::USAGE,
        summary: "install what the other tasks need",
        run: tools::run,
    },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        help();
        let asked = matches!(name.as_str(), "" | "help" | "-h" | "--help");
        return if asked { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    let mut arguments = Arguments::new(words);
    if arguments.flag("--help") || arguments.flag("-h") {
        println!("cargo xtask {}: {}\n\n{}", task.name, task.summary, task.usage);
        return ExitCode::SUCCESS;
    }
    match (task.run)(&mut arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("xtask {name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn help() {
    println!("Usage: cargo xtask TASK [--help]\n");
    for task in &TASKS {
        println!("  {:<10} {}", task.name, task.summary);
    }
}

//! Speed as ratios: our cluster and a peer are measured in turns by the same load client, so that
//! whatever else the machine does hits both.

use std::process::Command;

use crate::Failure;
use crate::arguments::Arguments;
use crate::process::run as run_command;

pub(crate) const USAGE: &str = "\
Usage: cargo xtask bench --kit DIR --ours HOST:PORT --peer HOST:PORT [--rounds N] [--only NAME]

Both clusters must be running and empty. DIR holds the measuring tools: `bench.py` and, built, the
load client `kit/target/release/load`. Each row prints the ratio of the operations per second,
ours to the peer's, with its 95 % interval.

  --rounds N    pairs of runs of each row; 10 by default
  --only NAME   only this row";

/// One row of the table of ratios.
struct Row {
    name: &'static str,
    /// The load, in the words of the load client.
    load: &'static str,
}

const ROWS: [Row; 4] = [
    Row { name: "set", load: "--c 50 --P 1 --d 100 --reads 0" },
    Row { name: "get", load: "--c 50 --P 1 --d 100 --reads 1" },
    Row { name: "set-pipelined", load: "--c 50 --P 16 --d 100 --reads 0" },
    Row { name: "get-pipelined", load: "--c 50 --P 16 --d 100 --reads 1" },
];

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    let kit: String = arguments.value("--kit", String::new())?;
    let ours: String = arguments.value("--ours", String::new())?;
    let peer: String = arguments.value("--peer", String::new())?;
    let rounds: u32 = arguments.value("--rounds", 10)?;
    let only: String = arguments.value("--only", String::new())?;
    arguments.end()?;
    if kit.is_empty() || ours.is_empty() || peer.is_empty() {
        return Err("--kit, --ours and --peer are needed; see --help".into());
    }
    let load = |hosts: &str, words: &str| {
        format!("{kit}/kit/target/release/load --proto resp --cluster --hosts {hosts} {words}")
    };
    for row in ROWS.iter().filter(|row| only.is_empty() || row.name == only) {
        println!("\n{}:", row.name);
        let mut pair = Command::new("python3");
        pair.arg(format!("{kit}/bench.py")).args(["pair", "-n", &rounds.to_string()]);
        pair.args(["--a", &load(&ours, row.load), "--b", &load(&peer, row.load)]);
        run_command(pair.args(["--metric", "ops_s"]))?;
    }
    Ok(())
}

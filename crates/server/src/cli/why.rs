//! `leasehold why`: why a shard's lease is where it is, and why it doesn't move.

use std::fmt::Write;

use clap::Args;
use serde_json::Value;

use super::connection::{Connection, NodeArguments};
use super::decisions::describe;
use super::documents::{count, list, node_or_dash, number, object, sentences, word};
use super::shards::{rows, what_is_wrong};
use super::table::{Table, plain};
use super::{CommandError, print, shard_number};

/// The shard in which the manager keeps what it knows.
const SYSTEM: &str = "0";
/// Longest line of the manager's that is shown.
const LINE_MAX: usize = 300;

/// Say why a shard is where it is, why it doesn't move, and what every node bids for it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold why 7
  leasehold why 7 --json

A bid is a sum of terms; positive speaks for the node. `load` is the relief of both nodes, `room`
what the node has left, `stability` what the move costs. Policy: `leasehold policy`.")]
pub(super) struct WhyArguments {
    /// The shard's number.
    shard: String,
    /// Write the manager's JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn run(arguments: &WhyArguments) -> Result<(), CommandError> {
    let shard = shard_number(&arguments.shard)?;
    let mut connection = Connection::open(&arguments.node)?;
    if arguments.json {
        let text = connection.ask_text(&["LEASEHOLD", "WHY", &shard])?;
        return print(format_args!("{}\n", text.trim_end()));
    }
    // What the asked node knows itself needs no manager.
    let reply = connection.ask(&["LEASEHOLD", "SHARDS", &shard])?;
    let wrong = what_is_wrong(&rows(&reply)?);
    if !wrong.is_empty() {
        print(format_args!("What is wrong, as the node that is asked sees it\n{wrong}\n"))?;
    }
    if shard == SYSTEM {
        return print(format_args!("Shard 0 is the Lease Manager's own; nobody moves it.\n"));
    }
    let text = connection.ask_text(&["LEASEHOLD", "WHY", &shard])?;
    print(explain(&object(&text, "LEASEHOLD WHY")?))
}

/// The answer for people.
pub(super) fn explain(why: &Value) -> String {
    let mut out = String::new();
    let (shard, epoch) = (count(&why["shard"]), count(&why["epoch"]));
    // Writing to a string can't fail.
    let _ = match why["holder"].as_u64() {
        Some(holder) => writeln!(out, "Shard {shard}: held by n{holder}, lease epoch {epoch}"),
        None => writeln!(out, "Shard {shard}: held by nobody, last lease epoch {epoch}"),
    };
    for trouble in sentences(&why["troubles"]) {
        let _ = writeln!(out, "  To the manager's node it {trouble}");
    }
    for line in list(&why["text"]).iter().filter_map(Value::as_str) {
        let _ = writeln!(out, "  {}", plain(line, LINE_MAX));
    }
    if let Some(verdict) = why["verdict"].as_str() {
        let _ = writeln!(out, "\nWhy it is not moved\n  {}", plain(verdict, LINE_MAX));
    }
    let bids = list(&why["bids"]);
    if !bids.is_empty() {
        let _ = writeln!(out, "\nBids now, best first");
        for line in bids_table(bids).lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
    let decisions = list(&why["decisions"]);
    let _ = writeln!(out, "\nLast decisions");
    if decisions.is_empty() {
        let _ = writeln!(out, "  none that is remembered");
    }
    for decision in decisions {
        let _ = writeln!(out, "  {}", describe(decision));
    }
    out
}

/// A column for each term that any bid has.
fn bids_table(bids: &[Value]) -> String {
    let mut terms: Vec<&str> = Vec::new();
    for bid in bids.iter().filter_map(Value::as_object) {
        for name in bid.keys().map(String::as_str) {
            if !matches!(name, "node" | "total" | "unfit") && !terms.contains(&name) {
                terms.push(name);
            }
        }
    }
    // Load and room say most; the others in the order in which they come.
    terms.sort_by_key(|name| match *name {
        "load" => 0,
        "room" => 1,
        _ => 2,
    });
    let mut names = vec!["node", "total"];
    names.extend(&terms);
    names.push("unfit");
    let mut table = Table::new(&names);
    let signed = |value: &Value| match value.as_f64() {
        Some(number) => format!("{number:+.3}"),
        None => String::from("-"),
    };
    let mut rows: Vec<&Value> = bids.iter().collect();
    let total = |bid: &Value| {
        if bid["unfit"].is_string() { f64::NEG_INFINITY } else { number(&bid["total"]) }
    };
    rows.sort_by(|left, right| total(right).total_cmp(&total(left)));
    for bid in rows {
        let mut cells = vec![node_or_dash(bid["node"].as_u64()), signed(&bid["total"])];
        cells.extend(terms.iter().map(|name| signed(&bid[*name])));
        cells.push(word(&bid["unfit"]));
        table.row(cells);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_answer_is_explained() {
        let why = object(include_str!("../../testdata/why.json"), "LEASEHOLD WHY");
        let expected = "\
Shard 1: held by n1, lease epoch 3
  s1 is held by n1 under e3 for 52s, because the holder is clearly above the mean (d39).
  Its holder is hungry; the shard takes 0.048 of it.

Why it is not moved
  its holder is at 0.31 of its capacity, the mean is 0.49

Bids now, best first
  node  total   load    room    stability  unfit
  n3    -0.031  -0.020  +0.001  -0.012
  n2    -       -       -       -          is where the shard came from a moment ago

Last decisions
  21:31:42Z  d39  s1  lease n2 -> n1: the holder is clearly above the mean \
                        (n2 at 71%, n1 at 28%, mean 46%); applied; gained +0.391 of +0.431
";
        assert_eq!(explain(&why.expect("is valid")), expected);
    }

    #[test]
    fn an_answer_with_nothing_in_it_is_no_panic() {
        let text = explain(&serde_json::json!({"bids": [1, {}, {"x": "y"}], "text": 3}));
        assert!(text.starts_with("Shard 0: held by nobody"), "{text}");
    }
}

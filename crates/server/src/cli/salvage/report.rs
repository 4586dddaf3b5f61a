//! What `salvage` tells: to standard error, since standard output may be the data.

use std::io::{self, Write};
use std::path::Path;

use cluster::salvage::{Choice, Survey, missing_slots};
use cluster::{RecordError, list_shards};
use types::{NodeId, ShardId, SlotRange};

use super::super::table::Table;
use super::{Source, Written};

/// A line for who waits. If nobody reads it, nothing is lost.
pub(in super::super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "leasehold: {text}");
}

/// What was found in a directory.
pub(super) fn directory(source: &Source, survey: &Survey, damage: Option<&str>) {
    let shown = source.path.display();
    let copies = survey.copies.len();
    let unusable = match survey.unusable.as_slice() {
        [] => String::new(),
        some => format!("; no whole copy of {}", list_shards(some)),
    };
    say(&format!("{shown}: node {}, copies of {copies} shards{unusable}", survey.node.0));
    if !survey.unreadable.is_empty() {
        say(&format!(
            "{shown}: the log of {} contradicts itself, so its copy here is none. Was it written \
             by another version of the program?",
            list_shards(&survey.unreadable)
        ));
    }
    if let Some(damage) = damage {
        say(&format!("{shown} is DAMAGED, and taken as it was before that: {damage}"));
    }
}

/// Directories that are known to have been newer once.
pub(super) fn older_directories(sources: &[Source], surveys: &[Survey]) {
    for (source, survey) in sources.iter().zip(surveys) {
        let by = surveys.iter().find(|other| survey.is_older_than_remembered(other));
        if let Some(by) = by {
            say(&format!(
                "{} is OLD: node {} remembers a newer state of it, so it is an earlier copy, or \
                 has lost its last writes. It counts for no majority.",
                source.path.display(),
                by.node.0
            ));
        }
    }
}

/// Which copies are taken, and what may be missing.
pub(super) fn choices(sources: &[Source], choices: &[Choice]) {
    let mut table = Table::new(&["shard", "slots", "taken from", "its end", "copies here", ""]);
    for choice in choices {
        let Choice { shard, range, from, last: (term, index), voters, present, .. } = choice;
        let system = *shard == ShardId::SYSTEM;
        table.row(vec![
            shard.to_string(),
            if system { String::from("(orders)") } else { range.to_string() },
            sources.get(*from).map_or_else(String::new, |it| it.path.display().to_string()),
            format!("{term} {index}"),
            format!("{} of {}: {}", present.len(), voters.len(), Numbers(present)),
            String::from(if choice.is_complete { "all" } else { "MAY MISS WRITES" }),
        ]);
    }
    for slots in missing_slots(choices) {
        let slots = slots.to_string();
        let nothing = String::new;
        table.row(vec![
            String::from("?"),
            slots,
            String::from("nowhere"),
            nothing(),
            String::from("0"),
            String::from("LOST"),
        ]);
    }
    // If nobody reads it, nothing is lost.
    let _ = write!(io::stderr(), "{}", table.text());
    let doubtful: Vec<ShardId> =
        choices.iter().filter(|choice| !choice.is_complete).map(|choice| choice.shard).collect();
    if !doubtful.is_empty() {
        say(&format!(
            "of {} no majority of the copies is here: writes that were acknowledged, the last \
             ones, may be missing. Directories of other nodes may have them.",
            list_shards(&doubtful)
        ));
    }
    let lost = missing_slots(choices);
    if !lost.is_empty() {
        say(&format!(
            "of {} no copy is here: the keys of these slots are missing. Directories of other \
             nodes may have them.",
            listed(&lost)
        ));
    }
    if doubtful.is_empty() && lost.is_empty() {
        say("nothing that was acknowledged is missing");
    }
}

/// What operators had ordered in the old cluster.
pub(super) fn orders(orders: Option<&Result<Vec<String>, RecordError>>) {
    let orders = match orders {
        Some(Ok(orders)) if orders.is_empty() => return,
        Some(Ok(orders)) => orders,
        Some(Err(error)) => {
            return say(&format!(
                "operators' orders (policy, pins, freeze) are NOT KNOWN: the log of the shard that \
                 has them contradicts itself: {error}. No key is concerned. Was it written by \
                 another version of the program? That one can tell."
            ));
        }
        None => {
            return say(
                "operators' orders (policy, pins, freeze) are NOT KNOWN: no copy of the shard \
                 that has them is here. No key is concerned.",
            );
        }
    };
    say("operators' orders in the old cluster, for the new one:");
    for order in orders {
        let _ = writeln!(io::stderr(), "  leasehold {order}");
    }
}

/// What was written, and how to go on.
pub(super) fn end(written: &Written, file: Option<&Path>, lost: &[SlotRange]) {
    let Written { keys, bytes, .. } = written;
    let missing = if lost.is_empty() { "" } else { ", and not those of the lost slots" };
    say(&format!("{keys} keys were written, {bytes} bytes of keys and values{missing}"));
    if written.needs_longer_arguments() {
        say(&format!(
            "the longest value has {} bytes: the new cluster needs `argument_bytes` of at least \
             that",
            written.longest
        ));
    }
    if let Some(file) = file {
        say(&format!(
            "to load them into a new cluster: leasehold load {} --url HOST:PORT",
            file.display()
        ));
    }
}

fn listed(ranges: &[SlotRange]) -> String {
    let ranges: Vec<String> = ranges.iter().map(|range| format!("slots {range}")).collect();
    ranges.join(", ")
}

/// Nodes with little room: `n1 n2`.
struct Numbers<'a>(&'a [NodeId]);

impl std::fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nodes: Vec<String> = self.0.iter().map(NodeId::to_string).collect();
        f.write_str(&nodes.join(" "))
    }
}

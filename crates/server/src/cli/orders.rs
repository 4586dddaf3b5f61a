//! `leasehold pin`, `unpin`, `freeze` and `policy`: what an operator tells the Lease Manager.

use clap::Args;
use serde_json::Value;

use super::connection::{Connection, NodeArguments};
use super::documents::{count, list, number, word};
use super::table::{Table, plain};
use super::{CommandError, node_number, print, shard_number};
use crate::zone::is_zone;

/// Keep a shard's lease at one node, or within one zone.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold pin 7 --node 2
  leasehold pin 7 --zone eu/a
  leasehold unpin 7

A pin is a wish: if no pinned node can hold the shard, another one does, until one can.")]
pub(super) struct PinArguments {
    /// The shard's number.
    shard: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    node: NodeArguments,
}

/// Where a shard is to stay.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Place {
    /// The number of the node that shall hold it.
    #[arg(long = "node", value_name = "NODE")]
    target: Option<String>,
    /// The zone whose nodes may hold it.
    #[arg(long, value_name = "REGION/ZONE")]
    zone: Option<String>,
}

/// Let the Lease Manager move a shard again.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  leasehold unpin 7")]
pub(super) struct UnpinArguments {
    /// The shard's number.
    shard: String,
    #[command(flatten)]
    node: NodeArguments,
}

/// Stop the Lease Manager from moving anything for balance. Failover, drains and pins go on.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  leasehold freeze\n  leasehold freeze --off")]
pub(super) struct FreezeArguments {
    /// Let it move leases again.
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    node: NodeArguments,
}

/// Show or change the Lease Manager's thresholds, weights and budgets, at once and for all nodes.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold policy                          all settings; * marks those that differ from the default
  leasehold policy cool_down                one of them, explained
  leasehold policy cool_down 60             changed; times are in seconds
  leasehold policy set fast=60 slow=120     several at once: all of them are changed, or none is

`leasehold simulate SCENARIO --set NAME=VALUE` shows what a change does before it is made.")]
pub(super) struct PolicyArguments {
    /// A setting's name, or `set` and changes.
    #[arg(value_name = "NAME|set")]
    name: Option<String>,
    /// The setting's new value; after `set`, changes as NAME=VALUE.
    #[arg(value_name = "VALUE|NAME=VALUE", requires = "name", allow_negative_numbers = true)]
    values: Vec<String>,
    /// Write the manager's JSON.
    #[arg(long, conflicts_with = "values")]
    json: bool,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn pin(arguments: &PinArguments) -> Result<(), CommandError> {
    let shard = shard_number(&arguments.shard)?;
    let (kind, place) = match (&arguments.place.target, &arguments.place.zone) {
        (Some(target), _) => ("NODE", node_number(target)?),
        (None, Some(zone)) => ("ZONE", checked_zone(zone)?),
        (None, None) => return Err(CommandError::new("say where: --node or --zone")),
    };
    Connection::open(&arguments.node)?.ask(&["LEASEHOLD", "PIN", &shard, kind, &place])?;
    let kind = kind.to_ascii_lowercase();
    print(format_args!("Shard {shard} is pinned to {kind} {place}.\n"))
}

pub(super) fn unpin(arguments: &UnpinArguments) -> Result<(), CommandError> {
    let shard = shard_number(&arguments.shard)?;
    Connection::open(&arguments.node)?.ask(&["LEASEHOLD", "UNPIN", &shard])?;
    print(format_args!("Shard {shard} is not pinned any more.\n"))
}

pub(super) fn freeze(arguments: &FreezeArguments) -> Result<(), CommandError> {
    let switch = if arguments.off { "OFF" } else { "ON" };
    Connection::open(&arguments.node)?.ask(&["LEASEHOLD", "FREEZE", switch])?;
    print(if arguments.off {
        "The Lease Manager may move leases again.\n"
    } else {
        "Frozen: nothing moves for balance. `leasehold freeze --off` ends it.\n"
    })
}

pub(super) fn policy(arguments: &PolicyArguments) -> Result<(), CommandError> {
    let changes = changes(arguments)?;
    let mut connection = Connection::open(&arguments.node)?;
    if !changes.is_empty() {
        let mut args = vec!["LEASEHOLD", "POLICY", "SET"];
        args.extend(changes.iter().flat_map(|(name, value)| [name, value.as_str()]));
        connection.ask(&args)?;
        let lines = changes.iter().map(|(name, value)| format!("{name} is {value} now.\n"));
        return print(lines.collect::<String>());
    }
    let text = connection.ask_text(&["LEASEHOLD", "POLICY"])?;
    let settings: Value = serde_json::from_str(&text).map_err(|_| {
        CommandError::new(
            "the answer to LEASEHOLD POLICY is no JSON; is the node of another version?",
        )
    })?;
    let mut settings = list(&settings).to_vec();
    if let Some(name) = &arguments.name {
        settings.retain(|setting| setting["name"].as_str() == Some(name));
        if settings.is_empty() {
            return Err(CommandError::new(format!(
                "the policy has no setting `{name}`; `leasehold policy` lists them all"
            )));
        }
    }
    if arguments.json {
        return print(format_args!("{}\n", Value::Array(settings)));
    }
    print(if arguments.name.is_some() { explained(&settings) } else { table(&settings) })
}

/// What is to be changed: names and values.
fn changes(arguments: &PolicyArguments) -> Result<Vec<(&str, String)>, CommandError> {
    match (arguments.name.as_deref(), arguments.values.as_slice()) {
        (Some("set"), []) => {
            Err(CommandError::new("set what? Write NAME=VALUE, or several of them"))
        }
        (Some("set"), changes) => changes.iter().map(|text| change(text)).collect(),
        (Some(name), [value]) => Ok(vec![(name, figure_given(value)?)]),
        (None, _) | (Some(_), []) => Ok(Vec::new()),
        (Some(name), _) => Err(CommandError::new(format!(
            "one setting has one value; several are changed by `leasehold policy set \
             {name}=VALUE NAME=VALUE`"
        ))),
    }
}

fn change(text: &str) -> Result<(&str, String), CommandError> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        CommandError::new(format!("`{}` is no change; write NAME=VALUE", plain(text, 64)))
    })?;
    Ok((name, figure_given(value)?))
}

fn figure_given(text: &str) -> Result<String, CommandError> {
    text.parse::<f64>().map(|value| value.to_string()).map_err(|_| {
        CommandError::new(format!(
            "`{}` is no number; write it without a unit, times in seconds",
            plain(text, 64)
        ))
    })
}

fn checked_zone(zone: &str) -> Result<String, CommandError> {
    if is_zone(zone) {
        return Ok(zone.to_owned());
    }
    Err(CommandError::new(format!(
        "`{}` is no zone; write REGION/ZONE as in the nodes' localities, for example eu/a",
        plain(zone, 64)
    )))
}

fn table(settings: &[Value]) -> String {
    let mut table = Table::new(&["name", "value", "", "unit", "default", "range"]);
    for setting in settings {
        let changed = setting["value"] != setting["default"];
        table.row(vec![
            word(&setting["name"]),
            figure(&setting["value"]),
            String::from(if changed { "*" } else { "" }),
            word(&setting["unit"]),
            figure(&setting["default"]),
            format!("{} to {}", figure(&setting["least"]), figure(&setting["most"])),
        ]);
    }
    table.text()
}

fn figure(value: &Value) -> String {
    value.as_f64().map_or_else(|| count(value).to_string(), |number| number.to_string())
}

fn explained(settings: &[Value]) -> String {
    let explain = |setting: &Value| {
        let text = setting["text"].as_str().map(|text| plain(text, 600)).unwrap_or_default();
        let figure = |name: &str| number(&setting[name]);
        format!(
            "{} = {} ({})\n  {}\n  default: {}; from {} to {}\n",
            word(&setting["name"]),
            figure("value"),
            word(&setting["unit"]),
            text.trim(),
            figure("default"),
            figure("least"),
            figure("most")
        )
    };
    settings.iter().map(explain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser, Debug)]
    struct CommandLine {
        #[command(flatten)]
        policy: PolicyArguments,
    }

    #[test]
    fn changes_are_names_and_values() {
        let read = |words: &str| {
            let words = ["policy"].into_iter().chain(words.split_whitespace());
            let line = <CommandLine as clap::Parser>::try_parse_from(words).map_err(|_| "usage")?;
            let changes = changes(&line.policy).map_err(|_| "refused")?;
            let text = changes.iter().map(|(name, value)| format!("{name}:{value}"));
            Ok::<_, &str>(text.collect::<Vec<_>>().join(" "))
        };
        for (words, expected) in [
            ("", Ok("")),
            ("band", Ok("")),
            ("band 0.10", Ok("band:0.1")),
            ("band -1", Ok("band:-1")),
            ("set band=0.1 cool_down=60", Ok("band:0.1 cool_down:60")),
            ("set", Err("refused")),
            ("set band", Err("refused")),
            ("set band=", Err("refused")),
            ("set band=1s", Err("refused")),
            ("band 1 2", Err("refused")),
            ("band 0.1 --json", Err("usage")),
        ] {
            assert_eq!(read(words), expected.map(String::from), "{words}");
        }
    }

    #[test]
    fn the_policy_is_a_table_that_marks_what_was_changed() {
        let settings = serde_json::json!([
            {"name": "band", "value": 0.05, "unit": "share of a node", "least": 0.01, "most": 0.4,
             "default": 0.05, "text": " Half the width."},
            {"name": "cool_down", "value": 60.0, "unit": "s", "least": 0.0, "most": 3600.0,
             "default": 30.0, "text": " A rest."},
        ]);
        let expected = "\
name       value     unit             default  range
band       0.05      share of a node  0.05     0.01 to 0.4
cool_down  60     *  s                30       0 to 3600
";
        assert_eq!(table(list(&settings)), expected);
        let text = explained(&list(&settings)[1..]);
        assert_eq!(text, "cool_down = 60 (s)\n  A rest.\n  default: 30; from 0 to 3600\n");
    }
}

//! `leasehold shards` and `leasehold transfer`: ask any node about the shards' leases.
//!
//! The table shows the fields that most questions are about; with `--wide` it shows whatever the
//! nodes report, in their order, so that a newer node can say more than this program knows of.

use clap::Args;
use resp::Value;
use types::ShardId;

use super::connection::{Connection, NodeArguments, json, pairs, text};
use super::documents::{ShardStatus, Status};
use super::table::{Table, age, amount, micros, percent, plain};
use super::{CommandError, node_number, print, shard_number};

/// Longest sentence about what is wrong.
const TROUBLE_MAX: usize = 1000;
/// The fields that a table shows if it is not to show them all.
const USUAL_FIELDS: [&str; 12] = [
    "shard",
    "first_slot",
    "last_slot",
    "holder",
    "epoch",
    "term",
    "voters",
    "learners",
    "last_index",
    "commit_index",
    "applied_index",
    "keys",
];

/// Show each shard: its slots, its holder, its lease, its load and how far its replicas are.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold shards
  leasehold shards --url 10.0.0.1:7001 --json

Below the table: what is wrong with shards, with the cause, as the node that is asked sees it.
How far a replica is, is what the node that is asked knows of its own. Load is what the Lease
Manager knows: requests per second, the 99th percentile of the time in which they are served, and
the part of its holder that the shard takes. Without a manager there are no such columns.")]
pub(super) struct ShardsArguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Show every field.
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    /// Write JSON, with every field, instead of a table.
    #[arg(long)]
    json: bool,
}

/// Give a shard's lease to another node. Requests under way are not lost: they wait for the new
/// holder, some milliseconds.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold transfer 3 2       the lease of shard 3 to node 2
  leasehold shards             shows the numbers of shards and nodes")]
pub(super) struct TransferArguments {
    /// The shard's number.
    shard: String,
    /// The number of the node that shall hold it; it must have a replica.
    target: String,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn list(arguments: &ShardsArguments) -> Result<(), CommandError> {
    let mut connection = Connection::open(&arguments.node)?;
    let reply = connection.ask(&["LEASEHOLD", "SHARDS"])?;
    let rows = rows(&reply)?;
    if !arguments.json {
        // Who holds what is known without a Lease Manager; only the load isn't.
        let status = Status::ask(&mut connection).ok();
        let system = connection.ask(&["LEASEHOLD", "SHARDS", "0"]).unwrap_or(Value::Null);
        let mut troubles = self::rows(&system).unwrap_or_default();
        troubles.extend(rows.iter().cloned());
        return print(table(&rows, arguments.wide, status.as_ref()) + &what_is_wrong(&troubles));
    }
    let object = |row: &Row<'_>| {
        let pairs = row.iter().map(|(name, value)| (Value::Simple(name.clone()), (*value).clone()));
        json(&Value::Map(pairs.collect()))
    };
    let objects: Vec<String> = rows.iter().map(object).collect();
    print(format_args!("[\n  {}\n]\n", objects.join(",\n  ")))
}

pub(super) fn transfer(arguments: &TransferArguments) -> Result<(), CommandError> {
    let (shard, target) = (shard_number(&arguments.shard)?, node_number(&arguments.target)?);
    let mut connection = Connection::open(&arguments.node)?;
    connection.ask(&["LEASEHOLD", "TRANSFER", &shard, &target])?;
    print(format_args!("Node {target} holds shard {shard}.\n"))
}

/// How many shards there are and how many of them have a holder.
pub(super) fn held(node: &NodeArguments) -> Result<(usize, usize), CommandError> {
    let reply = ask(node)?;
    let rows = rows(&reply)?;
    let has_holder = |row: &&Row<'_>| {
        let holder = row.iter().find(|(name, _)| name == "holder").map(|(_, value)| text(value));
        holder.is_some_and(|holder| !matches!(holder.as_str(), "" | "-" | "0" | "n0"))
    };
    Ok((rows.len(), rows.iter().filter(has_holder).count()))
}

fn ask(node: &NodeArguments) -> Result<Value, CommandError> {
    Connection::open(node)?.ask(&["LEASEHOLD", "SHARDS"])
}

/// One shard's fields.
pub(super) type Row<'a> = Vec<(String, &'a Value)>;

pub(super) fn rows(reply: &Value) -> Result<Vec<Row<'_>>, CommandError> {
    let Value::Array(items) = reply else {
        return Err(CommandError::new("the node's answer is not a list of shards"));
    };
    items.iter().map(pairs).collect::<Option<_>>().ok_or_else(|| {
        CommandError::new("the node's answer is not a list of shards with named fields")
    })
}

/// What is wrong with shards, a line for those with the same; nothing if all is well.
pub(super) fn what_is_wrong(rows: &[Row<'_>]) -> String {
    let mut found: Vec<(String, Vec<ShardId>, u64)> = Vec::new();
    for row in rows {
        let field = |name: &str| row.iter().find(|(it, _)| it == name).map(|(_, value)| *value);
        let shard = field("shard").map(text).unwrap_or_default();
        let Ok(shard) = shard.trim_start_matches('s').parse().map(ShardId) else { continue };
        let unserved = field("unserved_ms").map(text).and_then(|it| it.parse().ok()).unwrap_or(0);
        let Some(Value::Array(texts)) = field("troubles") else { continue };
        for trouble in texts.iter().map(|it| plain(&text(it), TROUBLE_MAX)) {
            match found.iter_mut().find(|(known, ..)| *known == trouble) {
                Some((_, shards, longest)) => {
                    shards.push(shard);
                    *longest = unserved.max(*longest);
                }
                None => found.push((trouble, vec![shard], unserved)),
            }
        }
    }
    let mut out = String::new();
    for (trouble, shards, unserved) in found {
        let lasts = if unserved > 0 { format!(" (for {})", age(unserved)) } else { String::new() };
        let shards = cluster::list_shards(&shards);
        out.push_str(&format!("\n{shards}{lasts}: {trouble}\n"));
    }
    out
}

/// What the Lease Manager adds to a row.
const LOAD_COLUMNS: [&str; 5] = ["reads/s", "writes/s", "p99", "load", "pin"];

/// Columns under the names of the fields, in the order in which they first appear; then the load.
fn table(rows: &[Row<'_>], wide: bool, status: Option<&Status>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !names.contains(&name.as_str()) && (wide || USUAL_FIELDS.contains(&name.as_str())) {
            names.push(name);
        }
    }
    let mut columns = names.clone();
    if status.is_some() {
        columns.extend(LOAD_COLUMNS);
    }
    let mut table = Table::new(&columns);
    for row in rows {
        let cell = |name: &str| {
            let value = row.iter().find(|(field, _)| field == name);
            value.map_or_else(|| String::from("-"), |(_, value)| text(value))
        };
        let mut cells: Vec<String> = names.iter().map(|name| cell(name)).collect();
        if let Some(status) = status {
            let number = cell("shard");
            let number = number.strip_prefix('s').unwrap_or(&number);
            let known = status.shards.iter().find(|it| it.shard.to_string() == number);
            cells.extend(load(known));
        }
        table.row(cells);
    }
    table.text()
}

fn load(shard: Option<&ShardStatus>) -> [String; 5] {
    let Some(shard) = shard else { return LOAD_COLUMNS.map(|_| String::from("-")) };
    [
        amount(shard.reads),
        amount(shard.writes),
        micros(shard.service_p99_us),
        percent(shard.load),
        shard.pin.clone().unwrap_or_else(|| String::from("-")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(holder: Value) -> Value {
        let bulk = |text: &str| Value::Bulk(text.into());
        let replicas = Value::Array(vec![Value::Integer(1), Value::Integer(2)]);
        Value::Array(vec![
            bulk("shard"),
            Value::Integer(1),
            bulk("holder"),
            holder,
            bulk("replicas"),
            replicas,
        ])
    }

    #[test]
    fn a_table_has_a_column_for_each_field_that_any_shard_has() {
        let reply = Value::Array(vec![
            shard(Value::Integer(12)),
            Value::Map(vec![
                (Value::Simple("shard".into()), Value::Integer(2)),
                (Value::Simple("new".into()), Value::Null),
            ]),
        ]);
        let rows = rows(&reply).expect("the reply is well formed");
        let expected = "\
shard  holder  replicas  new
1      12      1,2       -
2      -       -         -
";
        assert_eq!(table(&rows, true, None), expected);
        assert_eq!(table(&rows, false, None), "shard  holder\n1      12\n2      -\n");
        let status = include_str!("../../testdata/status.json");
        let mut status = Status::parse(status).expect("the document is valid");
        status.shards.truncate(1);
        let expected = "\
shard  holder  reads/s  writes/s  p99    load  pin
1      12      760      114       571us  2%    -
2      -       -        -         -      -     -
";
        assert_eq!(table(&rows, false, Some(&status)), expected);
    }

    #[test]
    fn what_is_wrong_is_said_once_for_all_shards_that_have_it() {
        let bulk = |text: &str| Value::Bulk(text.into());
        let shard = |number, unserved, texts: &[&str]| {
            Value::Map(vec![
                (bulk("shard"), Value::Integer(number)),
                (bulk("unserved_ms"), unserved),
                (bulk("troubles"), Value::Array(texts.iter().map(|it| bulk(it)).collect())),
            ])
        };
        let reply = Value::Array(vec![
            shard(1, Value::Integer(3000), &["has no holder"]),
            shard(2, Value::Integer(9000), &["has no holder", "was given up by n2"]),
            shard(3, Value::Null, &[]),
        ]);
        let text = what_is_wrong(&rows(&reply).expect("it is well formed"));
        assert_eq!(text, "\ns1, s2 (for 9s): has no holder\n\ns2 (for 9s): was given up by n2\n");
    }

    #[test]
    fn a_reply_of_another_form_is_an_error() {
        for reply in [
            Value::Simple("OK".into()),
            Value::Array(vec![Value::Integer(1)]),
            Value::Array(vec![Value::Array(vec![Value::Integer(1)])]),
        ] {
            assert!(rows(&reply).is_err(), "{reply:?}");
        }
    }
}

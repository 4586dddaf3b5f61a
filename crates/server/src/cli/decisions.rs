//! `leasehold decisions` and `leasehold plan`: what the Lease Manager did, does and would do.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread;
use std::time::Duration;

use clap::{Args, value_parser};
use placement::Reason;
use serde_json::Value;

use super::connection::{Connection, NodeArguments};
use super::documents::{count, lines, list, node_or_dash, number, word};
use super::table::{percent, time_of_day};
use super::{CommandError, print};

/// Most decisions that are asked for at once.
const COUNT_MAX: i64 = 4096;
/// How many of the newest are looked at for news.
const FOLLOWED: u32 = 256;
/// How often news is asked for.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// For how long the manager may be away before following it ends.
const ATTEMPTS_MAX: u32 = 60;

/// Show what the Lease Manager has decided, why, and what became of it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold decisions                 the newest 20, one a line
  leasehold decisions --follow        go on with those to come, and with their outcomes
  leasehold decisions --count 500 --json > decisions.jsonl

A line says: when (UTC), which decision, which shard, what, why, and what the manager saw: use of
the giving and of the taking node. `gained` is measured half a minute after the move. With --json
each line is one decision with all bids and their terms.")]
pub(super) struct DecisionsArguments {
    /// How many of the newest.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=COUNT_MAX))]
    count: u32,
    /// Go on until Ctrl-C: new decisions, and old ones whose outcome or gain is known now.
    #[arg(long, short)]
    follow: bool,
    /// Write JSON lines, with everything that is known.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeArguments,
}

/// Show what the Lease Manager would do now, without doing it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold plan
  leasehold policy band 0.03 && leasehold plan    try a threshold; freeze first to be safe")]
pub(super) struct PlanArguments {
    /// Write JSON lines, with everything that is known.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn run(arguments: &DecisionsArguments) -> Result<(), CommandError> {
    let text = ask(&arguments.node, arguments.count)?;
    let mut news = News::default();
    let fresh = news.take(&text, arguments.json)?;
    if fresh.is_empty() && !arguments.json {
        print("The Lease Manager has not decided anything yet.\n")?;
    }
    print(fresh)?;
    if !arguments.follow {
        return Ok(());
    }
    let mut failures = 0;
    loop {
        thread::sleep(FOLLOW_INTERVAL);
        match ask(&arguments.node, FOLLOWED.max(arguments.count)) {
            Ok(text) => {
                failures = 0;
                print(news.take(&text, arguments.json)?)?;
            }
            // A manager that moves to another node is away for a second or two.
            Err(error) => {
                failures += 1;
                if failures == ATTEMPTS_MAX {
                    return Err(error);
                }
            }
        }
    }
}

pub(super) fn plan(arguments: &PlanArguments) -> Result<(), CommandError> {
    let text = Connection::open(&arguments.node)?.ask_text(&["LEASEHOLD", "PLAN"])?;
    if arguments.json {
        return print(end_line(&text));
    }
    let planned = lines(&text, "LEASEHOLD PLAN")?;
    if planned.is_empty() {
        return print(
            "Nothing would move now. `leasehold why SHARD` says what keeps a shard where it is.\n",
        );
    }
    let mut out = String::new();
    for decision in &planned {
        out.push_str(&describe(decision));
        out.push('\n');
    }
    let _ = writeln!(out, "{} would be done now; nothing was.", planned.len());
    print(out)
}

fn ask(node: &NodeArguments, count: u32) -> Result<String, CommandError> {
    let count = count.to_string();
    Connection::open(node)?.ask_text(&["LEASEHOLD", "DECISIONS", "COUNT", &count])
}

/// What has been shown already. A new manager counts from its own beginning, so a decision is
/// known by its number and its time.
#[derive(Default)]
struct News {
    shown: BTreeMap<(u64, u64), String>,
}

impl News {
    /// Those lines that are new or say more than before.
    fn take(&mut self, text: &str, json: bool) -> Result<String, CommandError> {
        let mut out = String::new();
        let mut shown = BTreeMap::new();
        let raw = text.lines().filter(|line| !line.trim().is_empty());
        for (line, decision) in raw.zip(lines(text, "LEASEHOLD DECISIONS")?) {
            let key = (count(&decision["id"]), count(&decision["wall"]));
            let said = if json { line.to_owned() } else { describe(&decision) };
            if self.shown.get(&key) != Some(&said) {
                out.push_str(&said);
                out.push('\n');
            }
            shown.insert(key, said);
        }
        self.shown = shown;
        Ok(out)
    }
}

fn end_line(text: &str) -> String {
    let text = text.trim_end();
    if text.is_empty() { String::new() } else { format!("{text}\n") }
}

/// Why, in words. A reason of a newer manager is shown as it is.
fn because(reason: &str) -> String {
    const REASONS: [Reason; 13] = [
        Reason::FirstAssignment,
        Reason::HolderLost,
        Reason::Drain,
        Reason::Pin,
        Reason::Urgent,
        Reason::Overfull,
        Reason::Hungry,
        Reason::Proximity,
        Reason::Succession,
        Reason::Repair,
        Reason::Leaving,
        Reason::Relief,
        Reason::Spread,
    ];
    let known = REASONS.into_iter().find(|it| it.name() == reason);
    known.map_or_else(|| reason.to_owned(), |reason| reason.to_string())
}

/// What should be done, in a few words: `lease n2 -> n1`.
pub(super) fn action(decision: &Value) -> String {
    let node = |name: &str| node_or_dash(decision[name].as_u64());
    match decision["action"].as_str() {
        Some("succession") => {
            let heirs = list(&decision["heirs"]).iter().map(|heir| node_or_dash(heir.as_u64()));
            format!("heirs {}", heirs.collect::<Vec<_>>().join(" "))
        }
        Some(action @ ("lease" | "replica")) => {
            format!("{action} {} -> {}", node("from"), node("to"))
        }
        Some(_) | None => word(&decision["action"]),
    }
}

/// One line about a decision.
pub(super) fn describe(decision: &Value) -> String {
    let mut line = String::new();
    if let Some(wall) = decision["wall"].as_u64() {
        let _ = write!(line, "{}  ", time_of_day(wall));
    }
    let (id, shard) = (count(&decision["id"]), count(&decision["shard"]));
    let reason = because(&word(&decision["reason"]));
    let _ = write!(line, "d{id}  s{shard}  {}: {reason}", action(decision));
    let inputs = &decision["inputs"];
    let (source, target) = (number(&inputs["source"]), number(&inputs["target"]));
    let mut seen = Vec::new();
    if decision["from"].is_u64() && source > 0.0 {
        seen.push(format!("{} at {}", node_or_dash(decision["from"].as_u64()), percent(source)));
    }
    if decision["to"].is_u64() {
        seen.push(format!("{} at {}", node_or_dash(decision["to"].as_u64()), percent(target)));
        seen.push(format!("mean {}", percent(number(&inputs["mean"]))));
    }
    if !seen.is_empty() {
        let _ = write!(line, " ({})", seen.join(", "));
    }
    let _ = match decision["outcome"].as_str() {
        Some(outcome) => write!(line, "; {outcome}"),
        None if decision["wall"].is_u64() => write!(line, "; under way"),
        None => Ok(()),
    };
    if let Some(gain) = decision["realised"].as_f64() {
        let predicted = number(&decision["predicted"]);
        let _ = write!(line, "; gained {gain:+.3} of {predicted:+.3}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../testdata/decisions.jsonl");

    #[test]
    fn decisions_are_lines_for_people() {
        let expected = "\
21:31:41Z  d38  s16  lease - -> n4: nobody holds the shard any more (n4 at 20%, mean 45%); failed
21:31:42Z  d39  s1  lease n2 -> n1: the holder is clearly above the mean \
                        (n2 at 71%, n1 at 28%, mean 46%); applied; gained +0.391 of +0.431
21:32:00Z  d40  s3  heirs n1 n3: another order of heirs spreads the load better; applied
21:32:15Z  d41  s9  replica n4 -> n1: the shard has too few living replicas \
                        (n1 at 30%, mean 47%); timed-out
21:32:33Z  d42  s5  lease n2 -> n1: the holder is near its limits \
                        (n2 at 93%, n1 at 31%, mean 49%); under way
";
        assert_eq!(News::default().take(RECORDED, false).expect("is valid"), expected);
    }

    #[test]
    fn only_news_is_shown_again() {
        let mut news = News::default();
        assert_eq!(news.take(RECORDED, true).expect("is valid"), RECORDED);
        assert_eq!(news.take(RECORDED, true).expect("is valid"), "");
        let later = RECORDED.replace("\"outcome\":null", "\"outcome\":\"applied\"");
        let fresh = news.take(&later, true).expect("is valid");
        assert_eq!(fresh.lines().count(), 1);
        assert!(fresh.contains("\"id\":42"));
        // Another manager's d39 is another decision.
        let other = RECORDED.replace("1794000702000", "1794000999000");
        assert!(news.take(&other, true).expect("is valid").contains("\"id\":39"));
    }

    #[test]
    fn what_is_unknown_is_shown_as_it_is() {
        assert_eq!(because("overfull"), "the holder is clearly above the mean");
        assert_eq!(because("whim"), "whim");
        let decision = serde_json::json!({"id": 1, "shard": 2, "action": "dance\u{1b}"});
        assert_eq!(describe(&decision), "d1  s2  dance : ");
        assert!(News::default().take("{}\nno\n", false).is_err());
    }
}

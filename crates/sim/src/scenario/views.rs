//! What a scenario shows.
//!
//! - `holder s1`, `replicas s1`, `converge s1` (waits until they are equal).
//! - `named s1`: whom each running node names as the holder.
//! - `events n1`: what it has observed since that was last asked; `count n1 CatchUpBegun`: how
//!   often it has ever observed that; `some n1 CatchUpBegun`: only whether.
//! - `story n1`: what it tells an operator to be wrong with shards and nodes.
//! - `ready n1`: whether clients should be sent to it, and what it says of that.
//! - `why n1 s1`: what the manager says of a shard's lease, asked at that node.
//! - `info n1 field ...`: these fields of INFO.
//! - `refused n1`: why a process can't start.
//! - `stored n1`: what it still keeps of replicas that were removed.
//! - `salvage s1 n1 n3`: which copy would be taken of a shard if only these disks were left of a
//!   power failure now, how many keys it has, and what is said to be missing.
//! - `traffic 1s` lets time pass and counts the messages between nodes.

use std::fmt::Write as _;

use cluster::salvage::{Choice, choose};

use super::{PATIENCE, Result, Stage, fail, node, number, time};
use crate::salvage;

impl Stage {
    /// Carries out one of these commands; `None` if it is another one.
    pub(super) fn view(&mut self, verb: &str, rest: &[&str]) -> Result<Option<String>> {
        let shown = match (verb, rest) {
            ("holder", [shard]) => self.holder(number(shard, 's')?)?,
            ("replicas", [shard]) => self.replicas(number(shard, 's')?)?,
            ("named", [shard]) => self.named(number(shard, 's')?)?,
            ("converge", [shard]) => self.converge(number(shard, 's')?)?,
            ("events", [name]) => self.events(node(name)?)?,
            ("story", [name]) => self.story(node(name)?)?,
            ("ready", [name]) => self.ready(node(name)?)?,
            ("why", [name, shard]) => self.why(node(name)?, number(shard, 's')?)?,
            ("info", [name, fields @ ..]) => {
                let said = self.ask(node(name)?, &["INFO", "leasehold"])?;
                let lines = said.split("\\r\\n");
                let named = lines.filter(|line| {
                    line.split_once(':').is_some_and(|(field, _)| fields.contains(&field))
                });
                named.map(|line| format!("{line}\n")).collect()
            }
            ("count" | "some", [name, event]) => {
                let begin = format!("n{} {event}", node(name)? + 1);
                let lines = self.world()?.trace.lines();
                let events = lines.filter_map(|line| line.trim_start().split_once(' '));
                let count = events.filter(|(_, it)| it.starts_with(&begin)).count();
                match (verb, count) {
                    ("some", 0) => String::from("none\n"),
                    ("some", _) => String::from("some\n"),
                    _ => format!("{count}\n"),
                }
            }
            ("refused", [name]) => {
                let at = node(name)?;
                let world = self.world()?;
                let now = world.clock(at);
                world.machines[at]
                    .start(now)
                    .map_or_else(|error| format!("{}\n", error.0), |()| String::from("it starts\n"))
            }
            ("stored", [name]) => {
                let at = node(name)?;
                let stored = self.world()?.machines[at].process.as_ref();
                let stored = stored.map(|process| process.node.stored());
                stored.map_or_else(
                    || String::from("nobody there\n"),
                    |stored| format!("{} bytes of removed replicas\n", stored.removed),
                )
            }
            ("salvage", [shard, names @ ..]) => self.salvage(number(shard, 's')?, names)?,
            ("traffic", [how_long]) => {
                let before = self.world()?.counters().messages;
                let end = self.world()?.now() + time(how_long)?;
                self.until(end, |_| false)?;
                let count = self.world()?.counters().messages - before;
                format!("{count} messages between nodes\n")
            }
            _ => return Ok(None),
        };
        Ok(Some(shown))
    }

    fn holder(&mut self, shard: u32) -> Result<String> {
        let world = self.world()?;
        let mut text = String::new();
        for node in 0..world.len() {
            for view in world.replicas(node).unwrap_or_default() {
                if view.shard.0 == shard && view.holds {
                    let _ = writeln!(text, "n{} holds lease {}", node + 1, view.epoch);
                }
            }
        }
        Ok(if text.is_empty() { String::from("nobody\n") } else { text })
    }

    fn salvage(&mut self, shard: u32, names: &[&str]) -> Result<String> {
        let nodes: Vec<usize> = names.iter().map(|name| node(name)).collect::<Result<_>>()?;
        let mut found = match salvage::read(self.world()?, nodes.into_iter()) {
            Ok(found) => found,
            Err(text) => return fail(text),
        };
        let surveys: Vec<_> = found.iter().map(|(survey, _)| survey.clone()).collect();
        let Some(choice) = choose(&surveys).into_iter().find(|it| it.shard.0 == shard) else {
            return Ok(String::from("no copy\n"));
        };
        let (survey, recovered) = &mut found[choice.from];
        let keys = match recovered.salvage(choice.shard) {
            Some(Ok(salvaged)) => salvaged.keys().count().to_string(),
            Some(Err(error)) => error.to_string(),
            None => String::from("no copy"),
        };
        let Choice { last: (term, index), present, voters, is_complete, .. } = choice;
        let claim = if is_complete { "all" } else { "may miss writes" };
        Ok(format!(
            "of {} at {term} {index}: {keys} keys; {} of {} voters here: {claim}\n",
            survey.node,
            present.len(),
            voters.len()
        ))
    }

    fn named(&mut self, shard: u32) -> Result<String> {
        let mut text = String::new();
        for at in 0..self.world()?.len() {
            if self.world()?.machines[at].process.is_none() {
                continue;
            }
            let said = self.ask(at, &["LEASEHOLD", "SHARDS", &shard.to_string()])?;
            let holder = said.split_once("\"holder\" ").map_or("?", |(_, rest)| rest);
            let holder = holder.split(' ').next().unwrap_or_default();
            let _ = writeln!(text, "n{} says {holder}", at + 1);
        }
        Ok(text)
    }

    /// What a node tells an operator: the shards and nodes with troubles, by itself, and the states
    /// of nodes that the manager does not call live.
    fn story(&mut self, at: usize) -> Result<String> {
        let mut text = String::new();
        for ask in [["LEASEHOLD", "SHARDS", "0"].as_slice(), &["LEASEHOLD", "SHARDS"]] {
            let said = self.ask(at, ask)?;
            for part in said.split("[\"shard\" ").skip(1) {
                let shard = part.split(' ').next().unwrap_or_default();
                for trouble in quoted_list(part, "\"troubles\" [") {
                    let _ = writeln!(text, "s{shard} {trouble}");
                }
            }
        }
        let said = self.ask(at, &["LEASEHOLD", "NODES"])?;
        for trouble in quoted_list(&said, "\"troubles\" [") {
            let _ = writeln!(text, "{trouble}");
        }
        let said = self.ask(at, &["LEASEHOLD", "STATUS"])?;
        for part in said.split("{\\\"node\\\":").skip(1) {
            let number = part.split(',').next().unwrap_or_default();
            let state = part.split_once("\\\"state\\\":\\\"").map(|(_, rest)| rest);
            let state = state.and_then(|rest| rest.split('\\').next()).unwrap_or("live");
            if state != "live" {
                let _ = writeln!(text, "the manager calls n{number} {state}");
            }
        }
        Ok(if text.is_empty() { String::from("nothing is wrong\n") } else { text })
    }

    fn ready(&mut self, at: usize) -> Result<String> {
        let process = self.world()?.machines[at].process.as_ref();
        Ok(match process.map(|process| process.node.readiness()) {
            Some(Ok(text)) => format!("yes: {text}\n"),
            Some(Err(text)) => format!("no: {text}\n"),
            None => String::from("nobody there\n"),
        })
    }

    /// The sentences of an explanation and its verdict; an error as it is.
    fn why(&mut self, at: usize, shard: u32) -> Result<String> {
        let said = self.ask(at, &["LEASEHOLD", "WHY", &shard.to_string()])?;
        let said = said.replace("\\\"", "\"");
        let Some((_, sentences)) = said.split_once("\"text\":[") else { return Ok(said) };
        let verdict = said.split_once("\"verdict\":\"").map_or("", |(_, rest)| rest);
        let verdict = verdict.split('"').next().unwrap_or_default();
        let sentences = sentences.split(']').next().unwrap_or_default();
        let sentences = sentences.split('"').skip(1).step_by(2).map(|text| format!("{text}\n"));
        let sentences = sentences.map(|line| line.replace("\\'", "'"));
        Ok(sentences.collect::<String>() + &format!("not moved: {verdict}\n"))
    }

    fn replicas(&mut self, shard: u32) -> Result<String> {
        let world = self.world()?;
        let mut text = String::new();
        for node in 0..world.len() {
            let Some(views) = world.replicas(node) else {
                let _ = writeln!(text, "n{} does not run", node + 1);
                continue;
            };
            for view in views.iter().filter(|view| view.shard.0 == shard) {
                let leader = view.leader.map_or(String::from("nobody"), |node| node.to_string());
                let _ = writeln!(
                    text,
                    "n{}: {} led by {leader}, lease {}, applied {} of {}",
                    node + 1,
                    view.term,
                    view.epoch,
                    view.applied_index,
                    view.last_index
                );
            }
        }
        Ok(text)
    }

    /// Waits until all replicas of a shard have the same, and says how many they are.
    fn converge(&mut self, shard: u32) -> Result<String> {
        let end = self.world()?.now() + PATIENCE;
        let equal = |stage: &mut Self| {
            let Some(world) = &mut stage.world else { return false };
            let nodes = 0..world.len();
            let views: Vec<_> = nodes.filter_map(|node| world.replicas(node)).flatten().collect();
            let mut views = views.iter().filter(|view| view.shard.0 == shard);
            let Some(first) = views.next() else { return false };
            let place = |view: &cluster::ReplicaView| (view.last_index, view.applied_index);
            first.last_index == first.applied_index && views.all(|it| place(it) == place(first))
        };
        let done = self.until(end, equal)?;
        let slots: Vec<types::Slot> = types::SlotRange::ALL.iter().collect();
        self.world()?.inspect(&slots);
        Ok(String::from(if done { "all replicas are equal\n" } else { "replicas differ\n" }))
    }

    /// What a node has observed since the last time, without what happens all the time.
    fn events(&mut self, at: usize) -> Result<String> {
        let seen = self.seen_events.get(&at).copied().unwrap_or(0);
        let world = self.world()?;
        let begin = format!("n{} ", at + 1);
        let lines = world.trace.lines().filter_map(|line| {
            let (_, what) = line.trim_start().split_once(' ')?;
            let event = what.strip_prefix(begin.as_str())?;
            let is_event = event.starts_with(|first: char| first.is_ascii_uppercase());
            (is_event && !event.starts_with("Campaigning")).then(|| event.to_owned() + "\n")
        });
        let lines: Vec<String> = lines.collect();
        let text = lines.get(seen..).unwrap_or_default().concat();
        self.seen_events.insert(at, lines.len());
        Ok(text)
    }
}

/// The texts of all lists that follow these words in a reply as it is shown.
fn quoted_list(shown: &str, begin: &str) -> Vec<String> {
    let lists = shown.split(begin).skip(1);
    let texts = lists.flat_map(|rest| {
        let list = rest.split(']').next().unwrap_or_default();
        list.split('"').skip(1).step_by(2).map(|text| text.replace("\\'", "'")).collect::<Vec<_>>()
    });
    texts.collect()
}

//! Scenarios: runs told by a text file, with what they must show.
//!
//! A file is a sequence of steps: commands, a line of four dashes, and the output, up to an empty
//! line. Lines that begin with `#` are comments. Every process runs as in random runs, but on a
//! network and disks without chance, so what is shown is short and stable. Commands:
//!
//! - `cluster nodes=3 shards=1 [support=900ms] [beat=100ms] [park=..] [log=..] [segment=..]`
//!   begins, and waits until every shard has its first holder; `settings n2 support=300ms ...`
//!   before it sets one node apart. `spares=1`: the last machine is off and no member yet;
//!   `managers=3`: the last three members are dedicated managers.
//!   `managed=yes` lets the Lease Manager act, with `policy.NAME=1.5` by that policy.
//! - `run 500ms` lets time pass.
//! - `set n1 a 1`, `get n1 a` or any other command of a client, at a node; `send n1 c1 get a`
//!   sends without waiting on a connection with a name, `take c1` shows what has come back.
//! - `traffic 1s` lets time pass and counts the messages between nodes.
//! - `holder s1`, `replicas s1`, `events n1` (since it was last asked), `converge s1`.
//! - `transfer n1 s1 n2`: an operator at n1 moves the lease of s1 to n2.
//! - `place n1 s1 n1 n2 n4`: n1, which holds s1, is told which nodes should have its replicas.
//! - `managers`, `leases`, `members`, `voters s1`, `decisions`, `order`, `load`: see `manager.rs`.
//! - `crash n1` (power), `kill n1`, `start n1`, `restart n1`, `stop n1`, `pause n1`, `suspend n1`
//!   (with its clocks), `resume n1`.
//! - `block n1 n2` (one direction), `partition n1 | n2 n3`, `heal`, `reset n1 n2`.
//! - `drop TimeoutNow` loses messages whose text has the word, `drop nothing` ends it.
//! - `delay 5ms`, `duplicate 1000`, `reorder` (of messages that are no requests).
//! - `stall-disk n1 2s`, `fail-disk n1`, `lose-disk n1` (and its machine), `disk-time n1 20ms`,
//!   `clock-jump n1 +5s`,
//!   `clock-rate n1 10000` (parts per million).

mod manager;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use cluster::{OrderOutcome, Planting, Role, Settings};
use resp::{Decoder, Value};
use types::{NodeId, ShardId};

use crate::machine::DiskProfile;
use crate::network::NetworkProfile;
use crate::plan::members;
use crate::trace::TraceMode;
use crate::world::{ConnectionId, Event, Happening, MILLISECOND, MachineProfile, SECOND, World};

/// How long a command waits for what it asks for.
const PATIENCE: u64 = 12 * SECOND;

/// How long a change of replicas is given.
const CHANGE_TIME: u64 = 500 * MILLISECOND;

/// How often all replicas are looked at.
const LOOK_INTERVAL: u64 = MILLISECOND;

/// A connection with a name, and what has come back on it.
struct Named {
    id: ConnectionId,
    replies: Vec<String>,
    decoder: Decoder,
    buffer: Vec<u8>,
}

/// A scenario in progress.
#[derive(Default)]
struct Stage {
    world: Option<World>,
    /// Settings that differ on one node.
    apart: BTreeMap<usize, Vec<(String, String)>>,
    connections: BTreeMap<String, Named>,
    seen_events: BTreeMap<usize, usize>,
    seen_decisions: usize,
    /// Orders that were made by hand.
    orders: u64,
}

/// Why a scenario's text can't be followed.
#[derive(Debug)]
pub struct ScenarioError(pub String);

type Result<T> = std::result::Result<T, ScenarioError>;

/// Plays a scenario and writes it anew, with what it shows now.
///
/// # Errors
/// If a command is unknown or malformed; says in which line.
pub fn play(text: &str) -> Result<String> {
    let mut stage = Stage::default();
    let mut out = String::new();
    let mut shown = String::new();
    let mut in_output = false;
    for (at, line) in text.lines().enumerate() {
        if in_output {
            in_output = !line.is_empty();
            if !in_output {
                out.push('\n');
            }
        } else if line == "----" {
            in_output = true;
            let _ = write!(out, "----\n{}", std::mem::take(&mut shown));
        } else {
            let _ = writeln!(out, "{line}");
            if !line.is_empty() && !line.starts_with('#') {
                let result = stage.command(line);
                shown += &result
                    .map_err(|error| ScenarioError(format!("line {}: {}", at + 1, error.0)))?;
            }
        }
        if let Some(violation) = stage.world.as_ref().and_then(World::violation) {
            let _ = writeln!(shown, "BROKEN RULE: {violation}");
        }
    }
    Ok(out)
}

fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(ScenarioError(text.into()))
}

/// `500ms`, `2s`, `30us`: nanoseconds.
fn time(text: &str) -> Result<u64> {
    let units = [("ms", MILLISECOND), ("us", 1_000), ("s", SECOND)];
    let found = units
        .iter()
        .find_map(|(unit, nanos)| Some(text.strip_suffix(unit)?.parse::<u64>().ok()? * nanos));
    found.map_or_else(|| fail(format!("`{text}` is no time")), Ok)
}

/// `n3` or `s3`: the number.
fn number(text: &str, letter: char) -> Result<u32> {
    let number = text.strip_prefix(letter).and_then(|text| text.parse().ok());
    number.map_or_else(|| fail(format!("`{text}` should be {letter} and a number")), Ok)
}

fn node(text: &str) -> Result<usize> {
    Ok(number(text, 'n')?.saturating_sub(1) as usize)
}

fn setting(settings: &mut Settings, name: &str, value: &str) -> Result<()> {
    let duration = || time(value).map(Duration::from_nanos);
    let count = || {
        let count = value.parse::<u64>().ok();
        count.map_or_else(|| fail(format!("`{value}` is no number")), Ok)
    };
    match name {
        "managed" => settings.managed = value == "yes",
        "shards" => settings.shards = count()? as u16,
        "replicas" => settings.replicas = count()? as usize,
        "support" => settings.support_duration = duration()?,
        "beat" => settings.beat_interval = duration()?,
        "park" => settings.park_time = duration()?,
        "request" => settings.request_time = duration()?,
        "transfer" => settings.transfer_time = duration()?,
        "step" => settings.campaign_step = duration()?,
        "segment" => settings.segment_bytes = count()?,
        "log" => settings.log_bytes = count()?,
        "redirect" => {
            settings.redirect = match value {
                "always" => cluster::Redirect::Always,
                "never" => cluster::Redirect::Never,
                _ => return fail(format!("`{value}` is no way to redirect")),
            }
        }
        "planted" => match Planting::named(value) {
            Some(planting) => settings.planted.insert(planting),
            None => return fail(format!("there is no rule `{value}` to break")),
        },
        _ => {
            let Some(name) = name.strip_prefix("policy.") else {
                return fail(format!("there is no setting `{name}`"));
            };
            let value = value.parse().unwrap_or(f64::NAN);
            settings.policy.set(name, value).map_err(|error| ScenarioError(error.to_string()))?;
        }
    }
    Ok(())
}

impl Stage {
    fn command(&mut self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(&verb), rest) = (words.first(), words.get(1..).unwrap_or_default()) else {
            return Ok(String::new());
        };
        match verb {
            "cluster" => return self.begin(rest),
            "settings" => {
                let (name, pairs) = rest.split_first().unwrap_or((&"", &[]));
                let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
                let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
                self.apart.insert(node(name)?, pairs.collect());
                return Ok(String::new());
            }
            _ => {}
        }
        if self.world.is_none() {
            return fail("a scenario begins with `cluster`");
        }
        if let Some(done) = self.break_something(verb, rest)? {
            return Ok(done);
        }
        if let Some(shown) = self.manage(verb, rest)? {
            return Ok(shown);
        }
        match (verb, rest) {
            ("run", [how_long]) => {
                let end = self.world()?.now() + time(how_long)?;
                self.until(end, |_| false)?;
                Ok(String::new())
            }
            ("traffic", [how_long]) => {
                let before = self.world()?.counters().messages;
                let end = self.world()?.now() + time(how_long)?;
                self.until(end, |_| false)?;
                let count = self.world()?.counters().messages - before;
                Ok(format!("{count} messages between nodes\n"))
            }
            ("holder", [shard]) => self.holder(number(shard, 's')?),
            ("replicas", [shard]) => self.replicas(number(shard, 's')?),
            ("converge", [shard]) => self.converge(number(shard, 's')?),
            ("events", [name]) => self.events(node(name)?),
            ("transfer", [name, shard, target]) => {
                let (shard, target) = (number(shard, 's')?, number(target, 'n')?);
                let (shard, target) = (shard.to_string(), target.to_string());
                self.ask(node(name)?, &["LEASEHOLD", "TRANSFER", &shard, &target])
            }
            ("place", [name, shard, goal @ ..]) => {
                let goal = goal.iter().map(|name| number(name, 'n').map(NodeId));
                let goal = goal.collect::<Result<Vec<NodeId>>>()?;
                self.place(node(name)?, ShardId(number(shard, 's')?), &goal)
            }
            ("send", [name, connection, words @ ..]) => {
                self.send(node(name)?, connection, words)?;
                Ok(String::new())
            }
            ("take", [connection]) => self.take(connection),
            (_, [name, words @ ..]) => {
                let at = node(name)?;
                let mut all = vec![verb];
                all.extend(words);
                self.ask(at, &all)
            }
            _ => fail(format!("there is no command `{line}`")),
        }
    }

    fn place(&mut self, at: usize, shard: ShardId, goal: &[NodeId]) -> Result<String> {
        let outcome = self.world()?.order_replicas(at, shard, goal);
        let end = self.world()?.now() + CHANGE_TIME;
        self.until(end, |_| false)?;
        Ok(match outcome {
            Some(OrderOutcome::Begun) => String::new(),
            Some(OrderOutcome::Stale(text) | OrderOutcome::Refused(text)) => format!("({text})\n"),
            None => String::from("(nobody there)\n"),
        })
    }

    fn world(&mut self) -> Result<&mut World> {
        self.world.as_mut().map_or_else(|| fail("no cluster"), Ok)
    }

    fn begin(&mut self, pairs: &[&str]) -> Result<String> {
        let (mut nodes, mut spares, mut managers) = (3, 0, 0);
        let mut base = Settings::new(NodeId(1), Vec::new());
        base.shards = 1;
        // Named one by one, so that what scenarios show does not depend on the defaults.
        base.redirect = cluster::Redirect::Never;
        base.beat_interval = Duration::from_millis(100);
        base.support_duration = Duration::from_millis(900);
        base.clock_drift_permille = 50;
        base.clock_gap = Duration::from_millis(500);
        base.park_time = Duration::from_millis(1500);
        base.request_time = Duration::from_secs(5);
        base.transfer_time = Duration::from_millis(500);
        base.campaign_step = Duration::from_millis(150);
        // Most scenarios are about leases that nobody moves; `managed=yes` lets the manager act.
        base.managed = false;
        for pair in pairs {
            match pair.split_once('=') {
                Some(("nodes", count)) => nodes = count.parse().unwrap_or(3),
                Some(("spares", count)) => spares = count.parse().unwrap_or(0),
                Some(("managers", count)) => managers = count.parse().unwrap_or(0),
                Some((name, value)) => setting(&mut base, name, value)?,
                None => return fail(format!("`{pair}` is no setting")),
            }
        }
        let founders = nodes - spares;
        base.members = members(founders);
        for dedicated in base.members.iter_mut().rev().take(managers) {
            dedicated.role = Role::Manager;
        }
        let mut profiles = Vec::new();
        for at in 0..nodes {
            let mut settings = Settings { node: NodeId(at as u32 + 1), ..base.clone() };
            if at >= founders {
                // It knows itself and whom to ask.
                settings.members.truncate(1);
                settings.members.extend(members(at + 1).pop());
            }
            for (name, value) in self.apart.get(&at).into_iter().flatten() {
                setting(&mut settings, name, value)?;
            }
            let disk = DiskProfile::without_chance();
            let clock_offset = (at as u64 + 1) * 1000 * SECOND;
            profiles.push(MachineProfile { settings, clock_offset, clock_rate: 0, disk });
        }
        let network = NetworkProfile::without_chance();
        let mut world = World::new(1, profiles, network, TraceMode::Last(1_000_000));
        for node in 0..founders {
            world.schedule(0, Event::Start { node });
        }
        self.world = Some(world);
        let end = self.world()?.now() + PATIENCE;
        // And the system shard.
        let shards = usize::from(base.shards) + 1;
        let begun = self.until(end, |stage| stage.count_holders() == shards)?;
        Ok(if begun { String::new() } else { String::from("no holders\n") })
    }

    /// How many shards have a holder.
    fn count_holders(&mut self) -> usize {
        let Some(world) = &mut self.world else { return 0 };
        let nodes = 0..world.len();
        let views: Vec<_> = nodes.filter_map(|node| world.replicas(node)).flatten().collect();
        views.iter().filter(|view| view.holds).count()
    }

    /// Lets time pass to `end`, or until something is so. Says whether it is.
    fn until(&mut self, end: u64, done: impl Fn(&mut Self) -> bool) -> Result<bool> {
        loop {
            if done(self) {
                return Ok(true);
            }
            let world = self.world()?;
            if world.next_time() > end {
                world.now = end;
                return Ok(done(self));
            }
            let before = world.now();
            let happening = world.step();
            if world.now() / LOOK_INTERVAL > before / LOOK_INTERVAL {
                world.inspect(&[]);
            }
            self.note(happening);
        }
    }

    fn note(&mut self, happening: Happening) {
        match happening {
            Happening::Reply(connection, bytes) => {
                let named = self.connections.values_mut().find(|named| named.id == connection);
                let Some(named) = named else { return };
                named.buffer.extend(bytes);
                while let Ok(decoded) = named.decoder.next(&named.buffer) {
                    named.buffer.drain(..decoded.consumed);
                    let Some(value) = decoded.value else { break };
                    named.replies.push(readable(&value));
                }
            }
            Happening::Closed(connection) => {
                let named = self.connections.values_mut().find(|named| named.id == connection);
                if let Some(named) = named {
                    named.replies.push(String::from("closed"));
                }
            }
            Happening::Timer(_) | Happening::Nothing => {}
        }
    }

    fn send(&mut self, at: usize, name: &str, words: &[&str]) -> Result<()> {
        let args = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        if let Some(id) = self.connections.get(name).map(|named| named.id) {
            self.world()?.send(id, args);
            return Ok(());
        }
        let world = self.world()?;
        let id = world.connect(at);
        world.send(id, args);
        let (replies, buffer) = (Vec::new(), Vec::new());
        let named = Named { id, replies, decoder: Decoder::default(), buffer };
        self.connections.insert(name.to_owned(), named);
        Ok(())
    }

    /// One request on a connection of its own, and its reply.
    fn ask(&mut self, at: usize, words: &[&str]) -> Result<String> {
        let name = "";
        self.send(at, name, words)?;
        let end = self.world()?.now() + PATIENCE;
        self.until(end, |stage| {
            stage.connections.get(name).is_none_or(|it| !it.replies.is_empty())
        })?;
        let named = self.connections.remove(name);
        if let Some(named) = &named {
            self.world()?.disconnect(named.id);
        }
        let replies = named.map(|named| named.replies).unwrap_or_default();
        Ok(replies.first().map_or_else(|| String::from("no reply\n"), |reply| reply.clone() + "\n"))
    }

    fn take(&mut self, name: &str) -> Result<String> {
        let Some(named) = self.connections.get_mut(name) else {
            return fail(format!("there is no connection `{name}`"));
        };
        if named.replies.is_empty() {
            return Ok(String::from("nothing yet\n"));
        }
        Ok(named.replies.drain(..).map(|reply| reply + "\n").collect())
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

    /// Commands that break something, or put it right. They show nothing.
    fn break_something(&mut self, verb: &str, rest: &[&str]) -> Result<Option<String>> {
        let world = self.world()?;
        let now = world.now();
        match (verb, rest) {
            ("crash", [name]) => world.kill(node(name)?, true),
            ("kill", [name]) => world.kill(node(name)?, false),
            ("lose-disk", [name]) => world.lose_disk(node(name)?),
            ("start" | "restart", [name]) => world.start(node(name)?),
            ("stop", [name]) => world.stop(node(name)?),
            ("pause", [name]) => world.pause(node(name)?, false),
            ("suspend", [name]) => world.pause(node(name)?, true),
            ("resume", [name]) => world.resume(node(name)?),
            ("block", [from, to]) => world.block(node(from)?, node(to)?, true),
            ("reset", [a, b]) => world.reset(node(a)?, node(b)?),
            ("partition", names) => {
                let mut groups = names.split(|name| *name == "|");
                let left = groups.next().unwrap_or_default();
                let right = groups.next().unwrap_or_default();
                for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
                    world.block(node(a)?, node(b)?, true);
                    world.block(node(b)?, node(a)?, true);
                }
            }
            ("heal", []) => {
                for from in 0..world.len() {
                    for to in (0..world.len()).filter(|to| *to != from) {
                        world.block(from, to, false);
                    }
                }
            }
            ("drop", ["nothing"]) => world.dropped.clear(),
            ("drop", [word]) => world.dropped.push((*word).to_owned()),
            ("delay", [how_long]) => world.network.profile.delay = time(how_long)?,
            ("duplicate", [permille]) => {
                world.network.profile.duplicate_permille = permille.parse().unwrap_or(0);
            }
            ("reorder", []) => {
                world.network.profile.ordered = false;
                world.network.profile.jitter = 20 * MILLISECOND;
            }
            ("stall-disk", [name, how_long]) => {
                world.machines[node(name)?].stalled_until = now + time(how_long)?;
            }
            ("fail-disk", [name]) => world.machines[node(name)?].failing = true,
            ("disk-time", [name, how_long]) => {
                world.machines[node(name)?].disk_profile.delay = time(how_long)?;
            }
            ("clock-jump", [name, how_far]) => {
                let (sign, size) = match how_far.strip_prefix('-') {
                    Some(size) => (-1, size),
                    None => (1, how_far.trim_start_matches('+')),
                };
                let nanos = sign * time(size)?.cast_signed();
                world.machines[node(name)?].clock.jump_wall(now, nanos);
            }
            ("clock-rate", [name, rate]) => {
                let at = node(name)?;
                world.machines[at].clock.set_rate(now, rate.parse().unwrap_or(0));
                world.set_wake(at);
            }
            _ => return Ok(None),
        }
        Ok(Some(String::new()))
    }
}

/// A reply as redis-cli shows it, on one line.
fn readable(value: &Value) -> String {
    match value {
        Value::Simple(text) => text.clone(),
        Value::Error(text) => format!("({text})"),
        Value::Integer(number) => number.to_string(),
        Value::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Value::Null => String::from("(nil)"),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(readable).collect();
            format!("[{}]", values.join(" "))
        }
        Value::Boolean(_)
        | Value::Double(_)
        | Value::BigNumber(_)
        | Value::Map(_)
        | Value::Set(_)
        | Value::Push(_) => format!("{value:?}"),
    }
}

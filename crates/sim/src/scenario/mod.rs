//! Scenarios: runs told by a text file, with what they must show.
//!
//! A file is a sequence of steps: commands, a line of four dashes, and the output, up to an empty
//! line. Lines that begin with `#` are comments. Every process runs as in random runs, but on a
//! network and disks without chance, so what is shown is short and stable. Commands:
//!
//! - `cluster nodes=3 shards=1 ...` begins: see `settings.rs`.
//! - `run 500ms` lets time pass.
//! - what breaks, and is put right again: see `breaking.rs`.
//! - what clients and operators ask for: see `requests.rs`.
//! - what is to be shown: see `views.rs`, and `manager.rs` about the Lease Manager.
//!
//! A word that is none of these is a command of Redis, at a node: `set n1 a 1`.

mod breaking;
mod manager;
mod requests;
mod settings;
mod views;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use resp::Decoder;

use self::requests::readable;
use crate::world::{ConnectionId, Happening, MILLISECOND, SECOND, World};

/// How long a command waits for what it asks for.
const PATIENCE: u64 = 12 * SECOND;

/// How often all replicas are looked at.
const LOOK_INTERVAL: u64 = MILLISECOND;
/// How often all logs are looked at.
const STORAGE_INTERVAL: u64 = 100 * MILLISECOND;

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
    /// Everything that happens is printed.
    prints: bool,
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
    play_traced(text, false)
}

/// The same; `prints`: everything that happens goes to the standard output, too.
///
/// # Errors
/// As [`play`].
pub fn play_traced(text: &str, prints: bool) -> Result<String> {
    let mut stage = Stage { prints, ..Stage::default() };
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
        if let Some(shown) = self.view(verb, rest)? {
            return Ok(shown);
        }
        if let Some(shown) = self.request(verb, rest)? {
            return Ok(shown);
        }
        match (verb, rest) {
            ("run", [how_long]) => {
                let end = self.world()?.now() + time(how_long)?;
                self.until(end, |_| false)?;
                Ok(String::new())
            }
            (_, [name, words @ ..]) => {
                let at = node(name)?;
                let mut all = vec![verb];
                all.extend(words);
                self.ask(at, &all)
            }
            _ => fail(format!("there is no command `{line}`")),
        }
    }

    fn world(&mut self) -> Result<&mut World> {
        self.world.as_mut().map_or_else(|| fail("no cluster"), Ok)
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
            if world.now() / STORAGE_INTERVAL > before / STORAGE_INTERVAL {
                world.inspect_storage(false);
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
}

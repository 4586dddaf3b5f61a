//! What clients and operators ask for.
//!
//! - `set n1 a 1`, `get n1 a` or any other command of a client, at a node; `send n1 c1 get a`
//!   sends without waiting on a connection with a name, `take c1` shows what has come back;
//!   `repeat n1 c1 50 get a` sends so many at once.
//! - `fill n1 x 300 20000`: 300 clients one after the other SET x1, x2, ... to 20,000 bytes.
//! - `burst n1 x 400 2ms 64000`: the same on one connection, one every two milliseconds, whose
//!   replies nobody waits for.
//! - `transfer n1 s1 n2`: an operator at n1 moves the lease of s1 to n2.
//! - `place n1 s1 n1 n2 n4`: n1, which holds s1, is told which nodes should have its replicas;
//!   `place-now` does not wait until that may be done.

use std::collections::BTreeMap;

use cluster::OrderOutcome;
use resp::{Decoder, Value};
use types::{NodeId, ShardId};

use super::{Named, PATIENCE, Result, Stage, fail, node, number, time};
use crate::world::MILLISECOND;

/// How long a change of replicas is given.
const CHANGE_TIME: u64 = 500 * MILLISECOND;

impl Stage {
    /// Carries out one of these commands; `None` if it is another one.
    pub(super) fn request(&mut self, verb: &str, rest: &[&str]) -> Result<Option<String>> {
        let shown = match (verb, rest) {
            ("send", [name, connection, words @ ..]) => {
                let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
                self.send(node(name)?, connection, words)?;
                String::new()
            }
            ("repeat", [name, connection, times, words @ ..]) => {
                let words: Vec<Vec<u8>> =
                    words.iter().map(|word| word.as_bytes().to_vec()).collect();
                for _ in 0..count_of(times)? {
                    self.send(node(name)?, connection, words.clone())?;
                }
                String::new()
            }
            ("take", [connection]) => self.take(connection)?,
            ("fill", [name, prefix, count, bytes]) => {
                self.fill(node(name)?, prefix, count_of(count)?, count_of(bytes)?)?
            }
            ("burst", [name, prefix, count, gap, bytes]) => {
                let (count, bytes) = (count_of(count)?, count_of(bytes)?);
                self.burst(node(name)?, prefix, (count, bytes), time(gap)?)?
            }
            ("transfer", [name, shard, target]) => {
                let (shard, target) = (number(shard, 's')?, number(target, 'n')?);
                let (shard, target) = (shard.to_string(), target.to_string());
                self.ask(node(name)?, &["LEASEHOLD", "TRANSFER", &shard, &target])?
            }
            ("place" | "place-now", [name, shard, goal @ ..]) => {
                let goal = goal.iter().map(|name| number(name, 'n').map(NodeId));
                let goal = goal.collect::<Result<Vec<NodeId>>>()?;
                let wait = if verb == "place" { CHANGE_TIME } else { 0 };
                self.place(node(name)?, ShardId(number(shard, 's')?), &goal, wait)?
            }
            _ => return Ok(None),
        };
        Ok(Some(shown))
    }

    fn place(&mut self, at: usize, shard: ShardId, goal: &[NodeId], wait: u64) -> Result<String> {
        let outcome = self.world()?.order_replicas(at, shard, goal);
        let end = self.world()?.now() + wait;
        self.until(end, |_| false)?;
        Ok(match outcome {
            Some(OrderOutcome::Begun) => String::new(),
            Some(OrderOutcome::Stale(text) | OrderOutcome::Refused(text)) => format!("({text})\n"),
            None => String::from("(nobody there)\n"),
        })
    }

    /// Shows what came back other than OK, and how often.
    fn fill(&mut self, at: usize, prefix: &str, count: u64, bytes: u64) -> Result<String> {
        let mut refusals: BTreeMap<String, u64> = BTreeMap::new();
        for number in 1..=count {
            let reply = self.call(at, set(prefix, number, bytes))?;
            if reply != "OK\n" {
                *refusals.entry(reply).or_default() += 1;
            }
        }
        let lines = refusals.into_iter().map(|(reply, times)| format!("{times} times: {reply}"));
        Ok(lines.collect())
    }

    fn burst(
        &mut self,
        at: usize,
        prefix: &str,
        (count, bytes): (u64, u64),
        gap: u64,
    ) -> Result<String> {
        let (begin, connection) = (self.world()?.now(), self.world()?.connect(at));
        for number in 1..=count {
            self.world()?.send(connection, set(prefix, number, bytes));
            self.until(begin + number * gap, |_| false)?;
        }
        Ok(String::new())
    }

    fn send(&mut self, at: usize, name: &str, args: Vec<Vec<u8>>) -> Result<()> {
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
    pub(super) fn ask(&mut self, at: usize, words: &[&str]) -> Result<String> {
        self.call(at, words.iter().map(|word| word.as_bytes().to_vec()).collect())
    }

    fn call(&mut self, at: usize, args: Vec<Vec<u8>>) -> Result<String> {
        let name = "";
        self.send(at, name, args)?;
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
}

/// A reply as redis-cli shows it, on one line.
pub(super) fn readable(value: &Value) -> String {
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

fn set(prefix: &str, number: u64, bytes: u64) -> Vec<Vec<u8>> {
    let value = vec![b'v'; bytes as usize];
    vec![b"set".to_vec(), format!("{prefix}{number}").into_bytes(), value]
}

fn count_of(text: &str) -> Result<u64> {
    text.parse().or_else(|_| fail(format!("`{text}` is no number")))
}

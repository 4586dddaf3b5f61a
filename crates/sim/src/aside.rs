//! What clients ask for beside the keys whose histories are judged one by one: listings of all
//! keys, FLUSHALL, what operators ask for, and commands that cost much.

use std::collections::BTreeSet;

use history::{Call, Key, Operation, Status};
use resp::Value;

use crate::random::Random;

/// What a run's clients do beside the usual. Which runs have what is drawn apart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Variety {
    /// KEYS, SCAN and DBSIZE: they must show whatever is there throughout.
    pub lists: bool,
    /// FLUSHALL.
    pub flushes: bool,
    /// Every other client speaks RESP3.
    pub resp3: bool,
    /// CONFIG, INFO, and commands on a large value.
    pub costly: bool,
    /// Pairs are written by COPY, RENAME, BITOP and SETRANGE.
    pub composed: bool,
    /// Lifetimes are judged: what has expired stays so.
    pub expires: bool,
    /// Wall clocks are right but for their rates: lifetimes are as long as they should be.
    pub clocks_are_right: bool,
}

impl Variety {
    /// Draws it.
    pub(crate) fn draw(random: &mut Random) -> Self {
        if !random.permille(400) {
            return Self::default();
        }
        Self {
            flushes: random.permille(150),
            lists: random.permille(500),
            resp3: random.permille(500),
            costly: random.permille(500),
            composed: random.permille(500),
            expires: random.permille(500),
            clocks_are_right: false,
        }
    }

    fn kinds(self) -> Vec<Aside> {
        let mut kinds = Vec::new();
        if self.lists {
            kinds.extend([Aside::Keys, Aside::Scan, Aside::Size]);
        }
        if self.flushes {
            kinds.push(Aside::Flush);
        }
        if self.costly {
            kinds.extend([Aside::Costly, Aside::Tune]);
        }
        kinds
    }

    /// Now and then, something beside the usual.
    pub(crate) fn pick(self, random: &mut Random) -> Option<Aside> {
        let kinds = self.kinds();
        (!kinds.is_empty() && random.permille(40)).then(|| random.pick(&kinds))
    }
}

/// A request beside the usual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aside {
    Keys,
    Scan,
    Size,
    Flush,
    Costly,
    Tune,
}

/// What the reply to such a request is held against.
#[derive(Clone, Debug)]
pub(crate) enum Awaited {
    /// Whatever a command may say.
    Anything,
    /// A list with these keys.
    Keys(Vec<Key>),
    /// At least so many keys.
    Size(usize),
    /// A step of a walk that must show these keys by its end.
    Scan(Walk),
    /// These deletions, one for each key, by one FLUSHALL.
    Flush(Vec<usize>),
}

/// A walk through all keys.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub(crate) cursor: Vec<u8>,
    missing: BTreeSet<Key>,
}

impl Walk {
    pub(crate) fn new(known: Vec<Key>) -> Self {
        Self { cursor: b"0".to_vec(), missing: known.into_iter().collect() }
    }

    pub(crate) fn words(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let count = random.pick(&["1", "10", "1000"]);
        words(&["SCAN", "", "COUNT", count], Some((1, &self.cursor)))
    }

    /// Takes a step's reply. `Ok(None)` at the end.
    fn step(mut self, reply: &Value) -> Result<Option<Self>, String> {
        let Value::Array(parts) = reply else { return Err(format!("SCAN says {reply:?}")) };
        let [Value::Bulk(cursor), Value::Array(keys)] = parts.as_slice() else {
            return Err(format!("SCAN says {reply:?}"));
        };
        for key in keys {
            if let Value::Bulk(key) = key {
                self.missing.remove(key.as_slice());
            }
        }
        if cursor != b"0" {
            self.cursor.clone_from(cursor);
            return Ok(Some(self));
        }
        match self.missing.first() {
            None => Ok(None),
            Some(key) => Err(format!("SCAN leaves out {}", key.escape_ascii())),
        }
    }
}

fn words(words: &[&str], other: Option<(usize, &[u8])>) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    if let Some((at, word)) = other {
        words[at] = word.to_vec();
    }
    words
}

/// The words of a request that no judge waits for.
pub(crate) fn unjudged(aside: Aside, random: &mut Random) -> Vec<Vec<u8>> {
    const COSTLY: [&[&str]; 7] = [
        &["SETRANGE", "{x}b", "60000", "abc"],
        &["SETBIT", "{x}b", "400000", "1"],
        &["BITCOUNT", "{x}b"],
        &["BITOP", "NOT", "{x}d", "{x}b"],
        &["RENAME", "{x}d", "{x}b"],
        &["KEYS", "*[a-z]*[0-9]*[a-z]*x"],
        &["SCAN", "0", "MATCH", "*[abc]*z", "COUNT", "1000000000"],
    ];
    const TUNE: [&[&str]; 5] = [
        &["CONFIG", "SET", "slowlog-max-len", "5"],
        &["CONFIG", "SET", "slowlog-log-slower-than", "0"],
        &["CONFIG", "GET", "*"],
        &["INFO", "everything"],
        &["SLOWLOG", "GET", "10"],
    ];
    let command = if aside == Aside::Costly { random.pick(&COSTLY) } else { random.pick(&TUNE) };
    words(command, None)
}

/// What a reply means that was awaited: the walk that goes on, or what is wrong.
pub(crate) fn judge(
    awaited: Awaited,
    reply: &Value,
    history: &mut [Operation],
    now: u64,
) -> Result<Option<Walk>, String> {
    if let Value::Error(text) = reply {
        let status = super::clients::refusal(text);
        let known = status.is_some() || text.starts_with("OOM") || text == "ERR no such key";
        if let Awaited::Flush(operations) = &awaited {
            end(history, operations, status.unwrap_or(Status::Info), now);
        }
        return if known { Ok(None) } else { Err(format!("{awaited:?} was answered by {text}")) };
    }
    match awaited {
        Awaited::Anything => Ok(None),
        Awaited::Scan(walk) => walk.step(reply),
        Awaited::Size(least) => {
            let Value::Integer(count) = reply else { return Err(format!("DBSIZE says {reply:?}")) };
            if usize::try_from(*count).is_ok_and(|count| count >= least) {
                return Ok(None);
            }
            Err(format!("DBSIZE says {count}, and there are {least} keys at least"))
        }
        Awaited::Keys(known) => {
            let Value::Array(keys) = reply else { return Err(format!("KEYS says {reply:?}")) };
            let listed =
                |key: &Key| keys.iter().any(|it| matches!(it, Value::Bulk(it) if **it == **key));
            match known.iter().find(|key| !listed(key)) {
                None => Ok(None),
                Some(key) => Err(format!("KEYS leaves out {}", key.escape_ascii())),
            }
        }
        Awaited::Flush(operations) => {
            end(history, &operations, Status::Ok, now);
            Ok(None)
        }
    }
}

fn end(history: &mut [Operation], operations: &[usize], status: Status, now: u64) {
    for operation in operations.iter().filter(|_| status != Status::Info) {
        let entry = &mut history[*operation];
        entry.end = Some(now.max(entry.start + 1));
        entry.status = status;
    }
}

/// One key's part of a FLUSHALL, until it is known what became of it.
pub(crate) fn deletion(process: u64, key: Key, start: u64, node: usize) -> Operation {
    Operation {
        process,
        key,
        call: Call::Delete,
        start,
        end: None,
        reply: None,
        status: Status::Info,
        node: Some(node as u32 + 1),
        epoch: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulks(keys: &[&str]) -> Value {
        Value::Array(keys.iter().map(|key| Value::Bulk(key.as_bytes().to_vec())).collect())
    }

    fn known() -> Vec<Key> {
        vec![b"a".to_vec().into(), b"b".to_vec().into()]
    }

    #[test]
    fn a_list_shows_what_is_there_throughout() {
        let judged = |keys: &[&str]| judge(Awaited::Keys(known()), &bulks(keys), &mut [], 1);
        assert!(judged(&["b", "c", "a"]).is_ok());
        assert!(judged(&["b", "c"]).is_err());
        assert!(judge(Awaited::Size(2), &Value::Integer(1), &mut [], 1).is_err());
        assert!(judge(Awaited::Size(2), &Value::Integer(3), &mut [], 1).is_ok());
    }

    #[test]
    fn a_walk_shows_it_by_its_end() {
        let step = |walk, cursor: &str, keys: &[&str]| {
            let reply = [Value::Bulk(cursor.as_bytes().to_vec()), bulks(keys)];
            judge(Awaited::Scan(walk), &Value::Array(reply.to_vec()), &mut [], 1)
        };
        let walk = step(Walk::new(known()), "7", &["b"]).expect("a step").expect("not the last");
        assert_eq!(walk.cursor, b"7");
        assert!(step(walk.clone(), "0", &["c"]).is_err());
        assert!(step(walk, "0", &["a", "b"]).expect("the last").is_none());
    }
}

//! Costly requests: how long others wait beside them, and whether they cost a node its leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::driver::Driver;
use super::faults::figure;
use super::report::{Finding, Goal, short};
use super::resp::Connection;
use super::rows::Row;
use super::statistics::largest;
use super::store::{Store, Stores, Target};
use super::{Settings, Trouble, interrupt, leasehold};
use crate::Failure;

/// Without a manager, which moves leases for other reasons.
const CLUSTER: Target = Target::Leasehold { nodes: 3, shards: 16, managed: false };
/// Clients of each node that want little.
const OTHERS_EACH: usize = 2;
/// What such a client waits between two requests: together they leave the machine idle.
const OTHERS_PAUSE: Duration = Duration::from_millis(1);
/// How long others are watched at least, and how long behind a request: what is freed or applied
/// late disturbs, too.
const WATCH_TIME: Duration = Duration::from_secs(1);
/// How long a costly request may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Keys that FLUSHALL, KEYS and SCAN meet, and how many are written at a time.
const MANY_KEYS: usize = 1_000_000;
const BATCH: usize = 1_000;
/// Keys of one command.
const KEYS_OF_ONE: usize = 200_000;

const GOAL: Goal = Goal::AtMost(250.0);
const MOVES_GOAL: Goal = Goal::AtMost(0.0);

/// A costly request, by what must be there before and what is asked.
struct Costly {
    what: &'static str,
    before: fn(&mut Connection) -> Result<(), Failure>,
    ask: fn(&mut Connection) -> Result<String, Failure>,
}

const fn nothing(_: &mut Connection) -> Result<(), Failure> {
    Ok(())
}

const COSTLY: &[Costly] = &[
    Costly { what: "nothing", before: nothing, ask: |_| Ok(String::new()) },
    Costly {
        what: "KEYS with a class of 60,000 characters",
        before: nothing,
        ask: |it| it.ask(&[b"KEYS", &class()]),
    },
    Costly {
        what: "SCAN MATCH with such a class, COUNT 100000",
        before: nothing,
        ask: |it| it.ask(&[b"SCAN", b"0", b"MATCH", &class(), b"COUNT", b"100000"]),
    },
    Costly {
        what: "20 LCS of 11.5 KB, pipelined",
        before: |it| {
            for key in [b"{lcs}a", b"{lcs}b"] {
                it.ask(&[b"SET", key, &text(11_500, key[5])])?;
            }
            Ok(())
        },
        ask: |it| it.pipelined(20, &[b"LCS", b"{lcs}a", b"{lcs}b"]),
    },
    Costly {
        what: "SETBIT at 4294967295",
        before: nothing,
        ask: |it| it.ask(&[b"SETBIT", b"{big}", b"4294967295", b"1"]),
    },
    Costly {
        what: "SETBIT that makes 64 MB, the most that a command may build",
        before: nothing,
        ask: |it| it.ask(&[b"SETBIT", b"{big}", b"536870911", b"1"]),
    },
    Costly {
        what: "BITCOUNT of that",
        before: nothing,
        ask: |it| it.ask(&[b"BITCOUNT", b"{big}"]),
    },
    Costly { what: "GET of that", before: nothing, ask: |it| it.ask(&[b"GET", b"{big}"]) },
    Costly {
        what: "COPY of that",
        before: nothing,
        ask: |it| it.ask(&[b"COPY", b"{big}", b"{big}copy"]),
    },
    Costly {
        what: "BITOP NOT of that",
        before: nothing,
        ask: |it| it.ask(&[b"BITOP", b"NOT", b"{big}not", b"{big}"]),
    },
    Costly {
        what: "DEL of these",
        before: nothing,
        ask: |it| it.ask(&[b"DEL", b"{big}", b"{big}copy", b"{big}not"]),
    },
    Costly {
        what: "3,000 BITCOUNT of 8 MB, pipelined",
        before: |it| it.ask(&[b"SETBIT", b"{bits}", b"67108863", b"1"]).map(|_| ()),
        ask: |it| it.pipelined(3_000, &[b"BITCOUNT", b"{bits}"]),
    },
    Costly { what: "SET of 64 MB", before: nothing, ask: |it| set_large(it) },
    Costly { what: "SET of 64 MB over 64 MB", before: nothing, ask: |it| set_large(it) },
    Costly { what: "GET of 64 MB", before: nothing, ask: |it| it.ask(&[b"GET", b"{large}"]) },
    Costly {
        what: "MSET of 200,000 keys",
        before: nothing,
        ask: |it| with_keys(it, b"MSET", true),
    },
    Costly {
        what: "MGET of 200,000 keys",
        before: nothing,
        ask: |it| with_keys(it, b"MGET", false),
    },
    Costly { what: "DEL of 200,000 keys", before: nothing, ask: |it| with_keys(it, b"DEL", false) },
    Costly { what: "KEYS of 1M keys", before: many_keys, ask: |it| it.ask(&[b"KEYS", b"*"]) },
    Costly {
        what: "SCAN COUNT 1000000000",
        before: nothing,
        ask: |it| it.ask(&[b"SCAN", b"0", b"COUNT", b"1000000000"]),
    },
    Costly { what: "FLUSHALL of 1M keys", before: nothing, ask: |it| it.ask(&[b"FLUSHALL"]) },
];

/// A pattern with a class of 60,000 characters, none of which is in any key.
fn class() -> Vec<u8> {
    [b"[".to_vec(), vec![b'!'; 60_000], b"]*".to_vec()].concat()
}

/// Text in which letters differ, and other texts have other letters in their places.
fn text(bytes: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) | 1;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 24) as u8 % 26
    };
    (0..bytes).map(|_| letter()).collect()
}

fn set_large(connection: &mut Connection) -> Result<String, Failure> {
    connection.ask(&[b"SET", b"{large}", &vec![b'x'; 64 << 20]])
}

/// A command with many keys of one slot.
fn with_keys(connection: &mut Connection, name: &[u8], values: bool) -> Result<String, Failure> {
    let keys: Vec<Vec<u8>> =
        (0..KEYS_OF_ONE).map(|number| format!("{{many}}{number}").into_bytes()).collect();
    let mut words = vec![name];
    for key in &keys {
        words.push(key);
        if values {
            words.push(b"a value");
        }
    }
    connection.ask(&words)
}

fn many_keys(connection: &mut Connection) -> Result<(), Failure> {
    for first in (0..MANY_KEYS).step_by(BATCH) {
        let keys = first..first + BATCH;
        let sets = keys.map(|number| [b"SET".to_vec(), format!("many:{number}").into_bytes()]);
        for [name, key] in sets {
            connection.send(&[&name, &key, &[b'v'; 100]])?;
        }
        for _ in 0..BATCH {
            connection.answer()?;
        }
    }
    Ok(())
}

/// What others have noticed.
#[derive(Clone, Copy, Default)]
struct Noticed {
    longest: Duration,
    requests: u64,
    errors: u64,
}

/// Clients that want little, until they are told to stop.
struct Others {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Result<Noticed, Failure>>>,
}

impl Others {
    fn start(store: &Store) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ports = store.ports.iter().flat_map(|port| [*port; OTHERS_EACH]);
        let begin = |(at, port): (usize, u16)| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || ask_little(port, at, &stop))
        };
        let threads = ports.enumerate().map(begin).collect();
        Self { stop, threads }
    }

    fn finish(self) -> Result<Noticed, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Noticed::default();
        for thread in self.threads {
            let noticed = thread.join().map_err(|_| String::from("a client panicked"))??;
            all.longest = all.longest.max(noticed.longest);
            all.requests += noticed.requests;
            all.errors += noticed.errors;
        }
        Ok(all)
    }
}

/// A client that writes and reads keys of all shards in turns.
fn ask_little(port: u16, at: usize, stop: &AtomicBool) -> Result<Noticed, Failure> {
    let mut connection = Connection::open(port, PATIENCE)?;
    let mut noticed = Noticed::default();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("other:{at}:{}", noticed.requests / 2 % 1_000).into_bytes();
        let words: &[&[u8]] = if noticed.requests.is_multiple_of(2) {
            &[b"SET", &key, b"little"]
        } else {
            &[b"GET", &key]
        };
        let begun = Instant::now();
        let answer = connection.ask(words)?;
        noticed.longest = noticed.longest.max(begun.elapsed());
        noticed.requests += 1;
        noticed.errors += u64::from(answer.starts_with('-'));
        thread::sleep(OTHERS_PAUSE);
    }
    Ok(noticed)
}

/// Each costly request once, beside others that want little.
pub(super) fn others_wait(
    row: &Row,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    let store = stores.alone(CLUSTER, settings, driver)?;
    leasehold::spread(&store, settings)?;
    let mut connection = Connection::open(store.ports[0], PATIENCE)?;
    let (mut waits, mut findings, mut moves) = (Vec::new(), Vec::new(), 0);
    for costly in COSTLY {
        interrupt::check()?;
        (costly.before)(&mut connection)?;
        interrupt::pause(WATCH_TIME)?;
        let epochs = leasehold::epochs(&store, settings)?;
        let others = Others::start(&store);
        interrupt::pause(WATCH_TIME / 4)?;
        let begun = Instant::now();
        let answer = (costly.ask)(&mut connection)?;
        let took = begun.elapsed();
        interrupt::pause(WATCH_TIME)?;
        let noticed = others.finish()?;
        let moved = leasehold::epochs(&store, settings)? - epochs;
        let wait = noticed.longest.as_secs_f64() * 1e3;
        let shown: String = answer.chars().take(70).collect();
        settings.say(&format!(
            "{}: {}: others {wait:.1} ms ({} requests, {} errors), {moved} moves; took {:.0} ms: \
             {shown}",
            row.name,
            costly.what,
            noticed.requests,
            noticed.errors,
            took.as_secs_f64() * 1e3
        ));
        settings.record(&json!({
            "row": row.name, "what": costly.what, "others_ms": wait, "moves": moved,
            "errors": noticed.errors, "took_ms": took.as_secs_f64() * 1e3, "answer": shown,
        }))?;
        let remark = format!("took {} ms: {shown}", short(took.as_secs_f64() * 1e3));
        let what = format!("{}: {}", row.what, costly.what);
        findings.push(figure(row, what, wait, "ms", remark, GOAL, 1));
        waits.push(wait);
        moves += moved;
    }
    let what = String::from("moves of leases beside them");
    let remark = format!("the longest wait {} ms", short(largest(&waits)));
    findings.push(figure(row, what, moves as f64, "", remark, MOVES_GOAL, waits.len()));
    Ok(findings)
}

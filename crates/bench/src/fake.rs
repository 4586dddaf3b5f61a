//! A tiny server for tests: one thread a connection, all of them on one map.

use crate::keys::slot;
use crate::reply::{Parsed, Reply, parse};
use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server does beside serving.
#[derive(Clone, Default)]
pub(crate) struct Behaviour {
    /// Slots from this one on belong to the other server.
    pub(crate) moved: Option<(usize, SocketAddr)>,
    /// Whether redirections are by ASK.
    pub(crate) asks: bool,
    /// What CLUSTER SLOTS answers.
    pub(crate) slots: Vec<u8>,
    /// The password.
    pub(crate) password: Option<String>,
    /// Applies every n-th write and closes the connection instead of answering.
    pub(crate) breaks_every: u64,
    /// Acknowledges every n-th write without applying it.
    pub(crate) loses_every: u64,
    /// Answers every n-th request with this error, without applying it.
    pub(crate) refuses_every: Option<(u64, &'static str)>,
    /// How many replicas have each write.
    pub(crate) replicas: u32,
    /// Never answers the n-th request nor anything later on that connection.
    pub(crate) silent_at: u64,
}

/// The data, which several servers may share.
pub(crate) type Data = Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>;

struct Server {
    behaviour: Behaviour,
    data: Data,
    requests: AtomicU64,
    writes: AtomicU64,
}

/// Starts a server on a free port. It ends with the process.
pub(crate) fn start(behaviour: Behaviour, data: &Data) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    serve(listener, behaviour, data)
}

/// Serves on a port that is bound already.
pub(crate) fn serve(listener: TcpListener, behaviour: Behaviour, data: &Data) -> SocketAddr {
    let address = listener.local_addr().expect("it is bound");
    let (requests, writes) = (AtomicU64::new(0), AtomicU64::new(0));
    let server = Arc::new(Server { behaviour, data: data.clone(), requests, writes });
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let server = server.clone();
            thread::spawn(move || server.connection(stream));
        }
    });
    address
}

/// A row of CLUSTER SLOTS for each holder, all with equal shares of the slots.
pub(crate) fn slots(holders: &[SocketAddr]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", holders.len());
    let share = 16384 / holders.len();
    for (at, holder) in holders.iter().enumerate() {
        let (first, last) = (at * share, (at + 1) * share - 1);
        let port = holder.port();
        out += &format!("*3\r\n:{first}\r\n:{last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n");
    }
    out.into_bytes()
}

impl Server {
    fn connection(&self, mut stream: TcpStream) {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        let mut buffer = [0; 16 << 10];
        let mut flags = HashSet::new();
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            input.extend_from_slice(&buffer[..count]);
            let mut rest = input.as_slice();
            let mut is_open = true;
            while let Parsed::Reply(Reply::Array(words), after) = parse(rest) {
                let words = words.iter().map(|word| {
                    let Reply::Bulk(Some(bytes)) = word else { panic!("no command: {word:?}") };
                    *bytes
                });
                is_open = is_open && self.request(&words.collect::<Vec<_>>(), &mut flags, &mut out);
                rest = after;
            }
            let used = input.len() - rest.len();
            input.drain(..used);
            if stream.write_all(&out).is_err() || !is_open {
                return;
            }
            out.clear();
        }
    }

    /// Answers a request; whether the connection stays open.
    fn request(
        &self,
        words: &[&[u8]],
        flags: &mut HashSet<&'static str>,
        out: &mut Vec<u8>,
    ) -> bool {
        let behaviour = &self.behaviour;
        match words {
            [b"AUTH", password] => {
                let is_right =
                    behaviour.password.as_ref().is_some_and(|p| p.as_bytes() == *password);
                flags.extend(is_right.then_some("authenticated"));
                out.extend_from_slice(if is_right { b"+OK\r\n" } else { b"-WRONGPASS no\r\n" });
                return true;
            }
            _ if behaviour.password.is_some() && !flags.contains("authenticated") => {
                out.extend_from_slice(b"-NOAUTH who are you\r\n");
                return true;
            }
            [b"CLUSTER", ..] => {
                out.extend_from_slice(&behaviour.slots);
                return true;
            }
            [b"CLIENT", ..] => {
                out.extend_from_slice(b"-ERR unknown subcommand 'SETINFO'\r\n");
                return true;
            }
            [b"WAIT", ..] => {
                out.extend_from_slice(format!(":{}\r\n", behaviour.replicas).as_bytes());
                return true;
            }
            [b"ASKING"] => {
                flags.insert("asking");
                out.extend_from_slice(b"+OK\r\n");
                return true;
            }
            _ => {}
        }
        let key = words[1];
        let is_asking = flags.remove("asking");
        if let Some((from, other)) = behaviour.moved
            && slot(key) >= from
            && !is_asking
        {
            let word = if behaviour.asks { "ASK" } else { "MOVED" };
            out.extend_from_slice(format!("-{word} {} {other}\r\n", slot(key)).as_bytes());
            return true;
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if number == behaviour.silent_at || flags.contains("silent") {
            flags.insert("silent");
            return true;
        }
        if let Some((every, error)) = behaviour.refuses_every
            && number.is_multiple_of(every)
        {
            out.extend_from_slice(format!("-{error}\r\n").as_bytes());
            return true;
        }
        self.apply(words, out)
    }

    fn apply(&self, words: &[&[u8]], out: &mut Vec<u8>) -> bool {
        let mut data = self.data.lock().expect("no thread panics with the lock");
        let key = words[1].to_vec();
        if let [b"GET", _] = words {
            match data.get(&key) {
                Some(value) => {
                    out.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
                    out.extend_from_slice(value);
                    out.extend_from_slice(b"\r\n");
                }
                None => out.extend_from_slice(b"$-1\r\n"),
            }
            return true;
        }
        let write = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        let is_nth = |every: u64| every > 0 && write.is_multiple_of(every);
        let (value, reply) = match words {
            [b"SET", _, value] => (value.to_vec(), "+OK\r\n".to_owned()),
            [b"INCR", _] => {
                let old = data.get(&key).map_or("0", |text| str::from_utf8(text).expect("text"));
                let count = old.parse::<i64>().expect("a count") + 1;
                (count.to_string().into_bytes(), format!(":{count}\r\n"))
            }
            other => panic!("unknown command {other:?}"),
        };
        if !is_nth(self.behaviour.loses_every) {
            data.insert(key, value);
        }
        if is_nth(self.behaviour.breaks_every) {
            return false;
        }
        out.extend_from_slice(reply.as_bytes());
        true
    }
}

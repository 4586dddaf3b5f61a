//! What to run, and which wishes are refused.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Most clients of one run.
pub(crate) const CLIENTS_MAX: usize = 20_000;
/// Most requests that one client may have in flight.
pub(crate) const PIPELINE_MAX: usize = 4_096;
/// Most load threads.
pub(crate) const THREADS_MAX: usize = 256;
/// Most keys, so that a list of them fits in memory.
pub(crate) const KEYS_MAX: u64 = 1 << 32;
/// Longest key, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 64 << 10;
/// Longest value, in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 64 << 20;
/// Most replicas that `WAIT` can ask for, so that its answer is short.
pub(crate) const WAIT_MAX: u32 = 9;
/// Longest run, warm-up included.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How keys are chosen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Keys {
    /// Every key as likely as any other.
    Uniform,
    /// YCSB's zipfian distribution with this exponent (0 to 1, both excluded; 0.99 by
    /// convention). The hot keys are spread over the slots.
    Zipfian(f64),
    /// One after the other, and again from the first. With [`Limit::Requests`] of as many as
    /// there are keys, each is used once.
    InOrder,
}

/// Which keys a client uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pin {
    /// All.
    Nothing,
    /// Those of one slot range of the first topology, so that a stall of one range does not take
    /// clients from the others. Needs `cluster`.
    Range,
    /// Those of one node of the first topology, so that a client has one connection, as a client
    /// of a single server has. Needs `cluster`.
    Node,
}

impl Keys {
    fn is_valid(self) -> bool {
        match self {
            Self::Uniform | Self::InOrder => true,
            Self::Zipfian(exponent) => exponent > 0.0 && exponent < 1.0,
        }
    }
}

/// When to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// After this time, not counting the warm-up.
    Duration(Duration),
    /// After this many requests, warm-up included.
    Requests(u64),
}

/// A run. Build it from [`Options::new`] and change fields, or from [`crate::Arguments`].
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// The servers. Without `cluster`, clients are spread over them and go to the next one when
    /// their connection breaks. With it, any one that answers gives the topology.
    pub addresses: Vec<SocketAddr>,
    /// Whether addresses other than loopback may be used.
    pub allow_remote: bool,
    /// Whether to send each request to the holder of its slot, by `CLUSTER SLOTS`.
    pub cluster: bool,
    /// Which keys a client uses.
    pub pin: Pin,
    /// The password that each connection gives, if any.
    pub password: Option<String>,
    /// How many clients. Each has one connection, or with `cluster` one to each node it needs.
    pub clients: usize,
    /// How many requests each client may have in flight.
    pub pipeline: usize,
    /// Whether a client sends `pipeline` requests together and the next ones when all of them are
    /// answered, instead of one for each answer.
    pub batch: bool,
    /// How many replicas must have each `SET`, by a `WAIT` behind it; 0 to 9. The two are one
    /// request, which fails if fewer have it. 0 means no `WAIT`.
    pub wait: u32,
    /// How many threads drive the clients.
    pub threads: usize,
    /// Requests a second over all clients (an open loop: latency counts from the moment a
    /// request was due), or `None` to send whenever a client is free (a closed loop).
    pub rate: Option<f64>,
    /// When to stop.
    pub limit: Limit,
    /// How long to run before measuring.
    pub warm_up: Duration,
    /// How keys are chosen.
    pub keys: Keys,
    /// How many keys of each kind (registers, counters) there are.
    pub key_count: u64,
    /// Length of a key in bytes; longer if the key's number needs it.
    pub key_bytes: usize,
    /// Length of a value in bytes. In a history it is longer if uniqueness needs it.
    pub value_bytes: usize,
    /// Weights of `GET`, `SET` and `INCR`. Counters have keys of their own, and reads are
    /// spread over registers and counters like the writes.
    pub weights: [u32; 3],
    /// Seed of every random choice; each thread derives its own.
    pub seed: u64,
    /// How long a request or a connection attempt may take.
    pub timeout: Duration,
    /// Whether to go on, with back-off, when connections break or time out.
    pub keep_going: bool,
    /// Where to write the history, if anywhere. Existing files are refused. Keys are then named
    /// after this run, and every key is read once more at the end.
    pub history: Option<PathBuf>,
    /// Into how many equal slot ranges stalls are sorted, 1 to 16384. With `cluster`, 0 means
    /// the ranges of the first topology.
    pub stall_ranges: u16,
    /// Whether to write a line of progress to the standard error stream each second.
    pub progress: bool,
    /// Processes whose CPU time is measured beside the client's.
    pub pids: Vec<u32>,
}

impl Options {
    /// A closed loop of 50 clients without pipelining for 10 s: 100,000 keys of 16 bytes,
    /// values of 100 bytes, as many reads as writes.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses,
            allow_remote: false,
            cluster: false,
            pin: Pin::Nothing,
            password: None,
            clients: 50,
            pipeline: 1,
            batch: false,
            wait: 0,
            threads: 1,
            rate: None,
            limit: Limit::Duration(Duration::from_secs(10)),
            warm_up: Duration::from_secs(1),
            keys: Keys::Uniform,
            key_count: 100_000,
            key_bytes: 16,
            value_bytes: 100,
            weights: [1, 1, 0],
            seed: 1,
            timeout: Duration::from_secs(2),
            keep_going: false,
            history: None,
            stall_ranges: 0,
            progress: false,
            pids: Vec::new(),
        }
    }

    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |reason: &str| Err(Error::Refused(reason.to_owned()));
        let remote = self.addresses.iter().find(|address| !address.ip().is_loopback());
        match remote {
            Some(address) if !self.allow_remote => {
                return Err(Error::Refused(format!(
                    "{address} is not a loopback address; use --allow-remote if you mean it"
                )));
            }
            Some(_) | None => {}
        }
        let duration = match self.limit {
            Limit::Duration(duration) => duration,
            Limit::Requests(_) => Duration::ZERO,
        };
        let bounded = |value: usize, max: usize| (1..=max).contains(&value);
        if self.addresses.is_empty() {
            refuse("no address is given")
        } else if !bounded(self.clients, CLIENTS_MAX) {
            refuse("clients must be 1 to 20000")
        } else if !bounded(self.pipeline, PIPELINE_MAX) {
            refuse("the pipeline must be 1 to 4096 requests deep")
        } else if !bounded(self.threads, THREADS_MAX.min(self.clients)) {
            refuse("threads must be 1 to 256, and no more than clients")
        } else if !(1..=KEYS_MAX).contains(&self.key_count) {
            refuse("the number of keys must be 1 to 2^32")
        } else if self.key_bytes > KEY_BYTES_MAX || self.value_bytes > VALUE_BYTES_MAX {
            refuse("keys may have 64 KiB and values 64 MiB")
        } else if duration + self.warm_up > DURATION_MAX {
            refuse("a run may take a week")
        } else if self.weights.iter().all(|&weight| weight == 0) {
            refuse("the mix is empty")
        } else if self.rate.is_some_and(|rate| !(0.001..=1e9).contains(&rate)) {
            refuse("the rate must be 0.001 to 10^9 requests a second")
        } else if !self.keys.is_valid() {
            refuse("the zipfian exponent must lie between 0 and 1")
        } else if self.stall_ranges > 16384 {
            refuse("there are 16384 slots")
        } else if self.pin != Pin::Nothing && (!self.cluster || self.weights[2] > 0) {
            refuse("pinned clients need a cluster, and a mix without INCR")
        } else if self.pin != Pin::Nothing && self.keys == Keys::InOrder {
            refuse("keys in order are all clients' together, so clients can't be pinned")
        } else if self.batch && self.rate.is_some() {
            refuse("requests that are due one by one do not go in batches")
        } else if self.wait > WAIT_MAX {
            refuse("WAIT can ask for 9 replicas")
        } else if self.timeout.is_zero() {
            refuse("the time-out must not be 0")
        } else {
            Ok(())
        }
    }
}

/// Why a run ended without a report.
#[derive(Debug)]
pub enum Error {
    /// The options make no sense; the text says why.
    Refused(String),
    /// A server could not be reached, or broke off while `keep_going` was not set.
    Server(String),
    /// The local system failed: files, sockets, threads.
    Io(io::Error),
    /// A history could not be read.
    History(history::jsonl::ReadError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "{reason}"),
            Self::Server(reason) => write!(f, "server: {reason}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::History(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

//! The command line of `leasehold bench`.

use crate::options::{Error, Keys, Limit, Options, Pin};
use clap::Args;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// Load a server or cluster that speaks the Redis protocol, and report what its users would see.
///
/// Examples:
///
///   leasehold bench --hosts 127.0.0.1:6379 -c 50 -P 16 --reads 0.9
///
///   leasehold bench --cluster --rate 20000 --zipf 0.99 --seconds 30
///
///   leasehold bench --cluster --pin --history run.jsonl && leasehold bench check run.jsonl
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Addresses of the servers, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "127.0.0.1:6379")]
    pub hosts: Vec<String>,
    /// Allow addresses other than loopback.
    #[arg(long)]
    pub allow_remote: bool,
    /// Ask for the topology and send each request to the holder of its slot.
    #[arg(long)]
    pub cluster: bool,
    /// Let each client keep to one slot range, so that a stall of one range leaves the load on
    /// the others as it is. Needs --cluster.
    #[arg(long)]
    pub pin: bool,
    /// Let each client keep to the keys of one node, so that it has one connection, as a client
    /// of a single server has. Needs --cluster.
    #[arg(long, conflicts_with = "pin")]
    pub pin_nodes: bool,
    /// Password to give on each connection.
    #[arg(long)]
    pub password: Option<String>,
    /// Number of clients, each with its own connection (one to each node with --cluster).
    #[arg(short = 'c', long, default_value_t = 50)]
    pub clients: usize,
    /// Requests that each client keeps in flight.
    #[arg(short = 'P', long, default_value_t = 1)]
    pub pipeline: usize,
    /// Send the requests of a pipeline together, and the next ones when all are answered, as
    /// redis-benchmark does.
    #[arg(long)]
    pub batch: bool,
    /// Put a WAIT for this many replicas behind each SET; the two count as one request.
    #[arg(long, default_value_t = 0)]
    pub wait: u32,
    /// Threads that drive the clients.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Requests a second, sent when they are due whether or not answers came (an open loop).
    /// Latency counts from the due time. Without it each client sends as soon as it may.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 10.0, conflicts_with = "requests")]
    pub seconds: f64,
    /// Stop after this many requests instead; there is no warm-up then.
    #[arg(short = 'n', long)]
    pub requests: Option<u64>,
    /// How long to run before measuring, in seconds.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Number of keys.
    #[arg(long, default_value_t = 100_000)]
    pub keys: u64,
    /// Choose keys by a zipfian distribution with this exponent, such as 0.99.
    #[arg(long)]
    pub zipf: Option<f64>,
    /// Take the keys one after the other; with as many requests as keys, each once.
    #[arg(long, conflicts_with = "zipf")]
    pub in_order: bool,
    /// Length of a key in bytes.
    #[arg(long, default_value_t = 16)]
    pub key_size: usize,
    /// Length of a value in bytes [default: 100, or as short as can be with --history].
    #[arg(short = 'd', long)]
    pub value_size: Option<usize>,
    /// Share of reads, 0 to 1; the rest are writes.
    #[arg(long, default_value_t = 0.5, conflicts_with = "mix")]
    pub reads: f64,
    /// Weights of commands, such as get=8,set=1,incr=1.
    #[arg(long, value_parser = parse_mix)]
    pub mix: Option<Mix>,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long a request may take, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    pub timeout_ms: u64,
    /// Go on, with back-off, when connections break. Always so with --history.
    #[arg(long)]
    pub keep_going: bool,
    /// Write every operation to this new file, one JSON object a line, for `bench check`.
    #[arg(long)]
    pub history: Option<PathBuf>,
    /// Sort stalls into this many equal slot ranges [default: the ranges of the topology].
    #[arg(long, default_value_t = 0)]
    pub stall_ranges: u16,
    /// Process ids of the servers, separated by commas, to report their CPU time.
    #[arg(long, value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// No line of progress each second.
    #[arg(long)]
    pub quiet: bool,
    /// Report as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Weights of `GET`, `SET` and `INCR`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mix(pub [u32; 3]);

fn parse_mix(text: &str) -> Result<Mix, String> {
    let mut weights = [0; 3];
    for part in text.split(',') {
        let (name, weight) = part.split_once('=').ok_or(format!("{part:?} is not name=weight"))?;
        let place = ["get", "set", "incr"].iter().position(|known| *known == name.trim());
        let place = place.ok_or(format!("{name:?} is neither get, set nor incr"))?;
        let weight = weight.trim().parse();
        weights[place] = weight.map_err(|_| format!("{part:?} has no weight from 0"))?;
    }
    Ok(Mix(weights))
}

/// Reads are given as a share; this many parts make a whole.
const SHARE_PARTS: f64 = 1_000_000.0;

impl Arguments {
    /// The run that the command line asks for.
    ///
    /// # Errors
    /// When an address or a number makes no sense.
    pub fn options(&self) -> Result<Options, Error> {
        let mut addresses = Vec::new();
        for host in &self.hosts {
            addresses.push(resolve(host)?);
        }
        let seconds = |value: f64| {
            Duration::try_from_secs_f64(value)
                .map_err(|_| Error::Refused(format!("{value} is no time in seconds")))
        };
        let in_history = self.history.is_some();
        if !(0.0..=1.0).contains(&self.reads) {
            return Err(Error::Refused("the share of reads must be 0 to 1".to_owned()));
        }
        let reads = (self.reads * SHARE_PARTS).round() as u32;
        let options = Options {
            allow_remote: self.allow_remote,
            cluster: self.cluster,
            pin: self.pin(),
            password: self.password.clone(),
            clients: self.clients,
            pipeline: self.pipeline,
            batch: self.batch,
            wait: self.wait,
            threads: self.threads,
            rate: self.rate,
            limit: match self.requests {
                Some(requests) => Limit::Requests(requests),
                None => Limit::Duration(seconds(self.seconds)?),
            },
            warm_up: match self.requests {
                Some(_) => Duration::ZERO,
                None => seconds(self.warm_up)?,
            },
            keys: self.choice_of_keys(),
            key_count: self.keys,
            key_bytes: self.key_size,
            value_bytes: self.value_size.unwrap_or(if in_history { 0 } else { 100 }),
            weights: self.mix.map_or([reads, SHARE_PARTS as u32 - reads, 0], |mix| mix.0),
            seed: self.seed,
            timeout: Duration::from_millis(self.timeout_ms),
            keep_going: self.keep_going || in_history,
            history: self.history.clone(),
            stall_ranges: self.stall_ranges,
            progress: !self.quiet,
            pids: self.pids.clone(),
            ..Options::new(addresses)
        };
        options.validate()?;
        Ok(options)
    }

    fn pin(&self) -> Pin {
        match (self.pin, self.pin_nodes) {
            (true, _) => Pin::Range,
            (false, true) => Pin::Node,
            (false, false) => Pin::Nothing,
        }
    }

    fn choice_of_keys(&self) -> Keys {
        match self.zipf {
            Some(exponent) => Keys::Zipfian(exponent),
            None if self.in_order => Keys::InOrder,
            None => Keys::Uniform,
        }
    }
}

fn resolve(host: &str) -> Result<SocketAddr, Error> {
    let resolved = host.to_socket_addrs().ok().and_then(|mut found| {
        // Servers listen on IPv4 more often than not.
        let first = found.next()?;
        Some(found.find(|other| first.is_ipv6() && other.is_ipv4()).unwrap_or(first))
    });
    resolved.ok_or(Error::Refused(format!("{host:?} is not an address like 127.0.0.1:6379")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn options(line: &str) -> Result<Options, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        command.arguments.options().map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_becomes_options() {
        let options = options("--hosts 127.0.0.1:1,127.0.0.1:2 -c 3 -P 4 --mix get=8,incr=2 -n 9");
        let options = options.expect("the line is right");
        assert_eq!((options.addresses.len(), options.clients, options.pipeline), (2, 3, 4));
        assert_eq!((options.weights, options.limit), ([8, 0, 2], Limit::Requests(9)));
        assert!(!options.keep_going);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (line, reason) in [
            ("--hosts 192.0.2.1:6379", "--allow-remote"),
            ("--hosts nonsense", "not an address"),
            ("--mix get=1,put=2", "neither get, set nor incr"),
            ("--reads 1.5", "0 to 1"),
            ("--zipf 1.5", "between 0 and 1"),
            ("-c 0", "clients must be"),
            ("-c 2 --threads 3", "threads must be"),
            ("--pin", "need a cluster"),
            ("--pin-nodes", "need a cluster"),
            ("--batch --rate 5", "do not go in batches"),
            ("--wait 10", "9 replicas"),
            ("--seconds -1", "no time"),
        ] {
            let line = line.replace("--seconds -1", "--seconds=-1");
            let error = options(&line).expect_err(&line);
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}

//! The load clients. By default the project's own driver, built from `crates/bench`, for all
//! sides alike; `--kit` puts other tools in its place that take the words and print the JSON of
//! that kit.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::machine::Usage;
use super::process::Client;
use super::store::{Store, Target};
use super::{Settings, Trouble};
use crate::{Failure, process, workspace};

/// How many keys the loads use.
const KEYS: u64 = 100_000;
/// How long each run goes before it is measured, in seconds.
const WARM_UP: f64 = 0.3;
/// How much longer than it should a run may take.
const GRACE: Duration = Duration::from_secs(60);

/// What clients do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Load {
    pub(super) clients: u32,
    pub(super) pipeline: u32,
    /// The share of reads; the rest are writes.
    pub(super) reads: f64,
    /// How many replicas each write waits for.
    pub(super) wait: u32,
}

impl Load {
    pub(super) const fn set(clients: u32, pipeline: u32) -> Self {
        Self { clients, pipeline, reads: 0.0, wait: 0 }
    }

    pub(super) const fn get(clients: u32, pipeline: u32) -> Self {
        Self { reads: 1.0, ..Self::set(clients, pipeline) }
    }

    pub(super) const fn waiting(self, wait: u32) -> Self {
        Self { wait, ..self }
    }
}

/// What a run found.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Answered requests a second.
    pub(super) rate: f64,
    /// Median latency, in microseconds.
    pub(super) p50: f64,
    /// Longest latency, in microseconds.
    pub(super) max: f64,
    pub(super) errors: u64,
    /// CPU time of all servers for an answered request, in microseconds.
    pub(super) server_cpu: f64,
    /// How many processors did something else.
    pub(super) others: f64,
    /// All that the client said.
    pub(super) said: Value,
}

/// The programs that put on the load.
pub(super) struct Driver {
    own: PathBuf,
    kit: Option<PathBuf>,
}

impl Driver {
    /// Builds the driver.
    pub(super) fn build(kit: Option<PathBuf>) -> Result<Self, Failure> {
        let words = ["build", "--release", "--locked", "-p", "bench", "--example", "load"];
        process::run(&mut process::cargo(&words))?;
        Ok(Self { own: workspace::target()?.join("release/examples/load"), kit })
    }

    /// The project's own driver, with these words.
    pub(super) fn own(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.own);
        command.args(words);
        command
    }

    /// The kit's tool of this name, if it is to be used and is there.
    fn tool(&self, name: &str) -> Option<Command> {
        let path = self.kit.as_ref()?.join(name);
        path.is_file().then(|| Command::new(path))
    }

    /// The load on Redis' protocol by our own driver, without its times.
    pub(super) fn redis_load(&self, store: &Store, load: &Load) -> Command {
        let mut command = self.own(&["--json", "--quiet", "--hosts", &store.hosts()]);
        if load.pipeline > 1 {
            command.arg("--batch");
        }
        if is_cluster(store.target) {
            command.arg("--cluster");
        }
        command.args(["--clients", &load.clients.to_string()]);
        command.args(["--pipeline", &load.pipeline.to_string(), "--keys", &KEYS.to_string()]);
        command.args(["--wait", &load.wait.to_string()]);
        command.args(["--reads", &load.reads.to_string()]);
        command
    }

    fn own_command(&self, store: &Store, load: &Load, seconds: f64) -> Command {
        let mut command = match store.target {
            Target::Etcd => {
                let mut etcd = self.own(&["etcd", "--hosts", &store.hosts()]);
                etcd.args(["--clients", &load.clients.to_string(), "--keys", &KEYS.to_string()]);
                etcd
            }
            Target::Floor => {
                let mut floor = self.own(&["floor", "--dir"]);
                floor.arg(store.path());
                floor
            }
            Target::Leasehold { .. }
            | Target::Redis
            | Target::RedisClusterOfOne
            | Target::RedisCluster => {
                let mut command = self.redis_load(store, load);
                if is_cluster(store.target) {
                    // One connection for each client, as with a single server. All slots are one
                    // range, since stalls are not asked for.
                    command.args(["--pin-nodes", "--stall-ranges", "1"]);
                }
                command
            }
        };
        command.args(["--warm-up", &WARM_UP.to_string(), "--seconds", &seconds.to_string()]);
        if !store.pids.is_empty() {
            command.args(["--pids", &pids(store)]);
        }
        command
    }

    fn kit_command(&self, store: &Store, load: &Load, seconds: f64) -> Option<Command> {
        let mut command = match store.target {
            Target::Floor => {
                let mut limits = self.tool("limits")?;
                limits.args(["--what", "commit", "--secs", &seconds.to_string(), "--dir"]);
                limits.arg(store.path());
                return Some(limits);
            }
            Target::Etcd => {
                let mut etcd = self.tool("etcdload")?;
                etcd.args(["--op", "put"]);
                etcd
            }
            Target::Leasehold { .. }
            | Target::Redis
            | Target::RedisClusterOfOne
            | Target::RedisCluster => {
                let mut resp = self.tool("load")?;
                resp.args(["--P", &load.pipeline.to_string(), "--wait", &load.wait.to_string()]);
                resp.args(["--reads", &load.reads.to_string()]);
                if is_cluster(store.target) {
                    resp.arg("--cluster");
                }
                resp
            }
        };
        command.args(["--hosts", &store.hosts(), "--c", &load.clients.to_string(), "--d", "100"]);
        command.args(["--keys", &KEYS.to_string(), "--pids", &pids(store)]);
        command.args(["--warm", &WARM_UP.to_string(), "--secs", &seconds.to_string()]);
        Some(command)
    }

    /// Puts a load on a store and measures it.
    pub(super) fn measure(&self, store: &Store, load: &Load, seconds: f64) -> Result<Run, Trouble> {
        let kit = self.kit_command(store, load, seconds);
        let mut command = kit.unwrap_or_else(|| self.own_command(store, load, seconds));
        let before = Usage::now(&store.pids);
        let limit = Duration::from_secs_f64(seconds + WARM_UP) + GRACE;
        let said = Client::start(&mut command)?.finish(limit)?;
        let after = Usage::now(&store.pids);
        Ok(read(said, after.others_since(&before))?)
    }

    /// Writes every key once, so that reads find something.
    pub(super) fn fill(&self, store: &Store, keys: u64) -> Result<(), Trouble> {
        let keys = keys.to_string();
        let mut command = self.redis_load(store, &Load::set(50, 16));
        // Options that are given again replace those before.
        command.args(["--in-order", "--requests", &keys, "--keys", &keys]);
        let said = Client::start(&mut command)?.finish(Duration::from_secs(600))?;
        match said["errs"].as_u64() {
            Some(0) => Ok(()),
            _ => Err(Trouble::Failed(format!("{} was not filled: {said}", store.target.name()))),
        }
    }

    /// Fills a store that was just started, if it is one that can be filled.
    pub(super) fn prepare(&self, store: &Store, settings: &Settings) -> Result<(), Trouble> {
        if !matches!(store.target, Target::Etcd | Target::Floor) {
            settings.say(&format!("filling {} with {KEYS} keys", store.target.name()));
            self.fill(store, KEYS)?;
        }
        Ok(())
    }
}

fn is_cluster(target: Target) -> bool {
    matches!(target, Target::Leasehold { .. } | Target::RedisCluster)
}

fn pids(store: &Store) -> String {
    store.pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Reads what a client said. The kit's tools give the servers' CPU in processors.
pub(super) fn read(said: Value, others: f64) -> Result<Run, Failure> {
    let number = |name: &str| said[name].as_f64();
    let (Some(rate), Some(p50)) = (number("ops_s"), number("p50_us")) else {
        return Err(format!("the client said something odd: {said}"));
    };
    if rate <= 0.0 {
        return Err(format!("nothing was answered: {said}"));
    }
    let in_processors = number("srv_cores").map(|processors| processors * 1e6 / rate);
    Ok(Run {
        rate,
        p50,
        max: number("max_us").unwrap_or(0.0),
        errors: number("errs").unwrap_or(0.0) as u64,
        server_cpu: number("srv_us_op").or(in_processors).unwrap_or(0.0),
        others,
        said,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_of_output_are_read_and_nonsense_is_not() {
        let own =
            json!({"ops_s": 1000.0, "p50_us": 5.0, "max_us": 9.0, "errs": 2, "srv_us_op": 3.0});
        let own = read(own, 0.5).expect("it is right");
        assert_eq!((own.rate, own.p50, own.max, own.errors), (1000.0, 5.0, 9.0, 2));
        assert_eq!((own.server_cpu, own.others), (3.0, 0.5));
        let kit = json!({"ops_s": 500_000, "p50_us": 5.0, "srv_cores": 1.5});
        assert_eq!(read(kit, 0.0).expect("it is right").server_cpu, 3.0);
        assert!(read(json!({"ops_s": 0, "p50_us": 0.0}), 0.0).is_err());
        assert!(read(json!({}), 0.0).is_err());
    }
}

//! A fresh cluster for one unit: `leasehold dev`, watched until every shard has a holder.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::{Failure, process, workspace};

/// How long a cluster may take to start.
const START_TIME: Duration = Duration::from_secs(60);
/// How long it may take to stop.
const STOP_TIME: Duration = Duration::from_secs(20);
/// The exam is about commands, not about fail-over: a pause of a busy machine is no failure.
/// A new cluster waits for so long before it elects, so it is not longer.
const PATIENCE: &str = "support_duration=3s";
/// What `leasehold dev` says when all is well.
const READY: &str = "nodes are up";

/// A running cluster. Ends with its value.
pub(super) struct Cluster {
    process: Child,
}

impl Cluster {
    /// Starts three nodes with nothing stored.
    pub(super) fn start(program: &Path, port: u16) -> Result<Self, Failure> {
        let folder = workspace::target()?.join("redis-suite").join("data");
        let mut command = Command::new(program);
        command.args(["dev", "--nodes", "3", "--port", &port.to_string(), "--fresh"]);
        command.args(["--set", PATIENCE]).arg("--dir").arg(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let spawned = command.spawn();
        let mut process = spawned.map_err(|error| format!("{}: {error}", program.display()))?;
        let out = process.stdout.take();
        let cluster = Self { process };
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            // Reads to the end, so that the nodes never wait for a reader.
            for line in out.map(BufReader::new).into_iter().flat_map(BufRead::lines) {
                if line.is_ok_and(|line| line.contains(READY)) {
                    // After the time nobody listens any more.
                    let _ = ready.send(());
                }
            }
        });
        match is_ready.recv_timeout(START_TIME) {
            Ok(()) => Ok(cluster),
            Err(_) => Err(format!("the cluster did not start; see {}", folder.display())),
        }
    }

    /// Stops it in good order.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        if let Ok(Some(status)) = self.process.try_wait() {
            return Err(format!("the cluster ended by itself with {status}"));
        }
        let pid = self.process.id().to_string();
        process::run(Command::new("kill").args(["-TERM", &pid]))?;
        match process::wait(&mut self.process, STOP_TIME) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(format!("the cluster stopped with {status}")),
            Ok(None) => Err("the cluster did not stop".into()),
            Err(error) => Err(format!("the cluster can't be waited for: {error}")),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Both fail if it has ended, as it should have.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! redis-server, alone and as a cluster. Nothing but loopback, nothing in the background.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::{Folder, Server, free_ports};
use super::store::{Store, Target};
use super::{Trouble, interrupt, resp};
use crate::process::capture;

/// How to get what this needs.
const ADVICE: &str = "redis-server and redis-cli are needed: `apt-get install redis-server \
                      redis-tools` (and stop the service that the package starts)";
/// Nodes of a cluster: three masters and a replica of each.
const NODES: u16 = 6;
const MASTERS: u16 = 3;
/// How long a cluster may take to form.
const FORM_TIME: Duration = Duration::from_secs(60);

fn check() -> Result<(), Trouble> {
    for program in ["redis-server", "redis-cli"] {
        capture(Command::new(program).arg("--version"))
            .map_err(|_| Trouble::Missing(ADVICE.into()))?;
    }
    Ok(())
}

fn server(folder: &Path, port: u16, options: &[&str]) -> Result<Server, Trouble> {
    let dir = folder.join(port.to_string());
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--protected-mode", "no"]);
    // No snapshots, and one thread for input and output: more of them spin.
    command.args(["--save", "", "--io-threads", "1"]).args(options).arg("--dir").arg(&dir);
    let log = dir.join("log");
    let mut server = Server::start(&mut command, &log)?;
    server.listens(port, &log)?;
    Ok(server)
}

/// One server whose data is nowhere but in memory.
pub(super) fn start(folder: Folder, target: Target) -> Result<Store, Trouble> {
    check()?;
    let port = free_ports(1)?;
    let server = server(folder.path(), port, &["--appendonly", "no"])?;
    Ok(Store::new(target, vec![port], vec![server], folder))
}

/// The same as a cluster of one master, which keeps its keys by slot.
pub(super) fn start_cluster_of_one(folder: Folder) -> Result<Store, Trouble> {
    check()?;
    let port = free_ports(1)?;
    let server = server(folder.path(), port, &["--cluster-enabled", "yes"])?;
    resp::ask(port, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])?;
    interrupt::until("a cluster of one", FORM_TIME, &mut || is_ok(port))?;
    Ok(Store::new(Target::RedisClusterOfOne, vec![port], vec![server], folder))
}

/// Three masters and three replicas that sync each write before they answer.
pub(super) fn start_cluster(folder: Folder) -> Result<Store, Trouble> {
    check()?;
    let first = free_ports(NODES)?;
    let ports: Vec<u16> = (first..first + NODES).collect();
    let mut servers = Vec::new();
    for &port in &ports {
        servers.push(server(
            folder.path(),
            port,
            // A rewrite of the log would be work of its own in the middle of a run.
            &["--cluster-enabled", "yes", "--appendonly", "yes", "--appendfsync", "always"],
        )?);
        resp::ask(port, &["CONFIG", "SET", "auto-aof-rewrite-percentage", "0"])?;
    }
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]);
    create.args(ports.iter().map(|port| format!("127.0.0.1:{port}")));
    capture(create.args(["--cluster-replicas", "1", "--cluster-yes"]))?;
    interrupt::until("a Redis Cluster with replicas", FORM_TIME, &mut || {
        let has_link = |port: &&u16| {
            let text = resp::ask(**port, &["INFO", "replication"]).unwrap_or_default();
            text.contains("master_link_status:up")
        };
        let linked = ports.iter().filter(has_link).count();
        linked == usize::from(NODES - MASTERS) && ports.iter().all(|&port| is_ok(port))
    })?;
    Ok(Store::new(Target::RedisCluster, ports, servers, folder))
}

fn is_ok(port: u16) -> bool {
    resp::ask(port, &["CLUSTER", "INFO"]).is_ok_and(|text| text.contains("cluster_state:ok"))
}

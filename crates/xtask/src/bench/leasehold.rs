//! Our cluster: `leasehold dev` with its default settings, and what some rows do to it.

use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{Folder, Server, free_ports, signal};
use super::store::{Store, Target};
use super::{Settings, Trouble, interrupt, machine, resp};
use crate::{Failure, process};

/// How many nodes the cluster has.
const NODES: u16 = 3;
/// How long a cluster may take until every shard has a holder.
const START_TIME: Duration = Duration::from_secs(60);
/// How long replicas may take to catch up so that leases can be moved to them.
const CATCH_UP_TIME: Duration = Duration::from_secs(120);

/// A shard as a node sees it.
pub(super) struct Shard {
    pub(super) number: u64,
    /// First and last slot.
    pub(super) slots: (u64, u64),
    /// The number of the node that holds it, from 1.
    pub(super) holder: u64,
}

pub(super) fn start(shards: u16, folder: Folder, settings: &Settings) -> Result<Store, Trouble> {
    let port = free_ports(NODES)?;
    let log = folder.path().join("dev.log");
    let mut dev = Command::new(&settings.server);
    dev.args(["dev", "--nodes", &NODES.to_string(), "--port", &port.to_string()]);
    dev.args(["--shards", &shards.to_string(), "--dir"]).arg(folder.path());
    let server = Server::start(&mut dev, &log)?;
    let ports: Vec<u16> = (port..port + NODES).collect();
    let target = Target::Leasehold { shards };
    let mut store = Store::new(target, ports, vec![server], folder);
    let count = usize::from(shards);
    wait_for_holders(&store, settings, count, START_TIME)?;
    store.pids = pids(&store)?;
    Ok(store)
}

/// The nodes' processes, in the order of their numbers.
fn pids(store: &Store) -> Result<Vec<u32>, Failure> {
    let pid = |port: &u16| resp::info(*port, "process_id").map(|pid| pid as u32);
    store.ports.iter().map(pid).collect()
}

fn wait_for_holders(
    store: &Store,
    settings: &Settings,
    count: usize,
    limit: Duration,
) -> Result<(), Failure> {
    interrupt::until("a holder for each shard", limit, &mut || {
        let held = shards(store, settings, 1)
            .map(|shards| shards.iter().filter(|shard| shard.holder > 0).count());
        held.is_ok_and(|held| held == count)
    })
}

/// All shards, as the node with this number sees them.
pub(super) fn shards(
    store: &Store,
    settings: &Settings,
    node: usize,
) -> Result<Vec<Shard>, Failure> {
    let url = format!("127.0.0.1:{}", store.ports[node - 1]);
    let mut command = Command::new(&settings.server);
    let text = process::capture(command.args(["shards", "--json", "--url", &url]))?;
    let rows: Value = serde_json::from_str(&text).map_err(|error| format!("shards: {error}"))?;
    let shard = |row: &Value| {
        let number = |name: &str| whole(&row[name]);
        Some(Shard {
            number: number("shard")?,
            slots: (number("first_slot")?, number("last_slot")?),
            holder: number("holder").unwrap_or(0),
        })
    };
    let shards = rows.as_array().and_then(|rows| rows.iter().map(shard).collect());
    shards.ok_or_else(|| format!("`leasehold shards` said something odd: {text}"))
}

/// A number, which may be a text or have a letter before it.
fn whole(value: &Value) -> Option<u64> {
    let text = value.as_str().unwrap_or_default();
    value
        .as_u64()
        .or_else(|| text.trim_start_matches(|c: char| c.is_ascii_lowercase()).parse().ok())
}

/// Gives a shard's lease to a node.
pub(super) fn transfer(store: &Store, shard: u64, node: u64) -> Result<(), Failure> {
    let words = ["LEASEHOLD", "TRANSFER", &shard.to_string(), &node.to_string()];
    resp::ask(store.ports[0], &words).map(|_| ())
}

/// Spreads the leases evenly. Waits for replicas that are behind, since a lease can't be given to
/// them: so afterwards every node is well.
pub(super) fn spread(store: &Store, settings: &Settings) -> Result<(), Failure> {
    let home = |shard: &Shard| shard.number % u64::from(NODES) + 1;
    let mut refusal = String::new();
    let result = interrupt::until("an even spread of the leases", CATCH_UP_TIME, &mut || {
        let Ok(shards) = shards(store, settings, 1) else { return false };
        let away: Vec<&Shard> = shards.iter().filter(|it| it.holder != home(it)).collect();
        for shard in &away {
            if let Err(failure) = transfer(store, shard.number, home(shard)) {
                refusal = failure;
            }
        }
        away.is_empty()
    });
    result.map_err(|failure| format!("{failure} {refusal}"))
}

/// Kills the node with this number; returns when it is gone.
pub(super) fn kill(store: &Store, node: usize) -> Result<(), Failure> {
    let pid = store.pids[node - 1];
    signal(pid, "KILL")?;
    interrupt::until("the end of the node", Duration::from_secs(10), &mut || {
        !machine::is_running(pid)
    })
}

/// Starts a node again that was killed, as `leasehold dev` says one should.
pub(super) fn restart(store: &mut Store, settings: &Settings, node: usize) -> Result<(), Failure> {
    let config = store.path().join(format!("node-{node}.toml"));
    let log = store.path().join(format!("node-{node}.log"));
    let port = store.ports[node - 1];
    let mut command = Command::new(&settings.server);
    // Its parent is this program now, so it ends with it, however that ends.
    command.args(["start", "--end-with-parent", &std::process::id().to_string()]);
    let mut server = Server::start(command.arg("--config").arg(config), &log)?;
    server.listens(port, &log)?;
    store.pids[node - 1] = server.pid();
    store.servers.push(server);
    interrupt::until("the node's answer", START_TIME, &mut || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            && resp::info(port, "process_id").is_ok()
    })
}

/// How many syncs of their logs all nodes have made since their start.
pub(super) fn disk_writes(store: &Store) -> Result<u64, Failure> {
    store.ports.iter().map(|&port| resp::info(port, "disk_writes")).sum()
}

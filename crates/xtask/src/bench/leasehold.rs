//! Our cluster: `leasehold dev` with its default settings, and what some rows do to it.

use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{Folder, Server, free_ports, signal};
use super::store::{Store, Target};
use super::{Settings, Trouble, interrupt, machine, resp};
use crate::{Failure, process};

/// How long a cluster may take until every shard has a holder.
const START_TIME: Duration = Duration::from_secs(60);
/// How long replicas may take to catch up so that leases can be moved to them.
const CATCH_UP_TIME: Duration = Duration::from_secs(120);
/// How long a node may take to end.
const STOP_TIME: Duration = Duration::from_secs(10);
/// By so many entries a replica may be behind under load and has caught up.
const UNDER_WAY: u64 = 256;

/// A shard as a node sees it.
pub(super) struct Shard {
    pub(super) number: u64,
    /// First and last slot.
    pub(super) slots: (u64, u64),
    /// The numbers of the nodes with a voting replica.
    pub(super) voters: Vec<u64>,
    /// The number of the node that holds it, from 1.
    pub(super) holder: u64,
}

pub(super) fn start(target: Target, folder: Folder, settings: &Settings) -> Result<Store, Trouble> {
    let Target::Leasehold { nodes, shards, managed } = target else {
        return Err(Trouble::Failed(format!("{} is no cluster of ours", target.name())));
    };
    let port = free_ports(nodes)?;
    let log = folder.path().join("dev.log");
    let mut dev = Command::new(&settings.server);
    dev.args(["dev", "--nodes", &nodes.to_string(), "--port", &port.to_string()]);
    dev.args(["--shards", &shards.to_string(), "--dir"]).arg(folder.path());
    dev.args(["--set", if managed { "managed=yes" } else { "managed=no" }]);
    let server = Server::start(&mut dev, &log)?;
    let ports: Vec<u16> = (port..port + nodes).collect();
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

/// All shards, as the node with this number sees them. Who holds each is what the holders say
/// themselves: others only know what they have heard, and one that has just started has heard
/// nothing yet.
pub(super) fn shards(
    store: &Store,
    settings: &Settings,
    node: usize,
) -> Result<Vec<Shard>, Failure> {
    let seen = rows(store, settings, node)?;
    let shard = |row: &Value| {
        let number = |name: &str| whole(&row[name]);
        Some(Shard {
            number: number("shard")?,
            slots: (number("first_slot")?, number("last_slot")?),
            voters: row["voters"].as_array()?.iter().filter_map(whole).collect(),
            holder: 0,
        })
    };
    let shards: Option<Vec<Shard>> = seen.iter().map(shard).collect();
    let mut shards =
        shards.ok_or_else(|| format!("`leasehold shards` said something odd: {seen:?}"))?;
    let said: Vec<(usize, Vec<Value>)> = (1..=store.ports.len())
        .filter_map(|at| Some((at, rows(store, settings, at).ok()?)))
        .collect();
    for shard in &mut shards {
        shard.holder = holder_by_itself(&said, shard.number);
    }
    Ok(shards)
}

/// The node that says that it holds a shard; the one with the newest lease, if one has lost it
/// between two questions; 0: nobody does.
fn holder_by_itself(said: &[(usize, Vec<Value>)], shard: u64) -> u64 {
    let claims = said.iter().flat_map(|(at, rows)| rows.iter().map(move |row| (*at, row)));
    let holds =
        |(_, row): &(usize, &Value)| whole(&row["shard"]) == Some(shard) && row["lease_valid"] == 1;
    let newest = claims.filter(holds).max_by_key(|(_, row)| whole(&row["epoch"]));
    newest.map_or(0, |(at, _)| at as u64)
}

/// The longest time without an acknowledged write of each shard, in milliseconds, by what a load
/// said whose clients kept to one slot range each.
pub(super) fn gaps<'a>(shards: &'a [Shard], said: &Value) -> Vec<(&'a Shard, f64)> {
    let gaps = said["range_gaps"].as_array().into_iter().flatten();
    let gap = |gap: &Value| {
        let slot = gap["first_slot"].as_u64()?;
        let within = |shard: &&Shard| (shard.slots.0..=shard.slots.1).contains(&slot);
        Some((shards.iter().find(within)?, gap["ms"].as_f64().unwrap_or(f64::INFINITY)))
    };
    gaps.filter_map(gap).collect()
}

/// What `leasehold shards` says at a node.
fn rows(store: &Store, settings: &Settings, node: usize) -> Result<Vec<Value>, Failure> {
    let url = format!("127.0.0.1:{}", store.ports[node - 1]);
    let mut command = Command::new(&settings.server);
    let text = process::capture(command.args(["shards", "--json", "--url", &url]))?;
    let rows = serde_json::from_str(&text);
    rows.map_err(|error| format!("`leasehold shards`: {error}: {text}"))
}

/// A number, which may be a text or have a letter before it.
fn whole(value: &Value) -> Option<u64> {
    let text = value.as_str().unwrap_or_default();
    value
        .as_u64()
        .or_else(|| text.trim_start_matches(|c: char| c.is_ascii_lowercase()).parse().ok())
}

/// The sum of all shards' lease epochs, each as its holder says: it grows by each move.
pub(super) fn epochs(store: &Store, settings: &Settings) -> Result<u64, Failure> {
    let mut sum = 0;
    for at in 1..=store.ports.len() {
        let held = rows(store, settings, at)?;
        let held = held.iter().filter(|row| row["lease_valid"] == 1);
        sum += held.filter_map(|row| whole(&row["epoch"])).sum::<u64>();
    }
    Ok(sum)
}

/// Gives a shard's lease to a node.
pub(super) fn transfer(store: &Store, shard: u64, node: u64) -> Result<(), Failure> {
    let words = ["LEASEHOLD", "TRANSFER", &shard.to_string(), &node.to_string()];
    resp::ask(store.ports[0], &words).map(|_| ())
}

/// Spreads the leases evenly over the voters. Waits for replicas that are behind, since a lease
/// can't be given to them: so afterwards every node is well.
pub(super) fn spread(store: &Store, settings: &Settings) -> Result<(), Failure> {
    let home = |shard: &Shard| {
        let at = shard.number as usize % shard.voters.len().max(1);
        shard.voters.get(at).copied().unwrap_or_default()
    };
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
    kill_all(store, &[node])
}

/// Kills these nodes at once; returns when they are gone.
pub(super) fn kill_all(store: &Store, nodes: &[usize]) -> Result<(), Failure> {
    end(store, nodes, "KILL")
}

/// Ends a node in good order; returns when it is gone.
pub(super) fn stop(store: &Store, node: usize) -> Result<(), Failure> {
    end(store, &[node], "TERM")
}

fn end(store: &Store, nodes: &[usize], how: &str) -> Result<(), Failure> {
    let pids: Vec<u32> = nodes.iter().map(|node| store.pids[node - 1]).collect();
    for pid in &pids {
        signal(*pid, how)?;
    }
    interrupt::until("the end of the node", STOP_TIME, &mut || {
        !pids.iter().any(|pid| machine::is_running(*pid))
    })
}

/// Waits until a node that has started again could take any lease: its replicas have caught up,
/// by what the holders say.
pub(super) fn wait_for_replicas(
    store: &Store,
    settings: &Settings,
    node: usize,
) -> Result<(), Failure> {
    interrupt::until("caught-up replicas", CATCH_UP_TIME, &mut || {
        let mut nodes = 1..=store.ports.len();
        nodes.all(|at| lag(store, settings, at, node).is_ok_and(|lag| lag == 0))
    })
}

/// By how many entries a node's replicas are behind, of the shards that another one holds.
fn lag(store: &Store, settings: &Settings, at: usize, node: usize) -> Result<u64, Failure> {
    Ok(rows(store, settings, at)?.iter().map(|row| lag_in(row, node)).sum())
}

/// By what a holder says of a shard; what others say of it does not count.
fn lag_in(row: &Value, node: usize) -> u64 {
    // Pairs in a row: a voter, and how far it is.
    let Some(matched) = row["matched_index"].as_array() else { return 0 };
    let holds = row["lease_valid"] == 1;
    let of_node = |pair: &&[Value]| whole(&pair[0]) == Some(node as u64);
    let Some(pair) = matched.chunks_exact(2).find(of_node).filter(|_| holds) else { return 0 };
    // Under load the newest entries are always under way.
    let last = row["commit_index"].as_u64().unwrap_or(0);
    last.saturating_sub(pair[1].as_u64().unwrap_or(0)).saturating_sub(UNDER_WAY)
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

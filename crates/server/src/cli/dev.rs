//! `leasehold dev`: a whole cluster on this machine, to try things out and to break them.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Args, value_parser};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use types::limits::{NODES_MAX, SHARDS_MAX};

use super::connection::NodeArguments;
use super::dev_cluster::{DevCluster, DevNode, HTTP_PORT_STEP};
use super::{CommandError, flag_of, print, shards};
use crate::clock;

const NODES: RangeInclusive<i64> = 1..=NODES_MAX as i64;
const SHARDS: RangeInclusive<i64> = 1..=SHARDS_MAX as i64;
const MANAGERS: RangeInclusive<i64> = 0..=5;
/// The ports for nodes lie 10000 above, and there must be room for them.
const PORTS: RangeInclusive<i64> = 1..=55_000;
/// How often children and signals are looked at.
const STEP: Duration = Duration::from_millis(100);
/// How often the cluster is asked which nodes it has.
const MEMBERS_TIME: Duration = Duration::from_secs(2);
/// After how long without all holders the user is told that something may be wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Run a cluster of several nodes on this machine, for development.
///
/// Each node is a process of its own, with its data, its settings and its log lines in DIR.
/// The data stays: run the same command again to go on with it. Ctrl-C stops all nodes.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  leasehold dev                          three nodes at ports 7001 to 7003
  leasehold dev --nodes 5 --shards 64
  leasehold dev --managers 3             and three nodes for the Lease Manager alone
  leasehold dev --restart                start nodes again that are killed
  leasehold dev --fresh                  forget what earlier runs have stored

A node that joins later is started by hand, beside the three of `leasehold dev`:
  leasehold start --node 4 --dir leasehold-dev/joined-4 --set cluster=leasehold-dev \\
      --members 4=127.0.0.1:7004:17004,1=127.0.0.1:7001:17001
  leasehold join 4=127.0.0.1:7004:17004
The second command lets it in; until then the others refuse it and it goes on asking.")]
pub(super) struct DevArguments {
    /// How many nodes with data.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(NODES))]
    pub(super) nodes: u32,
    /// How many nodes beside them for the Lease Manager alone; without any, the nodes with data
    /// do it.
    #[arg(long, default_value_t = 0, value_parser = value_parser!(u32).range(MANAGERS))]
    pub(super) managers: u32,
    /// Port of the first node; the others follow. Nodes talk at the ports 10000 above, the HTTP
    /// API is at those 1000 above.
    #[arg(long, default_value_t = 7001, value_parser = value_parser!(u16).range(PORTS))]
    pub(super) port: u16,
    /// How many shards a new cluster is cut into.
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u16).range(SHARDS))]
    pub(super) shards: u16,
    /// Where everything is kept.
    #[arg(long, default_value = "leasehold-dev")]
    pub(super) dir: PathBuf,
    /// Begin anew: remove what earlier runs have stored in DIR.
    #[arg(long)]
    pub(super) fresh: bool,
    /// Start a node again when its process ends.
    #[arg(long)]
    pub(super) restart: bool,
    /// A setting for all nodes; may be given several times. See `leasehold settings`.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) set: Vec<String>,
}

pub(super) fn run(arguments: &DevArguments) -> Result<(), CommandError> {
    let stop = flag_of(&[SIGINT, SIGTERM, SIGHUP])?;
    let mut cluster = DevCluster::prepare(arguments)?;
    for number in &cluster.removed {
        print(format_args!(
            "Node {number} has been removed from this cluster: it is not started, and {} may be \
             deleted.\n",
            arguments.dir.join(format!("node-{number}")).display()
        ))?;
    }
    cluster.start_all()?;
    let result = watch(arguments, &mut cluster, &stop);
    print(format_args!("Stopping {} nodes.\n", cluster.running()))?;
    cluster.stop_all();
    print(format_args!(
        "Stopped. The data stays in {}; the same command goes on with it.\n",
        arguments.dir.display()
    ))?;
    result
}

/// Reports what happens until the user has had enough.
fn watch(
    arguments: &DevArguments,
    cluster: &mut DevCluster,
    stop: &AtomicBool,
) -> Result<(), CommandError> {
    let began = clock::monotonic();
    let mut ready = false;
    let mut complained = false;
    let mut members_due = began;
    while !stop.load(Ordering::Relaxed) {
        for end in cluster.take_ended()? {
            print(end.describe(arguments.restart))?;
            if arguments.restart && end.may_restart {
                cluster.start(end.node)?;
            }
        }
        if cluster.running() == 0 && !arguments.restart {
            return Err(CommandError::new(format!(
                "no node is running any more; {} has their log lines",
                arguments.dir.display()
            )));
        }
        let now = clock::monotonic();
        let waited = now.since(began);
        if ready && members_due <= now {
            cluster.note_members()?;
            members_due = clock::monotonic() + MEMBERS_TIME;
        }
        if !ready {
            ready = cluster.nodes.first().is_some_and(is_ready);
            if ready {
                print(welcome(arguments, cluster, waited))?;
            } else if !complained && waited > PATIENCE {
                complained = true;
                print(format_args!(
                    "Some shards still have no holder after {} s; {} has the nodes' log lines.\n",
                    PATIENCE.as_secs(),
                    arguments.dir.display()
                ))?;
            }
        }
        thread::sleep(STEP);
    }
    Ok(())
}

/// Whether all shards have holders, as far as this node knows. A node that cannot be asked yet is
/// not ready; that is no error while it starts.
fn is_ready(node: &DevNode) -> bool {
    let arguments = NodeArguments { url: node.address(), password: None };
    shards::held(&arguments).is_ok_and(|(all, held)| all > 0 && all == held)
}

/// What to do with a cluster that is up.
fn welcome(arguments: &DevArguments, cluster: &DevCluster, waited: Duration) -> String {
    let mut text = String::new();
    let nodes = &cluster.nodes;
    let (count, seconds) = (nodes.len(), waited.as_secs_f64());
    // Writing to a string can't fail.
    let _ = write!(text, "\n{count} nodes are up, every shard has a holder ({seconds:.1} s).\n\n");
    for node in nodes {
        let pid = node.pid().map_or_else(String::new, |pid| format!("pid {pid}"));
        let (number, address, log) = (node.number, node.address(), node.log_path());
        let _ = writeln!(text, "  node {number}  {address}  {pid:<12} {}", log.display());
    }
    for (member, dir) in cluster.joined() {
        let (number, start) = (member.node.0, cluster.start_command(member, &dir));
        let _ =
            writeln!(text, "  node {number}  has joined by hand; if it doesn't run:\n    {start}");
    }
    let port = arguments.port + nodes.first().map_or(0, |first| (first.number - 1) as u16);
    let http = port + HTTP_PORT_STEP;
    let victim = nodes.last().and_then(DevNode::pid).unwrap_or_default();
    let (shard, target) = (1, nodes.get(1).or(nodes.first()).map_or(1, |node| node.number));
    let _ = write!(
        text,
        "
Connect with any Redis client, to any node:
  redis-cli -p {port}
  python3 -c \"import redis; r = redis.Redis(port={port}); r.set('a', 1); print(r.get('a'))\"
  python3 -c \"import redis; r = redis.RedisCluster(port={port}); r.set('a', 1); \
         print(r.get('a'))\"
Look around:
  http://127.0.0.1:{http}/ in a browser, or leasehold top --url 127.0.0.1:{port}
  leasehold shards --url 127.0.0.1:{port}
  leasehold transfer {shard} {target} --url 127.0.0.1:{port}
  leasehold bench --hosts 127.0.0.1:{port} --cluster
Break something:
  kill -9 {victim}
Ctrl-C stops all nodes.
"
    );
    text
}

//! `leasehold nodes`, `join`, `drain` and `remove`: the machines of a cluster, coming and going.

use std::thread;
use std::time::Duration;

use clap::Args;
use cluster::Member;
use resp::Value;

use super::connection::{Connection, NodeArguments, pairs, text};
use super::documents::{NodeStatus, Status, object};
use super::table::{Table, age, bar, percent, plain};
use super::{CommandError, node_number, print};
use crate::resolver;

/// How often progress is asked for.
const STEP: Duration = Duration::from_secs(1);
/// After so many steps without progress, what to look at is said.
const STEPS_PATIENT: u32 = 20;
/// After so many questions without an answer, waiting ends. The manager may be among what moves.
const FAILURES_MAX: u32 = 30;
/// Columns of a bar.
const BAR: usize = 10;

/// Show each node: its state, how full it is, what it holds.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold nodes
  leasehold nodes --url 10.0.0.1:7001 --json

`used` is the fullest of a node's resources: CPU, network, log. A node that serves is `calm`,
`hungry` (clearly below the nodes' mean), `above the mean` (clearly so, however full it is) or
`urgent` (near its limits, or requests wait). `down` is a node that is not heard;
`unheard`: by the manager only; `unreached`: it is heard, but others can't reach its peer port.
Sentences below the table say what is wrong. Without a Lease Manager, what the asked node sees.")]
pub(super) struct NodesArguments {
    /// Write the nodes as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeArguments,
}

/// Take a node into the cluster. Start it afterwards; the command for that is shown.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold join 4=10.0.0.4:7001
  leasehold join '4=10.0.0.4:7001:17001;name=dora;locality=eu/a/r7'
  leasehold join '5=10.0.0.5:7001;role=manager'      holds the Lease Manager, and no data

A member is NODE=HOST:PORT or NODE=HOST:PORT:PEERPORT, perhaps with ;name=, ;role=data or manager,
;locality=REGION/ZONE/RACK. Numbers of nodes are never used again. A host whose name
has no address where this command runs is refused.")]
pub(super) struct JoinArguments {
    /// The node: `NODE=HOST:PORT[:PEERPORT][;name=...][;role=...][;locality=...]`.
    member: String,
    #[command(flatten)]
    node: NodeArguments,
}

/// Say that a node is at another address now. The process there is asked first who it is.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold move 3=10.0.0.9:7001
  leasehold move 3=10.0.0.9:7001:17001

Start the node there first, with its data directory and its new address in its own `members`. Nodes
try the addresses of their own settings too, so a cluster of which all addresses have changed comes
back by itself; then correct the list with this command, node by node.")]
pub(super) struct MoveArguments {
    /// The node and its new address: `NODE=HOST:PORT[:PEERPORT]`.
    member: String,
    #[command(flatten)]
    node: NodeArguments,
}

/// Move all leases off a node, for example before its machine is restarted.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold drain 2 --wait     returns when node 2 holds no lease any more
  leasehold drain 2 --off      node 2 takes leases again")]
pub(super) struct DrainArguments {
    /// The node's number.
    target: String,
    /// Let the node take leases again. It also ends a removal that is under way: the node stays.
    #[arg(long, conflicts_with = "wait")]
    off: bool,
    /// Wait until no lease is left, and show how many there are.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    node: NodeArguments,
}

/// Take a node out of the cluster for good: its leases move, then its replicas are rebuilt.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold remove 2 --wait    returns when node 2 is no member any more

Its process may be stopped when it is no member any more. A node that is dead for good is removed
in the same way.")]
pub(super) struct RemoveArguments {
    /// The node's number.
    target: String,
    /// Wait until the node is no member any more, and show what is left on it.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn list(arguments: &NodesArguments) -> Result<(), CommandError> {
    let mut connection = Connection::open(&arguments.node)?;
    let text = match connection.ask_text(&["LEASEHOLD", "STATUS"]) {
        Ok(text) => text,
        // Without a manager there is what the node itself sees.
        Err(error) if !arguments.json => {
            let reply = connection.ask(&["LEASEHOLD", "NODES"]);
            if let Some(view) = reply.ok().as_ref().and_then(own_view) {
                print(format_args!("{view}"))?;
            }
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    if arguments.json {
        return print(format_args!("{}\n", object(&text, "LEASEHOLD STATUS")?["nodes"]));
    }
    let status = Status::parse(&text)?;
    print(table(&status) + &summary(&status))
}

pub(super) fn join(arguments: &JoinArguments) -> Result<(), CommandError> {
    let member: Member = arguments.member.parse().map_err(|error| {
        CommandError::new(format!("`{}` is no member; it must be {error}", arguments.member))
    })?;
    resolver::check(&member.host, member.port).map_err(CommandError::new)?;
    let mut connection = Connection::open(&arguments.node)?;
    connection.ask(&["LEASEHOLD", "JOIN", &member.to_string()])?;
    // The node has joined, whatever comes of this question.
    let status = Status::ask(&mut connection).unwrap_or_default();
    print(next_step(&member, &status))
}

pub(super) fn change_address(arguments: &MoveArguments) -> Result<(), CommandError> {
    let member: Member = arguments.member.parse().map_err(|error| {
        CommandError::new(format!("`{}` is no member; it must be {error}", arguments.member))
    })?;
    let mut connection = Connection::open(&arguments.node)?;
    let there = match member.host.contains(':') {
        true => format!("[{}]:{}", member.host, member.port),
        false => format!("{}:{}", member.host, member.port),
    };
    let there = NodeArguments { url: there, password: arguments.node.password.clone() };
    let found = Connection::open(&there)?.ask_text(&["LEASEHOLD", "INFO"])?;
    let ours = connection.ask_text(&["LEASEHOLD", "INFO"])?;
    let line = |text: &str, name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    };
    let (node, cluster) = (line(&found, "node"), line(&found, "cluster_name"));
    if node != member.node.0.to_string() || cluster != line(&ours, "cluster_name") {
        return Err(CommandError::new(format!(
            "the process at {} is node {node} of cluster `{cluster}`, not node {}: nothing was \
             changed",
            there.url, member.node.0
        )));
    }
    connection.ask(&["LEASEHOLD", "JOIN", &member.to_string(), "MOVED"])?;
    print(format_args!("All nodes look for node {} at {member} from now on.\n", member.node.0))
}

pub(super) fn drain(arguments: &DrainArguments) -> Result<(), CommandError> {
    let node = node_number(&arguments.target)?;
    let mut connection = Connection::open(&arguments.node)?;
    let switch = if arguments.off { "OFF" } else { "ON" };
    connection.ask(&["LEASEHOLD", "DRAIN", &node, switch])?;
    if arguments.off {
        return print(format_args!("Node {node} may take leases again.\n"));
    }
    if !arguments.wait {
        return print(format_args!(
            "Node {node} gives its leases away; `leasehold nodes` shows how many are left, \
             --wait waits for it.\n"
        ));
    }
    wait(&arguments.node, connection, &node, Goal::NoLeases)?;
    print(format_args!(
        "Node {node} holds no lease: it may be stopped. `leasehold drain {node} --off` when it is \
         back.\n"
    ))
}

pub(super) fn remove(arguments: &RemoveArguments) -> Result<(), CommandError> {
    let node = node_number(&arguments.target)?;
    let mut connection = Connection::open(&arguments.node)?;
    connection.ask(&["LEASEHOLD", "REMOVE", &node])?;
    if !arguments.wait {
        return print(format_args!(
            "Node {node} leaves: leases first, then replicas. `leasehold nodes` shows what is \
             left, --wait waits for it.\n"
        ));
    }
    wait(&arguments.node, connection, &node, Goal::Gone)?;
    print(format_args!("Node {node} is no member any more: stop its process, if it runs.\n"))
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goal {
    NoLeases,
    Gone,
}

/// What is left to do at a node; `None` if the goal is reached.
fn left(status: &Status, node: &str, goal: Goal) -> Option<String> {
    let node = status.nodes.iter().find(|it| it.node.to_string() == node)?;
    // A lease that has been told to leave counts there already, and is held here until it has left.
    let held = status.shards.iter().filter(|shard| shard.holder == Some(node.node)).count() as u64;
    match (goal, node.leases.max(held)) {
        (Goal::NoLeases, 0) => None,
        (Goal::NoLeases, leases) => Some(format!("leases left: {leases}")),
        (Goal::Gone, leases) => {
            Some(format!("leases left: {leases}, replicas left: {}", node.replicas))
        }
    }
}

fn wait(
    arguments: &NodeArguments,
    connection: Connection,
    node: &str,
    goal: Goal,
) -> Result<(), CommandError> {
    let mut connection = Some(connection);
    let (mut said, mut unchanged, mut failures) = (String::new(), 0, 0);
    loop {
        let ask = |connection: Option<Connection>| {
            let mut connection = connection.map_or_else(|| Connection::open(arguments), Ok)?;
            Status::ask(&mut connection).map(|status| (status, connection))
        };
        match ask(connection.take()) {
            Ok((status, open)) => {
                failures = 0;
                connection = Some(open);
                let Some(text) = left(&status, node, goal) else { return Ok(()) };
                unchanged = if text == said { unchanged + 1 } else { 0 };
                if text != said {
                    print(format_args!("Node {node}: {text}\n"))?;
                    said = text;
                }
                if unchanged == STEPS_PATIENT {
                    print(format_args!("{}\n", stuck(&status)))?;
                }
            }
            // The manager may be on its way to another node, for this very order.
            Err(error) => {
                failures += 1;
                if failures == FAILURES_MAX {
                    return Err(error);
                }
            }
        }
        thread::sleep(STEP);
    }
}

fn stuck(status: &Status) -> String {
    let reason = status.held_still.as_ref().map_or_else(
        || String::from("`leasehold decisions` and `leasehold why SHARD` say what it waits for."),
        |reason| format!("Nothing moves: {reason}."),
    );
    format!(
        "No progress for {} s. {reason} Still waiting; Ctrl-C ends only the waiting.",
        STEPS_PATIENT
    )
}

/// How to start a node that has just become a member.
fn next_step(member: &Member, status: &Status) -> String {
    let known = status.nodes.iter().filter(|it| it.live && it.node != u64::from(member.node.0));
    // `address` and `peer_address` have the same host.
    let seeds: Vec<String> = known
        .take(2)
        .filter_map(|it| {
            let (_, peer_port) = it.peer_address.rsplit_once(':')?;
            Some(format!("{}={}:{peer_port}", it.node, it.address))
        })
        .collect();
    let seeds = if seeds.is_empty() { String::from("N=HOST:PORT") } else { seeds.join(",") };
    let cluster = if status.cluster.is_empty() { "NAME" } else { &status.cluster };
    let number = member.node.0;
    format!(
        "Node {number} is a member. Start it on its machine now:\n\n\
         \x20 leasehold start --set node={number} --set cluster={cluster} --set dir=DIRECTORY \\\n\
         \x20   --set listen=0.0.0.0 --set peer_listen=0.0.0.0 \\\n\
         \x20   --set 'members={member},{seeds}'\n\n\
         It needs itself and one node that is a member already in `members`, the cluster's \
         password in LEASEHOLD_PASSWORD if there is one,\n\
         and an empty directory. \
         `leasehold nodes` shows it when it has reported; it gets replicas by and by.\n"
    )
}

fn table(status: &Status) -> String {
    let mut table = Table::new(&[
        "node", "name", "address", "role", "state", "locality", "used", "cpu", "memory", "fsync",
        "leases", "replicas",
    ]);
    for node in &status.nodes {
        table.row(row(node));
    }
    table.text()
}

/// The cluster as the node that was asked sees it by itself.
fn own_view(reply: &Value) -> Option<String> {
    let Value::Array(items) = reply else { return None };
    let mut view = Table::new(&["node", "address", "state", "leases", "replicas"]);
    let mut troubles = String::new();
    for item in items {
        let fields = pairs(item)?;
        let cell = |name: &str| {
            let found = fields.iter().find(|(field, _)| field == name);
            found.map_or_else(|| String::from("-"), |(_, value)| text(value))
        };
        let is = |name: &str| matches!(cell(name).as_str(), "true" | "1");
        let state = match (is("myself"), is("alive")) {
            (true, _) => "asked",
            (false, true) => "heard",
            (false, false) => "not heard",
        };
        view.row(vec![
            cell("node"),
            format!("{}:{}", cell("host"), cell("port")),
            String::from(state),
            cell("shards_held"),
            cell("replicas"),
        ]);
        if let Some((_, Value::Array(texts))) = fields.iter().find(|(name, _)| name == "troubles") {
            texts.iter().for_each(|it| troubles.push_str(&format!("{}\n", plain(&text(it), 1000))));
        }
    }
    Some(format!("As this node sees it:\n\n{}\n{troubles}", view.text()))
}

fn row(node: &NodeStatus) -> Vec<String> {
    let locality = if node.locality.is_empty() { "-" } else { &node.locality };
    let lasts = matches!(node.condition.as_str(), "" | "down" | "unheard" | "not reporting");
    let state = if node.live || !lasts {
        node.state()
    } else {
        format!("{} for {}", node.state(), age(node.silent_ms))
    };
    let figure = |text: String| if node.live { text } else { String::from("-") };
    vec![
        node.node.to_string(),
        node.name.clone(),
        node.address.clone(),
        node.role.clone(),
        state,
        locality.to_owned(),
        figure(format!("{} {}", bar(node.used, BAR), percent(node.used))),
        figure(percent(node.cpu)),
        figure(percent(node.memory)),
        figure(format!("{:.1}ms", node.fsync_ms)),
        node.leases.to_string(),
        node.replicas.to_string(),
    ]
}

/// What is to be said about the whole.
fn summary(status: &Status) -> String {
    let mean = percent(status.mean);
    let manager = match status.manager {
        Some((node, epoch, since)) => {
            format!("Lease Manager: n{node} (epoch {epoch}, for {})", age(since))
        }
        None => String::from("Lease Manager: none"),
    };
    let mut text = format!("\n{manager}. Mean use {mean}.");
    if status.frozen {
        text.push_str(" Frozen by an operator: `leasehold freeze --off` ends it.");
    } else if let Some(reason) = &status.held_still {
        text.push_str(&format!(" Nothing moves: {reason}."));
    }
    text.push('\n');
    if !status.removed.is_empty() {
        let removed: Vec<String> = status.removed.iter().map(|node| format!("n{node}")).collect();
        text.push_str(&format!("Removed from the cluster: {}.\n", removed.join(", ")));
    }
    for trouble in status.nodes.iter().flat_map(|node| &node.troubles) {
        text.push_str(&format!("{trouble}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> Status {
        Status::parse(include_str!("../../testdata/status.json")).expect("is valid")
    }

    #[test]
    fn nodes_are_a_table() {
        let text = table(&recorded()) + &summary(&recorded());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("node  name  address        role     state"), "{text}");
        assert!(lines[2].contains("urgent") && lines[2].contains("[######### ] 93%"), "{text}");
        assert!(lines[4].contains("down for 74s") && lines[4].ends_with("-      0       0"));
        assert_eq!(lines[6], "Lease Manager: n1 (epoch 5, for 12m). Mean use 49%.");
        let frozen = Status { frozen: true, manager: None, ..recorded() };
        assert!(summary(&frozen).contains("none") && summary(&frozen).contains("freeze --off"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut status = recorded();
        status.nodes[3].condition = String::from("unheard");
        status.nodes[3].troubles = vec![String::from("n4 is not heard by the manager's node.")];
        status.nodes[1].clock_off = true;
        status.nodes[0].condition = String::from("unreached");
        status.removed = vec![7, 9];
        let text = table(&status) + &summary(&status);
        assert!(text.contains("unheard for 74s"), "{text}");
        assert!(text.contains("\nn4 is not heard by the manager's node.\n"), "{text}");
        assert!(text.contains("urgent, clock off") && text.contains("hungry, unreached"), "{text}");
        assert!(text.contains("Removed from the cluster: n7, n9.\n"), "{text}");
    }

    #[test]
    fn a_node_that_was_joined_and_never_started_is_not_down() {
        let mut status = recorded();
        status.nodes[3].condition = String::from("not started");
        assert!(row(&status.nodes[3])[4] == "not started", "{:?}", row(&status.nodes[3]));
    }

    #[test]
    fn without_a_manager_the_node_says_what_it_sees() {
        let bulk = |text: &str| Value::Bulk(text.into());
        let field = |name: &str, value| [bulk(name), value];
        let node = Value::Array(
            [
                field("node", Value::Integer(3)),
                field("host", bulk("10.0.0.3")),
                field("port", Value::Integer(7001)),
                field("alive", Value::Integer(0)),
                field("troubles", Value::Array(vec![bulk("n3 is refused.")])),
            ]
            .concat(),
        );
        let view = own_view(&Value::Array(vec![node])).expect("it is a list of nodes");
        assert!(view.contains("3     10.0.0.3:7001  not heard"), "{view}");
        assert!(view.ends_with("\nn3 is refused.\n"), "{view}");
        assert!(own_view(&Value::Null).is_none());
    }

    #[test]
    fn waiting_ends_when_nothing_is_left() {
        let status = recorded();
        assert_eq!(left(&status, "3", Goal::NoLeases).as_deref(), Some("leases left: 2"));
        assert_eq!(left(&status, "4", Goal::NoLeases), None);
        let mut told = status.clone();
        told.nodes[2].leases = 0;
        let text = left(&told, "3", Goal::NoLeases);
        assert!(text.is_some_and(|text| text.starts_with("leases left: ")));
        let gone = left(&status, "3", Goal::Gone);
        assert_eq!(gone.as_deref(), Some("leases left: 2, replicas left: 16"));
        assert_eq!(left(&status, "9", Goal::Gone), None);
    }

    #[test]
    fn a_new_member_is_told_how_to_start() {
        let member: Member = "5=10.0.0.5:7001;role=manager".parse().expect("is valid");
        let text = next_step(&member, &recorded());
        for words in [
            "--set node=5",
            "cluster=leasehold",
            "'members=5=10.0.0.5:7001:17001;role=manager,1=10.0.0.1:7001:17001,2=10.0.0.2:7001",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(next_step(&member, &Status::default()).contains("N=HOST:PORT"));
    }
}

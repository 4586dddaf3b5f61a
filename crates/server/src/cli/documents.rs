//! The Lease Manager's documents as the command line understands them.
//!
//! They are JSON, and may come from a newer node: what is missing reads as nothing, and what isn't
//! known is skipped. Only a document that is no JSON object at all is an error.

use serde_json::Value;

use super::CommandError;
use super::connection::Connection;
use super::table::plain;

/// Longest name or label that is shown.
const TEXT_MAX: usize = 64;
/// Longest sentence about what is wrong.
const SENTENCE_MAX: usize = 1000;

/// The answer to LEASEHOLD STATUS.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// The cluster's name.
    pub(super) cluster: String,
    /// The active manager's node, epoch and age in milliseconds.
    pub(super) manager: Option<(u64, u64, u64)>,
    /// Whether an operator has frozen the cluster.
    pub(super) frozen: bool,
    /// Why nothing moves, if nothing does.
    pub(super) held_still: Option<String>,
    /// The mean utilisation.
    pub(super) mean: f64,
    /// All nodes, by number.
    pub(super) nodes: Vec<NodeStatus>,
    /// All shards, by number.
    pub(super) shards: Vec<ShardStatus>,
    /// Numbers of nodes that were removed.
    pub(super) removed: Vec<u64>,
}

/// A node. Shares are parts of the node; 1 is full.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeStatus {
    pub(super) node: u64,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) peer_address: String,
    pub(super) role: String,
    pub(super) duty: String,
    pub(super) locality: String,
    /// How it is, in a word, such as `live` or `down`.
    pub(super) condition: String,
    pub(super) live: bool,
    pub(super) silent_ms: u64,
    /// What is to be said of it, a sentence each.
    pub(super) troubles: Vec<String>,
    pub(super) clock_off: bool,
    pub(super) used: f64,
    pub(super) class: String,
    pub(super) cpu: f64,
    pub(super) memory: f64,
    pub(super) disk_full: bool,
    pub(super) memory_full: bool,
    pub(super) disk_slow: bool,
    pub(super) fsync_ms: f64,
    pub(super) leases: u64,
    pub(super) replicas: u64,
}

/// A shard. Rates are per second.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardStatus {
    pub(super) shard: u64,
    pub(super) first_slot: u64,
    pub(super) last_slot: u64,
    pub(super) holder: Option<u64>,
    pub(super) replicas: Vec<u64>,
    pub(super) load: f64,
    pub(super) reads: f64,
    pub(super) writes: f64,
    pub(super) service_p99_us: f64,
    pub(super) queue_p99_us: f64,
    pub(super) pin: Option<String>,
    pub(super) moving_to: Option<u64>,
    pub(super) moved_ms: Option<u64>,
}

impl Status {
    /// Asks for the status.
    pub(super) fn ask(connection: &mut Connection) -> Result<Self, CommandError> {
        Self::parse(&connection.ask_text(&["LEASEHOLD", "STATUS"])?)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it is no JSON object.
    pub(super) fn parse(text: &str) -> Result<Self, CommandError> {
        let document = object(text, "LEASEHOLD STATUS")?;
        let manager = Some(&document["manager"]).filter(|manager| manager.is_object());
        Ok(Self {
            cluster: word(&document["cluster"]),
            manager: manager
                .map(|it| (count(&it["node"]), count(&it["epoch"]), count(&it["since_ms"]))),
            frozen: document["frozen"].as_bool().unwrap_or(false),
            held_still: document["held_still"].as_str().map(|text| plain(text, 200)),
            mean: number(&document["mean"]),
            nodes: list(&document["nodes"]).iter().map(NodeStatus::read).collect(),
            shards: list(&document["shards"]).iter().map(ShardStatus::read).collect(),
            removed: list(&document["removed"]).iter().filter_map(Value::as_u64).collect(),
        })
    }
}

impl NodeStatus {
    fn read(it: &Value) -> Self {
        Self {
            node: count(&it["node"]),
            name: word(&it["name"]),
            address: word(&it["address"]),
            peer_address: word(&it["peer_address"]),
            role: word(&it["role"]),
            duty: word(&it["duty"]),
            locality: word(&it["locality"]),
            condition: word(&it["state"]),
            live: it["live"].as_bool().unwrap_or(false),
            silent_ms: count(&it["silent_ms"]),
            troubles: sentences(&it["troubles"]),
            clock_off: it["clock_off"].as_bool().unwrap_or(false),
            used: number(&it["used"]),
            class: word(&it["class"]),
            cpu: number(&it["cpu"]),
            memory: number(&it["memory"]),
            disk_full: it["disk_full"].as_bool().unwrap_or(false),
            memory_full: it["memory_full"].as_bool().unwrap_or(false),
            disk_slow: it["disk_slow"].as_bool().unwrap_or(false),
            fsync_ms: number(&it["fsync_ms"]),
            leases: count(&it["leases"]),
            replicas: count(&it["replicas"]),
        }
    }

    /// How it is with the node, in a word or two.
    pub(super) fn state(&self) -> String {
        let mut state = match (self.live, self.condition.as_str()) {
            (true, "" | "live") => self.class.clone(),
            (true, condition) => format!("{}, {condition}", self.class),
            (false, "") => String::from("down"),
            (false, condition) => condition.to_owned(),
        };
        if !matches!(self.duty.as_str(), "" | "full") {
            state = format!("{state}, {}", self.duty);
        }
        if self.memory_full {
            state.push_str(", memory full");
        }
        if self.disk_full {
            state.push_str(", disk full");
        }
        if self.disk_slow {
            state.push_str(", disk slow");
        }
        if self.clock_off {
            state.push_str(", clock off");
        }
        state
    }
}

impl ShardStatus {
    fn read(it: &Value) -> Self {
        Self {
            shard: count(&it["shard"]),
            first_slot: count(&it["first_slot"]),
            last_slot: count(&it["last_slot"]),
            holder: it["holder"].as_u64(),
            replicas: list(&it["replicas"]).iter().filter_map(Value::as_u64).collect(),
            load: number(&it["load"]),
            reads: number(&it["reads"]),
            writes: number(&it["writes"]),
            service_p99_us: number(&it["service_p99_us"]),
            queue_p99_us: number(&it["queue_p99_us"]),
            pin: it["pin"].as_str().map(|text| plain(text, TEXT_MAX)),
            moving_to: it["moving_to"].as_u64(),
            moved_ms: it["moved_ms"].as_u64(),
        }
    }
}

/// A document that must be one JSON object.
pub(super) fn object(text: &str, what: &str) -> Result<Value, CommandError> {
    match serde_json::from_str(text) {
        Ok(document @ Value::Object(_)) => Ok(document),
        Ok(_) | Err(_) => Err(CommandError::new(format!(
            "the answer to {what} is no JSON object: `{}`; is the node of another version?",
            plain(text, TEXT_MAX)
        ))),
    }
}

/// The values of JSON lines. A line that is no JSON is an error.
pub(super) fn lines(text: &str, what: &str) -> Result<Vec<Value>, CommandError> {
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| object(line, what)).collect()
}

/// A list; none is an empty one.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A number; none is 0.
pub(super) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

/// A whole number; none is 0.
pub(super) fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A short text that is safe to show; none is an empty one.
pub(super) fn word(value: &Value) -> String {
    value.as_str().map(|text| plain(text, TEXT_MAX)).unwrap_or_default()
}

/// Sentences that are safe to show.
pub(super) fn sentences(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(Value::as_str).map(|text| plain(text, SENTENCE_MAX)).collect()
}

/// A node's number, or a dash.
pub(super) fn node_or_dash(node: Option<u64>) -> String {
    node.map_or_else(|| String::from("-"), |node| format!("n{node}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_status_is_understood() {
        let status = Status::parse(include_str!("../../testdata/status.json")).expect("is valid");
        assert_eq!(status.cluster, "leasehold");
        assert_eq!(status.manager, Some((1, 5, 754_000)));
        assert_eq!((status.nodes.len(), status.shards.len()), (4, 16));
        assert_eq!(status.nodes[1].state(), "urgent");
        assert_eq!(status.nodes[2].state(), "calm, drained");
        assert_eq!(status.nodes[3].state(), "down");
        assert_eq!(status.shards[6].pin.as_deref(), Some("zone eu/a"));
        assert_eq!((status.shards[4].holder, status.shards[4].moving_to), (Some(2), Some(1)));
        assert_eq!(status.shards[15].holder, None);
    }

    #[test]
    fn documents_with_less_or_other_things_are_read_as_far_as_they_go() {
        let status = Status::parse("{\"nodes\":[{}, 7],\"shards\":{},\"manager\":null}");
        let status = status.expect("it is an object");
        assert_eq!((status.nodes.len(), status.shards.len()), (2, 0));
        assert_eq!(status.manager, None);
        for text in ["", "[]", "{", "no", "\u{1b}[2J"] {
            assert!(Status::parse(text).is_err(), "{text}");
        }
    }
}

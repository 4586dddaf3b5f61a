//! What a node knows by itself, in the form of the Lease Manager's documents: what is answered when
//! none can be reached. What only a manager knows is null.

use serde_json::{Value, json};

/// The status as this node sees it.
pub(super) fn status(cluster: &str, nodes: &resp::Value, shards: &resp::Value) -> Value {
    let nodes: Vec<Value> = items(nodes).iter().map(|it| node(&Fields(it))).collect();
    let shards: Vec<Value> = items(shards).iter().map(|it| shard(&Fields(it))).collect();
    json!({
        "cluster": cluster,
        "manager": null,
        "frozen": null,
        "held_still": null,
        "mean": null,
        "removed": null,
        "nodes": nodes,
        "shards": shards,
    })
}

/// Why a shard is where it is, as far as this node knows.
pub(super) fn why(shards: &resp::Value) -> Value {
    let known = items(shards).first().map_or(Value::Null, |it| shard(&Fields(it)));
    json!({
        "shard": known["shard"],
        "holder": known["holder"],
        "unserved_ms": known["unserved_ms"],
        "troubles": known["troubles"],
        "epoch": known["epoch"],
        "text": ["No Lease Manager answers: this is what the asked node knows by itself."],
        "bids": [],
        "verdict": null,
        "decisions": [],
    })
}

fn node(fields: &Fields<'_>) -> Value {
    let number = fields.number("node");
    let host = fields.text("host");
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let at = |port: Value| format!("{host}:{port}");
    let heard = fields.is("myself") || fields.is("alive");
    json!({
        "node": number,
        "name": fields.text("name"),
        "role": fields.text("role"),
        "address": at(fields.number("port")),
        "peer_address": at(fields.number("peer_port")),
        "state": if heard { "heard" } else { "not heard" },
        "live": heard,
        "troubles": fields.texts("troubles"),
        "unreached_by": fields.numbers("unreached_by"),
        "refused": fields.is("refused"),
        "incarnation": fields.number("incarnation"),
        "disk_full": fields.is("disk_full"),
        "leases": fields.number("shards_held"),
        "replicas": fields.number("replicas"),
        "duty": null, "locality": null, "silent_ms": null, "heard_by": null,
        "clock_ahead_ms": null, "clock_off": null, "used": null, "class": null, "cpu": null,
        "network": null, "log": null, "late": null, "memory": null, "memory_full": null,
        "disk_slow": null, "fsync_ms": null, "inbound": null,
    })
}

fn shard(fields: &Fields<'_>) -> Value {
    let holder = fields.number("holder");
    let heirs = fields.numbers("succession");
    let heirs = heirs
        .as_array()
        .map(|heirs| heirs.iter().filter(|heir| **heir != holder).cloned().collect::<Vec<Value>>());
    json!({
        "shard": fields.number("shard"),
        "first_slot": fields.number("first_slot"),
        "last_slot": fields.number("last_slot"),
        "holder": holder,
        "unserved_ms": fields.number("unserved_ms"),
        "troubles": fields.texts("troubles"),
        "epoch": fields.number("epoch"),
        "replicas": fields.numbers("voters"),
        "heirs": heirs,
        "generation": null, "load": null, "reads": null, "writes": null, "bytes_in": null,
        "bytes_out": null, "stored": null, "service_p50_us": null, "service_p99_us": null,
        "queue_p50_us": null, "queue_p99_us": null, "hot_slots": null, "hot_keys": null,
        "origins": null, "pin": null, "moving_to": null, "moved_ms": null,
    })
}

fn items(list: &resp::Value) -> &[resp::Value] {
    if let resp::Value::Array(items) = list { items } else { &[] }
}

/// Names and values of an answer, one after the other.
struct Fields<'a>(&'a resp::Value);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&resp::Value> {
        let mut pairs = items(self.0).chunks_exact(2);
        let named =
            |it: &resp::Value| matches!(it, resp::Value::Bulk(text) if text == name.as_bytes());
        pairs.find(|pair| named(&pair[0])).map(|pair| &pair[1])
    }

    fn number(&self, name: &str) -> Value {
        if let Some(resp::Value::Integer(number)) = self.get(name) {
            return Value::from(*number);
        }
        Value::Null
    }

    fn is(&self, name: &str) -> bool {
        matches!(self.get(name), Some(resp::Value::Integer(1) | resp::Value::Boolean(true)))
    }

    fn text(&self, name: &str) -> String {
        self.get(name).map(text).unwrap_or_default()
    }

    /// A list; null if the node has none.
    fn numbers(&self, name: &str) -> Value {
        let number = |it: &resp::Value| {
            if let resp::Value::Integer(number) = it { Value::from(*number) } else { Value::Null }
        };
        self.get(name).map_or(Value::Null, |list| items(list).iter().map(number).collect())
    }

    fn texts(&self, name: &str) -> Value {
        self.get(name).map_or(Value::Null, |list| items(list).iter().map(text).collect())
    }
}

fn text(value: &resp::Value) -> String {
    if let resp::Value::Bulk(bytes) = value {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, resp::Value)]) -> resp::Value {
        let pair = |(name, value): &(&str, resp::Value)| [bulk(name), value.clone()];
        resp::Value::Array(fields.iter().flat_map(pair).collect())
    }

    fn bulk(text: &str) -> resp::Value {
        resp::Value::Bulk(text.into())
    }

    fn numbers(of: &[i64]) -> resp::Value {
        resp::Value::Array(of.iter().copied().map(resp::Value::Integer).collect())
    }

    #[test]
    fn what_the_node_knows_has_the_managers_form_and_the_rest_is_null() {
        let shards = resp::Value::Array(vec![map(&[
            ("shard", resp::Value::Integer(3)),
            ("holder", resp::Value::Null),
            ("epoch", resp::Value::Integer(7)),
            ("voters", numbers(&[1, 2])),
            ("unserved_ms", resp::Value::Integer(1500)),
            ("troubles", resp::Value::Array(vec![bulk("has no holder")])),
        ])]);
        let nodes = resp::Value::Array(vec![map(&[
            ("node", resp::Value::Integer(2)),
            ("host", bulk("::1")),
            ("port", resp::Value::Integer(7002)),
            ("alive", resp::Value::Integer(0)),
        ])]);
        let status = status("it", &nodes, &shards);
        assert_eq!(status["shards"][0]["replicas"], json!([1, 2]));
        assert_eq!(status["shards"][0]["troubles"], json!(["has no holder"]));
        assert!(status["shards"][0]["holder"].is_null() && status["shards"][0]["load"].is_null());
        assert_eq!(status["nodes"][0]["address"], "[::1]:7002");
        assert_eq!(status["nodes"][0]["state"], "not heard");
        assert!(status["manager"].is_null());
        let why = why(&shards);
        assert_eq!((&why["epoch"], &why["unserved_ms"]), (&json!(7), &json!(1500)));
    }
}

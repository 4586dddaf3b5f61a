//! The Lease Manager of a cluster, as operators see it.

use resp::Value;
use serde_json::Value as Json;

use super::{Client, Cluster, wait_until};

/// What LEASEHOLD STATUS says.
#[derive(Debug)]
pub(crate) struct Status(Json);

impl Status {
    /// The node that is the active manager.
    pub(crate) fn manager(&self) -> u32 {
        number(&self.0["manager"]["node"])
    }

    /// The lease under which it is.
    pub(crate) fn manager_epoch(&self) -> u32 {
        number(&self.0["manager"]["epoch"])
    }

    /// Whether nothing is to be moved.
    pub(crate) fn is_frozen(&self) -> bool {
        self.0["frozen"] == true
    }

    /// The numbers of the members.
    pub(crate) fn members(&self) -> Vec<u32> {
        self.nodes().iter().map(|node| number(&node["node"])).collect()
    }

    /// What is said of a member, if it is one.
    pub(crate) fn node(&self, number_of: u32) -> Option<&Json> {
        self.nodes().iter().find(|node| number(&node["node"]) == number_of)
    }

    /// Something that is counted of a member; nothing if it is none.
    pub(crate) fn count(&self, node: u32, field: &str) -> u32 {
        self.node(node).map_or(0, |node| number(&node[field]))
    }

    /// What is expected of a member.
    pub(crate) fn duty(&self, node: u32) -> &str {
        self.node(node).and_then(|node| node["duty"].as_str()).unwrap_or("none")
    }

    /// Whether a member reports.
    pub(crate) fn is_live(&self, node: u32) -> bool {
        self.node(node).is_some_and(|node| node["live"] == true)
    }

    /// All shards: number, holder, replicas.
    pub(crate) fn shards(&self) -> Vec<(u32, Option<u32>, Vec<u32>)> {
        let shards = self.0["shards"].as_array().expect("a list of shards");
        let replicas = |shard: &Json| shard["replicas"].as_array().expect("a list").clone();
        let read = |shard: &Json| {
            let holder = shard["holder"].as_u64().map(|_| number(&shard["holder"]));
            (number(&shard["shard"]), holder, replicas(shard).iter().map(number).collect())
        };
        shards.iter().map(read).collect()
    }

    /// What operators have ordered: nothing else may change it.
    pub(crate) fn orders(&self) -> Vec<String> {
        let duties = self.nodes().iter().map(|node| format!("{} {}", node["node"], node["duty"]));
        let shards = self.0["shards"].as_array().expect("a list of shards");
        let pins = shards.iter().map(|shard| format!("{} {}", shard["shard"], shard["pin"]));
        let rest = [self.0["frozen"].to_string(), self.0["version"].to_string()];
        duties.chain(pins).chain(rest).collect()
    }

    fn nodes(&self) -> &[Json] {
        self.0["nodes"].as_array().expect("a list of nodes")
    }
}

fn number(value: &Json) -> u32 {
    let number = value.as_u64().unwrap_or_else(|| panic!("{value} is no number"));
    u32::try_from(number).expect("it is small")
}

impl Cluster {
    /// The manager's view, from any node that has it.
    pub(crate) fn status(&self) -> Option<Status> {
        let text = self.ask_anybody("LEASEHOLD STATUS")?;
        let status = Status(serde_json::from_str(&text).expect("the answer is JSON"));
        // A manager that has just begun has not heard of all shards yet.
        let known = status.shards().iter().any(|(_, holder, _)| holder.is_some());
        known.then_some(status)
    }

    /// Waits until the manager's view is such.
    pub(crate) fn wait_for_status(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let mut found = None;
        wait_until(what, || {
            found = self.status().filter(&is);
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// The decisions so far, oldest first.
    pub(crate) fn decisions(&self) -> Vec<Json> {
        let text = self.ask_anybody("LEASEHOLD DECISIONS COUNT 1000").unwrap_or_default();
        let line = |line: &str| serde_json::from_str(line).expect("each line is JSON");
        text.lines().map(line).collect()
    }

    /// The value of a setting of the policy.
    pub(crate) fn policy(&self, name: &str) -> Option<f64> {
        let text = self.ask_anybody("LEASEHOLD POLICY")?;
        let settings: Json = serde_json::from_str(&text).expect("the answer is JSON");
        let settings = settings.as_array().expect("a list of settings");
        settings.iter().find(|setting| setting["name"] == name)?["value"].as_f64()
    }

    /// Gives the manager an order that it accepts sooner or later: there may be none at the moment.
    pub(crate) fn order(&self, number: u32, order: &str) {
        let mut client = self.client(number);
        wait_until(&format!("{order} is accepted"), || {
            let reply = client.ask(order);
            let passing = matches!(&reply, Value::Error(text) if is_passing(text));
            assert!(passing || matches!(reply, Value::Simple(_)), "{order}: {reply:?}");
            !passing
        });
    }

    /// The reason why an order is refused.
    pub(crate) fn refusal(&self, number: u32, order: &str) -> String {
        let reply = self.client(number).ask(order);
        let Value::Error(text) = reply else { panic!("{order}: {reply:?}") };
        text
    }

    fn ask_anybody(&self, query: &str) -> Option<String> {
        let answer = |client: &mut Client| match client.try_ask(query) {
            Ok(Value::Bulk(text)) => Some(String::from_utf8_lossy(&text).into_owned()),
            Ok(Value::Error(text)) if is_passing(&text) => None,
            Ok(reply) => panic!("{query}: {reply:?}"),
            Err(_) => None,
        };
        let serving = self.nodes().iter().filter(|node| node.is_serving());
        let clients = serving.filter_map(|node| Client::try_connect(node.address).ok());
        clients.into_iter().find_map(|mut client| answer(&mut client))
    }
}

/// Whether an error means that the manager is about to be another one.
fn is_passing(text: &str) -> bool {
    ["TRYAGAIN ", "CLUSTERDOWN ", "UNCERTAIN "].iter().any(|word| text.starts_with(word))
}

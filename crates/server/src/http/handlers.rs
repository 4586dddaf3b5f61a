//! What each route does: it asks the node and passes the answer on.

use std::sync::atomic::Ordering;

use cluster::Member;
use placement::Policy;
use serde_json::{Map, Value};

use super::exchange::{Problem, Response};
use super::{document, own_view};
use crate::resolver;
use crate::resp_client::{AskError, RespClient};

/// A request that may be served, checked against the route's table.
pub(super) struct Call<'a> {
    /// The numbers in the path.
    pub(super) ids: Vec<u32>,
    /// The query's parameters.
    pub(super) query: Vec<(&'a str, String)>,
    /// The body's fields.
    pub(super) body: Map<String, Value>,
    /// The connection to the node; routes that don't ask it have none.
    pub(super) client: Option<RespClient>,
}

type Answer = Result<Response, Problem>;

impl Call<'_> {
    fn id(&self) -> String {
        self.ids.first().map(ToString::to_string).unwrap_or_default()
    }

    fn send(&mut self, args: &[&str], is_order: bool) -> Result<resp::Value, Problem> {
        let client = self.client.as_mut();
        let client = client.ok_or_else(|| Problem::new(500, "the route asks no node"))?;
        client.ask(args).map_err(|error| refusal(error, is_order))
    }

    /// Asks for a text.
    fn ask(&mut self, args: &[&str]) -> Result<String, Problem> {
        let reply = self.send(args, false)?;
        if let resp::Value::Bulk(bytes) = reply {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        Err(Problem::new(500, format!("the node's answer to {} is no text", args.join(" "))))
    }

    /// Orders something.
    fn order(&mut self, args: &[&str], status: u16) -> Answer {
        self.send(args, true)?;
        Ok(Response::json("{\"ok\":true}\n").with_status(status))
    }

    /// The manager's status; if none answers, what the node knows itself.
    fn status(&mut self) -> Result<String, Problem> {
        match self.ask(&["LEASEHOLD", "STATUS"]) {
            Err(problem) if problem.status == 503 => self.own_status().map(|it| it.to_string()),
            answer => answer,
        }
    }

    fn own_status(&mut self) -> Result<Value, Problem> {
        let nodes = self.send(&["LEASEHOLD", "NODES"], false)?;
        let shards = self.send(&["LEASEHOLD", "SHARDS"], false)?;
        let info = self.ask(&["LEASEHOLD", "INFO"])?;
        let cluster = info.lines().find_map(|line| line.strip_prefix("cluster_name:"));
        Ok(own_view::status(cluster.unwrap_or_default().trim(), &nodes, &shards))
    }

    /// One field of the status.
    fn status_field(&mut self, name: &str) -> Result<Value, Problem> {
        let text = self.status()?;
        let mut status: Value = serde_json::from_str(&text)
            .map_err(|error| Problem::new(500, format!("the status is no JSON: {error}")))?;
        Ok(status[name].take())
    }
}

/// What an error of the node is in HTTP.
fn refusal(error: AskError, is_order: bool) -> Problem {
    let text = match error {
        AskError::Refused(text) => text,
        AskError::NoAnswer(error) if is_order => {
            let text = format!("no answer in time ({error}); the order may have been taken");
            return Problem::new(504, text);
        }
        AskError::NoAnswer(error) => return Problem::new(504, format!("no answer: {error}")),
    };
    let status = match text.split(' ').next().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" => 401,
        "DENIED" => 403,
        "CLUSTERDOWN" => 503,
        "UNCERTAIN" => 504,
        _ if text.starts_with("ERR there is no ") => 404,
        _ if is_order => 409,
        _ => 500,
    };
    Problem::new(status, text)
}

pub(super) fn status(mut call: Call<'_>) -> Answer {
    call.status().map(Response::json)
}

pub(super) fn nodes(mut call: Call<'_>) -> Answer {
    call.status_field("nodes").map(|nodes| Response::json(nodes.to_string()))
}

pub(super) fn shards(mut call: Call<'_>) -> Answer {
    call.status_field("shards").map(|shards| Response::json(shards.to_string()))
}

pub(super) fn shard(mut call: Call<'_>) -> Answer {
    let (id, shards) = (call.ids.first().copied(), call.status_field("shards")?);
    let mut shards = shards.as_array().into_iter().flatten();
    let shard = shards.find(|shard| shard["shard"].as_u64() == id.map(u64::from));
    shard.map(|shard| Response::json(shard.to_string())).ok_or_else(|| {
        Problem::new(404, format!("there is no shard {}; GET /v1/shards lists them", call.id()))
    })
}

pub(super) fn why(mut call: Call<'_>) -> Answer {
    let id = call.id();
    match call.ask(&["LEASEHOLD", "WHY", &id]) {
        Err(problem) if problem.status == 503 => {
            let known = call.send(&["LEASEHOLD", "SHARDS", &id], false)?;
            Ok(Response::json(own_view::why(&known).to_string()))
        }
        answer => answer.map(Response::json),
    }
}

pub(super) fn decisions(mut call: Call<'_>) -> Answer {
    let value = |name: &str| {
        call.query.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    };
    let (since, count, format) = (value("since"), value("count"), value("format"));
    let mut args = vec!["LEASEHOLD", "DECISIONS"];
    if let Some(since) = &since {
        args.extend(["SINCE", since]);
    }
    args.extend(["COUNT", count.as_deref().unwrap_or("100")]);
    let lines = call.ask(&args)?;
    Ok(if format.as_deref() == Some("jsonl") {
        Response::new("application/x-ndjson", lines)
    } else {
        Response::json(list(&lines))
    })
}

pub(super) fn plan(mut call: Call<'_>) -> Answer {
    call.ask(&["LEASEHOLD", "PLAN"]).map(|lines| Response::json(list(&lines)))
}

/// JSON lines as a list.
fn list(lines: &str) -> String {
    let lines: Vec<&str> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
    format!("[{}]", lines.join(",\n"))
}

pub(super) fn policy(mut call: Call<'_>) -> Answer {
    call.ask(&["LEASEHOLD", "POLICY"]).map(Response::json)
}

pub(super) fn set_policy(mut call: Call<'_>) -> Answer {
    // What is wrong by itself needs no manager; what contradicts another setting, it knows.
    let mut rehearsal = Policy::default();
    let changes = std::mem::take(&mut call.body);
    for (name, value) in &changes {
        let value = value.as_f64().unwrap_or(f64::NAN);
        rehearsal.set(name, value).map_err(|error| Problem::new(400, error.to_string()))?;
    }
    let pairs = changes.iter().map(|(name, value)| [name.clone(), value.to_string()]);
    let pairs: Vec<String> = pairs.flatten().collect();
    let mut args = vec!["LEASEHOLD", "POLICY", "SET"];
    args.extend(pairs.iter().map(String::as_str));
    call.order(&args, 200)?;
    policy(call)
}

pub(super) fn pin(mut call: Call<'_>) -> Answer {
    let (id, body) = (call.id(), std::mem::take(&mut call.body));
    match (body.get("node").and_then(Value::as_u64), body.get("zone").and_then(Value::as_str)) {
        (Some(node), _) => call.order(&["LEASEHOLD", "PIN", &id, "NODE", &node.to_string()], 200),
        (None, Some(zone)) => call.order(&["LEASEHOLD", "PIN", &id, "ZONE", zone], 200),
        (None, None) => Err(Problem::new(400, "the body must have `node` or `zone`")),
    }
}

pub(super) fn unpin(mut call: Call<'_>) -> Answer {
    let id = call.id();
    call.order(&["LEASEHOLD", "UNPIN", &id], 200)
}

pub(super) fn transfer(mut call: Call<'_>) -> Answer {
    let (id, node) = (call.id(), call.body["node"].to_string());
    call.order(&["LEASEHOLD", "TRANSFER", &id, &node], 200)
}

pub(super) fn freeze(mut call: Call<'_>) -> Answer {
    call.order(&["LEASEHOLD", "FREEZE", "ON"], 200)
}

pub(super) fn unfreeze(mut call: Call<'_>) -> Answer {
    call.order(&["LEASEHOLD", "FREEZE", "OFF"], 200)
}

pub(super) fn drain(mut call: Call<'_>) -> Answer {
    let id = call.id();
    call.order(&["LEASEHOLD", "DRAIN", &id, "ON"], 202)
}

pub(super) fn undrain(mut call: Call<'_>) -> Answer {
    let id = call.id();
    call.order(&["LEASEHOLD", "DRAIN", &id, "OFF"], 200)
}

pub(super) fn join(mut call: Call<'_>) -> Answer {
    let text = call.body["member"].as_str().unwrap_or_default().to_owned();
    let member: Member =
        text.parse().map_err(|error| Problem::new(400, format!("`member` must be {error}")))?;
    resolver::check(&member.host, member.port).map_err(|text| Problem::new(400, text))?;
    call.order(&["LEASEHOLD", "JOIN", &member.to_string()], 201)
}

pub(super) fn remove(mut call: Call<'_>) -> Answer {
    let id = call.id();
    call.order(&["LEASEHOLD", "REMOVE", &id], 202)
}

pub(super) fn metrics(mut call: Call<'_>) -> Answer {
    let text = call.ask(&["LEASEHOLD", "METRICS"])?;
    Ok(Response::new("text/plain; version=0.0.4", text))
}

/// That it is called at all says that the node has answered.
pub(super) fn health(_call: Call<'_>) -> Answer {
    if super::REMOVED.load(Ordering::Relaxed) {
        let text = "removed: the cluster has removed this node; stop it\n";
        return Ok(Response::new("text/plain; charset=utf-8", text).with_status(503));
    }
    Ok(Response::new("text/plain; charset=utf-8", "ok\n"))
}

/// That it is called at all says that the node has answered.
pub(super) fn readiness(_call: Call<'_>) -> Answer {
    let (text, status) = match super::readiness() {
        Ok(text) => (text, 200),
        Err(text) => (text, 503),
    };
    Ok(Response::new("text/plain; charset=utf-8", format!("{text}\n")).with_status(status))
}

pub(super) fn openapi(_call: Call<'_>) -> Answer {
    Ok(Response::json(document::openapi().to_string()))
}

pub(super) fn page(_call: Call<'_>) -> Answer {
    Ok(Response::new("text/html; charset=utf-8", include_str!("page/index.html")))
}

pub(super) fn page_style(_call: Call<'_>) -> Answer {
    Ok(Response::new("text/css; charset=utf-8", include_str!("page/page.css")))
}

pub(super) fn page_code(_call: Call<'_>) -> Answer {
    Ok(Response::new("text/javascript; charset=utf-8", include_str!("page/page.js")))
}

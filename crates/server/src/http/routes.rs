//! The table of routes: the one place that knows paths, methods, parameters and bodies. Dispatch,
//! the checks of what comes in, OpenAPI and `docs/http-api.md` all derive from it.

use serde_json::{Map, Value};

use super::exchange::{Problem, Request, Response};
use super::handlers::{self, Call};
use crate::zone::is_zone;

/// Who may use a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Whoever gets through: nothing of the cluster is in the answer.
    Open,
    /// The same, but the node is asked.
    Health,
    /// Whoever may use the cluster.
    Cluster,
}

/// What a field of a body, or a query's parameter, must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// A text of at most so many bytes.
    Text(usize),
    /// `REGION/ZONE`.
    Zone,
    /// One of a few words.
    Choice(&'static [&'static str]),
}

/// A field of a body, or a query's parameter.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) doc: &'static str,
}

/// What a route takes as its body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    None,
    /// Exactly one of these fields.
    OneOf(&'static [Field]),
    /// Numbers under names that the handler knows.
    Numbers,
}

/// One thing that can be asked or ordered.
pub(super) struct Route {
    pub(super) method: &'static str,
    /// `{id}` stands for a number.
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) summary: &'static str,
    pub(super) query: &'static [Field],
    pub(super) body: Body,
    /// The status of success, and the content type.
    pub(super) success: (u16, &'static str),
    /// What `curl` is given in the documentation, behind the address.
    pub(super) example: &'static str,
    pub(super) handler: fn(Call<'_>) -> Result<Response, Problem>,
}

const JSON: &str = "application/json";
const NODE_MAX: u64 = u32::MAX as u64;
const NODE: Field = Field {
    name: "node",
    kind: Kind::Whole(1, NODE_MAX),
    doc: "The number of a node that has a replica of the shard.",
};

/// A route that is asked.
const fn ask(
    path: &'static str,
    summary: &'static str,
    handler: fn(Call<'_>) -> Result<Response, Problem>,
) -> Route {
    Route {
        method: "GET",
        path,
        access: Access::Cluster,
        summary,
        query: &[],
        body: Body::None,
        success: (200, JSON),
        example: "",
        handler,
    }
}

/// A page that is the same everywhere.
const fn page(
    path: &'static str,
    content_type: &'static str,
    summary: &'static str,
    handler: fn(Call<'_>) -> Result<Response, Problem>,
) -> Route {
    Route { access: Access::Open, success: (200, content_type), ..ask(path, summary, handler) }
}

/// A route that orders something.
const fn order(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    handler: fn(Call<'_>) -> Result<Response, Problem>,
) -> Route {
    Route { method, ..ask(path, summary, handler) }
}

/// All routes, in the order of the documentation.
pub(super) const ROUTES: &[Route] = &[
    ask("/v1/status", "The whole picture: manager, nodes, shards.", handlers::status),
    ask("/v1/nodes", "All nodes with their state, use and leases.", handlers::nodes),
    Route {
        body: Body::OneOf(&[Field {
            name: "member",
            kind: Kind::Text(1024),
            doc: "The node as NODE=HOST:PORT or NODE=HOST:PORT:PEERPORT, perhaps with ;name=, \
                  ;role=data or manager, ;locality=REGION/ZONE/RACK.",
        }]),
        success: (201, JSON),
        example: "-d '{\"member\":\"4=10.0.0.4:7001;locality=eu/a\"}'",
        ..order(
            "POST",
            "/v1/nodes",
            "Takes a node into the cluster; start it afterwards.",
            handlers::join,
        )
    },
    Route {
        success: (202, JSON),
        ..order(
            "DELETE",
            "/v1/nodes/{id}",
            "Takes a node out of the cluster: leases leave, then replicas. It is gone when it is \
             no longer among the nodes.",
            handlers::remove,
        )
    },
    Route {
        success: (202, JSON),
        ..order(
            "PUT",
            "/v1/nodes/{id}/drain",
            "Moves all leases off a node. It is done when the node's `leases` are 0.",
            handlers::drain,
        )
    },
    order(
        "DELETE",
        "/v1/nodes/{id}/drain",
        "Lets a node take leases again. It also ends a removal that is under way: the node stays.",
        handlers::undrain,
    ),
    ask("/v1/shards", "All shards with their holder, lease and load.", handlers::shards),
    ask("/v1/shards/{id}", "One shard.", handlers::shard),
    ask(
        "/v1/shards/{id}/why",
        "Why a shard is where it is, why it doesn't move, and what every node bids for it.",
        handlers::why,
    ),
    Route {
        body: Body::OneOf(&[
            NODE,
            Field {
                name: "zone",
                kind: Kind::Zone,
                doc: "The zone whose nodes may hold the shard, as REGION/ZONE.",
            },
        ]),
        example: "-d '{\"node\":2}'",
        ..order(
            "PUT",
            "/v1/shards/{id}/pin",
            "Keeps a shard's lease at a node or in a zone.",
            handlers::pin,
        )
    },
    order("DELETE", "/v1/shards/{id}/pin", "Lets a shard move again.", handlers::unpin),
    Route {
        body: Body::OneOf(&[NODE]),
        example: "-d '{\"node\":2}'",
        ..order(
            "POST",
            "/v1/shards/{id}/transfer",
            "Gives a shard's lease to another node. The answer comes when it is there.",
            handlers::transfer,
        )
    },
    Route {
        query: &[
            Field {
                name: "since",
                kind: Kind::Whole(0, u64::MAX),
                doc: "Only decisions after the one of this number.",
            },
            Field {
                name: "count",
                kind: Kind::Whole(1, 4096),
                doc: "So many of the newest; 100 if it isn't given.",
            },
            Field {
                name: "format",
                kind: Kind::Choice(&["json", "jsonl"]),
                doc: "`json`, a list, or `jsonl`, one decision a line. `json` if it isn't given.",
            },
        ],
        ..ask(
            "/v1/decisions",
            "What the Lease Manager decided, why, and what became of it; oldest first.",
            handlers::decisions,
        )
    },
    ask("/v1/plan", "What would be decided now, without doing it.", handlers::plan),
    ask(
        "/v1/policy",
        "All thresholds, weights and budgets of the Lease Manager.",
        handlers::policy,
    ),
    Route {
        body: Body::Numbers,
        example: "-d '{\"cool_down\":60,\"band\":0.1}'",
        ..order(
            "PATCH",
            "/v1/policy",
            "Changes settings of the policy for all nodes, all of them or none, and answers with \
             the whole policy. Times are in seconds.",
            handlers::set_policy,
        )
    },
    order(
        "PUT",
        "/v1/freeze",
        "Stops moves for balance; failover, drains and pins go on.",
        handlers::freeze,
    ),
    order("DELETE", "/v1/freeze", "Lets the Lease Manager move leases again.", handlers::unfreeze),
    Route {
        success: (200, "text/plain; version=0.0.4"),
        ..ask("/metrics", "This node's figures in Prometheus' text format.", handlers::metrics)
    },
    Route {
        access: Access::Health,
        success: (200, "text/plain; charset=utf-8"),
        ..ask(
            "/healthz",
            "Whether this process answers, whatever it can serve; 503 also if the cluster has \
             removed it. For a liveness probe: it needs no password.",
            handlers::health,
        )
    },
    Route {
        access: Access::Health,
        success: (200, "text/plain; charset=utf-8"),
        ..ask(
            "/readyz",
            "Whether to send clients here: it is a member that isn't stopping, and at least one \
             shard has a holder that is this node or that it reaches. (Clients of that shard may \
             have no other way.) Else 503; either answer says in words what can't be served. For a \
             readiness probe: it needs no password.",
            handlers::readiness,
        )
    },
    page("/openapi.json", JSON, "This API as an OpenAPI document.", handlers::openapi),
    page("/", "text/html; charset=utf-8", "A page for people.", handlers::page),
    page("/page.css", "text/css; charset=utf-8", "How the page looks.", handlers::page_style),
    page("/page.js", "text/javascript; charset=utf-8", "What the page does.", handlers::page_code),
];

/// The route for a request, with the numbers in its path.
pub(super) fn find(method: &str, path: &str) -> Result<(&'static Route, Vec<u32>), Problem> {
    let matching = ROUTES.iter().filter_map(|route| Some((route, ids(route.path, path)?)));
    let found: Vec<_> = matching.collect();
    if found.is_empty() {
        let text = "there is no such path; GET /openapi.json lists them all";
        return Err(Problem::new(404, text));
    }
    let asked = if method == "HEAD" { "GET" } else { method };
    let methods: Vec<&str> = found.iter().map(|(route, _)| route.method).collect();
    let (route, ids) =
        found.into_iter().find(|(route, _)| route.method == asked).ok_or_else(|| {
            let allow = Some(methods.join(", "));
            let text = format!("this path has only: {}", methods.join(", "));
            Problem { allow, ..Problem::new(405, text) }
        })?;
    let ids: Option<Vec<u32>> = ids.iter().map(|id| id.parse().ok()).collect();
    let text = "nodes and shards are numbers, as GET /v1/status lists them";
    Ok((route, ids.ok_or_else(|| Problem::new(404, text))?))
}

/// What stands in a path where the pattern has `{id}`; `None` if it is another path.
fn ids<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut found = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some("{id}"), Some(id)) => found.push(id),
            (Some(left), Some(right)) if left == right => {}
            (Some(_), _) | (None, Some(_)) => return None,
        }
    }
}

/// The query's parameters, checked. Their signs need no escapes, so escapes are wrong values.
pub(super) fn check_query(
    route: &'static Route,
    query: &str,
) -> Result<Vec<(&'static str, String)>, Problem> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let field = route.query.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| {
            let known: Vec<&str> = route.query.iter().map(|field| field.name).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            Problem::new(400, format!("unknown parameter; this path knows: {known}"))
        })?;
        let value = text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
        check(field, &value)?;
        if found.iter().any(|(name, _)| *name == field.name) {
            return Err(Problem::new(400, format!("`{name}` is given twice")));
        }
        found.push((field.name, text.to_owned()));
    }
    Ok(found)
}

/// The body's fields, checked.
pub(super) fn check_body(route: &Route, request: &Request) -> Result<Map<String, Value>, Problem> {
    let fields = match route.body {
        Body::None if request.body.is_empty() => return Ok(Map::new()),
        Body::None => return Err(Problem::new(400, "this takes no body")),
        Body::OneOf(fields) => Some(fields),
        Body::Numbers => None,
    };
    // A page of another origin can send other types without asking the browser first.
    let kind = request.content_type.as_deref().unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON) {
        return Err(Problem::new(415, "send the body with `Content-Type: application/json`"));
    }
    let body: Value = serde_json::from_slice(&request.body)
        .map_err(|error| Problem::new(400, format!("the body is not JSON: {error}")))?;
    let Value::Object(body) = body else {
        return Err(Problem::new(400, "the body must be a JSON object"));
    };
    let Some(fields) = fields else {
        let numbers = body.values().all(Value::is_number) && !body.is_empty();
        let text = "the body must be an object of numbers, such as {\"cool_down\":60}";
        return if numbers { Ok(body) } else { Err(Problem::new(400, text)) };
    };
    let known = body.iter().filter_map(|(name, value)| {
        fields.iter().find(|field| field.name == name).map(|field| (field, value))
    });
    let known: Vec<_> = known.collect();
    if body.len() != 1 || known.len() != 1 {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        let text = format!("the body must have exactly one field: {}", names.join(" or "));
        return Err(Problem::new(400, text));
    }
    known.into_iter().try_for_each(|(field, value)| check(field, value))?;
    Ok(body)
}

fn check(field: &Field, value: &Value) -> Result<(), Problem> {
    let wrong = |must: String| Err(Problem::new(400, format!("`{}` must be {must}", field.name)));
    match field.kind {
        Kind::Whole(least, most) => match value.as_u64() {
            Some(number) if (least..=most).contains(&number) => Ok(()),
            Some(_) | None => wrong(format!("a whole number from {least} to {most}")),
        },
        Kind::Text(most) => match value.as_str() {
            Some(text) if text.len() <= most && !text.chars().any(char::is_control) => Ok(()),
            Some(_) | None => wrong(format!("a text of at most {most} bytes in one line")),
        },
        Kind::Zone if value.as_str().is_some_and(is_zone) => Ok(()),
        Kind::Zone => wrong(String::from("REGION/ZONE, such as eu/a")),
        Kind::Choice(words) => match value.as_str() {
            Some(text) if words.contains(&text) => Ok(()),
            Some(_) | None => wrong(format!("one of: {}", words.join(", "))),
        },
    }
}

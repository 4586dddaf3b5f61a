//! The table of routes in words: OpenAPI for programs, `docs/http-api.md` for people.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::exchange::BODY_BYTES_MAX;
use super::routes::{Access, Body, Field, Kind, ROUTES, Route};

/// What a status means here; in the documentation and in OpenAPI alike.
const STATUSES: [(u16, &str); 10] = [
    (400, "the path, a parameter or the body is wrong; nothing was done"),
    (401, "the cluster has a password and it was not given, or is another"),
    (403, "protected mode, or an order from a page of another origin"),
    (404, "there is no such path, node or shard"),
    (405, "the path has other methods; `Allow` lists them"),
    (409, "the Lease Manager refused the order; the text says why"),
    (413, "the body is longer than 64 KiB"),
    (415, "the body is not sent as `application/json`"),
    (503, "no Lease Manager can be reached now, and this needs one; or the node does not answer"),
    (504, "no answer in time; an order may have been taken"),
];

/// The API as an OpenAPI 3.1 document.
pub(super) fn openapi() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Leasehold",
            "description": "Nodes, shards and leases of a cluster, and its Lease Manager.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"password": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": {
                "type": "object",
                "properties": {"error": {"type": "string"}},
                "required": ["error"],
            }},
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    if route.path.contains("{id}") {
        let schema = json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
        parameters.push(json!({"name": "id", "in": "path", "required": true, "schema": schema}));
    }
    parameters.extend(route.query.iter().map(|field| {
        let (name, doc, schema) = (field.name, field.doc, schema(field));
        json!({"name": name, "in": "query", "description": doc, "schema": schema})
    }));
    let (status, content_type) = route.success;
    let mut responses = Map::new();
    let content = json!({content_type: {}});
    responses.insert(status.to_string(), json!({"description": "done", "content": content}));
    let error = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
    for (status, text) in STATUSES.iter().filter(|(status, _)| applies(route, *status)) {
        let response = json!({"description": text, "content": error});
        responses.insert(status.to_string(), response);
    }
    let open = route.access != Access::Cluster;
    let mut operation = json!({
        "operationId": name(route),
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
        "security": if open { json!([]) } else { json!([{"password": []}]) },
    });
    if let Some(schema) = body_schema(route.body) {
        let content = json!({"application/json": {"schema": schema}});
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    operation
}

/// Whether a route can answer so.
fn applies(route: &Route, status: u16) -> bool {
    let asks = route.access == Access::Cluster;
    let has_body = !matches!(route.body, Body::None);
    match status {
        400 => has_body || !route.query.is_empty() || route.path.contains("{id}"),
        404 => route.path.contains("{id}"),
        409 => route.method != "GET",
        413 | 415 => has_body,
        401 | 504 => asks,
        503 => asks || route.access == Access::Health,
        _ => status != 405,
    }
}

/// A name for programs that are made from the document: `put_shards_id_pin`.
fn name(route: &Route) -> String {
    let path = route.path.trim_start_matches("/v1").replace(['{', '}'], "");
    let words = path.split(['/', '.']).filter(|word| !word.is_empty());
    let mut name = route.method.to_ascii_lowercase();
    for word in words {
        name.push('_');
        name.push_str(word);
    }
    name
}

fn body_schema(body: Body) -> Option<Value> {
    match body {
        Body::None => None,
        Body::Numbers => Some(json!({
            "type": "object",
            "additionalProperties": {"type": "number"},
            "minProperties": 1,
        })),
        Body::OneOf(fields) => {
            let one = fields.iter().map(|field| {
                let mut schema = schema(field);
                schema["description"] = field.doc.into();
                json!({
                    "type": "object",
                    "properties": {field.name: schema},
                    "required": [field.name],
                    "additionalProperties": false,
                })
            });
            Some(json!({"oneOf": one.collect::<Vec<_>>()}))
        }
    }
}

fn schema(field: &Field) -> Value {
    match field.kind {
        Kind::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Text(most) => json!({"type": "string", "maxLength": most}),
        Kind::Zone => json!({"type": "string", "examples": ["eu/a"]}),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
    }
}

const INTRODUCTION: &str = "\
# HTTP API

<!-- Made by `leasehold settings --http-api` from the table of routes; a test keeps it true. -->

Each node serves it at the address of its setting `http_listen` (empty: not at all); `leasehold dev`
serves it at the client port + 1000, so the first node's is http://127.0.0.1:8001/. Any node will
do: what it doesn't know itself it asks the Lease Manager.

`GET /` is a page for people: nodes, shards by load, decisions, and why a shard is where it is.
`GET /openapi.json` is this document for programs.

If the cluster has a password, send it as `Authorization: Bearer PASSWORD`. Without a password only
the same machine is served, under its address, its name in `members` or `localhost`, unless
`protected_mode` is off. There is no encryption: beyond one machine, put a proxy with TLS before it.

Bodies are JSON with `Content-Type: application/json`. Orders answer `{\"ok\":true}`. Errors are
`{\"error\":\"what happened, what it means, what to do\"}`:
";

/// What the documents of the Lease Manager say.
const FIELDS: &str = "
## Documents

Times are in the units that their names end with, rates are per second, and loads are shares of a
node: 1 is full. What is not known is null. New fields may come; skip what you don't know. While no
Lease Manager answers, statuses, nodes, shards and whys are what the asked node knows by itself:
`manager` is null, and so is what only a manager knows.

**Status**: `cluster`, `manager` (`node`, `epoch`, `since_ms`; null if there is none), `frozen`,
`held_still` (why nothing moves, or null), `mean` (use of the nodes), `removed` (numbers of nodes
that were removed), `nodes`, `shards`.

**A node**: `node`, `name`, `address`, `peer_address`, `role` (`data` or `manager`), `duty` (`full`,
`drained` or `leaving`), `locality`, `state` (`live`, `starting`, `not reporting`, `unreached`: it
is heard, but others can't reach it, `refused`: what it says does not count, `not started`,
`unheard`: by the manager's node only, or `down`; without a manager `heard` or `not heard`, by the
asked node),
`troubles` (what is to be said of it, a sentence each),
`unreached_by` (the nodes of which nothing reaches it), `refused`, `live`, `silent_ms`, `heard_by`
(the nodes that report and hear it), `clock_ahead_ms` (of the cluster clock; negative: behind),
`clock_off` (that is more than `clock_skew`), `incarnation`, `used` (its fullest
resource), `class` (`calm`, `hungry`: clearly below the nodes' mean, `above the mean`: clearly so,
however full it is, or `urgent`: near its limits, or requests wait), `cpu`, `network`, `log`, `late`
(what it uses beside these to pass requests on whose clients have yet to hear of a move; it ends by
itself), `memory`, `disk_full` (nearly: it takes no writes that grow), `memory_full` (hardly
anything is left of its limit), `disk_slow` (so much slower than another that leases leave it),
`fsync_ms`, `leases`, `replicas`, `inbound` (leases on their way to
it).

**A shard**: `shard`, `first_slot`, `last_slot`, `holder`, `unserved_ms` (for how long the manager's
node has known of nobody to ask for it, or null), `troubles` (ends of sentences that begin with the
shard, as the manager's node sees it), `epoch`, `generation`, `replicas`,
`heirs`, `load`, `reads`, `writes`, `bytes_in`, `bytes_out`, `stored`, `service_p50_us`,
`service_p99_us`, `queue_p50_us`, `queue_p99_us`, `hot_slots`, `hot_keys` and `origins` (pairs
of what and its share), `pin`, `moving_to`, `moved_ms`.

**A decision**: `id`, `wall` (Unix time in ms), `at` (the manager's clock in ms), `shard`, `action`
(`lease`, `succession` or `replica`), `from`, `to`, `epoch` or `generation` (what it was decided
on), `reason`, `inputs` (what the manager saw), `bids` (best first: terms that aren't
zero, or `unfit`),
`predicted` and `realised` gain, `outcome` (`applied`, `stale`, `failed`, `timed-out`, or null while
it is under way).

**Why**: `shard`, `holder`, `unserved_ms`, `troubles`, `epoch`, `text` (lines), `bids`, `verdict`,
`decisions` about the shard.
";

/// The whole of `docs/http-api.md`.
pub(crate) fn markdown() -> String {
    let mut text = format!("{INTRODUCTION}\n| status | meaning |\n|---|---|\n");
    // Writing to a string can't fail.
    for (status, meaning) in STATUSES {
        let _ = writeln!(text, "| {status} | {meaning} |");
    }
    let _ = write!(
        text,
        "\nA request's head may have 16 KiB, its body {} KiB, and it must arrive within 10 s. A \
         connection carries one request.\n{FIELDS}",
        BODY_BYTES_MAX >> 10
    );
    for route in ROUTES {
        let Route { method, path, summary, .. } = route;
        let _ = write!(text, "\n## `{method} {path}`\n\n{summary}\n\n");
        let mut list = |field: &Field, place: &str| {
            let (name, doc, kind) = (field.name, field.doc, expected(field.kind));
            let _ = writeln!(text, "- {place} `{name}` ({kind}): {doc}");
        };
        route.query.iter().for_each(|field| list(field, "Parameter"));
        match route.body {
            Body::None => {}
            Body::OneOf(fields) => fields.iter().for_each(|field| list(field, "Body")),
            Body::Numbers => text.push_str(
                "- Body: numbers under the settings' names, which \
                 [configuration.md](configuration.md) explains.\n",
            ),
        }
        let (status, content_type) = route.success;
        let _ = writeln!(text, "- Answer: {status}, `{content_type}`");
        if !matches!(route.body, Body::None) {
            let path = path.replace("{id}", "7");
            let _ = write!(
                text,
                "\n```sh\ncurl -X {method} -H 'Content-Type: application/json' {} \\\n  \
                 http://127.0.0.1:8001{path}\n```\n",
                route.example
            );
        }
    }
    text
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Whole(_, u64::MAX) => String::from("a whole number"),
        Kind::Whole(least, most) if most == u64::from(u32::MAX) => {
            format!("a whole number from {least}")
        }
        Kind::Whole(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Text(_) => String::from("a text"),
        Kind::Zone => String::from("REGION/ZONE"),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
    }
}

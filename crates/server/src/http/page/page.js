// The page of a node: asks the HTTP API each second or so and draws what it says.
//
// Names, keys and texts come from clients and operators: they are only ever set as text, never as
// markup, and the server's content security policy allows no other code than this file.
"use strict";

const STATUS_TIME = 1000;
const DECISIONS = 60;
const MANY_SHARDS = 160;
const REASONS = {
  "first-assignment": "the shard has never had a holder",
  "holder-lost": "nobody holds the shard any more",
  "drain": "the holder is being drained",
  "pin": "the operator pinned the shard there",
  "urgent": "the holder is near its limits",
  "overfull": "the holder is clearly above the mean",
  "hungry": "the target is clearly below the mean",
  "proximity": "the clients are nearer to the target",
  "succession": "another order of heirs spreads the load better",
  "repair": "the shard has too few living replicas",
  "leaving": "the node is leaving the cluster",
  "relief": "the node is above the mean and no lease can leave it",
  "spread": "the node has many more replicas than others",
};

let password = sessionStorage.getItem("password") || "";
let openShard = null;
let whyToken = 0;

const at = (id) => document.getElementById(id);

/** An element with classes, and texts or elements in it. */
function make(tag, classes, ...inside) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...inside.filter((it) => it !== null && it !== undefined));
  return element;
}

const unknown = (value) => value === null || value === undefined;
const percent = (share) => (unknown(share) ? "\u2013" : `${Math.round(share * 100)}%`);
const node = (number) => (number === null || number === undefined ? "nobody" : `n${number}`);
const signed = (number) => (number >= 0 ? "+" : "") + number.toFixed(3);

function amount(number) {
  for (const [least, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(number) >= least * 0.9995) return (number / least).toFixed(1) + unit;
  }
  return Number(number || 0).toFixed(0);
}

function age(millis) {
  const seconds = Math.floor(millis / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

/** A colour for each node, the same in cards and on the map. */
const nodeColour = (number) =>
  number === null ? "transparent" : `hsl(${(number * 137.5 + 190) % 360}, 55%, 52%)`;

function heat(share) {
  const hue = share < 0.5 ? 215 - share * 160 : 135 - (share - 0.5) * 270;
  const light = 88 - share * 30;
  return `hsl(${hue}, ${55 + share * 20}%, ${light}%)`;
}

async function ask(path) {
  const headers = password ? { Authorization: `Bearer ${password}` } : {};
  const response = await fetch(path, { headers, cache: "no-store" });
  if (response.status === 401) {
    await login();
    return ask(path);
  }
  const document = await response.json();
  if (!response.ok) throw new Error(document.error || `status ${response.status}`);
  return document;
}

const login = () => {
  const dialog = at("login");
  if (!dialog.open) {
    dialog.showModal();
  }
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      password = at("password").value;
      sessionStorage.setItem("password", password);
      resolve();
    }, { once: true });
  });
};

function notice(text, bad) {
  at("notice").textContent = text;
  at("notice").className = bad ? "bad" : "";
}

function fact(name, value) {
  return make("div", "", make("dt", "", name), make("dd", "", value));
}

function drawFacts(status) {
  at("cluster").textContent = status.cluster || "";
  const sum = (name) => (status.manager
    ? amount(status.shards.reduce((all, it) => all + (it[name] || 0), 0)) : "\u2013");
  const manager = status.manager
    ? `n${status.manager.node}, epoch ${status.manager.epoch}, for ${age(status.manager.since_ms)}`
    : "none";
  at("facts").replaceChildren(
    fact("Lease Manager", manager),
    fact("mean use", percent(status.mean)),
    fact("reads/s", sum("reads")),
    fact("writes/s", sum("writes")),
  );
  if (status.frozen) notice("Frozen by an operator: nothing moves for balance.");
  else if (status.held_still) notice(`Nothing moves: ${status.held_still}.`);
  else if (!status.manager) notice("No Lease Manager answers: this is what this node sees by itself.", true);
  else notice("");
}

function drawNode(it, mean) {
  const level = it.disk_full || it.memory_full || it.class === "urgent" ? "bad"
    : it.class === "above the mean" ? "warn" : "";
  // What a node that is not heard said last is no news.
  const fresh = (value, shown) => (it.live && !unknown(value) ? shown : "\u2013");
  const word = it.state || (it.live ? "live" : "down");
  const alive = it.class ? (word === "live" ? it.class : `${it.class}, ${word}`) : word;
  const lasts = ["down", "unheard", "not reporting"].includes(word);
  let state = it.live ? alive
    : lasts ? `${word} for ${age(it.silent_ms || 0)}` : word;
  if (it.disk_full) state += ", disk full";
  if (it.memory_full) state += ", memory full";
  if (it.disk_slow) state += ", disk slow";
  if (it.clock_off) state += ", clock off";
  if (it.duty && it.duty !== "full") state += `, ${it.duty}`;
  const fill = make("i", level);
  fill.style.width = percent(it.live ? Math.min(1, it.used || 0) : 0);
  const meanMark = make("b");
  meanMark.style.left = percent(Math.min(1, mean || 0));
  meanMark.title = `mean ${percent(mean)}`;
  meanMark.hidden = unknown(mean);
  const figure = (name, value) => make("span", "", `${name} ${value}`);
  const card = make("article", it.live ? "node" : "node down",
    make("div", "top", make("span", "", `n${it.node} ${it.name === `n${it.node}` ? "" : it.name}`),
      make("span", `state ${it.live ? level : "bad"}`, state)),
    make("div", "place", [it.address, it.locality, it.role === "manager" ? "manager" : ""]
      .filter(Boolean).join("  \u00b7  ")),
    make("div", "bar", fill, meanMark),
    make("div", "figures", figure("used", fresh(it.used, percent(it.used))),
      figure("cpu", fresh(it.cpu, percent(it.cpu))),
      figure("memory", fresh(it.memory, percent(it.memory))),
      figure("fsync", fresh(it.fsync_ms, `${(it.fsync_ms || 0).toFixed(1)} ms`)),
      figure("leases", it.leases), figure("replicas", it.replicas)),
    ...(it.troubles || []).map((text) => make("p", "trouble", text)));
  card.style.setProperty("--holder", nodeColour(it.node));
  return card;
}

function shardTitle(it) {
  const keys = (it.hot_keys || []).map(([key, share]) => `${key} ${percent(share)}`).join(", ");
  return [
    `shard ${it.shard}: slots ${it.first_slot} to ${it.last_slot}`,
    `held by ${node(it.holder)}, lease epoch ${it.epoch}`,
    ...(it.troubles || []).map((text) => `it ${text}`),
    `load ${percent(it.load)}, ${amount(it.reads)} reads/s, ${amount(it.writes)} writes/s`,
    it.pin ? `pinned to ${it.pin}` : "",
    it.moving_to ? `moving to n${it.moving_to}` : "",
    keys ? `hot keys: ${keys}` : "",
  ].filter(Boolean).join("\n");
}

/** What is wrong with shards, a line for those with the same. */
function drawTroubles(shards) {
  const found = new Map();
  for (const it of shards) {
    for (const text of it.troubles || []) {
      const known = found.get(text) || { shards: [], unserved: 0 };
      known.shards.push(it.shard);
      known.unserved = Math.max(known.unserved, it.unserved_ms || 0);
      found.set(text, known);
    }
  }
  // s1, s3 to s7
  const list = (numbers) => {
    const runs = [];
    for (const number of [...numbers].sort((one, other) => one - other)) {
      const run = runs[runs.length - 1];
      if (run && run[1] + 1 === number) run[1] = number;
      else runs.push([number, number]);
    }
    return runs.map(([first, last]) => (first === last ? `s${first}`
      : `s${first}${last > first + 1 ? " to " : ", "}s${last}`)).join(", ");
  };
  at("troubles").replaceChildren(...[...found].map(([text, known]) => make("p", "trouble",
    `${list(known.shards)}${known.unserved ? ` (for ${age(known.unserved)})` : ""}: ${text}`)));
}

/** Buttons stay the same elements, so that focus and clicks survive a redrawing. */
function drawMap(shards) {
  const map = at("map");
  map.classList.toggle("many", shards.length > MANY_SHARDS);
  const hottest = Math.max(1e-9, ...shards.map((it) => it.load || 0));
  while (map.children.length > shards.length) map.lastChild.remove();
  while (map.children.length < shards.length) {
    const button = make("button", "shard");
    button.type = "button";
    button.addEventListener("click", () => {
      openShard = Number(button.dataset.shard);
      explain();
    });
    map.append(button);
  }
  shards.forEach((it, place) => {
    const button = map.children[place];
    button.dataset.shard = it.shard;
    if (button.textContent !== String(it.shard)) button.textContent = it.shard;
    button.title = shardTitle(it);
    button.style.background = heat(Math.min(1, (it.load || 0) / hottest));
    button.style.color = "#17202c";
    button.style.setProperty("--holder", nodeColour(it.holder));
    button.classList.toggle("pinned", Boolean(it.pin));
    button.classList.toggle("moving", Boolean(it.moving_to));
    button.classList.toggle("unserved", Boolean(it.unserved_ms));
    button.classList.toggle("open", it.shard === openShard);
  });
}

function actionOf(it) {
  if (it.action === "succession") return `heirs ${(it.heirs || []).map(node).join(", ")}`;
  const from = it.from === null ? "" : `${node(it.from)} `;
  return `${it.action} ${from}\u2192 ${node(it.to)}`;
}

function drawDecision(it) {
  const outcome = it.outcome || "under way";
  const level = it.outcome === "applied" ? "" : it.outcome ? "bad" : "warn";
  const time = it.wall ? new Date(it.wall).toLocaleTimeString() : "";
  const seen = it.inputs && it.to !== null
    ? `; ${it.from === null ? "" : `${node(it.from)} at ${percent(it.inputs.source)}, `}` +
      `${node(it.to)} at ${percent(it.inputs.target)}`
    : "";
  const gain = typeof it.realised === "number"
    ? `; gained ${signed(it.realised)} of ${signed(it.predicted)}` : "";
  return make("div", "decision",
    make("div", "what", make("span", "", `shard ${it.shard}: ${actionOf(it)}`),
      make("span", `state ${level}`, outcome)),
    make("div", "because", `${time}  d${it.id}  ${REASONS[it.reason] || it.reason}${seen}${gain}`));
}

function drawBids(bids) {
  const terms = [];
  for (const bid of bids) {
    for (const name of Object.keys(bid)) {
      if (!["node", "total", "unfit"].includes(name) && !terms.includes(name)) terms.push(name);
    }
  }
  const head = make("tr", "", make("th", "", "node"),
    ...["total", ...terms].map((it) => make("th", "number", it)));
  const rows = bids.map((bid) => {
    const row = make("tr", "", make("td", "", node(bid.node)));
    if (bid.unfit) {
      const cell = make("td", "quiet", bid.unfit);
      cell.colSpan = terms.length + 1;
      row.append(cell);
      return row;
    }
    for (const name of ["total", ...terms]) {
      const number = bid[name];
      const sign = number > 0 ? "plus" : number < 0 ? "minus" : "";
      row.append(make("td", `number ${sign}`, typeof number === "number" ? signed(number) : ""));
    }
    return row;
  });
  return make("div", "scroll", make("table", "", make("thead", "", head),
    make("tbody", "", ...rows)));
}

async function explain() {
  const shard = openShard;
  const token = ++whyToken;
  for (const button of at("map").children) {
    button.classList.toggle("open", Number(button.dataset.shard) === shard);
  }
  at("why-title").textContent = `Why shard ${shard} is where it is`;
  let parts;
  try {
    const why = await ask(`v1/shards/${shard}/why`);
    parts = [
      make("p", "", `Held by ${node(why.holder)}, lease epoch ${why.epoch}.`),
      ...(why.troubles || []).map((line) => make("p", "trouble", `It ${line}.`)),
      ...(why.text || []).map((line) => make("p", "quiet", line)),
      why.verdict ? make("h3", "", "Why it is not moved") : null,
      why.verdict ? make("p", "verdict", why.verdict) : null,
      (why.bids || []).length ? make("h3", "", "Bids now") : null,
      (why.bids || []).length ? drawBids(why.bids) : null,
      why.verdict ? make("h3", "", "Last decisions") : null,
      ...(why.decisions || []).map(drawDecision),
      why.verdict && !(why.decisions || []).length
        ? make("p", "quiet", "None that is remembered.") : null,
    ];
  } catch (error) {
    parts = [make("p", "quiet", error.message)];
  }
  // Another shard may have been clicked meanwhile.
  if (token === whyToken) at("why").replaceChildren(...parts.filter((part) => part !== null));
}

async function refresh() {
  try {
    const status = await ask("v1/status");
    status.shards = status.shards || [];
    drawFacts(status);
    at("nodes").replaceChildren(...(status.nodes || []).map((it) => drawNode(it, status.mean)));
    drawMap(status.shards);
    drawTroubles(status.shards);
    const decisions = status.manager ? await ask(`v1/decisions?count=${DECISIONS}`) : [];
    at("decisions").replaceChildren(...(decisions.length
      ? decisions.reverse().map(drawDecision)
      : [make("p", "quiet", status.manager ? "Nothing has been decided yet."
        : "Only a Lease Manager knows them.")]));
  } catch (error) {
    notice(`No answer: ${error.message}`, true);
  }
}

async function run() {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((resolve) => setTimeout(resolve, STATUS_TIME));
  }
}

const linked = /^#s(\d+)$/.exec(location.hash);
if (linked) {
  openShard = Number(linked[1]);
  explain();
}
run();

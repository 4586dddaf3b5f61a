//! What the manager knows, as JSON: the answers to LEASEHOLD STATUS, WHY, DECISIONS, PLAN and
//! POLICY. The command line, the HTTP API and the pages are made of these.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use placement::{
    Bid, Decision, DecisionId, Duty, HeldShard, Locality, NodeStatus, Pin, Policy, ShardStatus,
};
use types::{NodeId, Now, ShardId};

use super::json::Json;
use super::{LeaseManager, Seen, ShardTrouble};
use crate::member::Member;
use crate::node::troubles::Health;
use crate::outage::Nodes;

/// How a node is, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It is heard, and reports.
    Live,
    /// It is heard, and has not reported yet.
    Starting,
    /// It is heard, and has not reported for a while.
    NotReporting,
    /// It beats, but some nodes can't reach it.
    Unreached {
        reports: bool,
    },
    /// What it says does not count.
    Refused,
    /// It is a member, and nobody remembers that it has ever run.
    NotStarted,
    /// The manager does not hear it, but others do.
    Unheard,
    Down,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Starting => "starting",
            Self::NotReporting => "not reporting",
            Self::Unreached { .. } => "unreached",
            Self::Refused => "refused",
            Self::NotStarted => "not started",
            Self::Unheard => "unheard",
            Self::Down => "down",
        }
    }

    /// Whether its figures are news.
    fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::Unreached { reports: true })
    }
}

/// Decisions that an explanation repeats.
const DECISIONS_EXPLAINED: usize = 5;

impl LeaseManager {
    /// Nodes and shards.
    pub(super) fn status(&self, now: Now, (cluster, me): (&str, NodeId), seen: &Seen) -> String {
        let (nodes, shards, mean) = self.placement.status(now.monotonic);
        let mut json = Json::default();
        json.object(|json| {
            json.key("cluster").text(cluster);
            json.key("manager").object(|json| {
                json.key("node").raw(me.0);
                json.key("epoch").raw(self.epoch.0);
                json.key("since_ms").raw(millis(now.monotonic.since(self.since.monotonic)));
                json.key("reports_refused").raw(self.refused_reports);
            });
            json.key("frozen").raw(self.control.frozen);
            json.key("held_still");
            match self.placement.held_still(now.monotonic) {
                Some(why) => json.text(why),
                None => json.raw("null"),
            }
            json.key("mean").real(mean, 4);
            json.key("version").raw(self.control.membership.version);
            json.key("removed").list(&self.control.removed, |json, node| json.raw(node.0));
            json.key("nodes").list(&self.control.membership.members, |json, member| {
                let status = nodes.iter().find(|status| status.node == member.node);
                self.write_node(now, json, member, (status, &seen.health(member.node)));
            });
            json.key("shards").list(&shards, |json, shard| {
                self.write_shard(now, json, shard, seen);
            });
        });
        json.finish()
    }

    fn write_node(
        &self,
        now: Now,
        json: &mut Json,
        member: &Member,
        (status, health): (Option<&NodeStatus>, &Health),
    ) {
        let node = member.node;
        let report = self.reports.get(&node).map(|(_, report)| report);
        let duty = match self.control.duty(node) {
            Duty::Full => "full",
            Duty::NoLeases => "drained",
            Duty::Leaving => "leaving",
        };
        let state = self.state(now, node, health);
        let silence = self.silence(now.monotonic, node);
        json.object(|json| {
            json.key("node").raw(node.0);
            json.key("name").text(&member.name);
            json.key("address").text(&address(&member.host, member.port));
            json.key("peer_address").text(&address(&member.host, member.peer_port));
            json.key("role").text(member.role.name());
            json.key("duty").text(duty);
            let known = member.locality != Locality::default();
            let locality = if known { member.locality.to_string() } else { String::new() };
            json.key("locality").text(&locality);
            json.key("state").text(state.word());
            json.key("live").raw(state.is_live());
            json.key("silent_ms").raw(millis(silence));
            json.key("troubles").list(self.sentences(now, node, state, health), |json, text| {
                json.text(&text);
            });
            let unreached_by = &health.unreached_by;
            json.key("unreached_by").list(unreached_by, |json, other| json.raw(other.0));
            json.key("refused").raw(health.refused);
            json.key("heard_by").list(&self.heard_by(now.monotonic, node), |json, other| {
                json.raw(other.0);
            });
            json.key("clock_ahead_ms").optional(report.map(|report| report.clock_ahead));
            json.key("clock_off").raw(report.is_some_and(|report| report.clock_off));
            json.key("incarnation").optional(report.map(|report| report.incarnation.0));
            json.key("used").real(status.map_or(0.0, |status| status.used), 4);
            let class = status.map_or(String::from("manager"), |status| status.class.to_string());
            json.key("class").text(&class);
            let shares = status.map_or_else(
                || report.map(|it| it.used.shares_of(it.capacity)).unwrap_or_default(),
                |status| status.shares,
            );
            json.key("cpu").real(shares.cpu, 4);
            json.key("network").real(shares.network, 4);
            json.key("log").real(shares.log, 4);
            let late = report.map_or(0.0, |it| it.late.share_of(it.capacity));
            json.key("late").real(late, 4);
            let memory = report.filter(|report| report.memory_capacity > 0.0);
            let memory = memory.map_or(0.0, |report| report.memory_used / report.memory_capacity);
            json.key("memory").real(memory, 4);
            let fsync = report.map_or(0.0, |report| report.fsync.as_secs_f64() * 1000.0);
            json.key("disk_full").raw(health.disk_full);
            json.key("memory_full").raw(health.memory_full);
            json.key("disk_slow").raw(health.slow_disk.is_some());
            json.key("fsync_ms").real(fsync, 3);
            json.key("leases").raw(status.map_or(0, |status| status.leases));
            json.key("replicas").raw(status.map_or(0, |status| status.replicas));
            json.key("inbound").raw(status.map_or(0, |status| status.inbound));
        });
    }

    /// How a node is, as the reports and this node's own view have it.
    fn state(&self, now: Now, node: NodeId, health: &Health) -> State {
        let reported = self.reports.contains_key(&node);
        let silent = self.silence(now.monotonic, node) >= self.control.policy.silent_after;
        let reports = reported && !silent;
        if !health.unreached_by.is_empty() {
            return State::Unreached { reports };
        }
        if health.refused && !health.alive {
            return State::Refused;
        }
        match (health.alive, reported) {
            (true, true) if !silent => State::Live,
            (true, true) => State::NotReporting,
            (true, false) => State::Starting,
            (false, false) if !health.has_started => State::NotStarted,
            (false, _) if silent && !self.heard_by(now.monotonic, node).is_empty() => {
                State::Unheard
            }
            (false, _) => State::Down,
        }
    }

    /// What is to be said of a node, a sentence each.
    fn sentences(&self, now: Now, node: NodeId, state: State, health: &Health) -> Vec<String> {
        let mut all = health.sentences(node);
        if state == State::Unheard {
            let by = self.heard_by(now.monotonic, node);
            all.push(format!(
                "{node} is not heard by the manager's node, but by {}: look at the network between \
                 them. While most nodes hear it, nothing is moved away from it.",
                Nodes(&by)
            ));
        }
        let report = self.reports.get(&node).map(|(_, report)| report);
        if let Some(report) = report.filter(|report| report.clock_off) {
            let ahead = report.clock_ahead;
            let way = if ahead < 0 { "behind" } else { "ahead" };
            all.push(format!(
                "The wall clock of {node} is {} ms {way}: set it right (is its time service \
                 running?). Keys expire by the other nodes' clocks; the node gets leases last.",
                ahead.unsigned_abs()
            ));
        }
        all
    }

    /// What the holder last said of a shard.
    fn held(&self, shard: &ShardStatus) -> Option<&HeldShard> {
        let (_, report) = self.reports.get(&shard.holder?)?;
        report.held.iter().find(|held| held.shard == shard.shard)
    }

    /// The holder of a shard, if it is still heard.
    fn live(&self, now: Now, holder: Option<NodeId>) -> Option<u32> {
        let patience = self.control.policy.silent_after;
        holder.filter(|node| self.silence(now.monotonic, *node) < patience).map(|node| node.0)
    }

    fn write_shard(&self, now: Now, json: &mut Json, shard: &ShardStatus, seen: &Seen) {
        let held = self.held(shard);
        json.object(|json| {
            json.key("shard").raw(shard.shard.0);
            json.key("first_slot").raw(shard.range.first().number());
            json.key("last_slot").raw(shard.range.last().number());
            json.key("holder").optional(self.live(now, shard.holder));
            write_trouble(json, seen.shards.get(&shard.shard));
            json.key("epoch").raw(shard.epoch.0);
            json.key("generation").raw(shard.generation.0);
            json.key("replicas").list(&shard.replicas, |json, node| json.raw(node.0));
            json.key("heirs").list(&shard.heirs, |json, node| json.raw(node.0));
            json.key("load").real(shard.load, 4);
            json.key("reads").real(shard.reads, 1);
            json.key("writes").real(shard.writes, 1);
            if let Some(held) = held {
                write_held(json, held);
            }
            json.key("pin");
            match &shard.pin {
                Some(Pin::Node(node)) => json.text(&format!("node {}", node.0)),
                Some(Pin::Zone { region, zone }) => json.text(&format!("zone {region}/{zone}")),
                None => json.raw("null"),
            }
            json.key("moving_to").optional(shard.moving_to.map(|node| node.0));
            json.key("moved_ms").optional(shard.moved.map(millis));
        });
    }

    /// Why a shard is where it is.
    pub(super) fn why(&self, now: Now, shard: ShardId, seen: &Seen) -> Option<String> {
        let found = self.placement.why(now.monotonic, shard)?;
        let mut json = Json::default();
        json.object(|json| {
            json.key("shard").raw(shard.0);
            json.key("holder").optional(self.live(now, found.holder));
            write_trouble(json, seen.shards.get(&shard));
            json.key("epoch").raw(found.epoch.0);
            json.key("verdict").text(&found.verdict.to_string());
            json.key("text").list(found.sentences(), |json, line| json.text(&line));
            json.key("bids").list(&found.bids, write_bid);
            let about = self.placement.records().rev().filter(|record| record.shard == shard);
            let newest: Vec<&Decision> = about.take(DECISIONS_EXPLAINED).collect();
            json.key("decisions").list(newest.into_iter().rev(), |json, record| {
                json.raw(self.show_decision(now, record));
            });
        });
        Some(json.finish())
    }

    /// The newest decisions, oldest first, a line each.
    pub(super) fn list_decisions(
        &self,
        now: Now,
        since: Option<DecisionId>,
        count: usize,
    ) -> String {
        let wanted = |record: &&Decision| since.is_none_or(|since| record.id > since);
        let newest = self.placement.records().rev().take_while(wanted).take(count);
        let mut lines: Vec<String> = newest.map(|record| self.show_decision(now, record)).collect();
        lines.reverse();
        lines.join("\n")
    }

    /// What would be decided now.
    pub(super) fn plan(&self, now: Now) -> String {
        let plan = self.placement.plan(now.monotonic);
        let lines: Vec<String> =
            plan.iter().map(|decision| self.show_decision(now, decision)).collect();
        lines.join("\n")
    }

    /// A decision with the time of day at which it was made.
    fn show_decision(&self, now: Now, decision: &Decision) -> String {
        let ago = millis(now.monotonic.since(decision.at));
        let wall = now.wall.0.saturating_sub(ago);
        let text = decision.to_json();
        let rest = text.strip_prefix('{').unwrap_or(&text);
        format!("{{\"wall\":{wall},{rest}")
    }

    pub(super) fn list_policy(&self) -> String {
        let defaults = Policy::default();
        let rows = Policy::SETTINGS.iter().zip(self.control.policy.numbers());
        let mut json = Json::default();
        json.list(rows.zip(defaults.numbers()), |json, ((setting, value), default)| {
            json.object(|json| {
                json.key("name").text(setting.name);
                json.key("value").raw(value);
                json.key("unit").text(setting.unit);
                json.key("least").raw(setting.least);
                json.key("most").raw(setting.most);
                json.key("default").raw(default);
                json.key("text").text(setting.text.trim());
            });
        });
        json.finish()
    }
}

/// What the manager's node knows to be wrong with a shard.
fn write_trouble(json: &mut Json, trouble: Option<&ShardTrouble>) {
    let unserved = trouble.and_then(|trouble| trouble.unserved);
    json.key("unserved_ms").optional(unserved.map(millis));
    let troubles = trouble.map(|trouble| trouble.troubles.as_slice()).unwrap_or_default();
    json.key("troubles").list(troubles, |json, text| json.text(text));
}

fn write_bid(json: &mut Json, bid: &Bid) {
    json.object(|json| {
        json.key("node").raw(bid.node.0);
        match &bid.terms {
            Ok(terms) => {
                json.key("total").real(terms.total(), 4);
                for (name, score) in terms.named() {
                    if score != 0.0 {
                        json.key(name).real(score, 4);
                    }
                }
            }
            Err(unfit) => json.key("unfit").text(&unfit.to_string()),
        }
    });
}

fn write_held(json: &mut Json, held: &HeldShard) {
    json.key("stored").real(held.stored, 0);
    json.key("bytes_in").real(held.bytes_in, 1);
    json.key("bytes_out").real(held.bytes_out, 1);
    json.key("hot_slots").list(&held.hot_slots, |json, (slot, share)| {
        json.list([f64::from(slot.number()), *share], |json, it| json.raw(it));
    });
    json.key("hot_keys").list(&held.hot_keys, |json, (key, share)| {
        let key = String::from_utf8_lossy(key);
        write_share(json, &key, *share);
    });
    let requests: f64 = held.origins.iter().map(|(_, requests)| requests).sum();
    json.key("origins").list(&held.origins, |json, (origin, part)| {
        write_share(json, &origin.text(), part / requests.max(f64::MIN_POSITIVE));
    });
    let micros = |time: Duration| time.as_micros();
    json.key("service_p50_us").raw(micros(held.service.p50));
    json.key("service_p99_us").raw(micros(held.service.p99));
    json.key("queue_p50_us").raw(micros(held.queue.p50));
    json.key("queue_p99_us").raw(micros(held.queue.p99));
}

fn write_share(json: &mut Json, what: &str, share: f64) {
    json.pair(|json| {
        json.text(what);
        json.real(share, 3);
    });
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

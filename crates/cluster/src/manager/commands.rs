//! What operators ask of the Lease Manager: each command is judged as a whole before anything
//! changes, and an answer says why not.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use placement::{Command as Wish, DecisionId, Duty, Pin, Policy};
use resp::{CommandId, number};
use types::limits::NODES_MAX;
use types::{NodeId, Now, ShardId};

use super::control::{Control, REMOVED_MAX};
use super::{LeaseManager, Seen, ShardTrouble};
use crate::entry::{self, Command, Operation};
use crate::frontend::{labelled, quoted};
use crate::member::{Member, Role};
use crate::node::Node;
use crate::settings::{MANAGERS_MAX, SYSTEM_REPLICAS_MIN, members_for, system_replicas};
use crate::shard::Request;

/// Decisions that are listed if nobody says how many.
const DECISIONS_LISTED: usize = 50;
/// A node that has reported so lately answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Most decisions in one answer.
const DECISIONS_MAX: usize = 4096;

/// What a command comes to.
enum Answer {
    /// A document.
    Text(String),
    /// A new state, to be written down; or the same again, and then there is nothing to write.
    Change(Box<Control>),
}

impl Node {
    /// Answers a command that has reached the active manager.
    pub(crate) fn answer_managers_client(&mut self, now: Now, request: &Request) {
        let waiter = request.waiter;
        let Ok(Operation::Manage(command)) = entry::only_operation(&request.operation) else {
            return self.world.sessions.answer_error(waiter, crate::shard::MALFORMED);
        };
        let cluster = self.world.settings.cluster.clone();
        let me = self.world.settings.node;
        let seen = self.seen(now, &command);
        let Some(manager) = self.manager() else { return };
        match manager.run(now, (&cluster, me), &seen, &command) {
            Ok(Answer::Text(text)) => {
                self.world.sessions.answer(waiter, |reply| reply.bulk(text.as_bytes()));
            }
            Ok(Answer::Change(control)) => self.propose_control(now, *control, waiter),
            Err(text) => self.world.sessions.answer_error(waiter, &format!("ERR {text}")),
        }
    }
}

impl Node {
    /// What this node knows itself that an answer may need.
    fn seen(&self, now: Now, command: &Command<'_>) -> Seen {
        let nodes = self.world.members().nodes();
        let nodes = nodes.map(|node| (node, self.world.health(now.monotonic, node))).collect();
        let planted = self.world.settings.planted;
        let mut seen = Seen { nodes, planted, ..Seen::default() };
        if matches!(command.id, CommandId::LeaseholdStatus | CommandId::LeaseholdWhy) {
            let shards = self.routes.iter().map(|route| route.shard);
            let trouble = |shard| ShardTrouble {
                unserved: self.unserved_for(now, shard),
                troubles: self.troubles_of(now, shard),
            };
            seen.shards = shards.map(|shard| (shard, trouble(shard))).collect();
        }
        seen
    }
}

impl LeaseManager {
    fn run(
        &self,
        now: Now,
        place: (&str, NodeId),
        seen: &Seen,
        command: &Command<'_>,
    ) -> Result<Answer, String> {
        let args = command.args.get(1..).unwrap_or_default();
        match Some(command.id) {
            Some(CommandId::LeaseholdStatus) => Ok(Answer::Text(self.status(now, place, seen))),
            Some(CommandId::LeaseholdWhy) => {
                let shard = self.shard(arg(args, 0))?;
                let text = self.why(now, shard, seen).ok_or_else(|| no_shard(shard))?;
                Ok(Answer::Text(text))
            }
            Some(CommandId::LeaseholdDecisions) => self.decisions(now, args),
            Some(CommandId::LeaseholdPlan) => Ok(Answer::Text(self.plan(now))),
            Some(CommandId::LeaseholdPolicy) => self.policy_command(now, args, seen),
            Some(CommandId::LeaseholdPin) => self.pin(now, args),
            Some(CommandId::LeaseholdUnpin) => {
                let shard = self.shard(arg(args, 0))?;
                let mut control = self.control.clone();
                control.pins.remove(&shard);
                Ok(Answer::Change(Box::new(control)))
            }
            Some(CommandId::LeaseholdFreeze) => {
                let frozen = on_or_off(arg(args, 0))?;
                let control = Control { frozen, ..self.control.clone() };
                Ok(Answer::Change(Box::new(control)))
            }
            Some(CommandId::LeaseholdDrain) => self.drain(now, args),
            Some(CommandId::LeaseholdJoin) => self.join(now, args),
            Some(CommandId::LeaseholdRemove) => self.remove(now, args, seen),
            Some(_) | None => {
                Err(format!("'{}' is no command for the manager", command.id.command().name))
            }
        }
    }

    fn decisions(&self, now: Now, args: &[&[u8]]) -> Result<Answer, String> {
        let (mut since, mut count) = (None, DECISIONS_LISTED);
        for pair in args.chunks(2) {
            let value = pair.get(1).and_then(|text| number::parse_u64(text));
            let value = value.ok_or("LEASEHOLD DECISIONS takes SINCE id and COUNT n")?;
            match pair[0] {
                word if word.eq_ignore_ascii_case(b"since") => since = Some(DecisionId(value)),
                word if word.eq_ignore_ascii_case(b"count") => {
                    count = usize::try_from(value).unwrap_or(DECISIONS_MAX).min(DECISIONS_MAX);
                }
                word => return Err(format!("'{}' is neither SINCE nor COUNT", quoted(word))),
            }
        }
        Ok(Answer::Text(self.list_decisions(now, since, count)))
    }

    fn policy_command(&self, now: Now, args: &[&[u8]], seen: &Seen) -> Result<Answer, String> {
        match args {
            [] => Ok(Answer::Text(self.list_policy())),
            [set, pairs @ ..] if set.eq_ignore_ascii_case(b"set") && !pairs.is_empty() => {
                let mut control = self.control.clone();
                change_policy(&mut control.policy, pairs)?;
                self.judge_replicas(now, control.policy.replicas, seen)?;
                Ok(Answer::Change(Box::new(control)))
            }
            _ => Err("LEASEHOLD POLICY takes nothing, or SET name value [name value ...]".into()),
        }
    }

    /// Whether removals that are under way can end with so many replicas of each shard.
    fn judge_replicas(&self, now: Now, replicas: u32, seen: &Seen) -> Result<(), String> {
        let mut data = members_for(&self.control.membership.members, Role::Data);
        let leaving = data.find(|member| self.control.duty(member.node) == Duty::Leaving);
        let Some(node) =
            leaving.map(|member| member.node).filter(|_| replicas > self.control.policy.replicas)
        else {
            return Ok(());
        };
        let left = self.places(|other| self.stays(now, other, seen));
        if left >= replicas as usize {
            return Ok(());
        }
        Err(format!(
            "node {node} is being removed, and without it {left} data nodes are there for \
             {replicas} replicas of each shard; join another node first"
        ))
    }

    /// Whether a node can be counted on: it is not to leave, has been started, and answers.
    fn stays(&self, now: Now, node: NodeId, seen: &Seen) -> bool {
        let has_started = self.reports.contains_key(&node) || seen.counts_as_started(node);
        has_started
            && self.control.duty(node) != Duty::Leaving
            && self.silence(now.monotonic, node) < self.control.policy.repair_after
    }

    /// How many data nodes there are of those.
    fn places(&self, of: impl Fn(NodeId) -> bool) -> usize {
        let members = members_for(&self.control.membership.members, Role::Data);
        members.filter(|member| of(member.node)).count()
    }

    fn pin(&self, now: Now, args: &[&[u8]]) -> Result<Answer, String> {
        let shard = self.shard(arg(args, 0))?;
        let pin = match (arg(args, 1), arg(args, 2)) {
            (word, node) if word.eq_ignore_ascii_case(b"node") => Pin::Node(self.node(node)?),
            (word, zone) if word.eq_ignore_ascii_case(b"zone") => {
                let zone = String::from_utf8_lossy(zone);
                let (region, zone) = zone.split_once('/').ok_or_else(|| {
                    format!("'{}' is no zone; write REGION/ZONE", quoted(arg(args, 2)))
                })?;
                Pin::Zone { region: region.into(), zone: zone.into() }
            }
            (word, _) => return Err(format!("'{}' is neither NODE nor ZONE", quoted(word))),
        };
        self.judge(now, Wish::Pin(shard, Some(pin.clone())))?;
        let mut control = self.control.clone();
        control.pins.insert(shard, pin);
        Ok(Answer::Change(Box::new(control)))
    }

    fn drain(&self, now: Now, args: &[&[u8]]) -> Result<Answer, String> {
        let node = self.node(arg(args, 0))?;
        let on = args.get(1).map_or(Ok(true), |word| on_or_off(word))?;
        if on && self.control.duty(node) == Duty::Leaving {
            return Err(format!("node {node} is being removed already"));
        }
        self.expect(now, node, if on { Duty::NoLeases } else { Duty::Full })
    }

    /// Expects something of a node from now on.
    fn expect(&self, now: Now, node: NodeId, duty: Duty) -> Result<Answer, String> {
        if self.control.duty(node) == duty {
            return Ok(Answer::Change(Box::new(self.control.clone())));
        }
        let is_data = self.control.membership.get(node).is_some_and(|it| it.role == Role::Data);
        if is_data {
            self.judge(now, Wish::Duty(node, duty))?;
        }
        let mut control = self.control.clone();
        match duty {
            Duty::Full => control.duties.remove(&node),
            Duty::NoLeases | Duty::Leaving => control.duties.insert(node, duty),
        };
        Ok(Answer::Change(Box::new(control)))
    }

    /// JOIN member [MOVED]. With MOVED it is a member's new address, and nothing else of it
    /// changes: whoever says so has asked the process there who it is.
    fn joining(&self, now: Now, args: &[&[u8]]) -> Result<Member, String> {
        let text = String::from_utf8_lossy(arg(args, 0));
        let member: Member =
            text.parse().map_err(|wanted| format!("'{text}' is no member; it must be {wanted}"))?;
        let node = member.node;
        let known = self.control.membership.get(node);
        match args.get(1) {
            Some(word) if word.eq_ignore_ascii_case(b"moved") && args.len() == 2 => {
                let known =
                    known.ok_or_else(|| format!("node {node} is no member; let it join"))?;
                let Member { host, port, peer_port, .. } = member;
                return Ok(Member { host, port, peer_port, ..known.clone() });
            }
            Some(word) => return Err(format!("'{}' is not MOVED", quoted(word))),
            None => {}
        }
        let elsewhere = |known: &&Member| {
            (&known.host, known.port, known.peer_port)
                != (&member.host, member.port, member.peer_port)
        };
        let answers = self.silence(now.monotonic, node) < ANSWERS_WITHIN;
        if let Some(known) = known.filter(elsewhere).filter(|_| answers) {
            return Err(format!(
                "node {node} is a member and answers ({known}), so no other process can join under \
                 its number; if the node itself is somewhere else now, `leasehold move {}` asks \
                 the process there who it is, and corrects the list",
                text.split(';').next().unwrap_or_default()
            ));
        }
        Ok(member)
    }

    fn join(&self, now: Now, args: &[&[u8]]) -> Result<Answer, String> {
        let member = self.joining(now, args)?;
        let members = &self.control.membership;
        let node = member.node;
        if members.get(node) == Some(&member) {
            return Ok(Answer::Change(Box::new(self.control.clone())));
        }
        if self.control.removed.contains(&node) {
            let free = (1..).find(|free| {
                let free = NodeId(*free);
                !members.contains(free) && !self.control.removed.contains(&free)
            });
            return Err(format!(
                "the number {} was a node's that has been removed, and is never used again; {} is \
                 free",
                node.0,
                free.unwrap_or_default()
            ));
        }
        if members.members.len() >= NODES_MAX && !members.contains(node) {
            return Err(format!("the cluster has {NODES_MAX} nodes, and can't have more"));
        }
        if let Some(known) = members.get(node).filter(|known| known.role != member.role) {
            return Err(format!(
                "node {node} is a {} node; remove it and join it anew under another number to make \
                 it a {}",
                known.role.name(),
                member.role.name()
            ));
        }
        let managers = members.members.iter().filter(|it| it.role == Role::Manager).count();
        if member.role == Role::Manager && managers >= MANAGERS_MAX && !members.contains(node) {
            return Err(format!("there are {MANAGERS_MAX} dedicated managers; more help nobody"));
        }
        let same_place = |other: &&Member| {
            let ports = [other.port, other.peer_port];
            other.node != node
                && other.host == member.host
                && (ports.contains(&member.port) || ports.contains(&member.peer_port))
        };
        if let Some(other) = members.members.iter().find(same_place) {
            return Err(format!("node {} is at this address already: {other}", other.node));
        }
        let taken = |other: &&Member| other.node != node && other.name == member.name;
        if let Some(other) = members.members.iter().find(taken) {
            return Err(format!("node {} has the name `{}` already", other.node, other.name));
        }
        let reads_as = labelled(member.name.as_bytes(), b'n').map(NodeId);
        if reads_as.is_some_and(|other| other != node) {
            return Err(format!("the name `{}` reads as another node's number", member.name));
        }
        let mut control = self.control.clone();
        control.membership.put(member);
        control.membership.version += 1;
        Ok(Answer::Change(Box::new(control)))
    }

    fn remove(&self, now: Now, args: &[&[u8]], seen: &Seen) -> Result<Answer, String> {
        let node = self.node(arg(args, 0))?;
        let members = &self.control.membership.members;
        let stays = |other: NodeId| self.stays(now, other, seen);
        let stays_then = |other: NodeId| other != node && stays(other);
        let left = self.places(stays_then);
        let replicas = self.control.policy.replicas as usize;
        let known = self.control.membership.get(node);
        if known.is_some_and(|known| known.role == Role::Data) && left < replicas {
            return Err(format!(
                "without node {node} only {left} data nodes would be left that answer, for \
                 {replicas} replicas of each shard; join another node first, or lower the policy's \
                 `replicas`"
            ));
        }
        let system = system_replicas(members, stays).len().min(SYSTEM_REPLICAS_MIN);
        let system_left = system_replicas(members, stays_then).len();
        if system_left < system {
            return Err(format!(
                "without node {node} there would be {system_left} nodes for {system} replicas of \
                 the system shard; join another node first"
            ));
        }
        let leaving = self.control.duties.values().filter(|duty| **duty == Duty::Leaving).count();
        if self.control.removed.len() + leaving >= REMOVED_MAX {
            return Err(format!("{REMOVED_MAX} nodes have been removed, and no more can be"));
        }
        self.expect(now, node, Duty::Leaving)
    }

    /// Asks the policy whether a wish makes sense, without telling it.
    fn judge(&self, now: Now, wish: Wish) -> Result<(), String> {
        self.placement.clone().command(now.monotonic, wish).map_err(|reason| reason.to_string())
    }

    fn node(&self, text: &[u8]) -> Result<NodeId, String> {
        let named = |member: &&Member| member.name.as_bytes() == text;
        let members = &self.control.membership.members;
        let by_name = members.iter().find(named).map(|member| member.node);
        let node = by_name.or_else(|| labelled(text, b'n').map(NodeId));
        if let Some(node) = node.filter(|node| self.control.removed.contains(node)) {
            return Err(format!(
                "there is no node {node} any more: it was removed from the cluster"
            ));
        }
        let node = node.filter(|node| self.control.membership.contains(*node));
        node.ok_or_else(|| {
            format!("there is no node '{}'; LEASEHOLD NODES lists all", quoted(text))
        })
    }

    fn shard(&self, text: &[u8]) -> Result<ShardId, String> {
        let shard = labelled(text, b's').map(ShardId);
        let shard = shard.filter(|shard| self.placement.generation(*shard).is_some());
        shard.ok_or_else(|| {
            format!("there is no shard '{}'; LEASEHOLD SHARDS lists all", quoted(text))
        })
    }
}

/// Makes all changes, which must fit each other when all are made. After an error the policy is of
/// no use any more: some may have been made.
fn change_policy(policy: &mut Policy, pairs: &[&[u8]]) -> Result<(), String> {
    let mut named: Vec<&[u8]> = Vec::new();
    for pair in pairs.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("'{}' is given no value", quoted(pair[0])));
        };
        if named.contains(name) {
            return Err(format!("'{}' is given twice", quoted(name)));
        }
        named.push(name);
        let number = core::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        let number: f64 = number.ok_or_else(|| {
            format!("'{}' is no number; durations are given in seconds", quoted(value))
        })?;
        let name = String::from_utf8_lossy(name);
        policy.set(&name, number).map_err(|error| error.to_string())?;
    }
    policy.validate().map_err(|error| error.to_string())
}

fn no_shard(shard: ShardId) -> String {
    format!("there is no shard {shard}; LEASEHOLD SHARDS lists all")
}

fn arg<'a>(args: &[&'a [u8]], at: usize) -> &'a [u8] {
    args.get(at).copied().unwrap_or_default()
}

fn on_or_off(word: &[u8]) -> Result<bool, String> {
    match word {
        word if word.eq_ignore_ascii_case(b"on") => Ok(true),
        word if word.eq_ignore_ascii_case(b"off") => Ok(false),
        word => Err(format!("'{}' is neither ON nor OFF", quoted(word))),
    }
}

//! The Lease Manager's place in a node: reports leave it once a second, and while it holds the
//! system shard's lease, its manager decides once a second.

use alloc::string::ToString;
use alloc::vec::Vec;

use placement::{Action, DecisionId, Duty, Outcome};
use resp::CommandId;
use types::{ClusterId, LeaseEpoch, LogIndex, Monotonic, NodeId, Now, SessionId, ShardId, Slot};

use super::Node;
use super::orders::OrderEnd;
use crate::io::{Event, Membership, Message, OrderOutcome};
use crate::manager::control::{self, Control};
use crate::manager::{Known, LeaseManager, REPORT_INTERVAL, ROUND_INTERVAL};
use crate::planted::Planting;
use crate::session::Waiter;
use crate::settings::{SYSTEM_RANGE, SYSTEM_REPLICAS_MIN, system_replicas};
use crate::shard::{Request, Shard, Standing};

/// The slot of the system shard in which the control state lies.
fn control_slot() -> Slot {
    SYSTEM_RANGE.first()
}

/// What a node has to do with the manager.
pub(super) struct Managing {
    pub(super) manager: Option<LeaseManager>,
    /// The control state as this node's replica of the system shard has it.
    control: Option<Control>,
    /// How far that replica was applied when it was read.
    read_at: LogIndex,
    /// There is a state, and this program can't read it.
    unreadable: bool,
    /// The system shard may have changed.
    stirred: bool,
    /// The lease under which the first state was proposed.
    first_proposed: Option<LeaseEpoch>,
    /// Who waits for which state to be committed.
    waiters: Vec<(Control, Waiter, Monotonic)>,
    next_report: Monotonic,
}

impl Managing {
    /// `reports`: whether there may be a manager that waits for this node's reports.
    pub(super) fn new(reports: bool, now: Monotonic) -> Self {
        Self {
            manager: None,
            control: None,
            read_at: LogIndex(0),
            unreadable: false,
            stirred: true,
            first_proposed: None,
            waiters: Vec::new(),
            next_report: if reports { now + REPORT_INTERVAL } else { Monotonic::NEVER },
        }
    }

    /// There is a manager, and whoever does not report to it is dead to it.
    pub(super) fn begin_reporting(&mut self, now: Monotonic) {
        self.next_report = self.next_report.min(now + REPORT_INTERVAL);
    }

    /// The system shard was looked at in this turn.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    pub(super) fn next_deadline(&self) -> Monotonic {
        let round = self.manager.as_ref().map(|manager| manager.next_round);
        self.next_report.min(round.unwrap_or(Monotonic::NEVER))
    }
}

impl Node {
    /// The manager's part of a turn.
    pub(super) fn manage(&mut self, now: Now) {
        if core::mem::take(&mut self.managing.stirred) {
            self.read_control(now);
            if self.world.settings.managed {
                self.begin_or_end_managing(now);
            }
        }
        for request in core::mem::take(&mut self.world.effects.managed) {
            self.serve_managers_client(now, &request);
        }
        if now.monotonic >= self.managing.next_deadline() {
            self.report(now);
            self.run_round(now);
        }
    }

    /// The system shard's replica on this node.
    fn system_shard(&self) -> Option<&Shard> {
        self.shards.get(self.local(ShardId::SYSTEM)?)
    }

    fn system_standing(&mut self, now: Now) -> Option<Standing> {
        let at = self.local(ShardId::SYSTEM)?;
        let found = self.shards.get_mut(at)?;
        Some(found.standing(now.monotonic, &self.world.support))
    }

    /// Takes in what the system shard's log has decided.
    fn read_control(&mut self, now: Now) {
        let Some(found) = self.system_shard() else { return };
        let applied = found.applied_index();
        if applied == self.managing.read_at {
            return;
        }
        let read = found.data().value(control_slot(), control::KEY).map(Control::decode);
        self.managing.read_at = applied;
        let Some(read) = read else { return };
        // Written by a newer version of the program: that one must manage. To take it for absent
        // and begin anew would wipe out what the cluster is.
        let Ok(control) = read else {
            self.managing.unreadable = true;
            return;
        };
        self.managing.unreadable = false;
        let known = self.managing.control.as_ref().map(|known| known.revision);
        if known == Some(control.revision) {
            return;
        }
        // Another manager may have written the state of this number. What was proposed here before
        // a state that is applied is applied, too: one lease, one log.
        let is_ours = self.managing.waiters.iter().any(|(proposed, ..)| *proposed == control);
        let sessions = &mut self.world.sessions;
        self.managing.waiters.retain(|(proposed, waiter, _)| {
            let waits = proposed.revision > control.revision;
            if !waits && is_ours {
                sessions.answer(*waiter, |reply| reply.ok());
            } else if !waits {
                sessions.answer_uncertain(*waiter);
            }
            waits
        });
        self.on_members(now, control.membership.clone());
        if let Some(manager) = &mut self.managing.manager {
            manager.act_on_control(now.monotonic);
        }
        self.managing.control = Some(control);
    }

    fn begin_or_end_managing(&mut self, now: Now) {
        let standing = self.system_standing(now);
        let holds = standing == Some(Standing::Holder) && !self.managing.unreadable;
        let found = self.system_shard();
        let epoch = found.map_or(LeaseEpoch(0), |found| found.lease().epoch);
        let current = self.managing.manager.as_ref().map(|manager| manager.epoch);
        let over = current.is_some_and(|current| !holds || current != epoch);
        // A hand-over waits for all that was proposed before it; so do clients who wait for that.
        let awaited = standing == Some(Standing::Changing) && !self.managing.waiters.is_empty();
        if over && !awaited && (holds || !self.world.settings.breaks(Planting::ManageWithoutLease))
        {
            self.end_managing();
        }
        if !holds || self.managing.manager.is_some() {
            return;
        }
        // A lease that lapses and comes back in the same term may have a state on its way that a
        // former manager proposed. To begin from the one before would write over it.
        if !self.system_shard().is_some_and(Shard::has_applied_all) {
            return;
        }
        let Some(control) = self.managing.control.clone() else {
            return self.propose_first_control(epoch);
        };
        let known = self.routes.iter().filter(|route| !route.replicas.is_empty());
        let known = known.map(|route| Known {
            shard: route.shard,
            range: route.range,
            replicas: route.replicas.clone(),
        });
        let seed = self.frontend.random();
        let manager = LeaseManager::new(now, epoch, control, known, seed);
        self.managing.manager = Some(manager);
        self.world.effects.events.push(Event::ManagerBegun { epoch });
        // Nothing is known of loads before the nodes have reported.
        self.managing.next_report = now.monotonic;
    }

    fn end_managing(&mut self) {
        self.managing.manager = None;
        self.orders.forget_managers();
        for (_, waiter, _) in core::mem::take(&mut self.managing.waiters) {
            self.world.sessions.answer_uncertain(waiter);
        }
        self.world.effects.events.push(Event::ManagerEnded);
    }

    /// The first manager of a cluster writes down what the settings of its founders say.
    fn propose_first_control(&mut self, epoch: LeaseEpoch) {
        if self.managing.first_proposed == Some(epoch) {
            return;
        }
        self.managing.first_proposed = Some(epoch);
        let settings = &self.world.settings;
        let replicas = u32::try_from(settings.replicas).unwrap_or(u32::MAX);
        let policy = placement::Policy { replicas, ..settings.policy.clone() };
        let (shards, members) = (settings.shards, self.world.members().members.clone());
        let cluster = ClusterId(self.frontend.random() | 1);
        let membership = Membership { cluster, version: 1, shards, members };
        let control = Control { revision: 1, membership, policy, ..Control::default() };
        self.put_control(&control);
    }

    fn put_control(&mut self, control: &Control) {
        let bytes = control.encode();
        let nobody = (self.world.settings.node, SessionId(0));
        // Nobody waits for the operation itself: should its entry be lost, it must not be
        // proposed again by another manager, whose state is a newer one.
        if let Some(at) = self.local(ShardId::SYSTEM)
            && let Some(found) = self.shards.get_mut(at)
        {
            let args: [&[u8]; 3] = [b"", control::KEY, &bytes];
            found.propose_single(Waiter::Nobody, nobody, control_slot(), CommandId::Set, &args, 0);
            self.touch(at);
        }
    }

    /// Proposes a new control state, from which the manager goes on. `waiter` is answered when the
    /// system shard has it. A state that says the same as the last one is not written again; it may
    /// be the last one that is still on its way, and then that is waited for.
    pub(crate) fn propose_control(&mut self, now: Now, mut control: Control, waiter: Waiter) {
        let Some(manager) = &mut self.managing.manager else { return };
        let deadline = now.monotonic + self.world.settings.request_time;
        control.revision = manager.control().revision;
        if control == *manager.control() {
            let committed = self.managing.control.as_ref().map(|known| known.revision);
            if committed >= Some(control.revision) {
                return self.world.sessions.answer(waiter, |reply| reply.ok());
            }
            return self.managing.waiters.push((control, waiter, deadline));
        }
        control.revision += 1;
        manager.set_control(now, control.clone());
        self.put_control(&control);
        self.managing.waiters.push((control, waiter, deadline));
    }

    /// Sends the node's report to the active manager.
    fn report(&mut self, now: Now) {
        if now.monotonic < self.managing.next_report {
            return;
        }
        self.managing.next_report = now.monotonic + REPORT_INTERVAL;
        let Some(manager) = self.holder_of(ShardId::SYSTEM) else { return };
        let Some(report) = self.take_report(now) else { return };
        if manager == self.world.settings.node {
            self.on_report(now, manager, report);
        } else {
            self.world.effects.messages.push((manager, Message::Report(report.into())));
        }
    }

    /// A node's report arrives.
    pub(super) fn on_report(&mut self, now: Now, from: NodeId, mut report: placement::Report) {
        if self.world.settings.breaks(Planting::BuryTheLiving) {
            report.hears.clear();
        }
        let Some(manager) = &mut self.managing.manager else { return };
        if report.node != from {
            return;
        }
        if let Err(Some(reason)) = manager.hear(now, report) {
            self.world.effects.events.push(Event::ReportRefused { node: from, reason });
        }
    }

    /// One round of decisions.
    fn run_round(&mut self, now: Now) {
        let Some(due) = self.managing.manager.as_ref().map(|manager| manager.next_round) else {
            return;
        };
        if now.monotonic < due {
            return;
        }
        self.expire_waiters(now);
        if !self.may_manage(now) {
            return self.end_managing_or_wait(now);
        }
        let Some(manager) = &mut self.managing.manager else { return };
        let (decisions, instructions) = manager.decide(now);
        for decision in decisions {
            let text = decision.to_string();
            self.world.effects.events.push(match decision.action {
                Action::Succession { .. } => Event::Arranged(text),
                Action::Lease { .. } | Action::Replica { .. } => Event::Decided(text),
            });
        }
        for instruction in instructions {
            let (decision, shard) = (instruction.decision, instruction.shard);
            self.give_managers_order(now, decision, shard, instruction.to, instruction.order);
        }
        if self.system_standing(now) == Some(Standing::Holder) {
            self.tend_system_shard(now);
            self.let_the_emptied_go(now);
        }
    }

    /// Clients whose change is not committed in time learn that it may yet be.
    fn expire_waiters(&mut self, now: Now) {
        let sessions = &mut self.world.sessions;
        self.managing.waiters.retain(|(_, waiter, deadline)| {
            let late = *deadline <= now.monotonic;
            if late {
                sessions.answer_uncertain(*waiter);
            }
            !late
        });
    }

    /// Whether this node's manager is the active one, at this moment.
    fn may_manage(&mut self, now: Now) -> bool {
        self.world.settings.breaks(Planting::ManageWithoutLease)
            || self.system_standing(now) == Some(Standing::Holder)
    }

    /// The lease is not valid now: it is lost, or about to be renewed.
    fn end_managing_or_wait(&mut self, now: Now) {
        let leads = self.holder_of(ShardId::SYSTEM) == Some(self.world.settings.node);
        if !leads {
            return self.end_managing();
        }
        if let Some(manager) = &mut self.managing.manager {
            manager.next_round = now.monotonic + ROUND_INTERVAL;
        }
    }

    /// This node's manager, if it is the active one.
    pub(crate) fn manager(&self) -> Option<&LeaseManager> {
        self.managing.manager.as_ref()
    }

    /// What became of a decision.
    pub(super) fn on_decision_end(&mut self, now: Now, decision: DecisionId, end: &OrderEnd) {
        let Some(manager) = &mut self.managing.manager else { return };
        let outcome = match end {
            OrderEnd::Done(_) if manager.moves_replica(decision) => return,
            OrderEnd::Done(epoch) => Outcome::Applied { epoch: *epoch },
            OrderEnd::Stale(_) => Outcome::Stale,
            OrderEnd::Failed(_) => Outcome::Failed,
        };
        manager.end(now.monotonic, decision, outcome);
    }

    /// The system shard's replicas and its lease are placed by its holder itself: on members that
    /// stay and answer.
    fn tend_system_shard(&mut self, now: Now) {
        let me = self.world.settings.node;
        let Some(manager) = &self.managing.manager else { return };
        let control = manager.control();
        let patience = control.policy.repair_after;
        let unheard = manager.unheard(now.monotonic);
        let stays = |node: NodeId| {
            let lives = node == me
                || unheard.contains(&node)
                || manager.silence(now.monotonic, node) < patience;
            control.duty(node) != Duty::Leaving && lives
        };
        let best = system_replicas(&control.membership.members, stays);
        let drained = control.duty(me) != Duty::Full;
        let mut fit: Vec<NodeId> =
            control.membership.nodes().filter(|node| control.duty(*node) == Duty::Full).collect();
        if !unheard.is_empty() {
            // Whoever hears more nodes manages better. It is never handed to and fro: each one that
            // has it hears more than the one before.
            let here = manager.hears(now.monotonic, me).len();
            fit.retain(|node| manager.hears(now.monotonic, *node).len() > here);
        }
        let Some(found) = self.system_shard() else { return };
        let goal = next_system_goal(found.goal(), &best, &control.membership, stays);
        let voters = found.voters();
        if let Some(goal) = goal {
            // Refused while its nodes don't take part yet: tried again in the next round.
            let _: OrderOutcome = self.order_replicas(now, ShardId::SYSTEM, &goal);
        }
        if drained || !unheard.is_empty() {
            self.with_shard(now, ShardId::SYSTEM, |found, env| {
                let heirs = voters.into_iter().filter(|heir| fit.contains(heir)).collect();
                found.hand_over_to_any(env, heirs);
            });
        }
    }

    /// Members that were to leave and have nothing left are members no longer.
    fn let_the_emptied_go(&mut self, now: Now) {
        let Some(found) = self.system_shard() else { return };
        let mut system = found.voters();
        system.extend_from_slice(found.goal());
        let Some(manager) = &self.managing.manager else { return };
        let Some(node) = manager.emptied(&system).first().copied() else { return };
        let mut control = manager.control().clone();
        control.remove(node);
        self.propose_control(now, control, Waiter::Nobody);
    }

    /// A client of any node asks something of the manager.
    fn serve_managers_client(&mut self, now: Now, request: &Request) {
        if self.managing.manager.is_none() {
            let text = if self.world.settings.managed {
                "TRYAGAIN the Lease Manager is just beginning; try again in a moment"
            } else {
                "ERR the Lease Manager is switched off by the setting `managed` of the node that \
                 holds the system shard"
            };
            return self.world.sessions.answer_error(request.waiter, text);
        }
        self.answer_managers_client(now, request);
    }
}

/// The next goal of the system shard, if it should be another one: nodes that must go are replaced,
/// all at once, since whoever leads takes the steps one by one.
fn next_system_goal(
    goal: &[NodeId],
    best: &[NodeId],
    members: &Membership,
    stays: impl Fn(NodeId) -> bool,
) -> Option<Vec<NodeId>> {
    let role = |node: NodeId| members.get(node).map(|member| member.role);
    let wanted = best.first().and_then(|node| role(*node))?;
    let keeps = |node: &NodeId| role(*node) == Some(wanted) && stays(*node);
    let mut next: Vec<NodeId> = goal.iter().copied().filter(keeps).collect();
    next.truncate(best.len());
    for node in best {
        if next.len() < best.len() && !next.contains(node) {
            next.push(*node);
        }
    }
    // One copy of three that is away is better than one that nobody has any more.
    let too_few = next.len() < goal.len().min(SYSTEM_REPLICAS_MIN);
    (next != goal && !too_few).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Member, Role};

    fn nodes(numbers: &[u32]) -> Vec<NodeId> {
        numbers.iter().copied().map(NodeId).collect()
    }

    fn next(goal: &[u32], data: &[u32], managers: &[u32], gone: &[u32]) -> Option<Vec<NodeId>> {
        let member =
            |role| move |node: &u32| Member { role, ..Member::new(NodeId(*node), "h", 1, 2) };
        let data = data.iter().map(member(Role::Data));
        let mut members: Vec<Member> =
            data.chain(managers.iter().map(member(Role::Manager))).collect();
        members.sort_by_key(|member| member.node);
        let stays = |node: NodeId| !gone.contains(&node.0);
        let best = system_replicas(&members, stays);
        next_system_goal(&nodes(goal), &best, &Membership::of_settings(&members, 1), stays)
    }

    #[test]
    fn the_system_shard_stays_where_it_is_well() {
        assert_eq!(next(&[1, 2, 3], &[1, 2, 3, 4], &[], &[]), None);
        assert_eq!(next(&[2, 3, 4], &[1, 2, 3, 4], &[], &[]), None);
    }

    #[test]
    fn nodes_that_go_are_replaced() {
        assert_eq!(next(&[1, 2, 3], &[1, 2, 3, 4], &[], &[2]), Some(nodes(&[1, 3, 4])));
        assert_eq!(next(&[1, 2, 3], &[1, 2, 3], &[], &[2]), None, "it may come back");
    }

    #[test]
    fn it_grows_to_five_with_the_cluster() {
        let five = [1, 2, 3, 4, 5];
        assert_eq!(next(&[1, 2, 3], &five, &[], &[]), Some(nodes(&five)));
    }

    #[test]
    fn it_moves_to_dedicated_managers() {
        assert_eq!(next(&[1, 2, 3], &[1, 2, 3], &[7, 8, 9], &[]), Some(nodes(&[7, 8, 9])));
        assert_eq!(next(&[1, 2, 3], &[1, 2, 3], &[7], &[]), None, "one alone is no place");
        let back = Some(nodes(&[1, 2, 3]));
        assert_eq!(next(&[7, 8, 9], &[1, 2, 3], &[7, 8, 9], &[8]), back, "two are too few");
    }
}

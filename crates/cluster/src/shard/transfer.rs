//! Handing a lease over: the client notices a few milliseconds.
//!
//! 1. The holder checks the target, stops admitting, and parks what arrives.
//! 2. When everything admitted is applied and the target has all of the log, it gives the lease up
//!    for the rest of the term, for good (rules R19 and R21): whatever becomes of the transfer, it
//!    must win a new term. If that takes too long it goes on as if nothing had been. So the target
//!    may lack what is on its way to it when the transfer begins (see `lag`), however much that is.
//! 3. Only then does it tell the target to campaign. The target's requests for votes carry a mark
//!    by which fortified followers let that one election pass.
//! 4. When the new holder is known, parked requests go there.
//!
//! A target that does not take over in time: the old holder stands for election itself. A node
//! that stops asks the next heir instead, in the same term. Two targets may then campaign in the
//! next term; each voter has one vote there, and the old lease is over for either.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use types::{LogIndex, Monotonic, NodeId, ShardId, Term};

use super::{Env, Shard};
use crate::entry;
use crate::io::{Event, Order, OrderOutcome};
use crate::node::is_slower_there;
use crate::planted::Planting;

/// For so long after a hand-over to a replica has failed, others are preferred.
const HEIR_BACK_OFF: Duration = Duration::from_secs(60);

/// For so long it isn't tried again even if there is no other: clients wait during each attempt.
const HEIR_REST: Duration = Duration::from_secs(1);

/// A lease on its way.
pub(super) struct Transfer {
    pub(super) target: NodeId,
    deadline: Monotonic,
    given_up: bool,
}

impl Transfer {
    pub(super) fn has_given_up(&self) -> bool {
        self.given_up
    }
}

fn not_the_holder(me: NodeId, id: ShardId) -> String {
    alloc::format!("node {me} does not hold the lease of shard {id} at the moment; try again")
}

impl Shard {
    /// Does what was ordered, if it is about this shard as it is (rule R28).
    pub(crate) fn obey(&mut self, env: &mut Env<'_>, order: &Order) -> OrderOutcome {
        let current = self.lease.epoch;
        let about = match order {
            Order::Transfer { epoch, .. } => *epoch,
            Order::Campaign { epoch } | Order::Succession { epoch, .. } => Some(*epoch),
            Order::Replicas { goal, generation, dead } => {
                if let Some(node) = dead.filter(|node| self.knows_alive(env, *node)) {
                    let id = self.id;
                    return OrderOutcome::Refused(alloc::format!(
                        "node {node} is no dead replica of shard {id}: its holder hears it, and it \
                         has the log"
                    ));
                }
                return self.order_replicas(env, goal, Some(*generation));
            }
        };
        if let Some(asked) = about.filter(|asked| *asked != current) {
            let id = self.id;
            return OrderOutcome::Stale(alloc::format!(
                "the order is about lease {asked} of shard {id}, which is at {current}: look at \
                 the shard again"
            ));
        }
        let result = match order {
            Order::Transfer { target, .. } => self
                .judge_last(env.now.monotonic, *target)
                .and_then(|()| self.judge_disk(env, *target))
                .and_then(|()| self.begin_transfer(env, *target)),
            Order::Campaign { .. } => self.campaign_by_order(env),
            Order::Succession { heirs, .. } => self.order_succession(env, heirs),
            Order::Replicas { .. } => Ok(()),
        };
        result.map_or_else(OrderOutcome::Refused, |()| OrderOutcome::Begun)
    }

    /// Writes a new order of heirs into the log.
    fn order_succession(&mut self, env: &Env<'_>, heirs: &[NodeId]) -> Result<(), String> {
        let id = self.id;
        if !self.is_serving(env) {
            return Err(not_the_holder(self.me, id));
        }
        let mut known = self.voters();
        known.retain(|voter| *voter != self.me);
        let mut named = heirs.to_vec();
        named.sort_unstable();
        if named != known {
            return Err(alloc::format!("the heirs of shard {id} are {known:?}, in some order"));
        }
        // The holder stands first: should it be back before anybody else leads, it goes on.
        let order: Vec<NodeId> = core::iter::once(self.me).chain(heirs.iter().copied()).collect();
        if order == self.lease.succession {
            return Ok(());
        }
        self.propose_entry(env, entry::encode_succession(&order))?;
        Ok(())
    }

    /// Proposes an entry that no client waits for.
    pub(super) fn propose_entry(
        &mut self,
        env: &Env<'_>,
        entry: Vec<u8>,
    ) -> Result<(LogIndex, Term), String> {
        let id = self.id;
        let place = self.group.propose(entry).ok_or_else(|| {
            alloc::format!("the log of shard {id} takes no entries at the moment; try again")
        })?;
        self.unsettle(env);
        Ok(place)
    }

    /// Stands for election because the manager finds no holder. Nothing but the moment is new: a
    /// replica that has promised itself to a leader does not stand, whoever asks.
    fn campaign_by_order(&mut self, env: &mut Env<'_>) -> Result<(), String> {
        let id = self.id;
        if self.known_holder().is_some_and(|holder| {
            holder == self.me || env.support.is_alive(env.now.monotonic, holder)
        }) {
            return Err(alloc::format!("shard {id} has a holder that is alive"));
        }
        if !self.group.is_voter() {
            return Err(alloc::format!("this replica of shard {id} has no vote"));
        }
        self.campaign_at = self.campaign_at.min(env.now.monotonic);
        Ok(())
    }

    /// Begins a transfer.
    ///
    /// # Errors
    /// Why it can't be; nothing has changed then.
    pub(crate) fn begin_transfer(
        &mut self,
        env: &mut Env<'_>,
        target: NodeId,
    ) -> Result<(), String> {
        self.verify_transfer(env, target)?;
        if target == self.me {
            return Ok(());
        }
        // What is in flight here waits for the own disk, at worst behind another sync; the target
        // must get the end of the log, and then ask for votes.
        let line = env.support.round_trip(target).unwrap_or_default();
        let patience = env.settings.transfer_time + env.support.own_sync() * 3 + line * 2;
        let deadline = env.now.monotonic + patience;
        self.transfer = Some(Transfer { target, deadline, given_up: false });
        // New requests must be parked from here on, though the lease itself still stands until
        // it is given up; requests in flight finish under it.
        self.recheck_lease();
        env.effects.events.push(Event::TransferBegun { shard: self.id, target });
        Ok(())
    }

    /// Checks a transfer against the shard as it is (rules R20 and R24).
    fn verify_transfer(&mut self, env: &Env<'_>, target: NodeId) -> Result<(), String> {
        let id = self.id;
        if self.transfer.is_some() {
            return Err(alloc::format!("the lease of shard {id} is already being moved"));
        }
        if !self.is_serving(env) {
            return Err(not_the_holder(self.me, id));
        }
        if target == self.me {
            return Ok(());
        }
        self.judge_heir(env, target)
    }

    /// Whether a lease that an order moves would come back for the disk's sake.
    fn judge_disk(&self, env: &Env<'_>, target: NodeId) -> Result<(), String> {
        if !is_slower_there(env.support, target) {
            return Ok(());
        }
        Err(alloc::format!(
            "the disk of node {target} takes {} ms for a sync, that of node {} {} ms",
            env.support.sync_at(target).as_millis(),
            self.me,
            env.support.own_sync().as_millis()
        ))
    }

    /// Whether a replica can take the lease now.
    fn judge_heir(&self, env: &Env<'_>, target: NodeId) -> Result<(), String> {
        let id = self.id;
        if !self.group.replicas().is_lasting_voter(target) {
            return Err(alloc::format!(
                "node {target} has no voting replica of shard {id}; its voters are {:?}",
                self.voters()
            ));
        }
        if self.group.change_pending() {
            return Err(alloc::format!(
                "the replicas of shard {id} are being changed; try again when that is done"
            ));
        }
        let answers = env.support.is_alive(env.now.monotonic, target);
        if !answers || !env.support.is_reachable(target) {
            return Err(alloc::format!("node {target} does not answer its peers"));
        }
        if env.support.is_stopping(target) {
            return Err(alloc::format!("node {target} is being stopped"));
        }
        if self.admission.rooms.is_full(target) && !self.admission.rooms.is_full(self.me) {
            return Err(alloc::format!(
                "the disk of node {target} is nearly full: as the holder it could take no writes"
            ));
        }
        if env.support.has_just_started(env.now.monotonic, target) {
            return Err(alloc::format!(
                "node {target} has just started, and may not lead before promises of its \
                 former life are over; try again in a second"
            ));
        }
        if !self.is_caught_up(target, env.now.monotonic, env.support) {
            let behind = self.lag(target, env.now.monotonic, env.support).entries;
            return Err(alloc::format!(
                "node {target} has not caught up with shard {id} (it is {behind} entries \
                 behind); try again later"
            ));
        }
        Ok(())
    }

    /// Moves a transfer on.
    pub(super) fn advance_transfer(&mut self, env: &mut Env<'_>) {
        let idle = self.batch.is_empty()
            && self.pending.is_empty()
            && self.held.is_empty()
            && !self.steps.has_admitted()
            && self.steps.parting.is_idle();
        let Some(target) = self.transfer.as_ref().map(|transfer| transfer.target) else { return };
        let ready = self.has_everything(target) || self.planted.contains(Planting::GiveUpEarly);
        let Some(transfer) = &mut self.transfer else { return };
        if !self.group.is_leader() {
            self.transfer = None;
            return;
        }
        if transfer.deadline <= env.now.monotonic {
            return self.fail_transfer(env);
        }
        if transfer.given_up || !idle || !ready {
            return;
        }
        transfer.given_up = true;
        let term = self.group.term();
        self.given_up = term;
        self.recheck_lease();
        env.effects.events.push(Event::LeaseGivenUp { shard: self.id, term });
        self.group.transfer(target);
    }

    /// The target did not take over in time.
    fn fail_transfer(&mut self, env: &mut Env<'_>) {
        let Some(transfer) = self.transfer.take() else { return };
        self.note_failure(env, transfer.target);
        if env.settings.breaks(Planting::ResumeAfterTransfer) {
            self.given_up = Term(0);
            self.group.abort_transfer();
        } else if transfer.given_up {
            // The lease of this term is gone for good. Whoever wins the next one holds the next
            // lease; this replica is as good a candidate as any.
            self.group.step_down();
            self.campaign_at = env.now.monotonic;
        }
    }

    fn note_failure(&mut self, env: &mut Env<'_>, target: NodeId) {
        let now = env.now.monotonic;
        self.failed_heirs.retain(|(heir, at)| *heir != target && now.since(*at) < HEIR_BACK_OFF);
        self.failed_heirs.push((target, now));
        env.effects.events.push(Event::TransferFailed { shard: self.id, target });
    }

    pub(super) fn transfer_deadline(&self) -> Monotonic {
        self.transfer.as_ref().map_or(Monotonic::NEVER, |transfer| transfer.deadline)
    }

    /// Hands the lease to the first of these that can take it, see [`Shard::by_hope`]. Says whether
    /// a hand-over has begun.
    pub(crate) fn hand_over_to_any(&mut self, env: &mut Env<'_>, heirs: Vec<NodeId>) -> bool {
        let heirs = self.by_hope(env, heirs);
        heirs.into_iter().any(|heir| self.begin_transfer(env, heir).is_ok())
    }

    /// These heirs, those to which a hand-over failed a while ago last, without those to which one
    /// failed just now: whatever it is that such a replica lacks, nothing here shows it.
    fn by_hope(&self, env: &Env<'_>, mut heirs: Vec<NodeId>) -> Vec<NodeId> {
        let now = env.now.monotonic;
        let failure = |heir: &NodeId| {
            let failed = self.failed_heirs.iter().find(|(node, _)| node == heir);
            failed.map(|(_, at)| *at).filter(|at| now.since(*at) < HEIR_BACK_OFF)
        };
        let rests = |heir: &NodeId| failure(heir).is_some_and(|at| now.since(at) < HEIR_REST);
        heirs.retain(|heir| *heir != self.me && !rests(heir));
        heirs.sort_by_key(failure);
        heirs
    }

    /// Hands the lease to any fit replica, because the node stops. Says whether there is still
    /// something to wait for.
    pub(crate) fn hand_over(&mut self, env: &mut Env<'_>) -> bool {
        if !self.group.is_leader() {
            // A node that stops does not campaign. After a transfer that failed it waits until
            // somebody leads: winning a lease only to die with it would help nobody.
            self.campaign_at = Monotonic::NEVER;
            let is_open = self.given_up == self.group.term() && self.group.leader().is_none();
            return is_open && self.has_other_that_stays(env);
        }
        if self.transfer.is_some() {
            self.pass_on(env);
            return true;
        }
        let heirs = self.heirs();
        self.hand_over_to_any(env, heirs) || self.has_other_that_stays(env) && self.is_serving(env)
    }

    /// Whether another voter is not about to end.
    fn has_other_that_stays(&self, env: &Env<'_>) -> bool {
        let stays = |voter: &NodeId| *voter != self.me && !env.support.is_stopping(*voter);
        self.voters().iter().any(stays)
    }

    /// All that could take the lease over, the preferred first.
    pub(super) fn heirs(&self) -> Vec<NodeId> {
        self.lease.succession.iter().copied().chain(self.voters()).collect()
    }

    /// A node that stops offers a lease that was not taken in time to the next heir, in the same
    /// term: it is given up for good, and to win the next one only to hand it over would take
    /// longer. If there is no other heir, all are free to stand for election: those that have
    /// promised themselves to this leader would else wait for the node's end.
    fn pass_on(&mut self, env: &mut Env<'_>) {
        let now = env.now.monotonic;
        let is_late = |it: &mut Transfer| it.given_up && it.deadline <= now;
        let Some(late) = self.transfer.take_if(is_late) else { return };
        self.note_failure(env, late.target);
        let heirs = self.by_hope(env, self.heirs());
        let next = heirs.into_iter().find(|heir| self.judge_heir(env, *heir).is_ok());
        if let Some(target) = next {
            let deadline = now + env.settings.transfer_time;
            self.transfer = Some(Transfer { target, deadline, given_up: true });
            env.effects.events.push(Event::TransferBegun { shard: self.id, target });
            return self.group.transfer(target);
        }
        self.follow(env);
    }
}

//! A hand-over that is disturbed at each of its steps in turn.
//!
//! The same small cluster is run again and again: a lease moves, or a replica does, and just before
//! the n-th thing that happens on the way somebody dies. Whoever it is, and at whichever step: what
//! was acknowledged is there afterwards, one node holds the shard, and a goal that was decided is
//! reached. Nothing is left to chance, so a run without a death tells how many steps there are.

use cluster::{OrderOutcome, Settings};
use types::{NodeId, ShardId};

use crate::checks::Violation;
use crate::machine::DiskProfile;
use crate::network::NetworkProfile;
use crate::operators::holder_of;
use crate::plan::members;
use crate::trace::TraceMode;
use crate::world::{
    ConnectionId, Event, Happening, MILLISECOND, MachineProfile, SECOND, World, node_id,
};

const NODES: usize = 4;
/// The one shard with data: on n1, n2 and n3, held by n1.
const SHARD: ShardId = ShardId(1);
/// How long the dead stay dead: longer than their promises are good for.
const DEAD: u64 = 2 * SECOND;
/// By when all must be well again.
const WELL: u64 = 15 * SECOND;
/// How often all replicas are looked at.
const LOOK: u64 = 10 * MILLISECOND;

/// What moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// The lease, from n1 to n2.
    Lease,
    /// A replica, from n3 to n4.
    Replica,
    /// The holder's replica, from n1 to n4, and so the lease too.
    Holder,
}

/// Who dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Victim {
    /// Who held the shard when the move began.
    OldHolder,
    /// Where the lease or the replica goes.
    Target,
    /// The holder of the system shard.
    Manager,
}

/// What became of one run.
#[derive(Debug)]
pub struct Handover {
    /// Messages that arrived, commits and turns between the beginning and the end.
    pub steps: u64,
    /// What is wrong.
    pub wrong: Option<String>,
}

struct Stage {
    world: World,
    what: Move,
    client: Option<ConnectionId>,
    home: usize,
    /// Increments that were sent, and that were acknowledged.
    sent: u64,
    acknowledged: u64,
    /// What a final read showed.
    read: Option<Vec<u8>>,
    reads: bool,
    operator: Option<ConnectionId>,
    /// A holder has the new goal in its log.
    decided: bool,
    /// Whether all was well at the last look.
    done: bool,
}

/// Runs a move; before its step of this number the victim dies.
#[must_use]
pub fn disturb(what: Move, death: Option<(Victim, u64)>) -> Handover {
    let mut stage = Stage::begin(what);
    let victim = death.map(|(victim, _)| stage.find(victim));
    let began = stage.world.now();
    stage.order();
    let (mut steps, mut dead_since) = (0, None);
    stage.done = false;
    while !stage.done && stage.world.now() < began + WELL {
        if stage.world.next_is_step() {
            if let (Some(node), None) = (victim, dead_since)
                && death.is_some_and(|(_, at)| at == steps)
            {
                dead_since = Some(stage.world.now());
                stage.world.kill(node, true);
                stage.world.schedule(stage.world.now() + DEAD, Event::Start { node });
            }
            steps += 1;
        }
        stage.step();
    }
    if let Some(since) = dead_since {
        // Whoever died is back, too.
        stage.until(since + DEAD + SECOND, |_| false);
    }
    let now = stage.world.now();
    stage.until(now + WELL, |stage| stage.done);
    Handover { steps, wrong: stage.judge() }
}

impl Stage {
    fn begin(what: Move) -> Self {
        let mut base = Settings::new(NodeId(1), members(NODES));
        base.shards = 1;
        base.redirect = cluster::Redirect::Never;
        // What moves is told by the test alone.
        base.policy.repair_after = core::time::Duration::from_secs(300);
        let profile = |at: usize| MachineProfile {
            settings: Settings { node: node_id(at), ..base.clone() },
            clock_offset: (at as u64 + 1) * 1000 * SECOND,
            clock_rate: 0,
            disk: DiskProfile { delay: MILLISECOND, jitter: 0, slow_permille: 0 },
        };
        let network = NetworkProfile {
            delay: 200_000,
            jitter: 0,
            slow_permille: 0,
            loss_permille: 0,
            duplicate_permille: 0,
            ordered: true,
        };
        let profiles = (0..NODES).map(profile).collect();
        let mut world = World::new(1, profiles, network, TraceMode::Hash);
        for node in 0..NODES {
            world.schedule(0, Event::Start { node });
        }
        let mut stage = Self {
            world,
            what,
            client: None,
            home: 1,
            sent: 0,
            acknowledged: 0,
            read: None,
            reads: false,
            operator: None,
            decided: false,
            done: false,
        };
        stage.until(5 * SECOND, |stage| {
            holder_of(&mut stage.world, SHARD) == Some(0)
                && holder_of(&mut stage.world, ShardId::SYSTEM).is_some()
        });
        let soon = stage.world.now() + 200 * MILLISECOND;
        stage.until(soon, |_| false);
        stage.ask(&["LEASEHOLD", "FREEZE", "ON"], 0);
        let soon = stage.world.now() + 100 * MILLISECOND;
        stage.until(soon, |_| false);
        stage
    }

    fn find(&mut self, victim: Victim) -> usize {
        match (victim, self.what) {
            (Victim::OldHolder, _) => 0,
            (Victim::Target, Move::Lease) => 1,
            (Victim::Target, Move::Replica | Move::Holder) => 3,
            (Victim::Manager, _) => holder_of(&mut self.world, ShardId::SYSTEM).unwrap_or(0),
        }
    }

    fn goal(&self) -> &'static [NodeId] {
        match self.what {
            Move::Lease => &[NodeId(1), NodeId(2), NodeId(3)],
            Move::Replica => &[NodeId(1), NodeId(2), NodeId(4)],
            Move::Holder => &[NodeId(2), NodeId(3), NodeId(4)],
        }
    }

    fn order(&mut self) {
        if self.what == Move::Lease {
            return self.ask(&["LEASEHOLD", "TRANSFER", "1", "2"], 2);
        }
        let outcome = self.world.order_replicas(0, SHARD, self.goal());
        assert_eq!(outcome, Some(OrderOutcome::Begun), "nothing is in the way");
    }

    fn ask(&mut self, words: &[&str], at: usize) {
        let operator = self.world.connect(at);
        self.world.send(operator, words.iter().map(|word| word.as_bytes().to_vec()).collect());
        self.operator = Some(operator);
    }

    /// The client goes on: one increment after the other, in the end a read.
    fn act(&mut self) {
        let client = *self.client.get_or_insert_with(|| self.world.connect(self.home));
        let words: &[&[u8]] = if self.reads { &[b"GET", b"k"] } else { &[b"INCR", b"k"] };
        self.sent += u64::from(!self.reads);
        self.world.send(client, words.iter().map(|word| word.to_vec()).collect());
    }

    fn step(&mut self) {
        if self.client.is_none() && self.read.is_none() {
            self.act();
        }
        let before = self.world.now();
        let happening = self.world.step();
        if self.world.now() / LOOK > before / LOOK {
            self.world.inspect(&[]);
            self.done = self.is_done();
        }
        match happening {
            Happening::Reply(connection, bytes) if Some(connection) == self.client => {
                if bytes.starts_with(b":") {
                    self.acknowledged += 1;
                } else if bytes.starts_with(b"$") {
                    self.read = Some(bytes);
                    return;
                }
                // A breath between two requests, as their number is not what this is about.
                let due = self.world.now() + 2 * MILLISECOND;
                self.world.set_timer(due, 1);
            }
            Happening::Closed(connection) if Some(connection) == self.client => {
                self.client = None;
                self.home = (self.home + 1) % NODES;
            }
            Happening::Timer(_) if self.client.is_some() => self.act(),
            Happening::Reply(..)
            | Happening::Closed(_)
            | Happening::Timer(_)
            | Happening::Nothing => {}
        }
    }

    fn until(&mut self, end: u64, done: impl Fn(&mut Self) -> bool) {
        while self.world.next_time() <= end && !done(self) {
            self.step();
        }
    }

    /// Whether the move has come to its end: the lease or the replicas are where they should be.
    /// A transfer may also have failed, and the lease be at home again or with an heir.
    fn is_done(&mut self) -> bool {
        let Some(holder) = holder_of(&mut self.world, SHARD) else { return false };
        let views = self.world.replicas(holder).unwrap_or_default();
        let Some(view) = views.into_iter().find(|view| view.shard == SHARD) else { return false };
        let moved = self.what != Move::Lease || view.epoch.0 > 1;
        let mut goal = view.goal.clone();
        goal.sort_unstable();
        self.decided |= goal == self.goal();
        moved && goal == self.goal() && view.voters == goal && view.learners.is_empty()
    }

    /// Reads what the client wrote, and says what is not as it should be.
    fn judge(mut self) -> Option<String> {
        let (now, what) = (self.world.now(), self.what);
        // What its giver did not live to begin has not happened.
        if !self.is_done() && self.decided && what != Move::Lease {
            return Some(format!("{what:?} does not come to an end"));
        }
        if holder_of(&mut self.world, SHARD).is_none() {
            return Some(String::from("nobody holds the shard"));
        }
        self.reads = true;
        self.until(now + WELL, |stage| stage.read.is_some());
        self.world.inspect(&types::SlotRange::ALL.iter().collect::<Vec<_>>());
        let text = self.read.take().unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let value = text.lines().nth(1).and_then(|line| line.parse::<u64>().ok());
        let value = value.unwrap_or_default();
        if value < self.acknowledged || value > self.sent {
            let (sent, acknowledged) = (self.sent, self.acknowledged);
            return Some(format!("{value} of {sent} sent, {acknowledged} acknowledged"));
        }
        self.world.violation().map(Violation::to_string)
    }
}

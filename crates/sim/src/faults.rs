//! What breaks, and how it is put right again.
//!
//! The fault model is what the design promises to bear: processes and machines that die, alone or
//! all at once; pauses; disks that stall, fail, and lose what was not synced; a network that does
//! what it likes; clocks that drift within the bound and wall clocks that jump. A virtual machine
//! that is stopped is so for longer than the gap that the nodes notice (setting `clock_gap`), and
//! its wall clock is right again when it goes on. A shorter stop is not among the faults: nothing
//! inside such a machine can tell that time has passed.

use types::ShardId;

use crate::membership;
use crate::operators::{Operators, holder_of};
use crate::plan::Plan;
use crate::random::Random;
use crate::world::{ConnectionId, Event, MILLISECOND, SECOND, World};

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A process is killed.
    Kill,
    /// A machine loses power.
    PowerLoss,
    /// All machines lose power at once.
    TotalPowerLoss,
    /// A process is stopped for a while.
    Pause,
    /// A virtual machine is stopped for a while.
    Suspend,
    /// A clock changes its rate.
    Drift,
    /// A wall clock jumps.
    WallJump,
    /// One node is cut off from all others.
    Isolate,
    /// The nodes fall into two groups.
    Split,
    /// One direction between two nodes is blocked.
    OneWay,
    /// A connection breaks.
    Reset,
    /// A disk does not answer for a while.
    DiskStall,
    /// A disk has no room but for a little, for a while.
    DiskFull,
    /// A sync fails.
    DiskFailure,
    /// A machine loses its disk with all that is on it, and comes back with an empty one.
    DiskLost,
    /// A copy of a machine's disk, taken while it runs or not, is put back some time later.
    DiskCopiedBack,
    /// The network is bad for a while.
    Storm,
    /// An operator moves a lease.
    Transfer,
    /// An operator moves a lease to a node that the holder can't hear any more.
    TransferCutOff,
    /// A process is told to end, and started again.
    GracefulStop,
    /// An operator changes the replicas of a shard.
    ReplicaChange,
    /// The same, and at one of its steps the nodes fall into two groups.
    ChangeCutOff,
    /// A machine dies and does not come back before the end.
    Loss,
    /// An operator drains a node.
    Drain,
    /// An operator ends a drain.
    Undrain,
    /// An operator pins a shard to a node.
    Pin,
    /// An operator ends a pin.
    Unpin,
    /// An operator freezes the leases' places, or ends that.
    Freeze,
    /// A machine that was not among the first members joins.
    Join,
    /// A member goes for good.
    RemoveNode,
    /// The manager is cut off. Some nodes manage on although they hold nothing.
    DoubleManager,
}

/// All kinds.
pub(crate) const FAULTS: [Fault; 32] = [
    Fault::Kill,
    Fault::PowerLoss,
    Fault::TotalPowerLoss,
    Fault::Pause,
    Fault::Suspend,
    Fault::Drift,
    Fault::WallJump,
    Fault::Isolate,
    Fault::Split,
    Fault::OneWay,
    Fault::Reset,
    Fault::DiskStall,
    Fault::DiskFailure,
    Fault::DiskLost,
    Fault::Storm,
    // Twice, for it is what the project is about.
    Fault::Transfer,
    Fault::Transfer,
    Fault::TransferCutOff,
    Fault::GracefulStop,
    // Twice, for a replica's way from learner to voter to leaver has many steps.
    Fault::ReplicaChange,
    Fault::ReplicaChange,
    Fault::Loss,
    Fault::Drain,
    Fault::Undrain,
    Fault::Pin,
    Fault::Unpin,
    Fault::Freeze,
    Fault::Join,
    Fault::RemoveNode,
    Fault::DoubleManager,
    // Twice, for a manager's orders are what most of the others change.
    Fault::DoubleManager,
    Fault::DiskCopiedBack,
];

/// Kinds that came later. Whether a run has them is decided apart, so that all others are what
/// they were.
pub(crate) const LATER_FAULTS: [Fault; 2] = [Fault::DiskFull, Fault::ChangeCutOff];

/// Puts something right.
#[derive(Clone, Debug)]
enum Cure {
    /// The process of this life goes on.
    Resume(usize, u64),
    Open(Vec<(usize, usize)>),
    Calm,
    /// The disk has room again.
    Room(usize),
    /// The nodes fall into two groups.
    Split,
    /// Nothing breaks for a while, so that all have heard of each other; then this machine's copy
    /// is put back.
    BeQuiet(usize),
    PutBack(usize),
}

/// Breaks things during a run.
pub(crate) struct Injector {
    faults: Vec<Fault>,
    interval: u64,
    restart_max: u64,
    random: Random,
    cures: Vec<Option<Cure>>,
    /// Whether dead machines have been scheduled to start again.
    restarting: Vec<bool>,
    calm: crate::network::NetworkProfile,
    pub(crate) operators: Operators,
    /// Connections on which a lease's move was asked for.
    orders: Vec<ConnectionId>,
    /// The machine that does not come back.
    lost: Option<usize>,
    shards: u64,
    /// So many machines found the cluster.
    founders: usize,
    /// No disk may be lost any more, or none at all.
    disk_lost: bool,
    /// Until then nothing breaks.
    quiet_until: u64,
    /// Whether the policy is one under which a drained node is empty soon.
    keeps_drain: bool,
    over: bool,
    /// How many faults there were.
    pub(crate) count: u64,
    /// How many of each kind.
    pub(crate) struck: Vec<(Fault, u64)>,
}

/// How long nothing breaks before and after a copy of a disk is put back: longer than it takes to
/// hear from each other, and to write down what was heard.
const QUIET_TIME: u64 = 2 * SECOND;

/// Kinds of timers, in the highest byte of their tokens.
pub(crate) const STRIKE: u64 = 8;
const CURE: u64 = 9;
pub(crate) const SUPERVISE: u64 = 10;

impl Injector {
    pub(crate) fn new(plan: &Plan, world: &World, mut random: Random) -> Self {
        let founders = plan.settings.len() - plan.spares;
        Self {
            faults: plan.faults.clone(),
            interval: plan.fault_interval,
            restart_max: plan.restart_max,
            cures: Vec::new(),
            restarting: vec![false; world.len()],
            calm: world.network.profile.clone(),
            operators: Operators::new(plan, random.split()),
            orders: Vec::new(),
            lost: None,
            shards: u64::from(plan.settings[0].shards),
            founders,
            // The shards have no more replicas than there are founders before the others take part.
            disk_lost: founders <= 2,
            keeps_drain: plan.settings[0].policy.cool_down.is_zero(),
            quiet_until: 0,
            over: false,
            count: 0,
            struck: Vec::new(),
            random,
        }
    }

    pub(crate) fn start(&mut self, world: &mut World) {
        self.next_strike(world);
        world.set_timer(world.now() + 50 * MILLISECOND, SUPERVISE << 56);
    }

    fn next_strike(&mut self, world: &mut World) {
        if !self.faults.is_empty() {
            let wait = self.random.between(self.interval / 10, self.interval * 2);
            world.set_timer(world.now() + wait, STRIKE << 56);
        }
    }

    pub(crate) fn on_timer(&mut self, world: &mut World, token: u64) {
        match token >> 56 {
            STRIKE if !self.over && world.now() < self.quiet_until => self.next_strike(world),
            STRIKE if !self.over => {
                let fault = self.random.pick(&self.faults);
                self.count += 1;
                match self.struck.iter_mut().find(|(known, _)| *known == fault) {
                    Some((_, count)) => *count += 1,
                    None => self.struck.push((fault, 1)),
                }
                self.strike(world, fault);
                self.next_strike(world);
            }
            CURE => {
                let at = (token & 0xffff_ffff) as usize;
                if let Some(cure) = self.cures.get_mut(at).and_then(Option::take) {
                    self.cure(world, cure);
                }
            }
            SUPERVISE => self.supervise(world),
            _ => {}
        }
    }

    /// Whether the connection is an operator's: whatever it is told is of no interest.
    pub(crate) fn owns(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        reply: Option<&[u8]>,
    ) -> bool {
        let Some(at) = self.orders.iter().position(|it| *it == connection) else {
            return self.operators.owns(world, connection, reply);
        };
        self.orders.swap_remove(at);
        world.disconnect(connection);
        true
    }

    /// Starts dead machines again.
    fn supervise(&mut self, world: &mut World) {
        for node in 0..world.len() {
            let away = !self.operators.wants_running(node) || self.lost == Some(node);
            let dead = world.machines[node].process.is_none() && !away;
            if !dead {
                self.restarting[node] = false;
            } else if !self.restarting[node] {
                self.restarting[node] = true;
                let longest = if self.over { 100 * MILLISECOND } else { self.restart_max };
                let wait = self.random.skewed(10 * MILLISECOND, longest);
                world.schedule(world.now() + wait, Event::Start { node });
            }
        }
        self.operators.insist(world);
        self.operators.switch_off(world);
        world.set_timer(world.now() + 50 * MILLISECOND, SUPERVISE << 56);
    }

    fn strike(&mut self, world: &mut World, fault: Fault) {
        let node = self.random.index(world.len());
        let other = (node + 1 + self.random.index((world.len() - 1).max(1))) % world.len();
        world.trace.mix(fault as u64);
        world.note(format_args!("--- {fault:?}"));
        if world.machines[node].asleep && matches!(fault, Fault::WallJump | Fault::Drift) {
            // Who sets the clock of a machine that is stopped hides from it that it was.
            return;
        }
        match fault {
            Fault::Kill => world.kill(node, false),
            Fault::PowerLoss => world.kill(node, true),
            Fault::TotalPowerLoss => (0..world.len()).for_each(|node| world.kill(node, true)),
            Fault::Pause => self.pause(world, node, false),
            Fault::Suspend => self.pause(world, node, true),
            Fault::Drift => {
                let rate = self.random.between(0, 48_000) as i64 - 24_000;
                let now = world.now();
                world.machines[node].clock.set_rate(now, rate);
                world.set_wake(node);
            }
            Fault::WallJump => {
                let millis = self.random.skewed(1, 60_000) as i64;
                let sign = self.random.pick(&[-1, 1]);
                let now = world.now();
                world.machines[node].clock.jump_wall(now, sign * millis * MILLISECOND as i64);
            }
            Fault::Isolate => self.isolate(world, node),
            Fault::Split => self.split(world),
            Fault::OneWay if node != other => self.block(world, vec![(node, other)]),
            Fault::Reset if node != other => world.reset(node, other),
            Fault::OneWay | Fault::Reset => {}
            Fault::DiskStall => {
                let until = world.now() + self.random.skewed(20 * MILLISECOND, 5 * SECOND);
                let machine = &mut world.machines[node];
                machine.stalled_until = machine.stalled_until.max(until);
            }
            // A new directory can't begin without room; one that is in use must go on.
            Fault::DiskFull if world.machines[node].process.is_none() => {}
            Fault::DiskFull => self.fill_disk(world, node),
            Fault::DiskFailure => world.machines[node].failing = true,
            Fault::DiskLost => self.lose_disk(world, node),
            Fault::DiskCopiedBack => self.copy_disk(world, node),
            Fault::Storm => {
                let profile = &mut world.network.profile;
                profile.loss_permille = self.random.pick(&[0, 20, 100, 300]);
                profile.duplicate_permille = self.random.pick(&[0, 100]);
                profile.jitter = self.random.skewed(100_000, 100 * MILLISECOND);
                profile.ordered &= self.random.permille(500);
                self.later(world, 50 * MILLISECOND, 3 * SECOND, Cure::Calm);
            }
            Fault::GracefulStop => world.stop(node),
            Fault::Loss => self.lose(world, node),
            Fault::Transfer
            | Fault::TransferCutOff
            | Fault::ReplicaChange
            | Fault::ChangeCutOff
            | Fault::Drain
            | Fault::Undrain
            | Fault::Pin
            | Fault::Unpin
            | Fault::Freeze
            | Fault::Join
            | Fault::RemoveNode
            | Fault::DoubleManager => self.order(world, fault, node),
        }
    }

    /// What operators do, and the manager.
    fn order(&mut self, world: &mut World, fault: Fault, node: usize) {
        match fault {
            Fault::Transfer => {
                let shard = self.random.between(1, self.shards);
                let target = self.random.index(world.len());
                self.transfer(world, node, shard, target);
            }
            Fault::TransferCutOff => self.transfer_cut_off(world),
            Fault::ReplicaChange | Fault::ChangeCutOff => {
                if fault == Fault::ChangeCutOff {
                    self.later(world, MILLISECOND, 100 * MILLISECOND, Cure::Split);
                }
                // Two voters don't survive the loss of a disk.
                let loses = [Fault::DiskLost, Fault::DiskCopiedBack];
                let loses = loses.iter().any(|fault| self.faults.contains(fault));
                let fewest = if loses { 3 } else { 2 };
                let staying = self.operators.staying(world);
                let bounds = (fewest, staying.as_slice());
                membership::change_replicas(world, &mut self.random, self.shards, bounds);
            }
            Fault::Drain => self.operators.drain(world, node),
            Fault::Undrain => self.operators.undrain(world),
            Fault::Pin => self.operators.pin(world, node),
            Fault::Unpin => self.operators.unpin(world),
            Fault::Freeze => self.operators.freeze(world),
            Fault::Join => self.operators.join(world),
            Fault::RemoveNode => self.operators.remove(world, node),
            Fault::DoubleManager => {
                if let Some(manager) = holder_of(world, ShardId::SYSTEM) {
                    self.isolate(world, manager);
                }
            }
            Fault::Kill
            | Fault::PowerLoss
            | Fault::TotalPowerLoss
            | Fault::Pause
            | Fault::Suspend
            | Fault::Drift
            | Fault::WallJump
            | Fault::Isolate
            | Fault::Split
            | Fault::OneWay
            | Fault::Reset
            | Fault::DiskStall
            | Fault::DiskFull
            | Fault::DiskFailure
            | Fault::DiskLost
            | Fault::DiskCopiedBack
            | Fault::Storm
            | Fault::GracefulStop
            | Fault::Loss => {}
        }
    }

    fn isolate(&mut self, world: &mut World, node: usize) {
        let cut = (0..world.len()).filter(|peer| *peer != node);
        let cut = cut.flat_map(|peer| [(node, peer), (peer, node)]).collect();
        self.block(world, cut);
    }

    /// A machine dies for long. With three of them there would be nowhere to rebuild its replicas.
    fn lose(&mut self, world: &mut World, node: usize) {
        let running = (0..world.len()).filter(|node| world.machines[*node].process.is_some());
        if self.lost.is_none() && running.count() > 3 {
            self.lost = Some(node);
            world.kill(node, true);
        }
    }

    fn fill_disk(&mut self, world: &mut World, node: usize) {
        // From nothing at all to what a few writes need.
        let free = self.random.pick(&[0, 4 << 10, 64 << 10, 1 << 20]);
        world.bound_disk(node, Some(free));
        self.later(world, 200 * MILLISECOND, 5 * SECOND, Cure::Room(node));
    }

    /// A machine comes back with an empty disk. Once in a run at most: two lost disks of three are
    /// more than any store survives.
    fn lose_disk(&mut self, world: &mut World, node: usize) {
        if self.may_lose_disk(world, node) {
            self.disk_lost = true;
            world.lose_disk(node);
        }
    }

    /// Whether this disk may be lost: none was, and the cluster is founded by all founders. One
    /// that was not among them in time can't be told from one whose disk was lost.
    fn may_lose_disk(&self, world: &World, node: usize) -> bool {
        let founders = world.machines.get(..self.founders).unwrap_or_default();
        let is_founded = founders.iter().all(|founder| founder.founded);
        !self.disk_lost && world.machines[node].life > 0 && is_founded
    }

    /// A machine goes back to an older copy of its disk, in place of the loss of a disk: it counts
    /// as one.
    fn copy_disk(&mut self, world: &mut World, node: usize) {
        if self.may_lose_disk(world, node) {
            self.disk_lost = true;
            world.copy_disk(node);
            self.later(world, SECOND, 10 * SECOND, Cure::BeQuiet(node));
        }
    }

    /// What a node has acknowledged is remembered only by those who have heard of it: they must be
    /// there when it goes back, or nobody can know.
    fn put_disk_back(&mut self, world: &mut World, node: usize) {
        let runs = |at: usize| world.machines[at].process.is_some() && !world.machines[at].paused;
        let all = 0..world.len();
        let pairs = all.clone().flat_map(|a| (0..world.len()).map(move |b| (a, b)));
        let together = all.filter(|at| self.operators.wants_running(*at)).all(runs)
            && pairs.into_iter().all(|(a, b)| !world.network.is_blocked(a, b))
            && world.machines[node].stalled_until <= world.now();
        if together && !self.over && runs(node) {
            world.machines[node].went_back = world.machines[node].copy_is_old();
            world.put_disk_back(node);
            world.schedule(world.now() + 20 * MILLISECOND, Event::Start { node });
        }
    }

    fn later(&mut self, world: &mut World, low: u64, high: u64, cure: Cure) {
        let wait = self.random.skewed(low, high);
        let token = CURE << 56 | self.cures.len() as u64;
        self.cures.push(Some(cure));
        world.set_timer(world.now() + wait, token);
    }

    fn pause(&mut self, world: &mut World, node: usize, clocks: bool) {
        let machine = &world.machines[node];
        let support = machine.settings.support_duration.as_nanos() as u64;
        let gap = machine.settings.clock_gap.as_nanos() as u64;
        if machine.paused {
            return;
        }
        let (low, high) =
            if clocks { (gap + gap / 4, gap * 8) } else { (support / 8, support * 5) };
        world.pause(node, clocks);
        let life = world.machines[node].life;
        self.later(world, low, high, Cure::Resume(node, life));
    }

    fn split(&mut self, world: &mut World) {
        let side: Vec<bool> = (0..world.len()).map(|_| self.random.permille(500)).collect();
        let mut cut = Vec::new();
        for a in 0..world.len() {
            for b in (0..world.len()).filter(|b| side[a] != side[*b]) {
                cut.push((a, b));
            }
        }
        self.block(world, cut);
    }

    fn block(&mut self, world: &mut World, cut: Vec<(usize, usize)>) {
        for &(from, to) in &cut {
            world.block(from, to, true);
        }
        if self.random.permille(300) {
            // Somebody notices at once.
            for &(a, b) in &cut {
                world.reset(a, b);
            }
        }
        self.later(world, 50 * MILLISECOND, 5 * SECOND, Cure::Open(cut));
    }

    fn transfer(&mut self, world: &mut World, node: usize, shard: u64, target: usize) {
        let connection = world.connect(node);
        let target = target + 1;
        let words = ["LEASEHOLD", "TRANSFER", &shard.to_string(), &target.to_string()];
        world.send(connection, words.iter().map(|word| word.as_bytes().to_vec()).collect());
        self.orders.push(connection);
    }

    fn transfer_cut_off(&mut self, world: &mut World) {
        let shard = self.random.between(1, self.shards);
        let Some(holder) = holder_of(world, ShardId(shard as u32)) else { return };
        let target = self.random.index(world.len());
        if target != holder {
            self.block(world, vec![(target, holder)]);
            self.transfer(world, holder, shard, target);
        }
    }

    fn cure(&mut self, world: &mut World, cure: Cure) {
        match cure {
            Cure::Resume(node, life) => {
                if world.machines[node].life == life {
                    world.resume(node);
                }
            }
            Cure::Open(cut) => {
                for (from, to) in cut {
                    world.block(from, to, false);
                }
            }
            Cure::Calm => world.network.profile = self.calm.clone(),
            Cure::Room(node) => world.bound_disk(node, None),
            Cure::Split if self.over => {}
            Cure::Split => self.split(world),
            Cure::BeQuiet(node) => {
                self.quiet_until = world.now() + 2 * QUIET_TIME;
                self.later(world, QUIET_TIME, QUIET_TIME, Cure::PutBack(node));
            }
            Cure::PutBack(node) => self.put_disk_back(world, node),
        }
    }

    /// Nothing more breaks, and everything is put right.
    pub(crate) fn end(&mut self, world: &mut World) {
        world.note(format_args!("--- all is put right"));
        self.over = true;
        self.lost = None;
        let keeps = self.keeps_drain && self.random.permille(500);
        self.operators.end(keeps);
        for at in 0..self.cures.len() {
            // A virtual machine goes on in its own time: see above.
            let asleep = |cure: &Cure| match cure {
                Cure::Resume(node, _) => world.machines[*node].asleep,
                Cure::Open(_)
                | Cure::Calm
                | Cure::Room(_)
                | Cure::Split
                | Cure::BeQuiet(_)
                | Cure::PutBack(_) => false,
            };
            if let Some(cure) = self.cures[at].take_if(|cure| !asleep(cure)) {
                self.cure(world, cure);
            }
        }
        let profile = &mut world.network.profile;
        profile.loss_permille = 0;
        profile.duplicate_permille = 0;
        for node in 0..world.len() {
            if world.machines[node].disk_is_bounded {
                // An old copy of it may have had no room.
                world.bound_disk(node, None);
            }
            world.machines[node].stalled_until = 0;
            world.machines[node].failing = false;
            world.machines[node].disk_profile.slow_permille = 0;
            if self.operators.wants_running(node) {
                world.schedule(world.now(), Event::Start { node });
            }
            for peer in (0..world.len()).filter(|peer| *peer != node) {
                world.block(node, peer, false);
            }
        }
    }
}

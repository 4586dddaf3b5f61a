//! What a run is to be: topology, settings, workload and faults, all drawn from the seed.
//!
//! Each run uses a subset of everything (a swarm): a fault that is always there hides what
//! happens without it.

use std::time::Duration;

use cluster::{Member, Planting, Policy, Redirect, Settings};
use types::NodeId;

use crate::aside::Variety;
use crate::faults::{FAULTS, Fault, LATER_FAULTS};
use crate::lasting::Lasting;
use crate::machine::DiskProfile;
use crate::network::NetworkProfile;
use crate::random::Random;
use crate::workload::{CLASSES, Class, Workload};
use crate::world::{MILLISECOND, MachineProfile, SECOND};

/// The most that a clock runs fast or slow, in parts per million: two of them stay within the
/// bound that the settings name (50 thousandths).
const DRIFT_MAX: i64 = 24_000;

/// One of so many random runs is about a fault that lasts.
const LASTING_EVERY: u64 = 25;

/// What a run is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed it was drawn from.
    pub seed: u64,
    /// Settings of the nodes.
    pub settings: Vec<Settings>,
    /// How many of them, the last ones, are no members at first.
    pub spares: usize,
    /// The first member that those know, by its place.
    pub contact: usize,
    /// Parts per million by which each node's clocks run fast.
    pub clock_rates: Vec<i64>,
    /// The disks.
    pub disk: DiskProfile,
    /// The network.
    pub network: NetworkProfile,
    /// What clients do.
    pub workload: Workload,
    /// The faults that occur.
    pub faults: Vec<Fault>,
    /// Mean time between two faults, in nanoseconds.
    pub fault_interval: u64,
    /// Longest time that a dead process stays dead, in nanoseconds.
    pub restart_max: u64,
    /// How long the part with faults lasts, in nanoseconds.
    pub duration: u64,
    /// The rule that is broken.
    pub planting: Planting,
    /// The fault that lasts, in a run about one.
    pub lasting: Option<Lasting>,
}

/// By how much less a turn may do than on a server: there is so little to do in a simulation that
/// nothing would ever be left over for the next turn.
const TURN_DIVISORS: [u64; 5] = [1, 1_000, 10_000, 100_000, 100_000_000];

impl Plan {
    /// Draws a run. One of many has a fault that lasts, and no other.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let plan = Self::draw_usual(seed);
        if seed % LASTING_EVERY != LASTING_EVERY - 1 {
            return plan;
        }
        let kind = seed / LASTING_EVERY % Lasting::BORNE.len() as u64;
        plan.with_lasting(Lasting::BORNE[kind as usize])
    }

    /// Draws a run whose faults are put right again soon.
    pub(crate) fn draw_usual(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let nodes = random.pick(&[1, 3, 3, 3, 4, 4, 5, 5]);
        let mut settings = draw_settings(&mut random, nodes);
        let mut faults = draw_faults(&mut random);
        draw_later_faults(seed, &mut faults);
        let contact = random.index(nodes);
        let spares = if faults.contains(&Fault::Join) { random.pick(&[1, 1, 2]) } else { 0 };
        add_spares(&mut random, &mut settings, contact, spares);
        draw_management(&mut random, &mut settings, &faults);
        // Chosen by the seed itself, so that all else is what it would be without this.
        let divisor = TURN_DIVISORS[seed as usize % TURN_DIVISORS.len()];
        settings.iter_mut().for_each(|settings| settings.turn_divisor = divisor);
        let nodes = settings.len();
        let drifts = random.permille(500);
        let rate_max = if drifts { DRIFT_MAX } else { 100 };
        let mut rate = || random.between(0, rate_max as u64 * 2) as i64 - rate_max;
        let clock_rates = (0..nodes).map(|_| rate()).collect();
        let disk = DiskProfile {
            delay: random.skewed(50_000, 5 * MILLISECOND),
            jitter: random.skewed(50_000, 5 * MILLISECOND),
            slow_permille: random.pick(&[0, 0, 5, 20]),
            unreadable_permille: 2,
        };
        let network = draw_network(&mut random);
        let mut workload = draw_workload(&mut random);
        draw_variety(seed, &faults, &mut workload);
        Self {
            seed,
            settings,
            spares,
            contact,
            clock_rates,
            disk,
            network,
            workload,
            faults,
            fault_interval: random.skewed(100 * MILLISECOND, 3 * SECOND),
            restart_max: 4 * SECOND,
            duration: random.between(6, 20) * SECOND,
            planting: Planting::Nothing,
            lasting: None,
        }
    }

    /// The same run without any fault.
    #[must_use]
    pub fn without_faults(mut self) -> Self {
        self.faults.clear();
        self.lasting = None;
        self
    }

    /// A run with one fault that lasts, and no other. Its bounds are those of the default settings.
    #[must_use]
    pub fn with_lasting(mut self, kind: Lasting) -> Self {
        let mut random = Random::new(self.seed ^ 0x1a57);
        let nodes = random.pick(&[3, 3, 4, 5]);
        // Two of fewer would be half of them.
        let nodes = if kind == Lasting::ManagerAside { 5 } else { nodes };
        let mut base = Settings::new(NodeId(1), members(nodes));
        base.shards = random.between(1, 4) as u16;
        base.segment_bytes = 1 << 20;
        base.log_bytes = 4 << 20;
        self.settings = (1..=nodes as u32)
            .map(|node| Settings { node: NodeId(node), ..base.clone() })
            .collect();
        self.spares = 0;
        self.contact = 0;
        self.clock_rates = (0..nodes).map(|_| random.between(0, 200) as i64 - 100).collect();
        self.disk.slow_permille = 0;
        self.disk.unreadable_permille = 0;
        self.network.loss_permille = 0;
        self.network.duplicate_permille = 0;
        self.network.slow_permille = 0;
        self.faults.clear();
        self.workload.variety = Variety::default();
        self.workload.clients = self.workload.clients.min(4);
        self.workload.think = self.workload.think.max(100 * MILLISECOND);
        let manages = matches!(kind, Lasting::ManagerCut | Lasting::ManagerAside);
        if manages || random.permille(500) {
            // While the fault lasts, what is taken for dead is replaced.
            for settings in &mut self.settings {
                settings.policy.repair_after = millis(8000);
            }
        }
        self.duration = random.pick(&[25, 35, 65]) * SECOND;
        for settings in self.settings.iter_mut().filter(|_| kind == Lasting::DataLate) {
            settings.request_time = millis(8000);
        }
        self.lasting = Some(kind);
        self
    }

    /// The same run with a rule broken.
    #[must_use]
    pub fn with_planting(mut self, planting: Planting) -> Self {
        self.planting = planting;
        for settings in &mut self.settings {
            settings.planted.insert(planting);
        }
        self
    }

    /// Whether whole nodes come and go, or stay away.
    pub(crate) fn moves_nodes(&self) -> bool {
        let moves = |fault: &Fault| matches!(fault, Fault::Join | Fault::RemoveNode | Fault::Loss);
        self.faults.iter().any(moves)
    }

    pub(crate) fn machines(&self) -> Vec<MachineProfile> {
        let machine = |(settings, rate): (&Settings, &i64)| MachineProfile {
            settings: settings.clone(),
            clock_offset: u64::from(settings.node.0) * 1000 * SECOND,
            clock_rate: *rate,
            disk: self.disk.clone(),
        };
        self.settings.iter().zip(&self.clock_rates).map(machine).collect()
    }
}

/// The members of a cluster of this size.
pub(crate) fn members(nodes: usize) -> Vec<Member> {
    let member = |number: usize| {
        Member::new(NodeId(number as u32), &format!("10.0.0.{number}"), 7000, 17_000)
    };
    (1..=nodes).map(member).collect()
}

fn draw_settings(random: &mut Random, nodes: usize) -> Vec<Settings> {
    let mut base = Settings::new(NodeId(1), members(nodes));
    base.shards = random.between(1, 8) as u16;
    base.replicas = random.pick(&[3, 3, 3, 5]);
    base.park_time = millis(random.between(300, 1500));
    base.request_time = millis(random.between(800, 5000));
    base.transfer_time = millis(random.between(100, 800));
    base.campaign_step = millis(random.between(20, 200));
    base.redirect = random.pick(&[Redirect::Never, Redirect::Rationed, Redirect::Always]);
    base.segment_bytes = random.skewed(64 << 10, 4 << 20) / 512 * 512;
    base.log_bytes = base.segment_bytes * random.between(1, 6);
    // Small enough that slots have many pieces, and payloads many parts.
    let drawn = base.segment_bytes / 512;
    base.piece_bytes = 64 << (drawn % 11);
    base.persist_bytes = 1024 << (drawn % 7);
    // Small enough that what catch-ups need is read from the disk again.
    base.log_window = 1024 << (drawn % 6);
    // Small enough that some values are not copied.
    base.long_bytes = 32 << (drawn % 5);
    // Small enough that clients wait for answers, and so do those whom others ask.
    base.answers_bytes = 16 << (drawn % 9);
    let unequal = random.permille(300);
    let times = |settings: &mut Settings, random: &mut Random| {
        let support = random.skewed(150, 1500);
        settings.support_duration = millis(support);
        settings.beat_interval = millis(support / random.between(4, 10));
    };
    times(&mut base, random);
    let settings = |number: usize| {
        let mut settings = Settings { node: NodeId(number as u32), ..base.clone() };
        if unequal {
            times(&mut settings, random);
        }
        settings
    };
    (1..=nodes).map(settings).collect()
}

/// Machines that are no members at first: they know themselves and one member.
fn add_spares(random: &mut Random, settings: &mut Vec<Settings>, contact: usize, spares: usize) {
    let first = settings.len();
    for number in first + 1..=first + spares {
        let all = members(number);
        let known = vec![all[contact].clone(), all[number - 1].clone()];
        let mut spare = Settings { node: NodeId(number as u32), ..settings[0].clone() };
        spare.members = known;
        // A node that joins is told how many there are.
        spare.shards = random.between(1, 8) as u16;
        settings.push(spare);
    }
}

/// How the Lease Manager is to behave: in most runs so that much moves, in some of those with the
/// fault also when it should not.
fn draw_management(random: &mut Random, settings: &mut [Settings], faults: &[Fault]) {
    let policy = random.permille(700).then(|| restless_policy(random));
    for settings in settings {
        if let Some(policy) = &policy {
            settings.policy = policy.clone();
        }
        let doubled = faults.contains(&Fault::DoubleManager) && random.permille(600);
        if doubled {
            settings.planted.insert(Planting::ManageWithoutLease);
        }
    }
}

/// A policy by which leases and replicas move for next to nothing.
fn restless_policy(random: &mut Random) -> Policy {
    let policy = Policy {
        fast: millis(500),
        slow: millis(5000),
        silent_after: millis(random.between(1000, 3000)),
        orphan_after: millis(random.between(500, 3000)),
        band: 0.01,
        calm: 0.0,
        floor: 0.0,
        confirmations: 1,
        gain_min: 0.0,
        gain_share_min: 0.0,
        churn: random.pick(&[0.0, 0.0, 0.25]),
        cool_down: Duration::ZERO,
        cool_down_urgent: Duration::ZERO,
        return_after: Duration::ZERO,
        failure_back_off: millis(random.between(0, 1000)),
        move_timeout: millis(random.between(500, 5000)),
        succession_margin: random.pick(&[0.0, 0.001]),
        succession_interval: millis(random.between(100, 2000)),
        repair_after: millis(5000),
        replica_grace: millis(random.between(0, 2000)),
        replica_timeout: millis(random.between(1000, 10_000)),
        replica_spread: random.pick(&[1.0, 1.25]),
        crash_share_max: random.pick(&[0.25, 1.0]),
        crash_window: millis(1000),
        ..Policy::default()
    };
    assert_eq!(policy.validate(), Ok(()), "a policy that nodes accept");
    policy
}

fn draw_network(random: &mut Random) -> NetworkProfile {
    let lossy = random.permille(400);
    let far = random.permille(200);
    NetworkProfile {
        delay: if far { random.skewed(MILLISECOND, 8 * MILLISECOND) } else { 50_000 },
        jitter: if far { 2 * MILLISECOND } else { random.skewed(20_000, MILLISECOND) },
        data_delay: 0,
        bandwidth: 0,
        slow_permille: random.pick(&[0, 5, 50]),
        loss_permille: if lossy { random.pick(&[0, 5, 50]) } else { 0 },
        duplicate_permille: if lossy { random.pick(&[0, 10, 200]) } else { 0 },
        ordered: !lossy && random.permille(700),
    }
}

fn draw_workload(random: &mut Random) -> Workload {
    let mut classes = vec![Class::Register];
    for class in CLASSES {
        if class != Class::Register && random.permille(400) {
            classes.push(class);
        }
    }
    Workload {
        clients: random.between(2, 8) as usize,
        classes,
        keys: random.between(1, 6),
        pipeline: random.pick(&[1, 1, 3, 8]),
        reads_permille: random.between(300, 800),
        think: random.skewed(4 * MILLISECOND, 250 * MILLISECOND),
        patience: random.skewed(300 * MILLISECOND, 6 * SECOND),
        value_bytes: random.pick(&[0, 0, 200, 2000]),
        one_slot: random.permille(100),
        variety: Variety::default(),
    }
}

fn draw_faults(random: &mut Random) -> Vec<Fault> {
    if random.permille(50) {
        return Vec::new();
    }
    let share = random.pick(&[200, 400, 700]);
    FAULTS.iter().copied().filter(|_| random.permille(share)).collect()
}

/// What clients do beside the usual, decided apart like the newer faults.
fn draw_variety(seed: u64, faults: &[Fault], workload: &mut Workload) {
    let mut random = Random::new(seed ^ 0xa51de);
    workload.variety = Variety::draw(&mut random);
    let variety = &mut workload.variety;
    variety.clocks_are_right =
        !faults.iter().any(|fault| matches!(fault, Fault::WallJump | Fault::Suspend));
    if variety.flushes {
        // Histories with deletions can be judged for these.
        let judged = [Class::Register, Class::Deleted, Class::Watched];
        workload.classes.retain(|class| judged.contains(class));
        variety.lists = false;
    } else if variety.expires && !workload.classes.contains(&Class::Expiring) {
        workload.classes.push(Class::Expiring);
    }
    if variety.composed && !variety.flushes && !workload.classes.contains(&Class::Pair) {
        workload.classes.push(Class::Pair);
    }
    if random.permille(40) {
        // A few of these fill a segment.
        workload.value_bytes = 30_000;
        workload.think = workload.think.max(30 * MILLISECOND);
    }
}

/// A few of the runs with faults have those of the newer kinds, too.
fn draw_later_faults(seed: u64, faults: &mut Vec<Fault>) {
    let mut random = Random::new(seed ^ 0x1a7e);
    if !faults.is_empty() {
        faults.extend(LATER_FAULTS.iter().filter(|_| random.permille(200)));
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

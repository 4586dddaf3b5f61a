//! Faults that last, and the question while they do: whoever can reach a healthy quorum is served.
//!
//! A run of this kind has one such fault, from a few seconds after the beginning until a minute
//! later. Meanwhile a probe for each shard reads and writes at nodes that the fault leaves well.
//! The judge asks that each shard acknowledges a read and a write again and again, never longer
//! apart than [`BOUND`], and that no request waits longer than [`HANGS`] for any answer at all.
//!
//! Clocks whose rates differ by more than the settings allow are not among the faults: nothing is
//! promised then, and no bound could be.

mod strikes;

use crate::random::Random;
use crate::situations::REPAIR_DECIDED;
use crate::world::{ConnectionId, MILLISECOND, SECOND, World};

/// Longest time between two acknowledgements of a shard with a healthy quorum.
const BOUND: u64 = 3500 * MILLISECOND;
/// By how much longer than the settings' `request_time` and `park_time` together a request may wait
/// for its answer, be that an error.
const HANGS: u64 = SECOND;
/// How long after their last start all nodes may need to begin with the bound: what they may have
/// promised in their last lives must be over first.
const START_TIME: u64 = SECOND;
/// Writes of a probe that may be under way at once, and take effect in any order.
const WRITES_AT_ONCE: u64 = 20;
/// How often each shard is asked for something.
const PROBE_INTERVAL: u64 = 100 * MILLISECOND;
/// How often a connection that is stuck is given up and made anew.
const STALL_MAX: u64 = 1500 * MILLISECOND;
/// When the fault begins: all shards have had holders for a while.
const BEGIN: u64 = 5 * SECOND;
/// By how much data are late.
const DATA_LATE: u64 = 1300 * MILLISECOND;

/// A kind of fault that lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lasting {
    /// Nothing reaches a node, though it can send: what is on its way to it vanishes.
    Deaf,
    /// Nobody can connect to a node's peer port; it connects to the others.
    PortClosed,
    /// Nothing that a node sends arrives.
    Mute,
    /// What a node sends that is urgent vanishes.
    PriorityStalled,
    /// What a node sends that is not urgent vanishes.
    DataStalled,
    /// Large messages of a node vanish.
    LargeLost,
    /// Two nodes can't reach each other; both reach all others.
    PairCut,
    /// Each sync of a node's disk takes long.
    SlowDisk,
    /// A node's disk answers no more.
    StalledDisk,
    /// All but what is urgent takes 1.3 seconds longer, and a node dies then.
    DataLate,
    /// A node gets the processor rarely.
    Starved,
    /// A node's wall clock is wrong.
    WallWrong,
    /// The clocks on all walls are wrong, each in its own way, and nobody sets them right.
    WallsApart,
    /// Most nodes are down.
    NoQuorum,
    /// The manager and another node can't reach each other, for longer than it takes until the
    /// replicas of a dead node are made anew; both reach all others.
    ManagerCut,
    /// The manager and another node are cut off from all others, for as long.
    ManagerAside,
    /// A bit of a disk is not what it was, and the node starts again.
    BitRot,
    /// An older copy of a node's directory is put back, twice.
    CopiedBack,
    /// Copies of all directories, taken while no node ran, are put back.
    AllCopiedBack,
}

impl Lasting {
    /// All kinds, by their names on the command line.
    pub const ALL: &[(&str, Self)] = &[
        ("deaf", Self::Deaf),
        ("port-closed", Self::PortClosed),
        ("mute", Self::Mute),
        ("priority-stalled", Self::PriorityStalled),
        ("data-stalled", Self::DataStalled),
        ("large-lost", Self::LargeLost),
        ("pair-cut", Self::PairCut),
        ("slow-disk", Self::SlowDisk),
        ("stalled-disk", Self::StalledDisk),
        ("data-late", Self::DataLate),
        ("starved", Self::Starved),
        ("wall-wrong", Self::WallWrong),
        ("walls-apart", Self::WallsApart),
        ("no-quorum", Self::NoQuorum),
        ("manager-cut", Self::ManagerCut),
        ("manager-aside", Self::ManagerAside),
        ("bit-rot", Self::BitRot),
        ("copied-back", Self::CopiedBack),
        ("all-copied-back", Self::AllCopiedBack),
    ];

    /// Those that are borne as they should be: random runs have them.
    pub const BORNE: &[Self] = &[
        Self::Deaf,
        Self::PortClosed,
        Self::Mute,
        Self::PriorityStalled,
        Self::DataStalled,
        Self::LargeLost,
        Self::PairCut,
        Self::SlowDisk,
        Self::StalledDisk,
        Self::DataLate,
        Self::Starved,
        Self::WallWrong,
        Self::WallsApart,
        Self::NoQuorum,
        Self::ManagerCut,
        Self::ManagerAside,
        Self::BitRot,
        Self::CopiedBack,
        Self::AllCopiedBack,
    ];

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

/// A shard's probe.
struct Probe {
    shard: u64,
    key: Vec<u8>,
    /// Where it must be served.
    homes: Vec<usize>,
    /// Requests under way.
    under_way: Vec<Asked>,
    next: u64,
    count: u64,
    /// When a read and a write were acknowledged last.
    acknowledged: [u64; 2],
    /// The newest write that was acknowledged.
    newest: u64,
    /// The one that was so when all directories were copied, and the same when they have been put
    /// back: the next read must not find an older one.
    copied: u64,
    kept: Option<u64>,
}

/// A request of a probe.
struct Asked {
    connection: ConnectionId,
    at: u64,
    /// Which write it is.
    write: Option<u64>,
}

/// A fault that lasts, its probes and its judge.
pub(crate) struct Ordeal {
    kind: Lasting,
    node: usize,
    other: usize,
    probes: Vec<Probe>,
    begun: bool,
    next_break: u64,
    /// What happens next of a fault in steps, and when.
    step: u32,
    next_step: u64,
    /// When all nodes lose their power.
    blackout: u64,
    /// Whether they do when the fault is over.
    ends_dark: bool,
    /// Some node that should run does not, for no fault of its own.
    dark: bool,
    /// Replicas that had been repaired when it began.
    repairs: u64,
    /// What clients saw is not what they see now, for all directories have gone back.
    pub(crate) forgets: bool,
    /// How long a request may wait for any answer.
    patience: u64,
    /// The longest time between two acknowledgements of a shard, of reads or of writes.
    pub(crate) longest: u64,
    wrong: Option<String>,
    random: Random,
}

impl Ordeal {
    pub(crate) fn new(kind: Lasting, world: &World, mut random: Random) -> Self {
        let nodes = world.len();
        let node = random.index(nodes);
        let other = (node + 1 + random.index((nodes - 1).max(1))) % nodes;
        // What is put back must be older than what all others remember, not younger.
        let copied = matches!(kind, Lasting::CopiedBack | Lasting::AllCopiedBack);
        let dark = !copied && random.permille(300);
        let settings = &world.machines[0].settings;
        let ranges = types::SlotRange::even_cut(settings.shards);
        let probe = |(at, range): (usize, &types::SlotRange)| {
            let fits = |key: &String| range.contains(resp::slot_of(key.as_bytes()));
            let key = (0..).map(|number| format!("probe{number}")).find(fits);
            Probe {
                shard: at as u64 + 1,
                key: key.unwrap_or_default().into_bytes(),
                homes: Vec::new(),
                under_way: Vec::new(),
                next: 0,
                count: 0,
                acknowledged: [BEGIN; 2],
                newest: 0,
                copied: 0,
                kept: None,
            }
        };
        let probes = ranges.iter().enumerate().map(probe).collect();
        Self {
            kind,
            node,
            other,
            probes,
            begun: false,
            next_break: 0,
            step: 0,
            next_step: BEGIN,
            blackout: if dark { random.between(8, 40) * SECOND } else { u64::MAX },
            ends_dark: dark && random.permille(500),
            dark: false,
            repairs: 0,
            forgets: false,
            patience: (settings.request_time + settings.park_time).as_nanos() as u64 + HANGS,
            longest: 0,
            wrong: None,
            random,
        }
    }

    /// What was seen that must not be.
    pub(crate) fn take_wrong(&mut self) -> Option<String> {
        self.wrong.take()
    }

    /// Goes on with the fault and the probes; called again and again.
    pub(crate) fn tick(&mut self, world: &mut World) {
        let now = world.now();
        if now < BEGIN {
            return;
        }
        if !self.begun {
            self.begun = true;
            self.choose_holder(world);
            self.choose_homes(world);
            self.repairs = world.checker.count(REPAIR_DECIDED);
            world.note(format_args!("--- {:?} of n{}", self.kind, self.node + 1));
            self.strike(world, true);
        }
        if now >= self.next_step {
            self.go_on(world);
        }
        self.look_for_power(world);
        if self.keeps_replicas() && world.checker.count(REPAIR_DECIDED) > self.repairs {
            let kind = self.kind;
            self.wrong = Some(format!("{kind:?}: replicas of a node that most hear are replaced"));
        }
        if now >= self.next_break {
            self.next_break = now + STALL_MAX;
            self.renew_connections(world);
        }
        for at in 0..self.probes.len() {
            self.judge(now, at);
            if self.probes[at].next <= now {
                self.ask(world, at);
            }
        }
    }

    fn ask(&mut self, world: &mut World, at: usize) {
        let probe = &mut self.probes[at];
        let home = self.random.pick(&probe.homes);
        let connection = world.connect(home);
        probe.count += 1;
        let write = (!probe.count.is_multiple_of(3)).then_some(probe.count);
        let args = if let Some(count) = write {
            // Now and then one that does not pass where only small messages do.
            let bytes = if count % 8 == 1 { 4000 } else { 8 };
            vec![b"set".to_vec(), probe.key.clone(), format!("{count:0bytes$}").into_bytes()]
        } else {
            vec![b"get".to_vec(), probe.key.clone()]
        };
        world.send(connection, args);
        let now = world.now();
        probe.under_way.push(Asked { connection, at: now, write });
        probe.next = now + PROBE_INTERVAL;
    }

    fn judge(&mut self, now: u64, at: usize) {
        let probe = &self.probes[at];
        let (shard, kind) = (probe.shard, self.kind);
        if probe.under_way.first().is_some_and(|asked| now > asked.at + self.patience) {
            self.wrong = Some(format!("{kind:?}: a request to s{shard} gets no answer at all"));
        }
        let [read, written] = probe.acknowledged;
        let gap = now.saturating_sub(read.min(written));
        if kind == Lasting::NoQuorum || self.dark {
            return;
        }
        self.longest = self.longest.max(gap);
        // To there and back again, each: what followers of a new holder lack, the record of its
        // lease, the request from another node, and its entry.
        let late = if kind == Lasting::DataLate { 8 * DATA_LATE } else { 0 };
        if gap > BOUND + late {
            let (ms, what) = (gap / MILLISECOND, if read < written { "read" } else { "write" });
            self.wrong = Some(format!("{kind:?}: s{shard} acknowledges no {what} for {ms} ms"));
        }
    }

    /// Whether the connection is a probe's. `reply`: what came on it; none if it broke.
    pub(crate) fn owns(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        reply: Option<&[u8]>,
    ) -> bool {
        let found = self.probes.iter_mut().find_map(|probe| {
            let at = probe.under_way.iter().position(|asked| asked.connection == connection)?;
            Some((probe, at))
        });
        let Some((probe, at)) = found else { return false };
        let asked = probe.under_way.remove(at);
        if let Some(reply) = reply.filter(|reply| !reply.starts_with(b"-")) {
            let now = world.now();
            let seen = &mut probe.acknowledged[usize::from(asked.write.is_some())];
            *seen = now.max(*seen);
            probe.newest = probe.newest.max(asked.write.unwrap_or(0));
            if asked.write.is_none()
                && let Some(kept) = probe.kept.take()
                && value_of(reply) + WRITES_AT_ONCE < kept
            {
                let shard = probe.shard;
                self.wrong = Some(format!("s{shard} has lost write {kept}, which was copied"));
            }
        }
        world.disconnect(connection);
        true
    }

    /// All is put right, whether or not the power fails then.
    pub(crate) fn end(&mut self, world: &mut World) {
        if self.begun {
            self.strike(world, false);
            if self.ends_dark {
                self.go_dark(world);
            }
        }
    }
}

/// The write that a probe's read has found.
fn value_of(reply: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(reply);
    text.lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

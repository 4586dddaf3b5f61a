//! Faults that last, and the question while they do: whoever can reach a healthy quorum is served.
//!
//! A run of this kind has one such fault, from a few seconds after the beginning until a minute
//! later. Meanwhile a probe for each shard reads and writes at nodes that the fault leaves well.
//! The judge asks that each shard acknowledges a read and a write again and again, never longer
//! apart than [`BOUND`], and that no request waits longer than [`HANGS`] for any answer at all.
//!
//! Clocks whose rates differ by more than the settings allow are not among the faults: nothing is
//! promised then, and no bound could be.

use crate::network::{Condition, Purpose};
use crate::operators::holder_of;
use crate::random::Random;
use crate::world::{ConnectionId, MILLISECOND, SECOND, World};

/// Longest time between two acknowledgements of a shard with a healthy quorum.
const BOUND: u64 = 3500 * MILLISECOND;
/// By how much longer than the settings' `request_time` and `park_time` together a request may wait
/// for its answer, be that an error.
const HANGS: u64 = SECOND;
/// How often each shard is asked for something.
const PROBE_INTERVAL: u64 = 100 * MILLISECOND;
/// How often a connection that is stuck is given up and made anew.
const STALL_MAX: u64 = 1500 * MILLISECOND;
/// When the fault begins: all shards have had holders for a while.
const BEGIN: u64 = 5 * SECOND;
/// By how much data are late.
const DATA_LATE: u64 = 1300 * MILLISECOND;
/// How long a starved process waits for the processor.
const STARVED: (u64, u64) = (20 * MILLISECOND, 150 * MILLISECOND);

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
    /// Most nodes are down.
    NoQuorum,
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
        ("no-quorum", Self::NoQuorum),
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
        Self::NoQuorum,
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
    /// Requests under way.
    under_way: Vec<Asked>,
    next: u64,
    count: u64,
    /// When a read and a write were acknowledged last.
    acknowledged: [u64; 2],
}

/// A request of a probe.
struct Asked {
    connection: ConnectionId,
    at: u64,
    write: bool,
}

/// A fault that lasts, its probes and its judge.
pub(crate) struct Ordeal {
    kind: Lasting,
    node: usize,
    other: usize,
    probes: Vec<Probe>,
    begun: bool,
    next_break: u64,
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
        let settings = &world.machines[0].settings;
        let ranges = types::SlotRange::even_cut(settings.shards);
        let probe = |(at, range): (usize, &types::SlotRange)| {
            let fits = |key: &String| range.contains(resp::slot_of(key.as_bytes()));
            let key = (0..).map(|number| format!("probe{number}")).find(fits);
            Probe {
                shard: at as u64 + 1,
                key: key.unwrap_or_default().into_bytes(),
                under_way: Vec::new(),
                next: 0,
                count: 0,
                acknowledged: [BEGIN; 2],
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
            world.note(format_args!("--- {:?} of n{}", self.kind, self.node + 1));
            self.strike(world, true);
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

    /// Most often it is a holder that the fault is about.
    fn choose_holder(&mut self, world: &mut World) {
        let shard = types::ShardId(self.random.between(0, self.probes.len() as u64) as u32);
        let holder = holder_of(world, shard).filter(|_| self.random.permille(800));
        if let Some(holder) = holder.filter(|holder| *holder != self.other) {
            self.node = holder;
        }
    }

    fn strike(&mut self, world: &mut World, on: bool) {
        let (node, other) = (self.node, self.other);
        let peers: Vec<usize> = (0..world.len()).filter(|peer| *peer != node).collect();
        let condition = |bad| if on { bad } else { Condition::Fine };
        match self.kind {
            Lasting::Deaf => peers.iter().for_each(|peer| world.block(*peer, node, on)),
            Lasting::Mute => peers.iter().for_each(|peer| world.block(node, *peer, on)),
            Lasting::PairCut => {
                world.block(node, other, on);
                world.block(other, node, on);
            }
            Lasting::PortClosed => {
                for &peer in &peers {
                    for purpose in [Purpose::Priority, Purpose::Data] {
                        let cut = condition(Condition::Cut);
                        world.network.set_condition((peer, node), purpose, cut);
                        world.break_one(peer, node, purpose);
                    }
                }
            }
            Lasting::PriorityStalled | Lasting::DataStalled => {
                let stalled = condition(Condition::Stalled);
                let purpose = self.stalled_purpose();
                for &peer in &peers {
                    world.network.set_condition((node, peer), purpose, stalled);
                }
            }
            Lasting::LargeLost => {
                world.losses.large.insert(node, if on { 1400 } else { 0 });
            }
            Lasting::SlowDisk => {
                let time = self.random.between(300 * MILLISECOND, SECOND);
                let calm = world.machines[other].disk_profile.delay;
                world.machines[node].disk_profile.delay = if on { time } else { calm };
            }
            Lasting::StalledDisk => {
                world.machines[node].stalled_until = if on { u64::MAX / 2 } else { 0 };
            }
            Lasting::DataLate => {
                world.network.profile.data_delay = if on { DATA_LATE } else { 0 };
                world.machines[node].is_kept_off = on;
                world.kill(node, true);
            }
            Lasting::Starved => {
                world.machines[node].turn_wait = if on { STARVED } else { (0, 0) };
            }
            Lasting::WallWrong => {
                let hours = self.random.between(0, 50) as i64 - 25;
                let nanos = hours * 3600 * SECOND as i64;
                let now = world.now();
                world.machines[node].clock.jump_wall(now, if on { nanos } else { -nanos });
            }
            Lasting::NoQuorum => {
                for &peer in peers.iter().filter(|_| on) {
                    world.kill(peer, true);
                    world.machines[peer].is_kept_off = true;
                }
                if !on {
                    world.machines.iter_mut().for_each(|machine| machine.is_kept_off = false);
                }
            }
        }
    }

    fn stalled_purpose(&self) -> Purpose {
        if self.kind == Lasting::PriorityStalled { Purpose::Priority } else { Purpose::Data }
    }

    /// Whoever writes on a connection that is stuck gives it up after a while, and makes a new one.
    fn renew_connections(&self, world: &mut World) {
        if matches!(self.kind, Lasting::PriorityStalled | Lasting::DataStalled) {
            for peer in (0..world.len()).filter(|peer| *peer != self.node) {
                world.break_one(self.node, peer, self.stalled_purpose());
            }
        }
    }

    /// Nodes at which clients must be served.
    fn is_well(&self, at: usize) -> bool {
        match self.kind {
            Lasting::PairCut | Lasting::WallWrong => true,
            Lasting::NoQuorum => at == self.node,
            Lasting::Deaf
            | Lasting::PortClosed
            | Lasting::Mute
            | Lasting::PriorityStalled
            | Lasting::DataStalled
            | Lasting::LargeLost
            | Lasting::SlowDisk
            | Lasting::StalledDisk
            | Lasting::DataLate
            | Lasting::Starved => at != self.node,
        }
    }

    fn ask(&mut self, world: &mut World, at: usize) {
        let well: Vec<usize> = (0..world.len()).filter(|node| self.is_well(*node)).collect();
        let home = self.random.pick(&well);
        let connection = world.connect(home);
        let probe = &mut self.probes[at];
        probe.count += 1;
        let write = !probe.count.is_multiple_of(3);
        let args = if write {
            // Now and then one that does not pass where only small messages do.
            let bytes = if probe.count % 8 == 1 { 4000 } else { 8 };
            vec![b"set".to_vec(), probe.key.clone(), vec![b'v'; bytes]]
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
        let gap = now - read.min(written);
        if kind == Lasting::NoQuorum {
            return;
        }
        self.longest = self.longest.max(gap);
        // To there and back again, each: the record of a new lease, the request from another node, and
        // its entry.
        let late = if kind == Lasting::DataLate { 6 * DATA_LATE } else { 0 };
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
        if reply.is_some_and(|reply| !reply.starts_with(b"-")) {
            probe.acknowledged[usize::from(asked.write)] = world.now();
        }
        world.disconnect(connection);
        true
    }

    /// All is put right.
    pub(crate) fn end(&mut self, world: &mut World) {
        if self.begun {
            self.strike(world, false);
        }
    }
}

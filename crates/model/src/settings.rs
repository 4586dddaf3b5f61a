//! What bounds a search, and which rule, if any, is broken on purpose.

use crate::membership::Voters;
use crate::state::{NODES, NodeId, Time};
use crate::violation::Violation;

/// Bounds and faults of one search. All together they make the number of states finite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// A name for reports.
    pub name: &'static str,
    /// The rule that is broken, if any.
    pub violation: Option<Violation>,
    /// Nodes that there are.
    pub nodes: u8,
    /// The configurations: the first is in force at the beginning, each change leads to the next.
    pub plan: &'static [Voters],
    /// Leaders that no longer lead may release their followers from their bonds.
    pub releases: bool,
    /// Replicas that were removed give up their logs, and may be added again.
    pub buries: bool,
    /// Begin with node 0 as the leader of term 1 and its lease record on every log, rather than
    /// with empty nodes. The former is a state that the latter reaches.
    pub begin_with_leader: bool,
    /// True time ends here, in ticks.
    pub ticks: Time,
    /// How long each node's promises last on its own clock, in ticks.
    pub windows: [Time; NODES],
    /// What a receiver subtracts from a promise for drift, in ticks.
    pub margin: Time,
    /// Ticks that all clocks together may miss; each clock misses one at most, so two clocks
    /// never disagree about a duration by more than one tick.
    pub missed_ticks: u8,
    /// Beats and promises under way at once; 0 means that a beat and its promise take no time.
    pub flight: usize,
    /// A message may be delivered again.
    pub duplicates: bool,
    /// The greatest term.
    pub terms: u8,
    /// Campaigns in the whole run.
    pub campaigns: u8,
    /// Entries in a log.
    pub log: u8,
    /// Restarts in the whole run.
    pub restarts: u8,
    /// The greatest epoch.
    pub epochs: u8,
    /// Leaders may hand over.
    pub transfers: bool,
    /// Writes in the whole run.
    pub writes: u8,
    /// Any message may tell any node of a higher term.
    pub hearsay: bool,
    /// Take states that can't behave differently for one state. Off only to check that this
    /// hides nothing.
    pub reduce: bool,
}

impl Settings {
    /// The same search with one rule broken.
    #[must_use]
    pub fn breaking(self, violation: Violation) -> Self {
        Self { violation: Some(violation), ..self }
    }

    /// Whether this rule is broken.
    #[must_use]
    pub fn breaks(&self, violation: Violation) -> bool {
        self.violation == Some(violation)
    }

    /// The longest promise that any node gives.
    #[must_use]
    pub fn longest_window(&self) -> Time {
        self.windows.into_iter().max().unwrap_or(0)
    }

    /// Whether states that differ in the names of nodes 1 and 2 are taken for one.
    #[must_use]
    pub fn symmetric(&self) -> bool {
        let alike = self.plan.iter().all(|voters| voters.is_symmetric());
        self.reduce && self.windows[1] == self.windows[2] && alike
    }

    /// The configuration after this many changes.
    #[must_use]
    pub(crate) fn voters(&self, config: u8) -> Voters {
        self.plan[usize::from(config)]
    }

    /// The seat of the replica that a node has, or is given next, as of this configuration: how
    /// often one was removed there before.
    #[must_use]
    pub(crate) fn seat(&self, config: u8, id: NodeId) -> u8 {
        if !self.buries {
            return 0;
        }
        let so_far = &self.plan[..=usize::from(config)];
        let removed = |pair: &&[Voters]| pair[0].contains(id) && !pair[1].contains(id);
        so_far.windows(2).filter(removed).count() as u8
    }

    /// The change by which the node has lost its vote as of this configuration, if it has none.
    pub(crate) fn removal(&self, config: u8, id: NodeId) -> Option<u8> {
        let removes = |change: &u8| {
            self.voters(change - 1).contains(id) && !self.voters(*change).contains(id)
        };
        (1..=config).rev().find(removes).filter(|_| !self.voters(config).contains(id))
    }

    /// All ids, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        0..self.nodes
    }

    /// All ids but one, in order.
    pub(crate) fn others(&self, id: NodeId) -> impl Iterator<Item = NodeId> + use<> {
        self.ids().filter(move |&other| other != id)
    }
}

/// Three voters, once and for all.
const THREE: &[Voters] = &[Voters::of(0b0111)];

const BASE: Settings = Settings {
    name: "base",
    violation: None,
    nodes: 3,
    plan: THREE,
    releases: false,
    buries: false,
    begin_with_leader: true,
    ticks: 3,
    windows: [2; NODES],
    margin: 0,
    missed_ticks: 0,
    flight: 0,
    duplicates: false,
    terms: 2,
    campaigns: 1,
    log: 3,
    restarts: 0,
    epochs: 1,
    transfers: false,
    writes: 1,
    hearsay: false,
    reduce: true,
};

/// Promises run out, epochs rise, a failover follows.
pub const EXPIRY: Settings = Settings { name: "expiry", ticks: 4, epochs: 2, ..BASE };

/// Beats and promises take time, overtake each other, get lost and arrive twice.
pub const DELAY: Settings = Settings {
    name: "delay",
    ticks: 2,
    windows: [1; NODES],
    flight: 2,
    duplicates: true,
    writes: 0,
    ..BASE
};

/// Clocks that run at different rates.
pub const DRIFT: Settings = Settings { name: "drift", margin: 1, missed_ticks: 2, ..BASE };

/// Nodes whose promises last differently long.
pub const UNEQUAL: Settings = Settings { name: "unequal", ticks: 4, windows: [3, 1, 2, 0], ..BASE };

/// One restart of any node.
pub const RESTART: Settings = Settings { name: "restart", restarts: 1, ..BASE };

/// Handing over, with a second campaign, so that it may fail.
pub const TRANSFER: Settings = Settings {
    name: "transfer",
    ticks: 1,
    windows: [1; NODES],
    terms: 3,
    campaigns: 2,
    transfers: true,
    writes: 0,
    ..BASE
};

/// Handing over while any one node restarts.
pub const DRAIN: Settings = Settings {
    name: "drain",
    ticks: 2,
    windows: [1; NODES],
    restarts: 1,
    transfers: true,
    writes: 0,
    ..BASE
};

/// Three terms, two campaigns that may compete, and rumours of higher terms.
pub const ELECTIONS: Settings = Settings {
    name: "elections",
    ticks: 1,
    windows: [1; NODES],
    terms: 3,
    campaigns: 2,
    hearsay: true,
    ..BASE
};

/// From nothing: the first election is part of the search.
pub const FRESH: Settings =
    Settings { name: "fresh", begin_with_leader: false, campaigns: 2, ..BASE };

/// Two campaigns that may compete for one term, and a restart.
pub const RIVALS: Settings = Settings {
    name: "rivals",
    ticks: 2,
    windows: [1; NODES],
    campaigns: 2,
    restarts: 1,
    writes: 0,
    ..BASE
};

/// A voter is added and another removed, one by one, as the code does.
const EXCHANGE: &[Voters] = &[Voters::of(0b0111), Voters::of(0b1111), Voters::of(0b1011)];
/// The same for the leader.
const RETREAT: &[Voters] = &[Voters::of(0b0111), Voters::of(0b1111), Voters::of(0b1110)];
/// A voter takes another's place in one change.
const REPLACE: &[Voters] = &[Voters::of(0b0111), Voters::joint(0b0111, 0b1011), Voters::of(0b1011)];
/// The leader's place is taken in one change.
const SUCCEED: &[Voters] = &[Voters::of(0b0111), Voters::joint(0b0111, 0b1110), Voters::of(0b1110)];
/// All but one of three voters leave in one change.
const SHRINK: &[Voters] = &[Voters::of(0b0111), Voters::joint(0b0111, 0b0001), Voters::of(0b0001)];

/// One voter becomes three in one change.
const EXPAND: &[Voters] = &[Voters::of(0b0001), Voters::joint(0b0001, 0b0111), Voters::of(0b0111)];

const FOUR: Settings =
    Settings { nodes: 4, plan: EXCHANGE, ticks: 0, windows: [1; NODES], log: 4, writes: 0, ..BASE };

/// A voter is exchanged for another, in two changes of one vote.
pub const SWAP: Settings = Settings { name: "swap", ..FOUR };

/// The leader is exchanged for another voter, in two changes of one vote.
pub const RETIRE: Settings = Settings { name: "retire", plan: RETREAT, releases: true, ..FOUR };

/// A voter is exchanged for another through a joint configuration.
pub const JOINT: Settings = Settings { name: "joint", plan: REPLACE, ..FOUR };

/// The leader is exchanged for another voter through a joint configuration.
pub const DEPOSE: Settings = Settings { name: "depose", plan: SUCCEED, ..FOUR };

/// Three voters become one through a joint configuration, while any one node restarts.
pub const SHED: Settings =
    Settings { name: "shed", nodes: 3, plan: SHRINK, ticks: 1, restarts: 1, ..FOUR };

/// One voter becomes three through a joint configuration; then a write, and two campaigns.
pub const GROW: Settings = Settings {
    name: "grow",
    nodes: 3,
    plan: EXPAND,
    terms: 3,
    campaigns: 2,
    log: 5,
    writes: 1,
    ..FOUR
};

/// Three voters become one while the lease is handed over.
pub const MOVE: Settings =
    Settings { name: "move", nodes: 3, plan: SHRINK, campaigns: 2, transfers: true, ..FOUR };

/// One of three voters leaves.
const LEAVE: &[Voters] = &[Voters::of(0b0111), Voters::of(0b0011)];
/// One of four voters leaves.
const QUIT: &[Voters] = &[Voters::of(0b1111), Voters::of(0b0111)];
/// One of three voters leaves, and its node is given a replica again.
const COME_BACK: &[Voters] = &[Voters::of(0b0111), Voters::of(0b0011), Voters::of(0b0111)];

/// One of three voters is removed and gives up its log; promises may run out.
pub const PART: Settings =
    Settings { name: "part", nodes: 3, plan: LEAVE, buries: true, ticks: 1, writes: 1, ..FOUR };

/// The same with rivals and a third term, in no time.
pub const DISPUTE: Settings =
    Settings { name: "dispute", ticks: 0, writes: 0, terms: 3, campaigns: 2, ..PART };

/// One of four voters is removed and gives up its log, with what stands behind its removal.
pub const QUARTER: Settings =
    Settings { name: "quarter", plan: QUIT, buries: true, writes: 1, log: 3, ..FOUR };

/// A voter is removed and added again.
pub const RETURN: Settings = Settings { name: "return", plan: COME_BACK, ticks: 0, ..PART };

/// Every configuration in which the unbroken protocol is checked exhaustively, each time.
pub const CONFIGURATIONS: [Settings; 20] = [
    EXPIRY, DELAY, DRIFT, UNEQUAL, RESTART, TRANSFER, DRAIN, ELECTIONS, FRESH, RIVALS, SWAP,
    RETIRE, JOINT, SHED, GROW, MOVE, PART, DISPUTE, QUARTER, RETURN,
];

/// Where a rule is broken only; the unbroken protocol is checked in these by hand.
pub const BY_HAND: [Settings; 1] = [DEPOSE];

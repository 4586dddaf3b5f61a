//! What bounds a search, and which rule, if any, is broken on purpose.

use crate::state::{NODES, Time};
use crate::violation::Violation;

/// Bounds and faults of one search. All together they make the number of states finite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// A name for reports.
    pub name: &'static str,
    /// The rule that is broken, if any.
    pub violation: Option<Violation>,
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
        self.reduce && self.windows[1] == self.windows[2]
    }
}

const BASE: Settings = Settings {
    name: "base",
    violation: None,
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
pub const UNEQUAL: Settings = Settings { name: "unequal", ticks: 4, windows: [3, 1, 2], ..BASE };

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

/// Every configuration in which the unbroken protocol is checked exhaustively.
pub const CONFIGURATIONS: [Settings; 10] =
    [EXPIRY, DELAY, DRIFT, UNEQUAL, RESTART, TRANSFER, DRAIN, ELECTIONS, FRESH, RIVALS];

//! What a node has and a shard takes: CPU, network and the log, each per second.
//!
//! Three dimensions and no more: "rebalancing along too many dimensions results in more
//! thrashing" (CockroachDB, `mmaprototype/load.go`). Memory is not one of them, since moving a
//! lease frees none; it counts where replicas are placed.
//!
//! Invariant: every number here is finite and not negative. What comes from outside is checked
//! before it becomes a `Resources` of the manager's state.

use core::ops::{Add, AddAssign, Mul, Sub};

/// Amounts per second, in three dimensions.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Resources {
    /// Microseconds of CPU time. A node of four cores has 4,000,000.
    pub cpu: f64,
    /// Bytes in and out.
    pub network: f64,
    /// Bytes appended to the node's log. (Not the time of the log thread: it waits for the disk
    /// most of the time under any load, and one sync serves whatever has gathered.)
    pub log: f64,
}

impl Resources {
    /// Nothing at all.
    pub const NONE: Self = Self { cpu: 0.0, network: 0.0, log: 0.0 };

    /// The three amounts, in the order cpu, network, log.
    #[must_use]
    pub fn amounts(self) -> [f64; 3] {
        [self.cpu, self.network, self.log]
    }

    /// The share of `capacity` that this takes, in the dimension that is scarcest: 1 is full.
    #[must_use]
    pub fn share_of(self, capacity: Self) -> f64 {
        let shares = self.amounts().into_iter().zip(capacity.amounts());
        shares.fold(0.0, |most, (amount, of)| if of > 0.0 { most.max(amount / of) } else { most })
    }

    /// The share of `capacity` that this takes in each dimension; nothing where there is none.
    #[must_use]
    pub fn shares_of(self, capacity: Self) -> Self {
        let share = |amount: f64, of: f64| if of > 0.0 { amount / of } else { 0.0 };
        Self {
            cpu: share(self.cpu, capacity.cpu),
            network: share(self.network, capacity.network),
            log: share(self.log, capacity.log),
        }
    }

    /// The larger amount of each dimension.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            network: self.network.max(other.network),
            log: self.log.max(other.log),
        }
    }

    /// Whether every amount is a number between 0 and `most`.
    pub(crate) fn is_sane(self, most: f64) -> bool {
        self.amounts().iter().all(|amount| (0.0..=most).contains(amount))
    }
}

impl Add for Resources {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            network: self.network + other.network,
            log: self.log + other.log,
        }
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What is left; nothing, where more is taken away than there is.
impl Sub for Resources {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            cpu: (self.cpu - other.cpu).max(0.0),
            network: (self.network - other.network).max(0.0),
            log: (self.log - other.log).max(0.0),
        }
    }
}

impl Mul<f64> for Resources {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self { cpu: self.cpu * factor, network: self.network * factor, log: self.log * factor }
    }
}

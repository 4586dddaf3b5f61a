//! Situations that runs should reach sometimes: what no run ever reaches, no run judges.
//!
//! All that are known stand here, and `sim --seeds` says after many runs how often each was
//! reached, and which of them never.

use std::collections::BTreeMap;

use cluster::{Event, ReplicaView};
use types::NodeId;

use crate::faults::{FAULTS, LATER_FAULTS};

/// Events of the core, by their names.
const EVENTS: &[&str] = &[
    "started",
    "blank",
    "founders disagree",
    "founds nothing",
    "founded",
    "directory lost",
    "directory went back",
    "life refused",
    "replica lost",
    "support given",
    "support withdrawn",
    "unheard",
    "heard",
    "disk stalled",
    "disk short",
    "disk has space",
    "disk slow",
    "clock gap",
    "peer's clock jumped",
    "clock off",
    "clock right",
    "campaigning",
    "lease acquired",
    "lease lost",
    "lease changed",
    "transfer begun",
    "lease given up",
    "stepped down",
    "transfer failed",
    "catch-up begun",
    "catch-up installed",
    "replicas changed",
    "committed entry conflicts",
    "members changed",
    "removed",
    "foreign cluster",
    "manager begun",
    "manager ended",
    "decided",
    "report refused",
    "replica freed",
    "log unreadable",
    "segment released",
    "said why a shard has no holder",
    "said that it has one again",
    "lease read",
];

/// That a replica is to be made anew, and how a decision says so.
pub(crate) const REPAIR_DECIDED: &str = "repair decided";
const TOO_FEW: &str = "too few living replicas";
/// That a node refuses a damaged directory.
pub(crate) const DAMAGE_REFUSED: &str = "damage refused";

/// That entries which are no longer in memory are read for a follower.
pub(crate) const LOG_READ_AGAIN: &str = "log read again";

/// What the disks that are left may have of a shard.
pub(crate) const SALVAGED_ALL: &str = "salvage of a majority";
pub(crate) const SALVAGED_IN_PART: &str = "salvage of less than a majority";

/// What is seen at looks, at machines and at clients.
const OTHERS: &[&str] = &[
    "leader without a valid lease",
    "learner",
    "voters differ from the goal",
    "data of no single index",
    "requests under way",
    "commit waits for a full disk",
    "process dies of its disk",
    "client gives up",
    "transaction called off",
    "value expired",
    REPAIR_DECIDED,
    DAMAGE_REFUSED,
    LOG_READ_AGAIN,
    SALVAGED_ALL,
    SALVAGED_IN_PART,
];

/// Errors that clients get.
pub(crate) const ERRORS: &[&str] = &[
    "reply MOVED",
    "reply TRYAGAIN",
    "reply CLUSTERDOWN",
    "reply UNCERTAIN",
    "reply MISCONF",
    "reply OOM",
    "reply EXECABORT",
];

/// Events that random runs don't have, and why.
const NOT_IN_RANDOM_RUNS: &[&str] = &[
    // Two clusters never meet here.
    "foreign cluster",
    // Founders' settings agree.
    "founders disagree",
    // They may always found a cluster.
    "founds nothing",
    // The fault model promises that there are none.
    "committed entry conflicts",
    // It is only told where a checker asks for it.
    "support given",
];

/// How often each situation was reached in a run.
#[derive(Clone, Default, Debug)]
pub(crate) struct Reached {
    counts: BTreeMap<&'static str, u64>,
    /// Reads under a lease: far more than of all else.
    reads: u64,
}

/// The most frequent event.
const LEASE_READ: &str = "lease read";

impl Reached {
    pub(crate) fn count(&mut self, name: &'static str) {
        if name == LEASE_READ {
            self.reads += 1;
        } else {
            *self.counts.entry(name).or_default() += 1;
        }
    }

    /// How often it was reached.
    pub(crate) fn times(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Counts what a replica is at when all are looked at.
    pub(crate) fn look(&mut self, node: NodeId, view: &ReplicaView) {
        if view.leader == Some(node) && !view.holds {
            self.count("leader without a valid lease");
        }
        if view.holds && !view.learners.is_empty() {
            self.count("learner");
        }
        if view.holds && view.voters.len() != view.goal.len() {
            self.count("voters differ from the goal");
        }
        if view.mixed {
            self.count("data of no single index");
        }
        if view.queued_bytes > 0 {
            self.count("requests under way");
        }
    }

    /// Everything, with the faults that struck.
    pub(crate) fn into_counts(
        self,
        faults: &[(crate::faults::Fault, u64)],
    ) -> BTreeMap<String, u64> {
        let reads = (self.reads > 0).then_some((String::from(LEASE_READ), self.reads));
        let faults = faults.iter().map(|(fault, count)| (format!("fault {fault:?}"), *count));
        let counts = self.counts.into_iter().map(|(name, count)| (name.to_owned(), count));
        counts.chain(reads).chain(faults).collect()
    }
}

/// The situations that many random runs have never reached.
#[must_use]
pub fn never_reached(counts: &BTreeMap<String, u64>) -> Vec<String> {
    let faults = FAULTS.iter().chain(&LATER_FAULTS).map(|fault| format!("fault {fault:?}"));
    let events = EVENTS.iter().filter(|name| !NOT_IN_RANDOM_RUNS.contains(name));
    let mut missing: Vec<String> = events
        .chain(OTHERS)
        .chain(ERRORS)
        .map(|name| (*name).to_owned())
        .chain(faults)
        .filter(|name| !counts.contains_key(name))
        .collect();
    missing.dedup();
    missing
}

/// What an event is called.
pub(crate) fn name_of(event: &Event) -> &'static str {
    match event {
        Event::Started { .. } => "started",
        Event::Blank { .. } => "blank",
        Event::FoundersDisagree { .. } => "founders disagree",
        Event::FoundsNothing => "founds nothing",
        Event::Founded => "founded",
        Event::DirectoryLost => "directory lost",
        Event::WentBack { .. } => "directory went back",
        Event::LifeRefused { .. } => "life refused",
        Event::ReplicaLost { .. } => "replica lost",
        Event::SupportGiven { .. } => "support given",
        Event::SupportWithdrawn { .. } => "support withdrawn",
        Event::Unheard { .. } => "unheard",
        Event::Heard { .. } => "heard",
        Event::DiskStalled => "disk stalled",
        Event::DiskShort { short: true } => "disk short",
        Event::DiskShort { short: false } => "disk has space",
        Event::DiskSlow { .. } => "disk slow",
        Event::ClockGap { .. } => "clock gap",
        Event::PeersClockJumped { .. } => "peer's clock jumped",
        Event::ClockOff { .. } => "clock off",
        Event::ClockRight { .. } => "clock right",
        Event::Campaigning { .. } => "campaigning",
        Event::LeaseAcquired { .. } => "lease acquired",
        Event::LeaseLost { .. } => "lease lost",
        Event::LeaseChanged { .. } => "lease changed",
        Event::TransferBegun { .. } => "transfer begun",
        Event::LeaseGivenUp { .. } => "lease given up",
        Event::SteppedDown { .. } => "stepped down",
        Event::TransferFailed { .. } => "transfer failed",
        Event::CatchUpBegun { .. } => "catch-up begun",
        Event::CatchUpInstalled { .. } => "catch-up installed",
        Event::ReplicasChanged { .. } => "replicas changed",
        Event::CommittedEntryConflicts { .. } => "committed entry conflicts",
        Event::MembersChanged { .. } => "members changed",
        Event::Removed => "removed",
        Event::ForeignCluster { .. } => "foreign cluster",
        Event::ManagerBegun { .. } => "manager begun",
        Event::ManagerEnded => "manager ended",
        Event::Decided(text) if text.contains(TOO_FEW) => REPAIR_DECIDED,
        Event::Decided(_) | Event::Arranged(_) => "decided",
        Event::ReportRefused { .. } => "report refused",
        Event::ReplicaFreed { .. } => "replica freed",
        Event::LogUnreadable { .. } => "log unreadable",
        Event::SegmentReleased { .. } => "segment released",
        Event::Unserved { .. } => "said why a shard has no holder",
        Event::ServedAgain { .. } => "said that it has one again",
        Event::ReadServed { .. } => "lease read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_events_are_known() {
        for name in NOT_IN_RANDOM_RUNS {
            assert!(EVENTS.contains(name), "{name}");
        }
        let event = Event::Removed;
        assert!(EVENTS.contains(&name_of(&event)));
        let mut reached = Reached::default();
        reached.count(name_of(&event));
        let counts = reached.into_counts(&[]);
        assert_eq!(counts.get("removed"), Some(&1));
        assert!(!never_reached(&counts).contains(&String::from("removed")));
        assert!(never_reached(&counts).contains(&String::from("fault Kill")));
    }
}

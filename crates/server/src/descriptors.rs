//! File descriptors: how many the system grants, and how many of them clients may use up.
//!
//! Clients are turned away before the last descriptors are gone: the log opens its next file, the
//! other nodes connect anew, and operators ask what is the matter just when there are most clients.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use types::limits::NODES_MAX;

/// Not more than this is asked for, whatever the system would grant.
const WANTED: u64 = 1 << 20;
/// Standard streams, poller, signals, listeners, files of the log and their directory.
const OWN: u64 = 32;
/// The HTTP API: so many requests at a time, each with a connection to the node.
const HTTP: u64 = 64;
/// For each node: two connections to it, two from it, and as many that take their place.
const PER_NODE: u64 = 8;
/// A cluster may grow: descriptors are kept for at least so many nodes.
const NODES_MIN: u64 = 16;
/// With so many descriptors there is enough for any number of nodes.
const PLENTY: u64 = 4096;
/// Connections of clients that are on their way out, beside those that are served, at most.
const LEAVING_MAX: u64 = 1024;

/// How descriptors are shared out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shares {
    /// Clients that are served.
    pub(crate) clients: u64,
    /// Clients that are turned away, or have got their last replies.
    pub(crate) leaving: u64,
}

/// Raises the limit as far as the system allows, and says how many descriptors there are.
pub(crate) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let before = current.unwrap_or(WANTED);
    let wanted = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
    if wanted <= before {
        return before;
    }
    let limit = Rlimit { current: Some(wanted), maximum };
    if setrlimit(Resource::Nofile, limit).is_ok() { wanted } else { before }
}

/// What clients may have of so many descriptors, in a cluster of so many nodes.
pub(crate) fn share_out(granted: u64, nodes: u64) -> Shares {
    let nodes = if granted >= PLENTY { NODES_MAX as u64 } else { nodes.max(NODES_MIN) };
    let rest = granted.saturating_sub(OWN + HTTP + PER_NODE * nodes);
    let leaving = (rest / 8).clamp(1, LEAVING_MAX);
    Shares { clients: rest.saturating_sub(leaving).max(1), leaving }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_reserve_are_never_more_than_there_are() {
        for granted in [300, 1024, 4095, 4096, 10_000, 1 << 20] {
            let Shares { clients, leaving } = share_out(granted, 3);
            assert!(clients + leaving + OWN + HTTP + PER_NODE * NODES_MIN <= granted);
            assert!(clients > leaving);
        }
        assert_eq!(share_out(10, 3), Shares { clients: 1, leaving: 1 });
        assert!(share_out(1024, 64).clients < share_out(1024, 3).clients);
    }
}

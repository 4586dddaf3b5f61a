//! Which clients know the topology: pairs of an address and a library's name of which some
//! connection has asked for it, on any node.
//!
//! Such clients ask every node for its part of DBSIZE, KEYS, SCAN and RANDOMKEY, often on other
//! connections than the one that asked for the topology; all others are shown the whole. The
//! picture is bounded, forgets, and may be wrong without harm: it decides about MOVED only where
//! the connection would end a moment later anyway, or together with what its requests show.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

use types::Monotonic;
use types::limits::NAME_BYTES_MAX;

/// How long clients with an address and library count as such that know the topology.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How often the other nodes are told of the same pair at most.
const TELL_INTERVAL: Duration = Duration::from_secs(60);
/// Most pairs that are remembered.
const PAIRS_MAX: usize = 4096;
/// Longest host name.
const HOST_BYTES_MAX: usize = 255;

/// The pairs and when they were last seen.
#[derive(Default)]
pub(super) struct TopologyClients {
    pairs: BTreeMap<(String, String), Seen>,
}

struct Seen {
    at: Monotonic,
    /// When this node last told the others.
    told: Option<Monotonic>,
}

impl TopologyClients {
    /// Notes a pair; what another node sends is bounded here.
    pub(super) fn note(&mut self, now: Monotonic, host: String, library: String) {
        let fits =
            !library.is_empty() && library.len() <= NAME_BYTES_MAX && host.len() <= HOST_BYTES_MAX;
        if !fits {
            return;
        }
        if let Some(seen) = self.pairs.get_mut(&(host.clone(), library.clone())) {
            seen.at = now;
            return;
        }
        if self.pairs.len() >= PAIRS_MAX {
            self.pairs.retain(|_, seen| now.since(seen.at) < REMEMBERED);
        }
        if self.pairs.len() < PAIRS_MAX {
            self.pairs.insert((host, library), Seen { at: now, told: None });
        }
    }

    /// Notes a pair of this node's own clients; says whether to tell the other nodes.
    pub(super) fn note_own(&mut self, now: Monotonic, host: &str, library: &str) -> bool {
        self.note(now, String::from(host), String::from(library));
        let pair = (String::from(host), String::from(library));
        let Some(seen) = self.pairs.get_mut(&pair) else { return false };
        let due = seen.told.is_none_or(|told| now.since(told) >= TELL_INTERVAL);
        if due {
            seen.told = Some(now);
        }
        due
    }

    /// Whether such clients have ever been seen, as far as is remembered.
    pub(super) fn has_seen(&self, host: &str, library: &str) -> bool {
        self.seen(host, library).is_some()
    }

    pub(super) fn contains(&self, now: Monotonic, host: &str, library: &str) -> bool {
        self.seen(host, library).is_some_and(|seen| now.since(seen.at) < REMEMBERED)
    }

    /// A pair without a library's name is never noted.
    fn seen(&self, host: &str, library: &str) -> Option<&Seen> {
        self.pairs.get(&(String::from(host), String::from(library)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(0) + Duration::from_secs(seconds)
    }

    #[test]
    fn the_others_are_told_once_a_minute() {
        let mut clients = TopologyClients::default();
        assert!(clients.note_own(at(0), "h", "redis-py"));
        assert!(!clients.note_own(at(59), "h", "redis-py"));
        assert!(clients.note_own(at(60), "h", "redis-py"));
        assert!(!clients.note_own(at(60), "h", ""), "a client without a library's name");
        assert!(clients.contains(at(659), "h", "redis-py"));
        assert!(!clients.contains(at(660), "h", "redis-py"));
        assert!(clients.has_seen("h", "redis-py") && !clients.has_seen("h", "other"));
        assert!(!clients.contains(at(60), "h", "other"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut clients = TopologyClients::default();
        for number in 0..PAIRS_MAX + 10 {
            clients.note(at(0), alloc::format!("{number}"), String::from("x"));
        }
        clients.note(at(0), String::from("h"), "x".repeat(NAME_BYTES_MAX + 1));
        assert_eq!(clients.pairs.len(), PAIRS_MAX);
        clients.note(at(600), String::from("late"), String::from("x"));
        assert_eq!(clients.pairs.len(), 1, "what was forgotten makes room");
    }
}

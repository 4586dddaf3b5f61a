//! What is played: a cluster, a workload, and what happens to them when.

use std::time::Duration;

use types::NodeId;

use crate::clients::{Clients, ZONES};
use crate::trace::Trace;

/// The load that clients offer. Open loop: it doesn't wait for the cluster.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Exponent of the zipf distribution of the keys' popularity. YCSB has 0.99; half of
    /// Twitter's clusters are above 1.2 (twitter/cache-trace, `stat/2020Mar.md`).
    pub alpha: f64,
    /// Keys.
    pub keys: u32,
    /// Share of the requests that read.
    pub reads: f64,
    /// Mean utilisation of the nodes of the beginning.
    pub utilisation: f64,
    /// Standard deviation of the logarithm of each shard's load, drawn anew every second.
    pub noise: f64,
    /// How much the load swings over a day, in three phases spread over the shards: 0.6 is
    /// +-60 %.
    pub swing: f64,
    /// The length of a day.
    pub day: Duration,
    /// Where clients are, if they are anywhere: needs nodes in three zones.
    pub clients: Option<Clients>,
    /// A recorded load instead of a generated one.
    pub trace: Option<Trace>,
}

impl Workload {
    /// Steady load of the given skew: 95 % reads, 70 % utilisation, 15 % noise.
    #[must_use]
    pub fn zipf(alpha: f64) -> Self {
        Self {
            alpha,
            keys: 2_000_000,
            reads: 0.95,
            utilisation: 0.7,
            noise: 0.15,
            swing: 0.0,
            day: Duration::from_secs(7200),
            clients: None,
            trace: None,
        }
    }
}

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The popular keys change places with unpopular ones.
    Shift,
    /// One key that was of no note becomes so many times the mean shard within ten seconds, for
    /// three minutes.
    Flash {
        /// At its height, in hundredths of the mean load of a shard.
        height: u32,
    },
    /// A node dies.
    Kill(NodeId),
    /// A dead node starts again, without leases.
    Start(NodeId),
    /// The operator drains a node of its leases.
    Drain(NodeId),
    /// The operator ends that.
    EndDrain(NodeId),
    /// The operator removes a node: its replicas leave too.
    Remove(NodeId),
    /// A node without replicas joins.
    Join(NodeId),
    /// The manager dies, and its memory with it.
    ManagerDown,
    /// A new manager begins, knowing nothing.
    ManagerUp,
    /// A second manager begins to decide beside the first one.
    SecondManager,
    /// The second manager ends.
    EndSecondManager,
    /// Somebody else moves so many leases a second at random, for a minute.
    Storm(u32),
}

/// A cluster, its load, and what happens.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is about, in a line.
    pub about: &'static str,
    /// Nodes at the beginning, numbered from 1.
    pub nodes: u32,
    /// Zones that the nodes are spread over.
    pub zones: u32,
    /// Shards.
    pub shards: u16,
    /// Replicas of each shard.
    pub replicas: u32,
    /// How long it lasts.
    pub length: Duration,
    /// What everything random comes from.
    pub seed: u64,
    /// The load.
    pub workload: Workload,
    /// What happens, and when.
    pub events: Vec<(Duration, Event)>,
}

/// How long a recorded load goes on after its last row.
const RECORDED_REST: Duration = Duration::from_secs(10);

/// Words in small letters, joined by hyphens.
fn id(words: &str) -> String {
    let words = words.split([' ', '-', ',']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

impl Scenario {
    /// Six nodes in one zone, 256 shards with three replicas, ten minutes of steady zipf load.
    #[must_use]
    pub fn new(name: &str, about: &'static str, alpha: f64) -> Self {
        Self {
            name: name.into(),
            about,
            nodes: 6,
            zones: 1,
            shards: 256,
            replicas: 3,
            length: Duration::from_secs(600),
            seed: 1,
            workload: Workload::zipf(alpha),
            events: Vec::new(),
        }
    }

    /// Adds what happens at a second.
    #[must_use]
    pub fn at(mut self, second: u64, event: Event) -> Self {
        self.events.push((Duration::from_secs(second), event));
        self
    }

    /// Sets how long it lasts.
    #[must_use]
    pub fn lasting(mut self, seconds: u64) -> Self {
        self.length = Duration::from_secs(seconds);
        self
    }

    /// Skewed load, unmoved: the initial places are the only disturbance.
    #[must_use]
    pub fn skewed(alpha: f64) -> Self {
        let about = "skewed load, unmoved: the initial places are the only disturbance";
        Self::new(&format!("S1 zipf {alpha}"), about, alpha)
    }

    /// The hot keys change places every so many seconds, from the second minute on.
    #[must_use]
    pub fn hot_spot_shift(every: u64) -> Self {
        let about = "the hot keys change places again and again, from the second minute on";
        let scenario = Self::new(&format!("S2 hot-spot shift every {every} s"), about, 1.2);
        let shifts = (120..scenario.length.as_secs()).step_by(every.max(1) as usize);
        shifts.fold(scenario, |scenario, second| scenario.at(second, Event::Shift))
    }

    /// One shift, after which the load stays: how fast is balance restored?
    #[must_use]
    pub fn one_shift(seed: u64) -> Self {
        let about = "the hot keys change places once: how fast is balance restored?";
        let mut scenario = Self::new("S2 one hot-spot shift", about, 1.2).lasting(240);
        scenario.seed = seed;
        scenario.at(120, Event::Shift)
    }

    /// A key becomes the most popular one within ten seconds.
    #[must_use]
    pub fn flash_crowd() -> Self {
        let about = "a key of no note becomes the most popular one within ten seconds";
        Self::new("S3 flash crowd", about, 0.8).lasting(480).at(120, Event::Flash { height: 3000 })
    }

    /// Load that swings with the hours, in three phases.
    #[must_use]
    pub fn diurnal() -> Self {
        let about = "the load swings with the hours, in three phases";
        let mut scenario = Self::new("S4 diurnal", about, 0.8).lasting(3600);
        scenario.workload.swing = 0.6;
        scenario.workload.utilisation = 0.55;
        scenario.workload.day = Duration::from_secs(1800);
        scenario
    }

    /// A node is lost and comes back; then two at once.
    #[must_use]
    pub fn node_loss() -> Self {
        let about = "a node is lost and comes back; then two at once";
        let mut scenario = Self::new("S5 node loss", about, 0.99).lasting(420);
        scenario.workload.utilisation = 0.5;
        scenario
            .at(120, Event::Kill(NodeId(2)))
            .at(180, Event::Start(NodeId(2)))
            .at(260, Event::Kill(NodeId(3)))
            .at(260, Event::Kill(NodeId(5)))
            .at(330, Event::Start(NodeId(3)))
            .at(330, Event::Start(NodeId(5)))
    }

    /// All nodes are drained and restarted, one after the other.
    #[must_use]
    pub fn rolling_restart() -> Self {
        let about = "all nodes are drained and restarted, one after the other";
        let mut scenario = Self::new("S6 rolling restart", about, 0.99).lasting(480);
        scenario.workload.utilisation = 0.5;
        (1..=6).fold(scenario, |scenario, node| {
            let (begin, node) = (80 + u64::from(node) * 40, NodeId(node));
            scenario
                .at(begin, Event::Drain(node))
                .at(begin + 3, Event::Kill(node))
                .at(begin + 10, Event::Start(node))
                .at(begin + 10, Event::EndDrain(node))
        })
    }

    /// Somebody else moves leases at random, ever faster.
    #[must_use]
    pub fn move_storm() -> Self {
        let about = "somebody else moves leases at random, ever faster";
        Self::new("S7 move storm", about, 0.99)
            .lasting(480)
            .at(120, Event::Storm(1))
            .at(220, Event::Storm(5))
            .at(320, Event::Storm(20))
    }

    /// A day of an hour in three zones, two of which are near to each other: do leases
    /// follow the clients, and what do these gain?
    #[must_use]
    pub fn follow_the_sun(clients: Clients) -> Self {
        let (name, about) = match clients {
            Clients::Untagged => ("untagged", "every shard is asked from all zones, by their day"),
            Clients::Tagged => ("tagged", "a shard is asked from one zone, by the day there"),
            Clients::HandedOn => {
                ("handed on", "a shard is asked from one zone after the other, as the sun goes")
            }
        };
        let mut scenario = Self::new(&format!("S9 follow the sun, {name}"), about, 0.8);
        scenario.zones = ZONES as u32;
        scenario.workload.clients = Some(clients);
        scenario.workload.utilisation = 0.4;
        scenario.workload.swing = 0.6;
        scenario.workload.day = Duration::from_secs(3600);
        scenario.lasting(3600)
    }

    /// The manager dies while the load shifts, comes back, and later there are two.
    #[must_use]
    pub fn manager_loss() -> Self {
        let about = "the manager dies while the load shifts, comes back, and later there are two";
        Self::new("S10 manager loss and two managers", about, 1.2)
            .lasting(420)
            .at(120, Event::ManagerDown)
            .at(130, Event::Shift)
            .at(160, Event::ManagerUp)
            .at(240, Event::SecondManager)
            .at(250, Event::Shift)
            .at(330, Event::EndSecondManager)
    }

    /// A node joins without replicas, and another is removed.
    #[must_use]
    pub fn join_and_remove() -> Self {
        let about = "a node joins without replicas, and another is removed";
        Self::new("join and remove", about, 0.99)
            .lasting(1800)
            .at(60, Event::Join(NodeId(7)))
            .at(1200, Event::Drain(NodeId(1)))
            .at(1260, Event::Remove(NodeId(1)))
    }

    /// A recorded load on so many nodes, with as many shards as it names. Its last rows stand
    /// for ten seconds.
    #[must_use]
    pub fn recorded(trace: Trace, nodes: u32) -> Self {
        let mut scenario = Self::new("recorded load", "a load from a file", 0.0);
        scenario.nodes = nodes;
        scenario.shards = u16::try_from(trace.shards()).expect("a trace has at most 1024 shards");
        scenario.length = trace.length() + RECORDED_REST;
        scenario.workload.noise = 0.0;
        scenario.workload.trace = Some(trace);
        scenario
    }

    /// Its name as one word, for command lines.
    #[must_use]
    pub fn id(&self) -> String {
        id(&self.name)
    }

    /// Whether these are its name, or some words of it in a row: `s2`, `hot-spot`, `Zipf 1.2`.
    #[must_use]
    pub fn is_called(&self, words: &str) -> bool {
        let words = id(words);
        !words.is_empty() && format!("-{}-", self.id()).contains(&format!("-{words}-"))
    }

    /// The scenarios that a release is measured with.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![
            Self::skewed(0.99),
            Self::skewed(1.2),
            Self::skewed(1.5),
            Self::one_shift(1),
            Self::hot_spot_shift(60),
            Self::hot_spot_shift(10),
            Self::flash_crowd(),
            Self::diurnal(),
            Self::node_loss(),
            Self::rolling_restart(),
            Self::move_storm(),
            Self::follow_the_sun(Clients::Untagged),
            Self::follow_the_sun(Clients::Tagged),
            Self::follow_the_sun(Clients::HandedOn),
            Self::manager_loss(),
            Self::join_and_remove(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_by_name() {
        let found = |words: &str| {
            let all = Scenario::all();
            let called = all.iter().filter(|scenario| scenario.is_called(words));
            called.map(Scenario::id).collect::<Vec<_>>()
        };
        assert_eq!(found("S1"), ["s1-zipf-0.99", "s1-zipf-1.2", "s1-zipf-1.5"]);
        assert_eq!(found("Zipf 1.2"), ["s1-zipf-1.2"]);
        assert_eq!(found("one-hot-spot"), ["s2-one-hot-spot-shift"]);
        assert!(found("").is_empty() && found("los").is_empty());
        for scenario in Scenario::all() {
            assert!(scenario.is_called(&scenario.name), "{}", scenario.name);
            assert_eq!(found(&scenario.id()), [scenario.id()]);
        }
    }
}

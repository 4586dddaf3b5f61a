//! Whole clusters in one thread and in virtual time, from one seed.
//!
//! The simulator drives the real core (`cluster`) and the real log (`wal`, on its disk in memory).
//! Clocks, disks, the network and clients are its own, and break in every way that the design
//! says it can bear. A run ([`run`]) is drawn from its seed as a whole: topology, settings,
//! workload, faults. It is judged by checkers that watch all nodes with true time, and by the
//! checkers of clients' histories. Scenarios ([`scenario`]) are runs told by text files.
//!
//! Read `world` and `queue` first (what there is and what happens when), then `machine` and `turn`
//! (one process), `network`, `clock`; `clients`, `workload` and `aside`; `plan` (what a run is to
//! be), `faults`, `lasting` (what clients are told while a fault lasts), `membership`, `operators`
//! and `run`; `checks`, `order`, `expiry` and `situations`; `kills` (a node's death at every step
//! of a short story).

mod aim;
mod aside;
mod checks;
mod clients;
mod clock;
mod expiry;
mod faults;
mod kills;
mod lasting;
mod losses;
mod machine;
mod membership;
mod network;
mod operators;
mod order;
mod plan;
mod planted;
mod queue;
mod random;
mod run;
mod salvage;
pub mod scenario;
mod situations;
mod trace;
mod turn;
mod turn_time;
mod workload;
mod world;

pub use aside::Variety;
pub use checks::Violation;
pub use cluster::Planting;
pub use faults::Fault;
pub use kills::{Extent, STORIES, Story, Tally, kill_everywhere};
pub use lasting::Lasting;
pub use machine::DiskProfile;
pub use network::NetworkProfile;
pub use plan::Plan;
pub use planted::{Catches, RANDOM_PLANTINGS, runs_until_caught};
pub use random::Random;
pub use run::{Outcome, run};
pub use situations::never_reached;
pub use trace::{Trace, TraceMode};
pub use workload::{CLASSES, Class, Workload};
pub use world::{ConnectionId, Counters, Happening, MILLISECOND, MachineProfile, SECOND, World};

//! A load driver for stores that speak the Redis protocol, alone or as a cluster.
//!
//! [`run`] drives many connections from few threads, each an event loop of its own, and measures
//! what a user would see: throughput, latency from the moment a request was due, errors by kind,
//! redirections, and the longest time without any success, over all and for each range of slots.
//! It can write down every operation as a history, which [`check`] judges.
//!
//! Beside it stand two yardsticks that [`run`] can't load: [`etcd()`], and the [`floor()`] under
//! any write that a majority has on disk.
//!
//! Reading order: [`Options`], `workload` (what is asked), `worker` and `outcome` (who asks: the
//! event loop), `connection`, `topology` (who is asked), `recorder` (what is noted), [`Report`].
//!
//! Deliberately absent: silent retries. An error is counted, a redirection is counted and
//! followed as a new attempt, and what has no answer is an operation of unknown outcome.

mod arguments;
mod check;
mod connection;
mod cpu;
mod encode;
mod etcd;
#[cfg(test)]
mod fake;
mod floor;
mod keys;
mod options;
mod outcome;
mod recorder;
mod reply;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod topology;
mod worker;
mod workload;

pub use arguments::Arguments;
pub use check::{Checked, check};
pub use etcd::{EtcdLoad, EtcdReport, etcd};
pub use floor::{FloorOptions, FloorReport, floor};
pub use options::{Error, Keys, Limit, Options, Pin};
pub use report::{Gap, Latency, Report};
pub use run::run;

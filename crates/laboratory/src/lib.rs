//! The policy laboratory: the manager's own code against generated or recorded loads, with many
//! nodes and shards, in virtual time.
//!
//! It answers what a policy is worth before a cluster runs it: how long nodes are asked for more
//! than they have, how far the fullest node is above the best that is possible, how often leases
//! move, and how fast the cluster recovers; always beside `static`, `random` and an `oracle`.
//!
//! ```
//! use laboratory::{PolicyKind, Scenario, run};
//! use std::time::Duration;
//!
//! let scenario = Scenario::skewed(0.99).lasting(20);
//! let report = run(&scenario, PolicyKind::reactive(Duration::from_secs(1))).expect("valid");
//! println!("{report}{}", report.curves(60, 8));
//! assert_eq!(report.totals.flips, 0);
//! ```

mod bound;
mod clients;
mod control;
mod demand;
mod measure;
mod random;
mod report;
mod run;
mod scenario;
mod trace;
mod world;

pub use clients::{Clients, RoundTrips};
pub use control::PolicyKind;
pub use measure::{Recovery, Row, Totals};
pub use report::Report;
pub use run::run;
pub use scenario::{Event, Scenario, Workload};
pub use trace::{Trace, TraceError};

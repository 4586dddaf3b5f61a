//! The manager from outside: a small cluster reports, the manager decides, and what is decided
//! happens.

mod arbitrary;
mod border;
mod leases;
mod replicas;
mod support;

//! Tests of the real program: processes, sockets, disks, signals, and other people's clients.
//!
//! Each test has a cluster of its own and judges answers or histories, never timings: figures are
//! printed (`cargo test -p leasehold --test blackbox -- --nocapture`), and the only bounds on
//! time catch hangs. See `tests/README.md` for what each test covers.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tests print what they measure")]

mod administration;
mod bad_clients;
mod bad_starts;
mod command_line;
mod commands;
mod faults;
mod http_api;
mod idle;
mod limits;
mod manager;
mod other_clients;
mod restarts;
mod rolling_restart;
mod salvage;
mod support;
mod transfers;

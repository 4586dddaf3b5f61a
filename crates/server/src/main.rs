//! Leasehold: one binary that is a node, a development cluster and the operator's tools.
//!
//! The node's behaviour lives in the crate `cluster`, which is pure. Here are the shells around
//! it: sockets, disk, clock, configuration and command line. Read `event_loop` first; it drives
//! everything else. `cli` has one module for each subcommand.

mod allocator;
mod buffers;
mod cli;
mod client_connection;
mod clients;
mod clock;
mod config;
mod core;
mod data_directory;
mod descriptors;
mod event_loop;
mod events;
mod exit;
mod http;
mod log_lines;
mod log_reader;
mod log_thread;
mod output_buffer;
mod peer_frame;
mod peer_intake;
mod peer_link;
mod peer_roster;
mod peer_transport;
mod process_stats;
mod resolver;
mod resp_client;
mod round_trips;
mod signals;
mod socket;
mod zone;

use std::process::ExitCode;

/// Smaller and faster than the system's for a program that makes and drops many small values;
/// `docs/adr/0004-event-loop.md` has the figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}

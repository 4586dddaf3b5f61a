//! Signals that end the process, as bytes in a socket that the event loop polls.
//!
//! The first one asks the node to hand its leases over; a second one means now.

use std::io::{self, Read};
use std::os::unix::net::UnixStream as Blocking;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The receiving end of the process's signals.
#[derive(Debug)]
pub(crate) struct Signals {
    receiver: UnixStream,
}

impl Signals {
    /// Catches SIGTERM, SIGINT and SIGHUP from now on.
    ///
    /// # Errors
    /// If the system has no file descriptors left.
    pub(crate) fn catch(registry: &Registry, token: Token) -> io::Result<Self> {
        let (receiver, sender) = Blocking::pair()?;
        receiver.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        let mut receiver = UnixStream::from_std(receiver);
        registry.register(&mut receiver, token, Interest::READABLE)?;
        Ok(Self { receiver })
    }

    /// How many signals have arrived since the last call.
    pub(crate) fn count(&mut self) -> usize {
        let mut total = 0;
        let mut bytes = [0; 16];
        loop {
            match self.receiver.read(&mut bytes) {
                Ok(0) | Err(_) => return total,
                Ok(count) => total += count,
            }
        }
    }
}

//! What every socket of the server is told once, and how new ones are accepted.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use types::Monotonic;

use crate::clock;

/// After how much silence the system asks whether a connection's other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(300);
/// How long no connection is accepted after the system had no file descriptor for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that are accepted in one turn.
const ACCEPTS_MAX: usize = 64;

/// Sends small writes at once, and notices ends that have vanished.
///
/// # Errors
/// If the connection is gone already.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
    Ok(())
}

/// Gives a connection up when what was sent has not been acknowledged for this long. Without it a
/// connection that a broken network has cut off is tried again less and less often, for minutes.
///
/// # Errors
/// If the connection is gone already.
pub(crate) fn give_up_after(stream: &TcpStream, time: Duration) -> io::Result<()> {
    let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(stream, millis)?)
}

/// Begins to connect. With `segment` no packet on the connection bears more bytes than that, in
/// either direction: larger ones may vanish on the way.
///
/// # Errors
/// What the operating system says at once.
pub(crate) fn connect(address: SocketAddr, segment: Option<u32>) -> io::Result<TcpStream> {
    let Some(segment) = segment else { return TcpStream::connect(address) };
    let kind = (Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let socket = Socket::new(kind.0, kind.1, kind.2)?;
    socket.set_nonblocking(true)?;
    // It is agreed on while connecting, so it must be set before.
    socket.set_tcp_mss(segment)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Whether reading or writing should just be tried again later.
pub(crate) fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// A listening socket that backs off when the process runs out of file descriptors.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    ready: bool,
    paused_until: Option<Monotonic>,
    /// The failure has been logged; once is enough until accepting works again.
    reported: bool,
}

impl Acceptor {
    /// Listens at `address`.
    ///
    /// # Errors
    /// What the operating system says: mostly that another process listens there.
    pub(crate) fn bind(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut listener = TcpListener::bind(address)?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self { listener, ready: true, paused_until: None, reported: false })
    }

    /// Says that connections wait.
    pub(crate) fn wake(&mut self) {
        self.ready = true;
    }

    /// When to try again, if the process has run out of file descriptors.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        match self.paused_until {
            Some(until) => until,
            // Connections are left over from a turn that had accepted enough.
            None if self.ready => Monotonic::default(),
            None => Monotonic::NEVER,
        }
    }

    /// Accepts what waits, but no more than is good for one turn.
    pub(crate) fn accept(&mut self, mut take: impl FnMut(TcpStream, SocketAddr)) {
        if !self.ready {
            return;
        }
        if let Some(until) = self.paused_until {
            if clock::monotonic() < until {
                return;
            }
            self.paused_until = None;
        }
        for _ in 0..ACCEPTS_MAX {
            match self.listener.accept() {
                Ok((stream, address)) => {
                    self.reported = false;
                    take(stream, address);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready = false;
                    return;
                }
                // The client has given up before it was accepted.
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    if !self.reported {
                        self.reported = true;
                        tracing::warn!(%error, "cannot accept connections; trying again shortly");
                    }
                    self.paused_until = Some(clock::monotonic() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

//! Names of nodes to addresses. Resolving blocks for as long as a name server likes, so it has a
//! thread of its own; the event loop asks and is woken when the answer is there.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::Waker;

/// An answer, for the question of this number.
pub(crate) type Answer = (usize, io::Result<SocketAddr>);

/// The thread that resolves names, and the way to it and back.
#[derive(Debug)]
pub(crate) struct Resolver {
    questions: Sender<(usize, String, u16)>,
    answers: Receiver<Answer>,
}

impl Resolver {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(crate) fn start(waker: Arc<Waker>) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel::<(usize, String, u16)>();
        let (answer, answers) = mpsc::channel();
        thread::Builder::new().name("resolver".into()).spawn(move || {
            for (number, host, port) in asked {
                let result = resolve(&host, port);
                if answer.send((number, result)).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers })
    }

    /// Asks for the address of a host. An address is its own answer and `None` means: wait.
    pub(crate) fn ask(&self, number: usize, host: &str, port: u16) -> Option<SocketAddr> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(SocketAddr::new(address, port));
        }
        // The thread lives as long as this end of the channel.
        let _ = self.questions.send((number, host.to_owned(), port));
        None
    }

    /// The next answer that has arrived.
    pub(crate) fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let found = (host, port).to_socket_addrs()?.next();
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

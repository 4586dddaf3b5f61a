//! Names of nodes to addresses. Resolving blocks for as long as a name server likes, so it has a
//! thread of its own; the event loop asks and is woken when the answer is there.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::Waker;

/// Tells a question from all others of this process: a link that was dropped meanwhile must not
/// leave its answer to the one that came after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Question(u64);

/// An answer, with its question.
pub(crate) type Answer = (Question, io::Result<SocketAddr>);

/// What asking for an address comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// The host was an address already.
    Known(SocketAddr),
    /// The answer comes later, with this number.
    Later(Question),
}

/// The thread that resolves names, and the way to it and back.
#[derive(Debug)]
pub(crate) struct Resolver {
    questions: Sender<(Question, String, u16)>,
    newest: Question,
    answers: Receiver<Answer>,
}

impl Resolver {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(crate) fn start(waker: Arc<Waker>) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel::<(Question, String, u16)>();
        let (answer, answers) = mpsc::channel();
        thread::Builder::new().name("resolver".into()).spawn(move || {
            for (number, host, port) in asked {
                let result = resolve(&host, port);
                if answer.send((number, result)).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, newest: Question::default(), answers })
    }

    /// Asks for the address of a host.
    pub(crate) fn ask(&mut self, host: &str, port: u16) -> Asked {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Asked::Known(SocketAddr::new(address, port));
        }
        self.newest.0 += 1;
        // The thread lives as long as this end of the channel.
        let _ = self.questions.send((self.newest, host.to_owned(), port));
        Asked::Later(self.newest)
    }

    /// The next answer that has arrived.
    pub(crate) fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

/// Whether a host has an address, as seen from here; whoever asks waits for the answer.
///
/// # Errors
/// What is wrong with the name, and what to do.
pub(crate) fn check(host: &str, port: u16) -> Result<(), String> {
    resolve(host, port).map(|_| ()).map_err(|error| {
        format!(
            "the host `{host}` has no address here ({error}), so the other nodes would look for \
             the node in vain: nothing was changed. Correct the name, or give an address. A name \
             that comes only with the node's process: start that first, it waits to be let in"
        )
    })
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let found = (host, port).to_socket_addrs()?.next();
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_an_address_is_named() {
        assert_eq!(check("127.0.0.1", 7001), Ok(()));
        assert_eq!(check("::1", 7001), Ok(()));
        // Names under `.invalid` have no address, by RFC 6761.
        let refusal = check("nosuch.invalid", 7001).map_err(|text| text.contains("nosuch.invalid"));
        assert_eq!(refusal, Err(true));
    }
}

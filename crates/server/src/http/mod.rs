//! The HTTP API: JSON for programs, metrics, and a page for people (`docs/http-api.md`).
//!
//! It is a client like any other. For each request it connects to its own node over the Redis
//! protocol, with the password that the request brought, so there is no second way into the core
//! and no second place that knows passwords. `docs/adr/0013-admin-api.md` has the reasons.
//!
//! In reading order: `routes` is the one table that dispatch, OpenAPI and the documentation derive
//! from; `exchange` reads requests and writes responses; `admission` decides who may ask;
//! `handlers` ask the node; `own_view` gives the same form to what it knows without a manager.
//! A thread accepts; each connection has a thread for its one request.

mod admission;
mod document;
mod exchange;
mod handlers;
mod own_view;
mod routes;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config::Config;

pub(crate) use document::markdown;
use exchange::{Problem, Request, Response};

/// Most requests at a time; others wait in the system's queue.
const CONNECTIONS_MAX: usize = 32;
/// How long the acceptor rests when the system has no descriptors or threads left.
const PAUSE: Duration = Duration::from_secs(1);

/// What the API must know.
#[derive(Clone, Debug)]
struct Site {
    /// Where the node serves clients, as seen from the same machine.
    node: SocketAddr,
    /// The name under which the node is known.
    host: String,
    /// Whether other machines are refused while there is no password.
    protected_mode: bool,
}

/// Serves the API in threads of its own if the configuration says so.
///
/// # Errors
/// If its address can't be listened at; says which one.
pub(crate) fn start(config: &Config) -> io::Result<()> {
    let Some(listen) = config.http_listen else { return Ok(()) };
    let settings = config.settings();
    let own = settings.members.iter().find(|member| member.node == settings.node);
    let own = own.ok_or_else(|| io::Error::other("this node is not a member"))?;
    let site = Site {
        node: SocketAddr::new(from_here(config.listen), own.port),
        host: own.host.clone(),
        protected_mode: config.protected_mode,
    };
    let listener = TcpListener::bind(listen).map_err(|error| {
        let text = format!(
            "cannot listen for HTTP at {listen}: {error}.\n\
             To fix it: stop what uses the address, or choose another with the setting \
             `http_listen`; empty is none."
        );
        io::Error::new(error.kind(), text)
    })?;
    tracing::info!(address = %listen, "serving HTTP");
    serve(listener, site)
}

/// Whether the cluster has removed this node, for `/healthz`, which asks nobody.
static REMOVED: AtomicBool = AtomicBool::new(false);

/// The cluster has removed this node: from now on `/healthz` says so.
pub(crate) fn note_removed() {
    REMOVED.store(true, Ordering::Relaxed);
}

/// What the node has said last of whether it is ready, for `/readyz`, which needs no password.
static READINESS: Mutex<Option<Result<String, String>>> = Mutex::new(None);

/// Notes whether the node is ready, and what there is to say of it.
pub(crate) fn note_readiness(readiness: Result<String, String>) {
    *READINESS.lock().unwrap_or_else(PoisonError::into_inner) = Some(readiness);
}

fn readiness() -> Result<String, String> {
    let known = READINESS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    known.unwrap_or_else(|| Err(String::from("starting: the node has not begun to serve")))
}

/// An address that reaches this machine when it listens at all of its addresses.
fn from_here(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => listen,
    }
}

fn serve(listener: TcpListener, site: Site) -> io::Result<()> {
    let accept = move || {
        let (site, slots) = (Arc::new(site), Arc::new(Slots::default()));
        loop {
            let slot = Slots::take(&slots);
            let (site, accepted) = (Arc::clone(&site), listener.accept());
            let begun = accepted.and_then(|(stream, peer)| {
                let work = move || {
                    let _slot = slot;
                    converse(&site, &stream, peer);
                };
                thread::Builder::new().name("http-request".into()).spawn(work)
            });
            if let Err(error) = begun {
                tracing::warn!(%error, "cannot take an HTTP connection");
                slots.pause();
            }
        }
    };
    thread::Builder::new().name("http".into()).spawn(accept).map(|_| ())
}

/// How many requests are under way.
#[derive(Default)]
struct Slots {
    taken: Mutex<usize>,
    freed: Condvar,
}

/// The right to serve one request; given back when it is dropped.
struct Slot(Arc<Slots>);

impl Slots {
    /// Waits until there is room.
    fn take(slots: &Arc<Self>) -> Slot {
        let taken = slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut usize| *taken >= CONNECTIONS_MAX;
        let taken = slots.freed.wait_while(taken, full);
        *taken.unwrap_or_else(PoisonError::into_inner) += 1;
        Slot(Arc::clone(slots))
    }

    /// Waits until a request has ended, or a moment.
    fn pause(&self) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.freed.wait_timeout(taken, PAUSE));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_all();
    }
}

/// One connection: one request, one response.
fn converse(site: &Site, stream: &TcpStream, peer: SocketAddr) {
    let (response, head_only) = match exchange::read(stream) {
        // The client is gone, or said nothing.
        Ok(None) => return,
        Ok(Some(request)) => {
            let response = answer(site, &request, peer).unwrap_or_else(Response::from);
            tracing::debug!(
                client = %peer,
                method = request.method,
                path = request.path,
                status = response.status,
                "HTTP"
            );
            (response, request.method == "HEAD")
        }
        Err(problem) => (Response::from(problem), false),
    };
    // A client that doesn't take its answer has none.
    let _ = exchange::write(stream, &response, head_only);
}

fn answer(site: &Site, request: &Request, peer: SocketAddr) -> Result<Response, Problem> {
    let (route, ids) = routes::find(&request.method, &request.path)?;
    let query = routes::check_query(route, &request.query)?;
    let body = routes::check_body(route, request)?;
    let client = admission::admit(site, route, request, peer)?;
    (route.handler)(handlers::Call { ids, query, body, client })
}

#[cfg(test)]
mod tests;

//! Messages between nodes: two connections from each node to each other, one for data and one
//! that nothing queues before, for the beats that leases depend on.
//!
//! The node that sends is the node that dials. A node that dials anew replaces its connection
//! before; an older process of the same node is refused.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Input, Message};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token, Waker};
use slab::Slab;
use smallvec::SmallVec;
use types::limits::NODES_MAX;
use types::{Incarnation, Monotonic, NodeId};

use crate::clock;
use crate::config::Config;
use crate::core::Core;
use crate::peer_frame::{self, Greeting, Purpose};
use crate::peer_intake::{PeerIntake, Received};
use crate::peer_link::{Change, LinkRules, PeerAddress, PeerLink};
use crate::resolver::Resolver;
use crate::socket::{Acceptor, prepare};

/// How long a connection may stay without a greeting.
const GREETING_TIME: Duration = Duration::from_secs(2);
/// Most incoming connections: two for each node, and as many to be replaced.
pub(crate) const INTAKES_MAX: usize = 4 * NODES_MAX;
/// Most outgoing connections.
pub(crate) const LINKS_MAX: usize = 2 * NODES_MAX;

/// Where the tokens of this side's sockets begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerTokens {
    /// The listening socket's.
    pub(crate) acceptor: Token,
    /// The first of [`LINKS_MAX`].
    pub(crate) links: usize,
    /// The first of [`INTAKES_MAX`].
    pub(crate) intakes: usize,
}

/// The peers' side of the server.
pub(crate) struct PeerTransport {
    node: NodeId,
    cluster: String,
    acceptor: Acceptor,
    registry: Registry,
    tokens: PeerTokens,
    rules: LinkRules,
    /// Data and priority link of each other node, nodes in ascending order.
    links: Vec<PeerLink>,
    /// The newest incarnation that each of `links` has shown.
    incarnations: Vec<Incarnation>,
    intakes: Slab<PeerIntake>,
    /// Bytes read from all of them, former ones too.
    input_bytes: u64,
    resolver: Resolver,
}

impl PeerTransport {
    /// Listens for the other nodes and begins to dial them.
    ///
    /// # Errors
    /// If the address can't be listened at.
    pub(crate) fn bind(
        config: &Config,
        incarnation: Incarnation,
        address: SocketAddr,
        registry: &Registry,
        waker: Arc<Waker>,
        tokens: PeerTokens,
    ) -> io::Result<Self> {
        let settings = config.settings();
        let mut links = Vec::new();
        for member in settings.members.iter().filter(|member| member.node != settings.node) {
            for purpose in [Purpose::Data, Purpose::Priority] {
                let greeting = Greeting {
                    purpose,
                    from: settings.node,
                    to: member.node,
                    incarnation,
                    cluster: settings.cluster.clone(),
                };
                let (node, host, port) = (member.node, member.host.clone(), member.peer_port);
                links.push(PeerLink::new(PeerAddress { node, host, port }, &greeting));
            }
        }
        Ok(Self {
            node: settings.node,
            cluster: settings.cluster,
            acceptor: Acceptor::bind(address, registry, tokens.acceptor)?,
            registry: registry.try_clone()?,
            tokens,
            rules: LinkRules {
                output_bytes: usize::try_from(config.peer_output_bytes).unwrap_or(usize::MAX),
                unacknowledged_time: (settings.support_duration * 2).max(Duration::from_secs(1)),
            },
            incarnations: vec![Incarnation(0); links.len()],
            links,
            intakes: Slab::new(),
            input_bytes: 0,
            resolver: Resolver::start(waker)?,
        })
    }

    /// Says that nodes wait to be accepted.
    pub(crate) fn wake_acceptor(&mut self) {
        self.acceptor.wake();
    }

    /// Notes what the poller says about an incoming connection.
    pub(crate) fn note_intake(&mut self, event: &Event) {
        let index = event.token().0 - self.tokens.intakes;
        if let Some(intake) = self.intakes.get_mut(index) {
            intake.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            intake.read_closed |= event.is_read_closed() || event.is_error();
            // An answer is some bytes; if the socket took them not at once, it does so now.
            let _ = intake.output.write_to(&mut intake.stream);
        }
    }

    /// Goes on with an outgoing connection that the poller has spoken of.
    pub(crate) fn proceed(&mut self, token: Token, core: &mut Core) {
        if let Some(link) = self.links.get_mut(token.0 - self.tokens.links) {
            let change = link.proceed(&self.rules, clock::monotonic());
            tell(change, link, core);
        }
    }

    /// Accepts nodes that wait.
    pub(crate) fn accept(&mut self) {
        let mut accepted: SmallVec<[TcpStream; 8]> = SmallVec::new();
        self.acceptor.accept(|stream, _| accepted.push(stream));
        for mut stream in accepted {
            let room = self.intakes.len() < INTAKES_MAX;
            let index = self.intakes.vacant_key();
            let token = Token(self.tokens.intakes + index);
            let interest = Interest::READABLE | Interest::WRITABLE;
            let ready = room
                && prepare(&stream).is_ok()
                && self.registry.register(&mut stream, token, interest).is_ok();
            if ready {
                self.intakes.insert(PeerIntake::new(stream, clock::monotonic()));
            }
        }
    }

    /// Hands the messages of all readable connections of this purpose to the core. New
    /// connections are greeted along with the data.
    pub(crate) fn receive(&mut self, purpose: Purpose, core: &mut Core, buffer: &mut [u8]) {
        let mut ready: SmallVec<[usize; 16]> = SmallVec::new();
        for (index, intake) in &self.intakes {
            let its_purpose = intake.from.map_or(Purpose::Data, |(_, purpose)| purpose);
            if intake.readable && its_purpose == purpose {
                ready.push(index);
            }
        }
        for index in ready {
            let Some(intake) = self.intakes.get_mut(index) else { continue };
            let received = intake.receive(core, buffer);
            self.input_bytes += std::mem::take(&mut intake.uncounted);
            match received {
                Received::Messages => {}
                Received::Greeting(greeting) => self.greet(index, &greeting),
                Received::Over(reason) => self.drop_intake(index, reason.as_deref()),
            }
        }
    }

    /// Answers a greeting.
    fn greet(&mut self, index: usize, greeting: &Greeting) {
        let answer = self.judge(greeting);
        let Some(intake) = self.intakes.get_mut(index) else { return };
        peer_frame::write_answer(&answer, intake.output.tail());
        let written = intake.output.write_to(&mut intake.stream);
        if let Err(reason) = &answer {
            let (peer, cluster) = (greeting.from, &greeting.cluster);
            let address = intake.stream.peer_addr().ok();
            tracing::warn!(%peer, cluster, ?address, reason, "refused a node");
        }
        if answer.is_err() || written.is_err() {
            self.drop_intake(index, None);
            return;
        }
        let from = (greeting.from, greeting.purpose);
        intake.from = Some(from);
        let same =
            |&(other, intake): &(usize, &PeerIntake)| other != index && intake.from == Some(from);
        if let Some((before, _)) = self.intakes.iter().find(same) {
            self.drop_intake(before, None);
        }
        for (link, known) in self.links.iter_mut().zip(&mut self.incarnations) {
            if link.peer.node == greeting.from {
                *known = greeting.incarnation;
                link.hurry();
            }
        }
    }

    /// Whether a node is welcome.
    fn judge(&self, greeting: &Greeting) -> Result<(), String> {
        let Greeting { from, to, incarnation, cluster, .. } = greeting;
        if *cluster != self.cluster {
            let own = &self.cluster;
            return Err(format!("this node belongs to cluster `{own}`, not to `{cluster}`"));
        }
        if *to != self.node {
            let own = self.node.0;
            return Err(format!("this is node {own}, not node {}: check `members`", to.0));
        }
        let link = self.links.iter().position(|link| link.peer.node == *from);
        let Some(link) = link else {
            return Err(format!("node {} is not in this node's `members`", from.0));
        };
        if *incarnation < self.incarnations[link] {
            return Err(format!("a newer process of node {} is connected already", from.0));
        }
        Ok(())
    }

    fn drop_intake(&mut self, index: usize, reason: Option<&str>) {
        let mut intake = self.intakes.remove(index);
        if let Some(reason) = reason {
            let address = intake.stream.peer_addr().ok();
            let peer = intake.from.map(|(peer, _)| peer);
            tracing::warn!(?peer, ?address, reason, "closed a connection from a node");
        }
        // Closing the socket would do; this only keeps the poller's books.
        let _ = self.registry.deregister(&mut intake.stream);
    }

    /// Queues a message. It is dropped if the node is not connected.
    pub(crate) fn send(&mut self, to: NodeId, message: &Message) {
        let purpose = if message.is_urgent() { Purpose::Priority } else { Purpose::Data };
        let is_right = |link: &&mut PeerLink| link.peer.node == to && link.purpose == purpose;
        if let Some(link) = self.links.iter_mut().find(is_right) {
            link.send(message, &self.rules);
        }
    }

    /// Writes what was queued, beats first.
    pub(crate) fn flush(&mut self, core: &mut Core) {
        for purpose in [Purpose::Priority, Purpose::Data] {
            for link in self.links.iter_mut().filter(|link| link.purpose == purpose) {
                if link.has_output() {
                    let change = link.flush(clock::monotonic());
                    tell(change, link, core);
                }
            }
        }
    }

    /// Bytes that were read from other nodes and written to them since the start.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.input_bytes, self.links.iter().map(PeerLink::written).sum())
    }

    /// When this side has something to do, at the latest.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        if self.intakes.iter().any(|(_, intake)| intake.readable) {
            return Monotonic::default();
        }
        let links = self.links.iter().map(PeerLink::next_deadline);
        links.min().unwrap_or(Monotonic::NEVER).min(self.acceptor.next_deadline())
    }

    /// Dials what is to be dialled.
    pub(crate) fn maintain(&mut self, now: Monotonic) {
        while let Some((number, result)) = self.resolver.answer() {
            let token = Token(self.tokens.links + number);
            self.links[number].resolved(result, &self.registry, token, now);
        }
        for (number, link) in self.links.iter_mut().enumerate() {
            if now < link.next_deadline() || !link.wants_dial(now) {
                continue;
            }
            match self.resolver.ask(number, &link.peer.host, link.peer.port) {
                Some(address) => {
                    let token = Token(self.tokens.links + number);
                    link.dial(address, &self.registry, token, now);
                }
                None => link.resolving(),
            }
        }
    }

    /// Drops connections that never greeted. Called about once a second.
    pub(crate) fn sweep(&mut self, now: Monotonic) {
        let late = |(_, intake): &(usize, &PeerIntake)| {
            intake.from.is_none() && now.since(intake.since) > GREETING_TIME
        };
        while let Some((index, _)) = self.intakes.iter().find(late) {
            self.drop_intake(index, Some("no greeting in time"));
        }
    }
}

/// Tells the core of a change and of what waits to be written. Only data links count: what was
/// sent on the other is repeated.
fn tell(change: Change, link: &PeerLink, core: &mut Core) {
    let peer = link.peer.node;
    if link.purpose == Purpose::Data {
        core.node.note_backlog(peer, link.waiting());
    }
    match (link.purpose, change) {
        (Purpose::Data, Change::Up) => core.step(Input::PeerUp { peer }),
        (Purpose::Data, Change::Down) => core.step(Input::PeerDown { peer }),
        (Purpose::Priority, _) | (Purpose::Data, Change::None) => {}
    }
}

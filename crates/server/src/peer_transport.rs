//! Messages between nodes: two connections from each node to each other, one for data and one
//! that nothing queues before, for the beats that leases depend on.
//!
//! The node that sends is the node that dials. A node that dials anew replaces its connection
//! before; a second process of the same node is refused. Who the nodes are is the core's to say,
//! see [`PeerTransport::set_members`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Input, Member, Message};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token, Waker};
use resp::Sink;
use slab::Slab;
use smallvec::SmallVec;
use types::limits::NODES_MAX;
use types::{Incarnation, Life, Monotonic, NodeId};

use crate::clock;
use crate::config::Config;
use crate::core::Core;
use crate::peer_frame::{self, FrameError, Greeting, Purpose, Tongue};
use crate::peer_intake::{PeerIntake, Received};
use crate::peer_link::{Change, LinkRules, PeerAddress, PeerLink};
use crate::peer_roster::{Changes, Process, Roster};
use crate::resolver::{Asked, Resolver};
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
    incarnation: Incarnation,
    life: Life,
    cluster: String,
    acceptor: Acceptor,
    registry: Registry,
    tokens: PeerTokens,
    rules: LinkRules,
    /// After so long without a word a connected node may be replaced by another process.
    silence: Duration,
    roster: Roster,
    /// Where this node serves clients.
    client_port: u16,
    /// A data and a priority link to each other node.
    links: Slab<PeerLink>,
    intakes: Slab<PeerIntake>,
    /// Bytes read from all of them, former ones too.
    input_bytes: u64,
    resolver: Resolver,
}

impl PeerTransport {
    /// Listens for the other nodes and begins to dial those of the settings.
    ///
    /// # Errors
    /// If the address can't be listened at.
    pub(crate) fn bind(
        config: &Config,
        (incarnation, life): (Incarnation, Life),
        address: SocketAddr,
        registry: &Registry,
        waker: Arc<Waker>,
        tokens: PeerTokens,
    ) -> io::Result<Self> {
        let settings = config.settings();
        let own = settings.members.iter().find(|member| member.node == settings.node);
        let mut transport = Self {
            node: settings.node,
            incarnation,
            life,
            roster: Roster::new(settings.node, settings.cluster.clone(), &settings.members),
            cluster: settings.cluster,
            acceptor: Acceptor::bind(address, registry, tokens.acceptor)?,
            registry: registry.try_clone()?,
            tokens,
            rules: LinkRules {
                output_bytes: usize::try_from(config.peer_output_bytes).unwrap_or(usize::MAX),
                unacknowledged_time: (settings.support_duration * 2).max(Duration::from_secs(1)),
            },
            silence: settings.support_duration,
            client_port: own.map_or(0, |own| own.port),
            links: Slab::new(),
            intakes: Slab::new(),
            input_bytes: 0,
            resolver: Resolver::start(waker)?,
        };
        let Changes { gone: _, dial } = transport.roster.change(&settings.members);
        dial.iter().for_each(|address| transport.add_links(address));
        Ok(transport)
    }

    /// From now on the cluster has these members: new ones are dialled, the links to and from
    /// those that are gone are dropped, and those that have moved are dialled where they are.
    pub(crate) fn set_members(&mut self, members: &[Member], core: &mut Core) {
        let Changes { gone, dial } = self.roster.change(members);
        if !gone.is_empty() {
            // The last word to them is that they are gone.
            self.flush(core);
        }
        for node in &gone {
            tracing::info!(peer = %node, "a node is no longer a member");
            self.drop_links(*node, core);
            let from = |intake: &PeerIntake| intake.from.map(|(node, _)| node);
            while let Some((index, _)) =
                self.intakes.iter().find(|(_, intake)| from(intake) == Some(*node))
            {
                self.drop_intake(index, None);
            }
        }
        for address in &dial {
            let PeerAddress { node, host, port, hint } = address;
            match hint {
                None => tracing::info!(peer = %node, host, port, "a member to talk to"),
                Some((other_host, other_port)) => tracing::warn!(
                    peer = %node,
                    host,
                    port,
                    other_host,
                    other_port,
                    "the list of members and this node's settings name different addresses of a \
                     node: both are tried. Where the settings are right, `leasehold move` corrects \
                     the list; else correct `members`"
                ),
            }
            self.drop_links(*node, core);
            self.add_links(address);
        }
    }

    /// This node has been removed: the others refuse it, which is no news.
    pub(crate) fn hush(&mut self) {
        self.links.iter_mut().for_each(|(_, link)| link.hush());
    }

    fn add_links(&mut self, peer: &PeerAddress) {
        for purpose in [Purpose::Data, Purpose::Priority] {
            let greeting = Greeting {
                purpose,
                from: self.node,
                to: peer.node,
                incarnation: self.incarnation,
                life: self.life,
                cluster: self.cluster.clone(),
            };
            // The roster holds no more nodes than there are tokens for.
            self.links.insert(PeerLink::new(peer.clone(), &greeting));
        }
    }

    fn drop_links(&mut self, node: NodeId, core: &mut Core) {
        while let Some((number, _)) = self.links.iter().find(|(_, link)| link.peer.node == node) {
            // Its socket closes with it, and the poller forgets a closed socket by itself. Events
            // of this turn have been looked at.
            let link = self.links.remove(number);
            if link.purpose == Purpose::Data {
                core.node.note_backlog(node, 0);
                if link.is_up() {
                    core.step(Input::PeerDown { peer: node });
                }
            }
        }
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
            if let Some((node, Purpose::Data)) = intake.from {
                core.node.note_arriving(node, intake.unfinished());
            }
            match received {
                Received::Messages => {}
                Received::Greeting(greeting) => self.greet(index, &greeting),
                Received::Stranger(tongue) => self.turn_away(index, tongue),
                Received::Over(reason) => self.drop_intake(index, reason.as_deref()),
            }
        }
    }

    /// Answers a greeting.
    fn greet(&mut self, index: usize, greeting: &Greeting) {
        let now = clock::monotonic();
        let Some(intake) = self.intakes.get(index) else { return };
        let host = intake.stream.peer_addr().ok().map(|address| address.ip().to_canonical());
        let Greeting { incarnation, life, .. } = *greeting;
        let process = Process { incarnation, life, host };
        let answer = self.roster.judge(greeting, process, self.present(greeting.from, now));
        let Some(intake) = self.intakes.get_mut(index) else { return };
        peer_frame::write_answer(&answer, intake.output.tail());
        let written = intake.output.write_to(&mut intake.stream);
        let peer = greeting.from;
        if let Err(reason) = &answer
            && self.roster.is_news(peer, reason, now)
        {
            let cluster = &greeting.cluster;
            let host = host.map_or_else(|| String::from("unknown"), |host| host.to_string());
            tracing::warn!(%peer, cluster, host, reason, "refused a node");
        }
        if answer.is_err() || written.is_err() {
            self.drop_intake(index, None);
            return;
        }
        let from = (peer, greeting.purpose);
        intake.from = Some(from);
        intake.process = Some(process);
        let same =
            |&(other, intake): &(usize, &PeerIntake)| other != index && intake.from == Some(from);
        if let Some((before, _)) = self.intakes.iter().find(same) {
            self.drop_intake(before, None);
        }
        self.roster.admit(peer);
        for (_, link) in self.links.iter_mut().filter(|(_, link)| link.peer.node == peer) {
            link.hurry();
        }
    }

    /// The process of a node that is connected and has been heard lately.
    fn present(&self, node: NodeId, now: Monotonic) -> Option<Process> {
        let alive = |intake: &PeerIntake| {
            intake.from.is_some_and(|(from, _)| from == node)
                && !intake.read_closed
                && now.since(intake.heard) <= self.silence
        };
        let found = self.intakes.iter().find(|(_, intake)| alive(intake));
        found.and_then(|(_, intake)| intake.process)
    }

    /// Somebody has come to the wrong port: says so in the stranger's own tongue.
    fn turn_away(&mut self, index: usize, tongue: Tongue) {
        if let Some(intake) = self.intakes.get_mut(index)
            && let Some(text) = tongue.direct_to(self.client_port)
        {
            intake.output.tail().extend_from_slice(text.as_bytes());
            // Whoever does not take it has no answer.
            let _ = intake.output.write_to(&mut intake.stream);
        }
        self.drop_intake(index, Some(&FrameError::Magic(tongue).to_string()));
    }

    fn drop_intake(&mut self, index: usize, reason: Option<&str>) {
        let mut intake = self.intakes.remove(index);
        if let Some(reason) = reason {
            let address = intake.stream.peer_addr().ok();
            let address = address.map_or_else(|| String::from("unknown"), |it| it.to_string());
            let peer = intake.from.map(|(peer, _)| peer);
            match peer {
                Some(peer) => {
                    tracing::warn!(%peer, address, reason, "closed a connection from a node");
                }
                None => {
                    tracing::warn!(address, reason, "closed a connection at the port for nodes");
                }
            }
        }
        // Closing the socket would do; this only keeps the poller's books.
        let _ = self.registry.deregister(&mut intake.stream);
    }

    /// Queues a message. It is dropped if the node is not connected.
    pub(crate) fn send(&mut self, to: NodeId, message: &Message) {
        let purpose = if message.is_urgent() { Purpose::Priority } else { Purpose::Data };
        let is_right = |link: &&mut PeerLink| link.peer.node == to && link.purpose == purpose;
        let mut links = self.links.iter_mut().map(|(_, link)| link);
        if let Some(link) = links.find(is_right) {
            link.send(message, &self.rules);
        }
    }

    /// Writes what was queued, beats first.
    pub(crate) fn flush(&mut self, core: &mut Core) {
        for purpose in [Purpose::Priority, Purpose::Data] {
            for (_, link) in &mut self.links {
                if link.purpose == purpose && link.has_output() {
                    let change = link.flush(clock::monotonic());
                    tell(change, link, core);
                }
            }
        }
    }

    /// Bytes that were read from other nodes and written to them since the start.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.input_bytes, self.links.iter().map(|(_, link)| link.written()).sum())
    }

    /// When this side has something to do, at the latest.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        let writes = self.links.iter().any(|(_, link)| link.has_more());
        if writes || self.intakes.iter().any(|(_, intake)| intake.readable) {
            return Monotonic::default();
        }
        let links = self.links.iter().map(|(_, link)| link.next_deadline());
        links.min().unwrap_or(Monotonic::NEVER).min(self.acceptor.next_deadline())
    }

    /// Dials what is to be dialled.
    pub(crate) fn maintain(&mut self, now: Monotonic) {
        while let Some((question, result)) = self.resolver.answer() {
            // A link that was dropped meanwhile needs the answer no more.
            let asked = self.links.iter_mut().find(|(_, link)| link.has_asked(question));
            if let Some((number, link)) = asked {
                let token = Token(self.tokens.links + number);
                link.resolved(result, &self.registry, token, now);
            }
        }
        for (number, link) in &mut self.links {
            if now < link.next_deadline() || !link.wants_dial(now) {
                continue;
            }
            match self.resolver.ask(&link.peer.host, link.peer.port) {
                Asked::Known(address) => {
                    let token = Token(self.tokens.links + number);
                    link.dial(address, &self.registry, token, now);
                }
                Asked::Later(question) => link.resolving(question),
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

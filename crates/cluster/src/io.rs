//! The contract between the core and its drivers, on one page.
//!
//! A driver (the server, or the simulator) feeds a [`Node`](crate::Node) with inputs and performs
//! the outputs. One *turn* is: any number of [`step`](crate::Node::step) and
//! [`request`](crate::Node::request) calls, then one [`settle`](crate::Node::settle), then the
//! outputs. The core batches over a turn: one log write, one message list.
//!
//! Rules for drivers:
//! - `now` is read after the bytes of the input were read (rule R4: a lease is checked against a
//!   clock reading that is younger than the request's arrival).
//! - [`Input::Persisted`] comes back only after the write and every write before it are fsynced.
//!   It is the only ordering rule: outputs of one turn may be performed in any order.
//! - A write that fails ends the process. It never becomes an input.
//! - `now` never goes back from one call to the next.
//! - A message may be lost, delayed, duplicated or reordered; that is the core's problem.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use types::{
    ClusterId, DirectoryId, Incarnation, LeaseEpoch, Life, LogIndex, Monotonic, NodeId, SegmentId,
    SessionId, ShardId, Slot, SlotRange, SupportEpoch, Term, UnixMillis,
};

pub use crate::forwarded::{ForwardOutcome, ForwardedRequest};
use crate::member::Member;
use crate::raft_group::RaftMessage;

/// Numbers the log writes of one node, in the order they were asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct WriteId(pub u64);

/// What happens to a node, but for clients' requests, which have a call of their own.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "messages are what most inputs are")]
pub enum Input {
    /// A message arrived from another node. The driver vouches for the sender.
    Peer {
        /// The sender.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// A connection to a node was made or made anew: whatever was sent before may be lost.
    PeerUp {
        /// The node.
        peer: NodeId,
    },
    /// The connection to a node broke: whatever was sent and not answered may be lost.
    PeerDown {
        /// The node.
        peer: NodeId,
    },
    /// This write and all before it are durable.
    Persisted {
        /// The newest durable write.
        write: WriteId,
        /// The segment it lies in.
        segment: SegmentId,
        /// The oldest segment of the log that has not been released.
        oldest: SegmentId,
        /// Where the log ends with it: grows with every write, over restarts too.
        log_end: u64,
    },
    /// A client went away.
    Disconnected {
        /// Its session.
        session: SessionId,
    },
    /// The log's files may grow by so many bytes before the disk is full: those that are free there
    /// and those that the log has in hand. Told when it changes.
    DiskSpace(u64),
    /// The operator wants the process to end: hand all leases over first.
    Stop,
    /// Nothing but time has passed.
    Tick,
}

/// A catch-up of one replica, told from all others of its shard. Later ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CatchUpName {
    /// The term of the leader that sends it.
    pub term: Term,
    /// Counts the catch-ups that the leader has begun.
    pub number: u64,
}

/// A part of a slot image.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotPiece {
    /// Counts the pieces of the catch-up.
    pub number: u64,
    /// The slot.
    pub slot: Slot,
    /// The image reflects the log up to here, with all its pieces.
    pub index: LogIndex,
    /// Where in the image it begins.
    pub offset: u64,
    /// Whether the image ends with it.
    pub last: bool,
    /// The bytes, see `keyspace`.
    pub image: Bytes,
}

impl fmt::Debug for SlotPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, slot, index, offset, last, image } = self;
        let (bytes, end) = (image.len(), if *last { ", the last" } else { "" });
        write!(f, "SlotPiece({number}: slot {slot} at {index}, {bytes} bytes from {offset}{end})")
    }
}

/// What a driver must do for a node.
#[derive(Debug)]
pub enum Output {
    /// Append to the log, fsync, answer with [`Input::Persisted`]. A long payload comes in parts:
    /// all but the last bear the number of the write before. The next one comes only after
    /// that answer: what there is to write meanwhile gathers.
    Persist {
        /// The write's number.
        write: WriteId,
        /// What to append; see [`crate::record`].
        payload: Vec<u8>,
    },
    /// Send to another node; drop if there is no connection. Messages for which
    /// [`Message::is_urgent`] holds travel on a connection of their own.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// There are replies to [take](crate::Node::take_replies) and write to the client.
    Replies {
        /// The client's session.
        session: SessionId,
    },
    /// The session can take requests again.
    Resume {
        /// The client's session.
        session: SessionId,
    },
    /// Write what replies there are, then close the connection.
    Close {
        /// The client's session.
        session: SessionId,
    },
    /// Nothing live is left in the segments up to this one.
    Release {
        /// The newest segment that may be reused.
        segment: SegmentId,
    },
    /// The nodes of the cluster are these from now on, this one among them: talk to the others, and
    /// to nobody else. Comes with the first turn and with every change.
    Members(Vec<Member>),
    /// Something worth a line in the log, a metric or a checker's attention.
    Observe(Event),
    /// All leases are handed over (or time ran out): the process may end.
    Stopped,
    /// What this process knows is older than what others remember of it, and the log says so by
    /// now: the process must drop the node and start it anew on the same directory.
    BeginAnew,
}

/// Whether a session takes more requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Go on with the next request.
    More,
    /// The session's pipeline is full or it waits for something: stop reading from the client
    /// until [`Output::Resume`].
    Pause,
}

/// Where a client connects from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientAddress {
    /// The client's address without its port.
    pub host: String,
    /// The client's port.
    pub port: u16,
    /// The address and port the client connected to.
    pub local: String,
}

/// What nodes say to each other.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// "Support me at this epoch." Sent to each peer every beat interval.
    Beat {
        /// The support epoch the sender asks for.
        epoch: SupportEpoch,
        /// The sender's incarnation.
        incarnation: Incarnation,
        /// Numbers the beats to this receiver.
        sequence: u64,
        /// How the sender is.
        condition: Condition,
        /// Who the sender is, for a receiver that may be new or have lost its memory.
        introduction: Introduction,
    },
    /// The answer to a beat.
    Promise {
        /// The sequence of the beat.
        sequence: u64,
        /// The epoch that is supported; or, if `duration_micros` is 0, the smallest that would be.
        epoch: SupportEpoch,
        /// The supporter's incarnation.
        incarnation: Incarnation,
        /// The supporter's life.
        life: Life,
        /// How long the promise lasts from the receipt of the beat, in microseconds; 0: refused.
        duration_micros: u64,
    },
    /// A message of one shard's Raft group.
    Raft {
        /// The shard.
        shard: ShardId,
        /// The engine's message.
        message: RaftMessage,
        /// On a follower's answers: what it has fortified the leader with.
        fortified: Option<Fortification>,
    },
    /// "Do you still lead this term?" From a follower whose promise keeps others from leading.
    AskRelease {
        /// The shard.
        shard: ShardId,
        /// The term in which the follower has promised itself to the receiver.
        term: Term,
    },
    /// "I do not lead this term, and never will again": the promise may end.
    Release {
        /// The shard.
        shard: ShardId,
        /// The term.
        term: Term,
        /// Set if the sender stepped down because it got nowhere: it wants others to go first.
        stands_back: Option<StandsBack>,
    },
    /// A part of one slot of a shard, on its way to a replica that is too far behind for the log.
    SlotImage {
        /// The shard.
        shard: ShardId,
        /// Which catch-up this belongs to.
        catch_up: CatchUpName,
        /// The part.
        piece: SlotPiece,
    },
    /// How far the receiver has a catch-up.
    SlotImageReceived {
        /// The shard.
        shard: ShardId,
        /// The catch-up.
        catch_up: CatchUpName,
        /// Pieces before this one are durable there.
        below: u64,
        /// The receiver has lost some, or never had them: another one must begin.
        lost: bool,
    },
    /// "Run this for one of my clients": you hold the shard, as far as I know, or can reach who does.
    Forward(Box<ForwardedRequest>),
    /// The answer to a forwarded request.
    ForwardReply {
        /// The request's number.
        request: u64,
        /// What came of it.
        outcome: ForwardOutcome,
    },
    /// "I hold this shard." Sent to nodes that can't know it from the shard's own log.
    Route {
        /// The shard.
        shard: ShardId,
        /// Its slots.
        range: SlotRange,
        /// The lease's epoch.
        epoch: LeaseEpoch,
        /// Term and index of the newest entry that the holder has applied.
        applied: (Term, LogIndex),
        /// The holder.
        holder: NodeId,
        /// All replicas, for clients that want to know.
        replicas: Vec<NodeId>,
    },
    /// An order of the Lease Manager, or of an operator, to the node that it is for. The shard
    /// judges it and may refuse.
    Order {
        /// Numbers the sender's orders, for the answer.
        number: u64,
        /// The shard.
        shard: ShardId,
        /// What it is to do.
        order: Order,
    },
    /// The answer to an order.
    OrderReply {
        /// The order's number.
        number: u64,
        /// What came of it so far.
        outcome: OrderOutcome,
    },
    /// Who the nodes of the cluster are, as the sender knows.
    Members(Membership),
    /// How the sender and the shards that it holds do, for the active manager.
    Report(Box<placement::Report>),
    /// "Which shards do you hold?" The answers are [`Message::Route`]s.
    AskRoutes,
    /// Clients with this address and library have asked for the topology.
    TopologyClient {
        /// The client's address.
        host: String,
        /// The name the client's library gives itself.
        library: String,
    },
}

/// What a shard may be ordered to do. Whoever gives the order may know little or old things: an
/// order names the lease epoch or the generation that it is about, and the shard refuses it if that
/// is not the current one (rule R28).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// To the holder: hand the lease over.
    Transfer {
        /// The new holder.
        target: NodeId,
        /// The lease that is meant; `None`: whichever there is.
        epoch: Option<LeaseEpoch>,
    },
    /// To an heir of a shard that nobody holds: stand for election.
    Campaign {
        /// The newest lease that the sender knows.
        epoch: LeaseEpoch,
    },
    /// To the holder: this is the order in which the heirs should campaign.
    Succession {
        /// All voters but the holder, the best first.
        heirs: Vec<NodeId>,
        /// The lease during which it is meant.
        epoch: LeaseEpoch,
    },
    /// To the holder: these nodes should have the replicas.
    Replicas {
        /// The nodes.
        goal: Vec<NodeId>,
        /// The version of the replica set that is meant.
        generation: u64,
        /// A node whose replica goes since it is taken for dead: the holder knows better if it hears
        /// that node.
        dead: Option<NodeId>,
    },
}

/// Why a leader gave its place up by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StandDownReason {
    /// Nothing that it sent was acknowledged for a while, though others were there.
    Stuck,
    /// It had no valid lease for a while, though others were there.
    NoLease,
}

impl StandDownReason {
    /// The reason for people, behind a comma.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Stuck => "since what it sent to its followers was not acknowledged",
            Self::NoLease => "since it led without a valid lease",
        }
    }
}

/// A replica that stepped down stands last: it lets others lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StandsBack {
    /// For how long, in microseconds.
    pub micros: u64,
    /// Why.
    pub reason: StandDownReason,
}

/// What came of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrderOutcome {
    /// It is under way.
    Begun,
    /// It is about a lease or a generation that is over; the text says which. Nothing was done.
    Stale(String),
    /// It can't be done now, for this reason. Nothing was done.
    Refused(String),
}

/// The nodes of the cluster, as the Lease Manager's replicated state says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// Tells this cluster from others of the same name.
    pub cluster: ClusterId,
    /// Counts the changes of the list; 0: nobody has told yet, the list is that of the settings.
    pub version: u64,
    /// Into how many shards the slots were cut when the cluster began.
    pub shards: u16,
    /// The nodes in ascending order of their numbers.
    pub members: Vec<Member>,
}

/// What a follower promises a leader in one shard: while the support lasts it neither campaigns
/// nor votes for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fortification {
    /// The epoch at which the follower supports the leader's node.
    pub epoch: SupportEpoch,
    /// The follower's incarnation: a follower that restarts forgets.
    pub incarnation: Incarnation,
    /// The follower's life: of two that count the same incarnation, one has promised nothing.
    pub life: Life,
}

/// How a node came to be part of its cluster; see `founding`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// Its directory is empty and it does not know why: it takes part in nothing.
    #[default]
    Blank,
    /// It was there when the cluster began.
    Founder,
    /// Its former directory is lost: it begins anew in the place of the node it was.
    Replacement,
}

/// What a node says about itself with each beat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Introduction {
    /// The data directory that it runs on.
    pub directory: DirectoryId,
    /// What it is.
    pub origin: Origin,
    /// The receiver's directory: the one that a founder remembers from the founding, or else the
    /// one that the sender has heard of last; 0 for none.
    pub known: DirectoryId,
    /// The sender's cluster, if it knows.
    pub cluster: ClusterId,
    /// Which version of the list of nodes it knows: who knows a newer one tells it.
    pub members: u64,
    /// What its settings come to if the cluster is new: founders must agree about that.
    pub plan: u64,
    /// Where its log ended when this life began.
    pub began: u64,
    /// The newest life of the receiver that it has accepted, in this life or a former one.
    pub remembered: Memory,
}

/// What a node remembers of another one, durably: it tells a directory that went back in time from
/// one that was only started anew. See `lives`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// The directory that the node ran on.
    pub directory: DirectoryId,
    /// Which start it was.
    pub incarnation: Incarnation,
    /// Which life; 0: nothing is remembered.
    pub life: Life,
    /// The newest position of its log that it has said is durable.
    pub durable: u64,
}

/// How a node is, as it says with each beat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Condition {
    /// Tells this life of the node's process from every other, even from one with the same
    /// incarnation.
    pub life: Life,
    /// Whether it has been asked to stop: it wants no leases.
    pub stopping: bool,
    /// How long ago it sent the beat that the receiver's newest promise answered, in microseconds;
    /// `u64::MAX`: the receiver has not answered in its present life.
    pub heard_micros: u64,
    /// Bytes that have arrived of a message from the receiver that is not complete yet.
    pub arriving: u64,
    /// How long syncs of its disk take at least, in microseconds.
    pub sync_micros: u64,
    /// Which members beat but say that nothing of the sender reaches them: one bit for each place
    /// in its list of members.
    pub deaf: u64,
    /// Its wall clock.
    pub wall: UnixMillis,
    /// The newest position of its log that is durable.
    pub durable: u64,
    /// Bytes that its data may still grow by.
    pub memory_room: u64,
    /// Bytes that its log may still grow by before the disk is full.
    pub disk_room: u64,
    /// Whether its data connection to the receiver is down, so that it can't answer what the
    /// receiver forwards to it.
    pub cut_off: bool,
    /// Answers to the receiver's forwarded requests up to this number that have not arrived are
    /// lost: the connection that they travelled on broke.
    pub lost_answers: u64,
}

impl Message {
    /// Whether the message belongs on the priority path: leases and elections depend on its
    /// punctuality. All such messages are small, and none bears data. They may overtake and be
    /// overtaken by anything on the other path.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        match self {
            Self::Beat { .. }
            | Self::Promise { .. }
            | Self::AskRelease { .. }
            | Self::Release { .. } => true,
            Self::Raft { message, .. } => message.is_urgent(),
            Self::SlotImage { .. }
            | Self::SlotImageReceived { .. }
            | Self::Forward { .. }
            | Self::ForwardReply { .. }
            | Self::Route { .. }
            | Self::Order { .. }
            | Self::OrderReply { .. }
            | Self::Members(_)
            | Self::Report(_)
            | Self::AskRoutes
            | Self::TopologyClient { .. } => false,
        }
    }
}

/// State transitions, for logs, metrics and checkers. Never one for each request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The node began, with this incarnation.
    Started {
        /// Its incarnation.
        incarnation: Incarnation,
        /// Shards it has replicas of.
        shards: usize,
    },
    /// The data directory is empty: the node takes part in nothing until all the others have said
    /// whether they know it.
    Blank {
        /// The members that have not answered.
        awaited: Vec<NodeId>,
    },
    /// A new cluster can't begin: these nodes' settings put the shards' replicas on other nodes
    /// than this one's do. None: they agree now.
    FoundersDisagree {
        /// The nodes.
        peers: Vec<NodeId>,
    },
    /// The cluster is new and this node is one of its founders.
    Founded,
    /// The cluster remembers another data directory of this node: its replicas are gone, and the
    /// leaders of its shards make new ones here.
    DirectoryLost,
    /// This node's directory is older than what a peer remembers of it: a copy was put back. It
    /// counts as lost, and the node begins anew.
    WentBack {
        /// The peer.
        told_by: NodeId,
        /// The newest start that it remembers.
        incarnation: Incarnation,
    },
    /// A peer runs on a directory that is older than what this node remembers of it, or is a second
    /// process with its number. What it says does not count.
    LifeRefused {
        /// The peer.
        peer: NodeId,
        /// Which start it says it is.
        incarnation: Incarnation,
    },
    /// The leader of a shard puts a new replica in the place of one whose directory was lost.
    ReplicaLost {
        /// The shard.
        shard: ShardId,
        /// The node that has lost it.
        node: NodeId,
    },
    /// A peer's beats arrive again.
    SupportGiven {
        /// The peer.
        peer: NodeId,
        /// At this epoch.
        epoch: SupportEpoch,
    },
    /// A promise ran out without a beat: the peer counts as dead.
    SupportWithdrawn {
        /// The peer.
        peer: NodeId,
        /// The epoch that is over.
        epoch: SupportEpoch,
    },
    /// A peer beats but says that nothing of this node reaches it: what was promised to it is not
    /// renewed.
    Unheard {
        /// The peer.
        peer: NodeId,
    },
    /// It hears this node again.
    Heard {
        /// The peer.
        peer: NodeId,
    },
    /// The node stopped beating because its disk does not answer.
    DiskStalled,
    /// The disk is nearly full, or no longer so.
    DiskShort {
        /// Whether it is.
        short: bool,
    },
    /// Each sync of the disk takes long, and that of another node is much faster: leases go there.
    DiskSlow {
        /// How long at least.
        millis: u64,
    },
    /// The clocks disagree about how much time has passed; all leases were given up.
    ClockGap {
        /// The disagreement in milliseconds.
        millis: u64,
    },
    /// A peer's wall clock has run further than this node's clocks: this machine may have stood
    /// still with all its clocks, so its leases don't count until others have confirmed them.
    PeersClockJumped {
        /// The peer.
        peer: NodeId,
        /// How much further.
        millis: u64,
    },
    /// This node's wall clock is off by more than the setting `clock_skew`, as the others' clocks
    /// have it.
    ClockOff {
        /// By how much it is ahead; negative: behind.
        millis: i64,
    },
    /// It is right again.
    ClockRight {
        /// By how much it is ahead still.
        millis: i64,
    },
    /// This node stands for election in a shard.
    Campaigning {
        /// The shard.
        shard: ShardId,
        /// The term it is in now.
        term: Term,
    },
    /// This node holds the shard's lease: its record is applied.
    LeaseAcquired {
        /// The shard.
        shard: ShardId,
        /// The lease's epoch.
        epoch: LeaseEpoch,
        /// The term.
        term: Term,
    },
    /// This node no longer leads the shard.
    LeaseLost {
        /// The shard.
        shard: ShardId,
        /// The epoch that ended.
        epoch: LeaseEpoch,
    },
    /// A lease changed hands, as this replica learned from the log.
    LeaseChanged {
        /// The shard.
        shard: ShardId,
        /// The new epoch.
        epoch: LeaseEpoch,
        /// The new holder.
        holder: NodeId,
    },
    /// A cooperative transfer began.
    TransferBegun {
        /// The shard.
        shard: ShardId,
        /// The target.
        target: NodeId,
    },
    /// The old holder gave its lease up for the rest of the term.
    LeaseGivenUp {
        /// The shard.
        shard: ShardId,
        /// The term.
        term: Term,
    },
    /// A leader that got nowhere gave its place up, and stands last for a while.
    SteppedDown {
        /// The shard.
        shard: ShardId,
        /// The term that it led.
        term: Term,
        /// Why.
        reason: StandDownReason,
        /// For how long it stands last, in milliseconds.
        last_millis: u64,
    },
    /// A transfer did not happen in time; the old holder campaigns.
    TransferFailed {
        /// The shard.
        shard: ShardId,
        /// The target.
        target: NodeId,
    },
    /// A replica began to catch up by slot images.
    CatchUpBegun {
        /// The shard.
        shard: ShardId,
        /// The replica's node.
        to: NodeId,
        /// The index the images begin at.
        index: LogIndex,
    },
    /// This replica installed slot images.
    CatchUpInstalled {
        /// The shard.
        shard: ShardId,
        /// The index they begin at.
        index: LogIndex,
    },
    /// A shard's configuration changed.
    ReplicasChanged {
        /// The shard.
        shard: ShardId,
        /// The voters.
        voters: Vec<NodeId>,
        /// The learners.
        learners: Vec<NodeId>,
    },
    /// A leader has something else in the place of an entry that is committed here: an
    /// acknowledged write was lost elsewhere. Nothing is overwritten.
    CommittedEntryConflicts {
        /// The shard.
        shard: ShardId,
        /// The leader.
        leader: NodeId,
        /// The entry.
        index: LogIndex,
        /// Its term.
        own: Term,
        /// The term of the leader's entry.
        other: Term,
    },
    /// The list of the cluster's nodes is another one.
    MembersChanged {
        /// Its version.
        version: u64,
        /// The nodes.
        members: Vec<NodeId>,
    },
    /// This node is no longer a member of the cluster: nothing of it is needed any more.
    Removed,
    /// A node of another cluster talks to this one; what it says is ignored.
    ForeignCluster {
        /// The number that it goes by.
        peer: NodeId,
        /// Its cluster.
        cluster: ClusterId,
    },
    /// This node is the active Lease Manager from now on.
    ManagerBegun {
        /// The lease of the system shard.
        epoch: LeaseEpoch,
    },
    /// It is so no longer.
    ManagerEnded,
    /// The Lease Manager has decided something: one line for people.
    Decided(String),
    /// A node's report makes no sense, and was refused; said once a minute for a node at most.
    ReportRefused {
        /// The node.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// A replica that was removed from this node has given up its data and its log.
    ReplicaFreed {
        /// The shard.
        shard: ShardId,
    },
    /// A segment is free again.
    SegmentReleased {
        /// The segment.
        segment: SegmentId,
    },
    /// A read was served under a lease. Emitted only when `Node::trace_reads` is on (checkers).
    ReadServed {
        /// The shard.
        shard: ShardId,
        /// The lease.
        epoch: LeaseEpoch,
        /// When, on this node's clock.
        at: Monotonic,
    },
}

//! What nodes say to each other, and the words that they use for it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use types::{
    ClusterId, DirectoryId, Incarnation, LeaseEpoch, Life, LogIndex, NodeId, ShardId, Slot,
    SlotRange, SupportEpoch, Term, UnixMillis,
};

use crate::forwarded::{ForwardOutcome, ForwardedRequest};
use crate::member::Member;
use crate::raft_group::RaftMessage;

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
    /// "Run this for one of my clients": you hold the shard, as far as I know, or can reach who
    /// does.
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
        /// The seat of the replica that it has added last.
        seats: u16,
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
        /// A node whose replica goes since it is taken for dead: the holder knows better if it
        /// hears that node.
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
    /// How many leaders of the shard in a row have stepped down without getting anywhere, with it.
    pub row: u8,
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
    /// How long ago it sent the first beat that waits for an answer, since the one that the
    /// receiver's newest promise answered, in microseconds; 0: none waits, `u64::MAX`: the receiver
    /// has not answered in its present life.
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
    /// So many slots behind it are empty at the same index, and have no pieces of their own.
    pub empty_behind: u16,
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
        let Self { number, slot, empty_behind, index, offset, last, image } = self;
        let (bytes, end) = (image.len(), if *last { ", the last" } else { "" });
        write!(f, "SlotPiece({number}: slot {slot} at {index}, {bytes} bytes from {offset}{end}")?;
        write!(f, ", {empty_behind} empty slots behind)")
    }
}

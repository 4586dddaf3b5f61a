//! What drivers are told of: state transitions, for logs, metrics and checkers.

use alloc::string::String;
use alloc::vec::Vec;

use types::{
    ClusterId, Incarnation, LeaseEpoch, LogIndex, Monotonic, NodeId, SegmentId, ShardId,
    SupportEpoch, Term,
};

use super::StandDownReason;

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
    /// The data directory is empty and no node knows of a cluster, but this node is not to found
    /// one: it waits.
    FoundsNothing,
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
    /// These shards have had no holder that this node can ask for some seconds.
    Unserved {
        /// The shards.
        shards: Vec<ShardId>,
        /// Why, as the end of a sentence.
        why: String,
    },
    /// They have one again.
    ServedAgain {
        /// The shards.
        shards: Vec<ShardId>,
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
    /// It has decided who follows a holder that dies: nothing moves. One line for people.
    Arranged(String),
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
    /// Entries that a replica lacks can't be read from the log again: it is given slot images.
    LogUnreadable {
        /// The shard.
        shard: ShardId,
        /// The first of them.
        index: LogIndex,
        /// Why.
        reason: String,
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

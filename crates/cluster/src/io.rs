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

mod events;
mod messages;
mod payload;

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use types::{NodeId, SegmentId, SessionId, ShardId};

pub use crate::forwarded::{ForwardOutcome, ForwardedRequest};
use crate::member::Member;

pub use events::*;
pub use messages::*;
pub(crate) use payload::Gathered;
pub use payload::Payload;

/// Numbers the log writes of one node, in the order they were asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct WriteId(pub u64);

/// How far the log is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Persisted {
    /// The newest durable write: all before it are durable, too.
    pub write: WriteId,
    /// The segment that it lies in.
    pub segment: SegmentId,
    /// The oldest segment of the log that has not been released.
    pub oldest: SegmentId,
    /// How long the log is, in bytes: from its oldest segment that has not been released to where
    /// it ends.
    pub log_bytes: u64,
    /// Where the log ends with the write: grows with every write, over restarts too.
    pub log_end: u64,
}

/// A place in the log's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPlace {
    /// The segment.
    pub segment: SegmentId,
    /// Where in it a commit begins, in bytes; 0: the first one.
    pub offset: u64,
}

/// Numbers what a shard wants to be read of the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogReadId {
    /// The shard.
    pub shard: ShardId,
    /// Counts them.
    pub number: u64,
}

/// Commits that were read of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPart {
    /// Their payloads, in order.
    pub payloads: Vec<Bytes>,
    /// Where the next commit of the segment begins.
    pub next: u64,
    /// Nothing that can be read follows in the segment.
    pub ends: bool,
}

/// What happens to a node, but for clients' requests, which have a call of their own.
#[derive(Debug)]
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
    /// Writes have become durable.
    Persisted(Persisted),
    /// What [`Output::ReadLog`] has asked for.
    LogRead {
        /// As it was asked for.
        id: LogReadId,
        /// What was read, or why nothing could be.
        part: Result<LogPart, String>,
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
        payload: Payload,
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
    /// Read commits of the log again, from a place on until they have so many bytes, one at least,
    /// in one segment; answer with [`Input::LogRead`]. Commits come and go on meanwhile.
    ReadLog {
        /// For the answer.
        id: LogReadId,
        /// The first commit.
        place: LogPlace,
        /// How many bytes of payloads are wanted.
        bytes: usize,
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

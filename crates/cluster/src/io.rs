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

use types::{NodeId, SegmentId, SessionId};

pub use crate::forwarded::{ForwardOutcome, ForwardedRequest};
use crate::member::Member;

pub use events::*;
pub use messages::*;
pub(crate) use payload::Gathered;
pub use payload::Payload;

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

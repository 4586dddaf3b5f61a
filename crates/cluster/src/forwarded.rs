//! Requests that travel from the node of a client to the node that serves them, and what becomes
//! of them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use resp::{Replies, Reply};
use types::limits::{REASON_BYTES_MAX, REQUEST_BYTES_MAX};
use types::{LeaseEpoch, Life, NodeId, SessionId, ShardId};

use crate::bytes_codec::{CodecError, Last, Put, Take};
use crate::refusals::{too_long_to_pass_on, too_much_to_pass_on};

/// A request that one node asks another to run for one of its clients.
#[derive(Clone, PartialEq, Debug)]
pub struct ForwardedRequest {
    /// Numbers the sender's forwarded requests.
    pub request: u64,
    /// The sender's life: its numbers mean nothing beyond it.
    pub life: Life,
    /// The life of the receiver that it was sent to. Another one can't tell whether that has run
    /// the request.
    pub receiver: Life,
    /// The shard.
    pub shard: ShardId,
    /// Whether an earlier request of the same client to this shard is still on its way: then
    /// a read must wait for everything proposed before it.
    pub ordered: bool,
    /// The newest refusal by the receiver, of a request to this shard, that the sender has heard
    /// of. If there was one since, an ordered request would overtake what was refused.
    pub refusal: u64,
    /// Whether the client speaks RESP3.
    pub resp3: bool,
    /// Whether the receiver may pass the request on to the holder, which the sender can't reach.
    pub passes_on: bool,
    /// The node that the client is connected to: the sender, or the one that it passes this on for.
    pub home: NodeId,
    /// That node's life.
    pub home_life: Life,
    /// The request's number there: it grows in the order of sending, whichever way they go.
    pub at_home: u64,
    /// The largest number of a request that has an unknown outcome there: what has not been run
    /// of those up to it must not be run any more.
    pub given_up: u64,
    /// The newest lease on the shard that node knew of when it sent the request. It is not run
    /// under a later one: what the client has asked for since may have been, under those between.
    pub lease: LeaseEpoch,
    /// The client's session there, for WATCH.
    pub session: SessionId,
    /// Which of the session's watches it is about, or would be.
    pub watch: u32,
    /// How long it may wait for a holder, in microseconds.
    pub wait_micros: u64,
    /// Where the client comes from.
    pub origin: placement::Origin,
    /// The request, as in a log entry (see `entry`).
    pub operation: Bytes,
}

/// What came of a forwarded request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ForwardOutcome {
    /// The reply for the client.
    Reply(Bytes),
    /// A reply of which a part is long: what stands before that, the part, and what stands behind.
    LongReply {
        /// Before the long part.
        before: Bytes,
        /// The long part.
        long: Bytes,
        /// Behind it.
        behind: Bytes,
    },
    /// Not executed: I don't hold the shard.
    NotHolder {
        /// Who may hold it.
        hint: Option<NodeId>,
        /// Numbers the refusals of one life of a node, upwards.
        refusal: u64,
        /// The newest lease on the shard that I know of.
        lease: LeaseEpoch,
        /// Why nobody does, as the end of a sentence that begins with the shard; empty if I don't
        /// know.
        why: String,
    },
    /// It may or may not have been executed.
    Uncertain,
}

impl ForwardedRequest {
    pub(crate) fn encode(&self, last: Last, into: &mut Vec<u8>) {
        let flags = [self.ordered, self.resp3, self.passes_on];
        let flags = flags.iter().enumerate().map(|(at, flag)| u8::from(*flag) << at);
        into.put_u64(self.request);
        into.put_u64(self.life.0);
        into.put_u64(self.receiver.0);
        into.put_u32(self.shard.0);
        into.put_u8(flags.sum());
        into.put_u64(self.refusal);
        into.put_u32(self.home.0);
        into.put_u64(self.home_life.0);
        into.put_u64(self.at_home);
        into.put_u64(self.given_up);
        into.put_u64(self.lease.0);
        into.put_u64(self.session.0);
        into.put_u32(self.watch);
        into.put_u64(self.wait_micros);
        into.put_u32(self.origin.0);
        into.put_last(&self.operation, last);
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Box<Self>, CodecError> {
        let (request, life) = (from.u64()?, Life(from.u64()?));
        let (receiver, shard) = (Life(from.u64()?), ShardId(from.u32()?));
        let flags = from.u8()?;
        Ok(Box::new(Self {
            request,
            life,
            receiver,
            shard,
            ordered: flags & 1 != 0,
            resp3: flags & 2 != 0,
            passes_on: flags & 4 != 0,
            refusal: from.u64()?,
            home: NodeId(from.u32()?),
            home_life: Life(from.u64()?),
            at_home: from.u64()?,
            given_up: from.u64()?,
            lease: LeaseEpoch(from.u64()?),
            session: SessionId(from.u64()?),
            watch: from.u32()?,
            wait_micros: from.u64()?,
            origin: placement::Origin(from.u32()?),
            operation: from.kept_bytes()?,
        }))
    }
}

impl ForwardOutcome {
    /// What these replies are for the client, and how many bytes; or that there is no room for
    /// them.
    pub(crate) fn of(replies: Replies, has_room: bool) -> (Self, usize) {
        let bytes = replies.len();
        if bytes > REQUEST_BYTES_MAX || !has_room {
            let too_long = bytes > REQUEST_BYTES_MAX;
            let text =
                if too_long { too_long_to_pass_on(bytes) } else { too_much_to_pass_on(bytes) };
            let bytes = text.len();
            return (Self::Reply(text.into()), bytes);
        }
        let outcome = match replies.into_parts() {
            Ok((before, long, behind)) => {
                Self::LongReply { before: before.into(), long, behind: behind.into() }
            }
            Err(bytes) => Self::Reply(bytes.into()),
        };
        (outcome, bytes)
    }

    /// Writes the reply, if it is one.
    pub(crate) fn write(self, reply: &mut Reply<'_>) {
        match self {
            Self::Reply(bytes) => reply.encoded(&bytes),
            Self::LongReply { before, long, behind } => {
                reply.encoded(&before);
                reply.long_part(long);
                reply.encoded(&behind);
            }
            Self::NotHolder { .. } | Self::Uncertain => {}
        }
    }

    pub(crate) fn encode(&self, last: Last, into: &mut Vec<u8>) {
        match self {
            Self::Reply(reply) => {
                into.put_u8(0);
                into.put_last(reply, last);
            }
            Self::NotHolder { hint, refusal, lease, why } => {
                into.put_u8(1);
                into.put_u32(hint.map_or(0, |node| node.0));
                into.put_u64(*refusal);
                into.put_u64(lease.0);
                into.put_bytes(why.as_bytes());
            }
            Self::Uncertain => into.put_u8(2),
            Self::LongReply { before, long, behind } => {
                into.put_u8(3);
                into.put_bytes(before);
                into.put_bytes(behind);
                into.put_last(long, last);
            }
        }
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        Ok(match from.u8()? {
            0 => Self::Reply(from.kept_bytes()?),
            1 => {
                let hint = Some(NodeId(from.u32()?)).filter(|node| *node != NodeId(0));
                let (refusal, lease) = (from.u64()?, LeaseEpoch(from.u64()?));
                let why = String::from(from.text(REASON_BYTES_MAX)?);
                Self::NotHolder { hint, refusal, lease, why }
            }
            2 => Self::Uncertain,
            3 => {
                let before = Bytes::copy_from_slice(from.bytes()?);
                let behind = Bytes::copy_from_slice(from.bytes()?);
                Self::LongReply { before, long: from.kept_bytes()?, behind }
            }
            4..=u8::MAX => return Err(CodecError("a known outcome")),
        })
    }
}

//! Messages between nodes as bytes: one tag, then the fields. The transport frames and checksums
//! them; here every length is checked.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use types::limits::LONG_BYTES;
use types::{
    Incarnation, LeaseEpoch, Life, LogIndex, NodeId, ShardId, Slot, SlotRange, SupportEpoch, Term,
    UnixMillis,
};

pub use crate::bytes_codec::CodecError;
use crate::bytes_codec::{Last, Put, Take};
use crate::entry::{put_nodes, take_nodes};
use crate::io::{
    CatchUpName, Condition, Fortification, ForwardOutcome, ForwardedRequest, Introduction,
    Membership, Message, Order, OrderOutcome, SlotPiece, StandDownReason, StandsBack,
};
use crate::raft_group::RaftMessage;
use crate::record::ImagePart;
use crate::report_codec;

/// Version of the language between nodes. Nodes of different versions refuse each other.
pub const PEER_PROTOCOL_VERSION: u16 = 5;

/// From so many bytes on, a field at the end of a message is not copied.
const APART_BYTES: usize = LONG_BYTES;

/// Appends the message to a buffer.
pub fn encode(message: &Message, into: &mut Vec<u8>) {
    encode_but(message, Last::Here, into);
}

/// The same, but for a long field at the message's end: it is answered instead, for the caller to
/// send behind the rest without a copy.
#[must_use]
pub fn encode_apart(message: &Message, into: &mut Vec<u8>) -> Option<Bytes> {
    let long = match message {
        Message::Raft { message, .. } => message.last_data(),
        Message::Forward(forwarded) => Some(&forwarded.operation),
        Message::ForwardReply { outcome: ForwardOutcome::Reply(long), .. }
        | Message::ForwardReply { outcome: ForwardOutcome::LongReply { long, .. }, .. } => {
            Some(long)
        }
        Message::Beat { .. }
        | Message::Promise { .. }
        | Message::SlotImage { .. }
        | Message::SlotImageReceived { .. }
        | Message::ForwardReply { .. }
        | Message::Route { .. }
        | Message::Order { .. }
        | Message::OrderReply { .. }
        | Message::TopologyClient { .. }
        | Message::AskRelease { .. }
        | Message::Release { .. }
        | Message::AskRoutes
        | Message::Report(_)
        | Message::Members(_) => None,
    };
    let long = long.filter(|long| long.len() >= APART_BYTES);
    encode_but(message, if long.is_some() { Last::Apart } else { Last::Here }, into);
    long.cloned()
}

/// Appends the message; of the field at its end only the length, if that comes apart.
fn encode_but(message: &Message, last: Last, into: &mut Vec<u8>) {
    match message {
        Message::Beat { epoch, incarnation, sequence, condition, introduction } => {
            into.put_u8(1);
            into.put_u64(epoch.0);
            into.put_u64(incarnation.0);
            into.put_u64(*sequence);
            put_condition(*condition, into);
            introduction.encode(into);
        }
        Message::Promise { sequence, epoch, incarnation, life, duration_micros } => {
            into.put_u8(2);
            into.put_u64(*sequence);
            into.put_u64(epoch.0);
            into.put_u64(incarnation.0);
            into.put_u64(life.0);
            into.put_u64(*duration_micros);
        }
        Message::Raft { shard, message, fortified } => {
            into.put_u8(3);
            into.put_u32(shard.0);
            put_fortification(*fortified, into);
            message.encode(last, into);
        }
        Message::SlotImage { shard, catch_up, piece } => {
            into.put_u8(4);
            into.put_u32(shard.0);
            put_catch_up(*catch_up, into);
            put_piece(piece, into);
        }
        Message::SlotImageReceived { shard, catch_up, below, lost } => {
            into.put_u8(5);
            into.put_u32(shard.0);
            put_catch_up(*catch_up, into);
            into.put_u64(*below);
            into.put_u8(u8::from(*lost));
        }
        Message::Forward(forwarded) => {
            into.put_u8(6);
            forwarded.encode(last, into);
        }
        Message::ForwardReply { request, outcome } => {
            into.put_u8(7);
            into.put_u64(*request);
            outcome.encode(last, into);
        }
        Message::Route { shard, range, epoch, applied, seats, holder, replicas } => {
            into.put_u8(8);
            into.put_u32(shard.0);
            put_range(*range, into);
            into.put_u64(epoch.0);
            into.put_u64(applied.0.0);
            into.put_u64(applied.1.0);
            into.put_u16(*seats);
            into.put_u32(holder.0);
            put_nodes(replicas, into);
        }
        Message::Order { number, shard, order } => {
            into.put_u8(9);
            into.put_u64(*number);
            into.put_u32(shard.0);
            put_order(order, into);
        }
        Message::OrderReply { number, outcome } => {
            into.put_u8(10);
            into.put_u64(*number);
            put_order_outcome(outcome, into);
        }
        Message::TopologyClient { host, library } => {
            into.put_u8(11);
            into.put_bytes(host.as_bytes());
            into.put_bytes(library.as_bytes());
        }
        Message::AskRelease { shard, term } => {
            into.put_u8(12);
            into.put_u32(shard.0);
            into.put_u64(term.0);
        }
        Message::Release { shard, term, stands_back } => {
            into.put_u8(13);
            into.put_u32(shard.0);
            into.put_u64(term.0);
            put_stands_back(*stands_back, into);
        }
        Message::AskRoutes => into.put_u8(15),
        Message::Report(report) => {
            into.put_u8(16);
            report_codec::encode(report, into);
        }
        Message::Members(membership) => {
            into.put_u8(14);
            membership.encode(into);
        }
    }
}

fn put_stands_back(stands_back: Option<StandsBack>, into: &mut Vec<u8>) {
    let Some(StandsBack { micros, row, reason }) = stands_back else { return into.put_u8(0) };
    into.put_u8(match reason {
        StandDownReason::Stuck => 1,
        StandDownReason::NoLease => 2,
    });
    into.put_u64(micros);
    into.put_u8(row);
}

fn take_stands_back(from: &mut Take<'_>) -> Result<Option<StandsBack>, CodecError> {
    let reason = match from.u8()? {
        0 => return Ok(None),
        1 => StandDownReason::Stuck,
        2 => StandDownReason::NoLease,
        3..=u8::MAX => return Err(CodecError("a known reason to step down")),
    };
    Ok(Some(StandsBack { micros: from.u64()?, row: from.u8()?, reason }))
}

fn put_order_outcome(outcome: &OrderOutcome, into: &mut Vec<u8>) {
    let (kind, text) = match outcome {
        OrderOutcome::Begun => return into.put_u8(0),
        OrderOutcome::Stale(text) => (1, text),
        OrderOutcome::Refused(text) => (2, text),
    };
    into.put_u8(kind);
    into.put_bytes(text.as_bytes());
}

fn take_order_outcome(from: &mut Take<'_>) -> Result<OrderOutcome, CodecError> {
    Ok(match from.u8()? {
        0 => OrderOutcome::Begun,
        1 => OrderOutcome::Stale(text(from)?),
        2 => OrderOutcome::Refused(text(from)?),
        3..=u8::MAX => return Err(CodecError("a known outcome of an order")),
    })
}

fn put_order(order: &Order, into: &mut Vec<u8>) {
    match order {
        Order::Transfer { target, epoch } => {
            into.put_u8(0);
            into.put_u32(target.0);
            // No lease has this epoch: the first one is the next.
            into.put_u64(epoch.unwrap_or_default().0);
        }
        Order::Campaign { epoch } => {
            into.put_u8(1);
            into.put_u64(epoch.0);
        }
        Order::Succession { heirs, epoch } => {
            into.put_u8(2);
            put_nodes(heirs, into);
            into.put_u64(epoch.0);
        }
        Order::Replicas { goal, generation, dead } => {
            into.put_u8(3);
            put_nodes(goal, into);
            into.put_u64(*generation);
            into.put_u32(dead.map_or(0, |node| node.0));
        }
    }
}

fn take_order(from: &mut Take<'_>) -> Result<Order, CodecError> {
    Ok(match from.u8()? {
        0 => {
            let target = NodeId(from.u32()?);
            let epoch = LeaseEpoch(from.u64()?);
            Order::Transfer { target, epoch: (epoch != LeaseEpoch(0)).then_some(epoch) }
        }
        1 => Order::Campaign { epoch: LeaseEpoch(from.u64()?) },
        2 => Order::Succession { heirs: take_nodes(from)?, epoch: LeaseEpoch(from.u64()?) },
        3 => {
            let (goal, generation) = (take_nodes(from)?, from.u64()?);
            let dead = NodeId(from.u32()?);
            Order::Replicas { goal, generation, dead: (dead.0 != 0).then_some(dead) }
        }
        4..=u8::MAX => return Err(CodecError("a known kind of order")),
    })
}

fn put_fortification(fortified: Option<Fortification>, into: &mut Vec<u8>) {
    into.put_u8(u8::from(fortified.is_some()));
    if let Some(Fortification { epoch, incarnation, life }) = fortified {
        into.put_u64(epoch.0);
        into.put_u64(incarnation.0);
        into.put_u64(life.0);
    }
}

fn take_fortification(from: &mut Take<'_>) -> Result<Option<Fortification>, CodecError> {
    if from.u8()? == 0 {
        return Ok(None);
    }
    Ok(Some(Fortification {
        epoch: SupportEpoch(from.u64()?),
        incarnation: Incarnation(from.u64()?),
        life: Life(from.u64()?),
    }))
}

/// Reads one message.
///
/// # Errors
/// If the bytes are not exactly one message. The connection they came from is not to be trusted.
pub fn decode(bytes: &[u8]) -> Result<Message, CodecError> {
    decode_from(Take::new(bytes))
}

/// The same, of bytes that may be kept: what is most of them is not copied.
///
/// # Errors
/// As those of [`decode`].
pub fn decode_shared(bytes: &Bytes) -> Result<Message, CodecError> {
    decode_from(Take::of_shared(bytes))
}

fn decode_from(mut from: Take<'_>) -> Result<Message, CodecError> {
    let message = decode_fields(&mut from)?;
    from.end()?;
    Ok(message)
}

fn put_condition(condition: Condition, into: &mut Vec<u8>) {
    let Condition { life, stopping, heard_micros, arriving, sync_micros, wall, durable, .. } =
        condition;
    let Condition { memory_room, disk_room, deaf, cut_off, lost_answers, .. } = condition;
    into.put_u64(life.0);
    into.put_u8(u8::from(stopping) | u8::from(cut_off) << 1);
    let numbers =
        [heard_micros, arriving, sync_micros, deaf, wall.0, durable, memory_room, disk_room];
    for number in numbers.into_iter().chain([lost_answers]) {
        into.put_u64(number);
    }
}

fn take_condition(from: &mut Take<'_>) -> Result<Condition, CodecError> {
    let (life, flags) = (Life(from.u64()?), from.u8()?);
    Ok(Condition {
        life,
        stopping: flags & 1 != 0,
        heard_micros: from.u64()?,
        arriving: from.u64()?,
        sync_micros: from.u64()?,
        deaf: from.u64()?,
        wall: UnixMillis(from.u64()?),
        durable: from.u64()?,
        memory_room: from.u64()?,
        disk_room: from.u64()?,
        cut_off: flags & 2 != 0,
        lost_answers: from.u64()?,
    })
}

fn decode_fields(from: &mut Take<'_>) -> Result<Message, CodecError> {
    Ok(match from.u8()? {
        1 => Message::Beat {
            epoch: SupportEpoch(from.u64()?),
            incarnation: Incarnation(from.u64()?),
            sequence: from.u64()?,
            condition: take_condition(from)?,
            introduction: Introduction::decode(from)?,
        },
        2 => Message::Promise {
            sequence: from.u64()?,
            epoch: SupportEpoch(from.u64()?),
            incarnation: Incarnation(from.u64()?),
            life: Life(from.u64()?),
            duration_micros: from.u64()?,
        },
        3 => Message::Raft {
            shard: ShardId(from.u32()?),
            fortified: take_fortification(from)?,
            message: RaftMessage::decode(from)?,
        },
        4 => Message::SlotImage {
            shard: ShardId(from.u32()?),
            catch_up: take_catch_up(from)?,
            piece: take_piece(from)?,
        },
        5 => Message::SlotImageReceived {
            shard: ShardId(from.u32()?),
            catch_up: take_catch_up(from)?,
            below: from.u64()?,
            lost: from.u8()? != 0,
        },
        6 => Message::Forward(ForwardedRequest::decode(from)?),
        7 => Message::ForwardReply { request: from.u64()?, outcome: ForwardOutcome::decode(from)? },
        8 => Message::Route {
            shard: ShardId(from.u32()?),
            range: SlotRange::new(slot(from)?, slot(from)?)
                .ok_or(CodecError("a range of slots"))?,
            epoch: LeaseEpoch(from.u64()?),
            applied: (Term(from.u64()?), LogIndex(from.u64()?)),
            seats: from.u16()?,
            holder: NodeId(from.u32()?),
            replicas: take_nodes(from)?,
        },
        9 => Message::Order {
            number: from.u64()?,
            shard: ShardId(from.u32()?),
            order: take_order(from)?,
        },
        10 => Message::OrderReply { number: from.u64()?, outcome: take_order_outcome(from)? },
        11 => Message::TopologyClient { host: text(from)?, library: text(from)? },
        12 => Message::AskRelease { shard: ShardId(from.u32()?), term: Term(from.u64()?) },
        13 => Message::Release {
            shard: ShardId(from.u32()?),
            term: Term(from.u64()?),
            stands_back: take_stands_back(from)?,
        },
        14 => Message::Members(Membership::decode(from)?),
        15 => Message::AskRoutes,
        16 => {
            let report = report_codec::decode(from.slice(from.remaining())?)?;
            Message::Report(Box::new(report))
        }
        0 | 17..=u8::MAX => return Err(CodecError("a known kind of message")),
    })
}

fn put_range(range: SlotRange, into: &mut Vec<u8>) {
    into.put_u16(range.first().number());
    into.put_u16(range.last().number());
}

fn slot(from: &mut Take<'_>) -> Result<Slot, CodecError> {
    Slot::new(from.u16()?).ok_or(CodecError("a slot below 16384"))
}

fn text(from: &mut Take<'_>) -> Result<String, CodecError> {
    from.text(types::limits::INLINE_BYTES_MAX).map(String::from)
}

fn put_catch_up(name: CatchUpName, into: &mut Vec<u8>) {
    into.put_u64(name.term.0);
    into.put_u64(name.number);
}

fn take_catch_up(from: &mut Take<'_>) -> Result<CatchUpName, CodecError> {
    Ok(CatchUpName { term: Term(from.u64()?), number: from.u64()? })
}

fn put_piece(piece: &SlotPiece, into: &mut Vec<u8>) {
    into.put_u64(piece.number);
    ImagePart::from(piece).encode(into);
}

fn take_piece(from: &mut Take<'_>) -> Result<SlotPiece, CodecError> {
    let number = from.u64()?;
    let ImagePart { slot, empty_behind, index, offset, last, image } = ImagePart::decode(from)?;
    let image = Bytes::copy_from_slice(image);
    Ok(SlotPiece { number, slot, empty_behind, index, offset, last, image })
}

#[cfg(test)]
mod tests {
    use types::Life;

    use super::*;

    fn forward(bytes: usize) -> Message {
        Message::Forward(Box::new(ForwardedRequest {
            request: 7,
            life: Life(1),
            receiver: Life(2),
            shard: ShardId(3),
            ordered: true,
            refusal: 4,
            resp3: false,
            passes_on: false,
            home: NodeId(1),
            home_life: Life(1),
            at_home: 8,
            given_up: 0,
            lease: LeaseEpoch(u64::MAX),
            session: types::SessionId(9),
            watch: 0,
            wait_micros: 5,
            origin: placement::Origin(0),
            operation: Bytes::from(alloc::vec![3; bytes]),
        }))
    }

    #[test]
    fn long_bytes_that_come_apart_are_the_same_message() {
        let reply = |bytes| Message::ForwardReply {
            request: 1,
            outcome: ForwardOutcome::Reply(Bytes::from(alloc::vec![5; bytes])),
        };
        let long_reply = |bytes| Message::ForwardReply {
            request: 1,
            outcome: ForwardOutcome::LongReply {
                before: Bytes::from_static(b"before"),
                long: Bytes::from(alloc::vec![6; bytes]),
                behind: Bytes::from_static(b"behind"),
            },
        };
        for (message, long) in [
            (long_reply(APART_BYTES), true),
            (long_reply(1), false),
            (forward(APART_BYTES), true),
            (forward(APART_BYTES - 1), false),
            (reply(APART_BYTES), true),
            (reply(9), false),
        ] {
            let (mut whole, mut head) = (Vec::new(), Vec::new());
            encode(&message, &mut whole);
            let rest = encode_apart(&message, &mut head);
            assert_eq!(rest.is_some(), long);
            head.extend_from_slice(&rest.unwrap_or_default());
            assert!(head == whole);
            assert!(decode_shared(&Bytes::from(whole)) == Ok(message));
        }
    }
}

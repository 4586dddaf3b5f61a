//! The engine's messages in our own bounded encoding.
//!
//! The engine's protobuf parser must not see bytes from the network (RUSTSEC-2024-0437), so the
//! fields are written and read here, every length checked.

use alloc::vec::Vec;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot};
use types::{LogIndex, Term};

use crate::bytes_codec::{CodecError, Last, Put, Take};

/// A message of one shard's Raft group. Opaque outside of the engine's wrapper.
#[derive(Clone, PartialEq, Debug)]
pub struct RaftMessage(pub(super) Message);

/// The kinds that travel between nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Append,
    AppendResponse,
    Vote,
    VoteResponse,
    Snapshot,
    Heartbeat,
    HeartbeatResponse,
    TimeoutNow,
    PreVote,
    PreVoteResponse,
}

impl Kind {
    const ALL: [(Self, MessageType); 10] = [
        (Self::Append, MessageType::MsgAppend),
        (Self::AppendResponse, MessageType::MsgAppendResponse),
        (Self::Vote, MessageType::MsgRequestVote),
        (Self::VoteResponse, MessageType::MsgRequestVoteResponse),
        (Self::Snapshot, MessageType::MsgSnapshot),
        (Self::Heartbeat, MessageType::MsgHeartbeat),
        (Self::HeartbeatResponse, MessageType::MsgHeartbeatResponse),
        (Self::TimeoutNow, MessageType::MsgTimeoutNow),
        (Self::PreVote, MessageType::MsgRequestPreVote),
        (Self::PreVoteResponse, MessageType::MsgRequestPreVoteResponse),
    ];

    pub(super) fn of(kind: MessageType) -> Option<Self> {
        Self::ALL.iter().find(|(_, engine)| *engine == kind).map(|(own, _)| *own)
    }

    fn engine(self) -> MessageType {
        let found = Self::ALL.iter().find(|(own, _)| *own == self);
        found.map(|(_, engine)| *engine).expect("every kind is in the table")
    }
}

/// The mark of an election that a holder has asked for, which fortified followers let pass.
pub(super) const TRANSFER_MARK: &[u8] = b"CampaignTransfer";

/// No term and no index of a real cluster comes near this; larger ones are damage.
const COUNTER_MAX: u64 = 1 << 62;

impl RaftMessage {
    /// What kind of message it is.
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(self.0.get_msg_type()).expect("only messages between nodes are wrapped")
    }

    /// The sender's term (on a pre-vote, the term it would campaign for).
    #[must_use]
    pub fn term(&self) -> Term {
        Term(self.0.term)
    }

    /// Whether a follower says that its log differs from what a leader has sent it.
    pub(crate) fn is_refusal(&self) -> bool {
        self.kind() == Kind::AppendResponse && self.0.reject
    }

    /// Whether it is about who leads, not about what is in the log.
    pub(crate) fn is_urgent(&self) -> bool {
        match self.kind() {
            Kind::Vote
            | Kind::VoteResponse
            | Kind::PreVote
            | Kind::PreVoteResponse
            | Kind::TimeoutNow
            | Kind::Heartbeat
            | Kind::HeartbeatResponse => true,
            Kind::Append | Kind::AppendResponse | Kind::Snapshot => false,
        }
    }

    /// Whether a leader sent it to a replica.
    pub(crate) fn is_from_leader(&self) -> bool {
        matches!(self.kind(), Kind::Append | Kind::Heartbeat | Kind::Snapshot)
    }

    /// Whether it asks for a vote, or whether it would get one.
    pub(crate) fn asks_for_vote(&self) -> bool {
        matches!(self.kind(), Kind::Vote | Kind::PreVote)
    }

    /// Term and index of the last entry in a candidate's log.
    pub(crate) fn end_of_log(&self) -> (Term, LogIndex) {
        (Term(self.0.log_term), LogIndex(self.0.index))
    }

    /// Whether it asks for a vote in an election that the old holder has asked for.
    pub(crate) fn has_transfer_mark(&self) -> bool {
        self.0.context.as_ref() == TRANSFER_MARK
    }

    /// How many bytes of entries and images the message carries, for flow control and tests.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        let entries: usize = self.0.entries.iter().map(|entry| entry.data.len()).sum();
        entries + self.0.get_snapshot().data.len()
    }

    /// Context and data of the entries that it carries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.entries.iter().map(|entry| (&entry.context[..], &entry.data[..]))
    }

    /// One readable line, for traces.
    #[must_use]
    pub fn describe(&self) -> alloc::string::String {
        let m = &self.0;
        let mut text =
            alloc::format!("{:?} t{} i{} lt{}", self.kind(), m.term, m.index, m.log_term);
        if !m.entries.is_empty() {
            text += &alloc::format!(" +{}", m.entries.len());
        }
        if m.commit != 0 {
            text += &alloc::format!(" c{}", m.commit);
        }
        if m.reject {
            text += &alloc::format!(" reject hint i{}", m.reject_hint);
        }
        if self.has_transfer_mark() {
            text += " transfer";
        }
        text
    }

    /// The data of the last entry, which end the message if it has entries.
    pub(crate) fn last_data(&self) -> Option<&Bytes> {
        let is_snapshot = self.0.get_msg_type() == MessageType::MsgSnapshot;
        self.0.entries.last().filter(|_| !is_snapshot).map(|entry| &entry.data)
    }

    pub(crate) fn encode(&self, last: Last, into: &mut Vec<u8>) {
        let m = &self.0;
        into.put_u8(m.get_msg_type() as u8);
        into.put_u8(u8::from(m.reject));
        for field in [
            m.from,
            m.to,
            m.term,
            m.log_term,
            m.index,
            m.commit,
            m.commit_term,
            m.request_snapshot,
            m.reject_hint,
        ] {
            into.put_var(field);
        }
        into.put_bytes(&m.context);
        into.put_len(m.entries.len());
        for (at, entry) in m.entries.iter().enumerate() {
            let is_last = at + 1 == m.entries.len();
            put_entry(entry, if is_last { last } else { Last::Here }, into);
        }
        if m.get_msg_type() == MessageType::MsgSnapshot {
            let snapshot = m.get_snapshot();
            into.put_var(snapshot.get_metadata().index);
            into.put_var(snapshot.get_metadata().term);
            encode_conf_state(snapshot.get_metadata().get_conf_state(), into);
            into.put_bytes(&snapshot.data);
        }
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, CodecError> {
        let number = i32::from(from.u8()?);
        let kind = Kind::ALL
            .iter()
            .find(|(_, engine)| *engine as i32 == number)
            .map(|(own, _)| *own)
            .ok_or(CodecError("a known kind of Raft message"))?;
        let mut m = Message::default();
        m.set_msg_type(kind.engine());
        m.reject = from.u8()? != 0;
        m.from = from.var()?;
        m.to = from.var()?;
        for field in [
            &mut m.term,
            &mut m.log_term,
            &mut m.index,
            &mut m.commit,
            &mut m.commit_term,
            &mut m.request_snapshot,
            &mut m.reject_hint,
        ] {
            *field = from.var()?;
            if *field > COUNTER_MAX {
                return Err(CodecError("a counter that a cluster can reach"));
            }
        }
        if m.term == 0 || m.from == 0 {
            return Err(CodecError("a sender and a term"));
        }
        m.context = Bytes::copy_from_slice(from.bytes()?);
        let count = from.len(from.remaining())?;
        let mut entries = Vec::new();
        for step in 0..count {
            let entry = decode_entry(from)?;
            if entry.index != m.index.wrapping_add(step as u64 + 1) {
                return Err(CodecError("entries without a gap"));
            }
            entries.push(entry);
        }
        m.set_entries(entries.into());
        if kind == Kind::Snapshot {
            let mut snapshot = Snapshot::default();
            snapshot.mut_metadata().index = from.var()?;
            snapshot.mut_metadata().term = from.var()?;
            snapshot.mut_metadata().set_conf_state(decode_conf_state(from)?);
            snapshot.data = Bytes::copy_from_slice(from.bytes()?);
            m.set_snapshot(snapshot);
        }
        Ok(Self(m))
    }
}

/// Set in an entry's type, if it has a context: hardly any has.
const HAS_CONTEXT: u8 = 0x80;

pub(super) fn put_entry(entry: &Entry, last: Last, into: &mut Vec<u8>) {
    let has_context = if entry.context.is_empty() { 0 } else { HAS_CONTEXT };
    into.put_u8(entry.get_entry_type() as u8 | has_context);
    into.put_var(entry.term);
    into.put_var(entry.index);
    if has_context != 0 {
        into.put_bytes(&entry.context);
    }
    into.put_last(&entry.data, last);
}

pub(super) fn decode_entry(from: &mut Take<'_>) -> Result<Entry, CodecError> {
    let mut entry = Entry::default();
    let kind = from.u8()?;
    entry.set_entry_type(match kind & !HAS_CONTEXT {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        3..=u8::MAX => return Err(CodecError("a known kind of log entry")),
    });
    entry.term = from.var()?;
    entry.index = from.var()?;
    if kind & HAS_CONTEXT != 0 {
        entry.context = Bytes::copy_from_slice(from.bytes()?);
    }
    entry.data = from.kept_bytes()?;
    Ok(entry)
}

pub(super) fn encode_conf_state(state: &ConfState, into: &mut Vec<u8>) {
    for nodes in [&state.voters, &state.learners, &state.voters_outgoing, &state.learners_next] {
        into.put_len(nodes.len());
        for node in nodes {
            into.put_var(*node);
        }
    }
    into.put_u8(u8::from(state.auto_leave));
}

pub(super) fn decode_conf_state(from: &mut Take<'_>) -> Result<ConfState, CodecError> {
    let mut state = ConfState::default();
    for nodes in [
        &mut state.voters,
        &mut state.learners,
        &mut state.voters_outgoing,
        &mut state.learners_next,
    ] {
        let count = from.len(types::limits::REPLICAS_MAX * 2)?;
        for _ in 0..count {
            nodes.push(from.var()?);
        }
    }
    state.auto_leave = from.u8()? != 0;
    Ok(state)
}

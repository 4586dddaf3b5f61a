//! What nodes write to each other's sockets: a greeting, then frames with one message each.
//!
//! A connection carries messages one way, from the node that dialled. Its greeting names the
//! format's version, the cluster, both nodes and the purpose; the other side answers whether it
//! is welcome. The first eight bytes of either are the same in every version, for ever, so that
//! two versions can tell each other what is wrong.
//!
//! ```text
//! greeting, answer:  magic 4 | version u16 | length u16 | body of that length
//! greeting's body:   purpose u8 | from u32 | to u32 | incarnation u64 | life u64 | cluster name
//! answer's body:     welcome u8 | reason in words, empty if welcome
//! frame:             length u32 | CRC-32 of the message u32 | message
//! ```
//!
//! Numbers are little-endian. The checksum is there because TCP's own lets one damaged packet in
//! some tens of thousands pass, and a damaged message would be made durable on every replica; it
//! costs less than a tenth of a nanosecond per byte.

use std::fmt;

use bytes::Bytes;
use cluster::Message;
use cluster::codec::{self, CodecError};
use types::limits::{NAME_BYTES_MAX, PEER_MESSAGE_BYTES_MAX};
use types::{Incarnation, Life, NodeId};

/// The format's version; any change of a greeting's body, a frame or a message raises it.
pub(crate) const VERSION: u16 = codec::PEER_PROTOCOL_VERSION;
const MAGIC: [u8; 4] = *b"LHPC";
const PREAMBLE_BYTES: usize = 8;
const FRAME_HEADER_BYTES: usize = 8;
/// Most bytes of an answer's reason.
pub(crate) const REASON_BYTES_MAX: usize = 512;
/// Bytes of a greeting's body before the cluster's name.
const GREETING_FIXED_BYTES: usize = 25;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Everything that leases don't depend on.
    Data,
    /// Beats and promises: never queued behind data.
    Priority,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Priority => "priority",
        })
    }
}

/// The first words of the node that dials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Greeting {
    /// What the connection is for.
    pub(crate) purpose: Purpose,
    /// Who dials.
    pub(crate) from: NodeId,
    /// Who is expected to answer.
    pub(crate) to: NodeId,
    /// The dialling node's incarnation.
    pub(crate) incarnation: Incarnation,
    /// The dialling process, told from every other of the node.
    pub(crate) life: Life,
    /// The dialling node's cluster.
    pub(crate) cluster: String,
}

/// What somebody speaks who is no node, by the first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tongue {
    /// The protocol of Redis: a client, or a port for clients.
    Redis,
    /// HTTP: a browser, or the port of the HTTP API.
    Http,
    /// Nothing that is known here.
    Unknown,
}

impl Tongue {
    fn of(bytes: &[u8]) -> Self {
        let http =
            [b"HTTP/".as_slice(), b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE "];
        match bytes.first() {
            Some(b'*' | b'+' | b'-') => Self::Redis,
            _ if http.iter().any(|word| bytes.starts_with(word)) => Self::Http,
            Some(_) | None => Self::Unknown,
        }
    }

    /// What somebody is told who speaks so at the port for nodes, in that tongue; nothing if there
    /// is no way to say it.
    pub(crate) fn direct_to(self, client_port: u16) -> Option<String> {
        let text = format!(
            "this is the port for the other nodes; clients are served at this node's port \
             {client_port}"
        );
        match self {
            Self::Redis => Some(format!("-ERR {text}\r\n")),
            Self::Http => Some(format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{text}\n",
                text.len() + 1
            )),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for Tongue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => {
                "it speaks the protocol of Redis: a client, or a node's port for clients"
            }
            Self::Http => "it speaks HTTP: a browser, or the port of a node's HTTP API",
            Self::Unknown => "wrong port?",
        })
    }
}

/// Why bytes from a peer can't be used. The connection is closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FrameError {
    /// Something else than a node is speaking.
    Magic(Tongue),
    /// The other side speaks another version.
    Version(u16),
    /// A greeting or an answer has a wrong form.
    Malformed,
    /// A frame says that it is longer than any message may be.
    TooLong(u32),
    /// The checksum of a frame is wrong.
    Checksum,
    /// The message in a frame is not one.
    Message(String),
    /// The other side refuses the connection.
    Refused(String),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(tongue) => {
                write!(f, "the other side does not speak as a Leasehold node does ({tongue})")
            }
            Self::Version(found) => write!(
                f,
                "the other side speaks version {found} between nodes, this program speaks \
                 version {VERSION}: run the same program on all nodes"
            ),
            Self::Malformed => write!(f, "malformed greeting"),
            Self::TooLong(length) => write!(f, "a frame of {length} bytes is longer than allowed"),
            Self::Checksum => write!(f, "wrong checksum: the network damages data"),
            Self::Message(reason) => write!(f, "malformed message: {reason}"),
            Self::Refused(reason) => write!(f, "the other side refuses: {reason}"),
        }
    }
}

/// Appends a greeting.
pub(crate) fn write_greeting(greeting: &Greeting, into: &mut Vec<u8>) {
    write_preamble(GREETING_FIXED_BYTES + greeting.cluster.len(), into);
    into.push(match greeting.purpose {
        Purpose::Data => 0,
        Purpose::Priority => 1,
    });
    into.extend_from_slice(&greeting.from.0.to_le_bytes());
    into.extend_from_slice(&greeting.to.0.to_le_bytes());
    into.extend_from_slice(&greeting.incarnation.0.to_le_bytes());
    into.extend_from_slice(&greeting.life.0.to_le_bytes());
    into.extend_from_slice(greeting.cluster.as_bytes());
}

/// Appends the answer to a greeting: welcome, or why not.
pub(crate) fn write_answer(answer: &Result<(), String>, into: &mut Vec<u8>) {
    let reason = answer.as_ref().err().map_or("", String::as_str);
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    write_preamble(1 + end, into);
    into.push(u8::from(answer.is_ok()));
    into.extend_from_slice(&reason.as_bytes()[..end]);
}

/// Reads a greeting and says how many bytes it took; `None` if there is more to come.
pub(crate) fn read_greeting(bytes: &[u8]) -> Result<Option<(Greeting, usize)>, FrameError> {
    let Some(body) = read_preamble(bytes, GREETING_FIXED_BYTES + NAME_BYTES_MAX)? else {
        return Ok(None);
    };
    let (fixed, name) = body.split_at_checked(GREETING_FIXED_BYTES).ok_or(FrameError::Malformed)?;
    let purpose = match fixed[0] {
        0 => Purpose::Data,
        1 => Purpose::Priority,
        _ => return Err(FrameError::Malformed),
    };
    let cluster = std::str::from_utf8(name).map_err(|_| FrameError::Malformed)?;
    let greeting = Greeting {
        purpose,
        from: NodeId(read_u32(&fixed[1..5])),
        to: NodeId(read_u32(&fixed[5..9])),
        incarnation: Incarnation(read_u64(&fixed[9..17])),
        life: Life(read_u64(&fixed[17..25])),
        cluster: cluster.to_owned(),
    };
    Ok(Some((greeting, PREAMBLE_BYTES + body.len())))
}

/// Reads the answer to a greeting; `None` if there is more to come.
pub(crate) fn read_answer(bytes: &[u8]) -> Result<Option<()>, FrameError> {
    let Some(body) = read_preamble(bytes, 1 + REASON_BYTES_MAX)? else { return Ok(None) };
    match body.split_first() {
        Some((1, _)) => Ok(Some(())),
        Some((0, reason)) => {
            let clean = String::from_utf8_lossy(reason).replace(char::is_control, " ");
            Err(FrameError::Refused(clean))
        }
        Some(_) | None => Err(FrameError::Malformed),
    }
}

fn write_preamble(length: usize, into: &mut Vec<u8>) {
    let length = u16::try_from(length).expect("names and reasons are bounded");
    into.extend_from_slice(&MAGIC);
    into.extend_from_slice(&VERSION.to_le_bytes());
    into.extend_from_slice(&length.to_le_bytes());
}

fn read_preamble(bytes: &[u8], most: usize) -> Result<Option<&[u8]>, FrameError> {
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return Err(FrameError::Magic(Tongue::of(bytes)));
    }
    let Some((preamble, rest)) = bytes.split_at_checked(PREAMBLE_BYTES) else { return Ok(None) };
    let version = u16::from_le_bytes([preamble[4], preamble[5]]);
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let length = usize::from(u16::from_le_bytes([preamble[6], preamble[7]]));
    if length > most {
        return Err(FrameError::Malformed);
    }
    Ok(rest.get(..length))
}

/// Appends a message as a frame, but for what is answered: long bytes that end it, and follow
/// without a copy.
#[must_use]
pub(crate) fn write_message(message: &Message, into: &mut Vec<u8>) -> Option<Bytes> {
    let start = into.len();
    into.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    let apart = codec::encode_apart(message, into);
    let body = start + FRAME_HEADER_BYTES;
    let rest = apart.as_deref().unwrap_or_default();
    let length = u32::try_from(into.len() - body + rest.len()).unwrap_or(u32::MAX);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&into[body..]);
    hasher.update(rest);
    let checksum = hasher.finalize();
    into[start..start + 4].copy_from_slice(&length.to_le_bytes());
    into[start + 4..body].copy_from_slice(&checksum.to_le_bytes());
    apart
}

/// Reads the first message of `bytes` and says how many bytes it took; `None` if there is more to
/// come. The length is checked before anything is kept for it.
pub(crate) fn read_message(bytes: &[u8]) -> Result<Option<(Message, usize)>, FrameError> {
    let Some(body) = read_frame(bytes)? else { return Ok(None) };
    message(codec::decode(body), body)
}

/// The same, of bytes that the message may keep.
pub(crate) fn read_shared_message(bytes: &Bytes) -> Result<Option<(Message, usize)>, FrameError> {
    let Some(body) = read_frame(bytes)? else { return Ok(None) };
    message(codec::decode_shared(&bytes.slice_ref(body)), body)
}

fn message(
    decoded: Result<Message, CodecError>,
    body: &[u8],
) -> Result<Option<(Message, usize)>, FrameError> {
    let message = decoded.map_err(|error| FrameError::Message(format!("{error:?}")))?;
    Ok(Some((message, FRAME_HEADER_BYTES + body.len())))
}

/// The first frame's message, if it is there as a whole.
fn read_frame(bytes: &[u8]) -> Result<Option<&[u8]>, FrameError> {
    let Some((header, rest)) = bytes.split_at_checked(FRAME_HEADER_BYTES) else { return Ok(None) };
    let length = read_u32(&header[..4]);
    if length as usize > PEER_MESSAGE_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let Some(body) = rest.get(..length as usize) else { return Ok(None) };
    if crc32fast::hash(body) != read_u32(&header[4..]) {
        return Err(FrameError::Checksum);
    }
    Ok(Some(body))
}

/// How many bytes the first frame of `bytes` will have, by its own word; 0 if that is not known.
pub(crate) fn first_bytes(bytes: &[u8]) -> usize {
    let length = bytes.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    if length == 0 { 0 } else { (FRAME_HEADER_BYTES + length).min(PEER_MESSAGE_BYTES_MAX) }
}

fn read_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("the caller cut four bytes"))
}

fn read_u64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("the caller cut eight bytes"))
}

#[cfg(test)]
mod tests {
    use cluster::Introduction;
    use types::SupportEpoch;

    use super::*;

    fn greeting() -> Greeting {
        Greeting {
            purpose: Purpose::Priority,
            from: NodeId(1),
            to: NodeId(2),
            incarnation: Incarnation(7),
            life: Life(9),
            cluster: String::from("leasehold"),
        }
    }

    fn beat(sequence: u64) -> Message {
        let introduction = Introduction::default();
        Message::Beat {
            epoch: SupportEpoch(3),
            incarnation: Incarnation(1),
            sequence,
            condition: cluster::Condition::default(),
            introduction,
        }
    }

    #[test]
    fn a_greeting_arrives_in_any_pieces() {
        let mut bytes = Vec::new();
        write_greeting(&greeting(), &mut bytes);
        for end in 0..bytes.len() {
            assert_eq!(read_greeting(&bytes[..end]), Ok(None));
        }
        let length = bytes.len();
        bytes.extend_from_slice(b"frames follow");
        assert_eq!(read_greeting(&bytes), Ok(Some((greeting(), length))));
    }

    #[test]
    fn strangers_and_other_versions_are_told_apart() {
        let tongue = |bytes: &[u8]| match read_greeting(bytes) {
            Err(FrameError::Magic(tongue)) => Some(tongue),
            Ok(_) | Err(_) => None,
        };
        assert_eq!(tongue(b"PING\r\n"), Some(Tongue::Unknown));
        assert_eq!(tongue(b"*"), Some(Tongue::Redis));
        assert_eq!(tongue(b"-DENIED"), Some(Tongue::Redis));
        assert_eq!(tongue(b"GET / HTTP/1.1\r\n"), Some(Tongue::Http));
        assert_eq!(tongue(b"HTTP/1.1 400 Bad Request\r\n"), Some(Tongue::Http));
        assert_eq!(tongue(b"LHP"), None);
        assert!(Tongue::Redis.direct_to(7001).is_some_and(|text| text.ends_with("port 7001\r\n")));
        let mut bytes = Vec::new();
        write_greeting(&greeting(), &mut bytes);
        bytes[4] = 9;
        assert_eq!(read_greeting(&bytes), Err(FrameError::Version(9)));
        bytes[4] = VERSION as u8;
        bytes[8] = 2;
        assert_eq!(read_greeting(&bytes), Err(FrameError::Malformed));
        bytes[6..8].copy_from_slice(&[255, 255]);
        assert_eq!(read_greeting(&bytes), Err(FrameError::Malformed));
    }

    #[test]
    fn an_answer_welcomes_or_says_why_not() {
        let mut bytes = Vec::new();
        write_answer(&Ok(()), &mut bytes);
        assert_eq!(read_answer(&bytes[..5]), Ok(None));
        assert_eq!(read_answer(&bytes), Ok(Some(())));
        bytes.clear();
        write_answer(&Err("another\ncluster".repeat(100)), &mut bytes);
        let Err(FrameError::Refused(reason)) = read_answer(&bytes) else { panic!("refused") };
        assert!(reason.starts_with("another cluster") && reason.len() == REASON_BYTES_MAX);
    }

    #[test]
    fn messages_follow_each_other_and_arrive_in_any_pieces() {
        let mut bytes = Vec::new();
        assert_eq!(write_message(&beat(1), &mut bytes), None);
        let first = bytes.len();
        assert_eq!(write_message(&beat(2), &mut bytes), None);
        for end in 0..first {
            assert_eq!(read_message(&bytes[..end]), Ok(None));
        }
        assert_eq!(read_message(&bytes), Ok(Some((beat(1), first))));
        assert_eq!(read_message(&bytes[first..]), Ok(Some((beat(2), bytes.len() - first))));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let mut bytes = Vec::new();
        assert_eq!(write_message(&beat(1), &mut bytes), None);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read_message(&bytes), Ok(Some(_))), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

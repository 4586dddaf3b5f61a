//! As much of HTTP/2 and gRPC as writes to etcd need (RFC 9113, RFC 7541).
//!
//! Requests refer to headers that the first one has put into the peer's table, so that they cost
//! etcd no more than those of its own client do. Answers' headers are not decoded: an answer with
//! a message is a success, since a failed call has headers only.

/// What a client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How many bytes of data both sides may send on a new connection or stream.
pub(super) const WINDOW_BYTES: usize = 65_535;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

/// Flag of SETTINGS and PING: an answer.
pub(super) const ACK: u8 = 1;
/// Flag of DATA and HEADERS: the last of its stream.
pub(super) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Length of a frame's head, in bytes.
const HEAD_BYTES: usize = 9;
/// Longest frame that a peer may send unasked, in bytes.
const FRAME_BYTES_MAX: usize = 16_384;

/// A frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

/// What the bytes so far amount to.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Parsed<'a> {
    /// A frame, and the bytes after it.
    Frame(Frame<'a>, &'a [u8]),
    /// The frame is not whole yet.
    Incomplete,
    /// This is not the protocol.
    Invalid,
}

/// Reads the first frame of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return Parsed::Incomplete };
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    if length > FRAME_BYTES_MAX {
        return Parsed::Invalid;
    }
    let Some((payload, rest)) = rest.split_at_checked(length) else { return Parsed::Incomplete };
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    Parsed::Frame(Frame { kind: head[3], flags: head[4], stream, payload }, rest)
}

/// Appends a frame. `payload` is shorter than a frame may be.
pub(super) fn write(frame: Frame<'_>, out: &mut Vec<u8>) {
    let length = (frame.payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[frame.kind, frame.flags]);
    out.extend_from_slice(&frame.stream.to_be_bytes());
    out.extend_from_slice(frame.payload);
}

/// Appends a call: its headers and its only message. `first` says whether it is the connection's
/// first one.
pub(super) fn write_call(
    path: &str,
    authority: &str,
    stream: u32,
    first: bool,
    message: &[u8],
    out: &mut Vec<u8>,
) {
    // Indices 3 and 6 of the static table: POST, http.
    let mut headers = vec![0x83, 0x86];
    if first {
        // Literals that are put into the table, where the newest is number 62. Names 4, 1 and 31
        // of the static table, then a name of its own.
        for (name, value) in [(4, path), (1, authority), (31, "application/grpc")] {
            headers.push(0x40 | name);
            write_text(value, &mut headers);
        }
        headers.push(0x40);
        write_text("te", &mut headers);
        write_text("trailers", &mut headers);
    } else {
        headers.extend([65, 64, 63, 62].map(|index: u8| 0x80 | index));
    }
    write(Frame { kind: HEADERS, flags: END_HEADERS, stream, payload: &headers }, out);
    let mut data = vec![0];
    data.extend_from_slice(&(message.len() as u32).to_be_bytes());
    data.extend_from_slice(message);
    write(Frame { kind: DATA, flags: END_STREAM, stream, payload: &data }, out);
}

/// A text of fewer than 127 bytes, without Huffman coding.
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a field of bytes of a protobuf message.
pub(super) fn write_field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

/// The revision of the store in the header of an answer: field 3 of field 1.
pub(super) fn revision(message: &[u8]) -> Option<u64> {
    // One byte for compression, four for the length.
    let (head, mut rest) = message.split_at_checked(5)?;
    if head[0] != 0 {
        return None;
    }
    if varint(&mut rest)? != (1 << 3 | 2) {
        return None;
    }
    let length = usize::try_from(varint(&mut rest)?).ok()?;
    let mut header = rest.get(..length)?;
    while !header.is_empty() {
        let tag = varint(&mut header)?;
        // All fields of the header are numbers.
        let value = varint(&mut header)?;
        if tag == 3 << 3 {
            return Some(value);
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_writing_and_every_cut_is_incomplete() {
        let frame = Frame { kind: PING, flags: ACK, stream: 7, payload: b"12345678" };
        let mut bytes = Vec::new();
        write(frame, &mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete);
        }
        bytes.push(9);
        assert_eq!(parse(&bytes), Parsed::Frame(frame, &[9]));
        assert_eq!(parse(&[0xff; 9]), Parsed::Invalid);
    }

    #[test]
    fn a_call_refers_to_the_headers_of_the_first_one() {
        let mut first = Vec::new();
        write_call("/a/b", "host", 1, true, b"m", &mut first);
        let Parsed::Frame(headers, rest) = parse(&first) else { panic!("it is whole") };
        assert_eq!((headers.kind, headers.flags, headers.stream), (HEADERS, END_HEADERS, 1));
        assert!(headers.payload.starts_with(b"\x83\x86\x44\x04/a/b\x41\x04host"));
        let data = Frame { kind: DATA, flags: END_STREAM, stream: 1, payload: b"\0\0\0\0\x01m" };
        assert_eq!(parse(rest), Parsed::Frame(data, &[]));
        let mut second = Vec::new();
        write_call("/a/b", "host", 3, false, b"m", &mut second);
        let Parsed::Frame(headers, _) = parse(&second) else { panic!("it is whole") };
        assert_eq!(headers.payload, [0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe]);
    }

    #[test]
    fn the_revision_is_found_and_nonsense_is_not() {
        // cluster_id 1, member_id 2, revision 300.
        let mut answer = vec![0, 0, 0, 0, 9];
        write_field(1, &[0x08, 1, 0x10, 2, 0x18, 0xac, 0x02], &mut answer);
        assert_eq!(revision(&answer), Some(300));
        for cut in 0..answer.len() {
            assert_eq!(revision(&answer[..cut]), None);
        }
        let mut long = Vec::new();
        write_field(2, &[0; 300], &mut long);
        assert_eq!(&long[..3], [2 << 3 | 2, 0xac, 0x02]);
    }
}

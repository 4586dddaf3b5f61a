//! The bytes on disk: segment names, segment headers, frames and the records in them.
//!
//! All numbers are little-endian. A segment header takes the first block of its file:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `LHOLDLOG` |
//! | 8..12 | format version. Bytes 0..12 and 64..68 mean the same in every version |
//! | 12..16 | block size |
//! | 16..24, 24..28 | cluster, node |
//! | 28..32 | zero |
//! | 32..40 | the log's random number |
//! | 40..48 | the segment's number |
//! | 48..56 | the number of the segment's first commit |
//! | 56..64 | the file's length when the segment was begun |
//! | 64..68 | CRC-32 of bytes 0..64 |
//!
//! A frame is one commit. It starts on a block boundary and is padded with zeroes to the next:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `LHFR` |
//! | 4..8 | CRC-32 of bytes 8..56 |
//! | 8..16, 16..24 | the log's random number, the segment's number |
//! | 24..32 | the commit's number: 1, 2, 3, ... over the whole log |
//! | 32..40 | the oldest segment that holds anything live, as of this commit |
//! | 40..48 | length of the body |
//! | 48..52, 52..56 | how many records, CRC-32 of the body |
//! | 56.. | the body: for each record its length (4 bytes) and its payload |
//!
//! The log's number is random so that no payload can imitate a frame: scanning for frames behind
//! damage looks into the payloads as well, and what they hold comes from clients.

use types::{NodeId, SegmentId};

/// Version of the format that this crate writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Smallest block, in bytes: the sector, which is the least that a disk writes.
pub const BLOCK_BYTES_MIN: u32 = 512;
/// Largest block, in bytes.
pub const BLOCK_BYTES_MAX: u32 = 65536;

/// Length of a segment header, in bytes.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 68;
/// Length of a frame's header, in bytes.
pub(crate) const FRAME_HEADER_BYTES: usize = 56;
/// Length of what precedes each payload in a frame, in bytes.
const RECORD_HEADER_BYTES: usize = 4;

const SEGMENT_MAGIC: &[u8; 8] = b"LHOLDLOG";
const FRAME_MAGIC: &[u8; 4] = b"LHFR";
const SEGMENT_SUFFIX: &str = ".segment";

const _: () = assert!(SEGMENT_HEADER_BYTES <= BLOCK_BYTES_MIN as usize);
const _: () = assert!(FRAME_HEADER_BYTES <= BLOCK_BYTES_MIN as usize);
const _: () = assert!(types::limits::RECORD_BYTES_MAX <= u32::MAX as usize);

/// The name of a segment's file.
#[must_use]
pub fn segment_name(id: SegmentId) -> String {
    format!("{:020}{SEGMENT_SUFFIX}", id.0)
}

/// What a file's name says.
pub(crate) enum Name {
    /// It is this segment.
    Segment(SegmentId),
    /// It is like a segment's name, but no segment is called so.
    Stray,
    /// It is something else.
    Other,
}

/// Reads a file's name.
pub(crate) fn parse_name(name: &str) -> Name {
    let Some(digits) = name.strip_suffix(SEGMENT_SUFFIX) else { return Name::Other };
    match digits.parse() {
        // Only one spelling of a number is a name, so that no number occurs twice.
        Ok(number) if number > 0 && segment_name(SegmentId(number)) == name => {
            Name::Segment(SegmentId(number))
        }
        Ok(_) | Err(_) => Name::Stray,
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut array = [0; 4];
    array.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(array)
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut array = [0; 8];
    array.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(array)
}

/// The first block of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Frames start on multiples of this, in bytes.
    pub block_bytes: u32,
    /// The cluster that the log was written for.
    pub cluster: u64,
    /// The node that wrote it.
    pub node: NodeId,
    /// The log's random number.
    pub log: u64,
    /// The segment's number.
    pub segment: SegmentId,
    /// The number of the segment's first commit.
    pub first_sequence: u64,
    /// The file's length, in bytes, when the segment was begun. It never gets shorter.
    pub file_bytes: u64,
}

/// What stands at the beginning of a segment's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderFound {
    /// A header.
    Header(SegmentHeader),
    /// A header of a version that this crate can't read.
    Version(u32),
    /// No header: zeroes, or damage.
    Nothing,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[0..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.block_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.cluster.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.node.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.log.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.segment.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.file_bytes.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..64]);
        bytes[64..68].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> HeaderFound {
        if bytes.len() < SEGMENT_HEADER_BYTES
            || &bytes[0..8] != SEGMENT_MAGIC
            || crc32fast::hash(&bytes[..64]) != u32_at(bytes, 64)
        {
            return HeaderFound::Nothing;
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return HeaderFound::Version(version);
        }
        let block_bytes = u32_at(bytes, 12);
        if !is_block_size(block_bytes) {
            return HeaderFound::Nothing;
        }
        HeaderFound::Header(Self {
            block_bytes,
            cluster: u64_at(bytes, 16),
            node: NodeId(u32_at(bytes, 24)),
            log: u64_at(bytes, 32),
            segment: SegmentId(u64_at(bytes, 40)),
            first_sequence: u64_at(bytes, 48),
            file_bytes: u64_at(bytes, 56),
        })
    }
}

/// Whether blocks may have this size.
pub(crate) fn is_block_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&bytes)
}

/// The beginning of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FrameHeader {
    /// The log's random number.
    pub(crate) log: u64,
    /// The segment that the frame was written for.
    pub(crate) segment: SegmentId,
    /// The commit's number.
    pub(crate) sequence: u64,
    /// The oldest segment that holds anything live, as of this commit.
    pub(crate) oldest: SegmentId,
    /// Length of the body.
    pub(crate) body_bytes: u64,
    /// How many records the body holds.
    pub(crate) records: u32,
    /// CRC-32 of the body.
    pub(crate) body_checksum: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[0..4].copy_from_slice(FRAME_MAGIC);
        bytes[8..16].copy_from_slice(&self.log.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.segment.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.oldest.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.records.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.body_checksum.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FRAME_HEADER_BYTES || &bytes[0..4] != FRAME_MAGIC {
            return None;
        }
        if crc32fast::hash(&bytes[8..FRAME_HEADER_BYTES]) != u32_at(bytes, 4) {
            return None;
        }
        Some(Self {
            log: u64_at(bytes, 8),
            segment: SegmentId(u64_at(bytes, 16)),
            sequence: u64_at(bytes, 24),
            oldest: SegmentId(u64_at(bytes, 32)),
            body_bytes: u64_at(bytes, 40),
            records: u32_at(bytes, 48),
            body_checksum: u32_at(bytes, 52),
        })
    }
}

/// How many bytes a frame with this body takes on disk.
pub(crate) fn frame_bytes(body_bytes: u64, block_bytes: u32) -> u64 {
    // By mask, not by division: this is asked for every payload that is appended.
    let mask = u64::from(block_bytes) - 1;
    (FRAME_HEADER_BYTES as u64 + body_bytes + mask) & !mask
}

/// The payloads of a body whose checksum is right; `None` if the body isn't made of exactly
/// `records` of them.
pub(crate) fn payloads(body: &[u8], records: u32) -> Option<Vec<&[u8]>> {
    // Not with the declared capacity: the count is only believed once the records are there.
    let mut found = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (head, tail) = rest.split_at_checked(RECORD_HEADER_BYTES)?;
        let (payload, tail) = tail.split_at_checked(u32_at(head, 0) as usize)?;
        found.push(payload);
        rest = tail;
    }
    (found.len() == records as usize).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_round_trip_and_no_flip() {
        let header = SegmentHeader {
            block_bytes: 4096,
            cluster: 7,
            node: NodeId(3),
            log: 0x1234_5678_9abc_def0,
            segment: SegmentId(5),
            first_sequence: 99,
            file_bytes: 1 << 26,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), HeaderFound::Header(header));
        let frame = FrameHeader {
            log: 1,
            segment: SegmentId(2),
            sequence: 3,
            oldest: SegmentId(1),
            body_bytes: 5,
            records: 1,
            body_checksum: 6,
        };
        let frame_bytes = frame.encode();
        assert_eq!(FrameHeader::decode(&frame_bytes), Some(frame));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&damaged), HeaderFound::Nothing);
        }
        for bit in 0..frame_bytes.len() * 8 {
            let mut damaged = frame_bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&damaged), None);
        }
    }

    #[test]
    fn a_body_is_exactly_its_records() {
        let body = [1, 0, 0, 0, b'x', 0, 0, 0, 0];
        assert_eq!(payloads(&body, 2), Some(vec![&b"x"[..], &b""[..]]));
        assert_eq!(payloads(&body, 1), None);
        assert_eq!(payloads(&body[..8], 2), None);
        assert_eq!(payloads(&[255, 255, 255, 255, 0], 1), None);
        assert_eq!(payloads(&[], 0), Some(vec![]));
    }

    #[test]
    fn a_number_has_one_name() {
        assert!(matches!(parse_name(&segment_name(SegmentId(7))), Name::Segment(SegmentId(7))));
        for stray in ["7.segment", "x.segment", ".segment", "00000000000000000000.segment"] {
            assert!(matches!(parse_name(stray), Name::Stray), "{stray}");
        }
        assert!(matches!(parse_name("meta"), Name::Other));
    }
}

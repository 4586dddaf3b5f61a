//! Reading commits again while the log goes on: what its owner has let go of in memory.
//!
//! It needs no lock and holds no place: between two calls segments may be begun and released. What
//! it gives was written as this segment and is whole, by its checksum; what the owner looks for in
//! it, and whether that is durable, is for the owner to know.

use std::io;

use bytes::Bytes;
use types::SegmentId;

use crate::format::{self, HeaderFound, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::scan::{Found, SegmentReader};
use crate::{Disk, DiskFile};

/// Some commits of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commits {
    /// Their payloads, in order.
    pub payloads: Vec<Bytes>,
    /// Where the next commit of the segment is, in bytes from its beginning.
    pub next: u64,
    /// Nothing that can be read follows in the segment: its end, the log's, or damage.
    pub ends: bool,
}

/// Reads commits of a segment from `offset` on, until their payloads have so many bytes; one
/// commit at least. 0 is the segment's beginning; any other offset is one that was given as `next`.
///
/// # Errors
/// What the operating system says; `InvalidData` if the file is not that segment (any more).
pub fn read_commits<D: Disk>(
    disk: &D,
    segment: SegmentId,
    offset: u64,
    bytes: usize,
) -> io::Result<Commits> {
    let file = disk.open(&format::segment_name(segment))?;
    let mut head = [0; SEGMENT_HEADER_BYTES];
    let read = file.read_at(0, &mut head)?;
    let header = match SegmentHeader::decode(&head[..read]) {
        HeaderFound::Header(header) if header.segment == segment => header,
        HeaderFound::Header(_) | HeaderFound::Version(_) | HeaderFound::Nothing => {
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    let mut reader = SegmentReader::new(&file, segment, Some(header.log))?;
    let next = if offset == 0 { u64::from(header.block_bytes) } else { offset };
    let mut found = Commits { payloads: Vec::new(), next, ends: false };
    let mut taken = 0;
    while taken < bytes {
        let Found::Complete(frame) = reader.frame_at(found.next)? else {
            found.ends = true;
            break;
        };
        let Some(payloads) = format::payloads(reader.body(found.next, &frame)?, frame.records)
        else {
            found.ends = true;
            break;
        };
        for payload in payloads {
            taken += payload.len();
            found.payloads.push(Bytes::copy_from_slice(payload));
        }
        found.next += format::frame_bytes(frame.body_bytes, header.block_bytes);
    }
    Ok(found)
}

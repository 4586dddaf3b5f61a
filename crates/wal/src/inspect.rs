//! Walking over a log read-only: for people, on a log that may be damaged or in use.
//!
//! Recovery stops at the first damage; inspection reports it and goes on with the next commit
//! that it can read. It needs no lock and no identity, and judges each segment by itself.

use types::SegmentId;

use crate::error::{OpenError, Operation};
use crate::format::{self, FrameHeader, HeaderFound, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::scan::{Found, SegmentReader};
use crate::{Disk, DiskFile};

/// One thing that inspection came across.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding<'a> {
    /// A segment that was begun. Its commits follow.
    Segment {
        /// Its number.
        segment: SegmentId,
        /// What its header says.
        header: SegmentHeader,
        /// Its file's length, in bytes.
        file_bytes: u64,
    },
    /// A file that has no header of its own: a spare, or a segment whose header is lost if
    /// commits follow.
    Spare {
        /// Its number.
        segment: SegmentId,
        /// Its file's length, in bytes.
        file_bytes: u64,
    },
    /// A segment of a format version that this program can't read.
    UnknownVersion {
        /// Its number.
        segment: SegmentId,
        /// The version.
        found: u32,
    },
    /// A commit that is whole. Its payloads follow.
    Commit {
        /// Its segment.
        segment: SegmentId,
        /// Where it starts in the segment's file, in bytes.
        offset: u64,
        /// Its number.
        sequence: u64,
        /// The oldest segment that held anything live at that time.
        oldest: SegmentId,
        /// How many payloads it has.
        records: u32,
    },
    /// One payload of the commit before.
    Payload {
        /// Its segment.
        segment: SegmentId,
        /// The number of its commit.
        sequence: u64,
        /// The payload.
        payload: &'a [u8],
    },
    /// A commit that is damaged or torn.
    Unreadable {
        /// Its segment.
        segment: SegmentId,
        /// Where it starts in the segment's file, in bytes.
        offset: u64,
        /// Its number, if its header is readable.
        sequence: Option<u64>,
    },
    /// The next commit has another number than the one that belongs here. At the end of a
    /// segment this is only said by the first commit of the next.
    Gap {
        /// Where the gap was noticed.
        segment: SegmentId,
        /// The number that belongs here.
        expected: u64,
        /// The number that was found.
        found: u64,
    },
}

/// Reports everything in the directory's log, in order.
///
/// # Errors
/// [`OpenError::Disk`] and [`OpenError::StrayFile`]; damage is a [`Finding`], not an error.
pub fn inspect<D: Disk>(disk: &D, report: &mut dyn FnMut(Finding<'_>)) -> Result<(), OpenError> {
    let mut expected = None;
    for segment in crate::recovery::list_segments(disk)? {
        let name = format::segment_name(segment);
        let file = disk.open(&name).map_err(OpenError::disk(Operation::Open))?;
        inspect_segment(&file, segment, &mut expected, report)
            .map_err(OpenError::disk(Operation::Read))?;
    }
    Ok(())
}

fn inspect_segment<F: DiskFile>(
    file: &F,
    segment: SegmentId,
    expected: &mut Option<u64>,
    report: &mut dyn FnMut(Finding<'_>),
) -> std::io::Result<()> {
    let file_bytes = file.length()?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = file.read_at(0, &mut bytes)?;
    let header = match SegmentHeader::decode(&bytes[..read]) {
        HeaderFound::Header(header) => Some(header).filter(|header| header.segment == segment),
        HeaderFound::Nothing => None,
        HeaderFound::Version(found) => {
            report(Finding::UnknownVersion { segment, found });
            return Ok(());
        }
    };
    match header {
        Some(header) => report(Finding::Segment { segment, header, file_bytes }),
        None => report(Finding::Spare { segment, file_bytes }),
    }
    let mut reader = SegmentReader::new(file, segment, header.map(|header| header.log))?;
    let block_bytes = header.map_or(crate::BLOCK_BYTES_MIN, |header| header.block_bytes);
    let mut offset = header.map_or(0, |header| u64::from(header.block_bytes));
    while let Some((found_at, frame)) = reader.next_header(offset)? {
        if found_at > offset && header.is_some() {
            report(Finding::Unreadable { segment, offset, sequence: None });
        }
        if let Some(expected) = expected.filter(|&expected| expected != frame.sequence) {
            report(Finding::Gap { segment, expected, found: frame.sequence });
        }
        *expected = Some(frame.sequence.saturating_add(1));
        offset = found_at
            + match reader.frame_at(found_at)? {
                Found::Complete(frame) => {
                    report_commit(&mut reader, found_at, &frame, report)?;
                    format::frame_bytes(frame.body_bytes, block_bytes)
                }
                // Where a damaged commit ends is not to be believed: look at every block.
                Found::Incomplete(_) | Found::Nothing => {
                    let sequence = Some(frame.sequence);
                    report(Finding::Unreadable { segment, offset: found_at, sequence });
                    u64::from(block_bytes)
                }
            };
    }
    Ok(())
}

fn report_commit<F: DiskFile>(
    reader: &mut SegmentReader<'_, F>,
    offset: u64,
    frame: &FrameHeader,
    report: &mut dyn FnMut(Finding<'_>),
) -> std::io::Result<()> {
    let FrameHeader { segment, sequence, oldest, records, .. } = *frame;
    match format::payloads(reader.body(offset, frame)?, records) {
        Some(payloads) => {
            report(Finding::Commit { segment, offset, sequence, oldest, records });
            for payload in payloads {
                report(Finding::Payload { segment, sequence, payload });
            }
        }
        None => report(Finding::Unreadable { segment, offset, sequence: Some(sequence) }),
    }
    Ok(())
}

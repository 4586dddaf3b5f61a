//! Reading the frames of one segment: the next one in place, or any one behind damage.
//!
//! Recovery and inspection both read through this file. It judges nothing: it says what stands
//! at an offset, and where the next frame header of this segment is.

use std::io;

use types::SegmentId;

use crate::DiskFile;
use crate::format::{BLOCK_BYTES_MIN, FRAME_HEADER_BYTES, FrameHeader};

/// How much is read ahead at least, in bytes: a log of small commits is read in few large reads.
const WINDOW_BYTES: u64 = 4 << 20;

/// What stands at an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A whole frame; its body's checksum is right.
    Complete(FrameHeader),
    /// A frame's header, whose body is incomplete or damaged.
    Incomplete(FrameHeader),
    /// No frame of this segment.
    Nothing,
}

/// Reads one segment's file through a window that moves forward.
pub(crate) struct SegmentReader<'a, F> {
    file: &'a F,
    file_bytes: u64,
    segment: SegmentId,
    /// The log's random number, where it is known: not if every segment header is lost.
    log: Option<u64>,
    window: Vec<u8>,
    window_offset: u64,
}

impl<'a, F: DiskFile> SegmentReader<'a, F> {
    pub(crate) fn new(file: &'a F, segment: SegmentId, log: Option<u64>) -> io::Result<Self> {
        let file_bytes = file.length()?;
        Ok(Self { file, file_bytes, segment, log, window: Vec::new(), window_offset: 0 })
    }

    /// The file's length, in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The bytes of the file from `offset`, `length` of them or up to the file's end.
    pub(crate) fn bytes(&mut self, offset: u64, length: u64) -> io::Result<&[u8]> {
        let end = offset.saturating_add(length).min(self.file_bytes);
        let start = offset.min(end);
        let window_end = self.window_offset + self.window.len() as u64;
        if start < self.window_offset || end > window_end {
            // Bounded by the file's true length, so a declared length alone allocates nothing.
            let wanted = (end - start).max(WINDOW_BYTES).min(self.file_bytes - start);
            self.window.resize(to_usize(wanted), 0);
            self.window_offset = start;
            let read = self.file.read_at(start, &mut self.window)?;
            self.window.truncate(read);
        }
        let from = to_usize(start - self.window_offset).min(self.window.len());
        let to = to_usize(end - self.window_offset).min(self.window.len());
        Ok(&self.window[from..to])
    }

    /// What stands at `offset`.
    pub(crate) fn frame_at(&mut self, offset: u64) -> io::Result<Found> {
        let Some(header) = self.header_at(offset)? else { return Ok(Found::Nothing) };
        let available = self.file_bytes.saturating_sub(offset + FRAME_HEADER_BYTES as u64);
        if header.body_bytes > available {
            return Ok(Found::Incomplete(header));
        }
        let body = self.body(offset, &header)?;
        let complete =
            body.len() as u64 == header.body_bytes && crc32fast::hash(body) == header.body_checksum;
        Ok(if complete { Found::Complete(header) } else { Found::Incomplete(header) })
    }

    /// The body of the frame at `offset`, which `frame_at` has found to be complete.
    pub(crate) fn body(&mut self, offset: u64, header: &FrameHeader) -> io::Result<&[u8]> {
        // One request for header and body, so that the next frame's header is in the window too.
        let length = FRAME_HEADER_BYTES as u64 + header.body_bytes;
        let frame = self.bytes(offset, length)?;
        Ok(frame.get(FRAME_HEADER_BYTES..).unwrap_or_default())
    }

    /// The first frame header of this segment at or behind `offset`, whatever its body's state.
    pub(crate) fn next_header(&mut self, offset: u64) -> io::Result<Option<(u64, FrameHeader)>> {
        // Sector by sector rather than block by block: where the segment's header is lost, its
        // block size is too.
        let mut offset = offset.next_multiple_of(u64::from(BLOCK_BYTES_MIN));
        while offset < self.file_bytes {
            if let Some(header) = self.header_at(offset)? {
                return Ok(Some((offset, header)));
            }
            offset += u64::from(BLOCK_BYTES_MIN);
        }
        Ok(None)
    }

    fn header_at(&mut self, offset: u64) -> io::Result<Option<FrameHeader>> {
        let (segment, log) = (self.segment, self.log);
        let bytes = self.bytes(offset, FRAME_HEADER_BYTES as u64)?;
        Ok(FrameHeader::decode(bytes)
            .filter(|header| header.segment == segment && log.is_none_or(|log| log == header.log)))
    }
}

/// File lengths fit in memory addresses wherever this program runs.
pub(crate) fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a 64-bit address space")
}

//! Opening a log: find its segments, read every commit in order, tell a torn tail from damage.
//!
//! The argument, in short. A commit is written only after the commit before it was synced, so a
//! crash leaves at most one commit in doubt, the last. Whatever else is unreadable is damage:
//! - In a segment that isn't the last, the next segment's header says which commit is the last
//!   one here. Anything less is damage.
//! - In the last segment, an unreadable commit is damage if a header of a later commit is found
//!   anywhere behind it, or if the witness says that it was durable; otherwise it is the torn tail.
//! - A file behind the last begun segment is a spare, unless such a later commit is found in it.
//!
//! Every commit names the oldest segment that is needed, so that a missing first file is noticed
//! and a segment that was released is not read again.
//!
//! This file only reads. `Log::open` then makes the end of the log safe to append to.

use types::SegmentId;

use crate::error::{Damage, OpenError, Operation, VisitError};
use crate::format::{
    self, BLOCK_BYTES_MAX, FrameHeader, HeaderFound, Name, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::scan::{Found, SegmentReader};
use crate::witness::{self, Testimony};
use crate::{Disk, DiskFile, Options};

/// What the owner is asked to do with each payload.
pub(crate) type Visit<'a> = dyn FnMut(SegmentId, &[u8]) -> Result<(), VisitError> + 'a;

/// What opening a log has found. For the operator's log and for tests.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Segments that were read.
    pub segments: u64,
    /// Commits that were read.
    pub commits: u64,
    /// Payloads that were shown to the owner.
    pub payloads: u64,
    /// Bytes of these payloads.
    pub payload_bytes: u64,
    /// The commit that a crash has torn, if one left a trace.
    pub torn: Option<TornTail>,
    /// What was noted of the log's end can't be read: so a cut end would not be noticed here.
    pub witness_unreadable: bool,
}

/// A commit that never became durable and was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// In which segment.
    pub segment: SegmentId,
    /// Where in its file, in bytes.
    pub offset: u64,
    /// Its length, in bytes, as far as it lies in the file.
    pub bytes: u64,
}

/// What of a log can be read.
#[derive(Debug)]
pub struct Reading {
    /// What was found.
    pub report: Recovery,
    /// The number of the last commit that was read; 0: there is none.
    pub sequence: u64,
    /// Why there is no more, if there should be: [`OpenError::Corrupt`]. What was read is the whole
    /// state of an earlier moment all the same.
    pub damage: Option<OpenError>,
}

/// One file of the log.
pub(crate) struct SegmentFile<F> {
    pub(crate) id: SegmentId,
    pub(crate) file: F,
    pub(crate) file_bytes: u64,
}

/// The end of the log, in the last begun segment.
#[derive(Clone, Copy)]
pub(crate) struct Tail {
    pub(crate) header: SegmentHeader,
    /// Where the last commit starts, if the segment has one.
    pub(crate) last: Option<u64>,
    /// Whether that commit is the segment's first, written along with the header.
    pub(crate) first_only: bool,
    /// Where the next commit goes.
    pub(crate) end: u64,
}

/// All that opening needs to know.
pub(crate) struct Recovered<F> {
    pub(crate) report: Recovery,
    /// Begun segments, oldest first, released ones included.
    pub(crate) begun: Vec<SegmentFile<F>>,
    /// Files behind the last begun segment.
    pub(crate) spares: Vec<SegmentFile<F>>,
    /// `None` if no segment was ever begun.
    pub(crate) tail: Option<Tail>,
    pub(crate) next_sequence: u64,
    /// The oldest segment that holds anything live.
    pub(crate) oldest: SegmentId,
    /// The same as the last commit has it that was read.
    named_oldest: Option<SegmentId>,
}

/// Reads the log. Shows every payload of every durable commit to `visit`, in order.
pub(crate) fn recover<D: Disk>(
    disk: &D,
    options: &Options,
    visit: &mut Visit<'_>,
) -> Result<Recovered<D::File>, OpenError> {
    let (mut recovered, headers) = find(disk, options)?;
    recovered.read(disk, &headers, visit)?;
    Ok(recovered)
}

/// Reads a log that nobody is to go on with, and changes nothing: a torn end stays where it is.
/// Of a damaged log it gives what stands before the damage, if that is the whole state of an
/// earlier moment, and says so.
///
/// # Errors
/// See [`OpenError`]; [`OpenError::Corrupt`] if what can be read is not a whole state: nothing
/// could, or what it needs was written again behind the damage, and freed.
pub fn read<D: Disk>(
    disk: &D,
    options: &Options,
    visit: &mut Visit<'_>,
) -> Result<Reading, OpenError> {
    let (mut recovered, headers) = find(disk, options)?;
    let damage = match recovered.read(disk, &headers, visit) {
        Ok(()) => None,
        Err(damage @ OpenError::Corrupt { .. }) if recovered.is_whole_so_far() => Some(damage),
        Err(error) => return Err(error),
    };
    let Recovered { report, next_sequence, .. } = recovered;
    Ok(Reading { report, sequence: next_sequence - 1, damage })
}

/// The log's files, and the headers of those that are begun.
fn find<D: Disk>(
    disk: &D,
    options: &Options,
) -> Result<(Recovered<D::File>, Vec<SegmentHeader>), OpenError> {
    let mut files = open_files(disk, &list_segments(disk)?)?;
    let headers = read_headers(&files, options)?;
    check_contiguous(&files)?;
    let count = headers.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let begun_headers = check_begun(&files[..count], &headers[..count])?;
    // A log that was ever begun keeps a begun segment, and the first of all has number 1.
    if let (true, Some(first)) = (count == 0, files.first().map(|file| file.id))
        && first > SegmentId(1)
    {
        return Err(corrupt(SegmentId(first.0 - 1), 0, Damage::Missing));
    }
    let spares = files.split_off(count);
    let recovered = Recovered {
        report: Recovery::default(),
        oldest: SegmentId(1),
        named_oldest: None,
        begun: files,
        spares,
        tail: None,
        next_sequence: 1,
    };
    Ok((recovered, begun_headers))
}

/// The numbers of all segment files, ascending.
pub(crate) fn list_segments<D: Disk>(disk: &D) -> Result<Vec<SegmentId>, OpenError> {
    let mut ids = Vec::new();
    for name in disk.list().map_err(OpenError::disk(Operation::List))? {
        match format::parse_name(&name) {
            Name::Segment(id) => ids.push(id),
            Name::Stray => return Err(OpenError::StrayFile { name }),
            Name::Other => {}
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

fn open_files<D: Disk>(
    disk: &D,
    ids: &[SegmentId],
) -> Result<Vec<SegmentFile<D::File>>, OpenError> {
    let open = |&id: &SegmentId| {
        let name = format::segment_name(id);
        let file = disk.open(&name).map_err(OpenError::disk(Operation::Open))?;
        let file_bytes = file.length().map_err(OpenError::disk(Operation::Read))?;
        Ok(SegmentFile { id, file, file_bytes })
    };
    ids.iter().map(open).collect()
}

/// The header of each file that is a begun segment; `None` for what may be a spare.
fn read_headers<F: DiskFile>(
    files: &[SegmentFile<F>],
    options: &Options,
) -> Result<Vec<Option<SegmentHeader>>, OpenError> {
    let mut headers = Vec::with_capacity(files.len());
    for file in files {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let read = file.file.read_at(0, &mut bytes).map_err(OpenError::disk(Operation::Read))?;
        let header = match SegmentHeader::decode(&bytes[..read]) {
            HeaderFound::Header(header) => header,
            HeaderFound::Version(found) => {
                return Err(OpenError::Version { segment: file.id, found });
            }
            HeaderFound::Nothing => {
                headers.push(None);
                continue;
            }
        };
        let (found, expected) = ((header.cluster, header.node), (options.cluster, options.node));
        if found != expected {
            return Err(OpenError::WrongNode { found, expected });
        }
        if header.segment > file.id {
            return Err(corrupt(file.id, 0, Damage::Misnamed { header: header.segment }));
        }
        // A recycled file keeps the header of its former life until it is begun.
        headers.push((header.segment == file.id).then_some(header));
    }
    Ok(headers)
}

fn check_contiguous<F>(files: &[SegmentFile<F>]) -> Result<(), OpenError> {
    for pair in files.windows(2) {
        let next = pair[0].id.next();
        if pair[1].id != next {
            return Err(corrupt(next, 0, Damage::Missing));
        }
    }
    Ok(())
}

/// The headers of the begun segments, each of which must have one.
fn check_begun<F>(
    files: &[SegmentFile<F>],
    headers: &[Option<SegmentHeader>],
) -> Result<Vec<SegmentHeader>, OpenError> {
    let mut begun: Vec<SegmentHeader> = Vec::with_capacity(files.len());
    for (file, header) in files.iter().zip(headers) {
        let header = header.ok_or_else(|| corrupt(file.id, 0, Damage::Header))?;
        if begun.first().is_some_and(|first| first.log != header.log) {
            return Err(corrupt(file.id, 0, Damage::Foreign));
        }
        if file.file_bytes < header.file_bytes {
            let damage = Damage::Truncated { expected_bytes: header.file_bytes };
            return Err(corrupt(file.id, file.file_bytes, damage));
        }
        begun.push(header);
    }
    Ok(begun)
}

impl<F: DiskFile> Recovered<F> {
    fn read<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        headers: &[SegmentHeader],
        visit: &mut Visit<'_>,
    ) -> Result<(), OpenError> {
        if !headers.is_empty() {
            self.read_begun(headers, visit)?;
        }
        self.check_spares()?;
        self.hear_witness(witness::read(disk)?)
    }

    /// Whether the commits that were read are all that their last one needs: it may name a segment
    /// that has been freed since, because what is live of it stands behind the damage again.
    fn is_whole_so_far(&self) -> bool {
        self.named_oldest.is_some_and(|named| named >= self.oldest)
    }

    fn read_begun(
        &mut self,
        headers: &[SegmentHeader],
        visit: &mut Visit<'_>,
    ) -> Result<(), OpenError> {
        self.oldest = self.find_oldest(headers)?;
        let first = self.begun[0].id;
        if first > self.oldest {
            return Err(corrupt(self.oldest, 0, Damage::Missing));
        }
        let released = self.begun.iter().take_while(|file| file.id < self.oldest).count();
        // `find_oldest` never answers with more than the last begun segment.
        self.next_sequence = headers[released].first_sequence;
        for index in released..headers.len() {
            let header = &headers[index];
            if header.first_sequence != self.next_sequence {
                let (expected, found) = (self.next_sequence, header.first_sequence);
                return Err(corrupt(header.segment, 0, Damage::Sequence { expected, found }));
            }
            let until = headers.get(index + 1).map(|next| next.first_sequence);
            self.read_segment(index, header, until, visit)?;
        }
        Ok(())
    }

    /// What the last readable commit says is the oldest live segment. If damage hides that
    /// commit, the answer is too old, and reading from there finds the damage.
    fn find_oldest(&self, headers: &[SegmentHeader]) -> Result<SegmentId, OpenError> {
        for (file, header) in self.begun.iter().zip(headers).rev() {
            let mut reader = SegmentReader::new(&file.file, file.id, Some(header.log))
                .map_err(OpenError::disk(Operation::Read))?;
            let mut offset = u64::from(header.block_bytes);
            let mut oldest = None;
            while let Found::Complete(frame) =
                reader.frame_at(offset).map_err(OpenError::disk(Operation::Read))?
            {
                oldest = Some(frame.oldest);
                offset += format::frame_bytes(frame.body_bytes, header.block_bytes);
            }
            if let Some(oldest) = oldest {
                return Ok(oldest.min(self.begun[self.begun.len() - 1].id));
            }
        }
        Ok(self.begun[0].id)
    }

    /// Reads one segment, up to commit `until` if a later segment says that it begins there.
    fn read_segment(
        &mut self,
        index: usize,
        header: &SegmentHeader,
        until: Option<u64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), OpenError> {
        let file = &self.begun[index];
        let mut reader = SegmentReader::new(&file.file, file.id, Some(header.log))
            .map_err(OpenError::disk(Operation::Read))?;
        let mut tail = Tail {
            header: *header,
            last: None,
            first_only: false,
            end: u64::from(header.block_bytes),
        };
        while until != Some(self.next_sequence) {
            let found = reader.frame_at(tail.end).map_err(OpenError::disk(Operation::Read))?;
            let (Found::Complete(frame) | Found::Incomplete(frame)) = found else { break };
            if frame.sequence != self.next_sequence {
                let (expected, found) = (self.next_sequence, frame.sequence);
                return Err(corrupt(file.id, tail.end, Damage::Sequence { expected, found }));
            }
            if let Found::Incomplete(_) = found {
                break;
            }
            visit_frame(&mut reader, tail.end, &frame, &mut self.report, visit)?;
            self.named_oldest = Some(frame.oldest);
            tail.first_only = tail.last.is_none();
            tail.last = Some(tail.end);
            tail.end += format::frame_bytes(frame.body_bytes, header.block_bytes);
            self.next_sequence += 1;
        }
        self.report.segments += 1;
        match until {
            Some(until) if until == self.next_sequence => Ok(()),
            Some(_) => {
                let damage = Damage::Commit { sequence: self.next_sequence };
                Err(corrupt(file.id, tail.end, damage))
            }
            None => {
                let torn = judge_tail(&mut reader, file.id, tail.end, self.next_sequence)?;
                self.report.torn = torn;
                self.tail = Some(tail);
                Ok(())
            }
        }
    }

    /// Holds the end of the log against what was noted beside it.
    fn hear_witness(&mut self, testimony: Testimony) -> Result<(), OpenError> {
        let (log, sequence) = match testimony {
            Testimony::None => return Ok(()),
            Testimony::Unreadable => {
                self.report.witness_unreadable = true;
                return Ok(());
            }
            Testimony::Durable { log, sequence } => (log, sequence),
        };
        let (segment, end) =
            self.tail.map_or((SegmentId(1), 0), |tail| (tail.header.segment, tail.end));
        if self.tail.is_some_and(|tail| tail.header.log != log) {
            return Err(corrupt(segment, 0, Damage::Foreign));
        }
        if self.next_sequence <= sequence {
            return Err(corrupt(segment, end, Damage::Lost { sequence }));
        }
        Ok(())
    }

    /// Makes sure that the spares are spares: a begun segment with a lost header isn't one.
    fn check_spares(&mut self) -> Result<(), OpenError> {
        let log = self.tail.map(|tail| tail.header.log);
        for spare in &self.spares {
            let mut reader = SegmentReader::new(&spare.file, spare.id, log)
                .map_err(OpenError::disk(Operation::Read))?;
            let torn = judge_tail(&mut reader, spare.id, 0, self.next_sequence)?;
            self.report.torn = self.report.torn.or(torn);
        }
        Ok(())
    }
}

fn visit_frame<F: DiskFile>(
    reader: &mut SegmentReader<'_, F>,
    offset: u64,
    frame: &FrameHeader,
    report: &mut Recovery,
    visit: &mut Visit<'_>,
) -> Result<(), OpenError> {
    let body = reader.body(offset, frame).map_err(OpenError::disk(Operation::Read))?;
    let Some(payloads) = format::payloads(body, frame.records) else {
        let damage = Damage::Records { sequence: frame.sequence };
        return Err(corrupt(frame.segment, offset, damage));
    };
    for payload in payloads {
        visit(frame.segment, payload).map_err(|reason| OpenError::Visit {
            segment: frame.segment,
            offset,
            reason,
        })?;
        report.payloads += 1;
        report.payload_bytes += payload.len() as u64;
    }
    report.commits += 1;
    Ok(())
}

/// No commit `expected` can be read at `end`: is that the torn tail, or damage? Behind a torn
/// tail there is no header of any commit but itself.
fn judge_tail<F: DiskFile>(
    reader: &mut SegmentReader<'_, F>,
    segment: SegmentId,
    end: u64,
    expected: u64,
) -> Result<Option<TornTail>, OpenError> {
    let mut torn = None;
    let mut from = end;
    while let Some((offset, frame)) =
        reader.next_header(from).map_err(OpenError::disk(Operation::Read))?
    {
        if frame.sequence > expected {
            return Err(corrupt(segment, end, Damage::Commit { sequence: expected }));
        }
        if frame.sequence == expected && torn.is_none() {
            let left = reader.file_bytes() - offset;
            let bytes = if frame.body_bytes > left {
                left
            } else {
                format::frame_bytes(frame.body_bytes, crate::BLOCK_BYTES_MIN).min(left)
            };
            torn = Some(TornTail { segment, offset, bytes });
        }
        from = offset + u64::from(crate::BLOCK_BYTES_MIN);
    }
    Ok(torn)
}

/// Where a segment's header and first frame may lie, whatever the block size.
pub(crate) const SEGMENT_START_BYTES: u64 = 2 * BLOCK_BYTES_MAX as u64;

fn corrupt(segment: SegmentId, offset: u64, damage: Damage) -> OpenError {
    OpenError::Corrupt { segment, offset, damage }
}

//! The open log: gather payloads, commit them with one write and one sync, release segments.
//!
//! Invariants:
//! - A commit is written only after the one before it was synced. Recovery rests on it.
//! - A commit lies in one segment. If it doesn't fit in the rest of the current one, the next is
//!   begun with it, header and commit in the same write.
//! - `segments` are the begun ones, oldest first; the last is `current`. Spares bear the numbers
//!   that follow. Every directory change is synced before the next.
//! - A release takes effect with the next commit: both are durable, or neither is.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use types::limits::RECORD_BYTES_MAX;
use types::{NodeId, SegmentId};

use crate::error::{LogError, OpenError, Operation};
use crate::format::{self, FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::recovery::{self, Recovered, Recovery, SEGMENT_START_BYTES, SegmentFile, Tail, Visit};
use crate::scan::to_usize;
use crate::spare::Spare;
use crate::witness::Witness;
use crate::writing::write_and_sync;
use crate::{Disk, DiskFile};

/// How much memory the commit buffer keeps between commits, in bytes.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// How a log is laid out, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The cluster's identity. A log of another cluster is not opened.
    pub cluster: u64,
    /// This node. A log of another node is not opened.
    pub node: NodeId,
    /// A random number that nobody outside can guess; it becomes the log's, should this be its
    /// first start. It keeps payloads from imitating commits.
    pub random: u64,
    /// Length of a segment file, in bytes; at least four blocks and a multiple of a block. May
    /// differ from start to start.
    pub segment_bytes: u64,
    /// Commits start on multiples of this, in bytes: a power of two, 512 to 65536. The file
    /// system's block size avoids that a write must first read; a smaller one saves space.
    pub block_bytes: u32,
    /// Most spare segments to keep. What is released beyond that is removed. At least 1.
    pub spares_max: usize,
}

impl Options {
    /// The usual layout: segments of 64 MiB, blocks of 4 KiB, up to two spares.
    #[must_use]
    pub fn new(cluster: u64, node: NodeId, random: u64) -> Self {
        let (segment_bytes, block_bytes, spares_max) = (64 << 20, 4096, 2);
        Self { cluster, node, random, segment_bytes, block_bytes, spares_max }
    }

    fn check(&self) -> Result<(), OpenError> {
        let block_bytes = u64::from(self.block_bytes);
        if !format::is_block_size(self.block_bytes) {
            Err(OpenError::Options("a block has 512 to 65536 bytes, and a power of two"))
        } else if self.segment_bytes < 4 * block_bytes {
            Err(OpenError::Options("a segment has four blocks at least"))
        } else if !self.segment_bytes.is_multiple_of(block_bytes) {
            Err(OpenError::Options("a segment is a whole number of blocks"))
        } else if self.spares_max == 0 {
            Err(OpenError::Options("the log needs room for one spare segment"))
        } else {
            Ok(())
        }
    }
}

/// One segment that holds something live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentInfo {
    /// Its number.
    pub id: SegmentId,
    /// Its file's length, in bytes.
    pub file_bytes: u64,
}

/// The segment that is being written.
struct Current<F> {
    file: F,
    header: SegmentHeader,
    file_bytes: u64,
    /// Where the next commit goes.
    end: u64,
}

/// An open log. See the crate's documentation for what it promises.
pub struct Log<D: Disk> {
    pub(crate) disk: D,
    pub(crate) options: Options,
    /// The log's random number.
    log: u64,
    /// All begun segments whose files are still there, oldest first.
    pub(crate) segments: VecDeque<SegmentInfo>,
    current: Option<Current<D::File>>,
    pub(crate) spares: VecDeque<Spare<D::File>>,
    next_sequence: u64,
    /// The oldest live segment: as of now, and as of the last commit.
    oldest: SegmentId,
    pub(crate) committed_oldest: SegmentId,
    /// Whether no commit follows the last one that has something in it.
    unsealed: bool,
    witness: Witness<D::File>,
    /// Room for a segment header, then the frame in preparation. The one copy of a payload.
    buffer: Vec<u8>,
    /// Long parts of the frame, which are not copied, each with its place in the buffer, in order.
    long: Vec<(usize, Bytes)>,
    long_bytes: usize,
    records: u32,
    failed: Option<LogError>,
}

impl<D: Disk> Log<D> {
    /// Opens the log, or begins one in an empty directory. Every payload of every durable commit
    /// is shown to `visit`, oldest first, with the segment that it lies in.
    ///
    /// # Errors
    /// See [`OpenError`]. The files are as they were, but for a torn tail that may be cut.
    pub fn open(
        disk: D,
        options: Options,
        visit: &mut Visit<'_>,
    ) -> Result<(Self, Recovery), OpenError> {
        options.check()?;
        let mut recovered = recovery::recover(&disk, &options, visit)?;
        let report = recovered.report.clone();
        // Before any file is touched: a crash could still undo the renaming of a released
        // segment, and what is blanked below as a spare would be that segment again.
        disk.sync_directory().map_err(OpenError::disk(Operation::SyncDirectory))?;
        if let (Some(tail), Some(file)) = (&recovered.tail, recovered.begun.last_mut()) {
            secure_tail(file, tail)?;
        }
        for spare in &mut recovered.spares {
            blank_start(spare)?;
        }
        let witness = Witness::open(&disk)?;
        let mut log = Self::from_recovered(disk, options, recovered, witness);
        // What recovery has shown is durable by now.
        log.note_durable().map_err(OpenError::disk(Operation::Write))?;
        Ok((log, report))
    }

    fn from_recovered(
        disk: D,
        options: Options,
        mut recovered: Recovered<D::File>,
        witness: Witness<D::File>,
    ) -> Self {
        let segments = recovered
            .begun
            .iter()
            .map(|file| SegmentInfo { id: file.id, file_bytes: file.file_bytes })
            .collect();
        let current = recovered.begun.pop().zip(recovered.tail).map(|(last, tail)| Current {
            file: last.file,
            header: tail.header,
            file_bytes: last.file_bytes,
            end: tail.end,
        });
        let spares = recovered
            .spares
            .into_iter()
            .map(|file| Spare::found(file.id, file.file, file.file_bytes))
            .collect();
        let front = options.block_bytes as usize + FRAME_HEADER_BYTES;
        Self {
            disk,
            log: current.as_ref().map_or(options.random, |current| current.header.log),
            options,
            segments,
            unsealed: current.is_some(),
            witness,
            current,
            spares,
            next_sequence: recovered.next_sequence,
            oldest: recovered.oldest,
            committed_oldest: recovered.oldest,
            buffer: vec![0; front],
            long: Vec::new(),
            long_bytes: 0,
            records: 0,
            failed: None,
        }
    }

    /// Adds a payload to the commit in preparation, in memory only. Answers with the segment
    /// that the payload will lie in. That is a lower bound: a commit that outgrows the rest of
    /// the segment moves to the next one as a whole, and [`Log::commit`] says where it went.
    /// Taking the lower bound for the truth is safe: it delays a release and never hastens one.
    ///
    /// # Errors
    /// [`LogError::TooLarge`] leaves the commit in preparation as it was; any other is final.
    pub fn append(&mut self, payload: &[u8]) -> Result<SegmentId, LogError> {
        self.append_with(payload, &[])
    }

    /// The same, for a payload of which long parts lie apart, each with its place in the rest, in
    /// order. They are not copied.
    ///
    /// # Errors
    /// As those of [`Log::append`].
    pub fn append_with(
        &mut self,
        payload: &[u8],
        long: &[(usize, Bytes)],
    ) -> Result<SegmentId, LogError> {
        self.check_failed()?;
        let long_bytes: usize = long.iter().map(|(_, long)| long.len()).sum();
        let bytes = payload.len() + long_bytes;
        let Some(length) = u32::try_from(bytes).ok().filter(|_| bytes <= RECORD_BYTES_MAX) else {
            return Err(LogError::TooLarge { bytes });
        };
        // With room for the frame's end, or a few bytes would double the buffer, and copy it.
        self.buffer
            .reserve(payload.len() + size_of_val(&length) + self.options.block_bytes as usize);
        self.buffer.extend_from_slice(&length.to_le_bytes());
        let begin = self.buffer.len();
        self.long.extend(long.iter().map(|(place, long)| (begin + place, long.clone())));
        self.long_bytes += long_bytes;
        self.buffer.extend_from_slice(payload);
        self.records += 1;
        Ok(self.pending_segment())
    }

    /// Makes everything durable that was appended since the last commit, as one unit, along with
    /// a release since then. One write and one sync, and nothing at all if nothing was appended.
    /// Answers with the segment that the commit lies in.
    ///
    /// # Errors
    /// A full disk is found before anything is written ([`LogError::is_disk_full`]): what was
    /// appended is still in preparation, and the commit can be tried again when there is space.
    /// Any other error is final: what was appended may be durable or not.
    pub fn commit(&mut self) -> Result<SegmentId, LogError> {
        self.commit_in_steps(&mut || ())
    }

    /// The same, and says after each step of a long commit that the disk has taken that: it is one
    /// commit all the same, durable as a whole or not at all.
    ///
    /// # Errors
    /// As those of [`Log::commit`].
    pub fn commit_in_steps(&mut self, step: &mut dyn FnMut()) -> Result<SegmentId, LogError> {
        self.check_failed()?;
        if self.records == 0 {
            return Ok(self.current_segment());
        }
        self.secure_room()?;
        self.write_commit(step).map_err(|error| self.fail(error))?;
        self.unsealed = true;
        Ok(self.current_segment())
    }

    /// Writes an empty commit if nothing follows the last one or a release is not yet durable,
    /// and makes the witness durable. From then on damage to any earlier commit is told apart
    /// from a torn tail. Meant for idle moments and for a clean end; does nothing when called
    /// again. What was appended goes along with it.
    ///
    /// # Errors
    /// As those of [`Log::commit`].
    pub fn seal(&mut self) -> Result<(), LogError> {
        self.commit()?;
        if self.unsealed || self.oldest != self.committed_oldest {
            self.secure_room()?;
            self.write_commit(&mut || ()).map_err(|error| self.fail(error))?;
            self.unsealed = false;
        }
        self.sync_witness()
    }

    /// Makes durable how far the log is, should the system itself end suddenly. One small sync, and
    /// nothing if nothing was committed since the last. For idle moments.
    ///
    /// # Errors
    /// If the disk fails; final.
    pub fn sync_witness(&mut self) -> Result<(), LogError> {
        self.check_failed()?;
        let segment = self.current_segment();
        let synced = self.witness.sync().map_err(disk_error(Operation::Sync, segment));
        synced.map_err(|error| self.fail(error))
    }

    /// Notes beside the log that its last commit is durable.
    fn note_durable(&mut self) -> io::Result<()> {
        match self.sequence() {
            0 => Ok(()),
            sequence => self.witness.note(self.log, sequence),
        }
    }

    /// Says that segments up to and including `upto` hold nothing live. It takes effect with the
    /// next commit, so what was written again at the tail is durable first; from then on these
    /// segments are not read any more, and [`Log::prepare_spare`] uses their files again. The
    /// current segment is never released. Answers with the oldest segment that is left.
    ///
    /// # Errors
    /// If the log has failed before.
    pub fn release(&mut self, upto: SegmentId) -> Result<SegmentId, LogError> {
        self.check_failed()?;
        if self.current.is_some() {
            self.oldest = self.oldest.max(upto.next().min(self.current_segment()));
        }
        Ok(self.oldest)
    }

    /// The oldest segment that holds anything live.
    #[must_use]
    pub fn oldest_segment(&self) -> SegmentId {
        self.oldest
    }

    /// The segment that the last commit lies in; before the first commit, the one it will be in.
    #[must_use]
    pub fn current_segment(&self) -> SegmentId {
        self.current.as_ref().map_or(SegmentId(1), |current| current.header.segment)
    }

    /// The segments that hold anything live, oldest first, the current one last.
    pub fn segments(&self) -> impl Iterator<Item = SegmentInfo> + '_ {
        self.segments.iter().filter(|segment| segment.id >= self.oldest).copied()
    }

    /// The number of the last commit; 0 before the first. Commits are numbered from 1 over the
    /// whole life of the log, seals included.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Length of the live log, in bytes: older segments as a whole, the current one as far as it
    /// is written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |current| current.end);
        let last = self.current.as_ref().map(|current| current.header.segment);
        let older = self.segments().filter(|segment| Some(segment.id) != last);
        older.map(|segment| segment.file_bytes).sum::<u64>() + current
    }

    /// Bytes that the log's files take on the disk, spares and released segments included.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        let spares: u64 = self.spares.iter().map(|spare| spare.file_bytes).sum();
        self.segments.iter().map(|segment| segment.file_bytes).sum::<u64>() + spares
    }

    /// Bytes that can still be committed if the disk has no space left: the rest of the current
    /// segment and the spares that are ready, without the commit in preparation. The end of a
    /// segment is lost where a commit doesn't fit, so keep a largest commit in hand.
    #[must_use]
    pub fn headroom(&self) -> u64 {
        let rest = self.current.as_ref().map_or(0, |current| current.file_bytes - current.end);
        let block_bytes = u64::from(self.options.block_bytes);
        let ready = self.spares.iter().filter(|spare| spare.is_ready(&self.options));
        let spares: u64 = ready.map(|spare| spare.file_bytes - block_bytes).sum();
        (rest + spares).saturating_sub(self.pending_bytes())
    }

    /// Bytes that the log may still grow by before the disk is full: what is free there, what it
    /// has in hand, and what it has been told to use again.
    ///
    /// # Errors
    /// What the operating system says. Does not end the log.
    pub fn space(&self) -> io::Result<u64> {
        let rest = self.current.as_ref().map_or(0, |current| current.file_bytes - current.end);
        let spares: u64 = self.spares.iter().map(|spare| spare.file_bytes).sum();
        let released = self.segments.iter().filter(|segment| segment.id < self.oldest);
        let released: u64 = released.map(|segment| segment.file_bytes).sum();
        let used = self.pending_bytes();
        Ok((self.free_bytes()? + rest + spares + released).saturating_sub(used))
    }

    /// Bytes that are free on the disk.
    ///
    /// # Errors
    /// What the operating system says. Does not end the log.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    /// Bytes that the commit in preparation takes on the disk; 0 if nothing was appended.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        if self.records == 0 { 0 } else { self.frame_bytes(self.options.block_bytes) }
    }

    fn frame_bytes(&self, block_bytes: u32) -> u64 {
        let front = self.options.block_bytes as usize + FRAME_HEADER_BYTES;
        format::frame_bytes((self.buffer.len() - front + self.long_bytes) as u64, block_bytes)
    }

    /// Whether the commit in preparation fits in the current segment.
    fn fits(&self) -> bool {
        self.current.as_ref().is_some_and(|current| {
            current.end + self.frame_bytes(current.header.block_bytes) <= current.file_bytes
        })
    }

    fn pending_segment(&self) -> SegmentId {
        if self.fits() || self.current.is_none() {
            self.current_segment()
        } else {
            self.current_segment().next()
        }
    }

    pub(crate) fn check_failed(&self) -> Result<(), LogError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Ends the log, unless the disk is full: what found no space harms nothing and is tried again.
    pub(crate) fn fail_unless_full(&mut self, error: LogError) -> LogError {
        if error.is_disk_full() && !error.leaves_directory_unknown() {
            error
        } else {
            self.fail(error)
        }
    }

    /// Ends the log.
    pub(crate) fn fail(&mut self, error: LogError) -> LogError {
        self.failed = Some(error.clone());
        error
    }

    /// The number that the next new segment file gets.
    pub(crate) fn next_file(&self) -> SegmentId {
        let last_begun = self.current.as_ref().map(|current| current.header.segment);
        let last = self.spares.back().map(|spare| spare.id).or(last_begun);
        last.map_or(SegmentId(1), SegmentId::next)
    }

    /// Makes sure that the commit in preparation has room, in the current segment or the next one.
    fn secure_room(&mut self) -> Result<(), LogError> {
        if self.fits() {
            return Ok(());
        }
        let block_bytes = self.options.block_bytes;
        let end = u64::from(block_bytes) + self.frame_bytes(block_bytes);
        self.reserve_spare(end).map_err(|error| self.fail_unless_full(error))
    }

    fn write_commit(&mut self, step: &mut dyn FnMut()) -> Result<(), LogError> {
        let fits = self.fits();
        if let Some(mut current) = self.current.take_if(|_| fits) {
            let written = self.write_here(&mut current, step);
            self.current = Some(current);
            written?;
        } else {
            self.write_next(step)?;
        }
        self.next_sequence += 1;
        let noted = self.note_durable();
        noted.map_err(disk_error(Operation::Write, self.current_segment()))?;
        self.committed_oldest = self.oldest;
        self.records = 0;
        self.long = Vec::new();
        self.long_bytes = 0;
        self.buffer.truncate(self.options.block_bytes as usize + FRAME_HEADER_BYTES);
        self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        Ok(())
    }

    /// Appends the frame to the current segment.
    fn write_here(
        &mut self,
        current: &mut Current<D::File>,
        step: &mut dyn FnMut(),
    ) -> Result<(), LogError> {
        let segment = current.header.segment;
        self.seal_frame(segment, current.header.block_bytes);
        let parts = self.parts(self.options.block_bytes as usize);
        current.end = write_and_sync(&mut current.file, segment, current.end, &parts, step)?;
        Ok(())
    }

    /// Begins the next segment with the frame.
    fn write_next(&mut self, step: &mut dyn FnMut()) -> Result<(), LogError> {
        let block_bytes = self.options.block_bytes;
        let end = u64::from(block_bytes) + self.frame_bytes(block_bytes);
        let spare = self.take_spare(end)?;
        let (segment, mut file, file_bytes) = (spare.id, spare.file, spare.file_bytes);
        let header = SegmentHeader {
            block_bytes,
            cluster: self.options.cluster,
            node: self.options.node,
            log: self.log,
            segment,
            first_sequence: self.next_sequence,
            file_bytes,
        };
        self.seal_frame(segment, block_bytes);
        self.buffer[..SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
        let written = write_and_sync(&mut file, segment, 0, &self.parts(0), step)?;
        debug_assert_eq!(written, end, "a segment's first commit ends where it was said to");
        self.current = Some(Current { file, header, file_bytes, end });
        self.segments.push_back(SegmentInfo { id: segment, file_bytes });
        Ok(())
    }

    /// What stands in the buffer from a place on, and the long parts that belong in between.
    fn parts(&self, from: usize) -> Vec<&[u8]> {
        let mut parts = Vec::with_capacity(2 * self.long.len() + 1);
        let mut at = from;
        for (place, long) in &self.long {
            parts.push(&self.buffer[at..*place]);
            parts.push(&long[..]);
            at = *place;
        }
        parts.push(&self.buffer[at..]);
        parts
    }

    /// Completes the frame in the buffer: header in front, zeroes behind.
    fn seal_frame(&mut self, segment: SegmentId, block_bytes: u32) {
        let front = self.options.block_bytes as usize;
        let mut checksum = crc32fast::Hasher::new();
        let body = self.parts(front + FRAME_HEADER_BYTES);
        body.iter().for_each(|part| checksum.update(part));
        let header = FrameHeader {
            log: self.log,
            segment,
            sequence: self.next_sequence,
            oldest: self.oldest,
            body_bytes: body.iter().map(|part| part.len() as u64).sum(),
            records: self.records,
            body_checksum: checksum.finalize(),
        };
        let frame_bytes = to_usize(self.frame_bytes(block_bytes));
        self.buffer.resize(front + frame_bytes - self.long_bytes, 0);
        self.buffer[front..front + FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
    }
}

/// Makes the end of the log safe to append to: what recovery has shown is durable from here on,
/// and what it has cut can't come back.
fn secure_tail<F: DiskFile>(file: &mut SegmentFile<F>, tail: &Tail) -> Result<(), OpenError> {
    // The process before may have died of a failed sync. Then the last commit was read from the
    // page cache, is not on disk and would never be written, so it is written again.
    let from = if tail.first_only { 0 } else { tail.last.unwrap_or(0) };
    let block_bytes = u64::from(tail.header.block_bytes);
    let mut bytes = vec![0; to_usize(tail.end - from)];
    let read = file.file.read_at(from, &mut bytes).map_err(OpenError::disk(Operation::Read))?;
    if read < bytes.len() {
        let source = io::Error::from(io::ErrorKind::UnexpectedEof);
        return Err(OpenError::Disk { operation: Operation::Read, source });
    }
    // A zeroed block where the next commit goes: without its header, a torn one is gone for good.
    if tail.end + block_bytes <= file.file_bytes {
        bytes.resize(bytes.len() + to_usize(block_bytes), 0);
    }
    file.file.write_at(from, &bytes).map_err(OpenError::disk(Operation::Write))?;
    file.file.sync().map_err(OpenError::disk(Operation::Sync))
}

/// Removes what a torn first commit may have left in a spare.
fn blank_start<F: DiskFile>(spare: &mut SegmentFile<F>) -> Result<(), OpenError> {
    // Only within the file: opening a log must not need space.
    let zeroes = vec![0; to_usize(spare.file_bytes.min(SEGMENT_START_BYTES))];
    spare.file.write_at(0, &zeroes).map_err(OpenError::disk(Operation::Write))?;
    spare.file.sync().map_err(OpenError::disk(Operation::Sync))
}

/// Turns an error of the disk into one that says what was tried.
pub(crate) fn disk_error(
    operation: Operation,
    segment: SegmentId,
) -> impl FnOnce(io::Error) -> LogError {
    move |source| LogError::Disk { operation, segment, source: Arc::new(source) }
}

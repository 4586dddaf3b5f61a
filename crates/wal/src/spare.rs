//! The segments to come: made and written with zeroes in advance, or recycled.
//!
//! Overwriting a file that was written before costs half as much as extending one: no extent and
//! no length changes, so a sync writes data only. A spare already bears its future number, so
//! that beginning it needs no change of the directory.

use types::SegmentId;

use crate::error::{LogError, Operation};
use crate::log::{Log, Options, disk_error};
use crate::{Disk, DiskFile, format};

/// What is written at once when a spare is filled with zeroes.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// Whether [`Log::prepare_spare`] has more to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preparation {
    /// A spare is ready and no released file waits to be used again.
    Ready,
    /// Call again.
    Working,
}

/// A segment file that is not begun.
pub(crate) struct Spare<F> {
    pub(crate) id: SegmentId,
    pub(crate) file: F,
    /// Its length so far; all of it is allocated and durable.
    pub(crate) file_bytes: u64,
}

impl<F> Spare<F> {
    /// A spare that was there when the log was opened.
    pub(crate) fn found(id: SegmentId, file: F, file_bytes: u64) -> Self {
        Self { id, file, file_bytes }
    }

    /// Whether it has its full length.
    pub(crate) fn is_ready(&self, options: &Options) -> bool {
        self.file_bytes >= options.segment_bytes
    }
}

impl<D: Disk> Log<D> {
    /// Does one step towards a spare that is ready: use a released file again, or make a file
    /// and write `step_bytes` zeroes to it (rounded up to 64 KiB) with a sync, so that no step
    /// takes much longer than a commit. Call it between commits until it is
    /// [`Preparation::Ready`], at the latest when [`Log::headroom`] gets low; a commit that finds
    /// no spare makes one on the spot.
    ///
    /// # Errors
    /// Any error ends the log, a full disk excepted: then [`LogError::is_disk_full`] says so, and
    /// the log goes on within its [`Log::headroom`].
    pub fn prepare_spare(&mut self, step_bytes: u64) -> Result<Preparation, LogError> {
        self.check_failed()?;
        self.prepare_step(step_bytes).map_err(|error| self.fail_unless_full(error))
    }

    fn prepare_step(&mut self, step_bytes: u64) -> Result<Preparation, LogError> {
        if self.recycle_one()? {
            return Ok(Preparation::Working);
        }
        let segment_bytes = self.options.segment_bytes;
        let Some(spare) = self.spares.front_mut() else {
            self.create_spare()?;
            return Ok(Preparation::Working);
        };
        if spare.file_bytes >= segment_bytes {
            return Ok(Preparation::Ready);
        }
        let at = |operation| disk_error(operation, spare.id);
        let mut end = spare.file_bytes;
        let stop = end.saturating_add(step_bytes.max(1)).min(segment_bytes);
        while end < stop {
            let length = (segment_bytes - end).min(ZEROES.len() as u64);
            let zeroes = &ZEROES[..crate::scan::to_usize(length)];
            spare.file.write_at(end, zeroes).map_err(at(Operation::Write))?;
            end += length;
        }
        spare.file.sync().map_err(at(Operation::Sync))?;
        spare.file_bytes = end;
        Ok(Preparation::Working)
    }

    /// Takes the next spare for a segment that must have room for `end` bytes. Finishes or makes
    /// one if there is none.
    pub(crate) fn take_spare(&mut self, end: u64) -> Result<Spare<D::File>, LogError> {
        self.reserve_spare(end)?;
        Ok(self.spares.pop_front().expect("one has just been reserved"))
    }

    /// Makes the next spare ready for a segment that must have room for `end` bytes.
    pub(crate) fn reserve_spare(&mut self, end: u64) -> Result<(), LogError> {
        while self.spares.is_empty() {
            if !self.recycle_one()? {
                self.create_spare()?;
            }
        }
        let length = end.max(self.options.segment_bytes);
        let spare = self.spares.front_mut().expect("there is one since the loop above");
        if spare.file_bytes < length {
            // Space is reserved, not written: a commit waits for this. The sync comes before the
            // segment's header, which says how long the file is.
            let at = |operation| disk_error(operation, spare.id);
            spare.file.allocate(length).map_err(at(Operation::Resize))?;
            spare.file.sync().map_err(at(Operation::Sync))?;
            spare.file_bytes = length;
        }
        Ok(())
    }

    fn create_spare(&mut self) -> Result<(), LogError> {
        let id = self.next_file();
        let at = |operation| disk_error(operation, id);
        let name = format::segment_name(id);
        let file = self.disk.create(&name).map_err(at(Operation::Create))?;
        self.disk.sync_directory().map_err(at(Operation::SyncDirectory))?;
        self.spares.push_back(Spare { id, file, file_bytes: 0 });
        Ok(())
    }

    /// Turns the oldest released file into a spare, or removes it if there are enough or its
    /// length is not the usual one. Says whether there was one.
    fn recycle_one(&mut self) -> Result<bool, LogError> {
        let Some(oldest) = self.segments.front().copied() else { return Ok(false) };
        if oldest.id >= self.committed_oldest {
            return Ok(false);
        }
        let old_name = format::segment_name(oldest.id);
        let usual = oldest.file_bytes == self.options.segment_bytes;
        let new = (usual && self.spares.len() < self.options.spares_max).then(|| self.next_file());
        let at = |operation| disk_error(operation, oldest.id);
        if let Some(id) = new {
            let name = format::segment_name(id);
            self.disk.rename(&old_name, &name).map_err(at(Operation::Rename))?;
            self.disk.sync_directory().map_err(at(Operation::SyncDirectory))?;
            let file = self.disk.open(&name).map_err(at(Operation::Open))?;
            self.spares.push_back(Spare { id, file, file_bytes: oldest.file_bytes });
        } else {
            self.disk.remove(&old_name).map_err(at(Operation::Remove))?;
            self.disk.sync_directory().map_err(at(Operation::SyncDirectory))?;
        }
        self.segments.pop_front();
        Ok(true)
    }
}

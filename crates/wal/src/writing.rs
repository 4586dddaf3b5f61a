//! Writing a frame.

use types::SegmentId;

use crate::DiskFile;
use crate::error::{LogError, Operation};
use crate::log::disk_error;

/// A longer commit is written and synced in steps of so many bytes.
const STEP_BYTES: usize = 2 << 20;

/// Writes a frame and makes it durable; answers where it ends. A long one in steps, its beginning
/// first: whoever waits for the disk can tell a long write from a disk that hangs.
pub(crate) fn write_and_sync<F: DiskFile>(
    file: &mut F,
    segment: SegmentId,
    offset: u64,
    frame: &[&[u8]],
    step: &mut dyn FnMut(),
) -> Result<u64, LogError> {
    let is_long = frame.iter().map(|part| part.len()).sum::<usize>() > STEP_BYTES;
    let (mut at, mut unsynced) = (offset, 0);
    for part in frame.iter().flat_map(|part| part.chunks(STEP_BYTES)) {
        if unsynced + part.len() > STEP_BYTES {
            file.sync().map_err(disk_error(Operation::Sync, segment))?;
            unsynced = 0;
        }
        // Before the first one, too: until now the commit was prepared.
        if is_long && unsynced == 0 {
            step();
        }
        file.write_at(at, part).map_err(disk_error(Operation::Write, segment))?;
        at += part.len() as u64;
        unsynced += part.len();
    }
    file.sync().map_err(disk_error(Operation::Sync, segment))?;
    Ok(at)
}

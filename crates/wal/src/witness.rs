//! How far the log was durable, noted beside it: the witness of the log's end.
//!
//! Nothing in the log itself tells a tail that was cut or zeroed from a commit that was under way,
//! so the number of each durable commit is written into a small file of its own, in place and
//! without a sync: one write into memory. It never claims too much, since it is written after the
//! commit's sync, and it survives the end of the process; a power loss may take the news of the
//! last moments, unless the owner had an idle moment to sync it in ([`crate::Log::sync_witness`]).
//!
//! The file is one block: magic (8 bytes), the log's random number, the commit's number, CRC-32 of
//! these (4 bytes). A witness that is missing or unreadable proves nothing.

use std::io;

use crate::error::{OpenError, Operation};
use crate::{Disk, DiskFile};

const NAME: &str = "witness";
const MAGIC: &[u8; 8] = b"LHOLDWIT";
const BYTES: usize = 28;
/// Length of the file, allocated in advance so that a full disk is no obstacle.
const ROOM_BYTES: u64 = 4 << 10;

/// What a witness says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Testimony {
    /// Nothing: it is new, or was lost in a crash.
    None,
    /// It can't be read. A crash does not tear so small a write.
    Unreadable,
    /// This commit of this log was durable.
    Durable { log: u64, sequence: u64 },
}

/// The open file.
pub(crate) struct Witness<F> {
    /// `None` if there was no space for it.
    file: Option<F>,
    /// Whether something has been noted since the last sync.
    dirty: bool,
}

/// Reads what the directory's witness says.
pub(crate) fn read<D: Disk>(disk: &D) -> Result<Testimony, OpenError> {
    let file = match disk.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Testimony::None),
        Err(error) => return Err(OpenError::disk(Operation::Open)(error)),
    };
    let mut bytes = [0; BYTES];
    let read = file.read_at(0, &mut bytes).map_err(OpenError::disk(Operation::Read))?;
    Ok(decode(&bytes[..read]))
}

impl<F: DiskFile> Witness<F> {
    /// Opens the file for writing; makes it if need be.
    pub(crate) fn open<D: Disk<File = F>>(disk: &D) -> Result<Self, OpenError> {
        let file = match disk.open(NAME) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(disk)?,
            Err(error) => return Err(OpenError::disk(Operation::Open)(error)),
        };
        Ok(Self { file, dirty: false })
    }

    /// This commit is durable.
    pub(crate) fn note(&mut self, log: u64, sequence: u64) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        self.dirty = true;
        unless_full(file.write_at(0, &encode(log, sequence)))
    }

    /// Makes durable what was noted.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        match &mut self.file {
            Some(file) if self.dirty => {
                self.dirty = false;
                unless_full(file.sync())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Makes the file, or goes without it until the next start if the disk is full.
fn create<D: Disk>(disk: &D) -> Result<Option<D::File>, OpenError> {
    let mut file = match disk.create(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(None),
        Err(error) => return Err(OpenError::disk(Operation::Create)(error)),
    };
    let made = file.allocate(ROOM_BYTES).and_then(|()| file.sync());
    unless_full(made).map_err(OpenError::disk(Operation::Resize))?;
    disk.sync_directory().map_err(OpenError::disk(Operation::SyncDirectory))?;
    Ok(Some(file))
}

/// The witness is no reason to stop on a full disk.
fn unless_full(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        other => other,
    }
}

fn encode(log: u64, sequence: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&log.to_le_bytes());
    bytes[16..24].copy_from_slice(&sequence.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Testimony {
    if bytes.iter().all(|byte| *byte == 0) {
        return Testimony::None;
    }
    let number = |at: usize| {
        let mut array = [0; 8];
        array.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(array)
    };
    let is_whole = bytes.len() == BYTES
        && bytes[..8] == *MAGIC
        && bytes[24..] == crc32fast::hash(&bytes[..24]).to_le_bytes();
    if !is_whole {
        return Testimony::Unreadable;
    }
    Testimony::Durable { log: number(8), sequence: number(16) }
}

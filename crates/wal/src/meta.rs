//! A small file that is replaced as a whole: identity, incarnation, longest promise.
//!
//! A write fills a second file beside the old one, syncs it, renames it over the old one and syncs
//! the directory. So a crash leaves the old content or the new one, and a file that is neither
//! was damaged. The second file is made in advance, with room: a node must be able to start, and
//! to say so here, when the disk is full.
//!
//! Layout, little-endian: `LHOLDMET`, version (4 bytes), length (4 bytes), CRC-32 of all that
//! precedes and of the content (4 bytes), content. What follows is of no meaning.

use crate::error::{MetaError, Operation};
use crate::{Disk, DiskFile};

/// Longest content, in bytes.
pub const META_BYTES_MAX: usize = 64 << 10;

const MAGIC: &[u8; 8] = b"LHOLDMET";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 20;
const NAME: &str = "meta";
const NEW_NAME: &str = "meta.new";
/// Room of the file that is made in advance: one block of most file systems.
const ROOM_BYTES: u64 = 4 << 10;

/// The meta file of a directory.
#[derive(Debug)]
pub struct MetaFile<D: Disk> {
    disk: D,
}

impl<D: Disk> MetaFile<D> {
    /// The meta file of this directory. Touches nothing.
    pub fn new(disk: D) -> Self {
        Self { disk }
    }

    /// The content, or `None` if none was ever written.
    ///
    /// What is read is what a process before has written or was writing when it died; it is only
    /// surely durable once something has been written again, which a node does at every start.
    ///
    /// # Errors
    /// See [`MetaError`].
    pub fn read(&self) -> Result<Option<Vec<u8>>, MetaError> {
        let names = self.disk.list().map_err(MetaError::disk(Operation::List))?;
        if !names.iter().any(|name| name == NAME) {
            return Ok(None);
        }
        let file = self.disk.open(NAME).map_err(MetaError::disk(Operation::Open))?;
        let mut bytes = vec![0; HEADER_BYTES + META_BYTES_MAX + ROOM_BYTES as usize];
        let read = file.read_at(0, &mut bytes).map_err(MetaError::disk(Operation::Read))?;
        bytes.truncate(read);
        decode(&bytes).map(Some)
    }

    /// Replaces the content, durably.
    ///
    /// # Errors
    /// [`MetaError::TooLarge`] changes nothing; after any other error the old content is there or
    /// the new one.
    pub fn write(&self, content: &[u8]) -> Result<(), MetaError> {
        if content.len() > META_BYTES_MAX {
            return Err(MetaError::TooLarge { bytes: content.len() });
        }
        let names = self.disk.list().map_err(MetaError::disk(Operation::List))?;
        let mut file = if names.iter().any(|name| name == NEW_NAME) {
            self.disk.open(NEW_NAME).map_err(MetaError::disk(Operation::Open))?
        } else {
            let mut file =
                self.disk.create(NEW_NAME).map_err(MetaError::disk(Operation::Create))?;
            // It fits without, if that fails.
            let _ = file.allocate(ROOM_BYTES);
            file
        };
        file.write_at(0, &encode(content)).map_err(MetaError::disk(Operation::Write))?;
        file.sync().map_err(MetaError::disk(Operation::Sync))?;
        self.disk.rename(NEW_NAME, NAME).map_err(MetaError::disk(Operation::Rename))?;
        self.disk.sync_directory().map_err(MetaError::disk(Operation::SyncDirectory))?;
        // For the next time. On a full disk it gets the place of the file that was replaced.
        if let Ok(mut next) = self.disk.create(NEW_NAME) {
            let _ = next.allocate(ROOM_BYTES).and_then(|()| next.sync());
        }
        Ok(())
    }
}

fn checksum(head: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(content);
    hasher.finalize()
}

fn encode(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
    let checksum = checksum(&bytes, content);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Vec<u8>, MetaError> {
    let (header, content) = bytes.split_at_checked(HEADER_BYTES).ok_or(MetaError::Corrupt)?;
    let number = |at: usize| {
        let mut array = [0; 4];
        array.copy_from_slice(&header[at..at + 4]);
        u32::from_le_bytes(array)
    };
    let content = content.get(..number(12) as usize).ok_or(MetaError::Corrupt)?;
    // The checksum first: a damaged version must not pass for an unknown one.
    if &header[..8] != MAGIC || checksum(&header[..16], content) != number(16) {
        return Err(MetaError::Corrupt);
    }
    if number(8) != VERSION {
        return Err(MetaError::Version { found: number(8) });
    }
    Ok(content.to_vec())
}

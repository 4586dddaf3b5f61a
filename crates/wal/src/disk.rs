//! What the log needs of a disk: one flat directory of files. The only seam of this crate.
//!
//! [`crate::OsDisk`] is the real one, [`crate::MemoryDisk`] the one that tests and the simulator
//! can crash. A write is durable only after `sync` of its file, a directory change only after
//! `sync_directory`; until then any part of it may survive a crash.

use std::io;

/// A directory. Cheap to share: the methods take `&self`.
pub trait Disk {
    /// An open file of this directory.
    type File: DiskFile;

    /// The names of all files, in no particular order.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file. It may vanish in a crash until the directory has been synced.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the operating system says.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading, and for writing unless the disk was opened read-only.
    ///
    /// # Errors
    /// `NotFound`, or what the operating system says.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`, or what the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames a file, replacing the target if there is one. Atomic: a crash leaves the state
    /// before or the state after.
    ///
    /// # Errors
    /// `NotFound`, or what the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes every creation, removal and renaming so far durable.
    ///
    /// # Errors
    /// What the operating system says. Nothing is known about the directory then.
    fn sync_directory(&self) -> io::Result<()>;

    /// Bytes that can still be allocated.
    ///
    /// # Errors
    /// What the operating system says.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file.
pub trait DiskFile {
    /// Writes all of `bytes` at `offset`, extending the file if need be.
    ///
    /// # Errors
    /// What the operating system says. Any part of the bytes may have been written then.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads at `offset` until the buffer is full or the file ends; says how many bytes it read.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes all writes so far durable, and the length (`fdatasync`).
    ///
    /// # Errors
    /// What the operating system says. Nothing is known about the unsynced writes then, and a
    /// second call that succeeds proves nothing.
    fn sync(&mut self) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn length(&self) -> io::Result<u64>;

    /// Makes the file at least `length` bytes long (what is new reads as zeroes) and reserves
    /// the space, so that writes below `length` can't fail for want of it.
    ///
    /// # Errors
    /// `StorageFull`, or what the operating system says. What the file held is unharmed.
    fn allocate(&mut self, length: u64) -> io::Result<()>;
}

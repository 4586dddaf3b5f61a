//! A directory of the real file system, locked for one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{OpenError, Operation};
use crate::{Disk, DiskFile};

/// The file whose lock says that the directory is in use. It holds the owner's process id.
const LOCK_NAME: &str = "lock";
/// What is written at once where the file system can't reserve space.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// A directory. Clones share it, and the lock is held until the last of them is gone.
#[derive(Clone, Debug)]
pub struct OsDisk {
    directory: Arc<Directory>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// The directory itself, to sync it.
    handle: File,
    /// The locked file, if there is one.
    _lock: Option<File>,
    /// Whether files are opened for writing, too.
    writes: bool,
}

impl OsDisk {
    /// Opens a directory for this process alone; makes it if need be.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process (or another call in this one) has it, else
    /// [`OpenError::Disk`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(path).map_err(OpenError::disk(Operation::List))?;
        let lock = take_lock(path)?;
        let handle = File::open(path).map_err(OpenError::disk(Operation::Open))?;
        Ok(Self::of(path, handle, Some(lock), true))
    }

    fn of(path: &Path, handle: File, lock: Option<File>, writes: bool) -> Self {
        let directory = Directory { path: path.to_path_buf(), handle, _lock: lock, writes };
        Self { directory: Arc::new(directory) }
    }

    /// Opens a directory that nobody is to write to meanwhile: it is locked for all but those who
    /// read it likewise. Files are opened read-only, none is made, and nothing is changed.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if a process writes to it, else [`OpenError::Disk`].
    pub fn shared(path: &Path) -> Result<Self, OpenError> {
        let handle = File::open(path).map_err(OpenError::disk(Operation::Open))?;
        let lock = match File::open(path.join(LOCK_NAME)) {
            Ok(file) => Some(file),
            // A copy without it: nobody writes there, or the file would be there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(OpenError::disk(Operation::Lock)(source)),
        };
        match lock.as_ref().map_or(Ok(()), File::try_lock_shared) {
            Ok(()) => Ok(Self::of(path, handle, lock, false)),
            Err(TryLockError::WouldBlock) => Err(in_use(path, lock)),
            Err(TryLockError::Error(source)) => Err(OpenError::disk(Operation::Lock)(source)),
        }
    }

    /// Opens a directory to look into it, with no lock. Files are opened read-only.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn read_only(path: &Path) -> io::Result<Self> {
        Ok(Self::of(path, File::open(path)?, None, false))
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.directory.path.join(name)
    }
}

/// Locks the directory and leaves this process' id for whoever finds it locked. The operating
/// system lets go of the lock when the process ends, however it ends.
fn take_lock(path: &Path) -> Result<File, OpenError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK_NAME))
        .map_err(OpenError::disk(Operation::Lock))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(path, Some(file))),
        Err(TryLockError::Error(source)) => {
            return Err(OpenError::Disk { operation: Operation::Lock, source });
        }
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    match written {
        Ok(()) => Ok(file),
        // A node must be able to start on a full disk; it only goes without its id.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(file),
        Err(source) => Err(OpenError::Disk { operation: Operation::Lock, source }),
    }
}

/// What is said of a directory whose lock another process has.
fn in_use(path: &Path, lock: Option<File>) -> OpenError {
    let mut text = String::new();
    // The id is a help for the operator; the error is the same without it.
    let read = lock.map(|file| file.take(32).read_to_string(&mut text));
    let pid = read.and_then(Result::ok).and_then(|_| text.trim().parse().ok());
    OpenError::InUse { directory: path.to_path_buf(), pid }
}

impl Disk for OsDisk {
    type File = OsFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory.path)? {
            // A name that isn't text is no file of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<OsFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        Ok(OsFile { file: options.open(self.path_of(name))? })
    }

    fn open(&self, name: &str) -> io::Result<OsFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(self.directory.writes);
        Ok(OsFile { file: options.open(self.path_of(name))? })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path_of(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path_of(from), self.path_of(to))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.handle.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let status = rustix::fs::fstatvfs(&self.directory.handle)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

/// A file of an [`OsDisk`].
#[derive(Debug)]
pub struct OsFile {
    file: File,
}

impl DiskFile for OsFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&mut self, length: u64) -> io::Result<()> {
        let old = self.length()?;
        if length <= old {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.file, flags, old, length - old) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                let mut offset = old;
                while offset < length {
                    let step = (length - offset).min(ZEROES.len() as u64);
                    self.write_at(offset, &ZEROES[..crate::scan::to_usize(step)])?;
                    offset += step;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

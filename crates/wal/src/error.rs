//! What can go wrong, in words for the operator: what it means and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use types::{NodeId, SegmentId};

/// What the disk was asked to do when it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Listing the directory, or making it.
    List,
    /// Making a file.
    Create,
    /// Opening a file.
    Open,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Making writes durable.
    Sync,
    /// Changing a file's length or reserving space for it.
    Resize,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Making directory changes durable.
    SyncDirectory,
    /// Taking the lock on the directory.
    Lock,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "list the directory",
            Self::Create => "create a file",
            Self::Open => "open a file",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync (fdatasync)",
            Self::Resize => "allocate space",
            Self::Rename => "rename a file",
            Self::Remove => "remove a file",
            Self::SyncDirectory => "sync the directory",
            Self::Lock => "lock the directory",
        })
    }
}

/// Why an open log refuses to go on.
#[derive(Clone, Debug)]
pub enum LogError {
    /// The payload is longer than [`types::limits::RECORD_BYTES_MAX`]. The log is unharmed.
    TooLarge {
        /// The payload's length.
        bytes: usize,
    },
    /// The disk failed. Final: it is unknown what was written, so every later call returns this
    /// error, and only opening the log anew (in a new process) finds out.
    Disk {
        /// What was tried.
        operation: Operation,
        /// On which segment.
        segment: SegmentId,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
}

impl LogError {
    /// Whether the disk had no space left.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::TooLarge { .. } => false,
            Self::Disk { source, .. } => source.kind() == io::ErrorKind::StorageFull,
        }
    }

    /// Whether a directory change may have been made or not.
    pub(crate) fn leaves_directory_unknown(&self) -> bool {
        match self {
            Self::TooLarge { .. } => false,
            Self::Disk { operation, .. } => *operation == Operation::SyncDirectory,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(f, "a log record of {bytes} bytes is too large"),
            Self::Disk { operation, segment, source } => write!(
                f,
                "the disk failed to {operation} at log segment {}: {source}; this node stops, \
                 since it can't know what was stored",
                segment.0
            ),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Disk { source, .. } => Some(source.as_ref()),
        }
    }
}

/// What is wrong with a log that can't be the trace of a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// The segment's header is unreadable, though the segment was in use.
    Header,
    /// The header's number is not the file's.
    Misnamed {
        /// The number in the header.
        header: SegmentId,
    },
    /// The segment belongs to another log, of the same node.
    Foreign,
    /// The file is shorter than its header says.
    Truncated {
        /// How long it has to be.
        expected_bytes: u64,
    },
    /// The file is missing, though the log needs it.
    Missing,
    /// This commit is unreadable, though it was durable once: later ones have been found.
    Commit {
        /// The commit's number.
        sequence: u64,
    },
    /// The log ends before this commit, though it was durable once: that was noted beside it.
    Lost {
        /// The commit's number.
        sequence: u64,
    },
    /// A commit stands where another belongs.
    Sequence {
        /// The number that belongs here.
        expected: u64,
        /// The number that was found.
        found: u64,
    },
    /// The commit's checksum is right, but its records don't fill it.
    Records {
        /// The commit's number.
        sequence: u64,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => write!(f, "the header of a segment in use is unreadable"),
            Self::Misnamed { header } => {
                write!(f, "the file holds segment {} under another name", header.0)
            }
            Self::Foreign => write!(f, "the segment belongs to another log"),
            Self::Truncated { expected_bytes } => {
                write!(f, "the file is shorter than its {expected_bytes} bytes")
            }
            Self::Missing => write!(f, "the segment's file is missing"),
            Self::Commit { sequence } => {
                write!(f, "commit {sequence} is unreadable, but later ones exist")
            }
            Self::Lost { sequence } => {
                write!(f, "the log ends here, but commit {sequence} was durable once")
            }
            Self::Sequence { expected, found } => {
                write!(f, "commit {found} stands where commit {expected} belongs")
            }
            Self::Records { sequence } => write!(f, "commit {sequence} is malformed inside"),
        }
    }
}

/// The owner can't use a payload that the log has read. Carries the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VisitError(pub String);

/// Why a log can't be opened. Nothing has been changed or deleted.
#[derive(Debug)]
pub enum OpenError {
    /// A setting is out of its range.
    Options(&'static str),
    /// Another process uses the directory.
    InUse {
        /// Which directory.
        directory: PathBuf,
        /// The process that holds the lock, if it has said so.
        pid: Option<u32>,
    },
    /// The log was written by another node, or for another cluster.
    WrongNode {
        /// Cluster and node that wrote the log.
        found: (u64, NodeId),
        /// Cluster and node that were to open it.
        expected: (u64, NodeId),
    },
    /// The log was written in a format that this version doesn't know.
    Version {
        /// In which segment.
        segment: SegmentId,
        /// The format's version.
        found: u32,
    },
    /// A file looks like a segment but has no proper segment name.
    StrayFile {
        /// Its name.
        name: String,
    },
    /// The log is damaged where no crash can have damaged it.
    Corrupt {
        /// In which segment.
        segment: SegmentId,
        /// Where in the segment's file, in bytes.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// The owner rejected a payload.
    Visit {
        /// In which segment.
        segment: SegmentId,
        /// Where its commit starts in the segment's file, in bytes.
        offset: u64,
        /// Why.
        reason: VisitError,
    },
    /// The disk failed.
    Disk {
        /// What was tried.
        operation: Operation,
        /// What the operating system said.
        source: io::Error,
    },
}

impl OpenError {
    /// Turns an error of the disk into one that says what was tried.
    pub(crate) fn disk(operation: Operation) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { operation, source }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(reason) => write!(f, "the log's settings are wrong: {reason}"),
            Self::InUse { directory, pid } => {
                write!(f, "the data directory {} is in use by ", directory.display())?;
                match pid {
                    Some(pid) => write!(f, "process {pid}")?,
                    None => write!(f, "another process")?,
                }
                write!(f, "; stop it, or give this node a directory of its own")
            }
            Self::WrongNode { found, expected } => write!(
                f,
                "this log belongs to node {} of cluster {:016x}, but this is node {} of cluster \
                 {:016x}; check the node id and the data directory in the settings",
                found.1.0, found.0, expected.1.0, expected.0
            ),
            Self::Version { segment, found } => write!(
                f,
                "log segment {} has format version {found}, and this program knows version {}; \
                 start the program that wrote it",
                segment.0,
                crate::FORMAT_VERSION
            ),
            Self::StrayFile { name } => write!(
                f,
                "the file {name:?} in the log's directory is named like a segment but is none; \
                 move it elsewhere"
            ),
            Self::Corrupt { segment, offset, damage } => write!(
                f,
                "this node's log is damaged in segment {} at byte {offset}: {damage}; nothing \
                 was deleted; the other replicas serve on. Move the directory away and start the \
                 node with an empty one: its peers give it its data back",
                segment.0
            ),
            Self::Visit { segment, offset, reason } => write!(
                f,
                "a record of the log can't be used, in segment {} in the commit at byte \
                 {offset}: {}; nothing was deleted",
                segment.0, reason.0
            ),
            Self::Disk { operation, source } => {
                write!(f, "the disk failed to {operation} while opening the log: {source}")
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            Self::Options(_)
            | Self::InUse { .. }
            | Self::WrongNode { .. }
            | Self::Version { .. }
            | Self::StrayFile { .. }
            | Self::Corrupt { .. }
            | Self::Visit { .. } => None,
        }
    }
}

/// Why the meta file can't be read or written.
#[derive(Debug)]
pub enum MetaError {
    /// The content is longer than [`crate::META_BYTES_MAX`].
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The file's checksum is wrong or the file is incomplete. No crash can leave it so.
    Corrupt,
    /// The file has a format that this version doesn't know.
    Version {
        /// The format's version.
        found: u32,
    },
    /// The disk failed.
    Disk {
        /// What was tried.
        operation: Operation,
        /// What the operating system said.
        source: io::Error,
    },
}

impl MetaError {
    /// Turns an error of the disk into one that says what was tried.
    pub(crate) fn disk(operation: Operation) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { operation, source }
    }
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(f, "{bytes} bytes are too much for the meta file"),
            Self::Corrupt => write!(
                f,
                "this node's meta file is damaged; nothing was deleted. Move the directory away \
                 and start the node with an empty one: its peers give it its data back"
            ),
            Self::Version { found } => write!(
                f,
                "the meta file has format version {found}, which this program doesn't know; \
                 start the program that wrote it"
            ),
            Self::Disk { operation, source } => {
                write!(f, "the disk failed to {operation} for the meta file: {source}")
            }
        }
    }
}

impl std::error::Error for MetaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            Self::TooLarge { .. } | Self::Corrupt | Self::Version { .. } => None,
        }
    }
}

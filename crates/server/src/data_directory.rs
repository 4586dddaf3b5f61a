//! The data directory: whose it is, and what a node must remember besides its log.
//!
//! The meta file holds the cluster, the node, the incarnation and the longest promise that was
//! ever made. At every start the incarnation is raised and the file is durable before the node
//! says its first word; a directory of another node, of another cluster or of another version is
//! left as it is.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use cluster::{Recovered, Recovery, Settings, Start};
use types::{DirectoryId, Incarnation, Life, NodeId, SegmentId, UnixMillis};
use wal::{Log, MetaError, MetaFile, OpenError, Options, OsDisk, VisitError};

use crate::clock;

/// After how many bytes of the log a start says how far it is.
const PROGRESS_BYTES: usize = 256 << 20;
/// The version of the meta file's content and of the log's payloads.
const VERSION: u64 = 2;

/// Why a data directory can't be used.
#[derive(Debug)]
pub(crate) struct DirectoryError(String);

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<OpenError> for DirectoryError {
    fn from(error: OpenError) -> Self {
        Self(error.to_string())
    }
}

impl From<MetaError> for DirectoryError {
    fn from(error: MetaError) -> Self {
        Self(error.to_string())
    }
}

/// What was found, ready to go on with.
pub(crate) struct Opened {
    /// The open log.
    pub(crate) log: Log<OsDisk>,
    /// The shards that the log holds.
    pub(crate) recovered: Recovered,
}

/// What the meta file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The node.
    pub(crate) node: NodeId,
    /// Its newest start.
    pub(crate) incarnation: Incarnation,
    /// The longest promise of support that it may have made, ever.
    pub(crate) longest_promise: Duration,
    /// This directory, told from others that the node may have had.
    pub(crate) directory: DirectoryId,
}

/// How far the log was read, for whoever waits for a start.
#[derive(Default)]
struct Progress {
    bytes: usize,
    told: usize,
}

impl Progress {
    /// Says so now and then.
    fn note(&mut self, segment: SegmentId, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= self.told + PROGRESS_BYTES {
            self.told = self.bytes;
            let mib = self.bytes >> 20;
            tracing::info!(segment = segment.0, "reading the log: {mib} MiB so far");
        }
    }
}

/// Says what reading the log has found.
fn tell(report: &wal::Recovery) {
    tracing::info!(
        segments = report.segments,
        commits = report.commits,
        bytes = report.payload_bytes,
        torn = ?report.torn,
        "read the log"
    );
    if report.witness_unreadable {
        tracing::warn!(
            "what was noted of the log's end is unreadable: only the other nodes would notice if \
             the end of the log were missing; the disk may be failing"
        );
    }
}

/// Takes the directory for this process.
///
/// # Errors
/// In words for the operator.
pub(crate) fn claim(path: &Path) -> Result<OsDisk, DirectoryError> {
    let disk = OsDisk::open(path)?;
    // Keys and values lie there in the clear.
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|error| {
        DirectoryError(format!("cannot keep others out of {}: {error}", path.display()))
    })?;
    Ok(disk)
}

/// Reads a directory that was claimed.
///
/// # Errors
/// In words for the operator. Nothing was changed but the incarnation.
pub(crate) fn open(
    disk: OsDisk,
    path: &Path,
    settings: &Settings,
    random: u64,
) -> Result<Opened, DirectoryError> {
    let meta = MetaFile::new(disk.clone());
    let before = meta.read()?.map(|bytes| Identity::decode(&bytes)).transpose();
    let before = match before.map_err(DirectoryError)? {
        Some(before) => before,
        None => Identity::of_new_directory(settings, random, clock::now().wall),
    };
    let mut identity = next_identity(before, path, settings)?;
    meta.write(identity.encode().as_bytes())?;
    let mut recovery = Recovery::new(types::fingerprint(random.to_le_bytes()));
    let options = Options {
        segment_bytes: settings.segment_bytes,
        ..Options::new(types::fingerprint(settings.cluster.bytes()), settings.node, random)
    };
    let mut progress = Progress::default();
    let mut absorb = |segment: SegmentId, payload: &[u8]| {
        progress.note(segment, payload.len());
        recovery.absorb(segment, payload).map_err(|error| VisitError(format!("{error:?}")))
    };
    let (mut log, report) = Log::open(disk, options, &mut absorb)?;
    tell(&report);
    if report.commits == 0 {
        // The log may have been there and be lost although the meta file is not.
        let new = directory_id(random);
        if identity.directory != new {
            identity.directory = new;
            meta.write(identity.encode().as_bytes())?;
        }
        // From here on it is not empty: a node that dies in its first moments keeps its number,
        // which others may have heard.
        log.append(&cluster::record::probe()).and_then(|_| log.commit()).map_err(|error| {
            DirectoryError(format!("cannot begin the log in {}: {error}", path.display()))
        })?;
    }
    let start = Start {
        incarnation: identity.incarnation,
        life: Life(random | 1),
        directory: identity.directory,
        longest_promise: identity.longest_promise,
        log_end: log.sequence(),
    };
    let recovered = recovery.finish(start).map_err(|error| {
        DirectoryError(format!(
            "the log in {} contradicts itself: {error:?}.\n\
             To fix it: keep the directory for a report, and start the node with an empty one \
             while the other nodes run: they give it its data back.",
            path.display()
        ))
    })?;
    let Start { incarnation, directory, .. } = recovered.start();
    if (incarnation, directory) != (identity.incarnation, identity.directory) {
        // The directory was found to have gone back in time, and goes on as another one.
        meta.write(Identity { incarnation, directory, ..identity }.encode().as_bytes())?;
    }
    Ok(Opened { log, recovered })
}

/// The identity of this start, if the directory is this node's.
fn next_identity(
    before: Identity,
    path: &Path,
    settings: &Settings,
) -> Result<Identity, DirectoryError> {
    if before.cluster != settings.cluster || before.node != settings.node {
        return Err(DirectoryError(format!(
            "the directory {} belongs to node {} of cluster `{}`, but this is node {} of cluster \
             `{}`.\n\
             To fix it: check the settings `dir`, `node` and `cluster`; a node that is new needs \
             an empty directory.",
            path.display(),
            before.node.0,
            before.cluster,
            settings.node.0,
            settings.cluster
        )));
    }
    Ok(Identity {
        incarnation: before.incarnation.next(),
        longest_promise: before.longest_promise.max(settings.support_duration),
        ..before
    })
}

impl Identity {
    /// The identity of a directory that is new. Its first start must count as later than those of
    /// a directory that the node may have lost, so it counts from the clock's seconds.
    fn of_new_directory(settings: &Settings, random: u64, now: UnixMillis) -> Self {
        Self {
            cluster: settings.cluster.clone(),
            node: settings.node,
            incarnation: Incarnation(now.0 / 1000),
            longest_promise: Duration::ZERO,
            directory: directory_id(random),
        }
    }

    /// Reads the identity of a directory without taking it.
    ///
    /// # Errors
    /// In words for the operator.
    pub(crate) fn read(disk: &OsDisk) -> Result<Option<Self>, DirectoryError> {
        let bytes = MetaFile::new(disk.clone()).read()?;
        bytes.map(|bytes| Self::decode(&bytes)).transpose().map_err(DirectoryError)
    }

    fn encode(&self) -> String {
        format!(
            "version={VERSION}\ncluster={}\nnode={}\nincarnation={}\n\
             longest_promise_micros={}\ndirectory={}\n",
            self.cluster,
            self.node.0,
            self.incarnation.0,
            self.longest_promise.as_micros(),
            self.directory.0
        )
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let malformed = "the meta file is not one that this program has written";
        let text = std::str::from_utf8(bytes).map_err(|_| malformed)?;
        let mut lines = text.lines();
        let mut value = |name: &str| {
            let line = lines.next()?;
            line.strip_prefix(name)?.strip_prefix('=')
        };
        let version: u64 = value("version").and_then(|it| it.parse().ok()).ok_or(malformed)?;
        if version != VERSION {
            return Err(format!(
                "the data was written in version {version} of the format, and this program knows \
                 version {VERSION}: start the program that wrote it"
            ));
        }
        let cluster = value("cluster").ok_or(malformed)?.to_owned();
        let mut number = |name: &str| value(name).and_then(|it| it.parse::<u64>().ok());
        let node = number("node").and_then(|it| u32::try_from(it).ok()).ok_or(malformed)?;
        let incarnation = number("incarnation").ok_or(malformed)?;
        let promise = number("longest_promise_micros").ok_or(malformed)?;
        let directory = number("directory").and_then(|it| u32::try_from(it).ok());
        Ok(Self {
            directory: DirectoryId(directory.ok_or(malformed)?),
            cluster,
            node: NodeId(node),
            incarnation: Incarnation(incarnation),
            longest_promise: Duration::from_micros(promise),
        })
    }
}

/// A number for a new directory; never 0, which stands for the founders' directories.
fn directory_id(random: u64) -> DirectoryId {
    DirectoryId((random >> 32) as u32 | 1)
}

#[cfg(test)]
mod tests {
    use cluster::Member;

    use super::*;

    fn settings(node: u32, cluster: &str) -> Settings {
        let member = Member::new(NodeId(node), "127.0.0.1", 7001, 17001);
        Settings { cluster: cluster.into(), ..Settings::new(NodeId(node), vec![member]) }
    }

    fn first(settings: &Settings) -> Identity {
        let new = Identity::of_new_directory(settings, 7 << 32, UnixMillis(1_700_000_000_000));
        next_identity(new, Path::new("d"), settings).expect("a new directory")
    }

    #[test]
    fn every_start_has_a_greater_incarnation() {
        let settings = settings(1, "c");
        let first = first(&settings);
        assert_eq!(first.incarnation, Incarnation(1_700_000_001));
        let again = Identity::decode(first.encode().as_bytes()).expect("it was just encoded");
        assert_eq!(again, first);
        let second = next_identity(again, Path::new("d"), &settings).expect("the same node");
        assert_eq!(second.incarnation, Incarnation(1_700_000_002));
    }

    #[test]
    fn a_longer_promise_is_remembered_and_a_shorter_one_changes_nothing() {
        let mut settings = settings(1, "c");
        settings.support_duration = Duration::from_secs(9);
        let first = first(&settings);
        settings.support_duration = Duration::from_secs(1);
        let second = next_identity(first, Path::new("d"), &settings).expect("the same node");
        assert_eq!(second.longest_promise, Duration::from_secs(9));
    }

    #[test]
    fn the_directory_of_another_node_is_refused() {
        let path = Path::new("d");
        let other = first(&settings(1, "c"));
        let error = next_identity(other.clone(), path, &settings(2, "c")).unwrap_err();
        assert!(error.to_string().contains("belongs to node 1"), "{error}");
        let error = next_identity(other, path, &settings(1, "b")).unwrap_err();
        assert!(error.to_string().contains("cluster `c`"), "{error}");
    }

    #[test]
    fn another_version_and_garbage_are_told_apart() {
        let newer = format!("version={}\nfuture=1\n", VERSION + 1);
        let error = Identity::decode(newer.as_bytes()).unwrap_err();
        assert!(error.contains(&format!("version {}", VERSION + 1)), "{error}");
        let alone = format!("version={VERSION}\n");
        let cut_off = format!("version={VERSION}\ncluster=c\nno");
        for bytes in [b"", &b"version="[..], alone.as_bytes(), b"\xff", cut_off.as_bytes()] {
            assert!(Identity::decode(bytes).unwrap_err().contains("not one"), "{bytes:?}");
        }
    }
}

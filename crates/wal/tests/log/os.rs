//! The same log on the real file system, and the lock on its directory.

use std::path::{Path, PathBuf};

use types::SegmentId;
use wal::{Disk, DiskFile, Finding, MetaFile, OpenError, OsDisk, inspect};

use crate::harness::{numbered, open_well, options, prepare};

/// A directory of this test's own that goes away with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wal-{}-{name}", std::process::id()));
        // Left over only if a test process with this id was killed.
        drop(std::fs::remove_dir_all(&path));
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_log_lives_through_restarts_on_the_real_file_system() {
    let scratch = Scratch::new("restarts");
    let layout = options(64 << 10, 4096);
    let (mut written, mut oldest) = (Vec::new(), SegmentId(1));
    for life in 0..4 {
        let disk = OsDisk::open(scratch.path()).unwrap();
        let (mut log, visited, _) = open_well(disk.clone(), layout);
        written.retain(|(segment, _)| *segment >= log.oldest_segment());
        assert_eq!(visited, written);
        for number in 0..30 {
            let payload = numbered(life * 1000 + number, 3000);
            log.append(&payload).unwrap();
            written.push((log.commit().unwrap(), payload));
            if number % 10 == 9 {
                log.release(SegmentId(log.current_segment().0.saturating_sub(3))).unwrap();
                prepare(&mut log);
            }
        }
        log.seal().unwrap();
        oldest = log.oldest_segment();
        assert!(log.free_bytes().unwrap() > 0);
        MetaFile::new(disk).write(&[life as u8]).unwrap();
    }
    let looked_at = OsDisk::read_only(scratch.path()).unwrap();
    assert_eq!(MetaFile::new(looked_at.clone()).read().unwrap().unwrap(), [3]);
    let mut inspected = Vec::new();
    inspect(&looked_at, &mut |finding| {
        if let Finding::Payload { segment, payload, .. } = finding {
            inspected.push((segment, payload.to_vec()));
        }
    })
    .unwrap();
    inspected.retain(|(segment, _)| *segment >= oldest);
    written.retain(|(segment, _)| *segment >= oldest);
    assert_eq!(inspected, written);
}

#[test]
fn a_directory_has_one_user_and_the_error_names_it() {
    let scratch = Scratch::new("lock");
    let disk = OsDisk::open(scratch.path()).unwrap();
    let clone = disk.clone();
    drop(disk);
    let Err(error) = OsDisk::open(scratch.path()) else { panic!("two users") };
    let OpenError::InUse { pid, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, Some(std::process::id()));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(clone);
    OsDisk::open(scratch.path()).unwrap();
}

#[test]
fn allocated_space_is_zeroes_and_keeps_what_was_there() {
    let scratch = Scratch::new("allocate");
    let disk = OsDisk::open(scratch.path()).unwrap();
    let mut file = disk.create("file").unwrap();
    assert!(disk.create("file").is_err());
    file.write_at(0, b"kept").unwrap();
    file.allocate(10_000).unwrap();
    file.allocate(5).unwrap();
    assert_eq!(file.length().unwrap(), 10_000);
    let mut bytes = vec![1; 20_000];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 10_000);
    assert_eq!(&bytes[..4], b"kept");
    assert!(bytes[4..10_000].iter().all(|&byte| byte == 0));
    let read_only = OsDisk::read_only(scratch.path()).unwrap();
    assert!(read_only.open("file").unwrap().write_at(0, b"x").is_err());
}

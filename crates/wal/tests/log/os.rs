//! The same log on the real file system, and the lock on its directory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use types::SegmentId;
use wal::{Damage, Disk, DiskFile, Finding, MetaFile, OpenError, OsDisk, inspect};

use crate::harness::{numbered, open, open_well, options, prepare};

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

/// A log of five commits in real files, its tail changed by `spoil`, which is given the segment's
/// file and where the last two commits begin.
fn spoiled(name: &str, spoil: impl Fn(&File, u64, u64)) -> Result<usize, OpenError> {
    let scratch = Scratch::new(name);
    let layout = options(64 << 10, 4096);
    let (mut log, _, _) = open_well(OsDisk::open(scratch.path()).unwrap(), layout);
    let mut ends = Vec::new();
    for number in 0..5 {
        log.append(&numbered(number, 3000)).unwrap();
        log.commit().unwrap();
        ends.push(log.bytes());
    }
    // As a process ends that is killed: nothing is sealed.
    drop(log);
    let path = scratch.path().join("00000000000000000001.segment");
    let file = File::options().write(true).open(path).unwrap();
    spoil(&file, ends[2], ends[3]);
    open(OsDisk::open(scratch.path()).unwrap(), layout).map(|(_, visited, _)| visited.len())
}

#[test]
fn a_spoiled_tail_of_real_files_is_never_taken_for_a_crash() {
    let zero = |file: &File, from: u64| file.write_all_at(&[0; 4096], from).unwrap();
    assert_eq!(spoiled("untouched", |_, _, _| ()).unwrap(), 5);
    let lost = |result: Result<usize, OpenError>| match result {
        Err(OpenError::Corrupt { damage, .. }) => assert_eq!(damage, Damage::Lost { sequence: 5 }),
        other => panic!("{other:?}"),
    };
    lost(spoiled("zeroed-one", |file, _, last| zero(file, last)));
    lost(spoiled("zeroed-two", |file, second, last| {
        zero(file, second);
        zero(file, last);
    }));
    let cut = spoiled("cut", |file, second, _| file.set_len(second).unwrap());
    assert!(matches!(cut, Err(OpenError::Corrupt { damage: Damage::Truncated { .. }, .. })));
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

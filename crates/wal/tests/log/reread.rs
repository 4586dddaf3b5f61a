//! Commits that are read again while the log goes on.

use std::io::ErrorKind;

use types::SegmentId;
use wal::{Disk, MemoryDisk, read_commits, segment_name};

use crate::harness::{filled, numbered, options, segment_files, tiny};

/// Everything that can be read of the segments from this one on, so many bytes at a time.
fn read_all(disk: &MemoryDisk, mut segment: SegmentId, bytes: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while disk.open(&segment_name(segment)).is_ok() {
        let mut offset = 0;
        while let Ok(commits) = read_commits(disk, segment, offset, bytes) {
            assert!(commits.ends || !commits.payloads.is_empty());
            found.extend(commits.payloads.iter().map(|payload| payload.to_vec()));
            offset = commits.next;
            if commits.ends {
                break;
            }
        }
        segment = segment.next();
    }
    found
}

#[test]
fn what_was_written_is_read_again_while_more_is_written() {
    let (disk, mut log, mut written) = filled(options(8192, 512), 60);
    assert!(segment_files(&disk).len() > 3);
    for bytes in [1, 1000, 1 << 20] {
        assert_eq!(read_all(&disk, SegmentId(1), bytes), written);
    }
    let read = read_commits(&disk, log.current_segment(), 0, 1 << 20).unwrap();
    assert!(read.ends);
    log.append(b"more").unwrap();
    log.commit().unwrap();
    written.push(b"more".to_vec());
    let more = read_commits(&disk, log.current_segment(), read.next, 1 << 20).unwrap();
    assert_eq!(more.payloads, [&b"more"[..]]);
    assert_eq!(read_all(&disk, SegmentId(1), 1), written);
}

#[test]
fn a_segment_that_was_freed_is_not_another_one() {
    let (disk, mut log, written) = filled(tiny(), 30);
    let (first, second) = (SegmentId(1), SegmentId(2));
    let kept = read_all(&disk, second, 1);
    assert!(kept.len() < written.len());
    log.release(first).unwrap();
    for number in 0..40 {
        log.append(&numbered(number, 500)).unwrap();
        log.commit().unwrap();
    }
    let error = read_commits(&disk, first, 0, 1).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData), "{error}");
    assert_eq!(read_all(&disk, second, 1)[..kept.len()], kept);
}

#[test]
fn damage_ends_a_segment_and_alters_nothing() {
    let (disk, _log, written) = filled(tiny(), 8);
    for name in segment_files(&disk) {
        for offset in 0..disk.content(&name).unwrap().len() as u64 {
            let damaged = disk.fork(0);
            assert!(damaged.flip_bit(&name, offset, (offset % 7) as u32));
            for payload in read_all(&damaged, SegmentId(1), 1) {
                assert!(written.contains(&payload), "{name} {offset}");
            }
        }
    }
}

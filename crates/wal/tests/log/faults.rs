//! Disk errors end the log; a release is atomic with its commit; files are used again.

use types::SegmentId;
use wal::{Fault, Log, LogError, MemoryDisk, OpenError, VisitError};

use crate::harness::{
    filled, numbered, open, open_well, options, payloads, prepare, segment_files, tiny,
};

#[test]
fn any_disk_error_is_final() {
    for fault in [Fault::Write, Fault::Sync] {
        let (disk, mut log, _) = filled(tiny(), 2);
        log.append(b"lost").unwrap();
        disk.fail_next(fault);
        let error = log.commit().unwrap_err().to_string();
        assert!(error.contains("this node stops"), "{error}");
        assert_eq!(log.append(b"more").unwrap_err().to_string(), error);
        assert_eq!(log.commit().unwrap_err().to_string(), error);
        assert_eq!(log.seal().unwrap_err().to_string(), error);
        assert_eq!(log.release(SegmentId(1)).unwrap_err().to_string(), error);
        assert_eq!(log.prepare_spare(1).unwrap_err().to_string(), error);
    }
}

#[test]
fn a_read_error_is_not_taken_for_damage() {
    let (disk, _, _) = filled(tiny(), 2);
    disk.fail_next(Fault::Read);
    assert!(matches!(open(disk, tiny()), Err(OpenError::Disk { .. })));
}

#[test]
fn a_payload_that_is_too_large_changes_nothing() {
    let (disk, mut log, mut written) = filled(tiny(), 1);
    log.append(b"before").unwrap();
    let large = vec![0; types::limits::RECORD_BYTES_MAX + 1];
    assert!(matches!(log.append(&large), Err(LogError::TooLarge { .. })));
    log.commit().unwrap();
    written.push(b"before".to_vec());
    assert_eq!(payloads(&open_well(disk, tiny()).1), written);
}

#[test]
fn the_owner_may_reject_a_payload() {
    let (disk, _, _) = filled(tiny(), 2);
    let reject = &mut |_, _: &[u8]| Err(VisitError("no such record".to_owned()));
    let Err(error) = Log::open(disk, tiny(), reject) else { panic!("it opened") };
    assert!(error.to_string().contains("no such record"), "{error}");
}

#[test]
fn appending_says_where_and_a_large_commit_has_a_segment_of_its_size() {
    let disk = MemoryDisk::new(1);
    let (mut log, _, _) = open_well(disk.clone(), tiny());
    assert_eq!(log.append(&[1; 1000]).unwrap(), SegmentId(1));
    assert_eq!(log.commit().unwrap(), SegmentId(1));
    assert_eq!(log.append(&[2; 1000]).unwrap(), SegmentId(1));
    assert_eq!(log.append(&[3; 1000]).unwrap(), SegmentId(2), "the commit has moved");
    assert_eq!(log.commit().unwrap(), SegmentId(2));
    assert_eq!(log.append(&[4; 50_000]).unwrap(), SegmentId(3));
    assert_eq!(log.commit().unwrap(), SegmentId(3));
    log.append(&[]).unwrap();
    assert_eq!(log.commit().unwrap(), SegmentId(4));
    let (_, visited, recovery) = open_well(disk, tiny());
    let expected: [(SegmentId, Vec<u8>); 5] = [
        (SegmentId(1), vec![1; 1000]),
        (SegmentId(2), vec![2; 1000]),
        (SegmentId(2), vec![3; 1000]),
        (SegmentId(3), vec![4; 50_000]),
        (SegmentId(4), vec![]),
    ];
    assert_eq!(visited, expected);
    assert_eq!((recovery.segments, recovery.commits), (4, 4));
}

#[test]
fn a_release_takes_effect_with_the_next_commit() {
    let (disk, mut log, _) = filled(tiny(), 14);
    let last = log.current_segment();
    assert_eq!(log.release(SegmentId(2)).unwrap(), SegmentId(3));
    assert_eq!(log.release(SegmentId(1)).unwrap(), SegmentId(3), "never backwards");
    let (_, visited, _) = open_well(disk.fork(0), tiny());
    assert_eq!(visited[0].0, SegmentId(1), "it is not committed yet");
    log.append(b"rewritten").unwrap();
    log.commit().unwrap();
    let (again, visited, _) = open_well(disk.fork(0), tiny());
    assert_eq!((visited[0].0, again.oldest_segment()), (SegmentId(3), SegmentId(3)));
    assert_eq!(log.release(last.next().next()).unwrap(), log.current_segment());
    log.seal().unwrap();
    let (_, visited, _) = open_well(disk.fork(0), tiny());
    assert!(visited.iter().all(|(segment, _)| *segment == log.current_segment()));
}

#[test]
fn released_files_are_used_again_and_their_old_content_never_shows() {
    let disk = MemoryDisk::new(1);
    let (mut log, _, _) = open_well(disk.clone(), tiny());
    let mut written = Vec::new();
    let mut files_at_most = 0;
    for number in 0..500 {
        let payload = numbered(number, 100 + (number as usize * 53) % 900);
        let segment = log.append(&payload).unwrap();
        let segment = log.commit().unwrap().max(segment);
        written.push((segment, payload));
        let keep = SegmentId(log.current_segment().0.saturating_sub(3));
        log.release(keep).unwrap();
        prepare(&mut log);
        files_at_most = files_at_most.max(segment_files(&disk).len());
    }
    log.seal().unwrap();
    assert!(files_at_most <= 7, "{files_at_most} files");
    let oldest = log.oldest_segment();
    assert!(oldest > SegmentId(50));
    written.retain(|(segment, _)| *segment >= oldest);
    let (_, visited, _) = open_well(disk, tiny());
    assert_eq!(visited, written);
}

#[test]
fn a_commit_in_a_prepared_segment_changes_no_directory_and_no_length() {
    let (disk, mut log, _) = filled(tiny(), 3);
    let mut rolled = 0;
    for number in 0..20 {
        prepare(&mut log);
        let (before, segment) = (disk.operations(), log.current_segment());
        log.append(&numbered(number, 600)).unwrap();
        log.commit().unwrap();
        rolled += u64::from(log.current_segment() != segment);
        assert_eq!(disk.operations() - before, 3, "a write, a sync, the witness");
    }
    assert!(rolled > 5);
}

#[test]
fn a_missing_oldest_segment_is_noticed() {
    let (disk, mut log, _) = filled(tiny(), 14);
    log.release(SegmentId(1)).unwrap();
    log.seal().unwrap();
    let files = segment_files(&disk);
    wal::Disk::remove(&disk, &files[0]).unwrap();
    open_well(disk.fork(0), tiny());
    wal::Disk::remove(&disk, &files[1]).unwrap();
    assert!(matches!(open(disk, tiny()), Err(OpenError::Corrupt { segment: SegmentId(2), .. })));
}

#[test]
fn a_long_commit_shows_that_the_disk_answers_and_is_one_all_the_same() {
    let roomy = options(16 << 20, 4096);
    for power_off in [None, Some(3), Some(5)] {
        let disk = MemoryDisk::new(3);
        let (mut log, _, _) = open_well(disk.clone(), roomy);
        log.append(b"before").unwrap();
        log.commit().unwrap();
        log.append(&numbered(1, 9 << 20)).unwrap();
        if let Some(operations) = power_off {
            disk.power_off_at(operations);
        }
        let mut steps = 0;
        let done = log.commit_in_steps(&mut || steps += 1);
        assert_eq!(done.is_ok(), power_off.is_none());
        assert!(steps == 5 || power_off.is_some() && steps > 0, "{steps}");
        disk.crash();
        let (_, visited, _) = open_well(disk, roomy);
        assert_eq!(visited.len(), if done.is_ok() { 2 } else { 1 });
    }
}

//! A full disk: the log goes on within its headroom, is never torn, and opens again.

use wal::{Disk, MemoryDisk, MetaFile, Preparation};

use crate::harness::{filled, numbered, open_well, payloads, prepare, tiny};

#[test]
fn what_is_prepared_can_be_committed_on_a_full_disk() {
    let (disk, mut log, mut written) = filled(tiny(), 3);
    prepare(&mut log);
    disk.set_full(true);
    assert_eq!(log.free_bytes().unwrap(), 0);
    assert!(log.headroom() >= 3584, "a whole spare segment, less its header");
    let mut number = 100;
    let error = loop {
        let payload = numbered(number, 300);
        log.append(&payload).unwrap();
        if log.headroom() == 0 && log.pending_bytes() > 0 {
            log.commit().unwrap();
            written.push(payload);
            log.append(b"too much").unwrap();
            break log.commit().unwrap_err();
        }
        log.commit().unwrap();
        written.push(payload);
        number += 1;
    };
    assert!(error.is_disk_full(), "{error}");
    assert!(number > 105);
    disk.kill_process();
    let (mut log, visited, _) = open_well(disk.clone(), tiny());
    assert_eq!(payloads(&visited), written);
    disk.set_full(false);
    log.append(b"room again").unwrap();
    log.commit().unwrap();
    written.push(b"room again".to_vec());
    disk.crash();
    assert_eq!(payloads(&open_well(disk, tiny()).1), written);
}

#[test]
fn a_commit_that_found_no_space_is_made_when_there_is_some() {
    let (disk, mut log, mut written) = filled(tiny(), 3);
    disk.set_full(true);
    for number in 0.. {
        let payload = numbered(number, 300);
        log.append(&payload).unwrap();
        written.push(payload);
        if log.commit().is_err() {
            break;
        }
    }
    assert!(log.commit().unwrap_err().is_disk_full(), "still full, and still alive");
    assert!(log.seal().unwrap_err().is_disk_full());
    log.append(b"more").unwrap();
    written.push(b"more".to_vec());
    assert_eq!(log.space().unwrap(), 0);
    disk.set_full(false);
    log.commit().unwrap();
    disk.crash();
    assert_eq!(payloads(&open_well(disk, tiny()).1), written);
}

#[test]
fn a_meta_file_is_replaced_without_space() {
    let disk = MemoryDisk::new(1);
    let meta = MetaFile::new(disk.clone());
    meta.write(b"a first start").unwrap();
    disk.set_full(true);
    for content in ["a second start", "a much, much longer third start", "a fourth start"] {
        meta.write(content.as_bytes()).unwrap();
        assert_eq!(meta.read().unwrap().unwrap(), content.as_bytes());
        disk.crash();
        assert_eq!(meta.read().unwrap().unwrap(), content.as_bytes());
    }
}

#[test]
fn preparing_on_a_full_disk_fails_but_does_not_end_the_log() {
    let (disk, mut log, mut written) = filled(tiny(), 1);
    disk.set_capacity(4096 + 1000);
    while let Ok(preparation) = log.prepare_spare(512) {
        assert_eq!(preparation, Preparation::Working, "there is no room for a spare");
    }
    log.append(b"goes on").unwrap();
    log.commit().unwrap();
    written.push(b"goes on".to_vec());
    disk.set_full(false);
    prepare(&mut log);
    assert!(log.headroom() > 4096);
    assert_eq!(payloads(&open_well(disk, tiny()).1), written);
}

#[test]
fn a_disk_that_is_full_from_the_start_is_said_so() {
    let disk = MemoryDisk::new(1);
    disk.set_capacity(1000);
    let (mut log, _, _) = open_well(disk.clone(), tiny());
    assert_eq!((log.headroom(), log.bytes()), (0, 0));
    log.append(b"x").unwrap();
    assert!(log.commit().unwrap_err().is_disk_full());
    assert_eq!(disk.free_bytes().unwrap(), 1000);
}

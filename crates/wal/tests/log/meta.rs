//! The meta file: old content or new, never anything else.

use wal::{META_BYTES_MAX, MemoryDisk, MetaError, MetaFile};

#[test]
fn a_crash_at_every_operation_leaves_the_old_content_or_the_new() {
    for operation in 1..=8 {
        for seed in 0..50 {
            let disk = MemoryDisk::new(seed);
            let meta = MetaFile::new(disk.clone());
            assert_eq!(meta.read().unwrap(), None);
            meta.write(b"old").unwrap();
            disk.power_off_at(operation);
            let written = meta.write(&[b'n'; 2000]).is_ok();
            disk.crash();
            let content = meta.read().unwrap().unwrap();
            assert!(content == [b'n'; 2000] || (content == b"old" && !written));
            meta.write(b"newest").unwrap();
            disk.crash();
            assert_eq!(meta.read().unwrap().unwrap(), b"newest");
        }
    }
}

#[test]
fn damage_is_found() {
    let disk = MemoryDisk::new(1);
    let meta = MetaFile::new(disk.clone());
    meta.write(b"incarnation 5").unwrap();
    // Header and content.
    let bytes = 20 + "incarnation 5".len() as u64;
    for offset in 0..bytes {
        let damaged = disk.fork(0);
        assert!(damaged.flip_bit("meta", offset, 2));
        assert!(matches!(MetaFile::new(damaged).read(), Err(MetaError::Corrupt)));
        let short = disk.fork(0);
        assert!(short.truncate("meta", offset));
        assert!(matches!(MetaFile::new(short).read(), Err(MetaError::Corrupt)));
    }
}

#[test]
fn the_content_is_bounded() {
    let meta = MetaFile::new(MemoryDisk::new(1));
    meta.write(&vec![1; META_BYTES_MAX]).unwrap();
    let too_large = meta.write(&vec![2; META_BYTES_MAX + 1]);
    assert!(matches!(too_large, Err(MetaError::TooLarge { .. })));
    assert_eq!(meta.read().unwrap().unwrap(), vec![1; META_BYTES_MAX]);
    meta.write(b"").unwrap();
    assert_eq!(meta.read().unwrap().unwrap(), b"");
}

//! Whose log it is, and in which format: errors that say what to do.

use types::NodeId;
use wal::{MemoryDisk, OpenError, Options};

use crate::harness::{filled, open, open_well, options, payloads, segment_files, tiny};

#[test]
fn the_log_of_another_node_or_cluster_is_refused() {
    let (disk, _, _) = filled(tiny(), 1);
    let others = [Options { node: NodeId(8), ..tiny() }, Options { cluster: 0xc2, ..tiny() }];
    for other in others {
        let Err(error) = open(disk.clone(), other) else { panic!("it opened") };
        assert!(matches!(error, OpenError::WrongNode { .. }));
        assert!(error.to_string().starts_with("this log belongs to node 7 of cluster"), "{error}");
    }
}

#[test]
fn a_newer_format_is_refused_and_named() {
    let (disk, _, _) = filled(tiny(), 1);
    let name = &segment_files(&disk)[0];
    let mut header = disk.content(name).unwrap()[..68].to_vec();
    header[8] = 2;
    let checksum = crc32fast::hash(&header[..64]).to_le_bytes();
    header[64..].copy_from_slice(&checksum);
    let mut file = wal::Disk::open(&disk, name).unwrap();
    wal::DiskFile::write_at(&mut file, 0, &header).unwrap();
    let Err(error) = open(disk, tiny()) else { panic!("it opened") };
    assert!(matches!(error, OpenError::Version { found: 2, .. }));
    assert!(error.to_string().contains("start the program that wrote it"), "{error}");
}

#[test]
fn a_file_that_is_only_named_like_a_segment_is_refused() {
    let (disk, _, _) = filled(tiny(), 1);
    wal::Disk::create(&disk, "notes.txt").unwrap();
    open_well(disk.clone(), tiny());
    wal::Disk::create(&disk, "1.segment").unwrap();
    assert!(matches!(open(disk, tiny()), Err(OpenError::StrayFile { .. })));
}

#[test]
fn settings_out_of_range_are_refused() {
    let wrong = [
        options(4096, 256),
        options(1 << 20, 1000),
        options(1 << 20, 1 << 17),
        options(1024, 512),
        options(4097, 512),
        Options { spares_max: 0, ..tiny() },
    ];
    for options in wrong {
        assert!(matches!(open(MemoryDisk::new(1), options), Err(OpenError::Options(_))));
    }
}

#[test]
fn the_layout_may_change_from_start_to_start() {
    let disk = MemoryDisk::new(1);
    let mut written = Vec::new();
    let layouts = [(4096, 512), (16384, 4096), (8192, 1024), (4096, 512)];
    for (round, (segment_bytes, block_bytes)) in layouts.into_iter().enumerate() {
        let (mut log, visited, _) = open_well(disk.clone(), options(segment_bytes, block_bytes));
        assert_eq!(payloads(&visited), written);
        for number in 0..20 {
            let payload = crate::harness::numbered(round as u64 * 100 + number, 700);
            log.append(&payload).unwrap();
            log.commit().unwrap();
            written.push(payload);
            log.prepare_spare(3000).unwrap();
        }
    }
    disk.crash();
    assert_eq!(payloads(&open_well(disk, tiny()).1), written);
}

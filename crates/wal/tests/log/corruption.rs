//! Damage: it is found, named and never turned into an altered or missing payload.

use types::SegmentId;
use wal::{Damage, Finding, MemoryDisk, OpenError, inspect};

use crate::harness::{
    Dice, filled, numbered, open, open_well, options, payloads, prepare, segment_files, tiny,
};

/// The file that says how far the log was durable.
const WITNESS: &str = "witness";

/// A power loss may take what was noted last.
fn remove_witness(disk: &MemoryDisk) {
    wal::Disk::remove(disk, WITNESS).unwrap();
}

/// What is wrong with a log.
fn damage_of(disk: MemoryDisk, options: wal::Options) -> Damage {
    match open(disk, options) {
        Err(OpenError::Corrupt { damage, .. }) => damage,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opened"),
    }
}

#[test]
fn every_flip_in_a_sealed_log_is_found_or_harmless() {
    let (disk, mut log, written) = filled(tiny(), 14);
    log.seal().unwrap();
    let mut found = 0;
    for name in segment_files(&disk) {
        for offset in 0..disk.content(&name).unwrap().len() as u64 {
            let damaged = disk.fork(0);
            assert!(damaged.flip_bit(&name, offset, (offset % 7) as u32));
            match open(damaged, tiny()) {
                Ok((_, visited, _)) => assert!(payloads(&visited) == written, "{name} {offset}"),
                Err(OpenError::Corrupt { .. }) => found += 1,
                Err(error) => panic!("{name} {offset}: {error}"),
            }
        }
    }
    assert!(found > 4000, "{found}");
}

#[test]
fn flips_anywhere_leave_a_prefix_or_an_error() {
    let (disk, _, written) = filled(tiny(), 14);
    let files = segment_files(&disk);
    for seed in 0..3000 {
        let dice = &mut Dice(seed);
        let damaged = disk.fork(seed);
        for _ in 0..=dice.below(6) {
            let name = &files[dice.below(files.len() as u64) as usize];
            damaged.flip_bit(name, dice.below(4096), dice.below(8) as u32);
        }
        if let Ok((_, visited, _)) = open(damaged, tiny()) {
            let visited = payloads(&visited);
            assert_eq!(visited[..], written[..visited.len()]);
        }
    }
}

#[test]
fn damage_in_the_middle_names_its_place_and_deletes_nothing() {
    let (disk, _, _) = filled(options(64 << 10, 512), 5);
    let name = &segment_files(&disk)[0];
    let before = disk.content(name).unwrap();
    assert!(disk.flip_bit(name, 512 + 60, 0));
    let Err(error) = open(disk.clone(), options(64 << 10, 512)) else { panic!("it opened") };
    let OpenError::Corrupt { segment, offset, damage } = error else { panic!("{error}") };
    assert_eq!((segment, offset), (SegmentId(1), 512));
    assert_eq!(damage, Damage::Commit { sequence: 1 });
    assert!(error.to_string().contains("start the node with an empty one"), "{error}");
    assert!(disk.flip_bit(name, 512 + 60, 0));
    assert_eq!(disk.content(name).unwrap(), before);
}

#[test]
fn without_its_witness_only_a_seal_tells_a_damaged_last_commit_from_a_torn_one() {
    let roomy = options(64 << 10, 512);
    let (disk, mut log, written) = filled(roomy, 3);
    let name = &segment_files(&disk)[0];
    let last = log.bytes() - 512;
    let unsealed = disk.fork(0);
    assert!(unsealed.flip_bit(name, last, 3));
    assert_eq!(damage_of(unsealed.fork(0), roomy), Damage::Lost { sequence: 3 });
    remove_witness(&unsealed);
    let (_, visited, _) = open_well(unsealed, roomy);
    assert_eq!(payloads(&visited), written[..2]);
    log.seal().unwrap();
    remove_witness(&disk);
    let operations = disk.operations();
    log.seal().unwrap();
    assert_eq!(disk.operations(), operations, "a second seal has nothing to do");
    assert!(disk.flip_bit(name, last, 3));
    assert!(matches!(open(disk, roomy), Err(OpenError::Corrupt { .. })));
}

#[test]
fn a_missing_or_shortened_file_is_found() {
    let (disk, mut log, written) = filled(tiny(), 14);
    prepare(&mut log);
    log.seal().unwrap();
    let files = segment_files(&disk);
    let begun = log.segments().count();
    assert_eq!(files.len(), begun + 1);
    for (index, name) in files.iter().enumerate() {
        for bytes in (0..4096).step_by(256) {
            let damaged = disk.fork(0);
            assert!(damaged.truncate(name, bytes));
            let opened = open(damaged, tiny());
            assert_eq!(opened.is_err(), index < begun, "{name} cut to {bytes}");
        }
        let damaged = disk.fork(0);
        wal::Disk::remove(&damaged, name).unwrap();
        match open(damaged, tiny()) {
            Ok((_, visited, _)) => {
                assert_eq!(index, begun, "only a spare may be missing");
                assert_eq!(payloads(&visited), written);
            }
            Err(OpenError::Corrupt { damage: Damage::Missing, segment, .. }) => {
                assert_eq!(segment, SegmentId(index as u64 + 1));
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    // The newest segments gone without a trace: only the witness tells.
    wal::Disk::remove(&disk, &files[begun]).unwrap();
    wal::Disk::remove(&disk, &files[begun - 1]).unwrap();
    assert_eq!(damage_of(disk.fork(0), tiny()), Damage::Lost { sequence: log.sequence() });
    remove_witness(&disk);
    open_well(disk, tiny());
}

#[test]
fn a_tail_that_was_zeroed_or_cut_is_found_but_for_what_was_under_way() {
    let roomy = options(64 << 10, 512);
    let (disk, log, written) = filled(roomy, 9);
    let name = &segment_files(&disk)[0];
    let (end, length) = (log.bytes(), disk.content(name).unwrap().len() as u64);
    for from in (0..=end).step_by(128) {
        let zeroed = disk.fork(from);
        let mut file = wal::Disk::open(&zeroed, name).unwrap();
        wal::DiskFile::write_at(&mut file, from, &vec![0; (length - from) as usize]).unwrap();
        let cut = disk.fork(from);
        assert!(cut.truncate(name, from));
        // The padding of the last commit holds nothing.
        let harmless = from + 512 > end
            && !disk.content(name).unwrap()[from as usize..].iter().any(|byte| *byte != 0);
        match open(zeroed, roomy) {
            Ok((_, visited, _)) => {
                assert!(harmless, "zeroed from {from} of {end}, and nothing was said");
                assert_eq!(payloads(&visited), written);
            }
            Err(OpenError::Corrupt { .. }) => assert!(!harmless, "{from} of {end}"),
            Err(error) => panic!("{from}: {error}"),
        }
        assert!(matches!(open(cut, roomy), Err(OpenError::Corrupt { .. })), "cut at {from}");
    }
}

#[test]
fn a_witness_that_can_not_be_read_proves_nothing_and_is_said() {
    let (disk, _, written) = filled(tiny(), 3);
    assert!(disk.flip_bit(WITNESS, 17, 2));
    let (log, visited, recovery) = open_well(disk.clone(), tiny());
    assert_eq!((payloads(&visited), recovery.witness_unreadable), (written, true));
    drop(log);
    let (_, _, again) = open_well(disk, tiny());
    assert!(!again.witness_unreadable, "the start has written it anew");
}

#[test]
fn a_witness_of_another_log_is_found() {
    let (disk, _, _) = filled(tiny(), 3);
    let other = MemoryDisk::new(0);
    let (mut log, _, _) = open_well(other.clone(), wal::Options { random: 1, ..tiny() });
    log.append(b"x").unwrap();
    log.commit().unwrap();
    let foreign = other.content(WITNESS).unwrap();
    let mut file = wal::Disk::open(&disk, WITNESS).unwrap();
    wal::DiskFile::write_at(&mut file, 0, &foreign).unwrap();
    assert_eq!(damage_of(disk, tiny()), Damage::Foreign);
}

#[test]
fn a_segment_under_another_name_or_from_another_log_is_found() {
    let (disk, _, _) = filled(tiny(), 14);
    let files = segment_files(&disk);
    let swapped = disk.fork(0);
    wal::Disk::rename(&swapped, &files[0], "aside").unwrap();
    wal::Disk::rename(&swapped, &files[1], &files[0]).unwrap();
    let Err(OpenError::Corrupt { damage, .. }) = open(swapped, tiny()) else { panic!() };
    assert_eq!(damage, Damage::Misnamed { header: SegmentId(2) });

    let other = MemoryDisk::new(0);
    let (mut log, _, _) = open_well(other.clone(), wal::Options { random: 1, ..tiny() });
    log.append(b"x").unwrap();
    log.commit().unwrap();
    let foreign = other.content(&files[0]).unwrap();
    wal::Disk::remove(&disk, &files[0]).unwrap();
    let mut file = wal::Disk::create(&disk, &files[0]).unwrap();
    wal::DiskFile::write_at(&mut file, 0, &foreign).unwrap();
    let Err(OpenError::Corrupt { damage, .. }) = open(disk, tiny()) else { panic!() };
    assert_eq!(damage, Damage::Foreign);
}

#[test]
fn files_of_noise_never_panic() {
    for seed in 0..300 {
        let dice = &mut Dice(seed);
        let disk = MemoryDisk::new(seed);
        for id in 1..=dice.below(4) {
            let name = format!("{id:020}.segment");
            let mut file = wal::Disk::create(&disk, &name).unwrap();
            let noise = numbered(dice.draw(), dice.below(5000) as usize);
            wal::DiskFile::write_at(&mut file, 0, &noise).unwrap();
        }
        // Noise is no segment, so all of it is taken for spares.
        let (_, visited, _) = open_well(disk.clone(), tiny());
        assert!(visited.is_empty());
        inspect(&disk, &mut |_| {}).unwrap();
    }
}

/// Commits two payloads, the second with `forged` on a sector boundary, and damages it.
fn torn_with(forged: &[u8]) -> Result<usize, OpenError> {
    let roomy = options(64 << 10, 512);
    let (disk, mut log, _) = filled(roomy, 1);
    let start = log.bytes();
    // 56 bytes of frame header and 4 of length precede the payload.
    log.append(&[&[0; 512 - 60], forged, &[0; 700]].concat()).unwrap();
    log.commit().unwrap();
    assert!(disk.flip_bit(&segment_files(&disk)[0], start + 56 + 5, 0));
    remove_witness(&disk);
    open(disk, roomy).map(|(_, visited, _)| visited.len())
}

#[test]
fn a_payload_can_not_pass_for_a_commit() {
    let frame_of = |random| {
        let roomy = wal::Options { random, ..options(64 << 10, 512) };
        let disk = MemoryDisk::new(0);
        let (mut log, _, _) = open_well(disk.clone(), roomy);
        for _ in 0..9 {
            log.append(b"forged").unwrap();
            log.commit().unwrap();
        }
        let start = log.bytes() as usize - 512;
        disk.content(&segment_files(&disk)[0]).unwrap()[start..start + 512].to_vec()
    };
    let secret = tiny().random;
    assert_eq!(torn_with(&frame_of(secret ^ 1)).unwrap(), 1);
    // Whoever knew the log's random number could fake damage; that shows what it is good for.
    assert!(torn_with(&frame_of(secret)).is_err());
}

#[test]
fn inspection_reports_damage_and_goes_on() {
    let roomy = options(64 << 10, 512);
    let (disk, _, written) = filled(roomy, 5);
    let name = segment_files(&disk)[0].clone();
    let look = |disk: &MemoryDisk| {
        let (mut shown, mut unreadable, mut gaps) = (Vec::new(), Vec::new(), 0);
        inspect(disk, &mut |finding| match finding {
            Finding::Payload { payload, .. } => shown.push(payload.to_vec()),
            Finding::Unreadable { sequence, .. } => unreadable.push(sequence),
            Finding::Gap { .. } => gaps += 1,
            Finding::Segment { header, .. } => assert_eq!(header.segment, SegmentId(1)),
            Finding::Commit { oldest, .. } => assert_eq!(oldest, SegmentId(1)),
            Finding::Spare { .. } | Finding::UnknownVersion { .. } => panic!("{finding:?}"),
        })
        .unwrap();
        (shown, unreadable, gaps)
    };
    assert_eq!(look(&disk), (written.clone(), vec![], 0));
    assert!(disk.flip_bit(&name, 512 + 56, 0));
    assert_eq!(look(&disk), (written[1..].to_vec(), vec![Some(1)], 0));
    assert!(disk.flip_bit(&name, 1024, 0));
    let (shown, unreadable, gaps) = look(&disk);
    assert_eq!((&shown[..], gaps), (&written[2..], 1));
    assert_eq!(unreadable, [Some(1), None]);
}

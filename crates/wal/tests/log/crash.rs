//! Crashes, at every operation and with every mixture of lost sectors, against an oracle that
//! knows nothing of the format: the list of what was committed.

use types::SegmentId;
use wal::{Fault, Log, LogError, MemoryDisk, OpenError, Options};

use crate::harness::{
    Dice, Visited, numbered, open, open_well, options, payloads, segment_files, tiny,
};

/// The commits that a log must show, and the one that it may show in addition.
#[derive(Clone, Default)]
struct Oracle {
    commits: Vec<(SegmentId, Vec<Vec<u8>>)>,
    /// The oldest live segment that was committed.
    oldest: SegmentId,
    /// Payloads appended since, and the oldest live segment that goes with them.
    pending: Vec<Vec<u8>>,
    pending_oldest: SegmentId,
    /// Whether a crash now may find `pending` durable.
    in_flight: bool,
    next_payload: u64,
}

impl Oracle {
    fn live(&self, oldest: SegmentId) -> Vec<Vec<u8>> {
        let commits = self.commits.iter().filter(|(segment, _)| *segment >= oldest);
        commits.flat_map(|(_, payloads)| payloads.clone()).collect()
    }

    fn committed(&mut self, segment: SegmentId) {
        self.commits.push((segment, std::mem::take(&mut self.pending)));
        self.oldest = self.pending_oldest;
        self.in_flight = false;
    }

    /// Judges what a log has shown after a crash and takes it for the truth from then on.
    fn judge(&mut self, visited: &Visited, log: &Log<MemoryDisk>, context: &str) {
        let shown = payloads(visited);
        let without = self.live(self.oldest);
        let mut with = self.live(self.pending_oldest);
        with.extend(self.pending.iter().cloned());
        if self.in_flight && shown == with {
            let segment = visited.last().map_or(log.current_segment(), |(segment, _)| *segment);
            self.committed(segment);
        } else {
            assert!(shown == without, "{context}: {} shown, {} due", shown.len(), without.len());
        }
        // What the log says of itself is what a release goes by from here on.
        self.oldest = log.oldest_segment();
        self.pending_oldest = self.oldest;
        self.pending.clear();
        self.in_flight = false;
    }
}

/// Does a random thing with the log, as its owner would.
fn act(
    log: &mut Log<MemoryDisk>,
    oracle: &mut Oracle,
    dice: &mut Dice,
    options: &Options,
) -> Result<(), LogError> {
    match dice.below(12) {
        0..=3 => {
            let longest = if dice.below(20) == 0 { options.segment_bytes * 3 } else { 900 };
            let payload = numbered(oracle.next_payload, dice.below(longest) as usize);
            oracle.next_payload += 1;
            log.append(&payload)?;
            oracle.pending.push(payload);
            Ok(())
        }
        4..=7 => commit(log, oracle),
        8 => {
            commit(log, oracle)?;
            oracle.in_flight = true;
            log.seal()?;
            oracle.committed(log.current_segment());
            Ok(())
        }
        9 => {
            let span = log.current_segment().0 - log.oldest_segment().0 + 1;
            let upto = SegmentId(log.oldest_segment().0 + dice.below(span));
            oracle.pending_oldest = log.release(upto)?;
            Ok(())
        }
        _ => log.prepare_spare(1 + dice.below(2000)).map(|_| ()),
    }
}

fn commit(log: &mut Log<MemoryDisk>, oracle: &mut Oracle) -> Result<(), LogError> {
    if oracle.pending.is_empty() {
        return log.commit().map(|_| ());
    }
    oracle.in_flight = true;
    let segment = log.commit()?;
    oracle.committed(segment);
    Ok(())
}

/// Opens the log, possibly with the power failing in the middle, as often as it takes.
fn open_in_the_end(
    disk: &MemoryDisk,
    options: Options,
    dice: &mut Dice,
) -> (Log<MemoryDisk>, Visited) {
    loop {
        let power_fails = dice.below(3) == 0;
        if power_fails {
            disk.power_off_at(1 + dice.below(6));
        }
        match open(disk.clone(), options) {
            Ok((log, visited, _)) => return (log, visited),
            Err(OpenError::Disk { .. }) if power_fails => disk.crash(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Several lives of one log, each ended by a power loss, a kill or a disk error.
fn live_and_die(seed: u64, lives: u64, options: Options) {
    let dice = &mut Dice(seed);
    let disk = MemoryDisk::new(seed);
    let mut oracle =
        Oracle { oldest: SegmentId(1), pending_oldest: SegmentId(1), ..Oracle::default() };
    for life in 0..lives {
        let (mut log, visited) = open_in_the_end(&disk, options, dice);
        oracle.judge(&visited, &log, &format!("seed {seed}, life {life}"));
        match dice.below(8) {
            0 => disk.fail_next(Fault::Sync),
            1 => disk.fail_next(Fault::Write),
            2 => disk.fail_next(Fault::SyncDirectory),
            _ => disk.power_off_at(1 + dice.below(60)),
        }
        for _ in 0..80 {
            if act(&mut log, &mut oracle, dice, &options).is_err() {
                break;
            }
        }
        if dice.below(3) == 0 { disk.kill_process() } else { disk.crash() }
    }
}

#[test]
fn nothing_committed_is_lost_over_many_lives() {
    for seed in 0..600 {
        let block_bytes = [512, 1024, 4096][seed as usize % 3];
        live_and_die(seed, 12, options(u64::from(block_bytes) * (4 + seed % 5), block_bytes));
    }
}

/// A fixed life with everything in it. Stops at the first error.
fn script(disk: &MemoryDisk, oracle: &mut Oracle) -> Result<(), LogError> {
    let Ok((mut log, visited, _)) = open(disk.clone(), tiny()) else { return Ok(()) };
    oracle.judge(&visited, &log, "script");
    for round in 0..24_u64 {
        for _ in 0..=round % 3 {
            let bytes = if round == 11 { 9000 } else { 40 + (round as usize * 331) % 1500 };
            let payload = numbered(oracle.next_payload, bytes);
            oracle.next_payload += 1;
            oracle.pending.push(payload.clone());
            log.append(&payload)?;
        }
        if round % 6 == 5 {
            let upto = SegmentId(log.current_segment().0.saturating_sub(2));
            oracle.pending_oldest = log.release(upto)?;
        }
        commit(&mut log, oracle)?;
        if round % 4 == 3 {
            oracle.in_flight = true;
            log.seal()?;
            oracle.committed(log.current_segment());
        }
        for _ in 0..round % 5 {
            log.prepare_spare(1000)?;
        }
    }
    Ok(())
}

#[test]
fn a_crash_at_every_operation_keeps_every_commit() {
    let first = Oracle { oldest: SegmentId(1), pending_oldest: SegmentId(1), ..Oracle::default() };
    let disk = MemoryDisk::new(0);
    script(&disk, &mut first.clone()).unwrap();
    let operations = disk.operations();
    assert!(operations > 100, "the script is too short to say much: {operations}");
    for operation in 1..=operations {
        for seed in 0..12 {
            let disk = MemoryDisk::new(seed);
            disk.power_off_at(operation);
            let mut oracle = first.clone();
            let ended = script(&disk, &mut oracle);
            assert!(ended.is_err() || !oracle.in_flight);
            disk.crash();
            let context = format!("operation {operation}, seed {seed}");
            let (log, visited, _) = open_well(disk.clone(), tiny());
            oracle.judge(&visited, &log, &context);
            drop(log);
            // What was shown once is durable, and the log goes on.
            disk.crash();
            let (mut log, visited, _) = open_well(disk.clone(), tiny());
            oracle.judge(&visited, &log, &context);
            oracle.pending.push(b"after".to_vec());
            log.append(b"after").unwrap();
            commit(&mut log, &mut oracle).unwrap();
            disk.crash();
            let (log, visited, _) = open_well(disk, tiny());
            oracle.judge(&visited, &log, &context);
        }
    }
}

#[test]
fn a_torn_commit_is_cut_and_never_comes_back() {
    let roomy = options(64 << 10, 512);
    let disk = MemoryDisk::new(1);
    let (mut log, _, _) = open_well(disk.clone(), roomy);
    for payload in [&b"first"[..], &[b'x'; 9000]] {
        log.append(payload).unwrap();
        log.commit().unwrap();
    }
    drop(log);
    // One sector of the last commit is not as it was written: for recovery, that is torn, unless
    // the witness has survived.
    wal::Disk::remove(&disk, "witness").unwrap();
    let name = &segment_files(&disk)[0];
    assert!(disk.flip_bit(name, 5000, 0));
    let (log, visited, recovery) = open_well(disk.clone(), roomy);
    assert_eq!(payloads(&visited), [b"first"]);
    let torn = recovery.torn.unwrap();
    assert_eq!((torn.segment, torn.offset, torn.bytes), (SegmentId(1), 1024, 9216));
    drop(log);
    disk.crash();
    // Now it is as it was, as if a later torn write had put the same bytes there.
    assert!(disk.flip_bit(name, 5000, 0));
    let (mut log, visited, recovery) = open_well(disk.clone(), roomy);
    assert_eq!((payloads(&visited), recovery.torn), (vec![b"first".to_vec()], None));
    log.append(b"second").unwrap();
    log.commit().unwrap();
    disk.crash();
    assert_eq!(payloads(&open_well(disk, roomy).1), [&b"first"[..], b"second"]);
}

#[test]
fn what_a_failed_sync_left_in_memory_is_durable_once_it_was_shown() {
    for seed in 0..100 {
        let disk = MemoryDisk::new(seed);
        let (mut log, _, _) = open_well(disk.clone(), tiny());
        log.append(b"first").unwrap();
        log.commit().unwrap();
        log.append(&vec![7; 2000]).unwrap();
        disk.fail_next(Fault::Sync);
        let error = log.commit().unwrap_err();
        assert_eq!(log.commit().unwrap_err().to_string(), error.to_string());
        disk.kill_process();
        let (_, shown, _) = open_well(disk.clone(), tiny());
        disk.crash();
        let (_, again, _) = open_well(disk, tiny());
        assert_eq!(shown, again);
    }
}

//! Shared by all tests: tiny options, opening with a record of what was visited, a generator.

use types::{NodeId, SegmentId};
use wal::{Disk, Log, MemoryDisk, OpenError, Options, Preparation, Recovery};

/// What a log has shown: each payload with its segment, in order.
pub(crate) type Visited = Vec<(SegmentId, Vec<u8>)>;

/// Small segments and blocks, so that a test rolls often.
pub(crate) fn options(segment_bytes: u64, block_bytes: u32) -> Options {
    let usual = Options::new(0xc1, NodeId(7), 0x5eed_5eed_5eed_5eed);
    Options { segment_bytes, block_bytes, ..usual }
}

/// Four sectors a segment, one a block.
pub(crate) fn tiny() -> Options {
    options(4096, 512)
}

/// Opens the log and notes what it shows.
pub(crate) fn open<D: Disk>(
    disk: D,
    options: Options,
) -> Result<(Log<D>, Visited, Recovery), OpenError> {
    let mut visited = Visited::new();
    let (log, recovery) = Log::open(disk, options, &mut |segment, payload| {
        visited.push((segment, payload.to_vec()));
        Ok(())
    })?;
    assert_eq!(recovery.payloads, visited.len() as u64);
    Ok((log, visited, recovery))
}

/// Opens a log that must be fine.
pub(crate) fn open_well<D: Disk>(disk: D, options: Options) -> (Log<D>, Visited, Recovery) {
    open(disk, options).unwrap_or_else(|error| panic!("{error}"))
}

/// The payloads alone.
pub(crate) fn payloads(visited: &Visited) -> Vec<Vec<u8>> {
    visited.iter().map(|(_, payload)| payload.clone()).collect()
}

/// Runs preparations until a spare is ready.
pub(crate) fn prepare<D: Disk>(log: &mut Log<D>) {
    while log.prepare_spare(1 << 20).unwrap() == Preparation::Working {}
}

/// A log with `count` commits of one payload each; answers with the payloads.
pub(crate) fn filled(options: Options, count: u64) -> (MemoryDisk, Log<MemoryDisk>, Vec<Vec<u8>>) {
    let disk = MemoryDisk::new(1);
    let (mut log, _, _) = open_well(disk.clone(), options);
    let mut written = Vec::new();
    for number in 0..count {
        let payload = numbered(number, 20 + (number as usize * 97) % 700);
        log.append(&payload).unwrap();
        log.commit().unwrap();
        written.push(payload);
    }
    (disk, log, written)
}

/// A payload that is like no other.
pub(crate) fn numbered(number: u64, bytes: usize) -> Vec<u8> {
    let mut dice = Dice(number);
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize_with(bytes.max(8), || dice.draw() as u8);
    payload
}

/// The segment files of a disk, oldest first.
pub(crate) fn segment_files(disk: &MemoryDisk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.ends_with(".segment"));
    names
}

/// A random generator (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }
}

//! Opening a damaged log: it is refused, or it shows a gapless run of the commits that begins
//! where it must and lacks at most as many at the end as bits were changed. Never a panic. (If a
//! file is cut, the witnesses of its last commits may be gone with them.)
#![no_main]

use leasehold_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use types::{NodeId, SegmentId};
use wal::{Disk, DiskFile, Log, MemoryDisk, OpenError, Options};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let disk = MemoryDisk::new(u64::from(input.byte()));
    if input.byte() & 7 == 0 {
        arbitrary_file(&disk, input.0);
        let _ = open(&disk);
        return;
    }
    let (commits, oldest) = write(&disk, &mut input);
    let damages = damage(&disk, &mut input);
    // `inspect` is for damaged logs: it reports and goes on.
    let _ = wal::inspect(&disk, &mut |_| {});
    let Ok(shown) = open(&disk) else {
        assert!(damages.any, "an undamaged log is refused");
        return;
    };
    let last = shown.last().map_or(oldest, |last| last + 1);
    let first = shown.first().copied().unwrap_or(last);
    // A release that was noted in a commit that is lost is lost with it.
    assert!(first <= oldest && shown.iter().copied().eq(first..last), "{shown:?} from {oldest}");
    assert!(last <= commits && last + damages.lost_max >= commits, "{last} of {commits}");
});

fn options() -> Options {
    let usual = Options::new(0xc1, NodeId(7), 0x5eed);
    Options { segment_bytes: 4096, block_bytes: 512, ..usual }
}

/// The numbers of the commits that the log shows.
fn open(disk: &MemoryDisk) -> Result<Vec<u64>, OpenError> {
    let mut shown = Vec::new();
    Log::open(disk.clone(), options(), &mut |_, payload| {
        shown.push(number(payload));
        Ok(())
    })?;
    Ok(shown)
}

fn number(payload: &[u8]) -> u64 {
    payload.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
}

/// A few commits; returns how many, and the first that is still live.
fn write(disk: &MemoryDisk, input: &mut Input<'_>) -> (u64, u64) {
    let mut log = Log::open(disk.clone(), options(), &mut |_, _| Ok(())).expect("a new log").0;
    let mut segments: Vec<SegmentId> = Vec::new();
    let mut released = SegmentId(0);
    for _ in 0..input.byte() % 24 {
        let order = input.byte();
        let mut payload = (segments.len() as u64).to_le_bytes().to_vec();
        payload.resize(8 + usize::from(order) * 6, order);
        log.append(&payload).expect("room");
        if order % 16 == 1 && log.current_segment() > SegmentId(1) {
            released = SegmentId(log.current_segment().0 - 1);
            released = log.release(released).map_or(released, |_| released);
        }
        segments.push(log.commit().expect("a commit"));
        if order % 16 == 2 {
            log.prepare_spare(1 << 20).expect("a spare");
        }
    }
    let oldest = segments.iter().take_while(|segment| **segment <= released).count();
    (segments.len() as u64, oldest as u64)
}

/// What was done to the files.
#[derive(Debug, Default)]
struct Damages {
    any: bool,
    /// How many commits may be missing at the end.
    lost_max: u64,
}

/// Changes bits of files, or cuts them.
fn damage(disk: &MemoryDisk, input: &mut Input<'_>) -> Damages {
    let mut names = disk.list().expect("names");
    names.sort_unstable();
    let mut damages = Damages::default();
    for _ in 0..input.byte() % 4 {
        let choice = usize::from(input.byte());
        let Some(name) = names.get(choice % names.len().max(1)) else { break };
        let offset = u64::from(input.short());
        let (damaged, lost) = match choice / 64 {
            0 => (disk.truncate(name, offset), u64::MAX / 8),
            _ => (disk.flip_bit(name, offset, u32::from(input.byte() % 8)), 1),
        };
        damages.any |= damaged;
        damages.lost_max += if damaged { lost } else { 0 };
    }
    damages
}

fn arbitrary_file(disk: &MemoryDisk, bytes: &[u8]) {
    let mut file = disk.create("00000000000000000001.segment").expect("a file");
    file.write_at(0, bytes).expect("room");
    file.sync().expect("a sync");
    disk.sync_directory().expect("a sync");
}

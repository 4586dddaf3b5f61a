//! The node's log as the core sees it: writes under way, the disk's health, and segments on their
//! way to being free.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use types::{Monotonic, Now, SegmentId};

use super::Node;
use crate::histogram::Histogram;
use crate::io::{Event, LogPart, LogReadId, Output, WriteId};
use crate::planted::Planting;
use crate::record::Record;
use crate::shard::Shard;

/// Bytes of images that are written in one turn to free a segment.
const IMAGE_BYTES_PER_TURN: usize = 256 << 10;
/// How long the disk may be idle before it is asked for a sign of life.
const PROBE_AFTER: Duration = Duration::from_millis(300);

/// Segments that the log may have on a disk that is nearly full, however small the data are.
const SEGMENTS_ON_SHORT_DISK: u64 = 4;

/// So many writes in a row tell how fast the disk is: the fastest of them counts, since a large
/// write takes long on any disk.
const RECENT_WRITES: usize = 5;

/// What is on its way to the disk.
pub(super) struct Storage {
    next: WriteId,
    /// The write that is not durable yet, when it was begun, and whose it is. There is one at a
    /// time: what comes meanwhile makes the next, so under load one sync serves more.
    under_way: Option<UnderWay>,
    /// Shards that have added to the write in preparation.
    shards: Vec<usize>,
    /// Shards whose clients' operations wait for the write to be durable.
    gathering: Vec<usize>,
    last_durable: Monotonic,
    writes: WriteTimes,
    /// Bytes appended since the start.
    appended: u64,
    stalled: bool,
    newest: SegmentId,
    /// The oldest segment that is needed, or that what is being written needs.
    oldest: SegmentId,
    /// How long the log is, and from which segment on, as it was said last.
    length: (SegmentId, u64),
    reclaiming: Option<Reclaiming>,
    emptied: Option<Emptied>,
    release: Option<SegmentId>,
}

/// How long writes took from being asked for to being durable.
#[derive(Default)]
struct WriteTimes {
    count: u64,
    last: Duration,
    total: Duration,
    /// The newest ones.
    recent: [Duration; RECENT_WRITES],
    /// Those since the last report.
    window: Histogram,
}

struct UnderWay {
    write: WriteId,
    begun: Monotonic,
    shards: Vec<usize>,
}

/// Figures of the node for INFO.
pub(crate) struct Figures {
    /// Requests that wait for a holder.
    pub(crate) parked: usize,
    /// Requests of own clients that are at other nodes.
    pub(crate) forwarded: usize,
    pub(crate) disk_stalled: bool,
    pub(crate) disk_writes: u64,
    pub(crate) disk_writes_under_way: usize,
    pub(crate) disk_write_last: Duration,
    pub(crate) disk_write_mean: Duration,
}

/// A segment that is being emptied.
struct Reclaiming {
    target: SegmentId,
    /// Shards that still need something in it.
    shards: Vec<usize>,
}

/// Segments of which nothing is needed any more once a write is durable.
struct Emptied {
    write: WriteId,
    /// The newest of them.
    upto: SegmentId,
}

impl Storage {
    pub(super) fn new(now: Monotonic) -> Self {
        Self {
            next: WriteId(1),
            under_way: None,
            shards: Vec::new(),
            gathering: Vec::new(),
            last_durable: now,
            writes: WriteTimes::default(),
            appended: 0,
            stalled: false,
            newest: SegmentId(0),
            oldest: SegmentId(0),
            length: (SegmentId(0), 0),
            reclaiming: None,
            emptied: None,
            release: None,
        }
    }

    /// Notes how far the log goes, and how long it is.
    pub(super) fn note_length(&mut self, oldest: SegmentId, bytes: u64) {
        // It may be about a moment before the last release.
        self.oldest = self.oldest.max(oldest);
        self.length = (oldest, bytes);
    }

    /// How long the log would be without what is to be released by now. A segment counts as long
    /// as the settings say; one that was begun with a larger write is longer.
    fn bytes_needed(&self, segment_bytes: u64) -> u64 {
        let (from, bytes) = self.length;
        let freed = self.first_needed().0.saturating_sub(from.0);
        bytes.saturating_sub(freed.saturating_mul(segment_bytes))
    }

    /// The oldest segment that is still to be emptied.
    fn first_needed(&self) -> SegmentId {
        let emptied = self.emptied.as_ref().map_or(SegmentId(0), |emptied| emptied.upto.next());
        self.oldest.max(emptied)
    }

    /// What was written again is durable: the segments that it was in are free. They count as such
    /// at once. Were they asked for before the log says the same, with the next write, they would
    /// be emptied twice, and each segment would take twice as long.
    fn release(&mut self, emptied: &Emptied) -> impl Iterator<Item = SegmentId> + use<> {
        let freed = self.oldest.0..=emptied.upto.0;
        self.oldest = self.oldest.max(emptied.upto.next());
        self.release = Some(emptied.upto);
        freed.map(SegmentId)
    }

    pub(super) fn next_write(&self) -> WriteId {
        self.next
    }

    pub(super) fn note_shard(&mut self, at: usize) {
        self.shards.push(at);
    }

    /// Whether a write is on its way.
    pub(super) fn has_write(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether a write is on its way to a disk that answers.
    pub(super) fn is_writing(&self) -> bool {
        self.under_way.is_some() && !self.stalled
    }

    pub(super) fn note_gathering(&mut self, at: usize) {
        self.gathering.push(at);
    }

    /// Begins the write that was prepared, unless there is nothing in it or another is under way.
    pub(super) fn begin_write(&mut self, now: Monotonic, bytes: usize) -> Option<WriteId> {
        if self.under_way.is_some() {
            return None;
        }
        let mut shards = core::mem::take(&mut self.shards);
        if bytes == 0 {
            return None;
        }
        shards.sort_unstable();
        shards.dedup();
        let write = self.next;
        self.next = WriteId(write.0 + 1);
        self.appended += bytes as u64;
        self.under_way = Some(UnderWay { write, begun: now, shards });
        Some(write)
    }

    /// A write is durable; nobody waits for it.
    pub(super) fn end_write(&mut self, write: WriteId) {
        self.under_way.take_if(|done| done.write <= write);
    }

    /// Bytes appended to the log since the start.
    pub(super) fn appended(&self) -> u64 {
        self.appended
    }

    /// The 99th percentile of the writes' times since this was asked last.
    pub(super) fn take_fsync_p99(&mut self) -> Duration {
        core::mem::take(&mut self.writes.window).percentile(990)
    }

    /// How long the disk takes for a sync at least; zero until that is known.
    pub(super) fn sync_time(&self) -> Duration {
        self.writes.recent.iter().min().copied().unwrap_or_default()
    }

    pub(super) fn take_release(&mut self) -> Option<Output> {
        self.release.take().map(|segment| Output::Release { segment })
    }
}

impl WriteTimes {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.last = time;
        self.total = self.total.saturating_add(time);
        self.window.record(time);
        self.recent.rotate_right(1);
        self.recent[0] = time;
    }

    fn mean(&self) -> Duration {
        let nanos = self.total.as_nanos().checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Node {
    /// What waits at the moment, and how the disk does.
    pub(crate) fn figures(&self) -> Figures {
        let parked: usize = self.shards.iter().map(Shard::parked).sum();
        Figures {
            parked: parked + self.homeless.len(),
            forwarded: self.forwards.len(),
            disk_stalled: self.storage.stalled,
            disk_writes: self.storage.writes.count,
            disk_writes_under_way: usize::from(self.storage.under_way.is_some()),
            disk_write_last: self.storage.writes.last,
            disk_write_mean: self.storage.writes.mean(),
        }
    }

    pub(super) fn on_persisted(&mut self, now: Now, write: WriteId, segment: SegmentId) {
        self.storage.last_durable = now.monotonic;
        let moved = segment != self.storage.newest;
        self.storage.newest = segment;
        if let Some(done) = self.storage.under_way.take_if(|done| done.write <= write) {
            self.storage.writes.add(now.monotonic.since(done.begun));
            for at in done.shards {
                if let Some(shard) = self.shards.get_mut(at) {
                    shard.persisted(&mut self.world.env(now), done.write, segment);
                }
                self.touch(at);
            }
        }
        if let Some(under_way) = &mut self.storage.under_way {
            // A part of it is durable: the disk answers.
            under_way.begun = now.monotonic;
        }
        self.end_gathering();
        self.take_part(now, write);
        if moved {
            for shard in &mut self.shards {
                shard.log_moved_to(segment);
            }
        }
        if let Some(emptied) = self.storage.emptied.take_if(|emptied| emptied.write <= write) {
            for segment in self.storage.release(&emptied) {
                self.world.effects.events.push(Event::SegmentReleased { segment });
            }
        }
    }

    /// What is prepared counts as durable, without having been written: a rule that tests break.
    pub(super) fn pretend_persisted(&mut self, now: Now) {
        let mut shards = core::mem::take(&mut self.storage.shards);
        if self.storage.under_way.is_some() {
            return;
        }
        shards.sort_unstable();
        shards.dedup();
        let (write, segment) = (self.storage.next, self.storage.newest);
        self.storage.next = WriteId(write.0 + 1);
        self.storage.under_way = Some(UnderWay { write, begun: now.monotonic, shards });
        self.on_persisted(now, write, segment);
    }

    /// Whether the disk answers: a node that can't persist can't make progress, and must not keep
    /// its leases (rule R29, cockroach#41691). An idle disk is asked now and then.
    pub(super) fn check_disk(&mut self, now: Now) -> bool {
        let patience = self.world.settings.support_duration / 2;
        let storage = &mut self.storage;
        let oldest = storage.under_way.as_ref().map(|write| write.begun);
        let stalled = oldest.is_some_and(|begun| now.monotonic.since(begun) > patience);
        if stalled && !storage.stalled {
            self.world.effects.events.push(Event::DiskStalled);
        }
        storage.stalled = stalled;
        if oldest.is_none() && now.monotonic.since(storage.last_durable) > PROBE_AFTER {
            Record::Probe.encode(self.world.effects.payload.tail());
        }
        if stalled {
            self.end_gathering();
        }
        !stalled
    }

    /// What clients asked for meanwhile becomes entries with this turn.
    fn end_gathering(&mut self) {
        for at in core::mem::take(&mut self.storage.gathering) {
            self.touch(at);
        }
    }

    /// Empties the oldest segments when the log has grown beyond what it may be: as many with one
    /// write as there is room for, since a write may begin a segment of its own.
    pub(super) fn continue_reclaiming(&mut self, now: Now) {
        if self.storage.under_way.is_some() {
            return;
        }
        let budget = self.world.effects.payload.len() + IMAGE_BYTES_PER_TURN;
        while self.storage.reclaiming.is_some()
            || self.log_is_long() && !self.holds(self.storage.first_needed())
        {
            if !self.empty_segment(now, budget) || self.world.effects.payload.len() >= budget {
                break;
            }
        }
        if self.storage.emptied.is_some() {
            // What the node itself must remember may lie there, too.
            self.remember();
        }
    }

    /// Goes on with a segment, until the payload has grown to `budget` bytes. Says whether nothing
    /// in it is needed any more, once the write in preparation is durable.
    fn empty_segment(&mut self, now: Now, budget: usize) -> bool {
        let target = self.storage.first_needed();
        let all = 0..self.shards.len();
        let begin = || Reclaiming { target, shards: all.collect() };
        let reclaiming = self.storage.reclaiming.get_or_insert_with(begin);
        let effects = &mut self.world.effects;
        let (target, now) = (reclaiming.target, now.monotonic);
        let (shards, unfinished) = (&mut self.shards, &mut self.unfinished);
        reclaiming.shards.retain(|&at| {
            let Some(shard) = shards.get_mut(at) else { return false };
            let waits = effects.payload.len() >= budget
                || !shard.leave_segments(now, target, effects, budget);
            if shard.is_unfinished() {
                // What was given up for it is to be freed, even if nothing else comes.
                unfinished.push(at);
            }
            waits
        });
        if !reclaiming.shards.is_empty() {
            return false;
        }
        self.storage.reclaiming = None;
        self.storage.emptied = Some(Emptied { write: self.storage.next, upto: target });
        true
    }

    /// Whether a segment stays although the log is long: a catch-up under way or a live follower
    /// needs entries in it, and neither the log nor the disk is full for that.
    fn holds(&self, target: SegmentId) -> bool {
        let most = self.log_budget();
        self.log_bytes() <= most + most / 2
            && !self.world.room.disk_is_short()
            && !self.world.settings.breaks(Planting::FreeNeededLog)
            && self.shards.iter().any(|shard| shard.needs_log_of(target))
    }

    /// How long the log is, but for what is freed already.
    fn log_bytes(&self) -> u64 {
        let (storage, settings) = (&self.storage, &self.world.settings);
        if settings.breaks(Planting::LogBySegments) {
            let segments = storage.newest.0.saturating_sub(storage.first_needed().0);
            return segments.saturating_mul(settings.segment_bytes);
        }
        storage.bytes_needed(settings.segment_bytes)
    }

    /// Asked in every turn, so it must be cheap.
    fn log_is_long(&self) -> bool {
        let bytes = self.log_bytes();
        bytes > self.log_at_least()
            && bytes > self.log_budget()
            && self.storage.newest > self.storage.first_needed()
    }

    /// What the log may have. It must have room for every slot's image and for as much again in
    /// entries, or the same images would be written over and over.
    fn log_budget(&self) -> u64 {
        let live: u64 = self.shards.iter().map(Shard::live_bytes).sum();
        live.saturating_mul(2).max(self.log_at_least())
    }

    /// What the log may have in any case: what the settings say, while the disk has room for that.
    fn log_at_least(&self) -> u64 {
        let settings = &self.world.settings;
        if self.world.room.disk_is_short() && !settings.breaks(Planting::LongLogOnShortDisk) {
            SEGMENTS_ON_SHORT_DISK.saturating_mul(settings.segment_bytes)
        } else {
            settings.log_bytes
        }
    }

    /// What was asked for of the log has been read.
    pub(super) fn on_log_read(&mut self, now: Now, id: LogReadId, part: Result<LogPart, String>) {
        let Some(at) = self.local(id.shard) else { return };
        if let Some(shard) = self.shards.get_mut(at) {
            shard.on_log_read(&mut self.world.env(now), id.number, part);
        }
        self.touch(at);
    }

    /// What is to be read of the log.
    pub(super) fn take_log_reads(&mut self) -> impl Iterator<Item = Output> + use<> {
        let bytes = self.world.settings.log_read_bytes();
        let reads = core::mem::take(&mut self.world.effects.log_reads);
        reads.into_iter().map(move |(id, place)| Output::ReadLog { id, place, bytes })
    }
}

//! One machine: its clocks, its disk, and the process that may run on it.
//!
//! The process is the real core and the real log. What is modelled is the shell around them: a
//! log thread that gathers while it waits for the disk, an inbox, and connections of clients.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cluster::{
    LogPart, LogPlace, LogReadId, Node, Payload, Persisted, Planting, Recovered, Recovery,
    Settings, Start, WriteId,
};
use types::{DirectoryId, Incarnation, Life, NodeId, Now, SessionId};
use wal::{
    Commits, Disk, DiskFile, Fault, Finding, Log, LogError, MemoryDisk, MetaFile, Options,
    Preparation, VisitError, segment_name,
};

use crate::clock::Clock;
use crate::random::Random;
use crate::world::MILLISECOND;

/// Bytes of a segment to come that are written between two commits.
const PREPARE_STEP_BYTES: u64 = 512 << 10;
/// Bytes of a payload that may belong together: an entry.
pub(crate) const UNPARTED_BYTES: usize = 1 << 20;
/// The log's identity of the simulated cluster.
const CLUSTER: u64 = 0x51;

/// How a disk behaves.
#[derive(Clone, Debug)]
pub struct DiskProfile {
    /// Shortest time of a commit, in nanoseconds.
    pub delay: u64,
    /// What is added at random, in nanoseconds.
    pub jitter: u64,
    /// Commits in a thousand that take fifty times as long.
    pub slow_permille: u64,
    /// Reads of the log in a thousand that fail, but for those of a start.
    pub unreadable_permille: u64,
}

impl DiskProfile {
    /// A disk without chance, for runs that are told step by step.
    pub(crate) fn without_chance() -> Self {
        Self { delay: MILLISECOND, jitter: 0, slow_permille: 0, unreadable_permille: 0 }
    }
}

/// A client's connection as the process sees it.
#[derive(Debug)]
pub(crate) struct ClientLink {
    pub(crate) session: SessionId,
    pub(crate) paused: bool,
    /// Requests that the core does not take at the moment.
    pub(crate) held: VecDeque<Vec<Vec<u8>>>,
}

/// What has arrived at a process and was not looked at.
#[derive(Debug)]
pub(crate) enum Arrival {
    Message { from: NodeId, bytes: Vec<u8>, urgent: bool },
    PeerUp(NodeId),
    PeerDown(NodeId),
    Persisted(Persisted),
    DiskSpace(u64),
    LogRead { id: LogReadId, part: Result<LogPart, String> },
    Connect { connection: u64 },
    Request { connection: u64, args: Vec<Vec<u8>> },
    Hangup { connection: u64 },
    Stop,
}

/// A running process.
pub(crate) struct Process {
    pub(crate) node: Node,
    pub(crate) log: Log<MemoryDisk>,
    pub(crate) inbox: VecDeque<Arrival>,
    /// When its last turn ends.
    pub(crate) busy_until: u64,
    /// Whether a turn is on the schedule.
    pub(crate) turn_due: bool,
    /// The wake-up that counts; older ones are void.
    pub(crate) wake: u64,
    pub(crate) wake_at: u64,
    /// From so many bytes on a request is handed over in the bytes that it came in.
    pub(crate) long_bytes: usize,
    /// Writes that were asked for since the commit under way began.
    pub(crate) gathered: Vec<(WriteId, Payload)>,
    /// The newest write of the commit under way.
    pub(crate) committing: Option<WriteId>,
    /// The commit under way is done, but the process is paused.
    pub(crate) commit_due: bool,
    pub(crate) links: BTreeMap<u64, ClientLink>,
    pub(crate) connections: BTreeMap<SessionId, u64>,
    /// What it was told last of how far its log may grow.
    pub(crate) told_space: u64,
    /// Turns without an input in a row, each due at once, to notice a process that spins.
    pub(crate) idle_turns: u32,
}

/// Why a process does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartError(pub(crate) String);

/// A disk as it was.
pub(crate) struct DiskCopy {
    disk: MemoryDisk,
    /// Processes and commits until then.
    life: u64,
    commits: u64,
}

pub(crate) struct Machine {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) disk: MemoryDisk,
    /// A copy of it, from an earlier moment.
    pub(crate) copy: Option<DiskCopy>,
    /// Commits of all its processes.
    pub(crate) commits: u64,
    /// It has taken part in founding the cluster, and its disk knows that.
    pub(crate) founded: bool,
    /// It runs on an old copy, and its process has not said so yet.
    pub(crate) went_back: bool,
    /// Its disk is not what it was, and it may refuse to start.
    pub(crate) rotten: bool,
    pub(crate) disk_profile: DiskProfile,
    /// Until when the disk does not answer.
    pub(crate) stalled_until: u64,
    /// Its disk has had an end, so that its process is told how far the log may grow.
    pub(crate) disk_is_bounded: bool,
    /// The next sync fails.
    pub(crate) failing: bool,
    /// So many reads of the log to come fail.
    pub(crate) failing_reads: u64,
    /// Counts processes; events for earlier ones are void.
    pub(crate) life: u64,
    pub(crate) process: Option<Process>,
    pub(crate) paused: bool,
    /// The virtual machine was stopped, and its process has not run since: whatever it believes
    /// of its leases, it has told nobody.
    pub(crate) asleep: bool,
    pub(crate) random: Random,
    /// How often longer than it should its work takes.
    pub(crate) slowness: u64,
    /// Rules that the shell breaks on purpose.
    pub(crate) forget_promises: bool,
    pub(crate) early_persisted: bool,
    pub(crate) ignore_witness: bool,
    /// How much longer its process waits for the processor, from and to.
    pub(crate) turn_wait: (u64, u64),
    /// It does not start.
    pub(crate) is_kept_off: bool,
    /// Whether clients know of it: it is a member, or about to become one.
    pub(crate) serves: bool,
    /// The nodes of the cluster, as its process says.
    pub(crate) members: Vec<NodeId>,
}

impl Machine {
    pub(crate) fn new(
        settings: Settings,
        clock: Clock,
        disk_profile: DiskProfile,
        mut random: Random,
    ) -> Self {
        Self {
            clock,
            disk: MemoryDisk::new(random.draw()),
            copy: None,
            commits: 0,
            founded: false,
            went_back: false,
            rotten: false,
            disk_profile,
            stalled_until: 0,
            disk_is_bounded: false,
            failing: false,
            failing_reads: 0,
            life: 0,
            process: None,
            paused: false,
            asleep: false,
            random,
            slowness: 1,
            forget_promises: settings.breaks(Planting::ForgetPromises),
            early_persisted: settings.breaks(Planting::EarlyPersisted),
            ignore_witness: settings.breaks(Planting::IgnoreWitness),
            settings,
            turn_wait: (0, 0),
            is_kept_off: false,
            serves: true,
            members: Vec::new(),
        }
    }

    /// Starts a process on what the disk holds.
    pub(crate) fn start(&mut self, now: Now) -> Result<(), StartError> {
        self.life += 1;
        let mut start = self.begin_life()?;
        let mut recovery = Recovery::new(u64::from(self.settings.node.0));
        let options = Options {
            segment_bytes: self.settings.segment_bytes,
            block_bytes: 512,
            ..Options::new(CLUSTER, self.settings.node, self.random.draw())
        };
        let mut absorb = |segment, payload: &[u8]| {
            recovery.absorb(segment, payload).map_err(|error| VisitError(format!("{error:?}")))
        };
        if self.ignore_witness {
            // It may not have been written yet.
            let _ = self.disk.remove("witness");
        }
        let (log, _) = Log::open(self.disk.clone(), options, &mut absorb)
            .map_err(|error| StartError(error.to_string()))?;
        let broken = |error: cluster::RecordError| StartError(format!("{error:?}"));
        start.log_end = log.sequence();
        let recovered = recovery.finish(start).map_err(broken)?;
        if recovered.start() != start {
            // The directory had gone back in time, and goes on as another one.
            self.note_start(&recovered.start())?;
        }
        let node = self.make_node(recovered, now).map_err(broken)?;
        self.process = Some(Process {
            node,
            log,
            inbox: VecDeque::new(),
            busy_until: 0,
            turn_due: false,
            wake: 0,
            wake_at: u64::MAX,
            long_bytes: self.settings.long_bytes,
            gathered: Vec::new(),
            committing: None,
            commit_due: false,
            links: BTreeMap::new(),
            connections: BTreeMap::new(),
            told_space: u64::MAX,
            idle_turns: 0,
        });
        Ok(())
    }

    fn make_node(&mut self, recovered: Recovered, now: Now) -> Result<Node, cluster::RecordError> {
        let mut node = Node::new(self.settings.clone(), recovered, self.random.draw(), now)?;
        node.trace_reads(true);
        Ok(node)
    }

    /// Whether the disk is not what it was, in a way that salvage may not see.
    pub(crate) fn deceives_salvage(&self) -> bool {
        self.went_back || self.rotten || self.ignore_witness
    }

    /// What salvage finds on the disk if the power fails now; `None` if there is nothing.
    ///
    /// # Errors
    /// If a sound disk can't be read.
    pub(crate) fn salvaged_disk(&self, seed: u64) -> Result<Option<Recovered>, String> {
        let disk = self.disk.fork(seed);
        disk.crash();
        let meta = MetaFile::new(disk.clone()).read().map_err(|error| error.to_string())?;
        let Some(meta) = meta else { return Ok(None) };
        let mut recovery = Recovery::new(seed);
        let options = Options::new(CLUSTER, self.settings.node, 0);
        let mut absorb = |segment, payload: &[u8]| {
            recovery.absorb(segment, payload).map_err(|error| VisitError(format!("{error:?}")))
        };
        let reading = wal::read(&disk, &options, &mut absorb).map_err(|error| error.to_string())?;
        if let Some(damage) = reading.damage {
            return Err(damage.to_string());
        }
        let start = Start {
            incarnation: Incarnation(number_in(&meta, 0)),
            directory: DirectoryId(number_in(&meta, 16) as u32),
            log_end: reading.sequence,
            ..Start::default()
        };
        let mut recovered = recovery.finish(start).map_err(|error| format!("{error:?}"))?;
        recovered.break_rules(self.settings.planted);
        Ok(Some(recovered))
    }

    /// Raises the incarnation, durably, and says what the node may have promised before.
    fn begin_life(&mut self) -> Result<Start, StartError> {
        let meta = MetaFile::new(self.disk.clone());
        let broken = |error: wal::MetaError| StartError(error.to_string());
        let before = meta.read().map_err(broken)?.unwrap_or_else(|| {
            // A new directory's first start comes after all of the lost one's. A server takes the
            // seconds of its clock; here clocks are set back at will.
            let mut first = (self.life - 1).to_le_bytes().to_vec();
            first.extend(0u64.to_le_bytes());
            first.extend((self.random.draw() | 1).to_le_bytes());
            first
        });
        let promise = Duration::from_nanos(number_in(&before, 8));
        let start = Start {
            incarnation: Incarnation(number_in(&before, 0) + 1),
            life: self.nonce(),
            directory: DirectoryId(number_in(&before, 16) as u32),
            longest_promise: promise.max(self.settings.support_duration),
            log_end: 0,
        };
        self.note_start(&start)?;
        let forgets = self.forget_promises;
        let longest_promise = if forgets { Duration::ZERO } else { start.longest_promise };
        Ok(Start { longest_promise, ..start })
    }

    /// A number that no other process of the run has. Not drawn, so that a run goes on as it did
    /// without it.
    fn nonce(&self) -> Life {
        let number = u64::from(self.settings.node.0) << 32 | self.life;
        Life(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Writes down which start this is.
    fn note_start(&self, start: &Start) -> Result<(), StartError> {
        let promise = start.longest_promise.max(self.settings.support_duration);
        let mut content = start.incarnation.0.to_le_bytes().to_vec();
        content.extend((promise.as_nanos() as u64).to_le_bytes());
        content.extend(u64::from(start.directory.0).to_le_bytes());
        let meta = MetaFile::new(self.disk.clone());
        meta.write(&content).map_err(|error| StartError(error.to_string()))
    }

    /// The disk is lost and a new one put in its place. The process must not be running.
    pub(crate) fn wipe(&mut self) {
        self.disk = MemoryDisk::new(self.random.draw());
        self.went_back = false;
    }

    /// The last commits of the log turn into zeroes. The process must not be running.
    pub(crate) fn zero_tail(&mut self, commits: usize) {
        let mut found = Vec::new();
        let mut length = 0;
        let inspected = wal::inspect(&self.disk, &mut |finding| match finding {
            Finding::Segment { file_bytes, .. } => length = file_bytes,
            Finding::Commit { segment, offset, .. } => found.push((segment, offset, length)),
            Finding::Spare { .. }
            | Finding::UnknownVersion { .. }
            | Finding::Payload { .. }
            | Finding::Unreadable { .. }
            | Finding::Gap { .. } => {}
        });
        inspected.expect("a disk in memory can be read");
        for (segment, offset, length) in found.into_iter().rev().take(commits) {
            let mut file =
                self.disk.open(&segment_name(segment)).expect("the segment was just read");
            let zeroes = vec![0; (length - offset) as usize];
            file.write_at(offset, &zeroes).expect("the file has room");
        }
    }

    pub(crate) fn copy_disk(&mut self) {
        let copy = self.disk.fork(self.random.draw());
        copy.crash();
        self.copy = Some(DiskCopy { disk: copy, life: self.life, commits: self.commits });
    }

    /// Whether the copy lacks what a process has written since.
    pub(crate) fn copy_is_old(&self) -> bool {
        let now = (self.life, self.commits);
        self.copy.as_ref().is_some_and(|copy| (copy.life, copy.commits) != now)
    }

    /// The copy stays, to be put back again. The process must not be running.
    pub(crate) fn put_disk_back(&mut self) {
        if let Some(copy) = &self.copy {
            self.disk = copy.disk.fork(self.nonce().0);
        }
    }

    /// Time of the next commit, in nanoseconds.
    pub(crate) fn commit_time(&mut self) -> u64 {
        let profile = &self.disk_profile;
        let time = profile.delay + self.random.between(0, profile.jitter);
        if self.random.permille(profile.slow_permille) { time * 50 } else { time }
    }

    /// Reads some of the log again, as it is at this moment.
    pub(crate) fn read_log(&mut self, place: LogPlace, bytes: usize) -> Result<LogPart, String> {
        let fails = self.random.permille(self.disk_profile.unreadable_permille);
        if fails || self.failing_reads > 0 {
            self.failing_reads = self.failing_reads.saturating_sub(1);
            self.disk.fail_next(Fault::Read);
        }
        let read = wal::read_commits(&self.disk, place.segment, place.offset, bytes);
        let Commits { payloads, next, ends } = read.map_err(|error| error.to_string())?;
        Ok(LogPart { payloads, next, ends })
    }

    /// Ends the process without a warning. `power`: the machine's page cache is lost, too.
    pub(crate) fn kill(&mut self, power: bool) {
        let Some(mut process) = self.process.take() else { return };
        self.paused = false;
        self.asleep = false;
        if process.committing.is_some() {
            // The write under way happens in part, or as a whole without anybody knowing.
            self.disk.power_off_at(self.random.between(1, 3));
            // Fails or not: the process does not live to see it.
            let _ = process.log.commit();
        }
        drop(process);
        if power {
            self.disk.crash();
        } else {
            self.disk.kill_process();
        }
    }

    /// Ends the process in good order.
    pub(crate) fn end(&mut self) {
        if let Some(process) = &mut self.process {
            for (_, payload) in process.gathered.drain(..) {
                // What can't be written at the end is as good as never asked for.
                let _ = process.log.append_with(payload.bytes(), payload.long());
            }
            let _ = process.log.seal();
        }
        self.process = None;
        self.paused = false;
        self.disk.kill_process();
    }

    /// Begins the next commit if something waits for one. Says how long it takes, and what may be
    /// called durable before it is, if that rule is broken on purpose.
    ///
    /// # Errors
    /// If the log does not take a payload: the core must not ask for what can't be written.
    pub(crate) fn begin_commit(&mut self) -> Result<Option<(u64, Option<Arrival>)>, LogError> {
        let Some(process) = self.process.as_mut() else { return Ok(None) };
        if process.committing.is_some() || process.gathered.is_empty() {
            return Ok(None);
        }
        let mut newest = WriteId(0);
        for (write, payload) in process.gathered.drain(..) {
            if payload.len() > self.settings.persist_bytes + UNPARTED_BYTES {
                return Err(LogError::TooLarge { bytes: payload.len() });
            }
            process.log.append_with(payload.bytes(), payload.long())?;
            newest = write;
        }
        process.committing = Some(newest);
        let early = Arrival::Persisted(Persisted {
            write: newest,
            segment: process.log.current_segment(),
            oldest: process.log.oldest_segment(),
            log_bytes: process.log.bytes(),
            log_end: process.log.sequence() + 1,
        });
        let early = self.early_persisted.then_some(early);
        Ok(Some((self.commit_time(), early)))
    }

    /// How far the log may grow, if that is news to the process.
    pub(crate) fn news_of_space(&mut self) -> Option<Arrival> {
        let process = self.process.as_mut()?;
        let space = process.log.space().ok()?;
        let is_news = space != core::mem::replace(&mut process.told_space, space);
        is_news.then_some(Arrival::DiskSpace(space))
    }

    /// Ends the commit under way.
    pub(crate) fn finish_commit(&mut self) -> Commit {
        match self.try_commit() {
            Ok(durable) => Commit::Durable(durable),
            Err(error) if error.is_disk_full() => Commit::Waits,
            Err(_) => Commit::Failed,
        }
    }

    fn try_commit(&mut self) -> Result<Arrival, LogError> {
        if self.failing {
            self.failing = false;
            self.disk.fail_next(Fault::Sync);
        }
        let process = self.process.as_mut().expect("a commit belongs to a process");
        let segment = process.log.commit()?;
        let write = process.committing.take().expect("there is a write to be committed");
        let log_end = process.log.sequence();
        self.commits += 1;
        if self.random.permille(10) {
            unless_full(process.log.seal())?;
        }
        while unless_full(process.log.prepare_spare(PREPARE_STEP_BYTES))?
            == Some(Preparation::Working)
        {}
        let (oldest, log_bytes) = (process.log.oldest_segment(), process.log.bytes());
        Ok(Arrival::Persisted(Persisted { write, segment, oldest, log_bytes, log_end }))
    }
}

/// What has become of a commit.
#[derive(Debug)]
pub(crate) enum Commit {
    Durable(Arrival),
    /// The disk is full: it is tried again.
    Waits,
    /// The process is dead.
    Failed,
}

fn unless_full<T>(result: Result<T, LogError>) -> Result<Option<T>, LogError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_disk_full() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A number in a meta file.
fn number_in(meta: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&meta[at..at + 8]);
    u64::from_le_bytes(bytes)
}

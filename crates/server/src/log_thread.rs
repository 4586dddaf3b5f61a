//! The thread that owns the write-ahead log: the only one that waits for the disk.
//!
//! It commits what it is asked for with one write and one sync, and says how far the log is
//! durable; what comes meanwhile gathers in the core. In idle moments it prepares the segments to
//! come, a small step at a time, and makes the witness of the last commit durable.
//!
//! A disk that fails ends the process at once: what a failed sync has stored is unknowable, and
//! the other replicas go on without this node.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cluster::{Payload, Persisted, WriteId};
use mio::Waker;
use types::{Monotonic, SegmentId};
use wal::{Log, LogError, OsDisk, Preparation};

use crate::{clock, exit};

/// How often the free disk space is looked at, and how long an idle log waits before its witness.
const HOUSEKEEPING_TIME: Duration = Duration::from_secs(1);
/// How long nothing must have been asked of the log before it prepares a segment to come.
const IDLE_TIME: Duration = Duration::from_millis(20);
/// How long a commit waits that has found the disk full, before it is tried again.
const FULL_DISK_WAIT: Duration = Duration::from_millis(100);
/// Bytes of a segment to come that are written at a time.
const PREPARE_STEP_BYTES: u64 = 512 << 10;

/// What the thread is asked to do.
#[derive(Debug)]
enum Order {
    Append { write: WriteId, payload: Payload },
    Release { segment: SegmentId },
}

/// What the thread has to say. Only the newest of each counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct News {
    /// Writes that have become durable.
    pub(crate) durable: Option<Persisted>,
    /// How far the log may grow before the disk is full, if that has changed.
    pub(crate) space: Option<u64>,
}

/// The log's figures, as of the last second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LogFigures {
    /// Bytes that the log's files take on the disk.
    pub(crate) log_bytes: u64,
    /// Bytes that are free on the disk.
    pub(crate) disk_free_bytes: u64,
}

/// What the thread leaves for others to pick up.
#[derive(Debug, Default)]
struct Shared {
    news: News,
    figures: LogFigures,
}

/// The other threads' end of the log thread.
#[derive(Debug)]
pub(crate) struct LogThread {
    orders: Sender<Order>,
    shared: Arc<Mutex<Shared>>,
    thread: JoinHandle<()>,
}

impl LogThread {
    /// Gives the log to a new thread. `waker` is woken when there is news.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(crate) fn start(log: Log<OsDisk>, waker: Arc<Waker>) -> io::Result<Self> {
        let (orders, receiver) = mpsc::channel();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let worker = Worker {
            log,
            orders: receiver,
            shared: Arc::clone(&shared),
            waker,
            told: None,
            waits: false,
            next_housekeeping: Monotonic::default(),
        };
        let thread = thread::Builder::new().name("log".into()).spawn(move || worker.run())?;
        Ok(Self { orders, shared, thread })
    }

    /// Asks for a payload to become durable. Writes become durable in the order of asking.
    pub(crate) fn append(&self, write: WriteId, payload: Payload) {
        self.order(Order::Append { write, payload });
    }

    /// Says that nothing live is left in the segments up to this one.
    pub(crate) fn release(&self, segment: SegmentId) {
        self.order(Order::Release { segment });
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("the log thread ends only with the process");
    }

    /// What the thread has had to say since the last call.
    pub(crate) fn take_news(&self) -> News {
        std::mem::take(&mut lock(&self.shared).news)
    }

    /// The log's figures.
    pub(crate) fn figures(&self) -> LogFigures {
        lock(&self.shared).figures
    }

    /// Waits until everything that was asked for is durable and ends the thread.
    pub(crate) fn stop(self) {
        drop(self.orders);
        // A thread that panicked has said so.
        let _ = self.thread.join();
    }
}

struct Worker {
    log: Log<OsDisk>,
    orders: Receiver<Order>,
    shared: Arc<Mutex<Shared>>,
    waker: Arc<Waker>,
    /// What has been told of how far the log may grow.
    told: Option<u64>,
    /// A commit has found the disk full.
    waits: bool,
    next_housekeeping: Monotonic,
}

impl Worker {
    fn run(mut self) {
        let mut preparing = true;
        self.check_disk_space();
        loop {
            let patience = if preparing { IDLE_TIME } else { HOUSEKEEPING_TIME };
            match self.orders.recv_timeout(patience) {
                Ok(order) => {
                    self.carry_out(order);
                    // Zeroes are written in idle moments only: beside commits they would take
                    // more of the disk than the commits do. A log that is never idle reserves
                    // its next segment when it begins it.
                    preparing = true;
                    continue;
                }
                Err(RecvTimeoutError::Timeout) if preparing => survive(self.log.sync_witness()),
                Err(RecvTimeoutError::Timeout) => self.seal(),
                Err(RecvTimeoutError::Disconnected) => return self.seal(),
            }
            if preparing {
                preparing = self.prepare();
            }
            self.check_disk_space();
        }
    }

    /// Carries out an order. The core asks for one write at a time, so each is a commit.
    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Append { write, payload } => {
                survive(self.log.append_with(payload.bytes(), payload.long()));
                drop(payload);
                let segment = self.commit(write);
                let durable = self.durable(write, segment);
                let space = self.news_of_space();
                self.tell(|news| {
                    news.durable = Some(durable);
                    news.space = space.or(news.space);
                });
            }
            Order::Release { segment } => {
                survive(self.log.release(segment));
            }
        }
    }

    /// The log as it is, durable up to a write in this segment.
    fn durable(&self, write: WriteId, segment: SegmentId) -> Persisted {
        Persisted {
            write,
            segment,
            oldest: self.log.oldest_segment(),
            log_bytes: self.log.bytes(),
            log_end: self.log.sequence(),
        }
    }

    /// Makes durable what was appended. On a full disk it waits for space, and the node with it:
    /// other nodes serve its shards meanwhile, and it goes on where it was.
    fn commit(&mut self, write: WriteId) -> SegmentId {
        let shared = Arc::clone(&self.shared);
        let waker = Arc::clone(&self.waker);
        // The write before is durable already: to say so again is a sign of life.
        let before = WriteId(write.0.saturating_sub(1));
        let alive = self.durable(before, self.log.current_segment());
        let mut step = || {
            lock(&shared).news.durable = Some(alive);
            wake(&waker);
        };
        loop {
            match self.log.commit_in_steps(&mut step) {
                Ok(segment) => {
                    if std::mem::take(&mut self.waits) {
                        tracing::info!("the disk has space again: the log goes on");
                    }
                    return segment;
                }
                Err(error) if error.is_disk_full() => {
                    if !std::mem::replace(&mut self.waits, true) {
                        tracing::error!(
                            %error,
                            "the disk is full, its reserve too: this node can store nothing until \
                             there is space, and other nodes serve its shards"
                        );
                    }
                    thread::park_timeout(FULL_DISK_WAIT);
                    self.check_disk_space();
                }
                Err(error) => die(&error),
            }
        }
    }

    /// Writes the witness of the last commit. It can wait until there is space.
    fn seal(&mut self) {
        match self.log.seal() {
            Ok(()) => {}
            Err(error) if error.is_disk_full() => {}
            Err(error) => die(&error),
        }
    }

    /// Does one step towards the next segment; answers whether there is more to do.
    fn prepare(&mut self) -> bool {
        match self.log.prepare_spare(PREPARE_STEP_BYTES) {
            Ok(Preparation::Working) => true,
            Ok(Preparation::Ready) => false,
            // The log goes on within its headroom; the disk is looked at again in a second.
            Err(error) if error.is_disk_full() => false,
            Err(error) => die(&error),
        }
    }

    fn check_disk_space(&mut self) {
        let now = clock::monotonic();
        if now < self.next_housekeeping {
            return;
        }
        self.next_housekeeping = now + HOUSEKEEPING_TIME;
        match self.log.free_bytes() {
            Ok(free) => {
                let log_bytes = self.log.disk_bytes();
                lock(&self.shared).figures = LogFigures { log_bytes, disk_free_bytes: free };
            }
            Err(error) => tracing::warn!(%error, "cannot ask for the free disk space"),
        }
        if let Some(space) = self.news_of_space() {
            self.tell(|news| news.space = Some(space));
        }
    }

    /// How far the log may grow, if that has changed. A disk that does not say is no fuller.
    fn news_of_space(&mut self) -> Option<u64> {
        let space = self.log.space().ok()?;
        (self.told.replace(space) != Some(space)).then_some(space)
    }

    fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut lock(&self.shared).news);
        wake(&self.waker);
    }
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        tracing::error!(%error, "cannot wake the event loop");
        exit::now(exit::DISK);
    }
}

/// Nothing panics while it holds the lock, so what is behind it is whole.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value, or the end of the process.
fn survive<T>(result: Result<T, LogError>) -> T {
    result.unwrap_or_else(|error| die(&error))
}

fn die(error: &LogError) -> ! {
    tracing::error!("{error}");
    exit::now(exit::DISK);
}

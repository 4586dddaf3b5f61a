//! The thread that reads the log again: entries that a shard has let go of in memory and that a
//! follower needs. It is not the log's own thread, so that commits don't wait for it.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use cluster::{LogPart, LogPlace, LogReadId};
use mio::Waker;
use wal::{Commits, OsDisk, read_commits};

/// What was read for whom, or why nothing could be.
type Answer = (LogReadId, Result<LogPart, String>);

/// What a shard wants to be read.
#[derive(Debug)]
struct Order {
    id: LogReadId,
    place: LogPlace,
    bytes: usize,
}

/// The event loop's end of the thread.
#[derive(Debug)]
pub(crate) struct LogReader {
    orders: Sender<Order>,
    answers: Arc<Mutex<Vec<Answer>>>,
    thread: JoinHandle<()>,
}

impl LogReader {
    /// Starts the thread. `waker` is woken when something was read.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(crate) fn start(disk: OsDisk, waker: Arc<Waker>) -> io::Result<Self> {
        let (orders, receiver) = mpsc::channel();
        let answers = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&answers);
        let thread = thread::Builder::new()
            .name("log reader".into())
            .spawn(move || run(&disk, &receiver, &shared, &waker))?;
        Ok(Self { orders, answers, thread })
    }

    /// Ends the thread, which lets go of the directory.
    pub(crate) fn stop(self) {
        drop(self.orders);
        // A thread that panicked has said so.
        let _ = self.thread.join();
    }

    /// Asks for commits from a place on.
    pub(crate) fn read(&self, id: LogReadId, place: LogPlace, bytes: usize) {
        let order = Order { id, place, bytes };
        self.orders.send(order).expect("the log reader ends only with the process");
    }

    /// What was read since the last call.
    pub(crate) fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn run(disk: &OsDisk, orders: &Receiver<Order>, answers: &Mutex<Vec<Answer>>, waker: &Waker) {
    for Order { id, place, bytes } in orders {
        let part = match read_commits(disk, place.segment, place.offset, bytes) {
            Ok(Commits { payloads, next, ends }) => Ok(LogPart { payloads, next, ends }),
            Err(error) => Err(format!("segment {}: {error}", place.segment.0)),
        };
        answers.lock().unwrap_or_else(PoisonError::into_inner).push((id, part));
        if let Err(error) = waker.wake() {
            tracing::error!(%error, "cannot wake the event loop after a read of the log");
        }
    }
}

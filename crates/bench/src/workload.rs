//! What is asked: the stream of requests, deterministic from the seed.

use crate::keys::Chooser;
use crate::options::Options;
use fastrand::Rng;
use std::sync::Arc;

/// What a request does. Counters and registers have different keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Function {
    Get,
    GetCounter,
    Set,
    Increment,
}

/// One attempt to do something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    pub(crate) function: Function,
    /// The key's number.
    pub(crate) key: u64,
    /// The client that asks, by its number in the thread.
    pub(crate) client: u32,
    /// How often it was redirected.
    pub(crate) redirections: u8,
    /// The process of the history; in use only if there is one.
    pub(crate) process: u64,
    /// Makes values unique within the process.
    pub(crate) sequence: u64,
    /// When the request was due, in nanoseconds of the run. Latency counts from here.
    pub(crate) due: u64,
    /// When this attempt began.
    pub(crate) start: u64,
}

/// Keys by slot range, for clients that keep to one.
pub(crate) type KeyLists = Arc<Vec<Vec<u32>>>;

/// Chooses functions and keys.
#[derive(Debug)]
pub(crate) struct Workload {
    random: Rng,
    chooser: Chooser,
    lists: Option<KeyLists>,
    /// Bounds of the functions in the sum of the weights.
    bounds: [u32; 4],
    total: u32,
}

impl Workload {
    pub(crate) fn new(
        options: &Options,
        chooser: Chooser,
        lists: Option<KeyLists>,
        seed: u64,
    ) -> Self {
        // Reads go to registers and counters in the proportion of the writes; a mix without
        // writes reads registers.
        let [reads, sets, increments] = options.weights.map(u64::from);
        let writes = (sets + increments).max(1);
        let counter_reads = reads * increments / writes;
        let total: u64 = reads + sets + increments;
        // Weights of any size are scaled, so that their sum fits.
        let scale = |bound: u64| (bound * u64::from(u16::MAX) * 256 / total) as u32;
        let bounds = [
            scale(reads - counter_reads),
            scale(reads),
            scale(reads + sets),
            scale(reads + sets + increments),
        ];
        let total = bounds[3];
        Self { random: Rng::with_seed(seed), chooser, lists, bounds, total }
    }

    /// The function and key of a client's next request. `client` counts over all threads.
    pub(crate) fn next(&mut self, client: usize) -> (Function, u64) {
        let drawn = self.random.u32(..self.total);
        let function = if drawn < self.bounds[0] {
            Function::Get
        } else if drawn < self.bounds[1] {
            Function::GetCounter
        } else if drawn < self.bounds[2] {
            Function::Set
        } else {
            Function::Increment
        };
        let number = self.chooser.next(&mut self.random);
        let key = match &self.lists {
            Some(lists) => {
                let list = &lists[client % lists.len()];
                u64::from(list[(number % list.len() as u64) as usize])
            }
            None => number,
        };
        (function, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_come_in_the_proportion_of_their_weights() {
        let mut options = Options::new(Vec::new());
        options.weights = [60, 30, 10];
        let chooser = Chooser::new(options.keys, options.key_count, 1);
        let mut workload = Workload::new(&options, chooser, None, 3);
        let mut counts = [0u32; 4];
        for client in 0..100_000 {
            let (function, key) = workload.next(client);
            assert!(key < options.key_count);
            counts[function as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([45_000, 15_000, 30_000, 10_000]) {
            assert!(count.abs_diff(expected) < 1_000, "{counts:?}");
        }
    }
}

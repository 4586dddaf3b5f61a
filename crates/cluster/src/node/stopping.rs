//! The end of a node in good order: its leases are handed over first.

use super::*;

impl Node {
    /// Hands the leases over and says when that is done.
    pub(super) fn continue_stopping(&mut self, now: Now, out: &mut Vec<Output>) {
        let Some(since) = self.stopping else { return };
        if self.stopped {
            return;
        }
        self.next_sweep = self.next_sweep.min(now.monotonic + SWEEP_INTERVAL);
        if now.monotonic < since + STOP_NOTICE {
            return;
        }
        let mut waiting = false;
        for at in 0..self.shards.len() {
            let Some(shard) = self.shards.get_mut(at) else { continue };
            if shard.hand_over(&mut self.world.env(now)) {
                waiting = true;
                self.touch(at);
            }
        }
        if !waiting || since + STOP_TIME <= now.monotonic {
            self.stopped = true;
            out.push(Output::Stopped);
        }
    }
}

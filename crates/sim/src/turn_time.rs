//! Turns that take time: as long as the work that the core says it has done.
//!
//! What a turn puts out leaves at its end, and what arrives meanwhile waits for the next one. So a
//! request that works for long delays the beats of its node, as it does on a real machine.

use cluster::Output;
use types::Now;

use crate::machine::Process;
use crate::world::{Event, MILLISECOND, World};

/// Work for which a turn takes no time: what lies below is within what messages take anyway.
const WORK_MIN: u64 = MILLISECOND / 2;

impl World {
    /// The process has done its work: what it wants done is done when the time for that is over.
    pub(crate) fn end_turn(&mut self, node: usize, work: u64, outputs: Vec<Output>) {
        let machine = &mut self.machines[node];
        let life = machine.life;
        let slowness = machine.slowness;
        let Some(process) = &mut machine.process else { return };
        let time = work.saturating_mul(slowness);
        if time < WORK_MIN {
            return self.perform_all(node, outputs);
        }
        process.busy_until = self.now + time;
        // What is only told, to checkers, is so from the moment on.
        let (told, outputs): (Vec<Output>, Vec<Output>) =
            outputs.into_iter().partition(|output| matches!(output, Output::Observe(_)));
        for output in told {
            self.perform(node, output);
        }
        self.schedule(self.now + time, Event::TurnEnd { node, life, outputs });
    }

    /// The time of a turn is over.
    pub(crate) fn turn_ended(&mut self, node: usize, life: u64, outputs: Vec<Output>) {
        if !self.is_current(node, life) {
            return;
        }
        if self.machines[node].paused {
            let at = self.now + MILLISECOND;
            return self.schedule(at, Event::TurnEnd { node, life, outputs });
        }
        self.perform_all(node, outputs);
    }

    /// Whether the process is still at its last turn: then it is to have the next one behind that.
    pub(crate) fn is_busy(&mut self, node: usize) -> bool {
        let machine = &mut self.machines[node];
        let life = machine.life;
        let Some(process) = &mut machine.process else { return false };
        if process.busy_until <= self.now {
            return false;
        }
        process.turn_due = true;
        // Behind the end of the turn, which was scheduled first.
        let at = process.busy_until;
        self.schedule(at, Event::Turn { node, life });
        true
    }
}

impl Process {
    /// Hands over what the last turn had no room for.
    pub(crate) fn take_up_held(&mut self, now: Now) {
        if self.links.values().all(|link| link.held.is_empty()) {
            return;
        }
        let waiting: Vec<u64> = self
            .links
            .iter()
            .filter(|(_, link)| !link.held.is_empty())
            .map(|(at, _)| *at)
            .collect();
        for connection in waiting {
            self.serve(now, connection);
        }
    }

    /// Whether a client waits for nothing but the next turn.
    pub(crate) fn has_held(&self) -> bool {
        self.links.values().any(|link| !link.paused && !link.held.is_empty())
    }
}

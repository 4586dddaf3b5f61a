//! What is to happen, in the order of time, and of what happens at one time in the order in which
//! it was put there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::world::Event;

/// Moments with their events. The events lie apart: a heap moves what it orders, and they are
/// large.
#[derive(Default)]
pub(crate) struct Queue {
    /// Time, order, and place in `events`.
    moments: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<Event>>,
    /// Places that can be used again.
    free: Vec<usize>,
    order: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        let place = self.free.pop().unwrap_or(self.events.len());
        if place == self.events.len() {
            self.events.push(None);
        }
        self.events[place] = Some(event);
        self.moments.push(Reverse((at, self.order, place)));
    }

    /// When the next thing happens.
    pub(crate) fn next_time(&self) -> u64 {
        self.moments.peek().map_or(u64::MAX, |Reverse((at, _, _))| *at)
    }

    pub(crate) fn peek(&self) -> Option<&Event> {
        let Reverse((_, _, place)) = self.moments.peek()?;
        self.events[*place].as_ref()
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse((at, _, place)) = self.moments.pop()?;
        self.free.push(place);
        self.events[place].take().map(|event| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_comes_first_and_then_the_order_of_arrival() {
        let mut queue = Queue::default();
        for (at, token) in [(5, 1), (3, 2), (5, 3), (3, 4)] {
            queue.push(at, Event::Timer { token });
        }
        let mut seen = Vec::new();
        while let Some((at, Event::Timer { token })) = queue.pop() {
            seen.push((at, token));
            if token == 2 {
                // In the place that has just become free.
                queue.push(5, Event::Timer { token: 5 });
            }
        }
        assert_eq!(seen, [(3, 2), (3, 4), (5, 1), (5, 3), (5, 5)]);
    }
}

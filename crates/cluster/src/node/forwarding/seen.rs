//! Which requests of another node have arrived: each is run once.

use alloc::vec::Vec;

use types::Life;

/// How many numbers below the largest one a receiver remembers. An older number is refused.
const NUMBERS_REMEMBERED: u64 = 1 << 16;

/// Which of a node's requests have arrived.
#[derive(Default)]
pub(super) struct SeenOf {
    pub(super) accepted: Seen,
    /// Those of a life that was not known here yet: they were refused, once and for all.
    early: Seen,
}

/// Which of a sender's requests have arrived.
#[derive(Default)]
pub(super) struct Seen {
    life: Life,
    pub(super) largest: u64,
    /// The largest number whose answer may be lost: the connection to the sender broke after it.
    pub(super) lost: u64,
    /// One bit for each of the newest numbers.
    bits: Vec<u64>,
}

/// What a request that arrives is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    New,
    /// Of a life that is not known here yet, or of a node that has not introduced itself: it is not
    /// run, now or later.
    Early,
    /// It was here before, or its life is over.
    Again,
}

impl SeenOf {
    pub(super) fn arrival(&mut self, life: Life, number: u64, accepted: bool) -> Arrival {
        if !accepted {
            let former = self.accepted.life == life;
            let early = !former && self.early.is_new(life, number);
            return if early { Arrival::Early } else { Arrival::Again };
        }
        if self.accepted.life != life && self.early.life == life {
            self.accepted = core::mem::take(&mut self.early);
        }
        if self.accepted.is_new(life, number) { Arrival::New } else { Arrival::Again }
    }
}

impl Seen {
    /// Notes a number of the sender's present life; says whether it is new.
    fn is_new(&mut self, life: Life, number: u64) -> bool {
        if life != self.life {
            *self = Self { life, largest: 0, lost: 0, bits: Vec::new() };
        }
        if self.bits.is_empty() {
            self.bits = alloc::vec![0; (NUMBERS_REMEMBERED / 64) as usize];
        }
        if number + NUMBERS_REMEMBERED <= self.largest {
            return false;
        }
        // The places of numbers between the largest so far and this one are free again: all of
        // them, if it is the first of its life.
        if number >= self.largest.saturating_add(NUMBERS_REMEMBERED) {
            self.bits.fill(0);
        } else {
            for skipped in self.largest + 1..=number {
                let (word, bit) = place(skipped);
                self.bits[word] &= !bit;
            }
        }
        self.largest = self.largest.max(number);
        let (word, bit) = place(number);
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }
}

fn place(number: u64) -> (usize, u64) {
    let at = number % NUMBERS_REMEMBERED;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests;

//! Redis Cluster's hash slots and contiguous ranges of them.

use core::fmt;

/// How many slots there are. Fixed by the Redis Cluster protocol.
pub const SLOT_COUNT: u16 = 16384;

/// One of the 16384 hash slots: the unit of storage, of load accounting and of movement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Slot(u16);

impl Slot {
    /// The slot with this number, or `None` if there is no such slot.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (number < SLOT_COUNT).then_some(Self(number))
    }

    /// The slot that a 16-bit checksum falls into.
    #[must_use]
    pub fn of_checksum(checksum: u16) -> Self {
        Self(checksum % SLOT_COUNT)
    }

    /// The slot's number, 0 to 16383.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

/// A contiguous, non-empty range of slots, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotRange {
    first: Slot,
    last: Slot,
}

impl SlotRange {
    /// All slots.
    pub const ALL: Self = Self { first: Slot(0), last: Slot(SLOT_COUNT - 1) };

    /// The first slot alone.
    pub const FIRST: Self = Self { first: Slot(0), last: Slot(0) };

    /// The range from `first` to `last`, both included; `None` if `last` lies before `first`.
    #[must_use]
    pub fn new(first: Slot, last: Slot) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The first slot.
    #[must_use]
    pub fn first(self) -> Slot {
        self.first
    }

    /// The last slot, which still belongs to the range.
    #[must_use]
    pub fn last(self) -> Slot {
        self.last
    }

    /// How many slots the range holds, 1 to 16384.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        usize::from(self.last.0 - self.first.0) + 1
    }

    /// Whether the slot lies in the range.
    #[must_use]
    pub fn contains(self, slot: Slot) -> bool {
        self.first <= slot && slot <= self.last
    }

    /// The slots of the range in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Slot> {
        (self.first.0..=self.last.0).map(Slot)
    }

    /// Cuts all slots into `count` ranges whose lengths differ by at most one.
    ///
    /// # Panics
    /// If `count` is 0 or more than there are slots.
    #[must_use]
    pub fn even_cut(count: u16) -> alloc::vec::Vec<Self> {
        assert!((1..=SLOT_COUNT).contains(&count), "cannot cut 16384 slots into {count} ranges");
        let bound = |part: u16| {
            let number = u32::from(part) * u32::from(SLOT_COUNT) / u32::from(count);
            u16::try_from(number).expect("a part of 16384 fits in 16 bits")
        };
        (0..count)
            .map(|part| Self { first: Slot(bound(part)), last: Slot(bound(part + 1) - 1) })
            .collect()
    }
}

impl fmt::Display for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl fmt::Debug for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slots {self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_cut_covers_every_slot_once() {
        for count in [1, 2, 3, 16, 1000, 1024, 16384] {
            let ranges = SlotRange::even_cut(count);
            assert_eq!(ranges.len(), usize::from(count));
            let slots: alloc::vec::Vec<_> = ranges.iter().flat_map(|range| range.iter()).collect();
            let all: alloc::vec::Vec<_> = SlotRange::ALL.iter().collect();
            assert_eq!(slots, all);
        }
    }
}

//! What a turn may take for clients, so that none of them holds up the beats.
//!
//! Work is counted in the units of `keyspace::work`, one of which is about a nanosecond: the core
//! has no clock. What is left over waits for the next turn, which comes at once, after the beats
//! and whatever else has arrived. Each kind of work has its own part, so that a flood of one kind
//! does not keep the others waiting.

/// What may be taken in one turn, together a few milliseconds: by far less than the time between
/// two beats, and about what others may wait for a turn to end.
const PARTS: [(Kind, u64); 5] = [
    (Kind::Requests, 6_000_000),
    (Kind::Reads, 4_000_000),
    (Kind::Entries, 6_000_000),
    (Kind::Garbage, 1_000_000),
    (Kind::Appends, 8_000_000),
];

/// What each may do of a kind although a turn's part is used up: so much of the part.
const ALWAYS: u64 = 128;

/// What handing one request over costs, beside what it asks for.
const REQUEST: u64 = 300;
/// A turn's part of one kind is never less than this, however small the setting.
const PART_MIN: u64 = 1;

/// What work is done for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Requests that are answered while they are handed over.
    Requests,
    /// Requests that wait in a shard: forwarded ones, KEYS and SCAN.
    Reads,
    /// What is committed is applied.
    Entries,
    /// Memory of what was removed as a whole is freed.
    Garbage,
    /// Bytes of the log are sent to followers.
    Appends,
}

/// What is left of a turn.
pub(crate) struct TurnWork {
    left: [u64; PARTS.len()],
    /// All that was done since somebody asked.
    done: u64,
    turn: u64,
    /// Divides what a turn may take: in simulations, where there is little to do, more is left
    /// over.
    divisor: u64,
    /// A rule that tests break: nothing is left over.
    unbounded: bool,
}

impl TurnWork {
    pub(crate) fn new(divisor: u64, unbounded: bool) -> Self {
        let mut work = Self { left: [0; PARTS.len()], done: 0, turn: 0, divisor, unbounded };
        work.begin_turn();
        work
    }

    pub(crate) fn begin_turn(&mut self) {
        self.turn += 1;
        for (left, (_, part)) in self.left.iter_mut().zip(PARTS) {
            *left = (part / self.divisor.max(1)).max(PART_MIN);
        }
    }

    /// Counts the turns.
    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    /// Whether more may be done in this turn.
    pub(crate) fn may(&self, kind: Kind) -> bool {
        self.left(kind) > 0
    }

    /// How much more may be done in this turn.
    pub(crate) fn left(&self, kind: Kind) -> u64 {
        if self.unbounded { u64::MAX } else { self.left[kind as usize] }
    }

    /// The same, for one of many who need a little in any case.
    pub(crate) fn left_for_each(&self, kind: Kind) -> u64 {
        let part = PARTS[kind as usize].1 / self.divisor.max(1);
        self.left(kind).max(part / ALWAYS).max(PART_MIN)
    }

    /// Counts what was done.
    pub(crate) fn count(&mut self, kind: Kind, work: u64) {
        let left = &mut self.left[kind as usize];
        *left = left.saturating_sub(work);
        self.done = self.done.saturating_add(work);
    }

    /// Counts a request of so many bytes, whose reply so far has so many.
    pub(crate) fn count_request(&mut self, bytes: usize, replied: usize) {
        self.count(Kind::Requests, REQUEST + (bytes as u64 + replied as u64) / 2);
    }

    /// What was done since the last call.
    pub(crate) fn take_done(&mut self) -> u64 {
        core::mem::take(&mut self.done)
    }
}

//! Random numbers: all chance of a run comes from one seed, by way of generators that are split
//! off from each other, so that a draw more in one place does not change all others.

/// A generator (SplitMix64: Steele, Lea, Flood 2014). Any seed is a good one.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator whose numbers depend on the seed only.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for another part of the run.
    pub fn split(&mut self) -> Self {
        Self(self.draw())
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high.saturating_sub(low) + 1)
    }

    /// An index below `count`, which is at least 1.
    pub fn index(&mut self, count: usize) -> usize {
        (self.draw() % count.max(1) as u64) as usize
    }

    /// One of the choices.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// True so many times in a thousand.
    pub fn permille(&mut self, permille: u64) -> bool {
        self.draw() % 1000 < permille
    }

    /// A number from `low` to `high` whose logarithm is evenly spread: small ones are frequent.
    pub fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        let span = (high.max(low) / low).ilog2();
        let octave = self.between(0, u64::from(span));
        let base = low << octave;
        self.between(base, (base * 2).min(high).max(base)).min(high.max(low))
    }
}

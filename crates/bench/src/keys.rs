//! Which key is next, what it is called, and in which slot it lies.

use crate::options::Keys;
use fastrand::Rng;

/// How many slots a cluster has.
pub(crate) const SLOT_COUNT: usize = types::SLOT_COUNT as usize;

/// Chooses numbers below a bound.
#[derive(Clone, Debug)]
pub(crate) enum Chooser {
    Uniform {
        count: u64,
    },
    Zipfian(Zipfian),
    /// Several threads share the numbers: each begins at its own and goes on by their count.
    InOrder {
        next: u64,
        step: u64,
        count: u64,
    },
}

impl Chooser {
    pub(crate) fn new(keys: Keys, count: u64, threads: usize) -> Self {
        match keys {
            Keys::Uniform => Self::Uniform { count },
            Keys::Zipfian(exponent) => Self::Zipfian(Zipfian::new(count, exponent)),
            Keys::InOrder => Self::InOrder { next: 0, step: threads as u64, count },
        }
    }

    /// The same for one of the threads.
    pub(crate) fn of_thread(&self, thread: usize) -> Self {
        match self.clone() {
            Self::InOrder { step, count, .. } => Self::InOrder { next: thread as u64, step, count },
            other @ (Self::Uniform { .. } | Self::Zipfian(_)) => other,
        }
    }

    /// The next number, below the count.
    pub(crate) fn next(&mut self, random: &mut Rng) -> u64 {
        match self {
            Self::Uniform { count } => random.u64(..*count),
            Self::Zipfian(zipfian) => scrambled(zipfian.rank(random)) % zipfian.count,
            Self::InOrder { next, step, count } => {
                let number = *next % *count;
                *next += *step;
                number
            }
        }
    }
}

/// YCSB's generator, after Gray et al., "Quickly generating billion-record synthetic databases"
/// (1994). Rank 0 is the most frequent.
#[derive(Clone, Debug)]
pub(crate) struct Zipfian {
    count: u64,
    exponent: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

/// Up to here the zeta sum is taken term by term; the rest is its integral.
const ZETA_TERMS_MAX: u64 = 10_000_000;

impl Zipfian {
    fn new(count: u64, exponent: f64) -> Self {
        let zeta = zeta(count, exponent);
        let spread = 1.0 - (2.0 / count as f64).powf(1.0 - exponent);
        let eta = spread / (1.0 - self::zeta(2, exponent) / zeta);
        Self { count, exponent, alpha: 1.0 / (1.0 - exponent), zeta, eta }
    }

    fn rank(&self, random: &mut Rng) -> u64 {
        let uniform = random.f64();
        let scaled = uniform * self.zeta;
        if scaled < 1.0 || self.count == 1 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(self.exponent) || self.count == 2 {
            return 1;
        }
        let share = (self.eta * uniform - self.eta + 1.0).powf(self.alpha);
        ((self.count as f64 * share) as u64).min(self.count - 1)
    }
}

fn zeta(count: u64, exponent: f64) -> f64 {
    let summed = count.min(ZETA_TERMS_MAX);
    let sum: f64 = (1..=summed).map(|rank| (rank as f64).powf(-exponent)).sum();
    let power = 1.0 - exponent;
    sum + ((count as f64).powf(power) - (summed as f64).powf(power)) / power
}

/// Spreads neighbouring ranks over all numbers (FNV-1a of the rank, as YCSB does).
fn scrambled(rank: u64) -> u64 {
    rank.to_le_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Names of keys: a prefix and a number with leading zeros, all of the same length.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: Vec<u8>,
    digits: usize,
}

impl Names {
    /// Names of at least `bytes` bytes for the numbers below `count`.
    pub(crate) fn new(prefix: &str, count: u64, bytes: usize) -> Self {
        let needed = (count - 1).max(1).ilog10() as usize + 1;
        let digits = needed.max(bytes.saturating_sub(prefix.len()));
        Self { prefix: prefix.as_bytes().to_vec(), digits }
    }

    /// Length of every name in bytes.
    pub(crate) fn len(&self) -> usize {
        self.prefix.len() + self.digits
    }

    /// Appends the name of key `number`.
    pub(crate) fn write(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        let start = out.len();
        out.resize(start + self.digits, b'0');
        let mut rest = number;
        for digit in out[start..].iter_mut().rev() {
            if rest == 0 {
                break;
            }
            // A remainder of ten fits in a byte.
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

/// The number of a key's slot.
pub(crate) fn slot(key: &[u8]) -> usize {
    usize::from(resp::slot_of(key).number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_length_and_end_in_their_number() {
        let mut name = Vec::new();
        Names::new("key:", 1_000, 16).write(987, &mut name);
        assert_eq!(name, b"key:000000000987");
        let long = Names::new("key:", 1_000_000, 5);
        assert_eq!(long.len(), 10);
        name.clear();
        long.write(999_999, &mut name);
        assert_eq!(name, b"key:999999");
    }

    #[test]
    fn threads_in_order_take_each_number_once() {
        let chooser = Chooser::new(Keys::InOrder, 10, 3);
        let mut random = Rng::with_seed(1);
        let mut taken: Vec<u64> = Vec::new();
        for (thread, share) in [(0, 4), (1, 3), (2, 3)] {
            let mut chooser = chooser.of_thread(thread);
            taken.extend((0..share).map(|_| chooser.next(&mut random)));
        }
        taken.sort_unstable();
        assert_eq!(taken, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_zipfian_has_the_frequencies_of_its_formula() {
        let zipfian = Zipfian::new(1_000, 0.99);
        let mut random = Rng::with_seed(7);
        let mut counts = vec![0u32; 1_000];
        let draws = 200_000;
        for _ in 0..draws {
            counts[zipfian.rank(&mut random) as usize] += 1;
        }
        let zeta = zeta(1_000, 0.99);
        for rank in [0usize, 1, 9, 99] {
            let expected = f64::from(draws) / zeta / (rank as f64 + 1.0).powf(0.99);
            let ratio = f64::from(counts[rank]) / expected;
            assert!((0.7..1.4).contains(&ratio), "rank {rank}: {ratio}");
        }
        for count in [1, 2, 3] {
            let mut chooser = Chooser::new(Keys::Zipfian(0.5), count, 1);
            assert!((0..1_000).all(|_| chooser.next(&mut random) < count));
        }
    }
}

//! What occurs most often in a long sequence, in little room: Space-Saving (Metwally, Agrawal, El
//! Abbadi 2005, "Efficient computation of frequent and top-k elements in data streams").
//!
//! There are a few counters. An element that has none takes over the one with the smallest count,
//! and that count with it, noted as its possible error. So a count is never too small and at most
//! the error too large, and whatever occurs more than once in `COUNTERS` times has a counter.

use alloc::vec::Vec;

/// How many elements are counted at a time.
pub(crate) const COUNTERS: usize = 32;

/// Counters for the elements that occur most often.
#[derive(Clone, Debug)]
pub(crate) struct Frequent<T> {
    /// Hashes and counts apart, so that looking for one touches little memory.
    hashes: [u64; COUNTERS],
    counts: [u32; COUNTERS],
    errors: [u32; COUNTERS],
    elements: Vec<T>,
    total: u32,
}

impl<T> Default for Frequent<T> {
    fn default() -> Self {
        Self {
            hashes: [0; COUNTERS],
            counts: [0; COUNTERS],
            errors: [0; COUNTERS],
            elements: Vec::new(),
            total: 0,
        }
    }
}

impl<T> Frequent<T> {
    /// Counts an element: one with this hash for which `is` holds, or else a new one.
    pub(crate) fn add(&mut self, hash: u64, is: impl Fn(&T) -> bool, new: impl FnOnce() -> T) {
        self.total = self.total.saturating_add(1);
        let known = self.hashes.iter().zip(&self.elements);
        let found = known.enumerate().find(|(_, (known, element))| **known == hash && is(element));
        let at = match found {
            Some((at, _)) => at,
            None => self.take_over(hash, new()),
        };
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
    }

    /// Gives an element a counter: a free one, or the one with the smallest count.
    fn take_over(&mut self, hash: u64, element: T) -> usize {
        let at = if self.elements.len() < COUNTERS {
            self.elements.push(element);
            self.elements.len() - 1
        } else {
            let counts = self.counts.iter().enumerate();
            let least = counts.min_by_key(|(_, count)| **count).map_or(0, |(at, _)| at);
            self.errors[least] = self.counts[least];
            self.elements[least] = element;
            least
        };
        self.hashes[at] = hash;
        at
    }

    /// The elements of which at least this share of all is certain, and that share, the most
    /// frequent one first.
    pub(crate) fn certain(&self, share_min: f64) -> Vec<(&T, f64)> {
        let total = f64::from(self.total.max(1));
        let counts = self.counts.iter().zip(&self.errors).zip(&self.elements);
        let mut certain: Vec<(&T, f64)> = counts
            .map(|((count, error), element)| (element, f64::from(count - error) / total))
            .filter(|(_, share)| *share >= share_min)
            .collect();
        // Stable, so that elements with the same share stay in the order of their counters.
        certain.sort_by(|(_, left), (_, right)| right.total_cmp(left));
        certain
    }

    /// Halves all counts, so that what comes weighs more than what was.
    pub(crate) fn age(&mut self) {
        for (count, error) in self.counts.iter_mut().zip(&mut self.errors) {
            *count /= 2;
            *error /= 2;
        }
        self.total = self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count));
    }

    #[cfg(test)]
    fn bounds(&self) -> impl Iterator<Item = (&T, u32, u32)> {
        let counts = self.counts.iter().zip(&self.errors).zip(&self.elements);
        counts.map(|((count, error), element)| (element, *count, *error))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    /// Skewed: small numbers are frequent.
    fn sequence(seed: u64, len: usize) -> Vec<u32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        (0..len).map(|_| (next() % 1000 * next() % 1000 / (next() % 90 + 1)) as u32).collect()
    }

    fn count(sequence: &[u32]) -> (Frequent<u32>, BTreeMap<u32, u32>) {
        let (mut frequent, mut exact) = (Frequent::default(), BTreeMap::new());
        for &element in sequence {
            // Hashes that collide must do no harm.
            frequent.add(u64::from(element % 7), |known| *known == element, || element);
            *exact.entry(element).or_default() += 1;
        }
        (frequent, exact)
    }

    #[test]
    fn counts_are_within_their_errors_of_the_exact_ones() {
        for seed in 0..20 {
            let sequence = sequence(seed, 10_000);
            let (frequent, exact) = count(&sequence);
            let mut sum = 0;
            for (element, count, error) in frequent.bounds() {
                let exact = exact[element];
                assert!(count - error <= exact && exact <= count, "{element}: {count} -{error}");
                assert!(error as usize <= sequence.len() / COUNTERS);
                sum += count;
            }
            assert_eq!(sum as usize, sequence.len());
            let must = exact.iter().filter(|(_, n)| **n as usize > sequence.len() / COUNTERS);
            for (element, _) in must {
                assert!(frequent.bounds().any(|(known, _, _)| known == element), "{element}");
            }
            for (element, share) in frequent.certain(0.01) {
                assert!(share <= f64::from(exact[element]) / sequence.len() as f64);
            }
        }
    }

    #[test]
    fn a_hot_element_stands_out_and_is_forgotten_again() {
        let mut frequent = Frequent::default();
        for n in 0..1000u32 {
            let element = if n % 3 == 0 { 7 } else { n };
            frequent.add(u64::from(element), |known| *known == element, || element);
        }
        let certain = frequent.certain(0.1);
        assert_eq!(certain.len(), 1);
        assert!(*certain[0].0 == 7 && (0.3..=0.34).contains(&certain[0].1), "{certain:?}");
        for _ in 0..20 {
            frequent.age();
        }
        assert!(frequent.certain(0.01).is_empty());
        assert!(Frequent::<u32>::default().certain(0.01).is_empty());
    }
}

//! Medians and what can be said about them: a bootstrap interval, from a fixed seed.

/// How often the bootstrap draws.
const DRAWS: usize = 4_000;
/// How many of the drawn medians lie outside the interval at each end: 2.5 %.
const OUTSIDE: usize = DRAWS / 40;
/// With fewer values not even the smallest and the largest hold the median with 95 % confidence:
/// all lie on one side of it with a probability of 2 / 2^n.
pub(super) const VALUES_MIN: usize = 6;

/// A median and the interval in which it lies with 95 % confidence.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Estimate {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Estimate {
    /// Of at least one value. The interval of too few values has no ends.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let middle = median(values)?;
        if values.len() < VALUES_MIN {
            return Some(Self { median: middle, low: f64::NEG_INFINITY, high: f64::INFINITY });
        }
        let mut random = Random(1);
        let mut drawn = Vec::with_capacity(DRAWS);
        for _ in 0..DRAWS {
            let draw: Vec<f64> =
                values.iter().map(|_| values[random.below(values.len())]).collect();
            drawn.extend(median(&draw));
        }
        drawn.sort_by(f64::total_cmp);
        Some(Self { median: middle, low: drawn[OUTSIDE], high: drawn[DRAWS - 1 - OUTSIDE] })
    }
}

/// The middle value, or the mean of the two middle ones.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// The largest value.
pub(super) fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Xorshift, which is random enough to draw samples.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The bound is small, so the remainder is even enough.
        (self.0 >> 11) as usize % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_interval_holds_the_median_and_shrinks_with_more_values() {
        let width = |count: u32| {
            let values: Vec<f64> = (0..count).map(|at| f64::from(at * 37 % count)).collect();
            let values: Vec<f64> = values.iter().map(|value| value / f64::from(count)).collect();
            let Some(Estimate { median, low, high }) = Estimate::of(&values) else {
                panic!("there are values")
            };
            assert!(low <= median && median <= high && (0.4..0.6).contains(&median));
            high - low
        };
        let (few, many) = (width(9), width(401));
        assert!(many < few / 3.0, "{few} {many}");
        let Some(unknown) = Estimate::of(&[1.0, 1.0]) else { panic!("there are values") };
        assert_eq!((unknown.median, unknown.high), (1.0, f64::INFINITY));
        let same = Estimate { median: 2.0, low: 2.0, high: 2.0 };
        assert_eq!(Estimate::of(&[2.0; 7]), Some(same));
    }
}

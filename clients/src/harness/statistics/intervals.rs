//! Intervals over runs: how far a median may be off, and which differences are larger than chance.
//!
//! The bootstrap draws as many runs as there were, with replacement, a few thousand times, and looks how the median
//! varies. With few runs its plain percentile interval is too narrow: with 6 to 8 runs it covers about 93 % instead of
//! 95 %. So the percentiles are taken further out, by the expanded percentile interval of Hesterberg ("What Teachers
//! Should Know About the Bootstrap", 2015, section 4.4). Under [`RUNS_MIN`] runs there is no interval at all.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{median, median_in};

/// Fewest runs for a 95 % interval of the median. All of n runs lie on one side of the median with probability 2 ·
/// 0.5ⁿ, which is 6.3 % for 5 and 3.1 % for 6.
pub const RUNS_MIN: usize = 6;

/// Resamples of a bootstrap. With 6 runs nine of them lie beyond each end, so that no single resample decides the end.
const RESAMPLES: usize = 4_000;

/// The 97.5 % quantile of the normal distribution: one tail of a 95 % interval lies beyond it.
const Z: f64 = 1.959_964;

/// Interval in which a value lies with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Interval {
    /// Returns whether the value lies in the interval, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Order of two values that are known by their intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first value is smaller.
    FirstIsSmaller,
    /// The second value is smaller.
    SecondIsSmaller,
    /// The intervals overlap, or one is missing: the order is not known.
    Unresolved,
}

/// Orders two values by their intervals, and only where these do not overlap.
pub fn order(first: Option<Interval>, second: Option<Interval>) -> Order {
    match first.zip(second) {
        Some((first, second)) if first.high < second.low => Order::FirstIsSmaller,
        Some((first, second)) if second.high < first.low => Order::SecondIsSmaller,
        Some(_) | None => Order::Unresolved,
    }
}

/// Quantity by which two groups of runs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contrast {
    /// Median of the second − median of the first.
    Difference,
    /// Median of the second / median of the first.
    Ratio,
}

impl Contrast {
    /// Returns the contrast of two values; `None` where it is not a number, as a ratio to 0.
    fn of(self, first: f64, second: f64) -> Option<f64> {
        let contrast = match self {
            Self::Difference => second - first,
            Self::Ratio => second / first,
        };
        contrast.is_finite().then_some(contrast)
    }
}

/// Two groups of runs, with one value per run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TwoGroups<'a> {
    /// Each block has one run of both groups. A block affects both alike, so the bootstrap draws blocks.
    Paired(&'a [(f64, f64)]),
    /// The groups have nothing in common, as those of two invocations: each group is drawn by itself.
    Apart(&'a [f64], &'a [f64]),
}

impl TwoGroups<'_> {
    fn medians(&self) -> Option<(f64, f64)> {
        match self {
            Self::Paired(pairs) => {
                let (first, second): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
                median(&first).zip(median(&second))
            }
            Self::Apart(first, second) => median(first).zip(median(second)),
        }
    }

    /// Counts the runs of the smaller group.
    fn count(&self) -> usize {
        match self {
            Self::Paired(pairs) => pairs.len(),
            Self::Apart(first, second) => first.len().min(second.len()),
        }
    }

    /// Draws runs with replacement and returns the medians of both groups. Each group must have a run, and no value may
    /// be NaN.
    fn drawn_medians(&self, random: &mut Pcg64, first: &mut Vec<f64>, second: &mut Vec<f64>) -> (f64, f64) {
        first.clear();
        second.clear();
        match self {
            Self::Paired(pairs) => {
                for _ in 0..pairs.len() {
                    let (one, other) = pairs[random.random_range(0..pairs.len())];
                    first.push(one);
                    second.push(other);
                }
            }
            Self::Apart(firsts, seconds) => {
                first.extend((0..firsts.len()).map(|_| firsts[random.random_range(0..firsts.len())]));
                second.extend((0..seconds.len()).map(|_| seconds[random.random_range(0..seconds.len())]));
            }
        }
        (median_in(first), median_in(second))
    }
}

/// Pairs the values of both groups by block. Each value comes with its block. `None` unless both groups have the same
/// blocks, each once.
pub fn paired_by_block(first: &[(u32, f64)], second: &[(u32, f64)]) -> Option<Vec<(f64, f64)>> {
    let sorted = |group: &[(u32, f64)]| {
        let mut group = group.to_vec();
        group.sort_by_key(|(block, _)| *block);
        group
    };
    let (first, second) = (sorted(first), sorted(second));
    let each_once = first.windows(2).all(|two| two[0].0 < two[1].0);
    let same = first.iter().map(|(block, _)| block).eq(second.iter().map(|(block, _)| block));
    (each_once && same).then(|| first.iter().zip(&second).map(|(one, other)| (one.1, other.1)).collect())
}

/// Returns the 95 % interval of the median over runs. `None` under [`RUNS_MIN`] runs: print the points instead.
pub fn median_interval(runs: &[f64], seed: u64) -> Option<Interval> {
    median(runs)?;
    let mut random = Pcg64::seed_from_u64(seed);
    let mut drawn = runs.to_vec();
    let draw = || {
        drawn.iter_mut().for_each(|value| *value = runs[random.random_range(0..runs.len())]);
        Some(median_in(&mut drawn))
    };
    interval(runs.len(), draw)
}

/// Returns the contrast of the groups' medians. `None` where a group has no run, or where there is nothing to divide
/// by.
pub fn contrast_of(contrast: Contrast, runs: TwoGroups<'_>) -> Option<f64> {
    let (first, second) = runs.medians()?;
    contrast.of(first, second)
}

/// Returns the 95 % interval of the contrast of the groups' medians. `None` under [`RUNS_MIN`] runs of either group, or
/// where a drawn median leaves nothing to divide by.
pub fn contrast_interval(contrast: Contrast, runs: TwoGroups<'_>, seed: u64) -> Option<Interval> {
    runs.medians()?;
    let mut random = Pcg64::seed_from_u64(seed);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let draw = || {
        let (one, other) = runs.drawn_medians(&mut random, &mut first, &mut second);
        contrast.of(one, other)
    };
    interval(runs.count(), draw)
}

/// Difference between two groups of equal runs. A difference of other groups must exceed it to count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseFloor {
    /// Median of the second group / median of the first − 1.
    pub difference_ratio: f64,
    /// 95 % interval of the difference; `None` under [`RUNS_MIN`] runs.
    pub interval: Option<Interval>,
}

/// Returns the noise floor that a pair of equal cells shows. `None` where there is no run, or nothing to divide by.
pub fn noise_floor(pair: TwoGroups<'_>, seed: u64) -> Option<NoiseFloor> {
    let difference_ratio = contrast_of(Contrast::Ratio, pair)? - 1.0;
    let interval = contrast_interval(Contrast::Ratio, pair, seed)
        .map(|ratio| Interval { low: ratio.low - 1.0, high: ratio.high - 1.0 });
    Some(NoiseFloor { difference_ratio, interval })
}

/// Returns the expanded percentile interval of the values that `draw` gives. `None` under [`RUNS_MIN`] runs, or where a
/// draw gives no value.
fn interval(runs_count: usize, draw: impl FnMut() -> Option<f64>) -> Option<Interval> {
    if runs_count < RUNS_MIN {
        return None;
    }
    let mut drawn: Vec<f64> = std::iter::repeat_with(draw).take(RESAMPLES).collect::<Option<_>>()?;
    drawn.sort_by(f64::total_cmp);
    let beyond = (tail(runs_count) * RESAMPLES as f64).floor() as usize;
    Some(Interval { low: drawn[beyond], high: drawn[RESAMPLES - 1 - beyond] })
}

/// Returns the share of the resamples beyond each end, for n runs: Φ(−√(n/(n−1)) · t), with the 97.5 % quantile t of
/// Student's distribution with n − 1 degrees of freedom. 2.5 % for many runs, 0.24 % for 6.
fn tail(runs_count: usize) -> f64 {
    let n = runs_count as f64;
    normal_below(-(n / (n - 1.0)).sqrt() * student_quantile(n - 1.0))
}

/// Returns the 97.5 % quantile of Student's distribution, by Cornish and Fisher's expansion (Abramowitz and Stegun
/// 26.7.5). Correct within 0.2 % from 5 degrees of freedom on.
fn student_quantile(freedom: f64) -> f64 {
    let z = Z;
    z + (z.powi(3) + z) / (4.0 * freedom)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * freedom.powi(2))
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * freedom.powi(3))
}

/// Returns Φ(x) for a negative x, correct within 7.5e-8 (Abramowitz and Stegun 26.2.17).
fn normal_below(x: f64) -> f64 {
    let t = 1.0 / (1.0 - 0.231_641_9 * x);
    let polynomial = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Draws runs whose true median is 100: skewed, as latencies are.
    fn skewed(random: &mut Pcg64, count: usize) -> Vec<f64> {
        let exponential = |random: &mut Pcg64| -(1.0 - random.random::<f64>()).ln();
        (0..count).map(|_| 100.0 - 2f64.ln() * 10.0 + 10.0 * exponential(random)).collect()
    }

    /// Returns the share of `trials` intervals that hold the true value.
    fn covered(trials: u64, holds: impl Fn(&mut Pcg64, u64) -> bool) -> f64 {
        let mut random = Pcg64::seed_from_u64(7);
        let hits = (0..trials).filter(|trial| holds(&mut random, *trial)).count();
        hits as f64 / trials as f64
    }

    #[test]
    fn at_least_94_of_100_intervals_hold_the_true_median() {
        for runs_count in [6, 12] {
            let share = covered(250, |random, trial| {
                median_interval(&skewed(random, runs_count), trial).unwrap().contains(100.0)
            });
            // The seed is fixed, so that the test always passes or always fails.
            assert!(share >= 0.94, "{runs_count} runs: {share}");
        }
    }

    #[test]
    fn at_least_94_of_100_intervals_hold_the_true_ratio_paired_or_not() {
        let ratio = |runs: TwoGroups<'_>, trial| contrast_interval(Contrast::Ratio, runs, trial).unwrap();
        let apart = covered(150, |random, trial| {
            let (first, second) = (skewed(random, 8), skewed(random, 8));
            let second: Vec<_> = second.iter().map(|value| value * 1.5).collect();
            ratio(TwoGroups::Apart(&first, &second), trial).contains(1.5)
        });
        let paired = covered(150, |random, trial| {
            // The block moves both.
            let blocks = skewed(random, 8);
            let pairs: Vec<_> =
                blocks.iter().map(|block| (*block, 1.5 * (block + random.random_range(-1.0..1.0)))).collect();
            ratio(TwoGroups::Paired(&pairs), trial).contains(1.5)
        });
        assert!(apart >= 0.94 && paired >= 0.94, "{apart} {paired}");
    }

    #[test]
    fn pairs_take_out_what_a_block_does_to_both() {
        let mut random = Pcg64::seed_from_u64(3);
        let blocks = skewed(&mut random, 12);
        let second: Vec<_> = blocks.iter().map(|block| block + 1.0).collect();
        let pairs: Vec<_> = blocks.iter().copied().zip(second.iter().copied()).collect();
        let width = |runs: TwoGroups<'_>| {
            let interval = contrast_interval(Contrast::Difference, runs, 1).unwrap();
            interval.high - interval.low
        };
        assert!(width(TwoGroups::Paired(&pairs)) < 1e-9);
        assert!(width(TwoGroups::Apart(&blocks, &second)) > 1.0);
    }

    #[test]
    fn under_six_runs_there_is_no_interval() {
        let runs = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert!(median_interval(&runs, 1).is_some());
        assert_eq!(median_interval(&runs[1..], 1), None);
        assert_eq!(contrast_interval(Contrast::Ratio, TwoGroups::Apart(&runs, &runs[1..]), 1), None);
        assert_eq!(median_interval(&[], 1), None);
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let zeros = [0.0; 6];
        let runs = TwoGroups::Apart(&zeros, &[1.0; 6]);
        assert_eq!((contrast_of(Contrast::Ratio, runs), noise_floor(runs, 1)), (None, None));
        assert_eq!(contrast_interval(Contrast::Ratio, runs, 1), None);
        let difference = contrast_interval(Contrast::Difference, runs, 1);
        assert_eq!(difference, Some(Interval { low: 1.0, high: 1.0 }));
    }

    #[test]
    fn nobody_wins_while_intervals_overlap() {
        let interval = |low, high| Some(Interval { low, high });
        assert_eq!(order(interval(1.0, 2.0), interval(2.1, 3.0)), Order::FirstIsSmaller);
        assert_eq!(order(interval(4.0, 5.0), interval(2.1, 3.0)), Order::SecondIsSmaller);
        assert_eq!(order(interval(1.0, 2.0), interval(2.0, 3.0)), Order::Unresolved);
        assert_eq!(order(interval(1.0, 2.0), None), Order::Unresolved);
    }

    #[test]
    fn groups_are_paired_where_each_has_every_block_once() {
        let pairs = paired_by_block(&[(2, 20.0), (1, 10.0)], &[(1, 11.0), (2, 21.0)]);
        assert_eq!(pairs, Some(vec![(10.0, 11.0), (20.0, 21.0)]));
        assert_eq!(paired_by_block(&[(1, 10.0)], &[(2, 21.0)]), None);
        assert_eq!(paired_by_block(&[(1, 10.0), (1, 12.0)], &[(1, 21.0), (1, 22.0)]), None);
        assert_eq!(paired_by_block(&[(1, 10.0)], &[]), None);
    }

    #[test]
    fn equal_cells_are_quiet_and_unequal_ones_are_not() {
        let mut random = Pcg64::seed_from_u64(5);
        let (first, second) = (skewed(&mut random, 10), skewed(&mut random, 10));
        let floor = noise_floor(TwoGroups::Apart(&first, &second), 1).unwrap();
        assert!(floor.difference_ratio.abs() < 0.2, "{floor:?}");
        assert!(floor.interval.unwrap().contains(0.0), "{floor:?}");
        let slower: Vec<_> = first.iter().map(|value| value * 2.0).collect();
        assert!(!noise_floor(TwoGroups::Apart(&first, &slower), 1).unwrap().interval.unwrap().contains(0.0));
        assert_eq!(noise_floor(TwoGroups::Apart(&[1.0], &[1.1]), 1).unwrap().interval, None);
    }

    #[test]
    fn the_tail_is_that_of_the_tables() {
        for (runs_count, expected) in [(6, 0.002_43), (10, 0.008_55), (20, 0.015_88), (1_000, 0.024_8)] {
            let tail = tail(runs_count);
            assert!((tail / expected - 1.0).abs() < 0.02, "{runs_count}: {tail}");
        }
    }

    proptest! {
        #[test]
        fn an_interval_holds_the_median_and_a_seed_makes_it_again(
            runs in proptest::collection::vec(1.0..1e6f64, 6..20), seed in 0..1_000u64,
        ) {
            let interval = median_interval(&runs, seed).unwrap();
            prop_assert!(interval.contains(median(&runs).unwrap()));
            prop_assert_eq!(Some(interval), median_interval(&runs, seed));
            let least = runs.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert!(interval.low >= least);
        }
    }
}

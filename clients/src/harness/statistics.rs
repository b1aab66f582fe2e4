//! Statistics: how many lines a quantile needs, and how many runs an interval needs.
//!
//! The unit is the run: lines of one run share its server, its machine and its minute. So a quantile is taken within a
//! run, over enough distinct lines. An interval is taken over runs, over enough of them (`intervals`). Histograms are
//! merged; percentiles are never averaged. Pure formulas, used by the reports; seeds come from the plan.

use crate::latency::LatencyHistogram;

mod intervals;
pub mod sampling;

pub use intervals::{
    Contrast, Interval, NoiseFloor, Order, RUNS_MIN, TwoGroups, contrast_interval, contrast_of,
    median_interval, noise_floor, order, paired_by_block,
};

/// Largest chance that all n samples lie below a quantile that is printed: 2.5 %, one tail of a 95 % interval.
const ALL_BELOW_CHANCE: f64 = 0.025;

/// Returns the distinct lines that a quantile needs: n ≥ ln 0.025 / ln Q, so that with 97.5 % probability at least one
/// sample lies beyond it. Lines count, not receipts: one line to 1 000 subscribers is one cluster. The maximum (1.0)
/// describes the sample and needs one line.
///
/// ```
/// use wirelab_clients::harness::statistics::distinct_lines_needed;
/// assert_eq!(distinct_lines_needed(0.99), 368);
/// assert_eq!(distinct_lines_needed(0.999), 3_688);
/// ```
pub fn distinct_lines_needed(quantile: f64) -> u64 {
    if quantile >= 1.0 || quantile <= 0.0 {
        return 1;
    }
    (ALL_BELOW_CHANCE.ln() / quantile.ln()).ceil() as u64
}

/// Returns the largest quantile that so many distinct lines resolve: the inverse of [`distinct_lines_needed`]. 0
/// without any line.
///
/// ```
/// use wirelab_clients::harness::statistics::quantile_resolved;
/// assert!(quantile_resolved(367) < 0.99 && quantile_resolved(368) >= 0.99);
/// ```
pub fn quantile_resolved(distinct_lines: u64) -> f64 {
    ALL_BELOW_CHANCE.powf(1.0 / distinct_lines as f64)
}

/// Returns the middle value; for an even number of values, the mean of the two in the middle. `None` without any value,
/// or if one is NaN.
///
/// ```
/// use wirelab_clients::harness::statistics::median;
/// assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
/// assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
/// ```
pub fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return None;
    }
    Some(median_in(&mut values.to_vec()))
}

/// Returns the median and reorders the values, as a bootstrap does thousands of times. There must be at least one
/// value, and no NaN.
fn median_in(values: &mut [f64]) -> f64 {
    let is_odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp);
    match lower {
        Some(lower) if !is_odd => f64::midpoint(lower, *upper),
        Some(_) | None => *upper,
    }
}

/// Returns the slope, y per x, of the straight line that fits `points` (x, y) best by least squares. `None` with fewer
/// than two different x.
///
/// ```
/// use wirelab_clients::harness::statistics::slope;
/// assert_eq!(slope(&[(1.0, 3.0), (2.0, 5.0), (3.0, 7.0)]), Some(2.0));
/// assert_eq!(slope(&[(1.0, 3.0), (1.0, 5.0)]), None);
/// ```
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let slope = covariance / variance;
    slope.is_finite().then_some(slope)
}

/// Merges the samples of several runs. Percentiles of the result are those of all samples; a mean of percentiles is
/// not.
pub fn merged<'a>(histograms: impl IntoIterator<Item = &'a LatencyHistogram>) -> LatencyHistogram {
    let mut all = LatencyHistogram::default();
    histograms.into_iter().for_each(|histogram| all.merge(histogram));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn a_quantile_needs_more_lines_the_further_out_it_lies() {
        let needed = [0.0, 0.5, 0.9, 0.99, 0.999, 1.0].map(distinct_lines_needed);
        assert_eq!(needed, [1, 6, 36, 368, 3_688, 1]);
    }

    #[test]
    fn lines_resolve_the_quantiles_that_need_so_many() {
        for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999] {
            let needed = distinct_lines_needed(quantile);
            assert!(quantile_resolved(needed) >= quantile && quantile_resolved(needed - 1) < quantile);
        }
        assert_eq!(quantile_resolved(0), 0.0);
    }

    #[test]
    fn nothing_has_no_median_and_no_slope() {
        assert_eq!((median(&[]), median(&[f64::NAN, 1.0])), (None, None));
        assert_eq!((slope(&[]), slope(&[(1.0, 1.0)])), (None, None));
    }

    #[test]
    fn percentiles_of_merged_runs_are_those_of_all_their_samples() {
        let run = |us: u64, count: u64| {
            let mut histogram = LatencyHistogram::default();
            histogram.record_n(Duration::from_micros(us), count);
            histogram
        };
        // A mean of the two p99 would be 505.
        let all = merged(&[run(10, 900), run(1_000, 100)]);
        assert_eq!((all.len(), all.quantile_us(0.5), all.quantile_us(0.99)), (1_000, Some(10), Some(1_000)));
    }

    proptest! {
        #[test]
        fn half_of_the_values_lie_on_each_side_of_the_median(
            values in proptest::collection::vec(-1e6..1e6f64, 1..40),
        ) {
            let middle = median(&values).unwrap();
            let half = values.len().div_ceil(2);
            prop_assert!(values.iter().filter(|value| **value <= middle).count() >= half);
            prop_assert!(values.iter().filter(|value| **value >= middle).count() >= half);
        }

        #[test]
        fn a_slope_is_found_under_any_offset(
            per_x in -1e3..1e3f64, offset in -1e3..1e3f64, count in 2..20u32,
        ) {
            let points: Vec<_> =
                (0..count).map(|x| (f64::from(x), offset + per_x * f64::from(x))).collect();
            prop_assert!((slope(&points).unwrap() - per_x).abs() < 1e-6);
        }
    }
}

//! A spread: a measured distribution of times, small enough for a manifest and exact enough to be added to a formula.
//!
//! The formulas give distributions (mostly uniform); calibrations measure others (the time of an append). The
//! distribution of their sum is a convolution, and a run measures its quantiles.

use serde::{Deserialize, Serialize};

use super::verdict::SIGMAS;

/// Most points that are kept of a distribution: its largest one per cent is one point.
const POINTS_MAX: usize = 100;

/// Distribution of times: equally likely points in ascending order, and the mean of all samples, which the points would
/// round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean of the samples, s.
    pub mean_s: f64,
    /// Standard error of that mean, s: a few slow samples make it large.
    pub error_s: f64,
    /// Number of samples.
    pub samples_count: u64,
    /// At most 100 equally likely times, s, ascending.
    pub points_s: Vec<f64>,
}

impl Spread {
    /// Makes a spread of samples in s; `None` without any sample.
    pub fn of(mut samples_s: Vec<f64>) -> Option<Self> {
        samples_s.sort_by(f64::total_cmp);
        let count = samples_s.len();
        if count == 0 {
            return None;
        }
        let mean_s = samples_s.iter().sum::<f64>() / count as f64;
        let squares: f64 = samples_s.iter().map(|sample| (sample - mean_s).powi(2)).sum();
        let error_s = squares.sqrt() / count as f64;
        let points = count.min(POINTS_MAX);
        // Each point is the middle of one of so many equal parts.
        let point = |i: usize| samples_s[(2 * i + 1) * count / (2 * points)];
        let points_s = (0..points).map(point).collect();
        Some(Self { mean_s, error_s, samples_count: count as u64, points_s })
    }

    /// Makes a spread of one constant time.
    pub fn constant(time_s: f64) -> Self {
        Self { mean_s: time_s, error_s: 0.0, samples_count: 1, points_s: vec![time_s] }
    }

    /// Returns the time that a share `quantile` does not exceed, s.
    pub fn quantile_s(&self, quantile: f64) -> f64 {
        let index = (quantile * self.points_s.len() as f64).ceil() as usize;
        self.points_s[index.clamp(1, self.points_s.len()) - 1]
    }

    /// Returns half the distance between the quartiles, s: how well one time can be predicted.
    pub fn half_width_s(&self) -> f64 {
        (self.quantile_s(0.75) - self.quantile_s(0.25)) / 2.0
    }

    /// Returns how far a mean that is predicted with this spread may be off, s. It is half the distance between the
    /// quartiles, which the machine may show at another moment, plus [`SIGMAS`] standard errors.
    pub fn mean_open_s(&self) -> f64 {
        self.half_width_s() + SIGMAS * self.error_s
    }

    /// Returns the spread with all times later by `time_s`; none below 0.
    pub fn shifted(&self, time_s: f64) -> Self {
        Self {
            mean_s: (self.mean_s + time_s).max(0.0),
            error_s: self.error_s,
            samples_count: self.samples_count,
            points_s: self.points_s.iter().map(|point| (point + time_s).max(0.0)).collect(),
        }
    }

    /// Returns the quantile of a sum: a time of this spread plus an independent time that lies in 0..=`time_max_s`.
    /// `share_below` is the distribution of that time, P(time ≤ x). Computed by convolution and bisection, to a
    /// millionth of the range.
    pub fn convolved_quantile_s(
        &self,
        share_below: impl Fn(f64) -> f64,
        time_max_s: f64,
        quantile: f64,
    ) -> f64 {
        const HALVINGS: usize = 40;
        let share = |x: f64| {
            self.points_s.iter().map(|point| share_below(x - point)).sum::<f64>() / self.points_s.len() as f64
        };
        let last = self.points_s[self.points_s.len() - 1];
        let (mut low, mut high) = (self.points_s[0], last + time_max_s);
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            if share(middle) < quantile {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

/// Returns P(time ≤ x) of a time that is uniform on 0..=`max_s`.
pub fn uniform_share_below(max_s: f64) -> impl Fn(f64) -> f64 {
    move |x| match x < 0.0 {
        true => 0.0,
        false if max_s <= 0.0 => 1.0,
        false => (x / max_s).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(samples: impl IntoIterator<Item = f64>) -> Spread {
        Spread::of(samples.into_iter().collect()).unwrap()
    }

    #[test]
    fn points_stand_for_equal_shares_whatever_the_number_of_samples() {
        assert_eq!(Spread::of(Vec::new()), None);
        let many = spread((1..=1_000).rev().map(f64::from));
        assert_eq!((many.points_s.len(), many.mean_s, many.samples_count), (100, 500.5, 1_000));
        assert!((many.quantile_s(0.5) - 500.0).abs() <= 10.0);
        assert!((many.half_width_s() - 250.0).abs() <= 10.0);
        assert_eq!(spread([3.0, 1.0, 2.0]).points_s, [1.0, 2.0, 3.0]);
        // One slow sample of a hundred changes the mean, but no quartile.
        let hiccup = spread((0..100).map(|i| if i == 7 { 1.0 } else { 0.0 }));
        assert_eq!(hiccup.half_width_s(), 0.0);
        assert!((hiccup.mean_open_s() - 0.03).abs() < 0.001, "{}", hiccup.mean_open_s());
        assert_eq!(spread([1.0, 2.0]).shifted(-1.5).points_s, [0.0, 0.5]);
    }

    #[test]
    fn a_constant_shifts_a_uniform_time_and_two_uniform_times_make_a_triangle() {
        let quantile =
            |spread: &Spread, quantile| spread.convolved_quantile_s(uniform_share_below(1.0), 1.0, quantile);
        for q in [0.1, 0.5, 0.9, 1.0] {
            assert!((quantile(&Spread::constant(0.25), q) - (0.25 + q)).abs() < 1e-5);
        }
        let uniform = spread((0..10_000).map(|i| (f64::from(i) + 0.5) / 10_000.0));
        // P(sum ≤ x) = x²/2 up to 1, then 1 − (2 − x)²/2.
        for (q, x) in [(0.125, 0.5), (0.5, 1.0), (0.875, 1.5)] {
            assert!((quantile(&uniform, q) - x).abs() < 0.01, "{q}");
        }
    }

    #[test]
    fn nothing_added_leaves_the_spread() {
        let spread = spread([1.0, 2.0, 3.0, 4.0]);
        let found = spread.convolved_quantile_s(uniform_share_below(0.0), 0.0, 0.5);
        assert!((found - 2.0).abs() < 1e-6, "{found}");
    }
}

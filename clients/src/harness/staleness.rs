//! Staleness: how old a subscriber's newest line is, on average over time.
//!
//! It is the age of information (Kaul, Yates, Gruteser 2012): at any instant, now − due time of the newest line that
//! has arrived. The age grows with the clock and falls with each newer line. So its time integral is a sum of trapezia,
//! which is exact. Used by the recorder. Pure.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Staleness over the cohort's window, over all subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staleness {
    /// Time average of the age.
    pub mean: Duration,
    /// Largest age that the newest line of any subscriber had.
    pub max: Duration,
}

/// Integral of the age of one subscriber's newest line. Times count from the first due time.
#[derive(Debug, Clone, PartialEq)]
pub struct Age {
    window: Range<f64>,
    /// Due time of the newest line that has arrived. A subscriber without a line is as stale as the log is old.
    newest_due_s: f64,
    /// Time up to which the age is integrated.
    until_s: f64,
    sum: AgeSum,
}

/// Sum of the integrals of any number of subscribers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct AgeSum {
    /// Integral of the age over time, s × s.
    integral_s2: f64,
    window_s: f64,
    max_s: f64,
}

impl Age {
    /// Creates the age of a subscriber to which nothing has arrived. Only times within `window` are integrated.
    pub fn new(window: Range<Duration>) -> Self {
        let window = window.start.as_secs_f64()..window.end.as_secs_f64();
        Self { until_s: window.start, window, newest_due_s: 0.0, sum: AgeSum::default() }
    }

    /// Notes that a line that was due at `due` arrived at `at`, which is never earlier than in the last call. A line
    /// that is older than the newest changes nothing.
    pub fn learn(&mut self, due: Duration, at: Duration) {
        if due.as_secs_f64() > self.newest_due_s {
            self.integrate(at.as_secs_f64());
            self.newest_due_s = due.as_secs_f64();
        }
    }

    /// Returns the integral up to the end of the window.
    pub fn finish(mut self) -> AgeSum {
        self.integrate(self.window.end);
        AgeSum { window_s: (self.window.end - self.window.start).max(0.0), ..self.sum }
    }

    fn integrate(&mut self, at_s: f64) {
        let (from_s, to_s) = (self.until_s, at_s.min(self.window.end));
        if to_s > from_s {
            let (youngest_s, oldest_s) = (from_s - self.newest_due_s, to_s - self.newest_due_s);
            self.sum.integral_s2 += (to_s - from_s) * (youngest_s + oldest_s) / 2.0;
            self.sum.max_s = self.sum.max_s.max(oldest_s);
            self.until_s = to_s;
        }
    }
}

impl AgeSum {
    /// Adds the integrals of other subscribers.
    pub fn add(&mut self, other: &Self) {
        self.integral_s2 += other.integral_s2;
        self.window_s += other.window_s;
        self.max_s = self.max_s.max(other.max_s);
    }

    /// Returns the average and the maximum. `None` without subscribers or without a window.
    pub fn staleness(&self) -> Option<Staleness> {
        let mean_s = self.integral_s2 / self.window_s;
        Some(Staleness {
            // The mean is below 0 only where lines arrived before they were due, and such a run is invalid.
            mean: Duration::try_from_secs_f64(mean_s.max(0.0)).ok().filter(|_| mean_s.is_finite())?,
            max: Duration::try_from_secs_f64(self.max_s).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Returns mean and maximum in µs for receipts (due, at), all in ms.
    fn staleness_us(window: Range<u64>, receipts: &[(u64, u64)]) -> Option<(u128, u128)> {
        let mut age = Age::new(ms(window.start)..ms(window.end));
        receipts.iter().for_each(|(due, at)| age.learn(ms(*due), ms(*at)));
        let mut sum = AgeSum::default();
        sum.add(&age.finish());
        sum.staleness().map(|staleness| (staleness.mean.as_micros(), staleness.max.as_micros()))
    }

    #[test]
    fn age_grows_with_the_clock_and_falls_with_each_newer_line() {
        // A line each 100 ms, 20 ms late: a saw tooth between 20 and 120 ms.
        let periodic: Vec<_> = (0..20).map(|n| (100 * n, 100 * n + 20)).collect();
        assert_eq!(staleness_us(120..1_120, &periodic), Some((70_000, 120_000)));
        // One line due at 100, seen at 150: 100 ms old at the window's begin, 200 ms at its end.
        assert_eq!(staleness_us(200..300, &[(100, 150)]), Some((150_000, 200_000)));
        // Older lines, and lines after the window, change nothing.
        assert_eq!(staleness_us(200..300, &[(100, 150), (50, 220), (250, 300)]), Some((150_000, 200_000)));
        assert_eq!(staleness_us(0..0, &[(0, 1)]), None);
    }

    #[test]
    fn who_has_no_line_is_as_stale_as_the_log_is_old() {
        assert_eq!(staleness_us(100..300, &[]), Some((200_000, 300_000)));
    }

    #[test]
    fn subscribers_count_alike_and_the_oldest_is_the_maximum() {
        let mut sum = AgeSum::default();
        for due in [0, 50] {
            let mut age = Age::new(ms(100)..ms(200));
            age.learn(ms(due), ms(90));
            sum.add(&age.finish());
        }
        assert_eq!(sum.staleness(), Some(Staleness { mean: ms(125), max: ms(200) }));
    }

    proptest! {
        /// The integral agrees with a sum over every ms, up to the ms in which a line arrives.
        #[test]
        fn the_integral_is_what_counting_every_ms_gives(
            start in 0..300_u64, length in 1..500_u64,
            lines in proptest::collection::vec((0..800_u64, 0..400_u64), 0..40),
        ) {
            // In order of receipt.
            let mut receipts: Vec<_> = lines.iter().map(|(due, late)| (*due, due + late)).collect();
            receipts.sort_by_key(|(_, at)| *at);
            let window = start..start + length;
            let (mean_us, max_us) = staleness_us(window.clone(), &receipts).unwrap();
            let newest = |now: u64| receipts.iter().filter(|(_, at)| *at <= now).map(|(due, _)| *due).max();
            // In the middle of each ms, during which nothing arrives.
            let age_us = |now: u64| ((now - newest(now).unwrap_or(0)) * 1_000 + 500) as u128;
            let naive = window.clone().map(age_us).sum::<u128>() / u128::from(length);
            prop_assert!(mean_us.abs_diff(naive) <= 1, "{} {}", mean_us, naive);
            let oldest = window.map(age_us).max().unwrap() + 500;
            prop_assert!(max_us.abs_diff(oldest) <= 1, "{} {}", max_us, oldest);
        }
    }
}

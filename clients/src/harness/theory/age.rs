//! Age of information in formulas: F15, how old the newest known line is, averaged over time.
//!
//! Times are seconds, rates 1/s. The age at a moment is now − due time of the newest line that the subscriber knows.
//! Assumptions: those of each transport's latency; lines and polls are independent of each other.

use super::long_poll::LongPoll;
use super::short_poll::ShortPoll;
use super::simulation::{self, LinePattern};

/// Lines simulated for a long poll's age: the standard error is then below 1 %.
const SIMULATED_LINES: usize = 60_000;
const SIMULATED_SEED: u64 = 15;

/// Returns F15 for a subscriber that knows every line at once: 1/λ for Poisson lines, P/2 for lines of period P.
///
/// The age is a sawtooth; its mean is E\[X²\]/(2 E\[X\]) of the gaps X between lines.
pub fn of_lines_s(lines: LinePattern) -> f64 {
    match lines {
        LinePattern::Poisson { rate_hz } => 1.0 / rate_hz,
        LinePattern::Periodic { period_s } => period_s / 2.0,
    }
}

/// Returns F15 for push: 1/λ + d.
pub fn push_s(lines: LinePattern, one_way_s: f64) -> f64 {
    of_lines_s(lines) + one_way_s
}

/// Returns F15 for a short poll: 1/λ + T'/2 + d. Between two polls, knowledge ages by half the interval on average.
pub fn short_poll_s(lines: LinePattern, poll: &ShortPoll) -> f64 {
    of_lines_s(lines) + poll.latency_mean_s()
}

/// Returns F15 for a long poll and Poisson lines, by simulation with a fixed seed. No short formula is known: a line
/// causes the answer before a gap, so the age at the start of the gap is not that of a random moment.
pub fn long_poll_s(poll: &LongPoll) -> f64 {
    let lines = LinePattern::Poisson { rate_hz: poll.line_rate_hz };
    simulation::long_poll(poll, lines, SIMULATED_LINES, SIMULATED_SEED).age_mean_s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periodic_lines_are_fresher_than_random_ones_of_the_same_rate() {
        let (poisson, periodic) =
            (LinePattern::Poisson { rate_hz: 4.0 }, LinePattern::Periodic { period_s: 0.25 });
        assert_eq!([poisson, periodic].map(|lines| push_s(lines, 0.01)), [0.26, 0.135]);
        assert_eq!(short_poll_s(periodic, &ShortPoll::fixed(1.0, 0.01)), 0.635);
    }
}

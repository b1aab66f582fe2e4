//! Long polling in formulas: F4 requests, F5 expired holds, F6 latency, F7 polls held.
//!
//! Times are seconds, rates 1/s. Assumed throughout: lines at Poisson times; every answer brings all there is; gap
//! and hold constant; nothing lingers to fill a batch. F6 is the three transits of RFC 6202 §2.2 as a distribution:
//! a line that just missed an answer waits for the answer's way, the next question's way, and its own.

/// A long poll, as the formulas see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LongPoll {
    /// λ: lines, 1/s. Positive.
    pub line_rate_hz: f64,
    /// g = R + c: from an answer's leaving to the next question's arriving, s. Nobody waits at the server in it.
    pub gap_s: f64,
    /// H: longest hold, s.
    pub hold_s: f64,
    /// d: from the server to the client, s.
    pub one_way_s: f64,
}

impl LongPoll {
    /// F4: requests of one subscriber, r = 1 / (g + e^(−λg)(1 − e^(−λH))/λ).
    ///
    /// One request's cycle is the gap, and a wait for whichever is first of line and expiry, if the gap brought no
    /// line. r → λ for λg ≪ 1 ≪ λH, 1/g for λg ≫ 1 (a short poll at its closest), 1/(g + H) for λ → 0.
    pub fn requests_per_s(&self) -> f64 {
        let Self { line_rate_hz, gap_s, hold_s, .. } = self;
        // exp_m1: 1 − e^(−x) keeps its digits for tiny x.
        let held_s = -(-line_rate_hz * hold_s).exp_m1() / line_rate_hz;
        1.0 / (gap_s + (-line_rate_hz * gap_s).exp() * held_s)
    }

    /// F5: share of all requests that end without a line, e^(−λ(g + H)).
    pub fn timeout_ratio(&self) -> f64 {
        (-self.line_rate_hz * (self.gap_s + self.hold_s)).exp()
    }

    /// F6, mean: d + r g²/2. A share r g of all lines is due in a gap and waits for half of it.
    pub fn latency_mean_s(&self) -> f64 {
        self.one_way_s + self.requests_per_s() * self.gap_s.powi(2) / 2.0
    }

    /// F6, quantile: d + max(0, g − (1 − Q)/r); 1 is the largest, d + g.
    pub fn latency_quantile_s(&self, quantile: f64) -> f64 {
        self.one_way_s + (self.gap_s - (1.0 - quantile) / self.requests_per_s()).max(0.0)
    }

    /// F7: polls held at the server at any moment, on average: N(1 − g r).
    pub fn waiters_mean(&self, subscribers: f64) -> f64 {
        subscribers * (1.0 - self.gap_s * self.requests_per_s())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(line_rate_hz: f64, gap_s: f64, hold_s: f64) -> LongPoll {
        LongPoll { line_rate_hz, gap_s, hold_s, one_way_s: 0.025 }
    }

    fn close(left: f64, right: f64) {
        assert!((left / right - 1.0).abs() < 0.01, "{left} instead of {right}");
    }

    #[test]
    fn its_three_limits_are_the_line_rate_the_gap_and_the_hold() {
        close(poll(1.0, 0.0001, 25.0).requests_per_s(), 1.0);
        close(poll(10_000.0, 0.05, 25.0).requests_per_s(), 20.0);
        close(poll(0.000_01, 1.0, 25.0).requests_per_s(), 1.0 / 26.0);
    }

    #[test]
    fn the_slowest_line_takes_three_transits() {
        let poll = poll(5.0, 0.05, 25.0);
        close(poll.latency_quantile_s(1.0), 3.0 * 0.025);
        assert_eq!(poll.latency_quantile_s(0.5), 0.025, "most lines find a poll that waits");
    }
}

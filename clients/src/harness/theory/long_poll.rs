//! Long polling in formulas: F4 requests, F5 expired holds, F6 latency, F7 polls held.
//!
//! Times are seconds, rates 1/s. Assumptions: lines come at Poisson times; every answer brings all lines; gap and hold
//! are constant; no answer waits to fill a batch. F6 is the three transits of RFC 6202 §2.2 as a distribution. A line
//! that just missed an answer waits for the answer's way, the next request's way, and its own.

/// A long poll in the terms of the formulas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LongPoll {
    /// λ: rate of the lines, 1/s. Positive.
    pub line_rate_hz: f64,
    /// g = R + c: gap from the departure of an answer to the arrival of the next request, s. No request waits at the
    /// server meanwhile.
    pub gap_s: f64,
    /// H: longest hold, s.
    pub hold_s: f64,
    /// d: time from the server to the client, s.
    pub one_way_s: f64,
}

impl LongPoll {
    /// Returns F4, requests of one subscriber per second: r = 1 / (g + e^(−λg)(1 − e^(−λH))/λ).
    ///
    /// The cycle of one request is the gap and, if the gap brought no line, a wait for the next line or the expiry. r →
    /// λ for λg ≪ 1 ≪ λH, 1/g for λg ≫ 1 (a short poll at its closest), 1/(g + H) for λ → 0.
    pub fn requests_per_s(&self) -> f64 {
        let Self { line_rate_hz, gap_s, hold_s, .. } = self;
        // exp_m1: 1 − e^(−x) keeps its digits for tiny x.
        let held_s = -(-line_rate_hz * hold_s).exp_m1() / line_rate_hz;
        1.0 / (gap_s + (-line_rate_hz * gap_s).exp() * held_s)
    }

    /// Returns F5, the share of all requests that end without a line: e^(−λ(g + H)).
    pub fn timeout_ratio(&self) -> f64 {
        (-self.line_rate_hz * (self.gap_s + self.hold_s)).exp()
    }

    /// Returns F6, the mean: d + r g²/2. A share r g of all lines is due in a gap and waits for half of it on average.
    pub fn latency_mean_s(&self) -> f64 {
        self.one_way_s + self.requests_per_s() * self.gap_s.powi(2) / 2.0
    }

    /// Returns F6, a quantile: d + max(0, g − (1 − Q)/r); Q = 1 gives the maximum, d + g.
    pub fn latency_quantile_s(&self, quantile: f64) -> f64 {
        self.one_way_s + (self.gap_s - (1.0 - quantile) / self.requests_per_s()).max(0.0)
    }

    /// Returns F7, the polls held at the server at any moment, on average: N(1 − g r).
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

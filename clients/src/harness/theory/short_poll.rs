//! Short polling in formulas: F1 latency, F2 requests, F3 lines per request.
//!
//! Times are seconds, rates 1/s. Assumptions:
//! - lines come at Poisson times unless a name says periodic;
//! - the first poll of each client comes after a uniform part of the interval;
//! - every poll is answered at once and with all lines;
//! - the interval is constant (no jitter, no adaptation).

/// A short poll in the terms of the formulas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShortPoll {
    /// T': time from one poll to the next, s.
    pub interval_s: f64,
    /// d: time from the server to the client, s.
    pub one_way_s: f64,
}

impl ShortPoll {
    /// Makes a short poll that asks at fixed times: T' = T. The exchange (R + c) must be shorter than the interval, or
    /// polls are skipped.
    ///
    /// A timer that fires late by the same time at every poll changes neither the gap between two polls nor any formula
    /// here. Only the spread of its lateness does, in second order.
    pub fn fixed(interval_s: f64, one_way_s: f64) -> Self {
        Self { interval_s, one_way_s }
    }

    /// Makes a short poll that pauses after each answer: T' = T + R + c. The exchange is added, since the pause begins
    /// with the answer. So are the lateness of the timer that ends the pause, and the time to connect where every poll
    /// connects.
    pub fn pause(pause_s: f64, exchange_s: f64, timer_late_s: f64, connect_s: f64, one_way_s: f64) -> Self {
        Self { interval_s: pause_s + exchange_s + timer_late_s + connect_s, one_way_s }
    }

    /// Returns F1, the mean: T'/2 + d. The wait for the next poll is uniform on [0, T'] (PASTA: Poisson lines see time
    /// averages).
    pub fn latency_mean_s(&self) -> f64 {
        self.interval_s / 2.0 + self.one_way_s
    }

    /// Returns F1, a quantile: QT' + d; Q = 1 gives the maximum.
    pub fn latency_quantile_s(&self, quantile: f64) -> f64 {
        quantile * self.interval_s + self.one_way_s
    }

    /// Returns F2, requests per second: N/T', whatever the lines do.
    pub fn requests_per_s(&self, subscribers: f64) -> f64 {
        subscribers / self.interval_s
    }

    /// Returns F3, the share of answers without a line: e^(−λT').
    pub fn empty_ratio(&self, line_rate_hz: f64) -> f64 {
        (-line_rate_hz * self.interval_s).exp()
    }

    /// Returns F3, the share of answers without a line, for lines of period `period_s`: max(0, 1 − T'/P).
    pub fn empty_ratio_periodic(&self, period_s: f64) -> f64 {
        (1.0 - self.interval_s / period_s).max(0.0)
    }

    /// Returns F3, requests per line and subscriber: 1/(λT'), for any lines of that rate.
    pub fn requests_per_line(&self, line_rate_hz: f64) -> f64 {
        1.0 / (line_rate_hz * self.interval_s)
    }

    /// Returns F3, lines per answer that has any: λT'/(1 − e^(−λT')).
    pub fn lines_per_data_answer(&self, line_rate_hz: f64) -> f64 {
        line_rate_hz * self.interval_s / (1.0 - self.empty_ratio(line_rate_hz))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_between_polls_costs_half_a_second_on_average() {
        let poll = ShortPoll::fixed(1.0, 0.025);
        assert_eq!(poll.latency_mean_s(), 0.525);
        assert_eq!([0.0, 0.5, 1.0].map(|q| poll.latency_quantile_s(q)), [0.025, 0.525, 1.025]);
        assert_eq!(poll.requests_per_s(250.0), 250.0);
        assert_eq!(poll.requests_per_line(0.1), 10.0);
    }

    #[test]
    fn a_pause_is_lengthened_by_all_that_happens_between_two() {
        let poll = ShortPoll::pause(0.2, 0.05, 0.001, 0.049, 0.025);
        assert!((poll.interval_s - 0.3).abs() < 1e-12);
    }

    #[test]
    fn periodic_lines_leave_no_answer_empty_once_polls_are_rarer() {
        let poll = ShortPoll::fixed(0.25, 0.0);
        assert_eq!(poll.empty_ratio_periodic(1.0), 0.75);
        assert_eq!(poll.empty_ratio_periodic(0.2), 0.0);
    }
}

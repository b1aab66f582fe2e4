//! Aliasing in a formula: F12, how often periodic lines and fixed polls meet in the same way.
//!
//! Times are seconds. Periods and intervals are given in whole nanoseconds, since a ratio of two floats has no lowest
//! terms. Assumptions: lines are exactly 1/rate apart, polls are exactly an interval apart, and all compared polls have
//! one phase.

/// F12: the latencies that a client sees with lines of one period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aliasing {
    /// Number of latencies that occur: a of T/P = a/b in lowest terms.
    pub distinct_latencies: u64,
    /// Distance from one latency to the next: T/a, s.
    pub spacing_s: f64,
}

/// Returns F12: T/P = a/b in lowest terms gives exactly a latencies, T/a apart. With a = 1 there is one latency, which
/// the phase puts anywhere from d to T + d. With a large a, the latencies cannot be told from a uniform distribution.
///
/// # Panics
/// If the period or the interval is 0.
pub fn aliasing(interval_ns: u64, period_ns: u64) -> Aliasing {
    assert!(interval_ns > 0 && period_ns > 0, "an interval and a period last");
    let distinct_latencies = interval_ns / greatest_common_divisor(interval_ns, period_ns);
    Aliasing { distinct_latencies, spacing_s: interval_ns as f64 / 1e9 / distinct_latencies as f64 }
}

fn greatest_common_divisor(left: u64, right: u64) -> u64 {
    if right == 0 { left } else { greatest_common_divisor(right, left % right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn an_interval_that_divides_the_period_gives_one_latency() {
        for (interval_ms, period_ms, distinct_latencies) in
            [(200, 200, 1), (200, 1_000, 1), (200, 50, 4), (300, 200, 3), (199, 200, 199)]
        {
            let found = aliasing(interval_ms * MS, period_ms * MS);
            assert_eq!(found.distinct_latencies, distinct_latencies, "{interval_ms} {period_ms}");
            let whole_s = found.spacing_s * distinct_latencies as f64;
            assert!((whole_s * 1e3 - interval_ms as f64).abs() < 1e-9);
        }
    }
}

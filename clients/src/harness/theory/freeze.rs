//! A freeze in a formula: F11, the effect of a stalled server on latencies that are counted from the due time.
//!
//! Times are seconds. In wrk2's README a server is stopped for 1.4 s: a tool that waits for answers asks nothing
//! meanwhile and misses the freeze. Assumptions: lines are spread evenly over the cohort, and the stall lies within it.
//! Lines that were due in the stall are delivered at once at its end.

/// Returns F11: the latency at `quantile` of a cohort of `cohort_s` with a stall of `stall_s`. It is d + S − (1 − Q)D
/// for Q > 1 − S/D, and d below.
pub fn latency_quantile_s(stall_s: f64, cohort_s: f64, one_way_s: f64, quantile: f64) -> f64 {
    one_way_s + (stall_s - (1.0 - quantile) * cohort_s).max(0.0)
}

/// Returns F11, the mean: d + S²/(2D), since a share S/D of the lines waits for half the stall on average.
pub fn latency_mean_s(stall_s: f64, cohort_s: f64, one_way_s: f64) -> f64 {
    one_way_s + stall_s.powi(2) / (2.0 * cohort_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_waits_would_have_hidden_it() {
        // wrk2's second example: 1.42 s of the 20 s that it records. It printed 1.27 s.
        assert!((latency_quantile_s(1.42, 20.0, 0.0, 0.99) - 1.22).abs() < 1e-9);
        assert_eq!(latency_quantile_s(1.42, 20.0, 0.008, 0.5), 0.008);
        assert_eq!(latency_quantile_s(1.42, 20.0, 0.0, 1.0), 1.42);
    }
}

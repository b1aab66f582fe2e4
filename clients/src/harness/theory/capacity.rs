//! Capacity in formulas: F10, how many users can poll one server.
//!
//! Times are seconds, rates 1/s. After Van de Vyvere, Colpaert and Verborgh (2020), "Comparing a polling and push-based
//! approach for live open data interfaces". A server answers a limited number of requests per second, and each user
//! asks once per interval. The interval may be as long as the maximum acceptable latency (MAL) allows. Assumptions:
//! every request costs the same, phases are random, and no queue lasts.

/// Returns F10: the users that can poll a server of `requests_per_s_max` so that no line takes longer than
/// `latency_max_s`. It is Req_max · (MAL − d), and 0 where the way alone takes longer.
pub fn users_max(requests_per_s_max: f64, latency_max_s: f64, one_way_s: f64) -> f64 {
    requests_per_s_max * (latency_max_s - one_way_s).max(0.0)
}

/// Returns F10: the MAL above which polling serves more users than pushing to `pushed_users_max`. It is N_push /
/// Req_max (+ d).
pub fn latency_crossover_s(pushed_users_max: f64, requests_per_s_max: f64, one_way_s: f64) -> f64 {
    pushed_users_max / requests_per_s_max + one_way_s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_crosses_over_at_ten_seconds() {
        let crossover_s = latency_crossover_s(25_000.0, 2_520.0, 0.0);
        assert!((crossover_s - 9.92).abs() < 0.01, "{crossover_s}");
        assert!((users_max(2_520.0, crossover_s, 0.0) - 25_000.0).abs() < 1e-6);
        assert_eq!(users_max(2_520.0, 0.01, 0.02), 0.0);
    }
}

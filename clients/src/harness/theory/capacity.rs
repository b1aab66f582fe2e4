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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_crosses_over_at_ten_seconds() {
        // 25 000 users of a push server against 2 520 requests per second.
        assert!((users_max(2_520.0, 9.92, 0.0) - 25_000.0).abs() < 5.0);
        assert_eq!(users_max(2_520.0, 0.01, 0.02), 0.0);
    }
}

//! Streams in formulas: F8, the latency of a line on SSE, NDJSON and WebSocket, and the number of requests.
//!
//! Times are seconds. Assumptions:
//! - the server writes to one subscriber after the other, in any order, and all writes take equally long;
//! - no subscriber reads slower than lines come;
//! - no answer waits to fill a batch.

/// Returns F8, the mean latency: d + (N − 1)/2 writes. On average as many subscribers stand before a subscriber in the
/// fan-out as behind it. It is reported, and judged only where the cost of a write was measured by something other than
/// a stream.
pub fn latency_mean_s(one_way_s: f64, subscribers: f64, write_s: f64) -> f64 {
    one_way_s + (subscribers - 1.0) / 2.0 * write_s
}

/// Returns F8, the requests of one subscriber: 1 + reconnects.
pub fn requests(reconnects: f64) -> f64 {
    1.0 + reconnects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_that_of_all_positions() {
        let latencies = (0..9).map(|position| 0.01 + f64::from(position) * 0.001);
        assert!((latencies.sum::<f64>() / 9.0 - latency_mean_s(0.01, 9.0, 0.001)).abs() < 1e-12);
        assert_eq!(latency_mean_s(0.01, 1.0, 0.001), 0.01);
        assert_eq!(requests(2.0), 3.0);
    }
}

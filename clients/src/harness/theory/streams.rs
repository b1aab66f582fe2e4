//! Streams in formulas: F8, what a line takes on SSE, NDJSON and WebSocket, and what they ask.
//!
//! Times are seconds. Assumed: the server writes to one subscriber after the other, in any order, each write as long
//! as the last; no subscriber reads slower than lines come; nothing lingers to fill a batch.

/// F8: mean latency, d + (N − 1)/2 writes. A line's subscriber stands anywhere in the fan-out, with as many before it
/// as behind it. Reported; judged only where a write's cost was measured by something that is not a stream.
pub fn latency_mean_s(one_way_s: f64, subscribers: f64, write_s: f64) -> f64 {
    one_way_s + (subscribers - 1.0) / 2.0 * write_s
}

/// F8: requests of one subscriber, 1 + reconnects.
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

//! The famous ratio in a formula: F16, headers of a poll against a message of two bytes.
//!
//! After Lubbers and Greco (2010), "HTML5 WebSocket: a quantum leap in scalability for the web": every client polls
//! once per second with 871 bytes of headers, or gets a frame of 2 bytes per message. Sizes are bytes, rates bit/s.
//! Assumed: one message per client and second, headers of that browser and that site, nothing compressed.

use super::bytes::SEGMENT_BYTES;

/// Headers of one of their polls, question and answer.
pub const POLL_HEADER_BYTES: f64 = 871.0;
/// Head of one of their frames.
pub const FRAME_HEADER_BYTES: f64 = 2.0;

/// F16: bit/s of headers of `clients` that get one message each per second.
pub fn header_bits_per_s(header_bytes: f64, clients: f64) -> f64 {
    header_bytes * 8.0 * clients
}

/// F16: the same on a wire, where a frame needs a segment and its ACK too: (h + 66 s) / (2 + 132).
pub fn wire_ratio(poll_header_bytes: f64, segments: f64) -> f64 {
    (poll_header_bytes + SEGMENT_BYTES * segments) / (FRAME_HEADER_BYTES + 2.0 * SEGMENT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hundred_to_one_becomes_eight_to_one_on_a_wire() {
        assert_eq!(header_bits_per_s(POLL_HEADER_BYTES, 100_000.0), 696_800_000.0);
        assert_eq!(header_bits_per_s(FRAME_HEADER_BYTES, 100_000.0), 1_600_000.0);
        let rounded = |ratio: f64| (ratio * 10.0).round() / 10.0;
        assert_eq!([2.0, 3.0].map(|s| rounded(wire_ratio(POLL_HEADER_BYTES, s))), [7.5, 8.0]);
        assert_eq!([2.0, 3.0].map(|s| rounded(wire_ratio(200.0, s))), [2.5, 3.0]);
    }
}

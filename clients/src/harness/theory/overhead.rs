//! The famous ratio in a formula: F16, headers of a poll against a message of two bytes.
//!
//! After Lubbers and Greco (2010), "HTML5 WebSocket: a quantum leap in scalability for the web". Every client polls
//! once per second with 871 bytes of headers, or gets each message in a frame with a head of 2 bytes. Sizes are bytes,
//! rates bit/s. Assumptions: one message per client and second, the headers of the paper's browser and site, no
//! compression.

use super::bytes::SEGMENT_BYTES;

/// Header bytes of one poll in the paper, request and answer.
pub const POLL_HEADER_BYTES: f64 = 871.0;
/// Bytes of a frame's head in the paper.
pub const FRAME_HEADER_BYTES: f64 = 2.0;

/// Returns F16: bit/s of headers for `clients` that get one message each per second.
pub fn header_bits_per_s(header_bytes: f64, clients: f64) -> f64 {
    header_bytes * 8.0 * clients
}

/// Returns F16 on a wire, as the ratio of a poll to a frame, which needs a segment and its ACK too: (h + 66 s) / (2 +
/// 132).
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

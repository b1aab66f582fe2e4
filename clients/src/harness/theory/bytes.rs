//! Bytes per line in formulas: F9, per subscriber and line.
//!
//! Sizes are bytes. The size of a message is that of its bytes in the socket; on a wire each segment adds
//! [`SEGMENT_BYTES`]. Assumptions: no message fills more than one segment (MSS), and nothing is compressed. The caller
//! counts `segments`: 2 per exchange with piggybacked ACKs, and one more for each side that is silent for longer than a
//! delayed ACK waits.

/// Header bytes of a segment: Ethernet 14 + IPv4 20 + TCP 20 + timestamps 12.
pub const SEGMENT_BYTES: f64 = 66.0;
/// Time that Linux delays an ACK that may ride on data, s: the minimum, which an idle connection gets.
pub const DELAYED_ACK_S: f64 = 0.040;
/// Largest payload and head of a server's frame: 2 bytes up to 125 bytes, 4 up to 65 535, 10 above (RFC 6455 §5.2).
/// Clients (Chrome, Firefox, wirelab) mask their frames, a server does not.
const FRAME_HEADS: [(f64, f64); 2] = [(125.0, 2.0), (65_535.0, 4.0)];
const FRAME_HEAD_LONG: f64 = 10.0;

/// Sizes of the messages of one kind of poll, bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PollSizes {
    /// h_q: a whole request.
    pub question: f64,
    /// h_200: the head and envelope of an answer with lines, without the lines.
    pub answer: f64,
    /// h_304 or h_204: an answer without lines. For a plain short poll it is a 200 with an empty batch.
    pub empty: f64,
    /// L: one line as it stands in an answer.
    pub line: f64,
}

impl PollSizes {
    /// Returns F9, bytes per line: (e·h_empty + (1 − e)·h_200 + h_q + 66 s) · requests per line + L.
    ///
    /// For short polls e is F3's empty ratio and requests per line 1/(λT'); for long polls e is F5's timeout ratio and
    /// requests per line r/λ. `segments` 0 gives the bytes in the socket.
    pub fn per_line(&self, empty_ratio: f64, requests_per_line: f64, segments: f64) -> f64 {
        let answer = empty_ratio * self.empty + (1.0 - empty_ratio) * self.answer;
        (answer + self.question + SEGMENT_BYTES * segments) * requests_per_line + self.line
    }
}

/// Returns the segments of one exchange: request and answer, and a separate ACK of each that the other side lets wait.
/// `until_answer_s` is what the server takes from a request to its answer, and `until_next_s` what the client takes from
/// an answer to its next request. Both are times at one end: distance is in neither.
pub fn segments_per_exchange(until_answer_s: f64, until_next_s: f64) -> f64 {
    let silent = |silent_s: f64| if silent_s > DELAYED_ACK_S { 1.0 } else { 0.0 };
    2.0 + silent(until_answer_s) + silent(until_next_s)
}

/// Returns F9 for a stream: the line with its framing, 66 for its segment and 66 for its share of an ACK. `ack_share`:
/// ACKs per segment, 0.5 to 1. `framed_line` includes the frame's or chunk's head.
pub fn stream_per_line(framed_line: f64, ack_share: f64) -> f64 {
    framed_line + SEGMENT_BYTES * (1.0 + ack_share)
}

/// Returns the bytes of the head of an unmasked WebSocket frame around `payload` bytes: 2, 4 or 10.
pub fn frame_head(payload: f64) -> f64 {
    FRAME_HEADS
        .iter()
        .find(|(payload_max, _)| payload <= *payload_max)
        .map_or(FRAME_HEAD_LONG, |(_, head)| *head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: PollSizes = PollSizes { question: 300.0, answer: 250.0, empty: 150.0, line: 120.0 };

    #[test]
    fn rare_lines_pay_for_all_empty_answers() {
        // One line in ten polls: nine empty answers, one with data.
        assert!((SIZES.per_line(0.9, 10.0, 0.0) - (10.0 * 300.0 + 9.0 * 150.0 + 250.0 + 120.0)).abs() < 1e-9);
        let wire = SIZES.per_line(0.9, 10.0, 3.0) - SIZES.per_line(0.9, 10.0, 0.0);
        assert!((wire - 10.0 * 3.0 * 66.0).abs() < 1e-9);
    }

    #[test]
    fn the_head_of_a_frame_grows_twice() {
        assert_eq!([0.0, 125.0, 126.0, 65_535.0, 65_536.0].map(frame_head), [2.0, 2.0, 4.0, 4.0, 10.0]);
    }

    #[test]
    fn an_acknowledgement_rides_on_what_comes_next_if_it_comes_soon() {
        let segments = [(0.0, 0.01), (0.0, 0.2), (0.2, 0.0), (0.2, 0.2)]
            .map(|(until_answer_s, until_next_s)| segments_per_exchange(until_answer_s, until_next_s));
        assert_eq!(segments, [2.0, 3.0, 3.0, 4.0]);
        assert_eq!(stream_per_line(150.0, 1.0), 150.0 + 132.0);
    }
}

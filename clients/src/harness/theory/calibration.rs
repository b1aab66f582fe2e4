//! Calibrations: the constants of the formulas, as measured before the first run.
//!
//! Values only; `harness::calibration` measures them. They stand in `manifest.json`, so that a reader can compute each
//! row of `theory.csv` again. No constant is ever fitted to what it predicts. Times are those of an idle server and
//! sizes those of single exchanges, on a separate deployment.

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use crate::options::{Compression, Condition, HttpVersion, PollConnections};
use crate::wire::Transport;

/// Constants of one server, as the plan starts it, over one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Name of the server, of how it was started, and of the network; cells with that name share the calibration.
    pub server: String,
    /// Link between the subscribers and the server, as configured; `None`: the machine's own network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<CalibratedLink>,
    /// R: time of a few bytes there and back over a socket of the same kind, s. It includes the link's.
    pub round_trip_s: Spread,
    /// Time to open a TCP connection, s.
    pub connect_s: Spread,
    /// Lateness of a client's timer, s: it counts whole milliseconds.
    pub timer_late_s: Spread,
    /// a: time from a line's due time until readers see it, s. Measured as receipts on an idle NDJSON stream beside the
    /// server, less the way there, so no link is in it. Where the publisher stands across the link, its delay up is added.
    pub visible_s: Spread,
    /// Time that one more subscriber in the fan-out costs, s: from a line's mean receipt with several NDJSON streams and
    /// with one. It includes the harness's own reads, so F8 is reported and not judged by it. `None` where noise hides the
    /// difference.
    pub write_s: Option<f64>,
    /// Constants of each way to ask for lines.
    pub arms: Vec<ArmCalibration>,
}

/// Delays of a link as they are configured, without what the machine adds. Jitter leaves their means.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibratedLink {
    /// Delay from the subscribers to the server, s.
    pub up_s: f64,
    /// Delay from the server to the subscribers, s.
    pub down_s: f64,
}

/// Constants of one way to ask a server for lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmCalibration {
    /// Way to ask for lines.
    pub arm: CalibratedArm,
    /// R + c: time of a poll that finds nothing, from request to answer, s. Includes connecting where every poll connects.
    pub exchange_s: Option<Spread>,
    /// g without the client's turn: time from one request of a long poll to the next when an answer is always there, s.
    pub cycle_s: Option<Spread>,
    /// a for a long poll that is held when the line comes, s: measured beside the server, like `visible_s`.
    pub held_s: Option<Spread>,
    /// Sizes of the messages.
    pub sizes: Sizes,
}

/// The options that decide how an exchange looks on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibratedArm {
    /// Transport of the subscribers.
    pub transport: Transport,
    /// Version of HTTP.
    pub http: HttpVersion,
    /// Whether connections are kept between polls.
    pub connections: PollConnections,
    /// Encoding of answers.
    pub compression: Compression,
    /// Condition of a short poll: with an entity tag or without.
    pub condition: Condition,
}

/// Size of a message that depends on its seqs: a seq costs a byte per digit each time it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageBytes {
    /// Bytes without the digits of seqs.
    pub plain: f64,
    /// Number of seqs written in the message.
    pub seqs: f64,
}

impl MessageBytes {
    /// Computes the size from the bytes of a message with seqs of one digit and with seqs of two.
    pub fn of(one_digit: f64, two_digits: f64) -> Self {
        let seqs = two_digits - one_digit;
        Self { plain: one_digit - seqs, seqs }
    }

    /// Returns the bytes where a seq has so many digits.
    pub fn bytes(&self, digits: f64) -> f64 {
        self.plain + self.seqs * digits
    }
}

/// Sizes of the messages of one way to ask, bytes in the socket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sizes {
    /// Sizes of a poll's messages.
    Poll {
        /// h_q: a request. For a long poll, one with a hold of one digit, in whole seconds.
        question: MessageBytes,
        /// h_200: head and envelope of an answer, without lines.
        answer: MessageBytes,
        /// h_304, h_204, or a 200 with an empty batch.
        empty: MessageBytes,
        /// L without the line's text.
        line: MessageBytes,
    },
    /// Sizes of a stream's messages.
    Stream {
        /// L with its framing, without the line's text.
        line: MessageBytes,
    },
}

impl Calibration {
    /// Returns d, the time from the server to a subscriber, s: the link's delay in that direction, and half of what is left
    /// of R. The machine's own network has two equal directions; a link need not have.
    pub fn one_way_s(&self) -> f64 {
        self.link.map_or(0.0, |link| link.down_s) + self.machine_one_way_s()
    }

    /// Returns the time that one way takes besides the link's delay, s: half of what R is longer than the link's.
    pub fn machine_one_way_s(&self) -> f64 {
        let link_s = self.link.map_or(0.0, |link| link.up_s + link.down_s);
        ((self.round_trip_s.mean_s - link_s) / 2.0).max(0.0)
    }

    /// Finds the constants of one way to ask for lines.
    pub fn arm(&self, arm: &CalibratedArm) -> Option<&ArmCalibration> {
        self.arms.iter().find(|calibrated| calibrated.arm == *arm)
    }
}

/// Returns the average number of digits of the seqs `first..=last`.
pub fn digits_mean(first: u64, last: u64) -> f64 {
    let digits_up_to = |seq: u64| {
        // Counts each number up to `seq` once per digit: all numbers, those from 10, those from 100, …
        std::iter::successors(Some(1_u64), |power| power.checked_mul(10))
            .take_while(|power| *power <= seq)
            .map(|power| seq - power + 1)
            .sum::<u64>()
    };
    let count = last.saturating_sub(first) + 1;
    (digits_up_to(last) - digits_up_to(first.saturating_sub(1).min(last))) as f64 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_as_they_are_written() {
        for (first, last) in [(1, 9), (1, 10), (7, 7), (95, 1_203), (1, 1)] {
            let written: usize = (first..=last).map(|seq| seq.to_string().len()).sum();
            assert_eq!(
                digits_mean(first, last),
                written as f64 / (last - first + 1) as f64,
                "{first} {last}"
            );
        }
    }

    #[test]
    fn a_lines_way_is_the_links_way_down_and_the_machines_half() {
        let of = |link, round_trip_s| {
            let calibration = crate::harness::example::calibration();
            Calibration { link, round_trip_s: Spread::constant(round_trip_s), ..calibration }.one_way_s()
        };
        let close =
            |left: f64, right: f64| assert!((left - right).abs() < 1e-12, "{left} instead of {right}");
        close(of(None, 0.000_2), 0.000_1);
        let link = Some(CalibratedLink { up_s: 0.010, down_s: 0.040 });
        close(of(link, 0.050_4), 0.040_2);
        // An echo is never faster than the link; a clock's rounding must not make its way shorter.
        close(of(link, 0.049_9), 0.040);
    }

    #[test]
    fn a_message_grows_with_its_seqs() {
        let message = MessageBytes::of(102.0, 104.0);
        assert_eq!((message.plain, message.seqs), (100.0, 2.0));
        assert_eq!([1.0, 2.0, 3.5].map(|digits| message.bytes(digits)), [102.0, 104.0, 107.0]);
    }
}

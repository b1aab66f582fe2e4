//! Calibrations: the constants of the formulas, as measured before the first run.
//!
//! Values only; `harness::calibration` measures them. They stand in `manifest.json`, so that whoever reads a row of
//! `theory.csv` can work it out again. None is ever fitted to what it predicts: times are of an idle server and sizes
//! of single exchanges, on a deployment of their own.

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use crate::options::{Compression, Condition, Connections, HttpVersion};
use crate::wire::Transport;

/// One server, as the plan starts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Names the server and how it was started; cells of the same name share it.
    pub server: String,
    /// R: there and back of a few bytes over a socket of the same kind, s. Its half is d.
    pub round_trip_s: Spread,
    /// What a TCP connection takes, s.
    pub connect_s: Spread,
    /// How late a client's timer fires, s: it counts whole milliseconds.
    pub timer_late_s: Spread,
    /// a: from a line's due time until readers see it, s: receipts on an idle NDJSON stream, less d.
    pub visible_s: Spread,
    /// Of one more subscriber in the fan-out, s: of a line's mean receipt with several NDJSON streams and with one. It
    /// holds the harness's own reads, so F8 is reported and not judged by it. `None` where the difference drowns.
    pub write_s: Option<f64>,
    /// What depends on how lines are asked for.
    pub arms: Vec<ArmCalibration>,
}

/// One way to ask a server for lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmCalibration {
    /// How lines reach the subscribers.
    pub arm: Arm,
    /// R + c: a poll that finds nothing, from question to answer, s. With connecting where every poll does.
    pub exchange_s: Option<Spread>,
    /// g without the client's turn: from one question of a long poll to the next when an answer is always there, s.
    pub cycle_s: Option<Spread>,
    /// a + d of a long poll that is held when the line comes, s.
    pub held_s: Option<Spread>,
    /// What its messages weigh.
    pub sizes: Sizes,
}

/// What decides how an exchange looks on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// The transport.
    pub transport: Transport,
    /// Over which HTTP.
    pub http: HttpVersion,
    /// Kept or not.
    pub connections: Connections,
    /// Encoded or not.
    pub compression: Compression,
    /// Short poll: with an entity tag or without.
    pub condition: Condition,
}

/// Bytes of a message, most of which never change: a seq costs a byte per digit each time it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageBytes {
    /// Without digits of seqs.
    pub plain: f64,
    /// Seqs written in it.
    pub seqs: f64,
}

impl MessageBytes {
    /// From the same message with seqs of one digit and of two.
    pub fn of(one_digit: f64, two_digits: f64) -> Self {
        let seqs = two_digits - one_digit;
        Self { plain: one_digit - seqs, seqs }
    }

    /// Bytes where a seq has so many digits.
    pub fn bytes(&self, digits: f64) -> f64 {
        self.plain + self.seqs * digits
    }
}

/// What an arm's messages weigh, bytes in the socket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sizes {
    /// Of polls.
    Poll {
        /// h_q. Of a long poll with a hold of one digit, in whole seconds.
        question: MessageBytes,
        /// h_200, head and envelope without lines.
        answer: MessageBytes,
        /// h_304, h_204, or a 200 with an empty batch.
        empty: MessageBytes,
        /// L without the line's text.
        line: MessageBytes,
    },
    /// Of streams.
    Stream {
        /// L with its framing, without the line's text.
        line: MessageBytes,
    },
}

impl Calibration {
    /// d: half of R, s.
    pub fn one_way_s(&self) -> f64 {
        self.round_trip_s.mean_s / 2.0
    }

    /// The arm's own constants.
    pub fn arm(&self, arm: &Arm) -> Option<&ArmCalibration> {
        self.arms.iter().find(|calibrated| calibrated.arm == *arm)
    }
}

/// Digits of the seqs `first..=last`, on average.
pub fn digits_mean(first: u64, last: u64) -> f64 {
    let digits_up_to = |seq: u64| {
        // Numbers of at most `seq`, counted once per digit: all, those from 10, those from 100, …
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
    fn a_message_grows_with_its_seqs() {
        let message = MessageBytes::of(102.0, 104.0);
        assert_eq!((message.plain, message.seqs), (100.0, 2.0));
        assert_eq!([1.0, 2.0, 3.5].map(|digits| message.bytes(digits)), [102.0, 104.0, 107.0]);
    }
}

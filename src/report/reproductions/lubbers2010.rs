//! Lubbers and Greco 2010: 871 bytes of headers for a poll, 2 bytes for a WebSocket message.
//!
//! Their law: overhead is headers × clients × polls per second. It is measured at 10 and 100 clients. Overhead is what
//! went through the sockets besides the text of the lines. On a wire, F16 puts segments around both.

use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::harness::theory::overhead;
use wirelab_clients::wire::Transport::{ShortPoll, Websocket};

use super::figure::{Asks, Figure, Printed};
use super::point::Point;
use super::reproduction::{Reproduction, Source};
use super::seen::{Place, Seen, ratio};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "lubbers2010",
    source: Source {
        authors: "P. Lubbers, F. Greco",
        year: 2010,
        title: "HTML5 WebSocket: A Quantum Leap in Scalability for the Web",
        place: "use cases A to C, websocket.org/quantum.html",
    },
    law: "Overhead in bit/s is header bytes × 8 × clients × messages per second, for polls and messages alike.",
    differs: &[
        "They computed the bits from the headers of one request and answer of a browser; here every byte in the sockets \
         is counted.",
        "Our clients send few headers, without cookies and without the names of a browser.",
        "Our WebSocket message carries the line's position as JSON; 2 of its bytes are the head of the frame.",
        "100 clients stand for their 1,000; the ratio on the wire is that of segments on a loopback.",
    ],
    figures,
};

/// Largest share by which a header counts as the printed one.
const SAME_HEADERS: f64 = 0.25;
/// Largest share by which traffic misses the law: a poll more or less at each end of the window.
const LAW: f64 = 0.1;
/// Segments of a poll when the next one comes after a delayed ACK: question, answer and the ACK.
const SEGMENTS: f64 = 3.0;

const FEW_POLLS: Place = ("n10", ShortPoll);
const POLLS: Place = ("n100", ShortPoll);
const MESSAGES: Place = ("n100", Websocket);

fn figures() -> Vec<Figure> {
    let printed = |value: f64| Some(Printed { value, scale: 1.0 });
    vec![
        Figure {
            what: "overhead of a poll",
            unit: "bytes",
            printed: printed(overhead::POLL_HEADER_BYTES),
            asks: Asks::Constant { within: SAME_HEADERS },
            points: |seen| seen.each(POLLS, |run| poll(seen, run)),
        },
        Figure {
            what: "overhead of a WebSocket message",
            unit: "bytes",
            printed: printed(overhead::FRAME_HEADER_BYTES),
            asks: Asks::Constant { within: SAME_HEADERS },
            points: |seen| {
                seen.each(MESSAGES, |run| Some(Point::of(besides(run)?, predicted_besides(seen, run))))
            },
        },
        Figure {
            what: "a poll over a message, in the sockets",
            unit: "ratio",
            printed: printed(overhead::POLL_HEADER_BYTES / overhead::FRAME_HEADER_BYTES),
            asks: Asks::Above { limit: 1.0 },
            points: |seen| seen.both((POLLS, MESSAGES), |poll, message| sockets(seen, poll, message)),
        },
        Figure {
            what: "overhead of 100 clients that poll",
            unit: "kbit/s",
            printed: Some(Printed { value: 6_968.0, scale: 0.1 }),
            asks: Asks::Law { within: LAW },
            points: |seen| seen.each(POLLS, |run| traffic(seen, run)),
        },
        Figure {
            what: "growth with ten times the clients",
            unit: "ratio",
            printed: printed(10.0),
            asks: Asks::Law { within: LAW },
            points: |seen| seen.both((POLLS, FEW_POLLS), |many, few| growth(seen, many, few)),
        },
        Figure {
            what: "on the wire (printed: F16 of theirs)",
            unit: "ratio",
            printed: printed(overhead::wire_ratio(overhead::POLL_HEADER_BYTES, SEGMENTS)),
            asks: Asks::Nothing,
            points: |seen| seen.both((POLLS, MESSAGES), |poll, message| wire(seen, poll, message)),
        },
    ]
}

/// Returns the bytes in the sockets besides the text, per line.
fn besides(run: &RunRow) -> Option<f64> {
    Some(run.l7_per_line_bytes? - run.app_per_line_bytes?)
}

fn predicted_besides(seen: &Seen<'_>, run: &RunRow) -> Option<f64> {
    let (predicted, _) = seen.theory(run, "F9", "l7 bytes per line")?;
    Some(predicted - run.payload_bytes? as f64)
}

fn poll(seen: &Seen<'_>, run: &RunRow) -> Option<Point> {
    let ours = ratio(besides(run)?, run.requests_per_line_ratio?)?;
    Some(Point::of(ours, predicted_besides(seen, run)))
}

fn sockets(seen: &Seen<'_>, poll: &RunRow, message: &RunRow) -> Option<Point> {
    let predicted = predicted_besides(seen, poll).zip(predicted_besides(seen, message));
    let predicted = predicted.and_then(|(poll, message)| ratio(poll, message));
    Some(Point::of(ratio(besides(poll)?, besides(message)?)?, predicted))
}

/// Returns the overhead of all clients in bit/s: that of a poll, times the polls per second of the counted window.
fn bit_per_s(seen: &Seen<'_>, run: &RunRow) -> Option<f64> {
    let (_, polls_per_s) = seen.theory(run, "F2", "requests per second")?;
    Some(overhead::header_bits_per_s(poll(seen, run)?.ours, polls_per_s?))
}

/// Predicts by the law from the headers of one calibrated exchange.
fn traffic(seen: &Seen<'_>, run: &RunRow) -> Option<Point> {
    let polls_per_s = ratio(run.subscribers_count as f64 * 1e3, run.poll_interval_ms?)?;
    let predicted =
        predicted_besides(seen, run).map(|bytes| overhead::header_bits_per_s(bytes, polls_per_s) / 1e3);
    Some(Point::of(bit_per_s(seen, run)? / 1e3, predicted))
}

fn growth(seen: &Seen<'_>, many: &RunRow, few: &RunRow) -> Option<Point> {
    let predicted = ratio(many.subscribers_count as f64, few.subscribers_count as f64)?;
    Some(Point::of(ratio(bit_per_s(seen, many)?, bit_per_s(seen, few)?)?, Some(predicted)))
}

fn wire(seen: &Seen<'_>, poll: &RunRow, message: &RunRow) -> Option<Point> {
    let of = |run: &RunRow| Some(seen.theory(run, "F9", "wire bytes per line")?.0);
    let predicted = of(poll).zip(of(message)).and_then(|(poll, message)| ratio(poll, message));
    Some(Point::of(ratio(poll.wire_per_line_bytes?, message.wire_per_line_bytes?)?, predicted))
}

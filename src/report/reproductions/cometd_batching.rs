//! CometD's load test: 78,211 messages in 33,690 responses per second, so a long poll batches by itself.
//!
//! F4: a client that is away for g after each answer makes r requests per second, and λ/r messages come per response. At
//! the printed rate of messages per client the printed ratio needs a gap of 28 ms. That gap is the plan's, so the printed
//! ratio stands beside ours and decides nothing: that messages per response follow the law at three gaps does.

use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::wire::Transport::LongPoll;

use super::figure::{Asks, Figure, Printed};
use super::point::Point;
use super::reproduction::{Reproduction, Source};
use super::seen::{Place, Seen, ratio};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "cometd-batching",
    source: Source {
        authors: "CometD project",
        year: 2016,
        title: "The CometD Reference Book, Benchmarking CometD",
        place: "output of the load client; benchmarking.adoc of github.com/cometd/cometd before September 2018",
    },
    law: "Messages per response are λ/r = λg + e^(−λg): those that come in the gap g of a client go out together (F4).",
    differs: &[
        "They had 1,000 clients in 100 chat rooms; here 100 clients follow 10 logs, at the same messages per client.",
        "Their gap is not printed. Ours is the turn of 27 ms and an exchange, which F4 makes of the printed ratio. So the \
         ratio comes out by construction and is no evidence; whether three gaps follow the law is.",
        "Their messages were sent in batches of ten to different rooms; here the lines of a log come at random times.",
        "Their client and server were Java programs under a load near their limit, with 28 ms of average latency.",
    ],
    figures,
};

/// Messages per second that all their clients received.
const MESSAGES_PER_S: f64 = 78_211.0;
/// Responses per second that brought them.
const RESPONSES_PER_S: f64 = 33_690.0;
/// Clients here over clients there.
const SCALE: f64 = 0.1;
/// Largest share by which the ratio misses the law.
const LAW: f64 = 0.1;

const HALF: Place = ("turn-14", LongPoll);
const PRINTED: Place = ("turn-28", LongPoll);
const TWICE: Place = ("turn-56", LongPoll);

fn figures() -> Vec<Figure> {
    let printed = |value: f64, scale: f64| Some(Printed { value, scale });
    let figure = |what, unit, printed, asks, points| Figure { what, unit, printed, asks, points };
    let per_response = printed(MESSAGES_PER_S / RESPONSES_PER_S, 1.0);
    let law = Asks::Law { within: LAW };
    let unit = "messages";
    vec![
        figure("per response, gap of 28 ms", unit, per_response, law, |seen| batches(seen, PRINTED)),
        figure("per response, gap of 14 ms", unit, None, law, |seen| batches(seen, HALF)),
        figure("per response, gap of 56 ms", unit, None, law, |seen| batches(seen, TWICE)),
        figure("messages received", "1/s", printed(MESSAGES_PER_S, SCALE), Asks::Nothing, |seen| {
            seen.each(PRINTED, |run| Some(Point::of(messages(run)?, None)))
        }),
        figure(
            "responses that brought them",
            "1/s",
            printed(RESPONSES_PER_S, SCALE),
            Asks::Nothing,
            |seen| {
                seen.each(PRINTED, |run| Some(Point::of(messages(run)? * run.requests_per_line_ratio?, None)))
            },
        ),
        figure("average latency", "ms", printed(28.208, 1.0), Asks::Nothing, |seen| {
            seen.each(PRINTED, |run| {
                let predicted = seen.theory(run, "F6", "delivery latency mean").map(|(us, _)| us / 1e3);
                Some(Point::of(run.delivery_latency_us_mean? / 1e3, predicted))
            })
        }),
    ]
}

fn messages(run: &RunRow) -> Option<f64> {
    ratio(run.delivered_count as f64, run.measured_s)
}

/// Returns messages per response, beside what F4 makes of the run's own rate and the calibrated gap.
fn batches(seen: &Seen<'_>, place: Place) -> Vec<Point> {
    seen.each(place, |run| {
        let ours = ratio(1.0, run.requests_per_line_ratio?)?;
        // λ is what came: messages per response times responses per second, over the predicted responses.
        let predicted = seen
            .theory(run, "F4", "requests per second and subscriber")
            .and_then(|(predicted, measured)| Some(ours * ratio(measured?, predicted)?));
        Some(Point::of(ours, predicted))
    })
}

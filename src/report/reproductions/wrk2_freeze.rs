//! wrk2's README, example 2: a server that is stopped for 1.42 s, and what two ways of timing make of it.
//!
//! F11 gives the p99 of requests that are timed from when they were due. Timed from when they were sent, each connection
//! has a single slow request, which is less than 1 %: coordinated omission. Both histograms are of the same requests.

use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::wire::Transport::ShortPoll;

use super::figure::{Asks, Figure, Printed};
use super::point::Point;
use super::reproduction::{Reproduction, Source};
use super::seen::{Place, Seen, ratio};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "wrk2-freeze",
    source: Source {
        authors: "G. Tene",
        year: 2014,
        title: "wrk2, README",
        place: "example 2 of the note on latency measurement, github.com/giltene/wrk2",
    },
    law: "A stall S in D seconds makes the Q-quantile S − (1 − Q) D, timed from when requests were due (F11).",
    differs: &[
        "They stopped Apache behind 100 connections with 2,000 requests per second; here wirelab's server is stopped \
         behind 20 connections with 1,000 polls per second.",
        "wrk2 sends the requests of the stall afterwards, one by one; here a late answer swallows the polls that were due \
         meanwhile, and each counts from its own due time.",
        "Their stall was made by hand (^Z); here SIGSTOP and SIGCONT are sent 1.42 s apart.",
    ],
    figures,
};

/// Largest share by which a latency counts as the printed one. F11 itself gives 4 % less than wrk2 printed.
const SAME_LATENCY: f64 = 0.1;
/// Largest share by which a latency misses the law.
const LAW: f64 = 0.05;
/// Largest share of the corrected p99 that the uncorrected one may show while it is said to hide the stall.
const HIDDEN: f64 = 0.1;
/// Distribution of polls, timed from when each was scheduled.
const CORRECTED: &str = "request_response";
/// Distribution of polls, timed from when each was sent.
const UNCORRECTED: &str = "request_service";

const POLLS: Place = ("", ShortPoll);

fn figures() -> Vec<Figure> {
    let printed = |value: f64| Some(Printed { value, scale: 1.0 });
    let figure = |what, unit, printed, asks, points| Figure { what, unit, printed, asks, points };
    vec![
        figure(
            "p99, from when polls were due",
            "s",
            printed(1.27),
            Asks::Constant { within: SAME_LATENCY },
            |seen| seen.each(POLLS, |run| of(seen, run, CORRECTED, 0.99)),
        ),
        figure("p99 of lines, from their due time", "s", None, Asks::Law { within: LAW }, |seen| {
            seen.each(POLLS, |run| of(seen, run, "delivery_latency", 0.99))
        }),
        figure("slowest, from when polls were due", "s", printed(1.42), Asks::Law { within: LAW }, |seen| {
            seen.each(POLLS, |run| of(seen, run, CORRECTED, 1.0))
        }),
        figure("p99, from when polls were sent", "s", printed(0.006_04), Asks::Nothing, |seen| {
            seen.each(POLLS, |run| Some(Point::of(seen.quantile_us(run, UNCORRECTED, 0.99)? / 1e6, None)))
        }),
        figure(
            "its share of the other p99",
            "ratio",
            printed(0.006_04 / 1.27),
            Asks::Below { limit: HIDDEN },
            |seen| {
                seen.each(POLLS, |run| {
                    let [hidden, shown] =
                        [UNCORRECTED, CORRECTED].map(|metric| seen.quantile_us(run, metric, 0.99));
                    Some(Point::of(ratio(hidden?, shown?)?, None))
                })
            },
        ),
    ]
}

/// Returns a quantile in seconds beside F11's.
fn of(seen: &Seen<'_>, run: &RunRow, metric: &str, quantile: f64) -> Option<Point> {
    let name = if quantile < 1.0 { "delivery latency p99" } else { "delivery latency max" };
    let predicted = seen.theory(run, "F11", name).map(|(predicted_us, _)| predicted_us / 1e6);
    let late = run.lateness_us().map(|us| us / 1e6);
    Some(Point::of(seen.quantile_us(run, metric, quantile)? / 1e6, predicted).late_by(late))
}

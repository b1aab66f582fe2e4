//! Van de Vyvere, Colpaert and Verborgh 2020: from which acceptable latency on polling serves more users than pushing.
//!
//! F10: users = Req_max · (MAL − d), with the maximum acceptable latency (MAL) as the poll interval. So the point is
//! N_push / Req_max. Both capacities are taken per core of the server, from its CPU time: on a machine that the harness
//! shares, a saturated server shows the harness too. No user is counted. What runs can refute is what F10 stands on: that a
//! request costs the same at every interval.

use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::wire::Transport::{ShortPoll, Sse};

use super::figure::{Asks, Figure, Printed};
use super::point::Point;
use super::reproduction::{Reproduction, Source};
use super::seen::{Place, Seen, ratio};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "vandevyvere2020",
    source: Source {
        authors: "B. Van de Vyvere, P. Colpaert, R. Verborgh",
        year: 2020,
        title: "Comparing a Polling and Push-Based Approach for Live Open Data Interfaces",
        place: "ICWE 2020, brechtvdv.github.io/Article-Live-Open-Data-Interfaces",
    },
    law: "The users that one server can poll are Req_max · (MAL − d), so they grow in proportion to the MAL (F10), as \
          long as a request costs the same at every interval.",
    differs: &[
        "They loaded one server by clients on a cluster of machines; here both capacities are computed from the CPU time \
         per request and per pushed line, for one core.",
        "25,000 is the number of clients that they pushed to, which need not be all that their server could serve.",
        "One line per second is assumed for the users of a push; the point moves in inverse proportion to that rate.",
        "Memory and open connections bound no user here, though they bound pushes in earnest.",
    ],
    figures,
};

/// Clients that they pushed to.
const PUSHED: f64 = 25_000.0;
/// Requests per second that their server answered.
const REQUESTS_PER_S: f64 = 2_520.0;
/// Largest share by which a capacity counts as the printed one.
const SAME_CAPACITY: f64 = 0.25;
/// Largest share by which the CPU time of a request differs from that at the shortest interval: it moves by some percent
/// with the load.
const LAW: f64 = 0.25;
/// Largest part of the MAL that the slowest line may take; the way and the harness's lateness are in it.
const IN_TIME: f64 = 1.1;
/// Lines per second that each user of a push gets.
const PUSHES_PER_S: f64 = 1.0;

const SHORT: Place = ("mal-1", ShortPoll);
const MIDDLE: Place = ("mal-2", ShortPoll);
const LONG: Place = ("mal-4", ShortPoll);
const PUSH: Place = ("push", Sse);

fn figures() -> Vec<Figure> {
    let printed = |value: f64| Some(Printed { value, scale: 1.0 });
    let figure = |what, unit, printed, asks, points| Figure { what, unit, printed, asks, points };
    let law = Asks::Law { within: LAW };
    vec![
        figure("MAL at which polls serve more", "s", printed(PUSHED / REQUESTS_PER_S), SAME, |seen| {
            seen.both((PUSH, LONG), |push, poll| {
                Some(Point::of(ratio(pushed(push)?, requests(poll)?)?, None))
            })
        }),
        figure("CPU per request at 2 times the interval", "ratio", None, law, |seen| cpu_ratio(seen, MIDDLE)),
        figure("CPU per request at 4 times the interval", "ratio", None, law, |seen| cpu_ratio(seen, LONG)),
        figure("slowest line over the MAL", "ratio", None, Asks::Below { limit: IN_TIME }, |seen| {
            seen.each(LONG, |run| {
                let mal_us = run.poll_interval_ms? * 1e3;
                let late = run.lateness_us().and_then(|us| ratio(us, mal_us));
                Some(Point::of(ratio(run.delivery_latency_us_max? as f64, mal_us)?, Some(1.0)).late_by(late))
            })
        }),
        figure("requests answered by a core", "1/s", printed(REQUESTS_PER_S), Asks::Nothing, |seen| {
            seen.each(LONG, |run| Some(Point::of(requests(run)?, None)))
        }),
        figure("users pushed to by a core", "users", printed(PUSHED), Asks::Nothing, |seen| {
            seen.each(PUSH, |run| Some(Point::of(pushed(run)?, None)))
        }),
    ]
}

const SAME: Asks = Asks::Constant { within: SAME_CAPACITY };

/// Returns Req_max: requests per second of the server's CPU time.
fn requests(run: &RunRow) -> Option<f64> {
    ratio(run.requests_count as f64, run.server_cpu_us? as f64 / 1e6)
}

/// Returns N_push: users whose lines a core can push.
fn pushed(run: &RunRow) -> Option<f64> {
    ratio(1e6, run.server_cpu_per_line_us? * PUSHES_PER_S)
}

/// Returns the CPU time of a request at an arm's interval, over that at the shortest one; F10 says 1.
fn cpu_ratio(seen: &Seen<'_>, longer: Place) -> Vec<Point> {
    seen.both((longer, SHORT), |longer, short| {
        Some(Point::of(ratio(requests(short)?, requests(longer)?)?, Some(1.0)))
    })
}

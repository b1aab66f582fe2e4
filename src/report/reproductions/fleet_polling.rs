//! Fleet's ADR-0011: 50,000 hosts that ask every 10 s, 99.7 % of the asks empty, 1.2 billion requests a day.
//!
//! F2 gives the asks, N/T, and F3 the empty share, e^(−λT). Time runs 2,000 times faster here and there is a 5,000th of
//! the hosts; λT is the same. The share that is *not* empty is compared: 99.7 % and 99.1 % would look alike. The printed
//! rates are those of the plan, so they stand beside ours and decide nothing; the laws do.

use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::harness::theory::short_poll;
use wirelab_clients::wire::Transport::ShortPoll;

use super::figure::{Asks, Figure, Printed};
use super::point::Point;
use super::reproduction::{Reproduction, Source};
use super::seen::{Place, Seen, ratio};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "fleet-polling",
    source: Source {
        authors: "Fleet Device Management",
        year: 2026,
        title: "ADR-0011, Agent WebSocket Transport",
        place: "pull request 50582 and issue 50639, github.com/fleetdm/fleet",
    },
    law: "Polls per second are N/T whatever the news (F2), and the share of empty ones is e^(−λT) (F3).",
    differs: &[
        "Fleet counted a fleet of 50,000 hosts; here 10 clients ask every 5 ms instead of every 10 s, with λT the same.",
        "The plan's lines and interval are made from the printed 0.3 % and 10 s. So both come out by construction and are no \
         evidence; whether runs follow the laws is.",
        "The 1.2 billion are requests of every kind. 38.2 % of them ask for queries, and those are compared: 9,168 per \
         host and day, where an ask every 10 s gives 8,640.",
        "Fleet's queries come to one host or many at times that people choose; here every host has the same news. In the \
         arm with 99.7 % the lines are periodic, so that each run has the same number of them.",
    ],
    figures,
};

/// Hosts of the fleet.
const HOSTS: f64 = 50_000.0;
/// Requests of the fleet per day.
const REQUESTS_PER_DAY: f64 = 1.2e9;
/// Share of these requests that ask for queries.
const ASKS_RATIO: f64 = 0.382;
/// Share of the asks that bring a query.
const NEWS_RATIO: f64 = 0.003;
/// Interval of the fleet.
const INTERVAL_S: f64 = 10.0;
const DAY_S: f64 = 86_400.0;
/// Largest share by which the asks with news miss the law: 0.3 % is printed with one digit, so it is anything from 0.25 %
/// to 0.35 %, and a law that is off by less could not be seen in it.
const LAW_OF_NEWS: f64 = 0.17;
/// Largest share by which another figure misses the law.
const LAW: f64 = 0.1;

const FLEET: Place = ("fleet", ShortPoll);
const QUARTER: Place = ("quarter", ShortPoll);
const ONE: Place = ("one", ShortPoll);

fn figures() -> Vec<Figure> {
    let printed = |value: f64| Some(Printed { value, scale: 1.0 });
    let figure = |what, unit, printed, asks, points| Figure { what, unit, printed, asks, points };
    let law = Asks::Law { within: LAW };
    let asks = printed(REQUESTS_PER_DAY * ASKS_RATIO / HOSTS);
    let law_of_news = Asks::Law { within: LAW_OF_NEWS };
    vec![
        figure("asks with news", "%", printed(100.0 * NEWS_RATIO), law_of_news, |seen| {
            seen.each(FLEET, |run| {
                let with_news = |empty: f64| 100.0 * (1.0 - empty);
                Some(Point::of(with_news(run.empty_ratio?), empty(run).map(with_news)))
            })
        }),
        figure("asks of a host in a day", "asks", asks, law, |seen| {
            seen.each(FLEET, |run| {
                Some(Point::of(intervals_asked(seen, run)? * DAY_S / INTERVAL_S, Some(DAY_S / INTERVAL_S)))
            })
        }),
        figure("empty asks, news in a quarter", "ratio", None, law, |seen| shares(seen, QUARTER)),
        figure("empty asks, news in each on average", "ratio", None, law, |seen| shares(seen, ONE)),
        figure("empty asks", "%", printed(100.0 * (1.0 - NEWS_RATIO)), Asks::Nothing, |seen| {
            seen.each(FLEET, |run| {
                Some(Point::of(100.0 * run.empty_ratio?, empty(run).map(|empty| 100.0 * empty)))
            })
        }),
    ]
}

/// Returns the asks of a client per interval in the counted window; the law says 1.
fn intervals_asked(seen: &Seen<'_>, run: &RunRow) -> Option<f64> {
    let (_, asks_per_s) = seen.theory(run, "F2", "requests per second")?;
    ratio(asks_per_s? * run.poll_interval_ms? / 1e3, run.subscribers_count as f64)
}

/// Returns the empty share that F3 gives for the lines that came.
fn empty(run: &RunRow) -> Option<f64> {
    let poll = short_poll::ShortPoll::fixed(run.poll_interval_ms? / 1e3, 0.0);
    let line_rate_hz = ratio(run.distinct_lines_count as f64, run.deployments_count as f64 * run.measured_s)?;
    Some(poll.empty_ratio(line_rate_hz))
}

fn shares(seen: &Seen<'_>, place: Place) -> Vec<Point> {
    seen.each(place, |run| Some(Point::of(run.empty_ratio?, empty(run))))
}

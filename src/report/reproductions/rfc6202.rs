//! RFC 6202 §2.2: a long poll takes one network transit on average, and three at worst.
//!
//! A transit is d, half of the link's round trip. F6 puts the slowest line at d + g, and the gap g is a round trip: 3 d.
//! The prediction takes g from the configured link alone; what client and server need on top is a part of the tolerance.

use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::harness::theory::long_poll::LongPoll;
use wirelab_clients::wire::Transport::{LongPoll as Polled, Sse};

use super::figure::{Asks, Figure, Printed};
use super::point::Point;
use super::reproduction::{Reproduction, Source};
use super::seen::{Place, ratio};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "rfc6202",
    source: Source {
        authors: "S. Loreto, P. Saint-Andre, S. Salsano, G. Wilkins",
        year: 2011,
        title: "RFC 6202, Known Issues and Best Practices for the Use of Long Polling and Streaming in Bidirectional HTTP",
        place: "§2.2, Maximal Latency, and §3.2, rfc-editor.org/rfc/rfc6202",
    },
    law: "A line that finds a waiting poll takes one transit d; one that just missed an answer takes up to 3 d (F6).",
    differs: &[
        "The RFC derives the transits and measures nothing; here lines cross a link of 50 ms each way.",
        "The link is a delay line in the clients' sockets: it loses no packet, so nothing is sent again. The RFC says that \
         a loss makes it more than three.",
        "What client and server need for an exchange, and how late the harness is, count on top of the transits.",
    ],
    figures,
};

/// Largest share by which a latency counts as the printed number of transits: the work of client and server is in it.
const SAME_TRANSITS: f64 = 0.15;
/// Largest share by which a latency misses the law.
const LAW: f64 = 0.1;

/// Prediction for a stream, and for a line further from the last one than the gap: it always finds a poll.
const ONE: Option<f64> = Some(1.0);

const RARE: Place = ("rare", Polled);
const CLOSE: Place = ("close", Polled);
const STREAM: Place = ("close", Sse);

fn figures() -> Vec<Figure> {
    let printed = |transits: f64| Some(Printed { value: transits, scale: 1.0 });
    let figure = |what, printed, asks, points| Figure { what, unit: "transits", printed, asks, points };
    let same = Asks::Constant { within: SAME_TRANSITS };
    vec![
        figure("average, lines far apart", printed(1.0), same, |seen| {
            seen.each(RARE, |run| transits(run, run.delivery_latency_us_mean?, ONE))
        }),
        figure("slowest line, lines close together", printed(3.0), same, |seen| {
            seen.each(CLOSE, |run| {
                let slowest_us = run.delivery_latency_us_max? as f64;
                transits(run, slowest_us, law(run, |poll| poll.latency_quantile_s(1.0)))
            })
        }),
        figure("average, lines close together", None, Asks::Law { within: LAW }, |seen| {
            seen.each(CLOSE, |run| {
                transits(run, run.delivery_latency_us_mean?, law(run, LongPoll::latency_mean_s))
            })
        }),
        figure("p99, lines close together", None, Asks::Law { within: LAW }, |seen| {
            seen.each(CLOSE, |run| {
                let p99_us = run.delivery_latency_us_p99? as f64;
                transits(run, p99_us, law(run, |poll| poll.latency_quantile_s(0.99)))
            })
        }),
        figure("average of SSE", printed(1.0), Asks::Nothing, |seen| {
            seen.each(STREAM, |run| transits(run, run.delivery_latency_us_mean?, ONE))
        }),
        figure("slowest line of SSE", printed(1.0), Asks::Nothing, |seen| {
            seen.each(STREAM, |run| transits(run, run.delivery_latency_us_max? as f64, ONE))
        }),
    ]
}

/// Returns a latency in transits of the run's link, beside what the law gives, in transits too.
fn transits(run: &RunRow, latency_us: f64, predicted: Option<f64>) -> Option<Point> {
    let one_way_us = run.rtt_ms? * 1e3 / 2.0;
    let late = run.lateness_us().and_then(|us| ratio(us, one_way_us));
    Some(Point::of(ratio(latency_us, one_way_us)?, predicted).late_by(late))
}

/// Returns what F6 gives for the run's rate of lines, in transits. The gap is the link's round trip.
fn law(run: &RunRow, of: impl Fn(&LongPoll) -> f64) -> Option<f64> {
    let deployments_s = run.deployments_count as f64 * run.measured_s;
    let poll = LongPoll {
        line_rate_hz: ratio(run.distinct_lines_count as f64, deployments_s).filter(|rate| *rate > 0.0)?,
        gap_s: run.rtt_ms? / 1e3,
        hold_s: run.hold_ms? / 1e3,
        one_way_s: run.rtt_ms? / 2e3,
    };
    ratio(of(&poll), poll.one_way_s)
}

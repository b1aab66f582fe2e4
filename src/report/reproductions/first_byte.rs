//! llm-webtransport's RESULTS-2 and RESULTS-3: a first byte after 914 ms or 506 ms, and 400 ms of it were handshakes.
//!
//! Its first table had new connections for HTTP and a kept one for WebTransport; the authors found that and withdrew it.
//! What a connection adds is a round trip for TCP (RFC 9293 §3.5) and one for TLS 1.3 (RFC 8446 §2).

use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::wire::Transport::ShortPoll;

use super::figure::{Asks, Figure, Printed};
use super::point::Point;
use super::reproduction::{Reproduction, Source};
use super::seen::{Place, Seen, ratio};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "first-byte",
    source: Source {
        authors: "A. Mendiratta",
        year: 2026,
        title: "llm-webtransport, Benchmark Results: Connection Reuse Mode",
        place: "benchmark/RESULTS-2-incorrect.md and RESULTS-3.md, github.com/anirudhmendiratta/llm-webtransport",
    },
    law: "A new connection adds two round trips with TLS 1.3 and one without TLS; a reused one adds none, whatever the \
          version of HTTP.",
    differs: &[
        "They asked a language model, which thinks for about 262 ms before its first token; here a short poll is answered at \
         once, so that differences are compared.",
        "They compared HTTP/1.1 with WebTransport over QUIC, which wirelab does not speak; here HTTP/2 on a kept connection \
         stands in its place.",
        "Their delay was laid on the loopback of macOS; here a delay line adds a round trip of 200 ms.",
        "The round trip is the plan's own, so the printed milliseconds come out by construction and are no evidence; whether \
         each handshake takes a round trip is.",
    ],
    figures,
};

/// First token through HTTP with a connection for each request, and with one that is reused: their raw API.
const NEW_MS: f64 = 914.0;
const REUSED_MS: f64 = 508.0;
/// First token of a reused WebTransport session.
const SESSION_MS: f64 = 510.0;
/// First token without a delay.
const UNDELAYED_MS: f64 = 270.0;
/// Largest share by which a figure misses the law: the work of a handshake takes some milliseconds.
const LAW: f64 = 0.1;
/// Time of a poll, from when it was due to its last byte.
const RESPONSE: &str = "request_response";

const REUSED: Place = ("reused", ShortPoll);
const NEW: Place = ("new", ShortPoll);
const REUSED_HTTP2: Place = ("reused-http2", ShortPoll);
const NEW_HTTP2: Place = ("new-http2", ShortPoll);
const REUSED_PLAIN: Place = ("reused-plain", ShortPoll);
const NEW_PLAIN: Place = ("new-plain", ShortPoll);

fn figures() -> Vec<Figure> {
    let printed = |value: f64| Some(Printed { value, scale: 1.0 });
    let figure =
        |what, unit, printed, points| Figure { what, unit, printed, asks: Asks::Law { within: LAW }, points };
    vec![
        figure("a new connection, over TLS", "ms", printed(NEW_MS - REUSED_MS), |seen| {
            added(seen, (NEW, REUSED), 2.0)
        }),
        figure("a new connection, HTTP/2 over TLS", "ms", None, |seen| {
            added(seen, (NEW_HTTP2, REUSED_HTTP2), 2.0)
        }),
        figure("a new connection, without TLS", "ms", None, |seen| {
            added(seen, (NEW_PLAIN, REUSED_PLAIN), 1.0)
        }),
        figure("an answer on a reused connection", "ms", printed(REUSED_MS - UNDELAYED_MS), |seen| {
            seen.each(REUSED, |run| {
                let late = run.lateness_us().map(|us| us / 1e3);
                Some(Point::of(median_ms(seen, run)?, run.rtt_ms).late_by(late))
            })
        }),
        figure("HTTP/2 over HTTP/1.1, both reused", "ratio", printed(SESSION_MS / REUSED_MS), |seen| {
            seen.both((REUSED_HTTP2, REUSED), |http2, http1| {
                let answered = ratio(median_ms(seen, http2)?, median_ms(seen, http1)?)?;
                Some(Point::of(answered, Some(1.0)))
            })
        }),
    ]
}

/// Returns what a new connection adds to the median of polls, beside as many round trips as handshakes take.
fn added(seen: &Seen<'_>, (new, reused): (Place, Place), round_trips: f64) -> Vec<Point> {
    seen.both((new, reused), |new, reused| {
        let added_ms = median_ms(seen, new)? - median_ms(seen, reused)?;
        let late = new.lateness_us().map(|us| us / 1e3);
        Some(Point::of(added_ms, new.rtt_ms.map(|rtt_ms| round_trips * rtt_ms)).late_by(late))
    })
}

fn median_ms(seen: &Seen<'_>, run: &RunRow) -> Option<f64> {
    Some(seen.quantile_us(run, RESPONSE, 0.5)? / 1e3)
}

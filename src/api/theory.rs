//! `/api/theory`: what the formulas predict for one client, for a page that compares it with what was seen.
//!
//! A thin layer over the pure functions of `wirelab_clients::harness::theory`: it parses the parameters, calls the
//! functions and names their arguments. Measures nothing. A constant that a run would calibrate counts as 0 unless it
//! is given.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use wirelab_clients::harness::theory::long_poll::LongPoll;
use wirelab_clients::harness::theory::short_poll::ShortPoll;
use wirelab_clients::harness::theory::streams;
use wirelab_clients::wire::{Transport, UnknownTransport, WAIT_S_DEFAULT, Waits};

use crate::context::Context;
use crate::exchange::problem::Refusal;
use crate::exchange::request::parameter;

/// A numeric parameter with its range and its default.
struct Number {
    name: &'static str,
    min: f64,
    max: f64,
    default: Option<f64>,
}

/// Poll interval: from the shortest that a browser's timer keeps, to a day.
const INTERVAL_S: Number = Number { name: "interval_s", min: 0.001, max: 86_400.0, default: None };
/// Line rate, in the range of a generated source: the formulas need a line now and then.
const RATE_HZ: Number = Number { name: "rate_hz", min: 0.01, max: 10_000.0, default: None };
/// Length of the window, up to a day.
const DURATION_S: Number = Number { name: "duration_s", min: 0.001, max: 86_400.0, default: None };
/// Hold of a long poll that may be asked for, up to an hour. The server's own bound is applied to it as to a poll.
const HOLD_S: Number = Number { name: "hold_s", min: 0.001, max: 3_600.0, default: Some(WAIT_S_DEFAULT) };
/// Number of clients; a server has room for fewer than the upper bound.
const SUBSCRIBERS: Number = Number { name: "subscribers", min: 1.0, max: 1_000_000.0, default: Some(1.0) };
/// Round trip, up to a minute; light needs less than 3 s to the moon and back.
const ROUND_TRIP_MS: Number = Number { name: "round_trip_ms", min: 0.0, max: 60_000.0, default: Some(0.0) };

impl Number {
    fn of(&self, request: &HttpRequest) -> Result<f64, Refusal> {
        self.given(request)?.or(self.default).ok_or_else(|| self.missing())
    }

    /// Returns the number if it was given; refuses one that is out of range.
    fn given(&self, request: &HttpRequest) -> Result<Option<f64>, Refusal> {
        let Self { name, min, max, .. } = self;
        let Some(text) = parameter(request.head(), name)? else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (*min..=*max).contains(number));
        number.map(Some).ok_or_else(|| {
            Refusal::bad_request(format!("{name} {text:?} is not valid; give a number from {min} to {max}"))
        })
    }

    fn missing(&self) -> Refusal {
        let Self { name, min, max, .. } = self;
        Refusal::bad_request(format!("parameter {name} is missing; give a number from {min} to {max}"))
    }
}

/// Answer of `/api/theory`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Theory {
    /// Transport that the prediction is for.
    #[schema(value_type = String)]
    transport: Transport,
    /// Names of the formulas in `docs/theory.md`.
    formulas: Vec<&'static str>,
    /// Constants that the formulas were called with.
    constants: TheoryConstants,
    /// Requests of one client in the window once it polls; 1 for a stream, its opening.
    requests: f64,
    /// Requests of all clients in the window.
    requests_of_all: f64,
    /// Share of answers without a line: polls that find no line, holds that expire.
    empty_ratio: f64,
    /// Requests of one client per line.
    requests_per_line: f64,
    /// Delivery latency: from a line's due time to its receipt.
    latency_ms: TheoryLatency,
}

/// Constants of the formulas; null where a transport does not use them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TheoryConstants {
    /// λ: rate of lines at Poisson times, 1/s.
    rate_hz: f64,
    /// Length of the window, s.
    duration_s: f64,
    /// N: number of clients.
    subscribers: f64,
    /// T': time from one poll to the next, s.
    interval_s: Option<f64>,
    /// H: hold of a long poll, s.
    hold_s: Option<f64>,
    /// g: time from an answer to the next request, s; a round trip.
    gap_s: Option<f64>,
    /// Time to write a line to one subscriber, s; 0, since it was not measured.
    write_s: Option<f64>,
    /// d: one-way delay, half of the round trip, s.
    one_way_s: f64,
}

/// Delivery latencies, ms.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TheoryLatency {
    mean: f64,
    p50: f64,
    p99: f64,
    /// Latency of the earliest line: the way from the server.
    least: f64,
    /// Latency of the latest line.
    most: f64,
}

impl TheoryLatency {
    fn of(mean_s: f64, quantile_s: impl Fn(f64) -> f64) -> Self {
        let [least, p50, p99, most] = [0.0, 0.5, 0.99, 1.0].map(|quantile| quantile_s(quantile) * 1e3);
        Self { mean: mean_s * 1e3, p50, p99, least, most }
    }
}

/// Answers `/api/theory` with the formulas of one transport.
pub(crate) async fn predict(request: HttpRequest, context: Data<Context>) -> Result<HttpResponse, Refusal> {
    let transport = parameter(request.head(), "transport")?.ok_or_else(|| {
        Refusal::bad_request("parameter transport is missing; GET /api/transports lists the names")
    })?;
    let transport: Transport =
        transport.parse().map_err(|error: UnknownTransport| Refusal::bad_request(error.to_string()))?;
    let (rate_hz, duration_s) = (RATE_HZ.of(&request)?, DURATION_S.of(&request)?);
    // Checked even for transports that do not use them: an invalid value is refused in any case.
    let (hold_s, interval_s) = (HOLD_S.of(&request)?, INTERVAL_S.given(&request)?);
    // A poll that asks for more is held for this long too.
    let hold_s = hold_s.min(context.options.hold_max.as_secs_f64());
    let subscribers = SUBSCRIBERS.of(&request)?;
    let round_trip_s = ROUND_TRIP_MS.of(&request)? / 1e3;
    let constants = TheoryConstants {
        rate_hz,
        duration_s,
        subscribers,
        interval_s: None,
        hold_s: None,
        gap_s: None,
        write_s: None,
        one_way_s: round_trip_s / 2.0,
    };
    let theory = match transport.waits() {
        Waits::Client => {
            let interval_s = interval_s.ok_or_else(|| INTERVAL_S.missing())?;
            if round_trip_s >= interval_s {
                let detail = "round_trip_ms is not below interval_s, so polls would be skipped, which no formula \
                              covers; give a longer interval_s";
                return Err(Refusal::bad_request(detail));
            }
            short_poll(transport, TheoryConstants { interval_s: Some(interval_s), ..constants }, interval_s)
        }
        Waits::ServerOnce => long_poll(
            transport,
            TheoryConstants { hold_s: Some(hold_s), gap_s: Some(round_trip_s), ..constants },
            hold_s,
        ),
        Waits::ServerForever => stream(transport, TheoryConstants { write_s: Some(0.0), ..constants }),
    };
    Ok(HttpResponse::Ok().json(theory))
}

fn short_poll(transport: Transport, constants: TheoryConstants, interval_s: f64) -> Theory {
    let TheoryConstants { rate_hz, duration_s, subscribers, one_way_s, .. } = constants;
    let poll = ShortPoll::fixed(interval_s, one_way_s);
    Theory {
        transport,
        formulas: vec!["F1", "F2", "F3"],
        requests: poll.requests_per_s(1.0) * duration_s,
        requests_of_all: poll.requests_per_s(subscribers) * duration_s,
        empty_ratio: poll.empty_ratio(rate_hz),
        requests_per_line: poll.requests_per_line(rate_hz),
        latency_ms: TheoryLatency::of(poll.latency_mean_s(), |quantile| poll.latency_quantile_s(quantile)),
        constants,
    }
}

fn long_poll(transport: Transport, constants: TheoryConstants, hold_s: f64) -> Theory {
    let TheoryConstants { rate_hz, duration_s, subscribers, one_way_s, .. } = constants;
    let poll = LongPoll { line_rate_hz: rate_hz, gap_s: 2.0 * one_way_s, hold_s, one_way_s };
    let requests = poll.requests_per_s() * duration_s;
    Theory {
        transport,
        formulas: vec!["F4", "F5", "F6"],
        requests,
        requests_of_all: requests * subscribers,
        empty_ratio: poll.timeout_ratio(),
        requests_per_line: poll.requests_per_s() / rate_hz,
        latency_ms: TheoryLatency::of(poll.latency_mean_s(), |quantile| poll.latency_quantile_s(quantile)),
        constants,
    }
}

fn stream(transport: Transport, constants: TheoryConstants) -> Theory {
    let TheoryConstants { rate_hz, duration_s, subscribers, one_way_s, .. } = constants;
    let latency_s = streams::latency_mean_s(one_way_s, subscribers, 0.0);
    let requests = streams::requests(0.0);
    Theory {
        transport,
        formulas: vec!["F8"],
        requests,
        requests_of_all: requests * subscribers,
        empty_ratio: 0.0,
        requests_per_line: requests / (rate_hz * duration_s),
        // A write that costs nothing reaches all subscribers at once.
        latency_ms: TheoryLatency::of(latency_s, |_| latency_s),
        constants,
    }
}

//! `/api/theory`: what the formulas say that one client will see, for a page that compares it with what was seen.
//!
//! A thin edge around the pure functions of `wirelab_clients::harness::theory`: it parses, calls and names what it
//! called with. Measures nothing; the constants that a run would calibrate are taken as nothing unless they are given.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use wirelab_clients::harness::theory::long_poll::LongPoll;
use wirelab_clients::harness::theory::short_poll::ShortPoll;
use wirelab_clients::harness::theory::streams;
use wirelab_clients::wire::{Transport, UnknownTransport, WAIT_S_DEFAULT, Waits};

use crate::exchange::problem::Refusal;
use crate::exchange::request::parameter;

/// A parameter that is a number, with what makes sense of it.
struct Number {
    name: &'static str,
    min: f64,
    max: f64,
    default: Option<f64>,
}

/// From the quickest poll that a browser's timer keeps to, to a day.
const INTERVAL_S: Number = Number { name: "interval_s", min: 0.001, max: 86_400.0, default: None };
/// As a source may generate: the formulas need a line now and then.
const RATE_HZ: Number = Number { name: "rate_hz", min: 0.01, max: 10_000.0, default: None };
/// To a day.
const DURATION_S: Number = Number { name: "duration_s", min: 0.001, max: 86_400.0, default: None };
/// Holds of an hour are longer than any proxy allows.
const HOLD_S: Number = Number { name: "hold_s", min: 0.001, max: 3_600.0, default: Some(WAIT_S_DEFAULT) };
/// A server here has less room.
const SUBSCRIBERS: Number = Number { name: "subscribers", min: 1.0, max: 1_000_000.0, default: Some(1.0) };
/// A minute is farther than the moon.
const ROUND_TRIP_MS: Number = Number { name: "round_trip_ms", min: 0.0, max: 60_000.0, default: Some(0.0) };

impl Number {
    fn of(&self, request: &HttpRequest) -> Result<f64, Refusal> {
        self.given(request)?.or(self.default).ok_or_else(|| self.missing())
    }

    /// As it was given, if it was.
    fn given(&self, request: &HttpRequest) -> Result<Option<f64>, Refusal> {
        let Self { name, min, max, .. } = self;
        let Some(text) = parameter(request, name)? else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (*min..=*max).contains(number));
        number.map(Some).ok_or_else(|| {
            Refusal::bad_request(format!("{name} is a number from {min} to {max}, not {text:?}"))
        })
    }

    fn missing(&self) -> Refusal {
        let Self { name, min, max, .. } = self;
        Refusal::bad_request(format!("parameter {name} is missing; give {min} to {max}"))
    }
}

/// Answer of `/api/theory`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Theory {
    /// What it is about.
    #[schema(value_type = String)]
    transport: Transport,
    /// The formulas, as `docs/theory.md` numbers them.
    formulas: Vec<&'static str>,
    /// What they were called with.
    constants: TheoryConstants,
    /// Requests of one client in a window of that length once it polls; of a stream 1, its opening.
    requests: f64,
    /// The same of all clients.
    requests_of_all: f64,
    /// Share of answers without a line: polls that find nothing, holds that expire.
    empty_ratio: f64,
    /// Requests of one client per line.
    requests_per_line: f64,
    /// From a line's due time to its receipt.
    latency_ms: TheoryLatency,
}

/// The constants of the formulas; those that a transport has no use for are null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TheoryConstants {
    /// λ: lines at Poisson times, 1/s.
    rate_hz: f64,
    /// For how long, s.
    duration_s: f64,
    /// N.
    subscribers: f64,
    /// T': from one poll to the next, s.
    interval_s: Option<f64>,
    /// H, s.
    hold_s: Option<f64>,
    /// g: from an answer to the next question, s; a round trip.
    gap_s: Option<f64>,
    /// What the server needs to write a line to one subscriber, s: nothing, since it was not measured.
    write_s: Option<f64>,
    /// d: half of the round trip, s.
    one_way_s: f64,
}

/// Latencies, ms.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TheoryLatency {
    mean: f64,
    p50: f64,
    p99: f64,
}

impl TheoryLatency {
    fn of(mean_s: f64, quantile_s: impl Fn(f64) -> f64) -> Self {
        Self { mean: mean_s * 1e3, p50: quantile_s(0.5) * 1e3, p99: quantile_s(0.99) * 1e3 }
    }
}

/// The formulas of one transport.
pub(crate) async fn predict(request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let transport = parameter(&request, "transport")?.ok_or_else(|| {
        Refusal::bad_request("parameter transport is missing; GET /api/transports lists them")
    })?;
    let transport: Transport =
        transport.parse().map_err(|error: UnknownTransport| Refusal::bad_request(error.to_string()))?;
    let (rate_hz, duration_s) = (RATE_HZ.of(&request)?, DURATION_S.of(&request)?);
    // Looked at wherever it is given: a mistake is one, also where nothing follows from it.
    let (hold_s, interval_s) = (HOLD_S.of(&request)?, INTERVAL_S.given(&request)?);
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
                let detail = "round_trip_ms must be below the interval: polls would be skipped, which no formula here \
                              allows for";
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
        // A write that costs nothing reaches everybody at once.
        latency_ms: TheoryLatency::of(latency_s, |_| latency_s),
        constants,
    }
}

//! Rows of a short-polled run: F1, F2, F3, F9, F10, F12, F15, F16.

use super::{Case, Prediction, QUANTILES, TOLERANCE_RATIO, Unit, judged, noting, reported};
use crate::harness::run_result::Residual;
use crate::harness::theory::aliasing::aliasing;
use crate::harness::theory::bytes::{PollSizes, segments_per_exchange};
use crate::harness::theory::calibration::Sizes;
use crate::harness::theory::short_poll::ShortPoll;
use crate::harness::theory::simulation::LinePattern;
use crate::harness::theory::spread::uniform_share_below;
use crate::harness::theory::{age, capacity, overhead};
use crate::options::{Adaptation, PollPhase, PollSchedule};

/// Smallest distance of two latencies that a timer of whole milliseconds can tell apart, s.
const TOLD_APART_S: f64 = 0.005;
/// Most distinct latencies that a histogram can show apart.
const DISTINCT_MAX: u64 = 50;

pub(super) fn rows(case: &Case<'_>) -> Vec<Residual> {
    let polling = &case.setting.options.polling;
    let interval_s = polling.interval.as_secs_f64();
    let Some(exchange) = &case.arm.exchange_s else { return Vec::new() };
    let Sizes::Poll { question, answer, empty, .. } = &case.arm.sizes else { return Vec::new() };
    // From the due time until a waiting reader receives the line: the append and the answer's way.
    let arriving = case.server.visible_s.shifted(case.server.one_way_s());
    let (poll, interval_open_s) = match polling.schedule {
        PollSchedule::Fixed => (ShortPoll::fixed(interval_s, arriving.mean_s), 0.0),
        // Where every poll connects, the exchange includes it.
        PollSchedule::Pause => (
            ShortPoll::pause(
                interval_s,
                exchange.mean_s,
                case.server.timer_late_s.mean_s,
                0.0,
                arriving.mean_s,
            ),
            exchange.mean_open_s() + case.server.timer_late_s.mean_open_s(),
        ),
    };

    let mut broken = case.broken();
    if polling.jitter_ratio > 0.0 {
        broken.push("the interval is jittered".to_owned());
    }
    match polling.adaptation {
        Adaptation::None => {}
        Adaptation::Idle { .. } | Adaptation::Server => broken.push("the interval is adaptive".to_owned()),
    }
    if polling.schedule == PollSchedule::Fixed && exchange.mean_s >= interval_s {
        broken.push("an exchange takes longer than the interval".to_owned());
    }
    broken.extend(case.more(poll.interval_s));
    let mut latency_broken = broken.clone();
    latency_broken.extend(case.not_poisson());
    latency_broken.extend(case.publisher_late(poll.latency_mean_s()));
    let mut age_broken = broken.clone();
    if polling.phase == PollPhase::Aligned {
        let aligned = "polls are aligned: all queue at once, and one phase stands for all";
        latency_broken.push(aligned.to_owned());
        age_broken.push(aligned.to_owned());
    }
    if case.setting.lines.is_none() {
        age_broken.extend(case.not_poisson());
    }

    let numbers = Numbers::of(case, &poll);
    let mut rows = Vec::new();
    let arriving_open_s = interval_open_s / 2.0 + arriving.mean_open_s();
    let mean = Prediction::exact(poll.latency_mean_s())
        .with_error(numbers.latency_error_s(0.5) / 3.0_f64.sqrt())
        .with_calibration(arriving_open_s);
    let measured = case.reading.latency_mean_s;
    rows.push(judged("F1", "delivery latency mean", Unit::Microseconds, mean, measured, &latency_broken));
    for ((quantile, name), measured) in QUANTILES.into_iter().zip(case.reading.latency_quantiles_s) {
        let value =
            arriving.convolved_quantile_s(uniform_share_below(poll.interval_s), poll.interval_s, quantile);
        let predicted = Prediction::exact(value)
            .with_error(numbers.latency_error_s(quantile))
            .with_calibration(interval_open_s * quantile + arriving.half_width_s());
        let quantity = format!("delivery latency {name}");
        rows.push(judged("F1", quantity, Unit::Microseconds, predicted, measured, &latency_broken));
    }
    let max_s = poll.interval_s + arriving.quantile_s(1.0);
    let measured_max_s = case.reading.latency_quantiles_s[3];
    rows.push(reported("F1", "delivery latency max", Unit::Microseconds, max_s, measured_max_s));

    rows.extend(count_rows(case, &poll, &numbers, interval_open_s, &broken));
    let sizes = poll_sizes(case, [question, answer, empty].map(|size| size.bytes(case.reading.digits_mean)));
    rows.extend(byte_rows(case, &poll, &numbers, sizes, &broken));
    rows.extend(capacity_row(case, &poll));
    rows.extend(aliasing_row(case, &broken));

    let age_error_s = case.age_error_s(numbers.intervals) + numbers.aliased_error_s;
    let age = Prediction::exact(age::short_poll_s(case.pattern(), &poll))
        .with_error(age_error_s)
        .with_calibration(arriving_open_s);
    rows.push(judged(
        "F15",
        "age of information mean",
        Unit::Milliseconds,
        age,
        case.reading.age_mean_s,
        &age_broken,
    ));
    rows.push(reported(
        "F16",
        "Lubbers & Greco's header bytes, and all bytes of one calibrated poll without lines",
        Unit::Bytes,
        overhead::POLL_HEADER_BYTES,
        Some(sizes.question + sizes.empty),
    ));
    rows
}

/// Numbers that standard errors are made of.
struct Numbers {
    interval_s: f64,
    /// m: intervals counted, per subscriber.
    intervals: f64,
    /// Lines × subscribers: each subscriber's phase is its own, so their waits for one line are independent.
    waits: f64,
    subscribers: f64,
    cohort_s: f64,
    /// e of F3: the share of empty answers.
    empty: f64,
    /// Standard error of `empty`.
    empty_error: f64,
    /// Error that periodic lines cause with random phases, s.
    aliased_error_s: f64,
}

impl Numbers {
    fn of(case: &Case<'_>, poll: &ShortPoll) -> Self {
        let intervals = (case.counted_s() / poll.interval_s).max(1.0);
        let per_interval = case.line_rate_hz() * poll.interval_s;
        // Error of every subscriber's first and last interval, each half in and half out.
        let edge = 0.5 / intervals / case.subscribers().sqrt();
        let (empty, spread, aliased_error_s) = match case.pattern() {
            LinePattern::Poisson { rate_hz } => {
                let empty = poll.empty_ratio(rate_hz);
                // The variance of empty boxes when lines fall into m boxes like balls (all subscribers have the same
                // lines).
                let variance = (empty - empty.powi(2) * (1.0 + per_interval)).max(0.0) / intervals;
                (empty, variance.sqrt(), 0.0)
            }
            LinePattern::Periodic { period_s } => {
                let spacing_s = aliasing_of(case, poll.interval_s, period_s).spacing_s;
                let phases = case.subscribers().sqrt();
                (poll.empty_ratio_periodic(period_s), 0.0, spacing_s / 12.0_f64.sqrt() / phases)
            }
        };
        Self {
            interval_s: poll.interval_s,
            intervals,
            waits: case.lines() * case.subscribers(),
            subscribers: case.subscribers(),
            cohort_s: case.reading.cohort_s,
            empty,
            empty_error: spread + edge,
            aliased_error_s,
        }
    }

    /// Returns the standard error of a quantile of uniform waits, plus the shift by an incomplete last interval of the
    /// cohort.
    fn latency_error_s(&self, quantile: f64) -> f64 {
        let sampled = (quantile * (1.0 - quantile) / self.waits).sqrt() * self.interval_s;
        sampled + self.interval_s.powi(2) / (4.0 * self.cohort_s) / self.subscribers.sqrt()
    }

    /// Returns the standard error of a count of requests, as a share of it.
    fn count_error(&self) -> f64 {
        0.5 / self.intervals / self.subscribers.sqrt()
    }
}

fn count_rows(
    case: &Case<'_>,
    poll: &ShortPoll,
    numbers: &Numbers,
    interval_open_s: f64,
    broken: &[String],
) -> Vec<Residual> {
    let window = case.window();
    let requests = window.map(|window| window.traffic.requests);
    let total = requests.map(|requests| requests.total() as f64);
    let interval_open = interval_open_s / poll.interval_s;
    let relative = |value: f64| {
        Prediction::exact(value)
            .with_error(value * numbers.count_error())
            .with_calibration(value * interval_open)
    };
    let mut rows = Vec::new();
    let measured = window.zip(total).map(|(window, total)| total / window.length_s);
    let rate = relative(poll.requests_per_s(case.subscribers()));
    rows.push(judged("F2", "requests per second", Unit::PerSecond, rate, measured, broken));

    let rate_hz = case.line_rate_hz();
    let delivered = window.map(|window| window.delivered as f64);
    let measured = total.zip(delivered).map(|(total, delivered)| total / delivered);
    // Reported only: with the rate of the lines that came it is F2 again, which is judged already.
    let per_line = poll.requests_per_line(rate_hz);
    rows.push(reported("F3", "requests per line", Unit::Ratio, per_line, measured));

    let mut empty_broken = broken.to_vec();
    if case.setting.lines.is_none() {
        empty_broken.extend(case.not_poisson());
    }
    let measured = requests.zip(total).map(|(requests, total)| requests.empty as f64 / total);
    let exponent = rate_hz * interval_open_s;
    let empty = Prediction::exact(numbers.empty)
        .with_error(numbers.empty_error)
        .with_calibration(numbers.empty * exponent);
    rows.push(judged("F3", "empty ratio", Unit::Ratio, empty, measured, &empty_broken));

    let data_ratio = 1.0 - numbers.empty;
    let per_answer = rate_hz * poll.interval_s / data_ratio;
    let per_answer = Prediction::exact(per_answer)
        .with_error(per_answer * (numbers.empty_error / data_ratio + numbers.count_error()))
        .with_calibration(per_answer * interval_open);
    let measured = delivered.zip(requests).map(|(delivered, requests)| delivered / requests.data as f64);
    rows.push(judged("F3", "lines per answer with data", Unit::Ratio, per_answer, measured, &empty_broken));
    rows
}

fn poll_sizes(case: &Case<'_>, [question, answer, empty]: [f64; 3]) -> PollSizes {
    PollSizes { question, answer, empty, line: case.setting.payload_bytes + case.line_overhead() }
}

fn byte_rows(
    case: &Case<'_>,
    poll: &ShortPoll,
    numbers: &Numbers,
    sizes: PollSizes,
    broken: &[String],
) -> Vec<Residual> {
    let mut broken = broken.to_vec();
    broken.extend(case.weight_changes());
    if case.setting.lines.is_none() {
        broken.push("lines are replayed: each has another size".to_owned());
    }
    let per_line = poll.requests_per_line(case.line_rate_hz());
    let value = sizes.per_line(numbers.empty, per_line, 0.0);
    let error =
        per_line * (sizes.answer - sizes.empty).abs() * numbers.empty_error + value * numbers.count_error();
    let l7 = Prediction::exact(value).with_error(error);
    // From answer to question the client is silent for the interval without the exchange. The server answers at once.
    let exchange_s = case.arm.exchange_s.as_ref().map_or(0.0, |exchange| exchange.mean_s);
    let segments = segments_per_exchange(0.0, poll.interval_s - exchange_s);
    let wire = sizes.per_line(numbers.empty, per_line, segments);
    let wire = reported("F9", "wire bytes per line", Unit::Bytes, wire, case.reading.wire_per_line_bytes);
    vec![
        judged("F9", "l7 bytes per line", Unit::Bytes, l7, case.bytes_per_line(), &broken),
        noting(wire, case.wire_of_another()),
    ]
}

/// Returns F12 in whole nanoseconds, as the schedule and the clients count.
fn aliasing_of(
    case: &Case<'_>,
    interval_s: f64,
    period_s: f64,
) -> crate::harness::theory::aliasing::Aliasing {
    // The plan's own period is used, since the measured rate is never exact.
    let period_s = match case.setting.lines {
        Some(LinePattern::Periodic { period_s }) => period_s,
        Some(LinePattern::Poisson { .. }) | None => period_s,
    };
    let nanoseconds = |seconds: f64| ((seconds * 1e9).round() as u64).max(1);
    aliasing(nanoseconds(interval_s), nanoseconds(period_s))
}

fn aliasing_row(case: &Case<'_>, broken: &[String]) -> Option<Residual> {
    let polling = &case.setting.options.polling;
    let Some(LinePattern::Periodic { period_s }) = case.setting.lines else { return None };
    let one_phase = polling.phase == PollPhase::Aligned || case.subscribers() == 1.0;
    if polling.schedule != PollSchedule::Fixed || !one_phase {
        return None;
    }
    let expected = aliasing_of(case, polling.interval.as_secs_f64(), period_s);
    let told_apart = expected.spacing_s >= TOLD_APART_S && expected.distinct_latencies <= DISTINCT_MAX;
    let measured =
        told_apart.then(|| distinct_latencies(case, expected.spacing_s, expected.distinct_latencies));
    let predicted = Prediction::exact(expected.distinct_latencies as f64);
    let row = judged("F12", "distinct latencies", Unit::Count, predicted, measured, broken);
    // A count is either right or wrong, so its tolerance is below one.
    Some(Residual {
        tolerance_ratio: row.tolerance_ratio.map(|_| TOLERANCE_RATIO / DISTINCT_MAX as f64),
        ..row
    })
}

/// Counts the heaps of latencies that are at least half a spacing apart. A heap with less than a quarter of its share
/// is only a few late polls and does not count.
fn distinct_latencies(case: &Case<'_>, spacing_s: f64, expected: u64) -> f64 {
    let histogram = case.reading.latencies.histogram();
    let small = histogram.len() as f64 / expected as f64 / 4.0;
    let mut heaps: Vec<(f64, f64)> = Vec::new();
    for step in histogram.iter_recorded() {
        let (at_s, count) = (step.value_iterated_to() as f64 / 1e6, step.count_at_value() as f64);
        match heaps.last_mut() {
            Some((last_s, heap)) if at_s - *last_s < spacing_s / 2.0 => {
                (*last_s, *heap) = (at_s, *heap + count)
            }
            Some(_) | None => heaps.push((at_s, count)),
        }
    }
    // With a phase at the edge of the interval, some lines wait next to nothing and others almost the whole interval. All of
    // them also take the append and the way to the client.
    let interval_s = case.setting.options.polling.interval.as_secs_f64();
    let way_s = case.server.one_way_s() + case.server.visible_s.mean_s;
    if let [(first_s, first), .., (last_s, last)] = heaps.as_mut_slice()
        && *first_s - way_s < spacing_s / 4.0
        && (*last_s - way_s - interval_s).abs() < spacing_s / 4.0
    {
        (*first, *last) = (*first + *last, 0.0);
    }
    heaps.iter().filter(|(_, count)| *count >= small).count() as f64
}

/// Reports how many users could poll one core of this server at this interval, from the CPU time of a request.
fn capacity_row(case: &Case<'_>, poll: &ShortPoll) -> Option<Residual> {
    let requests = case.reading.traffic.requests.total() as f64;
    let requests_per_s_max = requests / case.reading.server_cpu_s.filter(|cpu_s| *cpu_s > 0.0)?;
    let users = capacity::users_max(requests_per_s_max, poll.latency_quantile_s(1.0), poll.one_way_s);
    let quantity = "users that a core of the server can poll at this interval";
    Some(reported("F10", quantity, Unit::Count, users, None))
}

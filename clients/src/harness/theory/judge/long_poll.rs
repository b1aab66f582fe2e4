//! Rows of a long-polled run: F4, F5, F6, F7, F9, F15.

use super::{Case, Prediction, QUANTILES, Unit, judged, noting, reported};
use crate::harness::run_result::Residual;
use crate::harness::statistics::sampling;
use crate::harness::theory::age;
use crate::harness::theory::bytes::{PollSizes, segments_per_exchange};
use crate::harness::theory::calibration::Sizes;
use crate::harness::theory::long_poll::LongPoll;

/// Standard deviation of a normal distribution in half interquartile ranges.
const DEVIATION_PER_HALF_WIDTH: f64 = 1.4826;

pub(super) fn rows(case: &Case<'_>) -> Vec<Residual> {
    let options = &case.setting.options;
    let (Some(cycle), Some(held)) = (&case.arm.cycle_s, &case.arm.held_s) else { return Vec::new() };
    // From the due time until a held poll has the line: the append and the answer's way.
    let held = &held.shifted(case.server.one_way_s());
    let turn_s = options.turn.as_secs_f64();
    // A turn is a sleep, and its timer is late.
    let (late_s, late_open_s) = match options.turn.is_zero() {
        true => (0.0, 0.0),
        false => (case.server.timer_late_s.mean_s, case.server.timer_late_s.mean_open_s()),
    };
    let (subscribers, rate_hz) = (case.subscribers(), case.line_rate_hz());
    // A line wakes all subscribers that wait for it; their answers and next requests share the machine.
    let fan_out_s = (subscribers - 1.0) * case.server.write_s.unwrap_or(0.0);
    let gap_open_s = cycle.mean_open_s() + late_open_s + fan_out_s;
    let poll = LongPoll {
        line_rate_hz: rate_hz,
        gap_s: cycle.mean_s + turn_s + late_s,
        hold_s: options.hold.as_secs_f64(),
        one_way_s: held.mean_s,
    };
    let wider = LongPoll { gap_s: poll.gap_s + gap_open_s, ..poll };

    let mut broken = case.broken();
    broken.extend(case.not_poisson());
    broken.extend(case.more(poll.gap_s));
    let mut latency_broken = broken.clone();
    latency_broken.extend(case.publisher_late(poll.latency_mean_s()));

    let requests = poll.requests_per_s();
    let requests_count = (requests * case.counted_s()).max(1.0);
    // Two things are random: how often a line falls into a gap, and how often none comes within a hold. The rest
    // follows from the lines that came.
    let luck = -(-rate_hz * poll.gap_s).exp_m1() + poll.timeout_ratio();
    let requests_error = requests * ((luck / requests_count).sqrt() + 0.5 / requests_count);
    // The uncertainty that the constants leave in a quantity.
    let open = |of: fn(&LongPoll) -> f64| (of(&wider) - of(&poll)).abs();

    let window = case.window();
    let asked = window.map(|window| window.traffic.requests);
    let mut rows = Vec::new();
    let predicted = Prediction::exact(requests)
        .with_error(requests_error)
        .with_calibration(open(LongPoll::requests_per_s));
    let measured =
        window.map(|window| window.traffic.requests.total() as f64 / window.length_s / subscribers);
    rows.push(judged(
        "F4",
        "requests per second and subscriber",
        Unit::PerSecond,
        predicted,
        measured,
        &broken,
    ));

    let timeouts = poll.timeout_ratio();
    let timeouts_error = (timeouts * (1.0 - timeouts) / requests_count).sqrt();
    let predicted = Prediction::exact(timeouts)
        .with_error(timeouts_error)
        .with_calibration(open(LongPoll::timeout_ratio));
    let measured = asked.map(|asked| asked.timeout as f64 / asked.total() as f64);
    rows.push(judged("F5", "timeout ratio", Unit::Ratio, predicted, measured, &broken));

    let deviation_s = DEVIATION_PER_HALF_WIDTH * held.half_width_s();
    let held_open_s = held.half_width_s() + fan_out_s / 2.0;
    let mean_open_s = held.mean_open_s() + fan_out_s / 2.0;
    let variance = deviation_s.powi(2) + requests * poll.gap_s.powi(3) / 3.0;
    let predicted = Prediction::exact(poll.latency_mean_s())
        .with_error((variance / case.lines()).sqrt())
        .with_calibration(open(LongPoll::latency_mean_s) + mean_open_s);
    let measured = case.reading.latency_mean_s;
    rows.push(judged(
        "F6",
        "delivery latency mean",
        Unit::Microseconds,
        predicted,
        measured,
        &latency_broken,
    ));
    for ((quantile, name), measured) in QUANTILES.into_iter().zip(case.reading.latency_quantiles_s) {
        // The wait of a line for the end of a gap: 0 for most lines, up to the gap for the rest.
        let share_below = |wait_s: f64| match wait_s < 0.0 {
            true => 0.0,
            false => (1.0 - requests * (poll.gap_s - wait_s)).min(1.0),
        };
        let value = held.convolved_quantile_s(share_below, poll.gap_s, quantile);
        let share_error = (quantile * (1.0 - quantile) / case.lines()).sqrt();
        let waits = poll.gap_s > (1.0 - quantile) / requests;
        // The error of a share over the density at that quantile: r among waits, that of held lines otherwise.
        let error = share_error * if waits { 1.0 / requests } else { 2.5 * deviation_s };
        let shifted = wider.latency_quantile_s(quantile) - poll.latency_quantile_s(quantile);
        let predicted =
            Prediction::exact(value).with_error(error).with_calibration(shifted.abs() + held_open_s);
        let quantity = format!("delivery latency {name}");
        rows.push(judged("F6", quantity, Unit::Microseconds, predicted, measured, &latency_broken));
    }
    let max_s = held.quantile_s(1.0) + poll.gap_s;
    rows.push(reported(
        "F6",
        "delivery latency max",
        Unit::Microseconds,
        max_s,
        case.reading.latency_quantiles_s[3],
    ));

    let waiting = poll.waiters_mean(subscribers);
    // The gauge was sampled, at least once.
    let looked_s = case.counted_s().max(sampling::GAP_MEAN.as_secs_f64());
    let looked_error = sampling::standard_error(waiting, subscribers, looked_s);
    let mut waiting_broken = broken.clone();
    if case.setting.beside_count > 0 {
        waiting_broken.push("the server also holds polls of subscribers that are not measured".to_owned());
    }
    let predicted = Prediction::exact(waiting)
        .with_error((subscribers * poll.gap_s * requests_error).hypot(looked_error))
        .with_calibration((wider.waiters_mean(subscribers) - waiting).abs());
    rows.push(judged(
        "F7",
        "polls held at the server",
        Unit::Count,
        predicted,
        case.reading.waiters_mean,
        &waiting_broken,
    ));

    rows.extend(byte_rows(case, &poll, requests_error / requests, timeouts_error, &broken));

    let predicted = Prediction::exact(age::long_poll_s(&poll))
        .with_error(case.age_error_s(requests_count))
        .with_calibration(open(LongPoll::latency_mean_s) + mean_open_s);
    rows.push(judged(
        "F15",
        "age of information mean",
        Unit::Milliseconds,
        predicted,
        case.reading.age_mean_s,
        &broken,
    ));
    rows
}

fn byte_rows(
    case: &Case<'_>,
    poll: &LongPoll,
    requests_error: f64,
    timeouts_error: f64,
    broken: &[String],
) -> Vec<Residual> {
    let Sizes::Poll { question, answer, empty, .. } = &case.arm.sizes else { return Vec::new() };
    let mut broken = broken.to_vec();
    broken.extend(case.weight_changes());
    let digits = case.reading.digits_mean;
    // The hold stands in the request as a decimal number; the calibration used one digit.
    let hold_digits = poll.hold_s.to_string().len() as f64 - 1.0;
    let sizes = PollSizes {
        question: question.bytes(digits) + hold_digits,
        answer: answer.bytes(digits),
        empty: empty.bytes(digits),
        line: case.setting.payload_bytes + case.line_overhead(),
    };
    let (timeouts, per_line) = (poll.timeout_ratio(), poll.requests_per_s() / poll.line_rate_hz);
    let value = sizes.per_line(timeouts, per_line, 0.0);
    let error = value * requests_error + per_line * (sizes.answer - sizes.empty).abs() * timeouts_error;
    // The server is silent while it holds the request. The client asks again after its turn; the rest of the gap is the way.
    let held_s = 1.0 / poll.requests_per_s() - poll.gap_s;
    let segments = segments_per_exchange(held_s, case.setting.options.turn.as_secs_f64());
    let wire = sizes.per_line(timeouts, per_line, segments);
    let wire = reported("F9", "wire bytes per line", Unit::Bytes, wire, case.reading.wire_per_line_bytes);
    let l7 = Prediction::exact(value).with_error(error);
    vec![
        judged("F9", "l7 bytes per line", Unit::Bytes, l7, case.bytes_per_line(), &broken),
        noting(wire, case.wire_of_another()),
    ]
}

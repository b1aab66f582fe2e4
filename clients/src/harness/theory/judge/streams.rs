//! Rows of a streamed run, SSE, NDJSON or WebSocket: F8, F9, F15.

use super::{Case, Prediction, Unit, judged, noting, reported};
use crate::harness::run_result::Residual;
use crate::harness::theory::bytes::{frame_head, stream_per_line};
use crate::harness::theory::calibration::Sizes;
use crate::harness::theory::{age, streams};
use crate::wire::Wire;

/// ACKs per segment of a stream whose client sends nothing: one for each, as long as lines are further apart than a
/// delayed ACK waits.
const ACK_SHARE: f64 = 1.0;
/// Bytes of the frames that the framing was calibrated with. Any size from 126 to 65 535 bytes has the same head.
const FRAME_BYTES_CALIBRATED: f64 = 200.0;

pub(super) fn rows(case: &Case<'_>) -> Vec<Residual> {
    let Sizes::Stream { line } = &case.arm.sizes else { return Vec::new() };
    let broken = case.broken();
    let (subscribers, pattern) = (case.subscribers(), case.pattern());
    let arriving = case.server.visible_s.shifted(case.server.one_way_s());
    let write_s = case.server.write_s.unwrap_or(0.0);
    // The cost of a write is measured with the harness's own reads in it, and over a link the harness's lateness is of
    // the size of what would be allowed: the row is for the reader.
    let latency_s = streams::latency_mean_s(arriving.mean_s, subscribers, write_s);
    let measured = case.reading.latency_mean_s;
    let mut rows = vec![reported("F8", "delivery latency mean", Unit::Microseconds, latency_s, measured)];
    let traffic = &case.reading.traffic;
    // Without a cut there is no reason to reconnect. The run's own reconnects would predict themselves.
    let requests = Prediction::exact(streams::requests(0.0));
    let measured = traffic.requests.total() as f64 / subscribers;
    rows.push(judged("F8", "requests per subscriber", Unit::Count, requests, Some(measured), &broken));

    let payload_bytes = case.setting.payload_bytes;
    let framing = line.bytes(case.reading.digits_mean);
    let framed =
        payload_bytes + framing + head_change(case.setting.transport.wire(), payload_bytes + framing);
    let mut weight_broken = broken.clone();
    weight_broken.extend(case.weight_changes());
    if case.setting.lines.is_none() {
        weight_broken.push("lines are replayed: each has another size".to_owned());
    }
    let l7 = Prediction::exact(framed);
    rows.push(judged("F9", "l7 bytes per line", Unit::Bytes, l7, case.bytes_per_line(), &weight_broken));
    let wire = stream_per_line(framed, ACK_SHARE);
    let wire = reported("F9", "wire bytes per line", Unit::Bytes, wire, case.reading.wire_per_line_bytes);
    rows.push(noting(wire, case.wire_of_another()));

    let mut age_broken = broken;
    if case.setting.lines.is_none() {
        age_broken.extend(case.not_poisson());
    }
    let fan_out_s = (subscribers - 1.0) / 2.0 * write_s;
    let age = Prediction::exact(age::push_s(pattern, arriving.mean_s))
        .with_error(case.age_error_s(case.lines()))
        .with_calibration(arriving.mean_open_s() + fan_out_s);
    rows.push(judged(
        "F15",
        "age of information mean",
        Unit::Milliseconds,
        age,
        case.reading.age_mean_s,
        &age_broken,
    ));
    rows
}

/// What a frame's head has more than that of the calibrated lines.
fn head_change(wire: Wire, frame_bytes: f64) -> f64 {
    match wire {
        Wire::Websocket => frame_head(frame_bytes) - frame_head(FRAME_BYTES_CALIBRATED),
        Wire::ShortPoll | Wire::LongPoll | Wire::Sse | Wire::Ndjson => 0.0,
    }
}

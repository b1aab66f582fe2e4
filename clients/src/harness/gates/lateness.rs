//! Lateness: the harness's own delay must be small beside the latencies that it measures.
//!
//! A line that is sent late looks slow on every transport, and a thread that wakes late reads late.

use super::{Found, Gate};
use crate::harness::run_result::CheckVerdict;
use crate::harness::run_result::RunResult;
use crate::harness::statistics::distinct_lines_needed;
use crate::latency::LatencyHistogram;

/// Largest lateness of the harness as a share of the delivery p99. Above it, small differences are not claimed.
const LATENESS_RATIO_MAX: f64 = 0.1;

/// Names of the gates that fail, or leave a doubt, when the harness itself was late.
pub const LATENESS: [&str; 4] = [SEND_LATENESS, SEND_LATENESS_SHARE, HICCUP, HICCUP_SHARE];

const SEND_LATENESS: &str = "send-lateness";
const SEND_LATENESS_SHARE: &str = "send-lateness-share";
const HICCUP: &str = "hiccup";
const HICCUP_SHARE: &str = "hiccup-share";

pub(super) const GATES: &[Gate] = &[
    Gate {
        name: SEND_LATENESS,
        unit: "µs",
        definition: "Left: p99 of actual send − due time. Right: p50 of delivery latency, which it must not exceed.",
        find: |run| above_the_median(run, "send lateness", &run.send_lateness),
    },
    Gate {
        name: SEND_LATENESS_SHARE,
        unit: "µs",
        definition: "Left: p99 of actual send − due time. Right: 10 % of the p99 of delivery latency. Above it, \
                     smaller differences are not claimed.",
        find: |run| above_the_share(run, "send lateness", &run.send_lateness),
    },
    Gate {
        name: HICCUP,
        unit: "µs",
        definition: "Left: p99 of how late a thread of the harness wakes. Right: p50 of delivery latency, which it \
                     must not exceed.",
        find: |run| above_the_median(run, "hiccup", &run.hiccup),
    },
    Gate {
        name: HICCUP_SHARE,
        unit: "µs",
        definition: "Left: p99 of how late a thread of the harness wakes. Right: 10 % of the p99 of delivery latency. \
                     Above it, smaller differences are not claimed.",
        find: |run| above_the_share(run, "hiccup", &run.hiccup),
    },
];

/// Compares the harness's p99 lateness with the median latency. A harness that is later has measured itself: half of
/// the lines were faster than its own delay.
fn above_the_median(run: &RunResult, what: &str, late: &LatencyHistogram) -> Found {
    let (late, delivery) = (late.quantile_us(0.99), run.delivery.latency.quantile_us(0.5));
    let (Some(late_us), Some(delivery_us)) = (late, delivery) else {
        return Found::not_compared(late.map(|us| us as f64), delivery.map(|us| us as f64));
    };
    let said = || format!("{what} p99 {late_us} µs exceeds delivery latency p50 {delivery_us} µs");
    Found::at_most(late_us as f64, delivery_us as f64, CheckVerdict::Fail, said)
}

fn above_the_share(run: &RunResult, what: &str, late: &LatencyHistogram) -> Found {
    let (late, delivery) = (late.quantile_us(0.99), run.delivery.latency.quantile_us(0.99));
    let limit = |us: u64| LATENESS_RATIO_MAX * us as f64;
    let (Some(late_us), Some(delivery_us)) = (late, delivery) else {
        return Found::not_compared(late.map(|us| us as f64), delivery.map(limit));
    };
    // Both quantiles are taken of all lines; the files leave quantiles out where the lines were too few.
    let lines = run.delivery.distinct_lines_count();
    let few = if lines < distinct_lines_needed(0.99) {
        format!(" (of {lines} lines, too few for the p99 of the files)")
    } else {
        String::new()
    };
    let said =
        || format!("{what} p99 {late_us} µs exceeds 10 % of delivery latency p99 {delivery_us} µs{few}");
    Found::at_most(late_us as f64, limit(delivery_us), CheckVerdict::Unresolved, said)
}

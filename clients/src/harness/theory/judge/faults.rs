//! Rows of a run whose server stood still: F11.

use super::{Case, Disturbance, Prediction, SIGMAS, TOLERANCE_RATIO, Unit, judged};
use crate::harness::run_result::Residual;
use crate::harness::theory::freeze;
use crate::options::Adaptation;
use crate::wire::Waits;

/// Share of the stall that draining its lines adds to them: after the stall they queue for a while.
const DRAIN_RATIO: f64 = 0.02;

pub(super) fn rows(case: &Case<'_>) -> Vec<Residual> {
    let Disturbance::Stop { stall_s, after_s } = case.setting.disturbance else { return Vec::new() };
    let cohort_s = case.reading.cohort_s;
    let mut broken: Vec<String> = case
        .broken()
        .into_iter()
        // The formula is about the stop, so the stop breaks no assumption.
        .filter(|broken| broken != "the server was stopped")
        .collect();
    if case.setting.lines.is_none() {
        broken.extend(case.not_poisson());
    }
    if after_s < 0.0 || after_s + stall_s > cohort_s {
        broken.push("the stall does not lie within the cohort".to_owned());
    }
    let arriving = case.server.visible_s.shifted(case.server.one_way_s());
    // A poll adds its own wait to every line.
    let waits_s = match case.setting.transport.waits() {
        Waits::Client => case.setting.options.polling.interval.as_secs_f64(),
        Waits::ServerOnce => case.arm.cycle_s.as_ref().map_or(0.0, |cycle| cycle.mean_s),
        Waits::ServerForever => 0.0,
    };
    if case.setting.transport.waits() == Waits::Client
        && case.setting.options.polling.adaptation != Adaptation::None
    {
        broken.push("the interval is adaptive".to_owned());
    }
    if waits_s > TOLERANCE_RATIO * stall_s {
        broken.push("a poll's own wait is added to every line of the stall".to_owned());
    }
    // The share of lines that fall into the stall is random; the density of their waits is 1/D.
    let error_s = (stall_s / cohort_s * (1.0 - stall_s / cohort_s) / case.lines()).sqrt() * cohort_s;
    [(0.99, "p99", 2), (1.0, "max", 3)]
        .into_iter()
        .filter(|(quantile, ..)| *quantile > 1.0 - stall_s / cohort_s)
        .map(|(quantile, name, index)| {
            let value = freeze::latency_quantile_s(stall_s, cohort_s, arriving.mean_s, quantile);
            // The slowest line is the first of the stall, which is due up to one gap between lines after the stall
            // began.
            let last_s = if quantile == 1.0 { SIGMAS / case.line_rate_hz() } else { 0.0 };
            let predicted = Prediction::exact(value)
                .with_error(error_s.min(value))
                .with_calibration(DRAIN_RATIO * stall_s + last_s);
            let measured = case.reading.latency_quantiles_s[index];
            judged(
                "F11",
                format!("delivery latency {name}"),
                Unit::Microseconds,
                predicted,
                measured,
                &broken,
            )
        })
        .collect()
}

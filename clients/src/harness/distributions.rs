//! The distributions that a run measures: names, definitions, samples, and what may be said of their quantiles.
//!
//! `percentiles.csv`, the histograms in `hdr/` and `results/README.md` come from this list. Pure.

use super::run_result::RunResult;
use super::statistics::distinct_lines_needed;
use crate::latency::LatencyHistogram;

/// A distribution that has percentiles: a row per quantile in `percentiles.csv`.
#[derive(Debug, Clone, Copy)]
pub struct Distribution {
    /// The name in the column `metric`.
    pub name: &'static str,
    /// One sentence.
    pub definition: &'static str,
    /// Its samples.
    pub histogram: fn(&RunResult) -> &LatencyHistogram,
    /// What the run can say of one of its quantiles, µs.
    pub quantile_us: fn(&RunResult, f64) -> Option<u64>,
    /// Whether a run without samples has it.
    pub without_samples: WithoutSamples,
}

/// What a distribution without samples means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutSamples {
    /// A finding: nothing was delivered, or published. It has empty rows and files.
    Told,
    /// It does not apply to the run: no poll was held on a stream. It has no rows and no files.
    LeftOut,
}

impl Distribution {
    /// The distributions that a run has.
    pub fn of(run: &RunResult) -> impl Iterator<Item = &'static Self> + use<'_> {
        DISTRIBUTIONS.iter().filter(move |metric| match metric.without_samples {
            WithoutSamples::Told => true,
            WithoutSamples::LeftOut => !(metric.histogram)(run).is_empty(),
        })
    }
}

/// Every distribution, in the order of the file.
pub const DISTRIBUTIONS: &[Distribution] = &[
    Distribution {
        name: "delivery_latency",
        definition: "Receipt − due time, per subscriber and line of the cohort, first receipt only.",
        histogram: |run| &run.delivery.latency,
        quantile_us: |run, quantile| delivery_quantile_us(run, &run.delivery.latency, quantile),
        without_samples: WithoutSamples::Told,
    },
    Distribution {
        name: "send_lateness",
        definition: "Actual send − due time, per line of the cohort: the harness's own fault.",
        histogram: |run| &run.send_lateness,
        quantile_us: |run, quantile| published_quantile_us(run, &run.send_lateness, quantile),
        without_samples: WithoutSamples::Told,
    },
    Distribution {
        name: "append",
        definition: "Send → 201 (of a profile: any 2xx, a wait for its turn included), per line of the cohort: the \
                     store's share.",
        histogram: |run| &run.append,
        quantile_us: |run, quantile| published_quantile_us(run, &run.append, quantile),
        without_samples: WithoutSamples::Told,
    },
    Distribution {
        name: "hiccup",
        definition: "How late a thread of the harness wakes that sleeps 1 ms at a time, per deadline in \
                     the cohort.",
        histogram: |run| &run.hiccup,
        quantile_us: |run, quantile| sampled_quantile_us(&run.hiccup, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "request_service",
        definition: "Request written → whole answer read, of polls that are answered at once, written \
                     during the cohort: uncorrected.",
        histogram: |run| &run.timing.request_service,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.request_service, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "request_response",
        definition: "Time at which the schedule wanted to poll → whole answer read, of the same polls \
                     and of those that a late answer swallowed: corrected.",
        histogram: |run| &run.timing.request_response,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.request_response, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "hold",
        definition: "Request written → whole answer read, of polls that the server may hold, written \
                     during the cohort; the way there and back is in it.",
        histogram: |run| &run.timing.hold,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.hold, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "rearm_gap",
        definition: "Answer read → next request written, of polls that the server may hold, during the \
                     cohort; not after a failure.",
        histogram: |run| &run.timing.rearm_gap,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.rearm_gap, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "handshake",
        definition: "Begin of connecting → connected for polls, → head of the answer or 101 for streams, \
                     over the whole run.",
        histogram: |run| &run.timing.handshake,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.handshake, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "first_line",
        definition: "Begin of connecting, or the first due time if that was later → first line, per \
                     subscriber that got one.",
        histogram: |run| &run.first_line,
        quantile_us: |run, quantile| sampled_quantile_us(&run.first_line, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "fanout_skew",
        definition: "Last − first receipt among the subscribers, per line of the cohort that two or more got.",
        histogram: |run| &run.fanout_skew,
        quantile_us: |run, quantile| sampled_quantile_us(&run.fanout_skew, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
];

/// The quantiles of `percentiles.csv`; 1.0 is the maximum.
pub const QUANTILES: &[f64] = &[0.5, 0.9, 0.99, 0.999, 1.0];

/// The quantile in µs, unless the run had too few distinct lines for it, or lines are missing: what never arrived
/// would have been slowest, so a quantile of what did would flatter exactly where it matters.
pub fn delivery_quantile_us(run: &RunResult, histogram: &LatencyHistogram, quantile: f64) -> Option<u64> {
    let enough = run.delivery.distinct_lines_count() >= distinct_lines_needed(quantile);
    let cohort = &run.delivery.cohort;
    let known = quantile * cohort.expected as f64 <= cohort.delivered as f64;
    if enough && known { histogram.quantile_us(quantile) } else { None }
}

/// The mean in µs, unless lines are missing: of those that arrived it would flatter, as a quantile would.
pub fn mean_us(run: &RunResult, histogram: &LatencyHistogram) -> Option<f64> {
    let cohort = &run.delivery.cohort;
    if cohort.delivered >= cohort.expected { histogram.mean_us() } else { None }
}

/// The quantile in µs of what is timed per published line, unless there were too few. Lines that did not arrive change
/// nothing here: they were published.
pub fn published_quantile_us(run: &RunResult, histogram: &LatencyHistogram, quantile: f64) -> Option<u64> {
    (run.published_count >= distinct_lines_needed(quantile))
        .then(|| histogram.quantile_us(quantile))
        .flatten()
}

/// The quantile in µs of samples that are no lines, unless there were too few of them.
pub fn sampled_quantile_us(histogram: &LatencyHistogram, quantile: f64) -> Option<u64> {
    (histogram.len() >= distinct_lines_needed(quantile)).then(|| histogram.quantile_us(quantile)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::example;

    #[test]
    fn lines_that_never_arrived_hide_no_latency_of_the_harness() {
        let mut run = example::result_set().runs.remove(0);
        (run.delivery.cohort.lost, run.delivery.cohort.delivered) = (run.delivery.cohort.expected, 0);
        assert_eq!(delivery_quantile_us(&run, &run.delivery.latency, 0.99), None);
        assert_eq!(published_quantile_us(&run, &run.append, 0.99), run.append.quantile_us(0.99));
        run.published_count = 10;
        assert_eq!(published_quantile_us(&run, &run.append, 0.99), None, "too few lines were published");
    }

    #[test]
    fn a_mean_of_the_lines_that_arrived_is_not_told_while_lines_are_missing() {
        let mut run = example::result_set().runs.remove(0);
        assert!(mean_us(&run, &run.delivery.latency).is_some());
        run.delivery.cohort.delivered -= 1;
        run.delivery.cohort.censored += 1;
        assert_eq!(mean_us(&run, &run.delivery.latency), None);
    }
}

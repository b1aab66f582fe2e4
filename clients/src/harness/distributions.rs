//! The distributions that a run measures: names, definitions, samples, and what may be said of their quantiles.
//!
//! `percentiles.csv`, the histograms in `hdr/` and `results/README.md` come from this list. Pure.

use super::run_result::RunResult;
use super::statistics::distinct_lines_needed;
use crate::latency::LatencyHistogram;

/// A distribution that has percentiles: a row per quantile in `percentiles.csv`.
#[derive(Debug, Clone, Copy)]
pub struct Distribution {
    /// Name in the column `metric`.
    pub name: &'static str,
    /// Definition in a sentence or two, for the data dictionary and the histogram files.
    pub definition: &'static str,
    /// Returns the samples of a run.
    pub histogram: fn(&RunResult) -> &LatencyHistogram,
    /// What one sample belongs to.
    pub samples: Samples,
}

/// What one sample of a distribution belongs to. It decides how many there must be for a quantile, and what it means
/// that there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    /// A line that a subscriber received. Without samples nothing was delivered, which is a finding: the rows and files
    /// of the distribution are there, but empty.
    Delivered,
    /// A line that was published. Without samples nothing was published, which is a finding too.
    Published,
    /// Anything else, such as a request. Without samples the distribution does not apply to the run, as `hold` to a
    /// stream: it has no rows and no files.
    Other,
}

impl Distribution {
    /// Returns the distributions that a run has.
    pub fn of(run: &RunResult) -> impl Iterator<Item = &'static Self> + use<'_> {
        DISTRIBUTIONS.iter().filter(move |metric| match metric.samples {
            Samples::Delivered | Samples::Published => true,
            Samples::Other => !(metric.histogram)(run).is_empty(),
        })
    }

    /// Returns a quantile in µs. `None` where the run cannot support it.
    pub fn quantile_us(&self, run: &RunResult, quantile: f64) -> Option<u64> {
        let histogram = (self.histogram)(run);
        match self.samples {
            Samples::Delivered => delivery_quantile_us(run, histogram, quantile),
            Samples::Published => published_quantile_us(run, histogram, quantile),
            Samples::Other => sampled_quantile_us(histogram, quantile),
        }
    }
}

/// Every distribution, in the order of `percentiles.csv`.
pub const DISTRIBUTIONS: &[Distribution] = &[
    Distribution {
        name: "delivery_latency",
        definition: "Time from due time to receipt, per subscriber and line of the cohort, first receipt only.",
        histogram: |run| &run.delivery.latency,
        samples: Samples::Delivered,
    },
    Distribution {
        name: "send_lateness",
        definition: "Actual send − due time, per line of the cohort: the harness's own timing error.",
        histogram: |run| &run.send_lateness,
        samples: Samples::Published,
    },
    Distribution {
        name: "append",
        definition: "Time from send to 201, per line of the cohort: the store's share of the latency. With a profile, to \
                     any 2xx, and the wait for the request's turn is included.",
        histogram: |run| &run.append,
        samples: Samples::Published,
    },
    Distribution {
        name: "hiccup",
        definition: "Lateness of a thread of the harness that sleeps 1 ms at a time, per deadline in the cohort.",
        histogram: |run| &run.hiccup,
        samples: Samples::Other,
    },
    Distribution {
        name: "request_service",
        definition: "Time from request written to whole answer read, for polls that are answered at once and were \
                     written during the cohort. Uncorrected: polls that a late answer swallowed are not counted.",
        histogram: |run| &run.timing.request_service,
        samples: Samples::Other,
    },
    Distribution {
        name: "request_response",
        definition: "Time from the scheduled poll to whole answer read, for the polls of `request_service` and those \
                     that a late answer swallowed. Corrected.",
        histogram: |run| &run.timing.request_response,
        samples: Samples::Other,
    },
    Distribution {
        name: "hold",
        definition: "Time from request written to whole answer read, for polls that the server may hold, written \
                     during the cohort. The way there and back is included.",
        histogram: |run| &run.timing.hold,
        samples: Samples::Other,
    },
    Distribution {
        name: "rearm_gap",
        definition: "Time from answer read to next request written, for polls that the server may hold, during the \
                     cohort; not after a failure.",
        histogram: |run| &run.timing.rearm_gap,
        samples: Samples::Other,
    },
    Distribution {
        name: "handshake",
        definition: "Time from the start of connecting until connected (polls), or until the head of the answer or the \
                     101 (streams), over the whole run.",
        histogram: |run| &run.timing.handshake,
        samples: Samples::Other,
    },
    Distribution {
        name: "first_line",
        definition: "Time from the start of connecting, or from the first due time if that was later, to the first line, \
                     per subscriber that got one.",
        histogram: |run| &run.first_line,
        samples: Samples::Other,
    },
    Distribution {
        name: "fanout_skew",
        definition: "Last − first receipt among the subscribers, per line of the cohort that two or more received.",
        histogram: |run| &run.fanout_skew,
        samples: Samples::Other,
    },
];

/// Quantiles of `percentiles.csv`; 1.0 is the maximum.
pub const QUANTILES: &[f64] = &[0.5, 0.9, 0.99, 0.999, 1.0];

/// Returns a quantile of delivery latency, µs. `None` where the run had too few distinct lines for it, or lines are
/// missing. Missing lines would have been the slowest, so a quantile of the others would flatter where it matters.
pub fn delivery_quantile_us(run: &RunResult, histogram: &LatencyHistogram, quantile: f64) -> Option<u64> {
    let enough = run.delivery.distinct_lines_count() >= distinct_lines_needed(quantile);
    let cohort = &run.delivery.cohort;
    let known = quantile * cohort.expected as f64 <= cohort.delivered as f64;
    if enough && known { histogram.quantile_us(quantile) } else { None }
}

/// Returns the mean of delivery latency, µs. `None` where lines are missing: the mean of the others would flatter.
pub fn mean_us(run: &RunResult, histogram: &LatencyHistogram) -> Option<f64> {
    let cohort = &run.delivery.cohort;
    if cohort.delivered >= cohort.expected { histogram.mean_us() } else { None }
}

/// Returns a quantile of what is timed per published line, µs. `None` where there were too few lines. Lines that did
/// not arrive do not matter here: they were published.
pub fn published_quantile_us(run: &RunResult, histogram: &LatencyHistogram, quantile: f64) -> Option<u64> {
    (run.published_count >= distinct_lines_needed(quantile))
        .then(|| histogram.quantile_us(quantile))
        .flatten()
}

/// Returns a quantile of samples that are not tied to lines, µs. `None` where there were too few samples.
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

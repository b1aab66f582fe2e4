//! `percentiles.csv`: one row per run, distribution and quantile.

use std::collections::HashMap;

use super::row;
use crate::harness::distributions::{Distribution, QUANTILES};
use crate::harness::run_result::{RunResult, Verdict};
use crate::harness::statistics::{Interval, median_interval};
use crate::wire::Transport;

row! {
    /// One row of `percentiles.csv`: a quantile of a distribution in a run.
    PercentileRow of "percentiles.csv" from Quantile<'_> {
        /// Name of the run, as in `runs.csv`.
        run_id: String [""] = |of| of.run.cell.run_id.clone();
        /// Transport by which lines reached the subscribers.
        transport: Transport [""] = |of| of.run.cell.transport;
        /// The arm, as in `runs.csv`.
        arm: String [""] = |of| of.run.cell.arm.clone().unwrap_or_default();
        /// Name of the distribution, explained above.
        metric: String [""] = |of| of.metric.name.to_owned();
        /// Share of the samples that do not exceed the value; 1 is the maximum.
        quantile: f64 [""] = |of| QUANTILES[of.place];
        /// Value of the quantile; empty with too few distinct lines.
        value_us: Option<u64> ["µs"] = |of| of.metric.quantile_us(of.run, QUANTILES[of.place]);
        /// Number of samples of the distribution.
        samples_count: u64 ["count"] = |of| (of.metric.histogram)(of.run).len();
        /// Lower end of the 95 % bootstrap interval of the median over all runs of this transport and arm that are
        /// not invalid. All these runs share it; empty under 6 of them.
        ci_low_us: Option<f64> ["µs"] = |of| of.interval.map(|interval| interval.low);
        /// Upper end of the 95 % bootstrap interval of the median over all runs of this transport and arm that are
        /// not invalid. All these runs share it; empty under 6 of them.
        ci_high_us: Option<f64> ["µs"] = |of| of.interval.map(|interval| interval.high);
    }
}

/// A quantile of a run's distribution, with the interval of its median over runs.
#[derive(Debug, Clone, Copy)]
pub struct Quantile<'a> {
    run: &'a RunResult,
    metric: &'static Distribution,
    /// The quantile's place in [`QUANTILES`].
    place: usize,
    interval: Option<Interval>,
}

/// Fills the rows of all runs of a plan, whose `seed` decides the resamples of the intervals.
pub fn percentile_rows(runs: &[RunResult], seed: u64) -> Vec<PercentileRow> {
    let intervals = Intervals::of(runs, seed);
    let of_run = |run| {
        every_quantile(run).map(|(metric, place)| {
            let interval = intervals.0.get(&group(run, metric, place)).copied();
            PercentileRow::of(&Quantile { run, metric, place, interval })
        })
    };
    runs.iter().flat_map(of_run).collect()
}

/// Key of a group of runs: transport, arm, whether they are the twins of an A/A pair, distribution, and the
/// quantile's place in [`QUANTILES`].
type Group = (Transport, Option<String>, bool, &'static str, usize);

/// Intervals of the median over runs, for each group that has enough runs.
struct Intervals(HashMap<Group, Interval>);

impl Intervals {
    /// Makes the intervals from all runs that are not invalid; no outlier is left out.
    fn of(runs: &[RunResult], seed: u64) -> Self {
        let mut groups: HashMap<Group, Vec<f64>> = HashMap::new();
        for run in runs.iter().filter(|run| run.verdict != Verdict::Invalid) {
            for (metric, place) in every_quantile(run) {
                if let Some(us) = metric.quantile_us(run, QUANTILES[place]) {
                    groups.entry(group(run, metric, place)).or_default().push(us as f64);
                }
            }
        }
        let interval = |(group, us): (Group, Vec<f64>)| Some((group, median_interval(&us, seed)?));
        Self(groups.into_iter().filter_map(interval).collect())
    }
}

fn group(run: &RunResult, metric: &Distribution, place: usize) -> Group {
    (run.cell.transport, run.cell.arm.clone(), run.cell.is_aa, metric.name, place)
}

/// Returns each distribution that a run has, with the place of each quantile.
fn every_quantile(run: &RunResult) -> impl Iterator<Item = (&'static Distribution, usize)> + use<'_> {
    Distribution::of(run).flat_map(|metric| (0..QUANTILES.len()).map(move |place| (metric, place)))
}

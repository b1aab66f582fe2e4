//! `percentiles.csv`: one row per run, distribution and quantile.

use std::collections::HashMap;

use wirelab_clients::harness::metrics::{Distribution, PERCENTILES_COLUMNS, QUANTILES, Value};
use wirelab_clients::harness::results::ResultSet;
use wirelab_clients::harness::run_result::{RunResult, Verdict};
use wirelab_clients::harness::statistics::{Interval, median_interval};
use wirelab_clients::wire::Transport;

use super::{Exporter, File, ReportError, csv_of};

/// Renders `percentiles.csv`.
pub(super) struct PercentilesCsv;

impl Exporter for PercentilesCsv {
    fn render(&self, results: &ResultSet) -> Result<Vec<File>, ReportError> {
        let header = PERCENTILES_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
        let intervals = Intervals::of(results);
        let rows = results.runs.iter().flat_map(|run| rows(run, &intervals));
        csv_of("percentiles.csv", std::iter::once(header).chain(rows))
    }
}

/// What runs must share to be runs of one group: transport, arm, whether they are the twins of an A/A pair,
/// distribution, and the quantile's place in [`QUANTILES`].
type Group = (Transport, Option<String>, bool, &'static str, usize);

/// The interval of the median over the runs of each group that has enough of them.
struct Intervals(HashMap<Group, Interval>);

impl Intervals {
    /// Of the runs that may be believed; nothing is left out for being far away.
    fn of(results: &ResultSet) -> Self {
        let mut groups: HashMap<Group, Vec<f64>> = HashMap::new();
        for run in results.runs.iter().filter(|run| run.verdict != Verdict::Invalid) {
            for (metric, place) in every_quantile(run) {
                if let Some(us) = (metric.quantile_us)(run, QUANTILES[place]) {
                    groups.entry(group(run, metric, place)).or_default().push(us as f64);
                }
            }
        }
        let interval =
            |(group, us): (Group, Vec<f64>)| Some((group, median_interval(&us, results.plan.seed)?));
        Self(groups.into_iter().filter_map(interval).collect())
    }
}

fn group(run: &RunResult, metric: &Distribution, place: usize) -> Group {
    (run.cell.transport, run.cell.arm.clone(), run.cell.is_aa, metric.name, place)
}

/// Each distribution that a run has, with the place of each quantile.
fn every_quantile(run: &RunResult) -> impl Iterator<Item = (&'static Distribution, usize)> + use<'_> {
    Distribution::of(run).flat_map(|metric| (0..QUANTILES.len()).map(move |place| (metric, place)))
}

fn rows(run: &RunResult, intervals: &Intervals) -> impl Iterator<Item = Vec<String>> {
    every_quantile(run).map(|(metric, place)| {
        let quantile = QUANTILES[place];
        let value_us = (metric.quantile_us)(run, quantile).map_or(String::new(), |us| us.to_string());
        let interval = intervals.0.get(&group(run, metric, place));
        let end = |end: fn(&Interval) -> f64| {
            interval
                .and_then(|interval| Value::number(end(interval)))
                .map_or(String::new(), |us| us.to_string())
        };
        vec![
            run.cell.run_id.clone(),
            run.cell.transport.to_string(),
            run.cell.arm.clone().unwrap_or_default(),
            metric.name.to_owned(),
            quantile.to_string(),
            value_us,
            (metric.histogram)(run).len().to_string(),
            end(|interval| interval.low),
            end(|interval| interval.high),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use wirelab_clients::harness::example;

    #[test]
    fn a_row_per_quantile_and_none_beyond_what_the_lines_allow() {
        let mut results = example::result_set();
        results.runs.truncate(1);
        let [file] = PercentilesCsv.render(&results).unwrap().try_into().unwrap();
        let text = String::from_utf8(file.bytes).unwrap();
        // 500 lines: no p99.9, which needs 3 688. A short poll is never held: no rows of hold and rearm_gap.
        assert_eq!(text, EXPECTED);
    }

    /// The example's first run, as often as it takes, each a little slower than the one before.
    fn repeated(runs_count: u32) -> ResultSet {
        let mut results = example::result_set();
        let run = results.runs.remove(0);
        results.runs = (0..runs_count)
            .map(|n| {
                let mut run = run.clone();
                run.cell.run_id = format!("short-poll-{}", n + 1);
                run.append.record_n(Duration::from_millis(1 + u64::from(n)), 5_000);
                run
            })
            .collect();
        results
    }

    /// The cells of an interval in each run's row of the median append.
    fn ends(results: &ResultSet) -> Vec<(String, String)> {
        let [file] = PercentilesCsv.render(results).unwrap().try_into().unwrap();
        let mut reader = csv::Reader::from_reader(file.bytes.as_slice());
        let rows = reader.records().map(Result::unwrap);
        rows.filter(|row| &row[3] == "append" && &row[4] == "0.5")
            .map(|row| (row[7].to_owned(), row[8].to_owned()))
            .collect()
    }

    #[test]
    fn six_runs_have_one_interval_in_all_their_rows_and_five_have_none() {
        let none = (String::new(), String::new());
        assert_eq!(ends(&repeated(5)), vec![none.clone(); 5]);
        let six = ends(&repeated(6));
        assert!(six.len() == 6 && six.iter().all(|interval| *interval == six[0]), "{six:?}");
        let [low, high] = [&six[0].0, &six[0].1].map(|us| us.parse::<f64>().unwrap());
        assert!((1_000.0..3_500.0).contains(&low) && (3_500.0..6_010.0).contains(&high), "{low} to {high}");

        // Whoever may not be believed does not count.
        let mut results = repeated(6);
        results.runs[3].verdict = Verdict::Invalid;
        assert_eq!(ends(&results), vec![none; 6]);
    }

    const EXPECTED: &str = "\
run_id,transport,arm,metric,quantile,value_us,samples_count,ci_low_us,ci_high_us
short-poll-1,short-poll,,delivery_latency,0.5,101055,1000,,
short-poll-1,short-poll,,delivery_latency,0.9,175103,1000,,
short-poll-1,short-poll,,delivery_latency,0.99,198015,1000,,
short-poll-1,short-poll,,delivery_latency,0.999,,1000,,
short-poll-1,short-poll,,delivery_latency,1,200063,1000,,
short-poll-1,short-poll,,send_lateness,0.5,24,500,,
short-poll-1,short-poll,,send_lateness,0.9,28,500,,
short-poll-1,short-poll,,send_lateness,0.99,29,500,,
short-poll-1,short-poll,,send_lateness,0.999,,500,,
short-poll-1,short-poll,,send_lateness,1,29,500,,
short-poll-1,short-poll,,append,0.5,449,500,,
short-poll-1,short-poll,,append,0.9,649,500,,
short-poll-1,short-poll,,append,0.99,694,500,,
short-poll-1,short-poll,,append,0.999,,500,,
short-poll-1,short-poll,,append,1,699,500,,
short-poll-1,short-poll,,hiccup,0.5,34,10000,,
short-poll-1,short-poll,,hiccup,0.9,54,10000,,
short-poll-1,short-poll,,hiccup,0.99,59,10000,,
short-poll-1,short-poll,,hiccup,0.999,59,10000,,
short-poll-1,short-poll,,hiccup,1,59,10000,,
short-poll-1,short-poll,,request_service,0.5,444,180,,
short-poll-1,short-poll,,request_service,0.9,481,180,,
short-poll-1,short-poll,,request_service,0.99,,180,,
short-poll-1,short-poll,,request_service,0.999,,180,,
short-poll-1,short-poll,,request_service,1,499,180,,
short-poll-1,short-poll,,request_response,0.5,445,180,,
short-poll-1,short-poll,,request_response,0.9,483,180,,
short-poll-1,short-poll,,request_response,0.99,,180,,
short-poll-1,short-poll,,request_response,0.999,,180,,
short-poll-1,short-poll,,request_response,1,5403,180,,
short-poll-1,short-poll,,handshake,0.5,,2,,
short-poll-1,short-poll,,handshake,0.9,,2,,
short-poll-1,short-poll,,handshake,0.99,,2,,
short-poll-1,short-poll,,handshake,0.999,,2,,
short-poll-1,short-poll,,handshake,1,301,2,,
short-poll-1,short-poll,,first_line,0.5,11007,20,,
short-poll-1,short-poll,,first_line,0.9,,20,,
short-poll-1,short-poll,,first_line,0.99,,20,,
short-poll-1,short-poll,,first_line,0.999,,20,,
short-poll-1,short-poll,,first_line,1,21007,20,,
short-poll-1,short-poll,,fanout_skew,0.5,149,500,,
short-poll-1,short-poll,,fanout_skew,0.9,189,500,,
short-poll-1,short-poll,,fanout_skew,0.99,198,500,,
short-poll-1,short-poll,,fanout_skew,0.999,,500,,
short-poll-1,short-poll,,fanout_skew,1,199,500,,
";
}

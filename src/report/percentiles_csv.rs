//! `percentiles.csv`: one row per run, distribution and quantile.

use wirelab_clients::harness::metrics::{Distribution, PERCENTILES_COLUMNS, QUANTILES};
use wirelab_clients::harness::results::{ResultSet, RunResult};

use super::{Exporter, File, ReportError, csv_of};

/// Renders `percentiles.csv`.
pub(super) struct PercentilesCsv;

impl Exporter for PercentilesCsv {
    fn render(&self, results: &ResultSet) -> Result<Vec<File>, ReportError> {
        let header = PERCENTILES_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
        csv_of("percentiles.csv", std::iter::once(header).chain(results.runs.iter().flat_map(rows)))
    }
}

fn rows(run: &RunResult) -> impl Iterator<Item = Vec<String>> {
    let quantiles = |metric: &'static Distribution| QUANTILES.iter().map(move |quantile| (metric, *quantile));
    Distribution::of(run).flat_map(quantiles).map(|(metric, quantile)| row(run, metric, quantile))
}

fn row(run: &RunResult, metric: &Distribution, quantile: f64) -> Vec<String> {
    let histogram = (metric.histogram)(run);
    let value_us = (metric.quantile_us)(run, quantile).map_or(String::new(), |us| us.to_string());
    let arm = run.cell.arm.clone().unwrap_or_default();
    // One run has no interval over runs.
    let (ci_low_us, ci_high_us) = (String::new(), String::new());
    vec![
        run.cell.run_id.clone(),
        run.cell.transport.to_string(),
        arm,
        metric.name.to_owned(),
        quantile.to_string(),
        value_us,
        histogram.len().to_string(),
        ci_low_us,
        ci_high_us,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
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

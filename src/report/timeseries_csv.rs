//! `timeseries.csv`: one row per run, series and instant.

use wirelab_clients::harness::metrics::{TIMESERIES_COLUMNS, Value};
use wirelab_clients::harness::results::ResultSet;
use wirelab_clients::harness::run_result::RunResult;
use wirelab_clients::harness::series::SeriesPoint;

use super::{Exporter, File, ReportError, csv_of};

/// Renders `timeseries.csv`.
pub(super) struct TimeseriesCsv;

impl Exporter for TimeseriesCsv {
    fn render(&self, results: &ResultSet) -> Result<Vec<File>, ReportError> {
        let header = TIMESERIES_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
        let rows = results.runs.iter().flat_map(|run| run.series.iter().map(move |point| row(run, point)));
        csv_of("timeseries.csv", std::iter::once(header).chain(rows))
    }
}

fn row(run: &RunResult, point: &SeriesPoint) -> Vec<String> {
    vec![
        run.cell.run_id.clone(),
        run.cell.transport.to_string(),
        run.cell.arm.clone().unwrap_or_default(),
        Value::Number(point.t_s).to_string(),
        point.metric.to_string(),
        Value::Number(point.value).to_string(),
        point.unit.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::example;
    use wirelab_clients::harness::series::SERIES;

    #[test]
    fn a_row_per_series_and_instant() {
        let mut results = example::result_set();
        results.runs[1].cell.arm = Some("b".to_owned());
        let [file] = TimeseriesCsv.render(&results).unwrap().try_into().unwrap();
        let text = String::from_utf8(file.bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], FIRST);
        assert_eq!(lines.last(), Some(&"sse-1,sse,b,11,server_cpu,0.004,ratio"));
        let instants_of = |name: &str| {
            lines
                .iter()
                .filter(|line| line.starts_with("sse-1,") && line.contains(&format!(",{name},")))
                .count()
        };
        // Eleven seconds in which lines were due; twelve samples, of which rates need two each.
        let instants: Vec<usize> = SERIES.iter().map(|series| instants_of(series.name)).collect();
        assert_eq!(instants, [11, 11, 11, 11, 11, 12, 11, 12]);
    }

    const FIRST: [&str; 4] = [
        "run_id,transport,arm,t_s,metric,value,unit",
        "short-poll-1,short-poll,,0,lines_delivered,100,count",
        "short-poll-1,short-poll,,0,delivery_latency_mean,26500,µs",
        "short-poll-1,short-poll,,0,delivery_latency_max,51000,µs",
    ];
}

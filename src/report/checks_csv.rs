//! `checks.csv`: one row per run and gate, and per threshold: why a verdict is what it is.

use wirelab_clients::harness::metrics::{CHECKS_COLUMNS, Value};
use wirelab_clients::harness::results::ResultSet;
use wirelab_clients::harness::run_result::Check;
use wirelab_clients::harness::thresholds;

use super::{Exporter, File, ReportError, csv_of};

/// Renders `checks.csv`.
pub(super) struct ChecksCsv;

impl Exporter for ChecksCsv {
    fn render(&self, results: &ResultSet) -> Result<Vec<File>, ReportError> {
        let header = CHECKS_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
        let of_gates = results
            .runs
            .iter()
            .flat_map(|run| run.checks.iter().map(|check| row(Some(&run.cell.run_id), check)));
        let judged = thresholds::judge(&results.plan.thresholds, &results.runs);
        let of_thresholds = judged.iter().map(|judgement| row(judgement.run_id.as_deref(), &judgement.check));
        csv_of("checks.csv", std::iter::once(header).chain(of_gates).chain(of_thresholds))
    }
}

fn row(run_id: Option<&str>, check: &Check) -> Vec<String> {
    let number =
        |number: Option<f64>| number.and_then(Value::number).map_or(String::new(), |value| value.to_string());
    vec![
        run_id.unwrap_or_default().to_owned(),
        check.name.to_string(),
        number(check.left),
        number(check.right),
        check.unit.to_string(),
        number(check.tolerance),
        check.verdict.name().to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::example;
    use wirelab_clients::harness::gates::{self, gates};

    fn render(results: &ResultSet) -> String {
        let [file] = ChecksCsv.render(results).unwrap().try_into().unwrap();
        String::from_utf8(file.bytes).unwrap()
    }

    #[test]
    fn a_row_per_run_and_gate_with_empty_cells_for_what_was_not_measured() {
        let mut results = example::result_set();
        results.runs[0].delivery.cohort.delivered -= 1;
        gates::judge(&mut results.runs[0]);
        results.runs[1].harness.run_delay = None;
        gates::judge(&mut results.runs[1]);
        results.plan.thresholds = ["*.lost_count == 0", "sse.reconnects_count > 5", "ndjson.lost_count == 0"]
            .map(|text| text.parse().unwrap())
            .into();
        let text = render(&results);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 1 + 2 * gates().count() + 4);
        assert_eq!(rows[0], "run_id,check,left,right,unit,tolerance,verdict");
        for row in [
            "short-poll-1,cohort-books,1000,999,lines,0,fail",
            "short-poll-1,l7-down,220000,220000,bytes,0,pass",
            "sse-1,cohort-books,1000,1000,lines,0,pass",
            "sse-1,send-lateness,29,1200,µs,0,pass",
            "sse-1,waiters,2,,count,,not-measured",
            "sse-1,threshold: *.lost_count == 0,0,0,count,0,pass",
            "sse-1,threshold: sse.reconnects_count > 5,0,5,count,0,fail",
            ",threshold: ndjson.lost_count == 0,,0,count,0,fail",
        ] {
            assert!(rows.contains(&row), "{row} is not in\n{text}");
        }
    }
}

//! `theory.csv`: one row per run and prediction.

use wirelab_clients::harness::metrics::{THEORY_COLUMNS, Value};
use wirelab_clients::harness::results::ResultSet;
use wirelab_clients::harness::run_result::RunResult;
use wirelab_clients::harness::theory::TheoryRow;

use super::{Exporter, File, ReportError, csv_of};

/// Renders `theory.csv`.
pub(super) struct TheoryCsv;

impl Exporter for TheoryCsv {
    fn render(&self, results: &ResultSet) -> Result<Vec<File>, ReportError> {
        let header = THEORY_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
        let rows = results.runs.iter().flat_map(|run| run.theory.iter().map(move |theory| row(run, theory)));
        csv_of("theory.csv", std::iter::once(header).chain(rows))
    }
}

fn row(run: &RunResult, theory: &TheoryRow) -> Vec<String> {
    let number =
        |number: Option<f64>| number.and_then(Value::number).map_or(String::new(), |value| value.to_string());
    vec![
        run.cell.run_id.clone(),
        run.cell.transport.to_string(),
        run.cell.arm.clone().unwrap_or_default(),
        theory.formula.to_string(),
        theory.quantity.clone(),
        theory.unit.to_string(),
        number(Some(theory.predicted)),
        number(theory.measured),
        number(theory.residual_ratio()),
        number(theory.tolerance_ratio),
        theory.verdict.name().to_owned(),
        theory.assumption_broken.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::example;
    use wirelab_clients::harness::theory::TheoryVerdict;

    #[test]
    fn a_row_per_prediction_and_nothing_where_nothing_was_measured() {
        let mut results = example::result_set();
        results.runs.truncate(1);
        let row = TheoryRow {
            formula: "F1".into(),
            quantity: "delivery latency mean".to_owned(),
            unit: "us".into(),
            predicted: 100_300.0,
            measured: Some(101_303.0),
            tolerance_ratio: Some(0.0625),
            verdict: TheoryVerdict::Pass,
            assumption_broken: None,
        };
        let broken = TheoryRow {
            measured: None,
            tolerance_ratio: None,
            verdict: TheoryVerdict::AssumptionBroken,
            assumption_broken: Some("the interval is jittered, on purpose".to_owned()),
            ..row.clone()
        };
        results.runs[0].theory = vec![row, broken];
        let [file] = TheoryCsv.render(&results).unwrap().try_into().unwrap();
        assert_eq!(String::from_utf8(file.bytes).unwrap(), EXPECTED);
    }

    const EXPECTED: &str = "\
run_id,transport,arm,formula,quantity,unit,predicted,measured,residual_ratio,tolerance_ratio,verdict,assumption_broken
short-poll-1,short-poll,,F1,delivery latency mean,us,100300,101303,0.01,0.0625,pass,
short-poll-1,short-poll,,F1,delivery latency mean,us,100300,,,,assumption-broken,\"the interval is jittered, on purpose\"
";
}

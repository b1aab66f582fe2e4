//! Predictions before the runs, and what came: two tables for a plan that says `predict = true`.
//!
//! `wirelab run` prints the first before the first run and the second after the last. The predictions are those of the
//! manifest, which were written down before anything was measured. The tables are valid Markdown.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use wirelab_clients::harness::forecast::Foretold;
use wirelab_clients::harness::results::ResultSet;
use wirelab_clients::harness::run_result::{Residual, RunResult, TheoryVerdict};
use wirelab_clients::harness::statistics::median;

use super::wording::{counted, digits};

/// Returns the table of the predictions; `None` where there is none.
pub fn before(results: &ResultSet) -> Option<String> {
    let forecast = &results.manifest.forecast;
    if forecast.is_empty() {
        return None;
    }
    let mut table = table(["cell", "formula", "quantity", "unit", "predicted"]);
    for row in forecast {
        let predicted = match &row.assumption_broken {
            None => digits(row.predicted),
            Some(broken) => format!("no prediction: {broken}"),
        };
        table.add_row([cell(row), row.formula.clone(), row.quantity.clone(), row.unit.clone(), predicted]);
    }
    Some(format!("Predicted before the first run, from the constants that were just measured:\n\n{table}\n"))
}

/// Returns the predictions beside the medians of what the runs measured; `None` where nothing was predicted or run.
pub fn after(results: &ResultSet) -> Option<String> {
    let forecast: Vec<_> =
        results.manifest.forecast.iter().filter(|row| row.assumption_broken.is_none()).collect();
    if forecast.is_empty() || results.runs.is_empty() {
        return None;
    }
    let mut table =
        table(["cell", "formula", "quantity", "unit", "predicted", "measured", "within tolerance"]);
    for row in forecast {
        let came: Vec<&Residual> = results.runs.iter().filter_map(|run| came(run, row)).collect();
        let measured: Vec<f64> = came.iter().filter_map(|residual| residual.measured).collect();
        table.add_row([
            cell(row),
            row.formula.clone(),
            row.quantity.clone(),
            row.unit.clone(),
            digits(row.predicted),
            median(&measured).map_or(String::new(), digits),
            judged(&came),
        ]);
    }
    Some(format!(
        "Predicted before the first run, and the median of what {} measured:\n\n{table}\n",
        counted(results.runs.len(), "run", "runs")
    ))
}

/// Returns what a run measured of this prediction.
fn came<'a>(run: &'a RunResult, row: &Foretold) -> Option<&'a Residual> {
    let is_of = run.cell.transport == row.transport && run.cell.arm == row.arm;
    let mut residuals = run.theory.iter().filter(|_| is_of);
    residuals.find(|residual| residual.formula == row.formula && residual.quantity == row.quantity)
}

/// Returns how many of the judged runs were within their tolerance.
fn judged(came: &[&Residual]) -> String {
    let of = |verdict| came.iter().filter(|residual| residual.verdict == verdict).count();
    let (passed, failed) = (of(TheoryVerdict::Pass), of(TheoryVerdict::Fail));
    match passed + failed {
        0 => "not judged".to_owned(),
        judged => format!("{passed} of {judged}"),
    }
}

fn cell(row: &Foretold) -> String {
    match &row.arm {
        None => row.transport.to_string(),
        Some(arm) => format!("{} ({arm})", row.transport),
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::example;

    fn foretold(quantity: &str, assumption_broken: Option<&str>) -> Foretold {
        let Residual { formula, unit, .. } = example::prediction();
        Foretold {
            transport: wirelab_clients::wire::Transport::ShortPoll,
            arm: None,
            formula: formula.into_owned(),
            quantity: quantity.to_owned(),
            unit: unit.into_owned(),
            predicted: 4_321.0,
            assumption_broken: assumption_broken.map(str::to_owned),
        }
    }

    #[test]
    fn a_plan_that_predicts_nothing_prints_no_table() {
        let results = example::result_set();
        assert_eq!((before(&results), after(&results)), (None, None));
    }

    #[test]
    fn what_came_stands_beside_what_was_foretold() {
        let mut results = example::result_set();
        let came = example::prediction();
        results.manifest.forecast =
            vec![foretold(&came.quantity, None), foretold("what breaks", Some("lines are replayed"))];
        let told = before(&results).unwrap();
        assert!(told.contains("4,321") || told.contains("4321") || told.contains("4,320"), "{told}");
        assert!(told.contains("no prediction: lines are replayed"), "{told}");
        // Before the run was made, there is nothing to stand beside it.
        assert!(after(&results).unwrap().contains("not judged"));
        results.runs[0].theory = vec![came.clone()];
        let told = after(&results).unwrap();
        assert!(told.contains(&digits(came.measured.unwrap())) && told.contains("of 1"), "{told}");
        assert!(!told.contains("what breaks"), "{told}");
    }
}

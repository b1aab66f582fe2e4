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

/// Predictions of one quantity of one cell, one for each of its runs.
struct Told<'a> {
    first: &'a Foretold,
    rows: Vec<&'a Foretold>,
}

/// Returns the table of the predictions; `None` where there is none.
pub fn before(results: &ResultSet) -> Option<String> {
    let told = told(&results.manifest.forecast);
    if told.is_empty() {
        return None;
    }
    let mut table = table(["cell", "formula", "quantity", "unit", "predicted"]);
    for Told { first, rows } in &told {
        let predicted = match (&predictions(rows)[..], &first.assumption_broken) {
            ([], broken) => format!("no prediction: {}", broken.as_deref().unwrap_or_default()),
            (predicted, _) => span(predicted),
        };
        let Foretold { formula, quantity, unit, .. } = first;
        table.add_row([cell(first), formula.clone(), quantity.clone(), unit.clone(), predicted]);
    }
    Some(format!(
        "Predicted before the first run, from the constants that were just measured; from one number to another, where \
         the lines of the repetitions differ:\n\n{table}\n"
    ))
}

/// Returns the medians of the predictions beside those of what the runs measured; `None` where nothing was predicted or
/// run. Each run is held against its own prediction, and not against what theory says of it now that its lines are known.
pub fn after(results: &ResultSet) -> Option<String> {
    let mut told = told(&results.manifest.forecast);
    told.retain(|told| !predictions(&told.rows).is_empty());
    if told.is_empty() || results.runs.is_empty() {
        return None;
    }
    let mut table =
        table(["cell", "formula", "quantity", "unit", "predicted", "measured", "within tolerance"]);
    for Told { first, rows } in &told {
        let came: Vec<(&Foretold, &Residual)> =
            rows.iter().filter_map(|row| Some((*row, came(&results.runs, row)?))).collect();
        let measured: Vec<f64> = came.iter().filter_map(|(_, residual)| residual.measured).collect();
        table.add_row([
            cell(first),
            first.formula.clone(),
            first.quantity.clone(),
            first.unit.clone(),
            median(&predictions(rows)).map_or(String::new(), digits),
            median(&measured).map_or(String::new(), digits),
            judged(&came),
        ]);
    }
    Some(format!(
        "Predicted before the first run, and the median of what {} measured:\n\n{table}\n",
        counted(results.runs.len(), "run", "runs")
    ))
}

/// Returns the predictions of each quantity of each cell together, in the order in which they were made.
fn told(forecast: &[Foretold]) -> Vec<Told<'_>> {
    let mut all: Vec<Told> = Vec::new();
    let name = |row: &Foretold| (row.transport, row.arm.clone(), row.formula.clone(), row.quantity.clone());
    for row in forecast {
        match all.iter_mut().find(|told| name(told.first) == name(row)) {
            Some(told) => told.rows.push(row),
            None => all.push(Told { first: row, rows: vec![row] }),
        }
    }
    all
}

/// Returns the predicted numbers whose assumptions hold.
fn predictions(rows: &[&Foretold]) -> Vec<f64> {
    rows.iter().filter(|row| row.assumption_broken.is_none()).map(|row| row.predicted).collect()
}

/// Returns one number, or the smallest and the largest where they look different.
fn span(predicted: &[f64]) -> String {
    let low = digits(predicted.iter().copied().fold(f64::INFINITY, f64::min));
    let high = digits(predicted.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    if low == high { low } else { format!("{low} to {high}") }
}

/// Returns what the run of this prediction measured.
fn came<'a>(runs: &'a [RunResult], row: &Foretold) -> Option<&'a Residual> {
    let run = runs.iter().find(|run| run.cell.run_id == row.run_id)?;
    let is_it = |residual: &&Residual| residual.formula == row.formula && residual.quantity == row.quantity;
    run.theory.iter().find(is_it).filter(|_| row.assumption_broken.is_none())
}

/// Returns in how many of the judged runs the prediction was within the difference that the run's own row of theory
/// allows. That row's number comes from the lines that arrived, so its verdict says nothing of the prediction.
fn judged(came: &[(&Foretold, &Residual)]) -> String {
    let is_within = came.iter().filter_map(|(row, residual)| {
        let allowed = match residual.verdict {
            TheoryVerdict::Pass | TheoryVerdict::Fail => residual.tolerance_ratio? * residual.predicted.abs(),
            TheoryVerdict::AssumptionBroken | TheoryVerdict::Reported => return None,
        };
        Some((residual.measured? - row.predicted).abs() <= allowed)
    });
    let is_within: Vec<bool> = is_within.collect();
    match is_within.len() {
        0 => "not judged".to_owned(),
        judged => format!("{} of {judged}", is_within.iter().filter(|within| **within).count()),
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
            run_id: example::result_set().runs[0].cell.run_id.clone(),
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
    #[test]
    fn a_wrong_prediction_is_not_within_tolerance_whatever_theory_says_of_the_lines_that_arrived() {
        let mut results = example::result_set();
        let came = example::prediction();
        let predicted = came.predicted;
        results.runs[0].theory = vec![came.clone()];
        let column = |results: &ResultSet| {
            let told = after(results).unwrap();
            ["0 of 1", "1 of 1"].into_iter().filter(|judged| told.contains(judged)).collect::<Vec<_>>()
        };
        let mut row = Foretold { predicted, ..foretold(&came.quantity, None) };
        results.manifest.forecast = vec![row.clone()];
        assert_eq!(column(&results), ["1 of 1"]);
        // Theory passes, now that it knows the lines; the prediction was another number.
        row.predicted = predicted * 1.2;
        results.manifest.forecast = vec![row];
        assert_eq!(column(&results), ["0 of 1"]);
    }

    #[test]
    fn a_run_is_held_against_its_own_prediction() {
        let mut results = example::result_set();
        let came = example::prediction();
        let mut second = results.runs[0].clone();
        second.cell.run_id = "second".to_owned();
        results.runs = vec![results.runs[0].clone(), second];
        for (run, times) in results.runs.iter_mut().zip([1.0, 2.0]) {
            let twice = |number: f64| number * times;
            run.theory = vec![Residual {
                predicted: twice(came.predicted),
                measured: came.measured.map(twice),
                ..came.clone()
            }];
        }
        let of_run = |run_id: &str, times: f64| Foretold {
            run_id: run_id.to_owned(),
            predicted: came.predicted * times,
            ..foretold(&came.quantity, None)
        };
        let first = results.runs[0].cell.run_id.clone();
        results.manifest.forecast = vec![of_run(&first, 1.0), of_run("second", 2.0)];
        let told = after(&results).unwrap();
        assert!(told.contains("2 of 2") && told.lines().count() == 5, "{told}");
        let told = before(&results).unwrap();
        let span = format!("{} to {}", digits(came.predicted), digits(2.0 * came.predicted));
        assert!(told.contains(&span), "{told}");
        // The prediction of one repetition beside both fits one of them.
        results.manifest.forecast = vec![of_run(&first, 1.0), of_run("second", 1.0)];
        assert!(after(&results).unwrap().contains("1 of 2"));
    }
}

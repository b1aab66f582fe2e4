//! What theory predicts of a group's figures, where `theory.csv` has it.

use wirelab_clients::harness::rows::TheoryRow;
use wirelab_clients::harness::run_result::TheoryVerdict;
use wirelab_clients::harness::statistics::median;

use super::aggregate::Group;
use super::figures::Figure;
use super::folder::Folder;

/// Returns the prediction of a figure for a group, in the figure's unit: the median over the runs, because each run
/// has its own constants. Several formulas share a quantity's name, so one is chosen: the first that was judged, or
/// else reported. Runs that broke an assumption predict nothing.
pub(super) fn predicted(folder: &Folder, group: &Group, figure: Figure) -> Option<f64> {
    let rows = &folder.rows.theory;
    let is_of = |row: &&TheoryRow| group.runs.iter().any(|run| run.run_id == row.run_id);
    let holding: Vec<(&TheoryRow, f64)> = rows
        .iter()
        .filter(is_of)
        .filter(|row| standing(row.verdict) != Standing::Nothing)
        .filter_map(|row| Some((row, in_unit(row, figure)?)))
        .collect();
    let judged = holding.iter().find(|(row, _)| standing(row.verdict) == Standing::Judged);
    let (first, _) = judged.or(holding.first())?;
    let of_formula = holding.iter().filter(|(row, _)| row.formula == first.formula);
    median(&of_formula.map(|(_, value)| *value).collect::<Vec<_>>())
}

/// Weight of a row as a prediction.
#[derive(PartialEq, Eq)]
enum Standing {
    Judged,
    Told,
    Nothing,
}

const fn standing(verdict: TheoryVerdict) -> Standing {
    match verdict {
        TheoryVerdict::Pass | TheoryVerdict::Fail => Standing::Judged,
        TheoryVerdict::Reported => Standing::Told,
        TheoryVerdict::AssumptionBroken => Standing::Nothing,
    }
}

/// Returns the prediction of a row, if it predicts this figure.
fn in_unit(row: &TheoryRow, figure: Figure) -> Option<f64> {
    if Some(row.quantity.as_str()) != figure.quantity() {
        return None;
    }
    let predicted = row.predicted?;
    match (row.unit.as_str(), figure.unit()) {
        ("s", "ms") => Some(predicted * 1e3),
        ("µs" | "us", "ms") => Some(predicted / 1e3),
        (_, _) => Some(predicted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::File;
    use crate::report::aggregate::Aggregate;
    use crate::report::synthetic::{self, MadeUp};

    const HEADER: &str = "run_id,transport,arm,formula,quantity,unit,predicted,measured,residual_ratio,\
                          tolerance_ratio,verdict,assumption_broken\n";

    /// Returns the prediction of p50 from rows of three runs: run, formula, µs and verdict.
    fn p50(rows: &[(u32, &str, u32, &str)]) -> Option<f64> {
        let mut files = synthetic::files(&[MadeUp::of("sse", 5.0, 3)], 1);
        files.retain(|file| file.path != "theory.csv");
        let row = |(run, formula, us, verdict): &(u32, &str, u32, &str)| {
            format!("sse-{run},sse,,{formula},delivery latency p50,us,{us},,,,{verdict},\n")
        };
        files.push(File::new("theory.csv", HEADER.to_owned() + &rows.iter().map(row).collect::<String>()));
        let folder = Folder::read(&files).unwrap();
        predicted(&folder, &Aggregate::of(&folder).groups[0], Figure::LatencyP50)
    }

    #[test]
    fn what_broke_an_assumption_predicts_nothing() {
        let rows =
            [(1, "F1", 4_000, "pass"), (2, "F1", 90_000, "assumption-broken"), (3, "F1", 6_000, "fail")];
        assert_eq!(p50(&rows), Some(5.0));
        assert_eq!(p50(&rows[1..2]), None);
    }

    #[test]
    fn predictions_of_two_formulas_are_not_mixed() {
        let judged = [(1, "F6", 4_000, "reported"), (1, "F11", 8_000, "pass"), (2, "F11", 6_000, "fail")];
        assert_eq!(p50(&judged), Some(7.0));
        assert_eq!(p50(&judged[..1]), Some(4.0));
        assert_eq!(p50(&[(1, "F1", 4_000, "pass"), (1, "F11", 8_000, "pass")]), Some(4.0));
    }
}

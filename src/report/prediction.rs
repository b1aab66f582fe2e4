//! What theory predicts of a group's figures, where `theory.csv` has it.

use wirelab_clients::harness::statistics::median;

use super::aggregate::Group;
use super::details::TheoryRow;
use super::figures::Figure;
use super::folder::Folder;

/// The prediction of this figure, in its unit: the median over the runs, as each run has its own constants.
pub(super) fn predicted(folder: &Folder, group: &Group, figure: Figure) -> Option<f64> {
    let rows = folder.theory.as_ref()?;
    let is_of = |row: &&TheoryRow| group.runs.iter().any(|run| run.run_id == row.run_id);
    let values: Vec<f64> = rows.iter().filter(is_of).filter_map(|row| in_unit(row, figure)).collect();
    median(&values)
}

/// The row's prediction, if it is one of this figure.
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

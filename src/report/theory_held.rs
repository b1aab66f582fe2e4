//! Whether theory held: how many judged predictions were within their tolerance, and which were not.

use super::aggregate::Aggregate;
use super::folder::Folder;
use super::wording::{counted, percent_signed, plain};
use wirelab_clients::harness::rows::{RunRow, TheoryRow};
use wirelab_clients::harness::run_result::TheoryVerdict;

/// Most misses that a sentence lists.
const LISTED_MAX: usize = 4;
/// Residual that counts as close. A tolerance may be far wider where a run has few lines.
const CLOSE_RATIO: f64 = 0.05;

/// Counts of the rows of `theory.csv`, valid runs only.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) judged_count: usize,
    pub(super) passed_count: usize,
    /// Number of passed predictions within [`CLOSE_RATIO`].
    close_count: usize,
    /// Largest tolerance of the judged predictions.
    tolerance_ratio_max: Option<f64>,
    /// Misses, the worst first.
    failures: Vec<TheoryFailure>,
    /// Assumptions that do not hold, with the formulas that need them and the number of their rows.
    pub(super) broken: Vec<(String, Vec<String>, usize)>,
}

/// Misses of one prediction, over the runs of one group.
#[derive(Debug)]
struct TheoryFailure {
    what: String,
    /// Largest residual.
    residual_ratio: Option<f64>,
    tolerance_ratio: Option<f64>,
    runs_count: usize,
}

impl Held {
    /// Counts the predictions. `None` where nothing was predicted of a valid run.
    pub(super) fn of(folder: &Folder, aggregate: &Aggregate) -> Option<Self> {
        let mut held = Self {
            judged_count: 0,
            passed_count: 0,
            close_count: 0,
            tolerance_ratio_max: None,
            failures: Vec::new(),
            broken: Vec::new(),
        };
        let believed = |row: &&TheoryRow| folder.run(&row.run_id).is_some_and(RunRow::is_believed);
        let rows: Vec<&TheoryRow> = folder.rows.theory.iter().filter(believed).collect();
        if rows.is_empty() {
            return None;
        }
        for row in rows {
            match row.verdict {
                TheoryVerdict::Pass => {
                    held.judge(row);
                    held.passed_count += 1;
                    if row.residual_ratio.is_some_and(|residual| residual.abs() <= CLOSE_RATIO) {
                        held.close_count += 1;
                    }
                }
                TheoryVerdict::Fail => {
                    held.judge(row);
                    held.fail(row, &aggregate.label_of(&row.run_id));
                }
                TheoryVerdict::AssumptionBroken => held.break_assumption(row),
                TheoryVerdict::Reported => {}
            }
        }
        held.failures.sort_by(|a, b| b.size().total_cmp(&a.size()));
        Some(held)
    }

    fn judge(&mut self, row: &TheoryRow) {
        self.judged_count += 1;
        let widest = [self.tolerance_ratio_max, row.tolerance_ratio].into_iter().flatten();
        self.tolerance_ratio_max = widest.reduce(f64::max);
    }

    /// Returns how close the predictions came and the widest tolerance: `30 within 5 %, the widest tolerance 12 %`.
    pub(super) fn closeness_told(&self) -> String {
        let close = format!("{} within {} %", self.close_count, plain(CLOSE_RATIO * 100.0));
        match self.tolerance_ratio_max {
            Some(widest) => format!("{close}, the widest tolerance {} %", plain(widest * 100.0)),
            None => close,
        }
    }

    fn fail(&mut self, row: &TheoryRow, label: &str) {
        let what = format!("{label}, {} ({})", row.quantity.replace('_', " "), row.formula);
        match self.failures.iter_mut().find(|failure| failure.what == what) {
            Some(failure) => {
                failure.runs_count += 1;
                if row.residual_ratio.map_or(0.0, f64::abs) > failure.size() {
                    failure.residual_ratio = row.residual_ratio;
                }
            }
            None => self.failures.push(TheoryFailure {
                what,
                residual_ratio: row.residual_ratio,
                tolerance_ratio: row.tolerance_ratio,
                runs_count: 1,
            }),
        }
    }

    fn break_assumption(&mut self, row: &TheoryRow) {
        let assumption = match row.assumption_broken.as_str() {
            "" => "an assumption that is not named".to_owned(),
            named => without_numbers(named),
        };
        let at = self.broken.iter().position(|(known, ..)| *known == assumption).unwrap_or_else(|| {
            self.broken.push((assumption, Vec::new(), 0));
            self.broken.len() - 1
        });
        let (_, formulas, count) = &mut self.broken[at];
        *count += 1;
        if !formulas.contains(&row.formula) {
            formulas.push(row.formula.clone());
        }
    }

    /// Returns the worst misses, as a list.
    pub(super) fn failures_told(&self) -> String {
        let told = self.failures.iter().take(LISTED_MAX).map(TheoryFailure::told);
        let more = self.failures.len().saturating_sub(LISTED_MAX);
        let more = (more > 0).then(|| format!("{more} more, which the table of theory lists"));
        told.chain(more).collect::<Vec<_>>().join("; ")
    }
}

impl TheoryFailure {
    fn size(&self) -> f64 {
        self.residual_ratio.map_or(0.0, f64::abs)
    }

    fn told(&self) -> String {
        let by = self.residual_ratio.map(|ratio| format!("off by {}", percent_signed(ratio)));
        let allowed =
            self.tolerance_ratio.map(|tolerance| format!("tolerance {} %", plain(tolerance * 100.0)));
        let runs =
            (self.runs_count > 1).then(|| format!("at worst of {}", counted(self.runs_count, "run", "runs")));
        let details: Vec<String> = [by, runs, allowed].into_iter().flatten().collect();
        match details.as_slice() {
            [] => self.what.clone(),
            details => format!("{} {}", self.what, details.join(", ")),
        }
    }
}

/// Returns an assumption without the numbers in parentheses, which differ between runs.
fn without_numbers(assumption: &str) -> String {
    let mut text = String::new();
    let mut depth = 0_u32;
    for c in assumption.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            other if depth == 0 => text.push(other),
            _inside => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

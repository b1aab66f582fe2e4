//! `checks.csv`: one row per run and gate, and per threshold: why a verdict is what it is.

use super::row;
use crate::harness::run_result::{Check, CheckVerdict};

row! {
    /// One row of `checks.csv`: two numbers that belong together, and whether they do.
    CheckRow of "checks.csv" from (Option<&str>, &Check) {
        /// Name of the run, as in `runs.csv`; empty for a threshold that no run matches.
        run_id: String [""] = |(run_id, _)| run_id.unwrap_or_default().to_owned();
        /// Name of the gate, explained above, or `threshold: ` with its text.
        check: String [""] = |(_, check)| check.name.to_string();
        /// First number; empty where not measured.
        left: Option<f64> ["see `unit`"] = |(_, check)| check.left;
        /// Second number, for a threshold its limit; empty where not measured.
        right: Option<f64> ["see `unit`"] = |(_, check)| check.right;
        /// Unit of left, right and tolerance.
        unit: String [""] = |(_, check)| check.unit.to_string();
        /// Largest distance between left and right, or largest excess of left over right, that passes; empty where
        /// the two are not compared.
        tolerance: Option<f64> ["see `unit`"] = |(_, check)| check.tolerance;
        /// `pass`; `fail`: the run is invalid, or the threshold is missed; `unresolved`: a doubt remains; or
        /// `not-measured`: there is nothing to compare, and nothing follows.
        verdict: CheckVerdict [""] = |(_, check)| check.verdict;
    }
}

/// Beginning of a threshold's name in the column `check`.
pub(in crate::harness) const THRESHOLD: &str = "threshold: ";

impl CheckRow {
    /// Tells whether the row judges a threshold of the plan; the others judge gates.
    pub fn is_threshold(&self) -> bool {
        self.check.starts_with(THRESHOLD)
    }
}

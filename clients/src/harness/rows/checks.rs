//! `checks.csv`: one row per run and gate, and per threshold: why a verdict is what it is.

use super::row;
use crate::harness::run_result::{Check, CheckVerdict};

row! {
    /// One row of `checks.csv`: two numbers that belong together, and whether they do.
    CheckRow of "checks.csv" from (Option<&str>, &Check) {
        /// The run, as in `runs.csv`; empty for a threshold that no run matches.
        run_id: String [""] = |(run_id, _)| run_id.unwrap_or_default().to_owned();
        /// The gate, see above, or `threshold: ` with its text.
        check: String [""] = |(_, check)| check.name.to_string();
        /// The first number; empty: not measured.
        left: Option<f64> ["see `unit`"] = |(_, check)| check.left;
        /// The second number; of a threshold its limit; empty: not measured.
        right: Option<f64> ["see `unit`"] = |(_, check)| check.right;
        /// Of left, right and tolerance.
        unit: String [""] = |(_, check)| check.unit.to_string();
        /// How far they may be apart, or left above right; empty: not compared.
        tolerance: Option<f64> ["see `unit`"] = |(_, check)| check.tolerance;
        /// `pass`, `fail` (the run is invalid; the threshold is missed), `unresolved` (a doubt is left) or `not-measured`
        /// (nothing to compare, and nothing follows).
        verdict: CheckVerdict [""] = |(_, check)| check.verdict;
    }
}

//! `theory.csv`: one row per run and prediction.

use super::row;
use crate::harness::run_result::{Residual, RunResult, TheoryVerdict};
use crate::wire::Transport;

row! {
    /// One row of `theory.csv`: a prediction of a formula beside what the run measured.
    TheoryRow of "theory.csv" from (&RunResult, &Residual) {
        /// The run, as in `runs.csv`.
        run_id: String [""] = |(run, _)| run.cell.run_id.clone();
        /// Transport by which lines reached the subscribers.
        transport: Transport [""] = |(run, _)| run.cell.transport;
        /// The arm, as in `runs.csv`.
        arm: String [""] = |(run, _)| run.cell.arm.clone().unwrap_or_default();
        /// Formula of `docs/theory.md`, such as `F1`.
        formula: String [""] = |(_, row)| row.formula.to_string();
        /// Quantity that the formula predicts.
        quantity: String [""] = |(_, row)| row.quantity.clone();
        /// Unit of `predicted` and `measured`: us, ms, 1/s, ratio, count or bytes.
        unit: String [""] = |(_, row)| row.unit.to_string();
        /// Value that the formula gives, from the calibration in `manifest.json`.
        predicted: Option<f64> ["unit"] = |(_, row)| Some(row.predicted);
        /// Value that the run measured; empty where it could not.
        measured: Option<f64> ["unit"] = |(_, row)| row.measured;
        /// Residual: measured / predicted − 1.
        residual_ratio: Option<f64> ["ratio"] = |(_, row)| row.residual_ratio();
        /// Largest residual that passes: 5 %, three standard errors for this number of lines, and what the
        /// calibration leaves uncertain. Empty where nothing is judged.
        tolerance_ratio: Option<f64> ["ratio"] = |(_, row)| row.tolerance_ratio;
        /// `pass`, `fail`, `assumption-broken`, or `reported`: not measured, too few lines (a tolerance above 50 %),
        /// or a number for information.
        verdict: TheoryVerdict [""] = |(_, row)| row.verdict;
        /// Assumption of the formula that the run broke; such a row never fails.
        assumption_broken: String [""] = |(_, row)| row.assumption_broken.clone().unwrap_or_default();
    }
}

impl TheoryRow {
    /// Tells whether the prediction was judged. One that was not says nothing about its formula.
    pub fn is_judged(&self) -> bool {
        match self.verdict {
            TheoryVerdict::Pass | TheoryVerdict::Fail => true,
            TheoryVerdict::AssumptionBroken | TheoryVerdict::Reported => false,
        }
    }
}

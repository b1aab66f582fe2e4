//! `theory.csv`: one row per run and prediction.

use super::row;
use crate::harness::run_result::{Residual, RunResult, TheoryVerdict};
use crate::wire::Transport;

row! {
    /// One row of `theory.csv`: a prediction of a formula beside what the run measured.
    TheoryRow of "theory.csv" from (&RunResult, &Residual) {
        /// The run, as in `runs.csv`.
        run_id: String [""] = |(run, _)| run.cell.run_id.clone();
        /// How lines reached the subscribers.
        transport: Transport [""] = |(run, _)| run.cell.transport;
        /// The arm, as in `runs.csv`.
        arm: String [""] = |(run, _)| run.cell.arm.clone().unwrap_or_default();
        /// Which formula of `docs/theory.md`, such as `F1`.
        formula: String [""] = |(_, row)| row.formula.to_string();
        /// What it predicts.
        quantity: String [""] = |(_, row)| row.quantity.clone();
        /// Of `predicted` and `measured`: us, ms, 1/s, ratio, count or bytes.
        unit: String [""] = |(_, row)| row.unit.to_string();
        /// By the formula, from the calibration in `manifest.json`.
        predicted: Option<f64> ["unit"] = |(_, row)| Some(row.predicted);
        /// By the run; empty where it could not say.
        measured: Option<f64> ["unit"] = |(_, row)| row.measured;
        /// measured / predicted − 1.
        residual_ratio: Option<f64> ["ratio"] = |(_, row)| row.residual_ratio();
        /// What the residual may be: 5 %, three standard errors of so many lines, and what the calibration leaves open.
        /// Empty where nothing is judged.
        tolerance_ratio: Option<f64> ["ratio"] = |(_, row)| row.tolerance_ratio;
        /// `pass`, `fail`, `assumption-broken`, or `reported`: not measured, too few lines (a tolerance above 50 %), or a
        /// number for the reader.
        verdict: TheoryVerdict [""] = |(_, row)| row.verdict;
        /// What the run broke that the formula needs; such a row never fails.
        assumption_broken: String [""] = |(_, row)| row.assumption_broken.clone().unwrap_or_default();
    }
}

//! `timeseries.csv`: one row per run, series and instant.

use super::row;
use crate::harness::run_result::RunResult;
use crate::harness::series::SeriesPoint;
use crate::wire::Transport;

row! {
    /// One row of `timeseries.csv`: a value of a series at an instant.
    SeriesRow of "timeseries.csv" from (&RunResult, &SeriesPoint) {
        /// Name of the run, as in `runs.csv`.
        run_id: String [""] = |(run, _)| run.cell.run_id.clone();
        /// Transport by which lines reached the subscribers.
        transport: Transport [""] = |(run, _)| run.cell.transport;
        /// The arm, as in `runs.csv`.
        arm: String [""] = |(run, _)| run.cell.arm.clone().unwrap_or_default();
        /// Time since the first due time; the cohort begins when the warm-up ends.
        t_s: f64 ["s"] = |(_, point)| point.t_s;
        /// Name of the series, explained above.
        metric: String [""] = |(_, point)| point.metric.to_string();
        /// Value of the series, in the unit of the column `unit`.
        value: f64 [""] = |(_, point)| point.value;
        /// Unit of the value.
        unit: String [""] = |(_, point)| point.unit.to_string();
    }
}

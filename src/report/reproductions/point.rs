//! A point: the value of a figure in one run, or in one block for a ratio of two cells.

/// Value of a figure in one run or block.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::report) struct Point {
    pub(in crate::report) ours: f64,
    /// Value that the law gives for this run.
    pub(in crate::report) predicted: Option<f64>,
    /// Harness's own lateness in the figure's unit; 0 for what does not depend on it.
    pub(super) error: f64,
    /// Whether a run behind the point is unresolved: its latencies may be the machine's.
    pub(super) unresolved: bool,
    /// Runs behind the point.
    pub(super) runs: Vec<String>,
}

impl Point {
    pub(super) fn of(ours: f64, predicted: Option<f64>) -> Self {
        Self { ours, predicted, ..Self::default() }
    }

    /// Says how late the harness was, in the figure's unit.
    pub(super) fn late_by(self, error: Option<f64>) -> Self {
        Self { error: error.unwrap_or(0.0), ..self }
    }
}

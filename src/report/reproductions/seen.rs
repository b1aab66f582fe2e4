//! What a results folder shows: its valid runs, alone or paired within a block, with what theory predicted of them.
//!
//! For the files of the reproductions. Invalid runs and the twins of an A/A pair are left out.

use wirelab_clients::harness::rows::{RunRow, TheoryRow, Twin};
use wirelab_clients::harness::run_result::Verdict;
use wirelab_clients::wire::Transport;

use super::point::Point;
use crate::report::folder::Folder;

/// A cell of a plan: the name of its arm, empty without arms, and its transport.
pub(super) type Place = (&'static str, Transport);

/// Rows of a results folder, as figures look at them.
pub(super) struct Seen<'a> {
    folder: &'a Folder,
}

impl<'a> Seen<'a> {
    pub(super) fn of(folder: &'a Folder) -> Self {
        Self { folder }
    }

    /// Returns the seed that the resamples of intervals follow from.
    pub(super) fn seed(&self) -> u64 {
        self.folder.manifest.seed
    }

    fn runs(&self, (arm, transport): Place) -> impl Iterator<Item = &'a RunRow> {
        let of_cell = move |run: &&RunRow| run.arm == arm && run.transport == transport;
        self.folder.rows.runs.iter().filter(of_cell).filter(|run| run.is_believed() && run.is_aa == Twin::No)
    }

    /// Returns a point for each valid run of a cell that has the value.
    pub(super) fn each(&self, place: Place, point: impl Fn(&RunRow) -> Option<Point>) -> Vec<Point> {
        let named = |run: &RunRow| {
            let (unresolved, runs) = (is_unresolved(run), vec![run.run_id.clone()]);
            Some(Point { unresolved, runs, ..point(run)? })
        };
        self.runs(place).filter_map(named).collect()
    }

    /// Returns a point for each block in which both cells have a valid run: what a block did to both cancels.
    pub(super) fn both(
        &self,
        (one, other): (Place, Place),
        point: impl Fn(&RunRow, &RunRow) -> Option<Point>,
    ) -> Vec<Point> {
        let paired = |run: &'a RunRow| {
            let partner = self.runs(other).find(|partner| partner.block == run.block)?;
            let runs = vec![run.run_id.clone(), partner.run_id.clone()];
            let unresolved = is_unresolved(run) || is_unresolved(partner);
            Some(Point { unresolved, runs, ..point(run, partner)? })
        };
        self.runs(one).filter_map(paired).collect()
    }

    /// Returns a prediction and what was measured of it, as `theory.csv` says them, in its units.
    pub(super) fn theory(&self, run: &RunRow, formula: &str, quantity: &str) -> Option<(f64, Option<f64>)> {
        let is_it =
            |row: &&TheoryRow| row.run_id == run.run_id && row.formula == formula && row.quantity == quantity;
        let row = self.folder.rows.theory.iter().find(is_it)?;
        Some((row.predicted?, row.measured))
    }

    /// Returns a quantile of a run's distribution, µs.
    pub(super) fn quantile_us(&self, run: &RunRow, metric: &str, quantile: f64) -> Option<f64> {
        let rows = &self.folder.rows.percentiles;
        let of_run = rows.iter().filter(|row| row.run_id == run.run_id && row.metric == metric);
        let mut wanted = of_run.filter(|row| (row.quantile - quantile).abs() < 1e-9);
        wanted.next()?.value_us.map(|us| us as f64)
    }
}

fn is_unresolved(run: &RunRow) -> bool {
    run.verdict == Verdict::Unresolved
}

/// Returns `over / under`; `None` where there is nothing to divide by.
pub(super) fn ratio(over: f64, under: f64) -> Option<f64> {
    (under > 0.0).then_some(over / under)
}

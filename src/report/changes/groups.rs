//! Groups of a compared folder: its runs of one transport and arm, and the values that they give.
//!
//! [`Changes`](super::Changes) asks here for the values of either side. Claims are made there, never here.

use std::collections::BTreeSet;

use serde::Serialize;
use wirelab_clients::harness::rows::{RunRow, Twin};
use wirelab_clients::harness::statistics::{TwoGroups, noise_floor, paired_by_block};
use wirelab_clients::wire::Transport;

use crate::report::folder::Folder;
use crate::report::links;

/// Transport and arm that the runs of a group share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ComparedGroup {
    pub(super) transport: Transport,
    pub(super) arm: String,
}

impl ComparedGroup {
    fn of(run: &RunRow) -> Self {
        Self { transport: run.transport, arm: run.arm.clone() }
    }
}

/// Returns the name of a group: `sse`, or `sse/gzip` with its arm.
pub(super) fn name(transport: Transport, arm: &str) -> String {
    if arm.is_empty() { transport.to_string() } else { format!("{transport}/{arm}") }
}

/// Returns the names of all groups.
pub(super) fn named(groups: &BTreeSet<ComparedGroup>) -> String {
    let names: Vec<String> = groups.iter().map(|group| name(group.transport, &group.arm)).collect();
    if names.is_empty() { "no run".to_owned() } else { names.join(", ") }
}

/// What a folder has of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "has")]
pub(super) enum Presence {
    /// The folder has no run of the group.
    NoRun,
    /// All runs of the group are invalid.
    NoValidRun {
        /// Invalid runs of the group.
        invalid_count: usize,
    },
    /// At least one run of the group is valid.
    Valid {
        /// Valid runs of the group.
        runs_count: usize,
    },
}

/// Folder that is compared, with its runs in groups.
pub(super) struct ComparedFolder {
    pub(super) folder: Folder,
}

impl ComparedFolder {
    pub(super) fn groups(&self) -> BTreeSet<ComparedGroup> {
        self.folder.rows.runs.iter().map(ComparedGroup::of).collect()
    }

    /// Tells what the folder has of a group.
    pub(super) fn presence(&self, group: &ComparedGroup) -> Presence {
        let is_of = |run: &&RunRow| ComparedGroup::of(run) == *group;
        match (self.folder.rows.runs.iter().filter(is_of).count(), self.used(group, Twin::No).count()) {
            (0, _) => Presence::NoRun,
            (invalid_count, 0) => Presence::NoValidRun { invalid_count },
            (_, runs_count) => Presence::Valid { runs_count },
        }
    }

    /// Returns the network over which the group was measured, in a few words; `None` without a run.
    pub(super) fn network(&self, group: &ComparedGroup) -> Option<String> {
        let run = self.folder.rows.runs.iter().find(|run| ComparedGroup::of(run) == *group)?;
        Some(links::in_short(&links::network_of(&self.folder, run)))
    }

    /// Returns a count of defects of each run of the group, valid or not, twins included.
    pub(super) fn defects(&self, group: &ComparedGroup, column: &str) -> Vec<f64> {
        let runs = self.folder.rows.runs.iter().filter(|run| ComparedGroup::of(run) == *group);
        runs.filter_map(|run| run.number(column)).collect()
    }

    /// Returns the valid runs of a group.
    fn used(&self, group: &ComparedGroup, twin: Twin) -> impl Iterator<Item = &RunRow> {
        let is_used =
            move |run: &&RunRow| ComparedGroup::of(run) == *group && run.is_aa == twin && run.is_believed();
        self.folder.rows.runs.iter().filter(is_used)
    }

    /// Returns the figure of each valid run with its block. A run that did not measure it is left out.
    pub(super) fn values(&self, group: &ComparedGroup, column: &str, twin: Twin) -> Vec<(u32, f64)> {
        let used = self.used(group, twin);
        used.filter_map(|run| Some((run.block, run.number(column)?))).collect()
    }

    /// Tells whether a valid run lacks the figure.
    pub(super) fn lacks(&self, group: &ComparedGroup, column: &str) -> bool {
        self.used(group, Twin::No).any(|run| run.number(column).is_none())
    }

    /// Returns the harness's largest lateness in a valid run, ms.
    pub(super) fn lateness_ms(&self, group: &ComparedGroup) -> f64 {
        self.used(group, Twin::No).filter_map(RunRow::lateness_us).fold(0.0, f64::max) / 1e3
    }

    /// Returns the largest difference between the halves of an A/A pair, over all groups.
    pub(super) fn noise_ratio(&self, column: &str) -> Option<f64> {
        let floor = |group: &ComparedGroup| {
            let (once, again) = (self.values(group, column, Twin::No), self.values(group, column, Twin::Aa));
            let pairs = paired_by_block(&once, &again);
            let (once, again) = (without_blocks(&once), without_blocks(&again));
            let runs = pairs.as_deref().map_or(TwoGroups::Apart(&once, &again), TwoGroups::Paired);
            noise_floor(runs, self.folder.manifest.seed).map(|floor| floor.difference_ratio.abs())
        };
        self.groups().iter().filter_map(floor).reduce(f64::max)
    }
}

/// Returns the values alone.
pub(super) fn without_blocks(values: &[(u32, f64)]) -> Vec<f64> {
    values.iter().map(|(_, value)| *value).collect()
}

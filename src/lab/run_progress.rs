//! The output of `wirelab run --progress json`: one JSON object per line, with the progress and at last the end.
//!
//! The command writes these values. The server reads them when it has started the command for its page.

use serde::{Deserialize, Serialize};

/// Progress of the runs of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct RunProgress {
    /// Name of the plan.
    pub(crate) plan: String,
    /// Id of the current run. Empty before the first run.
    pub(crate) run_id: String,
    /// Number of the current run, from 1. 0 before the first run, during the calibration.
    pub(crate) run: usize,
    /// Number of runs of the plan.
    pub(crate) runs: usize,
    /// Lines × subscribers that have arrived in this run.
    pub(crate) received: u64,
    /// Lines × subscribers that are expected in this run.
    pub(crate) expected: u64,
    /// Folder of the results. Known from the first line on, so that it is known however the process ends.
    pub(crate) folder: Option<String>,
}

/// How an experiment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct RunEnded {
    /// Exit code of `wirelab run`.
    pub(crate) exit: u8,
    /// Meaning of the exit code.
    pub(crate) meaning: String,
    /// What went wrong, if the command failed.
    pub(crate) problem: Option<String>,
    /// Folder of the results, if any were written.
    pub(crate) folder: Option<String>,
}

/// One line of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum RunLine {
    /// The last line.
    Ended {
        /// How the experiment ended.
        ended: RunEnded,
    },
    /// Every other line.
    Progress(RunProgress),
}

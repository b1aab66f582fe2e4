//! What `wirelab run --progress json` says, one JSON object per line: how far it is, and at last how it ended.
//!
//! Written by the command, read by the server when it started the command for its page. Values only.

use serde::{Deserialize, Serialize};

/// How far the runs of a plan are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct RunProgress {
    /// The plan.
    pub(crate) plan: String,
    /// The run that is made. Empty before the first.
    pub(crate) run_id: String,
    /// Which one that is, from 1. 0 before the first, while the machine is calibrated.
    pub(crate) run: usize,
    /// How many there are.
    pub(crate) runs: usize,
    /// Lines × subscribers that arrived in this run.
    pub(crate) received: u64,
    /// Lines × subscribers that should.
    pub(crate) expected: u64,
    /// Where the files are, from the process's first line on, so that it is known however the run ends.
    pub(crate) folder: Option<String>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct RunEnded {
    /// The exit code of `wirelab run`.
    pub(crate) exit: u8,
    /// What that exit code means.
    pub(crate) meaning: String,
    /// What went wrong, of a failure.
    pub(crate) problem: Option<String>,
    /// Where the files are, if any were written.
    pub(crate) folder: Option<String>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum RunLine {
    /// The last one.
    Ended {
        /// How.
        ended: RunEnded,
    },
    /// Any other.
    Progress(RunProgress),
}

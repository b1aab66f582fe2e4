//! A results folder at a glance: what the page's list of reports shows of each folder, from three of its files.
//!
//! The list calls it for every folder, so it opens no histogram. It reads files as the report does, and refuses what
//! the report would refuse.

use std::collections::BTreeMap;

use super::File;
use super::folder::{self, FolderError, PlanText};

/// Names of the files that a glance needs.
pub const GLANCED: [&str; 3] = ["plan.toml", "manifest.json", "runs.csv"];

/// Entry of a list of results folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// Name of the plan.
    pub plan: String,
    /// Question of the plan.
    pub question: String,
    /// Wall clock time at the start, RFC 3339.
    pub started: String,
    /// Number of runs that were written.
    pub runs: usize,
    /// Number of runs by verdict: `ok`, `unresolved` or `invalid`.
    pub verdicts: BTreeMap<String, usize>,
}

/// Makes the glance from a folder's files; files that are not in [`GLANCED`] are ignored.
pub fn glance(files: &[File]) -> Result<Glance, FolderError> {
    let manifest = folder::manifest(files)?;
    let plan = PlanText::read(files)?;
    let runs = folder::runs(files)?;
    let mut verdicts = BTreeMap::new();
    for run in &runs {
        *verdicts.entry(run.verdict.name().to_owned()).or_default() += 1;
    }
    Ok(Glance {
        plan: plan.name,
        question: plan.question,
        started: manifest.started_utc,
        runs: runs.len(),
        verdicts,
    })
}

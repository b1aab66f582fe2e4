//! A results folder at a glance: what a list of many shows of each, from three of its files.
//!
//! Called for every folder of the page's list, so it opens no histogram. Reads the files as the report does, and
//! refuses what the report would refuse.

use std::collections::BTreeMap;

use super::File;
use super::folder::{self, FolderError, PlanText};

/// The files that it is made of.
pub const GLANCED: [&str; 3] = ["plan.toml", "manifest.json", "runs.csv"];

/// What a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The plan's name.
    pub plan: String,
    /// What the plan asks.
    pub question: String,
    /// Wall clock at the start, RFC 3339.
    pub started: String,
    /// Runs that were written.
    pub runs: usize,
    /// How many of them are `ok`, `unresolved` or `invalid`.
    pub verdicts: BTreeMap<String, usize>,
}

/// Of the files [`GLANCED`]; others are passed over.
pub fn glance(files: &[File]) -> Result<Glance, FolderError> {
    let plan = PlanText::read(files)?;
    let manifest = folder::manifest(files)?;
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

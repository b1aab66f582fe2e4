//! A results folder at a glance: what a list of many shows of each, from three of its files.
//!
//! Called for every folder of the page's list, so it opens no histogram. Reads the files as the report does, and
//! refuses what the report would refuse.

use std::collections::BTreeMap;

use super::File;
use super::csv_file::garbled;
use super::folder::{self, FolderError};

/// The files that it is made of.
pub const GLANCED: [&str; 3] = ["plan.toml", "manifest.json", "runs.csv"];

/// What a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The plan's name.
    pub plan: String,
    /// What the plan asks.
    pub question: String,
    /// Wall clock at the start, RFC 3339; manifests of others may not say.
    pub started: Option<String>,
    /// Runs that were written.
    pub runs: usize,
    /// How many of them are `ok`, `unresolved` or `invalid`.
    pub verdicts: BTreeMap<String, usize>,
}

/// Of the files [`GLANCED`]; others are passed over.
pub fn glance(files: &[File]) -> Result<Glance, FolderError> {
    let plan: toml::Table = folder::text(files, "plan.toml")?
        .parse()
        .map_err(|error: toml::de::Error| garbled("plan.toml", error.message()))?;
    let of_plan = |key: &str| match plan.get(key).and_then(toml::Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => Err(garbled("plan.toml", format!("it has no text {key:?}"))),
    };
    let manifest = folder::manifest(folder::text(files, "manifest.json")?)?;
    let runs = folder::runs(folder::text(files, "runs.csv")?)?;
    let mut verdicts = BTreeMap::new();
    for run in &runs {
        *verdicts.entry(run.verdict.name().to_owned()).or_default() += 1;
    }
    Ok(Glance {
        plan: of_plan("name")?,
        question: of_plan("question")?,
        started: manifest.get("started_utc").and_then(|utc| utc.as_str()).map(str::to_owned),
        runs: runs.len(),
        verdicts,
    })
}

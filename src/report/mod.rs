//! Reports: results in, bytes out.
//!
//! An exporter renders one kind of file of a results folder and is pure: the command that measured writes the bytes,
//! after each run. To add one: a file here and a line in [`EXPORTERS`]. The report for people, `report.html`, and its
//! other [`Format`]s are made of those files alone: `folder` reads them, `aggregate` makes groups of their runs,
//! `finding` says what follows, `plots` shows it.

mod aggregate;
pub mod changes;
pub mod claims;
mod comparison;
mod figures;
mod finding;
mod folder;
mod glance;
mod hdr_log;
mod hgrm;
mod html;
mod json;
mod long_csv;
mod markdown;
mod plots;
mod prediction;
mod saved_run;
mod summary;
mod sweep;
#[cfg(test)]
mod synthetic;
mod tables;
pub mod terminal;
mod theory_held;
mod wording;

use wirelab_clients::harness::results::{Manifest, ResultSet};

use wirelab_clients::harness::run_result::RunResult;

pub use folder::{Folder, FolderError};
pub use glance::{GLANCED, Glance, glance};
pub use hdr_log::{FOLDER as HDR_FOLDER, is_log};
pub use saved_run::{FOLDER as RUNS_FOLDER, restore};

/// One file of a results folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Below the folder, with `/` between names.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl File {
    fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into() }
    }
}

/// Returns the files of one run, in the order of writing: before the rows that count its samples. They are written
/// once, as no later run changes them.
pub fn files_of_run(run: &RunResult) -> Result<Vec<File>, ReportError> {
    let mut files = hdr_log::files(run)?;
    // Last: a run that has this file has all of its own.
    files.push(saved_run::file(run)?);
    Ok(files)
}

/// Returns the files of all runs together, in the order of writing: the plan, the manifest and the CSV files.
pub fn files_of_all(results: &ResultSet) -> Vec<File> {
    folder::files_of(results)
}

/// Returns every file of a results folder but the page, in the order of writing.
pub fn render(results: &ResultSet) -> Result<Vec<File>, ReportError> {
    let of_runs: Result<Vec<_>, _> = results.runs.iter().map(files_of_run).collect();
    Ok(of_runs?.into_iter().flatten().chain(files_of_all(results)).collect())
}

/// Reads `manifest.json` of a folder's files, and refuses one of another version.
pub fn manifest(files: &[File]) -> Result<Manifest, FolderError> {
    folder::manifest(files)
}

/// Returns `report.html`.
pub fn page(folder: &Folder) -> Result<File, ReportError> {
    html::render(folder)
}

/// Returns the percentile texts of a folder's interval logs, for HdrHistogram's plotters.
pub fn hgrm_files(files: &[File]) -> Result<Vec<File>, ReportError> {
    hgrm::files(files)
}

/// What a report can be written as, besides the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// One long table: a row per transport, arm and figure.
    Csv,
    /// The finding, the figures, theory and checks, for programs.
    Json,
    /// The finding and its tables, for a README.
    Md,
}

/// Returns the report on a results folder as text for a pipe.
pub fn report(folder: &Folder, format: TextFormat) -> Result<Vec<u8>, ReportError> {
    let aggregate = aggregate::Aggregate::of(folder);
    let summary = summary::Summary::of(folder, &aggregate);
    match format {
        TextFormat::Csv => Ok(long_csv::render(&summary)),
        TextFormat::Json => json::render(&summary),
        TextFormat::Md => Ok(markdown::render(&summary).into_bytes()),
    }
}

/// Whether the report is made of this file of a results folder.
pub fn is_source(path: &str) -> bool {
    folder::SOURCES.contains(&path) || hdr_log::is_log_of(path, folder::METRIC)
}

/// Whether an experiment that goes on needs this file of its results folder.
pub fn is_resumed_from(path: &str) -> bool {
    let saved = path.starts_with(RUNS_FOLDER) && path.ends_with(".json");
    saved || is_source(path)
}

/// Why a file could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A histogram could not be serialized.
    #[error("cannot render {path}: {reason}")]
    Histogram {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A saved run cannot be read.
    #[error("{path}: {error}; delete it to make that run again")]
    Saved {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        error: serde_json::Error,
    },
    /// The files of a folder are not those of a run.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// One of the two folders of a comparison is not a results folder.
    #[error("{folder}: {error}")]
    Compared {
        /// Which.
        folder: String,
        /// Why.
        #[source]
        error: FolderError,
    },
    /// Claims are judged by runs of their own plan.
    #[error(
        "the folder is one of plan {found:?}, and claims are judged by runs of the plan {:?}; name a folder that \
         `wirelab claims` wrote",
        claims::PLAN
    )]
    OtherPlan {
        /// Its plan.
        found: String,
    },
    /// Two folders have nothing that can be compared.
    #[error(
        "the folders have no transport and arm in common: the first has {a}, the second {b}; compare runs of one plan"
    )]
    NothingInCommon {
        /// What the first has.
        a: String,
        /// What the second has.
        b: String,
    },
    /// The report could not be made of the files.
    #[error("cannot render the report: {0}")]
    Page(String),
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use wirelab_clients::harness::dictionary::data_dictionary;
    use wirelab_clients::harness::example;

    #[test]
    fn a_results_folder_holds_each_file_once() {
        let files = render(&example::result_set()).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let folder: Vec<&str> = names.iter().copied().filter(|name| !name.contains('/')).collect();
        let promised = [
            "plan.toml",
            "manifest.json",
            "percentiles.csv",
            "theory.csv",
            "checks.csv",
            "timeseries.csv",
            "runs.csv",
        ];
        assert_eq!(folder, promised);
        let distinct: HashSet<&str> = names.iter().copied().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
    }

    #[test]
    fn nothing_measured_yet_renders_too() {
        let mut results = example::result_set();
        results.runs.clear();
        for file in render(&results).unwrap() {
            assert!(file.bytes.ends_with(b"\n"), "{}", file.path);
        }
    }

    /// Run with `UPDATE_RESULTS_README=1` to write it.
    #[test]
    fn the_results_readme_is_the_data_dictionary() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/results/README.md");
        if std::env::var_os("UPDATE_RESULTS_README").is_some() {
            std::fs::write(path, data_dictionary()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap();
        assert!(
            there == data_dictionary(),
            "results/README.md is old: UPDATE_RESULTS_README=1 cargo test readme"
        );
    }
}

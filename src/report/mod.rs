//! Reports: results in, bytes out.
//!
//! [`files_of_run`] and [`files_of_all`] make the files of a results folder; both are pure, and the command that measured
//! writes the bytes after each run. The [`page`] and the other [`TextFormat`]s are made of a [`Folder`]: `aggregate`
//! groups its runs, `finding` says what follows, and `plots` and `tables` show it.

mod aggregate;
mod benchmark;
pub mod changes;
pub mod claims;
mod comparison;
mod datapackage;
mod figures;
mod finding;
mod folder;
pub mod foretold;
mod glance;
mod hdr_log;
mod hgrm;
mod html;
mod job_summary;
mod json;
mod junit;
mod links;
mod long_csv;
mod markdown;
mod plots;
mod prediction;
mod raw;
pub mod reproductions;
mod run_files;
mod saved_run;
mod summary;
mod svg;
mod sweep;
#[cfg(test)]
mod synthetic;
mod tables;
pub mod terminal;
mod theory_held;
mod wording;

use wirelab_clients::harness::results::{Manifest, ResultSet};
use wirelab_clients::harness::run_result::RunResult;

pub use datapackage::JudgedTable;
pub use folder::{Folder, FolderError};
pub use glance::{GLANCED, Glance, glance};
pub use hdr_log::{FOLDER as HDR_FOLDER, is_log};
pub use html::FILE as PAGE;
pub use raw::FOLDER as RAW_FOLDER;
pub use saved_run::{FOLDER as RUNS_FOLDER, restore};

/// One file of a results folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path below the results folder, with `/` between names.
    pub path: String,
    /// Content of the file.
    pub bytes: Vec<u8>,
}

impl File {
    fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into() }
    }
}

/// Returns the files of one run, in the order of writing. They are written before the rows that count their samples,
/// and only once: no later run changes them.
pub fn files_of_run(run: &RunResult) -> Result<Vec<File>, ReportError> {
    let mut files = hdr_log::files(run)?;
    files.extend(raw::file(run));
    // Last: a run that has this file has all of its own.
    files.push(saved_run::file(run)?);
    Ok(files)
}

/// Returns the files that cover all runs, in the order of writing: the plan, the manifest and the CSV files.
pub fn files_of_all(results: &ResultSet) -> Vec<File> {
    folder::files_of(results)
}

/// Returns every file of a results folder except the page, in the order of writing.
pub fn render(results: &ResultSet) -> Result<Vec<File>, ReportError> {
    let of_runs: Result<Vec<_>, _> = results.runs.iter().map(files_of_run).collect();
    Ok(of_runs?.into_iter().flatten().chain(files_of_all(results)).collect())
}

/// Reads `manifest.json` among a folder's files, and refuses a manifest of another version.
pub fn manifest(files: &[File]) -> Result<Manifest, FolderError> {
    folder::manifest(files)
}

/// Returns `report.html` of a results folder.
pub fn page(folder: &Folder) -> Result<File, ReportError> {
    html::render(folder)
}

/// Returns the percentile texts of a folder's interval logs, as HdrHistogram's plotters read them.
pub fn hgrm_files(files: &[File]) -> Result<Vec<File>, ReportError> {
    hgrm::files(files)
}

/// Returns each drawing of the page as a file of its own, in the folder `svg`.
pub fn svg_files(folder: &Folder) -> Result<Vec<File>, ReportError> {
    svg::files(folder)
}

/// Returns `datapackage.json` of a results folder that has these tables of judgements too.
pub fn datapackage(folder: &Folder, judged: &[JudgedTable]) -> File {
    datapackage::file(&folder.plan.question, &folder.manifest, &folder.rows, judged)
}

/// Formats of a report besides the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// One long table: a row per transport, arm and figure.
    Csv,
    /// The finding, the figures, theory and checks, for programs.
    Json,
    /// The finding and its tables, for a README.
    Md,
    /// What did not hold, then the figures, for the summary of a job.
    Summary,
    /// Gates, thresholds and theory as JUnit XML.
    Junit,
    /// Figures for tools that draw a benchmark's trend.
    Benchmark,
}

/// Returns the report on a results folder as text.
pub fn report(folder: &Folder, format: TextFormat) -> Result<Vec<u8>, ReportError> {
    let aggregate = aggregate::Aggregate::of(folder);
    let summary = summary::Summary::of(folder, &aggregate);
    match format {
        TextFormat::Csv => Ok(long_csv::render(&summary)),
        TextFormat::Json => json::render(&summary),
        TextFormat::Md => Ok(markdown::render(&summary).into_bytes()),
        TextFormat::Summary => Ok(job_summary::render(&summary).into_bytes()),
        TextFormat::Junit => junit::render(folder),
        TextFormat::Benchmark => benchmark::render(&summary),
    }
}

/// Tells whether the report is made from this file of a results folder.
pub fn is_source(path: &str) -> bool {
    folder::SOURCES.contains(&path) || hdr_log::is_log_of(path, folder::METRIC)
}

/// Tells whether `run --resume` needs this file of the results folder.
pub fn is_resumed_from(path: &str) -> bool {
    let saved = path.starts_with(RUNS_FOLDER) && path.ends_with(".json");
    saved || is_source(path)
}

/// Error of a report, with the reason.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A histogram could not be serialized.
    #[error("cannot render {path}: {reason}")]
    Histogram {
        /// File of the histogram.
        path: String,
        /// Reason.
        reason: String,
    },
    /// A saved run cannot be read.
    #[error("{path}: {error}; delete it to make that run again")]
    Saved {
        /// File of the saved run.
        path: String,
        /// Reason.
        #[source]
        error: serde_json::Error,
    },
    /// The folder is not a readable results folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// One of the two folders of a comparison is not a results folder.
    #[error("{folder}: {error}")]
    Compared {
        /// Folder that was named.
        folder: String,
        /// Reason.
        #[source]
        error: FolderError,
    },
    /// The folder holds runs of another plan than the plan `claims`.
    #[error(
        "the folder holds runs of plan {found:?}, but claims are judged by runs of the plan {:?}; name a folder that \
         `wirelab claims` wrote",
        claims::PLAN
    )]
    OtherPlan {
        /// Plan of the folder.
        found: String,
    },
    /// The folder holds runs of a plan that reproduces nothing.
    #[error(
        "the folder holds runs of plan {found:?}, which reproduces nothing; name a folder that `wirelab reproduce` wrote"
    )]
    NoReproduction {
        /// Plan of the folder.
        found: String,
    },
    /// Two folders have no transport and arm in common.
    #[error(
        "the folders have no transport and arm in common: the first has {a}, the second {b}; compare runs of one plan"
    )]
    NothingInCommon {
        /// Transports and arms of the first folder.
        a: String,
        /// Transports and arms of the second folder.
        b: String,
    },
    /// The page could not be made from the files.
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
            "datapackage.json",
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

//! Reports: results in, bytes out.
//!
//! An exporter renders one kind of file of a results folder and is pure: the command that measured writes the bytes,
//! after each run. To add one: a file here and a line in [`EXPORTERS`]. The report for people, `report.html`, and its
//! other [`Format`]s are made of those files alone: `folder` reads them, `aggregate` makes groups of their runs,
//! `finding` says what follows, `plots` shows it.

mod aggregate;
pub mod changes;
mod checks_csv;
pub mod claims;
mod comparison;
mod csv_file;
mod details;
mod figures;
mod finding;
mod folder;
mod glance;
mod hdr_log;
mod hgrm;
mod html;
mod json;
mod long_csv;
mod manifest_json;
mod markdown;
mod percentiles_csv;
mod plan_toml;
mod plots;
mod prediction;
mod runs_csv;
mod saved_run;
mod summary;
mod sweep;
#[cfg(test)]
mod synthetic;
pub mod table;
mod tables;
mod theory_csv;
mod theory_held;
mod timeseries_csv;
mod wording;

use wirelab_clients::harness::results::ResultSet;

use wirelab_clients::harness::run_result::RunResult;

pub use folder::FolderError;
pub use glance::{GLANCED, Glance, glance};
pub use hdr_log::FOLDER as HDR_FOLDER;
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

/// Renders one file of all runs together.
pub trait Exporter: Sync {
    /// The file, with its bytes.
    fn render(&self, results: &ResultSet) -> Result<Vec<File>, ReportError>;
}

/// Renders files of one run, which are written once: no later run changes them.
pub trait RunExporter: Sync {
    /// The files, each with its bytes.
    fn render(&self, run: &RunResult) -> Result<Vec<File>, ReportError>;
}

/// Every file of all runs together, in the order of writing.
pub const EXPORTERS: &[&dyn Exporter] = &[
    &plan_toml::PlanToml,
    &manifest_json::ManifestJson,
    &percentiles_csv::PercentilesCsv,
    &theory_csv::TheoryCsv,
    &checks_csv::ChecksCsv,
    &timeseries_csv::TimeseriesCsv,
    &runs_csv::RunsCsv,
];

/// Every kind of file of one run, in the order of writing.
pub const RUN_EXPORTERS: &[&dyn RunExporter] = &[
    &hdr_log::HdrLogs,
    &hgrm::Hgrms,
    // Last: a run that has this file has all of its own.
    &saved_run::SavedRuns,
];

/// The files of one run, in the order of writing: before the rows that count its samples.
pub fn render_run(run: &RunResult) -> Result<Vec<File>, ReportError> {
    let files: Result<Vec<_>, _> = RUN_EXPORTERS.iter().map(|exporter| exporter.render(run)).collect();
    Ok(files?.concat())
}

/// The files of all runs together, in the order of writing.
pub fn render_all(results: &ResultSet) -> Result<Vec<File>, ReportError> {
    let files: Result<Vec<_>, _> = EXPORTERS.iter().map(|exporter| exporter.render(results)).collect();
    Ok(files?.concat())
}

/// Every file of a results folder, in the order of writing.
pub fn render(results: &ResultSet) -> Result<Vec<File>, ReportError> {
    let mut files: Vec<File> = Vec::new();
    for run in &results.runs {
        files.extend(render_run(run)?);
    }
    files.extend(render_all(results)?);
    Ok(files)
}

/// `report.html`, made of the other files: by a run when it has written them, and by `wirelab report` from a folder.
pub fn page(files: &[File]) -> Result<File, ReportError> {
    html::render(files)
}

/// What a report can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The page, report.html, written into the folder.
    Html,
    /// One long table: a row per transport, arm and figure.
    Csv,
    /// The finding, the figures, theory and checks, for programs.
    Json,
    /// The finding and its tables, for a README.
    Md,
}

/// The report on a results folder, as text for a pipe; the page as it would be written.
pub fn report(files: &[File], format: Format) -> Result<Vec<u8>, ReportError> {
    let folder = folder::Folder::read(files)?;
    let aggregate = aggregate::Aggregate::of(&folder);
    let summary = summary::Summary::of(&folder, &aggregate);
    match format {
        Format::Html => html::render(files).map(|file| file.bytes),
        Format::Csv => long_csv::render(&summary),
        Format::Json => json::render(&summary),
        Format::Md => Ok(markdown::render(&summary).into_bytes()),
    }
}

/// Whether the report is made of this file of a results folder.
pub fn is_source(path: &str) -> bool {
    folder::SOURCES.contains(&path)
        || folder::LATER_SOURCES.contains(&path)
        || hdr_log::is_log_of(path, folder::METRIC)
}

/// Whether an experiment that goes on needs this file of its results folder.
pub fn is_resumed_from(path: &str) -> bool {
    let saved = path.starts_with(RUNS_FOLDER) && path.ends_with(".json");
    saved || is_source(path) || matches!(path, "plan.toml" | "manifest.json")
}

/// Why a file could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The CSV writer refused a row.
    #[error("cannot render {file}: {error}")]
    Csv {
        /// Which file.
        file: &'static str,
        /// Why.
        #[source]
        error: csv::Error,
    },
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
    /// One of two folders is none of a run.
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

/// A CSV file of these rows; the first is the header.
fn csv_of(file: &'static str, rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<File>, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|error| ReportError::Csv { file, error })?;
    }
    let bytes =
        writer.into_inner().map_err(|error| ReportError::Csv { file, error: error.into_error().into() })?;
    Ok(vec![File::new(file, bytes)])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use wirelab_clients::harness::example;
    use wirelab_clients::harness::metrics::data_dictionary;

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

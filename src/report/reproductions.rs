//! Reproductions: figures that others printed, beside what was measured here.
//!
//! Each reproduction is a plan of its own name and a file of this folder, with the printed figures, their source and
//! what differs in the set-up. `wirelab reproduce` runs the plan; the verdict is made from the files of the results
//! folder alone, so that one folder always gives one verdict. The page of such a folder shows it too. Pure.

mod catalogue;
mod cometd_batching;
mod figure;
mod first_byte;
mod fleet_polling;
mod lubbers2010;
mod point;
mod render;
mod reproduction;
mod rfc6202;
mod seen;
#[cfg(test)]
mod tests;
mod vandevyvere2020;
mod verdict;
mod wrk2_freeze;

use wirelab_clients::harness::ending::Ending;
use wirelab_clients::harness::plan::Size;
use wirelab_clients::harness::rows::csv_text;

use super::datapackage::{self, JudgedTable};
use super::folder::Folder;
use super::{File, ReportError};
pub use catalogue::UnknownReproduction;
pub(super) use figure::{Asks, Measured};
pub(super) use render::{HEADER, asked, outcome, rows as table_rows, sentence};
pub use reproduction::{Reproduction, Source};
use seen::Seen;
pub use verdict::Verdict;

/// Name of the file of a reproduction in a results folder.
const FILE: &str = "reproduction.csv";

/// A reproduction as a results folder shows it: every figure, and the verdict.
#[derive(Debug)]
pub struct Reproduced {
    pub(super) reproduction: &'static Reproduction,
    pub(super) size: Size,
    pub(super) figures: Vec<Measured>,
    pub(super) verdict: Verdict,
    /// Reason for the verdict; empty where every figure agrees.
    pub(super) why: String,
    /// Invalid runs, which were left out.
    pub(super) invalid: Vec<String>,
    /// Time of the measurement, and the commit that was measured.
    origin: String,
    ending: Ending,
    /// `datapackage.json` that names the table of the reproduction too.
    package: File,
}

impl Reproduced {
    /// Judges a results folder's files by the reproduction whose plan they are of.
    pub fn judge(files: &[File]) -> Result<Self, ReportError> {
        let folder = Folder::read(files)?;
        let named = Self::of(&folder);
        let mut reproduced =
            named.ok_or_else(|| ReportError::NoReproduction { found: folder.plan.name.clone() })?;
        // `reproduction.csv` is written together with the package.
        let is_there = |path: &str| path == FILE || files.iter().any(|file| file.path == path);
        let tables = JudgedTable::of(is_there);
        reproduced.package =
            datapackage::file(&folder.plan.question, &folder.manifest, &folder.rows, &tables);
        Ok(reproduced)
    }

    /// Judges a folder; `None` if its plan reproduces nothing.
    pub(super) fn of(folder: &Folder) -> Option<Self> {
        let reproduction = Reproduction::of_plan(&folder.plan.name)?;
        let seen = Seen::of(folder);
        let figures = (reproduction.figures)();
        let figures: Vec<Measured> = figures.into_iter().map(|figure| figure.measured(&seen)).collect();
        let (verdict, why) = verdict::rule(folder.plan.size, &figures);
        let invalid = folder.rows.runs.iter().filter(|run| !run.is_believed());
        let manifest = &folder.manifest;
        let commit = manifest.commit.as_deref().unwrap_or("unknown");
        Some(Self {
            reproduction,
            size: folder.plan.size,
            figures,
            verdict,
            why,
            invalid: invalid.map(|run| run.run_id.clone()).collect(),
            origin: format!("{}, commit {commit}", manifest.started_utc),
            ending: Ending::of_rows(&folder.rows),
            package: datapackage::file(&folder.plan.question, manifest, &folder.rows, &[]),
        })
    }

    /// Returns the reproduction that was judged.
    pub fn reproduction(&self) -> &'static Reproduction {
        self.reproduction
    }

    /// Returns the table, the verdict with its reason, what differs, and the source.
    pub fn render(&self) -> String {
        render::markdown(self)
    }

    /// Returns `reproduction.csv`, `reproduction.md`, and a `datapackage.json` that names the former.
    pub fn files(&self) -> Vec<File> {
        vec![
            File::new(FILE, csv_text(render::csv_rows(self))),
            File::new("reproduction.md", self.render()),
            self.package.clone(),
        ]
    }

    /// Returns what the runs came to, as far as their rows say it. The verdict has no part in it.
    pub fn ending(&self) -> Ending {
        self.ending
    }
}

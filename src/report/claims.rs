//! Claims: what people say about polling, SSE and WebSocket, beside what was measured.
//!
//! The table is made from the files of a results folder of the plan `claims`, as `report.html` is: one folder always
//! gives one table. A row holds the claim, the figures with their unit and interval, a ruling, and the runs behind
//! it. A claim that no run can test is listed with the reason and is not scored.

mod catalogue;
mod code_lines;
mod render;
mod ruling;
mod runs;
mod text_only;
mod two_way;

use wirelab_clients::harness::ending::Ending;
use wirelab_clients::harness::plan::Size;
use wirelab_clients::harness::results::Manifest;
use wirelab_clients::harness::rows::csv_text;

use super::datapackage::{self, JudgedTable};
use super::folder::Folder;
use super::{File, ReportError, is_source};
use catalogue::{CLAIMS, Claim};
pub use ruling::Ruling;
use runs::{Evidence, Observations};
pub use two_way::file as two_way_file;

/// Name of the plan whose runs are judged.
pub const PLAN: &str = "claims";

/// Name of the file of claims in a results folder.
const FILE: &str = "claims.csv";

/// Tells whether claims are judged by this file of a results folder.
pub fn is_judged_by(path: &str) -> bool {
    is_source(path) || path == two_way::FILE
}

/// All claims with their answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// Time of the measurement, and the commit that was measured.
    origin: String,
    size: Size,
    /// Invalid observations, which were left out.
    invalid: Vec<String>,
    ending: Ending,
    /// `datapackage.json` that names the tables of the claims too.
    package: File,
    answers: Vec<Answer>,
}

/// Answer to one claim.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    claim: &'static str,
    about: &'static str,
    /// Figures that decide the claim.
    deciding: Vec<Evidence>,
    /// Figures that are shown but decide nothing.
    beside: Vec<Evidence>,
    ruling: Ruling,
    why: Option<String>,
}

impl Claims {
    /// Judges every claim by a results folder's files.
    pub fn judge(files: &[File]) -> Result<Self, ReportError> {
        let folder = Folder::read(files)?;
        if folder.plan.name != PLAN {
            return Err(ReportError::OtherPlan { found: folder.plan.name });
        }
        let Manifest { seed, started_utc, commit, .. } = &folder.manifest;
        let ending = Ending::of_rows(&folder.rows);
        // `claims.csv` is written together with the package.
        let is_there = |path: &str| path == FILE || files.iter().any(|file| file.path == path);
        let tables = JudgedTable::of(is_there);
        let package = datapackage::file(&folder.plan.question, &folder.manifest, &folder.rows, &tables);
        let invalid = folder.rows.runs.iter().filter(|run| !run.is_believed());
        let invalid = invalid.map(|run| run.run_id.clone()).collect();
        let observed = Observations { runs: folder.rows.runs, seed: *seed, two_way: two_way::read(files)? };
        Ok(Self {
            origin: format!("{started_utc}, commit {}", commit.as_deref().unwrap_or("unknown")),
            size: folder.plan.size,
            invalid,
            ending,
            package,
            answers: CLAIMS.iter().map(|claim| answer(claim, &observed)).collect(),
        })
    }

    /// Returns the table, and below it the notes on how to read it.
    pub fn render(&self) -> String {
        render::markdown(self)
    }

    /// Returns `claims.csv`, `claims.md`, and a `datapackage.json` that names the former.
    pub fn files(&self) -> Vec<File> {
        vec![
            File::new(FILE, csv_text(render::rows(self))),
            File::new("claims.md", self.render()),
            self.package.clone(),
        ]
    }

    /// Returns what the runs came to, as far as their rows say it.
    pub fn ending(&self) -> Ending {
        self.ending
    }
}

fn answer(claim: &Claim, runs: &Observations) -> Answer {
    let ruled = claim.test.rule(runs);
    let beside = claim.beside.iter().map(|figure| figure.measure(runs));
    Answer {
        claim: claim.claim,
        about: claim.about,
        deciding: ruled.figures,
        beside: beside.filter(|measured| !measured.points.is_empty()).collect(),
        ruling: ruled.ruling,
        why: ruled.why,
    }
}

#[cfg(test)]
mod tests;

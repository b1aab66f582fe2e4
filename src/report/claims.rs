//! Claims: what people say about polling, SSE and WebSocket, beside what was measured.
//!
//! Made of the files of a results folder of the plan `claims`, as `report.html` is: the same folder gives the same
//! table. A row says the claim, the figures with their unit and interval, a ruling, and the runs they came from. What
//! no run can say is told with the reason, and not scored.

mod catalogue;
mod code_lines;
mod render;
mod ruling;
mod runs;
mod text_only;
mod two_way;

use wirelab_clients::harness::plan::Size;

use super::details::{TheoryRow, TheoryVerdict};
use super::folder::{Folder, Run};
use super::{File, ReportError, csv_of, is_source};
use catalogue::{CLAIMS, Claim};
pub use ruling::Ruling;
use runs::{Measured, Runs, Trust};
pub use two_way::file as two_way_file;

/// The plan whose runs are judged.
pub const PLAN: &str = "claims";

/// Whether claims are judged by this file of a results folder.
pub fn is_judged_by(path: &str) -> bool {
    is_source(path) || path == two_way::FILE
}

/// Every claim with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// When it was measured, and of which commit.
    origin: String,
    size: Size,
    /// Runs that were left out.
    invalid: Vec<String>,
    worst: Worst,
    answers: Vec<Answer>,
}

/// The worst that became of a run, as far as the files say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worst {
    /// Nothing bad.
    Nothing,
    /// A line was lost, censored, repeated or out of order.
    Defect,
    /// Theory failed.
    Theory,
    /// A run is invalid.
    Invalid,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    claim: &'static str,
    about: &'static str,
    /// What decides.
    deciding: Vec<Measured>,
    /// What does not.
    beside: Vec<Measured>,
    ruling: Ruling,
    why: Option<String>,
}

impl Claims {
    /// Of a results folder's files.
    pub fn judge(files: &[File]) -> Result<Self, ReportError> {
        let folder = Folder::read(files)?;
        if folder.plan != PLAN {
            return Err(ReportError::OtherPlan { found: folder.plan });
        }
        let runs = Runs::read(&folder, files)?;
        let member =
            |name: &str| folder.manifest.get(name).and_then(serde_json::Value::as_str).unwrap_or("?");
        let of = |trust: Trust| runs.runs.iter().filter(move |run| run.trust == trust);
        Ok(Self {
            origin: format!("{}, commit {}", member("started_utc"), member("commit")),
            size: size(&folder),
            invalid: of(Trust::Invalid).map(|run| run.run_id.clone()).collect(),
            worst: worst(&folder),
            answers: CLAIMS.iter().map(|claim| answer(claim, &runs)).collect(),
        })
    }

    /// The table, and below it what its rows cannot say.
    pub fn render(&self) -> String {
        render::markdown(self)
    }

    /// `claims.csv` and `claims.md`.
    pub fn files(&self) -> Result<Vec<File>, ReportError> {
        let mut files = csv_of("claims.csv", render::rows(self))?;
        files.push(File::new("claims.md", self.render()));
        Ok(files)
    }

    /// What the exit code says of the runs.
    pub fn worst(&self) -> Worst {
        self.worst
    }
}

/// As `plan.toml` says; folders that do not say it are of the time before there were two.
fn size(folder: &Folder) -> Size {
    let plan: Option<toml::Table> = folder.plan_toml.parse().ok();
    let is_smoke =
        plan.is_some_and(|plan| plan.get("size").and_then(toml::Value::as_str) == Some(Size::Smoke.name()));
    if is_smoke { Size::Smoke } else { Size::Full }
}

fn worst(folder: &Folder) -> Worst {
    let defects = |run: &Run| {
        [run.lost, run.censored, run.duplicated, run.out_of_order]
            .into_iter()
            .flatten()
            .any(|count| count > 0)
    };
    let failed = |row: &TheoryRow| row.verdict == TheoryVerdict::Fail;
    if folder.runs.iter().any(|run| !run.is_believed()) {
        Worst::Invalid
    } else if folder.theory.iter().flatten().any(failed) {
        Worst::Theory
    } else if folder.runs.iter().any(defects) {
        Worst::Defect
    } else {
        Worst::Nothing
    }
}

fn answer(claim: &Claim, runs: &Runs) -> Answer {
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

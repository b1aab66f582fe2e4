//! The progress of `wirelab run`: a bar for people, or lines of JSON for a program.
//!
//! With JSON, stdout holds these lines and nothing else: one before the first run, one at each run's start and end,
//! some in between, and a last one that says how everything ended.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use wirelab_clients::harness::run::Progress;

use super::super::{Exit, Failure, say, visible};
use crate::commands::cli::ProgressFormat;
use crate::lab::run_progress::{RunEnded, RunLine, RunProgress};

/// Time between two lines of JSON during a run: short enough for a picture that moves.
const LINES_INTERVAL: Duration = Duration::from_millis(200);

/// Shows the progress of the runs of one plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) format: ProgressFormat,
    pub(super) plan: &'a str,
    pub(super) runs: usize,
    pub(super) folder: &'a Path,
}

impl<'a> Shown<'a> {
    /// Shows the start, before the first run.
    pub(super) fn begin(self, question: &str) -> Result<(), Failure> {
        match self.format {
            ProgressFormat::Bar => say(&format!("{}: {question}\n", self.plan)).map(|_| ()),
            ProgressFormat::Json => self.line(0, "", Progress { received: 0, expected: 0 }),
        }
    }

    /// Shows the start of run number `run`.
    pub(super) fn run(self, run: usize, run_id: &'a str) -> Result<ShownRun<'a>, Failure> {
        let progress = Progress { received: 0, expected: 0 };
        let kind = match self.format {
            ProgressFormat::Bar => Kind::Bar(progress_bar(&format!("{run}/{} {run_id}", self.runs))),
            ProgressFormat::Json => {
                self.line(run, run_id, progress)?;
                Kind::Json { newest: Cell::new(progress), said: Cell::new(Instant::now()) }
            }
        };
        Ok(ShownRun { shown: self, run, run_id, kind })
    }

    fn line(
        self,
        run: usize,
        run_id: &str,
        Progress { received, expected }: Progress,
    ) -> Result<(), Failure> {
        let (plan, run_id) = (self.plan.to_owned(), run_id.to_owned());
        let (runs, folder) = (self.runs, Some(self.folder.display().to_string()));
        json_line(&RunLine::Progress(RunProgress { plan, run_id, run, runs, received, expected, folder }))
    }
}

/// Shows the progress of one run.
#[derive(Debug)]
pub(super) struct ShownRun<'a> {
    shown: Shown<'a>,
    run: usize,
    run_id: &'a str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Bar(ProgressBar),
    Json { newest: Cell<Progress>, said: Cell<Instant> },
}

impl ShownRun<'_> {
    /// Shows the progress; called many times a second.
    pub(super) fn look(&self, progress: Progress) {
        match &self.kind {
            Kind::Bar(bar) => {
                bar.set_length(progress.expected);
                bar.set_position(progress.received.min(progress.expected));
            }
            Kind::Json { newest, said } => {
                newest.set(progress);
                if said.get().elapsed() >= LINES_INTERVAL {
                    said.set(Instant::now());
                    // An error is ignored here; the line at the end of the run reports it.
                    let _ = self.shown.line(self.run, self.run_id, progress);
                }
            }
        }
    }

    /// Shows the end of the run.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.kind {
            Kind::Bar(bar) => {
                bar.finish_and_clear();
                Ok(())
            }
            Kind::Json { newest, .. } => self.shown.line(self.run, self.run_id, newest.get()),
        }
    }
}

/// Prints the last line: how the command ended, and where the files are.
pub(super) fn say_end(ended: &Result<Exit, Failure>, folder: Option<&Path>) -> Result<(), Failure> {
    let (exit, problem) = match ended {
        Ok(exit) => (*exit, None),
        Err(failure) => (failure.exit, Some(failure.message.clone())),
    };
    let (meaning, folder) = (exit.meaning().to_owned(), folder.map(|folder| folder.display().to_string()));
    json_line(&RunLine::Ended { ended: RunEnded { exit: exit.code(), meaning, problem, folder } })
}

/// Prints one line. If stdout is no longer read, the runs go on as they do behind a closed terminal.
fn json_line(line: &RunLine) -> Result<(), Failure> {
    let json = serde_json::to_string(line).map_err(Failure::environment)?;
    say(&(json + "\n")).map(|_| ())
}

fn progress_bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len} lines {elapsed}")
        .expect("the template is right");
    // The plan may be another person's, and so are the names of its arms.
    ProgressBar::new(1).with_style(style).with_message(visible(name).into_owned())
}

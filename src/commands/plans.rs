//! `wirelab plans`: lists the experiments with their questions. `wirelab dictionary`: explains the columns.

use std::path::Path;
use std::time::Duration;

use wirelab_clients::harness::dictionary::data_dictionary;
use wirelab_clients::harness::plan::{Plan, Size};

use super::{Exit, Failure, say};
use crate::commands::cli::PlansArguments;
use wirelab_clients::harness::plan_files;

/// Prints each plan with its question and how long it takes.
pub fn run(arguments: &PlansArguments) -> Result<Exit, Failure> {
    for (name, path) in plan_files::all(&arguments.data).map_err(Failure::usage)? {
        let plan = plan_files::read(&name, &path, Size::Full, &arguments.data).map_err(Failure::usage)?;
        let full = duration(&plan, &arguments.data)?;
        let smoke = match plan_files::read(&name, &path, Size::Smoke, &arguments.data) {
            Ok(plan) => format!(", {} as --size smoke", duration(&plan, &arguments.data)?),
            // The plan has no short form.
            Err(_) => String::new(),
        };
        let runs = plan.cells().len();
        say(&format!("{name}\n  {}\n  {runs} runs, about {full}{smoke}\n", plan.question))?;
    }
    Ok(Exit::Ok)
}

/// Estimates how long a plan takes, in whole seconds.
fn duration(plan: &Plan, data: &Path) -> Result<humantime::FormattedDuration, Failure> {
    let duration = plan_files::duration(plan, data).map_err(Failure::usage)?;
    Ok(humantime::format_duration(Duration::from_secs(duration.as_secs_f64().round() as u64)))
}

/// Prints the meaning of every column of a run's files: `results/README.md`.
pub fn dictionary() -> Result<Exit, Failure> {
    say(&data_dictionary())?;
    Ok(Exit::Ok)
}

//! `wirelab plans`: lists the experiments with their questions, prints one, or explains the keys of a plan.
//! `wirelab dictionary`: explains the columns.

use std::path::Path;
use std::time::Duration;

use wirelab_clients::data_files::DataFile;
use wirelab_clients::harness::dictionary::data_dictionary;
use wirelab_clients::harness::plan::keys::page;
use wirelab_clients::harness::plan::{Plan, PlanError, Size, Weight};

use super::{Exit, Failure, say};
use crate::commands::cli::PlansArguments;
use wirelab_clients::harness::plan_files::{self, PlanFilesError};

/// Prints each plan with its question, how long it takes and where it is; or the text of one plan, or the keys.
pub fn run(arguments: &PlansArguments) -> Result<Exit, Failure> {
    if arguments.keys {
        say(&page())?;
    } else if let Some(name) = &arguments.plan {
        let file = plan_files::file(name, &arguments.data).map_err(Failure::usage)?;
        say(&plan_files::text(name, &file).map_err(Failure::usage)?)?;
    } else {
        let mut broken = None;
        for (name, file) in plan_files::all(&arguments.data).map_err(Failure::usage)? {
            match listed(&name, &file, &arguments.data) {
                Ok(text) => say(&text).map(|_| ())?,
                // A broken plan does not hide the others.
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        if let Some(error) = broken {
            return Err(Failure::usage(error));
        }
        say(
            "`wirelab run NAME` makes the runs, `wirelab plans NAME` prints a plan, `wirelab plans --keys` explains it.\n",
        )?;
    }
    Ok(Exit::Ok)
}

/// Returns a plan's lines in the list.
fn listed(name: &str, file: &DataFile, data: &Path) -> Result<String, PlanFilesError> {
    let plan = plan_files::read(name, file, Size::Full, data)?;
    let full = duration(&plan, data)?;
    let smoke = match plan_files::read(name, file, Size::Smoke, data) {
        Ok(plan) => format!(", {} as --size smoke", duration(&plan, data)?),
        Err(PlanFilesError::Plan(PlanError::NoSmoke { .. })) => String::new(),
        Err(error) => return Err(error),
    };
    let place = match file {
        DataFile::OnDisk(path) => path.display().to_string(),
        DataFile::Carried(_) => "carried by wirelab".to_owned(),
    };
    let (runs, question) = (plan.cells().len(), &plan.question);
    let weight = match plan.weight() {
        Weight::Experiment => "",
        Weight::Demonstration => "; a demonstration: too few repetitions for intervals",
    };
    Ok(format!("{name}\n  {question}\n  {runs} runs, about {full}{smoke}; {place}{weight}\n"))
}

/// Estimates how long a plan takes, in whole seconds.
fn duration(plan: &Plan, data: &Path) -> Result<humantime::FormattedDuration, PlanFilesError> {
    let duration = plan_files::duration(plan, data)?;
    Ok(humantime::format_duration(Duration::from_secs(duration.as_secs_f64().round() as u64)))
}

/// Prints the meaning of every column of a run's files: `results/README.md`.
pub fn dictionary() -> Result<Exit, Failure> {
    say(&data_dictionary())?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::page;

    /// Run with `UPDATE_PLANS_PAGE=1` to write it.
    #[test]
    fn the_page_of_plans_is_what_is_described() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/plans.md");
        if std::env::var_os("UPDATE_PLANS_PAGE").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap();
        assert!(there == page(), "docs/plans.md is old: UPDATE_PLANS_PAGE=1 cargo test page_of_plans");
    }
}

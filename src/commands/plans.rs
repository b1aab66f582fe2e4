//! `wirelab plans`: which experiments there are, and what they ask. Also finds a plan for `run`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wirelab_clients::harness::metrics::data_dictionary;
use wirelab_clients::harness::plan::{Cell, LineProcess, Plan, PlanError, Size};
use wirelab_clients::harness::schedule::Schedule;
use wirelab_clients::recording::Recording;
use wirelab_clients::targets::profile::{Profile, ProfileError};

use super::{Exit, Failure, say};
use crate::cli::Plans;

/// Prints each plan with its question and how long it takes.
pub fn run(arguments: &Plans) -> Result<Exit, Failure> {
    for (name, path) in plan_files(&arguments.data)? {
        let plan = read(&name, &path, Size::Full, &arguments.data)?;
        let full = duration(&plan, &arguments.data)?;
        let smoke = match read(&name, &path, Size::Smoke, &arguments.data) {
            Ok(plan) => format!(", {} as --size smoke", duration(&plan, &arguments.data)?),
            // A plan need not have one.
            Err(_) => String::new(),
        };
        let runs = plan.cells().len();
        say(&format!("{name}\n  {}\n  {runs} runs, about {full}{smoke}\n", plan.question))?;
    }
    Ok(Exit::Ok)
}

/// About how long a plan takes, in whole seconds.
fn duration(plan: &Plan, data: &Path) -> Result<humantime::FormattedDuration, Failure> {
    let recordings = recordings(plan, data)?;
    let lines =
        |cell: &Cell| schedules(cell, &recordings).iter().map(Schedule::duration).max().unwrap_or_default();
    let whole = Duration::from_secs(plan.duration(lines).as_secs_f64().round() as u64);
    Ok(humantime::format_duration(whole))
}

/// The recordings that the plan's arms replay, by name.
pub(crate) fn recordings(plan: &Plan, data: &Path) -> Result<BTreeMap<String, Arc<Recording>>, Failure> {
    let mut found = BTreeMap::new();
    for (_, factors) in plan.all_arms() {
        let LineProcess::Replay { recording, .. } = &factors.lines else { continue };
        if !found.contains_key(recording) {
            let read = Recording::find(&data.join("recordings"), recording).map_err(Failure::usage)?;
            found.insert(recording.clone(), Arc::new(read));
        }
    }
    Ok(found)
}

/// The due times of each deployment of a cell.
pub(crate) fn schedules(cell: &Cell, recordings: &BTreeMap<String, Arc<Recording>>) -> Vec<Schedule> {
    match cell.schedules(|name| Ok::<_, Infallible>(recordings[name].clone())) {
        Ok(schedules) => schedules,
        Err(never) => match never {},
    }
}

/// Prints what every column of a run's files means: `results/README.md`.
pub fn dictionary() -> Result<Exit, Failure> {
    say(&data_dictionary())?;
    Ok(Exit::Ok)
}

/// A plan by its name in `data/plans`, or by the path of a TOML file.
pub fn find(given: &str, size: Size, data: &Path) -> Result<Plan, Failure> {
    if given.ends_with(".toml") {
        return read(given, Path::new(given), size, data);
    }
    let files = plan_files(data)?;
    match files.iter().find(|(name, _)| name == given) {
        Some((name, path)) => read(name, path, size, data),
        None => {
            let known = files.into_iter().map(|(name, _)| name).collect();
            Err(Failure::usage(PlanError::Unknown { given: given.to_owned(), known }))
        }
    }
}

/// A profile by its name in `data/targets`; its start script is looked for from the folder that holds `data`.
pub(crate) fn profile(name: &str, data: &Path) -> Result<Profile, ProfileError> {
    Profile::find(&data.join("targets"), &data.join(".."), name)
}

fn read(name: &str, path: &Path, size: Size, data: &Path) -> Result<Plan, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("plan {}: {error}", path.display())))?;
    Plan::parse_with(name, &text, size, |name| profile(name, data)).map_err(Failure::usage)
}

/// Names and paths, by name.
fn plan_files(data: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let folder = data.join("plans");
    let unreadable = |error| {
        Failure::usage(format!(
            "{}: {error}; run wirelab in its repository, or name the folder that holds plans/ with --data",
            folder.display()
        ))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml")
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
        {
            files.push((name.to_owned(), path.clone()));
        }
    }
    files.sort();
    Ok(files)
}

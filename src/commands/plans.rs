//! `wirelab plans`: which experiments there are, and what they ask. Also finds a plan for `run`.

use std::fs;
use std::path::{Path, PathBuf};

use wirelab_clients::harness::metrics::data_dictionary;
use wirelab_clients::harness::plan::{Plan, PlanError, Server};
use wirelab_clients::targets::profile::{Profile, ProfileError};

use super::{Exit, Failure, say};
use crate::cli::Plans;

/// Prints each plan with its question.
pub fn run(arguments: &Plans) -> Result<Exit, Failure> {
    for (name, path) in plan_files(&arguments.data)? {
        let plan = read(&name, &path, &arguments.data)?;
        let profile = |server: &Server| match server {
            Server::Wirelab | Server::Running(_) => None,
            Server::Profile(profile) => Some(profile.name.clone()),
        };
        let transports = plan.transports.iter().map(|transport| transport.name().to_owned());
        let transports: Vec<_> = transports.chain(plan.targets.iter().filter_map(profile)).collect();
        let transports = transports.join(", ");
        say(&format!("{name}\n  {}\n  {transports} × {} subscribers\n", plan.question, plan.subscribers))?;
    }
    Ok(Exit::Ok)
}

/// Prints what every column of a run's files means: `results/README.md`.
pub fn dictionary() -> Result<Exit, Failure> {
    say(&data_dictionary())?;
    Ok(Exit::Ok)
}

/// A plan by its name in `data/plans`, or by the path of a TOML file.
pub fn find(given: &str, data: &Path) -> Result<Plan, Failure> {
    if given.ends_with(".toml") {
        return read(given, Path::new(given), data);
    }
    let files = plan_files(data)?;
    match files.iter().find(|(name, _)| name == given) {
        Some((name, path)) => read(name, path, data),
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

fn read(name: &str, path: &Path, data: &Path) -> Result<Plan, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("plan {}: {error}", path.display())))?;
    Plan::parse_with(name, &text, |name| profile(name, data)).map_err(Failure::usage)
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
